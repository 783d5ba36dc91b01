/*
 * fedavg.c - federated averaging
 *
 * FedAvg (McMahan et al. 2017): the new global is the old one plus the mean
 * update, weighted by the sites' sample counts.  FedProx (Li et al. 2020)
 * differs at the sites only, which pull towards the global with strength mu.
 */
#include "coordinator/strategy.h"

/* x' = x + d */
static void block(const double *value, const strategy_block *b)
{
    (void)value;
    const float *mean = b->in[0];
    for (int64_t i = 0; i < b->count; i++) {
        b->out[i] = b->global[i] + mean[i];
    }
}

static const strategy_param no_params[] = {{0}};
static const strategy_param prox_params[] = {
    {"mu", 0.01, 0, 1000, "strength of the pull towards the global model, at the sites", false},
    {0},
};

const strategy_ops strategy_fedavg = {
    .name = "fedavg",
    .paper = "McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from "
             "Decentralized Data",
    .params = no_params,
    .sees = STRATEGY_SUM,
    .block = block,
};

const strategy_ops strategy_fedprox = {
    .name = "fedprox",
    .paper = "Li et al. 2020, Federated Optimization in Heterogeneous Networks",
    .params = prox_params,
    .sees = STRATEGY_SUM,
    .block = block,
};
