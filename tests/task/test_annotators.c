/*
 * test_annotators.c - from masks by several people to how far a model agrees with them
 */
#include "task/annotators.h"

#include "base/json.h"
#include "toy.h"

enum { N = 24, PIXELS = TOY_SIDE * TOY_SIDE };

static void put_square(const char *dir, const char *name, int row, int side)
{
    float mask[PIXELS] = {0};
    for (int p = 0; p < PIXELS; p++) {
        int r = p / TOY_SIDE, c = p % TOY_SIDE;
        mask[p] = r >= row && r < row + side && c >= row && c < row + side ? 1 / 255.0f : 0;
    }
    toy_png(dir, name, mask);
}

/* Every case is drawn by anna and bela, a row apart, and by cleo as by anna but for case 0, which
 * she left alone; all are test cases. */
static data_set *make(const char *dir, bool only_anna)
{
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 5, "annotated", "", 0);
    put_square(dir, "one.png", 2, 6);
    put_square(dir, "other.png", 3, 6);
    fl_buf_puts(&text, only_anna ? "case,patient,file,mask:anna,split\n"
                                 : "case,patient,file,mask:anna,mask:bela,mask:cleo,split\n");
    for (int i = 0; i < N; i++) {
        float x[PIXELS];
        char name[32];
        for (int p = 0; p < PIXELS; p++) {
            x[p] = (float)fl_rng_uniform(&rng);
        }
        snprintf(name, sizeof name, "i%d.png", i);
        toy_png(dir, name, x);
        fl_buf_printf(&text, "c%d,p%d,%s,one.png%s,test\n", i, i / 2, name,
                      only_anna ? "" : i == 0 ? ",other.png," : ",other.png,one.png");
    }
    toy_file(dir, "manifest.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml", "task: segment\nclasses: {background: 0, square: 1}\n");
    return toy_open(dir);
}

static double dice(const uint8_t *a, const uint8_t *b)
{
    double both = 0, sum = 0;
    for (int p = 0; p < PIXELS; p++) {
        both += a[p] == 1 && b[p] == 1;
        sum += (a[p] == 1) + (b[p] == 1);
    }
    return 2 * both / sum;
}

/* Passes masks on, and sums the Dice of each with anna's. */
typedef struct {
    task_maps inner;
    double sum;
} watching;

static fl_status watch(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err)
{
    watching *w = ctx;
    w->sum += dice(map->code, data_set_mask_by(set, i, 0));
    return w->inner.take(w->inner.ctx, set, i, map, err);
}

static void a_model_stands_beside_every_annotator(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = make(dir, false);
    task_model *m = toy_model(set, "{name: unet, base: 2, depth: 1}");
    float *params = toy_params(m, 1);
    task_scores s;
    task_annotators *drawn = task_annotators_new(m, set, DATA_TEST);
    check(drawn != NULL);
    watching w = {task_annotators_sink(drawn), 0};
    const task_maps sink = {.ctx = &w, .take = watch};
    check_ok(task_predict_maps(&s, m, params, set, DATA_TEST, 1, &sink, &err), err);

    eval_drawn d = task_annotators_drawn(drawn);
    check_int(d.n, N);
    check_int(d.n_readers, 3);
    eval_figure f;
    eval_drawn_reader(&f, &d, 0, 1);
    check_near(f.value, w.sum / N, 1e-12);
    check_int(f.n_patients, N / 2);
    eval_drawn_pair(&f, &d, 0, 1);
    check_near(f.value, 25.0 / 36, 1e-12);  // 5 x 5 of 6 x 6 each
    eval_drawn_pair(&f, &d, 1, 1);
    check_near(f.value, 1, 1e-12);
    check_int(f.n, N - 1);  // case 0 has no third mask
    eval_drawn_consensus(&f, &d, 1);
    check_int(f.n, N - 1);

    const task_annotators_config by_name = {.margin = 0.05, .min_cell = 1, .seed = 1};
    json_t *json = task_annotators_json(drawn, &by_name);
    check_str(fl_json_get_string(json_array_get(json_object_get(json, "pairs"), 0), "b", ""),
              "bela");
    json_decref(json);
    // Names of people stay where they are.
    const task_annotators_config by_number = {.margin = 0.05, .min_cell = 1, .seed = 1,
                                              .numbered = true};
    json = task_annotators_json(drawn, &by_number);
    char *text = fl_json_text(json);
    check(strstr(text, "bela") == NULL);
    free(text);
    check_str(fl_json_get_string(json_array_get(json_object_get(json, "model"), 2), "annotator",
                                 ""), "3");
    json_decref(json);

    task_annotators_destroy(&drawn);
    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void one_annotator_or_none_is_not_several(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *set = make(dir, true);
    task_model *m = toy_model(set, "{name: unet, base: 2, depth: 1}");
    check(task_annotators_new(m, set, DATA_TEST) == NULL);
    task_model_destroy(&m);
    data_set_destroy(&set);
    set = make(dir, false);
    m = toy_model(set, "{name: unet, base: 2, depth: 1}");
    check(task_annotators_new(m, set, DATA_TRAIN) == NULL);  // nobody drew one of none
    task_model_destroy(&m);
    data_set_destroy(&set);
    set = toy_rings(dir, 10);
    m = toy_model(set, "{name: mlp}");
    check(task_annotators_new(m, set, DATA_TEST) == NULL);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_stands_beside_every_annotator),
        cmocka_unit_test(one_annotator_or_none_is_not_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
