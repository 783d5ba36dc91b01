/*
 * ops_deconv.c - ConvTranspose: a convolution's gradient by its input, run
 * forwards
 *
 * If y = convolution of x, ConvTranspose takes something of y's shape to
 * something of x's.  So its forward step is the primitive of that gradient, its
 * gradient by the input a convolution, and its gradient by the weights the
 * convolution's with the roles swapped.
 */
#include <string.h>

#include "nn/channels.h"
#include "nn/ops.h"

static int64_t list_at(const nn_node *node, const char *name, int i, int64_t dflt)
{
    const nn_attr *a = nn_node_ints(node, name);

    return a != NULL && (size_t)i < a->n_ints ? a->ints[i] : dflt;
}

/* The size of y along axis i that is asked for; 0: what follows from pads. */
static int64_t output_size(const nn_node *node, const nn_window *w, const nn_shape *x, int i,
                           bool same)
{
    const nn_attr *a = nn_node_ints(node, "output_shape");

    if (a != NULL && a->n_ints >= (size_t)w->rank) {  // with the batch and channels, or without
        return a->ints[a->n_ints - (size_t)w->rank + (size_t)i];
    }
    return same ? x->dim[2 + i] * w->stride[i] : 0;
}

/* Pads so that y, `full` long, becomes as long as wanted; where it is too short,
 * extra is what is added behind it.  SAME_UPPER pads the end more (ONNX). */
static void pad_to(nn_window *w, int i, int64_t full, int64_t wanted, int64_t *extra, bool upper)
{
    int64_t pad = full + *extra - wanted;

    if (pad < 0) {
        *extra -= pad;
        pad = 0;
    }
    w->pad_begin[i] = upper ? pad / 2 : pad - pad / 2;
    w->pad_end[i] = pad - w->pad_begin[i];
}

fl_status nn_deconv_window(nn_window *w, const nn_node *node, const nn_shape *x,
                           const nn_shape *weight, fl_err *err)
{
    memset(w, 0, sizeof *w);
    w->rank = x->rank - 2;
    bool upper = nn_node_text_is(node, "auto_pad", "SAME_UPPER", "NOTSET");
    bool lower = nn_node_text_is(node, "auto_pad", "SAME_LOWER", "NOTSET");
    bool valid = nn_node_text_is(node, "auto_pad", "VALID", "NOTSET");
    if (!upper && !lower && !valid && !nn_node_text_is(node, "auto_pad", "NOTSET", "NOTSET")) {
        return fl_fail(err, FL_ECONFIG, "auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
    }
    for (int i = 0; i < w->rank; i++) {
        int64_t extra = list_at(node, "output_padding", i, 0);
        w->kernel[i] = weight->dim[2 + i];
        w->stride[i] = list_at(node, "strides", i, 1);
        w->dilation[i] = list_at(node, "dilations", i, 1);
        w->pad_begin[i] = list_at(node, "pads", i, 0);
        w->pad_end[i] = list_at(node, "pads", w->rank + i, 0);
        if (list_at(node, "kernel_shape", i, w->kernel[i]) != w->kernel[i]) {
            return fl_fail(err, FL_ECONFIG, "kernel_shape differs from the weight's shape");
        }
        if (w->stride[i] < 1 || w->dilation[i] < 1 || w->pad_begin[i] < 0 || w->pad_end[i] < 0 ||
            extra < 0 || w->stride[i] > INT16_MAX || w->dilation[i] > INT16_MAX ||
            w->pad_begin[i] > INT16_MAX || w->pad_end[i] > INT16_MAX || x->dim[2 + i] > INT32_MAX ||
            w->kernel[i] > INT32_MAX) {
            return fl_fail(err, FL_ECONFIG, "strides, dilations or pads are out of range");
        }
        int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        int64_t wanted = output_size(node, w, x, i, upper || lower);
        if (wanted > 0) {
            pad_to(w, i, (x->dim[2 + i] - 1) * w->stride[i] + reach, wanted, &extra, upper);
        } else if (valid) {
            w->pad_begin[i] = w->pad_end[i] = 0;
        }
        if (extra >= w->stride[i] || w->pad_begin[i] >= reach || w->pad_end[i] >= reach) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "output_padding must be below the stride, pads below the window");
        }
        w->out[i] = (x->dim[2 + i] - 1) * w->stride[i] + reach - w->pad_begin[i] - w->pad_end[i] +
                    extra;
    }
    return FL_OK;
}

static fl_status deconv_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                              fl_err *err)
{
    const nn_shape *x = in[0], *weight = in[1], *bias = in[2];
    int64_t group = nn_node_int(node, "group", 1);
    nn_window w;

    if (x->rank < 3 || x->rank > 5 || weight->rank != x->rank) {
        return fl_fail(err, FL_ECONFIG,
                       "input (N, C, H, W) and weight (C, K, kernel, kernel) must have as many "
                       "dimensions");
    }
    if (group < 1 || weight->dim[0] != x->dim[1] || x->dim[1] % group != 0) {
        return fl_fail(err, FL_ECONFIG,
                       "a weight of %lld channels does not fit %lld in %lld groups",
                       (long long)weight->dim[0], (long long)x->dim[1], (long long)group);
    }
    if (bias != NULL && (bias->rank != 1 || bias->dim[0] != weight->dim[1] * group)) {
        return fl_fail(err, FL_ECONFIG, "the bias must have %lld numbers",
                       (long long)(weight->dim[1] * group));
    }
    fl_status st = nn_deconv_window(&w, node, x, weight, err);
    if (st == FL_OK) {
        *out = *x;
        out->dim[1] = weight->dim[1] * group;
        memcpy(&out->dim[2], w.out, (size_t)w.rank * sizeof *w.out);
    }
    return st;
}

static int64_t deconv_macs(const nn_node *node, const nn_shape *out, const nn_shape *const *in)
{
    (void)node;
    (void)out;
    return nn_shape_count(in[0], 1) * (nn_shape_count(in[1], 1) / in[1]->dim[0]);
}

/* The convolution that leads from y's shape to x's. */
static nn_conv_spec deconv_spec(nn_build *b, const nn_node *node)
{
    nn_conv_spec s = {0};
    nn_shape x, y, k;
    nn_window w;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->in[1], &k);
    nn_build_dims(b, node->out[0], &y);
    FL_REQUIRE(nn_deconv_window(&w, node, &x, &k, NULL) == FL_OK);
    s.n_spatial = w.rank;
    s.group = nn_node_int(node, "group", 1);
    memcpy(s.src, y.dim, sizeof s.src);
    memcpy(s.dst, x.dim, sizeof s.dst);
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
    return s;
}

static const nn_layout *plain_weight(nn_build *b, const nn_conv_spec *s)
{
    return nn_layout_plain(nn_build_dnnl(b), s->n_spatial + 2 + (s->group > 1), s->weight);
}

static nn_slot plan_bias(nn_build *b, const nn_node *node, nn_slot y)
{
    nn_shape dims;
    nn_channels way;

    nn_build_dims(b, node->out[0], &dims);
    if (!nn_channels_of(&way, b, y, &dims)) {
        y = nn_build_in_plain(b, y, &dims);
    }
    nn_channels_add(b, y, &dims, nn_build_value(b, node->in[2]));
    return y;
}

static void deconv_plan(nn_build *b, const nn_node *node)
{
    nn_dnnl *d = nn_build_dnnl(b);
    nn_conv_spec s = deconv_spec(b, node);
    nn_slot x = nn_build_value(b, node->in[0]);
    nn_prim *conv = nn_dnnl_conv(d, &s, NN_PASS_TRAIN, NULL, NULL);
    nn_prim *prim = nn_dnnl_conv(d, &s, NN_PASS_DATA_GRAD, NULL, conv);
    nn_slot dst = nn_build_in_layout(b, x, nn_prim_layout(prim, NN_DIFF_DST));
    nn_slot weights = nn_build_param(b, node->in[1], plain_weight(b, &s),
                                     nn_prim_layout(prim, NN_WEIGHTS));
    nn_slot y = nn_build_slot(b, nn_prim_layout(prim, NN_DIFF_SRC));

    nn_build_prim(b, prim, (nn_use[]){{NN_DIFF_DST, dst}, {NN_WEIGHTS, weights}, {NN_DIFF_SRC, y}},
                  3);
    if (node->n_in > 2 && node->in[2] >= 0) {
        y = plan_bias(b, node, y);
    }
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){conv, {dst, -1, -1, -1}};
}

static void plan_bias_grad(nn_build *b, const nn_node *node)
{
    nn_shape dims;
    nn_channels way;

    nn_build_dims(b, node->out[0], &dims);
    const nn_layout *channels = nn_layout_plain(nn_build_dnnl(b), 1, &dims.dim[1]);
    nn_slot dy = nn_build_grad(b, node->out[0]);
    if (!nn_channels_of(&way, b, dy, &dims)) {
        dy = nn_build_in_plain(b, dy, &dims);
    }
    nn_slot db = nn_build_param_grad(b, node->in[2], channels, channels);
    nn_channels_sum(b, dy, &dims, db);
    nn_build_param_grad_done(b, node->in[2], channels, db);
}

static void deconv_plan_grad(nn_build *b, const nn_node *node)
{
    nn_dnnl *d = nn_build_dnnl(b);
    nn_conv_spec s = deconv_spec(b, node);
    const nn_layout *plain = plain_weight(b, &s);
    nn_memo memo = *nn_build_memo(b, node);
    nn_slot arrived = nn_build_grad(b, node->out[0]);

    nn_prim *prim = nn_dnnl_conv(d, &s, NN_PASS_WEIGHT_GRAD, NULL, memo.prim);
    nn_slot dy = nn_build_in_layout(b, arrived, nn_prim_layout(prim, NN_SRC));
    nn_slot x = nn_build_in_layout(b, memo.slot[0], nn_prim_layout(prim, NN_DIFF_DST));
    nn_slot dw = nn_build_param_grad(b, node->in[1], plain, nn_prim_layout(prim, NN_DIFF_WEIGHTS));
    nn_build_prim(b, prim, (nn_use[]){{NN_SRC, dy}, {NN_DIFF_DST, x}, {NN_DIFF_WEIGHTS, dw}}, 3);
    nn_build_param_grad_done(b, node->in[1], plain, dw);
    if (node->n_in > 2 && nn_build_wants_grad(b, node->in[2])) {
        plan_bias_grad(b, node);
    }
    if (!nn_build_wants_grad(b, node->in[0])) {
        return;
    }
    dy = nn_build_in_layout(b, arrived, nn_prim_layout(memo.prim, NN_SRC));
    nn_slot weights = nn_build_param(b, node->in[1], plain, nn_prim_layout(memo.prim, NN_WEIGHTS));
    nn_slot dx = nn_build_slot(b, nn_prim_layout(memo.prim, NN_DST));
    nn_build_prim(b, memo.prim, (nn_use[]){{NN_SRC, dy}, {NN_WEIGHTS, weights}, {NN_DST, dx}}, 3);
    nn_build_add_grad(b, node->in[0], nn_build_in_plan_type(b, dx));
}

const nn_op nn_ops_deconv[] = {
    {
        .name = "ConvTranspose",
        .min_inputs = 2,
        .max_inputs = 3,
        .attrs = {"kernel_shape", "strides", "pads", "dilations", "group", "auto_pad",
                  "output_padding", "output_shape"},
        .shape = deconv_shape,
        .macs = deconv_macs,
        .plan = deconv_plan,
        .plan_grad = deconv_plan_grad,
    },
    {0},
};
