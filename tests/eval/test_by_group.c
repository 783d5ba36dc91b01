/*
 * test_by_group.c - subgroups of findings, masks and numbers against values that were put
 * together by hand (tests/vectors/eval_by_group.py)
 */
#include "check.h"

#include <math.h>

#include "base/mem.h"
#include "eval/by_group.h"
#include "eval/vectors.h"

enum { MIN_CELL = 10, K = 2 };

static const char *const names[K] = {"x", "y"};

typedef struct {
    json_t *all;
    size_t n;
    int64_t *patient;
    const char **sex, **site;
    double *target, *pred, *dice, *finding, *score;
    int *drawn;  // as labels: -1 for none
    eval_seg_case *item;
    eval_attribute attributes[2];
    eval_findings findings;
    eval_masks masks;
    eval_numbers numbers;
} loaded;

static const char **texts(const json_t *object, const char *key)
{
    const json_t *list = json_object_get(object, key);
    const char **out = fl_xcalloc(json_array_size(list), sizeof *out);
    for (size_t i = 0; i < json_array_size(list); i++) {
        out[i] = json_string_value(json_array_get(list, i));
    }
    return out;
}

static loaded load(void)
{
    loaded l = {.all = vectors_read("eval_by_group.json")};
    size_t n;
    l.patient = vectors_integers(l.all, "patient", &l.n);
    l.sex = texts(l.all, "sex");
    l.site = texts(l.all, "site");
    l.target = vectors_numbers(l.all, "target", &n);
    l.pred = vectors_numbers(l.all, "pred", &n);
    l.dice = vectors_numbers(l.all, "dice", &n);
    l.finding = vectors_numbers(l.all, "finding", &n);
    l.score = vectors_numbers(l.all, "score", &n);
    l.drawn = vectors_labels(l.all, "drawn", &n);
    l.item = fl_xcalloc(l.n * K, sizeof *l.item);
    for (size_t i = 0; i < l.n; i++) {
        l.drawn[i]--;  // 0 where there is a mask
        for (size_t k = 0; k < K; k++) {
            eval_seg_case *c = &l.item[i * K + k];
            c->dice = c->iou = c->hd95 = c->surface_dice = l.dice[i * K + k];
        }
    }
    l.attributes[0] = (eval_attribute){"sex", l.sex};
    l.attributes[1] = (eval_attribute){"site", l.site};
    l.findings = (eval_findings){.n = l.n, .K = K, .score = l.score, .target = l.finding,
                                 .patient = l.patient, .threshold = 0.5};
    l.masks = (eval_masks){.n = l.n, .K = K, .item = l.item, .label = l.drawn,
                           .patient = l.patient};
    l.numbers = (eval_numbers){.n = l.n, .pred = l.pred, .target = l.target,
                               .patient = l.patient};
    return l;
}

static void unload(loaded *l)
{
    json_decref(l->all);
    free(l->patient);
    free(l->sex);
    free(l->site);
    free(l->target);
    free(l->pred);
    free(l->dice);
    free(l->finding);
    free(l->score);
    free(l->drawn);
    free(l->item);
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(fl_json_get_string(a, key, ""), fl_json_get_string(b, key, "")) == 0;
}

static const json_t *find(const json_t *list, const json_t *wanted)
{
    size_t i;
    const json_t *one;
    json_array_foreach(list, i, one) {
        if (same_text(one, wanted, "attribute") && same_text(one, wanted, "value") &&
            same_text(one, wanted, "class")) {
            return one;
        }
    }
    check_fail("there is no entry for %s %s", fl_json_get_string(wanted, "attribute", ""),
               fl_json_get_string(wanted, "value", ""));
    return NULL;
}

/* Each wanted entry is in the list, with these metrics. */
static void check_cells(const json_t *list, const json_t *wanted, const char *const *metrics)
{
    size_t i;
    const json_t *want;
    json_array_foreach(wanted, i, want) {
        const json_t *one = find(list, want);
        check_int(fl_json_get_int(one, "n", -1), fl_json_get_int(want, "n", -1));
        if (fl_json_get_int(want, "n", -1) < 0) {
            check_has(fl_json_get_string(one, "why", ""), "under 10 patients");
            check_int(json_object_size(one), 4);  // and no figure at all
            continue;
        }
        for (size_t m = 0; metrics[m] != NULL; m++) {
            const json_t *figure = json_object_get(one, metrics[m]);
            double value = fl_json_get_number(figure, "value");
            check_near(value, fl_json_get_number(want, metrics[m]), 1e-9);
            check(fl_json_get_number(figure, "ci_low") <= value);
            check(fl_json_get_number(figure, "ci_high") >= value);
        }
    }
}

static void check_gaps(const json_t *list, const json_t *wanted, const char *const *gaps)
{
    size_t i;
    const json_t *want;
    check_int(json_array_size(list), json_array_size(wanted));
    json_array_foreach(wanted, i, want) {
        for (size_t g = 0; gaps[g] != NULL; g++) {
            const json_t *f = json_object_get(find(list, want), gaps[g]);
            const json_t *other = json_object_get(want, gaps[g]);
            const json_t *ci = json_object_get(other, "ci");
            check_int(fl_json_get_int(f, "n", -1), fl_json_get_int(other, "n", -2));
            check_near(fl_json_get_number(f, "value"), fl_json_get_number(other, "value"), 1e-9);
            check_near(fl_json_get_number(f, "ci_low"), json_number_value(json_array_get(ci, 0)),
                       1e-9);
            check_near(fl_json_get_number(f, "ci_high"), json_number_value(json_array_get(ci, 1)),
                       1e-9);
            check_near(fl_json_get_number(f, "p"), fl_json_get_number(other, "p"), 1e-9);
            check_near(fl_json_get_number(f, "p_holm"), fl_json_get_number(other, "p_holm"), 1e-9);
            check(json_is_true(json_object_get(f, "flagged")) ==
                  (fl_json_get_number(other, "p_holm") < 0.04));
        }
    }
}

static void errors_of_numbers_by_group_equal_the_independent_ones(void **state)
{
    (void)state;
    static const char *const metrics[] = {"mae", "rmse", "bias", NULL};
    static const char *const gaps[] = {"mae_gap", "bias_gap", NULL};
    loaded l = load();
    json_t *list = json_array();
    for (size_t a = 0; a < 2; a++) {
        eval_numbers_subgroups(list, &l.attributes[a], &l.numbers, MIN_CELL, 1);
    }
    check_int(json_array_size(list), json_array_size(json_object_get(l.all, "numbers")));
    check_cells(list, json_object_get(l.all, "numbers"), metrics);
    json_decref(list);
    list = eval_numbers_disparities(l.attributes, 2, &l.numbers, MIN_CELL);
    check_gaps(list, json_object_get(l.all, "numbers_gaps"), gaps);
    json_decref(list);
    unload(&l);
}

static void dice_by_group_equals_the_independent_one(void **state)
{
    (void)state;
    static const char *const metrics[] = {"dice", NULL};
    static const char *const gaps[] = {"dice_gap", NULL};
    loaded l = load();
    json_t *list = json_array();
    for (size_t a = 0; a < 2; a++) {
        eval_masks_subgroups(list, &l.attributes[a], &l.masks, MIN_CELL, 1);
    }
    check_int(json_array_size(list), json_array_size(json_object_get(l.all, "masks")));
    check_cells(list, json_object_get(l.all, "masks"), metrics);
    json_decref(list);
    list = eval_masks_disparities(l.attributes, 2, &l.masks, MIN_CELL);
    check_gaps(list, json_object_get(l.all, "masks_gaps"), gaps);
    json_decref(list);
    unload(&l);
}

/* A finding that is rare in one cell is shown in none: the others would tell of it. */
static void findings_are_shown_where_every_cell_may_be(void **state)
{
    (void)state;
    static const char *const metrics[] = {"auc", NULL};
    loaded l = load();
    json_t *list = json_array();
    size_t n_means = 0, i;
    json_t *one;
    const json_t *wanted = json_object_get(l.all, "findings");
    for (size_t a = 0; a < 2; a++) {
        eval_findings_subgroups(list, &l.attributes[a], names, &l.findings, MIN_CELL, 1);
    }
    check_cells(list, wanted, metrics);
    json_array_foreach(list, i, one) {
        n_means += json_object_get(one, "class") == NULL;
    }
    check_int(json_array_size(wanted), 2);
    check_int(json_array_size(list), n_means + json_array_size(wanted));
    check(n_means >= 4);
    json_decref(list);
    unload(&l);
}

/* As two classes of their own, but corrected together. */
static void gaps_of_a_finding_are_those_of_two_classes(void **state)
{
    (void)state;
    loaded l = load();
    json_t *list = eval_findings_disparities(l.attributes, 2, names, &l.findings, MIN_CELL);
    double *score = fl_xcalloc(l.n, 2 * sizeof *score);
    int *label = fl_xcalloc(l.n, sizeof *label);
    for (size_t i = 0; i < l.n; i++) {
        score[2 * i + 1] = l.score[i * K];
        score[2 * i] = 1 - l.score[i * K];
        label[i] = isnan(l.finding[i * K]) ? -1 : (int)l.finding[i * K];
    }
    const eval_predictions p = {.n = l.n, .n_classes = 2, .score = score, .label = label,
                                .patient = l.patient, .positive = 1, .threshold = 0.5};
    json_t *alone = eval_disparities(l.attributes, 1, &p, MIN_CELL);
    check_int(json_array_size(list), 1);
    json_t *one = json_array_get(list, 0);
    check_str(fl_json_get_string(one, "class", ""), "x");
    json_object_del(one, "class");
    check(json_equal(list, alone));
    json_decref(alone);
    json_decref(list);
    free(score);
    free(label);
    unload(&l);
}

/* A group whose masks are worse by far is flagged; ten patients are too few to test. */
static void few_patients_are_not_tested(void **state)
{
    (void)state;
    enum { N = 36 };
    double value[N];
    const char *sex[N];
    int label[N] = {0};
    for (int i = 0; i < N; i++) {
        sex[i] = i < 12 ? "F" : "M";
        value[i] = (i < 12 ? 0.3 : 0.9) + 0.01 * (i % 7);
    }
    const eval_attribute attribute = {"sex", sex};
    const eval_measure measure = {"dice_gap", value};
    const eval_predictions cases = {.n = N, .label = label};
    json_t *list = eval_mean_disparities(&attribute, 1, &measure, 1, &cases, MIN_CELL);
    const json_t *f = json_object_get(json_array_get(list, 0), "dice_gap");
    check(fl_json_get_number(f, "ci_high") < -0.5);
    check_str(fl_json_get_string(f, "method", ""), "Welch, by patient");
    check(isnan(fl_json_get_number(f, "p")));
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_numbers_by_group_equal_the_independent_ones),
        cmocka_unit_test(dice_by_group_equals_the_independent_one),
        cmocka_unit_test(findings_are_shown_where_every_cell_may_be),
        cmocka_unit_test(gaps_of_a_finding_are_those_of_two_classes),
        cmocka_unit_test(few_patients_are_not_tested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
