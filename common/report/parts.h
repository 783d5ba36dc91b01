/*
 * parts.h - sections that the run's page and a hospital's page share
 */
#ifndef REPORT_PARTS_H
#define REPORT_PARTS_H

#include "base/buf.h"
#include "base/json.h"
#include "report/read.h"

enum { REPORT_FEW = 25 };  // test cases of either class: below, "few cases"

/* "good", "bad", "unsure" or "": the class of chips and frames. */
const char *report_verdict_class(report_verdict v);
/* A cell with the verdict as a coloured word and a sign. */
void report_verdict_cell(fl_buf *out, const char *column, report_verdict v);

/* The privacy sentence; while neither secure aggregation nor differential
 * privacy is on, it says that the coordinator could see each update. */
void report_privacy_sentence(fl_buf *out, const json_t *report);

/* How model and threshold were chosen, and what judged them. */
void report_selection_section(fl_buf *out, const json_t *report);
void report_privacy_section(fl_buf *out, const json_t *report);
/* Strategy, model, software. */
void report_model_section(fl_buf *out, const json_t *report);

/* The rules by which verdicts are worded, for the metric of the page. */
void report_verdict_rules(fl_buf *out, const json_t *report, const char *metric);

/* A <dt> and a <dd>; report_fact_number leaves out what is not there. */
void report_fact(fl_buf *out, const char *what, const char *value);
void report_fact_number(fl_buf *out, const char *what, double value, int digits);

/* Cases of the rarer class in a site's test split; -1 when not known. */
int64_t report_rarer_class(const json_t *site);
/* "180 of 400 positive" style counts of the figures of a site. */
int64_t report_n_positive(const json_t *site);

#endif
