/*
 * ckpt.c - notes of a file, and loading by name from either format; see ckpt.h
 */
#include "ckpt/ckpt.h"

#include <stdlib.h>
#include <string.h>

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

/* Copies into data every entry of table that from has too. */
static fl_status copy_matching(const nn_table *table, float *data, size_t *n_matched,
                               const nn_table *from, const float *values, fl_err *err)
{
    char ours[128], theirs[128];

    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i), *q = nn_table_find(from, p->name);
        if (q == NULL) {
            continue;
        }
        if (!nn_shape_equal(&p->shape, &q->shape)) {
            nn_shape_text(ours, sizeof ours, &p->shape);
            nn_shape_text(theirs, sizeof theirs, &q->shape);
            return fl_fail(err, FL_ECONFIG, "%s is %s there, but %s in this model", p->name, theirs,
                           ours);
        }
        nn_vec_copy(data + p->offset, values + q->offset, p->count);
        ++*n_matched;
    }
    return *n_matched > 0
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "no name of the file is one of this model's (%s ...)",
                         nn_table_n(table) > 0 ? nn_table_at(table, 0)->name : "none");
}

fl_status ckpt_load_into(const char *path, const nn_table *table, float *data, size_t *n_matched,
                         fl_err *err)
{
    fl_status st;
    nn_table *from = NULL;
    nn_graph *g = NULL;
    float *values = NULL;

    *n_matched = 0;
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
    st = copy_matching(table, data, n_matched, g != NULL ? nn_graph_table(g) : from, values, err);
    nn_table_destroy(&from);
    nn_graph_destroy(&g);
    free(values);
    return st == FL_OK ? st : fl_wrap(err, st, "%s", path);
}
