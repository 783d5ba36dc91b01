/*
 * serve.c - see serve.h
 */
#include "coordinator/serve_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"

enum {
    BEAT_MS = 2000,
    GROUP_COMMIT_MS = 50,    // an acceptance waits at most so long for others to share its commit
    MESSAGES_A_TURN = 2000,  // before clocks are looked at again
    HOUSEKEEPING_MS = 1000,
    PROGRESS_MS = 1000,
    QUIET_BEATS = 5,  // without a word: then a site's other connection may speak for it
    SPARE_DESCRIPTORS = 128,
    DEAF_MS = 1000,           // between two turns: time that sites are not answerable for
    MAX_MALFORMED = 16,       // malformed messages that cost a site its connection
    ANSWER_REFUSED_MS = 100,  // between two answers to messages that were refused
    HELD_UP_MS = 5            // retry when a queue was full
};

// ------------------------------------------------------------------ sending

fl_status serve_send_to(serve *s, const fed_route *to, uint32_t version, const fed_msg *m,
                        const void *payload, size_t n)
{
    fl_buf_reset(&s->packed);
    fed_msg_pack_as(m, version, &s->packed);
    return fed_send(s->link, to, s->packed.data, s->packed.n, payload, n, NULL);
}

/* transfer_send */
static fl_status send_to_site(void *ctx, void *site, const fed_msg *m, const void *payload,
                              size_t n)
{
    session *x = site;
    return x->connected ? serve_send_to(ctx, &x->route, x->version, m, payload, n) : FL_ENOTFOUND;
}

void serve_send_refused(serve *s, const fed_route *to, fl_status code, const char *text)
{
    fed_msg m = {.type = FED_MSG_REFUSED};
    m.u.refused.code = (uint32_t)code;
    snprintf(m.u.refused.text, sizeof m.u.refused.text, "%s", text);
    serve_send_to(s, to, FED_PROTOCOL_OLDEST, &m, NULL, 0);
}

fl_status serve_send(session *x, const fed_msg *m)
{
    return send_to_site(x->serve, x, m, NULL, 0);
}

void serve_warn(session *x, const char *text)
{
    serve_send_refused(x->serve, &x->route, FL_ENOTFOUND, text);
}

void serve_send_verdict(session *x, const fed_digest *digest, bool accepted, const char *text)
{
    fed_msg m = {.type = FED_MSG_VERDICT};
    m.u.verdict.digest = *digest;
    m.u.verdict.accepted = accepted;
    snprintf(m.u.verdict.text, sizeof m.u.verdict.text, "%s", text);
    send_to_site(x->serve, x, &m, NULL, 0);
}

/* The run whose order counts for the site: the first that has work for it. */
static void current_order(session *x, fed_order *out)
{
    serve *s = x->serve;
    int known = roster_find(s->sites, x->site.text);
    *out = (fed_order){.key.kind = FED_WAIT};
    if (known >= 0 && roster_at(s->sites, (size_t)known)->status == ROSTER_UNCONFIRMED) {
        snprintf(out->text, sizeof out->text,
                 "%s the fingerprint %s with `consilium-coordinator sites DIR --confirm %s`",
                 fed_unconfirmed, roster_at(s->sites, (size_t)known)->fingerprint, x->site.text);
        return;
    }
    for (size_t i = 0; i < s->n_runs; i++) {
        run_order(s->runs[i], x->index[i], out);
        if (out->key.kind != FED_WAIT || s->active) {
            return;
        }
    }
    *out = (fed_order){.key.kind = FED_WAIT};
    snprintf(out->text, sizeof out->text, "no job is running");
}

/* The same for a client that may be older than such an order. */
static void order_of(session *x, fed_order *out)
{
    current_order(x, out);
    if (fed_order_since(out->key.kind) > x->version) {
        out->key.kind = FED_WAIT;
        out->has_model = false;
        snprintf(out->text, sizeof out->text,
                 "this client speaks protocol %u, the run goes on in %u: upgrade it", x->version,
                 fed_order_since(FED_CROSS));
    }
}

static void tell(session *x, const fed_order *order)
{
    fed_msg m = {.type = FED_MSG_ORDER, .u.order = *order};
    if (send_to_site(x->serve, x, &m, NULL, 0) == FL_OK) {
        x->told = order->key;
        x->has_told = true;
    }
}

/* transfer_hang_up.  One that is gone already had its descriptor taken by another, perhaps. */
static void hang_up_site(void *ctx, void *site)
{
    serve *s = ctx;
    session *x = site;
    fl_log(FL_LOG_WARN, "site.stuck", "site=%s its transfer does not move", x->site.text);
    fed_msg probe = {.type = FED_MSG_ORDER};
    order_of(x, &probe.u.order);
    if (send_to_site(s, x, &probe, NULL, 0) != FL_ENOTFOUND) {
        fed_packet on = {.connection = x->connection};
        fed_link_expel(s->link, &on);
    }
    x->connected = x->has_told = false;
}

/* Tells every site whose order has changed. */
static void publish(serve *s)
{
    for (size_t i = 0; i < s->n_sessions; i++) {
        session *x = s->sessions[i];
        if (x == NULL || !x->connected) {
            continue;
        }
        bool changed = !x->has_told;
        for (size_t k = 0; k < s->n_runs; k++) {
            changed = run_take_changed(s->runs[k], x->index[k]) || changed;
        }
        if (changed) {
            fed_order order;
            order_of(x, &order);
            if (!x->has_told || !fed_order_key_equal(&order.key, &x->told)) {
                tell(x, &order);
            }
        }
    }
}

// ----------------------------------------------------------------- sessions

static session *session_new(serve *s, const roster_site *site)
{
    session *x = fl_xcalloc(1, sizeof *x);
    x->serve = s;
    x->site = site->name;
    x->key = site->curve;
    x->index = fl_xcalloc(s->n_runs, sizeof *x->index);
    for (size_t i = 0; i < s->n_runs; i++) {
        x->index[i] = run_site(s->runs[i], &site->name, fl_now_ms());
    }
    transfer_add(s->pool, &x->transfer, x);
    return x;
}

static void session_destroy(session *x)
{
    if (x != NULL) {
        transfer_forget(x->serve->pool, &x->transfer);
        free(x->index);
        free(x);
    }
}

static bool may_stay(const session *x, const roster_site *site)
{
    return site->status != ROSTER_REMOVED && site->status != ROSTER_INVITED &&
           memcmp(&site->curve, &x->key, sizeof x->key) == 0;
}

void serve_follow_roster(serve *s)
{
    size_t n = roster_n(s->sites);
    session **sessions = fl_xcalloc(n, sizeof *sessions);
    for (size_t i = 0; i < s->n_sessions; i++) {
        session *x = s->sessions[i];
        int known = x != NULL ? roster_find(s->sites, x->site.text) : -1;
        if (x == NULL) {
            continue;
        }
        if (known >= 0 && may_stay(x, roster_at(s->sites, (size_t)known))) {
            sessions[known] = x;
            x->has_told = false;  // it may have been confirmed
        } else {
            bool rotated = known >= 0 &&
                           roster_at(s->sites, (size_t)known)->status == ROSTER_ENROLLED;
            if (x->connected && !rotated) {  // else it comes back with its new keys
                serve_send_refused(s, &x->route, FL_EDENIED,
                                   "this site was removed from the federation");
            }
            session_destroy(x);
        }
    }
    free(s->sessions);
    s->sessions = sessions;
    s->n_sessions = n;
    for (size_t i = 0; i < s->n_runs; i++) {
        run_follow_roster(s->runs[i], s->sites, fl_now_ms());
    }
}

void serve_follow_site(serve *s, const fed_site_id *name)
{
    int known = roster_find(s->sites, name->text);
    FL_REQUIRE(known >= 0 && (size_t)known < s->n_sessions);
    session *x = s->sessions[known];
    if (x != NULL && !may_stay(x, roster_at(s->sites, (size_t)known))) {
        session_destroy(x);
        s->sessions[known] = NULL;
    } else if (x != NULL) {
        x->has_told = false;
    }
    for (size_t i = 0; i < s->n_runs; i++) {
        run_follow_site(s->runs[i], name, fl_now_ms());
    }
}

run *serve_run_of(serve *s, const fed_digest *digest, size_t *which)
{
    for (size_t i = 0; i < s->n_runs; i++) {
        if (fed_digest_equal(run_digest(s->runs[i]), digest)) {
            *which = i;
            return s->runs[i];
        }
    }
    return NULL;
}

// ----------------------------------------------------------------- messages

static void on_hello(session *x, const fed_msg *m, size_t entry)
{
    serve *s = x->serve;
    fed_msg answer = {.type = FED_MSG_WELCOME};
    roster_seen(s->sites, entry, m->version, m->u.hello.software, m->u.hello.environment,
                fl_wall_ms());
    for (size_t i = 0; i < s->n_runs; i++) {
        round_hello(run_machine(s->runs[i]), x->index[i], fl_now_ms());
    }
    transfer_anew(s->pool, &x->transfer);
    x->rotate_ms = 0;
    snprintf(answer.u.welcome.federation, sizeof answer.u.welcome.federation, "%s",
             s->cfg.fed->name);
    answer.u.welcome.site = x->site;
    answer.u.welcome.time_ms = fl_wall_ms();
    answer.u.welcome.beat_ms = s->cfg.beat_ms;
    send_to_site(s, x, &answer, NULL, 0);
    fed_order order;
    order_of(x, &order);
    tell(x, &order);
    fl_log(FL_LOG_INFO, "site.hello", "site=%s software=\"%s\"", x->site.text, m->u.hello.software);
}

static void on_beat(session *x, const fed_msg *m)
{
    serve *s = x->serve;
    fed_order order;
    order_of(x, &order);
    bool on_it = fed_order_key_equal(&m->u.beat.key, &order.key);
    for (size_t i = 0; i < s->n_runs; i++) {
        if (on_it && fed_digest_equal(run_digest(s->runs[i]), &order.key.job)) {
            round_beat(run_machine(s->runs[i]), x->index[i], m->u.beat.phase, m->u.beat.steps_done,
                       m->u.beat.steps_total, fl_now_ms());
        }
    }
    if (!on_it) {
        tell(x, &order);
        return;
    }
    bool fetching = m->u.beat.phase == FED_FETCHING;
    uint64_t pieces = fetching ? m->u.beat.steps_done : UINT32_MAX;  // then they are its steps
    transfer_arrived(s->pool, &x->transfer, pieces < UINT32_MAX ? (uint32_t)pieces : UINT32_MAX,
                     fl_now_ms());
    if (m->u.beat.phase != FED_SENDING && x->transfer.up == TRANSFER_IDLE) {
        transfer_came(s->pool, &x->transfer);
    }
}

static void on_reply(session *x, const fed_msg *m)
{
    size_t which = 0;
    run *r = serve_run_of(x->serve, &m->u.reply.key.job, &which);
    if (r != NULL) {
        run_reply(r, x->index[which], &m->u.reply.key, m->u.reply.answer, m->u.reply.mismatch,
                  m->u.reply.text);
    }
}

static void on_fetch(session *x, const fed_msg *m)
{
    serve *s = x->serve;
    for (size_t i = 0; i < s->n_runs; i++) {
        uint32_t n_pieces;
        uint64_t n_bytes;
        if (objects_find(run_objects(s->runs[i]), &m->u.fetch.object, &n_pieces, &n_bytes)) {
            round_progress(run_machine(s->runs[i]), x->index[i], fl_now_ms());
            transfer_fetch(s->pool, &x->transfer, s->runs[i], &m->u.fetch.object, m->u.fetch.first,
                           m->u.fetch.count, fl_now_ms());
            return;
        }
    }
    fed_order order;  // what it wants is not current any more; its order says what is
    order_of(x, &order);
    tell(x, &order);
}

/* Counted always; answered only where it helps, and not often: a flood is not worth answers. */
static void refuse_message(serve *s, const fed_packet *packet, const char *who, fl_status st,
                           const char *reason)
{
    roster_refuse(s->sites, "message", reason, who, 1, fl_wall_ms());
    bool helps = st == FL_EUNSUPPORTED || st == FL_EDENIED;
    if (helps && fl_now_ms() - s->answered_ms >= ANSWER_REFUSED_MS) {
        s->answered_ms = fl_now_ms();
        serve_send_refused(s, &packet->route, st, reason);
    }
}

static fl_status on_site_message(serve *s, size_t entry, const fed_packet *packet, const fed_msg *m,
                                 fl_err *err)
{
    session *x = s->sessions[entry];
    if (x == NULL) {
        x = s->sessions[entry] = session_new(s, roster_at(s->sites, entry));
    }
    bool moved = x->connected && memcmp(&x->route, &packet->route, sizeof x->route) != 0;
    bool quiet = fl_now_ms() - x->transfer.heard_ms > (int64_t)QUIET_BEATS * s->cfg.beat_ms;
    if (m->type != FED_MSG_HELLO && moved && quiet) {
        fed_link_expel(s->link, packet);  // two programs had its keys, and one is gone: the other
        return FL_OK;                     // connects anew and says Hello
    }
    if (m->type != FED_MSG_HELLO && (!x->connected || moved)) {
        return FL_OK;  // of a connection that is over, or one that has not said Hello
    }
    x->route = packet->route;
    x->connection = packet->connection;
    x->connected = true;
    x->version = m->version;
    fl_status st = roster_used_new_key(s->sites, entry, err);
    if (st != FL_OK) {
        return st;
    }
    x->transfer.heard_ms = fl_now_ms();
    for (size_t i = 0; i < s->n_runs; i++) {
        round_heard(run_machine(s->runs[i]), x->index[i], fl_now_ms());
    }
    bool confirmed = roster_at(s->sites, entry)->status == ROSTER_ENROLLED;
    if (!confirmed && m->type != FED_MSG_HELLO && m->type != FED_MSG_BEAT &&
        m->type != FED_MSG_BYE && m->type != FED_MSG_ROTATED) {
        return FL_OK;  // is served nothing and takes part in nothing until it is confirmed
    }
    switch (m->type) {
    case FED_MSG_HELLO:
        on_hello(x, m, entry);
        return FL_OK;
    case FED_MSG_BEAT:
        on_beat(x, m);
        return FL_OK;
    case FED_MSG_REPLY:
        on_reply(x, m);
        return FL_OK;
    case FED_MSG_FETCH:
        on_fetch(x, m);
        return FL_OK;
    case FED_MSG_OFFER:
        return serve_on_offer(x, &m->u.offer, err);
    case FED_MSG_PIECE:
        return serve_on_piece(x, m, packet, err);
    case FED_MSG_ROTATED:
        serve_on_rotated(x, m, entry);
        return FL_OK;
    case FED_MSG_BYE:
        x->connected = x->has_told = false;
        fl_log(FL_LOG_INFO, "site.bye", "site=%s", x->site.text);
        return FL_OK;
    default: {
        char who[64];
        snprintf(who, sizeof who, "site %s", x->site.text);
        refuse_message(s, packet, who, FL_EFORMAT, fed_msg_name(m->type));
        return FL_OK;
    }
    }
}

static fl_status dispatch(serve *s, const fed_packet *packet, fl_err *err)
{
    size_t entry = 0;
    char who[64] = "invitation";
    roster_peer peer = roster_who(s->sites, &packet->peer, &entry);
    if (peer == ROSTER_STRANGER) {  // revoked since its handshake: not even parsed
        refuse_message(s, packet, "revoked key", FL_EDENIED, "key is not on the list any more");
        fed_link_expel(s->link, packet);
        return FL_OK;
    }
    if (peer == ROSTER_SITE || peer == ROSTER_FORMER) {
        snprintf(who, sizeof who, "site %s", roster_at(s->sites, entry)->name.text);
    }
    fed_msg m;
    fl_err why = FL_ERR_INIT;
    fl_status st = fed_msg_unpack(&m, packet->header, packet->n_header, &why);
    if (st != FL_OK) {
        refuse_message(s, packet, who, st, why.text);
        session *x = peer == ROSTER_SITE ? s->sessions[entry] : NULL;
        if (x == NULL || ++x->n_malformed % MAX_MALFORMED == 0) {
            fed_link_expel(s->link, packet);
        }
        return FL_OK;
    }
    if (m.type == FED_MSG_ROTATE && (peer == ROSTER_SITE || peer == ROSTER_FORMER)) {
        return serve_on_rotate(s, entry, packet, &m.u.rotate, m.version, err);
    }
    if (peer == ROSTER_SITE) {
        return on_site_message(s, entry, packet, &m, err);
    }
    if (peer == ROSTER_FORMER) {
        return FL_OK;  // it hears that its keys have changed, and comes back with the new ones
    }
    if (m.type == FED_MSG_ENROL) {
        return serve_on_enrol(s, packet, &m.u.enrol, m.version, err);
    }
    refuse_message(s, packet, who, FL_EDENIED, "a one-time key may only enrol");
    return FL_OK;
}

// --------------------------------------------------------------------- loop

/* Everything accepted is on disk: say so. */
static void send_verdicts(serve *s)
{
    for (size_t i = 0; i < s->n_sessions; i++) {
        session *x = s->sessions[i];
        if (x != NULL && x->transfer.up == TRANSFER_COMMITTING) {
            bool keeps_spool = check_is_numbers(x->transfer.offer);
            serve_send_verdict(x, &x->transfer.offer->digest, true, "");
            transfer_stop(s->pool, &x->transfer, !keeps_spool);
        }
    }
}

/* Is there something to commit, and can it wait? */
static bool has_news(const serve *s, bool *can_wait)
{
    bool news = false;
    *can_wait = true;
    for (size_t i = 0; i < s->n_runs; i++) {
        if (run_has_news(s->runs[i])) {
            news = true;
            *can_wait = *can_wait && run_news_can_wait(s->runs[i]);
        }
    }
    return news;
}

fl_status serve_commit(serve *s, int64_t now_ms, fl_err *err)
{
    for (size_t i = 0; i < s->n_runs; i++) {
        fl_status st = run_turn(s->runs[i], now_ms, err);
        if (st != FL_OK) {
            return st;
        }
    }
    send_verdicts(s);
    publish(s);
    return FL_OK;
}

static fl_status housekeeping(serve *s, int64_t now_ms, fl_err *err)
{
    fed_refusal refusal;
    while (fed_link_refusal(s->link, &refusal)) {
        roster_refuse(s->sites, "connection", refusal.reason, refusal.address, refusal.n_attempts,
                      fl_wall_ms());
    }
    if (now_ms - s->housekeeping_ms < HOUSEKEEPING_MS) {
        return FL_OK;
    }
    s->housekeeping_ms = now_ms;
    bool changed = false, can_wait;
    fl_status st;
    /* Before the news of a removal: a site's contribution stands in the record before that line. */
    if (has_news(s, &can_wait) && (st = serve_commit(s, now_ms, err)) != FL_OK) {
        return st;
    }
    if ((st = roster_flush(s->sites, err)) != FL_OK ||
        (st = roster_refresh(s->sites, fl_wall_ms(), &changed, err)) != FL_OK) {
        return st;
    }
    if (changed) {
        serve_follow_roster(s);
    }
    serve_tend_keys(s, now_ms);
    return FL_OK;
}

static void show_progress(serve *s, int64_t now_ms)
{
    if (s->cfg.quiet || !s->active || now_ms - s->progress_ms < PROGRESS_MS) {
        return;
    }
    s->progress_ms = now_ms;
    char line[512];
    run_describe(s->runs[0], line, sizeof line);
    fl_progress("%s", line);
}

static int least(int a, int64_t b)
{
    return a < b ? a : b > 0 ? (int)b : 0;
}

fl_status serve_step(serve *s, int timeout_ms, bool *done, fl_err *err)
{
    *done = false;
    bool can_wait;
    bool news = has_news(s, &can_wait);
    if (transfer_pump(s->pool, fl_now_ms())) {
        timeout_ms = least(timeout_ms, HELD_UP_MS);
    }
    if (news) {
        int64_t due_ms = can_wait ? s->first_news_ms + s->cfg.group_ms : 0;
        timeout_ms = least(timeout_ms, due_ms - fl_now_ms());
    }
    fed_wait(&s->link, 1, s->waker, timeout_ms);
    int64_t deaf = s->listened_ms > 0 ? fl_now_ms() - s->listened_ms - timeout_ms : 0;
    for (size_t i = 0; i < s->n_runs && deaf > DEAF_MS; i++) {
        round_was_deaf(run_machine(s->runs[i]), deaf);
    }
    if (deaf > DEAF_MS) {
        transfer_was_deaf(s->pool, deaf);
    }
    fed_packet packet;
    fl_status st;
    int n = 0;
    while (n < MESSAGES_A_TURN && fed_receive(s->link, &packet)) {
        n++;
        if ((st = dispatch(s, &packet, err)) != FL_OK) {
            return st;
        }
    }
    int64_t now = s->listened_ms = fl_now_ms();
    if ((st = housekeeping(s, now, err)) != FL_OK) {
        return st;
    }
    /* A busy network may hold back the commit, and so may sites that are still asked; not for long. */
    s->first_news_ms = news ? s->first_news_ms : now;
    bool waits = n == MESSAGES_A_TURN || (has_news(s, &can_wait) && can_wait);
    if (!waits || now - s->first_news_ms >= s->cfg.group_ms) {
        if ((st = serve_commit(s, now, err)) != FL_OK) {
            return st;
        }
    }
    show_progress(s, now);
    *done = s->active && run_is_finished(s->runs[0]);
    return FL_OK;
}

fl_status serve_run(serve *s, fl_err *err)
{
    bool done = false;
    while (!done && !s->wants_new_keys && !fl_stop_requested()) {
        fl_status st = serve_step(s, 200, &done, err);
        if (st != FL_OK) {
            return st;
        }
    }
    fl_progress_end();
    if (!done && s->active && !s->wants_new_keys) {
        return fl_fail(err, FL_ESTOPPED,
                       "stopped; the run goes on where it was with the same command");
    }
    return roster_flush(s->sites, err);
}

// --------------------------------------------------------------- start, end

static fl_status add_run(serve *s, const char *dir, fl_err *err)
{
    run *r = NULL;
    fl_status st = run_open(&r, dir, s->cfg.fed, s->sites, fl_now_ms(), s->cfg.probe,
                            s->cfg.probe_ctx, err);
    if (st == FL_OK) {
        s->runs = fl_xrealloc(s->runs, s->n_runs + 1, sizeof *s->runs);
        s->runs[s->n_runs++] = r;
    }
    return st;
}

/* Finished runs whose model some site has not fetched. */
static fl_status add_finished_runs(serve *s, fl_err *err)
{
    char *dir = federation_path(s->cfg.fed, "runs");
    char **names = NULL;
    size_t n = 0;
    fl_status st = fl_list_dir(&names, &n, dir, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        char *path = fl_path_join(dir, names[i]);
        char *db = fl_path_join(path, "state.db");
        size_t before = s->n_runs;
        if (fl_file_exists(db)) {
            st = add_run(s, path, err);
        }
        if (st == FL_OK && s->n_runs > before) {
            run *r = s->runs[s->n_runs - 1];
            if (!run_is_finished(r) || round_count(run_machine(r), ROUND_ABSENT) == 0) {
                run_close(&s->runs[--s->n_runs]);
            }
        }
        free(db);
        free(path);
    }
    fl_names_free(&names, n);
    free(dir);
    return st;
}

/* A run that has not begun must be able to reach its quorum. */
static fl_status check_quorum(serve *s, fl_err *err)
{
    run *r = s->runs[0];
    return round_now(run_machine(r)) == ROUND_CHECKING ? run_check_quorum(run_job(r), s->sites, err)
                                                       : FL_OK;
}

/* Every connection is a descriptor; better said now than when the last site knocks. */
static fl_status allow_connections(const serve *s, fl_err *err)
{
    char what[64];
    snprintf(what, sizeof what, "%zu sites", roster_n(s->sites));
    return fl_need_files(roster_n(s->sites) + SPARE_DESCRIPTORS, what, err);
}

fl_status serve_new(serve **out, const serve_config *cfg, fl_err *err)
{
    *out = NULL;
    serve *s = fl_xcalloc(1, sizeof *s);
    s->cfg = *cfg;
    s->cfg.beat_ms = cfg->beat_ms != 0 ? cfg->beat_ms : BEAT_MS;
    s->cfg.group_ms = cfg->group_ms != 0 ? cfg->group_ms : GROUP_COMMIT_MS;
    s->active = cfg->run_dir != NULL;
    s->pool = transfer_pool_new(send_to_site, hang_up_site, s);
    s->waker = fed_waker_new();
    char *db = federation_path(cfg->fed, "federation.db");
    fl_status st = roster_open(&s->sites, db, err);
    free(db);
    if (st != FL_OK) {
        goto done;
    }
    st = s->active ? add_run(s, cfg->run_dir, err) : add_finished_runs(s, err);
    if (st != FL_OK || (s->active && (st = check_quorum(s, err)) != FL_OK)) {
        goto done;
    }
    serve_follow_roster(s);
    if ((st = allow_connections(s, err)) != FL_OK) {
        goto done;
    }
    st = cfg->bind != NULL
             ? fed_listen(&s->link, cfg->bind, cfg->fed->identity, roster_allow, s->sites, err)
             : fed_listen_mem(&s->link, cfg->fed->identity, roster_allow, s->sites, err);
done:
    if (st != FL_OK) {
        serve_destroy(&s);
        return st;
    }
    *out = s;
    return FL_OK;
}

void serve_destroy(serve **s)
{
    if (*s == NULL) {
        return;
    }
    serve *x = *s;
    fed_link_close(&x->link);  // first: its thread asks the roster
    fed_waker_destroy(&x->waker);
    for (size_t i = 0; i < x->n_sessions; i++) {
        session_destroy(x->sessions[i]);
    }
    for (size_t i = 0; i < x->n_runs; i++) {
        run_close(&x->runs[i]);
    }
    transfer_pool_destroy(&x->pool);
    roster_close(&x->sites);
    fl_buf_clear(&x->packed);
    free(x->sessions);
    free(x->runs);
    FL_FREE(*s);
}

uint64_t serve_under_way(const serve *s)
{
    return transfer_pool_used(s->pool);
}

const char *serve_address(const serve *s)
{
    return fed_link_address(s->link);
}

bool serve_wants_new_keys(const serve *s)
{
    return s->wants_new_keys;
}

run *serve_active_run(serve *s)
{
    return s->active ? s->runs[0] : NULL;
}

void serve_set_drop(serve *s, bool (*drop)(void *ctx, bool to_server), void *ctx)
{
    fed_link_set_drop(s->link, drop, ctx);
}
