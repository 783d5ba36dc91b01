/*
 * sample.h - reports to test with
 *
 * sample.json is made up, with everything a page can meet
 * (tests/vectors/report_sample.py); sure.json (classify) and masks.json (segment) are of
 * real runs that ask for uncertainty and shift, full.json of one that compares every other
 * model too (tests/report/real_samples.sh).
 *
 * nord, sud, est and ouest have figures (ouest of one class: no AUC); centre
 * was never there; est writes HTML into its texts.
 */
#ifndef TESTS_REPORT_SAMPLE_H
#define TESTS_REPORT_SAMPLE_H

#include "base/json.h"

json_t *sample_read(void);  // sample.json; new reference
json_t *sample_read_of(const char *name);  // "sure.json"; new reference

/* The value behind a path as in messages, "sites[2].n_test"; borrowed. */
json_t *sample_at(json_t *report, const char *path);
/* Puts value (taken) there; NULL removes the last key. */
void sample_set(json_t *report, const char *path, json_t *value);

#endif
