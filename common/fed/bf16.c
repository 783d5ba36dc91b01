/*
 * bf16.c - see bf16.h
 *
 * Loops of a fixed length, which the compiler turns into vector code for any target, and
 * what is left behind the last whole block one by one.  They are compiled as accum.c's are.
 */
#include "fed/bf16.h"

#include <string.h>

#include "base/err.h"
#include "fed/accum.h"

enum { BLOCK = 64 };  // elements; a constant trip count vectorises at -O2

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t half_at(const uint8_t *in, int64_t i)
{
    uint16_t half;
    memcpy(&half, in + 2 * i, sizeof half);
    return (uint32_t)half << 16;
}

INLINE float rounded(float x)
{
    uint32_t bits = bits_of(x);
    bits += 0x7fff + (bits >> 16 & 1);
    return float_of(bits & 0xffff0000u);
}

INLINE void round_some(float *restrict x, float *restrict rest, int n)
{
    for (int i = 0; i < n; i++) {
        float y = rounded(x[i]);
        rest[i] = x[i] - y;
        x[i] = y;
    }
}

INLINE void round_alone(float *x, int n)
{
    for (int i = 0; i < n; i++) {
        x[i] = rounded(x[i]);
    }
}

/* Returns the lower halves, which are zero. */
INLINE uint32_t pack_some(uint8_t *restrict out, const float *restrict x, int n)
{
    uint16_t half[BLOCK];
    uint32_t low = 0;
    for (int i = 0; i < n; i++) {
        half[i] = (uint16_t)(bits_of(x[i]) >> 16);
    }
    for (int i = 0; i < n; i++) {
        low |= bits_of(x[i]);
    }
    memcpy(out, half, sizeof *half * (size_t)n);
    return low & 0xffff;
}

INLINE void widen_some(float *restrict out, const uint8_t *restrict in, int n)
{
    for (int i = 0; i < n; i++) {
        out[i] = float_of(half_at(in, i));
    }
}

INLINE void add_some(float *restrict x, const uint8_t *restrict in, int n)
{
    for (int i = 0; i < n; i++) {
        x[i] += float_of(half_at(in, i));
    }
}

INLINE void round_all(float *x, float *rest, int64_t n)
{
    int64_t i = 0;
    for (; rest != NULL && i + BLOCK <= n; i += BLOCK) {
        round_some(x + i, rest + i, BLOCK);
    }
    for (; rest == NULL && i + BLOCK <= n; i += BLOCK) {
        round_alone(x + i, BLOCK);
    }
    for (; i < n; i++) {
        float y = rounded(x[i]);
        if (rest != NULL) {
            rest[i] = x[i] - y;
        }
        x[i] = y;
    }
}

INLINE uint32_t pack_all(uint8_t *out, const float *x, int64_t n)
{
    uint32_t low = 0;
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        low |= pack_some(out + 2 * i, x + i, BLOCK);
    }
    return low | pack_some(out + 2 * i, x + i, (int)(n - i));
}

INLINE void widen_all(float *out, const uint8_t *in, int64_t n)
{
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        widen_some(out + i, in + 2 * i, BLOCK);
    }
    widen_some(out + i, in + 2 * i, (int)(n - i));
}

INLINE void add_all(float *x, const uint8_t *in, int64_t n)
{
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        add_some(x + i, in + 2 * i, BLOCK);
    }
    add_some(x + i, in + 2 * i, (int)(n - i));
}

// ------------------------------------------------------------------ variants

typedef struct {
    void (*round)(float *x, float *rest, int64_t n);
    uint32_t (*pack)(uint8_t *out, const float *x, int64_t n);
    void (*widen)(float *out, const uint8_t *in, int64_t n);
    void (*add)(float *x, const uint8_t *in, int64_t n);
} loops;

#define VARIANT(name, target)                                                                      \
    target static void round_##name(float *x, float *rest, int64_t n)                              \
    {                                                                                              \
        round_all(x, rest, n);                                                                     \
    }                                                                                              \
    target static uint32_t pack_##name(uint8_t *out, const float *x, int64_t n)                    \
    {                                                                                              \
        return pack_all(out, x, n);                                                                \
    }                                                                                              \
    target static void widen_##name(float *out, const uint8_t *in, int64_t n)                      \
    {                                                                                              \
        widen_all(out, in, n);                                                                     \
    }                                                                                              \
    target static void add_##name(float *x, const uint8_t *in, int64_t n)                          \
    {                                                                                              \
        add_all(x, in, n);                                                                         \
    }                                                                                              \
    static const loops name = {round_##name, pack_##name, widen_##name, add_##name};

VARIANT(plain, )

#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#define AVX512 "avx512f,avx512bw"
#else
#define AVX512 "avx512f,avx512bw,prefer-vector-width=512"
#endif
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target(AVX512))))

static const loops *chosen(void)
{
    switch (fed_accum_variant_now()) {
    case FED_ACCUM_AVX512:
        return __builtin_cpu_supports("avx512bw") ? &avx512 : &avx2;
    case FED_ACCUM_AVX2:
        return &avx2;
    default:
        return &plain;
    }
}
#else
static const loops *chosen(void)
{
    return &plain;
}
#endif

void fed_bf16_round(float *x, float *rest, int64_t n)
{
    chosen()->round(x, rest, n);
}

void fed_bf16_pack(uint8_t *out, const float *x, int64_t n)
{
    uint32_t low = chosen()->pack(out, x, n);
    FL_REQUIRE(low == 0);  // rounded before
}

void fed_bf16_widen(float *out, const uint8_t *in, int64_t n)
{
    chosen()->widen(out, in, n);
}

void fed_bf16_add(float *x, const uint8_t *in, int64_t n)
{
    chosen()->add(x, in, n);
}
