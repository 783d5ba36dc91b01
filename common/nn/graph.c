/*
 * graph.c - building a graph and asking it about itself; see graph.h
 */
#include "nn/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/ops.h"

enum { MAX_ENDS = 16, MAX_ATTRS = 16 };  // inputs or outputs of a graph; attributes of a node

#define MAX_ROW (INT64_C(1) << 31)  // numbers of one row of a value

typedef struct {
    const char *name;
    nn_shape shape;
    int producer;  // node, or -1 for inputs and parameters
    bool is_param;
    nn_kind kind;  // the rest is for parameters
    nn_init init;
    int64_t fan;
    int64_t table_index;  // -1 while the graph is not finished or it is unused
} value;

struct nn_graph {
    fl_arena *arena;  // texts and attributes, as long as the graph
    const char *name;
    value *values;
    size_t n_values, cap_values;
    nn_node *nodes;
    size_t n_nodes, cap_nodes;
    nn_value inputs[MAX_ENDS], outputs[MAX_ENDS];
    size_t n_inputs, n_outputs;
    nn_init layer_init;  // of the weights of layers to come
    nn_table *table;     // made by finish
    fl_err mistake;      // the first one
    bool finished;
};

/* -------------------------------------------------------------- building */

nn_graph *nn_graph_new(const char *name)
{
    nn_graph *g = fl_xcalloc(1, sizeof *g);

    g->arena = fl_arena_new(4096);
    g->name = fl_arena_strdup(g->arena, name);
    g->table = nn_table_new();
    g->layer_init = NN_INIT_FAN_IN;
    return g;
}

void nn_graph_destroy(nn_graph **g)
{
    if (*g != NULL) {
        nn_table_destroy(&(*g)->table);
        fl_arena_destroy(&(*g)->arena);
        free((*g)->values);
        free((*g)->nodes);
        FL_FREE(*g);
    }
}

static bool is_broken(const nn_graph *g)
{
    FL_REQUIRE(!g->finished);
    return g->mistake.status != FL_OK;
}

static nn_value add_value(nn_graph *g, const char *name, const nn_shape *shape)
{
    if (g->n_values == g->cap_values) {
        g->cap_values = g->cap_values == 0 ? 32 : 2 * g->cap_values;
        g->values = fl_xrealloc(g->values, g->cap_values, sizeof *g->values);
    }
    value *v = &g->values[g->n_values];
    memset(v, 0, sizeof *v);
    v->name = fl_arena_strdup(g->arena, name);
    v->shape = *shape;
    v->producer = -1;
    v->table_index = -1;
    return (nn_value)g->n_values++;
}

/* dim[0] may be the batch where that is allowed; the others are at least 1.
 * The limit keeps products of shapes far from overflow. */
static bool is_good_shape(const nn_shape *s, bool may_have_batch)
{
    if (s->rank < 0 || s->rank > NN_MAX_RANK) {
        return false;
    }
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 1 && !(may_have_batch && i == 0 && s->dim[i] == NN_BATCH)) {
            return false;
        }
    }
    int64_t count = nn_shape_count(s, 1);
    return count >= 0 && count <= MAX_ROW;
}

nn_value nn_graph_input(nn_graph *g, const char *name, const nn_shape *shape)
{
    if (is_broken(g)) {
        return -1;
    }
    if (!is_good_shape(shape, true)) {
        fl_fail(&g->mistake, FL_ECONFIG, "input %s: every dimension must be at least 1", name);
        return -1;
    }
    if (g->n_inputs == MAX_ENDS) {
        fl_fail(&g->mistake, FL_ELIMIT, "input %s: more than %d inputs", name, MAX_ENDS);
        return -1;
    }
    return g->inputs[g->n_inputs++] = add_value(g, name, shape);
}

nn_value nn_graph_param(nn_graph *g, const char *name, nn_kind kind, const nn_shape *shape,
                        nn_init init, int64_t fan)
{
    if (is_broken(g)) {
        return -1;
    }
    if (!is_good_shape(shape, false)) {
        fl_fail(&g->mistake, FL_ECONFIG, "parameter %s: every dimension must be at least 1", name);
        return -1;
    }
    nn_value v = add_value(g, name, shape);
    g->values[v].is_param = true;
    g->values[v].kind = kind;
    g->values[v].init = init;
    g->values[v].fan = fan;
    return v;
}

static const nn_attr *copy_attrs(nn_graph *g, const nn_attr *attrs, size_t n)
{
    nn_attr *copy = fl_arena_alloc(g->arena, n, sizeof *copy);

    for (size_t i = 0; i < n; i++) {
        copy[i] = attrs[i];
        copy[i].name = fl_arena_strdup(g->arena, attrs[i].name);
        if (attrs[i].kind == NN_ATTR_INTS) {
            int64_t *ints = fl_arena_alloc(g->arena, attrs[i].n_ints, sizeof *ints);
            if (attrs[i].n_ints > 0) {
                memcpy(ints, attrs[i].ints, attrs[i].n_ints * sizeof *ints);
            }
            copy[i].ints = ints;
        }
        if (attrs[i].kind == NN_ATTR_FLOATS) {
            double *floats = fl_arena_alloc(g->arena, attrs[i].n_floats, sizeof *floats);
            if (attrs[i].n_floats > 0) {
                memcpy(floats, attrs[i].floats, attrs[i].n_floats * sizeof *floats);
            }
            copy[i].floats = floats;
        }
        if (attrs[i].kind == NN_ATTR_TEXT) {
            copy[i].text = fl_arena_strdup(g->arena, attrs[i].text);
        }
    }
    return copy;
}

/* Whether the operator takes these inputs and attributes at all. */
static fl_status check_call(const nn_graph *g, const nn_op *op, const nn_node *node, fl_err *err)
{
    if ((int)node->n_in < op->min_inputs || (int)node->n_in > op->max_inputs) {
        return fl_fail(err, FL_ECONFIG, "takes %d to %d inputs, not %zu", op->min_inputs,
                       op->max_inputs, node->n_in);
    }
    for (size_t i = 0; i < node->n_in; i++) {
        FL_REQUIRE(node->in[i] < (nn_value)g->n_values);
        if (node->in[i] < 0 && (int)i < op->min_inputs) {
            return fl_fail(err, FL_ECONFIG, "input %zu is missing", i + 1);
        }
    }
    for (size_t i = 0; i < node->n_attrs; i++) {
        int k = 0;
        while (k < NN_MAX_OP_ATTRS && op->attrs[k] != NULL &&
               strcmp(op->attrs[k], node->attrs[i].name) != 0) {
            k++;
        }
        if (k == NN_MAX_OP_ATTRS || op->attrs[k] == NULL) {
            return fl_fail(err, FL_EUNSUPPORTED, "attribute %s is not supported",
                           node->attrs[i].name);
        }
    }
    return FL_OK;
}

static void shapes_of_inputs(const nn_shape **out, const nn_graph *g, const nn_node *node)
{
    for (size_t i = 0; i < NN_MAX_INPUTS; i++) {
        out[i] = i < node->n_in && node->in[i] >= 0 ? &g->values[node->in[i]].shape : NULL;
    }
}

bool nn_graph_knows(const char *op)
{
    return nn_op_find(op) != NULL;
}

nn_value nn_graph_op(nn_graph *g, const char *op_name, const char *name, const nn_value *inputs,
                     size_t n_inputs, const nn_attr *attrs, size_t n_attrs)
{
    fl_status st;
    nn_shape shape;
    const nn_shape *in[NN_MAX_INPUTS];
    char auto_name[64], known[1200], out_name[NN_NAME_BYTES + 8];

    if (is_broken(g)) {
        return -1;
    }
    if (name == NULL || name[0] == '\0') {
        snprintf(auto_name, sizeof auto_name, "%.32s_%zu", op_name, g->n_nodes);
        name = auto_name;
    }
    const nn_op *op = nn_op_find(op_name);
    if (op == NULL) {
        nn_op_list(known, sizeof known);
        fl_fail(&g->mistake, FL_EUNSUPPORTED,
                "node %.80s: operator %.40s is not supported; supported are %.800s", name, op_name,
                known);
        return -1;
    }
    if (n_inputs > NN_MAX_INPUTS || n_attrs > MAX_ATTRS || g->n_nodes >= NN_MAX_NODES) {
        fl_fail(&g->mistake, FL_ELIMIT,
                "node %.80s (%s): more than %d inputs, %d attributes or %d nodes", name, op_name,
                NN_MAX_INPUTS, MAX_ATTRS, NN_MAX_NODES);
        return -1;
    }
    while (n_inputs > 0 && inputs[n_inputs - 1] < 0) {
        n_inputs--;  // optional ones left out at the end
    }
    nn_value *ins = fl_arena_alloc(g->arena, n_inputs, sizeof *ins);
    for (size_t i = 0; i < n_inputs; i++) {
        ins[i] = inputs[i];
    }
    nn_node node = {.op = op->name,
                    .name = fl_arena_strdup(g->arena, name),
                    .in = ins,
                    .n_in = n_inputs,
                    .attrs = copy_attrs(g, attrs, n_attrs),
                    .n_attrs = n_attrs};
    if ((st = check_call(g, op, &node, &g->mistake)) == FL_OK) {
        shapes_of_inputs(in, g, &node);
        st = op->shape(&shape, &node, in, &g->mistake);
    }
    if (st == FL_OK && !is_good_shape(&shape, true)) {
        st = fl_fail(&g->mistake, FL_ECONFIG, "the output would be empty or too large");
    }
    if (st != FL_OK) {
        fl_wrap(&g->mistake, st, "node %.80s (%s)", name, op_name);
        return -1;
    }
    snprintf(out_name, sizeof out_name, "%.*s_out", NN_NAME_BYTES, name);
    nn_value *out = fl_arena_alloc(g->arena, 1, sizeof *out);
    *out = add_value(g, out_name, &shape);
    g->values[*out].producer = (int)g->n_nodes;
    node.out = out;
    node.n_out = 1;
    if (g->n_nodes == g->cap_nodes) {
        g->cap_nodes = g->cap_nodes == 0 ? 32 : 2 * g->cap_nodes;
        g->nodes = fl_xrealloc(g->nodes, g->cap_nodes, sizeof *g->nodes);
    }
    g->nodes[g->n_nodes++] = node;
    return *out;
}

void nn_graph_output(nn_graph *g, const char *name, nn_value v)
{
    if (is_broken(g)) {
        return;
    }
    FL_REQUIRE(v >= 0 && v < (nn_value)g->n_values);
    for (size_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i] == v) {
            v = nn_graph_op(g, "Identity", NULL, &v, 1, NULL,
                            0);  // the same value under a second name
        }
    }
    if (g->values[v].producer < 0) {
        v = nn_graph_op(g, "Identity", NULL, &v, 1, NULL, 0);  // an input keeps its own name
    }
    if (g->n_outputs == MAX_ENDS) {
        fl_fail(&g->mistake, FL_ELIMIT, "output %s: more than %d outputs", name, MAX_ENDS);
        return;
    }
    g->values[v].name = fl_arena_strdup(g->arena, name);
    g->outputs[g->n_outputs++] = v;
}

/* Keeps the nodes that some output depends on, in order. */
static void drop_unused_nodes(nn_graph *g)
{
    bool *used = fl_xcalloc(g->n_values, sizeof *used);
    bool *keep = fl_xcalloc(g->n_nodes, sizeof *keep);
    size_t kept = 0;

    for (size_t i = 0; i < g->n_outputs; i++) {
        used[g->outputs[i]] = true;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const nn_node *node = &g->nodes[i];
        keep[i] = used[node->out[0]];
        for (size_t k = 0; keep[i] && k < node->n_in; k++) {
            if (node->in[k] >= 0) {
                used[node->in[k]] = true;
            }
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (keep[i]) {
            g->values[g->nodes[i].out[0]].producer = (int)kept;
            g->nodes[kept++] = g->nodes[i];
        }
    }
    g->n_nodes = kept;
    for (size_t i = 0; i < g->n_values; i++) {
        if (g->values[i].is_param && !used[i]) {
            g->values[i].table_index = -2;  // stays out of the table
        }
    }
    free(used);
    free(keep);
}

fl_status nn_graph_finish(nn_graph *g, fl_err *err)
{
    FL_REQUIRE(!g->finished);
    if (g->mistake.status == FL_OK && (g->n_inputs == 0 || g->n_outputs == 0)) {
        fl_fail(&g->mistake, FL_ECONFIG, "a graph needs an input and an output");
    }
    if (g->mistake.status == FL_OK) {
        drop_unused_nodes(g);
    }
    for (size_t i = 0; i < g->n_values && g->mistake.status == FL_OK; i++) {
        value *v = &g->values[i];
        if (v->is_param && v->table_index == -1 &&
            nn_table_add(g->table, v->name, v->kind, &v->shape, &g->mistake) == FL_OK) {
            v->table_index = (int64_t)nn_table_n(g->table) - 1;
        }
    }
    if (g->mistake.status != FL_OK) {
        return fl_fail(err, g->mistake.status, "model %s: %s", g->name, g->mistake.text);
    }
    g->finished = true;
    return FL_OK;
}

void nn_graph_reopen(nn_graph *g)
{
    FL_REQUIRE(g->finished);
    g->finished = false;
    g->n_outputs = 0;
    for (size_t i = 0; i < g->n_values; i++) {
        g->values[i].table_index = -1;
    }
    nn_table_destroy(&g->table);
    g->table = nn_table_new();
}

void nn_graph_freeze(nn_graph *g, const bool *frozen, size_t n)
{
    FL_REQUIRE(g->finished && n == nn_table_n(g->table));
    nn_table_destroy(&g->table);
    g->table = nn_table_new();
    for (size_t i = 0; i < g->n_values; i++) {
        value *v = &g->values[i];
        if (!v->is_param || v->table_index < 0) {
            continue;
        }
        if (frozen[v->table_index] && nn_kind_trainable(v->kind)) {
            v->kind = NN_FROZEN;
        }
        FL_REQUIRE(nn_table_add(g->table, v->name, v->kind, &v->shape, NULL) == FL_OK);
    }
}

/* ------------------------------------------------------- layers by name */

static nn_value layer_param(nn_graph *g, const char *layer, const char *what, nn_kind kind,
                            const nn_shape *shape, nn_init init, int64_t fan)
{
    char name[NN_NAME_BYTES + 32];

    snprintf(name, sizeof name, "%s.%s", layer, what);
    return nn_graph_param(g, name, kind, shape, init, fan);
}

void nn_graph_layer_init(nn_graph *g, nn_init init)
{
    g->layer_init = init;
}

/* He et al. start biases at zero; the others as their weights. */
static nn_init bias_init(const nn_graph *g)
{
    return g->layer_init == NN_INIT_FAN_IN ? NN_INIT_FAN_IN : NN_INIT_ZERO;
}

nn_value nn_conv(nn_graph *g, const char *name, nn_value x, int64_t channels, int64_t kernel,
                 int64_t stride, int64_t pad)
{
    if (is_broken(g)) {
        return -1;
    }
    const nn_shape *in = &g->values[x].shape;
    int n_spatial = in->rank - 2;
    if (n_spatial < 1 || n_spatial > NN_MAX_SPATIAL) {
        fl_fail(&g->mistake, FL_ECONFIG, "node %s (Conv): the input must be (N, C, H, W)", name);
        return -1;
    }
    nn_shape weight = {in->rank, {channels, in->dim[1]}}, bias = {1, {channels}};
    int64_t kernels[NN_MAX_SPATIAL], strides[NN_MAX_SPATIAL], pads[2 * NN_MAX_SPATIAL];
    int64_t fan_in = in->dim[1];
    for (int i = 0; i < n_spatial; i++) {
        weight.dim[2 + i] = kernels[i] = kernel;
        strides[i] = stride;
        pads[i] = pads[n_spatial + i] = pad;
        fan_in *= kernel;
    }
    nn_value inputs[] = {x, layer_param(g, name, "weight", NN_WEIGHT, &weight, g->layer_init, 0),
                         layer_param(g, name, "bias", NN_BIAS, &bias, bias_init(g), fan_in)};
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernels, (size_t)n_spatial),
                       NN_INTS("strides", strides, (size_t)n_spatial),
                       NN_INTS("pads", pads, 2 * (size_t)n_spatial)};
    return nn_graph_op(g, "Conv", name, inputs, 3, attrs, 3);
}

nn_value nn_gemm(nn_graph *g, const char *name, nn_value x, int64_t features)
{
    if (is_broken(g)) {
        return -1;
    }
    const nn_shape *in = &g->values[x].shape;
    if (in->rank != 2) {
        fl_fail(&g->mistake, FL_ECONFIG, "node %s (Gemm): the input must be (N, features)", name);
        return -1;
    }
    nn_shape weight = {2, {features, in->dim[1]}}, bias = {1, {features}};
    nn_value inputs[] = {x, layer_param(g, name, "weight", NN_WEIGHT, &weight, g->layer_init, 0),
                         layer_param(g, name, "bias", NN_BIAS, &bias, bias_init(g), weight.dim[1])};
    nn_attr attrs[] = {NN_INT("transB", 1)};
    return nn_graph_op(g, "Gemm", name, inputs, 3, attrs, 1);
}

nn_value nn_relu(nn_graph *g, nn_value x)
{
    return nn_graph_op(g, "Relu", NULL, &x, 1, NULL, 0);
}

nn_value nn_max_pool(nn_graph *g, nn_value x, int64_t kernel, int64_t stride)
{
    int64_t kernels[NN_MAX_SPATIAL] = {kernel, kernel, kernel},
            strides[NN_MAX_SPATIAL] = {stride, stride, stride};

    if (is_broken(g)) {
        return -1;
    }
    int n_spatial = g->values[x].shape.rank - 2;
    if (n_spatial < 1 || n_spatial > NN_MAX_SPATIAL) {
        fl_fail(&g->mistake, FL_ECONFIG, "MaxPool: the input must be (N, C, H, W)");
        return -1;
    }
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernels, (size_t)n_spatial),
                       NN_INTS("strides", strides, (size_t)n_spatial)};
    return nn_graph_op(g, "MaxPool", NULL, &x, 1, attrs, 2);
}

nn_value nn_global_average_pool(nn_graph *g, nn_value x)
{
    return nn_graph_op(g, "GlobalAveragePool", NULL, &x, 1, NULL, 0);
}

nn_value nn_flatten(nn_graph *g, nn_value x)
{
    return nn_graph_op(g, "Flatten", NULL, &x, 1, (nn_attr[]){NN_INT("axis", 1)}, 1);
}

nn_value nn_dropout(nn_graph *g, nn_value x, double rate)
{
    return rate == 0
               ? x
               : nn_graph_op(g, "Dropout", NULL, &x, 1, (nn_attr[]){NN_FLOAT("ratio", rate)}, 1);
}

nn_value nn_add(nn_graph *g, nn_value a, nn_value b)
{
    return nn_graph_op(g, "Add", NULL, (nn_value[]){a, b}, 2, NULL, 0);
}

nn_value nn_batch_norm(nn_graph *g, const char *name, nn_value x)
{
    if (is_broken(g)) {
        return -1;
    }
    nn_shape channels = {1, {g->values[x].shape.rank >= 2 ? g->values[x].shape.dim[1] : 0}};
    nn_value inputs[] = {x, layer_param(g, name, "weight", NN_NORM, &channels, NN_INIT_ONE, 0),
                         layer_param(g, name, "bias", NN_NORM, &channels, NN_INIT_ZERO, 0),
                         layer_param(g, name, "running_mean", NN_STAT, &channels, NN_INIT_ZERO, 0),
                         layer_param(g, name, "running_var", NN_STAT, &channels, NN_INIT_ONE, 0)};
    return nn_graph_op(g, "BatchNormalization", name, inputs, 5, NULL, 0);
}

/* ------------------------------------------------ what a graph says of itself */

const char *nn_graph_name(const nn_graph *g)
{
    return g->name;
}

const nn_table *nn_graph_table(const nn_graph *g)
{
    FL_REQUIRE(g->finished);
    return g->table;
}

static const value *value_at(const nn_graph *g, nn_value v)
{
    FL_REQUIRE(v >= 0 && v < (nn_value)g->n_values);
    return &g->values[v];
}

const nn_shape *nn_graph_shape(const nn_graph *g, nn_value v)
{
    return &value_at(g, v)->shape;
}

nn_value nn_graph_input_at(const nn_graph *g, size_t i)
{
    FL_REQUIRE(i < g->n_inputs);
    return g->inputs[i];
}

nn_value nn_graph_output_at(const nn_graph *g, size_t i)
{
    FL_REQUIRE(i < g->n_outputs);
    return g->outputs[i];
}

size_t nn_graph_n_inputs(const nn_graph *g)
{
    return g->n_inputs;
}

size_t nn_graph_n_outputs(const nn_graph *g)
{
    return g->n_outputs;
}

size_t nn_graph_n_values(const nn_graph *g)
{
    return g->n_values;
}

int64_t nn_graph_macs(const nn_graph *g)
{
    int64_t macs = 0;

    for (size_t i = 0; i < g->n_nodes; i++) {
        const nn_node *node = &g->nodes[i];
        const nn_op *op = nn_op_find(node->op);
        const nn_shape *in[NN_MAX_INPUTS];
        shapes_of_inputs(in, g, node);
        int64_t more = op->macs != NULL ? op->macs(node, &g->values[node->out[0]].shape, in) : 0;
        if (__builtin_add_overflow(macs, more, &macs)) {
            return INT64_MAX;
        }
    }
    return macs;
}

size_t nn_graph_n_nodes(const nn_graph *g)
{
    return g->n_nodes;
}

bool nn_graph_has(const nn_graph *g, const char *op)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (strcmp(nn_graph_node(g, i)->op, op) == 0) {
            return true;
        }
    }
    return false;
}

const nn_node *nn_graph_node(const nn_graph *g, size_t i)
{
    FL_REQUIRE(i < g->n_nodes);
    return &g->nodes[i];
}

const nn_attr *nn_node_attr(const nn_node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attrs; i++) {
        if (strcmp(node->attrs[i].name, name) == 0) {
            return &node->attrs[i];
        }
    }
    return NULL;
}

const char *nn_graph_value_name(const nn_graph *g, nn_value v)
{
    return value_at(g, v)->name;
}

int64_t nn_graph_param_index(const nn_graph *g, nn_value v)
{
    const value *p = value_at(g, v);
    return p->is_param && p->table_index >= 0 ? p->table_index : -1;
}

/* --------------------------------------------------------- first values */

/* Inputs (or outputs) that meet in one number: what scales an initial weight. */
static int64_t fan_of(const nn_shape *s, int axis)
{
    int64_t fan = s->rank >= 2 ? s->dim[axis] : 1;

    for (int i = 2; i < s->rank; i++) {
        fan *= s->dim[i];
    }
    return fan;
}

static void init_param(float *x, const value *v, fl_rng *rng)
{
    int64_t n = nn_shape_count(&v->shape, 1);
    int64_t fan = v->fan > 0 ? v->fan : fan_of(&v->shape, v->init == NN_INIT_HE_FAN_OUT ? 0 : 1);
    double bound = 1 / sqrt((double)fan), sd = sqrt(2 / (double)fan);

    for (int64_t i = 0; i < n; i++) {
        switch (v->init) {
        case NN_INIT_ZERO:
            x[i] = 0;
            break;
        case NN_INIT_ONE:
            x[i] = 1;
            break;
        case NN_INIT_FAN_IN:
            x[i] = (float)fl_rng_range(rng, -bound, bound);
            break;
        case NN_INIT_HE_NORMAL:
        case NN_INIT_HE_FAN_OUT:
            x[i] = (float)(sd * fl_rng_normal(rng));
            break;
        }
    }
}

void nn_graph_init(const nn_graph *g, float *data, uint64_t seed)
{
    FL_REQUIRE(g->finished);
    for (size_t i = 0; i < g->n_values; i++) {
        const value *v = &g->values[i];
        if (v->is_param && v->table_index >= 0) {
            fl_rng rng;
            fl_rng_init(&rng, seed, "init", v->name, 0);
            init_param(data + nn_table_at(g->table, (size_t)v->table_index)->offset, v, &rng);
        }
    }
}
