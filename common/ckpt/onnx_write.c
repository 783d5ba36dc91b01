/*
 * onnx_write.c - a graph and its numbers as an ONNX file; see ckpt.h
 *
 * The messages are made in an arena and point at the graph's texts and at the
 * parameters; protobuf-c packs them in one go.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "ckpt/onnx.h"

enum {
    MAX_NODE_CONSTANTS = 4,
    MAX_EXTRA_NODES = 2  // that say in ONNX what one node of ours does
};

typedef struct {
    fl_arena *arena;  // of everything but the numbers
    const nn_graph *g;
    Onnx__GraphProto *graph;
    int opset;
} writer;

#define NEW(w, type, init) \
    memcpy(fl_arena_alloc((w)->arena, 1, sizeof(type)), &(type)init, sizeof(type))

/* ------------------------------------------------------------------ tensors */

static Onnx__TensorProto *new_bare_tensor(writer *w, int32_t type, size_t rank)
{
    Onnx__TensorProto *t = NEW(w, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);

    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = rank;
    t->dims = fl_arena_alloc(w->arena, rank, sizeof *t->dims);
    return t;
}

/* An initializer. */
static Onnx__TensorProto *new_tensor(writer *w, const char *name, int32_t type, size_t rank)
{
    Onnx__TensorProto *t = new_bare_tensor(w, type, rank);

    t->name = fl_arena_strdup(w->arena, name);
    w->graph->initializer[w->graph->n_initializer++] = t;
    return t;
}

static void set_raw(Onnx__TensorProto *t, const void *bytes, size_t n)
{
    t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){n, (uint8_t *)bytes};
}

static void add_params(writer *w, const float *data)
{
    const nn_table *table = nn_graph_table(w->g);

    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        Onnx__TensorProto *t = new_tensor(w, p->name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                          (size_t)p->shape.rank);
        memcpy(t->dims, p->shape.dim, (size_t)p->shape.rank * sizeof *t->dims);
        set_raw(t, data + p->offset, (size_t)p->count * sizeof *data);
    }
}

static void add_attribute(writer *w, Onnx__NodeProto *out, const nn_attr *attr)
{
    Onnx__AttributeProto *a = NEW(w, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);

    a->name = (char *)attr->name;
    a->has_type = 1;
    switch (attr->kind) {
    case NN_ATTR_INT:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->has_i = 1;
        a->i = attr->i;
        break;
    case NN_ATTR_FLOAT:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        a->has_f = 1;
        a->f = (float)attr->f;
        break;
    case NN_ATTR_INTS:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->n_ints = attr->n_ints;
        a->ints = (int64_t *)attr->ints;
        break;
    case NN_ATTR_FLOATS:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
        a->n_floats = attr->n_floats;
        a->floats = fl_arena_alloc(w->arena, attr->n_floats, sizeof *a->floats);
        for (size_t i = 0; i < attr->n_floats; i++) {
            a->floats[i] = (float)attr->floats[i];
        }
        break;
    case NN_ATTR_TEXT:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        a->has_s = 1;
        a->s = (ProtobufCBinaryData){strlen(attr->text), (uint8_t *)attr->text};
        break;
    }
    out->attribute[out->n_attribute++] = a;
}

/* A node that the graph does not have; out is its name and its output's. */
static Onnx__NodeProto *new_node(writer *w, const char *op, char *out, size_t n_inputs,
                                 size_t n_attributes)
{
    Onnx__NodeProto *node = NEW(w, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);

    node->name = out;
    node->op_type = (char *)op;
    node->input = fl_arena_alloc(w->arena, n_inputs, sizeof *node->input);
    node->output = fl_arena_alloc(w->arena, 1, sizeof *node->output);
    node->attribute = fl_arena_alloc(w->arena, n_attributes, sizeof *node->attribute);
    node->output[node->n_output++] = out;
    w->graph->node[w->graph->n_node++] = node;
    return node;
}

static char *made_name(writer *w, const nn_node *node, const char *what)
{
    size_t n = strlen(node->name) + strlen(what) + 2;
    char *name = fl_arena_alloc(w->arena, n, 1);

    snprintf(name, n, "%s.%s", node->name, what);
    return name;
}

/*
 * A list that starts with the size of the batch, which ONNX takes from the shape
 * of the model's input; returns its name.
 */
static char *add_batch_list(writer *w, const nn_node *node, const nn_attr *attr, char *name)
{
    char *size = made_name(w, node, "batch"), *rest = made_name(w, node, "rest");
    const char *input = nn_graph_value_name(w->g, nn_graph_input_at(w->g, 0));
    nn_attr from = NN_INT("start", 0), to = NN_INT("end", 1), axis = NN_INT("axis", 0);
    Onnx__NodeProto *shape = new_node(w, "Shape", size, 1, 2);
    Onnx__NodeProto *concat = new_node(w, "Concat", name, 2, 1);
    Onnx__TensorProto *t = new_tensor(w, rest, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1);

    shape->input[shape->n_input++] = (char *)input;
    add_attribute(w, shape, &from);
    add_attribute(w, shape, &to);
    concat->input[concat->n_input++] = size;
    concat->input[concat->n_input++] = rest;
    add_attribute(w, concat, &axis);
    t->dims[0] = (int64_t)attr->n_ints - 1;
    set_raw(t, attr->ints + 1, (attr->n_ints - 1) * sizeof *attr->ints);
    return name;
}

static bool reads_batch(const writer *w, const nn_node *node)
{
    const nn_shape *x = nn_graph_shape(w->g, node->in[0]);

    return x->rank > 0 && x->dim[0] == NN_BATCH;
}

/* Whether a list's first number is the size of the batch, whatever it says. */
static bool starts_with_batch(const writer *w, const nn_node *node, const nn_attr *attr)
{
    if (attr->kind != NN_ATTR_INTS || attr->n_ints == 0) {
        return false;
    }
    bool is_resize = strcmp(node->op, "Resize") == 0 && strcmp(attr->name, "sizes") == 0;
    bool repeats = strcmp(node->op, "Expand") == 0 || strcmp(node->op, "Tile") == 0;
    return (is_resize && reads_batch(w, node)) || (repeats && attr->ints[0] == NN_BATCH);
}

/* The dimensions of an Expand, of which the batch's own stays as it is. */
static int64_t *expanded(writer *w, const nn_node *node, const nn_attr *attr)
{
    int64_t *ints = fl_arena_alloc(w->arena, attr->n_ints, sizeof *ints);

    memcpy(ints, attr->ints, attr->n_ints * sizeof *ints);
    if (strcmp(node->op, "Expand") == 0 && reads_batch(w, node) &&
        (int)attr->n_ints == nn_graph_shape(w->g, node->in[0])->rank) {
        ints[0] = 1;
    }
    return ints;
}

/* An attribute that ONNX wants as an input; returns the input's name. */
static char *add_constant(writer *w, const nn_node *node, const nn_attr *attr)
{
    char *name = made_name(w, node, attr->name);

    if (starts_with_batch(w, node, attr)) {
        return add_batch_list(w, node, attr, name);
    }
    if (attr->kind == NN_ATTR_FLOAT) {
        float *value = fl_arena_alloc(w->arena, 1, sizeof *value);
        *value = (float)attr->f;
        set_raw(new_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 0), value, sizeof *value);
    } else if (attr->kind == NN_ATTR_FLOATS) {
        Onnx__TensorProto *t = new_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1);
        float *values = fl_arena_alloc(w->arena, attr->n_floats, sizeof *values);
        for (size_t i = 0; i < attr->n_floats; i++) {
            values[i] = (float)attr->floats[i];
        }
        t->dims[0] = (int64_t)attr->n_floats;
        set_raw(t, values, attr->n_floats * sizeof *values);
    } else if (attr->kind == NN_ATTR_INT) {
        set_raw(new_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 0), &attr->i,
                sizeof attr->i);
    } else {
        Onnx__TensorProto *t = new_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1);
        t->dims[0] = (int64_t)attr->n_ints;
        set_raw(t, expanded(w, node, attr), attr->n_ints * sizeof *attr->ints);
    }
    return name;
}

/* The numbers of a Constant, as its attribute. */
static void add_numbers(writer *w, Onnx__NodeProto *out, const nn_node *node)
{
    const nn_attr *value = nn_node_attr(node, "value"), *shape = nn_node_attr(node, "shape");
    size_t rank = shape != NULL ? shape->n_ints : 0;
    Onnx__TensorProto *t = new_bare_tensor(w, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank);
    Onnx__AttributeProto *a = NEW(w, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
    float *numbers = fl_arena_alloc(w->arena, value->n_floats, sizeof *numbers);

    for (size_t i = 0; i < value->n_floats; i++) {
        numbers[i] = (float)value->floats[i];
    }
    for (size_t d = 0; d < rank; d++) {
        t->dims[d] = shape->ints[d];
    }
    set_raw(t, numbers, value->n_floats * sizeof *numbers);
    a->name = (char *)"value";
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    a->t = t;
    out->attribute[out->n_attribute++] = a;
}

/* The place of an attribute among the inputs, in the opset that is written. */
static const onnx_constant *input_of(const writer *w, const nn_node *node, const char *attr)
{
    for (const onnx_constant *c = onnx_constants; c->op != NULL; c++) {
        if (c->attr != NULL && strcmp(c->op, node->op) == 0 && strcmp(c->attr, attr) == 0) {
            return c->since <= w->opset ? c : NULL;
        }
    }
    return NULL;
}

/* Appends the inputs that are attributes of ours; gaps have an empty name. */
static void add_constants(writer *w, Onnx__NodeProto *out, const nn_node *node)
{
    size_t n_named = out->n_input;

    for (size_t i = node->n_in; i < node->n_in + MAX_NODE_CONSTANTS; i++) {
        const onnx_constant *c = onnx_constant_find(node->op, i);
        const nn_attr *a = c != NULL && c->attr != NULL && c->since <= w->opset
                               ? nn_node_attr(node, c->attr)
                               : NULL;
        out->input[i] = a != NULL ? add_constant(w, node, a) : (char *)"";
        n_named = a != NULL ? i + 1 : n_named;
    }
    out->n_input = n_named;
}

static void add_node(writer *w, const nn_node *node)
{
    Onnx__NodeProto *out = NEW(w, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);

    out->name = (char *)node->name;
    out->op_type = (char *)node->op;
    out->input = fl_arena_alloc(w->arena, node->n_in + MAX_NODE_CONSTANTS, sizeof *out->input);
    out->output = fl_arena_alloc(w->arena, node->n_out, sizeof *out->output);
    out->attribute = fl_arena_alloc(w->arena, node->n_attrs, sizeof *out->attribute);
    for (size_t i = 0; i < node->n_in; i++) {
        bool is_there = node->in[i] >= 0;
        out->input[out->n_input++] = is_there ? (char *)nn_graph_value_name(w->g, node->in[i])
                                              : (char *)"";
    }
    for (size_t i = 0; i < node->n_out; i++) {
        out->output[out->n_output++] = (char *)nn_graph_value_name(w->g, node->out[i]);
    }
    bool is_constant = strcmp(node->op, "Constant") == 0;
    if (is_constant) {
        add_numbers(w, out, node);
    }
    for (size_t i = 0; i < node->n_attrs && !is_constant; i++) {
        if (input_of(w, node, node->attrs[i].name) == NULL) {
            add_attribute(w, out, &node->attrs[i]);
        }
    }
    add_constants(w, out, node);
    w->graph->node[w->graph->n_node++] = out;
}

/* A value's name, type and shape; the batch is called N. */
static Onnx__ValueInfoProto *new_value_info(writer *w, nn_value v)
{
    const nn_shape *shape = nn_graph_shape(w->g, v);
    Onnx__ValueInfoProto *info = NEW(w, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
    Onnx__TypeProto *type = NEW(w, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
    Onnx__TypeProto__Tensor *tensor = NEW(w, Onnx__TypeProto__Tensor,
                                          ONNX__TYPE_PROTO__TENSOR__INIT);
    Onnx__TensorShapeProto *dims = NEW(w, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);

    dims->dim = fl_arena_alloc(w->arena, (size_t)shape->rank, sizeof *dims->dim);
    for (int i = 0; i < shape->rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = NEW(w, Onnx__TensorShapeProto__Dimension,
                                                     ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
        if (shape->dim[i] == NN_BATCH) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = (char *)"N";
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = shape->dim[i];
        }
        dims->dim[dims->n_dim++] = dim;
    }
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = dims;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->name = (char *)nn_graph_value_name(w->g, v);
    info->type = type;
    return info;
}

/* -------------------------------------------------------------------- model */

static void fill_graph(writer *w, const float *data)
{
    Onnx__GraphProto *graph = w->graph;
    const nn_graph *g = w->g;
    size_t n_nodes = nn_graph_n_nodes(g);

    graph->name = (char *)nn_graph_name(g);
    graph->node = fl_arena_alloc(w->arena, n_nodes * (1 + MAX_EXTRA_NODES), sizeof *graph->node);
    graph->initializer = fl_arena_alloc(
        w->arena, nn_table_n(nn_graph_table(g)) + n_nodes * MAX_NODE_CONSTANTS,
        sizeof *graph->initializer);
    graph->input = fl_arena_alloc(w->arena, nn_graph_n_inputs(g), sizeof *graph->input);
    graph->output = fl_arena_alloc(w->arena, nn_graph_n_outputs(g), sizeof *graph->output);
    add_params(w, data);
    for (size_t i = 0; i < n_nodes; i++) {
        add_node(w, nn_graph_node(g, i));
    }
    for (size_t i = 0; i < nn_graph_n_inputs(g); i++) {
        graph->input[graph->n_input++] = new_value_info(w, nn_graph_input_at(g, i));
    }
    for (size_t i = 0; i < nn_graph_n_outputs(g); i++) {
        graph->output[graph->n_output++] = new_value_info(w, nn_graph_output_at(g, i));
    }
}

static void fill_model(writer *w, Onnx__ModelProto *model, const ckpt_meta *meta)
{
    Onnx__OperatorSetIdProto *opset = NEW(w, Onnx__OperatorSetIdProto,
                                          ONNX__OPERATOR_SET_ID_PROTO__INIT);
    size_t n_notes = meta != NULL ? meta->n : 0;

    opset->domain = (char *)"";
    opset->has_version = 1;
    opset->version = w->opset;
    model->has_ir_version = 1;
    model->ir_version = w->opset <= ONNX_OPSET ? ONNX_IR_VERSION : ONNX_IR_VERSION + 2;
    model->producer_name = (char *)"consilium";
    model->producer_version = (char *)FL_VERSION;
    model->graph = w->graph;
    model->opset_import = fl_arena_alloc(w->arena, 1, sizeof *model->opset_import);
    model->opset_import[model->n_opset_import++] = opset;
    model->metadata_props = fl_arena_alloc(w->arena, n_notes, sizeof *model->metadata_props);
    for (size_t i = 0; i < n_notes; i++) {
        Onnx__StringStringEntryProto *note = NEW(w, Onnx__StringStringEntryProto,
                                                 ONNX__STRING_STRING_ENTRY_PROTO__INIT);
        note->key = meta->keys[i];
        note->value = meta->values[i];
        model->metadata_props[model->n_metadata_props++] = note;
    }
}

/* The operator set that the file needs: an old one, which every tool reads,
 * unless an operator came later. */
static int opset_of(const nn_graph *g)
{
    int opset = ONNX_OPSET;

    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        int needs = ONNX_OPSET;
        if (strcmp(node->op, "Gelu") == 0) {
            needs = 20;
        } else if (strcmp(node->op, "GroupNormalization") == 0) {
            needs = 21;  // which scales channels; the one before scaled groups
        } else if (strcmp(node->op, "Pad") == 0 && nn_node_attr(node, "axes") != NULL) {
            needs = 18;
        }
        opset = needs > opset ? needs : opset;
    }
    return opset;
}

/* Refuses what this operator set cannot say. */
static fl_status check_nodes(const nn_graph *g, fl_err *err)
{
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        if (strcmp(node->op, "AveragePool") == 0 && nn_node_attr(node, "dilations") != NULL) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "node %s: opset %d has no AveragePool with dilations", node->name,
                           ONNX_OPSET);
        }
        if (strcmp(node->op, "GroupNormalization") == 0 &&
            nn_graph_shape(g, node->in[1])->dim[0] != nn_graph_shape(g, node->in[0])->dim[1]) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "node %s: a GroupNormalization that scales groups, not channels",
                           node->name);
        }
    }
    return FL_OK;
}

fl_status ckpt_onnx_pack(char **out, size_t *n, const nn_graph *g, const float *data,
                         const ckpt_meta *meta, fl_err *err)
{
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    fl_status st = check_nodes(g, err);

    *out = NULL;
    if (st != FL_OK) {
        return st;
    }
    writer w = {fl_arena_new(65536), g, NULL, opset_of(g)};
    w.graph = NEW(&w, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
    fill_graph(&w, data);
    fill_model(&w, &model, meta);
    *n = onnx__model_proto__get_packed_size(&model);
    if (*n > ONNX_MAX_FILE) {
        st = fl_fail(err, FL_ELIMIT, "an ONNX file holds at most 2 GiB");
    } else if ((*out = fl_calloc(*n, 1, "an ONNX file", err)) == NULL) {
        st = FL_ELIMIT;
    } else {
        onnx__model_proto__pack(&model, (uint8_t *)*out);
    }
    fl_arena_destroy(&w.arena);
    return st;
}

fl_status ckpt_onnx_write(const char *path, const nn_graph *g, const float *data,
                          const ckpt_meta *meta, fl_err *err)
{
    char *file;
    size_t n;
    fl_status st = ckpt_onnx_pack(&file, &n, g, data, meta, err);

    if (st != FL_OK) {
        return fl_wrap(err, st, "%s", path);
    }
    st = fl_file_write(path, file, n, 0644, err);
    free(file);
    return st;
}
