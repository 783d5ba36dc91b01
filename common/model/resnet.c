/*
 * resnet.c - residual networks (He et al. 2016)
 *
 * Parameters are named, and start, as torchvision's; so its state dict of 3
 * channels and as many classes fits.  (MedMNIST's own code builds the same
 * network of 18 layers with the small stem; it says shortcut for downsample and
 * linear for fc.)  Like torchvision, resnet50 halves in the 3x3 convolution of
 * a block, where the paper halves in the first 1x1.
 */
#include "model/resnet.h"

#include <stdio.h>
#include <string.h>

#include "model/layers.h"

enum { N_STAGES = 4, BASE = 64, EXPANSION = 4 };

typedef struct {
    const char *name;
    int n_blocks[N_STAGES];
    bool bottleneck;  // 1x1, 3x3, 1x1 to four times the width; else two 3x3
} variant;

static const variant variants[] = {
    {"resnet18", {2, 2, 2, 2}, false},
    {"resnet34", {3, 4, 6, 3}, false},
    {"resnet50", {3, 4, 6, 3}, true},
};

static const variant *variant_of(const char *name)
{
    const variant *v = variants;

    while (strcmp(v->name, name) != 0) {
        v++;
        FL_REQUIRE(v < variants + sizeof variants / sizeof *variants);
    }
    return v;
}

static nn_value conv(nn_graph *g, const char *block, const char *name, nn_value x, int64_t channels,
                     int64_t kernel, int64_t stride)
{
    return model_conv(g, block, name, x,
                      &(model_conv_spec){.channels = channels,
                                         .kernel = kernel,
                                         .stride = stride,
                                         .pad = kernel / 2,
                                         .init = NN_INIT_HE_FAN_OUT});
}

/* y = relu(F(x) + x); x goes through a 1x1 convolution where the shape changes. */
static nn_value residual(nn_graph *g, const char *block, nn_value x, int64_t width, int64_t stride,
                         bool bottleneck, const model_norm_spec *norm)
{
    int64_t channels = bottleneck ? EXPANSION * width : width;
    nn_value y = x, shortcut = x;

    if (bottleneck) {
        y = conv(g, block, "conv1", y, width, 1, 1);
        y = nn_relu(g, model_norm_layer(g, block, "bn1", y, norm));
        y = conv(g, block, "conv2", y, width, 3, stride);
        y = nn_relu(g, model_norm_layer(g, block, "bn2", y, norm));
        y = conv(g, block, "conv3", y, channels, 1, 1);
        y = model_norm_layer(g, block, "bn3", y, norm);
    } else {
        y = conv(g, block, "conv1", y, width, 3, stride);
        y = nn_relu(g, model_norm_layer(g, block, "bn1", y, norm));
        y = conv(g, block, "conv2", y, width, 3, 1);
        y = model_norm_layer(g, block, "bn2", y, norm);
    }
    if (x >= 0 && (stride != 1 || nn_graph_shape(g, x)->dim[1] != channels)) {
        shortcut = conv(g, block, "downsample.0", x, channels, 1, stride);
        shortcut = model_norm_layer(g, block, "downsample.1", shortcut, norm);
    }
    return nn_relu(g, nn_add(g, y, shortcut));
}

static fl_status build_resnet(nn_graph **out, const model_config *cfg, const model_io *io,
                              fl_err *err)
{
    const variant *v = variant_of(cfg->name);
    model_norm_spec norm = model_norm_of(cfg, MODEL_NORM_BATCH);
    int64_t base = cfg->base > 0 ? cfg->base : BASE;
    char block[MODEL_NAME_BYTES];
    nn_value x;

    *out = NULL;
    fl_status st = model_check_image(cfg->name, io, 8, 3, err);
    if (st != FL_OK) {
        return st;
    }
    nn_graph *g = model_image_graph(&x, cfg->name, io);
    if (model_has_small_stem(cfg, io)) {
        x = conv(g, "", "conv1", x, base, 3, 1);
        x = nn_relu(g, model_norm_layer(g, "", "bn1", x, &norm));
    } else {
        x = conv(g, "", "conv1", x, base, 7, 2);
        x = nn_relu(g, model_norm_layer(g, "", "bn1", x, &norm));
        x = model_pool(g, "MaxPool", x, 3, 2, 1, false);
    }
    for (int stage = 0; stage < N_STAGES; stage++) {
        for (int i = 0; i < v->n_blocks[stage]; i++) {
            snprintf(block, sizeof block, "layer%d.%d", stage + 1, i);
            x = residual(g, block, x, base << stage, stage > 0 && i == 0 ? 2 : 1, v->bottleneck,
                         &norm);
        }
    }
    x = nn_dropout(g, nn_flatten(g, nn_global_average_pool(g, x)), cfg->dropout);
    x = model_linear(g, "fc", x,
                     &(model_linear_spec){.features = io->n_outputs,
                                          .init = NN_INIT_FAN_IN,
                                          .bias_init = NN_INIT_FAN_IN});
    return model_finish_logits(out, g, x, err);
}

#define RESNET(layers)                                                                      \
    {                                                                                       \
        .name = "resnet" #layers,                                                           \
        .paper = "He et al., Deep Residual Learning for Image Recognition, 2016",           \
        .help = "residual network of " #layers " layers",                                   \
        .keys = MODEL_DROPOUT | MODEL_NORM | MODEL_STEM | MODEL_BASE, .norms = MODEL_NORMS, \
        .build = build_resnet,                                                              \
    }

const model_ops model_resnet18 = RESNET(18), model_resnet34 = RESNET(34),
                model_resnet50 = RESNET(50);
