/*
 * sha256_x86.h - SHA-256's inner step with the CPU's own instructions
 *
 * libsodium's is plain C: 160 MB/s where the instructions reach 1100, and a model
 * is hashed at every site in every round.  For hash.c alone, which leaves all
 * but whole blocks to libsodium.
 */
#ifndef FL_SHA256_X86_H
#define FL_SHA256_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Has this CPU the instructions (SHA, SSE4.1)?  false on other machines. */
bool fl_sha256_x86_can(void);
/* FIPS 180-4, 6.2.2 for n blocks of 64 bytes; state: H0 .. H7.  Only where it can. */
void fl_sha256_x86_blocks(uint32_t state[static 8], const uint8_t *blocks, size_t n);

#endif
