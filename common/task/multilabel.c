/*
 * multilabel.c - any number of findings a case
 *
 * Each output is a sigmoid of its own (finding k is there or not), trained by
 * binary cross-entropy over the targets that are labelled.  Figures are the
 * mean over the findings that have them, each against its absence at 0.5.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/ops.h"

static int64_t n_logits(const data_spec *spec, bool single)
{
    (void)single;
    return (int64_t)spec->n_classes;
}

static nn_loss_kind loss(int64_t L)
{
    (void)L;
    return NN_LOSS_SIGMOID_CE;
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
                  const float *logits)
{
    (void)spec;
    for (int64_t k = 0; k < L; k++) {
        row[k] = 1 / (1 + exp(-(double)logits[k]));
    }
}

// ------------------------------------------------------------------- figures

/* Finding k as a question of two classes. */
typedef struct {
    double *score;  // (n, 2)
    int *label;     // (n), -1 unlabelled
} finding;

static void finding_init(finding *f, size_t n)
{
    f->score = fl_xcalloc(2 * n, sizeof *f->score);
    f->label = fl_xcalloc(n, sizeof *f->label);
}

static void finding_clear(finding *f)
{
    FL_FREE(f->score);
    FL_FREE(f->label);
}

static eval_predictions finding_of(finding *f, const task_scores *s, size_t k)
{
    for (size_t i = 0; i < s->n; i++) {
        double p = s->score[i * s->K + k];
        double y = s->target[i * s->K + k];
        f->score[2 * i] = 1 - p;
        f->score[2 * i + 1] = p;
        f->label[i] = isnan(y) ? -1 : y > 0.5;
    }
    return (eval_predictions){
        .n = s->n, .n_classes = 2, .score = f->score, .label = f->label,
        .patient = s->patient, .positive = 1, .threshold = 0.5,
    };
}

static void add_metrics(eval_metrics *sum, int *n_defined,
                        const eval_metrics *one)
{
    for (size_t i = 0; i < one->n; i++) {
        const eval_figure *f = &one->item[i].figure;
        eval_figure *to = &sum->item[i].figure;
        snprintf(sum->item[i].name, sizeof sum->item[i].name, "%s",
                 one->item[i].name);
        if (isfinite(f->value)) {
            to->value += f->value;
            to->n += f->n;
            to->n_positive += f->n_positive;
            if (f->n_patients > to->n_patients) {
                to->n_patients = f->n_patients;
            }
            n_defined[i]++;
        }
    }
    sum->n = one->n;
}

static void evaluate(eval_metrics *out, const task_scores *s,
                     const data_spec *spec, double threshold, uint64_t seed)
{
    (void)spec;
    (void)threshold;
    int n_defined[EVAL_MAX_METRICS] = {0};
    finding f;
    memset(out, 0, sizeof *out);
    finding_init(&f, s->n);
    for (size_t k = 0; k < s->K; k++) {
        eval_metrics one;
        eval_predictions p = finding_of(&f, s, k);
        eval_classify(&one, &p, seed);
        add_metrics(out, n_defined, &one);
    }
    finding_clear(&f);
    for (size_t i = 0; i < out->n; i++) {
        eval_figure *to = &out->item[i].figure;
        to->value = n_defined[i] > 0 ? to->value / n_defined[i] : NAN;
        to->ci_low = to->ci_high = NAN;
        snprintf(to->method, sizeof to->method, "mean over %d findings",
                 n_defined[i]);
        snprintf(to->why, sizeof to->why, "%s",
                 n_defined[i] > 0 ? "no interval for a mean over findings"
                                  : "no finding has both outcomes");
    }
}

static void quick(task_quick *out, const task_scores *s, const data_spec *spec)
{
    (void)spec;
    finding f;
    double *column = fl_xcalloc(s->n, sizeof *column);
    int64_t n_right = 0, n_targets = 0;
    double auc_sum = 0;
    int n_auc = 0;
    finding_init(&f, s->n);
    for (size_t k = 0; k < s->K; k++) {
        eval_predictions p = finding_of(&f, s, k);
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (p.label[i] >= 0) {
                column[n] = f.score[2 * i + 1];
                f.label[n] = p.label[i];  // n <= i: packs in place
                n_right += (column[n] >= 0.5) == f.label[n];
                n++;
            }
        }
        n_targets += (int64_t)n;
        double auc = eval_auc(column, f.label, n);
        if (isfinite(auc)) {
            auc_sum += auc;
            n_auc++;
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        bool labelled = false;
        for (size_t k = 0; k < s->K; k++) {
            labelled = labelled || !isnan(s->target[i * s->K + k]);
        }
        out->n += labelled;
    }
    out->accuracy = n_targets > 0 ? (double)n_right / (double)n_targets : NAN;
    out->auc = n_auc > 0 ? auc_sum / n_auc : NAN;
    finding_clear(&f);
    free(column);
}

const task_ops task_multilabel = {
    .task = DATA_MULTILABEL,
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
