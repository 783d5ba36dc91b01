/*
 * serve.h - the coordinator at work: one loop over the network and the clock
 *
 * Receives what sites say, gives it to the run's machine, and tells each site
 * its order.  Orders are level-triggered: each site has one current order; it is
 * sent after Hello, when it changes, and when a Beat names another one.  Lost
 * messages therefore need no repair of their own.
 * Threads: one, plus the transport's own, which asks roster_allow.
 */
#ifndef COORDINATOR_SERVE_H
#define COORDINATOR_SERVE_H

#include <stdbool.h>

#include "base/err.h"
#include "coordinator/federation.h"
#include "coordinator/run.h"
#include "fed/transport.h"

typedef struct serve serve;

typedef struct {
    const federation *fed;  // locked by the caller
    const char *bind;       // "tcp://*:7700"; NULL: in-process (fed_listen_mem), for tests
    /* The run to bring to its end, or NULL: enrol, hand out models of finished runs, wait. */
    const char *run_dir;
    uint32_t beat_ms;  // heartbeat asked for; 0 = 2000
    int group_ms;      // acceptances wait so long to share a commit; 0 = 50, below: not at all
    bool quiet;        // no progress lines
    run_probe probe;   // tests
    void *probe_ctx;
} serve_config;

/* FL_ECONFIG when the quorum is more than the sites that are enrolled or invited. */
fl_status serve_new(serve **out, const serve_config *cfg, fl_err *err);
void serve_destroy(serve **s);
const char *serve_address(const serve *s);
/* Bytes of the credit pool that are in use. */
uint64_t serve_under_way(const serve *s);

/* Handles what there is, waiting at most timeout_ms; *done when the run has finished. */
fl_status serve_step(serve *s, int timeout_ms, bool *done, fl_err *err);
/* Until the run has finished, serve_wants_new_keys, or a stop is requested: FL_ESTOPPED when that
 * leaves a run unfinished. */
fl_status serve_run(serve *s, fl_err *err);
run *serve_active_run(serve *s);  // NULL: none
/* The coordinator's own keys are due to change: destroy this, renewal_take, and serve again. */
bool serve_wants_new_keys(const serve *s);
/* Tests, in-process only: loses messages (fed_link_set_drop). */
void serve_set_drop(serve *s, bool (*drop)(void *ctx, bool to_server), void *ctx);

#endif
