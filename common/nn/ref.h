/*
 * ref.h - every operator in plain loops and double precision: the definition
 *
 * Tests compare the planned operators, and finite differences, with these.
 * Nothing else uses them, and no care is taken to be fast.
 *
 *     nn_ref *r = nn_ref_new(g, 4, true);
 *     ... write inputs and parameters into nn_ref_value(r, v) ...
 *     nn_ref_forward(r, NULL);
 *     ... write the loss's gradient into nn_ref_grad(r, output) ...
 *     nn_ref_backward(r);
 */
#ifndef NN_REF_H
#define NN_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "nn/graph.h"

typedef struct nn_ref nn_ref;

/* For batches of N rows.  g is borrowed until destroy. */
nn_ref *nn_ref_new(const nn_graph *g, int64_t N, bool train);
void nn_ref_destroy(nn_ref **r);

/* The numbers of a value, row-major: the caller writes those of inputs and
 * parameters.  nn_ref_count says how many. */
double *nn_ref_value(nn_ref *r, nn_value v);
double *nn_ref_grad(nn_ref *r, nn_value v);
int64_t nn_ref_count(const nn_ref *r, nn_value v);
/* All parameters from (to) a flat vector in the order of the table. */
void nn_ref_set_params(nn_ref *r, const float *data);
void nn_ref_get_param_grads(nn_ref *r, double *grad);

/* rng: of dropout; NULL drops nothing.  With train, batch statistics are used
 * and running ones advanced. */
void nn_ref_forward(nn_ref *r, fl_rng *rng);
/* From the gradients of the outputs, which the caller has written, to those of
 * every other value. */
void nn_ref_backward(nn_ref *r);

#endif
