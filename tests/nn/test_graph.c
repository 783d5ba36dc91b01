/*
 * test_graph.c - building graphs, and what is refused while building
 */
#include "check.h"
#include "nn/graph.h"
#include "nn/ops.h"

static nn_value table_input(nn_graph *g, int64_t features)
{
    return nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, features}});
}

static nn_value image_input(nn_graph *g, int64_t channels, int64_t size)
{
    return nn_graph_input(g, "image", &(nn_shape){4, {NN_BATCH, channels, size, size}});
}

static void a_graph_knows_its_shapes_and_parameters(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("example");
    nn_value x = image_input(g, 1, 28);
    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv1", x, 16, 3, 1, 1)), 2, 2);
    x = nn_gemm(g, "fc", nn_flatten(g, x), 2);
    nn_graph_output(g, "logits", x);
    check_ok(nn_graph_finish(g, &err), err);

    const nn_table *table = nn_graph_table(g);
    check_int(nn_table_n(table), 4);
    check_str(nn_table_at(table, 0)->name, "conv1.weight");
    check_int(nn_table_find(table, "fc.weight")->shape.dim[1], 16 * 14 * 14);
    check_int(nn_table_count(table), 16 * 9 + 16 + 2 * 16 * 14 * 14 + 2);
    check(nn_shape_equal(nn_graph_shape(g, x), &(nn_shape){2, {NN_BATCH, 2}}));
    check_str(nn_graph_value_name(g, x), "logits");
    check_int(nn_graph_n_nodes(g), 5);
    check_int(nn_graph_macs(g), 16 * 9 * 28 * 28 + 2 * 16 * 14 * 14);
    nn_graph_destroy(&g);
    nn_graph_destroy(&g);  // fine when called twice
}

static void what_no_output_needs_is_dropped(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("dropped");
    nn_value x = table_input(g, 3);
    nn_gemm(g, "unused", x, 7);
    nn_graph_output(g, "y", nn_gemm(g, "fc", x, 2));
    check_ok(nn_graph_finish(g, &err), err);
    check_int(nn_graph_n_nodes(g), 1);
    check_int(nn_table_n(nn_graph_table(g)), 2);
    nn_graph_destroy(&g);
}

/* Finishes g, which holds a mistake, and compares the sentence. */
static void check_mistake(nn_graph *g, fl_status wanted, const char *part)
{
    fl_err err = FL_ERR_INIT;

    check_fails(nn_graph_finish(g, &err), wanted);
    check_has(err.text, part);
    nn_graph_destroy(&g);
}

static void the_first_mistake_comes_out_of_finish(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("m");
    nn_value x = nn_graph_op(g, "Sine", "s", (nn_value[]){table_input(g, 3)}, 1, NULL, 0);
    check_int(x, -1);
    nn_graph_output(g, "y", nn_gemm(g, "fc", x, 2));  // nothing happens any more
    check_mistake(g, FL_EUNSUPPORTED, "node s: operator Sine is not supported; supported are Conv");
}

static void shapes_that_do_not_fit_are_named(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("m");
    nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){2, {4, 5}}, NN_INIT_ZERO, 0);
    nn_graph_op(g, "Gemm", "fc", (nn_value[]){table_input(g, 3), w}, 2,
                (nn_attr[]){NN_INT("transB", 1)}, 1);
    check_mistake(g, FL_ECONFIG, "node fc (Gemm): cannot multiply Nx3 by 4x5 transposed");

    g = nn_graph_new("m");
    nn_max_pool(g, image_input(g, 1, 4), 5, 1);
    check_mistake(g, FL_ECONFIG, "a window of 5 does not fit into 4");

    g = nn_graph_new("m");
    nn_value a = nn_conv(g, "a", image_input(g, 1, 4), 3, 1, 1, 0);
    nn_add(g, a, nn_conv(g, "b", a, 2, 1, 1, 0));
    check_mistake(g, FL_ECONFIG, "shapes Nx3x4x4 and Nx2x4x4 do not fit together");
}

static void attributes_and_names_are_checked(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("m");
    nn_value x = table_input(g, 3);
    nn_graph_op(g, "Relu", "r", &x, 1, (nn_attr[]){NN_INT("slope", 1)}, 1);
    check_mistake(g, FL_EUNSUPPORTED, "attribute slope is not supported");

    g = nn_graph_new("m");
    x = nn_gemm(g, "fc", table_input(g, 3), 3);
    nn_graph_output(g, "y", nn_gemm(g, "fc", x, 3));
    check_mistake(g, FL_ECONFLICT, "two parameters are called fc.weight");

    g = nn_graph_new("m");
    x = nn_dropout(g, table_input(g, 3), 1.0);
    check_mistake(g, FL_ECONFIG, "dropout rate");

    g = nn_graph_new("m");
    nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 0}});
    check_mistake(g, FL_ECONFIG, "input x: every dimension must be at least 1");
}

static void sizes_that_would_overflow_are_refused(void **state)
{
    (void)state;
    int64_t huge = INT64_C(1) << 40;
    nn_graph *g = nn_graph_new("m");
    nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 1, huge, huge}});
    check_mistake(g, FL_ECONFIG, "input x");

    g = nn_graph_new("m");
    nn_gemm(g, "fc", table_input(g, 1 << 20), 1 << 20);
    check_mistake(g, FL_ECONFIG, "parameter fc.weight");
}

static void first_values_depend_on_seed_and_name_only(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    float a[12], b[12], c[12];
    for (int order = 0; order < 2; order++) {
        nn_graph *g = nn_graph_new("m");
        nn_value x = table_input(g, 2);
        nn_value y = nn_gemm(g, order ? "q" : "p", x, 2), z = nn_gemm(g, order ? "p" : "q", x, 2);
        nn_graph_output(g, "sum", nn_add(g, y, z));
        check_ok(nn_graph_finish(g, &err), err);
        nn_graph_init(g, order ? b : a, 5);
        nn_graph_init(g, c, 6);
        nn_graph_destroy(&g);
    }
    check_bytes(a, b + 6, 6 * sizeof *a);  // p's numbers
    check_bytes(a + 6, b, 6 * sizeof *a);  // q's
    check(memcmp(b, c, sizeof b) != 0);
    for (int i = 0; i < 12; i++) {
        check(fabsf(a[i]) <= (float)sqrt(0.5));  // 1 / sqrt(fan in), biases too
    }
}

static void initial_spread_follows_the_fan(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("m");
    nn_value x = table_input(g, 100);
    nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){2, {400, 100}}, NN_INIT_HE_NORMAL,
                                0);
    nn_value u = nn_graph_param(g, "u", NN_WEIGHT, &(nn_shape){2, {400, 100}}, NN_INIT_HE_FAN_OUT,
                                0);
    nn_attr attr = NN_INT("transB", 1);
    nn_graph_output(g, "y", nn_graph_op(g, "Gemm", NULL, (nn_value[]){x, w}, 2, &attr, 1));
    nn_graph_output(g, "z", nn_graph_op(g, "Gemm", NULL, (nn_value[]){x, u}, 2, &attr, 1));
    check_ok(nn_graph_finish(g, &err), err);
    nn_params p;
    check_ok(nn_params_init(&p, nn_graph_table(g), &err), err);
    nn_graph_init(g, p.data, 1);
    /* 40,000 numbers each: the deviation is known to 0.4 %. */
    check_near(nn_vec_norm(p.data, 40000) / 200, sqrt(2.0 / 100), 0.002);
    check_near(nn_vec_norm(p.data + 40000, 40000) / 200, sqrt(2.0 / 400), 0.001);
    nn_params_clear(&p);
    nn_graph_destroy(&g);
}

static void windows_are_placed_as_onnx_says(void **state)
{
    (void)state;
    struct {
        int64_t x, kernel, stride, pad, out, out_ceil;
    } cases[] = {{28, 2, 2, 0, 14, 14},
                 {7, 2, 2, 0, 3, 4},
                 {8, 3, 2, 1, 4, 5},
                 {5, 3, 3, 1, 2, 2},
                 {6, 2, 3, 0, 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t pads[] = {cases[i].pad, cases[i].pad};
        for (int ceil_mode = 0; ceil_mode < 2; ceil_mode++) {
            fl_err err = FL_ERR_INIT;
            nn_window w;
            nn_attr attrs[] = {NN_INTS("kernel_shape", &cases[i].kernel, 1),
                               NN_INTS("strides", &cases[i].stride, 1), NN_INTS("pads", pads, 2),
                               NN_INT("ceil_mode", ceil_mode)};
            nn_node node = {.op = "MaxPool", .name = "p", .attrs = attrs, .n_attrs = 4};
            check_ok(
                nn_window_read(&w, &node, &(nn_shape){3, {NN_BATCH, 1, cases[i].x}}, NULL, &err),
                err);
            check_int(w.out[0], ceil_mode ? cases[i].out_ceil : cases[i].out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graph_knows_its_shapes_and_parameters),
        cmocka_unit_test(what_no_output_needs_is_dropped),
        cmocka_unit_test(the_first_mistake_comes_out_of_finish),
        cmocka_unit_test(shapes_that_do_not_fit_are_named),
        cmocka_unit_test(attributes_and_names_are_checked),
        cmocka_unit_test(sizes_that_would_overflow_are_refused),
        cmocka_unit_test(first_values_depend_on_seed_and_name_only),
        cmocka_unit_test(initial_spread_follows_the_fan),
        cmocka_unit_test(windows_are_placed_as_onnx_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
