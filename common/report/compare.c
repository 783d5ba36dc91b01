/*
 * compare.c - several runs side by side: one page, one tidy table
 */
#include <math.h>
#include <string.h>

#include "base/sys.h"
#include "report/csv.h"
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
    report_html_figure(out, "All test cases", report_at(report, "pooled", "global", metric, NULL),
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

fl_status report_write_compare(const json_t *const *reports, size_t n, report_language language,
                               const char *html_path, const char *csv_path, fl_err *err)
{
    FL_REQUIRE(n > 0);
    fl_status st;
    for (size_t i = 0; i < n; i++) {
        if ((st = report_check(reports[i], err)) != FL_OK) {
            return fl_wrap(err, st, "run %zu of %zu", i + 1, n);
        }
    }
    const char *metric = report_main_metric(reports[0]);
    report_page out = REPORT_PAGE(language);
    report_html_begin(&out, reports[0], report_word(&out, "Federated runs, side by side"),
                      fl_json_get_string(reports[0], "job", "run"));
    add_runs(&out, reports, n, metric);
    add_hospitals(&out, reports, n, metric);
    report_html_section(&out, "privacy", "Privacy");
    for (size_t i = 0; i < n; i++) {
        report_privacy_sentence(&out, reports[i]);
    }
    report_html_section_end(&out);
    report_html_section(&out, "rules", "How this page chooses its words");
    report_verdict_rules(&out, reports[0], metric);
    report_html_section_end(&out);
    report_html_end(&out, reports[0]);
    st = fl_file_write(html_path, out.text.data, out.text.n, 0644, err);
    report_page_clear(&out);
    return st != FL_OK ? st : write_csv(reports, n, csv_path, err);
}
