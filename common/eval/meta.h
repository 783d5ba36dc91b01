/*
 * meta.h - one figure over hospitals, and what to expect of a new one
 *
 * A random-effects summary: hospitals' true values differ (tau2), each is known
 * with its own standard error.  The mean is of hospitals, not of patients.
 */
#ifndef EVAL_META_H
#define EVAL_META_H

#include <stddef.h>

typedef struct {
    size_t n;                 // hospitals with a value and a standard error
    double mean;              // NaN when there are fewer than two
    double ci_low, ci_high;   // of the mean, 95 %
    double tau2;              // variance between hospitals
    double i2;                // [0, 1] share of the variance that is between hospitals
    double q;                 // Cochran's Q
    double prediction_low, prediction_high;  // a new hospital's true value, 95 %; NaN below three
} eval_meta;

/*
 * value, se: (n); those that are not finite, or se <= 0, are left out.
 * tau2: restricted maximum likelihood by Fisher scoring (Viechtbauer 2005).
 * Interval of the mean: Hartung and Knapp (2001) with Student's t of n - 1,
 * never narrower than the one without their factor (Roever, Knapp and Friede
 * 2015).  Prediction: Student's t of n - 2 (Higgins et al. 2009, eq. 12).
 * i2: Higgins and Thompson (2002).
 */
void eval_meta_of(eval_meta *out, const double *value, const double *se, size_t n);

#endif
