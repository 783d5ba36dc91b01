/*
 * read.h - small questions to a report, shared by pages, tables and text
 *
 * Everything here takes NULL for "not in the report" and answers with an
 * absence: NAN, NULL, 0.
 */
#ifndef REPORT_READ_H
#define REPORT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

/* The value behind keys, the last one NULL; NULL when one is missing. */
const json_t *report_at(const json_t *json, ...) __attribute__((sentinel));

/* json_object_foreach on what is only borrowed. */
#define report_each_member(object, key, value) \
    json_object_foreach ((json_t *)(uintptr_t)(object), key, value)

/* An element of "sites"; NULL when there is none of that name. */
const json_t *report_site(const json_t *report, const char *name);
const char *report_site_name(const json_t *site);

/* The metric that the run is judged by: the one it selected with, if it has
 * figures, else auc, else accuracy ... (the order of report_metrics). */
const char *report_main_metric(const json_t *report);
/* "AUC", "sensitivity", "Brier score"; the name itself when unknown. */
const char *report_metric_label(const char *metric);
/* Names of all metrics in the order of pages; NULL at the end. */
extern const char *const report_metrics[];
bool report_metric_known(const char *metric);
/* Lower is better for errors. */
bool report_higher_is_better(const char *metric);
/* Largest value a metric can have; INFINITY when there is no limit. */
double report_metric_most(const char *metric);
/* Smallest: 0, or below it for what has a sign (a bias, a slope). */
double report_metric_least(const char *metric);
/* Rests on parts of cases (lesions), which can be more than the cases. */
bool report_metric_of_parts(const char *metric);

/* FIGURE of a site: model is "global", "local" or "personal"; "centralised" and
 * "left_out" (trained without the site) look into the run's baselines; "benefit" is global
 * minus local, "personal_gain" personal minus global. */
const json_t *report_figure(const json_t *report, const json_t *site, const char *model,
                            const char *metric);
/* FIGURE of the own model of hospital row on the test cases of hospital column, where the
 * simulator judged it. */
const json_t *report_cross_site(const json_t *report, const char *row, const char *column,
                                const char *metric);
/* FIGURE of the shared model over all test cases; NULL also for an AUC that the hospitals' bins
 * do not tell to REPORT_POOLED_WITHIN. */
#define REPORT_POOLED_WITHIN 0.05
const json_t *report_pooled(const json_t *report, const char *metric);
double report_value(const json_t *figure);  // NAN when undefined
/* Smallest difference of the metric that was declared to matter; 0 when none. */
double report_margin(const json_t *report, const char *metric);

/* What joining did for a site, by the declared margin and the paired interval. */
typedef enum {
    REPORT_HELPS,       // interval above 0, value at least the margin
    REPORT_HURTS,       // the mirror image
    REPORT_SAME,        // interval within the margin on both sides
    REPORT_UNSURE,      // neither: the interval holds both
    REPORT_NO_VERDICT,  // no figure, or no interval
} report_verdict;
report_verdict report_verdict_of(const json_t *report, const json_t *site, const char *metric);
const char *report_verdict_word(report_verdict v);  // "helps", "cannot tell" ...

/* One hospital's absences for one reason. */
typedef struct {
    const char *site, *reason;  // borrowed from the report
    char rounds[160];           // "3", "7-8, 12", "1-20"; "never there" for the whole run
    int64_t n_rounds;           // 0 for the whole run
    int64_t first, last;        // of the stretch that ends rounds
} report_absence;
/* Absences of the whole run, then those of rounds of hospitals that were there
 * at some time; the caller's, free with free(). */
report_absence *report_absences(const json_t *report, size_t *n);
/* Rounds that took a hospital's update in. */
size_t report_rounds_joined(const json_t *report, const char *site);
/* Without any figures, and in no round: invited, and never seen. */
bool report_never_there(const json_t *report, const char *site);

#endif
