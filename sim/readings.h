/*
 * readings.h - how far a hospital's readers went astray, counted
 *
 * What the rules ask for is a probability; what a reviewer wants to know is how many
 * training labels are wrong, and how close the outlines are to the truth.  The
 * sentence becomes the data set's reference_standard and so stands on its page.
 */
#ifndef SIM_READINGS_H
#define SIM_READINGS_H

#include "sim/annotate.h"

/* Of the training cases that have a label. */
typedef struct {
    size_t n_labels, n_wrong;      // a label a case; multi-label: one a finding
    size_t n_found, n_overlooked;  // structures in a case, once for every reader
    double dice;                   // sum over those that were outlined
} readings;

/* What a reader drew of a case with such a truth; (n) of 0 and 1. */
void readings_add_outline(readings *r, const float *drawn, const float *truth, size_t n);

/* "the simulator's own truth; readers wrote 97 of 500 training labels wrongly"; the caller's.
 * truth: what it is called. */
char *readings_text(const readings *r, const annotate_rules *rules, const char *truth);

#endif
