/*
 * gaps.c - see gaps.h
 */
#include "eval/gaps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"

static const double level = 0.04;  // of all tests of a list together: 5 % with room for their error

/* -------------------------------------------------------------- corrections */

typedef struct {
    double p;
    size_t at;
} tested;

static int by_p(const void *a, const void *b)
{
    const tested *x = a, *y = b;
    if (x->p != y->p) {
        return x->p < y->p ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

void eval_holm(double *p, size_t n)
{
    tested *order = fl_xcalloc(n, sizeof *order);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i])) {
            order[m++] = (tested){p[i], i};
        }
    }
    qsort(order, m, sizeof *order, by_p);
    double highest = 0;
    for (size_t i = 0; i < m; i++) {
        highest = fmax(highest, fmin(1, order[i].p * (double)(m - i)));
        p[order[i].at] = highest;
    }
    free(order);
}

void eval_gaps_correct(json_t *list)
{
    size_t n = 0, at, m = 0;
    json_t *entry, *figure;
    const char *key;
    double *p = NULL;
    json_array_foreach(list, at, entry) {
        n += json_object_size(entry);
    }
    p = fl_xcalloc(n, sizeof *p);
    json_array_foreach(list, at, entry) {
        json_object_foreach(entry, key, figure) {
            p[m++] = fl_json_get_number(figure, "p");
        }
    }
    eval_holm(p, n);
    m = 0;
    json_array_foreach(list, at, entry) {
        json_object_foreach(entry, key, figure) {
            if (json_is_object(figure) && !isnan(p[m])) {
                json_object_set_new(figure, "p_holm", json_real(p[m]));
                json_object_set_new(figure, "flagged", json_boolean(p[m] < level));
            }
            m++;
        }
    }
    free(p);
}

/* ------------------------------------------------------------------ figures */

eval_figure eval_gap_none(void)
{
    return (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN, .n_positive = -1};
}

eval_figure eval_gap_start(const eval_figure *a, const eval_figure *b)
{
    eval_figure f = eval_gap_none();
    f.n = a->n + b->n;
    f.n_patients = a->n_patients + b->n_patients;
    f.value = a->value - b->value;
    if (isnan(f.value)) {
        eval_figure_undefined(&f, isnan(a->value) ? a->why : b->why);
    } else if (isnan(a->ci_low) || isnan(b->ci_low)) {
        eval_figure_no_interval(&f, isnan(a->ci_low) ? a->why : b->why);
    }
    return f;
}

void eval_gap_put(json_t *entry, const char *name, const eval_figure *f, double p)
{
    json_t *json = eval_figure_json(f);
    if (!isnan(p)) {
        json_object_set_new(json, "p", json_real(p));
    }
    json_object_set_new(entry, name, json);
}

/* -------------------------------------------------------------------- means */

/* Degrees of freedom after Welch and Satterthwaite. */
static double degrees_of(double square_a, double degrees_a, double square_b, double degrees_b)
{
    double square = square_a + square_b;
    return square * square / (square_a * square_a / degrees_a + square_b * square_b / degrees_b);
}

double eval_welch_p(double gap, double square_a, double degrees_a, double square_b,
                    double degrees_b)
{
    double degrees = degrees_of(square_a, degrees_a, square_b, degrees_b);
    return eval_student_p(gap / sqrt(square_a + square_b), (int)floor(degrees));
}

/* A mean and its squared standard error by patient; the ends of its interval stand for one. */
static eval_figure mean_of(double *square, const double *value, const bool *side,
                           const eval_patients *patients)
{
    eval_figure f = eval_gap_none();
    bool *in = fl_xcalloc(patients->n, sizeof *in);
    double *of_patient = fl_xcalloc(patients->n_patients, sizeof *of_patient);
    double sum = 0;
    for (size_t i = 0; i < patients->n; i++) {
        in[i] = side[i] && !isnan(value[i]);
        sum += in[i] ? value[i] : 0;
        f.n += in[i];
    }
    double n = (double)f.n, G = (double)eval_patients_count(patients, in);
    f.n_patients = (int64_t)G;
    f.value = f.n > 0 ? sum / n : NAN;
    *square = 0;
    for (size_t i = 0; i < patients->n; i++) {
        of_patient[patients->of[i]] += in[i] ? value[i] - f.value : 0;
    }
    for (size_t g = 0; g < patients->n_patients; g++) {
        *square += of_patient[g] * of_patient[g] / (n * n);
    }
    if (f.n == 0) {
        eval_figure_undefined(&f, "no cases");
    } else if (G < EVAL_FEW) {
        eval_figure_no_interval(&f, "too few patients in a group: 10 are needed");
    } else {
        *square *= G / (G - 1);
        f.ci_low = f.ci_high = f.value;
    }
    free(of_patient);
    free(in);
    return f;
}

eval_figure eval_gap_of_means(double *p, const double *value, const bool *in, const bool *others,
                              const eval_patients *patients, int64_t least)
{
    double square_a, square_b;
    eval_figure a = mean_of(&square_a, value, in, patients);
    eval_figure b = mean_of(&square_b, value, others, patients), f = eval_gap_start(&a, &b);
    *p = NAN;
    if (f.method[0] != '\0') {
        return f;
    }
    double degrees_a = (double)a.n_patients - 1, degrees_b = (double)b.n_patients - 1;
    if (square_a + square_b <= 0) {
        eval_figure_no_interval(&f, "the cases do not vary");
        return f;
    }
    f.se = sqrt(square_a + square_b);
    double degrees = degrees_of(square_a, degrees_a, square_b, degrees_b);
    double half = eval_student_quantile((int)floor(degrees)) * f.se;
    f.ci_low = f.value - half;
    f.ci_high = f.value + half;
    snprintf(f.method, sizeof f.method, "Welch, by patient");
    if (a.n_patients >= least && b.n_patients >= least) {
        *p = eval_welch_p(f.value, square_a, degrees_a, square_b, degrees_b);
    }
    return f;
}

/* -------------------------------------------------------------------- cells */

static size_t count(const bool *in, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        k += in[i];
    }
    return k;
}

static json_t *entry_new(const char *attribute, const char *value, const char *other,
                         const bool *in, const bool *others, size_t n)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "attribute", eval_text_json(attribute));
    json_object_set_new(entry, "value", eval_text_json(value));
    json_object_set_new(entry, "other", eval_text_json(other));
    json_object_set_new(entry, "n", json_integer((json_int_t)count(in, n)));
    json_object_set_new(entry, "n_other", json_integer((json_int_t)count(others, n)));
    return entry;
}

void eval_gaps_each(json_t *list, const eval_attribute *attribute, const eval_predictions *cases,
                    int64_t min_cell, eval_gap_compare *compare, void *ctx)
{
    eval_cell *cells = NULL;
    size_t n_cells = eval_cells_find(&cells, attribute->value, cases, min_cell);
    size_t shown[2] = {0, 0}, n_shown = 0;
    for (size_t at = 0; at < n_cells && n_cells <= EVAL_MAX_CELLS; at++) {
        cells[at].suppressed = cells[at].suppressed || strcmp(cells[at].value, EVAL_UNKNOWN) == 0;
        if (!cells[at].suppressed) {
            shown[n_shown > 0] = at;
            n_shown++;
        }
    }
    for (size_t at = 0; at < n_cells && n_shown >= 2; at++) {
        if (cells[at].suppressed || (n_shown == 2 && at != shown[0])) {
            continue;
        }
        bool *others = fl_xcalloc(cases->n, sizeof *others);
        for (size_t i = 0; i < cases->n; i++) {
            for (size_t k = 0; k < n_cells; k++) {
                others[i] = others[i] || (k != at && !cells[k].suppressed && cells[k].in[i]);
            }
        }
        json_t *entry = entry_new(attribute->name, cells[at].value,
                                  n_shown == 2 ? cells[shown[1]].value : "the others",
                                  cells[at].in, others, cases->n);
        compare(ctx, entry, cells[at].in, others);
        json_array_append_new(list, entry);
        free(others);
    }
    eval_cells_free(cells, n_cells);
}
