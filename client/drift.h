/*
 * drift.h - what keeps a site's training near the others'
 *
 * The site's half of strategies that change local training.  A strategy that
 * is not named here trains plainly.
 *   fedprox  Li et al. 2020, "Federated Optimization in Heterogeneous
 *            Networks", eq. 2: the loss gains mu/2 |w - w_global|^2, so the
 *            gradient gains mu (w - w_global).
 * Acts on trainable kinds only; running statistics are no parameters of the
 * loss.
 * Threads: a drift belongs to the training it was made for.
 */
#ifndef CLIENT_DRIFT_H
#define CLIENT_DRIFT_H

#include <stdint.h>

#include "job/job.h"
#include "nn/params.h"

typedef struct {
    const nn_table *table;  // borrowed
    const float *global;    // (P) the round's base model; borrowed
    double mu;              // fedprox
} drift;

/* A task_hooks.adjust whose ctx is the drift. */
typedef void drift_adjust(void *ctx, float *grad, const float *params, int64_t n);

/* Fills in *out and returns what to do after each gradient; NULL: nothing. */
drift_adjust *drift_of(drift *out, const job_strategy *s, const nn_table *table,
                       const float *global);

#endif
