/*
 * points.h - what several predictions of a mask say, point by point
 *
 * Members (passes with dropout, flipped inputs, models) are added one by one,
 * so that none need be kept.  From them come maps, one number a case, and one a
 * predicted lesion.  Points are pixels or voxels in row-major order;
 * probabilities are in planes, (K, n), summing to 1 over K; class 0 is the
 * background.  Entropies are in nats.
 */
#ifndef EVAL_POINTS_H
#define EVAL_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "eval/grid.h"

typedef struct {
    size_t n, K, M;       // points, classes, members so far
    double *mean;         // (K, n) mean probability
    double *own;          // (n) mean of the members' entropies
    double *square;       // (n) sum of squared deviations of the foreground's probability
} eval_points;

/* Room for a case; FL_ELIMIT. */
fl_status eval_points_init(eval_points *p, size_t n, size_t K, fl_err *err);
void eval_points_clear(eval_points *p);  // fine when called twice
void eval_points_restart(eval_points *p);  // the next case
void eval_points_add(eval_points *p, const double *prob);  // (K, n) of one member

/* Maps, (n) each and each may be NULL: entropy of the mean; mutual information,
 * which is entropy less the mean of the members' entropies; variance of the
 * probability of not being background, over the members (of all, not n - 1). */
void eval_points_maps(const eval_points *p, double *entropy, double *information,
                      double *variance);
/* The likeliest class by the mean; two classes: 1 from a probability of 0.5 on. */
void eval_points_codes(const eval_points *p, uint8_t *code);

/* A case in a few numbers. */
typedef struct {
    double entropy, information, variance;  // means over its points
    /*
     * 1 - 2 sum_i p_i m_i / (sum_i p_i + sum_i m_i), p the mean probability of not
     * being background and m the mask that is called: the Dice error that is to be
     * expected if p is right (its first-order value).  1 where nothing is called, for
     * the error is then 1, or there is nothing and it is not defined.
     */
    double expected_error;
} eval_points_case;

/* code: as eval_points_codes; entropy, information, variance: the maps. */
void eval_points_sum_up(eval_points_case *out, const eval_points *p, const uint8_t *code,
                        const double *entropy, const double *information, const double *variance);

/* One connected component of a predicted mask's foreground. */
typedef struct {
    size_t of;        // its case
    int64_t n;        // points
    double entropy;   // mean over them
    bool is_false;    // touches no true foreground
} eval_lesion;

/*
 * Appends a case's lesions to *list, which has *n of them and is the caller's.
 * truth: (n) codes, EVAL_SEG_IGNORE where nobody judged; lesions of which no point
 * was judged are left out.
 */
void eval_lesions_add(eval_lesion **list, size_t *n, size_t of, const uint8_t *code,
                      const uint8_t *truth, const double *entropy, const eval_grid *g);

#endif
