/*
 * annotate.h - what a hospital's readers make of the truth
 *
 * Labels: faint findings are missed or fall below a reader's own threshold, a
 * finding is written under its parent's or neighbour's name, and some labels are
 * simply wrong.  Outlines: each annotator draws a little larger or smaller, shifted,
 * and with a hand of their own.  Readers are a hospital's: the same person has
 * the same habits in all of its cases.
 */
#ifndef SIM_ANNOTATE_H
#define SIM_ANNOTATE_H

#include "sim/phantom.h"

enum { ANNOTATE_MAX_READERS = 9 };

typedef struct {
    int64_t annotators;  // readers, >= 1; with several each draws every mask
    double variation;    // sd of an outline's displacement, in parts of the side
    double noise;        // share of training labels that are wrong, whatever they are
    double missed;       // share of the faintest findings that nobody wrote down
    double threshold;    // conspicuity from which a reader calls a finding one
    double confused;     // share of findings written as their parent or neighbour
    double labelled;     // share of training cases that have a label
} annotate_rules;

/* Who does the reading: names the random streams. */
typedef struct {
    const annotate_rules *rules;
    uint64_t seed;
    const char *site;
} annotate_site;

/* The class in the archive: of phantom's classes, or -1 unlabelled. */
int annotate_label(const annotate_site *site, const phantom_ops *phantom,
                   const phantom_patient *patient, size_t index);

/* The same for multi-label reports: bit k is label k.  False: unlabelled. */
bool annotate_findings(unsigned *out, const annotate_site *site, const phantom_ops *phantom,
                       const phantom_patient *patient, size_t index);

/*
 * The same of a real case, of which nobody knows how conspicuous it is: noise and labelled alone.
 * code: -1 is unlabelled, and stays so.
 */
int annotate_code(const annotate_site *site, int code, size_t n_classes, size_t index);
/* Of findings in {0, 1, NaN = unlabelled}, each wrong by itself. */
void annotate_flags(float *out, const annotate_site *site, const float *flags, size_t n,
                    size_t index);
/* Has anybody outlined it? */
bool annotate_is_drawn(const annotate_site *site, size_t index);
/* Does reader k see what the patient has?  Who overlooks it outlines nothing. */
bool annotate_sees(const annotate_site *site, const phantom_patient *patient, size_t index,
                   int64_t reader);

/* What reader k draws, slice by slice; masks (depth, rows, cols) of 0 and 1. */
void annotate_mask(float *out, const annotate_site *site, const float *truth, int64_t depth,
                   int64_t rows, int64_t cols, size_t index, int64_t reader);

#endif
