/*
 * onnx_read.c - an ONNX file as a trainable graph and its numbers; see ckpt.h
 *
 * Initializers and Constant nodes are constants.  Those at the places named in
 * onnx_constants become attributes; the others become parameters, whose kind
 * follows from the input they are read at.  The first dimension of an input
 * is the batch, whatever number the file gives it.
 */
#include <onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "ckpt/onnx.h"

#define MAX_FILE ((size_t)INT32_MAX)  // protobuf's own limit
enum { MAX_CONSTANTS = 100000, MAX_NOTES = 1000 };

/* What a name of the file stands for: a constant, or a value of the graph, or
 * both once a constant has become a parameter. */
typedef struct {
    const char *name;
    const Onnx__TensorProto *tensor;
    nn_value value;  // -1: none yet
} meaning;

typedef struct {
    const Onnx__GraphProto *file;
    nn_graph *g;
    int64_t opset;
    int64_t fixed_batch;  // first dimension of an input when the file gives a number; else 0
    meaning *names;       // open addressing; name NULL = empty
    size_t n_buckets;     // power of two
    fl_arena *arena;      // attributes while a node is read
} loader;

/* -------------------------------------------------------------------- names */

static meaning *find_name(loader *l, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);  // FNV-1a

    for (const char *c = name; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    }
    for (size_t i = (size_t)hash;; i++) {
        meaning *m = &l->names[i & (l->n_buckets - 1)];
        if (m->name == NULL || strcmp(m->name, name) == 0) {
            return m;
        }
    }
}

static fl_status define(loader *l, const char *name, const Onnx__TensorProto *tensor, nn_value v,
                        fl_err *err)
{
    meaning *m = find_name(l, name);

    if (m->name != NULL) {
        return fl_fail(err, FL_EFORMAT, "%.80s is defined twice", name);
    }
    *m = (meaning){name, tensor, v};
    return FL_OK;
}

static const char *node_name(const Onnx__NodeProto *node)
{
    return node->name != NULL && node->name[0] != '\0' ? node->name
           : node->n_output > 0                        ? node->output[0]
                                                       : "?";
}

/* The operator of a graph; Upsample is what Resize was called before opset 10. */
static const char *op_of(const Onnx__NodeProto *node)
{
    const char *op = node->op_type != NULL ? node->op_type : "";

    return strcmp(op, "Upsample") == 0 ? "Resize" : op;
}

static const onnx_constant *constant_at(const loader *l, const Onnx__NodeProto *node, size_t input)
{
    const char *op = op_of(node);
    bool is_old_resize = strcmp(op, "Resize") == 0 && l->opset < 11;  // without roi

    return onnx_constant_find(op, is_old_resize ? input + 1 : input);
}

/* ------------------------------------------------------------------ tensors */

static const char *tensor_name(const Onnx__TensorProto *t)
{
    return t->name != NULL ? t->name : "(constant)";
}

static fl_status tensor_shape(nn_shape *out, const Onnx__TensorProto *t, fl_err *err)
{
    memset(out, 0, sizeof *out);
    if (t->n_dims > NN_MAX_RANK) {
        return fl_fail(err, FL_ELIMIT, "tensor %.80s has more than %d dimensions", tensor_name(t),
                       NN_MAX_RANK);
    }
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "tensor %.80s lies in another file; save the model as one file",
                       tensor_name(t));
    }
    out->rank = (int)t->n_dims;
    for (size_t i = 0; i < t->n_dims; i++) {
        out->dim[i] = t->dims[i];
        if (t->dims[i] < 1) {
            return fl_fail(err, FL_EFORMAT, "tensor %.80s has a dimension of %lld", tensor_name(t),
                           (long long)t->dims[i]);
        }
    }
    return FL_OK;
}

/* The numbers of a tensor as they lie in the file, in a field of their type or
 * as raw bytes; NULL unless there are exactly as many as the shape says. */
static const void *tensor_data(const Onnx__TensorProto *t, const nn_shape *shape, size_t size,
                               const void *typed, size_t n_typed)
{
    int64_t count = nn_shape_count(shape, 1);

    if (count < 0) {
        return NULL;
    }
    if (t->has_raw_data && t->raw_data.len > 0) {
        return t->raw_data.len / size == (size_t)count && t->raw_data.len % size == 0
                   ? t->raw_data.data
                   : NULL;
    }
    return n_typed == (size_t)count ? typed : NULL;
}

/* Copies floats or doubles to out, which has room for shape's count. */
static fl_status tensor_floats(float *out, const Onnx__TensorProto *t, const nn_shape *shape,
                               fl_err *err)
{
    bool wide = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    int64_t count = nn_shape_count(shape, 1);

    if (!wide && t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        return fl_fail(err, FL_EUNSUPPORTED, "tensor %.80s must be float or double",
                       tensor_name(t));
    }
    const unsigned char *data = wide ? tensor_data(t, shape, sizeof(double), t->double_data,
                                                   t->n_double_data)
                                     : tensor_data(t, shape, sizeof(float), t->float_data,
                                                   t->n_float_data);
    if (data == NULL) {
        return fl_fail(err, FL_EFORMAT,
                       "tensor %.80s does not hold as many numbers as its shape says",
                       tensor_name(t));
    }
    for (int64_t i = 0; i < count; i++) {
        double value;
        if (wide) {
            memcpy(&value, data + (size_t)i * sizeof value, sizeof value);
            out[i] = (float)value;
        } else {
            memcpy(&out[i], data + (size_t)i * sizeof *out, sizeof *out);
        }
    }
    return FL_OK;
}

/* -------------------------------------------------------------- attributes */

static fl_status read_attribute(loader *l, nn_attr *out, const Onnx__AttributeProto *a, fl_err *err)
{
    *out = (nn_attr){.name = a->name != NULL ? a->name : ""};
    if (a->has_i || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT) {
        out->kind = NN_ATTR_INT;
        out->i = a->i;
    } else if (a->has_f || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT) {
        out->kind = NN_ATTR_FLOAT;
        out->f = a->f;
    } else if (a->has_s) {
        out->kind = NN_ATTR_TEXT;
        char *text = fl_arena_alloc(l->arena, a->s.len + 1, 1);
        memcpy(text, a->s.data != NULL ? (const char *)a->s.data : "", a->s.len);
        out->text = text;
    } else if (a->n_ints > 0 || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS) {
        out->kind = NN_ATTR_INTS;
        out->ints = a->ints;
        out->n_ints = a->n_ints;
    } else if (a->n_floats > 0) {
        double *floats = fl_arena_alloc(l->arena, a->n_floats, sizeof *floats);
        for (size_t i = 0; i < a->n_floats; i++) {
            floats[i] = (double)a->floats[i];
        }
        *out = NN_FLOATS(out->name, floats, a->n_floats);
    } else {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "attribute %.40s is no number, list of whole numbers or text", out->name);
    }
    return FL_OK;
}

/* Whole numbers of 32 or 64 bits; NULL if they are something else. */
static int64_t *tensor_ints(loader *l, const Onnx__TensorProto *t, const nn_shape *shape)
{
    bool wide = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    const char *data = wide ? tensor_data(t, shape, sizeof(int64_t), t->int64_data, t->n_int64_data)
                            : tensor_data(t, shape, sizeof(int32_t), t->int32_data,
                                          t->n_int32_data);

    if (data == NULL || (!wide && t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT32)) {
        return NULL;
    }
    size_t n = (size_t)nn_shape_count(shape, 1);
    int64_t *ints = fl_arena_alloc(l->arena, n, sizeof *ints);
    for (size_t i = 0; i < n; i++) {
        int32_t narrow;
        if (wide) {
            memcpy(&ints[i], data + i * sizeof *ints, sizeof *ints);
        } else {
            memcpy(&narrow, data + i * sizeof narrow, sizeof narrow);
            ints[i] = narrow;
        }
    }
    return ints;
}

/* A constant input as the attribute that a graph holds in its place; one
 * without a name for an empty list, which stands for none. */
static fl_status constant_attribute(loader *l, nn_attr *out, const onnx_constant *c,
                                    const Onnx__TensorProto *t, fl_err *err)
{
    nn_shape shape;

    *out = (nn_attr){0};
    if (t->n_dims == 1 && t->dims[0] == 0) {
        return FL_OK;
    }
    fl_status st = tensor_shape(&shape, t, err);
    if (st != FL_OK) {
        return st;
    }
    if (c->kind == NN_ATTR_FLOAT) {
        float value = 0;
        if (nn_shape_count(&shape, 1) != 1) {
            return fl_fail(err, FL_EFORMAT, "%s must be one number", c->attr);
        }
        st = tensor_floats(&value, t, &shape, err);
        *out = NN_FLOAT(c->attr, (double)value);
        return st;
    }
    size_t n = (size_t)nn_shape_count(&shape, 1);
    if (c->kind == NN_ATTR_FLOATS) {
        float *values = fl_arena_alloc(l->arena, n, sizeof *values);
        double *floats = fl_arena_alloc(l->arena, n, sizeof *floats);
        st = tensor_floats(values, t, &shape, err);
        for (size_t i = 0; i < n && st == FL_OK; i++) {
            floats[i] = (double)values[i];
        }
        *out = NN_FLOATS(c->attr, floats, n);
        return st;
    }
    int64_t *ints = tensor_ints(l, t, &shape);
    bool is_number = shape.rank == 0 && strcmp(c->attr, "indices") == 0;
    if (ints == NULL || (shape.rank != 1 && !is_number)) {
        return fl_fail(err, FL_EFORMAT, "%s must be a list of int64", c->attr);
    }
    if (l->fixed_batch > 0 && ints[0] == l->fixed_batch && strcmp(c->op, "Reshape") == 0) {
        ints[0] = 0;  // the export's batch size: as in the input
    }
    *out = is_number ? NN_INT(c->attr, ints[0]) : NN_INTS(c->attr, ints, n);
    return FL_OK;
}

/* ---------------------------------------------------------------- parameters */

static bool is_one_of(const char *op, const char *const *ops)
{
    while (*ops != NULL && strcmp(*ops, op) != 0) {
        ops++;
    }
    return *ops != NULL;
}

static bool is_norm(const char *op)
{
    return is_one_of(op, (const char *const[]){"InstanceNormalization", "GroupNormalization",
                                               "LayerNormalization", NULL});
}

/*
 * What a parameter is, from the operator and the input that read it.  Exponents
 * and single numbers of arithmetic are part of a formula: they are kept, not
 * trained.
 */
static nn_kind kind_of_input(const char *op, size_t input, const nn_shape *shape)
{
    if (strcmp(op, "BatchNormalization") == 0) {
        return input <= 2 ? NN_NORM : NN_STAT;
    }
    if (is_norm(op)) {
        return NN_NORM;
    }
    bool is_arithmetic = is_one_of(
        op, (const char *const[]){"Sub", "Mul", "Div", "Pow", "Min", "Max", NULL});
    if (is_arithmetic && (shape->rank == 0 || (strcmp(op, "Pow") == 0 && input == 1))) {
        return NN_STAT;
    }
    bool is_bias = strcmp(op, "Add") == 0 || strcmp(op, "Sub") == 0 || input == 2;
    return is_bias ? NN_BIAS : NN_WEIGHT;
}

/* First values, should the file's not be wanted. */
static nn_init init_of_input(const char *op, size_t input, const nn_shape *shape)
{
    if (strcmp(op, "BatchNormalization") == 0 || is_norm(op)) {
        return input == 1 || input == 4 ? NN_INIT_ONE : NN_INIT_ZERO;
    }
    return kind_of_input(op, input, shape) == NN_WEIGHT ? NN_INIT_FAN_IN : NN_INIT_ZERO;
}

/*
 * Makes parameters of the initializers, in the file's order, so that a table
 * survives the trip.  Those that only become attributes are left alone.
 */
static fl_status add_params(loader *l, fl_err *err)
{
    typedef struct {
        const Onnx__NodeProto *node;
        size_t input;
    } use;
    size_t n = l->file->n_initializer;
    use *uses = fl_xcalloc(n, sizeof *uses);
    fl_status st = FL_OK;

    for (size_t i = 0; i < n; i++) {
        find_name(l, l->file->initializer[i]->name)->value = -2 -
                                                             (nn_value)i;  // for the search below
    }
    for (size_t i = 0; i < l->file->n_node; i++) {
        const Onnx__NodeProto *node = l->file->node[i];
        for (size_t k = 0; node->op_type != NULL && k < node->n_input; k++) {
            const meaning *m = find_name(l, node->input[k]);
            bool is_constant = constant_at(l, node, k) != NULL;
            if (m->name != NULL && m->value <= -2 && !is_constant &&
                uses[-2 - m->value].node == NULL) {
                uses[-2 - m->value] = (use){node, k};
            }
        }
    }
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        const Onnx__TensorProto *t = l->file->initializer[i];
        const char *op = uses[i].node != NULL ? uses[i].node->op_type : NULL;
        nn_shape shape;
        meaning *m = find_name(l, t->name);
        m->value = -1;
        if (op != NULL && (st = tensor_shape(&shape, t, err)) == FL_OK) {
            m->value = nn_graph_param(l->g, t->name, kind_of_input(op, uses[i].input, &shape),
                                      &shape, init_of_input(op, uses[i].input, &shape), 0);
        }
    }
    free(uses);
    return st;
}

/* ---------------------------------------------------------------------- nodes */

static fl_status add_constant_node(loader *l, const Onnx__NodeProto *node, fl_err *err)
{
    const Onnx__TensorProto *t = node->n_attribute == 1 ? node->attribute[0]->t : NULL;

    if (t == NULL || node->n_output != 1) {
        return fl_fail(err, FL_EUNSUPPORTED, "only constants that are tensors");
    }
    return define(l, node->output[0], t, -1, err);
}

/* What changed in an operator between opsets; opset 17 is what a graph means. */
static fl_status adapt_to_opset(loader *l, const char *op, nn_value x, nn_attr *attrs,
                                size_t *n_attrs, fl_err *err)
{
    bool is_softmax = strcmp(op, "Softmax") == 0 || strcmp(op, "LogSoftmax") == 0;
    if (strcmp(op, "Resize") == 0 && l->opset < 11) {
        attrs[(*n_attrs)++] = NN_TEXT("coordinate_transformation_mode", "asymmetric");
        attrs[(*n_attrs)++] = NN_TEXT("nearest_mode", "floor");
    }
    if (is_softmax && l->opset < 13 &&
        x >= 0) {  // over all behind axis, which was 1 by default
        int64_t last = nn_graph_shape(l->g, x)->rank - 1;
        int64_t axis = *n_attrs == 1 && strcmp(attrs[0].name, "axis") == 0 ? attrs[0].i : 1;
        if (*n_attrs > 1 || (axis != last && axis != -1)) {
            return fl_fail(err, FL_EUNSUPPORTED, "%s over several dimensions (opset %lld)",
                           op, (long long)l->opset);
        }
        attrs[0] = NN_INT("axis", -1);
        *n_attrs = 1;
    }
    for (size_t i = 0; i < *n_attrs; i++) {  // a plan knows whether it trains
        if (strcmp(op, "BatchNormalization") == 0 && strcmp(attrs[i].name, "training_mode") == 0) {
            attrs[i] = attrs[--*n_attrs];
        }
    }
    return FL_OK;
}

/* A constant of a formula: kept as it is, never trained. */
static fl_status add_kept_number(loader *l, meaning *m, fl_err *err)
{
    nn_shape shape;
    fl_status st = tensor_shape(&shape, m->tensor, err);

    if (st == FL_OK) {
        m->value = nn_graph_param(l->g, m->name, NN_STAT, &shape, NN_INIT_ZERO, 0);
    }
    return st;
}

static fl_status read_inputs(loader *l, const Onnx__NodeProto *node, nn_value *in, size_t *n_in,
                             nn_attr *attrs, size_t *n_attrs, fl_err *err)
{
    fl_status st = FL_OK;

    *n_in = 0;
    for (size_t k = 0; k < node->n_input && st == FL_OK; k++) {
        const char *name = node->input[k];
        const onnx_constant *c = constant_at(l, node, k);
        meaning *m = find_name(l, name);
        if (name[0] == '\0') {
            in[(*n_in)++] = -1;
        } else if (m->name == NULL) {
            st = fl_fail(err, FL_EFORMAT,
                         "input %.80s is not there, or is computed later or in a cycle", name);
        } else if (c == NULL && m->value < 0 && (st = add_kept_number(l, m, err)) != FL_OK) {
            break;
        } else if (c == NULL) {
            in[(*n_in)++] = m->value;
        } else if (m->tensor == NULL) {
            st = fl_fail(err, FL_EUNSUPPORTED, "input %.80s must be a constant", name);
        } else if (c->attr != NULL) {
            st = constant_attribute(l, &attrs[*n_attrs], c, m->tensor, err);
            *n_attrs += attrs[*n_attrs].name != NULL;
        }
    }
    return st;
}

/* A node as the arguments of nn_graph_op.  attrs lives in the arena. */
static fl_status read_node(loader *l, const Onnx__NodeProto *node, nn_value *in, size_t *n_in,
                           nn_attr **attrs, size_t *n_attrs, fl_err *err)
{
    fl_status st;

    *n_attrs = 0;
    if (node->n_output < 1) {
        return fl_fail(err, FL_EFORMAT, "it has no output");
    }
    if (node->domain != NULL && node->domain[0] != '\0' && strcmp(node->domain, "ai.onnx") != 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "operator %.40s of domain %.40s", node->op_type,
                       node->domain);
    }
    if (node->n_input > NN_MAX_INPUTS) {
        return fl_fail(err, FL_ELIMIT, "it has more than %d inputs", NN_MAX_INPUTS);
    }
    *attrs = fl_arena_alloc(l->arena, node->n_attribute + NN_MAX_INPUTS + 3, sizeof **attrs);
    for (size_t i = 0; i < node->n_attribute; i++) {
        if ((st = read_attribute(l, &(*attrs)[(*n_attrs)++], node->attribute[i], err)) != FL_OK) {
            return st;
        }
    }
    if ((st = read_inputs(l, node, in, n_in, *attrs, n_attrs, err)) != FL_OK) {
        return st;
    }
    return adapt_to_opset(l, op_of(node), *n_in > 0 ? in[0] : -1, *attrs, n_attrs, err);
}

/* Split as a Slice for each of its outputs. */
static fl_status add_split(loader *l, const Onnx__NodeProto *node, nn_value x,
                           const nn_attr *attrs, size_t n_attrs, fl_err *err)
{
    nn_node n = {.attrs = attrs, .n_attrs = n_attrs};
    const nn_attr *sizes = nn_node_attr(&n, "split"), *axis_attr = nn_node_attr(&n, "axis");
    int64_t axis = axis_attr != NULL ? axis_attr->i : 0, from = 0, parts = (int64_t)node->n_output;
    const nn_shape *shape = nn_graph_shape(l->g, x);
    fl_status st = FL_OK;

    axis += axis < 0 ? shape->rank : 0;
    if (axis < 1 || axis >= shape->rank ||
        (sizes != NULL && (sizes->kind != NN_ATTR_INTS || (int64_t)sizes->n_ints != parts))) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "axis must be behind the batch, and split a constant for each output");
    }
    int64_t dim = shape->dim[axis], each = (dim + parts - 1) / parts;
    for (size_t i = 0; i < node->n_output && st == FL_OK; i++) {
        int64_t size = sizes != NULL ? sizes->ints[i] : each < dim - from ? each : dim - from;
        int64_t to = from + (size > 0 && size <= dim - from ? size : 0);
        nn_attr slice[] = {NN_INTS("starts", &from, 1), NN_INTS("ends", &to, 1),
                           NN_INTS("axes", &axis, 1)};
        nn_value y = nn_graph_op(l->g, "Slice", node->output[i], &x, 1, slice, 3);
        from = to;
        st = y < 0 ? nn_graph_finish(l->g, err)
                   : define(l, node->output[i], NULL, y, err);
    }
    return st;
}

/* Min and Max of any number of inputs, as pairs. */
static void pair_up(loader *l, const char **op, nn_value *in, size_t *n_in)
{
    if (strcmp(*op, "Min") != 0 && strcmp(*op, "Max") != 0) {
        return;
    }
    if (*n_in == 1) {
        *op = "Identity";
    }
    while (*n_in > 2) {
        in[0] = nn_graph_op(l->g, *op, NULL, in, 2, NULL, 0);
        memmove(in + 1, in + 2, (*n_in - 2) * sizeof *in);
        --*n_in;
    }
}

static fl_status add_node(loader *l, const Onnx__NodeProto *node, fl_err *err)
{
    nn_value in[NN_MAX_INPUTS];
    nn_attr *attrs = NULL;
    size_t n_in = 0, n_attrs = 0;
    const char *op = op_of(node);
    bool is_constant = strcmp(op, "Constant") == 0, is_split = strcmp(op, "Split") == 0;
    fl_status st = FL_OK;

    if (is_constant) {
        st = add_constant_node(l, node, err);
    } else if (nn_graph_knows(op) || is_split) {  // what is not known is said by nn_graph_op
        st = read_node(l, node, in, &n_in, &attrs, &n_attrs, err);
    }
    if (st == FL_OK && is_split) {
        st = n_in == 1 && in[0] >= 0 ? add_split(l, node, in[0], attrs, n_attrs, err)
                                     : fl_fail(err, FL_EFORMAT, "it has no input");
        fl_arena_reset(l->arena);
    }
    if (st != FL_OK) {
        return fl_wrap(err, st, "node %.80s (%.40s)", node_name(node), op);
    }
    if (is_constant || is_split) {
        return FL_OK;
    }
    pair_up(l, &op, in, &n_in);
    nn_value out = nn_graph_op(l->g, op, node_name(node), in, n_in, attrs, n_attrs);
    fl_arena_reset(l->arena);
    if (out < 0) {
        return nn_graph_finish(l->g, err);  // says what was wrong
    }
    /* Further outputs (masks, statistics) stay undefined: reading one is refused. */
    return define(l, node->output[0], NULL, out, err);
}

/* -------------------------------------------------------------- inputs, outputs */

static fl_status add_input(loader *l, const Onnx__ValueInfoProto *info, fl_err *err)
{
    const Onnx__TypeProto *type = info->type;
    const Onnx__TensorShapeProto *dims = type != NULL && type->value_case ==
                                                             ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
                                             ? type->tensor_type->shape
                                             : NULL;
    nn_shape shape = {0};

    if (dims == NULL || type->tensor_type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        return fl_fail(err, FL_EUNSUPPORTED, "input %.80s must be a float tensor with a shape",
                       info->name);
    }
    if (dims->n_dim < 2 || dims->n_dim > NN_MAX_RANK) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "input %.80s must have 2 to %d dimensions, the first the batch", info->name,
                       NN_MAX_RANK);
    }
    shape.rank = (int)dims->n_dim;
    for (size_t i = 0; i < dims->n_dim; i++) {
        bool has_value = dims->dim[i]->value_case ==
                         ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        shape.dim[i] = has_value ? dims->dim[i]->dim_value : -1;
        if (i > 0 && shape.dim[i] < 1) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "dimension %zu of input %.80s is open; only the batch may be", i + 1,
                           info->name);
        }
    }
    l->fixed_batch = shape.dim[0] > 0 ? shape.dim[0] : 0;
    shape.dim[0] = NN_BATCH;
    return define(l, info->name, NULL, nn_graph_input(l->g, info->name, &shape), err);
}

static fl_status add_initializers(loader *l, fl_err *err)
{
    fl_status st = FL_OK;

    if (l->file->n_sparse_initializer > 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "sparse initializers");
    }
    for (size_t i = 0; i < l->file->n_initializer && st == FL_OK; i++) {
        const Onnx__TensorProto *t = l->file->initializer[i];
        st = t->name == NULL || t->name[0] == '\0'
                 ? fl_fail(err, FL_EFORMAT, "an initializer has no name")
                 : define(l, t->name, t, -1, err);
    }
    return st;
}

static fl_status add_graph(loader *l, fl_err *err)
{
    fl_status st = add_initializers(l, err);

    for (size_t i = 0; i < l->file->n_input && st == FL_OK; i++) {
        const char *name = l->file->input[i]->name;
        if (name == NULL || name[0] == '\0') {
            st = fl_fail(err, FL_EFORMAT, "an input has no name");
        } else if (find_name(l, name)->name == NULL) {  // old files list initializers here too
            st = add_input(l, l->file->input[i], err);
        }
    }
    st = st == FL_OK ? add_params(l, err) : st;
    for (size_t i = 0; i < l->file->n_node && st == FL_OK; i++) {
        st = add_node(l, l->file->node[i], err);
    }
    for (size_t i = 0; i < l->file->n_output && st == FL_OK; i++) {
        const char *name = l->file->output[i]->name;
        const meaning *m = find_name(l, name != NULL ? name : "");
        if (m->name == NULL) {
            st = fl_fail(err, FL_EFORMAT, "output %.80s is computed by no node",
                         name != NULL ? name : "?");
        } else if (m->value >= 0) {
            nn_graph_output(l->g, name, m->value);
        }
    }
    return st == FL_OK ? nn_graph_finish(l->g, err) : st;
}

/* ---------------------------------------------------------------------- model */

static fl_status find_opset(int64_t *out, const Onnx__ModelProto *model, fl_err *err)
{
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = model->opset_import[i];
        if (opset->domain == NULL || opset->domain[0] == '\0' ||
            strcmp(opset->domain, "ai.onnx") == 0) {
            *out = opset->version;
            return *out >= ONNX_OPSET_OLDEST && *out <= ONNX_OPSET_NEWEST
                       ? FL_OK
                       : fl_fail(err, FL_EUNSUPPORTED, "opset %lld; %d to %d are read",
                                 (long long)*out, ONNX_OPSET_OLDEST, ONNX_OPSET_NEWEST);
        }
    }
    return fl_fail(err, FL_EFORMAT, "the file names no operator set");
}

static fl_status fill_data(loader *l, float **data, fl_err *err)
{
    const nn_table *table = nn_graph_table(l->g);
    fl_status st = FL_OK;

    *data = fl_calloc_aligned((size_t)nn_table_count(table), sizeof **data,
                              "the model's parameters", err);
    if (*data == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < nn_table_n(table) && st == FL_OK; i++) {
        const nn_param *p = nn_table_at(table, i);
        st = tensor_floats(*data + p->offset, find_name(l, p->name)->tensor, &p->shape, err);
    }
    return st;
}

static fl_status load(nn_graph **g, float **data, ckpt_meta *meta, const Onnx__ModelProto *model,
                      fl_err *err)
{
    loader l = {.file = model->graph};

    if (l.file == NULL) {
        return fl_fail(err, FL_EFORMAT, "the file holds no graph");
    }
    if (l.file->n_initializer > MAX_CONSTANTS || l.file->n_node > NN_MAX_NODES ||
        model->n_metadata_props > MAX_NOTES) {
        return fl_fail(err, FL_ELIMIT, "more than %d tensors, %d nodes or %d notes", MAX_CONSTANTS,
                       NN_MAX_NODES, MAX_NOTES);
    }
    fl_status st = find_opset(&l.opset, model, err);
    if (st != FL_OK) {
        return st;
    }
    l.g = nn_graph_new(l.file->name != NULL && l.file->name[0] != '\0' ? l.file->name : "onnx");
    l.n_buckets = 64;
    while (l.n_buckets < 2 * (l.file->n_initializer + l.file->n_input + l.file->n_node + 1)) {
        l.n_buckets *= 2;
    }
    l.names = fl_xcalloc(l.n_buckets, sizeof *l.names);
    l.arena = fl_arena_new(4096);
    st = add_graph(&l, err);
    if (st == FL_OK) {
        st = fill_data(&l, data, err);
    }
    for (size_t i = 0; st == FL_OK && meta != NULL && i < model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *note = model->metadata_props[i];
        ckpt_meta_add(meta, note->key != NULL ? note->key : "",
                      note->value != NULL ? note->value : "");
    }
    free(l.names);
    fl_arena_destroy(&l.arena);
    *g = l.g;
    return st;
}

fl_status ckpt_onnx_unpack(nn_graph **g, float **data, ckpt_meta *meta, const char *file, size_t n,
                           fl_err *err)
{
    *g = NULL;
    *data = NULL;
    fl_status st = onnx_scan((const uint8_t *)file, n, err);
    if (st != FL_OK) {
        return st;
    }
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, n, (const uint8_t *)file);
    if (model == NULL) {
        return fl_fail(err, FL_EFORMAT, "no ONNX model, or a damaged one");
    }
    st = load(g, data, meta, model, err);
    onnx__model_proto__free_unpacked(model, NULL);
    if (st != FL_OK) {
        nn_graph_destroy(g);
        FL_FREE(*data);
    }
    return st;
}

fl_status ckpt_onnx_read(nn_graph **g, float **data, ckpt_meta *meta, const char *path, fl_err *err)
{
    char *file;
    size_t n;

    *g = NULL;
    *data = NULL;
    fl_status st = fl_file_read(&file, &n, path, MAX_FILE, err);
    if (st != FL_OK) {
        return st;
    }
    st = ckpt_onnx_unpack(g, data, meta, file, n, err);
    free(file);
    return st == FL_OK ? st : fl_wrap(err, st, "%s", path);
}
