/*
 * check_site.c - could a hospital have these numbers?
 *
 * See check.h.  Counts are held against each other: what was analysed against
 * the cases there were, figures and tables against their split.
 */
#include "report/check.h"

#include <inttypes.h>

#include "report/read.h"
#include "report/report.h"

enum { MAX_VALUES = 100000 };  // of a site

static int64_t sum_of(const json_t *counts)
{
    int64_t sum = 0;
    const char *key;
    json_t *value;
    size_t i;
    report_each_member(counts, key, value) {
        sum += json_integer_value(value);
    }
    json_array_foreach(counts, i, value) {
        sum += json_integer_value(value);
    }
    return sum;
}

/* -------------------------------------------------------- flow and Table 1 */

static const report_field analysed_fields[] = {
    {"train", .check = report_is_count},
    {"val", .check = report_is_count},
    {"test", .check = report_is_count},
    {0},
};

static const report_field flow_fields[] = {
    {"files", .check = report_is_count},     {"cases", .check = report_is_count},
    {"patients", .check = report_is_count},  {"refused", REPORT_BY_NAME, .check = report_is_count},
    {"analysed", .fields = analysed_fields}, {"labelled", .fields = analysed_fields},
    {"unlabelled", .check = report_is_count}, {0},
};

static fl_status flow_adds_up(report_walk *w, const json_t *v)
{
    int64_t cases = fl_json_get_int(v, "cases", -1);
    int64_t analysed = sum_of(json_object_get(v, "analysed"));
    if (cases >= 0 && analysed > cases) {
        return report_refuse(w, "%" PRId64 " cases analysed of %" PRId64, analysed, cases);
    }
    int64_t labelled = sum_of(json_object_get(v, "labelled"));
    if (json_object_get(v, "analysed") != NULL && labelled > analysed) {
        return report_refuse(w, "%" PRId64 " labelled cases of %" PRId64, labelled, analysed);
    }
    return FL_OK;
}

/* null: a cell that is too small to be shown. */
static fl_status is_cell(report_walk *w, const json_t *v)
{
    return json_is_null(v) ? FL_OK : report_is_count(w, v);
}

static const report_field cells = {NULL, REPORT_BY_NAME, .check = is_cell};

/* {CLASS: n}, or of several labels {LABEL: {"absent", "present", "unlabelled"}}. */
static fl_status is_class(report_walk *w, const json_t *v)
{
    return json_is_object(v) ? report_walk_value(w, v, &cells) : is_cell(w, v);
}

/* {CODE: n} or {"n", "mean", "sd"}; n_most: cases of the split. */
static fl_status is_attribute(report_walk *w, const json_t *v)
{
    static const report_field summary[] = {
        {"n", .check = report_is_count},
        {"mean", .check = report_is_number},
        {"sd", .check = report_is_positive},
        {0},
    };
    bool is_summary = json_object_get(v, "mean") != NULL || json_object_get(v, "sd") != NULL;
    fl_status st = is_summary ? report_walk_fields(w, v, summary) : report_walk_value(w, v, &cells);
    if (st != FL_OK) {
        return st;
    }
    int64_t n = is_summary ? fl_json_get_int(v, "n", 0) : sum_of(v);
    if (w->n_most >= 0 && n > w->n_most) {
        return report_refuse(w, "counts %" PRId64 " cases of %" PRId64, n, w->n_most);
    }
    return FL_OK;
}

static fl_status is_table1_split(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"n", .check = report_is_count},
        {"patients", .check = report_is_count},
        {"classes", REPORT_BY_NAME, .check = is_class},
        {"attributes", REPORT_BY_NAME, .check = is_attribute},
        {0},
    };
    int64_t before = w->n_most, n = fl_json_get_int(v, "n", -1);
    w->n_most = n;
    fl_status st = report_walk_fields(w, v, fields);
    w->n_most = before;
    if (st != FL_OK || n < 0) {
        return st;
    }
    int64_t classes = sum_of(json_object_get(v, "classes"));
    if (classes > n) {
        return report_refuse(w, "classes count %" PRId64 " cases of %" PRId64, classes, n);
    }
    if (fl_json_get_int(v, "patients", 0) > n) {
        return report_refuse(w, "more patients than cases");
    }
    return FL_OK;
}

static const report_field table1_fields[] = {
    {"train", .check = is_table1_split},
    {"val", .check = is_table1_split},
    {"test", .check = is_table1_split},
    {0},
};

/* --------------------------------------------- confusion counts, histogram */

static const report_field confusion_fields[] = {
    {"tp", .check = report_is_count, .required = true},
    {"fp", .check = report_is_count, .required = true},
    {"fn", .check = report_is_count, .required = true},
    {"tn", .check = report_is_count, .required = true},
    {0},
};

static const report_field histogram_fields[] = {
    {"bins", .check = report_is_count, .required = true},
    {"negatives", REPORT_LIST, .check = report_is_count, .required = true},
    {"positives", REPORT_LIST, .check = report_is_count, .required = true},
    {"spans", .check = report_is_object},
    {0},
};

/* [first, last] bin of every count that is not 0: in order, apart, around it. */
static fl_status spans_fit(report_walk *w, const json_t *histogram, const char *class)
{
    const json_t *counts = json_object_get(histogram, class);
    const json_t *spans = report_at(histogram, "spans", class, NULL);
    size_t bins = json_array_size(counts), seen = 0;
    json_int_t before = -1;
    for (size_t k = 0; k < bins && json_is_array(spans); k++) {
        if (json_integer_value(json_array_get(counts, k)) == 0) {
            continue;
        }
        const json_t *span = json_array_get(spans, seen++);
        const json_t *first = json_array_get(span, 0), *last = json_array_get(span, 1);
        bool fits = json_is_integer(first) && json_is_integer(last) &&
                    before < json_integer_value(first) &&
                    json_integer_value(first) <= (json_int_t)k &&
                    (json_int_t)k <= json_integer_value(last) &&
                    json_integer_value(last) < (json_int_t)bins;
        if (!fits) {
            return report_refuse(w, "spans.%s does not say where bin %zu reaches", class, k);
        }
        before = json_integer_value(last);
    }
    if (spans != NULL && json_array_size(spans) != seen) {
        return report_refuse(w, "spans.%s: expected %zu of them", class, seen);
    }
    return FL_OK;
}

static fl_status histogram_has_bins(report_walk *w, const json_t *v)
{
    size_t bins = (size_t)fl_json_get_int(v, "bins", 0);
    if (bins < 1 || json_array_size(json_object_get(v, "negatives")) != bins ||
        json_array_size(json_object_get(v, "positives")) != bins) {
        return report_refuse(w, "negatives and positives must have %zu counts each", bins);
    }
    fl_status st = spans_fit(w, v, "negatives");
    return st == FL_OK ? spans_fit(w, v, "positives") : st;
}

/* Confusion counts are of the same cases as the model's figures. */
static fl_status confusion_fits(report_walk *w, const json_t *site, const char *model,
                                const json_t *counts)
{
    const json_t *accuracy = report_at(site, "models", model, "accuracy", NULL);
    int64_t n = fl_json_get_int(accuracy, "n", -1);
    int64_t positives = fl_json_get_int(accuracy, "n_positive", -1);
    int64_t tp = fl_json_get_int(counts, "tp", 0), fn = fl_json_get_int(counts, "fn", 0);
    int64_t sum = tp + fn + fl_json_get_int(counts, "fp", 0) + fl_json_get_int(counts, "tn", 0);
    if ((n >= 0 && sum != n) || (w->n_most >= 0 && sum > w->n_most)) {
        return report_refuse(
            w, "confusion.%.40s counts %" PRId64 " cases, its figures rest on %" PRId64, model, sum,
            n >= 0 ? n : w->n_most);
    }
    if (positives >= 0 && tp + fn != positives) {
        return report_refuse(
            w, "confusion.%.40s counts %" PRId64 " positives, its figures rest on %" PRId64, model,
            tp + fn, positives);
    }
    return FL_OK;
}

static fl_status check_sums(report_walk *w, const json_t *site)
{
    fl_status st;
    const char *model;
    json_t *counts;
    report_each_member(json_object_get(site, "confusion"), model, counts) {
        if ((st = confusion_fits(w, site, model, counts)) != FL_OK) {
            return st;
        }
    }
    const json_t *histogram = json_object_get(site, "histogram");
    int64_t sum = sum_of(json_object_get(histogram, "negatives")) +
                  sum_of(json_object_get(histogram, "positives"));
    if (w->n_most >= 0 && sum > w->n_most) {
        return report_refuse(w, "histogram counts %" PRId64 " cases, the split has %" PRId64, sum,
                             w->n_most);
    }
    int64_t in_bins = 0;
    size_t i;
    json_t *bin;
    json_array_foreach(json_object_get(site, "calibration"), i, bin) {
        in_bins += fl_json_get_int(bin, "n", 0);
    }
    if (w->n_most >= 0 && in_bins > w->n_most) {
        return report_refuse(w, "calibration counts %" PRId64 " cases, the split has %" PRId64,
                             in_bins, w->n_most);
    }
    return FL_OK;
}

/* --------------------------------------------------------------- subgroups */

/* {"n", METRIC: FIGURE} of a part of the cases, or "n": null and why; what is no
 * metric is in fields. */
static fl_status figures_of_part(report_walk *w, const json_t *v, const report_field *fields)
{
    fl_status st = report_walk_fields(w, v, fields);
    if (st != FL_OK) {
        return st;
    }
    int64_t n = fl_json_get_int(v, "n", -1);
    if (n < 0 && fl_json_get_string(v, "why", "")[0] == '\0') {
        return report_refuse(w, "without n and without a reason (why)");
    }
    const char *key;
    json_t *figure;
    report_each_member(v, key, figure) {
        if (json_is_object(figure) && (st = report_is_metric(w, key, figure)) != FL_OK) {
            return st;
        }
    }
    if (w->n_most >= 0 && n > w->n_most) {
        return report_refuse(w, "%" PRId64 " cases, the split has %" PRId64, n, w->n_most);
    }
    return FL_OK;
}

static fl_status is_subgroup(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"attribute", .check = report_is_text, .required = true},
        {"value", .check = report_is_text, .required = true},
        {"class", .check = report_is_text},  // of several findings, the one
        {"why", .check = report_is_text},
        {"n", .check = report_is_count},
        {0},
    };
    return figures_of_part(w, v, fields);
}

/* ------------------------------------------------ curves, one class and the rest */

static fl_status bin_fits(report_walk *w, const json_t *v)
{
    double low = fl_json_get_number(v, "low"), high = fl_json_get_number(v, "high");
    double observed = fl_json_get_number(v, "observed");
    if (!(low < high)) {
        return report_refuse(w, "low is not below high");
    }
    if (observed < fl_json_get_number(v, "ci_low") - REPORT_ROUNDING ||
        observed > fl_json_get_number(v, "ci_high") + REPORT_ROUNDING) {
        return report_refuse(w, "observed is not in its interval");
    }
    return FL_OK;
}

static const report_field calibration_fields[] = {
    {"low", .check = report_is_share, .required = true},
    {"high", .check = report_is_share, .required = true},
    {"n", .check = report_is_count, .required = true},
    {"predicted", .check = report_is_share, .required = true},
    {"observed", .check = report_is_share, .required = true},
    {"ci_low", .check = report_is_share},
    {"ci_high", .check = report_is_share},
    {0},
};

/* Whoever acts on true positives alone gains 1, and nobody more. */
static fl_status is_benefit(report_walk *w, const json_t *v)
{
    bool ok = json_is_number(v) && json_number_value(v) <= 1 + REPORT_ROUNDING;
    return ok ? FL_OK : report_wrong(w, v, "a number <= 1");
}

static const report_field decision_fields[] = {
    {"threshold", .check = report_is_share, .required = true},
    {"net_benefit", .check = is_benefit, .required = true},
    {"treat_all", .check = is_benefit, .required = true},
    {"ci_low", .check = report_is_number},
    {"ci_high", .check = report_is_number},
    {0},
};

static fl_status is_class_figures(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"class", .check = report_is_text, .required = true},
        {"why", .check = report_is_text},
        {"n", .check = report_is_count},
        {0},
    };
    return figures_of_part(w, v, fields);
}

/* -------------------------------------------------- gaps between subgroups */

static fl_status is_disparity(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"attribute", .check = report_is_text, .required = true},
        {"value", .check = report_is_text, .required = true},
        {"other", .check = report_is_text, .required = true},
        {"class", .check = report_is_text},
        {"n", .check = report_is_count, .required = true},
        {"n_other", .check = report_is_count, .required = true},
        {0},
    };
    fl_status st = report_walk_fields(w, v, fields);
    if (st != FL_OK) {
        return st;
    }
    int64_t n = fl_json_get_int(v, "n", 0) + fl_json_get_int(v, "n_other", 0);
    if (w->n_most >= 0 && n > w->n_most) {
        return report_refuse(w, "%" PRId64 " cases, the split has %" PRId64, n, w->n_most);
    }
    const char *key;
    json_t *gap;
    report_each_member(v, key, gap) {
        if (json_is_object(gap) && (st = report_is_gap(w, key, gap)) != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

/* --------------------------------------------------------------- the whole */

static const report_field problem_fields[] = {
    {"what", .check = report_is_text, .required = true},
    {"where", .check = report_is_text},
    {"n", .check = report_is_count},
    {0},
};

static const report_field own_fields[] = {
    {"best_step", .check = report_is_count},
    {"steps", .check = report_is_count},
    {"threshold_why", .check = report_is_text},
    {0},
};

static const report_field explanation_fields[] = {
    {"method", .check = report_is_text, .required = true},
    {0},
};

static const report_field home_fields[] = {
    {"last_round", .check = report_is_count, .required = true},
    {"rounds_joined", .check = report_is_count, .required = true},
    {"n_train", .check = report_is_count, .required = true},
    {0},
};

fl_status report_is_site(report_walk *w, const json_t *v)
{
    static const report_field counts[] = {
        {"name", .check = report_is_site_name, .required = true},
        {"n_train", .check = report_is_count, .required = true},
        {"n_val", .check = report_is_count, .required = true},
        {"n_test", .check = report_is_count, .required = true},
        {0},
    };
    static const report_field fields[] = {
        {"weight", .check = report_is_positive},
        {"rounds_joined", .check = report_is_count},
        {"rounds_chosen", .check = report_is_count},
        {"earlier_homes", REPORT_LIST, .fields = home_fields},
        {"flow", .fields = flow_fields, .check = flow_adds_up},
        {"table1", .fields = table1_fields},
        {"reference_standard", .check = report_is_text},
        {"prevalence", .check = report_is_share},
        {"problems", REPORT_LIST, .fields = problem_fields},
        {"models", REPORT_BY_NAME, .check = report_are_figures},
        {"thresholds", REPORT_BY_NAME, .check = report_is_number},
        {"local", .fields = own_fields},
        {"personal", .fields = own_fields},
        {"confusion", REPORT_BY_NAME, .fields = confusion_fields},
        {"histogram", .fields = histogram_fields, .check = histogram_has_bins},
        {"calibration", REPORT_LIST, .fields = calibration_fields, .check = bin_fits},
        {"decision", REPORT_LIST, .fields = decision_fields},
        {"by_class", REPORT_LIST, .check = is_class_figures},
        {"subgroups", REPORT_LIST, .check = is_subgroup},
        {"disparities", REPORT_LIST, .check = is_disparity},
        {"benefit", .check = report_are_differences},
        {"personal_gain", .check = report_are_differences},
        {"shift", .check = report_are_shift_points},
        {"robustness", .check = report_is_robustness},
        {"uncertainty", .check = report_is_sure},
        {"explanations", .fields = explanation_fields},
        {"annotators", .fields = report_annotators_fields},
        {"unseen", REPORT_LIST, .check = report_is_unseen},
        {"test_opened", .check = report_is_count},
        {0},
    };
    fl_status st = report_walk_fields(w, v, counts);
    if (st != FL_OK) {
        return st;
    }
    w->n_most = fl_json_get_int(v, "n_test", -1);
    if ((st = report_walk_fields(w, v, fields)) == FL_OK) {
        st = check_sums(w, v);
    }
    w->n_most = -1;
    return st;
}

static fl_status is_crossed(report_walk *w, const json_t *v)
{
    static const report_field fields[] = {
        {"metrics", .check = report_are_figures},
        {"why", .check = report_is_text},
        {0},
    };
    static const report_field count = {.check = report_is_count};
    const json_t *n = json_object_get(v, "n_test"), *looks = json_object_get(v, "test_opened");
    bool has_metrics = json_object_get(v, "metrics") != NULL;
    bool has_why = json_object_get(v, "why") != NULL;
    fl_status st = report_walk_key(w, "n_test", n, &count);
    if (st == FL_OK && looks != NULL) {
        st = report_walk_key(w, "test_opened", looks, &count);
    }
    size_t n_keys = looks != NULL ? 3 : 2;
    if (st == FL_OK && (json_object_size(v) != n_keys || has_metrics == has_why)) {
        st = report_refuse(w, "expected n_test and either metrics or why");
    }
    if (st == FL_OK) {
        w->n_most = (int64_t)json_integer_value(n);
        st = report_walk_fields(w, v, fields);
    }
    return st;
}

fl_status report_check_crossed(const json_t *json, fl_err *err)
{
    static const report_field whole = {.check = is_crossed};
    return report_walk_all(json, "figures", MAX_VALUES, &whole, err);
}

fl_status report_check_site(const json_t *site, fl_err *err)
{
    static const report_field whole = {.check = report_is_site};
    return report_walk_all(site, "site", MAX_VALUES, &whole, err);
}
