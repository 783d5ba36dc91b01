/*
 * shift_family.c - see shift_family.h
 */
#include "data/shift_family.h"

#include <math.h>
#include <string.h>

enum { MAX_RADIUS = 512 };  // of a Gaussian, in pixels

/* One line of n samples a stride apart, convolved; edges are repeated. */
static void blur_line(float *out, const float *x, int64_t n, int64_t stride, const double *weight,
                      int64_t radius)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t k = -radius; k <= radius; k++) {
            int64_t at = i + k < 0 ? 0 : i + k >= n ? n - 1 : i + k;
            sum += weight[k < 0 ? -k : k] * (double)x[at * stride];
        }
        out[i * stride] = (float)sum;
    }
}

void data_shift_gaussian(float *x, int64_t planes, int64_t rows, int64_t cols, double sigma,
                         float *scratch)
{
    double weight[MAX_RADIUS + 1];
    double total = 0;
    if (sigma < 0.01) {  // pixels: nothing reaches the neighbour
        return;
    }
    int64_t radius = (int64_t)ceil(3 * sigma);
    radius = radius > MAX_RADIUS ? MAX_RADIUS : radius;

    for (int64_t k = 0; k <= radius; k++) {
        weight[k] = exp(-0.5 * (double)(k * k) / (sigma * sigma));
        total += k == 0 ? weight[k] : 2 * weight[k];
    }
    for (int64_t k = 0; k <= radius; k++) {
        weight[k] /= total;
    }
    for (int64_t p = 0; p < planes; p++) {
        float *plane = x + p * rows * cols;
        for (int64_t r = 0; r < rows; r++) {
            blur_line(scratch + r * cols, plane + r * cols, cols, 1, weight, radius);
        }
        for (int64_t c = 0; c < cols; c++) {
            blur_line(plane + c, scratch + c, rows, cols, weight, radius);
        }
    }
}

double data_shift_between(const float *x, int64_t rows, int64_t cols, double r, double c)
{
    r = fmin(fmax(r, 0), (double)(rows - 1));
    c = fmin(fmax(c, 0), (double)(cols - 1));
    int64_t top = (int64_t)r;
    int64_t left = (int64_t)c;
    int64_t bottom = top + 1 < rows ? top + 1 : top;
    int64_t right = left + 1 < cols ? left + 1 : left;
    double down = r - (double)top;
    double across = c - (double)left;
    double upper = (1 - across) * (double)x[top * cols + left] +
                   across * (double)x[top * cols + right];
    double lower = (1 - across) * (double)x[bottom * cols + left] +
                   across * (double)x[bottom * cols + right];
    return (1 - down) * upper + down * lower;
}

/* The pixel nearest to (r, c); outside, the nearest edge's. */
static int64_t nearest(double r, double c, int64_t rows, int64_t cols)
{
    r = fmin(fmax(floor(r + 0.5), 0), (double)(rows - 1));
    c = fmin(fmax(floor(c + 0.5), 0), (double)(cols - 1));
    return (int64_t)r * cols + (int64_t)c;
}

/* Every plane of the masks likewise, but codes are not mixed. */
static void warp_masks(data_shift_image *image, data_shift_map map, const void *ctx)
{
    int64_t cols = image->cols;
    int64_t n = image->rows * cols;
    uint8_t *was = (uint8_t *)image->scratch;
    for (size_t k = 0; k < image->n_masks * (size_t)image->depth; k++) {
        uint8_t *plane = image->masks[k / (size_t)image->depth] +
                         (int64_t)(k % (size_t)image->depth) * n;
        memcpy(was, plane, (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            double at[2];
            bool inside = map(at, (const double[2]){(double)(i / cols), (double)(i % cols)}, ctx);
            plane[i] = inside ? was[nearest(at[0], at[1], image->rows, cols)] : 0;
        }
    }
}

void data_shift_warp(data_shift_image *image, data_shift_map map, const void *ctx)
{
    int64_t rows = image->rows;
    int64_t cols = image->cols;
    for (int64_t k = 0; k < data_shift_planes(image); k++) {
        float *plane = image->x + k * rows * cols;
        memcpy(image->scratch, plane, (size_t)(rows * cols) * sizeof *plane);
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < cols; c++) {
                double at[2];
                bool inside = map(at, (const double[2]){(double)r, (double)c}, ctx);
                double v = inside ? data_shift_between(image->scratch, rows, cols, at[0], at[1])
                                  : 0;
                plane[r * cols + c] = data_shift_unit(v);
            }
        }
    }
    warp_masks(image, map, ctx);
}
