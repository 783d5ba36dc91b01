/*
 * receipts.c - see receipts.h
 */
#define _XOPEN_SOURCE 700  // getline

#include "client/receipts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"

const char *receipts_kind(fed_order_kind kind)
{
    return kind == FED_TRAIN ? "update" : fed_order_name(kind);
}

json_t *receipts_new(const char *what, const char *kind, const char *run, const fed_order_key *key)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, key->job.bytes, sizeof key->job.bytes);
    json_t *line = json_object();
    json_object_set_new(line, "what", json_string(what));
    json_object_set_new(line, "kind", json_string(kind));
    json_object_set_new(line, "run", json_string(run));
    json_object_set_new(line, "job", json_string(hex));
    json_object_set_new(line, "round", json_integer(key->round.n));
    return line;
}

json_t *receipts_of(const char *what, const char *run, const fed_offer *offer)
{
    char digest[FL_HEX_DIGEST];
    fl_hex(digest, offer->digest.bytes, sizeof offer->digest.bytes);
    json_t *line = receipts_new(what, receipts_kind(offer->key.kind), run, &offer->key);
    json_object_set_new(line, "bytes", json_integer((json_int_t)offer->n_bytes));
    json_object_set_new(line, "digest", json_string(digest));
    return line;
}

static fl_status add(const home *h, json_t *line,
                     fl_status (*append)(const char *path, const void *bytes, size_t n,
                                         fl_err *err),
                     fl_err *err)
{
    FL_REQUIRE(line != NULL);
    char when[32];
    fl_iso_time(when, sizeof when, fl_wall_ms());
    json_object_set_new(line, "time", json_string(when));
    char *json = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(10));
    FL_REQUIRE(json != NULL);
    bool torn = atomic_exchange(&h->receipts->may_be_torn, false);
    char *text = fl_xasprintf("%s%s\n", torn ? "\n" : "", json);
    char *path = home_path(h, "receipts.jsonl");
    fl_status st = append(path, text, strlen(text), err);
    if (st != FL_OK) {
        atomic_store(&h->receipts->may_be_torn, true);  // the next one begins a line of its own
    }
    free(path);
    free(text);
    free(json);
    json_decref(line);
    return st;
}

fl_status receipts_add(const home *h, json_t *line, fl_err *err)
{
    unsigned before = atomic_load(&h->receipts->n_added);  // these are flushed too
    fl_status st = add(h, line, fl_file_append, err);
    if (st == FL_OK) {
        atomic_store(&h->receipts->n_flushed, before);
    }
    return st;
}

fl_status receipts_add_later(const home *h, json_t *line, fl_err *err)
{
    bool left = strcmp(fl_json_get_string(line, "what", ""), "sent") == 0;
    fl_status st = add(h, line, fl_file_append_later, err);
    if (left) {
        atomic_fetch_add(&h->receipts->n_added, 1);
    }
    return st;
}

fl_status receipts_flush(const home *h, fl_err *err)
{
    unsigned before = atomic_load(&h->receipts->n_added);
    char *path = home_path(h, "receipts.jsonl");
    fl_status st = fl_file_flush(path, err);
    free(path);
    if (st == FL_OK) {
        atomic_store(&h->receipts->n_flushed, before);
    }
    return st;
}

bool receipts_are_flushed(const home *h)
{
    return atomic_load(&h->receipts->n_flushed) == atomic_load(&h->receipts->n_added);
}

/* Opens the lines for reading; *out NULL: there are none yet. */
static fl_status open_lines(FILE **out, const home *h, fl_err *err)
{
    char *path = home_path(h, "receipts.jsonl");
    fl_status st = FL_OK;
    *out = fopen(path, "re");
    if (*out == NULL && errno != ENOENT) {
        st = fl_fail(err, FL_EIO, "%s cannot be read: %s", path, strerror(errno));
    }
    free(path);
    return st;
}

/* Line by line: the file grows as long as the hospital takes part, and memory does not.  true:
 * there was one, *text (getline's) holds it. */
static bool next_line(FILE *lines, char **text, size_t *room)
{
    return lines != NULL && getline(text, room, lines) > 0;
}

static fl_status close_lines(FILE *lines, char *text, const home *h, fl_err *err)
{
    bool failed = lines != NULL && ferror(lines);
    if (lines != NULL) {
        fclose(lines);
    }
    free(text);
    return failed ? fl_fail(err, FL_EIO, "%s: receipts.jsonl cannot be read to its end", h->dir)
                  : FL_OK;
}

fl_status receipts_find(const home *h, const char *text, bool *found, fl_err *err)
{
    FILE *lines = NULL;
    char *line = NULL;
    size_t room = 0;
    *found = false;
    fl_status st = open_lines(&lines, h, err);
    while (!*found && next_line(lines, &line, &room)) {
        if (strstr(line, text) != NULL) {
            json_t *whole = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
            *found = json_is_object(whole);
            json_decref(whole);
        }
    }
    fl_status closed = close_lines(lines, line, h, err);
    return st != FL_OK ? st : closed;
}

void receipts_mend(const home *h)
{
    FILE *lines = NULL;
    char *path = home_path(h, "receipts.jsonl");
    bool is_torn = open_lines(&lines, h, NULL) == FL_OK && lines != NULL &&
                   fseek(lines, -1, SEEK_END) == 0 && fgetc(lines) != '\n';
    close_lines(lines, NULL, h, NULL);
    if (is_torn) {
        (void)fl_file_append(path, "\n", 1, NULL);
    } else {
        (void)fl_file_flush(path, NULL);  // there is none yet, or the disk will say so again
    }
    free(path);
}

fl_status receipts_add_head(const home *h, const fed_order *order, fl_err *err)
{
    char last[FL_HEX_DIGEST], signature[2 * FED_SIGNATURE_BYTES + 1];
    fl_hex(last, order->head.last.bytes, sizeof order->head.last.bytes);
    fl_hex(signature, order->head_signature.bytes, sizeof order->head_signature.bytes);
    json_t *line = receipts_new("head", "order", order->run, &order->key);
    json_object_set_new(line, "lines", json_integer((json_int_t)order->head.n_lines));
    json_object_set_new(line, "last", json_string(last));
    json_object_set_new(line, "signature", json_string(signature));
    return receipts_add_later(h, line, err);
}

/* The lines whose members have these texts; NULL = any. */
static fl_status select_lines(json_t **out, const home *h, const char *what, const char *run,
                              const char *job, fl_err *err)
{
    FILE *lines = NULL;
    char *text = NULL;
    size_t room = 0;
    *out = NULL;
    fl_status st = open_lines(&lines, h, err);
    if (st != FL_OK) {
        return st;
    }
    *out = json_array();
    while (next_line(lines, &text, &room)) {
        // A line that a power cut tore is no JSON; what it told of was never sent.
        json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(line) &&
            (what == NULL || strcmp(fl_json_get_string(line, "what", ""), what) == 0) &&
            (run == NULL || strcmp(fl_json_get_string(line, "run", ""), run) == 0) &&
            (job == NULL || strcmp(fl_json_get_string(line, "job", ""), job) == 0)) {
            json_array_append(*out, line);
        }
        json_decref(line);
    }
    st = close_lines(lines, text, h, err);
    if (st != FL_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

fl_status receipts_of_job(json_t **out, const home *h, const fed_digest *job, fl_err *err)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, job->bytes, sizeof job->bytes);
    return select_lines(out, h, NULL, NULL, hex, err);
}

fl_status receipts_sent(json_t **out, const home *h, const char *run, fl_err *err)
{
    fl_status st = select_lines(out, h, "sent", run, NULL, err);
    for (size_t i = 0; st == FL_OK && i < json_array_size(*out); i++) {
        json_object_del(json_array_get(*out, i), "what");
    }
    return st;
}
