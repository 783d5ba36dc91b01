/*
 * test_features.c - what a model makes of inputs just before it answers
 *
 * The answer is the last layer of the features, so its mean over places is that layer of
 * their mean: what the layer's weights make of them is compared with what the model says.
 */
#include "task/features.h"

#include "toy.h"

enum { N = 7, SIDE = 32, PIXELS = SIDE * SIDE };

/* Noise, in two of three classes or with a mask. */
static data_set *make(const char *dir, bool masks)
{
    fl_buf text = FL_BUF_INIT;
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 9, "features", "", 0);
    fl_buf_puts(&text, masks ? "case,patient,file,mask,split\n" : "case,patient,file,label,split\n");
    for (int i = 0; i < N; i++) {
        float x[PIXELS];
        char *path = fl_xasprintf("%s/i%d.png", dir, i);
        for (int p = 0; p < PIXELS; p++) {
            x[p] = (float)fl_rng_uniform(&rng);
        }
        check_ok(data_png_write(path, x, SIDE, SIDE, 1, 8, &err), err);
        fl_buf_printf(&text, "c%d,p%d,i%d.png,%s,test\n", i, i, i,
                      masks        ? "i0.png"
                      : i % 2 == 0 ? "0"
                                   : "1");
        free(path);
    }
    toy_file(dir, "manifest.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml", masks ? "task: segment\nclasses: {a: 0, b: 1}\n"
                                        : "task: classify\nclasses: {a: 0, b: 1, c: 2}\n");
    return toy_open(dir);
}

/* Means over places of the answers of case i: answer (L). */
static void answer_of(double *answer, size_t L, const task_model *m, const float *params,
                      const data_set *set, size_t i)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    const nn_graph *g = task_model_graph(m);
    const nn_shape *shape = nn_graph_shape(g, nn_graph_output_at(g, 0));
    size_t places = (size_t)nn_shape_count(shape, 1) / L;
    check_ok(nn_plan_new(&plan, g, &(nn_plan_config){.capacity = 1, .threads = 1}, &err), err);
    data_set_batch(set, &i, 1, nn_plan_input(plan, 0));
    nn_plan_forward(plan, params, 1);
    for (size_t k = 0; k < L; k++) {
        answer[k] = 0;
        for (size_t p = 0; p < places; p++) {
            answer[k] += (double)nn_plan_output(plan, 0)[k * places + p] / (double)places;
        }
    }
    nn_plan_destroy(&plan);
}

static void check_model(const data_set *set, const char *spec, size_t D)
{
    fl_err err = FL_ERR_INIT;
    task_model *m = toy_model(set, spec);
    float *params = toy_params(m, 1);
    size_t K = task_model_n_scores(m);
    bool of_pixels = data_set_spec(set)->task == DATA_SEGMENT;
    const size_t *index = data_set_split(set, DATA_TEST);
    task_features *f = NULL;
    check_ok(task_features_new(&f, m, params, 1, &err), err);
    check_int(task_features_n(f), D);
    double *feature = fl_xcalloc(N * D, sizeof *feature);
    double *score = of_pixels ? NULL : fl_xcalloc(N * K, sizeof *score);
    check_ok(task_features_run(f, feature, score, NULL, set, index, N, NULL, 0, &err), err);

    // The builders' last layer is the last of the table: weight (L, D) and bias (L).
    const nn_table *t = task_model_table(m);
    const nn_param *weight = nn_table_at(t, nn_table_n(t) - 2);
    const nn_param *bias = nn_table_at(t, nn_table_n(t) - 1);
    size_t L = (size_t)bias->count;
    check_int(weight->count, L * D);
    for (size_t i = 0; i < N; i++) {
        double answer[8];
        answer_of(answer, L, m, params, set, index[i]);
        for (size_t k = 0; k < L; k++) {
            double made = (double)params[bias->offset + (int64_t)k], size = 1;
            for (size_t d = 0; d < D; d++) {
                double w = (double)params[weight->offset + (int64_t)(k * D + d)];
                made += w * feature[i * D + d];
                size += fabs(w * feature[i * D + d]);
            }
            check_near(made, answer[k], 1e-5 * size);  // sums in float
        }
    }
    free(score);
    free(feature);
    task_features_destroy(&f);
    free(params);
    task_model_destroy(&m);
}

static void the_last_layer_makes_the_answer_of_the_features(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *set = make(dir, false);
    check_model(set, "{name: logistic}", PIXELS);  // the input itself
    check_model(set, "{name: mlp, hidden: [9, 5], dropout: 0.5}", 5);
    check_model(set, "{name: cnn, channels: [4, 6], fc: 11, dropout: 0.2}", 11);
    check_model(set, "{name: resnet18}", 512);
    check_model(set, "{name: densenet121}", 1024);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void maps_are_averaged_over_their_places(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *set = make(dir, true);
    check_model(set, "{name: unet, base: 4, depth: 2}", 4);
    check_model(set, "{name: attention_unet, base: 2, depth: 2, maps: true}", 2);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void they_are_found_in_networks_from_files(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int64_t D;  // 0: the answer is a sum of branches
    } files[] = {
        {"cnn_script9", 6},       {"cnn_dynamo18_folded", 6}, {"norms_script17", 4},
        {"encoder_script17", 8},  {"vit_dynamo18", 6},        {"vit_script17", 6},
        {"attention_script17", 8}, {"keras15", 36},            {"unet_dynamo18", 0},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fl_err err = FL_ERR_INIT;
        char *path = fl_xasprintf("tests/vectors/exports/%s.onnx", files[i].file);
        task_model *m = NULL;
        float *params = NULL;
        nn_value v;
        int axis;
        check_ok(task_model_read(&m, &params, NULL, path, &err), err);
        const nn_graph *g = task_model_graph(m);
        if (files[i].D == 0) {
            check_fails(task_features_find(&v, &axis, g, &err), FL_EUNSUPPORTED);
        } else {
            check_ok(task_features_find(&v, &axis, g, &err), err);
            check_int(nn_graph_shape(g, v)->dim[axis], files[i].D);
        }
        free(params);
        task_model_destroy(&m);
        free(path);
    }
}

static void branches_that_meet_behind_the_layers_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_value v;
    int axis;
    nn_graph *g = nn_graph_new("two");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 4}});
    nn_graph_output(g, "sum", nn_add(g, nn_gemm(g, "a", x, 2), nn_gemm(g, "b", x, 2)));
    check_ok(nn_graph_finish(g, &err), err);
    check_fails(task_features_find(&v, &axis, g, &err), FL_EUNSUPPORTED);
    check_has(err.text, "branches meet in");
    nn_graph_destroy(&g);
    g = nn_graph_new("none");
    x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 4}});
    nn_graph_output(g, "y", nn_relu(g, x));
    check_ok(nn_graph_finish(g, &err), err);
    check_fails(task_features_find(&v, &axis, g, &err), FL_EUNSUPPORTED);
    check_has(err.text, "no layer of weights");
    nn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_layer_makes_the_answer_of_the_features),
        cmocka_unit_test(maps_are_averaged_over_their_places),
        cmocka_unit_test(they_are_found_in_networks_from_files),
        cmocka_unit_test(branches_that_meet_behind_the_layers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
