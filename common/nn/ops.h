/*
 * ops.h - what the engine knows of each ONNX operator
 *
 * One entry per operator: which inputs and attributes it takes, the shape of
 * its output, how its forward and its reverse steps are planned.  graph.c asks
 * for shapes, plan.c for steps; neither knows an operator by name.  The
 * entries are in ops_*.c; the plain loops that define each of them in ref*.c.
 *
 * Where ONNX passes constants as inputs (the shape of Reshape, the ratio of
 * Dropout), a graph holds attributes of those names; ckpt/onnx.c translates.
 * Internal to nn/.
 */
#ifndef NN_OPS_H
#define NN_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/build.h"
#include "nn/graph.h"

enum { NN_MAX_OP_ATTRS = 14, NN_MAX_SPATIAL = 3 };

typedef struct {
    const char *name;  // ONNX
    int min_inputs, max_inputs;
    const char *attrs[NN_MAX_OP_ATTRS];  // known attributes; any other is refused
    /* Shape of the output, or why the inputs do not fit.  in[i] is NULL for an
     * input that was left out. */
    fl_status (*shape)(nn_shape *out, const nn_node *node, const nn_shape *const *in, fl_err *err);
    /* Multiply-adds for one row; NULL = none worth counting. */
    int64_t (*macs)(const nn_node *node, const nn_shape *out, const nn_shape *const *in);
    /* Appends the steps that compute the node's output. */
    void (*plan)(nn_build *b, const nn_node *node);
    /* Appends the steps from the output's gradient to those of the inputs that
     * need one.  Called in reverse order, when there is such a gradient. */
    void (*plan_grad)(nn_build *b, const nn_node *node);
} nn_op;

/* NULL when the engine does not know the operator. */
const nn_op *nn_op_find(const char *name);
/* "Add, AveragePool, ..." for complaints; out has room for n bytes. */
void nn_op_list(char *out, size_t n);

/* The entries of each file, ended by one without a name. */
extern const nn_op nn_ops_conv[], nn_ops_pool[], nn_ops_math[], nn_ops_map[], nn_ops_norm[],
    nn_ops_shape[], nn_ops_arrange[], nn_ops_reduce[], nn_ops_deconv[], nn_ops_concat[];

/* Attributes with ONNX's defaults. */
int64_t nn_node_int(const nn_node *node, const char *name, int64_t dflt);
double nn_node_float(const nn_node *node, const char *name, double dflt);

const nn_attr *nn_node_ints(const nn_node *node, const char *name);  // a list, or NULL
bool nn_node_text_is(const nn_node *node, const char *name, const char *text, const char *dflt);
/* axis, counted from the end when negative; -1 when out of range. */
int nn_axis(int64_t axis, int rank);
/* The axes that a node's list names, as bits; an empty or missing list: dflt. */
fl_status nn_node_axes(unsigned *out, const nn_node *node, int rank, unsigned dflt, fl_err *err);

/* A window that slides over D, H, W: convolutions and pools. */
typedef struct {
    int rank;  // 1 to 3
    int64_t kernel[NN_MAX_SPATIAL], stride[NN_MAX_SPATIAL], dilation[NN_MAX_SPATIAL];
    int64_t pad_begin[NN_MAX_SPATIAL], pad_end[NN_MAX_SPATIAL];
    int64_t pad_asked[NN_MAX_SPATIAL];  // pad_end before ceil_mode made it larger
    int64_t out[NN_MAX_SPATIAL];        // positions of the window
} nn_window;

/* Reads kernel_shape (or takes it from weight, when that is not NULL), strides,
 * pads, dilations, auto_pad and ceil_mode for an input of shape x.  pad_end is
 * set so that out follows from it (ceil_mode makes it larger). */
fl_status nn_window_read(nn_window *w, const nn_node *node, const nn_shape *x,
                         const nn_shape *weight, fl_err *err);

/* The window of a node that the graph has accepted, which has read it before; weight:
 * as above, -1 = none. */
nn_window nn_window_of(nn_build *b, const nn_node *node, nn_value weight);
/* The shape of what a window's positions give: x's with so many channels. */
void nn_window_shape(nn_shape *out, const nn_shape *x, int64_t channels, const nn_window *w);

/* Along axis i of length x, at position o: taps that count in an average with
 * count_include_pad; what ceil_mode adds behind the padding does not. */
int64_t nn_window_counted(const nn_window *w, int i, int64_t x, int64_t o);

/* What nn_window_read does, for a ConvTranspose: out is the size of its output. */
fl_status nn_deconv_window(nn_window *w, const nn_node *node, const nn_shape *x,
                           const nn_shape *weight, fl_err *err);

/* Broadcasting of two shapes as ONNX has it. */
fl_status nn_shape_broadcast(nn_shape *out, const nn_shape *a, const nn_shape *b, fl_err *err);

/* alpha, beta or whatever an operator of ops_map.c calls its numbers. */
void nn_map_numbers(const nn_node *node, double *a, double *b);

/* Operators of two inputs that are broadcast to each other. */
fl_status nn_pair_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in, fl_err *err);
void nn_pair_plan(nn_build *b, const nn_node *node);
/* dy has the shape out; sends v, which was broadcast, the sum over its copies. */
void nn_summed_grad(nn_build *b, nn_value v, nn_slot dy, const nn_shape *out);

/*
 * Products of matrices, one for each place of a stack: op(a) (M, K) times op(b)
 * (K, N).  Where a stack has 1, its matrix is used again and again.
 */
typedef struct {
    int64_t M, N, K;
    bool trans_a, trans_b;
    float alpha, beta;
    nn_shape stack, stack_a, stack_b;
} nn_product;
fl_status nn_product_of(nn_product *p, nn_shape *out, const nn_node *node, const nn_shape *in_a,
                        const nn_shape *in_b, fl_err *err);
int64_t nn_product_at(const nn_product *p, const nn_shape *stack, int64_t i);
fl_status nn_product_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                           fl_err *err);
void nn_product_plan(nn_build *b, const nn_node *node);
void nn_product_plan_grad(nn_build *b, const nn_node *node);

/* v, or its gradient, row-major; and a new row-major slot of its shape. */
nn_slot nn_plain_value(nn_build *b, nn_value v);
nn_slot nn_plain_grad(nn_build *b, nn_value v);
nn_slot nn_plain_slot(nn_build *b, nn_value v);

/* What a Slice takes along one axis. */
typedef struct {
    int64_t start, step, count;
} nn_slice;
fl_status nn_slice_of(nn_slice *out, const nn_node *node, int axis, const nn_shape *x, fl_err *err);

/* From which place along an axis of x, between two numbers, a Resize takes
 * y's number i; and which number nearest mode takes for it. */
double nn_resize_place(const nn_node *node, int axis, const nn_shape *x, const nn_shape *y,
                       int64_t i);
int64_t nn_resize_nearest(const nn_node *node, double place, int64_t dim);
/* Whether a crop (tf_crop_and_resize) reaches beyond x there, and what it reads then. */
bool nn_resize_is_outside(const nn_node *node, double place, int64_t dim);
double nn_resize_beyond(const nn_node *node);

/* Rows of a normalisation that looks at one example at a time: n numbers each;
 * number j of row r has scale and shift number r % period * stride + j / run. */
typedef struct {
    int64_t n_rows, n, period, stride, run, n_scales;
    double epsilon;
} nn_norm_rows;
nn_norm_rows nn_norm_rows_of(const nn_node *node, const nn_shape *x, const nn_shape *scale);

#endif
