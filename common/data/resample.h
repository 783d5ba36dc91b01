/*
 * resample.h - an image on another grid: sizes, parts, axes, another image's grid
 *
 * Each function moves the pixels and, with them, what says where they lie: view,
 * spacing and affine of a data_image.  Known to this folder only.
 */
#ifndef DATA_RESAMPLE_H
#define DATA_RESAMPLE_H

#include "data/formats.h"

/*
 * Resizes planes of (rows, cols): each axis by area averaging when it shrinks,
 * linearly between pixel centres when it grows.
 * out: (planes, to_rows, to_cols), may not overlap x.
 */
void data_resize(float *out, int64_t to_rows, int64_t to_cols, const float *x, int64_t planes,
                 int64_t rows, int64_t cols);

/* To so many frames, rows and columns; the edges stay where they were. */
fl_status data_image_resize(data_image *image, const int64_t to[static 3], const char *name,
                            fl_err *err);
/* The middle of that size; where the image is smaller, its least value around it. */
fl_status data_image_crop(data_image *image, const int64_t to[static 3], const char *name,
                          fl_err *err);
/*
 * Turns and mirrors the axes until they point as said, for columns, rows and
 * frames: "RAS" = to the right, the front, the top.  No value changes.
 * FL_ECONFIG when the file does not say where its axes point, or when a flat image
 * would not stay flat.
 */
fl_status data_image_orient(data_image *image, const char *axes, const char *name, fl_err *err);

/*
 * Replaces image by itself on the grid of to.  Both know where they lie: at every
 * voxel's place, linear between voxels, after averaging where the image is
 * finer; 0 outside.  Else both must be of one number of frames, and fill the same plane.
 */
fl_status data_image_match(data_image *image, const data_image *to, const char *name, fl_err *err);

#endif
