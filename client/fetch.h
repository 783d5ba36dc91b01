/*
 * fetch.h - one object of the coordinator's on its way here
 *
 * Asks for at most 64 pieces at a time, for more when half of them are in, and
 * again for what is missing when none came for a while (a connection was lost).
 * What came is told of every few pieces, since the coordinator lends a site with
 * others beside it no more than twice as many that it has not heard of.
 * Holds one object; asking for another lets go of it.
 * Threads: belongs to one thread; what fetch_items gave may be read by others
 * until the fetch is started for another object or cleared.
 */
#ifndef CLIENT_FETCH_H
#define CLIENT_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fed/fed.h"
#include "fed/msg.h"
#include "fed/update.h"

enum {
    FETCH_WINDOW = 64,
    FETCH_TELL = 8,  // pieces after which a Beat is due
    FETCH_SILENCE_MS = 5000
};

typedef struct {
    fed_digest object;
    fed_inbox *inbox;  // NULL: nothing was asked for yet
    uint32_t asked;    // pieces before this one were asked for
    int64_t last_ms;   // when a piece came or was asked for
} fetch;

/* From now on this object; what is there of it stays. */
fl_status fetch_start(fetch *f, const fed_digest *object, uint64_t max_bytes, fl_err *err);
void fetch_clear(fetch *f);
bool fetch_is_done(const fetch *f);
/* true and the Fetch to send now in *out. */
bool fetch_next(fetch *f, int64_t now_ms, fed_msg *out);
/* A new connection: what was asked for on the old one will not come. */
void fetch_again(fetch *f);
/* A Piece; one of another object is ignored.  FL_EFORMAT: it is not what was
 * asked for; the fetch begins anew. */
fl_status fetch_piece(fetch *f, const fed_msg *m, const uint8_t *piece, size_t n, int64_t now_ms,
                      fl_err *err);
/* Of a whole object: FL_EFORMAT when it is encoded otherwise. */
fl_status fetch_items(const fetch *f, fed_encoding wanted, const void **items, uint64_t *n,
                      fl_err *err);

#endif
