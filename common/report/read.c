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
    {"auc", "AUC", true, 1, PLAIN},
    {"auprc", "AUPRC", true, 1, PLAIN},
    {"accuracy", "accuracy", true, 1, PLAIN},
    {"balanced_accuracy", "balanced accuracy", true, 1, PLAIN},
    {"sensitivity", "sensitivity", true, 1, PLAIN},
    {"specificity", "specificity", true, 1, PLAIN},
    {"ppv", "PPV", true, 1, PLAIN},
    {"npv", "NPV", true, 1, PLAIN},
    {"f1", "F1", true, 1, PLAIN},
    {"brier", "Brier score", false, 2, PLAIN},
    {"nll", "log loss", false, INFINITY, PLAIN},
    {"ece", "calibration error (ECE)", false, 1, PLAIN},
    {"sensitivity_at_spec90", "sensitivity at 90 % specificity", true, 1, PLAIN},
    {"ppv_at_prevalence", "PPV at the stated prevalence", true, 1, PLAIN},
    {"npv_at_prevalence", "NPV at the stated prevalence", true, 1, PLAIN},
    {"observed_expected", "observed / expected", false, INFINITY, PLAIN},
    {"calibration_intercept", "calibration intercept", false, INFINITY, SIGNED},
    {"calibration_slope", "calibration slope", false, INFINITY, SIGNED},
    {"dice", "Dice", true, 1, PLAIN},
    {"iou", "IoU", true, 1, PLAIN},
    {"surface_dice", "surface Dice", true, 1, PLAIN},
    {"hd95", "HD95", false, INFINITY, PLAIN},
    {"lesion_sensitivity", "lesions found", true, 1, OF_PARTS},
    {"false_lesions", "false lesions a case", false, INFINITY, PLAIN},
    {"volume_bias", "volume bias", false, INFINITY, SIGNED},
    {"volume_low", "volume: lower limit of agreement", false, INFINITY, SIGNED},
    {"volume_high", "volume: upper limit of agreement", false, INFINITY, SIGNED},
    {"map50", "mAP at IoU .5", true, 1, PLAIN},
    {"map", "mAP", true, 1, PLAIN},
    {"mae", "mean absolute error", false, INFINITY, PLAIN},
    {"rmse", "root mean square error", false, INFINITY, PLAIN},
    {"cindex", "concordance index", true, 1, PLAIN},
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
    if (strcmp(model, "benefit") == 0) {
        return report_at(site, "benefit", metric, NULL);
    }
    if (strcmp(model, "centralised") == 0) {
        return report_at(report, "baselines", "centralised", "sites", report_site_name(site),
                         metric, NULL);
    }
    return report_at(site, "models", model, metric, NULL);
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
        [REPORT_HELPS] = "helps",           [REPORT_HURTS] = "hurts",
        [REPORT_SAME] = "no difference",    [REPORT_UNSURE] = "cannot tell",
        [REPORT_NO_VERDICT] = "not judged",
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
                 never ? "never there" : "the test");
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

/* ---------------------------------------------------------------- numbers */

char *report_number(char *out, double value, int digits)
{
    if (isnan(value)) {
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    } else {
        // No "-0.00".
        double least = 0.5 * pow(10, -digits);
        snprintf(out, REPORT_NUMBER_BYTES, "%.*f", digits, fabs(value) < least ? 0 : value);
    }
    return out;
}

char *report_signed(char *out, double value, int digits)
{
    double least = 0.5 * pow(10, -digits);
    if (isnan(value) || fabs(value) < least) {
        return report_number(out, value, digits);
    }
    snprintf(out, REPORT_NUMBER_BYTES, "%+.*f", digits, value);
    return out;
}

char *report_figure_text(char *out, const json_t *figure, int digits, bool with_sign)
{
    char *(*number)(char *, double, int) = with_sign ? report_signed : report_number;
    char value[REPORT_NUMBER_BYTES], low[REPORT_NUMBER_BYTES], high[REPORT_NUMBER_BYTES];
    double ci_low = fl_json_get_number(figure, "ci_low");
    double ci_high = fl_json_get_number(figure, "ci_high");
    number(value, report_value(figure), digits);
    if (isnan(ci_low) || isnan(ci_high)) {
        snprintf(out, REPORT_NUMBER_BYTES, "%s", value);
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%.24s [%.24s, %.24s]", value,
                 number(low, ci_low, digits), number(high, ci_high, digits));
    }
    return out;
}

char *report_count(char *out, int64_t count)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" PRId64, count), at = 0;
    for (int i = 0; i < n; i++) {
        out[at++] = digits[i];
        if ((n - 1 - i) % 3 == 0 && i + 1 < n && digits[i] != '-' && n > 4) {
            out[at++] = ' ';
        }
    }
    out[at] = '\0';
    return out;
}

char *report_bytes(char *out, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t u = 0;
    while (bytes >= 1000 && u + 1 < sizeof units / sizeof units[0]) {
        bytes /= 1000;
        u++;
    }
    snprintf(out, REPORT_NUMBER_BYTES, "%.*f %s", u > 0 && bytes < 100, bytes, units[u]);
    return out;
}

char *report_duration(char *out, double seconds)
{
    long whole = lround(seconds);
    if (isnan(seconds)) {
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    } else if (seconds < 60) {
        snprintf(out, REPORT_NUMBER_BYTES, "%.*f s", seconds < 9.95, seconds);
    } else if (whole < 3600) {
        snprintf(out, REPORT_NUMBER_BYTES, "%ld min %02ld s", whole / 60, whole % 60);
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
    }
    return out;
}

char *report_time(char *out, const char *iso)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    bool known = strlen(iso) == strlen(shape) && iso[10] == 'T' && iso[19] == 'Z';
    if (known) {
        snprintf(out, REPORT_NUMBER_BYTES, "%.10s %.5s UTC", iso, iso + 11);
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%s", iso);
    }
    return out;
}
