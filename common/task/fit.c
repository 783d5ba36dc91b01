/*
 * fit.c - a whole training: runs of the trainer, and validation choosing
 *
 * `client train`, the local-only model of a federation and the centralised
 * baseline all are this, so that they differ by their data alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/ops.h"
#include "task/task.h"

typedef struct {
    task_trainer *trainer;
    const task_fit_config *cfg;
    const task_fit_hooks *hooks;
    task_fit_result *result;
    float *params, *best;  // (P); best NULL: the last are kept
    int64_t done_before;   // steps of the runs before this one
    int64_t total;         // of all
    int64_t since_look;    // steps
    double loss_sum;       // of them
    int64_t without;       // looks since the best one
    double best_value;
    bool cancelled;        // by a hook
    fl_err err;            // of a look that failed
} fitting;

static bool is_better(const fitting *f, double value)
{
    if (isnan(value)) {
        return false;
    }
    return f->result->best_step == 0 ||
           (task_quick_higher_is_better(f->result->metric) ? value > f->best_value
                                                           : value < f->best_value);
}

/* Tries the parameters on the validation split; keeps them if they are the
 * best so far.  false: training is over. */
static bool look(fitting *f, int64_t step)
{
    task_scores scores;
    task_fit_result *r = f->result;
    r->loss = f->loss_sum / (double)f->since_look;
    f->loss_sum = 0;
    f->since_look = 0;
    if (task_trainer_n_val(f->trainer) > 0) {
        if (task_trainer_try(&scores, f->trainer, f->params, &f->err) != FL_OK) {
            return false;
        }
        task_quick_of(&r->now, &scores, task_trainer_spec(f->trainer));
        task_scores_clear(&scores);
        if (r->best_step == 0 && isnan(task_quick_metric(&r->now, r->metric))) {
            r->metric = "loss";  // one class alone
        }
        double value = task_quick_metric(&r->now, r->metric);
        bool better = is_better(f, value);
        f->without = better ? 0 : f->without + 1;
        if (better) {
            f->best_value = value;
            r->best = r->now;
            r->best_step = step;
            if (f->best != NULL) {
                nn_vec_copy(f->best, f->params, task_trainer_n_parameters(f->trainer));
            }
        }
    }
    if (f->hooks->looked != NULL &&
        !f->hooks->looked(f->hooks->step.ctx, r, step, f->total)) {
        f->cancelled = true;
        return false;
    }
    r->stopped = f->cfg->patience > 0 && f->without >= f->cfg->patience;
    return !r->stopped;
}

static bool after_step(void *ctx, int64_t done, int64_t run_total, double loss)
{
    fitting *f = ctx;
    int64_t step = f->done_before + done;
    const task_hooks *step_hooks = &f->hooks->step;
    f->loss_sum += loss;
    f->since_look++;
    if (step_hooks->step_done != NULL &&
        !step_hooks->step_done(step_hooks->ctx, step, f->total, loss)) {
        f->cancelled = true;
        return false;
    }
    int64_t every = f->cfg->try_every > 0 ? f->cfg->try_every : run_total;
    bool is_last = step == f->total;
    if ((step % every == 0 || is_last) && !look(f, step)) {
        return false;
    }
    return !is_last;
}

static void adjust(void *ctx, float *grad, const float *params, int64_t n)
{
    const task_hooks *hooks = &((const fitting *)ctx)->hooks->step;
    hooks->adjust(hooks->ctx, grad, params, n);
}

static void batch(void *ctx, const data_set *set, const size_t *index, size_t n, uint64_t epoch,
                  float *x, float *target)
{
    const task_hooks *hooks = &((const fitting *)ctx)->hooks->step;
    hooks->batch(hooks->ctx, set, index, n, epoch, x, target);
}

static fl_status enter(task_trainer *t, const task_fit_config *cfg, int64_t run, fl_err *err)
{
    return cfg->in_rounds ? task_trainer_enter_round(t, run, err) : FL_OK;
}

/* Steps of all runs; the trainer is left at the first. */
static fl_status count_steps(int64_t *out, task_trainer *t, const task_fit_config *cfg,
                             fl_err *err)
{
    fl_status st = FL_OK;
    *out = 0;
    for (int64_t r = 1; r <= cfg->rounds && st == FL_OK; r++) {
        st = enter(t, cfg, r, err);
        *out += st == FL_OK ? task_trainer_steps(t) : 0;
    }
    return st == FL_OK ? enter(t, cfg, 1, err) : st;
}

static fl_status run_all(fitting *f, uint64_t seed, const char *site, fl_err *err)
{
    const task_hooks hooks = {
        .ctx = f,
        .batch = f->hooks->step.batch != NULL ? batch : NULL,
        .adjust = f->hooks->step.adjust != NULL ? adjust : NULL,
        .step_done = after_step,
    };
    for (int64_t r = 1; r <= f->cfg->rounds && f->done_before < f->total; r++) {
        task_train_result done;
        fl_status st = enter(f->trainer, f->cfg, r, err);
        if (st != FL_OK) {
            return st;
        }
        // One long training: the optimiser keeps its state.
        st = task_trainer_run(f->trainer, f->params, seed, site, (uint64_t)r, r > 1,
                                        &hooks, &done, err);
        f->done_before += done.steps;
        f->result->steps += done.steps;
        f->result->samples += done.samples;
        if (st == FL_ESTOPPED && f->err.status != FL_OK) {
            return fl_fail(err, f->err.status, "%s", f->err.text);
        }
        if (st == FL_ESTOPPED && !f->cancelled) {
            return FL_OK;  // patience, or as many steps as were asked for
        }
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

fl_status task_fit(float *params, task_trainer *t, uint64_t seed, const char *site,
                   const task_fit_config *cfg, const task_fit_hooks *hooks,
                   task_fit_result *result, fl_err *err)
{
    static const task_fit_hooks none = {.looked = NULL};
    int64_t P = task_trainer_n_parameters(t);
    int64_t total;
    fitting f = {.trainer = t, .cfg = cfg, .hooks = hooks != NULL ? hooks : &none,
                 .result = result, .params = params};

    FL_REQUIRE(cfg->rounds > 0 && task_quick_suits(task_trainer_spec(t)->task, cfg->metric));
    fl_status st = count_steps(&total, t, cfg, err);
    if (st != FL_OK) {
        return st;
    }
    f.total = cfg->max_steps > 0 && cfg->max_steps < total ? cfg->max_steps : total;
    *result = (task_fit_result){.metric = cfg->metric, .loss = NAN};
    if (cfg->keep_best && task_trainer_n_val(t) > 0 &&
        (f.best = fl_calloc_aligned((size_t)P, sizeof *f.best, "the best model", err)) == NULL) {
        return FL_ELIMIT;
    }
    st = run_all(&f, seed, site, err);
    if (st == FL_OK && f.best != NULL && result->best_step > 0) {
        nn_vec_copy(params, f.best, P);
    } else if (!cfg->keep_best) {
        result->best_step = 0;  // seen, not kept
    }
    free(f.best);
    return st;
}
