/*
 * ops.c - what several tasks fill in alike
 *
 * See ops.h.  Multilabel and regress have as many scores and targets as
 * logits, and a case's targets are its own numbers; one class against its
 * absence weighs the same in classify and multilabel.
 */
#include "task/ops.h"

#include <math.h>

bool task_is_labelled(const data_spec *spec, const data_case *c)
{
    const task_ops *ops = task_ops_find(spec->task);
    FL_REQUIRE(ops != NULL);
    return ops->is_labelled(spec, c);
}

size_t task_scores_as_logits(int64_t L)
{
    return (size_t)L;
}

int64_t task_targets_as_logits(const data_spec *spec, int64_t L)
{
    (void)spec;
    return L;
}

bool task_has_target(const data_spec *spec, const data_case *c)
{
    size_t K = spec->task == DATA_REGRESS ? 1 : spec->n_classes;
    for (size_t k = 0; c->target != NULL && k < K; k++) {
        if (!isnan(c->target[k])) {
            return true;
        }
    }
    return false;
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

double task_greatest(const double *row, size_t K)
{
    double greatest = row[0];
    for (size_t k = 1; k < K; k++) {
        greatest = row[k] > greatest ? row[k] : greatest;
    }
    return greatest;
}

double task_evidence(const float *logits, int64_t L, size_t stride)
{
    double sum = 0;
    for (int64_t k = 0; k < L; k++) {
        double x = logits[(size_t)k * stride];
        sum += 1 + (x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)));
    }
    return sum;
}
