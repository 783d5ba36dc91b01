/*
 * test_report.c - the report as JSON, text and tables
 */
#include "check.h"
#include "report/report.h"

static json_t *sample(void)
{
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    check_ok(fl_json_read(&json, "tests/report/sample.json", 4 << 20, &err), err);
    return json;
}

static void a_report_is_checked_and_written(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample();
    char *dir = check_tmpdir();
    check_ok(report_check(report, &err), err);
    check_ok(report_write_all(report, dir, &err), err);
    const char *const files[] = {"report.json", "index.html",      "rounds.csv",
                                 "sites.csv",   "sites/nord.html", "sites/ouest.html"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = fl_path_join(dir, files[i]);
        check(fl_file_exists(path));
        free(path);
    }
    check_rmdir(&dir);
    json_decref(report);
}

static void text_fits_a_terminal(void **state)
{
    (void)state;
    json_t *report = sample();
    char *text = report_text(report);
    puts(text);
    check_has(text, "nord");
    check_has(text, "cannot tell");
    check_has(text, "The coordinator could see each hospital's update.");
    json_decref(report);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_checked_and_written),
        cmocka_unit_test(text_fits_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
