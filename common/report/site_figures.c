/*
 * site_figures.c - how good the model is, on a hospital's page (site_parts.h)
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/charts.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* ----------------------------------------------------------------- figures */

/* These have a section of their own. */
static bool of_calibration(const char *metric)
{
    static const char *const names[] = {"ece", "observed_expected", "calibration_intercept",
                                        "calibration_slope"};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        if (strcmp(metric, names[m]) == 0) {
            return true;
        }
    }
    return false;
}

/* Has no value because the job or the hospital asks for none: not worth a row. */
static bool is_not_asked(const json_t *figure)
{
    const char *why = fl_json_get_string(figure, "why", "");
    return isnan(report_value(figure)) && (strcmp(why, "no prevalence is declared") == 0 ||
                                           strcmp(why, "of two classes only") == 0);
}

static const char *unit_of(const json_t *figure)
{
    return fl_json_get_string(figure, "unit", "");
}

void report_site_figures(fl_buf *out, const json_t *report, const json_t *site)
{
    static const char *const models[] = {"global", "local", "centralised", "benefit"};
    static const char *const titles[] = {"Shared model", "Own model", "All data in one place",
                                         "Benefit of joining"};
    const char *columns[8] = {"Figure"};
    bool there[4];
    size_t n = 1;
    for (size_t m = 0; m < 4; m++) {
        there[m] = false;
        for (size_t k = 0; report_metrics[k] != NULL; k++) {
            there[m] = there[m] ||
                       report_figure(report, site, models[m], report_metrics[k]) != NULL;
        }
        if (there[m]) {
            columns[n++] = titles[m];
        }
    }
    // Numbers are set to the right; "#" marks such a column.
    fl_buf marked[4] = {FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT};
    for (size_t c = 1; c < n; c++) {
        fl_buf_printf(&marked[c - 1], "#%s", columns[c]);
        columns[c] = marked[c - 1].data;
    }
    columns[n++] = "#Cases";
    columns[n++] = "Interval by";
    columns[n] = NULL;
    report_html_section(out, "figures", "How good it is for your patients");
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t k = 0; report_metrics[k] != NULL; k++) {
        const char *metric = report_metrics[k];
        const json_t *global = report_figure(report, site, "global", metric);
        char count[REPORT_NUMBER_BYTES];
        if (global == NULL || of_calibration(metric) || is_not_asked(global)) {
            continue;
        }
        report_html(out, "<tr><td data-l=\"Figure\">%s%s%s</td>", report_metric_label(metric),
                    *unit_of(global) != '\0' ? ", " : "", unit_of(global));
        for (size_t m = 0; m < 4; m++) {
            if (there[m]) {
                report_html_figure(out, titles[m], report_figure(report, site, models[m], metric),
                                   2, m == 3);
            }
        }
        report_html(out,
                    "<td class=\"n\" data-l=\"Cases\">%s</td>"
                    "<td data-l=\"Interval by\"><span class=\"soft\">%s</span></td></tr>\n",
                    report_count(count, fl_json_get_int(global, "n", 0)),
                    fl_json_get_string(global, "method", ""));
    }
    report_html_table_end(out);
    fl_buf_puts(out,
                "<p class=\"note\">All on your test cases, in brackets 95 % intervals. Cases: "
                "those that the shared model's figure rests on (sensitivity: the positives; PPV: "
                "the cases called positive). Benefit: shared minus own model, paired.</p>\n");
    double prevalence = fl_json_get_number(site, "prevalence");
    if (!isnan(prevalence)) {
        char share[REPORT_NUMBER_BYTES];
        snprintf(share, sizeof share, "%.3g %%", 100 * prevalence);
        report_html(out,
                    "<p class=\"note\">Stated prevalence: %s, where the model is meant for; "
                    "your test cases may hold more.</p>\n",
                    share);
    }
    report_html_section_end(out);
    for (size_t c = 0; c < 4; c++) {
        fl_buf_clear(&marked[c]);
    }
}

static void confusion_table(fl_buf *out, const json_t *report, const json_t *site,
                            const char *model, const char *title)
{
    const json_t *c = report_at(site, "confusion", model, NULL);
    const char *positive = fl_json_get_string(report, "positive", "positive");
    double threshold = fl_json_get_number(json_object_get(site, "thresholds"), model);
    char at[REPORT_NUMBER_BYTES];
    if (c == NULL) {
        return;
    }
    report_html(out, "<h3>%s%s%s</h3>\n", title, isnan(threshold) ? "" : ", threshold ",
                isnan(threshold) ? "" : report_number(at, threshold, 3));
    report_html(
        out,
        "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th></th>"
        "<th class=\"n\">called %s</th><th class=\"n\">not called</th></tr></thead><tbody>\n"
        "<tr><td>%s</td><td class=\"n\">%lld</td><td class=\"n\">%lld missed</td></tr>\n"
        "<tr><td>the others</td><td class=\"n\">%lld false alarms</td>"
        "<td class=\"n\">%lld</td></tr>\n</tbody></table></div>\n",
        positive, positive, (long long)fl_json_get_int(c, "tp", 0),
        (long long)fl_json_get_int(c, "fn", 0), (long long)fl_json_get_int(c, "fp", 0),
        (long long)fl_json_get_int(c, "tn", 0));
}

void report_site_threshold(fl_buf *out, const json_t *report, const json_t *site)
{
    bool confusion = json_object_size(json_object_get(site, "confusion")) > 0;
    bool histogram = json_is_object(json_object_get(site, "histogram"));
    if (!confusion && !histogram) {
        return;
    }
    fl_buf_puts(out, "<div class=\"grid\">\n");
    if (confusion) {
        report_html_section(out, "threshold", "At the frozen threshold");
        confusion_table(out, report, site, "global", "Shared model");
        confusion_table(out, report, site, "local", "Own model");
        report_html_section_end(out);
    }
    if (histogram) {
        report_html_section(out, "scores", "The scores of your test cases");
        report_chart_histogram(out, report, site, 1);
        report_html_section_end(out);
    }
    fl_buf_puts(out, "</div>\n");
}

/* ------------------------------------------------------- each of several classes */

void report_site_classes(fl_buf *out, const json_t *report, const json_t *site)
{
    static const char *const metrics[] = {"auc", "sensitivity", "specificity", "ppv", "f1"};
    static const char *const columns[] = {"Class",        "#Cases", "#AUC", "#Sensitivity",
                                          "#Specificity", "#PPV",   "#F1",  NULL};
    const json_t *classes = json_object_get(site, "by_class"), *one;
    size_t i;
    (void)report;
    if (json_array_size(classes) == 0) {
        return;
    }
    report_html_section(out, "classes", "How good it is for each class");
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(classes, i, one) {
        char count[REPORT_NUMBER_BYTES];
        int64_t n = fl_json_get_int(one, "n", -1);
        report_html(out, "<tr><td data-l=\"Class\">%s</td>", fl_json_get_string(one, "class", "?"));
        if (n < 0) {
            report_html(out, "<td class=\"text soft\" data-l=\"\" colspan=\"6\">not shown: %s</td>",
                        fl_json_get_string(one, "why", ""));
        } else {
            report_html(out, "<td class=\"n\" data-l=\"Cases\">%s</td>", report_count(count, n));
            for (size_t m = 0; m < 5; m++) {
                report_html_figure(out, report_metric_label(metrics[m]),
                                   json_object_get(one, metrics[m]), 2, false);
            }
        }
        fl_buf_puts(out, "</tr>\n");
    }
    report_html_table_end(out);
    fl_buf_puts(out, "<p class=\"note\">Shared model, each class against all others; a case is "
                     "called the class of its highest score.</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------- calibration */

void report_site_calibration(fl_buf *out, const json_t *report, const json_t *site)
{
    static const struct {
        const char *metric, *meaning;
    } rows[] = {
        {"observed_expected", "1 is right; above 1, more cases are positive than the scores say"},
        {"calibration_intercept", "0 is right; above 0, the scores are too low"},
        {"calibration_slope", "1 is right; below 1, the scores are too extreme"},
        {"ece", "0 is right: mean distance of score and share; from 200 cases on"},
    };
    static const char *const columns[] = {"Figure", "#Shared model", "Reading", NULL};
    const json_t *curve = json_object_get(site, "calibration");
    const json_t *decision = json_object_get(site, "decision");
    if (report_figure(report, site, "global", "calibration_slope") == NULL) {
        return;
    }
    report_html_section(out, "calibration", "Can the scores be read as probabilities?");
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        report_html(out, "<tr><td data-l=\"Figure\">%s</td>", report_metric_label(rows[r].metric));
        report_html_figure(out, "Shared model",
                           report_figure(report, site, "global", rows[r].metric), 2, false);
        report_html(out, "<td class=\"text soft\" data-l=\"\">%s</td></tr>\n", rows[r].meaning);
    }
    report_html_table_end(out);
    if (json_array_size(curve) > 1 || json_array_size(decision) > 1) {
        fl_buf_puts(out, "<div class=\"grid\">\n");
        if (json_array_size(curve) > 1) {
            report_chart_calibration(out, site, 3);
        }
        if (json_array_size(decision) > 1) {
            report_chart_decision(out, site, 4);
        }
        fl_buf_puts(out, "</div>\n");
    } else {
        fl_buf_puts(out, "<p class=\"note\">Too few cases for a curve.</p>\n");
    }
    report_html_section_end(out);
}
