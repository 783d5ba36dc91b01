/*
 * robust.c - rules that a few wrong updates cannot pull away
 *
 * Yin et al. 2018, Byzantine-Robust Distributed Learning: for every parameter by itself the
 * median of the sites' updates (definition 1), or their mean without the trim largest and the
 * trim smallest share (definition 2); of every running statistic likewise.  Every site weighs
 * the same, however many cases it has: a weight is a site's own word.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "coordinator/strategy.h"
#include "fed/accum.h"

enum { TRIM };

static const strategy_param no_params[] = {{0}};
static const strategy_param trim_params[] = {
    [TRIM] = {"trim", 0.1, 0, 0.49,
              "share of the sites, rounded down, that is left out at each end; a round needs "
              "1 / trim",
              false},
    {0},
};

static void swap(float *a, float *b)
{
    float kept = *a;
    *a = *b;
    *b = kept;
}

/* Moves x's k-th smallest to x[k], none larger before it, none smaller behind it (Hoare 1961). */
static void place(float *x, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        while (true) {
            while (x[i] < pivot) {
                i++;
            }
            while (x[j] > pivot) {
                j--;
            }
            if (i >= j) {
                break;
            }
            swap(&x[i++], &x[j--]);
        }
        if (k <= j) {
            high = j;
        } else {
            low = j + 1;
        }
    }
}

/* Of n values, in place: the mean of those that are neither among the k smallest nor the k largest,
 * in double, in an order that follows from theirs. */
static double mean_within(float *x, size_t n, size_t k)
{
    double sum = 0;
    if (k > 0) {
        place(x, n, k);
        place(x + k, n - k, n - 2 * k - 1);
    }
    for (size_t i = k; i < n - k; i++) {
        sum += (double)x[i];
    }
    return sum / (double)(n - 2 * k);
}

/* x' = x + the mean of what is within, k of the n left out at each end. */
static void trimmed(const strategy_block *b, size_t k)
{
    float *column = fl_xcalloc(b->n, sizeof *column);
    for (int64_t i = 0; i < b->count; i++) {
        for (size_t site = 0; site < b->n; site++) {
            column[site] = b->in[site][i];
        }
        b->out[i] = (float)((double)b->global[i] + mean_within(column, b->n, k));
    }
    free(column);
}

/* What is within is the middle one, or the middle two. */
static void median(const double *value, const strategy_block *b)
{
    (void)value;
    trimmed(b, (b->n - 1) / 2);
}

/* Of fewer than 1 / trim updates none would be left out, and the rule were a plain mean.  Who
 * writes a trim of 0 asks for that. */
static strategy_least one_at_each_end(const double *value)
{
    const double most = FED_MAX_WEIGHT_SUM;
    double n = value[TRIM] > 0 ? ceil(1 / value[TRIM]) : 1;
    n += value[TRIM] * n < 1 && value[TRIM] > 0;  // 1 / trim was rounded down
    return (strategy_least){
        .n = n < most ? (size_t)n : (size_t)most,
        .why = "of fewer, trim leaves none out, and that is a plain mean",
        .instead = "a larger trim, or fedavg with weights: uniform"};
}

static void trimmed_mean(const double *value, const strategy_block *b)
{
    trimmed(b, (size_t)(value[TRIM] * (double)b->n));
}

const strategy_ops strategy_median = {
    .name = "median",
    .paper = "Yin et al. 2018, Byzantine-Robust Distributed Learning: Towards Optimal Statistical "
             "Rates",
    .params = no_params,
    .sees = STRATEGY_EACH,
    .block = median,
};

const strategy_ops strategy_trimmed_mean = {
    .name = "trimmed_mean",
    .paper = "Yin et al. 2018, Byzantine-Robust Distributed Learning: Towards Optimal Statistical "
             "Rates",
    .params = trim_params,
    .sees = STRATEGY_EACH,
    .least = one_at_each_end,
    .block = trimmed_mean,
};
