/*
 * test_pages.c - the pages as their readers get them: the words that every run's pages have
 */
#include "check.h"
#include "report/html.h"
#include "report/pages.h"
#include "report/report.h"
#include "report/sample.h"

static void the_run_in_plain_words(void **state)
{
    (void)state;
    json_t *report = sample_read();
    char *page = page_text(report, NULL);
    check_has(
        page,
        "<b>Intended use:</b> triage of adult frontal chest X-rays for opacity, second reader");
    check_has(page,
              "The shared model has the better AUC at 3 of 3 hospitals; at 1 the difference is "
              "clear and large enough to matter.");
    check_has(page, "centre was invited and has no figures: never connected");
    check_has(page, "Joining helps sud. For nord and est the test cases are too few to tell. "
                    "Not judged: ouest");
    check_has(
        page,
        "Worst served is est, with AUC 0.80 [0.75, 0.84]; the gap to the best hospital is 0.11.");
    check_has(page, "Missing: sud (rounds 7-8), ouest (round 12).");
    check_has(page, "The coordinator could see each hospital&#39;s update");
    check_has(page, "<a href=\"sites/nord.html\">nord</a>");
    check_has(page, "no positive cases");
    check_has(page, "key is not on the list");
    check_has(page, "How this page chooses its words");
    check_has(page, "Research use. Not a medical device.");
    free(page);
    json_decref(report);
}

static void a_hospitals_verdict_follows_its_rule(void **state)
{
    (void)state;
    static const struct {
        const char *value, *low, *high, *words;
    } cases[] = {
        {"0.06", "0.02", "0.10", "Joining helps your hospital: AUC +0.06 [+0.02, +0.10]."},
        {"0.01", "0.001", "0.019", "Joining makes no difference that matters for your hospital"},
        {"0.019", "0.001", "0.04", "we cannot tell from these cases"},  // under the margin
        {"-0.06", "-0.10", "-0.02",
         "Joining hurts your hospital: AUC \xe2\x88\x92"
         "0.06 [\xe2\x88\x92"
         "0.10, \xe2\x88\x92"
         "0.02]."},
        {"0.06", "-0.02", "0.14", "we cannot tell from these cases"},
        {"0.06", "null", "null", "cannot be judged: AUC +0.06; too few cases"},
        {"null", "null", "null", "cannot be judged: too few cases"},
    };
    json_t *report = sample_read();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sample_set(report, "sites[0].benefit.auc.value",
                   json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        sample_set(report, "sites[0].benefit.auc.ci_low",
                   json_loads(cases[i].low, JSON_DECODE_ANY, NULL));
        sample_set(report, "sites[0].benefit.auc.ci_high",
                   json_loads(cases[i].high, JSON_DECODE_ANY, NULL));
        sample_set(report, "sites[0].benefit.auc.why", json_string("too few cases"));
        char *page = page_text(report, "nord");
        check_has(page, cases[i].words);
        free(page);
    }
    json_decref(report);
}

static void one_hospital_is_not_called_hospitals(void **state)
{
    (void)state;
    static const struct {
        double value, low, high;
        const char *words, *french;
    } cases[] = {
        {0.06, 0.02, 0.10, "at the one hospital that can be compared; the difference is clear and",
         "dans le seul hôpital que l’on puisse comparer\xc2\xa0; la différence est nette"},
        {0.06, -0.02, 0.14, "the difference is not clear, or too small to matter.",
         "la différence n’est pas nette, ou trop petite pour compter."},
        {-0.06, -0.14, 0.02, "does not have the better AUC at the one hospital that can be compared.",
         "n’est pas le meilleur (AUC) dans le seul hôpital que l’on puisse comparer."},
    };
    json_t *report = sample_read();
    for (int i = 1; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "sites[%d].benefit.auc", i);
        sample_set(report, path, json_pack("{s:n, s:s}", "value", "why", "too few cases"));
    }
    sample_set(report, "fairness.n_sites", json_integer(1));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sample_set(report, "sites[0].benefit.auc.value", json_real(cases[i].value));
        sample_set(report, "sites[0].benefit.auc.ci_low", json_real(cases[i].low));
        sample_set(report, "sites[0].benefit.auc.ci_high", json_real(cases[i].high));
        char *page = page_text(report, NULL);
        check_has(page, cases[i].words);
        check_has(page, "The figure is defined at one hospital alone");
        check_has_not(page, " 1 hospitals");
        free(page);
        page = page_in(REPORT_FR, report, NULL);
        check_has(page, cases[i].french);
        free(page);
    }
    // A federation of two, and one alone.
    json_t *sites = json_object_get(report, "sites");
    json_array_remove(sites, 3);
    json_array_remove(sites, 2);
    char *page = page_text(report, "sud");
    check_has(page, "serves the other hospital better than yours (by its AUC); the gap between the");
    free(page);
    json_array_remove(sites, 1);
    json_array_clear(json_object_get(report, "absent"));
    page = page_text(report, NULL);
    check_has(page, "One hospital (nord) trained a model in ");
    check_has_not(page, " 1 hospitals");
    free(page);
    json_decref(report);
}

static void a_threshold_that_does_not_fit_is_in_the_first_words(void **state)
{
    (void)state;
    static const char figure[] = "sites[0].models.global.balanced_accuracy.ci_low";
    json_t *report = sample_read();
    char *page = page_text(report, "nord");
    check_has_not(page, "The frozen threshold does not fit your patients");
    free(page);
    sample_set(report, figure, json_real(0.49));
    page = page_text(report, "nord");
    check_has(page, "The frozen threshold does not fit your patients");
    free(page);
    sample_set(report, "sites[0].models.global.auc.ci_low", json_real(0.48));  // nor do the scores
    page = page_text(report, "nord");
    check_has_not(page, "The frozen threshold does not fit your patients");
    free(page);
    json_decref(report);
}

static void a_flagged_group_is_in_the_first_words(void **state)
{
    (void)state;
    json_t *report = sample_read();
    sample_set(report, "sites[0].disparities[0].auc_gap",
               json_loads("{\"value\": -0.12, \"ci_low\": -0.2, \"ci_high\": -0.05, \"n\": 400, "
                          "\"method\": \"MOVER\", \"why\": \"\", \"p\": 0.001, \"p_holm\": "
                          "0.008, \"flagged\": true}",
                          0, NULL));
    char *page = page_text(report, "nord");
    check_has(page, "The model does not serve all groups alike: sex F against M: AUC ");
    check_has(page, "<b>Flagged</b>: sex F against M: AUC ");
    free(page);
    json_decref(report);
}

static void cases_without_a_label_are_not_among_those_trained_on(void **state)
{
    (void)state;
    json_t *report = sample_read();
    char *page = page_text(report, "nord");  // of an older client, which does not say
    check_has(page, "<b>1500</b>cases trained on");
    check_has_not(page, "without a label");
    free(page);
    sample_set(report, "sites[0].flow.unlabelled", json_integer(12));
    sample_set(report, "sites[0].flow.labelled",
               json_pack("{s:i, s:i, s:i}", "train", 1490, "val", 180, "test", 398));
    page = page_text(report, "nord");
    check_has(page, "<b>without a label</b>training: 10<br>test: 2<br></div>");
    check_has(page, "<b>1490</b>cases trained on");
    check_has(page, "<b>180</b>cases to choose with");
    check_has(page, "<b>398</b>cases to judge with");
    free(page);
    page = page_in(REPORT_FR, report, "nord");
    check_has(page, "<b>sans étiquette</b>entraînement\xc2\xa0: 10<br>test\xc2\xa0: 2<br></div>");
    free(page);
    json_decref(report);
}

static void a_hospitals_page_has_what_it_asks_for(void **state)
{
    (void)state;
    json_t *report = sample_read();
    char *page = page_text(report, "sud");
    check_has(page, "Report for the hospital sud");
    check_has(page, "<b>Intended use:</b>");
    check_has(page, "Joining helps your hospital: AUC +0.13 [+0.08, +0.17].");
    check_has(page, "Your hospital missed rounds 7-8 (no progress for 10m");
    check_has(page, "not an image: 4<br>");                       // flow of cases
    check_has(page, "age, mean (sd)");                            // Table 1
    check_has(page, "calibration error (ECE)");                   // figures
    check_has(page, "<span class=\"soft\">false alarms</span>");  // confusion
    check_has(page, "not shown: under 10 patients");              // suppressed cell
    check_has(page, "What left a hospital, and nothing else");
    check_has(page, "The coordinator could see each hospital&#39;s update");
    check_has(page, "Research use. Not a medical device.");
    free(page);

    page = page_text(report, "ouest");
    check_has(page, "Whether joining helps your hospital cannot be judged: no positive cases.");
    free(page);

    page = page_text(report, "nord");
    check_has(page, "PPV at the stated prevalence");
    check_has(page, "Stated prevalence: 8 %");
    check_has(page, "Can the scores be read as probabilities?");
    check_has(page, "Net benefit: what acting on scores");
    check_has(page, "How groups differ");
    check_has(page, "No difference is flagged. That is no proof that there is none.");
    free(page);
    json_decref(report);
}

static void guidelines_are_answered_only_by_what_the_page_holds(void **state)
{
    (void)state;
    json_t *report = sample_read();
    char *page = page_text(report, "nord");
    check_has(page, "Appendix: items of reporting guidelines");
    check_has(page,
              "<tr><td>36</td><td class=\"text\">Characteristics of the cases by partition</td>"
              "<td class=\"text\"><a href=\"#table1\">Who is in it, by split</a></td></tr>");
    check_has(page, "<td>14</td><td class=\"text\">Definition of the reference standard</td>"
                    "<td class=\"text\"><a href=\"#flow\">");
    check_has(page, "<td>14</td><td class=\"text\">Fairness</td><td class=\"text\">"
                    "<a href=\"#subgroups\">For whom it is good</a>");
    check_has(page, "44 Funding");
    free(page);
    sample_set(report, "sites[0].reference_standard", json_string("not provided"));
    sample_set(report, "sites[0].subgroups", json_array());
    page = page_text(report, "nord");
    check_has(page, "; 14 Definition of the reference standard; 15 ");
    check_has(page, "; 14 Fairness; ");
    check_has_not(page, "href=\"#subgroups\"");
    check_has(page, "; 30 Robustness or sensitivity analysis; ");  // this run shifted nothing
    free(page);
    sample_set(report, "sites[0].shift",
               json_pack("[{s:s, s:s, s:i, s:{}}]", "shift", "blur", "family", "scanner",
                         "severity", 1, "lost"));
    sample_set(report, "sites[0].robustness",
               json_pack("{s:s, s:[i, i], s:{}, s:[{s:s, s:s, s:{}}]}", "metric", "auc",
                         "severities", 1, 1, "clean", "shifts", "shift", "blur", "family",
                         "scanner", "lost"));
    page = page_text(report, "nord");
    check_has(page, "<td>30</td><td class=\"text\">Robustness or sensitivity analysis</td>"
                    "<td class=\"text\"><a href=\"#shift\">");
    // Every link of the page leads somewhere on it.
    for (const char *at = strstr(page, "href=\"#"); at != NULL; at = strstr(at + 1, "href=\"#")) {
        char id[64];
        snprintf(id, sizeof id, "id=\"%.*s\"", (int)strcspn(at + 7, "\""), at + 7);
        check_has(page, id);
    }
    free(page);
    json_decref(report);
}

static void small_counts_of_table_1_are_hidden(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    sample_set(report, "sites[0].table1.test.attributes.scanner.portable", json_null());
    sample_set(report, "sites[0].table1.val.attributes.age",
               json_pack("{sn sn sn}", "n", "mean", "sd"));
    sample_set(report, "sites[0].table1.train.classes",
               json_pack("{s{si si}}", "opacity", "absent", 1050, "present", 450));
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, "nord");
    check_has(page, "<td>scanner portable</td>");
    check_has(page, "<span class=\"soft\">hidden</span>");
    check_has(page, "Hidden: fewer than 10 patients");
    check_has(page, "<td>opacity present</td><td class=\"n\">450");
    free(page);
    json_decref(report);
}

static void an_unknown_site_has_no_page(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    check_fails(report_write_site(report, "centre", REPORT_EN, "/nowhere/x.html", &err),
                FL_ENOTFOUND);
    check_has(err.text, "no site \"centre\" in the report");
    json_decref(report);
}

static void codes_hide_names_on_pages(void **state)
{
    (void)state;
    json_t *report = sample_read();
    sample_set(report, "names", json_string("codes"));
    char *page = page_text(report, "nord");
    check_has(page, "Other hospitals appear as codes.");
    check_has(page, "H5");
    check_has_not(page, "sud");
    check_has_not(page, "ouest");
    free(page);
    json_decref(report);
}

static void a_page_says_whose_updates_the_strategy_chose(void **state)
{
    (void)state;
    json_t *report = sample_read();
    fl_err err = FL_ERR_INIT;
    sample_set(report, "rounds[0].chosen", json_pack("[s]", "est"));
    sample_set(report, "rounds[1].chosen", json_pack("[s, s, s]", "nord", "sud", "ouest"));
    sample_set(report, "rounds[2].chosen", json_pack("[s, s, s, s]", "nord", "sud", "est", "ouest"));
    sample_set(report, "sites[1].rounds_joined", json_integer(10));
    sample_set(report, "sites[1].rounds_chosen", json_integer(7));
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, NULL);
    check_has(page, "the strategy chose the updates of est<");
    check_has(page, "the strategy left out the updates of est<");
    free(page);
    page = page_text(report, "sud");
    check_has(page, "yours counted in 7 of 10 rounds.");
    free(page);
    page = page_text(report, "nord");
    check_has_not(page, "The strategy chooses");
    free(page);
    sample_set(report, "names", json_string("codes"));
    json_t *own = report_for_site(report, "nord");
    check_has(json_string_value(sample_at(own, "rounds[0].chosen[0]")), "H");
    json_decref(own);
    sample_set(report, "rounds[0].chosen", json_pack("[i]", 3));
    check_fails(report_check(report, &err), FL_EFORMAT);
    json_decref(report);
}

static void without_protection_every_page_says_so(void **state)
{
    (void)state;
    json_t *report = sample_read();
    sample_set(report, "privacy.statement", json_string("All is well."));
    char *page = page_text(report, "nord");
    check_has(page, "The coordinator could see each hospital&#39;s update. All is well.");
    free(page);
    sample_set(report, "privacy.dp", json_string("epsilon 3.1, delta 1e-6"));
    page = page_text(report, NULL);
    check_has_not(page, "could see each hospital");
    check_has(page, "epsilon 3.1, delta 1e-6");
    free(page);
    json_decref(report);
}

/* --------------------------------------------------------- foreign words */

static void words_from_outside_stay_words(void **state)
{
    (void)state;
    static const char evil[] = "\"><script>alert('x')</script>&amp;<!--";
    static const char *const places[] = {
        "job",
        "intended_use",
        "strategy",
        "positive",
        "classes[1]",
        "run",
        "federation",
        "created",
        "model.name",
        "privacy.statement",
        "privacy.left[0]",
        "absent[0].reason",
        "rounds[6].absent[1].reason",
        "security.refusals[0].what",
        "sites[0].reference_standard",
        "sites[0].models.global.auc.method",
        "sites[3].models.global.auc.why",
        "sites[3].benefit.auc.why",
        "sites[0].subgroups[0].value",
        "threshold.why",
        "select.split",
        "environment.consilium",
        "environment.sites.nord",
        "pooled.method",
    };
    json_t *report = sample_read();
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        sample_set(report, places[i], json_string(evil));
    }
    sample_set(report, "sites[0].problems",
               json_pack("[{ss ss si}]", "what", evil, "where", evil, "n", 3));
    sample_set(report, "sites[0].flow.refused", json_pack("{si}", evil, 3));
    sample_set(report, "sites[0].table1.train.classes", json_pack("{si}", evil, 3));
    fl_err err = FL_ERR_INIT;
    check_ok(report_check(report, &err), err);
    static const char *const pages[] = {NULL, "nord", "ouest"};
    for (size_t i = 0; i < 3; i++) {
        char *page = page_text(report, pages[i]);
        check_has(page,
                  "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;&lt;!--");
        check_has_not(page, "<script");
        check_has_not(page, "<!--");
        check_has_not(page, "alert('x')");
        free(page);
    }
    json_decref(report);
}

static void the_writer_escapes_and_knows_its_formats(void **state)
{
    (void)state;
    report_page out = REPORT_PAGE(REPORT_EN);
    report_html(&out, "<p title=\"%s\">%d %zu %lld 5 %%%s</p>", "a\"b'c<d>&", -3, (size_t)7,
                1LL << 40, "");
    check_str(out.text.data,
              "<p title=\"a&quot;b&#39;c&lt;d&gt;&amp;\">-3 7 1099511627776 5 %</p>");
    report_page_clear(&out);
    out = (report_page)REPORT_PAGE(REPORT_EN);
    report_html(&out, "%s", fl_json_get_string(NULL, "absent", NULL));
    report_html(&out, "x");
    check_str(out.text.data, "x");
    report_page_clear(&out);
}

static void odd_reports_still_make_pages(void **state)
{
    (void)state;
    json_t *report = json_pack("{ss ss ss si s{ss} s[] s[{ss si si si}] s{sb ss ss}}", "format",
                               REPORT_FORMAT, "job", "bare", "task", "classify", "rounds_done", 0,
                               "model", "name", "cnn", "rounds", "sites", "name", "only", "n_train",
                               0, "n_val", 0, "n_test", 0, "privacy", "secure_aggregation", 0, "dp",
                               "none", "statement", "");
    fl_err err = FL_ERR_INIT;
    check(report != NULL);
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, NULL);
    check_has(page, "Whether joining helped cannot be said");
    free(page);
    page = page_text(report, "only");
    check_has(page, "there is no own model to compare with");
    check_has_not(page, "nan");
    free(page);
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_run_in_plain_words),
        cmocka_unit_test(a_hospitals_verdict_follows_its_rule),
        cmocka_unit_test(one_hospital_is_not_called_hospitals),
        cmocka_unit_test(a_threshold_that_does_not_fit_is_in_the_first_words),
        cmocka_unit_test(a_flagged_group_is_in_the_first_words),
        cmocka_unit_test(cases_without_a_label_are_not_among_those_trained_on),
        cmocka_unit_test(a_hospitals_page_has_what_it_asks_for),
        cmocka_unit_test(guidelines_are_answered_only_by_what_the_page_holds),
        cmocka_unit_test(small_counts_of_table_1_are_hidden),
        cmocka_unit_test(an_unknown_site_has_no_page),
        cmocka_unit_test(codes_hide_names_on_pages),
        cmocka_unit_test(a_page_says_whose_updates_the_strategy_chose),
        cmocka_unit_test(without_protection_every_page_says_so),
        cmocka_unit_test(words_from_outside_stay_words),
        cmocka_unit_test(the_writer_escapes_and_knows_its_formats),
        cmocka_unit_test(odd_reports_still_make_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
