/*
 * drift.c - see drift.h
 */
#include "client/drift.h"

#include <string.h>

static void prox(void *ctx, float *grad, const float *params, int64_t n)
{
    const drift *d = ctx;
    float mu = (float)d->mu;
    FL_REQUIRE(n == nn_table_count(d->table));
    for (size_t i = 0; i < nn_table_n(d->table); i++) {
        const nn_param *entry = nn_table_at(d->table, i);
        if (!nn_kind_trainable(entry->kind)) {
            continue;
        }
        float *g = grad + entry->offset;
        const float *w = params + entry->offset;
        const float *w_global = d->global + entry->offset;
        for (int64_t p = 0; p < entry->count; p++) {
            g[p] += mu * (w[p] - w_global[p]);
        }
    }
}

static const struct {
    const char *strategy;
    drift_adjust *adjust;
} drifts[] = {
    {"fedprox", prox},
};

drift_adjust *drift_of(drift *out, const job_strategy *s, const nn_table *table,
                       const float *global)
{
    *out = (drift){.table = table, .global = global, .mu = job_strategy_param(s, "mu", 0)};
    for (size_t i = 0; i < sizeof drifts / sizeof *drifts; i++) {
        if (strcmp(drifts[i].strategy, s->name) == 0) {
            return drifts[i].adjust;
        }
    }
    return NULL;
}
