/*
 * blake2b_x86.c - see blake2b_x86.h
 *
 * RFC 7693's compression function with a vector of eight where it has a word.
 */
#include "base/blake2b_x86.h"

#include <string.h>

#include "base/err.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define WIDE __attribute__((target("avx512f")))

bool fl_blake2b_x86_can(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f");
}

static const uint64_t start_words[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t sigma[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

typedef struct {
    __m512i h[8];
    uint64_t done;  // bytes
} lanes;

WIDE static inline void mix(__m512i v[16], int a, int b, int c, int d, __m512i x, __m512i y)
{
    v[a] = _mm512_add_epi64(_mm512_add_epi64(v[a], v[b]), x);
    v[d] = _mm512_ror_epi64(_mm512_xor_si512(v[d], v[a]), 32);
    v[c] = _mm512_add_epi64(v[c], v[d]);
    v[b] = _mm512_ror_epi64(_mm512_xor_si512(v[b], v[c]), 24);
    v[a] = _mm512_add_epi64(_mm512_add_epi64(v[a], v[b]), y);
    v[d] = _mm512_ror_epi64(_mm512_xor_si512(v[d], v[a]), 16);
    v[c] = _mm512_add_epi64(v[c], v[d]);
    v[b] = _mm512_ror_epi64(_mm512_xor_si512(v[b], v[c]), 63);
}

/* A block of each lane; n: its bytes that count. */
WIDE static void compress(lanes *s, const uint8_t *const block[static FL_BLAKE2B_LANES], size_t n,
                          bool is_last)
{
    uint64_t places[FL_BLAKE2B_LANES];
    __m512i m[16], v[16];
    for (int i = 0; i < FL_BLAKE2B_LANES; i++) {
        places[i] = (uint64_t)(uintptr_t)block[i];
    }
    __m512i at = _mm512_loadu_si512(places);
    for (int i = 0; i < 16; i++) {
        m[i] = _mm512_i64gather_epi64(_mm512_add_epi64(at, _mm512_set1_epi64(8 * i)), NULL, 1);
    }
    s->done += n;
    for (int i = 0; i < 8; i++) {
        v[i] = s->h[i];
        v[8 + i] = _mm512_set1_epi64((long long)start_words[i]);
    }
    v[12] = _mm512_xor_si512(v[12], _mm512_set1_epi64((long long)s->done));
    v[14] = _mm512_xor_si512(v[14], _mm512_set1_epi64(is_last ? -1 : 0));
#pragma GCC unroll 12
    for (int r = 0; r < 12; r++) {
        const uint8_t *o = sigma[r];
        mix(v, 0, 4, 8, 12, m[o[0]], m[o[1]]);
        mix(v, 1, 5, 9, 13, m[o[2]], m[o[3]]);
        mix(v, 2, 6, 10, 14, m[o[4]], m[o[5]]);
        mix(v, 3, 7, 11, 15, m[o[6]], m[o[7]]);
        mix(v, 0, 5, 10, 15, m[o[8]], m[o[9]]);
        mix(v, 1, 6, 11, 12, m[o[10]], m[o[11]]);
        mix(v, 2, 7, 8, 13, m[o[12]], m[o[13]]);
        mix(v, 3, 4, 9, 14, m[o[14]], m[o[15]]);
    }
    for (int i = 0; i < 8; i++) {
        s->h[i] = _mm512_xor_si512(s->h[i], _mm512_xor_si512(v[i], v[8 + i]));
    }
}

WIDE static void start(lanes *s, const void *key, size_t n_key)
{
    uint8_t block[FL_BLAKE2B_BLOCK] = {0};
    const uint8_t *same[FL_BLAKE2B_LANES];
    for (int i = 0; i < 8; i++) {
        s->h[i] = _mm512_set1_epi64((long long)start_words[i]);
        same[i] = block;
    }
    s->h[0] = _mm512_xor_si512(s->h[0], _mm512_set1_epi64(0x01010020 ^ (long long)n_key << 8));
    s->done = 0;
    if (n_key > 0) {
        memcpy(block, key, n_key);
        compress(s, same, sizeof block, false);
    }
}

WIDE void fl_blake2b_x86(uint8_t (*out)[32], const void *key, size_t n_key, const void *head,
                         size_t n_head, const uint8_t *const bytes[static FL_BLAKE2B_LANES],
                         size_t n)
{
    FL_REQUIRE(n_key <= 64 && n_head < FL_BLAKE2B_BLOCK && n_head + n > 0);
    uint8_t edge[FL_BLAKE2B_LANES][FL_BLAKE2B_BLOCK];  // first or last block, put together
    const uint8_t *block[FL_BLAKE2B_LANES];
    lanes s;
    start(&s, key, n_key);
    size_t total = n_head + n;
    for (size_t at = 0; at < total; at += FL_BLAKE2B_BLOCK) {
        size_t here = total - at < FL_BLAKE2B_BLOCK ? total - at : FL_BLAKE2B_BLOCK;
        size_t skip = at == 0 ? n_head : 0;  // of the head
        size_t from = at == 0 ? 0 : at - n_head;
        bool is_plain = skip == 0 && here == FL_BLAKE2B_BLOCK;
        for (int i = 0; i < FL_BLAKE2B_LANES; i++) {
            block[i] = is_plain ? bytes[i] + from : edge[i];
            if (!is_plain) {
                memset(edge[i], 0, sizeof edge[i]);
                if (skip > 0) {  // head may be NULL
                    memcpy(edge[i], head, skip);
                }
                memcpy(edge[i] + skip, bytes[i] + from, here - skip);
            }
        }
        compress(&s, block, here, at + here == total);
    }
    for (int w = 0; w < 4; w++) {
        uint64_t word[FL_BLAKE2B_LANES];
        _mm512_storeu_si512(word, s.h[w]);
        for (int i = 0; i < FL_BLAKE2B_LANES; i++) {
            memcpy(out[i] + 8 * w, &word[i], 8);
        }
    }
}

#else

bool fl_blake2b_x86_can(void)
{
    return false;
}

void fl_blake2b_x86(uint8_t (*out)[32], const void *key, size_t n_key, const void *head,
                    size_t n_head, const uint8_t *const bytes[static FL_BLAKE2B_LANES], size_t n)
{
    (void)out, (void)key, (void)n_key, (void)head, (void)n_head, (void)bytes, (void)n;
    FL_REQUIRE(false);
}

#endif
