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

static void print_subgroup_value(const json_t *entry, const char *metric)
{
    const json_t *figure = json_object_get(entry, metric);
    tool_print_value(fl_json_get_number(figure, "value"),
                fl_json_get_number(figure, "ci_low"),
                fl_json_get_number(figure, "ci_high"));
}

void tool_print_subgroups(const json_t *subgroups)
{
    size_t i;
    json_t *entry;
    if (json_array_size(subgroups) == 0) {
        return;
    }
    printf("\n%-28s %7s %8s  %-16s%8s  %-16s%8s  %-16s\n", "subgroup", "n",
           "auc", "", "sens", "", "spec", "");
    json_array_foreach(subgroups, i, entry) {
        char name[160];
        snprintf(name, sizeof name, "%s = %s",
                 fl_json_get_string(entry, "attribute", ""),
                 fl_json_get_string(entry, "value", ""));
        if (json_is_null(json_object_get(entry, "n"))) {
            printf("%-28s %7s  %s\n", name, "-",
                   fl_json_get_string(entry, "why", "suppressed"));
            continue;
        }
        printf("%-28s %7lld ", name, (long long)fl_json_get_int(entry, "n", 0));
        print_subgroup_value(entry, "auc");
        print_subgroup_value(entry, "sensitivity");
        print_subgroup_value(entry, "specificity");
        printf("\n");
    }
}
