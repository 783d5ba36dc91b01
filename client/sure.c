/*
 * sure.c - see sure.h
 */
#include "client/sure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/patients.h"
#include "eval/stats.h"
#include "eval/uncertainty.h"
#include "task/members.h"

/* Patients of the labelled cases. */
static int64_t labelled_patients(const task_scores *s)
{
    bool *in = fl_xcalloc(s->n, sizeof *in);
    eval_patients patients;
    eval_patients_init(&patients, s->patient, s->n);
    for (size_t i = 0; i < s->n; i++) {
        in[i] = task_scores_judged(s, i);
    }
    int64_t n = (int64_t)eval_patients_count(&patients, in);
    eval_patients_clear(&patients);
    free(in);
    return n;
}

// ------------------------------------------------------------- validation sums

static void put_temperature(json_t *payload, const task_scores *val)
{
    json_t *slope = json_array(), *curvature = json_array();
    double n = 0;
    for (size_t k = 0; k < EVAL_TEMPERATURE_POINTS; k++) {
        eval_temperature_sums s = {0};
        eval_temperature_add(&s, val->score, val->label, val->n, val->K,
                             eval_temperature_point(k));
        json_array_append_new(slope, json_real(eval_temperature_coarse(s.slope, s.n)));
        json_array_append_new(curvature, json_real(eval_temperature_coarse(s.curvature, s.n)));
        n = s.n;
    }
    json_object_set_new(payload, "temperature",
                        json_pack("{s:I, s:o, s:o}", "n", (json_int_t)n, "slope", slope,
                                  "curvature", curvature));
}

static void put_nonconformity(json_t *payload, const task_scores *val, int64_t bins,
                              int64_t min_cell)
{
    double *s = fl_xcalloc(val->n, sizeof *s);
    int64_t *count = fl_xcalloc((size_t)bins, sizeof *count);
    size_t n = eval_conformal_nonconformity(s, val->score, val->label, val->n, val->K);
    if (eval_conformal_counts(count, (size_t)bins, s, n, min_cell)) {
        json_t *counts = json_array();
        for (int64_t k = 0; k < bins; k++) {
            json_array_append_new(counts, json_integer((json_int_t)count[k]));
        }
        json_object_set_new(payload, "nonconformity",
                            json_pack("{s:I, s:o}", "bins", (json_int_t)bins, "counts", counts));
    }
    free(count);
    free(s);
}

void sure_put_sums(json_t *payload, const local *l, const task_scores *val, int64_t bins,
                   int64_t min_cell)
{
    int64_t n = labelled_patients(val);
    if (!job_asks_calibration(&l->job) || n < min_cell) {
        return;
    }
    if (n >= EVAL_TEMPERATURE_PATIENTS) {
        put_temperature(payload, val);
    }
    if (bins > 0) {
        put_nonconformity(payload, val, bins, min_cell);
    }
}

// ----------------------------------------------------------------- test figures

/* The figures that a temperature changes. */
static json_t *scaled_json(const local *l, const task_scores *test, double threshold,
                           double temperature)
{
    static const char *const changed[] = {"nll", "brier", "ece"};
    if (temperature <= 0) {
        return json_pack("{s:n, s:s}", "value", "why",
                         "no hospital's validation scores gave a temperature");
    }
    eval_metrics metrics;
    double *score = fl_xcalloc(test->n * test->K, sizeof *score);
    eval_temperature_apply(score, test->score, test->n, test->K, temperature);
    eval_predictions p = task_predictions(test, &l->job.data, threshold);
    p.score = score;
    eval_classify(&metrics, &p, l->job.seed);
    json_t *figures = json_object();
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        json_object_set_new(figures, changed[i],
                            eval_figure_json(eval_metrics_find(&metrics, changed[i])));
    }
    free(score);
    return json_pack("{s:f, s:o}", "value", temperature, "metrics", figures);
}

/* From EVAL_CONFORMAL_CASES validation cases on the site's own is exact. */
static fl_status find_quantile(task_conformal *out, const local *l, const float *params,
                               const sure_pooled *pooled, fl_err *err)
{
    *out = (task_conformal){.alpha = l->job.evaluation.uncertainty.alpha,
                            .quantile = pooled->quantile > 0 ? pooled->quantile : NAN,
                            .source = "pooled"};
    task_scores val;
    fl_status st = task_predict(&val, l->model, params, l->now, DATA_VAL, l->threads, err);
    if (st == FL_OK) {
        task_conformal_own(out, &val);
        task_scores_clear(&val);
    }
    return st;
}

/* What few cases are behind is not said: means of the flagged ones, or of the others. */
static void hide_small_flags(json_t *u, int64_t min_cell)
{
    const json_t *flag = json_object_get(u, "flag");
    int64_t n = fl_json_get_int(flag, "n_flagged", 0), rest = fl_json_get_int(flag, "n", 0) - n;
    if ((n > 0 && n < min_cell) || (rest > 0 && rest < min_cell)) {
        json_object_set_new(u, "flag", json_pack("{s:n, s:s}", "limit", "why",
                                                 "too few cases on one side to be shown"));
    }
}

/* Nor what a finding that few patients were asked about says. */
static void hide_small_findings(json_t *u, int64_t min_cell)
{
    json_t *list = json_object_get(u, "findings");
    for (size_t k = 0; k < json_array_size(list); k++) {
        json_t *one = json_array_get(list, k);
        int64_t n = fl_json_get_int(json_object_get(one, "entropy"), "n_patients", 0);
        if (n < min_cell) {
            json_t *hidden = json_pack("{s:O, s:n}", "class", json_object_get(one, "class"), "n");
            eval_suppressed_why(hidden, min_cell);
            json_array_set_new(list, k, hidden);
        }
    }
}

/* Referring leaves min_cell patients between two points of the curve. */
static size_t curve_points(const task_scores *test, int64_t min_cell)
{
    int64_t most = labelled_patients(test) / (min_cell > 0 ? min_cell : 1);
    return most < 0 ? 0 : most > EVAL_MAX_POINTS ? EVAL_MAX_POINTS : (size_t)most;
}

static fl_status limit_of(double *limit, const char **why, const local *l,
                          const task_member *model, fl_err *err)
{
    const job_uncertainty *u = &l->job.evaluation.uncertainty;
    task_doubt val;
    *limit = NAN;
    *why = "no validation cases to set a limit by";
    if (data_set_n_split(l->now, DATA_VAL) == 0) {
        return FL_OK;
    }
    fl_status st = task_doubt_of(&val, &u->members, model, 1, l->now, DATA_VAL, l->job.seed,
                                 l->threads, NULL, err);
    if (st == FL_OK) {
        *limit = task_doubt_limit(&val, u->refer);
        task_doubt_clear(&val);
    }
    return st;
}

/* One point further, unless nobody wants it any more. */
static bool is_wanted(void *ctx)
{
    local_progress *progress = ctx;
    local_step(progress);
    return !atomic_load(&progress->cancel);
}

/* The same under the job's shifts, if it names any. */
static fl_status put_shifts(json_t *u, const local *l, const task_member *model,
                            double threshold, double limit, const task_conformal *conformal,
                            local_progress *progress, fl_err *err)
{
    const job_evaluation *e = &l->job.evaluation;
    const task_doubt_subject of = {&e->uncertainty.members, model, 1, l->now, DATA_TEST};
    const task_doubt_shift_config cfg = {
        .curves = &e->shift,
        .first = 1,
        .last = DATA_SHIFT_SEVERITIES,
        .threshold = threshold,
        .limit = limit,
        .selective = {.share = e->uncertainty.refer, .target = NAN, .seed = l->job.seed},
        .conformal = conformal,
        .sets_are_plain = true,
        .min_cell = e->min_cell,
        .threads = l->threads,
        .ctx = progress,
        .step = is_wanted};
    json_t *points;
    if (e->shift.n == 0) {
        return FL_OK;
    }
    fl_status st = task_doubt_shifts(&points, &of, &cfg, err);
    if (st == FL_OK) {
        json_object_set_new(u, "shift", points);
    }
    return st;
}

fl_status sure_judge(json_t **out, const local *l, const float *params, double threshold,
                     const sure_pooled *pooled, const task_scores *test, local_progress *progress,
                     fl_err *err)
{
    const job_uncertainty *asked = &l->job.evaluation.uncertainty;
    const task_member model = {l->model, params};
    const int64_t min_cell = l->job.evaluation.min_cell;
    task_doubt doubt;
    task_conformal sets;
    bool calibrated = job_asks_calibration(&l->job);
    double limit;
    const char *why;
    *out = NULL;
    if (!asked->asked) {
        return FL_OK;
    }
    fl_status st = limit_of(&limit, &why, l, &model, err);
    if (st != FL_OK || (st = task_doubt_of(&doubt, &asked->members, &model, 1, l->now, DATA_TEST,
                                           l->job.seed, l->threads, NULL, err)) != FL_OK) {
        return fl_wrap(err, st, "evaluation.uncertainty");
    }
    local_step(progress);
    const eval_selective_config cfg = {.share = asked->refer, .target = NAN,
                                       .n_points = curve_points(&doubt.scores, min_cell),
                                       .seed = l->job.seed};
    json_t *u = task_doubt_json(&doubt, &l->job.data, threshold, &cfg, limit, why);
    hide_small_flags(u, min_cell);
    hide_small_findings(u, min_cell);
    task_doubt_clear(&doubt);
    if (calibrated && (st = find_quantile(&sets, l, params, pooled, err)) == FL_OK) {
        json_object_set_new(u, "temperature",
                            scaled_json(l, test, threshold, pooled->temperature));
        json_object_set_new(u, "conformal", task_conformal_json(&sets, test, l->job.seed));
    }
    if (st == FL_OK) {
        st = put_shifts(u, l, &model, threshold, limit, calibrated ? &sets : NULL, progress, err);
    }
    if (st != FL_OK) {
        json_decref(u);
        return st;
    }
    local_step(progress);
    *out = u;
    return FL_OK;
}
