/*
 * serve_offer.c - a contribution's way: Offer, pieces, the last look, the run
 *
 * What is wrong with one is the site's to hear and the record's to keep; only
 * our own disk's failures are returned.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sys.h"
#include "coordinator/serve_inside.h"

enum {
    MAX_REFUSED_CONTRIBUTIONS = 3,
    RECORD_APART_MS = 50  // of one site's refusals that are recorded at once
};

/* Refuses a contribution, for the record and to the site, and asks for it again; at the third
 * time the site leaves the stage. */
static fl_status refuse_contribution(session *x, run *r, size_t site, const fed_offer *o,
                                     const char *reason, fl_err *err)
{
    serve *s = x->serve;
    char address[64];
    snprintf(address, sizeof address, "site %s", x->site.text);
    roster_refuse(s->sites, "contribution", reason, address, 1, fl_wall_ms());
    if (!fed_order_key_equal(&x->refused_key, &o->key)) {
        x->refused_key = o->key;
        x->n_refused = 0;
    }
    if (++x->n_refused <= MAX_REFUSED_CONTRIBUTIONS) {
        fl_log(FL_LOG_WARN, "contribution.refused", "site=%s kind=%s round=%u reason=\"%s\"",
               x->site.text, fed_order_name(o->key.kind), o->key.round.n, reason);
    }
    /* Recorded before the site is told; of a site that sends nothing else, with the housekeeping. */
    int64_t now_ms = fl_now_ms();
    if (x->refused_ms == 0 || now_ms - x->refused_ms >= RECORD_APART_MS) {
        x->refused_ms = now_ms;
        fl_status st = roster_flush(s->sites, err);
        if (st != FL_OK) {
            return st;
        }
    }
    serve_send_verdict(x, &o->digest, false, reason);
    if (!run_wants(r, site, &o->key)) {
        return FL_OK;
    }
    if (x->n_refused < MAX_REFUSED_CONTRIBUTIONS) {
        x->has_told = false;  // once more
    } else if (x->n_refused == MAX_REFUSED_CONTRIBUTIONS) {
        run_give_up_on(r, site, reason);
    }
    return FL_OK;
}

/* Whole and on disk: looks at it once more and hands it to the run. */
static fl_status finish_contribution(session *x, size_t site, fl_err *err)
{
    transfer *t = &x->transfer;
    const fed_offer *o = t->offer;
    char *payload = NULL;
    size_t n = 0;
    fl_err why = FL_ERR_INIT;
    fl_status st = FL_OK;
    fed_digest digest;
    if (t->spool != NULL) {
        spool_digest(t->spool, &digest);
    } else {
        fed_tree empty;
        fed_tree_init(&empty, 0, 0);
        fed_tree_done(&empty, &digest);
    }
    if (!fed_digest_equal(&digest, &o->digest)) {
        st = fl_fail(&why, FL_EFORMAT, "its pieces do not have the digest that was signed");
    } else if (run_is_anothers(t->run, o)) {
        st = fl_fail(&why, FL_EDENIED, "its own model is one that another site has lent");
    } else if (!check_is_numbers(o)) {
        if (t->spool != NULL &&
            (st = spool_read_bytes(t->path, &payload, &n, CHECK_MAX_DOCUMENT, err)) != FL_OK) {
            return st;
        }
        st = check_document(run_check_job(t->run), o, payload, n, &why);
    }
    if (st != FL_OK) {
        free(payload);
        st = refuse_contribution(x, t->run, site, o, why.text, err);
        transfer_stop(x->serve->pool, t, true);
        return st;
    }
    bool must_last = run_carries(t->run, site, &o->key) ||  // its site forgets it
                     (o->key.kind == FED_LEND && t->spool != NULL);  // or stops serving
    if (must_last && (st = spool_flush(t->spool, err)) != FL_OK) {
        return st;
    }
    run_accept(t->run, site, o, payload, n);
    t->up = TRANSFER_COMMITTING;
    return FL_OK;
}

/* What can be told from the Offer alone. */
static fl_status look_at_offer(const session *x, run *r, const fed_offer *o, fl_err *why)
{
    fed_offer joined;
    int entry = roster_find(x->serve->sites, x->site.text);
    FL_REQUIRE(entry >= 0);
    fed_model_id base;
    bool has_base;
    fl_status st = run_base_model(r, &o->key, &base, &has_base, why);
    if (st == FL_OK) {
        st = check_offer(run_check_job(r), o, &x->site,
                         &roster_at(x->serve->sites, (size_t)entry)->sign,
                         has_base ? &base : NULL, why);
    }
    if (st == FL_OK && record_find_offer(run_record(r), FED_CHECK, 0, x->site.text, &joined)) {
        st = check_counts(run_check_job(r), o, &joined, why);
    }
    return st;
}

fl_status serve_on_offer(session *x, const fed_offer *o, fl_err *err)
{
    serve *s = x->serve;
    transfer *t = &x->transfer;
    size_t which = 0;
    fed_digest prior;
    char text[FED_TEXT_BYTES];
    run *r = serve_run_of(s, &o->key.job, &which);
    if (r == NULL) {
        serve_send_verdict(x, &o->digest, false, "this job is not running here");
        return FL_OK;
    }
    size_t site = x->index[which];
    bool same_as_now = t->up != TRANSFER_IDLE && fed_order_key_equal(&t->offer->key, &o->key) &&
                       fed_digest_equal(&t->offer->digest, &o->digest);
    if (same_as_now) {
        transfer_again(s->pool,
                       t);  // after a reconnection; does nothing when it waits for the commit
        return FL_OK;
    }
    bool known = record_find_digest(run_record(r), o->key.kind, o->key.round.n, x->site.text,
                                    &prior);
    if (t->up == TRANSFER_COMMITTING && fed_order_key_equal(&t->offer->key, &o->key)) {
        known = true;
        prior = t->offer->digest;
    }
    if (known && !fed_digest_equal(&prior, &o->digest)) {
        snprintf(text, sizeof text, "a different %s contribution of round %u was accepted already",
                 fed_order_name(o->key.kind), fed_plain_round(o->key.round));
        return refuse_contribution(x, r, site, o, text, err);
    }
    if (!run_wants(r, site, &o->key)) {
        snprintf(text, sizeof text, "round %u is closed", fed_plain_round(o->key.round));
        serve_send_verdict(x, &o->digest, known, known ? "" : text);
        return FL_OK;
    }
    if (t->up == TRANSFER_COMMITTING) {
        return FL_OK;  // of another order: it offers again
    }
    fl_err why = FL_ERR_INIT;
    if (look_at_offer(x, r, o, &why) != FL_OK) {
        return refuse_contribution(x, r, site, o, why.text, err);
    }
    fl_status st = transfer_start(s->pool, t, r, site, o, fl_now_ms(), err);
    if (st == FL_OK && (t->spool == NULL || spool_is_whole(t->spool))) {
        st = finish_contribution(x, site, err);
    }
    return st;
}

fl_status serve_on_piece(session *x, const fed_msg *m, const fed_packet *packet, fl_err *err)
{
    transfer *t = &x->transfer;
    size_t which = 0;
    bool moved, whole;
    run *r = t->up == TRANSFER_MOVING ? serve_run_of(x->serve, &t->offer->key.job, &which) : NULL;
    if (r == NULL || packet->payload == NULL) {
        return FL_OK;
    }
    size_t site = x->index[which];
    if (!run_wants(r, site, &t->offer->key)) {
        char text[FED_TEXT_BYTES];
        snprintf(text, sizeof text, "round %u is closed",
                 fed_plain_round(t->offer->key.round));
        serve_send_verdict(x, &t->offer->digest, false, text);
        transfer_stop(x->serve->pool, t, true);
        return FL_OK;
    }
    fl_err why = FL_ERR_INIT;
    fl_status st = transfer_piece(x->serve->pool, t, &m->u.piece.object, m->u.piece.index,
                                  packet->payload, packet->n_payload, &moved, &whole, fl_now_ms(),
                                  &why);
    if (st == FL_EFORMAT) {
        st = refuse_contribution(x, r, site, t->offer, why.text, err);
        transfer_stop(x->serve->pool, t, true);
        return st;
    }
    if (st != FL_OK) {
        return fl_fail(err, st, "%s", why.text);  // our disk
    }
    if (moved) {
        run_count_bytes(r, packet->n_payload, 0);
        round_progress(run_machine(r), site, fl_now_ms());
    }
    return whole ? finish_contribution(x, site, err) : FL_OK;
}
