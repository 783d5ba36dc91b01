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

#include "base/mem.h"
#include "base/sys.h"
#include "report/charts.h"
#include "report/figures.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"
#include "report/site_parts.h"

static const double poor_calibration = 0.05;  // ECE surely above: said in the verdict

/* ------------------------------------------------------------- the verdict */

static void lead_sentence(report_page *out, const json_t *report, const json_t *site,
                          const char *metric)
{
    static const char *const sentences[] = {
        [REPORT_HELPS] = REPORT_N("Joining helps your hospital"),
        [REPORT_HURTS] = REPORT_N("Joining hurts your hospital"),
        [REPORT_SAME] = REPORT_N("Joining makes no difference that matters for your hospital"),
        [REPORT_UNSURE] = REPORT_N(
            "Whether joining helps your hospital, we cannot tell from these cases"),
        [REPORT_NO_VERDICT] = REPORT_N("Whether joining helps your hospital cannot be judged"),
    };
    report_verdict v = report_verdict_of(report, site, metric);
    const json_t *benefit = report_figure(report, site, "benefit", metric);
    bool has_value = !isnan(report_value(benefit));
    char text[REPORT_NUMBER_BYTES];
    report_html(out, "<p class=\"lead\">");
    report_say(out, "%s: ", report_word(out, sentences[v]));
    if (has_value) {
        report_html(out, "%s ", report_label(out, metric));
        report_html_number(out, report_figure_text(text, out->language, benefit, 2, true));
    }
    if (v == REPORT_NO_VERDICT) {
        report_html(out, "%s", has_value ? "; " : "");
        if (benefit == NULL) {
            report_say(out, "there is no own model to compare with");
        } else {
            report_told(out, fl_json_get_string(benefit, "why", "no interval"));
        }
    }
    report_html(out, ".</p>\n");
}

/* "400 test cases (120 with opacity)" */
static void cases_words(report_page *out, const json_t *report, const json_t *site,
                        const json_t *global)
{
    long long n = (long long)fl_json_get_int(global, "n", 0);
    if (report_n_positive(site) >= 0) {
        report_say(out, "On your %lld test cases (%lld positive: %s)", n,
                   (long long)report_n_positive(site),
                   fl_json_get_string(report, "positive", report_word(out, "the positive class")));
    } else {
        report_say(out, "On your %lld test cases", n);
    }
}

static void both_models_sentence(report_page *out, const json_t *report, const json_t *site,
                                 const char *metric)
{
    char one[REPORT_NUMBER_BYTES], two[REPORT_NUMBER_BYTES];
    report_language l = out->language;
    const json_t *global = report_figure(report, site, "global", metric);
    const json_t *local = report_figure(report, site, "local", metric);
    if (isnan(report_value(global))) {
        return;
    }
    report_html(out, "<p>");
    cases_words(out, report, site, global);
    report_say(out, ", the shared model has %s %s", report_label(out, metric),
               report_figure_text(one, l, global, 2, false));
    if (!isnan(report_value(local))) {
        report_say(out, ", the model trained on your data alone %s",
                   report_figure_text(one, l, local, 2, false));
    }
    report_html(out, ".");
    const json_t *sensitivity = report_figure(report, site, "global", "sensitivity");
    const json_t *specificity = report_figure(report, site, "global", "specificity");
    if (!isnan(report_value(sensitivity)) && !isnan(report_value(specificity))) {
        report_html(out, " ");
        report_say(out, "At the frozen threshold its sensitivity is %s and its specificity %s.",
                   report_figure_text(one, l, sensitivity, 2, false),
                   report_figure_text(two, l, specificity, 2, false));
    } else if (!isnan(report_value(sensitivity))) {
        report_html(out, " ");
        report_say(out, "At the frozen threshold its sensitivity is %s.",
                   report_figure_text(one, l, sensitivity, 2, false));
    }
    int64_t rarer = report_rarer_class(site);
    if (rarer >= 0 && rarer < REPORT_FEW) {
        report_html(out, " ");
        report_say(out, "These are few cases: only %lld of the rarer class.", (long long)rarer);
    }
    report_html(out, "</p>\n");
}

/* Scores that rank cases, cut where they do not tell them apart. */
static void threshold_sentence(report_page *out, const json_t *report, const json_t *site)
{
    const json_t *auc = report_figure(report, site, "global", "auc");
    const json_t *balanced = report_figure(report, site, "global", "balanced_accuracy");
    char text[REPORT_NUMBER_BYTES];
    if (fl_json_get_number(auc, "ci_low") > 0.5 && fl_json_get_number(balanced, "ci_low") <= 0.5) {
        report_html(out, "<p>");
        report_say(out,
                   "The frozen threshold does not fit your patients: at it the model tells them "
                   "apart hardly better than chance (balanced accuracy %s), though its scores do. "
                   "Have it set anew before anyone acts on it.",
                   report_figure_text(text, out->language, balanced, 2, false));
        report_html(out, "</p>\n");
    }
}

static void calibration_sentence(report_page *out, const json_t *report, const json_t *site)
{
    const json_t *ece = report_figure(report, site, "global", "ece");
    double low = fl_json_get_number(ece, "ci_low"), high = fl_json_get_number(ece, "ci_high");
    char text[REPORT_NUMBER_BYTES];
    report_figure_text(text, out->language, ece, 2, false);
    if (low > poor_calibration) {
        report_html(out, "<p>");
        report_say(out,
                   "Do not read the scores as probabilities here: calibration is poor, error %s.",
                   text);
        report_html(out, "</p>\n");
    } else if (high <= poor_calibration) {
        report_html(out, "<p>");
        report_say(out, "The scores can be read as probabilities here: calibration error %s.",
                   text);
        report_html(out, "</p>\n");
    }
}

/* How far the model agrees with several annotators. */
static void annotators_sentence(report_page *out, const json_t *site)
{
    if (json_object_get(site, "annotators") != NULL) {
        report_html(out, "<p>");
        report_site_agreement(out, site);
        report_html(out, "</p>\n");
    }
}

/* Differences between groups that more than chance explains. */
static void flags_sentence(report_page *out, const json_t *site)
{
    report_page flags = REPORT_PAGE(out->language);
    if (report_site_flags(&flags, site) > 0) {
        report_html(out, "<p>");
        report_say(out, "The model does not serve all groups alike:");
        fl_buf_printf(&out->text, " %s.</p>\n", flags.text.data);
    }
    report_page_clear(&flags);
}

/* "sex F, age 0-40": shown groups without an interval, and suppressed ones. */
static void unknown_groups_sentence(report_page *out, const json_t *site, const char *metric)
{
    size_t i;
    const json_t *group;
    fl_buf groups = FL_BUF_INIT;
    json_array_foreach(json_object_get(site, "subgroups"), i, group) {
        const json_t *figure = json_object_get(group, metric);
        if (isnan(fl_json_get_number(figure, "ci_low"))) {
            char *value = report_group_value(out, group, "value");
            const char *finding = fl_json_get_string(group, "class", "");
            char *by = report_attribute_text(out, fl_json_get_string(group, "attribute", "?"));
            fl_buf_printf(&groups, "%s%s%s%s %s", groups.n > 0 ? ", " : "", finding,
                          finding[0] != '\0' ? report_word(out, ": ") : "", by, value);
            free(by);
            free(value);
        }
    }
    if (groups.n > 0) {
        report_html(out, "<p>");
        report_say(out, "Too few cases to judge the model for: %s.", groups.data);
        report_html(out, "</p>\n");
    }
    fl_buf_clear(&groups);
}

/* Place among the hospitals with a value. */
static void place_sentence(report_page *out, const json_t *report, const json_t *site,
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
    report_number(gap, out->language,
                  fl_json_get_number(json_object_get(report, "fairness"), "gap"), 2);
    report_html(out, "<p>");
    if (better == 0) {
        report_say(out,
                   "The shared model serves no other hospital better than yours (by its %s); the "
                   "gap between best and worst is %s.",
                   report_label(out, metric), gap);
    } else if (n == 2) {
        report_say(out,
                   "The shared model serves the other hospital better than yours (by its %s); the "
                   "gap between the two is %s.",
                   report_label(out, metric), gap);
    } else {
        report_say(out,
                   "The shared model serves %zu of the %zu other hospitals better than yours (by "
                   "its %s); the gap between best and worst is %s.",
                   better, n - 1, report_label(out, metric), gap);
    }
    report_html(out, "</p>\n");
}

static void absences_sentence(report_page *out, const json_t *report, const char *name)
{
    size_t n = 0;
    fl_buf missed = FL_BUF_INIT;
    report_absence *list = report_absences(report, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].site, name) == 0) {
            char *rounds = report_rounds_text(out, &list[i]);
            char *reason = report_told_text(out, list[i].reason);
            fl_buf_printf(&missed, "%s%s (%s)", missed.n > 0 ? "; " : "", rounds, reason);
            free(rounds);
            free(reason);
        }
    }
    if (missed.n > 0) {
        report_html(out, "<p>");
        report_say(out, "Your hospital missed %s.", missed.data);
        report_html(out, "</p>\n");
    }
    fl_buf_clear(&missed);
    free(list);
}

/* Where the strategy chooses among updates. */
static void chosen_sentence(report_page *out, const json_t *site)
{
    int64_t joined = fl_json_get_int(site, "rounds_joined", 0);
    int64_t chosen = fl_json_get_int(site, "rounds_chosen", -1);
    if (chosen < 0 || joined == 0) {
        return;
    }
    report_html(out, "<p>");
    report_say(out,
               "The strategy chooses among the hospitals' updates: yours counted in %lld of %lld "
               "rounds.",
               (long long)chosen, (long long)joined);
    report_html(out, "</p>\n");
}

static void add_verdict(report_page *out, const json_t *report, const json_t *site,
                        const char *metric)
{
    report_html(out, "<section id=\"verdict\" class=\"verdict %s\">\n<h2>%s</h2>\n",
                report_verdict_class(report_verdict_of(report, site, metric)),
                report_word(out, "In short"));
    lead_sentence(out, report, site, metric);
    both_models_sentence(out, report, site, metric);
    threshold_sentence(out, report, site);
    calibration_sentence(out, report, site);
    annotators_sentence(out, site);
    flags_sentence(out, site);
    unknown_groups_sentence(out, site, metric);
    place_sentence(out, report, site, metric);
    absences_sentence(out, report, report_site_name(site));
    chosen_sentence(out, site);
    if (json_array_size(json_object_get(site, "earlier_homes")) > 0) {
        report_html(out, "<p>");
        report_earlier_homes(out, site);
        report_html(out, "</p>\n");
    }
    report_privacy_sentence(out, report);
    report_rules_note(out);
    report_html_section_end(out);
}

/* ------------------------------------------------------------------ others */

static void add_others(report_page *out, const json_t *report, const json_t *site,
                       const char *metric)
{
    static const char *const columns[] = {REPORT_N("Hospital"), "#" REPORT_N("Test cases"),
                                          "#" REPORT_N("Shared model"),
                                          "#" REPORT_N("Benefit of joining"), NULL};
    const json_t *other;
    size_t i;
    report_html_section(out, "others", "How the shared model serves other hospitals");
    report_chart_forest(out, report, metric, report_site_name(site), 2);
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(json_object_get(report, "sites"), i, other) {
        bool own = other == site;
        report_html(out, "<tr class=\"%s\">", own ? "mark" : "");
        report_html_cell(out, "Hospital", false);
        report_html(out, "%s%s</td>", report_site_name(other),
                    own ? report_word(out, " (yours)") : "");
        report_html_count(out, "Test cases", fl_json_get_int(other, "n_test", 0));
        report_html_figure(out, "Shared model", report_figure(report, other, "global", metric), 2,
                           false);
        report_html_figure(out, "Benefit of joining",
                           report_figure(report, other, "benefit", metric), 2, true);
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out, "On each hospital's own test cases: %s.", report_label(out, metric));
    if (strcmp(fl_json_get_string(report, "names", "real"), "codes") == 0) {
        report_html(out, " ");
        report_say(out, "Other hospitals appear as codes.");
    }
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

static void add_rule(report_page *out, const char *rule)
{
    report_html(out, "<li>%s</li>\n", report_word(out, rule));
}

static void add_rules(report_page *out, const json_t *report, const json_t *site,
                      const char *metric)
{
    char limit[REPORT_NUMBER_BYTES];
    report_html_section(out, "rules", "How this page chooses its words");
    report_verdict_rules(out, report, metric);
    report_html(out, "<ul>\n<li>");
    report_say(out,
               "Calibration is called poor when the whole interval of the calibration error (ECE, "
               "bias taken off, 200 cases or more) lies above %s, and good when it lies below; in "
               "between nothing is said.",
               report_number(limit, out->language, poor_calibration, 2));
    report_html(out, "</li>\n");
    add_rule(out, REPORT_N("The frozen threshold is said not to fit when the interval of the AUC "
                           "lies above 0.5 and that of the balanced accuracy does not."));
    report_site_agreement_rule(out, site);
    add_rule(out, REPORT_N("A difference between groups is named when it is flagged: its test, "
                           "corrected after Holm over all tests of the page, gives less than "
                           ".04."));
    report_html(out, "<li>");
    report_say(out,
               "Groups are listed as too few to judge when they are suppressed or the figure that "
               "the page is judged by (%s) has no interval.",
               report_label(out, metric));
    report_html(out, "</li>\n");
    if (json_object_get(site, "uncertainty") != NULL) {
        add_rule(out, REPORT_N("Uncertainty is said to mark the errors when the whole interval of "
                               "the share of the error that referring cuts lies above 0, and to "
                               "mislead when it lies below."));
    }
    add_rule(out, REPORT_N("Which hospitals are served better is by the value, not by the "
                           "interval; hospitals without a value do not count."));
    add_rule(out, REPORT_N("What cannot be computed is shown as a dash with the reason, never as "
                           "0 or 0.5."));
    report_html(out, "</ul>\n");
    report_html_section_end(out);
}

static fl_status write_page(const json_t *report, const json_t *site, report_language language,
                            report_figures *figures, const char *path, fl_err *err)
{
    const char *metric = report_main_metric(report);
    char time[REPORT_NUMBER_BYTES];
    report_page out = REPORT_PAGE(language);
    out.figures = figures;
    report_figures_prefix(figures, report_site_name(site));
    char *eyebrow = fl_xasprintf(
        "%s \xc2\xb7 %s \xc2\xb7 %s", fl_json_get_string(report, "job", ""),
        fl_json_get_string(report, "federation", fl_json_get_string(report, "run", "")),
        report_time(time, language, fl_json_get_string(report, "created", "")));
    char *title = fl_xasprintf("%s %s", report_word(&out, "Report for the hospital"),
                               report_site_name(site));
    report_html_begin(&out, report, eyebrow, title);
    add_verdict(&out, report, site, metric);
    report_site_flow(&out, site);
    report_site_table1(&out, report, site);
    report_site_figures(&out, report, site);
    report_site_classes(&out, site);
    report_site_threshold(&out, report, site);
    report_site_calibration(&out, report, site);
    report_site_personal(&out, report, site, metric);
    report_site_sure(&out, site);
    report_site_explanations(&out, site);
    report_site_annotators(&out, site);
    report_site_unseen(&out, site);
    report_site_groups(&out, report, site);
    report_site_shift(&out, site);
    add_others(&out, report, site, metric);
    report_site_elsewhere(&out, report, site, metric);
    report_site_teams(&out, report, site, metric);
    report_privacy_section(&out, report);
    report_site_problems(&out, site);
    report_selection_section(&out, report);
    report_model_section(&out, report);
    add_rules(&out, report, site, metric);
    report_site_checklists(&out, report, site);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.text.data, out.text.n, 0644, err);
    report_page_clear(&out);
    free(eyebrow);
    free(title);
    return st;
}

fl_status report_write_site_with(const json_t *report, const char *site, report_language language,
                                 report_figures *figures, const char *path, fl_err *err)
{
    if (report_site(report, site) == NULL) {
        return fl_fail(err, FL_ENOTFOUND, "%s: no site \"%s\" in the report", path, site);
    }
    json_t *seen = report_for_site(report, site);
    fl_status st = write_page(seen, report_site(seen, site), language, figures, path, err);
    json_decref(seen);
    return st;
}

fl_status report_write_site(const json_t *report, const char *site, report_language language,
                            const char *path, fl_err *err)
{
    return report_write_site_with(report, site, language, NULL, path, err);
}
