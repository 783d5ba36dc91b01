/*
 * rng.c - see rng.h
 *
 * A stream is ChaCha20's key stream (RFC 7539, with the original 64-bit
 * counter and a zero nonce) under a key that is the BLAKE2b digest of the
 * stream's name.
 */
#include "base/rng.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"

enum { CHACHA_BLOCK = 64 };  // bytes; the unit of ChaCha20's counter

_Static_assert(sizeof((fl_rng *)0)->key == crypto_stream_chacha20_KEYBYTES, "key");
_Static_assert(sizeof((fl_rng *)0)->key == FL_DIGEST_BYTES, "digest");

static void add_u64(fl_blake2b *h, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    fl_blake2b_add(h, bytes, sizeof bytes);
}

/* With its length, so that ("ab", "c") and ("a", "bc") differ. */
static void add_text(fl_blake2b *h, const char *text)
{
    add_u64(h, strlen(text));
    fl_blake2b_add(h, text, strlen(text));
}

void fl_rng_init(fl_rng *r, uint64_t seed, const char *purpose, const char *site, uint64_t round)
{
    fl_blake2b name;
    memset(r, 0, sizeof *r);
    fl_blake2b_init(&name, "consilium-rng-1");
    add_u64(&name, seed);
    add_text(&name, purpose);
    add_text(&name, site);
    add_u64(&name, round);
    fl_blake2b_done(&name, r->key);
    r->used = sizeof r->buf;
}

static void refill(fl_rng *r)
{
    static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
    memset(r->buf, 0, sizeof r->buf);
    crypto_stream_chacha20_xor_ic(r->buf, r->buf, sizeof r->buf, nonce,
                                  r->block * (sizeof r->buf / CHACHA_BLOCK), r->key);
    r->block++;
    r->used = 0;
}

/* n little-endian bytes as a number.  What is left of a block and too short
 * is dropped. */
static uint64_t next_bytes(fl_rng *r, unsigned n)
{
    if (sizeof r->buf - r->used < n) {
        refill(r);
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++) {
        value |= (uint64_t)r->buf[r->used + i] << (8 * i);
    }
    r->used += n;
    return value;
}

uint64_t fl_rng_u64(fl_rng *r)
{
    return next_bytes(r, 8);
}

double fl_rng_uniform(fl_rng *r)
{
    return (double)(fl_rng_u64(r) >> 11) * 0x1p-53;
}

double fl_rng_range(fl_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * fl_rng_uniform(r);
}

uint64_t fl_rng_below(fl_rng *r, uint64_t n)
{
    FL_REQUIRE(n > 0);
    // The first 2^64 mod n values would come up once more often than the rest.
    uint64_t biased = (UINT64_MAX - n + 1) % n;
    uint64_t value;
    do {
        value = fl_rng_u64(r);
    } while (value < biased);
    return value % n;
}

double fl_rng_normal(fl_rng *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    double x, y, s;  // a point in the unit disc, and its squared distance
    do {
        x = fl_rng_range(r, -1, 1);
        y = fl_rng_range(r, -1, 1);
        s = x * x + y * y;
    } while (s >= 1 || s == 0);
    double scale = sqrt(-2 * log(s) / s);
    r->spare = y * scale;
    r->has_spare = 1;
    return x * scale;
}

double fl_rng_gamma(fl_rng *r, double shape)
{
    FL_REQUIRE(shape > 0);
    if (shape < 1) {
        // 1 - uniform is in (0, 1], so the power is defined.
        double u = 1 - fl_rng_uniform(r);
        return fl_rng_gamma(r, shape + 1) * pow(u, 1 / shape);
    }
    double d = shape - 1.0 / 3.0;
    double c = 1 / sqrt(9 * d);
    for (;;) {
        double x = fl_rng_normal(r);
        double v = 1 + c * x;
        if (v <= 0) {
            continue;
        }
        v = v * v * v;
        double u = 1 - fl_rng_uniform(r);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) {
            return d * v;
        }
    }
}

/* log(k!): a sum below 10, Stirling's series above (error < 1e-9).  Not
 * lgamma(), which writes a global. */
static double log_factorial(double k)
{
    if (k < 10) {
        double sum = 0;
        for (double i = 2; i <= k; i++) {
            sum += log(i);
        }
        return sum;
    }
    double n = k + 1;
    return (n - 0.5) * log(n) - n + 0.91893853320467274178 +
           (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / (n * n)) / (n * n)) / n;
}

/* Counting arrivals; quick for few. */
static uint64_t poisson_small(fl_rng *r, double mean)
{
    double limit = exp(-mean);
    double product = fl_rng_uniform(r);
    uint64_t k = 0;
    while (product > limit) {
        product *= fl_rng_uniform(r);
        k++;
    }
    return k;
}

/* Transformed rejection, PTRS of Hoermann (1993), for a mean >= 10. */
static uint64_t poisson_large(fl_rng *r, double mean)
{
    double log_mean = log(mean);
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double inv_alpha = 1.1239 + 1.1328 / (b - 3.4);
    double v_r = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = fl_rng_uniform(r) - 0.5;
        double v = 1 - fl_rng_uniform(r);
        double us = 0.5 - fabs(u);
        if (us <= 0) {
            continue;
        }
        double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= v_r) {
            return (uint64_t)k;
        }
        if (k < 0 || (us < 0.013 && v > us)) {
            continue;
        }
        if (log(v) + log(inv_alpha) - log(a / (us * us) + b) <=
            -mean + k * log_mean - log_factorial(k)) {
            return (uint64_t)k;
        }
    }
}

uint64_t fl_rng_poisson(fl_rng *r, double mean)
{
    FL_REQUIRE(mean >= 0 && mean < 1e15);
    if (mean == 0) {
        return 0;
    }
    return mean < 10 ? poisson_small(r, mean) : poisson_large(r, mean);
}

void fl_rng_shuffle(fl_rng *r, size_t *index, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)fl_rng_below(r, i);
        size_t held = index[i - 1];
        index[i - 1] = index[j];
        index[j] = held;
    }
}

void fl_rng_fill_uniform(fl_rng *r, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)(next_bytes(r, 4) >> 8) * 0x1p-24F;
    }
}
