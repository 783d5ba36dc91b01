/*
 * subgroups.c - the same metrics for the cases that share an attribute
 *
 * A cell of few patients could tell about one of them, so it is suppressed.
 * The total is public: if the suppressed cells together were still few, what
 * is shown would reveal them.  So the smallest of the shown cells goes too,
 * until those that are missing could be any of enough patients.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/eval.h"
#include "eval/groups.h"
#include "eval/patients.h"
#include "eval/stats.h"

void eval_band(char *out, size_t n, double value, const double *edges, size_t n_edges)
{
    FL_REQUIRE(n_edges > 0);
    if (isnan(value)) {
        snprintf(out, n, "%s", EVAL_UNKNOWN);
    } else if (value < edges[0]) {
        snprintf(out, n, "under %g", edges[0]);
    } else if (value >= edges[n_edges - 1]) {
        snprintf(out, n, "%g+", edges[n_edges - 1]);
    } else {
        size_t i = 0;
        while (value >= edges[i + 1]) {
            i++;
        }
        snprintf(out, n, "%g-%g", edges[i], edges[i + 1]);
    }
}

/* Bands by their number ("under 40" first), then names, "unknown" last. */
static int by_value(const void *a, const void *b)
{
    const char *x = ((const eval_cell *)a)->value, *y = ((const eval_cell *)b)->value;
    bool last_x = strcmp(x, EVAL_UNKNOWN) == 0, last_y = strcmp(y, EVAL_UNKNOWN) == 0;
    if (last_x != last_y) {
        return last_x ? 1 : -1;
    }
    bool under_x = strncmp(x, "under ", 6) == 0, under_y = strncmp(y, "under ", 6) == 0;
    if (under_x != under_y) {
        return under_x ? -1 : 1;
    }
    if (isdigit((unsigned char)x[0]) && isdigit((unsigned char)y[0])) {
        double number_x = strtod(x, NULL), number_y = strtod(y, NULL);
        if (number_x != number_y) {
            return number_x < number_y ? -1 : 1;
        }
    }
    return strcmp(x, y);
}

static const char *text_of(const char *value)
{
    return value == NULL || value[0] == '\0' ? EVAL_UNKNOWN : value;
}

/* One cell a distinct value, sorted; stops at EVAL_MAX_CELLS + 1. */
static size_t find_all(eval_cell **out, const char *const *value, const eval_predictions *p)
{
    eval_cell *cells = NULL;
    size_t n_cells = 0;
    for (size_t i = 0; i < p->n && n_cells <= EVAL_MAX_CELLS; i++) {
        if (p->label[i] < 0) {
            continue;
        }
        size_t at = 0;
        while (at < n_cells && strcmp(cells[at].value, text_of(value[i])) != 0) {
            at++;
        }
        if (at == n_cells) {
            cells = fl_xrealloc(cells, ++n_cells, sizeof *cells);
            cells[at] = (eval_cell){.value = text_of(value[i])};
            cells[at].in = fl_xcalloc(p->n, sizeof *cells[at].in);
        }
        cells[at].in[i] = true;
        cells[at].n_cases++;
    }
    eval_patients patients;
    eval_patients_init(&patients, p->patient, p->n);
    for (size_t at = 0; at < n_cells; at++) {
        cells[at].n_patients = eval_patients_count(&patients, cells[at].in);
    }
    eval_patients_clear(&patients);
    if (n_cells > 0) {
        qsort(cells, n_cells, sizeof *cells, by_value);
    }
    *out = cells;
    return n_cells;
}

void eval_suppress(bool *hidden, const int64_t *patients, size_t n_cells, int64_t min_cell)
{
    size_t n_hidden = 0;
    int64_t in_hidden = 0;
    for (size_t at = 0; at < n_cells; at++) {
        hidden[at] = patients[at] > 0 && patients[at] < min_cell;
        in_hidden += hidden[at] ? patients[at] : 0;
        n_hidden += hidden[at];
    }
    while (n_hidden > 0 && (n_hidden == 1 || in_hidden < min_cell)) {
        size_t smallest = n_cells;
        for (size_t at = 0; at < n_cells; at++) {
            if (!hidden[at] && patients[at] > 0 &&
                (smallest == n_cells || patients[at] < patients[smallest])) {
                smallest = at;
            }
        }
        if (smallest == n_cells) {
            return;
        }
        hidden[smallest] = true;
        in_hidden += patients[smallest];
        n_hidden++;
    }
}

void eval_suppressed_why(json_t *entry, int64_t min_cell)
{
    char why[96];
    snprintf(why, sizeof why, "under %lld patients, or hidden so that such a cell stays hidden",
             (long long)min_cell);
    json_object_set_new(entry, "why", json_string(why));
}

static void suppress(eval_cell *cells, size_t n_cells, int64_t min_cell)
{
    bool *hidden = fl_xcalloc(n_cells, sizeof *hidden);
    int64_t *patients = fl_xcalloc(n_cells, sizeof *patients);
    for (size_t at = 0; at < n_cells; at++) {
        patients[at] = (int64_t)cells[at].n_patients;
    }
    eval_suppress(hidden, patients, n_cells, min_cell);
    for (size_t at = 0; at < n_cells; at++) {
        cells[at].suppressed = hidden[at];
    }
    free(hidden);
    free(patients);
}

size_t eval_cells_find(eval_cell **out, const char *const *value, const eval_predictions *p,
                       int64_t min_cell)
{
    size_t n_cells = find_all(out, value, p);
    if (n_cells <= EVAL_MAX_CELLS) {
        suppress(*out, n_cells, min_cell);
    }
    return n_cells;
}

void eval_cells_free(eval_cell *cells, size_t n_cells)
{
    for (size_t at = 0; at < n_cells; at++) {
        free(cells[at].in);
    }
    free(cells);
}

void eval_classified_figures(void *ctx, json_t *entry, const bool *in)
{
    const eval_classified *c = ctx;
    const eval_predictions *p = c->p;
    eval_metrics metrics;
    int *label = fl_xcalloc(p->n, sizeof *label);
    for (size_t i = 0; i < p->n; i++) {
        label[i] = in[i] ? p->label[i] : -1;
    }
    eval_predictions part = *p;
    part.label = label;
    eval_classify(&metrics, &part, c->seed);
    free(label);
    for (size_t m = 0; m < metrics.n; m++) {
        json_object_set_new(entry, metrics.item[m].name, eval_figure_json(&metrics.item[m].figure));
    }
}

json_t *eval_text_json(const char *text)
{
    json_t *json = json_string(text);
    if (json == NULL) {
        char *plain = fl_xstrdup(text);
        for (char *c = plain; *c != '\0'; c++) {
            *c = (unsigned char)*c < 0x80 ? *c : '?';
        }
        json = json_string(plain);
        free(plain);
    }
    return json;
}

static json_t *entry_new(const char *attribute, const char *value)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "attribute", eval_text_json(attribute));
    json_object_set_new(entry, "value", eval_text_json(value));
    return entry;
}

static json_t *suppressed_new(const char *attribute, const char *value)
{
    json_t *entry = entry_new(attribute, value);
    json_object_set_new(entry, "n", json_null());
    return entry;
}

void eval_subgroups(json_t *list, const char *attribute, const char *const *value,
                    const eval_predictions *p, int64_t min_cell, uint64_t seed)
{
    eval_classified of = {p, seed};
    eval_subgroups_by(list, attribute, value, p, min_cell, eval_classified_figures, &of);
}

void eval_subgroups_by(json_t *list, const char *attribute, const char *const *value,
                       const eval_predictions *p, int64_t min_cell, eval_group_figures *figures,
                       void *ctx)
{
    eval_cell *cells = NULL;
    size_t n_cells = eval_cells_find(&cells, value, p, min_cell);
    bool too_many = n_cells > EVAL_MAX_CELLS;
    if (too_many) {
        json_t *entry = suppressed_new(attribute, "any");
        json_object_set_new(entry, "why", json_string("too many different values for subgroups"));
        json_array_append_new(list, entry);
    }
    for (size_t at = 0; at < n_cells; at++) {
        if (!too_many && cells[at].suppressed) {
            json_t *entry = suppressed_new(attribute, cells[at].value);
            eval_suppressed_why(entry, min_cell);
            json_array_append_new(list, entry);
        } else if (!too_many) {
            json_t *entry = entry_new(attribute, cells[at].value);
            json_object_set_new(entry, "n", json_integer((json_int_t)cells[at].n_cases));
            figures(ctx, entry, cells[at].in);
            json_array_append_new(list, entry);
        }
    }
    eval_cells_free(cells, n_cells);
}
