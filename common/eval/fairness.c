/*
 * fairness.c - how evenly a model serves the hospitals
 */
#include <math.h>

#include "eval/eval.h"

void eval_fairness_of(eval_fairness *out, const double *value, size_t n, bool higher_is_better)
{
    *out = (eval_fairness){.worst_site = -1,
                           .worst = NAN,
                           .best = NAN,
                           .mean = NAN,
                           .sd = NAN,
                           .gap = NAN,
                           .jain = NAN};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(value[i])) {
            continue;
        }
        bool first = out->n_sites++ == 0;
        bool lowest = first || value[i] < (higher_is_better ? out->worst : out->best);
        bool highest = first || value[i] > (higher_is_better ? out->best : out->worst);
        if (higher_is_better ? lowest : highest) {
            out->worst = value[i];
            out->worst_site = (int)i;
        }
        if (higher_is_better ? highest : lowest) {
            out->best = value[i];
        }
        sum += value[i];
        squares += value[i] * value[i];
    }
    if (out->n_sites == 0) {
        return;
    }
    double sites = (double)out->n_sites;
    out->mean = sum / sites;
    out->gap = fabs(out->best - out->worst);
    out->jain = squares > 0 ? sum * sum / (sites * squares) : NAN;
    double spread = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(value[i])) {
            spread += (value[i] - out->mean) * (value[i] - out->mean);
        }
    }
    out->sd = out->n_sites > 1 ? sqrt(spread / (sites - 1)) : NAN;
}
