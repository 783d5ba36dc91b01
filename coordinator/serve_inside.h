/*
 * serve_inside.h - what serve.c and its parts share; for them alone
 *
 * serve.c holds the loop, the sites' connections and what they are told;
 * serve_offer.c a contribution's way from its Offer to the run; serve_enrol.c
 * sites that come with keys; serve_keys.c the coordinator's new keys, until every
 * site knows them.
 */
#ifndef COORDINATOR_SERVE_INSIDE_H
#define COORDINATOR_SERVE_INSIDE_H

#include "coordinator/serve.h"
#include "coordinator/transfer.h"

/* One site's connection and what it was told. */
typedef struct {
    serve *serve;
    fed_site_id site;
    fed_public_key key;
    fed_route route;
    int64_t connection;  // likewise, for the transport
    bool connected;  // said Hello on route
    uint32_t version;  // of the protocol, that it speaks
    bool has_told;
    fed_order_key told;  // the last order sent
    size_t *index;       // of the site in each run's machine, for ever
    transfer transfer;
    fed_order_key refused_key;  // contributions of this order were refused ...
    int n_refused;              // ... so often
    int64_t refused_ms;         // when one was last recorded at once; 0: never
    int n_malformed;            // messages
    int64_t rotate_ms;  // when it was last told the coordinator's next keys; 0: not on this connection
} session;

struct serve {
    serve_config cfg;
    roster *sites;
    fed_link *link;
    fed_waker *waker;  // to wait for it; nobody wakes
    run **runs;  // the active one, or all finished ones that some site missed
    size_t n_runs;
    bool active;
    session **sessions;  // of roster entry i; NULL: not heard yet
    size_t n_sessions;
    transfer_pool *pool;
    fl_buf packed;  // scratch
    int64_t first_news_ms, housekeeping_ms, progress_ms, answered_ms;
    int64_t listened_ms;  // the network was last emptied
    bool wants_new_keys;  // the coordinator's own are due to change
};

/* The run of that job; *which: its place among the runs.  NULL: not here. */
run *serve_run_of(serve *s, const fed_digest *digest, size_t *which);
fl_status serve_send(session *x, const fed_msg *m);
fl_status serve_send_to(serve *s, const fed_route *to, uint32_t version, const fed_msg *m,
                        const void *payload, size_t n);
/* In the oldest version, which every peer reads: it may be older than we know. */
void serve_send_refused(serve *s, const fed_route *to, fl_status code, const char *text);
/* Words for a client of any version, which logs them as an error and goes on. */
void serve_warn(session *x, const char *text);
void serve_send_verdict(session *x, const fed_digest *digest, bool accepted, const char *text);

/* After the roster changed: sessions follow their sites; revoked ones end here. */
void serve_follow_roster(serve *s);
/* A site that was invited has its keys now, or has others. */
void serve_follow_site(serve *s, const fed_site_id *name);
/* What is accepted so far, on disk and said. */
fl_status serve_commit(serve *s, int64_t now_ms, fl_err *err);

/* ---- serve_enrol.c ---- */
fl_status serve_on_enrol(serve *s, const fed_packet *packet, const fed_enrol *e, uint32_t version,
                         fl_err *err);
/* On the old key, before or after it was carried out: the answer may have been lost. */
fl_status serve_on_rotate(serve *s, size_t entry, const fed_packet *packet,
                          const fed_rotation *rotation, uint32_t version, fl_err *err);

/* ---- serve_offer.c ---- */
fl_status serve_on_offer(session *x, const fed_offer *o, fl_err *err);
fl_status serve_on_piece(session *x, const fed_msg *m, const fed_packet *packet, fl_err *err);

/* ---- serve_keys.c ---- */
/* Now and then: tells who does not know them yet, and sees whether they are due. */
void serve_tend_keys(serve *s, int64_t now_ms);
void serve_on_rotated(session *x, const fed_msg *m, size_t entry);

#endif
