/*
 * vectors.h - what a strategy keeps between rounds
 *
 * Momenta and the like: ops->n_vectors vectors of P floats at the coordinator, which belong to a
 * round's model as much as its parameters do.
 */
#ifndef COORDINATOR_VECTORS_H
#define COORDINATOR_VECTORS_H

#include "coordinator/strategy.h"

/* The vectors with their first values; caller frees each and the list. NULL with FL_ELIMIT. */
float **vectors_new(const strategy *s, int64_t P, fl_err *err);
void vectors_free(float ***vectors, const strategy *s);
/* On disk as safetensors: vector.0, vector.1 ... with the strategy's name. */
fl_status vectors_write(const char *path, const strategy *s, int64_t P, float *const *vectors,
                        fl_err *err);
fl_status vectors_read(float ***vectors, const char *path, const strategy *s, int64_t P,
                       fl_err *err);

#endif
