/*
 * figure.c - figures and their names, as in report.json
 */
#include <math.h>
#include <string.h>

#include "eval/eval.h"

static const struct {
    const char *name;
    bool higher_is_better;
} known[] = {
    {"accuracy", true},
    {"balanced_accuracy", true},
    {"auc", true},
    {"auprc", true},
    {"f1", true},
    {"sensitivity", true},
    {"specificity", true},
    {"ppv", true},
    {"npv", true},
    {"brier", false},
    {"nll", false},
    {"ece", false},
    {"sensitivity_at_spec90", true},
    {"ppv_at_prevalence", true},
    {"npv_at_prevalence", true},
    {"observed_expected", false},
    {"calibration_intercept", false},
    {"calibration_slope", false},
    {"dice", true},
    {"iou", true},
    {"hd95", false},
    {"surface_dice", true},
    {"lesion_sensitivity", true},
    {"false_lesions", false},
    {"volume_bias", false},
    {"volume_low", false},
    {"volume_high", false},
    {"map50", true},
    {"map", true},
    {"mae", false},
    {"rmse", false},
    {"bias", false},
    {"cindex", true},
};

enum { N_KNOWN = sizeof known / sizeof known[0] };

bool eval_metric_known(const char *name)
{
    for (int m = 0; m < N_KNOWN; m++) {
        if (strcmp(known[m].name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool eval_metric_higher_is_better(const char *name)
{
    for (int m = 0; m < N_KNOWN; m++) {
        if (strcmp(known[m].name, name) == 0) {
            return known[m].higher_is_better;
        }
    }
    return true;
}

bool eval_metric_compared(const char *name)
{
    static const char *const in_between[] = {
        "observed_expected", "calibration_intercept", "calibration_slope", "volume_bias",
        "volume_low",        "volume_high", "bias",
    };
    for (size_t m = 0; m < sizeof in_between / sizeof *in_between; m++) {
        if (strcmp(in_between[m], name) == 0) {
            return false;
        }
    }
    return true;
}

bool eval_metric_elsewhere(const char *name)
{
    static const char *const names[] = {
        "auc", "accuracy", "balanced_accuracy", "f1",   "sensitivity", "specificity", "brier",
        "nll", "ece",      "dice",              "iou",  "hd95",        "mae",         "rmse"};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        if (strcmp(names[m], name) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *count_json(int64_t count)
{
    return count < 0 ? json_null() : json_integer(count);
}

json_t *eval_figure_json(const eval_figure *f)
{
    json_t *json = json_object();
    json_object_set_new(json, "value", fl_json_number(f->value));
    json_object_set_new(json, "ci_low", fl_json_number(f->ci_low));
    json_object_set_new(json, "ci_high", fl_json_number(f->ci_high));
    json_object_set_new(json, "n", count_json(f->n));
    json_object_set_new(json, "n_positive", count_json(f->n_positive));
    json_object_set_new(json, "n_patients", count_json(f->n_patients));
    json_object_set_new(json, "method", json_string(f->method));
    json_object_set_new(json, "why", json_string(f->why));
    if (f->se > 0) {
        json_object_set_new(json, "se", json_real(f->se));
    }
    if (f->unit[0] != '\0') {
        json_object_set_new(json, "unit", json_string(f->unit));
    }
    return json;
}

const eval_figure *eval_metrics_find(const eval_metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->item[i].name, name) == 0) {
            return &m->item[i].figure;
        }
    }
    return NULL;
}

json_t *eval_metrics_json(const eval_metrics *m)
{
    json_t *json = json_object();
    for (size_t i = 0; i < m->n; i++) {
        json_object_set_new(json, m->item[i].name, eval_figure_json(&m->item[i].figure));
    }
    return json;
}
