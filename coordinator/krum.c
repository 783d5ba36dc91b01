/*
 * krum.c - rules that take the updates which lie nearest to the others, whole
 *
 * Blanchard et al. 2017, Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent.
 * An update's score is the sum of its squared distances to its n - byzantine - 2 nearest
 * (section 4).  Krum takes the update of the lowest score as it is; multi-Krum the plain
 * mean of the `keep` lowest.  Every update weighs the same, as in the paper,
 * whatever the job's weights: a weight is a site's own word.  Of equal scores the site whose
 * name comes first is taken.  What is proven of it needs n >= 2 byzantine + 3.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "coordinator/strategy.h"

enum { BYZANTINE, KEEP };
enum { MOST = 100000 };  // sites, as of a quorum

#define BYZANTINE_PARAM                                                                         \
    {"byzantine", 1, 0, MOST / 2,                                                                 \
     "wrong updates in a round that it withstands; a round needs 2 byzantine + 3", true}

static const strategy_param krum_params[] = {[BYZANTINE] = BYZANTINE_PARAM, {0}};
static const strategy_param multi_krum_params[] = {
    [BYZANTINE] = BYZANTINE_PARAM,
    [KEEP] = {"keep", 0, 0, MOST,
              "updates that are averaged, and a round needs keep + byzantine; 0: all but byzantine",
              true},
    {0},
};

static strategy_least krum_least(const double *value)
{
    return (strategy_least){.n = 2 * (size_t)value[BYZANTINE] + 3,
                            .why = "2 byzantine + 3",
                            .instead = "a smaller byzantine"};
}

/* Of fewer than keep + byzantine, some that are kept would have to be wrong ones. */
static strategy_least multi_krum_least(const double *value)
{
    size_t n = (size_t)value[KEEP] + (size_t)value[BYZANTINE];
    strategy_least least = krum_least(value);
    return n <= least.n ? least
                        : (strategy_least){.n = n,
                                           .why = "keep + byzantine",
                                           .instead = "a smaller keep or byzantine"};
}

typedef struct {
    double score;
    size_t update;
} scored;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score ? 1 : -1)
                                : (x->update > y->update) - (x->update < y->update);
}

/* The sum of the n_near smallest of row's n but row[own], in order of their size, which no order of
 * the sites changes.  others: room for n - 1. */
static double score_of(double *others, const double *row, size_t n, size_t own, size_t n_near)
{
    double sum = 0;
    size_t n_others = 0;
    for (size_t i = 0; i < n; i++) {
        if (i != own) {
            others[n_others++] = row[i];
        }
    }
    qsort(others, n_others, sizeof *others, by_size);
    for (size_t i = 0; i < n_near; i++) {
        sum += others[i];
    }
    return sum;
}

static void choose_lowest(const double *distance, size_t n, size_t byzantine, size_t n_chosen,
                          bool *chosen)
{
    double *others = fl_xcalloc(n, sizeof *others);
    scored *all = fl_xcalloc(n, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = (scored){score_of(others, distance + i * n, n, i, n - byzantine - 2), i};
    }
    qsort(all, n, sizeof *all, by_score);
    for (size_t i = 0; i < n_chosen; i++) {
        chosen[all[i].update] = true;
    }
    free(all);
    free(others);
}

static void krum_choose(const double *value, const double *distance, size_t n, bool *chosen)
{
    choose_lowest(distance, n, (size_t)value[BYZANTINE], 1, chosen);
}

static void multi_krum_choose(const double *value, const double *distance, size_t n, bool *chosen)
{
    size_t byzantine = (size_t)value[BYZANTINE], keep = (size_t)value[KEEP];
    choose_lowest(distance, n, byzantine, keep > 0 ? keep : n - byzantine, chosen);
}

/* x' = x + the mean of those that count, in double, in order of the sites' names; of one, it. */
static void mean_of_chosen(const double *value, const strategy_block *b)
{
    (void)value;
    for (int64_t i = 0; i < b->count; i++) {
        double sum = 0;
        for (size_t site = 0; site < b->n; site++) {
            sum += (double)b->in[site][i];
        }
        b->out[i] = (float)((double)b->global[i] + sum / (double)b->n);
    }
}

const strategy_ops strategy_krum = {
    .name = "krum",
    .paper = "Blanchard et al. 2017, Machine Learning with Adversaries: Byzantine Tolerant "
             "Gradient Descent",
    .params = krum_params,
    .sees = STRATEGY_EACH,
    .least = krum_least,
    .choose = krum_choose,
    .block = mean_of_chosen,
};

const strategy_ops strategy_multi_krum = {
    .name = "multi_krum",
    .paper = "Blanchard et al. 2017, Machine Learning with Adversaries: Byzantine Tolerant "
             "Gradient Descent (multi-Krum)",
    .params = multi_krum_params,
    .sees = STRATEGY_EACH,
    .least = multi_krum_least,
    .choose = multi_krum_choose,
    .block = mean_of_chosen,
};
