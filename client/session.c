/*
 * session.c - see session.h
 *
 * What the site does about the coordinator's current order.  The line to the
 * coordinator (line.h) comes and goes beside it and does not disturb it.
 *
 *            objects are in         contribution is in the outbox
 *   FETCH --------------------> WORK ------------------------------> OFFER
 *     ^                         |  ^                                  ^ |
 *     | Order     pending, disk |  | after a while                    | |
 *     |   full, data unreadable v  |                                  | |
 *     |                         WAIT                                  | |
 *     |                                                               | |
 *   IDLE -------- Order whose answer is in the outbox already --------+ |
 *     ^ ^                                                               |
 *     | +-------- from WORK, refused (Reply) or cancelled               |
 *     +---------------------------- Verdict ----------------------------+
 *
 * IDLE    nothing to do, or the order is carried out.
 * FETCH   objects come in, piece by piece; they are kept for the next order.
 * WORK    a worker has the order.  Another order cancels it; the new one
 *         starts when the worker has let go.
 * WAIT    a person must approve, the disk is full, or the data are not there: tried again.
 * OFFER   the contribution is in the outbox.  Offer is said again while nothing
 *         moves; pieces go as granted.  Where the policy is not known to let it leave (it was
 *         changed, or another process made it), FETCH and WORK ask before the next byte goes.  An update whose round was committed meanwhile is
 *         offered once more before the current order has its turn: the coordinator may
 *         have it already, carry it into the next round, or not want it.
 * On disk is what the outbox and runs/ hold, so a process that was killed in
 * any state starts in IDLE and is given the same order again.
 */
#include "client/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/advice.h"
#include "client/gather.h"
#include "client/heads.h"
#include "client/line.h"
#include "client/order.h"
#include "client/outbox.h"
#include "client/receipts.h"
#include "fed/update.h"

enum {
    OFFER_EVERY_MS = 5000,     // an Offer on which nothing moves
    SETTLED_EVERY_MS = 20000,  // an accepted one that is still asked for
    APPROVAL_EVERY_MS = 3000,  // has a person approved?
    DATA_EVERY_MS = 5000,      // can the data be read again?
    DISK_EVERY_MS = 10000,     // is there space again?
    FULL_QUEUE_MS = 5,         // the transport takes no more for the moment
    ROTATE_EVERY_MS = 3000,    // new keys that the coordinator does not know yet
    LOOK_EVERY_MS = 1000,      // at the link's state and at silent fetches
    BEAT_MS = 2000             // until Welcome says otherwise
};

typedef enum { IDLE, FETCH, WORK, WAIT, OFFER } stage;

struct session {
    home *home;
    pool *pool;

    line line;
    int64_t beat_at_ms, beat_ms;

    stage stage;
    int64_t due_ms;   // WAIT, OFFER and settled: when to try again
    fed_order order;  // the current one; kind WAIT: none
    fed_order next;   // came while a worker has another one
    bool has_next;
    char pending[FL_ERR_TEXT];  // was said to the current order; "": nothing was
    heads heads;
    gather gather;
    uint32_t untold;  // pieces that came and that no Beat has told of yet
    local *local;  // the workers' between orders
    order_work work;
    bool at_work;  // work is the pool's

    int64_t rotate_at_ms;
    bool said_rotate;  // and recorded

    outbox_item item;         // OFFER, and IDLE after the Verdict
    fed_verify_key signed_by;  // the key of the item's signature; zeros: not known
    bool settled;             // it was accepted
    bool asks_policy;         // whether it may leave; it stays in the outbox
    bool is_late;             // it is an update of a round that was committed without it, perhaps
    fed_order_key answered;   // of the last update with a Verdict that ends it; kind WAIT: none
    uint32_t piece, granted;  // next to send; behind the last that may be sent
    uint8_t *buffer;          // FED_PIECE_BYTES

    session_outcome outcome;
    char why[FED_TEXT_BYTES];
    fed_msg msg;  // in the making
};

// -------------------------------------------------------------- the connection

static bool say(session *s, const fed_msg *m, const void *payload, size_t n)
{
    return line_say(&s->line, m, payload, n);
}

static void on_welcome(session *s, const fed_msg *m, int64_t now_ms)
{
    s->beat_ms = m->u.welcome.beat_ms;
    if (!line_on_welcome(&s->line, m, now_ms)) {
        return;  // an answer to a Hello that was said twice, or the line is down
    }
    s->beat_at_ms = now_ms + s->beat_ms;
    gather_again(&s->gather);
    if (s->stage == OFFER) {
        s->due_ms = now_ms;
    }
}

static void on_refused(session *s, const fed_msg *m, int64_t now_ms)
{
    fl_log(FL_LOG_ERROR, "session.refused", "site=%s %s", s->home->site.text, m->u.refused.text);
    if (m->u.refused.code == FL_ENOTFOUND && s->line.one_time == NULL) {
        return;  // an object it does not have any more; another order will come
    }
    if (s->outcome == SESSION_SERVES) {
        s->outcome = SESSION_FAILED;
        snprintf(s->why, sizeof s->why, "the coordinator refused: %.400s", m->u.refused.text);
    }
    line_sent_away(&s->line, now_ms);
}

// ----------------------------------------------------------------- new keys

/* Says them on the old ones, on every connection and before Hello, until they are answered. */
static void tend_rotation(session *s, int64_t now_ms)
{
    fed_rotation rotation;
    if (now_ms < s->rotate_at_ms || s->line.link == NULL || s->line.one_time != NULL ||
        !fed_link_up(s->line.link)) {
        return;
    }
    s->rotate_at_ms = now_ms + ROTATE_EVERY_MS;
    if (home_rotation(s->home, &rotation)) {
        outbox_rotate(&s->msg, s->home, &rotation, !s->said_rotate);
        s->said_rotate = true;
        say(s, &s->msg, NULL, 0);
    }
}

static void on_rotated(session *s, const fed_msg *m, int64_t now_ms)
{
    fed_rotation rotation;
    fl_err err = FL_ERR_INIT;
    const char *site = s->home->site.text;
    if (!home_rotation(s->home, &rotation) ||
        memcmp(&rotation.sign, &m->u.rotated.sign, sizeof rotation.sign) != 0) {
        return;  // an answer to what was said twice
    }
    bool accepted = m->u.rotated.accepted;
    fl_status st = accepted ? home_rotated(s->home, &err) : home_not_rotated(s->home, &err);
    if (st != FL_OK) {
        fl_log(FL_LOG_ERROR, "keys.rotation", "site=%s %s", site, err.text);
        return;  // the hospital's own disk: said again, answered again
    }
    s->said_rotate = false;
    if (!accepted) {
        fl_log(FL_LOG_ERROR, "keys.not_rotated", "site=%s the old keys stay: %s", site,
               m->u.rotated.text);
        return;
    }
    char fingerprint[FED_FINGERPRINT_BYTES];
    fed_fingerprint(fingerprint, &rotation.curve, &rotation.sign);
    fl_log(FL_LOG_INFO, "keys.rotated", "site=%s fingerprint=%s", site, fingerprint);
    line_again(&s->line, now_ms);
}

// -------------------------------------------------------------------- replies

static void reply(session *s, order_outcome why, const char *text)
{
    const fed_order_key *key = &s->order.key;
    bool waits = why == ORDER_PENDING || why == ORDER_UNREADABLE;
    bool mismatch = why == ORDER_MISMATCH;
    fed_answer answer = waits ? FED_PENDING : FED_REFUSE;
    outbox_reply(&s->msg, s->home, s->order.run, key, answer, mismatch, text);
    fl_log(FL_LOG_WARN, answer == FED_PENDING ? "order.waits" : "order.refused",
           "site=%s order=%s round=%" PRIu32 " %s", s->home->site.text, fed_order_name(key->kind),
           fed_plain_round(key->round), s->msg.u.reply.text);
    advice_log(s->home, why);
    say(s, &s->msg, NULL, 0);
    bool ends_job = key->kind == FED_CHECK || key->kind == FED_DONE;
    if (answer == FED_REFUSE && ends_job && s->outcome == SESSION_SERVES) {
        s->outcome = SESSION_FAILED;
        memcpy(s->why, s->msg.u.reply.text, sizeof s->why);
    }
}

static void refuse(session *s, order_outcome why, const char *text)
{
    s->stage = IDLE;
    reply(s, why, text);
}

// ---------------------------------------------------------- OFFER: sending out

/* The job has what the policy is to judge, and nothing else is needed. */
static void ask_policy(session *s)
{
    fl_err err = FL_ERR_INIT;
    fed_order job_alone = s->order;
    job_alone.has_model = job_alone.has_report = false;
    s->asks_policy = true;
    s->granted = s->piece;
    if (gather_start(&s->gather, &job_alone, s->home, &err) != FL_OK) {
        refuse(s, ORDER_REFUSED, err.text);
        return;
    }
    s->stage = FETCH;
}

static bool may_leave(const session *s)
{
    return s->settled ||  // it has left
           order_may_leave(s->home, s->local, &s->item.offer.key.job);
}

static void say_offer(session *s, int64_t now_ms)
{
    fed_verify_key own = fed_identity_verify(s->home->id);
    if (memcmp(&s->signed_by, &own, sizeof own) != 0) {
        outbox_sign_again(&s->item, s->home);
        s->signed_by = own;
    }
    s->msg.type = FED_MSG_OFFER;
    s->msg.u.offer = s->item.offer;
    s->piece = s->granted = 0;
    s->due_ms = now_ms + OFFER_EVERY_MS;
    if (s->line.heard) {
        say(s, &s->msg, NULL, 0);
    }
}

static void offer(session *s, int64_t now_ms)
{
    if (may_leave(s)) {
        say_offer(s, now_ms);
    } else {
        ask_policy(s);
    }
}

static void begin_offer(session *s, int64_t now_ms)
{
    s->stage = OFFER;
    s->settled = false;
    offer(s, now_ms);
}

/* As many pieces as were granted and as the transport takes. */
static void send_pieces(session *s, int64_t now_ms)
{
    const fed_offer *o = &s->item.offer;
    while (s->stage == OFFER && s->line.heard && s->piece < s->granted) {
        fl_err err = FL_ERR_INIT;
        size_t n = 0;
        if (outbox_piece(&s->item, s->piece, s->buffer, &n, &err) != FL_OK) {
            fl_log(FL_LOG_ERROR, "outbox.read", "site=%s %s", s->home->site.text, err.text);
            s->granted = s->piece;
            return;  // offered again after a while
        }
        memset(&s->msg, 0, sizeof s->msg);
        s->msg.type = FED_MSG_PIECE;
        s->msg.u.piece.object = o->digest;
        s->msg.u.piece.index = s->piece;
        s->msg.u.piece.n_pieces = o->n_pieces;
        s->msg.u.piece.n_bytes = o->n_bytes;
        if (!say(s, &s->msg, s->buffer, n)) {
            return;  // session_next_ms is short while pieces are left
        }
        s->piece++;
        s->due_ms = now_ms + OFFER_EVERY_MS;
    }
}

static bool is_offered(const session *s, const fed_digest *digest)
{
    return s->stage == OFFER && fed_digest_equal(digest, &s->item.offer.digest);
}

static void on_grant(session *s, const fed_msg *m, int64_t now_ms)
{
    uint32_t n_pieces = s->item.offer.n_pieces;
    uint32_t next = m->u.grant.next;
    if (!is_offered(s, &m->u.grant.digest) || next > n_pieces) {
        return;
    }
    if (!may_leave(s)) {
        ask_policy(s);
        return;
    }
    uint32_t rest = n_pieces - next;
    s->piece = next;
    s->granted = next + (m->u.grant.credits < rest ? m->u.grant.credits : rest);
    s->due_ms = now_ms + OFFER_EVERY_MS;
    send_pieces(s, now_ms);
}

static void start(session *s, const fed_order *o, int64_t now_ms);

static void on_verdict(session *s, const fed_msg *m, int64_t now_ms)
{
    if (!is_offered(s, &m->u.verdict.digest)) {
        return;
    }
    const fed_offer *o = &s->item.offer;
    bool accepted = m->u.verdict.accepted;
    s->stage = IDLE;
    fl_log(accepted ? FL_LOG_INFO : FL_LOG_WARN, accepted ? "order.accepted" : "order.not_accepted",
           "site=%s order=%s round=%" PRIu32 " %s", s->home->site.text, fed_order_name(o->key.kind),
           fed_plain_round(o->key.round), m->u.verdict.text);
    if (!s->settled) {
        outbox_verdict(s->home, s->order.run, o, accepted, m->u.verdict.text);
    }
    s->settled = accepted;
    if (o->key.kind == FED_TRAIN && (accepted || s->is_late)) {
        s->answered = o->key;
    }
    s->due_ms = now_ms + SETTLED_EVERY_MS;
    if (s->is_late) {
        /* Its file goes now: only the last answer is remembered, and two that stay would be offered
         * by turns for ever. */
        fl_err err = FL_ERR_INIT;
        if (receipts_flush(s->home, &err) != FL_OK) {
            fl_log(FL_LOG_ERROR, "receipts.write", "site=%s %s", s->home->site.text, err.text);
        }
        outbox_settle(s->home, &s->order.key, s->order.committed, &s->answered);
        fed_order current = s->order;
        start(s, &current, now_ms);
    } else if (!accepted) {
        outbox_drop(s->home, &o->key);
        outbox_item_close(&s->item);
    } else if (o->key.kind == FED_DONE) {
        fl_log(FL_LOG_INFO, "run.done", "site=%s model, report and predictions: %s/runs/%s",
               s->home->site.text, s->home->dir, s->order.run);
        outbox_drop(s->home,
                    &o->key);  // the open file can be offered again, a new process redoes it
        if (s->outcome == SESSION_SERVES) {
            s->outcome = SESSION_DONE;
        }
    }
}

// ------------------------------------------------------- FETCH, WORK and WAIT

static void begin_work(session *s)
{
    fl_err err = FL_ERR_INIT;
    s->work = (order_work){.home = s->home, .order = s->order, .local = &s->local};
    s->work.item.fd = -1;
    if (gather_give(&s->gather, &s->work, &err) != FL_OK) {
        refuse(s, ORDER_REFUSED, err.text);
        return;
    }
    s->work.is_made = s->asks_policy;
    if (!s->asks_policy) {
        s->signed_by = fed_identity_verify(s->home->id);  // or a later one
    }
    s->stage = WORK;
    s->at_work = true;
    pool_submit(s->pool, &s->work);
}

static void continue_fetch(session *s, int64_t now_ms)
{
    fl_err err = FL_ERR_INIT;
    while (s->stage == FETCH && s->line.heard) {
        fetch *f = NULL;
        if (gather_next(&s->gather, s->home, s->local, &f, &err) != FL_OK) {
            refuse(s, ORDER_REFUSED, err.text);
            return;
        }
        if (f == NULL) {
            begin_work(s);
            s->beat_at_ms = s->untold > 0 ? now_ms : s->beat_at_ms;  // others wait for its credit
            return;
        }
        if (!fetch_next(f, now_ms, &s->msg) || !say(s, &s->msg, NULL, 0)) {
            return;
        }
    }
}

static void on_piece(session *s, const fed_msg *m, const uint8_t *payload, size_t n, int64_t now_ms)
{
    fl_err err = FL_ERR_INIT;
    fetch *f = s->stage == FETCH ? gather_missing(&s->gather) : NULL;
    if (f == NULL) {
        return;
    }
    fl_status st = fetch_piece(f, m, payload, n, now_ms, &err);
    s->untold++;
    if (s->untold >= FETCH_TELL) {
        s->beat_at_ms = now_ms;  // so that more can be sent, here or to others
    }
    if (st == FL_ELIMIT) {
        fl_wrap(&err, st, "%s is larger than this hospital allows", gather_name(&s->gather, f));
        refuse(s, ORDER_REFUSED, err.text);
    } else if (st != FL_OK) {
        fl_log(FL_LOG_WARN, "session.piece", "site=%s %s", s->home->site.text, err.text);
    }
}

/* It is tried again, and the coordinator is told why it takes its time: once, or when that changes. */
static void wait_with_word(session *s, int64_t now_ms)
{
    bool for_data = s->work.outcome == ORDER_UNREADABLE;
    s->stage = WAIT;
    s->due_ms = now_ms + (for_data ? DATA_EVERY_MS : APPROVAL_EVERY_MS);
    if (strcmp(s->pending, s->work.text) != 0) {
        memcpy(s->pending, s->work.text, sizeof s->pending);
        reply(s, s->work.outcome, s->pending);
    }
}

static void finish_work(session *s, int64_t now_ms)
{
    s->at_work = false;
    if (s->has_next) {
        outbox_item_close(&s->work.item);
        s->has_next = false;
        fed_order next = s->next;
        start(s, &next, now_ms);
        return;
    }
    switch (s->work.outcome) {
    case ORDER_CONTRIBUTED:
        if (s->asks_policy) {
            s->asks_policy = false;
            s->stage = OFFER;
            say_offer(s, now_ms);
            return;
        }
        s->item = s->work.item;  // its file is ours now
        s->work.item.fd = -1;
        gather_built(&s->gather);
        begin_offer(s, now_ms);
        return;
    case ORDER_PENDING:
    case ORDER_UNREADABLE:
        wait_with_word(s, now_ms);
        return;
    case ORDER_LATER:
        s->stage = WAIT;
        s->pending[0] = '\0';
        s->due_ms = now_ms + DISK_EVERY_MS;
        fl_log(FL_LOG_ERROR, "order.disk", "site=%s order=%s %s; tried again", s->home->site.text,
               fed_order_name(s->order.key.kind), s->work.text);
        return;
    case ORDER_REFUSED:
    case ORDER_MISMATCH:
        refuse(s, s->work.outcome, s->work.text);
        return;
    case ORDER_STOPPED:
        s->stage = IDLE;
        return;
    }
}

// --------------------------------------------------------------------- orders

/* Why there is nothing to do; a person here may be what it waits for. */
static void log_wait(const session *s)
{
    const char *site = s->home->site.text, *text = s->order.text;
    if (strncmp(text, fed_unconfirmed, strlen(fed_unconfirmed)) != 0) {
        fl_log(FL_LOG_INFO, "order.wait", "site=%s %s", site, text);
        return;
    }
    char fingerprint[FED_FINGERPRINT_BYTES];
    home_fingerprint(fingerprint, s->home);
    fl_log(FL_LOG_WARN, "order.wait",
           "site=%s %s.  This home's own is %s: compare the two, by telephone say", site, text,
           fingerprint);
}

/* The contribution is in the outbox already: nothing is done twice. */
static bool is_in_outbox(session *s)
{
    const fed_order *o = &s->order;
    if (outbox_open(&s->item, s->home, o->run, &o->key, NULL) != FL_OK) {
        return false;
    }
    if (memcmp(&s->item.offer.base_model, &o->model_id, sizeof o->model_id) != 0) {
        outbox_item_close(&s->item);
        outbox_drop(s->home, &o->key);
        return false;
    }
    return true;
}

/* No worker has anything of this session. */
static void start(session *s, const fed_order *o, int64_t now_ms)
{
    FL_REQUIRE(!s->at_work);
    outbox_item_close(&s->item);
    s->signed_by = (fed_verify_key){{0}};
    s->order = *o;
    s->settled = s->is_late = s->asks_policy = false;
    s->pending[0] = '\0';
    if (o->key.kind == FED_WAIT) {
        s->stage = IDLE;
        log_wait(s);
        return;
    }
    fl_log(FL_LOG_INFO, "order", "site=%s order=%s round=%" PRIu32 " run=%s", s->home->site.text,
           fed_order_name(o->key.kind), fed_plain_round(o->key.round), o->run);
    s->is_late = outbox_late(&s->item, s->home, o->run, &o->key, o->committed, &s->answered,
                             NULL) == FL_OK;
    if (s->is_late || is_in_outbox(s)) {
        begin_offer(s, now_ms);
        return;
    }
    fl_err err = FL_ERR_INIT;
    if (gather_start(&s->gather, &s->order, s->home, &err) != FL_OK) {
        refuse(s, ORDER_REFUSED, err.text);
        return;
    }
    s->stage = FETCH;
}

/* The same order again: it, or our answer, may have been lost. */
static void on_same_order(session *s, const fed_order *o, int64_t now_ms)
{
    switch (s->stage) {
    case FETCH:
    case WORK:
        return;
    case WAIT:
        if (s->pending[0] != '\0') {
            reply(s, s->work.outcome, s->pending);
        }
        return;
    case OFFER:
        offer(s, now_ms);
        return;
    case IDLE:
        if (s->settled && s->item.fd >= 0) {
            s->stage = OFFER;
            offer(s, now_ms);
        } else if (s->order.key.kind != FED_WAIT) {
            fed_order again = s->order;
            start(s, &again, now_ms);
        } else if (strcmp(s->order.text, o->text) != 0) {  // the first one, or for another reason
            start(s, o, now_ms);
        }
        return;
    }
}

/* A round of training that was closed without this site, of a job that carries late updates. */
static bool is_worth_finishing(const session *s, const fed_order *next)
{
    return s->order.key.kind == FED_TRAIN && next->key.kind != FED_WAIT &&
           fed_digest_equal(&next->key.job, &s->order.key.job) &&
           atomic_load(&s->work.progress.may_be_late);
}

static void on_order(session *s, const fed_msg *m, int64_t now_ms)
{
    const fed_order *o = &m->u.order;
    if (!heads_keep(&s->heads, s->home, o)) {
        fl_log(FL_LOG_ERROR, "order.unsigned",
               "site=%s the order's audit head does not bear the coordinator's signature",
               s->home->site.text);
        return;
    }
    outbox_settle(s->home, &o->key, o->committed, &s->answered);
    if (s->at_work && s->has_next) {
        s->next = *o;
        return;
    }
    if (fed_order_key_equal(&o->key, &s->order.key)) {
        on_same_order(s, o, now_ms);
        return;
    }
    if (s->at_work) {
        if (!is_worth_finishing(s, o)) {
            atomic_store(&s->work.progress.cancel, true);
        }
        s->next = *o;
        s->has_next = true;
        return;
    }
    start(s, o, now_ms);
}

// ---------------------------------------------------------------------- beats

static void progress_of(session *s, fed_phase *phase, uint64_t *done, uint64_t *total)
{
    const local_progress *p = &s->work.progress;
    fetch *f;
    *done = *total = 0;
    switch (s->stage) {
    case IDLE:
        *phase = FED_IDLE;
        return;
    case FETCH:
        *phase = FED_FETCHING;
        f = gather_missing(&s->gather);
        if (f != NULL) {
            *done = fed_inbox_next(f->inbox);
            *total = fed_inbox_n_pieces(f->inbox);
        }
        return;
    case WORK:
        if (s->has_next || !atomic_load(&p->started)) {
            *phase = FED_QUEUED;
            *done = pool_steps(s->pool);  // others' progress is ours: we are next
            return;
        }
        *phase = FED_WORKING;
        *done = atomic_load(&p->done);
        *total = atomic_load(&p->total);
        return;
    case WAIT:
        *phase = FED_QUEUED;
        return;
    case OFFER:
        *phase = FED_SENDING;
        *done = s->piece;
        *total = s->item.offer.n_pieces;
        return;
    }
}

static void beat(session *s, int64_t now_ms)
{
    memset(&s->msg, 0, sizeof s->msg);
    s->msg.type = FED_MSG_BEAT;
    s->msg.u.beat.key = s->has_next ? s->next.key : s->order.key;
    progress_of(s, &s->msg.u.beat.phase, &s->msg.u.beat.steps_done, &s->msg.u.beat.steps_total);
    say(s, &s->msg, NULL, 0);
    s->beat_at_ms = now_ms + s->beat_ms;
    s->untold = 0;
}

// ------------------------------------------------------------------- the step

static void on_message(session *s, const fed_packet *packet, int64_t now_ms)
{
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    fl_err err = FL_ERR_INIT;
    if (fed_msg_unpack(m, packet->header, packet->n_header, &err) != FL_OK) {
        fl_log(FL_LOG_WARN, "session.message", "site=%s %s", s->home->site.text, err.text);
        free(m);
        return;
    }
    switch (m->type) {
    case FED_MSG_ENROLLED:
        line_on_enrolled(&s->line, m, now_ms);
        break;
    case FED_MSG_WELCOME:
        on_welcome(s, m, now_ms);
        break;
    case FED_MSG_ORDER:
        on_order(s, m, now_ms);
        break;
    case FED_MSG_GRANT:
        on_grant(s, m, now_ms);
        break;
    case FED_MSG_PIECE:
        on_piece(s, m, packet->payload, packet->n_payload, now_ms);
        break;
    case FED_MSG_VERDICT:
        on_verdict(s, m, now_ms);
        break;
    case FED_MSG_REFUSED:
        on_refused(s, m, now_ms);
        break;
    case FED_MSG_ROTATE:
        line_on_rotate(&s->line, m);
        break;
    case FED_MSG_ROTATED:
        on_rotated(s, m, now_ms);
        break;
    default:
        break;  // what only a coordinator is told
    }
    free(m);
}

static void on_due(session *s, int64_t now_ms)
{
    if (s->stage == WAIT) {
        begin_work(s);
    } else if (s->stage == OFFER) {
        offer(s, now_ms);
    } else if (s->stage == IDLE && s->settled && s->item.fd >= 0) {
        // Still the current order: the Verdict may have been an older one's.
        s->stage = OFFER;
        offer(s, now_ms);
    }
}

static bool is_work_over(const session *s)
{
    return s->at_work && pool_is_over(&s->work);
}

bool session_stirs(const session *s)
{
    return is_work_over(s) || (s->line.link != NULL && fed_link_stirs(s->line.link));
}

void session_step(session *s, int64_t now_ms)
{
    fed_packet packet;
    line_tend(&s->line, &s->order.key.job, s->order.committed, now_ms);
    while (s->line.link != NULL && fed_receive(s->line.link, &packet)) {
        on_message(s, &packet, now_ms);
    }
    tend_rotation(s, now_ms);
    if (is_work_over(s)) {
        finish_work(s, now_ms);
    }
    if (now_ms >= s->due_ms) {
        on_due(s, now_ms);
    }
    send_pieces(s, now_ms);
    continue_fetch(s, now_ms);
    if (s->line.heard && now_ms >= s->beat_at_ms) {
        beat(s, now_ms);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t session_next_ms(const session *s, int64_t now_ms)
{
    bool pieces_left = s->stage == OFFER && s->line.heard && s->piece < s->granted;
    int64_t wait_ms = pieces_left ? FULL_QUEUE_MS : LOOK_EVERY_MS;
    if (s->stage == WAIT || s->stage == OFFER || s->settled) {
        wait_ms = earlier(wait_ms, s->due_ms - now_ms);
    }
    int64_t line_ms = s->line.heard ? s->beat_at_ms - now_ms : line_next_ms(&s->line, now_ms);
    if (s->line.heard || line_ms >= 0) {
        wait_ms = earlier(wait_ms, line_ms);
    }
    return wait_ms > 0 ? wait_ms : 0;
}

// ------------------------------------------------------------- life of a session

session *session_new(home *h, pool *p)
{
    session *s = fl_xcalloc(1, sizeof *s);
    s->home = h;
    s->pool = p;
    line_init(&s->line, h);
    s->beat_ms = BEAT_MS;
    s->item.fd = -1;
    s->work.item.fd = -1;
    s->buffer = fl_xcalloc(1, FED_PIECE_BYTES);
    outbox_sweep(h);
    return s;
}

void session_destroy(session **sp)
{
    session *s = *sp;
    if (s == NULL) {
        return;
    }
    line_clear(&s->line);
    outbox_item_close(&s->item);
    outbox_item_close(&s->work.item);
    gather_clear(&s->gather);
    local_destroy(&s->local);
    free(s->buffer);
    FL_FREE(*sp);
}

fed_link *session_link(const session *s)
{
    return s->line.link;
}

session_outcome session_first_job(const session *s)
{
    return s->outcome;
}

const char *session_why(const session *s)
{
    return s->why;
}

void session_leave(session *s, const char *text)
{
    atomic_store(&s->work.progress.cancel, true);
    // To a coordinator that is gone it would be kept until the link gives up.
    if (s->line.heard && fed_link_up(s->line.link)) {
        memset(&s->msg, 0, sizeof s->msg);
        s->msg.type = FED_MSG_BYE;
        snprintf(s->msg.u.bye.text, sizeof s->msg.u.bye.text, "%s", text);
        say(s, &s->msg, NULL, 0);
    }
}
