/*
 * report_build.h - report.json from the record of a run
 *
 * Every figure comes from a site's `test` contribution or is a sum over them;
 * nothing is recomputed from images, which the coordinator never had.
 * proto/REPORT.md lists the keys.
 */
#ifndef COORDINATOR_REPORT_BUILD_H
#define COORDINATOR_REPORT_BUILD_H

#include "base/err.h"
#include "base/json.h"
#include "coordinator/record.h"
#include "coordinator/roster.h"
#include "coordinator/round.h"
#include "coordinator/strategy.h"
#include "job/job.h"
#include "report/report.h"
#include "task/task.h"

/* All borrowed. */
typedef struct {
    const char *run, *federation;
    const job *job;
    const strategy *strategy;
    const task_model *model;
    record *record;
    const round_machine *machine;
    roster *sites;
    uint32_t selected;
    fed_model_id model_id;  // of the selected round
    int64_t n_parameters;
} report_build_input;

/* The report; new reference. */
fl_status report_build(json_t **out, const report_build_input *in, fl_err *err);

#endif
