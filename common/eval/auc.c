/*
 * auc.c - the area under the ROC curve, its interval, and its difference
 *
 * Everything follows from two components per case (DeLong 1988): for a
 * positive, the share of negatives below it; for a negative, the share of
 * positives above it; ties count half.  They come from midranks (Sun & Xu
 * 2014), so the work is sorting.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/eval.h"
#include "eval/stats.h"

static const double no_error = 1e-9;  // sums leave 1e-17 where zero is meant

typedef struct {
    double score;
    size_t at;  // index of the case
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Fills component (n) and returns the AUC; both classes must be there. */
static double components(double *component, const double *score, const bool *is_positive, size_t n)
{
    double n_class[2] = {0, 0}, below[2] = {0, 0};
    ranked *order = fl_xcalloc(n, sizeof *order);
    for (size_t i = 0; i < n; i++) {
        order[i] = (ranked){score[i], i};
        n_class[is_positive[i]]++;
    }
    qsort(order, n, sizeof *order, by_score);

    double sum = 0;  // over positives
    for (size_t first = 0, end = 0; first < n; first = end) {
        double tied[2] = {0, 0};
        for (end = first; end < n && order[end].score == order[first].score; end++) {
            tied[is_positive[order[end].at]]++;
        }
        for (size_t i = first; i < end; i++) {
            size_t at = order[i].at;
            if (is_positive[at]) {
                component[at] = (below[0] + tied[0] / 2) / n_class[0];
                sum += component[at];
            } else {
                component[at] = 1 - (below[1] + tied[1] / 2) / n_class[1];
            }
        }
        below[0] += tied[0];
        below[1] += tied[1];
    }
    free(order);
    return sum / n_class[1];
}

double eval_auc(const double *score, const int *is_positive, size_t n)
{
    size_t n_positive = 0;
    bool *positive = fl_xcalloc(n, sizeof *positive);
    for (size_t i = 0; i < n; i++) {
        positive[i] = is_positive[i] != 0;
        n_positive += positive[i];
        if (isnan(score[i])) {
            free(positive);
            return NAN;
        }
    }
    double auc = NAN;
    if (n_positive > 0 && n_positive < n) {
        double *component = fl_xcalloc(n, sizeof *component);
        auc = components(component, score, positive, n);
        free(component);
    }
    free(positive);
    return auc;
}

/*
 * Variance of an AUC, or of a difference of two when component and mean are
 * differences.  Obuchowski (1997), eq. 4: the components are summed within a
 * patient, so that a patient counts once; the last term is for patients with
 * cases of both classes.
 */
static double variance_of(const double *component, double mean, const bool *is_positive,
                          const eval_patients *p)
{
    double n_class[2] = {0, 0};
    double *sum[2] = {fl_xcalloc(p->n_patients, sizeof(double)),
                      fl_xcalloc(p->n_patients, sizeof(double))};
    bool *has[2] = {fl_xcalloc(p->n_patients, sizeof(bool)),
                    fl_xcalloc(p->n_patients, sizeof(bool))};
    for (size_t i = 0; i < p->n; i++) {
        int y = is_positive[i];
        sum[y][p->of[i]] += component[i] - mean;
        has[y][p->of[i]] = true;
        n_class[y]++;
    }
    double squares[2] = {0, 0}, patients[2] = {0, 0}, product = 0;
    for (size_t g = 0; g < p->n_patients; g++) {
        product += sum[0][g] * sum[1][g];
        for (int y = 0; y < 2; y++) {
            squares[y] += sum[y][g] * sum[y][g];
            patients[y] += has[y][g];
        }
    }
    double variance = 0;
    for (int y = 0; y < 2; y++) {
        variance += patients[y] / (patients[y] - 1) * squares[y] / (n_class[y] * n_class[y]);
        free(sum[y]);
        free(has[y]);
    }
    double G = (double)p->n_patients;
    return variance + 2 * G / (G - 1) * product / (n_class[0] * n_class[1]);
}

/* Counts of f; false, with the reason in f, when there is nothing to rank. */
static bool count_classes(eval_figure *f, const bool *is_positive, const eval_patients *p)
{
    f->n = (int64_t)p->n;
    f->n_patients = (int64_t)p->n_patients;
    f->n_positive = 0;
    for (size_t i = 0; i < p->n; i++) {
        f->n_positive += is_positive[i];
    }
    if (f->n == 0) {
        eval_figure_undefined(f, "no cases");
    } else if (f->n_positive == 0) {
        eval_figure_undefined(f, "no positive cases");
    } else if (f->n_positive == f->n) {
        eval_figure_undefined(f, "no negative cases");
    } else {
        return true;
    }
    return false;
}

/*
 * How many standard errors wide an interval is on each side: the normal's
 * 1.96, and below 25 cases of the rarer class Student's t with that many less
 * one degrees of freedom.  With 10 positives of AUC .95 and 100 negatives,
 * 1.96 would hold the truth in 89.9 % only (tests/eval/long_coverage.c).
 */
static double width_for(size_t fewest)
{
    return fewest < 25 ? eval_student_quantile((int)fewest - 1) : EVAL_Z95;
}

/* Standard errors to either side; 0, with the reason in f, when fewer than
 * EVAL_FEW patients have a case of one class. */
static double width_of(eval_figure *f, double n_positive, double n_negative, bool by_patient)
{
    double fewest = fmin(n_positive, n_negative);
    if (fewest >= EVAL_FEW) {
        return width_for((size_t)fewest);
    }
    char why[sizeof f->why];
    snprintf(why, sizeof why, "too few %s: %.0f positive, %.0f negative; %d of each are needed",
             by_patient ? "patients" : "cases", n_positive, n_negative, EVAL_FEW);
    eval_figure_no_interval(f, why);
    return 0;
}

/* Patients with a positive case, and with a negative one. */
static void count_patients(double *n_positive, double *n_negative, const bool *is_positive,
                           const eval_patients *p)
{
    bool *negative = fl_xcalloc(p->n, sizeof *negative);
    for (size_t i = 0; i < p->n; i++) {
        negative[i] = !is_positive[i];
    }
    *n_positive = (double)eval_patients_count(p, is_positive);
    *n_negative = (double)eval_patients_count(p, negative);
    free(negative);
}

/*
 * The AUC that lies z standard errors from the one seen, to the left or the
 * right; the standard error is that of the AUC looked for (Newcombe 2006,
 * method 5, eq. 3), so the interval stays in [0, 1] and is not empty at 1.
 */
static double newcombe_bound(double auc, double n_positive, double n_negative, bool upper)
{
    const double N = (n_positive + n_negative) / 2 - 1;
    double inside = auc, outside = upper ? 1 : 0;
    for (int i = 0; i < 100; i++) {
        double t = (inside + outside) / 2;
        double variance = t * (1 - t) / (n_positive * n_negative) *
                          (1 + N * (1 - t) / (2 - t) + N * t / (1 + t));
        if (fabs(t - auc) <= EVAL_Z95 * sqrt(variance)) {
            inside = t;
        } else {
            outside = t;
        }
    }
    return inside;
}

static double logit(double p)
{
    return log(p / (1 - p));
}

static double expit(double x)
{
    return 1 / (1 + exp(-x));
}

void eval_auc_interval(eval_figure *f, double se, double n_positive, double n_negative,
                       bool by_patient)
{
    double width = width_of(f, n_positive, n_negative, by_patient);
    if (width == 0) {
        return;
    }
    if (se < no_error) {
        f->ci_low = newcombe_bound(f->value, n_positive, n_negative, false);
        f->ci_high = newcombe_bound(f->value, n_positive, n_negative, true);
        snprintf(f->method, sizeof f->method, "Newcombe score%s", by_patient ? ", by patient" : "");
        return;
    }
    f->se = se;
    double centre = logit(f->value);
    double half = width * se / (f->value * (1 - f->value));
    f->ci_low = expit(centre - half);
    f->ci_high = expit(centre + half);
    snprintf(f->method, sizeof f->method, "%s, logit scale",
             by_patient ? "Obuchowski, by patient" : "DeLong");
}

void eval_auc_figure(eval_figure *f, const double *score, const bool *is_positive,
                     const eval_patients *p)
{
    if (!count_classes(f, is_positive, p)) {
        return;
    }
    double n_positive, n_negative;
    double *component = fl_xcalloc(p->n, sizeof *component);
    f->value = components(component, score, is_positive, p->n);
    double variance = variance_of(component, f->value, is_positive, p);
    free(component);
    count_patients(&n_positive, &n_negative, is_positive, p);
    eval_auc_interval(f, sqrt(fmax(0, variance)), n_positive, n_negative, p->repeats);
}

void eval_auc_difference(eval_figure *f, const double *score_a, const double *score_b,
                         const bool *is_positive, const eval_patients *p)
{
    if (!count_classes(f, is_positive, p)) {
        return;
    }
    double *a = fl_xcalloc(p->n, sizeof *a);
    double *b = fl_xcalloc(p->n, sizeof *b);
    double auc_a = components(a, score_a, is_positive, p->n);
    double auc_b = components(b, score_b, is_positive, p->n);
    f->value = auc_b - auc_a;
    for (size_t i = 0; i < p->n; i++) {
        b[i] -= a[i];
    }
    double n_positive, n_negative;
    count_patients(&n_positive, &n_negative, is_positive, p);
    double width = width_of(f, n_positive, n_negative, p->repeats);
    if (width > 0) {
        double se = sqrt(fmax(0, variance_of(b, f->value, is_positive, p)));
        if (se < no_error) {
            eval_figure_no_interval(f, "both models order the cases alike");
        } else {
            f->se = se;
            f->ci_low = fmax(-1, f->value - width * se);
            f->ci_high = fmin(1, f->value + width * se);
            snprintf(f->method, sizeof f->method, "%s, paired",
                     p->repeats ? "Obuchowski, by patient" : "DeLong");
        }
    }
    free(a);
    free(b);
}
