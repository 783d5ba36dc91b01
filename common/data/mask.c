/*
 * mask.c - from a mask's file to a class code for every pixel of the input
 */
#include "data/mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/preprocess.h"
#include "data/set.h"

data_grid data_grid_of(const data_image *image)
{
    data_grid grid = {.frames = image->frames, .rows = image->rows, .cols = image->cols};
    memcpy(grid.spacing_mm, image->spacing_mm, sizeof grid.spacing_mm);
    memcpy(grid.affine, image->affine, sizeof grid.affine);
    grid.has_affine = image->orientation[0] != '\0';
    return grid;
}

/* A step along an axis of the input moves this far along each of the file's. */
void data_grid_spacing(double out[static 3], const data_grid *grid, const double view[static 12])
{
    for (int axis = 0; axis < 3; axis++) {
        double squares = 0;
        bool known = true;
        for (int of = 0; of < 3; of++) {
            double moved = view[4 * of + axis];
            known = known && (moved == 0 || grid->spacing_mm[of] > 0);
            squares += moved * moved * grid->spacing_mm[of] * grid->spacing_mm[of];
        }
        out[axis] = known ? sqrt(squares) : 0;
    }
}

data_place data_grid_place(const data_grid *grid, const double view[static 12])
{
    data_place place = {.frames = grid->frames, .rows = grid->rows, .cols = grid->cols,
                        .has_affine = grid->has_affine};
    data_grid_spacing(place.spacing_mm, grid, view);
    memcpy(place.affine, grid->affine, sizeof place.affine);
    memcpy(place.view, view, sizeof place.view);
    return place;
}

void data_place_widen(data_place *place, const data_shift *chain)
{
    double size = data_shift_pixel_size(chain);
    place->spacing_mm[1] *= size;
    place->spacing_mm[2] *= size;
}

/* --- where it lies --- */

/* Voxel (col, row, frame) in mm. */
static void place_of(double out[static 3], const double affine[static 12], double col, double row,
                     double frame)
{
    for (int i = 0; i < 3; i++) {
        const double *m = affine + 4 * i;
        out[i] = m[0] * col + m[1] * row + m[2] * frame + m[3];
    }
}

/* The first and the last voxel of both lie within half a millimetre or half a
 * voxel of each other. */
static bool same_place(const data_grid *a, const data_grid *b)
{
    double allowed = 0.5;
    for (int i = 0; i < 3; i++) {
        double half = a->spacing_mm[i] / 2;
        allowed = half > 0 ? fmin(allowed, half) : allowed;
    }
    for (int corner = 0; corner < 8; corner++) {
        double col = corner & 1 ? (double)a->cols - 1 : 0;
        double row = corner & 2 ? (double)a->rows - 1 : 0;
        double frame = corner & 4 ? (double)a->frames - 1 : 0;
        double p[3];
        double q[3];
        place_of(p, a->affine, col, row, frame);
        place_of(q, b->affine, col, row, frame);
        double apart = hypot(hypot(p[0] - q[0], p[1] - q[1]), p[2] - q[2]);
        if (!(apart <= allowed)) {
            return false;
        }
    }
    return true;
}

static fl_status check_place(const data_image *mask, const data_grid *grid, const char *where,
                             fl_err *err)
{
    if (mask->frames != grid->frames || mask->rows != grid->rows || mask->cols != grid->cols) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: mask: expected the image's %lld frames of %lld x %lld pixels, found "
                       "%lld of %lld x %lld",
                       where, (long long)grid->frames, (long long)grid->rows, (long long)grid->cols,
                       (long long)mask->frames, (long long)mask->rows, (long long)mask->cols);
    }
    data_grid own = data_grid_of(mask);
    if (grid->has_affine && own.has_affine && !same_place(grid, &own)) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: mask: lies elsewhere in the patient than the image (their affines "
                       "differ); resample it to the image's grid",
                       where);
    }
    return FL_OK;
}

/* --- what it says --- */

/* Value of a pixel as it was drawn; false when its channels are a colour. */
static bool value_at(double *out, const data_image *mask, size_t at, size_t n_pixels)
{
    // Readers stretch 1, 2 and 4 bits to bytes.
    double factor = !mask->is_float && mask->bits < 8 ? ((1 << mask->bits) - 1) / 255.0 : 1;
    bool gray = true;
    double value = mask->data[at];
    for (int64_t c = 1; c < mask->channels; c++) {
        double other = mask->data[(size_t)c * n_pixels + at];
        gray = gray && other == value;
        value = fmax(value, other);
    }
    *out = value * factor;
    return gray;
}

/* The class that dataset.yaml says a value is; -1 when it says nothing. */
static int named_code(const data_coding *c, double value)
{
    for (size_t i = 0; i < c->n_codes; i++) {
        double named;
        if (data_parse_number(&named, c->codes[i].text) && fabs(named - value) < 1e-3) {
            return c->codes[i].code;
        }
    }
    return -1;
}

static int code_of(const data_coding *c, double value)
{
    const data_recipe *r = c->recipe;
    bool two = c->spec->n_classes == 2;
    int code = two && r->says_mask_threshold ? -1 : named_code(c, value);
    if (code >= 0) {
        return code;
    }
    if (two) {
        return value >= r->mask_threshold;
    }
    double whole = rint(value);
    bool is_code = c->by_number && fabs(value - whole) < 1e-3 && whole >= 0 &&
                   whole < (double)c->spec->n_classes;
    return is_code ? (int)whole : -1;
}

static fl_status bad_value(const data_coding *coding, double value, bool gray, const char *where,
                           fl_err *err)
{
    char labels[512];
    if (!gray) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: mask: expected gray values that are class codes, found colours (a "
                       "palette counts as colours); save it as gray",
                       where);
    }
    data_coding_labels_text(labels, sizeof labels, coding);
    return fl_fail(err, FL_ECONFIG, "%s: mask: expected the values %s, found %g", where, labels,
                   value);
}

/* File index of an input pixel along each axis; false outside the file. */
static bool look_up(size_t *out, const data_grid *grid, const double view[static 12], double frame,
                    double row, double col)
{
    const int64_t size[3] = {grid->frames, grid->rows, grid->cols};
    int64_t at[3];
    for (int i = 0; i < 3; i++) {
        const double *m = view + 4 * i;
        // Half-way between two pixels, as in every halving: the one behind.
        at[i] = (int64_t)floor(m[0] * frame + m[1] * row + m[2] * col + m[3] + 0.5);
        if (at[i] < 0 || at[i] >= size[i]) {
            return false;
        }
    }
    *out = (size_t)((at[0] * grid->rows + at[1]) * grid->cols + at[2]);
    return true;
}

/* Every pixel of the file must be of a class, seen by the input or not. */
static fl_status check_values(const data_image *mask, size_t n_pixels, const data_coding *coding,
                              const char *where, fl_err *err)
{
    double last = NAN;
    for (size_t i = 0; i < n_pixels; i++) {
        double value;
        bool gray = value_at(&value, mask, i, n_pixels);
        bool bad = !isfinite(value) || (!gray && coding->spec->n_classes > 2) ||
                   (value != last && code_of(coding, value) < 0);
        if (bad) {
            return bad_value(coding, value, gray || coding->spec->n_classes == 2, where, err);
        }
        last = value;
    }
    return FL_OK;
}

fl_status data_mask_add(uint8_t *code, const data_image *mask, const data_grid *grid,
                        const double view[static 12], const nn_shape *shape,
                        const data_coding *coding, const char *where, fl_err *err)
{
    fl_status st;
    size_t n_pixels = (size_t)(mask->frames * mask->rows * mask->cols);
    int64_t D = shape->rank == 4 ? shape->dim[1] : 1;
    int64_t H = shape->dim[shape->rank - 2];
    int64_t W = shape->dim[shape->rank - 1];

    if ((st = check_place(mask, grid, where, err)) != FL_OK ||
        (st = check_values(mask, n_pixels, coding, where, err)) != FL_OK) {
        return st;
    }
    for (int64_t d = 0; d < D; d++) {
        for (int64_t h = 0; h < H; h++) {
            uint8_t *row = code + (d * H + h) * W;
            for (int64_t w = 0; w < W; w++) {
                size_t at;
                double value;
                if (row[w] == 0 && look_up(&at, grid, view, (double)d, (double)h, (double)w)) {
                    value_at(&value, mask, at, n_pixels);
                    row[w] = (uint8_t)code_of(coding, value);
                }
            }
        }
    }
    return FL_OK;
}

void data_mask_vote(uint8_t *code, const uint8_t *const *masks, size_t n, size_t n_pixels)
{
    for (size_t i = 0; i < n_pixels; i++) {
        int votes[DATA_MAX_CLASSES] = {0};
        int most = 0;
        for (size_t a = 0; a < n; a++) {
            if (masks[a] != NULL) {
                int here = ++votes[masks[a][i]];
                most = here > most ? here : most;
            }
        }
        for (size_t a = n; a-- > 0;) {  // the first of the most has the last word
            if (masks[a] != NULL && votes[masks[a][i]] == most) {
                code[i] = masks[a][i];
            }
        }
    }
}

/* --- a row's masks --- */

fl_status data_mask_find(data_mask_columns *out, const data_csv *table, const char *file,
                         fl_err *err)
{
    *out = (data_mask_columns){.reference = data_csv_column(table, "mask")};
    for (size_t i = 0; i < table->n_cols; i++) {
        const char *name = table->header[i];
        if (strncmp(name, "mask:", 5) != 0) {
            continue;
        }
        if (out->n == DATA_MAX_ANNOTATORS) {
            return fl_fail(err, FL_ELIMIT, "%s:1: more than %d columns mask:ANNOTATOR", file,
                           DATA_MAX_ANNOTATORS);
        }
        out->name[out->n] = name + 5;
        out->column[out->n++] = (int)i;
    }
    return out->n > 0 || out->reference >= 0
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "%s:1: there is no column mask or mask:ANNOTATOR", file);
}

static size_t count_files(const char *cell)
{
    size_t n = cell[0] != '\0';
    for (const char *c = cell; *c != '\0'; c++) {
        n += *c == '|';
    }
    return n;
}

size_t data_mask_count_files(const data_mask_columns *columns, char *const *cell)
{
    size_t n = columns->reference >= 0 ? count_files(cell[columns->reference]) : 0;
    for (size_t a = 0; a < columns->n; a++) {
        n += count_files(cell[columns->column[a]]);
    }
    return n;
}

/* Of a cell's files between "|" the one at *at, which then is at the next or NULL; caller's. */
static char *next_file(const char **at)
{
    if (*at == NULL) {
        return NULL;
    }
    const char *bar = strchr(*at, '|');
    const char *from = *at + strspn(*at, " ");
    size_t n = bar != NULL ? (size_t)(bar - from) : strlen(from);
    while (n > 0 && from[n - 1] == ' ') {
        n--;
    }
    *at = bar != NULL ? bar + 1 : NULL;
    return fl_xstrndup(from, n);
}

static void add_identities(fl_sha256 *hash, const char *cell, const char *dir)
{
    const char *at = cell[0] != '\0' ? cell : NULL;
    for (char *file; (file = next_file(&at)) != NULL;) {
        char *path = fl_path_join(dir, file);
        data_cache_add_identity(hash, path);
        free(path);
        free(file);
    }
}

void data_mask_add_identity(fl_sha256 *hash, const data_mask_columns *columns, char *const *cell,
                            const char *dir)
{
    if (columns->reference >= 0) {
        add_identities(hash, cell[columns->reference], dir);
    }
    for (size_t a = 0; a < columns->n; a++) {
        add_identities(hash, cell[columns->column[a]], dir);
    }
}

/* What the files of a row are read for. */
typedef struct {
    const char *dir;
    const data_grid *grid;
    const double *view;  // (12)
    const nn_shape *shape;
    const data_coding *coding;
    const char *where;
} drawing;

static fl_status add_file(uint8_t *code, const drawing *d, const char *file, fl_err *err)
{
    data_image mask;
    fl_status st = data_manifest_file(&mask, d->dir, file, "mask", d->where, err);
    if (st != FL_OK) {
        return st;
    }
    data_image_drop_alpha(&mask);
    st = data_mask_add(code, &mask, d->grid, d->view, d->shape, d->coding, d->where, err);
    data_image_clear(&mask);
    return st;
}

/* "a.png | b.png" */
static fl_status read_cell(uint8_t *code, const drawing *d, const char *cell, fl_err *err)
{
    if (count_files(cell) > DATA_MAX_MASK_FILES) {
        return fl_fail(err, FL_ELIMIT, "%s: mask: more than %d files", d->where,
                       DATA_MAX_MASK_FILES);
    }
    const char *at = cell;
    for (char *file; (file = next_file(&at)) != NULL;) {
        fl_status st = add_file(code, d, file, err);
        free(file);
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

fl_status data_masks_read(data_masks *out, const data_mask_columns *columns, char *const *cell,
                          const char *dir, const data_grid *grid, const double view[static 12],
                          const nn_shape *shape, const data_coding *coding, const char *where,
                          fl_err *err)
{
    const drawing d = {dir, grid, view, shape, coding, where};
    size_t n_pixels = (size_t)(nn_shape_count(shape, 1) / shape->dim[0]);
    bool has_reference = columns->reference >= 0 && cell[columns->reference][0] != '\0';
    size_t n_drawn = 0;

    *out = (data_masks){.block = NULL};
    for (size_t a = 0; a < columns->n; a++) {
        n_drawn += cell[columns->column[a]][0] != '\0';
    }
    bool votes = columns->reference < 0 && n_drawn > 0;
    if (!has_reference && n_drawn == 0) {
        return FL_OK;
    }
    size_t n_pointers = columns->n * sizeof *out->masks;
    size_t n_bytes = n_pointers + (n_drawn + 1) * n_pixels;
    if ((out->block = fl_calloc(n_bytes, 1, where, err)) == NULL) {
        return FL_ELIMIT;
    }
    uint8_t *code = (uint8_t *)out->block + n_pointers;
    fl_status st = FL_OK;
    out->masks = columns->n > 0 ? out->block : NULL;
    for (size_t a = 0; a < columns->n && st == FL_OK; a++) {
        const char *text = cell[columns->column[a]];
        if (text[0] != '\0') {
            st = read_cell(code, &d, text, err);
            out->masks[a] = code;
            code += n_pixels;
        }
    }
    if (st == FL_OK && has_reference) {
        st = read_cell(code, &d, cell[columns->reference], err);
    } else if (st == FL_OK && votes) {
        data_mask_vote(code, out->masks, columns->n, n_pixels);
    }
    if (st != FL_OK) {
        free(out->block);
        *out = (data_masks){.block = NULL};
        return st;
    }
    out->mask = has_reference || votes ? code : NULL;
    return FL_OK;
}

fl_status data_masks_copy(data_masks *out, const data_masks *from, size_t n_annotators,
                          size_t n_pixels, const char *what, fl_err *err)
{
    size_t n_pointers = from->masks != NULL ? n_annotators * sizeof *out->masks : 0;

    *out = (data_masks){.block = NULL};
    if (from->mask == NULL && n_pointers == 0) {
        return FL_OK;
    }
    if ((out->block = fl_calloc(n_pointers + (n_annotators + 1) * n_pixels, 1, what, err)) == NULL) {
        return FL_ELIMIT;
    }
    uint8_t *code = (uint8_t *)out->block + n_pointers;
    out->masks = n_pointers > 0 ? out->block : NULL;
    for (size_t a = 0; out->masks != NULL && a < n_annotators; a++, code += n_pixels) {
        if (from->masks[a] != NULL) {
            memcpy(code, from->masks[a], n_pixels);
            out->masks[a] = code;
        }
    }
    if (from->mask != NULL) {
        memcpy(code, from->mask, n_pixels);
        out->mask = code;
    }
    return FL_OK;
}

fl_status data_masks_shift(const data_masks *masks, size_t n_annotators, const nn_shape *shape,
                           const data_shift *chain, uint64_t seed, const char *name, fl_err *err)
{
    uint8_t *moved[DATA_MAX_ANNOTATORS + 1];
    size_t n = 0;

    for (size_t a = 0; masks->masks != NULL && a < n_annotators; a++) {
        if (masks->masks[a] != NULL) {
            moved[n++] = (uint8_t *)masks->masks[a];
        }
    }
    if (masks->mask != NULL) {
        moved[n++] = (uint8_t *)masks->mask;
    }
    return data_input_shift_masks(moved, n, shape, chain, seed, name, err);
}
