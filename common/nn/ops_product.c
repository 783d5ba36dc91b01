/*
 * ops_product.c - Gemm and MatMul in all generality: stacks of matrices that
 * are broadcast to each other, either side computed or a parameter, transposed,
 * scaled, with a bias of any shape
 *
 * The matrices are OpenBLAS's.  A dense layer on rows of features, the usual
 * case, goes another way (ops_math.c).
 */
#include <string.h>

#include "base/mem.h"
#include "nn/blas.h"
#include "nn/ops.h"

/* ------------------------------------------------------------------- shapes */

/* A vector is a matrix of one row on the left, of one column on the right. */
static nn_shape as_matrix(const nn_shape *s, bool is_left)
{
    return s->rank != 1 ? *s
           : is_left    ? (nn_shape){2, {1, s->dim[0]}}
                        : (nn_shape){2, {s->dim[0], 1}};
}

static nn_shape without_matrix(const nn_shape *s)
{
    nn_shape stack = *s;

    stack.rank -= 2;
    return stack;
}

static fl_status fail_product(const nn_node *node, const nn_shape *a, const nn_shape *b,
                              fl_err *err)
{
    char text_a[128], text_b[128];

    nn_shape_text(text_a, sizeof text_a, a);
    nn_shape_text(text_b, sizeof text_b, b);
    return fl_fail(err, FL_ECONFIG, "cannot multiply %s%s by %s%s", text_a,
                   nn_node_int(node, "transA", 0) != 0 ? " transposed" : "", text_b,
                   nn_node_int(node, "transB", 0) != 0 ? " transposed" : "");
}

fl_status nn_product_of(nn_product *p, nn_shape *out, const nn_node *node, const nn_shape *in_a,
                        const nn_shape *in_b, fl_err *err)
{
    nn_shape a = as_matrix(in_a, true), b = as_matrix(in_b, false);

    if (in_a->rank < 1 || in_b->rank < 1) {
        return fail_product(node, in_a, in_b, err);
    }
    *p = (nn_product){.trans_a = nn_node_int(node, "transA", 0) != 0,
                      .trans_b = nn_node_int(node, "transB", 0) != 0,
                      .alpha = (float)nn_node_float(node, "alpha", 1),
                      .beta = (float)nn_node_float(node, "beta", 1)};
    p->M = a.dim[p->trans_a ? a.rank - 1 : a.rank - 2];
    p->K = a.dim[p->trans_a ? a.rank - 2 : a.rank - 1];
    p->N = b.dim[p->trans_b ? b.rank - 2 : b.rank - 1];
    int64_t inner = b.dim[p->trans_b ? b.rank - 1 : b.rank - 2];
    p->stack_a = without_matrix(&a);
    p->stack_b = without_matrix(&b);
    if (p->K != inner || p->K < 1 || p->N < 1 || (p->trans_a && p->M < 1) ||
        nn_shape_broadcast(&p->stack, &p->stack_a, &p->stack_b, NULL) != FL_OK ||
        (p->M < 1 && p->stack.rank > 0)) {
        return fail_product(node, in_a, in_b, err);
    }
    *out = p->stack;
    if (in_a->rank > 1) {
        out->dim[out->rank++] = p->M;
    }
    if (in_b->rank > 1) {
        out->dim[out->rank++] = p->N;
    }
    for (int d = 1; d < p->stack.rank; d++) {
        if (p->stack.dim[d] == NN_BATCH) {
            return fl_fail(err, FL_EUNSUPPORTED, "the batch must stay the first dimension");
        }
    }
    return FL_OK;
}

/* Product number i takes this matrix of a stack. */
int64_t nn_product_at(const nn_product *p, const nn_shape *stack, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int d = 1; d <= p->stack.rank; d++) {
        int64_t dim = p->stack.dim[p->stack.rank - d], place = i % dim;
        i /= dim;
        if (d <= stack->rank) {
            at += stack->dim[stack->rank - d] == 1 ? 0 : place * step;
            step *= stack->dim[stack->rank - d];
        }
    }
    return at;
}

fl_status nn_product_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                           fl_err *err)
{
    nn_product p;
    nn_shape with_bias;
    bool is_gemm = strcmp(node->op, "Gemm") == 0;

    if (is_gemm && (in[0]->rank != 2 || in[1]->rank != 2)) {
        return fail_product(node, in[0], in[1], err);
    }
    fl_status st = nn_product_of(&p, out, node, in[0], in[1], err);
    if (st != FL_OK || !is_gemm || in[2] == NULL) {
        return st;
    }
    if (nn_shape_broadcast(&with_bias, out, in[2], NULL) != FL_OK ||
        !nn_shape_equal(&with_bias, out)) {
        return fl_fail(err, FL_ECONFIG, "the bias must fit %lld numbers", (long long)p.N);
    }
    return FL_OK;
}

/* -------------------------------------------------------------------- steps */

typedef struct {
    nn_product p;
    int64_t n;  // products
} product_spec;

static product_spec spec_of(nn_build *b, const nn_node *node)
{
    nn_shape a, w, out;
    product_spec s;

    nn_build_dims(b, node->in[0], &a);
    nn_build_dims(b, node->in[1], &w);
    FL_REQUIRE(nn_product_of(&s.p, &out, node, &a, &w, NULL) == FL_OK);
    s.n = nn_shape_count(&s.p.stack, 1);
    if (nn_shape_count(&s.p.stack_b, 1) == 1 && !s.p.trans_a) {  // one matrix for all rows
        s.p.M *= s.n;
        s.n = 1;
        s.p.stack = s.p.stack_a = s.p.stack_b = (nn_shape){0};
    }
    return s;
}

/* y = alpha op(a) op(b).  data: a b y */
static void multiply(const nn_call *call)
{
    const product_spec *s = call->spec;
    const nn_product *p = &s->p;

    for (int64_t i = 0; i < s->n; i++) {
        const float *a = call->data[0] + nn_product_at(p, &p->stack_a, i) * p->M * p->K;
        const float *b = call->data[1] + nn_product_at(p, &p->stack_b, i) * p->K * p->N;
        nn_blas_product(call->data[2] + i * p->M * p->N, a, b, p->M, p->N, p->K, p->trans_a,
                        p->trans_b, p->alpha, 0);
    }
}

/* da = alpha dy op(b)', added up where a is broadcast.  data: b dy da */
static void multiply_by_a(const nn_call *call)
{
    const product_spec *s = call->spec;
    const nn_product *p = &s->p;

    nn_vec_zero(call->data[2], nn_shape_count(&p->stack_a, 1) * p->M * p->K);
    for (int64_t i = 0; i < s->n; i++) {
        const float *b = call->data[0] + nn_product_at(p, &p->stack_b, i) * p->K * p->N;
        const float *dy = call->data[1] + i * p->M * p->N;
        float *da = call->data[2] + nn_product_at(p, &p->stack_a, i) * p->M * p->K;
        if (p->trans_a) {
            nn_blas_product(da, b, dy, p->K, p->M, p->N, p->trans_b, true, p->alpha, 1);
        } else {
            nn_blas_product(da, dy, b, p->M, p->K, p->N, false, !p->trans_b, p->alpha, 1);
        }
    }
}

/* db = alpha op(a)' dy, added up where b is broadcast.  data: a dy db */
static void multiply_by_b(const nn_call *call)
{
    const product_spec *s = call->spec;
    const nn_product *p = &s->p;

    nn_vec_zero(call->data[2], nn_shape_count(&p->stack_b, 1) * p->K * p->N);
    for (int64_t i = 0; i < s->n; i++) {
        const float *a = call->data[0] + nn_product_at(p, &p->stack_a, i) * p->M * p->K;
        const float *dy = call->data[1] + i * p->M * p->N;
        float *db = call->data[2] + nn_product_at(p, &p->stack_b, i) * p->K * p->N;
        if (p->trans_b) {
            nn_blas_product(db, dy, a, p->N, p->K, p->M, true, p->trans_a, p->alpha, 1);
        } else {
            nn_blas_product(db, a, dy, p->K, p->N, p->M, !p->trans_a, false, p->alpha, 1);
        }
    }
}

/* The bias of a Gemm, (M, N) or broadcast to it. */
typedef struct {
    int64_t M, N, step_m, step_n;
    float beta;
} bias_spec;

/* y += beta bias.  data: bias y */
static void add_bias(const nn_call *call)
{
    const bias_spec *s = call->spec;

    for (int64_t m = 0; m < s->M; m++) {
        for (int64_t n = 0; n < s->N; n++) {
            call->data[1][m * s->N + n] += s->beta * call->data[0][m * s->step_m + n * s->step_n];
        }
    }
}

/* scaled = beta dy.  data: dy scaled */
static void scale(const nn_call *call)
{
    const bias_spec *s = call->spec;

    nn_vec_copy(call->data[1], call->data[0], s->M * s->N);
    nn_vec_scale(call->data[1], s->beta, s->M * s->N);
}

static bias_spec bias_spec_of(nn_build *b, const nn_node *node)
{
    nn_shape bias, out;

    nn_build_dims(b, node->in[2], &bias);
    nn_build_dims(b, node->out[0], &out);
    int64_t columns = bias.rank > 0 ? bias.dim[bias.rank - 1] : 1;
    int64_t rows = bias.rank > 1 ? bias.dim[0] : 1;
    return (bias_spec){out.dim[0], out.dim[1], rows == 1 ? 0 : columns, columns == 1 ? 0 : 1,
                       (float)nn_node_float(node, "beta", 1)};
}

static bool has_bias(const nn_node *node)
{
    return node->n_in > 2 && node->in[2] >= 0;
}

void nn_product_plan(nn_build *b, const nn_node *node)
{
    product_spec s = spec_of(b, node);
    nn_slot x = nn_plain_value(b, node->in[0]), w = nn_plain_value(b, node->in[1]);
    nn_slot y = nn_plain_slot(b, node->out[0]);

    nn_build_kernel(b, multiply, (nn_use[]){{NN_SRC, x}, {NN_SRC_1, w}, {NN_DST, y}}, 3, &s,
                    sizeof s);
    if (has_bias(node)) {
        bias_spec bias = bias_spec_of(b, node);
        nn_build_kernel(b, add_bias,
                        (nn_use[]){{NN_SRC, nn_plain_value(b, node->in[2])}, {NN_DST, y}}, 2, &bias,
                        sizeof bias);
    }
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){NULL, {x, w, -1, -1}};
}

void nn_product_plan_grad(nn_build *b, const nn_node *node)
{
    static const nn_kernel kernels[] = {multiply_by_a, multiply_by_b};
    product_spec s = spec_of(b, node);
    nn_memo memo = *nn_build_memo(b, node);
    nn_slot dy = nn_plain_grad(b, node->out[0]);
    nn_shape out;

    for (int k = 0; k < 2; k++) {
        if (nn_build_wants_grad(b, node->in[k])) {
            nn_slot dx = nn_plain_slot(b, node->in[k]);
            nn_build_kernel(
                b, kernels[k],
                (nn_use[]){{NN_SRC, memo.slot[1 - k]}, {NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 3, &s,
                sizeof s);
            nn_build_add_grad(b, node->in[k], dx);
        }
    }
    if (!has_bias(node) || !nn_build_wants_grad(b, node->in[2])) {
        return;
    }
    bias_spec bias = bias_spec_of(b, node);
    if (bias.beta != 1) {
        nn_slot scaled = nn_plain_slot(b, node->out[0]);
        nn_build_kernel(b, scale, (nn_use[]){{NN_DIFF_DST, dy}, {NN_DIFF_SRC, scaled}}, 2, &bias,
                        sizeof bias);
        dy = scaled;
    }
    nn_build_dims(b, node->out[0], &out);
    nn_summed_grad(b, node->in[2], dy, &out);
}
