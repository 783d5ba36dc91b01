/*
 * tensor.c - arithmetic on shapes; see tensor.h
 */
#include "nn/tensor.h"

#include <inttypes.h>
#include <stdio.h>

int64_t nn_shape_count(const nn_shape *s, int64_t n)
{
    int64_t count = 1;

    for (int i = 0; i < s->rank; i++) {
        int64_t dim = s->dim[i] == NN_BATCH ? n : s->dim[i];
        if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) {
            return -1;
        }
    }
    return count;
}

bool nn_shape_equal(const nn_shape *a, const nn_shape *b)
{
    if (a->rank != b->rank) {
        return false;
    }
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] != b->dim[i]) {
            return false;
        }
    }
    return true;
}

void nn_shape_text(char *out, size_t n, const nn_shape *s)
{
    size_t used = 0;

    snprintf(out, n, "%s", s->rank == 0 ? "scalar" : "");
    for (int i = 0; i < s->rank && used < n; i++) {
        const char *times = i > 0 ? "x" : "";
        used += (size_t)(s->dim[i] == NN_BATCH
                             ? snprintf(out + used, n - used, "%sN", times)
                             : snprintf(out + used, n - used, "%s%" PRId64, times, s->dim[i]));
    }
}
