/*
 * test_check.c - numbers that a hospital could not have are refused by name
 */
#include "check.h"
#include "report/report.h"
#include "report/sample.h"

/* What a site sends: an element of "sites" without what the coordinator adds. */
static json_t *site_payload(json_t *report, size_t i)
{
    json_t *site = json_deep_copy(json_array_get(json_object_get(report, "sites"), i));
    json_object_del(site, "weight");
    json_object_del(site, "rounds_joined");
    return site;
}

static void what_a_site_sends_is_checked(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read();
    for (size_t i = 0; i < 4; i++) {
        json_t *site = site_payload(report, i);
        check_ok(report_check_site(site, &err), err);
        json_decref(site);
    }
    json_t *site = site_payload(report, 0);
    sample_set(site, "n_test", json_integer(-3));
    check_fails(report_check_site(site, &err), FL_EFORMAT);
    check_str(err.text, "site.n_test: expected a whole number >= 0, found -3");
    json_decref(site);
    json_decref(report);
}

typedef struct {
    const char *path, *json, *message;  // json NULL: the key is removed
} damage;

static void refuses_all(const damage *d, size_t n, bool whole)
{
    json_t *report = sample_read();
    for (size_t i = 0; i < n; i++) {
        fl_err err = FL_ERR_INIT;
        json_t *json = whole ? json_deep_copy(report) : site_payload(report, 0);
        json_t *value = NULL;
        if (d[i].json != NULL) {
            value = json_loads(d[i].json, JSON_DECODE_ANY, NULL);
            check(value != NULL);
        }
        sample_set(json, d[i].path, value);
        fl_status st = whole ? report_check(json, &err) : report_check_site(json, &err);
        if (st != FL_EFORMAT || strstr(err.text, d[i].message) == NULL) {
            check_fail("%s = %s: got \"%s\", expected \"%s\"", d[i].path,
                       d[i].json != NULL ? d[i].json : "nothing", err.text, d[i].message);
        }
        json_decref(json);
    }
    json_decref(report);
}

static void impossible_numbers_of_a_site_are_refused(void **state)
{
    (void)state;
    static const damage list[] = {
        {"name", NULL, "site.name: expected a site's name"},
        {"name", "\"../../etc/passwd\"", "site.name: expected a site's name"},
        {"name", "\".hidden\"", "site.name: expected a site's name"},
        {"n_train", "3.7", "site.n_train: expected a whole number >= 0, found 3.7"},
        {"n_val", "\"many\"", "site.n_val: expected a whole number >= 0, found \"many\""},
        {"n_test", "true", "site.n_test: expected a whole number >= 0, found true"},
        {"n_test", "9000000000000000000", "site.n_test: expected a whole number"},
        {"models", "[]", "site.models: expected an object, found a list"},
        {"models.global.auc", "0.9", "site.models.global.auc: expected an object, found 0.9"},
        {"models.global.fortune", "{}", "site.models.global.fortune: not a known metric"},
        {"models.global.auc.value", "1.7",
         "site.models.global.auc.value: expected a number from 0 to 1, found 1.7"},
        {"models.global.auc.value", "-0.1", "expected a number from 0 to 1"},
        {"models.global.nll.value", "-1", "expected a number >= 0"},
        {"models.global.auc.value", "\"0.9\"", "found \"0.9\""},
        {"models.global.auc.value", "0.2", "the value 0.2 is not in its interval"},
        {"models.global.auc.ci_low", "null", "an interval needs"},
        {"models.global.auc.n", "401", "rests on 401 cases, the split has 400"},
        {"models.global.auc.n_positive", "4000", "more positives or patients"},
        {"models.global.auc.n_patients", "-1", "n_patients: expected a whole number >= 0"},
        {"models.global.auc", "{\"value\": null, \"ci_low\": null, \"ci_high\": null, \"n\": 0}",
         "without a value and without a reason"},
        {"benefit.auc.value", "1.5", "expected a number from -1 to 1"},
        {"confusion.global.tp", "-1", "confusion.global.tp: expected a whole number >= 0"},
        {"confusion.global.tp", "9", "confusion.global counts"},
        {"confusion.global.tp", NULL,
         "confusion.global.tp: expected a whole number >= 0, found nothing"},
        {"histogram.bins", "19", "must have 19 counts each"},
        {"histogram.bins", "0", "must have 0 counts each"},
        {"histogram.negatives[3]", "-2", "histogram.negatives[3]: expected a whole number"},
        {"histogram.negatives[3]", "5000", "histogram counts"},
        {"table1.test.classes.normal", "4000", "table1.test: classes count"},
        {"table1.train.attributes.sex.F", "1.5", "table1.train.attributes.sex.F: expected"},
        {"table1.train.attributes.sex.F", "99999", "attributes.sex: counts"},
        {"table1.train.attributes.age.sd", "-2", "age.sd: expected a number >= 0"},
        {"flow.analysed.train", "100000", "cases analysed of"},
        {"flow.labelled", "{\"train\": 100000}", "labelled cases of"},
        {"flow.refused", "{\"x\": -1}", "flow.refused.x: expected a whole number"},
        {"histogram.spans", "{\"negatives\": [[0, 0]]}", "does not say where bin"},
        {"histogram.spans", "{\"negatives\": []}", "does not say where bin"},
        {"disparities",
         "[{\"attribute\": \"sex\", \"value\": \"F\", \"other\": \"M\", "
         "\"n\": 300, \"n_other\": 300}]",
         "disparities[0]: 600 cases, the split has 400"},
        {"disparities",
         "[{\"attribute\": \"sex\", \"value\": \"F\", \"other\": \"M\", "
         "\"n\": 3, \"n_other\": 3, \"auc_gap\": {\"value\": -2, \"n\": 6}}]",
         "disparities[0].auc_gap.value: expected a number from -1 to 1, found -2"},
        {"disparities",
         "[{\"attribute\": \"sex\", \"value\": \"F\", \"other\": \"M\", "
         "\"n\": 3, \"n_other\": 3, \"mae_gap\": {\"value\": -20, \"n\": 600}}]",
         "mae_gap: rests on 600 cases, the split has 400"},
        {"disparities",
         "[{\"attribute\": \"sex\", \"value\": \"F\", \"other\": \"M\", "
         "\"n\": 3, \"n_other\": 3, \"auc_gap\": {\"value\": 0.1, \"n\": 6, \"p\": 1.5}}]",
         "auc_gap.p: expected a number from 0 to 1, found 1.5"},
        {"calibration",
         "[{\"low\": 0, \"high\": 0.5, \"n\": -1, \"predicted\": 0.2, \"observed\": 0.2}]",
         "site.calibration[0].n: expected a whole number >= 0, found -1"},
        {"calibration",
         "[{\"low\": 0, \"high\": 1, \"n\": 401, \"predicted\": 0.2, \"observed\": 0.2}]",
         "calibration counts 401 cases, the split has 400"},
        {"calibration",
         "[{\"low\": 0.5, \"high\": 0.5, \"n\": 9, \"predicted\": 0.5, \"observed\": 0.2}]",
         "low is not below high"},
        {"calibration",
         "[{\"low\": 0, \"high\": 1, \"n\": 9, \"predicted\": 0.5, \"observed\": 0.2, "
         "\"ci_low\": 0.3, \"ci_high\": 0.4}]",
         "observed is not in its interval"},
        {"decision", "[{\"threshold\": 0.5, \"net_benefit\": 2, \"treat_all\": 0}]",
         "decision[0].net_benefit: expected a number <= 1, found 2"},
        {"shift", "[{\"shift\": \"blur\", \"family\": \"scanner\", \"severity\": 6, \"lost\": {}}]",
         "shift[0].severity: expected a severity from 1 to 5, found 6"},
        {"shift",
         "[{\"shift\": \"blur\", \"family\": \"scanner\", \"severity\": 2, \"lost\": {}}, "
         "{\"shift\": \"blur\", \"family\": \"scanner\", \"severity\": 2, \"lost\": {}}]",
         "site.shift: blur is there twice at severity 2"},
        {"shift",
         "[{\"shift\": \"blur\", \"family\": \"scanner\", \"severity\": 2, \"lost\": {}, "
         "\"auc\": {\"value\": 0.8, \"n\": 401}}]",
         "shift[0].auc: rests on 401 cases, the split has 400"},
        {"shift",
         "[{\"shift\": \"blur\", \"family\": \"scanner\", \"severity\": 2, \"lost\": "
         "{\"auc\": {\"value\": 1.2, \"n\": 4}}}]",
         "shift[0].lost.auc.value: expected a number from -1 to 1, found 1.2"},
        {"robustness",
         "{\"metric\": \"accuracy\", \"mce\": {\"value\": -1, \"n\": 4}, \"rise\": {\"value\": 0, "
         "\"n\": 4}, \"lost\": {}, \"shifts\": []}",
         "robustness.mce.value: expected a number >= 0, found -1"},
        {"robustness",
         "{\"metric\": \"accuracy\", \"mce\": {\"value\": 1, \"n\": 4}, \"rise\": {\"value\": 0, "
         "\"n\": 4}, \"lost\": {}, \"shifts\": [], \"worst\": \"fog\"}",
         "robustness: worst: fog is not one of shifts"},
        {"unseen", "[{\"class\": \"nodule\", \"n\": 401, \"models\": {}}]",
         "unseen[0]: 401 cases, the split has 400"},
        {"unseen",
         "[{\"class\": \"nodule\", \"n\": 40, \"models\": {\"global\": {\"called\": [{\"class\": "
         "\"nodule\", \"share\": {\"value\": 1.4, \"n\": 40}}]}}}]",
         "unseen[0].models.global.called[0].share.value: expected a number from 0 to 1, found 1.4"},
        {"annotators",
         "{\"annotators\": 2, \"pairs\": [{\"a\": \"1\", \"b\": \"2\", \"dice\": {\"value\": 1.2, "
         "\"n\": 4}}], \"model\": [], \"consensus\": {\"why\": \"two\"}, \"comparison\": {}}",
         "annotators.pairs[0].dice.value: expected a number from 0 to 1, found 1.2"},
        {"annotators",
         "{\"annotators\": 2, \"pairs\": [{\"a\": \"1\", \"b\": \"2\", \"n\": null}], \"model\": [], "
         "\"consensus\": {\"why\": \"two\"}, \"comparison\": {}}",
         "annotators.pairs[0]: without dice and without a reason (why)"},
        {"annotators",
         "{\"annotators\": 2, \"pairs\": [], \"model\": [{\"annotator\": \"1\", \"dice\": {\"value\": "
         "0.8, \"n\": 401}}], \"consensus\": {\"why\": \"two\"}, \"comparison\": {}}",
         "annotators.model[0].dice: rests on 401 cases, the split has 400"},
        {"annotators",
         "{\"annotators\": 2, \"pairs\": [], \"model\": [], \"consensus\": {\"why\": \"two\"}, "
         "\"comparison\": {\"margin\": 0.05, \"verdict\": \"better\"}}",
         "annotators.comparison.verdict: expected as well, less well or cannot tell"},
        {"by_class", "[{\"class\": \"a\"}]", "by_class[0]: without n and without a reason"},
        {"by_class", "[{\"class\": \"a\", \"n\": 401}]", "401 cases, the split has 400"},
        {"models.global.calibration_slope", "{\"value\": \"steep\", \"n\": 3}",
         "calibration_slope.value: expected a number, found"},
        {"subgroups[0].n", "100000", "site.subgroups[0]: 100000 cases, the split has 400"},
        {"subgroups[0].n", "null", "site.subgroups[0]: without n and without a reason"},
        {"subgroups[0].auc.value", "7", "site.subgroups[0].auc.value: expected"},
        {"subgroups[0].magic", "{\"value\": 1}", "site.subgroups[0].magic: not a known metric"},
        {"subgroups[0].attribute", "7", "attribute: expected a text, found 7"},
        {"problems", "[{\"what\": null}]", "problems[0].what: expected a text"},
        {"thresholds.global", "\"high\"", "thresholds.global: expected a number"},
        {"prevalence", "8", "prevalence: expected a number from 0 to 1, found 8"},
        {"test_opened", "-1", "test_opened: expected a whole number"},
        {"reference_standard", "\"two\\u0007bells\"",
         "reference_standard: a text with control characters"},
    };
    refuses_all(list, sizeof list / sizeof list[0], false);
}

static void impossible_reports_are_refused(void **state)
{
    (void)state;
    static const damage list[] = {
        {"format", "\"consilium-report-9\"", "format: expected \"consilium-report-1\", found"},
        {"job", NULL, "job: expected a text, found nothing"},
        {"sites[1].name", "\"nord\"", "sites: two sites have the name \"nord\""},
        {"sites[2].n_test", "-3", "sites[2].n_test: expected a whole number >= 0, found -3"},
        {"sites[2].weight", "-1", "sites[2].weight: expected a number >= 0"},
        {"rounds[3].participants[0]", "7", "rounds[3].participants[0]: expected a site's name"},
        {"rounds[3].absent[0].reason", NULL, "rounds[3].absent[0].reason: expected a text"},
        {"rounds[3].validation.sites.nord.auc", "2",
         "rounds[3].validation.sites.nord.auc: expected"},
        {"pooled.global.auc.value", "3", "pooled.global.auc.value: expected a number from 0 to 1"},
        {"baselines.centralised.sites.nord.auc.value", "3", "baselines.centralised.sites.nord.auc"},
        {"fairness.gap", "-1", "fairness.gap: expected a number >= 0"},
        {"privacy", NULL, "privacy: expected an object, found nothing"},
        {"privacy.secure_aggregation", "\"no\"",
         "privacy.secure_aggregation: expected true or false"},
        {"security.refusals", "{}", "security.refusals: expected a list"},
    };
    refuses_all(list, sizeof list / sizeof list[0], true);
}

static void what_has_no_place_is_limited_all_the_same(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read(), *site = site_payload(report, 0);
    sample_set(site, "extra", json_string("fine"));
    check_ok(report_check_site(site, &err), err);
    char *long_text = fl_xcalloc(5001, 1);
    memset(long_text, 'x', 5000);
    sample_set(site, "extra", json_string(long_text));
    check_fails(report_check_site(site, &err), FL_EFORMAT);
    check_str(err.text, "site.extra: a text of 5000 bytes, at most 4000 are accepted");
    free(long_text);
    json_decref(site);
    json_decref(report);
}

static void deep_and_wide_values_are_refused_quickly(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = sample_read(), *site = site_payload(report, 0);
    json_t *deep = json_array();
    for (int i = 0; i < 1000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    sample_set(site, "extra", deep);
    check_fails(report_check_site(site, &err), FL_EFORMAT);
    check_has(err.text, "nested more than 16 deep");
    check(strlen(err.text) < 500);

    json_t *wide = json_array();
    for (int i = 0; i < 200000; i++) {
        json_array_append_new(wide, json_integer(i));
    }
    sample_set(site, "extra", wide);
    check_fails(report_check_site(site, &err), FL_EFORMAT);
    check_has(err.text, "more than 100000 values");
    json_decref(site);
    json_decref(report);
}

/* ----------------------------------------------------------------- damage */

/* Every value of the tree replaced by each of these, one at a time. */
static const char *const wrong_values[] = {
    "null", "-3", "0",      "1e300",         "\"x\"", "\"<b>&'\\\"\"",
    "[]",   "{}", "[null]", "{\"a\": null}", "true",  "[[1]]",
};

/* Accepted or refused; whatever is accepted can be shown. */
static void try_replacements(json_t *report, json_t *parent, size_t *n_accepted)
{
    void *iter = json_is_object(parent) ? json_object_iter(parent) : NULL;
    size_t n = json_is_object(parent) ? json_object_size(parent) : json_array_size(parent);
    for (size_t i = 0; i < n; i++) {
        json_t *value = iter != NULL ? json_object_iter_value(iter) : json_array_get(parent, i);
        json_incref(value);
        for (size_t w = 0; w < sizeof wrong_values / sizeof wrong_values[0]; w++) {
            fl_err err = FL_ERR_INIT;
            json_t *other = json_loads(wrong_values[w], JSON_DECODE_ANY, NULL);
            iter != NULL ? json_object_iter_set_new(parent, iter, other)
                         : json_array_set_new(parent, i, other);
            if (report_check(report, &err) == FL_OK) {
                (*n_accepted)++;
                free(report_text(report));
            } else {
                check(err.text[0] != '\0');
            }
        }
        iter != NULL ? json_object_iter_set(parent, iter, value) : json_array_set(parent, i, value);
        json_decref(value);
        // A round and a site are like the others: one of each is enough.
        if (json_is_object(value) || (json_is_array(value) && json_array_size(value) < 19)) {
            try_replacements(report, value, n_accepted);
        }
        iter = iter != NULL ? json_object_iter_next(parent, iter) : NULL;
    }
}

static void any_value_may_be_wrong(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t n_accepted = 0;
    json_t *report = sample_read();
    while (json_array_size(json_object_get(report, "rounds")) > 1) {
        json_array_remove(json_object_get(report, "rounds"), 1);
    }
    while (json_array_size(json_object_get(report, "sites")) > 1) {
        json_array_remove(json_object_get(report, "sites"), 1);
    }
    json_object_del(json_object_get(json_object_get(report, "baselines"), "centralised"), "sites");
    try_replacements(report, report, &n_accepted);
    check(n_accepted > 100);  // what may be absent may be null
    check_ok(report_check(report, &err), err);
    json_decref(report);
}

/* What a site says of another's own model: refused in words, or shown. */
static void what_is_said_of_anothers_model_is_checked(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static const char good[] =
        "{\"n_test\": 40, \"metrics\": {\"auc\": {\"value\": 0.8, \"ci_low\": 0.7, \"ci_high\": "
        "0.9, \"n\": 40, \"n_positive\": 12, \"n_patients\": 40, \"method\": \"DeLong\", \"why\": "
        "\"\"}, "
        "\"nll\": {\"value\": null, \"why\": \"no labelled cases\"}}}";
    static const struct {
        const char *json, *complaint;
    } lies[] = {
        {"[]", "figures"},
        {"{}", "n_test"},
        {"{\"n_test\": -1, \"why\": \"\"}", "n_test: expected a whole number >= 0, found -1"},
        {"{\"n_test\": 1e300, \"why\": \"\"}", "n_test"},
        {"{\"n_test\": 4}", "either metrics or why"},
        {"{\"n_test\": 4, \"metrics\": {}, \"why\": \"\"}", "either metrics or why"},
        {"{\"n_test\": 4, \"why\": \"\", \"more\": 1}", "either metrics or why"},
        {"{\"n_test\": 4, \"why\": 7}", "why"},
        {"{\"n_test\": 4, \"metrics\": {\"auc\": {\"value\": 0.5, \"n\": 5}}}", "metrics.auc"},
        {"{\"n_test\": 4, \"metrics\": {\"auc\": {\"value\": -0.5}}}", "metrics.auc.value"},
        {"{\"n_test\": 4, \"metrics\": {\"auc\": {\"value\": null}}}", "without a reason (why)"},
        {"{\"n_test\": 4, \"metrics\": {\"beauty\": {\"value\": 1}}}", "beauty"},
    };
    json_t *json = json_loads(good, 0, NULL);
    check_ok(report_check_crossed(json, &err), err);
    json_decref(json);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        json = json_loads(lies[i].json, 0, NULL);
        check(json != NULL);
        check_fails(report_check_crossed(json, &err), FL_EFORMAT);
        check_has(err.text, lies[i].complaint);
        json_decref(json);
    }
}

/* A matrix, and why it is not whole, with any value wrong. */
static void any_value_of_a_matrix_may_be_wrong(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t n_accepted = 0;
    json_t *report = sample_read();
    json_array_clear(json_object_get(report, "rounds"));
    json_array_clear(json_object_get(report, "sites"));
    json_object_set_new(
        report, "baselines",
        json_pack("{s:{s:{s:{s:{s:{s:f, s:i, s:s}}}}, s:[s], s:[{s:s, s:s}], s:[{s:s, s:s}], s:s}}",
                  "cross_site", "sites", "nord", "sud", "auc", "value", 0.7, "n", 40, "why", "",
                  "missing", "est", "absent", "site", "est", "reason", "silent for 2 s", "kept",
                  "site", "sud", "reason", "its policy keeps its own model", "why", "many"));
    check_ok(report_check(report, &err), err);
    try_replacements(report, json_object_get(report, "baselines"), &n_accepted);
    check(n_accepted > 5);
    check_ok(report_check(report, &err), err);
    json_decref(report);
}

static void any_value_of_uncertainty_and_shift_may_be_wrong(void **state)
{
    static const char *const kept[] = {"name", "n_train", "n_val", "n_test", "uncertainty"};
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t n_accepted = 0;
    json_t *report = sample_read_of("masks.json"), *bare = json_object();
    const json_t *site = json_array_get(json_object_get(report, "sites"), 0);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        json_object_set(bare, kept[i], json_object_get(site, kept[i]));
    }
    // One shift at one severity is like the others.
    json_t *points = json_array();
    json_t *robustness = json_deep_copy(json_object_get(site, "robustness"));
    json_array_append(points, json_array_get(json_object_get(site, "shift"), 0));
    json_object_set_new(bare, "shift", points);
    while (json_array_size(json_object_get(robustness, "shifts")) > 1) {
        json_array_remove(json_object_get(robustness, "shifts"), 1);
    }
    json_object_set_new(bare, "robustness", robustness);
    json_array_clear(json_object_get(report, "rounds"));
    json_object_clear(json_object_get(report, "baselines"));
    json_array_clear(json_object_get(report, "sites"));
    json_array_append_new(json_object_get(report, "sites"), bare);
    try_replacements(report, bare, &n_accepted);
    check(n_accepted > 100);
    check_ok(report_check(report, &err), err);
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_site_sends_is_checked),
        cmocka_unit_test(impossible_numbers_of_a_site_are_refused),
        cmocka_unit_test(impossible_reports_are_refused),
        cmocka_unit_test(what_has_no_place_is_limited_all_the_same),
        cmocka_unit_test(deep_and_wide_values_are_refused_quickly),
        cmocka_unit_test(any_value_may_be_wrong),
        cmocka_unit_test(what_is_said_of_anothers_model_is_checked),
        cmocka_unit_test(any_value_of_a_matrix_may_be_wrong),
        cmocka_unit_test(any_value_of_uncertainty_and_shift_may_be_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
