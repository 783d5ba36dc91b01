/*
 * onnx_node.h - what the files that read a node share
 *
 * onnx_node.c reads the arguments, onnx_view.c those whose batch is elsewhere, onnx_adapt.c brings them to the operator set
 * that a graph means, onnx_made.c makes of others what the engine does not have.
 * Internal to ckpt/.
 */
#ifndef CKPT_ONNX_NODE_H
#define CKPT_ONNX_NODE_H

#include <string.h>

#include "ckpt/onnx.h"

/* What nn_graph_op is called with. */
typedef struct {
    const char *op, *name;
    nn_value in[NN_MAX_INPUTS];
    size_t n_in;
    nn_attr *attrs;  // with room for a few more
    size_t n_attrs;
    const onnx_const *indices;  // of Gather
} onnx_call;

static inline bool onnx_is(const char *op, const char *name)
{
    return strcmp(op, name) == 0;
}

const nn_attr *onnx_call_attr(const onnx_call *c, const char *name);  // or NULL
void onnx_call_drop(onnx_call *c, const char *name);
/* The constant that a name stands for; *out NULL when it is none. */
fl_status onnx_constant_of(const onnx_const **out, onnx_reader *r, onnx_meaning *m, fl_err *err);

/* What nn_graph_op is called with for a node; attributes in the reader's arena. */
fl_status onnx_read_call(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err);

/* A node that reads or makes a value whose batch is not the first dimension; *done says whether
 * it is one. */
fl_status onnx_add_view(bool *done, onnx_reader *r, const Onnx__NodeProto *node, fl_err *err);
nn_value onnx_view_base(const onnx_view *v);
/* The dimensions that the file has: ONNX_BATCH, ONNX_UNKNOWN where the batch is in a product. */
void onnx_view_dims(int64_t *dims, int *rank, const onnx_reader *r, const onnx_view *v);

/* What changed between operator sets; opset 17 is what a graph means. */
fl_status onnx_adapt(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err);

/* Whether the reader makes an operator of others, and the making of any. */
bool onnx_is_made_of_others(const char *op);
fl_status onnx_add_call(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err);
/* SplitToSequence and SequenceAt. */
fl_status onnx_add_sequence(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err);
fl_status onnx_take_from_sequence(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err);

#endif
