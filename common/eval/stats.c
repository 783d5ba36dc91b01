/*
 * stats.c - see stats.h
 */
#include "eval/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void eval_figure_undefined(eval_figure *f, const char *why)
{
    f->value = f->ci_low = f->ci_high = NAN;
    snprintf(f->method, sizeof f->method, "none");
    snprintf(f->why, sizeof f->why, "%s", why);
}

void eval_figure_no_interval(eval_figure *f, const char *why)
{
    f->ci_low = f->ci_high = NAN;
    snprintf(f->method, sizeof f->method, "none");
    snprintf(f->why, sizeof f->why, "%s", why);
}

/* ------------------------------------------------------------ proportions */

void eval_wilson(double *low, double *high, double p, double n)
{
    const double z2 = EVAL_Z95 * EVAL_Z95;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = EVAL_Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    // At p = 0 and 1 the formula is exact on paper, not in floating point.
    *low = p <= 0 ? 0 : fmax(0, centre - half);
    *high = p >= 1 ? 1 : fmin(1, centre + half);
}

/* Cases that would tell as much if each came from a patient of its own. */
static double effective_n(double p, size_t n, const bool *in, const bool *hit,
                          const eval_patients *patients, size_t n_patients)
{
    if (p <= 0 || p >= 1 || n_patients < 2) {
        return (double)n_patients;  // no spread to be seen: the worst case
    }
    double *residual = fl_xcalloc(patients->n_patients, sizeof *residual);
    for (size_t i = 0; i < patients->n; i++) {
        if (in == NULL || in[i]) {
            residual[patients->of[i]] += (hit[i] ? 1 : 0) - p;
        }
    }
    double sum = 0;
    for (size_t g = 0; g < patients->n_patients; g++) {
        sum += residual[g] * residual[g];
    }
    free(residual);
    double G = (double)n_patients;
    double variance = G / (G - 1) * sum / ((double)n * (double)n);
    double design_effect = variance / (p * (1 - p) / (double)n);
    return (double)n / fmax(1, design_effect);
}

void eval_proportion(eval_figure *f, const bool *in, const bool *hit, const eval_patients *patients,
                     const char *why_empty)
{
    size_t n = 0, hits = 0;
    for (size_t i = 0; i < patients->n; i++) {
        if (in == NULL || in[i]) {
            n++;
            hits += hit[i];
        }
    }
    f->n = (int64_t)n;
    f->n_patients = (int64_t)eval_patients_count(patients, in);
    if (n == 0) {
        eval_figure_undefined(f, why_empty);
        return;
    }
    f->value = (double)hits / (double)n;
    double trials = (double)n;
    if (patients->repeats) {
        trials = effective_n(f->value, n, in, hit, patients, (size_t)f->n_patients);
    }
    eval_wilson(&f->ci_low, &f->ci_high, f->value, trials);
    snprintf(f->method, sizeof f->method, "%s",
             patients->repeats ? "Wilson, by patient" : "Wilson");
}

/* -------------------------------------------------------------- bootstrap */

size_t eval_n_replicates(size_t n)
{
    const size_t most = 2000, least = 400, work = 40000000;
    size_t affordable = n == 0 ? most : work / n;
    return affordable > most ? most : affordable < least ? least : affordable;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double eval_quantile(const double *sorted, size_t n, double q)
{
    FL_REQUIRE(n > 0 && q >= 0 && q <= 1);
    double at = q * (double)(n - 1);
    size_t below = (size_t)at;
    size_t above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

void eval_percentile(eval_figure *f, double *replicate, size_t n, bool by_patient)
{
    size_t defined = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(replicate[i])) {
            replicate[defined++] = replicate[i];
        }
    }
    if (defined < 2 || n - defined > n / 20) {
        eval_figure_no_interval(f, "too few cases: many resamples have no value");
        return;
    }
    qsort(replicate, defined, sizeof *replicate, by_value);
    double low = eval_quantile(replicate, defined, 0.025);
    double high = eval_quantile(replicate, defined, 0.975);
    if (high - low <= 1e-12 * fmax(fabs(low), fabs(high))) {  // or rounding
        eval_figure_no_interval(f, "every resample gives the same value");
        return;
    }
    f->ci_low = low;
    f->ci_high = high;
    snprintf(f->method, sizeof f->method, "bootstrap %zu%s", n, by_patient ? ", by patient" : "");
}
