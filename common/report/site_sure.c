/*
 * site_sure.c - how sure the model is, on a hospital's page (site_parts.h)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/charts.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* How each way of looking is explained; "mc:30" begins with its name. */
static const struct {
    const char *how, *text;
} ways[] = {
    {"one", REPORT_N("How sure the model is, by its scores alone.")},
    {"mc", REPORT_N("How sure the model is, by passes in which parts of it are left out at random "
                    "(dropout).")},
    {"tta", REPORT_N("How sure the model is, by turned and flipped images.")},
    {"ensemble", REPORT_N("How sure the models are, by how far they agree.")},
};

static const struct {
    const char *measure, *label;
} labels[] = {
    {"expected_error", REPORT_N("expected Dice error")},
    {"vacuity", REPORT_N("lack of evidence")},
    {"entropy", REPORT_N("entropy")},
    {"information", REPORT_N("disagreement (mutual information)")},
    {"variance", REPORT_N("variance over the predictions")},
    {"spread", REPORT_N("spread of the predictions (standard deviation)")},
};

/* What is an error, and whether an error is a call, right or wrong. */
static const struct {
    const char *error_of, *text;
    bool is_call;
} errors[] = {
    {"calls", REPORT_N("the share of wrong calls"), true},
    {"outlines", REPORT_N("1 less the Dice coefficient"), false},
    {"findings", REPORT_N("the share of a case's findings that are called wrongly"), false},
    {"numbers", REPORT_N("the absolute difference from the truth"), false},
};

/* Reports of before have no "error_of". */
static size_t error_of(const json_t *u)
{
    enum { CALLS, OUTLINES };
    const char *name = fl_json_get_string(u, "error_of", "");
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strcmp(errors[i].error_of, name) == 0) {
            return i;
        }
    }
    return json_object_get(u, "lesions") != NULL ? OUTLINES : CALLS;
}

static const char *label_of(const report_page *out, const char *measure)
{
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        if (strcmp(labels[i].measure, measure) == 0) {
            return report_word(out, labels[i].label);
        }
    }
    return measure;
}

static void open_note(report_page *out)
{
    report_html(out, "<p class=\"note\">");
}

static void close_note(report_page *out)
{
    report_html(out, "</p>\n");
}

static void add_way(report_page *out, const json_t *u)
{
    const char *how = fl_json_get_string(u, "how", "");
    size_t n = strcspn(how, ":");
    open_note(out);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strlen(ways[i].how) == n && strncmp(ways[i].how, how, n) == 0) {
            report_html(out, "%s ", report_word(out, ways[i].text));
        }
    }
    report_say(out, "Predictions of each case: %lld. Error: %s. Cases are ranked by: %s.",
               (long long)fl_json_get_int(u, "members", 1),
               report_word(out, errors[error_of(u)].text),
               label_of(out, fl_json_get_string(u, "measure", "")));
    close_note(out);
}

/* --------------------------------------------------------- what it is good for */

/* What referring does, in words that the page's rules explain. */
static void add_lead(report_page *out, const json_t *u)
{
    const json_t *refer = json_object_get(u, "refer"), *cut = json_object_get(refer, "cut");
    double low = fl_json_get_number(cut, "ci_low"), high = fl_json_get_number(cut, "ci_high");
    char share[REPORT_NUMBER_BYTES], rest[REPORT_NUMBER_BYTES], all[REPORT_NUMBER_BYTES];
    char part[REPORT_NUMBER_BYTES];
    report_html(out, "<p>%s",
                report_word(out, low > 0    ? REPORT_N("Uncertainty marks the errors here.")
                                 : high < 0 ? REPORT_N("Uncertainty misleads here: the model errs "
                                                       "more where it is surer.")
                                            : REPORT_N("Whether uncertainty marks the errors "
                                                       "cannot be told from these cases.")));
    report_html(out, " ");
    if (isnan(report_value(cut))) {
        report_told(out, fl_json_get_string(cut, "why", ""));
    } else {
        report_say(out,
                   "When the least sure %s of cases are referred, the error of the rest is %s "
                   "instead of %s: ",
                   report_percent(share, out->language, fl_json_get_number(refer, "share"), 3),
                   report_number(rest, out->language,
                                 report_value(json_object_get(refer, "error_kept")), 2),
                   report_number(all, out->language, report_value(json_object_get(u, "error")), 2));
        report_figure_text(part, out->language, cut, 2, false);
        if (report_value(cut) >= 0) {
            report_say(out, "referring cuts %s of it.", part);
        } else {
            report_say(out, "referring cuts nothing of it (%s).", part);
        }
    }
    report_html(out, "</p>\n");
}

static void add_row(report_page *out, const char *what, const json_t *figure)
{
    report_html(out, "<tr>");
    report_html_cell(out, "Figure", false);
    report_html(out, "%s</td>", what);
    report_html_figure(out, "Value", figure, 2, false);
    report_html_count(out, "Cases", fl_json_get_int(figure, "n", 0));
    report_html(out, "</tr>\n");
}

/* A row a measure: does it tell the wrong calls, or go with the error? */
static void add_measures(report_page *out, const json_t *measures, bool calls)
{
    static const char *const of_calls[] = {REPORT_N("Measure"),
                                           "#" REPORT_N("Tells wrong calls (AUROC)"),
                                           "#" REPORT_N("Cases"), NULL};
    static const char *const of_errors[] = {REPORT_N("Measure"),
                                            "#" REPORT_N("Correlation with the error"),
                                            "#" REPORT_N("Rank correlation"),
                                            "#" REPORT_N("Cases"), NULL};
    const char *const *columns = calls ? of_calls : of_errors;
    const char *const keys[] = {calls ? "auroc" : "pearson", calls ? NULL : "spearman"};
    const char *name;
    const json_t *measure;
    report_html_table(out, REPORT_CARDS, columns);
    json_object_foreach((json_t *)measures, name, measure) {
        report_html(out, "<tr>");
        report_html_cell(out, columns[0], false);
        report_html(out, "%s</td>", label_of(out, name));
        for (size_t i = 0; i < 2 && keys[i] != NULL; i++) {
            report_html_figure(out, columns[1 + i] + 1, json_object_get(measure, keys[i]), 2,
                               false);
        }
        report_html_count(out, "Cases",
                          fl_json_get_int(json_object_get(measure, keys[0]), "n", 0));
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
}

static void add_tables(report_page *out, const json_t *u)
{
    static const char *const columns[] = {REPORT_N("Figure"), "#" REPORT_N("Value"),
                                          "#" REPORT_N("Cases"), NULL};
    const json_t *refer = json_object_get(u, "refer"), *lesions = json_object_get(u, "lesions");
    char share[REPORT_NUMBER_BYTES];
    report_html_table(out, REPORT_CARDS, columns);
    add_row(out, report_word(out, "error of all cases"), json_object_get(u, "error"));
    report_page what = REPORT_PAGE(out->language);
    report_plain(&what, "error of the rest, the least sure %s referred",
                 report_percent(share, out->language, fl_json_get_number(refer, "share"), 3));
    add_row(out, what.text.data, json_object_get(refer, "error_kept"));
    report_page_clear(&what);
    add_row(out, report_word(out, "share of the error that referring cuts"),
            json_object_get(refer, "cut"));
    if (lesions != NULL) {
        add_row(out, report_word(out, "lesions: entropy tells the false ones (AUROC)"),
                json_object_get(lesions, "auroc"));
    }
    report_html_table_end(out);
    add_measures(out, json_object_get(u, "measures"), errors[error_of(u)].is_call);
}

static void add_target(report_page *out, const json_t *u)
{
    const json_t *target = json_object_get(u, "target");
    double error = fl_json_get_number(target, "error"), share = fl_json_get_number(target, "share");
    char a[REPORT_NUMBER_BYTES], b[REPORT_NUMBER_BYTES];
    if (isnan(share)) {
        return;
    }
    open_note(out);
    if (share >= 1) {
        report_say(out, "Referring the least sure cases does not bring the error down to %s.",
                   report_number(a, out->language, error, 2));
    } else {
        report_say(out, "To bring the error down to %s, the least sure %s of cases must be "
                        "referred.",
                   report_number(a, out->language, error, 2),
                   report_percent(b, out->language, share, 3));
    }
    close_note(out);
}

static void add_flag(report_page *out, const json_t *u)
{
    const json_t *flag = json_object_get(u, "flag");
    char a[REPORT_NUMBER_BYTES], b[REPORT_NUMBER_BYTES];
    open_note(out);
    if (isnan(fl_json_get_number(flag, "limit"))) {
        report_say(out, "No case is flagged:");
        report_html(out, " ");
        report_told(out, fl_json_get_string(flag, "why", ""));
    } else {
        report_say(out,
                   "Flagged, by a limit that was set on validation: %lld of %lld cases. Their error "
                   "is %s, that of the others %s.",
                   (long long)fl_json_get_int(flag, "n_flagged", 0),
                   (long long)fl_json_get_int(flag, "n", 0),
                   report_number(a, out->language, fl_json_get_number(flag, "error_flagged"), 2),
                   report_number(b, out->language, fl_json_get_number(flag, "error_rest"), 2));
    }
    close_note(out);
}

/* ---------------------------------------------------------- findings, numbers */

static void add_finding(report_page *out, const json_t *f, bool several)
{
    int64_t n = fl_json_get_int(f, "n", -1);
    report_html(out, "<tr>");
    report_html_cell(out, "Finding", false);
    report_html_text(out, fl_json_get_string(f, "class", ""));
    report_html(out, "</td>");
    if (n < 0) {
        report_not_shown(out, f, several ? 4 : 3);
    } else {
        report_html_count(out, "Cases", n);
        report_html_count(out, "Called wrongly", fl_json_get_int(f, "n_wrong", 0));
        report_html_figure(out, "Entropy tells them", json_object_get(f, "entropy"), 2, false);
        if (several) {
            report_html_figure(out, "Disagreement tells them", json_object_get(f, "information"), 2,
                               false);
        }
    }
    report_html(out, "</tr>\n");
}

/* A row a finding: does its own doubt tell where it is called wrongly? */
static void add_findings(report_page *out, const json_t *u)
{
    enum { DISAGREEMENT = 4 };
    const char *columns[] = {REPORT_N("Finding"),
                             "#" REPORT_N("Cases"),
                             "#" REPORT_N("Called wrongly"),
                             "#" REPORT_N("Entropy tells them"),
                             "#" REPORT_N("Disagreement tells them"),
                             NULL};
    const json_t *list = json_object_get(u, "findings"), *f;
    bool several = fl_json_get_int(u, "members", 1) > 1;
    size_t i;
    columns[DISAGREEMENT] = several ? columns[DISAGREEMENT] : NULL;
    open_note(out);
    report_say(out, "Each finding has a doubt of its own: AUROC of its entropy for the cases where "
                    "this finding is called wrongly. Half is chance.");
    close_note(out);
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(list, i, f) {
        add_finding(out, f, several);
    }
    report_html_table_end(out);
}

/* How large the spread is beside the errors that it ranks. */
static void add_spread(report_page *out, const json_t *u)
{
    double spread = fl_json_get_number(report_at(u, "measures", "spread", NULL), "mean");
    double error = report_value(json_object_get(u, "error"));
    char a[REPORT_NUMBER_BYTES], b[REPORT_NUMBER_BYTES];
    if (isnan(spread) || isnan(error)) {
        return;
    }
    open_note(out);
    report_say(out,
               "Mean spread: %s; mean error: %s. The spread ranks cases; it does not say how large "
               "an error is, for what the data leave open is not in it.",
               report_number(a, out->language, spread, 2),
               report_number(b, out->language, error, 2));
    close_note(out);
}

/* ------------------------------------------------------ temperature, conformal */

static void add_temperature(report_page *out, const json_t *site, const json_t *temperature)
{
    static const char *const columns[] = {REPORT_N("Figure"), "#" REPORT_N("As it is"),
                                          "#" REPORT_N("At the temperature"), NULL};
    double value = fl_json_get_number(temperature, "value");
    char number[REPORT_NUMBER_BYTES];
    open_note(out);
    if (isnan(value)) {
        report_say(out, "Scores are left as they are:");
        report_html(out, " ");
        report_told(out, fl_json_get_string(temperature, "why", ""));
        close_note(out);
        return;
    }
    report_say(out, "Temperature %s, fitted on the validation cases of all hospitals.",
               report_number(number, out->language, value, 2));
    report_html(out, " %s %s",
                value > 1 ? report_word(out, "Above 1: over all hospitals the scores are too sure.")
                          : report_word(out, "Below 1: over all hospitals the scores are less sure "
                                             "than they could be."),
                report_word(out, "It changes no order of cases."));
    close_note(out);
    report_html_table(out, REPORT_CARDS, columns);
    const char *metric;
    const json_t *figure;
    json_object_foreach(json_object_get(temperature, "metrics"), metric, figure) {
        report_html(out, "<tr>");
        report_html_cell(out, "Figure", false);
        report_html(out, "%s</td>", report_label(out, metric));
        report_html_figure(out, "As it is", report_at(site, "models", "global", metric, NULL), 3,
                           false);
        report_html_figure(out, "At the temperature", figure, 3, false);
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
}

static void add_conformal(report_page *out, const json_t *conformal)
{
    char goal[REPORT_NUMBER_BYTES], single[REPORT_NUMBER_BYTES], empty[REPORT_NUMBER_BYTES];
    if (isnan(fl_json_get_number(conformal, "quantile"))) {
        open_note(out);
        report_say(out, "There are no conformal sets:");
        report_html(out, " ");
        report_told(out, fl_json_get_string(conformal, "why", ""));
        close_note(out);
        return;
    }
    bool own = strcmp(fl_json_get_string(conformal, "source", ""), "own") == 0;
    open_note(out);
    report_say(out,
               "Conformal sets name every class that cannot be excluded; they are to hold the true "
               "one in %s of cases.",
               report_percent(goal, out->language, 1 - fl_json_get_number(conformal, "alpha"), 3));
    report_html(out, " %s",
                own ? report_word(out, "Calibrated on this hospital's own validation cases.")
                    : report_word(out, "Pooled: calibrated on counts of all hospitals' validation "
                                       "cases, for this one has fewer than 200. It holds over all "
                                       "hospitals, not for each."));
    close_note(out);
    static const char *const columns[] = {REPORT_N("Figure"), "#" REPORT_N("Value"),
                                          "#" REPORT_N("Cases"), NULL};
    report_html_table(out, REPORT_CARDS, columns);
    add_row(out, report_word(out, "sets that hold the true class"),
            json_object_get(conformal, "coverage"));
    add_row(out, report_word(out, "classes in a set"), json_object_get(conformal, "set_size"));
    report_html_table_end(out);
    open_note(out);
    report_say(out, "Sets of one class: %s; empty ones, which are like no class: %s.",
               report_percent(single, out->language, fl_json_get_number(conformal, "single"), 3),
               report_percent(empty, out->language, fl_json_get_number(conformal, "empty"), 3));
    close_note(out);
}

/* ------------------------------------------------------------------ under shift */

/* Mean of a figure over the points where it has a value; NAN: none. */
static double mean_of(const json_t *points, const char *key)
{
    double sum = 0;
    size_t n = 0, i;
    const json_t *point;
    json_array_foreach(points, i, point) {
        double value = report_value(json_object_get(point, key));
        sum += isnan(value) ? 0 : value;
        n += !isnan(value);
    }
    return n > 0 ? sum / (double)n : NAN;
}

static void add_shift_lead(report_page *out, const json_t *u, const json_t *points)
{
    double error = mean_of(points, "error"), kept = mean_of(points, "error_kept");
    double coverage = mean_of(points, "coverage");
    double alpha = fl_json_get_number(json_object_get(u, "conformal"), "alpha");
    char a[REPORT_NUMBER_BYTES], b[REPORT_NUMBER_BYTES];
    report_html(out, "<p>");
    if (!isnan(error) && !isnan(kept)) {
        report_say(out,
                   "Mean error over all shifts and severities: %s; of the cases that are kept when "
                   "the least sure are referred: %s.",
                   report_number(a, out->language, error, 2),
                   report_number(b, out->language, kept, 2));
    }
    if (!isnan(coverage)) {
        report_html(out, " ");
        report_say(out,
                   "The sets, calibrated on images as they are, hold the true class in %s of cases "
                   "where %s was the aim.",
                   report_percent(a, out->language, coverage, 3),
                   report_percent(b, out->language, 1 - alpha, 3));
    }
    report_html(out, "</p>\n");
}

static void add_shift_row(report_page *out, const json_t *point, bool sets)
{
    const json_t *tells = json_object_get(point, "auroc");
    char share[REPORT_NUMBER_BYTES];
    report_html(out, "<tr>");
    report_html_cell(out, "Shift", false);
    char *shift = report_shift_text(out, fl_json_get_string(point, "shift", ""));
    report_html(out, "%s</td>", shift);
    free(shift);
    report_html_figure(out, "Error", json_object_get(point, "error"), 2, false);
    report_html_figure(out, "Error of the rest", json_object_get(point, "error_kept"), 2, false);
    report_html_figure(out, "Doubt tells errors",
                       tells != NULL ? tells : json_object_get(point, "pearson"), 2, false);
    report_html_cell(out, "Flagged", true);
    double flagged = fl_json_get_number(point, "flagged");
    report_html(out, "%s</td>",
                isnan(flagged) ? "\xe2\x80\x93" : report_percent(share, out->language, flagged, 3));
    if (sets) {
        report_html_figure(out, "Sets hold the class", json_object_get(point, "coverage"), 2,
                           false);
    }
    report_html(out, "</tr>\n");
}

/* The strongest severity of every shift. */
static void add_shifts(report_page *out, const json_t *u)
{
    enum { SETS = 5 };
    const char *columns[] = {REPORT_N("Shift"),
                             "#" REPORT_N("Error"),
                             "#" REPORT_N("Error of the rest"),
                             "#" REPORT_N("Doubt tells errors"),
                             "#" REPORT_N("Flagged"),
                             "#" REPORT_N("Sets hold the class"),
                             NULL};
    const json_t *points = json_object_get(u, "shift"), *point;
    bool sets = !isnan(mean_of(points, "coverage"));
    int64_t most = 0;
    size_t i;
    columns[SETS] = sets ? columns[SETS] : NULL;
    json_array_foreach(points, i, point) {
        int64_t severity = fl_json_get_int(point, "severity", 0);
        most = severity > most ? severity : most;
    }
    add_shift_lead(out, u, points);
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(points, i, point) {
        if (fl_json_get_int(point, "severity", 0) == most) {
            add_shift_row(out, point, sets);
        }
    }
    report_html_table_end(out);
    open_note(out);
    report_say(out,
               "At severity %lld; whatever was set on images as they are, such as the limit, stays "
               "so, as if nobody had noticed the shift. Flagged: a dash where few cases are on one "
               "side.",
               (long long)most);
    close_note(out);
}

void report_site_sure(report_page *out, const json_t *site)
{
    const json_t *u = json_object_get(site, "uncertainty");
    const json_t *temperature = json_object_get(u, "temperature");
    const json_t *conformal = json_object_get(u, "conformal");
    if (u == NULL) {
        return;
    }
    report_html_section(out, "sure", "How sure it is, and what that is good for");
    add_lead(out, u);
    add_way(out, u);
    report_html(out, "<div class=\"grid\">\n<div>\n");
    add_tables(out, u);
    report_html(out, "</div>\n");
    if (json_array_size(json_object_get(u, "risk_coverage")) > 2) {
        report_chart_risk(out, site, 5);
    }
    report_html(out, "</div>\n");
    add_spread(out, u);
    add_target(out, u);
    add_flag(out, u);
    if (json_array_size(json_object_get(u, "findings")) > 0) {
        report_html(out, "<h3>%s</h3>\n", report_word(out, "Finding by finding"));
        add_findings(out, u);
    }
    if (temperature != NULL) {
        report_html(out, "<h3>%s</h3>\n", report_word(out, "Scores at one temperature"));
        add_temperature(out, site, temperature);
    }
    if (conformal != NULL) {
        report_html(out, "<h3>%s</h3>\n", report_word(out, "Sets of classes (conformal)"));
        add_conformal(out, conformal);
    }
    if (json_array_size(json_object_get(u, "shift")) > 0) {
        report_html(out, "<h3>%s</h3>\n", report_word(out, "Again under shift"));
        add_shifts(out, u);
    }
    report_html_section_end(out);
}

void report_site_explanations(report_page *out, const json_t *site)
{
    const char *method = fl_json_get_string(json_object_get(site, "explanations"), "method", NULL);
    if (method == NULL) {
        return;
    }
    report_html_section(out, "explanations", "What its answers rest on");
    report_html(out, "<p>");
    report_say(out,
               "Maps of what speaks for an answer (%s) were drawn over the test cases that the shared "
               "model is most wrong about. They show cases, so they lie in the hospital alone: "
               "worst/index.html in the run's folder. client explain draws them for any other case.",
               method);
    report_html(out, "</p>\n<p class=\"note\">");
    report_say(out,
               "How they were validated: the arithmetic, against other implementations. Whether they "
               "point at what a reader would point at was not tested on these cases.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}
