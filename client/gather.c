/*
 * gather.c - see gather.h
 */
#include "client/gather.h"

#include "base/hash.h"
#include "client/policy.h"
#include "fed/update.h"

enum {
    MAX_REPORT_BYTES = 64 << 20,
    MAX_NODE_BYTES = 16 << 20  // of a graph, beside its numbers
};

/* The most parameters that this hospital takes. */
static uint64_t most_parameters(const home *h)
{
    policy p;
    if (policy_read(&p, h, NULL) != FL_OK) {
        policy_defaults(&p);  // the worker says what is wrong with it
    }
    return (uint64_t)p.max_parameters;
}

fl_status gather_start(gather *g, const fed_order *o, const home *h, fl_err *err)
{
    uint64_t model_bytes = fed_piece_bytes_of(FED_ENC_F32, most_parameters(h));
    g->names_none = g->names_none && fed_digest_equal(&g->digest, &o->key.job);
    g->digest = o->key.job;
    g->needs_model = o->has_model;
    g->needs_report = o->has_report;
    g->knows_graph = g->names_none;
    g->needs_graph = false;
    fl_status st = fetch_start(&g->job, &o->key.job,
                               fed_piece_bytes_of(FED_ENC_BYTES, JOB_MAX_BYTES), err);
    if (st == FL_OK && o->has_model) {
        st = fetch_start(&g->model, &o->model, model_bytes, err);
    }
    if (st == FL_OK && o->has_report) {
        st = fetch_start(&g->report, &o->report, MAX_REPORT_BYTES, err);
    }
    return st;
}

fetch *gather_missing(gather *g)
{
    if (!fetch_is_done(&g->job)) {
        return &g->job;
    }
    if (g->needs_graph && !fetch_is_done(&g->graph)) {
        return &g->graph;
    }
    if (g->needs_model && !fetch_is_done(&g->model)) {
        return &g->model;
    }
    if (g->needs_report && !fetch_is_done(&g->report)) {
        return &g->report;
    }
    return NULL;
}

/*
 * The graph that the job names, of at most as many bytes as the largest
 * model's numbers and its nodes have.  A model that is built already needs no graph.
 */
static fl_status find_graph(gather *g, const home *h, const local *built, fl_err *err)
{
    char hex[MODEL_DIGEST_BYTES];
    fed_digest graph;
    const void *text = NULL;
    uint64_t n = 0;
    fl_status st = fetch_items(&g->job, FED_ENC_BYTES, &text, &n, err);
    if (st != FL_OK) {
        return st;
    }
    bool is_built = built != NULL && fed_digest_equal(&built->digest, &g->digest);
    g->knows_graph = true;
    g->names_none = !job_names_graph(hex, text, (size_t)n);
    g->needs_graph = !is_built && !g->names_none;
    if (!g->needs_graph) {
        return FL_OK;
    }
    if ((st = fl_unhex(graph.bytes, sizeof graph.bytes, hex, err)) != FL_OK) {
        return st;
    }
    uint64_t most = most_parameters(h) * sizeof(float) + MAX_NODE_BYTES;
    return fetch_start(&g->graph, &graph, fed_piece_bytes_of(FED_ENC_BYTES, most), err);
}

fl_status gather_next(gather *g, const home *h, const local *built, fetch **out, fl_err *err)
{
    *out = NULL;
    if (!g->knows_graph && fetch_is_done(&g->job)) {
        fl_status st = find_graph(g, h, built, err);
        if (st != FL_OK) {
            return st;
        }
    }
    *out = gather_missing(g);
    return FL_OK;
}

const char *gather_name(const gather *g, const fetch *f)
{
    return f == &g->graph   ? "the job's graph"
           : f == &g->model ? "the model"
           : f == &g->job   ? "the job"
                            : "the report";
}

fl_status gather_give(const gather *g, order_work *w, fl_err *err)
{
    const void *items = NULL;
    uint64_t n = 0;
    fl_status st = fetch_items(&g->job, FED_ENC_BYTES, &items, &n, err);
    w->job_text = items;
    w->n_job = (size_t)n;
    if (st == FL_OK && g->needs_graph) {
        st = fetch_items(&g->graph, FED_ENC_BYTES, &items, &n, err);
        w->graph = (job_graph){items, (size_t)n};
    }
    if (st == FL_OK && g->needs_model) {
        st = fetch_items(&g->model, FED_ENC_F32, &items, &n, err);
        w->model = items;
        w->n_model = n;
    }
    if (st == FL_OK && g->needs_report) {
        st = fetch_items(&g->report, FED_ENC_BYTES, &items, &n, err);
        w->report = items;
        w->n_report = (size_t)n;
    }
    return st;
}

void gather_built(gather *g)
{
    fetch_clear(&g->graph);
}

void gather_again(gather *g)
{
    fetch_again(&g->job);
    fetch_again(&g->graph);
    fetch_again(&g->model);
    fetch_again(&g->report);
}

void gather_clear(gather *g)
{
    fetch_clear(&g->job);
    fetch_clear(&g->graph);
    fetch_clear(&g->model);
    fetch_clear(&g->report);
}
