/*
 * page_site.c - one hospital's page
 */
#include <stdlib.h>

#include "base/sys.h"
#include "report/html.h"
#include "report/read.h"
#include "report/report.h"

fl_status report_write_site(const json_t *report, const char *site, const char *path, fl_err *err)
{
    if (report_site(report, site) == NULL) {
        return fl_fail(err, FL_ENOTFOUND, "%s: no site \"%s\" in the report", path, site);
    }
    fl_buf out = FL_BUF_INIT;
    json_t *seen = report_for_site(report, site);
    char *text = report_text(seen);
    report_html_begin(&out, site, fl_json_get_string(report, "intended_use", ""), report);
    report_html(&out, "<pre>%s</pre>", text);
    report_html_end(&out, report);
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    free(text);
    json_decref(seen);
    fl_buf_clear(&out);
    return st;
}
