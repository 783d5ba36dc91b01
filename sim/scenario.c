/*
 * scenario.c - see scenario.h
 */
#define _XOPEN_SOURCE 700  // realpath

#include "sim/scenario.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "sim/partition.h"

static const char *const split_keys[SCENARIO_SPLITS] = {"train", "val", "test"};

/* patients: {n: 900} or {n: {train: 600, val: 100, test: 200}}.  A single number
 * is divided 60 : 15 : 25, as dataset.yaml's default split does. */
static void read_sizes(int64_t n[SCENARIO_SPLITS], fl_node patients)
{
    const int64_t most = 10000000;
    fl_node sizes = fl_cfg_get(patients, "n", "patients: a number (60 % train, 15 % val, 25 % test) or {train, val, test}");
    if (fl_cfg_is_map(sizes)) {
        for (int s = 0; s < SCENARIO_SPLITS; s++) {
            n[s] = fl_cfg_int(sizes, split_keys[s], 0, most, FL_CFG_REQUIRED, "patients of this split");
        }
        return;
    }
    if (!fl_cfg_present(sizes)) {
        fl_cfg_complain(patients, "n: how many patients has this hospital?");
        return;
    }
    int64_t all = fl_node_int(sizes, 4, most, "n");
    n[2] = all / 4;
    n[1] = all * 15 / 100;
    n[0] = all - n[1] - n[2];
}

static int class_code(const phantom_ops *phantom, const char *name)
{
    for (int k = 0; phantom != NULL && phantom->classes[k] != NULL; k++) {
        if (strcmp(phantom->classes[k], name) == 0) {
            return k;
        }
    }
    return -1;
}

static void read_population(scenario_hospital *h, fl_node node, const phantom_ops *phantom)
{
    fl_node patients = fl_cfg_map(node, "patients", "whom the hospital sees");
    read_sizes(h->n, patients);
    h->population.female = fl_cfg_num(patients, "female", 0, 1, 0.5, "share of women");
    fl_node age = fl_cfg_get(patients, "age", "[mean, standard deviation] in years");
    h->population.age_mean = 55;
    h->population.age_sd = 15;
    if (fl_cfg_present(age)) {
        if (fl_cfg_count(age) != 2) {
            fl_cfg_complain(age, "age: expected [mean, standard deviation]");
        }
        h->population.age_mean = fl_node_num(fl_cfg_item(age, 0), 18, 95, "mean age");
        h->population.age_sd = fl_node_num(fl_cfg_item(age, 1), 0, 40, "standard deviation of age");
    }
    h->population.prevalence = fl_cfg_num(patients, "prevalence", 0, 1, 0.5, "share of the positive class");
    h->curated = fl_cfg_num(patients, "curated", 0, 0.95, 0, "over-curated: training has only findings at least so conspicuous");
    fl_node unseen = fl_cfg_list(patients, "unseen", "classes that this hospital never saw: not in training nor validation");
    for (size_t i = 0; i < fl_cfg_count(unseen); i++) {
        const char *name = fl_node_text(fl_cfg_item(unseen, i), "class");
        int code = class_code(phantom, name);
        if (code < 0) {
            fl_cfg_complain(unseen, "unseen: the phantom has no class %.60s", name);
            return;
        }
        h->unseen |= 1u << code;
    }
    if (phantom != NULL && !phantom->multilabel && h->unseen == (1u << phantom_n_classes(phantom)) - 1) {
        fl_cfg_complain(unseen, "unseen: no class is left");
    }
}

/* labels: of a generated hospital. */
static void read_labels(scenario_hospital *h, fl_node node)
{
    fl_node labels = fl_cfg_map(node, "labels", "how the cases were labelled; test cases keep the truth");
    annotate_rules *r = &h->labels;
    r->noise = fl_cfg_num(labels, "noise", 0, 0.5, 0, "share of training labels that are wrong");
    r->labelled = fl_cfg_num(labels, "labelled", 0, 1, 1, "share of training cases that have a label");
    r->missed = fl_cfg_num(labels, "missed", 0, 1, 0, "share of the faintest training findings that nobody wrote down; plain ones are not missed");
    r->threshold = fl_cfg_num(labels, "threshold", 0, 1, 0, "conspicuity from which a reader calls a finding one; every reader's own differs by sd 0.15");
    r->confused = fl_cfg_num(labels, "confused", 0, 1, 0, "share of training findings written as their parent or neighbour");
    r->annotators = fl_cfg_int(labels, "annotators", 1, ANNOTATE_MAX_READERS, 1, "readers; several: each outlines every case");
    r->variation = fl_cfg_num(labels, "variation", 0, 0.2, 0, "sd of how far an annotator's outline lies from the truth, in parts of the side");
}

static char *emit(fl_node node, bool expand)
{
    fl_buf text = FL_BUF_INIT;
    fl_err err = FL_ERR_INIT;
    if (fl_cfg_emit(node, expand, &text, &err) != FL_OK) {
        fl_cfg_complain(node, "%s", err.text);
    }
    return fl_buf_take(&text);
}

/* root.path = value, an existing file's path made absolute: the text is going
 * to be read from another folder.  A file that is not there stays as it is. */
static void anchor(fl_cfg *c, const char *path, const char *value)
{
    char *real = value != NULL ? realpath(value, NULL) : NULL;
    if (real == NULL) {
        return;
    }
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "'");
    for (const char *p = real; *p != '\0'; p++) {
        fl_buf_add(&text, p, 1);
        if (*p == '\'') {
            fl_buf_puts(&text, "'"); // doubled, as YAML writes it
        }
    }
    fl_buf_puts(&text, "'");
    fl_err err = FL_ERR_INIT;
    if (fl_cfg_set(c, path, text.data, &err) != FL_OK) {
        fl_cfg_complain(fl_cfg_root(c), "%s", err.text);
    }
    fl_buf_clear(&text);
    free(real);
}

/* The files that a hospital's `dataset:` names, as dataset.yaml would. */
static void anchor_dataset(const scenario_hospital *h, fl_node dataset)
{
    static const struct {
        const char *map, *key;
    } files[] = {{"table", "file"}, {"split", "file"}, {NULL, "npz"}, {NULL, "rows"}, {NULL, "manifest"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *map = files[i].map;
        fl_node where = map != NULL ? fl_cfg_map(dataset, map, "") : dataset;
        const char *value = fl_cfg_path(where, files[i].key, NULL, "");
        char *path = fl_xasprintf("hospitals.%s.dataset.%s%s%s", h->name, map != NULL ? map : "", map != NULL ? "." : "",
                                  files[i].key);
        anchor(dataset.cfg, path, value);
        free(path);
    }
    fl_node parts = fl_cfg_list(dataset, "union", "");
    for (size_t i = 0; i < fl_cfg_count(parts); i++) {
        char *path = fl_xasprintf("hospitals.%s.dataset.union.%zu", h->name, i);
        anchor(dataset.cfg, path, fl_node_path(fl_cfg_item(parts, i), "a data set"));
        free(path);
    }
}

/* A copy of the text marks every key in it as known, so names that are none are
 * found here. */
static void read_shift(data_shift *out, char **yaml, fl_node chain)
{
    data_shift_read(out, chain);
    *yaml = fl_cfg_count(chain) > 0 ? emit(chain, false) : fl_xstrdup("[]");
    for (size_t i = 0; i < fl_cfg_count(chain) && fl_cfg_ok(chain.cfg); i++) {
        const char *name;
        fl_cfg_pair(fl_cfg_item(chain, i), 0, &name);
        if (data_shift_find(name) != NULL) {
            continue;
        }
        fl_buf known = FL_BUF_INIT;
        for (size_t k = 0; data_shift_at(k) != NULL; k++) {
            fl_buf_printf(&known, "%s%s", k > 0 ? ", " : "", data_shift_at(k)->name);
        }
        fl_cfg_complain(fl_cfg_item(chain, i), "shift: there is no transform %.60s; known: %s", name, known.data);
        fl_buf_clear(&known);
    }
}

static void read_hospital(scenario_hospital *h, fl_node node, const scenario *s)
{
    fl_cfg_text(node, "like", NULL, "another hospital's name: what is not said here is as there");
    h->shift_yaml = NULL;
    const char *scanner = fl_cfg_text(node, "scanner", "", "name of the scanner, an attribute of every case");
    if (strlen(scanner) >= sizeof h->scanner) {
        fl_cfg_complain(node, "scanner: expected at most %zu bytes, found %zu", sizeof h->scanner - 1, strlen(scanner));
        return;
    }
    snprintf(h->scanner, sizeof h->scanner, "%s", scanner);
    read_shift(&h->shift, &h->shift_yaml, fl_cfg_get(node, "shift", "chain of shifts, severities 0 to 5: [blur: 1, noise: 2]"));
    fl_node dataset = fl_cfg_map(node, "dataset", "the hospital's own data set, written as its dataset.yaml");
    if (fl_cfg_line(dataset) > 0) { // a real one, not the reference's
        anchor_dataset(h, dataset);
        h->dataset_yaml = emit(fl_cfg_map(node, "dataset", ""), true);
    }
    const char *data = fl_cfg_path(node, "data", NULL, "a folder or file with the hospital's own data set");
    h->data = fl_xstrdup(data);
    if (h->dataset_yaml == NULL && h->data == NULL && s->kind == SCENARIO_GENERATE) {
        read_population(h, node, s->generate.phantom);
        read_labels(h, node);
    } else if (h->dataset_yaml == NULL && h->data == NULL && s->kind == SCENARIO_OWN) {
        fl_cfg_complain(node, "hospital %s has no data: give it `dataset:` or `data:`, or the scenario `generate:` or `source:`", h->name);
    }
}

/* Everything a `like:` hospital does not say is taken from the other. */
static void inherit(fl_node list, size_t i)
{
    fl_node node = fl_cfg_item(list, i);
    const char *like = fl_cfg_text(node, "like", NULL, "");
    if (like == NULL) {
        return;
    }
    for (size_t j = 0; j < i; j++) {
        fl_node other = fl_cfg_item(list, j);
        if (strcmp(fl_cfg_text(other, "name", "", ""), like) == 0) {
            fl_cfg_inherit(node, other);
            return;
        }
    }
    fl_cfg_complain(node, "like: there is no hospital %s above this one", like);
}

/* Alike hospitals that are not quite the same. */
static void vary(scenario_hospital *h, const double size_share, double label_alpha, double severity, uint64_t seed)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "vary", h->name, 0);
    for (int split = 0; split < SCENARIO_SPLITS && size_share > 0; split++) {
        double n = floor((double)h->n[split] * size_share + 0.5);
        h->n[split] = n < 4 && h->n[split] > 0 ? 4 : (int64_t)n;
    }
    double p = h->population.prevalence;
    if (label_alpha > 0 && p > 0 && p < 1) { // two classes' Dirichlet distribution about p
        double positive = fl_rng_gamma(&rng, label_alpha * p), negative = fl_rng_gamma(&rng, label_alpha * (1 - p));
        h->population.prevalence = fmin(fmax(positive / fmax(positive + negative, 1e-300), 0.02), 0.98);
    }
    if (severity > 0 && h->shift.n > 0) {
        fl_buf yaml = FL_BUF_INIT;
        for (size_t i = 0; i < h->shift.n; i++) {
            h->shift.severity[i] = fmin(h->shift.severity[i] * fl_rng_range(&rng, 1 - severity, 1 + severity), 5);
            fl_buf_printf(&yaml, "%s%s: %.6f", i > 0 ? ", " : "[", h->shift.ops[i]->name, h->shift.severity[i]);
        }
        fl_buf_puts(&yaml, "]");
        free(h->shift_yaml);
        h->shift_yaml = fl_buf_take(&yaml);
    }
}

/* A hospital written once with `count:` is so many, NAME-1 to NAME-count.  Returns
 * how many. */
static size_t multiply(scenario *s, size_t first, fl_node node)
{
    int64_t count = fl_cfg_int(node, "count", 1, SCENARIO_MAX_HOSPITALS, 1, "so many hospitals like this, NAME-1 and so on");
    fl_node map = fl_cfg_map(node, "vary", "with count: how they differ");
    double sizes = fl_cfg_num(map, "sizes", 0, 1000, 0, "alpha of the Dirichlet distribution of count x n patients over them; 0: all have n");
    double labels = fl_cfg_num(map, "labels", 0, 1000, 0, "alpha of the Dirichlet distribution of each one's classes about the prevalence; 0: all the same");
    double severity = fl_cfg_num(map, "severity", 0, 1, 0, "each severity is multiplied by 1 - this to 1 + this");
    if (count == 1 || s->kind != SCENARIO_GENERATE) {
        if (fl_cfg_count(map) > 0 || count > 1) {
            fl_cfg_complain(node, "count, vary: are for several generated hospitals");
        }
        return 1;
    }
    s->n_hospitals += (size_t)count - 1;
    if (s->n_hospitals > SCENARIO_MAX_HOSPITALS) {
        fl_cfg_complain(node, "hospitals: more than %d", SCENARIO_MAX_HOSPITALS);
        return 1;
    }
    s->hospitals = fl_xrealloc(s->hospitals, s->n_hospitals, sizeof *s->hospitals);
    scenario_hospital *model = &s->hospitals[first];
    double *share = fl_xcalloc((size_t)count, sizeof *share);
    fl_rng rng;
    fl_rng_init(&rng, s->job.seed, "sizes", model->name, 0);
    for (int64_t i = 0; i < count; i++) {
        share[i] = 1.0 / (double)count;
    }
    if (sizes > 0) {
        partition_dirichlet(share, (size_t)count, sizes, &rng);
    }
    char base[sizeof model->name];
    memcpy(base, model->name, sizeof base);
    for (int64_t i = count - 1; i >= 0; i--) { // the model last: it is the first of them
        scenario_hospital *h = &s->hospitals[first + (size_t)i];
        char name[sizeof base + 24];
        if (i > 0) {
            *h = *model;
            h->shift_yaml = fl_xstrdup(model->shift_yaml);
        }
        snprintf(name, sizeof name, "%s-%lld", base, (long long)i + 1);
        if (strlen(name) >= sizeof h->name) {
            fl_cfg_complain(node, "name: with its number it is longer than 48");
        }
        snprintf(h->name, sizeof h->name, "%.48s", name);
        vary(h, sizes > 0 ? share[i] * (double)count : 0, labels, severity, s->job.seed);
    }
    free(share);
    return (size_t)count;
}

static void read_hospitals(scenario *s, fl_node root)
{
    fl_node list = fl_cfg_list(root, "hospitals", "the hospitals, at least one");
    s->n_hospitals = fl_cfg_count(list);
    if (s->n_hospitals == 0 || s->n_hospitals > SCENARIO_MAX_HOSPITALS) {
        fl_cfg_complain(root, "hospitals: expected 1 to %d, found %zu", SCENARIO_MAX_HOSPITALS, s->n_hospitals);
        s->n_hospitals = 0;
        return;
    }
    s->hospitals = fl_xcalloc(s->n_hospitals, sizeof *s->hospitals);
    size_t n_items = s->n_hospitals, done = 0;
    for (size_t i = 0; i < n_items && fl_cfg_ok(root.cfg); i++) {
        scenario_hospital *h = &s->hospitals[done];
        fl_node node = fl_cfg_item(list, i);
        *h = (scenario_hospital){.n_changes = 0};
        inherit(list, i);
        const char *name = fl_cfg_text(node, "name", FL_CFG_REQUIRED_TEXT, "name of the site: [a-z0-9_-], at most 48");
        size_t length = strlen(name);
        if (length == 0 || length > 48 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != length) {
            fl_cfg_complain(node, "name: expected 1 to 48 of a-z, 0-9, _ and -, found %.60s", name);
            break;
        }
        if (strcmp(name, "pooled") == 0 || strcmp(name, "stamp") == 0) {
            fl_cfg_complain(node, "name: %s is what the simulator calls something else; choose another", name);
            break;
        }
        snprintf(h->name, sizeof h->name, "%s", name);
        read_hospital(h, node, s);
        done += fl_cfg_ok(root.cfg) ? multiply(s, done, node) : 1;
        for (size_t j = 0; j + 1 < done; j++) {
            if (strcmp(s->hospitals[j].name, s->hospitals[done - 1].name) == 0) {
                fl_cfg_complain(node, "name: there are two hospitals %s", s->hospitals[j].name);
            }
        }
    }
    s->n_hospitals = done;
}

static scenario_hospital *find_hospital(const scenario *s, const char *name)
{
    for (size_t i = 0; i < s->n_hospitals; i++) {
        if (strcmp(s->hospitals[i].name, name) == 0) {
            return &s->hospitals[i];
        }
    }
    return NULL;
}

static void read_event(scenario *s, fl_node node)
{
    int64_t round = fl_cfg_int(node, "round", 2, 100000, FL_CFG_REQUIRED, "the first round with the new scanner");
    const char *name = fl_cfg_text(node, "site", FL_CFG_REQUIRED_TEXT, "the hospital");
    const char *scanner = fl_cfg_text(node, "scanner", "", "its new scanner's name");
    fl_node shift = fl_cfg_list(node, "shift", "chain of the new scanner, instead of the hospital's");
    scenario_hospital *h = find_hospital(s, name);
    if (h == NULL || round > s->job.rounds) {
        fl_cfg_complain(node, h == NULL ? "events: there is no hospital %s" : "events: %s: the job has only %lld rounds", name,
                        (long long)s->job.rounds);
        return;
    }
    if (h->n_changes == SCENARIO_MAX_CHANGES || (h->n_changes > 0 && h->changes[h->n_changes - 1].round >= round)) {
        fl_cfg_complain(node, "events: %s: expected at most %d, by rising round", name, SCENARIO_MAX_CHANGES);
        return;
    }
    if (!fl_cfg_present(shift)) {
        fl_cfg_complain(node, "events: what changes? shift: [gain: 3]");
        return;
    }
    scenario_change *c = &h->changes[h->n_changes++];
    c->round = round;
    snprintf(c->scanner, sizeof c->scanner, "%s", scanner);
    read_shift(&c->shift, &c->shift_yaml, shift);
}

static void read_events(scenario *s, fl_node root)
{
    fl_node list = fl_cfg_list(root, "events", "what happens while the federation runs: scanners that are replaced");
    for (size_t i = 0; i < fl_cfg_count(list) && fl_cfg_ok(root.cfg); i++) {
        read_event(s, fl_cfg_item(list, i));
    }
}

char *scenario_change_folder(const scenario_change *c)
{
    return fl_xasprintf("round-%03lld", (long long)c->round);
}

char *scenario_last_folder(const scenario_hospital *h)
{
    if (h->n_changes == 0) {
        return fl_xstrdup(h->name);
    }
    char *folder = scenario_change_folder(&h->changes[h->n_changes - 1]);
    char *path = fl_path_join(h->name, folder);
    free(folder);
    return path;
}

void scenario_add_later(fl_buf *yaml, const scenario_hospital *h)
{
    for (size_t i = 0; i < h->n_changes; i++) {
        char *folder = scenario_change_folder(&h->changes[i]);
        fl_buf_printf(yaml, "%s{round: %lld, data: %s}", i == 0 ? "later: [" : ", ", (long long)h->changes[i].round, folder);
        free(folder);
    }
    fl_buf_puts(yaml, h->n_changes > 0 ? "]\n" : "");
}

static void read_generate(scenario *s, fl_node generate)
{
    const char *name = fl_cfg_text(generate, "phantom", FL_CFG_REQUIRED_TEXT, "xray");
    const char *task = fl_cfg_text(generate, "task", FL_CFG_REQUIRED_TEXT, "what is to be told: opacity");
    s->generate.difficulty = fl_cfg_num(generate, "difficulty", 0, 1, 0.5, "0 plain to see .. 1 hardly to be told");
    s->generate.size = fl_cfg_int(generate, "size", 16, 1024, 64, "pixels a side");
    s->generate.depth = fl_cfg_int(generate, "depth", 1, 256, 1, "slices; 1: images; only for phantoms that are volumes");
    s->generate.phantom = phantom_find(name, task);
    if (s->generate.phantom == NULL && fl_cfg_ok(generate.cfg)) {
        fl_buf known = FL_BUF_INIT;
        for (size_t i = 0; phantom_at(i) != NULL; i++) {
            fl_buf_printf(&known, "%s%s/%s", i > 0 ? ", " : "", phantom_at(i)->name, phantom_at(i)->task);
        }
        fl_cfg_complain(generate, "there is no phantom %s/%s; known: %s", name, task, known.data);
        fl_buf_clear(&known);
        return;
    }
    if (s->generate.phantom != NULL && s->generate.depth > 1 && !s->generate.phantom->volume) {
        fl_cfg_complain(generate, "depth: phantom %s/%s makes images, not volumes", name, task);
    }
}

static void read_source(scenario *s, fl_node source)
{
    static const char *const splits[] = {"even", "dirichlet", NULL};
    s->source.npz = fl_xstrdup(fl_cfg_path(source, "npz", NULL, "MedMNIST-style file that the hospitals share out"));
    s->source.folder = fl_xstrdup(fl_cfg_path(source, "folder", NULL, "or a data set of any kind: a folder with dataset.yaml, or such a file"));
    fl_node classes = fl_cfg_map(source, "classes", "how the npz codes the classes: {malignant: 0, benign: 1}");
    s->source.classes_yaml = fl_cfg_present(classes) ? emit(classes, false) : fl_xstrdup("");
    s->source.dirichlet = fl_cfg_choice(source, "split", splits, 1, "how cases are shared out") == 1;
    s->source.alpha = fl_cfg_num(source, "alpha", 0.01, 1000, 0.5, "of the Dirichlet distribution of each class over hospitals; small: more skew");
    s->source.size_alpha = fl_cfg_num(source, "sizes", 0, 1000, 0, "alpha of the Dirichlet distribution of the hospitals' sizes; 0: even");
    s->source.min_train = fl_cfg_int(source, "min_train", 1, 1000000, 10, "fewest training cases a hospital gets");
    if ((s->source.npz != NULL) == (s->source.folder != NULL)) {
        fl_cfg_complain(source, "source: expected one of npz and folder");
    } else if ((s->source.npz != NULL) != fl_cfg_present(classes)) {
        fl_cfg_complain(source, s->source.npz != NULL ? "classes: how does the file code the classes? {malignant: 0, benign: 1}"
                                                      : "classes: the folder's dataset.yaml says them");
    }
}

/* only: {malignant: bonn}: the other hospitals have the class in no training or
 * validation case; once the hospitals are known. */
static void read_only(scenario *s, fl_node source)
{
    fl_node only = fl_cfg_map(source, "only", "{class: hospital}: a class that is trained on at one hospital alone");
    for (int k = 0; k < DATA_MAX_CLASSES; k++) {
        s->source.only_at[k] = -1;
    }
    for (size_t i = 0; i < fl_cfg_count(only); i++) {
        const char *name;
        const scenario_hospital *h = find_hospital(s, fl_node_text(fl_cfg_pair(only, i, &name), "hospital"));
        size_t k = 0;
        while (k < s->job.data.n_classes && strcmp(s->job.data.classes[k], name) != 0) {
            k++;
        }
        if (h == NULL || k == s->job.data.n_classes) {
            fl_cfg_complain(only, "only: %.60s: expected {class of the job: hospital}", name);
            return;
        }
        if (s->source.npz != NULL) { // there, rows are known by the file's code
            fl_node classes = fl_cfg_map(source, "classes", "");
            k = (size_t)fl_cfg_int(classes, name, 0, DATA_MAX_CLASSES - 1, FL_CFG_REQUIRED, "the file's code");
        }
        s->source.only_at[k] = (int)(h - s->hospitals);
    }
}

/* Does `centralised:` say for how long? */
static bool has_length(fl_node central)
{
    return fl_cfg_has(central, "epochs") || fl_cfg_has(central, "steps");
}

static void read_baselines(scenario *s, fl_node root)
{
    fl_node list = fl_cfg_list(root, "baselines", "[local, centralised]: what the global model is compared with");
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        const char *name = fl_node_text(fl_cfg_item(list, i), "baseline");
        if (strcmp(name, "centralised") == 0) {
            s->centralised = true;
        } else if (strcmp(name, "local") != 0) {
            fl_cfg_complain(list, "baselines: expected local or centralised, found %s", name);
        }
    }
    s->central = s->job.local;
    fl_node central = fl_cfg_map(root, "centralised", "how the centralised baseline is trained; default: as `local:` for rounds x its length, model chosen as the job selects");
    if (fl_cfg_present(central)) {
        task_train_read(&s->central, central, &s->job.data);
    }
    if (!has_length(central)) {
        s->central.steps = s->job.local.steps * s->job.rounds;
        s->central.epochs = s->job.local.epochs * s->job.rounds;
    }
}

/* The job as text that can be read from any folder, once it is known to be
 * right.  prefix: where it stands in the document. */
static fl_status keep_job(scenario *s, fl_cfg *c, const char *prefix, fl_err *err)
{
    if (s->job.init[0] != '\0') {
        char *path = fl_xasprintf("%sinit", prefix);
        anchor(c, path, s->job.init);
        free(path);
    }
    fl_node node = prefix[0] != '\0' ? fl_cfg_get(fl_cfg_root(c), "job", "") : fl_cfg_root(c);
    fl_buf text = FL_BUF_INIT;
    fl_status st = fl_cfg_emit(node, true, &text, err);
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
    fl_node source = fl_cfg_map(root, "source", "one real data set is shared out over the hospitals");
    s->kind = fl_cfg_present(generate) ? SCENARIO_GENERATE : fl_cfg_present(source) ? SCENARIO_SOURCE : SCENARIO_OWN;
    if (fl_cfg_present(generate) && fl_cfg_present(source)) {
        fl_cfg_complain(source, "a scenario has generate: or source:, not both");
    }
    if (s->kind == SCENARIO_GENERATE) {
        read_generate(s, generate);
    } else if (s->kind == SCENARIO_SOURCE) {
        read_source(s, source);
    }
    read_hospitals(s, root);
    if (s->kind == SCENARIO_SOURCE) {
        read_only(s, source);
    }
    read_events(s, root);
    fl_node clients = fl_cfg_map(root, "clients", "the client processes");
    int64_t most = s->n_hospitals > 0 ? (int64_t)s->n_hospitals : 1;
    s->n_processes = fl_cfg_int(clients, "processes", 1, SCENARIO_MAX_HOSPITALS, most, "how many client processes host the sites");
    read_baselines(s, root);
}

/* Puts the keys of `centralised:` into the job's `local:`; its own length stands
 * instead of rounds. */
static fl_status put_central(fl_cfg *c, fl_node central, fl_err *err)
{
    fl_status st = FL_OK;
    if (has_length(central) && (st = fl_cfg_set(c, "rounds", "1", err)) == FL_OK) {
        st = fl_cfg_set(c, fl_cfg_has(central, "epochs") ? "local.steps" : "local.epochs", "null", err);
    }
    for (size_t i = 0; i < fl_cfg_count(central) && st == FL_OK; i++) {
        const char *key;
        fl_buf text = FL_BUF_INIT;
        if ((st = fl_cfg_emit(fl_cfg_pair(central, i, &key), true, &text, err)) == FL_OK) {
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
        (st = fl_cfg_set(c, "strategy", "null", err)) == FL_OK && (st = fl_cfg_set(c, "sites", "null", err)) == FL_OK &&
        (st = put_central(c, central, err)) == FL_OK) {
        st = fl_cfg_emit(fl_cfg_root(c), false, &text, err);
    }
    s->central_yaml = fl_buf_take(&text);
    fl_cfg_destroy(&c);
    return st;
}

/* Is every class that the phantom makes one of the job's? */
static fl_status check_classes(const scenario *s, const char *const *made, const char *path, fl_err *err)
{
    const data_spec *spec = &s->job.data;
    for (size_t c = 0; made[c] != NULL; c++) {
        bool found = false;
        for (size_t i = 0; i < spec->n_classes; i++) {
            found = found || strcmp(spec->classes[i], made[c]) == 0;
        }
        if (!found) {
            return fl_fail(err, FL_ECONFIG, "%s: job.data.classes lacks %s, which phantom %s/%s makes", path, made[c],
                           s->generate.phantom->name, s->generate.phantom->task);
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
        return fl_fail(err, FL_ECONFIG, "%s: job.data.input is %s, but generate makes %s images", path, wanted, makes);
    }
    data_task reports = p->multilabel ? DATA_MULTILABEL : DATA_CLASSIFY;
    if (spec->task != reports && spec->task != DATA_SEGMENT) {
        return fl_fail(err, FL_ECONFIG, "%s: job.task is %s, but phantom %s/%s is for %s or segment", path,
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
    static const char *const own[] = {"hospitals", "generate", "source", "events", "clients", "baselines", "centralised"};
    for (size_t k = 0; k < sizeof own / sizeof own[0]; k++) {
        size_t n = strlen(own[k]);
        if (strncmp(path, own[k], n) == 0 && (path[n] == '.' || path[n] == '\0')) {
            return true;
        }
    }
    return strcmp(path, "job") == 0; // another file, or another mapping
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
static fl_status set_job(fl_cfg *c, const char *prefix, const scenario_setting *set, size_t n_set, int64_t seed, fl_err *err)
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
    fl_node root = fl_cfg_root(c), node = fl_cfg_get(root, "job", "what the consortium trains; see job.yaml");
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
    fl_cfg *in = own_file != NULL ? own_file : c; // where the job stands
    const char *prefix = own_file != NULL ? "" : "job.";
    if ((st = set_job(in, prefix, set, n_set, seed, err)) != FL_OK) {
        goto done;
    }
    fl_node root = fl_cfg_root(c);
    read_document(out, root, own_file != NULL ? fl_cfg_root(own_file) : fl_cfg_map(root, "job", ""));
    if ((own_file != NULL && (st = fl_cfg_finish(own_file, err)) != FL_OK) || (st = fl_cfg_finish(c, err)) != FL_OK ||
        (st = check_generated(out, path, err)) != FL_OK) {
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
    fl_node source = fl_cfg_map(root, "source", "one real data set is shared out over the hospitals");
    read_source(&s, source);
    read_only(&s, source);
    scenario_hospital h = {.name = "NAME"};
    fl_node hospital = fl_cfg_item(fl_cfg_list(root, "hospitals", "the hospitals, at least one"), 0);
    fl_cfg_text(hospital, "name", FL_CFG_REQUIRED_TEXT, "name of the site: [a-z0-9_-], at most 48");
    read_hospital(&h, hospital, &s);
    read_population(&h, hospital, s.generate.phantom);
    read_labels(&h, hospital);
    multiply(&s, 0, hospital);
    read_event(&s, fl_cfg_item(fl_cfg_list(root, "events", "what happens while the federation runs: scanners that are replaced"), 0));
    fl_cfg_int(fl_cfg_map(root, "clients", "the client processes"), "processes", 1, SCENARIO_MAX_HOSPITALS, 1,
               "how many client processes host the sites; default: one a hospital");
    read_baselines(&s, root);
    free(h.shift_yaml);
    free(h.dataset_yaml);
    free(h.data);
    free(s.source.npz);
    free(s.source.folder);
    free(s.source.classes_yaml);
    fl_cfg_destroy(&c);
}
