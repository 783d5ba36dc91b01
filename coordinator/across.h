/*
 * across.h - what the hospitals' figures say of hospitals in general
 *
 * A random-effects summary of each metric that sites sent a standard error for,
 * and of the benefit of joining: mean over hospitals, how much they differ, and
 * where a new hospital's true value is to be expected.
 */
#ifndef COORDINATOR_ACROSS_H
#define COORDINATOR_ACROSS_H

#include "base/json.h"

/* Sets pooled's "across_sites" and "benefit_across_sites", each {METRIC: {"n_sites",
 * "mean", "ci_low", "ci_high", "tau2", "i2", "prediction_low", "prediction_high",
 * "scale", "left_out": [site...], "method", "why"}}; tau2 is on the scale ("logit" for
 * AUCs, else "as is"), all else is not.  Metrics of fewer than two sites are left
 * out. */
void across_add(json_t *pooled, const json_t *sites);

#endif
