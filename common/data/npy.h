/*
 * npy.h - how the numbers of a NumPy array lie in its file; known to this folder only
 */
#ifndef DATA_NPY_H
#define DATA_NPY_H

#include "data/formats.h"

enum { DATA_NPY_HEAD_BYTES = 65536 + 12 };  // no header is longer

/* Of the numbers behind a header. */
typedef struct {
    size_t at;     // bytes before the first
    bool swap;     // of the other byte order
    bool fortran;  // first index fastest, and more than one index
} data_npy_layout;

/*
 * Reads the header in the first n bytes of an array's `size`: out has its shape and type,
 * and no numbers.  Of an array of more than `most` bytes FL_ELIMIT.
 */
fl_status data_npy_head(data_npy_layout *layout, data_array *out, const uint8_t *bytes, size_t n,
                        uint64_t size, uint64_t most, const char *name, fl_err *err);

/* Turns the bytes of n numbers, item_bytes each, round. */
void data_npy_swap(uint8_t *bytes, size_t n, size_t item_bytes);

#endif
