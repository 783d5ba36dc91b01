/*
 * ref.c - operators in plain loops; see ref.h
 *
 * Each backward sits under its forward and adds to the gradients of the
 * inputs.  dx is the gradient of the loss by x.  Functions of single numbers
 * are in ref_map.c, what arranges numbers or sums them in ref_arrange.c, matrix
 * products in ref_product.c.
 */
#include "nn/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/ops.h"
#include "nn/ref_ops.h"

typedef nn_ref_call call;

static int64_t count_of(const nn_shape *s)
{
    return nn_shape_count(s, 1);
}

/* ------------------------------------------------------------------ windows */

/* D H W of images, kernels and windows, with ones in front of what is missing. */
typedef struct {
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
} geometry;

static geometry geometry_of(const call *c, const nn_shape *weight)
{
    geometry g;
    nn_window w;
    const nn_shape *x = c->in_shape[0];
    int n = x->rank - 2;

    if (strcmp(c->node->op, "GlobalAveragePool") == 0) {
        memset(&w, 0, sizeof w);
        for (int i = 0; i < n; i++) {
            w.kernel[i] = x->dim[2 + i];
            w.stride[i] = w.dilation[i] = w.out[i] = 1;
        }
    } else {
        FL_REQUIRE(nn_window_read(&w, c->node, x, weight, NULL) == FL_OK);
    }
    for (int i = 0; i < 3; i++) {
        int k = i - (3 - n);
        g.in[i] = k < 0 ? 1 : x->dim[2 + k];
        g.out[i] = k < 0 ? 1 : w.out[k];
        g.kernel[i] = k < 0 ? 1 : w.kernel[k];
        g.stride[i] = k < 0 ? 1 : w.stride[k];
        g.dilation[i] = k < 0 ? 1 : w.dilation[k];
        g.pad[i] = k < 0 ? 0 : w.pad_begin[k];
    }
    return g;
}

static int64_t volume(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* Index into an image of what tap t of the window at position o sees, or -1
 * in the padding. */
static int64_t seen_by(const geometry *g, int64_t o, int64_t t)
{
    int64_t at = 0;
    int64_t op[3] = {o / (g->out[1] * g->out[2]), o / g->out[2] % g->out[1], o % g->out[2]};
    int64_t tp[3] = {t / (g->kernel[1] * g->kernel[2]), t / g->kernel[2] % g->kernel[1],
                     t % g->kernel[2]};

    for (int i = 0; i < 3; i++) {
        int64_t x = op[i] * g->stride[i] - g->pad[i] + tp[i] * g->dilation[i];
        if (x < 0 || x >= g->in[i]) {
            return -1;
        }
        at = at * g->in[i] + x;
    }
    return at;
}

/*
 * y[n,k,o] = b[k] + sum over c, t of w[k,c,t] x[n, c of k's group, o seen by t]
 * In the backward direction the same triples multiply dy by w, and dy by x.
 */
static void conv(const call *c, bool backward)
{
    geometry g = geometry_of(c, c->in_shape[1]);
    int64_t N = c->out_shape->dim[0], K = c->out_shape->dim[1], C = c->in_shape[1]->dim[1];
    int64_t group = nn_node_int(c->node, "group", 1), O = volume(g.out), T = volume(g.kernel);
    int64_t I = volume(g.in), channels = c->in_shape[0]->dim[1];

    for (int64_t n = 0; n < N; n++) {
        for (int64_t k = 0; k < K; k++) {
            for (int64_t o = 0; o < O; o++) {
                int64_t y_at = (n * K + k) * O + o;
                double sum = c->in[2] != NULL ? c->in[2][k] : 0;
                for (int64_t i = 0; i < C; i++) {
                    for (int64_t t = 0; t < T; t++) {
                        int64_t seen = seen_by(&g, o, t), w_at = (k * C + i) * T + t;
                        int64_t x_at = (n * channels + k / (K / group) * C + i) * I + seen;
                        if (seen < 0) {
                            continue;
                        }
                        sum += c->in[1][w_at] * c->in[0][x_at];
                        if (backward) {
                            c->din[0][x_at] += c->in[1][w_at] * c->dout[y_at];
                            c->din[1][w_at] += c->in[0][x_at] * c->dout[y_at];
                        }
                    }
                }
                if (!backward) {
                    c->out[y_at] = sum;
                } else if (c->in[2] != NULL) {
                    c->din[2][k] += c->dout[y_at];
                }
            }
        }
    }
}

static void conv_forward(const call *c)
{
    conv(c, false);
}

static void conv_backward(const call *c)
{
    conv(c, true);
}

/*
 * y[n,k,seen from o by t] += w[c,k,t] x[n,c,o]: the window lies on y, and each
 * number of x is spread over it.
 */
static void conv_transpose(const call *c, bool backward)
{
    const nn_shape *x = c->in_shape[0], *weight = c->in_shape[1];
    int64_t N = x->dim[0], C = x->dim[1], K = c->out_shape->dim[1], per_group = weight->dim[1];
    int64_t group = nn_node_int(c->node, "group", 1);
    geometry g;
    nn_window w;

    FL_REQUIRE(nn_deconv_window(&w, c->node, x, weight, NULL) == FL_OK);
    for (int i = 0; i < 3; i++) {
        int k = i - (3 - w.rank);
        g.in[i] = k < 0 ? 1 : w.out[k];
        g.out[i] = k < 0 ? 1 : x->dim[2 + k];
        g.kernel[i] = k < 0 ? 1 : w.kernel[k];
        g.stride[i] = k < 0 ? 1 : w.stride[k];
        g.dilation[i] = k < 0 ? 1 : w.dilation[k];
        g.pad[i] = k < 0 ? 0 : w.pad_begin[k];
    }
    int64_t O = volume(g.out), T = volume(g.kernel), I = volume(g.in);
    for (int64_t i = 0; i < N * K * I; i++) {
        int64_t k = i / I % K;
        if (!backward) {
            c->out[i] = c->in[2] != NULL ? c->in[2][k] : 0;
        } else if (c->in[2] != NULL) {
            c->din[2][k] += c->dout[i];
        }
    }
    for (int64_t p = 0; p < N * C * O * per_group * T; p++) {
        int64_t t = p % T, j = p / T % per_group, o = p / T / per_group % O;
        int64_t ch = p / T / per_group / O % C, n = p / T / per_group / O / C;
        int64_t seen = seen_by(&g, o, t), k = ch / (C / group) * per_group + j;
        int64_t y_at = (n * K + k) * I + seen, x_at = (n * C + ch) * O + o;
        int64_t w_at = (ch * per_group + j) * T + t;
        if (seen >= 0 && backward) {
            c->din[0][x_at] += c->in[1][w_at] * c->dout[y_at];
            c->din[1][w_at] += c->in[0][x_at] * c->dout[y_at];
        } else if (seen >= 0) {
            c->out[y_at] += c->in[1][w_at] * c->in[0][x_at];
        }
    }
}

static void conv_transpose_forward(const call *c)
{
    conv_transpose(c, false);
}

static void conv_transpose_backward(const call *c)
{
    conv_transpose(c, true);
}

/* y = the largest in the window; the first of equals gets the gradient. */
static void max_pool(const call *c, bool backward)
{
    geometry g = geometry_of(c, NULL);
    int64_t planes = c->in_shape[0]->dim[0] * c->in_shape[0]->dim[1];
    int64_t O = volume(g.out), T = volume(g.kernel), I = volume(g.in);

    for (int64_t p = 0; p < planes; p++) {
        for (int64_t o = 0; o < O; o++) {
            int64_t best = -1;
            for (int64_t t = 0; t < T; t++) {
                int64_t seen = seen_by(&g, o, t);
                if (seen >= 0 && (best < 0 || c->in[0][p * I + seen] > c->in[0][p * I + best])) {
                    best = seen;
                }
            }
            if (backward) {
                c->din[0][p * I + best] += c->dout[p * O + o];
            } else {
                c->out[p * O + o] = c->in[0][p * I + best];
            }
        }
    }
}

static void max_pool_forward(const call *c)
{
    max_pool(c, false);
}

static void max_pool_backward(const call *c)
{
    max_pool(c, true);
}

/* Taps of the window at position o that lie in the image or its padding. */
static int64_t padded_taps(const nn_window *w, const geometry *g, int64_t o)
{
    int64_t at[3] = {o / (g->out[1] * g->out[2]), o / g->out[2] % g->out[1], o % g->out[2]};
    int64_t n = 1;

    for (int i = 0; i < w->rank; i++) {
        int k = 3 - w->rank + i;
        n *= nn_window_counted(w, i, g->in[k], at[k]);
    }
    return n;
}

/* y = mean of the window, over the taps inside the image unless
 * count_include_pad. */
static void average_pool(const call *c, bool backward)
{
    geometry g = geometry_of(c, NULL);
    bool padded = nn_node_int(c->node, "count_include_pad", 0) != 0;
    nn_window w = {0};

    if (padded) {
        FL_REQUIRE(nn_window_read(&w, c->node, c->in_shape[0], NULL, NULL) == FL_OK);
    }
    int64_t planes = c->in_shape[0]->dim[0] * c->in_shape[0]->dim[1];
    int64_t O = volume(g.out), T = volume(g.kernel), I = volume(g.in);

    for (int64_t p = 0; p < planes; p++) {
        for (int64_t o = 0; o < O; o++) {
            double sum = 0;
            int64_t n = 0;
            for (int64_t t = 0; t < T; t++) {
                int64_t seen = seen_by(&g, o, t);
                sum += seen < 0 ? 0 : c->in[0][p * I + seen];
                n += seen >= 0;
            }
            if (padded) {
                n = padded_taps(&w, &g, o);
            }
            for (int64_t t = 0; backward && t < T; t++) {
                int64_t seen = seen_by(&g, o, t);
                if (seen >= 0) {
                    c->din[0][p * I + seen] += c->dout[p * O + o] / (double)n;
                }
            }
            if (!backward) {
                c->out[p * O + o] = sum / (double)n;
            }
        }
    }
}

static void average_pool_forward(const call *c)
{
    average_pool(c, false);
}

static void average_pool_backward(const call *c)
{
    average_pool(c, true);
}

/* --------------------------------------------------- functions of each number */

static void relu_forward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->out[i] = c->in[0][i] > 0 ? c->in[0][i] : 0;
    }
}

static void relu_backward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->din[0][i] += c->in[0][i] > 0 ? c->dout[i] : 0;
    }
}

static void sigmoid_forward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->out[i] = 1 / (1 + exp(-c->in[0][i]));
    }
}

static void sigmoid_backward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->din[0][i] += c->dout[i] * c->out[i] * (1 - c->out[i]);
    }
}

/* y[o,k,i] = exp(x[o,k,i]) / sum over k; the axis lies between outer and inner. */
static void softmax(const call *c, bool backward)
{
    const nn_shape *s = c->out_shape;
    int64_t axis = nn_node_int(c->node, "axis", -1), inner = 1;

    axis += axis < 0 ? s->rank : 0;
    for (int i = (int)axis + 1; i < s->rank; i++) {
        inner *= s->dim[i];
    }
    int64_t K = s->dim[axis], outer = count_of(s) / (K * inner);
    for (int64_t p = 0; p < outer * inner; p++) {
        int64_t at = p / inner * K * inner + p % inner;
        double largest = -INFINITY, sum = 0, dot = 0;
        for (int64_t k = 0; k < K; k++) {
            largest = fmax(largest, c->in[0][at + k * inner]);
        }
        for (int64_t k = 0; k < K; k++) {
            sum += exp(c->in[0][at + k * inner] - largest);
            dot += backward ? c->dout[at + k * inner] * c->out[at + k * inner] : 0;
        }
        for (int64_t k = 0; k < K; k++) {
            int64_t j = at + k * inner;
            if (backward) {
                c->din[0][j] += c->out[j] * (c->dout[j] - dot);
            } else {
                c->out[j] = exp(c->in[0][j] - largest) / sum;
            }
        }
    }
}

static void softmax_forward(const call *c)
{
    softmax(c, false);
}

static void softmax_backward(const call *c)
{
    softmax(c, true);
}

int64_t nn_ref_broadcast_index(const nn_shape *out, const nn_shape *in, int64_t i)
{
    int64_t at = 0, stride = 1;

    for (int d = out->rank - 1, k = in->rank - 1; k >= 0; d--, k--) {
        at += in->dim[k] == 1 ? 0 : i % out->dim[d] * stride;
        stride *= in->dim[k];
        i /= out->dim[d];
    }
    return at;
}

static void add_forward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->out[i] = c->in[0][nn_ref_broadcast_index(c->out_shape, c->in_shape[0], i)] +
                    c->in[1][nn_ref_broadcast_index(c->out_shape, c->in_shape[1], i)];
    }
}

static void add_backward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->din[0][nn_ref_broadcast_index(c->out_shape, c->in_shape[0], i)] += c->dout[i];
        c->din[1][nn_ref_broadcast_index(c->out_shape, c->in_shape[1], i)] += c->dout[i];
    }
}

/* ------------------------------------------------------ normalisation, dropout */

/* Numbers of a channel in a row, and of a channel in a batch. */
static void channel_sizes(const call *c, int64_t *inner, int64_t *per_channel)
{
    const nn_shape *s = c->out_shape;

    *inner = count_of(s) / (s->dim[0] * s->dim[1]);
    *per_channel = s->dim[0] * *inner;
}

/* Index of number i of channel k. */
static int64_t of_channel(const call *c, int64_t inner, int64_t k, int64_t i)
{
    return (i / inner * c->out_shape->dim[1] + k) * inner + i % inner;
}

/*
 * y = scale (x - mean) / sqrt(var + epsilon) + shift, a channel at a time (Ioffe
 * & Szegedy 2015, algorithm 1).  kept: (x - mean) / sqrt(var + epsilon).
 */
static void batch_norm_forward(const call *c)
{
    double epsilon = nn_node_float(c->node, "epsilon", 1e-5);
    double keep = nn_node_float(c->node, "momentum", 0.9);
    int64_t inner, n;

    channel_sizes(c, &inner, &n);
    for (int64_t k = 0; k < c->out_shape->dim[1]; k++) {
        double mean = c->in[3][k], var = c->in[4][k];
        if (c->train) {
            mean = var = 0;
            for (int64_t i = 0; i < n; i++) {
                mean += c->in[0][of_channel(c, inner, k, i)] / (double)n;
            }
            for (int64_t i = 0; i < n; i++) {
                double d = c->in[0][of_channel(c, inner, k, i)] - mean;
                var += d * d / (double)n;
            }
            double unbiased = n > 1 ? var * (double)n / (double)(n - 1) : var;
            c->in[3][k] = keep * c->in[3][k] + (1 - keep) * mean;
            c->in[4][k] = keep * c->in[4][k] + (1 - keep) * unbiased;
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t at = of_channel(c, inner, k, i);
            double standard = (c->in[0][at] - mean) / sqrt(var + epsilon);
            c->kept[at] = standard;
            c->out[at] = c->in[1][k] * standard + c->in[2][k];
        }
    }
}

/* dx = scale / sd (dy - mean(dy) - standard mean(dy standard)) */
static void batch_norm_backward(const call *c)
{
    double epsilon = nn_node_float(c->node, "epsilon", 1e-5);
    int64_t inner, n;

    channel_sizes(c, &inner, &n);
    for (int64_t k = 0; k < c->out_shape->dim[1]; k++) {
        double sum = 0, dot = 0, mean = 0, var = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = of_channel(c, inner, k, i);
            sum += c->dout[at];
            dot += c->dout[at] * c->kept[at];
            mean += c->in[0][at] / (double)n;
        }
        for (int64_t i = 0; i < n; i++) {
            double d = c->in[0][of_channel(c, inner, k, i)] - mean;
            var += d * d / (double)n;
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t at = of_channel(c, inner, k, i);
            c->din[0][at] += c->in[1][k] / sqrt(var + epsilon) *
                             (c->dout[at] - sum / (double)n - c->kept[at] * dot / (double)n);
        }
        c->din[1][k] += dot;
        c->din[2][k] += sum;
    }
}

/* y = x mask, mask 0 with probability ratio, else 1 / (1 - ratio) (Srivastava et
 * al. 2014, scaled while dropping).  kept: the mask. */
static void dropout_forward(const call *c)
{
    double ratio = nn_node_float(c->node, "ratio", 0.5);

    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        float draw = 1;
        if (c->rng != NULL) {
            fl_rng_fill_uniform(c->rng, &draw, 1);
            c->kept[i] = draw < (float)ratio ? 0 : 1 / (1 - ratio);
        } else {
            c->kept[i] = 1;
        }
        c->out[i] = c->in[0][i] * c->kept[i];
    }
}

static void dropout_backward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->din[0][i] += c->dout[i] * c->kept[i];
    }
}

/* --------------------------------------------------------------------- shapes */

static void copy_forward(const call *c)
{
    memcpy(c->out, c->in[0], (size_t)count_of(c->out_shape) * sizeof *c->out);
}

static void copy_backward(const call *c)
{
    for (int64_t i = 0; i < count_of(c->out_shape); i++) {
        c->din[0][i] += c->dout[i];
    }
}

static const nn_ref_op operators[] = {
    {"Conv", conv_forward, conv_backward},
    {"ConvTranspose", conv_transpose_forward, conv_transpose_backward},
    {"MaxPool", max_pool_forward, max_pool_backward},
    {"AveragePool", average_pool_forward, average_pool_backward},
    {"GlobalAveragePool", average_pool_forward, average_pool_backward},
    {"Relu", relu_forward, relu_backward},
    {"Sigmoid", sigmoid_forward, sigmoid_backward},
    {"Softmax", softmax_forward, softmax_backward},
    {"Add", add_forward, add_backward},
    {"BatchNormalization", batch_norm_forward, batch_norm_backward},
    {"Dropout", dropout_forward, dropout_backward},
    {"Flatten", copy_forward, copy_backward},
    {"Reshape", copy_forward, copy_backward},
    {"Squeeze", copy_forward, copy_backward},
    {"Unsqueeze", copy_forward, copy_backward},
    {"Identity", copy_forward, copy_backward},
    {"Cast", copy_forward, copy_backward},
    {0},
};

static const nn_ref_op *const families[] = {operators, nn_ref_map, nn_ref_arrange, nn_ref_product};

/* --------------------------------------------------------------------- graphs */

struct nn_ref {
    const nn_graph *g;
    bool train;
    size_t n_values;
    nn_shape *shapes;  // by value, the batch a number
    double **values, **grads, **kept;
};

nn_ref *nn_ref_new(const nn_graph *g, int64_t N, bool train)
{
    nn_ref *r = fl_xcalloc(1, sizeof *r);
    size_t n = nn_graph_n_values(g);

    r->g = g;
    r->train = train;
    r->n_values = n;
    r->shapes = fl_xcalloc(n, sizeof *r->shapes);
    r->values = fl_xcalloc(n, sizeof *r->values);
    r->grads = fl_xcalloc(n, sizeof *r->grads);
    r->kept = fl_xcalloc(n, sizeof *r->kept);
    for (size_t v = 0; v < n; v++) {
        r->shapes[v] = *nn_graph_shape(g, (nn_value)v);
        if (r->shapes[v].rank > 0 && r->shapes[v].dim[0] == NN_BATCH) {
            r->shapes[v].dim[0] = N;
        }
        size_t count = (size_t)count_of(&r->shapes[v]);
        r->values[v] = fl_xcalloc(count, sizeof **r->values);
        r->grads[v] = fl_xcalloc(count, sizeof **r->grads);
        r->kept[v] = fl_xcalloc(count, sizeof **r->kept);
    }
    return r;
}

void nn_ref_destroy(nn_ref **r)
{
    if (*r == NULL) {
        return;
    }
    for (size_t v = 0; v < (*r)->n_values; v++) {
        free((*r)->values[v]);
        free((*r)->grads[v]);
        free((*r)->kept[v]);
    }
    free((*r)->shapes);
    free((*r)->values);
    free((*r)->grads);
    free((*r)->kept);
    FL_FREE(*r);
}

double *nn_ref_value(nn_ref *r, nn_value v)
{
    return r->values[v];
}

double *nn_ref_grad(nn_ref *r, nn_value v)
{
    return r->grads[v];
}

int64_t nn_ref_count(const nn_ref *r, nn_value v)
{
    return count_of(&r->shapes[v]);
}

void nn_ref_set_params(nn_ref *r, const float *data)
{
    for (size_t v = 0; v < r->n_values; v++) {
        int64_t i = nn_graph_param_index(r->g, (nn_value)v);
        const nn_param *p = i < 0 ? NULL : nn_table_at(nn_graph_table(r->g), (size_t)i);
        for (int64_t k = 0; p != NULL && k < p->count; k++) {
            r->values[v][k] = data[p->offset + k];
        }
    }
}

void nn_ref_get_param_grads(nn_ref *r, double *grad)
{
    for (size_t v = 0; v < r->n_values; v++) {
        int64_t i = nn_graph_param_index(r->g, (nn_value)v);
        const nn_param *p = i < 0 ? NULL : nn_table_at(nn_graph_table(r->g), (size_t)i);
        if (p != NULL) {
            memcpy(grad + p->offset, r->grads[v], (size_t)p->count * sizeof *grad);
        }
    }
}

/* Runs node i in one direction. */
static void run_node(nn_ref *r, size_t i, bool backward, fl_rng *rng)
{
    const nn_node *node = nn_graph_node(r->g, i);
    nn_value out = node->out[0];
    call c = {.node = node,
              .out_shape = &r->shapes[out],
              .out = r->values[out],
              .dout = r->grads[out],
              .kept = r->kept[out],
              .train = r->train,
              .rng = rng};

    for (size_t k = 0; k < node->n_in; k++) {
        if (node->in[k] >= 0) {
            c.in_shape[k] = &r->shapes[node->in[k]];
            c.in[k] = r->values[node->in[k]];
            c.din[k] = r->grads[node->in[k]];
        }
    }
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (const nn_ref_op *op = families[f]; op->op != NULL; op++) {
            if (strcmp(op->op, node->op) == 0) {
                (backward ? op->backward : op->forward)(&c);
                return;
            }
        }
    }
    FL_REQUIRE(!"every operator has a definition here");
}

void nn_ref_forward(nn_ref *r, fl_rng *rng)
{
    for (size_t i = 0; i < nn_graph_n_nodes(r->g); i++) {
        run_node(r, i, false, rng);
    }
}

static bool is_output(const nn_graph *g, nn_value v)
{
    for (size_t i = 0; i < nn_graph_n_outputs(g); i++) {
        if (nn_graph_output_at(g, i) == v) {
            return true;
        }
    }
    return false;
}

void nn_ref_backward(nn_ref *r)
{
    for (size_t v = 0; v < r->n_values; v++) {
        if (!is_output(r->g, (nn_value)v)) {
            memset(r->grads[v], 0, (size_t)count_of(&r->shapes[v]) * sizeof **r->grads);
        }
    }
    for (size_t i = nn_graph_n_nodes(r->g); i-- > 0;) {
        run_node(r, i, true, NULL);
    }
}
