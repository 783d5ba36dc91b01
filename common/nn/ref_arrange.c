/*
 * ref_arrange.c - what moves, sums and standardises numbers; see ref.h
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "nn/ops.h"
#include "nn/ref_ops.h"

typedef nn_ref_call call;

static int64_t count_of(const nn_shape *s)
{
    return nn_shape_count(s, 1);
}

static void constant_forward(const call *c)
{
    const nn_attr *value = nn_node_attr(c->node, "value");

    for (size_t i = 0; i < value->n_floats; i++) {
        c->out[i] = (double)(float)value->floats[i];
    }
}

static void constant_backward(const call *c)
{
    (void)c;
}

/* Index by axis of number i, and back. */
static void unravel(int64_t *at, const nn_shape *s, int64_t i)
{
    for (int d = s->rank - 1; d >= 0; d--) {
        at[d] = i % s->dim[d];
        i /= s->dim[d];
    }
}

static int64_t ravel(const int64_t *at, const nn_shape *s)
{
    int64_t i = 0;

    for (int d = 0; d < s->rank; d++) {
        i = i * s->dim[d] + at[d];
    }
    return i;
}

/* ------------------------------------------------------------------- moving */

/* Number i of the output is number (result) of the input; -1: it is the fill. */
static int64_t moved_from(const call *c, int64_t i)
{
    const nn_shape *x = c->in_shape[0], *y = c->out_shape;
    const char *op = c->node->op;
    int64_t at[NN_MAX_RANK] = {0}, from[NN_MAX_RANK] = {0};

    unravel(at, y, i);
    memcpy(from, at, sizeof from);
    if (strcmp(op, "Expand") == 0) {
        return nn_ref_broadcast_index(y, x, i);
    }
    if (strcmp(op, "Gather") == 0) {
        const nn_attr *a = nn_node_attr(c->node, "indices");
        int axis = nn_axis(nn_node_int(c->node, "axis", 0), x->rank);
        bool is_list = a->kind == NN_ATTR_INTS;
        int64_t index = is_list ? a->ints[at[axis]] : a->i;
        for (int d = axis + 1; d < x->rank; d++) {
            from[d] = at[is_list ? d : d - 1];
        }
        from[axis] = index < 0 ? index + x->dim[axis] : index;
        return ravel(from, x);
    }
    for (int d = 0; d < y->rank; d++) {
        if (strcmp(op, "Transpose") == 0) {
            const nn_attr *perm = nn_node_ints(c->node, "perm");
            from[perm != NULL ? perm->ints[d] : y->rank - 1 - d] = at[d];
        } else if (strcmp(op, "Slice") == 0) {
            nn_slice s;
            FL_REQUIRE(nn_slice_of(&s, c->node, d, x, NULL) == FL_OK);
            from[d] = s.start + at[d] * s.step;
        } else if (strcmp(op, "Tile") == 0) {
            from[d] = at[d] % x->dim[d];
        } else {  // Pad; without axes
            int64_t k = at[d] - nn_node_ints(c->node, "pads")->ints[d], last = x->dim[d] - 1;
            if (nn_node_text_is(c->node, "mode", "constant", "constant") && (k < 0 || k > last)) {
                return -1;
            }
            bool reflects = nn_node_text_is(c->node, "mode", "reflect", "constant");
            from[d] = k < 0 ? (reflects ? -k : 0) : k > last ? (reflects ? 2 * last - k : last) : k;
        }
    }
    return ravel(from, x);
}

static void move_forward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        int64_t from = moved_from(c, i);
        c->out[i] = from < 0 ? nn_node_float(c->node, "value", 0) : c->in[0][from];
    }
}

static void move_backward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        int64_t from = moved_from(c, i);
        if (from >= 0) {
            c->din[0][from] += c->dout[i];
        }
    }
}

static void concat(const call *c, bool backward)
{
    int axis = nn_axis(nn_node_int(c->node, "axis", 0), c->out_shape->rank);
    int64_t at[NN_MAX_RANK];

    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        size_t k = 0;
        unravel(at, c->out_shape, i);
        for (; at[axis] >= c->in_shape[k]->dim[axis]; k++) {
            at[axis] -= c->in_shape[k]->dim[axis];
        }
        int64_t from = ravel(at, c->in_shape[k]);
        if (backward) {
            c->din[k][from] += c->dout[i];
        } else {
            c->out[i] = c->in[k][from];
        }
    }
}

static void concat_forward(const call *c)
{
    concat(c, false);
}

static void concat_backward(const call *c)
{
    concat(c, true);
}

/* y = sum over every x of its weight at y's place: along each axis, 1 for the
 * nearest, or the hat max(0, 1 - distance) with places held inside x; what a
 * crop reads beyond x is a value of its own. */
static void resize(const call *c, bool backward)
{
    const nn_shape *x = c->in_shape[0], *y = c->out_shape;
    int64_t at[NN_MAX_RANK], from[NN_MAX_RANK];
    bool nearest = nn_node_text_is(c->node, "mode", "nearest", "nearest");

    for (int64_t i = 0; i < count_of(y); i++) {
        double sum = 0;
        bool is_outside = false;
        unravel(at, y, i);
        for (int d = 1; d < y->rank; d++) {
            double place = nn_resize_place(c->node, d, x, y, at[d]);
            is_outside = is_outside || nn_resize_is_outside(c->node, place, x->dim[d]);
        }
        for (int64_t k = 0; k < count_of(x); k++) {
            double weight = is_outside ? 0 : 1;
            unravel(from, x, k);
            for (int d = 0; d < y->rank && weight != 0; d++) {
                double place = d == 0 ? (double)at[0] : nn_resize_place(c->node, d, x, y, at[d]);
                double last = (double)(x->dim[d] - 1);
                double held = place < 0 ? 0 : place > last ? last : place;
                weight *= d == 0    ? at[0] == from[0]
                          : nearest ? nn_resize_nearest(c->node, place, x->dim[d]) == from[d]
                                    : fmax(0, 1 - fabs(held - (double)from[d]));
            }
            sum += weight == 0 ? 0 : weight * c->in[0][k];
            if (backward) {
                c->din[0][k] += weight * c->dout[i];
            }
        }
        if (!backward) {
            c->out[i] = is_outside ? nn_resize_beyond(c->node) : sum;
        }
    }
}

static void resize_forward(const call *c)
{
    resize(c, false);
}

static void resize_backward(const call *c)
{
    resize(c, true);
}

/* ------------------------------------------------------------------ summing */

/* Which result number i of the input goes into. */
static int64_t summed_into(const call *c, int64_t i)
{
    const nn_shape *x = c->in_shape[0];
    bool none = nn_node_int(c->node, "noop_with_empty_axes", 0) != 0;
    int64_t at[NN_MAX_RANK], into = 0;
    unsigned axes;

    FL_REQUIRE(nn_node_axes(&axes, c->node, x->rank, none ? 0 : ~0u, NULL) == FL_OK);
    unravel(at, x, i);
    for (int d = 0; d < x->rank; d++) {
        into = (axes & (1u << d)) != 0 ? into : into * x->dim[d] + at[d];
    }
    return into;
}

static bool is_op(const call *c, const char *op)
{
    return strcmp(c->node->op, op) == 0;
}

/* kept: of ReduceMax, the number that is the largest, counted from 1. */
static void reduce_forward(const call *c)
{
    int64_t n = count_of(c->in_shape[0]), n_y = count_of(c->out_shape);

    for (int64_t k = 0; k < n_y; k++) {
        c->out[k] = c->kept[k] = 0;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t k = summed_into(c, i);
        if (!is_op(c, "ReduceMax")) {
            c->out[k] += c->in[0][i] / (is_op(c, "ReduceMean") ? (double)(n / n_y) : 1);
        } else if (c->kept[k] == 0 || c->in[0][i] > c->out[k]) {
            c->out[k] = c->in[0][i];
            c->kept[k] = (double)(i + 1);
        }
    }
}

static void reduce_backward(const call *c)
{
    int64_t n = count_of(c->in_shape[0]), n_y = count_of(c->out_shape);

    for (int64_t i = 0; i < n; i++) {
        int64_t k = summed_into(c, i);
        if (!is_op(c, "ReduceMax")) {
            c->din[0][i] += c->dout[k] / (is_op(c, "ReduceMean") ? (double)(n / n_y) : 1);
        } else if (c->kept[k] == (double)(i + 1)) {
            c->din[0][i] += c->dout[k];
        }
    }
}

/* y = x - log(sum over the axis of exp(x)); dx = dy - exp(y) sum(dy) */
static void log_softmax(const call *c, bool backward)
{
    const nn_shape *s = c->out_shape;
    int axis = nn_axis(nn_node_int(c->node, "axis", -1), s->rank);
    int64_t at[NN_MAX_RANK];

    for (int64_t i = 0; i < count_of(s); i++) {
        double sum = 0;
        unravel(at, s, i);
        for (at[axis] = 0; at[axis] < s->dim[axis]; at[axis]++) {
            int64_t k = ravel(at, s);
            sum += backward ? c->dout[k] : exp(c->in[0][k] - c->in[0][i]);
        }
        if (backward) {
            c->din[0][i] += c->dout[i] - exp(c->out[i]) * sum;
        } else {
            c->out[i] = -log(sum);
        }
    }
}

static void log_softmax_forward(const call *c)
{
    log_softmax(c, false);
}

static void log_softmax_backward(const call *c)
{
    log_softmax(c, true);
}

/* ------------------------------------------------------------- standardising */

static int64_t scale_of(const nn_norm_rows *r, int64_t i)
{
    return i / r->n % r->period * r->stride + i % r->n / r->run;
}

static void row_statistics(const nn_norm_rows *r, const double *x, double *mean, double *sd)
{
    double var = 0;

    *mean = 0;
    for (int64_t j = 0; j < r->n; j++) {
        *mean += x[j] / (double)r->n;
    }
    for (int64_t j = 0; j < r->n; j++) {
        var += (x[j] - *mean) * (x[j] - *mean) / (double)r->n;
    }
    *sd = sqrt(var + r->epsilon);
}

/* y = scale (x - mean) / sqrt(var + epsilon) + shift within a row (Ba et al.
 * 2016; Ulyanov et al. 2016; Wu & He 2018) */
static void norm_forward(const call *c)
{
    nn_norm_rows r = nn_norm_rows_of(c->node, c->in_shape[0], c->in_shape[1]);
    double mean, sd;

    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        int64_t k = scale_of(&r, i);
        row_statistics(&r, c->in[0] + i / r.n * r.n, &mean, &sd);
        c->out[i] = c->in[1][k] * (c->in[0][i] - mean) / sd + (c->in[2] != NULL ? c->in[2][k] : 0);
    }
}

/* d standard_j / d x_i = (delta_ij - 1/n - standard_i standard_j / n) / sd */
static void norm_backward(const call *c)
{
    nn_norm_rows r = nn_norm_rows_of(c->node, c->in_shape[0], c->in_shape[1]);
    double mean, sd, n = (double)r.n;

    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        int64_t k = scale_of(&r, i), row = i / r.n * r.n;
        row_statistics(&r, c->in[0] + row, &mean, &sd);
        double standard = (c->in[0][i] - mean) / sd;
        c->din[1][k] += c->dout[i] * standard;
        if (c->in[2] != NULL) {
            c->din[2][k] += c->dout[i];
        }
        for (int64_t j = row; j < row + r.n; j++) {
            double other = (c->in[0][j] - mean) / sd;
            c->din[0][i] += c->dout[j] * c->in[1][scale_of(&r, j)] *
                            ((j == i) - 1 / n - standard * other / n) / sd;
        }
    }
}

const nn_ref_op nn_ref_arrange[] = {
    {"Constant", constant_forward, constant_backward},
    {"Transpose", move_forward, move_backward},
    {"Slice", move_forward, move_backward},
    {"Pad", move_forward, move_backward},
    {"Expand", move_forward, move_backward},
    {"Tile", move_forward, move_backward},
    {"Gather", move_forward, move_backward},
    {"Concat", concat_forward, concat_backward},
    {"Resize", resize_forward, resize_backward},
    {"ReduceMean", reduce_forward, reduce_backward},
    {"ReduceSum", reduce_forward, reduce_backward},
    {"ReduceMax", reduce_forward, reduce_backward},
    {"LogSoftmax", log_softmax_forward, log_softmax_backward},
    {"InstanceNormalization", norm_forward, norm_backward},
    {"GroupNormalization", norm_forward, norm_backward},
    {"LayerNormalization", norm_forward, norm_backward},
    {0},
};
