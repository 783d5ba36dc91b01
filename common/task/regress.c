/*
 * regress.c - one number a case, trained by its squared error
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "task/ops.h"

static int64_t n_logits(const data_spec *spec, bool single)
{
    (void)spec;
    (void)single;
    return 1;
}

static nn_loss_kind loss(int64_t L)
{
    (void)L;
    return NN_LOSS_MSE;
}

static void weigh(float *weight, const data_spec *spec, int64_t L,
                  const data_set *set)
{
    (void)spec;
    (void)L;
    (void)set;
    weight[0] = 1;  // there are no classes
}

static void score(double *row, const data_spec *spec, int64_t L,
                  const float *logits)
{
    (void)spec;
    (void)L;
    row[0] = logits[0];
}

static void evaluate(eval_metrics *out, const task_scores *s,
                     const data_spec *spec, double threshold, uint64_t seed)
{
    (void)spec;
    (void)threshold;
    double *value = fl_xcalloc(s->n, sizeof *value);
    double *truth = fl_xcalloc(s->n, sizeof *truth);
    int64_t *patient = fl_xcalloc(s->n, sizeof *patient);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!isnan(s->target[i])) {
            value[n] = s->score[i];
            truth[n] = s->target[i];
            patient[n] = s->patient[i];
            n++;
        }
    }
    eval_regress(out, value, truth, patient, n, seed);
    free(value);
    free(truth);
    free(patient);
}

static void quick(task_quick *out, const task_scores *s, const data_spec *spec)
{
    (void)spec;
    for (size_t i = 0; i < s->n; i++) {
        out->n += !isnan(s->target[i]);
    }
}

const task_ops task_regress = {
    .task = DATA_REGRESS,
    .n_logits = n_logits,
    .n_scores = task_scores_as_logits,
    .loss = loss,
    .target_width = task_targets_as_logits,
    .target = task_target_values,
    .weigh = weigh,
    .score = score,
    .evaluate = evaluate,
    .quick = quick,
};
