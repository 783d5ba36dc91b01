/*
 * tool_shift.c - `--shift CHAIN[:1-5]` read, and what came of it as text
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/tools.h"

/* ":3" or ":1-5" behind the chain. */
static bool read_severities(int *first, int *last, const char *text)
{
    bool one = strlen(text) == 1, range = strlen(text) == 3 && text[1] == '-';
    char low = text[0], high = text[strlen(text) > 0 ? strlen(text) - 1 : 0];
    *first = low - '0';
    *last = high - '0';
    return (one || range) && low >= '1' && low <= high && high <= '5';
}

static fl_status find_one(data_shift_curves *out, int *first, int *last, const char *chain,
                          const data_spec *spec, fl_err *err)
{
    char name[DATA_SHIFT_CURVE_BYTES];
    const char *colon = strrchr(chain, ':');
    size_t n = colon != NULL ? (size_t)(colon - chain) : strlen(chain);
    *first = 1;
    *last = DATA_SHIFT_SEVERITIES;
    if (colon != NULL && !read_severities(first, last, colon + 1)) {
        return fl_fail(err, FL_EUSAGE,
                       "--shift %.80s: expected severities such as 3 or 1-5 behind the colon",
                       chain);
    }
    if (n >= sizeof name) {
        return fl_fail(err, FL_EUSAGE, "--shift %.40s...: longer than %d bytes", chain,
                       DATA_SHIFT_CURVE_BYTES - 1);
    }
    memcpy(name, chain, n);
    name[n] = '\0';
    return data_shift_curves_add(out, name, spec, err);
}

fl_status tool_find_shifts(data_shift_curves *out, int *first, int *last, const fl_texts *chains,
                           const data_spec *spec, fl_err *err)
{
    *out = (data_shift_curves){.n = 0};
    for (size_t i = 0; i < chains->n; i++) {
        int low, high;
        fl_status st = find_one(out, &low, &high, chains->items[i], spec, err);
        if (st != FL_OK) {
            return st;
        }
        if (i > 0 && (low != *first || high != *last)) {
            return fl_fail(err, FL_EUSAGE,
                           "--shift %s: all shifts of one evaluation have the same severities",
                           chains->items[i]);
        }
        *first = low;
        *last = high;
    }
    return FL_OK;
}

static double value_at(const json_t *object, const char *key)
{
    return fl_json_get_number(json_object_get(object, key), "value");
}

static void print_number(double value)
{
    if (isnan(value)) {
        printf(" %7s", "-");
    } else {
        printf(" %7.3f", value);
    }
}

/* "1.84 [1.60, 2.10]", or why not. */
static void print_figure(const json_t *figure)
{
    double low = fl_json_get_number(figure, "ci_low");
    double value = fl_json_get_number(figure, "value");
    if (isnan(value)) {
        printf("- (%s)", fl_json_get_string(figure, "why", ""));
        return;
    }
    printf("%.3f", value);
    if (!isnan(low)) {
        printf(" [%.3f, %.3f]", low, fl_json_get_number(figure, "ci_high"));
    }
}

void tool_print_shift(const json_t *points, const json_t *robustness)
{
    const json_t *clean = json_object_get(robustness, "clean"), *shift, *point;
    const char *metric = fl_json_get_string(robustness, "metric", "");
    size_t i, k;
    if (robustness == NULL) {
        return;
    }
    metric = isnan(value_at(clean, "auc")) ? metric : "auc";
    const json_t *range = json_object_get(robustness, "severities");
    int first = (int)json_integer_value(json_array_get(range, 0));
    int last = (int)json_integer_value(json_array_get(range, 1));
    printf("%s under shift       clean", metric);
    for (int v = first; v <= last; v++) {
        printf(" %7d", v);
    }
    printf("    error, times clean\n");
    json_array_foreach(json_object_get(robustness, "shifts"), i, shift) {
        const char *name = fl_json_get_string(shift, "shift", "");
        printf("%-18s", name);
        print_number(value_at(clean, metric));
        json_array_foreach(points, k, point) {
            if (strcmp(fl_json_get_string(point, "shift", ""), name) == 0) {
                print_number(value_at(point, metric));
            }
        }
        printf("    ");
        print_figure(json_object_get(shift, "mce"));
        printf("\n");
    }
    printf("mean corruption error, relative to clean: ");
    print_figure(json_object_get(robustness, "mce"));
    size_t n = 0;
    const char *key;
    json_t *lost;
    json_object_foreach(json_object_get(robustness, "lost"), key, lost) {
        printf("%s%s lost ", n++ == 0 ? "\nmean over shifts and severities: " : ", ", key);
        print_figure(lost);
    }
    printf("\nworst shift: %s\n\n", fl_json_get_string(robustness, "worst", "-"));
}
