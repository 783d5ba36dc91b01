/*
 * test_drawings.c - drawings of the pages, and whole pages in a browser
 */
#include <sys/resource.h>

#include "check.h"
#include "report/gnuplot.h"
#include "report/pages.h"
#include "report/report.h"
#include "report/sample.h"

static bool has_gnuplot(void)
{
    return system("gnuplot --version >/dev/null 2>&1") == 0;
}

static void ids_of_a_page_are_unique(void **state)
{
    (void)state;
    if (!has_gnuplot()) {
        check_skip("gnuplot is not installed");
    }
    json_t *report = sample_read();
    char *page = page_text(report, NULL);
    size_t n = 0;
    for (const char *at = strstr(page, " id="); at != NULL; at = strstr(at + 1, " id=")) {
        char id[80];
        snprintf(id, sizeof id, "%.*s", (int)(strcspn(at + 5, "\"'") + 6), at);
        check(strstr(at + 1, id) == NULL);
        n++;
    }
    check(n > 40);  // two charts with their marks
    check_has_not(page, "<?xml");
    check_has_not(page, ">gnuplot_plot");  // a tooltip
    check_has(page, "<svg role=\"img\" aria-label=\"AUC of the models on each hospital&#39;s own");
    free(page);
    json_decref(report);
}

static void without_gnuplot_the_numbers_remain(void **state)
{
    (void)state;
    json_t *report = sample_read();
    char *path = fl_xstrdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    char *page = page_text(report, "nord");
    setenv("PATH", path, 1);
    check_has(page, "This chart could not be drawn (gnuplot is missing or failed); the table holds "
                    "the numbers.");
    check_has(page, "0.91");
    check_has_not(page, "<svg");
    free(page);
    free(path);
    json_decref(report);
}

/* A phone's letters are larger: long names leave room for a plot, long reasons stand in two lines. */
static void long_names_and_reasons_stay_inside_a_chart(void **state)
{
    (void)state;
    if (!has_gnuplot()) {
        check_skip("gnuplot is not installed");
    }
    const char *name = "clinique-universitaire-est";
    json_t *report = sample_read();
    sample_set(report, "sites[1].name", json_string(name));
    sample_set(report, "sites[1].models.global.auc",
               json_pack("{s:n, s:n, s:n, s:s}", "value", "ci_low", "ci_high", "why",
                         "fewer than 10 patients in the test split"));
    char *page = page_text(report, name);
    check_has(page, "<text>your hospital</text>");
    check_has(page, "<text>fewer than 10 patients in the test</text>");
    check_has(page, "<text>split</text>");
    check_has(page, "<text>no positive cases</text>");
    free(page);
    page = page_text(report, "nord");
    check_has(page, "<text>your hospital: nord</text>");
    check_has(page, "<text>clinique-universitaire-e</text>");
    check_has(page, "<text>fewer than 10 patients in</text>");
    check_has(page, "<text>the test split</text>");
    free(page);
    sample_set(report, "sites[1].models.global.auc.why",
               json_string("a reason that is far too long to stand in the two lines that there are"));
    page = page_text(report, "nord");
    check_has(page, "<text>a reason that is far too</text>");
    check_has(page, "<text>long to stand in the two …</text>");
    free(page);
    json_decref(report);
}

static void names_cannot_command_gnuplot(void **state)
{
    (void)state;
    if (!has_gnuplot()) {
        check_skip("gnuplot is not installed");
    }
    char *dir = check_tmpdir(), *proof = fl_path_join(dir, "proof");
    fl_buf name = FL_BUF_INIT;
    fl_buf_printf(&name,
                  "x'\n\"`touch %s`$(touch %s)\\\n!touch %s\n'; system('touch %s'); set label '@x",
                  proof, proof, proof, proof);
    json_t *report = sample_read();
    sample_set(report, "positive", json_string(name.data));
    sample_set(report, "sites[3].models.global.auc.why", json_string(name.data));
    free(page_text(report, NULL));
    char *page = page_text(report, "nord");
    check(!fl_file_exists(proof));
    check_has(page, "<svg");
    free(page);
    fl_buf_clear(&name);
    free(proof);
    check_rmdir(&dir);
    json_decref(report);
}

static void a_script_that_fails_is_told(void **state)
{
    (void)state;
    if (!has_gnuplot()) {
        check_skip("gnuplot is not installed");
    }
    fl_buf svg = FL_BUF_INIT;
    check(!report_gnuplot_run(&svg, "plot nothing_that_is_there\n"));
    fl_buf_clear(&svg);
    check(!report_gnuplot_run(&svg, ""));
    fl_buf_clear(&svg);
}

/* Seven sites, as slow a report as the ones that people wait for. */
static json_t *seven_sites(void)
{
    json_t *report = sample_read(), *sites = json_object_get(report, "sites");
    for (int i = 0; i < 3; i++) {
        char name[16];
        json_t *site = json_deep_copy(json_array_get(sites, (size_t)i));
        snprintf(name, sizeof name, "more%d", i);
        json_object_set_new(site, "name", json_string(name));
        json_array_append_new(sites, site);
    }
    return report;
}

/* Processor time of this process and of the drawings it waited for: what else
 * the machine does costs none of it. */
static double processor_seconds(void)
{
    double seconds = 0;
    const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage use;
        check(getrusage(whose[i], &use) == 0);
        seconds += (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                   1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    }
    return seconds;
}

static void seven_sites_render_in_five_seconds(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = seven_sites();
    char *dir = check_tmpdir();
    double start = processor_seconds();
    check_ok(report_write_all(report, REPORT_EN, dir, &err), err);
    double seconds = processor_seconds() - start;
    print_message("# seven sites: %.2f s\n", seconds);
    check(seconds < 5);
    check_rmdir(&dir);
    json_decref(report);
}

static void pages_open_in_a_browser(void **state)
{
    (void)state;
    if (system("command -v chromium >/dev/null 2>&1") != 0) {
        check_skip("chromium is not installed");
    }
    static const char *const samples[] = {"sample.json", "sure.json", "full.json"};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    for (size_t i = 0; i < 3; i++) {
        json_t *report = sample_read_of(samples[i]);
        char *folder = fl_path_join(dir, samples[i]);
        check_ok(fl_mkdirs(folder, 0755, &err), err);
        check_ok(report_write_all(report, REPORT_EN, folder, &err), err);
        free(folder);
        json_decref(report);
    }
    char *command = fl_xasprintf(
        "cd %s && \"$OLDPWD\"/tests/report/page_check.sh --expect 'How this page chooses its words' "
        "sample.json/index.html sample.json/sites/est.html sample.json/sites/ouest.html "
        "sure.json/sites/nord.html full.json/index.html full.json/sites/iles.html >said 2>&1", dir);
    if (system(command) != 0) {
        char *path = fl_path_join(dir, "said"), *said = NULL;
        size_t n = 0;
        check_ok(fl_file_read(&said, &n, path, 1 << 20, &err), err);
        check_fail("%s", said);
    }
    free(command);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_a_page_are_unique),
        cmocka_unit_test(without_gnuplot_the_numbers_remain),
        cmocka_unit_test(long_names_and_reasons_stay_inside_a_chart),
        cmocka_unit_test(names_cannot_command_gnuplot),
        cmocka_unit_test(a_script_that_fails_is_told),
        cmocka_unit_test(seven_sites_render_in_five_seconds),
        cmocka_unit_test(pages_open_in_a_browser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
