/*
 * bench_nn.c - how fast networks train, beside the machine's measured peak
 *
 * Each row runs in a process of its own, so that its memory is its own.  The
 * figure is the best of several rounds: what the engine can do when nothing
 * else runs.  share_of_peak: multiplications and additions of the plain
 * algorithms per second, over those of OpenBLAS on a matrix product of 1024
 * cubed on as many threads (Winograd does fewer, so it may pass 1).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "model/model.h"
#include "nn/blas.h"
#include "nn/optim.h"
#include "nn/plan.h"

enum { GEMM = 1024, ROUNDS = 7 };
static const double round_seconds = 0.4;

typedef struct {
    const char *name;  // of the row
    const char *model;
    nn_shape input;
    int64_t n_outputs, batch;
    int threads;
    const char *unit;  // "images/s" or "steps/s"
} row;

typedef struct {
    double rate, flops, mb;  // units and operations a second; peak resident memory
} figure;

/* ------------------------------------------------------------------- the peak */

static void multiply(void *ctx, size_t item)
{
    float *a = *(float **)ctx, *b = a + GEMM * GEMM, *c = b + GEMM * GEMM * (1 + item);

    nn_blas_gemm(c, a, b, GEMM, GEMM, GEMM);
}

/* Floating-point operations a second of matrix products on n threads. */
static double measure_peak(int threads)
{
    float *a = fl_xcalloc((size_t)GEMM * GEMM * (size_t)(2 + threads), sizeof *a);
    double best = INFINITY;

    for (int i = 0; i < GEMM * GEMM * 2; i++) {
        a[i] = (float)(i % 13) / 13;
    }
    for (int i = 0; i < ROUNDS; i++) {
        double start = fl_now();
        fl_parallel(threads, (size_t)threads, multiply, &a);
        best = fmin(best, fl_now() - start);
    }
    free(a);
    return 2.0 * GEMM * GEMM * GEMM * threads / best;
}

/* --------------------------------------------------------------------- a row */

static void stop_unless_ok(fl_status st, const fl_err *err)
{
    if (st != FL_OK) {
        fprintf(stderr, "bench_nn: %s\n", err->text);
        exit(1);
    }
}

/* Operations of a training step: forward, by the weights, and by the inputs,
 * which the first layer leaves out. */
static double step_flops(const nn_graph *g, int64_t batch)
{
    const nn_node *first = nn_graph_node(g, 0);
    nn_shape y = *nn_graph_shape(g, first->out[0]);
    int64_t macs = nn_graph_macs(g), first_macs = 0;

    if (first->n_in > 1) {
        const nn_shape *w = nn_graph_shape(g, first->in[1]);
        first_macs = nn_shape_count(&y, 1) * (nn_shape_count(w, 1) / w->dim[0]);
    }
    return 2.0 * (double)(3 * macs - first_macs) * (double)batch;
}

static figure measure(const row *r)
{
    fl_err err = FL_ERR_INIT;
    model_config model;
    nn_graph *g;
    nn_plan *plan;
    nn_optim *optim;
    nn_optim_config sgd;
    nn_params params, grad;
    fl_rng rng;
    bool one = r->n_outputs == 1;
    nn_plan_config cfg = {.capacity = r->batch,
                          .train = true,
                          .precision = NN_FP32,
                          .threads = r->threads,
                          .loss = {one ? NN_LOSS_SIGMOID_CE : NN_LOSS_SOFTMAX_CE, NULL}};

    stop_unless_ok(model_config_parse(&model, r->model, &err), &err);
    stop_unless_ok(model_build(&g, &model, &(model_io){r->input, r->n_outputs}, &err), &err);
    stop_unless_ok(nn_params_init(&params, nn_graph_table(g), &err), &err);
    stop_unless_ok(nn_params_init(&grad, nn_graph_table(g), &err), &err);
    stop_unless_ok(nn_plan_new(&plan, g, &cfg, &err), &err);
    nn_optim_defaults(&sgd);
    stop_unless_ok(nn_optim_new(&optim, &sgd, nn_graph_table(g), &err), &err);
    nn_graph_init(g, params.data, 1);
    fl_rng_init(&rng, 1, "bench", "", 0);
    for (int64_t i = 0; i < nn_shape_count(&r->input, r->batch); i++) {
        nn_plan_input(plan, 0)[i] = (float)fl_rng_normal(&rng);
    }
    for (int64_t i = 0; i < r->batch; i++) {
        nn_plan_target(plan)[i] = (float)fl_rng_below(&rng, 2);
    }
    double best = INFINITY;  // seconds of a step
    for (int i = 0; i <= ROUNDS; i++) {
        int64_t steps = 0;
        double start = fl_now(), seconds;
        do {
            for (int k = 0; k < (one ? 1000 : 1); k++, steps++) {
                nn_plan_step(plan, params.data, grad.data, r->batch, &rng);
                nn_optim_step(optim, params.data, grad.data, 1);
            }
            seconds = fl_now() - start;
        } while (seconds < round_seconds);
        best = i > 0 ? fmin(best, seconds / (double)steps) : best;  // the first warms up
    }
    bool images = strcmp(r->unit, "images/s") == 0;
    figure f = {(images ? (double)r->batch : 1) / best, step_flops(g, r->batch) / best,
                (double)fl_peak_rss_bytes() / 1e6};
    nn_optim_destroy(&optim);
    nn_plan_destroy(&plan);
    nn_params_clear(&params);
    nn_params_clear(&grad);
    nn_graph_destroy(&g);
    return f;
}

/* measure() in a process of its own. */
static figure measure_apart(const row *r)
{
    int ends[2];
    figure f = {0, 0, 0};

    if (pipe(ends) != 0) {
        perror("bench_nn: pipe");
        exit(1);
    }
    pid_t child = fork();
    if (child == 0) {
        f = measure(r);
        _exit(write(ends[1], &f, sizeof f) == (ssize_t)sizeof f ? 0 : 1);
    }
    close(ends[1]);
    bool complete = child > 0 && read(ends[0], &f, sizeof f) == (ssize_t)sizeof f;
    close(ends[0]);
    waitpid(child, NULL, 0);
    if (!complete) {
        fprintf(stderr, "bench_nn: %s could not be measured\n", r->name);
        exit(1);
    }
    return f;
}

int main(int argc, char **argv)
{
    static const nn_shape px28 = {4, {NN_BATCH, 1, 28, 28}}, px64 = {4, {NN_BATCH, 1, 64, 64}};
    static const nn_shape table = {2, {NN_BATCH, 13}};
    const row rows[] = {
        {"train cnn, 28 px, batch 32", "cnn", px28, 2, 32, 1, "images/s"},
        {"train cnn, 28 px, batch 32", "cnn", px28, 2, 32, 2, "images/s"},
        {"train cnn, 28 px, batch 128", "cnn", px28, 2, 128, 1, "images/s"},
        {"train cnn, 28 px, batch 128", "cnn", px28, 2, 128, 2, "images/s"},
        {"train cnn, 64 px, batch 32", "cnn", px64, 2, 32, 1, "images/s"},
        {"train cnn, 64 px, batch 32", "cnn", px64, 2, 32, 2, "images/s"},
        {"train logistic, 13 features, batch 4", "logistic", table, 1, 4, 1, "steps/s"},
    };
    char backend[128];

    if (getenv("OMP_WAIT_POLICY") == NULL) {  // OpenMP reads it before main
        setenv("OMP_WAIT_POLICY", "passive", 0);
        execv("/proc/self/exe", argv);
    }
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (argc > 1 && out == NULL) {
        perror(argv[1]);
        return 1;
    }
    double peak[] = {0, measure_peak(1), measure_peak(2)};
    nn_backend_text(backend, sizeof backend);
    printf("%s; matrix products on 1 and 2 threads: %.0f and %.0f GFLOP/s\n", backend,
           peak[1] / 1e9, peak[2] / 1e9);
    printf("%-40s %7s %12s %10s %8s\n", "", "threads", "", "GFLOP/s", "MB");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const row *r = &rows[i];
        figure f = measure_apart(r);
        printf("%-40s %7d %12.0f %10.1f %8.1f  %s\n", r->name, r->threads, f.rate, f.flops / 1e9,
               f.mb, r->unit);
        fflush(stdout);
        if (out != NULL) {
            fprintf(out,
                    "{\"name\": \"%s\", \"threads\": %d, \"precision\": \"fp32\", "
                    "\"ours\": %.1f, \"unit\": \"%s\", \"peer\": null, \"peer_name\": null, "
                    "\"ratio\": null, \"ours_mb\": %.1f, \"peer_mb\": null, "
                    "\"share_of_peak\": %.3f}\n",
                    r->name, r->threads, f.rate, r->unit, f.mb, f.flops / peak[r->threads]);
        }
    }
    return out != NULL && fclose(out) != 0;
}
