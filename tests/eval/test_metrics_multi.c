/*
 * test_metrics_multi.c - several findings a case, and differences of regressions
 */
#include "check.h"

#include "base/json.h"
#include "base/rng.h"
#include "eval/metrics_multi.h"

enum { N = 120, K = 3 };

typedef struct {
    double score[N * K], better[N * K], target[N * K];
    int64_t patient[N];
} panel;

/* Two cases a patient; one answer in ten is missing; the third finding is rare. */
static void make(panel *p)
{
    fl_rng rng;
    fl_rng_init(&rng, 7, "findings", "", 0);
    for (int i = 0; i < N; i++) {
        p->patient[i] = i / 2;
        for (int k = 0; k < K; k++) {
            bool there = fl_rng_uniform(&rng) < (k == 2 ? 0.15 : 0.4);
            double noise = fl_rng_uniform(&rng);
            p->target[i * K + k] = fl_rng_uniform(&rng) < 0.1 ? NAN : there;
            p->score[i * K + k] = 0.7 * noise + 0.2 * there;
            p->better[i * K + k] = 0.4 * noise + 0.5 * there;
        }
    }
}

static eval_findings findings(const panel *p, const double *score)
{
    return (eval_findings){.n = N, .K = K, .score = score, .target = p->target,
                           .patient = p->patient, .threshold = 0.5};
}

static void a_mean_over_findings_is_the_mean_of_each(void **state)
{
    (void)state;
    panel p;
    eval_metrics all, one;
    make(&p);
    eval_findings f = findings(&p, p.score);
    eval_multilabel(&all, &f, 1);
    check_int(all.n, 13);
    for (size_t m = 0; m < all.n; m++) {
        double sum = 0;
        int n = 0;
        for (size_t k = 0; k < K; k++) {
            eval_finding(&one, &f, k, 1);
            double value = eval_metrics_find(&one, all.item[m].name)->value;
            if (!isnan(value)) {
                sum += value;
                n++;
            }
        }
        check_near(all.item[m].figure.value, n > 0 ? sum / n : NAN, 1e-12);
    }
    const eval_figure *auc = eval_metrics_find(&all, "auc");
    check(auc->ci_low < auc->value && auc->value < auc->ci_high);
    check_int(auc->n_patients, N / 2);
    check_has(auc->method, "patient");
}

/* A finding nobody has is left out, and said. */
static void a_finding_without_positives_is_left_out(void **state)
{
    (void)state;
    panel p;
    eval_metrics all, one;
    make(&p);
    for (int i = 0; i < N; i++) {
        p.target[i * K + 2] = isnan(p.target[i * K + 2]) ? NAN : 0;
    }
    eval_findings f = findings(&p, p.score);
    eval_multilabel(&all, &f, 1);
    double sum = 0;
    for (size_t k = 0; k < 2; k++) {
        eval_finding(&one, &f, k, 1);
        sum += eval_metrics_find(&one, "auc")->value;
    }
    check_near(eval_metrics_find(&all, "auc")->value, sum / 2, 1e-12);
    check_has(eval_metrics_find(&all, "auc")->why, "mean over 2 of 3 findings");

    f.n = 0;
    eval_multilabel(&all, &f, 1);
    check(isnan(eval_metrics_find(&all, "auc")->value));
    check_str(eval_metrics_find(&all, "auc")->why, "no cases");
}

static void a_better_model_is_better_with_an_interval(void **state)
{
    (void)state;
    panel p;
    eval_metrics from, to, forth, again;
    make(&p);
    eval_findings a = findings(&p, p.score), b = findings(&p, p.better);
    eval_multilabel_differences(&forth, &a, &b, 1);
    eval_figure d = *eval_metrics_find(&forth, "auc");
    eval_multilabel(&from, &a, 1);
    eval_multilabel(&to, &b, 1);
    check_near(d.value,
               eval_metrics_find(&to, "auc")->value - eval_metrics_find(&from, "auc")->value,
               1e-12);
    check(d.ci_low > 0 && d.ci_low < d.value && d.value < d.ci_high);
    eval_multilabel_differences(&again, &b, &a, 1);
    eval_figure back = *eval_metrics_find(&again, "auc");
    check_near(back.value, -d.value, 1e-12);
    check_near(back.ci_low, -d.ci_high, 1e-12);
}

static void each_finding_stands_by_itself_and_rare_ones_are_hidden(void **state)
{
    (void)state;
    static const char *const names[] = {"edema", "mass", "fracture"};
    panel p;
    eval_metrics one;
    make(&p);
    json_t *list = json_array();
    eval_findings f = findings(&p, p.score);
    eval_multilabel_each(list, names, &f, 20, 1);  // the third has some 16 cases
    check_int(json_array_size(list), 3);
    eval_finding(&one, &f, 1, 1);
    const json_t *mass = json_array_get(list, 1), *fracture = json_array_get(list, 2);
    check_str(fl_json_get_string(mass, "class", ""), "mass");
    check_near(fl_json_get_number(json_object_get(mass, "auc"), "value"),
               eval_metrics_find(&one, "auc")->value, 1e-12);
    check(json_is_null(json_object_get(fracture, "n")));
    check(json_object_get(fracture, "auc") == NULL);
    check(fl_json_get_string(fracture, "why", NULL) != NULL);
    json_decref(list);
}

static void errors_are_compared_in_pairs(void **state)
{
    (void)state;
    enum { CASES = 40 };
    double near[CASES], far[CASES], truth[CASES];
    fl_rng rng;
    fl_rng_init(&rng, 3, "regress", "", 0);
    double mae = 0, squares_near = 0, squares_far = 0;
    for (int i = 0; i < CASES; i++) {
        truth[i] = 10 * fl_rng_uniform(&rng);
        double e = fl_rng_normal(&rng);
        near[i] = truth[i] + e;
        far[i] = truth[i] + 2 * e + 0.5;
        mae += (fabs(far[i] - truth[i]) - fabs(e)) / CASES;
        squares_near += e * e / CASES;
        squares_far += (far[i] - truth[i]) * (far[i] - truth[i]) / CASES;
    }
    eval_figure d;
    eval_regress_difference(&d, "mae", near, far, truth, NULL, CASES, 1);
    check_near(d.value, mae, 1e-12);
    check(d.ci_low > 0 && d.ci_high > d.value);
    check_int(d.n, CASES);
    eval_regress_difference(&d, "rmse", near, far, truth, NULL, CASES, 1);
    check_near(d.value, sqrt(squares_far) - sqrt(squares_near), 1e-12);
    eval_regress_difference(&d, "mae", near, far, truth, NULL, 3, 1);
    check(isnan(d.ci_low));
    check_has(d.why, "too few cases");
    eval_regress_difference(&d, "mae", near, far, truth, NULL, 0, 1);
    check(isnan(d.value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_over_findings_is_the_mean_of_each),
        cmocka_unit_test(a_finding_without_positives_is_left_out),
        cmocka_unit_test(a_better_model_is_better_with_an_interval),
        cmocka_unit_test(each_finding_stands_by_itself_and_rare_ones_are_hidden),
        cmocka_unit_test(errors_are_compared_in_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
