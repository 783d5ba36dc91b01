/*
 * metrics_multi.c - see metrics_multi.h
 */
#include "eval/metrics_multi.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/cases.h"
#include "eval/stats.h"

/* Figures that are shown for one finding only: they need a prevalence, or all its cases. */
enum { N_MEANS = EVAL_SENSITIVITY_AT_SPEC90 + 1 };

/* Finding k as two classes; what eval_cases wants of it. */
typedef struct {
    double *score;  // (n, 2)
    int *label;     // (n), -1: nobody said
    eval_predictions p;
} question;

static void question_init(question *q, const eval_findings *f, size_t k)
{
    q->score = fl_xcalloc(2 * f->n, sizeof *q->score);
    q->label = fl_xcalloc(f->n, sizeof *q->label);
    for (size_t i = 0; i < f->n; i++) {
        double p = f->score[i * f->K + k];
        double y = f->target[i * f->K + k];
        q->score[2 * i] = 1 - p;
        q->score[2 * i + 1] = p;
        q->label[i] = isnan(y) ? -1 : y > 0.5;
    }
    q->p = (eval_predictions){.n = f->n, .n_classes = 2, .score = q->score, .label = q->label,
                              .patient = f->patient, .positive = 1, .threshold = f->threshold};
}

static void question_clear(question *q)
{
    free(q->score);
    free(q->label);
}

/* All findings made ready, and the room that a replicate needs. */
typedef struct {
    const eval_findings *f;
    eval_cases *cases;  // (K)
    double *weight;     // (n) of the cases of one finding
} panel;

static void panel_init(panel *p, const eval_findings *f)
{
    p->f = f;
    p->cases = fl_xcalloc(f->K, sizeof *p->cases);
    p->weight = fl_xcalloc(f->n, sizeof *p->weight);
    for (size_t k = 0; k < f->K; k++) {
        question q;
        question_init(&q, f, k);
        eval_cases_init(&p->cases[k], &q.p);
        question_clear(&q);
    }
}

static void panel_clear(panel *p)
{
    for (size_t k = 0; k < p->f->K; k++) {
        eval_cases_clear(&p->cases[k]);
    }
    free(p->cases);
    free(p->weight);
}

/* Every metric of every finding, value (K, EVAL_N_VALUES), with these weights
 * of all n cases. */
static void panel_values(double *value, panel *p, const double *weight)
{
    for (size_t k = 0; k < p->f->K; k++) {
        size_t n = 0;
        for (size_t i = 0; i < p->f->n; i++) {
            if (!isnan(p->f->target[i * p->f->K + k])) {
                p->weight[n++] = weight[i];
            }
        }
        double *row = value + k * EVAL_N_VALUES;
        if (n == 0) {
            for (int m = 0; m < EVAL_N_VALUES; m++) {
                row[m] = NAN;
            }
            continue;
        }
        eval_cases_values(row, &p->cases[k], p->weight);
    }
}

/* Mean of metric m over the findings that have it; NaN where none does. */
static double mean_of(const double *value, size_t K, int m, int *n_defined)
{
    double sum = 0;
    int n = 0;
    for (size_t k = 0; k < K; k++) {
        double x = value[k * EVAL_N_VALUES + (size_t)m];
        if (isfinite(x)) {
            sum += x;
            n++;
        }
    }
    *n_defined = n;
    return n > 0 ? sum / n : NAN;
}

static double *all_ones(size_t n)
{
    double *weight = fl_xcalloc(n, sizeof *weight);
    for (size_t i = 0; i < n; i++) {
        weight[i] = 1;
    }
    return weight;
}

/* Cases and patients that the mean of metric m rests on; no finding is the positive one. */
static void count(eval_figure *out, const panel *p, const eval_patients *patients, int m,
                  const double *value)
{
    const eval_findings *f = p->f;
    bool *in = fl_xcalloc(f->n, sizeof *in);
    *out = (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN, .n_positive = -1};
    for (size_t k = 0; k < f->K; k++) {
        if (!isfinite(value[k * EVAL_N_VALUES + (size_t)m])) {
            continue;
        }
        for (size_t i = 0; i < f->n; i++) {
            double y = f->target[i * f->K + k];
            in[i] = in[i] || !isnan(y);
        }
    }
    for (size_t i = 0; i < f->n; i++) {
        out->n += in[i];
    }
    out->n_patients = (int64_t)eval_patients_count(patients, in);
    free(in);
}

/* Replicates of the means of all metrics: table (N_MEANS, R). */
static double *bootstrap(panel *p, const eval_patients *patients, size_t R, double *value,
                         double *weight, uint64_t seed)
{
    double *table = fl_xcalloc(R, N_MEANS * sizeof *table);
    double *drawn = fl_xcalloc(patients->n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < R; r++) {
        int n_defined;
        eval_patients_resample(weight, drawn, patients, &rng);
        panel_values(value, p, weight);
        for (int m = 0; m < N_MEANS; m++) {
            table[(size_t)m * R + r] = mean_of(value, p->f->K, m, &n_defined);
        }
    }
    free(drawn);
    return table;
}

static void interval(eval_figure *f, double *replicate, size_t R, const eval_patients *patients)
{
    if (f->n_patients < EVAL_FEW) {
        char why[sizeof f->why];
        snprintf(why, sizeof why, "too few patients: %lld; %d are needed", (long long)f->n_patients,
                 EVAL_FEW);
        eval_figure_no_interval(f, why);
        return;
    }
    eval_percentile(f, replicate, R, patients->repeats);
}

static void means(eval_metrics *out, panel *p, const eval_patients *patients, uint64_t seed)
{
    size_t K = p->f->K, R = eval_n_replicates(p->f->n);
    double *value = fl_xcalloc(K, EVAL_N_VALUES * sizeof *value);
    double *again = fl_xcalloc(K, EVAL_N_VALUES * sizeof *again);
    double *weight = all_ones(p->f->n);
    panel_values(value, p, weight);
    double *table = bootstrap(p, patients, R, again, weight, seed);
    out->n = N_MEANS;
    for (int m = 0; m < N_MEANS; m++) {
        eval_figure *f = &out->item[m].figure;
        int n_defined;
        snprintf(out->item[m].name, sizeof out->item[m].name, "%s", eval_class_metric_names[m]);
        count(f, p, patients, m, value);
        f->value = mean_of(value, K, m, &n_defined);
        if (n_defined == 0) {
            eval_figure_undefined(f, p->f->n == 0 ? "no cases" : "no finding has it");
        } else if (m == EVAL_ECE) {
            eval_figure_no_interval(f, "no interval for a mean of calibration errors");
        } else {
            interval(f, table + (size_t)m * R, R, patients);
        }
        if (n_defined > 0 && (size_t)n_defined < K && f->why[0] == '\0') {
            snprintf(f->why, sizeof f->why, "mean over %d of %zu findings", n_defined, K);
        }
    }
    free(table);
    free(weight);
    free(again);
    free(value);
}

void eval_finding(eval_metrics *out, const eval_findings *f, size_t k, uint64_t seed)
{
    question q;
    FL_REQUIRE(k < f->K);
    question_init(&q, f, k);
    eval_classify(out, &q.p, seed);
    question_clear(&q);
}

void eval_multilabel(eval_metrics *out, const eval_findings *f, uint64_t seed)
{
    panel p;
    eval_patients patients;
    eval_patients_init(&patients, f->patient, f->n);
    panel_init(&p, f);
    means(out, &p, &patients, seed);
    panel_clear(&p);
    eval_patients_clear(&patients);
}

// ----------------------------------------------------------------- difference

/* Mean of b - a over the findings that have both. */
static double mean_difference(const double *a, const double *b, size_t K, int m)
{
    double sum = 0;
    int n = 0;
    for (size_t k = 0; k < K; k++) {
        double d = b[k * EVAL_N_VALUES + (size_t)m] - a[k * EVAL_N_VALUES + (size_t)m];
        if (isfinite(d)) {
            sum += d;
            n++;
        }
    }
    return n > 0 ? sum / n : NAN;
}

void eval_multilabel_differences(eval_metrics *out, const eval_findings *a, const eval_findings *b,
                                 uint64_t seed)
{
    FL_REQUIRE(a->n == b->n && a->K == b->K);
    size_t K = a->K, n = a->n, R = eval_n_replicates(n);
    panel from, to;
    eval_patients patients;
    eval_patients_init(&patients, a->patient, n);
    panel_init(&from, a);
    panel_init(&to, b);
    double *value_a = fl_xcalloc(K, EVAL_N_VALUES * sizeof *value_a);
    double *value_b = fl_xcalloc(K, EVAL_N_VALUES * sizeof *value_b);
    double *table = fl_xcalloc(R, N_MEANS * sizeof *table);
    double *drawn = fl_xcalloc(patients.n_patients, sizeof *drawn);
    double *weight = all_ones(n);
    panel_values(value_a, &from, weight);
    panel_values(value_b, &to, weight);
    out->n = N_MEANS;
    for (int m = 0; m < N_MEANS; m++) {
        eval_figure *f = &out->item[m].figure;
        snprintf(out->item[m].name, sizeof out->item[m].name, "%s", eval_class_metric_names[m]);
        count(f, &from, &patients, m, value_a);
        f->value = mean_difference(value_a, value_b, K, m);
    }
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < R && n > 0; r++) {
        eval_patients_resample(weight, drawn, &patients, &rng);
        panel_values(value_a, &from, weight);
        panel_values(value_b, &to, weight);
        for (int m = 0; m < N_MEANS; m++) {
            table[(size_t)m * R + r] = mean_difference(value_a, value_b, K, m);
        }
    }
    for (int m = 0; m < N_MEANS; m++) {
        eval_figure *f = &out->item[m].figure;
        if (isnan(f->value)) {
            eval_figure_undefined(f, n == 0 ? "no cases" : "no finding has it");
        } else if (m == EVAL_ECE) {
            eval_figure_no_interval(f, "no interval for a mean of calibration errors");
        } else {
            interval(f, table + (size_t)m * R, R, &patients);
        }
    }
    free(weight);
    free(drawn);
    free(table);
    free(value_b);
    free(value_a);
    panel_clear(&to);
    panel_clear(&from);
    eval_patients_clear(&patients);
}

// -------------------------------------------------------------- each by itself

void eval_multilabel_each(json_t *list, const char *const *names, const eval_findings *f,
                          int64_t min_cell, uint64_t seed)
{
    eval_patients patients;
    bool *in = fl_xcalloc(f->n, sizeof *in);
    eval_patients_init(&patients, f->patient, f->n);
    for (size_t k = 0; k < f->K; k++) {
        int64_t n = 0;
        for (size_t i = 0; i < f->n; i++) {
            in[i] = f->target[i * f->K + k] > 0.5;
            n += in[i];
        }
        bool hidden = n > 0 && (int64_t)eval_patients_count(&patients, in) < min_cell;
        json_t *entry = json_pack("{s:s}", "class", names[k]);
        json_object_set_new(entry, "n", hidden ? json_null() : json_integer(n));
        if (hidden) {
            eval_suppressed_why(entry, min_cell);
        } else {
            eval_metrics one;
            eval_finding(&one, f, k, seed);
            json_t *figures = eval_metrics_json(&one);
            json_object_update(entry, figures);
            json_decref(figures);
        }
        json_array_append_new(list, entry);
    }
    eval_patients_clear(&patients);
    free(in);
}
