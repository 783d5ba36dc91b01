/*
 * relabel.h - what a hospital's readers make of real cases
 *
 * The hospital's data set is used where it lies; DIR/cases.csv, which its
 * dataset.yaml names, says what its readers wrote or drew (masks beside it).  As for
 * simulated patients, that concerns training: validation and test keep what the data
 * set says, but for several annotators, who outline every case.
 */
#ifndef SIM_RELABEL_H
#define SIM_RELABEL_H

#include "base/err.h"
#include "sim/scenario.h"

/* Do its `labels:` say anything? */
bool relabel_is_needed(const scenario_hospital *h);

/* Writes DIR/cases.csv for the data set of DIR/dataset.yaml.  *standard, the caller's, is
 * what its reference_standard has become by that; NULL: what it was. */
fl_status relabel_write(char **standard, const scenario *s, const scenario_hospital *h,
                        const char *dir, fl_err *err);

#endif
