/*
 * metrics_multi.h - figures of several findings a case
 *
 * Each finding is a question of two classes of its own, with the cases where
 * somebody answered it.  A figure over findings is their plain mean ("macro"),
 * so that a rare finding counts as much as a frequent one; its interval
 * draws patients, with all their findings.
 */
#ifndef EVAL_METRICS_MULTI_H
#define EVAL_METRICS_MULTI_H

#include "eval/eval.h"

/* All arrays borrowed. */
typedef struct {
    size_t n, K;             // cases, findings
    const double *score;     // (n, K) each in [0, 1]
    const double *target;    // (n, K) 0 or 1; NaN = nobody said
    const int64_t *patient;  // (n); NULL = every case its own
    double threshold;        // a score from here on is called present
} eval_findings;

/* eval_classify's metrics but those of calibration and at a prevalence, each the mean over the
 * findings that have it. */
void eval_multilabel(eval_metrics *out, const eval_findings *f, uint64_t seed);

/* eval_classify's metrics of finding k alone, as of two classes. */
void eval_finding(eval_metrics *out, const eval_findings *f, size_t k, uint64_t seed);

/*
 * Appends {"class", "n", METRIC: FIGURE ...} of every finding to list; n: cases
 * that have it; names: (K).  One that fewer than min_cell patients have is
 * suppressed: {"class", "n": null, "why"}.
 */
void eval_multilabel_each(json_t *list, const char *const *names, const eval_findings *f,
                          int64_t min_cell, uint64_t seed);

/* eval_multilabel's figures of b minus those of a on the same cases, paired
 * bootstrap by patient, over the findings that both have. */
void eval_multilabel_differences(eval_metrics *out, const eval_findings *a, const eval_findings *b,
                                 uint64_t seed);

#endif
