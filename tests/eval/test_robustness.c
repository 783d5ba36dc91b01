/*
 * test_robustness.c - what is left of a model under shifts, against scikit-learn and
 * numpy (tests/vectors/eval_robustness.py)
 */
#include "eval/robustness.h"

#include "check.h"
#include "eval/vectors.h"

static void errors_under_shift_are_compared_with_the_clean_one(void **state)
{
    (void)state;
    // Dice of 12 cases; one shift halves it, the other leaves it alone.
    double clean[12], halved[12];
    eval_figure f;
    for (int i = 0; i < 12; i++) {
        clean[i] = 0.6 + 0.02 * (i % 5);
        halved[i] = clean[i] / 2;
    }
    eval_shift *s = eval_shift_new(2, 1, 1);
    eval_shift_values(s, 0, "dice", clean, NULL, 12);
    eval_shift_values(s, eval_shift_point(s, 0, 0), "dice", clean, NULL, 12);
    eval_shift_values(s, eval_shift_point(s, 1, 0), "dice", halved, NULL, 12);
    eval_shift_figure(&f, s, 0, 0);
    double dice = f.value;
    check_int(eval_shift_worst(s), 1);
    eval_shift_mce(&f, s, 0);
    check_near(f.value, 1, 1e-12);
    eval_shift_mce(&f, s, 1);
    check_near(f.value, (1 - dice / 2) / (1 - dice), 1e-12);
    eval_shift_lost(&f, s, 0, 1, 0);
    check_near(f.value, dice / 2, 1e-12);
    check(f.ci_low < f.value && f.value < f.ci_high);
    eval_shift_rise(&f, s, EVAL_SHIFT_ALL);
    check_near(f.value, dice / 4, 1e-12);
    eval_shift_destroy(&s);
}

/* What one shift moved out of sight is asked nowhere: otherwise easier cases would be left. */
static void a_case_that_is_not_judged_somewhere_counts_nowhere(void **state)
{
    (void)state;
    double clean[20], shifted[20], rest_clean = 0, rest_shifted = 0;
    int64_t patient[20];
    eval_figure f;
    for (int i = 0; i < 20; i++) {
        bool lost = i % 5 == 1;  // four of them
        clean[i] = lost ? 0.1 : 0.7 + 0.01 * (i % 7);
        shifted[i] = lost ? NAN : 0.5 + 0.02 * (i % 3);
        patient[i] = i;
        rest_clean += lost ? 0 : clean[i] / 16;
        rest_shifted += lost ? 0 : shifted[i] / 16;
    }
    eval_shift *s = eval_shift_new(1, 1, 1);
    eval_shift_values(s, 0, "dice", clean, patient, 20);
    eval_shift_values(s, 1, "dice", shifted, patient, 20);
    eval_shift_figure(&f, s, 0, 0);
    check_near(f.value, rest_clean, 1e-12);
    check_int(f.n, 16);
    check_int(f.n_patients, 16);
    eval_shift_lost(&f, s, 0, 0, 0);
    check_near(f.value, rest_clean - rest_shifted, 1e-12);
    check(f.ci_low < f.value && f.value < f.ci_high);
    eval_shift_destroy(&s);

    for (int i = 0; i < 20; i++) {
        shifted[i] = NAN;
    }
    s = eval_shift_new(1, 1, 1);
    eval_shift_values(s, 0, "dice", clean, patient, 20);
    eval_shift_values(s, 1, "dice", shifted, patient, 20);
    eval_shift_figure(&f, s, 0, 1);
    check(isnan(f.value));
    check_str(f.why, "no cases");
    eval_shift_destroy(&s);
}

typedef struct {
    json_t *v;
    double *score;
    int *label;
    int64_t *patient;
    size_t n;
    eval_shift *s;
} loaded;

/* Row `point` of the scores as those of two classes. */
static void add_point(loaded *l, size_t point)
{
    double *two = fl_xcalloc(l->n, 2 * sizeof *two);
    for (size_t i = 0; i < l->n; i++) {
        two[2 * i + 1] = l->score[point * l->n + i];
        two[2 * i] = 1 - two[2 * i + 1];
    }
    eval_predictions p = {.n = l->n, .n_classes = 2, .score = two, .label = l->label,
                          .patient = l->patient, .positive = 1,
                          .threshold = fl_json_get_number(l->v, "threshold")};
    eval_shift_classify(l->s, point, &p);
    free(two);
}

static loaded load(void)
{
    loaded l = {.v = vectors_read("eval_robustness.json")};
    size_t n;
    size_t C = (size_t)fl_json_get_int(l.v, "shifts", 0);
    size_t S = (size_t)fl_json_get_int(l.v, "severities", 0);
    l.score = vectors_numbers(l.v, "score", &n);
    l.label = vectors_labels(l.v, "label", &l.n);
    l.patient = vectors_integers(l.v, "patient", &l.n);
    l.s = eval_shift_new(C, S, 3);
    for (size_t point = 0; point < 1 + C * S; point++) {
        add_point(&l, point);
    }
    return l;
}

static void unload(loaded *l)
{
    eval_shift_destroy(&l->s);
    free(l->score);
    free(l->label);
    free(l->patient);
    json_decref(l->v);
}

static double at(const json_t *v, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(v, key), i));
}

static double at2(const json_t *v, const char *key, size_t i, size_t j)
{
    return json_number_value(json_array_get(json_array_get(json_object_get(v, key), i), j));
}

static void figures_equal_the_independent_ones(void **state)
{
    (void)state;
    loaded l = load();
    eval_figure f;
    check_int(eval_shift_n_metrics(l.s), 3);
    for (size_t m = 0; m < 3; m++) {
        eval_shift_figure(&f, l.s, m, 0);
        check_near(f.value, at2(l.v, "figures", 0, m), 1e-9);
        for (size_t c = 0; c < 3; c++) {
            for (size_t v = 0; v < 2; v++) {
                size_t point = eval_shift_point(l.s, c, v);
                eval_shift_figure(&f, l.s, m, point);
                check_near(f.value, at2(l.v, "figures", point, m), 1e-9);
                check_int(f.n, l.n);
                eval_shift_lost(&f, l.s, m, (int)c, (int)v);
                check_near(f.value, at2(l.v, "lost", point - 1, m), 1e-9);
            }
            eval_shift_lost(&f, l.s, m, (int)c, EVAL_SHIFT_ALL);
            check_near(f.value, at2(l.v, "lost_by_shift", c, m), 1e-9);
        }
    }
    for (size_t c = 0; c < 3; c++) {
        eval_shift_mce(&f, l.s, (int)c);
        check_near(f.value, at(l.v, "ratio", c), 1e-9);
    }
    eval_shift_mce(&f, l.s, EVAL_SHIFT_ALL);
    check_near(f.value, fl_json_get_number(l.v, "mce"), 1e-9);
    eval_shift_rise(&f, l.s, EVAL_SHIFT_ALL);
    check_near(f.value, fl_json_get_number(l.v, "rise"), 1e-9);
    check_int(eval_shift_worst(l.s), fl_json_get_int(l.v, "worst", -1));
    unload(&l);
}

/* Ends of percentile intervals scatter with 2,000 draws by about 0.06 sd, and the
 * interval is somewhat wider than plain percentiles for few patients. */
static void check_interval(const eval_figure *f, const json_t *v, const char *key)
{
    double sd = fl_json_get_number(json_object_get(v, "sd"), key);
    check_near(f->ci_low, at(json_object_get(v, "interval"), key, 0), 0.25 * sd);
    check_near(f->ci_high, at(json_object_get(v, "interval"), key, 1), 0.25 * sd);
    check_near(f->se, sd, 0.1 * sd);
    check_str(f->method, "paired bootstrap 2000, by patient");
}

static void intervals_equal_those_of_other_draws(void **state)
{
    (void)state;
    loaded l = load();
    eval_figure f;
    eval_shift_mce(&f, l.s, EVAL_SHIFT_ALL);
    check_interval(&f, l.v, "mce");
    eval_shift_rise(&f, l.s, EVAL_SHIFT_ALL);
    check_interval(&f, l.v, "rise");
    eval_shift_lost(&f, l.s, 1, 2, EVAL_SHIFT_ALL);
    check_interval(&f, l.v, "auc_lost");
    eval_shift_lost(&f, l.s, 2, 2, EVAL_SHIFT_ALL);
    check_interval(&f, l.v, "f1_lost");
    unload(&l);
}

static void what_is_not_defined_says_why(void **state)
{
    (void)state;
    eval_figure f;
    double score[24], right[24];
    int label[12];
    for (int i = 0; i < 12; i++) {
        label[i] = 0;
        score[2 * i + 1] = right[i] = 0.1 + 0.01 * i;
        score[2 * i] = 1 - score[2 * i + 1];
    }
    eval_predictions p = {.n = 12, .n_classes = 2, .score = score, .label = label, .positive = 1,
                          .threshold = 0.5};
    eval_shift *s = eval_shift_new(1, 1, 1);
    eval_shift_classify(s, 0, &p);
    p.threshold = 0.15;  // some are called wrongly now
    eval_shift_classify(s, 1, &p);
    eval_shift_mce(&f, s, 0);  // no error to compare with
    check(isnan(f.value));
    check_has(f.why, "no error without a shift");
    eval_shift_rise(&f, s, 0);
    check(f.value > 0);
    eval_shift_lost(&f, s, 1, 0, 0);  // one class: no AUC
    check(isnan(f.value));
    check(f.why[0] != '\0');
    eval_shift_destroy(&s);

    double few[3] = {0.5, NAN, 0.7};
    s = eval_shift_new(1, 1, 1);
    eval_shift_values(s, 0, "dice", few, NULL, 3);
    eval_shift_values(s, 1, "dice", few, NULL, 3);
    eval_shift_figure(&f, s, 0, 0);
    check_near(f.value, 0.6, 1e-12);
    check_int(f.n, 2);
    check(isnan(f.ci_low));
    check_has(f.why, "too few");
    eval_shift_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_under_shift_are_compared_with_the_clean_one),
        cmocka_unit_test(a_case_that_is_not_judged_somewhere_counts_nowhere),
        cmocka_unit_test(figures_equal_the_independent_ones),
        cmocka_unit_test(intervals_equal_those_of_other_draws),
        cmocka_unit_test(what_is_not_defined_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
