/*
 * audit.h - the audit record of a run, as coordinator and sites must agree on it
 *
 * audit.jsonl holds one JSON object a line, with sorted keys:
 *     {..., "prev": SHA-256 of the line before (zeros before the first),
 *      "seq": number of the line, from 1, "time": UTC, "what": see proto/PROTOCOL.md}
 * The SHA-256 of a line (its bytes without the line end) therefore names all
 * that stands before it.  (number of lines, SHA-256 of the last) is the head;
 * signed by the coordinator it goes with every order, and the sites keep it: a
 * record that was cut, rewritten or forked lacks a head that somebody holds.
 * Threads: any.
 */
#ifndef FED_AUDIT_H
#define FED_AUDIT_H

#include <stdint.h>

#include "base/json.h"
#include "fed/fed.h"
#include "fed/identity.h"
#include "fed/msg.h"

enum { FED_AUDIT_LINE_BYTES = 64 * 1024 };

/* The head after a line (n bytes, without line end). */
void fed_audit_extend(fed_audit_head *head, const char *line, size_t n);
bool fed_audit_head_equal(const fed_audit_head *a, const fed_audit_head *b);

/* The coordinator's signature binds a head to a job's run. */
void fed_audit_sign(fed_signature *out, const fed_identity *id, const fed_digest *job,
                    const char *run, const fed_audit_head *head);
bool fed_audit_verify(const fed_signature *s, const fed_verify_key *key, const fed_digest *job,
                      const char *run, const fed_audit_head *head) FL_MUST_CHECK;

/* fields becomes the line behind head, with seq, prev and time added; fields is
 * taken, the text is the caller's. */
char *fed_audit_line(json_t *fields, const fed_audit_head *head, int64_t wall_ms);

/* What a contribution's line says: the names for people, and the bytes that its
 * site signed, with the signature.  New reference. */
json_t *fed_audit_of_offer(const fed_offer *offer);
/* The contribution of such a line; FL_EFORMAT when it does not say the same as the
 * names beside it, or key did not sign it. */
fl_status fed_audit_offer(fed_offer *out, const json_t *line, const fed_verify_key *key,
                          fl_err *err);

/* One line of a record, its number and chain already checked. */
typedef struct {
    const char *path;   // for messages
    const json_t *json; // borrowed during the call
    const char *text;
    size_t n;
    fed_audit_head head; // this line included
} fed_audit_entry;
typedef fl_status (*fed_audit_each)(void *ctx, const fed_audit_entry *entry, fl_err *err);

/*
 * Reads a record line by line and calls each.  *end: the last head.
 * FL_EFORMAT names the first line that does not hold: no JSON, a wrong number,
 * or one whose predecessor was changed.  Memory does not grow with the record.
 */
fl_status fed_audit_walk(fed_audit_head *end, const char *path, fed_audit_each each, void *ctx,
                         fl_err *err);

#endif
