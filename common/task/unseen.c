/*
 * unseen.c - see unseen.h
 */
#include "task/unseen.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/patients.h"
#include "eval/stats.h"

bool task_case_shows(const data_spec *spec, const data_case *c, size_t k)
{
    return spec->task == DATA_CLASSIFY     ? c->code == (int)k
           : spec->task == DATA_MULTILABEL ? c->target != NULL && c->target[k] > 0.5F
                                           : false;
}

void task_unseen_classes(bool *unseen, const data_spec *spec, const data_set *learnt)
{
    const size_t *index = data_set_split(learnt, DATA_TRAIN);
    bool any = false;
    bool *seen = fl_xcalloc(spec->n_classes, sizeof *seen);
    for (size_t i = 0; i < data_set_n_split(learnt, DATA_TRAIN); i++) {
        data_case c = data_set_case(learnt, index[i]);
        any = any || task_is_labelled(spec, &c);
        for (size_t k = 0; k < spec->n_classes; k++) {
            seen[k] = seen[k] || task_case_shows(spec, &c, k);
        }
    }
    bool has_classes = spec->task == DATA_CLASSIFY || spec->task == DATA_MULTILABEL;
    for (size_t k = 0; k < spec->n_classes; k++) {
        unseen[k] = any && has_classes && !seen[k];
    }
    free(seen);
}

// ---------------------------------------------------------------- what is called

/* The class that a case is called, or whether it is called one of several. */
static bool is_called(const task_answers *a, const data_spec *spec, size_t i, size_t k)
{
    const double *row = a->score + i * a->K;
    double threshold = isnan(a->threshold) ? 0.5 : a->threshold;
    if (spec->task == DATA_MULTILABEL) {
        return row[k] >= threshold;
    }
    if (spec->positive >= 0 && a->K == 2) {
        size_t positive = (size_t)spec->positive;
        return (row[positive] >= threshold) == (k == positive);
    }
    size_t best = 0;
    for (size_t j = 1; j < a->K; j++) {
        best = row[j] > row[best] ? j : best;
    }
    return k == best;
}

static json_t *share_json(const bool *in, const bool *hit, const eval_patients *patients)
{
    eval_figure f = {.n_positive = -1};
    eval_proportion(&f, in, hit, patients, "no cases");
    return eval_figure_json(&f);
}

json_t *task_called_json(const task_answers *a, const bool *in, const data_spec *spec)
{
    json_t *json = json_object(), *called = json_array();
    bool *hit = fl_xcalloc(a->n, sizeof *hit), *none = fl_xcalloc(a->n, sizeof *none);
    eval_patients patients;
    eval_patients_init(&patients, a->patient, a->n);
    for (size_t i = 0; i < a->n; i++) {
        none[i] = true;
    }
    for (size_t k = 0; k < a->K; k++) {
        for (size_t i = 0; i < a->n; i++) {
            hit[i] = is_called(a, spec, i, k);
            none[i] = none[i] && !hit[i];
        }
        json_array_append_new(called, json_pack("{s:s, s:o}", "class", spec->classes[k], "share",
                                                share_json(in, hit, &patients)));
    }
    json_object_set_new(json, "called", called);
    if (spec->task == DATA_MULTILABEL) {
        json_object_set_new(json, "no_finding", share_json(in, none, &patients));
    }
    eval_patients_clear(&patients);
    free(none);
    free(hit);
    return json;
}

// ----------------------------------------------------------------- a site's own

/* Cases of a split that show class k, and patients among them. */
static int64_t find_cases(bool *in, int64_t *n_cases, const data_set *set, const data_spec *spec,
                          const task_scores *s, size_t k)
{
    eval_patients patients;
    eval_patients_init(&patients, s->patient, s->n);
    *n_cases = 0;
    for (size_t i = 0; i < s->n; i++) {
        data_case c = data_set_case(set, s->index[i]);
        in[i] = task_case_shows(spec, &c, k);
        *n_cases += in[i];
    }
    int64_t n = (int64_t)eval_patients_count(&patients, in);
    eval_patients_clear(&patients);
    return n;
}

json_t *task_unseen_json(const data_set *set, const data_spec *spec, const task_answering *models,
                         size_t n_models, int64_t min_cell)
{
    const task_scores *s = models[0].scores;
    json_t *list = NULL;
    bool *unseen = fl_xcalloc(spec->n_classes, sizeof *unseen);
    bool *in = fl_xcalloc(s->n, sizeof *in);
    task_unseen_classes(unseen, spec, set);
    for (size_t k = 0; k < spec->n_classes; k++) {
        int64_t n_cases;
        if (!unseen[k] || find_cases(in, &n_cases, set, spec, s, k) < (min_cell > 1 ? min_cell : 1)) {
            continue;
        }
        json_t *answers = json_object();
        for (size_t m = 0; m < n_models; m++) {
            const task_scores *of = models[m].scores;
            const task_answers a = {of->score, of->patient, of->n, of->K, models[m].threshold};
            json_object_set_new(answers, models[m].name, task_called_json(&a, in, spec));
        }
        list = list != NULL ? list : json_array();
        json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "class", spec->classes[k], "n",
                                              (json_int_t)n_cases, "models", answers));
    }
    free(in);
    free(unseen);
    return list;
}
