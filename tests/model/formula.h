/*
 * formula.h - parameters and batches that PyTorch's side computes, too
 *
 * The scripts in tests/vectors that train or run a network in PyTorch use the
 * same integer formula, so that files hold results only.
 */
#ifndef TESTS_MODEL_FORMULA_H
#define TESTS_MODEL_FORMULA_H

#include <stdint.h>

#include "nn/graph.h"

/* Number i of a stream, in [-1, 1), exact in 24 bits. */
float formula_value(uint64_t stream, uint64_t i);
/* All parameters of a table, running statistics too; a stream for each name, as
 * set_parameters() of model_torch.py. */
void formula_parameters(float *data, const nn_table *table);
/* The graph of a model, as `client train --model` names it; the test fails where
 * it cannot be built. */
nn_graph *formula_build(const char *model, const nn_shape *input, int64_t n_outputs);

#endif
