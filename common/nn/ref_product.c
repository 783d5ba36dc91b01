/*
 * ref_product.c - matrix products by their definition; see ref.h
 */
#include "nn/ops.h"
#include "nn/ref_ops.h"

typedef nn_ref_call call;

/*
 * y[i,m,n] = alpha sum over k of op(a)[i,m,k] op(b)[i,k,n] + beta bias[m,n]
 * for every product i of the stack; op transposes when asked.
 */
static void product(const call *c, bool backward)
{
    nn_product p;
    nn_shape out;

    FL_REQUIRE(nn_product_of(&p, &out, c->node, c->in_shape[0], c->in_shape[1], NULL) == FL_OK);
    int64_t n_products = nn_shape_count(&p.stack, 1);
    for (int64_t y = 0; y < n_products * p.M * p.N; y++) {
        int64_t i = y / (p.M * p.N), m = y / p.N % p.M, n = y % p.N;
        int64_t from_a = nn_product_at(&p, &p.stack_a, i) * p.M * p.K;
        int64_t from_b = nn_product_at(&p, &p.stack_b, i) * p.K * p.N;
        int64_t at = c->in[2] != NULL ? nn_ref_broadcast_index(c->out_shape, c->in_shape[2], y) : 0;
        double sum = 0;
        for (int64_t k = 0; k < p.K; k++) {
            int64_t a = from_a + (p.trans_a ? k * p.M + m : m * p.K + k);
            int64_t b = from_b + (p.trans_b ? n * p.K + k : k * p.N + n);
            sum += c->in[0][a] * c->in[1][b];
            if (backward) {
                c->din[0][a] += (double)p.alpha * c->dout[y] * c->in[1][b];
                c->din[1][b] += (double)p.alpha * c->dout[y] * c->in[0][a];
            }
        }
        if (!backward) {
            c->out[y] = (double)p.alpha * sum +
                        (c->in[2] != NULL ? (double)p.beta * c->in[2][at] : 0);
        } else if (c->in[2] != NULL) {
            c->din[2][at] += (double)p.beta * c->dout[y];
        }
    }
}

static void product_forward(const call *c)
{
    product(c, false);
}

static void product_backward(const call *c)
{
    product(c, true);
}

const nn_ref_op nn_ref_product[] = {
    {"Gemm", product_forward, product_backward},
    {"MatMul", product_forward, product_backward},
    {0},
};
