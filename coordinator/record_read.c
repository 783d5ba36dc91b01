/*
 * record_read.c - what a record gives back: the machine, models, answers
 *
 * See record.h.  Changes nothing.
 */
#include "coordinator/record_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coordinator/roster.h"

static fl_status load_checks(record *r, round_machine *m, int64_t now_ms, fl_err *err)
{
    fl_status st = store_find(
        r->db, err, "SELECT site, state FROM answer WHERE kind = ? AND round = 0 ORDER BY site",
        "i", (int64_t)FED_CHECK);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        fed_site_id name;
        if ((st = fed_site_id_parse(&name, store_text(r->db, 0), err)) != FL_OK) {
            store_end(r->db);
            break;
        }
        size_t site = round_add_site(m, &name, now_ms);
        if (store_int(r->db, 1) == ROUND_CHECK_JOINED) {
            round_restore_check(m, site, ROUND_CHECK_JOINED, "");
        }
    }
    return st;
}

/* Every site that the run has known, also one that was removed before it answered. */
static fl_status load_members(record *r, round_machine *m, int64_t now_ms, fl_err *err)
{
    fl_status st = store_find(r->db, err, "SELECT name, status FROM member ORDER BY name", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        fed_site_id name;
        if ((st = fed_site_id_parse(&name, store_text(r->db, 0), err)) != FL_OK) {
            store_end(r->db);
            break;
        }
        round_set_member(m, round_add_site(m, &name, now_ms),
                         strcmp(store_text(r->db, 1), roster_status_text(ROSTER_REMOVED)) != 0);
    }
    return st;
}

static fl_status load_crossing(record *r, round_machine *m, fl_err *err)
{
    fl_status st = store_find(r->db, err, "SELECT lent, n_lent FROM crossing", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        round_restore_lent(m, (uint32_t)store_int(r->db, 0), (uint32_t)store_int(r->db, 1));
    }
    return st;
}

fl_status record_load(record *r, round_machine *m, int64_t now_ms, fl_err *err)
{
    round_state state = ROUND_CHECKING;
    fl_status st = load_members(r, m, now_ms, err);
    if (st == FL_OK) {
        st = load_checks(r, m, now_ms, err);
    }
    if (st == FL_OK) {
        st = store_find(r->db, err, "SELECT state, round, selected FROM run", "");
    }
    while (st == FL_OK && store_row(r->db, &st, err)) {
        if (!record_state_of(&state, store_int(r->db, 0))) {
            st = fl_fail(err, FL_EFORMAT, "the run's state is damaged");
            store_end(r->db);
            break;
        }
        round_restore(m, state, (uint32_t)store_int(r->db, 1), (uint32_t)store_int(r->db, 2));
    }
    if (st == FL_OK && state == ROUND_CROSSING) {
        st = load_crossing(r, m, err);
    }
    fed_order_kind kind;
    uint32_t round;
    if (st != FL_OK || state == ROUND_CHECKING || !round_stage(m, &kind, &round)) {
        return st;
    }
    st = store_find(
        r->db, err,
        "SELECT site, state, reason FROM answer WHERE kind = ? AND round = ? ORDER BY site", "ii",
        (int64_t)kind, (int64_t)round);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        fed_site_id name;
        if ((st = fed_site_id_parse(&name, store_text(r->db, 0), err)) != FL_OK) {
            store_end(r->db);
            break;
        }
        round_restore_answer(m, round_add_site(m, &name, now_ms), (round_answer)store_int(r->db, 1),
                             store_text(r->db, 2));
    }
    return st;
}

fl_status record_absences(record *r, int64_t *n_sites, int64_t *n, fl_err *err)
{
    *n_sites = *n = 0;
    fl_status st = store_find(
        r->db, err,
        "SELECT count(DISTINCT site), count(*) FROM answer WHERE (kind <> ? AND state = ?)"
        " OR (kind = ? AND state IN (?, ?))",
        "iiiii", (int64_t)FED_CHECK, (int64_t)ROUND_ABSENT, (int64_t)FED_CHECK,
        (int64_t)ROUND_CHECK_ASKED, (int64_t)ROUND_CHECK_PENDING);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        *n_sites = store_int(r->db, 0);
        *n = store_int(r->db, 1);
    }
    return st;
}

bool record_is_abandoned(record *r, uint32_t round, char why[static FED_TEXT_BYTES])
{
    bool found = false;
    fl_status st = store_find(r->db, NULL, "SELECT why FROM abandoned WHERE round = ?", "i",
                              (int64_t)round);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        snprintf(why, FED_TEXT_BYTES, "%s", store_text(r->db, 0));
        found = true;
    }
    return found;
}

int64_t record_n_abandoned(record *r)
{
    int64_t n = 0;
    fl_status st = store_find(r->db, NULL, "SELECT count(*) FROM abandoned", "");
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        n = store_int(r->db, 0);
    }
    return n;
}

round_state record_state(record *r, fl_err *err)
{
    round_state state = ROUND_N_STATES;
    fl_status st = store_find(r->db, err, "SELECT state FROM run", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        state = record_state_of(&state, store_int(r->db, 0)) ? state : ROUND_N_STATES;
    }
    return st == FL_OK ? state : ROUND_N_STATES;
}

fl_status record_get_model(record *r, uint32_t round, record_model *out, fl_err *err)
{
    bool found = false;
    fl_status st = store_find(r->db, err,
                              "SELECT object, sha256, bytes_up, bytes_down, seconds, loss, "
                              "committed_ms FROM model WHERE round = ?",
                              "i", (int64_t)round);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        found = true;
        if ((st = store_copy(r->db, 0, &out->object, sizeof out->object, err)) == FL_OK) {
            st = store_copy(r->db, 1, &out->id, sizeof out->id, err);
        }
        out->bytes_up = (uint64_t)store_int(r->db, 2);
        out->bytes_down = (uint64_t)store_int(r->db, 3);
        out->seconds = store_num(r->db, 4);
        out->loss = store_num(r->db, 5);
        out->committed_ms = store_int(r->db, 6);
        store_end(r->db);
        break;
    }
    return st == FL_OK && !found
               ? fl_fail(err, FL_ENOTFOUND, "no model of round %u is recorded", round)
               : st;
}

bool record_has_model(record *r, uint32_t round)
{
    record_model ignored;
    return record_get_model(r, round, &ignored, NULL) == FL_OK;
}

fl_status record_get_threshold(record *r, double *threshold, int64_t *bins,
                               char why[static FED_TEXT_BYTES], fl_err *err)
{
    *threshold = NAN;
    *bins = 0;
    why[0] = '\0';
    fl_status st = store_find(r->db, err, "SELECT threshold, bins, why FROM run", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        *threshold = store_num(r->db, 0);
        *bins = store_int(r->db, 1);
        snprintf(why, FED_TEXT_BYTES, "%s", store_text(r->db, 2));
    }
    return st;
}

int64_t record_created_ms(record *r)
{
    return r->created_ms;
}

int64_t record_entered_ms(record *r)
{
    return r->entered_ms;
}

static fl_status read_answer(record *r, record_answer *out, fl_err *err)
{
    fl_status st = fed_site_id_parse(&out->site, store_text(r->db, 0), err);
    if (st != FL_OK) {
        return st;
    }
    out->state = (int)store_int(r->db, 1);
    snprintf(out->reason, sizeof out->reason, "%s", store_text(r->db, 2));
    out->time_ms = store_int(r->db, 3);
    size_t n_packed = 0;
    const void *packed = store_bytes(r->db, 4, &n_packed);
    out->has_offer = packed != NULL;
    if (out->has_offer) {
        fed_msg msg;
        if ((st = fed_msg_unpack(&msg, packed, n_packed, err)) != FL_OK) {
            return fl_wrap(err, st, "the recorded contribution of %s", out->site.text);
        }
        out->offer = msg.u.offer;
    }
    out->payload = store_bytes(r->db, 5, &out->n_payload);
    return FL_OK;
}

/* Calls each for the rows of the store_find that was begun with st. */
static fl_status each_answer(record *r, fl_status st,
                             fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                             void *ctx, fl_err *err)
{
    record_answer *a = fl_xcalloc(1, sizeof *a);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        if ((st = read_answer(r, a, err)) != FL_OK || (st = each(ctx, a, err)) != FL_OK) {
            store_end(r->db);
            break;
        }
    }
    free(a);
    return st;
}

fl_status record_answers(record *r, fed_order_kind kind, uint32_t round,
                         fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                         void *ctx, fl_err *err)
{
    fl_status st = store_find(r->db, err,
                              "SELECT site, state, reason, time_ms, offer, payload FROM answer "
                              "WHERE kind = ? AND round = ? ORDER BY site",
                              "ii", (int64_t)kind, (int64_t)round);
    return each_answer(r, st, each, ctx, err);
}

fl_status record_carried(record *r, uint32_t round,
                         fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                         void *ctx, fl_err *err)
{
    fl_status st = store_find(r->db, err,
                              "SELECT a.site, a.state, a.reason, a.time_ms, a.offer, a.payload"
                              " FROM carried c JOIN answer a ON a.kind = ? AND a.round = c.round"
                              " AND a.site = c.site WHERE c.folded = ? ORDER BY a.site, a.round",
                              "ii", (int64_t)FED_TRAIN, (int64_t)round);
    return each_answer(r, st, each, ctx, err);
}

fl_status record_chosen(record *r, uint32_t round,
                        fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                        void *ctx, fl_err *err)
{
    fl_status st = store_find(r->db, err,
                              "SELECT a.site, a.state, a.reason, a.time_ms, a.offer, a.payload"
                              " FROM chosen c JOIN answer a ON a.kind = ? AND a.round = c.round"
                              " AND a.site = c.site WHERE c.round = ? ORDER BY a.site",
                              "ii", (int64_t)FED_TRAIN, (int64_t)round);
    return each_answer(r, st, each, ctx, err);
}

bool record_is_absent(record *r, fed_order_kind kind, uint32_t round, const char *site)
{
    bool absent = false;
    fl_status st = store_find(r->db, NULL,
                              "SELECT 1 FROM answer a WHERE kind = ? AND round = ? AND site = ?"
                              " AND state = ? AND NOT EXISTS (SELECT 1 FROM carried c"
                              " WHERE c.round = a.round AND c.site = a.site)",
                              "iiti", (int64_t)kind, (int64_t)round, site, (int64_t)ROUND_ABSENT);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        absent = true;
    }
    return absent;
}

bool record_find_digest(record *r, fed_order_kind kind, uint32_t round, const char *site,
                        fed_digest *out)
{
    bool found = false;
    fl_status st = store_find(r->db, NULL,
                              "SELECT digest FROM answer WHERE kind = ? AND round = ? AND site = ? "
                              "AND digest IS NOT NULL",
                              "iit", (int64_t)kind, (int64_t)round, site);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        found = store_copy(r->db, 0, out, sizeof *out, NULL) == FL_OK;
    }
    return found;
}

bool record_has_others(record *r, const fed_offer *o)
{
    bool found = false;
    fl_status st = store_find(r->db, NULL,
                              "SELECT 1 FROM answer WHERE kind = ? AND round = ? AND site <> ?"
                              " AND digest = ?",
                              "iitb", (int64_t)o->key.kind, (int64_t)o->key.round.n, o->site.text,
                              (const void *)&o->digest, sizeof o->digest);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        found = true;
    }
    return found;
}

bool record_find_offer(record *r, fed_order_kind kind, uint32_t round, const char *site,
                       fed_offer *out)
{
    bool found = false;
    fed_msg *msg = fl_xcalloc(1, sizeof *msg);
    fl_status st = store_find(r->db, NULL,
                              "SELECT offer FROM answer WHERE kind = ? AND round = ? AND site = ? "
                              "AND offer IS NOT NULL",
                              "iit", (int64_t)kind, (int64_t)round, site);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        size_t n = 0;
        const void *packed = store_bytes(r->db, 0, &n);
        found = fed_msg_unpack(msg, packed, n, NULL) == FL_OK && msg->type == FED_MSG_OFFER;
    }
    if (found) {
        *out = msg->u.offer;
    }
    free(msg);
    return found;
}

bool record_find_key(record *r, const char *site, fed_verify_key *out)
{
    bool found = false;
    fl_status st = store_find(r->db, NULL, "SELECT sign FROM site WHERE name = ?", "t", site);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        found = store_copy(r->db, 0, out, sizeof *out, NULL) == FL_OK;
    }
    return found;
}

static fl_status read_home(record *r, record_home *out, fed_msg *msg, fl_err *err)
{
    size_t n = 0;
    fl_status st = fed_site_id_parse(&out->site, store_text(r->db, 0), err);
    if (st != FL_OK) {
        return st;
    }
    const void *packed = store_bytes(r->db, 2, &n);
    out->last_round = (uint32_t)store_int(r->db, 1);
    if ((st = fed_msg_unpack(msg, packed, n, err)) != FL_OK) {
        return fl_wrap(err, st, "what an earlier home of %s joined with", out->site.text);
    }
    out->joined = msg->u.offer;
    return FL_OK;
}

fl_status record_homes(record *r,
                       fl_status (*each)(void *ctx, const record_home *home, fl_err *err),
                       void *ctx, fl_err *err)
{
    fed_msg *msg = fl_xcalloc(1, sizeof *msg);
    record_home *home = fl_xcalloc(1, sizeof *home);
    fl_status st = store_find(r->db, err,
                              "SELECT site, last_round, offer FROM home ORDER BY site, number", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        if ((st = read_home(r, home, msg, err)) != FL_OK || (st = each(ctx, home, err)) != FL_OK) {
            store_end(r->db);
            break;
        }
    }
    free(home);
    free(msg);
    return st;
}

char *record_environment(record *r, const char *site)
{
    char *text = NULL;
    fl_status st = store_find(r->db, NULL, "SELECT environment FROM site WHERE name = ?", "t",
                              site);
    while (st == FL_OK && store_row(r->db, &st, NULL)) {
        text = fl_xstrdup(store_text(r->db, 0));
    }
    return text != NULL ? text : fl_xstrdup("");
}
