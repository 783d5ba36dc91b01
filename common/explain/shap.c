/*
 * shap.c - kernel SHAP; see explain.h
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "explain/explain.h"
#include "nn/blas.h"

enum { MAX_EXACT = 20, ASKED_AT_ONCE = 256 };

/* Coalitions with their weights, asked about and added up a block at a time. */
typedef struct {
    const explain_game *g;
    double none, all;
    bool *present;      // (ASKED_AT_ONCE, M)
    double *weight;     // (ASKED_AT_ONCE)
    size_t n;           // waiting
    double *left;       // (M - 1, M - 1) sum w d d'
    double *right;      // (M - 1) sum w d r
} regression;

/*
 * The last feature is eliminated by the constraint: with d_j = z_j - z_last and
 * r = f(z) - none - z_last (all - none), r = sum over j < M - 1 of phi_j d_j.
 */
static fl_status add_block(regression *s, fl_err *err)
{
    double answer[ASKED_AT_ONCE], d[EXPLAIN_MAX_FEATURES];
    size_t M = s->g->n_features, m = M - 1;
    if (s->n == 0) {
        return FL_OK;
    }
    fl_status st = s->g->ask(s->g->ctx, answer, s->present, s->n, err);
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        const bool *z = s->present + i * M;
        double r = answer[i] - s->none - (z[m] ? s->all - s->none : 0);
        for (size_t j = 0; j < m; j++) {
            d[j] = (double)z[j] - (double)z[m];
        }
        for (size_t j = 0; j < m; j++) {
            if (d[j] == 0) {
                continue;
            }
            double scaled = s->weight[i] * d[j];
            for (size_t k = 0; k <= j; k++) {
                s->left[j * m + k] += scaled * d[k];
            }
            s->right[j] += scaled * r;
        }
    }
    s->n = 0;
    return st;
}

static fl_status add(regression *s, const bool *z, double weight, fl_err *err)
{
    size_t M = s->g->n_features;
    memcpy(s->present + s->n * M, z, M);
    s->weight[s->n++] = weight;
    return s->n == ASKED_AT_ONCE ? add_block(s, err) : FL_OK;
}

/* (M - 1) / (C(M, k) k (M - k)), equation of theorem 2. */
static double kernel(size_t M, size_t k)
{
    double m = (double)M, s = (double)k;
    double log_choose = lgamma(m + 1) - lgamma(s + 1) - lgamma(m - s + 1);
    return (m - 1) / (s * (m - s)) * exp(-log_choose);
}

static fl_status ask_all(regression *s, fl_err *err)
{
    size_t M = s->g->n_features;
    fl_status st = FL_OK;
    for (uint32_t set = 1; set + 1 < (uint32_t)1 << M && st == FL_OK; set++) {
        bool z[MAX_EXACT];
        size_t k = 0;
        for (size_t j = 0; j < M; j++) {
            z[j] = set >> j & 1;
            k += z[j];
        }
        st = add(s, z, kernel(M, k), err);
    }
    return st;
}

/* Sizes by their share of the kernel, (M - 1) / (k (M - k)); then any set of that size. */
static size_t draw_size(size_t M, fl_rng *rng)
{
    double total = 0, at;
    for (size_t k = 1; k < M; k++) {
        total += 1 / ((double)k * (double)(M - k));
    }
    at = fl_rng_uniform(rng) * total;
    for (size_t k = 1; k < M - 1; k++) {
        at -= 1 / ((double)k * (double)(M - k));
        if (at < 0) {
            return k;
        }
    }
    return M - 1;
}

static fl_status ask_some(regression *s, size_t n_samples, uint64_t seed, fl_err *err)
{
    size_t M = s->g->n_features, order[EXPLAIN_MAX_FEATURES];
    bool z[EXPLAIN_MAX_FEATURES];
    fl_status st = FL_OK;
    fl_rng rng;
    fl_rng_init(&rng, seed, "shap", "", 0);
    for (size_t j = 0; j < M; j++) {
        order[j] = j;
    }
    for (size_t i = 0; i + 1 < n_samples && st == FL_OK; i += 2) {
        size_t k = draw_size(M, &rng);
        fl_rng_shuffle(&rng, order, M);
        for (size_t j = 0; j < M; j++) {
            z[order[j]] = j < k;
        }
        st = add(s, z, 1, err);
        for (size_t j = 0; j < M; j++) {
            z[j] = !z[j];
        }
        st = st == FL_OK ? add(s, z, 1, err) : st;
    }
    return st;
}

static fl_status ask_ends(regression *s, fl_err *err)
{
    size_t M = s->g->n_features;
    double answer[2];
    bool *ends = fl_xcalloc(2 * M, sizeof *ends);
    memset(ends + M, true, M);
    fl_status st = s->g->ask(s->g->ctx, answer, ends, 2, err);
    free(ends);
    if (st == FL_OK) {
        s->none = answer[0];
        s->all = answer[1];
    }
    return st;
}

static fl_status solve(double *phi, regression *s, fl_err *err)
{
    size_t m = s->g->n_features - 1;
    if (m > 0 && !nn_blas_solve(s->right, s->left, (int64_t)m)) {
        return fl_fail(err, FL_EUSAGE, "shap: too few samples for %zu features", m + 1);
    }
    phi[m] = s->all - s->none;
    for (size_t j = 0; j < m; j++) {
        phi[j] = s->right[j];
        phi[m] -= phi[j];
    }
    return FL_OK;
}

fl_status explain_shap(double *phi, double *none, double *all, const explain_game *g,
                       size_t n_samples, uint64_t seed, fl_err *err)
{
    size_t M = g->n_features;
    FL_REQUIRE(M >= 1 && M <= EXPLAIN_MAX_FEATURES);
    regression s = {.g = g};
    s.present = fl_xcalloc(ASKED_AT_ONCE * M, sizeof *s.present);
    s.weight = fl_xcalloc(ASKED_AT_ONCE, sizeof *s.weight);
    s.left = fl_xcalloc(M * M, sizeof *s.left);
    s.right = fl_xcalloc(M, sizeof *s.right);
    bool exact = M <= MAX_EXACT && ((size_t)1 << M) - 2 <= n_samples;
    fl_status st = ask_ends(&s, err);
    if (st == FL_OK) {
        st = exact ? ask_all(&s, err) : ask_some(&s, n_samples, seed, err);
    }
    if (st == FL_OK && (st = add_block(&s, err)) == FL_OK && (st = solve(phi, &s, err)) == FL_OK) {
        *none = s.none;
        *all = s.all;
    }
    free(s.right);
    free(s.left);
    free(s.weight);
    free(s.present);
    return st;
}
