/*
 * run_create.c - a job becomes a run's folder; see run.h
 *
 * What a job's paths lead to is taken in here, once: initial weights become the
 * first model, the graph of a model's file a file of the run whose digest goes
 * into the job's text.  So the run goes on, and sites work, without them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/aggregate.h"
#include "coordinator/carry.h"
#include "coordinator/run.h"
#include "fed/bf16.h"

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
    const char *start = j->init[0] != '\0' ? j->init : j->model.onnx;
    return job_starts_from_file(j) ? start_from_file(start, table, *data, err) : FL_OK;
}

// ------------------------------------------------------- the graph of a file

/* Whether what sites will make of the bytes has the parameters that we have. */
static fl_status check_travels(const char *bytes, size_t n, const nn_graph *g, fl_err *err)
{
    nn_graph *again = NULL;
    float *unused = NULL;
    fl_status st = ckpt_onnx_unpack(&again, &unused, NULL, bytes, n, err);
    if (st == FL_OK && !nn_table_equal(nn_graph_table(again), nn_graph_table(g))) {
        st = fl_fail(err, FL_EUNSUPPORTED, "its graph does not come out of a file as it went in");
    }
    nn_graph_destroy(&again);
    free(unused);
    return st;
}

/*
 * The model's file as it travels, caller's: the graph as it was read, one file whatever the
 * external data, before what the job freezes or cuts.
 */
static fl_status pack_graph(char **out, size_t *n, const job *j, fl_err *err)
{
    nn_graph *g = NULL;
    float *data = NULL;
    ckpt_meta meta = {0};
    char note[512];
    fl_status st = ckpt_onnx_read(&g, &data, &meta, j->model.onnx, err);
    *out = NULL;
    if (st == FL_OK && ckpt_onnx_note(note, sizeof note, g, &meta)) {
        fl_log(FL_LOG_WARN, "run.graph", "%s: %s", j->model.onnx, note);
    }
    if (st == FL_OK && ((st = ckpt_onnx_pack(out, n, g, data, NULL, err)) != FL_OK ||
                        (st = check_travels(*out, *n, g, err)) != FL_OK)) {
        fl_wrap(err, st, "%s", j->model.onnx);
    }
    ckpt_meta_clear(&meta);
    nn_graph_destroy(&g);
    free(data);
    return st;
}

/* Packs the graph of a job whose model is from a file, and puts its digest into the job. */
static fl_status take_graph(char **out, size_t *n, job *j, fl_err *err)
{
    fed_digest digest;
    char hex[FL_HEX_DIGEST];
    uint64_t n_bytes;
    uint32_t n_pieces;
    *out = NULL;
    fl_status st = j->model.onnx[0] != '\0' ? pack_graph(out, n, j, err) : FL_OK;
    if (st != FL_OK || *out == NULL) {
        return st;
    }
    fed_object_digest(&digest, FED_ENC_BYTES, *out, *n, &n_bytes, &n_pieces);
    fl_hex(hex, digest.bytes, sizeof digest.bytes);
    if (j->model.graph[0] != '\0' && strcmp(j->model.graph, hex) != 0) {
        return fl_fail(err, FL_ECONFIG, "model.graph: %s holds another graph, %.16s...",
                       j->model.onnx, hex);
    }
    return job_put_graph(j, hex, err);
}

// ---------------------------------------------------------------- the folder

typedef struct {
    job job;
    char *graph;  // (n_graph) what sites fetch beside it; NULL: nothing
    size_t n_graph;
} plan;

/* job.yaml is written last: its presence means that the folder is complete. */
static fl_status write_folder(const char *dir, const plan *p, const nn_table *table,
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
    char *graph = fl_path_join(dir, RUN_GRAPH);
    char *copy = fl_path_join(dir, "job.yaml");
    if (st == FL_OK && p->graph != NULL) {
        st = fl_file_write(graph, p->graph, p->n_graph, 0644, err);
    }
    if (st == FL_OK && (st = ckpt_safetensors_write(first, table, data, NULL, err)) == FL_OK) {
        st = fl_file_write(copy, p->job.text, p->job.n_text, 0644, err);
    }
    if (st != FL_OK) {
        fl_remove_tree(dir, NULL);
    }
    free(first);
    free(graph);
    free(copy);
    return st;
}

static fl_status make_folder(const char *dir, const plan *p, fl_err *err)
{
    strategy rule;
    task_model *model = NULL;
    float *data = NULL;
    fl_status st;
    if ((st = strategy_init(&rule, &p->job.strategy, err)) == FL_OK &&
        (st = carry_check(&p->job, &rule, err)) == FL_OK &&
        (st = aggregate_check(&p->job, &rule, err)) == FL_OK &&
        (st = make_first_model(&model, &data, &p->job, err)) == FL_OK) {
        if (p->job.bf16_pieces) {
            fed_bf16_round(data, NULL, nn_table_count(task_model_table(model)));
        }
        st = write_folder(dir, p, task_model_table(model), data, err);
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
    plan p = {.graph = NULL};
    job *j = &p.job;
    char *bytes = NULL, *copy = NULL, *part = NULL, *db = NULL;
    size_t n = 0;
    fl_status st = job_read(j, job_path, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = take_graph(&p.graph, &p.n_graph, j, err)) != FL_OK) {
        fl_wrap(err, st, "%s", job_path);
        goto done;
    }
    name = name != NULL ? name : j->name;
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
        if ((st = run_check_quorum(j, sites, err)) == FL_OK) {
            st = make_folder(*dir, &p, err);
        }
        if (st != FL_OK) {
            st = fl_wrap(err, st, "%s", job_path);
        }
        goto done;
    }
    if ((st = fl_file_read(&bytes, &n, copy, JOB_MAX_BYTES, err)) == FL_OK &&
        (n != j->n_text || memcmp(bytes, j->text, n) != 0)) {
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
    free(p.graph);
    job_clear(j);
    if (st != FL_OK) {
        FL_FREE(*dir);
    }
    return st;
}
