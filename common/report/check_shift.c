/*
 * check_shift.c - could a model hold up so under shifts?
 *
 * See check.h: a site's "shift" (a point a shift and severity) and "robustness" (what
 * follows from them).  Metrics are held against the split like all figures.
 */
#include "report/check.h"

#include <string.h>

#include "report/read.h"

static const report_field shift_name_fields[] = {
    {"shift", .check = report_is_text, .required = true},
    {"family", .check = report_is_text, .required = true},
    {0},
};

static fl_status is_severity(report_walk *w, const json_t *v)
{
    bool ok = json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= 5;
    return ok ? FL_OK : report_wrong(w, v, "a severity from 1 to 5");
}

/* CE_c / E_clean: any size. */
static fl_status is_ratio(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "mae", false);
}

/* CE_c - E_clean: as the error itself, with a sign. */
static fl_status is_rise(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "mae", true);
}

/* No two points are of the same shift and severity. */
static fl_status is_alone(report_walk *w, const json_t *list, size_t at)
{
    const json_t *point = json_array_get(list, at);
    const char *name = fl_json_get_string(point, "shift", "");
    int64_t severity = fl_json_get_int(point, "severity", 0);
    for (size_t i = 0; i < at; i++) {
        const json_t *other = json_array_get(list, i);
        if (fl_json_get_int(other, "severity", 0) == severity &&
            strcmp(fl_json_get_string(other, "shift", ""), name) == 0) {
            return report_refuse(w, "%.60s is there twice at severity %d", name, (int)severity);
        }
    }
    return FL_OK;
}

static fl_status is_point(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"severity", .check = is_severity, .required = true},
        {"lost", .check = report_are_differences, .required = true},
        {0},
    };
    fl_status st;
    const char *key;
    json_t *figure;
    if ((st = report_walk_fields(w, v, shift_name_fields)) != FL_OK ||
        (st = report_walk_fields(w, v, fields)) != FL_OK) {
        return st;
    }
    report_each_member(v, key, figure) {
        if (json_is_object(figure) && strcmp(key, "lost") != 0 &&
            (st = report_is_metric(w, key, figure)) != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

fl_status report_are_shift_points(report_walk *w, const json_t *v)
{
    static const report_field each = {NULL, REPORT_LIST, .check = is_point};
    fl_status st = report_walk_value(w, v, &each);
    if (st == FL_OK && json_array_size(v) > REPORT_SHIFT_POINTS) {
        st = report_refuse(w, "more than %d points", REPORT_SHIFT_POINTS);
    }
    for (size_t i = 0; i < json_array_size(v) && st == FL_OK; i++) {
        st = is_alone(w, v, i);
    }
    return st;
}

static fl_status is_one_shift(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"mce", .check = is_ratio, .required = true},
        {"rise", .check = is_rise, .required = true},
        {"lost", .check = report_are_differences, .required = true},
        {0},
    };
    fl_status st = report_walk_fields(w, v, shift_name_fields);
    return st == FL_OK ? report_walk_fields(w, v, fields) : st;
}

/* The worst shift is one of those that were tried. */
static fl_status worst_was_tried(report_walk *w, const json_t *v)
{
    const char *worst = fl_json_get_string(v, "worst", NULL);
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(v, "shifts"), i, one) {
        if (worst != NULL && strcmp(fl_json_get_string(one, "shift", ""), worst) == 0) {
            return FL_OK;
        }
    }
    return worst == NULL ? FL_OK : report_refuse(w, "worst: %.60s is not one of shifts", worst);
}

fl_status report_is_robustness(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"metric", .check = report_is_text, .required = true},
        {"severities", REPORT_LIST, .check = is_severity},
        {"clean", .check = report_are_figures},
        {"mce", .check = is_ratio, .required = true},
        {"rise", .check = is_rise, .required = true},
        {"lost", .check = report_are_differences, .required = true},
        {"worst", .check = report_is_text},
        {"shifts", REPORT_LIST, .check = is_one_shift, .required = true},
        {0},
    };
    fl_status st = report_walk_fields(w, v, fields);
    return st == FL_OK ? worst_was_tried(w, v) : st;
}
