/*
 * robustness.h - how much of a model is left when the images come from elsewhere
 *
 * One model on the same n cases, as they are (the clean point) and under C shifts at S
 * severities each.  After Hendrycks and Dietterich 2019, with the model's own clean
 * error in the place of AlexNet's.  E is 1 - accuracy, 1 - Dice, or the mean
 * absolute error:
 *
 *   CE_c = mean over the severities of E under shift c
 *   mCE  = mean over the shifts of CE_c / E_clean    1: nothing is lost
 *   rise = mean over the shifts of CE_c - E_clean    0: nothing is lost (their relative
 *                                                    error's numerator)
 *
 * Every interval is a bootstrap by patient in which all points see the same draws, so
 * losses are paired.  eval_shift_new, then every point, the clean one first; then the
 * figures.
 */
#ifndef EVAL_ROBUSTNESS_H
#define EVAL_ROBUSTNESS_H

#include "eval/eval.h"

enum { EVAL_SHIFT_METRICS = 3, EVAL_SHIFT_ALL = -1 };

typedef struct eval_shift eval_shift;

eval_shift *eval_shift_new(size_t n_shifts, size_t n_severities, uint64_t seed);
void eval_shift_destroy(eval_shift **s);  // fine on NULL

/* The place of shift c's v-th severity (from 0); the clean point is 0. */
size_t eval_shift_point(const eval_shift *s, size_t c, size_t v);

/* Takes accuracy, auc and f1 of the cases at a point: those of eval_classify. */
void eval_shift_classify(eval_shift *s, size_t point, const eval_predictions *p);
/*
 * Takes a metric that is the mean of one value a case: dice, mae, or accuracy of several
 * findings.  value (n): NaN where the case is not judged: nobody did, or a shift moved
 * what was outlined out of sight.  Such a case counts at no point.  patient: (n) or NULL.
 * n and patient are the same at every point.
 */
void eval_shift_values(eval_shift *s, size_t point, const char *metric, const double *value,
                       const int64_t *patient, size_t n);

size_t eval_shift_n_metrics(const eval_shift *s);
/* The first one is what E is made of. */
const char *eval_shift_metric(const eval_shift *s, size_t m);

/* Metric m at a point. */
void eval_shift_figure(eval_figure *out, const eval_shift *s, size_t m, size_t point);
/* How much worse metric m is than clean (below 0: better) under shift c at its v-th
 * severity.  EVAL_SHIFT_ALL: the mean over them. */
void eval_shift_lost(eval_figure *out, const eval_shift *s, size_t m, int c, int v);
/* CE_c / E_clean; EVAL_SHIFT_ALL: mCE. */
void eval_shift_mce(eval_figure *out, const eval_shift *s, int c);
/* CE_c - E_clean; EVAL_SHIFT_ALL: rise. */
void eval_shift_rise(eval_figure *out, const eval_shift *s, int c);
/* The shift of the greatest CE; -1 where E is not defined. */
int eval_shift_worst(const eval_shift *s);

#endif
