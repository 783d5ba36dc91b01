/*
 * run_create.c - a job becomes a run's folder; see run.h
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/run.h"

/* Says of every parameter whether it starts from the file. */
static fl_status start_from_file(const char *path, const nn_table *table, float *data, fl_err *err)
{
    ckpt_match match;
    fl_status st = ckpt_load_into(path, table, data, &match, err);

    if (st == FL_OK) {
        fl_log(match.n_matched < match.n ? FL_LOG_WARN : FL_LOG_INFO, "run.init",
               "matched=%zu of=%zu other_shape=\"%.400s\" missing=\"%.400s\" extra=\"%.400s\"",
               match.n_matched, match.n, match.other_shape, match.missing, match.extra);
    }
    ckpt_match_clear(&match);
    return st == FL_OK ? st : fl_wrap(err, st, "init");
}

/* The first model: drawn from the job's seed, or given. */
static fl_status make_first_model(task_model **model, float **data, const job *j, fl_err *err)
{
    fl_status st = task_model_new(model, &j->data, &j->model, err);
    if (st != FL_OK || (st = task_model_set_loss(*model, &j->local.loss, err)) != FL_OK) {
        return st;
    }
    const nn_table *table = task_model_table(*model);
    *data = fl_calloc_aligned((size_t)nn_table_count(table), sizeof **data, "the model", err);
    if (*data == NULL) {
        return FL_ELIMIT;
    }
    nn_graph_init(task_model_graph(*model), *data, j->seed);
    return j->init[0] != '\0' ? start_from_file(j->init, table, *data, err) : FL_OK;
}

/* job.yaml is written last: its presence means that the folder is complete. */
static fl_status write_folder(const char *dir, const job *j, const nn_table *table,
                              const float *data, fl_err *err)
{
    static const char *const parts[] = {"model", "spool", "report"};
    fl_status st = FL_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && st == FL_OK; i++) {
        char *part = fl_path_join(dir, parts[i]);
        st = fl_mkdirs(part, 0755, err);
        free(part);
    }
    char *first = fl_path_join(dir, "model/round-0000.safetensors");
    char *copy = fl_path_join(dir, "job.yaml");
    if (st == FL_OK && (st = ckpt_safetensors_write(first, table, data, NULL, err)) == FL_OK) {
        st = fl_file_write(copy, j->text, j->n_text, 0644, err);
    }
    if (st != FL_OK) {
        fl_remove_tree(dir, NULL);
    }
    free(first);
    free(copy);
    return st;
}

static fl_status make_folder(const char *dir, const job *j, fl_err *err)
{
    strategy ignored;
    task_model *model = NULL;
    float *data = NULL;
    fl_status st;
    if ((st = strategy_init(&ignored, &j->strategy, err)) == FL_OK &&
        (st = make_first_model(&model, &data, j, err)) == FL_OK) {
        st = write_folder(dir, j, task_model_table(model), data, err);
    }
    free(data);
    task_model_destroy(&model);
    return st;
}

fl_status run_check_quorum(const job *j, const roster *sites, fl_err *err)
{
    size_t expected = 0;
    for (size_t i = 0; i < roster_n(sites); i++) {
        expected += roster_at(sites, i)->status != ROSTER_REMOVED;
    }
    if (j->sites.quorum <= (int64_t)expected) {
        return FL_OK;
    }
    return fl_fail(err, FL_ECONFIG,
                   "sites.quorum: the job needs %lld sites, %zu %s enrolled or invited; "
                   "`consilium-coordinator invite` more, or lower it",
                   (long long)j->sites.quorum, expected, expected == 1 ? "is" : "are");
}

fl_status run_create(char **dir, const federation *f, const roster *sites, const char *job_path,
                     const char *name, fl_err *err)
{
    *dir = NULL;
    job j;
    char *bytes = NULL, *copy = NULL, *part = NULL, *db = NULL;
    size_t n = 0;
    fl_status st = job_read(&j, job_path, err);
    if (st != FL_OK) {
        return st;
    }
    name = name != NULL ? name : j.name;
    if (*name == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name) ||
        strlen(name) >= FED_NAME_BYTES) {
        st = fl_fail(err, FL_EUSAGE, "--name: expected at most %d of a-z, 0-9, _ and -, found %s",
                     FED_NAME_BYTES - 1, name);
        goto done;
    }
    part = fl_xasprintf("runs/%s", name);
    *dir = federation_path(f, part);
    copy = fl_path_join(*dir, "job.yaml");
    db = fl_path_join(*dir, "state.db");
    if (!fl_file_exists(copy) && fl_file_exists(db)) {
        st = fl_fail(err, FL_ECONFLICT,
                     "%s holds a run and has lost its job.yaml: put it back, or use --name", *dir);
        goto done;
    }
    if (!fl_file_exists(copy)) {
        if ((st = run_check_quorum(&j, sites, err)) == FL_OK) {
            st = make_folder(*dir, &j, err);
        }
        if (st != FL_OK) {
            st = fl_wrap(err, st, "%s", job_path);
        }
        goto done;
    }
    if ((st = fl_file_read(&bytes, &n, copy, JOB_MAX_BYTES, err)) == FL_OK &&
        (n != j.n_text || memcmp(bytes, j.text, n) != 0)) {
        st = fl_fail(err, FL_ECONFLICT,
                     "a run called %s with another job is in %s: rename the job, or name the run "
                     "with --name",
                     name, *dir);
    }
done:
    free(bytes);
    free(copy);
    free(db);
    free(part);
    job_clear(&j);
    if (st != FL_OK) {
        FL_FREE(*dir);
    }
    return st;
}
