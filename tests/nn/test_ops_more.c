/*
 * test_ops_more.c - gradients of the operators between convolutions
 *
 * As in test_ops.c: a layer in front makes the gradient by the operator's
 * input visible, and grad_check compares plan, definition and differences.
 */
#include "check.h"
#include "grad_check.h"
#include "nn/ops.h"
#include "nn/plan.h"

static const grad_check_config usual = {.N = 3, .threads = 1, .tolerance = 1e-4};

/* (N, 4, 5, 5) behind a convolution. */
static nn_value stem(nn_graph *g)
{
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 5, 5}});

    return nn_conv(g, "stem", x, 4, 3, 1, 1);
}

static nn_value op(nn_graph *g, const char *name, nn_value x, const nn_attr *attrs, size_t n)
{
    return nn_graph_op(g, name, NULL, &x, 1, attrs, n);
}

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

/* One operator behind the stem; what follows is a convolution where the
 * result still has four dimensions. */
static void check_one(const char *name, const nn_attr *attrs, size_t n)
{
    nn_graph *g = nn_graph_new(name);
    nn_value y = op(g, name, stem(g), attrs, n);

    if (y >= 0 && nn_graph_shape(g, y)->rank == 4) {
        y = nn_conv(g, "behind", y, 3, 1, 1, 0);
    }
    check_graph(g, y);
}

static void functions_of_a_number(void **state)
{
    (void)state;
    static const char *const names[] = {"Abs",  "Neg",       "Exp",         "Tanh",     "Erf",
                                        "Elu",  "Selu",      "Softplus",    "Softsign", "Gelu",
                                        "Clip", "LeakyRelu", "HardSigmoid", "HardSwish"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_one(names[i], NULL, 0);
    }
    check_one("Clip", (nn_attr[]){NN_FLOAT("min", -0.3), NN_FLOAT("max", 0.4)}, 2);
    check_one("LeakyRelu", (nn_attr[]){NN_FLOAT("alpha", 0.2)}, 1);
    check_one("Gelu", (nn_attr[]){NN_TEXT("approximate", "tanh")}, 1);
}

static void functions_of_a_positive_number(void **state)
{
    (void)state;
    static const char *const names[] = {"Sqrt", "Log", "Reciprocal"};
    for (size_t i = 0; i < 3; i++) {
        nn_graph *g = nn_graph_new(names[i]);
        nn_value x = op(g, "Softplus", stem(g), NULL, 0);
        check_graph(g, op(g, names[i], x, NULL, 0));
    }
}

static void a_function_of_blocked_channels_and_of_a_parameter(void **state)
{
    (void)state;
    for (int64_t channels = 5; channels <= 16; channels += 11) {  // with padding, without
        nn_graph *g = nn_graph_new("blocked");
        nn_value x = nn_conv(g, "wide", stem(g), channels, 3, 1, 1);
        x = nn_conv(g, "c2", op(g, "Exp", x, NULL, 0), channels, 3, 1, 1);
        nn_value p = nn_graph_param(g, "p", NN_WEIGHT, &(nn_shape){3, {channels, 1, 1}},
                                    NN_INIT_FAN_IN, 0);
        x = nn_graph_op(g, "Mul", NULL, (nn_value[]){x, op(g, "Tanh", p, NULL, 0)}, 2, NULL, 0);
        check_graph(g, nn_conv(g, "c3", x, 2, 3, 1, 0));
    }
}

/* a and b of all sorts of shapes, also each repeated along the other. */
static void pairs_with_broadcasting(void **state)
{
    (void)state;
    static const char *const names[] = {"Sub", "Mul", "Div", "Pow", "Min", "Max", "Add"};
    static const nn_shape shapes[] = {
        {3, {4, 1, 1}}, {0, {0}}, {1, {5}}, {4, {1, 4, 5, 5}}, {3, {4, 5, 1}}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            for (int swapped = 0; swapped < 2; swapped++) {
                nn_graph *g = nn_graph_new(names[i]);
                nn_value x = op(g, "Softplus", stem(g), NULL, 0);  // above 0
                nn_value p = nn_graph_param(g, "p", NN_WEIGHT, &shapes[k], NN_INIT_FAN_IN, 1);
                p = op(g, "Exp", p, NULL, 0);
                nn_value in[] = {swapped ? p : x, swapped ? x : p};
                check_graph(g, nn_graph_op(g, names[i], NULL, in, 2, NULL, 0));
            }
        }
        nn_graph *g = nn_graph_new(names[i]);
        nn_value x = op(g, "Softplus", stem(g), NULL, 0);
        nn_attr rows[] = {NN_INTS("axes", (const int64_t[]){2}, 1)};
        nn_attr columns[] = {NN_INTS("axes", (const int64_t[]){3}, 1)};
        nn_value in[] = {op(g, "ReduceMean", x, rows, 1), op(g, "ReduceMean", x, columns, 1)};
        check_graph(g, nn_graph_op(g, names[i], NULL, in, 2, NULL, 0));
    }
}

static void slopes_of_a_prelu_are_learned(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 4; n += 3) {
        nn_graph *g = nn_graph_new("prelu");
        nn_value p = nn_graph_param(g, "slope", NN_WEIGHT, &(nn_shape){3, {n, 1, 1}},
                                    NN_INIT_FAN_IN, 4);
        check_graph(g, nn_graph_op(g, "PRelu", NULL, (nn_value[]){stem(g), p}, 2, NULL, 0));
    }
}

#define LIST(key, ...)                             \
    NN_INTS(key, ((const int64_t[]){__VA_ARGS__}), \
            sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void numbers_are_moved(void **state)
{
    (void)state;
    check_one("Transpose", (nn_attr[]){LIST("perm", 0, 2, 3, 1)}, 1);
    check_one("Slice",
              (nn_attr[]){LIST("starts", 1, -2), LIST("ends", 3, -9), LIST("axes", 1, 3),
                          LIST("steps", 1, -2)},
              4);
    check_one("Slice", (nn_attr[]){LIST("starts", 0, 1), LIST("ends", INT64_MAX, INT64_MAX)}, 2);
    static const char *const modes[] = {"constant", "edge", "reflect"};
    for (int mode = 0; mode < 3; mode++) {
        nn_attr pad[] = {LIST("pads", 0, 0, 1, 2, 0, 0, 2, 0), NN_TEXT("mode", modes[mode]),
                         NN_FLOAT("value", 0.5)};
        check_one("Pad", pad, 3);
    }
    check_one("Pad", (nn_attr[]){LIST("pads", 0, 0, -1, 1, 0, 0, 0, -2)}, 1);
    check_one("Tile", (nn_attr[]){LIST("repeats", 1, 2, 1, 3)}, 1);
    check_one("Gather", (nn_attr[]){LIST("indices", 3, 0, -1, 3), NN_INT("axis", 1)}, 2);
    check_one("Gather", (nn_attr[]){NN_INT("indices", -2), NN_INT("axis", 2)}, 2);
    nn_graph *g = nn_graph_new("expand");
    nn_value x = nn_global_average_pool(g, stem(g));
    check_graph(g, op(g, "Expand", x, (nn_attr[]){LIST("shape", 1, 4, 2, 3)}, 1));
}

static void dimensions_of_one_come_and_go(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("squeeze");
    nn_value x = nn_global_average_pool(g, stem(g));
    x = op(g, "Squeeze", x, (nn_attr[]){LIST("axes", 2, -1)}, 1);
    x = op(g, "Unsqueeze", nn_gemm(g, "fc", x, 3), (nn_attr[]){LIST("axes", -1, 1)}, 1);
    check_graph(g, op(g, "Squeeze", op(g, "Cast", x, (nn_attr[]){NN_INT("to", 1)}, 1), NULL, 0));
}

static void tensors_are_joined(void **state)
{
    (void)state;
    for (int64_t axis = 1; axis < 4; axis++) {
        nn_graph *g = nn_graph_new("concat");
        nn_value x = stem(g), y = nn_relu(g, x);
        nn_value parts[] = {x, y, op(g, "Tanh", x, NULL, 0), y};
        y = nn_graph_op(g, "Concat", NULL, parts, 4, (nn_attr[]){NN_INT("axis", axis)}, 1);
        check_graph(g, nn_conv(g, "behind", y, 3, 3, 1, 1));
    }
}

/* Channels that fill blocks are joined as they lie, also one value twice. */
static void blocks_of_channels_are_joined(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("blocks");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 5, 4}});
    nn_value wide = nn_relu(g, nn_conv(g, "wide", x, 32, 3, 1, 1));
    nn_value slim = nn_conv(g, "slim", x, 16, 3, 1, 1);
    nn_value y = nn_graph_op(g, "Concat", NULL, (nn_value[]){wide, slim, wide}, 3,
                             (nn_attr[]){NN_INT("axis", 1)}, 1);
    check_graph(g, nn_conv(g, "behind", nn_add(g, y, y), 16, 3, 1, 1));
}

static void images_are_resized(void **state)
{
    (void)state;
    static const char *const modes[] = {"nearest", "linear"};
    static const char *const places[] = {"half_pixel", "asymmetric", "align_corners",
                                         "pytorch_half_pixel", "tf_half_pixel_for_nn"};
    static const double scales[] = {1, 1, 2, 0.61};
    for (size_t m = 0; m < 2; m++) {
        for (size_t p = 0; p < 5 - m; p++) {  // the last is for nearest
            nn_attr attrs[] = {NN_TEXT("mode", modes[m]),
                               NN_TEXT("coordinate_transformation_mode", places[p]),
                               NN_FLOATS("scales", scales, 4)};
            check_one("Resize", attrs, 3);
            attrs[2] = LIST("sizes", 1, 4, 7, 9);
            check_one("Resize", attrs, 3);
        }
    }
    // A crop that reaches beyond the image on one side.
    static const double roi[] = {0, 0, 0.2, 0.4, 1, 1, 0.7, 1.3};
    for (size_t m = 0; m < 2; m++) {
        nn_attr attrs[] = {NN_TEXT("mode", modes[m]),
                           NN_TEXT("coordinate_transformation_mode", "tf_crop_and_resize"),
                           NN_FLOATS("roi", roi, 8), NN_FLOAT("extrapolation_value", 3),
                           LIST("sizes", 1, 4, 7, 9)};
        check_one("Resize", attrs, 5);
    }
    nn_graph *g = nn_graph_new("volume");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){5, {NN_BATCH, 1, 3, 3, 3}});
    nn_attr attrs[] = {NN_TEXT("mode", "linear"), LIST("sizes", 1, 2, 5, 4, 6)};
    check_graph(g, op(g, "Resize", nn_conv(g, "c", x, 2, 3, 1, 1), attrs, 2));
}

static void sums_means_and_largest(void **state)
{
    (void)state;
    static const char *const names[] = {"ReduceMean", "ReduceSum", "ReduceMax"};
    for (size_t i = 0; i < 3; i++) {
        check_one(names[i], (nn_attr[]){LIST("axes", 1)}, 1);
        check_one(names[i], (nn_attr[]){LIST("axes", 2, -1), NN_INT("keepdims", 0)}, 2);
        check_one(names[i], (nn_attr[]){LIST("axes", 1, 3)}, 1);
    }
    check_one("LogSoftmax", NULL, 0);
    check_one("LogSoftmax", (nn_attr[]){NN_INT("axis", 1)}, 1);
}

static void check_norm(const char *name, int64_t n, const nn_attr *attrs, size_t n_attrs)
{
    nn_graph *g = nn_graph_new(name);
    nn_shape shape = {1, {n}};
    nn_value in[] = {stem(g), nn_graph_param(g, "scale", NN_NORM, &shape, NN_INIT_ONE, 0),
                     nn_graph_param(g, "shift", NN_NORM, &shape, NN_INIT_ZERO, 0)};
    nn_value y = nn_graph_op(g, name, NULL, in, 3, attrs, n_attrs);
    check_graph(g, nn_conv(g, "behind", y, 3, 3, 1, 1));
}

static void each_example_is_standardised(void **state)
{
    (void)state;
    check_norm("InstanceNormalization", 4, NULL, 0);
    check_norm("InstanceNormalization", 4, (nn_attr[]){NN_FLOAT("epsilon", 0.1)}, 1);
    check_norm("GroupNormalization", 4, (nn_attr[]){NN_INT("num_groups", 2)}, 1);
    check_norm("GroupNormalization", 2, (nn_attr[]){NN_INT("num_groups", 2)}, 1);
    check_norm("LayerNormalization", 5, NULL, 0);
    nn_graph *g = nn_graph_new("layer");
    nn_shape shape = {3, {4, 5, 5}};
    nn_value in[] = {stem(g), nn_graph_param(g, "scale", NN_NORM, &shape, NN_INIT_ONE, 0)};
    nn_attr axis = NN_INT("axis", 1);
    check_graph(g, nn_graph_op(g, "LayerNormalization", NULL, in, 2, &axis, 1));
}

static void check_deconv(int rank, const nn_shape *weight, const nn_attr *attrs, size_t n,
                         int64_t outputs)
{
    nn_graph *g = nn_graph_new("deconv");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){rank, {NN_BATCH, 2, 4, 3, 2}});
    nn_shape bias = {1, {outputs}};
    nn_value in[] = {nn_relu(g, nn_conv(g, "stem", x, weight->dim[0], 3, 1, 1)),
                     nn_graph_param(g, "w", NN_WEIGHT, weight, NN_INIT_FAN_IN, 0),
                     n > 0 ? nn_graph_param(g, "b", NN_BIAS, &bias, NN_INIT_FAN_IN, 4) : -1};
    x = nn_graph_op(g, "ConvTranspose", NULL, in, 3, attrs, n);
    check_graph(g, nn_conv(g, "behind", nn_relu(g, x), 2, 1, 1, 0));
}

static void images_are_spread_by_a_transposed_convolution(void **state)
{
    (void)state;
    check_deconv(4, &(nn_shape){4, {4, 3, 3, 2}}, NULL, 0, 3);
    check_deconv(4, &(nn_shape){4, {16, 16, 2, 2}}, (nn_attr[]){LIST("strides", 2, 2)}, 1, 16);
    check_deconv(4, &(nn_shape){4, {32, 48, 2, 2}}, (nn_attr[]){LIST("strides", 2, 2)}, 1, 48);
    check_deconv(
        4, &(nn_shape){4, {4, 3, 3, 3}},
        (nn_attr[]){LIST("strides", 2, 3), LIST("pads", 1, 0, 1, 2), LIST("output_padding", 1, 0)},
        3, 3);
    check_deconv(4, &(nn_shape){4, {4, 3, 3, 3}},
                 (nn_attr[]){NN_INT("group", 2), LIST("dilations", 2, 1)}, 2, 6);
    check_deconv(5, &(nn_shape){5, {3, 2, 2, 2, 2}}, (nn_attr[]){LIST("strides", 2, 2, 2)}, 1, 2);
}

/* Rows behind the valid ones hold zeros, where a logarithm is -infinity. */
static void unused_rows_spoil_no_gradient(void **state)
{
    (void)state;
    static const char *const names[] = {"Log", "Sqrt", "Reciprocal", "Div", "Pow"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fl_err err = FL_ERR_INIT;
        nn_graph *g = nn_graph_new(names[i]);
        nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 3}});
        nn_value in[] = {nn_graph_op(g, "Abs", NULL, &x, 1, NULL, 0), -1};
        nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){1, {3}}, NN_INIT_ONE, 0);
        in[0] = nn_graph_op(g, "Mul", NULL, (nn_value[]){in[0], w}, 2, NULL, 0);
        in[1] = i < 3 ? -1 : in[0];
        x = nn_graph_op(g, names[i], NULL, in, 2, NULL, 0);
        nn_graph_output(g, "y", nn_gemm(g, "fc", x, 2));
        check_ok(nn_graph_finish(g, &err), err);
        nn_plan *p;
        nn_plan_config cfg = {
            .capacity = 4, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_MSE}};
        float params[16], grad[16];
        check_ok(nn_plan_new(&p, g, &cfg, &err), err);
        nn_graph_init(g, params, 1);
        for (int k = 0; k < 3; k++) {
            nn_plan_input(p, 0)[k] = (float)(k + 1);
            nn_plan_target(p)[k % 2] = 1;
        }
        nn_plan_step(p, params, grad, 1, NULL);
        check(nn_vec_is_finite(grad, nn_table_count(nn_graph_table(g))));
        nn_plan_destroy(&p);
        nn_graph_destroy(&g);
    }
}

static void check_refused(const char *name, const nn_attr *attrs, size_t n, const char *why)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("refused");
    nn_value y = op(g, name, stem(g), attrs, n);

    check_int(y, -1);
    check(nn_graph_finish(g, &err) != FL_OK);
    check(strstr(err.text, why) != NULL);
    nn_graph_destroy(&g);
}

static void what_would_change_the_batch_is_refused(void **state)
{
    (void)state;
    check_refused("Transpose", (nn_attr[]){LIST("perm", 1, 0, 2, 3)}, 1, "batch");
    check_refused("Transpose", (nn_attr[]){LIST("perm", 0, 1, 1, 3)}, 1, "perm");
    check_refused("Slice", (nn_attr[]){LIST("starts", 1), LIST("ends", 9)}, 2, "batch");
    check_refused("Slice", (nn_attr[]){LIST("starts", 1), LIST("ends", 9), LIST("axes", 7)}, 3,
                  "axis");
    check_refused("Pad", (nn_attr[]){LIST("pads", 1, 0, 0, 0, 0, 0, 0, 0)}, 1, "batch");
    check_refused("Pad", (nn_attr[]){LIST("pads", 1, 0)}, 1, "pads");
    check_refused("Tile", (nn_attr[]){LIST("repeats", 2, 1, 1, 1)}, 1, "batch");
    check_refused("Gather", (nn_attr[]){LIST("indices", 4), NN_INT("axis", 1)}, 2, "index");
    check_refused("ReduceSum", NULL, 0, "batch");
    check_refused("Concat", (nn_attr[]){NN_INT("axis", 0)}, 1, "axis");
    check_refused("Unsqueeze", (nn_attr[]){LIST("axes", 0)}, 1, "batch");
    check_refused("Cast", (nn_attr[]){NN_INT("to", 7)}, 1, "float");
    check_refused("Resize", (nn_attr[]){LIST("sizes", 1, 4, 0, 2)}, 1, "empty");
    check_refused("Resize",
                  (nn_attr[]){LIST("sizes", 1, 4, 2, 2),
                              NN_TEXT("coordinate_transformation_mode", "tf_crop_and_resize")},
                  2, "roi");
    static const double roi[] = {0.5, 0, 0, 0, 1, 1, 1, 1};
    check_refused("Resize",
                  (nn_attr[]){LIST("sizes", 1, 4, 2, 2),
                              NN_TEXT("coordinate_transformation_mode", "tf_crop_and_resize"),
                              NN_FLOATS("roi", roi, 8)},
                  3, "cannot be cropped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_a_number),
        cmocka_unit_test(functions_of_a_positive_number),
        cmocka_unit_test(a_function_of_blocked_channels_and_of_a_parameter),
        cmocka_unit_test(pairs_with_broadcasting),
        cmocka_unit_test(slopes_of_a_prelu_are_learned),
        cmocka_unit_test(numbers_are_moved),
        cmocka_unit_test(dimensions_of_one_come_and_go),
        cmocka_unit_test(tensors_are_joined),
        cmocka_unit_test(blocks_of_channels_are_joined),
        cmocka_unit_test(images_are_resized),
        cmocka_unit_test(sums_means_and_largest),
        cmocka_unit_test(each_example_is_standardised),
        cmocka_unit_test(images_are_spread_by_a_transposed_convolution),
        cmocka_unit_test(unused_rows_spoil_no_gradient),
        cmocka_unit_test(what_would_change_the_batch_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
