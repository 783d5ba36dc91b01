/*
 * nova.c - see nova.h
 */
#include "coordinator/nova.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "fed/accum.h"

double nova_norm(const task_train_config *local, double mu, int64_t steps)
{
    const nn_optim_config *o = &local->optim;
    FL_REQUIRE(steps > 0);
    if (o->kind != NN_SGD) {
        return (double)steps;
    }
    double moved = 0, velocity = 0;  // moved: per unit of lr
    for (int64_t step = 0; step < steps; step++) {
        double gradient = 1 - mu * o->lr * moved;
        velocity = o->momentum * velocity + gradient;
        moved += o->nesterov ? gradient + o->momentum * velocity : velocity;
    }
    return moved > 0 && isfinite(moved) ? moved : (double)steps;
}

double nova_weights(uint32_t *out, const uint32_t *weight, const double *norm, size_t n)
{
    double sum = 0, rates = 0, tau_eff = 0;
    for (size_t i = 0; i < n; i++) {
        sum += weight[i];
        rates += weight[i] / norm[i];
        tau_eff += weight[i] * norm[i];
    }
    tau_eff /= sum;
    double unit = (double)(FED_MAX_WEIGHT_SUM - (int64_t)n) / rates;
    for (size_t i = 0; i < n; i++) {
        double w = floor(unit * weight[i] / norm[i]);
        out[i] = w >= 1 ? (uint32_t)w : 1;
    }
    return tau_eff * rates / sum;
}
