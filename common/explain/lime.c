/*
 * lime.c - LIME; see explain.h
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "explain/explain.h"
#include "nn/blas.h"

void explain_lime_defaults(explain_lime_config *cfg)
{
    *cfg = (explain_lime_config){.n_samples = 1000, .kernel_width = 0.25, .ridge = 1, .seed = 1};
}

/* What was asked, answered, and how near to the case it is. */
typedef struct {
    size_t n, M;
    bool *present;   // (n, M)
    double *answer;  // (n)
    double *weight;  // (n)
} samples;

/* 1 - cosine of the sample and the whole case. */
static double distance(const bool *present, size_t M)
{
    size_t there = 0;
    for (size_t j = 0; j < M; j++) {
        there += present[j];
    }
    return there == 0 ? 1 : 1 - sqrt((double)there / (double)M);
}

static void draw(samples *s, const explain_lime_config *cfg)
{
    fl_rng rng;
    fl_rng_init(&rng, cfg->seed, "lime", "", 0);
    for (size_t i = 0; i < s->n; i++) {
        bool *z = s->present + i * s->M;
        for (size_t j = 0; j < s->M; j++) {
            z[j] = i == 0 || fl_rng_uniform(&rng) < 0.5;
        }
        double d = distance(z, s->M) / cfg->kernel_width;
        s->weight[i] = exp(-d * d);
    }
}

/* Weighted means of the features (M) and, behind them, of the answer. */
static void means(double *mean, const samples *s)
{
    double total = 0;
    memset(mean, 0, (s->M + 1) * sizeof *mean);
    for (size_t i = 0; i < s->n; i++) {
        total += s->weight[i];
        for (size_t j = 0; j < s->M; j++) {
            mean[j] += s->present[i * s->M + j] ? s->weight[i] : 0;
        }
        mean[s->M] += s->weight[i] * s->answer[i];
    }
    for (size_t j = 0; j <= s->M; j++) {
        mean[j] /= total;
    }
}

/* Ridge on centred features: the intercept is not penalised. */
static fl_status fit(double *weight, const double *mean, const samples *s, double ridge,
                     fl_err *err)
{
    size_t M = s->M;
    double *left = fl_xcalloc(M * M, sizeof *left), *d = fl_xcalloc(M, sizeof *d);
    memset(weight, 0, M * sizeof *weight);
    for (size_t i = 0; i < s->n; i++) {
        double r = s->answer[i] - mean[M];
        for (size_t j = 0; j < M; j++) {
            d[j] = (double)s->present[i * M + j] - mean[j];
        }
        for (size_t j = 0; j < M; j++) {
            double scaled = s->weight[i] * d[j];
            for (size_t k = 0; k <= j; k++) {
                left[j * M + k] += scaled * d[k];
            }
            weight[j] += scaled * r;
        }
    }
    for (size_t j = 0; j < M; j++) {
        left[j * M + j] += ridge;
    }
    bool solved = nn_blas_solve(weight, left, (int64_t)M);
    free(d);
    free(left);
    return solved ? FL_OK
                  : fl_fail(err, FL_EUSAGE, "lime: too few samples for %zu features", M);
}

static double explained(const double *weight, double intercept, double mean, const samples *s)
{
    double error = 0, total = 0;
    for (size_t i = 0; i < s->n; i++) {
        double fitted = intercept;
        for (size_t j = 0; j < s->M; j++) {
            fitted += s->present[i * s->M + j] ? weight[j] : 0;
        }
        error += s->weight[i] * (s->answer[i] - fitted) * (s->answer[i] - fitted);
        total += s->weight[i] * (s->answer[i] - mean) * (s->answer[i] - mean);
    }
    return total > 0 ? 1 - error / total : NAN;
}

fl_status explain_lime(double *weight, double *intercept, double *r2, const explain_game *g,
                       const explain_lime_config *cfg, fl_err *err)
{
    size_t M = g->n_features, n = cfg->n_samples;
    FL_REQUIRE(M >= 1 && M <= EXPLAIN_MAX_FEATURES && n > 0 && cfg->kernel_width > 0);
    samples s = {.n = n, .M = M};
    s.present = fl_calloc(n, M * sizeof *s.present, "lime's samples", err);
    s.answer = fl_calloc(n, sizeof *s.answer, "lime's samples", err);
    s.weight = fl_calloc(n, sizeof *s.weight, "lime's samples", err);
    double *mean = fl_xcalloc(M + 1, sizeof *mean);
    fl_status st = s.present != NULL && s.answer != NULL && s.weight != NULL ? FL_OK : FL_ELIMIT;
    if (st == FL_OK) {
        draw(&s, cfg);
        st = g->ask(g->ctx, s.answer, s.present, n, err);
    }
    if (st == FL_OK) {
        means(mean, &s);
        st = fit(weight, mean, &s, cfg->ridge, err);
    }
    if (st == FL_OK) {
        *intercept = mean[M];
        for (size_t j = 0; j < M; j++) {
            *intercept -= weight[j] * mean[j];
        }
        *r2 = explained(weight, *intercept, mean[M], &s);
    }
    free(mean);
    free(s.weight);
    free(s.answer);
    free(s.present);
    return st;
}
