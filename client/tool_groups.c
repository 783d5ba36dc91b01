/*
 * tool_groups.c - which attributes make subgroups, and where numbers are cut
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/tools.h"

enum {
    MAX_EDGES = 32,
    MANY_VALUES = 10,  // a number with more is cut
    MAX_GROUPS = 40,   // a text with more names cases, not groups
    BAND_BYTES = 64
};

/* How one column is grouped. */
typedef struct {
    const tool_column *column;
    double edges[MAX_EDGES];
    size_t n_edges;  // 0: values as they are
} grouping;

static bool parse_number(double *out, const char *text)
{
    char *end;
    *out = strtod(text, &end);
    return *text != '\0' && *end == '\0' && isfinite(*out);
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t count_distinct(const tool_column *c, size_t n)
{
    const char **sorted = fl_xcalloc(n, sizeof *sorted);
    memcpy(sorted, c->value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_texts);
    size_t distinct = n > 0;
    for (size_t i = 1; i < n; i++) {
        distinct += strcmp(sorted[i], sorted[i - 1]) != 0;
    }
    free(sorted);
    return distinct;
}

/* The column's numbers, sorted; the caller's.  NULL when a known value is
 * none. */
static double *sorted_numbers(size_t *n_out, const tool_column *c, size_t n)
{
    double *x = fl_xcalloc(n, sizeof *x);
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (c->value[i][0] == '\0') {
            continue;
        }
        if (!parse_number(&x[*n_out], c->value[i])) {
            free(x);
            return NULL;
        }
        ++*n_out;
    }
    qsort(x, *n_out, sizeof *x, compare_numbers);
    return x;
}

static void cut_at_quartiles(grouping *g, const double *sorted, size_t n)
{
    for (size_t q = 1; q <= 3; q++) {
        double edge = sorted[n * q / 4];
        if (edge > sorted[0] &&
            (g->n_edges == 0 || edge > g->edges[g->n_edges - 1])) {
            g->edges[g->n_edges++] = edge;
        }
    }
}

/* Groups a column as its values suggest; false when they suggest none. */
static bool group_by_itself(grouping *g, const tool_column *c, size_t n)
{
    *g = (grouping){.column = c};
    size_t distinct = count_distinct(c, n);
    if (distinct <= MANY_VALUES) {
        return true;
    }
    size_t n_numbers;
    double *sorted = sorted_numbers(&n_numbers, c, n);
    if (sorted == NULL || n_numbers == 0) {
        free(sorted);
        return distinct <= MAX_GROUPS;
    }
    cut_at_quartiles(g, sorted, n_numbers);
    free(sorted);
    return g->n_edges > 0;
}

/* "age:40,60" */
static fl_status group_as_asked(grouping *g, const tool_column *columns,
                                size_t n_columns, const char *text, fl_err *err)
{
    size_t name_bytes = strcspn(text, ":");
    *g = (grouping){0};
    for (size_t c = 0; c < n_columns; c++) {
        if (strlen(columns[c].name) == name_bytes &&
            strncmp(columns[c].name, text, name_bytes) == 0) {
            g->column = &columns[c];
        }
    }
    if (g->column == NULL) {
        return fl_fail(err, FL_EUSAGE, "--by: there is no attribute %.*s",
                       (int)name_bytes, text);
    }
    const char *at = text[name_bytes] == ':' ? text + name_bytes + 1 : "";
    while (*at != '\0') {
        char *end;
        double edge = strtod(at, &end);
        bool increases = g->n_edges == 0 || edge > g->edges[g->n_edges - 1];
        if (end == at || !isfinite(edge) || !increases ||
            g->n_edges == MAX_EDGES || (*end != ',' && *end != '\0')) {
            return fl_fail(err, FL_EUSAGE,
                           "--by: expected NAME:EDGE,EDGE with at most %d "
                           "edges that increase, found %s", MAX_EDGES, text);
        }
        g->edges[g->n_edges++] = edge;
        at = *end == ',' ? end + 1 : end;
    }
    return FL_OK;
}

static void add_groups(json_t *list, const grouping *g, const task_grouped *all)
{
    const tool_column *c = g->column;
    size_t n = all->scores->n;
    if (g->n_edges == 0) {
        task_subgroups(list, all, &(eval_attribute){c->name, c->value});
        return;
    }
    char *bands = fl_xcalloc(n, BAND_BYTES);
    const char **value = fl_xcalloc(n, sizeof *value);
    for (size_t i = 0; i < n; i++) {
        double number;
        bool known = parse_number(&number, c->value[i]);
        eval_band(bands + i * BAND_BYTES, BAND_BYTES, known ? number : NAN,
                  g->edges, g->n_edges);
        value[i] = bands + i * BAND_BYTES;
    }
    task_subgroups(list, all, &(eval_attribute){c->name, value});
    free(value);
    free(bands);
}

fl_status tool_subgroups(json_t **out, const tool_column *columns,
                         size_t n_columns, const task_grouped *all,
                         const fl_texts *by, fl_err *err)
{
    json_t *list = json_array();
    grouping g;
    *out = NULL;
    for (size_t i = 0; i < by->n; i++) {
        fl_status st = group_as_asked(&g, columns, n_columns, by->items[i], err);
        if (st != FL_OK) {
            json_decref(list);
            return st;
        }
        add_groups(list, &g, all);
    }
    for (size_t c = 0; c < n_columns && by->n == 0; c++) {
        if (group_by_itself(&g, &columns[c], all->scores->n)) {
            add_groups(list, &g, all);
        }
    }
    *out = list;
    return FL_OK;
}
