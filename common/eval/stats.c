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
    f->se = 0;
    snprintf(f->method, sizeof f->method, "none");
    snprintf(f->why, sizeof f->why, "%s", why);
}

void eval_figure_no_interval(eval_figure *f, const char *why)
{
    f->ci_low = f->ci_high = NAN;
    f->se = 0;
    snprintf(f->method, sizeof f->method, "none");
    snprintf(f->why, sizeof f->why, "%s", why);
}

/* ------------------------------------------------------------ proportions */

void eval_wilson_at(double *low, double *high, double p, double n, double z)
{
    const double z2 = z * z;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    // At p = 0 and 1 the formula is exact on paper, not in floating point.
    *low = p <= 0 ? 0 : fmax(0, centre - half);
    *high = p >= 1 ? 1 : fmin(1, centre + half);
}

void eval_wilson(double *low, double *high, double p, double n)
{
    eval_wilson_at(low, high, p, n, EVAL_Z95);
}

typedef struct {
    size_t n, hits, n_patients;
} tally;

static tally tally_of(const bool *in, const bool *hit, const eval_patients *patients)
{
    tally t = {.n_patients = eval_patients_count(patients, in)};
    for (size_t i = 0; i < patients->n; i++) {
        if (in == NULL || in[i]) {
            t.n++;
            t.hits += hit[i];
        }
    }
    return t;
}

/* Cases that would tell as much if each came from a patient of its own. */
double eval_effective_n(const bool *in, const bool *hit, const eval_patients *patients)
{
    tally t = tally_of(in, hit, patients);
    double n = (double)t.n, p = (double)t.hits / n, G = (double)t.n_patients;
    if (!patients->repeats) {
        return n;
    }
    if (t.hits == 0 || t.hits == t.n || t.n_patients < 2) {
        return G;  // no spread to be seen: the worst case
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
    double variance = G / (G - 1) * sum / (n * n);
    double design_effect = variance / (p * (1 - p) / n);
    return n / fmax(1, design_effect);
}

void eval_proportion(eval_figure *f, const bool *in, const bool *hit, const eval_patients *patients,
                     const char *why_empty)
{
    tally t = tally_of(in, hit, patients);
    f->n = (int64_t)t.n;
    f->n_patients = (int64_t)t.n_patients;
    if (t.n == 0) {
        eval_figure_undefined(f, why_empty);
        return;
    }
    f->value = (double)t.hits / (double)t.n;
    double trials = eval_effective_n(in, hit, patients);
    eval_wilson(&f->ci_low, &f->ci_high, f->value, trials);
    f->se = sqrt(f->value * (1 - f->value) / trials);
    snprintf(f->method, sizeof f->method, "%s",
             patients->repeats ? "Wilson, by patient" : "Wilson");
}

/* -------------------------------------------------------------- Student's t */

/* The probability that |T| is below t. */
static double student_within(double t, int df)
{
    double angle = atan(t / sqrt(df)), sine = sin(angle), square = cos(angle) * cos(angle);
    double term = df % 2 ? cos(angle) : 1, sum = 0;
    for (int k = df % 2 ? 3 : 2; k <= df; k += 2) {
        sum += term;
        term *= square * (k - 1) / k;
    }
    return df % 2 ? 2 / acos(-1) * (angle + sine * sum) : sine * sum;
}

double eval_student_p(double t, int df)
{
    FL_REQUIRE(df >= 1);
    return fmin(1, fmax(0, 1 - student_within(fabs(t), df)));
}

double eval_student_quantile(int df)
{
    double low = 0, high = 16;  // of one degree: 12.7
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        *(student_within(middle, df) < 0.95 ? &low : &high) = middle;
    }
    return low;
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

static double sd_of(const double *value, size_t n)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        mean += value[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        squares += (value[i] - mean) * (value[i] - mean);
    }
    return sqrt(squares / (double)(n - 1));
}

/*
 * The share of replicates beyond each end.  Of n patients the bootstrap spreads
 * as if it knew the variance, and by n - 1 in n of it: both are made good by
 * going as far out as Student's t would (Hesterberg 2015, "expanded percentile").
 */
static double tail_for(int64_t n_patients)
{
    if (n_patients < 2 || n_patients > 10000) {
        return 0.025;
    }
    double n = (double)n_patients;
    double z = eval_student_quantile((int)n_patients - 1) * sqrt(n / (n - 1));
    return erfc(z / sqrt(2)) / 2;
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
    double tail = tail_for(f->n_patients);
    double low = eval_quantile(replicate, defined, tail);
    double high = eval_quantile(replicate, defined, 1 - tail);
    if (high - low <= 1e-12 * fmax(fabs(low), fabs(high))) {  // or rounding
        eval_figure_no_interval(f, "every resample gives the same value");
        return;
    }
    f->ci_low = low;
    f->ci_high = high;
    f->se = sd_of(replicate, defined);
    snprintf(f->method, sizeof f->method, "bootstrap %zu%s", n, by_patient ? ", by patient" : "");
}
