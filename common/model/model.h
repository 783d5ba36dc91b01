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

#include "base/cfg.h"
#include "base/err.h"
#include "nn/graph.h"

enum { MODEL_MAX_LAYERS = 8 };

/* job.yaml `model:`.  {name: cnn, dropout: 0.2} */
typedef struct {
    char name[32];                     // in the registry, or "" when onnx is set
    char onnx[512];                    // {onnx: net.onnx}: the graph is read from there
    double dropout;                    // [0, 1)
    int64_t hidden[MODEL_MAX_LAYERS];  // mlp: width of each hidden layer
    int n_hidden;
    int64_t channels[MODEL_MAX_LAYERS];  // cnn: channels of each conv block
    int n_channels;
    int64_t fc;  // cnn: width of the layer before the output
} model_config;

typedef struct {
    nn_shape input;     // {NN_BATCH, C, H, W} or {NN_BATCH, features}
    int64_t n_outputs;  // logits
} model_io;

typedef struct {
    const char *name;
    const char *paper;  // printed in the report
    const char *help;   // one line for make docs
    bool single_logit;  // two-class tasks use one logit (sigmoid) instead of two
    /* Fills in what cfg left at its default (0), then builds. */
    fl_status (*build)(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err);
} model_ops;

const model_ops *model_find(const char *name);  // NULL when unknown
const model_ops *model_at(size_t i);            // NULL behind the last

/* Reads `model:`; complaints go to the document. */
void model_config_read(model_config *out, fl_node node);
/* A name ("cnn") or a YAML flow mapping ("{name: cnn, dropout: 0.2}"), as on a command line. */
fl_status model_config_parse(model_config *out, const char *text, fl_err *err);

/* Builds by name.  FL_ECONFIG names the known models when there is none of that
 * name, or says what does not fit the input. */
fl_status model_build(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err);

#endif
