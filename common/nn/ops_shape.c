/*
 * ops_shape.c - operators that only say how the same numbers are arranged, and
 * Constant, whose numbers are the graph's
 *
 * Flatten, Reshape and Identity cost nothing on row-major activations: their
 * output is another view of their input.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "nn/ops.h"

/* Everything before axis in the first dimension, the rest in the second. */
static fl_status flatten_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                               fl_err *err)
{
    int64_t axis = nn_node_int(node, "axis", 1);
    int rank = in[0]->rank;

    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis > rank) {
        return fl_fail(err, FL_ECONFIG, "axis is out of range");
    }
    if (rank > 0 && in[0]->dim[0] == NN_BATCH && axis != 1) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "axis must be 1, so that the batch stays the first dimension");
    }
    *out = (nn_shape){2, {1, 1}};
    for (int d = 0; d < rank; d++) {
        out->dim[d < axis ? 0 : 1] *= in[0]->dim[d];
    }
    return FL_OK;
}

/* shape as in ONNX: 0 = as in the input, one -1 = whatever is left.  The batch
 * stays the first dimension. */
static fl_status reshape_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                               fl_err *err)
{
    const nn_attr *a = nn_node_attr(node, "shape");
    bool batch = in[0]->rank > 0 && in[0]->dim[0] == NN_BATCH;
    int64_t count = nn_shape_count(in[0], 1), known = 1;
    int open = -1;

    if (a == NULL || a->kind != NN_ATTR_INTS || a->n_ints < 1 || a->n_ints > NN_MAX_RANK) {
        return fl_fail(err, FL_EUNSUPPORTED, "shape must be a constant of 1 to %d numbers",
                       NN_MAX_RANK);
    }
    if (batch && nn_node_int(node, "allowzero", 0) != 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "allowzero");
    }
    memset(out, 0, sizeof *out);
    out->rank = (int)a->n_ints;
    for (int i = 0; i < out->rank; i++) {
        int64_t dim = a->ints[i];
        if (batch && i == 0 && (dim == 0 || dim == -1)) {
            out->dim[0] = NN_BATCH;
            continue;
        }
        if (dim == 0 && i < in[0]->rank) {
            dim = in[0]->dim[i];
        }
        if (dim == -1 && open < 0) {
            open = i;
            continue;
        }
        if (dim < 1 || __builtin_mul_overflow(known, dim, &known)) {
            return fl_fail(err, FL_ECONFIG, "shape has a number that is not allowed at place %d",
                           i + 1);
        }
        out->dim[i] = dim;
    }
    if (batch && out->dim[0] != NN_BATCH) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "the batch must stay the first dimension (0 or -1), not become %lld",
                       (long long)a->ints[0]);
    }
    if (open >= 0) {
        out->dim[open] = count / known;
        known *= out->dim[open];
    }
    return known == count
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "shape asks for %lld numbers a row, the input has %lld",
                         (long long)known, (long long)count);
}

static fl_status identity_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                fl_err *err)
{
    (void)node;
    (void)err;
    *out = *in[0];
    return FL_OK;
}

static fl_status squeeze_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                               fl_err *err)
{
    unsigned axes, ones = 0;

    for (int d = 0; d < in[0]->rank; d++) {
        ones |= in[0]->dim[d] == 1 ? 1u << d : 0;
    }
    fl_status st = nn_node_axes(&axes, node, in[0]->rank, ones, err);
    if (st != FL_OK || (axes & ~ones) != 0) {
        return st != FL_OK ? st : fl_fail(err, FL_ECONFIG, "only dimensions of 1 can be left out");
    }
    *out = (nn_shape){0};
    for (int d = 0; d < in[0]->rank; d++) {
        if ((axes & (1u << d)) == 0) {
            out->dim[out->rank++] = in[0]->dim[d];
        }
    }
    return FL_OK;
}

static fl_status unsqueeze_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                 fl_err *err)
{
    const nn_attr *a = nn_node_ints(node, "axes");
    unsigned axes;

    if (a == NULL || a->n_ints + (size_t)in[0]->rank > NN_MAX_RANK) {
        return fl_fail(err, FL_EUNSUPPORTED, "axes must be a constant, for %d dimensions in all",
                       NN_MAX_RANK);
    }
    int rank = in[0]->rank + (int)a->n_ints;
    fl_status st = nn_node_axes(&axes, node, rank, 0, err);
    if (st != FL_OK) {
        return st;
    }
    if (in[0]->rank > 0 && in[0]->dim[0] == NN_BATCH && (axes & 1) != 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "the batch must stay the first dimension");
    }
    *out = (nn_shape){rank, {0}};
    for (int d = 0, i = 0; d < rank; d++) {
        out->dim[d] = (axes & (1u << d)) != 0 ? 1 : in[0]->dim[i++];
    }
    return FL_OK;
}

static fl_status cast_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                            fl_err *err)
{
    enum { ONNX_FLOAT = 1 };

    if (nn_node_int(node, "to", ONNX_FLOAT) != ONNX_FLOAT) {
        return fl_fail(err, FL_EUNSUPPORTED, "numbers stay float");
    }
    return identity_shape(out, node, in, err);
}

/* The numbers of slot, row-major, as a tensor with the dimensions of `to`. */
static nn_slot seen_as(nn_build *b, nn_slot slot, nn_value from, nn_value to)
{
    nn_shape dims;

    nn_build_dims(b, from, &dims);
    slot = nn_build_in_rows(b, slot, &dims);
    nn_build_dims(b, to, &dims);
    const nn_layout *l = nn_build_layout(b, slot);
    const nn_layout *plain = nn_layout_plain(nn_build_dnnl(b), dims.rank, dims.dim);
    return l == NULL ? -1
                     : nn_build_view(b, slot,
                                     nn_layout_typed(nn_build_dnnl(b), plain, nn_layout_type(l)));
}

static void view_plan(nn_build *b, const nn_node *node)
{
    nn_build_set_value(b, node->out[0],
                       seen_as(b, nn_build_value(b, node->in[0]), node->in[0], node->out[0]));
}

static void view_plan_grad(nn_build *b, const nn_node *node)
{
    nn_build_add_grad(b, node->in[0],
                      seen_as(b, nn_build_grad(b, node->out[0]), node->out[0], node->in[0]));
}

static void identity_plan(nn_build *b, const nn_node *node)
{
    nn_build_set_value(b, node->out[0], nn_build_value(b, node->in[0]));
}

static void identity_plan_grad(nn_build *b, const nn_node *node)
{
    nn_build_add_grad(b, node->in[0], nn_build_grad(b, node->out[0]));
}

/* ---------------------------------------------------------------- Constant */

/* value: the numbers, row-major; shape: their dimensions, none of a single one. */
static fl_status constant_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                fl_err *err)
{
    const nn_attr *value = nn_node_attr(node, "value"), *shape = nn_node_ints(node, "shape");

    (void)in;
    *out = (nn_shape){0};
    if (value == NULL || value->kind != NN_ATTR_FLOATS ||
        (shape != NULL && shape->n_ints > NN_MAX_RANK)) {
        return fl_fail(err, FL_ECONFIG, "value must be numbers, of at most %d dimensions",
                       NN_MAX_RANK);
    }
    for (size_t i = 0; shape != NULL && i < shape->n_ints; i++) {
        out->dim[out->rank++] = shape->ints[i];
        if (shape->ints[i] < 1) {
            return fl_fail(err, FL_ECONFIG, "a constant with a dimension of %lld",
                           (long long)shape->ints[i]);
        }
    }
    return nn_shape_count(out, 1) == (int64_t)value->n_floats
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "value has not as many numbers as shape says");
}

typedef struct {
    int64_t n;
    float value[];
} constant_spec;

/* data: y */
static void constant_forward(const nn_call *call)
{
    const constant_spec *s = call->spec;

    nn_vec_copy(call->data[0], s->value, s->n);
}

static void constant_plan(nn_build *b, const nn_node *node)
{
    const nn_attr *value = nn_node_attr(node, "value");
    size_t bytes = sizeof(constant_spec) + value->n_floats * sizeof(float);
    constant_spec *s = fl_xcalloc(1, bytes);
    nn_slot y = nn_plain_slot(b, node->out[0]);

    s->n = (int64_t)value->n_floats;
    for (size_t i = 0; i < value->n_floats; i++) {
        s->value[i] = (float)value->floats[i];
    }
    nn_build_kernel(b, constant_forward, (nn_use[]){{NN_DST, y}}, 1, s, bytes);
    nn_build_set_value(b, node->out[0], y);
    free(s);
}

/* Nobody wants a gradient by it. */
static void constant_plan_grad(nn_build *b, const nn_node *node)
{
    (void)b;
    (void)node;
}

const nn_op nn_ops_shape[] = {
    {
        .name = "Constant",
        .min_inputs = 0,
        .max_inputs = 0,
        .attrs = {"value", "shape"},
        .shape = constant_shape,
        .plan = constant_plan,
        .plan_grad = constant_plan_grad,
    },
    {
        .name = "Flatten",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"axis"},
        .shape = flatten_shape,
        .plan = view_plan,
        .plan_grad = view_plan_grad,
    },
    {
        .name = "Reshape",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"shape", "allowzero"},
        .shape = reshape_shape,
        .plan = view_plan,
        .plan_grad = view_plan_grad,
    },
    {
        .name = "Identity",
        .min_inputs = 1,
        .max_inputs = 1,
        .shape = identity_shape,
        .plan = identity_plan,
        .plan_grad = identity_plan_grad,
    },
    {
        .name = "Squeeze",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"axes"},
        .shape = squeeze_shape,
        .plan = view_plan,
        .plan_grad = view_plan_grad,
    },
    {
        .name = "Unsqueeze",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"axes"},
        .shape = unsqueeze_shape,
        .plan = view_plan,
        .plan_grad = view_plan_grad,
    },
    {
        .name = "Cast",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"to"},
        .shape = cast_shape,
        .plan = identity_plan,
        .plan_grad = identity_plan_grad,
    },
    {0},
};
