/*
 * check_figure.c - could a metric have this value and this interval?
 *
 * See check.h.  A figure without a value says why; an unknown metric's name is
 * refused, because nothing could be said about its numbers.
 */
#include "report/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/read.h"

static fl_status is_metric_number(report_walk *w, const json_t *v)
{
    double most = report_metric_most(w->metric);
    double least = w->difference ? -most : report_metric_least(w->metric);
    double value = json_is_number(v) ? json_number_value(v) : NAN;
    if (value >= least - REPORT_ROUNDING && value <= most + REPORT_ROUNDING) {
        return FL_OK;
    }
    char expected[80];
    if (isinf(most)) {
        snprintf(expected, sizeof expected, "a number%s", least < 0 ? "" : " >= 0");
    } else {
        snprintf(expected, sizeof expected, "a number from %g to %g", least, most);
    }
    return report_wrong(w, v, expected);
}

/* NaN where the number is missing. */
static double number_at(const json_t *figure, const char *key)
{
    const json_t *v = json_object_get(figure, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static fl_status is_figure(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"n", .check = report_is_count},          {"n_positive", .check = report_is_count},
        {"n_patients", .check = report_is_count}, {"method", .check = report_is_text},
        {"why", .check = report_is_text},         {"unit", .check = report_is_text},  // "mm"
        {"se", .check = report_is_positive},      {"p", .check = report_is_share},
        {"p_holm", .check = report_is_share},     {"flagged", .check = report_is_bool},
        {"value", .check = is_metric_number},     {"ci_low", .check = is_metric_number},
        {"ci_high", .check = is_metric_number},   {0},
    };
    fl_status st = report_walk_fields(w, v, fields);
    if (st != FL_OK) {
        return st;
    }
    double value = number_at(v, "value");
    double low = number_at(v, "ci_low"), high = number_at(v, "ci_high");
    if (isnan(value) && fl_json_get_string(v, "why", "")[0] == '\0') {
        return report_refuse(w, "without a value and without a reason (why)");
    }
    if (isnan(low) != isnan(high) || (isnan(value) && !isnan(low))) {
        return report_refuse(w, "an interval needs a value, ci_low and ci_high");
    }
    if (low > value + REPORT_ROUNDING || value > high + REPORT_ROUNDING) {
        return report_refuse(w, "the value %.6g is not in its interval [%.6g, %.6g]", value, low,
                             high);
    }
    int64_t n = fl_json_get_int(v, "n", -1);
    if (n >= 0 && w->n_most >= 0 && n > w->n_most && !report_metric_of_parts(w->metric)) {
        return report_refuse(w, "rests on %" PRId64 " cases, the split has %" PRId64, n, w->n_most);
    }
    if (n >= 0 &&
        (fl_json_get_int(v, "n_positive", 0) > n || fl_json_get_int(v, "n_patients", 0) > n)) {
        return report_refuse(w, "more positives or patients than its %" PRId64 " cases", n);
    }
    return FL_OK;
}

static fl_status is_known_figure(report_walk *w, const json_t *v)
{
    return report_metric_known(w->metric) ? is_figure(w, v)
                                          : report_refuse(w, "not a known metric");
}

fl_status report_is_metric(report_walk *w, const char *metric, const json_t *figure)
{
    static const report_field known = {.check = is_known_figure};
    w->metric = metric;
    return report_walk_key(w, metric, figure, &known);
}

/* A difference of two groups: of shares, but where the name says what else. */
fl_status report_is_gap(report_walk *w, const char *name, const json_t *figure)
{
    static const report_field one = {.check = is_figure};
    w->metric = strcmp(name, "mae_gap") == 0    ? "mae"
                : strcmp(name, "bias_gap") == 0 ? "bias"
                                                : "auc";  // like it, within 0 and 1
    w->difference = true;
    fl_status st = report_walk_key(w, name, figure, &one);
    w->difference = false;
    return st;
}

fl_status report_is_number_figure(report_walk *w, const json_t *v, const char *limits,
                                  bool difference)
{
    bool before = w->difference;
    w->metric = limits;
    w->difference = difference;
    fl_status st = is_figure(w, v);
    w->difference = before;
    return st;
}

fl_status report_are_figures(report_walk *w, const json_t *v)
{
    if (!json_is_object(v)) {
        return report_wrong(w, v, "an object");
    }
    fl_status st;
    const char *metric;
    json_t *figure;
    report_each_member(v, metric, figure) {
        if ((st = report_is_metric(w, metric, figure)) != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

fl_status report_are_differences(report_walk *w, const json_t *v)
{
    w->difference = true;
    fl_status st = report_are_figures(w, v);
    w->difference = false;
    return st;
}
