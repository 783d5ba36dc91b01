/*
 * ops.c - finding operators, and what their entries share; see ops.h
 */
#include "nn/ops.h"

#include <stdio.h>
#include <string.h>

static const nn_op *const families[] = {nn_ops_conv,   nn_ops_pool,  nn_ops_math,    nn_ops_map,
                                        nn_ops_norm,   nn_ops_shape, nn_ops_arrange, nn_ops_reduce,
                                        nn_ops_deconv, nn_ops_concat};
enum { N_FAMILIES = sizeof families / sizeof *families };

const nn_op *nn_op_find(const char *name)
{
    for (size_t f = 0; f < N_FAMILIES; f++) {
        for (const nn_op *op = families[f]; op->name != NULL; op++) {
            if (strcmp(op->name, name) == 0) {
                return op;
            }
        }
    }
    return NULL;
}

void nn_op_list(char *out, size_t n)
{
    size_t used = 0;

    for (size_t f = 0; f < N_FAMILIES; f++) {
        for (const nn_op *op = families[f]; op->name != NULL && used < n; op++) {
            used += (size_t)snprintf(out + used, n - used, "%s%s", used > 0 ? ", " : "", op->name);
        }
    }
}

int64_t nn_node_int(const nn_node *node, const char *name, int64_t dflt)
{
    const nn_attr *a = nn_node_attr(node, name);

    return a != NULL && a->kind == NN_ATTR_INT ? a->i : dflt;
}

double nn_node_float(const nn_node *node, const char *name, double dflt)
{
    const nn_attr *a = nn_node_attr(node, name);

    return a != NULL && a->kind == NN_ATTR_FLOAT ? a->f : dflt;
}

const nn_attr *nn_node_ints(const nn_node *node, const char *name)
{
    const nn_attr *a = nn_node_attr(node, name);

    return a != NULL && a->kind == NN_ATTR_INTS ? a : NULL;
}

bool nn_node_text_is(const nn_node *node, const char *name, const char *text, const char *dflt)
{
    const nn_attr *a = nn_node_attr(node, name);

    return strcmp(a != NULL && a->kind == NN_ATTR_TEXT ? a->text : dflt, text) == 0;
}

int nn_axis(int64_t axis, int rank)
{
    axis += axis < 0 ? rank : 0;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

fl_status nn_node_axes(unsigned *out, const nn_node *node, int rank, unsigned dflt, fl_err *err)
{
    const nn_attr *a = nn_node_ints(node, "axes");

    *out = a == NULL || a->n_ints == 0 ? dflt : 0;
    for (size_t i = 0; a != NULL && i < a->n_ints; i++) {
        int axis = nn_axis(a->ints[i], rank);
        if (axis < 0 || (*out & (1u << axis)) != 0) {
            return fl_fail(err, FL_ECONFIG, "axes must be different and below %d", rank);
        }
        *out |= 1u << axis;
    }
    return FL_OK;
}

fl_status nn_shape_broadcast(nn_shape *out, const nn_shape *a, const nn_shape *b, fl_err *err)
{
    char text_a[128], text_b[128];

    memset(out, 0, sizeof *out);
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 1; i <= out->rank; i++) {  // aligned at the last dimension
        int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
        int64_t db = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (da != db && da != 1 && db != 1) {
            nn_shape_text(text_a, sizeof text_a, a);
            nn_shape_text(text_b, sizeof text_b, b);
            return fl_fail(err, FL_ECONFIG, "shapes %s and %s do not fit together", text_a, text_b);
        }
        out->dim[out->rank - i] = da == 1 ? db : da;
    }
    return FL_OK;
}

/* ------------------------------------------------------------------ slots */

nn_slot nn_plain_value(nn_build *b, nn_value v)
{
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    return nn_build_in_plain(b, nn_build_value(b, v), &dims);
}

nn_slot nn_plain_grad(nn_build *b, nn_value v)
{
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    return nn_build_in_plain(b, nn_build_grad(b, v), &dims);
}

nn_slot nn_plain_slot(nn_build *b, nn_value v)
{
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    return nn_build_slot(b, nn_layout_plain(nn_build_dnnl(b), dims.rank, dims.dim));
}

/* ---------------------------------------------------------------- windows */

/* Reads an INTS attribute of n values into out; each at least min. */
static fl_status read_ints(int64_t *out, const nn_node *node, const char *name, size_t n,
                           int64_t min, int64_t dflt, fl_err *err)
{
    const nn_attr *a = nn_node_attr(node, name);

    if (a != NULL && (a->kind != NN_ATTR_INTS || a->n_ints != n)) {
        return fl_fail(err, FL_ECONFIG, "%s must have %zu numbers", name, n);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = a == NULL ? dflt : a->ints[i];
        if (out[i] < min || out[i] > INT32_MAX) {
            return fl_fail(err, FL_ECONFIG, "%s must be numbers from %d", name, (int)min);
        }
    }
    return FL_OK;
}

/* auto_pad SAME_UPPER and SAME_LOWER: as many positions as x / stride, rounded
 * up; the odd one out of the padding goes to the end or to the beginning. */
static void pad_same(nn_window *w, int i, int64_t x, bool upper)
{
    int64_t out = (x + w->stride[i] - 1) / w->stride[i];
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t pad = (out - 1) * w->stride[i] + reach - x;

    pad = pad > 0 ? pad : 0;
    w->pad_begin[i] = upper ? pad / 2 : pad - pad / 2;
    w->pad_end[i] = pad - w->pad_begin[i];
}

/* Counts the positions of the window along axis i of length x. */
static fl_status place_window(nn_window *w, int i, int64_t x, bool is_pool, bool ceil_mode,
                              fl_err *err)
{
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t room = x + w->pad_begin[i] + w->pad_end[i] - reach;

    if (room < 0) {
        return fl_fail(
            err, FL_ECONFIG, "a window of %lld does not fit into %lld with padding %lld and %lld",
            (long long)reach, (long long)x, (long long)w->pad_begin[i], (long long)w->pad_end[i]);
    }
    if (is_pool && (w->pad_begin[i] >= reach || w->pad_end[i] >= reach)) {
        return fl_fail(err, FL_EUNSUPPORTED, "padding must be smaller than the window of %lld",
                       (long long)reach);  // a window could lie in padding alone
    }
    w->out[i] = (room + (ceil_mode ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
    if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= x + w->pad_begin[i]) {
        w->out[i]--;  // a window that starts in the padding behind x is left out
    }
    w->pad_asked[i] = w->pad_end[i];
    int64_t end = (w->out[i] - 1) * w->stride[i] + reach - x - w->pad_begin[i];
    w->pad_end[i] = ceil_mode ? end : w->pad_end[i];
    return FL_OK;
}

fl_status nn_window_read(nn_window *w, const nn_node *node, const nn_shape *x,
                         const nn_shape *weight, fl_err *err)
{
    fl_status st;
    int64_t pads[2 * NN_MAX_SPATIAL] = {0};
    const nn_attr *auto_pad = nn_node_attr(node, "auto_pad");
    const char *mode = auto_pad != NULL && auto_pad->kind == NN_ATTR_TEXT ? auto_pad->text
                                                                          : "NOTSET";

    memset(w, 0, sizeof *w);
    w->rank = x->rank - 2;
    if (w->rank < 1 || w->rank > NN_MAX_SPATIAL) {
        return fl_fail(err, FL_ECONFIG,
                       "the input must be (N, C, H, W), with one to three dimensions of space");
    }
    if (weight == NULL && nn_node_attr(node, "kernel_shape") == NULL) {
        return fl_fail(err, FL_ECONFIG, "kernel_shape is missing");
    }
    size_t n = (size_t)w->rank;
    if ((st = read_ints(w->kernel, node, "kernel_shape", n, 1, 0 + (weight != NULL), err)) !=
            FL_OK ||
        (st = read_ints(w->stride, node, "strides", n, 1, 1, err)) != FL_OK ||
        (st = read_ints(w->dilation, node, "dilations", n, 1, 1, err)) != FL_OK ||
        (st = read_ints(pads, node, "pads", 2 * n, 0, 0, err)) != FL_OK) {
        return st;
    }
    bool ceil_mode = nn_node_int(node, "ceil_mode", 0) != 0;
    bool upper = strcmp(mode, "SAME_UPPER") == 0, lower = strcmp(mode, "SAME_LOWER") == 0;
    if (!upper && !lower && strcmp(mode, "NOTSET") != 0 && strcmp(mode, "VALID") != 0) {
        return fl_fail(err, FL_ECONFIG, "auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
    }
    for (int i = 0; i < w->rank; i++) {
        if (weight != NULL) {
            if (nn_node_attr(node, "kernel_shape") != NULL && w->kernel[i] != weight->dim[2 + i]) {
                return fl_fail(err, FL_ECONFIG, "kernel_shape differs from the weight's shape");
            }
            w->kernel[i] = weight->dim[2 + i];
        }
        if (strcmp(mode, "NOTSET") == 0) {
            w->pad_begin[i] = pads[i];
            w->pad_end[i] = pads[w->rank + i];
        }
        if (upper || lower) {
            pad_same(w, i, x->dim[2 + i], upper);
        }
        if ((st = place_window(w, i, x->dim[2 + i], weight == NULL, ceil_mode, err)) != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

int64_t nn_window_counted(const nn_window *w, int i, int64_t x, int64_t o)
{
    int64_t start = o * w->stride[i] - w->pad_begin[i], n = 0;

    for (int64_t k = 0; k < w->kernel[i]; k++) {
        n += start + k * w->dilation[i] < x + w->pad_asked[i];
    }
    return n;
}

nn_window nn_window_of(nn_build *b, const nn_node *node, nn_value weight)
{
    nn_window w;
    nn_shape x, k;

    nn_build_dims(b, node->in[0], &x);
    if (weight >= 0) {
        nn_build_dims(b, weight, &k);
    }
    FL_REQUIRE(nn_window_read(&w, node, &x, weight >= 0 ? &k : NULL, NULL) == FL_OK);
    return w;
}

void nn_window_shape(nn_shape *out, const nn_shape *x, int64_t channels, const nn_window *w)
{
    *out = *x;
    out->dim[1] = channels;
    memcpy(&out->dim[2], w->out, (size_t)w->rank * sizeof *w->out);
}
