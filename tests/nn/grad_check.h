/*
 * grad_check.h - a graph's gradients by the plan, by the plain loops, and by
 * finite differences of the plain loops
 */
#ifndef TESTS_NN_GRAD_CHECK_H
#define TESTS_NN_GRAD_CHECK_H

#include <stdint.h>

#include "nn/graph.h"

typedef struct {
    int64_t N;  // rows of the batch
    int threads;
    double tolerance;  // of the plan against the plain loops, relative to the largest
} grad_check_config;

/*
 * g is finished, has one input and an output (N, K); its loss is the mean
 * square against random targets.  Fails the test with the parameter's name
 *   - if the plain loops' gradient differs from finite differences in double
 *     by more than 1e-6 of its largest entry (central, step 1e-5: the error of
 *     the difference itself is some 1e-9);
 *   - if the plan's gradient, running statistics or output, trained or not,
 *     differs from the plain loops' by more than the tolerance;
 *   - where the CPU has bf16, if those of a plan with mixed precision are apart
 *     by more than its rounding explains.
 */
void grad_check(const nn_graph *g, const grad_check_config *cfg);

#endif
