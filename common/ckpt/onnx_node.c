/*
 * onnx_node.c - a node of a file as operators of a graph
 *
 * What depends on constants alone is computed (onnx_fold.c).  Inputs at the
 * places named in onnx_constants become attributes.  What changed between
 * operator sets is said in onnx_adapt.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt/onnx_node.h"

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

/* --------------------------------------------------------------- constants */

fl_status onnx_constant_of(const onnx_const **out, onnx_reader *r, onnx_meaning *m, fl_err *err)
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

    if (m->view != NULL) {
        *out = onnx_view_base(m->view);
        return r->takes_bases ? FL_OK
                              : fl_fail(err, FL_EUNSUPPORTED,
                                        "the batch must be the first dimension of %.80s", m->name);
    }
    if (m->value < 0) {
        st = onnx_constant_of(&c, r, m, err);
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
    bool is_one = onnx_is(kind, "value_int") || onnx_is(kind, "value_float");
    bool is_float = strncmp(kind, "value_float", 11) == 0;
    fl_status st;

    if (node->n_output != 1) {
        return fl_fail(err, FL_EFORMAT, "it has not one output");
    }
    if (onnx_is(kind, "value") && a->t != NULL) {
        return onnx_define(r, node->output[0], a->t, NULL, -1, err);
    }
    if (!is_one && !onnx_is(kind, "value_ints") && !onnx_is(kind, "value_floats")) {
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
    bool is_reshape = onnx_is(c->op, "Reshape"), is_expand = onnx_is(c->op, "Expand");
    bool is_exported = i == 0 && r->fixed_batch > 0 && x == r->fixed_batch;  // the export's batch

    *out = x;
    if (is_exported && is_reshape) {
        *out = 0;  // as in the input
        return FL_OK;
    }
    if (x != ONNX_BATCH && x != ONNX_UNKNOWN) {
        return FL_OK;
    }
    if (x == ONNX_BATCH && i == 0 && (is_reshape || is_expand || onnx_is(c->op, "Tile"))) {
        *out = is_reshape ? 0 : NN_BATCH;
        return FL_OK;
    }
    if (x == ONNX_BATCH && (onnx_is(c->attr, "ends") || onnx_is(c->attr, "sizes"))) {
        *out = onnx_is(c->attr, "ends") ? INT64_MAX : 1;
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
    bool is_number = value->rank == 0 && (onnx_is(c->attr, "indices") || onnx_is(c->attr, "axes"));
    bool is_gather = onnx_is(c->attr, "indices");
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

const nn_attr *onnx_call_attr(const onnx_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_attrs; i++) {
        if (onnx_is(c->attrs[i].name, name)) {
            return &c->attrs[i];
        }
    }
    return NULL;
}

void onnx_call_drop(onnx_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_attrs; i++) {
        if (onnx_is(c->attrs[i].name, name)) {
            c->attrs[i] = c->attrs[--c->n_attrs];
            return;
        }
    }
}

/* With allowzero, a 0 is a dimension without numbers, not the input's. */
static bool asks_for_none(const onnx_call *c, const onnx_const *shape)
{
    const nn_attr *allowzero = onnx_call_attr(c, "allowzero");
    bool yes = false;

    for (int64_t i = 0; allowzero != NULL && allowzero->i != 0 && i < shape->count; i++) {
        yes = yes || shape->at[i].i == 0;
    }
    return yes;
}

static fl_status read_inputs(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err)
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
        } else if ((st = onnx_constant_of(&value, r, m, err)) == FL_OK && value == NULL) {
            st = fl_fail(err, FL_EUNSUPPORTED, "input %.80s must be a constant", name);
        } else if (st == FL_OK && onnx_is(place->op, "Reshape") && asks_for_none(c, value)) {
            st = fl_fail(err, FL_EUNSUPPORTED, "a dimension of 0 (allowzero)");
        } else if (st == FL_OK) {
            c->indices = onnx_is(place->attr, "indices") ? value : c->indices;
            st = constant_attribute(r, &c->attrs[c->n_attrs], place, value, err);
            c->n_attrs += st == FL_OK && c->attrs[c->n_attrs].name != NULL;
        }
    }
    return st;
}

fl_status onnx_read_call(onnx_reader *r, const Onnx__NodeProto *node, onnx_call *c, fl_err *err)
{
    fl_status st = FL_OK;

    *c = (onnx_call){.op = onnx_op_of(node), .name = node_name(node)};
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
    bool is_like = onnx_is(op, "CastLike");
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
            (st = onnx_constant_of(&in[k], r, m, err)) != FL_OK) {
            return st;
        }
    }
    onnx_const *out = fl_arena_alloc(r->pool.arena, node->n_output, sizeof *out);
    *done = true;
    st = onnx_fold(out, &r->pool, node, in, node->n_input, err);
    bool is_split = onnx_is(op, "Split");
    return st == FL_OK ? define_outputs(r, node, out, is_split ? node->n_output : 1, err) : st;
}

/* As numbers of which one depends on the size of the batch. */
static fl_status add_shape_of_view(onnx_reader *r, const Onnx__NodeProto *node,
                                   const onnx_view *view, fl_err *err)
{
    onnx_const *out = fl_arena_alloc(r->pool.arena, 1, sizeof *out);
    const Onnx__AttributeProto *start = onnx_attribute(node, "start");
    int64_t dims[NN_MAX_RANK];
    nn_shape shape = {0};
    onnx_view_dims(dims, &shape.rank, r, view);
    for (int d = 0; d < shape.rank; d++) {
        shape.dim[d] = dims[d] > 0 ? dims[d] : NN_BATCH;
    }
    fl_status st = onnx_fold_shape(out, &r->pool, node, &shape, err);
    int64_t from = start != NULL ? start->i : 0;
    from += from < 0 ? shape.rank : 0;
    from = from < 0 ? 0 : from;
    for (int64_t i = 0; st == FL_OK && onnx_is(node->op_type, "Shape") && i < out->count; i++) {
        out->at[i].i = dims[from + i];
    }
    return st == FL_OK ? define_outputs(r, node, out, 1, err) : st;
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
    if (m->view != NULL) {
        return add_shape_of_view(r, node, m->view, err);
    }
    if (m->value >= 0) {
        shape = *nn_graph_shape(r->g, m->value);
    } else if ((st = onnx_constant_of(&c, r, m, err)) == FL_OK) {
        shape.rank = c->rank;
        memcpy(shape.dim, c->dim, sizeof shape.dim);
    }
    st = st == FL_OK ? onnx_fold_shape(out, &r->pool, node, &shape, err) : st;
    return st == FL_OK ? define_outputs(r, node, out, 1, err) : st;
}

fl_status onnx_add_node(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const char *op = onnx_op_of(node);
    fl_status st;
    bool done = true;
    onnx_call c;

    if (node->n_output < 1) {
        st = fl_fail(err, FL_EFORMAT, "it has no output");
    } else if (node->domain != NULL && node->domain[0] != '\0' &&
               !onnx_is(node->domain, "ai.onnx")) {
        st = fl_fail(err, FL_EUNSUPPORTED, "operator %.40s of domain %.40s", op, node->domain);
    } else if (onnx_is(op, "Constant")) {
        st = add_constant_node(r, node, err);
    } else if (onnx_is(op, "Shape") || onnx_is(op, "Size")) {
        st = add_shape(r, node, err);
    } else if (onnx_is(op, "SplitToSequence")) {
        st = onnx_add_sequence(r, node, err);
    } else if (onnx_is(op, "SequenceAt")) {
        st = onnx_take_from_sequence(r, node, err);
    } else if (onnx_is(op, "Identity") && onnx_find_name(r, node->output[0])->tensor != NULL) {
        return FL_OK;  // a parameter under a second name
    } else {
        st = try_to_fold(&done, r, node, err);
        st = st == FL_OK && !done ? onnx_add_view(&done, r, node, err) : st;
    }
    if (st == FL_OK && !done && !nn_graph_knows(op) && !onnx_is_made_of_others(op)) {
        nn_graph_op(r->g, op, node_name(node), NULL, 0, NULL, 0);  // says what is supported
        st = nn_graph_finish(r->g, err);
        return onnx_can_fold(op) ? fl_wrap(err, st, "%.40s of what is no constant", op) : st;
    }
    if (st == FL_OK && !done && (st = onnx_read_call(r, node, &c, err)) == FL_OK &&
        (st = onnx_adapt(r, node, &c, err)) == FL_OK) {
        done = true;
        st = onnx_add_call(r, node, &c, err);
        if (st != FL_OK && !onnx_is(op, "Split")) {
            return st;  // the graph has named the node
        }
    }
    return st == FL_OK ? st : fl_wrap(err, st, "node %.80s (%.40s)", node_name(node), op);
}
