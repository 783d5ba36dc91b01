/*
 * explain.h - what a prediction rests on: LIME and kernel SHAP
 *
 * Both ask a model about the same case with some of its features absent: pieces of an
 * image greyed, columns of a table at their mean.  What a feature is and how it is
 * taken away is the caller's; here are the questions, and the weights that follow
 * from the answers.
 */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { EXPLAIN_MAX_FEATURES = 512 };

/* A model's answer about one case, of M features that are there or not. */
typedef struct {
    size_t n_features;  // M, 1 to EXPLAIN_MAX_FEATURES
    void *ctx;
    /* answer (n) for present (n, M). */
    fl_status (*ask)(void *ctx, double *answer, const bool *present, size_t n, fl_err *err);
} explain_game;

/*
 * Kernel SHAP (Lundberg and Lee 2017, theorem 2): phi (M), whose sum is *all - *none, the
 * answers with every feature and with none.  Where 2^M - 2 coalitions are no more than
 * n_samples each is asked about, and phi are Shapley's values; else n_samples of them are
 * drawn by the kernel's weights, each with its complement, and the sum is kept as a
 * constraint.  FL_EUSAGE when there are too few samples for M features.
 */
fl_status explain_shap(double *phi, double *none, double *all, const explain_game *g,
                       size_t n_samples, uint64_t seed, fl_err *err);

/* LIME's choices (Ribeiro, Singh and Guestrin 2016). */
typedef struct {
    size_t n_samples;     // each feature there in half of them; the first is the case itself
    double kernel_width;  // weight exp(-D^2 / width^2), D = 1 - cosine of present and all
    double ridge;         // penalty on the squared weights
    uint64_t seed;
} explain_lime_config;

/* 1000 samples, width 0.25, ridge 1: as the authors' program has it for images. */
void explain_lime_defaults(explain_lime_config *cfg);

/*
 * The linear model of present that is nearest to the answers around the case: weight (M),
 * intercept, and r2, the weighted share of the answers' variance that it explains (NAN
 * where they do not vary).
 */
fl_status explain_lime(double *weight, double *intercept, double *r2, const explain_game *g,
                       const explain_lime_config *cfg, fl_err *err);

#endif
