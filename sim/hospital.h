/*
 * hospital.h - the simulated hospitals' data sets, as files a real one would have
 *
 * DIR/NAME/dataset.yaml (+ manifest.csv + images/) for every hospital and
 * DIR/pooled/dataset.yaml, the union that the centralised baseline trains on.
 * Every case has its own random stream, so the bytes do not depend on threads.
 */
#ifndef SIM_HOSPITAL_H
#define SIM_HOSPITAL_H

#include "base/err.h"
#include "sim/scenario.h"

/* Writes what is missing; a folder made from the same settings is kept (its
 * stamp says so), any other is made anew. */
fl_status hospital_make_all(const scenario *s, const char *dir, fl_err *err);

/* One row a hospital, cases side by side, so a person sees the shift. PNG. */
fl_status hospital_gallery(const scenario *s, const char *dir, const char *png, fl_err *err);

#endif
