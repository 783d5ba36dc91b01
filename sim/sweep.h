/*
 * sweep.h - many runs of one scenario: the product of settings and seeds
 *
 * Runs of the same seed share their data and, where they may, the centralised
 * model.  A finished run is not done again, so an interrupted sweep goes on.
 * All figures go into one tidy results.csv:
 *     scenario,strategy,settings,seed,site,model,metric,value,ci_low,ci_high,n
 */
#ifndef SIM_SWEEP_H
#define SIM_SWEEP_H

#include "base/err.h"
#include "sim/scenario.h"

enum { SWEEP_MAX_RUNS = 10000 };
#define SWEEP_MAX_SEED INT64_C(9000000000000000)  // a double holds it, so does JSON

/* One `--sweep a.b=v1,v2`. */
typedef struct {
    char *path;
    char **values;
    size_t n;
} sweep_axis;

/* "strategy.name=fedavg,fedprox"; values in brackets keep their commas.  Caller's:
 * sweep_axis_clear. */
fl_status sweep_axis_parse(sweep_axis *out, const char *text, fl_err *err);
void sweep_axis_clear(sweep_axis *a);
/* "1-10" or "1,4,7" -> *seeds, caller's. */
fl_status sweep_seeds_parse(int64_t **seeds, size_t *n, const char *text, fl_err *err);

/* n_seeds == 0: the scenario's own seed.  *page: of the runs held against each other
 * (study.h), the caller's; NULL when there is none. */
fl_status sweep_run(char **page, const char *scenario_path, const char *out,
                    const scenario_setting *set, size_t n_set, const sweep_axis *axes,
                    size_t n_axes, const int64_t *seeds, size_t n_seeds, fl_err *err);

#endif
