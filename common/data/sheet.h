/*
 * sheet.h - a contact sheet: a few images of every split and class, as a model sees them
 *
 * For the hospital's own eyes: one look finds films turned upside down, a window that
 * blacks everything out, or a class that is only the other scanner.  Under each image stands
 * its place in the data set's order, never a case's or a patient's name.
 */
#ifndef DATA_SHEET_H
#define DATA_SHEET_H

#include "data/dataset.h"

/*
 * Writes a PNG.  A row for every class of every split (multilabel: for every finding that is
 * present; segment: with the mask's outline; regress: from the least to the most), eight of its
 * images evenly taken.  FL_EUNSUPPORTED for tables, which have no images.
 */
fl_status data_sheet_write(const data_set *s, const char *path, fl_err *err);

#endif
