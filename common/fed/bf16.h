/*
 * bf16.h - bfloat16, the upper half of a float32
 *
 * A vector that travels as bfloat16 lies in memory as float32 whose lower halves are zero:
 * rounding and packing are two steps.  The loops are compiled for wider registers too and give
 * the same bits (fed_accum_use chooses for a test).  Plain arithmetic; any thread.
 */
#ifndef FED_BF16_H
#define FED_BF16_H

#include <stdint.h>

/*
 * Rounds x in place to bfloat16, to nearest with ties to even (as IEEE 754 rounds).  rest
 * (optional): what that took, exactly; n values that do not overlap x.  x: finite.
 */
void fed_bf16_round(float *x, float *rest, int64_t n);

/* n rounded values to 2 n bytes, little-endian.  One that was not rounded is our own mistake. */
void fed_bf16_pack(uint8_t *out, const float *x, int64_t n);
/* 2 n bytes to n values. */
void fed_bf16_widen(float *out, const uint8_t *in, int64_t n);
/* x[i] += value i of in. */
void fed_bf16_add(float *x, const uint8_t *in, int64_t n);

#endif
