/*
 * agreement.h - how far those who drew the same masks agree, and a model with them
 *
 * A Dice of .8 is poor where two radiologists reach .95 with each other, and all there is to
 * reach where they reach .8.  Of two masks three numbers a class are kept (eval_overlap), so
 * that no mask need be.  R readers, P = R (R - 1) / 2 pairs of them, K classes without the
 * background.
 *
 * A figure over cases is the mean over classes of the mean over cases, as in metrics_seg.h:
 * two empty masks have no Dice, the case is left out.
 *
 * The comparison weighs a case once.  Of the cases that two readers or more drew, a class
 * counts where anybody, the model too, drew it; then
 *   human = mean over the pairs of readers of their Dice
 *   model = mean over the readers of the model's Dice with each
 * and here two who both left the class out agree, 1: otherwise a model would gain nothing by
 * saying nothing together with the most of them.  difference = model - human, paired.  A
 * model as good as a further reader has a difference of 0.
 */
#ifndef EVAL_AGREEMENT_H
#define EVAL_AGREEMENT_H

#include "eval/eval.h"

#define EVAL_AGREEMENT_MARGIN 0.05  // of Dice, where nobody declared another

/* One class of two masks. */
typedef struct {
    int64_t n_a, n_b, n_both;  // points of either, and of both; n_both -1: one was not drawn
} eval_overlap;

/*
 * out (K): classes 1 .. K of masks a and b, (n_points) codes; NULL: not drawn.  Points that
 * are EVAL_SEG_IGNORE in either are in neither.
 */
void eval_overlap_count(eval_overlap *out, const uint8_t *a, const uint8_t *b, size_t n_points,
                        size_t n_classes);

/* All cases; arrays borrowed. */
typedef struct {
    size_t n, n_readers, n_classes;  // cases, R >= 2, K >= 1
    const int64_t *patient;          // (n), or NULL: every case its own
    const eval_overlap *pair;        // (n, P, K): readers 0 and 1, 0 and 2, .. 1 and 2, ..
    const eval_overlap *model;       // (n, R, K): the model's mask and the reader's
    const eval_overlap *consensus;   // (n, K): the model's mask and the vote of three or more
} eval_drawn;

size_t eval_drawn_n_pairs(size_t n_readers);  // P

/* Mean Dice, bootstrap by patient.  pair < P, reader < R. */
void eval_drawn_pair(eval_figure *out, const eval_drawn *d, size_t pair, uint64_t seed);
void eval_drawn_reader(eval_figure *out, const eval_drawn *d, size_t reader, uint64_t seed);
void eval_drawn_consensus(eval_figure *out, const eval_drawn *d, uint64_t seed);

typedef struct {
    eval_figure human, model, difference;  // of the same cases
} eval_agreement;

void eval_agreement_of(eval_agreement *out, const eval_drawn *d, uint64_t seed);

/*
 * "as well" where the whole interval of the difference lies above -margin, "less well" where
 * it lies below it, "cannot tell" else or without an interval.
 */
const char *eval_agreement_verdict(const eval_figure *difference, double margin);

/*
 * report.json's "annotators" (proto/REPORT.md); new reference.  names: (R).  Figures of
 * fewer than min_cell patients are suppressed as subgroups are.
 */
json_t *eval_agreement_json(const eval_drawn *d, const char *const *names, double margin,
                            int64_t min_cell, uint64_t seed);

#endif
