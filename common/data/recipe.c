/*
 * recipe.c - reads dataset.yaml
 */
#include "data/recipe.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/known.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A list of texts; a single text counts as a list of one. */
static data_words read_words(fl_node n, size_t most, const char *what)
{
    data_words words = {0};
    if (!fl_cfg_present(n)) {
        return words;
    }
    if (!fl_cfg_is_list(n)) {
        words.item = fl_xcalloc(1, sizeof *words.item);
        words.item[words.n++] = fl_node_text(n, what);
        return words;
    }
    size_t count = fl_cfg_count(n);
    if (count > most) {
        fl_cfg_complain(n, "%s: expected at most %zu items, found %zu", what, most, count);
        return words;
    }
    words.item = fl_xcalloc(count, sizeof *words.item);
    for (size_t i = 0; i < count; i++) {
        words.item[words.n++] = fl_node_text(fl_cfg_item(n, i), what);
    }
    return words;
}

static data_words read_paths(fl_node list, size_t most, const char *what)
{
    data_words words = {0};
    size_t count = fl_cfg_count(list);
    if (count > most) {
        fl_cfg_complain(list, "%s: expected at most %zu items, found %zu", what, most, count);
        return words;
    }
    words.item = fl_xcalloc(count, sizeof *words.item);
    for (size_t i = 0; i < count; i++) {
        words.item[words.n++] = fl_node_path(fl_cfg_item(list, i), what);
    }
    return words;
}

static void check_name(fl_node n, const char *name)
{
    if (name[0] == '\0' || strlen(name) >= DATA_NAME_BYTES) {
        fl_cfg_complain(n, "expected a name of 1 to %d bytes, found %zu", DATA_NAME_BYTES - 1,
                        strlen(name));
    }
}

/* {normal: 0, opacity: [1, 2]} */
static data_naming *read_namings(fl_node map, size_t most, size_t *n, const char *what)
{
    *n = 0;
    size_t count = fl_cfg_count(map);
    if (count > most) {
        fl_cfg_complain(map, "%s: expected at most %zu, found %zu", what, most, count);
        return NULL;
    }
    data_naming *namings = fl_xcalloc(count, sizeof *namings);
    for (size_t i = 0; i < count; i++) {
        fl_node value = fl_cfg_pair(map, i, &namings[i].name);
        check_name(value, namings[i].name);
        namings[i].texts = read_words(value, DATA_MAX_CODES_OF_CLASS, what);
    }
    *n = count;
    return namings;
}

static void read_attributes(data_recipe *out, fl_node root)
{
    fl_node map = fl_cfg_map(
        root, "attributes",
        "the job's name: the file's column, or {column, values: {CODE: how the file writes it}}");
    size_t n = fl_cfg_count(map);
    if (n > DATA_MAX_ATTRIBUTES) {
        fl_cfg_complain(map, "attributes: expected at most %d, found %zu", DATA_MAX_ATTRIBUTES, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        data_attribute_rule *rule = &out->attributes[i];
        fl_node value = fl_cfg_pair(map, i, &rule->name);
        check_name(value, rule->name);
        if (fl_cfg_is_map(value)) {
            rule->column = fl_cfg_text(value, "column", FL_CFG_REQUIRED_TEXT, "column of the file");
            rule->values = read_namings(fl_cfg_map(value, "values", "code: how the file writes it"),
                                        DATA_MAX_CODES, &rule->n_values, "values");
        } else {
            rule->column = fl_node_text(value, rule->name);
        }
        out->n_attributes++;
    }
}

/* {by: patient, ...}, {column: ...} or {file: ...} */
static void read_split(data_split_rule *out, fl_node root)
{
    static const char *const by[] = {"patient", NULL};
    fl_node map = fl_cfg_map(root, "split",
                             "how cases come to train, val and test; default: the column split if "
                             "there is one, else by patient");
    bool has_by = fl_cfg_has(map, "by");
    bool has_column = fl_cfg_has(map, "column");
    bool has_file = fl_cfg_has(map, "file");
    bool given = has_column || has_file;

    fl_cfg_choice(map, "by", by, 0, "a patient is never in two splits");
    bool has_val = fl_cfg_has(map, "val");
    bool has_test = fl_cfg_has(map, "test");
    out->val = fl_cfg_num(map, "val", 0, 1, 0.15,
                          "part of the patients for validation; with column or file: carved out of "
                          "train (default 0)");
    out->test = fl_cfg_num(map, "test", 0, 1, 0.25, "part of the patients for the test");
    if (given) {
        out->val = has_val ? out->val : 0;
        out->test = 0;
        if (has_test) {
            fl_cfg_complain(map,
                            "split: test is for by: patient; the %s says which cases are the test",
                            has_file ? "file" : "column");
        }
    }
    out->seed = (uint64_t)fl_cfg_int(map, "seed", 0, INT64_MAX, 0, "which patients fall where");
    out->column = fl_cfg_text(map, "column", "split", "column that says train, val or test");
    out->file = fl_cfg_path(map, "file", NULL, "CSV that says the split of each row");
    out->site = fl_cfg_text(map, "site", NULL, "which rows of the file are this hospital's");
    out->site_column = fl_cfg_text(map, "site_column", "centre",
                                   "column of the file with the site");
    out->row_column = fl_cfg_text(map, "row_column", "row_in_processed_file",
                                  "column of the file with the 0-based row");
    out->set_column = fl_cfg_text(map, "set_column", "set",
                                  "column of the file with train, val or test");
    if (has_by + has_column + has_file > 1) {
        fl_cfg_complain(map, "split: expected one of by, column and file, found several");
    }
    if (out->val + out->test > 1) {
        fl_cfg_complain(map, "split: val %g and test %g are more than all", out->val, out->test);
    }
    out->kind = has_file                ? DATA_SPLIT_FILE
                : has_column            ? DATA_SPLIT_COLUMN
                : fl_cfg_count(map) > 0 ? DATA_SPLIT_PATIENT
                                        : DATA_SPLIT_DEFAULT;
}

/* '> 0', '>= 1.5', '== 3', '!= 0' */
static void read_relation(data_table_rule *out, fl_node label)
{
    static const struct {
        const char *sign;
        data_relation relation;
    } signs[] = {{"<=", DATA_LE}, {">=", DATA_GE}, {"==", DATA_EQ}, {"!=", DATA_NE},
                 {"<", DATA_LT},  {">", DATA_GT},  {"=", DATA_EQ}};
    const char *text = fl_cfg_text(label, "positive", NULL,
                                   "which numbers are the positive class, such as '> 0'");
    if (text == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t n = strlen(signs[i].sign);
        if (strncmp(text, signs[i].sign, n) == 0) {
            char *end;
            const char *number = text + n + strspn(text + n, " ");
            out->threshold = strtod(number, &end);
            if (end != number && *end == '\0' && isfinite(out->threshold)) {
                out->relation = signs[i].relation;
                return;
            }
        }
    }
    fl_cfg_complain(fl_cfg_get(label, "positive", ""),
                    "positive: expected a comparison such as '> 0', found %s", text);
}

/* columns: [cp, restecg] or {cp: [1, 2, 3, 4], restecg: [0, 1, 2]} */
static void read_one_hot(data_table_rule *out, fl_node table)
{
    static const char *const places[] = {"last", "in_place", NULL};
    fl_node map = fl_cfg_map(table, "one_hot", "columns of codes that become columns of 0 and 1");
    fl_node columns = fl_cfg_get(
        map, "columns", "names, or {name: [levels]} so that every site has the same columns");
    size_t n = fl_cfg_count(columns);
    if (n > DATA_MAX_COLUMNS) {
        fl_cfg_complain(columns, "columns: too many");
        n = 0;
    }
    out->one_hot = fl_xcalloc(n, sizeof *out->one_hot);
    for (size_t i = 0; i < n; i++) {
        data_one_hot *hot = &out->one_hot[out->n_one_hot++];
        if (fl_cfg_is_map(columns)) {
            fl_node levels = fl_cfg_pair(columns, i, &hot->column);
            hot->levels = read_words(levels, DATA_MAX_COLUMNS, hot->column);
        } else {
            hot->column = fl_node_text(fl_cfg_item(columns, i), "column");
        }
    }
    out->drop_first = fl_cfg_bool(map, "drop_first", false,
                                  "the first level has no column of its own");
    out->place_last = fl_cfg_choice(map, "place", places, 1, "where the new columns stand") == 0;
    if (fl_cfg_present(map) && n == 0) {
        fl_cfg_complain(map, "one_hot: columns is required");
    }
}

static void read_table(data_table_rule *out, fl_node root)
{
    static const char *const missing[] = {"stop", "drop", NULL};
    static const char *const standards[] = {"none", "site", NULL};
    fl_node map = fl_cfg_map(root, "table", "a table of numbers instead of images");
    bool present = fl_cfg_present(map);
    out->file = fl_cfg_path(map, "file", present ? FL_CFG_REQUIRED_TEXT : NULL,
                            "comma-separated table");
    out->header = read_words(fl_cfg_list(map, "header", "column names when the file has none"),
                             DATA_MAX_COLUMNS, "header");
    out->missing = read_words(
        fl_cfg_get(map, "missing", "texts that stand for a missing value, besides the empty cell"),
        DATA_MAX_CODES, "missing");
    out->drop = read_words(fl_cfg_get(map, "drop", "columns that are not features"),
                           DATA_MAX_COLUMNS, "drop");
    out->rows_with_missing = (data_missing_rule)fl_cfg_choice(
        map, "rows_with_missing", missing, 0,
        "stop: refuse the table; drop: leave the row out and count it");
    read_one_hot(out, map);

    fl_node label = fl_cfg_map(map, "label", "what is predicted");
    out->label = fl_cfg_text(label, "column", "label", "column of the label");
    read_relation(out, label);
    out->case_column = fl_cfg_text(map, "case", NULL, "column of case names; default: the row");
    out->patient_column = fl_cfg_text(map, "patient", NULL,
                                      "column of patients; default: every row is its own patient");
    out->standardise = fl_cfg_choice(map, "standardise", standards, 0,
                                     "site: mean 0 and sd 1 over this set's training rows") == 1;
}

static void read_shift(data_recipe *out, fl_node root)
{
    data_shift_read(
        &out->shift,
        fl_cfg_list(root, "shift",
                    "another scanner's look, applied to every image when it is loaded"));
    out->shift_seed = (uint64_t)fl_cfg_int(root, "shift_seed", 0, INT64_MAX, 0,
                                           "random part of the shift");
}

/* recipe: {name: chexpert, from: train.csv} */
static void read_known(data_recipe *out, fl_node root)
{
    const char *names[8] = {NULL};
    fl_node map = fl_cfg_map(root, "recipe", "a public collection as it is distributed");
    for (size_t i = 0; data_known_at(i) != NULL; i++) {
        names[i] = data_known_at(i)->name;
    }
    bool present = fl_cfg_present(map);
    int which = fl_cfg_choice(map, "name", names, present ? -1 : 0, "which one");
    const char *from = fl_cfg_path(map, "from", present ? FL_CFG_REQUIRED_TEXT : NULL,
                                   "its table, or BUSI's folder");
    const char *images = fl_cfg_path(map, "images", NULL,
                                     "folder that the table's files are in; default: the table's");
    out->known_view = fl_cfg_text(map, "view", NULL,
                                  "chexpert: only rows with this in Frontal/Lateral");
    out->known_test = fl_cfg_path(map, "test_list", NULL,
                                  "chestxray14: names of the images of the test split");
    if (!present || which < 0 || from == NULL) {
        return;
    }
    out->known = data_known_at((size_t)which);
    out->manifest = from;
    out->owned_path = images != NULL          ? fl_xstrdup(images)
                      : out->known->is_folder ? fl_xstrdup(from)
                                              : fl_path_dir(from);
    out->known_images = out->owned_path;
    if (out->n_parents == 0) {
        FL_FREE(out->parents);
        out->parents = fl_xcalloc(out->known->n_parents, sizeof *out->parents);
        out->n_parents = out->known->n_parents;
        for (size_t i = 0; i < out->n_parents; i++) {
            out->parents[i] = out->known->parents[i];
        }
    }
}

static void read_origin(data_recipe *out, fl_node root)
{
    fl_node members = fl_cfg_list(root, "union",
                                  "several data sets as one; tables are standardised together");
    out->members = read_paths(members, DATA_MAX_MEMBERS, "union");
    read_table(&out->table, root);
    out->npz = fl_cfg_path(root, "npz", NULL, "MedMNIST-style archive instead of a manifest");
    out->rows = fl_cfg_path(root, "rows", NULL,
                            "with npz: CSV of the rows that are this hospital's (split, index, and "
                            "perhaps patient, new_split, label, attributes)");
    const char *known = out->known != NULL ? out->manifest : NULL;
    out->manifest = fl_cfg_path(root, "manifest", NULL, "CSV of the cases; default manifest.csv");
    int n = (out->members.n > 0) + (out->table.file != NULL) + (out->npz != NULL) +
            (out->manifest != NULL) + (known != NULL);
    if (n > 1) {
        fl_cfg_complain(root,
                        "expected one of table, npz, manifest, recipe and union, found several");
    }
    out->manifest = known != NULL ? known : out->manifest;
    out->origin = out->members.n > 0        ? DATA_FROM_UNION
                  : out->table.file != NULL ? DATA_FROM_TABLE
                  : out->npz != NULL        ? DATA_FROM_NPZ
                                            : DATA_FROM_MANIFEST;
}

static void read_cases(data_recipe *out, fl_node root)
{
    out->cases = fl_cfg_path(root, "cases", NULL,
                             "CSV of the cases that are taken, the others are left out: case, and "
                             "perhaps split, and what another reader made of them: label, "
                             "label:NAME, or mask and mask:ANNOTATOR (codes on the input's grid)");
}

static void read_changes(data_recipe *out, fl_node root)
{
    fl_node list = fl_cfg_list(root, "later",
                               "data sets that stand in for this one from a round of a federation "
                               "on, such as a new scanner's: {round: 8, data: FOLDER}");
    if (fl_cfg_count(list) > DATA_MAX_CHANGES) {
        fl_cfg_complain(list, "later: more than %d", DATA_MAX_CHANGES);
        return;
    }
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_node item = fl_cfg_item(list, i);
        data_change *c = &out->changes[out->n_changes++];
        c->round = fl_cfg_int(item, "round", 2, 100000, FL_CFG_REQUIRED, "the first round with it");
        c->path = fl_cfg_path(item, "data", FL_CFG_REQUIRED_TEXT, "the data set");
        if (i > 0 && c->round <= out->changes[i - 1].round) {
            fl_cfg_complain(item, "later: rounds must rise");
        }
    }
}

static void check_combinations(const data_recipe *r, fl_node root)
{
    if (r->rows != NULL && r->npz == NULL) {
        fl_cfg_complain(root, "rows: only with npz");
    }
    bool prepares = r->preprocess.n > 0 || r->preprocess.normalise != DATA_NORMALISE_NONE;
    if (r->origin == DATA_FROM_TABLE && (prepares || r->shift.n > 0)) {
        fl_cfg_complain(root, "preprocess and shift are for images; a table has standardise");
    }
    if (r->origin == DATA_FROM_UNION && (prepares || r->n_attributes > 0 || r->n_classes > 0 ||
                                         r->has_task || r->split.kind != DATA_SPLIT_DEFAULT)) {
        fl_cfg_complain(
            root, "union: task, classes, attributes, split and preprocess are said by its members");
    }
    bool makes_images = r->origin == DATA_FROM_MANIFEST || r->origin == DATA_FROM_NPZ ||
                        (r->origin == DATA_FROM_UNION && r->shift.n > 0);
    if (!makes_images && (r->cache != NULL || r->no_cache)) {
        fl_cfg_complain(root, "cache: only with images, of a manifest, an npz or a union's shift");
    }
    if (r->table.relation != DATA_NO_RULE && r->has_task && r->task != DATA_CLASSIFY) {
        fl_cfg_complain(root, "table: label: positive is for task classify");
    }
}

/* {Pneumonia: Consolidation, Consolidation: Lung Opacity} */
static void read_parents(data_recipe *out, fl_node root)
{
    fl_node map = fl_cfg_map(root, "parents",
                             "multilabel, finding: the finding that it is a kind of; where it is "
                             "present, so is that");
    size_t n = fl_cfg_count(map);
    if (n > DATA_MAX_PARENTS) {
        fl_cfg_complain(map, "parents: expected at most %d, found %zu", DATA_MAX_PARENTS, n);
        return;
    }
    out->parents = fl_xcalloc(n, sizeof *out->parents);
    for (size_t i = 0; i < n; i++) {
        data_parent *p = &out->parents[out->n_parents++];
        fl_node whole = fl_cfg_pair(map, i, &p->part);
        p->whole = fl_node_text(whole, "parents");
    }
}

static void read_multilabel(data_recipe *out, fl_node root)
{
    static const char *const uncertain[] = {"ignore", "positive", "negative", NULL};
    static const char *const unmentioned[] = {"ignore", "negative", NULL};
    out->uncertain = (data_uncertain)fl_cfg_choice(root, "uncertain", uncertain, 0,
                                                   "multilabel: what a label of -1 counts as");
    out->unmentioned_is_absent = fl_cfg_choice(root, "unmentioned", unmentioned, 0,
                                               "multilabel: what an empty label counts as") == 1;
    out->no_finding = fl_cfg_text(root, "no_finding", "No Finding",
                                  "multilabel, in a column label with lists such as A|B: the word "
                                  "for none");
    read_parents(out, root);
}

/* The words auto and none, or a folder. */
static void read_cache(data_recipe *out, fl_node root)
{
    const char *help = "folder for decoded images; auto: .consilium-cache here, for more than "
                       "256 MiB; none: all in memory";
    fl_node n = fl_cfg_get(root, "cache", help);
    if (!fl_cfg_present(n)) {
        return;
    }
    const char *word = fl_node_text(n, "cache");
    out->no_cache = strcmp(word, "none") == 0;
    if (!out->no_cache && strcmp(word, "auto") != 0) {
        out->cache = fl_node_path(n, "cache");
    }
}

void data_recipe_read_keys(data_recipe *out, fl_node root)
{
    static const char *const tasks[] = {"classify", "multilabel", "segment", "regress", NULL};
    static const char *const on_error[] = {"stop", "skip", NULL};
    *out = (data_recipe){.cfg = NULL};
    out->has_task = fl_cfg_has(root, "task");
    out->task = (data_task)fl_cfg_choice(root, "task", tasks, 0,
                                         "kind of problem; default: the job's");
    out->classes = read_namings(
        fl_cfg_map(root, "classes", "name: how the file writes it, or a list"), DATA_MAX_CLASSES,
        &out->n_classes, "classes");
    out->positive = fl_cfg_text(root, "positive", NULL, "the positive class, where no job says it");
    out->says_reference_standard = fl_cfg_has(root, "reference_standard");
    out->reference_standard = fl_cfg_text(root, "reference_standard", "not provided",
                                          "who said what is true; printed on reports");
    read_attributes(out, root);
    read_split(&out->split, root);
    data_preprocess_read(&out->preprocess, fl_cfg_list(root, "preprocess", "steps, in order"));
    out->skip_bad_files = fl_cfg_choice(
                              root, "on_error", on_error, 0,
                              "a bad file stops the opening, or is left out and counted") == 1;
    read_cache(out, root);
    out->says_mask_threshold = fl_cfg_has(root, "mask_threshold");
    out->mask_threshold = fl_cfg_num(root, "mask_threshold", 1e-6, 65535, 1,
                                     "segment with two classes: mask values from here on are "
                                     "foreground; default: what classes names, then 1");
    read_multilabel(out, root);
    bool said = fl_cfg_has(root, "prevalence");
    double prevalence = fl_cfg_num(
        root, "prevalence", 0, 1, 0,
        "in the population the model is meant for; PPV and NPV are also given at it");
    out->prevalence = said ? prevalence : NAN;
    read_shift(out, root);
    read_known(out, root);
    read_changes(out, root);
    read_cases(out, root);
    read_origin(out, root);
    check_combinations(out, root);
}

/* --- what a path stands for --- */

/* The single .npz of a folder, or NULL. */
static char *only_npz(const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    size_t n_npz = 0;
    char *found = NULL;

    if (fl_list_dir(&names, &n, dir, NULL) != FL_OK) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (ends_with(names[i], ".npz") && n_npz++ == 0) {
            found = fl_path_join(dir, names[i]);
        }
    }
    fl_names_free(&names, n);
    if (n_npz != 1) {
        FL_FREE(found);
    }
    return found;
}

/* A recipe that names no file: manifest.csv beside it, or the only .npz. */
static fl_status find_files(data_recipe *r, fl_err *err)
{
    if (r->origin != DATA_FROM_MANIFEST || r->manifest != NULL) {
        return FL_OK;
    }
    const char *dir = fl_cfg_dir(r->cfg);
    r->owned_path = fl_path_join(dir, "manifest.csv");
    r->manifest = r->owned_path;
    if (fl_file_exists(r->manifest)) {
        return FL_OK;
    }
    char *npz = only_npz(dir);
    if (npz == NULL) {
        return fl_fail(
            err, FL_ECONFIG,
            "%s: expected manifest.csv beside it, or one of the keys table, npz, union; found none",
            r->name);
    }
    free(r->owned_path);
    r->owned_path = npz;
    r->manifest = NULL;
    r->npz = npz;
    r->origin = DATA_FROM_NPZ;
    return FL_OK;
}

static fl_status read_yaml(data_recipe *out, const char *path, fl_err *err)
{
    fl_cfg *cfg = NULL;
    fl_status st = fl_cfg_read(&cfg, path, err);
    if (st != FL_OK) {
        return st;
    }
    data_recipe_read_keys(out, fl_cfg_root(cfg));
    out->cfg = cfg;
    out->name = fl_cfg_name(cfg);
    if ((st = fl_cfg_finish(cfg, err)) == FL_OK) {
        st = find_files(out, err);
    }
    if (st != FL_OK) {
        data_recipe_clear(out);
    }
    return st;
}

/* A file without a dataset.yaml: the defaults of every key. */
static void read_bare(data_recipe *out, const char *path, data_origin origin)
{
    data_recipe_read_keys(out, (fl_node){NULL, 0});
    out->origin = origin;
    out->owned_path = fl_xstrdup(path);
    out->name = out->owned_path;
    if (origin == DATA_FROM_NPZ) {
        out->npz = out->owned_path;
    } else {
        out->table.file = out->owned_path;
        out->manifest = out->owned_path;
    }
}

static bool same_file(const char *a, const char *b)
{
    return strcmp(fl_path_base(a), fl_path_base(b)) == 0;
}

/* An archive, described by the dataset.yaml beside it if there is one that
 * means it. */
static fl_status read_npz_path(data_recipe *out, const char *path, fl_err *err)
{
    fl_status st = FL_OK;
    char *dir = fl_path_dir(path);
    char *yaml = fl_path_join(dir, "dataset.yaml");

    if (!fl_file_exists(yaml)) {
        read_bare(out, path, DATA_FROM_NPZ);
        goto done;
    }
    st = read_yaml(out, yaml, err);
    if (st == FL_OK && (out->origin != DATA_FROM_NPZ || !same_file(out->npz, path))) {
        data_recipe_clear(out);
        read_bare(out, path, DATA_FROM_NPZ);
    }
done:
    free(yaml);
    free(dir);
    return st;
}

fl_status data_recipe_read(data_recipe *out, const char *path, fl_err *err)
{
    *out = (data_recipe){0};
    if (fl_is_dir(path)) {
        char *yaml = fl_path_join(path, "dataset.yaml");
        fl_status st = fl_file_visible(yaml, err);  // a folder may not be looked into
        if (st == FL_OK) {
            st = read_yaml(out, yaml, err);
        } else if (st == FL_ENOTFOUND) {
            fl_fail(err, st, "%s: a data set's folder has a dataset.yaml; this one has none", path);
        }
        free(yaml);
        return st;
    }
    fl_status st = fl_file_visible(path, err);
    if (st != FL_OK) {
        return st;
    }
    if (ends_with(path, ".yaml") || ends_with(path, ".yml")) {
        return read_yaml(out, path, err);
    }
    if (ends_with(path, ".npz")) {
        return read_npz_path(out, path, err);
    }
    if (ends_with(path, ".csv")) {
        read_bare(out, path, DATA_FROM_TABLE);
        return FL_OK;
    }
    return fl_fail(err, FL_EUNSUPPORTED,
                   "%s: expected a folder with dataset.yaml, a .yaml, a .npz or a .csv", path);
}

static void clear_namings(data_naming *namings, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(namings[i].texts.item);
    }
    free(namings);
}

void data_recipe_clear(data_recipe *r)
{
    clear_namings(r->classes, r->n_classes);
    for (size_t i = 0; i < r->n_attributes; i++) {
        clear_namings(r->attributes[i].values, r->attributes[i].n_values);
    }
    free(r->table.header.item);
    free(r->table.missing.item);
    free(r->table.drop.item);
    for (size_t i = 0; i < r->table.n_one_hot; i++) {
        free(r->table.one_hot[i].levels.item);
    }
    free(r->table.one_hot);
    free(r->members.item);
    free(r->parents);
    free(r->owned_path);
    fl_cfg_destroy(&r->cfg);
    *r = (data_recipe){0};
}
