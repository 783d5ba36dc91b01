/*
 * vgg.c - AlexNet (Krizhevsky 2014, its one-column form) and VGG-16 (Simonyan &
 * Zisserman 2015)
 *
 * Parameters are named, and start, as torchvision's: features.0.weight,
 * classifier.6.weight; vgg16 with norm: batch is its vgg16_bn.  Before the dense
 * layers features are pooled to 6x6 or 7x7, so any size fits that the
 * convolutions leave something of.
 */
#include "model/vgg.h"

#include <stdio.h>

#include "model/layers.h"

enum { FC = 4096, BASE = 64 };

static nn_value dense(nn_graph *g, const char *name, nn_value x, int64_t features)
{
    return model_linear(g, name, x,
                        &(model_linear_spec){.features = features,
                                             .init = NN_INIT_FAN_IN,
                                             .bias_init = NN_INIT_FAN_IN});
}

/* ----------------------------------------------------------------- AlexNet */

static nn_value alexnet_conv(nn_graph *g, int i, nn_value x, int64_t channels, int64_t kernel,
                             int64_t stride, int64_t pad)
{
    char name[16];

    snprintf(name, sizeof name, "%d", i);
    return nn_relu(g, model_conv(g, "features", name, x,
                                 &(model_conv_spec){.channels = channels,
                                                    .kernel = kernel,
                                                    .stride = stride,
                                                    .pad = pad,
                                                    .bias = true,
                                                    .init = NN_INIT_FAN_IN}));
}

static nn_value alexnet_pool(nn_graph *g, nn_value x)
{
    return nn_max_pool(g, x, 3, 2);
}

static fl_status build_alexnet(nn_graph **out, const model_config *cfg, const model_io *io,
                               fl_err *err)
{
    int64_t fc = cfg->fc > 0 ? cfg->fc : FC;
    nn_value x;

    *out = NULL;
    fl_status st = model_check_image(cfg->name, io, 63, 5, err);
    if (st != FL_OK) {
        return st;
    }
    nn_graph *g = model_image_graph(&x, cfg->name, io);
    x = alexnet_pool(g, alexnet_conv(g, 0, x, 64, 11, 4, 2));
    x = alexnet_pool(g, alexnet_conv(g, 3, x, 192, 5, 1, 2));
    x = alexnet_conv(g, 6, x, 384, 3, 1, 1);
    x = alexnet_conv(g, 8, x, 256, 3, 1, 1);
    x = alexnet_pool(g, alexnet_conv(g, 10, x, 256, 3, 1, 1));
    x = nn_flatten(g, model_adaptive_pool(g, x, 6));
    x = nn_relu(g, dense(g, "classifier.1", nn_dropout(g, x, cfg->dropout), fc));
    x = nn_relu(g, dense(g, "classifier.4", nn_dropout(g, x, cfg->dropout), fc));
    return model_finish_logits(out, g, dense(g, "classifier.6", x, io->n_outputs), err);
}

/* --------------------------------------------------------------------- VGG */

/* As torchvision starts it: N(0, 0.01^2). */
static nn_value vgg_dense(nn_graph *g, const char *name, nn_value x, int64_t features)
{
    return model_linear(g, name, x,
                        &(model_linear_spec){.features = features,
                                             .init = NN_INIT_HE_NORMAL,
                                             .fan = MODEL_FAN_OF_SD_01,
                                             .bias_init = NN_INIT_ZERO});
}

/* Configuration D of the paper: two or three 3x3 convolutions, then a pool. */
static nn_value vgg_features(nn_graph *g, nn_value x, int64_t base, const model_norm_spec *norm)
{
    static const struct {
        int n_convs, widening;
    } blocks[] = {{2, 1}, {2, 2}, {3, 4}, {3, 8}, {3, 8}};
    char name[16];
    int i = 0;  // torchvision numbers convolutions, normalisations, ReLUs and pools

    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) {
        for (int c = 0; c < blocks[k].n_convs; c++) {
            snprintf(name, sizeof name, "%d", i++);
            x = model_conv(g, "features", name, x,
                           &(model_conv_spec){.channels = base * blocks[k].widening,
                                              .kernel = 3,
                                              .pad = 1,
                                              .bias = true,
                                              .init = NN_INIT_HE_FAN_OUT});
            if (norm->kind != MODEL_NORM_NONE) {
                snprintf(name, sizeof name, "%d", i++);
                x = model_norm_layer(g, "features", name, x, norm);
            }
            x = nn_relu(g, x);
            i++;
        }
        x = nn_max_pool(g, x, 2, 2);
        i++;
    }
    return x;
}

static fl_status build_vgg16(nn_graph **out, const model_config *cfg, const model_io *io,
                             fl_err *err)
{
    int64_t fc = cfg->fc > 0 ? cfg->fc : FC, base = cfg->base > 0 ? cfg->base : BASE;
    model_norm_spec norm = model_norm_of(cfg, MODEL_NORM_NONE);
    nn_value x;

    *out = NULL;
    fl_status st = model_check_image(cfg->name, io, 32, 5, err);
    if (st != FL_OK) {
        return st;
    }
    nn_graph *g = model_image_graph(&x, cfg->name, io);
    x = nn_flatten(g, model_adaptive_pool(g, vgg_features(g, x, base, &norm), 7));
    x = nn_dropout(g, nn_relu(g, vgg_dense(g, "classifier.0", x, fc)), cfg->dropout);
    x = nn_dropout(g, nn_relu(g, vgg_dense(g, "classifier.3", x, fc)), cfg->dropout);
    return model_finish_logits(out, g, vgg_dense(g, "classifier.6", x, io->n_outputs), err);
}

const model_ops model_alexnet = {
    .name = "alexnet",
    .paper = "Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014",
    .help = "AlexNet: five convolutions, two hidden layers; images of 63 pixels or more",
    .keys = MODEL_DROPOUT | MODEL_FC,
    .dropout = 0.5,
    .build = build_alexnet,
};

const model_ops model_vgg16 = {
    .name = "vgg16",
    .paper = "Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image "
             "Recognition, 2015",
    .help = "VGG: thirteen 3x3 convolutions, two hidden layers; images of 32 pixels or more",
    .keys = MODEL_DROPOUT | MODEL_FC | MODEL_NORM | MODEL_BASE,
    .norms = MODEL_NORMS_ALL,
    .dropout = 0.5,
    .build = build_vgg16,
};
