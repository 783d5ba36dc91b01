/*
 * page_index.c - the run's page
 *
 * From top to bottom: what happened in plain words, hospital by hospital, how
 * it went round by round, how fair it was, how it was chosen, what left the
 * hospitals, who was refused, and the rules by which the words were chosen.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "report/charts.h"
#include "report/figures.h"
#include "report/html.h"
#include "report/index_parts.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"

/* ------------------------------------------------------ hospital by hospital */

static bool has_centralised(const json_t *report)
{
    return json_is_object(report_at(report, "baselines", "centralised", "sites", NULL));
}

static void add_site_row(report_page *out, const json_t *report, const json_t *site,
                         const char *metric)
{
    const char *name = report_site_name(site);
    char positives[REPORT_NUMBER_BYTES] = "";
    int64_t rarer = report_rarer_class(site);
    report_html(out, "<tr>");
    report_html_cell(out, "Hospital", false);
    report_html(out, "<a href=\"sites/%s%s\">%s</a></td>", name, report_page_suffix(out->language),
                name);
    report_html_count(out, "Training cases", fl_json_get_int(site, "n_train", -1));
    report_html_count(out, "Test cases", fl_json_get_int(site, "n_test", -1));
    if (report_n_positive(site) >= 0) {
        report_count(positives, out->language, report_n_positive(site));
    }
    report_html_cell(out, "Positives", true);
    report_html(out, "<span>%s <span class=\"ci\">%s</span></span></td>", positives,
                rarer >= 0 && rarer < REPORT_FEW ? report_word(out, "few cases") : "");
    report_html_figure(out, "Shared model", report_figure(report, site, "global", metric), 2,
                       false);
    report_html_figure(out, "Own model", report_figure(report, site, "local", metric), 2, false);
    if (has_centralised(report)) {
        report_html_figure(out, "All data in one place",
                           report_figure(report, site, "centralised", metric), 2, false);
    }
    report_html_figure(out, "Benefit of joining", report_figure(report, site, "benefit", metric), 2,
                       true);
    report_verdict_cell(out, "Joining", report_verdict_of(report, site, metric));
    report_html(out, "</tr>\n");
}

static void add_empty_cell(report_page *out, const char *column, bool number)
{
    report_html_cell(out, column, number);
    report_html(out, "</td>");
}

static void add_pooled_row(report_page *out, const json_t *report, const char *metric)
{
    const json_t *pooled = report_at(report, "pooled", "global", metric, NULL);
    if (pooled == NULL) {
        return;
    }
    report_html(out, "<tr class=\"sum\">");
    report_html_cell(out, "Hospital", false);
    report_html(out, "%s</td>", report_word(out, "all test cases"));
    add_empty_cell(out, "Training cases", true);
    report_html_count(out, "Test cases", fl_json_get_int(pooled, "n", -1));
    report_html_count(out, "Positives", fl_json_get_int(pooled, "n_positive", -1));
    if (report_pooled(report, metric) != NULL) {
        report_html_figure(out, "Shared model", pooled, 2, false);
    } else {
        report_html_cell(out, "Shared model", true);
        report_html(out, "<span>\xe2\x80\x93 <span class=\"why\">%s</span></span></td>",
                    report_word(out, "the bins of the scores do not tell"));
    }
    add_empty_cell(out, "Own model", true);
    if (has_centralised(report)) {
        report_html_figure(out, "All data in one place",
                           report_at(report, "baselines", "centralised", "pooled", metric, NULL), 2,
                           false);
    }
    add_empty_cell(out, "Benefit of joining", true);
    add_empty_cell(out, "Joining", false);
    report_html(out, "</tr>\n");
}

/* "AUC: DeLong, logit scale; benefit: DeLong, paired." */
static void add_interval_methods(report_page *out, const json_t *report, const char *metric)
{
    static const char *const models[] = {"global", "benefit"};
    report_say(out, "In brackets: 95 %% intervals");
    for (size_t m = 0; m < 2; m++) {
        size_t i;
        const json_t *site;
        json_array_foreach(json_object_get(report, "sites"), i, site) {
            const json_t *figure = report_figure(report, site, models[m], metric);
            const char *method = fl_json_get_string(figure, "method", "");
            if (!isnan(fl_json_get_number(figure, "ci_low")) && method[0] != '\0') {
                char *told = report_told_text(out, method);
                report_say(out, "; %s: %s",
                           m == 0 ? report_label(out, metric) : report_word(out, "benefit"), told);
                free(told);
                break;
            }
        }
    }
    report_html(out, ". ");
}

/* One end of what the pooled AUC can be. */
static double bound(const json_t *pooled, size_t which)
{
    const json_t *end = json_array_get(json_object_get(pooled, "auc_bounds"), which);
    return json_is_number(end) ? json_number_value(end) : NAN;
}

static void add_pooled_method(report_page *out, const json_t *report)
{
    const json_t *pooled = json_object_get(report, "pooled");
    const json_t *missing = json_object_get(pooled, "missing"), *name;
    const char *method = fl_json_get_string(pooled, "method", "");
    double half_width = fl_json_get_number(pooled, "auc_half_width");
    char number[REPORT_NUMBER_BYTES];
    if (method[0] != '\0') {
        char *told = report_told_text(out, method);
        report_html(out, " ");
        report_say(out,
                   "All test cases, ranked together (lower than at each hospital where scores "
                   "mean different things): %s",
                   told);
        if (half_width > REPORT_POOLED_WITHIN) {
            char high[REPORT_NUMBER_BYTES];
            report_say(out,
                       "; bins of few cases were joined until they hold enough patients, and by "
                       "what is left the AUC may lie anywhere from %s to %s",
                       report_number(number, out->language, bound(pooled, 0), 2),
                       report_number(high, out->language, bound(pooled, 1), 2));
        } else if (!isnan(half_width)) {
            report_say(out, "; the exact AUC lies within %s of it",
                       report_number(number, out->language, half_width, 4));
        }
        report_html(out, ".");
        free(told);
    }
    index_names names = {0};
    size_t i;
    json_array_foreach(missing, i, name) {
        index_names_add(&names, json_string_value(name));
    }
    if (names.n > 0) {
        char *text = report_names_text(out, names.names, names.n);
        report_html(out, " ");
        report_say(out, "Not in it: %s.", text);
        free(text);
    }
    free(names.names);
}

/* How the centralised model was trained: a sentence, or a table of settings. */
static void add_centralised_method(report_page *out, const json_t *report)
{
    const json_t *settings = report_at(report, "baselines", "centralised", "settings", NULL);
    if (!has_centralised(report)) {
        return;
    }
    report_html(out, " ");
    if (json_is_string(settings)) {
        char *told = report_told_text(out, json_string_value(settings));
        report_say(out, "All data in one place: the simulator's, %s.", told);
        free(told);
    } else {
        report_say(out, "All data in one place: the simulator's, for comparison.");
    }
}

static void add_methods(report_page *out, const json_t *report, const char *metric)
{
    report_html(out, "<p class=\"note\">");
    add_interval_methods(out, report, metric);
    report_say(out,
               "Shared model: trained by all. Own model: the hospital's, trained alone with as "
               "many steps.");
    add_centralised_method(out, report);
    add_pooled_method(out, report);
    report_html(out, "</p>\n");
}

static void add_sites(report_page *out, const json_t *report, const char *metric)
{
    static const char *const with[] = {REPORT_N("Hospital"),
                                       "#" REPORT_N("Training cases"),
                                       "#" REPORT_N("Test cases"),
                                       "#" REPORT_N("Positives"),
                                       "#" REPORT_N("Shared model"),
                                       "#" REPORT_N("Own model"),
                                       "#" REPORT_N("All data in one place"),
                                       "#" REPORT_N("Benefit of joining"),
                                       REPORT_N("Joining"),
                                       NULL};
    const char *columns[10];
    size_t n = 0;
    for (size_t c = 0; c < 10; c++) {
        if (c != 6 || has_centralised(report)) {
            columns[n++] = with[c];
        }
    }
    report_html_section(out, "hospitals", "Hospital by hospital");
    report_html(out, "<p>");
    report_say(out, "The figure that models are compared by: %s.", report_label(out, metric));
    report_html(out, "</p>\n");
    report_html_table(out, REPORT_CARDS, columns);
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        add_site_row(out, report, site, metric);
    }
    add_pooled_row(out, report, metric);
    report_html_table_end(out);
    add_methods(out, report, metric);
    report_html_section_end(out);
}

static void add_charts(report_page *out, const json_t *report, const char *metric)
{
    report_html(out, "<div class=\"grid\">\n");
    report_html_section(out, "chart-sites", "The models at each hospital");
    report_chart_forest(out, report, metric, NULL, 1);
    report_html_section_end(out);
    size_t without = out->text.n;
    report_html_section(out, "chart-rounds", "Validation, round by round");
    if (report_chart_curves(out, report, 2)) {
        report_html_section_end(out);
    } else {
        out->text.data[out->text.n = without] = '\0';
    }
    report_html(out, "</div>\n");
}

/* ------------------------------------------------------------------- rounds */

/* The two figures that a run's rounds are watched by. */
static const char *const *curve_metrics(const json_t *report)
{
    static const char *const watched[][2] = {{"auc", "accuracy"}, {"dice", "iou"}, {"mae", "rmse"}};
    const json_t *first = json_array_get(json_object_get(report, "rounds"), 0);
    const json_t *validation = json_object_get(first, "validation");
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) {
        if (json_object_get(validation, watched[i][0]) != NULL) {
            return watched[i];
        }
    }
    return watched[0];
}

static bool is_in(const json_t *names, const char *name)
{
    size_t i;
    const json_t *item;
    json_array_foreach(names, i, item) {
        const char *text = json_string_value(item);
        if (text != NULL && strcmp(text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Where the strategy chooses: whose updates count, or whose do not, if those are fewer. */
static bool add_chosen(report_page *out, const json_t *round, bool goes_on)
{
    const json_t *chosen = json_object_get(round, "chosen"), *item;
    const json_t *all = json_object_get(round, "participants");
    size_t n = json_array_size(chosen), n_all = json_array_size(all), i;
    bool tells_others = n > n_all / 2;
    index_names names = {0};
    json_array_foreach(all, i, item) {
        const char *name = json_string_value(item);
        if (name != NULL && is_in(chosen, name) != tells_others) {
            index_names_add(&names, name);
        }
    }
    bool says = n > 0 && names.n > 0;
    if (says) {
        char *text = report_names_text(out, names.names, names.n);
        report_html(out, "%s", goes_on ? "; " : "");
        if (tells_others) {
            report_say(out, "the strategy left out the updates of %s", text);
        } else {
            report_say(out, "the strategy chose the updates of %s", text);
        }
        free(text);
    }
    free(names.names);
    return goes_on || says;
}

/* Updates of earlier rounds that count in this one, and a round without a model of its own. */
static void add_exceptions(report_page *out, const json_t *round, bool goes_on)
{
    size_t i;
    const json_t *carried;
    goes_on = add_chosen(out, round, goes_on);
    json_array_foreach(json_object_get(round, "carried"), i, carried) {
        report_html(out, "%s", goes_on ? "; " : "");
        report_say(out, "%s: its late update of round %lld counts in this one",
                   fl_json_get_string(carried, "site", "?"),
                   (long long)fl_json_get_int(carried, "from", 0));
        goes_on = true;
    }
    const char *why = fl_json_get_string(round, "abandoned", "");
    if (why[0] != '\0') {
        report_html(out, "%s", goes_on ? "; " : "");
        report_say(out, "the round was abandoned, and the model is the one before: ");
        report_told(out, why);
    }
}

static void add_round(report_page *out, const json_t *report, const json_t *round, int64_t selected,
                      size_t n_sites)
{
    const char *const *metrics = curve_metrics(report);
    char text[REPORT_NUMBER_BYTES];
    report_language l = out->language;
    int64_t number = fl_json_get_int(round, "round", 0);
    const json_t *validation = json_object_get(round, "validation");
    report_html(out, "<tr class=\"%s\"><td class=\"n\">%lld</td>", number == selected ? "mark" : "",
                (long long)number);
    report_html(out, "<td class=\"n\">");
    report_say(out, "%zu of %zu", json_array_size(json_object_get(round, "participants")), n_sites);
    report_html(out, "</td><td class=\"n\">%s</td>",
                report_number(text, l, fl_json_get_number(round, "loss"), 3));
    for (int m = 0; m < 2; m++) {
        report_html(out, "<td class=\"n\">%s</td>",
                    report_number(text, l, fl_json_get_number(validation, metrics[m]), 3));
    }
    report_html(out, "<td class=\"n\">%s</td>",
                report_duration(text, l, fl_json_get_number(round, "seconds")));
    report_html(out, "<td class=\"n\">%s</td>",
                report_bytes(text, l, fl_json_get_number(round, "bytes_up")));
    report_html(out, "<td class=\"n\">%s</td>",
                report_bytes(text, l, fl_json_get_number(round, "bytes_down")));
    report_html(out, "<td class=\"text\">");
    size_t i, n = 0;
    const json_t *absent;
    json_array_foreach(json_object_get(round, "absent"), i, absent) {
        const char *site = fl_json_get_string(absent, "site", "?");
        if (!report_never_there(report, site)) {
            report_html(out, "%s", n++ > 0 ? "; " : "");
            report_say(out, "%s: ", site);
            report_told(out, fl_json_get_string(absent, "reason", "?"));
        }
    }
    add_exceptions(out, round, n > 0);
    report_html(out, "</td></tr>\n");
}

/* Hospitals that a round could have had: those with figures and the absent. */
static size_t n_expected(const json_t *report)
{
    size_t most = json_array_size(json_object_get(report, "sites")), i;
    const json_t *round;
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        size_t here = json_array_size(json_object_get(round, "participants")) +
                      json_array_size(json_object_get(round, "absent"));
        most = here > most ? here : most;
    }
    return most;
}

static void add_absences(report_page *out, const json_t *report)
{
    static const char *const columns[] = {REPORT_N("Hospital"), REPORT_N("Rounds"),
                                          REPORT_N("Reason"), NULL};
    size_t n = 0;
    report_absence *list = report_absences(report, &n);
    report_html(out, "<h3>%s</h3>\n", report_word(out, "Absences"));
    if (n == 0) {
        report_html(out, "<p>");
        report_say(out, "None: every hospital took part in every round.");
        report_html(out, "</p>\n");
    } else {
        report_html_table(out, REPORT_NARROW, columns);
        for (size_t i = 0; i < n; i++) {
            report_html(out, "<tr><td>%s</td><td>%s</td><td class=\"text\">", list[i].site,
                        list[i].n_rounds == 0 ? report_word(out, list[i].rounds) : list[i].rounds);
            report_told(out, list[i].reason);
            report_html(out, "</td></tr>\n");
        }
        report_html_table_end(out);
    }
    free(list);
}

static void add_rounds(report_page *out, const json_t *report)
{
    fl_buf heads[2] = {FL_BUF_INIT, FL_BUF_INIT};
    for (int m = 0; m < 2; m++) {
        fl_buf_printf(&heads[m], "#%s %s", report_word(out, "Val."),
                      report_label(out, curve_metrics(report)[m]));
    }
    const char *const columns[] = {"#" REPORT_N("Round"),
                                   "#" REPORT_N("Hospitals"),
                                   "#" REPORT_N("Training loss"),
                                   heads[0].data,
                                   heads[1].data,
                                   "#" REPORT_N("Time"),
                                   "#" REPORT_N("Received"),
                                   "#" REPORT_N("Sent"),
                                   REPORT_N("Exceptions"),
                                   NULL};
    int64_t selected = fl_json_get_int(json_object_get(report, "select"), "round", -1);
    size_t i, n_sites = n_expected(report);
    const json_t *round;
    report_html_section(out, "rounds", "Rounds");
    add_absences(out, report);
    report_html(out, "<h3>%s</h3>\n", report_word(out, "Round by round"));
    report_html_table(out, REPORT_WIDE, columns);
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        add_round(out, report, round, selected, n_sites);
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out, "Received and sent: bytes at the coordinator. The shaded round's model was "
                    "selected. Hospitals that were never there are named above only.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
    fl_buf_clear(&heads[0]);
    fl_buf_clear(&heads[1]);
}

/* ------------------------------------------------------ fairness, security */

/* Random effects: the mean of hospitals, and where a new one's value would be. */
static void add_summary_of(report_page *out, const char *name, const json_t *summary,
                           bool difference)
{
    const double says_nothing = 0.5;  // of a share: a prediction interval this wide
    char text[REPORT_NUMBER_BYTES];
    double low = fl_json_get_number(summary, "prediction_low");
    double high = fl_json_get_number(summary, "prediction_high");
    long long n_sites = (long long)fl_json_get_int(summary, "n_sites", 0);
    json_t *mean = json_pack("{s:O, s:O, s:O}", "value", json_object_get(summary, "mean"), "ci_low",
                             json_object_get(summary, "ci_low"), "ci_high",
                             json_object_get(summary, "ci_high"));
    report_html(out, "<li>");
    if (difference) {
        report_say(out, "benefit of joining, %s, mean over %lld hospitals: ", name, n_sites);
    } else {
        report_say(out, "%s, mean over %lld hospitals: ", name, n_sites);
    }
    report_html_number(out, report_figure_text(text, out->language, mean, 2, difference));
    json_decref(mean);
    if (isnan(low) || high - low > says_nothing) {
        report_say(out, "; too few hospitals to say what a new one would see");
    } else {
        char from[REPORT_NUMBER_BYTES], to[REPORT_NUMBER_BYTES];
        report_say(out, "; at a new hospital like these, between %s and %s",
                   report_number(from, out->language, low, 2),
                   report_number(to, out->language, high, 2));
    }
    report_html(out, ".</li>\n");
}

static void add_new_hospital(report_page *out, const json_t *report)
{
    const json_t *pooled = json_object_get(report, "pooled");
    const json_t *across = json_object_get(pooled, "across_sites");
    const json_t *benefit = json_object_get(pooled, "benefit_across_sites");
    const char *metric = report_main_metric(report);
    if (json_object_get(across, metric) == NULL && json_object_get(benefit, metric) == NULL) {
        return;
    }
    report_html(out, "<h3>%s</h3>\n<ul>\n", report_word(out, "What another hospital may expect"));
    if (json_object_get(across, metric) != NULL) {
        add_summary_of(out, report_label(out, metric), json_object_get(across, metric), false);
    }
    if (json_object_get(benefit, metric) != NULL) {
        add_summary_of(out, report_label(out, metric), json_object_get(benefit, metric), true);
    }
    report_html(out, "</ul>\n<p class=\"note\">");
    report_say(out, "Random effects (REML, Hartung-Knapp); the range for a new hospital is a 95 %% "
                    "prediction interval.");
    index_names left_out = {0};
    size_t i;
    const json_t *name;
    json_array_foreach(json_object_get(json_object_get(across, metric), "left_out"), i, name) {
        index_names_add(&left_out, json_string_value(name));
    }
    if (left_out.n > 0) {
        char *names = report_names_text(out, left_out.names, left_out.n);
        report_html(out, " ");
        report_say(out, "Left out, for want of a standard error: %s.", names);
        free(names);
    }
    report_html(out, "</p>\n");
    free(left_out.names);
}

static void add_fairness(report_page *out, const json_t *report)
{
    const json_t *f = json_object_get(report, "fairness");
    const char *metric = fl_json_get_string(f, "metric", "auc");
    report_html_section(out, "fairness", "Fairness between hospitals");
    report_html(out, "<p>");
    long long n_sites = (long long)fl_json_get_int(f, "n_sites", 0);
    if (n_sites == 1) {
        report_say(out,
                   "The figure is defined at one hospital alone, so there is nothing to compare: "
                   "%s.",
                   report_label(out, metric));
    } else {
        report_say(out,
                   "How evenly the shared model serves the %lld hospitals at which the figure is "
                   "defined: %s.",
                   n_sites, report_label(out, metric));
    }
    report_html(out, "</p>\n<dl>\n");
    report_fact(out, "Worst hospital", fl_json_get_string(f, "worst_site", NULL));
    report_fact_number(out, "Worst", fl_json_get_number(f, "worst"), 3);
    report_fact_number(out, "Best", fl_json_get_number(f, "best"), 3);
    report_fact_number(out, "Gap", fl_json_get_number(f, "gap"), 3);
    report_fact_number(out, "Mean of hospitals", fl_json_get_number(f, "mean"), 3);
    report_fact_number(out, "Standard deviation", fl_json_get_number(f, "sd"), 3);
    report_fact_number(out, "Jain index (1 = all equal)", fl_json_get_number(f, "jain"), 4);
    const char *attribute;
    json_t *gap;
    report_each_member(json_object_get(f, "subgroup_gaps"), attribute, gap) {
        char number[REPORT_NUMBER_BYTES];
        report_html(out, "<dt>");
        char *by = report_attribute_text(out, attribute);
        report_say(out, "Largest gap between two groups of a hospital, by %s", by);
        free(by);
        report_html(out, "</dt><dd>%s</dd>\n",
                    report_number(number, out->language,
                                  json_is_number(gap) ? json_number_value(gap) : report_value(gap),
                                  3));
    }
    report_html(out, "</dl>\n<p class=\"note\">");
    report_say(out, "Worst, best and gaps are of values, which chance alone sets apart; of groups, "
                    "those whose figure has an interval. Intervals and tests are on each hospital's "
                    "page.");
    report_html(out, "</p>\n");
    add_new_hospital(out, report);
    report_html_section_end(out);
}

static void add_refusal(report_page *out, const json_t *item)
{
    char time[REPORT_NUMBER_BYTES], times[REPORT_NUMBER_BYTES];
    report_html(out, "<tr><td>%s</td><td>%s</td><td class=\"text\">",
                report_time(time, out->language, fl_json_get_string(item, "time", "")),
                fl_json_get_string(item, "address", ""));
    report_told(out, fl_json_get_string(item, "what", ""));
    report_html(out, "</td><td class=\"text\">");
    report_told(out, fl_json_get_string(item, "reason", ""));
    report_html(out, "</td><td class=\"n\">%s</td></tr>\n",
                report_count(times, out->language, fl_json_get_int(item, "count", 1)));
}

static void add_security(report_page *out, const json_t *report)
{
    static const char *const columns[] = {REPORT_N("Time"),      REPORT_N("Address"),
                                          REPORT_N("What"),      REPORT_N("Reason"),
                                          "#" REPORT_N("Times"), NULL};
    const json_t *security = json_object_get(report, "security");
    const json_t *refusals = json_object_get(security, "refusals"), *item;
    const char *transport = fl_json_get_string(security, "transport", "");
    size_t i;
    report_html_section(out, "security", "Security");
    if (transport[0] != '\0') {
        report_html(out, "<dl>\n<dt>%s</dt><dd>", report_word(out, "Transport"));
        report_told(out, transport);
        report_html(out, "</dd>\n</dl>\n");
    }
    report_html(out, "<p>");
    if (json_array_size(refusals) == 0) {
        report_say(out, "Nothing was refused.");
        report_html(out, "</p>\n");
    } else {
        report_say(out, "Refused and recorded; the run went on.");
        report_html(out, "</p>\n");
        report_html_table(out, REPORT_WIDE, columns);
        json_array_foreach(refusals, i, item) {
            add_refusal(out, item);
        }
        report_html_table_end(out);
    }
    report_html_section_end(out);
}

static void add_rules(report_page *out, const json_t *report, const char *metric)
{
    report_html_section(out, "rules", "How this page chooses its words");
    report_verdict_rules(out, report, metric);
    report_html(out, "<p>");
    report_say(out, "The first sentence counts hospitals at which both models have a value. Worst "
                    "and best hospital are by the value, not by the interval. What cannot be "
                    "computed is shown as a dash with the reason, never as 0 or 0.5.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

fl_status report_write_index(const json_t *report, report_language language, const char *path,
                             fl_err *err)
{
    return report_write_index_with(report, language, NULL, path, err);
}

fl_status report_write_index_with(const json_t *report, report_language language,
                                  report_figures *figures, const char *path, fl_err *err)
{
    const char *metric = report_main_metric(report);
    char time[REPORT_NUMBER_BYTES];
    report_page out = REPORT_PAGE(language);
    out.figures = figures;
    report_figures_prefix(figures, "run");
    char *eyebrow = fl_xasprintf(
        "%s \xc2\xb7 %s \xc2\xb7 %s", report_word(&out, "Report of a federated run"),
        fl_json_get_string(report, "federation", fl_json_get_string(report, "run", "")),
        report_time(time, language, fl_json_get_string(report, "created", "")));
    report_html_begin(&out, report, eyebrow, fl_json_get_string(report, "job", "run"));
    index_summary(&out, report, metric);
    index_tiles(&out, report, metric);
    add_sites(&out, report, metric);
    add_charts(&out, report, metric);
    index_models(&out, report, metric);
    add_fairness(&out, report);
    report_unseen_section(&out, report);
    report_selection_section(&out, report);
    report_privacy_section(&out, report);
    add_rounds(&out, report);
    add_security(&out, report);
    report_model_section(&out, report);
    add_rules(&out, report, metric);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.text.data, out.text.n, 0644, err);
    report_page_clear(&out);
    free(eyebrow);
    return st;
}
