/*
 * ops_concat.c - Concat: parts become one tensor, and its gradient parts again
 */
#include "nn/ops.h"
#include "nn/parallel.h"

static fl_status concat_shape(nn_shape *out, const nn_node *node, const nn_shape *const *in,
                              fl_err *err)
{
    int axis = nn_axis(nn_node_int(node, "axis", INT32_MAX), in[0]->rank);

    if (axis < 0 || in[0]->dim[axis] == NN_BATCH) {
        return fl_fail(err, FL_ECONFIG, "axis must be a dimension behind the batch");
    }
    *out = *in[0];
    for (size_t k = 1; k < node->n_in; k++) {
        nn_shape rest = *in[k];
        if (rest.rank == out->rank) {
            rest.dim[axis] = out->dim[axis];
        }
        if (!nn_shape_equal(&rest, out)) {
            return fl_fail(err, FL_ECONFIG, "input %zu differs outside of the axis", k + 1);
        }
        out->dim[axis] += in[k]->dim[axis];
    }
    return FL_OK;
}

/* Part number k of the whole: n numbers in each of `outer` stretches. */
typedef struct {
    int64_t outer, n, stride, offset;
} part_spec;

typedef struct {
    const part_spec *s;
    float *whole, *part;
} copy_job;

static void copy_in(const void *ctx, int64_t from, int64_t to)
{
    const copy_job *job = ctx;
    const part_spec *s = job->s;

    for (int64_t o = from; o < to; o++) {
        nn_vec_copy(job->whole + o * s->stride + s->offset, job->part + o * s->n, s->n);
    }
}

static void copy_out(const void *ctx, int64_t from, int64_t to)
{
    const copy_job *job = ctx;
    const part_spec *s = job->s;

    for (int64_t o = from; o < to; o++) {
        nn_vec_copy(job->part + o * s->n, job->whole + o * s->stride + s->offset, s->n);
    }
}

/* data: part whole */
static void part_in(const nn_call *call)
{
    copy_job job = {call->spec, call->data[1], call->data[0]};

    nn_parallel(call->threads, job.s->outer, copy_in, &job);
}

/* data: whole part */
static void part_out(const nn_call *call)
{
    copy_job job = {call->spec, call->data[0], call->data[1]};

    nn_parallel(call->threads, job.s->outer, copy_out, &job);
}

static int concat_axis(nn_build *b, const nn_node *node)
{
    nn_shape y;

    nn_build_dims(b, node->out[0], &y);
    return nn_axis(nn_node_int(node, "axis", 0), y.rank);
}

/* Whole blocks of channels lie behind each other as single channels would, so the
 * numbers are the same for both layouts. */
static part_spec part_of(nn_build *b, const nn_node *node, size_t k)
{
    part_spec s = {1, 1, 1, 0};
    nn_shape y, x;
    int64_t inner = 1;
    int axis = concat_axis(b, node);

    nn_build_dims(b, node->out[0], &y);
    for (int d = 0; d < y.rank; d++) {
        s.outer *= d < axis ? y.dim[d] : 1;
        inner *= d > axis ? y.dim[d] : 1;
    }
    s.stride = y.dim[axis] * inner;
    for (size_t i = 0; i <= k; i++) {
        nn_build_dims(b, node->in[i], &x);
        s.n = x.dim[axis] * inner;
        s.offset += i < k ? s.n : 0;
    }
    return s;
}

/* Channels of images are joined in blocks, if they come so and fill them. */
static bool joins_blocks(nn_build *b, const nn_node *node)
{
    bool any = false;
    nn_shape x;

    if (concat_axis(b, node) != 1) {
        return false;
    }
    for (size_t k = 0; k < node->n_in; k++) {
        nn_build_dims(b, node->in[k], &x);
        if (x.rank < 3 || x.rank > 5 || x.dim[1] % nn_dnnl_block() != 0) {
            return false;
        }
        const nn_layout *l = nn_build_layout(b, nn_build_value(b, node->in[k]));
        any = any ||
              (l != NULL && nn_layout_equal(l, nn_layout_blocked(nn_build_dnnl(b), x.rank, x.dim)));
    }
    return any;
}

static const nn_layout *concat_layout(nn_build *b, nn_value v, bool blocked)
{
    nn_dnnl *d = nn_build_dnnl(b);
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    return blocked ? nn_layout_blocked(d, dims.rank, dims.dim)
                   : nn_layout_plain(d, dims.rank, dims.dim);
}

static void concat_plan(nn_build *b, const nn_node *node)
{
    bool blocked = joins_blocks(b, node);
    nn_slot y = nn_build_slot(b, concat_layout(b, node->out[0], blocked));

    for (size_t k = 0; k < node->n_in; k++) {
        part_spec s = part_of(b, node, k);
        nn_slot x = nn_build_in_layout(b, nn_build_value(b, node->in[k]),
                                       concat_layout(b, node->in[k], blocked));
        nn_build_kernel(b, part_in, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, &s, sizeof s);
    }
    nn_build_set_value(b, node->out[0], y);
}

static void concat_plan_grad(nn_build *b, const nn_node *node)
{
    bool blocked = joins_blocks(b, node);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    concat_layout(b, node->out[0], blocked));

    for (size_t k = 0; k < node->n_in; k++) {
        part_spec s = part_of(b, node, k);
        if (nn_build_wants_grad(b, node->in[k])) {
            nn_slot dx = nn_build_slot(b, concat_layout(b, node->in[k], blocked));
            nn_build_kernel(b, part_out, (nn_use[]){{NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 2, &s,
                            sizeof s);
            nn_build_add_grad(b, node->in[k], dx);
        }
    }
}

const nn_op nn_ops_concat[] = {
    {
        .name = "Concat",
        .min_inputs = 1,
        .max_inputs = NN_MAX_INPUTS,
        .attrs = {"axis"},
        .shape = concat_shape,
        .plan = concat_plan,
        .plan_grad = concat_plan_grad,
    },
    {0},
};
