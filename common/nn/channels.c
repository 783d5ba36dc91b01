/*
 * channels.c - see channels.h
 *
 * Both layouts are (N, G, HW, block): G groups of block channels that lie side by
 * side, one channel each when row-major.
 */
#include "nn/channels.h"

#include <string.h>

#include "base/wide.h"
#include "nn/eight.h"
#include "nn/parallel.h"

enum { MAX_BLOCK = 16 };

typedef struct {
    int64_t N, C, G, HW, block;
} channel_spec;

typedef struct {
    const channel_spec *s;
    float *x;
    const float *bias;
    float *part;  // (N, G, block)
} channel_job;

static const nn_layout *blocked_layout(nn_build *b, const nn_shape *dims)
{
    return dims->rank < 3 || dims->rank > 5
               ? NULL
               : nn_layout_blocked(nn_build_dnnl(b), dims->rank, dims->dim);
}

static bool is_blocked(nn_build *b, nn_slot slot, const nn_shape *dims)
{
    const nn_layout *l = nn_build_layout(b, slot), *blocked = blocked_layout(b, dims);

    return l != NULL && blocked != NULL && nn_layout_equal(l, blocked);
}

bool nn_channels_fit(nn_build *b, nn_slot slot, const nn_shape *dims)
{
    const nn_layout *l = nn_build_layout(b, slot);

    return is_blocked(b, slot, dims) ||
           (l != NULL &&
            nn_layout_equal(l, nn_layout_plain(nn_build_dnnl(b), dims->rank, dims->dim)));
}

static channel_spec spec_of(nn_build *b, nn_slot slot, const nn_shape *dims)
{
    int64_t block = is_blocked(b, slot, dims) ? nn_dnnl_block() : 1;
    channel_spec s = {dims->dim[0], dims->dim[1], (dims->dim[1] + block - 1) / block, 1, block};

    for (int i = 2; i < dims->rank; i++) {
        s.HW *= dims->dim[i];
    }
    return s;
}

/* The numbers of group g, those of channels that only fill up the block 0. */
static void group_of(float out[static MAX_BLOCK], const channel_spec *s, const float *bias,
                     int64_t g)
{
    for (int64_t k = 0; k < s->block; k++) {
        out[k] = g * s->block + k < s->C ? bias[g * s->block + k] : 0;
    }
}

FL_WIDEST static void add_part(const void *ctx, int64_t from, int64_t to)
{
    const channel_job *job = ctx;
    const channel_spec *s = job->s;
    _Alignas(32) float bias[MAX_BLOCK];

    for (int64_t p = from; p < to; p++) {
        float *x = job->x + p * s->HW * s->block;
        group_of(bias, s, job->bias, p % s->G);
        if (s->block == 1) {
            for (int64_t i = 0; i < s->HW; i++) {
                x[i] += bias[0];
            }
            continue;
        }
        nn_f8 low = *(const nn_f8 *)bias, high = *(const nn_f8 *)(bias + s->block - 8);
        for (int64_t i = 0; i < s->HW * s->block; i += s->block) {
            *(nn_f8 *)(x + i) += low;
            if (s->block == 16) {
                *(nn_f8 *)(x + i + 8) += high;
            }
        }
    }
}

/* data: x bias */
static void add_kernel(const nn_call *call)
{
    const channel_spec *s = call->spec;
    channel_job job = {s, call->data[0], call->data[1], NULL};

    nn_parallel(call->threads, s->N * s->G, add_part, &job);
}

/* Sums of one group of one row of the batch: in float over a few positions, in
 * double over those. */
FL_WIDEST static void sum_part(const void *ctx, int64_t from, int64_t to)
{
    const channel_job *job = ctx;
    const channel_spec *s = job->s;
    enum { FEW = 64 };

    for (int64_t p = from; p < to; p++) {
        const float *x = job->x + p * s->HW * s->block;
        double total[MAX_BLOCK] = {0};
        for (int64_t i = 0; i < s->HW; i += FEW) {
            int64_t end = i + FEW < s->HW ? i + FEW : s->HW;
            _Alignas(32) float few[MAX_BLOCK] = {0};
            if (s->block == 1) {
                for (int64_t k = i; k < end; k++) {
                    few[0] += x[k];
                }
            } else {
                nn_f8 low = {0}, high = {0};
                for (int64_t k = i * s->block; k < end * s->block; k += s->block) {
                    low += *(const nn_f8 *)(x + k);
                    high += *(const nn_f8 *)(x + k + s->block - 8);
                }
                *(nn_f8 *)(few + s->block - 8) = high;
                *(nn_f8 *)few = low;
            }
            for (int64_t k = 0; k < s->block; k++) {
                total[k] += few[k];
            }
        }
        for (int64_t k = 0; k < s->block; k++) {
            job->part[p * s->block + k] = (float)total[k];
        }
    }
}

/* data: x part sum */
static void sum_kernel(const nn_call *call)
{
    const channel_spec *s = call->spec;
    channel_job job = {s, call->data[0], NULL, call->data[1]};

    nn_parallel(call->threads, s->N * s->G, sum_part, &job);
    for (int64_t c = 0; c < s->C; c++) {
        double total = 0;
        for (int64_t n = 0; n < s->N; n++) {
            total += job.part[n * s->G * s->block + c];
        }
        call->data[2][c] = (float)total;
    }
}

void nn_channels_add(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot bias)
{
    channel_spec s = spec_of(b, x, dims);

    nn_build_kernel(b, add_kernel, (nn_use[]){{NN_DST, x}, {NN_BIAS_ARG, bias}}, 2, &s, sizeof s);
}

void nn_channels_sum(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot sum)
{
    channel_spec s = spec_of(b, x, dims);
    nn_slot part = nn_build_flat(b, s.N * s.G * s.block);

    nn_build_kernel(b, sum_kernel, (nn_use[]){{NN_SRC, x}, {NN_WORKSPACE, part}, {NN_DST, sum}}, 3,
                    &s, sizeof s);
}
