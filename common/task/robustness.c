/*
 * robustness.c - a split's cases under every shift at every severity
 *
 * What is judged is eval's (eval/robustness.h); here the cases are predicted
 * again for each point and the figures become JSON.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/robustness.h"
#include "task/ops.h"
#include "task/task.h"

/* Hands a point's scores to eval. */
static void take(eval_shift *e, size_t point, const task_model *m, const task_scores *s,
                 double threshold)
{
    const task_ops *ops = task_model_ops(m);
    if (ops->case_value == NULL) {
        eval_predictions p = task_predictions(s, task_model_spec(m), threshold);
        eval_shift_classify(e, point, &p);
        return;
    }
    double *value = fl_xcalloc(s->n, sizeof *value);
    for (size_t i = 0; i < s->n; i++) {
        value[i] = ops->case_value(s, i, isnan(threshold) ? 0.5 : threshold);
    }
    eval_shift_values(e, point, ops->case_metric, value, s->patient, s->n);
    free(value);
}

typedef void (*figure_of)(eval_figure *out, const eval_shift *s, int c);

static json_t *figure(const eval_shift *e, figure_of of, int c)
{
    eval_figure f;
    of(&f, e, c);
    return eval_figure_json(&f);
}

/* {METRIC: FIGURE}: how much worse than clean. */
static json_t *lost_json(const eval_shift *e, int c, int v)
{
    json_t *json = json_object();
    for (size_t m = 0; m < eval_shift_n_metrics(e); m++) {
        eval_figure f;
        eval_shift_lost(&f, e, m, c, v);
        json_object_set_new(json, eval_shift_metric(e, m), eval_figure_json(&f));
    }
    return json;
}

static json_t *point_json(const eval_shift *e, const data_shift_curve *curve, size_t c, size_t v,
                          int first)
{
    json_t *json = json_pack("{s:s, s:s, s:I}", "shift", curve->name, "family", curve->family,
                             "severity", (json_int_t)first + (json_int_t)v);
    for (size_t m = 0; m < eval_shift_n_metrics(e); m++) {
        eval_figure f;
        eval_shift_figure(&f, e, m, eval_shift_point(e, c, v));
        json_object_set_new(json, eval_shift_metric(e, m), eval_figure_json(&f));
    }
    json_object_set_new(json, "lost", lost_json(e, (int)c, (int)v));
    return json;
}

static json_t *summary_json(const eval_shift *e, const task_shift_config *cfg)
{
    json_t *json = json_object(), *each = json_array(), *clean = json_object();
    for (size_t m = 0; m < eval_shift_n_metrics(e); m++) {
        eval_figure f;
        eval_shift_figure(&f, e, m, 0);
        json_object_set_new(clean, eval_shift_metric(e, m), eval_figure_json(&f));
    }
    for (size_t c = 0; c < cfg->curves->n; c++) {
        const data_shift_curve *curve = &cfg->curves->item[c];
        json_array_append_new(
            each, json_pack("{s:s, s:s, s:o, s:o, s:o}", "shift", curve->name, "family",
                            curve->family, "mce", figure(e, eval_shift_mce, (int)c), "rise",
                            figure(e, eval_shift_rise, (int)c), "lost",
                            lost_json(e, (int)c, EVAL_SHIFT_ALL)));
    }
    int worst = eval_shift_worst(e);
    json_object_set_new(json, "metric", json_string(eval_shift_metric(e, 0)));
    json_object_set_new(json, "severities", json_pack("[i, i]", cfg->first, cfg->last));
    json_object_set_new(json, "clean", clean);
    json_object_set_new(json, "mce", figure(e, eval_shift_mce, EVAL_SHIFT_ALL));
    json_object_set_new(json, "rise", figure(e, eval_shift_rise, EVAL_SHIFT_ALL));
    json_object_set_new(json, "lost", lost_json(e, EVAL_SHIFT_ALL, EVAL_SHIFT_ALL));
    json_object_set_new(json, "worst",
                        worst >= 0 ? json_string(cfg->curves->item[worst].name) : json_null());
    json_object_set_new(json, "shifts", each);
    return json;
}

fl_status task_robustness(json_t **points, json_t **summary, const task_model *m,
                          const float *params, const data_set *set, data_split split,
                          const task_scores *clean, double threshold,
                          const task_shift_config *cfg, fl_err *err)
{
    FL_REQUIRE(cfg->curves->n > 0 && 1 <= cfg->first && cfg->first <= cfg->last &&
               cfg->last <= DATA_SHIFT_SEVERITIES);
    size_t n_severities = (size_t)(cfg->last - cfg->first + 1);
    eval_shift *e = eval_shift_new(cfg->curves->n, n_severities, cfg->seed);
    fl_status st = FL_OK;

    *points = *summary = NULL;
    take(e, 0, m, clean, threshold);
    for (size_t c = 0; c < cfg->curves->n && st == FL_OK; c++) {
        for (size_t v = 0; v < n_severities && st == FL_OK; v++) {
            data_shift chain;
            task_scores s;
            data_shift_curve_at(&chain, &cfg->curves->item[c], cfg->first + (double)v);
            st = task_predict_shifted(&s, m, params, set, split, &chain, cfg->seed, cfg->threads,
                                      err);
            if (st == FL_OK) {
                take(e, eval_shift_point(e, c, v), m, &s, threshold);
                task_scores_clear(&s);
            }
            if (st == FL_OK && cfg->step != NULL && !cfg->step(cfg->ctx)) {
                st = fl_fail(err, FL_ESTOPPED, "stopped");
            }
        }
    }
    if (st == FL_OK) {
        *points = json_array();
        for (size_t c = 0; c < cfg->curves->n; c++) {
            for (size_t v = 0; v < n_severities; v++) {
                json_array_append_new(
                    *points, point_json(e, &cfg->curves->item[c], c, v, cfg->first));
            }
        }
        *summary = summary_json(e, cfg);
    }
    eval_shift_destroy(&e);
    return st;
}
