/*
 * refusals.h - the connections that were turned away, bounded
 *
 * Included by transport*.c only.  Strangers decide how many there are, so equal
 * ones are merged, few different ones wait, and few come out a second.
 * Threads: any.
 */
#ifndef FED_REFUSALS_H
#define FED_REFUSALS_H

#include <pthread.h>

#include "fed/transport.h"

enum {
    FED_REFUSALS_WAITING = 64,  // different ones
    FED_REFUSALS_BURST = 32,    // that come out at once
    FED_REFUSALS_PER_SECOND = 10
};

typedef struct {
    pthread_mutex_t lock;
    fed_refusal waiting[FED_REFUSALS_WAITING];  // oldest first
    size_t n;
    fed_refusal others;   // for which there was no room; n_attempts 0 = none
    double tokens;        // refusals that may come out now
    double filled_at;     // fl_now() when tokens was right
} fed_refusals;

void fed_refusals_init(fed_refusals *r);
void fed_refusals_clear(fed_refusals *r);
/* key: optional. */
void fed_refusals_add(fed_refusals *r, const char *address, const char *reason,
                      const fed_public_key *key);
/* As fed_link_refusal. */
bool fed_refusals_next(fed_refusals *r, fed_refusal *out);

#endif
