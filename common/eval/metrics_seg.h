/*
 * metrics_seg.h - how well predicted masks fit, case by case and over cases
 *
 * A case is measured once (eval_seg_measure: masks in, a dozen numbers out),
 * so that no mask need be kept; figures over cases come from those numbers.
 * With P and T the points of the predicted and the true mask:
 *
 *   dice = 2 |P & T| / (|P| + |T|)         iou = |P & T| / |P | T|
 *   hd95 = the greater of the two directed 95th percentiles (linear between
 *     ranks) of the distances from each surface's points to the other surface,
 *     as MONAI and Metrics Reloaded (Maier-Hein et al. 2024) have it; medpy
 *     takes one percentile of both together, surface-distance weighs by area
 *   surface_dice = the share of both surfaces' points that lie within the
 *     tolerance of the other surface (Nikolov et al. 2021), by points
 *   lesions are connected components (8 or 26 neighbours); one is found when
 *     the prediction covers any of its points
 *
 * A surface is the mask's points with a neighbour across a face outside it.
 * Distances are between centres of points, in mm where the spacing is known.
 *
 * Empty masks.  Both empty: nothing to overlap, all four are undefined (NaN)
 * and the case is left out of their means, but it is counted.  One empty: dice,
 * iou and surface_dice are 0 and hd95 is the diagonal of the image (as in
 * BraTS), so that a model gains nothing by saying nothing.
 */
#ifndef EVAL_METRICS_SEG_H
#define EVAL_METRICS_SEG_H

#include "eval/eval.h"
#include "eval/grid.h"

enum { EVAL_SEG_IGNORE = 255 };  // code of a true mask's points that nobody judged

/* Tolerance of surface_dice where a job says nothing: 2 mm, or 1 pixel. */
double eval_seg_tolerance(const eval_grid *g);

/* One class of one case. */
typedef struct {
    double dice, iou;             // [0, 1]; NaN = both masks are empty
    double hd95;                  // mm or pixels
    double surface_dice;          // [0, 1]
    int64_t n_pred, n_truth, n_both;  // points of each mask, and of both
    double volume_pred, volume_truth; // mL (in_mm, volume), mm2 (in_mm, image) or points
    int64_t n_lesions, n_found;   // of the true mask; covered at some point
    int64_t n_false;              // lesions of the prediction that touch no true one
    bool in_mm, is_volume;        // what the units are
} eval_seg_case;

/*
 * pred, truth: (D, H, W) class codes; the masks are the points with this code.
 * Points that are EVAL_SEG_IGNORE in truth are in neither mask.
 * tolerance: of surface_dice, in mm or pixels, >= 0.
 * Time and memory are those of the box that holds both masks.
 */
void eval_seg_measure(eval_seg_case *out, const uint8_t *pred, const uint8_t *truth, uint8_t code,
                      const eval_grid *g, double tolerance);

/*
 * Figures over cases: dice, iou, hd95, surface_dice, lesion_sensitivity,
 * false_lesions (per case), volume_bias, volume_low, volume_high; with units in
 * the figures.  cases: (n, n_classes), the classes without the background; more
 * than one: each figure is the mean over the classes that have a value.
 *   Means with bootstrap intervals by patient.  lesion_sensitivity: lesions
 *   found of all, Wilson by patient; more classes, bootstrap.
 *   volume_bias: mean of predicted less true volume, with the 95 % limits of
 *   agreement, bias -+ 1.96 sd (Bland and Altman 1986), over all cases.
 * n_positive: cases whose true mask is not empty.  patient: (n) or NULL.
 * All cases must be in the same units, or distances and volumes are undefined.
 */
void eval_segment(eval_metrics *out, const eval_seg_case *cases, size_t n, size_t n_classes,
                  const int64_t *patient, uint64_t seed);

/* eval_segment's figure of b minus a's on the same cases, paired bootstrap by
 * patient. */
void eval_segment_difference(eval_figure *out, const char *metric, const eval_seg_case *a,
                             const eval_seg_case *b, size_t n, size_t n_classes,
                             const int64_t *patient, uint64_t seed);

#endif
