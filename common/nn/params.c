/*
 * params.c - the table of parameters and arithmetic on the flat vector
 *
 * See params.h.  Sums over the vector run in eight double partial sums: in an
 * order that is fixed, and that the compiler can vectorise.
 */
#include "nn/params.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vectors are hashed, sent and stored as they lie in memory: little-endian"
#endif

enum { MAX_ENTRIES = 100000, N_PARTIAL = 8 };
#define MAX_ELEMENTS (INT64_C(1) << 31)

struct nn_table {
    nn_param *entries;
    size_t n, cap;
    int64_t count;      // elements of all entries
    uint32_t *buckets;  // name -> entry + 1, open addressing; 0 = empty
    size_t n_buckets;   // a power of two, at least twice n
};

static const char *const kind_names[] = {"weight", "bias", "norm", "stat", "frozen"};

/* ------------------------------------------------------------- the table */

nn_table *nn_table_new(void)
{
    return fl_xcalloc(1, sizeof(nn_table));
}

void nn_table_destroy(nn_table **t)
{
    if (*t != NULL) {
        free((*t)->entries);
        free((*t)->buckets);
        FL_FREE(*t);
    }
}

static uint32_t *bucket_of(const nn_table *t, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);  // FNV-1a

    for (const char *c = name; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    }
    for (size_t i = (size_t)hash;; i++) {
        uint32_t *b = &t->buckets[i & (t->n_buckets - 1)];
        if (*b == 0 || strcmp(t->entries[*b - 1].name, name) == 0) {
            return b;
        }
    }
}

static void rehash(nn_table *t)
{
    t->n_buckets = t->n_buckets == 0 ? 64 : 2 * t->n_buckets;
    free(t->buckets);
    t->buckets = fl_xcalloc(t->n_buckets, sizeof *t->buckets);
    for (size_t i = 0; i < t->n; i++) {
        *bucket_of(t, t->entries[i].name) = (uint32_t)i + 1;
    }
}

fl_status nn_table_add(nn_table *t, const char *name, nn_kind kind, const nn_shape *shape,
                       fl_err *err)
{
    int64_t count = nn_shape_count(shape, -1);

    if (name[0] == '\0' || strlen(name) >= NN_NAME_BYTES) {
        return fl_fail(err, FL_ELIMIT, "parameter name '%.40s' must have 1 to %d characters", name,
                       NN_NAME_BYTES - 1);
    }
    if (count < 1 || count > MAX_ELEMENTS - t->count) {
        return fl_fail(err, FL_ELIMIT,
                       "parameter %s: more than 2^31 numbers in one model, or an empty shape",
                       name);
    }
    if (t->n >= MAX_ENTRIES) {
        return fl_fail(err, FL_ELIMIT, "parameter %s: more than %d parameters", name, MAX_ENTRIES);
    }
    if (nn_table_find(t, name) != NULL) {
        return fl_fail(err, FL_ECONFLICT, "two parameters are called %s", name);
    }
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 16 : 2 * t->cap;
        t->entries = fl_xrealloc(t->entries, t->cap, sizeof *t->entries);
    }
    nn_param *p = &t->entries[t->n++];
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name);
    p->kind = kind;
    p->shape = *shape;
    p->offset = t->count;
    p->count = count;
    t->count += count;
    if (2 * t->n > t->n_buckets) {
        rehash(t);
    } else {
        *bucket_of(t, name) = (uint32_t)t->n;
    }
    return FL_OK;
}

nn_table *nn_table_copy(const nn_table *t)
{
    return nn_table_filter(t, NULL, 0, 0, NULL);
}

size_t nn_table_n(const nn_table *t)
{
    return t->n;
}

const nn_param *nn_table_at(const nn_table *t, size_t i)
{
    FL_REQUIRE(i < t->n);
    return &t->entries[i];
}

const nn_param *nn_table_find(const nn_table *t, const char *name)
{
    if (t->n == 0) {
        return NULL;
    }
    uint32_t entry = *bucket_of(t, name);
    return entry == 0 ? NULL : &t->entries[entry - 1];
}

int64_t nn_table_count(const nn_table *t)
{
    return t->count;
}

bool nn_kind_trainable(nn_kind kind)
{
    return kind != NN_STAT && kind != NN_FROZEN;
}

const char *nn_kind_name(nn_kind kind)
{
    FL_REQUIRE((size_t)kind < sizeof kind_names / sizeof *kind_names);
    return kind_names[kind];
}

bool nn_kind_parse(nn_kind *out, const char *name)
{
    for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *out = (nn_kind)i;
            return true;
        }
    }
    return false;
}

bool nn_table_equal(const nn_table *a, const nn_table *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        const nn_param *p = &a->entries[i], *q = &b->entries[i];
        if (strcmp(p->name, q->name) != 0 || p->kind != q->kind ||
            !nn_shape_equal(&p->shape, &q->shape)) {
            return false;
        }
    }
    return true;
}

/* The canonical text of one entry: "conv1.weight weight 16x1x3x3\n". */
static void hash_table(fl_sha256 *h, const nn_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const nn_param *p = &t->entries[i];
        char shape[128], line[NN_NAME_BYTES + 160];
        nn_shape_text(shape, sizeof shape, &p->shape);
        int n = snprintf(line, sizeof line, "%s %s %s\n", p->name, nn_kind_name(p->kind), shape);
        fl_sha256_add(h, line, (size_t)n);
    }
}

void nn_table_hash(uint8_t out[static 32], const nn_table *t)
{
    fl_sha256 h;

    fl_sha256_init(&h);
    hash_table(&h, t);
    fl_sha256_done(&h, out);
}

/* Whether text fits pattern, where '*' stands for any run of characters. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

nn_table *nn_table_filter(const nn_table *t, const char *const *patterns, size_t n, unsigned kinds,
                          size_t **index)
{
    nn_table *out = nn_table_new();

    if (index != NULL) {
        *index = fl_xcalloc(t->n, sizeof **index);
    }
    for (size_t i = 0; i < t->n; i++) {
        const nn_param *p = &t->entries[i];
        bool wanted = n == 0;
        for (size_t k = 0; k < n && !wanted; k++) {
            wanted = matches(patterns[k], p->name);
        }
        if (!wanted || (kinds != 0 && (kinds & (1u << p->kind)) == 0)) {
            continue;
        }
        if (index != NULL) {
            (*index)[out->n] = i;
        }
        FL_REQUIRE(nn_table_add(out, p->name, p->kind, &p->shape, NULL) == FL_OK);
    }
    return out;
}

/* ------------------------------------------------------------ the vector */

fl_status nn_params_init(nn_params *p, const nn_table *table, fl_err *err)
{
    p->table = table;
    p->data = fl_calloc_aligned((size_t)table->count, sizeof(float), "the model's parameters", err);
    return p->data == NULL ? FL_ELIMIT : FL_OK;
}

void nn_params_clear(nn_params *p)
{
    FL_FREE(p->data);
    p->table = NULL;
}

void nn_params_sha256(uint8_t out[static 32], const nn_table *table, const float *data)
{
    fl_sha256 h;

    fl_sha256_init(&h);
    hash_table(&h, table);
    fl_sha256_add(&h, data, (size_t)table->count * sizeof *data);
    fl_sha256_done(&h, out);
}

bool nn_vec_is_finite(const float *x, int64_t n)
{
    uint32_t bad = 0;

    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

void nn_vec_copy(float *y, const float *x, int64_t n)
{
    memcpy(y, x, (size_t)n * sizeof *y);
}

void nn_vec_zero(float *y, int64_t n)
{
    memset(y, 0, (size_t)n * sizeof *y);
}

void nn_vec_scale(float *y, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] *= a;
    }
}

void nn_vec_axpy(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] += a * x[i];
    }
}

void nn_vec_sub(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = a[i] - b[i];
    }
}

double nn_vec_dot(const float *a, const float *b, int64_t n)
{
    double sum[N_PARTIAL] = {0}, total = 0;
    int64_t i = 0;

    for (; i + N_PARTIAL <= n; i += N_PARTIAL) {
        for (int k = 0; k < N_PARTIAL; k++) {
            sum[k] += (double)a[i + k] * b[i + k];
        }
    }
    for (; i < n; i++) {
        sum[0] += (double)a[i] * b[i];
    }
    for (int k = 0; k < N_PARTIAL; k++) {
        total += sum[k];
    }
    return total;
}

double nn_vec_norm(const float *x, int64_t n)
{
    return sqrt(nn_vec_dot(x, x, n));
}

float nn_vec_max_abs(const float *x, int64_t n)
{
    float most = 0;

    for (int64_t i = 0; i < n; i++) {
        float size = fabsf(x[i]);
        most = size > most ? size : most;
    }
    return most;
}
