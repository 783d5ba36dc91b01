/*
 * baseline.c - see baseline.h
 */
#include "sim/baseline.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"

static const char *const optimizers[] = {[NN_SGD] = "sgd", [NN_ADAM] = "adam", [NN_ADAMW] = "adamw"};

/* The file of the centralised model.  Its name holds a digest of everything it depends on,
 * so that runs that differ only in the federation's strategy share it. */
static char *model_path(const scenario *s, const char *data, const char *folder)
{
    fl_buf text = FL_BUF_INIT;
    const task_train_config *c = &s->central;
    char *stamp_path = fl_path_join(data, "stamp"), *stamp = NULL;
    size_t n = 0;
    fl_err ignored = FL_ERR_INIT;
    if (fl_file_read(&stamp, &n, stamp_path, 4096, &ignored) == FL_OK) {
        fl_buf_puts(&text, stamp);
    }
    fl_buf_printf(&text, "%s %s %.17g %lld seed %llu\n", s->job.model.name, s->job.model.onnx, s->job.model.dropout,
                  (long long)s->job.model.fc, (unsigned long long)s->job.seed);
    for (int i = 0; i < s->job.model.n_hidden; i++) {
        fl_buf_printf(&text, "hidden %lld\n", (long long)s->job.model.hidden[i]);
    }
    for (int i = 0; i < s->job.model.n_channels; i++) {
        fl_buf_printf(&text, "channels %lld\n", (long long)s->job.model.channels[i]);
    }
    fl_buf_printf(&text, "%lld %lld %lld %d %.17g %.17g %d %.17g %d %d %s %.17g %d\n", (long long)c->epochs,
                  (long long)c->steps, (long long)c->batch, (int)c->optim.kind, c->optim.lr, c->optim.momentum,
                  (int)c->optim.nesterov, c->optim.weight_decay, (int)c->class_weights, (int)s->job.evaluation.rule,
                  s->job.select.metric, s->job.evaluation.at, (int)s->central_keep_best);
    uint8_t digest[FL_DIGEST_BYTES];
    char hex[FL_HEX_DIGEST];
    fl_blake2b_of(digest, "centralised", text.data, text.n);
    fl_hex(hex, digest, sizeof digest);
    char *path = fl_xasprintf("%s/centralised-%.16s.onnx", folder, hex);
    fl_buf_clear(&text);
    free(stamp_path);
    free(stamp);
    return path;
}

fl_status baseline_start(launch_child *child, const scenario *s, const char *job_yaml, const char *data,
                         const char *folder, const char *logs, fl_err *err)
{
    *child = (launch_child){0};
    if (!s->centralised) {
        return FL_OK;
    }
    char *model = model_path(s, data, folder);
    if (fl_file_exists(model)) {
        free(model);
        return FL_OK;
    }
    char *pooled = fl_path_join(data, "pooled"), *log = fl_path_join(logs, "centralised.log");
    launch_args a;
    launch_args_init(&a, "client");
    launch_args_add(&a, "train");
    launch_args_add(&a, "--job");
    launch_args_add(&a, job_yaml);
    launch_args_add(&a, "--data");
    launch_args_add(&a, pooled);
    if (s->central.steps > 0) {
        launch_args_add_int(&a, "--steps", s->central.steps);
    } else {
        launch_args_add_int(&a, "--epochs", s->central.epochs);
    }
    launch_args_add_int(&a, "--batch", s->central.batch);
    launch_args_add(&a, "--optimizer");
    launch_args_add(&a, optimizers[s->central.optim.kind]);
    launch_args_add_num(&a, "--lr", s->central.optim.lr);
    launch_args_add_num(&a, "--momentum", s->central.optim.momentum);
    launch_args_add(&a, "--keep");
    launch_args_add(&a, s->central_keep_best ? "best" : "last");
    launch_args_add(&a, "--out");
    launch_args_add(&a, model);
    /* The hospitals' rounds wait for their slowest site; this takes what is left. */
    fl_status st = launch_start(child, "centralised baseline", &a, log, 10, err);
    launch_args_clear(&a);
    free(model);
    free(pooled);
    free(log);
    return st;
}

/* {METRIC: FIGURE} of a model on the test split of a data set; new reference.
 * patients: how the job's threshold got into the model is the file's business. */
static fl_status evaluate(json_t **metrics, const char *model, const char *data_dir, const char *name, fl_err *err)
{
    launch_args a;
    char *data = fl_path_join(data_dir, name), *text = NULL;
    json_t *json = NULL;
    *metrics = NULL;
    launch_args_init(&a, "client");
    launch_args_add(&a, "evaluate");
    launch_args_add(&a, "--model");
    launch_args_add(&a, model);
    launch_args_add(&a, "--data");
    launch_args_add(&a, data);
    launch_args_add(&a, "--split");
    launch_args_add(&a, "test");
    launch_args_add(&a, "--json");
    fl_status st = launch_read(&text, "client evaluate", &a, err);
    if (st == FL_OK && (st = fl_json_parse(&json, text, strlen(text), 16 << 20, "client evaluate", err)) == FL_OK) {
        json_t *found = json_object_get(json, "metrics");
        *metrics = found != NULL ? json_incref(found) : json_object();
    }
    json_decref(json);
    launch_args_clear(&a);
    free(data);
    free(text);
    return st == FL_OK ? st : fl_wrap(err, st, "judging a baseline on %s", name);
}

static json_t *settings_json(const task_train_config *c)
{
    json_t *json = json_object();
    json_object_set_new(json, c->steps > 0 ? "steps" : "epochs", json_integer(c->steps > 0 ? c->steps : c->epochs));
    json_object_set_new(json, "batch", json_integer(c->batch));
    json_object_set_new(json, "optimizer", json_string(optimizers[c->optim.kind]));
    json_object_set_new(json, "lr", json_real(c->optim.lr));
    return json;
}

static fl_status centralised_figures(json_t *out, const scenario *s, const char *data, const char *folder, fl_err *err)
{
    char *model = model_path(s, data, folder);
    json_t *sites = json_object(), *metrics = NULL;
    fl_status st = FL_OK;
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        if ((st = evaluate(&metrics, model, data, s->hospitals[i].name, err)) == FL_OK) {
            json_object_set_new(sites, s->hospitals[i].name, metrics);
        }
    }
    if (st == FL_OK && (st = evaluate(&metrics, model, data, "pooled", err)) == FL_OK) {
        json_t *central = json_object();
        json_object_set_new(central, "pooled", metrics);
        json_object_set(central, "sites", sites);
        json_object_set_new(central, "settings", settings_json(&s->central));
        json_object_set_new(out, "centralised", central);
    }
    json_decref(sites);
    free(model);
    return st;
}

fl_status baseline_figures(const scenario *s, const char *data, const char *folder, const char *global_onnx,
                           const char *path, fl_err *err)
{
    json_t *out = json_object(), *metrics = NULL;
    fl_status st = evaluate(&metrics, global_onnx, data, "pooled", err);
    if (st == FL_OK) {
        json_object_set_new(out, "global_on_pooled", metrics);
    }
    if (st == FL_OK && s->centralised) {
        st = centralised_figures(out, s, data, folder, err);
    }
    if (st == FL_OK) {
        st = fl_json_write(out, path, err);
    }
    json_decref(out);
    return st;
}
