/*
 * partition.h - one real data set shared out over hospitals
 *
 * Label skew as in Hsu et al. 2019 (arXiv:1909.06335): for each class, the
 * hospitals' shares are drawn from a symmetric Dirichlet(alpha).  The file's own
 * splits are kept, and the same shares hold in each of them.
 */
#ifndef SIM_PARTITION_H
#define SIM_PARTITION_H

#include <stddef.h>

#include "base/err.h"
#include "base/rng.h"
#include "sim/scenario.h"

typedef struct {
    int split;        // 0 train, 1 val, 2 test
    size_t index;     // row within the split's array
    size_t hospital;  // who gets it
} partition_row;

/* Rows of s->source.npz, ordered by split and index.  *rows is the caller's. */
fl_status partition_npz(partition_row **rows, size_t *n, const scenario *s, fl_err *err);

/* share[i] > 0, sum 1, from Dirichlet(alpha, ..., alpha). */
void partition_dirichlet(double *share, size_t n, double alpha, fl_rng *rng);

/* counts[i] sums to total and is nearest to share[i] * total (largest remainders). */
void partition_counts(size_t *counts, const double *share, size_t n, size_t total);

#endif
