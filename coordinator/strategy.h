/*
 * strategy.h - from a round's updates to the next global model
 *
 * A strategy is a table of functions that works block by block: one const
 * table a file, one line in the registry (strategy.c).  One that sees the sum is
 * given trainable kinds only; running statistics are plainly averaged by aggregate.c.
 * One that sees each update is given both: a wrong one is to have no say in the
 * statistics either.  Sums are exact before a strategy sees them, so the same
 * contributions give the same bits.  An update is trained - base: a step that the sites propose.
 */
#ifndef COORDINATOR_STRATEGY_H
#define COORDINATOR_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "job/job.h"

enum { STRATEGY_MAX_PARAMS = 8, STRATEGY_MAX_VECTORS = 2 };

typedef enum {
    STRATEGY_SUM,  // sees the weighted mean of the updates
    STRATEGY_EACH  // sees every update
} strategy_view;

/* A setting in the job's `strategy:`. */
typedef struct {
    const char *key;
    double dflt, min, max;
    const char *help;
    bool whole;  // takes no fractions
} strategy_param;

/* How many updates a rule must have in a round to be what its name says. */
typedef struct {
    size_t n;
    const char *why;      // "2 byzantine + 3"
    const char *instead;  // of more updates: "a smaller byzantine"
} strategy_least;

/* A stretch of parameters. */
typedef struct {
    float *out;              // the new global, to write
    const float *global;     // the global that the updates start from
    const float *const *in;  // SUM: in[0] is the mean update; EACH: every site's, by its name
    size_t n;                // SUM: 1; EACH: sites
    float *const *vector;    // n_vectors stretches of server state, to bring up to date
    int64_t count;           // parameters
} strategy_block;

typedef struct {
    const char *name;              // as written in the job: "fedavg"
    const char *paper;             // printed in the report
    const strategy_param *params;  // ends with {0}; value i of a strategy belongs to params[i]
    strategy_view sees;
    int n_vectors;                           // server state between rounds, P floats each
    int vector_start[STRATEGY_MAX_VECTORS];  // index of the parameter that says so; -1: zeros
    /* NULL: one is enough. */
    strategy_least (*least)(const double *value);
    /*
     * EACH: once a round, before the first stretch: which of the n updates count; block() is given
     * those alone.  distance (n x n): the squares of the updates' distances (distance.h).
     * chosen (n): false before.  NULL: all count.
     */
    void (*choose)(const double *value, const double *distance, size_t n, bool *chosen);
    /* Once for every stretch, in any order.  No i/o; keeps no pointer; may not look at other
     * stretches. */
    void (*block)(const double *value, const strategy_block *b);
} strategy_ops;

/* A table with its settings. */
typedef struct {
    const strategy_ops *ops;
    double value[STRATEGY_MAX_PARAMS];
    bool uniform;  // every site weighs the same
} strategy;

const strategy_ops *strategy_find(const char *name);  // NULL when unknown
const strategy_ops *strategy_at(size_t i);            // NULL behind the last
/* FL_ECONFIG names the known strategies, or the setting that is unknown or out of range. */
fl_status strategy_init(strategy *out, const job_strategy *cfg, fl_err *err);
/* The first value of a state vector. */
float strategy_vector_start(const strategy *s, int vector);
/* The fewest updates of a round that the strategy takes. */
strategy_least strategy_least_of(const strategy *s);
/* Every strategy with its settings, for `coordinator keys`. */
void strategy_describe(FILE *out);

#endif
