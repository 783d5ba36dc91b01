/*
 * receipts.h - the hospital's own record of what left, and what came of it
 *
 * receipts.jsonl, one JSON object a line:
 *     {"what": "sent", "kind", "run", "job", "round", "fields", "bytes",
 *      "digest", "signature", "time"}          before byte one is sent
 *     {"what": "accepted" | "refused", ...}    the coordinator's answer
 *     {"what": "head", "run", "job", "lines", "last", "signature", "time"}
 *                                              how far the coordinator's audit record
 *                                              went, under its signature (fed/audit.h)
 * A "sent" line is flushed to the disk before byte one leaves, or follows from a
 * file of the outbox that was (outbox.c); the others reach it with the next one.
 * Threads: any; a line is appended in one write.
 */
#ifndef CLIENT_RECEIPTS_H
#define CLIENT_RECEIPTS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "client/home.h"
#include "fed/msg.h"

/* A line to be filled in further; kind: "update", "reply" ... */
json_t *receipts_new(const char *what, const char *kind, const char *run, const fed_order_key *key);
/* The same of a contribution, with its bytes and digest. */
json_t *receipts_of(const char *what, const char *run, const fed_offer *offer);
/* "update" for TRAIN, else the order's name. */
const char *receipts_kind(fed_order_kind kind);

/* Adds the time, appends and flushes, with all lines before it; line is taken. */
fl_status receipts_add(const home *h, json_t *line, fl_err *err);
/* The same, not flushed. */
fl_status receipts_add_later(const home *h, json_t *line, fl_err *err);
/* All lines so far, to the disk. */
fl_status receipts_flush(const home *h, fl_err *err);
/* Is all on the disk that this process says has left? */
bool receipts_are_flushed(const home *h);
/* Is there a line with this text in it? */
fl_status receipts_find(const home *h, const char *text, bool *found, fl_err *err);
/* Ends a line that a power cut tore, so that the next one stands alone, and flushes what an
 * earlier process did not. */
void receipts_mend(const home *h);

/* Keeps the head that came with an order; not flushed. */
fl_status receipts_add_head(const home *h, const fed_order *order, fl_err *err);

/* Every line of a job, in order.  New reference. */
fl_status receipts_of_job(json_t **out, const home *h, const fed_digest *job, fl_err *err);
/* What left: the "sent" lines of one run, or of all (NULL).  New reference. */
fl_status receipts_sent(json_t **out, const home *h, const char *run, fl_err *err);

#endif
