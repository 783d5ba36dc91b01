/*
 * page_site.c - one hospital's page
 *
 * What this hospital's people look for, in that order: did joining help us,
 * on which of our cases does that rest, how good is the model at the threshold
 * that was frozen, for whom is it not known, how do others fare, what left our
 * house.  Others appear as the job says: by name, or as codes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"
#include "report/site_parts.h"

static const double poor_calibration = 0.05;  // ECE surely above: said in the verdict

/* ------------------------------------------------------------- the verdict */

static void add_signed(fl_buf *out, const json_t *figure, int digits)
{
    char text[REPORT_NUMBER_BYTES];
    report_html_number(out, report_figure_text(text, figure, digits, true));
}

static void lead_sentence(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    static const char *const sentences[] = {
        [REPORT_HELPS] = "Joining helps your hospital",
        [REPORT_HURTS] = "Joining hurts your hospital",
        [REPORT_SAME] = "Joining makes no difference that matters for your hospital",
        [REPORT_UNSURE] = "Whether joining helps your hospital, we cannot tell from these cases",
        [REPORT_NO_VERDICT] = "Whether joining helps your hospital cannot be judged",
    };
    report_verdict v = report_verdict_of(report, site, metric);
    const json_t *benefit = report_figure(report, site, "benefit", metric);
    report_html(out, "<p class=\"lead\">%s: ", sentences[v]);
    if (!isnan(report_value(benefit))) {
        report_html(out, "%s ", report_metric_label(metric));
        add_signed(out, benefit, 2);
    }
    if (v == REPORT_NO_VERDICT) {
        report_html(out, "%s%s", isnan(report_value(benefit)) ? "" : "; ",
                    benefit == NULL ? "there is no own model to compare with"
                                    : fl_json_get_string(benefit, "why", "no interval"));
    }
    fl_buf_puts(out, ".</p>\n");
}

static void both_models_sentence(fl_buf *out, const json_t *report, const json_t *site,
                                 const char *metric)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *global = report_figure(report, site, "global", metric);
    const json_t *local = report_figure(report, site, "local", metric);
    if (isnan(report_value(global))) {
        return;
    }
    report_html(out, "<p>On your %lld test cases", (long long)fl_json_get_int(global, "n", 0));
    if (report_n_positive(site) >= 0) {
        report_html(out, " (%lld with %s)", (long long)report_n_positive(site),
                    fl_json_get_string(report, "positive", "the positive class"));
    }
    report_html(out, " the shared model has %s %s", report_metric_label(metric),
                report_figure_text(text, global, 2, false));
    if (!isnan(report_value(local))) {
        report_html(out, ", the model trained on your data alone %s",
                    report_figure_text(text, local, 2, false));
    }
    fl_buf_puts(out, ".");
    const json_t *sensitivity = report_figure(report, site, "global", "sensitivity");
    const json_t *specificity = report_figure(report, site, "global", "specificity");
    if (!isnan(report_value(sensitivity))) {
        report_html(out, " At the frozen threshold its sensitivity is %s",
                    report_figure_text(text, sensitivity, 2, false));
        if (!isnan(report_value(specificity))) {
            report_html(out, " and its specificity %s",
                        report_figure_text(text, specificity, 2, false));
        }
        fl_buf_puts(out, ".");
    }
    int64_t rarer = report_rarer_class(site);
    if (rarer >= 0 && rarer < REPORT_FEW) {
        report_html(out, " These are few cases: only %lld of the rarer class.", (long long)rarer);
    }
    fl_buf_puts(out, "</p>\n");
}

static void calibration_sentence(fl_buf *out, const json_t *report, const json_t *site)
{
    const json_t *ece = report_figure(report, site, "global", "ece");
    double low = fl_json_get_number(ece, "ci_low"), high = fl_json_get_number(ece, "ci_high");
    char text[REPORT_NUMBER_BYTES];
    if (low > poor_calibration) {
        report_html(out,
                    "<p>Do not read the scores as probabilities here: calibration is poor, "
                    "error %s.</p>\n",
                    report_figure_text(text, ece, 2, false));
    } else if (high <= poor_calibration) {
        report_html(out,
                    "<p>The scores can be read as probabilities here: calibration error "
                    "%s.</p>\n",
                    report_figure_text(text, ece, 2, false));
    }
}

/* Differences between groups that more than chance explains. */
static void flags_sentence(fl_buf *out, const json_t *site)
{
    fl_buf flags = FL_BUF_INIT;
    if (report_site_flags(&flags, site) > 0) {
        fl_buf_printf(out, "<p>The model does not serve all groups alike: %s.</p>\n", flags.data);
    }
    fl_buf_clear(&flags);
}

/* "sex F, age 0-40": shown groups without an interval, and suppressed ones. */
static void unknown_groups_sentence(fl_buf *out, const json_t *site, const char *metric)
{
    size_t i, n = 0;
    const json_t *group;
    json_array_foreach(json_object_get(site, "subgroups"), i, group) {
        const json_t *figure = json_object_get(group, metric);
        if (isnan(fl_json_get_number(figure, "ci_low"))) {
            fl_buf_puts(out, n++ == 0 ? "<p>Too few cases to judge the model for: " : ", ");
            report_html(out, "%s %s", fl_json_get_string(group, "attribute", "?"),
                        fl_json_get_string(group, "value", "?"));
        }
    }
    fl_buf_puts(out, n > 0 ? ".</p>\n" : "");
}

/* Place among the hospitals with a value. */
static void place_sentence(fl_buf *out, const json_t *report, const json_t *site,
                           const char *metric)
{
    double sign = report_higher_is_better(metric) ? 1 : -1;
    double own = sign * report_value(report_figure(report, site, "global", metric));
    size_t i, n = 0, better = 0;
    const json_t *other;
    json_array_foreach(json_object_get(report, "sites"), i, other) {
        double value = sign * report_value(report_figure(report, other, "global", metric));
        n += !isnan(value);
        better += value > own;
    }
    if (isnan(own) || n < 2) {
        return;
    }
    char gap[REPORT_NUMBER_BYTES];
    report_html(out, "<p>By %s the shared model serves ", report_metric_label(metric));
    if (better == 0) {
        fl_buf_puts(out, "no other hospital better than yours");
    } else {
        report_html(out, "%zu of the %zu other hospitals better than yours", better, n - 1);
    }
    report_html(
        out, "; the gap between best and worst is %s.</p>\n",
        report_number(gap, fl_json_get_number(json_object_get(report, "fairness"), "gap"), 2));
}

static void absences_sentence(fl_buf *out, const json_t *report, const char *name)
{
    size_t n = 0, shown = 0;
    report_absence *list = report_absences(report, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].site, name) == 0) {
            fl_buf_puts(out, shown++ == 0 ? "<p>Your hospital missed " : "; ");
            report_html(out, "%s %s (%s)", list[i].n_rounds == 1 ? "round" : "rounds",
                        list[i].rounds, list[i].reason);
        }
    }
    fl_buf_puts(out, shown > 0 ? ".</p>\n" : "");
    free(list);
}

static void add_verdict(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    report_html(out, "<section id=\"verdict\" class=\"verdict %s\">\n<h2>In short</h2>\n",
                report_verdict_class(report_verdict_of(report, site, metric)));
    lead_sentence(out, report, site, metric);
    both_models_sentence(out, report, site, metric);
    calibration_sentence(out, report, site);
    flags_sentence(out, site);
    unknown_groups_sentence(out, site, metric);
    place_sentence(out, report, site, metric);
    absences_sentence(out, report, report_site_name(site));
    report_privacy_sentence(out, report);
    fl_buf_puts(out, "<p class=\"note\">These sentences are made by rules, which are listed <a "
                     "href=\"#rules\">at the end of the page</a>.</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------------ others */

static void add_others(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    static const char *const columns[] = {"Hospital", "#Test cases", "#Shared model",
                                          "#Benefit of joining", NULL};
    const json_t *other;
    size_t i;
    report_html_section(out, "others", "How the shared model serves other hospitals");
    report_chart_forest(out, report, metric, report_site_name(site), 2);
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, other) {
        char n[REPORT_NUMBER_BYTES];
        bool own = other == site;
        report_html(out,
                    "<tr class=\"%s\"><td data-l=\"Hospital\">%s%s</td><td class=\"n\" "
                    "data-l=\"Test cases\">%s</td>",
                    own ? "mark" : "", report_site_name(other), own ? " (yours)" : "",
                    report_count(n, fl_json_get_int(other, "n_test", 0)));
        report_html_figure(out, "Shared model", report_figure(report, other, "global", metric), 2,
                           false);
        report_html_figure(out, "Benefit of joining",
                           report_figure(report, other, "benefit", metric), 2, true);
        fl_buf_puts(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">%s on each hospital's own test cases.%s</p>\n",
                report_metric_label(metric),
                strcmp(fl_json_get_string(report, "names", "real"), "codes") == 0
                    ? " Other hospitals appear as codes."
                    : "");
    report_html_section_end(out);
}

static void add_rules(fl_buf *out, const json_t *report, const char *metric)
{
    char limit[REPORT_NUMBER_BYTES];
    report_number(limit, poor_calibration, 2);
    report_html_section(out, "rules", "How this page chooses its words");
    report_verdict_rules(out, report, metric);
    report_html(
        out,
        "<ul>\n<li>Calibration is called poor when the whole interval of the calibration "
        "error (ECE, bias taken off, 200 cases or more) lies above %s, and good when it lies "
        "below; in between nothing is said.</li>\n"
        "<li>A difference between groups is named when it is flagged: its test, corrected after "
        "Holm over all tests of the page, gives less than .04.</li>\n"
        "<li>Groups are listed as too few to judge when they are suppressed or their %s has no "
        "interval.</li>\n"
        "<li>Which hospitals are served better is by the value, not by the interval; "
        "hospitals without a value do not count.</li>\n"
        "<li>What cannot be computed is shown as a dash with the reason, never as 0 or "
        "0.5.</li>\n</ul>\n",
        limit, report_metric_label(metric));
    report_html_section_end(out);
}

static fl_status write_page(const json_t *report, const json_t *site, const char *path, fl_err *err)
{
    const char *metric = report_main_metric(report);
    char time[REPORT_NUMBER_BYTES];
    fl_buf out = FL_BUF_INIT, eyebrow = FL_BUF_INIT, title = FL_BUF_INIT;
    fl_buf_printf(&eyebrow, "%s \xc2\xb7 %s \xc2\xb7 %s", fl_json_get_string(report, "job", ""),
                  fl_json_get_string(report, "federation", fl_json_get_string(report, "run", "")),
                  report_time(time, fl_json_get_string(report, "created", "")));
    fl_buf_printf(&title, "Report for the hospital %s", report_site_name(site));
    report_html_begin(&out, report, eyebrow.data, title.data);
    add_verdict(&out, report, site, metric);
    report_site_flow(&out, site);
    report_site_table1(&out, report, site);
    report_site_figures(&out, report, site);
    report_site_classes(&out, report, site);
    report_site_threshold(&out, report, site);
    report_site_calibration(&out, report, site);
    report_site_groups(&out, report, site);
    add_others(&out, report, site, metric);
    report_privacy_section(&out, report);
    report_site_problems(&out, site);
    report_selection_section(&out, report);
    report_model_section(&out, report);
    add_rules(&out, report, metric);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    fl_buf_clear(&eyebrow);
    fl_buf_clear(&title);
    return st;
}

fl_status report_write_site(const json_t *report, const char *site, const char *path, fl_err *err)
{
    if (report_site(report, site) == NULL) {
        return fl_fail(err, FL_ENOTFOUND, "%s: no site \"%s\" in the report", path, site);
    }
    json_t *seen = report_for_site(report, site);
    fl_status st = write_page(seen, report_site(seen, site), path, err);
    json_decref(seen);
    return st;
}
