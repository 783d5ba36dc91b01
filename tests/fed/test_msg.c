/*
 * test_msg.c - wire bytes and plain structs
 */
#include "fed/msg.h"

#include <time.h>

#include "base/rng.h"
#include "base/sys.h"
#include "check.h"
#include "fed/golden.h"
#include "fed/identity.h"

static void an_order_is_packed_and_unpacked(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_msg sent = {.type = FED_MSG_ORDER};
    sent.u.order.key.kind = FED_TRAIN;
    sent.u.order.key.round.n = 3;
    fed_job_digest(&sent.u.order.key.job, "name: demo\n", 11);
    sent.u.order.has_model = true;
    memset(&sent.u.order.model, 0xab, sizeof sent.u.order.model);
    strcpy(sent.u.order.run, "demo-1");

    fl_buf wire = FL_BUF_INIT;
    fed_msg_pack(&sent, &wire);
    fed_msg read;
    check_ok(fed_msg_unpack(&read, (const uint8_t *)wire.data, wire.n, &err), err);

    check_int(read.type, FED_MSG_ORDER);
    check(fed_order_key_equal(&read.u.order.key, &sent.u.order.key));
    check_str(fed_order_name(read.u.order.key.kind), "train");
    check_str(read.u.order.run, "demo-1");
    fl_buf_clear(&wire);
}

// --------------------------------------------------------- random round trips

static fl_rng rng;

static void draw_bytes(void *out, size_t n)
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

/* A random message of the type, everything that is not set zeroed. */
static void draw_message(fed_msg *m, fed_msg_type type)
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

/* A fresh seed each run, printed so that a failure can be repeated. */
static void seed_rng(void)
{
    const char *fixed = getenv("TEST_SEED");
    uint64_t seed = fixed != NULL ? strtoull(fixed, NULL, 10) : (uint64_t)time(NULL);
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    fl_rng_init(&rng, seed, "msg", "", 0);
}

static void every_message_comes_back_as_it_was(void **state)
{
    (void)state;
    seed_rng();
    fl_buf wire = FL_BUF_INIT;
    for (int trial = 0; trial < 3000; trial++) {
        fl_err err = FL_ERR_INIT;
        static fed_msg sent, read;
        draw_message(&sent, (fed_msg_type)(trial % FED_N_MSGS));
        fl_buf_reset(&wire);
        fed_msg_pack(&sent, &wire);
        check_ok(fed_msg_unpack(&read, (const uint8_t *)wire.data, wire.n, &err), err);
        check_str(fed_msg_name(read.type), fed_msg_name(sent.type));
        check_bytes(&read, &sent, sizeof sent);
    }
    fl_buf_clear(&wire);
}

// ------------------------------------------------------------------- damage

/* Nothing but a valid message comes in; what does says the same again. */
static bool unpacks_or_says_why(const uint8_t *bytes, size_t n)
{
    fl_err err = FL_ERR_INIT;
    static fed_msg read;
    // From a block of exactly n bytes, so that a sanitizer sees a step beyond.
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    memcpy(copy, bytes, n);
    fl_status st = fed_msg_unpack(&read, copy, n, &err);
    if (st == FL_OK) {
        fl_buf again = FL_BUF_INIT;
        fed_msg_pack_as(&read, read.version, &again);
        check_int(again.n, n);
        check_bytes(again.data, copy, n);
        fl_buf_clear(&again);
    } else {
        check(st == FL_EFORMAT || st == FL_ELIMIT || st == FL_EUNSUPPORTED);
        check(err.text[0] != '\0');
    }
    free(copy);
    return st == FL_OK;
}

static void no_damaged_header_gets_through_unnoticed(void **state)
{
    (void)state;
    seed_rng();
    fl_buf wire = FL_BUF_INIT;
    for (int trial = 0; trial < 2 * FED_N_MSGS; trial++) {
        static fed_msg sent;
        draw_message(&sent, (fed_msg_type)(trial % FED_N_MSGS));
        fl_buf_reset(&wire);
        fed_msg_pack(&sent, &wire);
        uint8_t *bytes = (uint8_t *)wire.data;
        for (size_t cut = 0; cut < wire.n; cut++) {
            check(!unpacks_or_says_why(bytes, cut));
        }
        size_t step = wire.n > 500 ? 7 : 1;
        for (size_t bit = 0; bit < 8 * wire.n; bit += step) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            unpacks_or_says_why(bytes, wire.n);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        fl_buf_add(&wire, "\0", 1);  // something behind
        check(!unpacks_or_says_why((uint8_t *)wire.data, wire.n));
    }
    fl_buf_clear(&wire);
}

static void noise_is_refused(void **state)
{
    (void)state;
    seed_rng();
    for (int trial = 0; trial < 20000; trial++) {
        uint8_t noise[300] = {0x08, 0x01};
        size_t n = fl_rng_below(&rng, sizeof noise);
        draw_bytes(noise + 2, sizeof noise - 2);
        unpacks_or_says_why(noise, n);
    }
}

// ------------------------------------------------------- one lie at a time

/* Protobuf written by hand. */
static void put_varint(fl_buf *b, uint64_t x)
{
    do {
        uint8_t byte = (uint8_t)((x & 0x7f) | (x > 0x7f ? 0x80 : 0));
        fl_buf_add(b, &byte, 1);
        x >>= 7;
    } while (x != 0);
}

static void put_number(fl_buf *b, uint32_t field, uint64_t x)
{
    put_varint(b, field << 3);
    put_varint(b, x);
}

static void put_blob(fl_buf *b, uint32_t field, const void *bytes, size_t n)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    fl_buf_add(b, bytes, n);
}

static void put_double(fl_buf *b, uint32_t field, double x)
{
    put_varint(b, field << 3 | 1);
    fl_buf_add(b, &x, sizeof x);
}

static const uint8_t ones[64] = {
    [0 ... 63] = 1,
};

/* A header of this version with one body. */
static fl_status read_wire(fed_msg *out, uint32_t version, uint32_t body_field, const fl_buf *body,
                           fl_err *err)
{
    fl_buf wire = FL_BUF_INIT;
    put_number(&wire, 1, version);
    put_blob(&wire, body_field, body->data == NULL ? "" : body->data, body->n);
    fl_status st = fed_msg_unpack(out, (const uint8_t *)wire.data, wire.n, err);
    fl_buf_clear(&wire);
    return st;
}

/* An offer like others but for what `how` says. */
static fl_status read_offer(const char *how, fl_err *err)
{
    fl_buf b = FL_BUF_INIT;
    put_number(&b, 1, strcmp(how, "kind") == 0 ? 8 : 2);
    put_blob(&b, 2, ones, strcmp(how, "short job") == 0 ? 31 : 32);
    put_number(&b, 3, 1);
    put_blob(&b, 4, ones, 32);
    put_blob(&b, 5, strcmp(how, "site") == 0 ? "No!!" : "nord", 4);
    bool many = strcmp(how, "many scalars") == 0;
    for (int i = 0; i < (many ? 65 : 2); i++) {
        fl_buf s = FL_BUF_INIT;
        char name[80];
        snprintf(name, sizeof name, "s%02d", i);
        if (i == 1 && strcmp(how, "duplicate") == 0) {
            strcpy(name, "s00");
        } else if (i == 1 && strcmp(how, "unsorted") == 0) {
            strcpy(name, "a");
        } else if (i == 1 && strcmp(how, "name") == 0) {
            strcpy(name, "S01");
        } else if (i == 1 && strcmp(how, "long name") == 0) {
            memset(name, 'x', 49);
            name[49] = '\0';
        }
        put_blob(&s, 1, name, strlen(name));
        put_double(&s, 2,
                   strcmp(how, "nan") == 0          ? (double)NAN
                   : strcmp(how, "infinite") == 0   ? (double)-INFINITY
                   : strcmp(how, "minus zero") == 0 ? -0.0
                                                    : 1.5);
        put_blob(&b, 6, s.data, s.n);
        fl_buf_clear(&s);
    }
    put_blob(&b, 7, ones, 32);
    put_number(&b, 8, strcmp(how, "bytes") == 0 ? 2 * FED_PIECE_BYTES + 1 : 300000);
    put_number(&b, 9, strcmp(how, "pieces") == 0 ? 65537 : 2);
    put_blob(&b, 10, strcmp(how, "zero digest") == 0 ? (const uint8_t[32]){0} : ones, 32);
    put_blob(&b, 11, ones, strcmp(how, "signature") == 0 ? 63 : 64);
    if (strcmp(how, "unknown field") == 0) {
        put_number(&b, 12, 1);
    } else if (strcmp(how, "repeated field") == 0) {
        put_number(&b, 3, 1);
    }
    static fed_msg m;
    fl_status st = read_wire(&m, FED_PROTOCOL_VERSION, 18, &b, err);
    fl_buf_clear(&b);
    return st;
}

static void an_offer_is_refused_for_each_lie(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    check_ok(read_offer("good", &err), err);
    static const struct {
        const char *how, *complaint;
    } lies[] = {
        {"kind", "offer: kind"},
        {"short job", "offer: job: expected 32 bytes, found 31"},
        {"site", "offer: site"},
        {"many scalars", "offer: scalars: more than 64"},
        {"duplicate", "offer: scalars: names are not sorted"},
        {"unsorted", "offer: scalars: names are not sorted"},
        {"name", "offer: scalars: a name has"},
        {"long name", "offer: scalars: a name has"},
        {"nan", "not finite"},
        {"infinite", "not finite"},
        {"minus zero", "offer: encoding"},
        {"bytes", "offer: n_bytes"},
        {"pieces", "offer: n_bytes"},
        {"zero digest", "offer: digest"},
        {"signature", "offer: signature: expected 64 bytes, found 63"},
        {"unknown field", "offer: encoding"},
        {"repeated field", "offer: encoding"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        check_fails(read_offer(lies[i].how, &err), FL_EFORMAT);
        check_has(err.text, lies[i].complaint);
    }
}

static void text_is_printable_and_short(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        fl_status wanted;
    } texts[] = {
        {"good-bye, \xc3\xa9t\xc3\xa9", 15, FL_OK},
        {"line\nbreak", 10, FL_EFORMAT},
        {"esc\x1b[2J", 7, FL_EFORMAT},
        {"del\x7f", 4, FL_EFORMAT},
        {"c1 \xc2\x85", 5, FL_EFORMAT},
        {"nul\0behind", 10, FL_EFORMAT},
        {"\xc3", 1, FL_EFORMAT},              // cut
        {"\xa9", 1, FL_EFORMAT},              // no beginning
        {"\xc0\xaf", 2, FL_EFORMAT},          // overlong
        {"\xed\xa0\x80", 3, FL_EFORMAT},      // surrogate
        {"\xf4\x90\x80\x80", 4, FL_EFORMAT},  // beyond Unicode
        {"\xe2\x80\xae", 3, FL_EFORMAT},      // writes from right to left
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fl_err err = FL_ERR_INIT;
        static fed_msg m;
        fl_buf b = FL_BUF_INIT;
        put_blob(&b, 1, texts[i].text, texts[i].n);
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 23, &b, &err), texts[i].wanted);
        fl_buf_clear(&b);
    }
    fl_err err = FL_ERR_INIT;
    static fed_msg m;
    char longest[FED_TEXT_BYTES];
    memset(longest, 'x', sizeof longest);
    for (size_t n = FED_TEXT_BYTES - 1; n <= FED_TEXT_BYTES; n++) {
        fl_buf b = FL_BUF_INIT;
        put_blob(&b, 1, longest, n);
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 23, &b, &err), n < FED_TEXT_BYTES ? FL_OK : FL_ELIMIT);
        fl_buf_clear(&b);
    }
}

/* A complaint may quote a file or another program: it still goes out clean. */
static void what_we_send_is_cleaned(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static fed_msg m, read;
    memset(&m, 0, sizeof m);
    m.type = FED_MSG_BYE;
    memset(m.u.bye.text, 'x', sizeof m.u.bye.text - 1);
    memcpy(m.u.bye.text, "a\nb\x1b\xff", 5);
    memcpy(m.u.bye.text + FED_TEXT_BYTES - 2, "\xc3", 1);  // a character cut by snprintf
    fl_buf wire = FL_BUF_INIT;
    fed_msg_pack(&m, &wire);
    check_ok(fed_msg_unpack(&read, (const uint8_t *)wire.data, wire.n, &err), err);
    check_bytes(read.u.bye.text, "a b  xx", 7);
    check_int(read.u.bye.text[FED_TEXT_BYTES - 2], ' ');
    fl_buf_clear(&wire);
}

static void another_protocol_version_is_named_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static fed_msg m;
    fl_buf b = FL_BUF_INIT;
    put_blob(&b, 99, "whatever version 5 says", 23);
    check_fails(read_wire(&m, 5, 18, &b, &err), FL_EUNSUPPORTED);
    check_has(err.text, "speaks protocol 5, this program protocol 4: upgrade "
                        "this program");
    check_fails(read_wire(&m, 0, 18, &b, &err), FL_EUNSUPPORTED);
    check_has(err.text, "upgrade the other side");
    check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 26, &b, &err), FL_EFORMAT);
    check_has(err.text, "without body");
    check_fails(read_wire(&m, 2, 24, &b, &err), FL_EFORMAT);  // `rotate` is not in it
    check_has(err.text, "without body");
    check_fails(fed_msg_unpack(&m, (const uint8_t *)"\n\1x", 3, &err), FL_EFORMAT);
    check_has(err.text, "without protocol version");
    fl_buf_clear(&b);
}

/* Calls each for the messages of a version, saved when it was the newest. */
static void each_saved(const char *folder, size_t expected,
                       void (*each)(const uint8_t *bytes, size_t n))
{
    char **names = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_list_dir(&names, &n, folder, &err), err);
    check_int(n, expected);
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(folder, names[i]), *bytes = NULL;
        size_t n_bytes = 0;
        check_ok(fl_file_read(&bytes, &n_bytes, path, FED_MAX_HEADER_BYTES, &err), err);
        each((const uint8_t *)bytes, n_bytes);
        free(bytes);
        free(path);
    }
    fl_names_free(&names, n);
}

static void is_refused(const uint8_t *bytes, size_t n)
{
    static fed_msg m;
    fl_err err = FL_ERR_INIT;
    check_fails(fed_msg_unpack(&m, bytes, n, &err), FL_EUNSUPPORTED);
    check_has(err.text, "speaks protocol 1, this program protocol 4: upgrade the other side");
}

static uint32_t saved_version;  // of the messages that is_understood is given

static void is_understood(const uint8_t *bytes, size_t n)
{
    static fed_msg m;
    fl_err err = FL_ERR_INIT;
    fl_buf again = FL_BUF_INIT;
    check_ok(fed_msg_unpack(&m, bytes, n, &err), err);
    check_int(m.version, saved_version);
    fed_msg_pack_as(&m, saved_version, &again);
    check_int(again.n, n);
    check_bytes(again.data, bytes, n);
    fl_buf_clear(&again);
}

static void the_first_version_is_refused_in_words_and_those_after_it_are_spoken(void **state)
{
    (void)state;
    each_saved("tests/vectors/messages-v1", FED_MSG_BYE + 1, is_refused);
    saved_version = 2;
    each_saved("tests/vectors/messages-v2", FED_MSG_BYE + 1, is_understood);
    saved_version = 3;
    each_saved("tests/vectors/messages-v3", FED_N_MSGS, is_understood);
    saved_version = 4;  // two orders more, and their answers
    each_saved("tests/vectors/messages-v4", FED_N_MSGS + 4, is_understood);
}

/* An order that is newer than the message's version is no order. */
static void an_older_message_holds_no_newer_order(void **state)
{
    (void)state;
    static const char *const newer[] = {"order-lend", "order-cross", "offer-lend", "offer-cross"};
    static fed_msg m;
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++) {
        fl_err err = FL_ERR_INIT;
        char path[80], *bytes = NULL;
        size_t n = 0;
        snprintf(path, sizeof path, "tests/vectors/messages-v4/%s", newer[i]);
        check_ok(fl_file_read(&bytes, &n, path, FED_MAX_HEADER_BYTES, &err), err);
        check_int(bytes[1], 4);
        bytes[1] = 3;
        check_fails(fed_msg_unpack(&m, (const uint8_t *)bytes, n, &err), FL_EFORMAT);
        check_has(err.text, "kind: no such kind of order");
        free(bytes);
    }
}

/* Small on the wire, large in memory: protobuf-c's own structs are counted. */
static void a_header_cannot_make_us_take_memory(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static fed_msg m;
    fl_buf b = FL_BUF_INIT;
    for (int i = 0; i < 20000; i++) {
        put_blob(&b, 6, "", 0);  // empty scalars
    }
    check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 18, &b, &err), FL_EFORMAT);
    fl_buf_reset(&b);
    for (int i = 0; i < 20000; i++) {
        put_number(&b, 1000, 0);  // unknown fields
    }
    check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 18, &b, &err), FL_EFORMAT);
    fl_buf_clear(&b);

    uint8_t *large = fl_xcalloc(FED_MAX_HEADER_BYTES + 1, 1);
    large[0] = 8;
    large[1] = 1;
    check_fails(fed_msg_unpack(&m, large, FED_MAX_HEADER_BYTES + 1, &err), FL_ELIMIT);
    free(large);
}

/* Each message's numbers: field, value, fit or not. */
static void numbers_stay_in_range(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static fed_msg m;
    fl_buf b = FL_BUF_INIT;

    for (int i = 0; i < 4; i++) {  // welcome: 100 to 60000 ms between beats
        static const uint32_t beats[] = {99, 100, 60000, 60001};
        fl_buf_reset(&b);
        put_blob(&b, 2, "nord", 4);
        put_number(&b, 4, beats[i]);
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 13, &b, &err), i == 1 || i == 2 ? FL_OK : FL_EFORMAT);
    }
    for (int i = 0; i < 4; i++) {  // fetch: 1 to 64 pieces
        static const uint32_t counts[] = {0, 1, 64, 65};
        fl_buf_reset(&b);
        put_blob(&b, 1, ones, 32);
        if (counts[i] != 0) {
            put_number(&b, 3, counts[i]);
        }
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 17, &b, &err), i == 1 || i == 2 ? FL_OK : FL_EFORMAT);
    }
    for (int i = 0; i < 5; i++) {  // order: a test needs a model and a threshold
        static const double thresholds[] = {0.5, 1.0, 1.01, -0.1, NAN};
        fl_buf_reset(&b);
        put_number(&b, 1, FED_TEST);
        put_blob(&b, 2, ones, 32);
        put_blob(&b, 4, ones, 32);
        put_blob(&b, 5, ones, 32);
        put_blob(&b, 6, ones, 32);
        put_double(&b, 8, thresholds[i]);
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 14, &b, &err), i < 2 ? FL_OK : FL_EFORMAT);
    }
    for (int i = 0; i < 12; i++) {  // and what it says of scores can be
        static const double temperatures[] = {1.0 / 16, 16, 0.06, 16.5, -1, NAN};
        static const double conformal[] = {0.85, 1, 1.01, -0.1, INFINITY, NAN};
        fl_buf_reset(&b);
        put_number(&b, 1, FED_TEST);
        put_blob(&b, 2, ones, 32);
        put_blob(&b, 4, ones, 32);
        put_blob(&b, 5, ones, 32);
        put_blob(&b, 6, ones, 32);
        put_double(&b, i < 6 ? 16 : 17, i < 6 ? temperatures[i] : conformal[i - 6]);
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 14, &b, &err),
                    i % 6 < 2 ? FL_OK : FL_EFORMAT);
    }
    fl_buf_reset(&b);
    put_number(&b, 1, FED_TRAIN);
    put_blob(&b, 2, ones, 32);
    put_number(&b, 3, 1);
    check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 14, &b, &err), FL_EFORMAT);
    check_has(err.text, "order: model: missing");
    for (int i = 0; i < 3; i++) {  // refused: a status of ours
        static const uint32_t codes[] = {FL_EDENIED, FL_N_STATUS, 0};
        fl_buf_reset(&b);
        if (codes[i] != 0) {
            put_number(&b, 1, codes[i]);
        }
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 22, &b, &err), i == 0 ? FL_OK : FL_EFORMAT);
    }
    for (int i = 0; i < 3; i++) {  // piece: index below n_pieces, sizes that fit
        fl_buf_reset(&b);
        put_blob(&b, 1, ones, 32);
        put_number(&b, 2, i == 1 ? 2 : 1);
        put_number(&b, 3, 2);
        put_number(&b, 4, i == 2 ? UINT64_MAX : 300000);
        check_fails(read_wire(&m, FED_PROTOCOL_VERSION, 20, &b, &err), i == 0 ? FL_OK : FL_EFORMAT);
    }
    fl_buf_clear(&b);
}

// ------------------------------------------------------------------- offers

static void scalars_stay_sorted_and_unique(void **state)
{
    (void)state;
    static fed_offer o;
    fed_offer_set(&o, "steps", 20);
    fed_offer_set(&o, "loss", 0.5);
    fed_offer_set(&o, "n_train", 640);
    fed_offer_set(&o, "loss", 0.75);
    fed_offer_set(&o, "zero", -0.0);
    check_int(o.n_scalars, 4);
    check_str(o.scalars[0].name, "loss");
    check_str(o.scalars[1].name, "n_train");
    check_str(o.scalars[2].name, "steps");
    check_near(fed_offer_get(&o, "loss", -1), 0.75, 0);
    check_near(fed_offer_get(&o, "absent", -1), -1, 0);
    check(!signbit(fed_offer_get(&o, "zero", 1)));
}

static void an_offer_is_written_byte_for_byte_as_written_down(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *golden = golden_read();
    const json_t *expected = json_object_get(golden, "offer");
    static fed_msg m;
    memset(&m, 0, sizeof m);
    m.type = FED_MSG_OFFER;
    fed_offer *o = &m.u.offer;
    o->key.kind = FED_TRAIN;
    memset(&o->key.job, 1, sizeof o->key.job);
    o->key.round.n = 7;
    memset(&o->base_model, 2, sizeof o->base_model);
    check_ok(fed_site_id_parse(&o->site, "nord", &err), err);
    fed_offer_set(o, "steps", 20);
    fed_offer_set(o, "n_train", 640);
    fed_offer_set(o, "loss", 0.75);
    memset(o->table_hash, 3, sizeof o->table_hash);
    o->n_bytes = 40000;
    o->n_pieces = 1;
    memset(&o->digest, 4, sizeof o->digest);
    golden_bytes(o->signature.bytes, sizeof o->signature.bytes, expected, "signature");

    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(o, &bytes);
    size_t n;
    unsigned char *blob = golden_blob(&n, expected, "bytes");
    check_int(bytes.n, n);
    check_bytes(bytes.data, blob, n);
    free(blob);

    fed_verify_key key;
    golden_bytes(key.bytes, sizeof key.bytes, json_object_get(golden, "identity"), "sign_public");
    check(fed_verify(&o->signature, &key, "consilium contribution 1", bytes.data, bytes.n));

    fl_buf_reset(&bytes);
    fed_msg_pack_as(&m, 2, &bytes);
    blob = golden_blob(&n, expected, "wire");
    check_int(bytes.n, n);
    check_bytes(bytes.data, blob, n);
    free(blob);
    fl_buf_clear(&bytes);
    json_decref(golden);
}

/* No two offers share their signed bytes: each field changes them. */
static void every_field_of_an_offer_is_signed(void **state)
{
    (void)state;
    seed_rng();
    static fed_msg a, b;
    fl_buf a_bytes = FL_BUF_INIT, b_bytes = FL_BUF_INIT;
    draw_message(&a, FED_MSG_OFFER);
    a.u.offer.n_scalars = 0;
    fed_offer_set(&a.u.offer, "loss", 1);
    fed_offer_bytes(&a.u.offer, &a_bytes);
    for (int field = 0; field < 11; field++) {
        b = a;
        fed_offer *o = &b.u.offer;
        switch (field) {
        case 0:
            o->key.kind = (fed_order_kind)(o->key.kind % 5 + 1);
            break;
        case 1:
            o->key.job.bytes[31] ^= 1;
            break;
        case 2:
            o->key.round.n++;
            break;
        case 3:
            o->base_model.bytes[0] ^= 1;
            break;
        case 4:
            o->site.text[0] = o->site.text[0] == 'a' ? 'b' : 'a';
            break;
        case 5:
            o->scalars[0].value = nextafter(1, 2);
            break;
        case 6:
            strcpy(o->scalars[0].name, "lost");
            break;
        case 7:
            o->table_hash[5] ^= 0x80;
            break;
        case 8:
            o->n_bytes++;
            break;
        case 9:
            o->n_pieces++;
            break;
        default:
            o->digest.bytes[7] ^= 4;
            break;
        }
        fl_buf_reset(&b_bytes);
        fed_offer_bytes(o, &b_bytes);
        check(b_bytes.n != a_bytes.n || memcmp(a_bytes.data, b_bytes.data, a_bytes.n) != 0);
    }
    fl_buf_clear(&a_bytes);
    fl_buf_clear(&b_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_packed_and_unpacked),
        cmocka_unit_test(every_message_comes_back_as_it_was),
        cmocka_unit_test(no_damaged_header_gets_through_unnoticed),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(an_offer_is_refused_for_each_lie),
        cmocka_unit_test(text_is_printable_and_short),
        cmocka_unit_test(what_we_send_is_cleaned),
        cmocka_unit_test(another_protocol_version_is_named_in_words),
        cmocka_unit_test(the_first_version_is_refused_in_words_and_those_after_it_are_spoken),
        cmocka_unit_test(an_older_message_holds_no_newer_order),
        cmocka_unit_test(a_header_cannot_make_us_take_memory),
        cmocka_unit_test(numbers_stay_in_range),
        cmocka_unit_test(scalars_stay_sorted_and_unique),
        cmocka_unit_test(an_offer_is_written_byte_for_byte_as_written_down),
        cmocka_unit_test(every_field_of_an_offer_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
