/*
 * choose.h - validation chooses: which round's model, and its threshold
 *
 * Both are functions of the record alone, so a restarted coordinator chooses
 * the same.  The test split has no part in either.
 */
#ifndef COORDINATOR_CHOOSE_H
#define COORDINATOR_CHOOSE_H

#include "base/err.h"
#include "coordinator/record.h"
#include "job/job.h"

/* A histogram of fewer bins is left out where others have more. */
enum { CHOOSE_FEWEST_BINS = 4 };

/* Means over the sites that scored a round's model, weighted by their cases; NAN: undefined
 * everywhere. */
typedef struct {
    task_quick figures;
    int64_t n;
} choose_score;
fl_status choose_score_of(choose_score *out, record *r, uint32_t round, fl_err *err);

/*
 * The round by the job's rule, ties to the earlier one.  *value: its metric; NAN
 * when no site could send the figure (no validation split, or too few patients in it): then
 * it is the last round.
 */
fl_status choose_round(uint32_t *round, double *value, record *r, const job *j, fl_err *err);
/*
 * The threshold by the job's rule from the sites' histograms of the selected
 * round, and the bins it rests on (0: none).  why: what a reader must know, else "".
 */
fl_status choose_threshold(double *threshold, int64_t *bins, char why[static FED_TEXT_BYTES],
                           record *r, const job *j, uint32_t selected, fl_err *err);

#endif
