/*
 * shift.h - what makes one hospital's images differ from another's
 *
 * A chain of named transforms with severities 0 (none) to 5, applied in order
 * to an image in [0, 1].  The simulator makes hospitals with it and the
 * robustness evaluation asks "and under that scanner?" with the same code.
 * Random parts draw from the stream given, so a case's shift repeats.
 */
#ifndef DATA_SHIFT_H
#define DATA_SHIFT_H

#include <stddef.h>
#include <stdint.h>

#include "base/cfg.h"
#include "base/err.h"
#include "base/rng.h"

enum { DATA_SHIFT_MAX = 16 };

typedef struct {
    const char *name;  // "blur"
    const char *help;  // physics in one line, with the unit of severity 5
    /* x: (channels, rows, cols) in [0, 1], changed in place and left in [0, 1].
     * severity in (0, 5].  scratch has room for channels*rows*cols floats. */
    void (*apply)(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                  fl_rng *rng, float *scratch);
} data_shift_ops;

const data_shift_ops *data_shift_find(const char *name);  // NULL when unknown
const data_shift_ops *data_shift_at(size_t i);            // NULL behind the last

typedef struct {
    const data_shift_ops *ops[DATA_SHIFT_MAX];
    double severity[DATA_SHIFT_MAX];
    size_t n;
} data_shift;

/* Reads a list [blur: 1, noise: 2.5]; complaints go to the document. */
void data_shift_read(data_shift *out, fl_node list);
fl_status data_shift_apply(const data_shift *chain, float *x, int64_t channels, int64_t rows,
                           int64_t cols, fl_rng *rng, fl_err *err);

#endif
