/*
 * accum.h - sums that do not depend on order
 *
 * A contribution is added as integers: q = rint(w * d * 2^32) in int64
 * arithmetic mod 2^64, with integer weights that sum to at most 2^24 and
 * |d| < 2^7 for trainable kinds; running statistics use 2^16 and |d| < 2^23.
 * w * d * 2^32 is exact in double before rint for float32 d (24 + 24 bits), so
 * q is the same on every CPU, and integer addition commutes: same bits whatever
 * the order of arrival, threads or restarts.  One function encodes, for plain
 * sums and, later, for masked ones.
 */
#ifndef FED_ACCUM_H
#define FED_ACCUM_H

#include "fed/fed.h"

enum { FED_MAX_WEIGHT_SUM = 1 << 24 };

typedef enum { FED_SCALE_TRAINED, FED_SCALE_STAT } fed_scale;
double fed_scale_factor(fed_scale s); // 2^32 or 2^16
float fed_scale_limit(fed_scale s);   // 2^7 or 2^23

/* q[i] += encode(w, d[i]).  The weights added to one q sum to at most
 * FED_MAX_WEIGHT_SUM.  FL_EFORMAT, naming the first bad element, when a value
 * is not finite or out of range; q is then partly changed (check first with
 * fed_accum_check). */
fl_status fed_accum_add(int64_t *q, const float *d, int64_t n, uint32_t weight, fed_scale s, fl_err *err);
fl_status fed_accum_check(const float *d, int64_t n, fed_scale s, fl_err *err);
/*
 * out[i] = q[i] / (factor * weight_sum), in double and then rounded to float.
 * Against the exact weighted mean of n contributions the error is at most
 * n / (2 factor weight_sum) <= 2^-33 (trained) or 2^-17 (running statistics),
 * plus half a unit in the last place of the float.
 */
void fed_accum_mean(float *out, const int64_t *q, int64_t n, uint64_t weight_sum, fed_scale s);

/* The loops behind fed_accum_add and _check, compiled for wider registers; all give the same bits.
 * The widest that the CPU has is used unless a test says otherwise. */
typedef enum {
    FED_ACCUM_PLAIN,
    FED_ACCUM_AVX2,
    FED_ACCUM_AVX512,
    FED_ACCUM_N_VARIANTS
} fed_accum_variant;
bool fed_accum_use(fed_accum_variant v);  // false: this machine cannot
fed_accum_variant fed_accum_variant_now(void);

#endif
