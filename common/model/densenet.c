/*
 * densenet.c - DenseNet-121 (Huang et al. 2017)
 *
 * Parameters are named, and start, as torchvision's:
 * features.denseblock1.denselayer1.norm1.weight.  The first convolution has twice
 * the growth rate's channels (base = 2 k), as the paper says.  Dropout is behind
 * each layer of a block.
 */
#include "model/densenet.h"

#include <stdio.h>

#include "model/layers.h"

enum { BASE = 64, BOTTLENECK = 4, N_BLOCKS = 4 };

static nn_value conv(nn_graph *g, const char *prefix, const char *name, nn_value x,
                     int64_t channels, int64_t kernel, int64_t stride)
{
    return model_conv(g, prefix, name, x,
                      &(model_conv_spec){.channels = channels,
                                         .kernel = kernel,
                                         .stride = stride,
                                         .pad = kernel / 2,
                                         .init = NN_INIT_HE_NORMAL});
}

static nn_value norm_relu(nn_graph *g, const char *prefix, const char *name, nn_value x,
                          const model_norm_spec *norm)
{
    return nn_relu(g, model_norm_layer(g, prefix, name, x, norm));
}

/* k more channels from all of x, put behind x. */
static nn_value dense_layer(nn_graph *g, const char *prefix, nn_value x, int64_t k, double dropout,
                            const model_norm_spec *norm)
{
    nn_value y = norm_relu(g, prefix, "norm1", x, norm);

    y = norm_relu(g, prefix, "norm2", conv(g, prefix, "conv1", y, BOTTLENECK * k, 1, 1), norm);
    y = nn_dropout(g, conv(g, prefix, "conv2", y, k, 3, 1), dropout);
    return model_concat(g, (nn_value[]){x, y}, 2);
}

/* Half the channels, half the size. */
static nn_value transition(nn_graph *g, const char *prefix, nn_value x, const model_norm_spec *norm)
{
    if (x < 0) {
        return -1;
    }
    int64_t half = nn_graph_shape(g, x)->dim[1] / 2;
    x = conv(g, prefix, "conv", norm_relu(g, prefix, "norm", x, norm), half, 1, 1);
    return model_pool(g, "AveragePool", x, 2, 2, 0, false);
}

static fl_status build_densenet(nn_graph **out, const model_config *cfg, const model_io *io,
                                fl_err *err)
{
    static const int n_layers[N_BLOCKS] = {6, 12, 24, 16};
    int64_t base = cfg->base > 0 ? cfg->base : BASE, k = base > 1 ? base / 2 : 1;
    bool small = model_has_small_stem(cfg, io);
    model_norm_spec norm = model_norm_of(cfg, MODEL_NORM_BATCH);
    char prefix[MODEL_NAME_BYTES];
    nn_value x;

    *out = NULL;
    fl_status st = model_check_image(cfg->name, io, small ? 8 : 29, small ? 3 : 5, err);
    if (st != FL_OK) {
        return st;
    }
    nn_graph *g = model_image_graph(&x, cfg->name, io);
    x = conv(g, "features", "conv0", x, base, small ? 3 : 7, small ? 1 : 2);
    x = norm_relu(g, "features", "norm0", x, &norm);
    x = small ? x : model_pool(g, "MaxPool", x, 3, 2, 1, false);
    for (int block = 0; block < N_BLOCKS; block++) {
        for (int i = 0; i < n_layers[block]; i++) {
            snprintf(prefix, sizeof prefix, "features.denseblock%d.denselayer%d", block + 1, i + 1);
            x = dense_layer(g, prefix, x, k, cfg->dropout, &norm);
        }
        if (block < N_BLOCKS - 1) {
            snprintf(prefix, sizeof prefix, "features.transition%d", block + 1);
            x = transition(g, prefix, x, &norm);
        }
    }
    x = norm_relu(g, "features", "norm5", x, &norm);
    x = model_linear(g, "classifier", nn_flatten(g, nn_global_average_pool(g, x)),
                     &(model_linear_spec){.features = io->n_outputs,
                                          .init = NN_INIT_FAN_IN,
                                          .bias_init = NN_INIT_ZERO});
    return model_finish_logits(out, g, x, err);
}

const model_ops model_densenet121 = {
    .name = "densenet121",
    .paper = "Huang et al., Densely Connected Convolutional Networks, 2017",
    .help = "densely connected network of 121 layers",
    .keys = MODEL_DROPOUT | MODEL_NORM | MODEL_STEM | MODEL_BASE,
    .norms = MODEL_NORMS,
    .build = build_densenet,
};
