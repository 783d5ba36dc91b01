/*
 * eight.h - eight numbers at a time
 *
 * For kernels of ours whose choices the compiler's vectoriser does not see
 * through.  GCC's and Clang's vector types translate to whatever registers there
 * are; blocks of channels are eight or sixteen floats wide and aligned to them.
 * Internal to nn/.
 */
#ifndef NN_EIGHT_H
#define NN_EIGHT_H

#include <stdint.h>

typedef float nn_f8 __attribute__((vector_size(32), may_alias));
typedef int32_t nn_i8 __attribute__((vector_size(32), may_alias));
typedef uint8_t nn_u8 __attribute__((vector_size(8), may_alias));

/* yes where mask is -1, no where it is 0. */
#define nn_select(mask, yes, no) \
    ((nn_f8)(((nn_i8)(mask) & (nn_i8)(yes)) | (~(nn_i8)(mask) & (nn_i8)(no))))

#endif
