/*
 * tool_aggregate.c - `coordinator aggregate`: one aggregation step, offline
 *
 * The same function as a round's, on safetensors files: for checking a
 * federation by hand, and for trying strategies.  U are updates, that is
 * trained - global, over the global's table.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/aggregate.h"
#include "coordinator/tools.h"
#include "coordinator/vectors.h"

static struct {
    const char *strategy, *state, *out, *global;
    fl_texts param;
    bool uniform;
} o;

static const fl_opt options[] = {
    {"strategy", FL_OPT_TEXT, "S",
     "fedavg, fedprox, fedavgm, fedadam, fedyogi, fedadagrad, median, trimmed_mean, krum or "
     "multi_krum",
     &o.strategy, 0, 0, true},
    {"param", FL_OPT_LIST, "K=V", "a setting of the strategy: lr=0.1", &o.param, 0, 0, false},
    {"uniform", FL_OPT_FLAG, NULL, "every update weighs the same", &o.uniform, 0, 0, false},
    {"state", FL_OPT_TEXT, "FILE",
     "the strategy's vectors between steps: read if it is there, then written", &o.state, 0, 0,
     false},
    {"global", FL_OPT_TEXT, "G", "the model that the updates start from, safetensors", &o.global, 0,
     0, true},
    {"out", FL_OPT_TEXT, "OUT", "where the new model goes, safetensors", &o.out, 0, 0, true},
    {0},
};

const fl_opt *coordinator_aggregate_options(void)
{
    return options;
}

typedef struct {
    size_t n;
    float **update;
    uint64_t *weight;
} updates;

static fl_status read_values(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                             fl_err *err)
{
    (void)err;
    memcpy(out, ((const updates *)ctx)->update[i] + offset, (size_t)count * sizeof *out);
    return FL_OK;
}

/* "FILE:n" */
static fl_status read_update(updates *u, const char *text, const nn_table *table, fl_err *err)
{
    nn_table *found = NULL;
    float *data = NULL;
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    errno = 0;
    long long weight = colon != NULL ? strtoll(colon + 1, &end, 10) : 0;
    if (colon == NULL || end == colon + 1 || *end != '\0' || errno != 0 || weight < 1) {
        return fl_fail(err, FL_EUSAGE, "%s: expected UPDATE.safetensors:N with N >= 1 cases", text);
    }
    char *path = fl_xstrndup(text, (size_t)(colon - text));
    fl_status st = ckpt_safetensors_read(&found, &data, NULL, path, err);
    bool fits = st == FL_OK && nn_table_n(found) == nn_table_n(table);
    for (size_t i = 0; fits && i < nn_table_n(table); i++) {
        const nn_param *a = nn_table_at(found, i), *b = nn_table_at(table, i);
        fits = strcmp(a->name, b->name) == 0 && nn_shape_equal(&a->shape, &b->shape);
    }
    if (st == FL_OK && !fits) {
        st = fl_fail(err, FL_EFORMAT, "%s: its table of names and shapes is not the global's",
                     path);
    }
    if (st == FL_OK) {
        u->update = fl_xrealloc(u->update, u->n + 1, sizeof *u->update);
        u->weight = fl_xrealloc(u->weight, u->n + 1, sizeof *u->weight);
        u->update[u->n] = data;
        u->weight[u->n++] = (uint64_t)weight;
        data = NULL;
    }
    free(data);
    free(path);
    nn_table_destroy(&found);
    return st;
}

static fl_status read_settings(strategy *s, fl_err *err)
{
    job_strategy cfg = {.uniform = o.uniform};
    if (strlen(o.strategy) >= sizeof cfg.name) {
        return fl_fail(err, FL_EUSAGE, "--strategy: no strategy has so long a name");
    }
    snprintf(cfg.name, sizeof cfg.name, "%s", o.strategy);
    for (size_t i = 0; i < o.param.n; i++) {
        const char *equals = strchr(o.param.items[i], '=');
        char *end = NULL;
        double value = equals != NULL ? strtod(equals + 1, &end) : 0;
        if (equals == NULL || end == equals + 1 || *end != '\0' || cfg.n_params == JOB_MAX_PARAMS ||
            (size_t)(equals - o.param.items[i]) >= sizeof cfg.param[0].key) {
            return fl_fail(err, FL_EUSAGE, "--param %s: expected KEY=NUMBER", o.param.items[i]);
        }
        snprintf(cfg.param[cfg.n_params].key, sizeof cfg.param[0].key, "%.*s",
                 (int)(equals - o.param.items[i]), o.param.items[i]);
        cfg.param[cfg.n_params++].value = value;
    }
    return strategy_init(s, &cfg, err);
}

static fl_status load_state(float ***vectors, const strategy *s, int64_t P, fl_err *err)
{
    if (o.state == NULL && s->ops->n_vectors > 0) {
        fprintf(stderr,
                "note: %s keeps vectors between steps; without --state every step is a first one\n",
                s->ops->name);
    }
    if (o.state != NULL && fl_file_exists(o.state)) {
        return vectors_read(vectors, o.state, s, P, err);
    }
    *vectors = vectors_new(s, P, err);
    return *vectors != NULL ? FL_OK : FL_ELIMIT;
}

fl_status coordinator_aggregate(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    strategy s = {0};
    nn_table *table = NULL;
    float *global = NULL, *out = NULL, **vectors = NULL;
    bool *counted = NULL;
    updates u = {0};
    ckpt_meta meta = {NULL, NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, options, 1, SIZE_MAX, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = read_settings(&s, err)) != FL_OK ||
        (st = ckpt_safetensors_read(&table, &global, &meta, o.global, err)) != FL_OK) {
        goto done;
    }
    int64_t P = nn_table_count(table);
    for (size_t i = 0; i < pos.n && st == FL_OK; i++) {
        st = read_update(&u, pos.items[i], table, err);
    }
    if (st != FL_OK || (st = load_state(&vectors, &s, P, err)) != FL_OK) {
        goto done;
    }
    out = fl_calloc_aligned((size_t)P, sizeof *out, "the new model", err);
    if (out == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    counted = fl_xcalloc(u.n, sizeof *counted);
    aggregate_input in = {.n = u.n, .weight = u.weight, .ctx = &u, .read = read_values};
    if ((st = aggregate_run(out, counted, vectors, &s, table, global, &in, err)) != FL_OK) {
        goto done;
    }
    if (o.state != NULL && s.ops->n_vectors > 0 &&
        (st = vectors_write(o.state, &s, P, vectors, err)) != FL_OK) {
        goto done;
    }
    st = ckpt_safetensors_write(o.out, table, out, &meta, err);
    if (st == FL_OK) {
        printf("%s: %s of %zu update%s, %" PRId64 " parameters\n", o.out, s.ops->name, u.n,
               u.n == 1 ? "" : "s", P);
    }
    for (size_t i = 0; i < u.n && st == FL_OK && s.ops->choose != NULL; i++) {
        printf("  %s %s\n", counted[i] ? "counts:  " : "left out:", pos.items[i]);
    }
done:
    vectors_free(&vectors, &s);
    for (size_t i = 0; i < u.n; i++) {
        free(u.update[i]);
    }
    free(u.update);
    free(u.weight);
    free(counted);
    free(out);
    free(global);
    ckpt_meta_clear(&meta);
    nn_table_destroy(&table);
    free(pos.items);
    free(o.param.items);
    return st;
}
