/*
 * site_models.c - other models than the shared one, on a hospital's page (site_parts.h)
 *
 * What this hospital could use instead: the shared model fine-tuned here, or the model
 * of another hospital.
 */
#include <math.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* -------------------------------------------------------------- fine-tuned here */

static void personal_lead(report_page *out, const json_t *report, const json_t *site,
                          const char *metric)
{
    const json_t *how = json_object_get(site, "personal");
    const json_t *gain = report_figure(report, site, "personal_gain", metric);
    long long kept = (long long)fl_json_get_int(how, "best_step", -1);
    long long steps = (long long)fl_json_get_int(how, "steps", 0);
    char text[REPORT_NUMBER_BYTES];
    report_html(out, "<p>");
    if (kept == 0) {
        report_say(out,
                   "Fine-tuned on your own training cases for %lld steps, the shared model did at "
                   "no look better on your validation cases; your version of it is the shared "
                   "model itself.",
                   steps);
    } else {
        report_say(out,
                   "The shared model, fine-tuned on your own training cases: as it was after step "
                   "%lld of %lld, chosen on your validation cases.",
                   kept, steps);
        if (!isnan(report_value(gain))) {
            report_html(out, " ");
            report_say(out, "On your test cases that changes %s by %s.", report_label(out, metric),
                       report_figure_text(text, out->language, gain, 2, true));
        }
    }
    report_html(out, "</p>\n");
}

void report_site_personal(report_page *out, const json_t *report, const json_t *site,
                          const char *metric)
{
    static const char *const columns[] = {
        REPORT_N("Figure"), "#" REPORT_N("Shared model"), "#" REPORT_N("Personalised"),
        "#" REPORT_N("Personalised less shared"), NULL};
    if (report_at(site, "models", "personal", NULL) == NULL) {
        return;
    }
    report_html_section(out, "personal", "A version of the shared model for your hospital");
    personal_lead(out, report, site, metric);
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t k = 0; report_metrics[k] != NULL; k++) {
        const json_t *gain = report_figure(report, site, "personal_gain", report_metrics[k]);
        if (gain == NULL || report_site_not_asked(gain)) {
            continue;
        }
        report_html(out, "<tr>");
        report_html_cell(out, "Figure", false);
        report_html(out, "%s</td>", report_label(out, report_metrics[k]));
        report_html_figure(out, "Shared model",
                           report_figure(report, site, "global", report_metrics[k]), 2, false);
        report_html_figure(out, "Personalised",
                           report_figure(report, site, "personal", report_metrics[k]), 2, false);
        report_html_figure(out, "Personalised less shared", gain, 2, true);
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "On the same test cases, paired. The fine-tuned model lies in your hospital "
               "(own/personal.onnx in the run's folder), with a threshold that was set on your "
               "validation cases; it was never sent.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

/* --------------------------------------------------------- own models, elsewhere */

void report_site_elsewhere(report_page *out, const json_t *report, const json_t *site,
                           const char *metric)
{
    static const char *const columns[] = {REPORT_N("Hospital"), "#" REPORT_N("Its model, your cases"),
                                          "#" REPORT_N("Your model, its cases"), NULL};
    const char *own = report_site_name(site);
    const json_t *other;
    size_t i;
    if (report_at(report, "baselines", "cross_site", NULL) == NULL) {
        return;
    }
    report_html_section(out, "elsewhere", "Models of single hospitals away from home");
    if (report_matrix_kept(out, report)) {
        report_html_section_end(out);
        return;
    }
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, other) {
        const char *name = report_site_name(other);
        report_html(out, "<tr class=\"%s\">", other == site ? "mark" : "");
        report_html_cell(out, "Hospital", false);
        report_html(out, "%s%s</td>", name, other == site ? report_word(out, " (yours)") : "");
        report_html_figure(out, "Its model, your cases",
                           report_cross_site(report, name, own, metric), 2, false);
        report_html_figure(out, "Your model, its cases",
                           report_cross_site(report, own, name, metric), 2, false);
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "Models that each hospital trained alone, on test cases (%s).",
               report_label(out, metric));
    report_matrix_note(out, report);
    report_html(out, "</p>\n");
    report_html_section_end(out);
}
