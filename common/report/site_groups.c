/*
 * site_groups.c - for whom the model is good, on a hospital's page (site_parts.h)
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* --------------------------------------------------------------- subgroups */

/* Those of a task; a group has some of them. */
static const char *const subgroup_metrics[] = {
    "auc",          "accuracy", "sensitivity",        "specificity", "brier", "dice",
    "surface_dice", "hd95",     "lesion_sensitivity", "mae",         "rmse",  "bias", NULL};
enum { MAX_COLUMNS = sizeof subgroup_metrics / sizeof subgroup_metrics[0] - 1 };

enum { FINDING_BYTES = 128 };

static bool subgroups_have(const json_t *site, const char *metric)
{
    size_t i;
    const json_t *group;
    json_array_foreach(json_object_get(site, "subgroups"), i, group) {
        if (json_object_get(group, metric) != NULL) {
            return true;
        }
    }
    return false;
}

/* "effusion: " where the entry is of one of several findings; else nothing. */
static const char *finding_of(const report_page *out, const json_t *entry,
                              char text[static FINDING_BYTES])
{
    const char *name = fl_json_get_string(entry, "class", "");
    snprintf(text, FINDING_BYTES, "%.100s%s", name, name[0] != '\0' ? report_word(out, ": ") : "");
    return text;
}

static void add_group_cell(report_page *out, const json_t *group)
{
    char finding[FINDING_BYTES];
    char *value = report_group_value(out, group, "value");
    report_html_cell(out, "Group", false);
    char *by = report_attribute_text(out, fl_json_get_string(group, "attribute", "?"));
    report_html(out, "%s%s %s</td>", finding_of(out, group, finding), by, value);
    free(by);
    free(value);
}

static void add_subgroup(report_page *out, const json_t *group, const char *const *metrics,
                         size_t n)
{
    int64_t cases = fl_json_get_int(group, "n", -1);
    report_html(out, "<tr>");
    add_group_cell(out, group);
    if (cases < 0) {
        report_not_shown(out, group, n + 1);
    } else {
        report_html_count(out, "Cases", cases);
        for (size_t m = 0; m < n; m++) {
            report_html_figure(out, report_metric_label(metrics[m]),
                               json_object_get(group, metrics[m]), 2, false);
        }
    }
    report_html(out, "</tr>\n");
}

static void add_table(report_page *out, const json_t *report, const json_t *site)
{
    const json_t *groups = json_object_get(site, "subgroups"), *group;
    const char *metrics[MAX_COLUMNS];
    const char *columns[MAX_COLUMNS + 3] = {REPORT_N("Group"), "#" REPORT_N("Cases")};
    fl_buf titles[MAX_COLUMNS] = {FL_BUF_INIT};
    size_t n = 0, i;
    for (size_t m = 0; subgroup_metrics[m] != NULL; m++) {
        if (subgroups_have(site, subgroup_metrics[m])) {
            fl_buf_printf(&titles[n], "#%s", report_metric_label(subgroup_metrics[m]));
            columns[n + 2] = titles[n].data;
            metrics[n++] = subgroup_metrics[m];
        }
    }
    columns[n + 2] = NULL;
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(groups, i, group) {
        add_subgroup(out, group, metrics, n);
    }
    report_html_table_end(out);
    int64_t min_cell = fl_json_get_int(json_object_get(report, "evaluation"), "min_cell", -1);
    report_html(out, "<p class=\"note\">");
    report_say(out, "Shared model, your test cases.");
    if (min_cell > 0) {
        report_html(out, " ");
        report_say(out,
                   "Groups of fewer than %lld patients are not shown, nor is one from which such a "
                   "group could be worked out.",
                   (long long)min_cell);
    }
    report_html(out, "</p>\n");
    for (i = 0; i < n; i++) {
        fl_buf_clear(&titles[i]);
    }
}

/* -------------------------------------------------------- gaps between them */

static const struct {
    const char *key, *name, *column;
} gaps[] = {
    {"auc_gap", REPORT_N("AUC"), "#" REPORT_N("AUC")},
    {"equal_opportunity", REPORT_N("sensitivity"), "#" REPORT_N("Sensitivity")},
    {"false_positive_gap", REPORT_N("false alarms"), "#" REPORT_N("False alarms")},
    {"equalised_odds", REPORT_N("equalised odds"), "#" REPORT_N("Equalised odds")},
    {"demographic_parity", REPORT_N("share called positive"), "#" REPORT_N("Called positive")},
    {"calibration_gap", REPORT_N("observed less expected"), "#" REPORT_N("Observed less expected")},
    {"dice_gap", REPORT_N("Dice"), "#" REPORT_N("Dice")},
    {"mae_gap", REPORT_N("mean absolute error"), "#" REPORT_N("Mean absolute error")},
    {"bias_gap", REPORT_N("mean error"), "#" REPORT_N("Mean error")},
};

enum { N_GAPS = sizeof gaps / sizeof gaps[0] };

static bool is_flagged(const json_t *figure)
{
    return json_is_true(json_object_get(figure, "flagged"));
}

static void add_flag(report_page *out, const json_t *pair, const char *gap, const json_t *figure)
{
    char text[REPORT_NUMBER_BYTES];
    char *value = report_group_value(out, pair, "value");
    char *other = report_group_value(out, pair, "other");
    char finding[FINDING_BYTES];
    char *by = report_attribute_text(out, fl_json_get_string(pair, "attribute", "?"));
    report_html(out, "%s", finding_of(out, pair, finding));
    report_say(out, "%s %s against %s: %s ", by, value, other, report_word(out, gap));
    free(by);
    report_html_number(out, report_figure_text(text, out->language, figure, 2, true));
    free(value);
    free(other);
}

size_t report_site_flags(report_page *out, const json_t *site)
{
    size_t i, n = 0;
    const json_t *pair;
    json_array_foreach(json_object_get(site, "disparities"), i, pair) {
        for (size_t g = 0; g < N_GAPS; g++) {
            const json_t *figure = json_object_get(pair, gaps[g].key);
            if (is_flagged(figure)) {
                report_html(out, "%s", n++ > 0 ? "; " : "");
                add_flag(out, pair, gaps[g].name, figure);
            }
        }
    }
    return n;
}

static bool pairs_have(const json_t *pairs, const char *gap)
{
    size_t i;
    const json_t *pair;
    json_array_foreach(pairs, i, pair) {
        if (json_object_get(pair, gap) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_pair(report_page *out, const json_t *pair, const bool shown[static N_GAPS])
{
    bool flagged = false;
    char finding[FINDING_BYTES];
    for (size_t g = 0; g < N_GAPS; g++) {
        flagged = flagged || is_flagged(json_object_get(pair, gaps[g].key));
    }
    report_html(out, "<tr class=\"%s\">", flagged ? "mark" : "");
    char *value = report_group_value(out, pair, "value");
    char *other = report_group_value(out, pair, "other");
    report_html_cell(out, "Group", false);
    char *by = report_attribute_text(out, fl_json_get_string(pair, "attribute", "?"));
    report_html(out, "%s%s %s <span class=\"soft\">", finding_of(out, pair, finding), by, value);
    free(by);
    report_say(out, "less %s", other);
    free(value);
    free(other);
    report_html(out, "</span></td>");
    for (size_t g = 0; g < N_GAPS; g++) {
        if (shown[g]) {
            report_html_figure(out, gaps[g].name, json_object_get(pair, gaps[g].key), 2, true);
        }
    }
    report_html(out, "</tr>\n");
}

static void add_flags(report_page *out, const json_t *site)
{
    report_page flags = REPORT_PAGE(out->language);
    report_html(out, "<p>");
    if (report_site_flags(&flags, site) > 0) {
        report_say(out, "<b>Flagged</b>:");
        fl_buf_printf(&out->text, " %s.", flags.text.data);
    } else {
        report_say(out, "No difference is flagged. That is no proof that there is none.");
    }
    report_html(out, "</p>\n");
    report_page_clear(&flags);
}

static void add_gaps(report_page *out, const json_t *site)
{
    const char *columns[N_GAPS + 2] = {REPORT_N("Group, less other")};
    const json_t *pairs = json_object_get(site, "disparities"), *pair;
    bool shown[N_GAPS];
    size_t i, n = 1;
    if (json_array_size(pairs) == 0) {
        return;
    }
    for (size_t g = 0; g < N_GAPS; g++) {
        shown[g] = pairs_have(pairs, gaps[g].key);
        if (shown[g]) {
            columns[n++] = gaps[g].column;
        }
    }
    report_html(out, "<h3>%s</h3>\n", report_word(out, "How groups differ"));
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(pairs, i, pair) {
        add_pair(out, pair, shown);
    }
    report_html_table_end(out);
    add_flags(out, site);
    report_html(out, "<p class=\"note\">");
    if (!pairs_have(pairs, "auc_gap")) {
        report_say(out,
                   "Differences of means, with 95 %% intervals (Welch's t, by patient). All of them "
                   "are tested and flagged after Holm's correction over all tests of this page; "
                   "where a group has fewer than 50 patients nothing is tested.");
        report_html(out, "</p>\n");
        return;
    }
    report_say(out,
               "Differences at the frozen threshold, with 95 %% intervals. AUC, sensitivity, false "
               "alarms and observed less expected are tested and flagged after Holm's correction "
               "over all tests of this page, so that a page without a true difference flags "
               "something at most once in twenty; below 25 patients of a kind nothing is tested. "
               "Shares called positive differ wherever groups are positive unequally often: they "
               "are not tested.");
    report_html(out, "</p>\n");
}

void report_site_groups(report_page *out, const json_t *report, const json_t *site)
{
    if (json_array_size(json_object_get(site, "subgroups")) == 0) {
        return;
    }
    report_html_section(out, "subgroups", "For whom it is good");
    add_table(out, report, site);
    add_gaps(out, site);
    report_html_section_end(out);
}
