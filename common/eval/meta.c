/*
 * meta.c - see meta.h
 */
#include "eval/meta.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/stats.h"

/* Sums over hospitals with weights w = 1 / (v + tau2). */
typedef struct {
    double w, w2, w3;  // sums of w, its square and cube
    double mean;       // weighted
    double squares;    // sum w (y - mean)^2
    double squares2;   // sum w^2 (y - mean)^2
} sums;

static sums sums_at(double tau2, const double *y, const double *v, size_t n)
{
    sums s = {0};
    double weighted = 0;
    for (size_t i = 0; i < n; i++) {
        double w = 1 / (v[i] + tau2);
        s.w += w;
        s.w2 += w * w;
        s.w3 += w * w * w;
        weighted += w * y[i];
    }
    s.mean = weighted / s.w;
    for (size_t i = 0; i < n; i++) {
        double w = 1 / (v[i] + tau2), gap = y[i] - s.mean;
        s.squares += w * gap * gap;
        s.squares2 += w * w * gap * gap;
    }
    return s;
}

/* The traces of P = W - W11'W / 1'W1 and of PP are sums of weights. */
static double reml(const double *y, const double *v, size_t n)
{
    enum { STEPS = 10000 };
    sums s = sums_at(0, y, v, n);
    // Where to begin: DerSimonian and Laird (1986).
    double tau2 = fmax(0, (s.squares - (double)(n - 1)) / (s.w - s.w2 / s.w));
    for (int step = 0; step < STEPS; step++) {
        s = sums_at(tau2, y, v, n);
        double trace = s.w - s.w2 / s.w;
        double trace2 = s.w2 - 2 * s.w3 / s.w + (s.w2 / s.w) * (s.w2 / s.w);
        double change = (s.squares2 - trace) / trace2;
        double next = fmax(0, tau2 + change);
        double moved = fabs(next - tau2);
        tau2 = next;
        if (moved <= 1e-14 + 1e-12 * tau2) {
            break;
        }
    }
    return tau2;
}

static size_t keep_known(double *y, double *v, const double *value, const double *se, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(value[i]) && isfinite(se[i]) && se[i] > 0) {
            y[kept] = value[i];
            v[kept++] = se[i] * se[i];
        }
    }
    return kept;
}

void eval_meta_of(eval_meta *out, const double *value, const double *se, size_t n)
{
    *out = (eval_meta){.mean = NAN,
                       .ci_low = NAN,
                       .ci_high = NAN,
                       .tau2 = NAN,
                       .i2 = NAN,
                       .q = NAN,
                       .prediction_low = NAN,
                       .prediction_high = NAN};
    double *y = fl_xcalloc(n, sizeof *y), *v = fl_xcalloc(n, sizeof *v);
    out->n = keep_known(y, v, value, se, n);
    if (out->n >= 2) {
        double k = (double)out->n;
        sums fixed = sums_at(0, y, v, out->n);
        out->q = fixed.squares;
        out->tau2 = reml(y, v, out->n);
        double typical = (k - 1) / (fixed.w - fixed.w2 / fixed.w);
        out->i2 = out->tau2 / (out->tau2 + typical);
        sums s = sums_at(out->tau2, y, v, out->n);
        double variance = fmax(1, s.squares / (k - 1)) / s.w;
        double half = eval_student_quantile((int)out->n - 1) * sqrt(variance);
        out->mean = s.mean;
        out->ci_low = s.mean - half;
        out->ci_high = s.mean + half;
        if (out->n >= 3) {
            half = eval_student_quantile((int)out->n - 2) * sqrt(out->tau2 + variance);
            out->prediction_low = s.mean - half;
            out->prediction_high = s.mean + half;
        }
    }
    free(y);
    free(v);
}
