/*
 * labels.c - see labels.h
 */
#include "data/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/coding.h"

static int find(const data_labels *l, const char *name, size_t length)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strlen(l->name[i]) == length && memcmp(l->name[i], name, length) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static fl_status add(data_labels *l, const char *name, int column, fl_err *err)
{
    if (l->n == DATA_MAX_FINDINGS || strlen(name) >= DATA_NAME_BYTES) {
        return fl_fail(err, FL_ELIMIT, "%s:1: more than %d labels, or a name of more than %d bytes",
                       l->file, DATA_MAX_FINDINGS, DATA_NAME_BYTES - 1);
    }
    l->name[l->n] = name;
    l->column[l->n] = column;
    l->whole[l->n] = -1;
    l->n++;
    return FL_OK;
}

/* Columns label:NAME. */
static fl_status find_columns(data_labels *l, const data_csv *t, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < t->n_cols && st == FL_OK; i++) {
        if (strncmp(t->header[i], "label:", 6) == 0) {
            st = add(l, t->header[i] + 6, (int)i, err);
        }
    }
    return st;
}

/* The next of "A|B", without blanks around it; NULL at the end. */
static const char *next_item(size_t *n, const char **at)
{
    if (*at == NULL) {
        return NULL;
    }
    const char *from = *at + strspn(*at, " ");
    const char *bar = strchr(from, '|');
    *n = bar != NULL ? (size_t)(bar - from) : strlen(from);
    while (*n > 0 && from[*n - 1] == ' ') {
        (*n)--;
    }
    *at = bar != NULL ? bar + 1 : NULL;
    return from;
}

static bool is_no_finding(const data_labels *l, const char *item, size_t n)
{
    return strlen(l->r->no_finding) == n && memcmp(l->r->no_finding, item, n) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Without anybody's classes those of the lists are, in alphabetical order. */
static fl_status classes_from_lists(data_labels *l, data_spec *spec, const data_csv *t, fl_err *err)
{
    fl_status st = FL_OK;
    const char *names[DATA_MAX_CLASSES];
    size_t n_names = 0;
    char *copies[DATA_MAX_CLASSES];

    for (size_t row = 0; row < t->n_rows && st == FL_OK; row++) {
        const char *at = t->cell[row][l->list];
        size_t n;
        for (const char *item; st == FL_OK && (item = next_item(&n, &at)) != NULL;) {
            bool known = n == 0 || is_no_finding(l, item, n);
            for (size_t i = 0; i < n_names && !known; i++) {
                known = strlen(names[i]) == n && memcmp(names[i], item, n) == 0;
            }
            if (!known && (n_names == DATA_MAX_CLASSES || n >= DATA_NAME_BYTES)) {
                st = fl_fail(err, FL_ECONFIG,
                             "%s:%d: label: more than %d different findings; name them with "
                             "classes: {name: name}",
                             l->file, t->line[row], DATA_MAX_CLASSES);
            } else if (!known) {
                copies[n_names] = fl_xstrndup(item, n);
                names[n_names] = copies[n_names];
                n_names++;
            }
        }
    }
    qsort(names, n_names, sizeof *names, by_name);
    for (size_t i = 0; i < n_names; i++) {
        strcpy(spec->classes[i], names[i]);
    }
    spec->n_classes = n_names;
    for (size_t i = 0; i < n_names; i++) {
        free(copies[i]);
    }
    return st;
}

static fl_status find_list(data_labels *l, data_spec *spec, const data_csv *t, fl_err *err)
{
    fl_status st = FL_OK;

    l->list = data_csv_column(t, "label");
    if (l->list < 0) {
        return fl_fail(err, FL_ECONFIG,
                       "%s:1: task multilabel: there is no column label:NAME, and no column label "
                       "with lists such as A|B",
                       l->file);
    }
    if (spec->n_classes == 0 && (st = classes_from_lists(l, spec, t, err)) != FL_OK) {
        return st;
    }
    for (size_t k = 0; k < spec->n_classes && st == FL_OK; k++) {
        st = add(l, spec->classes[k], -1, err);
    }
    /* findings that this hospital knows and the job does not ask for */
    for (size_t k = 0; k < l->r->n_classes && st == FL_OK; k++) {
        const char *name = l->r->classes[k].name;
        st = find(l, name, strlen(name)) < 0 ? add(l, name, -1, err) : FL_OK;
    }
    return st;
}

static fl_status set_classes(data_labels *l, data_spec *spec, fl_err *err)
{
    if (spec->n_classes == 0) {
        for (size_t i = 0; i < l->n && i < DATA_MAX_CLASSES; i++) {
            strcpy(spec->classes[spec->n_classes++], l->name[i]);
        }
    }
    if (spec->n_classes == 0) {
        return fl_fail(err, FL_ECONFIG, "%s:1: task multilabel: there is no finding", l->file);
    }
    l->n_classes = spec->n_classes;
    for (size_t k = 0; k < spec->n_classes; k++) {
        int i = find(l, spec->classes[k], strlen(spec->classes[k]));
        if (i < 0) {
            return fl_fail(err, FL_ECONFIG, "%s:1: there is no column label:%s", l->file,
                           spec->classes[k]);
        }
        l->of_class[k] = (size_t)i;
    }
    return FL_OK;
}

/* A whole and its part must both be here; what is not is no matter. */
static fl_status set_wholes(data_labels *l, fl_err *err)
{
    for (size_t p = 0; p < l->r->n_parents; p++) {
        const data_parent *rule = &l->r->parents[p];
        int part = find(l, rule->part, strlen(rule->part));
        int whole = find(l, rule->whole, strlen(rule->whole));
        if (part < 0 || whole < 0) {
            continue;
        }
        for (int up = whole; up >= 0; up = l->whole[up]) {
            if (up == part) {
                return fl_fail(err, FL_ECONFIG, "%s: parents: %s would be a part of itself",
                               l->r->name, rule->part);
            }
        }
        l->whole[part] = whole;
    }
    return FL_OK;
}

fl_status data_labels_find(data_labels *out, data_spec *spec, const data_recipe *r,
                           const data_csv *table, const char *file, fl_err *err)
{
    fl_status st;

    *out = (data_labels){.r = r, .file = file, .list = -1};
    if ((st = find_columns(out, table, err)) != FL_OK ||
        (out->n == 0 && (st = find_list(out, spec, table, err)) != FL_OK) ||
        (st = set_classes(out, spec, err)) != FL_OK) {
        return st;
    }
    return set_wholes(out, err);
}

/* --- a row --- */

static fl_status read_cell(float *out, const data_labels *l, size_t i, const char *text, int line,
                           fl_err *err)
{
    static const float uncertain[] = {NAN, 1.0f, 0.0f};
    if (text[0] == '\0') {
        *out = l->r->unmentioned_is_absent ? 0.0f : NAN;
    } else if (data_same_text(text, "-1")) {
        *out = uncertain[l->r->uncertain];
    } else if (data_same_text(text, "0") || data_same_text(text, "1")) {
        *out = data_same_text(text, "1") ? 1.0f : 0.0f;
    } else {
        return fl_fail(err, FL_ECONFIG, "%s:%d: label:%s: expected 0, 1, -1 or nothing, found %s",
                       l->file, line, l->name[i], text);
    }
    return FL_OK;
}

static fl_status read_list(float *value, const data_labels *l, const char *text, int line,
                           fl_err *err)
{
    size_t n;
    const char *at = text;
    bool unlabelled = text[0] == '\0' || data_same_text(text, "-1");

    for (size_t i = 0; i < l->n; i++) {
        value[i] = unlabelled ? NAN : 0.0f;
    }
    for (const char *item; !unlabelled && (item = next_item(&n, &at)) != NULL;) {
        int i = find(l, item, n);
        if (i < 0 && !is_no_finding(l, item, n)) {
            return fl_fail(err, FL_ECONFIG,
                           "%s:%d: label: %.*s is no finding that classes names, nor %s", l->file,
                           line, (int)n, item, l->r->no_finding);
        }
        if (i >= 0) {
            value[i] = 1.0f;
        }
    }
    return FL_OK;
}

static void follow_wholes(float *value, data_labels *l)
{
    for (size_t i = 0; i < l->n; i++) {
        for (int up = l->whole[i]; value[i] == 1.0f && up >= 0; up = l->whole[up]) {
            /* in a list an unnamed whole is no contradiction */
            l->n_contradictions += l->list < 0 && value[up] == 0.0f;
            value[up] = 1.0f;
        }
    }
    for (size_t i = 0; i < l->n; i++) {
        for (int up = l->whole[i]; isnan(value[i]) && up >= 0; up = l->whole[up]) {
            value[i] = value[up] == 0.0f ? 0.0f : value[i];
        }
    }
}

fl_status data_labels_read(float *target, data_labels *l, const data_csv *table, size_t row,
                           fl_err *err)
{
    float value[DATA_MAX_FINDINGS];
    fl_status st = FL_OK;

    if (l->list >= 0) {
        st = read_list(value, l, table->cell[row][l->list], table->line[row], err);
    }
    for (size_t i = 0; i < l->n && l->list < 0 && st == FL_OK; i++) {
        st = read_cell(&value[i], l, i, table->cell[row][l->column[i]], table->line[row], err);
    }
    if (st != FL_OK) {
        return st;
    }
    follow_wholes(value, l);
    for (size_t k = 0; k < l->n_classes; k++) {
        target[k] = value[l->of_class[k]];
    }
    return FL_OK;
}
