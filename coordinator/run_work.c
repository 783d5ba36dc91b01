/*
 * run_work.c - what a run's transitions leave on the disk; see run.h
 *
 * Everything here is a function of the record and of files that the record
 * vouches for, so that a restarted coordinator does it again with the same
 * result.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/aggregate.h"
#include "coordinator/choose.h"
#include "coordinator/nova.h"
#include "coordinator/report_build.h"
#include "coordinator/run_inside.h"
#include "coordinator/spool.h"
#include "coordinator/vectors.h"
#include "fed/bf16.h"

/* model/round-0003.safetensors or model/state-0003.safetensors */
static char *model_path(const run *r, const char *what, uint32_t round)
{
    char part[64];
    snprintf(part, sizeof part, "model/%s-%04u.safetensors", what, (unsigned)round);
    return fl_path_join(r->dir, part);
}

// ---------------------------------------------------------- models and spools

void run_serve_instead(run *r, const record_model *model)
{
    if (r->has_base && !fed_digest_equal(&r->base.object, &model->object)) {
        objects_drop(r->objects, &r->base.object);
    }
    r->base = *model;
    r->has_base = true;
}

/* Serves the model that round committed; its file must be what the record says. */
static fl_status serve_model(run *r, uint32_t round, fl_err *err)
{
    record_model model;
    fed_digest found;
    fl_status st = record_get_model(r->record, round, &model, err);
    if (st != FL_OK) {
        return st;
    }
    if (objects_model(r->objects, &model.object) == NULL) {  // else make_model has just put it there
        char *path = model_path(r, "round", round);
        st = objects_add_model(r->objects, path, r->check.table, r->check.enc, &found, err);
        if (st == FL_OK && !fed_digest_equal(&found, &model.object)) {
            objects_drop(r->objects, &found);
            st = fl_fail(err, FL_EFORMAT,
                         "%s: damaged: its numbers are not those that were committed", path);
        }
        free(path);
    }
    if (st == FL_OK) {
        run_serve_instead(r, &model);
    }
    return st;
}

/* Round 0: what run_create wrote. */
static fl_status record_first_model(run *r, fl_err *err)
{
    if (record_has_model(r->record, 0)) {
        return FL_OK;
    }
    record_model first = {.loss = NAN, .seconds = NAN, .committed_ms = fl_wall_ms()};
    char *path = model_path(r, "round", 0);
    fl_status st = objects_add_model(r->objects, path, r->check.table, r->check.enc,
                                     &first.object, err);
    free(path);
    if (st != FL_OK) {
        return st;
    }
    nn_params_sha256(first.id.bytes, r->check.table, objects_model(r->objects, &first.object));
    if ((st = record_begin(r->record, err)) == FL_OK &&
        (st = record_put_model(r->record, 0, &first, err)) == FL_OK) {
        st = record_commit(r->record, err);
    }
    record_rollback(r->record);
    return st;
}

typedef struct {
    run *r;
    fed_site_id *lost;
    size_t n_lost;
    char **kept;  // paths of spools that wait to be carried
    size_t n_kept;
} spool_survey;

static fl_status survey_spool(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    spool_survey *s = ctx;
    if (a->state != ROUND_IN || !a->has_offer) {
        return FL_OK;
    }
    char *path = run_spool_path(s->r, &a->offer);
    if (!spool_verify(path, s->r->check.enc, a->offer.n_bytes, a->offer.n_pieces,
                      &a->offer.digest)) {
        s->lost = fl_xrealloc(s->lost, s->n_lost + 1, sizeof *s->lost);
        s->lost[s->n_lost++] = a->site;
    }
    free(path);
    return FL_OK;
}

/* Accepted updates whose spools a power cut took are asked for again. */
static fl_status find_lost_spools(run *r, int64_t now_ms, fl_err *err)
{
    round_state state = round_now(r->machine);
    if (state != ROUND_TRAINING && state != ROUND_AGGREGATING) {
        return FL_OK;
    }
    uint32_t round = round_number(r->machine);
    spool_survey s = {.r = r};
    fl_status st = record_answers(r->record, FED_TRAIN, round, survey_spool, &s, err);
    if (st == FL_OK && s.n_lost > 0 && (st = record_begin(r->record, err)) == FL_OK) {
        round_step back = {.kind = ROUND_STEP_ENTER, .state = ROUND_TRAINING, .round = round};
        if (state == ROUND_AGGREGATING &&
            (st = record_step(r->record, r->machine, &back, err)) == FL_OK) {
            round_apply(r->machine, &back, now_ms);
        }
        for (size_t i = 0; i < s.n_lost && st == FL_OK; i++) {
            round_step lost = {.kind = ROUND_STEP_LOST,
                               .site = round_add_site(r->machine, &s.lost[i], now_ms)};
            fl_log(FL_LOG_WARN, "run.lost_spool", "site=%s round=%u", s.lost[i].text, round);
            st = record_step(r->record, r->machine, &lost, err);
            round_apply(r->machine, &lost, now_ms);
        }
        if (st == FL_OK) {
            st = record_commit(r->record, err);
        }
        record_rollback(r->record);
    }
    free(s.lost);
    return st;
}

/* Updates that wait to be carried: their spools were flushed, and nobody can be asked again. */
static fl_status check_carried(void *ctx, const record_answer *a, fl_err *err)
{
    spool_survey *s = ctx;
    char *path = run_spool_path(s->r, &a->offer);
    fl_status st = FL_OK;
    if (!spool_verify(path, s->r->check.enc, a->offer.n_bytes, a->offer.n_pieces,
                      &a->offer.digest)) {
        st = fl_fail(err, FL_EFORMAT,
                     "%s: damaged or gone, and %s counts on it: put it back from a copy of the disk",
                     path, a->site.text);
    }
    s->kept = fl_xrealloc(s->kept, s->n_kept + 1, sizeof *s->kept);
    s->kept[s->n_kept++] = path;
    return st;
}

static bool is_kept(const spool_survey *s, const char *name)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        if (strcmp(fl_path_base(s->kept[i]), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Spools of other rounds are left-overs, but for those in kept; so are own models that all have
 * judged. */
static void sweep_spools(const run *r, const spool_survey *s)
{
    char *dir = fl_path_join(r->dir, "spool");
    char keep[32];
    char **names = NULL;
    size_t n = 0;
    round_state state = round_now(r->machine);
    bool lending = state == ROUND_LENDING || state == ROUND_CROSSING;
    snprintf(keep, sizeof keep, "%s-%08x-", fed_order_name(lending ? FED_LEND : FED_TRAIN),
             (unsigned)round_number(r->machine));
    bool is_used = lending || state == ROUND_TRAINING || state == ROUND_AGGREGATING;
    if (fl_list_dir(&names, &n, dir, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            bool is_open = is_used && strncmp(names[i], keep, strlen(keep)) == 0;
            if (!is_open && !is_kept(s, names[i])) {
                char *path = fl_path_join(dir, names[i]);
                unlink(path);
                free(path);
            }
        }
        fl_names_free(&names, n);
    }
    free(dir);
}

/* The spools of updates that are in a model now. */
static fl_status drop_folded(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    if (a->has_offer) {
        char *path = run_spool_path(ctx, &a->offer);
        unlink(path);
        free(path);
    }
    return FL_OK;
}

static void drop_spools(run *r, uint32_t round)
{
    (void)record_answers(r->record, FED_TRAIN, round, drop_folded, r, NULL);
    (void)record_carried(r->record, round, drop_folded, r, NULL);
}

/* The strategy's vectors behind the committed model stay; older ones go. */
static void sweep_vectors(const run *r, uint32_t committed)
{
    static const char *const kept[] = {"state", "rest"};
    for (uint32_t back = 1; back <= 2 && back <= committed; back++) {
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
            char *path = model_path(r, kept[i], committed - back);
            unlink(path);
            free(path);
        }
    }
}

static uint32_t served_round(const run *r)
{
    return round_now(r->machine) >= ROUND_CHOOSING ? round_number(r->machine)
                                                   : round_committed(r->machine);
}

static fl_status load_reports(run *r, fl_err *err)
{
    if (round_now(r->machine) < ROUND_HANDING) {
        return FL_OK;
    }
    json_t *report = NULL;
    char *path = fl_path_join(r->dir, "report/report.json");
    fl_status st = fl_json_read(&report, path, 1u << 30, err);
    free(path);
    if (st != FL_OK) {
        return st;
    }
    r->n_reports = round_n_sites(r->machine);
    r->reports = fl_xrealloc(r->reports, r->n_reports, sizeof *r->reports);
    for (size_t i = 0; i < r->n_reports; i++) {
        if (i > 0 && !r->job.codes) {
            r->reports[i] = r->reports[0];  // with real names every site is handed the same
            continue;
        }
        json_t *own = report_for_site(report, round_at(r->machine, i)->name.text);
        char *text = fl_json_text(own);
        objects_add_bytes(r->objects, text, strlen(text), &r->reports[i]);
        free(text);
        json_decref(own);
    }
    json_decref(report);
    return FL_OK;
}

fl_status run_resume(run *r, int64_t now_ms, fl_err *err)
{
    fl_status st;
    if ((st = record_first_model(r, err)) != FL_OK) {
        return st;
    }
    spool_survey carried = {.r = r};
    st = record_carried(r->record, 0, check_carried, &carried, err);
    if (st == FL_OK) {
        sweep_spools(r, &carried);
    }
    for (size_t i = 0; i < carried.n_kept; i++) {
        free(carried.kept[i]);
    }
    free(carried.kept);
    if (st != FL_OK || (st = find_lost_spools(r, now_ms, err)) != FL_OK ||
        (st = round_now(r->machine) == ROUND_CROSSING ? run_serve_lent(r, err)
                                                      : serve_model(r, served_round(r), err)) !=
            FL_OK ||
        (st = load_reports(r, err)) != FL_OK) {
        return st;
    }
    return audit_publish(r->audit, err);
}

// ---------------------------------------------------- the work between states

/* The accepted updates of a round, in site order, and behind them those that are carried into it. */
typedef struct {
    run *r;
    uint32_t round;
    size_t n;
    char **path;
    fed_site_id *site;
    fed_digest *digest;
    uint64_t *weight;
    double *norm;    // where partial work counts: nova.h
    uint32_t *late;  // rounds that each comes after its own: carry.h
    double loss_sum, loss_weight;
} round_updates;

static void add_any_update(round_updates *u, const record_answer *a)
{
    const job *j = &u->r->job;
    u->late = fl_xrealloc(u->late, u->n + 1, sizeof *u->late);
    u->late[u->n] = u->round - a->offer.key.round.n;
    u->path = fl_xrealloc(u->path, u->n + 1, sizeof *u->path);
    u->weight = fl_xrealloc(u->weight, u->n + 1, sizeof *u->weight);
    u->path[u->n] = run_spool_path(u->r, &a->offer);
    u->site = fl_xrealloc(u->site, u->n + 1, sizeof *u->site);
    u->site[u->n] = a->site;
    u->digest = fl_xrealloc(u->digest, u->n + 1, sizeof *u->digest);
    u->digest[u->n] = a->offer.digest;
    if (j->sites.partial) {
        u->norm = fl_xrealloc(u->norm, u->n + 1, sizeof *u->norm);
        u->norm[u->n] = nova_norm(&j->local, job_strategy_param(&j->strategy, "mu", 0),
                                  (int64_t)fed_offer_get(&a->offer, "steps", 1));
    }
    u->weight[u->n++] = (uint64_t)fed_offer_get(&a->offer, "weight", 1);
}

static fl_status add_update(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    round_updates *u = ctx;
    if (a->state != ROUND_IN || !a->has_offer) {
        return FL_OK;
    }
    add_any_update(u, a);
    double loss = fed_offer_get(&a->offer, "loss", NAN);
    if (!isnan(loss)) {
        double weight = fed_offer_get(&a->offer, "weight", 1);
        u->loss_sum += weight * loss;
        u->loss_weight += weight;
    }
    return FL_OK;
}

static fl_status add_carried(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    add_any_update(ctx, a);
    return FL_OK;
}

static fl_status read_update(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                             fl_err *err)
{
    const round_updates *u = ctx;
    return spool_read_values(u->path[i], u->r->check.enc, out, offset, count, err);
}

static void clear_updates(round_updates *u)
{
    for (size_t i = 0; i < u->n; i++) {
        free(u->path[i]);
    }
    free(u->path);
    free(u->site);
    free(u->digest);
    free(u->weight);
    free(u->norm);
    free(u->late);
}

/* Whose updates a strategy that chooses took. */
static fl_status note_chosen(const round_updates *u, const bool *counted, fl_err *err)
{
    fl_buf names = FL_BUF_INIT;
    fl_status st = FL_OK;
    for (size_t i = 0; i < u->n && st == FL_OK; i++) {
        if (counted[i]) {
            fl_buf_printf(&names, "%s%s", names.n > 0 ? " " : "", u->site[i].text);
            st = record_choose(u->r->record, u->round, &u->site[i], &u->digest[i], err);
        }
    }
    fl_log(FL_LOG_INFO, "round.chosen", "run=%s round=%u of=%zu sites=\"%.400s\"", u->r->name,
           u->round, u->n, names.data != NULL ? names.data : "");
    fl_buf_clear(&names);
    return st;
}

/* A file of the run's folder that verify holds against its digest.  (A round's model needs none:
 * its bytes follow from the numbers that model_sha256 names.) */
static fl_status note_file(run *r, const char *what, const char *part, fl_err *err)
{
    uint8_t sha256[FL_SHA256_BYTES];
    char hex[FL_HEX_DIGEST];
    char *path = fl_path_join(r->dir, part);
    fl_status st = fl_sha256_file(sha256, path, err);
    free(path);
    if (st != FL_OK) {
        return st;
    }
    fl_hex(hex, sha256, sizeof sha256);
    return record_note(
        r->record, json_pack("{s:s, s:s, s:s}", "what", what, "path", part, "sha256", hex), err);
}

/* Writes the files of round's model: its vectors first, the model last. */
static fl_status write_model(run *r, uint32_t round, const float *data, float *const *vectors,
                             fl_err *err)
{
    fl_status st = FL_OK;
    if (r->strategy.ops->n_vectors > 0) {
        char *path = model_path(r, "state", round);
        st = vectors_write(path, &r->strategy, r->P, vectors, err);
        if (st == FL_OK) {
            st = note_file(r, "file", path + strlen(r->dir) + 1, err);
        }
        free(path);
        if (st == FL_OK) {
            st = run_probe_at(r, "between", "vectors and model", round, err);
        }
    }
    if (st == FL_OK) {
        char *path = model_path(r, "round", round);
        st = ckpt_safetensors_write(path, r->check.table, data, NULL, err);
        free(path);
    }
    return st;
}

static fl_status load_vectors(run *r, uint32_t round, float ***vectors, fl_err *err)
{
    if (round == 1 || r->strategy.ops->n_vectors == 0) {
        *vectors = vectors_new(&r->strategy, r->P, err);
        return *vectors != NULL ? FL_OK : FL_ELIMIT;
    }
    char *path = model_path(r, "state", round - 1);
    fl_status st = vectors_read(vectors, path, &r->strategy, r->P, err);
    free(path);
    return st;
}

/* What rounding left of the model before round's (P), caller's: nothing before the first. */
static fl_status load_rest(float **rest, run *r, uint32_t round, fl_err *err)
{
    *rest = NULL;
    if (round == 1) {
        *rest = fl_calloc_aligned((size_t)r->P, sizeof **rest, "the remainder", err);
        return *rest != NULL ? FL_OK : FL_ELIMIT;
    }
    nn_table *found = NULL;
    ckpt_meta meta = {NULL, NULL, 0};
    char *path = model_path(r, "rest", round - 1);
    fl_status st = ckpt_safetensors_read(&found, rest, &meta, path, err);
    if (st == FL_OK && !nn_table_equal(found, r->check.table)) {
        st = fl_fail(err, FL_EFORMAT, "%s: not what rounding left of this job's model", path);
    }
    ckpt_meta_clear(&meta);
    nn_table_destroy(&found);
    free(path);
    return st;
}

/*
 * Where pieces are bfloat16 the committed model is the rounded one, for everybody.  What
 * rounding took is kept beside it and added before the next (error feedback: Seide et al. 2014,
 * Karimireddy et al. 2019), so that steps below half a unit are not lost for good.
 * out: NULL when the round was abandoned; then the remainder is that of the round before.
 */
static fl_status round_model(run *r, uint32_t round, float *out, fl_err *err)
{
    float *rest = NULL;
    if (r->check.enc != FED_ENC_BF16) {
        return FL_OK;
    }
    fl_status st = load_rest(&rest, r, round, err);
    if (st == FL_OK && out != NULL) {
        nn_vec_axpy(out, 1, rest, r->P);
        fed_bf16_round(out, rest, r->P);
        st = nn_vec_is_finite(out, r->P)
                 ? FL_OK
                 : fl_fail(err, FL_EFORMAT, "the new global model is too large for bfloat16");
    }
    if (st == FL_OK) {
        char *path = model_path(r, "rest", round);
        if ((st = ckpt_safetensors_write(path, r->check.table, rest, NULL, err)) == FL_OK) {
            st = note_file(r, "file", path + strlen(r->dir) + 1, err);
        }
        free(path);
    }
    free(rest);
    return st;
}

/* round_commit: a pure function of what is on disk, so a restart makes the same bits. */
static fl_status make_model(run *r, uint32_t round, record_model *model, fl_err *err)
{
    round_updates u = {.r = r, .round = round};
    float **vectors = NULL;
    float *out = NULL;
    bool *counted = NULL;
    fl_status st;
    fl_mem_give_back();  // of pieces that came in: the peak is here, where two models are in memory
    if ((st = record_answers(r->record, FED_TRAIN, round, add_update, &u, err)) != FL_OK ||
        (st = record_carried(r->record, 0, add_carried, &u, err)) != FL_OK ||
        (st = load_vectors(r, round, &vectors, err)) != FL_OK) {
        goto done;
    }
    out = fl_calloc_aligned((size_t)r->P, sizeof *out, "the new model", err);
    if (out == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    counted = fl_xcalloc(u.n, sizeof *counted);
    aggregate_input in = {.n = u.n,
                          .weight = u.weight,
                          .norm = u.norm,
                          .late = u.late,
                          .ctx = &u,
                          .read = read_update};
    if ((st = aggregate_run(out, counted, vectors, &r->strategy, r->check.table,
                            objects_model(r->objects, &r->base.object), &in, err)) != FL_OK ||
        (r->strategy.ops->choose != NULL && (st = note_chosen(&u, counted, err)) != FL_OK) ||
        (st = round_model(r, round, out, err)) != FL_OK ||
        (st = write_model(r, round, out, vectors, err)) != FL_OK) {
        goto done;
    }
    *model = (record_model){.bytes_up = r->bytes_up,
                            .bytes_down = r->bytes_down,
                            .seconds = fl_now() - r->round_started,
                            .loss = u.loss_weight > 0 ? u.loss_sum / u.loss_weight : NAN,
                            .committed_ms = fl_wall_ms()};
    /* What the file holds is served from now on, so that is what is hashed, and once. */
    FL_FREE(out);
    char *path = model_path(r, "round", round);
    st = objects_add_model(r->objects, path, r->check.table, r->check.enc, &model->object,
                           err);
    free(path);
    if (st == FL_OK) {
        nn_params_sha256(model->id.bytes, r->check.table,
                         objects_model(r->objects, &model->object));
    }
done:
    free(out);
    free(counted);
    vectors_free(&vectors, &r->strategy);
    clear_updates(&u);
    return st == FL_OK ? st : fl_wrap(err, st, "round %u", round);
}

/* round_abandon: the model of the round before, and the vectors behind it, once more. */
static fl_status keep_model(run *r, uint32_t round, record_model *model, fl_err *err)
{
    float **vectors = NULL;
    fl_status st = load_vectors(r, round, &vectors, err);
    if (st == FL_OK && (st = round_model(r, round, NULL, err)) == FL_OK) {
        st = write_model(r, round, objects_model(r->objects, &r->base.object), vectors, err);
    }
    vectors_free(&vectors, &r->strategy);
    *model = (record_model){.object = r->base.object,
                            .id = r->base.id,
                            .bytes_up = r->bytes_up,
                            .bytes_down = r->bytes_down,
                            .seconds = fl_now() - r->round_started,
                            .loss = NAN,
                            .committed_ms = fl_wall_ms()};
    return st == FL_OK ? st : fl_wrap(err, st, "round %u", round);
}

static fl_status write_final_model(run *r, fl_err *err)
{
    const float *data = objects_model(r->objects, &r->base.object);
    double threshold;
    int64_t bins;
    char why[FED_TEXT_BYTES];
    char *onnx = fl_path_join(r->dir, "model/final.onnx");
    char *safetensors = fl_path_join(r->dir, "model/final.safetensors");
    fl_status st;
    if ((st = record_get_threshold(r->record, &threshold, &bins, why, err)) == FL_OK &&
        (st = ckpt_safetensors_write(safetensors, r->check.table, data, NULL, err)) == FL_OK) {
        st = task_model_write(r->model, data, threshold, onnx, err);
    }
    free(onnx);
    free(safetensors);
    return st;
}

static fl_status write_report(run *r, fl_err *err)
{
    json_t *report = NULL;
    char *dir = fl_path_join(r->dir, "report");
    char *sites = fl_path_join(r->dir, "report/sites");
    report_build_input in = {.run = r->name,
                             .federation = r->fed->name,
                             .job = &r->job,
                             .strategy = &r->strategy,
                             .model = r->model,
                             .record = r->record,
                             .machine = r->machine,
                             .sites = r->sites,
                             .selected = round_number(r->machine),
                             .model_id = r->base.id,
                             .n_parameters = r->P};
    fl_status st;
    if ((st = write_final_model(r, err)) == FL_OK &&
        (st = report_build(&report, &in, err)) == FL_OK &&
        (st = fl_mkdirs(sites, 0755, err)) == FL_OK) {
        st = report_write_all(report, REPORT_EN, dir, err);
    }
    if (st == FL_OK && (st = note_file(r, "file", "model/final.safetensors", err)) == FL_OK &&
        (st = note_file(r, "file", "model/final.onnx", err)) == FL_OK) {
        st = note_file(r, "report", "report/report.json", err);  // `report` may make it anew
    }
    json_decref(report);
    free(dir);
    free(sites);
    return st;
}

fl_status run_prepare(run *r, round_step *step, fl_err *err)
{
    round_state from = round_now(r->machine);
    fl_status st = FL_OK;
    if (step->state == ROUND_EVALUATING) {
        record_model model;
        if (step->reason[0] != '\0') {
            fl_log(FL_LOG_WARN, "round.abandoned", "run=%s round=%u reason=\"%s\"", r->name,
                   step->round, step->reason);
            if ((st = record_abandon(r->record, step->round, step->reason, err)) != FL_OK ||
                (st = keep_model(r, step->round, &model, err)) != FL_OK) {
                return st;
            }
            return record_put_model(r->record, step->round, &model, err);
        }
        if ((st = make_model(r, step->round, &model, err)) == FL_OK &&
            (st = record_fold_carried(r->record, step->round, err)) == FL_OK) {
            st = record_put_model(r->record, step->round, &model, err);
        }
        return st;
    }
    if (from == ROUND_EVALUATING && step->state >= ROUND_CHOOSING) {
        double value;
        if ((st = choose_round(&step->round, &value, r->record, &r->job, err)) != FL_OK) {
            return st;
        }
    }
    if (step->state == ROUND_TESTING) {
        double threshold;
        int64_t bins;
        char why[FED_TEXT_BYTES];
        if ((st = choose_threshold(&threshold, &bins, why, r->record, &r->job, step->round, err)) ==
            FL_OK) {
            st = record_put_threshold(r->record, threshold, bins, why, err);
        }
        return st;
    }
    if ((step->state == ROUND_LENDING || (step->state == ROUND_CROSSING && step->lent == 1)) &&
        (st = run_allow_crossing(r, step, err)) != FL_OK) {
        return st;
    }
    if (step->state == ROUND_REPORTING) {
        return record_close_checks(r->record, r->machine, err);
    }
    if (step->state == ROUND_HANDING && (st = record_note_refusals(r->record, err)) == FL_OK) {
        st = write_report(r, err);
    }
    return st;
}

static void tell_commit(const run *r, uint32_t round)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, r->base.id.bytes, sizeof r->base.id.bytes);
    fl_log(FL_LOG_INFO, "round.commit",
           "run=%s round=%u of=%lld seconds=%.3f loss=%.4f model=%.16s", r->name, round,
           (long long)r->job.rounds, r->base.seconds, r->base.loss, hex);
}

fl_status run_act(run *r, const round_step *step, fl_err *err)
{
    fl_status st = FL_OK;
    fl_log(FL_LOG_DEBUG, "round.enter", "run=%s state=%s round=%u", r->name,
           round_state_name(step->state), step->round);
    switch (step->state) {
    case ROUND_SELECTED:
        r->round_started = fl_now();
        r->first_round = r->first_round > 0 ? r->first_round : r->round_started;
        break;
    case ROUND_EVALUATING:
        st = serve_model(r, step->round, err);
        drop_spools(r, step->round);
        sweep_vectors(r, step->round);
        tell_commit(r, step->round);
        r->bytes_up = r->bytes_down = 0;
        r->n_rounds++;
        break;
    case ROUND_CHOOSING:
    case ROUND_TESTING:
        st = serve_model(r, step->round, err);
        break;
    case ROUND_CROSSING:
        st = run_serve_lent(r, err);
        break;
    case ROUND_REPORTING:
        st = serve_model(r, step->round, err);
        run_drop_lent(r);
        break;
    case ROUND_HANDING:
        st = load_reports(r, err);
        break;
    default:
        break;
    }
    run_mark_all_changed(r);
    return st;
}
