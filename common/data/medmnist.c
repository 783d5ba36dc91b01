/*
 * medmnist.c - {train,val,test}_{images,labels} in one .npz
 *
 * The layout of MedMNIST v2 (Yang et al. 2023): images (N, H, W), (N, H, W, 3)
 * or volumes (N, D, H, W), labels (N, 1) or, multilabel, (N, K).  A rows.csv
 * beside it may pick the rows that are one hospital's, so that a public set
 * can be dealt out to many without copying pixels.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "data/medmnist.h"

typedef struct {
    const data_recipe *r;
    const data_array *images[DATA_N_SPLITS];  // described; NULL: no such split
    const data_array *labels[DATA_N_SPLITS];
    data_csv rows;  // rows.csv, or empty
    bool has_rows;
    int attribute[DATA_MAX_ATTRIBUTES];
    int patient, new_split, label;  // columns of rows; -1 = none
    data_npz_row *row;              // [entry]
    data_coding coding;
} archive;

static const data_array *find(const data_npz *npz, data_split split, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%s_%s", data_split_name(split), what);
    return data_npz_find(npz, name);
}

static fl_status check_arrays(const archive *a, data_split split, const data_array *first,
                              fl_err *err)
{
    const data_array *images = a->images[split];
    const data_array *labels = a->labels[split];
    const char *name = data_split_name(split);

    if (labels == NULL) {
        return fl_fail(err, FL_EFORMAT, "%s: %s_images without %s_labels", a->r->npz, name, name);
    }
    if (images->rank < 3 || images->rank > 4) {
        return fl_fail(
            err, FL_EFORMAT,
            "%s: %s_images: expected (N, H, W), (N, H, W, 3) or (N, D, H, W), found %d dimensions",
            a->r->npz, name, images->rank);
    }
    if (labels->rank < 1 || labels->rank > 2 || labels->dim[0] != images->dim[0]) {
        return fl_fail(err, FL_EFORMAT, "%s: %s_labels: expected a row for each of %lld images",
                       a->r->npz, name, (long long)images->dim[0]);
    }
    if (data_array_count(labels) < (size_t)labels->dim[0]) {
        return fl_fail(err, FL_EFORMAT, "%s: %s_labels: there are no columns", a->r->npz, name);
    }
    data_array as_first = *images;
    as_first.dim[0] = first->dim[0];
    return data_array_is_alike(&as_first, first)
               ? FL_OK
               : fl_fail(err, FL_EFORMAT, "%s: %s_images: another shape or type than those before",
                         a->r->npz, name);
}

static fl_status find_arrays(archive *a, const data_npz *npz, fl_err *err)
{
    const data_array *first = NULL;
    for (int i = 0; i < DATA_N_SPLITS; i++) {
        data_split split = (data_split)i;
        a->images[i] = find(npz, split, "images");
        a->labels[i] = find(npz, split, "labels");
        if (a->images[i] == NULL) {
            continue;
        }
        first = first == NULL ? a->images[i] : first;
        fl_status st = check_arrays(a, split, first, err);
        if (st != FL_OK) {
            return st;
        }
    }
    return first != NULL
               ? FL_OK
               : fl_fail(
                     err, FL_EFORMAT,
                     "%s: expected arrays train_images, train_labels and so on; they are not there",
                     a->r->npz);
}

/* --- which rows --- */

static fl_status all_rows(data_set *s, archive *a)
{
    size_t n = 0;
    for (int i = 0; i < DATA_N_SPLITS; i++) {
        n += a->images[i] != NULL ? (size_t)a->images[i]->dim[0] : 0;
    }
    a->row = fl_xcalloc(n + 1, sizeof *a->row);
    for (int i = 0; i < DATA_N_SPLITS; i++) {
        size_t count = a->images[i] != NULL ? (size_t)a->images[i]->dim[0] : 0;
        for (size_t k = 0; k < count; k++) {
            a->row[s->n] = (data_npz_row){(data_split)i, k};
            data_set_add(s);
        }
    }
    return FL_OK;
}

static fl_status find_row(data_npz_row *out, const archive *a, size_t i, int split_column,
                          int index_column, fl_err *err)
{
    char *const *cell = a->rows.cell[i];
    double index;

    if (!data_split_parse(&out->split, cell[split_column]) || a->images[out->split] == NULL) {
        return fl_fail(err, FL_ECONFIG,
                       "%s:%d: split: expected train, val or test as in the archive, found %s",
                       a->r->rows, a->rows.line[i], cell[split_column]);
    }
    int64_t n = a->images[out->split]->dim[0];
    if (!data_parse_number(&index, cell[index_column]) || index < 0 || index >= (double)n ||
        floor(index) != index) {
        return fl_fail(err, FL_ECONFIG, "%s:%d: index: expected 0 to %lld, found %s", a->r->rows,
                       a->rows.line[i], (long long)n - 1, cell[index_column]);
    }
    out->index = (size_t)index;
    return FL_OK;
}

static fl_status chosen_rows(data_set *s, archive *a, fl_err *err)
{
    int split = data_csv_column(&a->rows, "split");
    int index = data_csv_column(&a->rows, "index");

    if (split < 0 || index < 0) {
        return fl_fail(err, FL_ECONFIG, "%s:1: there is no column %s", a->r->rows,
                       split < 0 ? "split" : "index");
    }
    a->patient = data_csv_column(&a->rows, "patient");
    a->new_split = data_csv_column(&a->rows, "new_split");
    a->label = data_csv_column(&a->rows, "label");
    a->row = fl_xcalloc(a->rows.n_rows + 1, sizeof *a->row);
    for (size_t i = 0; i < a->rows.n_rows; i++) {
        data_entry *e = data_set_add(s);
        e->row = i;
        e->line = a->rows.line[i];
        fl_status st = find_row(&a->row[i], a, i, split, index, err);
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

/* --- labels --- */

static fl_status bad_label(const archive *a, const data_npz_row *row, const char *text, fl_err *err)
{
    char labels[512];
    data_coding_labels_text(labels, sizeof labels, &a->coding);
    return fl_fail(err, FL_ECONFIG, "%s: %s_labels: row %zu: expected %s, found %s", a->r->npz,
                   data_split_name(row->split), row->index, labels, text);
}

/* K values of a row; text of the first for codes. */
static void label_text(char out[static 32], const archive *a, const data_npz_row *row)
{
    const data_array *labels = a->labels[row->split];
    size_t K = data_array_count(labels) / (size_t)labels->dim[0];
    snprintf(out, 32, "%.17g", data_array_at(labels, row->index * K));
}

static fl_status read_targets(data_entry *e, const archive *a, const data_npz_row *row, data_set *s,
                              fl_err *err)
{
    const data_array *labels = a->labels[row->split];
    size_t K = data_array_count(labels) / (size_t)labels->dim[0];
    size_t wants = s->spec.task == DATA_REGRESS ? 1 : s->spec.n_classes;

    if (K != wants) {
        return fl_fail(err, FL_ECONFIG, "%s: %s_labels: expected %zu columns, found %zu", a->r->npz,
                       data_split_name(row->split), wants, K);
    }
    e->target = fl_arena_alloc(s->arena, K, sizeof *e->target);
    for (size_t k = 0; k < K; k++) {
        double v = data_array_at(labels, row->index * K + k);
        if (s->spec.task == DATA_MULTILABEL && v != 0 && v != 1) {
            char text[32];
            snprintf(text, sizeof text, "%g", v);
            return fl_fail(err, FL_ECONFIG, "%s: %s_labels: row %zu: expected 0 or 1, found %s",
                           a->r->npz, data_split_name(row->split), row->index, text);
        }
        e->target[k] = (float)v;
    }
    return FL_OK;
}

static fl_status read_label(data_entry *e, const archive *a, const data_npz_row *row, data_set *s,
                            fl_err *err)
{
    char text[32];

    if (s->spec.task != DATA_CLASSIFY) {
        return read_targets(e, a, row, s, err);
    }
    const data_array *labels = a->labels[row->split];
    if (data_array_count(labels) != (size_t)labels->dim[0]) {
        return fl_fail(err, FL_ECONFIG, "%s: %s_labels: task classify needs one label an image",
                       a->r->npz, data_split_name(row->split));
    }
    label_text(text, a, row);
    if (a->label >= 0) {
        const char *cell = a->rows.cell[e->row][a->label];
        if (cell[0] == '\0') {
            return FL_OK;  // unlabelled here
        }
        snprintf(text, sizeof text, "%s", cell);
    }
    if (data_coding_label(&e->code, &a->coding, text)) {
        return FL_OK;
    }
    if (data_same_text(text, "-1")) {
        e->code = -1;
        return FL_OK;
    }
    if (a->label >= 0) {
        char names[512];
        data_coding_labels_text(names, sizeof names, &a->coding);
        return fl_fail(err, FL_ECONFIG, "%s:%d: label: expected %s, found %s", a->r->rows, e->line,
                       names, text);
    }
    return bad_label(a, row, text, err);
}

/* All labels of the archive, for naming the classes. */
static fl_status init_coding(archive *a, data_set *s, const data_spec *expect, fl_err *err)
{
    char(*text)[32] = fl_xcalloc(s->n + 1, sizeof *text);
    const char **labels = fl_xcalloc(s->n + 1, sizeof *labels);
    for (size_t i = 0; i < s->n; i++) {
        label_text(text[i], a, &a->row[i]);
        labels[i] = text[i];
    }
    fl_status st = data_coding_init(&a->coding, &s->spec, a->r, expect, labels, s->n, err);
    free(labels);
    free(text);
    if (st == FL_OK && s->spec.task == DATA_MULTILABEL && s->spec.n_classes == 0) {
        st = fl_fail(err, FL_ECONFIG, "%s: task multilabel: classes must be named", a->r->name);
    }
    return st;
}

/* --- all together --- */

static fl_status describe_cases(data_set *s, archive *a, fl_err *err)
{
    const char **split = fl_xcalloc(s->n + 1, sizeof *split);
    const char *file = a->has_rows ? a->r->rows : a->r->npz;
    fl_status st = FL_OK;

    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        data_entry *e = &s->entries[i];
        const data_npz_row *row = &a->row[i];
        char name[48];
        snprintf(name, sizeof name, "%s-%zu", data_split_name(row->split), row->index);
        e->case_id = fl_arena_strdup(s->arena, name);
        e->patient = a->patient < 0 ? e->case_id
                                    : fl_arena_strdup(s->arena, a->rows.cell[i][a->patient]);
        split[i] = a->new_split < 0 ? data_split_name(row->split) : a->rows.cell[i][a->new_split];
        st = read_label(e, a, row, s, err);
        if (st == FL_OK && a->has_rows) {
            st = data_attributes_read(&e->attributes, s->arena, a->attribute, &s->spec, a->r,
                                      &a->rows, i, a->r->rows, err);
        }
    }
    if (st == FL_OK) {
        st = data_split_assign(s, &a->r->split, file, split, err);
    }
    free(split);
    return st == FL_OK ? data_split_check(s, file, err) : st;
}

static fl_status load(data_set *s, archive *a, const data_npz *npz, const data_spec *expect,
                      fl_err *err)
{
    fl_status st;

    if ((st = find_arrays(a, npz, err)) != FL_OK) {
        return st;
    }
    st = a->has_rows ? chosen_rows(s, a, err) : all_rows(s, a);
    if (st != FL_OK || (st = init_coding(a, s, expect, err)) != FL_OK ||
        (st = data_attributes_find(a->attribute, &s->spec, a->r, expect,
                                   a->has_rows ? &a->rows : NULL, err)) != FL_OK ||
        (st = describe_cases(s, a, err)) != FL_OK) {
        return st;
    }
    s->n_files = 1;
    s->n_rows = s->n;
    return data_medmnist_images(s, a->r, a->images, a->row, err);
}

fl_status data_medmnist_load(data_set *s, const data_recipe *r, const data_spec *expect,
                             fl_err *err)
{
    fl_status st;
    data_npz npz = {0};
    archive a = {.r = r, .patient = -1, .new_split = -1, .label = -1};

    if (r->split.kind == DATA_SPLIT_FILE) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: split: file is for tables; rows.csv of an npz has a column new_split",
                       r->name);
    }
    if ((st = data_npz_read_but(&npz, r->npz, "_images", err)) != FL_OK) {
        return st;
    }
    a.has_rows = r->rows != NULL;
    if (!a.has_rows || (st = data_csv_read(&a.rows, r->rows, true, err)) == FL_OK) {
        st = load(s, &a, &npz, expect, err);
    }
    free(a.row);
    data_coding_clear(&a.coding);
    data_csv_clear(&a.rows);
    data_npz_clear(&npz);
    return st;
}
