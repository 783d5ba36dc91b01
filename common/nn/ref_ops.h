/*
 * ref_ops.h - the operators' definitions, as ref.c finds them
 *
 * One entry per operator in ref.c and the other ref_*.c.  A backward
 * adds to the gradients of the inputs.  Internal to nn/, for tests only.
 */
#ifndef NN_REF_OPS_H
#define NN_REF_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "nn/graph.h"

/* One operator with its numbers. */
typedef struct {
    const nn_node *node;
    const nn_shape *in_shape[NN_MAX_INPUTS], *out_shape;  // the batch is a number here
    double *in[NN_MAX_INPUTS], *din[NN_MAX_INPUTS];       // NULL where an input is left out
    double *out, *dout;
    double *kept;  // as many numbers as out, from forward to backward
    bool train;
    fl_rng *rng;
} nn_ref_call;

typedef struct {
    const char *op;
    void (*forward)(const nn_ref_call *c);
    void (*backward)(const nn_ref_call *c);
} nn_ref_op;

/* Ended by one without a name. */
extern const nn_ref_op nn_ref_map[], nn_ref_arrange[], nn_ref_product[];

/* Where number i of a tensor of shape out reads one of shape in (broadcast). */
int64_t nn_ref_broadcast_index(const nn_shape *out, const nn_shape *in, int64_t i);

#endif
