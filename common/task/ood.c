/*
 * ood.c - see ood.h
 */
#include "task/ood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/ood.h"
#include "task/features.h"
#include "task/ops.h"
#include "task/unseen.h"

/* Cases by what tells them apart. */
typedef struct {
    size_t n, K;
    double *distance;  // (n)
    double *doubt;     // (n) 1 - task_ops.sure; NULL: the task has none
    double *score;     // (n, K); NULL: segment
    int64_t *patient;  // (n)
} measured;

struct task_ood {
    const task_model *model;
    const data_set *reference;
    data_split split, set_by;
    task_features *features;
    eval_ood *fit;
    double limit;
    measured inside;
};

static void measured_clear(measured *m)
{
    free(m->distance);
    free(m->doubt);
    free(m->score);
    free(m->patient);
    *m = (measured){.n = 0};
}

/* o has its fit.  patients_from: added to the set's numbers. */
static fl_status measure(measured *out, const task_ood *o, const data_set *set,
                         const size_t *index, size_t n, const data_shift *chain, uint64_t seed,
                         int64_t patients_from, fl_err *err)
{
    size_t D = task_features_n(o->features), K = task_model_n_scores(o->model), n_numbers;
    const task_ops *ops = task_model_ops(o->model);
    *out = (measured){.n = n, .K = K};
    if (!fl_size_mul(&n_numbers, n, D)) {
        return fl_fail(err, FL_ELIMIT, "%zu cases are too many", n);
    }
    double *feature = fl_calloc(n_numbers, sizeof *feature, "features", err);
    if (feature == NULL) {
        return FL_ELIMIT;
    }
    out->distance = fl_xcalloc(n, sizeof *out->distance);
    out->patient = fl_xcalloc(n, sizeof *out->patient);
    out->score = ops->of_pixels ? NULL : fl_xcalloc(n * K, sizeof *out->score);
    out->doubt = ops->sure != NULL ? fl_xcalloc(n, sizeof *out->doubt) : NULL;
    fl_status st = task_features_run(o->features, feature, out->score, out->doubt, set, index, n,
                                     chain, seed, err);
    if (st == FL_OK) {
        eval_ood_distance(o->fit, out->distance, feature, n);
    }
    for (size_t i = 0; i < n; i++) {
        out->patient[i] = data_set_case(set, index[i]).patient_no + patients_from;
        if (out->doubt != NULL) {
            out->doubt[i] = 1 - out->doubt[i];
        }
    }
    free(feature);
    if (st != FL_OK) {
        measured_clear(out);
    }
    return st;
}

static fl_status measure_split(measured *out, const task_ood *o, data_split split, fl_err *err)
{
    return measure(out, o, o->reference, data_set_split(o->reference, split),
                   data_set_n_split(o->reference, split), NULL, 0, 0, err);
}

// ------------------------------------------------------------------------ the fit

static fl_status fit(task_ood *o, fl_err *err)
{
    const data_set *set = o->reference;
    const data_spec *spec = task_model_spec(o->model);
    size_t n = data_set_n_split(set, DATA_TRAIN), D = task_features_n(o->features), n_numbers;
    const size_t *index = data_set_split(set, DATA_TRAIN);
    bool by_class = spec->task == DATA_CLASSIFY;
    size_t K = task_model_n_scores(o->model);
    fl_status st = FL_ELIMIT;
    if (!fl_size_mul(&n_numbers, n, D)) {
        return fl_fail(err, FL_ELIMIT, "%zu cases are too many", n);
    }
    double *feature = fl_calloc(n_numbers, sizeof *feature, "features", err);
    double *score = task_model_ops(o->model)->of_pixels ? NULL : fl_xcalloc(n * K, sizeof *score);
    int *label = fl_xcalloc(n, sizeof *label);
    for (size_t i = 0; i < n; i++) {
        label[i] = data_set_case(set, index[i]).code;
    }
    if (feature != NULL &&
        (st = task_features_run(o->features, feature, score, NULL, set, index, n, NULL, 0, err)) ==
            FL_OK) {
        st = eval_ood_new(&o->fit, feature, by_class ? label : NULL, n, D, spec->n_classes, err);
    }
    free(label);
    free(score);
    free(feature);
    return st;
}

/* From validation cases, so that the inside is judged by a limit that it did not set. */
static fl_status set_limit(task_ood *o, fl_err *err)
{
    measured m;
    o->set_by = data_set_n_split(o->reference, DATA_VAL) > 0 ? DATA_VAL : DATA_TEST;
    if (data_set_n_split(o->reference, o->set_by) == 0) {
        return fl_fail(err, FL_ECONFIG,
                       "no validation or test cases to set a limit by: a reference needs some "
                       "beside its training cases");
    }
    fl_status st = measure_split(&m, o, o->set_by, err);
    if (st == FL_OK) {
        o->limit = eval_ood_limit(m.distance, m.n);
        measured_clear(&m);
    }
    return st;
}

fl_status task_ood_new(task_ood **out, const task_model *m, const float *params,
                       const data_set *reference, data_split split, int threads, fl_err *err)
{
    fl_status st;
    task_ood *o = fl_xcalloc(1, sizeof *o);
    o->model = m;
    o->reference = reference;
    o->split = split;
    if ((st = task_features_new(&o->features, m, params, threads, err)) != FL_OK ||
        (st = fit(o, err)) != FL_OK || (st = set_limit(o, err)) != FL_OK ||
        (st = measure_split(&o->inside, o, split, err)) != FL_OK) {
        task_ood_destroy(&o);
    }
    *out = o;
    return st;
}

void task_ood_destroy(task_ood **o)
{
    if (*o != NULL) {
        measured_clear(&(*o)->inside);
        eval_ood_destroy(&(*o)->fit);
        task_features_destroy(&(*o)->features);
        FL_FREE(*o);
    }
}

double task_ood_limit(const task_ood *o, data_split *set_by)
{
    *set_by = o->set_by;
    return o->limit;
}

fl_status task_ood_distance(task_ood *o, double *distance, const data_set *set,
                            const size_t *index, size_t n, fl_err *err)
{
    measured m;
    fl_status st = measure(&m, o, set, index, n, NULL, 0, 0, err);
    if (st == FL_OK) {
        memcpy(distance, m.distance, n * sizeof *distance);
        measured_clear(&m);
    }
    return st;
}

// ------------------------------------------------------------------------- figures

static json_t *told_json(const eval_ood_scores *inside, const eval_ood_scores *outside)
{
    eval_figure auroc, fpr95;
    eval_ood_auroc(&auroc, inside, outside);
    eval_ood_fpr95(&fpr95, inside, outside);
    return json_pack("{s:o, s:o}", "auroc", eval_figure_json(&auroc), "fpr95",
                     eval_figure_json(&fpr95));
}

/* The cases of m with in[i] (NULL: all). */
static measured part_of(const measured *m, const bool *in)
{
    measured part = {.K = m->K,
                     .distance = fl_xcalloc(m->n, sizeof *part.distance),
                     .doubt = m->doubt != NULL ? fl_xcalloc(m->n, sizeof *part.doubt) : NULL,
                     .patient = fl_xcalloc(m->n, sizeof *part.patient)};
    for (size_t i = 0; i < m->n; i++) {
        if (in == NULL || in[i]) {
            part.distance[part.n] = m->distance[i];
            if (m->doubt != NULL) {
                part.doubt[part.n] = m->doubt[i];
            }
            part.patient[part.n++] = m->patient[i];
        }
    }
    return part;
}

/* Adds what the scores and the limit say of the cases with in[i], and what they are called. */
static void put_figures(json_t *json, const task_ood *o, const measured *m, const bool *in,
                        double threshold)
{
    const data_spec *spec = task_model_spec(o->model);
    measured part = part_of(m, in);
    eval_ood_scores inside = {o->inside.distance, o->inside.patient, o->inside.n};
    eval_ood_scores outside = {part.distance, part.patient, part.n};
    eval_figure flagged;
    eval_ood_above(&flagged, &outside, o->limit);
    json_t *mahalanobis = told_json(&inside, &outside);
    json_object_set_new(json, "n", json_integer((json_int_t)part.n));
    json_object_set_new(json, "flagged", eval_figure_json(&flagged));
    json_object_set_new(json, "mahalanobis", mahalanobis);
    if (m->doubt != NULL) {
        inside.value = o->inside.doubt;
        outside.value = part.doubt;
        json_object_set_new(json, task_model_ops(o->model)->sure_name,
                            told_json(&inside, &outside));
    }
    if (spec->task == DATA_CLASSIFY || spec->task == DATA_MULTILABEL) {
        const task_answers answers = {m->score, m->patient, m->n, m->K, threshold};
        json_t *called = task_called_json(&answers, in, spec);
        json_object_update(json, called);
        json_decref(called);
    }
    measured_clear(&part);
}

// ------------------------------------------------------------------ unseen diseases

static bool model_knows(const data_spec *spec, const char *name)
{
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Which classes of the given set the model was not taught.  Caller's, (its n_classes). */
static bool *find_unseen(const task_ood *o, const task_ood_given *given, const data_spec *labels)
{
    const data_spec *spec = task_model_spec(o->model);
    bool *unseen = fl_xcalloc(labels->n_classes, sizeof *unseen);
    if (!given->own_classes) {
        task_unseen_classes(unseen, spec, o->reference);
        return unseen;
    }
    for (size_t k = 0; k < labels->n_classes; k++) {
        unseen[k] = !model_knows(spec, labels->classes[k]);
    }
    return unseen;
}

static json_t *unseen_json(const task_ood *o, const task_ood_given *given, const measured *m)
{
    const data_spec *labels = given->own_classes ? data_set_spec(given->set)
                                                 : task_model_spec(o->model);
    const size_t *index = data_set_split(given->set, given->split);
    json_t *list = json_array();
    bool *unseen = find_unseen(o, given, labels), *in = fl_xcalloc(m->n, sizeof *in);
    for (size_t k = 0; k < labels->n_classes; k++) {
        bool any = false;
        for (size_t i = 0; i < m->n && unseen[k]; i++) {
            data_case c = data_set_case(given->set, index[i]);
            in[i] = task_case_shows(labels, &c, k);
            any = any || in[i];
        }
        if (any) {
            json_t *entry = json_pack("{s:s}", "class", labels->classes[k]);
            put_figures(entry, o, m, in, given->threshold);
            json_array_append_new(list, entry);
        }
    }
    free(in);
    free(unseen);
    return list;
}

// ------------------------------------------------------------------------ the whole

/* The given cases, seen through chain, as an element of "sets"; unseen: where to, or NULL. */
static fl_status add_set(json_t *sets, json_t **unseen, const char *name, task_ood *o,
                         const task_ood_given *given, const data_shift *chain, fl_err *err)
{
    measured m;
    int64_t apart = given->is_reference ? 0 : (int64_t)data_set_n(o->reference);
    fl_status st = measure(&m, o, given->set, data_set_split(given->set, given->split),
                           data_set_n_split(given->set, given->split), chain, given->seed, apart,
                           err);
    if (st != FL_OK) {
        return st;
    }
    json_t *entry = json_pack("{s:s}", "set", name);
    put_figures(entry, o, &m, NULL, given->threshold);
    json_array_append_new(sets, entry);
    if (unseen != NULL) {
        *unseen = unseen_json(o, given, &m);
    }
    measured_clear(&m);
    return FL_OK;
}

static fl_status add_shifted(json_t *sets, task_ood *o, const task_ood_given *given, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t c = 0; given->curves != NULL && c < given->curves->n; c++) {
        for (int severity = given->first; severity <= given->last && st == FL_OK; severity++) {
            data_shift chain;
            char *name = fl_xasprintf("%s:%d", given->curves->item[c].name, severity);
            data_shift_curve_at(&chain, &given->curves->item[c], severity);
            st = add_set(sets, NULL, name, o, given, &chain, err);
            free(name);
        }
    }
    return st;
}

static json_t *inside_json(const task_ood *o)
{
    const eval_ood_scores inside = {o->inside.distance, o->inside.patient, o->inside.n};
    eval_figure flagged;
    eval_ood_above(&flagged, &inside, o->limit);
    return json_pack("{s:s, s:I, s:o}", "split", data_split_name(o->split), "n",
                     (json_int_t)o->inside.n, "flagged", eval_figure_json(&flagged));
}

fl_status task_ood_judge(json_t **out, task_ood *o, const task_ood_given *given, fl_err *err)
{
    json_t *sets = json_array(), *unseen = NULL;
    fl_status st;
    *out = NULL;
    if ((st = add_set(sets, &unseen, "given", o, given, NULL, err)) != FL_OK ||
        (st = add_shifted(sets, o, given, err)) != FL_OK) {
        json_decref(sets);
        json_decref(unseen);
        return st;
    }
    *out = json_pack("{s:s, s:I, s:I, s:I, s:f, s:{s:f, s:s}, s:o, s:o, s:o}", "layer",
                     task_features_layer(o->features), "features",
                     (json_int_t)task_features_n(o->features), "n_fitted",
                     (json_int_t)eval_ood_n_cases(o->fit), "means",
                     (json_int_t)eval_ood_n_means(o->fit), "shrinkage",
                     eval_ood_shrinkage(o->fit), "limit", "value", o->limit, "split",
                     data_split_name(o->set_by), "inside", inside_json(o), "sets", sets, "unseen",
                     unseen);
    return FL_OK;
}
