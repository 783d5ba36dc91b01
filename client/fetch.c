/*
 * fetch.c - see fetch.h
 */
#include "client/fetch.h"

#include <string.h>

fl_status fetch_start(fetch *f, const fed_digest *object, uint64_t max_bytes, fl_err *err)
{
    if (f->inbox != NULL && fed_digest_equal(&f->object, object)) {
        return FL_OK;
    }
    *f = (fetch){.object = *object, .inbox = f->inbox};
    return f->inbox == NULL ? fed_inbox_new(&f->inbox, object, max_bytes, err)
                            : fed_inbox_renew(f->inbox, object, max_bytes, err);
}

void fetch_clear(fetch *f)
{
    fed_inbox_destroy(&f->inbox);
    *f = (fetch){.inbox = NULL};
}

bool fetch_is_done(const fetch *f)
{
    return f->inbox != NULL && fed_inbox_done(f->inbox);
}

void fetch_again(fetch *f)
{
    f->asked = 0;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool fetch_next(fetch *f, int64_t now_ms, fed_msg *out)
{
    if (f->inbox == NULL || fed_inbox_done(f->inbox)) {
        return false;
    }
    uint32_t next = fed_inbox_next(f->inbox);
    uint32_t n_pieces = fed_inbox_n_pieces(f->inbox);  // 0: not known
    bool is_silent = now_ms - f->last_ms >= FETCH_SILENCE_MS;
    if (f->asked < next || is_silent) {
        f->asked = next;
    }
    uint32_t under_way = f->asked - next;
    uint32_t rest = n_pieces == 0 ? FETCH_WINDOW : n_pieces - f->asked;
    uint32_t count = least(FETCH_WINDOW - under_way, rest);
    bool is_first_known = n_pieces != 0 || f->asked == 0;
    if (under_way > FETCH_WINDOW / 2 || count == 0 || !is_first_known) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->type = FED_MSG_FETCH;
    out->u.fetch.object = f->object;
    out->u.fetch.first = f->asked;
    out->u.fetch.count = count;
    f->asked += count;
    f->last_ms = now_ms;
    return true;
}

fl_status fetch_piece(fetch *f, const fed_msg *m, const uint8_t *piece, size_t n, int64_t now_ms,
                      fl_err *err)
{
    if (f->inbox == NULL || fed_inbox_done(f->inbox) ||
        !fed_digest_equal(&m->u.piece.object, &f->object)) {
        return FL_OK;
    }
    fl_status st = fed_inbox_add(f->inbox, m->u.piece.index, m->u.piece.n_pieces,
                                 m->u.piece.n_bytes, piece, n, err);
    f->last_ms = now_ms;
    if (st != FL_OK) {
        return st;  // asked for again after the silence, not in a tight loop
    }
    uint32_t n_pieces = fed_inbox_n_pieces(f->inbox);
    if (n_pieces > 0 && f->asked > n_pieces) {
        f->asked = n_pieces;  // the first window was asked for before this was known
    }
    return FL_OK;
}

fl_status fetch_items(const fetch *f, fed_encoding wanted, const void **items, uint64_t *n,
                      fl_err *err)
{
    fed_encoding enc = wanted;
    FL_REQUIRE(fetch_is_done(f));
    *items = fed_inbox_items(f->inbox, &enc, n);
    if ((enc == FED_ENC_BYTES) != (wanted == FED_ENC_BYTES)) {
        return fl_fail(err, FL_EFORMAT,
                       "an object of the coordinator's is not encoded as expected");
    }
    return FL_OK;
}
