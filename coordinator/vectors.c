/*
 * vectors.c - see vectors.h
 */
#include "coordinator/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ckpt/ckpt.h"

void vectors_free(float ***vectors, const strategy *s)
{
    if (*vectors != NULL) {
        for (int v = 0; v < s->ops->n_vectors; v++) {
            free((*vectors)[v]);
        }
        FL_FREE(*vectors);
    }
}

float **vectors_new(const strategy *s, int64_t P, fl_err *err)
{
    float **vectors = fl_xcalloc(STRATEGY_MAX_VECTORS, sizeof *vectors);
    for (int v = 0; v < s->ops->n_vectors; v++) {
        vectors[v] = fl_calloc_aligned((size_t)P, sizeof(float), "the strategy's state", err);
        if (vectors[v] == NULL) {
            vectors_free(&vectors, s);
            return NULL;
        }
        float start = strategy_vector_start(s, v);
        for (int64_t i = 0; i < P; i++) {
            vectors[v][i] = start;
        }
    }
    return vectors;
}

static nn_table *vectors_table(const strategy *s, int64_t P)
{
    nn_table *table = nn_table_new();
    for (int v = 0; v < s->ops->n_vectors; v++) {
        char name[32];
        snprintf(name, sizeof name, "vector.%d", v);
        nn_shape shape = {1, {P}};
        if (nn_table_add(table, name, NN_STAT, &shape, NULL) != FL_OK) {
            nn_table_destroy(&table);
            return NULL;
        }
    }
    return table;
}

fl_status vectors_write(const char *path, const strategy *s, int64_t P, float *const *vectors,
                        fl_err *err)
{
    nn_table *table = vectors_table(s, P);
    if (table == NULL) {
        return fl_fail(err, FL_ELIMIT, "the strategy's state is too large to be written");
    }
    ckpt_meta meta = {NULL, NULL, 0};
    ckpt_meta_add(&meta, "strategy", s->ops->name);
    size_t n = (size_t)s->ops->n_vectors;
    float *joined = fl_calloc(n * (size_t)P, sizeof *joined, "the strategy's state", err);
    fl_status st = joined != NULL ? FL_OK : FL_ELIMIT;
    if (st == FL_OK) {
        for (size_t v = 0; v < n; v++) {
            memcpy(joined + v * (size_t)P, vectors[v], (size_t)P * sizeof *joined);
        }
        st = ckpt_safetensors_write(path, table, joined, &meta, err);
    }
    free(joined);
    ckpt_meta_clear(&meta);
    nn_table_destroy(&table);
    return st;
}

fl_status vectors_read(float ***vectors, const char *path, const strategy *s, int64_t P,
                       fl_err *err)
{
    *vectors = NULL;
    nn_table *found = NULL, *wanted = vectors_table(s, P);
    float *joined = NULL;
    ckpt_meta meta = {NULL, NULL, 0};
    fl_status st = ckpt_safetensors_read(&found, &joined, &meta, path, err);
    if (st != FL_OK) {
        goto done;
    }
    const char *name = ckpt_meta_get(&meta, "strategy");
    if (wanted == NULL || !nn_table_equal(found, wanted) || name == NULL ||
        strcmp(name, s->ops->name) != 0) {
        st = fl_fail(err, FL_EFORMAT, "%s: not the state of %s over %lld parameters", path,
                     s->ops->name, (long long)P);
        goto done;
    }
    *vectors = vectors_new(s, P, err);
    if (*vectors == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    for (int v = 0; v < s->ops->n_vectors; v++) {
        memcpy((*vectors)[v], joined + (int64_t)v * P, (size_t)P * sizeof *joined);
    }
done:
    free(joined);
    ckpt_meta_clear(&meta);
    nn_table_destroy(&found);
    nn_table_destroy(&wanted);
    return st;
}
