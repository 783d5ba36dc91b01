/*
 * partition.h - one real data set shared out over hospitals
 *
 * Label skew as in Hsu et al. 2019 (arXiv:1909.06335): for each class, the
 * hospitals' shares are drawn from a symmetric Dirichlet(alpha); size skew
 * multiplies them by sizes drawn the same way.  The data's own splits are kept, and
 * the same shares hold in each of them, but for a class that one hospital alone is to
 * train on: its test cases go to all.
 */
#ifndef SIM_PARTITION_H
#define SIM_PARTITION_H

#include <stddef.h>

#include "base/err.h"
#include "base/rng.h"
#include "sim/scenario.h"

typedef struct {
    int split;        // data_split
    size_t index;     // row within an npz's split's array
    int label;        // how shares are drawn: npz: the file's code, folder: the job's; -1: none
    size_t leader;    // first row of the same patient, who is dealt; the others follow
    size_t hospital;  // who gets it
} partition_row;

typedef struct {
    partition_row *rows;  // owned
    size_t n;
    char **cases;  // of a folder: name of each row; owned; NULL for an npz
} partition;

/* Deals s->source to the hospitals, patients as a whole.  *out is the caller's: partition_clear. */
fl_status partition_read(partition *out, const scenario *s, fl_err *err);
void partition_clear(partition *p);

/* share[i] > 0, sum 1, from Dirichlet(alpha, ..., alpha). */
void partition_dirichlet(double *share, size_t n, double alpha, fl_rng *rng);

/* counts[i] sums to total and is nearest to share[i] * total (largest remainders). */
void partition_counts(size_t *counts, const double *share, size_t n, size_t total);

#endif
