/*
 * crossed.c - see crossed.h
 */
#include "client/crossed.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/judge.h"
#include "eval/eval.h"
#include "eval/patients.h"

/* Patients among the test cases of which `in` is true. */
static bool are_enough(const task_scores *s, const bool *in, int64_t min_cell)
{
    eval_patients patients;
    eval_patients_init(&patients, s->patient, s->n);
    size_t n = eval_patients_count(&patients, in);
    eval_patients_clear(&patients);
    return (int64_t)n >= min_cell;
}

/* Is case i known to be of class k, or to have finding k; or, if not is_in, known not to? */
static bool is_of(const task_scores *s, data_task task, size_t i, size_t k, bool is_in)
{
    if (task == DATA_MULTILABEL) {
        double target = s->target[i * s->K + k];
        return !isnan(target) && (target >= 0.5) == is_in;
    }
    return s->label[i] >= 0 && (s->label[i] == (int)k) == is_in;
}

/* Has every class, and what is not of it, so many patients?  Of other tasks: there is none. */
static bool classes_are_enough(const task_scores *s, const data_spec *spec, int64_t min_cell)
{
    if (spec->task != DATA_CLASSIFY && spec->task != DATA_MULTILABEL) {
        return true;
    }
    bool *in = fl_xcalloc(s->n, sizeof *in), enough = true;
    for (size_t k = 0; k < s->K && enough; k++) {
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < s->n; i++) {
                in[i] = is_of(s, spec->task, i, k, side == 0);
            }
            enough = enough && are_enough(s, in, min_cell);
        }
    }
    free(in);
    return enough;
}

static bool rests_on_classes(const char *metric)
{
    static const char *const names[] = {"auc", "balanced_accuracy", "f1", "sensitivity",
                                        "specificity"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], metric) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *hidden(const char *what, int64_t min_cell)
{
    char *why = fl_xasprintf("fewer than %" PRId64 " patients %s", min_cell, what);
    json_t *figure = json_pack("{s:n, s:n, s:n, s:s}", "value", "ci_low", "ci_high", "why", why);
    free(why);
    return figure;
}

static json_t *figures_json(const eval_metrics *metrics, bool classes, int64_t min_cell)
{
    json_t *json = json_object();
    for (size_t i = 0; i < metrics->n; i++) {
        const eval_metric *m = &metrics->item[i];
        if (!eval_metric_elsewhere(m->name)) {
            continue;
        }
        json_t *figure = eval_figure_json(&m->figure);
        int64_t n = fl_json_get_int(figure, "n_patients", 0);
        bool few = n > 0 && n < min_cell;
        bool few_of_class = !classes && rests_on_classes(m->name);
        if (few || few_of_class) {
            json_decref(figure);
            figure = hidden(few ? "behind it" : "of a class", min_cell);
        }
        json_object_set_new(json, m->name, figure);
    }
    return json;
}

fl_status crossed_judge(json_t **out, local *l, const crossed_config *cfg, const char *run_dir,
                        local_progress *progress, fl_err *err)
{
    const data_spec *spec = &l->job.data;
    json_int_t n_test = (json_int_t)data_set_n_split(l->now, DATA_TEST);
    task_scores scores = {0};
    eval_metrics metrics;
    int64_t n_looks;
    fl_status st;

    *out = NULL;
    if (!cfg->figures || n_test == 0) {
        *out = json_pack("{s:I, s:s}", "n_test", n_test, "why",
                         n_test == 0 ? "it has no test cases"
                                     : "its policy does not let figures leave");
        return FL_OK;
    }
    if ((st = judge_open_test(&n_looks, run_dir, cfg->id, cfg->threshold, err)) != FL_OK ||
        (st = task_predict(&scores, l->model, cfg->params, l->now, DATA_TEST, l->threads, err)) !=
            FL_OK) {
        return st;
    }
    local_step(progress);
    if (are_enough(&scores, NULL, cfg->min_cell)) {
        task_evaluate(&metrics, &scores, spec, cfg->threshold, l->job.seed);
        bool classes = classes_are_enough(&scores, spec, cfg->min_cell);
        *out = json_pack("{s:I, s:o}", "n_test", n_test, "metrics",
                         figures_json(&metrics, classes, cfg->min_cell));
    } else {
        *out = json_pack("{s:I, s:s}", "n_test", n_test, "why",
                         "it has too few test patients to say it");
    }
    json_object_set_new(*out, "test_opened", json_integer(n_looks));
    local_step(progress);
    task_scores_clear(&scores);
    return FL_OK;
}
