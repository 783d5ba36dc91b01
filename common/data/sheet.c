/*
 * sheet.c - see sheet.h
 *
 * Each image goes from its least to its most value, so that what normalising
 * did to it does not matter; of a volume the middle slice is shown.
 */
#include "data/sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/font.h"
#include "data/resample.h"

enum {
    N_COLUMNS = 8,
    CELL = 112,  // pixels of an image's longer side
    GAP = 8,
    TITLE = DATA_FONT_ROWS + 6,    // above a row
    CAPTION = DATA_FONT_ROWS + 2,  // under an image
    MAX_ROWS = 200
};

static const float paper[3] = {1.0f, 1.0f, 1.0f};
static const float ink[3] = {0.1f, 0.1f, 0.1f};
static const float outline[3] = {1.0f, 0.75f, 0.0f};

typedef struct {
    char title[160];
    size_t n;       // cases of the row
    size_t *index;  // (n) owned
} sheet_row;

typedef struct {
    const data_set *set;
    sheet_row rows[MAX_ROWS];
    size_t n_rows;
    float *rgb;  // (height, width, 3)
    int64_t height, width;
    int64_t rows_shown, cols_shown;  // of an image
    float *x;                        // one input
    float *small;                    // (3, CELL, CELL)
} sheet;

/* --- rows --- */

/* Is case i of a row: of class k, with finding k; any for k < 0. */
static bool belongs(const data_set *s, size_t i, int k)
{
    const data_case c = data_set_case(s, i);
    switch (data_set_spec(s)->task) {
    case DATA_CLASSIFY:
        return c.code == k;
    case DATA_MULTILABEL:
        return k < 0 ? isnan(c.target[0]) : c.target[k] > 0;
    case DATA_SEGMENT:
    case DATA_REGRESS:
        return true;
    }
    return true;
}

static int by_target(const data_set *s, size_t a, size_t b)
{
    float x = data_set_case(s, a).target[0];
    float y = data_set_case(s, b).target[0];
    return (x > y) - (x < y);
}

/* Shell sort: qsort would need the set in a global. */
static void sort_by_target(const data_set *s, size_t *index, size_t n)
{
    for (size_t gap = n / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < n; i++) {
            size_t moved = index[i];
            size_t at = i;
            for (; at >= gap && by_target(s, index[at - gap], moved) > 0; at -= gap) {
                index[at] = index[at - gap];
            }
            index[at] = moved;
        }
    }
}

static void add_row(sheet *w, data_split split, int k, const char *name)
{
    const data_set *s = w->set;
    size_t n_split = data_set_n_split(s, split);
    if (w->n_rows == MAX_ROWS) {
        return;
    }
    sheet_row *row = &w->rows[w->n_rows];
    row->index = fl_xcalloc(n_split, sizeof *row->index);
    row->n = 0;
    for (size_t i = 0; i < n_split; i++) {
        size_t at = data_set_split(s, split)[i];
        if (belongs(s, at, k)) {
            row->index[row->n++] = at;
        }
    }
    if (row->n == 0) {
        free(row->index);
        return;
    }
    if (data_set_spec(s)->task == DATA_REGRESS) {
        sort_by_target(s, row->index, row->n);
    }
    snprintf(row->title, sizeof row->title, "%s%s%s: %zu", data_split_name(split),
             name[0] != '\0' ? ", " : "", name, row->n);
    w->n_rows++;
}

static void add_rows(sheet *w)
{
    const data_spec *spec = data_set_spec(w->set);
    bool by_class = spec->task == DATA_CLASSIFY || spec->task == DATA_MULTILABEL;
    for (int split = 0; split < DATA_N_SPLITS; split++) {
        for (size_t k = 0; by_class && k < spec->n_classes; k++) {
            add_row(w, (data_split)split, (int)k, spec->classes[k]);
        }
        if (by_class) {
            add_row(w, (data_split)split, -1, "without a label");
        } else {
            add_row(w, (data_split)split, 0, "");
        }
    }
}

/* --- an image --- */

typedef struct {
    int64_t channels, frames, rows, cols;
} input_size;

static input_size size_of(const nn_shape *shape)
{
    return (input_size){shape->dim[0], shape->rank == 4 ? shape->dim[1] : 1,
                        shape->dim[shape->rank - 2], shape->dim[shape->rank - 1]};
}

/* Least to most of a plane become 0 to 1. */
static void stretch(float *x, int64_t n)
{
    float least = HUGE_VALF;
    float most = -HUGE_VALF;
    for (int64_t i = 0; i < n; i++) {
        least = fminf(least, x[i]);
        most = fmaxf(most, x[i]);
    }
    float factor = most > least ? 1 / (most - least) : 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (x[i] - least) * factor;
    }
}

/* A pixel of the mask whose right or lower neighbour is another class, or that is one's. */
static bool is_edge(const uint8_t *mask, const input_size *z, int64_t row, int64_t col)
{
    uint8_t here = mask[row * z->cols + col];
    return (row + 1 < z->rows && mask[(row + 1) * z->cols + col] != here) ||
           (col + 1 < z->cols && mask[row * z->cols + col + 1] != here);
}

static void draw_outline(sheet *w, const uint8_t *mask, const input_size *z, int64_t top,
                         int64_t left, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < z->rows; r++) {
        for (int64_t c = 0; c < z->cols; c++) {
            if (is_edge(mask, z, r, c)) {
                int64_t y = top + r * rows / z->rows;
                int64_t x = left + c * cols / z->cols;
                memcpy(w->rgb + 3 * (y * w->width + x), outline, sizeof outline);
            }
        }
    }
}

static void draw_image(sheet *w, size_t index, int64_t top, int64_t left)
{
    const input_size z = size_of(&data_set_spec(w->set)->input);
    int64_t plane = z.rows * z.cols;
    int64_t shown = z.channels == 3 ? 3 : 1;
    int64_t rows = w->rows_shown;
    int64_t cols = w->cols_shown;
    int64_t middle = z.frames / 2;

    data_set_batch(w->set, &index, 1, w->x);
    for (int64_t c = 0; c < shown; c++) {  // the middle slice of each
        memmove(w->x + c * plane, w->x + (c * z.frames + middle) * plane,
                (size_t)plane * sizeof *w->x);
    }
    stretch(w->x, shown * plane);
    data_resize(w->small, rows, cols, w->x, shown, z.rows, z.cols);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            float *pixel = w->rgb + 3 * ((top + r) * w->width + left + c);
            for (int64_t k = 0; k < 3; k++) {
                pixel[k] = w->small[((shown == 3 ? k : 0) * rows + r) * cols + c];
            }
        }
    }
    const uint8_t *mask = data_set_case(w->set, index).mask;
    if (mask != NULL) {
        draw_outline(w, mask + middle * plane, &z, top, left, rows, cols);
    }
}

/* "#17", and what a regression wants. */
static void draw_caption(sheet *w, size_t index, int64_t top, int64_t left)
{
    char text[CELL / DATA_FONT_COLS + 1];
    const data_case c = data_set_case(w->set, index);
    if (data_set_spec(w->set)->task == DATA_REGRESS) {
        snprintf(text, sizeof text, "#%zu: %.4g", index + 1, (double)c.target[0]);
    } else if (data_set_spec(w->set)->task == DATA_SEGMENT && c.mask == NULL) {
        snprintf(text, sizeof text, "#%zu: no mask", index + 1);
    } else {
        snprintf(text, sizeof text, "#%zu", index + 1);
    }
    data_font_draw(w->rgb, w->height, w->width, top, left, ink, text);
}

static void draw_row(sheet *w, const sheet_row *row, int64_t top)
{
    size_t n = row->n < N_COLUMNS ? row->n : N_COLUMNS;
    data_font_draw(w->rgb, w->height, w->width, top + 3, GAP, ink, row->title);
    for (size_t i = 0; i < n; i++) {
        size_t index = row->index[n == 1 ? 0 : i * (row->n - 1) / (n - 1)];
        int64_t left = GAP + (int64_t)i * (CELL + GAP);
        draw_image(w, index, top + TITLE, left);
        draw_caption(w, index, top + TITLE + w->rows_shown + 1, left);
    }
}

fl_status data_sheet_write(const data_set *s, const char *path, fl_err *err)
{
    sheet *w = fl_xcalloc(1, sizeof *w);
    fl_status st = FL_OK;

    w->set = s;
    if (data_set_spec(s)->input.rank < 3) {
        free(w);
        return fl_fail(err, FL_EUNSUPPORTED,
                       "a contact sheet shows images; this data set has none");
    }
    add_rows(w);
    const input_size z = size_of(&data_set_spec(s)->input);
    int64_t longer = z.rows > z.cols ? z.rows : z.cols;
    w->rows_shown = (z.rows * CELL + longer - 1) / longer;
    w->cols_shown = (z.cols * CELL + longer - 1) / longer;
    int64_t row_height = TITLE + w->rows_shown + CAPTION + GAP;
    w->width = GAP + N_COLUMNS * (CELL + GAP);
    w->height = GAP + (int64_t)w->n_rows * row_height;
    w->rgb = fl_calloc((size_t)(w->height * w->width), 3 * sizeof *w->rgb, path, err);
    w->x = fl_calloc(data_set_n_features(s), sizeof *w->x, path, err);
    w->small = fl_xcalloc(3 * CELL * CELL, sizeof *w->small);
    if (w->rgb == NULL || w->x == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    for (int64_t i = 0; i < w->height * w->width; i++) {
        memcpy(w->rgb + 3 * i, paper, sizeof paper);
    }
    for (size_t i = 0; i < w->n_rows; i++) {
        draw_row(w, &w->rows[i], GAP + (int64_t)i * row_height);
    }
    st = data_png_write(path, w->rgb, w->height, w->width, 3, 8, err);
done:
    for (size_t i = 0; i < w->n_rows; i++) {
        free(w->rows[i].index);
    }
    free(w->rgb);
    free(w->x);
    free(w->small);
    free(w);
    return st;
}
