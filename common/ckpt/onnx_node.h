/*
 * onnx_node.h - what the files that read a node share
 *
 * onnx_node.c reads the arguments, onnx_adapt.c brings them to the operator set
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

/* What changed between operator sets; opset 17 is what a graph means. */
fl_status onnx_adapt(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err);

/* Whether the reader makes an operator of others, and the making of any. */
bool onnx_is_made_of_others(const char *op);
fl_status onnx_add_call(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err);
/* SplitToSequence and SequenceAt. */
fl_status onnx_add_sequence(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err);
fl_status onnx_take_from_sequence(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err);

#endif
