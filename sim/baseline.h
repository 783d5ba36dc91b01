/*
 * baseline.h - what the federation is compared with
 *
 * The centralised model is trained by the real client program on all hospitals' data together,
 * which only a simulator may do.  Where a scanner is replaced at a round, the pool changes with
 * it: the model sees in each round's share of its training what the hospitals had in that round,
 * and is judged, as they are, on what they have in the end.  The local-only models are trained by
 * the hospitals themselves, in the same rounds.
 */
#ifndef SIM_BASELINE_H
#define SIM_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "sim/launch.h"
#include "sim/scenario.h"

/* Starts training unless the scenario wants none or folder holds the model of the same
 * settings already; child->pid is 0 then. */
fl_status baseline_start(launch_child *child, const scenario *s, const char *data,
                         const char *folder, const char *logs, fl_err *err);

typedef struct {
    const char *const *path;  // (n) .onnx, or .safetensors of graph's network
    size_t n;
    const char *graph;  // NULL: none is a .safetensors
    bool joined;        // and the ensemble of all: one object more
    uint64_t seed;      // of the bootstraps
} baseline_models;

/* What `client evaluate` says of each model on the test split of data_dir/name, each at
 * its file's threshold; new reference. */
fl_status baseline_judge(json_t **list, const baseline_models *m, const char *data_dir,
                         const char *name, fl_err *err);
/* {METRIC: FIGURE} of an object of that list; compared_only: those that models are
 * compared by.  New reference. */
json_t *baseline_metrics(const json_t *judged, bool compared_only);
/* {METRIC: FIGURE} of a model on the test split of data_dir/name; new reference. */
fl_status baseline_evaluate(json_t **metrics, const char *model, const char *data_dir,
                            const char *name, fl_err *err);

/* Judges the centralised model at every hospital and on the pooled data, and the
 * global model on the pooled data, and what the scenario compares besides (below out);
 * writes report.json's "baselines" to path. */
fl_status baseline_figures(const scenario *s, const char *data, const char *folder,
                           const char *global_onnx, const char *out, const char *path,
                           fl_err *err);

#endif
