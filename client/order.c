/*
 * order.c - see order.h
 */
#include "client/order.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "client/base_model.h"
#include "client/crossed.h"
#include "client/joined.h"
#include "client/judge.h"
#include "client/keep.h"
#include "client/own.h"
#include "client/policy.h"
#include "client/rest.h"
#include "fed/secret.h"
#include "nn/params.h"

/* What every order's own work is given. */
typedef struct {
    order_work *work;
    local *local;
    const policy *policy;
    fed_offer draft;  // key and base model are filled in
} errand;

// ------------------------------------------------------------------ the errands

static fl_status put_json(errand *e, const json_t *payload, fl_err *err)
{
    order_work *w = e->work;
    return outbox_put_json(&w->item, w->home, e->policy, w->order.run, &e->draft, payload, err);
}

static fl_status run_dir(char **out, const order_work *w, fl_err *err)
{
    fl_status st = home_run_path(out, w->home, w->order.run, err);
    if (st == FL_OK && (st = fl_mkdirs(*out, 0700, err)) != FL_OK) {
        FL_FREE(*out);
    }
    return st;
}

/* What the site joins the run with; before it says so. */
static fl_status keep_joined(const order_work *w, local *l, fl_err *err)
{
    char *dir;
    fl_status st = run_dir(&dir, w, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = joined_keep(l, w->home, dir, err)) == FL_OK) {
        snprintf(l->run, sizeof l->run, "%s", w->order.run);
    }
    free(dir);
    return st;
}

static fl_status check_job(errand *e, fl_err *err)
{
    local *l = e->local;
    char environment[257];
    fl_status st = keep_joined(e->work, l, err);
    if (st != FL_OK) {
        return st;
    }
    outbox_environment(environment, sizeof environment);
    fed_offer_set(&e->draft, "n_train", (double)data_set_n_split(l->now, DATA_TRAIN));
    fed_offer_set(&e->draft, "n_val", (double)data_set_n_split(l->now, DATA_VAL));
    fed_offer_set(&e->draft, "n_test", (double)data_set_n_split(l->now, DATA_TEST));
    fed_offer_set(&e->draft, "parameters", (double)local_n_parameters(l));
    json_t *document = json_object();
    json_object_set_new(document, "flow", data_set_flow(l->now));
    json_object_set_new(document, "table1", local_table1(l));
    json_object_set_new(document, "policy", policy_json(e->policy));
    json_object_set_new(document, "environment", json_string(environment));
    json_object_set_new(document, "reference_standard",
                        json_string(data_set_reference_standard(l->now)));
    st = put_json(e, document, err);
    json_decref(document);
    return st;
}

/* Of a job with initial weights: what the local-only model will start from too. */
static fl_status keep_first_model(const order_work *w, const local *l, fl_err *err)
{
    char *dir, *path;
    if (!job_starts_from_file(&l->job) || w->order.key.round.n != 1) {
        return FL_OK;
    }
    fl_status st = run_dir(&dir, w, err);
    if (st != FL_OK) {
        return st;
    }
    path = fl_path_join(dir, LOCAL_FIRST_MODEL);
    if (!fl_file_exists(path)) {
        st = ckpt_safetensors_write(path, task_model_table(l->model), w->model, NULL, err);
    }
    free(path);
    free(dir);
    return st;
}

static fl_status train_round(errand *e, fl_err *err)
{
    order_work *w = e->work;
    local *l = e->local;
    int64_t P = local_n_parameters(l);
    task_train_result result = {0};
    double start = fl_now();
    float *params = fl_calloc_aligned((size_t)P, sizeof *params, "the model in training", err);
    if (params == NULL) {
        return FL_ELIMIT;
    }
    fl_status st = keep_first_model(w, l, err);
    if (st != FL_OK) {
        goto done;
    }
    st = local_train(l, params, w->model, w->order.key.round, &w->progress, &result, err);
    if (st != FL_OK) {
        goto done;
    }
    int64_t weight = local_n_labelled(l);
    nn_vec_sub(params, params, w->model, P);  // now the update
    fed_offer_set(&e->draft, "weight", (double)weight);
    fed_offer_set(&e->draft, "n", (double)weight);
    fed_offer_set(&e->draft, "steps", (double)result.steps);
    fed_offer_set(&e->draft, "seconds", fl_now() - start);
    if (isfinite(result.loss)) {
        fed_offer_set(&e->draft, "loss", result.loss);
    }
    nn_table_hash(e->draft.table_hash, task_model_table(l->model));
    if (l->job.bf16_pieces &&
        (st = rest_round(params, w->home, &w->order, P, err)) != FL_OK) {
        goto done;
    }
    st = outbox_put_update(&w->item, w->home, e->policy, w->order.run, &e->draft,
                           task_model_table(l->model), params,
                           l->job.bf16_pieces ? FED_ENC_BF16 : FED_ENC_F32, err);
done:
    free(params);
    return st == FL_EFORMAT ? fl_wrap(err, st, "training failed") : st;
}

/* A figure that is undefined is left out. */
static void set_defined(fed_offer *draft, const char *name, double value)
{
    if (isfinite(value)) {
        fed_offer_set(draft, name, value);
    }
}

/* The hospital's smallest cell, and the job's, if that is more. */
static int64_t least_cell(const local *l, const policy *p)
{
    int64_t asked = l->job.evaluation.min_cell;
    return asked > p->min_cell ? asked : p->min_cell;
}

/* What threshold and calibration need of the selected model's validation scores. */
static json_t *counts_of(const errand *e, const task_scores *scores)
{
    const job *j = &e->local->job;
    int64_t bins = policy_bins(e->policy, e->work->order.histogram_bins);
    json_t *counts = job_asks_histogram(j) ? local_histogram(scores, &j->data, bins,
                                                             j->evaluation.min_cell)
                                           : NULL;
    json_object_del(counts, "spans");  // of use for the test figures only
    counts = counts != NULL ? counts : json_object();
    sure_put_sums(counts, e->local, scores, bins, least_cell(e->local, e->policy));
    return counts;
}

static fl_status score_model(errand *e, fl_err *err)
{
    order_work *w = e->work;
    local *l = e->local;
    json_t *counts = NULL;
    task_scores scores = {0};

    fed_offer_set(&e->draft, "n", 0);
    if (!e->policy->figures || data_set_n_split(l->now, DATA_VAL) == 0) {
        return put_json(e, NULL, err);
    }
    fl_status st = task_predict(&scores, l->model, w->model, l->now, DATA_VAL, l->threads, err);
    if (st != FL_OK) {
        return st;
    }
    task_quick quick;
    task_quick_told(&quick, &scores, &l->job.data, least_cell(e->local, e->policy));
    fed_offer_set(&e->draft, "n", (double)quick.n);
    if (quick.n_positive >= 0) {
        fed_offer_set(&e->draft, "n_positive", (double)quick.n_positive);
    }
    const char *name;
    for (size_t i = 0; (name = task_quick_name(i)) != NULL; i++) {
        set_defined(&e->draft, name, task_quick_metric(&quick, name));
    }
    if (w->order.histogram_bins > 0) {
        counts = counts_of(e, &scores);
    }
    st = put_json(e, json_object_size(counts) > 0 ? counts : NULL, err);
    json_decref(counts);
    task_scores_clear(&scores);
    return st;
}

static fl_status test_model(errand *e, fl_err *err)
{
    order_work *w = e->work;
    json_t *site = NULL;
    char *dir = NULL;
    if (!e->policy->figures) {
        return fl_fail(err, FL_EDENIED, "this hospital's policy does not let figures leave");
    }
    fl_status st = run_dir(&dir, w, err);
    if (st != FL_OK) {
        return st;
    }
    int64_t bins = policy_bins(e->policy, e->local->job.evaluation.histogram_bins);
    const sure_pooled pooled = {w->order.temperature, w->order.conformal};
    if ((st = judge_site(&site, e->local, w->model, &w->order.model_id, w->order.threshold, &pooled,
                         bins, dir, &w->progress, err)) == FL_OK) {
        st = put_json(e, site, err);
    }
    json_decref(site);
    free(dir);
    return st;
}

/* The person who wrote the job asked for it, or nobody may. */
static fl_status check_crosses(const errand *e, fl_err *err)
{
    return e->local->job.evaluation.cross_site
               ? FL_OK
               : fl_fail(err, FL_EDENIED, "the job asks for no hospital's own model");
}

/* The own model as it was made for the test of this run; or the word that it stays, or that there
 * is none. */
static fl_status lend_model(errand *e, fl_err *err)
{
    order_work *w = e->work;
    local *l = e->local;
    own_model own = {.there = false};
    char *dir = NULL;
    fl_status st;
    if ((st = check_crosses(e, err)) != FL_OK || (st = run_dir(&dir, w, err)) != FL_OK) {
        return st;
    }
    if (e->policy->own_model_leaves && judge_has_opened(dir, &w->order.model_id)) {
        st = own_read_local(&own, l, dir, err);
    }
    fed_offer_set(&e->draft, "allowed", e->policy->own_model_leaves);
    if (st == FL_OK && own.there) {
        fed_offer_set(&e->draft, "threshold", own.threshold);
        nn_table_hash(e->draft.table_hash, task_model_table(l->model));
        st = outbox_put_model(&w->item, w->home, e->policy, w->order.run, &e->draft,
                              task_model_table(l->model), own.params, err);
    } else if (st == FL_OK) {
        st = put_json(e, NULL, err);
    }
    own_clear(&own);
    free(dir);
    return st;
}

static fl_status judge_another(errand *e, fl_err *err)
{
    order_work *w = e->work;
    json_t *judged = NULL;
    char *dir = NULL;
    fl_status st;
    if ((st = check_crosses(e, err)) != FL_OK) {
        return st;
    }
    if (!e->policy->own_model_leaves) {
        return fl_fail(err, FL_EDENIED,
                       "this hospital's policy keeps its own model, so it judges no other's");
    }
    if ((st = run_dir(&dir, w, err)) != FL_OK) {
        return st;
    }
    const crossed_config cfg = {.params = w->model,
                                .id = &w->order.model_id,
                                .threshold = w->order.threshold,
                                .figures = e->policy->figures,
                                .min_cell = least_cell(e->local, e->policy)};
    if ((st = crossed_judge(&judged, e->local, &cfg, dir, &w->progress, err)) == FL_OK) {
        fed_offer_set(&e->draft, "n", (double)fl_json_get_int(judged, "n_test", 0));
        st = put_json(e, judged, err);
    }
    json_decref(judged);
    free(dir);
    return st;
}

static fl_status keep_results(errand *e, fl_err *err)
{
    order_work *w = e->work;
    char *dir = NULL;
    fl_status st = run_dir(&dir, w, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = keep_run(e->local, dir, w->model, w->report, w->n_report, err)) == FL_OK &&
        (st = rest_drop(w->home, w->order.run, err)) == FL_OK &&
        (st = joined_drop(dir, err)) == FL_OK) {
        st = put_json(e, NULL, err);
    }
    free(dir);
    return st;
}

static fl_status (*const errands[FED_N_ORDERS])(errand *e, fl_err *err) = {
    [FED_CHECK] = check_job, [FED_TRAIN] = train_round, [FED_SCORE] = score_model,
    [FED_TEST] = test_model, [FED_DONE] = keep_results,
    [FED_LEND] = lend_model, [FED_CROSS] = judge_another,
};

// ---------------------------------------------------- what comes before them

/* Keeps the job that is open when it is the order's, else opens the order's. */
static fl_status need_job(order_work *w, fl_err *err)
{
    if (*w->local != NULL && fed_digest_equal(&(*w->local)->digest, &w->order.key.job)) {
        return FL_OK;
    }
    local_destroy(w->local);
    return local_new(w->local, w->home, &w->order.key.job, w->job_text, w->n_job,
                     w->graph.bytes != NULL ? &w->graph : NULL, err);
}

/* Data may change with the rounds; the test is judged on those of the last. */
static void enter_round(const order_work *w, local *l)
{
    fed_order_kind kind = w->order.key.kind;
    if (kind == FED_TRAIN || kind == FED_SCORE) {
        local_enter_round(l, fed_plain_round(w->order.key.round));
    } else if (kind == FED_TEST || kind == FED_CROSS) {
        local_enter_round(l, l->job.rounds);
    }
}

/* The policy and a person allowed the job's rounds, and no more. */
static fl_status check_round(const order_work *w, const local *l, fl_err *err)
{
    uint32_t round = w->order.key.round.n;
    if (w->order.key.kind == FED_SCORE && w->order.histogram_bins > 0) {
        round = fed_plain_round(w->order.key.round);
    }
    bool is_check = w->order.key.kind == FED_CHECK;
    if (w->order.key.kind == FED_CROSS) {
        return FL_OK;  // of which model; as many as there are hospitals
    }
    if (is_check ? round == 0 : round >= 1 && round <= l->job.rounds) {
        return FL_OK;
    }
    return fl_fail(err, FL_EDENIED, "the order is of round %" PRIu32 ", the job has %" PRId64,
                   round, l->job.rounds);
}

static order_outcome settle_policy(order_work *w, const policy *p, fl_err *err)
{
    const fed_digest *digest = &w->order.key.job;
    char why[FED_TEXT_BYTES];
    policy_verdict verdict = policy_judge(p, &(*w->local)->job, local_n_parameters(*w->local),
                                          policy_approved(w->home, digest), why);
    if (verdict == POLICY_ALLOWS) {
        policy_drop(w->home, digest);
        return ORDER_CONTRIBUTED;
    }
    fl_fail(err, FL_EDENIED, "%s", why);
    if (verdict == POLICY_REFUSES) {
        policy_drop(w->home, digest);
        return ORDER_REFUSED;
    }
    if (policy_hold(w->home, digest, w->job_text, w->n_job, &w->graph, err) != FL_OK) {
        return ORDER_LATER;
    }
    return ORDER_PENDING;
}

static order_outcome outcome_of(fl_status st)
{
    switch (st) {
    case FL_OK:
        return ORDER_CONTRIBUTED;
    case FL_ESTOPPED:
        return ORDER_STOPPED;
    case FL_EFULL:
    case FL_EIO:
        return ORDER_LATER;
    default:
        return ORDER_REFUSED;
    }
}

/* What the data are read with is in the home: where that cannot be written, they are not at fault.
 * A folder that is not mounted, or a disk with errors, says nothing of how data and job fit. */
static order_outcome load_data(const order_work *w, fl_err *err)
{
    bool is_check = w->order.key.kind == FED_CHECK;
    uint8_t secret[DATA_SECRET_BYTES];
    fl_status st = home_patient_secret(secret, w->home, err);
    fed_wipe(secret, sizeof secret);
    if (st != FL_OK) {
        return outcome_of(st);
    }
    st = local_load(*w->local, w->home, err);
    if (st == FL_OK || st == FL_EFULL) {
        return outcome_of(st);
    }
    if (st == FL_ENOTFOUND || st == FL_EIO) {
        fl_wrap(err, st, "the hospital's data cannot be read now");
        return ORDER_UNREADABLE;
    }
    return is_check ? ORDER_MISMATCH : ORDER_REFUSED;
}

/* Once an opening: are they those that the site joined the run with? */
static order_outcome check_joined(order_work *w, const policy *p, fl_err *err)
{
    local *l = *w->local;
    char *dir;
    fl_status st;
    if (w->order.key.kind == FED_CHECK || strcmp(l->run, w->order.run) == 0) {
        return ORDER_CONTRIBUTED;
    }
    if ((st = run_dir(&dir, w, err)) != FL_OK) {
        return outcome_of(st);
    }
    if ((st = joined_check(l, w->home, dir, least_cell(l, p), err)) == FL_OK) {
        snprintf(l->run, sizeof l->run, "%s", w->order.run);
    } else {
        local_destroy(w->local);  // the next order shall see them as they are then
    }
    free(dir);
    return outcome_of(st);
}

static order_outcome carry_out(order_work *w, fl_err *err)
{
    bool is_check = w->order.key.kind == FED_CHECK;
    policy p;
    if (need_job(w, err) != FL_OK) {
        return is_check ? ORDER_MISMATCH : ORDER_REFUSED;
    }
    atomic_store(&w->progress.may_be_late, (*w->local)->job.sites.late == JOB_LATE_CARRY);
    if (check_round(w, *w->local, err) != FL_OK) {
        return ORDER_REFUSED;
    }
    if (policy_read(&p, w->home, err) != FL_OK) {
        return ORDER_PENDING;  // somebody may be editing it
    }
    order_outcome outcome = settle_policy(w, &p, err);
    if (outcome != ORDER_CONTRIBUTED) {
        return outcome;
    }
    if (w->is_made) {
        return ORDER_CONTRIBUTED;
    }
    // DONE needs no data: a hospital that has lost them still gets the model.
    if (w->order.key.kind != FED_DONE &&
        ((outcome = load_data(w, err)) != ORDER_CONTRIBUTED ||
         (outcome = check_joined(w, &p, err)) != ORDER_CONTRIBUTED)) {
        return outcome;
    }
    enter_round(w, *w->local);
    if (!is_check && base_model_check(&w->order, task_model_table((*w->local)->model), w->model,
                                      w->n_model, err) != FL_OK) {
        return ORDER_REFUSED;
    }
    errand e = {.work = w, .local = *w->local, .policy = &p};
    e.draft.key = w->order.key;
    e.draft.base_model = w->order.model_id;
    outcome = outcome_of(errands[w->order.key.kind](&e, err));
    if (is_check && outcome == ORDER_REFUSED) {
        // A later try shall see the data as they are then.
        local_destroy(w->local);
    }
    return outcome;
}

void order_carry_out(order_work *w)
{
    fl_err err = FL_ERR_INIT;
    FL_REQUIRE(w->order.key.kind > FED_WAIT && w->order.key.kind < FED_N_ORDERS);
    w->item.fd = -1;
    w->text[0] = '\0';
    w->outcome = carry_out(w, &err);
    if (w->outcome != ORDER_CONTRIBUTED) {
        memcpy(w->text, err.text, sizeof w->text);
    }
}

bool order_may_leave(const home *h, const local *l, const fed_digest *digest)
{
    policy p;
    char why[FED_TEXT_BYTES];
    return l != NULL && fed_digest_equal(&l->digest, digest) && policy_read(&p, h, NULL) == FL_OK &&
           policy_judge(&p, &l->job, local_n_parameters(l), policy_approved(h, digest), why) ==
               POLICY_ALLOWS;
}
