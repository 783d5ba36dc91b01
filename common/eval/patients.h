/*
 * patients.h - which cases belong to the same patient, and what follows
 *
 * Cases of one patient are not independent: intervals count patients, not
 * images.  Every interval of eval/ goes through here, and a data set with one
 * case a patient is the special case in which nothing changes.
 */
#ifndef EVAL_PATIENTS_H
#define EVAL_PATIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "eval/eval.h"

typedef struct {
    size_t n;  // cases
    size_t n_patients;
    size_t *of;    // (n) patient of a case, 0 to n_patients - 1
    bool repeats;  // some patient has several cases
} eval_patients;

/* patient: (n) any numbers, or NULL when every case is its own. */
void eval_patients_init(eval_patients *p, const int64_t *patient, size_t n);
void eval_patients_clear(eval_patients *p);

/* How many of the patients have a case i with in[i]; NULL = all cases. */
size_t eval_patients_count(const eval_patients *p, const bool *in);

/*
 * One bootstrap sample: patients drawn with replacement, each with all its
 * cases.  weight: (n), how often a case was drawn.  drawn: (n_patients) room.
 */
void eval_patients_resample(double *weight, double *drawn, const eval_patients *p, fl_rng *rng);

/* Mean of value (n > 0) over the cases, bootstrap by patient; stream names its draws. */
void eval_patients_mean(eval_figure *f, const double *value, const eval_patients *p,
                        const char *stream, uint64_t seed);

#endif
