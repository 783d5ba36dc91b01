/*
 * rest.h - what rounding takes from a site's updates, kept for the next one
 *
 * In a job with `pieces: bf16` an update leaves rounded.  What that takes would be lost,
 * round after round, where steps are small; so it is added to the site's next update
 * (error feedback: Seide et al. 2014, Stich et al. 2018).  The remainder of round r is
 * runs/R/rest-r, written before the outbox has the update; it is current once the
 * coordinator has committed r, and so rolls forward and back with the rounds.  It never leaves, and
 * is removed when the job is done, before the coordinator hears that it is: a process that is
 * killed in between is given the same order, and removes it then.
 * Threads: a worker's.
 */
#ifndef CLIENT_REST_H
#define CLIENT_REST_H

#include <stdint.h>

#include "base/err.h"
#include "client/home.h"
#include "fed/msg.h"

/*
 * Adds the current remainder to update (P), rounds it to bfloat16 in place and keeps what that
 * took as the order's round's.  The same order gives the same again.  FL_EFORMAT: a
 * remainder is damaged.
 */
fl_status rest_round(float *update, const home *h, const fed_order *order, int64_t P, fl_err *err);

/* At the end of the job, when no update can follow: its remainders go. */
fl_status rest_drop(const home *h, const char *run, fl_err *err);

#endif
