/*
 * check.h - how a report's JSON is walked and refused
 *
 * Included by check*.c only.  A table says for every object which keys it has
 * and how each is checked; keys that are not in a table are kept and not
 * looked at.  Whatever is wrong is named by its path.
 */
#ifndef REPORT_CHECK_H
#define REPORT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define REPORT_ROUNDING 1e-6  // a mean of shares may be 1 + 1e-16

/* Where the walk is and what is known there. */
typedef struct {
    char path[400];  // "sites[2].n_test"
    fl_err *err;
    size_t n_values;  // seen so far
    size_t max_values;
    const char *metric;  // whose figure is looked at; "" = none
    bool difference;     // ... and it is one of differences
    bool of_numbers;     // errors are distances between numbers, and no shares
    int64_t n_most;      // cases a figure can rest on; -1 = not known
} report_walk;

typedef fl_status (*report_checker)(report_walk *w, const json_t *value);

/* What stands under a key.  A table of these ends with {0}. */
typedef struct report_field {
    const char *key;
    enum {
        REPORT_ONE,      // what fields and check say
        REPORT_LIST,     // a list of such
        REPORT_BY_NAME,  // an object of such, under any keys
    } each;
    const struct report_field *fields;  // an object with these keys; NULL = not so
    report_checker check;               // when the fields are right; NULL = nothing more
    bool required;                      // else it may be missing or null
} report_field;

/* Limits on everything, then f on the whole; root begins every path. */
fl_status report_walk_all(const json_t *json, const char *root, size_t max_values,
                          const report_field *f, fl_err *err);
/* f on the value where the walk is; f's own key does not matter. */
fl_status report_walk_value(report_walk *w, const json_t *value, const report_field *f);
/* The same one step further, at key. */
fl_status report_walk_key(report_walk *w, const char *key, const json_t *value,
                          const report_field *f);
/* An object with the keys of a table. */
fl_status report_walk_fields(report_walk *w, const json_t *object, const report_field *table);

/* FL_EFORMAT: "PATH: expected EXPECTED, found ..." and "PATH: ...". */
fl_status report_wrong(report_walk *w, const json_t *found, const char *expected);
fl_status report_refuse(report_walk *w, const char *fmt, ...) FL_PRINTF(2, 3);

// Plain values: checkers for tables.
fl_status report_is_text(report_walk *w, const json_t *v);
fl_status report_is_bool(report_walk *w, const json_t *v);
fl_status report_is_object(report_walk *w, const json_t *v);
fl_status report_is_integer(report_walk *w, const json_t *v);
fl_status report_is_number(report_walk *w, const json_t *v);
fl_status report_is_count(report_walk *w, const json_t *v);
fl_status report_is_positive(report_walk *w, const json_t *v);  // or 0
fl_status report_is_share(report_walk *w, const json_t *v);     // 0 to 1
fl_status report_is_site_name(report_walk *w, const json_t *v);

// check_figure.c: {METRIC: FIGURE}, and one of its members.
fl_status report_are_figures(report_walk *w, const json_t *v);
fl_status report_are_differences(report_walk *w, const json_t *v);
fl_status report_is_gap(report_walk *w, const char *name, const json_t *figure);
fl_status report_is_metric(report_walk *w, const char *metric, const json_t *figure);
/* A FIGURE where the walk is, with the limits of a metric, or of its differences. */
fl_status report_is_number_figure(report_walk *w, const json_t *v, const char *limits,
                                  bool difference);

// check_shift.c: a site's "shift" and "robustness".
enum { REPORT_SHIFT_POINTS = 160 };
fl_status report_are_shift_points(report_walk *w, const json_t *v);
fl_status report_is_robustness(report_walk *w, const json_t *v);

// check_sure.c: a site's "uncertainty".
fl_status report_is_sure(report_walk *w, const json_t *v);

// check_annotators.c: a site's "annotators".
extern const report_field report_annotators_fields[];

// check_unseen.c: one of a site's "unseen".
fl_status report_is_unseen(report_walk *w, const json_t *v);

// check_site.c: an element of "sites".
fl_status report_is_site(report_walk *w, const json_t *v);

#endif
