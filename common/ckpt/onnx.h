/*
 * onnx.h - what the ONNX reader and writer share
 *
 * onnx_scan.c looks at bytes before protobuf-c does; onnx_file.c opens a file
 * and leaves the numbers of its tensors where they lie; onnx_tensor.c reads
 * tensors; onnx_fold.c computes what depends on constants alone; onnx_node.c and
 * onnx_view.c make operators of nodes, onnx_read.c a graph of it all; onnx_write.c makes a
 * file of a graph.  Internal to ckpt/.
 */
#ifndef CKPT_ONNX_H
#define CKPT_ONNX_H

#include <onnx.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "nn/graph.h"

enum {
    ONNX_IR_VERSION = 8,
    ONNX_OPSET = 17,  // written, unless an operator came later
    ONNX_OPSET_OLDEST = 9,
    ONNX_OPSET_NEWEST = 21  // read
};
#define ONNX_MAX_FILE ((size_t)INT32_MAX)  // protobuf's own limit

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

/* One field of a protobuf message. */
typedef struct {
    unsigned number;
    int type;              // 0 varint, 1 eight bytes, 2 a length and bytes, 5 four bytes
    size_t start;          // of its key
    size_t value, length;  // of its bytes, when type is 2
    size_t end;            // behind it
} onnx_field;
/* The field at *at, which moves behind it; false at end.  For bytes that
 * passed onnx_scan. */
bool onnx_field_next(onnx_field *f, const uint8_t *bytes, size_t *at, size_t end);

/* ------------------------------------------------------------------- files */

/*
 * A model whose tensors' numbers stay where they lie, in a mapped file or in
 * the caller's bytes: raw_data of the initializers points there.
 */
typedef struct {
    const uint8_t *at;
    size_t n;
    char *name;  // of external data; NULL: the model's file
} onnx_bytes;

typedef struct {
    Onnx__ModelProto *model;
    const char *folder;  // external data may lie there; NULL: nowhere
    onnx_bytes *mapped;  // files that are mapped
    size_t n_mapped;
    Onnx__TensorProto **patched;  // raw_data is not protobuf-c's
    size_t n_patched;
} onnx_file;

/* folder is borrowed until onnx_file_close. */
fl_status onnx_file_open(onnx_file *f, const char *path, const char *folder, fl_err *err);
fl_status onnx_file_view(onnx_file *f, const uint8_t *bytes, size_t n, const char *folder,
                         fl_err *err);
void onnx_file_close(onnx_file *f);

/* ----------------------------------------------------------------- tensors */

typedef union {
    int64_t i;
    double f;
} onnx_number;

/*
 * A constant that formulas and shapes are computed with.  A whole number may be
 * ONNX_BATCH, the size of the batch, which nobody knows when a file is read, or
 * ONNX_UNKNOWN, which was computed from it; floats have such values too.
 */
typedef struct {
    int32_t type;  // ONNX's; decides whether numbers are i or f
    int rank;
    int64_t dim[NN_MAX_RANK];  // >= 0
    int64_t count;
    onnx_number *at;
} onnx_const;

enum { ONNX_MAX_CONST = 1 << 20 };          // numbers of one that is computed with
#define ONNX_MAX_CONSTS (INT64_C(1) << 24)  // numbers of all of them
#define ONNX_BATCH      (INT64_MIN + 1009)  // no end of a Slice that tools write
#define ONNX_UNKNOWN    (INT64_MIN + 2027)
#define ONNX_BATCH_F    (-1.2345678e300)
#define ONNX_UNKNOWN_F  (-1.2345679e300)

/* Memory of constants, as long as the reader, with a limit. */
typedef struct {
    fl_arena *arena;
    int64_t left;  // numbers
} onnx_pool;

/* n zeros of 8 bytes; NULL with FL_ELIMIT when the pool has no more. */
void *onnx_pool_take(onnx_pool *pool, int64_t n, fl_err *err);
bool onnx_type_is_float(int32_t type);
const char *onnx_type_name(int32_t type);
/* The shape of a tensor with numbers; dimensions are at least 1. */
fl_status onnx_tensor_shape(nn_shape *out, const Onnx__TensorProto *t, fl_err *err);
/* Whether it holds as many numbers as its shape says, of a type that is read. */
fl_status onnx_tensor_check(const Onnx__TensorProto *t, fl_err *err);
/* Copies the numbers as float32 to out, which has room for them. */
fl_status onnx_tensor_floats(float *out, const Onnx__TensorProto *t, fl_err *err);
/* A small tensor as a constant. */
fl_status onnx_tensor_const(onnx_const *out, onnx_pool *pool, const Onnx__TensorProto *t,
                            fl_err *err);
/* Room for a constant of type and dimensions; FL_ELIMIT above ONNX_MAX_CONST. */
fl_status onnx_const_new(onnx_const *out, onnx_pool *pool, int32_t type, int rank,
                         const int64_t *dim, fl_err *err);
/* A number as another type has it: rounded, wrapped around. */
onnx_number onnx_convert(onnx_number x, int32_t from, int32_t to);

/* ----------------------------------------------------------------- folding */

bool onnx_can_fold(const char *op);
/*
 * The outputs of a node whose inputs are all constants (in[i] NULL: left out);
 * out has room for n_output.
 */
fl_status onnx_fold(onnx_const *out, onnx_pool *pool, const Onnx__NodeProto *node,
                    const onnx_const *const *in, size_t n_in, fl_err *err);
/* Shape and Size of a value, whose batch is not known. */
fl_status onnx_fold_shape(onnx_const *out, onnx_pool *pool, const Onnx__NodeProto *node,
                          const nn_shape *shape, fl_err *err);
/* An attribute of a node, or NULL. */
const Onnx__AttributeProto *onnx_attribute(const Onnx__NodeProto *node, const char *name);

/* ----------------------------------------------------------------- reading */

/* A value whose batch is not the first dimension; see onnx_view.c. */
typedef struct onnx_view onnx_view;

/* What a name of the file stands for: a tensor of the file, a constant, or a
 * value of the graph; a tensor or constant may have become a value too. */
typedef struct {
    const char *name;
    const Onnx__TensorProto *tensor;
    const onnx_const *constant;
    nn_value value;         // -1: none yet
    const onnx_view *view;  // then value is -1
    const nn_value *parts;  // of a sequence of values
    size_t n_parts;
} onnx_meaning;

typedef struct {
    const Onnx__GraphProto *file;
    nn_graph *g;
    int64_t opset;
    bool keeps_batch;     // the first dimension is a number like the others
    bool takes_bases;     // a view may stand for the value that it is one of
    int64_t fixed_batch;  // first dimension of an input when the file gives a number; else 0
    onnx_meaning *names;  // open addressing; name NULL = empty
    size_t n_buckets, n_names;
    onnx_pool pool;
} onnx_reader;

/* The entry of a name; its own name is NULL when the file has not yet defined it. */
onnx_meaning *onnx_find_name(onnx_reader *r, const char *name);
fl_status onnx_define(onnx_reader *r, const char *name, const Onnx__TensorProto *tensor,
                      const onnx_const *constant, nn_value v, fl_err *err);
/* The operator that a node means, and its place among an operator's inputs. */
const char *onnx_op_of(const Onnx__NodeProto *node);
const onnx_constant *onnx_constant_at(const onnx_reader *r, const Onnx__NodeProto *node,
                                      size_t input);
fl_status onnx_add_node(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err);
/* The value of a name: what it is, or a Constant that is added. */
fl_status onnx_value_of(nn_value *out, onnx_reader *r, onnx_meaning *m, fl_err *err);
/* One that tools make up for a number of a formula, not a weight's. */
bool onnx_is_made_name(const char *name);

#endif
