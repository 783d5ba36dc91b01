/*
 * onnx.h - what the ONNX reader and writer share
 *
 * onnx_scan.c looks at bytes before protobuf-c does, onnx_read.c makes a graph
 * of a file, onnx_write.c a file of a graph.  Internal to ckpt/.
 */
#ifndef CKPT_ONNX_H
#define CKPT_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/graph.h"

enum {
    ONNX_IR_VERSION = 8,
    ONNX_OPSET = 17,  // written, unless an operator came later
    ONNX_OPSET_OLDEST = 9,
    ONNX_OPSET_NEWEST = 21  // read
};

/* What ONNX passes as a constant input and a graph holds as an attribute. */
typedef struct {
    const char *op;
    size_t input;
    const char *attr;   // NULL: dropped when read
    nn_attr_kind kind;  // a number (FLOAT) or a list (INTS, FLOATS)
    int since;          // opset from which on it is an input; before, an attribute
} onnx_constant;
extern const onnx_constant onnx_constants[];  // ended by one without an op
const onnx_constant *onnx_constant_find(const char *op, size_t input);  // or NULL

/*
 * Walks a serialised ModelProto without recursion and without allocating:
 * every length must fit, messages are nested at most ONNX_MAX_DEPTH deep and
 * there are at most ONNX_MAX_FIELDS fields.  protobuf-c, which recurses and
 * allocates for each, is safe on what passes.
 */
enum { ONNX_MAX_DEPTH = 24, ONNX_MAX_FIELDS = 2000000 };
fl_status onnx_scan(const uint8_t *bytes, size_t n, fl_err *err);

#endif
