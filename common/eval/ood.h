/*
 * ood.h - does an input look like those that a model learnt from?
 *
 * Features of a layer, x (D), are held against those of the reference set: with a mean mu_c for
 * every class c and one covariance Sigma of all classes (Lee et al. 2018, equation 2; of the
 * layer alone, without their perturbed inputs),
 *   distance = min over c of (x - mu_c)' Sigma^-1 (x - mu_c)
 * Sigma is shrunk towards a multiple of the unit matrix by Ledoit and Wolf's rule (2004), so
 * that it can be inverted where features outnumber cases.
 *
 * Scores here are the higher the stranger the input: the distance, or 1 - how sure the answer
 * looks: the greatest softmax probability (Hendrycks and Gimpel 2017), that of the likeliest of
 * several findings, which ranks as the greatest logit (Hendrycks et al. 2022), or its mean over
 * a mask's pixels.  "Inside" are held-out cases of the reference set.
 */
#ifndef EVAL_OOD_H
#define EVAL_OOD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "eval/eval.h"

#define EVAL_OOD_KEPT 0.95  // share of the inside that a limit keeps

enum { EVAL_OOD_MAX_FEATURES = 4096, EVAL_OOD_FEWEST = 20 };

typedef struct eval_ood eval_ood;

/*
 * x (n, D) features of the reference's training cases; label (n) classes 0 .. n_classes - 1, -1:
 * left out; a class without cases has no mean.  label NULL: one mean of all.
 * FL_EUNSUPPORTED, in one sentence, below EVAL_OOD_FEWEST cases, above
 * EVAL_OOD_MAX_FEATURES features, or where no feature varies.
 */
fl_status eval_ood_new(eval_ood **out, const double *x, const int *label, size_t n, size_t D,
                       size_t n_classes, fl_err *err);
void eval_ood_destroy(eval_ood **o);  // fine on NULL

size_t eval_ood_n_cases(const eval_ood *o);     // that it was fitted on
size_t eval_ood_n_means(const eval_ood *o);
double eval_ood_shrinkage(const eval_ood *o);   // 0 none, 1: the unit matrix alone

/* distance (n) of x (n, D). */
void eval_ood_distance(const eval_ood *o, double *distance, const double *x, size_t n);

/* Scores of cases; borrowed. */
typedef struct {
    const double *value;     // (n)
    const int64_t *patient;  // (n); a patient of both sets has one number
    size_t n;
} eval_ood_scores;

/* Does the score tell the outside from the inside?  DeLong, as any AUC; n counts both. */
void eval_ood_auroc(eval_figure *out, const eval_ood_scores *inside,
                    const eval_ood_scores *outside);

/* The least score that EVAL_OOD_KEPT of the cases do not exceed; NaN for n = 0. */
double eval_ood_limit(const double *value, size_t n);

/* Share of the cases above the limit.  Wilson, the limit as it is. */
void eval_ood_above(eval_figure *out, const eval_ood_scores *scores, double limit);

/* False-positive rate at 95 % true-positive rate (Liang et al. 2018): of the outside the share
 * that passes where 95 % of the inside pass.  Wilson, the limit as it is. */
void eval_ood_fpr95(eval_figure *out, const eval_ood_scores *inside,
                    const eval_ood_scores *outside);

#endif
