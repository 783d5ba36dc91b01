/*
 * own.h - the models that a hospital makes for itself, to compare with
 *
 * The local-only model is what it could have made without the others; the
 * personalised one is the federation's, fine-tuned on its own training split.
 * Both lie in the run's folder as own/local.onnx and own/personal.onnx, for
 * `client evaluate` and `predict`.  The personalised one never leaves; the local-only one
 * where the hospital's policy says so (own_model).  Each is made before the test split is
 * opened, with a threshold set by the job's rule on the own validation split.
 */
#ifndef CLIENT_OWN_H
#define CLIENT_OWN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "client/local.h"

typedef struct {
    bool there;
    float *params;  // (P) owned; NULL unless there
    double threshold;
    const char *threshold_why;  // the rule could not be followed; or NULL
    local_baseline_result how;
} own_model;

/*
 * Not there when the job asks for none, when its training diverged, which is a
 * finding and no failure of the run, or when the job gives initial weights and this
 * site was not in the first round.  run_dir: where those were kept; must exist.
 */
fl_status own_make_local(own_model *out, local *l, const char *run_dir, local_progress *progress,
                         fl_err *err);
/* global: (P) the selected model.  Not there as above. */
fl_status own_make_personal(own_model *out, local *l, const float *global, const char *run_dir,
                            local_progress *progress, fl_err *err);
/* The local-only model as it was made; not there when this run has none. */
fl_status own_read_local(own_model *out, const local *l, const char *run_dir, fl_err *err);
void own_clear(own_model *m);  // fine when called twice

/* {"best_step", "steps", "threshold_why"}.  New reference. */
json_t *own_json(const own_model *m);

#endif
