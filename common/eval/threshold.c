/*
 * threshold.c - score histograms, and what can be read from them alone
 *
 * A hospital's scores do not leave it; their counts in equal bins do.  Bins
 * of all sites are added, so the threshold is one number for all, chosen on
 * validation data before any test split is opened.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/eval.h"
#include "eval/stats.h"

/* Agrees with `score >= edge` for edge = b / n_bins, whatever the rounding. */
static size_t bin_of(double score, size_t n_bins)
{
    if (!(score > 0)) {
        return 0;
    }
    size_t b = score >= 1 ? n_bins - 1 : (size_t)(score * (double)n_bins);
    if (b > n_bins - 1) {
        b = n_bins - 1;
    }
    if (b + 1 < n_bins && score >= (double)(b + 1) / (double)n_bins) {
        return b + 1;
    }
    return b > 0 && score < (double)b / (double)n_bins ? b - 1 : b;
}

void eval_histogram(int64_t *bins, size_t n_bins, const double *score, size_t n)
{
    FL_REQUIRE(n_bins > 0);
    for (size_t i = 0; i < n; i++) {
        if (!isnan(score[i])) {
            bins[bin_of(score[i], n_bins)]++;
        }
    }
}

static double total(const int64_t *bins, size_t n_bins)
{
    double sum = 0;
    for (size_t b = 0; b < n_bins; b++) {
        sum += (double)bins[b];
    }
    return sum;
}

/* Largest edge that still calls a share `at` of the positives positive. */
static double edge_of_sensitivity(double at, const int64_t *positives, size_t n_bins)
{
    double above = 0, all = total(positives, n_bins);
    for (size_t b = n_bins; b > 0; b--) {
        if (above >= at * all - 1e-9) {
            return (double)b / (double)n_bins;
        }
        above += (double)positives[b - 1];
    }
    return 0;
}

/* Edge with the most sensitivity + specificity; of equals the lowest, which
 * misses the fewest positives. */
static double edge_of_youden(const int64_t *negatives, const int64_t *positives, size_t n_bins)
{
    double n_negative = total(negatives, n_bins), n_positive = total(positives, n_bins);
    double tp = n_positive, tn = 0, best = -1, edge = 0;
    for (size_t b = 0; b <= n_bins; b++) {
        double youden = tp / n_positive + tn / n_negative - 1;
        if (youden > best + 1e-12) {
            best = youden;
            edge = (double)b / (double)n_bins;
        }
        if (b < n_bins) {
            tp -= (double)positives[b];
            tn += (double)negatives[b];
        }
    }
    return edge;
}

double eval_threshold(eval_rule rule, double at, const int64_t *negatives, const int64_t *positives,
                      size_t n_bins)
{
    if (rule == EVAL_RULE_FIXED) {
        return at;
    }
    FL_REQUIRE(n_bins > 0);
    if (total(positives, n_bins) == 0) {
        return NAN;
    }
    if (rule == EVAL_RULE_SENSITIVITY) {
        return edge_of_sensitivity(at, positives, n_bins);
    }
    return total(negatives, n_bins) == 0 ? NAN : edge_of_youden(negatives, positives, n_bins);
}

double eval_histogram_auc(const int64_t *negatives, const int64_t *positives, size_t n_bins,
                          double *half_width)
{
    double below = 0, pairs = 0, tied = 0;
    for (size_t b = 0; b < n_bins; b++) {
        double p = (double)positives[b], q = (double)negatives[b];
        pairs += p * (below + q / 2);
        tied += p * q;
        below += q;
    }
    double all = below * total(positives, n_bins);
    if (half_width != NULL) {
        *half_width = all > 0 ? tied / all / 2 : NAN;
    }
    return all > 0 ? pairs / all : NAN;
}

/*
 * A pair is surely in order when the positive's first bin is above the
 * negative's last, surely not when its last is below the negative's first, and
 * undecided where they overlap.
 */
void eval_span_bounds(double *low, double *high, const eval_span *negatives, size_t n_negatives,
                      const eval_span *positives, size_t n_positives, size_t n_bins)
{
    // Negatives whose last bin is below b; whose first bin is above b - 1.
    double *ends_below = fl_xcalloc(n_bins + 1, sizeof *ends_below);
    double *begins_from = fl_xcalloc(n_bins + 2, sizeof *begins_from);
    double all_negatives = 0, all_positives = 0, sure = 0, impossible = 0;
    for (size_t i = 0; i < n_negatives; i++) {
        FL_REQUIRE(negatives[i].first <= negatives[i].last && negatives[i].last < n_bins);
        ends_below[negatives[i].last + 1] += (double)negatives[i].n;
        begins_from[negatives[i].first] += (double)negatives[i].n;
        all_negatives += (double)negatives[i].n;
    }
    for (size_t b = 1; b <= n_bins; b++) {
        ends_below[b] += ends_below[b - 1];
        begins_from[n_bins - b] += begins_from[n_bins - b + 1];
    }
    for (size_t i = 0; i < n_positives; i++) {
        FL_REQUIRE(positives[i].first <= positives[i].last && positives[i].last < n_bins);
        double n = (double)positives[i].n;
        all_positives += n;
        sure += n * ends_below[positives[i].first];
        impossible += n * begins_from[positives[i].last + 1];
    }
    double pairs = all_negatives * all_positives;
    *low = pairs > 0 ? sure / pairs : NAN;
    *high = pairs > 0 ? 1 - impossible / pairs : NAN;
    free(ends_below);
    free(begins_from);
}

/*
 * DeLong's components are the same for all cases of a class in a bin, so the
 * variance is a sum over bins: no case is looked at, nor could be.
 */
static double histogram_variance(const int64_t *negatives, const int64_t *positives, size_t n_bins,
                                 double auc)
{
    double n_negative = total(negatives, n_bins), n_positive = total(positives, n_bins);
    double below[2] = {0, 0}, squares[2] = {0, 0};
    for (size_t b = 0; b < n_bins; b++) {
        double q = (double)negatives[b], p = (double)positives[b];
        double of_negative = 1 - (below[1] + p / 2) / n_positive;
        double of_positive = (below[0] + q / 2) / n_negative;
        squares[0] += q * (of_negative - auc) * (of_negative - auc);
        squares[1] += p * (of_positive - auc) * (of_positive - auc);
        below[0] += q;
        below[1] += p;
    }
    return squares[0] / (n_negative - 1) / n_negative + squares[1] / (n_positive - 1) / n_positive;
}

void eval_histogram_figure(eval_figure *out, const int64_t *negatives, const int64_t *positives,
                           size_t n_bins)
{
    double n_negative = total(negatives, n_bins), n_positive = total(positives, n_bins);
    *out = (eval_figure){.ci_low = NAN, .ci_high = NAN};
    out->n = out->n_patients = (int64_t)(n_negative + n_positive);
    out->n_positive = (int64_t)n_positive;
    out->value = eval_histogram_auc(negatives, positives, n_bins, NULL);
    if (isnan(out->value)) {
        eval_figure_undefined(out, n_positive == 0 ? "no positive cases" : "no negative cases");
        return;
    }
    double variance = histogram_variance(negatives, positives, n_bins, out->value);
    eval_auc_interval(out, sqrt(fmax(0, variance)), n_positive, n_negative, false);
}
