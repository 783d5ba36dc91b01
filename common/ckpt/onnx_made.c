/*
 * onnx_made.c - operators that the reader makes of others; see onnx_node.h
 *
 * Split becomes Slices, Sum becomes Adds, a Gather by a table of indices one by
 * a list, a softmax over several dimensions one over their product.
 */
#include <stdio.h>

#include "ckpt/onnx_node.h"

static nn_value add_op(onnx_reader *r, const char *op, const char *name, nn_value x,
                       const nn_attr *attrs, size_t n)
{
    return nn_graph_op(r->g, op, name, &x, 1, attrs, n);
}

/* A name for a node that the file does not have. */
static const char *made_name(onnx_reader *r, const onnx_call *c, const char *what)
{
    size_t n = strlen(c->name) + strlen(what) + 2;
    char *name = fl_arena_alloc(r->pool.arena, n, 1);

    snprintf(name, n, "%s.%s", c->name, what);
    return name;
}

static nn_value add_slice(onnx_reader *r, const char *name, nn_value x, int64_t axis, int64_t from,
                          int64_t to)
{
    nn_attr slice[] = {NN_INTS("starts", &from, 1), NN_INTS("ends", &to, 1),
                       NN_INTS("axes", &axis, 1)};

    return add_op(r, "Slice", name, x, slice, 3);
}

/* Split as a Slice for each of its outputs. */
static fl_status add_split(onnx_reader *r, const Onnx__NodeProto *node, const onnx_call *c,
                           fl_err *err)
{
    const nn_attr *sizes = onnx_call_attr(c, "split"), *axis_attr = onnx_call_attr(c, "axis");
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
        nn_value y = add_slice(r, node->output[i], c->in[0], axis, from, to);
        from = to;
        st = y < 0 ? nn_graph_finish(r->g, err)
                   : onnx_define(r, node->output[i], NULL, NULL, y, err);
    }
    return st;
}

/*
 * SplitToSequence, which today's exporter writes for torch.split and chunk when
 * it does not optimise: parts of one size, or of the sizes of a list.
 */
fl_status onnx_add_sequence(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const Onnx__AttributeProto *axis_attr = onnx_attribute(node, "axis"),
                               *keep = onnx_attribute(node, "keepdims");
    const onnx_const *sizes = NULL;
    onnx_meaning *m = node->n_input > 0 ? onnx_find_name(r, node->input[0]) : NULL;
    bool has_sizes = node->n_input > 1 && node->input[1][0] != '\0';
    nn_value x, parts[NN_MAX_INPUTS];
    fl_status st = m == NULL || m->name == NULL ? fl_fail(err, FL_EFORMAT, "its input is not there")
                                                : onnx_value_of(&x, r, m, err);

    if (st == FL_OK && has_sizes) {
        st = onnx_constant_of(&sizes, r, onnx_find_name(r, node->input[1]), err);
    }
    if (st != FL_OK) {
        return st;
    }
    const nn_shape *shape = nn_graph_shape(r->g, x);
    int64_t axis = axis_attr != NULL ? axis_attr->i : 0, from = 0;
    axis += axis < 0 ? shape->rank : 0;
    if (axis < 0 || axis >= shape->rank || shape->dim[axis] == NN_BATCH ||
        (has_sizes && (sizes == NULL || sizes->rank > 1 || sizes->count < 1 ||
                       onnx_type_is_float(sizes->type)))) {
        return fl_fail(err, FL_EUNSUPPORTED, "axis must be behind the batch, and split a constant");
    }
    int64_t dim = shape->dim[axis];
    bool squeezes = !has_sizes && keep != NULL && keep->i == 0;
    size_t n = 0;
    while (from < dim && n < NN_MAX_INPUTS) {
        bool is_list = has_sizes && sizes->rank == 1;
        int64_t left = dim - from, size = !has_sizes                  ? 1
                                          : !is_list                  ? sizes->at[0].i
                                          : (int64_t)n < sizes->count ? sizes->at[n].i
                                                                      : 0;
        if (size < 1 || (is_list && size > left)) {
            return fl_fail(err, FL_EFORMAT, "split has a size that does not fit");
        }
        int64_t to = from + (size < left ? size : left);
        nn_value y = add_slice(r, NULL, x, axis, from, to);
        y = y >= 0 && squeezes
                ? add_op(r, "Squeeze", NULL, y, (nn_attr[]){NN_INTS("axes", &axis, 1)}, 1)
                : y;
        if (y < 0) {
            return nn_graph_finish(r->g, err);
        }
        parts[n++] = y;
        from = to;
    }
    if (from < dim) {
        return fl_fail(err, FL_ELIMIT, "more than %d parts", NN_MAX_INPUTS);
    }
    st = onnx_define(r, node->output[0], NULL, NULL, -1, err);
    if (st == FL_OK) {
        onnx_meaning *sequence = onnx_find_name(r, node->output[0]);
        nn_value *copy = fl_arena_alloc(r->pool.arena, n, sizeof *copy);
        memcpy(copy, parts, n * sizeof *copy);
        sequence->parts = copy;
        sequence->n_parts = n;
    }
    return st;
}

fl_status onnx_take_from_sequence(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const onnx_meaning *m = node->n_input == 2 ? onnx_find_name(r, node->input[0]) : NULL;
    const onnx_const *place = NULL;
    fl_status st = m == NULL || m->n_parts == 0
                       ? fl_fail(err, FL_EUNSUPPORTED, "its input is no sequence of known parts")
                       : onnx_constant_of(&place, r, onnx_find_name(r, node->input[1]), err);

    if (st != FL_OK) {
        return st;
    }
    int64_t n = (int64_t)m->n_parts;
    int64_t i = place != NULL && place->count == 1 && !onnx_type_is_float(place->type)
                    ? place->at[0].i
                    : n;
    i += i < 0 ? n : 0;
    return i < 0 || i >= n ? fl_fail(err, FL_EFORMAT, "the place is outside of the sequence")
                           : onnx_define(r, node->output[0], NULL, NULL, m->parts[i], err);
}

/* Min, Max and Sum of any number of inputs, as pairs. */
static void pair_up(onnx_reader *r, onnx_call *c)
{
    bool is_sum = onnx_is(c->op, "Sum");

    if (!onnx_is(c->op, "Min") && !onnx_is(c->op, "Max") && !is_sum) {
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
static nn_value add_gather(onnx_reader *r, onnx_call *c)
{
    const nn_shape *x = c->n_in > 0 && c->in[0] >= 0 ? nn_graph_shape(r->g, c->in[0]) : NULL;
    const nn_attr *axis_attr = onnx_call_attr(c, "axis");
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
static nn_value add_old_softmax(onnx_reader *r, onnx_call *c)
{
    const nn_shape *x = nn_graph_shape(r->g, c->in[0]);
    const nn_attr *axis_attr = onnx_call_attr(c, "axis");
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

static nn_value add_global_max(onnx_reader *r, onnx_call *c)
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

/* Of the reader's own; the others are the engine's. */
bool onnx_is_made_of_others(const char *op)
{
    return onnx_is(op, "Split") || onnx_is(op, "Sum") || onnx_is(op, "GlobalMaxPool") ||
           onnx_is(op, "CastLike");
}

fl_status onnx_add_call(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err)
{
    bool has_input = c->n_in > 0 && c->in[0] >= 0;
    bool is_softmax = onnx_is(c->op, "Softmax") || onnx_is(c->op, "LogSoftmax");
    nn_value y;

    if (onnx_is(c->op, "Split")) {
        return add_split(r, node, c, err);
    }
    pair_up(r, c);
    if (is_softmax && r->opset < 13 && has_input) {
        y = add_old_softmax(r, c);
    } else if (onnx_is(c->op, "GlobalMaxPool") && has_input) {
        y = add_global_max(r, c);
    } else if (onnx_is(c->op, "Gather")) {
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
