/*
 * cases.h - predictions made ready for counting
 *
 * Unlabelled cases are left out, patients numbered, scores sorted once.  Then
 * every metric is a function of one weight per case: all ones give the value,
 * how often each case was drawn gives a bootstrap replicate.  So a metric is
 * defined in one place.
 */
#ifndef EVAL_CASES_H
#define EVAL_CASES_H

#include "eval/eval.h"
#include "eval/patients.h"

enum { EVAL_ECE_BINS = 10, EVAL_ECE_CASES = 200 };

/* In the order of the report. */
typedef enum {
    EVAL_ACCURACY,
    EVAL_BALANCED_ACCURACY,
    EVAL_AUC,
    EVAL_AUPRC,
    EVAL_F1,
    EVAL_SENSITIVITY,
    EVAL_SPECIFICITY,
    EVAL_PPV,
    EVAL_NPV,
    EVAL_BRIER,
    EVAL_NLL,
    EVAL_ECE,
    EVAL_SENSITIVITY_AT_SPEC90,
    EVAL_PPV_AT_PREVALENCE,
    EVAL_NPV_AT_PREVALENCE,
    EVAL_OBSERVED_EXPECTED,
    EVAL_CALIBRATION_INTERCEPT,  // these two: by calibration.c, not by eval_cases_values
    EVAL_CALIBRATION_SLOPE,
    EVAL_N_CLASS_METRICS,
    EVAL_ECE_RAW = EVAL_N_CLASS_METRICS,  // before the bias is taken off
    EVAL_ECE_SIGNED,                      // after, before it is cut at 0
    EVAL_ECE_CHANCE,                      // raw ones below this are 97.5 % of a calibrated model's
    EVAL_N_VALUES
} eval_class_metric;

extern const char *const eval_class_metric_names[EVAL_N_CLASS_METRICS];

typedef struct {
    size_t n, n_classes;
    bool binary;            // metrics are those of the positive class
    int positive;           // binary: its code; else -1
    double prevalence;      // binary: declared; 0 = not known
    int *label, *called;    // (n)
    double *brier, *nll;    // (n) terms of the means
    double *confidence;     // (n) score of the positive or of the called class
    double *right;          // (n) 1 when that class is the label
    size_t **order;         // (K) per class: cases by falling score; NULL where not needed
    double **sorted;        // (K) the scores in that order
    size_t *n_class;        // (K) cases
    eval_patients patients;
    bool damaged;           // a score is NaN or infinite: nothing is defined
} eval_cases;

void eval_cases_init(eval_cases *c, const eval_predictions *p);
void eval_cases_clear(eval_cases *c);

/*
 * All metrics at once; NaN where undefined.  weight: (n), whole numbers >= 0.
 *
 * Two classes, of the positive one: with tp, fp, tn, fn at the threshold,
 *   f1 = 2 tp / (2 tp + fp + fn)      undefined without positives
 *   balanced_accuracy = (sensitivity + specificity) / 2
 *   auprc = sum over distinct scores of (recall gained) * precision
 *   brier = mean (p - y)^2            nll = mean -log(p of the label), p >= 1e-15
 *   ece   = sum over 10 equal bins of n_b/n |mean y - mean p|, less the bias
 *           that chance alone gives (see debiased_gap)
 *   sensitivity_at_spec90 = the highest sensitivity at a threshold whose
 *           specificity is at least .9 on these very cases
 *   ppv_at_prevalence = r se / (r se + (1 - r)(1 - sp)) for the declared
 *           prevalence r; npv_at_prevalence = (1 - r) sp / ((1 - r) sp + r (1 - se))
 *   observed_expected = sum y / sum p
 *   calibration_intercept = a of logit P(y) = a + logit p   ("in the large")
 *   calibration_slope     = b of logit P(y) = a + b logit p (Van Calster 2019)
 *           both by maximum likelihood, p within 1e-15 of 0 and 1 moved there
 * More classes: the case is called the class of its highest score (the first
 * of equals); each metric is the mean over the classes that are there, one
 * against the rest; accuracy, brier (sum over classes), nll and ece (of the
 * called class) are of the case.
 */
void eval_cases_values(double value[static EVAL_N_VALUES], const eval_cases *c,
                       const double *weight);

/* The same with all weights 1. */
void eval_cases_values_all(double value[static EVAL_N_VALUES], const eval_cases *c);

/* A figure without value yet, with the counts of all cases. */
void eval_cases_figure(eval_figure *f, const eval_cases *c);

/* Why eval_cases_values gave NaN for a metric, with all weights 1. */
const char *eval_cases_why(const eval_cases *c, eval_class_metric metric);

/* Patients with cases of the rarest class that is there (two classes: of
 * either); what decides whether there are too few for an interval. */
size_t eval_cases_fewest(const eval_cases *c);

#endif
