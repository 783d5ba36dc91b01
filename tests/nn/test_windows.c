/*
 * test_windows.c - convolutions and pools of any geometry, in one to three
 * dimensions
 *
 * Kernels, strides, paddings, dilations and groups are drawn; grad_check compares
 * the plan with the definition and the definition with finite differences.
 */
#include "check.h"
#include "grad_check.h"
#include "nn/plan.h"

enum { CASES = 10, MOST_ATTRS = 8 };
static const grad_check_config usual = {.N = 2, .threads = 1, .tolerance = 1e-4};

/* What was drawn; ints hold one number for each dimension, pads two. */
typedef struct {
    int rank;  // of space
    int64_t size[3], kernel[3], stride[3], dilation[3], pads[6], group, extra[3];
    nn_attr attrs[MOST_ATTRS];
    size_t n_attrs;
} drawing;

static int64_t draw(fl_rng *rng, int64_t from, int64_t to)
{
    return from + (int64_t)fl_rng_below(rng, (uint32_t)(to - from + 1));
}

/* Windows that fit; padded at most by less than the window. */
static void draw_window(drawing *d, int rank, fl_rng *rng)
{
    *d = (drawing){.rank = rank, .group = 1};
    for (int i = 0; i < rank; i++) {
        d->kernel[i] = draw(rng, 1, 3);
        d->stride[i] = draw(rng, 1, 3);
        d->dilation[i] = draw(rng, 1, 2);
        int64_t reach = (d->kernel[i] - 1) * d->dilation[i] + 1;
        d->pads[i] = draw(rng, 0, reach - 1);
        d->pads[rank + i] = draw(rng, 0, reach - 1);
        d->size[i] = reach + draw(rng, 0, 3);
    }
    size_t n = (size_t)rank;
    d->attrs[d->n_attrs++] = NN_INTS("strides", d->stride, n);
    d->attrs[d->n_attrs++] = NN_INTS("dilations", d->dilation, n);
    if (draw(rng, 0, 2) > 0) {
        d->attrs[d->n_attrs++] = NN_INTS("pads", d->pads, 2 * n);
    } else {
        const char *mode = draw(rng, 0, 1) != 0 ? "SAME_UPPER" : "SAME_LOWER";
        d->attrs[d->n_attrs++] = NN_TEXT("auto_pad", mode);
    }
}

static nn_value input(nn_graph *g, const drawing *d, int64_t channels)
{
    nn_shape shape = {2 + d->rank, {NN_BATCH, 2}};

    memcpy(&shape.dim[2], d->size, (size_t)d->rank * sizeof *d->size);
    return nn_conv(g, "stem", nn_graph_input(g, "x", &shape), channels, 1, 1, 0);
}

static void check_graph(nn_graph *g, nn_value y)
{
    fl_err err = FL_ERR_INIT;

    if (y >= 0) {
        nn_graph_output(g, "y", nn_flatten(g, y));
    }
    check_ok(nn_graph_finish(g, &err), err);
    grad_check(g, &usual);
    nn_graph_destroy(&g);
}

static void check_layer(const char *op, drawing *d, int64_t channels, const nn_shape *weight,
                        int64_t outputs)
{
    nn_graph *g = nn_graph_new(op);
    nn_shape bias = {1, {outputs}};
    nn_value in[] = {input(g, d, channels),
                     nn_graph_param(g, "w", NN_WEIGHT, weight, NN_INIT_FAN_IN, 0),
                     nn_graph_param(g, "b", NN_BIAS, &bias, NN_INIT_FAN_IN, 4)};

    d->attrs[d->n_attrs++] = NN_INT("group", d->group);
    check_graph(g, nn_graph_op(g, op, "layer", in, 3, d->attrs, d->n_attrs));
}

/* CASES drawings of each rank, from streams of their own. */
static void for_all(const char *purpose, void (*check_one)(drawing *d, fl_rng *rng))
{
    for (int rank = 1; rank <= 3; rank++) {
        for (uint64_t i = 0; i < CASES; i++) {
            drawing d;
            fl_rng rng;
            fl_rng_init(&rng, i, purpose, "", (uint64_t)rank);
            draw_window(&d, rank, &rng);
            check_one(&d, &rng);
        }
    }
}

static void check_conv(drawing *d, fl_rng *rng)
{
    int64_t per_group = draw(rng, 1, 3), outputs = draw(rng, 1, 2);
    nn_shape weight = {2 + d->rank, {0}};

    d->group = draw(rng, 1, 3);
    weight.dim[0] = outputs * d->group;
    weight.dim[1] = per_group;
    memcpy(&weight.dim[2], d->kernel, (size_t)d->rank * sizeof *d->kernel);
    check_layer("Conv", d, per_group * d->group, &weight, outputs * d->group);
}

static void convolutions(void **state)
{
    (void)state;
    for_all("conv", check_conv);
}

static void a_convolution_may_be_padded_by_more_than_its_window(void **state)
{
    (void)state;
    int64_t pads[] = {2, 1, 1, 3};
    drawing d = {.rank = 2, .size = {4, 4}, .group = 1, .n_attrs = 1};
    d.attrs[0] = NN_INTS("pads", pads, 4);
    check_layer("Conv", &d, 3, &(nn_shape){4, {2, 3, 1, 1}}, 2);
}

static void check_deconv(drawing *d, fl_rng *rng)
{
    int64_t per_group = draw(rng, 1, 3), outputs = draw(rng, 1, 2);
    nn_shape weight = {2 + d->rank, {0}};

    d->group = draw(rng, 1, 3);
    weight.dim[0] = per_group * d->group;
    weight.dim[1] = outputs;
    for (int i = 0; i < d->rank; i++) {
        weight.dim[2 + i] = d->kernel[i];
        d->extra[i] = draw(rng, 0, d->stride[i] - 1);
    }
    if (draw(rng, 0, 1) != 0) {
        d->attrs[d->n_attrs++] = NN_INTS("output_padding", d->extra, (size_t)d->rank);
    }
    check_layer("ConvTranspose", d, per_group * d->group, &weight, outputs * d->group);
}

static void transposed_convolutions(void **state)
{
    (void)state;
    for_all("deconv", check_deconv);
}

static void a_transposed_convolution_to_a_size(void **state)
{
    (void)state;
    int64_t strides[] = {3, 2};
    static const int64_t sizes[][2] = {{11, 8}, {13, 7}, {9, 6}};  // 11 x 7 without pads
    for (size_t i = 0; i < 3; i++) {
        drawing d = {.rank = 2, .size = {4, 3}, .group = 1, .n_attrs = 2};
        d.attrs[0] = NN_INTS("strides", strides, 2);
        d.attrs[1] = NN_INTS("output_shape", sizes[i], 2);
        check_layer("ConvTranspose", &d, 3, &(nn_shape){4, {3, 2, 2, 3}}, 2);
    }
}

static void check_pools(drawing *d, fl_rng *rng)
{
    static const char *const ops[] = {"MaxPool", "AveragePool", "GlobalAveragePool"};
    size_t n = d->n_attrs;

    d->attrs[n++] = NN_INTS("kernel_shape", d->kernel, (size_t)d->rank);
    d->attrs[n++] = NN_INT("ceil_mode", draw(rng, 0, 1));
    d->attrs[n] = NN_INT("count_include_pad", draw(rng, 0, 1));
    for (size_t i = 0; i < 3; i++) {
        nn_graph *g = nn_graph_new(ops[i]);
        nn_value x = input(g, d, 3);
        size_t n_attrs = i == 2 ? 0 : n + i;  // each knows more than the one before
        check_graph(g, nn_graph_op(g, ops[i], "pool", &x, 1, d->attrs, n_attrs));
    }
}

static void pools(void **state)
{
    (void)state;
    for_all("pool", check_pools);
}

static void an_average_counts_the_padding_but_not_what_is_behind(void **state)
{
    (void)state;
    /* By hand: windows of 3 over 0 1 2 3 4 0, the last over 4 0 and nothing. */
    int64_t kernel[] = {3}, stride[] = {2}, pads[] = {1, 1};
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernel, 1), NN_INTS("strides", stride, 1),
                       NN_INTS("pads", pads, 2), NN_INT("ceil_mode", 1),
                       NN_INT("count_include_pad", 1)};
    nn_graph *g = nn_graph_new("average");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){3, {NN_BATCH, 1, 4}});
    nn_graph_output(g, "y", nn_graph_op(g, "AveragePool", "pool", &x, 1, attrs, 5));
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {.capacity = 1, .threads = 1};
    check_ok(nn_graph_finish(g, &err), err);
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    memcpy(nn_plan_input(plan, 0), (float[]){1, 2, 3, 4}, 4 * sizeof(float));
    nn_plan_forward(plan, NULL, 1);
    check_near(nn_plan_output(plan, 0)[0], 1, 1e-6);
    check_near(nn_plan_output(plan, 0)[1], 3, 1e-6);
    check_near(nn_plan_output(plan, 0)[2], 2, 1e-6);
    nn_plan_destroy(&plan);
    nn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(a_convolution_may_be_padded_by_more_than_its_window),
        cmocka_unit_test(transposed_convolutions),
        cmocka_unit_test(a_transposed_convolution_to_a_size),
        cmocka_unit_test(pools),
        cmocka_unit_test(an_average_counts_the_padding_but_not_what_is_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
