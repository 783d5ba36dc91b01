/*
 * gallery.c - see gallery.h
 */
#include "sim/gallery.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/dataset.h"
#include "data/font.h"
#include "data/formats.h"

enum {
    MOST_CASES = 10,
    LEAST_CASES = 4,
    LEAST_SIDE = 112,  // pixels of an image, which is enlarged by a whole number
    ROOM = 1400,       // pixels that a row should not exceed
    GAP = 4,
    TITLE = DATA_FONT_ROWS + 7,    // above a row
    CAPTION = DATA_FONT_ROWS + 2,  // under an image
    RGB = 3,
    COLOURS = 4
};

static const float colours[COLOURS][RGB] = {
    {1, 0.25f, 0.2f}, {0.2f, 1, 0.3f}, {0.3f, 0.6f, 1}, {1, 0.85f, 0.1f}};
static const float ink[RGB] = {0.95f, 0.95f, 0.95f};

typedef struct {
    const scenario *s;
    float *pixels;  // (height, width, 3)
    int64_t width, height;
    int64_t channels, depth, rows, cols;  // of a case
    int64_t panels;                       // pictures of a case side by side
    int64_t zoom;                         // pixels of the sheet for one of a case
    int64_t cases;                        // of a row
    int64_t next;                         // row
    float *scratch;                       // one input
} sheet;

static int64_t row_height(const sheet *g)
{
    return TITLE + g->rows * g->zoom + CAPTION + GAP;
}

static int64_t case_width(const sheet *g)
{
    return g->panels * g->cols * g->zoom + GAP;
}

/* y, x: of the case's picture, enlarged. */
static float *pixel(const sheet *g, int64_t row, int64_t column, int64_t y, int64_t x)
{
    return g->pixels +
           ((row * row_height(g) + TITLE + y) * g->width + column * case_width(g) + x) * RGB;
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

static void paste(const sheet *g, int64_t slice, int64_t column)
{
    int64_t plane = g->rows * g->cols, rows = g->rows * g->zoom, cols = g->cols * g->zoom;
    for (int64_t panel = 0; panel < g->panels; panel++) {
        for (int64_t i = 0; i < rows * cols; i++) {
            int64_t y = i / cols, x = i % cols, at = y / g->zoom * g->cols + x / g->zoom;
            float *to = pixel(g, g->next, column, y, panel * cols + x);
            for (int64_t k = 0; k < RGB; k++) {
                int64_t channel = g->panels > 1 ? panel : g->channels == RGB ? k : 0;
                to[k] = g->scratch[(channel * g->depth + slice) * plane + at];
            }
        }
    }
}

/* A thin line, inside the mask's edge. */
static void outline(const sheet *g, const uint8_t *mask, int64_t slice, const float colour[RGB],
                    int64_t column)
{
    const uint8_t *m = mask + slice * g->rows * g->cols;
    const int64_t z = g->zoom, rows = g->rows * z, cols = g->cols * z, line = g->cols;
    for (int64_t y = 0; y < rows; y++) {
        for (int64_t x = 0; x < cols; x++) {
            uint8_t own = m[y / z * line + x / z];
            bool edge = (y > 0 && m[(y - 1) / z * line + x / z] != own) ||
                        (y + 1 < rows && m[(y + 1) / z * line + x / z] != own) ||
                        (x > 0 && m[y / z * line + (x - 1) / z] != own) ||
                        (x + 1 < cols && m[y / z * line + (x + 1) / z] != own);
            for (int k = 0; own != 0 && edge && k < RGB; k++) {
                pixel(g, g->next, column, y, x)[k] = colour[k];
            }
        }
    }
}

/* What the truth calls the case; empty for outlines, which are drawn. */
static void caption_of(fl_buf *out, const data_spec *spec, const data_case *c)
{
    switch (spec->task) {
    case DATA_CLASSIFY:
        fl_buf_puts(out, c->code >= 0 ? spec->classes[c->code] : "no label");
        break;
    case DATA_MULTILABEL:
        for (size_t k = 0; k < spec->n_classes; k++) {
            if (c->target[k] > 0) {
                fl_buf_printf(out, "%s%s", out->n > 0 ? ", " : "", spec->classes[k]);
            }
        }
        fl_buf_puts(out, out->n == 0 ? "no finding" : "");
        break;
    case DATA_REGRESS:
        fl_buf_printf(out, "%.4g", (double)c->target[0]);
        break;
    case DATA_SEGMENT:
        break;
    }
}

static void show_text(const sheet *g, int64_t top, int64_t left, int64_t width, const char *text)
{
    char *cut = fl_xasprintf("%.*s", (int)(width / DATA_FONT_COLS), text);
    data_font_draw(g->pixels, g->height, g->width, g->next * row_height(g) + top, left, ink, cut);
    free(cut);
}

static void show_case(const sheet *g, const data_set *set, size_t index, int64_t column)
{
    fl_buf caption = FL_BUF_INIT;
    const data_case c = data_set_case(set, index);
    int64_t slice = slice_of(g, c.mask);
    data_set_image(set, index, g->scratch);
    paste(g, slice, column);
    size_t n = data_set_n_annotators(set);
    for (size_t a = 0; a < n; a++) {
        const uint8_t *by = data_set_mask_by(set, index, a);
        if (by != NULL) {
            outline(g, by, slice, colours[a % COLOURS], column);
        }
    }
    if (n == 0 && c.mask != NULL) {
        outline(g, c.mask, slice, colours[0], column);
    }
    caption_of(&caption, data_set_spec(set), &c);
    if (caption.n > 0) {
        show_text(g, TITLE + g->rows * g->zoom + 1, column * case_width(g) + 2, case_width(g) - GAP,
                  caption.data);
    }
    fl_buf_clear(&caption);
}

/* "como: thick slices; partial_volume 2, blur 2" */
static char *title_of(const char *name, const char *scanner, const data_shift *shift)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text, "%s: %s%s", name, scanner, scanner[0] != '\0' ? "; " : "");
    for (size_t i = 0; i < shift->n; i++) {
        fl_buf_printf(&text, "%s%s %.3g", i > 0 ? ", " : "", shift->ops[i]->name,
                      shift->severity[i]);
    }
    fl_buf_puts(&text, shift->n == 0 ? "no shift" : "");
    return fl_buf_take(&text);
}

/* folder: of the data set, below that of all.  title: taken. */
static fl_status show_row(sheet *g, const char *dir, const char *folder, char *title, fl_err *err)
{
    data_set *set = NULL;
    char *own = fl_path_join(dir, folder);
    fl_status st = data_set_open(&set, own, &g->s->job.data, err);
    if (st == FL_OK) {
        const size_t *test = data_set_split(set, DATA_TEST);
        int64_t n = (int64_t)data_set_n_split(set, DATA_TEST);
        show_text(g, 4, 2, g->width - 2, title);
        for (int64_t k = 0; k < g->cases && k < n; k++) {
            show_case(g, set, test[k], k);
        }
        g->next++;
    }
    data_set_destroy(&set);
    free(title);
    free(own);
    return st;
}

/* A row for what it has first, and one for each scanner that comes later. */
static fl_status show_hospital(sheet *g, const char *dir, const scenario_hospital *h, fl_err *err)
{
    fl_status st = show_row(g, dir, h->name, title_of(h->name, h->scanner, &h->shift), err);
    for (size_t i = 0; i < h->n_changes && st == FL_OK; i++) {
        const scenario_change *c = &h->changes[i];
        char *below = scenario_change_folder(c), *folder = fl_path_join(h->name, below),
             *name = fl_xasprintf("%s from round %lld", h->name, (long long)c->round);
        st = show_row(g, dir, folder,
                      title_of(name, c->scanner[0] != '\0' ? c->scanner : h->scanner, &c->shift),
                      err);
        free(below);
        free(folder);
        free(name);
    }
    return st;
}

static void lay_out(sheet *g)
{
    const nn_shape *in = &g->s->job.data.input;
    int64_t n_rows = 0;
    g->channels = in->dim[0];
    g->depth = in->rank == 4 ? in->dim[1] : 1;
    g->rows = in->dim[in->rank - 2];
    g->cols = in->dim[in->rank - 1];
    g->panels = g->channels == RGB ? 1 : g->channels;
    g->zoom = (LEAST_SIDE + g->cols - 1) / g->cols;
    g->cases = ROOM / case_width(g);
    g->cases = g->cases < LEAST_CASES ? LEAST_CASES : g->cases;
    g->cases = g->cases > MOST_CASES ? MOST_CASES : g->cases;
    for (size_t i = 0; i < g->s->n_hospitals; i++) {
        n_rows += 1 + (int64_t)g->s->hospitals[i].n_changes;
    }
    g->width = g->cases * case_width(g);
    g->height = n_rows * row_height(g);
}

fl_status gallery_write(const scenario *s, const char *dir, const char *png, fl_err *err)
{
    const nn_shape *in = &s->job.data.input;
    if (in->rank != 3 && in->rank != 4) {
        return fl_fail(err, FL_EUNSUPPORTED, "--gallery shows images; this scenario has tables");
    }
    sheet g = {.s = s};
    lay_out(&g);
    g.pixels = fl_calloc((size_t)(g.width * g.height), RGB * sizeof *g.pixels, "gallery", err);
    g.scratch = fl_calloc((size_t)(g.channels * g.depth * g.rows * g.cols), sizeof *g.scratch,
                          "gallery", err);
    fl_status st = g.pixels == NULL || g.scratch == NULL ? FL_ELIMIT : FL_OK;
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        st = show_hospital(&g, dir, &s->hospitals[i], err);
    }
    if (st == FL_OK) {
        st = data_png_write(png, g.pixels, g.height, g.width, RGB, 8, err);
    }
    free(g.pixels);
    free(g.scratch);
    return st;
}
