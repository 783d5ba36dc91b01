/*
 * gather.h - the objects that an order needs: job, graph, model, report
 *
 * Fetched one after the other (fetch.h) and kept for the next order, which may name the same
 * ones.  What a hospital's policy does not take is refused before the first piece is asked for.
 * Threads: as fetch.h; what gather_give gave may be read by a worker until gather_start or
 * gather_clear.
 */
#ifndef CLIENT_GATHER_H
#define CLIENT_GATHER_H

#include <stdbool.h>

#include "base/err.h"
#include "client/fetch.h"
#include "client/order.h"

typedef struct {
    fetch job, graph, model, report;
    fed_digest digest;             // of the order's job
    bool needs_model, needs_report;
    bool names_none;               // that job was read before, and names no graph
    bool knows_graph;              // the job was read for the graph that it names
    bool needs_graph;              // it names one, and its model is not built here yet
} gather;

fl_status gather_start(gather *g, const fed_order *o, const home *h, fl_err *err);
/* The first object that is not whole yet; NULL: all are, as far as is known. */
fetch *gather_missing(gather *g);
/*
 * The same, once the job is here with the graph that it names.  built: what the site has built
 * of its last job, or NULL.
 */
fl_status gather_next(gather *g, const home *h, const local *built, fetch **out, fl_err *err);
/* What f is, for people. */
const char *gather_name(const gather *g, const fetch *f);
/* Fills in the inputs of w, borrowed.  FL_EFORMAT when one is encoded otherwise. */
fl_status gather_give(const gather *g, order_work *w, fl_err *err);
void gather_built(gather *g);  // the model is: its graph is not needed any more
void gather_again(gather *g);  // a new connection
void gather_clear(gather *g);

#endif
