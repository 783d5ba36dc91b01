/*
 * crossed.h - another hospital's own model on this hospital's test cases
 *
 * A cell of the cross-site matrix: the figures by which models of other places are compared,
 * at the model's own threshold, as the simulator makes them (sim/cross_site.h).  Whose model it
 * is, the hospital is not told and need not know.  Each is one more look at the test split, and
 * is written down as one (judge.h).
 */
#ifndef CLIENT_CROSSED_H
#define CLIENT_CROSSED_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "client/local.h"

typedef struct {
    const float *params;  // (P) borrowed
    const fed_model_id *id;
    double threshold;
    bool figures;      // may leave (policy)
    int64_t min_cell;  // patients: the job's or the hospital's, whichever is more
} crossed_config;

/*
 * *out: {"n_test", "metrics": {METRIC: FIGURE}}, or {"n_test", "why"} where a policy or too few
 * patients forbid it; new reference.  Figures that rest on fewer than min_cell patients, or on a
 * class with so few, are null.  run_dir: where looks are written down; must exist.
 */
fl_status crossed_judge(json_t **out, local *l, const crossed_config *cfg, const char *run_dir,
                        local_progress *progress, fl_err *err);

#endif
