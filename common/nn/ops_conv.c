/*
 * ops_conv.c - convolutions
 */
#include <string.h>

#include "nn/fuse.h"
#include "nn/ops.h"

/* ------------------------------------------------------------------- Conv */

static fl_status conv_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                            fl_err *err)
{
    const nn_shape *x = in[0], *weight = in[1], *bias = in[2];
    int64_t group = nn_node_int(node, "group", 1);
    char text[128];
    nn_window w;

    if (x->rank < 3 || weight->rank != x->rank) {
        return fl_fail(
            err, FL_ECONFIG,
            "input (N, C, H, W) and weight (K, C, kernel, kernel) must have as many dimensions");
    }
    if (group < 1 || weight->dim[1] * group != x->dim[1] || weight->dim[0] % group != 0) {
        nn_shape_text(text, sizeof text, weight);
        return fl_fail(err, FL_ECONFIG, "a weight of %s does not fit %lld channels in %lld groups",
                       text, (long long)x->dim[1], (long long)group);
    }
    if (bias != NULL && (bias->rank != 1 || bias->dim[0] != weight->dim[0])) {
        return fl_fail(err, FL_ECONFIG, "the bias must have %lld numbers",
                       (long long)weight->dim[0]);
    }
    fl_status st = nn_window_read(&w, node, x, weight, err);
    if (st == FL_OK) {
        nn_window_shape(out, x, weight->dim[0], &w);
    }
    return st;
}

static int64_t conv_macs(const nn_node *node, const nn_shape *out, const nn_shape *const *in)
{
    (void)node;
    int64_t per_position = nn_shape_count(in[1], 1) / in[1]->dim[0];  // of one output channel
    return nn_shape_count(out, 1) * per_position;
}

/*
 * Winograd's F(4x4, 3x3) does a quarter of the multiplications and pays with
 * transforms of the data and of the weights (Lavin & Gray 2016).  It is chosen by
 * shape, never by timing, so that a seed gives the same bits everywhere.  Measured
 * on AVX-512 (Zen 4 and Sapphire Rapids), 45 shapes: on 1 channel ten times slower
 * than direct; on 16 half as fast to as fast; from 32 on 1.1 to 2.6 times faster,
 * as long as there are tiles enough to pay for the weights' transform and the image
 * fills them.  The gradient by the weights needs fewer tiles, and gains on 16
 * channels too where none hangs over the edge.
 */
static bool is_good_for_winograd(const nn_conv_spec *s, nn_pass pass)
{
    int64_t C = s->src[1], K = s->dst[1], n_tiles = s->dst[0];
    double used = 1;  // of the 4x4 tiles that cover y

    for (int i = 0; i < s->n_spatial; i++) {
        if (s->weight[2 + i] != 3 || s->stride[i] != 1 || s->dilation[i] != 1) {
            return false;
        }
        int64_t n = (s->dst[2 + i] + 3) / 4;
        used *= (double)s->dst[2 + i] / (double)(4 * n);
        n_tiles *= n;
    }
    if (s->n_spatial != 2 || s->group != 1 || C % 16 != 0 || K % 16 != 0) {
        return false;
    }
    if (C < 32 || K < 32) {
        return pass == NN_PASS_WEIGHT_GRAD && used > 0.9 && n_tiles >= 64;
    }
    return used > 0.5 && n_tiles >= (pass == NN_PASS_WEIGHT_GRAD ? 32 : 64);
}

/*
 * In a plan in bfloat16, which convolutions are done in float32 all the same.  AMX
 * multiplies 16 pixels of a row at once, so short rows leave its tiles idle, and
 * oneDNN's weight gradient most of all.  By the width of y, never by timing; measured on
 * ResNet-18's layers of 64 to 512 channels, batch 128: at 4 pixels float32
 * (Winograd's) is 1.5 times faster forward, 2.6 by the data and 5 by the weights, at 7
 * pixels 2 times by the weights.
 */
static bool is_better_in_f32(nn_build *b, const nn_conv_spec *s, nn_pass pass)
{
    int64_t width = s->dst[1 + s->n_spatial], kernel = s->weight[1 + s->n_spatial + (s->group > 1)];

    if (nn_dnnl_type(nn_build_dnnl(b)) != NN_TYPE_BF16 || !nn_dnnl_has_amx()) {
        return false;
    }
    return pass == NN_PASS_WEIGHT_GRAD ? width < 8 : width <= 4 && kernel > 1;
}

static nn_conv_spec conv_spec(nn_build *b, const nn_node *node, nn_pass pass)
{
    nn_conv_spec s = {0};
    nn_shape x, y, k;
    nn_window w = nn_window_of(b, node, node->in[1]);

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->in[1], &k);
    nn_build_dims(b, node->out[0], &y);
    s.n_spatial = w.rank;
    s.group = nn_node_int(node, "group", 1);
    s.bias = node->n_in > 2 && node->in[2] >= 0;
    memcpy(s.src, x.dim, sizeof s.src);
    memcpy(s.dst, y.dim, sizeof s.dst);
    if (s.group > 1) {
        s.weight[0] = s.group;
        s.weight[1] = k.dim[0] / s.group;
        memcpy(&s.weight[2], &k.dim[1], (size_t)(k.rank - 1) * sizeof *k.dim);
    } else {
        memcpy(s.weight, k.dim, (size_t)k.rank * sizeof *k.dim);
    }
    memcpy(s.stride, w.stride, sizeof s.stride);
    memcpy(s.dilation, w.dilation, sizeof s.dilation);
    memcpy(s.pad_begin, w.pad_begin, sizeof s.pad_begin);
    memcpy(s.pad_end, w.pad_end, sizeof s.pad_end);
    s.winograd = is_good_for_winograd(&s, pass);
    s.f32 = is_better_in_f32(b, &s, pass);
    return s;
}

static const nn_layout *conv_plain_weight(nn_build *b, const nn_conv_spec *s)
{
    return nn_layout_plain(nn_build_dnnl(b), s->n_spatial + 2 + (s->group > 1), s->weight);
}

/* The primitive with an addition onto `other`, which lies where its result goes;
 * NULL when it must not be overwritten. */
static nn_prim *conv_onto(nn_build *b, nn_conv_spec s, const nn_fused *f, const nn_node *node,
                          nn_slot *y)
{
    s.sum = true;
    nn_prim *prim = nn_dnnl_conv(nn_build_dnnl(b), &s, NN_PASS_INFER, NULL, NULL);
    nn_slot other = nn_build_value(b, f->other);
    const nn_layout *l = nn_prim_layout(prim, NN_DST);
    bool lies_there = l != NULL && other >= 0 && nn_layout_equal(nn_build_layout(b, other), l);

    if (lies_there && !nn_build_may_overwrite(b, other, f->add, node)) {
        return NULL;
    }
    *y = nn_build_in_layout(b, other, l);
    return prim;
}

static void conv_plan(nn_build *b, const nn_node *node)
{
    nn_pass pass = nn_build_is_training(b) ? NN_PASS_TRAIN : NN_PASS_INFER;
    nn_conv_spec s = conv_spec(b, node, pass);
    nn_fused f = nn_fuse_find(b, node, true);
    const nn_layout *plain = conv_plain_weight(b, &s);
    nn_prim *prim = NULL;
    nn_slot y = -1, weights = -1, bias = -1;

    s.bias |= f.norm != NULL;
    s.relu = f.relu != NULL;
    s.f32_dst = nn_build_is_output(b, f.last);
    if (f.add != NULL && (prim = conv_onto(b, s, &f, node, &y)) == NULL) {
        f = nn_fuse_find(b, node, false);
        s.relu = f.relu != NULL;
        s.f32_dst = nn_build_is_output(b, f.last);
    }
    prim = prim != NULL ? prim : nn_dnnl_conv(nn_build_dnnl(b), &s, pass, NULL, NULL);
    nn_slot src = nn_build_in_layout(b, nn_build_value(b, node->in[0]),
                                     nn_prim_layout(prim, NN_SRC));
    if (f.norm != NULL) {
        nn_fuse_fold(b, &f, node, plain, &weights, &bias);
        weights = nn_build_in_layout(b, weights, nn_prim_layout(prim, NN_WEIGHTS));
    } else {
        weights = nn_build_param(b, node->in[1], plain, nn_prim_layout(prim, NN_WEIGHTS));
    }
    if (s.bias && f.norm == NULL) {
        const nn_layout *channels = nn_layout_plain(nn_build_dnnl(b), 1, &s.dst[1]);
        bias = nn_build_param(b, node->in[2], channels, channels);
    }
    y = y >= 0 ? y : nn_build_slot(b, nn_prim_layout(prim, NN_DST));
    nn_build_prim(
        b, prim, (nn_use[]){{NN_SRC, src}, {NN_WEIGHTS, weights}, {NN_BIAS_ARG, bias}, {NN_DST, y}},
        4);
    *nn_build_memo(b, node) = (nn_memo){prim, {src, weights, -1, -1}};
    nn_fuse_done(b, &f, node, s.f32_dst ? y : nn_build_in_plan_type(b, y));
}

static void conv_plan_weight_grad(nn_build *b, const nn_node *node)
{
    nn_dnnl *d = nn_build_dnnl(b);
    const nn_memo *memo = nn_build_memo(b, node);
    nn_conv_spec s = conv_spec(b, node, NN_PASS_WEIGHT_GRAD);
    const nn_layout *plain = conv_plain_weight(b, &s);
    const nn_layout *plain_bias = nn_layout_plain(d, 1, &s.dst[1]);

    nn_prim *prim = nn_dnnl_conv(d, &s, NN_PASS_WEIGHT_GRAD, NULL, memo->prim);
    nn_slot src = nn_build_in_layout(b, memo->slot[0], nn_prim_layout(prim, NN_SRC));
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    nn_prim_layout(prim, NN_DIFF_DST));
    nn_slot dw = nn_build_param_grad(b, node->in[1], plain, nn_prim_layout(prim, NN_DIFF_WEIGHTS));
    nn_slot db = s.bias ? nn_build_param_grad(b, node->in[2], plain_bias, plain_bias) : -1;
    nn_build_prim(
        b, prim,
        (nn_use[]){{NN_SRC, src}, {NN_DIFF_DST, dy}, {NN_DIFF_WEIGHTS, dw}, {NN_DIFF_BIAS, db}}, 4);
    nn_build_param_grad_done(b, node->in[1], plain, dw);
    if (s.bias) {
        nn_build_param_grad_done(b, node->in[2], plain_bias, db);
    }
}

static void conv_plan_grad(nn_build *b, const nn_node *node)
{
    conv_plan_weight_grad(b, node);
    if (!nn_build_wants_grad(b, node->in[0])) {
        return;  // the first layer: nobody needs the gradient by the image
    }
    nn_conv_spec s = conv_spec(b, node, NN_PASS_DATA_GRAD);
    const nn_memo *memo = nn_build_memo(b, node);
    nn_prim *prim = nn_dnnl_conv(nn_build_dnnl(b), &s, NN_PASS_DATA_GRAD, NULL, memo->prim);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    nn_prim_layout(prim, NN_DIFF_DST));
    nn_slot weights = nn_build_param(b, node->in[1], conv_plain_weight(b, &s),
                                     nn_prim_layout(prim, NN_WEIGHTS));
    nn_slot dx = nn_build_slot(b, nn_prim_layout(prim, NN_DIFF_SRC));
    nn_build_prim(b, prim, (nn_use[]){{NN_DIFF_DST, dy}, {NN_WEIGHTS, weights}, {NN_DIFF_SRC, dx}},
                  3);
    nn_build_add_grad(b, node->in[0], nn_build_in_plan_type(b, dx));
}

const nn_op nn_ops_conv[] = {
    {
        .name = "Conv",
        .min_inputs = 2,
        .max_inputs = 3,
        .attrs = {"kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"},
        .shape = conv_shape,
        .macs = conv_macs,
        .plan = conv_plan,
        .plan_grad = conv_plan_grad,
    },
    {0},
};
