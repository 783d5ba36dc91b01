/*
 * points.c - see points.h
 */
#include "eval/points.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/metrics_seg.h"

fl_status eval_points_init(eval_points *p, size_t n, size_t K, fl_err *err)
{
    size_t all;
    *p = (eval_points){.n = n, .K = K};
    if (!fl_size_mul(&all, n, K)) {
        return fl_fail(err, FL_ELIMIT, "%zu points of %zu classes are too many", n, K);
    }
    p->mean = fl_calloc(all, sizeof *p->mean, "a case's probabilities", err);
    p->own = fl_calloc(n, sizeof *p->own, "a case's entropies", err);
    p->square = fl_calloc(n, sizeof *p->square, "a case's variances", err);
    if (p->mean == NULL || p->own == NULL || p->square == NULL) {
        eval_points_clear(p);
        return FL_ELIMIT;
    }
    return FL_OK;
}

void eval_points_clear(eval_points *p)
{
    free(p->mean);
    free(p->own);
    free(p->square);
    *p = (eval_points){0};
}

void eval_points_restart(eval_points *p)
{
    p->M = 0;
    memset(p->mean, 0, p->n * p->K * sizeof *p->mean);
    memset(p->own, 0, p->n * sizeof *p->own);
    memset(p->square, 0, p->n * sizeof *p->square);
}

/* Of the K numbers that lie n apart. */
static double entropy_at(const double *prob, size_t n, size_t K)
{
    double sum = 0;
    for (size_t k = 0; k < K; k++) {
        double q = prob[k * n];
        sum -= q > 0 ? q * log(q) : 0;
    }
    return sum;
}

/* Running means, and squares as Welford (1962) sums them. */
void eval_points_add(eval_points *p, const double *prob)
{
    double m = (double)++p->M;
    for (size_t i = 0; i < p->n; i++) {
        double before = prob[i] - p->mean[i];  // of the background: the foreground's, turned
        p->own[i] += (entropy_at(prob + i, p->n, p->K) - p->own[i]) / m;
        for (size_t k = 0; k < p->K; k++) {
            p->mean[k * p->n + i] += (prob[k * p->n + i] - p->mean[k * p->n + i]) / m;
        }
        p->square[i] += before * (prob[i] - p->mean[i]);
    }
}

void eval_points_maps(const eval_points *p, double *entropy, double *information,
                      double *variance)
{
    FL_REQUIRE(p->M >= 1);
    for (size_t i = 0; i < p->n; i++) {
        double h = entropy_at(p->mean + i, p->n, p->K);
        if (entropy != NULL) {
            entropy[i] = h;
        }
        if (information != NULL) {
            information[i] = fmax(0, h - p->own[i]);  // rounding
        }
        if (variance != NULL) {
            variance[i] = p->square[i] / (double)p->M;
        }
    }
}

void eval_points_codes(const eval_points *p, uint8_t *code)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t best = 0;
        for (size_t k = 1; k < p->K; k++) {
            double q = p->mean[k * p->n + i], of_best = p->mean[best * p->n + i];
            best = q > of_best || (p->K == 2 && q >= 0.5) ? k : best;
        }
        code[i] = (uint8_t)best;
    }
}

void eval_points_sum_up(eval_points_case *out, const eval_points *p, const uint8_t *code,
                        const double *entropy, const double *information, const double *variance)
{
    double n = (double)p->n, called = 0, expected = 0, both = 0;
    *out = (eval_points_case){0};
    for (size_t i = 0; i < p->n; i++) {
        double foreground = fmin(1, fmax(0, 1 - p->mean[i]));
        out->entropy += entropy[i] / n;
        out->information += information[i] / n;
        out->variance += variance[i] / n;
        expected += foreground;
        if (code[i] != 0) {
            called++;
            both += foreground;
        }
    }
    out->expected_error = called > 0 ? 1 - 2 * both / (expected + called) : 1;
}

void eval_lesions_add(eval_lesion **list, size_t *n, size_t of, const uint8_t *code,
                      const uint8_t *truth, const double *entropy, const eval_grid *g)
{
    size_t n_points = eval_grid_n(g);
    bool *mask = fl_xcalloc(n_points, sizeof *mask);
    int32_t *part = fl_xcalloc(n_points, sizeof *part);
    for (size_t i = 0; i < n_points; i++) {
        mask[i] = code[i] != 0 && truth[i] != EVAL_SEG_IGNORE;
    }
    size_t n_parts = (size_t)eval_grid_parts(part, mask, g);
    *list = fl_xrealloc(*list, *n + n_parts, sizeof **list);
    eval_lesion *own = n_parts > 0 ? *list + *n : NULL;
    for (size_t k = 0; k < n_parts; k++) {
        own[k] = (eval_lesion){.of = of, .is_false = true};
    }
    for (size_t i = 0; i < n_points; i++) {
        if (part[i] > 0) {
            eval_lesion *l = &own[part[i] - 1];
            l->n++;
            l->entropy += entropy[i];
            l->is_false = l->is_false && truth[i] == 0;
        }
    }
    for (size_t k = 0; k < n_parts; k++) {
        own[k].entropy /= (double)own[k].n;
    }
    *n += n_parts;
    free(mask);
    free(part);
}
