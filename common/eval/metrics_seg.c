/*
 * metrics_seg.c - figures over the cases of a segmentation (metrics_seg.h)
 *
 * Every figure is a function of one weight a case, as in cases.h: all ones
 * give the value, how often a patient was drawn gives a bootstrap replicate.
 */
#include "eval/metrics_seg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/patients.h"
#include "eval/stats.h"

enum {
    DICE,
    IOU,
    HD95,
    SURFACE_DICE,
    LESION_SENSITIVITY,
    FALSE_LESIONS,
    VOLUME_BIAS,
    VOLUME_LOW,
    VOLUME_HIGH,
    N_METRICS
};

static const char *const names[N_METRICS] = {
    "dice",          "iou",         "hd95",       "surface_dice", "lesion_sensitivity",
    "false_lesions", "volume_bias", "volume_low", "volume_high",
};

typedef struct {
    const eval_seg_case *item;  // (n, K)
    size_t n, K;
    bool same_units;
    eval_patients patients;
} cases;

static void cases_init(cases *c, const eval_seg_case *item, size_t n, size_t n_classes,
                       const int64_t *patient)
{
    FL_REQUIRE(n_classes >= 1);
    *c = (cases){.item = item, .n = n, .K = n_classes, .same_units = true};
    for (size_t i = 1; i < n * n_classes; i++) {
        c->same_units = c->same_units && item[i].in_mm == item[0].in_mm &&
                        item[i].is_volume == item[0].is_volume;
    }
    eval_patients_init(&c->patients, patient, n);
}

/* A weighted mean that leaves out what is NaN, and its spread. */
typedef struct {
    double n, sum, squares;
} sums;

static void sums_add(sums *s, double weight, double value)
{
    if (!isnan(value)) {
        s->n += weight;
        s->sum += weight * value;
        s->squares += weight * value * value;
    }
}

static double mean_of(const sums *s)
{
    return s->n > 0 ? s->sum / s->n : NAN;
}

static double sd_of(const sums *s)
{
    double mean = mean_of(s);
    return s->n > 1 ? sqrt(fmax(0, (s->squares - s->n * mean * mean) / (s->n - 1))) : NAN;
}

static void class_values(double value[static N_METRICS], const cases *c, const double *weight,
                         size_t k)
{
    sums of[VOLUME_BIAS + 1] = {{0}};
    double lesions = 0, found = 0;
    for (size_t i = 0; i < c->n; i++) {
        const eval_seg_case *one = &c->item[i * c->K + k];
        sums_add(&of[DICE], weight[i], one->dice);
        sums_add(&of[IOU], weight[i], one->iou);
        sums_add(&of[HD95], weight[i], one->hd95);
        sums_add(&of[SURFACE_DICE], weight[i], one->surface_dice);
        sums_add(&of[FALSE_LESIONS], weight[i], (double)one->n_false);
        sums_add(&of[VOLUME_BIAS], weight[i], one->volume_pred - one->volume_truth);
        lesions += weight[i] * (double)one->n_lesions;
        found += weight[i] * (double)one->n_found;
    }
    for (int m = 0; m <= VOLUME_BIAS; m++) {
        value[m] = mean_of(&of[m]);
    }
    value[LESION_SENSITIVITY] = lesions > 0 ? found / lesions : NAN;
    double half = EVAL_Z95 * sd_of(&of[VOLUME_BIAS]);
    value[VOLUME_LOW] = c->K == 1 ? value[VOLUME_BIAS] - half : NAN;
    value[VOLUME_HIGH] = c->K == 1 ? value[VOLUME_BIAS] + half : NAN;
}

static bool has_unit(int metric)
{
    return metric == HD95 || metric >= VOLUME_BIAS;
}

/* All metrics at once; NaN where undefined. */
static void values_of(double value[static N_METRICS], const cases *c, const double *weight)
{
    sums over[N_METRICS] = {{0}};
    for (size_t k = 0; k < c->K; k++) {
        double of_class[N_METRICS];
        class_values(of_class, c, weight, k);
        for (int m = 0; m < N_METRICS; m++) {
            sums_add(&over[m], 1, of_class[m]);
        }
    }
    for (int m = 0; m < N_METRICS; m++) {
        value[m] = has_unit(m) && !c->same_units ? NAN : mean_of(&over[m]);
    }
}

// ------------------------------------------------------------------ figures

/* Does case i have a part in the metric?  Lesions: when there are any. */
static bool counts(const eval_seg_case *one, int metric)
{
    return metric == LESION_SENSITIVITY ? one->n_lesions > 0
           : metric <= SURFACE_DICE     ? !isnan(one->dice)
                                        : true;
}

static void unit_of(eval_figure *f, const cases *c, int metric)
{
    const char *unit = "";
    if (has_unit(metric) && c->n > 0 && c->same_units) {
        bool mm = c->item[0].in_mm, volume = c->item[0].is_volume;
        unit = metric == HD95 ? (mm ? "mm" : "px") : !mm ? "px" : volume ? "mL" : "mm2";
    }
    snprintf(f->unit, sizeof f->unit, "%s", unit);
}

/* Counts: cases with a part in the metric, of them those with a true mask that
 * is not empty, and patients. */
static void figure_init(eval_figure *f, const cases *c, int metric)
{
    bool *in = fl_xcalloc(c->n, sizeof *in);
    *f = (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN};
    for (size_t i = 0; i < c->n; i++) {
        bool positive = false;
        for (size_t k = 0; k < c->K; k++) {
            const eval_seg_case *one = &c->item[i * c->K + k];
            in[i] = in[i] || counts(one, metric);
            positive = positive || one->n_truth > 0;
        }
        f->n += in[i];
        f->n_positive += in[i] && positive;
    }
    f->n_patients = (int64_t)eval_patients_count(&c->patients, in);
    free(in);
    unit_of(f, c, metric);
}

static const char *why_of(const cases *c, int metric)
{
    if (c->n == 0) {
        return "no cases";
    }
    if (has_unit(metric) && !c->same_units) {
        return "the spacing is known of some cases only";
    }
    if (metric == VOLUME_LOW || metric == VOLUME_HIGH) {
        return c->K > 1 ? "limits of agreement are of one class at a time"
                        : "one case has no spread";
    }
    return metric == LESION_SENSITIVITY ? "no case has a lesion"
                                        : "both masks are empty in every case";
}

/* Found lesions are a proportion whose trials share patients. */
static void lesion_figure(eval_figure *f, const cases *c)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < c->n; i++) {
        n += (size_t)c->item[i].n_lesions;
    }
    bool *hit = fl_xcalloc(n, sizeof *hit);
    int64_t *patient = fl_xcalloc(n, sizeof *patient);
    for (size_t i = 0; i < c->n; i++) {
        for (int64_t lesion = 0; lesion < c->item[i].n_lesions; lesion++, at++) {
            hit[at] = lesion < c->item[i].n_found;
            patient[at] = (int64_t)c->patients.of[i];
        }
    }
    eval_patients patients;
    eval_patients_init(&patients, patient, n);
    eval_proportion(f, NULL, hit, &patients, "no case has a lesion");
    f->n_positive = f->n;
    eval_patients_clear(&patients);
    free(hit);
    free(patient);
}

static bool too_few(eval_figure *f, const cases *c)
{
    if (f->n_patients >= EVAL_FEW) {
        return false;
    }
    char why[sizeof f->why];
    snprintf(why, sizeof why, "too few %s: %lld; %d are needed",
             c->patients.repeats ? "patients" : "cases", (long long)f->n_patients, EVAL_FEW);
    eval_figure_no_interval(f, why);
    return true;
}

/* Replicates of every metric: table (N_METRICS, n_replicates). */
static double *bootstrap(const cases *c, size_t n_replicates, uint64_t seed)
{
    double *table = fl_xcalloc(n_replicates, N_METRICS * sizeof *table);
    double *weight = fl_xcalloc(c->n, sizeof *weight);
    double *drawn = fl_xcalloc(c->patients.n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < n_replicates; r++) {
        double value[N_METRICS];
        eval_patients_resample(weight, drawn, &c->patients, &rng);
        values_of(value, c, weight);
        for (size_t m = 0; m < N_METRICS; m++) {
            table[m * n_replicates + r] = value[m];
        }
    }
    free(weight);
    free(drawn);
    return table;
}

static void values_of_all(double value[static N_METRICS], const cases *c)
{
    double *ones = fl_xcalloc(c->n, sizeof *ones);
    for (size_t i = 0; i < c->n; i++) {
        ones[i] = 1;
    }
    values_of(value, c, ones);
    free(ones);
}

void eval_segment(eval_metrics *out, const eval_seg_case *item, size_t n, size_t n_classes,
                  const int64_t *patient, uint64_t seed)
{
    cases c;
    double value[N_METRICS];
    cases_init(&c, item, n, n_classes, patient);
    values_of_all(value, &c);
    size_t n_replicates = eval_n_replicates(n * n_classes);
    double *table = bootstrap(&c, n == 0 ? 0 : n_replicates, seed);
    out->n = N_METRICS;
    for (int m = 0; m < N_METRICS; m++) {
        eval_figure *f = &out->item[m].figure;
        snprintf(out->item[m].name, sizeof out->item[m].name, "%s", names[m]);
        figure_init(f, &c, m);
        f->value = value[m];
        if (isnan(f->value)) {
            eval_figure_undefined(f, why_of(&c, m));
        } else if (m == LESION_SENSITIVITY && n_classes == 1) {
            lesion_figure(f, &c);
        } else if (!too_few(f, &c)) {
            eval_percentile(f, table + (size_t)m * n_replicates, n_replicates, c.patients.repeats);
        }
    }
    free(table);
    eval_patients_clear(&c.patients);
}

// -------------------------------------------------------------- differences

static int metric_index(const char *name)
{
    int m = 0;
    while (m < N_METRICS && strcmp(names[m], name) != 0) {
        m++;
    }
    FL_REQUIRE(m < N_METRICS);
    return m;
}

void eval_segment_difference(eval_figure *out, const char *metric, const eval_seg_case *a,
                             const eval_seg_case *b, size_t n, size_t n_classes,
                             const int64_t *patient, uint64_t seed)
{
    int m = metric_index(metric);
    cases from, to;
    double value_from[N_METRICS], value_to[N_METRICS];
    cases_init(&from, a, n, n_classes, patient);
    cases_init(&to, b, n, n_classes, patient);
    values_of_all(value_from, &from);
    values_of_all(value_to, &to);
    figure_init(out, &to, m);
    out->value = value_to[m] - value_from[m];
    if (isnan(out->value)) {
        eval_figure_undefined(out, why_of(isnan(value_from[m]) ? &from : &to, m));
    } else if (!too_few(out, &to)) {
        size_t n_replicates = eval_n_replicates(n * n_classes);
        double *table_from = bootstrap(&from, n_replicates, seed);
        double *table_to = bootstrap(&to, n_replicates, seed);
        double *difference = table_to + (size_t)m * n_replicates;
        for (size_t r = 0; r < n_replicates; r++) {
            difference[r] -= table_from[(size_t)m * n_replicates + r];
        }
        eval_percentile(out, difference, n_replicates, from.patients.repeats);
        if (out->why[0] == '\0') {
            snprintf(out->method, sizeof out->method, "paired bootstrap %zu%s", n_replicates,
                     from.patients.repeats ? ", by patient" : "");
        }
        free(table_from);
        free(table_to);
    }
    eval_patients_clear(&from.patients);
    eval_patients_clear(&to.patients);
}
