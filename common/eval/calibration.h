/*
 * calibration.h - can scores be read as probabilities, and are they of use?
 *
 * Slope and intercept of recalibration, the curve of observed against
 * predicted, and the net benefit of acting on the scores.
 */
#ifndef EVAL_CALIBRATION_H
#define EVAL_CALIBRATION_H

#include "eval/cases.h"
#include "eval/eval.h"

/*
 * The figures calibration_intercept and calibration_slope of two classes by
 * maximum likelihood, with Wald intervals; the variance is the inverse
 * information, and where patients repeat the sandwich by patient (Liang and
 * Zeger 1986) with G / (G - 1).  Counts of intercept and slope are set before.
 */
void eval_recalibrate(eval_figure *intercept, eval_figure *slope, const eval_cases *c);

/*
 * The reliability curve of two classes: cases in bins of [0, 1] by score,
 * neighbouring bins joined until each holds min_cell patients of either class,
 * or none of one.  New reference: [{"low", "high", "n", "predicted", "observed",
 * "ci_low", "ci_high"}] with the mean score and the share of positives (Wilson,
 * by patient); empty when there are fewer in all, or not two classes.
 */
json_t *eval_reliability(const eval_predictions *p, size_t n_bins, int64_t min_cell);

/*
 * Net benefit of acting on score >= t (Vickers and Elkin 2006), at the inner
 * edges of the same joined bins:
 *   tp/n - fp/n t/(1 - t), against acting on all (share - (1 - share) t/(1 - t))
 * and on none (0).  New reference: [{"threshold", "net_benefit", "ci_low",
 * "ci_high", "treat_all"}]; the interval is pointwise, from the mean of the
 * cases' terms by patient, and null below EVAL_FEW patients of either class.
 */
json_t *eval_decision_curve(const eval_predictions *p, size_t n_bins, int64_t min_cell);

#endif
