/*
 * ensemble.h - several models of a run as one
 *
 * A deep ensemble's members are independent federations (extra.h): the scenario's own
 * and those played with seeds of their own.  A snapshot's are one federation's last
 * rounds, which cost nothing and are no independent members, so that it goes by a name
 * of its own.  Both are judged at every hospital by `client evaluate`.
 */
#ifndef SIM_ENSEMBLE_H
#define SIM_ENSEMBLE_H

#include "base/err.h"
#include "base/json.h"
#include "sim/scenario.h"

/* report.json's baselines.ensemble and baselines.snapshot; new references.  data: the made
 * data sets; out: the scenario's folder, whose federation is done. */
fl_status ensemble_figures(json_t **figures, const scenario *s, const char *data,
                           const char *out, fl_err *err);
fl_status ensemble_snapshot_figures(json_t **figures, const scenario *s, const char *data,
                                    const char *out, fl_err *err);

#endif
