/*
 * pages.c - see pages.h
 */
#include "report/pages.h"

#include "check.h"
#include "report/report.h"

char *page_in(report_language language, const json_t *report, const char *site)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "page.html"), *text = NULL;
    size_t n = 0;
    if (site == NULL) {
        check_ok(report_write_index(report, language, path, &err), err);
    } else {
        check_ok(report_write_site(report, site, language, path, &err), err);
    }
    check_ok(fl_file_read(&text, &n, path, 64 << 20, &err), err);
    free(path);
    check_rmdir(&dir);
    return text;
}

char *page_text(const json_t *report, const char *site)
{
    return page_in(REPORT_EN, report, site);
}

void check_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        check_fail("the page contains \"%s\"", part);
    }
}
