/*
 * gallery.c - see gallery.h
 */
#include "sim/gallery.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/dataset.h"
#include "data/formats.h"

enum { CASES = 10, GAP = 4, RGB = 3, COLOURS = 4 };

static const float colours[COLOURS][RGB] = {
    {1, 0.25f, 0.2f}, {0.2f, 1, 0.3f}, {0.3f, 0.6f, 1}, {1, 0.85f, 0.1f}};

typedef struct {
    float *pixels;  // (height, width, 3)
    int64_t width, height;
    int64_t channels, depth, rows, cols;  // of a case
    int64_t panels;                       // pictures of a case side by side
} sheet;

static float *pixel(const sheet *g, int64_t row, int64_t column, int64_t y, int64_t x)
{
    return g->pixels +
           ((row * (g->rows + GAP) + y) * g->width + column * (g->panels * g->cols + GAP) + x) *
               RGB;
}

/* The slice a person would look at: in the middle, of what was outlined if it was. */
static int64_t slice_of(const sheet *g, const uint8_t *mask)
{
    int64_t plane = g->rows * g->cols, first = -1, last = -1;
    for (int64_t i = 0; mask != NULL && i < g->depth * plane; i++) {
        if (mask[i] != 0) {
            first = first < 0 ? i / plane : first;
            last = i / plane;
        }
    }
    return first < 0 ? g->depth / 2 : (first + last) / 2;
}

static void paste(const sheet *g, const float *x, int64_t slice, int64_t row, int64_t column)
{
    int64_t plane = g->rows * g->cols;
    for (int64_t panel = 0; panel < g->panels; panel++) {
        for (int64_t i = 0; i < plane; i++) {
            float *to = pixel(g, row, column, i / g->cols, panel * g->cols + i % g->cols);
            for (int64_t k = 0; k < RGB; k++) {
                int64_t channel = g->panels > 1 ? panel : g->channels == RGB ? k : 0;
                to[k] = x[(channel * g->depth + slice) * plane + i];
            }
        }
    }
}

/* Pixels of the mask with a neighbour that is not. */
static void outline(const sheet *g, const uint8_t *mask, int64_t slice, const float colour[RGB],
                    int64_t row, int64_t column)
{
    const uint8_t *m = mask + slice * g->rows * g->cols;
    for (int64_t y = 0; y < g->rows; y++) {
        for (int64_t x = 0; x < g->cols; x++) {
            uint8_t own = m[y * g->cols + x];
            bool edge = (y > 0 && m[(y - 1) * g->cols + x] != own) ||
                        (y + 1 < g->rows && m[(y + 1) * g->cols + x] != own) ||
                        (x > 0 && m[y * g->cols + x - 1] != own) ||
                        (x + 1 < g->cols && m[y * g->cols + x + 1] != own);
            for (int k = 0; own != 0 && edge && k < RGB; k++) {
                pixel(g, row, column, y, x)[k] = colour[k];
            }
        }
    }
}

static void show_case(const sheet *g, const data_set *set, size_t index, float *scratch,
                      int64_t row, int64_t column)
{
    const uint8_t *mask = data_set_case(set, index).mask;
    int64_t slice = slice_of(g, mask);
    data_set_image(set, index, scratch);
    paste(g, scratch, slice, row, column);
    size_t n = data_set_n_annotators(set);
    for (size_t a = 0; a < n; a++) {
        const uint8_t *by = data_set_mask_by(set, index, a);
        if (by != NULL) {
            outline(g, by, slice, colours[a % COLOURS], row, column);
        }
    }
    if (n == 0 && mask != NULL) {
        outline(g, mask, slice, colours[0], row, column);
    }
}

static fl_status show_hospital(const sheet *g, const scenario *s, const char *dir, size_t h,
                               fl_err *err)
{
    data_set *set = NULL;
    char *own = fl_path_join(dir, s->hospitals[h].name);
    float *scratch = fl_calloc((size_t)(g->channels * g->depth * g->rows * g->cols),
                               sizeof *scratch, "gallery", err);
    fl_status st = scratch == NULL ? FL_ELIMIT : data_set_open(&set, own, &s->job.data, err);
    if (st == FL_OK) {
        const size_t *test = data_set_split(set, DATA_TEST);
        size_t n = data_set_n_split(set, DATA_TEST);
        for (size_t k = 0; k < CASES && k < n; k++) {
            show_case(g, set, test[k], scratch, (int64_t)h, (int64_t)k);
        }
    }
    data_set_destroy(&set);
    free(scratch);
    free(own);
    return st;
}

fl_status gallery_write(const scenario *s, const char *dir, const char *png, fl_err *err)
{
    const nn_shape *in = &s->job.data.input;
    if (in->rank != 3 && in->rank != 4) {
        return fl_fail(err, FL_EUNSUPPORTED, "--gallery shows images; this scenario has tables");
    }
    sheet g = {.channels = in->dim[0],
               .depth = in->rank == 4 ? in->dim[1] : 1,
               .rows = in->dim[in->rank - 2],
               .cols = in->dim[in->rank - 1]};
    g.panels = g.channels == RGB ? 1 : g.channels;
    g.width = CASES * (g.panels * g.cols + GAP);
    g.height = (int64_t)s->n_hospitals * (g.rows + GAP);
    g.pixels = fl_calloc((size_t)(g.width * g.height * RGB), sizeof *g.pixels, "gallery", err);
    fl_status st = g.pixels == NULL ? FL_ELIMIT : FL_OK;
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        st = show_hospital(&g, s, dir, i, err);
    }
    if (st == FL_OK) {
        st = data_png_write(png, g.pixels, g.height, g.width, RGB, 8, err);
    }
    free(g.pixels);
    return st;
}
