/*
 * test_curves.c - fifty training steps against PyTorch's
 *
 * Initial parameters and batches come from the same formula on both sides;
 * model_torch.json holds PyTorch's losses.
 */
#include "check.h"

#include "base/json.h"
#include "formula.h"
#include "nn/optim.h"
#include "nn/plan.h"

enum { STEPS = 50 };

/* Of each step's loss.  Rounding differs by some 1e-7 a sum, and training
 * multiplies it: what is behind a ReLU near 0 goes another way.  Learning rates
 * are such that PyTorch itself, in fp32 and in double, is apart by 2e-4 at most. */
static const double tolerance = 1e-3;

typedef struct {
    nn_shape input;
    int64_t batch, row;  // images, numbers of one
    nn_graph *graph;
    nn_plan *plan;
    nn_params params, grad;
} training;

/* Noise, brighter on the left in class 1, on the right in class 0. */
static void labelled_images(training *t, size_t step)
{
    int64_t W = t->input.dim[3];
    float *x = nn_plan_input(t->plan, 0), *target = nn_plan_target(t->plan);

    for (int64_t n = 0; n < t->batch; n++) {
        target[n] = formula_value(3000 + step, (uint64_t)n) > 0 ? 1 : 0;
        for (int64_t i = 0; i < t->row; i++) {
            bool is_left = i % W < W / 2;
            int64_t k = n * t->row + i;
            x[k] = 0.5f * formula_value(2000 + step, (uint64_t)k) +
                   (is_left == (target[n] == 1) ? 0.25f : -0.25f);
        }
    }
}

/* Noise, brighter in a disc; and the disc. */
static void discs(training *t, size_t step)
{
    int64_t side = t->input.dim[3];
    float *x = nn_plan_input(t->plan, 0), *target = nn_plan_target(t->plan);

    for (int64_t n = 0; n < t->batch; n++) {
        float middle[2];
        for (int d = 0; d < 2; d++) {
            float v = formula_value(3000 + step, (uint64_t)(2 * n + d));
            middle[d] = floorf((v + 2) * (float)(side / 4));
        }
        for (int64_t i = 0; i < t->row; i++) {
            float dy = (float)(i / side) - middle[0], dx = (float)(i % side) - middle[1];
            int64_t k = n * t->row + i;
            target[k] = dy * dy + dx * dx < (float)(side * side / 16) ? 1 : 0;
            x[k] = 0.5f * formula_value(2000 + step, (uint64_t)k) + 0.5f * target[k];
        }
    }
}

static void training_init(training *t, const json_t *golden, nn_loss_kind loss)
{
    fl_err err = FL_ERR_INIT;
    const json_t *dims = json_object_get(golden, "input");

    *t = (training){.batch = json_integer_value(json_object_get(golden, "batch"))};
    t->input = (nn_shape){(int)json_array_size(dims) + 1, {NN_BATCH}};
    for (size_t i = 0; i < json_array_size(dims); i++) {
        t->input.dim[1 + i] = json_integer_value(json_array_get(dims, i));
    }
    t->row = nn_shape_count(&t->input, 1);
    t->graph = formula_build(json_string_value(json_object_get(golden, "model")), &t->input,
                             json_integer_value(json_object_get(golden, "outputs")));
    nn_plan_config cfg = {
        .capacity = t->batch, .train = true, .threads = 1, .loss = {.kind = loss}};
    check_ok(nn_plan_new(&t->plan, t->graph, &cfg, &err), err);
    check_ok(nn_params_init(&t->params, nn_graph_table(t->graph), &err), err);
    check_ok(nn_params_init(&t->grad, nn_graph_table(t->graph), &err), err);
    formula_parameters(t->params.data, nn_graph_table(t->graph));
}

static void training_clear(training *t)
{
    nn_params_clear(&t->params);
    nn_params_clear(&t->grad);
    nn_plan_destroy(&t->plan);
    nn_graph_destroy(&t->graph);
}

static void check_curve(const char *name, nn_loss_kind loss,
                        void (*make_batch)(training *t, size_t step))
{
    fl_err err = FL_ERR_INIT;
    json_t *vectors;
    training t;
    nn_optim *optim;
    nn_optim_config cfg;

    check_ok(fl_json_read(&vectors, "tests/vectors/model_torch.json", 1 << 20, &err), err);
    const json_t *golden = json_object_get(json_object_get(vectors, "curves"), name);
    const json_t *losses = json_object_get(golden, "losses");
    check_int(json_array_size(losses), STEPS);
    training_init(&t, golden, loss);
    nn_optim_defaults(&cfg);
    cfg.lr = json_number_value(json_object_get(golden, "lr"));
    cfg.momentum = json_number_value(json_object_get(golden, "momentum"));
    check_ok(nn_optim_new(&optim, &cfg, nn_graph_table(t.graph), &err), err);
    double worst = 0;
    for (size_t step = 0; step < STEPS; step++) {
        make_batch(&t, step);
        double got = nn_plan_step(t.plan, t.params.data, t.grad.data, t.batch, NULL);
        double wanted = json_number_value(json_array_get(losses, step));
        worst = fmax(worst, fabs(got - wanted) / wanted);
        if (!(fabs(got - wanted) <= tolerance * wanted)) {
            check_fail("%s: loss of step %zu is %.9g, PyTorch's %.9g", name, step + 1, got, wanted);
        }
        nn_optim_step(optim, t.params.data, t.grad.data, 1);
    }
    print_message("# %s: apart by %.1e at most\n", name, worst);
    check(json_number_value(json_array_get(losses, STEPS - 1)) <
          0.75 * json_number_value(json_array_get(losses, 0)));  // something was learnt
    nn_optim_destroy(&optim);
    training_clear(&t);
    json_decref(vectors);
}

static void cnn_by_sgd(void **state)
{
    (void)state;
    check_curve("cnn", NN_LOSS_SOFTMAX_CE, labelled_images);
}

static void resnet18_by_sgd(void **state)
{
    (void)state;
    check_curve("resnet18", NN_LOSS_SOFTMAX_CE, labelled_images);
}

static void unet_by_sgd(void **state)
{
    (void)state;
    check_curve("unet", NN_LOSS_SIGMOID_CE, discs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cnn_by_sgd),
        cmocka_unit_test(resnet18_by_sgd),
        cmocka_unit_test(unet_by_sgd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
