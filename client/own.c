/*
 * own.c - see own.h
 */
#include "client/own.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"

/*
 * What a local-only model starts from when the job has initial weights: the model of the
 * first round, which train_round kept.  *there false: this site was not in that round, and
 * another start would be no fair comparison.
 */
static fl_status read_first(float **out, bool *there, const local *l, const char *run_dir,
                            fl_err *err)
{
    *out = NULL;
    *there = true;
    if (!job_starts_from_file(&l->job)) {
        return FL_OK;
    }
    char *path = fl_path_join(run_dir, LOCAL_FIRST_MODEL);
    nn_table *table = NULL;
    fl_status st = FL_OK;
    if (!fl_file_exists(path)) {
        fl_log(FL_LOG_WARN, "baseline.skipped", "why=\"the first round's model is not here\"");
        *there = false;
    } else if ((st = ckpt_safetensors_read(&table, out, NULL, path, err)) == FL_OK &&
               !nn_table_equal(table, task_model_table(l->model))) {
        FL_FREE(*out);
        st = fl_fail(err, FL_EFORMAT, "%s: not of this job's model", path);
    }
    nn_table_destroy(&table);
    free(path);
    return st;
}

static fl_status make_room(own_model *m, const local *l, const char *what, fl_err *err)
{
    m->params = fl_calloc_aligned((size_t)local_n_parameters(l), sizeof *m->params, what, err);
    return m->params != NULL ? FL_OK : FL_ELIMIT;
}

static char *own_path(const char *run_dir, const char *name)
{
    return fl_xasprintf("%s/own/%s.onnx", run_dir, name);
}

/* A run of that name may have been here before. */
static void forget(const char *run_dir, const char *name)
{
    char *file = own_path(run_dir, name);
    unlink(file);
    free(file);
}

/* The job's rule on the site's own validation scores, and the file NAME.onnx. */
static fl_status finish(own_model *m, const local *l, const char *run_dir, const char *name,
                        fl_err *err)
{
    const job_evaluation *e = &l->job.evaluation;
    char *dir = fl_path_join(run_dir, "own"), *file = own_path(run_dir, name);
    fl_status st;
    if ((st = task_threshold(&m->threshold, &m->threshold_why, l->model, m->params, l->now,
                             e->rule, e->at, l->threads, err)) == FL_OK &&
        (st = fl_mkdirs(dir, 0700, err)) == FL_OK) {
        st = task_model_write(l->model, m->params, m->threshold, file, err);
    }
    free(file);
    free(dir);
    m->there = st == FL_OK;
    return st;
}

/* What training has come to: a model that diverged is none. */
static fl_status judge_training(own_model *m, fl_status st, const fl_err *why, fl_err *err)
{
    if (st == FL_OK) {
        return FL_OK;
    }
    own_clear(m);
    if (st == FL_EFORMAT) {
        fl_log(FL_LOG_WARN, "own.diverged", "why=\"%s\"", why->text);
        return FL_OK;
    }
    *err = *why;
    return st;
}

fl_status own_make_local(own_model *out, local *l, const char *run_dir, local_progress *progress,
                         fl_err *err)
{
    fl_err why = FL_ERR_INIT;
    float *first;
    bool can_start;
    *out = (own_model){.threshold = 0.5};
    forget(run_dir, "local");
    if (!l->job.evaluation.local_baseline) {
        return FL_OK;
    }
    fl_status st = read_first(&first, &can_start, l, run_dir, err);
    if (st != FL_OK || !can_start) {
        return st;
    }
    if ((st = make_room(out, l, "the local-only model", err)) == FL_OK) {
        st = local_baseline(l, out->params, first, progress, &out->how, &why);
        st = judge_training(out, st, &why, err);
    }
    free(first);
    return st == FL_OK && out->params != NULL ? finish(out, l, run_dir, "local", err) : st;
}

fl_status own_make_personal(own_model *out, local *l, const float *global, const char *run_dir,
                            local_progress *progress, fl_err *err)
{
    fl_err why = FL_ERR_INIT;
    *out = (own_model){.threshold = 0.5};
    forget(run_dir, "personal");
    if (!l->job.evaluation.personal.asked) {
        return FL_OK;
    }
    fl_status st = make_room(out, l, "the personalised model", err);
    if (st == FL_OK) {
        st = local_personal(l, out->params, global, progress, &out->how, &why);
        st = judge_training(out, st, &why, err);
    }
    return st == FL_OK && out->params != NULL ? finish(out, l, run_dir, "personal", err) : st;
}

fl_status own_read_local(own_model *out, const local *l, const char *run_dir, fl_err *err)
{
    task_model *read = NULL;
    char *file = own_path(run_dir, "local");
    fl_status st = FL_OK;
    *out = (own_model){.threshold = 0.5};
    if (fl_file_exists(file) &&
        (st = task_model_read(&read, &out->params, NULL, file, err)) == FL_OK &&
        !nn_table_equal(task_model_table(read), task_model_table(l->model))) {
        st = fl_fail(err, FL_EFORMAT, "%s: not of this job's model", file);
    }
    if (st == FL_OK && out->params != NULL) {
        double threshold = task_model_threshold(read);
        out->threshold = isnan(threshold) ? 0.5 : threshold;
        out->there = true;
    } else {
        own_clear(out);
    }
    task_model_destroy(&read);
    free(file);
    return st;
}

void own_clear(own_model *m)
{
    free(m->params);
    m->params = NULL;
    m->there = false;
}

json_t *own_json(const own_model *m)
{
    json_t *json = json_object();
    json_object_set_new(json, "best_step", json_integer(m->how.best_step));
    json_object_set_new(json, "steps", json_integer(m->how.steps));
    if (m->threshold_why != NULL) {
        json_object_set_new(json, "threshold_why", json_string(m->threshold_why));
    }
    return json;
}
