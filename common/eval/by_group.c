/*
 * by_group.c - see by_group.h
 */
#include "eval/by_group.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/gaps.h"
#include "eval/groups.h"
#include "eval/patients.h"
#include "eval/stats.h"

static void put_all(json_t *entry, const eval_metrics *m)
{
    json_t *figures = eval_metrics_json(m);
    json_object_update(entry, figures);
    json_decref(figures);
}

/* -------------------------------------------------------------------- means */

typedef struct {
    const eval_measure *measures;
    size_t n;
    const eval_patients *patients;
} measured;

static void compare_means(void *ctx, json_t *entry, const bool *in, const bool *others)
{
    const measured *m = ctx;
    for (size_t i = 0; i < m->n; i++) {
        double p;
        eval_figure f = eval_gap_of_means(&p, m->measures[i].value, in, others, m->patients,
                                          EVAL_FEW_MEANS_TO_TEST);
        eval_gap_put(entry, m->measures[i].gap, &f, p);
    }
}

json_t *eval_mean_disparities(const eval_attribute *attributes, size_t n_attributes,
                              const eval_measure *measures, size_t n_measures,
                              const eval_predictions *cases, int64_t min_cell)
{
    json_t *list = json_array();
    eval_patients patients;
    eval_patients_init(&patients, cases->patient, cases->n);
    measured m = {measures, n_measures, &patients};
    for (size_t a = 0; a < n_attributes; a++) {
        eval_gaps_each(list, &attributes[a], cases, min_cell, compare_means, &m);
    }
    eval_patients_clear(&patients);
    eval_gaps_correct(list);
    return list;
}

/* ----------------------------------------------------------------- findings */

/* Cases where somebody answered for finding k (of any: k = K) are 0, or 1 where it is there. */
static int *labels_of(const eval_findings *f, size_t k)
{
    int *label = fl_xcalloc(f->n, sizeof *label);
    for (size_t i = 0; i < f->n; i++) {
        label[i] = -1;
        for (size_t j = k < f->K ? k : 0; j < (k < f->K ? k + 1 : f->K); j++) {
            double y = f->target[i * f->K + j];
            label[i] = isnan(y) ? label[i] : k < f->K && y > 0.5;
        }
    }
    return label;
}

static eval_predictions cells_of(const eval_findings *f, const int *label)
{
    return (eval_predictions){.n = f->n, .label = label, .patient = f->patient};
}

typedef struct {
    const eval_findings *f;
    uint64_t seed;
    size_t k;  // the finding; K: the means over all
} answered;

static void findings_figures(void *ctx, json_t *entry, const bool *in)
{
    const answered *a = ctx;
    size_t K = a->f->K, n = 0;
    double *score = fl_xcalloc(a->f->n * K, sizeof *score);
    double *target = fl_xcalloc(a->f->n * K, sizeof *target);
    int64_t *patient = fl_xcalloc(a->f->n, sizeof *patient);
    for (size_t i = 0; i < a->f->n; i++) {
        if (in[i]) {
            memcpy(score + n * K, a->f->score + i * K, K * sizeof *score);
            memcpy(target + n * K, a->f->target + i * K, K * sizeof *target);
            patient[n++] = a->f->patient != NULL ? a->f->patient[i] : (int64_t)i;
        }
    }
    eval_metrics metrics;
    const eval_findings part = {.n = n, .K = K, .score = score, .target = target,
                                .patient = patient, .threshold = a->f->threshold};
    if (a->k < K) {
        eval_finding(&metrics, &part, a->k, a->seed);
    } else {
        eval_multilabel(&metrics, &part, a->seed);
    }
    put_all(entry, &metrics);
    free(patient);
    free(target);
    free(score);
}

/* Every cell has min_cell patients with the finding and as many without. */
static bool finding_may_be_shown(const eval_attribute *attribute, const eval_predictions *cases,
                                 int64_t min_cell)
{
    eval_cell *cells = NULL;
    eval_patients patients;
    bool *side = fl_xcalloc(cases->n, sizeof *side);
    bool shown = eval_cells_all_shown(attribute->value, cases, min_cell);
    size_t n_cells = shown ? eval_cells_find(&cells, attribute->value, cases, min_cell) : 0;
    eval_patients_init(&patients, cases->patient, cases->n);
    for (size_t at = 0; at < n_cells; at++) {
        for (int present = 0; present < 2; present++) {
            for (size_t i = 0; i < cases->n; i++) {
                side[i] = cells[at].in[i] && cases->label[i] == present;
            }
            shown = shown && (int64_t)eval_patients_count(&patients, side) >= min_cell;
        }
    }
    eval_patients_clear(&patients);
    eval_cells_free(cells, n_cells);
    free(side);
    return shown;
}

/* Says of which finding the entries from here on are. */
static void name_finding(json_t *list, size_t from, const char *name)
{
    for (size_t at = from; at < json_array_size(list); at++) {
        json_object_set_new(json_array_get(list, at), "class", eval_text_json(name));
    }
}

void eval_findings_subgroups(json_t *list, const eval_attribute *attribute,
                             const char *const *names, const eval_findings *f, int64_t min_cell,
                             uint64_t seed)
{
    for (size_t step = 0; step <= f->K; step++) {
        size_t k = step == 0 ? f->K : step - 1, from = json_array_size(list);  // the means first
        int *label = labels_of(f, k);
        eval_predictions cases = cells_of(f, label);
        answered a = {f, seed, k};
        if (k == f->K || finding_may_be_shown(attribute, &cases, min_cell)) {
            eval_subgroups_by(list, attribute->name, attribute->value, &cases, min_cell,
                              findings_figures, &a);
        }
        if (k < f->K) {
            name_finding(list, from, names[k]);
        }
        free(label);
    }
}

void eval_findings_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                         const eval_findings *f, int64_t min_cell, uint64_t seed)
{
    int *label = labels_of(f, f->K);
    eval_predictions cases = cells_of(f, label);
    answered a = {f, seed, f->K};
    eval_subgroup_pairs_by(list, attributes, n_attributes, &cases, min_cell, findings_figures, &a);
    free(label);
}

static void add_finding_gaps(json_t *list, const eval_attribute *attribute, const char *name,
                             const eval_findings *f, size_t k, int64_t min_cell)
{
    int *label = labels_of(f, k);
    double *score = fl_xcalloc(2 * f->n, sizeof *score);
    size_t from = json_array_size(list);
    for (size_t i = 0; i < f->n; i++) {
        score[2 * i + 1] = f->score[i * f->K + k];
        score[2 * i] = 1 - score[2 * i + 1];
    }
    const eval_predictions p = {.n = f->n, .n_classes = 2, .score = score, .label = label,
                                .patient = f->patient, .positive = 1, .threshold = f->threshold};
    if (finding_may_be_shown(attribute, &p, min_cell)) {
        eval_gaps_two_classes(list, attribute, &p, min_cell);
        name_finding(list, from, name);
    }
    free(score);
    free(label);
}

json_t *eval_findings_disparities(const eval_attribute *attributes, size_t n_attributes,
                                  const char *const *names, const eval_findings *f,
                                  int64_t min_cell)
{
    json_t *list = json_array();
    for (size_t a = 0; a < n_attributes; a++) {
        for (size_t k = 0; k < f->K; k++) {
            add_finding_gaps(list, &attributes[a], names[k], f, k, min_cell);
        }
    }
    eval_gaps_correct(list);
    return list;
}

/* -------------------------------------------------------------------- masks */

typedef struct {
    const eval_masks *m;
    uint64_t seed;
} drawn;

static eval_predictions masks_cells(const eval_masks *m)
{
    return (eval_predictions){.n = m->n, .label = m->label, .patient = m->patient};
}

static void masks_figures(void *ctx, json_t *entry, const bool *in)
{
    const drawn *d = ctx;
    size_t K = d->m->K, n = 0;
    eval_seg_case *item = fl_xcalloc(d->m->n * K, sizeof *item);
    int64_t *patient = fl_xcalloc(d->m->n, sizeof *patient);
    for (size_t i = 0; i < d->m->n; i++) {
        if (in[i]) {
            memcpy(item + n * K, d->m->item + i * K, K * sizeof *item);
            patient[n++] = d->m->patient != NULL ? d->m->patient[i] : (int64_t)i;
        }
    }
    eval_metrics metrics;
    eval_segment(&metrics, item, n, K, patient, d->seed);
    put_all(entry, &metrics);
    free(patient);
    free(item);
}

void eval_masks_subgroups(json_t *list, const eval_attribute *attribute, const eval_masks *m,
                          int64_t min_cell, uint64_t seed)
{
    eval_predictions cases = masks_cells(m);
    drawn d = {m, seed};
    eval_subgroups_by(list, attribute->name, attribute->value, &cases, min_cell, masks_figures,
                      &d);
}

void eval_masks_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                      const eval_masks *m, int64_t min_cell, uint64_t seed)
{
    eval_predictions cases = masks_cells(m);
    drawn d = {m, seed};
    eval_subgroup_pairs_by(list, attributes, n_attributes, &cases, min_cell, masks_figures, &d);
}

json_t *eval_masks_disparities(const eval_attribute *attributes, size_t n_attributes,
                               const eval_masks *m, int64_t min_cell)
{
    eval_predictions cases = masks_cells(m);
    double *dice = fl_xcalloc(m->n, sizeof *dice);
    for (size_t i = 0; i < m->n; i++) {
        double sum = 0;
        int n = 0;
        for (size_t k = 0; k < m->K && m->label[i] >= 0; k++) {
            double x = m->item[i * m->K + k].dice;
            sum += isnan(x) ? 0 : x;
            n += !isnan(x);
        }
        dice[i] = n > 0 ? sum / n : NAN;
    }
    const eval_measure measure = {"dice_gap", dice};
    json_t *list = eval_mean_disparities(attributes, n_attributes, &measure, 1, &cases, min_cell);
    free(dice);
    return list;
}

/* ------------------------------------------------------------------ numbers */

typedef struct {
    const eval_numbers *x;
    uint64_t seed;
} told;

static int *numbers_labels(const eval_numbers *x)
{
    int *label = fl_xcalloc(x->n, sizeof *label);
    for (size_t i = 0; i < x->n; i++) {
        label[i] = isnan(x->target[i]) ? -1 : 0;
    }
    return label;
}

static void put_bias(json_t *entry, const double *pred, const double *target,
                     const int64_t *patient, size_t n, uint64_t seed)
{
    eval_patients patients;
    eval_figure f = {.ci_low = NAN, .ci_high = NAN, .n = (int64_t)n, .n_positive = -1};
    double *error = fl_xcalloc(n, sizeof *error);
    for (size_t i = 0; i < n; i++) {
        error[i] = pred[i] - target[i];
    }
    eval_patients_init(&patients, patient, n);
    f.n_patients = (int64_t)patients.n_patients;
    eval_patients_mean(&f, error, &patients, "bias", seed);
    json_object_set_new(entry, "bias", eval_figure_json(&f));
    eval_patients_clear(&patients);
    free(error);
}

static void numbers_figures(void *ctx, json_t *entry, const bool *in)
{
    const told *t = ctx;
    const eval_numbers *x = t->x;
    size_t n = 0;
    double *pred = fl_xcalloc(x->n, sizeof *pred), *target = fl_xcalloc(x->n, sizeof *target);
    int64_t *patient = fl_xcalloc(x->n, sizeof *patient);
    for (size_t i = 0; i < x->n; i++) {
        if (in[i]) {
            pred[n] = x->pred[i];
            target[n] = x->target[i];
            patient[n++] = x->patient != NULL ? x->patient[i] : (int64_t)i;
        }
    }
    eval_metrics metrics;
    eval_regress(&metrics, pred, target, patient, n, t->seed);
    put_all(entry, &metrics);
    put_bias(entry, pred, target, patient, n, t->seed);
    free(patient);
    free(target);
    free(pred);
}

void eval_numbers_subgroups(json_t *list, const eval_attribute *attribute, const eval_numbers *x,
                            int64_t min_cell, uint64_t seed)
{
    int *label = numbers_labels(x);
    eval_predictions cases = {.n = x->n, .label = label, .patient = x->patient};
    told t = {x, seed};
    eval_subgroups_by(list, attribute->name, attribute->value, &cases, min_cell, numbers_figures,
                      &t);
    free(label);
}

void eval_numbers_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                        const eval_numbers *x, int64_t min_cell, uint64_t seed)
{
    int *label = numbers_labels(x);
    eval_predictions cases = {.n = x->n, .label = label, .patient = x->patient};
    told t = {x, seed};
    eval_subgroup_pairs_by(list, attributes, n_attributes, &cases, min_cell, numbers_figures, &t);
    free(label);
}

json_t *eval_numbers_disparities(const eval_attribute *attributes, size_t n_attributes,
                                 const eval_numbers *x, int64_t min_cell)
{
    int *label = numbers_labels(x);
    double *error = fl_xcalloc(x->n, sizeof *error), *size = fl_xcalloc(x->n, sizeof *size);
    for (size_t i = 0; i < x->n; i++) {
        error[i] = x->pred[i] - x->target[i];
        size[i] = fabs(error[i]);
    }
    eval_predictions cases = {.n = x->n, .label = label, .patient = x->patient};
    const eval_measure measures[] = {{"mae_gap", size}, {"bias_gap", error}};
    json_t *list = eval_mean_disparities(attributes, n_attributes, measures, 2, &cases, min_cell);
    free(size);
    free(error);
    free(label);
    return list;
}
