/*
 * ops_math.c - matrix products and functions of each number
 */
#include <string.h>

#include "nn/ops.h"

static fl_status same_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                            fl_err *err)
{
    (void)node;
    (void)err;
    *out = *in[0];
    return FL_OK;
}

/* ---------------------------------------------------------- Gemm and MatMul */

/* Rows of features times a matrix of weights, with a bias or without: what
 * oneDNN does; ops_product.c does the others. */
static bool is_dense(const nn_build *b, const nn_node *node)
{
    nn_shape x, weight, bias;
    bool has_bias = node->n_in > 2 && node->in[2] >= 0;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->in[1], &weight);
    if (has_bias) {
        nn_build_dims(b, node->in[2], &bias);
    }
    return x.rank == 2 && weight.rank == 2 && nn_build_is_param(b, node->in[1]) &&
           nn_node_int(node, "transA", 0) == 0 && nn_node_float(node, "alpha", 1) == 1 &&
           (!has_bias || (bias.rank == 1 && nn_build_is_param(b, node->in[2]) &&
                          bias.dim[0] == weight.dim[nn_node_int(node, "transB", 0) != 0 ? 0 : 1] &&
                          nn_node_float(node, "beta", 1) == 1));
}

static int64_t product_macs(const nn_node *node, const nn_shape *out, const nn_shape *const *in)
{
    int64_t K = in[0]->dim[nn_node_int(node, "transA", 0) != 0 ? 0 : in[0]->rank - 1];
    int64_t macs;

    return __builtin_mul_overflow(nn_shape_count(out, 1), K, &macs) ? INT64_MAX : macs;
}

/*
 * A few thousand multiplications are done before oneDNN has looked at its
 * arguments: logistic regression on 13 features takes this way.
 */
enum { SMALL_PRODUCT = 16384 };

typedef struct {
    nn_dense_spec dense;
    bool is_small;            // done by a kernel of ours
    nn_type type;             // of x and y
    bool transposed;          // W is stored as (K, C)
    const nn_layout *weight;  // W as it lies in the parameters, taken as (K, C)
    const nn_layout *bias;
} product;

static product product_of(nn_build *b, const nn_node *node)
{
    static const int as_is[] = {0, 1}, swapped[] = {1, 0};
    product p = {0};
    nn_shape x, y;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->out[0], &y);
    p.dense = (nn_dense_spec){
        .N = x.dim[0], .C = x.dim[1], .K = y.dim[1], .bias = node->n_in > 2 && node->in[2] >= 0};
    p.transposed = strcmp(node->op, "Gemm") == 0 && nn_node_int(node, "transB", 0) != 0;
    p.weight = nn_layout_permuted(nn_build_dnnl(b), 2, (int64_t[]){p.dense.K, p.dense.C},
                                  p.transposed ? as_is : swapped);
    p.bias = nn_layout_plain(nn_build_dnnl(b), 1, &p.dense.K);
    p.is_small = p.transposed && p.dense.N * p.dense.C * p.dense.K <= SMALL_PRODUCT;
    p.type = p.is_small ? NN_TYPE_F32 : nn_dnnl_type(nn_build_dnnl(b));
    return p;
}

/* A matrix of rows of the product's type. */
static const nn_layout *product_layout(nn_build *b, const product *p, int64_t n_columns)
{
    nn_dnnl *d = nn_build_dnnl(b);

    return nn_layout_typed(d, nn_layout_plain(d, 2, (int64_t[]){p->dense.N, n_columns}), p->type);
}

/* The primitive, or NULL where a kernel of ours takes its place.  Only bfloat16,
 * which is a copy anyway, is packed as the primitive likes it best. */
static nn_prim *product_prim(nn_build *b, const product *p, nn_pass pass, const nn_prim *hint)
{
    return p->is_small ? NULL
                       : nn_dnnl_dense(nn_build_dnnl(b), &p->dense, pass,
                                       p->type == NN_TYPE_F32 ? p->weight : NULL, hint);
}

/* The layout of W or its gradient. */
static const nn_layout *product_weight(const product *p, const nn_prim *prim, nn_arg arg)
{
    return p->is_small ? p->weight : nn_prim_layout(prim, arg);
}

/* a . b in four partial sums, in a fixed order. */
static float dot(const float *a, const float *b, int64_t n)
{
    float sum[4] = {0};
    int64_t i = 0;

    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            sum[k] += a[i + k] * b[i + k];
        }
    }
    for (; i < n; i++) {
        sum[0] += a[i] * b[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* y[n,k] = x[n,:] . W[k,:] + b[k], then ReLU if wanted.  data: x W b y */
static void small_product(const nn_call *call)
{
    const nn_dense_spec *s = call->spec;
    const float *x = call->data[0], *W = call->data[1], *bias = call->data[2];
    float *y = call->data[3];

    for (int64_t n = 0; n < s->N; n++) {
        for (int64_t k = 0; k < s->K; k++) {
            float sum = dot(x + n * s->C, W + k * s->C, s->C) + (bias != NULL ? bias[k] : 0);
            y[n * s->K + k] = s->relu && sum < 0 ? 0 : sum;
        }
    }
}

/* dW[k,:] = sum over n of dy[n,k] x[n,:];  db[k] = sum over n of dy[n,k].
 * data: x dy dW db */
static void small_product_weight_grad(const nn_call *call)
{
    const nn_dense_spec *s = call->spec;
    const float *x = call->data[0], *dy = call->data[1];
    float *dW = call->data[2], *db = call->data[3];

    for (int64_t k = 0; k < s->K; k++) {
        float *row = dW + k * s->C, sum = 0;
        for (int64_t c = 0; c < s->C; c++) {
            row[c] = 0;
        }
        for (int64_t n = 0; n < s->N; n++) {
            float g = dy[n * s->K + k];
            for (int64_t c = 0; c < s->C; c++) {
                row[c] += g * x[n * s->C + c];
            }
            sum += g;
        }
        if (db != NULL) {
            db[k] = sum;
        }
    }
}

/* dx[n,:] = sum over k of dy[n,k] W[k,:].  data: dy W dx */
static void small_product_data_grad(const nn_call *call)
{
    const nn_dense_spec *s = call->spec;
    const float *dy = call->data[0], *W = call->data[1];
    float *dx = call->data[2];

    for (int64_t n = 0; n < s->N; n++) {
        float *row = dx + n * s->C;
        for (int64_t c = 0; c < s->C; c++) {
            row[c] = 0;
        }
        for (int64_t k = 0; k < s->K; k++) {
            float g = dy[n * s->K + k];
            for (int64_t c = 0; c < s->C; c++) {
                row[c] += g * W[k * s->C + c];
            }
        }
    }
}

/* A kernel of ours, or the primitive when it is given one. */
static void product_step(nn_build *b, const product *p, nn_prim *prim, nn_kernel kernel,
                         const nn_use *uses, size_t n)
{
    if (p->is_small) {
        nn_build_kernel(b, kernel, uses, n, &p->dense, sizeof p->dense);
    } else {
        nn_build_prim(b, prim, uses, n);
    }
}

static void product_plan(nn_build *b, const nn_node *node)
{
    if (!is_dense(b, node)) {
        nn_product_plan(b, node);
        return;
    }
    product p = product_of(b, node);
    nn_pass pass = nn_build_is_training(b) ? NN_PASS_TRAIN : NN_PASS_INFER;
    const nn_node *reader = nn_build_sole_reader(b, node->out[0]);

    p.dense.relu = reader != NULL && strcmp(reader->op, "Relu") == 0;
    p.dense.f32_dst = nn_build_is_output(b, p.dense.relu ? reader->out[0] : node->out[0]);
    nn_prim *prim = product_prim(b, &p, pass, NULL);
    nn_slot x = nn_build_in_layout(b, nn_build_value(b, node->in[0]),
                                   product_layout(b, &p, p.dense.C));
    nn_slot weights = nn_build_param(b, node->in[1], p.weight,
                                     product_weight(&p, prim, NN_WEIGHTS));
    nn_slot bias = p.dense.bias ? nn_build_param(b, node->in[2], p.bias, p.bias) : -1;
    nn_slot y = nn_build_slot(b, p.is_small ? product_layout(b, &p, p.dense.K)
                                            : nn_prim_layout(prim, NN_DST));
    product_step(b, &p, prim, small_product,
                 (nn_use[]){{NN_SRC, x}, {NN_WEIGHTS, weights}, {NN_BIAS_ARG, bias}, {NN_DST, y}},
                 4);
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){prim, {x, -1, -1, -1}};
    if (p.dense.relu) {
        nn_build_mark_forward_done(b, reader);
    }
}

static void product_plan_weight_grad(nn_build *b, const nn_node *node, const product *p, nn_slot dy)
{
    const nn_memo *memo = nn_build_memo(b, node);
    nn_prim *prim = product_prim(b, p, NN_PASS_WEIGHT_GRAD, memo->prim);
    nn_slot dW = nn_build_param_grad(b, node->in[1], p->weight,
                                     product_weight(p, prim, NN_DIFF_WEIGHTS));
    nn_slot db = p->dense.bias ? nn_build_param_grad(b, node->in[2], p->bias, p->bias) : -1;

    product_step(
        b, p, prim, small_product_weight_grad,
        (nn_use[]){
            {NN_SRC, memo->slot[0]}, {NN_DIFF_DST, dy}, {NN_DIFF_WEIGHTS, dW}, {NN_DIFF_BIAS, db}},
        4);
    nn_build_param_grad_done(b, node->in[1], p->weight, dW);
    if (p->dense.bias) {
        nn_build_param_grad_done(b, node->in[2], p->bias, db);
    }
}

static void product_plan_grad(nn_build *b, const nn_node *node)
{
    if (!is_dense(b, node)) {
        nn_product_plan_grad(b, node);
        return;
    }
    product p = product_of(b, node);
    const nn_memo *memo = nn_build_memo(b, node);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    product_layout(b, &p, p.dense.K));

    product_plan_weight_grad(b, node, &p, dy);
    if (!nn_build_wants_grad(b, node->in[0])) {
        return;
    }
    nn_prim *prim = product_prim(b, &p, NN_PASS_DATA_GRAD, memo->prim);
    nn_slot weights = nn_build_param(b, node->in[1], p.weight,
                                     product_weight(&p, prim, NN_WEIGHTS));
    nn_slot dx = nn_build_slot(b, product_layout(b, &p, p.dense.C));
    product_step(b, &p, prim, small_product_data_grad,
                 (nn_use[]){{NN_DIFF_DST, dy}, {NN_WEIGHTS, weights}, {NN_DIFF_SRC, dx}}, 3);
    nn_build_add_grad(b, node->in[0], dx);
}

/* ------------------------------------------------- functions of one number */

static nn_function function_of(const nn_node *node)
{
    return strcmp(node->op, "Relu") == 0 ? NN_RELU : NN_SIGMOID;
}

/* Whether y may be written over x: nobody else needs x, in training not even the
 * reverse step of the node that made it. */
static bool may_be_in_place(nn_build *b, const nn_node *node, nn_slot x)
{
    const nn_node *producer = nn_build_producer(b, node->in[0]);
    bool is_kept = nn_build_is_training(b) &&
                   (producer == NULL || strcmp(producer->op, "Add") != 0);

    return !is_kept && nn_build_sole_reader(b, node->in[0]) == node &&
           nn_build_may_overwrite(b, x, node, node);
}

static void map_plan(nn_build *b, const nn_node *node)
{
    nn_slot x = nn_build_value(b, node->in[0]);

    if (nn_build_is_forward_done(b, node)) {
        nn_build_set_value(b, node->out[0], x);
        return;
    }
    const nn_layout *l = nn_build_layout(b, x);
    nn_slot y = may_be_in_place(b, node, x) ? x : nn_build_slot(b, l);
    nn_build_prim(b, nn_dnnl_map(nn_build_dnnl(b), function_of(node), NN_PASS_TRAIN, l, NULL),
                  (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2);
    nn_build_set_value(b, node->out[0], y);
}

/* The gradient of each of them follows from y alone, so x need not be kept. */
static void map_plan_grad(nn_build *b, const nn_node *node)
{
    nn_slot y = nn_build_value(b, node->out[0]), dy = nn_build_grad(b, node->out[0]);

    if (nn_build_is_grad_done(b, node)) {
        nn_build_add_grad(b, node->in[0], dy);
        return;
    }
    const nn_layout *l = nn_build_layout(b, y);
    dy = nn_build_in_layout(b, dy, l);
    nn_slot dx = nn_build_owns_grad(b, dy) ? dy : nn_build_slot(b, l);
    nn_prim *hint = nn_dnnl_map(nn_build_dnnl(b), function_of(node), NN_PASS_TRAIN, l, NULL);
    nn_build_prim(b, nn_dnnl_map(nn_build_dnnl(b), function_of(node), NN_PASS_DATA_GRAD, l, hint),
                  (nn_use[]){{NN_DST, y}, {NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 3);
    nn_build_add_grad(b, node->in[0], dx);
}

/* ---------------------------------------------------------------- Softmax */

static int softmax_axis(const nn_node *node, int rank)
{
    int64_t axis = nn_node_int(node, "axis", -1);

    return (int)(axis < 0 ? axis + rank : axis);
}

static fl_status softmax_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                               fl_err *err)
{
    int axis = softmax_axis(node, in[0]->rank);

    if (axis < 0 || axis >= in[0]->rank || in[0]->dim[axis] == NN_BATCH) {
        return fl_fail(err, FL_ECONFIG, "axis must be a dimension behind the batch");
    }
    *out = *in[0];
    return FL_OK;
}

static void softmax_plan(nn_build *b, const nn_node *node)
{
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    nn_slot x = nn_build_in_plain(b, nn_build_value(b, node->in[0]), &dims);
    const nn_layout *l = nn_build_layout(b, x);
    nn_slot y = nn_build_slot(b, l);
    nn_prim *prim = nn_dnnl_softmax(nn_build_dnnl(b), softmax_axis(node, dims.rank), NN_PASS_TRAIN,
                                    l, NULL);
    nn_build_prim(b, prim, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2);
    nn_build_set_value(b, node->out[0], y);
    nn_build_memo(b, node)->prim = prim;
}

static void softmax_plan_grad(nn_build *b, const nn_node *node)
{
    nn_shape dims;
    nn_slot y = nn_build_value(b, node->out[0]);
    const nn_layout *l = nn_build_layout(b, y);

    nn_build_dims(b, node->in[0], &dims);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]), l);
    nn_slot dx = nn_build_slot(b, l);
    nn_prim *prim = nn_dnnl_softmax(nn_build_dnnl(b), softmax_axis(node, dims.rank),
                                    NN_PASS_DATA_GRAD, l, nn_build_memo(b, node)->prim);
    nn_build_prim(b, prim, (nn_use[]){{NN_DST, y}, {NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 3);
    nn_build_add_grad(b, node->in[0], dx);
}

/* -------------------------------------------------------------------- Add */

/* v's dimensions with ones in front, up to the rank of the result. */
static const nn_layout *extended_layout(nn_build *b, nn_value v, int rank)
{
    nn_shape dims;
    int64_t extended[NN_MAX_RANK];

    nn_build_dims(b, v, &dims);
    for (int i = 0; i < rank; i++) {
        int k = i - (rank - dims.rank);
        extended[i] = k < 0 ? 1 : dims.dim[k];
    }
    return nn_layout_plain(nn_build_dnnl(b), rank, extended);
}

static bool has_shape_of(nn_build *b, nn_value v, const nn_shape *out)
{
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    return nn_shape_equal(&dims, out);
}

/* l with numbers of other's type. */
static const nn_layout *like(nn_build *b, const nn_layout *l, const nn_layout *other)
{
    return other == NULL ? NULL : nn_layout_typed(nn_build_dnnl(b), l, nn_layout_type(other));
}

static void add_plan(nn_build *b, const nn_node *node)
{
    if (nn_build_is_forward_done(b, node)) {
        return;
    }
    nn_value left = node->in[0], right = node->in[1];
    nn_shape out, dims;

    nn_build_dims(b, node->out[0], &out);
    if (!has_shape_of(b, left, &out)) {
        left = node->in[1];
        right = node->in[0];
    }
    if (!has_shape_of(b, left, &out)) {
        nn_pair_plan(b, node);  // each is repeated along some dimension of the other
        return;
    }
    nn_slot x = nn_build_value(b, left), y = nn_build_value(b, right);
    const nn_layout *l = nn_build_layout(b, x);
    if (has_shape_of(b, right, &out)) {
        y = nn_build_in_layout(b, y, l);
    } else {
        nn_build_dims(b, right, &dims);
        y = nn_build_view(b, nn_build_in_plain(b, y, &dims), extended_layout(b, right, out.rank));
        y = nn_build_in_layout(b, y, like(b, extended_layout(b, right, out.rank), l));
    }
    const nn_node *reader = nn_build_sole_reader(b, node->out[0]);
    bool relu = reader != NULL && strcmp(reader->op, "Relu") == 0;
    nn_slot sum = nn_build_slot(b, l);
    nn_build_prim(b, nn_dnnl_add(nn_build_dnnl(b), l, nn_build_layout(b, y), l, relu),
                  (nn_use[]){{NN_SRC, x}, {NN_SRC_1, y}, {NN_DST, sum}}, 3);
    nn_build_set_value(b, node->out[0], sum);
    if (relu) {
        nn_build_mark_forward_done(b, reader);
    }
}

void nn_summed_grad(nn_build *b, nn_value v, nn_slot dy, const nn_shape *out)
{
    const nn_layout *extended = extended_layout(b, v, out->rank);
    nn_shape dims;

    dy = nn_build_in_plain(b, dy, out);
    nn_slot dv = nn_build_slot(b, extended);
    nn_build_prim(b, nn_dnnl_sum_over(nn_build_dnnl(b), nn_build_layout(b, dy), extended),
                  (nn_use[]){{NN_SRC, dy}, {NN_DST, dv}}, 2);
    nn_build_dims(b, v, &dims);
    nn_build_add_grad(b, v,
                      nn_build_view(b, dv, nn_layout_plain(nn_build_dnnl(b), dims.rank, dims.dim)));
}

static void add_plan_grad(nn_build *b, const nn_node *node)
{
    nn_slot dy = nn_build_grad(b, node->out[0]);
    nn_shape out;

    nn_build_dims(b, node->out[0], &out);
    for (size_t i = 0; i < 2; i++) {
        nn_value v = node->in[i];
        if (!nn_build_wants_grad(b, v)) {
            continue;
        }
        if (has_shape_of(b, v, &out)) {
            nn_build_add_grad(b, v, dy);
        } else {
            nn_summed_grad(b, v, dy, &out);
        }
    }
}

const nn_op nn_ops_math[] = {
    {
        .name = "Gemm",
        .min_inputs = 2,
        .max_inputs = 3,
        .attrs = {"transA", "transB", "alpha", "beta"},
        .shape = nn_product_shape,
        .macs = product_macs,
        .plan = product_plan,
        .plan_grad = product_plan_grad,
    },
    {
        .name = "MatMul",
        .min_inputs = 2,
        .max_inputs = 2,
        .shape = nn_product_shape,
        .macs = product_macs,
        .plan = product_plan,
        .plan_grad = product_plan_grad,
    },
    {
        .name = "Add",
        .min_inputs = 2,
        .max_inputs = 2,
        .shape = nn_pair_shape,
        .plan = add_plan,
        .plan_grad = add_plan_grad,
    },
    {
        .name = "Relu",
        .min_inputs = 1,
        .max_inputs = 1,
        .shape = same_shape,
        .plan = map_plan,
        .plan_grad = map_plan_grad,
    },
    {
        .name = "Sigmoid",
        .min_inputs = 1,
        .max_inputs = 1,
        .shape = same_shape,
        .plan = map_plan,
        .plan_grad = map_plan_grad,
    },
    {
        .name = "Softmax",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"axis"},
        .shape = softmax_shape,
        .plan = softmax_plan,
        .plan_grad = softmax_plan_grad,
    },
    {0},
};
