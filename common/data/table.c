/*
 * table.c - a CSV of numbers: one row a case
 *
 * Columns that are not label, patient, case, split or dropped are features,
 * in the file's order; coded columns may become columns of 0 and 1.  Missing
 * values are texts ("?", "NA", an empty cell); a number that is not finite is
 * an error.  Features stay in the file's units here; dataset.c standardises,
 * because a union does so over all of its members.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "data/set.h"

typedef struct {
    int column;
    const char *level;  // 1 where the cell is this, else 0; NULL: a number
} table_feature;

typedef struct {
    data_csv csv;
    const data_recipe *r;
    int label, patient, case_id, split;  // columns; -1 = none
    int attribute[DATA_MAX_ATTRIBUTES];
    bool *dropped;   // [column]: is nothing of ours
    bool *complete;  // [row]: misses no value
    table_feature *feature;
    size_t n_features, cap_features;
    data_words *levels;  // [one_hot]: its levels
    data_coding coding;
} table;

static bool is_missing(const table *t, const char *cell)
{
    const data_words *missing = &t->r->table.missing;
    if (cell[0] == '\0') {
        return true;
    }
    for (size_t i = 0; i < missing->n; i++) {
        if (strcmp(missing->item[i], cell) == 0) {
            return true;
        }
    }
    return false;
}

/* --- columns --- */

/* Names from the recipe instead of the file's first row. */
static fl_status set_header(table *t, fl_err *err)
{
    const data_words *header = &t->r->table.header;
    if (header->n == 0) {
        return FL_OK;
    }
    if (header->n != t->csv.n_cols) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: table: header: expected %zu names as %s has columns, found %zu",
                       t->r->name, t->csv.n_cols, t->r->table.file, header->n);
    }
    t->csv.header = fl_xcalloc(header->n, sizeof *t->csv.header);
    for (size_t i = 0; i < header->n; i++) {
        t->csv.header[i] = (char *)(uintptr_t)header->item[i];  // never written
    }
    return FL_OK;
}

static fl_status need_column(int *out, const table *t, const char *name, const char *key,
                             fl_err *err)
{
    *out = data_csv_column(&t->csv, name);
    return *out >= 0 ? FL_OK
                     : fl_fail(err, FL_ECONFIG, "%s: table: %s: %s has no column %s", t->r->name,
                               key, t->r->table.file, name);
}

/* A column the recipe names must be there; one it does not name may be. */
static fl_status find_optional(int *out, const table *t, const char *name, const char *usual,
                               fl_err *err)
{
    if (name != NULL) {
        return need_column(out, t, name, usual, err);
    }
    *out = data_csv_column(&t->csv, usual);
    return FL_OK;
}

static fl_status find_columns(table *t, fl_err *err)
{
    fl_status st;
    const data_table_rule *rule = &t->r->table;
    const data_split_rule *split = &t->r->split;

    if ((st = need_column(&t->label, t, rule->label, "label", err)) != FL_OK ||
        (st = find_optional(&t->patient, t, rule->patient_column, "patient", err)) != FL_OK ||
        (st = find_optional(&t->case_id, t, rule->case_column, "case", err)) != FL_OK) {
        return st;
    }
    bool by_column = split->kind == DATA_SPLIT_COLUMN || split->kind == DATA_SPLIT_DEFAULT;
    t->split = by_column ? data_csv_column(&t->csv, split->column) : -1;

    t->dropped = fl_xcalloc(t->csv.n_cols, sizeof *t->dropped);
    for (size_t i = 0; i < rule->drop.n; i++) {
        int column;
        if ((st = need_column(&column, t, rule->drop.item[i], "drop", err)) != FL_OK) {
            return st;
        }
        t->dropped[column] = true;
    }
    return FL_OK;
}

static bool is_feature(const table *t, int column)
{
    return column != t->label && column != t->patient && column != t->case_id &&
           column != t->split && !t->dropped[column];
}

/* --- rows with missing values --- */

static fl_status find_complete_rows(table *t, fl_err *err)
{
    const data_csv *csv = &t->csv;
    bool stop = t->r->table.rows_with_missing == DATA_MISSING_STOP;

    t->complete = fl_xcalloc(csv->n_rows + 1, sizeof *t->complete);
    for (size_t i = 0; i < csv->n_rows; i++) {
        t->complete[i] = true;
        for (int c = 0; c < (int)csv->n_cols; c++) {
            bool counts = is_feature(t, c) || (c == t->label && !stop);
            if (!counts || !is_missing(t, csv->cell[i][c])) {
                continue;
            }
            if (stop) {
                return fl_fail(
                    err, FL_ECONFIG,
                    "%s:%d: %s: a missing value; rows_with_missing: drop would leave such rows out",
                    t->r->table.file, csv->line[i], csv->header[c]);
            }
            t->complete[i] = false;
        }
    }
    return FL_OK;
}

/* --- features --- */

static void add_feature(table *t, int column, const char *level)
{
    if (t->n_features == t->cap_features) {
        t->cap_features = t->cap_features == 0 ? 32 : 2 * t->cap_features;
        t->feature = fl_xrealloc(t->feature, t->cap_features, sizeof *t->feature);
    }
    t->feature[t->n_features++] = (table_feature){column, level};
}

static int by_value(const void *a, const void *b)
{
    const char *x = *(const char *const *)a;
    const char *y = *(const char *const *)b;
    double u;
    double v;
    if (data_parse_number(&u, x) && data_parse_number(&v, y)) {
        return (u > v) - (u < v);
    }
    return strcmp(x, y);
}

/* The different texts of a column's complete rows, sorted. */
static fl_status find_levels(data_words *out, const table *t, int column, fl_err *err)
{
    enum { MAX_LEVELS = 1024 };
    for (size_t i = 0; i < t->csv.n_rows; i++) {
        const char *cell = t->csv.cell[i][column];
        size_t k = 0;
        while (k < out->n && !data_same_text(out->item[k], cell)) {
            k++;
        }
        if (!t->complete[i] || k < out->n) {
            continue;
        }
        if (out->n == MAX_LEVELS) {
            return fl_fail(err, FL_ELIMIT, "%s: one_hot: %s has more than %d levels", t->r->name,
                           t->csv.header[column], MAX_LEVELS);
        }
        out->item = fl_xrealloc(out->item, out->n + 1, sizeof *out->item);
        out->item[out->n++] = cell;
    }
    if (out->n > 0) {
        qsort(out->item, out->n, sizeof *out->item, by_value);
    }
    return FL_OK;
}

/* Levels of each one-hot column: the recipe's, else those found. */
static fl_status set_levels(table *t, int *column, fl_err *err)
{
    const data_table_rule *rule = &t->r->table;
    for (size_t h = 0; h < rule->n_one_hot; h++) {
        const data_one_hot *hot = &rule->one_hot[h];
        fl_status st = need_column(&column[h], t, hot->column, "one_hot", err);
        if (st != FL_OK) {
            return st;
        }
        if (!is_feature(t, column[h])) {
            return fl_fail(err, FL_ECONFIG, "%s: table: one_hot: %s is no feature", t->r->name,
                           hot->column);
        }
        if (hot->levels.n == 0) {
            st = find_levels(&t->levels[h], t, column[h], err);
        } else {
            t->levels[h].item = fl_xcalloc(hot->levels.n, sizeof *hot->levels.item);
            memcpy(t->levels[h].item, hot->levels.item, hot->levels.n * sizeof *hot->levels.item);
            t->levels[h].n = hot->levels.n;
        }
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

static void add_levels(table *t, int column, const data_words *levels)
{
    for (size_t k = t->r->table.drop_first ? 1 : 0; k < levels->n; k++) {
        add_feature(t, column, levels->item[k]);
    }
}

static fl_status set_features(table *t, fl_err *err)
{
    const data_table_rule *rule = &t->r->table;
    int *column = fl_xcalloc(rule->n_one_hot, sizeof *column);

    t->levels = fl_xcalloc(rule->n_one_hot, sizeof *t->levels);
    fl_status st = set_levels(t, column, err);
    for (int c = 0; c < (int)t->csv.n_cols && st == FL_OK; c++) {
        size_t h = 0;
        while (h < rule->n_one_hot && column[h] != c) {
            h++;
        }
        if (h == rule->n_one_hot && is_feature(t, c)) {
            add_feature(t, c, NULL);
        } else if (h < rule->n_one_hot && !rule->place_last) {
            add_levels(t, c, &t->levels[h]);
        }
    }
    for (size_t h = 0; h < rule->n_one_hot && rule->place_last; h++) {
        if (st == FL_OK) {
            add_levels(t, column[h], &t->levels[h]);
        }
    }
    free(column);
    if (st == FL_OK && t->n_features == 0) {
        st = fl_fail(err, FL_ECONFIG, "%s: no column is left as a feature", rule->file);
    }
    return st;
}

static bool is_known_level(const table *t, int column, const char *cell)
{
    for (size_t h = 0; h < t->r->table.n_one_hot; h++) {
        if (strcmp(t->r->table.one_hot[h].column, t->csv.header[column]) != 0) {
            continue;
        }
        for (size_t k = 0; k < t->levels[h].n; k++) {
            if (data_same_text(t->levels[h].item[k], cell)) {
                return true;
            }
        }
    }
    return false;
}

static fl_status read_features(float *out, const table *t, size_t row, fl_err *err)
{
    for (size_t f = 0; f < t->n_features; f++) {
        const table_feature *feature = &t->feature[f];
        const char *cell = t->csv.cell[row][feature->column];
        const char *name = t->csv.header[feature->column];
        double value;
        if (feature->level != NULL) {
            if (!is_known_level(t, feature->column, cell)) {
                return fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected a level of one_hot, found %s",
                               t->r->table.file, t->csv.line[row], name, cell);
            }
            out[f] = data_same_text(feature->level, cell) ? 1.0f : 0.0f;
            continue;
        }
        if (!data_parse_number(&value, cell) || !isfinite((float)value)) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected a finite number, found %s",
                           t->r->table.file, t->csv.line[row], name, cell);
        }
        out[f] = (float)value;
    }
    return FL_OK;
}

/* --- labels --- */

static bool holds(data_relation relation, double a, double b)
{
    switch (relation) {
    case DATA_LT:
        return a < b;
    case DATA_LE:
        return a <= b;
    case DATA_EQ:
        return a == b;
    case DATA_NE:
        return a != b;
    case DATA_GE:
        return a >= b;
    case DATA_GT:
        return a > b;
    default:
        return false;
    }
}

static fl_status read_label(data_entry *e, const table *t, size_t row, fl_arena *arena, fl_err *err)
{
    const data_table_rule *rule = &t->r->table;
    const char *text = t->csv.cell[row][t->label];
    bool regress = t->coding.spec->task == DATA_REGRESS;
    double value = NAN;

    if (regress) {
        e->target = fl_arena_alloc(arena, 1, sizeof *e->target);
        e->target[0] = NAN;
    }
    if (is_missing(t, text)) {
        return FL_OK;  // unlabelled
    }
    if ((regress || rule->relation != DATA_NO_RULE) && !data_parse_number(&value, text)) {
        return fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected a number, found %s", rule->file,
                       e->line, rule->label, text);
    }
    if (regress) {
        e->target[0] = (float)value;
        return FL_OK;
    }
    if (rule->relation != DATA_NO_RULE) {
        text = holds(rule->relation, value, rule->threshold) ? "1" : "0";
    }
    if (data_coding_label(&e->code, &t->coding, text)) {
        return FL_OK;
    }
    if (data_same_text(text, "-1")) {
        e->code = -1;
        return FL_OK;
    }
    char labels[512];
    data_coding_labels_text(labels, sizeof labels, &t->coding);
    return fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected %s, found %s", rule->file, e->line,
                   rule->label, labels, text);
}

static fl_status init_coding(table *t, data_set *s, const data_spec *expect, fl_err *err)
{
    const char **labels = fl_xcalloc(t->csv.n_rows + 1, sizeof *labels);
    size_t n = 0;
    for (size_t i = 0; i < t->csv.n_rows; i++) {
        const char *text = t->csv.cell[i][t->label];
        if (t->complete[i] && !is_missing(t, text)) {
            labels[n++] = text;
        }
    }
    fl_status st = data_coding_init(&t->coding, &s->spec, t->r, expect, labels, n, err);
    free(labels);
    if (st == FL_OK && s->spec.task == DATA_MULTILABEL) {
        st = fl_fail(err, FL_EUNSUPPORTED, "%s: task multilabel: not from a table", t->r->name);
    }
    return st;
}

/* --- rows --- */

static const char *name_of_row(data_set *s, const table *t, int column, size_t row)
{
    if (column >= 0) {
        return fl_arena_strdup(s->arena, t->csv.cell[row][column]);
    }
    char name[32];
    snprintf(name, sizeof name, "row-%zu", row);
    return fl_arena_strdup(s->arena, name);
}

static fl_status read_row(data_set *s, const table *t, size_t row, float *x, fl_err *err)
{
    fl_status st;
    data_entry *e = data_set_add(s);

    e->row = row;
    e->line = t->csv.line[row];
    e->case_id = name_of_row(s, t, t->case_id, row);
    e->patient = name_of_row(s, t, t->patient, row);
    if ((st = read_features(x, t, row, err)) != FL_OK ||
        (st = read_label(e, t, row, s->arena, err)) != FL_OK) {
        return st;
    }
    e->input = (data_input){.samples = x,
                            .sample = DATA_SAMPLE_F32,
                            .full = 1.0f,
                            .factor = 1.0f,
                            .shape = {1, {(int64_t)t->n_features}}};
    fl_sha256 hash;
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, x, t->n_features * sizeof *x);
    fl_sha256_done(&hash, e->input.digest);
    return data_attributes_read(&e->attributes, s->arena, t->attribute, &s->spec, t->r, &t->csv,
                                row, t->r->table.file, err);
}

static fl_status read_rows(data_set *s, const table *t, fl_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < t->csv.n_rows; i++) {
        n += t->complete[i];
    }
    data_set_refuse(s, "missing value", t->csv.n_rows - n);
    size_t size;
    bool fits = fl_size_mul(&size, n, t->n_features);
    float *x = fits ? fl_calloc(size + 1, sizeof *x, t->r->table.file, err) : NULL;
    if (x == NULL) {
        return fits ? FL_ELIMIT : fl_fail(err, FL_ELIMIT, "%s: too large", t->r->table.file);
    }
    data_set_own(s, x);
    for (size_t i = 0; i < t->csv.n_rows; i++) {
        if (!t->complete[i]) {
            continue;
        }
        fl_status st = read_row(s, t, i, x, err);
        if (st != FL_OK) {
            return st;
        }
        x += t->n_features;
    }
    return FL_OK;
}

static void name_features(data_set *s, const table *t)
{
    s->features = fl_arena_alloc(s->arena, t->n_features, sizeof *s->features);
    for (size_t f = 0; f < t->n_features; f++) {
        const table_feature *feature = &t->feature[f];
        const char *column = t->csv.header[feature->column];
        if (feature->level == NULL) {
            s->features[f] = fl_arena_strdup(s->arena, column);
            continue;
        }
        char *name = fl_xasprintf("%s=%s", column, feature->level);
        s->features[f] = fl_arena_strdup(s->arena, name);
        free(name);
    }
}

/* --- zeros that mean "not measured" --- */

static int by_number(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

/*
 * A measured quantity (many different values) whose smallest non-zero value
 * is far from zero, and yet has zeros: a cholesterol of 0.  Counts and flags
 * have few different values and are left alone.
 */
static bool zeros_look_disguised(const float *sorted, size_t n, size_t n_zero)
{
    enum { MANY = 10 };
    size_t different = n > 0;
    for (size_t i = 1; i < n; i++) {
        different += sorted[i] != sorted[i - 1];
    }
    if (n_zero == 0 || different < MANY) {
        return false;
    }
    return sorted[0] > 0.25f * sorted[n / 2];  // far from 0 for its size
}

static void note_disguised_zeros(data_set *s)
{
    size_t F = (size_t)s->spec.input.dim[0];
    float *positive = fl_xcalloc(s->n, sizeof *positive);

    for (size_t f = 0; f < F; f++) {
        size_t n = 0;
        size_t n_zero = 0;
        bool negative = false;
        for (size_t i = 0; i < s->n; i++) {
            float v = ((const float *)s->entries[i].input.samples)[f];
            negative = negative || v < 0;
            n_zero += v == 0;
            if (v > 0) {
                positive[n++] = v;
            }
        }
        qsort(positive, n, sizeof *positive, by_number);
        if (!negative && zeros_look_disguised(positive, n, n_zero)) {
            data_set_note(s, "zeros that look like missing values", s->features[f], n_zero);
        } else if (s->n > 1 && n == 0 && n_zero == s->n && strchr(s->features[f], '=') == NULL) {
            data_set_note(s, "a column of nothing but zeros", s->features[f], n_zero);
        }
    }
    free(positive);
}

/* --- all together --- */

static fl_status assign_splits(data_set *s, const table *t, fl_err *err)
{
    const char **column = NULL;
    if (t->split >= 0) {
        column = fl_xcalloc(s->n, sizeof *column);
        for (size_t i = 0; i < s->n; i++) {
            column[i] = t->csv.cell[s->entries[i].row][t->split];
        }
    }
    fl_status st = data_split_assign(s, &t->r->split, t->r->table.file, column, err);
    free(column);
    return st == FL_OK ? data_split_check(s, t->r->table.file, err) : st;
}

static fl_status check_n_features(const table *t, const data_spec *spec, fl_err *err)
{
    if (spec->input.rank == 0 ||
        (spec->input.rank == 1 && spec->input.dim[0] == (int64_t)t->n_features)) {
        return FL_OK;
    }
    char theirs[128];
    nn_shape_text(theirs, sizeof theirs, &spec->input);
    return fl_fail(err, FL_ECONFIG,
                   "%s: input: the job has %s; this table has %zu features (one_hot with levels "
                   "written out gives every site the same columns)",
                   t->r->name, theirs, t->n_features);
}

static fl_status load(data_set *s, table *t, const data_spec *expect, fl_err *err)
{
    fl_status st;

    if ((st = set_header(t, err)) != FL_OK || (st = find_columns(t, err)) != FL_OK ||
        (st = find_complete_rows(t, err)) != FL_OK || (st = set_features(t, err)) != FL_OK ||
        (st = init_coding(t, s, expect, err)) != FL_OK ||
        (st = check_n_features(t, &s->spec, err)) != FL_OK ||
        (st = data_attributes_find(t->attribute, &s->spec, t->r, expect, &t->csv, err)) != FL_OK ||
        (st = read_rows(s, t, err)) != FL_OK || (st = assign_splits(s, t, err)) != FL_OK) {
        return st;
    }
    s->n_files = 1;
    s->n_rows = t->csv.n_rows;
    s->standardise = t->r->table.standardise;
    s->spec.input = (nn_shape){1, {(int64_t)t->n_features}};
    name_features(s, t);
    note_disguised_zeros(s);
    return FL_OK;
}

fl_status data_table_load(data_set *s, const data_recipe *r, const data_spec *expect, fl_err *err)
{
    table t = {.r = r};
    bool has_header = r->table.header.n == 0;

    fl_status st = data_csv_read(&t.csv, r->table.file, has_header, err);
    if (st == FL_OK) {
        st = load(s, &t, expect, err);
    }
    for (size_t h = 0; t.levels != NULL && h < r->table.n_one_hot; h++) {
        free(t.levels[h].item);
    }
    free(t.levels);
    free(t.feature);
    free(t.complete);
    free(t.dropped);
    data_coding_clear(&t.coding);
    data_csv_clear(&t.csv);
    return st;
}
