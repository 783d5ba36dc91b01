/*
 * outbox.c - see outbox.h
 *
 * What a power cut must not take, and what is flushed for it:
 *   - the exact bytes of a payload.  Its file is flushed, moved to its place and
 *     the folder flushed, before byte one leaves.
 *   - that something left.  A contribution with a payload is its own evidence:
 *     its file holds the signed offer, from which outbox_sweep writes a line that
 *     is missing; and no file is removed before receipts.jsonl was flushed.
 *     One without a payload (a score's figures) has its line flushed before
 *     byte one leaves; its file need not be, for the same order gives it again.
 *   - the coordinator's answers and audit heads need no flush of their own: the
 *     next line that is flushed takes them along.
 * So a round costs a site three flushes: the update's file, its folder, the
 * score's line.
 *
 * An update that is settled leaves its file to the next one, which is written
 * over it before it is moved to its place: no blocks are freed and found again.
 */
#include "client/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "client/contents.h"
#include "client/receipts.h"
#include "client/scrub.h"
#include "fed/update.h"
#include "nn/plan.h"

enum { TAIL_BYTES = 16 };  // lengths of offer and run, mark

static const char mark[8] = {'f', 'e', 'd', '-', 'o', 'u', 't', '2'};
static const char spare_name[] = "outbox/spare";  // the file of a settled update
static const char enrol_label[] = "consilium enrol 1";

// -------------------------------------------------------------------- records

/* what: "difference" or "own model"; goes with table. */
static json_t *fields_of(const fed_offer *o, const char *what, const nn_table *table,
                         const json_t *payload)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < o->n_scalars; i++) {
        json_array_append_new(fields, json_string(o->scalars[i].name));
    }
    if (table != NULL) {
        char *text = fl_xasprintf("%s of %" PRId64 " parameters", what, nn_table_count(table));
        json_array_append_new(fields, json_string(text));
        free(text);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)payload, key, value)
    {
        json_array_append_new(fields, json_string(key));
    }
    return fields;
}

/* Flushed at once unless there is a payload, whose file tells it again. */
static fl_status record_sent(const home *h, const char *run, const fed_offer *o, json_t *fields,
                             fl_err *err)
{
    char signature[2 * FED_SIGNATURE_BYTES + 1];
    fl_hex(signature, o->signature.bytes, sizeof o->signature.bytes);
    json_t *line = receipts_of("sent", run, o);
    json_object_set_new(line, "fields", fields);
    json_object_set_new(line, "signature", json_string(signature));
    return o->n_pieces > 0 ? receipts_add_later(h, line, err) : receipts_add(h, line, err);
}

// ------------------------------------------------------------ the outbox's files

static char *item_path(const home *h, const fed_order_key *key)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, key->job.bytes, sizeof key->job.bytes);
    return fl_xasprintf("%s/outbox/%.16s-%s-%010" PRIu32 ".out", h->dir, hex,
                        receipts_kind(key->kind), key->round.n);
}

static fl_status put_bytes(int fd, const void *bytes, size_t n, const char *path, fl_err *err)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t put = write(fd, at, n);
        if (put < 0 && errno != EINTR) {
            return fl_fail_errno(err, errno, path);
        }
        if (put > 0) {
            at += put;
            n -= (size_t)put;
        }
    }
    return FL_OK;
}

/* Payload, piece after piece; the offer's sizes and digest come out of it. */
static fl_status put_payload(int fd, fed_offer *o, fed_encoding enc, const void *items, uint64_t n,
                             const char *path, fl_err *err)
{
    o->n_pieces = fed_pieces_of(enc, n);
    o->n_bytes = fed_piece_bytes_of(enc, n);
    fed_tree tree;
    fed_tree_init(&tree, o->n_bytes, o->n_pieces);
    uint32_t batch = o->n_pieces < FED_TREE_BATCH ? o->n_pieces : FED_TREE_BATCH;
    uint8_t *pieces = fl_xcalloc(batch, FED_PIECE_BYTES);
    fl_status st = FL_OK;
    for (uint32_t i = 0; i < o->n_pieces && st == FL_OK;) {
        size_t used = 0;
        for (uint32_t k = 0; k < batch && i < o->n_pieces; k++, i++) {
            used += fed_piece_pack(pieces + used, enc, items, n, i);
        }
        fed_tree_add_row(&tree, pieces, used);
        st = put_bytes(fd, pieces, used, path, err);
    }
    fed_tree_done(&tree, &o->digest);
    free(pieces);
    return st;
}

static void put_u32(uint8_t out[static 4], uint32_t x)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(x >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t in[static 4])
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static fl_status put_tail(int fd, const fed_offer *o, const char *run, const char *path,
                          fl_err *err)
{
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    m->type = FED_MSG_OFFER;
    m->u.offer = *o;
    fl_buf tail = FL_BUF_INIT;
    fed_msg_pack(m, &tail);
    uint8_t lengths[8];
    put_u32(lengths, (uint32_t)tail.n);
    put_u32(lengths + 4, (uint32_t)strlen(run));
    fl_buf_puts(&tail, run);
    fl_buf_add(&tail, lengths, sizeof lengths);
    fl_buf_add(&tail, mark, sizeof mark);
    fl_status st = put_bytes(fd, tail.data, tail.n, path, err);
    fl_buf_clear(&tail);
    free(m);
    return st;
}

/* A new file, or the spare one, which is to be cut where the new contents end. */
static int open_partial(const home *h, const char *partial, bool is_update)
{
    char *spare = home_path(h, spare_name);
    bool reused = is_update && rename(spare, partial) == 0;
    free(spare);
    return open(partial, O_RDWR | O_CREAT | O_CLOEXEC | (reused ? 0 : O_TRUNC), 0600);
}

static bool cut_here(int fd)
{
    struct stat info;
    off_t end = lseek(fd, 0, SEEK_CUR);
    return end >= 0 && fstat(fd, &info) == 0 && (info.st_size == end || ftruncate(fd, end) == 0);
}

/* Writes the file beside its place and moves it there; with a payload, flushes both. */
static fl_status put(outbox_item *out, const home *h, const char *run, const fed_offer *draft,
                     fed_encoding enc, const void *items, uint64_t n, fl_err *err)
{
    char *path = item_path(h, &draft->key);
    char *partial = fl_xasprintf("%s.tmp", path);
    char *dir = home_path(h, "outbox");
    fed_offer *o = &out->offer;
    fl_status st = FL_OK;

    *o = *draft;
    o->site = h->site;
    out->stride = fed_full_piece(enc);
    out->fd = open_partial(h, partial, contents_is_update(draft->key.kind));
    if (out->fd < 0) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    if ((st = put_payload(out->fd, o, enc, items, n, path, err)) != FL_OK) {
        goto done;
    }
    fed_offer_sign(o, h->id);
    if ((st = put_tail(out->fd, o, run, path, err)) != FL_OK) {
        goto done;
    }
    bool flush = o->n_pieces > 0;
    if (!cut_here(out->fd) || (flush && fdatasync(out->fd) != 0) || rename(partial, path) != 0) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    st = flush ? fl_fsync_dir(dir, err) : FL_OK;
done:
    if (st != FL_OK) {
        unlink(partial);
        outbox_item_close(out);
    }
    free(dir);
    free(partial);
    free(path);
    return st;
}

static fl_status put_and_record(outbox_item *out, const home *h, const char *run,
                                const fed_offer *draft, fed_encoding enc, const void *items,
                                uint64_t n, json_t *fields, fl_err *err)
{
    fl_status st = put(out, h, run, draft, enc, items, n, err);
    if (st != FL_OK) {
        json_decref(fields);
        return st;
    }
    st = record_sent(h, run, &out->offer, fields, err);
    if (st != FL_OK) {
        outbox_item_close(out);
    }
    return st;
}

fl_status outbox_put_update(outbox_item *out, const home *h, const policy *p, const char *run,
                            const fed_offer *draft, const nn_table *table, const float *update,
                            fed_encoding enc, fl_err *err)
{
    out->fd = -1;
    fl_status st = contents_check_update(p, draft, table, update, err);
    if (st != FL_OK) {
        return st;
    }
    return put_and_record(out, h, run, draft, enc, update, (uint64_t)nn_table_count(table),
                          fields_of(draft, "difference", table, NULL), err);
}

fl_status outbox_put_model(outbox_item *out, const home *h, const policy *p, const char *run,
                           const fed_offer *draft, const nn_table *table, const float *model,
                           fl_err *err)
{
    out->fd = -1;
    fl_status st = contents_check_model(p, draft, table, model, err);
    if (st != FL_OK) {
        return st;
    }
    return put_and_record(out, h, run, draft, FED_ENC_F32, model, (uint64_t)nn_table_count(table),
                          fields_of(draft, "own model", table, NULL), err);
}

fl_status outbox_put_json(outbox_item *out, const home *h, const policy *p, const char *run,
                          const fed_offer *draft, const json_t *payload, fl_err *err)
{
    out->fd = -1;
    fl_status st = contents_check_json(p, draft, payload, err);
    if (st != FL_OK) {
        return st;
    }
    char *text = payload == NULL ? NULL : fl_json_text(payload);
    st = put_and_record(out, h, run, draft, FED_ENC_BYTES, text, text == NULL ? 0 : strlen(text),
                        fields_of(draft, NULL, NULL, payload), err);
    free(text);
    return st;
}

void outbox_item_close(outbox_item *item)
{
    if (item->fd >= 0) {
        close(item->fd);
    }
    item->fd = -1;
}

// ------------------------------------------------------- reading what was put

static bool get_bytes(int fd, void *bytes, size_t n, int64_t at)
{
    char *to = bytes;
    while (n > 0) {
        ssize_t got = pread(fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

/* run: room FED_NAME_BYTES. */
static bool get_offer(fed_offer *out, char *run, int fd)
{
    struct stat info;
    uint8_t tail[TAIL_BYTES];
    if (fstat(fd, &info) != 0 || info.st_size < TAIL_BYTES ||
        !get_bytes(fd, tail, sizeof tail, info.st_size - TAIL_BYTES) ||
        memcmp(tail + 8, mark, sizeof mark) != 0) {
        return false;
    }
    uint32_t n = get_u32(tail), n_run = get_u32(tail + 4);
    if (n > FED_MAX_HEADER_BYTES || n_run >= FED_NAME_BYTES ||
        info.st_size < TAIL_BYTES + (int64_t)n + n_run) {
        return false;
    }
    uint8_t *header = fl_xcalloc(n, 1);
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    int64_t payload = info.st_size - TAIL_BYTES - (int64_t)n - n_run;
    memset(run, 0, FED_NAME_BYTES);
    bool good = get_bytes(fd, header, n, payload) && get_bytes(fd, run, n_run, payload + n) &&
                fed_msg_unpack(m, header, n, NULL) == FL_OK && m->type == FED_MSG_OFFER && m->u.offer.n_bytes == (uint64_t)payload;
    if (good) {
        *out = m->u.offer;
    }
    free(m);
    free(header);
    return good;
}

fl_status outbox_piece(const outbox_item *item, uint32_t index, uint8_t *piece, size_t *n,
                       fl_err *err)
{
    uint64_t at = (uint64_t)index * item->stride;
    FL_REQUIRE(item->fd >= 0 && index < item->offer.n_pieces && at < item->offer.n_bytes);
    uint64_t rest = item->offer.n_bytes - at;
    *n = rest < item->stride ? (size_t)rest : item->stride;
    if (!get_bytes(item->fd, piece, *n, (int64_t)at)) {
        return fl_fail(err, FL_EIO, "the outbox's file of %s %" PRIu32 " cannot be read",
                       receipts_kind(item->offer.key.kind), item->offer.key.round.n);
    }
    return FL_OK;
}

static bool payload_is_whole(outbox_item *item)
{
    const fed_offer *o = &item->offer;
    uint8_t enc = FED_ENC_BYTES;  // of the first piece, and so of all
    if (o->n_pieces > 0 && (!get_bytes(item->fd, &enc, 1, 0) || enc > FED_ENC_BF16)) {
        return false;
    }
    item->stride = fed_full_piece((fed_encoding)enc);
    fed_tree tree;
    fed_digest digest;
    fed_tree_init(&tree, o->n_bytes, o->n_pieces);
    uint8_t *piece = fl_xcalloc(1, FED_PIECE_BYTES);
    bool good = true;
    for (uint32_t i = 0; i < o->n_pieces && good; i++) {
        size_t n = 0;
        good = (uint64_t)i * item->stride < o->n_bytes &&
               outbox_piece(item, i, piece, &n, NULL) == FL_OK;
        if (good) {
            fed_tree_add(&tree, piece, n);
        }
    }
    free(piece);
    fed_tree_done(&tree, &digest);
    return good && fed_digest_equal(&digest, &o->digest);
}

/* A process may have been killed between the file and its line. */
static fl_status record_if_missing(const home *h, const char *run, const fed_offer *o, fl_err *err)
{
    char signature[2 * FED_SIGNATURE_BYTES + 1];
    bool found = false;
    fl_hex(signature, o->signature.bytes, sizeof o->signature.bytes);
    fl_status st = receipts_find(h, signature, &found, err);
    if (st == FL_OK && !found) {
        st = record_sent(h, run, o, fields_of(o, NULL, NULL, NULL), err);
    }
    return st;
}

/* With our keys, or with those that we had. */
static bool is_signed_by_us(const home *h, const fed_offer *o)
{
    fed_verify_key own = fed_identity_verify(h->id);
    bool ours = fed_offer_verify(o, &own);
    size_t i;
    const json_t *item;
    json_array_foreach(h->rotations, i, item) {
        fed_rotation r;
        ours = ours || (fed_rotation_parse(&r, item, NULL) == FL_OK &&
                        fed_offer_verify(o, &r.old_sign));
    }
    return ours;
}

void outbox_sign_again(outbox_item *item, const home *h)
{
    fed_verify_key own = fed_identity_verify(h->id);
    if (!fed_offer_verify(&item->offer, &own)) {
        fed_offer_sign(&item->offer, h->id);
    }
}

fl_status outbox_open(outbox_item *out, const home *h, const char *run, const fed_order_key *key,
                      fl_err *err)
{
    char *path = item_path(h, key);
    fl_status st = FL_OK;
    out->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (out->fd < 0) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    char noted[FED_NAME_BYTES];
    if (!get_offer(&out->offer, noted, out->fd) || strcmp(noted, run) != 0 ||
        !fed_order_key_equal(&out->offer.key, key) ||
        !is_signed_by_us(h, &out->offer) || !payload_is_whole(out)) {
        fl_log(FL_LOG_WARN, "outbox.damaged", "site=%s kind=%s round=%" PRIu32, h->site.text,
               receipts_kind(key->kind), key->round.n);
        unlink(path);
        st = fl_fail(err, FL_ENOTFOUND, "%s: damaged", path);
        goto done;
    }
    st = record_if_missing(h, run, &out->offer, err);
done:
    if (st != FL_OK) {
        outbox_item_close(out);
    }
    free(path);
    return st;
}

// ------------------------------------------------------------------ forgetting

void outbox_drop(const home *h, const fed_order_key *key)
{
    char *path = item_path(h, key);
    unlink(path);
    free(path);
}

/* Calls fn for every file of the outbox. */
static void each_file(const home *h, void (*fn)(const char *path, const char *name, void *ctx),
                      void *ctx)
{
    char *dir = home_path(h, "outbox");
    char **names = NULL;
    size_t n = 0;
    if (fl_list_dir(&names, &n, dir, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            char *path = fl_path_join(dir, names[i]);
            fn(path, names[i], ctx);
            free(path);
        }
    }
    fl_names_free(&names, n);
    free(dir);
}

typedef struct {
    const char *now;  // file that answers the current order
    char job[17];     // its job, as file names begin
    uint32_t committed;
    bool may_go;  // a file is the evidence of its line: not before that is on the disk
    const char *spare;  // an answered update's file goes there; NULL: is removed
    uint32_t answered;  // the round of an update that was answered; 0: none
    uint32_t late;      // the first round of another one behind committed; 0: none
} settling;

/* Of a finished file; one that is being written (.tmp) is a worker's. */
static bool parse_name(const char *name, char kind[static 16], uint32_t *round)
{
    int n = 0;
    return strlen(name) > 16 &&
           sscanf(name + 16, "-%15[a-z]-%" SCNu32 ".out%n", kind, round, &n) == 2 && n > 0 &&
           name[16 + n] == '\0';
}

static void settle_file(const char *path, const char *name, void *ctx)
{
    settling *s = ctx;
    char kind[16];
    uint32_t round = 0;
    if (strncmp(name, s->job, 16) != 0 || strcmp(name, s->now) == 0 ||
        !parse_name(name, kind, &round)) {
        return;
    }
    bool is_update = strcmp(kind, receipts_kind(FED_TRAIN)) == 0;
    if (is_update && (round > s->committed || round != s->answered)) {
        s->late = round <= s->committed && (s->late == 0 || round < s->late) ? round : s->late;
        return;
    }
    if (!s->may_go || (is_update && s->spare != NULL && rename(path, s->spare) == 0)) {
        return;
    }
    unlink(path);
}

static uint32_t round_of_update(const fed_order_key *answered, const fed_order_key *now)
{
    bool is_one = answered != NULL && answered->kind == FED_TRAIN &&
                  fed_digest_equal(&answered->job, &now->job);
    return is_one ? answered->round.n : 0;
}

void outbox_settle(const home *h, const fed_order_key *now, fed_round_no committed,
                   const fed_order_key *answered)
{
    char *path = item_path(h, now), *spare = home_path(h, spare_name);
    bool goes_on = now->kind != FED_DONE;
    settling s = {.now = fl_path_base(path),
                  .committed = committed.n,
                  .may_go = receipts_are_flushed(h),  // or the next order will do
                  .answered = round_of_update(answered, now),
                  .spare = goes_on ? spare : NULL};
    memcpy(s.job, s.now, 16);
    each_file(h, settle_file, &s);
    if (!goes_on && s.may_go) {
        unlink(spare);
    }
    free(spare);
    free(path);
}

/* The first round of an update that is behind committed and was not answered; 0: there is none. */
static uint32_t late_round(const home *h, const fed_order_key *now, fed_round_no committed,
                           const fed_order_key *answered)
{
    char *path = item_path(h, now);
    settling s = {.now = fl_path_base(path),
                  .committed = committed.n,
                  .answered = round_of_update(answered, now)};
    memcpy(s.job, s.now, 16);
    each_file(h, settle_file, &s);  // nothing may go
    free(path);
    return s.late;
}

fl_status outbox_late(outbox_item *out, const home *h, const char *run, const fed_order_key *now,
                      fed_round_no committed, const fed_order_key *answered, fl_err *err)
{
    fed_order_key key = {.kind = FED_TRAIN, .job = now->job};
    fl_status st;
    out->fd = -1;
    do {  // a damaged one is removed and passed over
        key.round.n = late_round(h, now, committed, answered);
        st = key.round.n > 0 ? outbox_open(out, h, run, &key, err)
                             : fl_fail(err, FL_ENOTFOUND, "no update is late");
    } while (st == FL_ENOTFOUND && key.round.n > 0);
    return st;
}

static void sweep_file(const char *path, const char *name, void *ctx)
{
    const home *h = ctx;
    const char *dot = strrchr(name, '.');
    if (dot != NULL && strcmp(dot, ".tmp") == 0) {
        unlink(path);
        return;
    }
    outbox_item item = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    char run[FED_NAME_BYTES];
    if (item.fd >= 0 && get_offer(&item.offer, run, item.fd) &&
        is_signed_by_us(h, &item.offer)) {
        (void)record_if_missing(h, run, &item.offer, NULL);  // when it is opened, it must work
    }
    outbox_item_close(&item);
}

void outbox_sweep(const home *h)
{
    receipts_mend(h);
    each_file(h, sweep_file, (void *)h);
}

void outbox_verdict(const home *h, const char *run, const fed_offer *offer, bool accepted,
                    const char *text)
{
    json_t *line = receipts_of(accepted ? "accepted" : "refused", run, offer);
    if (text[0] != '\0') {
        json_object_set_new(line, "text", json_string(text));
    }
    (void)receipts_add_later(h, line, NULL);  // nothing leaves: a full disk may lose the line
}

// ------------------------------------------------- messages without a payload

void outbox_reply(fed_msg *out, const home *h, const char *run, const fed_order_key *key,
                  fed_answer answer, bool mismatch, const char *text)
{
    memset(out, 0, sizeof *out);
    out->type = FED_MSG_REPLY;
    out->u.reply.key = *key;
    out->u.reply.answer = answer;
    out->u.reply.mismatch = mismatch;
    scrub_text(out->u.reply.text, sizeof out->u.reply.text, text);
    json_t *line = receipts_new("sent", "reply", run, key);
    json_object_set_new(line, "fields", json_pack("[s, s]", "answer", "text"));
    json_object_set_new(line, "bytes", json_integer((json_int_t)strlen(out->u.reply.text)));
    json_object_set_new(line, "text", json_string(out->u.reply.text));
    fl_err err = FL_ERR_INIT;
    if (receipts_add(h, line, &err) != FL_OK) {
        out->u.reply.text[0] = '\0';  // what cannot be recorded does not leave
        fl_log(FL_LOG_ERROR, "outbox.record", "site=%s %s", h->site.text, err.text);
    }
}

void outbox_environment(char *out, size_t n)
{
    char backend[192], text[256];
    nn_backend_text(backend, sizeof backend);
    snprintf(text, sizeof text, "consilium %s; %s", FL_VERSION, backend);
    scrub_text(out, n, text);
}

void outbox_hello(fed_msg *out, const home *h, const fed_digest *digest, fed_round_no committed,
                  bool record_it)
{
    memset(out, 0, sizeof *out);
    out->type = FED_MSG_HELLO;
    snprintf(out->u.hello.software, sizeof out->u.hello.software, "consilium %s", FL_VERSION);
    out->u.hello.job = *digest;
    out->u.hello.committed = committed;
    outbox_environment(out->u.hello.environment, sizeof out->u.hello.environment);
    if (record_it) {
        fed_order_key none = {.kind = FED_WAIT};
        json_t *line = receipts_new("sent", "hello", "", &none);
        size_t bytes = strlen(out->u.hello.software) + strlen(out->u.hello.environment);
        json_object_set_new(line, "fields", json_pack("[s, s]", "software", "environment"));
        json_object_set_new(line, "bytes", json_integer((json_int_t)bytes));
        json_object_set_new(line, "text", json_string(out->u.hello.environment));
        if (receipts_add(h, line, NULL) != FL_OK) {
            out->u.hello.environment[0] = '\0';
        }
    }
}

void outbox_enrol(fed_msg *out, const home *h, const fed_invitation *inv, bool record_it)
{
    memset(out, 0, sizeof *out);
    fed_enrol *e = &out->u.enrol;
    out->type = FED_MSG_ENROL;
    memcpy(e->invitation, inv->id, sizeof e->invitation);
    e->site = inv->site;
    e->sign_key = fed_identity_verify(h->id);
    e->curve_key = fed_identity_public(h->id);
    fl_buf bytes = FL_BUF_INIT;
    fed_enrol_bytes(e, &bytes);
    fed_sign(&e->signature, h->id, enrol_label, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
    if (record_it) {
        fed_order_key none = {.kind = FED_WAIT};
        json_t *line = receipts_new("sent", "enrol", "", &none);
        json_object_set_new(line, "fields",
                            json_pack("[s, s, s]", "site", "sign_key", "curve_key"));
        json_object_set_new(line, "bytes", json_integer(2 * FED_KEY_BYTES));
        (void)receipts_add(h, line, NULL);
    }
}

void outbox_rotate(fed_msg *out, const home *h, const fed_rotation *rotation, bool record_it)
{
    memset(out, 0, sizeof *out);
    out->type = FED_MSG_ROTATE;
    out->u.rotate = *rotation;
    if (record_it) {
        fed_order_key none = {.kind = FED_WAIT};
        json_t *line = receipts_new("sent", "rotate", "", &none);
        json_object_set_new(line, "fields",
                            json_pack("[s, s, s]", "site", "sign_key", "curve_key"));
        json_object_set_new(line, "bytes", json_integer(2 * FED_KEY_BYTES));
        (void)receipts_add(h, line, NULL);
    }
}

void outbox_rotated(fed_msg *out, const home *h, const fed_verify_key *key, bool accepted,
                    const char *why, bool record_it)
{
    memset(out, 0, sizeof *out);
    out->type = FED_MSG_ROTATED;
    out->u.rotated.sign = *key;
    out->u.rotated.accepted = accepted;
    if (!accepted) {
        scrub_text(out->u.rotated.text, sizeof out->u.rotated.text, why);
    }
    if (record_it) {
        fed_order_key none = {.kind = FED_WAIT};
        json_t *line = receipts_new("sent", "rotated", "", &none);
        json_object_set_new(line, "fields", json_pack("[s, s]", "sign_key", "accepted"));
        json_object_set_new(line, "bytes", json_integer(FED_KEY_BYTES));
        (void)receipts_add(h, line, NULL);
    }
}
