/*
 * ops_concat.c - Concat: parts become one tensor, and its gradient parts again
 */
#include <string.h>

#include "nn/channels.h"
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

/* Part number k of the whole: n bytes in each of `outer` stretches. */
typedef struct {
    int64_t outer, n, stride, offset;
} part_spec;

typedef struct {
    const part_spec *s;
    unsigned char *whole, *part;
} copy_job;

static void copy_in(const void *ctx, int64_t from, int64_t to)
{
    const copy_job *job = ctx;
    const part_spec *s = job->s;

    for (int64_t o = from; o < to; o++) {
        memcpy(job->whole + o * s->stride + s->offset, job->part + o * s->n, (size_t)s->n);
    }
}

static void copy_out(const void *ctx, int64_t from, int64_t to)
{
    const copy_job *job = ctx;
    const part_spec *s = job->s;

    for (int64_t o = from; o < to; o++) {
        memcpy(job->part + o * s->n, job->whole + o * s->stride + s->offset, (size_t)s->n);
    }
}

/* data: part whole */
static void part_in(const nn_call *call)
{
    copy_job job = {call->spec, (unsigned char *)call->data[1], (unsigned char *)call->data[0]};

    nn_parallel(call->threads, job.s->outer, copy_in, &job);
}

/* data: whole part */
static void part_out(const nn_call *call)
{
    copy_job job = {call->spec, (unsigned char *)call->data[0], (unsigned char *)call->data[1]};

    nn_parallel(call->threads, job.s->outer, copy_out, &job);
}

static int concat_axis(nn_build *b, const nn_node *node)
{
    nn_shape y;

    nn_build_dims(b, node->out[0], &y);
    return nn_axis(nn_node_int(node, "axis", 0), y.rank);
}

/* Whole blocks of channels lie behind each other as single channels would, so the
 * same numbers hold for both; channels that come last are an axis behind all. */
static part_spec part_of(nn_build *b, const nn_node *node, size_t k, const nn_channels *way)
{
    part_spec s = {1, 1, 1, 0};
    nn_shape y, x;
    int axis = concat_axis(b, node);
    int64_t inner = way->bf16 ? 2 : (int64_t)sizeof(float);

    nn_build_dims(b, node->out[0], &y);
    for (int d = 0; d < y.rank; d++) {
        s.outer *= d < axis || (way->last && d > axis) ? y.dim[d] : 1;
        inner *= d > axis && !way->last ? y.dim[d] : 1;
    }
    s.stride = y.dim[axis] * inner;
    for (size_t i = 0; i <= k; i++) {
        nn_build_dims(b, node->in[i], &x);
        s.n = x.dim[axis] * inner;
        s.offset += i < k ? s.n : 0;
    }
    return s;
}

/*
 * How the whole lies: as the first of its parts that does not lie row-major, where
 * channels of images are joined that fill whole blocks; else row-major.
 */
static nn_channels way_of(nn_build *b, const nn_node *node)
{
    nn_channels way = {.block = 1}, found;
    bool is_found = false;
    nn_shape x;

    if (concat_axis(b, node) != 1) {
        return way;
    }
    for (size_t k = 0; k < node->n_in; k++) {
        nn_build_dims(b, node->in[k], &x);
        if (x.rank < 3 || x.rank > 5 || x.dim[1] % nn_dnnl_block() != 0) {
            return way;
        }
        if (!is_found && nn_channels_of(&found, b, nn_build_value(b, node->in[k]), &x)) {
            is_found = found.block > 1;
        }
    }
    return is_found ? found : way;
}

static const nn_layout *layout_of(nn_build *b, nn_value v, const nn_channels *way)
{
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    return nn_channels_layout(b, way, &dims);
}

static void concat_plan(nn_build *b, const nn_node *node)
{
    nn_channels way = way_of(b, node);
    nn_slot y = nn_build_slot(b, layout_of(b, node->out[0], &way));

    for (size_t k = 0; k < node->n_in; k++) {
        part_spec s = part_of(b, node, k, &way);
        nn_slot x = nn_build_in_layout(b, nn_build_value(b, node->in[k]),
                                       layout_of(b, node->in[k], &way));
        nn_build_typed_kernel(b, part_in, (nn_use[]){{NN_SRC, x}, {NN_DST, y}}, 2, &s, sizeof s);
    }
    nn_build_set_value(b, node->out[0], y);
}

static void concat_plan_grad(nn_build *b, const nn_node *node)
{
    nn_channels way = way_of(b, node);
    nn_slot dy = nn_build_in_layout(b, nn_build_grad(b, node->out[0]),
                                    layout_of(b, node->out[0], &way));

    for (size_t k = 0; k < node->n_in; k++) {
        part_spec s = part_of(b, node, k, &way);
        if (nn_build_wants_grad(b, node->in[k])) {
            nn_slot dx = nn_build_slot(b, layout_of(b, node->in[k], &way));
            nn_build_typed_kernel(b, part_out, (nn_use[]){{NN_DIFF_DST, dy}, {NN_DIFF_SRC, dx}}, 2,
                                  &s, sizeof s);
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
