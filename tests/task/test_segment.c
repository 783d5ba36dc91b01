/*
 * test_segment.c - from images with masks to figures of the predicted ones
 */
#include "toy.h"

#include "base/json.h"

enum { SIDE = TOY_SIDE };

static void learn(int n_classes, const char *model, const char *loss, int epochs)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_squares(dir, 40, n_classes);
    task_model *m = toy_model(set, model);
    float *params = toy_params(m, 1);
    task_train_config cfg;
    task_trainer *t = NULL;
    task_fit_result done;
    task_train_defaults(&cfg);
    cfg.batch = 8;
    cfg.optim.kind = NN_ADAM;
    cfg.optim.lr = 0.01;
    check_ok(task_loss_parse(&cfg.loss, loss, task_model_spec(m), &err), err);
    check_ok(task_model_set_loss(m, &cfg.loss, &err), err);
    check_ok(task_trainer_new(&t, m, set, &cfg, &err), err);
    check_int(task_trainer_epoch_steps(t), 3);  // 24 images, one of them without mask
    const task_fit_config fit = {.rounds = epochs, .metric = "dice", .keep_best = true};
    check_ok(task_fit(params, t, 1, "", &fit, NULL, &done, &err), err);
    check_int(done.samples, epochs * 23);

    task_scores s;
    task_quick q;
    eval_metrics figures;
    check_ok(task_predict(&s, m, params, set, DATA_TEST, 1, &err), err);
    check_int(s.K, n_classes - 1);
    task_quick_of(&q, &s, task_model_spec(m));
    check_int(q.n, 8);
    if (!(q.dice > 0.8)) {
        check_fail("%s with %s: Dice %g after %d epochs", model, loss, q.dice, epochs);
    }
    task_evaluate(&figures, &s, task_model_spec(m), NAN, 1);
    check_near(eval_metrics_find(&figures, "dice")->value, q.dice, 0.02);
    check(q.iou < q.dice);

    // The model file knows what its outputs mean.
    char *path = fl_path_join(dir, "m.onnx");
    task_model *again = NULL;
    float *data = NULL;
    task_scores s2;
    check_ok(task_model_write(m, params, NAN, path, &err), err);
    check_ok(task_model_read(&again, &data, NULL, path, &err), err);
    check_int(task_model_spec(again)->task, DATA_SEGMENT);
    check_ok(task_predict(&s2, again, data, set, DATA_TEST, 1, &err), err);
    check_near(s2.seg[0].dice, s.seg[0].dice, 0);
    task_scores_clear(&s2);
    free(data);
    task_model_destroy(&again);
    free(path);
    task_scores_clear(&s);
    task_trainer_destroy(&t);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void a_unet_learns_squares(void **state)
{
    (void)state;
    learn(2, "{name: unet, base: 4, depth: 2}", "default", 8);
}

static void and_with_other_losses(void **state)
{
    (void)state;
    static const char *const losses[] = {"ce", "dice", "{name: focal, gamma: 1}",
                                         "{name: dice_ce, weights: [1, 2]}"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        learn(2, "{name: unet, base: 4, depth: 2}", losses[i], 8);
    }
}

static void and_two_halves_of_them(void **state)
{
    (void)state;
    learn(3, "{name: unet, base: 4, depth: 2}", "dice_ce", 20);
}

/* Every pixel is judged, those at the rim too, where the image goes on as in a mirror. */
static void and_so_do_the_original_and_the_gated_form(void **state)
{
    (void)state;
    learn(2, "{name: unet, base: 4, depth: 1, padding: valid}", "default", 20);
    learn(2, "{name: attention_unet, base: 4, depth: 2, maps: true}", "default", 8);
}

/* Whatever is asked of a task, the file of figures has a row a case. */
static void predictions_have_the_figures_of_each_case(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "predictions.csv");
    data_set *set = toy_squares(dir, 10, 2);
    task_model *m = toy_model(set, "{name: unet, base: 2, depth: 1}");
    float *params = toy_params(m, 1);
    task_scores s;
    char *text = NULL;
    size_t n = 0;
    check_ok(task_predict(&s, m, params, set, DATA_TRAIN, 1, &err), err);
    check_int(s.label[1], -1);  // c3, which has no mask
    check_int(s.label[0], 0);
    check_ok(task_predictions_write(&s, set, task_model_spec(m), path, &err), err);
    check_ok(fl_file_read(&text, &n, path, 1 << 16, &err), err);
    check_has(text, "case,patient,dice,iou,hd95,surface_dice,n_pred,n_truth\n");
    check_has(text, "\nc3,patient-4,,,,,,\n");
    free(text);
    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    free(path);
    check_rmdir(&dir);
}

typedef struct {
    size_t n, n_foreground, n_maps;
    double least, most;
} seen;

/* The one gate of a U-Net of depth 2 weighs the skip of half the size. */
static fl_status take_own(void *ctx, const data_set *set, size_t i, const char *name,
                          const float *map, const int64_t size[static 3], fl_err *err)
{
    (void)err;
    seen *s = ctx;
    check_int(data_set_case(set, i).split, DATA_TEST);
    check_str(name, "attention1");
    check_int(size[0], 1);
    check_int(size[1], SIDE / 2);
    check_int(size[2], SIDE / 2);
    s->n_maps++;
    check_int(s->n_maps, s->n);  // after the case's mask
    for (int p = 0; p < SIDE * SIDE / 4; p++) {
        check(map[p] > 0 && map[p] < 1);
    }
    return FL_OK;
}

static fl_status take(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err)
{
    (void)err;
    seen *s = ctx;
    check_int(data_set_case(set, i).split, DATA_TEST);
    s->n++;
    for (int p = 0; p < SIDE * SIDE; p++) {
        check_int(map->code[p], map->prob[p] > 0.5f);
        s->n_foreground += map->code[p];
        s->least = fmin(s->least, (double)map->prob[p]);
        s->most = fmax(s->most, (double)map->prob[p]);
    }
    return FL_OK;
}

static void masks_are_given_out_case_by_case(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_squares(dir, 20, 2);
    task_model *m = toy_model(set, "{name: unet, base: 2, depth: 1}");
    float *params = toy_params(m, 2);
    seen got = {.least = 1};
    const task_maps maps = {.ctx = &got, .take = take};
    task_scores s;
    check_ok(task_predict_maps(&s, m, params, set, DATA_TEST, 1, &maps, &err), err);
    check_int(got.n, s.n);
    int64_t n_pred = 0;
    for (size_t i = 0; i < s.n; i++) {
        n_pred += s.seg[i].n_pred;
    }
    check_int(got.n_foreground, n_pred);
    check(got.least >= 0 && got.most <= 1 && got.least < got.most);
    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void a_models_own_maps_come_with_its_masks(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "m.onnx");
    data_set *set = toy_squares(dir, 20, 2);
    task_model *m = toy_model(set, "{name: attention_unet, base: 2, depth: 2, maps: true}"), *back;
    float *params = toy_params(m, 2), *read;
    // As a hospital is handed it.
    check_ok(task_model_write(m, params, NAN, path, &err), err);
    check_ok(task_model_read(&back, &read, NULL, path, &err), err);
    seen got = {.least = 1};
    const task_maps maps = {.ctx = &got, .take = take, .take_own = take_own};
    task_scores s;
    check_ok(task_predict_maps(&s, back, read, set, DATA_TEST, 1, &maps, &err), err);
    check_int(got.n, s.n);
    check_int(got.n_maps, s.n);
    task_scores_clear(&s);
    free(params);
    free(read);
    task_model_destroy(&m);
    task_model_destroy(&back);
    data_set_destroy(&set);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unet_learns_squares),
        cmocka_unit_test(and_with_other_losses),
        cmocka_unit_test(and_two_halves_of_them),
        cmocka_unit_test(and_so_do_the_original_and_the_gated_form),
        cmocka_unit_test(predictions_have_the_figures_of_each_case),
        cmocka_unit_test(masks_are_given_out_case_by_case),
        cmocka_unit_test(a_models_own_maps_come_with_its_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
