/*
 * generate.h - a simulated hospital's patients as files
 *
 * DIR/manifest.csv, DIR/images and, for a segmentation, DIR/masks.  Pictures are PNG;
 * measurements (Hounsfield units) and volumes are NIfTI.
 */
#ifndef SIM_GENERATE_H
#define SIM_GENERATE_H

#include "base/err.h"
#include "sim/scenario.h"

/* FL_ECONFIG when no patient of the phantom is what the hospital asks for. */
fl_status generate_hospital(const scenario *s, const scenario_hospital *h, const char *dir,
                            fl_err *err);

/* A CSV cell in quotes; quotes in it are doubled (RFC 4180).  Caller's. */
char *generate_quoted(const char *text);

#endif
