/*
 * bootstrap.h - resampled values of a classifier's metrics
 *
 * Patients are drawn, each with all their cases; one draw serves every metric,
 * so that two models with the same seed are compared on the same draws.
 */
#ifndef EVAL_BOOTSTRAP_H
#define EVAL_BOOTSTRAP_H

#include "eval/cases.h"

/* Replicates of every metric at once: table (EVAL_N_VALUES, n_replicates), the
 * caller's. */
double *eval_bootstrap(const eval_cases *c, size_t n_replicates, uint64_t seed);

/*
 * Replicates of one metric, in its row of the table.  value (EVAL_N_VALUES): of
 * the cases themselves.  A resample of noise is noisier: debiased ECEs of
 * resamples scatter about the raw value, not about the debiased one, so they
 * are moved by the difference; ask for each metric's once.
 */
double *eval_replicates_of(double *table, int metric, size_t n_replicates, const double *value);

/* No interval from fewer patients than EVAL_FEW, of the rarest class where
 * the metric counts by class: true, with the reason in f. */
bool eval_bootstrap_too_few(eval_figure *f, const eval_cases *c, int metric);

/* The percentile interval of f->value, or why there is none. */
void eval_bootstrap_interval(eval_figure *f, const eval_cases *c, int metric, double *table,
                             size_t n_replicates, const double *value);

#endif
