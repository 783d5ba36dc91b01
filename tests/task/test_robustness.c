/*
 * test_robustness.c - a model's own test images, seen through shifts
 */
#include "toy.h"

#include "base/json.h"
#include "data/formats.h"

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
        cmocka_unit_test(curves_fall_and_are_the_same_on_any_number_of_threads),
        cmocka_unit_test(a_shift_of_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
