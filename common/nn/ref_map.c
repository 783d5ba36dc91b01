/*
 * ref_map.c - functions of single numbers and of pairs, as formulas; see ref.h
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "nn/ops.h"
#include "nn/ref_ops.h"

static const double pi = 3.14159265358979323846;
static const double sqrt_half = 0.70710678118654752440, root_2_pi = 2.50662827463100050242;

/* y = value and dy/dx = slope, both of x and the operator's numbers a and b. */
#define MAP(name, value, slope)                              \
    static double name##_value(double x, double a, double b) \
    {                                                        \
        (void)a, (void)b;                                    \
        return value;                                        \
    }                                                        \
    static double name##_slope(double x, double a, double b) \
    {                                                        \
        (void)x, (void)a, (void)b;                           \
        return slope;                                        \
    }

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

/* Hendrycks & Gimpel 2016; a != 0: their approximation by tanh. */
static double gelu(double x, double a)
{
    double t = tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x));

    return a != 0 ? 0.5 * x * (1 + t) : 0.5 * x * (1 + erf(x * sqrt_half));
}

static double gelu_slope_(double x, double a)
{
    double c = sqrt(2 / pi), t = tanh(c * (x + 0.044715 * x * x * x));

    return a != 0 ? 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
                  : 0.5 * (1 + erf(x * sqrt_half)) + x * exp(-0.5 * x * x) / root_2_pi;
}

MAP(abs, fabs(x), (x > 0) - (x < 0))
MAP(neg, -x, -1)
MAP(sqrt, sqrt(x), 0.5 / sqrt(x))
MAP(exp, exp(x), exp(x))
MAP(log, log(x), 1 / x)
MAP(reciprocal, 1 / x, -1 / (x * x))
MAP(tanh, tanh(x), 1 - tanh(x) * tanh(x))
MAP(erf, erf(x), 2 / sqrt(pi) * exp(-x * x))
MAP(clip, x<a ? a : x> b ? b : x, x >= a && x <= b)
MAP(leaky_relu, x > 0 ? x : a * x, x > 0 ? 1 : a)
MAP(elu, x > 0 ? x : a * expm1(x), x > 0 ? 1 : a * exp(x))
MAP(selu, x > 0 ? b * x : b * a * expm1(x), x > 0 ? b : b * a * exp(x))
MAP(softplus, log1p(exp(x)), logistic(x))
MAP(softsign, x / (1 + fabs(x)), 1 / ((1 + fabs(x)) * (1 + fabs(x))))
MAP(hard_sigmoid, fmax(0, fmin(1, a *x + b)), a *x + b > 0 && a * x + b < 1 ? a : 0)
MAP(hard_swish, x *fmax(0, fmin(1, x / 6 + 0.5)), x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5)
MAP(gelu, gelu(x, a), gelu_slope_(x, a))

static const struct {
    const char *op;
    double (*value)(double x, double a, double b);
    double (*slope)(double x, double a, double b);
} maps[] = {
    {"Abs", abs_value, abs_slope},
    {"Neg", neg_value, neg_slope},
    {"Sqrt", sqrt_value, sqrt_slope},
    {"Exp", exp_value, exp_slope},
    {"Log", log_value, log_slope},
    {"Reciprocal", reciprocal_value, reciprocal_slope},
    {"Tanh", tanh_value, tanh_slope},
    {"Erf", erf_value, erf_slope},
    {"Clip", clip_value, clip_slope},
    {"LeakyRelu", leaky_relu_value, leaky_relu_slope},
    {"Elu", elu_value, elu_slope},
    {"Selu", selu_value, selu_slope},
    {"Softplus", softplus_value, softplus_slope},
    {"Softsign", softsign_value, softsign_slope},
    {"HardSigmoid", hard_sigmoid_value, hard_sigmoid_slope},
    {"HardSwish", hard_swish_value, hard_swish_slope},
    {"Gelu", gelu_value, gelu_slope},
};

static void map(const nn_ref_call *c, bool backward)
{
    size_t k = 0;
    double a, b;

    nn_map_numbers(c->node, &a, &b);
    while (strcmp(maps[k].op, c->node->op) != 0) {
        k++;
        FL_REQUIRE(k < sizeof maps / sizeof *maps);
    }
    for (int64_t i = 0; i < nn_shape_count(c->out_shape, 1); i++) {
        double x = c->in[0][i];
        if (backward) {
            c->din[0][i] += c->dout[i] * maps[k].slope(x, a, b);
        } else {
            c->out[i] = maps[k].value(x, a, b);
        }
    }
}

static void map_forward(const nn_ref_call *c)
{
    map(c, false);
}

static void map_backward(const nn_ref_call *c)
{
    map(c, true);
}

/* ------------------------------------------------------------------- pairs */

/* y of a and b, broadcast to its shape; da and db are dy/da and dy/db. */
static double pair(const char *op, double a, double b, double *da, double *db)
{
    *da = *db = 0;
    if (strcmp(op, "Sub") == 0) {
        *da = 1;
        *db = -1;
        return a - b;
    }
    if (strcmp(op, "Mul") == 0) {
        *da = b;
        *db = a;
        return a * b;
    }
    if (strcmp(op, "Div") == 0) {
        *da = 1 / b;
        *db = -a / (b * b);
        return a / b;
    }
    if (strcmp(op, "Pow") == 0) {
        *da = b == 0 ? 0 : b * pow(a, b - 1);
        *db = a > 0 ? pow(a, b) * log(a) : 0;
        return pow(a, b);
    }
    if (strcmp(op, "PRelu") == 0) {  // b: the slope below 0
        *da = a > 0 ? 1 : b;
        *db = a > 0 ? 0 : a;
        return a > 0 ? a : a * b;
    }
    bool takes_a = strcmp(op, "Min") == 0 ? a <= b : a >= b;  // of equals, the first
    *da = takes_a;
    *db = !takes_a;
    return takes_a ? a : b;
}

static void pair_forward(const nn_ref_call *c)
{
    double da, db;

    for (int64_t i = 0; i < nn_shape_count(c->out_shape, 1); i++) {
        double a = c->in[0][nn_ref_broadcast_index(c->out_shape, c->in_shape[0], i)];
        double b = c->in[1][nn_ref_broadcast_index(c->out_shape, c->in_shape[1], i)];
        c->out[i] = pair(c->node->op, a, b, &da, &db);
    }
}

static void pair_backward(const nn_ref_call *c)
{
    double da, db;

    for (int64_t i = 0; i < nn_shape_count(c->out_shape, 1); i++) {
        int64_t at_a = nn_ref_broadcast_index(c->out_shape, c->in_shape[0], i);
        int64_t at_b = nn_ref_broadcast_index(c->out_shape, c->in_shape[1], i);
        pair(c->node->op, c->in[0][at_a], c->in[1][at_b], &da, &db);
        c->din[0][at_a] += c->dout[i] * da;
        c->din[1][at_b] += c->dout[i] * db;
    }
}

const nn_ref_op nn_ref_map[] = {
    {"Abs", map_forward, map_backward},
    {"Neg", map_forward, map_backward},
    {"Sqrt", map_forward, map_backward},
    {"Exp", map_forward, map_backward},
    {"Log", map_forward, map_backward},
    {"Reciprocal", map_forward, map_backward},
    {"Tanh", map_forward, map_backward},
    {"Erf", map_forward, map_backward},
    {"Clip", map_forward, map_backward},
    {"LeakyRelu", map_forward, map_backward},
    {"Elu", map_forward, map_backward},
    {"Selu", map_forward, map_backward},
    {"Softplus", map_forward, map_backward},
    {"Softsign", map_forward, map_backward},
    {"HardSigmoid", map_forward, map_backward},
    {"HardSwish", map_forward, map_backward},
    {"Gelu", map_forward, map_backward},
    {"Sub", pair_forward, pair_backward},
    {"Mul", pair_forward, pair_backward},
    {"Div", pair_forward, pair_backward},
    {"Pow", pair_forward, pair_backward},
    {"Min", pair_forward, pair_backward},
    {"Max", pair_forward, pair_backward},
    {"PRelu", pair_forward, pair_backward},
    {0},
};
