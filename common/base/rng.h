/*
 * rng.h - random numbers from named streams, never from a global
 *
 * Experiments must repeat: every random decision draws from a stream that is
 * named by (seed, purpose, site, round), and two different names give
 * independent streams whatever the order they are used in.  The source is
 * libsodium's ChaCha20 generator keyed by BLAKE2b of the name.  Secrets and
 * privacy noise never come from here (fed/ uses the system's generator).
 * Threads: a stream belongs to one thread.
 */
#ifndef FL_RNG_H
#define FL_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    unsigned char key[32];     // BLAKE2b of the stream's name
    uint64_t block;            // next ChaCha20 block of 512 bytes
    unsigned used;             // bytes used of buf
    double spare;              // second normal of a pair
    int has_spare;
    unsigned char buf[512];
} fl_rng;

/* purpose: "init", "shuffle", "dropout" ...; site may be "" ; round may be 0. */
void fl_rng_init(fl_rng *r, uint64_t seed, const char *purpose,
                 const char *site, uint64_t round);

uint64_t fl_rng_u64(fl_rng *r);
double fl_rng_uniform(fl_rng *r);                 // [0, 1), 53 bits
double fl_rng_range(fl_rng *r, double lo, double hi);
uint64_t fl_rng_below(fl_rng *r, uint64_t n);     // [0, n), n > 0, unbiased
double fl_rng_normal(fl_rng *r);                  // mean 0, variance 1 (polar method)
double fl_rng_gamma(fl_rng *r, double shape);     // scale 1 (Marsaglia & Tsang 2000)
uint64_t fl_rng_poisson(fl_rng *r, double mean);
/* Fisher-Yates on n indices. */
void fl_rng_shuffle(fl_rng *r, size_t *index, size_t n);
/* n float32 in [0, 1), 24 bits each: masks of dropout. */
void fl_rng_fill_uniform(fl_rng *r, float *out, size_t n);

#endif
