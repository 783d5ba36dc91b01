/*
 * compare.c - several runs side by side
 */
#include <stdlib.h>

#include "base/sys.h"
#include "report/csv.h"
#include "report/html.h"
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

fl_status report_write_compare(const json_t *const *reports, size_t n, const char *html_path,
                               const char *csv_path, fl_err *err)
{
    fl_buf out = FL_BUF_INIT;
    report_html_begin(&out, "Runs side by side", "", reports[0]);
    for (size_t i = 0; i < n; i++) {
        char *text = report_text(reports[i]);
        report_html(&out, "<pre>%s</pre>", text);
        free(text);
    }
    report_html_end(&out, reports[0]);
    fl_status st = fl_file_write(html_path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    return st != FL_OK ? st : write_csv(reports, n, csv_path, err);
}
