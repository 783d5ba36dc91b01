/*
 * model.h - architectures by name
 *
 * A model is a small file of builder calls that names its paper, and a line in
 * the registry (model.c).  A builder makes an nn_graph for a given input and
 * number of outputs; it holds no numbers.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cfg.h"
#include "base/err.h"
#include "nn/graph.h"

enum {
    MODEL_MAX_LAYERS = 8,
    MODEL_MAX_PATTERNS = 16,
    MODEL_PATTERN_BYTES = 96,
    MODEL_DIGEST_BYTES = 65
};

typedef enum {
    MODEL_NORM_DEFAULT,  // as the architecture has it
    MODEL_NORM_BATCH,
    MODEL_NORM_GROUP,
    MODEL_NORM_INSTANCE,
    MODEL_NORM_NONE
} model_norm;

/*
 * The first layers.  FULL, for images of some 224 pixels: a 7x7 convolution of
 * stride 2 and a pool, a quarter of the size.  SMALL, as for CIFAR and MedMNIST's
 * 28 pixels: a 3x3 convolution, the size stays.  AUTO: SMALL where a side is below
 * MODEL_FULL_STEM_SIZE pixels.
 */
typedef enum { MODEL_STEM_AUTO, MODEL_STEM_SMALL, MODEL_STEM_FULL } model_stem;
enum { MODEL_FULL_STEM_SIZE = 64 };

/*
 * SAME: outputs as large as the input; VALID: U-Net's original form, see unet.c.
 * MIRRORED is that form for who wants an output for every pixel: tasks make it of VALID,
 * and nobody writes it.
 */
typedef enum { MODEL_PADDING_SAME, MODEL_PADDING_VALID, MODEL_PADDING_MIRRORED } model_padding;

/* job.yaml `model:`.  {name: cnn, dropout: 0.2}; a 0 is the architecture's default */
typedef struct {
    char name[32];                     // in the registry, or "" when onnx is set
    char onnx[512];                    // {onnx: net.onnx}: the graph is read from there
    char graph[MODEL_DIGEST_BYTES];    // hex digest of that graph as a job carries it; or ""
    const void *onnx_bytes;            // (n_onnx) the file, borrowed; NULL: it is read from onnx
    size_t n_onnx;
    double dropout;                    // [0, 1); 0 = none
    int64_t hidden[MODEL_MAX_LAYERS];  // mlp: width of each hidden layer
    int n_hidden;
    int64_t channels[MODEL_MAX_LAYERS];  // cnn: channels of each conv block
    int n_channels;
    int64_t fc;  // width of the hidden layers before the output
    model_norm norm;
    int64_t groups;  // of norm: group, at most
    model_stem stem;
    int64_t base;   // channels of the first level
    int64_t depth;  // unet: how often the size is halved
    model_padding padding;
    bool maps;  // attention_unet: the gates' weights are outputs behind the first
    /* Transfer learning, of any model; see nn/transfer.h. */
    char freeze[MODEL_MAX_PATTERNS][MODEL_PATTERN_BYTES];  // names, '*' is any run
    size_t n_freeze;
    int64_t train_last;                        // blocks; 0 = all
    char truncate_after[MODEL_PATTERN_BYTES];  // "" = the whole; else a new last layer, "head"
} model_config;

/* Keys of `model:` that an architecture takes besides its name. */
enum {
    MODEL_DROPOUT = 1 << 0,
    MODEL_HIDDEN = 1 << 1,
    MODEL_CHANNELS = 1 << 2,
    MODEL_FC = 1 << 3,
    MODEL_NORM = 1 << 4,  // and groups
    MODEL_STEM = 1 << 5,
    MODEL_BASE = 1 << 6,
    MODEL_DEPTH = 1 << 7,
    MODEL_PADDING = 1 << 8,
    MODEL_MAPS = 1 << 9
};

/* Sets of 1 << model_norm. */
enum {
    MODEL_NORMS = 1 << MODEL_NORM_BATCH | 1 << MODEL_NORM_GROUP | 1 << MODEL_NORM_INSTANCE,
    MODEL_NORMS_ALL = MODEL_NORMS | 1 << MODEL_NORM_NONE
};

typedef struct {
    nn_shape input;     // {NN_BATCH, C, H, W} or {NN_BATCH, features}
    int64_t n_outputs;  // logits
} model_io;

typedef struct {
    const char *name;
    const char *paper;  // printed in the report
    const char *help;   // one line for make docs
    bool single_logit;  // two-class tasks use one logit (sigmoid) instead of two
    bool per_pixel;     // logits are (N, K, H, W), a row for each pixel
    unsigned keys;      // MODEL_*: any other is refused
    unsigned norms;     // 1 << model_norm, where it takes `norm`
    double dropout;     // unless the job says otherwise
    /* Fills in what cfg left at its default (0), then builds. */
    fl_status (*build)(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err);
} model_ops;

const model_ops *model_find(const char *name);  // NULL when unknown
const model_ops *model_at(size_t i);            // NULL behind the last

/* Reads `model:`; complaints go to the document. */
void model_config_read(model_config *out, fl_node node);
/* A name ("cnn") or a YAML flow mapping ("{name: cnn, dropout: 0.2}"), as on a command line. */
fl_status model_config_parse(model_config *out, const char *text, fl_err *err);

/* One line a model for make docs: how it is asked for, what it takes, its paper. */
void model_describe(FILE *out);

/* Builds by name.  FL_ECONFIG names the known models when there is none of that
 * name, or says what does not fit the input. */
fl_status model_build(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err);

#endif
