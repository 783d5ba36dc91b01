/*
 * dnnl_prims.c - the primitives of dnnl.h, described to oneDNN 2.x and 3.x
 */
#include "base/err.h"
#include "nn/dnnl_inside.h"

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

nn_prim *nn_dnnl_reorder(nn_dnnl *d, const nn_layout *from, const nn_layout *to)
{
    dnnl_primitive_desc_t pd = NULL;

    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, nn_md_of(from), d->engine,
                                                              nn_md_of(to), d->engine, d->attr);
    return nn_prim_finish(d, pd, status, "a reorder");
}

typedef struct {
    nn_md src, weights, bias, dst;
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

    if (nn_dnnl_is_broken(d) ||
        ((pass == NN_PASS_DATA_GRAD || pass == NN_PASS_WEIGHT_GRAD) && hint == NULL)) {
        return NULL;
    }
    bool forward = pass == NN_PASS_TRAIN || pass == NN_PASS_INFER;
    nn_type type = spec->f32 || (forward && is_unsound(d, spec)) ? NN_TYPE_F32 : d->type;
    src = src != NULL ? src : nn_layout_any(d, type, rank, spec->src);
    weights = nn_layout_any(d, pass == NN_PASS_WEIGHT_GRAD ? NN_TYPE_F32 : type, rank + grouped,
                            spec->weight);
    dst = nn_layout_any(d, forward && spec->f32_dst ? NN_TYPE_F32 : type, rank, spec->dst);
    if (spec->bias && pass != NN_PASS_DATA_GRAD) {
        bias = nn_layout_plain(d, 1, &spec->dst[1]);
    }
    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
    a = (conv_args){
        nn_md_of(src), nn_md_of(weights), nn_md_of(bias), nn_md_of(dst), {0}, {0}, {0}, {0}};
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
    return nn_prim_finish(d, pd, status, "a convolution");
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

    if (nn_dnnl_is_broken(d) || (!forward && hint == NULL)) {
        return NULL;
    }
    const nn_layout *src = nn_layout_plain(d, 2, (int64_t[]){spec->N, spec->C});
    const nn_layout *dst = nn_layout_plain(d, 2, (int64_t[]){spec->N, spec->K});
    weight = weight != NULL ? weight
                            : nn_layout_any(d, pass == NN_PASS_WEIGHT_GRAD ? NN_TYPE_F32 : d->type,
                                            2, (int64_t[]){spec->K, spec->C});
    src = nn_layout_typed(d, src, d->type);
    dst = nn_layout_typed(d, dst, forward && spec->f32_dst ? NN_TYPE_F32 : d->type);
    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
    conv_args a = {
        .src = nn_md_of(src),
        .weights = nn_md_of(weight),
        .bias = bias ? nn_md_of(nn_layout_plain(d, 1, &spec->K)) : NULL,
        .dst = nn_md_of(dst),
    };
    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
    dnnl_primitive_attr_t attr = forward && spec->relu ? d->attr_relu : d->attr;
    dnnl_status_t status = describe_dense(&pd, d, &a, pass, attr, hint);
    return nn_prim_finish(d, pd, status, "a matrix product");
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

    if (nn_dnnl_is_broken(d) || src == NULL || (pass == NN_PASS_DATA_GRAD && hint == NULL)) {
        return NULL;
    }
    const nn_layout *dst = nn_layout_any(d, nn_layout_type(src), spec->n_spatial + 2, spec->dst);
    if (nn_dnnl_is_broken(d)) {
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
        status = dilated
                     ? describe(&pd,
                                dnnl_pooling_v2_backward_desc_init(&c2, alg, nn_md_of(src),
                                                                   nn_md_of(dst), stride, kernel,
                                                                   dilation, begin, end),
                                &c2, d->attr, d, hint)
                     : describe(&pd,
                                dnnl_pooling_backward_desc_init(&c, alg, nn_md_of(src),
                                                                nn_md_of(dst), stride, kernel,
                                                                begin, end),
                                &c, d->attr, d, hint);
    } else {
        status = dilated ? describe(&pd,
                                    dnnl_pooling_v2_forward_desc_init(
                                        &c2, prop_of(pass), alg, nn_md_of(src), nn_md_of(dst),
                                        stride, kernel, dilation, begin, end),
                                    &c2, d->attr, d, NULL)
                         : describe(&pd,
                                    dnnl_pooling_forward_desc_init(&c, prop_of(pass), alg,
                                                                   nn_md_of(src), nn_md_of(dst),
                                                                   stride, kernel, begin, end),
                                    &c, d->attr, d, NULL);
    }
#else
    (void)dilated;
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_pooling_backward_primitive_desc_create(
                       &pd, d->engine, alg, nn_md_of(src), nn_md_of(dst), stride, kernel, dilation,
                       begin, end, hint->pd, d->attr)
                 : dnnl_pooling_forward_primitive_desc_create(
                       &pd, d->engine, prop_of(pass), alg, nn_md_of(src), nn_md_of(dst), stride,
                       kernel, dilation, begin, end, d->attr);
#endif
    return nn_prim_finish(d, pd, status, "a pooling");
}

nn_prim *nn_dnnl_map(nn_dnnl *d, nn_function f, nn_pass pass, const nn_layout *src,
                     const nn_prim *hint)
{
    static const dnnl_alg_kind_t algs[] = {dnnl_eltwise_relu_use_dst_for_bwd,
                                           dnnl_eltwise_logistic_use_dst_for_bwd};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
#if IS_V2
    dnnl_eltwise_desc_t c;
    status = pass == NN_PASS_DATA_GRAD
                 ? describe(&pd,
                            dnnl_eltwise_backward_desc_init(&c, algs[f], nn_md_of(src),
                                                            nn_md_of(src), 0, 0),
                            &c, d->attr, d, hint)
                 : describe(&pd,
                            dnnl_eltwise_forward_desc_init(&c, dnnl_forward_training, algs[f],
                                                           nn_md_of(src), 0, 0),
                            &c, d->attr, d, NULL);
#else
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_eltwise_backward_primitive_desc_create(
                       &pd, d->engine, algs[f], nn_md_of(src), nn_md_of(src), nn_md_of(src), 0, 0,
                       hint->pd, d->attr)
                 : dnnl_eltwise_forward_primitive_desc_create(&pd, d->engine, dnnl_forward_training,
                                                              algs[f], nn_md_of(src), nn_md_of(src),
                                                              0, 0, d->attr);
#endif
    return nn_prim_finish(d, pd, status, "an activation function");
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

    if (nn_dnnl_is_broken(d) || (pass == NN_PASS_DATA_GRAD && hint == NULL)) {
        return NULL;
    }
#if IS_V2
    dnnl_batch_normalization_desc_t c;
    status = pass == NN_PASS_DATA_GRAD
                 ? describe(&pd,
                            dnnl_batch_normalization_backward_desc_init(
                                &c, dnnl_backward, nn_md_of(src), nn_md_of(src), epsilon, flags),
                            &c, d->attr, d, hint)
                 : describe(&pd,
                            dnnl_batch_normalization_forward_desc_init(
                                &c, prop_of(pass), nn_md_of(src), epsilon, flags),
                            &c, d->attr, d, NULL);
#else
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_batch_normalization_backward_primitive_desc_create(
                       &pd, d->engine, dnnl_backward, nn_md_of(src), nn_md_of(src), nn_md_of(src),
                       epsilon, flags, hint->pd, d->attr)
                 : dnnl_batch_normalization_forward_primitive_desc_create(
                       &pd, d->engine, prop_of(pass), nn_md_of(src), nn_md_of(src), epsilon, flags,
                       d->attr);
#endif
    nn_prim *prim = nn_prim_finish(d, pd, status, "a batch normalisation");
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

    if (nn_dnnl_is_broken(d) || (pass == NN_PASS_DATA_GRAD && hint == NULL)) {
        return NULL;
    }
#if IS_V2
    dnnl_softmax_desc_t c;
    status = pass == NN_PASS_DATA_GRAD
                 ? describe(&pd,
                            dnnl_softmax_backward_desc_init(&c, nn_md_of(src), nn_md_of(src), axis),
                            &c, d->attr, d, hint)
                 : describe(&pd,
                            dnnl_softmax_forward_desc_init(&c, prop_of(pass), nn_md_of(src), axis),
                            &c, d->attr, d, NULL);
#else
    status = pass == NN_PASS_DATA_GRAD
                 ? dnnl_softmax_backward_primitive_desc_create(
                       &pd, d->engine, dnnl_softmax_accurate, nn_md_of(src), nn_md_of(src),
                       nn_md_of(src), axis, hint->pd, d->attr)
                 : dnnl_softmax_forward_primitive_desc_create(&pd, d->engine, prop_of(pass),
                                                              dnnl_softmax_accurate, nn_md_of(src),
                                                              nn_md_of(src), axis, d->attr);
#endif
    return nn_prim_finish(d, pd, status, "a softmax");
}

nn_prim *nn_dnnl_add(nn_dnnl *d, const nn_layout *src, const nn_layout *src_1, const nn_layout *dst,
                     bool relu)
{
    dnnl_primitive_attr_t attr = relu ? d->attr_relu : d->attr;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
#if IS_V2
    dnnl_binary_desc_t c;
    status = describe(
        &pd,
        dnnl_binary_desc_init(&c, dnnl_binary_add, nn_md_of(src), nn_md_of(src_1), nn_md_of(dst)),
        &c, attr, d, NULL);
#else
    status = dnnl_binary_primitive_desc_create(&pd, d->engine, dnnl_binary_add, nn_md_of(src),
                                               nn_md_of(src_1), nn_md_of(dst), attr);
#endif
    return nn_prim_finish(d, pd, status, "an addition");
}

nn_prim *nn_dnnl_sum_over(nn_dnnl *d, const nn_layout *src, const nn_layout *dst)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (nn_dnnl_is_broken(d)) {
        return NULL;
    }
#if IS_V2
    dnnl_reduction_desc_t c;
    status = describe(
        &pd, dnnl_reduction_desc_init(&c, dnnl_reduction_sum, nn_md_of(src), nn_md_of(dst), 0, 0),
        &c, d->attr, d, NULL);
#else
    status = dnnl_reduction_primitive_desc_create(&pd, d->engine, dnnl_reduction_sum, nn_md_of(src),
                                                  nn_md_of(dst), 0, 0, d->attr);
#endif
    return nn_prim_finish(d, pd, status, "a sum");
}
