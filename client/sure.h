/*
 * sure.h - how sure the selected model is of this hospital's cases
 *
 * What a job's `evaluation: uncertainty:` asks for.  Before the test split is
 * opened, sums of the validation scores may leave: from all hospitals' come the
 * temperature that scores are brought to and, for hospitals with few cases of
 * their own, the quantile of conformal sets.  Then the test cases are judged.
 * Nothing here leaves by itself (outbox.h).
 */
#ifndef CLIENT_SURE_H
#define CLIENT_SURE_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "client/local.h"

/*
 * Adds to payload what the job's calibration needs of labelled validation cases:
 *   "temperature": {"n", "slope", "curvature"}, derivatives of the log loss by b = 1 / T
 *     at eval_temperature_point, summed over the cases, rounded (eval_temperature_coarse);
 *     from EVAL_TEMPERATURE_PATIENTS patients on;
 *   "nonconformity": {"bins", "counts"}, 1 - score of the label in equal bins, joined
 *     until each holds min_cell cases; bins == 0: left out.
 * Nothing, where they are of fewer than min_cell patients.
 */
void sure_put_sums(json_t *payload, const local *l, const task_scores *val, int64_t bins,
                   int64_t min_cell);

/* What the federation's sums gave; 0 = nothing. */
typedef struct {
    double temperature, quantile;
} sure_pooled;

/*
 * The site's "uncertainty" (proto/REPORT.md) of its test cases: params (P) at the frozen
 * threshold.  *out: new reference; NULL when the job does not ask.
 */
fl_status sure_judge(json_t **out, const local *l, const float *params, double threshold,
                     const sure_pooled *pooled, const task_scores *test, local_progress *progress,
                     fl_err *err);

#endif
