/*
 * test_metrics_seg.c - masks against scipy's distances, erosion and labels and
 * scikit-learn's overlaps (tests/vectors/eval_seg.py), and their edge cases
 */
#include "base/rng.h"
#include "check.h"
#include "eval/metrics_seg.h"
#include "eval/vectors.h"

static void two_overlapping_squares(void **state)
{
    (void)state;
    const uint8_t truth[] = {
        1, 1, 0, 0,  //
        1, 1, 0, 0,  //
        0, 0, 0, 0,
    };
    const uint8_t pred[] = {
        0, 1, 1, 0,  //
        0, 1, 1, 0,  //
        0, 0, 0, 0,
    };
    eval_grid grid = {.size = {1, 3, 4}, .spacing = {1, 0.5, 0.5}, .in_mm = true};
    eval_seg_case one;
    eval_seg_measure(&one, pred, truth, 1, &grid, 0);
    check_near(one.dice, 0.5, 0);
    check_near(one.iou, 2.0 / 6, 1e-15);
    check_near(one.hd95, 0.5, 1e-15);
    check_near(one.surface_dice, 0.5, 0);
    check_near(one.volume_pred, 1, 1e-15);  // mm2
    check_int(one.n_lesions, 1);
    check_int(one.n_found, 1);
    check_int(one.n_false, 0);

    // The mean over cases; the other case is empty and rightly called so.
    const uint8_t nothing[12] = {0};
    eval_seg_case cases[2] = {one};
    eval_seg_measure(&cases[1], nothing, nothing, 1, &grid, 0);
    eval_metrics m;
    eval_segment(&m, cases, 2, 1, NULL, 1);
    const eval_figure *dice = eval_metrics_find(&m, "dice");
    check_near(dice->value, 0.5, 0);
    check_int(dice->n, 1);
    check_str(dice->why, "too few cases: 1; 10 are needed");
    check_int(eval_metrics_find(&m, "false_lesions")->n, 2);
    check_str(eval_metrics_find(&m, "hd95")->unit, "mm");
}

static eval_grid grid_of(const json_t *c)
{
    size_t n = 0;
    eval_grid g = {.in_mm = false};
    double *size = vectors_numbers(c, "size", &n), *spacing = vectors_numbers(c, "spacing", &n);
    for (int a = 0; a < 3; a++) {
        g.size[a] = (int64_t)size[a];
        g.spacing[a] = spacing[a];
        g.in_mm = g.in_mm || spacing[a] != 1;
    }
    free(size);
    free(spacing);
    return g;
}

static uint8_t *mask_of(const json_t *c, const char *key)
{
    const char *text = fl_json_get_string(c, key, "");
    uint8_t *mask = fl_xcalloc(strlen(text), 1);
    for (size_t i = 0; text[i] != '\0'; i++) {
        mask[i] = text[i] == '1' ? 3 : 2;  // codes of some class, and of another
    }
    return mask;
}

static eval_seg_case measure(const json_t *c)
{
    eval_grid grid = grid_of(c);
    uint8_t *pred = mask_of(c, "pred"), *truth = mask_of(c, "truth");
    eval_seg_case out;
    eval_seg_measure(&out, pred, truth, 3, &grid, fl_json_get_number(c, "tolerance"));
    free(pred);
    free(truth);
    return out;
}

static void check_equal(const char *name, const char *what, double got, double wanted)
{
    if (!(fabs(got - wanted) <= 1e-9) && !(isnan(got) && isnan(wanted))) {
        check_fail("%s: %s: got %.12g, expected %.12g", name, what, got, wanted);
    }
}

static void every_case_equals_the_independent_one(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_seg.json");
    size_t at;
    json_t *c;
    json_array_foreach(json_object_get(all, "cases"), at, c) {
        const char *name = fl_json_get_string(c, "name", "?");
        const json_t *expect = json_object_get(c, "expect");
        eval_seg_case got = measure(c);
        const struct {
            const char *name;
            double value;
        } values[] = {
            {"dice", got.dice},
            {"iou", got.iou},
            {"hd95", got.hd95},
            {"surface_dice", got.surface_dice},
            {"n_pred", (double)got.n_pred},
            {"n_truth", (double)got.n_truth},
            {"n_lesions", (double)got.n_lesions},
            {"n_found", (double)got.n_found},
            {"n_false", (double)got.n_false},
        };
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
            check_equal(name, values[i].name, values[i].value,
                        fl_json_get_number(expect, values[i].name));
        }
    }
    json_decref(all);
}

static void distances_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_seg.json");
    const json_t *v = json_object_get(all, "distance");
    eval_grid grid = grid_of(v);
    size_t n = 0;
    double *wanted = vectors_numbers(v, "distance", &n);
    bool *to = fl_xcalloc(n, sizeof *to);
    double *square = fl_xcalloc(n, sizeof *square);
    for (size_t i = 0; i < n; i++) {
        to[i] = fl_json_get_string(v, "to", "")[i] == '1';
    }
    eval_grid_distance2(square, to, &grid);
    for (size_t i = 0; i < n; i++) {
        check_near(sqrt(square[i]), wanted[i], 1e-9);
    }
    memset(to, 0, n * sizeof *to);
    eval_grid_distance2(square, to, &grid);
    check(isinf(square[0]) && isinf(square[n - 1]));
    free(to);
    free(square);
    free(wanted);
    json_decref(all);
}

/* All cases of the vectors with these names; each a second time as another
 * case of the same patient, when twice. */
static size_t load_over(eval_seg_case *out, int64_t *patient, const json_t *all, bool twice)
{
    size_t n = 0, at, i;
    json_t *name, *c;
    json_array_foreach(json_object_get(json_object_get(all, "over"), "cases"), at, name) {
        json_array_foreach(json_object_get(all, "cases"), i, c) {
            if (strcmp(fl_json_get_string(c, "name", ""), json_string_value(name)) == 0) {
                eval_seg_case got = measure(c);
                got.in_mm = false;
                for (int copy = 0; copy < (twice ? 4 : 1); copy++) {
                    patient[n] = (int64_t)at * 2 + copy / 2;
                    out[n++] = got;
                }
            }
        }
    }
    return n;
}

static void figures_over_cases_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_seg.json");
    eval_seg_case cases[64];
    int64_t patient[64];
    size_t n = load_over(cases, patient, all, false);
    eval_metrics m;
    eval_segment(&m, cases, n, 1, NULL, 1);
    const json_t *expect = json_object_get(json_object_get(all, "over"), "value");
    for (size_t i = 0; i < m.n; i++) {
        check_equal("over cases", m.item[i].name, m.item[i].figure.value,
                    fl_json_get_number(expect, m.item[i].name));
        check(eval_metric_known(m.item[i].name));
    }
    // Every case four times, as two patients with two cases.
    n = load_over(cases, patient, all, true);
    eval_segment(&m, cases, n, 1, patient, 1);
    const eval_figure *dice = eval_metrics_find(&m, "dice");
    check_equal("by patient", "dice", dice->value, fl_json_get_number(expect, "dice"));
    check_int(dice->n_patients, (int64_t)n / 2);
    check_str(dice->method, "bootstrap 2000, by patient");
    check(dice->ci_low < dice->value && dice->value < dice->ci_high);
    const eval_figure *found = eval_metrics_find(&m, "lesion_sensitivity");
    check_str(found->method, "Wilson, by patient");
    check(found->ci_low < found->value && found->value <= found->ci_high);
    check_str(eval_metrics_find(&m, "volume_bias")->unit, "px");

    eval_figure d;
    eval_segment_difference(&d, "dice", cases, cases, n, 1, patient, 1);
    check_near(d.value, 0, 0);
    check_str(d.why, "every resample gives the same value");
    json_decref(all);
}

static void several_classes_are_averaged_over_those_that_have_a_value(void **state)
{
    (void)state;
    eval_seg_case cases[] = {
        // two cases of three classes; nobody has the third
        {.dice = 0.8, .n_truth = 5},
        {.dice = NAN},
        {.dice = NAN},
        {.dice = 0.6, .n_truth = 5},
        {.dice = 0.1, .n_truth = 2, .n_lesions = 4, .n_found = 1},
        {.dice = NAN},
    };
    eval_metrics m;
    eval_segment(&m, cases, 2, 3, NULL, 1);
    check_near(eval_metrics_find(&m, "dice")->value, (0.7 + 0.1) / 2, 1e-12);
    check_int(eval_metrics_find(&m, "dice")->n, 2);
    check_near(eval_metrics_find(&m, "lesion_sensitivity")->value, 0.25, 1e-12);
    check_has(eval_metrics_find(&m, "volume_low")->why, "one class at a time");
}

static void what_is_undefined_says_why(void **state)
{
    (void)state;
    eval_metrics m;
    eval_segment(&m, NULL, 0, 1, NULL, 1);
    for (size_t i = 0; i < m.n; i++) {
        check_near(m.item[i].figure.value, NAN, 0);
        check_str(m.item[i].figure.why, "no cases");
    }
    eval_seg_case empty[2] = {{.dice = NAN, .iou = NAN, .hd95 = NAN, .surface_dice = NAN},
                              {.dice = NAN, .iou = NAN, .hd95 = NAN, .surface_dice = NAN}};
    eval_segment(&m, empty, 2, 1, NULL, 1);
    check_str(eval_metrics_find(&m, "dice")->why, "both masks are empty in every case");
    check_str(eval_metrics_find(&m, "lesion_sensitivity")->why, "no case has a lesion");
    check_near(eval_metrics_find(&m, "false_lesions")->value, 0, 0);
    empty[1].in_mm = true;
    empty[0].hd95 = empty[1].hd95 = 1;
    eval_segment(&m, empty, 2, 1, NULL, 1);
    check_str(eval_metrics_find(&m, "hd95")->why, "the spacing is known of some cases only");
}

static void points_that_nobody_judged_count_in_no_mask(void **state)
{
    (void)state;
    const uint8_t truth[] = {1, 1, EVAL_SEG_IGNORE, EVAL_SEG_IGNORE, 0};
    const uint8_t pred[] = {1, 0, 1, 0, 0};
    eval_grid grid = {.size = {1, 1, 5}, .spacing = {1, 1, 1}};
    eval_seg_case one;
    eval_seg_measure(&one, pred, truth, 1, &grid, 1);
    check_int(one.n_pred, 1);
    check_int(one.n_truth, 2);
    check_near(one.dice, 2.0 / 3, 1e-15);
}

/* Laws: symmetric in pred and truth; the same for the mirror image. */
static void random_masks_obey_the_laws(void **state)
{
    (void)state;
    enum { H = 9, W = 7, D = 4, N = D * H * W };
    fl_rng rng;
    const uint64_t seed = 11;
    print_message("seed %llu\n", (unsigned long long)seed);
    fl_rng_init(&rng, seed, "masks", "", 0);
    eval_grid grid = {.size = {D, H, W}, .spacing = {2.5, 0.7, 0.9}, .in_mm = true};
    for (int round = 0; round < 40; round++) {
        uint8_t a[N], b[N], mirror_a[N], mirror_b[N];
        double density = fl_rng_uniform(&rng);
        for (size_t i = 0; i < N; i++) {
            a[i] = fl_rng_uniform(&rng) < density;
            b[i] = fl_rng_uniform(&rng) < density;
        }
        for (size_t i = 0; i < N; i++) {
            mirror_a[N - 1 - i] = a[i];
            mirror_b[N - 1 - i] = b[i];
        }
        eval_seg_case ab, ba, mirrored;
        eval_seg_measure(&ab, a, b, 1, &grid, 2);
        eval_seg_measure(&ba, b, a, 1, &grid, 2);
        eval_seg_measure(&mirrored, mirror_a, mirror_b, 1, &grid, 2);
        check_near(ab.dice, ba.dice, 0);
        check_near(ab.hd95, ba.hd95, 0);
        check_near(ab.surface_dice, ba.surface_dice, 0);
        check_near(ab.hd95, mirrored.hd95, 1e-12);
        check_near(ab.surface_dice, mirrored.surface_dice, 0);
        check_int(ab.n_lesions, mirrored.n_lesions);
        check_near(ab.dice, 2 * ab.iou / (1 + ab.iou), 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_overlapping_squares),
        cmocka_unit_test(every_case_equals_the_independent_one),
        cmocka_unit_test(distances_equal_the_independent_ones),
        cmocka_unit_test(figures_over_cases_equal_the_independent_ones),
        cmocka_unit_test(several_classes_are_averaged_over_those_that_have_a_value),
        cmocka_unit_test(what_is_undefined_says_why),
        cmocka_unit_test(points_that_nobody_judged_count_in_no_mask),
        cmocka_unit_test(random_masks_obey_the_laws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
