/*
 * sample.h - tests/report/sample.json, made by tests/vectors/report_sample.py
 *
 * nord, sud, est and ouest have figures (ouest of one class: no AUC); centre
 * was never there; est writes HTML into its texts.
 */
#ifndef TESTS_REPORT_SAMPLE_H
#define TESTS_REPORT_SAMPLE_H

#include "base/json.h"

json_t *sample_read(void);  // new reference

/* The value behind a path as in messages, "sites[2].n_test"; borrowed. */
json_t *sample_at(json_t *report, const char *path);
/* Puts value (taken) there; NULL removes the last key. */
void sample_set(json_t *report, const char *path, json_t *value);

#endif
