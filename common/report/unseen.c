/*
 * unseen.c - diseases that a hospital's training cases never showed, and what they are called
 *
 * Of a site's "unseen" (proto/REPORT.md): a section of its page, and a table of all hospitals
 * on the run's.
 */
#include <math.h>
#include <string.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

static const char *const models[] = {"global", "local"};
enum { N_MODELS = sizeof models / sizeof models[0] };

/* The figure of a class that a model calls the entry's cases; NULL: not there. */
static const json_t *share_of(const json_t *entry, const char *model, const char *class)
{
    const json_t *one;
    size_t i;
    json_array_foreach(report_at(entry, "models", model, "called", NULL), i, one) {
        if (strcmp(fl_json_get_string(one, "class", ""), class) == 0) {
            return json_object_get(one, "share");
        }
    }
    return NULL;
}

static const json_t *no_finding(const json_t *entry, const char *model)
{
    return report_at(entry, "models", model, "no_finding", NULL);
}

/* What a model calls them most often. */
static const json_t *most_called(const json_t *entry, const char *model)
{
    const json_t *one, *most = NULL;
    size_t i;
    json_array_foreach(report_at(entry, "models", model, "called", NULL), i, one) {
        double share = report_value(json_object_get(one, "share"));
        if (most == NULL || share > report_value(json_object_get(most, "share"))) {
            most = one;
        }
    }
    return most;
}

/* ------------------------------------------------------------ a hospital's page */

static void findings_sentence(report_page *out, const json_t *entry)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *own = no_finding(entry, "local");
    report_say(out,
               "Your training cases never showed %s, which %lld of your test cases have. The shared "
               "model sees no finding at all in this share of them: %s",
               fl_json_get_string(entry, "class", ""), (long long)fl_json_get_int(entry, "n", 0),
               report_figure_text(text, out->language, no_finding(entry, "global"), 2, false));
    if (own != NULL) {
        report_say(out, "; the model trained on your data alone in %s",
                   report_figure_text(text, out->language, own, 2, false));
    }
    report_html(out, ".");
}

static void classes_sentence(report_page *out, const json_t *entry)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *shared = most_called(entry, "global"), *own = most_called(entry, "local");
    report_say(out,
               "Your training cases never showed %s, which %lld of your test cases are. The shared "
               "model most often calls them %s: %s",
               fl_json_get_string(entry, "class", ""), (long long)fl_json_get_int(entry, "n", 0),
               fl_json_get_string(shared, "class", "-"),
               report_figure_text(text, out->language, json_object_get(shared, "share"), 2, false));
    if (own != NULL) {
        report_say(out, "; the model trained on your data alone %s: %s",
                   fl_json_get_string(own, "class", "-"),
                   report_figure_text(text, out->language, json_object_get(own, "share"), 2,
                                      false));
    }
    report_html(out, ".");
}

static void add_row(report_page *out, const char *called, const json_t *shared, const json_t *own)
{
    report_html(out, "<tr>");
    report_html_cell(out, "Called", false);
    report_html(out, "%s</td>", called);
    report_html_figure(out, "Shared model", shared, 2, false);
    report_html_figure(out, "Own model", own, 2, false);
    report_html(out, "</tr>\n");
}

static void add_entry(report_page *out, const json_t *entry)
{
    static const char *const columns[] = {REPORT_N("Called"), "#" REPORT_N("Shared model"),
                                          "#" REPORT_N("Own model"), NULL};
    const json_t *none = no_finding(entry, "global"), *one;
    size_t i;
    report_html(out, "<p>");
    if (none != NULL) {
        findings_sentence(out, entry);
    } else {
        classes_sentence(out, entry);
    }
    report_html(out, "</p>\n");
    report_html_table(out, REPORT_CARDS, columns);
    if (none != NULL) {
        add_row(out, report_word(out, "no finding"), none, no_finding(entry, "local"));
    }
    json_array_foreach(report_at(entry, "models", "global", "called", NULL), i, one) {
        const char *class = fl_json_get_string(one, "class", "");
        add_row(out, class, json_object_get(one, "share"), share_of(entry, "local", class));
    }
    report_html_table_end(out);
}

void report_site_unseen(report_page *out, const json_t *site)
{
    const json_t *entry;
    size_t i;
    if (json_array_size(json_object_get(site, "unseen")) == 0) {
        return;
    }
    report_html_section(out, "unseen", "What your training cases never showed");
    json_array_foreach(json_object_get(site, "unseen"), i, entry) {
        add_entry(out, entry);
    }
    report_html(out, "<p class=\"note\">");
    report_say(out, "Shares of those test cases, by what each model calls them at its threshold; a "
                    "case can have several findings.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------------ the run's page */

static const char *const all_columns[] = {REPORT_N("Hospital"),
                                          REPORT_N("Disease"),
                                          "#" REPORT_N("Test cases"),
                                          "#" REPORT_N("Shared model: names it"),
                                          "#" REPORT_N("Shared model: no finding"),
                                          "#" REPORT_N("Own model: names it"),
                                          "#" REPORT_N("Own model: no finding"),
                                          NULL};

static void add_hospital(report_page *out, const json_t *site, const json_t *entry)
{
    const char *class = fl_json_get_string(entry, "class", "");
    report_html(out, "<tr>");
    report_html_cell(out, all_columns[0], false);
    report_html(out, "%s</td>", report_site_name(site));
    report_html_cell(out, all_columns[1], false);
    report_html(out, "%s</td>", class);
    report_html_count(out, "Test cases", fl_json_get_int(entry, "n", 0));
    for (size_t m = 0; m < N_MODELS; m++) {
        report_html_figure(out, all_columns[3 + 2 * m] + 1, share_of(entry, models[m], class), 2,
                           false);
        report_html_figure(out, all_columns[4 + 2 * m] + 1, no_finding(entry, models[m]), 2, false);
    }
    report_html(out, "</tr>\n");
}

void report_unseen_section(report_page *out, const json_t *report)
{
    const json_t *site, *entry;
    size_t i, k, n = 0;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        n += json_array_size(json_object_get(site, "unseen"));
    }
    if (n == 0) {
        return;
    }
    report_html_section(out, "unseen", "Diseases that a hospital's training cases never showed");
    report_html_table(out, REPORT_CARDS, all_columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        json_array_foreach(json_object_get(site, "unseen"), k, entry) {
            add_hospital(out, site, entry);
        }
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out, "Shares of that hospital's test cases with the disease: called by its name, and, "
                    "where a case can have several findings, called as without any. The own model was "
                    "trained on that hospital's cases alone.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}
