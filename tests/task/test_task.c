#include "toy.h"

#include "ckpt/ckpt.h"

static data_spec chest_spec(void)
{
    data_spec spec = {
        .task = DATA_CLASSIFY,
        .input = {3, {1, 16, 16}},
        .classes = {"normal", "opacity, \"hard\""},
        .n_classes = 2,
        .positive = 0,
    };
    return spec;
}

static task_model *model_for(const data_spec *spec, const char *text)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    task_model *m = NULL;
    check_ok(model_config_parse(&cfg, text, &err), err);
    check_ok(task_model_new(&m, spec, &cfg, &err), err);
    return m;
}

static void a_model_file_keeps_what_its_outputs_mean(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "m.onnx");
    data_spec spec = chest_spec();
    task_model *m = model_for(&spec, "{name: cnn, channels: [4, 4]}");
    float *params = toy_params(m, 7);
    check_ok(task_model_write(m, params, 0.25, path, &err), err);

    task_model *back = NULL;
    float *data = NULL;
    data_spec read;
    check_ok(task_model_read(&back, &data, &read, path, &err), err);
    check_int(read.task, DATA_CLASSIFY);
    check_int(read.n_classes, 2);
    check_str(read.classes[1], "opacity, \"hard\"");
    check_int(read.positive, 0);
    check(nn_shape_equal(&read.input, &spec.input));
    check_near(task_model_threshold(back), 0.25, 0);
    check_str(task_model_name(back), "cnn");
    check(nn_table_equal(task_model_table(m), task_model_table(back)));
    check_bytes(data, params,
                (size_t)nn_table_count(task_model_table(m)) * sizeof *data);
    free(data);
    task_model_destroy(&back);

    check_ok(task_model_write(m, params, NAN, path, &err), err);
    check_ok(task_model_read(&back, &data, NULL, path, &err), err);
    check(isnan(task_model_threshold(back)));
    free(data);
    free(params);
    task_model_destroy(&back);
    task_model_destroy(&m);
    free(path);
    check_rmdir(&dir);
}

static void two_classes_without_a_positive_take_the_second(void **state)
{
    (void)state;
    data_spec spec = chest_spec();
    spec.positive = -1;
    task_model *m = model_for(&spec, "{name: mlp, hidden: [4]}");
    check_int(task_model_spec(m)->positive, 1);
    check_int(task_model_n_scores(m), 2);
    task_model_destroy(&m);
}

/* A graph as another tool would write it: no word about classes. */
static void write_foreign(const char *path, const char *last_op)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("foreign");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 5}});
    x = nn_gemm(g, "head", x, 3);
    if (last_op != NULL) {
        nn_attr axis = NN_INT("axis", -1);
        x = nn_graph_op(g, last_op, "last", &x, 1, &axis,
                        strcmp(last_op, "Softmax") == 0);
    }
    nn_graph_output(g, "y", x);
    check_ok(nn_graph_finish(g, &err), err);
    float params[18] = {0};
    check_ok(ckpt_onnx_write(path, g, params, NULL, &err), err);
    nn_graph_destroy(&g);
}

static void a_foreign_model_takes_the_data_sets_classes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "foreign.onnx");
    task_model *m = NULL;
    float *data = NULL;
    data_spec read;
    write_foreign(path, NULL);
    check_ok(task_model_read(&m, &data, &read, path, &err), err);
    check_int(read.n_classes, 0);
    check_int(read.input.rank, 1);
    check_int(read.input.dim[0], 5);

    data_spec spec = {.task = DATA_CLASSIFY, .input = {1, {5}},
                      .classes = {"a", "b", "c"}, .n_classes = 3, .positive = -1};
    check_ok(task_model_set_spec(m, &spec, &err), err);
    check_int(task_model_n_scores(m), 3);
    check_str(task_model_spec(m)->classes[2], "c");

    spec.n_classes = 2;
    check_fails(task_model_set_spec(m, &spec, &err), FL_ECONFIG);
    check_has(err.text, "the model has 3 outputs; task classify with 2 classes "
                        "needs 2");
    spec.input.dim[0] = 6;
    check_fails(task_model_set_spec(m, &spec, &err), FL_ECONFIG);
    check_has(err.text, "the model takes inputs ");
    check_int(task_model_spec(m)->n_classes, 3);  // as before
    free(data);
    task_model_destroy(&m);
    free(path);
    check_rmdir(&dir);
}

static void a_graph_that_gives_probabilities_is_refused(void **state)
{
    (void)state;
    static const char *const ops[] = {"Softmax", "Sigmoid"};
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "foreign.onnx");
    for (size_t i = 0; i < 2; i++) {
        fl_err err = FL_ERR_INIT;
        task_model *m = NULL;
        float *data = NULL;
        write_foreign(path, ops[i]);
        check_fails(task_model_read(&m, &data, NULL, path, &err), FL_ECONFIG);
        check_has(err.text, path);
        check_has(err.text, "; expected logits");
        check_has(err.text, ops[i]);
        check(m == NULL && data == NULL);
    }
    free(path);
    check_rmdir(&dir);
}

static void what_does_not_fit_is_refused_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    task_model *m = NULL;
    data_spec spec = chest_spec();
    check_ok(model_config_parse(&cfg, "cnn", &err), err);

    spec.task = DATA_SEGMENT;
    check_fails(task_model_new(&m, &spec, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "model: the model has one answer a case; task segment needs one for "
                        "every pixel");
    spec = chest_spec();
    spec.input.rank = 0;
    check_fails(task_model_new(&m, &spec, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "the shape of the input is not known");
    spec.input = (nn_shape){1, {13}};
    check_fails(task_model_new(&m, &spec, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "model: ");
    check(m == NULL);

    float *data = NULL;
    check_fails(task_model_read(&m, &data, NULL, "/nowhere/m.onnx", &err),
                FL_ENOTFOUND);
    check_has(err.text, "/nowhere/m.onnx");
}

/* Metadata comes from outside like the rest of a file. */
static void damaged_meanings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *text;
    } cases[] = {
        {"consilium.task", "guess", "unknown task guess"},
        {"consilium.classes", "[\"a\", \"b\"", "consilium.classes"},
        {"consilium.classes", "{}", "expected a list of 1 to 64 names"},
        {"consilium.classes", "[\"a\", 3, \"c\"]", "class 1 is no name"},
        {"consilium.classes", "[\"a\", \"\", \"c\"]", "class 1 is no name"},
        {"consilium.classes", "[\"a\", \"b\"]", "the model has 3 outputs"},
        {"consilium.positive", "a", "no class is called a"},
        {"consilium.threshold", "1.5", "expected 0 to 1, found 1.5"},
        {"consilium.threshold", "nan", "expected 0 to 1, found nan"},
        {"consilium.threshold", "0.5x", "expected 0 to 1, found 0.5x"},
    };
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "m.onnx");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        ckpt_meta meta = {0};
        task_model *m = NULL;
        nn_graph *g;
        float *data;
        write_foreign(path, NULL);
        check_ok(ckpt_onnx_read(&g, &data, &meta, path, &err), err);
        ckpt_meta_add(&meta, cases[i].key, cases[i].value);
        check_ok(ckpt_onnx_write(path, g, data, &meta, &err), err);
        ckpt_meta_clear(&meta);
        nn_graph_destroy(&g);
        free(data);
        data = NULL;
        fl_status st = task_model_read(&m, &data, NULL, path, &err);
        check(st == FL_EFORMAT || st == FL_ECONFIG);
        check_has(err.text, cases[i].text);
        check(m == NULL && data == NULL);
    }
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_file_keeps_what_its_outputs_mean),
        cmocka_unit_test(two_classes_without_a_positive_take_the_second),
        cmocka_unit_test(a_foreign_model_takes_the_data_sets_classes),
        cmocka_unit_test(a_graph_that_gives_probabilities_is_refused),
        cmocka_unit_test(what_does_not_fit_is_refused_in_words),
        cmocka_unit_test(damaged_meanings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
