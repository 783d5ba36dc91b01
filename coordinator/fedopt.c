/*
 * fedopt.c - adaptive optimisers at the server: FedAdam, FedYogi, FedAdagrad
 *
 * Reddi et al. 2021, Adaptive Federated Optimization, algorithm 2, where the
 * mean update d is the pseudo-gradient.  As there, m and v are not corrected for
 * their start.  With d's square q = d d:
 *     m' = beta1 m + (1 - beta1) d
 *     v' = beta2 v + (1 - beta2) q                 FedAdam
 *     v' = v - (1 - beta2) q sign(v - q)           FedYogi
 *     v' = v + q                                   FedAdagrad
 *     x' = x + lr m' / (sqrt(v') + tau)
 * Defaults are those of FLamby's benchmark (du Terrail et al. 2022).  Everything in
 * double; m, v and x are each rounded once.
 */
#include <math.h>

#include "coordinator/strategy.h"

enum { LR, BETA1, TAU, V0, BETA2 };

static const strategy_param params[] = {
    [LR] = {"lr", 0.01, 0, 1000, "server's learning rate", false},
    [BETA1] = {"beta1", 0.9, 0, 0.9999, "how long the direction is remembered", false},
    [TAU] = {"tau", 1e-8, 1e-12, 1, "least denominator: adaptivity", false},
    [V0] = {"v0", 0, 0, 1000, "first value of the second moment", false},
    [BETA2] = {"beta2", 0.999, 0, 0.999999, "how long the second moment is remembered", false},
    {0},
};
static const strategy_param adagrad_params[] = {
    [LR] = {"lr", 0.01, 0, 1000, "server's learning rate", false},
    [BETA1] = {"beta1", 0.9, 0, 0.9999, "how long the direction is remembered", false},
    [TAU] = {"tau", 1e-8, 1e-12, 1, "least denominator: adaptivity", false},
    [V0] = {"v0", 0, 0, 1000, "first value of the second moment", false},
    {0},
};

static double adam(double v, double q, const double *value)
{
    return value[BETA2] * v + (1 - value[BETA2]) * q;
}

static double yogi(double v, double q, const double *value)
{
    double sign = v > q ? 1 : v < q ? -1 : 0;
    return v - (1 - value[BETA2]) * q * sign;
}

static double adagrad(double v, double q, const double *value)
{
    (void)value;
    return v + q;
}

static void step(const double *value, const strategy_block *b,
                 double (*moment)(double, double, const double *))
{
    const float *mean = b->in[0];
    float *m = b->vector[0], *v = b->vector[1];
    for (int64_t i = 0; i < b->count; i++) {
        double d = mean[i];
        m[i] = (float)(value[BETA1] * m[i] + (1 - value[BETA1]) * d);
        v[i] = (float)moment(v[i], d * d, value);
        b->out[i] = (float)(b->global[i] + value[LR] * m[i] / (sqrt(v[i]) + value[TAU]));
    }
}

static void adam_block(const double *value, const strategy_block *b)
{
    step(value, b, adam);
}

static void yogi_block(const double *value, const strategy_block *b)
{
    step(value, b, yogi);
}

static void adagrad_block(const double *value, const strategy_block *b)
{
    step(value, b, adagrad);
}

#define PAPER "Reddi et al. 2021, Adaptive Federated Optimization"

const strategy_ops strategy_fedadam = {
    .name = "fedadam",
    .paper = PAPER,
    .params = params,
    .sees = STRATEGY_SUM,
    .n_vectors = 2,
    .vector_start = {-1, V0},
    .block = adam_block,
};

const strategy_ops strategy_fedyogi = {
    .name = "fedyogi",
    .paper = PAPER,
    .params = params,
    .sees = STRATEGY_SUM,
    .n_vectors = 2,
    .vector_start = {-1, V0},
    .block = yogi_block,
};

const strategy_ops strategy_fedadagrad = {
    .name = "fedadagrad",
    .paper = PAPER,
    .params = adagrad_params,
    .sees = STRATEGY_SUM,
    .n_vectors = 2,
    .vector_start = {-1, V0},
    .block = adagrad_block,
};
