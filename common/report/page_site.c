/*
 * page_site.c - one hospital's page
 *
 * What this hospital's people look for, in that order: did joining help us,
 * on which of our cases does that rest, how good is the model at the threshold
 * that was frozen, for whom is it not known, how do others fare, what left our
 * house.  Others appear as the job says: by name, or as codes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"

static const double poor_calibration = 0.05;  // ECE surely above: said in the verdict

/* ------------------------------------------------------------- the verdict */

static void add_signed(fl_buf *out, const json_t *figure, int digits)
{
    char text[REPORT_NUMBER_BYTES];
    report_html_number(out, report_figure_text(text, figure, digits, true));
}

static void lead_sentence(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    static const char *const sentences[] = {
        [REPORT_HELPS] = "Joining helps your hospital",
        [REPORT_HURTS] = "Joining hurts your hospital",
        [REPORT_SAME] = "Joining makes no difference that matters for your hospital",
        [REPORT_UNSURE] = "Whether joining helps your hospital, we cannot tell from these cases",
        [REPORT_NO_VERDICT] = "Whether joining helps your hospital cannot be judged",
    };
    report_verdict v = report_verdict_of(report, site, metric);
    const json_t *benefit = report_figure(report, site, "benefit", metric);
    report_html(out, "<p class=\"lead\">%s: ", sentences[v]);
    if (!isnan(report_value(benefit))) {
        report_html(out, "%s ", report_metric_label(metric));
        add_signed(out, benefit, 2);
    }
    if (v == REPORT_NO_VERDICT) {
        report_html(out, "%s%s", isnan(report_value(benefit)) ? "" : "; ",
                    benefit == NULL ? "there is no own model to compare with"
                                    : fl_json_get_string(benefit, "why", "no interval"));
    }
    fl_buf_puts(out, ".</p>\n");
}

static void both_models_sentence(fl_buf *out, const json_t *report, const json_t *site,
                                 const char *metric)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *global = report_figure(report, site, "global", metric);
    const json_t *local = report_figure(report, site, "local", metric);
    if (isnan(report_value(global))) {
        return;
    }
    report_html(out, "<p>On your %lld test cases", (long long)fl_json_get_int(global, "n", 0));
    if (report_n_positive(site) >= 0) {
        report_html(out, " (%lld with %s)", (long long)report_n_positive(site),
                    fl_json_get_string(report, "positive", "the positive class"));
    }
    report_html(out, " the shared model has %s %s", report_metric_label(metric),
                report_figure_text(text, global, 2, false));
    if (!isnan(report_value(local))) {
        report_html(out, ", the model trained on your data alone %s",
                    report_figure_text(text, local, 2, false));
    }
    fl_buf_puts(out, ".");
    const json_t *sensitivity = report_figure(report, site, "global", "sensitivity");
    const json_t *specificity = report_figure(report, site, "global", "specificity");
    if (!isnan(report_value(sensitivity))) {
        report_html(out, " At the frozen threshold its sensitivity is %s",
                    report_figure_text(text, sensitivity, 2, false));
        if (!isnan(report_value(specificity))) {
            report_html(out, " and its specificity %s",
                        report_figure_text(text, specificity, 2, false));
        }
        fl_buf_puts(out, ".");
    }
    int64_t rarer = report_rarer_class(site);
    if (rarer >= 0 && rarer < REPORT_FEW) {
        report_html(out, " These are few cases: only %lld of the rarer class.", (long long)rarer);
    }
    fl_buf_puts(out, "</p>\n");
}

static void calibration_sentence(fl_buf *out, const json_t *report, const json_t *site)
{
    const json_t *ece = report_figure(report, site, "global", "ece");
    double low = fl_json_get_number(ece, "ci_low"), high = fl_json_get_number(ece, "ci_high");
    char text[REPORT_NUMBER_BYTES];
    if (low > poor_calibration) {
        report_html(out,
                    "<p>Do not read the scores as probabilities here: calibration is poor, "
                    "error %s.</p>\n",
                    report_figure_text(text, ece, 2, false));
    } else if (high <= poor_calibration) {
        report_html(out,
                    "<p>The scores can be read as probabilities here: calibration error "
                    "%s.</p>\n",
                    report_figure_text(text, ece, 2, false));
    }
}

/* "sex F, age 0-40": shown groups without an interval, and suppressed ones. */
static void unknown_groups_sentence(fl_buf *out, const json_t *site, const char *metric)
{
    size_t i, n = 0;
    const json_t *group;
    json_array_foreach(json_object_get(site, "subgroups"), i, group) {
        const json_t *figure = json_object_get(group, metric);
        if (isnan(fl_json_get_number(figure, "ci_low"))) {
            fl_buf_puts(out, n++ == 0 ? "<p>Too few cases to judge the model for: " : ", ");
            report_html(out, "%s %s", fl_json_get_string(group, "attribute", "?"),
                        fl_json_get_string(group, "value", "?"));
        }
    }
    fl_buf_puts(out, n > 0 ? ".</p>\n" : "");
}

/* Place among the hospitals with a value. */
static void place_sentence(fl_buf *out, const json_t *report, const json_t *site,
                           const char *metric)
{
    double sign = report_higher_is_better(metric) ? 1 : -1;
    double own = sign * report_value(report_figure(report, site, "global", metric));
    size_t i, n = 0, better = 0;
    const json_t *other;
    json_array_foreach(json_object_get(report, "sites"), i, other) {
        double value = sign * report_value(report_figure(report, other, "global", metric));
        n += !isnan(value);
        better += value > own;
    }
    if (isnan(own) || n < 2) {
        return;
    }
    char gap[REPORT_NUMBER_BYTES];
    report_html(out, "<p>By %s the shared model serves ", report_metric_label(metric));
    if (better == 0) {
        fl_buf_puts(out, "no other hospital better than yours");
    } else {
        report_html(out, "%zu of the %zu other hospitals better than yours", better, n - 1);
    }
    report_html(
        out, "; the gap between best and worst is %s.</p>\n",
        report_number(gap, fl_json_get_number(json_object_get(report, "fairness"), "gap"), 2));
}

static void absences_sentence(fl_buf *out, const json_t *report, const char *name)
{
    size_t n = 0, shown = 0;
    report_absence *list = report_absences(report, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].site, name) == 0) {
            fl_buf_puts(out, shown++ == 0 ? "<p>Your hospital missed " : "; ");
            report_html(out, "%s %s (%s)", list[i].n_rounds == 1 ? "round" : "rounds",
                        list[i].rounds, list[i].reason);
        }
    }
    fl_buf_puts(out, shown > 0 ? ".</p>\n" : "");
    free(list);
}

static void add_verdict(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    report_html(out, "<section id=\"verdict\" class=\"verdict %s\">\n<h2>In short</h2>\n",
                report_verdict_class(report_verdict_of(report, site, metric)));
    lead_sentence(out, report, site, metric);
    both_models_sentence(out, report, site, metric);
    calibration_sentence(out, report, site);
    unknown_groups_sentence(out, site, metric);
    place_sentence(out, report, site, metric);
    absences_sentence(out, report, report_site_name(site));
    report_privacy_sentence(out, report);
    fl_buf_puts(out, "<p class=\"note\">These sentences are made by rules, which are listed <a "
                     "href=\"#rules\">at the end of the page</a>.</p>\n");
    report_html_section_end(out);
}

/* --------------------------------------------------------- flow and table 1 */

static void flow_box(fl_buf *out, const char *kind, const json_t *object, const char *key,
                     const char *what)
{
    int64_t n = fl_json_get_int(object, key, -1);
    char text[REPORT_NUMBER_BYTES];
    if (n >= 0) {
        report_html(out, "<div class=\"%s\"><b>%s</b>%s</div>\n", kind, report_count(text, n),
                    what);
    }
}

static void add_flow(fl_buf *out, const json_t *site)
{
    const json_t *flow = json_object_get(site, "flow");
    const json_t *refused = json_object_get(flow, "refused");
    const json_t *analysed = json_object_get(flow, "analysed");
    char text[REPORT_NUMBER_BYTES];
    if (!json_is_object(flow)) {
        return;
    }
    report_html_section(out, "flow", "Which cases this rests on");
    fl_buf_puts(out, "<div class=\"flow\">\n");
    flow_box(out, "", flow, "files", "files found");
    if (json_object_size(refused) > 0) {
        fl_buf_puts(out, "<div class=\"out\"><b>refused</b>");
        const char *reason;
        json_t *n;
        report_each_member(refused, reason, n) {
            report_html(out, "%s %s<br>", report_count(text, json_integer_value(n)), reason);
        }
        fl_buf_puts(out, "</div>\n");
    }
    flow_box(out, "", flow, "cases", "cases");
    flow_box(out, "", flow, "patients", "patients");
    flow_box(out, "", analysed, "train", "cases trained on");
    flow_box(out, "", analysed, "val", "cases to choose with");
    flow_box(out, "", analysed, "test", "cases to judge with");
    fl_buf_puts(out, "</div>\n<dl>\n");
    report_fact(out, "Reference standard",
                fl_json_get_string(site, "reference_standard", "not provided"));
    double prevalence = fl_json_get_number(site, "prevalence");
    if (!isnan(prevalence)) {
        snprintf(text, sizeof text, "%.3g %%", 100 * prevalence);
        report_fact(out, "Prevalence declared by the hospital", text);
    }
    fl_buf_puts(out, "</dl>\n");
    report_html_section_end(out);
}

static const char *const splits[] = {"train", "val", "test"};

static const json_t *table1_split(const json_t *site, size_t s)
{
    return report_at(site, "table1", splits[s], NULL);
}

static const char hidden_cell[] = "<td class=\"n\"><span class=\"soft\">hidden</span></td>";

/* A cell "12 (3 %)"; null is a number too small to be shown. */
static void share_cell(fl_buf *out, const json_t *counts, const char *key, int64_t n)
{
    char text[REPORT_NUMBER_BYTES];
    int64_t count = fl_json_get_int(counts, key, -1);
    if (json_is_null(json_object_get(counts, key))) {
        fl_buf_puts(out, hidden_cell);
    } else if (count < 0) {
        fl_buf_puts(out, "<td class=\"n\"></td>");
    } else if (n > 0) {
        report_html(out, "<td class=\"n\">%s <span class=\"soft\">(%d %%)</span></td>",
                    report_count(text, count), (int)lround(100.0 * (double)count / (double)n));
    } else {
        report_html(out, "<td class=\"n\">%s</td>", report_count(text, count));
    }
}

static void table1_counts(fl_buf *out, const json_t *site, const char *key, const char *what)
{
    report_html(out, "<tr><td>%s</td>", what);
    for (size_t s = 0; s < 3; s++) {
        share_cell(out, table1_split(site, s), key, 0);
    }
    fl_buf_puts(out, "</tr>\n");
}

/* A row for every key that some split counts a case of, or hides, in the
 * order of first sight.  group: "classes" or "attributes"; name: NULL, or the
 * member of it that holds the counts. */
static void table1_shares(fl_buf *out, const json_t *site, const char *group, const char *name)
{
    json_t *seen = json_object();
    for (size_t s = 0; s < 3; s++) {
        const char *code;
        json_t *n;
        report_each_member(report_at(table1_split(site, s), group, name, NULL), code, n) {
            if (json_is_null(n) || json_integer_value(n) > 0) {
                json_object_set_new(seen, code, json_null());
            }
        }
    }
    const char *code;
    json_t *none;
    json_object_foreach(seen, code, none) {
        report_html(out, "<tr><td>%s %s</td>", name != NULL ? name : "", code);
        for (size_t s = 0; s < 3; s++) {
            const json_t *split = table1_split(site, s);
            share_cell(out, report_at(split, group, name, NULL), code,
                       fl_json_get_int(split, "n", 0));
        }
        fl_buf_puts(out, "</tr>\n");
    }
    json_decref(seen);
}

static void table1_summary(fl_buf *out, const json_t *site, const char *attribute)
{
    report_html(out, "<tr><td>%s, mean (sd)</td>", attribute);
    for (size_t s = 0; s < 3; s++) {
        const json_t *summary = report_at(table1_split(site, s), "attributes", attribute, NULL);
        char mean[REPORT_NUMBER_BYTES], sd[REPORT_NUMBER_BYTES];
        if (json_is_null(json_object_get(summary, "n"))) {
            fl_buf_puts(out, hidden_cell);
            continue;
        }
        report_html(out, "<td class=\"n\">%s <span class=\"soft\">(%s)</span></td>",
                    report_number(mean, fl_json_get_number(summary, "mean"), 1),
                    report_number(sd, fl_json_get_number(summary, "sd"), 1));
    }
    fl_buf_puts(out, "</tr>\n");
}

/* One label a case, or several that are each there or not. */
static void table1_classes(fl_buf *out, const json_t *site)
{
    const char *label;
    json_t *value;
    bool several = false;
    report_each_member(report_at(table1_split(site, 0), "classes", NULL), label, value) {
        if (json_is_object(value)) {
            table1_shares(out, site, "classes", label);
            several = true;
        }
    }
    if (!several) {
        table1_shares(out, site, "classes", NULL);
    }
}

static void add_table1(fl_buf *out, const json_t *report, const json_t *site)
{
    int64_t min_cell = fl_json_get_int(json_object_get(report, "evaluation"), "min_cell", -1);
    static const char *const columns[] = {"", "#Training", "#Validation", "#Test", NULL};
    if (!json_is_object(json_object_get(site, "table1"))) {
        return;
    }
    report_html_section(out, "table1", "Who is in it, by split");
    report_html_table(out, REPORT_NARROW, columns);
    table1_counts(out, site, "n", "cases");
    table1_counts(out, site, "patients", "patients");
    table1_classes(out, site);
    const char *attribute;
    json_t *value;
    report_each_member(report_at(table1_split(site, 0), "attributes", NULL), attribute, value) {
        if (json_object_get(value, "mean") != NULL) {
            table1_summary(out, site, attribute);
        } else {
            table1_shares(out, site, "attributes", attribute);
        }
    }
    report_html_table_end(out);
    if (min_cell > 0) {
        report_html(out,
                    "<p class=\"note\">Hidden: fewer than %lld patients, or needed to hide such a "
                    "number.</p>\n",
                    (long long)min_cell);
    }
    report_html_section_end(out);
}

/* ----------------------------------------------------------------- figures */

/* Predictive values at the prevalence of the people the model is meant for. */
static void add_at_prevalence(fl_buf *out, const json_t *report, const json_t *site)
{
    static const char *const models[] = {"global", "local"};
    double prevalence = fl_json_get_number(site, "prevalence");
    if (isnan(prevalence)) {
        return;
    }
    fl_buf_puts(out, "<ul>\n");
    for (size_t m = 0; m < 2; m++) {
        double se = report_value(report_figure(report, site, models[m], "sensitivity"));
        double sp = report_value(report_figure(report, site, models[m], "specificity"));
        double called = se * prevalence + (1 - sp) * (1 - prevalence);
        double refused = sp * (1 - prevalence) + (1 - se) * prevalence;
        char share[REPORT_NUMBER_BYTES], ppv[REPORT_NUMBER_BYTES], npv[REPORT_NUMBER_BYTES];
        if (called > 0 && refused > 0) {
            snprintf(share, sizeof share, "%.3g", 100 * prevalence);
            report_html(
                out, "<li>%s model, at the declared prevalence of %s %%: PPV %s, NPV %s.</li>\n",
                m == 0 ? "Shared" : "Own", share, report_number(ppv, se * prevalence / called, 2),
                report_number(npv, sp * (1 - prevalence) / refused, 3));
        }
    }
    fl_buf_puts(out, "</ul>\n");
}

static void add_figures(fl_buf *out, const json_t *report, const json_t *site)
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
        if (global == NULL) {
            continue;
        }
        report_html(out, "<tr><td data-l=\"Figure\">%s</td>", report_metric_label(metric));
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
    add_at_prevalence(out, report, site);
    fl_buf_puts(out,
                "<p class=\"note\">All on your test cases, in brackets 95 % intervals. Cases: "
                "those that the shared model's figure rests on (sensitivity: the positives; PPV: "
                "the cases called positive). Benefit: shared minus own model, paired.</p>\n");
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

static void add_threshold(fl_buf *out, const json_t *report, const json_t *site)
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

static void add_subgroups(fl_buf *out, const json_t *report, const json_t *site)
{
    const json_t *groups = json_object_get(site, "subgroups"), *group;
    if (json_array_size(groups) == 0) {
        return;
    }
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
    report_html_section(out, "subgroups", "For whom it is good");
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
    fl_buf_puts(out,
                " Differences between groups shown here were not tested; with several groups some "
                "differ by chance.</p>\n");
    report_html_section_end(out);
    for (i = 0; i < n; i++) {
        fl_buf_clear(&titles[i]);
    }
}

/* ---------------------------------------------------------- others, problems */

static void add_others(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    static const char *const columns[] = {"Hospital", "#Test cases", "#Shared model",
                                          "#Benefit of joining", NULL};
    const json_t *other;
    size_t i;
    report_html_section(out, "others", "How the shared model serves other hospitals");
    report_chart_forest(out, report, metric, report_site_name(site), 2);
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, other) {
        char n[REPORT_NUMBER_BYTES];
        bool own = other == site;
        report_html(out,
                    "<tr class=\"%s\"><td data-l=\"Hospital\">%s%s</td><td class=\"n\" "
                    "data-l=\"Test cases\">%s</td>",
                    own ? "mark" : "", report_site_name(other), own ? " (yours)" : "",
                    report_count(n, fl_json_get_int(other, "n_test", 0)));
        report_html_figure(out, "Shared model", report_figure(report, other, "global", metric), 2,
                           false);
        report_html_figure(out, "Benefit of joining",
                           report_figure(report, other, "benefit", metric), 2, true);
        fl_buf_puts(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">%s on each hospital's own test cases.%s</p>\n",
                report_metric_label(metric),
                strcmp(fl_json_get_string(report, "names", "real"), "codes") == 0
                    ? " Other hospitals appear as codes."
                    : "");
    report_html_section_end(out);
}

static void add_problems(fl_buf *out, const json_t *site)
{
    static const char *const columns[] = {"What", "Where", "#Cases", NULL};
    const json_t *problems = json_object_get(site, "problems"), *item;
    size_t i;
    report_html_section(out, "problems", "Problems found in the data");
    if (json_array_size(problems) == 0) {
        fl_buf_puts(out, "<p>None were found.</p>\n");
    } else {
        report_html_table(out, REPORT_NARROW, columns);
        json_array_foreach(problems, i, item) {
            char n[REPORT_NUMBER_BYTES];
            int64_t count = fl_json_get_int(item, "n", -1);
            report_html(out,
                        "<tr><td class=\"text\">%s</td><td class=\"text\">%s</td>"
                        "<td class=\"n\">%s</td></tr>\n",
                        fl_json_get_string(item, "what", ""), fl_json_get_string(item, "where", ""),
                        count < 0 ? "" : report_count(n, count));
        }
        report_html_table_end(out);
    }
    report_html_section_end(out);
}

static void add_rules(fl_buf *out, const json_t *report, const char *metric)
{
    char limit[REPORT_NUMBER_BYTES];
    report_number(limit, poor_calibration, 2);
    report_html_section(out, "rules", "How this page chooses its words");
    report_verdict_rules(out, report, metric);
    report_html(
        out,
        "<ul>\n<li>Calibration is called poor when the whole interval of the calibration "
        "error (ECE, bias taken off, 200 cases or more) lies above %s, and good when it lies "
        "below; in between nothing is said.</li>\n"
        "<li>Groups are listed as too few to judge when they are suppressed or their %s has no "
        "interval.</li>\n"
        "<li>Which hospitals are served better is by the value, not by the interval; "
        "hospitals without a value do not count.</li>\n"
        "<li>What cannot be computed is shown as a dash with the reason, never as 0 or "
        "0.5.</li>\n</ul>\n",
        limit, report_metric_label(metric));
    report_html_section_end(out);
}

static fl_status write_page(const json_t *report, const json_t *site, const char *path, fl_err *err)
{
    const char *metric = report_main_metric(report);
    char time[REPORT_NUMBER_BYTES];
    fl_buf out = FL_BUF_INIT, eyebrow = FL_BUF_INIT, title = FL_BUF_INIT;
    fl_buf_printf(&eyebrow, "%s \xc2\xb7 %s \xc2\xb7 %s", fl_json_get_string(report, "job", ""),
                  fl_json_get_string(report, "federation", fl_json_get_string(report, "run", "")),
                  report_time(time, fl_json_get_string(report, "created", "")));
    fl_buf_printf(&title, "Report for the hospital %s", report_site_name(site));
    report_html_begin(&out, report, eyebrow.data, title.data);
    add_verdict(&out, report, site, metric);
    add_flow(&out, site);
    add_table1(&out, report, site);
    add_figures(&out, report, site);
    add_threshold(&out, report, site);
    add_subgroups(&out, report, site);
    add_others(&out, report, site, metric);
    report_privacy_section(&out, report);
    add_problems(&out, site);
    report_selection_section(&out, report);
    report_model_section(&out, report);
    add_rules(&out, report, metric);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    fl_buf_clear(&eyebrow);
    fl_buf_clear(&title);
    return st;
}

fl_status report_write_site(const json_t *report, const char *site, const char *path, fl_err *err)
{
    if (report_site(report, site) == NULL) {
        return fl_fail(err, FL_ENOTFOUND, "%s: no site \"%s\" in the report", path, site);
    }
    json_t *seen = report_for_site(report, site);
    fl_status st = write_page(seen, report_site(seen, site), path, err);
    json_decref(seen);
    return st;
}
