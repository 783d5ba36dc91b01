/*
 * regress.c - one number a case
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/uncertainty.h"
#include "task/ops.h"

static const char *const metrics[] = {"mae", "rmse", "loss", NULL};

static int64_t n_logits(const data_spec *spec, bool single)
{
    (void)spec;
    (void)single;
    return 1;
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
                  const float *logits, bool evidential)
{
    (void)spec;
    (void)evidential;  // refused for this task
    (void)L;
    row[0] = logits[0];
}

/* The cases that have a target. */
typedef struct {
    double *value, *truth;
    int64_t *patient;
    size_t n;
} known;

static known known_of(const task_scores *s)
{
    known k = {.value = fl_xcalloc(s->n, sizeof *k.value),
               .truth = fl_xcalloc(s->n, sizeof *k.truth),
               .patient = fl_xcalloc(s->n, sizeof *k.patient)};
    for (size_t i = 0; i < s->n; i++) {
        if (!isnan(s->target[i])) {
            k.value[k.n] = s->score[i];
            k.truth[k.n] = s->target[i];
            k.patient[k.n++] = s->patient[i];
        }
    }
    return k;
}

static void known_clear(known *k)
{
    free(k->value);
    free(k->truth);
    free(k->patient);
}

static void evaluate(eval_metrics *out, const task_scores *s,
                     const data_spec *spec, double threshold, uint64_t seed)
{
    (void)spec;
    (void)threshold;
    known k = known_of(s);
    eval_regress(out, k.value, k.truth, k.patient, k.n, seed);
    known_clear(&k);
}

static void differences(eval_metrics *out, const task_scored *a, const task_scored *b,
                        const data_spec *spec, uint64_t seed)
{
    (void)spec;
    known x = known_of(a->scores);
    known y = known_of(b->scores);
    out->n = 0;
    for (size_t i = 0; strcmp(metrics[i], "loss") != 0; i++) {
        eval_metric *m = &out->item[out->n++];
        snprintf(m->name, sizeof m->name, "%s", metrics[i]);
        eval_regress_difference(&m->figure, m->name, x.value, y.value, x.truth, x.patient, x.n,
                                seed);
    }
    known_clear(&x);
    known_clear(&y);
}

static void quick(task_quick *out, const task_scores *s, const data_spec *spec, int64_t min_cell)
{
    (void)spec;
    (void)min_cell;  // no class may be few
    double absolute = 0, squares = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!isnan(s->target[i])) {
            double error = s->score[i] - s->target[i];
            absolute += fabs(error);
            squares += error * error;
            out->n++;
        }
    }
    out->mae = out->n > 0 ? absolute / (double)out->n : NAN;
    out->rmse = out->n > 0 ? sqrt(squares / (double)out->n) : NAN;
}

static double case_value(const task_scores *s, size_t i, double threshold)
{
    (void)threshold;
    return fabs(s->score[i] - s->target[i]);
}

static double case_error(const task_scores *s, const data_spec *spec, size_t i, double threshold)
{
    (void)spec;
    return case_value(s, i, threshold);
}

static void join(task_doubt *d, size_t at, const double *member, size_t M, size_t n)
{
    eval_members_numbers(d->scores.score + at, d->spread + at, member, M, n);
}

const task_ops task_regress = {
    .task = DATA_REGRESS,
    .metrics = metrics,
    .n_logits = n_logits,
    .n_scores = task_scores_as_logits,
    .target_width = task_targets_as_logits,
    .is_labelled = task_has_target,
    .target = task_target_values,
    .weigh = weigh,
    .score = score,
    .evaluate = evaluate,
    .differences = differences,
    .case_metric = "mae",
    .case_value = case_value,
    .error_of = TASK_ERROR_NUMBERS,
    .case_error = case_error,
    .join = join,
    .of_numbers = true,
    .groups = &task_groups_of_numbers,
    .quick = quick,
};
