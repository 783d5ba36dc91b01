/*
 * channels.c - see channels.h
 */
#include "nn/channels.h"

#include <string.h>

#include "base/wide.h"
#include "nn/eight.h"
#include "nn/parallel.h"

enum { MAX_BLOCK = 2048 };  // channels that lie side by side

/* ----------------------------------------------------------------- layouts */

static const nn_layout *typed(nn_build *b, const nn_layout *l, bool bf16)
{
    return nn_layout_typed(nn_build_dnnl(b), l, bf16 ? NN_TYPE_BF16 : NN_TYPE_F32);
}

const nn_layout *nn_channels_layout(nn_build *b, const nn_channels *like, const nn_shape *dims)
{
    nn_dnnl *d = nn_build_dnnl(b);
    int last[NN_MAX_RANK] = {0};

    if (like->block == 1) {
        return typed(b, nn_layout_plain(d, dims->rank, dims->dim), like->bf16);
    }
    if (!like->last) {
        return typed(b, nn_layout_blocked(d, dims->rank, dims->dim), like->bf16);
    }
    for (int i = 1; i < dims->rank; i++) {
        last[i] = i + 1 < dims->rank ? i + 1 : 1;
    }
    return typed(b, nn_layout_permuted(d, dims->rank, dims->dim, last), like->bf16);
}

bool nn_channels_of(nn_channels *out, nn_build *b, nn_slot slot, const nn_shape *dims)
{
    const nn_layout *l = nn_build_layout(b, slot);
    int64_t C = dims->dim[1], wide = nn_dnnl_block(), HW = 1;

    if (l == NULL || dims->rank < 3 || dims->rank > 5 || nn_layout_type(l) == NN_TYPE_OTHER) {
        return false;
    }
    for (int i = 2; i < dims->rank; i++) {
        HW *= dims->dim[i];
    }
    bool bf16 = nn_layout_type(l) == NN_TYPE_BF16;
    const nn_channels ways[] = {
        {dims->dim[0], C, (C + wide - 1) / wide, HW, wide, false, bf16},
        {dims->dim[0], C, 1, HW, C, true, bf16},
        {dims->dim[0], C, C, HW, 1, false, bf16},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        bool is_whole = ways[i].block % 8 == 0 && ways[i].block <= MAX_BLOCK;
        if ((is_whole || (ways[i].block == 1 && !bf16)) &&
            nn_layout_equal(l, nn_channels_layout(b, &ways[i], dims))) {
            *out = ways[i];
            return true;
        }
    }
    return false;
}

/* ----------------------------------------------------------------- kernels */

typedef struct {
    const nn_channels *s;
    void *x;
    const float *bias;
    float *part;  // (N, G, block)
} channel_job;

FL_WIDE_PART void add_plane(const nn_channels *s, void *x, int64_t at, const float *bias, bool bf16)
{
    for (int64_t i = 0; i < s->HW; i++, at += s->block) {
        for (int64_t k = 0; k < s->block; k += 8) {
            nn_f8 v;
            nn_load8(&v, x, at + k, bf16);
            v += *(const nn_f8 *)(bias + k);
            nn_store8(x, at + k, &v, bf16);
        }
    }
}

FL_WIDEST static void add_part(const void *ctx, int64_t from, int64_t to)
{
    const channel_job *job = ctx;
    const nn_channels *s = job->s;
    _Alignas(32) float bias[MAX_BLOCK];

    for (int64_t p = from; p < to; p++) {
        int64_t at = p * s->HW * s->block;
        for (int64_t k = 0; k < s->block; k++) {  // what only fills up a block gets 0
            int64_t c = p % s->G * s->block + k;
            bias[k] = c < s->C ? job->bias[c] : 0;
        }
        if (s->block == 1) {
            for (int64_t i = 0; i < s->HW; i++) {
                ((float *)job->x)[at + i] += bias[0];
            }
        } else if (s->bf16) {
            add_plane(s, job->x, at, bias, true);
        } else {
            add_plane(s, job->x, at, bias, false);
        }
    }
}

/* data: x bias */
static void add_kernel(const nn_call *call)
{
    const nn_channels *s = call->spec;
    channel_job job = {s, call->data[0], call->data[1], NULL};

    nn_parallel(call->threads, s->N * s->G, add_part, &job);
}

/* few[k] = sum over n positions of x[i,k]. */
FL_WIDE_PART void sum_few(float *few, const void *x, int64_t at, int64_t n, int64_t block,
                          bool bf16)
{
    memset(few, 0, (size_t)block * sizeof *few);
    for (int64_t i = 0; i < n; i++, at += block) {
        for (int64_t k = 0; k < block; k += 8) {
            nn_f8 v;
            nn_load8(&v, x, at + k, bf16);
            *(nn_f8 *)(few + k) += v;
        }
    }
}

/* Sums of one group of one row of the batch: in float over a few positions, in
 * double over those. */
FL_WIDEST static void sum_part(const void *ctx, int64_t from, int64_t to)
{
    enum { FEW = 64 };
    const channel_job *job = ctx;
    const nn_channels *s = job->s;
    _Alignas(32) float few[MAX_BLOCK];
    double total[MAX_BLOCK];

    for (int64_t p = from; p < to; p++) {
        memset(total, 0, (size_t)s->block * sizeof *total);
        for (int64_t i = 0; i < s->HW; i += FEW) {
            int64_t n = i + FEW < s->HW ? FEW : s->HW - i, at = (p * s->HW + i) * s->block;
            if (s->block == 1) {
                few[0] = 0;
                for (int64_t k = 0; k < n; k++) {
                    few[0] += ((const float *)job->x)[at + k];
                }
            } else if (s->bf16) {
                sum_few(few, job->x, at, n, s->block, true);
            } else {
                sum_few(few, job->x, at, n, s->block, false);
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
    const nn_channels *s = call->spec;
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
    nn_channels s;

    if (nn_channels_of(&s, b, x, dims)) {
        nn_build_typed_kernel(b, add_kernel, (nn_use[]){{NN_DST, x}, {NN_BIAS_ARG, bias}}, 2, &s,
                              sizeof s);
    }
}

void nn_channels_sum(nn_build *b, nn_slot x, const nn_shape *dims, nn_slot sum)
{
    nn_channels s;

    if (nn_channels_of(&s, b, x, dims)) {
        nn_slot part = nn_build_flat(b, s.N * s.G * s.block);
        nn_build_typed_kernel(b, sum_kernel,
                              (nn_use[]){{NN_SRC, x}, {NN_WORKSPACE, part}, {NN_DST, sum}}, 3, &s,
                              sizeof s);
    }
}
