/*
 * cross_site.h - every hospital's own model at every other hospital
 *
 * The matrix that says what a model is worth away from home: row i, the local-only
 * model that hospital i trained in the run; column j, the test cases of hospital j.
 * Only a simulator has all of them in one place.
 */
#ifndef SIM_CROSS_SITE_H
#define SIM_CROSS_SITE_H

#include "base/err.h"
#include "base/json.h"
#include "sim/scenario.h"

/* {"sites": {ROW: {COLUMN: {METRIC: FIGURE}}}, "missing": [site...]}, report.json's
 * baselines.cross_site; new reference.  missing: hospitals without a model of their own.
 * data: the made data sets; out: the scenario's folder, with the homes. */
fl_status cross_site_figures(json_t **figures, const scenario *s, const char *data,
                             const char *out, fl_err *err);

#endif
