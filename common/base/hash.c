/*
 * hash.c - see hash.h
 *
 * libsodium's states live inside our opaque bytes, so that hash.h need not
 * include sodium.h.
 */
#include "base/hash.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/blake2b_x86.h"
#include "base/mem.h"
#include "base/sha256_x86.h"

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(fl_sha256), "size");
_Static_assert(sizeof(crypto_generichash_state) <= sizeof(fl_blake2b), "size");
_Static_assert(_Alignof(crypto_hash_sha256_state) <= _Alignof(fl_sha256), "alignment");
_Static_assert(_Alignof(crypto_generichash_state) <= _Alignof(fl_blake2b), "alignment");
_Static_assert(FL_SHA256_BYTES == crypto_hash_sha256_BYTES, "size");

enum { FILE_PIECE = 64 * 1024 };  // bytes read at a time

static crypto_hash_sha256_state *sha256_of(fl_sha256 *h)
{
    return (crypto_hash_sha256_state *)(void *)h->opaque;
}

static crypto_generichash_state *blake2b_of(fl_blake2b *h)
{
    return (crypto_generichash_state *)(void *)h->opaque;
}

void fl_sha256_init(fl_sha256 *h)
{
    crypto_hash_sha256_init(sha256_of(h));
}

/* Whole blocks of a long stretch go to the CPU's own instructions, where it has them. */
void fl_sha256_add(fl_sha256 *h, const void *bytes, size_t n)
{
    enum { BLOCK = 64, LONG = 4 * BLOCK };
    crypto_hash_sha256_state *state = sha256_of(h);
    const uint8_t *at = bytes;
    if (n >= LONG && fl_sha256_x86_can()) {
        size_t begun = (size_t)(state->count >> 3) % BLOCK;  // bits so far
        size_t fill = begun > 0 ? BLOCK - begun : 0;
        crypto_hash_sha256_update(state, at, fill);
        size_t n_blocks = (n - fill) / BLOCK;
        fl_sha256_x86_blocks(state->state, at + fill, n_blocks);
        state->count += (uint64_t)n_blocks * BLOCK << 3;
        at += fill + n_blocks * BLOCK;
        n -= fill + n_blocks * BLOCK;
    }
    crypto_hash_sha256_update(state, at, n);
}

void fl_sha256_done(fl_sha256 *h, uint8_t out[static FL_SHA256_BYTES])
{
    crypto_hash_sha256_final(sha256_of(h), out);
}

fl_status fl_sha256_file(uint8_t out[static FL_SHA256_BYTES], const char *path, fl_err *err)
{
    memset(out, 0, FL_SHA256_BYTES);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fl_fail_errno(err, errno, path);
    }
    fl_sha256 hash;
    fl_sha256_init(&hash);
    unsigned char piece[FILE_PIECE];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0) {
        fl_sha256_add(&hash, piece, n);
    }
    fl_status st = FL_OK;
    if (ferror(file)) {
        st = fl_fail_errno(err, errno, path);
    } else {
        fl_sha256_done(&hash, out);
    }
    fclose(file);
    return st;
}

/* Keys have at least 16 bytes, so the label is padded with zeros. */
enum { LABEL_BYTES = 16 };
_Static_assert(LABEL_BYTES >= crypto_generichash_KEYBYTES_MIN, "key");

static void label_key(unsigned char key[static LABEL_BYTES], const char *label)
{
    size_t n = strlen(label);
    FL_REQUIRE(n > 0 && n <= LABEL_BYTES);
    memset(key, 0, LABEL_BYTES);
    memcpy(key, label, n);
}

void fl_blake2b_init(fl_blake2b *h, const char *label)
{
    unsigned char key[LABEL_BYTES];
    label_key(key, label);
    // Chooses the fastest code for this CPU; cheap when done before.
    FL_REQUIRE(sodium_init() >= 0);
    crypto_generichash_init(blake2b_of(h), key, sizeof key, FL_DIGEST_BYTES);
}

void fl_blake2b_add(fl_blake2b *h, const void *bytes, size_t n)
{
    crypto_generichash_update(blake2b_of(h), bytes, n);
}

void fl_blake2b_done(fl_blake2b *h, uint8_t out[static FL_DIGEST_BYTES])
{
    crypto_generichash_final(blake2b_of(h), out, FL_DIGEST_BYTES);
}

void fl_blake2b_of(uint8_t out[static FL_DIGEST_BYTES], const char *label, const void *bytes,
                   size_t n)
{
    fl_blake2b h;
    fl_blake2b_init(&h, label);
    fl_blake2b_add(&h, bytes, n);
    fl_blake2b_done(&h, out);
}

void fl_blake2b_many(uint8_t (*out)[FL_DIGEST_BYTES], const char *label, const void *head,
                     size_t n_head, const uint8_t *const *bytes, size_t n_bytes, size_t n)
{
    unsigned char key[LABEL_BYTES];
    label_key(key, label);
    enum { WORTH = 3 };  // messages; with fewer the lanes are slower than one after the other
    size_t i = 0;
    while (n - i >= WORTH && n_head + n_bytes > 0 && fl_blake2b_x86_can()) {
        uint8_t digest[FL_BLAKE2B_LANES][FL_DIGEST_BYTES];
        const uint8_t *lane[FL_BLAKE2B_LANES];
        size_t here = n - i < FL_BLAKE2B_LANES ? n - i : FL_BLAKE2B_LANES;
        for (size_t k = 0; k < FL_BLAKE2B_LANES; k++) {
            lane[k] = bytes[i + (k < here ? k : 0)];
        }
        fl_blake2b_x86(digest, key, sizeof key, head, n_head, lane, n_bytes);
        memcpy(out + i, digest, here * sizeof *digest);
        i += here;
    }
    for (; i < n; i++) {
        fl_blake2b h;
        fl_blake2b_init(&h, label);
        fl_blake2b_add(&h, head, n_head);
        fl_blake2b_add(&h, bytes[i], n_bytes);
        fl_blake2b_done(&h, out[i]);
    }
}

void fl_hex(char *hex, const void *bytes, size_t n)
{
    sodium_bin2hex(hex, 2 * n + 1, bytes, n);
}

char *fl_hex_of(const void *bytes, size_t n)
{
    char *hex = fl_xcalloc(2 * n + 1, 1);
    fl_hex(hex, bytes, n);
    return hex;
}

fl_status fl_unhex(void *bytes, size_t n, const char *hex, fl_err *err)
{
    const char *end = NULL;
    size_t written = 0;
    memset(bytes, 0, n);
    if (strlen(hex) != 2 * n || sodium_hex2bin(bytes, n, hex, 2 * n, NULL, &written, &end) != 0 ||
        written != n || *end != '\0') {
        memset(bytes, 0, n);
        return fl_fail(err, FL_EFORMAT, "expected %zu hexadecimal digits", 2 * n);
    }
    return FL_OK;
}
