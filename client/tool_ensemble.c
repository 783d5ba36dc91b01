/*
 * tool_ensemble.c - several models as one: how good their mean is on one's own cases
 *
 * A deep ensemble (Lakshminarayanan et al. 2017) where they were trained independently,
 * snapshots where they are one training's later rounds; the arithmetic is the same.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/tools.h"

typedef struct {
    size_t n;
    task_model **model;  // owned, as all
    float **params;
    task_member *member;
} team;

static fl_status team_read(team *t, const tool_ensemble *e, fl_err *err)
{
    fl_status st = FL_OK;
    *t = (team){.model = fl_xcalloc(e->n, sizeof *t->model),
                .params = fl_xcalloc(e->n, sizeof *t->params),
                .member = fl_xcalloc(e->n, sizeof *t->member)};
    for (size_t i = 0; i < e->n && st == FL_OK; i++) {
        st = tool_read_model(&t->model[i], &t->params[i], e->path[i], e->graph, err);
        t->member[i] = (task_member){t->model[i], t->params[i]};
        t->n++;
    }
    return st;
}

static void team_clear(team *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->params[i]);
        task_model_destroy(&t->model[i]);
    }
    free(t->member);
    free(t->params);
    free(t->model);
}

/* The mean of those that the members' files hold; 0.5 where none holds one. */
static double team_threshold(const team *t)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        double own = task_model_threshold(t->model[i]);
        sum += isnan(own) ? 0 : own;
        n += !isnan(own);
    }
    return n > 0 ? sum / (double)n : 0.5;
}

/* The mean, beside the first member on the same cases. */
static fl_status judge(json_t **both, eval_metrics *metrics, const team *t, const tool_ensemble *e,
                       const data_set *set, const data_spec *spec, double threshold, fl_err *err)
{
    tool_doubt doubt = *e->doubt;
    task_scores first;
    double own = task_model_threshold(t->model[0]);
    fl_status st = task_predict(&first, t->model[0], t->params[0], set, e->split, doubt.threads,
                                err);
    if (st != FL_OK) {
        return st;
    }
    const task_scored against = {&first, isnan(own) ? threshold : own};
    doubt.against = &against;
    st = tool_doubt_judge(both, metrics, &doubt, t->member, t->n, set, spec, e->split, threshold,
                          err);
    task_scores_clear(&first);
    return st;
}

static void print(const char *name, const eval_metrics *metrics, const json_t *uncertainty)
{
    printf("%s: mean of the predictions\n\n", name);
    tool_print_metrics(metrics);
    printf("\n");
    tool_print_doubt(uncertainty);
}

/* The cases; *labels: NULL, or what became of theirs. */
static fl_status open_cases(data_set **set, data_spec *spec, json_t **labels, const team *t,
                            const tool_ensemble *e, fl_err *err)
{
    *labels = NULL;
    return e->map == NULL ? tool_open_for_model(set, spec, t->model[0], e->data, err)
                          : tool_open_mapped(set, spec, labels, t->model[0], e->data, e->map,
                                             e->split, err);
}

fl_status tool_ensemble_judge(json_t **out, const tool_ensemble *e, fl_err *err)
{
    team t;
    data_set *set = NULL;
    data_spec spec;
    eval_metrics metrics;
    json_t *both = NULL, *labels = NULL;
    *out = NULL;
    fl_status st = team_read(&t, e, err);
    if (st != FL_OK ||
        (st = open_cases(&set, &spec, &labels, &t, e, err)) != FL_OK) {
        goto done;
    }
    spec.positive = task_model_spec(t.model[0])->positive;
    double threshold = isnan(e->threshold) ? team_threshold(&t) : e->threshold;
    if ((st = judge(&both, &metrics, &t, e, set, &spec, threshold, err)) != FL_OK) {
        goto done;
    }
    char *name = fl_xasprintf("ensemble of %zu models", t.n);
    if (e->prints) {
        print(name, &metrics, json_object_get(both, "uncertainty"));
    }
    json_object_set_new(both, "model", json_string(name));
    json_object_set_new(both, "split", json_string(data_split_name(e->split)));
    json_object_set_new(both, "n", json_integer((json_int_t)data_set_n_split(set, e->split)));
    json_object_set_new(both, "threshold", fl_json_number(threshold));
    free(name);
    if (labels != NULL) {
        json_object_set(both, "labels", labels);
    }
    *out = both;
    both = NULL;  // now the caller's
done:
    json_decref(labels);
    json_decref(both);
    data_set_destroy(&set);
    team_clear(&t);
    return st;
}
