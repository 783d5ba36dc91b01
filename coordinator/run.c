/*
 * run.c - see run.h
 */
#include "coordinator/run_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/aggregate.h"
#include "coordinator/carry.h"
#include "fed/rotation.h"

// --------------------------------------------------------------------- open

/* Serves the graph that the job's text names, if it names one; its file must be that graph. */
static fl_status serve_graph(run *r, job_graph *out, const char *text, size_t n, fl_err *err)
{
    char named[MODEL_DIGEST_BYTES], found[FL_HEX_DIGEST];
    fed_digest digest;
    *out = (job_graph){0};
    if (!job_names_graph(named, text, n)) {
        return FL_OK;
    }
    char *path = fl_path_join(r->dir, RUN_GRAPH);
    fl_status st = objects_add_file(r->objects, path, &digest, err);
    if (st == FL_OK) {
        fl_hex(found, digest.bytes, sizeof digest.bytes);
        if (strcmp(found, named) != 0) {
            st = fl_fail(err, FL_EFORMAT, "%s: damaged: not the graph that the job names", path);
        }
        out->bytes = objects_bytes(r->objects, &digest, &out->n);
    }
    free(path);
    return st;
}

static fl_status read_job(run *r, fl_err *err)
{
    char *path = fl_path_join(r->dir, "job.yaml"), *text = NULL;
    size_t n = 0;
    job_graph graph;
    fl_status st;
    if ((st = fl_file_read(&text, &n, path, JOB_MAX_BYTES, err)) == FL_OK &&
        (st = serve_graph(r, &graph, text, n, err)) == FL_OK &&
        (st = job_parse_model(&r->job, &r->model, text, n, path, r->dir,
                              graph.bytes != NULL ? &graph : NULL, err)) == FL_OK &&
        (st = strategy_init(&r->strategy, &r->job.strategy, err)) == FL_OK &&
        (st = carry_check(&r->job, &r->strategy, err)) == FL_OK &&
        (st = aggregate_check(&r->job, &r->strategy, err)) == FL_OK) {
        const nn_table *table = task_model_table(r->model);
        r->P = nn_table_count(table);
        objects_add_bytes(r->objects, r->job.text, r->job.n_text, &r->job_object);
        r->check = (check_job){
            .job = r->job_object,
            .table = table,
            .enc = r->job.bf16_pieces ? FED_ENC_BF16 : FED_ENC_F32,
            .n_classes = r->job.data.n_classes,
            .histogram_bins = r->job.evaluation.histogram_bins,
            .partial = r->job.sites.partial ? &r->job.local : NULL};
        nn_table_hash(r->check.table_hash, table);
    }
    free(text);
    free(path);
    return st;
}

/* The keys that sign what follows are in the record before anything is signed with them. */
static fl_status note_coordinator(run *r, fl_err *err)
{
    json_t *rotations = NULL;
    char *keys = federation_path(r->fed, "keys");
    fed_public_key curve = fed_identity_public(r->fed->identity);
    fed_verify_key sign = fed_identity_verify(r->fed->identity);
    fl_status st = fed_rotation_former(&rotations, keys, err);
    if (st == FL_OK && (st = record_begin(r->record, err)) == FL_OK) {
        if ((st = record_follow_coordinator(r->record, &curve, &sign, rotations, err)) == FL_OK) {
            st = record_commit(r->record, err);
        }
        record_rollback(r->record);
    }
    json_decref(rotations);
    free(keys);
    return st;
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
        (st = record_open(&r->record, db, &r->job_object, r->name, err)) != FL_OK) {
        goto done;
    }
    r->machine = round_new(&(round_config){.quorum = r->job.sites.quorum,
                                           .patience_ms = r->job.sites.patience_ms,
                                           .n_rounds = (uint32_t)r->job.rounds,
                                           .asks_validation = job_asks_histogram(&r->job) ||
                                                              job_asks_calibration(&r->job),
                                           .abandon_ms = r->job.sites.abandon_ms,
                                           .lends = r->job.evaluation.cross_site,
                                           .waits_for_late = r->job.sites.late == JOB_LATE_WAIT},
                           now_ms);
    audit_config audited = {.dir = dir,
                            .run = r->name,
                            .job = r->job_object,
                            .record = r->record,
                            .id = f->identity};
    if ((st = record_load(r->record, r->machine, now_ms, err)) != FL_OK ||
        (st = note_coordinator(r, err)) != FL_OK ||
        (st = audit_open(&r->audit, &audited, err)) != FL_OK) {
        goto done;
    }
    run_follow_roster(r, sites, now_ms);
    st = run_resume(r, now_ms, err);
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
    audit_close(&x->audit);
    record_close(&x->record);
    round_destroy(&x->machine);
    objects_destroy(&x->objects);
    task_model_destroy(&x->model);
    job_clear(&x->job);
    free(x->pending);
    free(x->noted);
    free(x->news);
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

void run_mark_all_changed(run *r)
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
    r->has_site_news = true;
    bool over = round_now(r->machine) >= ROUND_REPORTING;
    for (size_t i = 0; i < round_n_sites(r->machine); i++) {
        int known = roster_find(sites, round_at(r->machine, i)->name.text);
        round_set_member(r->machine, i,
                         known >= 0 && roster_at(sites, (size_t)known)->status != ROSTER_REMOVED);
        mark_changed(r, i);
    }
    for (size_t i = 0; i < roster_n(sites) && !over; i++) {
        const roster_site *s = roster_at(sites, i);
        if (s->status != ROSTER_REMOVED) {
            run_site(r, &s->name, now_ms);
        }
    }
}

void run_follow_site(run *r, const fed_site_id *site, int64_t now_ms)
{
    if (round_now(r->machine) >= ROUND_REPORTING) {
        run_follow_roster(r, r->sites, now_ms);
        return;
    }
    size_t i = run_site(r, site, now_ms);
    round_set_member(r->machine, i, true);
    mark_changed(r, i);
    r->news = fl_xrealloc(r->news, r->n_news + 1, sizeof *r->news);
    r->news[r->n_news++] = i;
}

/* When the last round is over, by how long the rounds of this process took; "" when nobody knows. */
static void describe_end(const run *r, char *out, size_t n)
{
    int64_t left = r->job.rounds - (int64_t)round_committed(r->machine);
    out[0] = '\0';
    if (r->n_rounds > 0 && r->first_round > 0 && left > 0) {
        double seconds = (fl_now() - r->first_round) / r->n_rounds * (double)left;
        const char *unit = seconds < 90 ? "s" : seconds < 5400 ? "min" : "h";
        seconds /= seconds < 90 ? 1 : seconds < 5400 ? 60 : 3600;
        snprintf(out, n, ", the last in about %.0f %s", ceil(seconds), unit);
    }
}

void run_describe_extent(const run *r, char *out, size_t n)
{
    const job_evaluation *e = &r->job.evaluation;
    size_t S = 0, used = 0;
    for (size_t i = 0; i < round_n_sites(r->machine); i++) {
        S += round_at(r->machine, i)->member;
    }
    out[0] = '\0';
    if (e->cross_site) {
        double megabytes = (double)r->P * sizeof(float) / 1e6;
        used = (size_t)snprintf(
            out, n,
            "the cross-site matrix, after the test, if every hospital's policy lets its own model "
            "leave: %zu models judged by %zu hospitals each, %.3g MB to the coordinator and %.3g "
            "MB from it",
            S, S, megabytes * (double)S, megabytes * (double)S * (double)S);
    }
    if (e->full && used < n) {
        snprintf(out + used, n - used,
                 "%severy hospital fine-tunes the shared model; leave-one-out and ensembles are "
                 "other federations, which only a simulation plays (`consilium-sim run`)",
                 used > 0 ? "; " : "");
    }
}

void run_describe(const run *r, char *out, size_t n)
{
    round_state state = round_now(r->machine);
    char line[FED_TEXT_BYTES], more[64] = "";
    round_describe(r->machine, line, sizeof line);
    if (state < ROUND_CHOOSING) {
        describe_end(r, more, sizeof more);
    } else if (state == ROUND_TESTING && r->job.evaluation.local_baseline) {
        snprintf(more, sizeof more, ", training local ones to compare");
    }
    int stage = (int)strcspn(line, ":");
    snprintf(out, n, "%.*s%s%s", stage, line, more, line + stage);
}

// ------------------------------------------------------------------- orders

bool run_carries(const run *r, size_t site, const fed_order_key *key)
{
    const round_site *s = round_at(r->machine, site);
    return r->job.sites.late == JOB_LATE_CARRY && key->kind == FED_TRAIN &&
           round_in_cohort(r->machine, site) && key->round.n < round_next_close(r->machine) &&
           record_is_absent(r->record, FED_TRAIN, key->round.n, s->name.text);
}

bool run_wants(const run *r, size_t site, const fed_order_key *key)
{
    return round_expects(r->machine, site, key->kind, key->round.n) || run_carries(r, site, key);
}

fl_status run_base_model(const run *r, const fed_order_key *key, fed_model_id *out, bool *has,
                         fl_err *err)
{
    record_model model = r->base;
    fl_status st = FL_OK;
    *has = key->kind != FED_CHECK;
    if (key->kind == FED_TRAIN && key->round.n <= round_committed(r->machine)) {
        st = record_get_model(r->record, key->round.n - 1, &model, err);
    }
    *out = model.id;
    return st;
}

/* All that it rests on is in before the first test is asked for. */
static const calibration *calibration_now(run *r, uint32_t selected)
{
    fl_err err = FL_ERR_INIT;
    if (!r->is_calibrated &&
        calibrate_of(&r->calibrated, r->record, &r->job, selected, &err) != FL_OK) {
        fl_log(FL_LOG_ERROR, "run.calibration", "run=%s error=\"%s\"", r->name, err.text);
    }
    r->is_calibrated = true;
    return &r->calibrated;
}

void run_order(run *r, size_t site, fed_order *out)
{
    *out = (fed_order){0};
    uint32_t round;  // or which model
    round_order(r->machine, site, &out->key.kind, &round, out->text);
    out->key.job = r->job_object;
    out->key.round.n = round;
    out->committed.n = round_committed(r->machine);
    out->has_head = true;
    audit_head(r->audit, &out->head, &out->head_signature);
    snprintf(out->run, sizeof out->run, "%s", r->name);
    memcpy(out->table_hash, r->check.table_hash, sizeof out->table_hash);
    if (out->key.kind == FED_WAIT || out->key.kind == FED_CHECK) {
        return;
    }
    out->has_model = true;
    out->model = r->base.object;
    out->model_id = r->base.id;
    if (out->key.kind == FED_SCORE && (round & FED_HISTOGRAM_BIT) != 0) {
        out->histogram_bins = (uint32_t)r->job.evaluation.histogram_bins;
    }
    if (out->key.kind == FED_CROSS) {
        out->threshold = r->lent_threshold;
    }
    if (out->key.kind == FED_TEST || out->key.kind == FED_DONE) {
        int64_t bins;
        char why[FED_TEXT_BYTES];
        double threshold = NAN;
        if (record_get_threshold(r->record, &threshold, &bins, why, NULL) != FL_OK ||
            isnan(threshold)) {
            threshold = 0.5;
        }
        out->threshold = threshold;
    }
    if (out->key.kind == FED_TEST) {
        out->temperature = calibrate_order_temperature(calibration_now(r, round));
        out->conformal = calibrate_order_quantile(calibration_now(r, round));
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
    char *part = fl_xasprintf("spool/%s-%08x-%s-%.16s", fed_order_name(o->key.kind),
                              (unsigned)o->key.round.n, o->site.text, hex);
    char *path = fl_path_join(r->dir, part);
    free(part);
    return path;
}

// -------------------------------------------------------- what waits for a turn

static run_pending *queue(run *r)
{
    r->pending = fl_xrealloc(r->pending, r->n_pending + 1, sizeof *r->pending);
    run_pending *p = &r->pending[r->n_pending++];
    memset(p, 0, sizeof *p);
    return p;
}

bool run_is_anothers(run *r, const fed_offer *o)
{
    if (o->key.kind != FED_LEND || o->n_pieces == 0) {
        return false;
    }
    for (size_t i = 0; i < r->n_pending; i++) {
        const fed_offer *other = r->pending[i].offer;
        if (other != NULL && other->key.kind == FED_LEND &&
            fed_digest_equal(&other->digest, &o->digest) &&
            strcmp(other->site.text, o->site.text) != 0) {
            return true;
        }
    }
    return record_has_others(r->record, o);
}

void run_reply(run *r, size_t site, const fed_order_key *key, fed_answer answer, bool mismatch,
               const char *text)
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
    run_pending *p = queue(r);
    bool late = !round_expects(r->machine, site, o->key.kind, o->key.round.n);
    p->step = (round_step){.kind = late ? ROUND_STEP_CARRY : ROUND_STEP_ACCEPT,
                           .site = site,
                           .contribution = o->key.kind};
    p->offer = fl_xcalloc(1, sizeof *p->offer);
    *p->offer = *o;
    p->payload = payload;
    p->n_payload = n;
}

void run_give_up_on(run *r, size_t site, const char *reason)
{
    if (round_at(r->machine, site)->answer == ROUND_ASKED) {
        run_pending *p = queue(r);
        p->step = (round_step){.kind = ROUND_STEP_ABSENT, .site = site};
        snprintf(p->step.reason, sizeof p->step.reason, "contribution refused: %.480s", reason);
    }
}

bool run_has_news(const run *r)
{
    return r->n_pending > 0 || r->has_site_news || r->n_news > 0;
}

/* Contributions of a stage that others are still asked for: nothing follows from them yet. */
bool run_news_can_wait(const run *r)
{
    size_t n_asked = 0, n_in = 0;
    for (size_t i = 0; i < r->n_pending; i++) {
        if (r->pending[i].step.kind != ROUND_STEP_ACCEPT) {
            return false;
        }
        n_in += r->pending[i].step.contribution != FED_CHECK;
    }
    bool checks = round_now(r->machine) == ROUND_CHECKING;
    for (size_t i = 0; i < round_n_sites(r->machine); i++) {
        const round_site *s = round_at(r->machine, i);
        n_asked += checks ? s->member && s->check == ROUND_CHECK_ASKED : s->answer == ROUND_ASKED;
    }
    return !r->has_site_news && r->n_news == 0 && n_asked > (checks ? r->n_pending : n_in);
}

// --------------------------------------------------------------------- turn

fl_status run_probe_at(run *r, const char *when, const char *what, uint32_t round, fl_err *err)
{
    char where[64];
    if (r->probe == NULL) {
        return FL_OK;
    }
    snprintf(where, sizeof where, "%s %s %u, %zu in", when, what, round,
             round_count(r->machine, ROUND_IN));
    return r->probe(r->probe_ctx, where) ? FL_OK : fl_fail(err, FL_ESTOPPED, "stopped %s", where);
}

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
    fl_status st = fl_fail(
        err, FL_EFORMAT, "the data of these sites do not fit the job; mend them and start again:%s",
        text.data != NULL ? text.data : "");
    fl_buf_clear(&text);
    return st;
}

static fl_status store_pending(run *r, const run_pending *p, fl_err *err)
{
    if (p->step.kind == ROUND_STEP_CARRY) {
        fl_log(FL_LOG_INFO, "contribution.carried", "run=%s site=%s round=%u into=%u", r->name,
               p->offer->site.text, p->offer->key.round.n, round_next_close(r->machine));
        return record_carry(r->record, p->offer, err);
    }
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

static bool is_stale(const run *r, const run_pending *p)
{
    return p->step.kind == ROUND_STEP_ABSENT &&
           round_at(r->machine, p->step.site)->answer != ROUND_ASKED;
}

static fl_status apply_pending(run *r, int64_t now_ms, fl_err *err)
{
    for (size_t i = 0; i < r->n_pending; i++) {
        const run_pending *p = &r->pending[i];
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

/* The key under which the site has answered the job; false: it is asked still. */
static bool answered_with(const run *r, size_t site, fed_verify_key *key)
{
    const round_site *s = round_at(r->machine, site);
    *key = r->noted[site].sign;  // answers other than joining are not restored
    return s->check == ROUND_CHECK_JOINED ? record_find_key(r->record, s->name.text, key)
                                          : s->check != ROUND_CHECK_ASKED;
}

/* A home that ended takes its answer to the job with it; whoever comes under the site's name is
 * asked again. */
static fl_status follow_home(run *r, size_t site, const roster_site *now, const json_t *rotations,
                             int64_t now_ms, fl_err *err)
{
    fed_verify_key before;
    round_step step;
    fl_status st = FL_OK;
    if (now->status == ROSTER_REMOVED || !answered_with(r, site, &before) ||
        fed_rotations_lead(rotations, &before, &now->sign)) {
        return FL_OK;
    }
    while (st == FL_OK && round_ask_anew(r->machine, site, &step)) {
        fl_log(FL_LOG_WARN, "site.new_home", "run=%s site=%s %s", r->name, now->name.text,
               step.kind == ROUND_STEP_CHECK ? "is asked about the job anew" : step.reason);
        if ((st = record_step(r->record, r->machine, &step, err)) == FL_OK) {
            round_apply(r->machine, &step, now_ms);
        }
    }
    mark_changed(r, site);
    return st;
}

static fl_status note_site(run *r, size_t site, int64_t now_ms, fl_err *err)
{
    int known = roster_find(r->sites, round_at(r->machine, site)->name.text);
    const roster_site *s = known >= 0 ? roster_at(r->sites, (size_t)known) : NULL;
    roster_site *noted = &r->noted[site];
    if (s == NULL || (noted->name.text[0] != '\0' && noted->status == s->status &&
                      strcmp(noted->fingerprint, s->fingerprint) == 0)) {
        return FL_OK;
    }
    bool has_keys = s->fingerprint[0] != '\0';
    json_t *rotations = NULL;
    fl_status st = roster_rotations(&rotations, r->sites, s->name.text, err);
    if (st == FL_OK) {
        st = record_follow_site(r->record, &s->name, roster_status_text(s->status),
                                has_keys ? &s->curve : NULL, has_keys ? &s->sign : NULL, rotations,
                                err);
    }
    if (st == FL_OK) {
        st = follow_home(r, site, s, rotations, now_ms, err);
    }
    json_decref(rotations);
    if (st == FL_OK) {
        *noted = *s;
    }
    return st;
}

/* Sites that came, went or got other keys. */
static fl_status note_sites(run *r, int64_t now_ms, fl_err *err)
{
    size_t n = round_n_sites(r->machine);
    if (n > r->n_noted) {
        r->noted = fl_xrealloc(r->noted, n, sizeof *r->noted);
        memset(r->noted + r->n_noted, 0, (n - r->n_noted) * sizeof *r->noted);
        r->n_noted = n;
    }
    fl_status st = FL_OK;
    if (!r->has_site_news) {
        for (size_t i = 0; i < r->n_news && st == FL_OK; i++) {
            st = note_site(r, r->news[i], now_ms, err);
        }
        return st;
    }
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        st = note_site(r, i, now_ms, err);
    }
    return st;
}

/* What the federation knows beside the run: sites, and who was turned away. */
static fl_status note_federation(run *r, int64_t now_ms, fl_err *err)
{
    fl_status st = note_sites(r, now_ms, err);
    roster_refusal refused;
    while (st == FL_OK && roster_take_refusal(r->sites, &refused)) {
        st = record_refuse(r->record, refused.what, refused.reason, refused.address, refused.count,
                           err);
    }
    return st;
}

/* One transaction: what waits, absences that are due, and at most one transition. *entered: there
 * was one. */
static fl_status turn_once(run *r, int64_t now_ms, round_step *step, bool *entered, fl_err *err)
{
    fl_status st = record_begin(r->record, err);
    if (st == FL_OK && (st = note_federation(r, now_ms, err)) == FL_OK) {
        st = apply_pending(r, now_ms, err);
    }
    *entered = false;
    while (st == FL_OK && !*entered && round_next(r->machine, now_ms, step)) {
        if (step->kind == ROUND_STEP_STOP) {
            break;
        }
        *entered = step->kind == ROUND_STEP_ENTER;
        if (*entered) {
            st = run_prepare(r, step, err);
        }
        if (st == FL_OK && (st = record_step(r->record, r->machine, step, err)) == FL_OK) {
            round_apply(r->machine, step, now_ms);
        }
        if (st == FL_OK && step->kind == ROUND_STEP_ABSENT) {
            const round_site *s = round_at(r->machine, step->site);
            fl_log(FL_LOG_WARN, "round.absent", "run=%s site=%s reason=\"%s\"", r->name,
                   s->name.text, s->reason);
        }
        if (st == FL_OK && !*entered) {
            mark_changed(r, step->site);
        }
    }
    if (st == FL_OK) {
        st = run_probe_at(r, "before", round_state_name(round_now(r->machine)),
                          round_number(r->machine), err);
    }
    /* Of these states nobody is told, and the next one is entered before anything else is done. */
    bool later = *entered && (step->state == ROUND_SELECTED || step->state == ROUND_AGGREGATING);
    if (st == FL_OK) {
        st = later ? record_commit_later(r->record, err) : record_commit(r->record, err);
        if (st == FL_OK) {
            r->has_site_news = false;
            r->n_news = 0;
        }
    }
    if (st == FL_OK && !later) {
        st = audit_publish(r->audit, err);
    }
    if (st == FL_OK) {
        st = run_probe_at(r, "after", round_state_name(round_now(r->machine)),
                          round_number(r->machine), err);
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
            st = run_act(r, &step, err);
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
