/*
 * test_metrics_class.c - figures of a classifier against scikit-learn, scipy
 * and plain numpy (tests/vectors/eval_vectors.py), and their edge cases
 */
#include "check.h"
#include "eval/eval.h"
#include "eval/vectors.h"

static void figures_of_a_small_test_set(void **state)
{
    (void)state;
    const double score[] = {0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.6, 0.4};  // (4, 2)
    const int label[] = {0, 1, 1, 0};
    eval_predictions p = {
        .n = 4,
        .n_classes = 2,
        .score = score,
        .label = label,
        .positive = 1,
        .threshold = 0.5,
    };
    eval_metrics m;
    eval_classify(&m, &p, 1);

    const eval_figure *accuracy = eval_metrics_find(&m, "accuracy");
    check_near(accuracy->value, 0.75, 0);
    check_str(accuracy->method, "Wilson");
    const eval_figure *auc = eval_metrics_find(&m, "auc");
    check_near(auc->value, 0.75, 0);
    check_near(auc->ci_low, NAN, 0);
    check_str(auc->why, "too few cases: 2 positive, 2 negative; 10 of each are needed");
    check(eval_metrics_find(&m, "dice") == NULL);
}

typedef struct {
    double *score;
    int *label;
    int64_t *patient;
    eval_predictions p;
} loaded;

static loaded load(const json_t *c)
{
    size_t n = 0, n_scores = 0, n_patients = 0;
    loaded out;
    out.score = vectors_numbers(c, "score", &n_scores);
    out.label = vectors_labels(c, "label", &n);
    out.patient = vectors_integers(c, "patient", &n_patients);
    out.p = (eval_predictions){
        .n = n,
        .n_classes = (size_t)fl_json_get_int(c, "n_classes", 0),
        .score = out.score,
        .label = out.label,
        .patient = out.patient,
        .positive = (int)fl_json_get_int(c, "positive", -1),
        .threshold = fl_json_get_number(c, "threshold"),
    };
    double prevalence = fl_json_get_number(c, "prevalence");
    out.p.prevalence = isnan(prevalence) ? 0 : prevalence;
    check_int(n_scores, n * out.p.n_classes);
    return out;
}

static void unload(loaded *l)
{
    free(l->score);
    free(l->label);
    free(l->patient);
}

static void values_and_intervals_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    size_t at;
    json_t *c;
    json_array_foreach(cases, at, c) {
        const char *name = fl_json_get_string(c, "name", "?");
        loaded l = load(c);
        eval_metrics m;
        eval_classify(&m, &l.p, 3);
        check_int(m.n, 18);
        for (size_t i = 0; i < m.n; i++) {
            const eval_figure *f = &m.item[i].figure;
            const json_t *values = json_object_get(c, "value");
            double wanted = fl_json_get_number(values, m.item[i].name);
            if (!(fabs(f->value - wanted) <= 1e-9) && !(isnan(f->value) && isnan(wanted))) {
                check_fail("%s: %s: got %.12g, expected %.12g", name, m.item[i].name, f->value,
                           wanted);
            }
            check(!isnan(f->value) || f->why[0] != '\0');
            const json_t *ci = json_object_get(json_object_get(c, "ci"), m.item[i].name);
            if (ci != NULL) {
                double low = json_number_value(json_array_get(ci, 0));
                double high = json_number_value(json_array_get(ci, 1));
                if (!(fabs(f->ci_low - low) <= 1e-9) || !(fabs(f->ci_high - high) <= 1e-9)) {
                    check_fail("%s: %s: got [%.12g, %.12g], expected [%.12g, %.12g]", name,
                               m.item[i].name, f->ci_low, f->ci_high, low, high);
                }
            }
        }
        unload(&l);
    }
    json_decref(cases);
}

static void every_interval_holds_its_value(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    size_t at;
    json_t *c;
    json_array_foreach(cases, at, c) {
        loaded l = load(c);
        eval_metrics m;
        eval_classify(&m, &l.p, 3);
        for (size_t i = 0; i < m.n; i++) {
            const eval_figure *f = &m.item[i].figure;
            if (isnan(f->ci_low)) {
                check(isnan(f->ci_high));
                check_str(f->method, "none");
                check(f->why[0] != '\0');
            } else {
                bool has_sign = strncmp(m.item[i].name, "calibration_", 12) == 0;
                if (!((has_sign || 0 <= f->ci_low) && f->ci_low <= f->value &&
                      f->value <= f->ci_high && f->ci_low < f->ci_high)) {
                    check_fail("%s: %s: %.17g not in [%.17g, %.17g]",
                               fl_json_get_string(c, "name", "?"), m.item[i].name, f->value,
                               f->ci_low, f->ci_high);
                }
                check_str(f->why, "");
            }
        }
        unload(&l);
    }
    json_decref(cases);
}

static void differences_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_compare.json");
    size_t at;
    json_t *c;
    json_array_foreach(cases, at, c) {
        size_t n = 0, n_patients = 0;
        double *a = vectors_numbers(c, "score_a", &n), *b = vectors_numbers(c, "score_b", &n);
        int *label = vectors_labels(c, "label", &n);
        int64_t *patient = vectors_integers(c, "patient", &n_patients);
        double *two[2] = {fl_xcalloc(n, 2 * sizeof(double)), fl_xcalloc(n, 2 * sizeof(double))};
        for (size_t i = 0; i < n; i++) {
            two[0][2 * i] = 1 - a[i];
            two[0][2 * i + 1] = a[i];
            two[1][2 * i] = 1 - b[i];
            two[1][2 * i + 1] = b[i];
        }
        eval_predictions from = {.n = n,
                                 .n_classes = 2,
                                 .score = two[0],
                                 .label = label,
                                 .patient = patient,
                                 .positive = 1,
                                 .threshold = fl_json_get_number(c, "threshold_a")};
        eval_predictions to = {.n = n,
                               .n_classes = 2,
                               .score = two[1],
                               .label = label,
                               .patient = patient,
                               .positive = 1,
                               .threshold = fl_json_get_number(c, "threshold_b")};
        const json_t *values = json_object_get(c, "value");
        const char *metric;
        json_t *wanted;
        json_object_foreach((json_t *)(uintptr_t)values, metric, wanted) {
            eval_figure d;
            eval_difference(&d, metric, &from, &to, 5);
            bool none = !json_is_number(wanted) || !eval_metric_compared(metric);
            check_near(d.value, none ? NAN : json_number_value(wanted), 1e-9);
            if (!isnan(d.value) && d.why[0] == '\0') {
                check(d.ci_low < d.value && d.value < d.ci_high);
            }
        }
        eval_figure auc, brier;
        eval_difference(&auc, "auc", &from, &to, 5);
        const json_t *ci = json_object_get(c, "auc_ci");
        check_near(auc.ci_low, json_number_value(json_array_get(ci, 0)), 1e-9);
        check_near(auc.ci_high, json_number_value(json_array_get(ci, 1)), 1e-9);
        // Two bootstraps of 2,000 and 4,000 draws: ends scatter by about 3 %
        // of the interval's width; four times that is allowed.
        eval_difference(&brier, "brier", &from, &to, 5);
        ci = json_object_get(c, "brier_ci_by_chance");
        double low = json_number_value(json_array_get(ci, 0));
        double high = json_number_value(json_array_get(ci, 1));
        check_near(brier.ci_low, low, 0.12 * (high - low));
        check_near(brier.ci_high, high, 0.12 * (high - low));
        free(a);
        free(b);
        free(two[0]);
        free(two[1]);
        free(label);
        free(patient);
    }
    json_decref(cases);
}

static void same_seed_same_figures(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    loaded l = load(json_array_get(cases, 0));
    eval_metrics a, b, other;
    eval_classify(&a, &l.p, 3);
    eval_classify(&b, &l.p, 3);
    eval_classify(&other, &l.p, 4);
    for (size_t i = 0; i < a.n; i++) {
        check_near(a.item[i].figure.ci_low, b.item[i].figure.ci_low, 0);
        check_near(a.item[i].figure.value, other.item[i].figure.value, 0);
    }
    check(eval_metrics_find(&a, "brier")->ci_low != eval_metrics_find(&other, "brier")->ci_low);
    unload(&l);
    json_decref(cases);
}

/* Two images of each patient that say the same tell no more than one. */
static void doubling_every_image_narrows_no_interval(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    loaded l = load(json_array_get(cases, 2));
    size_t n = l.p.n;
    double *score = fl_xcalloc(2 * n, 2 * sizeof *score);
    int *label = fl_xcalloc(2 * n, sizeof *label);
    int64_t *patient = fl_xcalloc(2 * n, sizeof *patient);
    for (size_t i = 0; i < 2 * n; i++) {
        score[2 * i] = l.score[2 * (i / 2)];
        score[2 * i + 1] = l.score[2 * (i / 2) + 1];
        label[i] = l.label[i / 2];
        patient[i] = (int64_t)(i / 2) * 7 - 100;
    }
    eval_predictions twice = l.p;
    twice.n = 2 * n;
    twice.score = score;
    twice.label = label;
    twice.patient = patient;
    eval_metrics once, doubled;
    eval_classify(&once, &l.p, 3);
    eval_classify(&doubled, &twice, 3);
    const eval_figure *a = eval_metrics_find(&once, "auc"), *b = eval_metrics_find(&doubled, "auc");
    check_int(b->n, 2 * n);
    check_int(b->n_patients, n);
    check_near(a->value, b->value, 1e-12);
    check_near(a->ci_low, b->ci_low, 1e-12);
    check_near(a->ci_high, b->ci_high, 1e-12);
    // The design effect is estimated with G / (G - 1), so n is nearly halved.
    a = eval_metrics_find(&once, "accuracy");
    b = eval_metrics_find(&doubled, "accuracy");
    check_near(a->ci_low, b->ci_low, 2e-3);
    check_str(b->method, "Wilson, by patient");
    check_str(eval_metrics_find(&doubled, "balanced_accuracy")->method,
              "bootstrap 2000, by patient");
    free(score);
    free(label);
    free(patient);
    unload(&l);
    json_decref(cases);
}

static void unlabelled_cases_are_left_out(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    loaded l = load(json_array_get(cases, 0));
    eval_metrics m;
    for (size_t i = 100; i < l.p.n; i++) {
        l.label[i] = -1;
        l.score[2 * i] = NAN;  // not looked at either
    }
    eval_classify(&m, &l.p, 3);
    check_int(eval_metrics_find(&m, "auc")->n, 100);
    check(isfinite(eval_metrics_find(&m, "auc")->value));
    check_near(eval_metrics_find(&m, "ece")->value, NAN, 0);
    check_has(eval_metrics_find(&m, "ece")->why, "fewer than 200");
    unload(&l);
    json_decref(cases);
}

static void a_score_that_is_no_number_leaves_nothing_defined(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    loaded l = load(json_array_get(cases, 0));
    eval_metrics m;
    l.score[7] = NAN;
    eval_classify(&m, &l.p, 3);
    for (size_t i = 0; i < m.n; i++) {
        check_near(m.item[i].figure.value, NAN, 0);
        check_str(m.item[i].figure.why, "a score is not a finite number");
    }
    check_near(eval_auc(l.score, l.label, l.p.n), NAN, 0);
    unload(&l);
    json_decref(cases);
}

static void all_differences_at_once_are_the_same(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    loaded l = load(json_array_get(cases, 0));
    eval_predictions other = l.p;
    other.threshold = 0.3;
    eval_metrics all;
    eval_differences(&all, &l.p, &other, 5);
    check_int(all.n, 18);
    for (size_t i = 0; i < all.n; i++) {
        eval_figure one;
        eval_difference(&one, all.item[i].name, &l.p, &other, 5);
        check_near(one.value, all.item[i].figure.value, 0);
        check_near(one.ci_low, all.item[i].figure.ci_low, 0);
        check_near(one.ci_high, all.item[i].figure.ci_high, 0);
        check_str(one.why, all.item[i].figure.why);
    }
    check_has(eval_metrics_find(&all, "calibration_slope")->why, "in between");
    check(eval_metric_compared("auc") && !eval_metric_compared("observed_expected"));
    unload(&l);
    json_decref(cases);
}

/* Each class is what a two-class evaluation of it would be, but for the
 * threshold: a case belongs to its highest score. */
static void each_of_several_classes_against_the_rest(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    size_t at;
    json_t *c, *four = NULL;
    json_array_foreach(cases, at, c) {
        four = strcmp(fl_json_get_string(c, "name", ""), "four classes") == 0 ? c : four;
    }
    loaded l = load(four);
    const char *const names[] = {"a", "b", "c", "d"};
    eval_metrics macro;
    eval_classify(&macro, &l.p, 1);
    json_t *list = json_array();
    eval_classify_each(list, names, &l.p, 1, 1);
    check_int(json_array_size(list), 4);
    const char *const means[] = {"auc", "f1", "sensitivity", "ppv", "sensitivity_at_spec90"};
    for (size_t m = 0; m < 5; m++) {
        double sum = 0;
        json_array_foreach(list, at, c) {
            sum += fl_json_get_number(json_object_get(c, means[m]), "value") / 4;
        }
        check_near(sum, eval_metrics_find(&macro, means[m])->value, 1e-12);
    }
    json_decref(list);
    // One class is made rare: it is hidden, and another with it.
    for (size_t i = 0, left = 3; i < l.p.n; i++) {
        if (l.label[i] == 2 && (left == 0 || left-- == 0)) {
            l.label[i] = 0;
        }
    }
    list = json_array();
    eval_classify_each(list, names, &l.p, 10, 1);
    int hidden = 0;
    json_array_foreach(list, at, c) {
        hidden += json_is_null(json_object_get(c, "n"));
    }
    check_int(hidden, 2);
    check(json_is_null(json_object_get(json_array_get(list, 2), "n")));
    json_decref(list);
    unload(&l);
    json_decref(cases);
}

static void a_model_compared_with_itself_differs_by_nothing(void **state)
{
    (void)state;
    json_t *cases = vectors_read("eval_class.json");
    loaded l = load(json_array_get(cases, 0));
    eval_figure d;
    eval_difference(&d, "auc", &l.p, &l.p, 1);
    check_near(d.value, 0, 0);
    check_str(d.why, "both models order the cases alike");
    eval_difference(&d, "brier", &l.p, &l.p, 1);
    check_near(d.value, 0, 0);
    check_str(d.why, "every resample gives the same value");
    unload(&l);
    json_decref(cases);
}

static void an_undefined_figure_is_null_with_a_reason_in_json(void **state)
{
    (void)state;
    const double score[] = {0.5, 0.5};
    const int label[] = {0};
    eval_predictions p = {
        .n = 1, .n_classes = 2, .score = score, .label = label, .positive = 1, .threshold = 0.5};
    eval_metrics m;
    eval_classify(&m, &p, 1);
    json_t *json = eval_metrics_json(&m);
    const json_t *auc = json_object_get(json, "auc");
    check(json_is_null(json_object_get(auc, "value")));
    check(json_is_null(json_object_get(auc, "ci_low")));
    check_int(fl_json_get_int(auc, "n", -1), 1);
    check_int(fl_json_get_int(auc, "n_positive", -1), 0);
    check_str(fl_json_get_string(auc, "why", ""), "no positive cases");
    json_decref(json);
    check(eval_metric_known("hd95") && !eval_metric_known("AUC"));
    check(!eval_metric_higher_is_better("brier") && eval_metric_higher_is_better("auc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_of_a_small_test_set),
        cmocka_unit_test(values_and_intervals_equal_the_independent_ones),
        cmocka_unit_test(every_interval_holds_its_value),
        cmocka_unit_test(differences_equal_the_independent_ones),
        cmocka_unit_test(same_seed_same_figures),
        cmocka_unit_test(doubling_every_image_narrows_no_interval),
        cmocka_unit_test(unlabelled_cases_are_left_out),
        cmocka_unit_test(a_score_that_is_no_number_leaves_nothing_defined),
        cmocka_unit_test(all_differences_at_once_are_the_same),
        cmocka_unit_test(each_of_several_classes_against_the_rest),
        cmocka_unit_test(a_model_compared_with_itself_differs_by_nothing),
        cmocka_unit_test(an_undefined_figure_is_null_with_a_reason_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
