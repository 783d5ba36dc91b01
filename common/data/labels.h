/*
 * labels.h - the findings of a row, each present, absent or not said
 *
 * A manifest has a column label:NAME for each finding, or one column `label`
 * with a list such as Effusion|Mass.  Findings may be parts of others: then a present
 * part makes the whole present, and a whole that is said to be absent makes its
 * parts absent where nothing is said of them (after Irvin et al. 2019, CheXpert).
 * Known to this folder only.
 */
#ifndef DATA_LABELS_H
#define DATA_LABELS_H

#include "data/recipe.h"

enum { DATA_MAX_FINDINGS = 128 };

typedef struct {
    const data_recipe *r;                 // borrowed
    const char *file;                     // for messages; borrowed
    const char *name[DATA_MAX_FINDINGS];  // borrowed; more than the classes, perhaps
    int column[DATA_MAX_FINDINGS];        // -1: none
    int whole[DATA_MAX_FINDINGS];         // that it is a part of; -1: none
    size_t n;
    int list;                           // column of the lists, or -1
    size_t of_class[DATA_MAX_CLASSES];  // finding of each class
    size_t n_classes;
    size_t n_contradictions;  // parts present of a whole said to be absent
} data_labels;

/*
 * Finds the columns; without classes in spec, the findings become them.
 * FL_ECONFIG when a class has no column, or a part is its own whole.
 */
fl_status data_labels_find(data_labels *out, data_spec *spec, const data_recipe *r,
                           const data_csv *table, const char *file, fl_err *err);

/* target: (n_classes) 0, 1 or NaN. */
fl_status data_labels_read(float *target, data_labels *l, const data_csv *table, size_t row,
                           fl_err *err);

#endif
