/*
 * ops_reduce.c - operators that sum over some axes: ReduceMean, ReduceSum,
 * ReduceMax, LogSoftmax, and the normalisations of single examples
 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

/* ------------------------------------------------------------------ Reduce */

static fl_status reduced_axes(unsigned *axes, const nn_node *node, int rank, fl_err *err)
{
    bool none = nn_node_int(node, "noop_with_empty_axes", 0) != 0;

    return nn_node_axes(axes, node, rank, none ? 0 : (1u << rank) - 1, err);
}

static fl_status reduce_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                              fl_err *err)
{
    bool keep = nn_node_int(node, "keepdims", 1) != 0;
    unsigned axes;
    fl_status st = reduced_axes(&axes, node, in[0]->rank, err);

    *out = (nn_shape){0};
    for (int d = 0; d < in[0]->rank && st == FL_OK; d++) {
        bool is_summed = (axes & (1u << d)) != 0;
        if (is_summed && in[0]->dim[d] == NN_BATCH) {
            return fl_fail(err, FL_EUNSUPPORTED, "over the batch; name the axes behind it");
        }
        if (!is_summed || keep) {
            out->dim[out->rank++] = is_summed ? 1 : in[0]->dim[d];
        }
    }
    return st;
}

typedef enum { SUM, MEAN, MAX } reduction;

/* Axes that stay, and axes that are summed, with their steps through x. */
typedef struct {
    reduction kind;
    int n_kept, n_summed;
    int64_t kept[NN_MAX_RANK], kept_step[NN_MAX_RANK];
    int64_t summed[NN_MAX_RANK], summed_step[NN_MAX_RANK];
    int64_t n_y, n_each;  // results; numbers behind each
} reduce_spec;

/* Goes on to the next place; returns where it lies. */
static int64_t next(int64_t *at, const int64_t *dim, const int64_t *step, int rank, int64_t where)
{
    for (int d = rank - 1; d >= 0; d--) {
        where += step[d];
        if (++at[d] < dim[d]) {
            return where;
        }
        where -= step[d] * dim[d];
        at[d] = 0;
    }
    return where;
}

/* data: x y */
static void reduce_forward(const nn_call *call)
{
    const reduce_spec *s = call->spec;
    int64_t kept[NN_MAX_RANK] = {0}, from = 0;

    for (int64_t i = 0; i < s->n_y; i++) {
        int64_t summed[NN_MAX_RANK] = {0}, where = from;
        double sum = s->kind == MAX ? -INFINITY : 0;
        for (int64_t k = 0; k < s->n_each; k++) {
            double x = call->data[0][where];
            sum = s->kind != MAX ? sum + x : x > sum ? x : sum;
            where = next(summed, s->summed, s->summed_step, s->n_summed, where);
        }
        call->data[1][i] = (float)(s->kind == MEAN ? sum / (double)s->n_each : sum);
        from = next(kept, s->kept, s->kept_step, s->n_kept, from);
    }
}

/* The first of equal largest ones gets the gradient.  data: x y dy dx; x and y
 * only of MAX */
static void reduce_backward(const nn_call *call)
{
    const reduce_spec *s = call->spec;
    const float *x = call->data[0], *y = call->data[1];
    float *dx = call->data[3];
    int64_t kept[NN_MAX_RANK] = {0}, from = 0;

    for (int64_t i = 0; i < s->n_y; i++) {
        int64_t summed[NN_MAX_RANK] = {0}, where = from;
        float dy = s->kind == MEAN ? call->data[2][i] / (float)s->n_each : call->data[2][i];
        for (int64_t k = 0; k < s->n_each; k++) {
            bool gets = s->kind != MAX || x[where] == y[i];
            dx[where] = gets ? dy : 0;
            dy = gets && s->kind == MAX ? 0 : dy;
            where = next(summed, s->summed, s->summed_step, s->n_summed, where);
        }
        from = next(kept, s->kept, s->kept_step, s->n_kept, from);
    }
}

static reduce_spec reduce_spec_of(nn_build *b, const nn_node *node)
{
    reduce_spec s = {.n_y = 1, .n_each = 1};
    nn_shape x;
    unsigned axes;
    int64_t step = 1;

    s.kind = strcmp(node->op, "ReduceMax") == 0    ? MAX
             : strcmp(node->op, "ReduceMean") == 0 ? MEAN
                                                   : SUM;
    nn_build_dims(b, node->in[0], &x);
    FL_REQUIRE(reduced_axes(&axes, node, x.rank, NULL) == FL_OK);
    for (int d = 0; d < x.rank; d++) {
        step *= x.dim[d];
    }
    for (int d = 0; d < x.rank; d++) {
        step /= x.dim[d];
        if ((axes & (1u << d)) != 0) {
            s.summed[s.n_summed] = x.dim[d];
            s.summed_step[s.n_summed++] = step;
            s.n_each *= x.dim[d];
        } else {
            s.kept[s.n_kept] = x.dim[d];
            s.kept_step[s.n_kept++] = step;
            s.n_y *= x.dim[d];
        }
    }
    return s;
}

static void reduce_plan(nn_build *b, const nn_node *node)
{
    reduce_spec s = reduce_spec_of(b, node);
    nn_slot x = nn_plain_value(b, node->in[0]), y = nn_plain_slot(b, node->out[0]);

    nn_build_kernel(b, reduce_forward, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, &s, sizeof s);
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){NULL, {x, y, -1, -1}};
}

static void reduce_plan_grad(nn_build *b, const nn_node *node)
{
    reduce_spec s = reduce_spec_of(b, node);
    nn_memo memo = *nn_build_memo(b, node);
    nn_slot dy = nn_plain_grad(b, node->out[0]), dx = nn_plain_slot(b, node->in[0]);

    nn_build_kernel(b, reduce_backward,
                    (nn_use[]){{NN_SRC, s.kind == MAX ? memo.slot[0] : -1},
                               {NN_DST, s.kind == MAX ? memo.slot[1] : -1},
                               {NN_DIFF_DST, dy},
                               {NN_DIFF_SRC, dx}},
                    4, &s, sizeof s);
    nn_build_add_grad(b, node->in[0], dx);
}

/* -------------------------------------------------------------- LogSoftmax */

static fl_status log_softmax_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                   fl_err *err)
{
    int axis = nn_axis(nn_node_int(node, "axis", -1), in[0]->rank);

    *out = *in[0];
    return axis < 0 || in[0]->dim[axis] == NN_BATCH
               ? fl_fail(err, FL_ECONFIG, "axis must be a dimension behind the batch")
               : FL_OK;
}

typedef struct {
    int64_t outer, K, inner;
} axis_spec;

static axis_spec axis_spec_of(nn_build *b, const nn_node *node)
{
    axis_spec s = {1, 1, 1};
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    int axis = nn_axis(nn_node_int(node, "axis", -1), dims.rank);
    for (int d = 0; d < dims.rank; d++) {
        *(d < axis ? &s.outer : d == axis ? &s.K : &s.inner) *= dims.dim[d];
    }
    return s;
}

/* y = x - log(sum over k of exp(x)).  data: x y */
static void log_softmax_forward(const nn_call *call)
{
    const axis_spec *s = call->spec;

    for (int64_t p = 0; p < s->outer * s->inner; p++) {
        int64_t at = p / s->inner * s->K * s->inner + p % s->inner;
        const float *x = call->data[0] + at;
        float *y = call->data[1] + at, largest = x[0];
        double sum = 0;
        for (int64_t k = 1; k < s->K; k++) {
            largest = x[k * s->inner] > largest ? x[k * s->inner] : largest;
        }
        for (int64_t k = 0; k < s->K; k++) {
            sum += exp((double)x[k * s->inner] - largest);
        }
        for (int64_t k = 0; k < s->K; k++) {
            y[k * s->inner] = (float)(x[k * s->inner] - largest - log(sum));
        }
    }
}

/* dx = dy - exp(y) sum(dy).  data: y dy dx; dx may be dy */
static void log_softmax_backward(const nn_call *call)
{
    const axis_spec *s = call->spec;

    for (int64_t p = 0; p < s->outer * s->inner; p++) {
        int64_t at = p / s->inner * s->K * s->inner + p % s->inner;
        const float *y = call->data[0] + at, *dy = call->data[1] + at;
        float *dx = call->data[2] + at;
        double sum = 0;
        for (int64_t k = 0; k < s->K; k++) {
            sum += dy[k * s->inner];
        }
        for (int64_t k = 0; k < s->K; k++) {
            dx[k * s->inner] = (float)(dy[k * s->inner] - exp(y[k * s->inner]) * sum);
        }
    }
}

static void log_softmax_plan(nn_build *b, const nn_node *node)
{
    axis_spec s = axis_spec_of(b, node);
    nn_slot x = nn_plain_value(b, node->in[0]), y = nn_plain_slot(b, node->out[0]);

    nn_build_kernel(b, log_softmax_forward, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, &s, sizeof s);
    nn_build_set_value(b, node->out[0], y);
}

static void log_softmax_plan_grad(nn_build *b, const nn_node *node)
{
    axis_spec s = axis_spec_of(b, node);
    nn_slot y = nn_build_value(b, node->out[0]), dy = nn_plain_grad(b, node->out[0]);
    nn_slot dx = nn_build_owns_grad(b, dy) ? dy : nn_plain_slot(b, node->in[0]);

    nn_build_kernel(b, log_softmax_backward,
                    (nn_use[]){{NN_DST, y}, {NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 3, &s, sizeof s);
    nn_build_add_grad(b, node->in[0], dx);
}

/* -------------------------------------- Instance-, Group-, LayerNormalization */

static fl_status norm_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                            fl_err *err)
{
    const nn_shape *x = in[0], *scale = in[1], *shift = in[2];
    bool is_layer = strcmp(node->op, "LayerNormalization") == 0;

    *out = *x;
    if (x->rank < 2 || (shift != NULL && !nn_shape_equal(scale, shift))) {
        return fl_fail(err, FL_ECONFIG, "scale and shift must have one shape");
    }
    if (is_layer) {
        int axis = nn_axis(nn_node_int(node, "axis", -1), x->rank);
        bool fits = axis >= 0 && x->dim[axis] != NN_BATCH && scale->rank == x->rank - axis;
        for (int d = 0; fits && d < scale->rank; d++) {
            fits = scale->dim[d] == x->dim[axis + d];
        }
        return fits ? FL_OK
                    : fl_fail(err, FL_ECONFIG,
                              "scale must have the dimensions from axis on, which is behind the "
                              "batch");
    }
    bool is_group = strcmp(node->op, "GroupNormalization") == 0;
    int64_t C = x->dim[1], G = is_group ? nn_node_int(node, "num_groups", 0) : C;
    if (G < 1 || C % G != 0) {
        return fl_fail(err, FL_ECONFIG, "num_groups must divide %lld channels", (long long)C);
    }
    if (x->rank < 3 && !is_group) {
        return fl_fail(err, FL_ECONFIG, "the input must be (N, C, H, W)");
    }
    /* Opset 18 scales groups, opset 21 channels, as PyTorch. */
    if (scale->rank != 1 || (scale->dim[0] != C && scale->dim[0] != G)) {
        return fl_fail(err, FL_ECONFIG, "scale and shift must have %lld numbers each",
                       (long long)C);
    }
    return FL_OK;
}

nn_norm_rows nn_norm_rows_of(const nn_node *node, const nn_shape *x, const nn_shape *scale)
{
    nn_norm_rows r = {.epsilon = nn_node_float(node, "epsilon", 1e-5),
                      .n_scales = nn_shape_count(scale, 1)};
    int64_t count = nn_shape_count(x, 1), C = x->dim[1];

    if (strcmp(node->op, "LayerNormalization") == 0) {
        r.n = r.n_scales;
        r.n_rows = count / r.n;
        r.period = r.run = 1;
        return r;
    }
    int64_t G = strcmp(node->op, "GroupNormalization") == 0 ? nn_node_int(node, "num_groups", 1)
                                                            : C;
    r.n_rows = x->dim[0] * G;
    r.n = count / r.n_rows;
    r.period = G;
    r.stride = scale->dim[0] / G;
    r.run = r.n / r.stride;
    return r;
}

/* y = scale (x - mean) / sqrt(var + epsilon) + shift, a row at a time.
 * data: x scale shift y, and of each row mean and 1 / sqrt(var + epsilon) */
static void norm_forward(const nn_call *call)
{
    const nn_norm_rows *s = call->spec;
    const float *scale = call->data[1], *shift = call->data[2];

    for (int64_t r = 0; r < s->n_rows; r++) {
        const float *x = call->data[0] + r * s->n;
        float *y = call->data[3] + r * s->n;
        double sum = 0, square = 0;
        for (int64_t j = 0; j < s->n; j++) {
            sum += x[j];
        }
        double mean = sum / (double)s->n;
        for (int64_t j = 0; j < s->n; j++) {
            square += (x[j] - mean) * (x[j] - mean);
        }
        double inverse = 1 / sqrt(square / (double)s->n + s->epsilon);
        call->data[4][2 * r] = (float)mean;
        call->data[4][2 * r + 1] = (float)inverse;
        for (int64_t j = 0; j < s->n; j++) {
            int64_t k = r % s->period * s->stride + j / s->run;
            y[j] = (float)((x[j] - mean) * inverse) * scale[k] + (shift != NULL ? shift[k] : 0);
        }
    }
}

/* With u = scale dy and standard = (x - mean) inverse:
 * dx = inverse (u - mean(u) - standard mean(u standard)).
 * data: x scale statistics dy dx dscale dshift; the last three may be NULL */
static void norm_backward(const nn_call *call)
{
    const nn_norm_rows *s = call->spec;
    const float *scale = call->data[1];
    float *dscale = call->data[5], *dshift = call->data[6];

    nn_vec_zero(dscale, s->n_scales);
    if (dshift != NULL) {
        nn_vec_zero(dshift, s->n_scales);
    }
    for (int64_t r = 0; r < s->n_rows; r++) {
        const float *x = call->data[0] + r * s->n, *dy = call->data[3] + r * s->n;
        float mean = call->data[2][2 * r], inverse = call->data[2][2 * r + 1];
        double sum = 0, dot = 0;
        for (int64_t j = 0; j < s->n;) {
            int64_t k = r % s->period * s->stride + j / s->run, end = j + s->run;
            double by_shift = 0, by_scale = 0;
            for (; j < end; j++) {
                by_shift += dy[j];
                by_scale += (double)dy[j] * (x[j] - mean) * inverse;
            }
            dscale[k] += (float)by_scale;
            if (dshift != NULL) {
                dshift[k] += (float)by_shift;
            }
            sum += scale[k] * by_shift;
            dot += scale[k] * by_scale;
        }
        float *dx = call->data[4] != NULL ? call->data[4] + r * s->n : NULL;
        float mean_u = (float)(sum / (double)s->n), mean_us = (float)(dot / (double)s->n);
        for (int64_t j = 0; dx != NULL && j < s->n; j++) {
            int64_t k = r % s->period * s->stride + j / s->run;
            float standard = (x[j] - mean) * inverse;
            dx[j] = inverse * (scale[k] * dy[j] - mean_u - standard * mean_us);
        }
    }
}

static nn_norm_rows rows_of(nn_build *b, const nn_node *node)
{
    nn_shape x, scale;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->in[1], &scale);
    return nn_norm_rows_of(node, &x, &scale);
}

static const nn_layout *scale_layout(nn_build *b, const nn_node *node)
{
    nn_shape scale;

    nn_build_dims(b, node->in[1], &scale);
    return nn_layout_plain(nn_build_dnnl(b), scale.rank, scale.dim);
}

static void norm_plan(nn_build *b, const nn_node *node)
{
    nn_norm_rows s = rows_of(b, node);
    const nn_layout *l = scale_layout(b, node);
    bool shifts = node->n_in > 2 && node->in[2] >= 0;
    nn_slot x = nn_plain_value(b, node->in[0]), y = nn_plain_slot(b, node->out[0]);
    nn_slot scale = nn_build_param(b, node->in[1], l, l);
    nn_slot shift = shifts ? nn_build_param(b, node->in[2], l, l) : -1;
    nn_slot statistics = nn_build_flat(b, 2 * s.n_rows);

    nn_build_kernel(
        b, norm_forward,
        (nn_use[]){
            {NN_SRC, x}, {NN_SCALE, scale}, {NN_SHIFT, shift}, {NN_DST, y}, {NN_MEAN, statistics}},
        5, &s, sizeof s);
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){NULL, {x, scale, statistics, -1}};
}

static void norm_plan_grad(nn_build *b, const nn_node *node)
{
    nn_norm_rows s = rows_of(b, node);
    const nn_layout *l = scale_layout(b, node);
    nn_memo memo = *nn_build_memo(b, node);
    bool shifts = node->n_in > 2 && node->in[2] >= 0,
         wants_dx = nn_build_wants_grad(b, node->in[0]);
    nn_slot dy = nn_plain_grad(b, node->out[0]);
    nn_slot dx = wants_dx ? nn_plain_slot(b, node->in[0]) : -1;
    nn_slot dscale = nn_build_param_grad(b, node->in[1], l, l);
    nn_slot dshift = shifts ? nn_build_param_grad(b, node->in[2], l, l) : -1;

    nn_build_kernel(b, norm_backward,
                    (nn_use[]){{NN_SRC, memo.slot[0]},
                               {NN_SCALE, memo.slot[1]},
                               {NN_MEAN, memo.slot[2]},
                               {NN_DIFF_DST, dy},
                               {NN_DIFF_SRC, dx},
                               {NN_DIFF_SCALE, dscale},
                               {NN_DIFF_SHIFT, dshift}},
                    7, &s, sizeof s);
    nn_build_param_grad_done(b, node->in[1], l, dscale);
    if (shifts) {
        nn_build_param_grad_done(b, node->in[2], l, dshift);
    }
    if (wants_dx) {
        nn_build_add_grad(b, node->in[0], dx);
    }
}

#define REDUCE_OP(op)                                                                 \
    {                                                                                 \
        .name = op, .min_inputs = 1, .max_inputs = 1,                                 \
        .attrs = {"axes", "keepdims", "noop_with_empty_axes"}, .shape = reduce_shape, \
        .plan = reduce_plan, .plan_grad = reduce_plan_grad,                           \
    }
#define NORM_OP(op, n, ...)                                                                        \
    {                                                                                              \
        .name = op, .min_inputs = n, .max_inputs = 3, .attrs = {__VA_ARGS__}, .shape = norm_shape, \
        .plan = norm_plan, .plan_grad = norm_plan_grad,                                            \
    }

const nn_op nn_ops_reduce[] = {
    REDUCE_OP("ReduceMean"),
    REDUCE_OP("ReduceSum"),
    REDUCE_OP("ReduceMax"),
    {
        .name = "LogSoftmax",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"axis"},
        .shape = log_softmax_shape,
        .plan = log_softmax_plan,
        .plan_grad = log_softmax_plan_grad,
    },
    NORM_OP("InstanceNormalization", 3, "epsilon"),
    NORM_OP("GroupNormalization", 3, "epsilon", "num_groups", "stash_type"),
    NORM_OP("LayerNormalization", 2, "epsilon", "axis", "stash_type"),
    {0},
};
