/*
 * medmnist.h - the images of an archive as inputs; known to this folder only
 */
#ifndef DATA_MEDMNIST_H
#define DATA_MEDMNIST_H

#include "data/set.h"

/* One case: where it lies in the archive. */
typedef struct {
    data_split split;  // array
    size_t index;      // row of the array
} data_npz_row;

/*
 * Gives every entry of s its input: row[i] of images, which are as data_npz_read_but
 * describes them (NULL: no such split).  In memory, or, where the archive or what is made of it
 * is large, from a cache.
 */
fl_status data_medmnist_images(data_set *s, const data_recipe *r,
                               const data_array *const images[static DATA_N_SPLITS],
                               const data_npz_row *row, fl_err *err);

#endif
