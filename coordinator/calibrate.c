/*
 * calibrate.c - see calibrate.h
 */
#include "coordinator/calibrate.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/uncertainty.h"

typedef struct {
    calibration *out;
    double slope[EVAL_TEMPERATURE_POINTS], curvature[EVAL_TEMPERATURE_POINTS];
    int64_t *count;  // (bins)
    size_t bins;     // of the job
} sums;

static void add_temperature(sums *s, const json_t *t)
{
    const json_t *slope = json_object_get(t, "slope"), *curvature = json_object_get(t, "curvature");
    for (size_t k = 0; k < EVAL_TEMPERATURE_POINTS; k++) {
        s->slope[k] += json_number_value(json_array_get(slope, k));
        s->curvature[k] += json_number_value(json_array_get(curvature, k));
    }
    s->out->n += fl_json_get_int(t, "n", 0);
    s->out->n_sites++;
}

/* A site's bins divide the job's; what it counts in one goes to the uppermost of these. */
static void add_counts(sums *s, const json_t *nonconformity)
{
    size_t bins = (size_t)fl_json_get_int(nonconformity, "bins", 0);
    const json_t *counts = json_object_get(nonconformity, "counts");
    for (size_t k = 0; k < bins; k++) {
        int64_t n = json_integer_value(json_array_get(counts, k));
        s->count[(k + 1) * (s->bins / bins) - 1] += n;
        s->out->n_counted += n;
    }
    s->out->n_counted_sites++;
}

static fl_status add_site(void *ctx, const record_answer *a, fl_err *err)
{
    sums *s = ctx;
    json_t *json = NULL;
    if (a->state != ROUND_IN) {
        return FL_OK;
    }
    if (a->n_payload > 0) {
        fl_status st = fl_json_parse(&json, a->payload, a->n_payload, a->n_payload, a->site.text,
                                     err);
        if (st != FL_OK) {
            return st;
        }
    }
    const json_t *temperature = json_object_get(json, "temperature");
    const json_t *nonconformity = json_object_get(json, "nonconformity");
    if (temperature != NULL) {
        add_temperature(s, temperature);
    }
    if (nonconformity != NULL) {
        add_counts(s, nonconformity);
    }
    s->out->n_without += temperature == NULL && nonconformity == NULL;
    json_decref(json);
    return FL_OK;
}

fl_status calibrate_of(calibration *out, record *r, const job *j, uint32_t selected, fl_err *err)
{
    *out = (calibration){.temperature = NAN, .quantile = NAN};
    if (!job_asks_calibration(j)) {
        return FL_OK;
    }
    sums s = {.out = out, .bins = (size_t)j->evaluation.histogram_bins};
    s.count = fl_xcalloc(s.bins, sizeof *s.count);
    fl_status st = record_answers(r, FED_SCORE, selected | FED_HISTOGRAM_BIT, add_site, &s, err);
    if (st == FL_OK && out->n == 0) {
        out->why = "no site sent sums of its validation scores";
    } else if (st == FL_OK) {
        out->temperature = eval_temperature_pooled(&out->why, s.slope, s.curvature);
    }
    if (st == FL_OK && out->n_counted > 0) {
        out->quantile = eval_conformal_pooled(s.count, s.bins, j->evaluation.uncertainty.alpha);
    }
    free(s.count);
    return st;
}

double calibrate_order_temperature(const calibration *c)
{
    return isnan(c->temperature) ? 0 : c->temperature;
}

double calibrate_order_quantile(const calibration *c)
{
    return isnan(c->quantile) ? 0 : fmin(1, c->quantile);
}

json_t *calibrate_json(const calibration *c, const job *j)
{
    if (!job_asks_calibration(j)) {
        return NULL;
    }
    json_t *temperature = json_pack("{s:o, s:I, s:I}", "value", fl_json_number(c->temperature), "n",
                                    (json_int_t)c->n, "n_sites", (json_int_t)c->n_sites);
    json_t *conformal = json_pack(
        "{s:f, s:o, s:I, s:I, s:I}", "alpha", j->evaluation.uncertainty.alpha, "quantile",
        fl_json_number(isnan(c->quantile) ? NAN : fmin(1, c->quantile)), "n",
        (json_int_t)c->n_counted, "n_sites", (json_int_t)c->n_counted_sites, "bins",
        (json_int_t)j->evaluation.histogram_bins);
    if (c->why != NULL) {
        json_object_set_new(temperature, "why", json_string(c->why));
    }
    if (isnan(c->quantile)) {
        json_object_set_new(conformal, "why",
                            json_string("no site sent counts of its validation scores"));
    }
    return json_pack("{s:o, s:o, s:I}", "temperature", temperature, "conformal", conformal,
                     "sites_without", (json_int_t)c->n_without);
}
