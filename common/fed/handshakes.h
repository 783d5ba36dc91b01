/*
 * handshakes.h - which connections never became one, told from scraps
 *
 * libzmq says on which descriptor a connection opened or closed, and that some
 * handshake failed, but not whose.  Within one of its threads the failure comes
 * right before the close, so the two are put together here; a connection that
 * closed without a failure and without a single message was none either.
 * Included by transport_zmq_server.c only.
 * Threads: one, but for fed_handshakes_spoke.
 */
#ifndef FED_HANDSHAKES_H
#define FED_HANDSHAKES_H

#include <stdatomic.h>

#include "fed/refusals.h"

enum { FED_HANDSHAKES_PENDING = 64 };

typedef enum {
    FED_SHAKE_RECORDED,   // refused by its key, and recorded by that
    FED_SHAKE_NO_CURVE,
    FED_SHAKE_OTHER_KEY,  // encrypted for another server's key
    FED_SHAKE_MALFORMED,
    FED_SHAKE_GAVE_UP     // not completed in time
} fed_shake_failure;

typedef struct {
    fed_refusals *refusals;    // borrowed; where they are recorded
    char (*peers)[64];         // by descriptor: address of the connection on it
    size_t n_peers;
    atomic_uchar *spoke;       // by descriptor: a message came in on it
    size_t n_spoke;
    fed_shake_failure pending[FED_HANDSHAKES_PENDING]; // oldest first
    size_t n_pending;
} fed_handshakes;

void fed_handshakes_init(fed_handshakes *h, fed_refusals *refusals);
void fed_handshakes_clear(fed_handshakes *h);

/* A connection was accepted: asks the system for its address. */
void fed_handshakes_opened(fed_handshakes *h, int fd);
/* A message came in on fd; from the owner's thread. */
void fed_handshakes_spoke(fed_handshakes *h, int fd);
/* Somebody's handshake failed; its connection is about to close. */
void fed_handshakes_failed(fed_handshakes *h, fed_shake_failure why);
/* A connection closed; recorded unless it was a good one. */
void fed_handshakes_closed(fed_handshakes *h, int fd);

/* IPv4 as IPv4 although the socket speaks IPv6; borrowed. */
const char *fed_plain_address(const char *address);

#endif
