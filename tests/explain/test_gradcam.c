/*
 * test_gradcam.c - Grad-CAM against PyTorch's gradients (tests/vectors/explain_gradcam.py)
 */
#include "explain/gradcam.h"

#include "base/json.h"
#include "check.h"

enum { SIDE = 12 };

static const nn_shape image = {4, {NN_BATCH, 1, SIDE, SIDE}};

static nn_graph *finished(nn_graph *g, nn_value logits)
{
    fl_err err = FL_ERR_INIT;
    nn_graph_output(g, "logits", logits);
    check_ok(nn_graph_finish(g, &err), err);
    return g;
}

static nn_graph *plain(void)
{
    nn_graph *g = nn_graph_new("plain");
    nn_value x = nn_graph_input(g, "image", &image);
    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv1", x, 4, 3, 1, 1)), 2, 2);
    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv2", x, 5, 3, 1, 1)), 2, 2);
    x = nn_dropout(g, nn_relu(g, nn_gemm(g, "fc1", nn_flatten(g, x), 6)), 0.5);
    return finished(g, nn_gemm(g, "fc2", x, 2));
}

static nn_graph *residual(void)
{
    nn_graph *g = nn_graph_new("residual");
    nn_value x = nn_graph_input(g, "image", &image);
    nn_value a = nn_relu(g, nn_conv(g, "conv1", x, 4, 3, 1, 1));
    nn_value b = nn_batch_norm(g, "bn2", nn_conv(g, "conv2", a, 4, 3, 1, 1));
    x = nn_global_average_pool(g, nn_relu(g, nn_add(g, b, a)));
    return finished(g, nn_gemm(g, "fc", nn_flatten(g, x), 2));
}

static nn_graph *volume(void)
{
    nn_graph *g = nn_graph_new("volume");
    nn_value x = nn_graph_input(g, "image", &(nn_shape){5, {NN_BATCH, 1, 4, 6, 6}});
    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv1", x, 3, 3, 1, 1)), 2, 2);
    x = nn_relu(g, nn_conv(g, "conv2", x, 4, 3, 1, 1));
    return finished(g, nn_gemm(g, "fc", nn_flatten(g, nn_global_average_pool(g, x)), 2));
}

/* An answer a pixel, and a skip around the bottom. */
static nn_graph *skipping(void)
{
    static const int64_t two[] = {2, 2};
    nn_graph *g = nn_graph_new("skip");
    nn_value x = nn_graph_input(g, "image", &image);
    nn_value a = nn_relu(g, nn_batch_norm(g, "bn1", nn_conv(g, "conv1", x, 3, 3, 1, 1)));
    nn_value d = nn_conv(g, "conv2", nn_max_pool(g, a, 2, 2), 5, 3, 1, 1);
    d = nn_relu(g, nn_batch_norm(g, "bn2", d));
    nn_value up[] = {d,
                     nn_graph_param(g, "up.weight", NN_WEIGHT, &(nn_shape){4, {5, 3, 2, 2}},
                                    NN_INIT_ZERO, 0),
                     nn_graph_param(g, "up.bias", NN_BIAS, &(nn_shape){1, {3}}, NN_INIT_ZERO, 0)};
    d = nn_graph_op(g, "ConvTranspose", "up", up, 3,
                    (nn_attr[]){NN_INTS("kernel_shape", two, 2), NN_INTS("strides", two, 2)}, 2);
    x = nn_graph_op(g, "Concat", NULL, (nn_value[]){a, d}, 2, (nn_attr[]){NN_INT("axis", 1)}, 1);
    x = nn_relu(g, nn_batch_norm(g, "bn3", nn_conv(g, "conv3", x, 4, 3, 1, 1)));
    return finished(g, nn_conv(g, "conv4", x, 2, 1, 1, 0));
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static void compare(const char *name, nn_graph *g)
{
    fl_err err = FL_ERR_INIT;
    json_t *all = NULL;
    float x[SIDE * SIDE];
    bool asked[SIDE * SIDE];
    check_ok(fl_json_read(&all, "tests/vectors/explain_gradcam.json", 1 << 20, &err), err);
    const json_t *v = json_object_get(all, name), *called = json_object_get(v, "called");
    const nn_table *table = nn_graph_table(g);
    float *params = fl_xcalloc((size_t)nn_table_count(table), sizeof *params);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        const json_t *list = json_object_get(json_object_get(v, "params"), p->name);
        check_int(json_array_size(list), p->count);
        for (int64_t k = 0; k < p->count; k++) {
            params[p->offset + k] = (float)number(list, (size_t)k);
        }
    }
    check_int(json_array_size(json_object_get(v, "x")), SIDE * SIDE);
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        x[i] = (float)number(json_object_get(v, "x"), i);
    }
    for (int64_t k = 0; k < 2; k++) {
        explain_cam cam;
        const json_t *wanted = json_array_get(json_object_get(v, "cam"), (size_t)k);
        for (size_t i = 0; i < SIDE * SIDE; i++) {
            asked[i] = json_integer_value(json_array_get(called, i)) == k;
        }
        check_ok(called == NULL ? explain_gradcam(&cam, g, params, x, k, 1, &err)
                                : explain_seg_gradcam(&cam, g, params, x, k, 1, asked, &err),
                 err);
        check_int(cam.frames * cam.rows * cam.cols, json_array_size(wanted));
        for (int64_t i = 0; i < cam.frames * cam.rows * cam.cols; i++) {
            check_near((double)cam.map[i], number(wanted, (size_t)i), 2e-5);  // float sums
        }
        free(cam.map);
    }
    if (called != NULL) {  // of no pixel there is nothing to say
        explain_cam cam;
        memset(asked, 0, sizeof asked);
        check_ok(explain_seg_gradcam(&cam, g, params, x, 1, 1, asked, &err), err);
        for (int64_t i = 0; i < cam.rows * cam.cols; i++) {
            check(cam.map[i] == 0);
        }
        free(cam.map);
    }
    free(params);
    json_decref(all);
    nn_graph_destroy(&g);
}

static void maps_equal_pytorchs(void **state)
{
    (void)state;
    compare("plain", plain());
    compare("residual", residual());
    compare("volume", volume());  // 4 x 6 x 6: as many numbers as the others' inputs
    compare("skip", skipping());
}

static void a_model_without_such_maps_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    explain_cam cam;
    float x[SIDE * SIDE] = {0};
    nn_graph *g = nn_graph_new("mlp");
    nn_value v = nn_graph_input(g, "image", &image);
    finished(g, nn_gemm(g, "fc", nn_flatten(g, v), 2));
    float *params = fl_xcalloc((size_t)nn_table_count(nn_graph_table(g)), sizeof *params);
    check_fails(explain_gradcam(&cam, g, params, x, 0, 1, &err), FL_EUNSUPPORTED);
    check_has(err.text, "no convolution of images");
    check(cam.map == NULL);
    free(params);
    nn_graph_destroy(&g);

    // What is beside the maps would not be explained by them.
    g = nn_graph_new("beside");
    v = nn_graph_input(g, "image", &image);
    nn_value a = nn_gemm(g, "fc1", nn_flatten(g, nn_relu(g, nn_conv(g, "conv1", v, 2, 3, 1, 1))), 2);
    finished(g, nn_add(g, a, nn_gemm(g, "fc2", nn_flatten(g, v), 2)));
    params = fl_xcalloc((size_t)nn_table_count(nn_graph_table(g)), sizeof *params);
    check_fails(explain_gradcam(&cam, g, params, x, 0, 1, &err), FL_EUNSUPPORTED);
    check_has(err.text, "ways around");
    free(params);
    nn_graph_destroy(&g);
}

static void a_map_is_stretched_linearly(void **state)
{
    (void)state;
    float map[4] = {0, 1, 0, 1}, out[16];
    explain_cam cam = {1, 2, 2, map};
    explain_cam_resize(out, 1, 4, 4, &cam);
    static const double row[4] = {0, 0.25, 0.75, 1};
    for (int i = 0; i < 16; i++) {
        check_near((double)out[i], row[i % 4], 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_equal_pytorchs),
        cmocka_unit_test(a_model_without_such_maps_is_refused),
        cmocka_unit_test(a_map_is_stretched_linearly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
