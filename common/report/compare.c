/*
 * compare.c - several runs side by side: one page, one tidy table
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "report/charts.h"
#include "report/csv.h"
#include "report/figures.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"

static void add_csv(fl_buf *out, const json_t *report)
{
    fl_buf prefix = FL_BUF_INIT;
    report_csv_text(&prefix, fl_json_get_string(report, "run", ""));
    fl_buf_puts(&prefix, ",");
    report_csv_text(&prefix, fl_json_get_string(report, "job", ""));
    fl_buf_puts(&prefix, ",");
    report_csv_text(&prefix, fl_json_get_string(report, "strategy", ""));
    fl_buf_printf(&prefix, ",%lld,", (long long)fl_json_get_int(report, "seed", 0));
    report_csv_sites(out, prefix.data, report);
    fl_buf_clear(&prefix);
}

static fl_status write_csv(const json_t *const *reports, size_t n, const char *path, fl_err *err)
{
    fl_buf out = FL_BUF_INIT;
    fl_buf_puts(&out, "run,job,strategy,seed,site,model,metric,value,ci_low,ci_high,n,"
                      "n_positive,n_patients,method,why\n");
    for (size_t i = 0; i < n; i++) {
        add_csv(&out, reports[i]);
    }
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    return st;
}

/* ---------------------------------------------------------------- the page */

/* "fedprox, seed 1" and the run's name below. */
static void add_run_cell(report_page *out, const json_t *report)
{
    report_html_cell(out, "Run", false);
    report_html(out, "<span>");
    report_say(out, "%s, seed %lld", fl_json_get_string(report, "strategy", "?"),
               (long long)fl_json_get_int(report, "seed", 0));
    report_html(out, " <span class=\"ci\">%s %s</span></span></td>",
                fl_json_get_string(report, "job", ""), fl_json_get_string(report, "run", ""));
}

static void add_run(report_page *out, const json_t *report, const char *metric)
{
    const json_t *f = json_object_get(report, "fairness");
    bool same = strcmp(fl_json_get_string(f, "metric", metric), metric) == 0;
    char worst[REPORT_NUMBER_BYTES];
    report_html(out, "<tr>");
    add_run_cell(out, report);
    report_html_count(out, "Rounds", fl_json_get_int(report, "rounds_done", 0));
    report_html_figure(out, "All test cases", report_pooled(report, metric),
                       3, false);
    report_html_value(out, "Mean of hospitals", same ? fl_json_get_number(f, "mean") : NAN, 3);
    report_html_cell(out, "Worst hospital", true);
    report_html(out, "<span>%s <span class=\"ci\">%s</span></span></td>",
                report_number(worst, out->language, same ? fl_json_get_number(f, "worst") : NAN, 3),
                same ? fl_json_get_string(f, "worst_site", "") : "");
    report_html_value(out, "Gap", same ? fl_json_get_number(f, "gap") : NAN, 3);
    report_html(out, "</tr>\n");
}

static void add_runs(report_page *out, const json_t *const *reports, size_t n, const char *metric)
{
    static const char *const columns[] = {REPORT_N("Run"),
                                          "#" REPORT_N("Rounds"),
                                          "#" REPORT_N("All test cases"),
                                          "#" REPORT_N("Mean of hospitals"),
                                          "#" REPORT_N("Worst hospital"),
                                          "#" REPORT_N("Gap"),
                                          NULL};
    report_html_section(out, "runs", "The runs");
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t i = 0; i < n; i++) {
        add_run(out, reports[i], metric);
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "%s of the shared model, each run's selected round, on test cases. Runs that differ "
               "in their seed differ by chance as well.",
               report_label(out, metric));
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

/* Every hospital of any run, in the order of first sight. */
static json_t *all_sites(const json_t *const *reports, size_t n)
{
    json_t *names = json_object();
    for (size_t i = 0; i < n; i++) {
        size_t k;
        const json_t *site;
        json_array_foreach(json_object_get(reports[i], "sites"), k, site) {
            json_object_set_new(names, report_site_name(site), json_null());
        }
    }
    return names;
}

static void add_hospital(report_page *out, const json_t *const *reports, size_t n, const char *name,
                         const char *metric)
{
    static const char *const columns[] = {
        REPORT_N("Run"),           "#" REPORT_N("Shared model"),
        "#" REPORT_N("Own model"), "#" REPORT_N("Benefit of joining"),
        REPORT_N("Joining"),       NULL};
    report_html(out, "<h3>%s</h3>\n", name);
    report_html_table(out, REPORT_CARDS, columns);
    for (size_t i = 0; i < n; i++) {
        const json_t *site = report_site(reports[i], name);
        report_html(out, "<tr>");
        add_run_cell(out, reports[i]);
        report_html_figure(out, "Shared model", report_figure(reports[i], site, "global", metric),
                           3, false);
        report_html_figure(out, "Own model", report_figure(reports[i], site, "local", metric), 3,
                           false);
        report_html_figure(out, "Benefit of joining",
                           report_figure(reports[i], site, "benefit", metric), 3, true);
        report_verdict_cell(out, "Joining", report_verdict_of(reports[i], site, metric));
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
}

static void add_hospitals(report_page *out, const json_t *const *reports, size_t n,
                          const char *metric)
{
    json_t *names = all_sites(reports, n), *none;
    const char *name;
    report_html_section(out, "hospitals", "Hospital by hospital");
    json_object_foreach(names, name, none) {
        add_hospital(out, reports, n, name, metric);
    }
    report_html_section_end(out);
    json_decref(names);
}

/* ----------------------------------------------------------- what it shows */

static const char *arm_label(const json_t *contrasts, const json_t *item)
{
    size_t arm = (size_t)fl_json_get_int(item, "arm", 0);
    return fl_json_get_string(json_array_get(json_object_get(contrasts, "arms"), arm), "label",
                              "?");
}

static const char *first_label(const json_t *contrasts)
{
    return fl_json_get_string(json_array_get(json_object_get(contrasts, "arms"), 0), "label", "?");
}

/* p below .05 after correction. */
static bool is_clear(const json_t *item)
{
    return fl_json_get_number(item, "p_holm") < 0.05;
}

/* A sentence an arm, by the mean of hospitals over seeds. */
static void add_findings(report_page *out, const json_t *contrasts)
{
    const char *metric = fl_json_get_string(contrasts, "metric", "auc");
    double sign = report_higher_is_better(metric) ? 1 : -1;
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(contrasts, "seeds"), i, item) {
        char text[REPORT_NUMBER_BYTES];
        if (fl_json_get_string(item, "site", "")[0] != '\0') {
            continue;
        }
        report_figure_text(text, out->language, item, 3, true);
        report_html(out, "<p class=\"lead\">");
        if (isnan(report_value(item))) {
            report_say(out, "%s and %s have no seed in common: nothing is paired.",
                       arm_label(contrasts, item), first_label(contrasts));
        } else if (!is_clear(item)) {
            report_say(out, "Whether %s differs from %s, these runs do not tell: %s %s.",
                       arm_label(contrasts, item), first_label(contrasts),
                       report_label(out, metric), text);
        } else if (sign * report_value(item) > 0) {
            report_say(out, "%s is better than %s: %s %s.", arm_label(contrasts, item),
                       first_label(contrasts), report_label(out, metric), text);
        } else {
            report_say(out, "%s is worse than %s: %s %s.", arm_label(contrasts, item),
                       first_label(contrasts), report_label(out, metric), text);
        }
        report_html(out, "</p>\n");
    }
}

static void add_arms(report_page *out, const json_t *contrasts)
{
    static const char *const columns[] = {REPORT_N("Settings"), "#" REPORT_N("Seeds"),
                                          "#" REPORT_N("Mean of hospitals"),
                                          "#" REPORT_N("Standard deviation over seeds"), NULL};
    const json_t *arms = json_object_get(contrasts, "arms"), *arm;
    size_t i;
    report_html_table(out, REPORT_CARDS, columns);
    json_array_foreach(arms, i, arm) {
        report_html(out, "<tr>");
        report_html_cell(out, "Settings", false);
        report_html(out, "%s</td>", fl_json_get_string(arm, "label", "?"));
        report_html_count(out, "Seeds", fl_json_get_int(arm, "n", 0));
        report_html_value(out, "Mean of hospitals", fl_json_get_number(arm, "mean"), 3);
        report_html_value(out, "Standard deviation over seeds", fl_json_get_number(arm, "sd"), 3);
        report_html(out, "</tr>\n");
    }
    report_html_table_end(out);
}

/* "p = 0.012", or below the least that is shown. */
static void add_p_cell(report_page *out, const char *column, double p)
{
    char text[REPORT_NUMBER_BYTES];
    report_html_cell(out, column, true);
    if (p < 0.001) {
        report_html(out, "&lt; %s</td>", report_number(text, out->language, 0.001, 3));
    } else {
        report_html(out, "%s</td>", isnan(p) ? "" : report_number(text, out->language, p, 3));
    }
}

static void add_tests(report_page *out, const json_t *contrasts, const char *list)
{
    static const char *const columns[] = {REPORT_N("Settings"),    REPORT_N("Hospital"),
                                          "#" REPORT_N("Seed"),    "#" REPORT_N("Difference"),
                                          "#" REPORT_N("p"),       "#" REPORT_N("p, corrected"),
                                          REPORT_N("Interval by"), NULL};
    bool of_cases = strcmp(list, "cases") == 0;
    const char *shown[8];
    size_t n = 0, i;
    for (size_t c = 0; c < 8; c++) {
        if (c != 2 || of_cases) {
            shown[n++] = columns[c];
        }
    }
    const json_t *item;
    report_html_table(out, REPORT_CARDS, shown);
    json_array_foreach(json_object_get(contrasts, list), i, item) {
        const char *site = fl_json_get_string(item, "site", "");
        report_html(out, "<tr class=\"%s\">", is_clear(item) ? "mark" : "");
        report_html_cell(out, "Settings", false);
        report_html(out, "%s</td>", arm_label(contrasts, item));
        report_html_cell(out, "Hospital", false);
        report_html(out, "%s</td>", site[0] != '\0' ? site : report_word(out, "mean of hospitals"));
        if (of_cases) {
            report_html_count(out, "Seed", fl_json_get_int(item, "seed", 0));
        }
        report_html_figure(out, "Difference", item, 3, true);
        add_p_cell(out, "p", fl_json_get_number(item, "p"));
        add_p_cell(out, "p, corrected", fl_json_get_number(item, "p_holm"));
        report_html_cell(out, "Interval by", false);
        report_html(out, "<span class=\"soft\">");
        report_told(out, fl_json_get_string(item, "method", ""));
        report_html(out, "</span></td></tr>\n");
    }
    report_html_table_end(out);
}

/* Over how many seeds anything is compared. */
static int64_t most_seeds(const json_t *contrasts)
{
    int64_t most = 0;
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(contrasts, "seeds"), i, item) {
        int64_t n = fl_json_get_int(item, "n", 0);
        most = n > most ? n : most;
    }
    return most;
}

static void add_contrasts(report_page *out, const json_t *contrasts)
{
    if (json_array_size(json_object_get(contrasts, "arms")) < 2) {
        report_html_section(out, "contrasts", "What differs");
        report_html(out, "<p>");
        report_say(out, "All runs have the same settings: they show what the seed alone changes.");
        report_html(out, "</p>\n");
        add_arms(out, contrasts);
        report_html_section_end(out);
        return;
    }
    report_html_section(out, "contrasts", "What differs");
    add_findings(out, contrasts);
    add_arms(out, contrasts);
    report_chart_contrasts(out, contrasts, most_seeds(contrasts) > 1 ? "seeds" : "cases", 1);
    report_html_section_end(out);
    report_html_section(out, "over-seeds", "Over seeds");
    report_html(out, "<p>");
    report_say(out, "Would other seeds (other data, other first weights) have given the same? The "
                    "difference of the settings at every seed that both have, paired.");
    report_html(out, "</p>\n");
    add_tests(out, contrasts, "seeds");
    report_html_section_end(out);
    report_html_section(out, "over-cases", "Over test cases");
    report_html(out, "<p>");
    report_say(out,
               "Would other patients have given the same? The two models of a seed on a "
               "hospital's test cases: paired by case where the case scores are at hand (a "
               "simulation, or at the hospital itself), else from the standard errors of both, "
               "as if the cases were different ones, for case scores do not leave a hospital.");
    report_html(out, "</p>\n");
    add_tests(out, contrasts, "cases");
    report_html(out, "<p class=\"note\">");
    report_say(out, "p, corrected: after Holm over all tests of this page. Shaded: below .05.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------------ together */

static void add_tests_csv(fl_buf *out, const json_t *contrasts, const char *list)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(contrasts, list), i, item) {
        const char *site = fl_json_get_string(item, "site", "");
        int64_t seed = fl_json_get_int(item, "seed", -1);
        fl_buf_printf(out, "%s,", list);
        report_csv_text(out, fl_json_get_string(contrasts, "metric", ""));
        fl_buf_puts(out, ",");
        report_csv_text(out, arm_label(contrasts, item));
        fl_buf_puts(out, ",");
        report_csv_text(out, first_label(contrasts));
        fl_buf_puts(out, ",");
        report_csv_text(out, site[0] != '\0' ? site : "mean of hospitals");
        fl_buf_puts(out, ",");
        if (seed >= 0) {
            fl_buf_printf(out, "%lld", (long long)seed);
        }
        fl_buf_puts(out, ",");
        report_csv_number(out, fl_json_get_number(item, "p"));
        fl_buf_puts(out, ",");
        report_csv_number(out, fl_json_get_number(item, "p_holm"));
        fl_buf_puts(out, ",");
        report_csv_figure(out, item);
    }
}

static fl_status write_tests_csv(const json_t *contrasts, const char *path, fl_err *err)
{
    fl_buf out = FL_BUF_INIT;
    fl_buf_puts(&out, "over,metric,settings,against,site,seed,p,p_holm,value,ci_low,ci_high,n,"
                      "n_positive,n_patients,method,why\n");
    add_tests_csv(&out, contrasts, "seeds");
    add_tests_csv(&out, contrasts, "cases");
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    return st;
}

enum { MOST_RUNS = 12 };  // more are in results.csv, not on the page hospital by hospital

static void add_page(report_page *out, const json_t *const *reports, size_t n,
                     const json_t *contrasts)
{
    const char *metric = contrasts != NULL ? fl_json_get_string(contrasts, "metric", "auc")
                                           : report_main_metric(reports[0]);
    report_html_begin(out, reports[0], report_word(out, "Federated runs, side by side"),
                      fl_json_get_string(reports[0], "job", "run"));
    if (contrasts != NULL) {
        add_contrasts(out, contrasts);
    }
    add_runs(out, reports, n, metric);
    if (n <= MOST_RUNS) {
        add_hospitals(out, reports, n, metric);
    }
    report_html_section(out, "privacy", "Privacy");
    for (size_t i = 0; i < (n <= MOST_RUNS ? n : 1); i++) {
        report_privacy_sentence(out, reports[i]);
    }
    report_html_section_end(out);
    report_html_section(out, "rules", "How this page chooses its words");
    if (contrasts != NULL) {
        report_html(out, "<p>");
        report_say(out, "Better or worse is said when the difference over seeds, of the mean of "
                        "hospitals, has a corrected p below .05 (paired t); else these runs do not "
                        "tell.");
        report_html(out, "</p>\n");
    }
    report_verdict_rules(out, reports[0], metric);
    report_html_section_end(out);
    report_html_end(out, reports[0]);
}

static fl_status write_files(const report_page *page, const json_t *const *reports, size_t n,
                             const json_t *contrasts, const char *dir, fl_err *err)
{
    char *html = fl_xasprintf("%s/compare%s", dir, report_page_suffix(page->language));
    char *results = fl_path_join(dir, "results.csv"), *tests = fl_path_join(dir, "tests.csv");
    char *figures = fl_path_join(dir, "figures");
    fl_status st;
    if ((st = fl_mkdirs(dir, 0755, err)) == FL_OK &&
        (st = fl_file_write(html, page->text.data, page->text.n, 0644, err)) == FL_OK &&
        (st = write_csv(reports, n, results, err)) == FL_OK && contrasts != NULL &&
        (st = write_tests_csv(contrasts, tests, err)) == FL_OK) {
        st = report_figures_write(page->figures, page->language, figures, err);
    }
    free(html);
    free(results);
    free(tests);
    free(figures);
    return st;
}

fl_status report_write_compare(const json_t *const *reports, size_t n, const json_t *contrasts,
                               report_language language, const char *dir, fl_err *err)
{
    FL_REQUIRE(n > 0);
    for (size_t i = 0; i < n; i++) {
        fl_status st = report_check(reports[i], err);
        if (st != FL_OK) {
            return fl_wrap(err, st, "run %zu of %zu", i + 1, n);
        }
    }
    report_page page = REPORT_PAGE(language);
    page.figures = report_figures_new();
    report_figures_prefix(page.figures, "compare");
    add_page(&page, reports, n, contrasts);
    fl_status st = write_files(&page, reports, n, contrasts, dir, err);
    report_figures_destroy(&page.figures);
    report_page_clear(&page);
    return st;
}
