/*
 * unet.c - U-Net (Ronneberger et al. 2015; in 3-D Çiçek et al. 2016) and
 * Attention U-Net (Oktay et al. 2018)
 *
 *     inc   ------------------------------ skip -- (gate) --> concat -> up4
 *      down1  -------------------- skip -- (gate) --> concat -> up3  ^
 *        ...                                                      ... ^
 *          down4 (the deepest; dropout) ------------ ConvTranspose -> up1
 *
 * A level is two 3x3 convolutions, each with a normalisation and a ReLU.  Going
 * down halves the size and doubles the channels, from `base`; `depth` times.
 * Parameters are named as the widely used PyTorch module's (milesial/Pytorch-UNet):
 * inc.double_conv.0.weight, down1.maxpool_conv.1.double_conv.0.weight, up1.up.weight,
 * up1.conv.double_conv.0.weight, outc.conv.weight.  Weights start as the paper
 * says, N(0, 2 / fan in).
 *
 * padding: same   every convolution is padded, so the output has the input's size,
 *                 whatever it is: where halving lost a pixel, a zero is put back in
 *                 front of the skip.
 * padding: valid  the original.  Nothing is padded, skips are cropped, the output is
 *                 smaller (572 -> 388): its pixel (i, j) is the input's (i + m, j + m),
 *                 m = (input - output) / 2, so targets are cropped by m on each side.
 *                 Only sizes that halve without a rest fit.
 *           mirrored  the same for a task, which wants an output for every pixel of images of
 *                 any size: the image is first continued by mirroring it at its edges, as the
 *                 paper does (section 2, the overlap-tile strategy), until what comes out is at
 *                 least as large as the image; what is more is cropped.  All of it is in the
 *                 graph, so masks, metrics and an ONNX file are of the image's own pixels.
 */
#include "model/unet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/layers.h"

enum { MAX_DEPTH = 7, BASE = 16, DEPTH = 4 };

typedef struct {
    nn_graph *g;
    model_norm_spec norm;
    bool valid;  // no padding
    bool mirrors;  // but the image continued by mirroring
    bool gated;
    bool maps;  // the gates' weights are outputs, too
    int depth;
    nn_value attention[MAX_DEPTH];  // by number of the up step; -1 = has no gate
} net;

static nn_value conv(const net *n, const char *prefix, const char *name, nn_value x,
                     int64_t channels)
{
    return model_conv(n->g, prefix, name, x,
                      &(model_conv_spec){.channels = channels,
                                         .kernel = 3,
                                         .pad = n->valid ? 0 : 1,
                                         .bias = n->norm.kind == MODEL_NORM_NONE,
                                         .init = NN_INIT_HE_NORMAL});
}

/* 0 and 3 are the convolutions, 1 and 4 the normalisations, also where there are none. */
static nn_value double_conv(const net *n, const char *prefix, nn_value x, int64_t channels)
{
    x = conv(n, prefix, "double_conv.0", x, channels);
    x = nn_relu(n->g, model_norm_layer(n->g, prefix, "double_conv.1", x, &n->norm));
    x = conv(n, prefix, "double_conv.3", x, channels);
    return nn_relu(n->g, model_norm_layer(n->g, prefix, "double_conv.4", x, &n->norm));
}

static nn_value conv1(const net *n, const char *prefix, const char *name, nn_value x,
                      int64_t channels, nn_init init)
{
    return model_conv(
        n->g, prefix, name, x,
        &(model_conv_spec){.channels = channels, .kernel = 1, .bias = true, .init = init});
}

/* alpha (N, 1, h, w), between 0 and 1, as large as `like`.  By factors, since an
 * ONNX file with sizes would have to name the batch's; one that is no whole number
 * is a little larger, so that it is not rounded down to a pixel less. */
static nn_value resize(const net *n, nn_value alpha, nn_value like)
{
    double scales[NN_MAX_RANK] = {1, 1};

    if (alpha < 0 || like < 0) {
        return -1;
    }
    nn_shape from = *nn_graph_shape(n->g, alpha), to = *nn_graph_shape(n->g, like);
    for (int i = 2; i < from.rank; i++) {
        float scale = (float)to.dim[i] / (float)from.dim[i];
        scales[i] = to.dim[i] % from.dim[i] == 0 ? scale : nextafterf(scale, INFINITY);
    }
    nn_attr attrs[] = {NN_TEXT("mode", "linear"), NN_FLOATS("scales", scales, (size_t)from.rank)};
    return nn_graph_op(n->g, "Resize", NULL, &alpha, 1, attrs, 2);
}

/*
 * Additive attention, equations 1 and 2 of Oktay et al.: with x the skip and g the
 * features of the next coarser level, q = psi' relu(W_x x + W_g g + b_g) + b_psi on
 * g's grid (W_x is a convolution of stride 2), alpha = sigmoid(q) brought to x's grid
 * linearly; the skip becomes alpha x.  As the paper asks, gates start letting
 * everything through alike: psi at 0.
 */
static nn_value gate(net *n, int i, nn_value x, nn_value g)
{
    char prefix[MODEL_NAME_BYTES];

    if (x < 0) {
        return -1;
    }
    snprintf(prefix, sizeof prefix, "att%d", i + 1);
    int64_t C = nn_graph_shape(n->g, x)->dim[1], inner = C > 1 ? C / 2 : 1;
    nn_value wx = model_conv(
        n->g, prefix, "W_x", x,
        &(model_conv_spec){.channels = inner, .kernel = 2, .stride = 2, .init = NN_INIT_HE_NORMAL});
    nn_value wg = conv1(n, prefix, "W_g", g, inner, NN_INIT_HE_NORMAL);
    nn_value q = conv1(n, prefix, "psi", nn_relu(n->g, nn_add(n->g, wx, wg)), 1, NN_INIT_ZERO);
    nn_value alpha = resize(n, nn_graph_op(n->g, "Sigmoid", NULL, &q, 1, NULL, 0), x);
    n->attention[i] = alpha;
    return nn_graph_op(n->g, "Mul", NULL, (nn_value[]){x, alpha}, 2, NULL, 0);
}

/* Back up to the skip's level. */
static nn_value up(net *n, int i, nn_value x, nn_value skip, int64_t channels)
{
    char prefix[MODEL_NAME_BYTES];
    bool is_first_skip = i == n->depth - 1;  // too close to the image to be gated

    if (n->gated && !is_first_skip) {
        skip = gate(n, i, skip, x);
    }
    snprintf(prefix, sizeof prefix, "up%d", i + 1);
    x = model_up_conv(n->g, prefix, "up", x, channels, NN_INIT_HE_NORMAL);
    if (n->valid) {
        skip = model_crop(n->g, skip, x);
    } else {
        x = model_pad(n->g, x, skip);
    }
    snprintf(prefix, sizeof prefix, "up%d.conv", i + 1);
    return double_conv(n, prefix, model_concat(n->g, (nn_value[]){skip, x}, 2), channels);
}

/* The size that comes out of the original's form, or 0 where one does not fit. */
static int64_t valid_size(int64_t size, int depth)
{
    for (int i = 0; i < depth; i++) {
        size -= 4;
        if (size <= 0 || size % 2 != 0) {
            return 0;
        }
        size /= 2;
    }
    for (int i = 0; i <= depth; i++) {
        size -= 4;
        if (size <= 0) {
            return 0;
        }
        size *= i < depth ? 2 : 1;
    }
    return size;
}

/*
 * Goes from the size of the image to the next one of the original's form from which at least
 * the image comes out.  In front of it are the pixels that the form loses, and half of what is
 * too much; model_crop takes that half away again.
 */
static fl_status mirror(net *n, nn_value *x, fl_err *err)
{
    const nn_shape *image = nn_graph_shape(n->g, *x);
    int64_t pads[2 * NN_MAX_RANK] = {0};
    int rank = image->rank;

    for (int i = 2; i < rank; i++) {
        int64_t size = image->dim[i], enlarged = size;
        while (valid_size(enlarged, n->depth) < size) {
            enlarged++;
        }
        int64_t out = valid_size(enlarged, n->depth);
        pads[i] = (enlarged - out) / 2 + (out - size) / 2;
        pads[rank + i] = enlarged - size - pads[i];
        if (pads[i] >= size || pads[rank + i] >= size) {
            return fl_fail(err, FL_ECONFIG,
                           "model unet with padding: valid and depth: %d mirrors %lld pixels of "
                           "each side of the image, which has only %lld; a smaller depth, or "
                           "padding: same",
                           n->depth, (long long)pads[rank + i], (long long)size);
        }
    }
    nn_attr attrs[] = {NN_TEXT("mode", "reflect"), NN_INTS("pads", pads, 2 * (size_t)rank)};
    *x = nn_graph_op(n->g, "Pad", NULL, x, 1, attrs, 2);
    return FL_OK;
}

static fl_status check_valid_size(const model_io *io, int depth, fl_err *err)
{
    for (int i = 2; i < io->input.rank; i++) {
        int64_t size = io->input.dim[i], below = size, above = size;
        if (valid_size(size, depth) > 0) {
            continue;
        }
        while (below > 0 && valid_size(below, depth) == 0) {
            below--;
        }
        while (valid_size(above, depth) == 0) {
            above++;
        }
        return below > 0 ? fl_fail(err, FL_ECONFIG,
                                   "model unet with padding: valid and depth: %d fits %lld or %lld "
                                   "pixels, not %lld",
                                   depth, (long long)below, (long long)above, (long long)size)
                         : fl_fail(err, FL_ECONFIG,
                                   "model unet with padding: valid and depth: %d needs at least "
                                   "%lld pixels, not %lld",
                                   depth, (long long)above, (long long)size);
    }
    return FL_OK;
}

static fl_status check(const net *n, const char *name, const model_io *io, fl_err *err)
{
    if (n->gated && n->depth < 2) {
        return fl_fail(err, FL_ECONFIG,
                       "model %s has no gate at depth: 1, as the first skip has none; depth: 2 "
                       "or more",
                       name);
    }
    fl_status st = model_check_image(name, io, INT64_C(1) << n->depth, n->depth, err);
    return st == FL_OK && n->valid && !n->mirrors ? check_valid_size(io, n->depth, err) : st;
}

/* Asked for, the weights that each gate gives the pixels of its skip, coarsest first. */
static void add_maps(const net *n)
{
    char name[MODEL_NAME_BYTES];

    for (int i = 0; n->maps && i < n->depth; i++) {
        if (n->attention[i] >= 0) {
            snprintf(name, sizeof name, "attention%d", i + 1);
            nn_graph_output(n->g, name, n->attention[i]);
        }
    }
}

static fl_status build(nn_graph **out, const model_config *cfg, const model_io *io, bool gated,
                       fl_err *err)
{
    int64_t base = cfg->base > 0 ? cfg->base : BASE;
    net n = {.norm = model_norm_of(cfg, MODEL_NORM_BATCH),
             .valid = cfg->padding != MODEL_PADDING_SAME,
             .mirrors = cfg->padding == MODEL_PADDING_MIRRORED,
             .gated = gated,
             .maps = cfg->maps,
             .depth = cfg->depth > 0 ? (int)cfg->depth : DEPTH};
    char prefix[MODEL_NAME_BYTES];
    nn_value x, skips[MAX_DEPTH];

    *out = NULL;
    FL_REQUIRE(n.depth <= MAX_DEPTH);
    fl_status st = check(&n, cfg->name, io, err);
    if (st != FL_OK) {
        return st;
    }
    n.g = model_image_graph(&x, cfg->name, io);
    nn_value image = x;
    if (n.mirrors && (st = mirror(&n, &x, err)) != FL_OK) {
        nn_graph_destroy(&n.g);
        return st;
    }
    x = double_conv(&n, "inc", x, base);
    for (int i = 0; i < n.depth; i++) {
        skips[i] = x;
        n.attention[i] = -1;
        snprintf(prefix, sizeof prefix, "down%d.maxpool_conv.1", i + 1);
        x = double_conv(&n, prefix, nn_max_pool(n.g, x, 2, 2), base << (i + 1));
    }
    x = nn_dropout(n.g, x, cfg->dropout);
    for (int i = 0; i < n.depth; i++) {
        int level = n.depth - 1 - i;
        x = up(&n, i, x, skips[level], base << level);
    }
    x = conv1(&n, "outc", "conv", x, io->n_outputs, NN_INIT_FAN_IN);
    x = n.mirrors ? model_crop(n.g, x, image) : x;
    if (x >= 0) {
        nn_graph_output(n.g, "logits", x);
        add_maps(&n);
    }
    return model_finish(out, n.g, err);
}

static fl_status build_unet(nn_graph **out, const model_config *cfg, const model_io *io,
                            fl_err *err)
{
    return build(out, cfg, io, false, err);
}

static fl_status build_attention_unet(nn_graph **out, const model_config *cfg, const model_io *io,
                                      fl_err *err)
{
    return build(out, cfg, io, true, err);
}

const model_ops model_unet = {
    .name = "unet",
    .paper = "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, "
             "2015",
    .help = "U-Net: an output for each pixel; in 2-D and 3-D",
    .per_pixel = true,
    .keys = MODEL_DROPOUT | MODEL_NORM | MODEL_BASE | MODEL_DEPTH | MODEL_PADDING,
    .norms = MODEL_NORMS_ALL,
    .build = build_unet,
};

const model_ops model_attention_unet = {
    .name = "attention_unet",
    .paper = "Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, 2018",
    .help = "U-Net with additive attention gates on all skips but the first",
    .per_pixel = true,
    .keys = MODEL_DROPOUT | MODEL_NORM | MODEL_BASE | MODEL_DEPTH | MODEL_MAPS,
    .norms = MODEL_NORMS_ALL,
    .build = build_attention_unet,
};
