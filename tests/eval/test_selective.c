/*
 * test_selective.c - whether uncertainty tells the cases that go wrong, and the
 * maps and numbers of several masks, against scipy, scikit-learn and plain numpy
 * (tests/vectors/eval_gaps.py, eval_selective.py)
 */
#include "eval/selective.h"

#include "base/rng.h"
#include "check.h"
#include "eval/points.h"
#include "eval/uncertainty.h"
#include "eval/vectors.h"

static void refer_the_least_sure_and_the_rest_gets_better(void **state)
{
    (void)state;
    const double uncertainty[] = {0.1, 0.2, 0.3, 0.9};
    const double error[] = {0, 0, 1, 1};
    double risk[4];
    double aurc = eval_risk_coverage(risk, uncertainty, error, 4);
    check_near(risk[1], 0, 0);
    check_near(risk[3], 0.5, 0);
    check_near(aurc, (0 + 0 + 1.0 / 3 + 0.5) / 4, 1e-15);
    check_near(eval_refer_share(uncertainty, error, 4, 0.34), 0.25, 0);
    check_near(eval_refer_share(uncertainty, error, 4, 0), 0.5, 0);
    check_near(eval_kept_error(uncertainty, error, 4, 0.25), 1.0 / 3, 1e-15);
}

static double *wrongs(const json_t *v, bool **flags, size_t *n)
{
    int *wrong = vectors_labels(v, "wrong", n);
    double *error = fl_xcalloc(*n, sizeof *error);
    *flags = fl_xcalloc(*n, sizeof **flags);
    for (size_t i = 0; i < *n; i++) {
        error[i] = (*flags)[i] = wrong[i] != 0;
    }
    free(wrong);
    return error;
}

static void check_numbers(const double *got, const json_t *v, const char *key)
{
    size_t n = 0;
    double *wanted = vectors_numbers(v, key, &n);
    for (size_t i = 0; i < n; i++) {
        check_near(got[i], wanted[i], 1e-9);
    }
    free(wanted);
}

static void selective_calls_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_gaps.json");
    const json_t *v = json_object_get(all, "uncertainty");
    size_t n = 0;
    bool *wrong;
    double *uncertainty = vectors_numbers(v, "uncertainty", &n);
    double *error = wrongs(v, &wrong, &n);
    double *risk = fl_xcalloc(n, sizeof *risk);
    check_near(eval_risk_coverage(risk, uncertainty, error, n), fl_json_get_number(v, "aurc"),
               1e-9);
    check_numbers(risk, v, "risk");
    eval_figure f;
    eval_error_detection(&f, uncertainty, wrong, NULL, n);
    check_near(f.value, fl_json_get_number(v, "error_auroc"), 1e-12);
    check(f.ci_low < f.value && f.value < f.ci_high);
    const char *key;
    json_t *wanted;
    json_object_foreach(json_object_get(v, "refer"), key, wanted) {
        check_near(eval_refer_share(uncertainty, error, n, strtod(key, NULL)),
                   json_number_value(wanted), 1e-12);
    }
    memset(wrong, 0, n * sizeof *wrong);
    eval_error_detection(&f, uncertainty, wrong, NULL, n);
    check_str(f.why, "no case is called wrongly");
    free(uncertainty);
    free(error);
    free(wrong);
    free(risk);
    json_decref(all);
}

static void correlations_and_kept_errors_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_selective.json");
    const json_t *v = json_object_get(all, "cases");
    size_t n = 0;
    double *u = vectors_numbers(v, "uncertainty", &n), *error = vectors_numbers(v, "error", &n);
    int64_t *patient = vectors_integers(v, "patient", &n);
    double *risk = fl_xcalloc(n, sizeof *risk);
    eval_figure pearson, spearman;
    eval_correlations(&pearson, &spearman, u, error, NULL, n, 1);
    check_near(pearson.value, fl_json_get_number(v, "pearson"), 1e-12);
    check_near(spearman.value, fl_json_get_number(v, "spearman"), 1e-12);
    check(pearson.ci_low < pearson.value && pearson.value < pearson.ci_high);
    check_near(eval_risk_coverage(risk, u, error, n), fl_json_get_number(v, "aurc"), 1e-12);
    const char *key;
    json_t *wanted;
    json_object_foreach(json_object_get(v, "kept"), key, wanted) {
        check_near(eval_kept_error(u, error, n, strtod(key, NULL)), json_number_value(wanted),
                   1e-12);
    }
    // Patients are drawn whole.
    eval_correlations(&pearson, &spearman, u, error, patient, n, 1);
    check_near(pearson.value, fl_json_get_number(v, "pearson"), 1e-12);
    check_int(pearson.n, (int64_t)n);
    check(pearson.n_patients < pearson.n);
    check_has(pearson.method, "by patient");
    free(u);
    free(error);
    free(patient);
    free(risk);
    json_decref(all);
}

static void findings_and_numbers_differ_as_the_independent_ones_do(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_selective.json");
    const json_t *v = json_object_get(all, "findings");
    size_t size = 0, M = (size_t)fl_json_get_int(v, "M", 0), n = (size_t)fl_json_get_int(v, "n", 0);
    size_t K = (size_t)fl_json_get_int(v, "K", 0);
    double *member = vectors_numbers(v, "member", &size);
    check_int(size, M * n * K);
    double *of_case[2], *of_finding[3];
    for (int i = 0; i < 3; i++) {
        of_finding[i] = fl_xcalloc(n * K, sizeof(double));
        if (i < 2) {
            of_case[i] = fl_xcalloc(n, sizeof(double));
        }
    }
    eval_members_findings(of_finding[0], of_case[0], of_case[1], of_finding[1], of_finding[2],
                          member, M, n, K);
    check_numbers(of_finding[0], v, "mean");
    check_numbers(of_finding[1], v, "entropy_of");
    check_numbers(of_finding[2], v, "information_of");
    check_numbers(of_case[0], v, "entropy");
    check_numbers(of_case[1], v, "information");
    free(member);
    v = json_object_get(all, "numbers");
    M = (size_t)fl_json_get_int(v, "M", 0);
    n = (size_t)fl_json_get_int(v, "n", 0);
    member = vectors_numbers(v, "member", &size);
    check_int(size, M * n);
    double *mean = fl_xcalloc(n, sizeof *mean), *spread = fl_xcalloc(n, sizeof *spread);
    eval_members_numbers(mean, spread, member, M, n);
    check_numbers(mean, v, "mean");
    check_numbers(spread, v, "spread");
    eval_members_numbers(mean, spread, member, 1, n);
    for (size_t i = 0; i < n; i++) {
        check(mean[i] == member[i] && spread[i] == 0);  // one agrees with itself
    }
    free(member);
    free(mean);
    free(spread);
    for (int i = 0; i < 3; i++) {
        free(of_finding[i]);
        if (i < 2) {
            free(of_case[i]);
        }
    }
    json_decref(all);
}

static void what_does_not_vary_has_no_correlation(void **state)
{
    (void)state;
    double same[12], rising[12];
    for (int i = 0; i < 12; i++) {
        same[i] = 0.3;
        rising[i] = i;
    }
    eval_figure pearson, spearman;
    eval_correlations(&pearson, &spearman, same, rising, NULL, 12, 1);
    check(isnan(pearson.value) && isnan(spearman.value));
    check_has(pearson.why, "the same in all cases");
    eval_correlations(&pearson, &spearman, rising, rising, NULL, 5, 1);
    check_near(spearman.value, 1, 1e-12);
    check_has(spearman.why, "10 are needed");
    eval_correlations(&pearson, &spearman, rising, rising, NULL, 0, 1);
    check_str(pearson.why, "no cases");
}

/* The order of the cases says nothing; more uncertainty for all changes none. */
static void selective_calls_see_ranks_only(void **state)
{
    (void)state;
    enum { N = 40 };
    const uint64_t seed = 5;
    print_message("seed %llu\n", (unsigned long long)seed);
    fl_rng rng;
    fl_rng_init(&rng, seed, "ranks", "", 0);
    double u[N], turned[N], risk[N], other[N], error[N], turned_error[N];
    for (int i = 0; i < N; i++) {
        u[i] = floor(8 * fl_rng_uniform(&rng));  // ties
        error[i] = fl_rng_uniform(&rng) < 0.3;
    }
    for (int i = 0; i < N; i++) {
        turned[N - 1 - i] = exp(u[i]) + 3;
        turned_error[N - 1 - i] = error[i];
    }
    check_near(eval_risk_coverage(risk, u, error, N),
               eval_risk_coverage(other, turned, turned_error, N), 1e-12);
    check_near(risk[7], other[7], 1e-12);
    check_near(eval_kept_error(u, error, N, 0.3), eval_kept_error(turned, turned_error, N, 0.3),
               1e-12);
    check_near(eval_kept_error(u, error, N, 0), risk[N - 1], 1e-12);
}

static void all_of_it_is_put_into_the_report(void **state)
{
    (void)state;
    enum { N = 40 };
    double u[N], error[N];
    bool wrong[N];
    for (int i = 0; i < N; i++) {
        u[i] = i;
        wrong[i] = i % 10 == 0 || i > 35;
        error[i] = wrong[i];
    }
    const eval_doubt doubts[] = {{"entropy", u}, {"information", error}};
    const eval_selective_config cfg = {.share = 0.2, .target = NAN, .n_points = 4, .seed = 1};
    json_t *out = json_object();
    eval_selective_put(out, doubts, 2, error, wrong, NULL, N, &cfg);
    check_str(fl_json_get_string(out, "measure", ""), "entropy");
    const json_t *measures = json_object_get(out, "measures");
    check_near(fl_json_get_number(json_object_get(json_object_get(measures, "information"),
                                                  "auroc"), "value"), 1, 0);
    const json_t *refer = json_object_get(out, "refer");
    check_near(fl_json_get_number(json_object_get(refer, "error_kept"), "value"),
               eval_kept_error(u, error, N, 0.2), 0);
    check_near(fl_json_get_number(json_object_get(refer, "cut"), "value"),
               1 - eval_kept_error(u, error, N, 0.2) / (8.0 / N), 1e-12);
    check_near(fl_json_get_number(json_object_get(out, "target"), "error"), 4.0 / N, 1e-12);
    check_int(json_array_size(json_object_get(out, "risk_coverage")), 4);
    json_decref(out);
}

// ------------------------------------------------------------- several masks

static void maps_of_several_masks_equal_the_independent_ones(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *all = vectors_read("eval_selective.json");
    const json_t *v = json_object_get(all, "masks");
    size_t K = (size_t)fl_json_get_int(v, "K", 0), M = (size_t)fl_json_get_int(v, "M", 0);
    eval_grid g = {.size = {1, fl_json_get_int(v, "rows", 0), fl_json_get_int(v, "cols", 0)},
                   .spacing = {1, 1, 1}};
    size_t n = eval_grid_n(&g), count = 0;
    double *member = vectors_numbers(v, "member", &count);
    int *code_wanted = vectors_labels(v, "code", &count), *truth_in = vectors_labels(v, "truth", &count);
    uint8_t *code = fl_xcalloc(n, 1), *truth = fl_xcalloc(n, 1);
    double *entropy = fl_xcalloc(n, sizeof *entropy), *information = fl_xcalloc(n, sizeof *entropy),
           *variance = fl_xcalloc(n, sizeof *entropy);
    eval_points p;
    check_ok(eval_points_init(&p, n, K, &err), err);
    for (int run = 0; run < 2; run++) {  // a case leaves nothing behind for the next
        eval_points_restart(&p);
        for (size_t m = 0; m < M; m++) {
            eval_points_add(&p, member + m * K * n);
        }
    }
    eval_points_maps(&p, entropy, information, variance);
    eval_points_codes(&p, code);
    check_numbers(entropy, v, "entropy");
    check_numbers(information, v, "information");
    check_numbers(variance, v, "variance");
    for (size_t i = 0; i < n; i++) {
        check_int(code[i], code_wanted[i]);
        truth[i] = (uint8_t)truth_in[i];
    }
    eval_points_case c;
    eval_points_sum_up(&c, &p, code, entropy, information, variance);
    check_near(c.entropy, fl_json_get_number(v, "mean_entropy"), 1e-12);
    check_near(c.information, fl_json_get_number(v, "mean_information"), 1e-12);
    check_near(c.variance, fl_json_get_number(v, "mean_variance"), 1e-12);
    check_near(c.expected_error, fl_json_get_number(v, "expected_error"), 1e-12);
    eval_lesion *lesions = NULL;
    size_t n_lesions = 0, n_wanted = 0;
    eval_lesions_add(&lesions, &n_lesions, 7, code, truth, entropy, &g);
    double *of_entropy = vectors_numbers(v, "lesion_entropy", &n_wanted);
    int64_t *of_n = vectors_integers(v, "lesion_n", &n_wanted);
    int *is_false = vectors_labels(v, "lesion_is_false", &n_wanted);
    check_int(n_lesions, n_wanted);
    check(n_wanted >= 2);  // a true one and a false one
    for (size_t k = 0; k < n_lesions; k++) {
        check_int(lesions[k].of, 7);
        check_int(lesions[k].n, of_n[k]);
        check_near(lesions[k].entropy, of_entropy[k], 1e-12);
        check_int(lesions[k].is_false, is_false[k]);
    }
    memset(code, 0, n);
    eval_points_sum_up(&c, &p, code, entropy, information, variance);
    check_near(c.expected_error, 1, 0);  // nothing is called
    eval_points_clear(&p);
    eval_points_clear(&p);
    free(member);
    free(code_wanted);
    free(truth_in);
    free(code);
    free(truth);
    free(entropy);
    free(information);
    free(variance);
    free(lesions);
    free(of_entropy);
    free(of_n);
    free(is_false);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refer_the_least_sure_and_the_rest_gets_better),
        cmocka_unit_test(selective_calls_equal_the_independent_ones),
        cmocka_unit_test(correlations_and_kept_errors_equal_the_independent_ones),
        cmocka_unit_test(findings_and_numbers_differ_as_the_independent_ones_do),
        cmocka_unit_test(what_does_not_vary_has_no_correlation),
        cmocka_unit_test(selective_calls_see_ranks_only),
        cmocka_unit_test(all_of_it_is_put_into_the_report),
        cmocka_unit_test(maps_of_several_masks_equal_the_independent_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
