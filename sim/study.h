/*
 * study.h - the runs of a sweep held against each other
 *
 * `coordinator report --compare` makes the page; the simulator adds what only
 * it may know: the settings by name, and the differences case by case, for in
 * a simulation the hospitals' predictions are at hand.  OUT/compare/ has
 * compare.html, results.csv, tests.csv and figures/.
 */
#ifndef SIM_STUDY_H
#define SIM_STUDY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

enum { STUDY_MOST_RUNS = 600 };  // a page of more says nothing, and a command line ends

typedef struct study study;

study *study_new(void);
void study_destroy(study **s);
/* A finished run: folder as play.h has it, job's name, settings, seed, report (borrowed). */
void study_add(study *s, const char *folder, const char *job, const char *settings, int64_t seed,
               const json_t *report);
/*
 * Makes out/compare/ from two runs or more; with fewer, or more than
 * STUDY_MOST_RUNS, nothing.  *page: its path, the caller's, or NULL.
 */
fl_status study_write(char **page, const study *s, const char *out, fl_err *err);

#endif
