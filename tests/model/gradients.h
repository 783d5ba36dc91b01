/*
 * gradients.h - an architecture's gradient against finite differences
 */
#ifndef TESTS_MODEL_GRADIENTS_H
#define TESTS_MODEL_GRADIENTS_H

#include "nn/tensor.h"

/*
 * Builds the model with two outputs, takes formula.h's parameters and four images,
 * the mean square as loss.  Fails the test
 *   - if the plain loops' gradient differs, along a random direction of all
 *     parameters at once, from a central difference in double;
 *   - if a step of the plan in fp32 gives another loss, or a gradient that is
 *     further from the plain loops' than tolerance of its size (L2).
 */
void gradients_check(const char *model, nn_shape input, double tolerance);

/* The same of the model up to the layer or block `last`, behind which are a mean over the
 * image and two outputs. */
void gradients_check_until(const char *model, const char *last, nn_shape input, double tolerance);

#endif
