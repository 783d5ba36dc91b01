/*
 * gallery.h - a picture of the hospitals, one row each, so a person sees the shift
 */
#ifndef SIM_GALLERY_H
#define SIM_GALLERY_H

#include "base/err.h"
#include "sim/scenario.h"

/*
 * Test cases side by side as a PNG, under what the hospital's scanner does and above what
 * the truth calls each: three channels in colour, other numbers of channels one beside the
 * other, of volumes the middle slice (of the mask, where there is one), masks as outlines,
 * one colour a reader.  A scanner that comes later has a row of its own.
 * dir: where hospital_make_all put the data sets.
 */
fl_status gallery_write(const scenario *s, const char *dir, const char *png, fl_err *err);

#endif
