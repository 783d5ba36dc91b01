/*
 * overlap.c - see overlap.h
 */
#include "eval/overlap.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The high places: above limit all, at it a part. */
typedef struct {
    float limit;
    double part;
} high;

/* false: the map is the same everywhere. */
static bool high_of(high *out, const float *map, size_t n, size_t wanted)
{
    float *sorted = fl_xcalloc(n, sizeof *sorted);
    memcpy(sorted, map, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, falling);
    bool varies = sorted[0] > sorted[n - 1];
    size_t above = 0, at = 0;
    out->limit = sorted[wanted - 1];
    for (size_t i = 0; i < n; i++) {
        above += map[i] > out->limit;
        at += map[i] == out->limit;
    }
    out->part = (double)(wanted - above) / (double)at;
    free(sorted);
    return varies;
}

static double share_in(const high *h, float value)
{
    return value > h->limit ? 1 : value == h->limit ? h->part : 0;
}

double eval_overlap(const float *a, const float *b, size_t n, double top)
{
    FL_REQUIRE(top > 0 && top < 1);
    high in_a, in_b;
    double wanted = fmax(1, round(top * (double)n)), both = 0;
    if (n == 0 || !high_of(&in_a, a, n, (size_t)wanted) ||
        !high_of(&in_b, b, n, (size_t)wanted)) {
        return NAN;
    }
    for (size_t i = 0; i < n; i++) {
        both += share_in(&in_a, a[i]) * share_in(&in_b, b[i]);
    }
    return both / wanted;
}
