/*
 * ckpt.c - notes of a file, and loading by name from either format; see ckpt.h
 */
#include "ckpt/ckpt.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

/* ------------------------------------------------------------------- notes */

void ckpt_meta_add(ckpt_meta *m, const char *key, const char *value)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->keys[i], key) == 0) {
            free(m->values[i]);
            m->values[i] = fl_xstrdup(value);
            return;
        }
    }
    m->keys = fl_xrealloc(m->keys, m->n + 1, sizeof *m->keys);
    m->values = fl_xrealloc(m->values, m->n + 1, sizeof *m->values);
    m->keys[m->n] = fl_xstrdup(key);
    m->values[m->n] = fl_xstrdup(value);
    m->n++;
}

const char *ckpt_meta_get(const ckpt_meta *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->keys[i], key) == 0) {
            return m->values[i];
        }
    }
    return NULL;
}

void ckpt_meta_clear(ckpt_meta *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->keys[i]);
        free(m->values[i]);
    }
    FL_FREE(m->keys);
    FL_FREE(m->values);
    m->n = 0;
}

/* ---------------------------------------------------------- loading by name */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

void ckpt_match_clear(ckpt_match *m)
{
    free(m->matched);
    free(m->other_shape);
    free(m->missing);
    free(m->extra);
    *m = (ckpt_match){0};
}

static void add_line(fl_buf *out, const char *what, const char *names)
{
    if (names != NULL && names[0] != '\0') {
        fl_buf_printf(out, "  %s: %s\n", what, names);
    }
}

char *ckpt_match_text(const ckpt_match *m, const char *path)
{
    fl_buf out = FL_BUF_INIT;

    fl_buf_printf(&out, "%s: %zu of the model's %zu parameters start from it\n", path, m->n_matched,
                  m->n);
    add_line(&out, "from the file", m->matched);
    add_line(&out, "not from the file, whose shape differs", m->other_shape);
    add_line(&out, "not in the file", m->missing);
    add_line(&out, "only in the file, not used", m->extra);
    return fl_buf_take(&out);
}

typedef struct {
    fl_buf matched, other_shape, missing, extra;
} lists;

static void add_name(fl_buf *list, const char *name, size_t n)
{
    fl_buf_printf(list, "%s%.*s", list->n > 0 ? " " : "", (int)n, name);
}

/* The name's layer, unless the one before it was of the same. */
static void add_layer(fl_buf *list, const char *name, const char *before)
{
    const char *dot = strrchr(name, '.');
    size_t n = dot != NULL ? (size_t)(dot - name) : strlen(name);

    if (before == NULL || strncmp(name, before, n) != 0 || (before[n] != '.' && before[n] != '\0') ||
        strrchr(before, '.') != before + n) {
        add_name(list, name, n);
    }
}

static fl_status fail_frozen(const nn_param *p, const char *why, fl_err *err)
{
    return fl_fail(err, FL_ECONFIG, "%s is frozen, but %s", p->name, why);
}

/* Copies into data every entry of table that from has too. */
static fl_status copy_matching(const nn_table *table, float *data, size_t *n_matched, lists *out,
                               const nn_table *from, const float *values, fl_err *err)
{
    char ours[128], theirs[128];
    const char *before = NULL;
    fl_status st = FL_OK;

    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i), *q = nn_table_find(from, p->name);
        bool is_frozen = p->kind == NN_FROZEN;
        if (q == NULL) {
            add_name(&out->missing, p->name, strlen(p->name));
            st = is_frozen && st == FL_OK ? fail_frozen(p, "the file does not hold it", err) : st;
        } else if (!nn_shape_equal(&p->shape, &q->shape)) {
            nn_shape_text(ours, sizeof ours, &p->shape);
            nn_shape_text(theirs, sizeof theirs, &q->shape);
            fl_buf_printf(&out->other_shape, "%s%s (%s there, %s here)",
                          out->other_shape.n > 0 ? ", " : "", p->name, theirs, ours);
            st = is_frozen && st == FL_OK ? fail_frozen(p, "has another shape in the file", err)
                                          : st;
        } else {
            nn_vec_copy(data + p->offset, values + q->offset, p->count);
            add_layer(&out->matched, p->name, before);
            before = p->name;
            ++*n_matched;
        }
    }
    for (size_t i = 0; i < nn_table_n(from); i++) {
        const char *name = nn_table_at(from, i)->name;
        if (nn_table_find(table, name) == NULL) {
            add_name(&out->extra, name, strlen(name));
        }
    }
    return st != FL_OK || *n_matched > 0
               ? st
               : fl_fail(err, FL_ECONFIG, "no name of the file is one of this model's (%s ...)%s%s",
                         nn_table_n(table) > 0 ? nn_table_at(table, 0)->name : "none",
                         out->other_shape.n > 0 ? " with its shape: " : "",
                         out->other_shape.n > 0 ? out->other_shape.data : "");
}

fl_status ckpt_load_into(const char *path, const nn_table *table, float *data, ckpt_match *match,
                         fl_err *err)
{
    fl_status st;
    nn_table *from = NULL;
    nn_graph *g = NULL;
    float *values = NULL;
    lists out = {FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT};

    *match = (ckpt_match){.n = nn_table_n(table)};
    if (ends_with(path, ".onnx")) {
        st = ckpt_onnx_read(&g, &values, NULL, path, err);
    } else if (ends_with(path, ".safetensors")) {
        st = ckpt_safetensors_read(&from, &values, NULL, path, err);
    } else {
        st = fl_fail(err, FL_ECONFIG, "%s: expected a .safetensors or .onnx file", path);
    }
    if (st != FL_OK) {
        return st;
    }
    st = copy_matching(table, data, &match->n_matched, &out, g != NULL ? nn_graph_table(g) : from,
                       values, err);
    match->matched = fl_buf_take(&out.matched);
    match->other_shape = fl_buf_take(&out.other_shape);
    match->missing = fl_buf_take(&out.missing);
    match->extra = fl_buf_take(&out.extra);
    nn_table_destroy(&from);
    nn_graph_destroy(&g);
    free(values);
    return st == FL_OK ? st : fl_wrap(err, st, "%s", path);
}
