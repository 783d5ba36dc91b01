/*
 * robustness.c - see robustness.h
 */
#include "eval/robustness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/bootstrap.h"
#include "eval/stats.h"

typedef struct {
    const char *name;
    bool higher_is_better;
    double *value;      // (n_points)
    double *replicate;  // (n_points, n_replicates)
    size_t fewest;      // patients of the rarest class it counts by
    eval_figure counts; // of the cases, without a value
    char why[96];       // it is undefined at the clean point; ""
} metric;

struct eval_shift {
    size_t n_shifts, n_severities, n_points;
    uint64_t seed;
    size_t n_replicates;  // 0: too few patients
    bool by_patient;
    metric metric[EVAL_SHIFT_METRICS];
    size_t n_metrics;
    double *kept;    // (n_points, n_kept) one value a case, until every point has them
    int64_t *whose;  // (n_kept) patients
    size_t n_kept, n_taken;
};

eval_shift *eval_shift_new(size_t n_shifts, size_t n_severities, uint64_t seed)
{
    eval_shift *s = fl_xcalloc(1, sizeof *s);
    FL_REQUIRE(n_shifts > 0 && n_severities > 0);
    *s = (eval_shift){.n_shifts = n_shifts, .n_severities = n_severities, .seed = seed};
    s->n_points = 1 + n_shifts * n_severities;
    return s;
}

void eval_shift_destroy(eval_shift **s)
{
    if (*s == NULL) {
        return;
    }
    for (size_t m = 0; m < (*s)->n_metrics; m++) {
        free((*s)->metric[m].value);
        free((*s)->metric[m].replicate);
    }
    free((*s)->kept);
    free((*s)->whose);
    FL_FREE(*s);
}

size_t eval_shift_point(const eval_shift *s, size_t c, size_t v)
{
    FL_REQUIRE(c < s->n_shifts && v < s->n_severities);
    return 1 + c * s->n_severities + v;
}

// --------------------------------------------------------------------- taking

/* Metrics come with the clean point, in order. */
static metric *metric_at(eval_shift *s, size_t m, const char *name, size_t n_replicates)
{
    if (m < s->n_metrics) {
        FL_REQUIRE(strcmp(s->metric[m].name, name) == 0 && n_replicates == s->n_replicates);
        return &s->metric[m];
    }
    FL_REQUIRE(m == s->n_metrics && m < EVAL_SHIFT_METRICS);
    s->n_replicates = n_replicates;
    metric *new = &s->metric[s->n_metrics++];
    new->name = name;
    new->higher_is_better = eval_metric_higher_is_better(name);
    new->value = fl_xcalloc(s->n_points, sizeof *new->value);
    new->replicate = fl_xcalloc(s->n_points * n_replicates, sizeof *new->replicate);
    return new;
}

static double *replicates_at(const eval_shift *s, const metric *m, size_t point)
{
    return m->replicate + point * s->n_replicates;
}

void eval_shift_classify(eval_shift *s, size_t point, const eval_predictions *p)
{
    static const eval_class_metric taken[EVAL_SHIFT_METRICS] = {EVAL_ACCURACY, EVAL_AUC, EVAL_F1};
    double value[EVAL_N_VALUES];
    eval_cases c;

    FL_REQUIRE(point < s->n_points);
    eval_cases_init(&c, p);
    eval_cases_values_all(value, &c);
    size_t R = c.patients.n_patients >= EVAL_FEW && !c.damaged ? eval_n_replicates(c.n) : 0;
    double *table = R > 0 ? eval_bootstrap(&c, R, s->seed) : NULL;
    s->by_patient = c.patients.repeats;
    for (size_t i = 0; i < EVAL_SHIFT_METRICS; i++) {
        metric *m = metric_at(s, i, eval_class_metric_names[taken[i]],
                              point == 0 ? R : s->n_replicates);
        m->value[point] = value[taken[i]];
        if (point == 0) {
            eval_cases_figure(&m->counts, &c);
            m->fewest = taken[i] == EVAL_ACCURACY ? c.patients.n_patients : eval_cases_fewest(&c);
        }
        if (isnan(value[taken[i]]) && m->why[0] == '\0') {
            snprintf(m->why, sizeof m->why, "%s", eval_cases_why(&c, taken[i]));
        }
        for (size_t r = 0; r < s->n_replicates; r++) {
            replicates_at(s, m, point)[r] = R > 0 ? table[(size_t)taken[i] * R + r] : NAN;
        }
    }
    free(table);
    eval_cases_clear(&c);
}

static double weighted_mean(const double *value, const double *weight, size_t n)
{
    double sum = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        sum += weight[i] * value[i];
        total += weight[i];
    }
    return total > 0 ? sum / total : NAN;
}

/* The point's mean, and that of every draw, over the n cases of patients. */
static void take_point(eval_shift *s, metric *m, size_t point, const double *value,
                       const eval_patients *patients, size_t n)
{
    double *weight = fl_xcalloc(n, sizeof *weight);
    double *drawn = fl_xcalloc(patients->n_patients, sizeof *drawn);
    fl_rng rng;
    for (size_t i = 0; i < n; i++) {
        weight[i] = 1;
    }
    m->value[point] = weighted_mean(value, weight, n);
    if (!isfinite(m->value[point]) && m->why[0] == '\0') {
        snprintf(m->why, sizeof m->why, "%s",
                 n == 0 ? "no cases" : "a value is not a finite number");
    }
    fl_rng_init(&rng, s->seed, "bootstrap", "", 0);
    for (size_t r = 0; r < s->n_replicates; r++) {
        eval_patients_resample(weight, drawn, patients, &rng);
        replicates_at(s, m, point)[r] = weighted_mean(value, weight, n);
    }
    free(drawn);
    free(weight);
}

static bool is_judged_everywhere(const eval_shift *s, size_t i)
{
    for (size_t point = 0; point < s->n_points; point++) {
        if (isnan(s->kept[point * s->n_kept + i])) {
            return false;
        }
    }
    return true;
}

/* All points are here: the same cases at each of them, so that losses are paired. */
static void settle(eval_shift *s, const char *name)
{
    size_t n = 0;
    size_t *index = fl_xcalloc(s->n_kept, sizeof *index);
    int64_t *whose = fl_xcalloc(s->n_kept, sizeof *whose);
    double *value = fl_xcalloc(s->n_kept, sizeof *value);
    eval_patients patients;
    for (size_t i = 0; i < s->n_kept; i++) {
        if (is_judged_everywhere(s, i)) {
            whose[n] = s->whose[i];
            index[n++] = i;
        }
    }
    eval_patients_init(&patients, whose, n);
    metric *m = metric_at(s, 0, name, patients.n_patients >= EVAL_FEW ? eval_n_replicates(n) : 0);
    m->fewest = patients.n_patients;
    m->counts = (eval_figure){.n = (int64_t)n, .n_positive = -1,
                              .n_patients = (int64_t)patients.n_patients};
    s->by_patient = patients.repeats;
    for (size_t point = 0; point < s->n_points; point++) {
        for (size_t i = 0; i < n; i++) {
            value[i] = s->kept[point * s->n_kept + index[i]];
        }
        take_point(s, m, point, value, &patients, n);
    }
    eval_patients_clear(&patients);
    free(value);
    free(whose);
    free(index);
}

void eval_shift_values(eval_shift *s, size_t point, const char *name, const double *value,
                       const int64_t *patient, size_t n)
{
    FL_REQUIRE(point < s->n_points && s->n_taken < s->n_points);
    if (s->n_taken == 0) {
        s->n_kept = n;
        s->kept = fl_xcalloc(s->n_points * n, sizeof *s->kept);
        s->whose = fl_xcalloc(n, sizeof *s->whose);
        for (size_t i = 0; i < n; i++) {
            s->whose[i] = patient != NULL ? patient[i] : (int64_t)i;
        }
    }
    FL_REQUIRE(n == s->n_kept);
    for (size_t i = 0; i < n; i++) {
        s->kept[point * n + i] = value[i];
    }
    if (++s->n_taken == s->n_points) {
        settle(s, name);
    }
}

size_t eval_shift_n_metrics(const eval_shift *s)
{
    return s->n_metrics;
}

const char *eval_shift_metric(const eval_shift *s, size_t m)
{
    FL_REQUIRE(m < s->n_metrics);
    return s->metric[m].name;
}

// -------------------------------------------------------------------- figures

/* A quantity of a metric's values at all points: at[point] is where to look. */
typedef double (*quantity)(const eval_shift *s, const metric *m, const double *at, size_t stride,
                           int c, int v);

/* Value, and interval from the quantity of every draw. */
static void figure_of(eval_figure *out, const eval_shift *s, const metric *m, quantity of, int c,
                      int v, const char *why_undefined)
{
    *out = m->counts;
    out->value = of(s, m, m->value, 1, c, v);
    out->ci_low = out->ci_high = NAN;
    snprintf(out->method, sizeof out->method, "none");
    if (!isfinite(out->value)) {
        eval_figure_undefined(out, m->why[0] != '\0' ? m->why : why_undefined);
        return;
    }
    if (m->fewest < EVAL_FEW || s->n_replicates == 0) {
        char why[sizeof out->why];
        snprintf(why, sizeof why, "too few %s%s: %zu; %d are needed",
                 s->by_patient ? "patients" : "cases",
                 m->fewest < (size_t)m->counts.n_patients ? " of one class" : "", m->fewest,
                 EVAL_FEW);
        eval_figure_no_interval(out, why);
        return;
    }
    double *replicate = fl_xcalloc(s->n_replicates, sizeof *replicate);
    for (size_t r = 0; r < s->n_replicates; r++) {
        double x = of(s, m, m->replicate + r, s->n_replicates, c, v);
        replicate[r] = isfinite(x) ? x : NAN;
    }
    eval_percentile(out, replicate, s->n_replicates, s->by_patient);
    if (out->why[0] == '\0') {
        snprintf(out->method, sizeof out->method, "paired bootstrap %zu%s", s->n_replicates,
                 s->by_patient ? ", by patient" : "");
    }
    free(replicate);
}

static double error_of(const metric *m, double value)
{
    return m->higher_is_better ? 1 - value : value;
}

/* v: EVAL_SHIFT_ALL for the mean over severities; likewise c, over shifts. */
static double mean_value(const eval_shift *s, const double *at, size_t stride, int c, int v)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n_shifts; i++) {
        for (size_t k = 0; k < s->n_severities; k++) {
            if ((c < 0 || (size_t)c == i) && (v < 0 || (size_t)v == k)) {
                sum += at[eval_shift_point(s, i, k) * stride];
                n++;
            }
        }
    }
    return sum / (double)n;
}

static double plain(const eval_shift *s, const metric *m, const double *at, size_t stride, int c,
                    int v)
{
    (void)m;
    return c < 0 ? at[0] : at[eval_shift_point(s, (size_t)c, (size_t)v) * stride];
}

static double lost(const eval_shift *s, const metric *m, const double *at, size_t stride, int c,
                   int v)
{
    return error_of(m, mean_value(s, at, stride, c, v)) - error_of(m, at[0]);
}

static double ratio(const eval_shift *s, const metric *m, const double *at, size_t stride, int c,
                    int v)
{
    return error_of(m, mean_value(s, at, stride, c, v)) / error_of(m, at[0]);
}

static const metric *known(const eval_shift *s, size_t m)
{
    FL_REQUIRE(m < s->n_metrics);
    return &s->metric[m];
}

void eval_shift_figure(eval_figure *out, const eval_shift *s, size_t m, size_t point)
{
    int c = point == 0 ? -1 : (int)((point - 1) / s->n_severities);
    int v = point == 0 ? -1 : (int)((point - 1) % s->n_severities);
    FL_REQUIRE(point < s->n_points);
    figure_of(out, s, known(s, m), plain, c, v, "");
}

void eval_shift_lost(eval_figure *out, const eval_shift *s, size_t m, int c, int v)
{
    FL_REQUIRE(c < (int)s->n_shifts && v < (int)s->n_severities);
    figure_of(out, s, known(s, m), lost, c, v, "");
}

void eval_shift_mce(eval_figure *out, const eval_shift *s, int c)
{
    FL_REQUIRE(c < (int)s->n_shifts);
    figure_of(out, s, known(s, 0), ratio, c, EVAL_SHIFT_ALL,
              "no error without a shift to compare with");
}

void eval_shift_rise(eval_figure *out, const eval_shift *s, int c)
{
    eval_shift_lost(out, s, 0, c, EVAL_SHIFT_ALL);
}

int eval_shift_worst(const eval_shift *s)
{
    const metric *m = known(s, 0);
    int worst = -1;
    double most = -INFINITY;
    for (int c = 0; c < (int)s->n_shifts; c++) {
        double error = error_of(m, mean_value(s, m->value, 1, c, EVAL_SHIFT_ALL));
        if (error > most) {
            most = error;
            worst = c;
        }
    }
    return worst;
}
