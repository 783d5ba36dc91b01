/*
 * leave_out.h - how the model does at a hospital that took no part
 *
 * Leave-one-hospital-out: for every hospital a federation of the others is
 * played (extra.h), with the same rounds, and its model judged on the test cases of
 * the one left out.  What a hospital may expect that joins later; only a simulation
 * can afford it, at the price of as many federations as hospitals.
 */
#ifndef SIM_LEAVE_OUT_H
#define SIM_LEAVE_OUT_H

#include "base/err.h"
#include "base/json.h"
#include "sim/scenario.h"

/* {"sites": {SITE: {METRIC: FIGURE}}}, report.json's baselines.leave_one_out; new
 * reference.  data: the made data sets of all; out: the scenario's folder. */
fl_status leave_out_figures(json_t **figures, const scenario *s, const char *data,
                            const char *out, fl_err *err);

#endif
