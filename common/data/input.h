/*
 * input.h - what a case gives a model; known to this folder only
 *
 * Kept as small as it came (a byte a pixel where no step changed it) and
 * turned into float32 when a batch is copied.
 */
#ifndef DATA_INPUT_H
#define DATA_INPUT_H

#include "data/formats.h"
#include "data/recipe.h"

typedef enum { DATA_SAMPLE_U8, DATA_SAMPLE_U16, DATA_SAMPLE_F32 } data_sample;

typedef struct {
    void *samples;  // (channels, ...), from malloc
    data_sample sample;
    float full;  // sample / full is the input before normalising
    data_normalise normalise;
    float mean, factor;  // (sample / full - mean) * factor is the input
    nn_shape shape;      // without the batch
    uint8_t digest[32];  // of the content, to find the same image twice
} data_input;

/*
 * Takes a decoded image through the recipe's preprocess, shift and normalise;
 * image->data is used up.
 * expect: the job's input, rank 0 when it does not say.
 * name: the case's, which with the recipe's seed names the shift's stream.
 * where: for the sentence.
 */
fl_status data_input_make(data_input *out, data_image *image, const data_recipe *r,
                          const nn_shape *expect, const char *name, const char *where, fl_err *err);

/* Applies a chain to an image (C, H, W) or a volume (C, D, H, W) in [0, 1], drawing from the
 * stream (seed, "shift", name).  FL_EUNSUPPORTED as data_shift_check. */
fl_status data_input_shift_values(float *x, const nn_shape *shape, const data_shift *chain,
                                  uint64_t seed, const char *name, fl_err *err);

/* The same chain, from the same stream, over masks of it: data_shift_masks. */
fl_status data_input_shift_masks(uint8_t *const *masks, size_t n, const nn_shape *shape,
                                 const data_shift *chain, uint64_t seed, const char *name,
                                 fl_err *err);

/* Replaces in->samples, which it does not free, by shifted ones that are the
 * caller's to own; normalises again. */
fl_status data_input_shift(data_input *in, const data_shift *chain, uint64_t seed, const char *name,
                           fl_err *err);

/* Of the samples in memory. */
size_t data_input_bytes(const data_input *in);

/* x = (sample / full - mean) * factor; n values. */
void data_input_copy(float *x, const data_input *in, size_t n);
/* x = sample / full, in [0, 1]. */
void data_input_copy_raw(float *x, const data_input *in, size_t n);

#endif
