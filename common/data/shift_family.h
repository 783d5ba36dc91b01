/*
 * shift_family.h - what the families of shifts share; known to this folder only
 *
 * A family is a file with one table, ended by an entry without a name.  Lengths
 * are parts of the image's short side, so a severity means the same to the eye at
 * any resolution.
 */
#ifndef DATA_SHIFT_FAMILY_H
#define DATA_SHIFT_FAMILY_H

#include "data/shift.h"

#define DATA_PI 3.14159265358979323846

extern const data_shift_ops data_shift_scanner[];   // sharpness, noise, brightness
extern const data_shift_ops data_shift_artefact[];  // motion, metal, rings
extern const data_shift_ops data_shift_protocol[];  // how the picture is taken and shown
extern const data_shift_ops data_shift_stain[];     // colours of a slide
extern const data_shift_ops data_shift_workflow[];  // what happens to the picture afterwards

static inline float data_shift_unit(double v)
{
    return v > 0 ? (v < 1 ? (float)v : 1.0f) : 0.0f;
}

static inline int64_t data_shift_side(const data_shift_image *image)
{
    return image->rows < image->cols ? image->rows : image->cols;
}

static inline int64_t data_shift_planes(const data_shift_image *image)
{
    return image->channels * image->depth;
}

static inline int64_t data_shift_count(const data_shift_image *image)
{
    return data_shift_planes(image) * image->rows * image->cols;
}

/* Convolves planes with a Gaussian of sigma pixels, edges repeated; scratch holds one plane. */
void data_shift_gaussian(float *x, int64_t planes, int64_t rows, int64_t cols, double sigma,
                         float *scratch);

/* Value at (r, c) between pixel centres; outside, the nearest edge. */
double data_shift_between(const float *x, int64_t rows, int64_t cols, double r, double c);

/*
 * Where a pixel of the new image comes from in the old one.  from and *to are
 * (row, col); false: from outside, which is black.
 */
typedef bool (*data_shift_map)(double to[2], const double from[2], const void *ctx);

/* Every plane seen through the map, linearly between pixels; masks by the nearest one. */
void data_shift_warp(data_shift_image *image, data_shift_map map, const void *ctx);

#endif
