/*
 * accum.c - see accum.h
 *
 * encode() is the definition.  The loops below work on blocks of a fixed
 * length with a form of it that has no branch and no double-to-int64
 * instruction (which x86 lacks before AVX-512), so that the compiler turns
 * them into vector code for any target.  They are compiled for AVX2 and AVX-512
 * too; which one is run is chosen at the first call, or by a test, which holds
 * each against the plain one and against encode().
 */
#include "fed/accum.h"

#include <math.h>
#include <stdatomic.h>

enum { BLOCK = 64 };  // elements; a constant trip count vectorises at -O2

double fed_scale_factor(fed_scale s)
{
    return s == FED_SCALE_TRAINED ? 0x1p32 : 0x1p16;
}

float fed_scale_limit(fed_scale s)
{
    return s == FED_SCALE_TRAINED ? 0x1p7f : 0x1p23f;
}

/* rint(w * d * factor); exact before rint, see accum.h. */
static int64_t encode(double w, float d, double factor)
{
    return (int64_t)rint(w * d * factor);
}

/*
 * q[i] += encode(w, d[i]) for a block.
 *
 * x = w * d * factor is split into high * 2^32 + low, both small enough that
 * adding 1.5 * 2^52 leaves them, rounded half to even, in the low bits of the
 * double.  high * 2^32 is even, so rounding low rounds x the same way.
 */
static inline __attribute__((always_inline)) void add_block(int64_t *restrict q,
                                                            const float *restrict d, double w,
                                                            double factor)
{
    const double magic = 0x1.8p52;
    for (int i = 0; i < BLOCK; i++) {
        double x = w * d[i] * factor;
        double high = x * 0x1p-32 + magic;
        double low = x - (high - magic) * 0x1p32 + magic;
        uint64_t high_bits, low_bits, magic_bits;
        memcpy(&high_bits, &high, 8);
        memcpy(&low_bits, &low, 8);
        memcpy(&magic_bits, &magic, 8);
        uint64_t sum = (uint64_t)q[i] + ((high_bits - magic_bits) << 32) + (low_bits - magic_bits);
        q[i] = (int64_t)sum;
    }
}

/* Are all of a block's values finite and below the limit? */
static inline __attribute__((always_inline)) bool block_fits(const float *d, float limit)
{
    int n_bad = 0;
    for (int i = 0; i < BLOCK; i++) {
        n_bad += !(fabsf(d[i]) < limit);  // a NaN compares false
    }
    return n_bad == 0;
}

/* Adds whole blocks until one does not fit; returns the elements that were added.  q NULL: only
 * looks. */
static inline __attribute__((always_inline)) int64_t run_blocks(int64_t *q, const float *d,
                                                                int64_t n, double w, double factor,
                                                                float limit)
{
    int64_t i = 0;
    for (; i + BLOCK <= n && block_fits(d + i, limit); i += BLOCK) {
        if (q != NULL) {
            add_block(q + i, d + i, w, factor);
        }
    }
    return i;
}

// ------------------------------------------------------------------ variants

typedef int64_t (*blocks_fn)(int64_t *q, const float *d, int64_t n, double w, double factor,
                             float limit);

static int64_t blocks_plain(int64_t *q, const float *d, int64_t n, double w, double factor,
                            float limit)
{
    return run_blocks(q, d, n, w, factor, limit);
}

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_VARIANTS 1
__attribute__((target("avx2"))) static int64_t blocks_avx2(int64_t *q, const float *d, int64_t n,
                                                           double w, double factor, float limit)
{
    return run_blocks(q, d, n, w, factor, limit);
}

#ifdef __clang__
#define AVX512 "avx512f"
#else
#define AVX512 "avx512f,prefer-vector-width=512"
#endif
__attribute__((target(AVX512))) static int64_t
blocks_avx512(int64_t *q, const float *d, int64_t n, double w, double factor, float limit)
{
    return run_blocks(q, d, n, w, factor, limit);
}
#else
#define HAS_VARIANTS 0
#define blocks_avx2 blocks_plain
#define blocks_avx512 blocks_plain
#endif

static const blocks_fn blocks_of[FED_ACCUM_N_VARIANTS] = {
    [FED_ACCUM_PLAIN] = blocks_plain,
    [FED_ACCUM_AVX2] = blocks_avx2,
    [FED_ACCUM_AVX512] = blocks_avx512,
};

static atomic_int chosen = FED_ACCUM_N_VARIANTS;  // nothing chosen yet

static bool can_run(fed_accum_variant v)
{
#if HAS_VARIANTS
    __builtin_cpu_init();
    return v == FED_ACCUM_PLAIN || (v == FED_ACCUM_AVX2 && __builtin_cpu_supports("avx2")) ||
           (v == FED_ACCUM_AVX512 && __builtin_cpu_supports("avx512f"));
#else
    return v == FED_ACCUM_PLAIN;
#endif
}

bool fed_accum_use(fed_accum_variant v)
{
    if (!can_run(v)) {
        return false;
    }
    atomic_store(&chosen, (int)v);
    return true;
}

fed_accum_variant fed_accum_variant_now(void)
{
    int v = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (v == FED_ACCUM_N_VARIANTS) {
        v = FED_ACCUM_AVX512;
        while (!fed_accum_use((fed_accum_variant)v)) {
            v--;
        }
    }
    return (fed_accum_variant)v;
}

static blocks_fn blocks(void)
{
    return blocks_of[fed_accum_variant_now()];
}

// ------------------------------------------------------------------ checking, adding

static fl_status value_fits(const float *d, int64_t i, float limit, fl_err *err)
{
    if (fabsf(d[i]) < limit) {
        return FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "value %lld is %g, expected a number between -%g and %g",
                   (long long)i, (double)d[i], (double)limit, (double)limit);
}

fl_status fed_accum_check(const float *d, int64_t n, fed_scale s, fl_err *err)
{
    float limit = fed_scale_limit(s);
    for (int64_t i = blocks()(NULL, d, n, 0, 0, limit); i < n; i++) {
        // The block with the bad value, or the tail.
        fl_status st = value_fits(d, i, limit, err);
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

fl_status fed_accum_add(int64_t *q, const float *d, int64_t n, uint32_t weight, fed_scale s,
                        fl_err *err)
{
    FL_REQUIRE(weight <= FED_MAX_WEIGHT_SUM);
    double factor = fed_scale_factor(s);
    float limit = fed_scale_limit(s);
    for (int64_t i = blocks()(q, d, n, weight, factor, limit); i < n; i++) {
        fl_status st = value_fits(d, i, limit, err);
        if (st != FL_OK) {
            return st;
        }
        q[i] = (int64_t)((uint64_t)q[i] + (uint64_t)encode(weight, d[i], factor));
    }
    return FL_OK;
}

void fed_accum_mean(float *out, const int64_t *q, int64_t n, uint64_t weight_sum, fed_scale s)
{
    FL_REQUIRE(weight_sum > 0 && weight_sum <= FED_MAX_WEIGHT_SUM);
    double unit = fed_scale_factor(s) * (double)weight_sum;  // exact
    for (int64_t i = 0; i < n; i++) {
        out[i] = (float)((double)q[i] / unit);
    }
}
