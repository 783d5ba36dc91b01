/*
 * tool_train.c - `client train`: a model from one's own data alone
 *
 * Validation chooses: after every epoch the model is tried on the validation
 * split, and the best is written.  The test split is not looked at.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "client/tools.h"
#include "job/job.h"
#include "nn/transfer.h"

/* What a job says is taken from the job; an option beside it wins. */
static struct {
    const char *job, *model, *data, *init, *out, *out_safetensors;
    const char *optimizer, *precision, *keep, *loss, *schedule, *length, *metric,
        *augment;
    const char *truncate_after;
    fl_texts freeze;
    tool_naming naming;
    int64_t epochs, steps, batch, threads, seed, patience, train_last;
    double lr, momentum, weight_decay, clip_norm, ema, factor, warmup;
    bool class_weights, nesterov, json;
} options = {
    .threads = 1, .seed = -1, .lr = NAN, .momentum = NAN, .weight_decay = NAN, .clip_norm = NAN,
    .ema = NAN, .factor = NAN, .warmup = NAN,
};

const fl_opt *client_train_options(void)
{
    static const fl_opt table[] = {
        {.name = "model", .kind = FL_OPT_TEXT, .arg = "SPEC",
         .help = "cnn, \"{name: cnn, dropout: 0.2}\" or a .onnx file",
         .out = &options.model},
        {.name = "job", .kind = FL_OPT_TEXT, .arg = "JOB.yaml",
         .help = "instead of --model: the job's model, data, `local:` for all "
                 "its rounds, seed, selection and threshold, with one's own data",
         .out = &options.job},
        {.name = "data", .kind = FL_OPT_TEXT, .arg = "DATASET",
         .help = "folder, dataset.yaml, .csv or .npz", .out = &options.data,
         .required = true},
        {.name = "out", .kind = FL_OPT_TEXT, .arg = "MODEL.onnx",
         .help = "where the model goes", .out = &options.out,
         .required = true},
        {.name = "out-safetensors", .kind = FL_OPT_TEXT, .arg = "FILE",
         .help = "its numbers alone, too", .out = &options.out_safetensors},
        {.name = "epochs", .kind = FL_OPT_INT, .arg = "E",
         .help = "passes over the training split; default 10",
         .out = &options.epochs, .min = 1, .max = 1e6},
        {.name = "steps", .kind = FL_OPT_INT, .arg = "N",
         .help = "batches, instead of epochs", .out = &options.steps,
         .min = 1, .max = 1e9},
        {.name = "batch", .kind = FL_OPT_INT, .arg = "B",
         .help = "cases a step; default 32", .out = &options.batch, .min = 1,
         .max = 65536},
        {.name = "optimizer", .kind = FL_OPT_TEXT, .arg = "O",
         .help = "sgd, adam or adamw; default sgd", .out = &options.optimizer},
        {.name = "lr", .kind = FL_OPT_NUM, .arg = "L",
         .help = "learning rate; default 0.01, adam and adamw 0.001",
         .out = &options.lr, .min = 1e-12, .max = 1e3},
        {.name = "momentum", .kind = FL_OPT_NUM, .arg = "M",
         .help = "of sgd; default 0.9", .out = &options.momentum, .min = 0,
         .max = 0.9999},
        {.name = "weight-decay", .kind = FL_OPT_NUM, .arg = "W",
         .help = "default 0", .out = &options.weight_decay, .min = 0,
         .max = 10},
        {.name = "nesterov", .kind = FL_OPT_FLAG,
         .help = "sgd looks ahead along its momentum", .out = &options.nesterov},
        {.name = "clip-norm", .kind = FL_OPT_NUM, .arg = "C",
         .help = "largest L2 norm of a batch's gradient; default: any",
         .out = &options.clip_norm, .min = 0, .max = 1e9},
        {.name = "schedule", .kind = FL_OPT_TEXT, .arg = "S",
         .help = "of the learning rate: constant, step or cosine; default constant",
         .out = &options.schedule},
        {.name = "schedule-epochs", .kind = FL_OPT_TEXT, .arg = "E|E,E...",
         .help = "step: between drops, or after which it drops, as 50,75; cosine: until the rate "
                 "is 0; default: all epochs",
         .out = &options.length},
        {.name = "schedule-factor", .kind = FL_OPT_NUM, .arg = "F",
         .help = "step: what a drop leaves of the rate; default 0.1",
         .out = &options.factor, .min = 1e-6, .max = 1},
        {.name = "warmup-epochs", .kind = FL_OPT_NUM, .arg = "E",
         .help = "in which the rate rises from 0; default 0", .out = &options.warmup,
         .min = 0, .max = 1e6},
        {.name = "loss", .kind = FL_OPT_TEXT, .arg = "LOSS",
         .help = "a job's `local.loss`: dice, \"{name: focal, gamma: 1}\" ...; default: the "
                 "task's",
         .out = &options.loss},
        {.name = "augment", .kind = FL_OPT_TEXT, .arg = "HOW",
         .help = "a job's `local.augment`: \"{flip: horizontal, rotate: 10, gamma: 0.2}\"",
         .out = &options.augment},
        {.name = "ema", .kind = FL_OPT_NUM, .arg = "D",
         .help = "keep the average of the parameters over steps, of this decay",
         .out = &options.ema, .min = 0, .max = 0.999999},
        {.name = "class-weights", .kind = FL_OPT_FLAG,
         .help = "weigh classes by 1 / frequency",
         .out = &options.class_weights},
        {.name = "precision", .kind = FL_OPT_TEXT, .arg = "P",
         .help = "fp32 or bf16; default fp32", .out = &options.precision},
        {.name = "threads", .kind = FL_OPT_INT, .arg = "T",
         .help = "default 1", .out = &options.threads, .min = 1, .max = 256},
        {.name = "seed", .kind = FL_OPT_INT, .arg = "S",
         .help = "same seed, same bits; default 1", .out = &options.seed,
         .min = 0, .max = 9e15},
        {.name = "init", .kind = FL_OPT_TEXT, .arg = "FILE",
         .help = "weights to start from, .safetensors or .onnx",
         .out = &options.init},
        {.name = "freeze", .kind = FL_OPT_LIST, .arg = "NAME",
         .help = "parameters that stay as --init has them, '*' is any run; "
                 "may be given several times",
         .out = &options.freeze},
        {.name = "train-last", .kind = FL_OPT_INT, .arg = "K",
         .help = "train only the last K blocks (layer4.1, fc)",
         .out = &options.train_last, .min = 1, .max = 1e5},
        {.name = "truncate-after", .kind = FL_OPT_TEXT, .arg = "LAYER",
         .help = "end the model behind this layer, block or node; a new last "
                 "layer, head, is made for the classes",
         .out = &options.truncate_after},
        {.name = "keep", .kind = FL_OPT_TEXT, .arg = "WHICH",
         .help = "best on the validation split, or last; default best",
         .out = &options.keep},
        {.name = "metric", .kind = FL_OPT_TEXT, .arg = "M",
         .help = "that says which is best; default auc, segment dice, regress mae",
         .out = &options.metric},
        {.name = "patience", .kind = FL_OPT_INT, .arg = "E",
         .help = "stop after so many epochs without a better one; default: never",
         .out = &options.patience, .min = 1, .max = 1e6},
        {.name = "task", .kind = FL_OPT_TEXT, .arg = "TASK",
         .help = "of a bare .npz", .out = &options.naming.task},
        {.name = "classes", .kind = FL_OPT_TEXT, .arg = "A,B",
         .help = "of a bare .npz, in code order",
         .out = &options.naming.classes},
        {.name = "positive", .kind = FL_OPT_TEXT, .arg = "CLASS",
         .help = "the positive one of two classes; default: the data set's, "
                 "else the second",
         .out = &options.naming.positive},
        {.name = "json", .kind = FL_OPT_FLAG,
         .help = "print what was done as JSON", .out = &options.json},
        {0},
    };
    return table;
}

static fl_status find_word(int *out, const char *option, const char *text,
                           const char *const *words, fl_err *err)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return FL_OK;
        }
    }
    return fl_fail(err, FL_EUSAGE, "--%s: expected %s or %s%s%s, found %s",
                   option, words[0], words[1], words[2] != NULL ? " or " : "",
                   words[2] != NULL ? words[2] : "", text);
}

/* "30", or "50,75" */
static fl_status add_drops(nn_schedule *s, const char *text, fl_err *err)
{
    double at[NN_MAX_DROPS];
    size_t n = 0;
    const char *next = text;
    bool is_good = true;
    while (is_good && n < NN_MAX_DROPS) {
        char *end;
        at[n] = strtod(next, &end);
        is_good = end != next && at[n] >= 1 && at[n] <= 1e6 && (*end == ',' || *end == '\0');
        n++;
        next = end + 1;
        if (*end == '\0') {
            break;
        }
    }
    is_good = is_good && next[-1] == '\0';
    if (is_good && n == 1) {
        s->length = at[0];
        return FL_OK;
    }
    return is_good && s->kind == NN_STEP && nn_schedule_set_drops(s, at, n)
               ? FL_OK
               : fl_fail(err, FL_EUSAGE,
                         "--schedule-epochs: expected a number of epochs from 1 on, or with "
                         "--schedule step up to %d that increase, as 50,75; found %.60s",
                         NN_MAX_DROPS, text);
}

/* The rate over time, in epochs (a job's: in its rounds). */
static fl_status add_schedule(nn_schedule *s, double epochs, fl_err *err)
{
    static const char *const schedules[] = {"constant", "step", "cosine", NULL};
    int kind = (int)s->kind;
    fl_status st;
    if (options.schedule != NULL) {
        if ((st = find_word(&kind, "schedule", options.schedule, schedules, err)) != FL_OK) {
            return st;
        }
        s->kind = (nn_schedule_kind)kind;
        s->length = epochs;
        s->n_drops = 0;
    }
    if (options.length != NULL) {
        s->n_drops = 0;
        if ((st = add_drops(s, options.length, err)) != FL_OK) {
            return st;
        }
    }
    if (!isnan(options.factor)) {
        s->factor = options.factor;
    }
    if (!isnan(options.warmup)) {
        s->warmup = options.warmup;
    }
    if (s->kind == NN_CONSTANT && options.length != NULL) {
        return fl_fail(err, FL_EUSAGE, "--schedule-epochs: needs --schedule step or cosine");
    }
    return FL_OK;
}

static void take(double *to, double given)
{
    if (!isnan(given)) {
        *to = given;
    }
}

/* What is to be done. */
typedef struct {
    job job;               // with --job
    model_config model;
    const char *init;         // weights to start from; NULL: none
    task_train_config train;  // of a round: the job's, or an epoch
    task_fit_config fit;
    uint64_t seed;
    bool has_rule;         // the job's threshold rule
    eval_rule rule;
    double at;
} plan;

static fl_status add_optimizer(nn_optim_config *o, fl_err *err)
{
    static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
    int kind = (int)o->kind;
    fl_status st;
    if (options.optimizer != NULL) {
        if ((st = find_word(&kind, "optimizer", options.optimizer, optimizers, err)) != FL_OK) {
            return st;
        }
        o->kind = (nn_optim_kind)kind;
        o->lr = kind == NN_SGD ? 0.01 : 0.001;
    }
    take(&o->lr, options.lr);
    take(&o->momentum, options.momentum);
    take(&o->weight_decay, options.weight_decay);
    take(&o->clip_norm, options.clip_norm);
    o->nesterov = o->nesterov || options.nesterov;
    if (o->nesterov && (o->kind != NN_SGD || o->momentum == 0)) {
        return fl_fail(err, FL_EUSAGE, "--nesterov: needs sgd and a momentum above 0");
    }
    return FL_OK;
}

/* How long: a length said here is in epochs, whatever the job's rounds are. */
static fl_status add_length(plan *p, fl_err *err)
{
    if (options.steps > 0 && options.epochs > 0) {
        return fl_fail(err, FL_EUSAGE, "give either --epochs or --steps");
    }
    if (options.steps > 0 || options.epochs > 0) {
        p->train.epochs = 1;
        p->train.steps = 0;
        p->fit.rounds = options.steps > 0 ? options.steps : options.epochs;
        p->fit.max_steps = options.steps;
        p->fit.in_rounds = false;
    }
    return FL_OK;
}

/* p holds the job's or the defaults; what was said on the command line wins. */
static fl_status add_options(plan *p, fl_err *err)
{
    static const char *const keeps[] = {"best", "last", NULL};
    task_train_config *cfg = &p->train;
    int precision = (int)cfg->precision, keep = !p->fit.keep_best;
    fl_status st;
    if ((options.precision != NULL &&
         (st = find_word(&precision, "precision", options.precision, nn_precision_names, err)) != FL_OK) ||
        (options.keep != NULL &&
         (st = find_word(&keep, "keep", options.keep, keeps, err)) != FL_OK) ||
        (st = add_length(p, err)) != FL_OK || (st = add_optimizer(&cfg->optim, err)) != FL_OK ||
        (st = add_schedule(&cfg->schedule, (double)p->fit.rounds, err)) != FL_OK) {
        return st;
    }
    if (options.batch > 0) {
        cfg->batch = options.batch;
    }
    take(&cfg->ema, options.ema);
    cfg->precision = (nn_precision)precision;
    cfg->threads = (int)options.threads;
    cfg->class_weights = cfg->class_weights || options.class_weights;
    p->fit.keep_best = keep == 0;
    p->fit.patience = options.patience;
    return FL_OK;
}

/* What can be said only when the task is known. */
static fl_status add_task(plan *p, const data_spec *spec, fl_err *err)
{
    fl_status st = FL_OK;
    if (options.metric != NULL) {
        p->fit.metric = options.metric;
    } else if (options.job == NULL) {
        p->fit.metric = task_quick_of_task(spec->task, 0);
    }
    if (!task_quick_suits(spec->task, p->fit.metric)) {
        return fl_fail(err, FL_EUSAGE, "--metric: task %s has no %s", data_task_name(spec->task),
                       p->fit.metric);
    }
    if (options.loss != NULL) {
        st = task_loss_parse(&p->train.loss, options.loss, spec, err);
    }
    if (st == FL_OK && options.augment != NULL) {
        st = data_augment_parse(&p->train.augment, options.augment, err);
    }
    if (st == FL_OK && p->train.class_weights && !task_loss_weighs(&p->train.loss, spec->task)) {
        st = fl_fail(err, FL_EUSAGE, "--class-weights: this loss weighs no classes");
    }
    return st;
}

// ------------------------------------------------------------- a training run

typedef struct {
    const task_model *model;
    const data_set *set;  // that the last round trains on
    float *params;   // (P)
    int64_t P;
    uint64_t seed;
    double started;  // fl_now
} training;

/* "dice 0.71 iou 0.58": the task's figures but the loss. */
static void figures_text(char *out, size_t n, const task_quick *q, data_task task)
{
    const char *name;
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; (name = task_quick_of_task(task, i)) != NULL && used < n; i++) {
        if (strcmp(name, "loss") != 0) {
            used += (size_t)snprintf(out + used, n - used, " %s %.3f", name,
                                     task_quick_metric(q, name));
        }
    }
}

static bool after_step(void *ctx, int64_t done, int64_t total, double loss)
{
    (void)ctx;
    (void)done;
    (void)total;
    (void)loss;
    return !fl_stop_requested();
}

static bool after_look(void *ctx, const task_fit_result *r, int64_t done, int64_t total)
{
    const training *t = ctx;
    double seconds = fl_now() - t->started;
    double left = seconds * (double)(total - done) / (double)done;
    if (data_set_n_split(t->set, DATA_VAL) == 0) {
        fl_progress("step %lld of %lld, loss %.4f, %.0f s left", (long long)done,
                    (long long)total, r->loss, left);
        return !fl_stop_requested();
    }
    char figures[128];
    figures_text(figures, sizeof figures, &r->now, task_model_spec(t->model)->task);
    fl_progress("step %lld of %lld, loss %.4f, validation loss %.4f%s, %.0f s left",
                (long long)done, (long long)total, r->loss, r->now.loss, figures, left);
    return !fl_stop_requested();
}

static void say_blocks(const training *t)
{
    fl_buf trained = FL_BUF_INIT, frozen = FL_BUF_INIT;
    nn_transfer_blocks(&trained, task_model_graph(t->model), true);
    nn_transfer_blocks(&frozen, task_model_graph(t->model), false);
    fprintf(stderr, "  trained: %s\n  frozen: %s\n", trained.n > 0 ? trained.data : "none",
            frozen.n > 0 ? frozen.data : "none");
    fl_buf_clear(&trained);
    fl_buf_clear(&frozen);
}

/* init: the file of weights, NULL or "" = none. */
static fl_status start_params(training *t, const model_config *cfg, const char *init, fl_err *err)
{
    bool has_init = init != NULL && init[0] != '\0';
    const char *path = has_init ? init : cfg->onnx;
    ckpt_match match = {0};
    fl_status st = FL_OK;
    nn_graph_init(task_model_graph(t->model), t->params, t->seed);
    if (path[0] != '\0') {
        st = ckpt_load_into(path, task_model_table(t->model), t->params, &match, err);
    }
    // A model's own file fits, unless it was cut.
    if (st == FL_OK && (has_init || cfg->truncate_after[0] != '\0')) {
        char *text = ckpt_match_text(&match, path);
        fprintf(stderr, "%s", text);
        free(text);
    }
    if (st == FL_OK && (cfg->n_freeze > 0 || cfg->train_last > 0)) {
        say_blocks(t);
    }
    ckpt_match_clear(&match);
    return st;
}

static json_t *quick_json(const task_quick *q, data_task task)
{
    const char *name;
    json_t *json = json_object();
    for (size_t i = 0; (name = task_quick_of_task(task, i)) != NULL; i++) {
        json_object_set_new(json, name, fl_json_number(task_quick_metric(q, name)));
    }
    json_object_set_new(json, "n", json_integer(q->n));
    return json;
}

static void print_done(const training *t, const task_fit_result *r)
{
    uint8_t sha256[FL_SHA256_BYTES];
    char hex[2 * FL_SHA256_BYTES + 1];
    data_task task = task_model_spec(t->model)->task;
    bool is_best = r->best_step > 0;
    const task_quick *quick = is_best ? &r->best : &r->now;
    bool has_val = data_set_n_split(t->set, DATA_VAL) > 0;
    nn_params_sha256(sha256, task_model_table(t->model), t->params);
    fl_hex(hex, sha256, sizeof sha256);
    if (!options.json) {
        printf("%s: %s, %lld parameters, %lld steps in %.1f s", options.out,
               task_model_name(t->model), (long long)t->P,
               (long long)r->steps, fl_now() - t->started);
        if (r->stopped) {
            printf(", stopped by patience");
        }
        if (is_best) {
            printf(", kept step %lld", (long long)r->best_step);
        }
        if (has_val) {
            char figures[128];
            figures_text(figures, sizeof figures, quick, task);
            printf(", validation loss %.4f%s", quick->loss, figures);
        }
        printf("\n");
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "model", json_string(task_model_name(t->model)));
    json_object_set_new(json, "parameters", json_integer(t->P));
    json_object_set_new(json, "sha256", json_string(hex));
    json_object_set_new(json, "out", json_string(options.out));
    json_object_set_new(json, "steps", json_integer(r->steps));
    json_object_set_new(json, "samples", json_integer(r->samples));
    json_object_set_new(json, "loss", fl_json_number(r->loss));
    json_object_set_new(json, "seconds", json_real(fl_now() - t->started));
    json_object_set_new(json, "stopped_early", json_boolean(r->stopped));
    json_object_set_new(json, "kept_step",
                        json_integer(is_best ? r->best_step : r->steps));
    json_object_set_new(json, "chosen_by",
                        is_best ? json_string(r->metric) : json_null());
    json_object_set_new(json, "validation",
                        has_val ? quick_json(quick, task) : json_null());
    tool_print_json(json);
}

/* With a job, the model is written with the threshold that its rule sets. */
static fl_status write_model(const training *t, const plan *p, fl_err *err)
{
    fl_status st = FL_OK;
    double threshold = NAN;
    const char *why = NULL;
    if (p->has_rule) {
        st = task_threshold(&threshold, &why, t->model, t->params, t->set, p->rule, p->at,
                            (int)options.threads, err);
    }
    if (st != FL_OK) {
        return st;
    }
    if (options.out_safetensors != NULL) {
        st = ckpt_safetensors_write(options.out_safetensors,
                                    task_model_table(t->model), t->params, NULL, err);
    }
    if (st == FL_OK) {
        st = task_model_write(t->model, t->params, threshold, options.out, err);
    }
    return st;
}

static fl_status train(const task_model *model, const data_set *set, plan *p, fl_err *err)
{
    fl_status st;
    task_trainer *trainer = NULL;
    task_fit_result result;
    const data_set *last = p->fit.in_rounds ? data_set_in_round(set, p->fit.rounds) : set;
    training t = {.model = model, .set = last, .seed = p->seed};
    t.P = nn_table_count(task_model_table(model));
    t.params = fl_calloc_aligned((size_t)t.P, sizeof(float), "model", err);
    if (t.params == NULL) {
        return FL_ELIMIT;
    }
    if ((st = start_params(&t, &p->model, p->init, err)) != FL_OK ||
        (st = task_trainer_new(&trainer, model, set, &p->train, err)) != FL_OK) {
        goto done;
    }
    p->fit.try_every = task_trainer_epoch_steps(trainer);
    t.started = fl_now();
    const task_fit_hooks hooks = {.step = {.ctx = &t, .step_done = after_step},
                                  .looked = after_look};
    st = task_fit(t.params, trainer, t.seed, "", &p->fit, &hooks, &result, err);
    fl_progress_end();
    if (st == FL_OK && (st = write_model(&t, p, err)) == FL_OK) {
        print_done(&t, &result);
    }
done:
    task_trainer_destroy(&trainer);
    free(t.params);
    return st;
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), k = strlen(suffix);
    return n > k && strcmp(text + n - k, suffix) == 0;
}

/* SPEC is an architecture or a file that holds one. */
static fl_status parse_model(model_config *out, const char *spec, fl_err *err)
{
    if (!has_suffix(spec, ".onnx")) {
        return model_config_parse(out, spec, err);
    }
    *out = (model_config){0};
    if (strlen(spec) >= sizeof out->onnx) {
        return fl_fail(err, FL_EUSAGE, "--model: the path is too long");
    }
    memcpy(out->onnx, spec, strlen(spec) + 1);
    return FL_OK;
}

/* The options of transfer learning, beside what the model's own keys say. */
static fl_status add_transfer(model_config *m, bool has_init, fl_err *err)
{
    for (size_t i = 0; i < options.freeze.n; i++) {
        if (m->n_freeze == MODEL_MAX_PATTERNS ||
            strlen(options.freeze.items[i]) >= MODEL_PATTERN_BYTES) {
            return fl_fail(err, FL_EUSAGE, "--freeze: at most %d names of at most %d letters",
                           MODEL_MAX_PATTERNS, MODEL_PATTERN_BYTES - 1);
        }
        memcpy(m->freeze[m->n_freeze++], options.freeze.items[i],
               strlen(options.freeze.items[i]) + 1);
    }
    if (options.train_last > 0) {
        m->train_last = options.train_last;
    }
    if (options.truncate_after != NULL) {
        snprintf(m->truncate_after, sizeof m->truncate_after, "%s", options.truncate_after);
    }
    if ((m->n_freeze > 0 || m->train_last > 0) && m->onnx[0] == '\0' && !has_init) {
        return fl_fail(err, FL_EUSAGE, "freeze and train_last need --init: what is frozen would "
                                       "stay as it was drawn at random");
    }
    return FL_OK;
}

/* The plan of `client train`, from the job or from --model. */
static fl_status make_plan(plan *out, fl_err *err)
{
    fl_status st;
    *out = (plan){.fit = {.rounds = 10, .keep_best = true}, .seed = 1};
    task_train_defaults(&out->train);
    if ((options.model == NULL) == (options.job == NULL)) {
        return fl_fail(err, FL_EUSAGE, "give either --model or --job");
    }
    if (options.job != NULL) {
        if ((st = job_read(&out->job, options.job, err)) != FL_OK) {
            return st;
        }
        const job *j = &out->job;
        out->model = j->model;
        out->init = j->init[0] != '\0' ? j->init : NULL;
        out->train = j->local;
        out->fit.rounds = j->rounds;
        out->fit.in_rounds = true;
        out->fit.metric = j->select.metric;
        out->fit.keep_best = j->select.best;
        out->seed = j->seed;
        out->has_rule = true;
        out->rule = j->evaluation.rule;
        out->at = j->evaluation.at;
    } else if ((st = parse_model(&out->model, options.model, err)) != FL_OK) {
        return st;
    }
    if (options.seed >= 0) {
        out->seed = (uint64_t)options.seed;
    }
    out->init = options.init != NULL ? options.init : out->init;
    if ((st = add_transfer(&out->model, out->init != NULL, err)) != FL_OK) {
        return st;
    }
    return add_options(out, err);
}

fl_status client_train(int argc, char **argv, fl_err *err)
{
    fl_texts none = {0};
    fl_status st;
    data_set *set = NULL;
    task_model *model = NULL;
    data_spec spec;
    plan p = {0};

    if ((st = fl_cli_parse(argc, argv, client_train_options(), 0, 0, &none,
                           err)) != FL_OK) {
        return st;
    }
    free(none.items);
    fl_catch_signals();
    if ((st = make_plan(&p, err)) != FL_OK ||
        (st = tool_can_write(options.out, err)) != FL_OK ||
        (options.out_safetensors != NULL &&
         (st = tool_can_write(options.out_safetensors, err)) != FL_OK)) {
        goto done;
    }
    if (options.job != NULL) {
        spec = p.job.data;
        st = data_set_open(&set, options.data, &spec, err);
    } else {
        st = tool_open_data(&set, &spec, options.data, &options.naming, err);
    }
    if (st == FL_OK && (st = add_task(&p, &spec, err)) == FL_OK &&
        (st = task_model_new(&model, &spec, &p.model, err)) == FL_OK &&
        (st = task_model_set_loss(model, &p.train.loss, err)) == FL_OK) {
        if (task_model_note(model) != NULL) {
            fprintf(stderr, "note: %s: %s\n", p.model.onnx, task_model_note(model));
        }
        st = train(model, set, &p, err);
    }
done:
    task_model_destroy(&model);
    data_set_destroy(&set);
    job_clear(&p.job);
    return st;
}
