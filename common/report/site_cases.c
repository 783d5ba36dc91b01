/*
 * site_cases.c - which cases a hospital's page rests on (site_parts.h)
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

/* --------------------------------------------------------- flow and table 1 */

static void flow_box(report_page *out, const json_t *object, const char *key, const char *what)
{
    int64_t n = fl_json_get_int(object, key, -1);
    char text[REPORT_NUMBER_BYTES];
    if (n >= 0) {
        report_html(out, "<div><b>%s</b>%s</div>\n", report_count(text, out->language, n),
                    report_word(out, what));
    }
}

/* The cases of a split that have a label: nothing else is trained on or judged by.  Reports of
 * older clients do not say how many those are. */
static void split_box(report_page *out, const json_t *flow, const char *split, const char *what)
{
    const json_t *labelled = json_object_get(flow, "labelled");
    flow_box(out, labelled != NULL ? labelled : json_object_get(flow, "analysed"), split, what);
}

static void unlabelled_box(report_page *out, const json_t *flow)
{
    static const struct {
        const char *split, *what;
    } of[] = {{"train", REPORT_N("training")},
              {"val", REPORT_N("validation")},
              {"test", REPORT_N("test")}};
    const json_t *labelled = json_object_get(flow, "labelled"),
                 *analysed = json_object_get(flow, "analysed");
    char text[REPORT_NUMBER_BYTES];
    bool any = false;
    for (size_t i = 0; i < 3 && labelled != NULL; i++) {
        int64_t n = fl_json_get_int(analysed, of[i].split, 0) -
                    fl_json_get_int(labelled, of[i].split, 0);
        if (n <= 0) {
            continue;
        }
        if (!any) {
            report_html(out, "<div class=\"out\"><b>%s</b>", report_word(out, "without a label"));
        }
        any = true;
        report_html(out, "%s", report_word(out, of[i].what));
        report_say(out, ": %s", report_count(text, out->language, n));
        report_html(out, "<br>");
    }
    if (any) {
        report_html(out, "</div>\n");
    }
}

static void refused_box(report_page *out, const json_t *refused)
{
    char text[REPORT_NUMBER_BYTES];
    const char *reason;
    json_t *n;
    if (json_object_size(refused) == 0) {
        return;
    }
    report_html(out, "<div class=\"out\"><b>%s</b>", report_word(out, "refused"));
    report_each_member(refused, reason, n) {
        report_told(out, reason);
        report_say(out, ": %s", report_count(text, out->language, json_integer_value(n)));
        report_html(out, "<br>");
    }
    report_html(out, "</div>\n");
}

void report_site_flow(report_page *out, const json_t *site)
{
    const json_t *flow = json_object_get(site, "flow");
    const char *standard = fl_json_get_string(site, "reference_standard", "not provided");
    char text[REPORT_NUMBER_BYTES];
    if (!json_is_object(flow)) {
        return;
    }
    report_html_section(out, "flow", "Which cases this rests on");
    report_html(out, "<div class=\"flow\">\n");
    flow_box(out, flow, "files", REPORT_N("files found"));
    refused_box(out, json_object_get(flow, "refused"));
    flow_box(out, flow, "cases", REPORT_N("cases"));
    flow_box(out, flow, "patients", REPORT_N("patients"));
    unlabelled_box(out, flow);
    split_box(out, flow, "train", REPORT_N("cases trained on"));
    split_box(out, flow, "val", REPORT_N("cases to choose with"));
    split_box(out, flow, "test", REPORT_N("cases to judge with"));
    report_html(out, "</div>\n<dl>\n");
    char *told = report_told_text(out, standard);  // the simulator writes one, too
    report_fact(out, "Reference standard",
                strcmp(standard, "not provided") == 0
                    ? report_word(out, "not provided by the hospital")
                    : told);
    free(told);
    double prevalence = fl_json_get_number(site, "prevalence");
    if (!isnan(prevalence)) {
        report_fact(out, "Prevalence declared by the hospital",
                    report_percent(text, out->language, prevalence, 3));
    }
    report_html(out, "</dl>\n");
    report_html_section_end(out);
}

static const char *const splits[] = {"train", "val", "test"};

static const json_t *table1_split(const json_t *site, size_t s)
{
    return report_at(site, "table1", splits[s], NULL);
}

static void hidden_cell(report_page *out)
{
    report_html(out, "<td class=\"n\"><span class=\"soft\">%s</span></td>",
                report_word(out, "hidden"));
}

/* A cell "12 (3 %)"; null is a number too small to be shown. */
static void share_cell(report_page *out, const json_t *counts, const char *key, int64_t n)
{
    char text[REPORT_NUMBER_BYTES];
    int64_t count = fl_json_get_int(counts, key, -1);
    if (json_is_null(json_object_get(counts, key))) {
        hidden_cell(out);
    } else if (count < 0) {
        report_html(out, "<td class=\"n\"></td>");
    } else if (n > 0) {
        report_html(out, "<td class=\"n\">%s <span class=\"soft\">(%d %%)</span></td>",
                    report_count(text, out->language, count),
                    (int)lround(100.0 * (double)count / (double)n));
    } else {
        report_html(out, "<td class=\"n\">%s</td>", report_count(text, out->language, count));
    }
}

static void table1_counts(report_page *out, const json_t *site, const char *key, const char *what)
{
    report_html(out, "<tr><td>%s</td>", report_word(out, what));
    for (size_t s = 0; s < 3; s++) {
        share_cell(out, table1_split(site, s), key, 0);
    }
    report_html(out, "</tr>\n");
}

/* A row for every key that some split counts a case of, or hides, in the
 * order of first sight.  group: "classes" or "attributes"; name: NULL, or the
 * member of it that holds the counts. */
static void table1_shares(report_page *out, const json_t *site, const char *group, const char *name)
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
        report_html(out, "<tr><td>%s%s%s</td>", name != NULL ? report_usual(out, name) : "",
                    name != NULL ? " " : "", report_usual(out, code));
        for (size_t s = 0; s < 3; s++) {
            const json_t *split = table1_split(site, s);
            share_cell(out, report_at(split, group, name, NULL), code,
                       fl_json_get_int(split, "n", 0));
        }
        report_html(out, "</tr>\n");
    }
    json_decref(seen);
}

static void table1_summary(report_page *out, const json_t *site, const char *attribute)
{
    report_html(out, "<tr><td>");
    report_say(out, "%s, mean (sd)", report_usual(out, attribute));
    report_html(out, "</td>");
    for (size_t s = 0; s < 3; s++) {
        const json_t *summary = report_at(table1_split(site, s), "attributes", attribute, NULL);
        char mean[REPORT_NUMBER_BYTES], sd[REPORT_NUMBER_BYTES];
        if (json_is_null(json_object_get(summary, "n"))) {
            hidden_cell(out);
            continue;
        }
        report_html(out, "<td class=\"n\">%s <span class=\"soft\">(%s)</span></td>",
                    report_number(mean, out->language, fl_json_get_number(summary, "mean"), 1),
                    report_number(sd, out->language, fl_json_get_number(summary, "sd"), 1));
    }
    report_html(out, "</tr>\n");
}

/* One label a case, or several that are each there or not. */
static void table1_classes(report_page *out, const json_t *site)
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

void report_site_table1(report_page *out, const json_t *report, const json_t *site)
{
    int64_t min_cell = fl_json_get_int(json_object_get(report, "evaluation"), "min_cell", -1);
    static const char *const columns[] = {"", "#" REPORT_N("Training"), "#" REPORT_N("Validation"),
                                          "#" REPORT_N("Test"), NULL};
    if (!json_is_object(json_object_get(site, "table1"))) {
        return;
    }
    report_html_section(out, "table1", "Who is in it, by split");
    report_html_table(out, REPORT_NARROW, columns);
    table1_counts(out, site, "n", REPORT_N("cases"));
    table1_counts(out, site, "patients", REPORT_N("patients"));
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
        report_html(out, "<p class=\"note\">");
        report_say(out, "Hidden: fewer than %lld patients, or needed to hide such a number.",
                   (long long)min_cell);
        report_html(out, "</p>\n");
    }
    report_html_section_end(out);
}

/* ---------------------------------------------------------------- problems */

void report_site_problems(report_page *out, const json_t *site)
{
    static const char *const columns[] = {REPORT_N("What"), REPORT_N("Where"),
                                          "#" REPORT_N("Cases"), NULL};
    const json_t *problems = json_object_get(site, "problems"), *item;
    size_t i;
    report_html_section(out, "problems", "Problems found in the data");
    if (json_array_size(problems) == 0) {
        report_html(out, "<p>");
        report_say(out, "None were found.");
        report_html(out, "</p>\n");
    } else {
        report_html_table(out, REPORT_NARROW, columns);
        json_array_foreach(problems, i, item) {
            char n[REPORT_NUMBER_BYTES];
            int64_t count = fl_json_get_int(item, "n", -1);
            report_html(out, "<tr><td class=\"text\">");
            report_told(out, fl_json_get_string(item, "what", ""));
            report_html(out, "</td><td class=\"text\">");
            report_told(out, fl_json_get_string(item, "where", ""));
            report_html(out, "</td><td class=\"n\">%s</td></tr>\n",
                        count < 0 ? "" : report_count(n, out->language, count));
        }
        report_html_table_end(out);
    }
    report_html_section_end(out);
}
