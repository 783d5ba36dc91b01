/*
 * test_ood.c - inputs unlike the training images, against scikit-learn and scipy
 * (tests/vectors/eval_ood.py)
 */
#include "eval/ood.h"

#include "base/rng.h"
#include "check.h"
#include "eval/vectors.h"

/* Two clouds of one shape; what lies between them is further away than what lies in one. */
static void what_is_near_a_class_is_near(void **state)
{
    (void)state;
    enum { N = 200, D = 3 };
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    double x[N * D], distance[3];
    int label[N];
    fl_rng_init(&rng, 1, "clouds", "", 0);
    for (int i = 0; i < N; i++) {
        label[i] = i % 2;
        for (int d = 0; d < D; d++) {
            x[i * D + d] = fl_rng_normal(&rng) + (d == 0 ? 10 * label[i] : 0);
        }
    }
    const double asked[3 * D] = {0, 0, 0, 5, 0, 0, 10, 0, 0};
    eval_ood *o = NULL;
    check_ok(eval_ood_new(&o, x, label, N, D, 2, &err), err);
    check_int(eval_ood_n_means(o), 2);
    eval_ood_distance(o, distance, asked, 3);
    check(distance[0] < 1 && distance[2] < 1);
    check_near(distance[1], 25, 5);  // five standard deviations from either
    eval_ood_destroy(&o);
}

static void check_fit(const json_t *v)
{
    fl_err err = FL_ERR_INIT;
    size_t n, n_x, n_new;
    size_t D = (size_t)fl_json_get_int(v, "D", 0), K = (size_t)fl_json_get_int(v, "K", 0);
    double *x = vectors_numbers(v, "x", &n_x), *new = vectors_numbers(v, "new", &n_new);
    double *wanted = vectors_numbers(v, "distance", &n_new);
    int *label = vectors_labels(v, "label", &n);
    double *distance = fl_xcalloc(n_new, sizeof *distance);
    bool by_class = json_is_true(json_object_get(v, "by_class"));
    eval_ood *o = NULL;
    check_ok(eval_ood_new(&o, x, by_class ? label : NULL, n, D, K, &err), err);
    check_int(eval_ood_n_means(o), fl_json_get_int(v, "means", -1));
    check_int(eval_ood_n_cases(o), by_class ? n - 3 : n);
    check_near(eval_ood_shrinkage(o), fl_json_get_number(v, "shrinkage"), 1e-12);
    eval_ood_distance(o, distance, new, n_new);
    for (size_t i = 0; i < n_new; i++) {
        check_near(distance[i] / wanted[i], 1, 1e-9);
    }
    eval_ood_destroy(&o);
    free(distance);
    free(label);
    free(wanted);
    free(new);
    free(x);
}

static void distances_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *v = vectors_read("eval_ood.json"), *one;
    size_t i;
    json_array_foreach(json_object_get(v, "fits"), i, one) {
        check_fit(one);
    }
    check_int(i, 3);
    json_decref(v);
}

static void rates_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_ood.json");
    const json_t *v = json_object_get(all, "told");
    int64_t patient[120];
    for (int i = 0; i < 120; i++) {
        patient[i] = i;
    }
    eval_ood_scores in = {.patient = patient}, out = {.patient = patient + 70};
    double *inside = vectors_numbers(v, "inside", &in.n);
    double *outside = vectors_numbers(v, "outside", &out.n);
    in.value = inside;
    out.value = outside;
    eval_figure f;
    memset(&f, 'x', sizeof f);  // nothing of what was there stays
    eval_ood_auroc(&f, &in, &out);
    check_str(f.why, "");
    check_str(f.unit, "");
    check_near(f.value, fl_json_get_number(v, "auroc"), 1e-12);
    check(f.ci_low < f.value && f.value < f.ci_high);
    check_int(f.n, 120);
    memset(&f, 'x', sizeof f);
    eval_ood_fpr95(&f, &in, &out);
    check_str(f.why, "");
    check_str(f.unit, "");
    check_near(f.value, fl_json_get_number(v, "fpr95"), 1e-12);
    check_int(f.n, 50);
    // 95 % of the inside pass, so at most 5 % are above.
    eval_ood_above(&f, &in, eval_ood_limit(inside, in.n));
    check(f.value <= 0.05);
    free(inside);
    free(outside);
    json_decref(all);
}

static void a_limit_keeps_nineteen_of_twenty(void **state)
{
    (void)state;
    double value[20];
    for (int i = 0; i < 20; i++) {
        value[i] = (i * 7) % 20;
    }
    check_near(eval_ood_limit(value, 20), 18, 0);
    check_near(eval_ood_limit(value, 1), value[0], 0);
    check(isnan(eval_ood_limit(value, 0)));
}

/* One set beside itself: nothing tells them apart, and a patient counts once. */
static void a_set_is_not_outside_of_itself(void **state)
{
    (void)state;
    double value[40];
    int64_t patient[40];
    for (int i = 0; i < 40; i++) {
        value[i] = (i * 17) % 40;
        patient[i] = i / 2;
    }
    const eval_ood_scores s = {value, patient, 40};
    eval_figure f;
    eval_ood_auroc(&f, &s, &s);
    check_near(f.value, 0.5, 1e-12);
    check_int(f.n_patients, 20);
    eval_ood_fpr95(&f, &s, &s);
    check_near(f.value, 0.95, 1e-12);
}

static void what_cannot_be_fitted_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    double x[60] = {0};
    int label[30] = {0};
    eval_ood *o = NULL;
    check_fails(eval_ood_new(&o, x, label, 19, 2, 1, &err), FL_EUNSUPPORTED);
    check_has(err.text, "19 labelled training cases are too few");
    check_fails(eval_ood_new(&o, x, label, 30, 2, 1, &err), FL_EUNSUPPORTED);
    check_has(err.text, "no feature of the reference cases varies");
    check_fails(eval_ood_new(&o, x, label, 1, 5000, 1, &err), FL_EUNSUPPORTED);
    check_has(err.text, "5000 features; at most 4096");
    check(o == NULL);
    // A feature that never varies is no obstacle.
    for (int i = 0; i < 30; i++) {
        x[2 * i] = i;
    }
    check_ok(eval_ood_new(&o, x, label, 30, 2, 1, &err), err);
    const double asked[4] = {14.5, 0, 14.5, 1};
    double distance[2];
    eval_ood_distance(o, distance, asked, 2);
    check(distance[0] < 1e-6 && distance[1] > 0.01);
    eval_ood_destroy(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_near_a_class_is_near),
        cmocka_unit_test(distances_equal_the_independent_ones),
        cmocka_unit_test(rates_equal_the_independent_ones),
        cmocka_unit_test(a_limit_keeps_nineteen_of_twenty),
        cmocka_unit_test(a_set_is_not_outside_of_itself),
        cmocka_unit_test(what_cannot_be_fitted_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
