/*
 * channels.h - how the channels of an image lie, and a number for each of them
 *
 * Images lie in blocks of channels, with channels last, or row-major.  All three
 * are (N, G, HW, block): G groups of block channels that lie side by side; one
 * group when channels come last, groups of one channel when row-major.  Kernels
 * of ours that see them so serve all of them, in float32 and bfloat16.
 * Internal to nn/.
 */
#ifndef NN_CHANNELS_H
#define NN_CHANNELS_H

#include <stdbool.h>

#include "nn/build.h"

typedef struct {
    int64_t N, C, G, HW, block;
    bool last;  // channels come last
    bool bf16;  // else float32
} nn_channels;

/* How slot, an image with these dimensions, lies; false when in none of these ways. */
bool nn_channels_of(nn_channels *out, nn_build *b, nn_slot slot, const nn_shape *dims);
/* The layout in which an image with these dimensions lies like that. */
const nn_layout *nn_channels_layout(nn_build *b, const nn_channels *like, const nn_shape *dims);

/*
 * x[n,c,i] += bias[c], in place, and sum[c] = sum over n, i of x[n,c,i]; bias and
 * sum: (C), float32.  oneDNN has only its plain reference for a number that is
 * broadcast to blocks, 50 times slower than memory.
 */
void nn_channels_add(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot bias);
void nn_channels_sum(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot sum);

#endif
