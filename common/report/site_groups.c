/*
 * site_groups.c - for whom the model is good, on a hospital's page (site_parts.h)
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* --------------------------------------------------------------- subgroups */

static const char *const subgroup_metrics[] = {"auc",         "accuracy", "sensitivity",
                                               "specificity", "brier",    NULL};

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

static void add_subgroup(fl_buf *out, const json_t *group, const char *const *metrics, size_t n)
{
    char text[REPORT_NUMBER_BYTES];
    int64_t cases = fl_json_get_int(group, "n", -1);
    report_html(out, "<tr><td data-l=\"Group\">%s %s</td>",
                fl_json_get_string(group, "attribute", "?"),
                fl_json_get_string(group, "value", "?"));
    if (cases < 0) {
        report_html(out,
                    "<td class=\"text soft\" data-l=\"\" colspan=\"%zu\">not shown: %s</td></tr>\n",
                    n + 1, fl_json_get_string(group, "why", ""));
        return;
    }
    report_html(out, "<td class=\"n\" data-l=\"Cases\">%s</td>", report_count(text, cases));
    for (size_t m = 0; m < n; m++) {
        report_html_figure(out, report_metric_label(metrics[m]), json_object_get(group, metrics[m]),
                           2, false);
    }
    fl_buf_puts(out, "</tr>\n");
}

static void add_table(fl_buf *out, const json_t *report, const json_t *site)
{
    const json_t *groups = json_object_get(site, "subgroups"), *group;
    const char *metrics[8], *columns[8] = {"Group", "#Cases"};
    fl_buf titles[8] = {FL_BUF_INIT};
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
    fl_buf_puts(out, "<p class=\"note\">Shared model, your test cases.");
    if (min_cell > 0) {
        report_html(out,
                    " Groups of fewer than %lld patients are not shown, nor is one from which "
                    "such a group could be worked out.",
                    (long long)min_cell);
    }
    fl_buf_puts(out, "</p>\n");
    for (i = 0; i < n; i++) {
        fl_buf_clear(&titles[i]);
    }
}

/* -------------------------------------------------------- gaps between them */

static const struct {
    const char *key, *name;
} gaps[] = {
    {"auc_gap", "AUC"},
    {"equal_opportunity", "sensitivity"},
    {"false_positive_gap", "false alarms"},
    {"equalised_odds", "equalised odds"},
    {"demographic_parity", "share called positive"},
    {"calibration_gap", "observed less expected"},
};

enum { N_GAPS = sizeof gaps / sizeof gaps[0] };

static bool is_flagged(const json_t *figure)
{
    return json_is_true(json_object_get(figure, "flagged"));
}

size_t report_site_flags(fl_buf *out, const json_t *site)
{
    size_t i, n = 0;
    const json_t *pair;
    json_array_foreach(json_object_get(site, "disparities"), i, pair) {
        for (size_t g = 0; g < N_GAPS; g++) {
            const json_t *figure = json_object_get(pair, gaps[g].key);
            if (is_flagged(figure)) {
                char text[REPORT_NUMBER_BYTES];
                report_html(out, "%s%s %s against %s: %s ", n++ > 0 ? "; " : "",
                            fl_json_get_string(pair, "attribute", "?"),
                            fl_json_get_string(pair, "value", "?"),
                            fl_json_get_string(pair, "other", "?"), gaps[g].name);
                report_html_number(out, report_figure_text(text, figure, 2, true));
            }
        }
    }
    return n;
}

static void add_gaps(fl_buf *out, const json_t *site)
{
    static const char *const columns[] = {"Group, less other",
                                          "#AUC",
                                          "#Sensitivity",
                                          "#False alarms",
                                          "#Equalised odds",
                                          "#Called positive",
                                          "#Observed less expected",
                                          NULL};
    const json_t *pairs = json_object_get(site, "disparities"), *pair;
    size_t i;
    if (json_array_size(pairs) == 0) {
        return;
    }
    fl_buf_puts(out, "<h3>How groups differ</h3>\n");
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(pairs, i, pair) {
        bool flagged = false;
        for (size_t g = 0; g < N_GAPS; g++) {
            flagged = flagged || is_flagged(json_object_get(pair, gaps[g].key));
        }
        report_html(out,
                    "<tr class=\"%s\"><td data-l=\"Group\">%s %s <span class=\"soft\">less "
                    "%s</span></td>",
                    flagged ? "mark" : "", fl_json_get_string(pair, "attribute", "?"),
                    fl_json_get_string(pair, "value", "?"), fl_json_get_string(pair, "other", "?"));
        for (size_t g = 0; g < N_GAPS; g++) {
            report_html_figure(out, gaps[g].name, json_object_get(pair, gaps[g].key), 2, true);
        }
        fl_buf_puts(out, "</tr>\n");
    }
    report_html_table_end(out);
    fl_buf buf = FL_BUF_INIT;
    if (report_site_flags(&buf, site) > 0) {
        fl_buf_printf(out, "<p><b>Flagged</b>: %s.</p>\n", buf.data);
    } else {
        fl_buf_puts(out, "<p>No difference is flagged. That is no proof that there is none.</p>\n");
    }
    fl_buf_clear(&buf);
    fl_buf_puts(
        out,
        "<p class=\"note\">Differences at the frozen threshold, with 95 % intervals. AUC, "
        "sensitivity, false alarms and observed less expected are tested and flagged after "
        "Holm's correction over all tests of this page, so that a page without a true "
        "difference flags something at most once in twenty; below 25 patients of a kind nothing is "
        "tested. Shares called positive differ wherever groups are positive unequally often: they "
        "are not tested.</p>\n");
}

void report_site_groups(fl_buf *out, const json_t *report, const json_t *site)
{
    if (json_array_size(json_object_get(site, "subgroups")) == 0) {
        return;
    }
    report_html_section(out, "subgroups", "For whom it is good");
    add_table(out, report, site);
    add_gaps(out, site);
    report_html_section_end(out);
}
