/*
 * channels.h - a number for each channel: added to an image, or summed up from one
 *
 * For layouts in blocks of channels and row-major ones; oneDNN has only its plain
 * reference for a bias that is broadcast to blocks, 50 times slower than memory.
 * Internal to nn/.
 */
#ifndef NN_CHANNELS_H
#define NN_CHANNELS_H

#include <stdbool.h>

#include "nn/build.h"

/* Whether slot, with these dimensions, lies as the kernels can take it. */
bool nn_channels_fit(nn_build *b, nn_slot slot, const nn_shape *dims);
/* x[n,c,i] += bias[c], in place.  bias: (C). */
void nn_channels_add(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot bias);
/* sum[c] = sum over n, i of x[n,c,i].  sum: (C). */
void nn_channels_sum(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot sum);

#endif
