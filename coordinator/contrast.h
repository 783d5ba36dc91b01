/*
 * contrast.h - what runs show when they are held against each other
 *
 * Runs that differ in nothing but their seed are an arm; every arm is held
 * against that of the first run.  A difference can be chance in two ways, and
 * each has its test: other seeds (data, order of cases, first weights) would
 * have given other models, and other patients another figure of the same
 * model.  The first is tested over the seeds that both arms have, paired; the
 * second at each hospital over its test cases, paired where case scores are
 * at hand (the simulator's are), else from standard errors alone, and said so.
 */
#ifndef COORDINATOR_CONTRAST_H
#define COORDINATOR_CONTRAST_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"

/*
 * reports: n > 0 checked reports.  study: NULL, or what the simulator knows of
 * the runs, "arms" (the label of each run) and "differences" ([{"run",
 * "against", "site", METRIC: FIGURE}], indices of reports).  *out, a new
 * reference:
 *
 * {"metric", "arms": [{"label", "runs": [index...], "mean", "sd", "n"}],
 *  "seeds": [{"arm", "site", FIGURE, "p", "p_holm"}],
 *  "cases": [{"arm", "site", "seed", FIGURE, "p", "p_holm"}]}
 *
 * mean, sd: of the hospitals' mean over the arm's n seeds.  site "" is that
 * mean over hospitals.  p_holm: corrected over all tests of both lists.
 */
fl_status contrast_build(json_t **out, const json_t *const *reports, size_t n, const char *metric,
                         const json_t *study, fl_err *err);

#endif
