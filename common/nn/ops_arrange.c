/*
 * ops_arrange.c - operators that move numbers: Transpose, Slice, Pad, Expand,
 * Tile, Gather, Resize
 *
 * All but Resize are one kernel: the place that a number of the
 * output comes from is a sum over its axes, so a table for each axis says all.
 * The gradient goes the same way back, added up.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/ops.h"

static bool has_batch(const nn_shape *s)
{
    return s->rank > 0 && s->dim[0] == NN_BATCH;
}

static fl_status fail_batch(fl_err *err)
{
    return fl_fail(err, FL_EUNSUPPORTED, "the batch must stay as it is, the first dimension");
}

static int64_t int_at(const nn_attr *a, size_t i, int64_t dflt)
{
    return a != NULL && i < a->n_ints ? a->ints[i] : dflt;
}

/* ------------------------------------------------------------------- shapes */

static int perm_at(const nn_node *node, int rank, int d)
{
    return (int)int_at(nn_node_ints(node, "perm"), (size_t)d, rank - 1 - d);
}

static fl_status transpose_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                 fl_err *err)
{
    const nn_attr *perm = nn_node_ints(node, "perm");
    unsigned seen = 0;

    *out = *in[0];
    for (int d = 0; d < out->rank; d++) {
        int64_t from = perm_at(node, out->rank, d);
        if (from < 0 || from >= out->rank || (perm != NULL && (int)perm->n_ints != out->rank)) {
            return fl_fail(err, FL_ECONFIG, "perm must name each of %d dimensions", out->rank);
        }
        seen |= 1u << from;
        out->dim[d] = in[0]->dim[from];
    }
    if (seen != (1u << out->rank) - 1) {
        return fl_fail(err, FL_ECONFIG, "perm must name each of %d dimensions", out->rank);
    }
    return has_batch(in[0]) && !has_batch(out) ? fail_batch(err) : FL_OK;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

fl_status nn_slice_of(nn_slice *out, const nn_node *node, int axis, const nn_shape *x, fl_err *err)
{
    const nn_attr *starts = nn_node_ints(node, "starts"), *ends = nn_node_ints(node, "ends");
    const nn_attr *axes = nn_node_ints(node, "axes"), *steps = nn_node_ints(node, "steps");
    int64_t dim = x->dim[axis];

    *out = (nn_slice){0, 1, dim};
    if (starts == NULL || ends == NULL || starts->n_ints != ends->n_ints ||
        (axes != NULL && axes->n_ints != starts->n_ints) ||
        (steps != NULL && steps->n_ints != starts->n_ints)) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "starts, ends, axes and steps must be constants of one length");
    }
    for (size_t i = 0; i < starts->n_ints; i++) {
        int64_t start = starts->ints[i], end = ends->ints[i], step = int_at(steps, i, 1);
        int named = nn_axis(int_at(axes, i, (int64_t)i), x->rank);
        if (named < 0 || step == 0 || step == INT64_MIN) {
            return fl_fail(err, FL_ECONFIG, "an axis or a step is out of range");
        }
        if (named != axis) {
            continue;
        }
        if (dim == NN_BATCH) {
            if (start != 0 || end < INT32_MAX || step != 1) {
                return fail_batch(err);
            }
            continue;
        }
        start += start < 0 ? dim : 0;
        end += end < 0 ? dim : 0;
        start = step > 0 ? clamp(start, 0, dim) : clamp(start, 0, dim - 1);
        end = step > 0 ? clamp(end, 0, dim) : clamp(end, -1, dim - 1);
        int64_t span = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
        *out = (nn_slice){start, step, span <= 0 ? 0 : (span - 1) / stride + 1};
    }
    return FL_OK;
}

static fl_status slice_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                             fl_err *err)
{
    nn_slice s;
    fl_status st = FL_OK;

    *out = *in[0];
    for (int d = 0; d < out->rank && st == FL_OK; d++) {
        st = nn_slice_of(&s, node, d, in[0], err);
        out->dim[d] = st == FL_OK ? s.count : 0;
    }
    return st;
}

/* Numbers that Pad puts before and behind an axis. */
static void pads_of(int64_t *before, int64_t *behind, const nn_node *node, int axis, int rank)
{
    const nn_attr *pads = nn_node_ints(node, "pads"), *axes = nn_node_ints(node, "axes");
    size_t n = pads->n_ints / 2;

    *before = *behind = 0;
    for (size_t i = 0; i < n; i++) {
        if (nn_axis(int_at(axes, i, (int64_t)i), rank) == axis) {
            *before = pads->ints[i];
            *behind = pads->ints[n + i];
        }
    }
}

static fl_status pad_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                           fl_err *err)
{
    const nn_attr *pads = nn_node_ints(node, "pads"), *axes = nn_node_ints(node, "axes");
    bool reflects = nn_node_text_is(node, "mode", "reflect", "constant");
    int64_t before, behind;

    if (!reflects && !nn_node_text_is(node, "mode", "constant", "constant") &&
        !nn_node_text_is(node, "mode", "edge", "constant")) {
        return fl_fail(err, FL_EUNSUPPORTED, "mode must be constant, reflect or edge");
    }
    if (pads == NULL || pads->n_ints != 2 * (axes != NULL ? axes->n_ints : (size_t)in[0]->rank)) {
        return fl_fail(err, FL_EUNSUPPORTED, "pads must be a constant, two numbers for each axis");
    }
    *out = *in[0];
    for (int d = 0; d < out->rank; d++) {
        pads_of(&before, &behind, node, d, out->rank);
        if (before < -INT32_MAX || before > INT32_MAX || behind < -INT32_MAX ||
            behind > INT32_MAX ||
            (reflects && (before >= out->dim[d] || behind >= out->dim[d]) && out->dim[d] > 0)) {
            return fl_fail(err, FL_ECONFIG, "pads %lld and %lld do not fit", (long long)before,
                           (long long)behind);
        }
        if (out->dim[d] == NN_BATCH && (before != 0 || behind != 0)) {
            return fail_batch(err);
        }
        out->dim[d] += before + behind;
    }
    return FL_OK;
}

static fl_status expand_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                              fl_err *err)
{
    const nn_attr *a = nn_node_ints(node, "shape");
    nn_shape to = {0};

    if (a == NULL || a->n_ints > NN_MAX_RANK) {
        return fl_fail(err, FL_EUNSUPPORTED, "shape must be a constant");
    }
    to.rank = (int)a->n_ints;
    memcpy(to.dim, a->ints, a->n_ints * sizeof *a->ints);
    bool adds_batch = to.rank > 0 && to.dim[0] == NN_BATCH && !has_batch(in[0]);
    if (has_batch(in[0])) {
        if (to.rank > in[0]->rank) {
            return fail_batch(err);
        }
        if (to.rank == in[0]->rank) {
            to.dim[0] = 1;  // whatever batch it was exported with
        }
    }
    for (int d = 0; d < to.rank; d++) {
        if (to.dim[d] < 1 && !(d == 0 && adds_batch)) {
            return fl_fail(err, FL_ECONFIG, "shape has a number that is not allowed");
        }
    }
    return nn_shape_broadcast(out, in[0], &to, err);
}

static fl_status tile_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                            fl_err *err)
{
    const nn_attr *a = nn_node_ints(node, "repeats");

    if (a == NULL || (int)a->n_ints != in[0]->rank) {
        return fl_fail(err, FL_EUNSUPPORTED, "repeats must be a constant, a number for each axis");
    }
    *out = *in[0];
    for (int d = 0; d < out->rank; d++) {
        if (d == 0 && a->ints[0] == NN_BATCH && out->dim[0] == 1) {
            out->dim[0] = NN_BATCH;  // once for every row
            continue;
        }
        if (out->dim[d] == NN_BATCH && a->ints[d] != 1) {
            return fail_batch(err);
        }
        if (a->ints[d] < 1 || (a->ints[d] > 1 && a->ints[d] > INT32_MAX / out->dim[d])) {
            return fl_fail(err, FL_ECONFIG, "repeats has a number that is not allowed");
        }
        out->dim[d] *= a->ints[d];
    }
    return FL_OK;
}

static int64_t gather_index(const nn_node *node, int64_t i, int64_t dim)
{
    const nn_attr *a = nn_node_attr(node, "indices");
    int64_t index = a->kind == NN_ATTR_INT ? a->i : a->ints[i];

    return index < 0 ? index + dim : index;
}

/* indices: a list, or one number, which takes the axis away. */
static fl_status gather_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                              fl_err *err)
{
    const nn_attr *a = nn_node_attr(node, "indices");
    int axis = nn_axis(nn_node_int(node, "axis", 0), in[0]->rank);

    if (a == NULL || (a->kind != NN_ATTR_INT && a->kind != NN_ATTR_INTS) || axis < 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "indices must be a constant, axis an axis");
    }
    int64_t dim = in[0]->dim[axis], n = a->kind == NN_ATTR_INT ? 1 : (int64_t)a->n_ints;
    if (dim == NN_BATCH) {
        return fail_batch(err);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t index = gather_index(node, i, dim);
        if (index < 0 || index >= dim) {
            return fl_fail(err, FL_ECONFIG, "an index is outside of %lld", (long long)dim);
        }
    }
    *out = *in[0];
    out->dim[axis] = n;
    if (a->kind == NN_ATTR_INT) {
        out->rank--;
        memmove(&out->dim[axis], &out->dim[axis + 1],
                (size_t)(out->rank - axis) * sizeof *out->dim);
    }
    return FL_OK;
}

/* ----------------------------------------------------- one kernel for them */

/* Number i along axis d of y comes from number (result) of x's axis *from; -1
 * as result: from no number; -1 as axis: from wherever the others say. */
static int64_t source(const nn_node *node, const nn_shape *x, const nn_shape *y, int d, int64_t i,
                      int *from)
{
    nn_slice s;

    *from = d;
    if (strcmp(node->op, "Transpose") == 0) {
        *from = perm_at(node, x->rank, d);
        return i;
    }
    if (strcmp(node->op, "Slice") == 0) {
        FL_REQUIRE(nn_slice_of(&s, node, d, x, NULL) == FL_OK);
        return s.start + i * s.step;
    }
    if (strcmp(node->op, "Pad") == 0) {
        int64_t before, behind, dim = x->dim[d];
        pads_of(&before, &behind, node, d, x->rank);
        i -= before;
        if (i >= 0 && i < dim) {
            return i;
        }
        return nn_node_text_is(node, "mode", "edge", "constant") ? clamp(i, 0, dim - 1)
               : nn_node_text_is(node, "mode", "reflect", "constant")
                   ? (i < 0 ? -i : 2 * (dim - 1) - i)
                   : -1;
    }
    if (strcmp(node->op, "Expand") == 0) {
        *from = d - (y->rank - x->rank);
        return *from < 0 || x->dim[*from] == 1 ? 0 : i;
    }
    if (strcmp(node->op, "Tile") == 0) {
        return i % x->dim[d];
    }
    int axis = nn_axis(nn_node_int(node, "axis", 0), x->rank);  // Gather
    if (nn_node_attr(node, "indices")->kind == NN_ATTR_INT) {
        *from = d < axis ? d : d + 1;
        return i;
    }
    return d == axis ? gather_index(node, i, x->dim[axis]) : i;
}

/* Offsets into x by axis of y, one axis behind the other; -1 = no number. */
typedef struct {
    int rank;
    float fill;  // where no number comes from
    int64_t n_x, n_y, base, dim[NN_MAX_RANK];
    int64_t offset[];
} take_spec;

/* Runs through y a row of the last axis at a time; calls nothing, so that both
 * directions share it: forward (data: x y) copies, backward (dy dx) adds. */
static void take(const nn_call *call, bool backward)
{
    const take_spec *s = call->spec;
    int last = s->rank - 1;
    const int64_t *table[NN_MAX_RANK], *row;
    int64_t at[NN_MAX_RANK] = {0};
    float *y = call->data[backward ? 0 : 1], *x = call->data[backward ? 1 : 0];

    table[0] = s->offset;
    for (int d = 1; d < s->rank; d++) {
        table[d] = table[d - 1] + s->dim[d - 1];
    }
    row = table[last];
    for (int64_t done = 0; done < s->n_y; done += s->dim[last]) {
        int64_t from = s->base;
        bool outside = false;
        for (int d = 0; d < last; d++) {
            outside = outside || table[d][at[d]] < 0;
            from += table[d][at[d]];
        }
        for (int64_t i = 0; i < s->dim[last]; i++) {
            bool there = !outside && row[i] >= 0;
            if (!backward) {
                y[done + i] = there ? x[from + row[i]] : s->fill;
            } else if (there) {
                x[from + row[i]] += y[done + i];
            }
        }
        for (int d = last - 1; d >= 0 && ++at[d] == s->dim[d]; d--) {
            at[d] = 0;
        }
    }
}

static void take_forward(const nn_call *call)
{
    take(call, false);
}

static void take_backward(const nn_call *call)
{
    nn_vec_zero(call->data[1], ((const take_spec *)call->spec)->n_x);
    take(call, true);
}

/* The caller's. */
static take_spec *take_spec_of(nn_build *b, const nn_node *node, size_t *bytes)
{
    nn_shape x, y;
    int64_t stride[NN_MAX_RANK], n = 0;
    int from;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->out[0], &y);
    if (y.rank == 0) {
        y = (nn_shape){1, {1}};  // Gather of one number
    }
    for (int d = x.rank - 1; d >= 0; d--) {
        stride[d] = d == x.rank - 1 ? 1 : stride[d + 1] * x.dim[d + 1];
    }
    for (int d = 0; d < y.rank; d++) {
        n += y.dim[d];
    }
    *bytes = sizeof(take_spec) + (size_t)n * sizeof(int64_t);
    take_spec *s = fl_xcalloc(1, *bytes);
    *s = (take_spec){.rank = y.rank,
                     .fill = (float)nn_node_float(node, "value", 0),
                     .n_x = nn_shape_count(&x, 1),
                     .n_y = nn_shape_count(&y, 1)};
    memcpy(s->dim, y.dim, sizeof s->dim);
    const nn_attr *indices = nn_node_attr(node, "indices");
    bool takes_one = strcmp(node->op, "Gather") == 0 && indices->kind == NN_ATTR_INT;
    if (takes_one) {
        int axis = nn_axis(nn_node_int(node, "axis", 0), x.rank);
        s->base = gather_index(node, 0, x.dim[axis]) * stride[axis];
    }
    int64_t *offset = s->offset;
    for (int d = 0; d < y.rank; d++) {
        for (int64_t i = 0; i < y.dim[d]; i++) {
            int64_t k = source(node, &x, &y, d, i, &from);
            *offset++ = k < 0 ? -1 : from < 0 || from >= x.rank ? 0 : k * stride[from];
        }
    }
    return s;
}

static void take_plan(nn_build *b, const nn_node *node)
{
    size_t bytes;
    take_spec *s = take_spec_of(b, node, &bytes);
    nn_slot x = nn_plain_value(b, node->in[0]), y = nn_plain_slot(b, node->out[0]);

    nn_build_kernel(b, take_forward, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, s, bytes);
    nn_build_set_value(b, node->out[0], y);
    free(s);
}

static void take_plan_grad(nn_build *b, const nn_node *node)
{
    size_t bytes;
    take_spec *s = take_spec_of(b, node, &bytes);
    nn_slot dy = nn_plain_grad(b, node->out[0]), dx = nn_plain_slot(b, node->in[0]);

    nn_build_kernel(b, take_backward, (nn_use[]){{NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 2, s,
                    bytes);
    nn_build_add_grad(b, node->in[0], dx);
    free(s);
}

/* ------------------------------------------------------------------- Resize */

static bool crops(const nn_node *node)
{
    return nn_node_text_is(node, "coordinate_transformation_mode", "tf_crop_and_resize",
                           "half_pixel");
}

/* Where tf_crop_and_resize begins and ends along an axis, as parts of it. */
static void crop_of(double *start, double *end, const nn_node *node, int axis)
{
    const nn_attr *roi = nn_node_attr(node, "roi");

    *start = roi->floats[axis];
    *end = roi->floats[roi->n_floats / 2 + (size_t)axis];
}

/* A start and an end for each dimension, of which the batch's own stays whole. */
static fl_status check_crop(const nn_node *node, const nn_shape *x, fl_err *err)
{
    const nn_attr *roi = nn_node_attr(node, "roi");
    double start, end;

    if (roi == NULL || roi->kind != NN_ATTR_FLOATS || roi->n_floats != 2 * (size_t)x->rank) {
        return fl_fail(err, FL_ECONFIG,
                       "tf_crop_and_resize needs roi: a start and an end for each dimension");
    }
    for (size_t i = 0; i < roi->n_floats; i++) {
        if (!(fabs(roi->floats[i]) <= 1e6)) {
            return fl_fail(err, FL_ECONFIG, "roi has a number beyond 1e6");
        }
    }
    crop_of(&start, &end, node, 0);
    if (has_batch(x) && (start != 0 || end != 1)) {
        return fl_fail(err, FL_EUNSUPPORTED, "the batch cannot be cropped");
    }
    return FL_OK;
}

static fl_status resize_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                              fl_err *err)
{
    const nn_attr *sizes = nn_node_ints(node, "sizes"), *scales = nn_node_attr(node, "scales");
    static const char *const transforms[] = {"half_pixel", "asymmetric", "align_corners",
                                             "pytorch_half_pixel", "tf_crop_and_resize"};
    bool known = nn_node_text_is(node, "mode", "nearest", "nearest") &&
                 nn_node_text_is(node, "coordinate_transformation_mode", "tf_half_pixel_for_nn",
                                 "half_pixel");

    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++) {
        known = known || nn_node_text_is(node, "coordinate_transformation_mode", transforms[i],
                                         "half_pixel");
    }
    if (!known || (!nn_node_text_is(node, "mode", "nearest", "nearest") &&
                   !nn_node_text_is(node, "mode", "linear", "nearest"))) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "only nearest and linear, by half_pixel, pytorch_half_pixel, asymmetric, "
                       "align_corners or tf_crop_and_resize, nearest by tf_half_pixel_for_nn too");
    }
    if (nn_node_attr(node, "axes") != NULL || nn_node_int(node, "antialias", 0) != 0 ||
        nn_node_int(node, "exclude_outside", 0) != 0 ||
        !nn_node_text_is(node, "keep_aspect_ratio_policy", "stretch", "stretch")) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "axes, antialias, exclude_outside and keep_aspect_ratio_policy");
    }
    size_t n = sizes != NULL                                      ? sizes->n_ints
               : scales != NULL && scales->kind == NN_ATTR_FLOATS ? scales->n_floats
                                                                  : 0;
    if (n != (size_t)in[0]->rank || in[0]->rank < 1 || in[0]->rank > 5) {
        return fl_fail(err, FL_EUNSUPPORTED, "scales or sizes must be a number for each dimension");
    }
    fl_status st = crops(node) ? check_crop(node, in[0], err) : FL_OK;
    *out = *in[0];
    for (int d = has_batch(in[0]) ? 1 : 0; st == FL_OK && d < out->rank; d++) {
        double start = 0, end = 1;
        if (crops(node)) {
            crop_of(&start, &end, node, d);
        }
        double size = sizes != NULL
                          ? (double)sizes->ints[d]
                          : floor((double)out->dim[d] * (end - start) * scales->floats[d]);
        if (!(size >= 1 && size <= INT32_MAX)) {
            return fl_fail(err, FL_ECONFIG, "the result would be empty or too large");
        }
        out->dim[d] = (int64_t)size;
    }
    return st;
}

double nn_resize_place(const nn_node *node, int axis, const nn_shape *x, const nn_shape *y,
                       int64_t i)
{
    const nn_attr *scales = nn_node_attr(node, "scales");
    double in = (double)x->dim[axis], out = (double)y->dim[axis], at = (double)i;
    double scale = nn_node_ints(node, "sizes") == NULL && scales != NULL ? scales->floats[axis]
                                                                         : out / in;
    const char *key = "coordinate_transformation_mode", *dflt = "half_pixel";

    if (crops(node)) {
        double start, end;
        crop_of(&start, &end, node, axis);
        return (in - 1) * (out > 1 ? start + at * (end - start) / (out - 1) : (start + end) / 2);
    }
    if (x->dim[axis] == y->dim[axis] && scale == 1) {
        return at;
    }
    if (nn_node_text_is(node, key, "asymmetric", dflt)) {
        return at / scale;
    }
    if (nn_node_text_is(node, key, "align_corners", dflt)) {
        return out > 1 ? at * (in - 1) / (out - 1) : 0;
    }
    if (nn_node_text_is(node, key, "pytorch_half_pixel", dflt) && out <= 1) {
        return 0;
    }
    if (nn_node_text_is(node, key, "tf_half_pixel_for_nn", dflt)) {
        return (at + 0.5) / scale;
    }
    return (at + 0.5) / scale - 0.5;
}

bool nn_resize_is_outside(const nn_node *node, double place, int64_t dim)
{
    return crops(node) && (place < 0 || place > (double)(dim - 1));
}

double nn_resize_beyond(const nn_node *node)
{
    const nn_attr *a = nn_node_attr(node, "extrapolation_value");

    return a != NULL && a->kind == NN_ATTR_FLOAT ? a->f : 0;
}

int64_t nn_resize_nearest(const nn_node *node, double place, int64_t dim)
{
    const char *key = "nearest_mode", *dflt = "round_prefer_floor";
    double at = nn_node_text_is(node, key, "floor", dflt)               ? floor(place)
                : nn_node_text_is(node, key, "ceil", dflt)              ? ceil(place)
                : nn_node_text_is(node, key, "round_prefer_ceil", dflt) ? floor(place + 0.5)
                                                                        : ceil(place - 0.5);

    return clamp((int64_t)at, 0, dim - 1);
}

/* For each number along each axis of y: two offsets into x and the weight of
 * the second.  Nearest: the same offset twice.  Outside: a crop reaches beyond
 * x there, and reads a value of its own. */
typedef struct {
    int64_t low, high;
    float weight;
    bool is_outside;
} tap;
typedef struct {
    int rank;
    float beyond;
    int64_t n_x, n_y, dim[5];
    tap taps[];
} resize_spec;

/* forward: y = the corners' mean, data: x y; backward: dx += its parts, data: dy dx */
static void resize(const nn_call *call, bool backward)
{
    const resize_spec *s = call->spec;
    float *y = call->data[backward ? 0 : 1], *x = call->data[backward ? 1 : 0];
    const tap *table[5];
    int64_t at[5] = {0};

    table[0] = s->taps;
    for (int d = 1; d < s->rank; d++) {
        table[d] = table[d - 1] + s->dim[d - 1];
    }
    for (int64_t i = 0; i < s->n_y; i++) {
        int64_t offset[32] = {0};
        float weight[32] = {1}, sum = 0;
        bool is_outside = false;
        int n = 1;
        for (int d = 0; d < s->rank; d++) {
            const tap *t = &table[d][at[d]];
            int corners = n;
            is_outside = is_outside || t->is_outside;
            for (int k = 0; k < corners; k++) {
                if (t->weight != 0) {
                    offset[n] = offset[k] + t->high;
                    weight[n++] = weight[k] * t->weight;
                }
                offset[k] += t->low;
                weight[k] *= 1 - t->weight;
            }
        }
        for (int k = 0; k < n && !is_outside; k++) {
            if (backward) {
                x[offset[k]] += weight[k] * y[i];
            } else {
                sum += weight[k] * x[offset[k]];
            }
        }
        if (!backward) {
            y[i] = is_outside ? s->beyond : sum;
        }
        for (int d = s->rank - 1; d >= 0 && ++at[d] == s->dim[d]; d--) {
            at[d] = 0;
        }
    }
}

static void resize_forward(const nn_call *call)
{
    resize(call, false);
}

static void resize_backward(const nn_call *call)
{
    nn_vec_zero(call->data[1], ((const resize_spec *)call->spec)->n_x);
    resize(call, true);
}

/* The caller's. */
static resize_spec *resize_spec_of(nn_build *b, const nn_node *node, size_t *bytes)
{
    nn_shape x, y;
    int64_t stride = 1, n = 0;
    bool linear = nn_node_text_is(node, "mode", "linear", "nearest");

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->out[0], &y);
    for (int d = 0; d < y.rank; d++) {
        n += y.dim[d];
    }
    *bytes = sizeof(resize_spec) + (size_t)n * sizeof(tap);
    resize_spec *s = fl_xcalloc(1, *bytes);
    *s = (resize_spec){.rank = y.rank,
                       .beyond = (float)nn_resize_beyond(node),
                       .n_x = nn_shape_count(&x, 1),
                       .n_y = nn_shape_count(&y, 1)};
    memcpy(s->dim, y.dim, sizeof s->dim);
    for (int d = y.rank - 1; d >= 0; stride *= x.dim[d], d--) {
        n -= y.dim[d];
        bool is_batch = d == 0 && nn_build_is_batch(b, node->in[0]);
        for (int64_t i = 0; i < y.dim[d]; i++) {
            double place = is_batch ? (double)i : nn_resize_place(node, d, &x, &y, i);
            int64_t last = x.dim[d] - 1;
            int64_t low = is_batch ? i
                          : linear ? clamp((int64_t)floor(place), 0, last)
                                   : nn_resize_nearest(node, place, x.dim[d]);
            int64_t high = linear && place > 0 && low < last ? low + 1 : low;
            float weight = high > low ? (float)(place - (double)low) : 0;
            bool is_outside = !is_batch && nn_resize_is_outside(node, place, x.dim[d]);
            s->taps[n + i] = (tap){low * stride, high * stride, weight, is_outside};
        }
    }
    return s;
}

static void resize_plan(nn_build *b, const nn_node *node)
{
    size_t bytes;
    resize_spec *s = resize_spec_of(b, node, &bytes);
    nn_slot x = nn_plain_value(b, node->in[0]), y = nn_plain_slot(b, node->out[0]);

    nn_build_kernel(b, resize_forward, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, s, bytes);
    nn_build_set_value(b, node->out[0], y);
    free(s);
}

static void resize_plan_grad(nn_build *b, const nn_node *node)
{
    size_t bytes;
    resize_spec *s = resize_spec_of(b, node, &bytes);
    nn_slot dy = nn_plain_grad(b, node->out[0]), dx = nn_plain_slot(b, node->in[0]);

    nn_build_kernel(b, resize_backward, (nn_use[]){{NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 2, s,
                    bytes);
    nn_build_add_grad(b, node->in[0], dx);
    free(s);
}

#define TAKE_OP(op, shape_of, ...)                                                               \
    {                                                                                            \
        .name = op, .min_inputs = 1, .max_inputs = 1, .attrs = {__VA_ARGS__}, .shape = shape_of, \
        .plan = take_plan, .plan_grad = take_plan_grad,                                          \
    }

const nn_op nn_ops_arrange[] = {
    TAKE_OP("Transpose", transpose_shape, "perm"),
    TAKE_OP("Slice", slice_shape, "starts", "ends", "axes", "steps"),
    TAKE_OP("Pad", pad_shape, "pads", "value", "axes", "mode"),
    TAKE_OP("Expand", expand_shape, "shape"),
    TAKE_OP("Tile", tile_shape, "repeats"),
    TAKE_OP("Gather", gather_shape, "indices", "axis"),
    {
        .name = "Resize",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"scales", "sizes", "mode", "coordinate_transformation_mode", "nearest_mode",
                  "axes", "antialias", "exclude_outside", "keep_aspect_ratio_policy",
                  "cubic_coeff_a", "roi", "extrapolation_value"},
        .shape = resize_shape,
        .plan = resize_plan,
        .plan_grad = resize_plan_grad,
    },
    {0},
};
