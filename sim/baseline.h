/*
 * baseline.h - what the federation is compared with
 *
 * The centralised model is trained by the real client program on all hospitals' data together,
 * which only a simulator may do.  The local-only models are trained by the hospitals themselves.
 */
#ifndef SIM_BASELINE_H
#define SIM_BASELINE_H

#include "base/err.h"
#include "sim/launch.h"
#include "sim/scenario.h"

/* Starts training unless the scenario wants none or folder holds the model of the same
 * settings already; child->pid is 0 then. */
fl_status baseline_start(launch_child *child, const scenario *s, const char *data,
                         const char *folder, const char *logs, fl_err *err);

/* Judges the centralised model at every hospital and on the pooled data, and the
 * global model on the pooled data; writes report.json's "baselines" to path. */
fl_status baseline_figures(const scenario *s, const char *data, const char *folder,
                           const char *global_onnx, const char *path, fl_err *err);

#endif
