/*
 * index_models.c - models beside the shared and the own one, on the run's page
 *
 * What a hospital may expect that took no part, and what each hospital's fine-tuning
 * makes of the shared model.
 */
#include "report/html.h"
#include "report/index_parts.h"
#include "report/parts.h"
#include "report/read.h"

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
    report_html_section(out, "left-out", "A hospital that took no part");
    report_html(out, "<p>");
    report_say(out,
               "For every hospital the others' federation was played without it, and its model "
               "judged on this hospital's test cases: what a hospital may expect that only "
               "uses the model (%s).",
               report_label(out, metric));
    report_html(out, "</p>\n");
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        report_html(out, "<tr>");
        report_html_cell(out, "Hospital", false);
        report_html(out, "%s</td>", report_site_name(site));
        report_html_figure(out, "Shared model", report_figure(report, site, "global", metric), 2,
                           false);
        report_html_figure(out, "Trained without it",
                           report_figure(report, site, "left_out", metric), 2, false);
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html_section_end(out);
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
    report_html_section(out, "personal", "A version of the shared model for each hospital");
    report_html(out, "<p>");
    report_say(out,
               "The shared model, fine-tuned at every hospital on its own training cases and "
               "chosen on its validation cases; on its test cases, paired (%s). These models "
               "never leave.",
               report_label(out, metric));
    report_html(out, "</p>\n");
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        report_html(out, "<tr>");
        report_html_cell(out, "Hospital", false);
        report_html(out, "%s", report_site_name(site));
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
    report_html_table_end(out);
    report_html_section_end(out);
}

void index_models(report_page *out, const json_t *report, const char *metric)
{
    add_personal(out, report, metric);
    add_left_out(out, report, metric);
}
