/*
 * test_ops_product.c - gradients of MatMul and Gemm beyond dense layers, and of
 * what a graph's own constants stand in
 */
#include "check.h"
#include "grad_check.h"
#include "nn/plan.h"

static const grad_check_config usual = {.N = 3, .threads = 1, .tolerance = 1e-4};

#define LIST(key, ...)                             \
    NN_INTS(key, ((const int64_t[]){__VA_ARGS__}), \
            sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* (N, 2, 3, 5) behind a convolution. */
static nn_value stem(nn_graph *g)
{
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 3, 5}});

    return nn_conv(g, "stem", x, 2, 3, 1, 1);
}

static nn_value param(nn_graph *g, const char *name, nn_shape shape)
{
    return nn_graph_param(g, name, NN_WEIGHT, &shape, NN_INIT_FAN_IN, 4);
}

static nn_value pair(nn_graph *g, const char *op, nn_value a, nn_value b)
{
    return nn_graph_op(g, op, NULL, (nn_value[]){a, b}, 2, NULL, 0);
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

/* The scores of attention, softmax(q k') v, by two computed stacks. */
static void stacks_of_matrices_are_multiplied(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("attention");
    nn_value q = stem(g), k = nn_conv(g, "k", q, 2, 1, 1, 0), v = nn_conv(g, "v", q, 2, 1, 1, 0);
    nn_value turned = nn_graph_op(g, "Transpose", NULL, &k, 1,
                                  (nn_attr[]){LIST("perm", 0, 1, 3, 2)}, 1);
    nn_value score = pair(g, "MatMul", q, turned);
    score = nn_graph_op(g, "Softmax", NULL, &score, 1, NULL, 0);
    check_graph(g, pair(g, "MatMul", score, v));
}

static void a_matrix_is_used_for_a_whole_stack(void **state)
{
    (void)state;
    static const nn_shape right[] = {
        {2, {5, 4}}, {3, {1, 5, 4}}, {3, {2, 5, 4}}, {4, {1, 2, 5, 4}}, {1, {5}}};
    static const nn_shape left[] = {{2, {4, 3}}, {3, {2, 4, 3}}, {4, {1, 1, 4, 3}}, {1, {3}}};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        nn_graph *g = nn_graph_new("right");
        check_graph(g, pair(g, "MatMul", stem(g), param(g, "w", right[i])));
    }
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        nn_graph *g = nn_graph_new("left");
        nn_value x = stem(g);
        check_graph(g, pair(g, "MatMul", param(g, "w", left[i]), x));
    }
}

/* A weight that was transposed on the way, as exporters leave it. */
static void a_computed_weight_is_learned(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("computed");
    nn_value w = param(g, "w", (nn_shape){2, {4, 30}});
    nn_value x = nn_flatten(g, stem(g));
    w = nn_graph_op(g, "Transpose", NULL, &w, 1, NULL, 0);
    check_graph(g, pair(g, "Add", pair(g, "MatMul", x, w), param(g, "b", (nn_shape){1, {4}})));
}

static void gemm_scales_and_takes_any_bias(void **state)
{
    (void)state;
    static const nn_shape bias[] = {{0, {0}}, {1, {1}}, {1, {4}}, {2, {1, 4}}, {2, {1, 1}}};
    for (size_t i = 0; i < sizeof bias / sizeof *bias; i++) {
        for (int turned = 0; turned < 2; turned++) {
            nn_graph *g = nn_graph_new("gemm");
            nn_shape weight = turned ? (nn_shape){2, {4, 30}} : (nn_shape){2, {30, 4}};
            nn_value in[] = {nn_flatten(g, stem(g)), param(g, "w", weight), param(g, "b", bias[i])};
            nn_attr attrs[] = {NN_INT("transB", turned), NN_FLOAT("alpha", 0.5),
                               NN_FLOAT("beta", -2)};
            check_graph(g, nn_graph_op(g, "Gemm", NULL, in, 3, attrs, 3));
        }
    }
    nn_graph *g = nn_graph_new("left");  // a parameter transposed on the left
    nn_value in[] = {param(g, "a", (nn_shape){2, {5, 4}}), param(g, "w", (nn_shape){2, {5, 3}})};
    nn_value y = nn_graph_op(g, "Gemm", NULL, in, 2, (nn_attr[]){NN_INT("transA", 1)}, 1);
    check_graph(g, pair(g, "MatMul", y, stem(g)));
}

static void a_constant_takes_part_and_is_not_learned(void **state)
{
    (void)state;
    static const double numbers[] = {0.5, -1, 2, 0.25, 3, 1, -0.5, 1.5, 1, 2};
    nn_graph *g = nn_graph_new("constants");
    nn_attr matrix[] = {NN_FLOATS("value", numbers, 10), LIST("shape", 5, 2)};
    nn_attr number[] = {NN_FLOATS("value", numbers, 1)};
    nn_attr channels[] = {NN_FLOATS("value", numbers, 2), LIST("shape", 2)};
    nn_value in[] = {stem(g), nn_graph_op(g, "Constant", "scale", NULL, 0, channels, 2),
                     nn_graph_op(g, "Constant", "shift", NULL, 0, channels, 2)};
    nn_value x = nn_graph_op(g, "InstanceNormalization", NULL, in, 3, NULL, 0);
    x = pair(g, "Mul", x, nn_graph_op(g, "Constant", NULL, NULL, 0, number, 1));
    check_graph(g, pair(g, "MatMul", x, nn_graph_op(g, "Constant", NULL, NULL, 0, matrix, 2)));
}

/* A learned token in front of every row's, as a vision transformer has it. */
static void a_parameter_is_repeated_for_every_row(void **state)
{
    (void)state;
    static const char *const ops[] = {"Expand", "Tile"};
    for (int i = 0; i < 2; i++) {
        nn_graph *g = nn_graph_new(ops[i]);
        nn_attr shape = i == 0 ? LIST("shape", NN_BATCH, 1, 3, 5)
                               : LIST("repeats", NN_BATCH, 1, 1, 1);
        nn_value token = param(g, "token", (nn_shape){4, {1, 1, 3, 5}}), x = stem(g);
        token = nn_graph_op(g, ops[i], NULL, &token, 1, &shape, 1);
        check_graph(g, nn_graph_op(g, "Concat", NULL, (nn_value[]){token, x}, 2,
                                   (nn_attr[]){NN_INT("axis", 1)}, 1));
    }
}

static void check_refused(nn_shape a, nn_shape b, const char *why)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("refused");
    nn_value x = nn_graph_input(g, "x", &a);

    check_int(pair(g, "MatMul", x, param(g, "w", b)), -1);
    check(nn_graph_finish(g, &err) != FL_OK);
    check_has(err.text, why);
    nn_graph_destroy(&g);
}

static void matrices_that_do_not_fit_are_named(void **state)
{
    (void)state;
    check_refused((nn_shape){2, {NN_BATCH, 3}}, (nn_shape){2, {4, 3}}, "Nx3 by 4x3");
    check_refused((nn_shape){3, {NN_BATCH, 2, 3}}, (nn_shape){3, {4, 3, 2}}, "cannot multiply");
    check_refused((nn_shape){2, {NN_BATCH, 3}}, (nn_shape){3, {2, 3, 4}}, "cannot multiply");
    check_refused((nn_shape){2, {NN_BATCH, 3}}, (nn_shape){0, {0}}, "cannot multiply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_of_matrices_are_multiplied),
        cmocka_unit_test(a_matrix_is_used_for_a_whole_stack),
        cmocka_unit_test(a_computed_weight_is_learned),
        cmocka_unit_test(gemm_scales_and_takes_any_bias),
        cmocka_unit_test(a_constant_takes_part_and_is_not_learned),
        cmocka_unit_test(a_parameter_is_repeated_for_every_row),
        cmocka_unit_test(matrices_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
