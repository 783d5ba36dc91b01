/*
 * site_figures.c - how good the model is, on a hospital's page (site_parts.h)
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/charts.h"
#include "report/html.h"
#include "report/numbers.h"
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

bool report_site_not_asked(const json_t *figure)
{
    const char *why = fl_json_get_string(figure, "why", "");
    return isnan(report_value(figure)) && (strcmp(why, "no prevalence is declared") == 0 ||
                                           strcmp(why, "of two classes only") == 0);
}

static void add_metric_name(report_page *out, const char *metric, const json_t *figure)
{
    const char *unit = fl_json_get_string(figure, "unit", "");
    report_html_cell(out, "Figure", false);
    report_html(out, "%s%s%s</td>", report_label(out, metric), *unit != '\0' ? ", " : "", unit);
}

enum { N_MODELS = 6 };
static const char *const models[N_MODELS] = {"global",      "local",    "personal",
                                             "centralised", "left_out", "benefit"};
static const char *const titles[N_MODELS] = {
    "#" REPORT_N("Shared model"),          "#" REPORT_N("Own model"),
    "#" REPORT_N("Personalised"),          "#" REPORT_N("All data in one place"),
    "#" REPORT_N("Trained without yours"), "#" REPORT_N("Benefit of joining")};

/* Has the report any figure of the model at this site? */
static bool is_there(const json_t *report, const json_t *site, const char *model)
{
    for (size_t k = 0; report_metrics[k] != NULL; k++) {
        if (report_figure(report, site, model, report_metrics[k]) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_figures_row(report_page *out, const json_t *report, const json_t *site,
                            const char *metric, const bool *there)
{
    const json_t *global = report_figure(report, site, "global", metric);
    if (global == NULL || of_calibration(metric) || report_site_not_asked(global)) {
        return;
    }
    report_html(out, "<tr>");
    add_metric_name(out, metric, global);
    for (size_t m = 0; m < N_MODELS; m++) {
        if (there[m]) {
            report_html_figure(out, titles[m] + 1, report_figure(report, site, models[m], metric),
                               2, strcmp(models[m], "benefit") == 0);
        }
    }
    report_html_count(out, "Cases", fl_json_get_int(global, "n", -1));
    report_html_cell(out, "Interval by", false);
    report_html(out, "<span class=\"soft\">");
    report_told(out, fl_json_get_string(global, "method", ""));
    report_html(out, "</span></td></tr>\n");
}

/* Why none of the hospital's figures is told, not even what it rests on; NULL: some are. */
static const char *why_untold(const json_t *site)
{
    const json_t *figures = report_at(site, "models", "global", NULL);
    const char *why = NULL, *name;
    const json_t *figure;
    json_object_foreach((json_t *)figures, name, figure) {
        if (!json_is_null(json_object_get(figure, "n"))) {
            return NULL;
        }
        why = fl_json_get_string(figure, "why", "");
    }
    return why;
}

static void add_untold(report_page *out, const char *why)
{
    report_html_section(out, "figures", "How good it is for your patients");
    report_html(out, "<p>%s ", report_word(out, "No figure is shown:"));
    report_told(out, why);
    report_html(out, ". ");
    report_say(out, "What a few cases show would be about each of them. The predictions are in the "
                    "hospital alone, in predictions.csv in the run's folder, which client metrics "
                    "reads.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

void report_site_figures(report_page *out, const json_t *report, const json_t *site)
{
    const char *why = why_untold(site);
    if (why != NULL) {
        add_untold(out, why);
        return;
    }
    const char *columns[N_MODELS + 4] = {REPORT_N("Figure")};
    bool there[N_MODELS];
    size_t n = 1;
    for (size_t m = 0; m < N_MODELS; m++) {
        there[m] = is_there(report, site, models[m]);
        if (there[m]) {
            columns[n++] = titles[m];
        }
    }
    columns[n++] = "#" REPORT_N("Cases");
    columns[n++] = REPORT_N("Interval by");
    columns[n] = NULL;
    report_html_section(out, "figures", "How good it is for your patients");
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t k = 0; report_metrics[k] != NULL; k++) {
        add_figures_row(out, report, site, report_metrics[k], there);
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "All on your test cases, in brackets 95 %% intervals. Cases: those that the shared "
               "model's figure rests on (sensitivity: the positives; PPV: the cases called "
               "positive). Benefit: shared minus own model, paired.");
    if (is_there(report, site, "left_out")) {
        report_html(out, " ");
        report_say(out, "Trained without yours: the other hospitals' federation, played again "
                        "without your cases; to its model your test cases are external data.");
    }
    report_html(out, "</p>\n");
    double prevalence = fl_json_get_number(site, "prevalence");
    if (!isnan(prevalence)) {
        char share[REPORT_NUMBER_BYTES];
        report_html(out, "<p class=\"note\">");
        report_say(out,
                   "Stated prevalence: %s, where the model is meant for; your test cases may hold "
                   "more.",
                   report_percent(share, out->language, prevalence, 3));
        report_html(out, "</p>\n");
    }
    report_html_section_end(out);
}

static void confusion_table(report_page *out, const json_t *report, const json_t *site,
                            const char *model, const char *title)
{
    const json_t *c = report_at(site, "confusion", model, NULL);
    const char *positive = fl_json_get_string(report, "positive", report_word(out, "positive"));
    double threshold = fl_json_get_number(json_object_get(site, "thresholds"), model);
    char at[REPORT_NUMBER_BYTES];
    if (c == NULL) {
        return;
    }
    report_html(out, "<h3>%s", report_word(out, title));
    if (!isnan(threshold)) {
        report_say(out, ", threshold %s", report_number(at, out->language, threshold, 3));
    }
    report_html(out, "</h3>\n<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th></th>"
                     "<th class=\"n\">");
    report_say(out, "called %s", positive);
    report_html(out, "</th><th class=\"n\">%s</th></tr></thead><tbody>\n",
                report_word(out, "not called"));
    report_html(out, "<tr><td>%s</td><td class=\"n\">%lld</td><td class=\"n\">", positive,
                (long long)fl_json_get_int(c, "tp", 0));
    report_say(out, "%lld <span class=\"soft\">missed</span>",
               (long long)fl_json_get_int(c, "fn", 0));
    report_html(out, "</td></tr>\n<tr><td>%s</td><td class=\"n\">", report_word(out, "the others"));
    report_say(out, "%lld <span class=\"soft\">false alarms</span>",
               (long long)fl_json_get_int(c, "fp", 0));
    report_html(out, "</td><td class=\"n\">%lld</td></tr>\n</tbody></table></div>\n",
                (long long)fl_json_get_int(c, "tn", 0));
}

void report_site_threshold(report_page *out, const json_t *report, const json_t *site)
{
    bool confusion = json_object_size(json_object_get(site, "confusion")) > 0;
    bool histogram = json_is_object(json_object_get(site, "histogram"));
    if (!confusion && !histogram) {
        return;
    }
    report_html(out, "<div class=\"grid\">\n");
    if (confusion) {
        report_html_section(out, "threshold", "At the frozen threshold");
        confusion_table(out, report, site, "global", REPORT_N("Shared model"));
        confusion_table(out, report, site, "local", REPORT_N("Own model"));
        report_html_section_end(out);
    }
    if (histogram) {
        report_html_section(out, "scores", "The scores of your test cases");
        report_chart_histogram(out, report, site, 1);
        report_html_section_end(out);
    }
    report_html(out, "</div>\n");
}

/* ------------------------------------------------------- each of several classes */

void report_site_classes(report_page *out, const json_t *site)
{
    static const char *const metrics[] = {"auc", "sensitivity", "specificity", "ppv", "f1"};
    static const char *const columns[] = {REPORT_N("Class"),           "#" REPORT_N("Cases"),
                                          "#" REPORT_N("AUC"),         "#" REPORT_N("Sensitivity"),
                                          "#" REPORT_N("Specificity"), "#" REPORT_N("PPV"),
                                          "#" REPORT_N("F1"),          NULL};
    const json_t *classes = json_object_get(site, "by_class"), *one;
    size_t i;
    if (json_array_size(classes) == 0) {
        return;
    }
    report_html_section(out, "classes", "How good it is for each class");
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(classes, i, one) {
        int64_t n = fl_json_get_int(one, "n", -1);
        report_html(out, "<tr>");
        report_html_cell(out, "Class", false);
        report_html(out, "%s</td>", fl_json_get_string(one, "class", "?"));
        if (n < 0) {
            report_not_shown(out, one, 6);
        } else {
            report_html_count(out, "Cases", n);
            for (size_t m = 0; m < 5; m++) {
                report_html_figure(out, report_metric_label(metrics[m]),
                                   json_object_get(one, metrics[m]), 2, false);
            }
        }
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "Shared model, each class against all others; a case is called the class of its "
               "highest score.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------- calibration */

void report_site_calibration(report_page *out, const json_t *report, const json_t *site)
{
    static const struct {
        const char *metric, *meaning;
    } rows[] = {
        {"observed_expected",
         REPORT_N("1 is right; above 1, more cases are positive than the scores say")},
        {"calibration_intercept", REPORT_N("0 is right; above 0, the scores are too low")},
        {"calibration_slope", REPORT_N("1 is right; below 1, the scores are too extreme")},
        {"ece", REPORT_N("0 is right: mean distance of score and share; from 200 cases on")},
    };
    static const char *const columns[] = {REPORT_N("Figure"), "#" REPORT_N("Shared model"),
                                          REPORT_N("Reading"), NULL};
    const json_t *curve = json_object_get(site, "calibration");
    const json_t *decision = json_object_get(site, "decision");
    if (report_figure(report, site, "global", "calibration_slope") == NULL ||
        why_untold(site) != NULL) {
        return;
    }
    report_html_section(out, "calibration", "Can the scores be read as probabilities?");
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        report_html(out, "<tr>");
        report_html_cell(out, "Figure", false);
        report_html(out, "%s</td>", report_label(out, rows[r].metric));
        report_html_figure(out, "Shared model",
                           report_figure(report, site, "global", rows[r].metric), 2, false);
        report_html(out, "<td class=\"text soft\" data-l=\"\">%s</td></tr>\n",
                    report_word(out, rows[r].meaning));
    }
    report_html_table_end(out);
    if (json_array_size(curve) > 1 || json_array_size(decision) > 1) {
        report_html(out, "<div class=\"grid\">\n");
        if (json_array_size(curve) > 1) {
            report_chart_calibration(out, site, 3);
        }
        if (json_array_size(decision) > 1) {
            report_chart_decision(out, site, 4);
        }
        report_html(out, "</div>\n");
    } else {
        report_html(out, "<p class=\"note\">");
        report_say(out, "Too few cases for a curve.");
        report_html(out, "</p>\n");
    }
    report_html_section_end(out);
}
