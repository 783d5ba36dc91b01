/*
 * trainer.c - our side of a race; see trainer.h
 */
#include "bench/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "model/model.h"
#include "nn/optim.h"

static const double lr = 1e-3;  // peer_torch.py has the same

typedef struct {
    const trainer_row *row;
    nn_graph *g;
    nn_plan *plan;
    nn_optim *optim;
    nn_params params, grad;
    fl_rng rng;
} trainer;

static fl_status build(nn_graph **out, const trainer_row *row, fl_err *err)
{
    model_config model;

    *out = NULL;
    fl_status st = model_config_parse(&model, row->model, err);
    return st != FL_OK ? st
                       : model_build(out, &model, &(model_io){row->input, row->n_outputs}, err);
}

int64_t trainer_n_targets(const trainer_row *row)
{
    nn_shape pixels = row->input;

    pixels.dim[1] = 1;
    return strncmp(row->peer, "unet", 4) == 0 ? nn_shape_count(&pixels, row->batch) : row->batch;
}

double trainer_step_flops(const trainer_row *row)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g;
    int64_t first_macs = 0;

    if (build(&g, row, &err) != FL_OK) {
        return 0;
    }
    const nn_node *first = nn_graph_node(g, 0);
    if (first->n_in > 1) {
        nn_shape y = *nn_graph_shape(g, first->out[0]);
        const nn_shape *w = nn_graph_shape(g, first->in[1]);
        first_macs = nn_shape_count(&y, 1) * (nn_shape_count(w, 1) / w->dim[0]);
    }
    double flops = 2.0 * (double)(3 * nn_graph_macs(g) - first_macs) * (double)row->batch;
    nn_graph_destroy(&g);
    return flops;
}

static fl_status read_batch(trainer *t, const char *path, fl_err *err)
{
    size_t n, n_input = (size_t)nn_shape_count(&t->row->input, t->row->batch);
    size_t n_target = (size_t)trainer_n_targets(t->row);
    char *bytes;

    fl_status st = fl_file_read(&bytes, &n, path, 1u << 30, err);
    if (st != FL_OK) {
        return st;
    }
    FL_REQUIRE(n == (n_input + n_target) * sizeof(float));
    memcpy(nn_plan_input(t->plan, 0), bytes, n_input * sizeof(float));
    memcpy(nn_plan_target(t->plan), bytes + n_input * sizeof(float), n_target * sizeof(float));
    free(bytes);
    return FL_OK;
}

static fl_status make(trainer *t, int threads, const char *batch_file, fl_err *err)
{
    nn_optim_config sgd;
    nn_plan_config cfg = {.capacity = t->row->batch,
                          .train = true,
                          .precision = t->row->precision,
                          .threads = threads,
                          .loss = {.kind = t->row->loss}};
    fl_status st;

    nn_optim_defaults(&sgd);
    sgd.lr = lr;
    if ((st = build(&t->g, t->row, err)) != FL_OK ||
        (st = nn_params_init(&t->params, nn_graph_table(t->g), err)) != FL_OK ||
        (st = nn_params_init(&t->grad, nn_graph_table(t->g), err)) != FL_OK ||
        (st = nn_plan_new(&t->plan, t->g, &cfg, err)) != FL_OK ||
        (st = nn_optim_new(&t->optim, &sgd, nn_graph_table(t->g), err)) != FL_OK) {
        return st;
    }
    nn_graph_init(t->g, t->params.data, 1);
    fl_rng_init(&t->rng, 1, "bench", "", 0);
    return read_batch(t, batch_file, err);
}

static void clear(trainer *t)
{
    nn_optim_destroy(&t->optim);
    nn_plan_destroy(&t->plan);
    nn_params_clear(&t->params);
    nn_params_clear(&t->grad);
    nn_graph_destroy(&t->g);
}

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void steps(trainer *t, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        nn_plan_step(t->plan, t->params.data, t->grad.data, t->row->batch, &t->rng);
        nn_optim_step(t->optim, t->params.data, t->grad.data, 1);
    }
}

/* At least one step; looks at the clock about a hundred times a round. */
static void round_of(trainer *t, double seconds, double step_seconds)
{
    int64_t at_once = (int64_t)(seconds / 100 / step_seconds), done = 0;
    double start = fl_now(), cpu = cpu_now(), passed;

    at_once = at_once < 1 ? 1 : at_once;
    do {
        steps(t, at_once);
        done += at_once;
        passed = fl_now() - start;
    } while (passed + (double)at_once * passed / (double)done / 2 < seconds);
    printf("did %lld %.9f %.9f\n", (long long)done, passed, cpu_now() - cpu);
}

static int64_t n_trained(const nn_graph *g)
{
    const nn_table *table = nn_graph_table(g);
    int64_t n = 0;

    for (size_t i = 0; i < nn_table_n(table); i++) {
        n += nn_kind_trainable(nn_table_at(table, i)->kind) ? nn_table_at(table, i)->count : 0;
    }
    return n;
}

int trainer_main(const trainer_row *row, int threads, const char *batch_file)
{
    fl_err err = FL_ERR_INIT;
    trainer t = {.row = row};
    char line[64], who[128];
    double seconds;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (make(&t, threads, batch_file, &err) != FL_OK) {
        printf("cannot %s\n", err.text);
        clear(&t);
        return 0;
    }
    steps(&t, 1);  // the first one touches the memory
    double start = fl_now();
    steps(&t, 1);
    double step_seconds = fl_now() - start;
    nn_backend_text(who, sizeof who);
    printf("ready %lld %s\n", (long long)n_trained(t.g), who);
    while (fgets(line, sizeof line, stdin) != NULL && sscanf(line, "run %lf", &seconds) == 1) {
        round_of(&t, seconds, step_seconds);
    }
    printf("peak %zu\n", fl_peak_rss_bytes());
    clear(&t);
    return 0;
}
