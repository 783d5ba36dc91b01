/*
 * metrics_class.c - figures of a classifier on one set of cases
 *
 * Values come from cases.c; here each gets the interval that suits it:
 *   accuracy, sensitivity, specificity, ppv, npv   Wilson
 *   f1                    Wilson through tp / (tp + fp + fn), exactly monotone
 *   balanced_accuracy     Wilson of both parts, combined (MOVER)
 *   auc                   DeLong on the logit scale
 *   ppv, npv at a prevalence   Wilson of both parts, as a ratio (MOVER)
 *   observed_expected     Wilson of the observed share, over the mean score
 *   calibration_intercept, _slope   Wald (calibration.c)
 *   auprc, brier, nll, ece, sensitivity_at_spec90 and all macro means
 *                         bootstrap by patient
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/bootstrap.h"
#include "eval/calibration.h"
#include "eval/cases.h"
#include "eval/stats.h"

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

/*
 * The predictive value p whose odds are r times those of a * right / wrong:
 * the one where right - wrong * x is just not told from 0 by MOVER for a
 * difference (Zou and Donner 2008), x being the ratio that p stands for.
 * right and wrong are shares of different cases: se and 1 - sp, or sp and
 * 1 - se, of which the interval's ends are given.
 */
static double predictive_bound(double right, double right_end, double wrong, double wrong_end,
                               double odds, double inside, double outside)
{
    for (int i = 0; i < 200; i++) {
        double p = (inside + outside) / 2, x = p / (1 - p) / odds;
        bool told = fabs(right - wrong * x) > hypot(right - right_end, x * (wrong_end - wrong));
        *(told ? &outside : &inside) = p;
    }
    return inside;
}

/* right, missed: sensitivity and specificity, or the other way round; odds: of
 * those that the predictive value is about, in the population. */
static void predictive_figure(eval_figure *f, const eval_figure *right, const eval_figure *missed,
                              double odds)
{
    double wrong = 1 - missed->value, value = f->value;
    f->ci_low = predictive_bound(right->value, right->ci_low, wrong, 1 - missed->ci_low, odds,
                                 value, 0);
    f->ci_high = predictive_bound(right->value, right->ci_high, wrong, 1 - missed->ci_high, odds,
                                  value, 1);
    snprintf(f->method, sizeof f->method, "Wilson, MOVER ratio");
}

/* The observed share has the uncertainty; the expected one is the model's. */
static void observed_figure(eval_figure *f, const eval_cases *c, const masks *m)
{
    eval_figure observed = *f;
    double expected = 0;
    for (size_t i = 0; i < c->n; i++) {
        expected += c->confidence[i] / (double)c->n;
    }
    if (expected <= 0) {
        eval_figure_undefined(f, eval_cases_why(c, EVAL_OBSERVED_EXPECTED));
        return;
    }
    eval_proportion(&observed, NULL, m->positive, &c->patients, "");
    f->ci_low = observed.ci_low / expected;
    f->ci_high = observed.ci_high / expected;
    snprintf(f->method, sizeof f->method, "%.30s, score fixed", observed.method);
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
    double odds = c->prevalence / (1 - c->prevalence);
    if (!c->patients.repeats && !isnan(f[EVAL_PPV_AT_PREVALENCE].value)) {
        predictive_figure(&f[EVAL_PPV_AT_PREVALENCE], &f[EVAL_SENSITIVITY], &f[EVAL_SPECIFICITY],
                          odds);
    }
    if (!c->patients.repeats && !isnan(f[EVAL_NPV_AT_PREVALENCE].value)) {
        predictive_figure(&f[EVAL_NPV_AT_PREVALENCE], &f[EVAL_SPECIFICITY], &f[EVAL_SENSITIVITY],
                          1 / odds);
    }
    observed_figure(&f[EVAL_OBSERVED_EXPECTED], c, &m);
    eval_recalibrate(&f[EVAL_CALIBRATION_INTERCEPT], &f[EVAL_CALIBRATION_SLOPE], c);
    masks_clear(&m);
}

/* ------------------------------------------------------------- the figures */

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
    eval_cases_values_all(value, &c);
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        eval_cases_figure(&figure[m], &c);
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
        double *table = eval_bootstrap(&c, n_replicates, seed);
        for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
            if (figure[m].method[0] == '\0') {
                eval_bootstrap_interval(&figure[m], &c, m, table, n_replicates, value);
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

/* --------------------------------------------------- one class against the rest */

static void add_class(json_t *entry, const eval_predictions *p, size_t k, uint64_t seed)
{
    size_t K = p->n_classes;
    double *score = fl_xcalloc(p->n, 2 * sizeof *score);
    int *label = fl_xcalloc(p->n, sizeof *label);
    bool *called = fl_xcalloc(p->n, sizeof *called);
    for (size_t i = 0; i < p->n; i++) {
        const double *row = p->score + i * K;
        size_t best = 0;
        for (size_t other = 1; other < K; other++) {
            best = row[other] > row[best] ? other : best;
        }
        called[i] = best == k;
        score[2 * i] = 1 - row[k];
        score[2 * i + 1] = row[k];
        label[i] = p->label[i] < 0 ? -1 : p->label[i] == (int)k;
    }
    eval_metrics metrics;
    eval_predictions one = {.n = p->n,
                            .n_classes = 2,
                            .score = score,
                            .label = label,
                            .patient = p->patient,
                            .positive = 1,
                            .called = called};
    eval_classify(&metrics, &one, seed);
    for (size_t m = 0; m < metrics.n; m++) {
        json_object_set_new(entry, metrics.item[m].name, eval_figure_json(&metrics.item[m].figure));
    }
    free(score);
    free(label);
    free(called);
}

void eval_classify_each(json_t *list, const char *const *names, const eval_predictions *p,
                        int64_t min_cell, uint64_t seed)
{
    FL_REQUIRE(p->n_classes > 2);
    size_t K = p->n_classes;
    int64_t *n = fl_xcalloc(K, sizeof *n), *patients = fl_xcalloc(K, sizeof *patients);
    bool *in = fl_xcalloc(p->n, sizeof *in), *hidden = fl_xcalloc(K, sizeof *hidden);
    eval_patients of;
    eval_patients_init(&of, p->patient, p->n);
    for (size_t k = 0; k < K; k++) {
        for (size_t i = 0; i < p->n; i++) {
            in[i] = p->label[i] == (int)k;
            n[k] += in[i];
        }
        patients[k] = (int64_t)eval_patients_count(&of, in);
    }
    eval_patients_clear(&of);
    eval_suppress(hidden, patients, K, min_cell);
    for (size_t k = 0; k < K; k++) {
        if (n[k] == 0 && !hidden[k]) {
            continue;
        }
        json_t *entry = json_pack("{s:s}", "class", names[k]);
        json_object_set_new(entry, "n", hidden[k] ? json_null() : json_integer(n[k]));
        if (hidden[k]) {
            eval_suppressed_why(entry, min_cell);
        } else {
            add_class(entry, p, k, seed);
        }
        json_array_append_new(list, entry);
    }
    free(n);
    free(patients);
    free(in);
    free(hidden);
}
