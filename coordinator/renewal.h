/*
 * renewal.h - the coordinator's own keys change, under the old ones' signature
 *
 *   old keys --begin--> told --every site knows, or a person does not wait--> new keys
 *
 * told: keys/next holds the new keys; the old ones are in use.  Who runs on the federation says
 * the rotation to every site, which keeps the new keys beside the old ones (client/peer.h) and
 * says so.  The keys in use change only in the process that holds the federation's lock, between
 * two times that it listens.  A crash leaves the old keys or the new ones (fed/rotation.h).
 * Threads: one.
 */
#ifndef COORDINATOR_RENEWAL_H
#define COORDINATOR_RENEWAL_H

#include <stdbool.h>

#include "base/err.h"
#include "coordinator/federation.h"
#include "coordinator/roster.h"
#include "fed/rotation.h"

enum { RENEWAL_SINCE = 3 };  // the protocol of a client that can learn the coordinator's keys

/* Makes the new keys.  FL_ECONFLICT when a rotation is under way. */
fl_status renewal_begin(fed_rotation *out, const federation *f, fl_err *err);
/* The rotation that is under way; false: none is. */
bool renewal_pending(fed_rotation *out, const federation *f);
/* A person does not wait for the sites that do not know the new keys yet. */
fl_status renewal_hurry(const federation *f, fl_err *err);
/* Nobody is waited for any more: everybody knows, or a person does not wait. */
bool renewal_is_due(const federation *f, const roster *r, const fed_rotation *rotation);
/* The new keys are f's from here on; with the lock held.  Nothing when no rotation is under way. */
fl_status renewal_take(federation *f, fl_err *err);
/* "nord, sud (invited), est (its client is too old: upgrade it)": who does not know the new keys
 * yet; "" when everybody does.  Caller's. */
char *renewal_unaware(const roster *r, const fed_rotation *rotation);

#endif
