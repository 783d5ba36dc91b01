/*
 * hospital.h - the simulated hospitals' data sets, as files a real one would have
 *
 * DIR/NAME/dataset.yaml (+ manifest.csv + images/) for every hospital;
 * DIR/pooled/dataset.yaml, the union of all as they are at the end, and, where a scanner is
 * replaced, DIR/pooled/rounds/dataset.yaml, the union of what each had in a round.
 * Every case has its own random stream, so the bytes do not depend on threads.
 */
#ifndef SIM_HOSPITAL_H
#define SIM_HOSPITAL_H

#include "base/err.h"
#include "sim/scenario.h"

#define HOSPITAL_POOLED "pooled"
#define HOSPITAL_POOLED_ROUNDS "pooled/rounds"

/* What the bytes depend on, as one line with a digest; the caller's. */
char *hospital_stamp(const scenario *s);

/* A folder made from the same settings is kept (DIR/stamp says so), another of ours is made anew;
 * FL_ECONFLICT for a folder with something in it that is not ours. */
fl_status hospital_make_all(const scenario *s, const char *dir, fl_err *err);

#endif
