/*
 * fuse.h - what stands behind a convolution and is done by it
 *
 * In use, BatchNormalization is a factor and a shift of each channel, so they go
 * into the weights and the bias: y = scale (W x + b - mean) / sqrt(var + eps) +
 * shift.  They are folded anew in each run, since parameters change between runs.
 * The sum with another branch and a ReLU are done while the convolution's result
 * is still in registers; ReLU in training too.
 * Internal to nn/.
 */
#ifndef NN_FUSE_H
#define NN_FUSE_H

#include "nn/build.h"

typedef struct {
    const nn_node *norm, *add, *relu;  // NULL: there is none
    nn_value other;                    // what is added
    nn_value last;                     // the value that the convolution then makes
} nn_fused;

/* What may be done by a convolution; an add only if it is wanted. */
nn_fused nn_fuse_find(nn_build *b, const nn_node *conv, bool with_add);
/* Weights, in layout plain, and bias with the normalisation folded in. */
void nn_fuse_fold(nn_build *b, const nn_fused *f, const nn_node *conv, const nn_layout *plain,
                  nn_slot *weight, nn_slot *bias);
/* y holds the last of the values: says so, and that the nodes are done. */
void nn_fuse_done(nn_build *b, const nn_fused *f, const nn_node *conv, nn_slot y);

#endif
