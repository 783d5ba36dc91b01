/*
 * grid.c - see grid.h
 */
#include "eval/grid.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

size_t eval_grid_n(const eval_grid *g)
{
    size_t n = 1;
    for (int a = 0; a < 3; a++) {
        FL_REQUIRE(g->size[a] >= 1 && g->spacing[a] > 0);
        FL_REQUIRE(fl_size_mul(&n, n, (size_t)g->size[a]));
    }
    return n;
}

double eval_grid_diagonal(const eval_grid *g)
{
    double square = 0;
    for (int a = 0; a < 3; a++) {
        double side = a == 0 && g->size[0] == 1 ? 0 : (double)g->size[a] * g->spacing[a];
        square += side * side;
    }
    return sqrt(square);
}

/* How far apart in memory neighbours along each axis are. */
static void strides_of(size_t stride[static 3], const eval_grid *g)
{
    stride[2] = 1;
    stride[1] = (size_t)g->size[2];
    stride[0] = stride[1] * (size_t)g->size[1];
}

void eval_grid_surface(bool *out, const bool *mask, const eval_grid *g)
{
    size_t stride[3], at = 0;
    strides_of(stride, g);
    int first_axis = g->size[0] == 1 ? 1 : 0;
    int64_t p[3];
    for (p[0] = 0; p[0] < g->size[0]; p[0]++) {
        for (p[1] = 0; p[1] < g->size[1]; p[1]++) {
            for (p[2] = 0; p[2] < g->size[2]; p[2]++, at++) {
                bool open = false;
                for (int a = first_axis; mask[at] && !open && a < 3; a++) {
                    open = p[a] == 0 || p[a] == g->size[a] - 1 || !mask[at - stride[a]] ||
                           !mask[at + stride[a]];
                }
                out[at] = open;
            }
        }
    }
}

// ---------------------------------------------------------------- distances

typedef struct {
    double *f;        // (longest side) the line as it was
    int64_t *vertex;  // (longest side) parabolas of the lower envelope
    double *from;     // (longest side + 1) where each begins
} line_room;

/*
 * In place: d[q] = min over v of d[v] + (x_q - x_v)^2, x = q * spacing, as the
 * lower envelope of one parabola a point.
 */
static void line_distance2(double *d, size_t stride, int64_t n, double spacing, line_room *room)
{
    int64_t k = -1;
    for (int64_t q = 0; q < n; q++) {
        double f = room->f[q] = d[(size_t)q * stride];
        if (isinf(f)) {
            continue;  // has no parabola
        }
        double x = (double)q * spacing, meets = -INFINITY;
        for (; k >= 0; k--) {
            double v = (double)room->vertex[k] * spacing;
            meets = (f + x * x - room->f[room->vertex[k]] - v * v) / (2 * (x - v));
            if (meets > room->from[k]) {
                break;
            }
        }
        k++;
        room->vertex[k] = q;
        room->from[k] = k == 0 ? -INFINITY : meets;
    }
    if (k < 0) {
        return;
    }
    room->from[k + 1] = INFINITY;
    for (int64_t q = 0, at = 0; q < n; q++) {
        double x = (double)q * spacing;
        while (room->from[at + 1] < x) {
            at++;
        }
        double v = (double)room->vertex[at] * spacing;
        d[(size_t)q * stride] = (x - v) * (x - v) + room->f[room->vertex[at]];
    }
}

void eval_grid_distance2(double *square, const bool *to, const eval_grid *g)
{
    size_t n = eval_grid_n(g), stride[3];
    strides_of(stride, g);
    for (size_t i = 0; i < n; i++) {
        square[i] = to[i] ? 0 : INFINITY;
    }
    size_t longest = 0;
    for (int a = 0; a < 3; a++) {
        longest = (size_t)g->size[a] > longest ? (size_t)g->size[a] : longest;
    }
    line_room room = {
        .f = fl_xcalloc(longest, sizeof *room.f),
        .vertex = fl_xcalloc(longest, sizeof *room.vertex),
        .from = fl_xcalloc(longest + 1, sizeof *room.from),
    };
    for (int a = 2; a >= 0; a--) {
        if (g->size[a] == 1) {
            continue;
        }
        // A line begins at every point whose coordinate along the axis is 0.
        size_t block = stride[a] * (size_t)g->size[a];
        for (size_t outer = 0; outer < n; outer += block) {
            for (size_t inner = 0; inner < stride[a]; inner++) {
                line_distance2(square + outer + inner, stride[a], g->size[a], g->spacing[a], &room);
            }
        }
    }
    free(room.f);
    free(room.vertex);
    free(room.from);
}

// ------------------------------------------------------------------ lesions

/* The neighbours of point `at` that are in the mask and in no part join the
 * part and the end of the queue. */
static void take_neighbours(int32_t *part, size_t *queue, size_t *n_queued, size_t at,
                            const bool *mask, const eval_grid *g)
{
    const int64_t H = g->size[1], W = g->size[2];
    int64_t z = (int64_t)at / (H * W), y = (int64_t)at / W % H, x = (int64_t)at % W;
    for (int64_t k = z - 1; k <= z + 1; k++) {
        for (int64_t j = y - 1; j <= y + 1; j++) {
            for (int64_t i = x - 1; i <= x + 1; i++) {
                if (k < 0 || k >= g->size[0] || j < 0 || j >= H || i < 0 || i >= W) {
                    continue;
                }
                size_t next = (size_t)((k * H + j) * W + i);
                if (mask[next] && part[next] == 0) {
                    part[next] = part[at];
                    queue[(*n_queued)++] = next;
                }
            }
        }
    }
}

int32_t eval_grid_parts(int32_t *part, const bool *mask, const eval_grid *g)
{
    size_t n = eval_grid_n(g);
    int32_t n_parts = 0;
    size_t *queue = fl_xcalloc(n, sizeof *queue);
    for (size_t i = 0; i < n; i++) {
        part[i] = 0;
    }
    for (size_t first = 0; first < n; first++) {
        if (!mask[first] || part[first] != 0) {
            continue;
        }
        FL_REQUIRE(n_parts < INT32_MAX);
        part[first] = ++n_parts;
        size_t n_queued = 0;
        queue[n_queued++] = first;
        for (size_t done = 0; done < n_queued; done++) {
            take_neighbours(part, queue, &n_queued, queue[done], mask, g);
        }
    }
    free(queue);
    return n_parts;
}
