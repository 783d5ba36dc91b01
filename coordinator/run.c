/*
 * run.c - see run.h
 */
#include "coordinator/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/aggregate.h"
#include "coordinator/choose.h"
#include "coordinator/report_build.h"
#include "coordinator/spool.h"

/* Waits for the next commit. */
typedef struct {
    round_step step;
    fed_offer *offer; // of an ACCEPT; owned
    char *payload;    // owned, or NULL
    size_t n_payload;
} pending;

struct run {
    char *dir, *name;
    const federation *fed; // borrowed
    roster *sites;         // borrowed
    job job;
    strategy strategy;
    task_model *model;
    int64_t P;
    check_job check;
    record *record;
    round_machine *machine;
    objects *objects;
    fed_digest job_object;
    record_model base;     // of the model that orders name now
    bool has_base;
    fed_digest *reports;   // of site i, once there is a report
    size_t n_reports;
    pending *pending;
    size_t n_pending;
    bool *changed;         // of site i: its order may have changed
    size_t n_changed;
    double round_started;  // fl_now(); anew when the coordinator starts
    uint64_t bytes_up, bytes_down;
    run_probe probe;
    void *probe_ctx;
};

/* model/round-0003.safetensors or model/state-0003.safetensors */
static char *model_path(const run *r, const char *what, uint32_t round)
{
    char part[64];
    snprintf(part, sizeof part, "model/%s-%04u.safetensors", what, (unsigned)round);
    return fl_path_join(r->dir, part);
}

static fl_status probe(run *r, const char *when, const char *what, uint32_t round, fl_err *err)
{
    char where[64];
    if (r->probe == NULL) {
        return FL_OK;
    }
    snprintf(where, sizeof where, "%s %s %u", when, what, round);
    return r->probe(r->probe_ctx, where) ? FL_OK : fl_fail(err, FL_ESTOPPED, "stopped %s", where);
}

// ------------------------------------------------------------------- create

/* The first model: drawn from the job's seed, or given. */
static fl_status write_first_model(const char *dir, const job *j, fl_err *err)
{
    task_model *model = NULL;
    float *data = NULL;
    char *path = fl_path_join(dir, "model/round-0000.safetensors");
    fl_status st = task_model_new(&model, &j->data, &j->model, err);
    if (st != FL_OK) {
        goto done;
    }
    const nn_table *table = task_model_table(model);
    data = fl_calloc_aligned((size_t)nn_table_count(table), sizeof *data, "the model", err);
    if (data == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    nn_graph_init(task_model_graph(model), data, j->seed);
    if (j->init[0] != '\0') {
        size_t n_matched = 0;
        if ((st = ckpt_load_into(j->init, table, data, &n_matched, err)) != FL_OK) {
            st = fl_wrap(err, st, "init");
            goto done;
        }
        fl_log(FL_LOG_INFO, "run.init", "matched=%zu of=%zu", n_matched, nn_table_n(table));
    }
    st = ckpt_safetensors_write(path, table, data, NULL, err);
done:
    free(data);
    free(path);
    task_model_destroy(&model);
    return st;
}

static fl_status make_folder(const char *dir, const job *j, fl_err *err)
{
    static const char *const parts[] = {"model", "spool", "report"};
    fl_status st = FL_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && st == FL_OK; i++) {
        char *part = fl_path_join(dir, parts[i]);
        st = fl_mkdirs(part, 0755, err);
        free(part);
    }
    if (st == FL_OK) {
        st = write_first_model(dir, j, err);
    }
    if (st == FL_OK) {
        char *copy = fl_path_join(dir, "job.yaml");
        st = fl_file_write(copy, j->text, j->n_text, 0644, err);
        free(copy);
    }
    return st;
}

fl_status run_create(char **dir, const federation *f, const char *job_path, const char *name, fl_err *err)
{
    *dir = NULL;
    job j;
    strategy ignored;
    char *bytes = NULL, *copy = NULL, *part = NULL;
    size_t n = 0;
    fl_status st = job_read(&j, job_path, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = strategy_init(&ignored, &j.strategy, err)) != FL_OK) {
        st = fl_wrap(err, st, "%s", job_path);
        goto done;
    }
    name = name != NULL ? name : j.name;
    if (*name == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name) ||
        strlen(name) >= FED_NAME_BYTES) {
        st = fl_fail(err, FL_EUSAGE, "--name: expected at most %d of a-z, 0-9, _ and -, found %s", FED_NAME_BYTES - 1, name);
        goto done;
    }
    part = fl_xasprintf("runs/%s", name);
    *dir = federation_path(f, part);
    copy = fl_path_join(*dir, "job.yaml");
    if (!fl_file_exists(copy)) {
        st = make_folder(*dir, &j, err);
        goto done;
    }
    if ((st = fl_file_read(&bytes, &n, copy, JOB_MAX_BYTES, err)) == FL_OK &&
        (n != j.n_text || memcmp(bytes, j.text, n) != 0)) {
        st = fl_fail(err, FL_ECONFLICT, "a run called %s with another job exists: rename the job, or choose a run's name with --name", name);
    }
done:
    free(bytes);
    free(copy);
    free(part);
    job_clear(&j);
    if (st != FL_OK) {
        FL_FREE(*dir);
    }
    return st;
}

// --------------------------------------------------------------------- open

static fl_status read_job(run *r, fl_err *err)
{
    char *path = fl_path_join(r->dir, "job.yaml");
    fl_status st;
    if ((st = job_read(&r->job, path, err)) == FL_OK &&
        (st = strategy_init(&r->strategy, &r->job.strategy, err)) == FL_OK &&
        (st = task_model_new(&r->model, &r->job.data, &r->job.model, err)) == FL_OK) {
        const nn_table *table = task_model_table(r->model);
        r->P = nn_table_count(table);
        objects_add_bytes(r->objects, r->job.text, r->job.n_text, &r->job_object);
        r->check = (check_job){.job = r->job_object, .table = table, .n_classes = r->job.data.n_classes};
        nn_table_hash(r->check.table_hash, table);
    }
    free(path);
    return st;
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
    char *path = model_path(r, "round", round);
    st = objects_add_model(r->objects, path, r->check.table, &found, err);
    if (st == FL_OK && !fed_digest_equal(&found, &model.object)) {
        objects_drop(r->objects, &found);
        st = fl_fail(err, FL_EFORMAT, "%s: damaged: its numbers are not those that were committed", path);
    }
    free(path);
    if (st == FL_OK) {
        if (r->has_base && !fed_digest_equal(&r->base.object, &model.object)) {
            objects_drop(r->objects, &r->base.object);
        }
        r->base = model;
        r->has_base = true;
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
    fl_status st = objects_add_model(r->objects, path, r->check.table, &first.object, err);
    if (st == FL_OK) {
        nn_params_sha256(first.id.bytes, r->check.table, objects_model(r->objects, &first.object));
        st = record_put_model(r->record, 0, &first, err);
    }
    free(path);
    return st;
}

typedef struct {
    run *r;
    fed_site_id *lost;
    size_t n_lost;
    char **kept; // names of spools that belong to the open round
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
    if (!spool_verify(path, a->offer.n_bytes, a->offer.n_pieces, &a->offer.digest)) {
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
        if (state == ROUND_AGGREGATING && (st = record_step(r->record, r->machine, &back, err)) == FL_OK) {
            round_apply(r->machine, &back, now_ms);
        }
        for (size_t i = 0; i < s.n_lost && st == FL_OK; i++) {
            round_step lost = {.kind = ROUND_STEP_LOST, .site = round_add_site(r->machine, &s.lost[i], now_ms)};
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

/* Spools of other rounds are left-overs. */
static void sweep_spools(const run *r)
{
    char *dir = fl_path_join(r->dir, "spool");
    char keep[32];
    char **names = NULL;
    size_t n = 0;
    snprintf(keep, sizeof keep, "train-%08x-", (unsigned)round_number(r->machine));
    bool training = round_now(r->machine) == ROUND_TRAINING || round_now(r->machine) == ROUND_AGGREGATING;
    if (fl_list_dir(&names, &n, dir, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            if (!training || strncmp(names[i], keep, strlen(keep)) != 0) {
                char *path = fl_path_join(dir, names[i]);
                unlink(path);
                free(path);
            }
        }
        fl_names_free(&names, n);
    }
    free(dir);
}

/* The strategy's vectors behind the committed model stay; older ones go. */
static void sweep_vectors(const run *r, uint32_t committed)
{
    for (uint32_t back = 1; back <= 2 && back <= committed; back++) {
        char *path = model_path(r, "state", committed - back);
        unlink(path);
        free(path);
    }
}

static uint32_t served_round(const run *r)
{
    return round_now(r->machine) >= ROUND_CHOOSING ? round_number(r->machine) : round_committed(r->machine);
}

static fl_status load_reports(run *r, fl_err *err)
{
    for (size_t i = 0; i < r->n_changed; i++) {
        r->changed[i] = true;
    }
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
    char *shared = NULL; // with real names every site is handed the same
    for (size_t i = 0; i < r->n_reports; i++) {
        char *text = shared;
        if (text == NULL) {
            json_t *own = report_for_site(report, round_at(r->machine, i)->name.text);
            text = fl_json_text(own);
            json_decref(own);
        }
        objects_add_bytes(r->objects, text, strlen(text), &r->reports[i]);
        if (r->job.codes) {
            free(text);
        } else {
            shared = text;
        }
    }
    free(shared);
    json_decref(report);
    return FL_OK;
}

fl_status run_open(run **out, const char *dir, const federation *f, roster *sites, int64_t now_ms,
                   run_probe probe_fn, void *probe_ctx, fl_err *err)
{
    *out = NULL;
    run *r = fl_xcalloc(1, sizeof *r);
    r->dir = fl_xstrdup(dir);
    r->name = fl_xstrdup(fl_path_base(dir));
    r->fed = f;
    r->sites = sites;
    r->objects = objects_new();
    r->probe = probe_fn;
    r->probe_ctx = probe_ctx;
    r->round_started = fl_now();
    char *db = fl_path_join(dir, "state.db");
    fl_status st;
    if ((st = read_job(r, err)) != FL_OK ||
        (st = record_open(&r->record, db, &r->job_object, r->name, err)) != FL_OK ||
        (st = record_first_model(r, err)) != FL_OK) {
        goto done;
    }
    r->machine = round_new(&(round_config){.quorum = r->job.sites.quorum, .patience_ms = r->job.sites.patience_ms,
                                           .n_rounds = (uint32_t)r->job.rounds,
                                           .asks_threshold = choose_asks_threshold(&r->job)}, now_ms);
    if ((st = record_load(r->record, r->machine, now_ms, err)) != FL_OK) {
        goto done;
    }
    run_follow_roster(r, sites, now_ms);
    sweep_spools(r);
    if ((st = find_lost_spools(r, now_ms, err)) != FL_OK ||
        (st = serve_model(r, served_round(r), err)) != FL_OK) {
        goto done;
    }
    st = load_reports(r, err);
done:
    free(db);
    if (st != FL_OK) {
        run_close(&r);
        return fl_wrap(err, st, "run %s", fl_path_base(dir));
    }
    *out = r;
    return FL_OK;
}

static void drop_pending(run *r)
{
    for (size_t i = 0; i < r->n_pending; i++) {
        free(r->pending[i].offer);
        free(r->pending[i].payload);
    }
    r->n_pending = 0;
}

void run_close(run **r)
{
    if (*r == NULL) {
        return;
    }
    run *x = *r;
    drop_pending(x);
    record_close(&x->record);
    round_destroy(&x->machine);
    objects_destroy(&x->objects);
    task_model_destroy(&x->model);
    job_clear(&x->job);
    free(x->pending);
    free(x->reports);
    free(x->changed);
    free(x->dir);
    free(x->name);
    FL_FREE(*r);
}

// -------------------------------------------------------------------- views

const char *run_name(const run *r)
{
    return r->name;
}

const char *run_dir(const run *r)
{
    return r->dir;
}

const job *run_job(const run *r)
{
    return &r->job;
}

const fed_digest *run_digest(const run *r)
{
    return &r->job_object;
}

round_machine *run_machine(run *r)
{
    return r->machine;
}

const objects *run_objects(const run *r)
{
    return r->objects;
}

const check_job *run_check_job(const run *r)
{
    return &r->check;
}

record *run_record(run *r)
{
    return r->record;
}

bool run_is_finished(const run *r)
{
    return round_now(r->machine) == ROUND_FINISHED;
}

void run_count_bytes(run *r, uint64_t up, uint64_t down)
{
    r->bytes_up += up;
    r->bytes_down += down;
}

// -------------------------------------------------------------------- sites

static void mark_changed(run *r, size_t site)
{
    if (site >= r->n_changed) {
        r->changed = fl_xrealloc(r->changed, site + 1, sizeof *r->changed);
        memset(r->changed + r->n_changed, true, site + 1 - r->n_changed);
        r->n_changed = site + 1;
    }
    r->changed[site] = true;
}

static void mark_all_changed(run *r)
{
    for (size_t i = 0; i < round_n_sites(r->machine); i++) {
        mark_changed(r, i);
    }
}

bool run_take_changed(run *r, size_t site)
{
    bool was = site < r->n_changed && r->changed[site];
    if (was) {
        r->changed[site] = false;
    }
    return was;
}

size_t run_site(run *r, const fed_site_id *site, int64_t now_ms)
{
    size_t i = round_add_site(r->machine, site, now_ms);
    if (i >= r->n_changed) {
        mark_changed(r, i);
    }
    return i;
}

/* Expected are the enrolled and the invited; a run that is over expects nobody new. */
void run_follow_roster(run *r, const roster *sites, int64_t now_ms)
{
    bool over = round_now(r->machine) >= ROUND_REPORTING;
    for (size_t i = 0; i < round_n_sites(r->machine); i++) {
        int known = roster_find(sites, round_at(r->machine, i)->name.text);
        round_set_member(r->machine, i, known >= 0 && roster_at(sites, (size_t)known)->status != ROSTER_REMOVED);
        mark_changed(r, i);
    }
    for (size_t i = 0; i < roster_n(sites) && !over; i++) {
        const roster_site *s = roster_at(sites, i);
        if (s->status != ROSTER_REMOVED) {
            run_site(r, &s->name, now_ms);
        }
    }
}

// ------------------------------------------------------------------- orders

const fed_model_id *run_base_model(const run *r, fed_order_kind kind)
{
    return kind == FED_CHECK ? NULL : &r->base.id;
}

void run_order(run *r, size_t site, fed_order *out)
{
    *out = (fed_order){0};
    uint32_t round;
    round_order(r->machine, site, &out->key.kind, &round, out->text);
    out->key.job = r->job_object;
    out->key.round.n = round;
    out->committed.n = round_committed(r->machine);
    snprintf(out->run, sizeof out->run, "%s", r->name);
    memcpy(out->table_hash, r->check.table_hash, sizeof out->table_hash);
    if (out->key.kind == FED_WAIT || out->key.kind == FED_CHECK) {
        return;
    }
    out->has_model = true;
    out->model = r->base.object;
    out->model_id = r->base.id;
    if (out->key.kind == FED_SCORE && (round & ROUND_THRESHOLD_BIT) != 0) {
        out->histogram_bins = (uint32_t)r->job.evaluation.histogram_bins;
    }
    if (out->key.kind == FED_TEST || out->key.kind == FED_DONE) {
        int64_t bins;
        char why[FED_TEXT_BYTES];
        double threshold = NAN;
        if (record_get_threshold(r->record, &threshold, &bins, why, NULL) != FL_OK || isnan(threshold)) {
            threshold = 0.5;
        }
        out->threshold = threshold;
    }
    if (out->key.kind == FED_DONE && site < r->n_reports) {
        out->has_report = true;
        out->report = r->reports[site];
    }
}

char *run_spool_path(const run *r, const fed_offer *o)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, o->digest.bytes, sizeof o->digest.bytes);
    char *part = fl_xasprintf("spool/%s-%08x-%s-%.16s", fed_order_name(o->key.kind), (unsigned)o->key.round.n, o->site.text, hex);
    char *path = fl_path_join(r->dir, part);
    free(part);
    return path;
}

// -------------------------------------------------------- what waits for a turn

static pending *queue(run *r)
{
    r->pending = fl_xrealloc(r->pending, r->n_pending + 1, sizeof *r->pending);
    pending *p = &r->pending[r->n_pending++];
    memset(p, 0, sizeof *p);
    return p;
}

void run_reply(run *r, size_t site, const fed_order_key *key, fed_answer answer, bool mismatch, const char *text)
{
    round_step step;
    bool news = round_reply(r->machine, site, key, answer, mismatch, text, &step);
    mark_changed(r, site);
    if (news) {
        queue(r)->step = step;
    }
}

void run_accept(run *r, size_t site, const fed_offer *o, char *payload, size_t n)
{
    pending *p = queue(r);
    p->step = (round_step){.kind = ROUND_STEP_ACCEPT, .site = site, .contribution = o->key.kind};
    p->offer = fl_xcalloc(1, sizeof *p->offer);
    *p->offer = *o;
    p->payload = payload;
    p->n_payload = n;
}

void run_give_up_on(run *r, size_t site, const char *reason)
{
    if (round_at(r->machine, site)->answer == ROUND_ASKED) {
        pending *p = queue(r);
        p->step = (round_step){.kind = ROUND_STEP_ABSENT, .site = site};
        snprintf(p->step.reason, sizeof p->step.reason, "contribution refused: %.480s", reason);
    }
}

bool run_has_news(const run *r)
{
    return r->n_pending > 0;
}

// ---------------------------------------------------- the work between states

/* The accepted updates of a round, in site order. */
typedef struct {
    run *r;
    size_t n;
    char **path;
    uint64_t *weight;
    double loss_sum, loss_weight;
} round_updates;

static fl_status add_update(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    round_updates *u = ctx;
    if (a->state != ROUND_IN || !a->has_offer) {
        return FL_OK;
    }
    u->path = fl_xrealloc(u->path, u->n + 1, sizeof *u->path);
    u->weight = fl_xrealloc(u->weight, u->n + 1, sizeof *u->weight);
    u->path[u->n] = run_spool_path(u->r, &a->offer);
    u->weight[u->n++] = (uint64_t)fed_offer_get(&a->offer, "weight", 1);
    double loss = fed_offer_get(&a->offer, "loss", NAN);
    if (!isnan(loss)) {
        double weight = fed_offer_get(&a->offer, "weight", 1);
        u->loss_sum += weight * loss;
        u->loss_weight += weight;
    }
    return FL_OK;
}

static fl_status read_update(void *ctx, size_t i, float *out, int64_t offset, int64_t count, fl_err *err)
{
    const round_updates *u = ctx;
    return spool_read_values(u->path[i], out, offset, count, err);
}

/* Writes the files of round's model: its vectors first, the model last. */
static fl_status write_model(run *r, uint32_t round, const float *data, float *const *vectors, fl_err *err)
{
    fl_status st = FL_OK;
    if (r->strategy.ops->n_vectors > 0) {
        char *path = model_path(r, "state", round);
        st = aggregate_vectors_write(path, &r->strategy, r->P, vectors, err);
        free(path);
        if (st == FL_OK) {
            st = probe(r, "between", "vectors and model", round, err);
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
        *vectors = aggregate_vectors_new(&r->strategy, r->P, err);
        return *vectors != NULL ? FL_OK : FL_ELIMIT;
    }
    char *path = model_path(r, "state", round - 1);
    fl_status st = aggregate_vectors_read(vectors, path, &r->strategy, r->P, err);
    free(path);
    return st;
}

/* round_commit: a pure function of what is on disk, so a restart makes the same bits. */
static fl_status make_model(run *r, uint32_t round, record_model *model, fl_err *err)
{
    round_updates u = {.r = r};
    float **vectors = NULL;
    float *out = NULL;
    fl_status st;
    if ((st = record_answers(r->record, FED_TRAIN, round, add_update, &u, err)) != FL_OK ||
        (st = load_vectors(r, round, &vectors, err)) != FL_OK) {
        goto done;
    }
    out = fl_calloc_aligned((size_t)r->P, sizeof *out, "the new model", err);
    if (out == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    aggregate_input in = {.n = u.n, .weight = u.weight, .ctx = &u, .read = read_update};
    if ((st = aggregate_run(out, vectors, &r->strategy, r->check.table, objects_model(r->objects, &r->base.object), &in, err)) != FL_OK ||
        (st = write_model(r, round, out, vectors, err)) != FL_OK) {
        goto done;
    }
    *model = (record_model){.bytes_up = r->bytes_up, .bytes_down = r->bytes_down, .seconds = fl_now() - r->round_started,
                            .loss = u.loss_weight > 0 ? u.loss_sum / u.loss_weight : NAN, .committed_ms = fl_wall_ms()};
    uint64_t n_bytes;
    uint32_t n_pieces;
    fed_object_digest(&model->object, FED_ENC_F32, out, (uint64_t)r->P, &n_bytes, &n_pieces);
    nn_params_sha256(model->id.bytes, r->check.table, out);
done:
    free(out);
    aggregate_vectors_free(&vectors, &r->strategy);
    for (size_t i = 0; i < u.n; i++) {
        free(u.path[i]);
    }
    free(u.path);
    free(u.weight);
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
    report_build_input in = {.run = r->name, .federation = r->fed->name, .job = &r->job, .strategy = &r->strategy,
                             .model = r->model, .record = r->record, .machine = r->machine, .sites = r->sites,
                             .selected = round_number(r->machine), .model_id = r->base.id, .n_parameters = r->P};
    fl_status st;
    if ((st = write_final_model(r, err)) == FL_OK && (st = report_build(&report, &in, err)) == FL_OK &&
        (st = fl_mkdirs(sites, 0755, err)) == FL_OK) {
        st = report_write_all(report, dir, err);
    }
    json_decref(report);
    free(dir);
    free(sites);
    return st;
}

/* What a transition needs before it can be stored; belongs to the same transaction. */
static fl_status prepare(run *r, round_step *step, fl_err *err)
{
    round_state from = round_now(r->machine);
    fl_status st = FL_OK;
    if (step->state == ROUND_EVALUATING) {
        record_model model;
        if ((st = make_model(r, step->round, &model, err)) == FL_OK) {
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
        if ((st = choose_threshold(&threshold, &bins, why, r->record, &r->job, step->round, err)) == FL_OK) {
            st = record_put_threshold(r->record, threshold, bins, why, err);
        }
        return st;
    }
    return step->state == ROUND_HANDING ? write_report(r, err) : FL_OK;
}

static void tell_commit(const run *r, uint32_t round)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, r->base.id.bytes, sizeof r->base.id.bytes);
    fl_progress_end();
    fl_log(FL_LOG_INFO, "round.commit", "run=%s round=%u of=%lld seconds=%.1f loss=%.4f model=%.16s", r->name, round,
           (long long)r->job.rounds, r->base.seconds, r->base.loss, hex);
}

/* After a transition is on disk. */
static fl_status act(run *r, const round_step *step, fl_err *err)
{
    fl_status st = FL_OK;
    fl_log(FL_LOG_DEBUG, "round.enter", "run=%s state=%s round=%u", r->name, round_state_name(step->state), step->round);
    switch (step->state) {
    case ROUND_SELECTED:
        r->round_started = fl_now();
        r->bytes_up = r->bytes_down = 0;
        break;
    case ROUND_EVALUATING:
        st = serve_model(r, step->round, err);
        sweep_spools(r);
        sweep_vectors(r, step->round);
        tell_commit(r, step->round);
        break;
    case ROUND_CHOOSING:
    case ROUND_TESTING:
        st = serve_model(r, step->round, err);
        break;
    case ROUND_HANDING:
        st = load_reports(r, err);
        break;
    default:
        break;
    }
    mark_all_changed(r);
    return st;
}

// --------------------------------------------------------------------- turn

/* Every sentence of the sites whose data do not fit. */
static fl_status tell_misfits(const run *r, fl_err *err)
{
    fl_buf text = FL_BUF_INIT;
    for (size_t i = 0; i < round_n_sites(r->machine); i++) {
        const round_site *s = round_at(r->machine, i);
        if (s->member && s->check == ROUND_CHECK_MISFIT) {
            fl_buf_printf(&text, "\n  %s: %s", s->name.text, s->check_reason);
        }
    }
    fl_status st = fl_fail(err, FL_EFORMAT, "the data of these sites do not fit the job; mend them and start again:%s",
                           text.data != NULL ? text.data : "");
    fl_buf_clear(&text);
    return st;
}

static fl_status store_pending(run *r, const pending *p, fl_err *err)
{
    if (p->step.kind == ROUND_STEP_ACCEPT) {
        int known = roster_find(r->sites, p->offer->site.text);
        fl_status st = FL_OK;
        if (p->step.contribution == FED_CHECK && known >= 0) {
            const roster_site *s = roster_at(r->sites, (size_t)known);
            st = record_put_site(r->record, &s->name, &s->sign, s->environment, err);
        }
        return st == FL_OK ? record_accept(r->record, p->offer, p->payload, p->n_payload, err) : st;
    }
    return record_step(r->record, r->machine, &p->step, err);
}

static bool is_stale(const run *r, const pending *p)
{
    return p->step.kind == ROUND_STEP_ABSENT && round_at(r->machine, p->step.site)->answer != ROUND_ASKED;
}

static fl_status apply_pending(run *r, int64_t now_ms, fl_err *err)
{
    for (size_t i = 0; i < r->n_pending; i++) {
        const pending *p = &r->pending[i];
        if (is_stale(r, p)) {
            continue;
        }
        fl_status st = store_pending(r, p, err);
        if (st != FL_OK) {
            return st;
        }
        round_apply(r->machine, &p->step, now_ms);
        mark_changed(r, p->step.site);
    }
    drop_pending(r);
    return FL_OK;
}

/* One transaction: what waits, absences that are due, and at most one transition. *entered: there was one. */
static fl_status turn_once(run *r, int64_t now_ms, round_step *step, bool *entered, fl_err *err)
{
    fl_status st = record_begin(r->record, err);
    if (st == FL_OK) {
        st = apply_pending(r, now_ms, err);
    }
    *entered = false;
    while (st == FL_OK && !*entered && round_next(r->machine, now_ms, step)) {
        if (step->kind == ROUND_STEP_STOP) {
            break;
        }
        *entered = step->kind == ROUND_STEP_ENTER;
        if (*entered) {
            st = prepare(r, step, err);
        }
        if (st == FL_OK && (st = record_step(r->record, r->machine, step, err)) == FL_OK) {
            round_apply(r->machine, step, now_ms);
        }
        if (st == FL_OK && step->kind == ROUND_STEP_ABSENT) {
            const round_site *s = round_at(r->machine, step->site);
            fl_progress_end();
            fl_log(FL_LOG_WARN, "round.absent", "run=%s site=%s reason=\"%s\"", r->name, s->name.text, s->reason);
            mark_changed(r, step->site);
        }
    }
    if (st == FL_OK) {
        st = probe(r, "before", round_state_name(round_now(r->machine)), round_number(r->machine), err);
    }
    if (st == FL_OK) {
        st = record_commit(r->record, err);
    }
    if (st == FL_OK) {
        st = probe(r, "after", round_state_name(round_now(r->machine)), round_number(r->machine), err);
    }
    record_rollback(r->record);
    return st;
}

fl_status run_turn(run *r, int64_t now_ms, fl_err *err)
{
    round_step step;
    bool entered = true;
    while (entered && (run_has_news(r) || round_next(r->machine, now_ms, &step))) {
        fl_status st = turn_once(r, now_ms, &step, &entered, err);
        if (st == FL_OK && entered) {
            st = act(r, &step, err);
        }
        if (st != FL_OK) {
            return fl_wrap(err, st, "run %s", r->name);
        }
    }
    if (round_next(r->machine, now_ms, &step) && step.kind == ROUND_STEP_STOP) {
        return tell_misfits(r, err);
    }
    return FL_OK;
}
