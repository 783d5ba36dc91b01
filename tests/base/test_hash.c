#include "check.h"

#include "base/hash.h"

static void a_digest_names_bytes(void **state)
{
    (void)state;
    fl_sha256 h;
    uint8_t digest[FL_SHA256_BYTES];
    char hex[FL_HEX_DIGEST];
    fl_sha256_init(&h);
    fl_sha256_add(&h, "a", 1);
    fl_sha256_add(&h, "bc", 2);
    fl_sha256_done(&h, digest);
    fl_hex(hex, digest, sizeof digest);
    // FIPS 180-4, example "abc"
    check_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* Pieces shorter than four blocks are libsodium's alone: the plain version. */
static void long_pieces_give_the_digest_of_short_ones(void **state)
{
    (void)state;
    uint8_t bytes[1500], fast[FL_SHA256_BYTES], plain[FL_SHA256_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i + (i >> 3));
    }
    for (size_t n = 0; n <= sizeof bytes; n += 1 + n % 7) {
        for (size_t first = 0; first <= n && first <= 130; first++) {
            fl_sha256 h;
            fl_sha256_init(&h);
            fl_sha256_add(&h, bytes, first);
            fl_sha256_add(&h, bytes + first, n - first);
            fl_sha256_done(&h, fast);
            fl_sha256_init(&h);
            for (size_t at = 0; at < n; at += 60) {
                fl_sha256_add(&h, bytes + at, n - at < 60 ? n - at : 60);
            }
            fl_sha256_done(&h, plain);
            check_bytes(fast, plain, sizeof fast);
        }
    }
}

static void a_million_letters(void **state)
{
    (void)state;
    fl_sha256 h;
    uint8_t digest[FL_SHA256_BYTES];
    char hex[FL_HEX_DIGEST], *letters = fl_xcalloc(1000000, 1);
    memset(letters, 'a', 1000000);
    fl_sha256_init(&h);
    fl_sha256_add(&h, letters, 1000000);
    fl_sha256_done(&h, digest);
    fl_hex(hex, digest, sizeof digest);
    // FIPS 180-4's third example
    check_str(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(letters);
}

static void a_file_has_the_digest_of_its_bytes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x");
    size_t n = 200000;  // more than one piece
    unsigned char *bytes = fl_xcalloc(n, 1);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (unsigned char)(i * 7);
    }
    uint8_t of_file[FL_SHA256_BYTES];
    uint8_t of_bytes[FL_SHA256_BYTES];
    check_fails(fl_sha256_file(of_file, path, &err), FL_ENOTFOUND);
    check_fails(fl_sha256_file(of_file, dir, &err), FL_EIO);
    check_ok(fl_file_write(path, bytes, n, 0644, &err), err);
    check_ok(fl_sha256_file(of_file, path, &err), err);
    fl_sha256 h;
    fl_sha256_init(&h);
    fl_sha256_add(&h, bytes, n);
    fl_sha256_done(&h, of_bytes);
    check_bytes(of_file, of_bytes, sizeof of_file);
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

static void blake2b_is_keyed_by_its_label(void **state)
{
    (void)state;
    uint8_t whole[FL_DIGEST_BYTES];
    uint8_t pieces[FL_DIGEST_BYTES];
    uint8_t other[FL_DIGEST_BYTES];
    char hex[FL_HEX_DIGEST];
    fl_blake2b_of(whole, "test", "abc", 3);
    fl_blake2b h;
    fl_blake2b_init(&h, "test");
    fl_blake2b_add(&h, "ab", 2);
    fl_blake2b_add(&h, "c", 1);
    fl_blake2b_done(&h, pieces);
    check_bytes(pieces, whole, sizeof whole);
    // Python: hashlib.blake2b(b"abc", digest_size=32, key=b"test".ljust(16, b"\0"))
    fl_hex(hex, whole, sizeof whole);
    check_str(hex, "0aef8bf7906f29aac023bb59117a26328e20b72e764516e0628d64e602a7a72d");
    fl_blake2b_of(other, "tesu", "abc", 3);
    check(memcmp(other, whole, sizeof whole) != 0);
    fl_blake2b_of(other, "a-label-of-16-ch", "abc", 3);
    check(memcmp(other, whole, sizeof whole) != 0);
}

static void many_digests_are_those_of_each_alone(void **state)
{
    (void)state;
    enum { MOST = 19, BYTES = 700 };
    static uint8_t text[MOST][BYTES];
    const uint8_t *bytes[MOST];
    uint8_t out[MOST][FL_DIGEST_BYTES], alone[FL_DIGEST_BYTES];
    for (size_t i = 0; i < MOST; i++) {
        bytes[i] = text[i];
        for (size_t k = 0; k < BYTES; k++) {
            text[i][k] = (uint8_t)(i * 31 + k * k + (k >> 4));
        }
    }
    for (size_t n_bytes = 0; n_bytes <= BYTES; n_bytes += 1 + n_bytes % 9) {
        for (size_t n_head = 0; n_head < 128; n_head += n_head == 8 ? 119 : n_head == 0 ? 8 : 1) {
            size_t n = 1 + (n_bytes + n_head) % MOST;
            fl_blake2b_many(out, "test", text[MOST - 1], n_head, bytes, n_bytes, n);
            for (size_t i = 0; i < n; i++) {
                fl_blake2b h;
                fl_blake2b_init(&h, "test");
                fl_blake2b_add(&h, text[MOST - 1], n_head);
                fl_blake2b_add(&h, bytes[i], n_bytes);
                fl_blake2b_done(&h, alone);
                check_bytes(out[i], alone, sizeof alone);
            }
        }
    }
}

static void hexadecimal_goes_both_ways(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const uint8_t bytes[4] = {0x00, 0x9f, 0xff, 0x10};
    uint8_t back[4];
    char hex[9];
    fl_hex(hex, bytes, sizeof bytes);
    check_str(hex, "009fff10");
    char *own = fl_hex_of(bytes, sizeof bytes);
    check_str(own, hex);
    free(own);
    check_ok(fl_unhex(back, 4, hex, &err), err);
    check_bytes(back, bytes, 4);
    check_ok(fl_unhex(back, 4, "009FFF10", &err), err);
    check_bytes(back, bytes, 4);
    static const char *const bad[] = {"",         "009fff1",  "009fff100",
                                      "009fff1g", "009fff 1", "00:9f:ff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(fl_unhex(back, 4, bad[i], &err), FL_EFORMAT);
        check_bytes(back, "\0\0\0\0", 4);
    }
    check_str(err.text, "expected 8 hexadecimal digits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_names_bytes),
        cmocka_unit_test(long_pieces_give_the_digest_of_short_ones),
        cmocka_unit_test(a_million_letters),
        cmocka_unit_test(a_file_has_the_digest_of_its_bytes),
        cmocka_unit_test(blake2b_is_keyed_by_its_label),
        cmocka_unit_test(many_digests_are_those_of_each_alone),
        cmocka_unit_test(hexadecimal_goes_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
