/*
 * transfer.c - see transfer.h
 */
#include "coordinator/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    DOWN_SHARE = 16,        // pieces on the way to a site while others wait: it tells of every eighth
    LEAST_GRANT = 16,       // pieces; less is not worth a message, nor the wait for the next one
    UP_LEASE_MS = 10000,    // without a piece, a site's credit is lent again
    DOWN_LEASE_MS = 30000,  // without word of what was sent to it, likewise
    SILENT_MS = 6000,       // and so it is when nothing is heard of the site for three beats
    STUCK_MS = 60000,       // without either, its connection is ended
    RECLAIM_MS = 1000
};

typedef struct {
    transfer *t;
    bool up;
} waiting;

struct transfer_pool {
    transfer_send send;
    transfer_hang_up hang_up;
    void *ctx;
    uint64_t used, late;
    transfer **all;
    size_t n_all;
    waiting *queue;  // ring
    size_t head, n_queue, cap;
    int64_t reclaimed_ms;
    uint8_t piece[FED_PIECE_BYTES];
};

transfer_pool *transfer_pool_new(transfer_send send, transfer_hang_up hang_up, void *ctx)
{
    transfer_pool *p = fl_xcalloc(1, sizeof *p);
    p->send = send;
    p->hang_up = hang_up;
    p->ctx = ctx;
    return p;
}

void transfer_pool_destroy(transfer_pool **p)
{
    if (*p != NULL) {
        free((*p)->all);
        free((*p)->queue);
        FL_FREE(*p);
    }
}

uint64_t transfer_pool_used(const transfer_pool *p)
{
    return p->used;
}

uint64_t transfer_pool_late(const transfer_pool *p)
{
    return p->late;
}

// -------------------------------------------------------------------- queue

static void push(transfer_pool *p, transfer *t, bool up)
{
    bool *queued = up ? &t->queued_up : &t->queued_down;
    if (*queued) {
        return;
    }
    if (p->n_queue == p->cap) {
        size_t cap = p->cap == 0 ? 16 : 2 * p->cap;
        waiting *queue = fl_xcalloc(cap, sizeof *queue);
        for (size_t i = 0; i < p->n_queue; i++) {
            queue[i] = p->queue[(p->head + i) % p->cap];
        }
        free(p->queue);
        p->queue = queue;
        p->head = 0;
        p->cap = cap;
    }
    p->queue[(p->head + p->n_queue++) % p->cap] = (waiting){t, up};
    *queued = true;
}

static waiting pop(transfer_pool *p)
{
    waiting w = p->queue[p->head];
    p->head = (p->head + 1) % p->cap;
    p->n_queue--;
    if (w.t != NULL) {
        *(w.up ? &w.t->queued_up : &w.t->queued_down) = false;
    }
    return w;
}

/* The one that was popped last stays the first. */
static void unpop(transfer_pool *p, waiting w)
{
    p->head = (p->head + p->cap - 1) % p->cap;
    p->n_queue++;
    *(w.up ? &w.t->queued_up : &w.t->queued_down) = true;
}

static void unqueue(transfer_pool *p, transfer *t, bool up)
{
    bool *queued = up ? &t->queued_up : &t->queued_down;
    for (size_t i = 0; i < p->n_queue && *queued; i++) {
        waiting *w = &p->queue[(p->head + i) % p->cap];
        if (w->t == t && w->up == up) {
            w->t = NULL;  // popped later
            *queued = false;
        }
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* So much is not on its way any more: first of what is held. */
static void give_back(transfer_pool *p, uint64_t *held, uint64_t *late, uint64_t bytes)
{
    uint64_t of_held = least(bytes, *held), of_late = least(bytes - of_held, *late);
    *held -= of_held;
    p->used -= of_held;
    *late -= of_late;
    p->late -= of_late;
}

static void give_back_up(transfer_pool *p, transfer *t, uint64_t bytes)
{
    give_back(p, &t->up_bytes, &t->up_late, bytes);
}

static void give_back_down(transfer_pool *p, transfer *t, uint64_t bytes)
{
    give_back(p, &t->down_bytes, &t->down_late, bytes);
}

/* What is held may still be used, but others wait for it. */
static void lend_again(transfer_pool *p, uint64_t *held, uint64_t *late)
{
    uint64_t bytes = least(*held, TRANSFER_LATE_BYTES - p->late);
    *held -= bytes;
    p->used -= bytes;
    *late += bytes;
    p->late += bytes;
}

static void revoke(transfer *t)
{
    t->granted = t->spool != NULL ? spool_next(t->spool) : 0;
}

static void hang_up(transfer_pool *p, transfer *t)
{
    p->hang_up(p->ctx, t->site);
    transfer_anew(p, t);
}

void transfer_add(transfer_pool *p, transfer *t, void *site)
{
    t->site = site;
    p->all = fl_xrealloc(p->all, p->n_all + 1, sizeof *p->all);
    p->all[p->n_all++] = t;
}

static void stop_fetch(transfer_pool *p, transfer *t)
{
    unqueue(p, t, false);
    t->fetching = false;
}

void transfer_forget(transfer_pool *p, transfer *t)
{
    transfer_stop(p, t, false);
    transfer_anew(p, t);
    for (size_t i = 0; i < p->n_all; i++) {
        if (p->all[i] == t) {
            p->all[i] = p->all[--p->n_all];
            return;
        }
    }
}

// ----------------------------------------------------------------------- in

fl_status transfer_start(transfer_pool *p, transfer *t, run *r, size_t site_index,
                         const fed_offer *o, int64_t now_ms, fl_err *err)
{
    bool same = t->offer != NULL && fed_digest_equal(&t->offer->digest, &o->digest);
    transfer_came(p, t);  // an Offer comes behind what was sent before
    transfer_stop(p, t, !same);  // one spool a site: offers cannot fill the disk
    t->run = r;
    t->site_index = site_index;
    t->offer = fl_xcalloc(1, sizeof *t->offer);
    *t->offer = *o;
    t->up_moved_ms = now_ms;
    if (o->n_pieces == 0) {
        t->up = TRANSFER_MOVING;
        return FL_OK;
    }
    t->path = run_spool_path(r, o);
    fl_status st = spool_open(&t->spool, t->path, check_encoding(run_check_job(r), o), o->n_bytes,
                              o->n_pieces, err);
    if (st != FL_OK) {
        transfer_stop(p, t, false);
        return st;
    }
    t->granted = spool_next(t->spool);
    t->up = TRANSFER_MOVING;
    transfer_again(p, t);
    return FL_OK;
}

void transfer_again(transfer_pool *p, transfer *t)
{
    if (t->spool == NULL || t->up == TRANSFER_COMMITTING || spool_is_whole(t->spool)) {
        return;
    }
    transfer_came(p, t);
    t->up = TRANSFER_QUEUED;
    round_set_waits_for_credit(run_machine(t->run), t->site_index, true);
    push(p, t, true);
}

fl_status transfer_piece(transfer_pool *p, transfer *t, const fed_digest *object, uint32_t index,
                         const uint8_t *piece, size_t n, bool *moved, bool *whole, int64_t now_ms,
                         fl_err *err)
{
    *moved = *whole = false;
    if (t->up != TRANSFER_MOVING || t->spool == NULL ||
        !fed_digest_equal(object, &t->offer->digest) || index != spool_next(t->spool) ||
        index >= t->granted) {
        return FL_OK;  // a repeat, a gap, or nothing that was asked for
    }
    fl_status st = FL_OK;
    if (check_is_numbers(t->offer)) {
        st = check_piece(run_check_job(t->run), t->offer, piece, n, index, err);
    }
    if (st != FL_OK || (st = spool_append(t->spool, piece, n, err)) != FL_OK) {
        return st;
    }
    *moved = true;
    *whole = spool_is_whole(t->spool);
    t->up_moved_ms = now_ms;
    give_back_up(p, t, FED_PIECE_BYTES);
    if (!*whole && spool_next(t->spool) == t->granted) {
        transfer_again(p, t);
    }
    return FL_OK;
}

void transfer_stop(transfer_pool *p, transfer *t, bool drop)
{
    unqueue(p, t, true);
    lend_again(p, &t->up_bytes, &t->up_late);  // pieces of one that was refused may still come
    if (t->up_bytes > 0) {
        hang_up(p, t);
    }
    if (t->up == TRANSFER_QUEUED) {
        round_set_waits_for_credit(run_machine(t->run), t->site_index, false);
    }
    if (drop && t->path != NULL) {
        unlink(t->path);
    }
    spool_close(&t->spool);
    FL_FREE(t->offer);
    FL_FREE(t->path);
    t->up = TRANSFER_IDLE;
}

/* A window of pieces, as far as the pool goes.  false: it does not go far enough.  What comes
 * back piece by piece is not lent piece by piece (Clark 1982, RFC 813: the silly window). */
static bool grant(transfer_pool *p, transfer *t, int64_t now_ms)
{
    uint32_t next = spool_next(t->spool);
    uint64_t want = least(t->offer->n_pieces - next, TRANSFER_WINDOW);
    uint64_t room = (TRANSFER_POOL_BYTES - p->used) / FED_PIECE_BYTES;
    if (room < least(want, LEAST_GRANT)) {
        return false;
    }
    want = least(want, room);
    t->granted = next + (uint32_t)want;
    t->up_bytes = want * FED_PIECE_BYTES;
    p->used += t->up_bytes;
    t->up = TRANSFER_MOVING;
    t->up_moved_ms = now_ms;
    round_set_waits_for_credit(run_machine(t->run), t->site_index, false);
    fed_msg m = {.type = FED_MSG_GRANT};
    m.u.grant.digest = t->offer->digest;
    m.u.grant.next = next;
    m.u.grant.credits = (uint32_t)want;
    if (p->send(p->ctx, t->site, &m, NULL, 0) != FL_OK) {
        transfer_came(p, t);  // gone: it offers again when it is back
    }
    return true;
}

void transfer_came(transfer_pool *p, transfer *t)
{
    give_back_up(p, t, UINT64_MAX);
    revoke(t);
}

void transfer_anew(transfer_pool *p, transfer *t)
{
    transfer_came(p, t);
    stop_fetch(p, t);
    give_back_down(p, t, UINT64_MAX);
}

void transfer_was_deaf(transfer_pool *p, int64_t ms)
{
    for (size_t i = 0; i < p->n_all; i++) {
        transfer *t = p->all[i];
        t->heard_ms += ms;
        t->up_moved_ms += ms;
        t->down_moved_ms += ms;
    }
}

// ---------------------------------------------------------------------- out

void transfer_fetch(transfer_pool *p, transfer *t, run *r, const fed_digest *object, uint32_t first,
                    uint32_t count, int64_t now_ms)
{
    uint32_t n_pieces;
    uint64_t n_bytes;
    if (!objects_find(run_objects(r), object, &n_pieces, &n_bytes) || first >= n_pieces) {
        return;
    }
    if (!t->fetching || !fed_digest_equal(&t->object, object)) {
        transfer_arrived(p, t, UINT32_MAX, now_ms);
    } else {
        /* A site asks for more when at most half a window of what it asked for is missing. */
        transfer_arrived(p, t, first > TRANSFER_WINDOW / 2 ? first - TRANSFER_WINDOW / 2 : 0,
                         now_ms);
    }
    uint32_t end = count < n_pieces - first ? first + count : n_pieces;
    bool goes_on = t->fetching && fed_digest_equal(&t->object, object) && t->next < t->end &&
                   first == t->end;
    if (!goes_on) {
        t->next = first;
    }
    t->object = *object;
    t->source = r;
    t->end = end;
    t->fetching = true;
    push(p, t, false);
}

void transfer_arrived(transfer_pool *p, transfer *t, uint32_t n, int64_t now_ms)
{
    uint64_t missing = t->next > n ? (uint64_t)(t->next - n) * FED_PIECE_BYTES : 0;
    uint64_t sent = t->down_bytes + t->down_late;
    if (sent > missing) {
        give_back_down(p, t, sent - missing);
        t->down_moved_ms = now_ms;
    }
}

typedef enum { SENT, NO_ROOM, BLOCKED } sending;

static sending send_pieces(transfer_pool *p, transfer *t, int64_t now_ms)
{
    fed_msg m = {.type = FED_MSG_PIECE};
    m.u.piece.object = t->object;
    if (!objects_find(run_objects(t->source), &t->object, &m.u.piece.n_pieces,
                      &m.u.piece.n_bytes)) {
        t->fetching = false;  // dropped meanwhile: its order has changed too
        return SENT;
    }
    /* Nobody holds half a model for which there is no credit while others hold theirs: a small
     * model goes out whole, and of a large one as much as keeps the line busy. */
    const uint64_t share = p->n_queue > 0 ? DOWN_SHARE : TRANSFER_WINDOW;
    while (t->next < t->end) {
        if (p->used + FED_PIECE_BYTES > TRANSFER_POOL_BYTES) {
            return NO_ROOM;
        }
        if (t->down_bytes + t->down_late + FED_PIECE_BYTES > share * FED_PIECE_BYTES) {
            return BLOCKED;
        }
        size_t n = objects_piece(run_objects(t->source), &t->object, t->next, p->piece);
        m.u.piece.index = t->next;
        fl_status st = p->send(p->ctx, t->site, &m, p->piece, n);
        if (st == FL_ELIMIT) {
            return BLOCKED;
        }
        if (st != FL_OK) {
            t->fetching = false;  // gone: it asks again when it is back
            return SENT;
        }
        t->next++;
        t->down_bytes += n;
        t->down_moved_ms = now_ms;
        p->used += n;
        run_count_bytes(t->source, 0, n);
    }
    return SENT;
}

static bool is_stuck(uint64_t bytes, int64_t moved_ms, int64_t now_ms)
{
    return bytes > 0 && now_ms - moved_ms > STUCK_MS;
}

/* While somebody waits: credit on which nothing moves is lent again, as far as that goes. */
static void reclaim(transfer_pool *p, int64_t now_ms)
{
    if (p->n_queue == 0 || now_ms - p->reclaimed_ms < RECLAIM_MS) {
        return;
    }
    p->reclaimed_ms = now_ms;
    for (size_t i = 0; i < p->n_all; i++) {
        transfer *t = p->all[i];
        bool gone = now_ms - t->heard_ms > SILENT_MS;
        if (gone || now_ms - t->up_moved_ms > UP_LEASE_MS) {
            lend_again(p, &t->up_bytes, &t->up_late);
        }
        if (gone || now_ms - t->down_moved_ms > DOWN_LEASE_MS) {
            lend_again(p, &t->down_bytes, &t->down_late);
        }
        if (is_stuck(t->up_bytes + t->up_late, t->up_moved_ms, now_ms) ||
            is_stuck(t->down_bytes + t->down_late, t->down_moved_ms, now_ms)) {
            hang_up(p, t);
        }
    }
}

bool transfer_pump(transfer_pool *p, int64_t now_ms)
{
    reclaim(p, now_ms);
    bool held_up = false;
    for (size_t left = p->n_queue; left > 0; left--) {
        waiting w = pop(p);
        transfer *t = w.t;
        if (t == NULL) {
            continue;
        }
        if (w.up) {
            if (!grant(p, t, now_ms)) {
                unpop(p, w);
                return true;
            }
            continue;
        }
        sending how = send_pieces(p, t, now_ms);
        if (how == NO_ROOM) {
            unpop(p, w);
            return true;
        }
        if (t->fetching && t->next < t->end) {
            push(p, t, false);
        }
        held_up = held_up || how != SENT;
    }
    return held_up || p->n_queue > 0;
}
