/*
 * site_annotators.c - several annotators and the model beside them (site_parts.h)
 *
 * The figures are agreement.h's of eval/, and so is the verdict; here it becomes a sentence.
 */
#include "report/site_parts.h"

#include <math.h>
#include <string.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"

static const char *const columns[] = {REPORT_N("Masks of"), "#" REPORT_N("Dice"),
                                      "#" REPORT_N("Cases"), NULL};

void report_site_agreement(report_page *out, const json_t *site)
{
    const json_t *c = report_at(site, "annotators", "comparison", NULL);
    const json_t *difference = json_object_get(c, "difference");
    const char *verdict = fl_json_get_string(c, "verdict", "");
    char model[REPORT_NUMBER_BYTES], human[REPORT_NUMBER_BYTES], apart[REPORT_NUMBER_BYTES];
    if (c == NULL) {
        return;
    }
    if (strcmp(verdict, "as well") == 0) {
        report_say(out, "The model agrees with your annotators as well as they agree with each "
                        "other");
    } else if (strcmp(verdict, "less well") == 0) {
        report_say(out, "The model agrees with your annotators less well than they agree with each "
                        "other");
    } else {
        report_say(out, "Whether the model agrees with your annotators as well as they agree with "
                        "each other, we cannot tell from these cases");
    }
    report_html(out, "%s", report_word(out, ": "));
    if (isnan(report_value(difference))) {
        report_told(out, fl_json_get_string(difference != NULL ? difference : c, "why", ""));
    } else {
        report_say(out, "Dice %s against %s, difference %s",
                   report_figure_text(model, out->language, json_object_get(c, "model"), 2, false),
                   report_figure_text(human, out->language, json_object_get(c, "human"), 2, false),
                   report_figure_text(apart, out->language, difference, 2, true));
    }
    report_html(out, ".");
}

static void end_row(report_page *out, const json_t *cell)
{
    const json_t *dice = json_object_get(cell, "dice");
    report_html(out, "</td>");
    if (dice == NULL) {
        report_not_shown(out, cell, 2);
    } else {
        report_html_figure(out, "Dice", dice, 2, false);
        report_html_count(out, "Cases", fl_json_get_int(dice, "n", 0));
    }
    report_html(out, "</tr>\n");
}

static void begin_row(report_page *out)
{
    report_html(out, "<tr>");
    report_html_cell(out, columns[0], false);
}

static void add_pairs(report_page *out, const json_t *annotators)
{
    const json_t *entry;
    size_t i;
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(annotators, "pairs"), i, entry) {
        begin_row(out);
        report_say(out, "annotators %s and %s", fl_json_get_string(entry, "a", ""),
                   fl_json_get_string(entry, "b", ""));
        end_row(out, entry);
    }
    json_array_foreach(json_object_get(annotators, "model"), i, entry) {
        begin_row(out);
        report_say(out, "the model and annotator %s", fl_json_get_string(entry, "annotator", ""));
        end_row(out, entry);
    }
    begin_row(out);
    report_say(out, "the model and the vote of three or more");
    end_row(out, json_object_get(annotators, "consensus"));
    report_html_table_end(out);
}

static void add_comparison(report_page *out, const json_t *comparison)
{
    static const struct {
        const char *key, *text;
    } rows[] = {
        {"human", REPORT_N("annotators with each other")},
        {"model", REPORT_N("the model with the annotators")},
        {"difference", REPORT_N("difference")},
    };
    if (json_object_get(comparison, "difference") == NULL) {
        return;
    }
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "On the cases that two or more drew, each case counting once and two who both drew "
               "nothing agreeing:");
    report_html(out, "</p>\n");
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *figure = json_object_get(comparison, rows[i].key);
        begin_row(out);
        report_html(out, "%s</td>", report_word(out, rows[i].text));
        report_html_figure(out, "Dice", figure, 2, i == 2);
        report_html_count(out, "Cases", fl_json_get_int(figure, "n", 0));
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
}

void report_site_annotators(report_page *out, const json_t *site)
{
    const json_t *annotators = json_object_get(site, "annotators");
    if (annotators == NULL) {
        return;
    }
    report_html_section(out, "annotators", "Beside several annotators");
    report_html(out, "<p>");
    report_site_agreement(out, site);
    report_html(out, "</p>\n<p class=\"note\">");
    report_say(out,
               "%lld annotators drew masks of your test cases; they are numbered in the order of "
               "the manifest's columns. Dice of two masks, the mean over cases; cases where both "
               "are empty are left out. The vote is of each pixel, where three or more drew the "
               "case; of classes with as many votes, that of the annotator who comes first.",
               (long long)fl_json_get_int(annotators, "annotators", 0));
    report_html(out, "</p>\n");
    add_pairs(out, annotators);
    add_comparison(out, json_object_get(annotators, "comparison"));
    report_html_section_end(out);
}

void report_site_agreement_rule(report_page *out, const json_t *site)
{
    const json_t *c = report_at(site, "annotators", "comparison", NULL);
    char margin[REPORT_NUMBER_BYTES];
    if (c == NULL) {
        return;
    }
    report_html(out, "<li>");
    report_say(out,
               "The model is said to agree with the annotators as well as they agree with each "
               "other when the whole interval of the difference in Dice lies above %s (the job's "
               "margin for Dice, else 0.05), and less well when it lies below; else we cannot "
               "tell.",
               report_number(margin, out->language, -fl_json_get_number(c, "margin"), 3));
    report_html(out, "</li>\n");
}
