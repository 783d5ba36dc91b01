/*
 * check.c - is this a report?
 *
 * See check.h.  With check_site.c the one place where a report's JSON is
 * distrusted; pages trust what passed.
 */
#include "report/check.h"

#include <string.h>

#include "report/read.h"
#include "report/report.h"

enum { MAX_VALUES = 20000000 };  // of a report

/* ------------------------------------------------------------------ rounds */

static const report_field absence_fields[] = {
    {"site", .check = report_is_site_name, .required = true},
    {"reason", .check = report_is_text, .required = true},
    {0},
};

static const report_field site_curve_fields[] = {
    {"auc", .check = report_is_share},
    {"loss", .check = report_is_number},
    {"accuracy", .check = report_is_share},
    {"dice", .check = report_is_share},
    {"iou", .check = report_is_share},
    {"mae", .check = report_is_positive},
    {"rmse", .check = report_is_positive},
    {"n", .check = report_is_count},
    {"why", .check = report_is_text},
    {0},
};

static const report_field validation_fields[] = {
    {"auc", .check = report_is_share},
    {"loss", .check = report_is_number},
    {"accuracy", .check = report_is_share},
    {"dice", .check = report_is_share},
    {"iou", .check = report_is_share},
    {"mae", .check = report_is_positive},
    {"rmse", .check = report_is_positive},
    {"n", .check = report_is_count},
    {"why", .check = report_is_text},
    {"sites", REPORT_BY_NAME, .fields = site_curve_fields},
    {0},
};

static const report_field carried_fields[] = {
    {"site", .check = report_is_site_name, .required = true},
    {"from", .check = report_is_count, .required = true},
    {0},
};

static const report_field round_fields[] = {
    {"round", .check = report_is_count, .required = true},
    {"seconds", .check = report_is_positive},
    {"bytes_up", .check = report_is_positive},
    {"bytes_down", .check = report_is_positive},
    {"loss", .check = report_is_number},
    {"participants", REPORT_LIST, .check = report_is_site_name},
    {"absent", REPORT_LIST, .fields = absence_fields},
    {"steps", REPORT_BY_NAME, .check = report_is_count},
    {"carried", REPORT_LIST, .fields = carried_fields},
    {"chosen", REPORT_LIST, .check = report_is_site_name},
    {"abandoned", .check = report_is_text},
    {"model_sha256", .check = report_is_text},
    {"validation", .fields = validation_fields},
    {0},
};

/* ----------------------------------------------------- model and its choice */

static const report_field model_fields[] = {
    {"name", .check = report_is_text},
    {"paper", .check = report_is_text},
    {"parameters", .check = report_is_count},
    {"sha256", .check = report_is_text},
    {0},
};

static const report_field select_fields[] = {
    {"round", .check = report_is_count},  {"metric", .check = report_is_text},
    {"split", .check = report_is_text},   {"keep", .check = report_is_text},
    {"value", .check = report_is_number}, {0},
};

static const report_field threshold_fields[] = {
    {"rule", .check = report_is_text},
    {"at", .check = report_is_number},
    {"split", .check = report_is_text},
    {"value", .check = report_is_number},
    {"bins", .check = report_is_count},
    {"why", .check = report_is_text},
    {0},
};

static const report_field evaluation_fields[] = {
    {"margin", REPORT_BY_NAME, .check = report_is_number},
    {"min_cell", .check = report_is_count},
    {"histogram_bins", .check = report_is_count},
    {"local_budget", .check = report_is_text},
    {0},
};

/* ----------------------------------------------------------------- results */

static fl_status are_sites(report_walk *w, const json_t *v)
{
    static const report_field each = {NULL, REPORT_LIST, .check = report_is_site};
    fl_status st = report_walk_value(w, v, &each);
    if (st != FL_OK) {
        return st;
    }
    size_t i;
    const json_t *site;
    json_array_foreach(v, i, site) {
        for (size_t j = 0; j < i; j++) {
            const char *name = report_site_name(site);
            if (strcmp(name, report_site_name(json_array_get(v, j))) == 0) {
                return report_refuse(w, "two sites have the name \"%s\"", name);
            }
        }
    }
    return FL_OK;
}

static const report_field summary_fields[] = {
    {"n_sites", .check = report_is_count, .required = true},
    {"mean", .check = report_is_number},
    {"ci_low", .check = report_is_number},
    {"ci_high", .check = report_is_number},
    {"tau2", .check = report_is_positive},
    {"i2", .check = report_is_share},
    {"prediction_low", .check = report_is_number},
    {"prediction_high", .check = report_is_number},
    {"scale", .check = report_is_text},
    {"left_out", REPORT_LIST, .check = report_is_site_name},
    {"method", .check = report_is_text},
    {"why", .check = report_is_text},
    {0},
};

static const report_field pooled_fields[] = {
    {"global", .check = report_are_figures},
    {"method", .check = report_is_text},
    {"missing", REPORT_LIST, .check = report_is_site_name},
    {"auc_half_width", .check = report_is_positive},
    {"auc_bounds", REPORT_LIST, .check = report_is_share},
    {"across_sites", REPORT_BY_NAME, .fields = summary_fields},
    {"benefit_across_sites", REPORT_BY_NAME, .fields = summary_fields},
    {0},
};

static const report_field centralised_fields[] = {
    {"pooled", .check = report_are_figures},
    {"sites", REPORT_BY_NAME, .check = report_are_figures},
    {"threshold", .check = report_is_number},
    // settings: whatever the simulator says
    {0},
};

static const report_field left_out_fields[] = {
    {"sites", REPORT_BY_NAME, .check = report_are_figures},
    {0},
};

/* {COLUMN: {METRIC: FIGURE}} of a hospital's own model. */
static fl_status is_row(report_walk *w, const json_t *v)
{
    static const report_field each = {NULL, REPORT_BY_NAME, .check = report_are_figures};
    return report_walk_value(w, v, &each);
}

static const report_field cross_site_fields[] = {
    {"sites", REPORT_BY_NAME, .check = is_row},
    {"missing", REPORT_LIST, .check = report_is_site_name},
    {"absent", REPORT_LIST, .fields = absence_fields},
    {"kept", REPORT_LIST, .fields = absence_fields},
    {"why", .check = report_is_text},
    {0},
};

/* Several models' mean on some test cases, and each of them. */
static const report_field joined_fields[] = {
    {"metrics", .check = report_are_figures, .required = true},
    {"members", REPORT_LIST, .check = report_are_figures, .required = true},
    {"differences", .check = report_are_differences},
    {"uncertainty", .check = report_is_sure},
    {0},
};

static const report_field team_fields[] = {
    {"members", .check = report_is_count, .required = true},
    {"seeds", REPORT_LIST, .check = report_is_integer},
    {"rounds", REPORT_LIST, .check = report_is_count},
    {"sites", REPORT_BY_NAME, .fields = joined_fields},
    {"pooled", .fields = joined_fields},
    {0},
};

static const report_field baseline_fields[] = {
    {"ensemble", .fields = team_fields},
    {"snapshot", .fields = team_fields},
    {"cross_site", .fields = cross_site_fields},
    {"leave_one_out", .fields = left_out_fields},
    {"centralised", .fields = centralised_fields},
    {"global_on_pooled", .check = report_are_figures},
    {0},
};

static const report_field fairness_fields[] = {
    {"metric", .check = report_is_text},
    {"worst_site", .check = report_is_site_name},
    {"worst", .check = report_is_number},
    {"best", .check = report_is_number},
    {"mean", .check = report_is_number},
    {"sd", .check = report_is_positive},
    {"gap", .check = report_is_positive},
    {"jain", .check = report_is_share},
    {"n_sites", .check = report_is_count},
    {"subgroup_gaps", .check = report_is_object},
    {"why", .check = report_is_text},
    {0},
};

/* ---------------------------------------------------- privacy and security */

static const report_field privacy_fields[] = {
    {"secure_aggregation", .check = report_is_bool, .required = true},
    {"dp", .check = report_is_text, .required = true},
    {"statement", .check = report_is_text, .required = true},
    {"left", REPORT_LIST, .check = report_is_text},
    {0},
};

static const report_field refusal_fields[] = {
    {"time", .check = report_is_text},   {"address", .check = report_is_text},
    {"what", .check = report_is_text},   {"reason", .check = report_is_text},
    {"count", .check = report_is_count}, {0},
};

static const report_field security_fields[] = {
    {"transport", .check = report_is_text},
    {"refusals", REPORT_LIST, .fields = refusal_fields},
    {0},
};

/* --------------------------------------------------------------- the whole */

static fl_status is_format(report_walk *w, const json_t *v)
{
    bool ok = json_is_string(v) && strcmp(json_string_value(v), REPORT_FORMAT) == 0;
    return ok ? FL_OK : report_wrong(w, v, "\"" REPORT_FORMAT "\"");
}

static const report_field report_fields[] = {
    {"format", .check = is_format, .required = true},
    {"job", .check = report_is_text, .required = true},
    {"intended_use", .check = report_is_text},
    {"task", .check = report_is_text, .required = true},
    {"run", .check = report_is_text},
    {"federation", .check = report_is_text},
    {"created", .check = report_is_text},
    {"names", .check = report_is_text},
    {"classes", REPORT_LIST, .check = report_is_text},
    {"positive", .check = report_is_text},
    {"strategy", .check = report_is_text},
    {"strategy_settings", .check = report_is_object},
    {"strategy_paper", .check = report_is_text},
    {"seed", .check = report_is_integer},
    {"rounds_done", .check = report_is_count, .required = true},
    {"rounds_planned", .check = report_is_count},
    {"simulated", .check = report_is_bool},
    {"model", .fields = model_fields, .required = true},
    {"rounds", REPORT_LIST, .fields = round_fields, .required = true},
    {"select", .fields = select_fields},
    {"threshold", .fields = threshold_fields},
    {"evaluation", .fields = evaluation_fields},
    {"test_evaluations", .check = report_is_count},
    {"sites", .check = are_sites, .required = true},
    {"absent", REPORT_LIST, .fields = absence_fields},
    {"pooled", .fields = pooled_fields},
    {"baselines", .fields = baseline_fields},
    {"fairness", .fields = fairness_fields},
    {"privacy", .fields = privacy_fields, .required = true},
    {"security", .fields = security_fields},
    {"environment", .check = report_is_object},
    {0},
};

fl_status report_check(const json_t *json, fl_err *err)
{
    static const report_field whole = {.fields = report_fields};
    return report_walk_all(json, "", MAX_VALUES, &whole, err);
}
