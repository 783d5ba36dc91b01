/*
 * heads.h - the heads of a run's audit record that come with its orders
 *
 * Kept in receipts.jsonl, one a commit and the last, so that the hospital can tell later whether the
 * record was cut or rewritten (verify.c).
 */
#ifndef CLIENT_HEADS_H
#define CLIENT_HEADS_H

#include <stdbool.h>

#include "client/home.h"
#include "fed/msg.h"

/* The one that was kept last; zeros: none. */
typedef struct {
    fed_digest job;
    fed_round_no commit;  // when this round was the last committed one
} heads;

/* Keeps the order's, where it is of another commit.  false: it does not bear the coordinator's
 * signature, and nothing is to be done about such an order. */
bool heads_keep(heads *k, const home *h, const fed_order *o);

#endif
