/*
 * ensemble.c - see ensemble.h
 */
#include "sim/ensemble.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim/baseline.h"
#include "sim/extra.h"

typedef struct {
    const char *name;  // of the key
    char **path;       // (n) owned; the scenario's own model first in an ensemble
    size_t n;
    const char *graph;  // of a snapshot's numbers; borrowed
    json_t *which;      // seeds, or rounds
} team;

static team team_new(const char *name, int64_t n)
{
    return (team){.name = name, .path = fl_xcalloc((size_t)n, sizeof(char *)),
                  .which = json_array()};
}

static void team_add(team *t, char *path, uint64_t which)
{
    t->path[t->n++] = path;
    json_array_append_new(t->which, json_integer((json_int_t)which));
}

static void team_clear(team *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->path[i]);
    }
    free(t->path);
    json_decref(t->which);
}

/* {"metrics", "members": [{METRIC: FIGURE}...], "differences", "uncertainty"} of one data set. */
static fl_status judge_at(json_t **out, const team *t, const scenario *s, const char *data,
                          const char *name, fl_err *err)
{
    const baseline_models models = {.path = (const char *const *)t->path, .n = t->n,
                                    .graph = t->graph, .joined = true, .seed = s->job.seed};
    json_t *list = NULL;
    fl_status st = baseline_judge(&list, &models, data, name, err);
    if (st != FL_OK) {
        return st;
    }
    const json_t *all = json_array_get(list, t->n);
    json_t *members = json_array();
    for (size_t i = 0; i < t->n; i++) {
        json_array_append_new(members, baseline_metrics(json_array_get(list, i), true));
    }
    *out = json_pack("{s:o, s:o, s:O*, s:O*}", "metrics", baseline_metrics(all, true), "members",
                     members, "differences", json_object_get(all, "differences"), "uncertainty",
                     json_object_get(all, "uncertainty"));
    json_decref(list);
    return FL_OK;
}

static fl_status judge_all(json_t **figures, const team *t, const char *which, const scenario *s,
                           const char *data, fl_err *err)
{
    json_t *sites = json_object(), *pooled = NULL;
    fl_status st = FL_OK;
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        char *last = scenario_last_folder(&s->hospitals[i]);
        json_t *at = NULL;
        fl_progress("%s: hospital %zu of %zu, %s", t->name, i + 1, s->n_hospitals,
                    s->hospitals[i].name);
        if ((st = judge_at(&at, t, s, data, last, err)) == FL_OK) {
            json_object_set_new(sites, s->hospitals[i].name, at);
        }
        free(last);
    }
    if (st == FL_OK && (st = judge_at(&pooled, t, s, data, "pooled", err)) == FL_OK) {
        *figures = json_pack("{s:I, s:O, s:O, s:o}", "members", (json_int_t)t->n, which, t->which,
                             "sites", sites, "pooled", pooled);
    }
    json_decref(sites);
    return st == FL_OK ? st : fl_wrap(err, st, "%s", t->name);
}

fl_status ensemble_figures(json_t **figures, const scenario *s, const char *data,
                           const char *out, fl_err *err)
{
    team t = team_new("ensemble", s->compared.ensemble);
    fl_status st = FL_OK;
    *figures = NULL;
    team_add(&t, extra_model(s, out), s->job.seed);
    for (size_t k = 2; k <= (size_t)s->compared.ensemble && st == FL_OK; k++) {
        extra e;
        fl_progress("ensemble: member %zu of %lld", k, (long long)s->compared.ensemble);
        if ((st = extra_member(&e, s, k, out, err)) == FL_OK &&
            (st = extra_play(&e, data, err)) == FL_OK) {
            team_add(&t, extra_model(s, e.out), e.seed);
        } else {
            fl_wrap(err, st, "ensemble: member %zu", k);
        }
        extra_clear(&e);
    }
    if (st == FL_OK) {
        st = judge_all(figures, &t, "seeds", s, data, err);
    }
    team_clear(&t);
    return st;
}

fl_status ensemble_snapshot_figures(json_t **figures, const scenario *s, const char *data,
                                    const char *out, fl_err *err)
{
    team t = team_new("snapshot", s->compared.snapshot);
    char *graph = extra_model(s, out);
    int64_t rounds = s->job.rounds;
    *figures = NULL;
    t.graph = graph;
    for (int64_t round = rounds; round > rounds - s->compared.snapshot; round--) {
        team_add(&t,
                 fl_xasprintf("%s/federation/runs/%s/model/round-%04lld.safetensors", out, s->name,
                              (long long)round),
                 (uint64_t)round);
    }
    fl_status st = judge_all(figures, &t, "rounds", s, data, err);
    free(graph);
    team_clear(&t);
    return st;
}
