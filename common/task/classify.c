/*
 * classify.c - one class a case
 *
 * With one logit a class the scores are their softmax; with a single logit z
 * for two classes they are sigmoid(z) for the positive class and 1 - that for
 * the other.  Scores are worked out in double: in float, sure cases would all
 * become 1.0 and tie.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/uncertainty.h"
#include "task/ops.h"

static const char *const metrics[] = {"auc", "accuracy", "loss", NULL};

static int64_t n_logits(const data_spec *spec, bool single)
{
    return single && spec->n_classes == 2 ? 1 : (int64_t)spec->n_classes;
}

static size_t n_scores(int64_t L)
{
    return L == 1 ? 2 : (size_t)L;
}

static int64_t target_width(const data_spec *spec, int64_t L)
{
    (void)spec;
    (void)L;
    return 1;
}

static bool is_labelled(const data_spec *spec, const data_case *c)
{
    (void)spec;
    return c->code >= 0;
}

static int64_t target(float *row, const data_spec *spec, int64_t L,
                      const data_case *c)
{
    if (c->code < 0) {
        row[0] = L == 1 ? NAN : -1;
        return 0;
    }
    row[0] = L == 1 ? (float)(c->code == spec->positive) : (float)c->code;
    return 1;
}

/* w_k = n / (K n_k), so that a batch that is like the split weighs as much as
 * it does without; single logit: n_negative / n_positive. */
static void weigh(float *weight, const data_spec *spec, int64_t L,
                  const data_set *set)
{
    double count[DATA_MAX_CLASSES] = {0};
    double n = 0;
    const size_t *index = data_set_split(set, DATA_TRAIN);
    for (size_t i = 0; i < data_set_n_split(set, DATA_TRAIN); i++) {
        int code = data_set_case(set, index[i]).code;
        if (code >= 0) {
            count[code]++;
            n++;
        }
    }
    if (L == 1) {
        weight[0] = task_positive_weight(count[spec->positive], n);
        return;
    }
    for (int64_t k = 0; k < L; k++) {
        weight[k] = count[k] > 0 ? (float)(n / ((double)L * count[k])) : 1;
    }
}

/* The mean of the Dirichlet with 1 + softplus(x) of each class (Sensoy et al. 2018). */
static void score_evidence(double *row, int64_t L, const float *logits)
{
    double sum = 0;
    for (int64_t k = 0; k < L; k++) {
        double x = logits[k];
        row[k] = 1 + (x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)));
        sum += row[k];
    }
    for (int64_t k = 0; k < L; k++) {
        row[k] /= sum;
    }
}

static void score(double *row, const data_spec *spec, int64_t L,
                  const float *logits, bool evidential)
{
    if (evidential) {
        score_evidence(row, L, logits);
        return;
    }
    if (L == 1) {
        int positive = spec->positive >= 0 ? spec->positive : 1;
        row[positive] = 1 / (1 + exp(-(double)logits[0]));
        row[1 - positive] = 1 / (1 + exp((double)logits[0]));
        return;
    }
    double top = logits[0];
    for (int64_t k = 1; k < L; k++) {
        top = fmax(top, logits[k]);
    }
    double sum = 0;
    for (int64_t k = 0; k < L; k++) {
        row[k] = exp(logits[k] - top);
        sum += row[k];
    }
    for (int64_t k = 0; k < L; k++) {
        row[k] /= sum;
    }
}

static void evaluate(eval_metrics *out, const task_scores *s,
                     const data_spec *spec, double threshold, uint64_t seed)
{
    eval_predictions p = task_predictions(s, spec, threshold);
    eval_classify(out, &p, seed);
}

static void differences(eval_metrics *out, const task_scored *a, const task_scored *b,
                        const data_spec *spec, uint64_t seed)
{
    eval_predictions x = task_predictions(a->scores, spec, a->threshold);
    eval_predictions y = task_predictions(b->scores, spec, b->threshold);
    eval_differences(out, &x, &y, seed);
}

// --------------------------------------------------------- a round's figures

static int best_class(const double *row, size_t K)
{
    size_t best = 0;
    for (size_t k = 1; k < K; k++) {
        if (row[k] > row[best]) {
            best = k;
        }
    }
    return (int)best;
}

/* AUC of class k against the rest, over the labelled cases. */
static double class_auc(const task_scores *s, int k, double *column,
                        int *is_positive)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->label[i] >= 0) {
            column[n] = s->score[i * s->K + (size_t)k];
            is_positive[n] = s->label[i] == k;
            n++;
        }
    }
    return eval_auc(column, is_positive, n);
}

/* Class k and the rest both have min_cell patients or more. */
static bool may_be_told(const task_scores *s, int k, int64_t min_cell)
{
    bool told = true;
    bool *in = fl_xcalloc(s->n, sizeof *in);
    for (int rest = 0; rest < 2 && min_cell > 1; rest++) {
        for (size_t i = 0; i < s->n; i++) {
            in[i] = s->label[i] >= 0 && (s->label[i] != k) == rest;
        }
        told = told && task_are_enough(s, in, min_cell);
    }
    free(in);
    return told;
}

/* Two classes: of the positive one.  More: mean over those that are there. */
static double mean_auc(const task_scores *s, const data_spec *spec, int64_t min_cell)
{
    double *column = fl_xcalloc(s->n, sizeof *column);
    int *is_positive = fl_xcalloc(s->n, sizeof *is_positive);
    double auc = NAN;
    if (spec->positive >= 0) {
        auc = class_auc(s, spec->positive, column, is_positive);
    } else {
        double sum = 0;
        int n = 0;
        for (int k = 0; k < (int)s->K; k++) {
            double one = class_auc(s, k, column, is_positive);
            if (isfinite(one) && may_be_told(s, k, min_cell)) {
                sum += one;
                n++;
            }
        }
        auc = n > 0 ? sum / n : NAN;
    }
    free(column);
    free(is_positive);
    return auc;
}

static void quick(task_quick *out, const task_scores *s, const data_spec *spec, int64_t min_cell)
{
    int64_t n_right = 0;
    for (size_t i = 0; i < s->n; i++) {
        int label = s->label[i];
        if (label < 0) {
            continue;
        }
        const double *row = s->score + i * s->K;
        int called = best_class(row, s->K);
        if (spec->positive >= 0) {
            out->n_positive += label == spec->positive;
            called = row[spec->positive] >= 0.5 ? spec->positive
                                                : 1 - spec->positive;
        }
        n_right += called == label;
        out->n++;
    }
    out->accuracy = out->n > 0 ? (double)n_right / (double)out->n : NAN;
    out->auc = mean_auc(s, spec, min_cell);
    if (spec->positive >= 0 && !may_be_told(s, spec->positive, min_cell)) {
        out->auc = NAN;
        out->n_positive = -1;
    }
}

int task_called(const task_scores *s, const data_spec *spec, size_t i, double threshold)
{
    const double *row = s->score + i * s->K;
    size_t best = 0;
    if (spec->positive >= 0) {
        bool is_there = row[spec->positive] >= (isnan(threshold) ? 0.5 : threshold);
        return is_there ? spec->positive : 1 - spec->positive;
    }
    for (size_t k = 1; k < s->K; k++) {
        best = row[k] > row[best] ? k : best;
    }
    return (int)best;
}

static double case_error(const task_scores *s, const data_spec *spec, size_t i, double threshold)
{
    return s->label[i] < 0 ? NAN : task_called(s, spec, i, threshold) != s->label[i];
}

static void join(task_doubt *d, size_t at, const double *member, size_t M, size_t n)
{
    size_t K = d->scores.K;
    eval_members(d->scores.score + at * K, d->entropy + at, d->information + at, member, M, n, K);
}

/* The greatest softmax probability (Hendrycks and Gimpel 2017). */
static double sure(const data_spec *spec, int64_t L, const float *logits, bool evidential)
{
    double row[DATA_MAX_CLASSES];
    score(row, spec, L, logits, evidential);
    return task_greatest(row, n_scores(L));
}

const task_ops task_classify = {
    .task = DATA_CLASSIFY,
    .metrics = metrics,
    .n_logits = n_logits,
    .n_scores = n_scores,
    .target_width = target_width,
    .is_labelled = is_labelled,
    .target = target,
    .weigh = weigh,
    .score = score,
    .evaluate = evaluate,
    .differences = differences,
    .error_of = TASK_ERROR_CALLS,
    .case_error = case_error,
    .join = join,
    .sure_name = "max_softmax",
    .sure = sure,
    .groups = &task_groups_of_classes,
    .quick = quick,
};
