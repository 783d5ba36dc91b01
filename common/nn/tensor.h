/*
 * tensor.h - what a shape is, and what its letters mean
 *
 * Letters have one meaning everywhere:
 *   N batch   C channels   D H W depth, height, width   K classes
 *   P parameters   S sites   B boxes
 * Arrays are float32, row-major, innermost dimension last, unless a line says
 * otherwise.  An image batch is (N, C, H, W) or (N, C, D, H, W), a table (N, C).
 */
#ifndef NN_TENSOR_H
#define NN_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NN_MAX_RANK = 6 };

typedef struct {
    int rank;                  // 0 = scalar
    int64_t dim[NN_MAX_RANK];  // each >= 1; dim[0] == NN_BATCH: the batch
} nn_shape;

enum { NN_BATCH = -1 };  // "as many rows as the plan has", only in dim[0]

/* Product of the dimensions, the batch counting as n; -1 on overflow. */
int64_t nn_shape_count(const nn_shape *s, int64_t n);
bool nn_shape_equal(const nn_shape *a, const nn_shape *b);
/* "1x64x64" into out (at least 128 bytes); N for the batch. */
void nn_shape_text(char *out, size_t n, const nn_shape *s);

#endif
