/*
 * page_index.c - the run's page
 *
 * From top to bottom: what happened in plain words, hospital by hospital, how
 * it went round by round, how fair it was, how it was chosen, what left the
 * hospitals, who was refused, and the rules by which the words were chosen.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"

/* ------------------------------------------------------- in plain words */

typedef struct {
    const char **names;  // borrowed
    size_t n;
} name_list;

static void add_name(name_list *list, const char *name)
{
    list->names = fl_xrealloc(list->names, ++list->n, sizeof *list->names);
    list->names[list->n - 1] = name;
}

static const char *hospitals(size_t n)
{
    return n == 1 ? "hospital" : "hospitals";
}

static void who_took_part(fl_buf *out, const json_t *report)
{
    const json_t *sites = json_object_get(report, "sites");
    name_list there = {0};
    size_t i;
    const json_t *item;
    json_array_foreach(sites, i, item) {
        add_name(&there, report_site_name(item));
    }
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        const char *site = fl_json_get_string(item, "site", "?");
        if (!report_never_there(report, site)) {
            add_name(&there, site);
        }
    }
    report_html(out, "<p>%zu %s (", there.n, hospitals(there.n));
    report_html_names(out, there.names, there.n);
    report_html(out,
                ") trained one model together in %lld rounds with %s; the data stayed where "
                "they were.",
                (long long)fl_json_get_int(report, "rounds_done", 0),
                fl_json_get_string(report, "strategy", "?"));
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        const char *site = fl_json_get_string(item, "site", "?");
        const char *reason = fl_json_get_string(item, "reason", "?");
        if (report_never_there(report, site)) {
            report_html(out, " %s was invited and has no figures: %s.", site, reason);
        } else {
            report_html(out, " %s took part in %zu of them and has no figures: %s.", site,
                        report_rounds_joined(report, site), reason);
        }
    }
    int64_t planned = fl_json_get_int(report, "rounds_planned", -1);
    if (planned > fl_json_get_int(report, "rounds_done", 0)) {
        report_html(out, " %lld rounds were planned.", (long long)planned);
    }
    if (json_is_true(json_object_get(report, "simulated"))) {
        fl_buf_puts(out, " The hospitals were played by the simulator.");
    }
    fl_buf_puts(out, "</p>\n");
    free(there.names);
}

typedef struct {
    name_list of[REPORT_NO_VERDICT + 1];
    size_t n_compared, n_better;  // by the value alone
} verdicts;

static verdicts verdicts_of(const json_t *report, const char *metric)
{
    verdicts v = {0};
    double sign = report_higher_is_better(metric) ? 1 : -1;
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        double value = sign * report_value(report_figure(report, site, "benefit", metric));
        add_name(&v.of[report_verdict_of(report, site, metric)], report_site_name(site));
        v.n_compared += !isnan(value);
        v.n_better += value > 0;
    }
    return v;
}

static void verdicts_clear(verdicts *v)
{
    for (size_t i = 0; i <= REPORT_NO_VERDICT; i++) {
        free(v->of[i].names);
    }
}

/* The sentence in large type. */
static void headline(fl_buf *out, const verdicts *v, const char *metric)
{
    const name_list *helps = &v->of[REPORT_HELPS], *hurts = &v->of[REPORT_HURTS];
    if (v->n_compared == 0) {
        fl_buf_puts(out, "<p class=\"lead\">Whether joining helped cannot be said: there is no own "
                         "model of a hospital to compare with, or too few cases.</p>\n");
        return;
    }
    report_html(out, "<p class=\"lead\">The shared model has the better %s at %zu of %zu %s; at ",
                report_metric_label(metric), v->n_better, v->n_compared, hospitals(v->n_compared));
    if (helps->n > 0) {
        report_html(out, "%zu the difference is clear and large enough to matter", helps->n);
    } else {
        fl_buf_puts(out, "none is the difference clear and large enough to matter");
    }
    if (hurts->n > 0) {
        fl_buf_puts(out, ". Joining hurts ");
        report_html_names(out, hurts->names, hurts->n);
    }
    fl_buf_puts(out, ".</p>\n");
}

static void who_benefits(fl_buf *out, const verdicts *v)
{
    static const struct {
        report_verdict verdict;
        const char *before, *after;
    } sentences[] = {
        {REPORT_HELPS, "Joining helps ", ". "},
        {REPORT_HURTS, "Joining hurts ", ". "},
        {REPORT_SAME, "Joining makes no difference that matters for ", ". "},
        {REPORT_UNSURE, "For ", " the test cases are too few to tell. "},
        {REPORT_NO_VERDICT, "Not judged: ", " (the reasons are in the table). "},
    };
    if (v->n_compared == 0) {
        return;
    }
    fl_buf_puts(out, "<p>");
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        const name_list *list = &v->of[sentences[i].verdict];
        if (list->n > 0) {
            fl_buf_puts(out, sentences[i].before);
            report_html_names(out, list->names, list->n);
            fl_buf_puts(out, sentences[i].after);
        }
    }
    fl_buf_puts(out, "Each hospital is compared with the model it could have trained alone.</p>\n");
}

static void worst_served(fl_buf *out, const json_t *report)
{
    const json_t *f = json_object_get(report, "fairness");
    const char *name = fl_json_get_string(f, "worst_site", NULL);
    const char *metric = fl_json_get_string(f, "metric", "auc");
    char number[REPORT_NUMBER_BYTES];
    if (name == NULL || isnan(fl_json_get_number(f, "worst"))) {
        return;
    }
    const json_t *figure = report_figure(report, report_site(report, name), "global", metric);
    report_html(out, "<p>Worst served is %s, with %s %s", name, report_metric_label(metric),
                isnan(report_value(figure))
                    ? report_number(number, fl_json_get_number(f, "worst"), 2)
                    : report_figure_text(number, figure, 2, false));
    report_html(out, "; the gap to the best hospital is %s.",
                report_number(number, fl_json_get_number(f, "gap"), 2));
    const json_t *pooled = report_at(report, "pooled", "global", metric, NULL);
    const json_t *all = report_at(report, "baselines", "centralised", "pooled", metric, NULL);
    if (!isnan(report_value(pooled)) && !isnan(report_value(all))) {
        report_html(out, " Over all test cases the shared model reaches %s",
                    report_figure_text(number, pooled, 2, false));
        report_html(out,
                    "; one trained on all data in one place, possible only in a simulation, %s.",
                    report_figure_text(number, all, 2, false));
    }
    fl_buf_puts(out, "</p>\n");
}

static void who_was_missing(fl_buf *out, const json_t *report)
{
    size_t n = 0, shown = 0;
    report_absence *list = report_absences(report, &n);
    for (size_t i = 0; i < n; i++) {
        if (list[i].n_rounds > 0) {
            fl_buf_puts(out, shown++ == 0 ? "<p>Missing: " : "; ");
            report_html(out, "%s in %s %s", list[i].site,
                        list[i].n_rounds == 1 ? "round" : "rounds", list[i].rounds);
        }
    }
    fl_buf_puts(out, shown > 0 ? ". The reasons are <a href=\"#rounds\">below</a>.</p>\n"
                     : n > 0   ? "<p>No other hospital missed a round.</p>\n"
                               : "<p>No hospital missed a round.</p>\n");
    free(list);
}

static void add_summary(fl_buf *out, const json_t *report, const char *metric)
{
    verdicts v = verdicts_of(report, metric);
    size_t helps = v.of[REPORT_HELPS].n, hurts = v.of[REPORT_HURTS].n;
    report_html(out, "<section id=\"summary\" class=\"verdict %s\">\n<h2>In short</h2>\n",
                helps > 0 && hurts == 0   ? "good"
                : hurts > 0 && helps == 0 ? "bad"
                                          : "unsure");
    headline(out, &v, metric);
    who_took_part(out, report);
    who_benefits(out, &v);
    worst_served(out, report);
    who_was_missing(out, report);
    report_privacy_sentence(out, report);
    fl_buf_puts(out, "<p class=\"note\">These sentences are made by rules, which are listed <a "
                     "href=\"#rules\">at the end of the page</a>.</p>\n");
    report_html_section_end(out);
    verdicts_clear(&v);
}

static void add_tile(fl_buf *out, const char *value, const char *what, const char *more)
{
    report_html(out, "<div class=\"tile\"><b>%s</b><span>%s</span><span>%s</span></div>\n", value,
                what, more);
}

static void add_tiles(fl_buf *out, const json_t *report, const char *metric)
{
    const char *label = report_metric_label(metric);
    const json_t *f = json_object_get(report, "fairness");
    const json_t *pooled = report_at(report, "pooled", "global", metric, NULL);
    const json_t *all = report_at(report, "baselines", "centralised", "pooled", metric, NULL);
    char value[REPORT_NUMBER_BYTES], more[2 * REPORT_NUMBER_BYTES];
    fl_buf_puts(out, "<div class=\"tiles\">\n");
    if (!isnan(report_value(pooled))) {
        snprintf(more, sizeof more, "%.40s, all test cases", label);
        add_tile(out, report_number(value, report_value(pooled), 3), "shared model", more);
    }
    if (!isnan(report_value(all))) {
        snprintf(more, sizeof more, "%.40s, all test cases", label);
        add_tile(out, report_number(value, report_value(all), 3), "all data in one place", more);
    }
    if (!isnan(fl_json_get_number(f, "worst"))) {
        add_tile(out, report_number(value, fl_json_get_number(f, "worst"), 3), "worst hospital",
                 fl_json_get_string(f, "worst_site", ""));
        add_tile(out, report_number(value, fl_json_get_number(f, "gap"), 3), "gap",
                 "best to worst hospital");
    }
    snprintf(more, sizeof more, "of %lld planned",
             (long long)fl_json_get_int(report, "rounds_planned",
                                        fl_json_get_int(report, "rounds_done", 0)));
    add_tile(out, report_count(value, fl_json_get_int(report, "rounds_done", 0)), "rounds", more);
    fl_buf_puts(out, "</div>\n");
}

/* ------------------------------------------------------ hospital by hospital */

static void add_count_cell(fl_buf *out, const char *column, int64_t count)
{
    char text[REPORT_NUMBER_BYTES];
    report_html(out, "<td class=\"n\" data-l=\"%s\">%s</td>", column,
                count < 0 ? "" : report_count(text, count));
}

static bool has_centralised(const json_t *report)
{
    return json_is_object(report_at(report, "baselines", "centralised", "sites", NULL));
}

static void add_site_row(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    const char *name = report_site_name(site);
    report_html(out, "<tr><td data-l=\"Hospital\"><a href=\"sites/%s.html\">%s</a></td>", name,
                name);
    add_count_cell(out, "Training cases", fl_json_get_int(site, "n_train", -1));
    add_count_cell(out, "Test cases", fl_json_get_int(site, "n_test", -1));
    int64_t rarer = report_rarer_class(site);
    char positives[REPORT_NUMBER_BYTES];
    report_html(out,
                "<td class=\"n\" data-l=\"Positives\"><span>%s <span class=\"ci\">%s</span>"
                "</span></td>",
                report_n_positive(site) < 0 ? "" : report_count(positives, report_n_positive(site)),
                rarer >= 0 && rarer < REPORT_FEW ? "few cases" : "");
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
    fl_buf_puts(out, "</tr>\n");
}

static void add_pooled_row(fl_buf *out, const json_t *report, const char *metric)
{
    const json_t *pooled = report_at(report, "pooled", "global", metric, NULL);
    if (pooled == NULL) {
        return;
    }
    fl_buf_puts(out, "<tr class=\"sum\"><td data-l=\"Hospital\">all test cases</td>"
                     "<td class=\"n\" data-l=\"Training cases\"></td>");
    add_count_cell(out, "Test cases", fl_json_get_int(pooled, "n", -1));
    add_count_cell(out, "Positives", fl_json_get_int(pooled, "n_positive", -1));
    report_html_figure(out, "Shared model", pooled, 2, false);
    fl_buf_puts(out, "<td class=\"n\" data-l=\"Own model\"></td>");
    if (has_centralised(report)) {
        report_html_figure(out, "All data in one place",
                           report_at(report, "baselines", "centralised", "pooled", metric, NULL), 2,
                           false);
    }
    fl_buf_puts(out, "<td class=\"n\" data-l=\"Benefit of joining\"></td><td data-l=\"Joining\">"
                     "</td></tr>\n");
}

/* "AUC: DeLong, logit scale; benefit: DeLong, paired." */
static void add_methods(fl_buf *out, const json_t *report, const char *metric)
{
    static const char *const models[] = {"global", "benefit"};
    fl_buf_puts(out, "<p class=\"note\">In brackets: 95 % intervals");
    for (size_t m = 0; m < 2; m++) {
        size_t i;
        const json_t *site;
        json_array_foreach(json_object_get(report, "sites"), i, site) {
            const json_t *figure = report_figure(report, site, models[m], metric);
            const char *method = fl_json_get_string(figure, "method", "");
            if (!isnan(fl_json_get_number(figure, "ci_low")) && method[0] != '\0') {
                report_html(out, "; %s: %s", m == 0 ? report_metric_label(metric) : "benefit",
                            method);
                break;
            }
        }
    }
    fl_buf_puts(out,
                ". Shared model: trained by all. Own model: the hospital's, trained alone with "
                "as many steps.");
    if (has_centralised(report)) {
        const char *settings = fl_json_get_string(
            report_at(report, "baselines", "centralised", NULL), "settings", "for comparison");
        report_html(out, " All data in one place: the simulator's, %s.", settings);
    }
    const json_t *pooled = json_object_get(report, "pooled");
    const char *method = fl_json_get_string(pooled, "method", "");
    double half_width = fl_json_get_number(pooled, "auc_half_width");
    char number[REPORT_NUMBER_BYTES];
    if (method[0] != '\0') {
        report_html(out,
                    " All test cases, ranked together (lower than at each hospital where scores "
                    "mean different things): %s",
                    method);
        if (!isnan(half_width)) {
            report_html(out, "; the exact AUC lies within %s of it",
                        report_number(number, half_width, 4));
        }
        fl_buf_puts(out, ".");
    }
    size_t i;
    const json_t *missing;
    json_array_foreach(json_object_get(pooled, "missing"), i, missing) {
        report_html(out, "%s%s", i == 0 ? " Not in it: " : ", ", json_string_value(missing));
    }
    fl_buf_puts(out,
                json_array_size(json_object_get(pooled, "missing")) > 0 ? ".</p>\n" : "</p>\n");
}

static void add_sites(fl_buf *out, const json_t *report, const char *metric)
{
    const char *label = report_metric_label(metric);
    fl_buf shared = FL_BUF_INIT, own = FL_BUF_INIT, all = FL_BUF_INIT;
    fl_buf_printf(&shared, "#%s, shared model", label);
    fl_buf_printf(&own, "#%s, own model", label);
    fl_buf_printf(&all, "#%s, all data in one place", label);
    const char *with[] = {
        "Hospital", "#Training cases", "#Test cases",         "#Positives", shared.data,
        own.data,   all.data,          "#Benefit of joining", "Joining",    NULL};
    const char *without[] = {"Hospital",  "#Training cases", "#Test cases",         "#Positives",
                             shared.data, own.data,          "#Benefit of joining", "Joining",
                             NULL};
    report_html_section(out, "hospitals", "Hospital by hospital");
    report_html_table(out, REPORT_CARDS, has_centralised(report) ? with : without);
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        add_site_row(out, report, site, metric);
    }
    add_pooled_row(out, report, metric);
    report_html_table_end(out);
    add_methods(out, report, metric);
    report_html_section_end(out);
    fl_buf_clear(&shared);
    fl_buf_clear(&own);
    fl_buf_clear(&all);
}

static void add_charts(fl_buf *out, const json_t *report, const char *metric)
{
    fl_buf curves = FL_BUF_INIT;
    fl_buf_puts(out, "<div class=\"grid\">\n");
    report_html_section(out, "chart-sites", "The models at each hospital");
    report_chart_forest(out, report, metric, NULL, 1);
    report_html_section_end(out);
    if (report_chart_curves(&curves, report, 2)) {
        report_html_section(out, "chart-rounds", "Validation, round by round");
        fl_buf_add(out, curves.data, curves.n);
        report_html_section_end(out);
    }
    fl_buf_puts(out, "</div>\n");
    fl_buf_clear(&curves);
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

static void add_round(fl_buf *out, const json_t *report, const json_t *round, int64_t selected,
                      size_t n_sites)
{
    const char *const *metrics = curve_metrics(report);
    char text[REPORT_NUMBER_BYTES];
    int64_t number = fl_json_get_int(round, "round", 0);
    const json_t *validation = json_object_get(round, "validation");
    report_html(out, "<tr class=\"%s\"><td class=\"n\">%lld</td>", number == selected ? "mark" : "",
                (long long)number);
    report_html(out, "<td class=\"n\">%zu of %zu</td>",
                json_array_size(json_object_get(round, "participants")), n_sites);
    report_html(out, "<td class=\"n\">%s</td>",
                report_number(text, fl_json_get_number(round, "loss"), 3));
    for (int m = 0; m < 2; m++) {
        report_html(out, "<td class=\"n\">%s</td>",
                    report_number(text, fl_json_get_number(validation, metrics[m]), 3));
    }
    report_html(out, "<td class=\"n\">%s</td>",
                report_duration(text, fl_json_get_number(round, "seconds")));
    report_html(out, "<td class=\"n\">%s</td>",
                report_bytes(text, fl_json_get_number(round, "bytes_up")));
    report_html(out, "<td class=\"n\">%s</td>",
                report_bytes(text, fl_json_get_number(round, "bytes_down")));
    fl_buf_puts(out, "<td class=\"text\">");
    size_t i, n = 0;
    const json_t *absent;
    json_array_foreach(json_object_get(round, "absent"), i, absent) {
        const char *site = fl_json_get_string(absent, "site", "?");
        if (!report_never_there(report, site)) {
            report_html(out, "%s%s: %s", n++ > 0 ? "; " : "", site,
                        fl_json_get_string(absent, "reason", "?"));
        }
    }
    fl_buf_puts(out, "</td></tr>\n");
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

static void add_absences(fl_buf *out, const json_t *report)
{
    static const char *const columns[] = {"Hospital", "Rounds", "Reason", NULL};
    size_t n = 0;
    report_absence *list = report_absences(report, &n);
    report_html(out, "<h3>Absences</h3>\n");
    if (n == 0) {
        fl_buf_puts(out, "<p>None: every hospital took part in every round.</p>\n");
    } else {
        report_html_table(out, REPORT_NARROW, columns);
        for (size_t i = 0; i < n; i++) {
            report_html(out, "<tr><td>%s</td><td>%s</td><td class=\"text\">%s</td></tr>\n",
                        list[i].site, list[i].rounds, list[i].reason);
        }
        report_html_table_end(out);
    }
    free(list);
}

static void add_rounds(fl_buf *out, const json_t *report)
{
    char heads[2][64];
    for (int m = 0; m < 2; m++) {
        snprintf(heads[m], sizeof heads[m], "#Val. %s",
                 report_metric_label(curve_metrics(report)[m]));
    }
    const char *const columns[] = {"#Round", "#Hospitals", "#Training loss", heads[0], heads[1],
                                   "#Time",  "#Received",  "#Sent",          "Absent", NULL};
    int64_t selected = fl_json_get_int(json_object_get(report, "select"), "round", -1);
    size_t i, n_sites = n_expected(report);
    const json_t *round;
    report_html_section(out, "rounds", "Rounds");
    add_absences(out, report);
    fl_buf_puts(out, "<h3>Round by round</h3>\n");
    report_html_table(out, REPORT_WIDE, columns);
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        add_round(out, report, round, selected, n_sites);
    }
    report_html_table_end(out);
    fl_buf_puts(out, "<p class=\"note\">Received and sent: bytes at the coordinator. The shaded "
                     "round's model was selected. Hospitals that were never there are named "
                     "above only.</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------ fairness, security */

/* Random effects: the mean of hospitals, and where a new one's value would be. */
static void add_summary_of(fl_buf *out, const char *name, const json_t *summary, bool difference)
{
    const double says_nothing = 0.5;  // of a share: a prediction interval this wide
    char text[REPORT_NUMBER_BYTES];
    double low = fl_json_get_number(summary, "prediction_low");
    double high = fl_json_get_number(summary, "prediction_high");
    json_t *mean = json_pack("{s:O, s:O, s:O}", "value", json_object_get(summary, "mean"), "ci_low",
                             json_object_get(summary, "ci_low"), "ci_high",
                             json_object_get(summary, "ci_high"));
    report_html(out,
                "<li>%s%s, mean over %lld hospitals: ", difference ? "benefit of joining, " : "",
                name, (long long)fl_json_get_int(summary, "n_sites", 0));
    report_html_number(out, report_figure_text(text, mean, 2, difference));
    json_decref(mean);
    if (isnan(low) || high - low > says_nothing) {
        fl_buf_puts(out, "; too few hospitals to say what a new one would see");
    } else {
        char from[REPORT_NUMBER_BYTES], to[REPORT_NUMBER_BYTES];
        report_html(out, "; at a new hospital like these, between %s and %s",
                    report_number(from, low, 2), report_number(to, high, 2));
    }
    fl_buf_puts(out, ".</li>\n");
}

static void add_new_hospital(fl_buf *out, const json_t *report)
{
    const json_t *pooled = json_object_get(report, "pooled");
    const json_t *across = json_object_get(pooled, "across_sites");
    const json_t *benefit = json_object_get(pooled, "benefit_across_sites");
    const char *metric = report_main_metric(report);
    if (json_object_get(across, metric) == NULL && json_object_get(benefit, metric) == NULL) {
        return;
    }
    fl_buf_puts(out, "<h3>What another hospital may expect</h3>\n<ul>\n");
    if (json_object_get(across, metric) != NULL) {
        add_summary_of(out, report_metric_label(metric), json_object_get(across, metric), false);
    }
    if (json_object_get(benefit, metric) != NULL) {
        add_summary_of(out, report_metric_label(metric), json_object_get(benefit, metric), true);
    }
    fl_buf_puts(out, "</ul>\n<p class=\"note\">Random effects (REML, Hartung-Knapp); the range for "
                     "a new hospital is a 95 % prediction interval. Hospitals without a standard "
                     "error are left out: ");
    size_t i;
    const json_t *name;
    const json_t *left_out = json_object_get(json_object_get(across, metric), "left_out");
    json_array_foreach(left_out, i, name) {
        report_html(out, "%s%s", i > 0 ? ", " : "", json_string_value(name));
    }
    fl_buf_puts(out, json_array_size(left_out) > 0 ? ".</p>\n" : "none.</p>\n");
}

static void add_fairness(fl_buf *out, const json_t *report)
{
    const json_t *f = json_object_get(report, "fairness");
    const char *metric = fl_json_get_string(f, "metric", "auc");
    report_html_section(out, "fairness", "Fairness between hospitals");
    report_html(out,
                "<p>How evenly the shared model serves the %lld hospitals whose %s is "
                "defined.</p>\n<dl>\n",
                (long long)fl_json_get_int(f, "n_sites", 0), report_metric_label(metric));
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
        fl_buf what = FL_BUF_INIT;
        fl_buf_printf(&what, "Gap between groups by %s", attribute);
        report_fact_number(out, what.data,
                           json_is_number(gap) ? json_number_value(gap) : report_value(gap), 3);
        fl_buf_clear(&what);
    }
    fl_buf_puts(out, "</dl>\n");
    add_new_hospital(out, report);
    report_html_section_end(out);
}

static void add_security(fl_buf *out, const json_t *report)
{
    static const char *const columns[] = {"Time", "Address", "What", "Reason", "#Times", NULL};
    const json_t *security = json_object_get(report, "security");
    const json_t *refusals = json_object_get(security, "refusals"), *item;
    size_t i;
    report_html_section(out, "security", "Security");
    fl_buf_puts(out, "<dl>\n");
    report_fact(out, "Transport", fl_json_get_string(security, "transport", ""));
    fl_buf_puts(out, "</dl>\n");
    if (json_array_size(refusals) == 0) {
        fl_buf_puts(out, "<p>Nothing was refused.</p>\n");
    } else {
        fl_buf_puts(out, "<p>Refused and recorded; the run went on.</p>\n");
        report_html_table(out, REPORT_WIDE, columns);
        json_array_foreach(refusals, i, item) {
            char times[REPORT_NUMBER_BYTES];
            report_html(
                out,
                "<tr><td>%s</td><td>%s</td><td class=\"text\">%s</td><td class=\"text\">%s</td>"
                "<td class=\"n\">%s</td></tr>\n",
                fl_json_get_string(item, "time", ""), fl_json_get_string(item, "address", ""),
                fl_json_get_string(item, "what", ""), fl_json_get_string(item, "reason", ""),
                report_count(times, fl_json_get_int(item, "count", 1)));
        }
        report_html_table_end(out);
    }
    report_html_section_end(out);
}

static void add_rules(fl_buf *out, const json_t *report, const char *metric)
{
    report_html_section(out, "rules", "How this page chooses its words");
    report_verdict_rules(out, report, metric);
    fl_buf_puts(out,
                "<p>The first sentence counts hospitals at which both models have a value. "
                "Worst and best hospital are by the value, not by the interval. What cannot be "
                "computed is shown as a dash with the reason, never as 0 or 0.5.</p>\n");
    report_html_section_end(out);
}

fl_status report_write_index(const json_t *report, const char *path, fl_err *err)
{
    const char *metric = report_main_metric(report);
    char time[REPORT_NUMBER_BYTES];
    fl_buf out = FL_BUF_INIT, eyebrow = FL_BUF_INIT;
    fl_buf_printf(&eyebrow, "Report of a federated run \xc2\xb7 %s \xc2\xb7 %s",
                  fl_json_get_string(report, "federation", fl_json_get_string(report, "run", "")),
                  report_time(time, fl_json_get_string(report, "created", "")));
    report_html_begin(&out, report, eyebrow.data, fl_json_get_string(report, "job", "run"));
    add_summary(&out, report, metric);
    add_tiles(&out, report, metric);
    add_sites(&out, report, metric);
    add_charts(&out, report, metric);
    add_fairness(&out, report);
    report_selection_section(&out, report);
    report_privacy_section(&out, report);
    add_rounds(&out, report);
    add_security(&out, report);
    report_model_section(&out, report);
    add_rules(&out, report, metric);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    fl_buf_clear(&eyebrow);
    return st;
}
