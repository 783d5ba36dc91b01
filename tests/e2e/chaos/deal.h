/*
 * deal.h - which faults a run gets
 *
 * A run is named by (seed, number).  The places where a program kills itself
 * are a deck that is shuffled once and dealt run by run, so that every
 * transition and every file has its turn; the rest is drawn.
 */
#ifndef DEAL_H
#define DEAL_H

#include <stdint.h>

#include "play.h"

/* What kind of run; a mix is dealt in turn. */
typedef enum {
    DEAL_CALLS,    // killed at transitions, files, messages
    DEAL_INSTANT,  // killed and stopped at any instant
    DEAL_LINE,     // delay, cut, throttle, hole
    DEAL_DISK,     // full, read-only, failing fsync, clocks
    DEAL_POWER,    // power cuts
    DEAL_LIES,     // a client that lies, and some of the above
    DEAL_GONE,     // a client is gone for longer than patience, or removed
    DEAL_N
} deal_kind;
const char *deal_name(deal_kind kind);

/* kind DEAL_N: whatever is next. */
void deal(plan *out, uint64_t seed, size_t number, deal_kind kind);
/* One line: what the run gets; caller's. */
char *deal_describe(const plan *p);

#endif
