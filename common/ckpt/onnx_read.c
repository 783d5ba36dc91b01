/*
 * onnx_read.c - an ONNX file as a trainable graph and its numbers; see ckpt.h
 *
 * Initializers of floats become parameters, in the file's order and under their
 * names; what kind one is follows from the input that reads it.  Whole numbers,
 * and the numbers of formulas, are constants.  The first dimension of an input
 * is the batch, whatever number the file gives it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "ckpt/onnx.h"

enum { MAX_INITIALIZERS = 100000, MAX_NOTES = 1000, MAX_NAMES = 1000000 };

/* -------------------------------------------------------------------- names */

onnx_meaning *onnx_find_name(onnx_reader *r, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);  // FNV-1a

    for (const char *c = name; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    }
    for (size_t i = (size_t)hash;; i++) {
        onnx_meaning *m = &r->names[i & (r->n_buckets - 1)];
        if (m->name == NULL || strcmp(m->name, name) == 0) {
            return m;
        }
    }
}

fl_status onnx_define(onnx_reader *r, const char *name, const Onnx__TensorProto *tensor,
                      const onnx_const *constant, nn_value v, fl_err *err)
{
    onnx_meaning *m = onnx_find_name(r, name);

    if (m->name != NULL) {
        return fl_fail(err, FL_EFORMAT, "%.80s is defined twice", name);
    }
    FL_REQUIRE(2 * ++r->n_names <= r->n_buckets);
    *m = (onnx_meaning){.name = name, .tensor = tensor, .constant = constant, .value = v};
    return FL_OK;
}

static size_t count_names(const Onnx__GraphProto *g)
{
    size_t n = g->n_initializer + g->n_input + 1;

    for (size_t i = 0; i < g->n_node; i++) {
        n += g->node[i]->n_output;
    }
    return n;
}

/* ---------------------------------------------------------------- parameters */

static bool is_one_of(const char *op, const char *const *ops)
{
    while (*ops != NULL && strcmp(*ops, op) != 0) {
        ops++;
    }
    return *ops != NULL;
}

static bool is_norm(const char *op)
{
    return is_one_of(op, (const char *const[]){"InstanceNormalization", "GroupNormalization",
                                               "LayerNormalization", NULL});
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

/* Where an initializer is read first. */
typedef struct {
    const char *op;
    size_t input;
} place;

/* What a parameter is.  An exponent is part of a formula: kept, not trained. */
static nn_kind kind_of(const place *p, const char *name)
{
    if (strcmp(p->op, "BatchNormalization") == 0) {
        return p->input <= 2 ? NN_NORM : NN_STAT;
    }
    if (is_norm(p->op)) {
        return NN_NORM;
    }
    if (strcmp(p->op, "Pow") == 0 && p->input == 1) {
        return NN_STAT;
    }
    bool is_bias = strcmp(p->op, "Add") == 0 || strcmp(p->op, "Sub") == 0 || p->input == 2 ||
                   ends_with(name, ".bias");
    return is_bias ? NN_BIAS : NN_WEIGHT;
}

/* First values, should the file's not be wanted. */
static nn_init init_of(const place *p, nn_kind kind)
{
    if (strcmp(p->op, "BatchNormalization") == 0 || is_norm(p->op)) {
        return p->input == 1 || p->input == 4 ? NN_INIT_ONE : NN_INIT_ZERO;
    }
    return kind == NN_WEIGHT ? NN_INIT_FAN_IN : NN_INIT_ZERO;
}

static bool is_all(const Onnx__TensorProto *t, const nn_shape *shape, float wanted)
{
    int64_t n = nn_shape_count(shape, 1);
    float *values = n > ONNX_MAX_CONST ? NULL : fl_xcalloc((size_t)n, sizeof *values);
    bool yes = values != NULL && onnx_tensor_floats(values, t, NULL) == FL_OK;

    for (int64_t i = 0; i < n && yes; i++) {
        yes = values[i] == wanted;
    }
    free(values);
    return yes;
}

/*
 * Numbers that belong to a formula: a single one under a name that a tool made
 * up, and the scale of one and shift of zero that PyTorch's exporter gives the
 * InstanceNormalization inside a GroupNorm.
 */
static bool is_formula(const Onnx__TensorProto *t, const place *p, const nn_shape *shape)
{
    bool is_made = onnx_is_made_name(t->name);
    bool is_unit = p->op != NULL && strcmp(p->op, "InstanceNormalization") == 0 && p->input > 0;

    return is_made &&
           (shape->rank == 0 || (is_unit && is_all(t, shape, p->input == 1 ? 1.0f : 0.0f)));
}

/* Makes a parameter of an initializer, or leaves it a constant. */
static fl_status add_param(onnx_reader *r, onnx_meaning *m, const place *p, fl_err *err)
{
    const Onnx__TensorProto *t = m->tensor;
    nn_shape shape;

    if (p->op == NULL || !onnx_type_is_float(t->data_type)) {
        return FL_OK;
    }
    fl_status st = onnx_tensor_shape(&shape, t, err);
    if (st == FL_OK && !is_formula(t, p, &shape)) {
        nn_kind kind = kind_of(p, m->name);
        m->value = nn_graph_param(r->g, m->name, kind, &shape, init_of(p, kind), 0);
    }
    return st;
}

static const char *source_of_identity(const onnx_reader *r, const Onnx__NodeProto *node)
{
    (void)r;
    return node->op_type != NULL && strcmp(node->op_type, "Identity") == 0 && node->n_input == 1 &&
                   node->n_output == 1
               ? node->input[0]
               : NULL;
}

/*
 * Exporters merge initializers that hold the same numbers (all the scales of
 * fresh batch normalisations are one) and give the others' names to an
 * Identity: each of those names is a parameter of its own again.
 */
static fl_status add_aliases(onnx_reader *r, fl_err *err)
{
    fl_status st = FL_OK;

    for (size_t i = 0; i < r->file->n_node && st == FL_OK; i++) {
        const Onnx__NodeProto *node = r->file->node[i];
        const char *from = source_of_identity(r, node);
        const onnx_meaning *m = from != NULL ? onnx_find_name(r, from) : NULL;
        if (m != NULL && m->name != NULL && m->tensor != NULL &&
            onnx_type_is_float(m->tensor->data_type)) {
            st = onnx_define(r, node->output[0], m->tensor, NULL, -1, err);
        }
    }
    return st;
}

static fl_status add_params(onnx_reader *r, fl_err *err)
{
    const Onnx__GraphProto *g = r->file;
    place *places = fl_xcalloc(r->n_buckets, sizeof *places);  // by bucket of the name
    fl_status st = FL_OK;

    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *node = g->node[i];
        static const char *const no_use[] = {"Identity", "Shape", "Size", "CastLike", NULL};
        bool says_much = node->op_type != NULL && !is_one_of(node->op_type, no_use);
        for (size_t k = 0; says_much && k < node->n_input; k++) {
            const onnx_meaning *m = onnx_find_name(r, node->input[k]);
            place *p = &places[m - r->names];
            if (m->name != NULL && p->op == NULL && onnx_constant_at(r, node, k) == NULL) {
                *p = (place){node->op_type, k};
            }
        }
    }
    for (size_t i = 0; i < g->n_initializer && st == FL_OK; i++) {
        onnx_meaning *m = onnx_find_name(r, g->initializer[i]->name);
        st = add_param(r, m, &places[m - r->names], err);
    }
    for (size_t i = 0; i < g->n_node && st == FL_OK; i++) {
        const char *from = source_of_identity(r, g->node[i]);
        onnx_meaning *m = from != NULL ? onnx_find_name(r, g->node[i]->output[0]) : NULL;
        if (m != NULL && m->tensor != NULL && m->value < 0) {
            st = add_param(r, m, &places[m - r->names], err);
        }
    }
    free(places);
    return st;
}

static fl_status add_initializers(onnx_reader *r, fl_err *err)
{
    fl_status st = FL_OK;

    if (r->file->n_sparse_initializer > 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "sparse initializers");
    }
    for (size_t i = 0; i < r->file->n_initializer && st == FL_OK; i++) {
        const Onnx__TensorProto *t = r->file->initializer[i];
        st = t->name == NULL || t->name[0] == '\0'
                 ? fl_fail(err, FL_EFORMAT, "an initializer has no name")
                 : onnx_define(r, t->name, t, NULL, -1, err);
    }
    return st;
}

/* ----------------------------------------------------------- inputs, outputs */

static fl_status read_dims(nn_shape *shape, const onnx_reader *r, const char *name,
                           const Onnx__TensorShapeProto *dims, fl_err *err)
{
    size_t least = r->keeps_batch ? 0 : 2;

    *shape = (nn_shape){.rank = (int)dims->n_dim};
    if (dims->n_dim < least || dims->n_dim > NN_MAX_RANK) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "input %.80s must have 2 to %d dimensions, the first the batch", name,
                       NN_MAX_RANK);
    }
    for (size_t i = 0; i < dims->n_dim; i++) {
        bool has_value = dims->dim[i]->value_case ==
                         ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        shape->dim[i] = has_value ? dims->dim[i]->dim_value : -1;
        if ((i > 0 || r->keeps_batch) && shape->dim[i] < 1) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "dimension %zu of input %.80s is open; only the batch may be", i + 1,
                           name);
        }
    }
    return FL_OK;
}

static fl_status add_input(onnx_reader *r, const Onnx__ValueInfoProto *info, fl_err *err)
{
    const Onnx__TypeProto *type = info->type;
    const Onnx__TensorShapeProto *dims = type != NULL && type->value_case ==
                                                             ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
                                             ? type->tensor_type->shape
                                             : NULL;
    nn_shape shape;

    if (dims == NULL || type->tensor_type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        return fl_fail(err, FL_EUNSUPPORTED, "input %.80s must be a float tensor with a shape",
                       info->name);
    }
    fl_status st = read_dims(&shape, r, info->name, dims, err);
    if (st != FL_OK) {
        return st;
    }
    if (!r->keeps_batch) {
        r->fixed_batch = shape.dim[0] > 0 ? shape.dim[0] : 0;
        shape.dim[0] = NN_BATCH;
    }
    return onnx_define(r, info->name, NULL, NULL, nn_graph_input(r->g, info->name, &shape), err);
}

static fl_status add_inputs(onnx_reader *r, fl_err *err)
{
    fl_status st = FL_OK;

    for (size_t i = 0; i < r->file->n_input && st == FL_OK; i++) {
        const char *name = r->file->input[i]->name;
        if (name == NULL || name[0] == '\0') {
            st = fl_fail(err, FL_EFORMAT, "an input has no name");
        } else if (onnx_find_name(r, name)->name == NULL) {  // old files list initializers too
            st = add_input(r, r->file->input[i], err);
        }
    }
    return st;
}

static fl_status add_outputs(onnx_reader *r, fl_err *err)
{
    fl_status st = FL_OK;

    for (size_t i = 0; i < r->file->n_output && st == FL_OK; i++) {
        const char *name = r->file->output[i]->name;
        onnx_meaning *m = onnx_find_name(r, name != NULL ? name : "");
        nn_value v;
        if (m->name == NULL) {
            st = fl_fail(err, FL_EFORMAT, "output %.80s is computed by no node",
                         name != NULL ? name : "?");
        } else if ((st = onnx_value_of(&v, r, m, err)) == FL_OK && v >= 0) {
            nn_graph_output(r->g, name, v);
        }
    }
    return st;
}

static fl_status add_graph(onnx_reader *r, fl_err *err)
{
    fl_status st;

    if ((st = add_initializers(r, err)) != FL_OK || (st = add_inputs(r, err)) != FL_OK ||
        (st = add_aliases(r, err)) != FL_OK || (st = add_params(r, err)) != FL_OK) {
        return st;
    }
    for (size_t i = 0; i < r->file->n_node && st == FL_OK; i++) {
        st = onnx_add_node(r, r->file->node[i], err);
    }
    st = st == FL_OK ? add_outputs(r, err) : st;
    return st == FL_OK ? nn_graph_finish(r->g, err) : st;
}

/* ---------------------------------------------------------------------- model */

static fl_status find_opset(int64_t *out, const Onnx__ModelProto *model, fl_err *err)
{
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = model->opset_import[i];
        if (opset->domain == NULL || opset->domain[0] == '\0' ||
            strcmp(opset->domain, "ai.onnx") == 0) {
            *out = opset->version;
            return *out >= ONNX_OPSET_OLDEST && *out <= ONNX_OPSET_NEWEST
                       ? FL_OK
                       : fl_fail(err, FL_EUNSUPPORTED, "opset %lld; %d to %d are read",
                                 (long long)*out, ONNX_OPSET_OLDEST, ONNX_OPSET_NEWEST);
        }
    }
    return fl_fail(err, FL_EFORMAT, "the file names no operator set");
}

static fl_status fill_data(onnx_reader *r, float **data, fl_err *err)
{
    const nn_table *table = nn_graph_table(r->g);
    fl_status st = FL_OK;

    *data = fl_calloc_aligned((size_t)nn_table_count(table), sizeof **data,
                              "the model's parameters", err);
    if (*data == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < nn_table_n(table) && st == FL_OK; i++) {
        const nn_param *p = nn_table_at(table, i);
        st = onnx_tensor_floats(*data + p->offset, onnx_find_name(r, p->name)->tensor, err);
    }
    return st;
}

static void read_notes(ckpt_meta *meta, const Onnx__ModelProto *model)
{
    if (model->producer_name != NULL) {
        ckpt_meta_add(meta, CKPT_ONNX_PRODUCER, model->producer_name);
    }
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *note = model->metadata_props[i];
        ckpt_meta_add(meta, note->key != NULL ? note->key : "",
                      note->value != NULL ? note->value : "");
    }
}

static fl_status load(nn_graph **g, float **data, ckpt_meta *meta, const Onnx__ModelProto *model,
                      const ckpt_onnx_options *options, fl_err *err)
{
    onnx_reader r = {.file = model->graph, .keeps_batch = options->keeps_batch};

    if (r.file == NULL) {
        return fl_fail(err, FL_EFORMAT, "the file holds no graph");
    }
    size_t n_names = count_names(r.file);
    if (r.file->n_initializer > MAX_INITIALIZERS || r.file->n_node > NN_MAX_NODES ||
        model->n_metadata_props > MAX_NOTES || n_names > MAX_NAMES) {
        return fl_fail(err, FL_ELIMIT, "more than %d tensors, %d nodes, %d notes or %d names",
                       MAX_INITIALIZERS, NN_MAX_NODES, MAX_NOTES, MAX_NAMES);
    }
    fl_status st = find_opset(&r.opset, model, err);
    if (st != FL_OK) {
        return st;
    }
    r.g = nn_graph_new(r.file->name != NULL && r.file->name[0] != '\0' ? r.file->name : "onnx");
    r.n_buckets = 64;
    while (r.n_buckets < 2 * n_names) {
        r.n_buckets *= 2;
    }
    r.names = fl_xcalloc(r.n_buckets, sizeof *r.names);
    r.pool = (onnx_pool){fl_arena_new(4096), ONNX_MAX_CONSTS};
    st = add_graph(&r, err);
    if (st == FL_OK) {
        st = fill_data(&r, data, err);
    }
    if (st == FL_OK && meta != NULL) {
        read_notes(meta, model);
    }
    free(r.names);
    fl_arena_destroy(&r.pool.arena);
    *g = r.g;
    return st;
}

static fl_status load_and_close(nn_graph **g, float **data, ckpt_meta *meta, onnx_file *f,
                                const ckpt_onnx_options *options, fl_err *err)
{
    fl_status st = load(g, data, meta, f->model, options, err);

    onnx_file_close(f);
    if (st != FL_OK) {
        nn_graph_destroy(g);
        FL_FREE(*data);
    }
    return st;
}

fl_status ckpt_onnx_unpack_as(nn_graph **g, float **data, ckpt_meta *meta, const char *file,
                              size_t n, const ckpt_onnx_options *options, fl_err *err)
{
    onnx_file f;

    *g = NULL;
    *data = NULL;
    fl_status st = onnx_file_view(&f, (const uint8_t *)file, n, options->folder, err);
    return st == FL_OK ? load_and_close(g, data, meta, &f, options, err) : st;
}

fl_status ckpt_onnx_unpack(nn_graph **g, float **data, ckpt_meta *meta, const char *file, size_t n,
                           fl_err *err)
{
    return ckpt_onnx_unpack_as(g, data, meta, file, n, &(ckpt_onnx_options){0}, err);
}

fl_status ckpt_onnx_read(nn_graph **g, float **data, ckpt_meta *meta, const char *path, fl_err *err)
{
    char *folder = fl_path_dir(path);
    ckpt_onnx_options options = {.folder = folder};
    onnx_file f;

    *g = NULL;
    *data = NULL;
    fl_status st = onnx_file_open(&f, path, folder, err);
    if (st == FL_OK) {
        st = load_and_close(g, data, meta, &f, &options, err);
        st = st == FL_OK ? st : fl_wrap(err, st, "%s", path);
    } else if (err == NULL || strstr(err->text, path) == NULL) {
        st = fl_wrap(err, st, "%s", path);
    }
    free(folder);
    return st;
}
