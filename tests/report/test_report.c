/*
 * test_report.c - the report as JSON, text and tables
 */
#include "check.h"
#include "report/read.h"
#include "report/report.h"
#include "report/sample.h"

static void a_report_is_checked_and_written(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *dir = check_tmpdir();
    check_ok(report_check(report, &err), err);
    check_ok(report_write_all(report, REPORT_EN, dir, &err), err);
    static const char *const files[] = {
        "report.json",     "index.html",     "rounds.csv",     "sites.csv",
        "sites/nord.html", "sites/sud.html", "sites/est.html", "sites/ouest.html",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = fl_path_join(dir, files[i]);
        check(fl_file_exists(path));
        free(path);
    }
    check_rmdir(&dir);
    json_decref(report);
}

static void a_refused_report_leaves_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *dir = check_tmpdir();
    json_object_set_new(report, "rounds_done", json_integer(-3));
    check_fails(report_write_all(report, REPORT_EN, dir, &err), FL_EFORMAT);
    check_has(err.text, "rounds_done: expected a whole number >= 0, found -3");
    char **names = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    check_int(n, 0);
    fl_names_free(&names, n);
    check_rmdir(&dir);
    json_decref(report);
}

/* ------------------------------------------------------------------- text */

static void text_fits_a_terminal(void **state)
{
    (void)state;
    json_t *report = sample_read();
    char *text = report_text(report);
    check_has(text,
              "chest-opacity: fedprox, 20 of 20 rounds; model of round 16 (AUC 0.876 on val)");
    check_has(text, "nord           1500    400  0.91 [0.88, 0.94]");
    check_has(text, "cannot tell");
    check_has(text, "helps");
    check_has(text, "not judged");
    check_has(text, "absent: centre (never there): never connected: the invitation was not used");
    check_has(text, "absent: sud (rounds 7-8): no progress for 10m");
    check_has(text, "The coordinator could see each hospital's update.");
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        check(strlen(line) <= 100);
        check(line[strlen(line) - 1] != ' ');
    }
    json_decref(report);
    free(text);
}

static void rounds_of_an_absence_are_joined(void **state)
{
    (void)state;
    json_t *report = sample_read();
    json_t *rounds = json_object_get(report, "rounds");
    for (size_t r = 0; r < json_array_size(rounds); r++) {
        json_t *absent = json_object_get(json_array_get(rounds, r), "absent");
        if (r == 2 || (r >= 4 && r <= 6) || r >= 18) {
            json_array_append_new(absent,
                                  json_pack("{ss ss}", "site", "nord", "reason", "power cut"));
        }
    }
    char *text = report_text(report);
    check_has(text, "absent: nord (rounds 3, 5-7, 19-20): power cut");
    json_decref(report);
    free(text);
}

/* ----------------------------------------------------------------- tables */

static char *file_text(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name), *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 64 << 20, &err), err);
    free(path);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

static void tables_are_tidy(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *dir = check_tmpdir();
    check_ok(report_write_all(report, REPORT_EN, dir, &err), err);

    char *rounds = file_text(dir, "rounds.csv");
    check_has(rounds, "round,seconds,bytes_up,bytes_down,loss,participants,absent\n1,");
    check_int(count_lines(rounds), 21);
    check_has(rounds, "nord;est;ouest,centre: never connected;sud: no progress for 10m: stalled");

    char *sites = file_text(dir, "sites.csv");
    check_has(sites, "site,model,metric,value,ci_low,ci_high,n,n_positive,n_patients,method,why\n");
    check_has(sites, "\nnord,global,auc,0.91");
    check_has(sites, "\nnord,local,auc,");
    check_has(sites, "\nnord,centralised,auc,");
    check_has(sites, "\nnord,benefit,auc,");
    check_has(sites, "\nouest,global,auc,,,,60,0,60,none,no positive cases\n");
    check_has(sites, "\npooled,global,auc,");
    // 4 sites x 3 models x 18 metrics, 4 x 6 differences, 2 x 18 pooled.
    check_int(count_lines(sites), 1 + 216 + 24 + 36);
    free(rounds);
    free(sites);
    check_rmdir(&dir);
    json_decref(report);
}

static void a_reason_cannot_become_a_formula(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    json_t *auc = json_object_get(
        json_object_get(
            json_object_get(json_array_get(json_object_get(report, "sites"), 3), "models"),
            "global"),
        "auc");
    json_object_set_new(auc, "why", json_string("=HYPERLINK(\"http://x\", \"click\")"));
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "sites.csv");
    check_ok(report_write_sites_csv(report, path, &err), err);
    char *text = file_text(dir, "sites.csv");
    check_has(text, "none,\"'=HYPERLINK(\"\"http://x\"\", \"\"click\"\")\"\n");
    free(text);
    free(path);
    check_rmdir(&dir);
    json_decref(report);
}

/* ------------------------------------------------------------------ codes */

static void others_appear_as_codes(void **state)
{
    (void)state;
    json_t *report = sample_read();
    json_object_set_new(report, "names", json_string("codes"));
    json_t *absent = json_object_get(json_array_get(json_object_get(report, "rounds"), 6),
                                     "absent");
    json_object_set_new(json_array_get(absent, 1), "reason", json_string("stalled; est waited"));
    json_t *seen = report_for_site(report, "nord");
    char *text = fl_json_text(seen);

    // centre, est, nord, ouest, sud by name: H1 H2 (nord) H4 H5.
    static const char *const gone[] = {"\"sud\"",    "\"est\"",    "\"ouest\"", "\"centre\"",
                                       "est waited", "192.0.2.17", "<script>"};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        if (strstr(text, gone[i]) != NULL) {
            check_fail("%s is still in the report", gone[i]);
        }
    }
    check_has(text, "\"name\": \"nord\"");
    check_has(text, "\"name\": \"H5\"");
    check_has(text, "stalled; H2 waited");
    check_has(text, "\"worst_site\": \"H2\"");
    fl_err err = FL_ERR_INIT;
    check_ok(report_check(seen, &err), err);

    // The original is as it was, and real names stay.
    check_str(fl_json_get_string(json_array_get(json_object_get(report, "sites"), 1), "name", ""),
              "sud");
    json_object_set_new(report, "names", json_string("real"));
    json_t *same = report_for_site(report, "nord");
    check(json_equal(same, report));
    json_decref(seen);
    json_decref(same);
    json_decref(report);
    free(text);
}

/* ---------------------------------------------------------------- compare */

static void runs_stand_side_by_side(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *a = sample_read(), *b = sample_read();
    json_object_set_new(b, "run", json_string("second"));
    json_object_set_new(b, "strategy", json_string("fedavg"));
    json_array_remove(json_object_get(b, "sites"), 0);  // another set of hospitals
    const json_t *runs[] = {a, b};
    char *dir = check_tmpdir();
    check_ok(report_write_compare(runs, 2, NULL, REPORT_EN, dir, &err), err);
    char *page = file_text(dir, "compare.html"), *table = file_text(dir, "results.csv");
    check_has(page, "fedavg, seed 1");
    check_has(page, "Research use. Not a medical device.");
    check_has(table, "\nsecond,chest-opacity,fedavg,1,sud,global,auc,");
    check(strstr(table, "\nsecond,chest-opacity,fedavg,1,nord,") == NULL);
    free(page);
    free(table);
    check_rmdir(&dir);
    json_decref(a);
    json_decref(b);
}

static void settings_are_held_against_each_other(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *a = sample_read(), *b = sample_read();
    const json_t *runs[] = {a, b};
    json_t *contrasts = json_loads(
        "{\"metric\": \"auc\", \"arms\": [{\"label\": \"mu=0\", \"n\": 3, \"mean\": 0.85, \"sd\": "
        "0.01},"
        " {\"label\": \"mu=1\", \"n\": 3, \"mean\": 0.88, \"sd\": 0.02}],"
        " \"seeds\": [{\"arm\": 1, \"site\": \"\", \"value\": 0.03, \"ci_low\": 0.01, \"ci_high\": "
        "0.05,"
        "  \"n\": 3, \"p\": 0.0004, \"p_holm\": 0.0008, \"method\": \"paired t over seeds\", "
        "\"why\": \"\"},"
        "  {\"arm\": 1, \"site\": \"nord\", \"value\": 0.02, \"ci_low\": null, \"ci_high\": null, "
        "\"n\": 3,"
        "  \"p\": null, \"p_holm\": null, \"method\": \"none\","
        "  \"why\": \"the difference is the same at every seed\"}],"
        " \"cases\": [{\"arm\": 1, \"site\": \"nord\", \"seed\": 4, \"value\": 0.02, \"ci_low\": "
        "-0.01,"
        "  \"ci_high\": 0.05, \"n\": 400, \"n_positive\": 120, \"n_patients\": 400, \"p\": 0.2,"
        "  \"p_holm\": 0.4, \"method\": \"DeLong, paired\", \"why\": \"\"}]}",
        0, NULL);
    check(contrasts != NULL);
    char *dir = check_tmpdir();
    check_ok(report_write_compare(runs, 2, contrasts, REPORT_EN, dir, &err), err);
    char *page = file_text(dir, "compare.html"), *tests = file_text(dir, "tests.csv");
    check_has(page, "mu=1 is better than mu=0: AUC +0.030 [+0.010, +0.050].");
    check_has(page, "&lt; 0.001");
    check_has(page, "Would other patients have given the same?");
    check_has(tests, "over,metric,settings,against,site,seed,p,p_holm,value,ci_low,ci_high,n,");
    check_has(tests, "\nseeds,auc,mu=1,mu=0,mean of hospitals,,0.0004,0.0008,0.03,0.01,0.05,3,");
    check_has(tests, "\ncases,auc,mu=1,mu=0,nord,4,0.2,0.4,0.02,-0.01,0.05,400,120,400,"
                     "\"DeLong, paired\",");
    free(page);
    free(tests);
    if (system("gnuplot --version >/dev/null 2>&1") == 0) {
        char *svg = file_text(dir, "figures/compare-contrasts.svg");
        char *pdf = file_text(dir, "figures/compare-contrasts.pdf");
        check_has(svg, "</svg>");
        check(strncmp(pdf, "%PDF", 4) == 0);
        free(svg);
        free(pdf);
    }
    json_object_set_new(json_array_get(json_object_get(contrasts, "seeds"), 0), "p_holm",
                        json_real(0.06));
    check_ok(report_write_compare(runs, 2, contrasts, REPORT_EN, dir, &err), err);
    page = file_text(dir, "compare.html");
    check_has(page, "Whether mu=1 differs from mu=0, these runs do not tell: AUC +0.030");
    free(page);
    check_rmdir(&dir);
    json_decref(contrasts);
    json_decref(a);
    json_decref(b);
}

static void drawings_are_files_of_their_own(void **state)
{
    (void)state;
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        check_skip("gnuplot is not installed");
    }
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *dir = check_tmpdir();
    check_ok(report_write_all_figures(report, REPORT_FR, dir, &err), err);
    static const char *const names[] = {"run-chart-sites",  "run-chart-rounds",   "nord-scores",
                                        "nord-calibration", "nord-calibration-2", "nord-others"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *svg = fl_xasprintf("figures/%s.fr.svg", names[i]);
        char *pdf = fl_xasprintf("figures/%s.fr.pdf", names[i]);
        char *drawn = file_text(dir, svg), *printed = file_text(dir, pdf);
        check_has(drawn, "</svg>");
        check(strncmp(drawn, "<?xml", 5) == 0);  // a document, not a part of a page
        check(strncmp(printed, "%PDF", 4) == 0);
        free(drawn);
        free(printed);
        free(svg);
        free(pdf);
    }
    check_rmdir(&dir);
    json_decref(report);
}

static void who_took_part_and_missed_the_test_was_not_never_there(void **state)
{
    (void)state;
    json_t *report = json_pack(
        "{s:[{s:i, s:[s, s], s:[]}, {s:i, s:[s], s:[{s:s, s:s}]}], s:[{s:s, s:s}, {s:s, s:s}]}",
        "rounds", "round", 1, "participants", "nord", "est", "absent", "round", 2, "participants",
        "nord", "absent", "site", "est", "reason", "silent for 4 s", "absent", "site", "est",
        "reason", "no test figures: silent for 4 s", "site", "sud", "reason", "never connected");
    assert_non_null(report);
    assert_int_equal(report_rounds_joined(report, "est"), 1);
    assert_false(report_never_there(report, "est"));
    assert_true(report_never_there(report, "sud"));
    size_t n = 0;
    report_absence *list = report_absences(report, &n);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].rounds, "the test");
    assert_string_equal(list[1].rounds, "never there");
    assert_string_equal(list[2].rounds, "2");
    free(list);
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_checked_and_written),
        cmocka_unit_test(a_refused_report_leaves_nothing),
        cmocka_unit_test(text_fits_a_terminal),
        cmocka_unit_test(rounds_of_an_absence_are_joined),
        cmocka_unit_test(tables_are_tidy),
        cmocka_unit_test(a_reason_cannot_become_a_formula),
        cmocka_unit_test(others_appear_as_codes),
        cmocka_unit_test(runs_stand_side_by_side),
        cmocka_unit_test(settings_are_held_against_each_other),
        cmocka_unit_test(drawings_are_files_of_their_own),
        cmocka_unit_test(who_took_part_and_missed_the_test_was_not_never_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
