/*
 * page_index.c - the run's page
 */
#include <stdlib.h>

#include "base/sys.h"
#include "report/html.h"
#include "report/report.h"

fl_status report_write_index(const json_t *report, const char *path, fl_err *err)
{
    fl_buf out = FL_BUF_INIT;
    char *text = report_text(report);
    report_html_begin(&out, fl_json_get_string(report, "job", "run"),
                      fl_json_get_string(report, "intended_use", ""), report);
    report_html(&out, "<pre>%s</pre>", text);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    free(text);
    fl_buf_clear(&out);
    return st;
}
