/*
 * scenario_hospitals.c - the hospitals of a scenario: whom they see, their scanners and readers
 */
#define _XOPEN_SOURCE 700  // realpath

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "sim/partition.h"
#include "sim/relabel.h"
#include "sim/scenario_read.h"

static const char events_help[] =
    "what happens while the federation runs: scanners that are replaced";

static const char *const split_keys[SCENARIO_SPLITS] = {"train", "val", "test"};

/* patients: {n: 900} or {n: {train: 600, val: 100, test: 200}}.  A single number
 * is divided 60 : 15 : 25, as dataset.yaml's default split does. */
static void read_sizes(int64_t n[SCENARIO_SPLITS], fl_node patients)
{
    const int64_t most = 10000000;
    fl_node sizes = fl_cfg_get(
        patients, "n",
        "patients: a number (60 % train, 15 % val, 25 % test) or {train, val, test}");
    if (fl_cfg_is_map(sizes)) {
        for (int s = 0; s < SCENARIO_SPLITS; s++) {
            n[s] = fl_cfg_int(sizes, split_keys[s], 0, most, FL_CFG_REQUIRED,
                              "patients of this split");
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
    h->population.prevalence = fl_cfg_num(patients, "prevalence", 0, 1, 0.5,
                                          "share of the positive class");
    h->curated = fl_cfg_num(patients, "curated", 0, 0.95, 0,
                            "over-curated: training has only findings at least so conspicuous");
    fl_node unseen = fl_cfg_list(
        patients, "unseen", "classes that this hospital never saw: not in training nor validation");
    for (size_t i = 0; i < fl_cfg_count(unseen); i++) {
        const char *name = fl_node_text(fl_cfg_item(unseen, i), "class");
        int code = class_code(phantom, name);
        if (code < 0) {
            fl_cfg_complain(unseen, "unseen: the phantom has no class %.60s", name);
            return;
        }
        h->unseen |= 1u << code;
    }
    if (phantom != NULL && !phantom->multilabel &&
        h->unseen == (1u << phantom_n_classes(phantom)) - 1) {
        fl_cfg_complain(unseen, "unseen: no class is left");
    }
}

/* labels: of a generated hospital, or of one with real cases. */
static fl_node read_labels(scenario_hospital *h, fl_node node)
{
    fl_node labels = fl_cfg_map(node, "labels",
                                "how the cases were labelled; test cases keep the truth");
    annotate_rules *r = &h->labels;
    r->noise = fl_cfg_num(labels, "noise", 0, 0.5, 0, "share of training labels that are wrong");
    r->labelled = fl_cfg_num(labels, "labelled", 0, 1, 1,
                             "share of training cases that have a label");
    r->missed = fl_cfg_num(labels, "missed", 0, 1, 0,
                           "generated: share of the faintest training findings that nobody wrote "
                           "down or outlined; plain ones are not missed");
    r->threshold = fl_cfg_num(labels, "threshold", 0, 1, 0,
                              "generated: conspicuity from which a reader calls a finding one; "
                              "every reader's own differs by sd 0.15");
    r->confused = fl_cfg_num(labels, "confused", 0, 1, 0,
                             "generated: share of training findings written as their parent or "
                             "neighbour");
    r->annotators = fl_cfg_int(labels, "annotators", 1, ANNOTATE_MAX_READERS, 1,
                               "readers; several: each outlines every case");
    r->variation = fl_cfg_num(
        labels, "variation", 0, 0.2, 0,
        "sd of how far an annotator's outline lies from the truth, in parts of the side");
    return labels;
}

static bool confuses(const phantom_ops *phantom)
{
    for (size_t k = 0; phantom->classes[k] != NULL; k++) {
        if (phantom->confused[k] >= 0) {
            return true;
        }
    }
    return false;
}

/* What a simulated case's readers can be made to do. */
static void read_generated_labels(scenario_hospital *h, fl_node node, const scenario *s)
{
    fl_node labels = read_labels(h, node);
    const annotate_rules *r = &h->labels;
    const phantom_ops *phantom = s->generate.phantom;
    bool outlines = s->job.data.task == DATA_SEGMENT, seeing = r->missed > 0 || r->threshold > 0;
    if (phantom == NULL) {
        return;  // which is complained of already
    }
    if (outlines && (r->noise > 0 || r->confused > 0)) {
        fl_cfg_complain(labels, "labels: noise and confused are of classes; outlines have "
                                "variation, missed and threshold");
    } else if (outlines && seeing && phantom->mask_everybody) {
        fl_cfg_complain(labels, "labels: missed and threshold are of findings; every patient has "
                                "a %s to outline",
                        phantom->structure);
    } else if (outlines && seeing && phantom->multilabel) {
        fl_cfg_complain(labels, "labels: missed and threshold of outlines are of patients with "
                                "one finding at most");
    } else if (!outlines && r->variation > 0) {
        fl_cfg_complain(labels, "labels: variation is of outlines, task segment");
    } else if (!outlines && r->annotators > 1 && r->threshold <= 0) {
        fl_cfg_complain(labels, "labels: annotators of classes differ by their threshold, which "
                                "is 0");
    } else if (r->confused > 0 && !confuses(phantom)) {
        fl_cfg_complain(labels, "labels: confused: no class of %s/%s is another's parent or "
                                "neighbour",
                        phantom->name, phantom->task);
    }
}

/* What a real case's readers can be made to do. */
static void read_real_labels(scenario_hospital *h, fl_node node, const data_spec *data)
{
    fl_node labels = read_labels(h, node);
    const annotate_rules *r = &h->labels;
    bool outlines = data->task == DATA_SEGMENT;
    if (r->missed > 0 || r->threshold > 0 || r->confused > 0) {
        fl_cfg_complain(labels, "labels: missed, threshold and confused are for generated "
                                "patients: of a real case nobody knows how plain its finding is");
    } else if (data->task == DATA_REGRESS && relabel_is_needed(h)) {
        fl_cfg_complain(labels, "labels: task regress has no readers' errors");
    } else if (outlines && r->noise > 0) {
        fl_cfg_complain(labels, "labels: noise is of classes; outlines have variation");
    } else if (outlines && r->variation > 0 && data->n_classes != 2) {
        fl_cfg_complain(labels, "labels: variation is of one structure and its background");
    } else if (!outlines && (r->annotators > 1 || r->variation > 0)) {
        fl_cfg_complain(labels, "labels: annotators and variation are for task segment with real "
                                "cases");
    }
}

char *scenario_emit(fl_node node, bool expand)
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
void scenario_anchor(fl_cfg *c, const char *path, const char *value)
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
            fl_buf_puts(&text, "'");  // doubled, as YAML writes it
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
    } files[] = {
        {"table", "file"}, {"split", "file"}, {NULL, "npz"}, {NULL, "rows"}, {NULL, "manifest"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *map = files[i].map;
        fl_node where = map != NULL ? fl_cfg_map(dataset, map, "") : dataset;
        const char *value = fl_cfg_path(where, files[i].key, NULL, "");
        char *path = fl_xasprintf("hospitals.%s.dataset.%s%s%s", h->name, map != NULL ? map : "",
                                  map != NULL ? "." : "", files[i].key);
        scenario_anchor(dataset.cfg, path, value);
        free(path);
    }
    fl_node parts = fl_cfg_list(dataset, "union", "");
    for (size_t i = 0; i < fl_cfg_count(parts); i++) {
        char *path = fl_xasprintf("hospitals.%s.dataset.union.%zu", h->name, i);
        scenario_anchor(dataset.cfg, path, fl_node_path(fl_cfg_item(parts, i), "a data set"));
        free(path);
    }
}

/* A copy of the text marks every key in it as known, so names that are none are
 * found here. */
static void read_shift(data_shift *out, char **yaml, fl_node chain)
{
    data_shift_read(out, chain);
    *yaml = fl_cfg_count(chain) > 0 ? scenario_emit(chain, false) : fl_xstrdup("[]");
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
        fl_cfg_complain(fl_cfg_item(chain, i), "shift: there is no transform %.60s; known: %s",
                        name, known.data);
        fl_buf_clear(&known);
    }
}

static void read_hospital(scenario_hospital *h, fl_node node, const scenario *s)
{
    fl_cfg_text(node, "like", NULL, "another hospital's name: what is not said here is as there");
    h->shift_yaml = NULL;
    const char *scanner = fl_cfg_text(node, "scanner", "",
                                      "name of the scanner, an attribute of every case");
    if (strlen(scanner) >= sizeof h->scanner) {
        fl_cfg_complain(node, "scanner: expected at most %zu bytes, found %zu",
                        sizeof h->scanner - 1, strlen(scanner));
        return;
    }
    snprintf(h->scanner, sizeof h->scanner, "%s", scanner);
    read_shift(
        &h->shift, &h->shift_yaml,
        fl_cfg_get(node, "shift", "chain of shifts, severities 0 to 5: [blur: 1, noise: 2]"));
    fl_node dataset = fl_cfg_map(node, "dataset",
                                 "the hospital's own data set, written as its dataset.yaml");
    if (fl_cfg_line(dataset) > 0) {  // a real one, not the reference's
        anchor_dataset(h, dataset);
        h->dataset_yaml = scenario_emit(fl_cfg_map(node, "dataset", ""), true);
    }
    const char *data = fl_cfg_path(node, "data", NULL,
                                   "a folder or file with the hospital's own data set");
    h->data = fl_xstrdup(data);
    if (h->dataset_yaml == NULL && h->data == NULL && s->kind == SCENARIO_GENERATE) {
        read_population(h, node, s->generate.phantom);
        read_generated_labels(h, node, s);
        return;
    }
    read_real_labels(h, node, &s->job.data);
    if (relabel_is_needed(h) && h->dataset_yaml != NULL && fl_cfg_has(dataset, "cases")) {
        fl_cfg_complain(dataset, "labels: the hospital's dataset has `cases:` of its own");
    }
    if (h->dataset_yaml == NULL && h->data == NULL && s->kind == SCENARIO_OWN) {
        fl_cfg_complain(node,
                        "hospital %s has no data: give it `dataset:` or `data:`, or the scenario "
                        "`generate:` or `source:`",
                        h->name);
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
static void vary(scenario_hospital *h, const double size_share, double label_alpha, double severity,
                 uint64_t seed)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "vary", h->name, 0);
    for (int split = 0; split < SCENARIO_SPLITS && size_share > 0; split++) {
        double n = floor((double)h->n[split] * size_share + 0.5);
        h->n[split] = n < 4 && h->n[split] > 0 ? 4 : (int64_t)n;
    }
    double p = h->population.prevalence;
    if (label_alpha > 0 && p > 0 && p < 1) {  // two classes' Dirichlet distribution about p
        double positive = fl_rng_gamma(&rng, label_alpha * p),
               negative = fl_rng_gamma(&rng, label_alpha * (1 - p));
        h->population.prevalence = fmin(fmax(positive / fmax(positive + negative, 1e-300), 0.02),
                                        0.98);
    }
    if (severity > 0 && h->shift.n > 0) {
        fl_buf yaml = FL_BUF_INIT;
        for (size_t i = 0; i < h->shift.n; i++) {
            h->shift.severity[i] = fmin(
                h->shift.severity[i] * fl_rng_range(&rng, 1 - severity, 1 + severity), 5);
            fl_buf_printf(&yaml, "%s%s: %.6f", i > 0 ? ", " : "[", h->shift.ops[i]->name,
                          h->shift.severity[i]);
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
    int64_t count = fl_cfg_int(node, "count", 1, SCENARIO_MAX_HOSPITALS, 1,
                               "so many hospitals like this, NAME-1 and so on");
    fl_node map = fl_cfg_map(node, "vary", "with count: how they differ");
    double sizes = fl_cfg_num(
        map, "sizes", 0, 1000, 0,
        "alpha of the Dirichlet distribution of count x n patients over them; 0: all have n");
    double labels = fl_cfg_num(map, "labels", 0, 1000, 0,
                               "alpha of the Dirichlet distribution of each one's classes about "
                               "the prevalence; 0: all the same");
    double severity = fl_cfg_num(map, "severity", 0, 1, 0,
                                 "each severity is multiplied by 1 - this to 1 + this");
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
    for (int64_t i = count - 1; i >= 0; i--) {  // the model last: it is the first of them
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

void scenario_read_hospitals(scenario *s, fl_node root)
{
    fl_node list = fl_cfg_list(root, "hospitals", "the hospitals, at least one");
    s->n_hospitals = fl_cfg_count(list);
    if (s->n_hospitals == 0 || s->n_hospitals > SCENARIO_MAX_HOSPITALS) {
        fl_cfg_complain(root, "hospitals: expected 1 to %d, found %zu", SCENARIO_MAX_HOSPITALS,
                        s->n_hospitals);
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
        const char *name = fl_cfg_text(node, "name", FL_CFG_REQUIRED_TEXT,
                                       "name of the site: [a-z0-9_-], at most 48");
        size_t length = strlen(name);
        if (length == 0 || length > 48 ||
            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != length) {
            fl_cfg_complain(node, "name: expected 1 to 48 of a-z, 0-9, _ and -, found %.60s", name);
            break;
        }
        if (strcmp(name, "pooled") == 0 || strcmp(name, "stamp") == 0) {
            fl_cfg_complain(
                node, "name: %s is what the simulator calls something else; choose another", name);
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

scenario_hospital *scenario_find(const scenario *s, const char *name)
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
    int64_t round = fl_cfg_int(node, "round", 2, 100000, FL_CFG_REQUIRED,
                               "the first round with the new scanner");
    const char *name = fl_cfg_text(node, "site", FL_CFG_REQUIRED_TEXT, "the hospital");
    const char *scanner = fl_cfg_text(node, "scanner", "", "its new scanner's name");
    fl_node shift = fl_cfg_list(node, "shift",
                                "chain of the new scanner, instead of the hospital's");
    scenario_hospital *h = scenario_find(s, name);
    if (h == NULL || round > s->job.rounds) {
        fl_cfg_complain(node,
                        h == NULL ? "events: there is no hospital %s"
                                  : "events: %s: the job has only %lld rounds",
                        name, (long long)s->job.rounds);
        return;
    }
    if (h->n_changes == SCENARIO_MAX_CHANGES ||
        (h->n_changes > 0 && h->changes[h->n_changes - 1].round >= round)) {
        fl_cfg_complain(node, "events: %s: expected at most %d, by rising round", name,
                        SCENARIO_MAX_CHANGES);
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

void scenario_read_events(scenario *s, fl_node root)
{
    fl_node list = fl_cfg_list(root, "events", events_help);
    for (size_t i = 0; i < fl_cfg_count(list) && fl_cfg_ok(root.cfg); i++) {
        read_event(s, fl_cfg_item(list, i));
    }
}

bool scenario_has_changes(const scenario *s)
{
    bool any = false;
    for (size_t i = 0; i < s->n_hospitals; i++) {
        any = any || s->hospitals[i].n_changes > 0;
    }
    return any;
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
        fl_buf_printf(yaml, "%s{round: %lld, data: %s}", i == 0 ? "later: [" : ", ",
                      (long long)h->changes[i].round, folder);
        free(folder);
    }
    fl_buf_puts(yaml, h->n_changes > 0 ? "]\n" : "");
}

void scenario_describe_hospital(scenario *s, fl_node root)
{
    scenario_hospital h = {.name = "NAME"};
    fl_node list = fl_cfg_list(root, "hospitals", "the hospitals, at least one");
    fl_node hospital = fl_cfg_item(list, 0);
    fl_cfg_text(hospital, "name", FL_CFG_REQUIRED_TEXT, "name of the site: [a-z0-9_-], at most 48");
    read_hospital(&h, hospital, s);
    read_population(&h, hospital, s->generate.phantom);
    read_labels(&h, hospital);
    multiply(s, 0, hospital);
    read_event(s, fl_cfg_item(fl_cfg_list(root, "events", events_help), 0));
    free(h.shift_yaml);
    free(h.dataset_yaml);
    free(h.data);
}
