/*
 * calibrate.h - one temperature and one conformal quantile for all hospitals
 *
 * Of the selected model's validation scores every site sends sums and counts
 * (client/sure.h); here they are added.  The temperature is where the pooled log loss
 * is least; it is found in the sums' cubics, within .1 % of what the scores in one
 * place would give.  The quantile is an upper edge of a bin, so never too small.
 * A function of the record alone, so a restarted coordinator finds the same.
 */
#ifndef COORDINATOR_CALIBRATE_H
#define COORDINATOR_CALIBRATE_H

#include "base/err.h"
#include "base/json.h"
#include "coordinator/record.h"
#include "job/job.h"

typedef struct {
    double temperature;      // NaN: none
    const char *why;         // there is no temperature; or NULL
    int64_t n;               // cases whose sums it rests on
    size_t n_sites;
    double quantile;         // of conformal sets; INFINITY: every class; NaN: no counts
    int64_t n_counted;       // cases it rests on
    size_t n_counted_sites;
    size_t n_without;        // sites that scored and sent neither
} calibration;

/* Everything is NaN and 0 where the job does not ask. */
fl_status calibrate_of(calibration *out, record *r, const job *j, uint32_t selected, fl_err *err);

/* What a TEST order says of it: 0 = none. */
double calibrate_order_temperature(const calibration *c);
double calibrate_order_quantile(const calibration *c);

/* report.json's "calibration"; new reference, or NULL where the job does not ask. */
json_t *calibrate_json(const calibration *c, const job *j);

#endif
