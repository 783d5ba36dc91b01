/*
 * test_disparity.c - gaps between groups against scipy's tests and intervals put
 * together by hand (tests/vectors/eval_gaps.py)
 */
#include "eval/disparity.h"

#include "check.h"
#include "eval/vectors.h"

typedef struct {
    json_t *all;
    const json_t *v;
    double *score;
    int *label;
    const char **sex, **age;
    eval_attribute attributes[2];
    eval_predictions p;
} loaded;

static const char **texts(const json_t *v, const char *key, size_t n)
{
    const char **out = fl_xcalloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        out[i] = json_string_value(json_array_get(json_object_get(v, key), i));
    }
    return out;
}

static loaded load(void)
{
    loaded l = {.all = vectors_read("eval_gaps.json")};
    size_t n = 0;
    l.v = json_object_get(l.all, "gaps");
    double *p = vectors_numbers(l.v, "score", &n);
    l.label = vectors_labels(l.v, "label", &n);
    l.score = fl_xcalloc(n, 2 * sizeof *l.score);
    for (size_t i = 0; i < n; i++) {
        l.score[2 * i] = 1 - p[i];
        l.score[2 * i + 1] = p[i];
    }
    free(p);
    l.sex = texts(l.v, "sex", n);
    l.age = texts(l.v, "age", n);
    l.attributes[0] = (eval_attribute){"sex", l.sex};
    l.attributes[1] = (eval_attribute){"age", l.age};
    l.p = (eval_predictions){.n = n,
                             .n_classes = 2,
                             .score = l.score,
                             .label = l.label,
                             .positive = 1,
                             .threshold = 0.5};
    return l;
}

static void unload(loaded *l)
{
    free(l->score);
    free(l->label);
    free(l->sex);
    free(l->age);
    json_decref(l->all);
}

static void a_group_that_is_served_worse_is_found(void **state)
{
    (void)state;
    loaded l = load();
    json_t *list = eval_disparities(l.attributes, 2, &l.p, 10);
    const json_t *sex = json_array_get(list, 0);
    check_str(fl_json_get_string(sex, "value", ""), "F");
    check_str(fl_json_get_string(sex, "other", ""), "M");
    check(fl_json_get_number(json_object_get(sex, "auc_gap"), "value") < -0.1);
    check(json_is_true(json_object_get(json_object_get(sex, "auc_gap"), "flagged")));
    json_t *demographic = json_object_get(sex, "demographic_parity");
    check(json_object_get(demographic, "p") == NULL);
    json_decref(list);
    unload(&l);
}

static void gaps_intervals_and_tests_equal_the_independent_ones(void **state)
{
    (void)state;
    loaded l = load();
    json_t *list = eval_disparities(l.attributes, 2, &l.p, 10);
    const json_t *wanted = json_object_get(l.v, "pairs");
    check_int(json_array_size(list), json_array_size(wanted));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *got = json_array_get(list, i), *w = json_array_get(wanted, i);
        check_str(fl_json_get_string(got, "value", ""), fl_json_get_string(w, "value", "?"));
        check_str(fl_json_get_string(got, "other", ""), fl_json_get_string(w, "other", "?"));
        const char *name;
        json_t *gap;
        json_object_foreach(json_object_get(w, "gaps"), name, gap) {
            const json_t *f = json_object_get(got, name), *ci = json_object_get(gap, "ci");
            check_near(fl_json_get_number(f, "value"), fl_json_get_number(gap, "value"), 1e-9);
            check_near(fl_json_get_number(f, "ci_low"), json_number_value(json_array_get(ci, 0)),
                       1e-9);
            check_near(fl_json_get_number(f, "ci_high"), json_number_value(json_array_get(ci, 1)),
                       1e-9);
            check_near(fl_json_get_number(f, "p"), fl_json_get_number(gap, "p"), 1e-9);
            check_near(fl_json_get_number(f, "p_holm"), fl_json_get_number(gap, "p_holm"), 1e-9);
        }
    }
    json_decref(list);
    unload(&l);
}

static void exact_tests_and_holm_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_gaps.json");
    const json_t *v = json_object_get(all, "gaps");
    size_t at, n = 0;
    json_t *one;
    json_array_foreach(json_object_get(v, "fisher"), at, one) {
        int64_t *t = vectors_integers(one, "table", &n);
        check_near(eval_fisher(t[0], t[1], t[2], t[3]), fl_json_get_number(one, "p"), 1e-9);
        check_near(eval_fisher(t[2], t[3], t[0], t[1]), fl_json_get_number(one, "p"), 1e-9);
        free(t);
    }
    const json_t *holm = json_object_get(v, "holm");
    double *p = vectors_numbers(holm, "p", &n), *adjusted = vectors_numbers(holm, "adjusted", &n);
    double with_gaps[6] = {p[0], p[1], NAN, p[2], p[3], p[4]};  // what was not tested costs nothing
    eval_holm(with_gaps, 6);
    eval_holm(p, n);
    for (size_t i = 0; i < n; i++) {
        check_near(p[i], adjusted[i], 1e-12);
        check_near(with_gaps[i + (i >= 2)], adjusted[i], 1e-12);
    }
    check_near(with_gaps[2], NAN, 0);
    free(p);
    free(adjusted);
    json_decref(all);
}

/* Twice the same image of each patient tells no more than once. */
static void patients_count_not_images(void **state)
{
    (void)state;
    loaded l = load();
    size_t n = l.p.n;
    double *score = fl_xcalloc(2 * n, 2 * sizeof *score);
    int *label = fl_xcalloc(2 * n, sizeof *label);
    int64_t *patient = fl_xcalloc(2 * n, sizeof *patient);
    const char **sex = fl_xcalloc(2 * n, sizeof *sex);
    for (size_t i = 0; i < 2 * n; i++) {
        score[2 * i] = l.score[2 * (i / 2)];
        score[2 * i + 1] = l.score[2 * (i / 2) + 1];
        label[i] = l.label[i / 2];
        sex[i] = l.sex[i / 2];
        patient[i] = (int64_t)(i / 2);
    }
    eval_predictions twice = l.p;
    twice.n = 2 * n;
    twice.score = score;
    twice.label = label;
    twice.patient = patient;
    eval_attribute attribute = {"sex", sex};
    json_t *one = eval_disparities(l.attributes, 1, &l.p, 10);
    json_t *two = eval_disparities(&attribute, 1, &twice, 10);
    const char *const names[] = {"auc_gap", "equal_opportunity", "calibration_gap"};
    for (size_t k = 0; k < 3; k++) {
        const json_t *a = json_object_get(json_array_get(one, 0), names[k]);
        const json_t *b = json_object_get(json_array_get(two, 0), names[k]);
        check_near(fl_json_get_number(a, "value"), fl_json_get_number(b, "value"), 1e-12);
        check_near(fl_json_get_number(a, "ci_low"), fl_json_get_number(b, "ci_low"), 5e-3);
        check(fl_json_get_number(b, "p") > fl_json_get_number(a, "p") / 2);
    }
    json_decref(one);
    json_decref(two);
    free(score);
    free(label);
    free(patient);
    free(sex);
    unload(&l);
}

static void small_and_unknown_groups_are_not_compared(void **state)
{
    (void)state;
    loaded l = load();
    for (size_t i = 0, left = 4; i < l.p.n; i++) {
        if (strcmp(l.age[i], "80+") == 0 && (left == 0 || left-- == 0)) {
            l.age[i] = i % 2 ? "40-60" : "";
        }
    }
    json_t *list = eval_disparities(&l.attributes[1], 1, &l.p, 10);
    // 80+ has 4 patients and hides another with it; one shown cell is left.
    size_t at;
    json_t *entry;
    json_array_foreach(list, at, entry) {
        check(strcmp(fl_json_get_string(entry, "value", ""), "80+") != 0);
        check(strcmp(fl_json_get_string(entry, "value", ""), "unknown") != 0);
    }
    json_decref(list);
    l.p.n = 0;
    list = eval_disparities(l.attributes, 2, &l.p, 10);
    check_int(json_array_size(list), 0);
    json_decref(list);
    unload(&l);
}

static void two_attributes_together_where_every_cell_may_be_shown(void **state)
{
    (void)state;
    loaded l = load();
    json_t *list = json_array();
    eval_subgroup_pairs(list, l.attributes, 2, &l.p, 10, 1);
    check_int(json_array_size(list), 6);
    int64_t n = 0;
    size_t at;
    json_t *cell;
    json_array_foreach(list, at, cell) {
        check_str(fl_json_get_string(cell, "attribute", ""), "sex and age");
        n += fl_json_get_int(cell, "n", 0);
    }
    check_int(n, l.p.n);
    check_str(fl_json_get_string(json_array_get(list, 0), "value", ""), "F, 40-60");
    json_decref(list);
    // With one small cell there is none at all.
    list = json_array();
    eval_subgroup_pairs(list, l.attributes, 2, &l.p, 60, 1);
    check_int(json_array_size(list), 0);
    json_decref(list);
    unload(&l);
}

static void what_few_cases_cannot_show_is_not_tested(void **state)
{
    (void)state;
    loaded l = load();
    l.p.n = 16;
    json_t *list = eval_disparities(l.attributes, 1, &l.p, 1);
    check_int(json_array_size(list), 1);
    const json_t *gap = json_object_get(json_array_get(list, 0), "auc_gap");
    check(json_is_null(json_object_get(gap, "ci_low")));
    check(json_object_get(gap, "p") == NULL && json_object_get(gap, "flagged") == NULL);
    check_has(fl_json_get_string(gap, "why", ""), "too few");
    json_decref(list);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_that_is_served_worse_is_found),
        cmocka_unit_test(gaps_intervals_and_tests_equal_the_independent_ones),
        cmocka_unit_test(exact_tests_and_holm_equal_the_independent_ones),
        cmocka_unit_test(patients_count_not_images),
        cmocka_unit_test(small_and_unknown_groups_are_not_compared),
        cmocka_unit_test(two_attributes_together_where_every_cell_may_be_shown),
        cmocka_unit_test(what_few_cases_cannot_show_is_not_tested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
