/*
 * blake2b_x86.h - eight BLAKE2b digests side by side
 *
 * A tree digest's pieces are hashed each for itself, so eight fit the lanes of
 * AVX-512: five times libsodium's speed on one.  For hash.c alone.
 */
#ifndef FL_BLAKE2B_X86_H
#define FL_BLAKE2B_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FL_BLAKE2B_LANES = 8, FL_BLAKE2B_BLOCK = 128 };

bool fl_blake2b_x86_can(void);  // AVX-512
/*
 * out[i]: BLAKE2b-256 (RFC 7693) with key (n_key <= 64 bytes) of head and, behind it, bytes[i].
 * n_head < 128; n_head + n > 0.  Only where it can.
 */
void fl_blake2b_x86(uint8_t (*out)[32], const void *key, size_t n_key, const void *head,
                    size_t n_head, const uint8_t *const bytes[static FL_BLAKE2B_LANES], size_t n);

#endif
