/*
 * test_pages.c - the pages as their readers get them
 */
#include <sys/resource.h>

#include "check.h"
#include "report/gnuplot.h"
#include "report/html.h"
#include "report/report.h"
#include "report/sample.h"

static char *page_in(report_language language, const json_t *report, const char *site)
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

static char *page_text(const json_t *report, const char *site)
{
    return page_in(REPORT_EN, report, site);
}

static void check_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        check_fail("the page contains \"%s\"", part);
    }
}

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

/* sure.json: a real run's classifier; nord has a conformal quantile of its own. */
static void how_sure_it_is_is_said_in_words(void **state)
{
    (void)state;
    json_t *report = sample_read_of("sure.json");
    char *page = page_text(report, "nord");
    check_has(page, "Uncertainty marks the errors here. When the least sure 20 % of cases are "
                    "referred, the error of the rest is 0.09 instead of 0.13: referring cuts 0.30 "
                    "[0.13, 0.49] of it.");
    check_has(page, "Tells wrong calls (AUROC)");
    check_has(page, "the least sure 66.6 % of cases must be referred");
    check_has(page, "53 of 320 cases. Their error is 0.28, that of the others 0.10.");
    check_has(page, "Below 1: over all hospitals the scores are less sure than they could be.");
    check_has(page, "hold the true one in 90 % of cases. Calibrated on this hospital&#39;s own");
    check_has(page, "Uncertainty is said to mark the errors when");  // its rule
    check_has(page, "It errs most under this shift: gamma.");
    check_has_not(page, "e+0");  // 2e+01 %
    free(page);
    page = page_text(report, "est");
    check_has(page, "Pooled: calibrated on counts of all hospitals&#39; validation cases");
    check_has(page, "No case is flagged: too few cases on one side to be shown");
    free(page);
    sample_set(report, "sites[1].uncertainty.refer.cut.ci_low", json_real(-0.1));
    page = page_text(report, "nord");
    check_has(page, "Whether uncertainty marks the errors cannot be told from these cases.");
    free(page);
    sample_set(report, "sites[1].uncertainty.refer.cut.ci_high", json_real(-0.05));
    sample_set(report, "sites[1].uncertainty.temperature.value", json_real(1.4));
    page = page_text(report, "nord");
    check_has(page, "Uncertainty misleads here");
    check_has(page, "Above 1: over all hospitals the scores are too sure.");
    free(page);
    json_decref(report);
}

static void how_sure_masks_are_is_said_in_words(void **state)
{
    (void)state;
    json_t *report = sample_read_of("masks.json");
    char *page = page_text(report, "sud");
    check_has(page, "Cases are ranked by: expected Dice error.");
    check_has(page, "Correlation with the error");
    check_has(page, "lesions: entropy tells the false ones (AUROC)");
    check_has_not(page, "Sets of classes (conformal)");
    check_has(page, "It errs most under this shift: Rician noise.");
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

static json_t *share_figure(double value, double low, double high)
{
    return json_pack("{s:f, s:f, s:f, s:i, s:n, s:i, s:s, s:s}", "value", value, "ci_low", low,
                     "ci_high", high, "n", 40, "n_positive", "n_patients", 40, "method", "Wilson",
                     "why", "");
}

static json_t *called(double nodule, double none)
{
    json_t *json = json_pack("{s:[{s:s, s:o}, {s:s, s:o}]}", "called", "class", "opacity", "share",
                             share_figure(0.3, 0.2, 0.45), "class", "nodule", "share",
                             share_figure(nodule, 0, 1));
    if (none >= 0) {
        json_object_set_new(json, "no_finding", share_figure(none, 0, 1));
    }
    return json;
}

static void what_training_never_showed_is_said_with_what_it_is_called(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *page = page_text(report, "nord");
    check_has_not(page, "never showed");
    free(page);
    sample_set(report, "sites[0].unseen",
               json_pack("[{s:s, s:i, s:{s:o, s:o}}]", "class", "nodule", "n", 40, "models",
                         "global", called(0.7, 0.25), "local", called(0, 0.8)));
    check_ok(report_check(report, &err), err);
    page = page_text(report, "nord");
    check_has(page, "Your training cases never showed nodule, which 40 of your test cases have. The "
                    "shared model sees no finding at all in this share of them: 0.25 [0.00, 1.00]; "
                    "the model trained on your data alone in 0.80 [0.00, 1.00].");
    check_has(page, "<td data-l=\"Called\">no finding</td>");
    free(page);
    page = page_text(report, NULL);
    check_has(page, "Diseases that a hospital&#39;s training cases never showed");
    check_has(page, "<td data-l=\"Disease\">nodule</td>");
    free(page);
    page = page_in(REPORT_FR, report, "nord");
    check_has(page, "Vos cas d\xe2\x80\x99"
                    "entra\xc3\xaenement n\xe2\x80\x99ont jamais montr\xc3\xa9");
    check_has_not(page, "<span lang=\"en\">");
    free(page);
    // One class a case: what they are taken for.
    sample_set(report, "sites[0].unseen",
               json_pack("[{s:s, s:i, s:{s:o}}]", "class", "nodule", "n", 40, "models", "global",
                         called(0.2, -1)));
    page = page_text(report, "nord");
    check_has(page, "which 40 of your test cases are. The shared model most often calls them opacity: "
                    "0.30 [0.20, 0.45].");
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

static void a_model_without_the_hospital_stands_beside_the_shared_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *page = page_text(report, NULL);
    check_has_not(page, "A hospital that took no part");
    free(page);
    sample_set(report, "baselines.leave_one_out",
               json_pack("{s:{s:{s:O}}}", "sites", "nord", "auc",
                         sample_at(report, "sites[1].models.global.auc")));
    check_ok(report_check(report, &err), err);
    page = page_text(report, NULL);
    check_has(page, "A hospital that took no part");
    check_has(page, "<td class=\"n\" data-l=\"Trained without it\"><span>0.87 ");
    free(page);
    // Other hospitals' names are codes there too.
    sample_set(report, "names", json_string("codes"));
    json_t *seen = report_for_site(report, "sud");
    check(sample_at(seen, "baselines.leave_one_out.sites.H3.auc") != NULL);
    json_decref(seen);
    json_decref(report);
}

static void a_personalised_model_is_held_against_the_shared_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *page = page_text(report, "nord");
    check_has_not(page, "A version of the shared model for your hospital");
    free(page);
    sample_set(report, "sites[0].models.personal",
               json_deep_copy(sample_at(report, "sites[0].models.local")));
    sample_set(report, "sites[0].personal_gain",
               json_deep_copy(sample_at(report, "sites[0].benefit")));
    sample_set(report, "sites[0].personal", json_pack("{s:i, s:i}", "best_step", 20, "steps", 50));
    check_ok(report_check(report, &err), err);
    const char *name = json_string_value(sample_at(report, "sites[0].name"));
    page = page_text(report, name);
    check_has(page, "as it was after step 20 of 50, chosen on your validation cases.");
    check_has(page, "On your test cases that changes AUC by ");
    check_has(page, "data-l=\"Personalised less shared\"");
    free(page);
    page = page_text(report, NULL);
    check_has(page, "A version of the shared model for each hospital");
    check_has_not(page, "no step was better");
    free(page);
    sample_set(report, "sites[0].personal.best_step", json_integer(0));
    page = page_text(report, name);
    check_has(page, "for 50 steps, the shared model did at no look better");
    free(page);
    sample_set(report, "sites[0].personal.best_step", json_integer(-1));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "personal.best_step");
    json_decref(report);
}

static json_t *dice_figure(double value, double low, double high)
{
    return json_pack("{s:f, s:f, s:f, s:i, s:n, s:i, s:s, s:s}", "value", value, "ci_low", low,
                     "ci_high", high, "n", 60, "n_positive", "n_patients", 60, "method",
                     "bootstrap 2000", "why", "");
}

static json_t *two_annotators(const char *verdict, json_t *comparison)
{
    static const char hidden[] = "under 10 patients, or hidden so that such a cell stays hidden";
    json_object_set_new(comparison, "margin", json_real(0.05));
    json_object_set_new(comparison, "verdict", json_string(verdict));
    return json_pack(
        "{s:i, s:[{s:s, s:s, s:i, s:o}], s:[{s:s, s:n, s:s}, {s:s, s:i, s:o}], s:{s:i, s:o}, s:o}",
        "annotators", 2, "pairs", "a", "1", "b", "2", "n", 60, "dice", dice_figure(0.8, 0.76, 0.84),
        "model", "annotator", "1", "n", "why", hidden, "annotator", "2", "n", 60, "dice",
        dice_figure(0.78, 0.74, 0.82), "consensus", "n", 0, "dice",
        json_pack("{s:n, s:n, s:n, s:i, s:s, s:s}", "value", "ci_low", "ci_high", "n", 0, "method",
                  "none", "why", "no case was drawn by three, and two have no majority"),
        "comparison", comparison);
}

static json_t *compared(double low, double high)
{
    return json_pack("{s:i, s:o, s:o, s:o}", "n", 60, "human", dice_figure(0.8, 0.76, 0.84),
                     "model", dice_figure(0.79, 0.75, 0.83), "difference",
                     dice_figure(-0.01, low, high));
}

static void a_model_beside_several_annotators(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    char *page = page_text(report, "nord");
    check_has_not(page, "annotators with each other");
    check_has(page, "; 18 Variability between annotators; ");
    free(page);
    sample_set(report, "sites[0].annotators", two_annotators("as well", compared(-0.03, 0.01)));
    check_ok(report_check(report, &err), err);
    page = page_text(report, "nord");
    check_has(page, "<p>The model agrees with your annotators as well as they agree with each other: "
                    "Dice 0.79 [0.75, 0.83] against 0.80 [0.76, 0.84], difference -0.01 ");
    check_has(page, "<td data-l=\"Masks of\">annotators 1 and 2</td>");
    check_has(page, "not shown: under 10 patients");
    check_has(page, "two have no majority");
    check_has(page, "lies above -0.05");
    check_has(page, "Variability between annotators</td><td class=\"text\"><a href=\"#annotators\">");
    free(page);
    page = page_in(REPORT_FR, report, "nord");
    check_has(page, "Le mod\xc3\xa8le s\xe2\x80\x99"
                    "accorde avec vos annotateurs aussi bien qu\xe2\x80\x99ils");
    check_has_not(page, "<span lang=\"en\">");
    free(page);

    sample_set(report, "sites[0].annotators", two_annotators("less well", compared(-0.2, -0.06)));
    page = page_text(report, "nord");
    check_has(page, "The model agrees with your annotators less well than they agree with each "
                    "other: Dice");
    free(page);
    sample_set(report, "sites[0].annotators",
               two_annotators("cannot tell", json_pack("{s:n, s:s}", "n", "why",
                                                       "under 10 patients, or hidden so that such "
                                                       "a cell stays hidden")));
    check_ok(report_check(report, &err), err);
    page = page_text(report, "nord");
    check_has(page, "we cannot tell from these cases: under 10 patients");
    free(page);
    json_decref(report);
}

/* row's own model, with the AUC of the sample's global model at each column. */
static json_t *matrix_row(json_t *report)
{
    json_t *row = json_object();
    json_object_set_new(row, "nord",
                        json_pack("{s:o}", "auc",
                                  json_deep_copy(sample_at(report, "sites[1].models.global.auc"))));
    return row;
}

static void own_models_stand_at_every_other_hospital(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    sample_set(report, "baselines.cross_site",
               json_pack("{s:{s:o, s:o}, s:[s]}", "sites", "nord", matrix_row(report), "sud",
                         matrix_row(report), "missing", "est"));
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, NULL);
    check_has(page, "Each hospital&#39;s own model at the others");
    check_has(page, "Without a model of its own: est.");
    check_has(page, "<tr class=\"sum\"><td>all: shared model</td>");
    free(page);
    page = page_text(report, "nord");
    check_has(page, "data-l=\"Its model, your cases\"");
    free(page);
    // Rows and columns are codes for another hospital.
    sample_set(report, "names", json_string("codes"));
    json_t *seen = report_for_site(report, "sud");
    check(sample_at(seen, "baselines.cross_site.sites.sud.H3.auc") != NULL);
    check(sample_at(seen, "baselines.cross_site.sites.H3.H3.auc") != NULL);
    check(sample_at(seen, "baselines.cross_site.sites.nord") == NULL);
    json_decref(seen);
    sample_set(report, "baselines.cross_site.sites.sud.nord.auc.value", json_integer(2));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "cross_site.sites.sud.nord.auc");
    json_decref(report);
}

/* A team of two whose figures are those of the sample's global and local model. */
static json_t *team_of_two(json_t *report)
{
    json_t *joined = json_pack(
        "{s:{s:o}, s:[{s:o}, {s:o}], s:{s:o}}", "metrics", "auc",
        json_deep_copy(sample_at(report, "sites[1].models.global.auc")), "members", "auc",
        json_deep_copy(sample_at(report, "sites[1].models.global.auc")), "auc",
        json_deep_copy(sample_at(report, "sites[1].models.local.auc")), "differences", "auc",
        json_deep_copy(sample_at(report, "sites[1].benefit.auc")));
    json_t *pooled = json_deep_copy(joined), *sure = sample_read_of("sure.json");
    json_object_set(pooled, "uncertainty", sample_at(sure, "sites[1].uncertainty"));
    json_decref(sure);
    return json_pack("{s:i, s:[i, i], s:{s:o}, s:o}", "members", 2, "seeds", 1, 99, "sites",
                     "nord", joined, "pooled", pooled);
}

static void several_models_stand_as_one_beside_their_members(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    sample_set(report, "baselines.ensemble", team_of_two(report));
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, NULL);
    check_has(page, "Independent federations as one model");
    check_has(page, "data-l=\"Mean less shared\"");
    check_has(page, "by referring the least sure 20 %.");
    check_has_not(page, "The last rounds as one model");
    free(page);
    json_t *snapshot = json_deep_copy(sample_at(report, "baselines.ensemble"));
    json_object_set_new(snapshot, "rounds", json_pack("[i, i]", 20, 19));
    json_object_del(snapshot, "seeds");
    sample_set(report, "baselines.snapshot", snapshot);
    check_ok(report_check(report, &err), err);
    page = page_text(report, NULL);
    check_has(page, "a snapshot, whose members are not independent");
    free(page);
    sample_set(report, "names", json_string("codes"));
    json_t *seen = report_for_site(report, "sud");
    check(sample_at(seen, "baselines.ensemble.sites.H3.metrics") != NULL);
    check(sample_at(seen, "baselines.snapshot.sites.nord") == NULL);
    json_decref(seen);
    sample_set(report, "baselines.ensemble.sites.nord.members", NULL);
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "ensemble.sites.nord");
    json_decref(report);
}

static void how_sure_the_model_is_is_told_again_under_shift(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read_of("sure.json");
    json_t *u = sample_at(report, "sites[1].uncertainty");
    const char *name = json_string_value(sample_at(report, "sites[1].name"));
    json_object_del(u, "shift");
    char *page = page_text(report, name);
    check_has_not(page, "Again under shift");
    free(page);
    json_t *error = json_object_get(u, "error");
    json_object_set_new(
        u, "shift",
        json_pack("[{s:s, s:s, s:i, s:O, s:O}, {s:s, s:s, s:i, s:O, s:O, s:O, s:i}]", "shift", "blur",
                  "family", "scanner", "severity", 4, "error", error, "error_kept", error, "shift",
                  "blur", "family", "scanner", "severity", 5, "error", error, "error_kept", error,
                  "coverage", error, "flagged", 1));
    check_ok(report_check(report, &err), err);
    page = page_text(report, name);
    check_has(page, "Again under shift");
    check_has(page, "data-l=\"Flagged\">100 %");
    check_has_not(page, "e+0");
    check_has(page, "At severity 5; limit, threshold and sets");
    check_has(page, "data-l=\"Sets hold the class\"");
    free(page);
    sample_set(report, "sites[1].uncertainty.shift[1].severity", json_integer(6));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "uncertainty.shift[1].severity");
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

/* ----------------------------------------------------------------- charts */

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

/* ---------------------------------------------------------------- browser */

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
    static const char *const samples[] = {"sample.json", "sure.json"};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    for (size_t i = 0; i < 2; i++) {
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
        "sure.json/sites/nord.html >said 2>&1", dir);
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
        cmocka_unit_test(the_run_in_plain_words),
        cmocka_unit_test(a_hospitals_verdict_follows_its_rule),
        cmocka_unit_test(a_threshold_that_does_not_fit_is_in_the_first_words),
        cmocka_unit_test(a_flagged_group_is_in_the_first_words),
        cmocka_unit_test(a_hospitals_page_has_what_it_asks_for),
        cmocka_unit_test(how_sure_it_is_is_said_in_words),
        cmocka_unit_test(how_sure_masks_are_is_said_in_words),
        cmocka_unit_test(guidelines_are_answered_only_by_what_the_page_holds),
        cmocka_unit_test(what_training_never_showed_is_said_with_what_it_is_called),
        cmocka_unit_test(small_counts_of_table_1_are_hidden),
        cmocka_unit_test(a_model_without_the_hospital_stands_beside_the_shared_one),
        cmocka_unit_test(a_personalised_model_is_held_against_the_shared_one),
        cmocka_unit_test(how_sure_the_model_is_is_told_again_under_shift),
        cmocka_unit_test(own_models_stand_at_every_other_hospital),
        cmocka_unit_test(several_models_stand_as_one_beside_their_members),
        cmocka_unit_test(a_model_beside_several_annotators),
        cmocka_unit_test(an_unknown_site_has_no_page),
        cmocka_unit_test(codes_hide_names_on_pages),
        cmocka_unit_test(without_protection_every_page_says_so),
        cmocka_unit_test(words_from_outside_stay_words),
        cmocka_unit_test(the_writer_escapes_and_knows_its_formats),
        cmocka_unit_test(ids_of_a_page_are_unique),
        cmocka_unit_test(without_gnuplot_the_numbers_remain),
        cmocka_unit_test(names_cannot_command_gnuplot),
        cmocka_unit_test(a_script_that_fails_is_told),
        cmocka_unit_test(odd_reports_still_make_pages),
        cmocka_unit_test(seven_sites_render_in_five_seconds),
        cmocka_unit_test(pages_open_in_a_browser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
