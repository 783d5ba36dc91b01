/*
 * parallel.c - see parallel.h; without OpenMP one thread does everything
 */
#include "nn/parallel.h"

void nn_parallel(int threads, int64_t n, nn_part part, const void *ctx)
{
    if (threads > n) {
        threads = n > 1 ? (int)n : 1;
    }
    if (threads <= 1) {
        part(ctx, 0, n);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < threads; i++) {
        part(ctx, n * i / threads, n * (i + 1) / threads);
    }
}
