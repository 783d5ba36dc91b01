/*
 * uncertainty.c - see uncertainty.h
 */
#include "eval/uncertainty.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "eval/patients.h"
#include "eval/stats.h"

static const double smallest_prob = 1e-300;  // its log is finite

// --------------------------------------------------------------- temperature

/* log of sum exp(b log p_k), and the mean and variance of log p_k under it. */
static double log_sum(double *mean, double *variance, const double *score, size_t K, double b)
{
    double top = -INFINITY, sum = 0, first = 0, second = 0;
    for (size_t k = 0; k < K; k++) {
        top = fmax(top, b * log(fmax(smallest_prob, score[k])));
    }
    for (size_t k = 0; k < K; k++) {
        double x = log(fmax(smallest_prob, score[k])), w = exp(b * x - top);
        sum += w;
        first += w * x;
        second += w * x * x;
    }
    *mean = first / sum;
    *variance = fmax(0, second / sum - *mean * *mean);
    return top + log(sum);
}

void eval_temperature_add(eval_temperature_sums *s, const double *score, const int *label, size_t n,
                          size_t K, double b)
{
    for (size_t i = 0; i < n; i++) {
        if (label[i] < 0) {
            continue;
        }
        double mean, variance, of_label = log(fmax(smallest_prob, score[i * K + (size_t)label[i]]));
        s->loss += log_sum(&mean, &variance, score + i * K, K, b) - b * of_label;
        s->slope += mean - of_label;
        s->curvature += variance;
        s->n += 1;
    }
}

double eval_temperature_fit(const char **why, const double *score, const int *label, size_t n,
                            size_t K)
{
    double low = 0.01, high = 100;  // b; the slope rises with it
    eval_temperature_sums at_low = {0}, at_high = {0};
    eval_temperature_add(&at_low, score, label, n, K, low);
    eval_temperature_add(&at_high, score, label, n, K, high);
    *why = at_low.n == 0        ? "no labelled cases"
           : at_high.slope <= 0 ? "surer scores would always be better on these cases"
           : at_low.slope >= 0  ? "less sure scores would always be better on these cases"
                                : NULL;
    if (*why != NULL) {
        return NAN;
    }
    // Newton's steps where they stay between the bounds, else halving.
    double b = 1;
    for (int step = 0; step < 200 && high - low > 1e-15 * b; step++) {
        eval_temperature_sums s = {0};
        eval_temperature_add(&s, score, label, n, K, b);
        *(s.slope < 0 ? &low : &high) = b;
        double next = b - s.slope / s.curvature;
        next = next > low && next < high ? next : sqrt(low * high);
        if (fabs(next - b) <= 1e-14 * b) {
            return 1 / next;
        }
        b = next;
    }
    return 1 / b;
}

double eval_temperature_point(size_t k)
{
    return exp2(((double)k - EVAL_TEMPERATURE_POINTS / 2) / 2);
}

/* Cubic on [0, 1] with values y and derivatives d at its ends. */
static double hermite(const double y[static 2], const double d[static 2], double t)
{
    double u = 1 - t;
    return y[0] * u * u * (1 + 2 * t) + d[0] * t * u * u + y[1] * t * t * (3 - 2 * t) -
           d[1] * t * t * u;
}

double eval_temperature_pooled(const char **why, const double slope[static EVAL_TEMPERATURE_POINTS],
                               const double curvature[static EVAL_TEMPERATURE_POINTS])
{
    const size_t last = EVAL_TEMPERATURE_POINTS - 1;
    *why = slope[last] <= 0 ? "surer scores would always be better on these cases"
           : slope[0] >= 0  ? "less sure scores would always be better on these cases"
                            : NULL;
    if (*why != NULL) {
        return NAN;
    }
    size_t k = 0;
    while (slope[k + 1] < 0) {
        k++;
    }
    const double step = log(2) / 2;  // of log b; d slope / d log b = b d slope / d b
    const double y[2] = {slope[k], slope[k + 1]};
    const double d[2] = {step * eval_temperature_point(k) * curvature[k],
                         step * eval_temperature_point(k + 1) * curvature[k + 1]};
    double low = 0, high = 1;
    while (high - low > 1e-15) {
        double middle = (low + high) / 2;
        if (middle <= low || middle >= high) {
            break;
        }
        *(hermite(y, d, middle) < 0 ? &low : &high) = middle;
    }
    return 1 / (eval_temperature_point(k) * exp(step * (low + high) / 2));
}

double eval_temperature_coarse(double sum, double n)
{
    double step = n / 4096;
    return n > 0 ? step * round(sum / step) : 0;
}

void eval_temperature_apply(double *out, const double *score, size_t n, size_t K, double T)
{
    FL_REQUIRE(T > 0);
    for (size_t i = 0; i < n; i++) {
        double mean, variance, all = log_sum(&mean, &variance, score + i * K, K, 1 / T);
        for (size_t k = 0; k < K; k++) {
            out[i * K + k] = exp(log(fmax(smallest_prob, score[i * K + k])) / T - all);
        }
    }
}

// ------------------------------------------------------------------ conformal

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double eval_conformal_quantile(double *nonconformity, size_t n, double alpha)
{
    FL_REQUIRE(alpha > 0 && alpha < 1);
    // (n + 1)(1 - alpha) may be whole on paper and a hair above it here.
    double rank = ceil((double)(n + 1) * (1 - alpha) - 1e-9);
    if (rank > (double)n) {
        return INFINITY;
    }
    qsort(nonconformity, n, sizeof *nonconformity, by_value);
    return nonconformity[rank < 1 ? 0 : (size_t)rank - 1];
}

bool eval_conformal_counts(int64_t *count, size_t n_bins, double *nonconformity, size_t n,
                           int64_t min_cell)
{
    for (size_t k = 0; k < n_bins; k++) {
        count[k] = 0;
    }
    if (n == 0 || (int64_t)n < min_cell) {
        return false;
    }
    qsort(nonconformity, n, sizeof *nonconformity, by_value);
    int64_t waiting = 0;
    size_t bin = 0, before = 0;  // of this one; of the last that has a count
    for (size_t i = 0; i < n; i++) {
        double upper = ceil(nonconformity[i] * (double)n_bins) - 1;
        bin = upper < 0 ? 0 : upper >= (double)n_bins ? n_bins - 1 : (size_t)upper;
        bool ends_bin = i + 1 == n || nonconformity[i + 1] * (double)n_bins > (double)(bin + 1);
        waiting++;
        if (ends_bin && waiting >= min_cell) {
            count[bin] = waiting;
            before = bin;
            waiting = 0;
        }
    }
    if (waiting > 0) {  // too few above: the last count moves up to them
        waiting += count[before];
        count[before] = 0;
        count[bin] = waiting;
    }
    return true;
}

double eval_conformal_pooled(const int64_t *count, size_t n_bins, double alpha)
{
    FL_REQUIRE(alpha > 0 && alpha < 1);
    int64_t n = 0, below = 0;
    for (size_t k = 0; k < n_bins; k++) {
        n += count[k];
    }
    double rank = fmax(1, ceil((double)(n + 1) * (1 - alpha) - 1e-9));
    for (size_t k = 0; k < n_bins; k++) {
        below += count[k];
        if ((double)below >= rank) {
            return (double)(k + 1) / (double)n_bins;
        }
    }
    return INFINITY;
}

size_t eval_conformal_nonconformity(double *out, const double *score, const int *label, size_t n,
                                    size_t K)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (label[i] >= 0) {
            out[kept++] = 1 - score[i * K + (size_t)label[i]];
        }
    }
    return kept;
}

void eval_conformal_judge(eval_conformal *out, const double *score, const int *label,
                          const int64_t *patient, size_t n, size_t K, double quantile,
                          uint64_t seed)
{
    bool *in_set = fl_xcalloc(n, sizeof *in_set);
    double *size = fl_xcalloc(n, sizeof *size);
    int64_t *of = fl_xcalloc(n, sizeof *of);
    size_t kept = 0, n_empty = 0, n_single = 0;
    for (size_t i = 0; i < n; i++) {
        if (label[i] < 0) {
            continue;
        }
        for (size_t k = 0; k < K; k++) {
            bool in = 1 - score[i * K + k] <= quantile;
            size[kept] += in;
            in_set[kept] = in_set[kept] || (in && label[i] == (int)k);
        }
        n_empty += size[kept] < 1;
        n_single += size[kept] == 1;
        of[kept++] = patient != NULL ? patient[i] : (int64_t)i;
    }
    eval_patients patients;
    eval_patients_init(&patients, of, kept);
    *out = (eval_conformal){.empty = NAN, .single = NAN};
    eval_figure none = {.value = NAN, .ci_low = NAN, .ci_high = NAN, .n_positive = -1};
    out->coverage = out->set_size = none;
    eval_proportion(&out->coverage, NULL, in_set, &patients, "no cases");
    out->set_size.n = (int64_t)kept;
    out->set_size.n_patients = (int64_t)patients.n_patients;
    if (kept == 0) {
        eval_figure_undefined(&out->set_size, "no cases");
    } else {
        out->empty = (double)n_empty / (double)kept;
        out->single = (double)n_single / (double)kept;
        eval_patients_mean(&out->set_size, size, &patients, "set size", seed);
    }
    eval_patients_clear(&patients);
    free(in_set);
    free(size);
    free(of);
}

// ------------------------------------------------------- several predictions

static double nats(const double *score, size_t K)
{
    double sum = 0;
    for (size_t k = 0; k < K; k++) {
        sum -= score[k] > 0 ? score[k] * log(score[k]) : 0;
    }
    return sum;
}

void eval_members(double *mean, double *entropy, double *information, const double *member,
                  size_t M, size_t n, size_t K)
{
    FL_REQUIRE(M >= 1);
    double *average = fl_xcalloc(K, sizeof *average);
    for (size_t i = 0; i < n; i++) {
        double own = 0;
        for (size_t k = 0; k < K; k++) {
            average[k] = 0;
        }
        for (size_t m = 0; m < M; m++) {
            const double *row = member + (m * n + i) * K;
            own += nats(row, K) / (double)M;
            for (size_t k = 0; k < K; k++) {
                average[k] += row[k] / (double)M;
            }
        }
        entropy[i] = nats(average, K);
        information[i] = fmax(0, entropy[i] - own);  // rounding
        for (size_t k = 0; k < K && mean != NULL; k++) {
            mean[i * K + k] = average[k];
        }
    }
    free(average);
}

static double binary_entropy(double p)
{
    const double both[] = {p, 1 - p};
    return nats(both, 2);
}

void eval_members_findings(double *mean, double *entropy, double *information,
                           double *entropy_of, double *information_of, const double *member,
                           size_t M, size_t n, size_t K)
{
    FL_REQUIRE(M >= 1 && K >= 1);
    for (size_t i = 0; i < n; i++) {
        entropy[i] = information[i] = 0;
        for (size_t k = 0; k < K; k++) {
            size_t at = i * K + k;
            double average = 0, own = 0;
            for (size_t m = 0; m < M; m++) {
                double p = member[m * n * K + at];
                average += p / (double)M;
                own += binary_entropy(p) / (double)M;
            }
            mean[at] = average;
            entropy_of[at] = binary_entropy(average);
            information_of[at] = fmax(0, entropy_of[at] - own);  // rounding
            entropy[i] += entropy_of[at] / (double)K;
            information[i] += information_of[at] / (double)K;
        }
    }
}

void eval_members_numbers(double *mean, double *spread, const double *member, size_t M, size_t n)
{
    FL_REQUIRE(M >= 1);
    for (size_t i = 0; i < n; i++) {
        double sum = 0, squares = 0;
        for (size_t m = 0; m < M; m++) {
            sum += member[m * n + i];
        }
        mean[i] = sum / (double)M;
        for (size_t m = 0; m < M; m++) {
            double off = member[m * n + i] - mean[i];
            squares += off * off;
        }
        spread[i] = sqrt(squares / (double)M);
    }
}
