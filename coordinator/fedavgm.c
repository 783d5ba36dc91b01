/*
 * fedavgm.c - federated averaging with momentum at the server
 *
 * Hsu et al. 2019: the mean update d is a gradient step's place-holder; the
 * server remembers its direction.
 */
#include "coordinator/strategy.h"

enum { LR, MOMENTUM };

static const strategy_param params[] = {
    [LR] = {"lr", 1, 0, 1000, "server's learning rate", false},
    [MOMENTUM] = {"momentum", 0.9, 0, 0.9999, "share of the last step that is kept", false},
    {0},
};

/* v' = momentum v + d;  x' = x + lr v'.  In double, each rounded once. */
static void block(const double *value, const strategy_block *b)
{
    const float *mean = b->in[0];
    float *v = b->vector[0];
    for (int64_t i = 0; i < b->count; i++) {
        v[i] = (float)(value[MOMENTUM] * v[i] + mean[i]);
        b->out[i] = (float)(b->global[i] + value[LR] * v[i]);
    }
}

const strategy_ops strategy_fedavgm = {
    .name = "fedavgm",
    .paper = "Hsu et al. 2019, Measuring the Effects of Non-Identical Data Distribution for "
             "Federated Visual Classification",
    .params = params,
    .sees = STRATEGY_SUM,
    .n_vectors = 1,
    .vector_start = {-1},
    .block = block,
};
