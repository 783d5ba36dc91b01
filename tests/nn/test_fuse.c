/*
 * test_fuse.c - what a convolution does for the nodes behind it changes nothing
 *
 * In use, normalisations are folded into weights, and sums and ReLUs done by the
 * convolution.  The plain loops in double do each node by itself.
 */
#include "check.h"

#include "nn/plan.h"
#include "nn/ref.h"

enum { ROWS = 3, MOST_OUTPUTS = 3 };

/* A few roundings of fp32, relative to the largest number. */
static const double tolerance = 1e-5;

/* Parameters and statistics of all sizes; scales of both signs. */
static void draw_params(const nn_graph *g, float *data)
{
    const nn_table *table = nn_graph_table(g);
    fl_rng rng;

    fl_rng_init(&rng, 3, "test_fuse", "", 0);
    nn_graph_init(g, data, 2);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        bool is_variance = strstr(p->name, "running_var") != NULL;
        for (int64_t k = 0; k < p->count && (p->kind == NN_NORM || p->kind == NN_STAT); k++) {
            data[p->offset + k] = (float)(is_variance ? fl_rng_range(&rng, 0.01, 4)
                                                      : fl_rng_range(&rng, -2, 2));
        }
    }
}

/* All outputs, twice: a run must not leave anything behind for the next. */
static void check_outputs(nn_graph *g, nn_precision precision, double allowed)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {.capacity = ROWS, .precision = precision, .threads = 1};
    nn_params params;
    nn_ref *r = nn_ref_new(g, ROWS, false);
    nn_value input = nn_graph_input_at(g, 0);
    fl_rng rng;

    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    draw_params(g, params.data);
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    nn_ref_set_params(r, params.data);
    fl_rng_init(&rng, 1, "test_fuse", "", 0);
    for (int64_t i = 0; i < nn_ref_count(r, input); i++) {
        nn_plan_input(plan, 0)[i] = (float)fl_rng_normal(&rng);
        nn_ref_value(r, input)[i] = nn_plan_input(plan, 0)[i];
    }
    nn_ref_forward(r, NULL);
    for (int run = 0; run < 2; run++) {
        nn_plan_forward(plan, params.data, ROWS);
        for (size_t o = 0; o < nn_graph_n_outputs(g); o++) {
            nn_value v = nn_graph_output_at(g, o);
            const double *wanted = nn_ref_value(r, v);
            double largest = 0;
            for (int64_t i = 0; i < nn_ref_count(r, v); i++) {
                largest = fmax(largest, fabs(wanted[i]));
            }
            check(largest > 0);
            for (int64_t i = 0; i < nn_ref_count(r, v); i++) {
                check_near(nn_plan_output(plan, o)[i], wanted[i], allowed * largest);
            }
        }
    }
    nn_ref_destroy(&r);
    nn_plan_destroy(&plan);
    nn_params_clear(&params);
}

/* Takes the graph; values below 0 are no outputs. */
static void check_graph(nn_graph *g, const nn_value outputs[static MOST_OUTPUTS])
{
    static const char *const names[] = {"first", "second", "third"};
    fl_err err = FL_ERR_INIT;

    for (int i = 0; i < MOST_OUTPUTS; i++) {
        if (outputs[i] >= 0) {
            nn_graph_output(g, names[i], outputs[i]);
        }
    }
    check_ok(nn_graph_finish(g, &err), err);
    check_outputs(g, NN_FP32, tolerance);
    if (nn_precision_why_not(NN_BF16) == NULL) {
        check_outputs(g, NN_BF16, 0x1p-5);
    }
    nn_graph_destroy(&g);
}

static nn_value image(nn_graph *g, int64_t channels)
{
    return nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, channels, 10, 10}});
}

static void normalisations_are_folded_into_convolutions(void **state)
{
    (void)state;
    for (int relu = 0; relu < 2; relu++) {
        nn_graph *g = nn_graph_new("fold");
        nn_value x = nn_batch_norm(g, "bn1", nn_conv(g, "c1", image(g, 3), 32, 3, 1, 1));
        x = relu ? nn_relu(g, x) : x;
        x = nn_batch_norm(g, "bn2", nn_conv(g, "c2", x, 32, 3, 1, 1));
        check_graph(g, (nn_value[]){relu ? nn_relu(g, x) : x, -1, -1});
    }
    nn_graph *g = nn_graph_new("groups without a bias");
    nn_value in[] = {image(g, 6), nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){4, {4, 3, 3, 3}},
                                                 NN_INIT_FAN_IN, 0)};
    nn_value x = nn_graph_op(g, "Conv", "conv", in, 2, (nn_attr[]){NN_INT("group", 2)}, 1);
    check_graph(g, (nn_value[]){nn_relu(g, nn_batch_norm(g, "bn", x)), -1, -1});
}

static void a_convolution_that_others_read_too_is_left_alone(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("two readers");
    nn_value x = nn_conv(g, "c1", image(g, 3), 16, 3, 1, 1);
    nn_value y = nn_relu(g, nn_batch_norm(g, "bn", x));
    check_graph(g, (nn_value[]){y, nn_conv(g, "c2", x, 4, 1, 1, 0), -1});
    g = nn_graph_new("an output");
    x = nn_conv(g, "c1", image(g, 3), 16, 3, 1, 1);
    check_graph(g, (nn_value[]){nn_batch_norm(g, "bn", x), x, -1});
}

/* y = relu(bn(conv(relu(conv(x)))) + shortcut) as in residual networks. */
static nn_value block(nn_graph *g, nn_value x, bool projection)
{
    nn_value y = nn_relu(g, nn_batch_norm(g, "bn1", nn_conv(g, "c1", x, 16, 3, 1, 1)));

    y = nn_batch_norm(g, "bn2", nn_conv(g, "c2", y, 16, 3, 1, 1));
    x = projection ? nn_batch_norm(g, "bn3", nn_conv(g, "c3", x, 16, 1, 1, 0)) : x;
    return nn_relu(g, nn_add(g, y, x));
}

static void sums_are_done_by_convolutions(void **state)
{
    (void)state;
    for (int projection = 0; projection < 2; projection++) {
        nn_graph *g = nn_graph_new("residual");
        nn_value x = nn_relu(g, nn_conv(g, "stem", image(g, 3), 16, 3, 1, 1));
        check_graph(g, (nn_value[]){block(g, x, projection != 0), -1, -1});
    }
}

/* What is added must not be written over while somebody still needs it. */
static void what_is_added_stays_as_long_as_it_is_read(void **state)
{
    (void)state;
    nn_graph *g = nn_graph_new("read later");
    nn_value x = nn_relu(g, nn_conv(g, "stem", image(g, 3), 16, 3, 1, 1));
    nn_value y = block(g, x, false);
    check_graph(g, (nn_value[]){y, nn_conv(g, "later", x, 4, 3, 1, 1), -1});

    g = nn_graph_new("an output");
    x = nn_relu(g, nn_conv(g, "stem", image(g, 3), 16, 3, 1, 1));
    check_graph(g, (nn_value[]){block(g, x, false), x, -1});

    g = nn_graph_new("the input");
    x = image(g, 16);
    check_graph(g, (nn_value[]){block(g, x, false), -1, -1});

    g = nn_graph_new("read by the convolution itself");
    x = nn_relu(g, nn_conv(g, "stem", image(g, 3), 16, 3, 1, 1));
    check_graph(g, (nn_value[]){nn_relu(g, nn_add(g, nn_conv(g, "c", x, 16, 3, 1, 1), x)), -1, -1});

    g = nn_graph_new("under another name");
    x = nn_relu(g, nn_conv(g, "stem", image(g, 3), 16, 3, 1, 1));
    nn_value same = nn_graph_op(g, "Identity", "same", &x, 1, NULL, 0);
    y = block(g, x, false);
    check_graph(g, (nn_value[]){y, nn_global_average_pool(g, same), -1});

    g = nn_graph_new("twice");
    x = nn_conv(g, "c", image(g, 3), 16, 3, 1, 1);
    check_graph(g, (nn_value[]){nn_relu(g, nn_add(g, x, x)), -1, -1});

    g = nn_graph_new("a later branch, and a broadcast one");
    x = nn_relu(g, nn_conv(g, "stem", image(g, 3), 16, 3, 1, 1));
    y = nn_add(g, nn_conv(g, "c1", x, 16, 3, 1, 1), nn_conv(g, "c2", x, 16, 1, 1, 0));
    y = nn_add(g, nn_conv(g, "c3", y, 16, 3, 1, 1), nn_global_average_pool(g, x));
    check_graph(g, (nn_value[]){nn_relu(g, y), -1, -1});
}

/* Outputs (ROWS, 8, 10, 10) of a folded normalisation with that epsilon, caller's. */
static float *folded_with(double epsilon)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {.capacity = ROWS, .precision = NN_FP32, .threads = 1};
    nn_params params;
    nn_graph *g = nn_graph_new("epsilon");
    nn_shape channels = {1, {8}};
    nn_value in[5] = {nn_conv(g, "c", image(g, 3), 8, 3, 1, 1),
                      nn_graph_param(g, "scale", NN_NORM, &channels, NN_INIT_ONE, 0),
                      nn_graph_param(g, "shift", NN_NORM, &channels, NN_INIT_ZERO, 0),
                      nn_graph_param(g, "mean", NN_STAT, &channels, NN_INIT_ZERO, 0),
                      nn_graph_param(g, "variance", NN_STAT, &channels, NN_INIT_ONE, 0)};
    nn_attr attrs[] = {NN_FLOAT("epsilon", epsilon)};
    nn_graph_output(g, "y", nn_graph_op(g, "BatchNormalization", "bn", in, 5, attrs, 1));
    check_ok(nn_graph_finish(g, &err), err);
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    nn_graph_init(g, params.data, 2);
    const nn_table *table = nn_graph_table(g);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        for (int64_t k = 0; k < p->count && strcmp(p->name, "variance") == 0; k++) {
            params.data[p->offset + k] = 1e-6f * (float)(k + 1);  // epsilon counts
        }
    }
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    fl_rng rng;
    fl_rng_init(&rng, 4, "test_fuse", "", 0);
    for (int64_t i = 0; i < ROWS * 3 * 100; i++) {
        nn_plan_input(plan, 0)[i] = (float)fl_rng_normal(&rng);
    }
    nn_plan_forward(plan, params.data, ROWS);
    float *y = fl_xcalloc(ROWS * 800, sizeof *y);
    memcpy(y, nn_plan_output(plan, 0), ROWS * 800 * sizeof *y);
    nn_plan_destroy(&plan);
    nn_params_clear(&params);
    nn_graph_destroy(&g);
    return y;
}

/* A file of ONNX holds a float32: the network that comes out of it is the one that went in. */
static void an_epsilon_is_folded_as_a_file_holds_it(void **state)
{
    (void)state;
    float *built = folded_with(1e-5), *read = folded_with((float)1e-5), *other = folded_with(2e-5);
    check_bytes(built, read, ROWS * 800 * sizeof *built);
    check(memcmp(built, other, ROWS * 800 * sizeof *built) != 0);
    free(built);
    free(read);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalisations_are_folded_into_convolutions),
        cmocka_unit_test(a_convolution_that_others_read_too_is_left_alone),
        cmocka_unit_test(sums_are_done_by_convolutions),
        cmocka_unit_test(what_is_added_stays_as_long_as_it_is_read),
        cmocka_unit_test(an_epsilon_is_folded_as_a_file_holds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
