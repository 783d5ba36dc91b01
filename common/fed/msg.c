/*
 * msg.c - what messages are called, and how they are packed
 *
 * See msg.h; msg_unpack.c reads them.
 */
#include "fed/msg_inside.h"

static const char *const type_names[FED_N_MSGS] = {
    [FED_MSG_ENROL] = "enrol",     [FED_MSG_ENROLLED] = "enrolled", [FED_MSG_HELLO] = "hello",
    [FED_MSG_WELCOME] = "welcome", [FED_MSG_ORDER] = "order",       [FED_MSG_BEAT] = "beat",
    [FED_MSG_REPLY] = "reply",     [FED_MSG_FETCH] = "fetch",       [FED_MSG_OFFER] = "offer",
    [FED_MSG_GRANT] = "grant",     [FED_MSG_PIECE] = "piece",       [FED_MSG_VERDICT] = "verdict",
    [FED_MSG_REFUSED] = "refused", [FED_MSG_BYE] = "bye",           [FED_MSG_ROTATE] = "rotate",
    [FED_MSG_ROTATED] = "rotated",
};

const char fed_unconfirmed[] = "waiting for a person at the coordinator to confirm";

const char *fed_msg_name(fed_msg_type type)
{
    FL_REQUIRE((unsigned)type < FED_N_MSGS);
    return type_names[type];
}

// ------------------------------------------------------------ text for people

/* Bytes of the UTF-8 character that begins with this one; 0 for none. */
static size_t utf8_length(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if ((first & 0xe0) == 0xc0) {
        return 2;
    }
    if ((first & 0xf0) == 0xe0) {
        return 3;
    }
    return (first & 0xf8) == 0xf0 ? 4 : 0;
}

size_t fed_msg_printable(const uint8_t *p)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = utf8_length(p[0]);
    if (n <= 1) {
        return n == 1 && p[0] >= 0x20 && p[0] != 0x7f;
    }
    uint32_t code = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {  // a NUL ends this as well
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3f);
    }
    bool hidden = code < 0xa0 || (code >= 0xd800 && code < 0xe000) ||
                  (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
                  (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
    return code < smallest[n] || code > 0x10ffff || hidden ? 0 : n;
}

char *fed_msg_clean_text(char *out, size_t size, const char *in)
{
    const uint8_t *p = (const uint8_t *)in;
    size_t used = 0;
    while (*p != '\0') {
        size_t n = fed_msg_printable(p);
        if (used + (n == 0 ? 1 : n) >= size) {
            break;
        }
        if (n == 0) {
            out[used++] = ' ';
            p++;
        } else {
            memcpy(out + used, p, n);
            used += n;
            p += n;
        }
    }
    out[used] = '\0';
    return out;
}

// -------------------------------------------------------------------- packing

/* What the packed structs point to while they are being packed. */
typedef struct {
    char text[2][FED_TEXT_BYTES];
    Consilium__Scalar scalar[FED_MAX_SCALARS];
    Consilium__Scalar *scalars[FED_MAX_SCALARS];
} pack_room;

static ProtobufCBinaryData bytes_of(const void *bytes, size_t n)
{
    return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)bytes};
}

static ProtobufCBinaryData digest_of(const fed_digest *d)
{
    return bytes_of(d->bytes, sizeof d->bytes);
}

/* Nothing for zeros. */
static ProtobufCBinaryData maybe_digest(const fed_digest *d)
{
    return fed_digest_is_zero(d) ? bytes_of(NULL, 0) : digest_of(d);
}

static char *site_of(const fed_site_id *site)
{
    fed_site_id copy;
    FL_REQUIRE(fed_site_id_parse(&copy, site->text, NULL) == FL_OK);
    return (char *)(uintptr_t)site->text;
}

/* kind, job and round are named alike in every message that has them. */
#define PUT_KEY(out, order_key)                                 \
    do {                                                        \
        FL_REQUIRE((unsigned)(order_key)->kind < FED_N_ORDERS); \
        (out)->kind = (Consilium__OrderKind)(order_key)->kind;  \
        (out)->job = maybe_digest(&(order_key)->job);           \
        (out)->round = (order_key)->round.n;                    \
    } while (0)

bool fed_msg_is_temperature(double x)
{
    return x == 0 || (x >= 1.0 / 16 && x <= 16);
}

static void put_order(Consilium__Order *out, const fed_order *o, pack_room *room)
{
    PUT_KEY(out, &o->key);
    if (o->has_model) {
        out->model = digest_of(&o->model);
        out->model_sha256 = bytes_of(o->model_id.bytes, sizeof o->model_id.bytes);
        out->table_hash = bytes_of(o->table_hash, sizeof o->table_hash);
    }
    out->committed_round = o->committed.n;
    FL_REQUIRE(o->threshold >= 0 && o->threshold <= 1);
    out->threshold = o->threshold;
    FL_REQUIRE(fed_msg_is_temperature(o->temperature) && o->conformal >= 0 && o->conformal <= 1);
    out->temperature = o->temperature;
    out->conformal = o->conformal;
    FL_REQUIRE(o->histogram_bins <= MSG_MAX_HISTOGRAM_BINS);
    out->histogram_bins = o->histogram_bins;
    if (o->has_report) {
        out->report = digest_of(&o->report);
    }
    if (o->has_head) {
        out->audit_lines = o->head.n_lines;
        out->audit_last = bytes_of(o->head.last.bytes, sizeof o->head.last.bytes);
        out->audit_signature = bytes_of(o->head_signature.bytes, sizeof o->head_signature.bytes);
    }
    out->run = fed_msg_clean_text(room->text[0], FED_NAME_BYTES, o->run);
    out->text = fed_msg_clean_text(room->text[1], FED_TEXT_BYTES, o->text);
}

static void put_offer(Consilium__Offer *out, const fed_offer *o, pack_room *room)
{
    PUT_KEY(out, &o->key);
    out->base_model = bytes_of(o->base_model.bytes, sizeof o->base_model.bytes);
    out->site = site_of(&o->site);
    FL_REQUIRE(o->n_scalars <= FED_MAX_SCALARS);
    for (size_t i = 0; i < o->n_scalars; i++) {
        consilium__scalar__init(&room->scalar[i]);
        room->scalar[i].name = (char *)(uintptr_t)o->scalars[i].name;
        room->scalar[i].value = o->scalars[i].value;
        room->scalars[i] = &room->scalar[i];
    }
    out->n_scalars = o->n_scalars;
    out->scalars = o->n_scalars == 0 ? NULL : room->scalars;
    out->table_hash = bytes_of(o->table_hash, sizeof o->table_hash);
    out->n_bytes = o->n_bytes;
    out->n_pieces = o->n_pieces;
    out->digest = digest_of(&o->digest);
    out->signature = bytes_of(o->signature.bytes, sizeof o->signature.bytes);
}

static void pack_header(Consilium__Header *h, fl_buf *out)
{
    size_t n = consilium__header__get_packed_size(h);
    FL_REQUIRE(n <= FED_MAX_HEADER_BYTES);
    fl_buf_reserve(out, n);
    consilium__header__pack(h, (uint8_t *)out->data + out->n);
    out->n += n;
    out->data[out->n] = '\0';
}

/* The order that a message is of; NULL: of none. */
static const fed_order_key *key_of(const fed_msg *m)
{
    switch (m->type) {
    case FED_MSG_ORDER:
        return &m->u.order.key;
    case FED_MSG_BEAT:
        return &m->u.beat.key;
    case FED_MSG_REPLY:
        return &m->u.reply.key;
    case FED_MSG_OFFER:
        return &m->u.offer.key;
    default:
        return NULL;
    }
}

/* Declares the protobuf struct of one body and hangs it into header h. */
#define BODY(Type, type, member)        \
    Consilium__##Type member;           \
    consilium__##type##__init(&member); \
    h.member = &member

void fed_msg_pack(const fed_msg *m, fl_buf *out)
{
    fed_msg_pack_as(m, FED_PROTOCOL_VERSION, out);
}

void fed_msg_pack_as(const fed_msg *m, uint32_t version, fl_buf *out)
{
    FL_REQUIRE((unsigned)m->type < FED_N_MSGS);
    FL_REQUIRE(version >= FED_PROTOCOL_OLDEST && version <= FED_PROTOCOL_VERSION);
    const fed_order_key *key = key_of(m);
    FL_REQUIRE(key == NULL || fed_order_since(key->kind) <= version);
    pack_room room;
    Consilium__Header h;
    consilium__header__init(&h);
    h.version = version;
    h.body_case = (Consilium__Header__BodyCase)(MSG_FIRST_BODY + (int)m->type);
    switch (m->type) {
    case FED_MSG_ENROL: {
        BODY(Enrol, enrol, enrol);
        const fed_enrol *e = &m->u.enrol;
        enrol.invitation = bytes_of(e->invitation, sizeof e->invitation);
        enrol.site = site_of(&e->site);
        enrol.sign_key = bytes_of(e->sign_key.bytes, sizeof e->sign_key.bytes);
        enrol.curve_key = bytes_of(e->curve_key.bytes, sizeof e->curve_key.bytes);
        enrol.signature = bytes_of(e->signature.bytes, sizeof e->signature.bytes);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_ENROLLED: {
        BODY(Enrolled, enrolled, enrolled);
        enrolled.site = site_of(&m->u.enrolled.site);
        enrolled.federation = fed_msg_clean_text(room.text[0], FED_NAME_BYTES, m->u.enrolled.federation);
        enrolled.confirmed = m->u.enrolled.confirmed;
        pack_header(&h, out);
        return;
    }
    case FED_MSG_HELLO: {
        BODY(Hello, hello, hello);
        hello.software = fed_msg_clean_text(room.text[0], sizeof m->u.hello.software, m->u.hello.software);
        hello.job = maybe_digest(&m->u.hello.job);
        hello.committed_round = m->u.hello.committed.n;
        hello.environment = fed_msg_clean_text(room.text[1], sizeof m->u.hello.environment, m->u.hello.environment);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_WELCOME: {
        BODY(Welcome, welcome, welcome);
        welcome.federation = fed_msg_clean_text(room.text[0], FED_NAME_BYTES, m->u.welcome.federation);
        welcome.site = site_of(&m->u.welcome.site);
        welcome.time_ms = m->u.welcome.time_ms;
        welcome.beat_ms = m->u.welcome.beat_ms;
        pack_header(&h, out);
        return;
    }
    case FED_MSG_ORDER: {
        BODY(Order, order, order);
        put_order(&order, &m->u.order, &room);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_BEAT: {
        BODY(Beat, beat, beat);
        PUT_KEY(&beat, &m->u.beat.key);
        beat.phase = (Consilium__Phase)m->u.beat.phase;
        beat.steps_done = m->u.beat.steps_done;
        beat.steps_total = m->u.beat.steps_total;
        pack_header(&h, out);
        return;
    }
    case FED_MSG_REPLY: {
        BODY(Reply, reply, reply);
        PUT_KEY(&reply, &m->u.reply.key);
        reply.answer = (Consilium__Answer)m->u.reply.answer;
        reply.mismatch = m->u.reply.mismatch;
        reply.text = fed_msg_clean_text(room.text[0], FED_TEXT_BYTES, m->u.reply.text);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_FETCH: {
        BODY(Fetch, fetch, fetch);
        fetch.object = digest_of(&m->u.fetch.object);
        fetch.first = m->u.fetch.first;
        fetch.count = m->u.fetch.count;
        pack_header(&h, out);
        return;
    }
    case FED_MSG_OFFER: {
        BODY(Offer, offer, offer);
        put_offer(&offer, &m->u.offer, &room);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_GRANT: {
        BODY(Grant, grant, grant);
        grant.digest = digest_of(&m->u.grant.digest);
        grant.next = m->u.grant.next;
        grant.credits = m->u.grant.credits;
        pack_header(&h, out);
        return;
    }
    case FED_MSG_PIECE: {
        BODY(Piece, piece, piece);
        piece.object = digest_of(&m->u.piece.object);
        piece.index = m->u.piece.index;
        piece.n_pieces = m->u.piece.n_pieces;
        piece.n_bytes = m->u.piece.n_bytes;
        pack_header(&h, out);
        return;
    }
    case FED_MSG_VERDICT: {
        BODY(Verdict, verdict, verdict);
        verdict.digest = digest_of(&m->u.verdict.digest);
        verdict.accepted = m->u.verdict.accepted;
        verdict.text = fed_msg_clean_text(room.text[0], FED_TEXT_BYTES, m->u.verdict.text);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_REFUSED: {
        BODY(Refused, refused, refused);
        refused.code = m->u.refused.code;
        refused.text = fed_msg_clean_text(room.text[0], FED_TEXT_BYTES, m->u.refused.text);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_BYE: {
        BODY(Bye, bye, bye);
        bye.text = fed_msg_clean_text(room.text[0], FED_TEXT_BYTES, m->u.bye.text);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_ROTATE: {
        BODY(Rotate, rotate, rotate);
        const fed_rotation *r = &m->u.rotate;
        rotate.site = site_of(&r->site);
        rotate.old_sign_key = bytes_of(r->old_sign.bytes, FED_KEY_BYTES);
        rotate.old_curve_key = bytes_of(r->old_curve.bytes, FED_KEY_BYTES);
        rotate.sign_key = bytes_of(r->sign.bytes, FED_KEY_BYTES);
        rotate.curve_key = bytes_of(r->curve.bytes, FED_KEY_BYTES);
        rotate.old_signature = bytes_of(r->old_signature.bytes, FED_SIGNATURE_BYTES);
        rotate.signature = bytes_of(r->signature.bytes, FED_SIGNATURE_BYTES);
        pack_header(&h, out);
        return;
    }
    case FED_MSG_ROTATED: {
        BODY(Rotated, rotated, rotated);
        rotated.sign_key = bytes_of(m->u.rotated.sign.bytes, FED_KEY_BYTES);
        rotated.accepted = m->u.rotated.accepted;
        rotated.text = fed_msg_clean_text(room.text[0], FED_TEXT_BYTES, m->u.rotated.text);
        pack_header(&h, out);
        return;
    }
    }
}
