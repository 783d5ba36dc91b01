/*
 * test_contrast.c - runs held against each other
 *
 * Expected numbers of paired t are scipy 1.11's (stats.ttest_rel and its
 * confidence_interval), those of standard errors scipy.stats.norm's.
 */
#include <math.h>

#include "check.h"
#include "coordinator/contrast.h"
#include "report/read.h"

static json_t *run_of(const char *name, const char *strategy, int seed, double x, double y)
{
    json_t *report = json_pack(
        "{s:s, s:s, s:s, s:{}, s:i, s:i, s:{s:s}, s:[{s:s, s:{s:{s:{s:f, s:f}}}}, {s:s, "
        "s:{s:{s:{s:f}}}}]}",
        "run", name, "job", "opacity", "strategy", strategy, "strategy_settings", "seed", seed,
        "rounds_done", 3, "model", "name", "cnn", "sites", "name", "x", "models", "global", "auc",
        "value", x, "se", strategy[0] == 'f' ? 0.02 : 0.03, "name", "y", "models", "global", "auc",
        "value", y);
    check(report != NULL);
    return report;
}

static const double plain[][2] = {{.80, .70}, {.82, .71}, {.81, .72}, {.85, .74}};
static const double other[][2] = {{.83, .72}, {.84, .75}, {.80, .73}, {.89, .78}};

enum { N_SEEDS = 4 };

static void runs_of_two_arms(json_t **runs)
{
    for (int s = 0; s < N_SEEDS; s++) {
        runs[2 * s] = run_of("a", "fedavg", s, plain[s][0], plain[s][1]);
        runs[2 * s + 1] = run_of("b", "other", s, other[s][0], other[s][1]);
    }
}

static void runs_free(json_t **runs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_decref(runs[i]);
    }
}

static const json_t *item_of(const json_t *contrasts, const char *list, const char *site)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(contrasts, list), i, item) {
        if (strcmp(fl_json_get_string(item, "site", "?"), site) == 0) {
            return item;
        }
    }
    check_fail("%s has nothing of site \"%s\"", list, site);
    return NULL;
}

static void check_item(const json_t *item, double value, double low, double high, double p)
{
    const double tolerance = 1e-9;
    check_near(report_value(item), value, tolerance);
    check_near(fl_json_get_number(item, "ci_low"), low, tolerance);
    check_near(fl_json_get_number(item, "ci_high"), high, tolerance);
    check_near(fl_json_get_number(item, "p"), p, tolerance);
}

static void seeds_are_paired(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *runs[2 * N_SEEDS], *c = NULL;
    runs_of_two_arms(runs);
    check_ok(contrast_build(&c, (const json_t *const *)runs, 2 * N_SEEDS, "auc", NULL, &err), err);
    const json_t *arms = json_object_get(c, "arms");
    check_int(json_array_size(arms), 2);
    check_str(fl_json_get_string(json_array_get(arms, 1), "label", ""), "other");
    check_near(fl_json_get_number(json_array_get(arms, 0), "mean"), 0.76875, 1e-12);
    check_item(item_of(c, "seeds", "x"), 0.02, -0.0143743488185831, 0.05437434881858308,
               0.1611618472135197);
    check_item(item_of(c, "seeds", "y"), 0.0275, 0.0036316527103721977, 0.05136834728962785,
               0.0350815147154819);
    check_item(item_of(c, "seeds", ""), 0.02375, -0.0033280802298719936, 0.05082808022987198,
               0.06834483377874657);
    check_str(fl_json_get_string(item_of(c, "seeds", ""), "method", ""), "paired t over seeds");
    json_decref(c);
    runs_free(runs, 2 * N_SEEDS);
}

static void cases_without_scores_are_not_paired_and_said_so(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *runs[2] = {run_of("a", "fedavg", 1, .80, .70), run_of("b", "other", 1, .83, .72)};
    json_t *c = NULL;
    check_ok(contrast_build(&c, (const json_t *const *)runs, 2, "auc", NULL, &err), err);
    const json_t *x = item_of(c, "cases", "x");
    check_item(x, 0.03, -0.040667506443218746, 0.10066750644321874, 0.40538055645894233);
    check_str(fl_json_get_string(x, "method", ""), "standard errors, not paired");
    const json_t *y = item_of(c, "cases", "y");  // without a standard error
    check_str(fl_json_get_string(y, "why", ""), "the case scores stay at the hospital");
    check(isnan(fl_json_get_number(y, "p")));
    // One seed: a value, no interval.
    const json_t *seeds = item_of(c, "seeds", "x");
    check_near(report_value(seeds), 0.03, 1e-12);
    check_str(fl_json_get_string(seeds, "why", ""),
              "one seed does not tell what others would give");
    json_decref(c);
    runs_free(runs, 2);
}

static void the_simulators_differences_are_taken_and_corrected_together(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *runs[2 * N_SEEDS], *c = NULL;
    runs_of_two_arms(runs);
    json_t *study = json_pack(
        "{s:[s, s, s, s, s, s, s, s], s:[{s:i, s:i, s:s, s:{s:f, s:f, s:f, s:f, s:s}}]}", "arms",
        "mu=0", "mu=1", "mu=0", "mu=1", "mu=0", "mu=1", "mu=0", "mu=1", "differences", "run", 1,
        "against", 0, "site", "x", "auc", "value", 0.03, "se", 0.01, "ci_low", 0.0104, "ci_high",
        0.0496, "method", "DeLong, paired");
    check_ok(contrast_build(&c, (const json_t *const *)runs, 2 * N_SEEDS, "auc", study, &err), err);
    check_str(fl_json_get_string(json_array_get(json_object_get(c, "arms"), 1), "label", ""),
              "mu=1");
    const json_t *x = item_of(c, "cases", "x");
    check_str(fl_json_get_string(x, "method", ""), "DeLong, paired");
    check_near(fl_json_get_number(x, "p"), 0.0026997960632601866, 1e-12);  // two-sided of z = 3
    // Smallest of all p: times their number.
    size_t i, n = 0;
    const json_t *item;
    json_array_foreach(json_object_get(c, "cases"), i, item) {
        n += !isnan(fl_json_get_number(item, "p"));
    }
    json_array_foreach(json_object_get(c, "seeds"), i, item) {
        n += !isnan(fl_json_get_number(item, "p"));
    }
    check_near(fl_json_get_number(x, "p_holm"), 0.0026997960632601866 * (double)n, 1e-12);
    json_decref(c);
    json_decref(study);
    runs_free(runs, 2 * N_SEEDS);
}

static void a_study_of_other_runs_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *runs[2] = {run_of("a", "fedavg", 1, .80, .70), run_of("b", "other", 1, .83, .72)};
    json_t *study = json_pack("{s:[s]}", "arms", "only"), *c = NULL;
    check_fails(contrast_build(&c, (const json_t *const *)runs, 2, "auc", study, &err), FL_EFORMAT);
    check_has(err.text, "names 1 arms, expected one for each of 2 runs");
    check(c == NULL);
    json_decref(study);
    runs_free(runs, 2);
}

static void same_settings_and_seed_are_told_apart_by_their_run(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *runs[2] = {run_of("first", "fedavg", 1, .80, .70),
                       run_of("second", "fedavg", 1, .83, .72)};
    json_t *c = NULL;
    check_ok(contrast_build(&c, (const json_t *const *)runs, 2, "auc", NULL, &err), err);
    check_str(fl_json_get_string(json_array_get(json_object_get(c, "arms"), 1), "label", ""),
              "run second");
    json_decref(c);
    runs_free(runs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_are_paired),
        cmocka_unit_test(cases_without_scores_are_not_paired_and_said_so),
        cmocka_unit_test(the_simulators_differences_are_taken_and_corrected_together),
        cmocka_unit_test(a_study_of_other_runs_is_refused),
        cmocka_unit_test(same_settings_and_seed_are_told_apart_by_their_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
