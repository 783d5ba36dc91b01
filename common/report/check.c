/*
 * check.c - is this a report, and could a site have these numbers?
 *
 * The one place where a report's JSON is distrusted; pages trust what passed.
 * A table says for every object which keys it has and how each is checked;
 * keys that are not in a table are kept and not looked at, except in figures,
 * where an unknown name is refused.  Whatever is wrong is named by its path.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/read.h"
#include "report/report.h"

enum {
    MAX_DEPTH = 16,
    MAX_VALUES_SITE = 100000,
    MAX_VALUES_REPORT = 20000000,
    MAX_TEXT = 4000,  // bytes of a string
    MAX_KEY = 200,
    MAX_SITE_NAME = 48,
};

static const double max_count = 1e12;
static const double rounding = 1e-6;  // a mean of shares may be 1 + 1e-16

typedef struct {
    char path[400];
    fl_err *err;
    size_t n_values;  // seen so far
    size_t max_values;
    const char *metric;  // whose figure is looked at; "" = none
    bool difference;     // ... and it is one of differences
    int64_t n_most;      // cases a figure can rest on; -1 = not known
} walk;

typedef fl_status (*checker)(walk *w, const json_t *value);

typedef struct {
    const char *key;
    checker check;
    bool required;  // else it may be missing or null
} field;

#define FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

/* ------------------------------------------------------------- complaining */

static void describe(char *out, size_t n, const json_t *found)
{
    switch (found == NULL ? JSON_NULL : json_typeof(found)) {
    case JSON_OBJECT:
        snprintf(out, n, "an object");
        return;
    case JSON_ARRAY:
        snprintf(out, n, "a list");
        return;
    case JSON_STRING:
        snprintf(out, n, "\"%.40s\"", json_string_value(found));
        for (char *c = out; *c != '\0'; c++) {
            *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
        }
        return;
    case JSON_INTEGER:
        snprintf(out, n, "%" JSON_INTEGER_FORMAT, json_integer_value(found));
        return;
    case JSON_REAL:
        snprintf(out, n, "%.10g", json_real_value(found));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, n, json_is_true(found) ? "true" : "false");
        return;
    default:
        snprintf(out, n, found == NULL ? "nothing" : "null");
    }
}

static fl_status wrong(walk *w, const json_t *found, const char *expected)
{
    char text[64];
    describe(text, sizeof text, found);
    return fl_fail(w->err, FL_EFORMAT, "%s: expected %s, found %s",
                   w->path[0] != '\0' ? w->path : "report", expected, text);
}

static fl_status refuse(walk *w, const char *fmt, ...) FL_PRINTF(2, 3);
static fl_status refuse(walk *w, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return fl_fail(w->err, FL_EFORMAT, "%s: %s", w->path[0] != '\0' ? w->path : "report", text);
}

/* Adds to the path; returns where it ended before, for leave. */
static size_t enter(walk *w, const char *key)
{
    size_t mark = strlen(w->path);
    snprintf(w->path + mark, sizeof w->path - mark, "%s%.60s", mark > 0 ? "." : "", key);
    for (char *c = w->path + mark; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    }
    return mark;
}

static size_t enter_item(walk *w, size_t i)
{
    size_t mark = strlen(w->path);
    snprintf(w->path + mark, sizeof w->path - mark, "[%zu]", i);
    return mark;
}

static void leave(walk *w, size_t mark)
{
    w->path[mark] = '\0';
}

/* ---------------------------------------------------- limits on everything */

static bool is_plain_text(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static fl_status check_limits(walk *w, const json_t *value, int depth)
{
    if (++w->n_values > w->max_values) {
        return refuse(w, "more than %zu values", w->max_values);
    }
    if (depth > MAX_DEPTH) {
        return refuse(w, "nested more than %d deep", MAX_DEPTH);
    }
    if (json_is_string(value)) {
        if (json_string_length(value) > MAX_TEXT) {
            return refuse(w, "a text of %zu bytes, at most %d are accepted",
                          json_string_length(value), MAX_TEXT);
        }
        if (!is_plain_text(json_string_value(value)) ||
            strlen(json_string_value(value)) != json_string_length(value)) {
            return refuse(w, "a text with control characters");
        }
    }
    if (json_is_real(value) && !isfinite(json_real_value(value))) {
        return refuse(w, "a number that is not finite");
    }
    fl_status st = FL_OK;
    const char *key;
    json_t *child;
    report_each_member(value, key, child) {
        size_t mark = enter(w, key);
        st = strlen(key) > MAX_KEY || !is_plain_text(key)
                 ? refuse(w, "a key that is too long or has control characters")
                 : check_limits(w, child, depth + 1);
        if (st != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    size_t i;
    json_array_foreach(value, i, child) {
        size_t mark = enter_item(w, i);
        if ((st = check_limits(w, child, depth + 1)) != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    return FL_OK;
}

/* ------------------------------------------------------------ plain values */

static fl_status is_text(walk *w, const json_t *v)
{
    return json_is_string(v) ? FL_OK : wrong(w, v, "a text");
}

static fl_status is_bool(walk *w, const json_t *v)
{
    return json_is_boolean(v) ? FL_OK : wrong(w, v, "true or false");
}

static fl_status is_object(walk *w, const json_t *v)
{
    return json_is_object(v) ? FL_OK : wrong(w, v, "an object");
}

static fl_status is_integer(walk *w, const json_t *v)
{
    return json_is_integer(v) ? FL_OK : wrong(w, v, "a whole number");
}

static fl_status is_number(walk *w, const json_t *v)
{
    return json_is_number(v) ? FL_OK : wrong(w, v, "a number");
}

static fl_status is_count(walk *w, const json_t *v)
{
    bool ok = json_is_integer(v) && json_integer_value(v) >= 0 &&
              (double)json_integer_value(v) <= max_count;
    return ok ? FL_OK : wrong(w, v, "a whole number >= 0");
}

static fl_status is_positive_number(walk *w, const json_t *v)
{
    return json_is_number(v) && json_number_value(v) >= 0 ? FL_OK : wrong(w, v, "a number >= 0");
}

static fl_status is_share(walk *w, const json_t *v)
{
    double value = json_is_number(v) ? json_number_value(v) : NAN;
    return value >= -rounding && value <= 1 + rounding ? FL_OK
                                                       : wrong(w, v, "a number from 0 to 1");
}

/* Part of a file name, so nothing that could name another place. */
static fl_status is_site_name(walk *w, const json_t *v)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const char *name = json_is_string(v) ? json_string_value(v) : "";
    size_t n = strlen(name);
    bool ok = n >= 1 && n <= MAX_SITE_NAME && strspn(name, allowed) == n && name[0] != '.';
    return ok ? FL_OK : wrong(w, v, "a site's name (letters, digits, _ - .; at most 48)");
}

static fl_status each_item(walk *w, const json_t *list, checker check)
{
    if (!json_is_array(list)) {
        return wrong(w, list, "a list");
    }
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        size_t mark = enter_item(w, i);
        fl_status st = check(w, item);
        if (st != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    return FL_OK;
}

static fl_status each_member(walk *w, const json_t *object, checker check)
{
    if (!json_is_object(object)) {
        return wrong(w, object, "an object");
    }
    const char *key;
    json_t *value;
    report_each_member(object, key, value) {
        size_t mark = enter(w, key);
        fl_status st = check(w, value);
        if (st != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    return FL_OK;
}

static fl_status check_fields(walk *w, const json_t *object, const field *f, size_t n)
{
    if (!json_is_object(object)) {
        return wrong(w, object, "an object");
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(object, f[i].key);
        bool absent = value == NULL || json_is_null(value);
        if (absent && !f[i].required) {
            continue;
        }
        size_t mark = enter(w, f[i].key);
        fl_status st = f[i].check(w, value);
        if (st != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    return FL_OK;
}

static fl_status are_texts(walk *w, const json_t *v)
{
    return each_item(w, v, is_text);
}

static fl_status are_sites(walk *w, const json_t *v)
{
    return each_item(w, v, is_site_name);
}

static fl_status are_counts(walk *w, const json_t *v)
{
    return each_item(w, v, is_count);
}

static fl_status counts_by_name(walk *w, const json_t *v)
{
    return each_member(w, v, is_count);
}

/* null: a cell that is too small to be shown. */
static fl_status is_cell(walk *w, const json_t *v)
{
    return json_is_null(v) ? FL_OK : is_count(w, v);
}

static fl_status cells_by_name(walk *w, const json_t *v)
{
    return each_member(w, v, is_cell);
}

/* {CLASS: n}, or of several labels {LABEL: {"absent", "present", "unlabelled"}}. */
static fl_status is_class(walk *w, const json_t *v)
{
    return json_is_object(v) ? cells_by_name(w, v) : is_cell(w, v);
}

static fl_status classes_by_name(walk *w, const json_t *v)
{
    return each_member(w, v, is_class);
}

static fl_status numbers_by_name(walk *w, const json_t *v)
{
    return each_member(w, v, is_number);
}

static int64_t sum_of(const json_t *counts)
{
    int64_t sum = 0;
    const char *key;
    json_t *value;
    size_t i;
    report_each_member(counts, key, value) {
        sum += json_integer_value(value);
    }
    json_array_foreach(counts, i, value) {
        sum += json_integer_value(value);
    }
    return sum;
}

/* ----------------------------------------------------------------- figures */

/* NaN where the number is missing; refuses what the metric cannot be. */
static fl_status figure_number(walk *w, const json_t *figure, const char *key, double *out)
{
    const json_t *v = json_object_get(figure, key);
    *out = NAN;
    if (v == NULL || json_is_null(v)) {
        return FL_OK;
    }
    size_t mark = enter(w, key);
    double most = report_metric_most(w->metric);
    double least = w->difference ? -most : 0;
    double value = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(value >= least - rounding && value <= most + rounding)) {
        char expected[80];
        if (isinf(most)) {
            snprintf(expected, sizeof expected, "a number%s", w->difference ? "" : " >= 0");
        } else {
            snprintf(expected, sizeof expected, "a number from %g to %g", least, most);
        }
        return wrong(w, v, expected);
    }
    *out = value;
    leave(w, mark);
    return FL_OK;
}

static fl_status is_figure(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"n", is_count, false},          {"n_positive", is_count, false},
        {"n_patients", is_count, false}, {"method", is_text, false},
        {"why", is_text, false},
    };
    double value, low, high;
    fl_status st;
    if ((st = check_fields(w, v, FIELDS(fields))) != FL_OK ||
        (st = figure_number(w, v, "value", &value)) != FL_OK ||
        (st = figure_number(w, v, "ci_low", &low)) != FL_OK ||
        (st = figure_number(w, v, "ci_high", &high)) != FL_OK) {
        return st;
    }
    if (isnan(value) && fl_json_get_string(v, "why", "")[0] == '\0') {
        return refuse(w, "without a value and without a reason (why)");
    }
    if (isnan(low) != isnan(high) || (isnan(value) && !isnan(low))) {
        return refuse(w, "an interval needs a value, ci_low and ci_high");
    }
    if (low > value + rounding || value > high + rounding) {
        return refuse(w, "the value %.6g is not in its interval [%.6g, %.6g]", value, low, high);
    }
    int64_t n = fl_json_get_int(v, "n", -1);
    if (n >= 0 && w->n_most >= 0 && n > w->n_most) {
        return refuse(w, "rests on %" PRId64 " cases, the split has %" PRId64, n, w->n_most);
    }
    if (n >= 0 &&
        (fl_json_get_int(v, "n_positive", 0) > n || fl_json_get_int(v, "n_patients", 0) > n)) {
        return refuse(w, "more positives or patients than its %" PRId64 " cases", n);
    }
    return FL_OK;
}

/* {METRIC: FIGURE} */
static fl_status are_figures(walk *w, const json_t *v)
{
    if (!json_is_object(v)) {
        return wrong(w, v, "an object");
    }
    fl_status st = FL_OK;
    const char *key;
    json_t *figure;
    report_each_member(v, key, figure) {
        size_t mark = enter(w, key);
        w->metric = key;
        st = report_metric_known(key) ? is_figure(w, figure) : refuse(w, "not a known metric");
        if (st != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    return FL_OK;
}

static fl_status are_differences(walk *w, const json_t *v)
{
    w->difference = true;
    fl_status st = are_figures(w, v);
    w->difference = false;
    return st;
}

static fl_status figures_by_name(walk *w, const json_t *v)
{
    return each_member(w, v, are_figures);
}

/* -------------------------------------------------------------------- site */

static fl_status is_analysed(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"train", is_count, false},
        {"val", is_count, false},
        {"test", is_count, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_flow(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"files", is_count, false},       {"cases", is_count, false},
        {"patients", is_count, false},    {"refused", counts_by_name, false},
        {"analysed", is_analysed, false},
    };
    fl_status st = check_fields(w, v, FIELDS(fields));
    if (st != FL_OK) {
        return st;
    }
    int64_t cases = fl_json_get_int(v, "cases", -1);
    int64_t analysed = sum_of(json_object_get(v, "analysed"));
    if (cases >= 0 && analysed > cases) {
        return refuse(w, "%" PRId64 " cases analysed of %" PRId64, analysed, cases);
    }
    return FL_OK;
}

/* {CODE: n} or {"n", "mean", "sd"}; n_most: cases of the split. */
static fl_status is_attribute(walk *w, const json_t *v)
{
    static const field summary[] = {
        {"n", is_count, false},
        {"mean", is_number, false},
        {"sd", is_positive_number, false},
    };
    bool is_summary = json_object_get(v, "mean") != NULL || json_object_get(v, "sd") != NULL;
    fl_status st = is_summary ? check_fields(w, v, FIELDS(summary)) : cells_by_name(w, v);
    if (st != FL_OK) {
        return st;
    }
    int64_t n = is_summary ? fl_json_get_int(v, "n", 0) : sum_of(v);
    if (w->n_most >= 0 && n > w->n_most) {
        return refuse(w, "counts %" PRId64 " cases of %" PRId64, n, w->n_most);
    }
    return FL_OK;
}

static fl_status are_attributes(walk *w, const json_t *v)
{
    return each_member(w, v, is_attribute);
}

static fl_status is_table1_split(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"n", is_count, false},
        {"patients", is_count, false},
        {"classes", classes_by_name, false},
        {"attributes", are_attributes, false},
    };
    if (!json_is_object(v)) {
        return wrong(w, v, "an object");
    }
    int64_t before = w->n_most, n = fl_json_get_int(v, "n", -1);
    w->n_most = n;
    fl_status st = check_fields(w, v, FIELDS(fields));
    w->n_most = before;
    if (st == FL_OK && n >= 0 && sum_of(json_object_get(v, "classes")) > n) {
        return refuse(w, "classes count %" PRId64 " cases of %" PRId64,
                      sum_of(json_object_get(v, "classes")), n);
    }
    if (st == FL_OK && n >= 0 && fl_json_get_int(v, "patients", 0) > n) {
        return refuse(w, "more patients than cases");
    }
    return st;
}

static fl_status is_table1(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"train", is_table1_split, false},
        {"val", is_table1_split, false},
        {"test", is_table1_split, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_confusion(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"tp", is_count, true},
        {"fp", is_count, true},
        {"fn", is_count, true},
        {"tn", is_count, true},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status confusions(walk *w, const json_t *v)
{
    return each_member(w, v, is_confusion);
}

static fl_status is_histogram(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"bins", is_count, true},
        {"negatives", are_counts, true},
        {"positives", are_counts, true},
    };
    fl_status st = check_fields(w, v, FIELDS(fields));
    if (st != FL_OK) {
        return st;
    }
    size_t bins = (size_t)fl_json_get_int(v, "bins", 0);
    if (bins < 1 || json_array_size(json_object_get(v, "negatives")) != bins ||
        json_array_size(json_object_get(v, "positives")) != bins) {
        return refuse(w, "negatives and positives must have %zu counts each", bins);
    }
    return FL_OK;
}

static fl_status is_problem(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"what", is_text, true},
        {"where", is_text, false},
        {"n", is_count, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status are_problems(walk *w, const json_t *v)
{
    return each_item(w, v, is_problem);
}

/* Everything that is no metric has a name of its own. */
static fl_status is_subgroup(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"attribute", is_text, true},
        {"value", is_text, true},
        {"why", is_text, false},
    };
    fl_status st = check_fields(w, v, FIELDS(fields));
    if (st != FL_OK) {
        return st;
    }
    const json_t *n = json_object_get(v, "n");
    if (n != NULL && !json_is_null(n)) {
        size_t mark = enter(w, "n");
        if ((st = is_count(w, n)) != FL_OK) {
            return st;
        }
        leave(w, mark);
    } else if (fl_json_get_string(v, "why", "")[0] == '\0') {
        return refuse(w, "without n and without a reason (why)");
    }
    const char *key;
    json_t *figure;
    report_each_member(v, key, figure) {
        if (!json_is_object(figure)) {
            continue;
        }
        size_t mark = enter(w, key);
        w->metric = key;
        st = report_metric_known(key) ? is_figure(w, figure) : refuse(w, "not a known metric");
        if (st != FL_OK) {
            return st;
        }
        leave(w, mark);
    }
    if (w->n_most >= 0 && fl_json_get_int(v, "n", 0) > w->n_most) {
        return refuse(w, "%" PRId64 " cases, the split has %" PRId64, fl_json_get_int(v, "n", 0),
                      w->n_most);
    }
    return FL_OK;
}

static fl_status are_subgroups(walk *w, const json_t *v)
{
    return each_item(w, v, is_subgroup);
}

static fl_status is_local(walk *w, const json_t *v)
{
    static const field fields[] = {{"best_step", is_count, false}, {"steps", is_count, false}};
    return check_fields(w, v, FIELDS(fields));
}

/* Confusion counts and histogram are of the same cases as the figures. */
static fl_status check_sums(walk *w, const json_t *site)
{
    const char *model;
    json_t *counts;
    report_each_member(json_object_get(site, "confusion"), model, counts) {
        const json_t *accuracy = report_at(site, "models", model, "accuracy", NULL);
        int64_t n = fl_json_get_int(accuracy, "n", -1);
        int64_t positives = fl_json_get_int(accuracy, "n_positive", -1);
        int64_t tp = fl_json_get_int(counts, "tp", 0), fn = fl_json_get_int(counts, "fn", 0);
        int64_t sum = tp + fn + fl_json_get_int(counts, "fp", 0) + fl_json_get_int(counts, "tn", 0);
        if ((n >= 0 && sum != n) || (w->n_most >= 0 && sum > w->n_most)) {
            return refuse(w,
                          "confusion.%.40s counts %" PRId64 " cases, its figures rest on %" PRId64,
                          model, sum, n >= 0 ? n : w->n_most);
        }
        if (positives >= 0 && tp + fn != positives) {
            return refuse(
                w, "confusion.%.40s counts %" PRId64 " positives, its figures rest on %" PRId64,
                model, tp + fn, positives);
        }
    }
    const json_t *histogram = json_object_get(site, "histogram");
    if (json_is_object(histogram)) {
        int64_t sum = sum_of(json_object_get(histogram, "negatives")) +
                      sum_of(json_object_get(histogram, "positives"));
        if (w->n_most >= 0 && sum > w->n_most) {
            return refuse(w, "histogram counts %" PRId64 " cases, the split has %" PRId64, sum,
                          w->n_most);
        }
    }
    return FL_OK;
}

static fl_status is_site(walk *w, const json_t *v)
{
    static const field counts[] = {
        {"name", is_site_name, true},
        {"n_train", is_count, true},
        {"n_val", is_count, true},
        {"n_test", is_count, true},
    };
    static const field fields[] = {
        {"weight", is_positive_number, false},
        {"rounds_joined", is_count, false},
        {"flow", is_flow, false},
        {"table1", is_table1, false},
        {"reference_standard", is_text, false},
        {"prevalence", is_share, false},
        {"problems", are_problems, false},
        {"models", figures_by_name, false},
        {"thresholds", numbers_by_name, false},
        {"local", is_local, false},
        {"confusion", confusions, false},
        {"histogram", is_histogram, false},
        {"subgroups", are_subgroups, false},
        {"benefit", are_differences, false},
        {"test_opened", is_count, false},
    };
    fl_status st = check_fields(w, v, FIELDS(counts));
    if (st != FL_OK) {
        return st;
    }
    w->n_most = fl_json_get_int(v, "n_test", -1);
    if ((st = check_fields(w, v, FIELDS(fields))) == FL_OK) {
        st = check_sums(w, v);
    }
    w->n_most = -1;
    return st;
}

fl_status report_check_site(const json_t *site, fl_err *err)
{
    walk w = {.err = err, .max_values = MAX_VALUES_SITE, .metric = "", .n_most = -1};
    snprintf(w.path, sizeof w.path, "site");
    fl_status st = check_limits(&w, site, 0);
    return st != FL_OK ? st : is_site(&w, site);
}

/* --------------------------------------------------------- the whole report */

static fl_status is_absence(walk *w, const json_t *v)
{
    static const field fields[] = {{"site", is_site_name, true}, {"reason", is_text, true}};
    return check_fields(w, v, FIELDS(fields));
}

static fl_status are_absences(walk *w, const json_t *v)
{
    return each_item(w, v, is_absence);
}

static fl_status is_site_curve(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"auc", is_share, false},
        {"loss", is_number, false},
        {"accuracy", is_share, false},
        {"n", is_count, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status are_site_curves(walk *w, const json_t *v)
{
    return each_member(w, v, is_site_curve);
}

static fl_status is_validation(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"auc", is_share, false}, {"loss", is_number, false},        {"accuracy", is_share, false},
        {"n", is_count, false},   {"sites", are_site_curves, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_round(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"round", is_count, true},
        {"seconds", is_positive_number, false},
        {"bytes_up", is_positive_number, false},
        {"bytes_down", is_positive_number, false},
        {"loss", is_number, false},
        {"participants", are_sites, false},
        {"absent", are_absences, false},
        {"model_sha256", is_text, false},
        {"validation", is_validation, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status are_rounds(walk *w, const json_t *v)
{
    return each_item(w, v, is_round);
}

static fl_status is_model(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"name", is_text, false},
        {"paper", is_text, false},
        {"parameters", is_count, false},
        {"sha256", is_text, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_select(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"round", is_count, false}, {"metric", is_text, false},  {"split", is_text, false},
        {"keep", is_text, false},   {"value", is_number, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_threshold(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"rule", is_text, false},    {"at", is_number, false},  {"split", is_text, false},
        {"value", is_number, false}, {"bins", is_count, false}, {"why", is_text, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_evaluation(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"margin", numbers_by_name, false},
        {"min_cell", is_count, false},
        {"histogram_bins", is_count, false},
        {"local_budget", is_text, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status are_site_elements(walk *w, const json_t *v)
{
    fl_status st = each_item(w, v, is_site);
    if (st != FL_OK) {
        return st;
    }
    size_t i;
    const json_t *site;
    json_array_foreach(v, i, site) {
        for (size_t j = 0; j < i; j++) {
            const char *name = report_site_name(site);
            if (strcmp(name, report_site_name(json_array_get(v, j))) == 0) {
                return refuse(w, "two sites have the name \"%s\"", name);
            }
        }
    }
    return FL_OK;
}

static fl_status is_pooled(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"global", are_figures, false},
        {"method", is_text, false},
        {"missing", are_sites, false},
        {"auc_half_width", is_positive_number, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_centralised(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"pooled", are_figures, false},
        {"sites", figures_by_name, false},
        {"threshold", is_number, false},
        // settings: whatever the simulator says
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_baselines(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"centralised", is_centralised, false},
        {"global_on_pooled", are_figures, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_fairness(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"metric", is_text, false},         {"worst_site", is_site_name, false},
        {"worst", is_number, false},        {"best", is_number, false},
        {"mean", is_number, false},         {"sd", is_positive_number, false},
        {"gap", is_positive_number, false}, {"jain", is_share, false},
        {"n_sites", is_count, false},       {"subgroup_gaps", is_object, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_privacy(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"secure_aggregation", is_bool, true},
        {"dp", is_text, true},
        {"statement", is_text, true},
        {"left", are_texts, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_refusal(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"time", is_text, false},   {"address", is_text, false}, {"what", is_text, false},
        {"reason", is_text, false}, {"count", is_count, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status are_refusals(walk *w, const json_t *v)
{
    return each_item(w, v, is_refusal);
}

static fl_status is_security(walk *w, const json_t *v)
{
    static const field fields[] = {
        {"transport", is_text, false},
        {"refusals", are_refusals, false},
    };
    return check_fields(w, v, FIELDS(fields));
}

static fl_status is_format(walk *w, const json_t *v)
{
    bool ok = json_is_string(v) && strcmp(json_string_value(v), REPORT_FORMAT) == 0;
    return ok ? FL_OK : wrong(w, v, "\"" REPORT_FORMAT "\"");
}

fl_status report_check(const json_t *json, fl_err *err)
{
    static const field fields[] = {
        {"format", is_format, true},
        {"job", is_text, true},
        {"intended_use", is_text, false},
        {"task", is_text, true},
        {"run", is_text, false},
        {"federation", is_text, false},
        {"created", is_text, false},
        {"names", is_text, false},
        {"classes", are_texts, false},
        {"positive", is_text, false},
        {"strategy", is_text, false},
        {"strategy_settings", is_object, false},
        {"strategy_paper", is_text, false},
        {"seed", is_integer, false},
        {"rounds_done", is_count, true},
        {"rounds_planned", is_count, false},
        {"simulated", is_bool, false},
        {"model", is_model, true},
        {"rounds", are_rounds, true},
        {"select", is_select, false},
        {"threshold", is_threshold, false},
        {"evaluation", is_evaluation, false},
        {"test_evaluations", is_count, false},
        {"sites", are_site_elements, true},
        {"absent", are_absences, false},
        {"pooled", is_pooled, false},
        {"baselines", is_baselines, false},
        {"fairness", is_fairness, false},
        {"privacy", is_privacy, true},
        {"security", is_security, false},
        {"environment", is_object, false},
    };
    walk w = {.err = err, .max_values = MAX_VALUES_REPORT, .metric = "", .n_most = -1};
    fl_status st = check_limits(&w, json, 0);
    return st != FL_OK ? st : check_fields(&w, json, FIELDS(fields));
}
