/*
 * ops_map.c - functions of single numbers and of pairs, in loops of our own
 *
 * Rows behind the valid ones are set to 0 in both directions: there an input
 * is 0, where log and division have no finite value, and a NaN would reach
 * the gradients of parameters as 0 times NaN.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "nn/ops.h"

/* How many of n numbers belong to valid rows. */
static int64_t valid_numbers(const nn_call *call, int64_t n, bool is_batch)
{
    return is_batch ? n / call->capacity * call->n_valid : n;
}

static void clear_rest(float *y, int64_t from, int64_t n)
{
    if (from < n) {
        memset(y + from, 0, (size_t)(n - from) * sizeof *y);
    }
}

/* ------------------------------------------------------ of a single number */

typedef struct {
    int64_t n;
    bool is_batch;
    float a, b;
} map_spec;

/* Forward, data: x y.  Backward, data: x dy dx, where dx may be dy. */
#define MAP(name, value, slope)                               \
    static void name##_forward(const nn_call *call)           \
    {                                                         \
        const map_spec *s = call->spec;                       \
        const float *in = call->data[0];                      \
        float *y = call->data[1];                             \
        int64_t n = valid_numbers(call, s->n, s->is_batch);   \
        const float a = s->a, b = s->b;                       \
        (void)a, (void)b;                                     \
        for (int64_t i = 0; i < n; i++) {                     \
            float x = in[i];                                  \
            y[i] = value;                                     \
        }                                                     \
        clear_rest(y, n, s->n);                               \
    }                                                         \
    static void name##_backward(const nn_call *call)          \
    {                                                         \
        const map_spec *s = call->spec;                       \
        const float *in = call->data[0], *dy = call->data[1]; \
        float *dx = call->data[2];                            \
        int64_t n = valid_numbers(call, s->n, s->is_batch);   \
        const float a = s->a, b = s->b;                       \
        (void)a, (void)b;                                     \
        for (int64_t i = 0; i < n; i++) {                     \
            float x = in[i];                                  \
            (void)x;                                          \
            dx[i] = dy[i] * (slope);                          \
        }                                                     \
        clear_rest(dx, n, s->n);                              \
    }

static float logistic(float x)
{
    return 1 / (1 + expf(-x));
}

static float softplus(float x)  // without overflow
{
    return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static const float gelu_c = 0.7978845608f;  // sqrt(2 / pi)

static float gelu(float x, float by_tanh)
{
    return by_tanh != 0 ? 0.5f * x * (1 + tanhf(gelu_c * (x + 0.044715f * x * x * x)))
                        : 0.5f * x * (1 + erff(x * 0.7071067812f));
}

static float gelu_slope(float x, float by_tanh)
{
    if (by_tanh != 0) {
        float t = tanhf(gelu_c * (x + 0.044715f * x * x * x));
        return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * gelu_c * (1 + 3 * 0.044715f * x * x);
    }
    return 0.5f * (1 + erff(x * 0.7071067812f)) + x * expf(-0.5f * x * x) * 0.3989422804f;
}

static float within_one(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

MAP(abs, fabsf(x), (float)((x > 0) - (x < 0)))
MAP(neg, -x, -1)
MAP(sqrt, sqrtf(x), 0.5f / sqrtf(x))
MAP(exp, expf(x), expf(x))
MAP(log, logf(x), 1 / x)
MAP(reciprocal, 1 / x, -1 / (x * x))
MAP(tanh, tanhf(x), 1 - tanhf(x) * tanhf(x))
MAP(erf, erff(x), 1.1283791671f * expf(-x * x))
MAP(clip, x<a ? a : x> b ? b : x, (float)(x >= a && x <= b))
MAP(leaky_relu, x > 0 ? x : a * x, x > 0 ? 1 : a)
MAP(elu, x > 0 ? x : a * expm1f(x), x > 0 ? 1 : a * expf(x))
MAP(selu, x > 0 ? b * x : b * a * expm1f(x), x > 0 ? b : b * a * expf(x))
MAP(softplus, softplus(x), logistic(x))
MAP(softsign, x / (1 + fabsf(x)), 1 / ((1 + fabsf(x)) * (1 + fabsf(x))))
MAP(hard_sigmoid, within_one(a *x + b), a *x + b > 0 && a * x + b < 1 ? a : 0)
MAP(hard_swish, x *within_one(x *(1.0f / 6) + 0.5f),
    x <= -3  ? 0
    : x >= 3 ? 1
             : x * (1.0f / 3) + 0.5f)
MAP(gelu, gelu(x, a), gelu_slope(x, a))

static const struct {
    const char *op;
    const char *a, *b;  // attributes
    double dflt_a, dflt_b;
    nn_kernel forward, backward;
} maps[] = {
    {"Abs", "", "", 0, 0, abs_forward, abs_backward},
    {"Neg", "", "", 0, 0, neg_forward, neg_backward},
    {"Sqrt", "", "", 0, 0, sqrt_forward, sqrt_backward},
    {"Exp", "", "", 0, 0, exp_forward, exp_backward},
    {"Log", "", "", 0, 0, log_forward, log_backward},
    {"Reciprocal", "", "", 0, 0, reciprocal_forward, reciprocal_backward},
    {"Tanh", "", "", 0, 0, tanh_forward, tanh_backward},
    {"Erf", "", "", 0, 0, erf_forward, erf_backward},
    {"Clip", "min", "max", -FLT_MAX, FLT_MAX, clip_forward, clip_backward},
    {"LeakyRelu", "alpha", "", 0.01, 0, leaky_relu_forward, leaky_relu_backward},
    {"Elu", "alpha", "", 1, 0, elu_forward, elu_backward},
    {"Selu", "alpha", "gamma", 1.67326319217681884765625, 1.05070102214813232421875, selu_forward,
     selu_backward},
    {"Softplus", "", "", 0, 0, softplus_forward, softplus_backward},
    {"Softsign", "", "", 0, 0, softsign_forward, softsign_backward},
    {"HardSigmoid", "alpha", "beta", 0.2, 0.5, hard_sigmoid_forward, hard_sigmoid_backward},
    {"HardSwish", "", "", 0, 0, hard_swish_forward, hard_swish_backward},
    {"Gelu", "", "", 0, 0, gelu_forward, gelu_backward},
};

static size_t map_of(const nn_node *node)
{
    size_t k = 0;

    while (strcmp(maps[k].op, node->op) != 0) {
        k++;
        FL_REQUIRE(k < sizeof maps / sizeof *maps);
    }
    return k;
}

static bool is_gelu_by_tanh(const nn_node *node)
{
    const nn_attr *a = nn_node_attr(node, "approximate");

    return a != NULL && a->kind == NN_ATTR_TEXT && strcmp(a->text, "tanh") == 0;
}

void nn_map_numbers(const nn_node *node, double *a, double *b)
{
    size_t k = map_of(node);

    *a = nn_node_float(node, maps[k].a, maps[k].dflt_a);
    *b = nn_node_float(node, maps[k].b, maps[k].dflt_b);
    if (is_gelu_by_tanh(node)) {
        *a = 1;
    }
}

static fl_status map_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                           fl_err *err)
{
    const nn_attr *a = nn_node_attr(node, "approximate");

    if (a != NULL && !is_gelu_by_tanh(node) &&
        (a->kind != NN_ATTR_TEXT || strcmp(a->text, "none") != 0)) {
        return fl_fail(err, FL_EUNSUPPORTED, "approximate must be none or tanh");
    }
    *out = *in[0];
    return FL_OK;
}

static map_spec map_spec_of(nn_build *build, const nn_node *node)
{
    nn_shape dims;
    double a, b;

    nn_build_dims(build, node->out[0], &dims);
    nn_map_numbers(node, &a, &b);
    return (map_spec){nn_shape_count(&dims, 1), nn_build_is_batch(build, node->out[0]), (float)a,
                      (float)b};
}

/* v in a layout without padding: of padding, exp would make ones. */
static nn_slot unpadded(nn_build *b, nn_value v)
{
    nn_slot slot = nn_build_value(b, v);
    const nn_layout *l = nn_build_layout(b, slot);
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    bool is_dense = l != NULL && nn_layout_type(l) == NN_TYPE_F32 &&
                    nn_layout_bytes(l) == (size_t)nn_shape_count(&dims, 1) * sizeof(float);
    return is_dense ? slot : nn_build_in_plain(b, slot, &dims);
}

static void map_plan(nn_build *b, const nn_node *node)
{
    map_spec s = map_spec_of(b, node);
    nn_slot x = unpadded(b, node->in[0]);
    nn_slot y = nn_build_slot(b, nn_build_layout(b, x));

    nn_build_kernel(b, maps[map_of(node)].forward, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, &s,
                    sizeof s);
    nn_build_set_value(b, node->out[0], y);
    nn_build_memo(b, node)->slot[0] = x;
}

static void map_plan_grad(nn_build *b, const nn_node *node)
{
    map_spec s = map_spec_of(b, node);
    nn_slot x = nn_build_memo(b, node)->slot[0];
    const nn_layout *l = nn_build_layout(b, x);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]), l);
    nn_slot dx = nn_build_owns_grad(b, dy) ? dy : nn_build_slot(b, l);

    nn_build_kernel(b, maps[map_of(node)].backward,
                    (nn_use[]){{NN_SRC, x}, {NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 3, &s, sizeof s);
    nn_build_add_grad(b, node->in[0], dx);
}

/* ---------------------------------------------------------------- of a pair */

/* out[i] from a[i sa], b[i sb] and dy[i]; a step of 0 repeats one number. */
typedef void (*pair_row)(float *out, const float *a, const float *b, const float *dy, int64_t sa,
                         int64_t sb, int64_t n);

#define ROW(name, formula)                                                                      \
    static void name(float *out, const float *pa, const float *pb, const float *dy, int64_t sa, \
                     int64_t sb, int64_t n)                                                     \
    {                                                                                           \
        (void)dy;                                                                               \
        if (sa == 1 && sb == 1) { /* compiled to vectors */                                     \
            for (int64_t i = 0; i < n; i++) {                                                   \
                float a = pa[i], b = pb[i];                                                     \
                (void)a, (void)b;                                                               \
                out[i] = formula;                                                               \
            }                                                                                   \
            return;                                                                             \
        }                                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                       \
            float a = pa[i * sa], b = pb[i * sb];                                               \
            (void)a, (void)b;                                                                   \
            out[i] = formula;                                                                   \
        }                                                                                       \
    }
#define PAIR(name, value, slope_a, slope_b) \
    ROW(name##_row, value)                  \
    ROW(name##_by_a, dy[i] * (slope_a))     \
    ROW(name##_by_b, dy[i] * (slope_b))

PAIR(add, a + b, 1, 1)
PAIR(sub, a - b, 1, -1)
PAIR(mul, a *b, b, a)
PAIR(div, a / b, 1 / b, -a / (b * b))
PAIR(pow, powf(a, b), b == 0 ? 0 : b * powf(a, b - 1), a > 0 ? powf(a, b) * logf(a) : 0)
PAIR(min, a <= b ? a : b, (float)(a <= b), (float)!(a <= b))
PAIR(max, a >= b ? a : b, (float)(a >= b), (float)!(a >= b))
PAIR(prelu, a > 0 ? a : a * b, a > 0 ? 1 : b, a > 0 ? 0 : a)

static const struct {
    const char *op;
    pair_row forward, by[2];
} pairs[] = {
    {"Add", add_row, {add_by_a, add_by_b}}, {"Sub", sub_row, {sub_by_a, sub_by_b}},
    {"Mul", mul_row, {mul_by_a, mul_by_b}}, {"Div", div_row, {div_by_a, div_by_b}},
    {"Pow", pow_row, {pow_by_a, pow_by_b}}, {"Min", min_row, {min_by_a, min_by_b}},
    {"Max", max_row, {max_by_a, max_by_b}}, {"PRelu", prelu_row, {prelu_by_a, prelu_by_b}},
};

static size_t pair_of(const nn_node *node)
{
    size_t k = 0;

    while (strcmp(pairs[k].op, node->op) != 0) {
        k++;
        FL_REQUIRE(k < sizeof pairs / sizeof *pairs);
    }
    return k;
}

/* The result's dimensions, neighbours joined where both inputs step through
 * them as through one; the batch stays apart. */
typedef struct {
    pair_row row;
    int rank;
    bool is_batch;
    int64_t count, dim[NN_MAX_RANK], step[2][NN_MAX_RANK];
} pair_spec;

/* data: a b dy out; dy is NULL in the forward direction */
static void pair_kernel(const nn_call *call)
{
    const pair_spec *s = call->spec;
    const float *a = call->data[0], *b = call->data[1], *dy = call->data[2];
    float *out = call->data[3];
    int last = s->rank - 1;
    int64_t n = s->dim[last], valid = valid_numbers(call, s->count, s->is_batch);
    int64_t at[NN_MAX_RANK] = {0};

    for (int64_t done = 0; done < valid; done += n) {
        int64_t from[2] = {0, 0};
        for (int d = 0; d < last; d++) {
            from[0] += at[d] * s->step[0][d];
            from[1] += at[d] * s->step[1][d];
        }
        s->row(out + done, a + from[0], b + from[1], dy == NULL ? NULL : dy + done,
               s->step[0][last], s->step[1][last], n);
        for (int d = last - 1; d >= 0 && ++at[d] == s->dim[d]; d--) {
            at[d] = 0;
        }
    }
    clear_rest(out, valid, s->count);
}

static pair_spec pair_spec_of(nn_build *b, const nn_node *node)
{
    pair_spec s = {.is_batch = nn_build_is_batch(b, node->out[0])};
    nn_shape out, in[2];
    int64_t step[2][NN_MAX_RANK];

    nn_build_dims(b, node->out[0], &out);
    s.count = nn_shape_count(&out, 1);
    for (int k = 0; k < 2; k++) {
        int64_t stride = 1;
        nn_build_dims(b, node->in[k], &in[k]);
        for (int d = out.rank - 1, i = in[k].rank - 1; d >= 0; d--, i--) {
            int64_t dim = i < 0 ? 1 : in[k].dim[i];
            step[k][d] = dim == 1 ? 0 : stride;
            stride *= dim;
        }
    }
    for (int d = 0; d < out.rank; d++) {
        int p = s.rank - 1;
        bool joins = p >= 0 && !(s.is_batch && p == 0);
        for (int k = 0; k < 2 && joins; k++) {
            joins = s.step[k][p] == step[k][d] * out.dim[d];
        }
        if (joins) {
            s.dim[p] *= out.dim[d];
        } else {
            p = s.rank++;
            s.dim[p] = out.dim[d];
        }
        s.step[0][p] = step[0][d];
        s.step[1][p] = step[1][d];
    }
    if (s.rank == 0) {
        s.rank = 1;
        s.dim[0] = 1;
    }
    if (s.is_batch && s.rank == 1) {  // one number a row
        s.dim[1] = 1;
        s.step[0][1] = s.step[1][1] = 0;
        s.rank = 2;
    }
    return s;
}

fl_status nn_pair_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in, fl_err *err)
{
    nn_shape a = *in[0], b = *in[1];

    if (a.rank > 0 && b.rank > 0 && (a.dim[0] == NN_BATCH) != (b.dim[0] == NN_BATCH)) {
        /* Only one of them has a batch: its dimension stays the first. */
        int rank_with = a.dim[0] == NN_BATCH ? a.rank : b.rank;
        const nn_shape *without = a.dim[0] == NN_BATCH ? &b : &a;
        if (without->rank > rank_with || (without->rank == rank_with && without->dim[0] != 1)) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "what is joined with a batch must be the same for each row");
        }
    }
    if (a.rank > 0 && b.rank > 0 && a.dim[0] == NN_BATCH && b.dim[0] == NN_BATCH &&
        a.rank != b.rank) {
        return fl_fail(err, FL_EUNSUPPORTED, "two batches must have as many dimensions");
    }
    fl_status st = nn_shape_broadcast(out, &a, &b, err);
    if (st == FL_OK && strcmp(node->op, "PRelu") == 0 && !nn_shape_equal(out, &a)) {
        return fl_fail(err, FL_ECONFIG, "the slope must fit the input's shape");
    }
    return st;
}

void nn_pair_plan(nn_build *b, const nn_node *node)
{
    pair_spec s = pair_spec_of(b, node);
    nn_shape dims;
    nn_memo *memo = nn_build_memo(b, node);

    for (int k = 0; k < 2; k++) {
        nn_build_dims(b, node->in[k], &dims);
        memo->slot[k] = nn_build_in_plain(b, nn_build_value(b, node->in[k]), &dims);
    }
    nn_build_dims(b, node->out[0], &dims);
    nn_slot y = nn_build_slot(b, nn_layout_plain(nn_build_dnnl(b), dims.rank, dims.dim));
    s.row = pairs[pair_of(node)].forward;
    nn_build_kernel(
        b, pair_kernel,
        (nn_use[]){{NN_SRC, memo->slot[0]}, {NN_SRC_1, memo->slot[1]}, {0, -1}, {NN_DST, y}}, 4, &s,
        sizeof s);
    nn_build_set_value(b, node->out[0], y);
}

static void pair_plan_grad(nn_build *b, const nn_node *node)
{
    pair_spec s = pair_spec_of(b, node);
    nn_memo memo = *nn_build_memo(b, node);
    nn_shape out, dims;

    nn_build_dims(b, node->out[0], &out);
    nn_slot dy = nn_build_in_plain(b, nn_build_grad(b, node->out[0]), &out);
    for (int k = 0; k < 2; k++) {
        if (!nn_build_wants_grad(b, node->in[k])) {
            continue;
        }
        nn_slot dv = nn_build_slot(b, nn_layout_plain(nn_build_dnnl(b), out.rank, out.dim));
        s.row = pairs[pair_of(node)].by[k];
        nn_build_kernel(b, pair_kernel,
                        (nn_use[]){{NN_SRC, memo.slot[0]},
                                   {NN_SRC_1, memo.slot[1]},
                                   {NN_DIFF_DST, dy},
                                   {NN_DIFF_SRC, dv}},
                        4, &s, sizeof s);
        nn_build_dims(b, node->in[k], &dims);
        if (nn_shape_equal(&dims, &out)) {
            nn_build_add_grad(b, node->in[k], dv);
        } else {
            nn_summed_grad(b, node->in[k], dv, &out);
        }
    }
}

#define MAP_OP(op, ...)                                                                           \
    {                                                                                             \
        .name = op, .min_inputs = 1, .max_inputs = 1, .attrs = {__VA_ARGS__}, .shape = map_shape, \
        .plan = map_plan, .plan_grad = map_plan_grad,                                             \
    }
#define PAIR_OP(op)                                                           \
    {                                                                         \
        .name = op, .min_inputs = 2, .max_inputs = 2, .shape = nn_pair_shape, \
        .plan = nn_pair_plan, .plan_grad = pair_plan_grad,                    \
    }

const nn_op nn_ops_map[] = {
    MAP_OP("Abs", NULL),
    MAP_OP("Neg", NULL),
    MAP_OP("Sqrt", NULL),
    MAP_OP("Exp", NULL),
    MAP_OP("Log", NULL),
    MAP_OP("Reciprocal", NULL),
    MAP_OP("Tanh", NULL),
    MAP_OP("Erf", NULL),
    MAP_OP("Clip", "min", "max"),
    MAP_OP("LeakyRelu", "alpha"),
    MAP_OP("Elu", "alpha"),
    MAP_OP("Selu", "alpha", "gamma"),
    MAP_OP("Softplus", NULL),
    MAP_OP("Softsign", NULL),
    MAP_OP("HardSigmoid", "alpha", "beta"),
    MAP_OP("HardSwish", NULL),
    MAP_OP("Gelu", "approximate"),
    PAIR_OP("Sub"),
    PAIR_OP("Mul"),
    PAIR_OP("Div"),
    PAIR_OP("Pow"),
    PAIR_OP("Min"),
    PAIR_OP("Max"),
    PAIR_OP("PRelu"),
    {0},
};
