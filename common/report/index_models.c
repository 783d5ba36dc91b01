/*
 * index_models.c - models beside the shared and the own one, on the run's page
 *
 * What each hospital's fine-tuning makes of the shared model, what a hospital may
 * expect that took no part, what own models are worth at other hospitals; what several models
 * are as one is in teams.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/index_parts.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"

/* A section's first words are the caller's ... */
static void open_section(report_page *out, const char *id, const char *heading)
{
    report_html_section(out, id, heading);
    report_html(out, "<p>");
}

/* ... and behind them is a table of hospitals. */
static void open_table(report_page *out, const char *const *columns)
{
    report_html(out, "</p>\n");
    report_html_table(out, REPORT_CARDS, columns);
}

static void open_row(report_page *out, const char *name)
{
    report_html(out, "<tr>");
    report_html_cell(out, "Hospital", false);
    report_html(out, "%s", name);
}

static void close_section(report_page *out)
{
    report_html_table_end(out);
    report_html_section_end(out);
}

/* At each hospital, a model that it took no part in. */
static void add_left_out(report_page *out, const json_t *report, const char *metric)
{
    static const char *const columns[] = {REPORT_N("Hospital"), "#" REPORT_N("Shared model"),
                                          "#" REPORT_N("Trained without it"), NULL};
    size_t i;
    const json_t *site;
    if (report_at(report, "baselines", "leave_one_out", NULL) == NULL) {
        return;
    }
    open_section(out, "left-out", "A hospital that took no part");
    report_say(out,
               "For every hospital the others' federation was played without it, and its model "
               "judged on this hospital's test cases: what a hospital may expect that only "
               "uses the model (%s).",
               report_label(out, metric));
    open_table(out, columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        open_row(out, report_site_name(site));
        report_html(out, "</td>");
        report_html_figure(out, "Shared model", report_figure(report, site, "global", metric), 2,
                           false);
        report_html_figure(out, "Trained without it",
                           report_figure(report, site, "left_out", metric), 2, false);
        report_html(out, "</tr>\n");
    }
    close_section(out);
}

/* Is there such a model at some hospital? */
static bool is_anywhere(const json_t *report, const char *model)
{
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        if (report_at(site, "models", model, NULL) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_personal(report_page *out, const json_t *report, const char *metric)
{
    static const char *const columns[] = {
        REPORT_N("Hospital"), "#" REPORT_N("Shared model"), "#" REPORT_N("Personalised"),
        "#" REPORT_N("Personalised less shared"), NULL};
    size_t i;
    const json_t *site;
    if (!is_anywhere(report, "personal")) {
        return;
    }
    open_section(out, "personal", "A version of the shared model for each hospital");
    report_say(out,
               "The shared model, fine-tuned at every hospital on its own training cases and "
               "chosen on its validation cases; on its test cases, paired (%s). These models "
               "never leave.",
               report_label(out, metric));
    open_table(out, columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        open_row(out, report_site_name(site));
        if (fl_json_get_int(json_object_get(site, "personal"), "best_step", -1) == 0) {
            report_html(out, " <span class=\"soft\">%s</span>",
                        report_word(out, "no step was better"));
        }
        report_html(out, "</td>");
        report_html_figure(out, "Shared model", report_figure(report, site, "global", metric), 2,
                           false);
        report_html_figure(out, "Personalised", report_figure(report, site, "personal", metric), 2,
                           false);
        report_html_figure(out, "Personalised less shared",
                           report_figure(report, site, "personal_gain", metric), 2, true);
        report_html(out, "</tr>\n");
    }
    close_section(out);
}

/* ------------------------------------------------------- own models, elsewhere */

enum { COLUMNS_A_TABLE = 6 };  // what fits on paper

/* Means over the cells with a value: the diagonal, the others, the shared model. */
static void add_cross_lead(report_page *out, const json_t *report, const char *metric)
{
    const json_t *sites = json_object_get(report, "sites"), *row, *column;
    double sum[3] = {0};
    size_t n[3] = {0}, i, j;
    char text[3][REPORT_NUMBER_BYTES];
    json_array_foreach(sites, i, row) {
        double shared = report_value(report_figure(report, row, "global", metric));
        sum[2] += isnan(shared) ? 0 : shared;
        n[2] += !isnan(shared);
        json_array_foreach(sites, j, column) {
            double value = report_value(report_cross_site(report, report_site_name(row),
                                                          report_site_name(column), metric));
            sum[i != j] += isnan(value) ? 0 : value;
            n[i != j] += !isnan(value);
        }
    }
    if (n[0] == 0 || n[1] == 0 || n[2] == 0) {
        return;
    }
    for (size_t k = 0; k < 3; k++) {
        report_number(text[k], out->language, sum[k] / (double)n[k], 2);
    }
    report_html(out, "<p>");
    report_say(out,
               "On average over the hospitals (%s), an own model has %s at home and %s elsewhere; "
               "the shared model has %s.",
               report_label(out, metric), text[0], text[1], text[2]);
    report_html(out, "</p>\n");
}

/* As report_html_figure, but why there is no interval would make narrow columns long: a word. */
static void add_cell(report_page *out, const json_t *figure)
{
    double value = report_value(figure), low = fl_json_get_number(figure, "ci_low");
    char text[REPORT_NUMBER_BYTES];
    if (figure == NULL || isnan(value) || !isnan(low)) {
        report_html_figure(out, "", figure, 2, false);
        return;
    }
    report_html(out, "<td class=\"n\"><span>%s <span class=\"ci\">%s</span></span></td>",
                report_number(text, out->language, value, 2), report_word(out, "no interval"));
}

/* The columns from first on, as many as a table takes. */
static void add_cross_table(report_page *out, const json_t *report, size_t first,
                            const char *metric)
{
    const json_t *sites = json_object_get(report, "sites"), *row;
    size_t end = json_array_size(sites), i;
    end = end > first + COLUMNS_A_TABLE ? first + COLUMNS_A_TABLE : end;
    report_html(out, "<div class=\"scroll\"><table><thead><tr><th>%s</th>",
                report_word(out, "Trained at"));
    for (size_t j = first; j < end; j++) {
        report_html(out, "<th class=\"n\">%s</th>", report_site_name(json_array_get(sites, j)));
    }
    report_html(out, "</tr></thead><tbody>\n");
    json_array_foreach(sites, i, row) {
        report_html(out, "<tr><td>%s</td>", report_site_name(row));
        for (size_t j = first; j < end; j++) {
            const char *column = report_site_name(json_array_get(sites, j));
            add_cell(out, report_cross_site(report, report_site_name(row), column, metric));
        }
        report_html(out, "</tr>\n");
    }
    report_html(out, "<tr class=\"sum\"><td>%s</td>", report_word(out, "all: shared model"));
    for (size_t j = first; j < end; j++) {
        add_cell(out, report_figure(report, json_array_get(sites, j), "global", metric));
    }
    report_html(out, "</tr>\n</tbody></table></div>\n");
}

static void add_cross_site(report_page *out, const json_t *report, const char *metric)
{
    const json_t *matrix = report_at(report, "baselines", "cross_site", NULL), *name;
    size_t i;
    if (matrix == NULL) {
        return;
    }
    report_html_section(out, "cross-site", "Each hospital's own model at the others");
    if (report_matrix_kept(out, report)) {
        report_html_section_end(out);
        return;
    }
    add_cross_lead(out, report, metric);
    for (size_t j = 0; j < json_array_size(json_object_get(report, "sites"));
         j += COLUMNS_A_TABLE) {
        add_cross_table(out, report, j, metric);
    }
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "A row is the model that a hospital trained alone, a column the hospital whose test "
               "cases judge it (%s), at a threshold of the model's own.",
               report_label(out, metric));
    report_matrix_note(out, report);
    index_names missing = {0};
    json_array_foreach(json_object_get(matrix, "missing"), i, name) {
        index_names_add(&missing, json_string_value(name));
    }
    if (missing.n > 0) {
        char *names = report_names_text(out, missing.names, missing.n);
        report_html(out, " ");
        report_say(out, "Without a model of its own: %s.", names);
        free(names);
    }
    free(missing.names);
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

void index_models(report_page *out, const json_t *report, const char *metric)
{
    add_personal(out, report, metric);
    add_left_out(out, report, metric);
    add_cross_site(out, report, metric);
    report_teams(out, report, metric);
}
