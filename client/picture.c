/*
 * picture.c - see picture.h
 */
#include "client/picture.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/formats.h"

enum { LEAST_SIDE = 256, GAP = 8 };  // pixels

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

fl_status picture_write(const char *path, const float *image, const nn_shape *shape,
                        const float *heat, fl_err *err)
{
    FL_REQUIRE(shape->rank == 3);
    int64_t H = shape->dim[1], W = shape->dim[2], least = H < W ? H : W;
    int64_t times = least < LEAST_SIDE ? (LEAST_SIDE + least - 1) / least : 1;
    int64_t rows = H * times, cols = 2 * W * times + GAP;
    float *rgb = fl_calloc((size_t)(rows * cols), 3 * sizeof *rgb, "a picture", err);
    if (rgb == NULL) {
        return FL_ELIMIT;
    }
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            float *pixel = rgb + 3 * (r * cols + c);
            int64_t right = c - W * times - GAP;
            if (c >= W * times && right < 0) {
                pixel[0] = pixel[1] = pixel[2] = 1;
                continue;
            }
            int64_t i = r / times * W + (right >= 0 ? right : c) / times;
            colour_of(pixel, image, shape, i);
            if (right >= 0 && heat != NULL) {
                lay_over(pixel, heat[i]);
            }
        }
    }
    fl_status st = data_png_write(path, rgb, rows, cols, 3, 8, err);
    free(rgb);
    return st;
}
