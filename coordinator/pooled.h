/*
 * pooled.h - figures over all sites, from what the sites may send
 *
 * Sums of confusion counts and score histograms, means by cases; no case is ever
 * seen here.
 */
#ifndef COORDINATOR_POOLED_H
#define COORDINATOR_POOLED_H

#include "base/json.h"
#include "data/spec.h"

/*
 * {"global": {METRIC: FIGURE}, "method", "missing": [site...], "auc_half_width",
 * "auc_bounds", "across_sites", "benefit_across_sites"} of the elements of "sites".
 * auc_bounds: the AUC of all scores ranked together lies within, whatever the
 * histograms do not tell; no further than auc_half_width from the figure's value.
 * missing: names without test figures, borrowed.  New reference.
 */
json_t *pooled_build(const json_t *sites, const json_t *missing, data_task task);
/* "fairness" of the global model's figure that is the task's first (AUC, Dice, MAE), or of the
 * next one where no site has it. */
json_t *pooled_fairness(const json_t *sites, data_task task);

#endif
