/*
 * onnx_node.c - a node of a file as operators of a graph
 *
 * What depends on constants alone is computed (onnx_fold.c).  Inputs at the
 * places named in onnx_constants become attributes.  What changed between
 * operator sets is said here: opset 17 is what a graph means.  A few operators
 * are made of others: Split of Slices, Sum of Adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt/onnx.h"

static const char *node_name(const Onnx__NodeProto *node)
{
    return node->name != NULL && node->name[0] != '\0' ? node->name
           : node->n_output > 0                        ? node->output[0]
                                                       : "?";
}

const char *onnx_op_of(const Onnx__NodeProto *node)
{
    const char *op = node->op_type != NULL ? node->op_type : "";

    return strcmp(op, "Upsample") == 0 ? "Resize" : op;  // its name before opset 10
}

const onnx_constant *onnx_constant_at(const onnx_reader *r, const Onnx__NodeProto *node,
                                      size_t input)
{
    const char *op = onnx_op_of(node);
    bool is_old_resize = strcmp(op, "Resize") == 0 && r->opset < 11;  // without roi

    return onnx_constant_find(op, is_old_resize && input > 0 ? input + 1 : input);
}

static bool is_op(const char *op, const char *name)
{
    return strcmp(op, name) == 0;
}

/* --------------------------------------------------------------- constants */

/* The constant that a name stands for; *out NULL when it is none. */
static fl_status constant_of(const onnx_const **out, onnx_reader *r, onnx_meaning *m, fl_err *err)
{
    *out = m->constant;
    if (m->name == NULL || m->constant != NULL || m->tensor == NULL) {
        return FL_OK;
    }
    onnx_const *c = fl_arena_alloc(r->pool.arena, 1, sizeof *c);
    fl_status st = onnx_tensor_const(c, &r->pool, m->tensor, err);
    *out = m->constant = st == FL_OK ? c : NULL;
    return st;
}

/* One whose number nobody trains. */
static bool is_constant(const onnx_meaning *m)
{
    return m->name != NULL && m->value < 0 && (m->constant != NULL || m->tensor != NULL);
}

static fl_status add_constant(nn_value *out, onnx_reader *r, const char *name, const onnx_const *c,
                              fl_err *err)
{
    double *values = fl_arena_alloc(r->pool.arena, (size_t)c->count, sizeof *values);

    for (int64_t i = 0; i < c->count; i++) {
        values[i] = onnx_convert(c->at[i], c->type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT).f;
        if (values[i] == ONNX_UNKNOWN_F || values[i] == ONNX_BATCH_F) {
            return fl_fail(err, FL_EUNSUPPORTED, "%.80s depends on the size of the batch", name);
        }
    }
    nn_attr attrs[] = {NN_FLOATS("value", values, (size_t)c->count),
                       NN_INTS("shape", c->dim, (size_t)c->rank)};
    *out = nn_graph_op(r->g, "Constant", name, NULL, 0, attrs, 2);
    return *out < 0 ? nn_graph_finish(r->g, err) : FL_OK;
}

fl_status onnx_value_of(nn_value *out, onnx_reader *r, onnx_meaning *m, fl_err *err)
{
    const onnx_const *c;
    fl_status st = FL_OK;

    if (m->value < 0) {
        st = constant_of(&c, r, m, err);
        st = st == FL_OK ? add_constant(&m->value, r, m->name, c, err) : st;
    }
    *out = m->value;
    return st;
}

bool onnx_is_made_name(const char *name)
{
    return strncmp(name, "onnx::", 6) == 0 || strncmp(name, "val_", 4) == 0 ||
           strchr(name, '/') != NULL || strstr(name, "onst") != NULL ||
           strspn(name, "0123456789") == strlen(name);
}

static fl_status add_constant_node(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const Onnx__AttributeProto *a = node->n_attribute == 1 ? node->attribute[0] : NULL;
    const char *kind = a != NULL && a->name != NULL ? a->name : "";
    onnx_const *c = fl_arena_alloc(r->pool.arena, 1, sizeof *c);
    bool is_one = is_op(kind, "value_int") || is_op(kind, "value_float");
    bool is_float = strncmp(kind, "value_float", 11) == 0;
    fl_status st;

    if (node->n_output != 1) {
        return fl_fail(err, FL_EFORMAT, "it has not one output");
    }
    if (is_op(kind, "value") && a->t != NULL) {
        return onnx_define(r, node->output[0], a->t, NULL, -1, err);
    }
    if (!is_one && !is_op(kind, "value_ints") && !is_op(kind, "value_floats")) {
        return fl_fail(err, FL_EUNSUPPORTED, "a constant that is no tensor of numbers");
    }
    int64_t n = is_one ? 1 : is_float ? (int64_t)a->n_floats : (int64_t)a->n_ints;
    int32_t type = is_float ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                            : ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    if ((st = onnx_const_new(c, &r->pool, type, is_one ? 0 : 1, &n, err)) != FL_OK) {
        return st;
    }
    for (int64_t i = 0; i < n; i++) {
        if (is_float) {
            c->at[i].f = (double)(is_one ? a->f : a->floats[i]);
        } else {
            c->at[i].i = is_one ? a->i : a->ints[i];
        }
    }
    return onnx_define(r, node->output[0], NULL, c, -1, err);
}

/* -------------------------------------------------------------- attributes */

static fl_status read_attribute(onnx_reader *r, nn_attr *out, const Onnx__AttributeProto *a,
                                fl_err *err)
{
    *out = (nn_attr){.name = a->name != NULL ? a->name : ""};
    if (a->has_i || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT) {
        out->kind = NN_ATTR_INT;
        out->i = a->i;
    } else if (a->has_f || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT) {
        out->kind = NN_ATTR_FLOAT;
        out->f = (double)a->f;
    } else if (a->has_s) {
        out->kind = NN_ATTR_TEXT;
        char *text = fl_arena_alloc(r->pool.arena, a->s.len + 1, 1);
        memcpy(text, a->s.data != NULL ? (const char *)a->s.data : "", a->s.len);
        out->text = text;
    } else if (a->n_ints > 0 || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS) {
        out->kind = NN_ATTR_INTS;
        out->ints = a->ints;
        out->n_ints = a->n_ints;
    } else if (a->n_floats > 0) {
        double *floats = fl_arena_alloc(r->pool.arena, a->n_floats, sizeof *floats);
        for (size_t i = 0; i < a->n_floats; i++) {
            floats[i] = (double)a->floats[i];
        }
        *out = NN_FLOATS(out->name, floats, a->n_floats);
    } else {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "attribute %.40s is no number, list of numbers or text", out->name);
    }
    return FL_OK;
}

/* Number i of a list that may speak of the batch. */
static fl_status list_number(int64_t *out, const onnx_reader *r, const onnx_constant *c, int64_t x,
                             int64_t i, fl_err *err)
{
    bool is_reshape = is_op(c->op, "Reshape"), is_expand = is_op(c->op, "Expand");
    bool is_exported = i == 0 && r->fixed_batch > 0 && x == r->fixed_batch;  // the export's batch

    *out = x;
    if (is_exported && is_reshape) {
        *out = 0;  // as in the input
        return FL_OK;
    }
    if (x != ONNX_BATCH && x != ONNX_UNKNOWN) {
        return FL_OK;
    }
    if (x == ONNX_BATCH && i == 0 && (is_reshape || is_expand || is_op(c->op, "Tile"))) {
        *out = is_reshape ? 0 : NN_BATCH;
        return FL_OK;
    }
    if (x == ONNX_BATCH && (is_op(c->attr, "ends") || is_op(c->attr, "sizes"))) {
        *out = is_op(c->attr, "ends") ? INT64_MAX : 1;
        return FL_OK;
    }
    return fl_fail(err, FL_EUNSUPPORTED,
                   "number %lld of %s depends on the size of the batch, which must stay the first "
                   "dimension",
                   (long long)i + 1, c->attr);
}

/* A constant input as the attribute that a graph holds in its place; one
 * without a name for an empty list, which stands for none. */
static fl_status constant_attribute(onnx_reader *r, nn_attr *out, const onnx_constant *c,
                                    const onnx_const *value, fl_err *err)
{
    fl_status st = FL_OK;
    size_t n = (size_t)value->count;

    *out = (nn_attr){0};
    if (n == 0) {
        return FL_OK;
    }
    if (c->kind == NN_ATTR_FLOAT || c->kind == NN_ATTR_FLOATS) {
        double *floats = fl_arena_alloc(r->pool.arena, n, sizeof *floats);
        for (size_t i = 0; i < n; i++) {
            floats[i] =
                onnx_convert(value->at[i], value->type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT).f;
            if (floats[i] == ONNX_BATCH_F || floats[i] == ONNX_UNKNOWN_F) {
                return fl_fail(err, FL_EUNSUPPORTED, "%s depends on the size of the batch",
                               c->attr);
            }
        }
        if (c->kind == NN_ATTR_FLOAT && n != 1) {
            return fl_fail(err, FL_EFORMAT, "%s must be one number", c->attr);
        }
        *out = c->kind == NN_ATTR_FLOAT ? NN_FLOAT(c->attr, floats[0])
                                        : NN_FLOATS(c->attr, floats, n);
        return FL_OK;
    }
    bool is_number = value->rank == 0 && (is_op(c->attr, "indices") || is_op(c->attr, "axes"));
    bool is_gather = is_op(c->attr, "indices");
    if (onnx_type_is_float(value->type) || (value->rank != 1 && !is_number && !is_gather)) {
        return fl_fail(err, FL_EFORMAT, "%s must be a list of whole numbers", c->attr);
    }
    int64_t *ints = fl_arena_alloc(r->pool.arena, n, sizeof *ints);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        st = list_number(&ints[i], r, c, value->at[i].i, (int64_t)i, err);
    }
    *out = is_gather && is_number ? NN_INT(c->attr, ints[0]) : NN_INTS(c->attr, ints, n);
    return st;
}

/* ------------------------------------------------------ arguments of a node */

/* What nn_graph_op is called with. */
typedef struct {
    const char *op, *name;
    nn_value in[NN_MAX_INPUTS];
    size_t n_in;
    nn_attr *attrs;  // with room for a few more
    size_t n_attrs;
    const onnx_const *indices;  // of Gather
} call;

static const nn_attr *attr_of(const call *c, const char *name)
{
    for (size_t i = 0; i < c->n_attrs; i++) {
        if (is_op(c->attrs[i].name, name)) {
            return &c->attrs[i];
        }
    }
    return NULL;
}

static void drop_attr(call *c, const char *name)
{
    for (size_t i = 0; i < c->n_attrs; i++) {
        if (is_op(c->attrs[i].name, name)) {
            c->attrs[i] = c->attrs[--c->n_attrs];
            return;
        }
    }
}

static fl_status read_inputs(onnx_reader *r, const Onnx__NodeProto *node, call *c, fl_err *err)
{
    fl_status st = FL_OK;

    for (size_t k = 0; k < node->n_input && st == FL_OK; k++) {
        const char *name = node->input[k];
        const onnx_constant *place = onnx_constant_at(r, node, k);
        onnx_meaning *m = onnx_find_name(r, name);
        const onnx_const *value;
        if (name[0] == '\0') {
            c->in[c->n_in++] = -1;
        } else if (m->name == NULL) {
            st = fl_fail(err, FL_EFORMAT,
                         "input %.80s is not there, or is computed later or in a cycle", name);
        } else if (place == NULL) {
            st = onnx_value_of(&c->in[c->n_in++], r, m, err);
        } else if (place->attr == NULL) {
            continue;
        } else if ((st = constant_of(&value, r, m, err)) == FL_OK && value == NULL) {
            st = fl_fail(err, FL_EUNSUPPORTED, "input %.80s must be a constant", name);
        } else if (st == FL_OK) {
            c->indices = is_op(place->attr, "indices") ? value : c->indices;
            st = constant_attribute(r, &c->attrs[c->n_attrs], place, value, err);
            c->n_attrs += st == FL_OK && c->attrs[c->n_attrs].name != NULL;
        }
    }
    return st;
}

static fl_status read_call(onnx_reader *r, const Onnx__NodeProto *node, call *c, fl_err *err)
{
    fl_status st = FL_OK;

    *c = (call){.op = onnx_op_of(node), .name = node_name(node)};
    if (node->n_input > NN_MAX_INPUTS) {
        return fl_fail(err, FL_ELIMIT, "it has more than %d inputs", NN_MAX_INPUTS);
    }
    c->attrs = fl_arena_alloc(r->pool.arena, node->n_attribute + node->n_input + 4,
                              sizeof *c->attrs);
    for (size_t i = 0; i < node->n_attribute && st == FL_OK; i++) {
        st = read_attribute(r, &c->attrs[c->n_attrs++], node->attribute[i], err);
    }
    return st == FL_OK ? read_inputs(r, node, c, err) : st;
}

/* ------------------------------------------------- what is made of others */

static nn_value add_op(onnx_reader *r, const char *op, const char *name, nn_value x,
                       const nn_attr *attrs, size_t n)
{
    return nn_graph_op(r->g, op, name, &x, 1, attrs, n);
}

/* A name for a node that the file does not have. */
static const char *made_name(onnx_reader *r, const call *c, const char *what)
{
    size_t n = strlen(c->name) + strlen(what) + 2;
    char *name = fl_arena_alloc(r->pool.arena, n, 1);

    snprintf(name, n, "%s.%s", c->name, what);
    return name;
}

/* Split as a Slice for each of its outputs. */
static fl_status add_split(onnx_reader *r, const Onnx__NodeProto *node, const call *c, fl_err *err)
{
    const nn_attr *sizes = attr_of(c, "split"), *axis_attr = attr_of(c, "axis");
    int64_t axis = axis_attr != NULL ? axis_attr->i : 0, from = 0, parts = (int64_t)node->n_output;
    fl_status st = FL_OK;

    if (c->n_in != 1 || c->in[0] < 0) {
        return fl_fail(err, FL_EFORMAT, "it has no input");
    }
    const nn_shape *shape = nn_graph_shape(r->g, c->in[0]);
    axis += axis < 0 ? shape->rank : 0;
    if (axis < 0 || axis >= shape->rank || shape->dim[axis] == NN_BATCH ||
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
        nn_value y = add_op(r, "Slice", node->output[i], c->in[0], slice, 3);
        from = to;
        st = y < 0 ? nn_graph_finish(r->g, err)
                   : onnx_define(r, node->output[i], NULL, NULL, y, err);
    }
    return st;
}

/* Min, Max and Sum of any number of inputs, as pairs. */
static void pair_up(onnx_reader *r, call *c)
{
    bool is_sum = is_op(c->op, "Sum");

    if (!is_op(c->op, "Min") && !is_op(c->op, "Max") && !is_sum) {
        return;
    }
    c->op = c->n_in == 1 ? "Identity" : is_sum ? "Add" : c->op;
    while (c->n_in > 2) {
        c->in[0] = nn_graph_op(r->g, c->op, NULL, c->in, 2, NULL, 0);
        memmove(c->in + 1, c->in + 2, (c->n_in - 2) * sizeof *c->in);
        c->n_in--;
    }
}

/* A Gather by a table of indices: by a list, then a Reshape. */
static nn_value add_gather(onnx_reader *r, call *c)
{
    const nn_shape *x = c->n_in > 0 && c->in[0] >= 0 ? nn_graph_shape(r->g, c->in[0]) : NULL;
    const nn_attr *axis_attr = attr_of(c, "axis");
    int64_t axis = axis_attr != NULL ? axis_attr->i : 0, shape[2 * NN_MAX_RANK];
    size_t n = 0;

    if (x == NULL || c->indices == NULL || c->indices->rank < 2) {
        return nn_graph_op(r->g, c->op, c->name, c->in, c->n_in, c->attrs, c->n_attrs);
    }
    axis += axis < 0 ? x->rank : 0;
    nn_value y = nn_graph_op(r->g, c->op, made_name(r, c, "list"), c->in, c->n_in, c->attrs,
                             c->n_attrs);
    for (int d = 0; d < x->rank; d++) {
        if (d != axis) {
            shape[n++] = x->dim[d] == NN_BATCH ? 0 : x->dim[d];
        }
        for (int k = 0; d == axis && k < c->indices->rank; k++) {
            shape[n++] = c->indices->dim[k];
        }
    }
    return y < 0 ? y : add_op(r, "Reshape", c->name, y, (nn_attr[]){NN_INTS("shape", shape, n)}, 1);
}

/* Before opset 13, softmax went over all dimensions from axis (1) on. */
static nn_value add_old_softmax(onnx_reader *r, call *c)
{
    const nn_shape *x = nn_graph_shape(r->g, c->in[0]);
    const nn_attr *axis_attr = attr_of(c, "axis");
    int64_t axis = axis_attr != NULL ? axis_attr->i : 1, last = -1, shape[NN_MAX_RANK];
    int rank = x->rank;
    nn_attr by_last = NN_INT("axis", last);

    axis += axis < 0 ? rank : 0;
    if (axis == rank - 1 || rank < 1 || axis < 0 || axis >= rank) {
        nn_attr as_is = NN_INT("axis", axis);
        return add_op(r, c->op, c->name, c->in[0], &as_is, 1);
    }
    for (int d = 0; d < rank; d++) {
        shape[d] = x->dim[d] == NN_BATCH ? 0 : x->dim[d];
    }
    int64_t flat[NN_MAX_RANK];
    memcpy(flat, shape, sizeof flat);
    flat[axis] = -1;
    nn_value y = add_op(r, "Reshape", made_name(r, c, "flat"), c->in[0],
                        (nn_attr[]){NN_INTS("shape", flat, (size_t)axis + 1)}, 1);
    y = y < 0 ? y : add_op(r, c->op, made_name(r, c, "rows"), y, &by_last, 1);
    return y < 0 ? y
                 : add_op(r, "Reshape", c->name, y,
                          (nn_attr[]){NN_INTS("shape", shape, (size_t)rank)}, 1);
}

static nn_value add_global_max(onnx_reader *r, call *c)
{
    int64_t axes[NN_MAX_RANK];
    int rank = nn_graph_shape(r->g, c->in[0])->rank;

    for (int d = 2; d < rank; d++) {
        axes[d - 2] = d;
    }
    nn_attr attrs[] = {NN_INTS("axes", axes, rank > 2 ? (size_t)rank - 2 : 0)};
    return rank > 2 ? add_op(r, "ReduceMax", c->name, c->in[0], attrs, 1)
                    : add_op(r, "Identity", c->name, c->in[0], NULL, 0);
}

/* ------------------------------------------------ between operator sets */

/* Resize with axes (opset 18): as many numbers as there are dimensions. */
static fl_status complete_resize(onnx_reader *r, call *c, fl_err *err)
{
    const nn_attr *axes = attr_of(c, "axes"), *sizes = attr_of(c, "sizes"),
                  *scales = attr_of(c, "scales");
    int rank = c->n_in > 0 && c->in[0] >= 0 ? nn_graph_shape(r->g, c->in[0])->rank : 0;

    if (axes == NULL || rank == 0) {
        return FL_OK;
    }
    int64_t *all = fl_arena_alloc(r->pool.arena, (size_t)rank, sizeof *all);
    double *factors = fl_arena_alloc(r->pool.arena, (size_t)rank, sizeof *factors);
    size_t n = sizes != NULL ? sizes->n_ints : scales != NULL ? scales->n_floats : 0;
    for (int d = 0; d < rank; d++) {
        all[d] = nn_graph_shape(r->g, c->in[0])->dim[d];
        factors[d] = 1;
    }
    for (size_t i = 0; i < axes->n_ints; i++) {
        int64_t axis = axes->ints[i] + (axes->ints[i] < 0 ? rank : 0);
        if (axis < 0 || axis >= rank || axes->n_ints != n) {
            return fl_fail(err, FL_EFORMAT, "axes must be dimensions, one for each size");
        }
        if (sizes != NULL) {
            all[axis] = sizes->ints[i];
        } else {
            factors[axis] = scales->floats[i];
        }
    }
    bool by_size = sizes != NULL;
    drop_attr(c, "axes");
    drop_attr(c, by_size ? "sizes" : "scales");
    c->attrs[c->n_attrs++] = by_size ? NN_INTS("sizes", all, (size_t)rank)
                                     : NN_FLOATS("scales", factors, (size_t)rank);
    return FL_OK;
}

static const nn_shape *shape_of_input(const onnx_reader *r, const call *c, size_t k)
{
    return c->n_in > k && c->in[k] >= 0 ? nn_graph_shape(r->g, c->in[k]) : NULL;
}

static int64_t window_number(const call *c, const char *name, int i, int64_t dflt)
{
    const nn_attr *a = attr_of(c, name);

    return a != NULL && a->kind == NN_ATTR_INTS && (size_t)i < a->n_ints ? a->ints[i] : dflt;
}

/* The pads of a ConvTranspose from the size that its output shall have. */
static void complete_deconv(onnx_reader *r, call *c)
{
    const nn_shape *x = shape_of_input(r, c, 0), *weight = shape_of_input(r, c, 1);
    const nn_attr *shape = attr_of(c, "output_shape"), *auto_pad = attr_of(c, "auto_pad");
    bool has_mode = auto_pad != NULL && auto_pad->kind == NN_ATTR_TEXT;
    bool upper = has_mode && is_op(auto_pad->text, "SAME_UPPER");
    bool same = upper || (has_mode && is_op(auto_pad->text, "SAME_LOWER"));

    if (x == NULL || weight == NULL || x->rank < 3 || weight->rank != x->rank ||
        (shape == NULL && !same)) {
        return;
    }
    int n = x->rank - 2;
    size_t count = (size_t)n;
    int64_t *pads = fl_arena_alloc(r->pool.arena, 2 * count, sizeof *pads);
    int64_t *more = fl_arena_alloc(r->pool.arena, count, sizeof *more);
    for (int i = 0; i < n; i++) {
        int64_t stride = window_number(c, "strides", i, 1), size = x->dim[2 + i];
        int64_t reach = (weight->dim[2 + i] - 1) * window_number(c, "dilations", i, 1) + 1;
        int skipped = shape != NULL && (int)shape->n_ints == x->rank ? 2 : 0;  // N and C too
        int64_t wanted = shape != NULL ? window_number(c, "output_shape", i + skipped, 0)
                                       : size * stride;
        more[i] = window_number(c, "output_padding", i, 0);
        int64_t total = stride * (size - 1) + more[i] + reach - wanted;
        if (total < 0) {
            more[i] -= total;
            total = 0;
        }
        pads[i] = upper ? total / 2 : total - total / 2;
        pads[n + i] = total - pads[i];
    }
    drop_attr(c, "output_shape");
    drop_attr(c, "auto_pad");
    drop_attr(c, "pads");
    drop_attr(c, "output_padding");
    c->attrs[c->n_attrs++] = NN_INTS("pads", pads, 2 * count);
    c->attrs[c->n_attrs++] = NN_INTS("output_padding", more, count);
}

static bool is_all_zero(const onnx_const *c)
{
    for (int64_t i = 0; i < c->count; i++) {
        if (onnx_type_is_float(c->type) ? c->at[i].f != 0 : c->at[i].i != 0) {
            return false;
        }
    }
    return true;
}

/* Exporters give a layer without a bias one of constant zeros. */
static void drop_zero_bias(onnx_reader *r, const Onnx__NodeProto *node, call *c)
{
    if (c->n_in != 3 || (!is_op(c->op, "Conv") && !is_op(c->op, "ConvTranspose"))) {
        return;
    }
    const onnx_meaning *bias = onnx_find_name(r, node->input[2]);
    if (bias->constant != NULL && is_all_zero(bias->constant)) {
        c->n_in = 2;
    }
}

static fl_status adapt(onnx_reader *r, const Onnx__NodeProto *node, call *c, fl_err *err)
{
    if (is_op(c->op, "Resize") && r->opset < 11) {
        c->attrs[c->n_attrs++] = NN_TEXT("coordinate_transformation_mode", "asymmetric");
        c->attrs[c->n_attrs++] = NN_TEXT("nearest_mode", "floor");
    }
    if (is_op(c->op, "BatchNormalization") || is_op(c->op, "Dropout")) {
        drop_attr(c, "training_mode");  // a plan knows whether it trains
        drop_attr(c, "seed");           // its numbers come from the job's seed
        drop_attr(c, "spatial");
    }
    if (is_op(c->op, "MaxPool")) {
        drop_attr(c, "storage_order");  // of its second output
    }
    if (is_op(c->op, "Dropout") && r->keeps_batch) {
        *c = (call){.op = "Identity",
                    .name = c->name,
                    .in = {c->in[0]},
                    .n_in = 1,
                    .attrs = c->attrs};  // it only infers
    }
    drop_zero_bias(r, node, c);
    if (is_op(c->op, "ConvTranspose")) {
        complete_deconv(r, c);
    }
    return is_op(c->op, "Resize") ? complete_resize(r, c, err) : FL_OK;
}

/* ------------------------------------------------------------------- nodes */

static fl_status define_outputs(onnx_reader *r, const Onnx__NodeProto *node, const onnx_const *c,
                                size_t n, fl_err *err)
{
    fl_status st = FL_OK;

    for (size_t i = 0; i < n && st == FL_OK; i++) {
        if (node->output[i][0] != '\0') {
            st = onnx_define(r, node->output[i], NULL, &c[i], -1, err);
        }
    }
    return st;
}

/* Computes the node if it depends on constants alone; *done says whether. */
static fl_status try_to_fold(bool *done, onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const char *op = onnx_op_of(node);
    const onnx_const *in[NN_MAX_INPUTS];
    bool is_like = is_op(op, "CastLike");
    fl_status st = FL_OK;

    *done = false;
    if (node->n_input == 0 || node->n_input > NN_MAX_INPUTS || node->n_output > NN_MAX_NODES ||
        !onnx_can_fold(op)) {
        return FL_OK;
    }
    for (size_t k = 0; k < node->n_input; k++) {
        onnx_meaning *m = onnx_find_name(r, node->input[k]);
        bool only_type = is_like && k == 1 && m->name != NULL;
        if (node->input[k][0] != '\0' && !is_constant(m) && !only_type) {
            return FL_OK;
        }
        in[k] = NULL;
        if (node->input[k][0] != '\0' && is_constant(m) &&
            (st = constant_of(&in[k], r, m, err)) != FL_OK) {
            return st;
        }
    }
    onnx_const *out = fl_arena_alloc(r->pool.arena, node->n_output, sizeof *out);
    *done = true;
    st = onnx_fold(out, &r->pool, node, in, node->n_input, r->opset, err);
    bool is_split = is_op(op, "Split");
    return st == FL_OK ? define_outputs(r, node, out, is_split ? node->n_output : 1, err) : st;
}

static fl_status add_shape(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    onnx_meaning *m = node->n_input == 1 ? onnx_find_name(r, node->input[0]) : NULL;
    onnx_const *out = fl_arena_alloc(r->pool.arena, 1, sizeof *out);
    const onnx_const *c = NULL;
    nn_shape shape = {0};
    fl_status st = FL_OK;

    if (m == NULL || m->name == NULL) {
        return fl_fail(err, FL_EFORMAT, "its input is not there");
    }
    if (m->value >= 0) {
        shape = *nn_graph_shape(r->g, m->value);
    } else if ((st = constant_of(&c, r, m, err)) == FL_OK) {
        shape.rank = c->rank;
        memcpy(shape.dim, c->dim, sizeof shape.dim);
    }
    st = st == FL_OK ? onnx_fold_shape(out, &r->pool, node, &shape, err) : st;
    return st == FL_OK ? define_outputs(r, node, out, 1, err) : st;
}

static fl_status add_call(onnx_reader *r, const Onnx__NodeProto *node, call *c, fl_err *err)
{
    bool has_input = c->n_in > 0 && c->in[0] >= 0;
    bool is_softmax = is_op(c->op, "Softmax") || is_op(c->op, "LogSoftmax");
    nn_value y;

    if (is_op(c->op, "Split")) {
        return add_split(r, node, c, err);
    }
    pair_up(r, c);
    if (is_softmax && r->opset < 13 && has_input) {
        y = add_old_softmax(r, c);
    } else if (is_op(c->op, "GlobalMaxPool") && has_input) {
        y = add_global_max(r, c);
    } else if (is_op(c->op, "Gather")) {
        y = add_gather(r, c);
    } else {
        y = nn_graph_op(r->g, c->op, c->name, c->in, c->n_in, c->attrs, c->n_attrs);
    }
    if (y < 0) {
        return nn_graph_finish(r->g, err);  // says what was wrong, and where
    }
    /* Further outputs (masks, statistics) stay undefined: reading one is refused. */
    return onnx_define(r, node->output[0], NULL, NULL, y, err);
}

/* Of the reader's own; the others are the engine's. */
static bool is_made_of_others(const char *op)
{
    return is_op(op, "Split") || is_op(op, "Sum") || is_op(op, "GlobalMaxPool");
}

fl_status onnx_add_node(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const char *op = onnx_op_of(node);
    fl_status st;
    bool done = true;
    call c;

    if (node->n_output < 1) {
        st = fl_fail(err, FL_EFORMAT, "it has no output");
    } else if (node->domain != NULL && node->domain[0] != '\0' && !is_op(node->domain, "ai.onnx")) {
        st = fl_fail(err, FL_EUNSUPPORTED, "operator %.40s of domain %.40s", op, node->domain);
    } else if (is_op(op, "Constant")) {
        st = add_constant_node(r, node, err);
    } else if (is_op(op, "Shape") || is_op(op, "Size")) {
        st = add_shape(r, node, err);
    } else if (is_op(op, "Identity") && onnx_find_name(r, node->output[0])->tensor != NULL) {
        return FL_OK;  // a parameter under a second name
    } else {
        st = try_to_fold(&done, r, node, err);
    }
    if (st == FL_OK && !done && !nn_graph_knows(op) && !is_made_of_others(op)) {
        nn_graph_op(r->g, op, node_name(node), NULL, 0, NULL, 0);  // says what is supported
        return nn_graph_finish(r->g, err);
    }
    if (st == FL_OK && !done && (st = read_call(r, node, &c, err)) == FL_OK &&
        (st = adapt(r, node, &c, err)) == FL_OK) {
        done = true;
        st = add_call(r, node, &c, err);
        if (st != FL_OK && !is_op(op, "Split")) {
            return st;  // the graph has named the node
        }
    }
    return st == FL_OK ? st : fl_wrap(err, st, "node %.80s (%.40s)", node_name(node), op);
}
