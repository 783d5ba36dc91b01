/*
 * metrics_class.c - figures of a classifier on one set of cases
 *
 * Values come from cases.c; here each gets the interval that suits it:
 *   accuracy, sensitivity, specificity, ppv, npv   Wilson
 *   f1                    Wilson through tp / (tp + fp + fn), exactly monotone
 *   balanced_accuracy     Wilson of both parts, combined (MOVER)
 *   auc                   DeLong on the logit scale
 *   auprc, brier, nll, ece and all macro means     bootstrap by patient
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/cases.h"
#include "eval/stats.h"

/* -------------------------------------------------------------- bootstrap */

/* Replicates of every metric at once: table (EVAL_N_VALUES, n_replicates). */
static double *bootstrap(const eval_cases *c, size_t n_replicates, uint64_t seed)
{
    double *table = fl_xcalloc(n_replicates, EVAL_N_VALUES * sizeof *table);
    double *weight = fl_xcalloc(c->n, sizeof *weight);
    double *drawn = fl_xcalloc(c->patients.n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < n_replicates; r++) {
        double value[EVAL_N_VALUES];
        eval_patients_resample(weight, drawn, &c->patients, &rng);
        eval_cases_values(value, c, weight);
        for (int m = 0; m < EVAL_N_VALUES; m++) {
            table[(size_t)m * n_replicates + r] = value[m];
        }
    }
    free(weight);
    free(drawn);
    return table;
}

/*
 * Replicates of one metric, in its row of the table.  A resample of noise is
 * noisier: debiased ECEs of resamples scatter about the raw value, not about
 * the debiased one, so they are moved by the difference.
 */
static double *replicates_of(double *table, int metric, size_t n_replicates, const double *value)
{
    if (metric != EVAL_ECE) {
        return table + (size_t)metric * n_replicates;
    }
    double *replicate = table + (size_t)EVAL_ECE_SIGNED * n_replicates;
    for (size_t r = 0; r < n_replicates; r++) {
        replicate[r] += value[EVAL_ECE_SIGNED] - value[EVAL_ECE_RAW];
    }
    return replicate;
}

/* No interval from fewer patients than EVAL_FEW, of the rarest class where
 * the metric counts by class. */
static bool too_few(eval_figure *f, const eval_cases *c, int metric)
{
    bool of_case = metric == EVAL_ACCURACY || metric >= EVAL_BRIER;
    size_t fewest = of_case ? c->patients.n_patients : eval_cases_fewest(c);
    if (fewest >= EVAL_FEW) {
        return false;
    }
    char why[sizeof f->why];
    snprintf(why, sizeof why, "too few %s: %zu%s; %d are needed",
             c->patients.repeats ? "patients" : "cases", fewest, of_case ? "" : " of one class",
             EVAL_FEW);
    eval_figure_no_interval(f, why);
    return true;
}

static void bootstrap_interval(eval_figure *f, const eval_cases *c, int metric, double *table,
                               size_t n_replicates, const double *value)
{
    if (too_few(f, c, metric)) {
        return;
    }
    eval_percentile(f, replicates_of(table, metric, n_replicates, value), n_replicates,
                    c->patients.repeats);
    if (metric == EVAL_ECE && f->why[0] == '\0') {
        // At the edge of what can be: a raw ECE that a calibrated model could
        // have does not exclude 0.
        bool chance = value[EVAL_ECE_RAW] <= value[EVAL_ECE_CHANCE];
        f->ci_low = chance ? 0 : fmax(0, fmin(f->value, f->ci_low));
        f->ci_high = fmax(f->value, f->ci_high);
    }
}

/* --------------------------------------------------- two classes, in closed form */

typedef struct {
    bool *positive, *negative, *called, *refused, *right, *hit, *in_union;  // (n)
} masks;

static masks masks_new(const eval_cases *c)
{
    bool *room = fl_xcalloc(c->n, 7 * sizeof *room);
    masks m = {room,
               room + c->n,
               room + 2 * c->n,
               room + 3 * c->n,
               room + 4 * c->n,
               room + 5 * c->n,
               room + 6 * c->n};
    for (size_t i = 0; i < c->n; i++) {
        m.positive[i] = c->label[i] == c->positive;
        m.negative[i] = !m.positive[i];
        m.called[i] = c->called[i] == c->positive;
        m.refused[i] = !m.called[i];
        m.right[i] = c->called[i] == c->label[i];
        m.hit[i] = m.positive[i] && m.called[i];
        m.in_union[i] = m.positive[i] || m.called[i];
    }
    return m;
}

static void masks_clear(masks *m)
{
    free(m->positive);
    *m = (masks){0};
}

static void count_positives(eval_figure *f, const bool *in, const masks *m, size_t n)
{
    f->n_positive = 0;
    for (size_t i = 0; i < n; i++) {
        f->n_positive += (in == NULL || in[i]) && m->positive[i];
    }
}

/*
 * f1 = 2 j / (1 + j) for j = tp / (tp + fp + fn), and tp of the union is a
 * proportion; so j's interval is f1's, through the formula.
 */
static void f1_figure(eval_figure *f, const eval_cases *c, const masks *m)
{
    if (c->n_class[c->positive] == 0) {
        eval_figure_undefined(f, eval_cases_why(c, EVAL_F1));
        return;
    }
    eval_figure j = *f;
    eval_proportion(&j, m->in_union, m->hit, &c->patients, "");
    f->value = 2 * j.value / (1 + j.value);
    f->ci_low = 2 * j.ci_low / (1 + j.ci_low);
    f->ci_high = 2 * j.ci_high / (1 + j.ci_high);
    memcpy(f->method, j.method, sizeof f->method);
}

/* Mean of two independent proportions (Zou and Donner 2008, "MOVER"). */
static void balanced_figure(eval_figure *f, const eval_figure *sens, const eval_figure *spec)
{
    f->value = (sens->value + spec->value) / 2;
    f->ci_low = f->value - hypot(sens->value - sens->ci_low, spec->value - spec->ci_low) / 2;
    f->ci_high = f->value + hypot(sens->ci_high - sens->value, spec->ci_high - spec->value) / 2;
    snprintf(f->method, sizeof f->method, "Wilson, MOVER");
}

static void auc_figure(eval_figure *f, const eval_cases *c, const masks *m)
{
    double *score = fl_xcalloc(c->n, sizeof *score);
    for (size_t i = 0; i < c->n; i++) {
        score[c->order[c->positive][i]] = c->sorted[c->positive][i];
    }
    eval_auc_figure(f, score, m->positive, &c->patients);
    free(score);
}

static void closed_forms(eval_figure *f, const eval_cases *c)
{
    masks m = masks_new(c);
    const struct {
        eval_class_metric metric;
        const bool *in, *hit;
    } shares[] = {
        {EVAL_ACCURACY, NULL, m.right},
        {EVAL_SENSITIVITY, m.positive, m.called},
        {EVAL_SPECIFICITY, m.negative, m.refused},
        {EVAL_PPV, m.called, m.positive},
        {EVAL_NPV, m.refused, m.negative},
    };
    for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
        eval_figure *figure = &f[shares[s].metric];
        count_positives(figure, shares[s].in, &m, c->n);
        eval_proportion(figure, shares[s].in, shares[s].hit, &c->patients,
                        eval_cases_why(c, shares[s].metric));
    }
    auc_figure(&f[EVAL_AUC], c, &m);
    f1_figure(&f[EVAL_F1], c, &m);
    // Patients with cases of both classes make the parts dependent: bootstrap.
    if (!c->patients.repeats && !isnan(f[EVAL_BALANCED_ACCURACY].value)) {
        balanced_figure(&f[EVAL_BALANCED_ACCURACY], &f[EVAL_SENSITIVITY], &f[EVAL_SPECIFICITY]);
    }
    masks_clear(&m);
}

/* ------------------------------------------------------------- the figures */

static void values_of(double *value, const eval_cases *c)
{
    double *ones = fl_xcalloc(c->n, sizeof *ones);
    for (size_t i = 0; i < c->n; i++) {
        ones[i] = 1;
    }
    eval_cases_values(value, c, ones);
    free(ones);
}

static void figure_init(eval_figure *f, const eval_cases *c)
{
    *f = (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN};
    f->n = (int64_t)c->n;
    f->n_positive = c->binary ? (int64_t)c->n_class[c->positive] : -1;
    f->n_patients = (int64_t)c->patients.n_patients;
}

/* Accuracy of more than two classes is a proportion too. */
static void accuracy_figure(eval_figure *f, const eval_cases *c)
{
    bool *right = fl_xcalloc(c->n, sizeof *right);
    for (size_t i = 0; i < c->n; i++) {
        right[i] = c->called[i] == c->label[i];
    }
    eval_proportion(f, NULL, right, &c->patients, "no cases");
    free(right);
}

void eval_classify(eval_metrics *out, const eval_predictions *p, uint64_t seed)
{
    eval_cases c;
    double value[EVAL_N_VALUES];
    eval_figure figure[EVAL_N_CLASS_METRICS];

    eval_cases_init(&c, p);
    values_of(value, &c);
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        figure_init(&figure[m], &c);
        figure[m].value = value[m];
        if (isnan(value[m])) {
            eval_figure_undefined(&figure[m], eval_cases_why(&c, (eval_class_metric)m));
        }
    }
    if (c.n > 0 && !c.damaged) {
        if (c.binary) {
            closed_forms(figure, &c);
        } else {
            accuracy_figure(&figure[EVAL_ACCURACY], &c);
        }
        size_t n_replicates = eval_n_replicates(c.n);
        double *table = bootstrap(&c, n_replicates, seed);
        for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
            if (figure[m].method[0] == '\0') {
                bootstrap_interval(&figure[m], &c, m, table, n_replicates, value);
            }
        }
        free(table);
    }
    eval_cases_clear(&c);

    out->n = EVAL_N_CLASS_METRICS;
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        snprintf(out->item[m].name, sizeof out->item[m].name, "%s", eval_class_metric_names[m]);
        out->item[m].figure = figure[m];
    }
}

/* -------------------------------------------------------------- differences */

static int metric_index(const char *name)
{
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        if (strcmp(eval_class_metric_names[m], name) == 0) {
            return m;
        }
    }
    return -1;
}

/* Both models' replicates come from the same draws. */
static void paired_bootstrap(eval_figure *f, int metric, const eval_cases *a, const eval_cases *b,
                             const double *value_a, const double *value_b, uint64_t seed)
{
    if (too_few(f, a, metric)) {
        return;
    }
    size_t n_replicates = eval_n_replicates(a->n);
    double *table_a = bootstrap(a, n_replicates, seed);
    double *table_b = bootstrap(b, n_replicates, seed);
    const double *from = replicates_of(table_a, metric, n_replicates, value_a);
    double *to = replicates_of(table_b, metric, n_replicates, value_b);
    for (size_t r = 0; r < n_replicates; r++) {
        to[r] -= from[r];
    }
    eval_percentile(f, to, n_replicates, a->patients.repeats);
    if (f->why[0] == '\0') {
        snprintf(f->method, sizeof f->method, "paired bootstrap %zu%s", n_replicates,
                 a->patients.repeats ? ", by patient" : "");
    }
    free(table_a);
    free(table_b);
}

static void auc_difference(eval_figure *f, const eval_cases *a, const eval_cases *b)
{
    int k = a->positive;
    bool *positive = fl_xcalloc(a->n, sizeof *positive);
    double *score[2] = {fl_xcalloc(a->n, sizeof(double)), fl_xcalloc(a->n, sizeof(double))};
    for (size_t i = 0; i < a->n; i++) {
        positive[i] = a->label[i] == k;
        score[0][a->order[k][i]] = a->sorted[k][i];
        score[1][b->order[k][i]] = b->sorted[k][i];
    }
    eval_auc_difference(f, score[0], score[1], positive, &a->patients);
    free(positive);
    free(score[0]);
    free(score[1]);
}

void eval_difference(eval_figure *out, const char *metric, const eval_predictions *a,
                     const eval_predictions *b, uint64_t seed)
{
    int m = metric_index(metric);
    FL_REQUIRE(m >= 0);
    FL_REQUIRE(a->n == b->n && a->n_classes == b->n_classes && a->positive == b->positive);
    FL_REQUIRE(a->n == 0 || memcmp(a->label, b->label, a->n * sizeof *a->label) == 0);
    eval_cases from, to;
    double value_from[EVAL_N_VALUES], value_to[EVAL_N_VALUES];

    eval_cases_init(&from, a);
    eval_cases_init(&to, b);
    values_of(value_from, &from);
    values_of(value_to, &to);
    figure_init(out, &from);
    out->value = value_to[m] - value_from[m];
    if (isnan(out->value)) {
        const eval_cases *undefined = isnan(value_from[m]) ? &from : &to;
        eval_figure_undefined(out, eval_cases_why(undefined, (eval_class_metric)m));
    } else if (m == EVAL_AUC && from.binary) {
        auc_difference(out, &from, &to);
    } else {
        paired_bootstrap(out, m, &from, &to, value_from, value_to, seed);
    }
    eval_cases_clear(&from);
    eval_cases_clear(&to);
}
