/*
 * ops_norm.c - operators that differ between training and use: batch
 * normalisation and dropout
 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

/* ------------------------------------------------------ BatchNormalization */

/* Inputs: x, scale, shift, running mean, running variance. */
static fl_status batch_norm_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                  fl_err *err)
{
    (void)node;
    if (in[0]->rank < 2 || in[0]->rank > 5) {
        return fl_fail(err, FL_ECONFIG, "the input must be (N, C, H, W) or (N, C)");
    }
    for (int i = 1; i < 5; i++) {
        if (in[i]->rank != 1 || in[i]->dim[0] != in[0]->dim[1]) {
            return fl_fail(err, FL_ECONFIG,
                           "scale, shift, mean and variance must have %lld numbers each",
                           (long long)in[0]->dim[1]);
        }
    }
    *out = *in[0];
    return FL_OK;
}

typedef struct {
    double keep;  // of the running value, in a step
    int64_t C;
    double unbias;  // n / (n - 1), n numbers a channel
} advance_spec;

/*
 * running = keep running + (1 - keep) batch, with the unbiased variance, as
 * PyTorch has it (ONNX's training mode keeps the biased one).
 * data: running mean, running variance, batch mean, batch variance
 */
static void advance_statistics(const nn_call *call)
{
    const advance_spec *s = call->spec;
    float *mean = call->data[0], *var = call->data[1];

    for (int64_t c = 0; call->advance && c < s->C; c++) {
        mean[c] = (float)(s->keep * mean[c] + (1 - s->keep) * call->data[2][c]);
        var[c] = (float)(s->keep * var[c] + (1 - s->keep) * s->unbias * call->data[3][c]);
    }
}

/* Channels as the innermost dimension: what convolutions on AMX make of images. */
static const nn_layout *channels_last(nn_build *b, const nn_shape *dims)
{
    int order[NN_MAX_RANK] = {0};

    for (int i = 1; i < dims->rank; i++) {
        order[i] = i + 1 < dims->rank ? i + 1 : 1;
    }
    nn_dnnl *d = nn_build_dnnl(b);
    return nn_layout_typed(d, nn_layout_permuted(d, dims->rank, dims->dim, order), nn_dnnl_type(d));
}

/* x with channels in blocks, or in bfloat16 last if they come so: in other layouts
 * the primitive is not compiled. */
static nn_slot batch_norm_input(nn_build *b, const nn_node *node)
{
    nn_slot x = nn_build_value(b, node->in[0]);
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    if (dims.rank == 2) {
        return nn_build_in_plain(b, x, &dims);
    }
    nn_dnnl *d = nn_build_dnnl(b);
    const nn_layout *l = nn_build_layout(b, x), *last = channels_last(b, &dims);
    if (nn_dnnl_type(d) == NN_TYPE_BF16 && dims.dim[1] % nn_dnnl_block() == 0 && l != NULL &&
        last != NULL && nn_layout_equal(l, last)) {
        return x;
    }
    const nn_layout *blocked = nn_layout_blocked(d, dims.rank, dims.dim);
    return nn_build_in_layout(b, x, nn_layout_typed(d, blocked, nn_dnnl_type(d)));
}

/*
 * One whose scale and shift are frozen normalises by its running statistics in
 * training too, and these stay: it is the same function for every batch.
 */
static bool is_frozen(const nn_build *b, const nn_node *node)
{
    return nn_build_is_training(b) && nn_build_is_frozen(b, node->in[1]) &&
           nn_build_is_frozen(b, node->in[2]);
}

static void frozen_plan(nn_build *b, const nn_node *node)
{
    nn_slot x = batch_norm_input(b, node);
    const nn_layout *l = nn_build_layout(b, x);
    nn_norm_spec s = {nn_node_float(node, "epsilon", 1e-5), false};
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    const nn_layout *channels = nn_layout_plain(nn_build_dnnl(b), 1, &dims.dim[1]);
    nn_prim *prim = l == NULL
                        ? NULL
                        : nn_dnnl_batch_norm(nn_build_dnnl(b), &s, NN_PASS_INFER, l, NULL);
    nn_slot y = nn_build_slot(b, l);
    nn_build_prim(b, prim,
                  (nn_use[]){{NN_SRC, x},
                             {NN_SCALE, nn_build_param(b, node->in[1], channels, channels)},
                             {NN_SHIFT, nn_build_param(b, node->in[2], channels, channels)},
                             {NN_MEAN, nn_build_param(b, node->in[3], channels, channels)},
                             {NN_VARIANCE, nn_build_param(b, node->in[4], channels, channels)},
                             {NN_DST, y}},
                  6);
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){prim, {x, -1, -1, -1}};
}

/* data: zeros; spec: how many */
static void fill_with_zeros(const nn_call *call)
{
    nn_vec_zero(call->data[0], *(const int64_t *)call->spec);
}

/* dx = scale / sqrt(var + epsilon) dy: the function itself, without mean and shift. */
static void frozen_plan_grad(nn_build *b, const nn_node *node)
{
    const nn_layout *l = nn_build_layout(b, nn_build_memo(b, node)->slot[0]);
    nn_norm_spec s = {nn_node_float(node, "epsilon", 1e-5), false};
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    const nn_layout *channels = nn_layout_plain(nn_build_dnnl(b), 1, &dims.dim[1]);
    nn_prim *prim = l == NULL
                        ? NULL
                        : nn_dnnl_batch_norm(nn_build_dnnl(b), &s, NN_PASS_INFER, l, NULL);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]), l);
    nn_slot dx = nn_build_slot(b, l), zeros = nn_build_slot(b, channels);
    nn_build_kernel(b, fill_with_zeros, (nn_use[]){{NN_DST, zeros}}, 1, &dims.dim[1],
                    sizeof dims.dim[1]);
    nn_build_prim(b, prim,
                  (nn_use[]){{NN_SRC, dy},
                             {NN_SCALE, nn_build_param(b, node->in[1], channels, channels)},
                             {NN_SHIFT, zeros},
                             {NN_MEAN, zeros},
                             {NN_VARIANCE, nn_build_param(b, node->in[4], channels, channels)},
                             {NN_DST, dx}},
                  6);
    nn_build_add_grad(b, node->in[0], dx);
}

static void batch_norm_plan(nn_build *b, const nn_node *node)
{
    if (nn_build_is_forward_done(b, node)) {
        return;
    }
    if (is_frozen(b, node)) {
        frozen_plan(b, node);
        return;
    }
    nn_dnnl *d = nn_build_dnnl(b);
    bool train = nn_build_is_training(b);
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    int64_t C = dims.dim[1];
    const nn_layout *channels = nn_layout_plain(d, 1, &C);
    const nn_node *reader = nn_build_sole_reader(b, node->out[0]);
    nn_norm_spec s = {nn_node_float(node, "epsilon", 1e-5),
                      reader != NULL && strcmp(reader->op, "Relu") == 0};
    nn_slot x = batch_norm_input(b, node);
    const nn_layout *l = nn_build_layout(b, x);
    nn_prim *prim = l == NULL
                        ? NULL
                        : nn_dnnl_batch_norm(d, &s, train ? NN_PASS_TRAIN : NN_PASS_INFER, l, NULL);
    nn_slot param[5] = {-1, -1, -1, -1, -1};
    for (int i = 1; i < 5; i++) {
        param[i] = nn_build_param(b, node->in[i], channels, channels);
    }
    nn_slot mean = train ? nn_build_slot(b, channels) : param[3];
    nn_slot var = train ? nn_build_slot(b, channels) : param[4];
    nn_slot y = nn_build_slot(b, l);
    const nn_layout *workspace = nn_prim_layout(prim, NN_WORKSPACE);
    nn_slot mask = workspace != NULL ? nn_build_slot(b, workspace) : -1;
    nn_build_prim(b, prim,
                  (nn_use[]){{NN_SRC, x},
                             {NN_SCALE, param[1]},
                             {NN_SHIFT, param[2]},
                             {NN_MEAN, mean},
                             {NN_VARIANCE, var},
                             {NN_WORKSPACE, mask},
                             {NN_DST, y}},
                  7);
    if (train) {
        double n = (double)(nn_shape_count(&dims, 0) / C);
        advance_spec advance = {nn_node_float(node, "momentum", 0.9), C, n > 1 ? n / (n - 1) : 1};
        nn_build_kernel(
            b, advance_statistics,
            (nn_use[]){{NN_SRC, param[3]}, {NN_SRC, param[4]}, {NN_MEAN, mean}, {NN_VARIANCE, var}},
            4, &advance, sizeof advance);
    }
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){prim, {x, mean, var, mask}};
    if (s.relu) {
        nn_build_mark_forward_done(b, reader);
        nn_build_mark_grad_done(b, reader);
    }
}

static void batch_norm_plan_grad(nn_build *b, const nn_node *node)
{
    if (is_frozen(b, node)) {
        frozen_plan_grad(b, node);
        return;
    }
    nn_dnnl *d = nn_build_dnnl(b);
    const nn_memo *memo = nn_build_memo(b, node);
    const nn_layout *l = nn_build_layout(b, memo->slot[0]);
    const nn_node *reader = nn_build_sole_reader(b, node->out[0]);
    nn_norm_spec s = {nn_node_float(node, "epsilon", 1e-5),
                      reader != NULL && strcmp(reader->op, "Relu") == 0};
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    const nn_layout *channels = nn_layout_plain(d, 1, &dims.dim[1]);
    nn_prim *prim = l == NULL ? NULL : nn_dnnl_batch_norm(d, &s, NN_PASS_DATA_GRAD, l, memo->prim);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]), l);
    nn_slot scale = nn_build_param(b, node->in[1], channels, channels);
    nn_slot shift = nn_build_param(b, node->in[2], channels, channels);
    nn_slot dx = nn_build_slot(b, l);
    nn_slot dscale = nn_build_param_grad(b, node->in[1], channels, channels);
    nn_slot dshift = nn_build_param_grad(b, node->in[2], channels, channels);
    nn_build_prim(b, prim,
                  (nn_use[]){{NN_SRC, memo->slot[0]},
                             {NN_MEAN, memo->slot[1]},
                             {NN_VARIANCE, memo->slot[2]},
                             {NN_WORKSPACE, memo->slot[3]},
                             {NN_SCALE, scale},
                             {NN_SHIFT, shift},
                             {NN_DIFF_DST, dy},
                             {NN_DIFF_SRC, dx},
                             {NN_DIFF_SCALE, dscale},
                             {NN_DIFF_SHIFT, dshift}},
                  10);
    nn_build_param_grad_done(b, node->in[1], channels, dscale);
    nn_build_param_grad_done(b, node->in[2], channels, dshift);
    nn_build_add_grad(b, node->in[0], dx);
}

/* ----------------------------------------------------------------- Dropout */

static fl_status dropout_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                               fl_err *err)
{
    double rate = nn_node_float(node, "ratio", 0.5);

    if (in[0]->rank < 1 || in[0]->dim[0] != NN_BATCH) {
        return fl_fail(err, FL_EUNSUPPORTED, "the input must be a batch");
    }
    if (!(rate >= 0 && rate < 1)) {
        return fl_fail(err, FL_ECONFIG, "the dropout rate must be at least 0 and below 1, not %g",
                       rate);
    }
    *out = *in[0];
    return FL_OK;
}

typedef struct {
    int64_t row;  // numbers of one row of the batch, padding included
    double rate;
} dropout_spec;

/*
 * mask = 0 with probability rate, else 1 / (1 - rate);  y = mask x.
 * Draws one number for every number of the valid rows, in the order in which
 * they lie in memory.  Without a stream nothing is dropped.  data: x mask y
 */
static void dropout_forward(const nn_call *call)
{
    const dropout_spec *s = call->spec;
    const float *x = call->data[0];
    float *mask = call->data[1], *y = call->data[2];
    float rate = (float)s->rate, scale = (float)(1 / (1 - s->rate));
    int64_t n = call->capacity * s->row, drawn = call->rng != NULL ? call->n_valid * s->row : 0;

    if (call->rng != NULL) {
        fl_rng_fill_uniform(call->rng, mask, (size_t)drawn);
    }
    for (int64_t i = 0; i < drawn; i++) {
        mask[i] = mask[i] < rate ? 0 : scale;
    }
    for (int64_t i = drawn; i < n; i++) {
        mask[i] = 1;
    }
    for (int64_t i = 0; i < n; i++) {
        y[i] = mask[i] * x[i];
    }
}

/* dx = mask dy.  data: dy mask dx; dx may be dy. */
static void dropout_backward(const nn_call *call)
{
    const dropout_spec *s = call->spec;
    int64_t n = call->capacity * s->row;

    for (int64_t i = 0; i < n; i++) {
        call->data[2][i] = call->data[1][i] * call->data[0][i];
    }
}

static dropout_spec dropout_spec_of(nn_build *b, const nn_node *node, nn_slot x)
{
    nn_shape dims;

    nn_build_dims(b, node->in[0], &dims);
    const nn_layout *l = nn_build_layout(b, x);
    int64_t n = l == NULL ? 0 : (int64_t)(nn_layout_bytes(l) / sizeof(float));
    return (dropout_spec){n / dims.dim[0], nn_node_float(node, "ratio", 0.5)};
}

static void dropout_plan(nn_build *b, const nn_node *node)
{
    nn_slot x = nn_build_value(b, node->in[0]);

    if (!nn_build_is_dropping(b)) {
        nn_build_set_value(b, node->out[0], x);
        return;
    }
    x = nn_build_in_float(b, x);
    dropout_spec s = dropout_spec_of(b, node, x);
    nn_slot mask = nn_build_slot(b, nn_build_layout(b, x)),
            y = nn_build_slot(b, nn_build_layout(b, x));
    nn_build_kernel(b, dropout_forward, (nn_use[]){{NN_SRC, x}, {NN_WORKSPACE, mask}, {NN_DST, y}},
                    3, &s, sizeof s);
    nn_build_set_value(b, node->out[0], y);
    nn_build_memo(b, node)->slot[0] = mask;
}

static void dropout_plan_grad(nn_build *b, const nn_node *node)
{
    nn_slot mask = nn_build_memo(b, node)->slot[0];
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]), nn_build_layout(b, mask));
    dropout_spec s = dropout_spec_of(b, node, mask);

    nn_slot dx = nn_build_owns_grad(b, dy) ? dy : nn_build_slot(b, nn_build_layout(b, mask));
    nn_build_kernel(b, dropout_backward,
                    (nn_use[]){{NN_DIFF_DST, dy}, {NN_WORKSPACE, mask}, {NN_DIFF_SRC, dx}}, 3, &s,
                    sizeof s);
    nn_build_add_grad(b, node->in[0], dx);
}

const nn_op nn_ops_norm[] = {
    {
        .name = "BatchNormalization",
        .min_inputs = 5,
        .max_inputs = 5,
        .attrs = {"epsilon", "momentum"},
        .shape = batch_norm_shape,
        .plan = batch_norm_plan,
        .plan_grad = batch_norm_plan_grad,
    },
    {
        .name = "Dropout",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"ratio"},
        .shape = dropout_shape,
        .plan = dropout_plan,
        .plan_grad = dropout_plan_grad,
    },
    {0},
};
