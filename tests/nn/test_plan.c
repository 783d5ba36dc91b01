/*
 * test_plan.c - what holds for every plan
 */
#include "check.h"

#include "nn/optim.h"
#include "nn/plan.h"
#include "nn/ref.h"

enum { ROWS = 8, SIZE = 12, N_CLASSES = 3 };

/* A small network with everything in it. */
static nn_graph *new_graph(bool norm, double dropout)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("test");
    nn_value x = nn_graph_input(g, "image", &(nn_shape){4, {NN_BATCH, 1, SIZE, SIZE}});

    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv1", x, 16, 3, 1, 1)), 2, 2);
    x = nn_conv(g, "conv2", x, 32, 3, 1, 1);
    x = norm ? nn_batch_norm(g, "bn", x) : x;
    x = nn_max_pool(g, nn_relu(g, x), 2, 2);
    x = nn_dropout(g, nn_relu(g, nn_gemm(g, "fc1", nn_flatten(g, x), 64)), dropout);
    nn_graph_output(g, "logits", nn_gemm(g, "fc2", x, N_CLASSES));
    check_ok(nn_graph_finish(g, &err), err);
    return g;
}

static nn_plan *new_plan(const nn_graph *g, int64_t capacity, bool train, int threads)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {.capacity = capacity,
                          .train = train,
                          .precision = NN_FP32,
                          .threads = threads,
                          .loss = {.kind = NN_LOSS_SOFTMAX_CE}};

    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    return plan;
}

static void fill_batch(nn_plan *plan, int64_t n, uint64_t seed, bool train)
{
    fl_rng rng;

    fl_rng_init(&rng, seed, "batch", "", 0);
    for (int64_t i = 0; i < n * SIZE * SIZE; i++) {
        nn_plan_input(plan, 0)[i] = (float)fl_rng_normal(&rng);
    }
    for (int64_t i = 0; train && i < n; i++) {
        nn_plan_target(plan)[i] = (float)fl_rng_below(&rng, N_CLASSES);
    }
}

static void a_plan_trains_and_another_predicts(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = new_graph(false, 0.1);
    const nn_table *table = nn_graph_table(g);
    nn_params params, grad;
    check_ok(nn_params_init(&params, table, &err), err);
    check_ok(nn_params_init(&grad, table, &err), err);
    nn_graph_init(g, params.data, 1);

    nn_optim_config sgd;
    nn_optim *optim;
    nn_optim_defaults(&sgd);
    check_ok(nn_optim_new(&optim, &sgd, table, &err), err);
    nn_plan *plan = new_plan(g, ROWS, true, 1);
    fl_rng rng;
    fl_rng_init(&rng, 1, "dropout", "", 0);
    double first = 0, last = 0;
    for (int step = 0; step < 60; step++) {
        fill_batch(plan, ROWS, 1, true);
        last = nn_plan_step(plan, params.data, grad.data, ROWS, &rng);
        nn_optim_step(optim, params.data, grad.data, 1);
        first = step == 0 ? last : first;
    }
    check(first > 0.9 && last < 0.1);

    nn_plan *predict = new_plan(g, 2 * ROWS, false, 1);
    fill_batch(predict, ROWS, 1, false);
    nn_plan_forward(predict, params.data, ROWS);
    const float *logits = nn_plan_output(predict, 0);
    for (int64_t i = 0; i < ROWS; i++) {  // what was learnt by heart
        check_near(nn_loss_run(&(nn_loss_config){.kind = NN_LOSS_SOFTMAX_CE},
                               logits + i * N_CLASSES, nn_plan_target(plan) + i, 1, 1, N_CLASSES, 1,
                               NULL),
                   0, 0.2);
    }
    nn_plan_destroy(&predict);
    nn_plan_destroy(&plan);
    nn_plan_destroy(&plan);  // fine when called twice
    nn_optim_destroy(&optim);
    nn_params_clear(&params);
    nn_params_clear(&grad);
    nn_graph_destroy(&g);
}

/* Parameters after five steps of batches of n, on a plan of that capacity. */
static float *train(const nn_graph *g, int64_t capacity, int64_t n, int threads, double *loss)
{
    size_t P = (size_t)nn_table_count(nn_graph_table(g));
    float *params = fl_xcalloc(P, sizeof *params), *grad = fl_xcalloc(P, sizeof *grad);
    nn_plan *plan = new_plan(g, capacity, true, threads);
    fl_rng rng;

    fl_rng_init(&rng, 4, "dropout", "", 0);
    nn_graph_init(g, params, 3);
    fill_batch(plan, capacity, 99, true);  // what an earlier, full batch left behind
    for (uint64_t step = 0; step < 5; step++) {
        fill_batch(plan, n, step, true);
        *loss = nn_plan_step(plan, params, grad, n, &rng);
        nn_vec_axpy(params, -0.05f, grad, (int64_t)P);
    }
    nn_plan_destroy(&plan);
    free(grad);
    return params;
}

static void the_same_seed_gives_the_same_bits(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        nn_graph *g = new_graph(true, 0.3);
        double loss_a, loss_b;
        float *a = train(g, ROWS, ROWS, threads, &loss_a);
        float *b = train(g, ROWS, ROWS, threads, &loss_b);
        check_near(loss_a, loss_b, 0);
        check_bytes(a, b, (size_t)nn_table_count(nn_graph_table(g)) * sizeof *a);
        free(a);
        free(b);
        nn_graph_destroy(&g);
    }
}

static void a_small_batch_on_a_large_plan_is_as_on_a_small_one(void **state)
{
    (void)state;
    for (int norm = 0; norm < 2; norm++) {
        nn_graph *g = new_graph(norm, 0.3);
        double loss_a, loss_b;
        float *a = train(g, 5, 5, 1, &loss_a), *b = train(g, ROWS, 5, 1, &loss_b);
        check_near(loss_a, loss_b, 1e-5);  // sums are split differently
        for (int64_t i = 0; i < nn_table_count(nn_graph_table(g)); i++) {
            check_near(a[i], b[i], 1e-5);
        }
        free(a);
        free(b);
        nn_graph_destroy(&g);
    }
}

static void rows_do_not_see_each_other_in_inference(void **state)
{
    (void)state;
    nn_graph *g = new_graph(true, 0.3);
    float *params = fl_xcalloc((size_t)nn_table_count(nn_graph_table(g)), sizeof *params);
    nn_graph_init(g, params, 3);
    nn_plan *plan = new_plan(g, ROWS, false, 1);
    float before[N_CLASSES];
    fill_batch(plan, ROWS, 1, false);
    nn_plan_forward(plan, params, ROWS);
    memcpy(before, nn_plan_output(plan, 0), sizeof before);
    for (int64_t i = SIZE * SIZE; i < ROWS * SIZE * SIZE; i++) {
        nn_plan_input(plan, 0)[i] = NAN;
    }
    nn_plan_forward(plan, params, 1);  // the other rows are cleared
    check_bytes(nn_plan_output(plan, 0), before, sizeof before);
    nn_plan_destroy(&plan);
    free(params);
    nn_graph_destroy(&g);
}

static void params_are_read_from_wherever_the_caller_has_them(void **state)
{
    (void)state;
    nn_graph *g = new_graph(false, 0);
    size_t P = (size_t)nn_table_count(nn_graph_table(g));
    float *a = fl_xcalloc(P + 1, sizeof *a), *b = fl_xcalloc(P + 1, sizeof *b);
    float *grad_a = fl_xcalloc(P, sizeof *a), *grad_b = fl_xcalloc(P, sizeof *b);
    nn_graph_init(g, a, 3);
    memcpy(b + 1, a, P * sizeof *a);  // not aligned
    nn_plan *plan = new_plan(g, ROWS, true, 1);
    fill_batch(plan, ROWS, 1, true);
    double loss = nn_plan_step(plan, a, grad_a, ROWS, NULL);
    check_near(nn_plan_step(plan, b + 1, grad_b, ROWS, NULL), loss, 0);
    check_bytes(grad_a, grad_b, P * sizeof *a);
    nn_plan_destroy(&plan);
    free(a);
    free(b);
    free(grad_a);
    free(grad_b);
    nn_graph_destroy(&g);
}

static void statistics_advance_in_training_only(void **state)
{
    (void)state;
    nn_graph *g = new_graph(true, 0);
    const nn_table *table = nn_graph_table(g);
    const nn_param *mean = nn_table_find(table, "bn.running_mean");
    float *params = fl_xcalloc((size_t)nn_table_count(table), sizeof *params);
    float *grad = fl_xcalloc((size_t)nn_table_count(table), sizeof *grad);
    nn_graph_init(g, params, 3);
    memset(grad, 0x7f, (size_t)nn_table_count(table) * sizeof *grad);
    nn_plan *plan = new_plan(g, ROWS, true, 1);
    fill_batch(plan, ROWS, 1, true);
    nn_plan_forward(plan, params, ROWS);
    check_near(nn_vec_max_abs(params + mean->offset, mean->count), 0, 0);
    nn_plan_step(plan, params, grad, ROWS, NULL);
    check(nn_vec_max_abs(params + mean->offset, mean->count) > 0);
    check_near(nn_vec_max_abs(grad + mean->offset, mean->count), 0, 0);  // no gradient
    nn_plan_destroy(&plan);
    free(params);
    free(grad);
    nn_graph_destroy(&g);
}

/*
 * Monte Carlo dropout: the reference drops the same numbers, for dropout lies
 * behind a dense layer here, whose rows are plain; it normalises by the running
 * statistics, as in use.
 */
static void sampling_drops_and_normalises_as_in_use(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = new_graph(true, 0.4);
    const nn_param *var = nn_table_find(nn_graph_table(g), "bn.running_var");
    nn_params params;
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    nn_graph_init(g, params.data, 3);
    for (int64_t c = 0; c < var->count; c++) {
        params.data[var->offset + c] = 0.2f + 0.1f * (float)c;
    }
    nn_plan_config cfg = {.capacity = ROWS, .sample = true, .threads = 1};
    nn_plan *plan;
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    nn_ref *r = nn_ref_new(g, ROWS, false);
    nn_ref_set_params(r, params.data);
    fill_batch(plan, ROWS, 5, false);
    for (int64_t i = 0; i < ROWS * SIZE * SIZE; i++) {
        nn_ref_value(r, nn_graph_input_at(g, 0))[i] = nn_plan_input(plan, 0)[i];
    }
    float before[ROWS * N_CLASSES] = {0};
    for (uint64_t pass = 0; pass < 3; pass++) {
        fl_rng ours, theirs;
        fl_rng_init(&ours, 8, "members", "", pass);
        fl_rng_init(&theirs, 8, "members", "", pass);
        nn_plan_sample(plan, params.data, ROWS, &ours);
        nn_ref_forward(r, &theirs);
        const double *wanted = nn_ref_value(r, nn_graph_output_at(g, 0));
        for (int i = 0; i < ROWS * N_CLASSES; i++) {
            check_near(nn_plan_output(plan, 0)[i], wanted[i], 1e-4);
        }
        check(memcmp(before, nn_plan_output(plan, 0), sizeof before) != 0);  // another draw
        memcpy(before, nn_plan_output(plan, 0), sizeof before);
    }
    // And without drawing it is the plan that it would be.
    nn_plan *plain = new_plan(g, ROWS, false, 1);
    fill_batch(plain, ROWS, 5, false);
    nn_plan_forward(plain, params.data, ROWS);
    nn_plan_forward(plan, params.data, ROWS);
    for (int i = 0; i < ROWS * N_CLASSES; i++) {
        check_near(nn_plan_output(plan, 0)[i], nn_plan_output(plain, 0)[i], 1e-5);
    }
    nn_plan_destroy(&plain);
    nn_plan_destroy(&plan);
    nn_ref_destroy(&r);
    nn_params_clear(&params);
    nn_graph_destroy(&g);
}

/* Bytes of an inference plan of n convolutions, one behind the other. */
static size_t bytes_of_chain(int n)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("chain");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 16, 16, 16}});

    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "conv%d", i);
        x = nn_relu(g, nn_conv(g, name, x, 16, 3, 1, 1));
    }
    nn_graph_output(g, "y", nn_gemm(g, "fc", nn_flatten(g, x), 2));
    check_ok(nn_graph_finish(g, &err), err);
    nn_plan *plan = new_plan(g, ROWS, false, 1);
    size_t bytes = nn_plan_bytes(plan);
    nn_plan_destroy(&plan);
    nn_graph_destroy(&g);
    return bytes;
}

static void activations_share_one_arena(void **state)
{
    (void)state;
    check_int(bytes_of_chain(20), bytes_of_chain(4));
}

/* Learns where a noisy image is bright, on full and on smaller batches. */
static void check_segmentation(const nn_shape *input, const nn_loss_config *loss)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("segmentation");
    nn_value x = nn_graph_input(g, "image", input);
    x = nn_relu(g, nn_batch_norm(g, "bn", nn_conv(g, "conv1", x, 16, 3, 1, 1)));
    nn_graph_output(g, "logits", nn_conv(g, "conv2", x, 2, 1, 1, 0));
    check_ok(nn_graph_finish(g, &err), err);
    nn_plan_config cfg = {.capacity = 4, .train = true, .threads = 1, .loss = *loss};
    nn_plan *plan;
    nn_optim *optim;
    nn_optim_config adam;
    nn_params params, grad;
    nn_optim_defaults(&adam);
    adam.kind = NN_ADAM;
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    check_ok(nn_optim_new(&optim, &adam, nn_graph_table(g), &err), err);
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    check_ok(nn_params_init(&grad, nn_graph_table(g), &err), err);
    nn_graph_init(g, params.data, 1);
    int64_t HW = nn_shape_count(input, 1), width = nn_plan_target_row(plan);
    float unlabelled = nn_loss_takes_codes(loss->kind) ? -1 : NAN;
    check_int(width, nn_loss_takes_codes(loss->kind) ? HW : 2 * HW);
    double first = 0, last = 0;
    for (int step = 0; step < 60; step++) {
        int64_t n = step % 3 == 2 ? 3 : 4;
        fl_rng rng;
        fl_rng_init(&rng, (uint64_t)step, "batch", "", 0);
        float *image = nn_plan_input(plan, 0), *target = nn_plan_target(plan);
        for (int64_t i = 0; i < n * HW; i++) {
            image[i] = (float)fl_rng_normal(&rng);
            target[i / HW * width + i % HW] = i % 5 == 0 ? unlabelled : image[i] > 0;
            if (width > HW) {
                target[i / HW * width + HW + i % HW] = i % 5 == 0 ? unlabelled : image[i] <= 0;
            }
        }
        last = nn_plan_step(plan, params.data, grad.data, n, NULL);
        check_near(nn_loss_run(loss, nn_plan_output(plan, 0), target, n, n, 2, HW, NULL), last,
                   1e-12);
        nn_optim_step(optim, params.data, grad.data, 1);
        first = step == 0 ? last : first;
    }
    check(last < 0.6 * first);
    nn_plan_destroy(&plan);
    nn_optim_destroy(&optim);
    nn_params_clear(&params);
    nn_params_clear(&grad);
    nn_graph_destroy(&g);
}

static void a_plan_trains_a_score_of_each_pixel(void **state)
{
    (void)state;
    static const float weight[] = {1, 2};
    nn_shape image = {4, {NN_BATCH, 1, 10, 7}}, volume = {5, {NN_BATCH, 1, 5, 6, 7}};
    for (int i = 0; i < 2; i++) {
        const nn_shape *input = i == 0 ? &image : &volume;
        check_segmentation(input,
                           &(nn_loss_config){.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight});
        check_segmentation(input,
                           &(nn_loss_config){.kind = NN_LOSS_SIGMOID_CE, .class_weight = weight});
        check_segmentation(input, &(nn_loss_config){.kind = NN_LOSS_DICE_CE});
        check_segmentation(input, &(nn_loss_config){.kind = NN_LOSS_SOFTMAX_DICE_CE});
    }
}

static void what_cannot_be_planned_is_said_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_graph *g = new_graph(false, 0);
    nn_plan_config cfg = {.capacity = 4, .train = true, .precision = NN_BF16, .threads = 1};
    if (nn_precision_why_not(NN_BF16) != NULL) {
        check_fails(nn_plan_new(&plan, g, &cfg, &err), FL_EUNSUPPORTED);
        check_has(err.text, "bf16 needs a CPU with");
    }
    cfg.precision = NN_FP32;
    cfg.loss.kind = NN_LOSS_DICE;
    check_fails(nn_plan_new(&plan, g, &cfg, &err), FL_EUNSUPPORTED);
    check_has(err.text, "(N, K, H, W)");
    cfg.loss.kind = NN_LOSS_SOFTMAX_CE;
    cfg.capacity = 0;
    check_fails(nn_plan_new(&plan, g, &cfg, &err), FL_ECONFIG);
    nn_graph_destroy(&g);

    g = nn_graph_new("no parameters");
    nn_value x = nn_relu(g, nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 3}}));
    nn_graph_output(g, "y", x);
    check_ok(nn_graph_finish(g, &err), err);
    cfg.capacity = 4;
    check_fails(nn_plan_new(&plan, g, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "no parameter");
    check(plan == NULL);
    nn_graph_destroy(&g);

    g = nn_graph_new("no batch");
    nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){2, {5, 3}}, NN_INIT_ONE, 0);
    nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 3}});
    nn_graph_output(g, "y", nn_relu(g, w));  // five rows, whatever the batch
    check_ok(nn_graph_finish(g, &err), err);
    check_fails(nn_plan_new(&plan, g, &cfg, &err), FL_EUNSUPPORTED);
    check_has(err.text, "y must be a batch of rows");
    nn_graph_destroy(&g);
}

/* A graph from elsewhere need not be large to ask for more than there is. */
static void activations_that_no_machine_has_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_graph *g = nn_graph_new("large");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 1, 1, 1}});
    const int64_t shape[] = {NN_BATCH, 1 << 10, 1 << 10, 1 << 10};
    nn_attr to = NN_INTS("shape", shape, 4);
    x = nn_graph_op(g, "Expand", NULL, &x, 1, &to, 1);
    nn_graph_output(g, "y", nn_gemm(g, "fc", nn_flatten(g, nn_global_average_pool(g, x)), 2));
    check_ok(nn_graph_finish(g, &err), err);
    nn_plan_config cfg = {
        .capacity = 1 << 16, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_MSE}};
    check_fails(nn_plan_new(&plan, g, &cfg, &err), FL_ELIMIT);
    check_has(err.text, "the activations of a batch");
    check_has(err.text, "do not fit in memory");
    check(plan == NULL);
    nn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_trains_and_another_predicts),
        cmocka_unit_test(the_same_seed_gives_the_same_bits),
        cmocka_unit_test(a_small_batch_on_a_large_plan_is_as_on_a_small_one),
        cmocka_unit_test(rows_do_not_see_each_other_in_inference),
        cmocka_unit_test(params_are_read_from_wherever_the_caller_has_them),
        cmocka_unit_test(statistics_advance_in_training_only),
        cmocka_unit_test(sampling_drops_and_normalises_as_in_use),
        cmocka_unit_test(activations_share_one_arena),
        cmocka_unit_test(a_plan_trains_a_score_of_each_pixel),
        cmocka_unit_test(what_cannot_be_planned_is_said_in_words),
        cmocka_unit_test(activations_that_no_machine_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
