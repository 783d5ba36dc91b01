/*
 * seg_case.c - one predicted mask against one true mask (metrics_seg.h)
 *
 * All is done in the smallest box that holds both masks: outside of it there
 * is neither, which is what the grid's edge means to grid.h too.
 */
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "eval/metrics_seg.h"
#include "eval/stats.h"

static const double percentile = 0.95;

double eval_seg_tolerance(const eval_grid *g)
{
    return g->in_mm ? 2 : 1;
}

typedef struct {
    eval_grid grid;      // of the box
    int64_t first[3];    // its corner in the image
    bool *pred, *truth;  // (box)
} boxed;

typedef struct {
    const uint8_t *pred, *truth;
    uint8_t code;
} coded;

static bool in_pred(const coded *m, size_t i)
{
    return m->pred[i] == m->code && m->truth[i] != EVAL_SEG_IGNORE;
}

static bool in_truth(const coded *m, size_t i)
{
    return m->truth[i] == m->code && m->truth[i] != EVAL_SEG_IGNORE;
}

/* false when both masks are empty. */
static bool find_box(boxed *b, const coded *m, const eval_grid *g)
{
    int64_t last[3] = {-1, -1, -1}, p[3];
    size_t i = 0;
    for (int a = 0; a < 3; a++) {
        b->first[a] = g->size[a];
    }
    for (p[0] = 0; p[0] < g->size[0]; p[0]++) {
        for (p[1] = 0; p[1] < g->size[1]; p[1]++) {
            for (p[2] = 0; p[2] < g->size[2]; p[2]++, i++) {
                if (!in_pred(m, i) && !in_truth(m, i)) {
                    continue;
                }
                for (int a = 0; a < 3; a++) {
                    b->first[a] = p[a] < b->first[a] ? p[a] : b->first[a];
                    last[a] = p[a] > last[a] ? p[a] : last[a];
                }
            }
        }
    }
    b->grid = *g;
    for (int a = 0; a < 3; a++) {
        b->grid.size[a] = last[a] - b->first[a] + 1;
    }
    return last[0] >= 0;
}

static void fill_box(boxed *b, const coded *m, const eval_grid *g)
{
    size_t n = eval_grid_n(&b->grid), at = 0;
    b->pred = fl_xcalloc(n, sizeof *b->pred);
    b->truth = fl_xcalloc(n, sizeof *b->truth);
    for (int64_t z = 0; z < b->grid.size[0]; z++) {
        for (int64_t y = 0; y < b->grid.size[1]; y++) {
            int64_t row = (b->first[0] + z) * g->size[1] + b->first[1] + y;
            size_t i = (size_t)(row * g->size[2] + b->first[2]);
            for (int64_t x = 0; x < b->grid.size[2]; x++, i++, at++) {
                b->pred[at] = in_pred(m, i);
                b->truth[at] = in_truth(m, i);
            }
        }
    }
}

static void count_points(eval_seg_case *out, const boxed *b)
{
    size_t n = eval_grid_n(&b->grid);
    for (size_t i = 0; i < n; i++) {
        out->n_pred += b->pred[i];
        out->n_truth += b->truth[i];
        out->n_both += b->pred[i] && b->truth[i];
    }
    int64_t sum = out->n_pred + out->n_truth;
    out->dice = 2 * (double)out->n_both / (double)sum;
    out->iou = (double)out->n_both / (double)(sum - out->n_both);
}

// ----------------------------------------------------------------- surfaces

typedef struct {
    double hd95;  // of the distances one way
    size_t n, n_near;
} one_way;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the points of one surface to the other surface, whose distances these
 * are. */
static one_way measure_one_way(const bool *surface, const double *square, size_t n,
                               double tolerance)
{
    one_way out = {0};
    double *distance = fl_xcalloc(n, sizeof *distance);
    // Sums of squares round: what lies on the tolerance is within it.
    const double within = tolerance * (1 + 1e-12);
    for (size_t i = 0; i < n; i++) {
        if (surface[i]) {
            distance[out.n] = sqrt(square[i]);
            out.n_near += distance[out.n] <= within;
            out.n++;
        }
    }
    qsort(distance, out.n, sizeof *distance, by_value);
    out.hd95 = eval_quantile(distance, out.n, percentile);
    free(distance);
    return out;
}

static void measure_surfaces(eval_seg_case *out, const boxed *b, double tolerance)
{
    size_t n = eval_grid_n(&b->grid);
    bool *surface[2] = {fl_xcalloc(n, sizeof(bool)), fl_xcalloc(n, sizeof(bool))};
    double *square = fl_xcalloc(n, sizeof *square);
    one_way way[2];
    eval_grid_surface(surface[0], b->pred, &b->grid);
    eval_grid_surface(surface[1], b->truth, &b->grid);
    for (int from = 0; from < 2; from++) {
        eval_grid_distance2(square, surface[1 - from], &b->grid);
        way[from] = measure_one_way(surface[from], square, n, tolerance);
    }
    out->hd95 = fmax(way[0].hd95, way[1].hd95);
    out->surface_dice = (double)(way[0].n_near + way[1].n_near) / (double)(way[0].n + way[1].n);
    free(surface[0]);
    free(surface[1]);
    free(square);
}

// ------------------------------------------------------------------ lesions

/* How many components of mask have a point in other. */
static int64_t count_touched(int64_t *n_parts, const bool *mask, const bool *other,
                             const eval_grid *g)
{
    size_t n = eval_grid_n(g);
    int32_t *part = fl_xcalloc(n, sizeof *part);
    int32_t parts = eval_grid_parts(part, mask, g);
    bool *touched = fl_xcalloc((size_t)parts + 1, sizeof *touched);
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (part[i] > 0 && other[i] && !touched[part[i]]) {
            touched[part[i]] = true;
            count++;
        }
    }
    free(touched);
    free(part);
    *n_parts = parts;
    return count;
}

static void measure_lesions(eval_seg_case *out, const boxed *b)
{
    int64_t n_predicted = 0;
    out->n_found = count_touched(&out->n_lesions, b->truth, b->pred, &b->grid);
    int64_t n_right = count_touched(&n_predicted, b->pred, b->truth, &b->grid);
    out->n_false = n_predicted - n_right;
}

static double volume_of(int64_t n_points, const eval_grid *g)
{
    if (!g->in_mm) {
        return (double)n_points;
    }
    double pixel = g->spacing[1] * g->spacing[2];
    bool is_volume = g->size[0] > 1;
    return (double)n_points * (is_volume ? pixel * g->spacing[0] / 1000 : pixel);
}

void eval_seg_measure(eval_seg_case *out, const uint8_t *pred, const uint8_t *truth, uint8_t code,
                      const eval_grid *g, double tolerance)
{
    FL_REQUIRE(code != EVAL_SEG_IGNORE && tolerance >= 0);
    (void)eval_grid_n(g);
    const coded masks = {pred, truth, code};
    boxed box = {0};
    *out = (eval_seg_case){.dice = NAN,
                           .iou = NAN,
                           .hd95 = NAN,
                           .surface_dice = NAN,
                           .in_mm = g->in_mm,
                           .is_volume = g->size[0] > 1};
    if (!find_box(&box, &masks, g)) {
        return;
    }
    fill_box(&box, &masks, g);
    count_points(out, &box);
    if (out->n_pred > 0 && out->n_truth > 0) {
        measure_surfaces(out, &box, tolerance);
    } else {
        out->hd95 = eval_grid_diagonal(g);
        out->surface_dice = 0;
    }
    measure_lesions(out, &box);
    out->volume_pred = volume_of(out->n_pred, g);
    out->volume_truth = volume_of(out->n_truth, g);
    free(box.pred);
    free(box.truth);
}
