/*
 * multilabel.c - any number of findings a case
 *
 * Each output is a sigmoid of its own (finding k is there or not), trained by
 * binary cross-entropy over the targets that are labelled.  Figures are the
 * mean over the findings that have them, each against its absence at the
 * threshold.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/uncertainty.h"
#include "task/ops.h"

static const char *const metrics[] = {"auc", "accuracy", "loss", NULL};

static int64_t n_logits(const data_spec *spec, bool single)
{
    (void)single;
    return (int64_t)spec->n_classes;
}

/* n_negative / n_positive of each finding. */
static void weigh(float *weight, const data_spec *spec, int64_t L,
                  const data_set *set)
{
    (void)spec;
    const size_t *index = data_set_split(set, DATA_TRAIN);
    size_t n = data_set_n_split(set, DATA_TRAIN);
    for (int64_t k = 0; k < L; k++) {
        double positives = 0, labelled = 0;
        for (size_t i = 0; i < n; i++) {
            data_case c = data_set_case(set, index[i]);
            if (c.target != NULL && !isnan(c.target[k])) {
                labelled++;
                positives += c.target[k] > 0.5F;
            }
        }
        weight[k] = task_positive_weight(positives, labelled);
    }
}

static void score(double *row, const data_spec *spec, int64_t L,
                  const float *logits, bool evidential)
{
    (void)spec;
    (void)evidential;  // refused for this task
    for (int64_t k = 0; k < L; k++) {
        row[k] = 1 / (1 + exp(-(double)logits[k]));
    }
}

// ------------------------------------------------------------------- figures

eval_findings task_findings(const task_scores *s, double threshold)
{
    return (eval_findings){
        .n = s->n, .K = s->K, .score = s->score, .target = s->target, .patient = s->patient,
        .threshold = isnan(threshold) ? 0.5 : threshold,
    };
}

static void evaluate(eval_metrics *out, const task_scores *s,
                     const data_spec *spec, double threshold, uint64_t seed)
{
    (void)spec;
    eval_findings f = task_findings(s, threshold);
    eval_multilabel(out, &f, seed);
}

json_t *task_findings_json(const task_scores *s, const data_spec *spec, double threshold,
                           int64_t min_cell, uint64_t seed)
{
    const char *names[DATA_MAX_CLASSES];
    eval_findings f = task_findings(s, threshold);
    json_t *list = json_array();
    for (size_t k = 0; k < spec->n_classes; k++) {
        names[k] = spec->classes[k];
    }
    eval_multilabel_each(list, names, &f, min_cell, seed);
    return list;
}

static void differences(eval_metrics *out, const task_scored *a, const task_scored *b,
                        const data_spec *spec, uint64_t seed)
{
    (void)spec;
    eval_findings x = task_findings(a->scores, a->threshold);
    eval_findings y = task_findings(b->scores, b->threshold);
    eval_multilabel_differences(out, &x, &y, seed);
}

/* Finding k was said to be there, and not to be, of min_cell patients each or more. */
static bool may_be_told(const task_scores *s, size_t k, int64_t min_cell)
{
    bool told = true;
    bool *in = fl_xcalloc(s->n, sizeof *in);
    for (int present = 0; present < 2 && min_cell > 1; present++) {
        for (size_t i = 0; i < s->n; i++) {
            double y = s->target[i * s->K + k];
            in[i] = !isnan(y) && (y > 0.5) == present;
        }
        told = told && task_are_enough(s, in, min_cell);
    }
    free(in);
    return told;
}

/* Of all answers that somebody gave, and the mean AUC over the findings. */
static void quick(task_quick *out, const task_scores *s, const data_spec *spec, int64_t min_cell)
{
    (void)spec;
    double *column = fl_xcalloc(s->n, sizeof *column);
    int *present = fl_xcalloc(s->n, sizeof *present);
    bool *labelled = fl_xcalloc(s->n, sizeof *labelled);
    int64_t n_right = 0, n_targets = 0;
    double auc_sum = 0;
    int n_auc = 0;
    for (size_t k = 0; k < s->K; k++) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) {
            double y = s->target[i * s->K + k];
            if (!isnan(y)) {
                column[n] = s->score[i * s->K + k];
                present[n] = y > 0.5;
                n_right += (column[n] >= 0.5) == present[n];
                labelled[i] = true;
                n++;
            }
        }
        n_targets += (int64_t)n;
        double auc = eval_auc(column, present, n);
        if (isfinite(auc) && may_be_told(s, k, min_cell)) {
            auc_sum += auc;
            n_auc++;
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        out->n += labelled[i];
    }
    out->accuracy = n_targets > 0 ? (double)n_right / (double)n_targets : NAN;
    out->auc = n_auc > 0 ? auc_sum / n_auc : NAN;
    free(labelled);
    free(present);
    free(column);
}

/* The share of its findings, of those that somebody answered, that are called right. */
static double case_accuracy(const task_scores *s, size_t i, double threshold)
{
    double right = 0;
    int n = 0;
    for (size_t k = 0; k < s->K; k++) {
        double y = s->target[i * s->K + k];
        if (!isnan(y)) {
            right += (s->score[i * s->K + k] >= threshold) == (y > 0.5);
            n++;
        }
    }
    return n > 0 ? right / n : NAN;
}

static double case_error(const task_scores *s, const data_spec *spec, size_t i, double threshold)
{
    (void)spec;
    return 1 - case_accuracy(s, i, threshold);
}

static void join(task_doubt *d, size_t at, const double *member, size_t M, size_t n)
{
    size_t K = d->scores.K;
    eval_members_findings(d->scores.score + at * K, d->entropy + at, d->information + at,
                          d->entropy_of + at * K, d->information_of + at * K, member, M, n, K);
}

/* Of the likeliest finding.  It ranks as the greatest logit does (Hendrycks et al. 2022). */
static double sure(const data_spec *spec, int64_t L, const float *logits, bool evidential)
{
    double row[DATA_MAX_CLASSES];
    score(row, spec, L, logits, evidential);
    return task_greatest(row, (size_t)L);
}

const task_ops task_multilabel = {
    .task = DATA_MULTILABEL,
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
    .case_metric = "accuracy",
    .case_value = case_accuracy,
    .error_of = TASK_ERROR_FINDINGS,
    .case_error = case_error,
    .join = join,
    .sure_name = "max_sigmoid",
    .sure = sure,
    .of_findings = true,
    .groups = &task_groups_of_findings,
    .quick = quick,
};
