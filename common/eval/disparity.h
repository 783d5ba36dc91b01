/*
 * disparity.h - does the model treat some patients worse than others?
 *
 * Each shown cell of an attribute is held against the other shown cells of it
 * together (of two cells, once): differences with intervals, p-values, and flags
 * corrected over every test of the list.  Two classes only.
 */
#ifndef EVAL_DISPARITY_H
#define EVAL_DISPARITY_H

#include <stddef.h>

#include "eval/eval.h"

typedef struct {
    const char *name;
    const char *const *value;  // (n); NULL and "" are "unknown", which is not compared
} eval_attribute;

/*
 * New reference: [{"attribute", "value", "other", "n", "n_other", GAP: FIGURE ...}]
 * with GAP, always value minus other, at the frozen threshold,
 *   auc_gap              interval: MOVER (Newcombe 1998) of the two AUCs' ends
 *   equal_opportunity    of the sensitivities (Hardt et al. 2016); MOVER, Wilson
 *   false_positive_gap   of 1 - specificity; the same
 *   equalised_odds       the larger of these two in size, >= 0; interval from
 *                        97.5 % intervals of both, so it holds 95 % at least
 *   demographic_parity   of the shares that are called positive; it is not 0 for
 *                        a just model where the groups are ill unequally often
 *   calibration_gap      of mean (y - p); Welch's t by patient
 * Tested are auc_gap, equal_opportunity, false_positive_gap and calibration_gap:
 * FIGURE then has "p", and "p_holm" over all tests of the list (Holm 1979), and
 * "flagged" (p_holm < .04, which keeps false alarms of a page below 5 % with
 * the error of the approximations).
 * Tests: Fisher's exact (on effective numbers where patients repeat); for AUCs
 * and calibration Welch's t, of AUCs on the logit scale with as many degrees as
 * patients of the rarer class allow.  No interval below 10 patients of
 * a kind (ill, well, all) in either cell, and no test below 25.
 * Cells are those of eval_subgroups, suppressed alike.
 */
json_t *eval_disparities(const eval_attribute *attributes, size_t n_attributes,
                         const eval_predictions *p, int64_t min_cell);

/*
 * Subgroups of two attributes together ("sex and age", "F, 40-60"), as
 * eval_subgroups: for each pair of attributes of which every cell, unknown
 * included, may be shown and there are at most EVAL_PAIR_CELLS.
 */
enum { EVAL_PAIR_CELLS = 12 };
void eval_subgroup_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                         const eval_predictions *p, int64_t min_cell, uint64_t seed);

/* In place: Holm's step-down adjustment of n p-values; NaN is no test. */
void eval_holm(double *p, size_t n);

/* Two-sided p-value of k1 of n1 against k2 of n2 (Fisher's exact test, by
 * probability). */
double eval_fisher(int64_t k1, int64_t n1, int64_t k2, int64_t n2);

#endif
