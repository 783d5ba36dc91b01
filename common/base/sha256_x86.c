/*
 * sha256_x86.c - see sha256_x86.h
 *
 * The instructions hold the eight words in two registers as (A, B, E, F) and
 * (C, D, G, H), do two rounds each, and make the message schedule four words at
 * a time (Gulley et al., "Intel SHA Extensions", 2013).
 */
#include "base/sha256_x86.h"

#include "base/err.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

/* CPUID may cost microseconds under a hypervisor, so it is asked once. */
bool fl_sha256_x86_can(void)
{
    enum { UNKNOWN, NO, YES };
    static atomic_int known = UNKNOWN;
    unsigned a, b, c, d;
    int was = atomic_load_explicit(&known, memory_order_relaxed);
    if (was != UNKNOWN) {
        return was == YES;
    }
    bool sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
    bool sse = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0 && (c & bit_SSSE3) != 0;
    atomic_store_explicit(&known, sha && sse ? YES : NO, memory_order_relaxed);
    return sha && sse;
}

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

__attribute__((target("sha,sse4.1,ssse3"))) void
fl_sha256_x86_blocks(uint32_t state[static 8], const uint8_t *blocks, size_t n)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; n > 0; n--, blocks += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
#pragma GCC unroll 16
        for (int g = 0; g < 16; g++) {  // rounds 4 g .. 4 g + 3
            __m128i *now = &w[g % 4];
            if (g < 4) {
                *now = _mm_loadu_si128((const __m128i *)(const void *)(blocks + 16 * g));
                *now = _mm_shuffle_epi8(*now, swap);
            } else {
                __m128i last = w[(g + 3) % 4];
                __m128i sum = _mm_sha256msg1_epu32(*now, w[(g + 1) % 4]);
                sum = _mm_add_epi32(sum, _mm_alignr_epi8(last, w[(g + 2) % 4], 4));
                *now = _mm_sha256msg2_epu32(sum, last);
            }
            __m128i k = _mm_loadu_si128((const __m128i *)(const void *)(round_constants + 4 * g));
            k = _mm_add_epi32(k, *now);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#else

bool fl_sha256_x86_can(void)
{
    return false;
}

void fl_sha256_x86_blocks(uint32_t state[static 8], const uint8_t *blocks, size_t n)
{
    (void)state;
    (void)blocks;
    (void)n;
    FL_REQUIRE(false);
}

#endif
