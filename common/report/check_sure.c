/*
 * check_sure.c - a site's "uncertainty" (check.h)
 */
#include <inttypes.h>
#include <string.h>

#include "report/check.h"
#include "report/read.h"

static fl_status is_share_figure(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "auc", false);
}

/* What an error is: a share of something, or any distance where it is between numbers. */
static fl_status is_error(report_walk *w, const json_t *v)
{
    return w->of_numbers ? report_is_positive(w, v) : report_is_share(w, v);
}

static fl_status is_error_figure(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, w->of_numbers ? "mae" : "auc", false);
}

static fl_status is_signed_figure(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "auc", true);
}

/* Rests on lesions, which can be more than the cases. */
static fl_status is_lesion_figure(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "lesion_sensitivity", false);
}

static fl_status is_size_figure(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "mae", false);
}

static const report_field measure_fields[] = {
    {"mean", .check = report_is_positive},
    {"aurc", .check = is_error},
    {"auroc", .check = is_share_figure},
    {"pearson", .check = is_signed_figure},
    {"spearman", .check = is_signed_figure},
    {0},
};

static const report_field refer_fields[] = {
    {"share", .check = report_is_share, .required = true},
    {"error_kept", .check = is_error_figure, .required = true},
    {"cut", .check = is_signed_figure, .required = true},
    {0},
};

static const report_field target_fields[] = {
    {"error", .check = is_error},
    {"share", .check = report_is_share},
    {0},
};

static const report_field curve_fields[] = {
    {"coverage", .check = report_is_share, .required = true},
    {"risk", .check = is_error, .required = true},
    {0},
};

static const report_field flag_fields[] = {
    {"limit", .check = report_is_positive},
    {"n", .check = report_is_count},
    {"n_flagged", .check = report_is_count},
    {"error_flagged", .check = is_error},
    {"error_rest", .check = is_error},
    {"why", .check = report_is_text},
    {0},
};

static fl_status flags_add_up(report_walk *w, const json_t *v)
{
    int64_t n = fl_json_get_int(v, "n", 0), flagged = fl_json_get_int(v, "n_flagged", 0);
    if (flagged > n || (w->n_most >= 0 && n > w->n_most)) {
        return report_refuse(w, "%" PRId64 " of %" PRId64 " cases, the split has %" PRId64,
                             flagged, n, w->n_most);
    }
    return FL_OK;
}

static const report_field lesion_fields[] = {
    {"n", .check = report_is_count, .required = true},
    {"n_false", .check = report_is_count, .required = true},
    {"auroc", .check = is_lesion_figure, .required = true},
    {0},
};

static const report_field finding_fields[] = {
    {"class", .check = report_is_text, .required = true},
    {"n", .check = report_is_count},
    {"n_wrong", .check = report_is_count},
    {"entropy", .check = is_share_figure},
    {"information", .check = is_share_figure},
    {"why", .check = report_is_text},
    {0},
};

static fl_status wrong_ones_add_up(report_walk *w, const json_t *v)
{
    int64_t n = fl_json_get_int(v, "n", 0), wrong = fl_json_get_int(v, "n_wrong", 0);
    if (wrong > n || (w->n_most >= 0 && n > w->n_most)) {
        return report_refuse(w, "%" PRId64 " wrong of %" PRId64 " cases, the split has %" PRId64,
                             wrong, n, w->n_most);
    }
    return FL_OK;
}

static const report_field temperature_fields[] = {
    {"value", .check = report_is_positive},
    {"metrics", .check = report_are_figures},
    {"why", .check = report_is_text},
    {0},
};

static const report_field conformal_fields[] = {
    {"alpha", .check = report_is_share, .required = true},
    {"quantile", .check = report_is_share},
    {"source", .check = report_is_text},
    {"n_calibration", .check = report_is_count},
    {"coverage", .check = is_share_figure},
    {"set_size", .check = is_size_figure},
    {"single", .check = report_is_share},
    {"empty", .check = report_is_share},
    {"why", .check = report_is_text},
    {0},
};

static fl_status is_severity(report_walk *w, const json_t *v)
{
    bool ok = json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= 5;
    return ok ? FL_OK : report_wrong(w, v, "a severity from 1 to 5");
}

static const report_field shifted_fields[] = {
    {"shift", .check = report_is_text, .required = true},
    {"family", .check = report_is_text},
    {"severity", .check = is_severity, .required = true},
    {"error", .check = is_error_figure, .required = true},
    {"error_kept", .check = is_error_figure, .required = true},
    {"cut", .check = is_signed_figure},
    {"aurc", .check = is_error},
    {"auroc", .check = is_share_figure},
    {"pearson", .check = is_signed_figure},
    {"flagged", .check = report_is_share},
    {"why", .check = report_is_text},
    {"coverage", .check = is_share_figure},
    {"set_size", .check = is_size_figure},
    {0},
};

static const report_field sure_fields[] = {
    {"how", .check = report_is_text, .required = true},
    {"members", .check = report_is_count, .required = true},
    {"error_of", .check = report_is_text},
    {"measure", .check = report_is_text, .required = true},
    {"measures", REPORT_BY_NAME, .fields = measure_fields, .required = true},
    {"error", .check = is_error_figure, .required = true},
    {"refer", .fields = refer_fields, .required = true},
    {"target", .fields = target_fields},
    {"risk_coverage", REPORT_LIST, .fields = curve_fields},
    {"flag", .fields = flag_fields, .check = flags_add_up},
    {"lesions", .fields = lesion_fields},
    {"findings", REPORT_LIST, .fields = finding_fields, .check = wrong_ones_add_up},
    {"temperature", .fields = temperature_fields},
    {"conformal", .fields = conformal_fields},
    {"shift", REPORT_LIST, .fields = shifted_fields},
    {0},
};

fl_status report_is_sure(report_walk *w, const json_t *v)
{
    static const report_field block = {.fields = sure_fields};
    w->of_numbers = strcmp(fl_json_get_string(v, "error_of", ""), "numbers") == 0;
    fl_status st = report_walk_value(w, v, &block);
    w->of_numbers = false;
    return st;
}
