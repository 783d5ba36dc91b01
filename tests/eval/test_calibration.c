/*
 * test_calibration.c - curves of calibration and net benefit against numpy and
 * scipy (tests/vectors/eval_vectors.py); slope and intercept are with the other
 * figures in test_metrics_class.c
 */
#include "eval/calibration.h"

#include "check.h"
#include "eval/vectors.h"

typedef struct {
    json_t *all;
    const json_t *v;
    double *p, *score;
    int *label;
    eval_predictions predictions;
} loaded;

static loaded load(void)
{
    loaded l = {.all = vectors_read("eval_more.json")};
    size_t n = 0;
    l.v = json_object_get(l.all, "curves");
    l.p = vectors_numbers(l.v, "score", &n);
    l.label = vectors_labels(l.v, "label", &n);
    l.score = fl_xcalloc(n, 2 * sizeof *l.score);
    for (size_t i = 0; i < n; i++) {
        l.score[2 * i] = 1 - l.p[i];
        l.score[2 * i + 1] = l.p[i];
    }
    l.predictions = (eval_predictions){
        .n = n, .n_classes = 2, .score = l.score, .label = l.label, .positive = 1};
    return l;
}

static void unload(loaded *l)
{
    free(l->p);
    free(l->score);
    free(l->label);
    json_decref(l->all);
}

static void check_interval(const json_t *got, const json_t *wanted)
{
    const json_t *ci = json_object_get(wanted, "ci");
    check_near(fl_json_get_number(got, "ci_low"), json_number_value(json_array_get(ci, 0)), 1e-9);
    check_near(fl_json_get_number(got, "ci_high"), json_number_value(json_array_get(ci, 1)), 1e-9);
}

static void the_reliability_curve_equals_the_independent_one(void **state)
{
    (void)state;
    loaded l = load();
    json_t *got = eval_reliability(&l.predictions, 5, 3);
    const json_t *wanted = json_object_get(l.v, "bins");
    check_int(json_array_size(got), json_array_size(wanted));
    for (size_t b = 0; b < json_array_size(got); b++) {
        const json_t *g = json_array_get(got, b), *w = json_array_get(wanted, b);
        check_int(fl_json_get_int(g, "n", -1), fl_json_get_int(w, "n", -2));
        check_near(fl_json_get_number(g, "predicted"), fl_json_get_number(w, "predicted"), 1e-9);
        check_near(fl_json_get_number(g, "observed"), fl_json_get_number(w, "observed"), 1e-9);
        check_interval(g, w);
    }
    json_decref(got);
    unload(&l);
}

static void the_decision_curve_equals_the_independent_one(void **state)
{
    (void)state;
    loaded l = load();
    json_t *got = eval_decision_curve(&l.predictions, 5, 3);
    const json_t *wanted = json_object_get(l.v, "benefit");
    check_int(json_array_size(got), json_array_size(wanted));
    for (size_t b = 0; b < json_array_size(got); b++) {
        const json_t *g = json_array_get(got, b), *w = json_array_get(wanted, b);
        const char *const keys[] = {"threshold", "net_benefit", "treat_all"};
        for (size_t k = 0; k < 3; k++) {
            check_near(fl_json_get_number(g, keys[k]), fl_json_get_number(w, keys[k]), 1e-9);
        }
        check_interval(g, w);
    }
    json_decref(got);
    unload(&l);
}

/* However fine the bins and large the cells, none shows a few cases of a class
 * and none is lost. */
static void bins_are_joined_until_none_is_small(void **state)
{
    (void)state;
    loaded l = load();
    for (int64_t min_cell = 1; min_cell <= 200; min_cell = min_cell * 2 + 1) {
        json_t *curve = eval_reliability(&l.predictions, 37, min_cell);
        size_t at;
        json_t *bin;
        int64_t n = 0;
        double edge = 0;
        json_array_foreach(curve, at, bin) {
            int64_t cases = fl_json_get_int(bin, "n", 0);
            int64_t positives = llround(fl_json_get_number(bin, "observed") * (double)cases);
            check_near(fl_json_get_number(bin, "low"), edge, 1e-12);
            check(positives == 0 || positives >= min_cell);
            check(positives == cases || cases - positives >= min_cell);
            edge = fl_json_get_number(bin, "high");
            n += cases;
        }
        check_int(n, n == 0 ? 0 : (int64_t)l.predictions.n);
        check(n > 0 || min_cell > 100);
        json_decref(curve);
    }
    unload(&l);
}

static void there_is_no_curve_of_what_cannot_be_drawn(void **state)
{
    (void)state;
    loaded l = load();
    l.predictions.positive = -1;  // not two classes, as far as a curve can tell
    json_t *curve = eval_reliability(&l.predictions, 10, 1);
    check_int(json_array_size(curve), 0);
    json_decref(curve);
    l.predictions.positive = 1;
    l.predictions.n = 0;
    curve = eval_decision_curve(&l.predictions, 10, 1);
    check_int(json_array_size(curve), 0);
    json_decref(curve);
    l.predictions.n = 8;  // too few for an interval
    curve = eval_decision_curve(&l.predictions, 4, 1);
    check(json_array_size(curve) > 0);
    check(json_is_null(json_object_get(json_array_get(curve, 0), "ci_low")));
    json_decref(curve);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reliability_curve_equals_the_independent_one),
        cmocka_unit_test(the_decision_curve_equals_the_independent_one),
        cmocka_unit_test(bins_are_joined_until_none_is_small),
        cmocka_unit_test(there_is_no_curve_of_what_cannot_be_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
