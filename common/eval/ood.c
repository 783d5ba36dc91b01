/*
 * ood.c - see ood.h
 */
#include "eval/ood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/patients.h"
#include "eval/stats.h"
#include "nn/blas.h"

struct eval_ood {
    size_t D, n_means, n_cases;
    double shrinkage;
    double *mean;   // (n_means, D), whitened: l^-1 mu
    double *lower;  // (D, D) l with l l' = Sigma
};

static const double least_shrinkage = 1e-6;  // features that never vary have a spread then too

// ------------------------------------------------------------------------- fit

/* The cases that have a class, less their class's mean.  Returns how many. */
static size_t centre(eval_ood *o, double *centred, const double *x, const int *label, size_t n,
                     size_t n_classes)
{
    size_t D = o->D, at = 0;
    size_t *count = fl_xcalloc(n_classes, sizeof *count);
    double *sum = fl_xcalloc(n_classes * D, sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        int c = label != NULL ? label[i] : 0;
        for (size_t d = 0; c >= 0 && d < D; d++) {
            sum[(size_t)c * D + d] += x[i * D + d];
        }
        if (c >= 0) {
            count[c]++;
        }
    }
    for (size_t c = 0; c < n_classes; c++) {
        for (size_t d = 0; count[c] > 0 && d < D; d++) {
            sum[c * D + d] /= (double)count[c];
        }
        if (count[c] > 0) {
            memcpy(o->mean + o->n_means++ * D, sum + c * D, D * sizeof *sum);
        }
    }
    for (size_t i = 0; i < n; i++) {
        int c = label != NULL ? label[i] : 0;
        for (size_t d = 0; c >= 0 && d < D; d++) {
            centred[at * D + d] = x[i * D + d] - sum[(size_t)c * D + d];
        }
        at += c >= 0;
    }
    free(sum);
    free(count);
    return at;
}

/*
 * Ledoit and Wolf 2004, lemmas 3.2 to 3.5, of centred cases: with S = X'X / n and m = tr S / D,
 * the share of m I is min(b, d) / d, d = |S - m I|^2, b = mean of |x x' - S|^2 / n; norms over D.
 */
static double ledoit_wolf(const double *S, const double *centred, size_t n, size_t D,
                          double *scale)
{
    double trace = 0, squares = 0, fourth = 0;
    for (size_t i = 0; i < D; i++) {
        trace += S[i * D + i];
    }
    for (size_t i = 0; i < D * D; i++) {
        squares += S[i] * S[i];
    }
    // |x x'|^2 is |x|^4; the mean of x x' is S.
    for (size_t i = 0; i < n; i++) {
        double norm = 0;
        for (size_t d = 0; d < D; d++) {
            norm += centred[i * D + d] * centred[i * D + d];
        }
        fourth += norm * norm / (double)n;
    }
    double m = trace / (double)D;
    double spread = squares - m * trace;
    double error = (fourth - squares) / (double)n;
    *scale = m;
    double share = spread > 0 ? fmin(1, fmax(0, error) / spread) : 1;
    return fmax(share, least_shrinkage);
}

static fl_status fit(eval_ood *o, double *centred, fl_err *err)
{
    size_t D = o->D, n = o->n_cases;
    double scale;
    nn_blas_gram(o->lower, centred, (int64_t)n, (int64_t)D);
    for (size_t i = 0; i < D * D; i++) {
        o->lower[i] /= (double)n;
    }
    o->shrinkage = ledoit_wolf(o->lower, centred, n, D, &scale);
    if (!(scale > 0) || !isfinite(scale)) {
        return fl_fail(err, FL_EUNSUPPORTED, "no feature of the reference cases varies");
    }
    for (size_t i = 0; i < D * D; i++) {
        o->lower[i] *= 1 - o->shrinkage;
    }
    for (size_t i = 0; i < D; i++) {
        o->lower[i * D + i] += o->shrinkage * scale;
    }
    if (!nn_blas_cholesky(o->lower, (int64_t)D)) {
        return fl_fail(err, FL_EUNSUPPORTED, "the covariance of the features has no inverse");
    }
    nn_blas_solve_lower(o->mean, o->lower, (int64_t)o->n_means, (int64_t)D);
    return FL_OK;
}

fl_status eval_ood_new(eval_ood **out, const double *x, const int *label, size_t n, size_t D,
                       size_t n_classes, fl_err *err)
{
    fl_status st = FL_ELIMIT;
    size_t n_numbers;
    *out = NULL;
    n_classes = label != NULL ? n_classes : 1;
    if (D == 0 || D > EVAL_OOD_MAX_FEATURES || !fl_size_mul(&n_numbers, n, D)) {
        return fl_fail(err, FL_EUNSUPPORTED, "%zu features; at most %d can be held against a "
                       "reference", D, EVAL_OOD_MAX_FEATURES);
    }
    eval_ood *o = fl_xcalloc(1, sizeof *o);
    double *centred = fl_calloc(n_numbers, sizeof *centred, "features", err);
    o->D = D;
    o->mean = fl_calloc(n_classes * D, sizeof *o->mean, "features", err);
    o->lower = fl_calloc(D * D, sizeof *o->lower, "a covariance", err);
    if (centred != NULL && o->mean != NULL && o->lower != NULL) {
        o->n_cases = centre(o, centred, x, label, n, n_classes);
        st = o->n_cases >= EVAL_OOD_FEWEST
                 ? fit(o, centred, err)
                 : fl_fail(err, FL_EUNSUPPORTED,
                           "%zu labelled training cases are too few for a reference: %d are "
                           "needed", o->n_cases, EVAL_OOD_FEWEST);
    }
    free(centred);
    if (st != FL_OK) {
        eval_ood_destroy(&o);
    }
    *out = o;
    return st;
}

void eval_ood_destroy(eval_ood **o)
{
    if (*o != NULL) {
        free((*o)->mean);
        free((*o)->lower);
        FL_FREE(*o);
    }
}

size_t eval_ood_n_cases(const eval_ood *o)
{
    return o->n_cases;
}

size_t eval_ood_n_means(const eval_ood *o)
{
    return o->n_means;
}

double eval_ood_shrinkage(const eval_ood *o)
{
    return o->shrinkage;
}

void eval_ood_distance(const eval_ood *o, double *distance, const double *x, size_t n)
{
    size_t D = o->D;
    double *white = fl_xcalloc(D, sizeof *white);
    for (size_t i = 0; i < n; i++) {
        memcpy(white, x + i * D, D * sizeof *white);
        nn_blas_solve_lower(white, o->lower, 1, (int64_t)D);
        distance[i] = INFINITY;
        for (size_t c = 0; c < o->n_means; c++) {
            double sum = 0;
            for (size_t d = 0; d < D; d++) {
                double apart = white[d] - o->mean[c * D + d];
                sum += apart * apart;
            }
            distance[i] = fmin(distance[i], sum);
        }
    }
    free(white);
}

// --------------------------------------------------------------------- figures

void eval_ood_auroc(eval_figure *out, const eval_ood_scores *inside,
                    const eval_ood_scores *outside)
{
    size_t n = inside->n + outside->n;
    double *score = fl_xcalloc(n, sizeof *score);
    bool *is_outside = fl_xcalloc(n, sizeof *is_outside);
    int64_t *patient = fl_xcalloc(n, sizeof *patient);
    eval_patients patients;
    for (size_t i = 0; i < n; i++) {
        const eval_ood_scores *of = i < inside->n ? inside : outside;
        size_t at = i < inside->n ? i : i - inside->n;
        is_outside[i] = i >= inside->n;
        score[i] = of->value[at];
        patient[i] = of->patient[at];
    }
    eval_patients_init(&patients, patient, n);
    *out = (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN};
    eval_auc_figure(out, score, is_outside, &patients);
    if (inside->n == 0 || outside->n == 0) {
        eval_figure_undefined(out, inside->n == 0 ? "no cases of the reference to compare with"
                                                  : "no cases");
    }
    eval_patients_clear(&patients);
    free(patient);
    free(is_outside);
    free(score);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double eval_ood_limit(const double *value, size_t n)
{
    if (n == 0) {
        return NAN;
    }
    double *sorted = fl_xcalloc(n, sizeof *sorted);
    memcpy(sorted, value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    size_t kept = (size_t)ceil(EVAL_OOD_KEPT * (double)n - 1e-9);
    double limit = sorted[kept - 1];
    free(sorted);
    return limit;
}

/* The share of the cases whose score is above the limit, or is not. */
static void put_share(eval_figure *out, const eval_ood_scores *scores, double limit, bool above,
                      const char *none)
{
    bool *hit = fl_xcalloc(scores->n, sizeof *hit);
    eval_patients patients;
    eval_patients_init(&patients, scores->patient, scores->n);
    for (size_t i = 0; i < scores->n; i++) {
        hit[i] = (scores->value[i] > limit) == above;
    }
    *out = (eval_figure){.n_positive = -1};
    eval_proportion(out, NULL, hit, &patients, none);
    eval_patients_clear(&patients);
    free(hit);
}

void eval_ood_above(eval_figure *out, const eval_ood_scores *scores, double limit)
{
    put_share(out, scores, limit, true, "no cases");
}

void eval_ood_fpr95(eval_figure *out, const eval_ood_scores *inside,
                    const eval_ood_scores *outside)
{
    double limit = eval_ood_limit(inside->value, inside->n);
    put_share(out, outside, limit, false, "no cases");
    if (isnan(limit)) {
        eval_figure_undefined(out, "no cases of the reference to compare with");
    }
}
