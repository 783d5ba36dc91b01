/*
 * cross_site.h - every site's own model at every other site, in a consortium
 *
 * What the record tells of the two stages behind the test: LENDING, in which the sites' own
 * models come in, and CROSSING, in which each of them is judged by every site.  It is played only
 * where every site that was tested lets its own model leave (policy.yaml); each is asked
 * twice, by its answer to the job and once more when it lends, for a policy may change in mid-run.
 * The figures are those of the simulator's matrix (sim/cross_site.h).
 */
#ifndef COORDINATOR_CROSS_SITE_H
#define COORDINATOR_CROSS_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "coordinator/record.h"

enum { CROSS_SITE_MOST = 100 };  // sites: a hundred times as many cells are what a report takes

/* Were more sites tested than that? */
fl_status cross_site_is_too_large(bool *out, record *r, uint32_t selected, fl_err *err);
/* Sites whose policy keeps their own model at home: [{"site", "reason"}], new reference; empty when
 * none does. */
fl_status cross_site_keepers(json_t **out, record *r, uint32_t selected, fl_err *err);
/* How many own models came in. */
fl_status cross_site_count(uint32_t *n, record *r, uint32_t selected, fl_err *err);
/* The which-th of them, from 1, by its owner's name: what was accepted, with its threshold.
 * FL_ENOTFOUND: there are fewer. */
fl_status cross_site_find(fed_offer *out, record *r, uint32_t selected, uint32_t which,
                          fl_err *err);
/*
 * The report's baselines.cross_site (proto/REPORT.md); new reference.
 * looks: {SITE: how often it had opened its test split}; raised by the looks that the matrix took.
 */
fl_status cross_site_json(json_t **out, json_t *looks, record *r, uint32_t selected, fl_err *err);

#endif
