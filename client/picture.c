/*
 * picture.c - see picture.h
 */
#include "client/picture.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/formats.h"

enum { LEAST_SIDE = 256, GAP = 8, LINE = 2, DASH = 6 };  // pixels

/* A pixel's colour, 0 to 1. */
static void colour_of(float rgb[static 3], const float *image, const nn_shape *shape, int64_t i)
{
    int64_t plane = shape->dim[1] * shape->dim[2];
    for (int64_t c = 0; c < 3; c++) {
        float v = image[(shape->dim[0] == 3 ? c * plane : 0) + i];
        rgb[c] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}

static void lay_over(float rgb[static 3], float heat)
{
    static const float red[3] = {0.90f, 0.20f, 0.10f}, blue[3] = {0.10f, 0.35f, 0.90f};
    const float *ink = heat > 0 ? red : blue;
    float share = 0.6f * fminf(1, fabsf(heat));
    for (int c = 0; c < 3; c++) {
        rgb[c] = (1 - share) * rgb[c] + share * ink[c];
    }
}

/* An image and itself to the right of it, every pixel of which is times by times. */
typedef struct {
    const float *image;
    const nn_shape *shape;
    int64_t times, rows, cols;  // of the picture
} pair;

static pair pair_of(const float *image, const nn_shape *shape)
{
    FL_REQUIRE(shape->rank == 3);
    int64_t H = shape->dim[1], W = shape->dim[2], least = H < W ? H : W;
    int64_t times = least < LEAST_SIDE ? (LEAST_SIDE + least - 1) / least : 1;
    return (pair){image, shape, times, H * times, 2 * W * times + GAP};
}

/* Puts ink on a pixel of the right one: row and column of its enlarged image. */
typedef void (*inker)(float rgb[static 3], const pair *p, int64_t row, int64_t col,
                      const void *ink);

static fl_status draw_pair(const char *path, const pair *p, inker put, const void *ink, fl_err *err)
{
    int64_t W = p->shape->dim[2], right = W * p->times + GAP;
    float *rgb = fl_calloc((size_t)(p->rows * p->cols), 3 * sizeof *rgb, "a picture", err);
    if (rgb == NULL) {
        return FL_ELIMIT;
    }
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t c = 0; c < p->cols; c++) {
            float *pixel = rgb + 3 * (r * p->cols + c);
            if (c >= W * p->times && c < right) {
                pixel[0] = pixel[1] = pixel[2] = 1;
                continue;
            }
            int64_t col = c >= right ? c - right : c;
            colour_of(pixel, p->image, p->shape, r / p->times * W + col / p->times);
            if (c >= right) {
                put(pixel, p, r, col, ink);
            }
        }
    }
    fl_status st = data_png_write(path, rgb, p->rows, p->cols, 3, 8, err);
    free(rgb);
    return st;
}

static void put_heat(float rgb[static 3], const pair *p, int64_t row, int64_t col, const void *ink)
{
    const float *heat = ink;
    if (heat != NULL) {
        lay_over(rgb, heat[row / p->times * p->shape->dim[2] + col / p->times]);
    }
}

fl_status picture_write(const char *path, const float *image, const nn_shape *shape,
                        const float *heat, fl_err *err)
{
    pair p = pair_of(image, shape);
    return draw_pair(path, &p, put_heat, heat, err);
}

// ------------------------------------------------------------------- outlines

typedef struct {
    const uint8_t *first, *second;
} outlines;

/* Is the pixel of something, and something else begins within the width of a line? */
static bool is_border(const uint8_t *mask, const pair *p, int64_t row, int64_t col)
{
    static const int steps[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    int64_t W = p->shape->dim[2];
    uint8_t own = mask[row / p->times * W + col / p->times];
    for (int i = 0; i < 4 && own != 0; i++) {
        int64_t r = row + LINE * steps[i][0], c = col + LINE * steps[i][1];
        bool outside = r < 0 || c < 0 || r >= p->rows || c >= W * p->times;
        if (outside || mask[r / p->times * W + c / p->times] != own) {
            return true;
        }
    }
    return false;
}

/* Two hues that most colour-blind eyes tell apart; on paper without colour, the dashes do. */
static void put_outlines(float rgb[static 3], const pair *p, int64_t row, int64_t col,
                         const void *ink)
{
    static const float blue[3] = {0.25f, 0.70f, 1.00f}, orange[3] = {1.00f, 0.55f, 0.05f};
    const outlines *o = ink;
    bool dash = (row + col) / DASH % 2 == 0;
    const float *line = is_border(o->second, p, row, col) && dash ? orange
                        : is_border(o->first, p, row, col)        ? blue
                                                                   : NULL;
    for (int c = 0; line != NULL && c < 3; c++) {
        rgb[c] = line[c];
    }
}

fl_status picture_write_outlines(const char *path, const float *image, const nn_shape *shape,
                                 const uint8_t *first, const uint8_t *second, fl_err *err)
{
    pair p = pair_of(image, shape);
    const outlines both = {first, second};
    return draw_pair(path, &p, put_outlines, &both, err);
}
