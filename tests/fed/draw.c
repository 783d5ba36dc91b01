/*
 * draw.c - see draw.h
 */
#include "fed/draw.h"

#include <time.h>

#include "base/rng.h"
#include "check.h"

static fl_rng rng;

void draw_seed(void)
{
    const char *fixed = getenv("TEST_SEED");
    uint64_t seed = fixed != NULL ? strtoull(fixed, NULL, 10) : (uint64_t)time(NULL);
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    fl_rng_init(&rng, seed, "msg", "", 0);
}

size_t draw_below(size_t n)
{
    return (size_t)fl_rng_below(&rng, n);
}

void draw_bytes(void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)out)[i] = (uint8_t)fl_rng_below(&rng, 256);
    }
}

static uint32_t draw_u32(void)
{
    return (uint32_t)(fl_rng_u64(&rng) >> fl_rng_below(&rng, 33) >> 31);
}

/* Printable text of up to size - 1 bytes, with some characters of 2 to 4. */
static void draw_text(char *out, size_t size)
{
    static const char *const parts[] = {
        "a", "Z", " ", "0", "~", "\"", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xab\x81"};
    size_t wanted = (size_t)fl_rng_below(&rng, size);
    size_t n = 0;
    for (;;) {
        const char *part = parts[fl_rng_below(&rng, 9)];
        if (n + strlen(part) > wanted) {
            break;
        }
        memcpy(out + n, part, strlen(part));
        n += strlen(part);
    }
    out[n] = '\0';
}

static void draw_word(char *out, size_t size, const char *letters)
{
    size_t n = 1 + (size_t)fl_rng_below(&rng, size - 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = letters[fl_rng_below(&rng, strlen(letters))];
    }
    out[n] = '\0';
}

static void draw_site(fed_site_id *site)
{
    draw_word(site->text, sizeof site->text, "abcxyz019_-");
}

static void draw_key(fed_order_key *key, bool may_wait)
{
    key->kind = (fed_order_kind)(may_wait ? fl_rng_below(&rng, FED_N_ORDERS)
                                          : 1 + fl_rng_below(&rng, FED_N_ORDERS - 1));
    draw_bytes(&key->job, sizeof key->job);
    key->round.n = key->kind == FED_CHECK ? 0 : 1 + draw_u32() / 2;
}

static void draw_sizes(uint32_t *n_pieces, uint64_t *n_bytes, uint32_t least)
{
    *n_pieces = least + (uint32_t)fl_rng_below(&rng, 1000);
    uint64_t heads = (uint64_t)*n_pieces * FED_PIECE_HEAD;
    uint64_t most = (uint64_t)*n_pieces * FED_PIECE_BYTES;
    *n_bytes = *n_pieces == 0 ? 0 : heads + 1 + fl_rng_below(&rng, most - heads);
}

static void draw_order(fed_order *o)
{
    draw_key(&o->key, true);
    o->has_model = o->key.kind != FED_CHECK && o->key.kind != FED_WAIT;
    if (o->has_model) {
        draw_bytes(&o->model, sizeof o->model);
        draw_bytes(&o->model_id, sizeof o->model_id);
        draw_bytes(o->table_hash, sizeof o->table_hash);
    }
    o->committed.n = draw_u32();
    o->threshold = fl_rng_below(&rng, 4) == 0 ? 0 : fl_rng_uniform(&rng);
    o->temperature = fl_rng_below(&rng, 4) == 0 ? 0 : fl_rng_range(&rng, 0.1, 16);
    o->conformal = fl_rng_below(&rng, 4) == 0 ? 0 : fl_rng_uniform(&rng);
    o->histogram_bins = (uint32_t)fl_rng_below(&rng, 1001);
    o->has_report = fl_rng_below(&rng, 2) == 0;
    if (o->has_report) {
        draw_bytes(&o->report, sizeof o->report);
    }
    draw_text(o->run, sizeof o->run);
    draw_text(o->text, sizeof o->text);
}

static void draw_offer(fed_offer *o)
{
    draw_key(&o->key, false);
    draw_bytes(&o->base_model, sizeof o->base_model);
    draw_site(&o->site);
    for (size_t i = fl_rng_below(&rng, FED_MAX_SCALARS + 1); i > 0; i--) {
        char name[FED_SCALAR_NAME_BYTES];
        draw_word(name, sizeof name, "abcxyz019_.");
        fed_offer_set(o, name,
                      ldexp(fl_rng_range(&rng, -1, 1), (int)fl_rng_below(&rng, 2000) - 1000));
    }
    draw_bytes(o->table_hash, sizeof o->table_hash);
    draw_sizes(&o->n_pieces, &o->n_bytes, 0);
    draw_bytes(&o->digest, sizeof o->digest);
    draw_bytes(&o->signature, sizeof o->signature);
}

void draw_message(fed_msg *m, fed_msg_type type)
{
    memset(m, 0, sizeof *m);
    m->type = type;
    m->version = FED_PROTOCOL_VERSION;
    switch (type) {
    case FED_MSG_ENROL:
        draw_bytes(m->u.enrol.invitation, sizeof m->u.enrol.invitation);
        draw_site(&m->u.enrol.site);
        draw_bytes(&m->u.enrol.sign_key, sizeof m->u.enrol.sign_key);
        draw_bytes(&m->u.enrol.curve_key, sizeof m->u.enrol.curve_key);
        draw_bytes(&m->u.enrol.signature, sizeof m->u.enrol.signature);
        break;
    case FED_MSG_ENROLLED:
        draw_site(&m->u.enrolled.site);
        draw_text(m->u.enrolled.federation, sizeof m->u.enrolled.federation);
        m->u.enrolled.confirmed = fl_rng_below(&rng, 2) == 1;
        break;
    case FED_MSG_HELLO:
        draw_text(m->u.hello.software, sizeof m->u.hello.software);
        draw_bytes(&m->u.hello.job, sizeof m->u.hello.job);
        m->u.hello.committed.n = draw_u32();
        draw_text(m->u.hello.environment, sizeof m->u.hello.environment);
        break;
    case FED_MSG_WELCOME:
        draw_text(m->u.welcome.federation, sizeof m->u.welcome.federation);
        draw_site(&m->u.welcome.site);
        m->u.welcome.time_ms = (int64_t)fl_rng_below(&rng, UINT64_C(1) << 47);
        m->u.welcome.beat_ms = 100 + (uint32_t)fl_rng_below(&rng, 59901);
        break;
    case FED_MSG_ORDER:
        draw_order(&m->u.order);
        break;
    case FED_MSG_BEAT:
        draw_key(&m->u.beat.key, true);
        m->u.beat.phase = (fed_phase)fl_rng_below(&rng, 5);
        m->u.beat.steps_done = fl_rng_u64(&rng) >> fl_rng_below(&rng, 64);
        m->u.beat.steps_total = fl_rng_u64(&rng) >> fl_rng_below(&rng, 64);
        break;
    case FED_MSG_REPLY:
        draw_key(&m->u.reply.key, false);
        m->u.reply.answer = (fed_answer)fl_rng_below(&rng, 3);
        m->u.reply.mismatch = m->u.reply.answer == FED_REFUSE;
        draw_text(m->u.reply.text, sizeof m->u.reply.text);
        break;
    case FED_MSG_FETCH:
        draw_bytes(&m->u.fetch.object, sizeof m->u.fetch.object);
        m->u.fetch.first = (uint32_t)fl_rng_below(&rng, FED_MAX_PIECES);
        m->u.fetch.count = 1 + (uint32_t)fl_rng_below(&rng, 64);
        break;
    case FED_MSG_OFFER:
        draw_offer(&m->u.offer);
        break;
    case FED_MSG_GRANT:
        draw_bytes(&m->u.grant.digest, sizeof m->u.grant.digest);
        m->u.grant.next = (uint32_t)fl_rng_below(&rng, FED_MAX_PIECES + 1);
        m->u.grant.credits = (uint32_t)fl_rng_below(&rng, 257);
        break;
    case FED_MSG_PIECE:
        draw_bytes(&m->u.piece.object, sizeof m->u.piece.object);
        draw_sizes(&m->u.piece.n_pieces, &m->u.piece.n_bytes, 1);
        m->u.piece.index = (uint32_t)fl_rng_below(&rng, m->u.piece.n_pieces);
        break;
    case FED_MSG_VERDICT:
        draw_bytes(&m->u.verdict.digest, sizeof m->u.verdict.digest);
        m->u.verdict.accepted = fl_rng_below(&rng, 2) == 1;
        draw_text(m->u.verdict.text, sizeof m->u.verdict.text);
        break;
    case FED_MSG_REFUSED:
        m->u.refused.code = 1 + (uint32_t)fl_rng_below(&rng, FL_N_STATUS - 1);
        draw_text(m->u.refused.text, sizeof m->u.refused.text);
        break;
    case FED_MSG_BYE:
        draw_text(m->u.bye.text, sizeof m->u.bye.text);
        break;
    case FED_MSG_ROTATE:
        draw_site(&m->u.rotate.site);
        draw_bytes(&m->u.rotate.old_sign, sizeof m->u.rotate.old_sign);
        draw_bytes(&m->u.rotate.old_curve, sizeof m->u.rotate.old_curve);
        draw_bytes(&m->u.rotate.sign, sizeof m->u.rotate.sign);
        draw_bytes(&m->u.rotate.curve, sizeof m->u.rotate.curve);
        draw_bytes(&m->u.rotate.old_signature, sizeof m->u.rotate.old_signature);
        draw_bytes(&m->u.rotate.signature, sizeof m->u.rotate.signature);
        break;
    case FED_MSG_ROTATED:
        draw_bytes(&m->u.rotated.sign, sizeof m->u.rotated.sign);
        m->u.rotated.accepted = fl_rng_below(&rng, 2) == 1;
        draw_text(m->u.rotated.text, sizeof m->u.rotated.text);
        break;
    }
}
