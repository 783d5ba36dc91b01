/*
 * dnnl.c - oneDNN 2.x and 3.x behind dnnl.h: memory, layouts, running
 *
 * The two generations differ in two things.  2.x describes an operation in a
 * struct that a second call turns into a primitive descriptor, 3.x does both
 * at once; and a memory descriptor is a struct in 2.x, a handle in 3.x.  The
 * first part of this file hides the second difference, dnnl_prims.c the first.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/dnnl_inside.h"

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
nn_md nn_md_of(const nn_layout *l)
{
    return l == NULL ? NULL : &l->md;
}

static void md_copy(dnnl_memory_desc_t *out, nn_md md)
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

static dnnl_data_type_t md_type(nn_md md)
{
    return md->data_type;
}

static dnnl_status_t md_typed(dnnl_memory_desc_t *out, nn_md md, dnnl_data_type_t type)
{
    *out = *md;
    out->data_type = type;
    return dnnl_success;
}
#else
nn_md nn_md_of(const nn_layout *l)
{
    return l == NULL ? NULL : l->md;
}

static void md_copy(dnnl_memory_desc_t *out, nn_md md)
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

static dnnl_data_type_t md_type(nn_md md)
{
    dnnl_data_type_t type = dnnl_data_type_undef;

    return dnnl_memory_desc_query(md, dnnl_query_data_type, &type) == dnnl_success
               ? type
               : dnnl_data_type_undef;
}

static dnnl_format_tag_t blocked_tag(int rank);

/* The parts of a descriptor can be read, but not put together again where they
 * are blocks; those of nn_layout_blocked have a name. */
static dnnl_status_t md_typed(dnnl_memory_desc_t *out, nn_md md, dnnl_data_type_t type)
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

bool nn_dnnl_check(nn_dnnl *d, dnnl_status_t status, const char *what)
{
    if (status != dnnl_success && d->error.status == FL_OK) {
        fl_status st = status == dnnl_out_of_memory       ? FL_ELIMIT
                       : status == dnnl_invalid_arguments ? FL_ECONFIG
                                                          : FL_EUNSUPPORTED;
        fl_fail(&d->error, st, "oneDNN cannot make %s (%s)", what,
                status == dnnl_unimplemented       ? "not implemented for this shape"
                : status == dnnl_out_of_memory     ? "out of memory"
                : status == dnnl_invalid_arguments ? "shapes do not fit"
                                                   : "internal error, or this system forbids "
                                                     "code that is made at run time: "
                                                     "`consilium-client doctor` tells");
    }
    return d->error.status == FL_OK;
}

bool nn_dnnl_is_broken(const nn_dnnl *d)
{
    return d->error.status != FL_OK;
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

/*
 * oneDNN makes its store of compiled operations when one is looked up first, behind a guard that
 * ThreadSanitizer cannot see; made here, behind one that it sees, every thread finds it made.
 */
static void make_store(void)
{
    int capacity;
    FL_REQUIRE(dnnl_get_primitive_cache_capacity(&capacity) == dnnl_success);
}

nn_dnnl *nn_dnnl_new(int threads, nn_type type)
{
    static pthread_once_t store_is_made = PTHREAD_ONCE_INIT;
    pthread_once(&store_is_made, make_store);
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

static const nn_layout *layout_copy(nn_dnnl *d, nn_md md)
{
    dnnl_memory_desc_t copy;

    md_copy(&copy, md);
    return own_layout(d, copy);
}

const nn_layout *nn_layout_permuted(nn_dnnl *d, int rank, const int64_t *dims, const int *order)
{
    dnnl_dims_t sizes = {1}, strides = {1};  // oneDNN has no scalars: a vector of one
    int64_t stride = 1;
    dnnl_memory_desc_t md;

    for (int i = rank; i-- > 0;) {
        sizes[order[i]] = dims[order[i]];
        strides[order[i]] = stride;
        stride *= dims[order[i]];
    }
    if (!nn_dnnl_check(d, md_strided(&md, rank > 0 ? rank : 1, sizes, dnnl_f32, strides),
                       "a layout")) {
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
    return nn_dnnl_check(d, md_tagged(&md, rank, dims, dnnl_f32, blocked_tag(rank)), "a layout")
               ? own_layout(d, md)
               : NULL;
}

const nn_layout *nn_layout_typed(nn_dnnl *d, const nn_layout *l, nn_type type)
{
    dnnl_memory_desc_t md;

    if (l == NULL || nn_layout_type(l) == type) {
        return l;
    }
    return nn_dnnl_check(d, md_typed(&md, nn_md_of(l), type_of(type)), "a layout")
               ? own_layout(d, md)
               : NULL;
}

nn_type nn_layout_type(const nn_layout *l)
{
    dnnl_data_type_t type = md_type(nn_md_of(l));

    return type == dnnl_f32 ? NN_TYPE_F32 : type == dnnl_bf16 ? NN_TYPE_BF16 : NN_TYPE_OTHER;
}

size_t nn_layout_bytes(const nn_layout *l)
{
    return dnnl_memory_desc_get_size(nn_md_of(l));
}

bool nn_layout_equal(const nn_layout *a, const nn_layout *b)
{
    return dnnl_memory_desc_equal(nn_md_of(a), nn_md_of(b)) != 0;
}

int64_t nn_dnnl_block(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core) ? 16 : 8;
}

const nn_layout *nn_layout_any(nn_dnnl *d, nn_type type, int rank, const int64_t *dims)
{
    dnnl_memory_desc_t md;

    return nn_dnnl_check(d, md_tagged(&md, rank, dims, type_of(type), dnnl_format_tag_any),
                         "a layout")
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
        nn_md md = dnnl_primitive_desc_query_md(p->pd, args[arg].query, args[arg].index);
        bool there = md != NULL && dnnl_memory_desc_get_size(md) > 0;
#endif
        if (!there) {
            return NULL;
        }
        p->layouts[arg] = layout_copy(p->d, md);
    }
    return p->layouts[arg];
}

nn_prim *nn_prim_finish(nn_dnnl *d, dnnl_primitive_desc_t pd, dnnl_status_t status,
                        const char *what)
{
    dnnl_primitive_t primitive = NULL;

    if (!nn_dnnl_check(d, status, what)) {
        return NULL;
    }
    if (!nn_dnnl_check(d, dnnl_primitive_create(&primitive, pd), what)) {
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

/* --------------------------------------------------------------- running */

nn_mem *nn_mem_new(nn_dnnl *d, const nn_layout *l, void *data)
{
    nn_mem *m = fl_xcalloc(1, sizeof *m);

    FL_REQUIRE(dnnl_memory_create(&m->memory, nn_md_of(l), d->engine, data) == dnnl_success);
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
