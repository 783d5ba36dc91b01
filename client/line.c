/*
 * line.c - see line.h
 */
#include "client/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/outbox.h"
#include "client/peer.h"

enum {
    GREET_EVERY_MS = 3000,    // Hello and Enrol, while unanswered
    CONNECT_EVERY_MS = 30000,  // after the coordinator sent us away
    TURN_EVERY_MS = 4000       // without a connection: the coordinator's other keys are tried
};

void line_init(line *l, home *h)
{
    memset(l, 0, sizeof *l);
    l->home = h;
}

static void hang_up(line *l, int64_t again_ms)
{
    fed_link_close(&l->link);
    if (l->one_time != NULL) {
        fed_identity_destroy(&l->one_time);
        fed_invitation_clear(&l->invitation);
    }
    l->n_connected = 0;
    l->heard = false;
    l->greet_at_ms = again_ms;
}

void line_clear(line *l)
{
    hang_up(l, 0);
}

/* With the one-time key while there is an invitation, else with our own. */
static void dial(line *l, int64_t now_ms)
{
    const char *site = l->home->site.text;
    fl_err err = FL_ERR_INIT;
    if (home_invitation(l->home, &l->invitation, &err)) {
        l->one_time = fed_identity_one_time(l->invitation.curve_secret);
    } else if (err.status != FL_OK) {
        fl_log(FL_LOG_ERROR, "session.invitation", "site=%s %s", site, err.text);
    }
    l->greet_at_ms = now_ms;
    l->turn_at_ms = now_ms + TURN_EVERY_MS;
    l->uses_next = l->uses_next && l->home->has_next;
    if (fed_connect(&l->link, l->home->dial,
                    l->uses_next ? &l->home->next.curve : &l->home->coordinator_curve,
                    l->one_time != NULL ? l->one_time : l->home->id, &err) != FL_OK) {
        fl_log(FL_LOG_ERROR, "session.connect", "site=%s %s", site, err.text);
        hang_up(l, now_ms + CONNECT_EVERY_MS);
    } else if (l->home->via[0] != '\0') {
        fed_link_through(l->link, l->home->address, l->home->via);
    }
}

static void log_state(line *l, const char *state)
{
    if (strncmp(state, l->state, sizeof l->state - 1) != 0) {
        snprintf(l->state, sizeof l->state, "%s", state);
        fl_log(FL_LOG_INFO, "session.link", "site=%s %s", l->home->site.text, state);
    }
}

static void greet(line *l, const fed_digest *digest, fed_round_no committed, int64_t now_ms)
{
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    if (l->one_time != NULL) {
        outbox_enrol(m, l->home, &l->invitation, !l->said_enrol);
        l->said_enrol = true;
    } else {
        outbox_hello(m, l->home, digest, committed, !l->said_hello);
        l->said_hello = true;
    }
    line_say(l, m, NULL, 0);
    l->greet_at_ms = now_ms + GREET_EVERY_MS;
    free(m);
}

void line_tend(line *l, const fed_digest *digest, fed_round_no committed, int64_t now_ms)
{
    if (l->link == NULL && now_ms >= l->greet_at_ms) {
        dial(l, now_ms);
    }
    if (l->link == NULL) {
        return;
    }
    fed_link_status now = fed_link_look(l->link);
    log_state(l, now.text);
    if (now.is_up) {
        l->turn_at_ms = now_ms + TURN_EVERY_MS;
    } else if (l->home->has_next && now_ms >= l->turn_at_ms) {
        l->uses_next = !l->uses_next;
        hang_up(l, now_ms);
        return;  // dials when it is called next
    }
    if (now.n_connected != l->n_connected) {
        l->n_connected = now.n_connected;
        l->heard = false;
        l->greet_at_ms = now_ms;
    }
    // What is said while it is down would arrive on the next connection, before
    // Hello.
    l->heard &= now.is_up;
    if (now.is_up && !l->heard && now_ms >= l->greet_at_ms) {
        greet(l, digest, committed, now_ms);
    }
}

bool line_say(line *l, const fed_msg *m, const void *payload, size_t n)
{
    if (l->link == NULL) {
        return false;
    }
    fl_buf header = FL_BUF_INIT;
    fed_msg_pack(m, &header);
    bool sent = fed_send(l->link, NULL, header.data, header.n, payload, n, NULL) == FL_OK;
    fl_buf_clear(&header);
    return sent;
}

int64_t line_next_ms(const line *l, int64_t now_ms)
{
    if (l->greet_at_ms > now_ms) {
        return l->heard ? -1 : l->greet_at_ms - now_ms;
    }
    return l->link == NULL ? 0 : -1;
}

void line_on_enrolled(line *l, const fed_msg *m, int64_t now_ms)
{
    const char *site = l->home->site.text;
    fl_err err = FL_ERR_INIT;
    if (l->one_time == NULL) {
        return;
    }
    if (home_enrolled(l->home, &err) != FL_OK) {
        fl_log(FL_LOG_ERROR, "session.enrolled", "site=%s %s", site, err.text);
        return;  // said again, answered again
    }
    fl_log(FL_LOG_INFO, "session.enrolled", "site=%s federation=%s%s", site,
           m->u.enrolled.federation,
           m->u.enrolled.confirmed ? "" : "; a person at the coordinator must confirm it");
    hang_up(l, now_ms);
}

/* Welcome came on the coordinator's next keys. */
static fl_status take_next(line *l, fl_err *err)
{
    char fingerprint[FED_FINGERPRINT_BYTES];
    fed_fingerprint(fingerprint, &l->home->next.curve, &l->home->next.sign);
    fl_status st = peer_takes_next(l->home, err);
    if (st == FL_OK) {
        l->uses_next = l->said_rotated = false;
        fl_log(FL_LOG_INFO, "coordinator.rotated", "site=%s fingerprint=%s", l->home->site.text,
               fingerprint);
    }
    return st;
}

bool line_on_welcome(line *l, const fed_msg *m, int64_t now_ms)
{
    fl_err err = FL_ERR_INIT;
    if (l->uses_next && take_next(l, &err) != FL_OK) {
        fl_log(FL_LOG_ERROR, "coordinator.rotation", "site=%s %s", l->home->site.text, err.text);
        line_sent_away(l, now_ms);  // the hospital's own disk; perhaps later
        return false;
    }
    if (strcmp(m->u.welcome.site.text, l->home->site.text) != 0) {
        fl_log(FL_LOG_ERROR, "session.site", "site=%s the coordinator knows this key as %s",
               l->home->site.text, m->u.welcome.site.text);
    }
    bool is_new = !l->heard;
    l->heard = true;
    return is_new;
}

void line_on_rotate(line *l, const fed_msg *m)
{
    char fingerprint[FED_FINGERPRINT_BYTES];
    fl_err err = FL_ERR_INIT;
    const fed_rotation *r = &m->u.rotate;
    bool is_news = !l->home->has_next;
    fl_status st = peer_learn(l->home, r, &err);
    if (st != FL_OK) {
        fl_log(FL_LOG_ERROR, "coordinator.rotation", "site=%s %s", l->home->site.text, err.text);
    }
    if (st != FL_OK && st != FL_EDENIED) {
        return;  // the hospital's own disk: said again
    }
    fed_fingerprint(fingerprint, &r->curve, &r->sign);
    if (st == FL_OK && is_news) {
        fl_log(FL_LOG_INFO, "coordinator.next", "site=%s fingerprint=%s", l->home->site.text,
               fingerprint);
    }
    fed_msg *answer = fl_xcalloc(1, sizeof *answer);
    outbox_rotated(answer, l->home, &r->sign, st == FL_OK, err.text, !l->said_rotated);
    l->said_rotated = true;
    line_say(l, answer, NULL, 0);
    free(answer);
}

void line_again(line *l, int64_t now_ms)
{
    hang_up(l, now_ms);
}

void line_sent_away(line *l, int64_t now_ms)
{
    hang_up(l, now_ms + CONNECT_EVERY_MS);
}
