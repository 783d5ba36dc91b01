/*
 * dnnl.c - oneDNN 2.x and 3.x behind dnnl.h
 *
 * The two generations differ in two things.  2.x describes an operation in a
 * struct that a second call turns into a primitive descriptor, 3.x does both
 * at once; and a memory descriptor is a struct in 2.x, a handle in 3.x.  The
 * first part of this file hides the second difference, the `describe_...`
 * functions the first.
 */
#include "nn/dnnl.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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

/* oneDNN brings its OpenMP runtime along, and which one is its packager's
 * choice; with none at all there is nothing to set. */
extern void omp_set_num_threads(int n) __attribute__((weak));

static const struct {
    int arg;             // DNNL_ARG_...
    dnnl_query_t query;  // of its memory descriptor
    int index;
} args[NN_N_ARGS] = {
    [NN_SRC] = {DNNL_ARG_SRC, dnnl_query_src_md, 0},
    [NN_SRC_1] = {DNNL_ARG_SRC_1, dnnl_query_src_md, 1},
    [NN_DST] = {DNNL_ARG_DST, dnnl_query_dst_md, 0},
    [NN_WEIGHTS] = {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
    [NN_BIAS_ARG] = {DNNL_ARG_BIAS, dnnl_query_weights_md, 1},
    [NN_SCALE] = {DNNL_ARG_SCALE, dnnl_query_exec_arg_md, DNNL_ARG_SCALE},
    [NN_SHIFT] = {DNNL_ARG_SHIFT, dnnl_query_exec_arg_md, DNNL_ARG_SHIFT},
    [NN_MEAN] = {DNNL_ARG_MEAN, dnnl_query_exec_arg_md, DNNL_ARG_MEAN},
    [NN_VARIANCE] = {DNNL_ARG_VARIANCE, dnnl_query_exec_arg_md, DNNL_ARG_VARIANCE},
    [NN_DIFF_SRC] = {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0},
    [NN_DIFF_DST] = {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0},
    [NN_DIFF_WEIGHTS] = {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0},
    [NN_DIFF_BIAS] = {DNNL_ARG_DIFF_BIAS, dnnl_query_diff_weights_md, 1},
    [NN_DIFF_SCALE] = {DNNL_ARG_DIFF_SCALE, dnnl_query_exec_arg_md, DNNL_ARG_DIFF_SCALE},
    [NN_DIFF_SHIFT] = {DNNL_ARG_DIFF_SHIFT, dnnl_query_exec_arg_md, DNNL_ARG_DIFF_SHIFT},
    [NN_WORKSPACE] = {DNNL_ARG_WORKSPACE, dnnl_query_workspace_md, 0},
    [NN_SCRATCHPAD] = {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0},
};

/* ------------------------------------------- memory descriptors, 2.x and 3.x */

#if IS_V2
typedef const dnnl_memory_desc_t *md_ref;

static md_ref md_of(const nn_layout *l)
{
    return l == NULL ? NULL : &l->md;
}

static void md_copy(dnnl_memory_desc_t *out, md_ref md)
{
    *out = *md;
}

static void md_destroy(dnnl_memory_desc_t *md)
{
    (void)md;
}

static dnnl_status_t md_strided(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                                dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(out, rank, dims, type, strides);
}

static dnnl_status_t md_tagged(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                               dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(out, rank, dims, type, tag);
}

static dnnl_data_type_t md_type(md_ref md)
{
    return md->data_type;
}

static dnnl_status_t md_typed(dnnl_memory_desc_t *out, md_ref md, dnnl_data_type_t type)
{
    *out = *md;
    out->data_type = type;
    return dnnl_success;
}
#else
typedef const_dnnl_memory_desc_t md_ref;

static md_ref md_of(const nn_layout *l)
{
    return l == NULL ? NULL : l->md;
}

static void md_copy(dnnl_memory_desc_t *out, md_ref md)
{
    FL_REQUIRE(dnnl_memory_desc_clone(out, md) == dnnl_success);
}

static void md_destroy(dnnl_memory_desc_t *md)
{
    dnnl_memory_desc_destroy(*md);
}

static dnnl_status_t md_strided(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                                dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(out, rank, dims, type, strides);
}

static dnnl_status_t md_tagged(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                               dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(out, rank, dims, type, tag);
}

static dnnl_data_type_t md_type(md_ref md)
{
    dnnl_data_type_t type = dnnl_data_type_undef;

    return dnnl_memory_desc_query(md, dnnl_query_data_type, &type) == dnnl_success
               ? type
               : dnnl_data_type_undef;
}

static dnnl_format_tag_t blocked_tag(int rank);

/* The parts of a descriptor can be read, but not put together again where they
 * are blocks; those of nn_layout_blocked have a name. */
static dnnl_status_t md_typed(dnnl_memory_desc_t *out, md_ref md, dnnl_data_type_t type)
{
    int rank = 0, n_blocks = 0;
    dnnl_dims_t *dims, *strides, plain = {0};

    if (dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &rank) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_dims, &dims) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &n_blocks) != dnnl_success) {
        return dnnl_invalid_arguments;
    }
    if (n_blocks == 0 && dnnl_memory_desc_query(md, dnnl_query_strides, &strides) == dnnl_success) {
        return md_strided(out, rank, *dims, type, *strides);
    }
    if (rank >= 3 && rank <= 5) {
        dnnl_memory_desc_t blocked;
        dnnl_status_t status = md_tagged(&blocked, rank, *dims, md_type(md), blocked_tag(rank));
        bool is_same = status == dnnl_success && dnnl_memory_desc_equal(blocked, md);
        dnnl_memory_desc_destroy(blocked);
        if (is_same) {
            return md_tagged(out, rank, *dims, type, blocked_tag(rank));
        }
    }
    for (int64_t i = rank, stride = 1; i-- > 0; stride *= (*dims)[i]) {
        plain[i] = stride;
    }
    return md_strided(out, rank, *dims, type, plain);
}
#endif

/* ------------------------------------------------------ engine and ownership */

/* Keeps the first failure; true when status says there is none. */
static bool check(nn_dnnl *d, dnnl_status_t status, const char *what)
{
    if (status != dnnl_success && d->error.status == FL_OK) {
        fl_status st = status == dnnl_out_of_memory   ? FL_ELIMIT
                       : status == dnnl_unimplemented ? FL_EUNSUPPORTED
                                                      : FL_ECONFIG;
        fl_fail(&d->error, st, "oneDNN cannot make %s (%s)", what,
                status == dnnl_unimplemented       ? "not implemented for this shape"
                : status == dnnl_out_of_memory     ? "out of memory"
                : status == dnnl_invalid_arguments ? "shapes do not fit"
                                                   : "internal error");
    }
    return d->error.status == FL_OK;
}

static void append_sum(dnnl_post_ops_t ops)
{
#if IS_V2
    FL_REQUIRE(dnnl_post_ops_append_sum(ops, 1) == dnnl_success);
#else
    FL_REQUIRE(dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef) == dnnl_success);
#endif
}

static void append_relu(dnnl_post_ops_t ops)
{
#if IS_V2
    FL_REQUIRE(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0) == dnnl_success);
#else
    FL_REQUIRE(dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0) == dnnl_success);
#endif
}

/* The scratchpad is ours; and what is done with the result before it is stored. */
static dnnl_primitive_attr_t new_attr(bool sum, bool relu)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;

    FL_REQUIRE(dnnl_primitive_attr_create(&attr) == dnnl_success);
    FL_REQUIRE(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ==
               dnnl_success);
    FL_REQUIRE(dnnl_post_ops_create(&ops) == dnnl_success);
    if (sum) {
        append_sum(ops);
    }
    if (relu) {
        append_relu(ops);
    }
    FL_REQUIRE(dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success);
    dnnl_post_ops_destroy(ops);
    return attr;
}

nn_dnnl *nn_dnnl_new(int threads, nn_type type)
{
    nn_dnnl *d = fl_xcalloc(1, sizeof *d);

    d->threads = threads;
    d->type = type;
    nn_dnnl_enter(d);
    FL_REQUIRE(dnnl_engine_create(&d->engine, dnnl_cpu, 0) == dnnl_success);
    FL_REQUIRE(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) ==
               dnnl_success);
    d->attr = new_attr(false, false);
    d->attr_relu = new_attr(false, true);
    d->attr_sum = new_attr(true, false);
    d->attr_sum_relu = new_attr(true, true);
    return d;
}

void nn_dnnl_destroy(nn_dnnl **dp)
{
    nn_dnnl *d = *dp;

    if (d == NULL) {
        return;
    }
    while (d->prims != NULL) {
        nn_prim *p = d->prims;
        d->prims = p->next;
        dnnl_primitive_destroy(p->primitive);
        dnnl_primitive_desc_destroy(p->pd);
        free(p);
    }
    while (d->mems != NULL) {
        nn_mem *m = d->mems;
        d->mems = m->next;
        dnnl_memory_destroy(m->memory);
        free(m);
    }
    while (d->layouts != NULL) {
        nn_layout *l = d->layouts;
        d->layouts = l->next;
        md_destroy(&l->md);
        free(l);
    }
    dnnl_primitive_attr_destroy(d->attr);
    dnnl_primitive_attr_destroy(d->attr_relu);
    dnnl_primitive_attr_destroy(d->attr_sum);
    dnnl_primitive_attr_destroy(d->attr_sum_relu);
    dnnl_stream_destroy(d->stream);
    dnnl_engine_destroy(d->engine);
    FL_FREE(*dp);
}

const fl_err *nn_dnnl_error(const nn_dnnl *d)
{
    return &d->error;
}

void nn_dnnl_enter(const nn_dnnl *d)
{
    if (omp_set_num_threads != NULL) {
        omp_set_num_threads(d->threads);
    }
}

static bool has_isa(dnnl_cpu_isa_t wanted)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)wanted) == (unsigned)wanted;
}

void nn_dnnl_text(char *out, size_t n)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(out, n, "oneDNN %d.%d.%d%s%s", v->major, v->minor, v->patch,
             has_isa(dnnl_cpu_isa_avx512_core_bf16) ? ", AVX-512 BF16"
             : has_isa(dnnl_cpu_isa_avx512_core)    ? ", AVX-512"
             : has_isa(dnnl_cpu_isa_avx2)           ? ", AVX2"
                                                    : "",
             has_isa(dnnl_cpu_isa_avx512_core_amx) ? ", AMX" : "");
}

bool nn_dnnl_has_bf16(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}

bool nn_dnnl_has_amx(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_amx);
}

nn_type nn_dnnl_type(const nn_dnnl *d)
{
    return d->type;
}

/* --------------------------------------------------------------- layouts */

static nn_layout *own_layout(nn_dnnl *d, dnnl_memory_desc_t md)
{
    nn_layout *l = fl_xcalloc(1, sizeof *l);

    l->md = md;
    l->next = d->layouts;
    d->layouts = l;
    return l;
}

static const nn_layout *layout_copy(nn_dnnl *d, md_ref md)
{
    dnnl_memory_desc_t copy;

    md_copy(&copy, md);
    return own_layout(d, copy);
}

const nn_layout *nn_layout_permuted(nn_dnnl *d, int rank, const int64_t *dims, const int *order)
{
    static const int64_t one = 1;
    static const int first = 0;
    dnnl_dims_t strides = {0};
    int64_t stride = 1;
    dnnl_memory_desc_t md;

    if (rank == 0) {  // oneDNN has no scalars
        return nn_layout_permuted(d, 1, &one, &first);
    }
    for (int i = rank; i-- > 0;) {
        strides[order[i]] = stride;
        stride *= dims[order[i]];
    }
    if (!check(d, md_strided(&md, rank, dims, dnnl_f32, strides), "a layout")) {
        return NULL;
    }
    return own_layout(d, md);
}

const nn_layout *nn_layout_plain(nn_dnnl *d, int rank, const int64_t *dims)
{
    static const int order[] = {0, 1, 2, 3, 4, 5};

    return nn_layout_permuted(d, rank, dims, order);
}

static dnnl_format_tag_t blocked_tag(int rank)
{
    static const dnnl_format_tag_t by_16[] = {[3] = dnnl_aBc16b, dnnl_aBcd16b, dnnl_aBcde16b};
    static const dnnl_format_tag_t by_8[] = {[3] = dnnl_aBc8b, dnnl_aBcd8b, dnnl_aBcde8b};

    return has_isa(dnnl_cpu_isa_avx512_core) ? by_16[rank] : by_8[rank];
}

static dnnl_data_type_t type_of(nn_type type)
{
    return type == NN_TYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

const nn_layout *nn_layout_blocked(nn_dnnl *d, int rank, const int64_t *dims)
{
    dnnl_memory_desc_t md;

    FL_REQUIRE(rank >= 3 && rank <= 5);
    return check(d, md_tagged(&md, rank, dims, dnnl_f32, blocked_tag(rank)), "a layout")
               ? own_layout(d, md)
               : NULL;
}

const nn_layout *nn_layout_typed(nn_dnnl *d, const nn_layout *l, nn_type type)
{
    dnnl_memory_desc_t md;

    if (l == NULL || nn_layout_type(l) == type) {
        return l;
    }
    return check(d, md_typed(&md, md_of(l), type_of(type)), "a layout") ? own_layout(d, md) : NULL;
}

nn_type nn_layout_type(const nn_layout *l)
{
    dnnl_data_type_t type = md_type(md_of(l));

    return type == dnnl_f32 ? NN_TYPE_F32 : type == dnnl_bf16 ? NN_TYPE_BF16 : NN_TYPE_OTHER;
}

size_t nn_layout_bytes(const nn_layout *l)
{
    return dnnl_memory_desc_get_size(md_of(l));
}

bool nn_layout_equal(const nn_layout *a, const nn_layout *b)
{
    return dnnl_memory_desc_equal(md_of(a), md_of(b)) != 0;
}

int64_t nn_dnnl_block(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core) ? 16 : 8;
}

/* A layout that the primitive is free to choose. */
static const nn_layout *any(nn_dnnl *d, nn_type type, int rank, const int64_t *dims)
{
    dnnl_memory_desc_t md;

    return check(d, md_tagged(&md, rank, dims, type_of(type), dnnl_format_tag_any), "a layout")
               ? own_layout(d, md)
               : NULL;
}

/* ------------------------------------------------------------ primitives */

const nn_layout *nn_prim_layout(const nn_prim *prim, nn_arg arg)
{
    if (prim == NULL) {
        return NULL;
    }
    nn_prim *p = (nn_prim *)prim;  // the cache of answers may be filled
    if (p->layouts[arg] == NULL) {
#if IS_V2
        const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(p->pd, args[arg].query,
                                                                    args[arg].index);
        bool there = md != NULL && md->ndims > 0;
#else
        md_ref md = dnnl_primitive_desc_query_md(p->pd, args[arg].query, args[arg].index);
        bool there = md != NULL && dnnl_memory_desc_get_size(md) > 0;
#endif
        if (!there) {
            return NULL;
        }
        p->layouts[arg] = layout_copy(p->d, md);
    }
    return p->layouts[arg];
}

/* Takes pd, the result of a describe_... call with this status. */
static nn_prim *finish(nn_dnnl *d, dnnl_primitive_desc_t pd, dnnl_status_t status, const char *what)
{
    dnnl_primitive_t primitive = NULL;

    if (!check(d, status, what)) {
        return NULL;
    }
    if (!check(d, dnnl_primitive_create(&primitive, pd), what)) {
        dnnl_primitive_desc_destroy(pd);
        return NULL;
    }
    nn_prim *p = fl_xcalloc(1, sizeof *p);
    p->d = d;
    p->pd = pd;
    p->primitive = primitive;
    p->next = d->prims;
    d->prims = p;
    return p;
}

static dnnl_prop_kind_t prop_of(nn_pass pass)
{
    return pass == NN_PASS_TRAIN ? dnnl_forward_training : dnnl_forward_inference;
}

#if IS_V2
/* What is left to do in 2.x when the struct is filled in. */
static dnnl_status_t describe(dnnl_primitive_desc_t *pd, dnnl_status_t filled, const void *desc,
                              dnnl_primitive_attr_t attr, nn_dnnl *d, const nn_prim *hint)
{
    return filled != dnnl_success ? filled
                                  : dnnl_primitive_desc_create(pd, desc, attr, d->engine,
                                                               hint == NULL ? NULL : hint->pd);
}
#endif

static bool is_broken(const nn_dnnl *d)
{
    return d->error.status != FL_OK;
}

nn_prim *nn_dnnl_reorder(nn_dnnl *d, const nn_layout *from, const nn_layout *to)
{
    dnnl_primitive_desc_t pd = NULL;

    if (is_broken(d)) {
        return NULL;
    }
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, md_of(from), d->engine,
                                                              md_of(to), d->engine, d->attr);
    return finish(d, pd, status, "a reorder");
}

typedef struct {
    md_ref src, weights, bias, dst;
    dnnl_dims_t stride, dilation, pad_begin, pad_end;
} conv_args;

static dnnl_status_t describe_conv(dnnl_primitive_desc_t *pd, nn_dnnl *d, const conv_args *a,
                                   nn_pass pass, dnnl_alg_kind_t alg, dnnl_primitive_attr_t attr,
                                   const nn_prim *hint)
{
#if IS_V2
    dnnl_convolution_desc_t c;
    switch (pass) {
    case NN_PASS_DATA_GRAD:
        return describe(pd,
                        dnnl_dilated_convolution_backward_data_desc_init(
                            &c, alg, a->src, a->weights, a->dst, a->stride, a->dilation,
                            a->pad_begin, a->pad_end),
                        &c, attr, d, hint);
    case NN_PASS_WEIGHT_GRAD:
        return describe(pd,
                        dnnl_dilated_convolution_backward_weights_desc_init(
                            &c, alg, a->src, a->weights, a->bias, a->dst, a->stride, a->dilation,
                            a->pad_begin, a->pad_end),
                        &c, attr, d, hint);
    default:
        return describe(pd,
                        dnnl_dilated_convolution_forward_desc_init(
                            &c, prop_of(pass), alg, a->src, a->weights, a->bias, a->dst, a->stride,
                            a->dilation, a->pad_begin, a->pad_end),
                        &c, attr, d, NULL);
    }
#else
    switch (pass) {
    case NN_PASS_DATA_GRAD:
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, d->engine, alg, a->src, a->weights, a->dst, a->stride, a->dilation, a->pad_begin,
            a->pad_end, hint->pd, attr);
    case NN_PASS_WEIGHT_GRAD:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, d->engine, alg, a->src, a->weights, a->bias, a->dst, a->stride, a->dilation,
            a->pad_begin, a->pad_end, hint->pd, attr);
    default:
        return dnnl_convolution_forward_primitive_desc_create(
            pd, d->engine, prop_of(pass), alg, a->src, a->weights, a->bias, a->dst, a->stride,
            a->dilation, a->pad_begin, a->pad_end, attr);
    }
#endif
}

/*
 * oneDNN 2.6 reads past the end of a table of its own when it makes the forward AMX
 * kernel of windows that do not overlap (2x2, stride 2; found by
 * AddressSanitizer), so these are not asked of it.
 */
static bool is_unsound(const nn_dnnl *d, const nn_conv_spec *s)
{
    bool apart = d->type == NN_TYPE_BF16 && nn_dnnl_has_amx();

    for (int i = 0; i < s->n_spatial && apart; i++) {
        int64_t kernel = s->weight[2 + i + (s->group > 1)];
        apart = kernel > 1 && s->stride[i] >= kernel;
    }
    return apart;
}

nn_prim *nn_dnnl_conv(nn_dnnl *d, const nn_conv_spec *spec, nn_pass pass, const nn_layout *src,
                      const nn_prim *hint)
{
    int rank = spec->n_spatial + 2, grouped = spec->group > 1;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_unimplemented;
    const nn_layout *weights, *dst, *bias = NULL;
    conv_args a = {0};

    if (is_broken(d) ||
        ((pass == NN_PASS_DATA_GRAD || pass == NN_PASS_WEIGHT_GRAD) && hint == NULL)) {
        return NULL;
    }
    bool forward = pass == NN_PASS_TRAIN || pass == NN_PASS_INFER;
    nn_type type = spec->f32 || (forward && is_unsound(d, spec)) ? NN_TYPE_F32 : d->type;
    src = src != NULL ? src : any(d, type, rank, spec->src);
    weights = any(d, pass == NN_PASS_WEIGHT_GRAD ? NN_TYPE_F32 : type, rank + grouped,
                  spec->weight);
    dst = any(d, forward && spec->f32_dst ? NN_TYPE_F32 : type, rank, spec->dst);
    if (spec->bias && pass != NN_PASS_DATA_GRAD) {
        bias = nn_layout_plain(d, 1, &spec->dst[1]);
    }
    if (is_broken(d)) {
        return NULL;
    }
    a = (conv_args){md_of(src), md_of(weights), md_of(bias), md_of(dst), {0}, {0}, {0}, {0}};
    for (int i = 0; i < spec->n_spatial; i++) {
        a.stride[i] = spec->stride[i];
        a.dilation[i] = spec->dilation[i] - 1;  // oneDNN counts the gaps
        a.pad_begin[i] = spec->pad_begin[i];
        a.pad_end[i] = spec->pad_end[i];
    }
    dnnl_primitive_attr_t attr = !forward    ? d->attr
                                 : spec->sum ? (spec->relu ? d->attr_sum_relu : d->attr_sum)
                                             : (spec->relu ? d->attr_relu : d->attr);
    if (spec->winograd && type == NN_TYPE_F32) {
        status = describe_conv(&pd, d, &a, pass, dnnl_convolution_winograd, attr, hint);
    }
    if (status != dnnl_success) {
        status = describe_conv(&pd, d, &a, pass, dnnl_convolution_direct, attr, hint);
    }
    return finish(d, pd, status, "a convolution");
}

static dnnl_status_t describe_dense(dnnl_primitive_desc_t *pd, nn_dnnl *d, const conv_args *a,
                                    nn_pass pass, dnnl_primitive_attr_t attr, const nn_prim *hint)
{
#if IS_V2
    dnnl_inner_product_desc_t c;
    switch (pass) {
    case NN_PASS_DATA_GRAD:
        return describe(pd,
                        dnnl_inner_product_backward_data_desc_init(&c, a->src, a->weights, a->dst),
                        &c, attr, d, hint);
    case NN_PASS_WEIGHT_GRAD:
        return describe(
            pd,
            dnnl_inner_product_backward_weights_desc_init(&c, a->src, a->weights, a->bias, a->dst),
            &c, attr, d, hint);
    default:
        return describe(pd,
                        dnnl_inner_product_forward_desc_init(&c, prop_of(pass), a->src, a->weights,
                                                             a->bias, a->dst),
                        &c, attr, d, NULL);
    }
#else
    switch (pass) {
    case NN_PASS_DATA_GRAD:
        return dnnl_inner_product_backward_data_primitive_desc_create(
            pd, d->engine, a->src, a->weights, a->dst, hint->pd, attr);
    case NN_PASS_WEIGHT_GRAD:
        return dnnl_inner_product_backward_weights_primitive_desc_create(
            pd, d->engine, a->src, a->weights, a->bias, a->dst, hint->pd, attr);
    default:
        return dnnl_inner_product_forward_primitive_desc_create(
            pd, d->engine, prop_of(pass), a->src, a->weights, a->bias, a->dst, attr);
    }
#endif
}

nn_prim *nn_dnnl_dense(nn_dnnl *d, const nn_dense_spec *spec, nn_pass pass, const nn_layout *weight,
                       const nn_prim *hint)
{
    dnnl_primitive_desc_t pd = NULL;
    bool forward = pass == NN_PASS_TRAIN || pass == NN_PASS_INFER;
    bool bias = spec->bias && pass != NN_PASS_DATA_GRAD;

    if (is_broken(d) || (!forward && hint == NULL)) {
        return NULL;
    }
    const nn_layout *src = nn_layout_plain(d, 2, (int64_t[]){spec->N, spec->C});
    const nn_layout *dst = nn_layout_plain(d, 2, (int64_t[]){spec->N, spec->K});
    weight = weight != NULL ? weight
                            : any(d, pass == NN_PASS_WEIGHT_GRAD ? NN_TYPE_F32 : d->type, 2,
                                  (int64_t[]){spec->K, spec->C});
    src = nn_layout_typed(d, src, d->type);
    dst = nn_layout_typed(d, dst, forward && spec->f32_dst ? NN_TYPE_F32 : d->type);
    if (is_broken(d)) {
        return NULL;
    }
    conv_args a = {
        .src = md_of(src),
        .weights = md_of(weight),
        .bias = bias ? md_of(nn_layout_plain(d, 1, &spec->K)) : NULL,
        .dst = md_of(dst),
    };
    if (is_broken(d)) {
        return NULL;
    }
    dnnl_primitive_attr_t attr = forward && spec->relu ? d->attr_relu : d->attr;
    dnnl_status_t status = describe_dense(&pd, d, &a, pass, attr, hint);
    return finish(d, pd, status, "a matrix product");
}

nn_prim *nn_dnnl_pool(nn_dnnl *d, const nn_pool_spec *spec, nn_pass pass, const nn_layout *src,
                      const nn_prim *hint)
{
    static const dnnl_alg_kind_t algs[] = {dnnl_pooling_max, dnnl_pooling_avg_exclude_padding,
                                           dnnl_pooling_avg_include_padding};
    dnnl_alg_kind_t alg = algs[spec->kind];
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;
    dnnl_dims_t stride = {0}, kernel = {0}, dilation = {0}, begin = {0}, end = {0};
    bool dilated = false;

    if (is_broken(d) || src == NULL || (pass == NN_PASS_DATA_GRAD && hint == NULL)) {
        return NULL;
    }
    const nn_layout *dst = any(d, nn_layout_type(src), spec->n_spatial + 2, spec->dst);
    if (is_broken(d)) {
        return NULL;
    }
    for (int i = 0; i < spec->n_spatial; i++) {
        stride[i] = spec->stride[i];
        kernel[i] = spec->kernel[i];
        dilation[i] = spec->dilation[i] - 1;
        dilated |= dilation[i] != 0;
        begin[i] = spec->pad_begin[i];
        end[i] = spec->pad_end[i];
    }
#if IS_V2
    dnnl_pooling_desc_t c;
    dnnl_pooling_v2_desc_t c2;  // the one with dilation
    if (pass == NN_PASS_DATA_GRAD) {
        status = dilated ? describe(&pd,
                                    dnnl_pooling_v2_backward_desc_init(&c2, alg, md_of(src),
                                                                       md_of(dst), stride, kernel,
                                                                       dilation, begin, end),
                                    &c2, d->attr, d, hint)
                         : describe(&pd,
                                    dnnl_pooling_backward_desc_init(&c, alg, md_of(src), md_of(dst),
                                                                    stride, kernel, begin, end),
                                    &c, d->attr, d, hint);
    } else {
        status = dilated
                     ? describe(&pd,
                                dnnl_pooling_v2_forward_desc_init(&c2, prop_of(pass), alg,
                                                                  md_of(src), md_of(dst), stride,
                                                                  kernel, dilation, begin, end),
                                &c2, d->attr, d, NULL)
                     : describe(&pd,
                                dnnl_pooling_forward_desc_init(&c, prop_of(pass), alg, md_of(src),
                                                               md_of(dst), stride, kernel, begin,
                                                               end),
                                &c, d->attr, d, NULL);
    }
#else
    (void)dilated;
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_pooling_backward_primitive_desc_create(&pd, d->engine, alg, md_of(src),
                                                               md_of(dst), stride, kernel, dilation,
                                                               begin, end, hint->pd, d->attr)
                 : dnnl_pooling_forward_primitive_desc_create(
                       &pd, d->engine, prop_of(pass), alg, md_of(src), md_of(dst), stride, kernel,
                       dilation, begin, end, d->attr);
#endif
    return finish(d, pd, status, "a pooling");
}

nn_prim *nn_dnnl_map(nn_dnnl *d, nn_function f, nn_pass pass, const nn_layout *src,
                     const nn_prim *hint)
{
    static const dnnl_alg_kind_t algs[] = {dnnl_eltwise_relu_use_dst_for_bwd,
                                           dnnl_eltwise_logistic_use_dst_for_bwd};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (is_broken(d)) {
        return NULL;
    }
#if IS_V2
    dnnl_eltwise_desc_t c;
    status = pass == NN_PASS_DATA_GRAD
                 ? describe(
                       &pd,
                       dnnl_eltwise_backward_desc_init(&c, algs[f], md_of(src), md_of(src), 0, 0),
                       &c, d->attr, d, hint)
                 : describe(&pd,
                            dnnl_eltwise_forward_desc_init(&c, dnnl_forward_training, algs[f],
                                                           md_of(src), 0, 0),
                            &c, d->attr, d, NULL);
#else
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_eltwise_backward_primitive_desc_create(&pd, d->engine, algs[f], md_of(src),
                                                               md_of(src), md_of(src), 0, 0,
                                                               hint->pd, d->attr)
                 : dnnl_eltwise_forward_primitive_desc_create(&pd, d->engine, dnnl_forward_training,
                                                              algs[f], md_of(src), md_of(src), 0, 0,
                                                              d->attr);
#endif
    return finish(d, pd, status, "an activation function");
}

nn_prim *nn_dnnl_batch_norm(nn_dnnl *d, const nn_norm_spec *spec, nn_pass pass,
                            const nn_layout *src, const nn_prim *hint)
{
    unsigned flags = (unsigned)dnnl_use_scale | (unsigned)dnnl_use_shift |
                     (spec->relu ? (unsigned)dnnl_fuse_norm_relu : 0) |
                     (pass == NN_PASS_INFER ? (unsigned)dnnl_use_global_stats : 0);
    float epsilon = (float)spec->epsilon;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (is_broken(d) || (pass == NN_PASS_DATA_GRAD && hint == NULL)) {
        return NULL;
    }
#if IS_V2
    dnnl_batch_normalization_desc_t c;
    status = pass == NN_PASS_DATA_GRAD
                 ? describe(&pd,
                            dnnl_batch_normalization_backward_desc_init(
                                &c, dnnl_backward, md_of(src), md_of(src), epsilon, flags),
                            &c, d->attr, d, hint)
                 : describe(&pd,
                            dnnl_batch_normalization_forward_desc_init(&c, prop_of(pass),
                                                                       md_of(src), epsilon, flags),
                            &c, d->attr, d, NULL);
#else
    status = pass == NN_PASS_DATA_GRAD ? dnnl_batch_normalization_backward_primitive_desc_create(
                                             &pd, d->engine, dnnl_backward, md_of(src), md_of(src),
                                             md_of(src), epsilon, flags, hint->pd, d->attr)
                                       : dnnl_batch_normalization_forward_primitive_desc_create(
                                             &pd, d->engine, prop_of(pass), md_of(src), md_of(src),
                                             epsilon, flags, d->attr);
#endif
    nn_prim *prim = finish(d, pd, status, "a batch normalisation");
    if (prim != NULL) {
        prim->ignores_shift = !IS_V2 && pass == NN_PASS_DATA_GRAD;
    }
    return prim;
}

nn_prim *nn_dnnl_softmax(nn_dnnl *d, int axis, nn_pass pass, const nn_layout *src,
                         const nn_prim *hint)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (is_broken(d) || (pass == NN_PASS_DATA_GRAD && hint == NULL)) {
        return NULL;
    }
#if IS_V2
    dnnl_softmax_desc_t c;
    status = pass == NN_PASS_DATA_GRAD
                 ? describe(&pd, dnnl_softmax_backward_desc_init(&c, md_of(src), md_of(src), axis),
                            &c, d->attr, d, hint)
                 : describe(&pd,
                            dnnl_softmax_forward_desc_init(&c, prop_of(pass), md_of(src), axis), &c,
                            d->attr, d, NULL);
#else
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_softmax_backward_primitive_desc_create(
                       &pd, d->engine, dnnl_softmax_accurate, md_of(src), md_of(src), md_of(src),
                       axis, hint->pd, d->attr)
                 : dnnl_softmax_forward_primitive_desc_create(&pd, d->engine, prop_of(pass),
                                                              dnnl_softmax_accurate, md_of(src),
                                                              md_of(src), axis, d->attr);
#endif
    return finish(d, pd, status, "a softmax");
}

nn_prim *nn_dnnl_add(nn_dnnl *d, const nn_layout *src, const nn_layout *src_1, const nn_layout *dst)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (is_broken(d)) {
        return NULL;
    }
#if IS_V2
    dnnl_binary_desc_t c;
    status = describe(
        &pd, dnnl_binary_desc_init(&c, dnnl_binary_add, md_of(src), md_of(src_1), md_of(dst)), &c,
        d->attr, d, NULL);
#else
    status = dnnl_binary_primitive_desc_create(&pd, d->engine, dnnl_binary_add, md_of(src),
                                               md_of(src_1), md_of(dst), d->attr);
#endif
    return finish(d, pd, status, "an addition");
}

nn_prim *nn_dnnl_sum_over(nn_dnnl *d, const nn_layout *src, const nn_layout *dst)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (is_broken(d)) {
        return NULL;
    }
#if IS_V2
    dnnl_reduction_desc_t c;
    status = describe(
        &pd, dnnl_reduction_desc_init(&c, dnnl_reduction_sum, md_of(src), md_of(dst), 0, 0), &c,
        d->attr, d, NULL);
#else
    status = dnnl_reduction_primitive_desc_create(&pd, d->engine, dnnl_reduction_sum, md_of(src),
                                                  md_of(dst), 0, 0, d->attr);
#endif
    return finish(d, pd, status, "a sum");
}

/* --------------------------------------------------------------- running */

nn_mem *nn_mem_new(nn_dnnl *d, const nn_layout *l, void *data)
{
    nn_mem *m = fl_xcalloc(1, sizeof *m);

    FL_REQUIRE(dnnl_memory_create(&m->memory, md_of(l), d->engine, data) == dnnl_success);
    m->next = d->mems;
    d->mems = m;
    return m;
}

void nn_mem_point(nn_mem *m, void *data)
{
    FL_REQUIRE(dnnl_memory_set_data_handle(m->memory, data) == dnnl_success);
}

void nn_prim_bind(nn_prim *prim, nn_arg arg, nn_mem *m)
{
    FL_REQUIRE(prim->n_args < NN_N_ARGS);
    if (arg == NN_SHIFT && prim->ignores_shift) {
        return;
    }
    prim->args[prim->n_args++] = (dnnl_exec_arg_t){args[arg].arg, m->memory};
}

void nn_prim_run(const nn_prim *prim)
{
    FL_REQUIRE(dnnl_primitive_execute(prim->primitive, prim->d->stream, prim->n_args, prim->args) ==
               dnnl_success);
}
