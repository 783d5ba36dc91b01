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
#include "sim/hospital.h"
#include "sim/leave_out.h"

static const char *const optimizers[] = {
    [NN_SGD] = "sgd", [NN_ADAM] = "adam", [NN_ADAMW] = "adamw"};

/* The file of the centralised model without its ending.  The name holds a digest
 * of everything it depends on, so that runs that differ only in the federation's
 * strategy share it. */
static char *model_base(const scenario *s, const char *folder)
{
    uint8_t digest[FL_DIGEST_BYTES];
    char hex[FL_HEX_DIGEST], *stamp = hospital_stamp(s);
    char *text = fl_xasprintf("%s%s%s", stamp, s->central_yaml,
                              scenario_has_changes(s) ? "in rounds" : "");
    fl_blake2b_of(digest, "centralised", text, strlen(text));
    fl_hex(hex, digest, sizeof digest);
    free(text);
    free(stamp);
    return fl_xasprintf("%s/centralised-%.16s", folder, hex);
}

fl_status baseline_start(launch_child *child, const scenario *s, const char *data,
                         const char *folder, const char *logs, fl_err *err)
{
    *child = (launch_child){0};
    if (!s->centralised) {
        return FL_OK;
    }
    char *base = model_base(s, folder), *model = fl_xasprintf("%s.onnx", base),
         *yaml = fl_xasprintf("%s.yaml", base);
    char *pooled = fl_path_join(data,
                                scenario_has_changes(s) ? HOSPITAL_POOLED_ROUNDS : HOSPITAL_POOLED),
         *log = fl_path_join(logs, "centralised.log");
    fl_status st = FL_OK;
    if (!fl_file_exists(model) &&
        (st = fl_file_write(yaml, s->central_yaml, strlen(s->central_yaml), 0644, err)) == FL_OK) {
        launch_args a;
        launch_args_init(&a, "client");
        launch_args_add(&a, "train");
        launch_args_add(&a, "--job");
        launch_args_add(&a, yaml);
        launch_args_add(&a, "--data");
        launch_args_add(&a, pooled);
        launch_args_add(&a, "--out");
        launch_args_add(&a, model);
        /* The hospitals' rounds wait for their slowest site; this takes what is left. */
        st = launch_start(child, "centralised baseline", &a, log, 10, err);
        launch_args_clear(&a);
    }
    free(base);
    free(model);
    free(yaml);
    free(pooled);
    free(log);
    return st;
}

/* How the job's threshold got into the model is the file's business. */
fl_status baseline_evaluate(json_t **metrics, const char *model, const char *data_dir,
                            const char *name, fl_err *err)
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
    if (st == FL_OK && (st = fl_json_parse(&json, text, strlen(text), 16 << 20, "client evaluate",
                                           err)) == FL_OK) {
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
    json_object_set_new(json, c->steps > 0 ? "steps" : "epochs",
                        json_integer(c->steps > 0 ? c->steps : c->epochs));
    json_object_set_new(json, "batch", json_integer(c->batch));
    json_object_set_new(json, "optimizer", json_string(optimizers[c->optim.kind]));
    json_object_set_new(json, "lr", json_real(c->optim.lr));
    return json;
}

static fl_status centralised_figures(json_t *out, const scenario *s, const char *data,
                                     const char *folder, fl_err *err)
{
    char *base = model_base(s, folder), *model = fl_xasprintf("%s.onnx", base);
    json_t *sites = json_object(), *metrics = NULL;
    fl_status st = FL_OK;
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        char *last = scenario_last_folder(&s->hospitals[i]);
        st = baseline_evaluate(&metrics, model, data, last, err);
        free(last);
        if (st == FL_OK) {
            json_object_set_new(sites, s->hospitals[i].name, metrics);
        }
    }
    if (st == FL_OK &&
        (st = baseline_evaluate(&metrics, model, data, HOSPITAL_POOLED, err)) == FL_OK) {
        json_t *central = json_object();
        json_object_set_new(central, "pooled", metrics);
        json_object_set(central, "sites", sites);
        json_object_set_new(central, "settings", settings_json(&s->central));
        json_object_set_new(out, "centralised", central);
    }
    json_decref(sites);
    free(base);
    free(model);
    return st;
}

static fl_status add_left_out(json_t *figures, const scenario *s, const char *data, const char *out,
                              fl_err *err)
{
    char *dir = fl_path_join(out, "leave-one-out");
    json_t *found = NULL;
    fl_status st = leave_out_figures(&found, s, data, dir, err);
    if (st == FL_OK) {
        json_object_set_new(figures, "leave_one_out", found);
    }
    free(dir);
    return st;
}

fl_status baseline_figures(const scenario *s, const char *data, const char *folder,
                           const char *global_onnx, const char *out, const char *path, fl_err *err)
{
    json_t *figures = json_object(), *metrics = NULL;
    fl_status st = baseline_evaluate(&metrics, global_onnx, data, HOSPITAL_POOLED, err);
    if (st == FL_OK) {
        json_object_set_new(figures, "global_on_pooled", metrics);
    }
    if (st == FL_OK && s->centralised) {
        st = centralised_figures(figures, s, data, folder, err);
    }
    if (st == FL_OK && s->leave_one_out) {
        st = add_left_out(figures, s, data, out, err);
    }
    if (st == FL_OK) {
        st = fl_json_write(figures, path, err);
    }
    json_decref(figures);
    return st;
}
