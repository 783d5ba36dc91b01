/*
 * graph.h - a network as ONNX operators over named values
 *
 * A graph knows operators, attributes, shapes and which values are parameters;
 * it holds no numbers.  Builders (model/) and the ONNX reader (ckpt/) make it,
 * nn_plan runs it.  Shapes are checked as each operator is added.  The first
 * mistake is kept and comes out of nn_graph_finish, so builders read as
 * straight lines:
 *
 *     nn_graph *g = nn_graph_new("cnn");
 *     nn_value x = nn_graph_input(g, "image", &(nn_shape){4, {NN_BATCH, 1, 28, 28}});
 *     x = nn_conv(g, "conv1", x, 16, 3, 1, 1);
 *     x = nn_relu(g, x);
 *     nn_graph_output(g, "logits", nn_gemm(g, "fc", nn_flatten(g, x), 2));
 *     st = nn_graph_finish(g, err);
 */
#ifndef NN_GRAPH_H
#define NN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "nn/params.h"
#include "nn/tensor.h"

typedef struct nn_graph nn_graph;
typedef int nn_value;  // a named tensor of the graph; -1 after a mistake

enum { NN_MAX_INPUTS = 64, NN_MAX_NODES = 20000 };

/* An ONNX attribute. */
typedef enum {
    NN_ATTR_INT,
    NN_ATTR_FLOAT,
    NN_ATTR_INTS,
    NN_ATTR_TEXT,
    NN_ATTR_FLOATS
} nn_attr_kind;
typedef struct {
    const char *name;  // "kernel_shape"
    nn_attr_kind kind;
    int64_t i;
    double f;
    const int64_t *ints;
    size_t n_ints;
    const char *text;
    const double *floats;
    size_t n_floats;
} nn_attr;
#define NN_INT(key, value)   ((nn_attr){.name = key, .kind = NN_ATTR_INT, .i = (value)})
#define NN_FLOAT(key, value) ((nn_attr){.name = key, .kind = NN_ATTR_FLOAT, .f = (value)})
#define NN_INTS(key, array, n) \
    ((nn_attr){.name = key, .kind = NN_ATTR_INTS, .ints = (array), .n_ints = (n)})
#define NN_FLOATS(key, array, n) \
    ((nn_attr){.name = key, .kind = NN_ATTR_FLOATS, .floats = (array), .n_floats = (n)})
#define NN_TEXT(key, value) ((nn_attr){.name = key, .kind = NN_ATTR_TEXT, .text = (value)})

/* How a parameter starts (the stream is "init", by the parameter's name). */
typedef enum {
    NN_INIT_ZERO,
    NN_INIT_ONE,
    NN_INIT_FAN_IN,     // U(+-1/sqrt(fan_in)), as torch.nn.Linear and Conv2d
    NN_INIT_HE_NORMAL,  // N(0, 2/fan_in) (He et al. 2015)
    NN_INIT_HE_FAN_OUT  // N(0, 2/fan_out), as torchvision's ResNet
} nn_init;

nn_graph *nn_graph_new(const char *name);
void nn_graph_destroy(nn_graph **g);

nn_value nn_graph_input(nn_graph *g, const char *name, const nn_shape *shape);
/* fan: what NN_INIT_* uses (fan_in or fan_out); 0 = from the shape. */
nn_value nn_graph_param(nn_graph *g, const char *name, nn_kind kind, const nn_shape *shape,
                        nn_init init, int64_t fan);
/* Whether the engine knows an operator of this name. */
bool nn_graph_knows(const char *op);
/* Adds an operator by its ONNX name; returns its first output.  inputs may hold
 * -1 for an optional input that is left out at the end. */
nn_value nn_graph_op(nn_graph *g, const char *op, const char *name, const nn_value *inputs,
                     size_t n_inputs, const nn_attr *attrs, size_t n_attrs);
void nn_graph_output(nn_graph *g, const char *name, nn_value v);
/* FL_OK and the graph is complete (unused values are dropped, the parameter table is made), or
 * the first mistake with the node's name. */
fl_status nn_graph_finish(nn_graph *g, fl_err *err) FL_MUST_CHECK;

/*
 * Takes a finished graph's outputs away, so that operators and outputs can be
 * added; what no output then depends on goes when it is finished again.
 */
void nn_graph_reopen(nn_graph *g);
/* Makes parameters of a finished graph NN_FROZEN, by their place in the table (n
 * of them); statistics stay what they are. */
void nn_graph_freeze(nn_graph *g, const bool *frozen, size_t n);

/* How the weights of the layers added from here on start; NN_INIT_FAN_IN until
 * said otherwise.  Before a ReLU use He's: it keeps the signal's variance. */
void nn_graph_layer_init(nn_graph *g, nn_init init);

/* Layers of the common kinds; parameters are called NAME.weight and NAME.bias. */
nn_value nn_conv(nn_graph *g, const char *name, nn_value x, int64_t channels, int64_t kernel,
                 int64_t stride, int64_t pad);
nn_value nn_gemm(nn_graph *g, const char *name, nn_value x,
                 int64_t features);  // y = x W' + b, W (features, in)
nn_value nn_relu(nn_graph *g, nn_value x);
nn_value nn_max_pool(nn_graph *g, nn_value x, int64_t kernel, int64_t stride);
nn_value nn_global_average_pool(nn_graph *g, nn_value x);
nn_value nn_flatten(nn_graph *g, nn_value x);               // (N, everything else)
nn_value nn_dropout(nn_graph *g, nn_value x, double rate);  // rate 0: x itself
nn_value nn_add(nn_graph *g, nn_value a, nn_value b);
nn_value nn_batch_norm(nn_graph *g, const char *name,
                       nn_value x);  // + running_mean, running_var (NN_STAT)

/* What a finished graph says of itself. */
const char *nn_graph_name(const nn_graph *g);
const nn_table *nn_graph_table(const nn_graph *g);  // borrowed until destroy
const nn_shape *nn_graph_shape(const nn_graph *g, nn_value v);
nn_value nn_graph_input_at(const nn_graph *g, size_t i);
nn_value nn_graph_output_at(const nn_graph *g, size_t i);
size_t nn_graph_n_values(const nn_graph *g);  // values are 0 .. n - 1
size_t nn_graph_n_inputs(const nn_graph *g);
size_t nn_graph_n_outputs(const nn_graph *g);
/* Multiply-adds of one forward pass of one row. */
int64_t nn_graph_macs(const nn_graph *g);
/* Every node in order, for writers and planners. */
typedef struct {
    const char *op, *name;
    const nn_value *in, *out;
    size_t n_in, n_out;
    const nn_attr *attrs;
    size_t n_attrs;
} nn_node;
size_t nn_graph_n_nodes(const nn_graph *g);
bool nn_graph_has(const nn_graph *g, const char *op);  // some node is of this operator
const nn_node *nn_graph_node(const nn_graph *g, size_t i);           // borrowed
const nn_attr *nn_node_attr(const nn_node *node, const char *name);  // or NULL
const char *nn_graph_value_name(const nn_graph *g, nn_value v);
/* Index into the parameter table, or -1 when v is no parameter. */
int64_t nn_graph_param_index(const nn_graph *g, nn_value v);

/* First values of every parameter: data has P floats; the same seed gives the
 * same bits, whatever the order of layers. */
void nn_graph_init(const nn_graph *g, float *data, uint64_t seed);

#endif
