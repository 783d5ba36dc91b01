/*
 * play.h - one scenario from data to report
 *
 * data sets -> init -> invite -> join -> one coordinator and N clients as real
 * processes -> baselines -> report.  A folder holds all of it:
 *     OUT/data/NAME  OUT/federation  OUT/homes/NAME  OUT/logs  OUT/baselines
 *     OUT/report -> the run's report
 */
#ifndef SIM_PLAY_H
#define SIM_PLAY_H

#include <stdbool.h>

#include "base/err.h"
#include "sim/scenario.h"

typedef struct {
    const char *out;        // folder
    const char *data;       // data sets' folder; NULL = OUT/data
    bool data_is_made;      // the data sets are there, perhaps more of them than hospitals
    const char *baselines;  // trained baselines' folder; NULL = OUT/baselines
    bool quiet;             // the coordinator's lines go to a log
    bool reverse;           // clients are started in reverse order
} play_options;

/* Everything; report.json is at OUT/report/report.json afterwards. */
fl_status play_run(const scenario *s, const play_options *options, fl_err *err);

#endif
