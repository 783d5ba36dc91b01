/*
 * order.h - carries out one order of the coordinator, on a worker thread
 *
 * From the fetched bytes to a contribution in the outbox, or to the sentence
 * why not: the job is read, judged against the hospital's policy, the data are
 * opened, the model is checked, and the order's own work is done (one function
 * an order kind, a table at the end of order.c).  Knows no network.
 * Threads: a worker calls order_carry_out; until it returns, other threads may
 * touch nothing of the work but its progress.
 */
#ifndef CLIENT_ORDER_H
#define CLIENT_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "client/home.h"
#include "client/local.h"
#include "client/outbox.h"
#include "fed/msg.h"

typedef enum {
    ORDER_CONTRIBUTED,  // item holds what to offer, unless it was made before
    ORDER_PENDING,      // a person must approve; ask again in a while
    ORDER_REFUSED,      // policy, or the work failed
    ORDER_MISMATCH,     // the data do not fit the job
    ORDER_UNREADABLE,   // the data are not there, or cannot be read: ask again in a while
    ORDER_STOPPED,      // cancelled
    ORDER_LATER         // the hospital's own disk: ask again in a while
} order_outcome;

typedef struct {
    const home *home;
    fed_order order;
    const char *job_text;  // borrowed until it is over, as all inputs
    size_t n_job;
    job_graph graph;     // of a job whose model is from a file; bytes NULL: not needed
    const float *model;  // (n_model) NULL for CHECK
    uint64_t n_model;
    const char *report;  // DONE
    size_t n_report;
    local **local;  // what the site keeps open between orders; NULL at first
    bool is_made;   // its contribution is in the outbox: the policy alone is asked
    local_progress progress;
    atomic_bool is_over;  // the pool's word (pool.h)

    order_outcome outcome;
    outbox_item item;        // the caller's to close
    char text[FL_ERR_TEXT];  // why, unless contributed; not scrubbed yet
} order_work;

void order_carry_out(order_work *w);
/* Does the policy of this moment let contributions to that job leave?  While no worker has l.
 * l: of the job, or nobody can tell, and it is false. */
bool order_may_leave(const home *h, const local *l, const fed_digest *digest);

#endif
