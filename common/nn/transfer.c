/*
 * transfer.c - freezing and cutting; see transfer.h
 */
#include "nn/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Length of the layer's part of a parameter's name: up to the last dot. */
static size_t layer_length(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL ? (size_t)(dot - name) : strlen(name);
}

/* Length of the block's part: at most two parts of the layer's name. */
static size_t block_length(const char *name)
{
    size_t n = layer_length(name);
    const char *first = memchr(name, '.', n);
    const char *second = first != NULL ? memchr(first + 1, '.', n - (size_t)(first + 1 - name))
                                       : NULL;

    return second != NULL ? (size_t)(second - name) : n;
}

static bool same_block(const char *a, const char *b)
{
    size_t n = block_length(a);

    return n == block_length(b) && memcmp(a, b, n) == 0;
}

/* Whether name is what comes before a dot in text, or all of it. */
static bool names(const char *name, const char *text)
{
    size_t n = strlen(name);

    return strncmp(name, text, n) == 0 && (text[n] == '\0' || text[n] == '.');
}

/* ------------------------------------------------------------------ blocks */

/* For each parameter the number of its block, counted in the order of use; the
 * result, of table's length, is the caller's. */
static size_t *number_blocks(size_t *n_blocks, const nn_graph *g)
{
    const nn_table *table = nn_graph_table(g);
    size_t n = nn_table_n(table);
    size_t *block = fl_xcalloc(n, sizeof *block), *first = fl_xcalloc(n, sizeof *first);

    *n_blocks = 0;  // first[k]: a parameter of block k
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        for (size_t k = 0; k < node->n_in; k++) {
            int64_t p = node->in[k] < 0 ? -1 : nn_graph_param_index(g, node->in[k]);
            size_t b = 0;
            while (p >= 0 && b < *n_blocks &&
                   !same_block(nn_table_at(table, first[b])->name,
                               nn_table_at(table, (size_t)p)->name)) {
                b++;
            }
            if (p >= 0 && b == *n_blocks) {
                first[(*n_blocks)++] = (size_t)p;
            }
            if (p >= 0) {
                block[p] = b;
            }
        }
    }
    free(first);
    return block;
}

void nn_transfer_blocks(fl_buf *out, const nn_graph *g, bool trained)
{
    const nn_table *table = nn_graph_table(g);
    size_t n_blocks;
    size_t *block = number_blocks(&n_blocks, g);

    for (size_t b = 0; b < n_blocks; b++) {
        const char *name = NULL;
        bool is_trained = false;
        for (size_t i = 0; i < nn_table_n(table); i++) {
            const nn_param *p = nn_table_at(table, i);
            name = block[i] == b ? p->name : name;
            is_trained = is_trained || (block[i] == b && nn_kind_trainable(p->kind));
        }
        if (is_trained == trained) {
            fl_buf_printf(out, "%s%.*s", out->n > 0 ? " " : "", (int)block_length(name), name);
        }
    }
    free(block);
}

/* ---------------------------------------------------------------- freezing */

static fl_status freeze_by_pattern(bool *frozen, const nn_table *table, const char *pattern,
                                   fl_err *err)
{
    size_t *index;
    nn_table *found = nn_table_filter(table, &pattern, 1, 0, &index);
    size_t n = nn_table_n(found);

    for (size_t i = 0; i < n; i++) {
        frozen[index[i]] = true;
    }
    nn_table_destroy(&found);
    free(index);
    return n > 0 ? FL_OK
                 : fl_fail(err, FL_ECONFIG,
                           "freeze: no parameter matches %.80s; they are called %.80s ...", pattern,
                           nn_table_n(table) > 0 ? nn_table_at(table, 0)->name : "");
}

static fl_status freeze_all_but_last(bool *frozen, const nn_graph *g, int64_t train_last,
                                     fl_err *err)
{
    size_t n_blocks;
    size_t *block = number_blocks(&n_blocks, g);

    for (size_t i = 0; i < nn_table_n(nn_graph_table(g)); i++) {
        frozen[i] = frozen[i] || (int64_t)block[i] < (int64_t)n_blocks - train_last;
    }
    free(block);
    return train_last <= (int64_t)n_blocks
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "train_last: the model has %zu blocks", n_blocks);
}

static bool is_anything_trained(const nn_table *table, const bool *frozen)
{
    for (size_t i = 0; i < nn_table_n(table); i++) {
        if (!frozen[i] && nn_kind_trainable(nn_table_at(table, i)->kind)) {
            return true;
        }
    }
    return false;
}

fl_status nn_transfer_freeze(nn_graph *g, const char *const *patterns, size_t n, int64_t train_last,
                             fl_err *err)
{
    const nn_table *table = nn_graph_table(g);
    bool *frozen = fl_xcalloc(nn_table_n(table), sizeof *frozen);
    fl_status st = FL_OK;

    for (size_t i = 0; i < n && st == FL_OK; i++) {
        st = freeze_by_pattern(frozen, table, patterns[i], err);
    }
    if (st == FL_OK && train_last > 0) {
        st = freeze_all_but_last(frozen, g, train_last, err);
    }
    if (st == FL_OK && !is_anything_trained(table, frozen)) {
        st = fl_fail(err, FL_ECONFIG, "freeze: nothing would be left to train");
    }
    if (st == FL_OK) {
        nn_graph_freeze(g, frozen, nn_table_n(table));
    }
    free(frozen);
    return st;
}

/* ----------------------------------------------------------------- cutting */

static bool reads_param(const nn_graph *g, const nn_node *node, const char *under)
{
    for (size_t k = 0; k < node->n_in; k++) {
        int64_t p = node->in[k] < 0 ? -1 : nn_graph_param_index(g, node->in[k]);
        if (p >= 0 &&
            (under == NULL || names(under, nn_table_at(nn_graph_table(g), (size_t)p)->name))) {
            return true;
        }
    }
    return false;
}

static bool is_output(const nn_graph *g, nn_value v)
{
    for (size_t i = 0; i < nn_graph_n_outputs(g); i++) {
        if (nn_graph_output_at(g, i) == v) {
            return true;
        }
    }
    return false;
}

/* The only node that reads v; NULL when there are several or none. */
static const nn_node *only_reader(const nn_graph *g, nn_value v)
{
    const nn_node *reader = NULL;

    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        for (size_t k = 0; k < node->n_in; k++) {
            if (node->in[k] == v && node != reader) {
                if (reader != NULL) {
                    return NULL;
                }
                reader = node;
            }
        }
    }
    return reader;
}

fl_status nn_transfer_find(nn_value *out, const nn_graph *g, const char *name, fl_err *err)
{
    const nn_node *last = NULL;

    *out = -1;
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        if (strcmp(node->name, name) == 0 ||
            strcmp(nn_graph_value_name(g, node->out[0]), name) == 0) {
            *out = node->out[0];  // that very one, and nothing behind it
            return FL_OK;
        }
        if (reads_param(g, node, name)) {
            last = node;
        }
    }
    if (last == NULL) {
        return fl_fail(
            err, FL_ECONFIG,
            "truncate_after: no layer, block or node is called %.80s; the layers are "
            "called %.80s ...",
            name, nn_table_n(nn_graph_table(g)) > 0 ? nn_table_at(nn_graph_table(g), 0)->name : "");
    }
    *out = last->out[0];
    for (const nn_node *next = only_reader(g, *out);
         next != NULL && !is_output(g, *out) && !reads_param(g, next, NULL);
         next = only_reader(g, *out)) {
        *out = next->out[0];
    }
    return FL_OK;
}
