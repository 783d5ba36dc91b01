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

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "client/tools.h"
#include "job/job.h"

/* What a job says is taken from the job; an option beside it wins. */
static struct {
    const char *job, *model, *data, *init, *out, *out_safetensors;
    const char *optimizer, *precision, *keep;
    tool_naming naming;
    int64_t epochs, steps, batch, threads, seed;
    double lr, momentum, weight_decay;
    bool class_weights, json;
} options = {
    .threads = 1, .seed = -1, .lr = NAN, .momentum = NAN, .weight_decay = NAN,
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
        {.name = "keep", .kind = FL_OPT_TEXT, .arg = "WHICH",
         .help = "best on the validation split, or last; default best",
         .out = &options.keep},
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

/* cfg holds the job's or the defaults; what was said on the command line wins. */
static fl_status add_options(task_train_config *cfg, bool *keep_best, fl_err *err)
{
    static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    static const char *const keeps[] = {"best", "last", NULL};
    int optimizer = (int)cfg->optim.kind, precision = (int)cfg->precision, keep = !*keep_best;
    fl_status st;
    if ((options.optimizer != NULL &&
         (st = find_word(&optimizer, "optimizer", options.optimizer, optimizers, err)) != FL_OK) ||
        (options.precision != NULL &&
         (st = find_word(&precision, "precision", options.precision, precisions, err)) != FL_OK) ||
        (options.keep != NULL && (st = find_word(&keep, "keep", options.keep, keeps, err)) != FL_OK)) {
        return st;
    }
    if (options.steps > 0 && options.epochs > 0) {
        return fl_fail(err, FL_EUSAGE, "give either --epochs or --steps");
    }
    if (options.steps > 0 || options.epochs > 0) {
        cfg->steps = options.steps;
        cfg->epochs = options.epochs;
    }
    if (options.batch > 0) {
        cfg->batch = options.batch;
    }
    if (!isnan(options.lr)) {
        cfg->optim.lr = options.lr;
    } else if (options.optimizer != NULL) {
        cfg->optim.lr = optimizer == NN_SGD ? 0.01 : 0.001;
    }
    if (!isnan(options.momentum)) {
        cfg->optim.momentum = options.momentum;
    }
    if (!isnan(options.weight_decay)) {
        cfg->optim.weight_decay = options.weight_decay;
    }
    cfg->optim.kind = (nn_optim_kind)optimizer;
    cfg->precision = (nn_precision)precision;
    cfg->threads = (int)options.threads;
    cfg->class_weights = cfg->class_weights || options.class_weights;
    *keep_best = keep == 0;
    return FL_OK;
}

// ------------------------------------------------------------- a training run

/* What is to be done. */
typedef struct {
    job job;               // with --job
    model_config model;
    task_train_config train;
    const char *metric;    // chooses the model
    bool keep_best;
    uint64_t seed;
    bool has_rule;         // the job's threshold rule
    eval_rule rule;
    double at;
} plan;

/* What is trained, and the best there was.  The hook sees it after each step. */
typedef struct {
    const task_model *model;
    const data_set *set;
    float *params;        // (P) being trained
    float *best;          // (P) the best so far; NULL: the last is kept
    int64_t P;
    uint64_t seed;
    int64_t epoch_steps;
    int64_t best_step;    // 0: none yet
    const char *metric;   // that chooses: "auc", or "loss"
    double best_value;
    task_quick quick;     // validation figures of the last trial
    task_quick best_quick;
    double loss_sum;      // of the epoch
    double started;       // fl_now
    fl_err err;           // of a trial that failed
} training;

static bool is_better(const training *t, double value)
{
    if (isnan(value)) {
        return false;
    }
    return t->best_step == 0 ||
           (strcmp(t->metric, "loss") == 0 ? value < t->best_value
                                           : value > t->best_value);
}

/* Tries the parameters on the validation split; keeps them if they are the
 * best so far. */
static fl_status try_params(training *t, int64_t step)
{
    task_scores scores;
    fl_status st = task_predict(&scores, t->model, t->params, t->set, DATA_VAL,
                                (int)options.threads, &t->err);
    if (st != FL_OK) {
        return st;
    }
    task_quick_of(&t->quick, &scores, task_model_spec(t->model));
    task_scores_clear(&scores);
    if (t->best_step == 0 && isnan(t->quick.auc)) {
        t->metric = "loss";  // one class alone, or a regression
    }
    double value = task_quick_metric(&t->quick, t->metric);
    if (t->best != NULL && is_better(t, value)) {
        nn_vec_copy(t->best, t->params, t->P);
        t->best_step = step;
        t->best_value = value;
        t->best_quick = t->quick;
    }
    return FL_OK;
}

static bool after_step(void *ctx, int64_t done, int64_t total, double loss)
{
    training *t = ctx;
    t->loss_sum += loss;
    bool epoch_over = done % t->epoch_steps == 0;
    if (!epoch_over && done < total) {
        return !fl_stop_requested();
    }
    int64_t steps = epoch_over ? t->epoch_steps : done % t->epoch_steps;
    double mean = t->loss_sum / (double)steps;
    double seconds = fl_now() - t->started;
    t->loss_sum = 0;
    if (data_set_n_split(t->set, DATA_VAL) == 0) {
        fl_progress("step %lld of %lld, loss %.4f, %.0f s left",
                    (long long)done, (long long)total, mean,
                    seconds * (double)(total - done) / (double)done);
        return !fl_stop_requested();
    }
    if (try_params(t, done) != FL_OK) {
        return false;
    }
    fl_progress("step %lld of %lld, loss %.4f, validation loss %.4f "
                "accuracy %.3f auc %.3f, %.0f s left",
                (long long)done, (long long)total, mean, t->quick.loss,
                t->quick.accuracy, t->quick.auc,
                seconds * (double)(total - done) / (double)done);
    return !fl_stop_requested();
}

static fl_status start_params(training *t, const model_config *cfg, fl_err *err)
{
    const nn_table *table = task_model_table(t->model);
    size_t n_matched;
    fl_status st = FL_OK;
    nn_graph_init(task_model_graph(t->model), t->params,
                  t->seed);
    if (cfg->onnx[0] != '\0') {
        st = ckpt_load_into(cfg->onnx, table, t->params, &n_matched, err);
    }
    if (st == FL_OK && options.init != NULL) {
        st = ckpt_load_into(options.init, table, t->params, &n_matched, err);
        if (st == FL_OK && n_matched < nn_table_n(table)) {
            fl_log(FL_LOG_WARN, "train.init", "matched=%zu of=%zu", n_matched,
                   nn_table_n(table));
        }
    }
    return st;
}

static json_t *quick_json(const task_quick *q)
{
    json_t *json = json_object();
    json_object_set_new(json, "loss", fl_json_number(q->loss));
    json_object_set_new(json, "accuracy", fl_json_number(q->accuracy));
    json_object_set_new(json, "auc", fl_json_number(q->auc));
    json_object_set_new(json, "n", json_integer(q->n));
    return json;
}

static void print_done(const training *t, const task_train_result *result,
                       const float *kept, bool is_best)
{
    uint8_t sha256[FL_SHA256_BYTES];
    char hex[2 * FL_SHA256_BYTES + 1];
    const task_quick *quick = is_best ? &t->best_quick : &t->quick;
    bool has_val = data_set_n_split(t->set, DATA_VAL) > 0;
    nn_params_sha256(sha256, task_model_table(t->model), kept);
    fl_hex(hex, sha256, sizeof sha256);
    if (!options.json) {
        printf("%s: %s, %lld parameters, %lld steps in %.1f s", options.out,
               task_model_name(t->model), (long long)t->P,
               (long long)result->steps, fl_now() - t->started);
        if (is_best) {
            printf(", kept step %lld", (long long)t->best_step);
        }
        if (has_val) {
            printf(", validation loss %.4f accuracy %.3f auc %.3f",
                   quick->loss, quick->accuracy, quick->auc);
        }
        printf("\n");
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "model", json_string(task_model_name(t->model)));
    json_object_set_new(json, "parameters", json_integer(t->P));
    json_object_set_new(json, "sha256", json_string(hex));
    json_object_set_new(json, "out", json_string(options.out));
    json_object_set_new(json, "steps", json_integer(result->steps));
    json_object_set_new(json, "samples", json_integer(result->samples));
    json_object_set_new(json, "loss", fl_json_number(result->loss));
    json_object_set_new(json, "seconds", json_real(fl_now() - t->started));
    json_object_set_new(json, "kept_step",
                        json_integer(is_best ? t->best_step : result->steps));
    json_object_set_new(json, "chosen_by",
                        is_best ? json_string(t->metric) : json_null());
    json_object_set_new(json, "validation",
                        has_val ? quick_json(quick) : json_null());
    tool_print_json(json);
}

/* With a job, the model is written with the threshold that its rule sets. */
static fl_status write_model(const training *t, const float *kept, const plan *p, fl_err *err)
{
    fl_status st = FL_OK;
    double threshold = NAN;
    const char *why = NULL;
    if (p->has_rule) {
        st = task_threshold(&threshold, &why, t->model, kept, t->set, p->rule, p->at, (int)options.threads, err);
    }
    if (st != FL_OK) {
        return st;
    }
    if (options.out_safetensors != NULL) {
        st = ckpt_safetensors_write(options.out_safetensors,
                                    task_model_table(t->model), kept, NULL, err);
    }
    if (st == FL_OK) {
        st = task_model_write(t->model, kept, threshold, options.out, err);
    }
    return st;
}

static fl_status train(const task_model *model, const data_set *set, const plan *p, fl_err *err)
{
    fl_status st;
    task_trainer *trainer = NULL;
    task_train_result result;
    training t = {.model = model, .set = set, .metric = p->metric, .seed = p->seed};
    t.P = nn_table_count(task_model_table(model));
    bool keep_best = p->keep_best && data_set_n_split(set, DATA_VAL) > 0;
    t.params = fl_calloc_aligned((size_t)t.P, sizeof(float), "model", err);
    if (t.params == NULL) {
        return FL_ELIMIT;
    }
    if (keep_best) {
        t.best = fl_calloc_aligned((size_t)t.P, sizeof(float), "model", err);
        if (t.best == NULL) {
            st = FL_ELIMIT;
            goto done;
        }
    }
    if ((st = start_params(&t, &p->model, err)) != FL_OK ||
        (st = task_trainer_new(&trainer, model, set, &p->train, err)) != FL_OK) {
        goto done;
    }
    t.epoch_steps = task_trainer_epoch_steps(trainer);
    t.started = fl_now();
    task_hooks hooks = {.ctx = &t, .step_done = after_step};
    st = task_trainer_run(trainer, t.params, t.seed, "", 1,
                          false, &hooks, &result, err);
    fl_progress_end();
    if (st == FL_ESTOPPED && t.err.status != FL_OK) {
        st = fl_fail(err, t.err.status, "%s", t.err.text);
    }
    if (st != FL_OK) {
        goto done;
    }
    bool is_best = t.best_step > 0;
    const float *kept = is_best ? t.best : t.params;
    if ((st = write_model(&t, kept, p, err)) == FL_OK) {
        print_done(&t, &result, kept, is_best);
    }
done:
    task_trainer_destroy(&trainer);
    free(t.best);
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

/* The plan of `client train`, from the job or from --model. */
static fl_status make_plan(plan *out, fl_err *err)
{
    fl_status st;
    *out = (plan){.metric = "auc", .keep_best = true, .seed = 1};
    task_train_defaults(&out->train);
    out->train.epochs = 10;
    if ((options.model == NULL) == (options.job == NULL)) {
        return fl_fail(err, FL_EUSAGE, "give either --model or --job");
    }
    if (options.job != NULL) {
        if ((st = job_read(&out->job, options.job, err)) != FL_OK) {
            return st;
        }
        const job *j = &out->job;
        out->model = j->model;
        out->train = j->local;
        out->train.epochs *= j->rounds;
        out->train.steps *= j->rounds;
        out->metric = j->select.metric;
        out->keep_best = j->select.best;
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
    return add_options(&out->train, &out->keep_best, err);
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
    if (st == FL_OK && (st = task_model_new(&model, &spec, &p.model, err)) == FL_OK) {
        st = train(model, set, &p, err);
    }
done:
    task_model_destroy(&model);
    data_set_destroy(&set);
    job_clear(&p.job);
    return st;
}
