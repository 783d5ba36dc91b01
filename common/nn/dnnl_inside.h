/*
 * dnnl_inside.h - what the files that know oneDNN share
 *
 * Internal to dnnl*.c.
 */
#ifndef NN_DNNL_INSIDE_H
#define NN_DNNL_INSIDE_H

#include <dnnl.h>

#include "nn/dnnl.h"

#define IS_V2 (DNNL_VERSION_MAJOR < 3)

struct nn_layout {
    dnnl_memory_desc_t md;
    nn_layout *next;  // in the list of everything nn_dnnl owns
};

struct nn_mem {
    dnnl_memory_t memory;
    nn_mem *next;
};

struct nn_prim {
    nn_dnnl *d;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    bool ignores_shift;                   // an argument that 2.x wants and 3.x refuses
    const nn_layout *layouts[NN_N_ARGS];  // those asked for so far
    dnnl_exec_arg_t args[NN_N_ARGS];
    int n_args;
    nn_prim *next;
};

struct nn_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;                     // scratchpad is ours
    dnnl_primitive_attr_t attr_relu;                // the same, with ReLU behind the operation
    dnnl_primitive_attr_t attr_sum, attr_sum_relu;  // added to what is there, then ReLU
    int threads;
    nn_type type;
    fl_err error;
    nn_layout *layouts;
    nn_mem *mems;
    nn_prim *prims;
};

/* A memory descriptor, borrowed. */
#if IS_V2
typedef const dnnl_memory_desc_t *nn_md;
#else
typedef const_dnnl_memory_desc_t nn_md;
#endif

nn_md nn_md_of(const nn_layout *l);  // NULL of NULL

/* Keeps the first failure; true when there is none so far. */
bool nn_dnnl_check(nn_dnnl *d, dnnl_status_t status, const char *what);
bool nn_dnnl_is_broken(const nn_dnnl *d);

/* A layout that the primitive is free to choose. */
const nn_layout *nn_layout_any(nn_dnnl *d, nn_type type, int rank, const int64_t *dims);

/* Takes pd, which a call that returned status made; what: "a convolution". */
nn_prim *nn_prim_finish(nn_dnnl *d, dnnl_primitive_desc_t pd, dnnl_status_t status,
                        const char *what);

#endif
