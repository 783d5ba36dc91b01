/*
 * maps.h - predicted masks as files on the grid of the images they were made from
 *
 * For this hospital's eyes: files are named after cases.  Two classes: where
 * the probability of the foreground, linearly between the input's pixels, is 0.5
 * or more; more classes: that of the nearest pixel.
 */
#ifndef CLIENT_MAPS_H
#define CLIENT_MAPS_H

#include "base/err.h"
#include "task/task.h"

typedef struct {
    const char *dir;  // exists
    size_t n;         // cases written
} maps;

/*
 * task_maps.take: writes CASE.mask, CASE.prob (of not being background) and, of
 * several predictions, CASE.entropy and CASE.variance (of that probability).
 * PNG: a mask's foreground is 255, or with more classes its values are the codes;
 * a probability 0 to 255, the others 0 to 255 of what can be (log K nats, and 1/4).
 * Volumes, and images with an affine: .nii with the input's affine, codes,
 * probabilities and nats in thousandths, variances in hundred thousandths.
 */
fl_status maps_take(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err);

/* task_maps.take_own: writes CASE.NAME, as attention2, like a probability. */
fl_status maps_take_own(void *ctx, const data_set *set, size_t i, const char *what,
                        const float *map, const int64_t size[static 3], fl_err *err);

#endif
