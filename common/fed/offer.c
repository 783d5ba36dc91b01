/*
 * offer.c - what an order and a contribution are called, and what a site signs
 *
 * See msg.h.  The signed bytes are written field by field in a fixed layout of
 * our own, never protobuf's, whose encoding is not unique by definition.
 * Numbers are little-endian; texts carry their length in front.
 */
#include "fed/msg.h"

#include <math.h>

static const char contribution_context[] = "consilium contribution 1";

const char *fed_order_name(fed_order_kind kind)
{
    static const char *const names[FED_N_ORDERS] = {
        "wait", "check", "train", "score", "test", "done", "lend", "cross",
    };
    FL_REQUIRE((unsigned)kind < FED_N_ORDERS);
    return names[kind];
}

uint32_t fed_order_since(fed_order_kind kind)
{
    enum { LENDS = 4 };
    return kind == FED_LEND || kind == FED_CROSS ? LENDS : FED_PROTOCOL_OLDEST;
}

const char *fed_phase_name(fed_phase phase)
{
    static const char *const names[] = {
        "idle", "queued", "fetching", "working", "sending",
    };
    FL_REQUIRE((unsigned)phase < sizeof names / sizeof names[0]);
    return names[phase];
}

bool fed_order_key_equal(const fed_order_key *a, const fed_order_key *b)
{
    return a->kind == b->kind && a->round.n == b->round.n && fed_digest_equal(&a->job, &b->job);
}

uint32_t fed_plain_round(fed_round_no round)
{
    return round.n & ~FED_HISTOGRAM_BIT;
}

// -------------------------------------------------------------------- scalars

/* Where name is, or where it belongs. */
static size_t place_of(const fed_offer *o, const char *name)
{
    size_t i = 0;
    while (i < o->n_scalars && strcmp(o->scalars[i].name, name) < 0) {
        i++;
    }
    return i;
}

static bool is_at(const fed_offer *o, size_t i, const char *name)
{
    return i < o->n_scalars && strcmp(o->scalars[i].name, name) == 0;
}

void fed_offer_set(fed_offer *o, const char *name, double value)
{
    size_t n = strlen(name);
    FL_REQUIRE(n > 0 && n < FED_SCALAR_NAME_BYTES);
    FL_REQUIRE(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.") == n);
    FL_REQUIRE(isfinite(value));
    size_t i = place_of(o, name);
    if (!is_at(o, i, name)) {
        FL_REQUIRE(o->n_scalars < FED_MAX_SCALARS);
        memmove(&o->scalars[i + 1], &o->scalars[i], (o->n_scalars - i) * sizeof o->scalars[0]);
        memset(&o->scalars[i], 0, sizeof o->scalars[i]);
        memcpy(o->scalars[i].name, name, n);
        o->n_scalars++;
    }
    o->scalars[i].value = value + 0.0;  // -0 becomes 0: protobuf keeps no sign of it
}

double fed_offer_get(const fed_offer *o, const char *name, double fallback)
{
    size_t i = place_of(o, name);
    return is_at(o, i, name) ? o->scalars[i].value : fallback;
}

// ------------------------------------------------------------ canonical bytes

static void add_uint(fl_buf *out, uint64_t x, int n_bytes)
{
    uint8_t bytes[8];
    for (int i = 0; i < n_bytes; i++) {
        bytes[i] = (uint8_t)(x >> (8 * i));
    }
    fl_buf_add(out, bytes, (size_t)n_bytes);
}

static void add_text(fl_buf *out, const char *text)
{
    size_t n = strlen(text);
    FL_REQUIRE(n < 256);
    add_uint(out, n, 1);
    fl_buf_add(out, text, n);
}

static void add_double(fl_buf *out, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    add_uint(out, bits, 8);
}

void fed_enrol_bytes(const fed_enrol *e, fl_buf *out)
{
    fl_buf_add(out, e->invitation, sizeof e->invitation);
    add_text(out, e->site.text);
    fl_buf_add(out, e->sign_key.bytes, sizeof e->sign_key.bytes);
    fl_buf_add(out, e->curve_key.bytes, sizeof e->curve_key.bytes);
}

void fed_offer_bytes(const fed_offer *o, fl_buf *out)
{
    add_uint(out, o->key.kind, 4);
    fl_buf_add(out, o->key.job.bytes, sizeof o->key.job.bytes);
    add_uint(out, o->key.round.n, 4);
    fl_buf_add(out, o->base_model.bytes, sizeof o->base_model.bytes);
    add_text(out, o->site.text);
    add_uint(out, o->n_scalars, 4);
    for (size_t i = 0; i < o->n_scalars; i++) {
        add_text(out, o->scalars[i].name);
        add_double(out, o->scalars[i].value);
    }
    fl_buf_add(out, o->table_hash, sizeof o->table_hash);
    add_uint(out, o->n_bytes, 8);
    add_uint(out, o->n_pieces, 4);
    fl_buf_add(out, o->digest.bytes, sizeof o->digest.bytes);
}

void fed_offer_sign(fed_offer *o, const fed_identity *id)
{
    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(o, &bytes);
    fed_sign(&o->signature, id, contribution_context, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
}

bool fed_offer_verify(const fed_offer *o, const fed_verify_key *key)
{
    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(o, &bytes);
    bool good = fed_verify(&o->signature, key, contribution_context, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
    return good;
}

/* Reads what the functions above wrote; what is not there stays zero. */
typedef struct {
    const uint8_t *at;
    size_t left;
    bool short_of;  // something was missing
} reader;

static const uint8_t *take(reader *r, size_t n)
{
    if (r->short_of || n > r->left) {
        r->short_of = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    r->left -= n;
    return p;
}

static uint64_t take_uint(reader *r, int n_bytes)
{
    const uint8_t *p = take(r, (size_t)n_bytes);
    uint64_t x = 0;
    for (int i = 0; p != NULL && i < n_bytes; i++) {
        x |= (uint64_t)p[i] << (8 * i);
    }
    return x;
}

static void take_bytes(reader *r, void *out, size_t n)
{
    const uint8_t *p = take(r, n);
    if (p != NULL) {
        memcpy(out, p, n);
    }
}

/* At most size - 1 characters, with a NUL behind them. */
static void take_text(reader *r, char *out, size_t size)
{
    size_t n = (size_t)take_uint(r, 1);
    if (n >= size) {
        r->short_of = true;
        return;
    }
    take_bytes(r, out, n);
    out[n] = '\0';
}

fl_status fed_offer_parse(fed_offer *out, const void *bytes, size_t n, fl_err *err)
{
    reader r = {.at = bytes, .left = n};
    *out = (fed_offer){0};
    uint64_t kind = take_uint(&r, 4);
    take_bytes(&r, out->key.job.bytes, sizeof out->key.job.bytes);
    out->key.round.n = (uint32_t)take_uint(&r, 4);
    take_bytes(&r, out->base_model.bytes, sizeof out->base_model.bytes);
    take_text(&r, out->site.text, sizeof out->site.text);
    uint64_t n_scalars = take_uint(&r, 4);
    for (size_t i = 0; i < n_scalars && i < FED_MAX_SCALARS && !r.short_of; i++) {
        take_text(&r, out->scalars[i].name, sizeof out->scalars[i].name);
        uint64_t bits = take_uint(&r, 8);
        memcpy(&out->scalars[i].value, &bits, sizeof bits);
        out->n_scalars = i + 1;
    }
    take_bytes(&r, out->table_hash, sizeof out->table_hash);
    out->n_bytes = take_uint(&r, 8);
    out->n_pieces = (uint32_t)take_uint(&r, 4);
    take_bytes(&r, out->digest.bytes, sizeof out->digest.bytes);
    fed_site_id site;
    if (r.short_of || r.left > 0 || kind >= FED_N_ORDERS || n_scalars > FED_MAX_SCALARS ||
        fed_site_id_parse(&site, out->site.text, NULL) != FL_OK) {
        *out = (fed_offer){0};
        return fl_fail(err, FL_EFORMAT, "these %zu bytes are no signed contribution", n);
    }
    out->key.kind = (fed_order_kind)kind;
    return FL_OK;
}
