/*
 * hash.h - digests: SHA-256 for what people compare, BLAKE2b for the wire
 *
 * Thin over libsodium so that the training half can name a model without
 * knowing the federation's cryptography.
 */
#ifndef FL_HASH_H
#define FL_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { FL_SHA256_BYTES = 32, FL_DIGEST_BYTES = 32, FL_HEX_DIGEST = 65 };

/* Running SHA-256 (FIPS 180-4). */
typedef struct { _Alignas(16) unsigned char opaque[128]; } fl_sha256;
void fl_sha256_init(fl_sha256 *h);
void fl_sha256_add(fl_sha256 *h, const void *bytes, size_t n);
void fl_sha256_done(fl_sha256 *h, uint8_t out[static FL_SHA256_BYTES]);

/* SHA-256 of a file's bytes. */
fl_status fl_sha256_file(uint8_t out[static FL_SHA256_BYTES], const char *path, fl_err *err);

/* Running BLAKE2b-256 (RFC 7693), keyed by a context label of at most 16
 * characters so that no digest is valid for two purposes. */
typedef struct { _Alignas(64) unsigned char opaque[448]; } fl_blake2b;
void fl_blake2b_init(fl_blake2b *h, const char *label);
void fl_blake2b_add(fl_blake2b *h, const void *bytes, size_t n);
void fl_blake2b_done(fl_blake2b *h, uint8_t out[static FL_DIGEST_BYTES]);
void fl_blake2b_of(uint8_t out[static FL_DIGEST_BYTES], const char *label,
                   const void *bytes, size_t n);
/* out[i]: of head and, behind it, bytes[i], which has n_bytes, for i < n.  n_head < 128.  Several
 * at a time where the CPU can. */
void fl_blake2b_many(uint8_t (*out)[FL_DIGEST_BYTES], const char *label, const void *head,
                     size_t n_head, const uint8_t *const *bytes, size_t n_bytes, size_t n);

/* Lower-case hexadecimal.  hex has room for 2 * n + 1 characters. */
void fl_hex(char *hex, const void *bytes, size_t n);
/* The same as a text of its own, the caller's. */
char *fl_hex_of(const void *bytes, size_t n);
/* The inverse; FL_EFORMAT unless hex is exactly 2 * n hexadecimal digits. */
fl_status fl_unhex(void *bytes, size_t n, const char *hex, fl_err *err);

#endif
