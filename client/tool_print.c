/*
 * tool_print.c - figures as text
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/tools.h"

void tool_print_json(json_t *json)
{
    char *text = fl_json_text(json);
    fputs(text, stdout);
    free(text);
    json_decref(json);
}

void tool_print_value(double value, double low, double high)
{
    char interval[32] = "";
    if (!isnan(low) && !isnan(high)) {
        snprintf(interval, sizeof interval, "%.3f to %.3f", low, high);
    }
    if (isnan(value)) {
        printf("%8s  %-16s", "-", "");
    } else {
        printf("%8.3f  %-16s", value, interval);
    }
}

void tool_print_figure(const json_t *figure)
{
    tool_print_value(fl_json_get_number(figure, "value"), fl_json_get_number(figure, "ci_low"),
                     fl_json_get_number(figure, "ci_high"));
}

void tool_print_line(const char *what, const json_t *figure)
{
    const char *why = fl_json_get_string(figure, "why", "");
    printf("%-44s ", what);
    tool_print_figure(figure);
    printf(" %7lld  %s\n", (long long)fl_json_get_int(figure, "n", 0),
           why[0] != '\0' ? why : fl_json_get_string(figure, "method", ""));
}

void tool_print_metrics(const eval_metrics *m)
{
    printf("%-18s %8s  %-16s %7s %9s  %s\n", "metric", "value",
           "95 % interval", "n", "positive", "method");
    for (size_t i = 0; i < m->n; i++) {
        const eval_figure *f = &m->item[i].figure;
        printf("%-18s ", m->item[i].name);
        tool_print_value(f->value, f->ci_low, f->ci_high);
        printf(" %7lld ", (long long)f->n);
        if (f->n_positive >= 0) {
            printf("%9lld  ", (long long)f->n_positive);
        } else {
            printf("%9s  ", "-");
        }
        printf("%s\n", f->why[0] != '\0' ? f->why : f->method);
    }
}

/* The figures that matter first, of those that the subgroups have. */
static size_t find_columns(const char *columns[static 3], const json_t *subgroups)
{
    static const char *const first[] = {"auc", "sensitivity", "specificity", "dice", "hd95",
                                        "mae", "bias"};
    size_t n = 0, i;
    const json_t *entry;
    for (size_t m = 0; m < sizeof first / sizeof *first && n < 3; m++) {
        bool has = false;
        json_array_foreach(subgroups, i, entry) {
            has = has || json_object_get(entry, first[m]) != NULL;
        }
        if (has) {
            columns[n++] = first[m];
        }
    }
    return n;
}

static void print_subgroup(const json_t *entry, const char *const *columns, size_t n)
{
    char name[200];
    const char *finding = fl_json_get_string(entry, "class", "");
    snprintf(name, sizeof name, "%s%s%s = %s", finding, finding[0] != '\0' ? ": " : "",
             fl_json_get_string(entry, "attribute", ""), fl_json_get_string(entry, "value", ""));
    if (json_is_null(json_object_get(entry, "n"))) {
        printf("%-28s %7s  %s\n", name, "-", fl_json_get_string(entry, "why", "suppressed"));
        return;
    }
    printf("%-28s %7lld ", name, (long long)fl_json_get_int(entry, "n", 0));
    for (size_t m = 0; m < n; m++) {
        tool_print_figure(json_object_get(entry, columns[m]));
    }
    printf("\n");
}

void tool_print_subgroups(const json_t *subgroups)
{
    const char *columns[3];
    size_t n = find_columns(columns, subgroups), i;
    const json_t *entry;
    if (json_array_size(subgroups) == 0) {
        return;
    }
    printf("\n%-28s %7s ", "subgroup", "n");
    for (size_t m = 0; m < n; m++) {
        printf("%8s  %-16s", columns[m], "");
    }
    printf("\n");
    json_array_foreach(subgroups, i, entry) {
        print_subgroup(entry, columns, n);
    }
}
