/*
 * shift.h - what makes one hospital's images differ from another's
 *
 * A chain of named transforms with severities 0 (none) to 5, applied in order
 * to an image or a volume in [0, 1].  The simulator makes hospitals with it and
 * the robustness evaluation asks "and under that scanner?" with the same code.
 * Random parts draw from the stream given, so a case's shift repeats.
 */
#ifndef DATA_SHIFT_H
#define DATA_SHIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cfg.h"
#include "base/err.h"
#include "base/rng.h"
#include "nn/tensor.h"

enum { DATA_SHIFT_MAX = 16 };

/* What a transform changes in place. */
typedef struct {
    float *x;                 // (channels, depth, rows, cols) in [0, 1]
    int64_t channels, depth;  // depth 1: an image
    int64_t rows, cols;
    float *scratch;  // room for as many values as x, and for a plane
    uint8_t *const *masks;  // (depth, rows, cols) codes that move with x
    size_t n_masks;
    double pixel_size;  // how much more a pixel covers than before, in rows and columns
} data_shift_image;

typedef struct {
    const char *name;    // "blur"
    const char *family;  // "scanner" "artefact" "protocol" "stain" "workflow"
    const char *help;    // physics in one line, with the unit of severity 5
    bool needs_rgb;      // for colour images of three channels alone
    /* Leaves the image in [0, 1].  severity in (0, 5]. */
    void (*apply)(data_shift_image *image, double severity, fl_rng *rng);
    bool moves;  // what is shown comes to lie elsewhere
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

/* Does every transform of the chain fit inputs of this shape, (C, H, W) or (C, D, H, W)?
 * FL_EUNSUPPORTED for tables, and for a transform of colours on other images. */
fl_status data_shift_check(const data_shift *chain, const nn_shape *shape, fl_err *err);

/* Changes x of that shape, after the same check. */
fl_status data_shift_apply(const data_shift *chain, float *x, const nn_shape *shape, fl_rng *rng,
                           fl_err *err);

/* Does what is shown come to lie elsewhere?  Within a slice: of a volume every slice
 * moves alike. */
bool data_shift_moves(const data_shift *chain);

/* How much larger a pixel's spacing is in rows and columns, as by a larger field of view. */
double data_shift_pixel_size(const data_shift *chain);

/*
 * Moves n masks of an image of that shape, codes (H, W) or (D, H, W), as data_shift_apply
 * moves the image where rng is at the same place of the same stream.  Nearest neighbour;
 * what comes in from outside is code 0.
 */
fl_status data_shift_masks(const data_shift *chain, uint8_t *const *masks, size_t n,
                           const nn_shape *shape, fl_rng *rng, fl_err *err);

#endif
