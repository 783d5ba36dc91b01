/*
 * by_group.h - subgroups, and how they differ, where no class is called
 *
 * Findings, masks and numbers.  Cells are those of eval_subgroups, suppressed alike;
 * lists have its form and eval_disparities'.
 */
#ifndef EVAL_BY_GROUP_H
#define EVAL_BY_GROUP_H

#include "eval/disparity.h"
#include "eval/metrics_multi.h"
#include "eval/metrics_seg.h"

/*
 * Findings: eval_multilabel's means for every cell, then {"attribute", "value", "class", "n",
 * METRIC...} of each finding (names: (K)) for which every cell of the attribute, unknown
 * included, has min_cell patients with the finding and as many without; of others nothing.
 * n: cases of the cell where somebody answered for the finding.
 */
void eval_findings_subgroups(json_t *list, const eval_attribute *attribute,
                             const char *const *names, const eval_findings *f, int64_t min_cell,
                             uint64_t seed);
/* eval_disparities' gaps for the same findings, with "class"; Holm over all of them. */
json_t *eval_findings_disparities(const eval_attribute *attributes, size_t n_attributes,
                                  const char *const *names, const eval_findings *f,
                                  int64_t min_cell);
void eval_findings_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                         const eval_findings *f, int64_t min_cell, uint64_t seed);

/* Masks.  label: (n) -1 where there is no true mask; patient: (n) or NULL. */
typedef struct {
    size_t n, K;                // cases, classes but the background
    const eval_seg_case *item;  // (n, K)
    const int *label;
    const int64_t *patient;
} eval_masks;

/* eval_segment's figures. */
void eval_masks_subgroups(json_t *list, const eval_attribute *attribute, const eval_masks *m,
                          int64_t min_cell, uint64_t seed);
/* dice_gap: of the cases' mean Dice over their classes, cases without one left out; by
 * eval_mean_disparities. */
json_t *eval_masks_disparities(const eval_attribute *attributes, size_t n_attributes,
                               const eval_masks *m, int64_t min_cell);
void eval_masks_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                      const eval_masks *m, int64_t min_cell, uint64_t seed);

/* Numbers.  target: (n) NaN: not known. */
typedef struct {
    size_t n;
    const double *pred, *target;
    const int64_t *patient;
} eval_numbers;

/* mae, rmse and bias: the mean of prediction less target, bootstrap by patient. */
void eval_numbers_subgroups(json_t *list, const eval_attribute *attribute, const eval_numbers *x,
                            int64_t min_cell, uint64_t seed);
/* mae_gap and bias_gap, by eval_mean_disparities. */
json_t *eval_numbers_disparities(const eval_attribute *attributes, size_t n_attributes,
                                 const eval_numbers *x, int64_t min_cell);
void eval_numbers_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                        const eval_numbers *x, int64_t min_cell, uint64_t seed);

/* A number a case, of which groups may have different means. */
typedef struct {
    const char *gap;      // what the difference is called
    const double *value;  // (n), NaN: the case has none
} eval_measure;

enum { EVAL_FEW_MEANS_TO_TEST = 50 };  // patients of a cell: fewer are not tested

/*
 * As eval_disparities, of means: intervals and p by Welch's t with squared errors by patient
 * (Welch 1947); no interval below 10 patients in either cell, no test below
 * EVAL_FEW_MEANS_TO_TEST: errors are skewed (tests/eval/long_fairness.c).
 * cases: label (-1: left out) and patient are looked at.
 */
json_t *eval_mean_disparities(const eval_attribute *attributes, size_t n_attributes,
                              const eval_measure *measures, size_t n_measures,
                              const eval_predictions *cases, int64_t min_cell);

#endif
