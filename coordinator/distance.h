/*
 * distance.h - how far a round's updates lie from each other
 *
 * Between trainable parameters only.  The updates are read block by block, side by side in
 * 64 MiB however many they are; beside that there are n x n doubles.  It costs n (n - 1) / 2
 * subtractions, products and additions a parameter.  They are taken from the differences
 * themselves: |a|^2 + |b|^2 - 2ab, as a matrix product would have it, loses what tells updates
 * apart that are much alike.
 * Base models being the same, these are the distances of the trained models too.
 */
#ifndef COORDINATOR_DISTANCE_H
#define COORDINATOR_DISTANCE_H

#include "coordinator/aggregate.h"

/*
 * out (n x n): the squares, symmetric, 0 with oneself.  Each is a sum in double over runs of 1,024
 * parameters in their order, so its bits depend neither on threads and blocks nor on who else is
 * there.
 * FL_EFORMAT when a value is not finite or out of range.
 */
fl_status distance_squares(double *out, const nn_table *table, const aggregate_input *in,
                           fl_err *err);

#endif
