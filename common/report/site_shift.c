/*
 * site_shift.c - how the model fares when images come from elsewhere
 *
 * The figures are robustness.h's of eval/: every test case seen through each shift at
 * each severity.
 */
#include "report/site_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/charts.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"

enum { CHART_ID = 40, F1_COLUMN = 6 };

static const char *const columns[] = {REPORT_N("Shift"),
                                      "#" REPORT_N("Severity 1"),
                                      "#" REPORT_N("Severity 3"),
                                      "#" REPORT_N("Severity 5"),
                                      "#" REPORT_N("Lost, mean"),
                                      "#" REPORT_N("Error, times clean"),
                                      "#" REPORT_N("F1 lost, mean"),
                                      NULL};

/* AUC where there is one. */
static const char *drawn_metric(const json_t *robustness)
{
    bool has_auc = !isnan(report_value(report_at(robustness, "clean", "auc", NULL)));
    return has_auc ? "auc" : fl_json_get_string(robustness, "metric", "");
}

static const json_t *point_of(const json_t *site, const char *shift, int64_t severity)
{
    size_t i;
    const json_t *point;
    json_array_foreach(json_object_get(site, "shift"), i, point) {
        if (fl_json_get_int(point, "severity", 0) == severity &&
            strcmp(fl_json_get_string(point, "shift", ""), shift) == 0) {
            return point;
        }
    }
    return NULL;
}

static void add_lead(report_page *out, const json_t *robustness, const char *metric)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *mce = json_object_get(robustness, "mce");
    const json_t *lost = report_at(robustness, "lost", metric, NULL);
    const char *worst = fl_json_get_string(robustness, "worst", NULL);
    report_html(out, "<p>");
    if (isnan(report_value(mce))) {
        report_told(out, fl_json_get_string(mce, "why", ""));
        report_html(out, ".");
    } else {
        report_say(out,
                   "Over all shifts and severities the model's error is %s times that on your "
                   "images as they are (mean corruption error, relative to clean).",
                   report_figure_text(text, out->language, mce, 2, false));
    }
    if (!isnan(report_value(lost))) {
        report_html(out, " ");
        report_say(out, "Lost on average (%s): %s.", report_word(out, report_metric_label(metric)),
                   report_figure_text(text, out->language, lost, 2, false));
    }
    if (worst != NULL) {
        char *name = report_shift_text(out, worst);
        report_html(out, " ");
        report_say(out, "It errs most under this shift: %s.", name);
        free(name);
    }
    report_html(out, "</p>\n");
}

static bool has_f1(const json_t *robustness)
{
    return report_at(robustness, "clean", "f1", NULL) != NULL;
}

static void begin_table(report_page *out, const json_t *robustness)
{
    const char *used[sizeof columns / sizeof *columns];
    memcpy(used, columns, sizeof used);
    used[F1_COLUMN] = has_f1(robustness) ? used[F1_COLUMN] : NULL;
    report_html_table(out, REPORT_CARDS, used);
}

static void add_row(report_page *out, const json_t *site, const json_t *shift, const char *metric)
{
    static const int64_t shown[] = {1, 3, 5};
    const char *name = fl_json_get_string(shift, "shift", "");
    char *label = report_shift_text(out, name);
    char *family = report_shift_text(out, fl_json_get_string(shift, "family", ""));
    report_html(out, "<tr>");
    report_html_cell(out, columns[0], false);
    report_html(out, "%s <span class=\"soft\">%s</span></td>", label, family);
    for (size_t i = 0; i < 3; i++) {
        report_html_figure(out, columns[1 + i] + 1,
                           json_object_get(point_of(site, name, shown[i]), metric), 2, false);
    }
    report_html_figure(out, columns[4] + 1, report_at(shift, "lost", metric, NULL), 2, true);
    report_html_figure(out, columns[5] + 1, json_object_get(shift, "mce"), 2, false);
    if (has_f1(json_object_get(site, "robustness"))) {
        report_html_figure(out, columns[F1_COLUMN] + 1, report_at(shift, "lost", "f1", NULL), 2,
                           true);
    }
    report_html(out, "</tr>\n");
    free(family);
    free(label);
}

void report_site_shift(report_page *out, const json_t *site)
{
    const json_t *robustness = json_object_get(site, "robustness"), *shift;
    const json_t *shifts = json_object_get(robustness, "shifts");
    size_t i;
    if (json_array_size(shifts) == 0) {
        return;
    }
    const char *metric = drawn_metric(robustness);
    report_html_section(out, "shift", "When images come from elsewhere");
    add_lead(out, robustness, metric);
    report_chart_shift(out, site, metric, CHART_ID);
    begin_table(out, robustness);
    json_array_foreach(shifts, i, shift) {
        add_row(out, site, shift, metric);
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out, "At each severity: %s. ", report_word(out, report_metric_label(metric)));
    report_say(
        out,
        "Each shift changes the images as another scanner, protocol or workflow would; nothing was "
        "trained on it. The error is 1 - accuracy at the frozen threshold, 1 - Dice, or the mean "
        "absolute error; its mean over the severities of a shift, divided by the error on the "
        "images as they are, is the error times clean, and the mean corruption error is the mean "
        "of that over the shifts (after Hendrycks and Dietterich 2019). Intervals are paired "
        "bootstraps by patient.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}
