/*
 * googlenet.c - GoogLeNet (Szegedy et al. 2015) with batch normalisation
 *
 * Parameters are named, and start, as torchvision's: inception3a.branch1.conv.weight.
 * Like torchvision, the third branch has a 3x3 convolution, where the paper has
 * 5x5.  There are no auxiliary classifiers: they helped before normalisation did.
 */
#include "model/googlenet.h"

#include <stdio.h>

#include "model/layers.h"

/* Channels of a module: 1x1; 1x1 before 3x3, 3x3; the same again; behind the pool. */
typedef struct {
    const char *name;
    int64_t n1x1, n3x3_before, n3x3, third_before, third, n_pooled;
} module;

static const module modules[] = {
    {"inception3a", 64, 96, 128, 16, 32, 32},     {"inception3b", 128, 128, 192, 32, 96, 64},
    {"inception4a", 192, 96, 208, 16, 48, 64},    {"inception4b", 160, 112, 224, 24, 64, 64},
    {"inception4c", 128, 128, 256, 24, 64, 64},   {"inception4d", 112, 144, 288, 32, 64, 64},
    {"inception4e", 256, 160, 320, 32, 128, 128}, {"inception5a", 256, 160, 320, 32, 128, 128},
    {"inception5b", 384, 192, 384, 48, 128, 128},
};
enum { N_MODULES = sizeof modules / sizeof *modules, LAST_OF_3 = 1, LAST_OF_4 = 6 };

static nn_value conv_strided(nn_graph *g, const char *module_name, const char *branch, nn_value x,
                             int64_t channels, int64_t kernel, int64_t stride,
                             const model_norm_spec *norm)
{
    char prefix[MODEL_NAME_BYTES];

    snprintf(prefix, sizeof prefix, "%s%s%s", module_name, module_name[0] != '\0' ? "." : "",
             branch);
    x = model_conv(g, prefix, "conv", x,
                   &(model_conv_spec){.channels = channels,
                                      .kernel = kernel,
                                      .stride = stride,
                                      .pad = kernel / 2,
                                      .init = NN_INIT_HE_NORMAL,
                                      .fan = MODEL_FAN_OF_SD_01});
    return nn_relu(g, model_norm_layer(g, prefix, "bn", x, norm));
}

static nn_value conv(nn_graph *g, const char *module_name, const char *branch, nn_value x,
                     int64_t channels, int64_t kernel, const model_norm_spec *norm)
{
    return conv_strided(g, module_name, branch, x, channels, kernel, 1, norm);
}

static nn_value inception(nn_graph *g, const module *m, nn_value x, const model_norm_spec *norm)
{
    nn_value second = conv(g, m->name, "branch2.0", x, m->n3x3_before, 1, norm);
    nn_value third = conv(g, m->name, "branch3.0", x, m->third_before, 1, norm);
    nn_value pooled = model_pool(g, "MaxPool", x, 3, 1, 1, true);
    nn_value branches[] = {
        conv(g, m->name, "branch1", x, m->n1x1, 1, norm),
        conv(g, m->name, "branch2.1", second, m->n3x3, 3, norm),
        conv(g, m->name, "branch3.1", third, m->third, 3, norm),
        conv(g, m->name, "branch4.1", pooled, m->n_pooled, 1, norm),
    };

    return model_concat(g, branches, 4);
}

static fl_status build_googlenet(nn_graph **out, const model_config *cfg, const model_io *io,
                                 fl_err *err)
{
    bool small = model_has_small_stem(cfg, io);
    model_norm_spec norm = model_norm_of(cfg, MODEL_NORM_BATCH);
    nn_value x;

    *out = NULL;
    norm.epsilon = 1e-3;
    fl_status st = model_check_image(cfg->name, io, small ? 8 : 15, small ? 4 : 5, err);
    if (st != FL_OK) {
        return st;
    }
    nn_graph *g = model_image_graph(&x, cfg->name, io);
    x = conv_strided(g, "", "conv1", x, 64, small ? 3 : 7, small ? 1 : 2, &norm);
    x = small ? x : model_pool(g, "MaxPool", x, 3, 2, 0, true);
    x = conv(g, "", "conv2", x, 64, 1, &norm);
    x = conv(g, "", "conv3", x, 192, 3, &norm);
    x = model_pool(g, "MaxPool", x, 3, 2, 0, true);
    for (int i = 0; i < N_MODULES; i++) {
        x = inception(g, &modules[i], x, &norm);
        if (i == LAST_OF_3) {
            x = model_pool(g, "MaxPool", x, 3, 2, 0, true);
        } else if (i == LAST_OF_4) {
            x = model_pool(g, "MaxPool", x, 2, 2, 0, true);
        }
    }
    x = nn_dropout(g, nn_flatten(g, nn_global_average_pool(g, x)), cfg->dropout);
    x = model_linear(g, "fc", x,
                     &(model_linear_spec){.features = io->n_outputs,
                                          .init = NN_INIT_HE_NORMAL,
                                          .fan = MODEL_FAN_OF_SD_01,
                                          .bias_init = NN_INIT_FAN_IN});
    return model_finish_logits(out, g, x, err);
}

const model_ops model_googlenet = {
    .name = "googlenet",
    .paper = "Szegedy et al., Going Deeper with Convolutions, 2015",
    .help = "GoogLeNet with batch normalisation, without auxiliary classifiers",
    .keys = MODEL_DROPOUT | MODEL_NORM | MODEL_STEM,
    .norms = MODEL_NORMS,
    .dropout = 0.2,
    .build = build_googlenet,
};
