/*
 * audit.c - see audit.h
 */
#include "fed/audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

static const char head_label[] = "consilium audit 1";

// ---------------------------------------------------------------------- heads

void fed_audit_extend(fed_audit_head *head, const char *line, size_t n)
{
    fl_sha256 h;
    fl_sha256_init(&h);
    fl_sha256_add(&h, line, n);
    fl_sha256_done(&h, head->last.bytes);
    head->n_lines++;
}

bool fed_audit_head_equal(const fed_audit_head *a, const fed_audit_head *b)
{
    return a->n_lines == b->n_lines && memcmp(&a->last, &b->last, sizeof a->last) == 0;
}

/* text run, job, u64 lines, last: see PROTOCOL.md, section 7. */
static void head_bytes(fl_buf *out, const fed_digest *job, const char *run,
                       const fed_audit_head *head)
{
    uint8_t length = (uint8_t)strlen(run), lines[8];
    for (int i = 0; i < 8; i++) {
        lines[i] = (uint8_t)(head->n_lines >> (8 * i));
    }
    fl_buf_add(out, &length, 1);
    fl_buf_add(out, run, length);
    fl_buf_add(out, job->bytes, sizeof job->bytes);
    fl_buf_add(out, lines, sizeof lines);
    fl_buf_add(out, head->last.bytes, sizeof head->last.bytes);
}

void fed_audit_sign(fed_signature *out, const fed_identity *id, const fed_digest *job,
                    const char *run, const fed_audit_head *head)
{
    fl_buf bytes = FL_BUF_INIT;
    head_bytes(&bytes, job, run, head);
    fed_sign(out, id, head_label, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
}

bool fed_audit_verify(const fed_signature *s, const fed_verify_key *key, const fed_digest *job,
                      const char *run, const fed_audit_head *head)
{
    fl_buf bytes = FL_BUF_INIT;
    head_bytes(&bytes, job, run, head);
    bool good = fed_verify(s, key, head_label, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
    return good;
}

// ---------------------------------------------------------------------- lines

char *fed_audit_line(json_t *fields, const fed_audit_head *head, int64_t wall_ms)
{
    char when[32], prev[FL_HEX_DIGEST];
    fl_iso_time(when, sizeof when, wall_ms);
    fl_hex(prev, head->last.bytes, sizeof head->last.bytes);
    json_object_set_new(fields, "seq", json_integer((json_int_t)head->n_lines + 1));
    json_object_set_new(fields, "time", json_string(when));
    json_object_set_new(fields, "prev", json_string(prev));
    char *text = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    json_decref(fields);
    FL_REQUIRE(text != NULL && strlen(text) < FED_AUDIT_LINE_BYTES);
    return text;
}

json_t *fed_audit_of_offer(const fed_offer *offer)
{
    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(offer, &bytes);
    char *digest = fl_hex_of(offer->digest.bytes, sizeof offer->digest.bytes);
    char *is_signed = fl_hex_of(bytes.data, bytes.n);
    char *signature = fl_hex_of(offer->signature.bytes, sizeof offer->signature.bytes);
    json_t *line = json_pack("{s:s, s:s, s:I, s:s, s:I, s:s, s:s, s:s}", "what", "contribution",
                             "kind", fed_order_name(offer->key.kind), "round",
                             (json_int_t)offer->key.round.n, "site", offer->site.text, "bytes",
                             (json_int_t)offer->n_bytes, "digest", digest, "signed", is_signed,
                             "signature", signature);
    FL_REQUIRE(line != NULL);
    free(digest);
    free(is_signed);
    free(signature);
    fl_buf_clear(&bytes);
    return line;
}

static fl_status parse_offer(fed_offer *out, const json_t *line, fl_err *err)
{
    const char *hex = fl_json_get_string(line, "signed", "");
    size_t n = strlen(hex) / 2;
    uint8_t *bytes = fl_xcalloc(n + 1, 1);
    fl_status st;
    if ((st = fl_unhex(bytes, n, hex, err)) == FL_OK &&
        (st = fed_offer_parse(out, bytes, n, err)) == FL_OK) {
        st = fl_unhex(out->signature.bytes, sizeof out->signature.bytes,
                      fl_json_get_string(line, "signature", ""), err);
    }
    free(bytes);
    return st;
}

static bool says_the_same(const json_t *line, const fed_offer *o)
{
    char digest[FL_HEX_DIGEST];
    fl_hex(digest, o->digest.bytes, sizeof o->digest.bytes);
    return strcmp(fl_json_get_string(line, "kind", ""), fed_order_name(o->key.kind)) == 0 &&
           fl_json_get_int(line, "round", -1) == (int64_t)o->key.round.n &&
           strcmp(fl_json_get_string(line, "site", ""), o->site.text) == 0 &&
           fl_json_get_int(line, "bytes", -1) == (int64_t)o->n_bytes &&
           strcmp(fl_json_get_string(line, "digest", ""), digest) == 0;
}

fl_status fed_audit_offer(fed_offer *out, const json_t *line, const fed_verify_key *key,
                          fl_err *err)
{
    fl_status st = parse_offer(out, line, err);
    if (st != FL_OK) {
        return fl_wrap(err, st, "the contribution");
    }
    if (!says_the_same(line, out)) {
        return fl_fail(err, FL_EFORMAT, "the contribution's names differ from what was signed");
    }
    return fed_offer_verify(out, key)
               ? FL_OK
               : fl_fail(err, FL_EFORMAT, "the contribution of %s does not bear its signature",
                         out->site.text);
}

// -------------------------------------------------------------------- a record

/* One line without its end into out (FED_AUDIT_LINE_BYTES); false at the end of the file. */
static bool read_line(FILE *file, char *out, size_t *n, fl_status *st, fl_err *err)
{
    int c;
    *n = 0;
    while ((c = fgetc(file)) != EOF && c != '\n') {
        if (*n + 1 == FED_AUDIT_LINE_BYTES) {
            *st = fl_fail(err, FL_ELIMIT, "longer than %d bytes", FED_AUDIT_LINE_BYTES);
            return false;
        }
        out[(*n)++] = (char)c;
    }
    out[*n] = '\0';
    if (ferror(file)) {
        *st = fl_fail(err, FL_EIO, "%s", strerror(errno));
    } else if (c == EOF && *n > 0) {
        *st = fl_fail(err, FL_EFORMAT, "the line is cut off");
    }
    return *st == FL_OK && c != EOF;
}

/* Is json the line behind head? */
static fl_status check_link(const json_t *json, const fed_audit_head *head, fl_err *err)
{
    char prev[FL_HEX_DIGEST];
    fl_hex(prev, head->last.bytes, sizeof head->last.bytes);
    if (fl_json_get_int(json, "seq", -1) != (int64_t)head->n_lines + 1) {
        return fl_fail(err, FL_EFORMAT, "its number is not %llu: a line is missing, or was added",
                       (unsigned long long)head->n_lines + 1);
    }
    if (strcmp(fl_json_get_string(json, "prev", ""), prev) != 0) {
        return fl_fail(err, FL_EFORMAT,
                       "it does not follow on line %llu as that stands here: one of the two was "
                       "changed",
                       (unsigned long long)head->n_lines);
    }
    return FL_OK;
}

static fl_status take_line(fed_audit_entry *e, fed_audit_each each, void *ctx, fl_err *err)
{
    json_t *json = NULL;
    if (fl_json_parse(&json, e->text, e->n, FED_AUDIT_LINE_BYTES, "the line", NULL) != FL_OK) {
        return fl_fail(err, FL_EFORMAT, "is no line of an audit record: it was damaged, or never "
                                        "was one");
    }
    fl_status st = check_link(json, &e->head, err);
    if (st == FL_OK) {
        fed_audit_extend(&e->head, e->text, e->n);
        e->json = json;
        st = each != NULL ? each(ctx, e, err) : FL_OK;
    }
    json_decref(json);
    return st;
}

fl_status fed_audit_walk(fed_audit_head *end, const char *path, fed_audit_each each, void *ctx,
                         fl_err *err)
{
    *end = (fed_audit_head){0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fl_fail_errno(err, errno, path);
    }
    char *text = fl_xcalloc(FED_AUDIT_LINE_BYTES, 1);
    fed_audit_entry e = {.path = path, .text = text};
    fl_status st = FL_OK;
    unsigned long long number = 1;
    while (st == FL_OK && read_line(file, text, &e.n, &st, err)) {
        if ((st = take_line(&e, each, ctx, err)) == FL_OK) {
            number++;
        }
    }
    fclose(file);
    free(text);
    *end = e.head;
    return st == FL_OK ? st : fl_wrap(err, st, "%s:%llu", path, number);
}
