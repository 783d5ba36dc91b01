/*
 * msg_unpack.c - the border on which outside bytes become messages
 *
 * See msg.h.  A header has exactly one encoding.  After the fields were checked, the
 * message is packed again and must give the bytes that came: so unknown,
 * repeated and oversized fields, embedded NULs and second bodies are refused
 * at one place instead of field by field.  protobuf-c allocates from a small
 * block on the stack, so a message cannot make it take more.
 */
#include "fed/msg_inside.h"

#include <math.h>
#include <stdalign.h>

enum {
    UNPACK_BYTES = 32 * 1024,  // for protobuf-c; a full Offer takes 16 KiB
    MAX_BEAT_MS = 60000,
    MIN_BEAT_MS = 100,
    MAX_FETCH = 64,  // pieces
    ROTATES = 3      // the version from which keys can be changed
};
static const int64_t max_time_ms = INT64_C(253402300799999);  // year 9999

// ------------------------------------------------------- checks on the way in

/* The message being read and the first complaint about it, so that a body's
 * reader is a list of its fields. */
typedef struct {
    const char *message;
    uint32_t version;
    fl_status st;
    fl_err *err;
} checks;

static void complain(checks *c, fl_status st, const char *field, const char *what)
{
    if (c->st == FL_OK) {
        c->st = fl_fail(c->err, st, "message %s: %s: %s", c->message, field, what);
    }
}

static void check(checks *c, bool good, const char *field, const char *expected)
{
    if (!good) {
        complain(c, FL_EFORMAT, field, expected);
    }
}

static void take_bytes(checks *c, const char *field, void *out, size_t n,
                       const ProtobufCBinaryData *in)
{
    if (in->len != n) {
        if (c->st == FL_OK) {
            c->st = fl_fail(c->err, FL_EFORMAT, "message %s: %s: expected %zu bytes, found %zu",
                            c->message, field, n, in->len);
        }
        return;
    }
    memcpy(out, in->data, n);
}

/* False, and out left as it is, when the field is empty. */
static bool take_maybe(checks *c, const char *field, void *out, size_t n,
                       const ProtobufCBinaryData *in)
{
    if (in->len == 0) {
        return false;
    }
    take_bytes(c, field, out, n, in);
    return true;
}

/* An object's digest; zeros name none. */
static void take_object(checks *c, const char *field, fed_digest *out,
                        const ProtobufCBinaryData *in)
{
    take_bytes(c, field, out->bytes, sizeof out->bytes, in);
    check(c, !fed_digest_is_zero(out), field, "no object has that digest");
}

static bool take_maybe_object(checks *c, const char *field, fed_digest *out,
                              const ProtobufCBinaryData *in)
{
    if (in->len == 0) {
        return false;
    }
    take_object(c, field, out, in);
    return true;
}

static void take_text(checks *c, const char *field, char *out, size_t size, const char *in)
{
    size_t n = strlen(in);
    if (n >= size) {
        complain(c, FL_ELIMIT, field, "too long");
        return;
    }
    const uint8_t *p = (const uint8_t *)in;
    while (*p != '\0') {
        size_t step = fed_msg_printable(p);
        if (step == 0) {
            complain(c, FL_EFORMAT, field, "not printable UTF-8");
            return;
        }
        p += step;
    }
    memcpy(out, in, n + 1);
}

static void take_site(checks *c, fed_site_id *out, const char *in)
{
    check(c, fed_site_id_parse(out, in, NULL) == FL_OK, "site",
          "expected 1 to 48 of the characters a-z 0-9 _ -");
}

static void take_key(checks *c, fed_order_key *out, int kind, const ProtobufCBinaryData *job,
                     uint32_t round)
{
    bool known = kind >= 0 && kind < FED_N_ORDERS &&
                 fed_order_since((fed_order_kind)kind) <= c->version;
    check(c, known, "kind", "no such kind of order");
    if (c->st != FL_OK) {
        return;
    }
    out->kind = (fed_order_kind)kind;
    out->round.n = round;
    bool has_job = take_maybe_object(c, "job", &out->job, job);
    check(c, has_job || out->kind == FED_WAIT, "job", "missing");
    check(c, (out->kind != FED_TRAIN && out->kind != FED_CROSS) || round > 0, "round",
          "counts from 1");
    check(c, out->kind != FED_CHECK || round == 0, "round", "a check belongs to no round");
}

/* An answer to WAIT makes no sense. */
static void take_answer_key(checks *c, fed_order_key *out, int kind, const ProtobufCBinaryData *job,
                            uint32_t round)
{
    check(c, kind != FED_WAIT, "kind", "nothing answers `wait`");
    take_key(c, out, kind, job, round);
}

/* Do so many payload bytes, heads included, fit so many pieces? */
static bool sizes_fit(uint64_t n_bytes, uint32_t n_pieces)
{
    return n_pieces <= FED_MAX_PIECES && n_bytes <= (uint64_t)n_pieces * FED_PIECE_BYTES &&
           (n_pieces == 0 || n_bytes > (uint64_t)n_pieces * FED_PIECE_HEAD);
}

// --------------------------------------------------------------------- bodies

static void take_enrol(checks *c, fed_enrol *out, const Consilium__Enrol *in)
{
    take_bytes(c, "invitation", out->invitation, sizeof out->invitation, &in->invitation);
    take_site(c, &out->site, in->site);
    take_bytes(c, "sign_key", out->sign_key.bytes, FED_KEY_BYTES, &in->sign_key);
    take_bytes(c, "curve_key", out->curve_key.bytes, FED_KEY_BYTES, &in->curve_key);
    take_bytes(c, "signature", out->signature.bytes, FED_SIGNATURE_BYTES, &in->signature);
}

static void take_hello(checks *c, fed_msg *out, const Consilium__Hello *in)
{
    take_text(c, "software", out->u.hello.software, sizeof out->u.hello.software, in->software);
    take_maybe_object(c, "job", &out->u.hello.job, &in->job);
    out->u.hello.committed.n = in->committed_round;
    take_text(c, "environment", out->u.hello.environment, sizeof out->u.hello.environment,
              in->environment);
}

static void take_welcome(checks *c, fed_msg *out, const Consilium__Welcome *in)
{
    take_text(c, "federation", out->u.welcome.federation, sizeof out->u.welcome.federation,
              in->federation);
    take_site(c, &out->u.welcome.site, in->site);
    check(c, in->time_ms >= 0 && in->time_ms <= max_time_ms, "time_ms", "out of range");
    out->u.welcome.time_ms = in->time_ms;
    check(c, in->beat_ms >= MIN_BEAT_MS && in->beat_ms <= MAX_BEAT_MS, "beat_ms",
          "expected 100 to 60000");
    out->u.welcome.beat_ms = in->beat_ms;
}

static void take_order(checks *c, fed_order *out, const Consilium__Order *in)
{
    take_key(c, &out->key, (int)in->kind, &in->job, in->round);
    out->has_model = take_maybe_object(c, "model", &out->model, &in->model);
    bool has_id = take_maybe(c, "model_sha256", out->model_id.bytes, sizeof out->model_id.bytes,
                             &in->model_sha256);
    bool has_table = take_maybe(c, "table_hash", out->table_hash, sizeof out->table_hash,
                                &in->table_hash);
    check(c, has_id == out->has_model && has_table == out->has_model, "model",
          "comes with model_sha256 and table_hash, or all are empty");
    bool needs_model = out->key.kind != FED_WAIT && out->key.kind != FED_CHECK &&
                       out->key.kind != FED_DONE;
    check(c, out->has_model || !needs_model, "model", "missing");
    out->committed.n = in->committed_round;
    check(c, in->threshold >= 0 && in->threshold <= 1, "threshold", "expected 0 to 1");
    out->threshold = in->threshold;
    check(c, fed_msg_is_temperature(in->temperature), "temperature", "expected 0, or 1/16 to 16");
    out->temperature = in->temperature;
    check(c, in->conformal >= 0 && in->conformal <= 1, "conformal", "expected 0 to 1");
    out->conformal = in->conformal;
    check(c, in->histogram_bins <= MSG_MAX_HISTOGRAM_BINS, "histogram_bins", "expected at most 1000");
    out->histogram_bins = in->histogram_bins;
    out->has_report = take_maybe_object(c, "report", &out->report, &in->report);
    out->has_head = take_maybe(c, "audit_last", out->head.last.bytes, sizeof out->head.last.bytes,
                               &in->audit_last);
    bool has_signature = take_maybe(c, "audit_signature", out->head_signature.bytes,
                                    sizeof out->head_signature.bytes, &in->audit_signature);
    out->head.n_lines = in->audit_lines;
    check(c, has_signature == out->has_head && (in->audit_lines > 0) == out->has_head,
          "audit_lines", "comes with audit_last and audit_signature, or all are empty");
    take_text(c, "run", out->run, sizeof out->run, in->run);
    take_text(c, "text", out->text, sizeof out->text, in->text);
}

static void take_beat(checks *c, fed_msg *out, const Consilium__Beat *in)
{
    take_key(c, &out->u.beat.key, (int)in->kind, &in->job, in->round);
    int phase = (int)in->phase;
    check(c, phase >= FED_IDLE && phase <= FED_SENDING, "phase", "no such phase");
    out->u.beat.phase = (fed_phase)phase;
    out->u.beat.steps_done = in->steps_done;
    out->u.beat.steps_total = in->steps_total;
}

static void take_reply(checks *c, fed_msg *out, const Consilium__Reply *in)
{
    take_answer_key(c, &out->u.reply.key, (int)in->kind, &in->job, in->round);
    int answer = (int)in->answer;
    check(c, answer >= FED_ACCEPT && answer <= FED_REFUSE, "answer", "no such answer");
    out->u.reply.answer = (fed_answer)answer;
    check(c, !in->mismatch || answer == FED_REFUSE, "mismatch", "only a refusal can be one");
    out->u.reply.mismatch = in->mismatch;
    take_text(c, "text", out->u.reply.text, sizeof out->u.reply.text, in->text);
}

static void take_fetch(checks *c, fed_msg *out, const Consilium__Fetch *in)
{
    take_object(c, "object", &out->u.fetch.object, &in->object);
    check(c, in->count >= 1 && in->count <= MAX_FETCH, "count", "expected 1 to 64");
    check(c, in->first < FED_MAX_PIECES, "first", "no object has that piece");
    out->u.fetch.first = in->first;
    out->u.fetch.count = in->count;
}

static void take_scalars(checks *c, fed_offer *out, const Consilium__Offer *in)
{
    check(c, in->n_scalars <= FED_MAX_SCALARS, "scalars", "more than 64");
    for (size_t i = 0; c->st == FL_OK && i < in->n_scalars; i++) {
        const Consilium__Scalar *s = in->scalars[i];
        size_t n = strlen(s->name);
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.";
        check(c, n > 0 && n < FED_SCALAR_NAME_BYTES && strspn(s->name, allowed) == n, "scalars",
              "a name has 1 to 48 of the characters a-z 0-9 _ .");
        check(c, i == 0 || strcmp(in->scalars[i - 1]->name, s->name) < 0, "scalars",
              "names are not sorted, or one is there twice");
        check(c, isfinite(s->value), "scalars", "a value is not finite");
        if (c->st == FL_OK) {
            memcpy(out->scalars[i].name, s->name, n + 1);
            out->scalars[i].value = s->value;
            out->n_scalars = i + 1;
        }
    }
}

static void take_offer(checks *c, fed_offer *out, const Consilium__Offer *in)
{
    take_answer_key(c, &out->key, (int)in->kind, &in->job, in->round);
    take_bytes(c, "base_model", out->base_model.bytes, sizeof out->base_model.bytes,
               &in->base_model);
    take_site(c, &out->site, in->site);
    take_scalars(c, out, in);
    take_bytes(c, "table_hash", out->table_hash, sizeof out->table_hash, &in->table_hash);
    check(c, sizes_fit(in->n_bytes, in->n_pieces), "n_bytes", "does not fit n_pieces");
    out->n_bytes = in->n_bytes;
    out->n_pieces = in->n_pieces;
    take_object(c, "digest", &out->digest, &in->digest);
    take_bytes(c, "signature", out->signature.bytes, FED_SIGNATURE_BYTES, &in->signature);
}

static void take_grant(checks *c, fed_msg *out, const Consilium__Grant *in)
{
    take_object(c, "digest", &out->u.grant.digest, &in->digest);
    check(c, in->next <= FED_MAX_PIECES, "next", "no object has that piece");
    check(c, in->credits <= FED_MAX_PIECES, "credits", "expected at most 65536");
    out->u.grant.next = in->next;
    out->u.grant.credits = in->credits;
}

static void take_piece(checks *c, fed_msg *out, const Consilium__Piece *in)
{
    take_object(c, "object", &out->u.piece.object, &in->object);
    check(c, in->index < in->n_pieces, "index", "beyond n_pieces");
    check(c, sizes_fit(in->n_bytes, in->n_pieces), "n_bytes", "does not fit n_pieces");
    out->u.piece.index = in->index;
    out->u.piece.n_pieces = in->n_pieces;
    out->u.piece.n_bytes = in->n_bytes;
}

static void take_rotate(checks *c, fed_rotation *out, const Consilium__Rotate *in)
{
    take_site(c, &out->site, in->site);
    take_bytes(c, "old_sign_key", out->old_sign.bytes, FED_KEY_BYTES, &in->old_sign_key);
    take_bytes(c, "old_curve_key", out->old_curve.bytes, FED_KEY_BYTES, &in->old_curve_key);
    take_bytes(c, "sign_key", out->sign.bytes, FED_KEY_BYTES, &in->sign_key);
    take_bytes(c, "curve_key", out->curve.bytes, FED_KEY_BYTES, &in->curve_key);
    take_bytes(c, "old_signature", out->old_signature.bytes, FED_SIGNATURE_BYTES,
               &in->old_signature);
    take_bytes(c, "signature", out->signature.bytes, FED_SIGNATURE_BYTES, &in->signature);
}

static void take_body(checks *c, fed_msg *out, const Consilium__Header *h)
{
    switch (out->type) {
    case FED_MSG_ENROL:
        take_enrol(c, &out->u.enrol, h->enrol);
        break;
    case FED_MSG_ENROLLED:
        take_site(c, &out->u.enrolled.site, h->enrolled->site);
        take_text(c, "federation", out->u.enrolled.federation, FED_NAME_BYTES,
                  h->enrolled->federation);
        out->u.enrolled.confirmed = h->enrolled->confirmed;
        break;
    case FED_MSG_HELLO:
        take_hello(c, out, h->hello);
        break;
    case FED_MSG_WELCOME:
        take_welcome(c, out, h->welcome);
        break;
    case FED_MSG_ORDER:
        take_order(c, &out->u.order, h->order);
        break;
    case FED_MSG_BEAT:
        take_beat(c, out, h->beat);
        break;
    case FED_MSG_REPLY:
        take_reply(c, out, h->reply);
        break;
    case FED_MSG_FETCH:
        take_fetch(c, out, h->fetch);
        break;
    case FED_MSG_OFFER:
        take_offer(c, &out->u.offer, h->offer);
        break;
    case FED_MSG_GRANT:
        take_grant(c, out, h->grant);
        break;
    case FED_MSG_PIECE:
        take_piece(c, out, h->piece);
        break;
    case FED_MSG_VERDICT:
        take_object(c, "digest", &out->u.verdict.digest, &h->verdict->digest);
        out->u.verdict.accepted = h->verdict->accepted;
        take_text(c, "text", out->u.verdict.text, FED_TEXT_BYTES, h->verdict->text);
        break;
    case FED_MSG_REFUSED:
        check(c, h->refused->code > FL_OK && h->refused->code < FL_N_STATUS, "code",
              "no such status");
        out->u.refused.code = h->refused->code;
        take_text(c, "text", out->u.refused.text, FED_TEXT_BYTES, h->refused->text);
        break;
    case FED_MSG_BYE:
        take_text(c, "text", out->u.bye.text, FED_TEXT_BYTES, h->bye->text);
        break;
    case FED_MSG_ROTATE:
        take_rotate(c, &out->u.rotate, h->rotate);
        break;
    case FED_MSG_ROTATED:
        take_bytes(c, "sign_key", out->u.rotated.sign.bytes, FED_KEY_BYTES, &h->rotated->sign_key);
        out->u.rotated.accepted = h->rotated->accepted;
        take_text(c, "text", out->u.rotated.text, FED_TEXT_BYTES, h->rotated->text);
        break;
    }
}

// ------------------------------------------------------------------ unpacking

/* Memory for protobuf-c: given out from front to back, taken back all at once
 * when the function that owns it returns. */
typedef struct {
    alignas(16) uint8_t bytes[UNPACK_BYTES];
    size_t used;
} unpack_room;

static void *room_alloc(void *data, size_t n)
{
    unpack_room *room = data;
    if (n > UNPACK_BYTES - room->used) {
        return NULL;
    }
    void *block = room->bytes + room->used;
    size_t rounded = (n + 15) / 16 * 16;
    room->used += rounded < UNPACK_BYTES - room->used ? rounded : UNPACK_BYTES - room->used;
    return block;
}

static void room_free(void *data, void *block)
{
    (void)data;
    (void)block;
}

/* The version stands first, so that it can be read whatever follows. */
static fl_status check_version(const uint8_t *bytes, size_t n, fl_err *err)
{
    if (n < 2 || bytes[0] != 0x08) {
        return fl_fail(err, FL_EFORMAT, "a message without protocol version");
    }
    uint32_t version = 0;
    for (size_t i = 1; i < n && i <= 5; i++) {
        version |= (uint32_t)(bytes[i] & 0x7f) << (7 * (i - 1));
        if ((bytes[i] & 0x80) == 0) {
            break;
        }
    }
    if (version >= FED_PROTOCOL_OLDEST && version <= FED_PROTOCOL_VERSION) {
        return FL_OK;
    }
    return fl_fail(err, FL_EUNSUPPORTED,
                   "the other side speaks protocol %u, this program protocol "
                   "%d: upgrade %s",
                   version, FED_PROTOCOL_VERSION,
                   version > FED_PROTOCOL_VERSION ? "this program" : "the other side");
}

static bool has_unknown_fields(const Consilium__Header *h)
{
    // All members of the union are pointers to messages, which begin alike.
    const ProtobufCMessage *body = &h->enrol->base;
    if (h->base.n_unknown_fields != 0 || body->n_unknown_fields != 0) {
        return true;
    }
    if (h->body_case == CONSILIUM__HEADER__BODY_OFFER) {
        for (size_t i = 0; i < h->offer->n_scalars; i++) {
            if (h->offer->scalars[i]->base.n_unknown_fields != 0) {
                return true;
            }
        }
    }
    return false;
}

/* Would we have written these bytes? */
static bool is_canonical(const Consilium__Header *h, const uint8_t *bytes, size_t n)
{
    if (has_unknown_fields(h) || consilium__header__get_packed_size(h) != n) {
        return false;
    }
    uint8_t again[UNPACK_BYTES];
    return n <= sizeof again && consilium__header__pack(h, again) == n &&
           memcmp(again, bytes, n) == 0;
}

fl_status fed_msg_unpack(fed_msg *out, const uint8_t *bytes, size_t n, fl_err *err)
{
    memset(out, 0, sizeof *out);
    if (n > FED_MAX_HEADER_BYTES) {
        return fl_fail(err, FL_ELIMIT, "a message header of %zu bytes, at most %d are allowed", n,
                       FED_MAX_HEADER_BYTES);
    }
    fl_status st = check_version(bytes, n, err);
    if (st != FL_OK) {
        return st;
    }
    unpack_room room;
    room.used = 0;
    ProtobufCAllocator bounded = {room_alloc, room_free, &room};
    Consilium__Header *h = consilium__header__unpack(&bounded, n, bytes);
    if (h == NULL) {
        return fl_fail(err, FL_EFORMAT, "a message that cannot be unpacked");
    }
    int type = (int)h->body_case - MSG_FIRST_BODY;
    bool is_newer = h->version < ROTATES && type > (int)FED_MSG_BYE;
    if (type < 0 || type >= FED_N_MSGS || is_newer) {
        return fl_fail(err, FL_EFORMAT, "a message without body");
    }
    out->version = h->version;
    out->type = (fed_msg_type)type;
    checks c = {fed_msg_name(out->type), h->version, FL_OK, err};
    take_body(&c, out, h);
    if (c.st == FL_OK) {
        check(&c, is_canonical(h, bytes, n), "encoding", "unknown, repeated or reordered fields");
    }
    if (c.st != FL_OK) {
        memset(out, 0, sizeof *out);
    }
    return c.st;
}
