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
#include "eval/eval.h"
#include "sim/cross_site.h"
#include "sim/ensemble.h"
#include "sim/hospital.h"
#include "sim/leave_out.h"

enum { MAX_FIGURES_BYTES = 64 << 20 };

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

/* One model: its object; several: a list under "models". */
static json_t *take_list(json_t *json)
{
    json_t *list = json_object_get(json, "models");
    return list != NULL ? json_incref(list) : json_pack("[O]", json);
}

/* How the job's threshold got into the model is the file's business. */
fl_status baseline_judge(json_t **list, const baseline_models *m, const char *data_dir,
                         const char *name, fl_err *err)
{
    launch_args a;
    char *data = fl_path_join(data_dir, name), *text = NULL;
    json_t *json = NULL;
    *list = NULL;
    launch_args_init(&a, "client");
    launch_args_add(&a, "evaluate");
    for (size_t i = 0; i < m->n; i++) {
        launch_args_add(&a, "--model");
        launch_args_add(&a, m->path[i]);
    }
    if (m->graph != NULL) {
        launch_args_add(&a, "--graph");
        launch_args_add(&a, m->graph);
    }
    if (m->joined) {
        launch_args_add(&a, "--uncertainty");
        launch_args_add(&a, "ensemble");
    }
    launch_args_add(&a, "--data");
    launch_args_add(&a, data);
    launch_args_add(&a, "--split");
    launch_args_add(&a, "test");
    launch_args_add_int(&a, "--seed", (long long)m->seed);
    launch_args_add(&a, "--json");
    fl_status st = launch_read(&text, "client evaluate", &a, err);
    if (st == FL_OK && (st = fl_json_parse(&json, text, strlen(text), MAX_FIGURES_BYTES,
                                           "client evaluate", err)) == FL_OK) {
        *list = take_list(json);
    }
    json_decref(json);
    launch_args_clear(&a);
    free(data);
    free(text);
    return st == FL_OK ? st : fl_wrap(err, st, "judging a baseline on %s", name);
}

fl_status baseline_evaluate(json_t **metrics, const char *model, const char *data_dir,
                            const char *name, fl_err *err)
{
    json_t *list;
    *metrics = NULL;
    fl_status st = baseline_judge(&list, &(baseline_models){.path = &model, .n = 1, .seed = 1},
                                  data_dir, name, err);
    if (st == FL_OK) {
        *metrics = baseline_metrics(json_array_get(list, 0), false);
    }
    json_decref(list);
    return st;
}

json_t *baseline_metrics(const json_t *judged, bool compared_only)
{
    json_t *all = json_object_get(judged, "metrics"), *some = json_object(), *figure;
    const char *name;
    json_object_foreach(all, name, figure) {
        if (!compared_only || eval_metric_elsewhere(name)) {
            json_object_set(some, name, figure);
        }
    }
    return some;
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

/* What the scenario asks for besides, by its key. */
static fl_status add_compared(json_t *figures, const scenario *s, const char *data,
                              const char *out, fl_err *err)
{
    const scenario_compared *c = &s->compared;
    const struct {
        bool asked;
        const char *key;
        fl_status (*make)(json_t **out, const scenario *s, const char *data, const char *dir,
                          fl_err *err);
    } kinds[] = {
        {c->cross_site, "cross_site", cross_site_figures},
        {c->leave_one_out, "leave_one_out", leave_out_figures},
        {c->ensemble > 0, "ensemble", ensemble_figures},
        {c->snapshot > 0, "snapshot", ensemble_snapshot_figures},
    };
    fl_status st = FL_OK;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds && st == FL_OK; k++) {
        json_t *found = NULL;
        if (kinds[k].asked && (st = kinds[k].make(&found, s, data, out, err)) == FL_OK) {
            json_object_set_new(figures, kinds[k].key, found);
        }
    }
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
    if (st == FL_OK) {
        st = add_compared(figures, s, data, out, err);
    }
    if (st == FL_OK) {
        st = fl_json_write(figures, path, err);
    }
    json_decref(figures);
    return st;
}
