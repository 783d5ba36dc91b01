/*
 * test_ops.c - gradients of every operator
 *
 * Each test builds a small graph around one operator and hands it to
 * grad_check.  A convolution or product in front makes the gradient by the
 * operator's input visible, in that layer's parameters.
 */
#include "check.h"
#include "grad_check.h"
#include "nn/ops.h"

/* fp32 against double; sums of some hundred products.  The project's promise
 * is 1e-3. */
static const grad_check_config usual = {.N = 3, .threads = 1, .tolerance = 1e-4};

static nn_value image(nn_graph *g, int64_t channels, int64_t size)
{
    return nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, channels, size, size}});
}

/* Checks the graph whose last value is y, and drops it. */
static void check_graph(nn_graph *g, nn_value y)
{
    fl_err err = FL_ERR_INIT;

    if (y >= 0 && nn_graph_shape(g, y)->rank != 2) {
        y = nn_flatten(g, y);
    }
    if (y >= 0) {
        nn_graph_output(g, "y", y);
    }
    check_ok(nn_graph_finish(g, &err), err);
    grad_check(g, &usual);
    nn_graph_destroy(&g);
}

static void gradients_of_a_small_network_are_right(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("example");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 8, 8}});
    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv", x, 5, 3, 1, 1)), 2, 2);
    nn_graph_output(g, "y", nn_gemm(g, "fc", nn_flatten(g, x), 3));
    fl_err err = FL_ERR_INIT;
    check_ok(nn_graph_finish(g, &err), err);
    grad_check(g, &usual);
    nn_graph_destroy(&g);
}

/* One convolution behind a 1x1 one; weight shape and attributes as given. */
static void check_conv(int64_t channels, int64_t size, const nn_shape *weight, const nn_attr *attrs,
                       size_t n_attrs, bool bias)
{
    nn_graph *g = nn_graph_new("conv");
    nn_value stem = nn_conv(g, "stem", image(g, 2, size), channels, 1, 1, 0);
    nn_value in[3] = {stem, nn_graph_param(g, "w", NN_WEIGHT, weight, NN_INIT_FAN_IN, 0), -1};

    if (bias) {
        in[2] = nn_graph_param(g, "b", NN_BIAS, &(nn_shape){1, {weight->dim[0]}}, NN_INIT_FAN_IN,
                               9);
    }
    check_graph(g, nn_graph_op(g, "Conv", "conv", in, 3, attrs, n_attrs));
}

static void conv_with_few_channels(void **state)
{
    (void)state;
    int64_t pads[] = {1, 1, 1, 1};
    check_conv(3, 7, &(nn_shape){4, {5, 3, 3, 3}}, (nn_attr[]){NN_INTS("pads", pads, 4)}, 1, true);
}

static void conv_with_sixteen_channels_as_winograd_takes_it(void **state)
{
    (void)state;
    int64_t pads[] = {1, 1, 1, 1};
    check_conv(16, 12, &(nn_shape){4, {32, 16, 3, 3}}, (nn_attr[]){NN_INTS("pads", pads, 4)}, 1,
               true);
}

static void conv_without_bias(void **state)
{
    (void)state;
    check_conv(4, 6, &(nn_shape){4, {3, 4, 3, 3}}, NULL, 0, false);
}

static void conv_with_strides_and_uneven_padding(void **state)
{
    (void)state;
    int64_t strides[] = {2, 3}, pads[] = {0, 1, 2, 1};
    nn_attr attrs[] = {NN_INTS("strides", strides, 2), NN_INTS("pads", pads, 4)};
    check_conv(3, 9, &(nn_shape){4, {4, 3, 3, 2}}, attrs, 2, true);
}

static void conv_with_dilation(void **state)
{
    (void)state;
    int64_t dilations[] = {2, 2}, pads[] = {2, 2, 2, 2};
    nn_attr attrs[] = {NN_INTS("dilations", dilations, 2), NN_INTS("pads", pads, 4)};
    check_conv(3, 9, &(nn_shape){4, {4, 3, 3, 3}}, attrs, 2, true);
}

static void conv_in_groups(void **state)
{
    (void)state;
    check_conv(6, 6, &(nn_shape){4, {4, 3, 3, 3}}, (nn_attr[]){NN_INT("group", 2)}, 1, true);
}

static void conv_of_each_channel_by_itself(void **state)
{
    (void)state;
    check_conv(6, 6, &(nn_shape){4, {6, 1, 3, 3}}, (nn_attr[]){NN_INT("group", 6)}, 1, true);
}

static void conv_with_auto_pad(void **state)
{
    (void)state;
    int64_t strides[] = {2, 2};
    nn_attr attrs[] = {{.name = "auto_pad", .kind = NN_ATTR_TEXT, .text = "SAME_LOWER"},
                       NN_INTS("strides", strides, 2)};
    check_conv(3, 7, &(nn_shape){4, {4, 3, 4, 4}}, attrs, 2, true);
}

static void conv_of_signals_and_volumes(void **state)
{
    (void)state;
    for (int rank = 3; rank <= 5; rank += 2) {
        nn_graph *g = nn_graph_new("conv");
        nn_value x = nn_graph_input(g, "x", &(nn_shape){rank, {NN_BATCH, 2, 5, 5, 5}});
        x = nn_relu(g, nn_conv(g, "c1", x, 3, 3, 1, 1));
        check_graph(g, nn_conv(g, "c2", x, 2, 2, 2, 0));
    }
}

/* A pool behind a convolution, with and without ReLU in between. */
static void check_pool(const char *op, int64_t size, const nn_attr *attrs, size_t n_attrs)
{
    for (int relu = 0; relu < 2; relu++) {
        nn_graph *g = nn_graph_new("pool");
        nn_value x = nn_conv(g, "stem", image(g, 2, size), 5, 3, 1, 1);
        x = relu ? nn_relu(g, x) : x;
        check_graph(g, nn_graph_op(g, op, "pool", &x, 1, attrs, n_attrs));
    }
}

static void max_pool(void **state)
{
    (void)state;
    int64_t kernel[] = {2, 2}, strides[] = {2, 2};
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernel, 2), NN_INTS("strides", strides, 2)};
    check_pool("MaxPool", 6, attrs, 2);
    check_pool("MaxPool", 7, attrs, 2);  // the last row and column are seen by no window
}

static void max_pool_with_overlap_padding_and_ceil(void **state)
{
    (void)state;
    int64_t kernel[] = {3, 3}, strides[] = {2, 2}, pads[] = {1, 1, 1, 1};
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernel, 2), NN_INTS("strides", strides, 2),
                       NN_INTS("pads", pads, 4), NN_INT("ceil_mode", 1)};
    check_pool("MaxPool", 8, attrs, 3);
    check_pool("MaxPool", 8, attrs, 4);
}

static void average_pool(void **state)
{
    (void)state;
    int64_t kernel[] = {3, 2}, strides[] = {2, 1}, pads[] = {1, 0, 1, 1};
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernel, 2), NN_INTS("strides", strides, 2),
                       NN_INTS("pads", pads, 4), NN_INT("count_include_pad", 1)};
    check_pool("AveragePool", 7, attrs, 3);
    check_pool("AveragePool", 7, attrs, 4);
}

static void global_average_pool(void **state)
{
    (void)state;
    check_pool("GlobalAveragePool", 5, NULL, 0);
}

static void gemm_of_any_size(void **state)
{
    (void)state;
    /* The first is done by our loops, the second by oneDNN. */
    int64_t widths[] = {7, 300};
    for (size_t i = 0; i < 2; i++) {
        nn_graph *g = nn_graph_new("gemm");
        nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 5}});
        x = nn_relu(g, nn_gemm(g, "fc1", x, widths[i]));
        x = nn_gemm(g, "fc2", x, widths[i] + 1);
        check_graph(g, nn_gemm(g, "fc3", x, 2));
    }
}

static void matmul_and_untransposed_gemm(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("matmul");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 5}});
    nn_value a = nn_graph_param(g, "a", NN_WEIGHT, &(nn_shape){2, {5, 6}}, NN_INIT_FAN_IN, 5);
    nn_value b = nn_graph_param(g, "b", NN_WEIGHT, &(nn_shape){2, {6, 4}}, NN_INIT_FAN_IN, 6);
    nn_value c = nn_graph_param(g, "c", NN_BIAS, &(nn_shape){1, {4}}, NN_INIT_FAN_IN, 6);
    x = nn_graph_op(g, "MatMul", NULL, (nn_value[]){x, a}, 2, NULL, 0);
    check_graph(g, nn_graph_op(g, "Gemm", NULL, (nn_value[]){x, b, c}, 3, NULL, 0));
}

static void relu_and_sigmoid_wherever_they_stand(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("maps");
    nn_value x = nn_conv(g, "c1", image(g, 1, 6), 3, 3, 1, 1);
    nn_value y = nn_relu(g, x);  // not fused: x has two readers
    nn_value z = nn_graph_op(g, "Sigmoid", NULL, &x, 1, NULL, 0);
    check_graph(g, nn_conv(g, "c2", nn_add(g, y, z), 2, 3, 1, 0));
}

static void softmax(void **state)
{
    (void)state;
    for (int64_t axis = -1; axis <= 1; axis += 2) {
        nn_graph *g = nn_graph_new("softmax");
        nn_value x = nn_conv(g, "c1", image(g, 1, 4), 5, 3, 1, 1);
        check_graph(g,
                    nn_graph_op(g, "Softmax", NULL, &x, 1, (nn_attr[]){NN_INT("axis", axis)}, 1));
    }
}

static void add_of_branches(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("residual");
    nn_value x = nn_relu(g, nn_conv(g, "c1", image(g, 1, 6), 4, 3, 1, 1));
    nn_value y = nn_relu(g, nn_add(g, x, nn_conv(g, "c2", x, 4, 3, 1, 1)));
    y = nn_add(g, y, nn_conv(g, "c3", y, 4, 3, 1, 1));
    check_graph(g, nn_add(g, y, y));
}

static void add_with_broadcasting(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("bias");
    nn_value x = nn_conv(g, "c1", image(g, 1, 5), 4, 3, 1, 1);
    nn_value b = nn_graph_param(g, "b", NN_BIAS, &(nn_shape){3, {4, 1, 1}}, NN_INIT_FAN_IN, 4);
    nn_value pooled = nn_global_average_pool(g, x);
    x = nn_graph_op(g, "Add", NULL, (nn_value[]){b, x}, 2, NULL, 0);
    x = nn_add(g, x, nn_graph_param(g, "s", NN_BIAS, &(nn_shape){0, {0}}, NN_INIT_ONE, 0));
    check_graph(g, nn_add(g, x, pooled));
}

static void a_parameter_that_is_used_twice(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("tied");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 5}});
    nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){2, {5, 5}}, NN_INIT_FAN_IN, 5);
    nn_attr attrs[] = {NN_INT("transB", 1)};
    x = nn_relu(g, nn_graph_op(g, "Gemm", NULL, (nn_value[]){x, w}, 2, attrs, 1));
    check_graph(g, nn_graph_op(g, "Gemm", NULL, (nn_value[]){x, w}, 2, attrs, 1));
}

static void a_parameter_in_the_place_of_an_activation(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("query");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 5}});
    nn_value q = nn_graph_param(g, "q", NN_WEIGHT, &(nn_shape){2, {1, 6}}, NN_INIT_FAN_IN, 6);
    nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){2, {6, 4}}, NN_INIT_FAN_IN, 6);
    q = nn_graph_op(g, "Sigmoid", NULL, &q, 1, NULL, 0);
    q = nn_graph_op(g, "MatMul", NULL, (nn_value[]){q, w}, 2, NULL, 0);
    check_graph(g, nn_add(g, nn_gemm(g, "fc", x, 4), q));
}

static void a_statistic_in_the_place_of_a_bias_gets_no_gradient(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("stat");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 40}});
    for (int i = 0; i < 2; i++) {  // small and large products
        nn_value w = nn_graph_param(g, i ? "w1" : "w0", NN_WEIGHT,
                                    &(nn_shape){2, {i ? 3 : 400, i ? 400 : 40}}, NN_INIT_FAN_IN, 0);
        nn_value s = nn_graph_param(g, i ? "s1" : "s0", NN_STAT, &(nn_shape){1, {i ? 3 : 400}},
                                    NN_INIT_ONE, 0);
        x = nn_graph_op(g, "Gemm", NULL, (nn_value[]){x, w, s}, 3, (nn_attr[]){NN_INT("transB", 1)},
                        1);
    }
    check_graph(g, x);
}

static void batch_norm(void **state)
{
    (void)state;
    int64_t channels[] = {5, 16};
    for (size_t i = 0; i < 2; i++) {
        for (int relu = 0; relu < 2; relu++) {
            nn_graph *g = nn_graph_new("norm");
            nn_value x = nn_conv(g, "c1", image(g, 2, 6), channels[i], 3, 1, 1);
            x = nn_batch_norm(g, "bn1", x);
            x = nn_max_pool(g, relu ? nn_relu(g, x) : x, 2, 2);
            check_graph(g, nn_conv(g, "c2", x, 2, 3, 1, 0));
        }
    }
}

static void batch_norm_of_tables_and_of_the_input(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("norm");
    nn_value x = nn_batch_norm(g, "bn1", nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 4}}));
    x = nn_batch_norm(g, "bn2", nn_gemm(g, "fc1", x, 6));
    check_graph(g, nn_gemm(g, "fc2", nn_relu(g, x), 2));
    g = nn_graph_new("norm");
    x = nn_batch_norm(g, "bn1", image(g, 3, 5));
    check_graph(g, nn_conv(g, "c1", x, 2, 3, 1, 0));
}

static void dropout(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("dropout");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 5}});
    x = nn_dropout(g, nn_relu(g, nn_gemm(g, "fc1", x, 20)), 0.4);
    check_graph(g, nn_gemm(g, "fc2", x, 3));
}

static void flatten_reshape_and_identity(void **state)
{
    (void)state;
    int64_t shape[] = {0, 3, -1, 2};
    nn_graph *g = nn_graph_new("shapes");
    nn_value x = nn_conv(g, "c1", image(g, 1, 6), 4, 3, 1, 1);
    x = nn_graph_op(g, "Identity", NULL, &x, 1, NULL, 0);
    x = nn_graph_op(g, "Reshape", NULL, &x, 1, (nn_attr[]){NN_INTS("shape", shape, 4)}, 1);
    x = nn_conv(g, "c2", x, 4, 2, 1, 0);
    check_graph(g, nn_gemm(g, "fc", nn_flatten(g, x), 3));
}

static void two_threads_find_the_same_gradients(void **state)
{
    (void)state;
    grad_check_config cfg = usual;
    cfg.threads = 2;
    cfg.N = 5;
    nn_graph *g = nn_graph_new("threads");
    nn_value x = nn_max_pool(g, nn_relu(g, nn_conv(g, "c1", image(g, 1, 12), 16, 3, 1, 1)), 2, 2);
    x = nn_relu(g, nn_batch_norm(g, "bn", nn_conv(g, "c2", x, 32, 3, 1, 1)));
    nn_graph_output(g, "y", nn_gemm(g, "fc", nn_flatten(g, x), 3));
    fl_err err = FL_ERR_INIT;
    check_ok(nn_graph_finish(g, &err), err);
    grad_check(g, &cfg);
    nn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_small_network_are_right),
        cmocka_unit_test(conv_with_few_channels),
        cmocka_unit_test(conv_with_sixteen_channels_as_winograd_takes_it),
        cmocka_unit_test(conv_without_bias),
        cmocka_unit_test(conv_with_strides_and_uneven_padding),
        cmocka_unit_test(conv_with_dilation),
        cmocka_unit_test(conv_in_groups),
        cmocka_unit_test(conv_of_each_channel_by_itself),
        cmocka_unit_test(conv_with_auto_pad),
        cmocka_unit_test(conv_of_signals_and_volumes),
        cmocka_unit_test(max_pool),
        cmocka_unit_test(max_pool_with_overlap_padding_and_ceil),
        cmocka_unit_test(average_pool),
        cmocka_unit_test(global_average_pool),
        cmocka_unit_test(gemm_of_any_size),
        cmocka_unit_test(matmul_and_untransposed_gemm),
        cmocka_unit_test(relu_and_sigmoid_wherever_they_stand),
        cmocka_unit_test(softmax),
        cmocka_unit_test(add_of_branches),
        cmocka_unit_test(add_with_broadcasting),
        cmocka_unit_test(a_parameter_that_is_used_twice),
        cmocka_unit_test(a_parameter_in_the_place_of_an_activation),
        cmocka_unit_test(a_statistic_in_the_place_of_a_bias_gets_no_gradient),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(batch_norm_of_tables_and_of_the_input),
        cmocka_unit_test(dropout),
        cmocka_unit_test(flatten_reshape_and_identity),
        cmocka_unit_test(two_threads_find_the_same_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
