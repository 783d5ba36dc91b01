/*
 * dnnl.h - the network primitives of oneDNN, behind types of our own
 *
 * dnnl.c and dnnl_prims.c alone know oneDNN's API, which differs between 2.x and
 * 3.x; both build.  A primitive is made for shapes, chooses the layouts it
 * likes best where it may, and says so; the plan then gives it memory in those
 * layouts.  Everything made with an nn_dnnl is freed with it, and the first
 * failure is kept in it: a call that failed returns NULL, calls that are given
 * a NULL primitive return NULL.
 * Threads: an nn_dnnl belongs to one thread at a time.  Internal to nn/.
 */
#ifndef NN_DNNL_H
#define NN_DNNL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/tensor.h"

typedef struct nn_dnnl nn_dnnl;      // engine, stream, and everything made with them
typedef struct nn_layout nn_layout;  // dimensions and how they lie in memory
typedef struct nn_prim nn_prim;      // an operation for given shapes and layouts
typedef struct nn_mem nn_mem;        // a layout at an address

/* The arguments of primitives. */
typedef enum {
    NN_SRC,
    NN_SRC_1,
    NN_DST,
    NN_WEIGHTS,
    NN_BIAS_ARG,
    NN_SCALE,
    NN_SHIFT,
    NN_MEAN,
    NN_VARIANCE,
    NN_DIFF_SRC,
    NN_DIFF_DST,
    NN_DIFF_WEIGHTS,
    NN_DIFF_BIAS,
    NN_DIFF_SCALE,
    NN_DIFF_SHIFT,
    NN_WORKSPACE,
    NN_SCRATCHPAD,
    NN_N_ARGS
} nn_arg;

typedef enum { NN_PASS_TRAIN, NN_PASS_INFER, NN_PASS_DATA_GRAD, NN_PASS_WEIGHT_GRAD } nn_pass;

/* Of the numbers in memory: bfloat16 has float32's range and 8 bits of its 24. */
typedef enum { NN_TYPE_F32, NN_TYPE_BF16, NN_TYPE_OTHER } nn_type;

/* threads: of every primitive, at creation and when run, until changed.
 * type: of activations and weights where a primitive chooses their layout;
 * biases, statistics and the gradients of parameters are float32 always. */
nn_dnnl *nn_dnnl_new(int threads, nn_type type);
void nn_dnnl_destroy(nn_dnnl **d);
/* What failed first; FL_OK when nothing did. */
const fl_err *nn_dnnl_error(const nn_dnnl *d);
/* Sets the calling thread's number of OpenMP threads to d's. */
void nn_dnnl_enter(const nn_dnnl *d);
/* "oneDNN 2.6.3, AVX-512 BF16" */
void nn_dnnl_text(char *out, size_t n);
/* Whether this CPU multiplies bfloat16 faster than float32. */
bool nn_dnnl_has_bf16(void);
bool nn_dnnl_has_amx(void);  // tiles of bfloat16
/* The type that d was made with. */
nn_type nn_dnnl_type(const nn_dnnl *d);

/* --- layouts: borrowed from d, or from the primitive asked */

/* Row-major, float32. */
const nn_layout *nn_layout_plain(nn_dnnl *d, int rank, const int64_t *dims);
/* Row-major for the dimensions in this order: {1, 0} is a transposed matrix.
 * float32. */
const nn_layout *nn_layout_permuted(nn_dnnl *d, int rank, const int64_t *dims, const int *order);
/* Channels in blocks as wide as a register (nChw16c), as most primitives like them.
 * float32. */
const nn_layout *nn_layout_blocked(nn_dnnl *d, int rank, const int64_t *dims);
int64_t nn_dnnl_block(void);  // channels of a block: 16 or 8
/* The same arrangement, or where there is none row-major, of numbers of a type. */
const nn_layout *nn_layout_typed(nn_dnnl *d, const nn_layout *l, nn_type type);
nn_type nn_layout_type(const nn_layout *l);
size_t nn_layout_bytes(const nn_layout *l);  // padding included
bool nn_layout_equal(const nn_layout *a, const nn_layout *b);

/* --- primitives */

/* The layout prim wants for an argument; NULL when it has no such argument. */
const nn_layout *nn_prim_layout(const nn_prim *prim, nn_arg arg);

/* y = reorder(x): the same numbers in another layout. */
nn_prim *nn_dnnl_reorder(nn_dnnl *d, const nn_layout *from, const nn_layout *to);

/* Convolution.  weight: (K, C/group, kernel...), or with group > 1
 * (group, K/group, C/group, kernel...). */
typedef struct {
    int n_spatial;  // 1 to 3
    int64_t src[5], weight[6], dst[5];
    int64_t group;
    int64_t stride[3], dilation[3], pad_begin[3], pad_end[3];  // dilation 1 = dense
    bool bias;
    bool sum;       // forward passes: y += conv + bias, onto what lies there
    bool relu;      // forward passes: and then y = max(0, y)
    bool winograd;  // try it; falls back to direct convolution
    bool f32_dst;   // forward passes: y is float32 whatever d's type
    bool f32;       // everything is; also where oneDNN has no sound kernel for d's type
} nn_conv_spec;
/* src: its layout, or NULL = any.  hint: the forward primitive, for gradients. */
nn_prim *nn_dnnl_conv(nn_dnnl *d, const nn_conv_spec *spec, nn_pass pass, const nn_layout *src,
                      const nn_prim *hint);

/* y = x W' + b; x (N, C) row-major, W (K, C), y (N, K) row-major.  weight: the
 * layout of W, or NULL = any; in float32 it is taken as it lies: on a few dozen
 * rows, the packing that oneDNN would like better costs more than it gains. */
typedef struct {
    int64_t N, C, K;
    bool bias, relu;
    bool f32_dst;  // as in nn_conv_spec
} nn_dense_spec;
nn_prim *nn_dnnl_dense(nn_dnnl *d, const nn_dense_spec *spec, nn_pass pass, const nn_layout *weight,
                       const nn_prim *hint);

typedef enum { NN_POOL_MAX, NN_POOL_AVERAGE, NN_POOL_AVERAGE_PADDED } nn_pool_kind;
typedef struct {
    nn_pool_kind kind;
    int n_spatial;
    int64_t dst[5];
    int64_t kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3];
} nn_pool_spec;
/* src: layout of the input, or with NN_PASS_DATA_GRAD of its gradient. */
nn_prim *nn_dnnl_pool(nn_dnnl *d, const nn_pool_spec *spec, nn_pass pass, const nn_layout *src,
                      const nn_prim *hint);

/* Functions of one number whose gradient follows from the result. */
typedef enum { NN_RELU, NN_SIGMOID } nn_function;
nn_prim *nn_dnnl_map(nn_dnnl *d, nn_function f, nn_pass pass, const nn_layout *src,
                     const nn_prim *hint);

/* Batch normalisation, optionally with ReLU behind it.  INFER uses running
 * statistics given as MEAN and VARIANCE; TRAIN computes them.  The gradient
 * primitive makes those of scale and shift too. */
typedef struct {
    double epsilon;
    bool relu;
} nn_norm_spec;
nn_prim *nn_dnnl_batch_norm(nn_dnnl *d, const nn_norm_spec *spec, nn_pass pass,
                            const nn_layout *src, const nn_prim *hint);

nn_prim *nn_dnnl_softmax(nn_dnnl *d, int axis, nn_pass pass, const nn_layout *src,
                         const nn_prim *hint);

/* dst = src + src_1, of dst's shape or broadcast to it; then ReLU. */
nn_prim *nn_dnnl_add(nn_dnnl *d, const nn_layout *src, const nn_layout *src_1,
                     const nn_layout *dst, bool relu);
/* dst = src summed over the dimensions where dst has 1. */
nn_prim *nn_dnnl_sum_over(nn_dnnl *d, const nn_layout *src, const nn_layout *dst);

/* --- running */

nn_mem *nn_mem_new(nn_dnnl *d, const nn_layout *l, void *data);
void nn_mem_point(nn_mem *m, void *data);
void nn_prim_bind(nn_prim *prim, nn_arg arg, nn_mem *m);
/* Waits for the end.  A failure here is a mistake of ours. */
void nn_prim_run(const nn_prim *prim);

#endif
