/*
 * roster_heard.c - what sites said of themselves, and who was turned away
 *
 * See roster.h.  Kept in memory, and written in one transaction now and then, so that a flood
 * is neither load nor log.
 */
#include "coordinator/roster_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/sys.h"

enum { MAX_REFUSAL_ROWS = 10000 };  // kinds kept in all; then the rest is lumped together

void roster_seen(roster *r, size_t site, uint32_t protocol, const char *software,
                 const char *environment, int64_t wall_ms)
{
    roster_site *s = &r->sites[site];
    s->protocol = protocol;
    s->seen_ms = wall_ms;
    snprintf(s->software, sizeof s->software, "%s", software);
    snprintf(s->environment, sizeof s->environment, "%s", environment);
    s->unsaved = true;
    r->unsaved = true;
}

void roster_knows(roster *r, size_t site, const fed_verify_key *next)
{
    r->sites[site].knows = *next;
    r->sites[site].unsaved = true;
    r->unsaved = true;
}

static void count_refusal(refusal_list *list, const roster_refusal *more)
{
    roster_refusal *found = NULL;
    for (size_t i = 0; i < list->n && found == NULL; i++) {
        roster_refusal *p = &list->item[i];
        if (strcmp(p->what, more->what) == 0 && strcmp(p->reason, more->reason) == 0 &&
            strcmp(p->address, more->address) == 0) {
            found = p;
        }
    }
    if (found == NULL && list->n == ROSTER_PENDING_REFUSALS) {
        found = &list->item[ROSTER_PENDING_REFUSALS - 1];
        snprintf(found->address, sizeof found->address, "others");
    }
    if (found == NULL) {
        list->item[list->n++] = *more;
        return;
    }
    found->count += more->count;
    found->last_ms = more->last_ms;
}

void roster_refuse(roster *r, const char *what, const char *reason, const char *address,
                   uint64_t count, int64_t wall_ms)
{
    roster_refusal more = {.count = (int64_t)count, .first_ms = wall_ms, .last_ms = wall_ms};
    snprintf(more.what, sizeof more.what, "%s", what);
    fed_msg_clean_text(more.reason, sizeof more.reason, reason);  // it may quote a liar
    fed_msg_clean_text(more.address, sizeof more.address, address);
    count_refusal(&r->pending, &more);
}

bool roster_take_refusal(roster *r, roster_refusal *out)
{
    if (r->news.n == 0) {
        return false;
    }
    *out = r->news.item[--r->news.n];
    return true;
}

static fl_status count_rows(roster *r, int64_t *rows, fl_err *err)
{
    fl_status st = store_find(r->db, err, "SELECT count(*) FROM refusal", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        *rows = store_int(r->db, 0);
    }
    return st;
}

fl_status roster_flush(roster *r, fl_err *err)
{
    if (r->pending.n == 0 && !r->unsaved) {
        return FL_OK;
    }
    int64_t rows = 0;
    fl_status st = store_begin(r->db, err);
    if (st == FL_OK) {
        st = count_rows(r, &rows, err);
    }
    for (size_t i = 0; i < r->pending.n && st == FL_OK; i++) {
        const roster_refusal *p = &r->pending.item[i];
        st = store_do(
            r->db, err,
            "INSERT INTO refusal VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (what, reason, address)"
            " DO UPDATE SET count = count + excluded.count, last_ms = excluded.last_ms",
            "tttiii", p->what, rows < MAX_REFUSAL_ROWS ? p->reason : "many different reasons",
            rows < MAX_REFUSAL_ROWS ? p->address : "others", p->count, p->first_ms, p->last_ms);
        rows++;
    }
    for (size_t i = 0; i < r->n_sites && st == FL_OK; i++) {
        const roster_site *s = &r->sites[i];
        if (!s->unsaved) {
            continue;
        }
        st = store_do(
            r->db, err,
            "UPDATE site SET seen_ms = ?, software = ?, environment = ? WHERE name = ?", "ittt",
            s->seen_ms, s->software, s->environment, s->name.text);
        if (st == FL_OK) {
            st = store_do(r->db, err, "INSERT OR REPLACE INTO knows VALUES (?, ?)", "tb",
                          s->name.text, (const void *)&s->knows, sizeof s->knows);
        }
        if (st == FL_OK && s->protocol != 0) {
            st = store_do(r->db, err, "INSERT OR REPLACE INTO speaks VALUES (?, ?)", "ti",
                          s->name.text, (int64_t)s->protocol);
        }
    }
    if (st == FL_OK) {
        st = store_commit(r->db, err);
    }
    store_rollback(r->db);
    if (st != FL_OK) {
        return st;
    }
    for (size_t i = 0; i < r->pending.n; i++) {
        count_refusal(&r->news, &r->pending.item[i]);
    }
    r->pending.n = 0;
    r->unsaved = false;
    for (size_t i = 0; i < r->n_sites; i++) {
        r->sites[i].unsaved = false;
    }
    return FL_OK;
}

fl_status roster_refusals(json_t **out, roster *r, int64_t since_ms, fl_err *err)
{
    *out = NULL;
    fl_status st = roster_flush(r, err);
    if (st != FL_OK) {
        return st;
    }
    json_t *list = json_array();
    st = store_find(r->db, err,
                    "SELECT last_ms, address, what, reason, count FROM refusal WHERE last_ms >= ? "
                    "ORDER BY what, reason, address",
                    "i", since_ms);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        char when[32];
        fl_iso_time(when, sizeof when, store_int(r->db, 0));
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I}", "time", when, "address",
                                              store_text(r->db, 1), "what", store_text(r->db, 2),
                                              "reason", store_text(r->db, 3), "count",
                                              (json_int_t)store_int(r->db, 4)));
    }
    if (st != FL_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return FL_OK;
}
