/*
 * cases.c - see cases.h
 *
 * The definition of every metric of classification.
 */
#include "eval/cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"

const char *const eval_class_metric_names[EVAL_N_CLASS_METRICS] = {
    [EVAL_ACCURACY] = "accuracy",
    [EVAL_BALANCED_ACCURACY] = "balanced_accuracy",
    [EVAL_AUC] = "auc",
    [EVAL_AUPRC] = "auprc",
    [EVAL_F1] = "f1",
    [EVAL_SENSITIVITY] = "sensitivity",
    [EVAL_SPECIFICITY] = "specificity",
    [EVAL_PPV] = "ppv",
    [EVAL_NPV] = "npv",
    [EVAL_BRIER] = "brier",
    [EVAL_NLL] = "nll",
    [EVAL_ECE] = "ece",
    [EVAL_SENSITIVITY_AT_SPEC90] = "sensitivity_at_spec90",
    [EVAL_PPV_AT_PREVALENCE] = "ppv_at_prevalence",
    [EVAL_NPV_AT_PREVALENCE] = "npv_at_prevalence",
    [EVAL_OBSERVED_EXPECTED] = "observed_expected",
    [EVAL_CALIBRATION_INTERCEPT] = "calibration_intercept",
    [EVAL_CALIBRATION_SLOPE] = "calibration_slope",
};

static const double smallest_prob = 1e-15;  // so that one sure error is not infinite

/* ------------------------------------------------------------- making ready */

typedef struct {
    double score;
    size_t at;
} ranked;

/* Falling score; equals in the order of the cases, so that runs agree. */
static int by_falling_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

static void sort_class(eval_cases *c, const double *score, size_t k)
{
    ranked *order = fl_xcalloc(c->n, sizeof *order);
    for (size_t i = 0; i < c->n; i++) {
        order[i] = (ranked){score[i * c->n_classes + k], i};
    }
    qsort(order, c->n, sizeof *order, by_falling_score);
    c->order[k] = fl_xcalloc(c->n, sizeof *c->order[k]);
    c->sorted[k] = fl_xcalloc(c->n, sizeof *c->sorted[k]);
    for (size_t i = 0; i < c->n; i++) {
        c->order[k][i] = order[i].at;
        c->sorted[k][i] = order[i].score;
    }
    free(order);
}

static int class_called(const eval_cases *c, const double *score, double threshold)
{
    if (c->binary) {
        return score[c->positive] >= threshold ? c->positive : 1 - c->positive;
    }
    size_t best = 0;
    for (size_t k = 1; k < c->n_classes; k++) {
        if (score[k] > score[best]) {
            best = k;
        }
    }
    return (int)best;
}

/* What case i adds to the means. */
static void case_terms(eval_cases *c, size_t i, const double *score)
{
    if (c->binary) {
        double y = c->label[i] == c->positive;
        double p = score[c->positive];
        c->brier[i] = (p - y) * (p - y);
        c->nll[i] = -log(fmax(smallest_prob, y > 0 ? p : 1 - p));
        c->confidence[i] = p;
        c->right[i] = y;
        return;
    }
    for (size_t k = 0; k < c->n_classes; k++) {
        double gap = score[k] - (c->label[i] == (int)k);
        c->brier[i] += gap * gap;
    }
    c->nll[i] = -log(fmax(smallest_prob, score[c->label[i]]));
    c->confidence[i] = score[c->called[i]];
    c->right[i] = c->called[i] == c->label[i];
}

void eval_cases_init(eval_cases *c, const eval_predictions *p)
{
    FL_REQUIRE(p->n_classes >= 2 && p->positive < (int)p->n_classes);
    size_t K = p->n_classes;
    *c = (eval_cases){.n_classes = K, .binary = K == 2 && p->positive >= 0};
    c->positive = c->binary ? p->positive : -1;
    c->prevalence = c->binary && p->prevalence > 0 && p->prevalence < 1 ? p->prevalence : 0;
    c->label = fl_xcalloc(p->n, sizeof *c->label);
    c->called = fl_xcalloc(p->n, sizeof *c->called);
    c->brier = fl_xcalloc(p->n, sizeof *c->brier);
    c->nll = fl_xcalloc(p->n, sizeof *c->nll);
    c->confidence = fl_xcalloc(p->n, sizeof *c->confidence);
    c->right = fl_xcalloc(p->n, sizeof *c->right);
    c->order = fl_xcalloc(K, sizeof *c->order);
    c->sorted = fl_xcalloc(K, sizeof *c->sorted);
    c->n_class = fl_xcalloc(K, sizeof *c->n_class);

    double *score = fl_xcalloc(p->n, K * sizeof *score);  // of the labelled
    int64_t *patient = fl_xcalloc(p->n, sizeof *patient);
    for (size_t i = 0; i < p->n; i++) {
        FL_REQUIRE(p->label[i] >= -1 && p->label[i] < (int)K);
        if (p->label[i] < 0) {
            continue;
        }
        size_t at = c->n++;
        memcpy(score + at * K, p->score + i * K, K * sizeof *score);
        patient[at] = p->patient != NULL ? p->patient[i] : (int64_t)i;
        for (size_t k = 0; k < K; k++) {
            c->damaged = c->damaged || !isfinite(p->score[i * K + k]);
        }
        c->label[at] = p->label[i];
        c->called[at] = c->binary && p->called != NULL
                            ? (p->called[i] ? c->positive : 1 - c->positive)
                            : class_called(c, score + at * K, p->threshold);
        c->n_class[p->label[i]]++;
        case_terms(c, at, score + at * K);
    }
    eval_patients_init(&c->patients, p->patient != NULL ? patient : NULL, c->n);
    for (size_t k = 0; k < K; k++) {
        if (!c->damaged && (!c->binary || (int)k == c->positive)) {
            sort_class(c, score, k);
        }
    }
    free(score);
    free(patient);
}

void eval_cases_clear(eval_cases *c)
{
    for (size_t k = 0; k < c->n_classes; k++) {
        free(c->order[k]);
        free(c->sorted[k]);
    }
    free(c->label);
    free(c->called);
    free(c->brier);
    free(c->nll);
    free(c->confidence);
    free(c->right);
    free(c->order);
    free(c->sorted);
    free(c->n_class);
    eval_patients_clear(&c->patients);
    *c = (eval_cases){0};
}

/* ------------------------------------------------- counts of one class */

typedef struct {
    double tp, fp, tn, fn;
} counts;

static counts count_class(const eval_cases *c, const double *weight, int k)
{
    counts out = {0};
    for (size_t i = 0; i < c->n; i++) {
        if (c->label[i] == k) {
            *(c->called[i] == k ? &out.tp : &out.fn) += weight[i];
        } else {
            *(c->called[i] == k ? &out.fp : &out.tn) += weight[i];
        }
    }
    return out;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

/*
 * One way down the sorted scores, a group of tied cases at a time.
 * AUC: share of (positive, negative) pairs in the right order, ties half.
 * Average precision: step-wise, no interpolation between the steps.
 * Sensitivity at 90 % specificity: at the last group that leaves it so.
 */
static void rank_class(double *value, const eval_cases *c, const double *weight, int k,
                       double n_negative)
{
    const double allowed = 0.1 * n_negative * (1 + 1e-9);  // false alarms; .1 is no double
    double tp = 0, fp = 0, pairs = 0, precision_sum = 0, tp_allowed = 0;
    const size_t *order = c->order[k];
    const double *sorted = c->sorted[k];
    for (size_t i = 0; i < c->n;) {
        double positives = 0, negatives = 0;
        for (double tied = sorted[i]; i < c->n && sorted[i] == tied; i++) {
            *(c->label[order[i]] == k ? &positives : &negatives) += weight[order[i]];
        }
        pairs += negatives * (tp + positives / 2);
        tp += positives;
        fp += negatives;
        if (positives > 0) {
            precision_sum += positives * tp / (tp + fp);
        }
        if (fp <= allowed) {
            tp_allowed = tp;
        }
    }
    bool both = tp > 0 && fp > 0;
    value[EVAL_AUC] = both ? pairs / (tp * fp) : NAN;
    value[EVAL_AUPRC] = both ? precision_sum / tp : NAN;
    value[EVAL_SENSITIVITY_AT_SPEC90] = both ? tp_allowed / tp : NAN;
}

/* Metrics of class k against the rest. */
static void class_values(double *value, const eval_cases *c, const double *weight, int k)
{
    counts at = count_class(c, weight, k);
    double n_positive = at.tp + at.fn;
    value[EVAL_SENSITIVITY] = ratio(at.tp, n_positive);
    value[EVAL_SPECIFICITY] = ratio(at.tn, at.tn + at.fp);
    value[EVAL_PPV] = ratio(at.tp, at.tp + at.fp);
    value[EVAL_NPV] = ratio(at.tn, at.tn + at.fn);
    value[EVAL_F1] = n_positive > 0 ? 2 * at.tp / (2 * at.tp + at.fp + at.fn) : NAN;
    rank_class(value, c, weight, k, at.tn + at.fp);
}

/* Predictive values where a share r has what the model looks for. */
static void at_prevalence(double *value, double r)
{
    double se = value[EVAL_SENSITIVITY], sp = value[EVAL_SPECIFICITY];
    if (r > 0 && !isnan(se) && !isnan(sp)) {
        value[EVAL_PPV_AT_PREVALENCE] = ratio(r * se, r * se + (1 - r) * (1 - sp));
        value[EVAL_NPV_AT_PREVALENCE] = ratio((1 - r) * sp, (1 - r) * sp + r * (1 - se));
    }
}

/* -------------------------------------------------------------- calibration */

/*
 * |gap| of a bin, less what chance adds to it.  If the true gap were g, the
 * one seen would be normal about g with standard error s, and its absolute
 * value would have the mean of a folded normal; what that mean exceeds |g| by
 * is taken off (Kumar, Liang and Ma 2019, in closed form instead of by
 * sampling).  s is that of a calibrated model: sqrt(sum p (1 - p)) / n.
 */
static double debiased_gap(double gap, double s)
{
    if (s <= 0) {
        return gap;
    }
    double z = gap / s;
    double folded = s * sqrt(2 / acos(-1)) * exp(-z * z / 2) + gap * erf(z / sqrt(2));
    return 2 * gap - folded;
}

static void calibration_values(double *value, const eval_cases *c, const double *weight)
{
    double n[EVAL_ECE_BINS] = {0}, p[EVAL_ECE_BINS] = {0};
    double y[EVAL_ECE_BINS] = {0}, variance[EVAL_ECE_BINS] = {0};
    double total = 0, raw = 0, debiased = 0, chance = 0, chance_variance = 0;
    const double mean_abs = sqrt(2 / acos(-1));  // of a standard normal
    for (size_t i = 0; i < c->n; i++) {
        double at = c->confidence[i] * EVAL_ECE_BINS;
        int b = at >= EVAL_ECE_BINS ? EVAL_ECE_BINS - 1 : at > 0 ? (int)at : 0;
        n[b] += weight[i];
        p[b] += weight[i] * c->confidence[i];
        y[b] += weight[i] * c->right[i];
        variance[b] += weight[i] * c->confidence[i] * (1 - c->confidence[i]);
        total += weight[i];
    }
    for (int b = 0; b < EVAL_ECE_BINS; b++) {
        if (n[b] > 0) {
            double gap = fabs(y[b] - p[b]) / n[b];
            double s = sqrt(fmax(0, variance[b])) / n[b];
            raw += n[b] / total * gap;
            debiased += n[b] / total * debiased_gap(gap, s);
            chance += n[b] / total * s * mean_abs;
            chance_variance += pow(n[b] / total * s, 2) * (1 - mean_abs * mean_abs);
        }
    }
    bool enough = total >= EVAL_ECE_CASES;
    value[EVAL_ECE_RAW] = enough ? raw : NAN;
    value[EVAL_ECE_SIGNED] = enough ? debiased : NAN;
    value[EVAL_ECE_CHANCE] = enough ? chance + EVAL_Z95 * sqrt(chance_variance) : NAN;
    value[EVAL_ECE] = enough ? fmax(0, debiased) : NAN;
}

/* -------------------------------------------------------------- all of them */

/* Mean over the classes that are there; NaN if a class has no value. */
static void macro_values(double *value, const eval_cases *c, const double *weight)
{
    size_t n_there = 0;
    double sum[EVAL_N_VALUES] = {0};
    for (size_t k = 0; k < c->n_classes; k++) {
        double of_class[EVAL_N_VALUES] = {0};
        class_values(of_class, c, weight, (int)k);
        if (isnan(of_class[EVAL_SENSITIVITY])) {
            continue;  // no case of this class
        }
        n_there++;
        for (int m = EVAL_AUC; m <= EVAL_NPV; m++) {
            sum[m] += of_class[m];
        }
        sum[EVAL_SENSITIVITY_AT_SPEC90] += of_class[EVAL_SENSITIVITY_AT_SPEC90];
    }
    for (int m = EVAL_AUC; m <= EVAL_NPV; m++) {
        value[m] = n_there > 0 ? sum[m] / (double)n_there : NAN;
    }
    value[EVAL_SENSITIVITY_AT_SPEC90] = n_there > 1
                                            ? sum[EVAL_SENSITIVITY_AT_SPEC90] / (double)n_there
                                            : NAN;
    value[EVAL_BALANCED_ACCURACY] = n_there > 1 ? value[EVAL_SENSITIVITY] : NAN;
}

void eval_cases_values(double value[static EVAL_N_VALUES], const eval_cases *c,
                       const double *weight)
{
    for (int m = 0; m < EVAL_N_VALUES; m++) {
        value[m] = NAN;
    }
    double n = 0, right = 0, brier = 0, nll = 0, observed = 0, expected = 0;
    for (size_t i = 0; i < c->n; i++) {
        n += weight[i];
        observed += weight[i] * c->right[i];
        expected += weight[i] * c->confidence[i];
        right += weight[i] * (c->called[i] == c->label[i]);
        brier += weight[i] * c->brier[i];
        nll += weight[i] * c->nll[i];
    }
    if (c->damaged || n == 0) {
        return;
    }
    value[EVAL_ACCURACY] = right / n;
    value[EVAL_BRIER] = brier / n;
    value[EVAL_NLL] = nll / n;
    calibration_values(value, c, weight);
    if (c->binary) {
        class_values(value, c, weight, c->positive);
        value[EVAL_BALANCED_ACCURACY] = (value[EVAL_SENSITIVITY] + value[EVAL_SPECIFICITY]) / 2;
        at_prevalence(value, c->prevalence);
        value[EVAL_OBSERVED_EXPECTED] = ratio(observed, expected);
    } else {
        macro_values(value, c, weight);
    }
}

void eval_cases_values_all(double value[static EVAL_N_VALUES], const eval_cases *c)
{
    double *ones = fl_xcalloc(c->n, sizeof *ones);
    for (size_t i = 0; i < c->n; i++) {
        ones[i] = 1;
    }
    eval_cases_values(value, c, ones);
    free(ones);
}

void eval_cases_figure(eval_figure *f, const eval_cases *c)
{
    *f = (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN};
    f->n = (int64_t)c->n;
    f->n_positive = c->binary ? (int64_t)c->n_class[c->positive] : -1;
    f->n_patients = (int64_t)c->patients.n_patients;
}

const char *eval_cases_why(const eval_cases *c, eval_class_metric metric)
{
    if (c->damaged) {
        return "a score is not a finite number";
    }
    if (c->n == 0) {
        return "no cases";
    }
    if (metric == EVAL_ECE) {
        return "fewer than 200 cases: would mostly be chance";
    }
    if (!c->binary && metric > EVAL_SENSITIVITY_AT_SPEC90) {
        return "of two classes only";
    }
    bool at_prevalence = metric == EVAL_PPV_AT_PREVALENCE || metric == EVAL_NPV_AT_PREVALENCE;
    if (at_prevalence && c->prevalence == 0) {
        return "no prevalence is declared";
    }
    if (metric == EVAL_OBSERVED_EXPECTED) {
        return "every score is 0";
    }
    if (c->binary) {
        bool has_positive = c->n_class[c->positive] > 0;
        bool has_negative = c->n_class[1 - c->positive] > 0;
        return !has_positive && metric != EVAL_SPECIFICITY   ? "no positive cases"
               : !has_negative && metric != EVAL_SENSITIVITY ? "no negative cases"
               : metric == EVAL_PPV || metric == EVAL_PPV_AT_PREVALENCE
                   ? "no case was called positive"
                   : "no case was called negative";
    }
    for (size_t k = 0; k < c->n_classes; k++) {
        if (c->n_class[k] == c->n) {
            return "cases of one class only";
        }
    }
    return "a class that is there was never called, or always";
}

size_t eval_cases_fewest(const eval_cases *c)
{
    size_t fewest = c->patients.n_patients;
    bool *in = fl_xcalloc(c->n, sizeof *in);
    for (size_t k = 0; k < c->n_classes; k++) {
        if (c->n_class[k] == 0 && !c->binary) {
            continue;
        }
        for (size_t i = 0; i < c->n; i++) {
            in[i] = c->label[i] == (int)k;
        }
        size_t patients = eval_patients_count(&c->patients, in);
        fewest = patients < fewest ? patients : fewest;
    }
    free(in);
    return fewest;
}
