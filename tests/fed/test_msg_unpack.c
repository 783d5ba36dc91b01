/*
 * test_msg_unpack.c - the border on which outside bytes are checked
 */
#include "fed/msg.h"

#include <math.h>

#include "check.h"
#include "fed/draw.h"

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
    draw_seed();
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
    draw_seed();
    for (int trial = 0; trial < 20000; trial++) {
        uint8_t noise[300] = {0x08, 0x01};
        size_t n = draw_below(sizeof noise);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_damaged_header_gets_through_unnoticed),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(an_offer_is_refused_for_each_lie),
        cmocka_unit_test(text_is_printable_and_short),
        cmocka_unit_test(another_protocol_version_is_named_in_words),
        cmocka_unit_test(a_header_cannot_make_us_take_memory),
        cmocka_unit_test(numbers_stay_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
