/*
 * gaps.h - one cell of an attribute held against the others, whatever is compared
 *
 * Which cells, which cases, the correction over a list, and the gap of two means.
 * Known to this folder only.
 */
#ifndef EVAL_GAPS_H
#define EVAL_GAPS_H

#include "eval/disparity.h"
#include "eval/groups.h"
#include "eval/patients.h"

enum { EVAL_FEW_TO_TEST = 25 };  // patients of a kind in a cell: fewer are not tested

/* Adds what differs between the cases in and the others, (n) each, to entry. */
typedef void eval_gap_compare(void *ctx, json_t *entry, const bool *in, const bool *others);

/*
 * Appends {"attribute", "value", "other", "n", "n_other"} and what compare adds, for each
 * cell that is shown and known, against the other such cells together (of two, once).
 * cases: label (-1: left out) and patient of its n cases are looked at.
 */
void eval_gaps_each(json_t *list, const eval_attribute *attribute, const eval_predictions *cases,
                    int64_t min_cell, eval_gap_compare *compare, void *ctx);

/* p: of its test; NaN: not tested. */
void eval_gap_put(json_t *entry, const char *name, const eval_figure *f, double p);
/* Adds p_holm and flagged to every figure with a p, over all of the list. */
void eval_gaps_correct(json_t *list);

eval_figure eval_gap_none(void);
/* The difference of two figures, without interval; its counts are the sums of theirs.  No
 * value, or no interval, and why, where one of them has none. */
eval_figure eval_gap_start(const eval_figure *a, const eval_figure *b);

/* Two-sided p of Welch's t: of two means with these squared errors and degrees. */
double eval_welch_p(double gap, double square_a, double degrees_a, double square_b,
                    double degrees_b);
/*
 * Mean of value (n) over the cases in less that over the others; NaN values are left out.
 * Squared errors are by patient, interval and *p Welch's; no interval below EVAL_FEW
 * patients of either, no p (NaN) below so many of least.
 */
eval_figure eval_gap_of_means(double *p, const double *value, const bool *in, const bool *others,
                              const eval_patients *patients, int64_t least);

/* disparity.c: the gaps of two classes, appended and not yet corrected. */
void eval_gaps_two_classes(json_t *list, const eval_attribute *attribute,
                           const eval_predictions *p, int64_t min_cell);

#endif
