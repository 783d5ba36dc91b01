/*
 * teams.c - several models as one: independent federations, or a federation's last rounds
 *
 * Of the simulator's "ensemble" and "snapshot" (proto/REPORT.md): tables of all hospitals on the
 * run's page, and of one on its own.
 */
#include <math.h>
#include <string.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* How the two kinds of members are told of. */
typedef struct {
    const char *key, *heading, *less;
    const char *threshold;  // where calls are made at one
} team_words;

static const team_words teams[] = {
    {"ensemble", REPORT_N("Independent federations as one model"),
     "#" REPORT_N("Mean less shared"),
     REPORT_N("The mean is called at the mean of their frozen thresholds.")},
    {"snapshot", REPORT_N("The last rounds as one model"),
     "#" REPORT_N("Mean less last round"),
     REPORT_N("The mean is called at the frozen threshold.")},
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
    report_html_count(out, "Test cases",
                      fl_json_get_int(report_at(joined, "metrics", metric, NULL), "n", -1));
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

static void add_words(report_page *out, const json_t *team, const char *metric)
{
    long long n = (long long)fl_json_get_int(team, "members", 0);
    report_html(out, "<p>");
    if (json_object_get(team, "rounds") != NULL) {
        report_say(out,
                   "The models of this federation's last %lld rounds; what counts is the mean of "
                   "their predictions (a snapshot, whose members are not independent). Figure: %s.",
                   n, report_label(out, metric));
    } else {
        report_say(out,
                   "%lld federations that differ in their random seeds alone, this one among them; "
                   "what counts is the mean of their predictions (a deep ensemble). Figure: %s.",
                   n, report_label(out, metric));
    }
    report_html(out, "</p>\n");
}

static void add_note(report_page *out, const json_t *joined, const team_words *words)
{
    char share[REPORT_NUMBER_BYTES];
    report_html(out, "<p class=\"note\">%s ",
                report_word(out, "Members: lowest and highest of them."));
    if (report_at(joined, "metrics", "sensitivity", NULL) != NULL) {
        report_html(out, "%s ", report_word(out, words->threshold));
    }
    report_say(out,
               "Doubt tells errors: AUROC of the cases' uncertainty for wrong calls, or its "
               "correlation with a case's error. Error cut: by referring the least sure %s.",
               report_percent(share, out->language,
                              fl_json_get_number(report_at(joined, "uncertainty", "refer", NULL),
                                                 "share"), 3));
    report_html(out, "</p>\n");
}

/* A row for every hospital and one for all, or for the one of that name alone. */
static void add_team(report_page *out, const json_t *report, const team_words *words,
                     const char *metric, const char *only)
{
    const char *const columns[] = {REPORT_N("Hospital"),
                                   "#" REPORT_N("Test cases"),
                                   "#" REPORT_N("Members"),
                                   "#" REPORT_N("Mean"),
                                   words->less,
                                   "#" REPORT_N("Doubt tells errors"),
                                   "#" REPORT_N("Error cut by referring"),
                                   NULL};
    const json_t *team = report_at(report, "baselines", words->key, NULL);
    const json_t *joined = only != NULL ? report_at(team, "sites", only, NULL)
                                        : json_object_get(team, "pooled");
    const json_t *site;
    size_t i;
    if (team == NULL || (only != NULL && joined == NULL)) {
        return;
    }
    report_html_section(out, words->key, words->heading);
    add_words(out, team, metric);
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        const char *name = report_site_name(site);
        const json_t *own = report_at(team, "sites", name, NULL);
        if (own != NULL && (only == NULL || strcmp(only, name) == 0)) {
            add_team_row(out, own, name, metric, words);
        }
    }
    if (only == NULL && joined != NULL) {
        add_team_row(out, joined, "", metric, words);
    }
    report_html_table_end(out);
    add_note(out, joined, words);
    report_html_section_end(out);
}

void report_teams(report_page *out, const json_t *report, const char *metric)
{
    for (size_t t = 0; t < sizeof teams / sizeof *teams; t++) {
        add_team(out, report, &teams[t], metric, NULL);
    }
}

void report_site_teams(report_page *out, const json_t *report, const json_t *site,
                       const char *metric)
{
    for (size_t t = 0; t < sizeof teams / sizeof *teams; t++) {
        add_team(out, report, &teams[t], metric, report_site_name(site));
    }
}
