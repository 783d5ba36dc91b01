/*
 * across.c - see across.h
 */
#include "coordinator/across.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/meta.h"

static const char *const metrics[] = {"auc",  "accuracy", "dice", "iou",
                                      "hd95", "mae",      "rmse", "brier"};

enum { N_METRICS = sizeof metrics / sizeof metrics[0] };

static double logit(double p)
{
    return log(p / (1 - p));
}

static double expit(double x)
{
    return 1 / (1 + exp(-x));
}

/* What the sites sent of one metric. */
typedef struct {
    double *value, *se;  // (n) NaN where there is none; on the scale of the summary
    size_t n, n_known;
    bool on_logit;
    json_t *left_out;
} sent;

static const json_t *figure_of(const json_t *site, bool benefit, const char *metric)
{
    const json_t *models = json_object_get(site, "models");
    return json_object_get(
        benefit ? json_object_get(site, "benefit") : json_object_get(models, "global"), metric);
}

static sent collect(const json_t *sites, bool benefit, const char *metric)
{
    sent s = {.n = json_array_size(sites), .left_out = json_array()};
    s.on_logit = !benefit && strcmp(metric, "auc") == 0;
    s.value = fl_xcalloc(s.n, sizeof *s.value);
    s.se = fl_xcalloc(s.n, sizeof *s.se);
    for (size_t i = 0; i < s.n; i++) {
        const json_t *site = json_array_get(sites, i);
        const json_t *f = figure_of(site, benefit, metric);
        double value = fl_json_get_number(f, "value"), se = fl_json_get_number(f, "se");
        if (s.on_logit) {
            se = se / (value * (1 - value));  // the delta method
            value = logit(value);
        }
        bool known = isfinite(value) && isfinite(se) && se > 0;
        s.value[i] = known ? value : NAN;
        s.se[i] = known ? se : NAN;
        s.n_known += known;
        if (!known) {
            json_array_append_new(s.left_out, json_string(fl_json_get_string(site, "name", "?")));
        }
    }
    return s;
}

static json_t *number(const sent *s, double x)
{
    return fl_json_number(s->on_logit ? expit(x) : x);
}

static json_t *summary(const sent *s)
{
    eval_meta m;
    eval_meta_of(&m, s->value, s->se, s->n);
    const char *why = isnan(m.prediction_low) ? "two hospitals do not tell what a third would be"
                                              : "";
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:O, s:s, s:s}", "n_sites",
                     (json_int_t)m.n, "mean", number(s, m.mean), "ci_low", number(s, m.ci_low),
                     "ci_high", number(s, m.ci_high), "tau2", fl_json_number(m.tau2), "i2",
                     fl_json_number(m.i2), "prediction_low", number(s, m.prediction_low),
                     "prediction_high", number(s, m.prediction_high), "scale",
                     s->on_logit ? "logit" : "as is", "left_out", s->left_out, "method",
                     "random effects, REML, Hartung-Knapp", "why", why);
}

static json_t *summaries(const json_t *sites, bool benefit)
{
    json_t *out = json_object();
    for (size_t m = 0; m < N_METRICS; m++) {
        sent s = collect(sites, benefit, metrics[m]);
        if (s.n_known >= 2) {
            json_object_set_new(out, metrics[m], summary(&s));
        }
        free(s.value);
        free(s.se);
        json_decref(s.left_out);
    }
    return out;
}

void across_add(json_t *pooled, const json_t *sites)
{
    json_object_set_new(pooled, "across_sites", summaries(sites, false));
    json_object_set_new(pooled, "benefit_across_sites", summaries(sites, true));
}
