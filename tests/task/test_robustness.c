/*
 * test_robustness.c - a model's own test images, seen through shifts
 */
#include "toy.h"

#include "base/json.h"
#include "data/formats.h"
#include "task/members.h"

enum { SIDE = 16 };

/* Positive images have a small bright spot among noise: noise and few pixels hide it. */
static data_set *spots(const char *dir, int n)
{
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    fl_buf text = FL_BUF_INIT;
    fl_rng_init(&rng, 7, "spots", "", 0);
    fl_buf_puts(&text, "case,patient,file,label,split\n");
    for (int i = 0; i < n; i++) {
        float x[SIDE * SIDE];
        int row = 3 + (int)(fl_rng_uniform(&rng) * 9), col = 3 + (int)(fl_rng_uniform(&rng) * 9);
        for (int p = 0; p < SIDE * SIDE; p++) {
            bool in = i % 2 == 1 && abs(p / SIDE - row) < 2 && abs(p % SIDE - col) < 2;
            x[p] = (float)(0.3 + 0.25 * fl_rng_uniform(&rng) + (in ? 0.25 : 0));
        }
        char *name = fl_xasprintf("%s/i%d.png", dir, i);
        check_ok(data_png_write(name, x, SIDE, SIDE, 1, 8, &err), err);
        free(name);
        const char *split = i / 2 % 5 == 1 ? "val" : i / 2 % 5 >= 3 ? "test" : "train";
        fl_buf_printf(&text, "c%d,p%d,i%d.png,%d,%s\n", i, i, i, i % 2, split);
    }
    toy_file(dir, "manifest.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml", "task: classify\nclasses: {plain: 0, spot: 1}\npositive: spot\n");
    return toy_open(dir);
}

static float *trained(const task_model *m, const data_set *set)
{
    fl_err err = FL_ERR_INIT;
    float *params = toy_params(m, 1);
    task_train_config cfg;
    task_trainer *t = NULL;
    task_train_result done;
    task_train_defaults(&cfg);
    cfg.epochs = 12;
    cfg.optim.kind = NN_ADAM;
    cfg.optim.lr = 0.01;
    check_ok(task_trainer_new(&t, m, set, &cfg, &err), err);
    check_ok(task_trainer_run(t, params, 1, "", 1, false, NULL, &done, &err), err);
    task_trainer_destroy(&t);
    return params;
}

static bool stops_at_once(void *ctx)
{
    ++*(int *)ctx;
    return false;
}

static double value_of(const json_t *object, const char *key)
{
    return fl_json_get_number(json_object_get(object, key), "value");
}

/* Of a shifted split, predicted by itself: sets that hold the label, and classes in them. */
static void sets_of(double *coverage, double *size, const task_scores *s, double quantile)
{
    size_t held = 0, in = 0;
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->K; k++) {
            bool is_in = 1 - s->score[i * s->K + k] <= quantile;
            in += is_in;
            held += is_in && (int)k == s->label[i];
        }
    }
    *coverage = (double)held / (double)s->n;
    *size = (double)in / (double)s->n;
}

static void how_sure_it_is_is_judged_again_under_every_shift(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = spots(dir, 200);
    task_model *m = toy_model(set, "{name: cnn, channels: [8, 8], fc: 16, dropout: 0.2}");
    float *params = trained(m, set);
    const task_member model = {m, params};
    const task_members ways[] = {{TASK_ONE, 1}, {TASK_FLIPS, 4}};
    const task_conformal sets = {.alpha = 0.1, .quantile = 0.6, .source = "pooled"};
    data_shift_curves curves = {.n = 0};
    check_ok(data_shift_curves_add(&curves, "noise", task_model_spec(m), &err), err);
    for (size_t w = 0; w < 2; w++) {
        const task_doubt_subject of = {&ways[w], &model, 1, set, DATA_TEST};
        const task_doubt_shift_config cfg = {
            .curves = &curves, .first = 1, .last = 5, .threshold = 0.5, .limit = 0.5,
            .selective = {.share = 0.25, .target = NAN, .seed = 4}, .conformal = &sets,
            .sets_are_plain = true, .min_cell = 1, .threads = 1};
        json_t *points = NULL;
        check_ok(task_doubt_shifts(&points, &of, &cfg, &err), err);
        check_int(json_array_size(points), 5);
        double before = 0;
        for (int v = 1; v <= 5; v++) {
            const json_t *point = json_array_get(points, (size_t)v - 1);
            data_shift chain;
            task_scores plain;
            double coverage, size;
            data_shift_curve_at(&chain, &curves.item[0], v);
            check_ok(task_predict_shifted(&plain, m, params, set, DATA_TEST, &chain, 4, 1, &err),
                     err);
            // The sets are the plain scores', whatever the members; so is the error of one.
            sets_of(&coverage, &size, &plain, sets.quantile);
            check_near(value_of(point, "coverage"), coverage, 1e-12);
            check_near(value_of(point, "set_size"), size, 1e-12);
            eval_metrics metrics;
            task_evaluate(&metrics, &plain, task_model_spec(m), 0.5, 4);
            if (w == 0) {
                check_near(value_of(point, "error"),
                           1 - eval_metrics_find(&metrics, "accuracy")->value, 1e-12);
            }
            check_int(fl_json_get_int(point, "severity", 0), v);
            check(value_of(point, "error_kept") <= value_of(point, "error") + 1e-12);
            before = v == 1 ? coverage : before;
            task_scores_clear(&plain);
        }
        // Exchangeable no more: the sets hold the label less often.
        check(value_of(json_array_get(points, 4), "coverage") < before);
        json_decref(points);
    }
    // What is on one side of the limit is not counted where it is few.
    const task_doubt_subject of = {&ways[0], &model, 1, set, DATA_TEST};
    const task_doubt_shift_config few = {
        .curves = &curves, .first = 5, .last = 5, .threshold = 0.5, .limit = 0.5,
        .selective = {.share = 0.25, .target = NAN, .seed = 4}, .min_cell = 1000, .threads = 1};
    json_t *points = NULL;
    check_ok(task_doubt_shifts(&points, &of, &few, &err), err);
    const json_t *point = json_array_get(points, 0);
    check(json_is_null(json_object_get(point, "flagged")));
    check(json_object_get(point, "coverage") == NULL);
    json_decref(points);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void curves_fall_and_are_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = spots(dir, 200);
    task_model *m = toy_model(set, "{name: cnn, channels: [8, 8], fc: 16}");
    float *params = trained(m, set);
    task_scores clean;
    data_shift_curves curves = {.n = 0};
    json_t *points[2], *summary[2];
    check_ok(task_predict(&clean, m, params, set, DATA_TEST, 1, &err), err);
    check_ok(data_shift_curves_add(&curves, "resolution", task_model_spec(m), &err), err);
    check_ok(data_shift_curves_add(&curves, "noise,contrast", task_model_spec(m), &err), err);
    for (int i = 0; i < 2; i++) {
        task_shift_config cfg = {.curves = &curves, .first = 1, .last = 5, .seed = 4,
                                 .threads = i == 0 ? 1 : 3};
        check_ok(task_robustness(&points[i], &summary[i], m, params, set, DATA_TEST, &clean, 0.5,
                                 &cfg, &err),
                 err);
    }
    check(json_equal(points[0], points[1]));
    check(json_equal(summary[0], summary[1]));
    check_int(json_array_size(points[0]), 10);

    double auc = value_of(json_object_get(summary[0], "clean"), "auc");
    check(auc > 0.9);
    for (size_t c = 0; c < 2; c++) {
        const json_t *first = json_array_get(points[0], 5 * c);
        const json_t *last = json_array_get(points[0], 5 * c + 4);
        check_int(fl_json_get_int(last, "severity", 0), 5);
        check(value_of(last, "auc") < value_of(first, "auc"));
        check_near(value_of(json_object_get(last, "lost"), "auc"), auc - value_of(last, "auc"),
                   1e-12);
    }
    check(value_of(summary[0], "rise") > 0.1);

    int n_steps = 0;
    task_shift_config cfg = {.curves = &curves, .first = 2, .last = 2, .seed = 4, .threads = 1,
                             .ctx = &n_steps, .step = stops_at_once};
    json_t *p, *s;
    check_fails(task_robustness(&p, &s, m, params, set, DATA_TEST, &clean, 0.5, &cfg, &err),
                FL_ESTOPPED);
    check(p == NULL && s == NULL);
    check_int(n_steps, 1);
    for (int i = 0; i < 2; i++) {
        json_decref(points[i]);
        json_decref(summary[i]);
    }
    task_scores_clear(&clean);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* A truth that stayed where it was would make every model look bad. */
static void outlines_go_along_with_what_a_shift_moves(void **state)
{
    (void)state;
    static const char *const names[] = {"field_of_view", "rotation", "perspective"};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_squares(dir, 40, 2);
    task_model *m = toy_model(set, "{name: unet, base: 4, depth: 2}");
    float *params = toy_params(m, 1);
    task_trainer *t = NULL;
    task_train_config cfg;
    task_train_defaults(&cfg);
    cfg.batch = 8;
    cfg.optim.kind = NN_ADAM;
    cfg.optim.lr = 0.01;
    check_ok(task_trainer_new(&t, m, set, &cfg, &err), err);
    const task_fit_config fit = {.rounds = 12, .metric = "dice", .keep_best = true};
    check_ok(task_fit(params, t, 1, "", &fit, NULL, &(task_fit_result){0}, &err), err);
    const task_members alone = {.kind = TASK_ONE, .n = 1};
    const task_member model = {m, params};
    const task_doubt_subject of = {&alone, &model, 1, set, DATA_TEST};
    for (int k = 0; k < 3; k++) {
        data_shift chain = {.ops = {data_shift_find(names[k])}, .severity = {5}, .n = 1};
        task_scores s;
        task_doubt doubt;
        double dice = 0, part = 0;
        check_ok(task_predict_shifted(&s, m, params, set, DATA_TEST, &chain, 3, 1, &err), err);
        check_ok(task_doubt_of_shifted(&doubt, &of, &chain, 3, 1, &err), err);
        for (size_t i = 0; i < s.n; i++) {
            const uint8_t *was = data_set_case(set, s.index[i]).mask;
            double n_was = 0;
            for (size_t p = 0; p < data_set_n_pixels(set); p++) {
                n_was += was[p];
            }
            dice += s.seg[i].dice / (double)s.n;
            part += (double)s.seg[i].n_truth / n_was / (double)s.n;
            check_near(doubt.scores.seg[i].dice, s.seg[i].dice, 1e-12);
            check_near(doubt.scores.seg[i].n_truth, s.seg[i].n_truth, 0);
        }
        print_message("# %s: Dice %.2f\n", names[k], dice);
        check(dice > 0.7);
        if (k == 0) {  // a field 1.6 times as large
            check_near(part, 1 / (1.6 * 1.6), 0.08);
        }
        task_doubt_clear(&doubt);
        task_scores_clear(&s);
    }
    task_trainer_destroy(&t);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* A single pixel is lost by a larger field in most cases: what is left is compared. */
static void what_a_shift_moves_out_of_sight_is_not_asked(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "case,patient,file,mask,split\n");
    for (int i = 0; i < 40; i++) {
        float x[TOY_SIDE * TOY_SIDE] = {0}, mask[TOY_SIDE * TOY_SIDE] = {0};
        char name[32];
        int at = 2 * TOY_SIDE + 2 + i * 5;
        x[at] = 1;
        mask[at] = 1 / 255.0f;
        snprintf(name, sizeof name, "i%d.png", i);
        toy_png(dir, name, x);
        snprintf(name, sizeof name, "m%d.png", i);
        toy_png(dir, name, mask);
        fl_buf_printf(&text, "c%d,p%d,i%d.png,m%d.png,%s\n", i, i, i, i,
                      i < 2 ? "train" : i < 4 ? "val" : "test");
    }
    toy_file(dir, "manifest.csv", text.data);
    toy_file(dir, "dataset.yaml", "task: segment\nclasses: {background: 0, dot: 1}\n");
    data_set *set = toy_open(dir);
    task_model *m = toy_model(set, "{name: unet, base: 2, depth: 1}");
    float *params = toy_params(m, 1);
    task_scores clean;
    data_shift_curves curves = {.n = 0};
    check_ok(task_predict(&clean, m, params, set, DATA_TEST, 1, &err), err);
    check_ok(data_shift_curves_add(&curves, "field_of_view", task_model_spec(m), &err), err);
    task_shift_config cfg = {.curves = &curves, .first = 3, .last = 5, .seed = 4, .threads = 1};
    json_t *points = NULL, *summary = NULL;
    check_ok(task_robustness(&points, &summary, m, params, set, DATA_TEST, &clean, 0.5, &cfg,
                             &err),
             err);
    json_int_t n = json_integer_value(
        json_object_get(json_object_get(json_array_get(points, 0), "dice"), "n"));
    check(n > 0 && n < 30);
    check_int(json_integer_value(json_object_get(
                  json_object_get(json_object_get(summary, "clean"), "dice"), "n")),
              n);
    json_decref(points);
    json_decref(summary);
    task_scores_clear(&clean);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    fl_buf_clear(&text);
    check_rmdir(&dir);
}

/* Severity 0 is no shift: the scores of a shifted prediction are the plain ones. */
static void a_shift_of_nothing_changes_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = spots(dir, 100);
    task_model *m = toy_model(set, "{name: cnn, channels: [8, 8], fc: 16}");
    float *params = toy_params(m, 1);
    task_scores a, b;
    data_shift chain = {.ops = {data_shift_find("noise")}, .severity = {0}, .n = 1};
    check_ok(task_predict(&a, m, params, set, DATA_TRAIN, 1, &err), err);
    check_ok(task_predict_shifted(&b, m, params, set, DATA_TRAIN, &chain, 1, 1, &err), err);
    for (size_t i = 0; i < a.n * a.K; i++) {
        check_near(b.score[i], a.score[i], 0);
    }
    task_scores_clear(&b);
    chain.ops[0] = data_shift_find("stain");
    check_fails(task_predict_shifted(&b, m, params, set, DATA_TRAIN, &chain, 1, 1, &err),
                FL_EUNSUPPORTED);
    task_scores_clear(&a);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_sure_it_is_is_judged_again_under_every_shift),
        cmocka_unit_test(curves_fall_and_are_the_same_on_any_number_of_threads),
        cmocka_unit_test(outlines_go_along_with_what_a_shift_moves),
        cmocka_unit_test(what_a_shift_moves_out_of_sight_is_not_asked),
        cmocka_unit_test(a_shift_of_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
