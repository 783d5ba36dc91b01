/*
 * parts.h - sections that the run's page and a hospital's page share
 */
#ifndef REPORT_PARTS_H
#define REPORT_PARTS_H

#include "base/json.h"
#include "report/html.h"
#include "report/read.h"

enum { REPORT_FEW = 25 };  // test cases of either class: below, "few cases"

/* "good", "bad", "unsure" or "": the class of chips and frames. */
const char *report_verdict_class(report_verdict v);
/* A cell with the verdict as a coloured word and a sign. */
void report_verdict_cell(report_page *out, const char *column, report_verdict v);

/* The privacy sentence; while neither secure aggregation nor differential
 * privacy is on, it says that the coordinator could see each update. */
void report_privacy_sentence(report_page *out, const json_t *report);

/* Homes that the hospital had before, each a sentence behind a space; nothing without any. */
void report_earlier_homes(report_page *out, const json_t *site);

/* How model and threshold were chosen, and what judged them. */
void report_selection_section(report_page *out, const json_t *report);
void report_privacy_section(report_page *out, const json_t *report);
/* Diseases that a hospital's training cases never showed (unseen.c); nothing without any. */
void report_unseen_section(report_page *out, const json_t *report);
/* Several models as one (teams.c); nothing without any. */
void report_teams(report_page *out, const json_t *report, const char *metric);
/* Of hospitals' own models elsewhere (matrix.c): which hospitals did not allow it, true: then
 * there is nothing else to show; and at the end of a note, whether the models travelled and what
 * is missing. */
bool report_matrix_kept(report_page *out, const json_t *report);
void report_matrix_note(report_page *out, const json_t *report);
/* Strategy, model, software. */
void report_model_section(report_page *out, const json_t *report);

/* The rules by which verdicts are worded, for the metric of the page. */
void report_verdict_rules(report_page *out, const json_t *report, const char *metric);
/* "These sentences are made by rules ..." under a page's first words. */
void report_rules_note(report_page *out);

/* A <dt> (a message) and a <dd>; report_fact_number leaves out what is not there. */
void report_fact(report_page *out, const char *what, const char *value);
void report_fact_number(report_page *out, const char *what, double value, int digits);

/* The metric's name in the page's language. */
const char *report_label(const report_page *out, const char *metric);
/* The words that most jobs use for attributes ("sex", "age") and counts ("absent"), in the
 * page's language; others as they are. */
const char *report_usual(const report_page *out, const char *word);
/* An attribute, or two that are crossed ("sex and age"), likewise; caller's. */
char *report_attribute_text(const report_page *out, const char *attribute);
/* A shift or its family as a job writes it, "partial_volume" or "blur,noise", in the page's
 * language; caller's. */
char *report_shift_text(const report_page *out, const char *shift);
/* A member of a subgroup, "F" or "under 40": caller's. */
char *report_group_value(const report_page *out, const json_t *group, const char *key);
/* "round 7" or "rounds 7-8, 12": borrowed words, caller's text. */
char *report_rounds_text(const report_page *out, const report_absence *a);

/* A cell over n columns: "not shown: " and the "why" of a suppressed group. */
void report_not_shown(report_page *out, const json_t *group, size_t n_columns);

/* Cases of the rarer class in a site's test split; -1 when not known. */
int64_t report_rarer_class(const json_t *site);
/* "180 of 400 positive" style counts of the figures of a site. */
int64_t report_n_positive(const json_t *site);

#endif
