/*
 * distance.c - see distance.h
 */
#include "coordinator/distance.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "base/wide.h"
#include "fed/accum.h"

enum {
    MAX_THREADS = 8,
    BLOCK_BYTES = 64 << 20,  // of all updates side by side
    RUN = 1024,              // values that are summed before they are added to a distance
    LANES = 16,              // sums side by side in a run
    FEW = 32                 // updates, of which small tiles keep all threads busy
};

/* One block: where it lies, and every update's values of it. */
typedef struct {
    double *out;  // (n, n): the upper half until the end
    const nn_table *table;
    const aggregate_input *in;
    int64_t block;          // values of a row, a multiple of RUN
    int64_t offset, count;  // of the block
    float *rows;            // (n, block); 0 where there is nothing to compare
    size_t tile, n_tiles;   // updates that are compared with updates at a time
    pthread_mutex_t mutex;  // of what follows
    size_t failed;          // the first update that failed
    fl_err err;
} comparison;

/* Of one run.  The order of the additions is this one on every processor. */
FL_WIDEST static double run_square(const float *a, const float *b)
{
    double lane[LANES] = {0}, sum = 0;
    for (int i = 0; i < RUN; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            double d = (double)a[i + k] - (double)b[i + k];
            lane[k] += d * d;
        }
    }
    for (int k = 0; k < LANES; k++) {
        sum += lane[k];
    }
    return sum;
}

/* An update's values of the block, without running statistics. */
static fl_status read_values(const comparison *c, size_t update, fl_err *err)
{
    float *row = c->rows + (int64_t)update * c->block;
    fl_status st = c->in->read(c->in->ctx, update, row, c->offset, c->count, err);
    for (int64_t at = 0; at < c->count && st == FL_OK;) {
        aggregate_stretch s = aggregate_stretch_at(c->table, c->offset + at, c->offset + c->count);
        st = fed_accum_check(row + at, s.count, s.trainable ? FED_SCALE_TRAINED : FED_SCALE_STAT,
                             err);
        if (!s.trainable) {
            memset(row + at, 0, (size_t)s.count * sizeof *row);
        }
        at += s.count;
    }
    memset(row + c->count, 0, (size_t)(c->block - c->count) * sizeof *row);
    return st == FL_OK ? st : fl_wrap(err, st, "contribution %zu", update + 1);
}

static void read_row(void *ctx, size_t update)
{
    comparison *c = ctx;
    fl_err err = FL_ERR_INIT;
    if (read_values(c, update, &err) != FL_OK) {
        pthread_mutex_lock(&c->mutex);
        if (c->err.status == FL_OK || update < c->failed) {
            c->failed = update;
            c->err = err;
        }
        pthread_mutex_unlock(&c->mutex);
    }
}

/* The pairs of some updates with some, run by run, while the runs are in the cache. */
static void compare_tile(void *ctx, size_t item)
{
    comparison *c = ctx;
    size_t n = c->in->n, first = item / c->n_tiles * c->tile, second = item % c->n_tiles * c->tile;
    size_t first_end = first + c->tile < n ? first + c->tile : n;
    size_t second_end = second + c->tile < n ? second + c->tile : n;
    for (int64_t at = 0; at < c->count && first <= second; at += RUN) {
        for (size_t i = first; i < first_end; i++) {
            const float *row = c->rows + (int64_t)i * c->block + at;
            for (size_t j = second > i ? second : i + 1; j < second_end; j++) {
                c->out[i * n + j] += run_square(row, c->rows + (int64_t)j * c->block + at);
            }
        }
    }
}

fl_status distance_squares(double *out, const nn_table *table, const aggregate_input *in,
                           fl_err *err)
{
    const size_t n = in->n;
    const int threads = fl_n_cores() < MAX_THREADS ? fl_n_cores() : MAX_THREADS;
    const int64_t P = nn_table_count(table);
    int64_t fits = BLOCK_BYTES / (int64_t)sizeof(float) / (int64_t)n / RUN * RUN;
    fits = fits > FED_PIECE_VALUES ? FED_PIECE_VALUES : fits;
    comparison c = {.out = out,
                    .table = table,
                    .in = in,
                    .block = fits < RUN ? RUN : fits,
                    .tile = n < FEW ? 4 : 16,
                    .mutex = PTHREAD_MUTEX_INITIALIZER};
    c.n_tiles = (n + c.tile - 1) / c.tile;
    c.rows = fl_alloc_aligned(n, (size_t)c.block * sizeof *c.rows, "a block of all updates", err);
    if (c.rows == NULL) {
        return FL_ELIMIT;
    }
    memset(out, 0, n * n * sizeof *out);
    for (; c.offset < P && c.err.status == FL_OK; c.offset += c.block) {
        c.count = P - c.offset < c.block ? P - c.offset : c.block;
        fl_parallel(threads, n, read_row, &c);
        if (c.err.status == FL_OK) {
            fl_parallel(threads, c.n_tiles * c.n_tiles, compare_tile, &c);
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            out[i * n + j] = out[j * n + i];
        }
    }
    free(c.rows);
    if (c.err.status != FL_OK && err != NULL) {
        *err = c.err;
    }
    return c.err.status;
}
