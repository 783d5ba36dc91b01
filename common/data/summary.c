/*
 * summary.c - a data set in numbers: flow, table 1, problems, digest
 *
 * What reports print.  Counts of few patients are left out of table 1 where
 * the site's policy asks for it, and a second cell with them, so that the
 * first cannot be found by subtraction.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "data/set.h"

/* --- flow --- */

/* Patients of a split, or of all with DATA_NO_SPLIT. */
static int64_t count_patients(const data_set *s, int split)
{
    bool *seen = fl_xcalloc((size_t)s->n_patients, sizeof *seen);
    int64_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        if (split == DATA_NO_SPLIT || e->split == split) {
            n += !seen[e->patient_no];
            seen[e->patient_no] = true;
        }
    }
    free(seen);
    return n;
}

static bool is_unlabelled(const data_set *s, const data_entry *e)
{
    if (s->spec.task == DATA_CLASSIFY) {
        return e->code < 0;
    }
    if (s->spec.task == DATA_SEGMENT) {
        return e->mask == NULL;
    }
    size_t K = s->spec.task == DATA_REGRESS ? 1 : s->spec.n_classes;
    for (size_t k = 0; e->target != NULL && k < K; k++) {
        if (!isnan(e->target[k])) {
            return false;
        }
    }
    return true;
}

json_t *data_set_flow(const data_set *s)
{
    json_t *refused = json_object();
    json_t *analysed = json_object();
    json_t *labelled = json_object();
    json_int_t unlabelled = 0, n_labelled[DATA_N_SPLITS] = {0};

    for (size_t i = 0; i < s->n_refusals; i++) {
        json_object_set_new(refused, s->refusals[i].reason,
                            json_integer((json_int_t)s->refusals[i].n));
    }
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        bool without = is_unlabelled(s, e);
        unlabelled += without;
        if (!without && e->split != DATA_NO_SPLIT) {
            n_labelled[e->split]++;
        }
    }
    for (int k = 0; k < DATA_N_SPLITS; k++) {
        json_object_set_new(labelled, data_split_name((data_split)k),
                            json_integer(n_labelled[k]));
        json_object_set_new(analysed, data_split_name((data_split)k),
                            json_integer((json_int_t)s->n_split[k]));
    }
    return json_pack("{s:I, s:I, s:o, s:I, s:I, s:I, s:o, s:o}", "files", (json_int_t)s->n_files, "rows",
                     (json_int_t)s->n_rows, "refused", refused, "cases", (json_int_t)s->n,
                     "patients", (json_int_t)s->n_patients, "unlabelled", unlabelled, "labelled",
                     labelled, "analysed", analysed);
}

/* --- table 1 --- */

typedef struct {
    const char *name;  // "opacity", "F", "unknown"
    int64_t cases, patients;
    bool hidden;
} cell;

/* A partition of a split's cases: every case is in one cell. */
typedef struct {
    cell *cells;
    size_t n;
    int64_t min_cell;
    size_t told;  // this cell's number is told elsewhere; n: none's
} partition;

static void add_case(cell *c, bool *seen, int64_t patient)
{
    c->cases++;
    c->patients += !seen[patient];
    seen[patient] = true;
}

/*
 * Hides cells of fewer than min_cell patients; if that is one cell only, the
 * smallest other too, for the split's number of cases is told.  Nobody is in an
 * empty cell, so it stays, unless all others are empty: then they would say that
 * everybody is in the one.  A cell whose number is told elsewhere hides nothing.
 */
static void hide_small_cells(partition *p)
{
    size_t n_hidden = 0;
    cell *smallest = NULL;
    for (size_t i = 0; i < p->n; i++) {
        cell *c = &p->cells[i];
        if (c->patients == 0 || i == p->told) {
            continue;
        }
        if (c->patients < p->min_cell) {
            c->hidden = true;
            n_hidden++;
        } else if (smallest == NULL || c->patients < smallest->patients) {
            smallest = c;
        }
    }
    if (n_hidden == 1 && smallest != NULL) {
        smallest->hidden = true;
    }
    for (size_t i = 0; i < p->n && n_hidden == 1 && smallest == NULL; i++) {
        p->cells[i].hidden = i != p->told;
    }
}

static json_t *cells_json(partition *p)
{
    json_t *out = json_object();
    hide_small_cells(p);
    for (size_t i = 0; i < p->n; i++) {
        const cell *c = &p->cells[i];
        if (!c->hidden) {
            json_object_set_new(out, c->name, json_pack("{s:I}", "n", (json_int_t)c->cases));
            continue;
        }
        char *why = fl_xasprintf("fewer than %lld patients, or needed to hide such a cell",
                                 (long long)p->min_cell);
        json_object_set_new(out, c->name, json_pack("{s:n, s:s}", "n", "why", why));
        free(why);
    }
    return out;
}

/* Cases of a split by a number in [0, n) that of() gives; names has n, told: n, or one of which
 * everybody knows the number. */
static json_t *count_cells(const data_set *s, int split, int64_t min_cell, const char *const *names,
                           size_t n, size_t told,
                           size_t (*of)(const data_set *s, const data_entry *e, size_t which),
                           size_t which)
{
    partition p = {.n = n, .min_cell = min_cell, .told = told};
    bool *seen = fl_xcalloc(n * (size_t)s->n_patients, sizeof *seen);

    p.cells = fl_xcalloc(n, sizeof *p.cells);
    for (size_t i = 0; i < n; i++) {
        p.cells[i].name = names[i];
    }
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        if (e->split == split) {
            size_t k = of(s, e, which);
            add_case(&p.cells[k], seen + k * (size_t)s->n_patients, e->patient_no);
        }
    }
    json_t *out = cells_json(&p);
    free(p.cells);
    free(seen);
    return out;
}

static size_t class_of(const data_set *s, const data_entry *e, size_t which)
{
    (void)which;
    return e->code >= 0 ? (size_t)e->code : s->spec.n_classes;
}

static json_t *count_classes(const data_set *s, int split, int64_t min_cell)
{
    const char *names[DATA_MAX_CLASSES + 1];
    size_t K = s->spec.n_classes;
    for (size_t k = 0; k < K; k++) {
        names[k] = s->spec.classes[k];
    }
    names[K] = "unlabelled";
    return count_cells(s, split, min_cell, names, K + 1, K, class_of, 0);  // by the flow
}

/* Of each label alone: absent, present, unlabelled. */
static size_t flag_of(const data_set *s, const data_entry *e, size_t which)
{
    (void)s;
    return isnan(e->target[which]) ? 2 : e->target[which] > 0;
}

static json_t *count_labels(const data_set *s, int split, int64_t min_cell)
{
    static const char *const names[] = {"absent", "present", "unlabelled"};
    json_t *out = json_object();
    for (size_t k = 0; k < s->spec.n_classes; k++) {
        json_object_set_new(out, s->spec.classes[k],
                            count_cells(s, split, min_cell, names, 3, 3, flag_of, k));
    }
    return out;
}

/* Of each class but the background: absent from a case's mask, in it, no mask. */
static size_t drawn_of(const data_set *s, const data_entry *e, size_t which)
{
    if (e->mask == NULL) {
        return 2;
    }
    return memchr(e->mask, (int)which, data_set_n_pixels(s)) != NULL;
}

static json_t *count_drawn(const data_set *s, int split, int64_t min_cell)
{
    static const char *const names[] = {"absent", "present", "unlabelled"};
    json_t *out = json_object();
    for (size_t k = 1; k < s->spec.n_classes; k++) {
        json_object_set_new(out, s->spec.classes[k],
                            count_cells(s, split, min_cell, names, 3, 2, drawn_of, k));
    }
    return out;
}

/* n, mean and standard deviation; null below min_cell patients. */
typedef struct {
    double sum, squares;
    int64_t cases, patients;
} moments;

static json_t *moments_json(const moments *m, int64_t min_cell)
{
    if (m->patients > 0 && m->patients < min_cell) {
        char *why = fl_xasprintf("fewer than %lld patients", (long long)min_cell);
        json_t *out = json_pack("{s:n, s:n, s:n, s:s}", "n", "mean", "sd", "why", why);
        free(why);
        return out;
    }
    double n = (double)m->cases;
    double mean = m->cases > 0 ? m->sum / n : NAN;
    double sd = m->cases > 1 ? sqrt(fmax(0, (m->squares - n * mean * mean) / (n - 1))) : NAN;
    return json_pack("{s:I, s:o, s:o}", "n", (json_int_t)m->cases, "mean", fl_json_number(mean),
                     "sd", fl_json_number(sd));
}

static void add_value(moments *m, bool *seen, const data_entry *e, double v)
{
    m->sum += v;
    m->squares += v * v;
    m->cases++;
    m->patients += !seen[e->patient_no];
    seen[e->patient_no] = true;
}

static json_t *describe_number(const data_set *s, int split, int64_t min_cell, size_t attribute)
{
    moments m = {0};
    bool *seen = fl_xcalloc((size_t)s->n_patients, sizeof *seen);
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        double v;
        if (e->split == split && data_parse_number(&v, e->attributes[attribute])) {
            add_value(&m, seen, e, v);
        }
    }
    free(seen);
    return moments_json(&m, min_cell);
}

static json_t *describe_target(const data_set *s, int split, int64_t min_cell)
{
    moments m = {0};
    bool *seen = fl_xcalloc((size_t)s->n_patients, sizeof *seen);
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        if (e->split == split && !isnan(e->target[0])) {
            add_value(&m, seen, e, (double)e->target[0]);
        }
    }
    free(seen);
    return moments_json(&m, min_cell);
}

static size_t code_of(const data_set *s, const data_entry *e, size_t which)
{
    const data_attribute *a = &s->spec.attributes[which];
    size_t k = 0;
    while (k < a->n_codes && strcmp(a->codes[k], e->attributes[which]) != 0) {
        k++;
    }
    return k;  // n_codes: unknown
}

static json_t *count_codes(const data_set *s, int split, int64_t min_cell, size_t attribute)
{
    const data_attribute *a = &s->spec.attributes[attribute];
    const char *names[DATA_MAX_CODES + 1];
    for (size_t k = 0; k < a->n_codes; k++) {
        names[k] = a->codes[k];
    }
    names[a->n_codes] = "unknown";
    return count_cells(s, split, min_cell, names, a->n_codes + 1, a->n_codes + 1, code_of,
                       attribute);
}

typedef struct {
    const char *text;
    int64_t patient;
} text_use;

static int by_text(const void *a, const void *b)
{
    const text_use *x = a;
    const text_use *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->patient > y->patient) - (x->patient < y->patient);
}

static int by_patients_falling(const void *a, const void *b)
{
    const cell *x = a;
    const cell *y = b;
    return (x->patients < y->patients) - (x->patients > y->patients);
}

/* Sorts uses and makes a cell of each text; cells has room for n. */
static size_t cells_of_texts(cell *cells, text_use *uses, size_t n)
{
    size_t n_cells = 0;
    qsort(uses, n, sizeof *uses, by_text);
    for (size_t i = 0; i < n; i++) {
        bool new_text = i == 0 || strcmp(uses[i].text, uses[i - 1].text) != 0;
        if (new_text) {
            cells[n_cells++] = (cell){.name = uses[i].text};
        }
        cells[n_cells - 1].cases++;
        cells[n_cells - 1].patients += new_text || uses[i].patient != uses[i - 1].patient;
    }
    qsort(cells, n_cells, sizeof *cells, by_patients_falling);
    return n_cells;
}

static bool is_among(const cell *cells, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(cells[i].name, text) == 0) {
            return true;
        }
    }
    return false;
}

/* Cases of a split whose text is in none of the first n cells. */
static cell rest_of_texts(const data_set *s, int split, size_t attribute, const cell *cells,
                          size_t n, bool unknown)
{
    cell rest = {.name = unknown ? "unknown" : "other"};
    bool *seen = fl_xcalloc((size_t)s->n_patients, sizeof *seen);
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        const char *text = e->attributes[attribute];
        if (e->split == split && (text[0] == '\0') == unknown && !is_among(cells, n, text)) {
            add_case(&rest, seen, e->patient_no);
        }
    }
    free(seen);
    return rest;
}

/*
 * Free text may name a person, so only what min_cell patients share is
 * written out, the 16 most frequent at most; the rest is "other".
 */
static json_t *count_texts(const data_set *s, int split, int64_t min_cell, size_t attribute)
{
    text_use *uses = fl_xcalloc(s->n, sizeof *uses);
    cell *cells = fl_xcalloc(s->n + 2, sizeof *cells);
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        if (e->split == split && e->attributes[attribute][0] != '\0') {
            uses[n++] = (text_use){e->attributes[attribute], e->patient_no};
        }
    }
    size_t n_texts = cells_of_texts(cells, uses, n);
    size_t n_named = 0;
    while (n_named < n_texts && n_named < DATA_MAX_CODES && cells[n_named].patients >= min_cell) {
        n_named++;
    }
    cell other = rest_of_texts(s, split, attribute, cells, n_named, false);
    cell unknown = rest_of_texts(s, split, attribute, cells, n_named, true);
    cells[n_named] = other;
    cells[n_named + 1] = unknown;
    partition p = {.cells = cells, .n = n_named + 2, .min_cell = min_cell, .told = n_named + 2};
    json_t *out = cells_json(&p);
    free(cells);
    free(uses);
    return out;
}

static json_t *describe_attributes(const data_set *s, int split, int64_t min_cell)
{
    json_t *out = json_object();
    for (size_t i = 0; i < s->spec.n_attributes; i++) {
        const data_attribute *a = &s->spec.attributes[i];
        json_t *value = a->kind == DATA_ATTR_NUMBER  ? describe_number(s, split, min_cell, i)
                        : a->kind == DATA_ATTR_CODES ? count_codes(s, split, min_cell, i)
                                                     : count_texts(s, split, min_cell, i);
        json_object_set_new(out, a->name, value);
    }
    return out;
}

json_t *data_set_table1(const data_set *s, int64_t min_cell)
{
    json_t *out = json_object();
    for (int k = 0; k < DATA_N_SPLITS; k++) {
        json_t *split = json_pack("{s:I, s:I}", "n", (json_int_t)s->n_split[k], "patients",
                                  (json_int_t)count_patients(s, k));
        switch (s->spec.task) {
        case DATA_CLASSIFY:
            json_object_set_new(split, "classes", count_classes(s, k, min_cell));
            break;
        case DATA_MULTILABEL:
            json_object_set_new(split, "classes", count_labels(s, k, min_cell));
            break;
        case DATA_REGRESS:
            json_object_set_new(split, "target", describe_target(s, k, min_cell));
            break;
        case DATA_SEGMENT:
            json_object_set_new(split, "classes", count_drawn(s, k, min_cell));
            break;
        }
        json_object_set_new(split, "attributes", describe_attributes(s, k, min_cell));
        json_object_set_new(out, data_split_name((data_split)k), split);
    }
    return out;
}

/* --- problems --- */

static void add_problem(json_t *out, const char *what, const char *where, size_t n)
{
    json_array_append_new(
        out, json_pack("{s:s, s:s, s:I}", "what", what, "where", where, "n", (json_int_t)n));
}

static void check_split_sizes(const data_set *s, json_t *out)
{
    enum { FEW = 20 };  // cases; an AUC of fewer says little
    for (int k = 0; k < DATA_N_SPLITS; k++) {
        const char *name = data_split_name((data_split)k);
        if (s->n_split[k] == 0) {
            add_problem(out, "an empty split", name, 0);
        } else if (s->n_split[k] < FEW) {
            add_problem(out, "a very small split", name, s->n_split[k]);
        }
    }
}

/* Pixels that nobody drew can be right, in every case of a split seldom. */
static void check_masks(const data_set *s, json_t *out)
{
    for (int k = 0; k < DATA_N_SPLITS && s->spec.task == DATA_SEGMENT; k++) {
        size_t n_masks = 0;
        size_t n_empty = 0;
        for (size_t i = 0; i < s->n_split[k]; i++) {
            const uint8_t *mask = s->entries[s->by_split[k][i]].mask;
            size_t at = 0;
            while (mask != NULL && at < data_set_n_pixels(s) && mask[at] == 0) {
                at++;
            }
            n_masks += mask != NULL;
            n_empty += mask != NULL && at == data_set_n_pixels(s);
        }
        if (s->n_split[k] > 0 && n_masks == 0) {
            add_problem(out, "a split without masks", data_split_name((data_split)k),
                        s->n_split[k]);
        } else if (n_empty > 0) {
            add_problem(out, "masks in which nothing is drawn", data_split_name((data_split)k),
                        n_empty);
        }
    }
}

static void check_single_class(const data_set *s, json_t *out)
{
    for (int k = 0; k < DATA_N_SPLITS && s->spec.task == DATA_CLASSIFY; k++) {
        int only = -1;
        bool several = false;
        for (size_t i = 0; i < s->n_split[k]; i++) {
            int code = s->entries[s->by_split[k][i]].code;
            several = several || (code >= 0 && only >= 0 && code != only);
            only = code >= 0 ? code : only;
        }
        if (s->n_split[k] > 0 && !several) {
            add_problem(out, only >= 0 ? "a split with a single class" : "a split without labels",
                        data_split_name((data_split)k), s->n_split[k]);
        }
    }
}

typedef struct {
    const uint8_t *digest;
    int split;
} content;

static int by_digest(const void *a, const void *b)
{
    const content *x = a;
    const content *y = b;
    int order = memcmp(x->digest, y->digest, FL_SHA256_BYTES);
    return order != 0 ? order : x->split - y->split;
}

/* Counts contents that occur in two splits, and repeats within one. */
static void check_duplicates(const data_set *s, json_t *out)
{
    content *all = fl_xcalloc(s->n, sizeof *all);
    size_t across = 0;
    size_t within = 0;

    for (size_t i = 0; i < s->n; i++) {
        all[i] = (content){s->entries[i].input.digest, s->entries[i].split};
    }
    qsort(all, s->n, sizeof *all, by_digest);
    for (size_t i = 1; i < s->n; i++) {
        bool same = memcmp(all[i].digest, all[i - 1].digest, FL_SHA256_BYTES) == 0;
        across += same && all[i].split != all[i - 1].split;
        within += same && all[i].split == all[i - 1].split;
    }
    free(all);
    const char *what = s->features != NULL ? "rows" : "images";
    if (across > 0) {
        add_problem(out, "the same content in two splits", what, across);
    }
    if (within > 0) {
        add_problem(out, "the same content twice in a split", what, within);
    }
}

json_t *data_set_problems(const data_set *s)
{
    json_t *out = json_deep_copy(s->notes);
    check_split_sizes(s, out);
    check_single_class(s, out);
    check_masks(s, out);
    check_duplicates(s, out);
    for (size_t i = 0; i < s->n_refusals; i++) {
        add_problem(out, "left out", s->refusals[i].reason, s->refusals[i].n);
    }
    return out;
}

/* --- digest --- */

static void add_number(fl_sha256 *h, int64_t v)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)((uint64_t)v >> (8 * i));
    }
    fl_sha256_add(h, bytes, sizeof bytes);
}

void data_set_sha256(uint8_t out[static 32], const data_set *s)
{
    fl_sha256 h;
    size_t F = data_set_n_features(s);
    size_t K = s->spec.task == DATA_MULTILABEL ? s->spec.n_classes : 1;
    size_t n_pixels = data_set_n_pixels(s);
    float *x = fl_xcalloc(F, sizeof *x);

    fl_sha256_init(&h);
    add_number(&h, s->spec.task);
    add_number(&h, s->spec.input.rank);
    for (int d = 0; d < s->spec.input.rank; d++) {
        add_number(&h, s->spec.input.dim[d]);
    }
    add_number(&h, (int64_t)s->n);
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        data_set_batch(s, &i, 1, x);
        fl_sha256_add(&h, x, F * sizeof *x);
        add_number(&h, e->split);
        add_number(&h, e->code);
        add_number(&h, e->patient_no);
        if (e->target != NULL) {
            fl_sha256_add(&h, e->target, K * sizeof *e->target);
        }
        if (e->mask != NULL) {
            fl_sha256_add(&h, e->mask, n_pixels);
        }
        for (size_t a = 0; e->masks != NULL && a < s->n_annotators; a++) {
            if (e->masks[a] != NULL) {
                add_number(&h, (int64_t)a);
                fl_sha256_add(&h, e->masks[a], n_pixels);
            }
        }
    }
    fl_sha256_done(&h, out);
    free(x);
}
