/*
 * check_walk.c - walks a report's JSON along its tables and says what is wrong
 *
 * See check.h.  Limits on depth, number and length of all values come first,
 * for those in no table as well; then each table's checks, in its order.
 */
#include "report/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/read.h"

enum {
    MAX_DEPTH = 16,
    MAX_TEXT = 4000,  // bytes of a string
    MAX_KEY = 200,
    MAX_SITE_NAME = 48,
};

static const double max_count = 1e12;

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

fl_status report_wrong(report_walk *w, const json_t *found, const char *expected)
{
    char text[64];
    describe(text, sizeof text, found);
    return fl_fail(w->err, FL_EFORMAT, "%s: expected %s, found %s",
                   w->path[0] != '\0' ? w->path : "report", expected, text);
}

fl_status report_refuse(report_walk *w, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return fl_fail(w->err, FL_EFORMAT, "%s: %s", w->path[0] != '\0' ? w->path : "report", text);
}

/* Adds to the path; returns where it ended before, for leave. */
static size_t enter(report_walk *w, const char *key)
{
    size_t mark = strlen(w->path);
    snprintf(w->path + mark, sizeof w->path - mark, "%s%.60s", mark > 0 ? "." : "", key);
    for (char *c = w->path + mark; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    }
    return mark;
}

static size_t enter_item(report_walk *w, size_t i)
{
    size_t mark = strlen(w->path);
    snprintf(w->path + mark, sizeof w->path - mark, "[%zu]", i);
    return mark;
}

static void leave(report_walk *w, size_t mark)
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

static fl_status check_limits(report_walk *w, const json_t *value, int depth)
{
    if (++w->n_values > w->max_values) {
        return report_refuse(w, "more than %zu values", w->max_values);
    }
    if (depth > MAX_DEPTH) {
        return report_refuse(w, "nested more than %d deep", MAX_DEPTH);
    }
    if (json_is_string(value)) {
        if (json_string_length(value) > MAX_TEXT) {
            return report_refuse(w, "a text of %zu bytes, at most %d are accepted",
                                 json_string_length(value), MAX_TEXT);
        }
        if (!is_plain_text(json_string_value(value)) ||
            strlen(json_string_value(value)) != json_string_length(value)) {
            return report_refuse(w, "a text with control characters");
        }
    }
    if (json_is_real(value) && !isfinite(json_real_value(value))) {
        return report_refuse(w, "a number that is not finite");
    }
    fl_status st = FL_OK;
    const char *key;
    json_t *child;
    report_each_member(value, key, child) {
        size_t mark = enter(w, key);
        st = strlen(key) > MAX_KEY || !is_plain_text(key)
                 ? report_refuse(w, "a key that is too long or has control characters")
                 : check_limits(w, child, depth + 1);
        leave(w, mark);
        if (st != FL_OK) {
            return st;
        }
    }
    for (size_t i = 0; i < json_array_size(value) && st == FL_OK; i++) {
        size_t mark = enter_item(w, i);
        st = check_limits(w, json_array_get(value, i), depth + 1);
        leave(w, mark);
    }
    return st;
}

/* ------------------------------------------------------------ plain values */

fl_status report_is_text(report_walk *w, const json_t *v)
{
    return json_is_string(v) ? FL_OK : report_wrong(w, v, "a text");
}

fl_status report_is_bool(report_walk *w, const json_t *v)
{
    return json_is_boolean(v) ? FL_OK : report_wrong(w, v, "true or false");
}

fl_status report_is_object(report_walk *w, const json_t *v)
{
    return json_is_object(v) ? FL_OK : report_wrong(w, v, "an object");
}

fl_status report_is_integer(report_walk *w, const json_t *v)
{
    return json_is_integer(v) ? FL_OK : report_wrong(w, v, "a whole number");
}

fl_status report_is_number(report_walk *w, const json_t *v)
{
    return json_is_number(v) ? FL_OK : report_wrong(w, v, "a number");
}

fl_status report_is_count(report_walk *w, const json_t *v)
{
    bool ok = json_is_integer(v) && json_integer_value(v) >= 0 &&
              (double)json_integer_value(v) <= max_count;
    return ok ? FL_OK : report_wrong(w, v, "a whole number >= 0");
}

fl_status report_is_positive(report_walk *w, const json_t *v)
{
    return json_is_number(v) && json_number_value(v) >= 0 ? FL_OK
                                                          : report_wrong(w, v, "a number >= 0");
}

fl_status report_is_share(report_walk *w, const json_t *v)
{
    double value = json_is_number(v) ? json_number_value(v) : NAN;
    return value >= -REPORT_ROUNDING && value <= 1 + REPORT_ROUNDING
               ? FL_OK
               : report_wrong(w, v, "a number from 0 to 1");
}

/* Part of a file name, so nothing that could name another place. */
fl_status report_is_site_name(report_walk *w, const json_t *v)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const char *name = json_is_string(v) ? json_string_value(v) : "";
    size_t n = strlen(name);
    bool ok = n >= 1 && n <= MAX_SITE_NAME && strspn(name, allowed) == n && name[0] != '.';
    return ok ? FL_OK : report_wrong(w, v, "a site's name (letters, digits, _ - .; at most 48)");
}

/* ------------------------------------------------------------ along a table */

static fl_status walk_one(report_walk *w, const json_t *value, const report_field *f)
{
    fl_status st = f->fields == NULL ? FL_OK : report_walk_fields(w, value, f->fields);
    return st == FL_OK && f->check != NULL ? f->check(w, value) : st;
}

static fl_status walk_list(report_walk *w, const json_t *list, const report_field *f)
{
    if (!json_is_array(list)) {
        return report_wrong(w, list, "a list");
    }
    fl_status st = FL_OK;
    for (size_t i = 0; i < json_array_size(list) && st == FL_OK; i++) {
        size_t mark = enter_item(w, i);
        st = walk_one(w, json_array_get(list, i), f);
        leave(w, mark);
    }
    return st;
}

static fl_status walk_by_name(report_walk *w, const json_t *object, const report_field *f)
{
    if (!json_is_object(object)) {
        return report_wrong(w, object, "an object");
    }
    const char *key;
    json_t *value;
    report_each_member(object, key, value) {
        size_t mark = enter(w, key);
        fl_status st = walk_one(w, value, f);
        leave(w, mark);
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

fl_status report_walk_value(report_walk *w, const json_t *value, const report_field *f)
{
    switch (f->each) {
    case REPORT_LIST:
        return walk_list(w, value, f);
    case REPORT_BY_NAME:
        return walk_by_name(w, value, f);
    default:
        return walk_one(w, value, f);
    }
}

fl_status report_walk_key(report_walk *w, const char *key, const json_t *value,
                          const report_field *f)
{
    size_t mark = enter(w, key);
    fl_status st = report_walk_value(w, value, f);
    leave(w, mark);
    return st;
}

fl_status report_walk_fields(report_walk *w, const json_t *object, const report_field *table)
{
    if (!json_is_object(object)) {
        return report_wrong(w, object, "an object");
    }
    fl_status st = FL_OK;
    for (const report_field *f = table; f->key != NULL && st == FL_OK; f++) {
        const json_t *value = json_object_get(object, f->key);
        bool absent = value == NULL || json_is_null(value);
        if (!absent || f->required) {
            st = report_walk_key(w, f->key, value, f);
        }
    }
    return st;
}

fl_status report_walk_all(const json_t *json, const char *root, size_t max_values,
                          const report_field *f, fl_err *err)
{
    report_walk w = {.err = err, .max_values = max_values, .metric = "", .n_most = -1};
    snprintf(w.path, sizeof w.path, "%s", root);
    fl_status st = check_limits(&w, json, 0);
    return st != FL_OK ? st : report_walk_value(&w, json, f);
}
