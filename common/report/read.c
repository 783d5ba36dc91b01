/*
 * read.c - see read.h
 */
#include "report/read.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/words.h"

const json_t *report_at(const json_t *json, ...)
{
    va_list keys;
    va_start(keys, json);
    for (const char *key; json != NULL && (key = va_arg(keys, const char *)) != NULL;) {
        json = json_object_get(json, key);
    }
    va_end(keys);
    return json;
}

const char *report_site_name(const json_t *site)
{
    return fl_json_get_string(site, "name", "");
}

const json_t *report_site(const json_t *report, const char *name)
{
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        if (strcmp(report_site_name(site), name) == 0) {
            return site;
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- metrics */

static const struct {
    const char *name, *label;
    bool higher_is_better;
    double most;
    enum { PLAIN, SIGNED, OF_PARTS } kind;  // SIGNED: may be below 0; OF_PARTS: of lesions
} metrics[] = {
    {"auc", REPORT_N("AUC"), true, 1, PLAIN},
    {"auprc", REPORT_N("AUPRC"), true, 1, PLAIN},
    {"accuracy", REPORT_N("accuracy"), true, 1, PLAIN},
    {"balanced_accuracy", REPORT_N("balanced accuracy"), true, 1, PLAIN},
    {"sensitivity", REPORT_N("sensitivity"), true, 1, PLAIN},
    {"specificity", REPORT_N("specificity"), true, 1, PLAIN},
    {"ppv", REPORT_N("PPV"), true, 1, PLAIN},
    {"npv", REPORT_N("NPV"), true, 1, PLAIN},
    {"f1", REPORT_N("F1"), true, 1, PLAIN},
    {"brier", REPORT_N("Brier score"), false, 2, PLAIN},
    {"nll", REPORT_N("log loss"), false, INFINITY, PLAIN},
    {"ece", REPORT_N("calibration error (ECE)"), false, 1, PLAIN},
    {"sensitivity_at_spec90", REPORT_N("sensitivity at 90 % specificity"), true, 1, PLAIN},
    {"ppv_at_prevalence", REPORT_N("PPV at the stated prevalence"), true, 1, PLAIN},
    {"npv_at_prevalence", REPORT_N("NPV at the stated prevalence"), true, 1, PLAIN},
    {"observed_expected", REPORT_N("observed / expected"), false, INFINITY, PLAIN},
    {"calibration_intercept", REPORT_N("calibration intercept"), false, INFINITY, SIGNED},
    {"calibration_slope", REPORT_N("calibration slope"), false, INFINITY, SIGNED},
    {"dice", REPORT_N("Dice"), true, 1, PLAIN},
    {"iou", REPORT_N("IoU"), true, 1, PLAIN},
    {"surface_dice", REPORT_N("surface Dice"), true, 1, PLAIN},
    {"hd95", REPORT_N("HD95"), false, INFINITY, PLAIN},
    {"lesion_sensitivity", REPORT_N("lesions found"), true, 1, OF_PARTS},
    {"false_lesions", REPORT_N("false lesions a case"), false, INFINITY, PLAIN},
    {"volume_bias", REPORT_N("volume bias"), false, INFINITY, SIGNED},
    {"volume_low", REPORT_N("volume: lower limit of agreement"), false, INFINITY, SIGNED},
    {"volume_high", REPORT_N("volume: upper limit of agreement"), false, INFINITY, SIGNED},
    {"map50", REPORT_N("mAP at IoU .5"), true, 1, PLAIN},
    {"map", REPORT_N("mAP"), true, 1, PLAIN},
    {"mae", REPORT_N("mean absolute error"), false, INFINITY, PLAIN},
    {"rmse", REPORT_N("root mean square error"), false, INFINITY, PLAIN},
    {"bias", REPORT_N("mean error"), false, INFINITY, SIGNED},
    {"cindex", REPORT_N("concordance index"), true, 1, PLAIN},
};

enum { N_METRICS = sizeof metrics / sizeof metrics[0] };

const char *const report_metrics[] = {
    "auc",
    "auprc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "brier",
    "nll",
    "ece",
    "sensitivity_at_spec90",
    "ppv_at_prevalence",
    "npv_at_prevalence",
    "observed_expected",
    "calibration_intercept",
    "calibration_slope",
    "dice",
    "iou",
    "surface_dice",
    "hd95",
    "lesion_sensitivity",
    "false_lesions",
    "volume_bias",
    "volume_low",
    "volume_high",
    "map50",
    "map",
    "mae",
    "rmse",
    "bias",
    "cindex",
    NULL,
};

static int metric_index(const char *metric)
{
    for (int m = 0; m < N_METRICS; m++) {
        if (strcmp(metrics[m].name, metric) == 0) {
            return m;
        }
    }
    return -1;
}

bool report_metric_known(const char *metric)
{
    return metric_index(metric) >= 0;
}

const char *report_metric_label(const char *metric)
{
    int m = metric_index(metric);
    return m >= 0 ? metrics[m].label : metric;
}

bool report_higher_is_better(const char *metric)
{
    int m = metric_index(metric);
    return m < 0 || metrics[m].higher_is_better;
}

double report_metric_most(const char *metric)
{
    int m = metric_index(metric);
    return m >= 0 ? metrics[m].most : INFINITY;
}

double report_metric_least(const char *metric)
{
    int m = metric_index(metric);
    return m >= 0 && metrics[m].kind == SIGNED ? -metrics[m].most : 0;
}

bool report_metric_of_parts(const char *metric)
{
    int m = metric_index(metric);
    return m >= 0 && metrics[m].kind == OF_PARTS;
}

/* Some site has a value of it. */
static bool has_figures(const json_t *report, const char *metric)
{
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        if (!isnan(report_value(report_figure(report, site, "global", metric)))) {
            return true;
        }
    }
    return false;
}

const char *report_main_metric(const json_t *report)
{
    const char *selected = fl_json_get_string(json_object_get(report, "select"), "metric", "");
    int m = metric_index(selected);
    if (m >= 0 && has_figures(report, selected)) {
        return metrics[m].name;
    }
    for (size_t i = 0; report_metrics[i] != NULL; i++) {
        if (has_figures(report, report_metrics[i])) {
            return report_metrics[i];
        }
    }
    return m >= 0 ? metrics[m].name : "auc";
}

/* ---------------------------------------------------------------- figures */

const json_t *report_figure(const json_t *report, const json_t *site, const char *model,
                            const char *metric)
{
    if (strcmp(model, "benefit") == 0 || strcmp(model, "personal_gain") == 0) {
        return report_at(site, model, metric, NULL);
    }
    if (strcmp(model, "centralised") == 0) {
        return report_at(report, "baselines", "centralised", "sites", report_site_name(site),
                         metric, NULL);
    }
    if (strcmp(model, "left_out") == 0) {
        return report_at(report, "baselines", "leave_one_out", "sites", report_site_name(site),
                         metric, NULL);
    }
    return report_at(site, "models", model, metric, NULL);
}

const json_t *report_cross_site(const json_t *report, const char *row, const char *column,
                                const char *metric)
{
    return report_at(report, "baselines", "cross_site", "sites", row, column, metric, NULL);
}

const json_t *report_pooled(const json_t *report, const char *metric)
{
    const json_t *pooled = json_object_get(report, "pooled");
    bool is_coarse = fl_json_get_number(pooled, "auc_half_width") > REPORT_POOLED_WITHIN;
    return is_coarse && strcmp(metric, "auc") == 0 ? NULL
                                                   : report_at(pooled, "global", metric, NULL);
}

double report_value(const json_t *figure)
{
    return fl_json_get_number(figure, "value");
}

double report_margin(const json_t *report, const char *metric)
{
    double margin = fl_json_get_number(report_at(report, "evaluation", "margin", NULL), metric);
    return margin > 0 ? margin : 0;
}

report_verdict report_verdict_of(const json_t *report, const json_t *site, const char *metric)
{
    const json_t *figure = report_figure(report, site, "benefit", metric);
    double sign = report_higher_is_better(metric) ? 1 : -1;
    double value = sign * report_value(figure);
    double low = sign * fl_json_get_number(figure, sign > 0 ? "ci_low" : "ci_high");
    double high = sign * fl_json_get_number(figure, sign > 0 ? "ci_high" : "ci_low");
    double margin = report_margin(report, metric);
    if (isnan(value) || isnan(low) || isnan(high)) {
        return REPORT_NO_VERDICT;
    }
    if (low > 0 && value >= margin) {
        return REPORT_HELPS;
    }
    if (high < 0 && value <= -margin) {
        return REPORT_HURTS;
    }
    return low >= -margin && high <= margin ? REPORT_SAME : REPORT_UNSURE;
}

const char *report_verdict_word(report_verdict v)
{
    static const char *const words[] = {
        [REPORT_HELPS] = REPORT_N("helps"),           [REPORT_HURTS] = REPORT_N("hurts"),
        [REPORT_SAME] = REPORT_N("no difference"),    [REPORT_UNSURE] = REPORT_N("cannot tell"),
        [REPORT_NO_VERDICT] = REPORT_N("not judged"),
    };
    return words[v];
}

/* --------------------------------------------------------------- absences */

static report_absence *find_absence(report_absence **list, size_t *n, const json_t *item)
{
    const char *site = fl_json_get_string(item, "site", "?");
    const char *reason = fl_json_get_string(item, "reason", "?");
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*list)[i].site, site) == 0 && strcmp((*list)[i].reason, reason) == 0) {
            return &(*list)[i];
        }
    }
    *list = fl_xrealloc(*list, ++*n, sizeof **list);
    (*list)[*n - 1] = (report_absence){.site = site, .reason = reason};
    return &(*list)[*n - 1];
}

/* Rounds come in order: "7", "7-8", "7-8, 12". */
static void add_round(report_absence *a, int64_t round)
{
    size_t n = strlen(a->rounds);
    a->n_rounds++;
    if (n > 0 && a->rounds[n - 1] == '.') {
        return;  // a flickering hospital: the count tells how often
    }
    if (n > 0 && a->last == round - 1) {
        char *end = a->first == a->last ? a->rounds + n : strrchr(a->rounds, '-');
        snprintf(end, sizeof a->rounds - (size_t)(end - a->rounds), "-%" PRId64, round);
    } else if (n + 48 < sizeof a->rounds) {
        snprintf(a->rounds + n, sizeof a->rounds - n, "%s%" PRId64, n > 0 ? ", " : "", round);
        a->first = round;
    } else {
        snprintf(a->rounds + n, sizeof a->rounds - n, " ...");
    }
    a->last = round;
}

size_t report_rounds_joined(const json_t *report, const char *site)
{
    size_t i, k, n = 0;
    const json_t *round, *name;
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        json_array_foreach(json_object_get(round, "participants"), k, name) {
            const char *text = json_string_value(name);
            n += text != NULL && strcmp(text, site) == 0;
        }
    }
    return n;
}

bool report_never_there(const json_t *report, const char *site)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        if (strcmp(fl_json_get_string(item, "site", ""), site) == 0) {
            return report_rounds_joined(report, site) == 0;
        }
    }
    return false;
}

report_absence *report_absences(const json_t *report, size_t *n)
{
    report_absence *list = NULL;
    size_t i, k;
    const json_t *round, *item;
    *n = 0;
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        bool never = report_never_there(report, fl_json_get_string(item, "site", ""));
        snprintf(find_absence(&list, n, item)->rounds, sizeof list->rounds, "%s",
                 never ? REPORT_N("never there") : REPORT_N("the test"));
    }
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        json_array_foreach(json_object_get(round, "absent"), k, item) {
            if (!report_never_there(report, fl_json_get_string(item, "site", ""))) {
                add_round(find_absence(&list, n, item), fl_json_get_int(round, "round", 0));
            }
        }
    }
    return list;
}
