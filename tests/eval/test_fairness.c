/*
 * test_fairness.c - summaries over sites, and regression
 */
#include "check.h"
#include "eval/eval.h"
#include "eval/vectors.h"

static void the_worst_site_and_the_gap(void **state)
{
    (void)state;
    const double auc[] = {0.9, NAN, 0.8, 0.85};  // the second has one class only
    eval_fairness f;
    eval_fairness_of(&f, auc, 4, true);
    check_int(f.n_sites, 3);
    check_int(f.worst_site, 2);
    check_near(f.gap, 0.1, 1e-12);

    eval_fairness_of(&f, auc, 4, false);  // as if it were an error
    check_int(f.worst_site, 0);
    check_near(f.worst, 0.9, 0);
    check_near(f.best, 0.8, 0);
    check_near(f.gap, 0.1, 1e-12);
}

static void fairness_equals_the_independent_one(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_more.json");
    const json_t *v = json_object_get(all, "fairness");
    size_t n = 0;
    double *value = vectors_numbers(v, "value", &n);
    eval_fairness f;
    eval_fairness_of(&f, value, n, true);
    check_int(f.worst_site, fl_json_get_int(v, "worst_site", -1));
    check_near(f.worst, fl_json_get_number(v, "worst"), 1e-12);
    check_near(f.best, fl_json_get_number(v, "best"), 1e-12);
    check_near(f.mean, fl_json_get_number(v, "mean"), 1e-12);
    check_near(f.sd, fl_json_get_number(v, "sd"), 1e-12);
    check_near(f.gap, fl_json_get_number(v, "gap"), 1e-12);
    check_near(f.jain, fl_json_get_number(v, "jain"), 1e-12);
    free(value);
    json_decref(all);
}

static void of_no_site_nothing_is_known(void **state)
{
    (void)state;
    const double none[] = {NAN, NAN}, zero[] = {0, 0};
    eval_fairness f;
    eval_fairness_of(&f, none, 2, true);
    check_int(f.n_sites, 0);
    check_int(f.worst_site, -1);
    check_near(f.gap, NAN, 0);
    eval_fairness_of(&f, zero, 2, true);
    check_near(f.jain, NAN, 0);
    eval_fairness_of(&f, zero, 1, true);
    check_near(f.sd, NAN, 0);
}

static void regression_equals_the_independent_one(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_more.json");
    const json_t *v = json_object_get(all, "regress");
    size_t n = 0;
    double *pred = vectors_numbers(v, "pred", &n), *target = vectors_numbers(v, "target", &n);
    eval_metrics m;
    eval_regress(&m, pred, target, NULL, n, 1);
    const eval_figure *mae = eval_metrics_find(&m, "mae"), *rmse = eval_metrics_find(&m, "rmse");
    check_near(mae->value, fl_json_get_number(v, "mae"), 1e-9);
    check_near(rmse->value, fl_json_get_number(v, "rmse"), 1e-9);
    check(mae->ci_low < mae->value && mae->value < mae->ci_high);
    check_str(mae->method, "bootstrap 2000");

    eval_regress(&m, pred, target, NULL, 0, 1);
    check_str(eval_metrics_find(&m, "mae")->why, "no cases");
    eval_regress(&m, pred, target, NULL, 3, 1);
    check(isfinite(eval_metrics_find(&m, "mae")->value));
    check(isnan(eval_metrics_find(&m, "mae")->ci_low));
    pred[1] = INFINITY;
    eval_regress(&m, pred, target, NULL, n, 1);
    check_near(eval_metrics_find(&m, "rmse")->value, NAN, 0);
    free(pred);
    free(target);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_site_and_the_gap),
        cmocka_unit_test(fairness_equals_the_independent_one),
        cmocka_unit_test(of_no_site_nothing_is_known),
        cmocka_unit_test(regression_equals_the_independent_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
