/*
 * eight.h - eight numbers at a time
 *
 * For kernels of ours whose choices the compiler's vectoriser does not see
 * through.  GCC's and Clang's vector types translate to whatever registers there
 * are; blocks of channels are a multiple of eight wide and aligned to that.
 * Internal to nn/.
 */
#ifndef NN_EIGHT_H
#define NN_EIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wide.h"

typedef float nn_f8 __attribute__((vector_size(32), may_alias));
typedef int32_t nn_i8 __attribute__((vector_size(32), may_alias));
typedef uint32_t nn_u8x32 __attribute__((vector_size(32), may_alias));
typedef uint16_t nn_u8x16 __attribute__((vector_size(16), may_alias));
typedef uint8_t nn_u8x8 __attribute__((vector_size(8), may_alias));

/* yes where mask is -1, no where it is 0. */
#define nn_select(mask, yes, no) \
    ((nn_f8)(((nn_i8)(mask) & (nn_i8)(yes)) | (~(nn_i8)(mask) & (nn_i8)(no))))

/* Numbers i to i + 7 of x, float32 or bfloat16, which is float32's upper half. */
FL_WIDE_PART void nn_load8(nn_f8 *out, const void *x, int64_t i, bool bf16)
{
    if (bf16) {
        const nn_u8x16 *upper = (const void *)((const uint16_t *)x + i);
        *out = (nn_f8)(__builtin_convertvector(*upper, nn_u8x32) << 16);
    } else {
        *out = *(const nn_f8 *)((const float *)x + i);
    }
}

/* The reverse, rounded to the nearest, ties to even; a NaN stays one. */
FL_WIDE_PART void nn_store8(void *x, int64_t i, const nn_f8 *v, bool bf16)
{
    if (bf16) {
        nn_u8x32 bits = (nn_u8x32)*v, nan = (nn_u8x32)(*v != *v);
        nn_u8x32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        rounded = (nan & 0x7fc0) | (~nan & rounded);
        nn_u8x16 *upper = (void *)((uint16_t *)x + i);
        *upper = __builtin_convertvector(rounded, nn_u8x16);
    } else {
        *(nn_f8 *)((float *)x + i) = *v;
    }
}

#endif
