/*
 * augment.h - small changes that teach a model what does not matter
 *
 * The usual set for medical images: flips where anatomy allows them, small
 * rotations, shifts and scalings, gamma, noise.  Geometry is done to image and
 * mask alike, in one interpolation (the image linearly, the mask by nearest
 * neighbour).  Everything random is drawn from the stream given, so a case is
 * changed the same way in the same epoch on every machine.
 */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cfg.h"
#include "base/rng.h"
#include "nn/tensor.h"

typedef struct {
    bool flip_horizontal, flip_vertical;  // each with probability 1/2
    double rotate;                        // up to so many degrees to either side, in the plane
    double shift;                         // up to this share of the side, along each axis
    double scale;                         // from 1 / (1 + scale) to 1 + scale, evenly in its log
    double gamma;                         // exponents from 1 / (1 + gamma) to 1 + gamma, likewise
    double noise;                         // sd from 0 to this, of values in [0, 1]
} data_augment;

/* Reads `augment:`; complaints go to the document.  An absent one changes nothing. */
void data_augment_read(data_augment *out, fl_node map);
/* A flow mapping, as on a command line. */
fl_status data_augment_parse(data_augment *out, const char *text, fl_err *err);

bool data_augment_does_something(const data_augment *a);

/*
 * Changes an image x, (C, H, W) or (C, D, H, W) in [0, 1], and its mask (H, W)
 * or (D, H, W), NULL where there is none; both in place, left in range.  What
 * comes in over the edge repeats it in the image and is background in the mask.
 * scratch: room for the image.
 */
void data_augment_apply(const data_augment *a, float *x, uint8_t *mask, const nn_shape *shape,
                        fl_rng *rng, float *scratch);

#endif
