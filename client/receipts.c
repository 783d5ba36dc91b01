/*
 * receipts.c - see receipts.h
 */
#include "client/receipts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"

enum { MAX_BYTES = 256 << 20 };

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
    char *text = fl_xasprintf("%s\n", json);
    char *path = home_path(h, "receipts.jsonl");
    fl_status st = append(path, text, strlen(text), err);
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

static fl_status read_all(char **text, size_t *n, const home *h, fl_err *err)
{
    char *path = home_path(h, "receipts.jsonl");
    fl_status st = fl_file_read(text, n, path, MAX_BYTES, err);
    if (st == FL_ENOTFOUND) {
        *text = fl_xstrdup("");
        *n = 0;
        st = FL_OK;
    }
    free(path);
    return st;
}

fl_status receipts_find(const home *h, const char *text, bool *found, fl_err *err)
{
    char *all = NULL;
    size_t n = 0;
    *found = false;
    fl_status st = read_all(&all, &n, h, err);
    if (st == FL_OK) {
        *found = strstr(all, text) != NULL;
    }
    free(all);
    return st;
}

void receipts_mend(const home *h)
{
    char *all = NULL;
    size_t n = 0;
    char *path = home_path(h, "receipts.jsonl");
    if (read_all(&all, &n, h, NULL) == FL_OK && n > 0 && all[n - 1] != '\n') {
        (void)fl_file_append(path, "\n", 1, NULL);
    } else {
        (void)fl_file_flush(path, NULL);  // there is none yet, or the disk will say so again
    }
    free(path);
    free(all);
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
    char *all = NULL;
    size_t n = 0;
    *out = NULL;
    fl_status st = read_all(&all, &n, h, err);
    if (st != FL_OK) {
        return st;
    }
    char *rest = NULL;
    *out = json_array();
    for (char *text = strtok_r(all, "\n", &rest); text != NULL;
         text = strtok_r(NULL, "\n", &rest)) {
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
    free(all);
    return FL_OK;
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
