/*
 * aggregate.h - one round's contributions become the next global model
 *
 * A pure function of the contributions in site order, the last global and the
 * strategy's vectors; `coordinator aggregate` and the round use the same one.
 * Works in blocks of FED_PIECE_VALUES parameters, on all cores, so memory does
 * not grow with the number of sites; the sums are exact, so their bits do not
 * depend on who adds what.
 */
#ifndef COORDINATOR_AGGREGATE_H
#define COORDINATOR_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "coordinator/strategy.h"
#include "nn/params.h"

typedef struct {
    size_t n;                // contributions, in an order that follows from what they are
    const uint64_t *weight;  // of each, >= 1
    const double *norm;      // |a| of each (nova.h): updates of unequal work; NULL: as they are
    const uint32_t *late;    // rounds that each comes after its own (carry.h); NULL: none is late
    void *ctx;
    /* Writes count values of contribution i from offset on to out.  Several threads call it at once. */
    fl_status (*read)(void *ctx, size_t i, float *out, int64_t offset, int64_t count, fl_err *err);
} aggregate_input;

/*
 * out (P): the new global.  global (P): the last one.  vectors: ops->n_vectors
 * of P floats, brought up to date in place.  counted (n): NULL, or receives which contributions
 * are in it: all, unless the strategy chooses.  Running statistics become the
 * weighted mean, unless the strategy sees each update.
 * FL_EFORMAT when a value is not finite or out of range; FL_ECONFIG when the strategy needs more
 * contributions.
 */
fl_status aggregate_run(float *out, bool *counted, float *const *vectors, const strategy *s,
                        const nn_table *table, const float *global, const aggregate_input *in,
                        fl_err *err);

/* May the job's strategy be given the updates that the job asks for, and as many as its quorum
 * promises?  FL_ECONFIG says what not. */
fl_status aggregate_check(const job *j, const strategy *s, fl_err *err);

/*
 * Weights whose sum fits FED_MAX_WEIGHT_SUM: as they are, or all halved as
 * often as needed (never below 1); all 1 when uniform.  FL_ELIMIT above
 * FED_MAX_WEIGHT_SUM contributions.
 */
fl_status aggregate_weights(uint32_t *out, const uint64_t *weight, size_t n, bool uniform,
                            fl_err *err);

/* A stretch of a table with one way to add: trainable, or running statistics. */
typedef struct {
    int64_t offset, count;
    bool trainable;
} aggregate_stretch;
/* The stretch that begins at offset, cut at end, both within the table. */
aggregate_stretch aggregate_stretch_at(const nn_table *table, int64_t offset, int64_t end);

#endif
