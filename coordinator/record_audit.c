/*
 * record_audit.c - the lines of the audit record, and who is in it
 *
 * See record.h.  A line is a row, written in the transaction of what it tells; audit.c keeps
 * the file that others read.
 */
#include "coordinator/record_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/rotation.h"

enum {
    MAX_REFUSALS = 1000,  // different ones; more are lumped together
    MAX_ROTATIONS = 32    // of a site, in a line
};

fl_status record_note(record *r, json_t *fields, fl_err *err)
{
    FL_REQUIRE(fields != NULL);
    char *line = fed_audit_line(fields, &r->head, fl_wall_ms());
    fl_status st = store_do(r->db, err, "INSERT INTO audit VALUES (?, ?)", "it",
                            (int64_t)r->head.n_lines + 1, line);
    if (st == FL_OK) {
        fed_audit_extend(&r->head, line, strlen(line));
    }
    free(line);
    return st;
}

const fed_audit_head *record_head(const record *r)
{
    return &r->head;
}

fl_status record_lines(record *r, uint64_t from,
                       fl_status (*each)(void *ctx, uint64_t number, const char *line,
                                         fl_err *err),
                       void *ctx, fl_err *err)
{
    fl_status st = store_find(r->db, err, "SELECT seq, line FROM audit WHERE seq >= ? ORDER BY seq",
                              "i", (int64_t)from);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        if ((st = each(ctx, (uint64_t)store_int(r->db, 0), store_text(r->db, 1), err)) != FL_OK) {
            store_end(r->db);
            break;
        }
    }
    return st;
}

/* The keys that a line names, and the last rotations by which they came to be. */
static void add_keys(json_t *line, const char *fingerprint, const fed_verify_key *sign,
                     const json_t *rotations)
{
    char key[FL_HEX_DIGEST];
    fl_hex(key, sign->bytes, sizeof sign->bytes);
    json_object_set_new(line, "fingerprint", json_string(fingerprint));
    json_object_set_new(line, "sign_key", json_string(key));
    size_t n = json_array_size(rotations);
    json_t *last = json_array();  // a line holds so many
    for (size_t i = n > MAX_ROTATIONS ? n - MAX_ROTATIONS : 0; i < n; i++) {
        json_array_append(last, json_array_get(rotations, i));
    }
    if (n > 0) {
        json_object_set(line, "rotations", last);
    }
    json_decref(last);
}

fl_status record_follow_coordinator(record *r, const fed_public_key *curve,
                                    const fed_verify_key *sign, const json_t *rotations,
                                    fl_err *err)
{
    char fingerprint[FED_FINGERPRINT_BYTES];
    fed_fingerprint(fingerprint, curve, sign);
    fl_status st = store_do(r->db, err,
                            "INSERT INTO coordinator VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET"
                            " fingerprint = excluded.fingerprint"
                            " WHERE fingerprint != excluded.fingerprint",
                            "t", fingerprint);
    if (st != FL_OK || store_changes(r->db) == 0) {
        return st;
    }
    json_t *line = json_pack("{s:s}", "what", "coordinator");
    add_keys(line, fingerprint, sign, rotations);
    return record_note(r, line, err);
}

/* Do the rotations lead from the keys of this fingerprint to sign? */
static bool has_rotated(const char *before, const fed_verify_key *sign, const json_t *rotations)
{
    size_t i;
    const json_t *item;
    json_array_foreach (rotations, i, item) {
        fed_rotation rotation;
        char fingerprint[FED_FINGERPRINT_BYTES];
        if (fed_rotation_parse(&rotation, item, NULL) == FL_OK) {
            fed_fingerprint(fingerprint, &rotation.old_curve, &rotation.old_sign);
            if (strcmp(fingerprint, before) == 0) {
                return fed_rotations_lead(rotations, &rotation.old_sign, sign);
            }
        }
    }
    return false;
}

/*
 * The roster tells how things are, not what happened.  A site that was removed and invited anew
 * between two looks at it is invited, or has other keys already; that its old ones ended is a line
 * of its own, for nobody takes keys that came from nowhere.
 */
static fl_status note_end_of_keys(record *r, const char *site, const char *fingerprint,
                                  const fed_verify_key *sign, const json_t *rotations, fl_err *err)
{
    char before[FED_FINGERPRINT_BYTES] = "";
    fl_status st = store_find(
        r->db, err, "SELECT fingerprint FROM member WHERE name = ? AND status != 'removed'", "t",
        site);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        snprintf(before, sizeof before, "%s", store_text(r->db, 0));
    }
    if (st != FL_OK || *before == '\0' || strcmp(before, fingerprint) == 0 ||
        (sign != NULL && has_rotated(before, sign, rotations))) {
        return st;
    }
    return record_note(r,
                       json_pack("{s:s, s:s, s:s, s:s}", "what", "site", "site", site, "status",
                                 "removed", "fingerprint", before),
                       err);
}

fl_status record_follow_site(record *r, const fed_site_id *site, const char *status,
                             const fed_public_key *curve, const fed_verify_key *sign,
                             const json_t *rotations, fl_err *err)
{
    char fingerprint[FED_FINGERPRINT_BYTES] = "";
    if (sign != NULL) {
        fed_fingerprint(fingerprint, curve, sign);
    }
    fl_status st = note_end_of_keys(r, site->text, fingerprint, sign, rotations, err);
    if (st != FL_OK) {
        return st;
    }
    st = store_do(r->db, err,
                  "INSERT INTO member VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                  " status = excluded.status, fingerprint = excluded.fingerprint"
                  " WHERE status != excluded.status OR fingerprint != excluded.fingerprint",
                  "ttt", site->text, status, fingerprint);
    if (st != FL_OK || store_changes(r->db) == 0) {
        return st;
    }
    json_t *line = json_pack("{s:s, s:s, s:s}", "what", "site", "site", site->text, "status",
                             status);
    if (sign != NULL) {
        add_keys(line, fingerprint, sign, rotations);
    }
    return record_note(r, line, err);
}

/* Notes the refusals that `which` selects. */
static fl_status note_refusals(record *r, const char *sql, fl_err *err)
{
    json_t *lines = json_array();
    fl_status st = store_find(r->db, err, sql, "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        json_array_append_new(
            lines, json_pack("{s:s, s:s, s:s, s:s, s:I}", "what", "refusal", "of",
                             store_text(r->db, 0), "reason", store_text(r->db, 1), "address",
                             store_text(r->db, 2), "count", (json_int_t)store_int(r->db, 3)));
    }
    for (size_t i = 0; i < json_array_size(lines) && st == FL_OK; i++) {
        json_t *line = json_incref(json_array_get(lines, i));
        if ((st = store_do(r->db, err,
                           "UPDATE refusal SET noted = count WHERE what = ? AND reason = ? AND "
                           "address = ?",
                           "ttt", fl_json_get_string(line, "of", ""),
                           fl_json_get_string(line, "reason", ""),
                           fl_json_get_string(line, "address", ""))) == FL_OK) {
            st = record_note(r, json_incref(line), err);
        }
        json_decref(line);
    }
    json_decref(lines);
    return st;
}

static fl_status count_refusals(record *r, int64_t *n, fl_err *err)
{
    fl_status st = store_find(r->db, err, "SELECT count(*) FROM refusal", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        *n = store_int(r->db, 0);
    }
    return st;
}

fl_status record_refuse(record *r, const char *what, const char *reason, const char *address,
                        int64_t count, fl_err *err)
{
    int64_t n = 0;
    fl_status st = count_refusals(r, &n, err);
    if (st == FL_OK) {
        bool full = n >= MAX_REFUSALS;
        st = store_do(r->db, err,
                      "INSERT INTO refusal VALUES (?, ?, ?, ?, 0) ON CONFLICT (what, reason, "
                      "address) DO UPDATE SET count = count + excluded.count",
                      "ttti", what, full ? "many different reasons" : reason,
                      full ? "others" : address, count);
    }
    return st == FL_OK ? note_refusals(r,
                                       "SELECT what, reason, address, count FROM refusal"
                                       " WHERE count >= 2 * noted AND count > noted"
                                       " ORDER BY what, reason, address",
                                       err)
                       : st;
}

fl_status record_note_refusals(record *r, fl_err *err)
{
    return note_refusals(r,
                         "SELECT what, reason, address, count FROM refusal WHERE count > noted"
                         " ORDER BY what, reason, address",
                         err);
}
