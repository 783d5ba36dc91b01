/*
 * train.c - the one training loop
 *
 * Client, baselines and `client train` all train here, so that figures of a
 * federated and of a local model differ by the federation alone.
 *
 * Epoch e of a site visits the labelled training cases in the order of the
 * stream (seed, "shuffle", site, e); the last batch of an epoch is smaller.
 * A run of S steps in round r does the batches (r-1) S .. r S - 1 of the
 * endless row of such epochs, so a round goes on where the one before it
 * ended.  FLamby's loaders do the same (du Terrail et al. 2022,
 * DataLoaderWithMemory: 100 batches a round, reshuffled only when all cases
 * were seen); here it follows from the round's number, and needs no memory
 * that a restart could lose.  Runs of E epochs in round r do epochs (r-1) E ..
 * r E - 1.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/ahead.h"
#include "task/ops.h"
#include "task/task.h"

struct task_trainer {
    const task_model *model;
    const data_set *whole;  // as it was given
    const data_set *set;    // what stands in for it in this round
    task_train_config cfg;
    size_t n_cases;       // labelled, of the training split
    int64_t batch;        // rows of a full batch: cfg.batch, at most n_cases
    int64_t epoch_steps;  // batches of an epoch
    nn_plan *plan;        // of `batch` rows
    nn_optim *optim;
    float *grad;          // (P)
    uint8_t *masks;       // (batch, pixels) augmented; NULL where there are none
    float *scratch;       // of an input, for augmenting; NULL where nothing does
    float *raw;           // (P) what is trained where params are its average; else NULL
    int64_t n_averaged;   // steps in the average
    float weight[DATA_MAX_CLASSES];  // of classes, in the loss
    size_t *order;        // (n_cases) the cases as the epoch visits them
    size_t *shuffled;     // (n_split) the same, with those without a label
    data_ahead *ahead;    // NULL for a data set in memory
    bool *labelled;       // (n) of each case of the set
};

// -------------------------------------------------------------------- making

/* Marks the cases that can teach something. */
static void find_labelled(task_trainer *t)
{
    const data_spec *spec = task_model_spec(t->model);
    const size_t *index = data_set_split(t->set, DATA_TRAIN);
    size_t n = data_set_n_split(t->set, DATA_TRAIN);
    for (size_t i = 0; i < n; i++) {
        data_case c = data_set_case(t->set, index[i]);
        t->labelled[index[i]] = task_is_labelled(spec, &c);
        t->n_cases += t->labelled[index[i]];
    }
}

static fl_status make_plan(task_trainer *t, fl_err *err)
{
    const task_ops *ops = task_model_ops(t->model);
    const data_spec *spec = task_model_spec(t->model);
    int64_t L = task_model_n_logits(t->model);
    nn_loss_config loss;
    fl_status st = task_loss_of(&loss, t->weight, &t->cfg.loss, spec, L, err);
    if (st != FL_OK) {
        return st;
    }
    if (t->cfg.class_weights) {
        ops->weigh(t->weight, spec, L, t->set);
        loss.class_weight = t->weight;
    }
    nn_plan_config plan = {
        .capacity = t->batch,
        .train = true,
        .precision = t->cfg.precision,
        .threads = t->cfg.threads,
        .loss = loss,
    };
    return nn_plan_new(&t->plan, task_model_graph(t->model), &plan, err);
}

/* What augmenting a batch needs. */
static fl_status make_room(task_trainer *t, fl_err *err)
{
    const data_spec *spec = task_model_spec(t->model);
    if (!data_augment_does_something(&t->cfg.augment)) {
        return FL_OK;
    }
    if (spec->input.rank < 3) {
        return fl_fail(err, FL_ECONFIG, "augment: is for images");
    }
    t->scratch = fl_calloc(data_set_n_features(t->set), sizeof *t->scratch, "an image", err);
    if (t->scratch == NULL) {
        return FL_ELIMIT;
    }
    if (spec->task == DATA_SEGMENT) {
        t->masks = fl_calloc((size_t)t->batch, data_set_n_pixels(t->set), "masks", err);
    }
    return spec->task == DATA_SEGMENT && t->masks == NULL ? FL_ELIMIT : FL_OK;
}

/* Lets go of all that depends on the data. */
static void drop_data(task_trainer *t)
{
    nn_plan_destroy(&t->plan);
    data_ahead_destroy(&t->ahead);
    FL_FREE(t->masks);
    FL_FREE(t->scratch);
    FL_FREE(t->order);
    FL_FREE(t->shuffled);
    FL_FREE(t->labelled);
    t->n_cases = 0;
}

/* From here on it is trained on set. */
static fl_status take_data(task_trainer *t, const data_set *set, fl_err *err)
{
    size_t n_split = data_set_n_split(set, DATA_TRAIN);
    fl_status st;
    drop_data(t);
    t->set = set;
    t->labelled = fl_calloc(data_set_n(set), sizeof *t->labelled, "cases", err);
    t->shuffled = fl_calloc(n_split, sizeof *t->shuffled, "cases", err);
    t->order = fl_calloc(n_split, sizeof *t->order, "cases", err);
    if (t->labelled == NULL || t->shuffled == NULL || t->order == NULL) {
        return FL_ELIMIT;
    }
    find_labelled(t);
    if (t->n_cases == 0) {
        return fl_fail(err, FL_ECONFIG,
                       "training: the training split has %zu cases, none with "
                       "a label",
                       n_split);
    }
    t->batch = (int64_t)t->n_cases < t->cfg.batch ? (int64_t)t->n_cases : t->cfg.batch;
    t->epoch_steps = ((int64_t)t->n_cases + t->batch - 1) / t->batch;
    if ((st = make_plan(t, err)) != FL_OK || (st = make_room(t, err)) != FL_OK) {
        return st;
    }
    t->ahead = data_ahead_new(set);
    return FL_OK;
}

fl_status task_trainer_new(task_trainer **out, const task_model *m,
                           const data_set *set, const task_train_config *cfg,
                           fl_err *err)
{
    FL_REQUIRE((cfg->epochs > 0) != (cfg->steps > 0) && cfg->batch > 0);
    *out = NULL;
    const char *why_not = nn_precision_why_not(cfg->precision);
    if (why_not != NULL) {
        return fl_fail(err, FL_EUNSUPPORTED, "precision: %s", why_not);
    }

    fl_status st = FL_OK;
    size_t P = (size_t)nn_table_count(task_model_table(m));
    task_trainer *t = fl_xcalloc(1, sizeof *t);
    *t = (task_trainer){.model = m, .whole = set, .cfg = *cfg};
    t->grad = fl_calloc_aligned(P, sizeof *t->grad, "gradient", err);
    if (cfg->ema > 0) {
        t->raw = fl_calloc_aligned(P, sizeof *t->raw, "average", err);
    }
    if (t->grad == NULL || (cfg->ema > 0 && t->raw == NULL)) {
        st = FL_ELIMIT;
    }
    if (st == FL_OK && (st = take_data(t, set, err)) == FL_OK) {
        *out = t;
        t = NULL;  // now the caller's
    }
    task_trainer_destroy(&t);
    return st;
}

void task_trainer_destroy(task_trainer **trainer)
{
    task_trainer *t = *trainer;
    if (t == NULL) {
        return;
    }
    drop_data(t);
    nn_optim_destroy(&t->optim);
    free(t->grad);
    free(t->raw);
    FL_FREE(*trainer);
}

fl_status task_trainer_enter_round(task_trainer *t, int64_t round, fl_err *err)
{
    const data_set *now = data_set_in_round(t->whole, round);
    return now == t->set ? FL_OK : take_data(t, now, err);
}

int64_t task_trainer_steps(const task_trainer *t)
{
    return t->cfg.steps > 0 ? t->cfg.steps : t->cfg.epochs * t->epoch_steps;
}

int64_t task_trainer_epoch_steps(const task_trainer *t)
{
    return t->epoch_steps;
}

const data_spec *task_trainer_spec(const task_trainer *t)
{
    return task_model_spec(t->model);
}

int64_t task_trainer_n_parameters(const task_trainer *t)
{
    return nn_table_count(task_model_table(t->model));
}

size_t task_trainer_n_val(const task_trainer *t)
{
    return data_set_n_split(t->set, DATA_VAL);
}

fl_status task_trainer_try(task_scores *out, const task_trainer *t, const float *params,
                           fl_err *err)
{
    return task_predict(out, t->model, params, t->set, DATA_VAL, t->cfg.threads, err);
}

// ------------------------------------------------------------------ the loop

static void shuffle_epoch(task_trainer *t, uint64_t seed, const char *site,
                          uint64_t epoch)
{
    size_t n_split = data_set_n_split(t->set, DATA_TRAIN);
    data_set_shuffle(t->set, DATA_TRAIN, seed, site, epoch, t->shuffled);
    size_t n = 0;
    for (size_t i = 0; i < n_split; i++) {
        if (t->labelled[t->shuffled[i]]) {
            t->order[n++] = t->shuffled[i];
        }
    }
    FL_REQUIRE(n == t->n_cases);
    data_ahead_start(t->ahead, t->order, n);
}

/* Batch number `position` of the epoch; returns its cases, fewer in the last. */
static int64_t fill_batch(task_trainer *t, int64_t position, uint64_t seed, const char *site,
                          uint64_t epoch)
{
    const task_ops *ops = task_model_ops(t->model);
    const data_spec *spec = task_model_spec(t->model);
    int64_t L = task_model_n_logits(t->model);
    int64_t width = nn_plan_target_row(t->plan);
    int64_t from = position * t->batch;
    int64_t left = (int64_t)t->n_cases - from;
    int64_t n = left < t->batch ? left : t->batch;
    const size_t *index = t->order + from;
    float *target = nn_plan_target(t->plan);
    data_ahead_at(t->ahead, (size_t)from);
    float *x = nn_plan_input(t->plan, 0);
    if (t->scratch != NULL) {
        data_set_batch_augmented(t->set, &t->cfg.augment, seed, site, epoch, index, (size_t)n, x,
                                 t->masks, t->scratch);
    } else {
        data_set_batch(t->set, index, (size_t)n, x);
    }
    for (int64_t i = 0; i < n; i++) {
        data_case c = data_set_case(t->set, index[i]);
        if (t->masks != NULL && c.mask != NULL) {
            c.mask = t->masks + (size_t)i * data_set_n_pixels(t->set);
        }
        ops->target(target + i * width, spec, L, &c);
    }
    return n;
}

static fl_status not_finite(const char *what, int64_t step, fl_err *err)
{
    return fl_fail(err, FL_EFORMAT,
                   "training: the %s stopped being finite at step %lld; a "
                   "smaller learning rate or clip_norm helps",
                   what, (long long)step);
}

/* How much the divergence of an evidential loss weighs by now. */
static void anneal(task_trainer *t, double now)
{
    double rounds = t->cfg.loss.anneal;
    if (t->cfg.loss.kind == TASK_LOSS_EVIDENTIAL) {
        nn_plan_set_anneal(t->plan, rounds > 0 && now < rounds ? now / rounds : 1);
    }
}

/* params becomes the average of itself and what the step has made. */
static void average(task_trainer *t, float *params)
{
    double early = (double)(1 + t->n_averaged) / (double)(10 + t->n_averaged);
    nn_optim_average(params, t->raw, task_model_table(t->model), fmin(t->cfg.ema, early));
    t->n_averaged++;
}

static fl_status fresh_optimiser(task_trainer *t, bool keep_state, fl_err *err)
{
    if (keep_state && t->optim != NULL) {
        return FL_OK;
    }
    nn_optim_destroy(&t->optim);
    return nn_optim_new(&t->optim, &t->cfg.optim, task_model_table(t->model),
                        err);
}

fl_status task_trainer_run(task_trainer *t, float *params, uint64_t seed,
                           const char *site, uint64_t round, bool keep_state,
                           const task_hooks *hooks, task_train_result *result,
                           fl_err *err)
{
    static const task_hooks no_hooks = {0};
    const task_hooks *hook = hooks != NULL ? hooks : &no_hooks;
    int64_t P = nn_table_count(task_model_table(t->model));
    int64_t total = task_trainer_steps(t);
    uint64_t first = (round > 0 ? round - 1 : 0) * (uint64_t)total;
    float *trained = t->raw != NULL ? t->raw : params;
    double loss_sum = 0;

    *result = (task_train_result){.loss = NAN};
    fl_status st = fresh_optimiser(t, keep_state, err);
    if (st != FL_OK) {
        return st;
    }
    if (t->raw != NULL && !keep_state) {
        nn_vec_copy(t->raw, params, P);
        t->n_averaged = 0;
    }
    fl_rng dropout;
    fl_rng_init(&dropout, seed, "dropout", site, round);
    for (int64_t step = 0; step < total; step++) {
        uint64_t at = first + (uint64_t)step;
        int64_t position = (int64_t)(at % (uint64_t)t->epoch_steps);
        if (step == 0 || position == 0) {
            shuffle_epoch(t, seed, site, at / (uint64_t)t->epoch_steps);
        }
        uint64_t epoch = at / (uint64_t)t->epoch_steps;
        int64_t n = fill_batch(t, position, seed, site, epoch);
        if (hook->batch != NULL) {
            hook->batch(hook->ctx, t->set, t->order + position * t->batch, (size_t)n,
                        epoch, nn_plan_input(t->plan, 0), nn_plan_target(t->plan));
        }
        // The middle of the step: at its beginning a warm-up's first is 0.
        double now = ((double)at + 0.5) / (double)total;
        anneal(t, now);
        double loss = nn_plan_step(t->plan, trained, t->grad, n, &dropout);
        if (!isfinite(loss)) {
            return not_finite("loss", step + 1, err);
        }
        if (hook->adjust != NULL) {
            hook->adjust(hook->ctx, t->grad, trained, P);
        }
        nn_optim_step(t->optim, trained, t->grad,
                      nn_schedule_scale(&t->cfg.schedule, now));
        if (t->raw != NULL) {
            average(t, params);
        }
        loss_sum += loss;
        result->steps = step + 1;
        result->samples += n;
        result->loss = loss_sum / (double)result->steps;
        if (hook->step_done != NULL &&
            !hook->step_done(hook->ctx, step + 1, total, loss)) {
            return fl_fail(err, FL_ESTOPPED,
                           "training: stopped after %lld of %lld steps",
                           (long long)result->steps, (long long)total);
        }
    }
    // A loss of the last step says nothing about the step's own result.
    if (!nn_vec_is_finite(params, P)) {
        return not_finite("parameters", total, err);
    }
    return FL_OK;
}
