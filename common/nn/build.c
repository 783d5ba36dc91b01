/*
 * build.c - from a graph to steps, forwards and backwards; see build.h
 *
 * Reverse mode: every value that some parameter lies behind collects the
 * gradients that its readers send; when a node's turn comes, in reverse order,
 * its output's gradient is complete and the node sends its inputs theirs.
 */
#include "nn/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/ops.h"
#include "nn/steps.h"

struct nn_build {
    const nn_graph *g;
    nn_dnnl *d;
    nn_steps *steps;
    int64_t capacity;
    bool training, dropping;
    fl_err error;
    /* by value of the graph */
    nn_slot *value, *grad;
    bool *wants_grad;
    int *n_readers, *reader, *producer;  // nodes; outputs of the graph count as readers
    /* by node */
    bool *forward_done, *grad_done;
    nn_memo *memo;
    /* by entry of the parameter table */
    bool *param_written;
    /* parameters in layouts that primitives wanted */
    struct {
        nn_value v;
        nn_slot slot;
    } * reordered;
    size_t n_reordered;
    /* by slot: values whose gradient lies in it */
    int *n_holders;
    size_t cap_holders;
};

static bool is_broken(const nn_build *b)
{
    return b->error.status != FL_OK;
}

/* --------------------------------------------------------------- the whole */

/* A value wants its gradient if it is a parameter that is trained, or the
 * result of a node with such an input. */
static void find_wanted_gradients(nn_build *b)
{
    const nn_table *table = nn_graph_table(b->g);

    for (nn_value v = 0; v < (nn_value)nn_graph_n_values(b->g); v++) {
        int64_t i = nn_graph_param_index(b->g, v);
        b->wants_grad[v] = b->training && i >= 0 &&
                           nn_kind_trainable(nn_table_at(table, (size_t)i)->kind);
    }
    for (size_t i = 0; i < nn_graph_n_nodes(b->g); i++) {
        const nn_node *node = nn_graph_node(b->g, i);
        for (size_t k = 0; k < node->n_in; k++) {
            if (node->in[k] >= 0 && b->wants_grad[node->in[k]]) {
                b->wants_grad[node->out[0]] = true;
            }
        }
    }
}

static void find_readers(nn_build *b)
{
    for (size_t i = 0; i < nn_graph_n_nodes(b->g); i++) {
        const nn_node *node = nn_graph_node(b->g, i);
        b->producer[node->out[0]] = (int)i;
        for (size_t k = 0; k < node->n_in; k++) {
            if (node->in[k] >= 0) {
                b->n_readers[node->in[k]]++;
                b->reader[node->in[k]] = (int)i;
            }
        }
    }
    for (size_t i = 0; i < nn_graph_n_outputs(b->g); i++) {
        nn_value v = nn_graph_output_at(b->g, i);
        b->n_readers[v]++;
        b->reader[v] = -1;
    }
}

nn_build *nn_build_new(const nn_graph *g, nn_dnnl *d, struct nn_steps *steps, int64_t capacity,
                       bool training, bool dropping)
{
    nn_build *b = fl_xcalloc(1, sizeof *b);
    size_t n = nn_graph_n_values(g), n_nodes = nn_graph_n_nodes(g);

    b->g = g;
    b->d = d;
    b->steps = steps;
    b->capacity = capacity;
    b->training = training;
    b->dropping = training || dropping;
    b->value = fl_xcalloc(n, sizeof *b->value);
    b->grad = fl_xcalloc(n, sizeof *b->grad);
    b->wants_grad = fl_xcalloc(n, sizeof *b->wants_grad);
    b->n_readers = fl_xcalloc(n, sizeof *b->n_readers);
    b->reader = fl_xcalloc(n, sizeof *b->reader);
    b->producer = fl_xcalloc(n, sizeof *b->producer);
    b->forward_done = fl_xcalloc(n_nodes, sizeof *b->forward_done);
    b->grad_done = fl_xcalloc(n_nodes, sizeof *b->grad_done);
    b->memo = fl_xcalloc(n_nodes, sizeof *b->memo);
    for (size_t i = 0; i < n_nodes; i++) {
        b->memo[i] = (nn_memo){NULL, {-1, -1, -1, -1}};
    }
    b->param_written = fl_xcalloc(nn_table_n(nn_graph_table(g)), sizeof *b->param_written);
    for (size_t v = 0; v < n; v++) {
        b->value[v] = b->grad[v] = b->reader[v] = b->producer[v] = -1;
    }
    find_wanted_gradients(b);
    find_readers(b);
    return b;
}

void nn_build_destroy(nn_build **bp)
{
    nn_build *b = *bp;

    if (b == NULL) {
        return;
    }
    free(b->value);
    free(b->grad);
    free(b->wants_grad);
    free(b->n_readers);
    free(b->reader);
    free(b->producer);
    free(b->forward_done);
    free(b->grad_done);
    free(b->memo);
    free(b->param_written);
    free(b->reordered);
    free(b->n_holders);
    FL_FREE(*bp);
}

static void blame_node(nn_build *b, const nn_node *node)
{
    if (is_broken(b)) {
        fl_wrap(&b->error, b->error.status, "node %.80s (%s)", node->name, node->op);
    }
}

void nn_build_forward(nn_build *b)
{
    for (size_t i = 0; i < nn_graph_n_nodes(b->g) && !is_broken(b); i++) {
        const nn_node *node = nn_graph_node(b->g, i);
        nn_op_find(node->op)->plan(b, node);
        blame_node(b, node);
    }
}

/*
 * Large weights are reordered once more where the backward pass wants the
 * forward pass's layout: held from one to the other, they would all lie beside
 * the activations when those are most.  A reorder costs as much as the weights
 * have bytes, their convolution as much as that by the pixels of a batch, so
 * in a large batch nobody notices it.
 */
enum { HELD_BYTES = 1 << 20, LARGE_BATCH = 64 };

static void forget_large_weights(nn_build *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n_reordered; i++) {
        const nn_layout *l = nn_steps_layout(b->steps, b->reordered[i].slot);
        if (nn_layout_bytes(l) <= HELD_BYTES || b->capacity < LARGE_BATCH) {
            b->reordered[n++] = b->reordered[i];
        }
    }
    b->n_reordered = n;
}

void nn_build_backward(nn_build *b)
{
    forget_large_weights(b);
    for (size_t i = nn_graph_n_nodes(b->g); i-- > 0 && !is_broken(b);) {
        const nn_node *node = nn_graph_node(b->g, i);
        nn_slot dy = b->grad[node->out[0]];
        if (dy < 0 || !b->wants_grad[node->out[0]]) {
            continue;
        }
        nn_op_find(node->op)->plan_grad(b, node);
        b->n_holders[nn_steps_root(b->steps, dy)]--;  // the output's gradient has done its work
        blame_node(b, node);
    }
}

bool nn_build_has_param_grad(const nn_build *b, size_t i)
{
    return b->param_written[i];
}

fl_status nn_build_status(const nn_build *b, fl_err *err)
{
    return is_broken(b)
               ? fl_fail(err, b->error.status, "model %s: %s", nn_graph_name(b->g), b->error.text)
               : FL_OK;
}

nn_dnnl *nn_build_dnnl(nn_build *b)
{
    return b->d;
}

bool nn_build_is_training(const nn_build *b)
{
    return b->training;
}

bool nn_build_is_dropping(const nn_build *b)
{
    return b->dropping;
}

void nn_build_fail(nn_build *b, fl_status status, const char *fmt, ...)
{
    char text[FL_ERR_TEXT];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!is_broken(b)) {
        fl_fail(&b->error, status, "%s", text);
    }
}

/* --------------------------------------------------------------- the graph */

void nn_build_dims(const nn_build *b, nn_value v, nn_shape *out)
{
    *out = *nn_graph_shape(b->g, v);
    if (out->rank > 0 && out->dim[0] == NN_BATCH) {
        out->dim[0] = b->capacity;
    }
}

bool nn_build_is_batch(const nn_build *b, nn_value v)
{
    const nn_shape *shape = nn_graph_shape(b->g, v);

    return shape->rank > 0 && shape->dim[0] == NN_BATCH;
}

bool nn_build_is_param(const nn_build *b, nn_value v)
{
    return nn_graph_param_index(b->g, v) >= 0;
}

bool nn_build_is_frozen(const nn_build *b, nn_value v)
{
    int64_t i = nn_graph_param_index(b->g, v);

    return i >= 0 && nn_table_at(nn_graph_table(b->g), (size_t)i)->kind == NN_FROZEN;
}

const nn_node *nn_build_sole_reader(const nn_build *b, nn_value v)
{
    return b->n_readers[v] == 1 && b->reader[v] >= 0 ? nn_graph_node(b->g, (size_t)b->reader[v])
                                                     : NULL;
}

const nn_node *nn_build_producer(const nn_build *b, nn_value v)
{
    return b->producer[v] >= 0 ? nn_graph_node(b->g, (size_t)b->producer[v]) : NULL;
}

void nn_build_mark_forward_done(nn_build *b, const nn_node *node)
{
    b->forward_done[b->producer[node->out[0]]] = true;
}

bool nn_build_is_forward_done(const nn_build *b, const nn_node *node)
{
    return b->forward_done[b->producer[node->out[0]]];
}

void nn_build_mark_grad_done(nn_build *b, const nn_node *node)
{
    b->grad_done[b->producer[node->out[0]]] = true;
}

bool nn_build_is_grad_done(const nn_build *b, const nn_node *node)
{
    return b->grad_done[b->producer[node->out[0]]];
}

nn_memo *nn_build_memo(nn_build *b, const nn_node *node)
{
    return &b->memo[b->producer[node->out[0]]];
}

bool nn_build_is_output(const nn_build *b, nn_value v)
{
    for (size_t i = 0; i < nn_graph_n_outputs(b->g); i++) {
        if (nn_graph_output_at(b->g, i) == v) {
            return true;
        }
    }
    return false;
}

bool nn_build_wants_grad(const nn_build *b, nn_value v)
{
    return v >= 0 && b->wants_grad[v];
}

/* ------------------------------------------------------------------- slots */

nn_slot nn_build_value(nn_build *b, nn_value v)
{
    if (is_broken(b)) {
        return -1;
    }
    int64_t i = nn_graph_param_index(b->g, v);
    if (b->value[v] < 0 && i >= 0) {
        const nn_param *p = nn_table_at(nn_graph_table(b->g), (size_t)i);
        const nn_layout *l = nn_layout_plain(b->d, p->shape.rank, p->shape.dim);
        b->value[v] = nn_steps_slot(b->steps, l, NN_HOME_PARAMS, p->offset);
    }
    FL_REQUIRE(b->value[v] >= 0);
    return b->value[v];
}

void nn_build_set_value(nn_build *b, nn_value v, nn_slot slot)
{
    b->value[v] = slot;
}

bool nn_build_has_value(const nn_build *b, nn_value v)
{
    return v >= 0 && b->value[v] >= 0;
}

static bool reads(const nn_node *node, nn_value v)
{
    for (size_t k = 0; k < node->n_in; k++) {
        if (node->in[k] == v) {
            return true;
        }
    }
    return false;
}

bool nn_build_may_overwrite(const nn_build *b, nn_slot slot, const nn_node *reader,
                            const nn_node *at)
{
    if (is_broken(b) || slot < 0 || nn_steps_home(b->steps, slot) != NN_HOME_ARENA ||
        nn_steps_is_pinned(b->steps, slot)) {
        return false;
    }
    for (nn_value v = 0; v < (nn_value)nn_graph_n_values(b->g); v++) {
        if (b->value[v] < 0 ||
            nn_steps_root(b->steps, b->value[v]) != nn_steps_root(b->steps, slot)) {
            continue;
        }
        for (size_t i = (size_t)b->producer[at->out[0]]; i < nn_graph_n_nodes(b->g); i++) {
            const nn_node *node = nn_graph_node(b->g, i);
            if (node != reader && reads(node, v)) {
                return false;
            }
        }
        if (nn_build_is_output(b, v)) {
            return false;
        }
    }
    return true;
}

nn_slot nn_build_slot(nn_build *b, const nn_layout *l)
{
    if (l == NULL && !is_broken(b)) {
        b->error = *nn_dnnl_error(b->d);
        FL_REQUIRE(is_broken(b));  // a primitive without the argument that was asked for
    }
    return is_broken(b) ? -1 : nn_steps_slot(b->steps, l, NN_HOME_ARENA, 0);
}

nn_slot nn_build_flat(nn_build *b, int64_t n)
{
    return nn_build_slot(b, nn_layout_plain(b->d, 1, &n));
}

nn_slot nn_build_view(nn_build *b, nn_slot slot, const nn_layout *l)
{
    return is_broken(b) ? -1 : nn_steps_view(b->steps, slot, l);
}

nn_slot nn_build_in_layout(nn_build *b, nn_slot slot, const nn_layout *l)
{
    if (is_broken(b) || slot < 0) {
        return -1;
    }
    if (l != NULL && nn_layout_equal(nn_steps_layout(b->steps, slot), l)) {
        return slot;
    }
    nn_slot out = nn_build_slot(b, l);
    if (out >= 0) {
        nn_build_prim(b, nn_dnnl_reorder(b->d, nn_steps_layout(b->steps, slot), l),
                      (nn_use[]){{NN_SRC, slot}, {NN_DST, out}}, 2);
    }
    return out;
}

nn_slot nn_build_in_plan_type(nn_build *b, nn_slot slot)
{
    const nn_layout *l = nn_build_layout(b, slot);

    return l == NULL ? -1
                     : nn_build_in_layout(b, slot, nn_layout_typed(b->d, l, nn_dnnl_type(b->d)));
}

nn_slot nn_build_in_plain(nn_build *b, nn_slot slot, const nn_shape *dims)
{
    return nn_build_in_layout(b, slot, nn_layout_plain(b->d, dims->rank, dims->dim));
}

nn_slot nn_build_in_rows(nn_build *b, nn_slot slot, const nn_shape *dims)
{
    if (is_broken(b) || slot < 0) {
        return -1;
    }
    const nn_layout *plain = nn_layout_plain(b->d, dims->rank, dims->dim);
    nn_type type = nn_layout_type(nn_steps_layout(b->steps, slot));
    return nn_build_in_layout(b, slot, nn_layout_typed(b->d, plain, type));
}

nn_slot nn_build_in_float(nn_build *b, nn_slot slot)
{
    if (is_broken(b) || slot < 0) {
        return -1;
    }
    const nn_layout *l = nn_steps_layout(b->steps, slot);
    return nn_build_in_layout(b, slot, nn_layout_typed(b->d, l, NN_TYPE_F32));
}

/* Numbers of the graph may stand where a parameter does; nobody trains them. */
static bool is_constant(const nn_build *b, nn_value v)
{
    const nn_node *node = nn_build_producer(b, v);

    return node != NULL && strcmp(node->op, "Constant") == 0;
}

nn_slot nn_build_param(nn_build *b, nn_value v, const nn_layout *plain, const nn_layout *wanted)
{
    if (is_broken(b)) {
        return -1;
    }
    if (nn_graph_param_index(b->g, v) < 0 && is_constant(b, v)) {
        return nn_build_in_layout(b, nn_build_view(b, nn_build_value(b, v), plain), wanted);
    }
    if (nn_graph_param_index(b->g, v) < 0) {
        nn_build_fail(b, FL_EUNSUPPORTED, "%s must be a parameter, not computed",
                      nn_graph_value_name(b->g, v));
        return -1;
    }
    for (size_t i = 0; i < b->n_reordered; i++) {  // forward and backward often want the same
        nn_slot slot = b->reordered[i].slot;
        if (b->reordered[i].v == v && wanted != NULL &&
            nn_layout_equal(nn_steps_layout(b->steps, slot), wanted)) {
            return slot;
        }
    }
    nn_slot slot = nn_build_in_layout(b, nn_build_view(b, nn_build_value(b, v), plain), wanted);
    if (slot >= 0) {
        b->reordered = fl_xrealloc(b->reordered, b->n_reordered + 1, sizeof *b->reordered);
        b->reordered[b->n_reordered].v = v;
        b->reordered[b->n_reordered++].slot = slot;
    }
    return slot;
}

const nn_layout *nn_build_layout(nn_build *b, nn_slot slot)
{
    return is_broken(b) || slot < 0 ? NULL : nn_steps_layout(b->steps, slot);
}

/* --------------------------------------------------------------- gradients */

nn_slot nn_build_grad(nn_build *b, nn_value v)
{
    return b->grad[v];
}

/* The count of values whose gradient lies in slot's memory. */
static int *holders(nn_build *b, nn_slot slot)
{
    size_t root = (size_t)nn_steps_root(b->steps, slot), n = b->cap_holders;

    if (root >= n) {
        b->cap_holders = 2 * root + 64;
        b->n_holders = fl_xrealloc(b->n_holders, b->cap_holders, sizeof *b->n_holders);
        memset(b->n_holders + n, 0, (b->cap_holders - n) * sizeof *b->n_holders);
    }
    return &b->n_holders[root];
}

bool nn_build_owns_grad(const nn_build *b, nn_slot slot)
{
    return slot >= 0 && *holders((nn_build *)b, slot) <= 1;
}

static nn_slot grad_vector_slot(nn_build *b, nn_value v, const nn_layout *plain)
{
    const nn_param *p = nn_table_at(nn_graph_table(b->g), (size_t)nn_graph_param_index(b->g, v));

    return nn_steps_slot(b->steps, plain, NN_HOME_GRAD, p->offset);
}

nn_slot nn_build_param_grad(nn_build *b, nn_value v, const nn_layout *plain, const nn_layout *l)
{
    if (is_broken(b)) {
        return -1;
    }
    int64_t i = nn_graph_param_index(b->g, v);
    bool is_first = i >= 0 && !b->param_written[i];
    if (is_first && nn_build_wants_grad(b, v) && l != NULL && nn_layout_equal(plain, l)) {
        return grad_vector_slot(b, v, plain);
    }
    return nn_build_slot(b, l);
}

static void add_kernel(const nn_call *call)
{
    nn_vec_axpy(call->data[0], 1, call->data[1], *(const int64_t *)call->spec);
}

void nn_build_param_grad_done(nn_build *b, nn_value v, const nn_layout *plain, nn_slot slot)
{
    if (is_broken(b) || slot < 0 || !nn_build_wants_grad(b, v)) {
        return;
    }
    bool *written = &b->param_written[nn_graph_param_index(b->g, v)];
    if (nn_steps_home(b->steps, slot) != NN_HOME_GRAD) {
        nn_slot total = grad_vector_slot(b, v, plain);
        if (*written) {  // a parameter that is used twice
            int64_t n = nn_table_at(nn_graph_table(b->g), (size_t)nn_graph_param_index(b->g, v))
                            ->count;
            nn_slot more = nn_build_in_layout(b, slot, plain);
            nn_build_kernel(b, add_kernel, (nn_use[]){{0, total}, {0, more}}, 2, &n, sizeof n);
        } else {
            nn_build_prim(b, nn_dnnl_reorder(b->d, nn_steps_layout(b->steps, slot), plain),
                          (nn_use[]){{NN_SRC, slot}, {NN_DST, total}}, 2);
        }
    }
    *written = true;
}

void nn_build_add_grad(nn_build *b, nn_value v, nn_slot slot)
{
    if (is_broken(b) || !b->wants_grad[v]) {
        return;
    }
    nn_slot so_far = b->grad[v];
    if (nn_build_is_param(b, v)) {  // a parameter where an activation is usual
        const nn_shape *shape = nn_graph_shape(b->g, v);
        const nn_layout *plain = nn_layout_plain(b->d, shape->rank, shape->dim);
        nn_build_param_grad_done(b, v, plain, slot);
        return;
    }
    if (so_far < 0) {
        b->grad[v] = slot;
        ++*holders(b, slot);
        return;
    }
    const nn_layout *l = nn_steps_layout(b->steps, so_far);
    nn_slot other = nn_build_in_layout(b, slot, l);
    nn_slot sum = nn_build_owns_grad(b, so_far) ? so_far : nn_build_slot(b, l);
    nn_build_prim(b, nn_dnnl_add(b->d, l, l, l, false),
                  (nn_use[]){{NN_SRC, so_far}, {NN_SRC_1, other}, {NN_DST, sum}}, 3);
    if (sum != so_far && !is_broken(b)) {
        --*holders(b, so_far);
        ++*holders(b, sum);
        b->grad[v] = sum;
    }
}

/* ------------------------------------------------------------------- steps */

void nn_build_prim(nn_build *b, nn_prim *prim, const nn_use *uses, size_t n)
{
    nn_use all[NN_MAX_STEP_SLOTS];
    size_t n_all = 0;

    if (is_broken(b)) {
        return;
    }
    if (prim == NULL) {
        b->error = *nn_dnnl_error(b->d);
        FL_REQUIRE(is_broken(b));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (uses[i].slot >= 0) {
            all[n_all++] = uses[i];
        }
    }
    const nn_layout *scratchpad = nn_prim_layout(prim, NN_SCRATCHPAD);
    if (scratchpad != NULL) {
        all[n_all++] = (nn_use){NN_SCRATCHPAD,
                                nn_steps_slot(b->steps, scratchpad, NN_HOME_ARENA, 0)};
    }
    nn_steps_add_prim(b->steps, prim, all, n_all);
}

void nn_build_typed_kernel(nn_build *b, nn_kernel kernel, const nn_use *uses, size_t n,
                           const void *spec, size_t spec_bytes)
{
    if (!is_broken(b)) {
        nn_steps_add_kernel(b->steps, kernel, uses, n, spec, spec_bytes);
    }
}

void nn_build_kernel(nn_build *b, nn_kernel kernel, const nn_use *uses, size_t n, const void *spec,
                     size_t spec_bytes)
{
    for (size_t i = 0; !is_broken(b) && i < n; i++) {
        FL_REQUIRE(uses[i].slot < 0 ||
                   nn_layout_type(nn_steps_layout(b->steps, uses[i].slot)) == NN_TYPE_F32);
    }
    nn_build_typed_kernel(b, kernel, uses, n, spec, spec_bytes);
}
