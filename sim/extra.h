/*
 * extra.h - the federations that are played besides a scenario's own
 *
 * Leaving one hospital out plays one without each hospital; an ensemble plays one
 * more for every member but the first, with a seed of its own.  Each is a run's
 * folder below the scenario's and is played again only when something that it
 * depends on has changed, so that a long evaluation goes on where it stopped.
 * What they cost is said before they start.
 */
#ifndef SIM_EXTRA_H
#define SIM_EXTRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sim/scenario.h"

typedef struct {
    const scenario *s;  // borrowed
    size_t left_out;    // hospital; s->n_hospitals: none
    uint64_t seed;
    char *out;       // folder
    char *job_yaml;  // judged by the shared model alone
    char *stamp;     // names all that its figures depend on
} extra;

/* OUT/leave-one-out/SITE. */
fl_status extra_without(extra *e, const scenario *s, size_t hospital, const char *out,
                        fl_err *err);
/* OUT/ensemble/member-K; k: from 2, for the scenario's own federation is the first. */
fl_status extra_member(extra *e, const scenario *s, size_t k, const char *out, fl_err *err);
void extra_clear(extra *e);
bool extra_is_done(const extra *e);
/* Plays it unless it is done.  data: the made data sets of all hospitals. */
fl_status extra_play(const extra *e, const char *data, fl_err *err);
/* The selected model of a federation that was played in out: final.onnx.  Caller's. */
char *extra_model(const scenario *s, const char *out);

/* One sentence before anything starts: how many more federations there will be; NULL:
 * none.  Caller's. */
char *extra_cost(const scenario *s);
/* The same once the scenario's own has taken that many seconds: how long those that are
 * not done yet may take.  NULL: none is left.  Caller's. */
char *extra_time(const scenario *s, const char *out, double seconds);

#endif
