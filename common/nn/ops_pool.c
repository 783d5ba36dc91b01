/*
 * ops_pool.c - the largest or the average in a window
 */
#include <string.h>

#include "base/wide.h"
#include "nn/channels.h"
#include "nn/eight.h"
#include "nn/ops.h"
#include "nn/parallel.h"

static fl_status pool_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                            fl_err *err)
{
    nn_window w;

    if (nn_node_int(node, "storage_order", 0) != 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "storage_order must be 0");
    }
    fl_status st = nn_window_read(&w, node, in[0], NULL, err);
    if (st == FL_OK) {
        nn_window_shape(out, in[0], in[0]->dim[1], &w);
    }
    return st;
}

static fl_status global_pool_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                                   fl_err *err)
{
    (void)node;
    if (in[0]->rank < 3 || in[0]->rank > 5) {
        return fl_fail(err, FL_ECONFIG, "the input must be (N, C, H, W)");
    }
    *out = *in[0];
    for (int i = 2; i < out->rank; i++) {
        out->dim[i] = 1;
    }
    return FL_OK;
}

static nn_pool_spec pool_spec(nn_build *b, const nn_node *node)
{
    nn_pool_spec s = {0};
    nn_shape x, y;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->out[0], &y);
    s.n_spatial = x.rank - 2;
    memcpy(s.dst, y.dim, sizeof s.dst);
    s.kind = strcmp(node->op, "MaxPool") == 0                 ? NN_POOL_MAX
             : nn_node_int(node, "count_include_pad", 0) != 0 ? NN_POOL_AVERAGE_PADDED
                                                              : NN_POOL_AVERAGE;
    if (strcmp(node->op, "GlobalAveragePool") == 0) {
        for (int i = 0; i < s.n_spatial; i++) {
            s.kernel[i] = x.dim[2 + i];
            s.stride[i] = s.dilation[i] = 1;
        }
        return s;
    }
    nn_window w = nn_window_of(b, node, -1);
    memcpy(s.kernel, w.kernel, sizeof s.kernel);
    memcpy(s.stride, w.stride, sizeof s.stride);
    memcpy(s.dilation, w.dilation, sizeof s.dilation);
    memcpy(s.pad_begin, w.pad_begin, sizeof s.pad_begin);
    memcpy(s.pad_end, w.pad_end, sizeof s.pad_end);
    return s;
}

/* -------------------------------------------------------- tiles of 2x2 pixels */

/*
 * Windows of 2x2 that lie side by side, as networks have them: a kernel of ours.
 * oneDNN's takes five to eight times as long, which in a small network was more
 * than a third of a training step.
 */
typedef struct {
    nn_channels x;
    int64_t H, W;
    bool relu;  // backward: through a ReLU in front of the pool
} tile_spec;

typedef struct {
    const tile_spec *s;
    const nn_call *call;
} tile_job;

/* A row of y from number `at` on: the largest of four, and which of them it was; of
 * equals the first. */
FL_WIDE_PART void tile_row(const tile_spec *s, const nn_call *call, int64_t at, int64_t top,
                           bool bf16)
{
    int64_t block = s->x.block, bottom = top + s->W * block;
    const void *x = call->data[0];
    uint8_t *where = (uint8_t *)call->data[2];

    for (int64_t o = 0; o < s->W / 2; o++, top += block, bottom += block) {
        for (int64_t k = 0; k < block; k += 8, at += 8, top += 8, bottom += 8) {
            nn_f8 a, b, c, d;
            nn_load8(&a, x, top, bf16);
            nn_load8(&b, x, top + block, bf16);
            nn_load8(&c, x, bottom, bf16);
            nn_load8(&d, x, bottom + block, bf16);
            nn_i8 b_wins = b > a, d_wins = d > c;
            nn_f8 ab = nn_select(b_wins, b, a), cd = nn_select(d_wins, d, c);
            nn_i8 cd_wins = cd > ab;
            nn_f8 y = nn_select(cd_wins, cd, ab);
            nn_store8(call->data[1], at, &y, bf16);
            if (where != NULL) {  // a mask is -1 where it holds
                nn_i8 which = (cd_wins & (2 - d_wins)) | (~cd_wins & -b_wins);
                *(nn_u8x8 *)(where + at) = __builtin_convertvector(which, nn_u8x8);
            }
        }
    }
}

/* data: x y where.  where is not wanted without a gradient. */
FL_WIDEST static void tile_forward_part(const void *ctx, int64_t from, int64_t to)
{
    const tile_job *job = ctx;
    const tile_spec *s = job->s;
    int64_t H = s->H / 2, W = s->W / 2, block = s->x.block;

    for (int64_t row = from; row < to; row++) {
        int64_t at = row * W * block;
        int64_t top = (row / H * s->H + 2 * (row % H)) * s->W * block;
        if (s->x.bf16) {
            tile_row(s, job->call, at, top, true);
        } else {
            tile_row(s, job->call, at, top, false);
        }
    }
}

static void tile_forward(const nn_call *call)
{
    tile_job job = {call->spec, call};
    const tile_spec *s = call->spec;

    nn_parallel(call->threads, s->x.N * s->x.G * (s->H / 2), tile_forward_part, &job);
}

FL_WIDE_PART void tile_row_grad(const tile_spec *s, const nn_call *call, int64_t at, int64_t top,
                                bool bf16)
{
    const nn_f8 zero = {0};
    int64_t block = s->x.block, bottom = top + s->W * block;
    const uint8_t *where = (const uint8_t *)call->data[1];
    void *dx = call->data[3];

    for (int64_t o = 0; o < s->W / 2; o++, top += block, bottom += block) {
        for (int64_t k = 0; k < block; k += 8, at += 8, top += 8, bottom += 8) {
            nn_i8 which = __builtin_convertvector(*(const nn_u8x8 *)(where + at), nn_i8);
            nn_f8 g, y, d[4];
            nn_load8(&g, call->data[0], at, bf16);
            if (s->relu) {
                nn_load8(&y, call->data[2], at, bf16);
                g = nn_select(y > zero, g, zero);
            }
            for (int i = 0; i < 4; i++) {
                d[i] = nn_select(which == i, g, zero);
            }
            nn_store8(dx, top, &d[0], bf16);
            nn_store8(dx, top + block, &d[1], bf16);
            nn_store8(dx, bottom, &d[2], bf16);
            nn_store8(dx, bottom + block, &d[3], bf16);
        }
    }
}

/* data: dy where y dx.  An odd row or column at the end is in no window. */
FL_WIDEST static void tile_backward_part(const void *ctx, int64_t from, int64_t to)
{
    const tile_job *job = ctx;
    const tile_spec *s = job->s;
    int64_t H = s->H / 2, W = s->W / 2, block = s->x.block, line = s->W * block;
    size_t size = s->x.bf16 ? 2 : sizeof(float);
    unsigned char *dx = (unsigned char *)job->call->data[3];

    for (int64_t row = from; row < to; row++) {
        int64_t top = (row / H * s->H + 2 * (row % H)) * line;
        if (s->x.bf16) {
            tile_row_grad(s, job->call, row * W * block, top, true);
        } else {
            tile_row_grad(s, job->call, row * W * block, top, false);
        }
        if (s->W % 2 != 0) {
            memset(dx + (size_t)(top + line - block) * size, 0, (size_t)block * size);
            memset(dx + (size_t)(top + 2 * line - block) * size, 0, (size_t)block * size);
        }
        if (s->H % 2 != 0 && row % H == H - 1) {
            memset(dx + (size_t)(top + 2 * line) * size, 0, (size_t)line * size);
        }
    }
}

static void tile_backward(const nn_call *call)
{
    tile_job job = {call->spec, call};
    const tile_spec *s = call->spec;

    nn_parallel(call->threads, s->x.N * s->x.G * (s->H / 2), tile_backward_part, &job);
}

/* Whether the node is such a pool, on an image that lies so that eight channels lie
 * side by side; and how. */
static bool tiles_of(tile_spec *out, nn_build *b, const nn_node *node, const nn_pool_spec *s,
                     nn_slot x)
{
    nn_shape dims;

    if (s->kind != NN_POOL_MAX || s->n_spatial != 2 || x < 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (s->kernel[i] != 2 || s->stride[i] != 2 || s->dilation[i] != 1 || s->pad_begin[i] != 0) {
            return false;
        }
    }
    nn_build_dims(b, node->in[0], &dims);
    memset(out, 0, sizeof *out);
    out->H = dims.dim[2];
    out->W = dims.dim[3];
    return out->H / 2 == s->dst[2] && out->W / 2 == s->dst[3] &&  // no window hangs over
           nn_channels_of(&out->x, b, x, &dims) && out->x.block > 1;
}

static void tile_plan(nn_build *b, const nn_node *node, const tile_spec *s, nn_slot x)
{
    nn_shape dims;

    nn_build_dims(b, node->out[0], &dims);
    nn_slot y = nn_build_slot(b, nn_channels_layout(b, &s->x, &dims));
    int64_t n = s->x.N * s->x.G * (s->H / 2) * (s->W / 2) * s->x.block;  // bytes
    nn_slot where = nn_build_wants_grad(b, node->in[0])
                        ? nn_build_flat(b, n / (int64_t)sizeof(float))
                        : -1;
    nn_build_typed_kernel(b, tile_forward,
                          (nn_use[]){{NN_SRC, x}, {NN_DST, y}, {NN_WORKSPACE, where}}, 3, s,
                          sizeof *s);
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){NULL, {x, where, y, -1}};
}

/* The ReLU whose only reader is a max pool: its gradient is taken by the pool. */
static const nn_node *relu_in_front(nn_build *b, const nn_node *node)
{
    const nn_node *producer = nn_build_producer(b, node->in[0]);
    bool is_it = strcmp(node->op, "MaxPool") == 0 && producer != NULL &&
                 strcmp(producer->op, "Relu") == 0 &&
                 nn_build_sole_reader(b, node->in[0]) == node &&
                 !nn_build_is_grad_done(b, producer);

    return is_it ? producer : NULL;
}

static void tile_plan_grad(nn_build *b, const nn_node *node, tile_spec *s)
{
    const nn_memo *memo = nn_build_memo(b, node);
    const nn_node *relu = relu_in_front(b, node);

    s->relu = relu != NULL;
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    nn_build_layout(b, memo->slot[2]));
    nn_slot dx = nn_build_slot(b, nn_build_layout(b, memo->slot[0]));
    nn_build_typed_kernel(b, tile_backward,
                          (nn_use[]){{NN_DIFF_DST, dy},
                                     {NN_WORKSPACE, memo->slot[1]},
                                     {NN_DST, memo->slot[2]},
                                     {NN_DIFF_SRC, dx}},
                          4, s, sizeof *s);
    if (relu != NULL) {
        nn_build_mark_grad_done(b, relu);
    }
    nn_build_add_grad(b, node->in[0], dx);
}

/* --------------------------------------------------------- unusual averages */

/*
 * oneDNN has no average whose padding reaches beyond the taps of a dilated window,
 * and with ceil_mode none that counts the padding but not what hangs over it.
 */
typedef struct {
    int64_t n_planes, x[NN_MAX_SPATIAL], y[NN_MAX_SPATIAL];  // sizes; 1 in front
    nn_window w;                                             // as wide as they are
    bool counts_padding;
} average_spec;

static bool is_unusual(nn_build *b, const nn_node *node)
{
    if (strcmp(node->op, "AveragePool") != 0) {
        return false;
    }
    nn_window w = nn_window_of(b, node, -1);
    bool is_dilated = false;
    for (int i = 0; i < w.rank; i++) {
        is_dilated |= w.dilation[i] > 1;
    }
    return is_dilated || (nn_node_int(node, "ceil_mode", 0) != 0 &&
                          nn_node_int(node, "count_include_pad", 0) != 0);
}

/* The window and sizes with dimensions of 1 in front, three in all. */
static average_spec average_of(nn_build *b, const nn_node *node)
{
    nn_window w = nn_window_of(b, node, -1);
    average_spec s = {.x = {1, 1, 1},
                      .y = {1, 1, 1},
                      .w = {.rank = NN_MAX_SPATIAL,
                            .kernel = {1, 1, 1},
                            .stride = {1, 1, 1},
                            .dilation = {1, 1, 1}},
                      .counts_padding = nn_node_int(node, "count_include_pad", 0) != 0};
    nn_shape x, y;

    nn_build_dims(b, node->in[0], &x);
    nn_build_dims(b, node->out[0], &y);
    s.n_planes = x.dim[0] * x.dim[1];
    for (int i = 0; i < w.rank; i++) {
        int k = NN_MAX_SPATIAL - w.rank + i;
        s.x[k] = x.dim[2 + i];
        s.y[k] = y.dim[2 + i];
        s.w.kernel[k] = w.kernel[i];
        s.w.stride[k] = w.stride[i];
        s.w.dilation[k] = w.dilation[i];
        s.w.pad_begin[k] = w.pad_begin[i];
        s.w.pad_asked[k] = w.pad_asked[i];
    }
    return s;
}

/* The place in x that tap t of the window at position o sees, or -1. */
static int64_t average_sees(const average_spec *s, const int64_t o[NN_MAX_SPATIAL], int64_t t)
{
    const nn_window *w = &s->w;
    int64_t tap[] = {t / (w->kernel[1] * w->kernel[2]), t / w->kernel[2] % w->kernel[1],
                     t % w->kernel[2]};
    int64_t at = 0;

    for (int i = 0; i < NN_MAX_SPATIAL; i++) {
        int64_t k = o[i] * w->stride[i] - w->pad_begin[i] + tap[i] * w->dilation[i];
        if (k < 0 || k >= s->x[i]) {
            return -1;
        }
        at = at * s->x[i] + k;
    }
    return at;
}

/* y[p,o] = sum over the taps of o of x[p,tap] / their count, or the same backwards. */
static void average(const average_spec *s, const float *in, float *out, bool backward)
{
    const nn_window *w = &s->w;
    int64_t area_x = s->x[0] * s->x[1] * s->x[2], area_y = s->y[0] * s->y[1] * s->y[2];
    int64_t n_taps = w->kernel[0] * w->kernel[1] * w->kernel[2];

    nn_vec_zero(out, s->n_planes * (backward ? area_x : area_y));
    for (int64_t i = 0; i < area_y; i++) {
        int64_t o[] = {i / (s->y[1] * s->y[2]), i / s->y[2] % s->y[1], i % s->y[2]}, n = 0;
        for (int64_t t = 0; t < n_taps; t++) {
            n += average_sees(s, o, t) >= 0;
        }
        if (s->counts_padding) {
            n = nn_window_counted(w, 0, s->x[0], o[0]) * nn_window_counted(w, 1, s->x[1], o[1]) *
                nn_window_counted(w, 2, s->x[2], o[2]);
        }
        float share = n > 0 ? 1 / (float)n : 0;
        for (int64_t t = 0; t < n_taps; t++) {
            int64_t at = average_sees(s, o, t);
            for (int64_t p = 0; p < s->n_planes && at >= 0; p++) {
                if (backward) {
                    out[p * area_x + at] += share * in[p * area_y + i];
                } else {
                    out[p * area_y + i] += share * in[p * area_x + at];
                }
            }
        }
    }
}

/* data: x y */
static void average_forward(const nn_call *call)
{
    average(call->spec, call->data[0], call->data[1], false);
}

/* data: dy dx */
static void average_backward(const nn_call *call)
{
    average(call->spec, call->data[0], call->data[1], true);
}

static void average_plan(nn_build *b, const nn_node *node)
{
    average_spec s = average_of(b, node);
    nn_slot x = nn_plain_value(b, node->in[0]), y = nn_plain_slot(b, node->out[0]);

    nn_build_kernel(b, average_forward, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, &s, sizeof s);
    nn_build_set_value(b, node->out[0], y);
}

static void average_plan_grad(nn_build *b, const nn_node *node)
{
    average_spec s = average_of(b, node);
    nn_slot dy = nn_plain_grad(b, node->out[0]), dx = nn_plain_slot(b, node->in[0]);

    nn_build_kernel(b, average_backward, (nn_use[]){{NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 2, &s,
                    sizeof s);
    nn_build_add_grad(b, node->in[0], dx);
}

/* --------------------------------------------------------- all other windows */

static void pool_plan(nn_build *b, const nn_node *node)
{
    nn_pool_spec s = pool_spec(b, node);
    nn_slot x = nn_build_value(b, node->in[0]);

    tile_spec tiles;
    if (tiles_of(&tiles, b, node, &s, x)) {
        tile_plan(b, node, &tiles, x);
        return;
    }
    if (is_unusual(b, node)) {
        average_plan(b, node);
        return;
    }
    /* Only the gradient needs to know where each maximum was. */
    nn_pass pass = nn_build_wants_grad(b, node->in[0]) ? NN_PASS_TRAIN : NN_PASS_INFER;
    nn_prim *prim = nn_dnnl_pool(nn_build_dnnl(b), &s, pass, nn_build_layout(b, x), NULL);
    nn_slot y = nn_build_slot(b, nn_prim_layout(prim, NN_DST));
    const nn_layout *workspace = nn_prim_layout(prim, NN_WORKSPACE);
    nn_slot where = workspace != NULL ? nn_build_slot(b, workspace) : -1;
    nn_build_prim(b, prim, (nn_use[]){{NN_SRC, x}, {NN_DST, y}, {NN_WORKSPACE, where}}, 3);
    nn_build_set_value(b, node->out[0], y);
    *nn_build_memo(b, node) = (nn_memo){prim, {x, where, y, -1}};
}

/*
 * When the pool alone reads a ReLU, the ReLU's gradient is taken here, on the
 * pooled side, which is a quarter of the size: where the largest of a window
 * is 0, all of the window was <= 0, and otherwise the largest itself was > 0.
 */
static nn_slot pool_plan_relu_grad(nn_build *b, const nn_node *node, nn_slot dy, nn_slot y)
{
    const nn_node *relu = relu_in_front(b, node);

    if (relu == NULL) {
        return dy;
    }
    const nn_layout *l = nn_build_layout(b, y);
    nn_slot masked = nn_build_owns_grad(b, dy) ? dy : nn_build_slot(b, l);
    nn_prim *hint = nn_dnnl_map(nn_build_dnnl(b), NN_RELU, NN_PASS_TRAIN, l, NULL);
    nn_build_prim(b, nn_dnnl_map(nn_build_dnnl(b), NN_RELU, NN_PASS_DATA_GRAD, l, hint),
                  (nn_use[]){{NN_DST, y}, {NN_DIFF_DST, dy}, {NN_DIFF_SRC, masked}}, 3);
    nn_build_mark_grad_done(b, relu);
    return masked;
}

static void pool_plan_grad(nn_build *b, const nn_node *node)
{
    nn_pool_spec s = pool_spec(b, node);
    const nn_memo *memo = nn_build_memo(b, node);

    tile_spec tiles;
    if (tiles_of(&tiles, b, node, &s, memo->slot[0])) {
        tile_plan_grad(b, node, &tiles);
        return;
    }
    if (is_unusual(b, node)) {
        average_plan_grad(b, node);
        return;
    }
    const nn_layout *l = nn_build_layout(b, memo->slot[0]);  // dx lies as x does

    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    nn_prim_layout(memo->prim, NN_DST));
    dy = pool_plan_relu_grad(b, node, dy, memo->slot[2]);
    nn_prim *prim = nn_dnnl_pool(nn_build_dnnl(b), &s, NN_PASS_DATA_GRAD, l, memo->prim);
    dy = nn_build_in_layout(b, dy, nn_prim_layout(prim, NN_DIFF_DST));
    nn_slot dx = nn_build_slot(b, nn_prim_layout(prim, NN_DIFF_SRC));
    nn_build_prim(b, prim,
                  (nn_use[]){{NN_DIFF_DST, dy}, {NN_WORKSPACE, memo->slot[1]}, {NN_DIFF_SRC, dx}},
                  3);
    nn_build_add_grad(b, node->in[0], dx);
}

const nn_op nn_ops_pool[] = {
    {
        .name = "MaxPool",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode",
                  "storage_order"},
        .shape = pool_shape,
        .plan = pool_plan,
        .plan_grad = pool_plan_grad,
    },
    {
        .name = "AveragePool",
        .min_inputs = 1,
        .max_inputs = 1,
        .attrs = {"kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode",
                  "count_include_pad"},
        .shape = pool_shape,
        .plan = pool_plan,
        .plan_grad = pool_plan_grad,
    },
    {
        .name = "GlobalAveragePool",
        .min_inputs = 1,
        .max_inputs = 1,
        .shape = global_pool_shape,
        .plan = pool_plan,
        .plan_grad = pool_plan_grad,
    },
    {0},
};
