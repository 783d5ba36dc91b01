/*
 * basic.c - logistic regression, multilayer perceptron, small CNN
 *
 * Parameters are named as a PyTorch module with attributes fc, fc1, conv1 ...
 * would name them.  Layers in front of a ReLU start as He et al. say, the output
 * and logistic regression as PyTorch does.
 */
#include "model/basic.h"

#include <stdio.h>
#include <string.h>

/* Drops what was not finished. */
static fl_status finish(nn_graph **out, nn_graph *g, fl_err *err)
{
    fl_status st = nn_graph_finish(g, err);

    if (st != FL_OK) {
        nn_graph_destroy(&g);
    }
    *out = g;
    return st;
}

/* The input as (N, features), whatever its shape. */
static nn_value flat_input(nn_graph *g, const model_io *io)
{
    nn_value x = nn_graph_input(g, "input", &io->input);

    return io->input.rank == 2 ? x : nn_flatten(g, x);
}

/* --------------------------------------------------------------- logistic */

/* Features -> outputs: logistic regression (Cox 1958) when followed by a
 * sigmoid or softmax. */
static fl_status build_logistic(nn_graph **out, const model_config *cfg, const model_io *io,
                                fl_err *err)
{
    nn_graph *g = nn_graph_new("logistic");

    (void)cfg;
    nn_value x = flat_input(g, io);
    nn_graph_output(g, "logits", nn_gemm(g, "fc", x, io->n_outputs));
    return finish(out, g, err);
}

/* -------------------------------------------------------------------- mlp */

/* Layers of Gemm, ReLU and dropout. */
static fl_status build_mlp(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err)
{
    static const int64_t default_hidden[] = {64, 32};
    int n = cfg->n_hidden > 0 ? cfg->n_hidden : 2;
    const int64_t *hidden = cfg->n_hidden > 0 ? cfg->hidden : default_hidden;
    nn_graph *g = nn_graph_new("mlp");
    nn_graph_layer_init(g, NN_INIT_HE_NORMAL);
    char name[16];

    nn_value x = flat_input(g, io);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "fc%d", i + 1);
        x = nn_dropout(g, nn_relu(g, nn_gemm(g, name, x, hidden[i])), cfg->dropout);
    }
    snprintf(name, sizeof name, "fc%d", n + 1);
    nn_graph_layer_init(g, NN_INIT_FAN_IN);
    nn_graph_output(g, "logits", nn_gemm(g, name, x, io->n_outputs));
    return finish(out, g, err);
}

/* -------------------------------------------------------------------- cnn */

/* Blocks of 3x3 convolution, ReLU and 2x2 max pool, then a hidden layer. */
static fl_status build_cnn(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err)
{
    static const int64_t default_channels[] = {16, 32, 64};
    int n = cfg->n_channels > 0 ? cfg->n_channels : 3;
    const int64_t *channels = cfg->n_channels > 0 ? cfg->channels : default_channels;
    char name[16];

    *out = NULL;
    if (io->input.rank < 4 || io->input.rank > 5) {
        return fl_fail(err, FL_ECONFIG,
                       "model cnn needs images (channels, height, width), not a table");
    }
    for (int i = 2; i < io->input.rank; i++) {
        if (io->input.dim[i] >> n == 0) {
            return fl_fail(
                err, FL_ECONFIG,
                "model cnn halves its input %d times: %lld pixels are too few, at least %d", n,
                (long long)io->input.dim[i], 1 << n);
        }
    }
    nn_graph *g = nn_graph_new("cnn");
    nn_graph_layer_init(g, NN_INIT_HE_NORMAL);
    nn_value x = nn_graph_input(g, "image", &io->input);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "conv%d", i + 1);
        x = nn_max_pool(g, nn_relu(g, nn_conv(g, name, x, channels[i], 3, 1, 1)), 2, 2);
    }
    x = nn_relu(g, nn_gemm(g, "fc1", nn_flatten(g, x), cfg->fc > 0 ? cfg->fc : 128));
    x = nn_dropout(g, x, cfg->dropout);
    nn_graph_layer_init(g, NN_INIT_FAN_IN);
    nn_graph_output(g, "logits", nn_gemm(g, "fc2", x, io->n_outputs));
    return finish(out, g, err);
}

const model_ops model_logistic = {
    .name = "logistic",
    .paper = "Cox, The regression analysis of binary sequences, 1958",
    .help = "logistic regression on a table, or on the pixels of an image",
    .single_logit = true,
    .build = build_logistic,
};

const model_ops model_mlp = {
    .name = "mlp",
    .paper =
        "Rumelhart, Hinton, Williams, Learning representations by back-propagating errors, 1986",
    .help = "multilayer perceptron: hidden layers with ReLU and dropout",
    .keys = MODEL_DROPOUT | MODEL_HIDDEN,
    .build = build_mlp,
};

const model_ops model_cnn = {
    .name = "cnn",
    .paper = "LeCun et al., Gradient-based learning applied to document recognition, 1998",
    .help = "small CNN: blocks of 3x3 convolution and 2x2 max pool, a hidden layer, the output",
    .keys = MODEL_DROPOUT | MODEL_CHANNELS | MODEL_FC,
    .build = build_cnn,
};
