/*
 * layers.h - layers that several architectures share
 *
 * Each adds to a graph and gives its output, -1 after a mistake (which the graph
 * keeps).  Images are (N, C, H, W) or (N, C, D, H, W): sizes, kernels and strides
 * are the same along every axis.  Parameters are called PREFIX.NAME.weight, or
 * NAME.weight where the prefix is "".  Internal to model/.
 */
#ifndef MODEL_LAYERS_H
#define MODEL_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"
#include "nn/graph.h"

enum { MODEL_NAME_BYTES = 64 };  // of a prefix

/* A graph whose only input is io's, called "image". */
nn_graph *model_image_graph(nn_value *x, const char *name, const model_io *io);
/* Ends a graph; *out is NULL after a mistake. */
fl_status model_finish(nn_graph **out, nn_graph *g, fl_err *err);
/* The same for a graph whose only output is logits (unless that is -1). */
fl_status model_finish_logits(nn_graph **out, nn_graph *g, nn_value logits, fl_err *err);
/* stem: small, or left to the size of the images (see model.h). */
bool model_has_small_stem(const model_config *cfg, const model_io *io);
/* FL_ECONFIG unless the input is an image of at least `least` pixels along each
 * axis; halvings: how often the model halves it, for the sentence. */
fl_status model_check_image(const char *name, const model_io *io, int64_t least, int halvings,
                            fl_err *err);

typedef struct {
    int64_t channels, kernel;
    int64_t stride;  // 0 = 1
    int64_t pad;     // on each side
    bool bias;
    nn_init init;  // of the weight; a bias starts at 0, with NN_INIT_FAN_IN as PyTorch's
    int64_t fan;   // 0 = from the shape
} model_conv_spec;

nn_value model_conv(nn_graph *g, const char *prefix, const char *name, nn_value x,
                    const model_conv_spec *s);
/* ConvTranspose of kernel 2 and stride 2, with a bias: twice the size.  Each
 * number of the output meets every channel once, which is the fan. */
nn_value model_up_conv(nn_graph *g, const char *prefix, const char *name, nn_value x,
                       int64_t channels, nn_init init);

typedef struct {
    int64_t features;
    nn_init init;  // of the weight
    int64_t fan;   // 0 = from the shape
    nn_init bias_init;
} model_linear_spec;
enum { MODEL_FAN_OF_SD_01 = 20000 };  // with it, He's normal has a deviation of 0.01

nn_value model_linear(nn_graph *g, const char *name, nn_value x, const model_linear_spec *s);

typedef struct {
    model_norm kind;
    int64_t groups;  // at most; 0 = 32
    double epsilon;
} model_norm_spec;

/* What the job asks for, or dflt. */
model_norm_spec model_norm_of(const model_config *cfg, model_norm dflt);
/*
 * Batch normalisation (Ioffe & Szegedy 2015), group normalisation (Wu & He 2018),
 * instance normalisation (Ulyanov et al. 2016) with a scale and a shift for each
 * channel; x itself for none.  Groups: the largest number up to s->groups that
 * divides the channels and leaves at least 4 in each, or 1.
 */
nn_value model_norm_layer(nn_graph *g, const char *prefix, const char *name, nn_value x,
                          const model_norm_spec *s);

/* op: MaxPool or AveragePool; ceil: a window may hang over the end. */
nn_value model_pool(nn_graph *g, const char *op, nn_value x, int64_t kernel, int64_t stride,
                    int64_t pad, bool ceil);
/* The mean of each of size stretches along each axis, as PyTorch's adaptive
 * pooling: stretch i of n pixels is [floor(i n / size), ceil((i + 1) n / size)). */
nn_value model_adaptive_pool(nn_graph *g, nn_value x, int64_t size);
nn_value model_concat(nn_graph *g, const nn_value *parts, size_t n);  // along the channels
/* x with as many pixels as `like`: the middle of it (the odd one is cut off at the
 * end), or with zeros around it (the odd one at the end). */
nn_value model_crop(nn_graph *g, nn_value x, nn_value like);
nn_value model_pad(nn_graph *g, nn_value x, nn_value like);

#endif
