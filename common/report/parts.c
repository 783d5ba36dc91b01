/*
 * parts.c - see parts.h
 */
#include "report/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

/* ---------------------------------------------------------------- verdicts */

const char *report_verdict_class(report_verdict v)
{
    return v == REPORT_HELPS    ? "good"
           : v == REPORT_HURTS  ? "bad"
           : v == REPORT_UNSURE ? "unsure"
                                : "";
}

void report_verdict_cell(fl_buf *out, const char *column, report_verdict v)
{
    static const char *const signs[] = {
        [REPORT_HELPS] = "\xe2\x96\xb2",  // up
        [REPORT_HURTS] = "\xe2\x96\xbc",  // down
        [REPORT_SAME] = "\xe2\x89\x88",   // about equal
        [REPORT_UNSURE] = "?",
        [REPORT_NO_VERDICT] = "\xe2\x80\x93",  // dash
    };
    report_html(out, "<td data-l=\"%s\"><span class=\"chip %s\">%s %s</span></td>", column,
                report_verdict_class(v), signs[v], report_verdict_word(v));
}

void report_verdict_rules(fl_buf *out, const json_t *report, const char *metric)
{
    const char *label = report_metric_label(metric);
    char margin[REPORT_NUMBER_BYTES];
    report_number(margin, report_margin(report, metric), 3);
    report_html(out,
                "<p>The benefit of joining is the %s of the shared model minus that of the "
                "hospital's own model, which had as many training steps and was chosen on the "
                "hospital's validation data; both are judged on the same test cases, so the "
                "interval is paired. The smallest difference that matters was declared before the "
                "run: %s.</p>\n<ul>\n",
                label, report_margin(report, metric) > 0 ? margin : "none was, so any counts");
    report_html(
        out,
        "<li><b>helps</b>: the 95 %% interval lies wholly on the better side of 0, and the "
        "difference is at least %s.</li>\n"
        "<li><b>hurts</b>: the same on the worse side.</li>\n"
        "<li><b>no difference</b>: the interval lies wholly within %s of 0.</li>\n"
        "<li><b>cannot tell</b>: none of these; more cases would be needed.</li>\n"
        "<li><b>not judged</b>: there is no interval; the reason stands beside it.</li>\n"
        "<li><b>few cases</b>: under %d test cases of either class. Below 10 no interval of "
        "the AUC is given.</li>\n</ul>\n",
        margin, margin, REPORT_FEW);
}

/* ------------------------------------------------------------------- facts */

void report_fact(fl_buf *out, const char *what, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        report_html(out, "<dt>%s</dt><dd>%s</dd>\n", what, value);
    }
}

void report_fact_number(fl_buf *out, const char *what, double value, int digits)
{
    char text[REPORT_NUMBER_BYTES];
    report_fact(out, what, isnan(value) ? NULL : report_number(text, value, digits));
}

static void fact_count(fl_buf *out, const char *what, const json_t *object, const char *key)
{
    char text[REPORT_NUMBER_BYTES];
    int64_t count = fl_json_get_int(object, key, -1);
    report_fact(out, what, count < 0 ? NULL : report_count(text, count));
}

int64_t report_n_positive(const json_t *site)
{
    static const char *const metrics[] = {"auc", "accuracy", "brier"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *figure = report_at(site, "models", "global", metrics[i], NULL);
        int64_t n = fl_json_get_int(figure, "n_positive", -1);
        if (n >= 0) {
            return n;
        }
    }
    return -1;
}

int64_t report_rarer_class(const json_t *site)
{
    int64_t positives = report_n_positive(site);
    int64_t n = fl_json_get_int(report_at(site, "models", "global", "accuracy", NULL), "n",
                                fl_json_get_int(site, "n_test", 0));
    return positives < 0 ? -1 : positives < n - positives ? positives : n - positives;
}

/* ---------------------------------------------------------------- sections */

static bool is_protected(const json_t *privacy)
{
    return json_is_true(json_object_get(privacy, "secure_aggregation")) ||
           strcmp(fl_json_get_string(privacy, "dp", "none"), "none") != 0;
}

void report_privacy_sentence(fl_buf *out, const json_t *report)
{
    static const char seen[] = "The coordinator could see each hospital's update";
    const json_t *privacy = json_object_get(report, "privacy");
    const char *statement = fl_json_get_string(privacy, "statement", "");
    fl_buf_puts(out, "<p class=\"privacy\"><b>Privacy.</b> ");
    if (!is_protected(privacy) && strstr(statement, seen) == NULL) {
        report_html(out, "%s. ", seen);
    }
    report_html(out, "%s</p>\n", statement);
}

void report_privacy_section(fl_buf *out, const json_t *report)
{
    const json_t *privacy = json_object_get(report, "privacy");
    report_html_section(out, "privacy", "Privacy: what left the hospitals");
    report_privacy_sentence(out, report);
    fl_buf_puts(out, "<dl>\n");
    report_fact(out, "Secure aggregation",
                json_is_true(json_object_get(privacy, "secure_aggregation")) ? "on" : "off");
    report_fact(out, "Differential privacy", fl_json_get_string(privacy, "dp", "none"));
    fl_buf_puts(out, "</dl>\n");
    size_t i;
    const json_t *item;
    const json_t *left = json_object_get(privacy, "left");
    if (json_array_size(left) > 0) {
        fl_buf_puts(out, "<p>What left a hospital, and nothing else:</p>\n<ul>\n");
        json_array_foreach(left, i, item) {
            report_html(out, "<li>%s</li>\n", json_string_value(item));
        }
        fl_buf_puts(out, "</ul>\n");
    }
    report_html_section_end(out);
}

static void add_threshold(fl_buf *out, const json_t *report)
{
    const json_t *threshold = json_object_get(report, "threshold");
    double value = fl_json_get_number(threshold, "value");
    double at = fl_json_get_number(threshold, "at");
    const char *rule = fl_json_get_string(threshold, "rule", "");
    char number[REPORT_NUMBER_BYTES], wanted[REPORT_NUMBER_BYTES];
    if (isnan(value)) {
        return;
    }
    fl_buf_puts(out, "<dt>Decision threshold</dt><dd>");
    report_html(out, "%s", report_number(number, value, 3));
    if (strcmp(rule, "sensitivity") == 0) {
        report_html(out, ", the largest with a sensitivity of at least %s",
                    report_number(wanted, at, 2));
    } else if (strcmp(rule, "youden") == 0) {
        fl_buf_puts(out, ", where sensitivity + specificity is largest");
    } else if (strcmp(rule, "fixed") == 0) {
        fl_buf_puts(out, ", fixed in the job");
    }
    if (strcmp(rule, "fixed") != 0) {
        report_html(out, " on the pooled score histograms of the %s split (%lld bins)",
                    fl_json_get_string(threshold, "split", "val"),
                    (long long)fl_json_get_int(threshold, "bins", 0));
    }
    fl_buf_puts(out, ". Frozen before any test split was opened.");
    report_html(out, " %s</dd>\n", fl_json_get_string(threshold, "why", ""));
}

void report_selection_section(fl_buf *out, const json_t *report)
{
    const json_t *select = json_object_get(report, "select");
    const char *metric = fl_json_get_string(select, "metric", "");
    int64_t round = fl_json_get_int(select, "round", -1);
    double value = fl_json_get_number(select, "value");
    int64_t opened = fl_json_get_int(report, "test_evaluations", -1);
    char number[REPORT_NUMBER_BYTES];
    report_html_section(out, "selection", "Selection and threshold");
    fl_buf_puts(out, "<p>Validation data chose the model and the threshold; test data judged "
                     "them.</p>\n<dl>\n");
    if (round >= 0) {
        bool best = strcmp(fl_json_get_string(select, "keep", "best"), "best") == 0;
        report_html(out, "<dt>Model</dt><dd>of round %lld, ", (long long)round);
        report_html(out,
                    best ? "the best by %s of the %s split" : "the last one (%s of the %s split",
                    report_metric_label(metric), fl_json_get_string(select, "split", "val"));
        if (!isnan(value)) {
            report_html(out, ": %s", report_number(number, value, 3));
        }
        report_html(out, "%s %s</dd>\n", best ? "" : ")", fl_json_get_string(select, "why", ""));
    }
    add_threshold(out, report);
    if (opened >= 0) {
        report_html(out, "<dt>Test data</dt><dd>%s%s</dd>\n",
                    opened == 0   ? "never opened"
                    : opened == 1 ? "opened once at each hospital, for the selected model"
                                  : "opened more than once at some hospital: ",
                    opened > 1 ? report_count(number, opened) : "");
    }
    const json_t *evaluation = json_object_get(report, "evaluation");
    fact_count(out, "Smallest subgroup shown (patients)", evaluation, "min_cell");
    fact_count(out, "Bins of score histograms", evaluation, "histogram_bins");
    fl_buf_puts(out, "</dl>\n");
    report_html_section_end(out);
}

/* "mu 0.01, beta 0.9" */
static void add_settings(fl_buf *out, const json_t *settings)
{
    const char *key;
    json_t *value;
    bool first = true;
    report_each_member(settings, key, value) {
        char number[REPORT_NUMBER_BYTES] = "";
        if (json_is_integer(value)) {
            report_count(number, json_integer_value(value));
        } else if (json_is_real(value)) {
            snprintf(number, sizeof number, "%.6g", json_real_value(value));
        } else if (json_is_boolean(value)) {
            snprintf(number, sizeof number, json_is_true(value) ? "yes" : "no");
        }
        report_html(out, "%s%s %s", first ? "" : ", ", key,
                    json_is_string(value) ? json_string_value(value) : number);
        first = false;
    }
}

static void add_facts_of(fl_buf *out, const char *what, const json_t *value)
{
    if (json_is_string(value)) {
        report_fact(out, what, json_string_value(value));
    } else if (json_is_object(value) && json_object_size(value) > 0) {
        report_html(out, "<dt>%s</dt><dd>", what);
        add_settings(out, value);
        fl_buf_puts(out, "</dd>\n");
    }
}

void report_model_section(fl_buf *out, const json_t *report)
{
    const json_t *model = json_object_get(report, "model");
    const json_t *environment = json_object_get(report, "environment");
    const char *sha256 = fl_json_get_string(model, "sha256", "");
    char number[REPORT_NUMBER_BYTES];
    report_html_section(out, "model", "Model, strategy and environment");
    fl_buf_puts(out, "<dl>\n");
    report_fact(out, "Model", fl_json_get_string(model, "name", ""));
    report_fact(out, "Architecture", fl_json_get_string(model, "paper", ""));
    fact_count(out, "Parameters", model, "parameters");
    if (sha256[0] != '\0') {
        report_html(out, "<dt>model.sha256</dt><dd><code>%s</code></dd>\n", sha256);
    }
    report_fact(out, "Strategy", fl_json_get_string(report, "strategy", ""));
    add_facts_of(out, "Settings", json_object_get(report, "strategy_settings"));
    report_fact(out, "Described in", fl_json_get_string(report, "strategy_paper", ""));
    report_fact(out, "Seed", report_count(number, fl_json_get_int(report, "seed", 0)));
    report_fact(out, "Consilium", fl_json_get_string(environment, "consilium", ""));
    report_fact(out, "Training in", fl_json_get_string(environment, "precision", ""));
    add_facts_of(out, "Coordinator", json_object_get(environment, "coordinator"));
    const char *site;
    json_t *text;
    report_each_member(json_object_get(environment, "sites"), site, text) {
        add_facts_of(out, site, text);
    }
    fl_buf_puts(out,
                "</dl>\n<p class=\"note\">Same bits again: same program and libraries, same "
                "CPU features, same threads a site, same recorded hospitals of every round, no "
                "privacy noise.</p>\n");
    report_html_section_end(out);
}
