/*
 * test_choose.c - validation chooses round and threshold, from the record
 */
#include "check.h"

#include "coordinator/choose.h"
#include "coordinator/pooled.h"
#include "fed/identity.h"

/* A record in a folder. */
typedef struct {
    char *dir;
    record *r;
} setting;

static setting setting_new(void)
{
    fl_err err = FL_ERR_INIT;
    setting s = {.dir = check_tmpdir()};
    char *path = fl_path_join(s.dir, "state.db");
    fed_digest job_digest = {{1}};
    check_ok(record_open(&s.r, path, &job_digest, "test", &err), err);
    free(path);
    return s;
}

static void setting_free(setting *s)
{
    record_close(&s->r);
    check_rmdir(&s->dir);
}

static fed_offer offer_of(fed_order_kind kind, uint32_t round, const char *site)
{
    fed_offer o = {.key = {.kind = kind, .job = {{1}}, .round = {round}}, .digest = {{2}}};
    snprintf(o.site.text, sizeof o.site.text, "%s", site);
    return o;
}

/* NAN: left out, as a site does with what is undefined. */
static void score(setting *s, uint32_t round, const char *site, double n, double auc, double loss)
{
    fl_err err = FL_ERR_INIT;
    fed_offer o = offer_of(FED_SCORE, round, site);
    fed_offer_set(&o, "n", n);
    if (!isnan(auc)) {
        fed_offer_set(&o, "auc", auc);
    }
    if (!isnan(loss)) {
        fed_offer_set(&o, "loss", loss);
    }
    check_ok(record_accept(s->r, &o, NULL, 0, &err), err);
}

static void histogram(setting *s, uint32_t round, const char *site, const char *text)
{
    fl_err err = FL_ERR_INIT;
    fed_offer o = offer_of(FED_SCORE, round | FED_HISTOGRAM_BIT, site);
    check_ok(record_accept(s->r, &o, text, strlen(text), &err), err);
}

static job job_of(int rounds, const char *metric, bool best, eval_rule rule, double at)
{
    job j = {.rounds = rounds};
    snprintf(j.select.metric, sizeof j.select.metric, "%s", metric);
    j.select.best = best;
    j.evaluation.rule = rule;
    j.evaluation.at = at;
    j.data.positive = 1;
    return j;
}

static void the_round_with_the_best_mean_is_chosen_weighted_by_cases(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    score(&s, 1, "a", 90, 0.70, 0.6);
    score(&s, 1, "b", 10, 0.95, 0.1);  // mean 0.725
    score(&s, 2, "a", 90, 0.72, 0.7);
    score(&s, 2, "b", 10, 0.90, 0.1);  // mean 0.738
    score(&s, 3, "a", 90, 0.73, 0.9);
    score(&s, 3, "b", 10, 0.80, 0.1);  // mean 0.737
    job j = job_of(3, "auc", true, EVAL_RULE_FIXED, 0.5);
    uint32_t round;
    double value;
    check_ok(choose_round(&round, &value, s.r, &j, &err), err);
    check_int(round, 2);
    check_near(value, 0.738, 1e-12);
    j = job_of(3, "loss", true, EVAL_RULE_FIXED, 0.5);  // lower is better
    check_ok(choose_round(&round, &value, s.r, &j, &err), err);
    check_int(round, 1);
    check_near(value, 0.55, 1e-12);
    j = job_of(3, "auc", false, EVAL_RULE_FIXED, 0.5);  // keep: last
    check_ok(choose_round(&round, &value, s.r, &j, &err), err);
    check_int(round, 3);
    setting_free(&s);
}

static void ties_go_to_the_earlier_round_and_undefined_sites_do_not_count(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    score(&s, 1, "a", 50, NAN, 0.5);  // one class only: no AUC
    score(&s, 1, "b", 50, 0.8, 0.5);
    score(&s, 2, "a", 50, NAN, 0.5);
    score(&s, 2, "b", 50, 0.8, 0.5);
    job j = job_of(2, "auc", true, EVAL_RULE_FIXED, 0.5);
    uint32_t round;
    double value;
    check_ok(choose_round(&round, &value, s.r, &j, &err), err);
    check_int(round, 1);
    check_near(value, 0.8, 1e-12);
    choose_score all;
    check_ok(choose_score_of(&all, s.r, 1, &err), err);
    check_int(all.n, 100);
    setting_free(&s);
}

static void without_any_validation_split_it_is_the_last_round(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    score(&s, 1, "a", 0, NAN, NAN);
    score(&s, 2, "a", 0, NAN, NAN);
    job j = job_of(2, "auc", true, EVAL_RULE_FIXED, 0.5);
    uint32_t round;
    double value;
    check_ok(choose_round(&round, &value, s.r, &j, &err), err);
    check_int(round, 2);
    check(isnan(value));
    setting_free(&s);
}

static void histograms_of_several_sites_are_summed_at_the_bins_they_share(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    histogram(&s, 2, "a",
              "{\"bins\": 4, \"negatives\": [9, 1, 0, 0], \"positives\": [0, 1, 4, 5]}");
    histogram(&s, 2, "b",
              "{\"bins\": 8, \"negatives\": [5, 4, 1, 0, 0, 0, 0, 0],"
              " \"positives\": [0, 0, 0, 0, 1, 3, 2, 4]}");
    job j = job_of(3, "auc", true, EVAL_RULE_SENSITIVITY, 0.9);
    double threshold;
    int64_t bins;
    char why[FED_TEXT_BYTES];
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 2, &err), err);
    check_int(bins, 4);
    check_near(threshold, 0.5, 1e-12);  // 19 of 20 positives are in the upper half
    check_str(why, "");
    histogram(
        &s, 2, "c",
        "{\"bins\": 6, \"negatives\": [1, 0, 0, 0, 0, 0], \"positives\": [9, 9, 9, 9, 9, 9]}");
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 2, &err), err);
    check_near(threshold, 0.5, 1e-12);
    check_has(why, "1 of 3 sites");
    setting_free(&s);
}

/* A hospital whose policy lets one bin leave says nothing, and must not silence the others. */
static void a_site_of_one_bin_does_not_cost_the_others_theirs(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    histogram(&s, 2, "a",
              "{\"bins\": 4, \"negatives\": [9, 1, 0, 0], \"positives\": [0, 1, 4, 15]}");
    histogram(&s, 2, "b", "{\"bins\": 1, \"negatives\": [10], \"positives\": [10]}");
    job j = job_of(3, "auc", true, EVAL_RULE_SENSITIVITY, 0.9);
    double threshold;
    int64_t bins;
    char why[FED_TEXT_BYTES];
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 2, &err), err);
    check_int(bins, 4);
    check_near(threshold, 0.5, 1e-12);
    check_has(why, "1 of 2 sites");

    fed_offer none = offer_of(FED_SCORE, 3 | FED_HISTOGRAM_BIT, "c");
    check_ok(record_accept(s.r, &none, NULL, 0, &err), err);
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 3, &err), err);
    check_near(threshold, 0.5, 0);
    check_has(why, "no site sent one");
    histogram(&s, 3, "a",
              "{\"bins\": 4, \"negatives\": [9, 1, 0, 0], \"positives\": [0, 1, 4, 15]}");
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 3, &err), err);
    check_has(why, "1 of 2 sites sent no histogram");
    setting_free(&s);
}

static void no_positive_case_anywhere_gives_one_half_and_says_so(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    job j = job_of(1, "auc", true, EVAL_RULE_YOUDEN, 0);
    double threshold;
    int64_t bins;
    char why[FED_TEXT_BYTES];
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 1, &err), err);
    check_near(threshold, 0.5, 0);
    check_has(why, "0.5 is used");
    histogram(&s, 1, "a", "{\"bins\": 2, \"negatives\": [5, 5], \"positives\": [0, 0]}");
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 1, &err), err);
    check_near(threshold, 0.5, 0);
    j = job_of(1, "auc", true, EVAL_RULE_FIXED, 0.3);
    check(!job_asks_histogram(&j));
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 1, &err), err);
    check_near(threshold, 0.3, 0);
    j.data.positive = -1;
    check_ok(choose_threshold(&threshold, &bins, why, s.r, &j, 1, &err), err);
    check(isnan(threshold));
    setting_free(&s);
}

// ------------------------------------------------------------------- pooled

static json_t *parsed(const char *text)
{
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    check_ok(fl_json_parse(&json, text, strlen(text), 1 << 20, "test", &err), err);
    return json;
}

static void pooled_figures_are_sums_over_sites_with_wilsons_interval(void **state)
{
    (void)state;
    json_t *sites = parsed(
        "[{\"name\": \"a\", \"models\": {\"global\": {\"accuracy\": {\"value\": 0.9, "
        "\"n_patients\": 100},"
        " \"auc\": {\"value\": 0.9}}}, \"confusion\": {\"global\": {\"tp\": 45, \"fn\": 5, \"fp\": "
        "5, \"tn\": 45}},"
        " \"histogram\": {\"bins\": 2, \"negatives\": [45, 5], \"positives\": [5, 45]}},"
        " {\"name\": \"b\", \"models\": {\"global\": {\"accuracy\": {\"value\": 0.7, "
        "\"n_patients\": 50},"
        " \"auc\": {\"value\": 0.6}}}, \"confusion\": {\"global\": {\"tp\": 15, \"fn\": 10, "
        "\"fp\": 5, \"tn\": 20}},"
        " \"histogram\": {\"bins\": 4, \"negatives\": [10, 10, 5, 0], \"positives\": [5, 5, 5, "
        "10]}}]");
    json_t *missing = parsed("[\"c\"]");
    json_t *pooled = pooled_build(sites, missing, DATA_CLASSIFY);
    json_t *global = json_object_get(pooled, "global");
    json_t *sensitivity = json_object_get(global, "sensitivity");
    check_near(fl_json_get_number(sensitivity, "value"), 60.0 / 75, 1e-12);
    check_int(fl_json_get_int(sensitivity, "n", 0), 75);
    // Wilson 1927 for 60 of 75, by hand
    check_near(fl_json_get_number(sensitivity, "ci_low"), 0.6959, 5e-4);
    check_near(fl_json_get_number(sensitivity, "ci_high"), 0.8751, 5e-4);
    check_near(fl_json_get_number(json_object_get(global, "specificity"), "value"), 65.0 / 75,
               1e-12);
    check_near(fl_json_get_number(json_object_get(global, "accuracy"), "value"), 125.0 / 150,
               1e-12);
    check_near(fl_json_get_number(json_object_get(global, "f1"), "value"), 120.0 / 145, 1e-12);
    // two bins: negatives 65 and 10, positives 15 and 60; ties count half
    double auc = (60.0 * 65 + 0.5 * (60.0 * 10 + 15.0 * 65)) / (75.0 * 75);
    check_near(fl_json_get_number(json_object_get(global, "auc"), "value"), auc, 1e-12);
    check(fl_json_get_number(pooled, "auc_half_width") > 0);
    // Surely in order: positives in the upper half against negatives in the lower.
    const json_t *bounds = json_object_get(pooled, "auc_bounds");
    check_near(json_number_value(json_array_get(bounds, 0)), 60.0 * 65 / (75 * 75), 1e-12);
    check_near(json_number_value(json_array_get(bounds, 1)), 1 - 15.0 * 10 / (75 * 75), 1e-12);
    json_t *fairness = pooled_fairness(sites, DATA_CLASSIFY);
    check_str(fl_json_get_string(fairness, "worst_site", ""), "b");
    check_near(fl_json_get_number(fairness, "gap"), 0.3, 1e-12);
    json_decref(fairness);
    json_decref(pooled);
    json_decref(missing);
    json_decref(sites);
}

static void who_says_nothing_is_missing_from_the_pool(void **state)
{
    (void)state;
    json_t *sites = parsed(
        "[{\"name\": \"a\", \"models\": {\"global\": {\"auc\": {\"value\": 0.9}}}},"
        " {\"name\": \"b\", \"models\": {\"global\": {\"auc\": {\"value\": null, \"why\": \"fewer\"}}}}]");
    json_t *missing = parsed("[\"c\"]"), *pooled = pooled_build(sites, missing, DATA_CLASSIFY);
    char *names = json_dumps(json_object_get(pooled, "missing"), JSON_COMPACT);
    check_str(names, "[\"c\",\"b\"]");
    check_int(json_array_size(missing), 1);
    free(names);
    json_decref(pooled);
    json_decref(missing);
    json_decref(sites);
}

static void a_new_hospital_is_predicted_from_those_with_a_standard_error(void **state)
{
    (void)state;
    json_t *sites = parsed(
        "[{\"name\": \"a\", \"models\": {\"global\": {\"auc\": {\"value\": 0.9, \"se\": 0.02}}}},"
        " {\"name\": \"b\", \"models\": {\"global\": {\"auc\": {\"value\": 0.8, \"se\": 0.03}}}},"
        " {\"name\": \"c\", \"models\": {\"global\": {\"auc\": {\"value\": 0.85, \"se\": 0.02}}}},"
        " {\"name\": \"d\", \"models\": {\"global\": {\"auc\": {\"value\": 1}}}}]");
    json_t *missing = json_array(), *pooled = pooled_build(sites, missing, DATA_CLASSIFY);
    const json_t *auc = json_object_get(json_object_get(pooled, "across_sites"), "auc");
    check_int(fl_json_get_int(auc, "n_sites", 0), 3);
    check_str(json_string_value(json_array_get(json_object_get(auc, "left_out"), 0)), "d");
    double mean = fl_json_get_number(auc, "mean");
    check(mean > 0.8 && mean < 0.9);
    check(fl_json_get_number(auc, "prediction_low") < fl_json_get_number(auc, "ci_low"));
    check(fl_json_get_number(auc, "prediction_low") > 0);
    check(fl_json_get_number(auc, "prediction_high") < 1);
    check_str(fl_json_get_string(auc, "scale", ""), "logit");
    check_int(json_object_size(json_object_get(pooled, "benefit_across_sites")), 0);
    json_decref(pooled);
    json_decref(missing);
    json_decref(sites);
}

/* Means of cases add up to the mean of all; a root of squares through its squares. */
static void pooled_means_are_weighted_by_cases(void **state)
{
    (void)state;
    json_t *missing = json_array();
    json_t *sites = parsed(
        "[{\"name\": \"a\", \"models\": {\"global\": {"
        "\"dice\": {\"value\": 0.8, \"n\": 30, \"n_patients\": 20}}}},"
        " {\"name\": \"b\", \"models\": {\"global\": {"
        "\"dice\": {\"value\": 0.5, \"n\": 10, \"n_patients\": 10}}}},"
        " {\"name\": \"c\", \"models\": {\"global\": {\"dice\": {\"value\": null, \"n\": 4}}}}]");
    json_t *pooled = pooled_build(sites, missing, DATA_SEGMENT);
    json_t *dice = json_object_get(json_object_get(pooled, "global"), "dice");
    check_near(fl_json_get_number(dice, "value"), (30 * 0.8 + 10 * 0.5) / 40, 1e-12);
    check_int(fl_json_get_int(dice, "n", 0), 40);
    check_int(fl_json_get_int(dice, "n_patients", 0), 30);
    check(json_object_get(json_object_get(pooled, "global"), "accuracy") == NULL);
    json_t *fairness = pooled_fairness(sites, DATA_SEGMENT);
    check_str(fl_json_get_string(fairness, "metric", ""), "dice");
    check_str(fl_json_get_string(fairness, "worst_site", ""), "b");
    json_decref(fairness);
    json_decref(pooled);
    json_decref(sites);

    sites = parsed("[{\"name\": \"a\", \"models\": {\"global\": {"
                   "\"mae\": {\"value\": 1, \"n\": 10}, \"rmse\": {\"value\": 3, \"n\": 10}}}},"
                   " {\"name\": \"b\", \"models\": {\"global\": {"
                   "\"mae\": {\"value\": 2, \"n\": 30}, \"rmse\": {\"value\": 4, \"n\": 30}}}}]");
    pooled = pooled_build(sites, missing, DATA_REGRESS);
    json_t *global = json_object_get(pooled, "global");
    check_near(fl_json_get_number(json_object_get(global, "mae"), "value"), 1.75, 1e-12);
    check_near(fl_json_get_number(json_object_get(global, "rmse"), "value"),
               sqrt((10 * 9 + 30 * 16) / 40.0), 1e-12);
    fairness = pooled_fairness(sites, DATA_REGRESS);
    check_str(fl_json_get_string(fairness, "worst_site", ""), "b");  // the largest error
    json_decref(fairness);
    json_decref(pooled);
    json_decref(sites);
    json_decref(missing);
}

static void nothing_at_all_is_undefined_and_says_why(void **state)
{
    (void)state;
    json_t *sites = json_array(), *missing = json_array();
    json_t *pooled = pooled_build(sites, missing, DATA_CLASSIFY);
    json_t *fairness = pooled_fairness(sites, DATA_CLASSIFY);
    json_t *accuracy = json_object_get(json_object_get(pooled, "global"), "accuracy");
    check(json_is_null(json_object_get(accuracy, "value")));
    check_str(fl_json_get_string(accuracy, "why", ""), "no test cases");
    check(json_is_null(json_object_get(fairness, "worst_site")));
    json_decref(pooled);
    json_decref(fairness);
    json_decref(sites);
    json_decref(missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_round_with_the_best_mean_is_chosen_weighted_by_cases),
        cmocka_unit_test(ties_go_to_the_earlier_round_and_undefined_sites_do_not_count),
        cmocka_unit_test(without_any_validation_split_it_is_the_last_round),
        cmocka_unit_test(histograms_of_several_sites_are_summed_at_the_bins_they_share),
        cmocka_unit_test(a_site_of_one_bin_does_not_cost_the_others_theirs),
        cmocka_unit_test(no_positive_case_anywhere_gives_one_half_and_says_so),
        cmocka_unit_test(pooled_figures_are_sums_over_sites_with_wilsons_interval),
        cmocka_unit_test(who_says_nothing_is_missing_from_the_pool),
        cmocka_unit_test(a_new_hospital_is_predicted_from_those_with_a_standard_error),
        cmocka_unit_test(pooled_means_are_weighted_by_cases),
        cmocka_unit_test(nothing_at_all_is_undefined_and_says_why),
    };
    fed_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
