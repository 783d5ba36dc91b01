/*
 * picture.h - an image beside itself under a heat map or with outlines, as a PNG for people
 */
#ifndef CLIENT_PICTURE_H
#define CLIENT_PICTURE_H

#include <stdint.h>

#include "base/err.h"
#include "nn/tensor.h"

/*
 * image: (C, H, W) in [0, 1], the first channel or, of three, all as colours.  heat: (H, W) in
 * [-1, 1]: red speaks for, blue against; NULL: the image alone, twice as an empty map.  Small
 * images are enlarged pixel by pixel.  Atomic.
 */
fl_status picture_write(const char *path, const float *image, const nn_shape *shape,
                        const float *heat, fl_err *err);

/*
 * The image beside itself with the outlines of two masks, (H, W) codes, 0 = nothing: first in
 * solid blue, second in dashed orange over it.  Otherwise as above.
 */
fl_status picture_write_outlines(const char *path, const float *image, const nn_shape *shape,
                                 const uint8_t *first, const uint8_t *second, fl_err *err);

#endif
