/*
 * onnx_view.c - values of a file whose batch is not the first dimension
 *
 * A graph keeps the batch first.  PyTorch's attention does not: it goes through
 * (L, N, E), (L, N heads, E / heads) and (L N, E).  Such a value is read as a view
 * of one of the graph.  With N for the batch, the base's axes stand in a row as the
 * file has them, and each dimension of the file is a stretch of that row:
 *
 *     file (4, N, 8)    base (N, 4, 8)      row 4 N 8      4 | N | 8
 *     file (4, 2 N, 4)  base (N, 4, 2, 4)   row 4 N 2 4    4 | N 2 | 4
 *
 * Apart from N the base has its axes in the order of the row.  A Transpose moves
 * stretches, a Reshape cuts axes and draws the borders anew; other operators work on
 * the base.  Once N is the first dimension by itself, the value is the graph's again.
 */
#include "ckpt/onnx_node.h"

struct onnx_view {
    nn_value base;
    int rank;            // of the file's value
    int n[NN_MAX_RANK];  // axes in each dimension's stretch
    int batch;           // N's place in the row
};

/* ---------------------------------------------------------------- the row */

static const nn_shape *base_shape(const onnx_reader *r, const onnx_view *v)
{
    return nn_graph_shape(r->g, v->base);
}

/* The base's axis at a place of the row. */
static int axis_at(const onnx_view *v, int place)
{
    return place == v->batch ? 0 : place < v->batch ? place + 1 : place;
}

/* Where dimension d begins in the row. */
static int start_of(const onnx_view *v, int d)
{
    int start = 0;

    for (int i = 0; i < d; i++) {
        start += v->n[i];
    }
    return start;
}

static bool has_batch(const onnx_view *v, int d)
{
    int start = start_of(v, d);

    return v->batch >= start && v->batch < start + v->n[d];
}

/* One axis, and not N's. */
static bool is_single(const onnx_view *v, int d)
{
    return v->n[d] == 1 && !has_batch(v, d);
}

/* Numbers of a dimension, for each row of the batch. */
static int64_t size_of(const onnx_reader *r, const onnx_view *v, int d)
{
    int64_t size = 1;

    for (int k = start_of(v, d); k < start_of(v, d) + v->n[d]; k++) {
        size *= k == v->batch ? 1 : base_shape(r, v)->dim[axis_at(v, k)];
    }
    return size;
}

/* Of the graph again: N is the first dimension by itself. */
static bool is_plain(const onnx_reader *r, const onnx_view *v)
{
    return v->rank > 0 && has_batch(v, 0) && size_of(r, v, 0) == 1;
}

/* What a name stands for as a view; false for what has no batch. */
static bool view_of(onnx_view *out, onnx_reader *r, const char *name)
{
    const onnx_meaning *m = onnx_find_name(r, name);

    if (m->name != NULL && m->view != NULL) {
        *out = *m->view;
        return true;
    }
    bool has_value = m->name != NULL && m->value >= 0;
    const nn_shape *shape = has_value ? nn_graph_shape(r->g, m->value) : NULL;
    if (shape == NULL || shape->rank == 0 || shape->dim[0] != NN_BATCH) {
        return false;
    }
    *out = (onnx_view){.base = m->value, .rank = shape->rank};
    for (int d = 0; d < shape->rank; d++) {
        out->n[d] = 1;
    }
    return true;
}

static fl_status unsupported(fl_err *err)
{
    return fl_fail(err, FL_EUNSUPPORTED,
                   "the batch is not the first dimension of its input, and this operator is not "
                   "read so");
}

/* ------------------------------------------------------- the base as wanted */

static fl_status reshape_base(onnx_reader *r, onnx_view *v, const int64_t *dims, int rank,
                              fl_err *err)
{
    nn_attr shape = NN_INTS("shape", dims, (size_t)rank);

    v->base = nn_graph_op(r->g, "Reshape", NULL, &v->base, 1, &shape, 1);
    return v->base < 0 ? nn_graph_finish(r->g, err) : FL_OK;
}

/* Makes one axis of each dimension from `first` on, all of them behind N. */
static fl_status merge_from(onnx_reader *r, onnx_view *v, int first, fl_err *err)
{
    int64_t dims[2 * NN_MAX_RANK] = {0};
    int rank = 1, kept = start_of(v, first);
    bool changes = false;

    for (int k = 0; k < kept; k++) {
        if (k != v->batch) {
            dims[rank++] = base_shape(r, v)->dim[axis_at(v, k)];
        }
    }
    for (int d = first; d < v->rank; d++) {
        changes = changes || v->n[d] != 1;
        dims[rank++] = size_of(r, v, d);
    }
    if (!changes) {
        return FL_OK;
    }
    if (rank > NN_MAX_RANK || v->batch >= kept) {
        return unsupported(err);
    }
    for (int d = first; d < v->rank; d++) {
        v->n[d] = 1;
    }
    return reshape_base(r, v, dims, rank, err);
}

/* Gives a name that is defined what v has become: a value of the graph, or a view. */
static fl_status settle(onnx_reader *r, onnx_meaning *m, onnx_view *v, fl_err *err)
{
    fl_status st = FL_OK;

    if (!is_plain(r, v)) {
        onnx_view *kept = fl_arena_alloc(r->pool.arena, 1, sizeof *kept);
        *kept = *v;
        m->view = kept;
        m->value = -1;
        return FL_OK;
    }
    int64_t dims[NN_MAX_RANK] = {0};
    bool changes = v->n[0] != 1;
    for (int d = 1; d < v->rank; d++) {
        changes = changes || v->n[d] != 1;
        dims[d] = size_of(r, v, d);
    }
    st = changes ? reshape_base(r, v, dims, v->rank, err) : FL_OK;
    m->value = v->base;
    return st;
}

static fl_status define(onnx_reader *r, const Onnx__NodeProto *node, onnx_view *v, fl_err *err)
{
    fl_status st = onnx_define(r, node->output[0], NULL, NULL, -1, err);

    return st == FL_OK ? settle(r, onnx_find_name(r, node->output[0]), v, err) : st;
}

/* --------------------------------------------------- Transpose and Reshape */

static fl_status transpose(onnx_reader *r, const Onnx__NodeProto *node, const onnx_view *v,
                           fl_err *err)
{
    const Onnx__AttributeProto *perm = onnx_attribute(node, "perm");
    int64_t axes[NN_MAX_RANK] = {0};
    onnx_view out = {.base = v->base, .rank = v->rank};
    int n = 1, place = 0;
    unsigned seen = 0;
    bool moves = false;

    if (perm != NULL && (int)perm->n_ints != v->rank) {
        return fl_fail(err, FL_EFORMAT, "perm must name each of %d dimensions", v->rank);
    }
    for (int d = 0; d < v->rank; d++) {
        int64_t from = perm != NULL ? perm->ints[d] : v->rank - 1 - d;
        if (from < 0 || from >= v->rank || (seen >> from & 1) != 0) {
            return fl_fail(err, FL_EFORMAT, "perm must name each of %d dimensions", v->rank);
        }
        seen |= 1u << from;
        out.n[d] = v->n[from];
        int start = start_of(v, (int)from);
        for (int k = start; k < start + v->n[from]; k++, place++) {
            if (k == v->batch) {
                out.batch = place;
            } else {
                moves = moves || axis_at(v, k) != n;
                axes[n++] = axis_at(v, k);
            }
        }
    }
    if (moves) {
        nn_attr order = NN_INTS("perm", axes, (size_t)n);
        out.base = nn_graph_op(r->g, "Transpose", NULL, &out.base, 1, &order, 1);
        if (out.base < 0) {
            return nn_graph_finish(r->g, err);
        }
    }
    return define(r, node, &out, err);
}

static bool is_open(int64_t x)
{
    return x == ONNX_UNKNOWN || x == -1;
}

/*
 * What a Reshape asks for: numbers of each dimension, for each row of the batch, and
 * which one has N.  What was computed from the size of the batch has it, and so has a
 * number that is left open where no other has.
 */
static fl_status read_target(int64_t *wanted, int *with_batch, const onnx_reader *r,
                             const onnx_view *v, const onnx_const *shape, fl_err *err)
{
    int64_t known = 1, all = 1;
    int open = -1;

    *with_batch = -1;
    for (int d = 0; d < v->rank; d++) {
        all *= size_of(r, v, d);
    }
    for (int d = 0; d < (int)shape->count; d++) {
        int64_t x = shape->at[d].i;
        bool copies = x == 0 && d < v->rank;
        wanted[d] = x == ONNX_BATCH ? 1 : copies ? size_of(r, v, d) : x;
        if (x == ONNX_BATCH || (copies && has_batch(v, d))) {
            *with_batch = d;
        }
        if (is_open(x)) {
            if (open >= 0) {
                return fl_fail(err, FL_EUNSUPPORTED,
                               "two dimensions depend on the size of the batch");
            }
            open = d;
        } else if (wanted[d] < 1 || wanted[d] > all / known) {
            return fl_fail(err, FL_EUNSUPPORTED, "its shape does not fit");
        } else {
            known *= wanted[d];
        }
    }
    if (*with_batch < 0) {
        *with_batch = open;
    }
    if (open >= 0) {
        wanted[open] = all / known;
    }
    return *with_batch >= 0 && known * (open >= 0 ? wanted[open] : 1) == all
               ? FL_OK
               : fl_fail(err, FL_EUNSUPPORTED, "its shape does not fit");
}

/* Sizes along the row, N's as 1, while it is cut anew. */
typedef struct {
    int64_t size[3 * NN_MAX_RANK];
    int n, batch;
    bool is_cut;
} row;

static bool cut(row *w, int place, int64_t first)
{
    if (w->n == 2 * NN_MAX_RANK) {
        return false;
    }
    memmove(w->size + place + 1, w->size + place, (size_t)(w->n - place) * sizeof *w->size);
    w->size[place] = first;
    w->size[place + 1] /= first;
    w->batch += w->batch > place;
    w->n++;
    w->is_cut = true;
    return true;
}

/* The stretch from *place on that has `wanted` numbers, and N or not; its axes, or -1. */
static int take_stretch(row *w, int *place, int64_t wanted, bool with_batch)
{
    int from = *place;
    bool has = false;

    while (*place < w->n && (wanted > 1 || (with_batch && !has))) {
        if (*place == w->batch) {
            if (!with_batch) {
                return -1;
            }
            has = true;
        } else if (wanted % w->size[*place] == 0) {
            wanted /= w->size[*place];
        } else if (w->size[*place] % wanted == 0 && wanted > 1 && cut(w, *place, wanted)) {
            wanted = 1;
        } else {
            return -1;
        }
        ++*place;
    }
    return wanted == 1 && has == with_batch ? *place - from : -1;
}

static fl_status reshape(onnx_reader *r, const Onnx__NodeProto *node, const onnx_view *v,
                         const onnx_const *shape, fl_err *err)
{
    int64_t wanted[NN_MAX_RANK], dims[NN_MAX_RANK] = {0};
    int with_batch, place = 0, n = 1;
    row w = {.n = base_shape(r, v)->rank, .batch = v->batch};
    onnx_view out = {.base = v->base, .rank = (int)shape->count};

    if (shape->count < 1 || shape->count > NN_MAX_RANK || onnx_type_is_float(shape->type)) {
        return fl_fail(err, FL_EUNSUPPORTED, "shape must be a list of up to %d numbers",
                       NN_MAX_RANK);
    }
    fl_status st = read_target(wanted, &with_batch, r, v, shape, err);
    if (st != FL_OK) {
        return st;
    }
    for (int k = 0; k < w.n; k++) {
        w.size[k] = k == v->batch ? 1 : base_shape(r, v)->dim[axis_at(v, k)];
    }
    for (int d = 0; d < out.rank; d++) {
        out.n[d] = take_stretch(&w, &place, wanted[d], d == with_batch);
        if (out.n[d] < 0) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "it mixes the batch with other dimensions in a way that is not read");
        }
    }
    while (place < w.n && w.size[place] == 1 && place != w.batch) {  // ones that are left
        out.n[out.rank - 1]++;
        place++;
    }
    if (place != w.n || w.n > NN_MAX_RANK) {
        return fl_fail(err, FL_EUNSUPPORTED, "its shape does not fit");
    }
    out.batch = w.batch;
    for (int k = 0; k < w.n; k++) {
        if (k != w.batch) {
            dims[n++] = w.size[k];
        }
    }
    st = w.is_cut ? reshape_base(r, &out, dims, n, err) : FL_OK;
    return st == FL_OK ? define(r, node, &out, err) : st;
}

/* ------------------------------------------------------ dimensions of size 1 */

/* The axes that a node names, by attribute or by its second input. */
static fl_status read_axes(const onnx_const **out, onnx_reader *r, const Onnx__NodeProto *node,
                           fl_err *err)
{
    const Onnx__AttributeProto *a = onnx_attribute(node, "axes");

    *out = NULL;
    if (a == NULL) {
        return node->n_input > 1 ? onnx_constant_of(out, r, onnx_find_name(r, node->input[1]), err)
                                 : FL_OK;
    }
    int64_t n = (int64_t)a->n_ints;
    onnx_const *c = fl_arena_alloc(r->pool.arena, 1, sizeof *c);
    fl_status st = onnx_const_new(c, &r->pool, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &n, err);
    for (int64_t i = 0; i < n && st == FL_OK; i++) {
        c->at[i].i = a->ints[i];
    }
    *out = c;
    return st;
}

static bool is_named(const onnx_const *axes, int d, int rank)
{
    for (int64_t i = 0; i < axes->count; i++) {
        if (axes->at[i].i == d || axes->at[i].i == d - rank) {
            return true;
        }
    }
    return false;
}

/* A dimension that is put in is a stretch of nothing; one that is taken out leaves its axes,
 * of size 1, to the dimension before it, or behind. */
static fl_status squeeze(onnx_reader *r, const Onnx__NodeProto *node, const onnx_view *v,
                         bool puts_in, fl_err *err)
{
    const onnx_const *axes;
    fl_status st = read_axes(&axes, r, node, err);

    if (st != FL_OK || axes == NULL || onnx_type_is_float(axes->type) ||
        axes->count > NN_MAX_RANK) {
        return st != FL_OK ? st : unsupported(err);
    }
    onnx_view out = {.base = v->base, .batch = v->batch};
    int from = 0, left = 0, rank = v->rank + (puts_in ? (int)axes->count : 0);
    int64_t n_named = 0;
    for (int d = 0; d < rank; d++) {
        n_named += is_named(axes, d, rank);
    }
    if (rank > NN_MAX_RANK || n_named != axes->count) {
        return unsupported(err);
    }
    for (int d = 0; puts_in && d < rank; d++) {
        bool is_new = is_named(axes, d, rank);
        out.n[out.rank++] = is_new || from == v->rank ? 0 : v->n[from++];
    }
    for (int d = 0; !puts_in && d < v->rank; d++) {
        if (!is_named(axes, d, v->rank)) {
            out.n[out.rank++] = v->n[d] + left;
            left = 0;
        } else if (has_batch(v, d) || size_of(r, v, d) != 1) {
            return fl_fail(err, FL_EFORMAT, "a dimension that is not 1");
        } else if (out.rank > 0) {
            out.n[out.rank - 1] += v->n[d];
        } else {
            left += v->n[d];
        }
    }
    return out.rank > 0 && left == 0 ? define(r, node, &out, err) : unsupported(err);
}

/* ----------------------------------------------------------------- products */

static bool are_alike(const onnx_reader *r, const onnx_view *a, const onnx_view *b, int dims)
{
    bool alike = a->rank == b->rank && a->batch == b->batch;

    for (int d = 0; d < dims && alike; d++) {
        alike = a->n[d] == b->n[d];
    }
    for (int k = 0; alike && k < start_of(a, dims); k++) {
        alike = base_shape(r, a)->dim[axis_at(a, k)] == base_shape(r, b)->dim[axis_at(b, k)];
    }
    return alike;
}

/* (..., C) times a matrix of the model's, or stacks of matrices of both sides. */
static fl_status multiply(onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    onnx_view a, b;
    bool has_a = view_of(&a, r, node->input[0]), has_b = view_of(&b, r, node->input[1]);
    fl_status st = FL_OK;
    nn_value in[2];

    if (!has_a || a.rank < 2 || has_batch(&a, a.rank - 1)) {
        return unsupported(err);
    }
    if (!has_b) {
        st = merge_from(r, &a, a.rank - 1, err);
        st = st == FL_OK ? onnx_value_of(&in[1], r, onnx_find_name(r, node->input[1]), err) : st;
        if (st == FL_OK && nn_graph_shape(r->g, in[1])->rank != 2) {
            st = unsupported(err);
        }
    } else {
        int top = a.rank - 2;
        bool fits = a.rank > 2 && are_alike(r, &a, &b, top) && is_single(&a, top) &&
                    is_single(&a, top + 1) && is_single(&b, top) && is_single(&b, top + 1);
        st = fits ? FL_OK : unsupported(err);
        in[1] = b.base;
    }
    if (st != FL_OK) {
        return st;
    }
    in[0] = a.base;
    a.base = nn_graph_op(r->g, "MatMul", node->name, in, 2, NULL, 0);
    return a.base < 0 ? nn_graph_finish(r->g, err) : define(r, node, &a, err);
}

/* A Gemm of (rows, C), rows with the batch in them: a product and a sum. */
static fl_status gemm(onnx_reader *r, const Onnx__NodeProto *node, onnx_view *v, fl_err *err)
{
    const Onnx__AttributeProto *alpha = onnx_attribute(node, "alpha"),
                               *beta = onnx_attribute(node, "beta"),
                               *trans_a = onnx_attribute(node, "transA"),
                               *trans_b = onnx_attribute(node, "transB");
    bool is_usual = (alpha == NULL || alpha->f == 1) && (beta == NULL || beta->f == 1) &&
                    (trans_a == NULL || trans_a->i == 0) && v->rank == 2 && !has_batch(v, 1);
    bool has_bias = node->n_input > 2 && node->input[2][0] != '\0';
    nn_value in[2], bias = -1;
    onnx_view other;
    fl_status st = is_usual && !view_of(&other, r, node->input[1]) &&
                           !(has_bias && view_of(&other, r, node->input[2]))
                       ? merge_from(r, v, 1, err)
                       : unsupported(err);

    if (st != FL_OK ||
        (st = onnx_value_of(&in[1], r, onnx_find_name(r, node->input[1]), err)) != FL_OK ||
        (has_bias &&
         (st = onnx_value_of(&bias, r, onnx_find_name(r, node->input[2]), err)) != FL_OK)) {
        return st;
    }
    if (trans_b != NULL && trans_b->i != 0) {
        in[1] = nn_graph_op(r->g, "Transpose", NULL, &in[1], 1, NULL, 0);
    }
    in[0] = v->base;
    v->base = nn_graph_op(r->g, "MatMul", has_bias ? NULL : node->name, in, 2, NULL, 0);
    if (has_bias) {
        v->base = nn_graph_op(r->g, "Add", node->name, (nn_value[]){v->base, bias}, 2, NULL, 0);
    }
    return v->base < 0 ? nn_graph_finish(r->g, err) : define(r, node, v, err);
}

/* --------------------------------------------- operators on the base alone */

static bool is_one_of(const char *op, const char *const *list)
{
    while (*list != NULL && !onnx_is(*list, op)) {
        list++;
    }
    return *list != NULL;
}

static const char *const pointwise[] = {
    "Identity", "Dropout", "Cast",     "CastLike",    "Relu",      "LeakyRelu", "Elu",
    "Gelu",     "Erf",     "Sigmoid",  "HardSigmoid", "HardSwish", "Softplus",  "Tanh",
    "Abs",      "Neg",     "Sqrt",     "Exp",         "Log",       "Clip",      "Add",
    "Sub",      "Mul",     "Div",      "Pow",         "Min",       "Max",       NULL};
static const char *const by_last[] = {"Softmax", "LogSoftmax", "LayerNormalization", NULL};
static const char *const by_axis[] = {"Gather",    "ReduceMean", "ReduceSum",
                                      "ReduceMax", NULL};

/* Whether an input without a batch meets the same axes of the base as of the file: the last
 * ones, all of them behind N. */
static bool meets_last(const onnx_reader *r, const onnx_view *v, const onnx_meaning *m)
{
    int64_t rank = m->value >= 0      ? nn_graph_shape(r->g, m->value)->rank
                   : m->constant != NULL ? m->constant->rank
                   : m->tensor != NULL   ? (int64_t)m->tensor->n_dims
                                         : NN_MAX_RANK;
    int64_t count = m->constant != NULL && m->value < 0 ? m->constant->count : 0;
    bool meets = rank <= v->rank;

    for (int d = v->rank - (int)rank; d < v->rank && meets && count != 1; d++) {
        meets = is_single(v, d) && start_of(v, d) > v->batch;
    }
    return meets;
}

static fl_status check_inputs(onnx_reader *r, const Onnx__NodeProto *node, const onnx_view *v,
                              fl_err *err)
{
    bool is_pointwise = is_one_of(node->op_type, pointwise);

    for (size_t k = 0; k < node->n_input; k++) {
        const onnx_meaning *m = onnx_find_name(r, node->input[k]);
        onnx_view other;
        bool has = view_of(&other, r, node->input[k]);
        bool is_kind = onnx_is(node->op_type, "CastLike") && k == 1;
        bool fits = node->input[k][0] == '\0' || m->name == NULL || is_kind ||
                    (has ? (k == 0 || is_pointwise) && are_alike(r, v, &other, v->rank)
                         : !is_pointwise || onnx_constant_at(r, node, k) != NULL ||
                               meets_last(r, v, m));
        if (!fits) {
            return unsupported(err);
        }
    }
    return FL_OK;
}

/* The axes of a call as the base has them; takes out of v those that go. */
static fl_status translate(onnx_reader *r, onnx_call *c, onnx_view *v, fl_err *err)
{
    const nn_attr *axis = onnx_call_attr(c, "axis"), *axes = onnx_call_attr(c, "axes"),
                  *keep = onnx_call_attr(c, "keepdims"), *indices = onnx_call_attr(c, "indices");
    bool is_gather = onnx_is(c->op, "Gather"), is_reduce = axes != NULL;
    bool is_last = is_one_of(c->op, by_last);
    int64_t one = axis != NULL ? axis->i : is_last ? -1 : 0;
    size_t n = is_reduce ? axes->n_ints : 1;
    int64_t *moved = fl_arena_alloc(r->pool.arena, n + 1, sizeof *moved);
    onnx_view out = {.base = v->base, .batch = v->batch};
    unsigned gone = 0;

    if ((!is_gather && !is_last && !is_reduce) || n > NN_MAX_RANK ||
        (is_gather && (indices == NULL || indices->kind != NN_ATTR_INT))) {
        return unsupported(err);
    }
    for (size_t i = 0; i < n; i++) {
        int64_t d = is_reduce ? axes->ints[i] : one;
        d += d < 0 ? v->rank : 0;
        if (d < 0 || d >= v->rank || !is_single(v, (int)d) || (is_last && d != v->rank - 1)) {
            return unsupported(err);
        }
        moved[i] = axis_at(v, start_of(v, (int)d));
        gone |= 1u << d;
    }
    bool drops = is_gather || (is_reduce && keep != NULL && keep->i == 0);
    for (int d = 0; d < v->rank; d++) {
        if (!drops || (gone >> d & 1) == 0) {
            out.n[out.rank++] = v->n[d];
        } else {
            out.batch -= start_of(v, d) < v->batch;
        }
    }
    onnx_call_drop(c, is_reduce ? "axes" : "axis");
    c->attrs[c->n_attrs++] = is_reduce ? NN_INTS("axes", moved, n) : NN_INT("axis", moved[0]);
    *v = out;
    return FL_OK;
}

static fl_status apply_to_base(onnx_reader *r, const Onnx__NodeProto *node, onnx_view *v,
                               fl_err *err)
{
    onnx_call c;
    fl_status st = check_inputs(r, node, v, err);

    if (st == FL_OK) {
        r->takes_bases = true;
        st = onnx_read_call(r, node, &c, err);
        r->takes_bases = false;
    }
    if (st == FL_OK && (st = onnx_adapt(r, node, &c, err)) == FL_OK &&
        !is_one_of(node->op_type, pointwise)) {
        st = translate(r, &c, v, err);
    }
    if (st != FL_OK || (st = onnx_add_call(r, node, &c, err)) != FL_OK) {
        return st;
    }
    onnx_meaning *m = onnx_find_name(r, node->output[0]);  // the base; the file means a view of it
    v->base = m->value;
    return settle(r, m, v, err);
}

/* -------------------------------------------------------------- from outside */

nn_value onnx_view_base(const onnx_view *v)
{
    return v->base;
}

void onnx_view_dims(int64_t *dims, int *rank, const onnx_reader *r, const onnx_view *v)
{
    *rank = v->rank;
    for (int d = 0; d < v->rank; d++) {
        dims[d] = !has_batch(v, d)         ? size_of(r, v, d)
                  : size_of(r, v, d) == 1 ? ONNX_BATCH
                                          : ONNX_UNKNOWN;
    }
}

/* Whether a Reshape of a value with the batch first gives one that has it elsewhere. */
static bool moves_batch(const onnx_reader *r, const onnx_view *v, const onnx_const *shape)
{
    int64_t known = 1, all = 1;

    if (r->keeps_batch || onnx_type_is_float(shape->type) || shape->count > NN_MAX_RANK) {
        return false;
    }
    for (int d = 1; d < v->rank; d++) {
        all *= size_of(r, v, d);
    }
    for (int64_t d = 0; d < shape->count; d++) {
        int64_t x = shape->at[d].i;
        if (x == ONNX_UNKNOWN || (d > 0 && x == ONNX_BATCH)) {
            return true;
        }
        known *= d > 0 && x > 0 && x <= all / known ? x : 1;
    }
    return shape->count > 1 && shape->at[0].i == -1 && known < all;
}

fl_status onnx_add_view(bool *done, onnx_reader *r, const Onnx__NodeProto *node, fl_err *err)
{
    const char *op = onnx_op_of(node);
    const onnx_const *shape = NULL;
    fl_status st = FL_OK;
    onnx_view v;
    bool reads = false;

    *done = false;
    for (size_t k = 0; k < node->n_input; k++) {
        const onnx_meaning *m = onnx_find_name(r, node->input[k]);
        reads = reads || (m->name != NULL && m->view != NULL);
    }
    bool has = node->n_input > 0 && view_of(&v, r, node->input[0]);
    if (onnx_is(op, "Reshape") && has && node->n_input == 2) {
        st = onnx_constant_of(&shape, r, onnx_find_name(r, node->input[1]), err);
        reads = reads || (st == FL_OK && shape != NULL && moves_batch(r, &v, shape));
    } else if (onnx_is(op, "Transpose") && has && !reads) {
        const Onnx__AttributeProto *perm = onnx_attribute(node, "perm");
        reads = v.rank > 1 && !(perm != NULL && perm->n_ints > 0 && perm->ints[0] == 0);
    }
    if (st != FL_OK || !reads) {
        return st;
    }
    *done = true;
    if (onnx_is(op, "MatMul") && node->n_input == 2) {
        return multiply(r, node, err);
    }
    if (!has && is_one_of(op, pointwise)) {  // a parameter, and what it is added to
        for (size_t k = 1; k < node->n_input && !has; k++) {
            has = view_of(&v, r, node->input[k]);
        }
    }
    if (!has) {
        return unsupported(err);
    }
    return onnx_is(op, "Transpose")                  ? transpose(r, node, &v, err)
           : onnx_is(op, "Reshape") && shape != NULL ? reshape(r, node, &v, shape, err)
           : onnx_is(op, "Unsqueeze")                ? squeeze(r, node, &v, true, err)
           : onnx_is(op, "Squeeze")                  ? squeeze(r, node, &v, false, err)
           : onnx_is(op, "Gemm") && node->n_input > 1 ? gemm(r, node, &v, err)
           : is_one_of(op, pointwise) || is_one_of(op, by_last) || is_one_of(op, by_axis)
               ? apply_to_base(r, node, &v, err)
               : unsupported(err);
}
