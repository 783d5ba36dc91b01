/*
 * ops.c - what several tasks fill in alike
 *
 * See ops.h.  Multilabel and regress have as many scores and targets as
 * logits, and a case's targets are its own numbers; one class against its
 * absence weighs the same in classify and multilabel.
 */
#include "task/ops.h"

#include <math.h>

size_t task_scores_as_logits(int64_t L)
{
    return (size_t)L;
}

int64_t task_targets_as_logits(int64_t L)
{
    return L;
}

int64_t task_target_values(float *row, const data_spec *spec, int64_t L,
                           const data_case *c)
{
    (void)spec;
    int64_t n = 0;
    for (int64_t k = 0; k < L; k++) {
        row[k] = c->target != NULL ? c->target[k] : NAN;
        n += !isnan(row[k]);
    }
    return n;
}

float task_positive_weight(double n_positive, double n)
{
    bool both = n_positive > 0 && n_positive < n;
    return both ? (float)((n - n_positive) / n_positive) : 1;
}
