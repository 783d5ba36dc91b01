/*
 * coding.c - labels and attributes become codes
 */
#include "data/coding.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

bool data_parse_number(double *out, const char *text)
{
    char *end;
    if (*text == '\0' || strspn(text, "+-.eE0123456789") != strlen(text)) {  // no nan, inf, 0x
        return false;
    }
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

bool data_same_text(const char *a, const char *b)
{
    double x;
    double y;
    return strcmp(a, b) == 0 || (data_parse_number(&x, a) && data_parse_number(&y, b) && x == y);
}

/* --- classes --- */

static int find_class(const data_spec *spec, const char *name)
{
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], name) == 0) {
            return (int)k;
        }
    }
    return -1;
}

static void add_code(data_coding *c, const char *text, int code)
{
    c->codes = fl_xrealloc(c->codes, c->n_codes + 1, sizeof *c->codes);
    c->codes[c->n_codes++] = (data_code){text, code};
}

static void list_classes(fl_buf *out, const data_spec *spec)
{
    for (size_t k = 0; k < spec->n_classes; k++) {
        fl_buf_printf(out, "%s%s", k == 0 ? "" : ", ", spec->classes[k]);
    }
}

/* The recipe's classes are those of spec, whatever their order. */
static fl_status check_classes(const data_spec *spec, const data_recipe *r, fl_err *err)
{
    bool same = r->n_classes == spec->n_classes;
    for (size_t k = 0; k < r->n_classes && same; k++) {
        same = find_class(spec, r->classes[k].name) >= 0;
    }
    if (same) {
        return FL_OK;
    }
    fl_buf ours = FL_BUF_INIT;
    fl_buf theirs = FL_BUF_INIT;
    list_classes(&theirs, spec);
    for (size_t k = 0; k < r->n_classes; k++) {
        fl_buf_printf(&ours, "%s%s", k == 0 ? "" : ", ", r->classes[k].name);
    }
    fl_status st = fl_fail(err, FL_ECONFIG, "%s: classes: the job has %s; this data set has %s",
                           r->name, theirs.data, ours.data);
    fl_buf_clear(&ours);
    fl_buf_clear(&theirs);
    return st;
}

static int by_value(const void *a, const void *b)
{
    const char *x = *(const char *const *)a;
    const char *y = *(const char *const *)b;
    double u;
    double v;
    if (data_parse_number(&u, x) && data_parse_number(&v, y) && u != v) {
        return u < v ? -1 : 1;
    }
    return strcmp(x, y);
}

/* Without names from anybody, the labels are the names. */
static fl_status classes_from_labels(data_spec *spec, const data_recipe *r,
                                     const char *const *labels, size_t n, fl_err *err)
{
    fl_status st = FL_OK;
    const char **sorted = fl_xcalloc(n, sizeof *sorted);

    memcpy(sorted, labels, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        bool unlabelled = sorted[i][0] == '\0' || strcmp(sorted[i], "-1") == 0;
        if (unlabelled || (i > 0 && data_same_text(sorted[i], sorted[i - 1]))) {
            continue;
        }
        if (spec->n_classes == DATA_MAX_CLASSES || strlen(sorted[i]) >= DATA_NAME_BYTES) {
            st = fl_fail(err, FL_ECONFIG,
                         "%s: labels look like no classes: expected at most %d different ones; "
                         "name them with classes: {name: code}",
                         r->name, DATA_MAX_CLASSES);
            continue;
        }
        strcpy(spec->classes[spec->n_classes++], sorted[i]);
    }
    free(sorted);
    return st;
}

static fl_status set_positive(data_spec *spec, const data_recipe *r, const data_spec *expect,
                              fl_err *err)
{
    if (expect != NULL) {
        return FL_OK;  // the job's
    }
    spec->positive = -1;
    if (r->positive != NULL) {
        spec->positive = find_class(spec, r->positive);
        if (spec->positive < 0) {
            return fl_fail(err, FL_ECONFIG, "%s: positive: %s is none of the classes", r->name,
                           r->positive);
        }
    } else if (r->table.relation != DATA_NO_RULE && spec->n_classes == 2) {
        spec->positive = 1;
    }
    return FL_OK;
}

static fl_status set_classes(data_coding *c, data_spec *spec, const char *const *labels, size_t n,
                             fl_err *err)
{
    fl_status st = FL_OK;
    const data_recipe *r = c->recipe;
    bool by_rule = r->table.relation != DATA_NO_RULE;

    if (r->n_classes > 0 && spec->n_classes > 0) {
        st = check_classes(spec, r, err);
    } else if (r->n_classes > 0) {
        for (size_t k = 0; k < r->n_classes; k++) {
            strcpy(spec->classes[k], r->classes[k].name);  // checked: fits
        }
        spec->n_classes = r->n_classes;
    } else if (spec->n_classes == 0 && by_rule) {
        strcpy(spec->classes[0], "negative");
        strcpy(spec->classes[1], "positive");
        spec->n_classes = 2;
    } else if (spec->n_classes == 0 && spec->task == DATA_CLASSIFY) {
        st = classes_from_labels(spec, r, labels, n, err);
    } else if (spec->n_classes == 0 && spec->task == DATA_SEGMENT) {
        strcpy(spec->classes[0], "background");
        strcpy(spec->classes[1], "foreground");
        spec->n_classes = 2;
    }
    if (st == FL_OK && spec->task == DATA_SEGMENT && spec->n_classes < 2) {
        st = fl_fail(err, FL_ECONFIG,
                     "%s: classes: task segment needs two or more, the background first; found "
                     "%zu", r->name, spec->n_classes);
    }
    return st;
}

/* How the files may write each class. */
static void set_codes(data_coding *c)
{
    const data_recipe *r = c->recipe;
    for (size_t k = 0; k < r->n_classes; k++) {
        int code = find_class(c->spec, r->classes[k].name);
        for (size_t i = 0; i < r->classes[k].texts.n; i++) {
            add_code(c, r->classes[k].texts.item[i], code);
        }
    }
    if (r->n_classes > 0) {
        return;
    }
    for (size_t k = 0; k < c->spec->n_classes; k++) {
        add_code(c, c->spec->classes[k], (int)k);
    }
    if (r->table.relation != DATA_NO_RULE && c->spec->n_classes == 2) {
        int positive = c->spec->positive >= 0 ? c->spec->positive : 1;
        c->n_codes = 0;
        add_code(c, "1", positive);
        add_code(c, "0", 1 - positive);
        return;
    }
    c->by_number = true;
}

fl_status data_coding_init(data_coding *out, data_spec *spec, const data_recipe *r,
                           const data_spec *expect, const char *const *labels, size_t n,
                           fl_err *err)
{
    fl_status st;

    *out = (data_coding){.spec = spec, .recipe = r};
    *spec = expect != NULL ? *expect : (data_spec){.positive = -1};
    if (expect == NULL && r->has_task) {
        spec->task = r->task;
    }
    if (expect != NULL && r->has_task && r->task != expect->task) {
        return fl_fail(err, FL_ECONFIG, "%s: task: the job has %s; this data set has %s", r->name,
                       data_task_name(expect->task), data_task_name(r->task));
    }
    if (spec->task == DATA_SEGMENT && r->origin != DATA_FROM_MANIFEST) {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: task segment: masks come with a manifest",
                       r->name);
    }
    if (r->table.relation != DATA_NO_RULE && spec->n_classes > 2) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: table: label: positive makes two classes; the job has %zu", r->name,
                       spec->n_classes);
    }
    if ((st = set_classes(out, spec, labels, n, err)) != FL_OK ||
        (st = set_positive(spec, r, expect, err)) != FL_OK) {
        return st;
    }
    set_codes(out);
    return FL_OK;
}

void data_coding_clear(data_coding *c)
{
    free(c->codes);
    *c = (data_coding){0};
}

bool data_coding_label(int *code, const data_coding *c, const char *text)
{
    double number;
    for (size_t i = 0; i < c->n_codes; i++) {
        if (data_same_text(c->codes[i].text, text)) {
            *code = c->codes[i].code;
            return true;
        }
    }
    if (c->by_number && data_parse_number(&number, text) && number >= 0 &&
        number < (double)c->spec->n_classes && floor(number) == number) {
        *code = (int)number;
        return true;
    }
    return false;
}

void data_coding_labels_text(char *out, size_t n, const data_coding *c)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->n_codes && at < n; i++) {
        const char *join = i == 0 ? "" : i + 1 == c->n_codes ? " or " : ", ";
        int wrote = snprintf(out + at, n - at, "%s%s", join, c->codes[i].text);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    if (c->by_number && at < n) {
        snprintf(out + at, n - at, " (or 0 to %zu)", c->spec->n_classes - 1);
    }
}

/* --- attributes --- */

static const data_attribute_rule *find_rule(const data_recipe *r, const char *name)
{
    for (size_t i = 0; i < r->n_attributes; i++) {
        if (strcmp(r->attributes[i].name, name) == 0) {
            return &r->attributes[i];
        }
    }
    return NULL;
}

/* The job's way of writing a cell. */
static const char *recode(const data_recipe *r, const char *name, const char *cell)
{
    const data_attribute_rule *rule = find_rule(r, name);
    for (size_t i = 0; rule != NULL && i < rule->n_values; i++) {
        const data_naming *value = &rule->values[i];
        for (size_t j = 0; j < value->texts.n; j++) {
            if (data_same_text(value->texts.item[j], cell)) {
                return value->name;
            }
        }
    }
    return cell;
}

static bool is_unknown(const data_recipe *r, const char *cell)
{
    if (cell[0] == '\0') {
        return true;
    }
    for (size_t i = 0; i < r->table.missing.n; i++) {
        if (strcmp(r->table.missing.item[i], cell) == 0) {
            return true;
        }
    }
    return false;
}

static int by_code(const void *a, const void *b)
{
    return strcmp(a, b);
}

void data_attribute_guess(data_attribute *a, const char *const *texts, size_t n)
{
    bool numbers = true;
    bool few = true;

    a->n_codes = 0;
    for (size_t i = 0; i < n; i++) {
        double ignored;
        if (texts[i][0] == '\0') {
            continue;
        }
        numbers = numbers && data_parse_number(&ignored, texts[i]);
        size_t k = 0;
        while (k < a->n_codes && strcmp(a->codes[k], texts[i]) != 0) {
            k++;
        }
        if (k < a->n_codes) {
            continue;
        }
        if (k == DATA_MAX_CODES || strlen(texts[i]) >= DATA_NAME_BYTES) {
            few = false;
        } else if (few) {
            strcpy(a->codes[a->n_codes++], texts[i]);
        }
    }
    a->kind = numbers ? DATA_ATTR_NUMBER : few ? DATA_ATTR_CODES : DATA_ATTR_TEXT;
    if (a->kind != DATA_ATTR_CODES) {
        memset(a->codes, 0, sizeof a->codes);
        a->n_codes = 0;
        return;
    }
    qsort(a->codes, a->n_codes, sizeof a->codes[0], by_code);
}

fl_status data_attributes_find(int column[static DATA_MAX_ATTRIBUTES], data_spec *spec,
                               const data_recipe *r, const data_spec *expect, const data_csv *table,
                               fl_err *err)
{
    if (expect == NULL) {
        spec->n_attributes = r->n_attributes;
        for (size_t i = 0; i < r->n_attributes; i++) {
            spec->attributes[i] = (data_attribute){.kind = DATA_ATTR_TEXT};
            strcpy(spec->attributes[i].name, r->attributes[i].name);
        }
    }
    for (size_t i = 0; i < spec->n_attributes; i++) {
        data_attribute *a = &spec->attributes[i];
        const data_attribute_rule *rule = find_rule(r, a->name);
        const char *name = rule != NULL ? rule->column : a->name;
        column[i] = table != NULL ? data_csv_column(table, name) : -1;
        if (column[i] < 0 && rule == NULL) {
            return fl_fail(err, FL_ECONFIG,
                           "%s: attributes: the job asks for %s; this data set does not say which "
                           "column it is",
                           r->name, a->name);
        }
        if (column[i] < 0) {
            return fl_fail(err, FL_ECONFIG, "%s: attributes: %s: there is no column %s", r->name,
                           a->name, name);
        }
    }
    return FL_OK;
}

static fl_status check_attribute(const data_attribute *a, const char *cell, const char *file,
                                 int line, fl_err *err)
{
    double number;
    if (a->kind == DATA_ATTR_NUMBER && !data_parse_number(&number, cell)) {
        return fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected a number%s%s, found %s", file, line,
                       a->name, a->unit[0] != '\0' ? " of " : "", a->unit, cell);
    }
    if (a->kind != DATA_ATTR_CODES) {
        return FL_OK;
    }
    fl_buf codes = FL_BUF_INIT;
    bool known = false;
    for (size_t k = 0; k < a->n_codes; k++) {
        known = known || strcmp(a->codes[k], cell) == 0;
        fl_buf_printf(&codes, "%s%s", k == 0 ? "" : ", ", a->codes[k]);
    }
    fl_status st = known ? FL_OK
                         : fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected one of %s, found %s", file,
                                   line, a->name, codes.data, cell);
    fl_buf_clear(&codes);
    return st;
}

fl_status data_attributes_read(const char ***out, fl_arena *arena,
                               const int column[static DATA_MAX_ATTRIBUTES], const data_spec *spec,
                               const data_recipe *r, const data_csv *table, size_t row,
                               const char *file, fl_err *err)
{
    *out = fl_arena_alloc(arena, spec->n_attributes + 1, sizeof **out);
    for (size_t i = 0; i < spec->n_attributes; i++) {
        const char *cell = table->cell[row][column[i]];
        (*out)[i] = "";
        if (is_unknown(r, cell)) {
            continue;
        }
        cell = recode(r, spec->attributes[i].name, cell);
        fl_status st = check_attribute(&spec->attributes[i], cell, file, table->line[row], err);
        if (st != FL_OK) {
            return st;
        }
        (*out)[i] = fl_arena_strdup(arena, cell);
    }
    return FL_OK;
}
