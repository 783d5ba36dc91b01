/*
 * test_update.c - objects in pieces, their digest, and receiving them
 */
#include "fed/update.h"

#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "fed/accum.h"
#include "fed/bf16.h"
#include "fed/golden.h"

/* An object in memory and what its owner says about it. */
typedef struct {
    fed_encoding enc;
    uint64_t n;
    void *items;
    fed_digest digest;
    uint64_t n_bytes;
    uint32_t n_pieces;
} object;

/* The values of tests/vectors/fed_vectors.py. */
static object object_new(fed_encoding enc, uint64_t n)
{
    object o = {.enc = enc, .n = n};
    o.items = fl_xcalloc(n, enc == FED_ENC_F32 ? 4 : 1);
    for (uint64_t i = 0; i < n; i++) {
        if (enc == FED_ENC_F32) {
            ((float *)o.items)[i] = ((float)(i % 1000) + 0.5f) * (i % 2 == 1 ? -1.0f : 1.0f);
        } else {
            ((uint8_t *)o.items)[i] = (uint8_t)(i * 7 % 256);
        }
    }
    fed_object_digest(&o.digest, enc, o.items, n, &o.n_bytes, &o.n_pieces);
    return o;
}

static uint8_t piece[FED_PIECE_BYTES] __attribute__((aligned(8)));

/* Sends piece index of o into the inbox. */
static fl_status send_piece(fed_inbox *b, const object *o, uint32_t index, fl_err *err)
{
    size_t n = fed_piece_pack(piece, o->enc, o->items, o->n, index);
    return fed_inbox_add(b, index, o->n_pieces, o->n_bytes, piece, n, err);
}

static void a_vector_travels_in_pieces_and_arrives_whole(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object model = object_new(FED_ENC_F32, 2 * FED_PIECE_VALUES + 5);
    check_int(model.n_pieces, 3);

    fed_inbox *inbox = NULL;
    check_ok(fed_inbox_new(&inbox, &model.digest, 1 << 20, &err), err);
    while (!fed_inbox_done(inbox)) {
        check_ok(send_piece(inbox, &model, fed_inbox_next(inbox), &err), err);
    }

    fed_encoding enc;
    uint64_t n;
    const float *values = fed_inbox_items(inbox, &enc, &n);
    check_int(enc, FED_ENC_F32);
    check_int(n, model.n);
    check_bytes(values, model.items, n * sizeof(float));
    fed_inbox_destroy(&inbox);
    free(model.items);
}

static void digests_are_those_of_an_independent_program(void **state)
{
    (void)state;
    json_t *golden = golden_read();
    const json_t *cases = json_object_get(golden, "tree");
    check(json_array_size(cases) >= 6);
    for (size_t k = 0; k < json_array_size(cases); k++) {
        const json_t *c = json_array_get(cases, k);
        fed_encoding enc = (fed_encoding)json_integer_value(json_object_get(c, "encoding"));
        object o = object_new(enc, (uint64_t)json_integer_value(json_object_get(c, "n")));
        fed_digest expected;
        golden_bytes(expected.bytes, sizeof expected.bytes, c, "digest");
        check_int(o.n_bytes, json_integer_value(json_object_get(c, "n_bytes")));
        check_int(o.n_pieces, json_integer_value(json_object_get(c, "n_pieces")));
        check_bytes(o.digest.bytes, expected.bytes, sizeof expected.bytes);

        // Piece after piece gives the same as all at once.
        fed_tree t;
        fed_tree_init(&t, o.n_bytes, o.n_pieces);
        for (uint32_t i = 0; i < o.n_pieces; i++) {
            fed_tree_add(&t, piece, fed_piece_pack(piece, enc, o.items, o.n, i));
        }
        fed_digest found;
        fed_tree_done(&t, &found);
        check_bytes(found.bytes, expected.bytes, sizeof expected.bytes);
        free(o.items);
    }
    json_decref(golden);
}

static void a_job_is_named_by_the_digest_it_is_fetched_by(void **state)
{
    (void)state;
    const char yaml[] = "name: chest-opacity\n";
    fed_digest job, object_digest;
    uint64_t n_bytes;
    uint32_t n_pieces;
    fed_job_digest(&job, yaml, sizeof yaml - 1);
    fed_object_digest(&object_digest, FED_ENC_BYTES, yaml, sizeof yaml - 1, &n_bytes, &n_pieces);
    check(fed_digest_equal(&job, &object_digest));
    check(!fed_digest_is_zero(&job));
}

static void a_tree_that_did_not_come_as_announced_has_no_digest(void **state)
{
    (void)state;
    object o = object_new(FED_ENC_BYTES, 300000);
    size_t first = fed_piece_pack(piece, o.enc, o.items, o.n, 0);
    fed_digest found;

    fed_tree t;  // a piece too few
    fed_tree_init(&t, o.n_bytes, o.n_pieces);
    fed_tree_add(&t, piece, first);
    fed_tree_done(&t, &found);
    check(fed_digest_is_zero(&found));

    fed_tree_init(&t, o.n_bytes, o.n_pieces);  // bytes too many
    fed_tree_add(&t, piece, first);
    fed_tree_add(&t, piece, first);
    fed_tree_done(&t, &found);
    check(fed_digest_is_zero(&found));
    free(o.items);
}

// ---------------------------------------------------------------- the inbox

static void repeats_and_gaps_are_ignored(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object o = object_new(FED_ENC_BYTES, 4 * 4 * FED_PIECE_VALUES - 3);
    check_int(o.n_pieces, 4);
    fed_inbox *b = NULL;
    check_ok(fed_inbox_new(&b, &o.digest, UINT64_MAX, &err), err);
    check_int(fed_inbox_n_pieces(b), 0);
    static const uint32_t arrivals[] = {2, 0, 0, 3, 1, 1, 0, 2, 3, 3};
    static const uint32_t next[] = {0, 1, 1, 1, 2, 2, 2, 3, 4, 4};
    for (size_t i = 0; i < sizeof arrivals / sizeof arrivals[0]; i++) {
        check_ok(send_piece(b, &o, arrivals[i], &err), err);
        check_int(fed_inbox_next(b), next[i]);
    }
    check(fed_inbox_done(b));
    check_int(fed_inbox_n_pieces(b), 4);
    fed_inbox_destroy(&b);
    fed_inbox_destroy(&b);  // twice is fine
    free(o.items);
}

static void an_inbox_is_used_again_for_the_next_object(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const uint64_t size[] = {100000, 100000, 70000, 100000};
    fed_inbox *b = NULL;
    for (size_t round = 0; round < 4; round++) {
        object o = object_new(FED_ENC_F32, size[round]);
        ((float *)o.items)[1] = (float)round;  // another object every time
        fed_object_digest(&o.digest, o.enc, o.items, o.n, &o.n_bytes, &o.n_pieces);
        check_ok(b == NULL ? fed_inbox_new(&b, &o.digest, 1 << 20, &err)
                           : fed_inbox_renew(b, &o.digest, 1 << 20, &err),
                 err);
        check(!fed_inbox_done(b));
        check_int(fed_inbox_n_pieces(b), 0);
        for (uint32_t i = 0; i < o.n_pieces && round != 2; i++) {  // the third is given up
            check_ok(send_piece(b, &o, i, &err), err);
        }
        if (round != 2) {
            fed_encoding enc;
            uint64_t n;
            check(fed_inbox_done(b));
            check(memcmp(fed_inbox_items(b, &enc, &n), o.items, sizeof(float) * o.n) == 0);
            check_int(n, o.n);
        } else {
            check_ok(send_piece(b, &o, 0, &err), err);
        }
        free(o.items);
    }
    const fed_digest none = {{0}};
    check_fails(fed_inbox_renew(b, &none, 1 << 20, &err), FL_EFORMAT);
    check(!fed_inbox_done(b));
    fed_inbox_destroy(&b);
}

static void other_bytes_than_asked_for_are_refused_at_the_end(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object o = object_new(FED_ENC_F32, FED_PIECE_VALUES + 10);
    fed_inbox *b = NULL;
    check_ok(fed_inbox_new(&b, &o.digest, 1 << 20, &err), err);
    check_ok(send_piece(b, &o, 0, &err), err);
    ((float *)o.items)[FED_PIECE_VALUES + 3] += 1;
    check_fails(send_piece(b, &o, 1, &err), FL_EFORMAT);
    check_has(err.text, "digest differs");
    check(!fed_inbox_done(b));
    check_int(fed_inbox_next(b), 0);  // all over again

    ((float *)o.items)[FED_PIECE_VALUES + 3] -= 1;
    check_ok(send_piece(b, &o, 0, &err), err);
    check_ok(send_piece(b, &o, 1, &err), err);
    check(fed_inbox_done(b));
    fed_inbox_destroy(&b);
    free(o.items);
}

static void lies_about_the_size_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    object o = object_new(FED_ENC_F32, FED_PIECE_VALUES + 10);
    size_t n = fed_piece_pack(piece, o.enc, o.items, o.n, 0);
    static const struct {
        uint32_t n_pieces;
        uint64_t n_bytes;
        fl_status wanted;
    } lies[] = {
        {0, 262152, FL_EFORMAT},
        {1, 262152 + 48, FL_EFORMAT},  // does not fit one piece
        {3, 262152 + 48, FL_EFORMAT},  // fits two
        {2, 262152 + 47, FL_EFORMAT},  // no whole values
        {2, 16, FL_EFORMAT},           // heads only
        {65537, 262152 + 48, FL_EFORMAT},
        {2, UINT64_C(10737418240), FL_ELIMIT},  // ten gigabytes
        {65536, UINT64_MAX, FL_ELIMIT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        fl_err err = FL_ERR_INIT;
        fed_inbox *b = NULL;
        check_ok(fed_inbox_new(&b, &o.digest, 1 << 20, &err), err);
        check_fails(fed_inbox_add(b, 0, lies[i].n_pieces, lies[i].n_bytes, piece, n, &err),
                    lies[i].wanted);
        check(err.text[0] != '\0');
        check_int(fed_inbox_next(b), 0);
        fed_inbox_destroy(&b);
    }

    // A first piece that is shorter than its announcement makes it.
    fl_err err = FL_ERR_INIT;
    fed_inbox *b = NULL;
    check_ok(fed_inbox_new(&b, &o.digest, 1 << 20, &err), err);
    float few[4] = {0};
    n = fed_piece_pack(piece, FED_ENC_F32, few, 4, 0);
    check_fails(fed_inbox_add(b, 0, o.n_pieces, o.n_bytes, piece, n, &err), FL_EFORMAT);
    // And one that changes its mind half-way.
    check_ok(send_piece(b, &o, 0, &err), err);
    n = fed_piece_pack(piece, o.enc, o.items, o.n, 1);
    check_fails(fed_inbox_add(b, 1, o.n_pieces + 1, o.n_bytes, piece, n, &err), FL_EFORMAT);
    fed_inbox_destroy(&b);
    free(o.items);
}

static void an_object_has_one_encoding(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object o = object_new(FED_ENC_F32, 2 * FED_PIECE_VALUES);
    fed_inbox *b = NULL;
    check_ok(fed_inbox_new(&b, &o.digest, 1 << 20, &err), err);
    check_ok(send_piece(b, &o, 0, &err), err);
    size_t n = fed_piece_pack(piece, FED_ENC_BYTES, o.items, 4 * FED_PIECE_VALUES, 0);
    check_fails(fed_inbox_add(b, 1, o.n_pieces, o.n_bytes, piece, n, &err), FL_EFORMAT);
    fed_inbox_destroy(&b);
    free(o.items);
}

// ---------------------------------------------------------------- one piece

static void a_piece_says_what_it_holds(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const float few[3] = {1, 2, 3};
    size_t size = fed_piece_pack(piece, FED_ENC_F32, few, 3, 0);
    check_int(size, 8 + 12);
    fed_encoding enc;
    const uint8_t *values;
    uint32_t n;
    check_ok(fed_piece_parse(piece, size, &enc, &values, &n, &err), err);
    check_int(enc, FED_ENC_F32);
    check_int(n, 3);
    check_bytes(values, few, sizeof few);

    // Every head but the right one is refused, whatever bit is wrong.
    for (int bit = 0; bit < 64; bit++) {
        piece[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_fails(fed_piece_parse(piece, size, &enc, &values, &n, &err), FL_EFORMAT);
        piece[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        check_fails(fed_piece_parse(piece, cut, &enc, &values, &n, &err), FL_EFORMAT);
    }
    check_fails(fed_piece_parse(piece, FED_PIECE_BYTES + 4, &enc, &values, &n, &err), FL_EFORMAT);
    memset(piece, 0, 8);  // no values at all
    check_fails(fed_piece_parse(piece, 8, &enc, &values, &n, &err), FL_EFORMAT);
}

static void sizes_follow_from_the_number_of_items(void **state)
{
    (void)state;
    check_int(fed_pieces_of(FED_ENC_F32, 0), 0);
    check_int(fed_pieces_of(FED_ENC_F32, 1), 1);
    check_int(fed_pieces_of(FED_ENC_F32, FED_PIECE_VALUES), 1);
    check_int(fed_pieces_of(FED_ENC_F32, FED_PIECE_VALUES + 1), 2);
    check_int(fed_pieces_of(FED_ENC_BYTES, 4 * FED_PIECE_VALUES), 1);
    check_int(fed_piece_bytes_of(FED_ENC_F32, 0), 0);
    check_int(fed_piece_bytes_of(FED_ENC_F32, FED_PIECE_VALUES + 1),
              2 * 8 + 4 * (FED_PIECE_VALUES + 1));
    check_int(fed_piece_bytes_of(FED_ENC_BYTES, 10), 18);
}

// ------------------------------------------------------------------- bfloat16

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* To nearest, ties to even; expected bits by hand (IEEE 754 rounding of the lower half). */
static void rounding_is_to_nearest_with_ties_to_even(void **state)
{
    (void)state;
    static const uint32_t cases[][2] = {
        {0x3f800000, 0x3f800000}, {0x3f808000, 0x3f800000}, {0x3f808001, 0x3f810000},
        {0x3f818000, 0x3f820000}, {0x3f817fff, 0x3f810000}, {0xbf808001, 0xbf810000},
        {0x3fffffff, 0x40000000}, {0x00000000, 0x00000000}, {0x80000000, 0x80000000},
        {0x00008000, 0x00000000}, {0x00018000, 0x00020000}, {0x7f7f7fff, 0x7f7f0000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float x = from_bits(cases[i][0]), before = x, rest = 1;
        fed_bf16_round(&x, &rest, 1);
        float wanted = from_bits(cases[i][1]);
        check_bytes(&x, &wanted, sizeof x);
        check(x + rest == before);
    }
}

static void what_rounding_takes_is_exact_and_small(void **state)
{
    (void)state;
    enum { N = 10000 };
    float *x = fl_xcalloc(N, sizeof *x), *was = fl_xcalloc(N, sizeof *was),
          *rest = fl_xcalloc(N, sizeof *rest);
    fl_rng rng;
    fl_rng_init(&rng, 5, "bf16", "", 0);
    for (int i = 0; i < N; i++) {
        was[i] = x[i] = (float)(fl_rng_normal(&rng) * pow(10, (double)(i % 13) - 6));
    }
    fed_bf16_round(x, rest, N);
    for (int i = 0; i < N; i++) {
        check((double)x[i] + (double)rest[i] == (double)was[i]);
        check(fabs(rest[i]) <= fabs(was[i]) * 0x1p-8);
    }
    float *again = fl_xcalloc(N, sizeof *again);
    memcpy(again, x, N * sizeof *x);
    fed_bf16_round(again, rest, N);
    check_bytes(again, x, N * sizeof *x);  // what is rounded stays
    free(again);
    free(rest);
    free(was);
    free(x);
}

/* To nearest with ties to even, said in another way. */
static uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t low = bits & 0xffff, high = bits >> 16;
    bool up = low > 0x8000 || (low == 0x8000 && (high & 1) != 0);
    return (uint16_t)(high + up);
}

/* Lengths around whole blocks; places that are not aligned; values from random bits, ties too. */
static void wide_loops_round_pack_and_add_as_one_by_one(void **state)
{
    (void)state;
    enum { N = 64 * 5 + 63 };
    static float x[N + 1], y[N], rest[N], sum[N];
    static uint8_t packed[2 * N + 1], kept[2 * N];
    fl_rng rng;
    fl_rng_init(&rng, 6, "bf16", "", 0);
    for (int v = 0; v < FED_ACCUM_N_VARIANTS; v++) {
        if (!fed_accum_use((fed_accum_variant)v)) {
            continue;
        }
        for (int n = 0; n <= N; n += n < 140 ? 1 : 61) {
            for (int i = 0; i < n; i++) {
                uint32_t bits = (uint32_t)fl_rng_u64(&rng);
                bits = i % 5 == 0 ? (bits & 0xffff0000u) | 0x8000 : bits;
                bits = (bits >> 23 & 0xff) >= 0xfe ? bits & 0x7fffff : bits;  // stays finite
                x[i + 1] = y[i] = from_bits(bits);
            }
            fed_bf16_round(x + 1, rest, n);
            fed_bf16_pack(packed + 1, x + 1, n);
            for (int i = 0; i < n; i++) {
                uint16_t half = half_of(y[i]), found;
                memcpy(&found, packed + 1 + 2 * i, sizeof found);
                check_int(found, half);
                float back = from_bits((uint32_t)half << 16), left = y[i] - back;
                check_bytes(&x[i + 1], &back, sizeof back);
                check_bytes(&rest[i], &left, sizeof left);
                sum[i] = y[i] + back;
            }
            memcpy(kept, packed + 1, 2 * (size_t)n);
            fed_bf16_add(y, packed + 1, n);
            check_bytes(y, sum, (size_t)n * sizeof *y);
            fed_bf16_widen(y, kept, n);
            check_bytes(y, x + 1, (size_t)n * sizeof *y);
            fed_bf16_round(y, NULL, n);
            check_bytes(y, x + 1, (size_t)n * sizeof *y);
        }
    }
    for (int v = FED_ACCUM_N_VARIANTS - 1; !fed_accum_use((fed_accum_variant)v); v--) {
    }
}

static void a_rounded_vector_travels_in_half_the_bytes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object model = object_new(FED_ENC_F32, 10 * FED_PIECE_VALUES + 5);
    uint64_t whole = model.n_bytes;
    fed_bf16_round(model.items, NULL, (int64_t)model.n);
    model.enc = FED_ENC_BF16;
    fed_object_digest(&model.digest, model.enc, model.items, model.n, &model.n_bytes,
                      &model.n_pieces);
    check_int(model.n_pieces, 11);
    check_int(2 * model.n_bytes - 11 * FED_PIECE_HEAD, whole);
    fed_tree one_by_one;  // the digest does not depend on how pieces are put together
    fed_digest digest;
    fed_tree_init(&one_by_one, model.n_bytes, model.n_pieces);
    fed_inbox *inbox = NULL, *small = NULL;
    check_ok(fed_inbox_new(&inbox, &model.digest, fed_piece_bytes_of(FED_ENC_F32, model.n), &err),
             err);
    for (uint32_t i = 0; i < model.n_pieces; i++) {
        size_t n = fed_piece_pack(piece, model.enc, model.items, model.n, i);
        check_int(n, i < 10 ? fed_full_piece(FED_ENC_BF16) : FED_PIECE_HEAD + 10);
        fed_tree_add(&one_by_one, piece, n);
        check_ok(fed_inbox_add(inbox, i, model.n_pieces, model.n_bytes, piece, n, &err), err);
    }
    fed_tree_done(&one_by_one, &digest);
    check_bytes(&digest, &model.digest, sizeof digest);
    check(fed_inbox_done(inbox));
    fed_encoding enc;
    uint64_t n;
    const float *values = fed_inbox_items(inbox, &enc, &n);
    check_int(enc, FED_ENC_BF16);
    check_int(n, model.n);
    check_bytes(values, model.items, n * sizeof(float));
    // A limit is on what it takes in memory: half the bytes are no way around it.
    check_ok(fed_inbox_new(&small, &model.digest, fed_piece_bytes_of(FED_ENC_F32, model.n / 2),
                           &err),
             err);
    check_fails(send_piece(small, &model, 0, &err), FL_ELIMIT);
    fed_inbox_destroy(&small);
    fed_inbox_destroy(&inbox);
    free(model.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_to_nearest_with_ties_to_even),
        cmocka_unit_test(what_rounding_takes_is_exact_and_small),
        cmocka_unit_test(wide_loops_round_pack_and_add_as_one_by_one),
        cmocka_unit_test(a_rounded_vector_travels_in_half_the_bytes),
        cmocka_unit_test(a_vector_travels_in_pieces_and_arrives_whole),
        cmocka_unit_test(digests_are_those_of_an_independent_program),
        cmocka_unit_test(a_job_is_named_by_the_digest_it_is_fetched_by),
        cmocka_unit_test(a_tree_that_did_not_come_as_announced_has_no_digest),
        cmocka_unit_test(repeats_and_gaps_are_ignored),
        cmocka_unit_test(an_inbox_is_used_again_for_the_next_object),
        cmocka_unit_test(other_bytes_than_asked_for_are_refused_at_the_end),
        cmocka_unit_test(lies_about_the_size_are_refused_before_memory_is_taken),
        cmocka_unit_test(an_object_has_one_encoding),
        cmocka_unit_test(a_piece_says_what_it_holds),
        cmocka_unit_test(sizes_follow_from_the_number_of_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
