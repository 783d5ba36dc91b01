/*
 * peer.h - the coordinator's keys, as this hospital knows them
 *
 * client.yaml has those of the invitation.  When they change, the coordinator says so under the
 * signature of those that the hospital knows (fed/rotation.h):
 *
 *   known --peer_learn--> known, and the next beside them --peer_takes_next--> the next are known
 *
 * While the next ones are beside them, both are tried (line.h); once the coordinator has answered
 * on the next ones, the old ones are never used again.
 *     keys/coordinator.next    the rotation to the next ones
 *     keys/coordinator.jsonl   every rotation by which the known ones came to be
 * Each is written before anything follows from it, so a killed client has the old or the new.
 * Threads: the network thread, before and after which the home is nobody else's.
 */
#ifndef CLIENT_PEER_H
#define CLIENT_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "client/home.h"
#include "fed/rotation.h"

/* With the invitation's keys in h: follows the files.  For home_open. */
fl_status peer_read(home *h, fl_err *err);
void peer_clear(home *h);
/* The next keys, on the disk when it returns.  FL_EDENIED: the known ones do not lead there. */
fl_status peer_learn(home *h, const fed_rotation *r, fl_err *err);
/* The coordinator has spoken with the next keys: they are the known ones from here on. */
fl_status peer_takes_next(home *h, fl_err *err);
/* Every rotation of a coordinator's former.jsonl that leads on from the known keys, at once; *n: how
 * many.  FL_EDENIED when there is none. */
fl_status peer_trust(home *h, const char *path, size_t *n, fl_err *err);
/* Did this hospital ever know the key? */
bool peer_knew(const home *h, const fed_verify_key *key);

#endif
