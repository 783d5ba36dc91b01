/*
 * layers.c - layers that several architectures share; see layers.h
 */
#include "model/layers.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SPATIAL = 3, N_GROUPS = 32, CHANNELS_A_GROUP = 4 };

/* ------------------------------------------------------------------ graphs */

nn_graph *model_image_graph(nn_value *x, const char *name, const model_io *io)
{
    nn_graph *g = nn_graph_new(name);

    *x = nn_graph_input(g, "image", &io->input);
    return g;
}

fl_status model_finish(nn_graph **out, nn_graph *g, fl_err *err)
{
    fl_status st = nn_graph_finish(g, err);
    if (st != FL_OK) {
        nn_graph_destroy(&g);
    }
    *out = g;
    return st;
}

fl_status model_finish_logits(nn_graph **out, nn_graph *g, nn_value logits, fl_err *err)
{
    if (logits >= 0) {
        nn_graph_output(g, "logits", logits);
    }
    return model_finish(out, g, err);
}

bool model_has_small_stem(const model_config *cfg, const model_io *io)
{
    bool is_small = false;

    for (int i = 2; i < io->input.rank; i++) {
        is_small = is_small || io->input.dim[i] < MODEL_FULL_STEM_SIZE;
    }
    return cfg->stem == MODEL_STEM_AUTO ? is_small : cfg->stem == MODEL_STEM_SMALL;
}

fl_status model_check_image(const char *name, const model_io *io, int64_t least, int halvings,
                            fl_err *err)
{
    if (io->input.rank < 4 || io->input.rank > 5) {
        return fl_fail(err, FL_ECONFIG,
                       "model %s needs images (channels, height, width), not a table", name);
    }
    for (int i = 2; i < io->input.rank; i++) {
        if (io->input.dim[i] < least) {
            return fl_fail(err, FL_ECONFIG,
                           "model %s halves its input %d times: %lld pixels are too few, at least "
                           "%lld; resize the images, or take a model with fewer steps",
                           name, halvings, (long long)io->input.dim[i], (long long)least);
        }
    }
    return FL_OK;
}

/* NULL after a mistake. */
static const nn_shape *shape_of(const nn_graph *g, nn_value x)
{
    return x >= 0 ? nn_graph_shape(g, x) : NULL;
}

static void full_name(char out[static NN_NAME_BYTES], const char *prefix, const char *name)
{
    snprintf(out, NN_NAME_BYTES, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
}

static nn_value param(nn_graph *g, const char *layer, const char *what, nn_kind kind,
                      const nn_shape *shape, nn_init init, int64_t fan)
{
    char name[NN_NAME_BYTES + 16];

    snprintf(name, sizeof name, "%s.%s", layer, what);
    return nn_graph_param(g, name, kind, shape, init, fan);
}

/* The same number for every axis. */
static const int64_t *each(int64_t out[static 2 * MAX_SPATIAL], int64_t number)
{
    for (int i = 0; i < 2 * MAX_SPATIAL; i++) {
        out[i] = number;
    }
    return out;
}

/* ------------------------------------------------------------ with numbers */

nn_value model_conv(nn_graph *g, const char *prefix, const char *name, nn_value x,
                    const model_conv_spec *s)
{
    const nn_shape *in = shape_of(g, x);
    char layer[NN_NAME_BYTES];
    int64_t kernel[2 * MAX_SPATIAL], stride[2 * MAX_SPATIAL], pads[2 * MAX_SPATIAL];

    if (in == NULL) {
        return -1;
    }
    full_name(layer, prefix, name);
    size_t n = (size_t)in->rank - 2;
    nn_shape weight = {in->rank, {s->channels, in->dim[1]}}, bias = {1, {s->channels}};
    int64_t fan_in = in->dim[1];
    for (size_t i = 0; i < n; i++) {
        weight.dim[2 + i] = s->kernel;
        fan_in *= s->kernel;
    }
    nn_attr attrs[] = {NN_INTS("kernel_shape", each(kernel, s->kernel), n),
                       NN_INTS("strides", each(stride, s->stride > 0 ? s->stride : 1), n),
                       NN_INTS("pads", each(pads, s->pad), 2 * n)};
    nn_value inputs[] = {x, param(g, layer, "weight", NN_WEIGHT, &weight, s->init, s->fan), -1};
    if (s->bias) {
        nn_init init = s->init == NN_INIT_FAN_IN ? NN_INIT_FAN_IN : NN_INIT_ZERO;
        inputs[2] = param(g, layer, "bias", NN_BIAS, &bias, init, fan_in);
    }
    return nn_graph_op(g, "Conv", layer, inputs, 3, attrs, 3);
}

nn_value model_up_conv(nn_graph *g, const char *prefix, const char *name, nn_value x,
                       int64_t channels, nn_init init)
{
    const nn_shape *in = shape_of(g, x);
    char layer[NN_NAME_BYTES];
    int64_t two[2 * MAX_SPATIAL];

    if (in == NULL) {
        return -1;
    }
    full_name(layer, prefix, name);
    size_t n = (size_t)in->rank - 2;
    nn_shape weight = {in->rank, {in->dim[1], channels}}, bias = {1, {channels}};
    for (size_t i = 0; i < n; i++) {
        weight.dim[2 + i] = 2;
    }
    each(two, 2);
    nn_attr attrs[] = {NN_INTS("kernel_shape", two, n), NN_INTS("strides", two, n)};
    nn_value inputs[] = {x, param(g, layer, "weight", NN_WEIGHT, &weight, init, in->dim[1]),
                         param(g, layer, "bias", NN_BIAS, &bias, NN_INIT_ZERO, 0)};
    return nn_graph_op(g, "ConvTranspose", layer, inputs, 3, attrs, 2);
}

nn_value model_linear(nn_graph *g, const char *name, nn_value x, const model_linear_spec *s)
{
    const nn_shape *in = shape_of(g, x);

    if (in == NULL) {
        return -1;
    }
    nn_shape weight = {2, {s->features, in->dim[1]}}, bias = {1, {s->features}};
    nn_value inputs[] = {x, param(g, name, "weight", NN_WEIGHT, &weight, s->init, s->fan),
                         param(g, name, "bias", NN_BIAS, &bias, s->bias_init, weight.dim[1])};
    return nn_graph_op(g, "Gemm", name, inputs, 3, (nn_attr[]){NN_INT("transB", 1)}, 1);
}

/* ---------------------------------------------------------- normalisations */

model_norm_spec model_norm_of(const model_config *cfg, model_norm dflt)
{
    return (model_norm_spec){cfg->norm == MODEL_NORM_DEFAULT ? dflt : cfg->norm, cfg->groups, 1e-5};
}

static int64_t groups_of(int64_t channels, int64_t most)
{
    int64_t n = most > 0 ? most : N_GROUPS;

    while (n > 1 && (channels % n != 0 || channels / n < CHANNELS_A_GROUP)) {
        n--;
    }
    return n;
}

nn_value model_norm_layer(nn_graph *g, const char *prefix, const char *name, nn_value x,
                          const model_norm_spec *s)
{
    const nn_shape *in = shape_of(g, x);
    char layer[NN_NAME_BYTES];

    if (in == NULL || s->kind == MODEL_NORM_NONE) {
        return x;
    }
    full_name(layer, prefix, name);
    nn_shape channels = {1, {in->dim[1]}};
    nn_attr attrs[] = {NN_FLOAT("epsilon", s->epsilon),
                       NN_INT("num_groups", groups_of(in->dim[1], s->groups))};
    nn_value inputs[5] = {x, param(g, layer, "weight", NN_NORM, &channels, NN_INIT_ONE, 0),
                          param(g, layer, "bias", NN_NORM, &channels, NN_INIT_ZERO, 0)};
    if (s->kind == MODEL_NORM_GROUP) {
        return nn_graph_op(g, "GroupNormalization", layer, inputs, 3, attrs, 2);
    }
    if (s->kind == MODEL_NORM_INSTANCE) {
        return nn_graph_op(g, "InstanceNormalization", layer, inputs, 3, attrs, 1);
    }
    inputs[3] = param(g, layer, "running_mean", NN_STAT, &channels, NN_INIT_ZERO, 0);
    inputs[4] = param(g, layer, "running_var", NN_STAT, &channels, NN_INIT_ONE, 0);
    return nn_graph_op(g, "BatchNormalization", layer, inputs, 5, attrs, 1);
}

/* --------------------------------------------------------- without numbers */

nn_value model_pool(nn_graph *g, const char *op, nn_value x, int64_t kernel, int64_t stride,
                    int64_t pad, bool ceil)
{
    const nn_shape *in = shape_of(g, x);
    int64_t kernels[2 * MAX_SPATIAL], strides[2 * MAX_SPATIAL], pads[2 * MAX_SPATIAL];

    if (in == NULL) {
        return -1;
    }
    size_t n = (size_t)in->rank - 2;
    nn_attr attrs[] = {NN_INTS("kernel_shape", each(kernels, kernel), n),
                       NN_INTS("strides", each(strides, stride), n),
                       NN_INTS("pads", each(pads, pad), 2 * n), NN_INT("ceil_mode", ceil)};
    return nn_graph_op(g, op, NULL, &x, 1, attrs, ceil ? 4 : 3);
}

/* Numbers start to end - 1 along an axis. */
static nn_value slice(nn_graph *g, nn_value x, int64_t axis, int64_t start, int64_t end)
{
    nn_attr attrs[] = {NN_INTS("starts", &start, 1), NN_INTS("ends", &end, 1),
                       NN_INTS("axes", &axis, 1)};

    return nn_graph_op(g, "Slice", NULL, &x, 1, attrs, 3);
}

/* Where the stretches overlap or differ in length: a mean for each, axis by
 * axis, which is the mean over the rectangle. */
static nn_value adaptive_pool_along(nn_graph *g, nn_value x, int64_t axis, int64_t n, int64_t size)
{
    nn_value part[64];

    FL_REQUIRE(size <= (int64_t)(sizeof part / sizeof *part));
    for (int64_t i = 0; i < size; i++) {
        part[i] = slice(g, x, axis, i * n / size, ((i + 1) * n + size - 1) / size);
        nn_attr attrs[] = {NN_INTS("axes", &axis, 1), NN_INT("keepdims", 1)};
        part[i] = nn_graph_op(g, "ReduceMean", NULL, &part[i], 1, attrs, 2);
    }
    return nn_graph_op(g, "Concat", NULL, part, (size_t)size, (nn_attr[]){NN_INT("axis", axis)}, 1);
}

nn_value model_adaptive_pool(nn_graph *g, nn_value x, int64_t size)
{
    const nn_shape *in = shape_of(g, x);
    int64_t kernel[MAX_SPATIAL];
    bool is_even = true, is_same = true;

    if (in == NULL) {
        return -1;
    }
    nn_shape from = *in;
    for (int i = 0; i < from.rank - 2; i++) {
        kernel[i] = from.dim[2 + i] / size;
        is_even = is_even && from.dim[2 + i] % size == 0;
        is_same = is_same && from.dim[2 + i] == size;
    }
    size_t n = (size_t)from.rank - 2;
    if (is_same) {
        return x;
    }
    if (is_even) {
        nn_attr attrs[] = {NN_INTS("kernel_shape", kernel, n), NN_INTS("strides", kernel, n)};
        return nn_graph_op(g, "AveragePool", NULL, &x, 1, attrs, 2);
    }
    for (int i = 2; i < from.rank; i++) {
        x = adaptive_pool_along(g, x, i, from.dim[i], size);
    }
    return x;
}

nn_value model_concat(nn_graph *g, const nn_value *parts, size_t n)
{
    return nn_graph_op(g, "Concat", NULL, parts, n, (nn_attr[]){NN_INT("axis", 1)}, 1);
}

nn_value model_crop(nn_graph *g, nn_value x, nn_value like)
{
    const nn_shape *from = shape_of(g, x), *to = shape_of(g, like);
    int64_t starts[MAX_SPATIAL], ends[MAX_SPATIAL], axes[MAX_SPATIAL];
    bool is_same = true;

    if (from == NULL || to == NULL) {
        return -1;
    }
    for (int i = 0; i < from->rank - 2; i++) {
        starts[i] = (from->dim[2 + i] - to->dim[2 + i]) / 2;
        ends[i] = starts[i] + to->dim[2 + i];
        axes[i] = 2 + i;
        is_same = is_same && from->dim[2 + i] == to->dim[2 + i];
    }
    size_t n = (size_t)from->rank - 2;
    nn_attr attrs[] = {NN_INTS("starts", starts, n), NN_INTS("ends", ends, n),
                       NN_INTS("axes", axes, n)};
    return is_same ? x : nn_graph_op(g, "Slice", NULL, &x, 1, attrs, 3);
}

nn_value model_pad(nn_graph *g, nn_value x, nn_value like)
{
    const nn_shape *from = shape_of(g, x), *to = shape_of(g, like);
    int64_t pads[2 * (MAX_SPATIAL + 2)] = {0};
    bool is_same = true;

    if (from == NULL || to == NULL) {
        return -1;
    }
    for (int i = 2; i < from->rank; i++) {
        int64_t missing = to->dim[i] - from->dim[i];
        pads[i] = missing / 2;
        pads[from->rank + i] = missing - missing / 2;
        is_same = is_same && missing == 0;
    }
    nn_attr attrs[] = {NN_INTS("pads", pads, 2 * (size_t)from->rank)};
    return is_same ? x : nn_graph_op(g, "Pad", NULL, &x, 1, attrs, 1);
}
