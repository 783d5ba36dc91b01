/*
 * selective.h - does an uncertainty tell the cases that go wrong?
 *
 * Whoever refers the cases of which a model is least sure to a second reader
 * wants the rest to be better for it.  Every case has an uncertainty and an
 * error >= 0: 0 and 1 where a call is right or wrong, 1 - Dice of a mask.
 */
#ifndef EVAL_SELECTIVE_H
#define EVAL_SELECTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "eval/eval.h"

/* Does uncertainty tell the wrong cases?  AUROC of uncertainty (n) for wrong
 * (n), with interval; undefined when all are right, or all wrong. */
void eval_error_detection(eval_figure *out, const double *uncertainty, const bool *wrong,
                          const int64_t *patient, size_t n);

/*
 * Cases are kept from the least uncertain on; risk[i] is the expected mean error
 * of the first i + 1, cases of equal uncertainty in random order.  risk (n).
 * Returns the area under it, mean risk over all coverages (AURC, Geifman et
 * al. 2019); NaN for n = 0.
 */
double eval_risk_coverage(double *risk, const double *uncertainty, const double *error, size_t n);

/*
 * The least share of cases to refer, the most uncertain ones, so that the mean
 * error of those kept is target at most; a group of equal uncertainty goes as a
 * whole.  1 when no kept set is that good.
 */
double eval_refer_share(const double *uncertainty, const double *error, size_t n, double target);

/* Mean error of the cases kept when the most uncertain share (below 1) is referred;
 * of the case or the group of equal uncertainty at the border, the part that is kept. */
double eval_kept_error(const double *uncertainty, const double *error, size_t n, double share);

/* Pearson's correlation of uncertainty and error, and Spearman's (midranks), with
 * bootstrap intervals by patient; undefined when one of them does not vary. */
void eval_correlations(eval_figure *pearson, eval_figure *spearman, const double *uncertainty,
                       const double *error, const int64_t *patient, size_t n, uint64_t seed);

/* One way to measure uncertainty. */
typedef struct {
    const char *name;     // "entropy"
    const double *value;  // (n)
} eval_doubt;

typedef struct {
    double share;       // of cases that are referred: 0.2
    double target;      // error to reach; NaN = half the error of all
    size_t n_points;    // of the risk-coverage curve, 1 to EVAL_MAX_POINTS; 0 = no curve
    uint64_t seed;      // of the bootstrap
} eval_selective_config;

enum { EVAL_MAX_POINTS = 20 };

/*
 * Everything above, as keys of report.json's "uncertainty" (proto/REPORT.md), for
 * several measures, of which the first ranks the cases.  wrong: (n), error is
 * then 0 and 1 and there are AUROCs; NULL: there are correlations.
 */
void eval_selective_put(json_t *out, const eval_doubt *doubts, size_t n_doubts,
                        const double *error, const bool *wrong, const int64_t *patient, size_t n,
                        const eval_selective_config *cfg);

#endif
