/*
 * transfer.h - payloads in and out, under one pool of credit
 *
 * Bytes that are on their way are bounded by one pool for all sites and both
 * directions, first come first served: what was granted to come in and has not
 * been spooled, and what went out and is not known to have arrived.  So memory does
 * not grow with the number of sites.  Waiting for credit is not silence.
 *
 * While others wait, a site that is not heard, or on whose transfer nothing moves, keeps its credit
 * for a few seconds only.  But what it was granted may still come, and what it was sent lies
 * in our queue until its connection ends; so what is lent again in this way is bounded too, and a
 * connection that stays stuck is ended.  Never are more than TRANSFER_POOL_BYTES +
 * TRANSFER_LATE_BYTES on their way, whatever sites do, as long as they tell the truth about what
 * arrived; of one that does not, the transport's queues bound what lies in them.
 * Threads: one.
 */
#ifndef COORDINATOR_TRANSFER_H
#define COORDINATOR_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "coordinator/run.h"
#include "coordinator/spool.h"
#include "fed/msg.h"
#include "fed/transport.h"

enum {
    TRANSFER_POOL_BYTES = 256 * FED_PIECE_BYTES,
    TRANSFER_LATE_BYTES = TRANSFER_POOL_BYTES / 2,  // lent again while it may still be used
    TRANSFER_WINDOW = 64  // pieces a site may have on the way, each way
};

typedef enum {
    TRANSFER_IDLE,
    TRANSFER_QUEUED,  // wants credit
    TRANSFER_MOVING,
    TRANSFER_COMMITTING  // accepted; its Verdict waits for the commit
} transfer_state;

/* What one site sends and fetches. */
typedef struct {
    /* its contribution */
    transfer_state up;
    fed_offer *offer;
    spool *spool;  // NULL for a contribution without payload
    char *path;    // of the spool
    run *run;
    size_t site_index;  // in run's machine
    uint32_t granted;   // pieces before this one may come
    uint64_t up_bytes;  // of the pool
    uint64_t up_late;   // lent again, and may still come
    int64_t up_moved_ms;
    /* the object it fetches */
    bool fetching;
    fed_digest object;
    run *source;
    uint32_t next, end;   // pieces still to go out
    uint64_t down_bytes;  // of the pool
    uint64_t down_late;   // lent again, and may still lie in our queue
    int64_t down_moved_ms;
    void *site;                   // whom messages go to
    int64_t heard_ms;             // any message came from it; serve.c's to say
    bool queued_up, queued_down;  // in the pool's queue
} transfer;

/* The pool and who waits for it. */
typedef struct transfer_pool transfer_pool;
/* Sends one message to the site behind ctx; FL_ELIMIT: its queue is full. */
typedef fl_status (*transfer_send)(void *ctx, void *site, const fed_msg *m, const void *payload,
                                   size_t n);
/* Ends the site's connection, on which a transfer is stuck: it comes back with a new one. */
typedef void (*transfer_hang_up)(void *ctx, void *site);

transfer_pool *transfer_pool_new(transfer_send send, transfer_hang_up hang_up, void *ctx);
void transfer_pool_destroy(transfer_pool **p);
/* A site's transfers are zeroed, then added; forgotten before they are freed. */
void transfer_add(transfer_pool *p, transfer *t, void *site);
void transfer_forget(transfer_pool *p, transfer *t);
uint64_t transfer_pool_used(const transfer_pool *p);
uint64_t transfer_pool_late(const transfer_pool *p);

/* Starts receiving o into its spool, going on where it ends.  Without payload: whole at once. */
fl_status transfer_start(transfer_pool *p, transfer *t, run *r, size_t site_index,
                         const fed_offer *o, int64_t now_ms, fl_err *err);
/* A piece; *whole when it was the last. FL_EFORMAT: the contribution is refused; FL_EFULL, FL_EIO:
 * our disk. */
fl_status transfer_piece(transfer_pool *p, transfer *t, const fed_digest *object, uint32_t index,
                         const uint8_t *piece, size_t n, bool *moved, bool *whole, int64_t now_ms,
                         fl_err *err);
/* Offered again: sends a new Grant from where the spool ends. */
void transfer_again(transfer_pool *p, transfer *t);
/* Gives the credit back and forgets the contribution; its spool stays unless drop. */
void transfer_stop(transfer_pool *p, transfer *t, bool drop);

/* The site wants pieces [first, first + count) of an object of r. */
void transfer_fetch(transfer_pool *p, transfer *t, run *r, const fed_digest *object, uint32_t first,
                    uint32_t count, int64_t now_ms);
/* The site has the object's first n pieces; UINT32_MAX: everything that was sent to it. */
void transfer_arrived(transfer_pool *p, transfer *t, uint32_t n, int64_t now_ms);
/* No piece of the site's is on its way to us: it said so. */
void transfer_came(transfer_pool *p, transfer *t);
/* The site has a new connection: nothing is on its way, either way. */
void transfer_anew(transfer_pool *p, transfer *t);
/* Nothing was read for so long: no site is to blame for its silence. */
void transfer_was_deaf(transfer_pool *p, int64_t ms);

/* Grants and sends what the pool allows.  true: something is held up by a full queue, try again
 * soon. */
bool transfer_pump(transfer_pool *p, int64_t now_ms);

#endif
