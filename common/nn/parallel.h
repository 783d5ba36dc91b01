/*
 * parallel.h - a kernel of ours on the threads that oneDNN's primitives use
 *
 * One OpenMP runtime serves both, so a plan never has more threads than it was
 * given.  Whatever is shared out must not depend on who does which part.
 * Internal to nn/.
 */
#ifndef NN_PARALLEL_H
#define NN_PARALLEL_H

#include <stdint.h>

/* Does items [from, to). */
typedef void (*nn_part)(const void *ctx, int64_t from, int64_t to);

/* Calls part for stretches that cover [0, n), one a thread. */
void nn_parallel(int threads, int64_t n, nn_part part, const void *ctx);

#endif
