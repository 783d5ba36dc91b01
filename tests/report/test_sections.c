/*
 * test_sections.c - what pages say where a run asked for more: other models, uncertainty, shifts,
 * annotators, diseases that were never seen
 */
#include "check.h"
#include "report/pages.h"
#include "report/report.h"
#include "report/sample.h"

#define MINUS "\xe2\x88\x92"

/* full.json: a run that compared every other model; iles never trained on the disease. */
static void a_run_with_everything_has_a_section_for_it(void **state)
{
    (void)state;
    static const char *const sections[] = {"personal", "left-out", "cross-site", "ensemble",
                                           "snapshot", "unseen"};
    json_t *report = sample_read_of("full.json");
    char *page = page_text(report, NULL);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        char *id = fl_xasprintf("<section id=\"%s\">", sections[i]);
        check_has(page, id);
        free(id);
    }
    // The bins that left say nothing of the AUC over all cases: neither does the page.
    check_has(page, "the bins of the scores do not tell");
    check_has(page, "the AUC may lie anywhere from 0.00 to 1.00");
    check_has_not(page, "Over all test cases the shared model reaches");
    check_has_not(page, "AUC, all test cases</span><span>shared model");
    check_has(page, "<span class=\"ci\">no interval</span>");  // of the matrix: ouest has few cases
    check_has(page, "data-l=\"Personalised: names it\"");
    check_has_not(page, "names it: no finding");
    check_has_not(page, "no finding\"");
    free(page);
    page = page_text(report, "iles");
    check_has(page, "data-l=\"Trained without yours\"");
    check_has(page, "<a href=\"#ensemble\">Independent federations as one model</a>");
    check_has(page, "Testing on external data</td>");
    check_has(page, "Updating of the model: results</td><td class=\"text\"><a href=\"#personal\">");
    check_has(page, "Indeterminate results</td><td class=\"text\"><a href=\"#sure\">");
    check_has(page, "referring cuts nothing of it (" MINUS "0.20 [" MINUS "0.25, " MINUS "0.15]).");
    check_has(page, "data-l=\"Flagged\">\xe2\x80\x93</td>");
    check_has_not(page, "nan");
    check_has_not(page, "A case can have several findings.");
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
                    "Dice 0.79 [0.75, 0.83] against 0.80 [0.76, 0.84], difference " MINUS "0.01 ");
    check_has(page, "<td data-l=\"Masks of\">annotators 1 and 2</td>");
    check_has(page, "not shown: under 10 patients");
    check_has(page, "two have no majority");
    check_has(page, "lies above " MINUS "0.05");
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
    // A consortium's says why something is missing; the simulator's, where such models are.
    page = page_text(report, NULL);
    check_has(page, "The simulator's: in a federation these models stay where they are, unless");
    free(page);
    sample_set(report, "baselines.cross_site.absent",
               json_pack("[{s:s, s:s}]", "site", "ouest", "reason", "silent for 2 s"));
    page = page_text(report, NULL);
    check_has(page, "Every hospital let its own model leave for this");
    check_has(page, "Not everywhere: ouest (silent for 2 s).");
    check_has(page, "opened once at each hospital, for the selected model");
    free(page);
    sample_set(report, "test_evaluations", json_integer(3));
    page = page_text(report, NULL);
    check_has(page, "opened 3 times at the hospital that opened them most");
    free(page);
    seen = report_for_site(report, "sud");
    check(strstr(fl_json_get_string(sample_at(seen, "baselines.cross_site.absent[0]"), "site", ""),
                 "ouest") == NULL);
    json_decref(seen);
    sample_set(report, "baselines.cross_site.sites.sud.nord.auc.value", json_integer(2));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "cross_site.sites.sud.nord.auc");
    json_decref(report);
}

static void who_does_not_let_own_models_travel_is_said(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    sample_set(report, "baselines.cross_site",
               json_pack("{s:{}, s:[{s:s, s:s}, {s:s, s:s}]}", "sites", "kept", "site", "nord",
                         "reason", "its policy keeps its own model", "site", "ouest", "reason",
                         "its client is older than the cross-site matrix"));
    check_ok(report_check(report, &err), err);
    static const char *const pages[] = {NULL, "sud"};
    for (size_t i = 0; i < 2; i++) {
        char *page = page_text(report, pages[i]);
        check_has(page, "No hospital's own model was judged elsewhere, for not every hospital "
                        "allows it: nord (its policy keeps its own model) and ouest (its client "
                        "is older than the cross-site matrix).");
        check_has_not(page, "Your model, its cases");
        check_has_not(page, "Trained at");
        free(page);
    }
    sample_set(report, "baselines.cross_site.why",
               json_string("the matrix of more than 100 hospitals is more than a report takes"));
    char *page = page_text(report, NULL);
    check_has(page, "elsewhere: the matrix of more than 100 hospitals is more than a report");
    free(page);
    sample_set(report, "names", json_string("codes"));
    json_t *seen = report_for_site(report, "sud");
    char *text = fl_json_text(sample_at(seen, "baselines.cross_site"));
    check(strstr(text, "nord") == NULL && strstr(text, "ouest") == NULL);
    free(text);
    json_decref(seen);
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
    check_has(page, "At severity 5; whatever was set on images as they are");
    check_has(page, "data-l=\"Sets hold the class\"");
    free(page);
    sample_set(report, "sites[1].uncertainty.shift[1].severity", json_integer(6));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "uncertainty.shift[1].severity");
    json_decref(report);
}

/* Measures as those of what is no call: correlations. */
static void set_measure(json_t *u, const char *name)
{
    json_t *error = json_object_get(u, "error");
    json_object_set_new(u, "measure", json_string(name));
    json_object_set_new(u, "measures",
                        json_pack("{s:{s:f, s:f, s:O, s:O}}", name, "mean", 0.4, "aurc", 0.2,
                                  "pearson", error, "spearman", error));
}

static void each_findings_own_doubt_is_told_of(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read_of("sure.json");
    json_t *u = sample_at(report, "sites[1].uncertainty");
    const char *name = json_string_value(sample_at(report, "sites[1].name"));
    json_t *auroc = json_object_get(sample_at(u, "measures.entropy"), "auroc");
    json_object_set_new(u, "findings",
                        json_pack("[{s:s, s:i, s:i, s:O, s:O}, {s:s, s:n, s:s}]", "class",
                                  "<nodule>", "n", 40, "n_wrong", 7, "entropy", auroc,
                                  "information", auroc, "class", "effusion", "n", "why",
                                  "too few patients"));
    json_object_set_new(u, "error_of", json_string("findings"));
    set_measure(u, "entropy");
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, name);
    check_has(page, "findings that are called wrongly. Cases are ranked by: entropy.");
    check_has(page, "Finding by finding");
    check_has(page, "&lt;nodule&gt;");
    check_has(page, "data-l=\"Called wrongly\">7<");
    check_has(page, "not shown: too few patients");
    check_has(page, "data-l=\"Correlation with the error\"");
    free(page);
    sample_set(report, "sites[1].uncertainty.findings[0].n_wrong", json_integer(41));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "uncertainty.findings[0]: 41 wrong of 40 cases");
    json_decref(report);
}

static void an_error_between_numbers_may_be_above_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read_of("sure.json");
    json_t *u = sample_at(report, "sites[1].uncertainty");
    const char *name = json_string_value(sample_at(report, "sites[1].name"));
    set_measure(u, "spread");
    json_object_del(u, "shift");
    json_object_del(u, "conformal");
    json_object_del(u, "temperature");
    json_object_set_new(u, "error_of", json_string("numbers"));
    json_t *error = json_object_get(u, "error");
    json_object_set_new(error, "value", json_real(7.5));
    json_object_set_new(error, "ci_low", json_real(6));
    json_object_set_new(error, "ci_high", json_real(9));
    set_measure(u, "spread");
    json_t *share = json_deep_copy(json_object_get(json_object_get(u, "refer"), "cut"));
    json_object_set(sample_at(u, "measures.spread"), "pearson", share);
    json_object_set_new(sample_at(u, "measures.spread"), "spearman", share);
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, name);
    check_has(page, "Error: the absolute difference from the truth.");
    check_has(page, "spread of the predictions (standard deviation)");
    check_has(page, "Mean spread: 0.40; mean error: 7.50.");
    check_has_not(page, "Finding by finding");
    free(page);
    // Of calls it may not.
    json_object_set_new(u, "error_of", json_string("calls"));
    check_fails(report_check(report, &err), FL_EFORMAT);
    check_has(err.text, "uncertainty.error.");
    json_decref(report);
}

static void what_answers_rest_on_is_told_and_is_an_item_of_claim(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read_of("sure.json");
    const char *name = json_string_value(sample_at(report, "sites[1].name"));
    json_object_del(sample_at(report, "sites[1]"), "explanations");
    char *page = page_text(report, name);
    check_has_not(page, "<a href=\"#explanations\">");
    check_has(page, "31 Explainability, and how it was validated");  // among what is missing
    free(page);
    sample_set(report, "sites[1].explanations", json_pack("{s:s}", "method", "Grad-CAM"));
    check_ok(report_check(report, &err), err);
    page = page_text(report, name);
    check_has(page, "Maps of what speaks for an answer (Grad-CAM)");
    check_has(page, "<a href=\"#explanations\">What its answers rest on</a>");
    check_has_not(page, "31 Explainability, and how it was validated");
    free(page);
    json_decref(report);
}

static void a_small_test_split_has_a_sentence_for_its_figures(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read_of("sure.json"), *site = sample_at(report, "sites[1]");
    const char *name = json_string_value(sample_at(report, "sites[1].name")), *metric;
    json_t *global = sample_at(site, "models.global"), *figure;
    json_object_foreach(global, metric, figure) {
        static const char *const keys[] = {"value", "ci_low", "ci_high", "n", "n_positive",
                                           "n_patients", "se", "p"};
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            json_object_set_new(figure, keys[k], json_null());
        }
        json_object_set_new(figure, "why", json_string("fewer than 10 patients in the test split"));
    }
    json_object_del(site, "confusion");
    check_ok(report_check(report, &err), err);
    char *page = page_text(report, name);
    check_has(page, "No figure is shown: fewer than 10 patients in the test split. What a few");
    check_has_not(page, "Can the scores be read as probabilities?");
    check_has_not(page, "data-l=\"Interval by\"");
    free(page);
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_with_everything_has_a_section_for_it),
        cmocka_unit_test(how_sure_it_is_is_said_in_words),
        cmocka_unit_test(how_sure_masks_are_is_said_in_words),
        cmocka_unit_test(what_training_never_showed_is_said_with_what_it_is_called),
        cmocka_unit_test(a_model_without_the_hospital_stands_beside_the_shared_one),
        cmocka_unit_test(a_personalised_model_is_held_against_the_shared_one),
        cmocka_unit_test(a_model_beside_several_annotators),
        cmocka_unit_test(own_models_stand_at_every_other_hospital),
        cmocka_unit_test(who_does_not_let_own_models_travel_is_said),
        cmocka_unit_test(several_models_stand_as_one_beside_their_members),
        cmocka_unit_test(how_sure_the_model_is_is_told_again_under_shift),
        cmocka_unit_test(each_findings_own_doubt_is_told_of),
        cmocka_unit_test(a_small_test_split_has_a_sentence_for_its_figures),
        cmocka_unit_test(what_answers_rest_on_is_told_and_is_an_item_of_claim),
        cmocka_unit_test(an_error_between_numbers_may_be_above_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
