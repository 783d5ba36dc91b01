/*
 * choose.c - part of a data set: the cases that a file lists
 *
 * A hospital's share of a larger collection, used where it lies (`cases:` beside
 * `union:`).  The file says which cases, and may give them other splits; a patient
 * in two splits is refused as always.  It may also say what another reader made of
 * them: labels, or masks on the grid of the input.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "data/mask.h"
#include "data/set.h"

typedef struct {
    const char *name;
    int split;  // data_split, or DATA_NO_SPLIT: as it was
    int line;
    size_t row;
    bool found;
} choice;

typedef struct {
    const char *file;
    const data_recipe *r;
    char *dir;  // of the file; owned
    data_csv table;
    int name, split;                 // columns; -1: there is none
    int label;                       // classify
    int label_of[DATA_MAX_CLASSES];  // multilabel
    bool has_labels;
    bool has_masks;  // segment
    data_mask_columns masks;
    choice *choices;  // by name; owned
} choosing;

/* --- columns --- */

/* Which columns say something of the cases, if they are of the set's task. */
static fl_status find_columns(choosing *c, const data_spec *spec, fl_err *err)
{
    const data_csv *t = &c->table;
    bool has_flags = false;
    bool has_masks = false;

    c->name = data_csv_column(t, "case");
    c->split = data_csv_column(t, "split");
    c->label = data_csv_column(t, "label");
    if (c->name < 0) {
        return fl_fail(err, FL_ECONFIG, "%s:1: there is no column case", c->file);
    }
    for (size_t k = 0; k < spec->n_classes; k++) {
        char *name = fl_xasprintf("label:%s", spec->classes[k]);
        c->label_of[k] = data_csv_column(t, name);
        c->has_labels = c->has_labels || c->label_of[k] >= 0;
        free(name);
    }
    for (size_t i = 0; i < t->n_cols; i++) {
        const char *name = t->header[i];
        has_flags = has_flags || strncmp(name, "label:", 6) == 0;
        has_masks = has_masks || strcmp(name, "mask") == 0 || strncmp(name, "mask:", 5) == 0;
    }
    data_task task = spec->task;
    const char *wrong = c->label >= 0 && task != DATA_CLASSIFY ? "label is for task classify"
                        : has_flags && task != DATA_MULTILABEL ? "label: is for task multilabel"
                        : has_masks && task != DATA_SEGMENT    ? "mask is for task segment"
                        : has_flags && !c->has_labels          ? "label: names no class"
                                                               : NULL;
    if (wrong != NULL) {
        return fl_fail(err, FL_ECONFIG, "%s:1: column %s", c->file, wrong);
    }
    c->has_labels = c->has_labels || c->label >= 0;
    c->has_masks = has_masks;
    return has_masks ? data_mask_find(&c->masks, t, c->file, err) : FL_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const choice *)a)->name, ((const choice *)b)->name);
}

static fl_status read_choices(choosing *c, fl_err *err)
{
    const data_csv *t = &c->table;
    for (size_t i = 0; i < t->n_rows; i++) {
        data_split found = DATA_TRAIN;
        const char *text = c->split >= 0 ? t->cell[i][c->split] : "";
        if (text[0] != '\0' && !data_split_parse(&found, text)) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: split: expected train, val or test, found %s",
                           c->file, t->line[i], text);
        }
        c->choices[i] = (choice){.name = t->cell[i][c->name],
                                 .split = text[0] != '\0' ? (int)found : DATA_NO_SPLIT,
                                 .line = t->line[i],
                                 .row = i};
    }
    qsort(c->choices, t->n_rows, sizeof *c->choices, by_name);
    return FL_OK;
}

/* Messages name lines and not cases. */
static fl_status check_choices(const choosing *c, fl_err *err)
{
    const choice *at = c->choices;
    size_t n = c->table.n_rows;
    for (size_t i = 1; i < n; i++) {
        if (strcmp(at[i - 1].name, at[i].name) == 0) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: this case stands in line %d as well", c->file,
                           at[i].line, at[i - 1].line);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!at[i].found) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: the data set has no such case", c->file,
                           at[i].line);
        }
    }
    return FL_OK;
}

/* --- what it says of a case --- */

static fl_status read_class(data_entry *e, const choosing *c, const choice *at,
                            const data_spec *spec, fl_err *err)
{
    const char *text = c->table.cell[at->row][c->label];
    e->code = -1;
    if (text[0] == '\0' || strcmp(text, "-1") == 0) {
        return FL_OK;
    }
    for (size_t k = 0; k < spec->n_classes && e->code < 0; k++) {
        e->code = strcmp(spec->classes[k], text) == 0 ? (int)k : -1;
    }
    return e->code >= 0 ? FL_OK
                        : fl_fail(err, FL_ECONFIG, "%s:%d: label: there is no class %.60s", c->file,
                                  at->line, text);
}

static fl_status read_flags(data_set *s, data_entry *e, const choosing *c, const choice *at,
                            fl_err *err)
{
    float *target = fl_arena_alloc(s->arena, s->spec.n_classes, sizeof *target);
    for (size_t k = 0; k < s->spec.n_classes; k++) {
        const char *text = c->label_of[k] >= 0 ? c->table.cell[at->row][c->label_of[k]] : "";
        bool unknown = text[0] == '\0' || strcmp(text, "-1") == 0;
        if (!unknown && strcmp(text, "0") != 0 && strcmp(text, "1") != 0) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: label:%s: expected 0 or 1, found %.60s",
                           c->file, at->line, s->spec.classes[k], text);
        }
        target[k] = unknown ? NAN : text[0] == '1' ? 1 : 0;
    }
    e->target = target;
    return FL_OK;
}

/* The codes that a file has, (n_pixels), caller's; NULL for no file. */
static fl_status read_mask(uint8_t **out, const data_set *s, const choosing *c, const choice *at,
                           int column, fl_err *err)
{
    const char *file = c->table.cell[at->row][column];
    const nn_shape *shape = &s->spec.input;
    int64_t cols = shape->dim[shape->rank - 1];
    int64_t rows = shape->dim[shape->rank - 2];
    int64_t frames = shape->rank == 4 ? shape->dim[1] : 1;
    size_t n = data_set_n_pixels(s);
    char *where;
    data_image image;

    *out = NULL;
    if (file[0] == '\0') {
        return FL_OK;
    }
    where = fl_xasprintf("%s:%d", c->file, at->line);
    fl_status st = data_manifest_file(&image, c->dir, file, "mask", where, err);
    if (st == FL_OK && (image.channels != 1 || image.frames != frames || image.rows != rows ||
                        image.cols != cols)) {
        st = fl_fail(err, FL_ECONFIG,
                     "%s: mask: expected %lld x %lld x %lld pixels as the input has, found "
                     "%lld x %lld x %lld",
                     where, (long long)frames, (long long)rows, (long long)cols,
                     (long long)image.frames, (long long)image.rows, (long long)image.cols);
    }
    *out = st == FL_OK ? fl_calloc(n, 1, where, err) : NULL;
    st = st == FL_OK && *out == NULL ? FL_ELIMIT : st;
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        float v = image.data[i];
        if (!(v >= 0 && v < (float)s->spec.n_classes && v == floorf(v))) {
            st = fl_fail(err, FL_ECONFIG, "%s: mask: expected class codes below %zu, found %g",
                         where, s->spec.n_classes, (double)v);
        } else {
            (*out)[i] = (uint8_t)v;
        }
    }
    if (st != FL_OK) {
        FL_FREE(*out);
    }
    data_image_clear(&image);
    free(where);
    return st;
}

/* All masks of a case; the reference is the column mask, else what most drew. */
static fl_status read_masks(data_set *s, data_entry *e, const choosing *c, const choice *at,
                            fl_err *err)
{
    size_t n = c->masks.n;
    uint8_t *mask = NULL;
    const uint8_t **masks = fl_arena_alloc(s->arena, n, sizeof *masks);
    fl_status st = FL_OK;
    size_t n_drawn = 0;

    for (size_t a = 0; a < n && st == FL_OK; a++) {
        st = read_mask(&mask, s, c, at, c->masks.column[a], err);
        data_set_own(s, mask);
        masks[a] = mask;
        n_drawn += mask != NULL;
    }
    mask = NULL;
    if (st == FL_OK && c->masks.reference >= 0) {
        st = read_mask(&mask, s, c, at, c->masks.reference, err);
    } else if (st == FL_OK && n_drawn > 0) {
        mask = fl_calloc(data_set_n_pixels(s), 1, c->file, err);
        st = mask == NULL ? FL_ELIMIT : FL_OK;
        if (mask != NULL) {
            data_mask_vote(mask, masks, n, data_set_n_pixels(s));
        }
    }
    data_set_own(s, mask);
    e->mask = mask;
    e->masks = n > 0 ? masks : NULL;
    return st;
}

/* Masks are on the grid of the input as no scanner has moved it; a union is shifted later. */
static fl_status move_masks(const data_set *s, const data_entry *e, const choosing *c, fl_err *err)
{
    const data_masks drawn = {.mask = e->mask, .masks = e->masks};
    return c->r->origin == DATA_FROM_UNION
               ? FL_OK
               : data_masks_shift(&drawn, c->masks.n, &s->spec.input, &c->r->shift,
                                  c->r->shift_seed, e->case_id, err);
}

/* What another reader made of the case. */
static fl_status read_again(data_set *s, data_entry *e, const choosing *c, const choice *at,
                            fl_err *err)
{
    if (c->has_masks) {
        fl_status st = read_masks(s, e, c, at, err);
        return st == FL_OK ? move_masks(s, e, c, err) : st;
    }
    if (!c->has_labels) {
        return FL_OK;
    }
    return c->label >= 0 ? read_class(e, c, at, &s->spec, err) : read_flags(s, e, c, at, err);
}

static void keep_annotators(data_set *s, const choosing *c)
{
    s->annotators = fl_arena_alloc(s->arena, c->masks.n, sizeof *s->annotators);
    s->n_annotators = c->masks.n;
    for (size_t a = 0; a < c->masks.n; a++) {
        s->annotators[a] = fl_arena_strdup(s->arena, c->masks.name[a]);
    }
}

/* --- all together --- */

static fl_status choose(data_set *s, choosing *c, fl_err *err)
{
    size_t kept = 0;
    fl_status st = find_columns(c, &s->spec, err);

    c->choices = fl_xcalloc(c->table.n_rows + 1, sizeof *c->choices);
    if (st == FL_OK) {
        st = read_choices(c, err);
    }
    if (st != FL_OK) {
        return st;
    }
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        data_entry *e = &s->entries[i];
        const choice key = {.name = e->case_id};
        choice *at = bsearch(&key, c->choices, c->table.n_rows, sizeof *at, by_name);
        if (at == NULL) {
            continue;
        }
        at->found = true;
        e->split = at->split != DATA_NO_SPLIT ? at->split : e->split;
        st = read_again(s, e, c, at, err);
        s->entries[kept++] = *e;
    }
    if (st != FL_OK) {
        return st;
    }
    s->n = kept;
    if (c->has_masks) {
        keep_annotators(s, c);
    }
    return check_choices(c, err);
}

fl_status data_choose(data_set *s, const data_recipe *r, fl_err *err)
{
    const char *file = r->cases;
    choosing c = {.file = file, .r = r};
    fl_status st = data_csv_read(&c.table, file, true, err);
    if (st != FL_OK) {
        return st;
    }
    c.dir = fl_path_dir(file);
    st = choose(s, &c, err);
    free(c.dir);
    free(c.choices);
    data_csv_clear(&c.table);
    return st;
}
