/*
 * index_models.c - models beside the shared and the own one, on the run's page
 *
 * What each hospital's fine-tuning makes of the shared model, what a hospital may
 * expect that took no part, what own models are worth at other hospitals, and what
 * several models are as one.
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
               "On average (%s), a hospital's own model has %s at home and %s elsewhere; the shared "
               "model has %s.",
               report_label(out, metric), text[0], text[1], text[2]);
    report_html(out, "</p>\n");
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
            report_html_figure(out, "", report_cross_site(report, report_site_name(row), column,
                                                          metric), 2, false);
        }
        report_html(out, "</tr>\n");
    }
    report_html(out, "<tr class=\"sum\"><td>%s</td>", report_word(out, "all: shared model"));
    for (size_t j = first; j < end; j++) {
        report_html_figure(out, "", report_figure(report, json_array_get(sites, j), "global",
                                                  metric), 2, false);
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
    add_cross_lead(out, report, metric);
    for (size_t j = 0; j < json_array_size(json_object_get(report, "sites"));
         j += COLUMNS_A_TABLE) {
        add_cross_table(out, report, j, metric);
    }
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "A row is the model that a hospital trained alone, a column the hospital whose test "
               "cases judge it (%s), at a threshold of the model's own. The simulator's: in a "
               "federation these models stay where they are.",
               report_label(out, metric));
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

/* ------------------------------------------------------- several models as one */

/* How the two kinds of members are told of. */
typedef struct {
    const char *key, *heading, *less, *note;
} team_words;

static const team_words teams[] = {
    {"ensemble", REPORT_N("Independent federations as one model"),
     "#" REPORT_N("Mean less shared"),
     REPORT_N("Members: lowest and highest of them. The mean is called at the mean of their frozen "
              "thresholds.")},
    {"snapshot", REPORT_N("The last rounds as one model"),
     "#" REPORT_N("Mean less last round"),
     REPORT_N("Members: lowest and highest of them. The mean is called at the frozen threshold.")},
};

/* "0.81 to 0.86" over the members with a value. */
static void add_range(report_page *out, const json_t *members, const char *metric)
{
    double low = INFINITY, high = -INFINITY;
    char a[REPORT_NUMBER_BYTES], b[REPORT_NUMBER_BYTES];
    size_t i;
    const json_t *member;
    json_array_foreach(members, i, member) {
        double value = report_value(json_object_get(member, metric));
        if (!isnan(value)) {
            low = fmin(low, value);
            high = fmax(high, value);
        }
    }
    report_html_cell(out, "Members", true);
    if (low <= high) {
        report_html(out, "<span>");
        report_say(out, "%s to %s", report_number(a, out->language, low, 2),
                   report_number(b, out->language, high, 2));
        report_html(out, "</span>");
    }
    report_html(out, "</td>");
}

static void add_team_row(report_page *out, const json_t *joined, const char *name,
                         const char *metric, const team_words *words)
{
    const json_t *u = json_object_get(joined, "uncertainty");
    const json_t *measure = report_at(u, "measures", fl_json_get_string(u, "measure", ""), NULL);
    const json_t *tells = json_object_get(measure, "auroc");
    report_html(out, "<tr%s>", strcmp(name, "") == 0 ? " class=\"sum\"" : "");
    report_html_cell(out, "Hospital", false);
    report_html(out, "%s</td>", name[0] != '\0' ? name : report_word(out, "all test cases"));
    add_range(out, json_object_get(joined, "members"), metric);
    report_html_figure(out, "Mean", report_at(joined, "metrics", metric, NULL), 2, false);
    report_html_figure(out, words->less + 1, report_at(joined, "differences", metric, NULL), 2,
                       true);
    report_html_figure(out, "Doubt tells errors",
                       tells != NULL ? tells : json_object_get(measure, "pearson"), 2, false);
    report_html_figure(out, "Error cut by referring", report_at(u, "refer", "cut", NULL), 2,
                       false);
    report_html(out, "</tr>\n");
}

static void add_team(report_page *out, const json_t *report, const team_words *words,
                     const char *metric)
{
    const char *const columns[] = {REPORT_N("Hospital"),
                                   "#" REPORT_N("Members"),
                                   "#" REPORT_N("Mean"),
                                   words->less,
                                   "#" REPORT_N("Doubt tells errors"),
                                   "#" REPORT_N("Error cut by referring"),
                                   NULL};
    const json_t *team = report_at(report, "baselines", words->key, NULL);
    const json_t *joined, *site;
    size_t i;
    long long n = (long long)fl_json_get_int(team, "members", 0);
    char share[REPORT_NUMBER_BYTES];
    if (team == NULL) {
        return;
    }
    open_section(out, words->key, words->heading);
    if (json_object_get(team, "rounds") != NULL) {
        report_say(out,
                   "The models of this federation's last rounds, %lld of them, and the mean of "
                   "their scores: a snapshot, whose members are not independent (%s).",
                   n, report_label(out, metric));
    } else {
        report_say(out,
                   "Federations trained with seeds of their own, the shared model's first: %lld. "
                   "Their scores' mean is a deep ensemble's (%s).",
                   n, report_label(out, metric));
    }
    open_table(out, columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        joined = report_at(team, "sites", report_site_name(site), NULL);
        if (joined != NULL) {
            add_team_row(out, joined, report_site_name(site), metric, words);
        }
    }
    joined = json_object_get(team, "pooled");
    if (joined != NULL) {
        add_team_row(out, joined, "", metric, words);
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">%s ", report_word(out, words->note));
    report_say(out,
               "Doubt tells errors: AUROC of the cases' uncertainty for wrong calls, or its "
               "correlation with the Dice error. Error cut: by referring the least sure %s.",
               report_percent(share, out->language,
                              fl_json_get_number(report_at(joined, "uncertainty", "refer", NULL),
                                                 "share"), 3));
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

void index_models(report_page *out, const json_t *report, const char *metric)
{
    add_personal(out, report, metric);
    add_left_out(out, report, metric);
    add_cross_site(out, report, metric);
    for (size_t t = 0; t < sizeof teams / sizeof *teams; t++) {
        add_team(out, report, &teams[t], metric);
    }
}
