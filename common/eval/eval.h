/*
 * eval.h - what a number about predictions is, and how sure it is
 *
 * eval/ sees arrays (scores, labels, patients) and nothing else: no files, no
 * network, no model.  Every metric comes as a figure: value, 95 % interval, how
 * many cases, positives and patients it rests on, and by which method.  What is
 * undefined (AUC of a single-class site) is NaN with a reason, never 0 or 0.5.
 */
#ifndef EVAL_EVAL_H
#define EVAL_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

typedef struct {
    double value;             // NaN = undefined
    double ci_low, ci_high;   // 95 %; NaN = no interval
    int64_t n, n_positive, n_patients; // it rests on: sensitivity's n are the
                              // positives, PPV's the cases called positive;
                              // n_positive -1 (null) where there is no such class
    char method[48];          // "DeLong, logit scale", "Wilson", "bootstrap 2000" ... or "none"
    char why[96];             // why undefined or without interval; "" otherwise
    double se;                // standard error of the value; 0 = not known
    char unit[8];             // "mm", "px", "mL" ...; "" where there is none
} eval_figure;

/* FIGURE of report.json; new reference. */
json_t *eval_figure_json(const eval_figure *f);

/* Predictions for classification.  All arrays borrowed. */
typedef struct {
    size_t n;              // cases
    size_t n_classes;      // K >= 2
    const double *score;   // (n, K) probabilities; rows sum to 1 (multi-label: each in [0, 1])
    const int *label;      // (n) class code, -1 = unlabelled (left out)
    const int64_t *patient; // (n) patient number; NULL = every case its own
    int positive;          // two classes: index of the positive one; else -1
    double threshold;      // two classes: score of positive >= threshold is called positive
    double prevalence;     // of the positive class where the model is meant for; 0 = not known
    const bool *called;    // (n) two classes: called positive, whatever the threshold; or NULL
} eval_predictions;

enum { EVAL_MAX_METRICS = 32 };

typedef struct {
    char name[32];
    eval_figure figure;
} eval_metric;

typedef struct {
    eval_metric item[EVAL_MAX_METRICS];
    size_t n;
} eval_metrics;

/*
 * accuracy balanced_accuracy auc auprc f1 sensitivity specificity ppv npv brier
 * nll ece sensitivity_at_spec90 ppv_at_prevalence npv_at_prevalence
 * observed_expected calibration_intercept calibration_slope, always all; the
 * formulas are in cases.h.  Two classes: of the positive class.  More: macro
 * over classes that are there (auc: one versus rest).  Intervals count patients
 * where patient repeats.  Fewer than 10 cases of either class: the AUC has no
 * interval; fewer than 200: there is no ECE.  seed: for bootstrap intervals.
 */
void eval_classify(eval_metrics *out, const eval_predictions *p, uint64_t seed);

/*
 * More than two classes: each against the rest, a case being called the class
 * of its highest score.  Appends {"class", "n", METRIC: FIGURE ...} a class that
 * is there to list; names: (K).  Classes of fewer than min_cell patients are
 * suppressed as subgroups are: {"class", "n": null, "why"}.
 */
void eval_classify_each(json_t *list, const char *const *names, const eval_predictions *p,
                        int64_t min_cell, uint64_t seed);
const eval_figure *eval_metrics_find(const eval_metrics *m, const char *name); // or NULL
json_t *eval_metrics_json(const eval_metrics *m);   // {METRIC: FIGURE}; new reference
bool eval_metric_higher_is_better(const char *name); // brier, nll, ece, mae, rmse, hd95: false
bool eval_metric_known(const char *name);

/* One metric of b minus a on the same cases, paired, with interval (DeLong for
 * auc; paired bootstrap by patient for the others).  Each keeps its own
 * threshold.  Metrics without a better and a worse end (eval_metric_compared)
 * have no difference. */
void eval_difference(eval_figure *out, const char *metric, const eval_predictions *a,
                     const eval_predictions *b, uint64_t seed);
/* All of them, from one set of draws. */
void eval_differences(eval_metrics *out, const eval_predictions *a, const eval_predictions *b,
                      uint64_t seed);
/* Is a difference of two models' values an improvement or a loss?  Not so for
 * observed_expected, intercept and slope, whose best value lies in between. */
bool eval_metric_compared(const char *name);
/* Is it one of the few by which models of other places are compared (leave-one-out, cross-site)? */
bool eval_metric_elsewhere(const char *name);

/* --- threshold rules, frozen before a test split is opened --- */
typedef enum { EVAL_RULE_FIXED, EVAL_RULE_SENSITIVITY, EVAL_RULE_YOUDEN } eval_rule;
/* From score histograms of negatives and positives over [0, 1] in n_bins equal
 * bins (any number of sites' histograms added): the largest bin edge whose
 * sensitivity is >= at.  at: the sensitivity, or the fixed threshold.  NaN when undefined
 * (no positives); the caller says so and uses 0.5. */
double eval_threshold(eval_rule rule, double at, const int64_t *negatives, const int64_t *positives,
                      size_t n_bins);
/* Adds scores to a histogram; 1.0 belongs to the last bin. */
void eval_histogram(int64_t *bins, size_t n_bins, const double *score, size_t n);
/* AUC of histograms: ties within a bin count half; the true one lies within +-*half_width. */
double eval_histogram_auc(const int64_t *negatives, const int64_t *positives, size_t n_bins,
                          double *half_width);

/* n cases of a class whose scores lie in the bins first to last. */
typedef struct {
    size_t first, last;
    int64_t n;
} eval_span;

/* Where the AUC of scores lies of which only this is known (bins below n_bins),
 * of any number of sites: exact, nothing is assumed.  NaN without a class. */
void eval_span_bounds(double *low, double *high, const eval_span *negatives, size_t n_negatives,
                      const eval_span *positives, size_t n_positives, size_t n_bins);

/* The same with DeLong's interval of the binned scores, for what is known of
 * several sites' cases together.  Every case counts as its own patient. */
void eval_histogram_figure(eval_figure *out, const int64_t *negatives, const int64_t *positives,
                           size_t n_bins);

/* Plain AUC (Mann-Whitney, ties half); NaN when a class is missing.  For curves per round. */
double eval_auc(const double *score, const int *is_positive, size_t n);

/* --- regression --- */
void eval_regress(eval_metrics *out, const double *pred, const double *target,
                  const int64_t *patient, size_t n, uint64_t seed);  // mae rmse
/* "mae" or "rmse" of pred_b minus that of pred_a on the same cases, paired bootstrap by patient. */
void eval_regress_difference(eval_figure *out, const char *metric, const double *pred_a,
                             const double *pred_b, const double *target, const int64_t *patient,
                             size_t n, uint64_t seed);

/* --- summary over sites --- */
typedef struct {
    size_t n_sites;
    int worst_site;             // index; -1 when none is defined
    double worst, best, mean, sd, gap, jain;
} eval_fairness;
/* value[i] NaN is left out.  higher_is_better tells worst from best.  sd: of
 * the sample (n - 1), NaN for one site.  Jain 1984: (sum x)^2 / (n sum x^2). */
void eval_fairness_of(eval_fairness *out, const double *value, size_t n, bool higher_is_better);

/* --- subgroups --- */
/*
 * Metrics of the cases with value[i] == v for each distinct value of an
 * attribute (numbers are cut at edges first: eval_band; NULL and "" are
 * "unknown").  Cells of fewer than min_cell patients are suppressed, and so are
 * the next smallest while they could be worked out from the total.  Appends
 * {"attribute","value","n", METRIC: FIGURE ...} to list, or for a suppressed
 * cell {"attribute","value","n": null,"why"}.
 */
void eval_subgroups(json_t *list, const char *attribute, const char *const *value,
                    const eval_predictions *p, int64_t min_cell, uint64_t seed);
/* "40-60", "80+", "under 40", "unknown" (NaN) into out. */
void eval_band(char *out, size_t n, double value, const double *edges, size_t n_edges);

#endif
