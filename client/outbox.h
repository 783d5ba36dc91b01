/*
 * outbox.h - the only door out of the hospital
 *
 * Every byte with content that leaves passes this file: contributions (check,
 * update, score, test, done, lend, cross), the sentences of replies, the environment text,
 * the keys of an enrolment.  It
 *   - checks a contribution against what its kind may hold and against the
 *     hospital's policy (contents.h); what does not pass stays;
 *   - signs it, writes it to outbox/ and records it in receipts.jsonl before byte
 *     one can be sent; outbox.c says what of it is flushed to the disk, and why;
 *   - keeps the exact bytes until the coordinator has committed the round, so
 *     that what is sent again is what was sent before;
 *   - takes folders and file names out of sentences (scrub.h).
 * Fetches and heartbeats hold a digest and counters, and need no door.
 *
 * A contribution's file is its payload, then the packed offer, the run's name,
 * their lengths and a mark; it is there whole or not at all.
 * Threads: files are the only state.  A worker puts, the network thread does
 * the rest.
 */
#ifndef CLIENT_OUTBOX_H
#define CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "client/home.h"
#include "client/policy.h"
#include "fed/fed.h"
#include "fed/msg.h"
#include "fed/update.h"
#include "nn/params.h"

/* A contribution on its way. */
typedef struct {
    fed_offer offer;  // signed
    int fd;           // its file; -1 when closed
    size_t stride;    // bytes of a full piece in it
} outbox_item;

void outbox_item_close(outbox_item *item);  // the file stays; fine when closed

/*
 * Puts a contribution into the outbox.  draft: key, base model and scalars are
 * filled in (for an update the table hash too); the rest is made here.
 * FL_EDENIED: policy or kind forbid it; FL_EFORMAT: not finite or out of range;
 * nothing was written then.  FL_EFULL, FL_EIO: try again later.
 * enc: how an update travels; rounded before for FED_ENC_BF16 (rest.h).
 */
fl_status outbox_put_update(outbox_item *out, const home *h, const policy *p, const char *run,
                            const fed_offer *draft, const nn_table *table, const float *update,
                            fed_encoding enc, fl_err *err);
/* The hospital's own model, in answer to LEND; likewise. */
fl_status outbox_put_model(outbox_item *out, const home *h, const policy *p, const char *run,
                           const fed_offer *draft, const nn_table *table, const float *model,
                           fl_err *err);
/* payload: an object, or NULL for none; borrowed. */
fl_status outbox_put_json(outbox_item *out, const home *h, const policy *p, const char *run,
                          const fed_offer *draft, const json_t *payload, fl_err *err);

/* What was put earlier, by this or an earlier process: FL_ENOTFOUND when there
 * is nothing.  A damaged file, or one signed by keys that never were ours, counts as nothing and is
 * removed. */
fl_status outbox_open(outbox_item *out, const home *h, const char *run, const fed_order_key *key,
                      fl_err *err);
/* Before it is offered: with the keys that are ours now, if a rotation came between. */
void outbox_sign_again(outbox_item *item, const home *h);
/* Piece index of the payload to piece (room FED_PIECE_BYTES). */
fl_status outbox_piece(const outbox_item *item, uint32_t index, uint8_t *piece, size_t *n,
                       fl_err *err);

/* Forgets contributions to now's job that the coordinator has moved past: every one that does not
 * answer now, but of updates of committed rounds only the one that was answered (NULL: none was):
 * the others are late (outbox_late). */
void outbox_settle(const home *h, const fed_order_key *now, fed_round_no committed,
                   const fed_order_key *answered);
/* An update of now's job without an answer, whose round was committed meanwhile: the coordinator may
 * carry it into the next.  As outbox_open; FL_ENOTFOUND: there is none. */
fl_status outbox_late(outbox_item *out, const home *h, const char *run, const fed_order_key *now,
                      fed_round_no committed, const fed_order_key *answered, fl_err *err);
/* Forgets one: it was refused, or nobody will ask for it again. */
void outbox_drop(const home *h, const fed_order_key *key);
/* Removes what a killed process left half-written, and records what a power cut took from
 * receipts.jsonl.  Call with the home locked. */
void outbox_sweep(const home *h);
/* Records the coordinator's answer to a contribution. */
void outbox_verdict(const home *h, const char *run, const fed_offer *offer, bool accepted,
                    const char *text);

// ------------------------------------------------- messages without a payload

void outbox_reply(fed_msg *out, const home *h, const char *run, const fed_order_key *key,
                  fed_answer answer, bool mismatch, const char *text);
/* record: the first time in a process; later ones say the same again. */
void outbox_hello(fed_msg *out, const home *h, const fed_digest *digest, fed_round_no committed,
                  bool record);
void outbox_rotate(fed_msg *out, const home *h, const fed_rotation *rotation, bool record);
/* The answer to the coordinator's own rotation. */
void outbox_rotated(fed_msg *out, const home *h, const fed_verify_key *key, bool accepted,
                    const char *why, bool record);
void outbox_enrol(fed_msg *out, const home *h, const fed_invitation *inv, bool record);
/* Library versions and CPU features, at most 256 bytes. */
void outbox_environment(char *out, size_t n);

#endif
