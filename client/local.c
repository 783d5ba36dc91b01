/*
 * local.c - see local.h
 */
#include "client/local.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "client/drift.h"
#include "fed/secret.h"
#include "nn/params.h"

// ------------------------------------------------------------- job and model

fl_status local_new(local **out, const home *h, const fed_digest *digest, const char *text,
                    size_t n, const job_graph *graph, fl_err *err)
{
    *out = NULL;
    local *l = fl_xcalloc(1, sizeof *l);
    l->digest = *digest;
    memcpy(l->site, h->site.text, sizeof l->site);
    l->language = h->language;
    fl_status st = job_parse_model(&l->job, &l->model, text, n, "job.yaml", h->dir, graph, err);
    if (st != FL_OK) {
        free(l);
        return st;
    }
    l->threads = l->job.local.threads;
    if (h->max_threads > 0 && l->threads > h->max_threads) {
        l->threads = h->max_threads;
    }
    l->job.local.threads = l->threads;
    *out = l;
    return FL_OK;
}

void local_destroy(local **l)
{
    if (*l == NULL) {
        return;
    }
    task_trainer_destroy(&(*l)->trainer);
    task_model_destroy(&(*l)->model);
    data_set_destroy(&(*l)->set);
    job_clear(&(*l)->job);
    FL_FREE(*l);
}

int64_t local_n_parameters(const local *l)
{
    return nn_table_count(task_model_table(l->model));
}

fl_status local_load(local *l, const home *h, fl_err *err)
{
    if (l->set != NULL) {
        return FL_OK;
    }
    data_set *set = NULL;
    uint8_t secret[DATA_SECRET_BYTES];
    fl_status st = home_patient_secret(secret, h, err);
    if (st == FL_OK) {
        st = data_set_open_as(&set, h->data, &l->job.data, secret, err);
    }
    fed_wipe(secret, sizeof secret);
    if (st != FL_OK) {
        return st;
    }
    if ((st = job_check_data(set, err)) != FL_OK) {
        data_set_destroy(&set);
        return st;
    }
    l->set = set;
    l->now = set;
    return FL_OK;
}

void local_enter_round(local *l, int64_t round)
{
    const data_set *now = data_set_in_round(l->set, round);
    if (now != l->now) {
        task_trainer_destroy(&l->trainer);
        l->now = now;
    }
}

/* A cell: {"n": number} or {"n": null, "why"}. */
static bool is_cell(const json_t *value)
{
    size_t n_keys = json_object_size(value);
    bool has_why = json_object_get(value, "why") != NULL;
    return json_object_get(value, "n") != NULL && n_keys == (has_why ? 2 : 1);
}

/* *why: new reference to why one was hidden, where one was and there is none yet. */
static void flatten_cells(json_t *object, json_t **why)
{
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(object, next, key, value)
    {
        if (is_cell(value)) {
            json_t *reason = json_object_get(value, "why");
            if (reason != NULL && *why == NULL) {
                *why = json_incref(reason);
            }
            json_object_set(object, key, json_object_get(value, "n"));
        } else if (json_is_object(value)) {
            flatten_cells(value, why);
        }
    }
}

json_t *local_table1(const local *l)
{
    json_t *table = data_set_table1(l->now, l->job.evaluation.min_cell);
    const char *split;
    json_t *of_split;
    json_object_foreach(table, split, of_split) {
        json_t *why = NULL;
        flatten_cells(of_split, &why);
        if (why != NULL) {
            json_object_set_new(of_split, "why", why);
        }
    }
    return table;
}

int64_t local_n_labelled(const local *l)
{
    const size_t *index = data_set_split(l->now, DATA_TRAIN);
    int64_t n = 0;
    for (size_t i = 0; i < data_set_n_split(l->now, DATA_TRAIN); i++) {
        data_case c = data_set_case(l->now, index[i]);
        n += task_is_labelled(&l->job.data, &c);
    }
    return n;
}

// ------------------------------------------------------------------- training

void local_step(local_progress *progress)
{
    atomic_fetch_add(&progress->done, 1);
    if (progress->all != NULL) {
        atomic_fetch_add(progress->all, 1);
    }
}

typedef struct {
    local_progress *progress;
    uint64_t before;  // steps of the order that this training follows
    drift *drift;
    drift_adjust *adjust;
    int64_t until_ms;  // where partial work counts: no longer than this; 0: to the end
    bool ran_out;      // of time
} step_context;

static void after_gradient(void *ctx, float *grad, const float *params, int64_t n)
{
    const step_context *s = ctx;
    s->adjust(s->drift, grad, params, n);
}

/* total: of the training, which knows what its data come to in each round. */
static bool after_step(void *ctx, int64_t done, int64_t total, double loss)
{
    (void)done;
    (void)loss;
    step_context *s = ctx;
    atomic_store(&s->progress->total, s->before + (uint64_t)total);
    local_step(s->progress);
    s->ran_out = s->until_ms > 0 && fl_now_ms() >= s->until_ms;
    return !s->ran_out && !atomic_load(&s->progress->cancel);
}

static fl_status need_trainer(local *l, fl_err *err)
{
    return l->trainer != NULL ? FL_OK
                              : task_trainer_new(&l->trainer, l->model, l->now, &l->job.local, err);
}

fl_status local_train(local *l, float *params, const float *base, fed_round_no round,
                      local_progress *progress, task_train_result *result, fl_err *err)
{
    fl_status st = need_trainer(l, err);
    if (st != FL_OK) {
        return st;
    }
    drift d;
    step_context step = {
        .progress = progress, .before = atomic_load(&progress->done), .drift = &d};
    step.adjust = drift_of(&d, &l->job.strategy, task_model_table(l->model), base);
    task_hooks hooks = {.ctx = &step,
                        .adjust = step.adjust == NULL ? NULL : after_gradient,
                        .step_done = after_step};
    nn_vec_copy(params, base, local_n_parameters(l));
    if (l->job.sites.partial) {
        step.until_ms = fl_now_ms() + l->job.sites.patience_ms;
    }
    st = task_trainer_run(l->trainer, params, l->job.seed, l->site, round.n, false, &hooks, result,
                          err);
    if (st == FL_ESTOPPED && step.ran_out && !atomic_load(&progress->cancel)) {
        fl_log(FL_LOG_WARN, "train.partial",
               "site=%s round=%" PRIu32 " steps=%" PRId64 " of=%" PRId64, l->site, round.n,
               result->steps, task_trainer_steps(l->trainer));
        return FL_OK;
    }
    return st;
}

fl_status local_baseline(local *l, float *params, const float *first, local_progress *progress,
                         local_baseline_result *result, fl_err *err)
{
    fl_status st = FL_OK;
    if (l->now != l->set) {  // as the federation, it begins with the first data
        task_trainer_destroy(&l->trainer);
        st = task_trainer_new(&l->trainer, l->model, l->set, &l->job.local, err);
    }
    if (st != FL_OK || (st = need_trainer(l, err)) != FL_OK) {
        return st;
    }
    step_context step = {.progress = progress, .before = atomic_load(&progress->done)};
    const task_fit_config cfg = {.rounds = l->job.rounds,
                                 .metric = l->job.select.metric,
                                 .keep_best = true,
                                 .in_rounds = true};
    const task_fit_hooks hooks = {.step = {.ctx = &step, .step_done = after_step}};
    task_fit_result done = {0};
    *result = (local_baseline_result){0};
    if (first != NULL) {
        nn_vec_copy(params, first, local_n_parameters(l));
    } else {
        nn_graph_init(task_model_graph(l->model), params, l->job.seed);
    }
    st = task_fit(params, l->trainer, l->job.seed, l->site, &cfg, &hooks, &done, err);
    atomic_store(&progress->total, 0);  // nobody counts what follows
    *result = (local_baseline_result){
        .steps = done.steps, .best_step = done.best_step > 0 ? done.best_step : done.steps};
    return st;
}

/* Whether fine-tuning has come to parameters that are better than those it started from. */
static fl_status is_better(bool *out, const local *l, const float *global,
                           const task_fit_result *fit, fl_err *err)
{
    task_scores scores;
    task_quick start;
    *out = true;
    if (fit->best_step == 0) {
        return FL_OK;  // no validation cases: the last are kept
    }
    fl_status st = task_predict(&scores, l->model, global, l->now, DATA_VAL, l->threads, err);
    if (st != FL_OK) {
        return st;
    }
    task_quick_of(&start, &scores, &l->job.data);
    task_scores_clear(&scores);
    double before = task_quick_metric(&start, fit->metric);
    double after = task_quick_metric(&fit->best, fit->metric);
    *out = !isnan(after) && (isnan(before) || (task_quick_higher_is_better(fit->metric)
                                                   ? after > before
                                                   : after < before));
    return FL_OK;
}

fl_status local_personal(local *l, float *params, const float *global, local_progress *progress,
                         local_baseline_result *result, fl_err *err)
{
    const job_personal *how = &l->job.evaluation.personal;
    task_train_config train = l->job.local;
    task_trainer *trainer;
    task_fit_result fit;
    step_context step = {.progress = progress, .before = atomic_load(&progress->done)};
    const task_fit_hooks hooks = {.step = {.ctx = &step, .step_done = after_step}};
    bool better;
    train.epochs = 1;
    train.steps = 0;
    train.optim.lr = how->lr;
    train.schedule.kind = NN_CONSTANT;
    train.schedule.warmup = 0;
    task_trainer_destroy(&l->trainer);  // one at a time: each has a plan's memory
    fl_status st = task_trainer_new(&trainer, l->model, l->now, &train, err);
    if (st != FL_OK) {
        return st;
    }
    const int64_t epoch = task_trainer_epoch_steps(trainer);
    const task_fit_config cfg = {.rounds = how->steps > 0 ? (how->steps + epoch - 1) / epoch
                                                          : how->epochs,
                                 .max_steps = how->steps,
                                 .metric = l->job.select.metric,
                                 .keep_best = true};
    nn_vec_copy(params, global, local_n_parameters(l));
    st = task_fit(params, trainer, l->job.seed, l->site, &cfg, &hooks, &fit, err);
    atomic_store(&progress->total, 0);
    task_trainer_destroy(&trainer);
    if (st != FL_OK || (st = is_better(&better, l, global, &fit, err)) != FL_OK) {
        return st;
    }
    *result = (local_baseline_result){.steps = fit.steps,
                                      .best_step = fit.best_step > 0 ? fit.best_step : fit.steps};
    if (!better) {
        nn_vec_copy(params, global, local_n_parameters(l));
        result->best_step = 0;
    }
    return FL_OK;
}

// ------------------------------------------------------------------ histogram

typedef struct {
    double score;
    int64_t patient;
} scored;

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    return x->score == y->score ? 0 : x->score < y->score ? -1 : 1;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x == *y ? 0 : *x < *y ? -1 : 1;
}

static int64_t bin_of(double score, int64_t bins)
{
    int64_t bin = (int64_t)(score * (double)bins);
    return bin < 0 ? 0 : bin >= bins ? bins - 1 : bin;
}

static int64_t n_patients(const scored *at, size_t n)
{
    int64_t *patient = fl_xcalloc(n, sizeof *patient);
    int64_t different = 0;
    for (size_t i = 0; i < n; i++) {
        patient[i] = at[i].patient;
    }
    qsort(patient, n, sizeof *patient, by_number);
    for (size_t i = 0; i < n; i++) {
        different += i == 0 || patient[i] != patient[i - 1];
    }
    free(patient);
    return different;
}

/*
 * Neighbouring bins are joined until each group holds min_cell patients; a
 * group is counted in the bin of its mean score.  spans: gets [first, last] bin
 * of each; where in between its cases lie, nobody is told.  false when there
 * are not enough patients for one group.
 */
static bool count_groups(int64_t *count, json_t *spans, int64_t bins, scored *at, size_t n,
                         int64_t min_cell)
{
    size_t end[LOCAL_FINE_BINS];  // of each group
    size_t n_groups = 0, start = 0;
    qsort(at, n, sizeof *at, by_score);
    for (size_t i = 0; i < n; i++) {
        bool ends_bin = i + 1 == n || bin_of(at[i + 1].score, bins) != bin_of(at[i].score, bins);
        if (ends_bin && n_patients(at + start, i + 1 - start) >= min_cell) {
            start = i + 1;
            end[n_groups++] = start;
        }
    }
    if (n_groups == 0) {
        return n == 0;
    }
    end[n_groups - 1] = n;  // those who are left join the last group
    start = 0;
    int64_t first = 0;
    for (size_t g = 0; g < n_groups; g++) {
        int64_t last = g + 1 == n_groups ? bins - 1 : bin_of(at[end[g] - 1].score, bins);
        json_array_append_new(spans, json_pack("[I, I]", (json_int_t)first, (json_int_t)last));
        first = last + 1;
        double sum = 0;
        for (size_t i = start; i < end[g]; i++) {
            sum += at[i].score;
        }
        size_t n_group = end[g] - start;
        count[bin_of(sum / (double)n_group, bins)] += (int64_t)n_group;
        start = end[g];
    }
    return true;
}

static json_t *counts_json(const int64_t *count, int64_t bins)
{
    json_t *list = json_array();
    for (int64_t b = 0; b < bins; b++) {
        json_array_append_new(list, json_integer((json_int_t)count[b]));
    }
    return list;
}

/* The labelled cases of one class, by the positive class's score. */
static size_t take_class(scored *out, const task_scores *s, size_t positive, bool is_positive)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->label[i] >= 0 && (s->label[i] == (int)positive) == is_positive) {
            out[n++] = (scored){.score = s->score[i * s->K + positive], .patient = s->patient[i]};
        }
    }
    return n;
}

json_t *local_histogram(const task_scores *s, const data_spec *spec, int64_t bins, int64_t min_cell)
{
    if (spec->task != DATA_CLASSIFY || spec->positive < 0 || bins < 1 || s->n == 0) {
        return NULL;
    }
    scored *at = fl_xcalloc(s->n, sizeof *at);
    int64_t *count[2];  // negatives, positives
    json_t *spans[2] = {json_array(), json_array()};
    bool may_leave = true;
    for (int c = 0; c < 2; c++) {
        count[c] = fl_xcalloc((size_t)bins, sizeof *count[c]);
        size_t n = take_class(at, s, (size_t)spec->positive, c == 1);
        if (bins <= LOCAL_FINE_BINS) {
            may_leave &= count_groups(count[c], spans[c], bins, at, n, min_cell);
        } else {
            for (size_t i = 0; i < n; i++) {
                eval_histogram(count[c], (size_t)bins, &at[i].score, 1);
            }
        }
    }
    json_t *json = NULL;
    if (may_leave) {
        json = json_object();
        json_object_set_new(json, "bins", json_integer(bins));
        json_object_set_new(json, "negatives", counts_json(count[0], bins));
        json_object_set_new(json, "positives", counts_json(count[1], bins));
        if (bins <= LOCAL_FINE_BINS) {
            json_object_set_new(
                json, "spans",
                json_pack("{s:O, s:O}", "negatives", spans[0], "positives", spans[1]));
        }
    }
    json_decref(spans[0]);
    json_decref(spans[1]);
    free(count[0]);
    free(count[1]);
    free(at);
    return json;
}
