/*
 * job.c - reads job.yaml, key by key as FORMATS lists them
 */
#include "job/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "job/job_inside.h"

double job_strategy_param(const job_strategy *s, const char *key,
                          double fallback)
{
    for (size_t i = 0; i < s->n_params; i++) {
        if (strcmp(s->param[i].key, key) == 0) {
            return s->param[i].value;
        }
    }
    return fallback;
}

// ------------------------------------------------------------- small readers

void job_take_text(char *out, size_t size, fl_node where, const char *key, const char *text)
{
    if (text == NULL) {
        return;
    }
    if (strlen(text) >= size) {
        fl_cfg_complain(where, "%s: expected at most %zu bytes, found %zu", key,
                        size - 1, strlen(text));
        return;
    }
    memcpy(out, text, strlen(text) + 1);
}

static bool is_plain_name(const char *text)
{
    return *text != '\0' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") ==
               strlen(text);
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text);
    size_t k = strlen(suffix);
    return n > k && strcmp(text + n - k, suffix) == 0;
}

static void read_head(job *out, fl_node root)
{
    const char *name = fl_cfg_text(root, "name", FL_CFG_REQUIRED_TEXT,
                                   "of the job: a-z, 0-9, _ and -");
    fl_node where = fl_cfg_get(root, "name", "");
    job_take_text(out->name, sizeof out->name, where, "name", name);
    if (fl_cfg_ok(root.cfg) && !is_plain_name(name)) {
        fl_cfg_complain(where, "name: expected a-z, 0-9, _ and - only, found "
                               "%.60s", name);
    }
    const char *use = fl_cfg_text(root, "intended_use", "not stated",
                                  "printed on every report");
    job_take_text(out->intended_use, sizeof out->intended_use,
                  fl_cfg_get(root, "intended_use", ""), "intended_use", use);
}

static void read_model(job *out, fl_node root)
{
    fl_node node = fl_cfg_get(root, "model", "architecture and its settings");
    if (!fl_cfg_present(node)) {
        fl_cfg_complain(root, "model: is required");
        return;
    }
    model_config_read(&out->model, node);
    bool is_frozen = out->model.n_freeze > 0 || out->model.train_last > 0;
    bool has_weights = fl_cfg_has(root, "init") || out->model.onnx[0] != '\0';
    if (is_frozen && !has_weights) {
        fl_cfg_complain(node, "model: freeze and train_last need an init: what is frozen would "
                              "stay as it was drawn at random");
    }
    const char *init = fl_cfg_path(root, "init", NULL,
                                   "weights to start from, .safetensors or "
                                   ".onnx");
    fl_node where = fl_cfg_get(root, "init", "");
    job_take_text(out->init, sizeof out->init, where, "init", init);
    if (init != NULL && !has_suffix(init, ".safetensors") &&
        !has_suffix(init, ".onnx")) {
        fl_cfg_complain(where, "init: expected a .safetensors or .onnx file, "
                               "found %s", fl_path_base(init));
    }
}

// ------------------------------------------------------------------ strategy

static void read_strategy_param(job_strategy *out, const char *key,
                                fl_node value)
{
    if (out->n_params == JOB_MAX_PARAMS) {
        fl_cfg_complain(value, "strategy: expected at most %d settings",
                        JOB_MAX_PARAMS);
        return;
    }
    if (strlen(key) >= sizeof out->param[0].key) {
        fl_cfg_complain(value, "strategy: no setting has so long a name");
        return;
    }
    size_t i = out->n_params++;
    memcpy(out->param[i].key, key, strlen(key) + 1);
    out->param[i].value = fl_node_num(value, -1e12, 1e12,
                                      "a setting of the strategy, as mu of "
                                      "fedprox");
}

static void read_strategy(job_strategy *out, fl_node root)
{
    static const char *const weights[] = {"samples", "uniform", NULL};
    fl_node map = fl_cfg_map(root, "strategy", "how updates become a model");
    const char *name = fl_cfg_text(map, "name", "fedavg",
                                   "the coordinator lists them when it does "
                                   "not know one");
    job_take_text(out->name, sizeof out->name, map, "strategy.name", name);
    out->uniform = fl_cfg_choice(map, "weights", weights, 0,
                                 "a site counts by its training cases, or "
                                 "each the same") == 1;
    for (size_t i = 0; i < fl_cfg_count(map); i++) {
        const char *key;
        fl_node value = fl_cfg_pair(map, i, &key);
        if (strcmp(key, "name") != 0 && strcmp(key, "weights") != 0) {
            read_strategy_param(out, key, value);
        }
    }
}

// --------------------------------------------------------------------- sites

/* never, or a duration. */
static void read_abandon(job_sites *out, fl_node map)
{
    static const char help[] = "a round short of its quorum waits for absent sites: never gives it "
                               "up; a duration: for so long, then no update of it counts and its "
                               "model is the one before";
    const char *word = fl_cfg_text(map, "abandon", "never", help);
    if (strcmp(word, "never") != 0) {
        out->abandon_ms = fl_cfg_duration_ms(map, "abandon", 100, (int64_t)365 * 24 * 3600 * 1000,
                                             0, help);
        if (out->late == JOB_LATE_WAIT) {
            fl_cfg_complain(fl_cfg_get(map, "abandon", ""),
                            "sites.abandon: with late: wait no site is ever given up, nor a round; "
                            "expected never");
        }
    }
}

static void read_sites(job_sites *out, fl_node root)
{
    static const char *const of[] = {"all", NULL};
    static const char *const late[] = {"drop", "carry", "wait", NULL};
    enum { SECOND_MS = 1000, DAY_MS = 24 * 3600 * SECOND_MS };
    fl_node map = fl_cfg_map(root, "sites", "who takes part in a round");
    out->quorum = fl_cfg_int(map, "quorum", 1, 100000, 1,
                             "least contributions a round needs");
    fl_cfg_choice(map, "of", of, 0, "sites that are asked");
    out->of_all = true;
    out->patience_ms = fl_cfg_duration_ms(map, "patience", 100,
                                          (int64_t)30 * DAY_MS,
                                          600 * SECOND_MS,
                                          "the only timeout: silence longer "
                                          "than this is an absence");
    out->late = (job_late)fl_cfg_choice(map, "late", late, 0,
                                        "what becomes of an update that is late: drop; carry: it "
                                        "counts in the next round, for 1 / sqrt(1 + rounds late); "
                                        "wait: the round waits for it");
    read_abandon(out, map);
    out->partial = fl_cfg_bool(map, "partial", false,
                               "a site trains no longer than patience in a round and sends what it "
                               "has by then; unequal work is made comparable (FedNova)");
}

/* "auc, accuracy or loss" */
static void metrics_of(char *out, size_t size, data_task task)
{
    const char *name;
    size_t used = 0;
    for (size_t i = 0; (name = task_quick_of_task(task, i)) != NULL && used < size; i++) {
        const char *join = i == 0 ? "" : task_quick_of_task(task, i + 1) != NULL ? ", " : " or ";
        used += (size_t)snprintf(out + used, size - used, "%s%s", join, name);
    }
}

static void read_select(job_select *out, const data_spec *data, fl_node root)
{
    static const char *const keep[] = {"best", "last", NULL};
    fl_node map = fl_cfg_map(root, "select", "which round's model is kept");
    const char *metric = fl_cfg_text(map, "metric", task_quick_of_task(data->task, 0),
                                     "auc, accuracy or loss; segment: dice, iou or loss; "
                                     "regress: mae, rmse or loss");
    job_take_text(out->metric, sizeof out->metric, map, "metric", metric);
    if (!task_quick_suits(data->task, metric)) {
        char expected[128];
        metrics_of(expected, sizeof expected, data->task);
        fl_cfg_complain(fl_cfg_get(map, "metric", ""),
                        "select.metric: expected %s, found %.40s", expected, metric);
    }
    const char *split = fl_cfg_text(map, "split", "val", "val");
    if (strcmp(split, "test") == 0) {
        fl_cfg_complain(fl_cfg_get(map, "split", ""),
                        "select.split: the test split never chooses; expected "
                        "val");
    } else if (strcmp(split, "val") != 0) {
        fl_cfg_complain(fl_cfg_get(map, "split", ""),
                        "select.split: expected val, found %.40s", split);
    }
    out->split = DATA_VAL;
    out->best = fl_cfg_choice(map, "keep", keep, 0,
                              "the round that was best, or the last") == 0;
}

// ------------------------------------------------------------------- privacy

static void read_privacy(job *out, fl_node root)
{
    static const char *const names[] = {"real", "codes", NULL};
    static const char *const pieces[] = {"fp32", "bf16", NULL};
    fl_node map = fl_cfg_map(root, "privacy", "what protects an update");
    out->privacy.secure_aggregation =
        fl_cfg_bool(map, "secure_aggregation", false,
                    "the coordinator sees sums only");
    if (out->privacy.secure_aggregation) {
        fl_cfg_complain(fl_cfg_get(map, "secure_aggregation", ""),
                        "privacy.secure_aggregation: is not built yet; "
                        "expected false");
    }
    const char *dp = "none";
    fl_node node = fl_cfg_get(map, "dp", "differential privacy: none");
    if (fl_cfg_is_scalar(node) && !fl_cfg_is_null(node)) {
        dp = fl_node_text(node, "dp");
    }
    if (fl_cfg_is_map(node) || fl_cfg_is_list(node) || strcmp(dp, "none") != 0) {
        fl_cfg_complain(node, "privacy.dp: differential privacy is not built "
                              "yet; expected none");
    }
    memcpy(out->privacy.dp, "none", sizeof "none");
    out->bf16_pieces = fl_cfg_choice(root, "pieces", pieces, 0,
                                     "how models and updates travel; bf16: rounded, half the "
                                     "bytes, and what rounding took is added the next time") == 1;
    out->codes = fl_cfg_choice(root, "names", names, 0,
                               "how other hospitals appear in a hospital's "
                               "report") == 1;
}

// ----------------------------------------------------------------- the whole

/* Where a job and what it names come from. */
typedef struct {
    bool has_files;         // the paths in it lead to files here
    const job_graph *graph;  // of model.onnx where they do not; NULL: it did not come along
    task_model **model;     // receives the model, the caller's; NULL: not wanted
} source;

static void check_uncertainty(const job *j, fl_node root, const task_model *model)
{
    fl_err why = FL_ERR_INIT;
    const job_uncertainty *u = &j->evaluation.uncertainty;
    if (u->asked && task_members_check(&u->members, model, &why) != FL_OK) {
        fl_node evaluation = fl_cfg_map(root, "evaluation", "");  // asked: it is a mapping
        fl_cfg_complain(fl_cfg_get(evaluation, "uncertainty", ""), "%s", why.text);
    }
}

/* The architecture must take this input: found by building its graph. */
static void check_model(job *j, fl_node root, const source *from)
{
    bool is_elsewhere = j->model.onnx[0] != '\0' && !from->has_files;
    fl_node where = fl_cfg_get(root, "model", "");
    if (!fl_cfg_ok(root.cfg) || j->data.input.rank == 0) {
        return;
    }
    if (is_elsewhere && from->graph == NULL) {
        if (from->model != NULL) {
            fl_cfg_complain(where, "model: the graph of %.80s did not come with the job",
                            fl_path_base(j->model.onnx));
        }
        return;  // who only reads the job need not have it
    }
    fl_err why = FL_ERR_INIT;
    task_model *model = NULL;
    j->model.onnx_bytes = is_elsewhere ? from->graph->bytes : NULL;
    j->model.n_onnx = is_elsewhere ? from->graph->n : 0;
    if (task_model_new(&model, &j->data, &j->model, &why) != FL_OK) {
        fl_cfg_complain(where, "%s", why.text);
    } else if (task_model_set_loss(model, &j->local.loss, &why) != FL_OK) {
        fl_cfg_complain(fl_cfg_get(fl_cfg_map(root, "local", ""), "loss", ""), "%s", why.text);
    } else {
        check_uncertainty(j, root, model);
    }
    if (model != NULL && from->model != NULL && fl_cfg_ok(root.cfg)) {
        *from->model = model;
        model = NULL;  // now the caller's
    }
    j->model.onnx_bytes = NULL;  // the caller's may not last
    j->model.n_onnx = 0;
    task_model_destroy(&model);
}

/* Keys that stand beside a job in a scenario. */
static void refuse_scenario_keys(fl_node root)
{
    static const char *const keys[] = {"ensemble", "snapshot", "baselines"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (fl_cfg_has(root, keys[i])) {
            fl_cfg_complain(fl_cfg_get(root, keys[i], ""),
                            "%s: is a scenario's key, beside its job, and no key of the job",
                            keys[i]);
        }
    }
}

static void read_node(job *out, fl_node root, const source *from)
{
    memset(out, 0, sizeof *out);
    refuse_scenario_keys(root);
    read_head(out, root);
    data_spec_read(&out->data, root);
    if (out->data.input.rank == 0) {
        fl_cfg_complain(fl_cfg_get(root, "data", ""),
                        "data.input: is required");
    }
    read_model(out, root);
    out->rounds = fl_cfg_int(root, "rounds", 1, 100000, FL_CFG_REQUIRED,
                             "rounds of training");
    out->seed = (uint64_t)fl_cfg_int(root, "seed", 0, INT64_MAX, 1,
                                     "same seed, same bits");
    read_strategy(&out->strategy, root);
    task_train_read(&out->local, fl_cfg_map(root, "local",
                                            "how a site trains in a round"),
                    &out->data);
    read_sites(&out->sites, root);
    read_select(&out->select, &out->data, root);
    job_read_evaluation(out, root);
    read_privacy(out, root);
    check_model(out, root, from);
}

void job_read_node(job *out, fl_node root)
{
    read_node(out, root, &(source){.has_files = true});
}

static fl_status parse(job *out, const char *text, size_t n, const char *name,
                       const char *dir, const source *from, fl_err *err)
{
    fl_cfg *doc;
    memset(out, 0, sizeof *out);
    if (n > JOB_MAX_BYTES) {
        return fl_fail(err, FL_ELIMIT, "%s: a job has at most %d bytes, found "
                                       "%zu", name, JOB_MAX_BYTES, n);
    }
    fl_status st = fl_cfg_parse(&doc, text, n, name, dir, err);
    if (st != FL_OK) {
        return st;
    }
    fl_node root = fl_cfg_root(doc);
    read_node(out, root, from);
    if (from->has_files && out->init[0] != '\0' && !fl_file_exists(out->init)) {
        fl_cfg_complain(fl_cfg_get(root, "init", ""), "init: there is no %s",
                        out->init);
    }
    st = fl_cfg_finish(doc, err);
    fl_cfg_destroy(&doc);
    if (st != FL_OK) {
        if (from->model != NULL) {
            task_model_destroy(from->model);
        }
        memset(out, 0, sizeof *out);
        return st;
    }
    out->text = fl_xstrndup(text, n);
    out->n_text = n;
    return FL_OK;
}

fl_status job_parse(job *out, const char *text, size_t n, const char *name,
                    const char *dir, fl_err *err)
{
    return parse(out, text, n, name, dir, &(source){.has_files = false}, err);
}

fl_status job_parse_model(job *out, task_model **model, const char *text, size_t n,
                          const char *name, const char *dir, const job_graph *graph, fl_err *err)
{
    *model = NULL;
    return parse(out, text, n, name, dir, &(source){.graph = graph, .model = model}, err);
}

bool job_names_graph(char digest[static MODEL_DIGEST_BYTES], const char *text, size_t n)
{
    fl_cfg *doc = NULL;
    model_config model = {0};
    if (n <= JOB_MAX_BYTES && fl_cfg_parse(&doc, text, n, "job", ".", NULL) == FL_OK) {
        model_config_read(&model, fl_cfg_get(fl_cfg_root(doc), "model", ""));
    }
    fl_cfg_destroy(&doc);
    memcpy(digest, model.graph, sizeof model.graph);
    return model.graph[0] != '\0';
}

fl_status job_put_graph(job *j, const char *digest, fl_err *err)
{
    fl_cfg *doc = NULL;
    fl_buf text = FL_BUF_INIT;
    fl_status st;
    if ((st = fl_cfg_parse(&doc, j->text, j->n_text, "job", ".", err)) == FL_OK &&
        (st = fl_cfg_set(doc, "model.graph", digest, err)) == FL_OK &&
        (st = fl_cfg_emit(fl_cfg_root(doc), false, &text, err)) == FL_OK) {
        free(j->text);
        j->n_text = text.n;
        j->text = fl_buf_take(&text);
        snprintf(j->model.graph, sizeof j->model.graph, "%s", digest);
    }
    fl_buf_clear(&text);
    fl_cfg_destroy(&doc);
    return st;
}

bool job_starts_from_file(const job *j)
{
    return j->init[0] != '\0' || j->model.onnx[0] != '\0';
}

fl_status job_read(job *out, const char *path, fl_err *err)
{
    char *text = NULL;
    size_t n = 0;
    memset(out, 0, sizeof *out);
    fl_status st = fl_file_read(&text, &n, path, JOB_MAX_BYTES, err);
    if (st != FL_OK) {
        return st;
    }
    char *dir = fl_path_dir(path);
    st = parse(out, text, n, path, dir, &(source){.has_files = true}, err);
    free(dir);
    free(text);
    return st;
}

void job_clear(job *j)
{
    free(j->text);
    memset(j, 0, sizeof *j);
}

// ---------------------------------------------------------------- one's data

static int64_t count_labelled(const data_set *set, data_split split)
{
    int64_t n = 0;
    const size_t *index = data_set_split(set, split);
    for (size_t i = 0; i < data_set_n_split(set, split); i++) {
        data_case c = data_set_case(set, index[i]);
        n += task_is_labelled(data_set_spec(set), &c);
    }
    return n;
}

fl_status job_check_data(const data_set *set, fl_err *err)
{
    static const struct { data_split split; const char *need; } needs[] = {
        {DATA_TRAIN, "to train on"},
        {DATA_TEST, "to be judged on"},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (count_labelled(set, needs[i].split) == 0) {
            return fl_fail(err, FL_ECONFIG,
                           "the %s split has %zu cases and none with a label; "
                           "the job needs some %s",
                           data_split_name(needs[i].split),
                           data_set_n_split(set, needs[i].split), needs[i].need);
        }
    }
    return FL_OK;
}

void job_describe(FILE *out)
{
    job j;
    fl_cfg *doc = fl_cfg_describe(out);
    job_read_node(&j, fl_cfg_root(doc));
    fl_cfg_destroy(&doc);
    fprintf(out, "\n");
    model_describe(out);
}
