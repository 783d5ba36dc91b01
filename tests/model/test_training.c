/*
 * test_training.c - ten training steps against PyTorch's
 *
 * tests/vectors/nn_train.py trained the same three networks from the same
 * numbers; nn_train.json holds its losses and last parameters.
 */
#include "check.h"

#include "base/json.h"
#include "formula.h"
#include "model/model.h"
#include "nn/optim.h"
#include "nn/plan.h"

enum { STEPS = 10 };

/* Ten steps in fp32 on both sides, with sums in another order. */
static const double loss_tolerance = 2e-5, param_tolerance = 1e-4;

static void set_parameters(float *data, const nn_table *table)
{
    uint64_t j = 0;

    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        if (p->kind == NN_STAT) {
            continue;
        }
        int64_t fan = p->shape.rank > 1 ? p->count / p->shape.dim[0] : 10;
        float scale = sqrtf(1 / (float)fan);
        bool is_norm_scale = p->kind == NN_NORM && strstr(p->name, "weight") != NULL;
        for (int64_t k = 0; k < p->count; k++) {
            float x = formula_value(100 + j, (uint64_t)k) * scale;
            data[p->offset + k] = is_norm_scale ? 1 + x : x;
        }
        j++;
    }
}

typedef struct {
    const char *name;  // in the file of vectors
    int64_t sizes[3];  // of the batches, in turn
    size_t n_sizes;
    nn_loss_config loss;
    nn_optim_config optim;
    float (*target)(float u);
} exercise;

/* Trains and compares the losses on the way. */
static void train(float *data, const nn_graph *g, const exercise *e, const json_t *losses)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_optim *optim;
    nn_plan_config cfg = {.capacity = e->sizes[0],
                          .train = true,
                          .precision = NN_FP32,
                          .threads = 1,
                          .loss = e->loss};
    float *grad = fl_xcalloc((size_t)nn_table_count(nn_graph_table(g)), sizeof *grad);

    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    check_ok(nn_optim_new(&optim, &e->optim, nn_graph_table(g), &err), err);
    int64_t row = nn_shape_count(nn_graph_shape(g, nn_graph_input_at(g, 0)), 1);
    for (size_t step = 0; step < STEPS; step++) {
        int64_t n = e->sizes[step % e->n_sizes];
        for (int64_t i = 0; i < n * row; i++) {
            nn_plan_input(plan, 0)[i] = formula_value(1000 + step, (uint64_t)i);
        }
        for (int64_t i = 0; i < n; i++) {
            nn_plan_target(plan)[i] = e->target(formula_value(2000 + step, (uint64_t)i));
        }
        double loss = nn_plan_step(plan, data, grad, n, NULL);
        check_near(loss, json_number_value(json_array_get(losses, step)), loss_tolerance);
        nn_optim_step(optim, data, grad, 1);
    }
    free(grad);
    nn_optim_destroy(&optim);
    nn_plan_destroy(&plan);
}

static void check_against_pytorch(nn_graph *g, const exercise *e)
{
    fl_err err = FL_ERR_INIT;
    json_t *vectors;
    nn_params params;

    check_ok(fl_json_read(&vectors, "tests/vectors/nn_train.json", 1 << 20, &err), err);
    const json_t *golden = json_object_get(vectors, e->name);
    const nn_table *table = nn_graph_table(g);
    check_ok(nn_params_init(&params, table, &err), err);
    nn_graph_init(g, params.data, 1);  // running statistics
    set_parameters(params.data, table);
    train(params.data, g, e, json_object_get(golden, "losses"));
    const json_t *last = json_object_get(golden, "parameters");
    check_int(nn_table_n(table), json_object_size(last));
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        const json_t *numbers = json_object_get(last, p->name);
        check_int(json_array_size(numbers), p->count);
        for (int64_t k = 0; k < p->count; k++) {
            double wanted = json_number_value(json_array_get(numbers, (size_t)k));
            check_near(params.data[p->offset + k], wanted, param_tolerance * fmax(1, fabs(wanted)));
        }
    }
    nn_params_clear(&params);
    json_decref(vectors);
    nn_graph_destroy(&g);
}

static float is_positive(float u)
{
    return u > 0 ? 1 : 0;
}

static float one_of_three(float u)
{
    return floorf((u + 1) * 1.5f);
}

static void logistic_regression_by_sgd(void **state)
{
    (void)state;
    static const float weight[] = {1.5f};
    check_against_pytorch(formula_build("logistic", &(nn_shape){2, {NN_BATCH, 13}}, 1),
                          &(exercise){.name = "logistic",
                                      .sizes = {4},
                                      .n_sizes = 1,
                                      .loss = {.kind = NN_LOSS_SIGMOID_CE, .class_weight = weight},
                                      .optim = {.kind = NN_SGD, .lr = 0.1},
                                      .target = is_positive});
}

static void cnn_by_nesterov_with_class_weights(void **state)
{
    (void)state;
    static const float weight[] = {1, 2, 0.5f};
    check_against_pytorch(formula_build("{name: cnn, channels: [4, 8], fc: 16}",
                                        &(nn_shape){4, {NN_BATCH, 1, 12, 12}}, 3),
                          &(exercise){.name = "cnn",
                                      .sizes = {8, 8, 5},
                                      .n_sizes = 3,
                                      .loss = {.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight},
                                      .optim = {.kind = NN_SGD,
                                                .lr = 0.05,
                                                .momentum = 0.9,
                                                .nesterov = true,
                                                .weight_decay = 0.01},
                                      .target = one_of_three});
}

static void batch_norm_and_a_residual_sum_by_adam(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    int64_t kernel[] = {3, 3}, strides[] = {2, 2}, pads[] = {1, 1, 1, 1};
    nn_attr attrs[] = {NN_INTS("kernel_shape", kernel, 2), NN_INTS("strides", strides, 2),
                       NN_INTS("pads", pads, 4)};
    nn_graph *g = nn_graph_new("residual");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 8, 8}});
    x = nn_relu(g, nn_batch_norm(g, "bn1", nn_conv(g, "conv1", x, 16, 3, 1, 1)));
    x = nn_relu(g, nn_add(g, x, nn_batch_norm(g, "bn2", nn_conv(g, "conv2", x, 16, 3, 1, 1))));
    nn_value w = nn_graph_param(g, "conv3.weight", NN_WEIGHT, &(nn_shape){4, {8, 16, 3, 3}},
                                NN_INIT_FAN_IN, 0);
    nn_value b = nn_graph_param(g, "conv3.bias", NN_BIAS, &(nn_shape){1, {8}}, NN_INIT_ZERO, 0);
    x = nn_relu(g, nn_graph_op(g, "Conv", "conv3", (nn_value[]){x, w, b}, 3, attrs, 3));
    x = nn_flatten(g, nn_global_average_pool(g, x));
    nn_graph_output(g, "logits", nn_gemm(g, "fc", x, 2));
    check_ok(nn_graph_finish(g, &err), err);
    check_against_pytorch(g, &(exercise){.name = "residual",
                                         .sizes = {6, 6, 4},
                                         .n_sizes = 3,
                                         .loss = {.kind = NN_LOSS_SOFTMAX_CE},
                                         .optim = {.kind = NN_ADAM,
                                                   .lr = 0.005,
                                                   .beta1 = 0.9,
                                                   .beta2 = 0.999,
                                                   .eps = 1e-8,
                                                   .weight_decay = 0.01},
                                         .target = is_positive});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logistic_regression_by_sgd),
        cmocka_unit_test(cnn_by_nesterov_with_class_weights),
        cmocka_unit_test(batch_norm_and_a_residual_sum_by_adam),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
