/*
 * aggregate.c - see aggregate.h
 */
#include "coordinator/aggregate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/carry.h"
#include "coordinator/distance.h"
#include "coordinator/nova.h"
#include "fed/accum.h"

enum {
    MAX_THREADS = 8,        // of 1 MiB each; more wait for memory
    EACH_BYTES = 64 << 20,  // of all threads, where a strategy sees every update
    LEAST_BLOCK = 256       // values
};

fl_status aggregate_weights(uint32_t *out, const uint64_t *weight, size_t n, bool uniform,
                            fl_err *err)
{
    if (n > FED_MAX_WEIGHT_SUM) {
        return fl_fail(err, FL_ELIMIT, "%zu contributions in a round, at most %d", n,
                       FED_MAX_WEIGHT_SUM);
    }
    for (int shift = 0;; shift++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            uint64_t w = uniform ? 1 : weight[i] >> shift;
            w = w > 0 ? w : 1;
            out[i] = w > FED_MAX_WEIGHT_SUM ? FED_MAX_WEIGHT_SUM : (uint32_t)w;
            sum += w;
        }
        if (sum <= FED_MAX_WEIGHT_SUM) {
            return FL_OK;
        }
    }
}

/* Index of the entry that holds offset. */
static size_t find_entry(const nn_table *table, int64_t offset)
{
    size_t low = 0, high = nn_table_n(table);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (nn_table_at(table, middle)->offset <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

aggregate_stretch aggregate_stretch_at(const nn_table *table, int64_t offset, int64_t end)
{
    aggregate_stretch s = {.offset = offset};
    size_t i = find_entry(table, offset);
    s.trainable = nn_kind_trainable(nn_table_at(table, i)->kind);
    for (; i < nn_table_n(table) && offset + s.count < end; i++) {
        const nn_param *p = nn_table_at(table, i);
        if (nn_kind_trainable(p->kind) != s.trainable) {
            break;
        }
        int64_t to = p->offset + p->count < end ? p->offset + p->count : end;
        s.count = to - offset;
    }
    return s;
}

/* Of one block. */
typedef struct {
    float in[FED_PIECE_VALUES];    // one contribution's
    float mean[FED_PIECE_VALUES];  // of all
    int64_t sum[FED_PIECE_VALUES];
    float *each;        // every contribution's (n x the block), where a strategy sees each
    const float **row;  // (n) where each one's stretch begins
} workspace;

/* How contributions count: trained values, and running statistics. */
typedef struct {
    uint32_t *trained, *stat;
    uint64_t trained_sum, stat_sum;
    double scale;  // of the mean of trained values
} shares;

static void shares_clear(shares *s)
{
    free(s->trained);
    free(s->stat);
}

static bool is_equal_work(const aggregate_input *in)
{
    for (size_t i = 1; in->norm != NULL && i < in->n; i++) {
        if (in->norm[i] != in->norm[0]) {
            return false;
        }
    }
    return true;
}

static fl_status share_out(shares *s, const aggregate_input *in, bool uniform, fl_err *err)
{
    *s = (shares){.trained = fl_calloc(in->n, sizeof *s->trained, "weights", err),
                  .stat = fl_calloc(in->n, sizeof *s->stat, "weights", err),
                  .scale = 1};
    if (s->trained == NULL || s->stat == NULL) {
        return FL_ELIMIT;
    }
    fl_status st = aggregate_weights(s->stat, in->weight, in->n, uniform, err);
    if (st != FL_OK) {
        return st;
    }
    if (in->late != NULL) {
        carry_weights(s->stat, in->late, in->n);
    }
    memcpy(s->trained, s->stat, in->n * sizeof *s->trained);
    if (!is_equal_work(in)) {
        s->scale = nova_weights(s->trained, s->stat, in->norm, in->n);
    }
    for (size_t i = 0; i < in->n; i++) {
        s->trained_sum += s->trained[i];
        s->stat_sum += s->stat[i];
    }
    return FL_OK;
}

static fed_scale scale_of(const aggregate_stretch *s)
{
    return s->trainable ? FED_SCALE_TRAINED : FED_SCALE_STAT;
}

/* A stretch of the block that begins at offset; at, end: within it. */
static aggregate_stretch part_of(const nn_table *table, int64_t offset, int64_t at, int64_t end)
{
    return aggregate_stretch_at(table, offset + at, offset + end);
}

/* Every contribution's values of the block, side by side in w->each. */
static fl_status gather(workspace *w, const nn_table *table, int64_t offset, int64_t count,
                        const aggregate_input *in, fl_err *err)
{
    for (size_t i = 0; i < in->n; i++) {
        float *values = w->each + (int64_t)i * count;
        fl_status st = in->read(in->ctx, i, values, offset, count, err);
        for (int64_t at = 0; at < count && st == FL_OK;) {
            aggregate_stretch s = part_of(table, offset, at, count);
            st = fed_accum_check(values + at, s.count, scale_of(&s), err);
            at += s.count;
        }
        if (st != FL_OK) {
            return fl_wrap(err, st, "contribution %zu", i + 1);
        }
    }
    return FL_OK;
}

/* The block's exact sum over contributions, then its mean. */
static fl_status average(workspace *w, const nn_table *table, int64_t offset, int64_t count,
                         const aggregate_input *in, const shares *share, fl_err *err)
{
    memset(w->sum, 0, sizeof *w->sum * (size_t)count);
    for (size_t i = 0; i < in->n; i++) {
        fl_status st = in->read(in->ctx, i, w->in, offset, count, err);
        for (int64_t at = 0; at < count && st == FL_OK;) {
            aggregate_stretch s = part_of(table, offset, at, count);
            uint32_t weight = s.trainable ? share->trained[i] : share->stat[i];
            st = fed_accum_add(w->sum + at, w->in + at, s.count, weight, scale_of(&s), err);
            at += s.count;
        }
        if (st != FL_OK) {
            return fl_wrap(err, st, "contribution %zu", i + 1);
        }
    }
    for (int64_t at = 0; at < count;) {
        aggregate_stretch s = part_of(table, offset, at, count);
        fed_accum_mean(w->mean + at, w->sum + at, s.count,
                       s.trainable ? share->trained_sum : share->stat_sum, scale_of(&s));
        for (int64_t i = at; share->scale != 1 && s.trainable && i < at + s.count; i++) {
            w->mean[i] = (float)(w->mean[i] * share->scale);
        }
        at += s.count;
    }
    return FL_OK;
}

/* A round's sum: its blocks share nothing, so each may be any thread's. */
typedef struct {
    float *out;
    float *const *vectors;
    const strategy *strategy;
    const nn_table *table;
    const float *global;
    const aggregate_input *in;
    shares share;
    int64_t block;  // values
    size_t n_blocks;
    atomic_size_t next;     // the first block that nobody has taken
    pthread_mutex_t mutex;  // of what follows
    size_t failed;          // the first block that failed, which is the one that is told of
    fl_err err;
} summation;

static void note_failure(summation *a, size_t block, const fl_err *err)
{
    pthread_mutex_lock(&a->mutex);
    if (a->err.status == FL_OK || block < a->failed) {
        a->failed = block;
        a->err = *err;
    }
    pthread_mutex_unlock(&a->mutex);
}

/* One stretch of the new global from its mean update, or from each one's; at: within the block. */
static void apply(const summation *a, workspace *w, int64_t count, int64_t at,
                  const aggregate_stretch *t)
{
    const strategy_ops *ops = a->strategy->ops;
    const float *mean = w->mean + at;
    if (!t->trainable && ops->sees == STRATEGY_SUM) {
        for (int64_t i = 0; i < t->count; i++) {
            a->out[t->offset + i] = a->global[t->offset + i] + mean[i];
        }
        return;
    }
    float *vector[STRATEGY_MAX_VECTORS] = {NULL};
    for (int v = 0; v < ops->n_vectors; v++) {
        vector[v] = a->vectors[v] + t->offset;
    }
    for (size_t i = 0; w->each != NULL && i < a->in->n; i++) {
        w->row[i] = w->each + (int64_t)i * count + at;
    }
    ops->block(a->strategy->value, &(strategy_block){.out = a->out + t->offset,
                                                     .global = a->global + t->offset,
                                                     .in = w->each != NULL ? w->row : &mean,
                                                     .n = w->each != NULL ? a->in->n : 1,
                                                     .vector = vector,
                                                     .count = t->count});
}

static void sum_block(summation *a, size_t block, workspace *w)
{
    int64_t offset = (int64_t)block * a->block, P = nn_table_count(a->table);
    int64_t count = P - offset < a->block ? P - offset : a->block;
    fl_err err = FL_ERR_INIT;
    fl_status st = w->each != NULL ? gather(w, a->table, offset, count, a->in, &err)
                                   : average(w, a->table, offset, count, a->in, &a->share, &err);
    if (st != FL_OK) {
        note_failure(a, block, &err);
        count = 0;
    }
    for (int64_t at = 0; at < count;) {
        aggregate_stretch t = part_of(a->table, offset, at, count);
        apply(a, w, count, at, &t);
        at += t.count;
    }
    if (count > 0 && !nn_vec_is_finite(a->out + offset, count)) {
        fl_fail(&err, FL_EFORMAT, "the new global model is not finite: lower strategy.lr");
        note_failure(a, block, &err);
    }
}

static void sum_blocks(void *ctx, size_t thread)
{
    (void)thread;
    summation *a = ctx;
    workspace *w = fl_xcalloc(1, sizeof *w);
    if (a->strategy->ops->sees == STRATEGY_EACH) {
        w->each = fl_xcalloc(a->in->n, (size_t)a->block * sizeof *w->each);
        w->row = fl_xcalloc(a->in->n, sizeof *w->row);
    }
    for (size_t i; (i = atomic_fetch_add(&a->next, 1)) < a->n_blocks;) {
        sum_block(a, i, w);
    }
    free(w->each);
    free(w->row);
    free(w);
}

/* Values that are added at a time: of thousands of sites side by side, fewer. */
static int64_t block_of(const strategy *s, size_t n, int threads)
{
    int64_t room = EACH_BYTES / (int64_t)sizeof(float) / threads / (int64_t)n;
    int64_t fits = room < LEAST_BLOCK ? LEAST_BLOCK : room;
    return s->ops->sees == STRATEGY_SUM || fits > FED_PIECE_VALUES ? FED_PIECE_VALUES : fits;
}

fl_status aggregate_check(const job *j, const strategy *s, fl_err *err)
{
    if (s->ops->sees != STRATEGY_EACH) {
        return FL_OK;
    }
    if (j->privacy.secure_aggregation) {
        return fl_fail(err, FL_ECONFIG,
                       "strategy: %s needs every update by itself, and secure aggregation shows "
                       "sums only",
                       s->ops->name);
    }
    if (j->sites.partial) {
        return fl_fail(err, FL_ECONFIG,
                       "sites.partial: %s holds the updates of one round against each other, which "
                       "those of unequal work are not fit for; expected false",
                       s->ops->name);
    }
    strategy_least least = strategy_least_of(s);
    if (s->ops->least != NULL && j->sites.quorum < (int64_t)least.n) {
        return fl_fail(err, FL_ECONFIG,
                       "sites.quorum: %s needs %zu updates in every round with these settings "
                       "(%s); expected a quorum of at least %zu, or %s; found %lld",
                       s->ops->name, least.n, least.why, least.n, least.instead,
                       (long long)j->sites.quorum);
    }
    return FL_OK;
}

// ------------------------------------------------------------- rules that choose

/* The contributions that count, in place of all. */
typedef struct {
    const aggregate_input *all;
    size_t *index;  // (n) which of all
    size_t n;
} selection;

static fl_status read_selected(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                               fl_err *err)
{
    const selection *s = ctx;
    return s->all->read(s->all->ctx, s->index[i], out, offset, count, err);
}

/* Which contributions count for a strategy that chooses; index is the caller's. */
static fl_status choose(selection *out, const strategy *s, const nn_table *table,
                        const aggregate_input *in, fl_err *err)
{
    size_t n_pairs = 0;
    double *distance = NULL;
    bool *chosen = fl_xcalloc(in->n, sizeof *chosen);
    *out = (selection){.all = in, .index = fl_xcalloc(in->n, sizeof *out->index)};
    fl_status st = fl_size_mul(&n_pairs, in->n, in->n)
                       ? FL_OK
                       : fl_fail(err, FL_ELIMIT, "too many updates to compare all with all");
    if (st == FL_OK) {
        distance = fl_calloc(n_pairs, sizeof *distance, "distances between updates", err);
        st = distance != NULL ? distance_squares(distance, table, in, err) : FL_ELIMIT;
    }
    if (st == FL_OK) {
        s->ops->choose(s->value, distance, in->n, chosen);
    }
    for (size_t i = 0; i < in->n; i++) {
        if (chosen[i]) {
            out->index[out->n++] = i;
        }
    }
    free(distance);
    free(chosen);
    return st;
}

static fl_status check_least(const strategy *s, size_t n, fl_err *err)
{
    strategy_least least = strategy_least_of(s);
    return n >= least.n
               ? FL_OK
               : fl_fail(err, FL_ECONFIG,
                         "%s needs %zu updates with these settings (%s), here are %zu: expected "
                         "more, or %s",
                         s->ops->name, least.n, least.why, n, least.instead);
}

/* What the strategy makes of the contributions, all of which count. */
static fl_status make_global(float *out, float *const *vectors, const strategy *s,
                             const nn_table *table, const float *global,
                             const aggregate_input *in, fl_err *err)
{
    int threads = fl_n_cores() < MAX_THREADS ? fl_n_cores() : MAX_THREADS;
    int64_t P = nn_table_count(table), block = block_of(s, in->n, threads);
    summation a = {.out = out,
                   .vectors = vectors,
                   .strategy = s,
                   .table = table,
                   .global = global,
                   .in = in,
                   .block = block,
                   .n_blocks = (size_t)((P + block - 1) / block),
                   .mutex = PTHREAD_MUTEX_INITIALIZER};
    fl_status st = FL_OK;
    if (s->ops->sees == STRATEGY_SUM) {
        st = share_out(&a.share, in, s->uniform, err);
    }
    if (st == FL_OK) {
        size_t n_threads = a.n_blocks < (size_t)threads ? a.n_blocks : (size_t)threads;
        fl_parallel((int)n_threads, n_threads, sum_blocks, &a);
        st = a.err.status;
        if (st != FL_OK && err != NULL) {
            *err = a.err;
        }
    }
    shares_clear(&a.share);
    return st;
}

fl_status aggregate_run(float *out, bool *counted, float *const *vectors, const strategy *s,
                        const nn_table *table, const float *global, const aggregate_input *in,
                        fl_err *err)
{
    FL_REQUIRE(in->n > 0);
    fl_status st = check_least(s, in->n, err);
    for (size_t i = 0; counted != NULL && i < in->n; i++) {
        counted[i] = s->ops->choose == NULL;
    }
    if (st != FL_OK || s->ops->choose == NULL) {
        return st == FL_OK ? make_global(out, vectors, s, table, global, in, err) : st;
    }
    selection some;
    if ((st = choose(&some, s, table, in, err)) == FL_OK) {
        aggregate_input these = {.n = some.n, .ctx = &some, .read = read_selected};
        st = make_global(out, vectors, s, table, global, &these, err);
    }
    for (size_t i = 0; counted != NULL && i < some.n; i++) {
        counted[some.index[i]] = true;
    }
    free(some.index);
    return st;
}
