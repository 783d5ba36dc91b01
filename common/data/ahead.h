/*
 * ahead.h - reads what a pass over a data set will ask for next
 *
 * A thread of its own brings the samples of the coming cases from the disk
 * into the system's memory, at most DATA_AHEAD_BYTES before whoever trains, so that
 * a step does not wait for the disk.  Of a data set that is kept in memory there is
 * nothing to read, and no thread.
 * Threads: one owner; the data set outlives it.
 */
#ifndef DATA_AHEAD_H
#define DATA_AHEAD_H

#include "data/dataset.h"

enum { DATA_AHEAD_BYTES = 16 << 20 };

typedef struct data_ahead data_ahead;

/* NULL when s is in memory; all of these are fine on NULL. */
data_ahead *data_ahead_new(const data_set *s);
/* A pass over the n cases of order begins; order is copied. */
void data_ahead_start(data_ahead *a, const size_t *order, size_t n);
/* The pass has come to order[at]. */
void data_ahead_at(data_ahead *a, size_t at);
void data_ahead_destroy(data_ahead **a);

#endif
