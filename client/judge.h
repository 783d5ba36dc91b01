/*
 * judge.h - the hospital opens its test split, once
 *
 * For the selected model and the frozen threshold: makes the hospital's own models
 * to compare with (own.h), scores the test cases with all, keeps predictions.csv in
 * the hospital and makes the site's element of report.json (proto/REPORT.md).
 * Every look at the test split is written down before it is taken; looking
 * again with the same model and threshold, as after a power cut, tells nothing
 * new and is the same look.
 */
#ifndef CLIENT_JUDGE_H
#define CLIENT_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "client/local.h"
#include "client/sure.h"

/*
 * l: with its data loaded.  global: (P) the selected model, named by id.
 * pooled: what the federation's sums gave for the job's uncertainty, if it asks.
 * bins: of a score histogram that may leave; 0 = none.  run_dir: where
 * predictions.csv and the record of looks lie; must exist.  *out: new reference.
 */
fl_status judge_site(json_t **out, local *l, const float *global, const fed_model_id *id,
                     double threshold, const sure_pooled *pooled, int64_t bins, const char *run_dir,
                     local_progress *progress, fl_err *err);

/*
 * Writes a look at the test split with that model and threshold down, before it is taken;
 * *n_looks: the different ones so far.
 */
fl_status judge_open_test(int64_t *n_looks, const char *run_dir, const fed_model_id *id,
                          double threshold, fl_err *err);
/* Was the test split opened for that model? */
bool judge_has_opened(const char *run_dir, const fed_model_id *id);

#endif
