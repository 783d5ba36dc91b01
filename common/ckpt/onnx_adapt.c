/*
 * onnx_adapt.c - what changed in operators between operator sets; see onnx_node.h
 */
#include "ckpt/onnx_node.h"

/* Resize with axes (opset 18): as many numbers as there are dimensions. */
static fl_status complete_resize(onnx_reader *r, onnx_call *c, fl_err *err)
{
    const nn_attr *axes = onnx_call_attr(c, "axes"), *sizes = onnx_call_attr(c, "sizes"),
                  *scales = onnx_call_attr(c, "scales"), *roi = onnx_call_attr(c, "roi");
    int rank = c->n_in > 0 && c->in[0] >= 0 ? nn_graph_shape(r->g, c->in[0])->rank : 0;

    if (axes == NULL || rank == 0) {
        return FL_OK;
    }
    int64_t *all = fl_arena_alloc(r->pool.arena, (size_t)rank, sizeof *all);
    double *factors = fl_arena_alloc(r->pool.arena, (size_t)rank, sizeof *factors);
    double *crop = fl_arena_alloc(r->pool.arena, 2 * (size_t)rank, sizeof *crop);
    size_t n = sizes != NULL ? sizes->n_ints : scales != NULL ? scales->n_floats : 0;
    for (int d = 0; d < rank; d++) {
        all[d] = nn_graph_shape(r->g, c->in[0])->dim[d];
        factors[d] = 1;
        crop[d] = 0;
        crop[rank + d] = 1;
    }
    if (roi != NULL && roi->n_floats != 2 * axes->n_ints) {
        return fl_fail(err, FL_EFORMAT, "roi must be a start and an end for each of the axes");
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
        if (roi != NULL) {
            crop[axis] = roi->floats[i];
            crop[rank + axis] = roi->floats[axes->n_ints + i];
        }
    }
    bool by_size = sizes != NULL;
    onnx_call_drop(c, "axes");
    onnx_call_drop(c, by_size ? "sizes" : "scales");
    c->attrs[c->n_attrs++] = by_size ? NN_INTS("sizes", all, (size_t)rank)
                                     : NN_FLOATS("scales", factors, (size_t)rank);
    if (roi != NULL) {
        onnx_call_drop(c, "roi");
        c->attrs[c->n_attrs++] = NN_FLOATS("roi", crop, 2 * (size_t)rank);
    }
    return FL_OK;
}

static const nn_shape *shape_of_input(const onnx_reader *r, const onnx_call *c, size_t k)
{
    return c->n_in > k && c->in[k] >= 0 ? nn_graph_shape(r->g, c->in[k]) : NULL;
}

static int64_t window_number(const onnx_call *c, const char *name, int i, int64_t dflt)
{
    const nn_attr *a = onnx_call_attr(c, name);

    return a != NULL && a->kind == NN_ATTR_INTS && (size_t)i < a->n_ints ? a->ints[i] : dflt;
}

/* The pads of a ConvTranspose from the size that its output shall have. */
static void complete_deconv(onnx_reader *r, onnx_call *c)
{
    const nn_shape *x = shape_of_input(r, c, 0), *weight = shape_of_input(r, c, 1);
    const nn_attr *shape = onnx_call_attr(c, "output_shape"),
                  *auto_pad = onnx_call_attr(c, "auto_pad");
    bool has_mode = auto_pad != NULL && auto_pad->kind == NN_ATTR_TEXT;
    bool upper = has_mode && onnx_is(auto_pad->text, "SAME_UPPER");
    bool same = upper || (has_mode && onnx_is(auto_pad->text, "SAME_LOWER"));

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
    onnx_call_drop(c, "output_shape");
    onnx_call_drop(c, "auto_pad");
    onnx_call_drop(c, "pads");
    onnx_call_drop(c, "output_padding");
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
static void drop_zero_bias(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c)
{
    if (c->n_in != 3 || (!onnx_is(c->op, "Conv") && !onnx_is(c->op, "ConvTranspose"))) {
        return;
    }
    const onnx_meaning *bias = onnx_find_name(r, node->input[2]);
    if (bias->constant != NULL && is_all_zero(bias->constant)) {
        c->n_in = 2;
    }
}

/* What an empty list of axes means is only said where there is one. */
static void drop_noop(onnx_call *c)
{
    const nn_attr *axes = onnx_call_attr(c, "axes"),
                  *noop = onnx_call_attr(c, "noop_with_empty_axes");
    bool is_noop = noop != NULL && noop->i != 0 && (axes == NULL || axes->n_ints == 0);

    onnx_call_drop(c, "noop_with_empty_axes");
    if (is_noop) {
        c->op = "Identity";
        c->n_attrs = 0;
    }
}

/* What later operator sets added, where it says what was always so. */
static void drop_defaults(onnx_call *c)
{
    const nn_attr *a;

    onnx_call_drop(c, "allowzero");  // of Reshape; see asks_for_none
    if (onnx_is(c->op, "Cast")) {
        onnx_call_drop(c, "saturate");
    }
    if (!onnx_is(c->op, "Resize")) {
        return;
    }
    if ((a = onnx_call_attr(c, "antialias")) != NULL && a->i == 0) {
        onnx_call_drop(c, "antialias");
    }
    a = onnx_call_attr(c, "keep_aspect_ratio_policy");
    if (a != NULL && a->kind == NN_ATTR_TEXT && onnx_is(a->text, "stretch")) {
        onnx_call_drop(c, "keep_aspect_ratio_policy");
    }
    onnx_call_drop(c, "cubic_coeff_a");  // of a mode that is refused
    a = onnx_call_attr(c, "coordinate_transformation_mode");
    if (a == NULL || a->kind != NN_ATTR_TEXT || !onnx_is(a->text, "tf_crop_and_resize")) {
        onnx_call_drop(c, "roi");
        onnx_call_drop(c, "extrapolation_value");
    }
}

fl_status onnx_adapt(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err)
{
    if (onnx_is(c->op, "Resize") && r->opset < 11) {
        c->attrs[c->n_attrs++] = NN_TEXT("coordinate_transformation_mode", "asymmetric");
        c->attrs[c->n_attrs++] = NN_TEXT("nearest_mode", "floor");
    }
    if (onnx_is(c->op, "BatchNormalization") || onnx_is(c->op, "Dropout")) {
        onnx_call_drop(c, "training_mode");  // a plan knows whether it trains
        onnx_call_drop(c, "seed");           // its numbers come from the job's seed
        onnx_call_drop(c, "spatial");
    }
    const onnx_meaning *like = onnx_is(c->op, "CastLike") && node->n_input > 1
                                   ? onnx_find_name(r, node->input[1])
                                   : NULL;
    if (like != NULL && like->constant != NULL && !onnx_type_is_float(like->constant->type)) {
        return fl_fail(err, FL_EUNSUPPORTED, "numbers stay float");
    }
    if (onnx_is(c->op, "CastLike")) {
        c->op = "Identity";  // values are floats
        c->n_in = c->n_in > 1 ? 1 : c->n_in;
        c->n_attrs = 0;
    }
    if (strncmp(c->op, "Reduce", 6) == 0) {
        drop_noop(c);
    }
    drop_defaults(c);
    if (onnx_is(c->op, "MaxPool")) {
        onnx_call_drop(c, "storage_order");  // of its second output
    }
    if (onnx_is(c->op, "Dropout") && r->keeps_batch) {
        *c = (onnx_call){.op = "Identity",
                         .name = c->name,
                         .in = {c->in[0]},
                         .n_in = 1,
                         .attrs = c->attrs};  // it only infers
    }
    drop_zero_bias(r, node, c);
    if (onnx_is(c->op, "ConvTranspose")) {
        complete_deconv(r, c);
    }
    return onnx_is(c->op, "Resize") ? complete_resize(r, c, err) : FL_OK;
}
