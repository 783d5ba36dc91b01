/*
 * scenario.c - see scenario.h
 */
#include "sim/scenario.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "sim/scenario_read.h"

static void read_generate(scenario *s, fl_node generate)
{
    const char *name = fl_cfg_text(generate, "phantom", FL_CFG_REQUIRED_TEXT, "xray");
    const char *task = fl_cfg_text(generate, "task", FL_CFG_REQUIRED_TEXT,
                                   "what is to be told: opacity");
    const phantom_ops *phantom = s->generate.phantom = phantom_find(name, task);
    s->generate.difficulty = fl_cfg_num(generate, "difficulty", 0, 1,
                                        phantom != NULL ? phantom->difficulty : 0.5,
                                        "0 plain to see .. 1 hardly to be told; every phantom has "
                                        "a default of its own (docs/PHANTOMS.md)");
    s->generate.size = fl_cfg_int(generate, "size", 16, 1024, 64, "pixels a side");
    s->generate.depth = fl_cfg_int(generate, "depth", 1, 256, 1,
                                   "slices; 1: images; only for phantoms that are volumes");
    if (phantom == NULL && fl_cfg_ok(generate.cfg)) {
        fl_buf known = FL_BUF_INIT;
        for (size_t i = 0; phantom_at(i) != NULL; i++) {
            fl_buf_printf(&known, "%s%s/%s", i > 0 ? ", " : "", phantom_at(i)->name,
                          phantom_at(i)->task);
        }
        fl_cfg_complain(generate, "there is no phantom %s/%s; known: %s", name, task, known.data);
        fl_buf_clear(&known);
        return;
    }
    if (phantom != NULL && s->generate.depth > 1 && !phantom->volume) {
        fl_cfg_complain(generate, "depth: phantom %s/%s makes images, not volumes", name, task);
    }
}

static void read_source(scenario *s, fl_node source)
{
    static const char *const splits[] = {"even", "dirichlet", NULL};
    s->source.npz = fl_xstrdup(
        fl_cfg_path(source, "npz", NULL, "MedMNIST-style file that the hospitals share out"));
    s->source.folder = fl_xstrdup(
        fl_cfg_path(source, "folder", NULL,
                    "or a data set of any kind: a folder with dataset.yaml, or such a file"));
    fl_node classes = fl_cfg_map(source, "classes",
                                 "how the npz codes the classes: {malignant: 0, benign: 1}");
    s->source.classes_yaml = fl_cfg_present(classes) ? scenario_emit(classes, false)
                                                     : fl_xstrdup("");
    s->source.dirichlet = fl_cfg_choice(source, "split", splits, 1, "how cases are shared out") ==
                          1;
    s->source.alpha = fl_cfg_num(
        source, "alpha", 0.01, 1000, 0.5,
        "of the Dirichlet distribution of each class over hospitals; small: more skew");
    s->source.size_alpha = fl_cfg_num(
        source, "sizes", 0, 1000, 0,
        "alpha of the Dirichlet distribution of the hospitals' sizes; 0: even");
    s->source.min_train = fl_cfg_int(source, "min_train", 1, 1000000, 10,
                                     "fewest training cases a hospital gets");
    if ((s->source.npz != NULL) == (s->source.folder != NULL)) {
        fl_cfg_complain(source, "source: expected one of npz and folder");
    } else if ((s->source.npz != NULL) != fl_cfg_present(classes)) {
        fl_cfg_complain(
            source, s->source.npz != NULL
                        ? "classes: how does the file code the classes? {malignant: 0, benign: 1}"
                        : "classes: the folder's dataset.yaml says them");
    }
}

/* only: {malignant: bonn}: the other hospitals have the class in no training or
 * validation case; once the hospitals are known. */
static void read_only(scenario *s, fl_node source)
{
    fl_node only = fl_cfg_map(
        source, "only", "{class: hospital}: a class that is trained on at one hospital alone");
    for (int k = 0; k < DATA_MAX_CLASSES; k++) {
        s->source.only_at[k] = -1;
    }
    for (size_t i = 0; i < fl_cfg_count(only); i++) {
        const char *name;
        const scenario_hospital *h = scenario_find(
            s, fl_node_text(fl_cfg_pair(only, i, &name), "hospital"));
        size_t k = 0;
        while (k < s->job.data.n_classes && strcmp(s->job.data.classes[k], name) != 0) {
            k++;
        }
        if (h == NULL || k == s->job.data.n_classes) {
            fl_cfg_complain(only, "only: %.60s: expected {class of the job: hospital}", name);
            return;
        }
        if (s->source.npz != NULL) {  // there, rows are known by the file's code
            fl_node classes = fl_cfg_map(source, "classes", "");
            k = (size_t)fl_cfg_int(classes, name, 0, DATA_MAX_CLASSES - 1, FL_CFG_REQUIRED,
                                   "the file's code");
        }
        s->source.only_at[k] = (int)(h - s->hospitals);
    }
}

/* Does `centralised:` say for how long? */
static bool has_length(fl_node central)
{
    return fl_cfg_has(central, "epochs") || fl_cfg_has(central, "steps");
}

static void read_centralised(scenario *s, fl_node root)
{
    s->central = s->job.local;
    fl_node central = fl_cfg_map(root, "centralised",
                                 "how the centralised baseline is trained; default: as `local:` "
                                 "for rounds x its length, model chosen as the job selects");
    if (fl_cfg_present(central)) {
        task_train_read(&s->central, central, &s->job.data);
    }
    if (!has_length(central)) {
        s->central.steps = s->job.local.steps * s->job.rounds;
        s->central.epochs = s->job.local.epochs * s->job.rounds;
    } else if (scenario_has_changes(s) &&
               (s->central.epochs + s->central.steps) % s->job.rounds != 0) {
        fl_cfg_complain(central,
                        "centralised: with events: its epochs or steps must be a multiple of the "
                        "job's %lld rounds: the pool changes when the hospitals do",
                        (long long)s->job.rounds);
    }
}

/* The job as text that can be read from any folder, once it is known to be
 * right.  prefix: where it stands in the document. */
static fl_status keep_job(scenario *s, fl_cfg *c, const char *prefix, fl_err *err)
{
    const struct {
        const char *key, *path;
    } files[] = {{"init", s->job.init}, {"model.onnx", s->job.model.onnx}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i].path[0] != '\0') {
            char *path = fl_xasprintf("%s%s", prefix, files[i].key);
            scenario_anchor(c, path, files[i].path);
            free(path);
        }
    }
    fl_status st = scenario_ask_more(s, c, prefix, err);
    if (st != FL_OK) {
        return st;
    }
    fl_node node = prefix[0] != '\0' ? fl_cfg_get(fl_cfg_root(c), "job", "") : fl_cfg_root(c);
    fl_buf text = FL_BUF_INIT;
    st = fl_cfg_emit(node, true, &text, err);
    s->job_yaml = fl_buf_take(&text);
    if (st != FL_OK) {
        return st;
    }
    job_clear(&s->job);
    return job_parse(&s->job, s->job_yaml, strlen(s->job_yaml), fl_cfg_name(c), fl_cfg_dir(c), err);
}

/* ${SEED} in a hospital's data set stands for the run's seed, so that splits
 * can differ from run to run (cross-validation). */
static void export_seed(uint64_t seed)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    setenv("SEED", text, 1);
}

/* job: the job's own place, in this document or in a file of its own, so that
 * complaints name its lines. */
static void read_document(scenario *s, fl_node root, fl_node job_node)
{
    job_read_node(&s->job, job_node);
    snprintf(s->name, sizeof s->name, "%s", s->job.name);
    if (!fl_cfg_ok(job_node.cfg)) {
        return;
    }
    export_seed(s->job.seed);
    fl_node generate = fl_cfg_map(root, "generate", "hospitals are simulated patients");
    fl_node source = fl_cfg_map(root, "source",
                                "one real data set is shared out over the hospitals");
    s->kind = fl_cfg_present(generate) ? SCENARIO_GENERATE
              : fl_cfg_present(source) ? SCENARIO_SOURCE
                                       : SCENARIO_OWN;
    if (fl_cfg_present(generate) && fl_cfg_present(source)) {
        fl_cfg_complain(source, "a scenario has generate: or source:, not both");
    }
    if (s->kind == SCENARIO_GENERATE) {
        read_generate(s, generate);
    } else if (s->kind == SCENARIO_SOURCE) {
        read_source(s, source);
    }
    scenario_read_hospitals(s, root);
    if (s->kind == SCENARIO_SOURCE) {
        read_only(s, source);
    }
    scenario_read_events(s, root);
    fl_node clients = fl_cfg_map(root, "clients", "the client processes");
    int64_t most = s->n_hospitals > 0 ? (int64_t)s->n_hospitals : 1;
    s->n_processes = fl_cfg_int(clients, "processes", 1, SCENARIO_MAX_HOSPITALS, most,
                                "how many client processes host the sites");
    scenario_read_compared(s, root);
    read_centralised(s, root);
}

/* Its own length stands instead of rounds; where the pool changes with the rounds, it is shared
 * out over them. */
static fl_status put_length(fl_cfg *c, const scenario *s, fl_node central, fl_err *err)
{
    bool epochs = fl_cfg_has(central, "epochs");
    int64_t rounds = scenario_has_changes(s) ? s->job.rounds : 1;
    char number[32];
    fl_status st;
    if (!has_length(central)) {
        return FL_OK;
    }
    snprintf(number, sizeof number, "%lld", (long long)rounds);
    if ((st = fl_cfg_set(c, "rounds", number, err)) != FL_OK ||
        (st = fl_cfg_set(c, epochs ? "local.steps" : "local.epochs", "null", err)) != FL_OK) {
        return st;
    }
    snprintf(number, sizeof number, "%lld",
             (long long)((epochs ? s->central.epochs : s->central.steps) / rounds));
    return fl_cfg_set(c, epochs ? "local.epochs" : "local.steps", number, err);
}

/* Puts the keys of `centralised:` into the job's `local:`. */
static fl_status put_central(fl_cfg *c, const scenario *s, fl_node central, fl_err *err)
{
    fl_status st = put_length(c, s, central, err);
    for (size_t i = 0; i < fl_cfg_count(central) && st == FL_OK; i++) {
        const char *key;
        fl_buf text = FL_BUF_INIT;
        fl_node value = fl_cfg_pair(central, i, &key);
        bool is_length = strcmp(key, "epochs") == 0 || strcmp(key, "steps") == 0;
        if (!is_length && (st = fl_cfg_emit(value, true, &text, err)) == FL_OK) {
            char *path = fl_xasprintf("local.%s", key);
            st = fl_cfg_set(c, path, text.data, err);
            free(path);
        }
        fl_buf_clear(&text);
    }
    return st;
}

static fl_status keep_central(scenario *s, fl_node central, fl_err *err)
{
    fl_cfg *c = NULL;
    fl_buf text = FL_BUF_INIT;
    fl_status st;
    if ((st = fl_cfg_parse(&c, s->job_yaml, strlen(s->job_yaml), "job", ".", err)) == FL_OK &&
        (st = fl_cfg_set(c, "strategy", "null", err)) == FL_OK &&
        (st = fl_cfg_set(c, "sites", "null", err)) == FL_OK &&
        (st = put_central(c, s, central, err)) == FL_OK) {
        st = fl_cfg_emit(fl_cfg_root(c), false, &text, err);
    }
    s->central_yaml = fl_buf_take(&text);
    fl_cfg_destroy(&c);
    return st;
}

/* Is every class that the phantom makes one of the job's? */
static fl_status check_classes(const scenario *s, const char *const *made, const char *path,
                               fl_err *err)
{
    const data_spec *spec = &s->job.data;
    for (size_t c = 0; made[c] != NULL; c++) {
        bool found = false;
        for (size_t i = 0; i < spec->n_classes; i++) {
            found = found || strcmp(spec->classes[i], made[c]) == 0;
        }
        if (!found) {
            return fl_fail(err, FL_ECONFIG,
                           "%s: job.data.classes lacks %s, which phantom %s/%s makes", path,
                           made[c], s->generate.phantom->name, s->generate.phantom->task);
        }
    }
    return FL_OK;
}

/* Does the job's `data:` fit what the phantom makes? */
static fl_status check_generated(const scenario *s, const char *path, fl_err *err)
{
    if (s->kind != SCENARIO_GENERATE) {
        return FL_OK;
    }
    const phantom_ops *p = s->generate.phantom;
    const data_spec *spec = &s->job.data;
    nn_shape made = scenario_generated_shape(s);
    if (!nn_shape_equal(&spec->input, &made)) {
        char wanted[128], makes[128];
        nn_shape_text(wanted, sizeof wanted, &spec->input);
        nn_shape_text(makes, sizeof makes, &made);
        return fl_fail(err, FL_ECONFIG, "%s: job.data.input is %s, but generate makes %s images",
                       path, wanted, makes);
    }
    data_task reports = p->multilabel ? DATA_MULTILABEL : DATA_CLASSIFY;
    if (spec->task != reports && spec->task != DATA_SEGMENT) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: job.task is %s, but phantom %s/%s is for %s or segment", path,
                       data_task_name(spec->task), p->name, p->task, data_task_name(reports));
    }
    for (size_t i = 0; i < s->n_hospitals; i++) {
        fl_status st = data_shift_check(&s->hospitals[i].shift, &made, err);
        if (st != FL_OK) {
            return fl_wrap(err, FL_ECONFIG, "%s: hospital %s", path, s->hospitals[i].name);
        }
    }
    const char *const outlined[] = {"background", p->structure, NULL};
    return check_classes(s, spec->task == DATA_SEGMENT ? outlined : p->classes, path, err);
}

/* Is it a key of the scenario, not of the job? */
static bool is_own_key(const char *path)
{
    static const char *const own[] = {"hospitals", "generate",  "source",     "events",
                                      "clients",   "baselines", "centralised", "ensemble",
                                      "snapshot"};
    for (size_t k = 0; k < sizeof own / sizeof own[0]; k++) {
        size_t n = strlen(own[k]);
        if (strncmp(path, own[k], n) == 0 && (path[n] == '.' || path[n] == '\0')) {
            return true;
        }
    }
    return strcmp(path, "job") == 0;  // another file, or another mapping
}

static fl_status set_own(fl_cfg *c, const scenario_setting *set, size_t n_set, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < n_set && st == FL_OK; i++) {
        if (is_own_key(set[i].path)) {
            st = fl_cfg_set(c, set[i].path, set[i].value, err);
        }
    }
    return st;
}

/* The other settings, on the document that the job stands in. */
static fl_status set_job(fl_cfg *c, const char *prefix, const scenario_setting *set, size_t n_set,
                         int64_t seed, fl_err *err)
{
    fl_status st = FL_OK;
    char seed_path[32], seed_text[32];
    for (size_t i = 0; i < n_set && st == FL_OK; i++) {
        const char *path = strncmp(set[i].path, "job.", 4) == 0 ? set[i].path + 4 : set[i].path;
        if (!is_own_key(set[i].path)) {
            char *full = fl_xasprintf("%s%s", prefix, path);
            st = fl_cfg_set(c, full, set[i].value, err);
            free(full);
        }
    }
    if (st == FL_OK && seed >= 0) {
        snprintf(seed_path, sizeof seed_path, "%sseed", prefix);
        snprintf(seed_text, sizeof seed_text, "%lld", (long long)seed);
        st = fl_cfg_set(c, seed_path, seed_text, err);
    }
    return st;
}

/* The job's file when `job:` names one; *out stays NULL when the job stands in
 * the scenario. */
static fl_status open_job(fl_cfg **out, fl_cfg *c, fl_err *err)
{
    fl_node root = fl_cfg_root(c),
            node = fl_cfg_get(root, "job", "what the consortium trains; see job.yaml");
    *out = NULL;
    if (!fl_cfg_is_scalar(node) || fl_cfg_is_null(node)) {
        return FL_OK;
    }
    const char *path = fl_cfg_path(root, "job", NULL, "");
    return fl_cfg_ok(c) ? fl_cfg_read(out, path, err) : fl_cfg_finish(c, err);
}

nn_shape scenario_generated_shape(const scenario *s)
{
    int64_t channels = s->generate.phantom->n_channels, size = s->generate.size;
    if (s->generate.depth > 1) {
        return (nn_shape){4, {channels, s->generate.depth, size, size}};
    }
    return (nn_shape){3, {channels, size, size}};
}

fl_status scenario_read(scenario *out, const char *path, const scenario_setting *set, size_t n_set,
                        int64_t seed, fl_err *err)
{
    memset(out, 0, sizeof *out);
    fl_cfg *c = NULL, *own_file = NULL;
    fl_status st;
    if ((st = fl_cfg_read(&c, path, err)) != FL_OK || (st = set_own(c, set, n_set, err)) != FL_OK ||
        (st = open_job(&own_file, c, err)) != FL_OK) {
        goto done;
    }
    fl_cfg *in = own_file != NULL ? own_file : c;  // where the job stands
    const char *prefix = own_file != NULL ? "" : "job.";
    if ((st = set_job(in, prefix, set, n_set, seed, err)) != FL_OK) {
        goto done;
    }
    fl_node root = fl_cfg_root(c);
    read_document(out, root,
                  own_file != NULL ? fl_cfg_root(own_file) : fl_cfg_map(root, "job", ""));
    if ((own_file != NULL && (st = fl_cfg_finish(own_file, err)) != FL_OK) ||
        (st = fl_cfg_finish(c, err)) != FL_OK || (st = check_generated(out, path, err)) != FL_OK) {
        goto done;
    }
    if ((st = keep_job(out, in, prefix, err)) == FL_OK) {
        st = keep_central(out, fl_cfg_map(root, "centralised", ""), err);
    }
done:
    fl_cfg_destroy(&c);
    fl_cfg_destroy(&own_file);
    if (st != FL_OK) {
        scenario_clear(out);
    }
    return st;
}

void scenario_clear(scenario *s)
{
    for (size_t i = 0; i < s->n_hospitals; i++) {
        free(s->hospitals[i].shift_yaml);
        for (size_t c = 0; c < s->hospitals[i].n_changes; c++) {
            free(s->hospitals[i].changes[c].shift_yaml);
        }
        free(s->hospitals[i].dataset_yaml);
        free(s->hospitals[i].data);
    }
    free(s->hospitals);
    free(s->source.npz);
    free(s->source.folder);
    free(s->source.classes_yaml);
    free(s->job_yaml);
    free(s->central_yaml);
    job_clear(&s->job);
    memset(s, 0, sizeof *s);
}

void scenario_describe(FILE *out)
{
    scenario s = {.kind = SCENARIO_GENERATE};
    fl_cfg *c = fl_cfg_describe(out);
    fl_node root = fl_cfg_root(c);
    fl_cfg_map(root, "job", "what the consortium trains; the keys of job.yaml");
    read_generate(&s, fl_cfg_map(root, "generate", "hospitals are simulated patients"));
    fl_node source = fl_cfg_map(root, "source",
                                "one real data set is shared out over the hospitals");
    read_source(&s, source);
    read_only(&s, source);
    scenario_describe_hospital(&s, root);
    fl_cfg_int(fl_cfg_map(root, "clients", "the client processes"), "processes", 1,
               SCENARIO_MAX_HOSPITALS, 1,
               "how many client processes host the sites; default: one a hospital");
    scenario_read_compared(&s, root);
    read_centralised(&s, root);
    free(s.source.npz);
    free(s.source.folder);
    free(s.source.classes_yaml);
    fl_cfg_destroy(&c);
}
