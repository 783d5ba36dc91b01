/*
 * test_meta.c - the summary over hospitals against a published example and a
 * likelihood maximised by scipy (tests/vectors/eval_gaps.py)
 */
#include "eval/meta.h"

#include "check.h"
#include "eval/stats.h"
#include "eval/vectors.h"

static void hospitals_that_differ(void **state)
{
    (void)state;
    const double auc_logit[] = {2.1, 1.4, 1.9}, se[] = {0.1, 0.12, NAN};
    eval_meta m;
    eval_meta_of(&m, auc_logit, se, 3);  // the third has no standard error
    check_int(m.n, 2);
    check(m.tau2 > 0.2 && m.mean > 1.4 && m.mean < 2.1);
    check(m.ci_low < 1.4 && m.ci_high > 2.1);  // two hospitals tell little of all
    check_near(m.prediction_low, NAN, 0);
}

static double end_of(const json_t *v, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(v, key), i));
}

static void check_example(const char *name)
{
    json_t *all = vectors_read("eval_gaps.json");
    const json_t *v = json_object_get(json_object_get(all, "meta"), name);
    size_t n = 0;
    double *value = vectors_numbers(v, "value", &n), *se = vectors_numbers(v, "se", &n);
    eval_meta m;
    eval_meta_of(&m, value, se, n);
    check_int(m.n, n);
    check_near(m.mean, fl_json_get_number(v, "mean"), 1e-9);
    check_near(m.tau2, fl_json_get_number(v, "tau2"), 1e-9);
    check_near(m.i2, fl_json_get_number(v, "i2"), 1e-9);
    check_near(m.q, fl_json_get_number(v, "q"), 1e-9);
    check_near(m.ci_low, end_of(v, "ci", 0), 1e-9);
    check_near(m.ci_high, end_of(v, "ci", 1), 1e-9);
    check_near(m.prediction_low, end_of(v, "prediction", 0), 1e-9);
    check_near(m.prediction_high, end_of(v, "prediction", 1), 1e-9);
    const json_t *published = json_object_get(v, "published");
    if (published != NULL) {
        // As printed: four digits.
        check_near(m.mean, fl_json_get_number(published, "mean"), 5e-5);
        check_near(m.tau2, fl_json_get_number(published, "tau2"), 5e-5);
        check_near(m.i2, fl_json_get_number(published, "i2"), 5e-5);
        check_near(m.q, fl_json_get_number(published, "q"), 5e-5);
    }
    free(value);
    free(se);
    json_decref(all);
}

static void the_summary_equals_the_independent_ones(void **state)
{
    (void)state;
    check_example("bcg");
    check_example("alike");  // tau2 is 0
    check_example("unlike");
}

static void of_fewer_than_two_nothing_is_said(void **state)
{
    (void)state;
    const double value[] = {0.8, NAN, 0.7}, se[] = {0.1, 0.1, 0};
    eval_meta m;
    eval_meta_of(&m, value, se, 3);
    check_int(m.n, 1);
    check_near(m.mean, NAN, 0);
    check_near(m.tau2, NAN, 0);
    eval_meta_of(&m, value, se, 0);
    check_int(m.n, 0);
}

static void students_t_equals_the_independent_one(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_gaps.json");
    size_t at;
    json_t *v;
    json_array_foreach(json_object_get(json_object_get(all, "gaps"), "student"), at, v) {
        int df = (int)fl_json_get_int(v, "df", 0);
        check_near(eval_student_quantile(df), fl_json_get_number(v, "quantile"), 1e-9);
        check_near(eval_student_p(fl_json_get_number(v, "t"), df), fl_json_get_number(v, "p"),
                   1e-12);
        check_near(eval_student_p(-fl_json_get_number(v, "t"), df), fl_json_get_number(v, "p"),
                   1e-12);
    }
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hospitals_that_differ),
        cmocka_unit_test(the_summary_equals_the_independent_ones),
        cmocka_unit_test(of_fewer_than_two_nothing_is_said),
        cmocka_unit_test(students_t_equals_the_independent_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
