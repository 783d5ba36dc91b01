/*
 * leave_out.c - see leave_out.h
 */
#include "sim/leave_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cfg.h"
#include "base/log.h"
#include "base/mem.h"
#include "sim/baseline.h"
#include "sim/play.h"

char *leave_out_cost(const scenario *s)
{
    return fl_xasprintf(
        "leave_one_out: %zu more federations of %zu hospitals, with as many rounds; "
        "about %zu times the time of this one",
        s->n_hospitals, s->n_hospitals - 1, s->n_hospitals - 1);
}

/* The job for one hospital fewer: its quorum can be met, and no hospital trains
 * a model of its own again. */
static fl_status smaller_job(char **out, const scenario *s, fl_err *err)
{
    fl_cfg *c = NULL;
    fl_buf text = FL_BUF_INIT;
    char quorum[32];
    int64_t most = (int64_t)s->n_hospitals - 1;
    snprintf(quorum, sizeof quorum, "%lld",
             (long long)(s->job.sites.quorum < most ? s->job.sites.quorum : most));
    fl_status st;
    if ((st = fl_cfg_parse(&c, s->job_yaml, strlen(s->job_yaml), "job", ".", err)) == FL_OK &&
        (st = fl_cfg_set(c, "sites.quorum", quorum, err)) == FL_OK &&
        (st = fl_cfg_set(c, "evaluation.local_baseline.budget", "none", err)) == FL_OK) {
        st = fl_cfg_emit(fl_cfg_root(c), false, &text, err);
    }
    *out = fl_buf_take(&text);
    fl_cfg_destroy(&c);
    return st;
}

/* Plays the others' federation and judges its model at hospital h. */
static fl_status without(json_t **metrics, const scenario *s, size_t h, const char *job_yaml,
                         const char *data, const char *dir, fl_err *err)
{
    scenario others = *s;  // shares all but the list and the job's text
    char *out = fl_xasprintf("%s/%s", dir, s->hospitals[h].name);
    char *model = fl_xasprintf("%s/federation/runs/%s/model/final.onnx", out, s->name);
    char *last = scenario_last_folder(&s->hospitals[h]), *yaml = fl_xstrdup(job_yaml);
    others.hospitals = fl_xcalloc(s->n_hospitals, sizeof *others.hospitals);
    others.n_hospitals = 0;
    for (size_t i = 0; i < s->n_hospitals; i++) {
        if (i != h) {
            others.hospitals[others.n_hospitals++] = s->hospitals[i];
        }
    }
    others.job_yaml = yaml;
    others.centralised = others.leave_one_out = false;
    fl_status st = play_run(
        &others, &(play_options){.out = out, .data = data, .data_is_made = true, .quiet = true},
        err);
    if (st == FL_OK) {
        st = baseline_evaluate(metrics, model, data, last, err);
    }
    free(others.hospitals);
    free(yaml);
    free(last);
    free(model);
    free(out);
    return st;
}

fl_status leave_out_figures(json_t **out, const scenario *s, const char *data, const char *dir,
                            fl_err *err)
{
    json_t *sites = json_object();
    char *job_yaml = NULL;
    *out = NULL;
    fl_status st = smaller_job(&job_yaml, s, err);
    for (size_t h = 0; h < s->n_hospitals && st == FL_OK; h++) {
        json_t *metrics = NULL;
        fl_progress("leaving one out: hospital %zu of %zu, %s", h + 1, s->n_hospitals,
                    s->hospitals[h].name);
        if ((st = without(&metrics, s, h, job_yaml, data, dir, err)) == FL_OK) {
            json_object_set_new(sites, s->hospitals[h].name, metrics);
        } else {
            fl_wrap(err, st, "leaving %s out", s->hospitals[h].name);
        }
    }
    if (st == FL_OK) {
        *out = json_pack("{s:O}", "sites", sites);
    }
    json_decref(sites);
    free(job_yaml);
    return st;
}
