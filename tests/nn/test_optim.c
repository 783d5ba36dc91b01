/*
 * test_optim.c - optimisers on a vector one can follow by hand
 *
 * Whole trainings against PyTorch's are in tests/model/test_training.c.
 */
#include "check.h"

#include "nn/optim.h"

static nn_table *table_with_statistics(void)
{
    fl_err err = FL_ERR_INIT;
    nn_table *t = nn_table_new();

    check_ok(nn_table_add(t, "w", NN_WEIGHT, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(t, "mean", NN_STAT, &(nn_shape){1, {1}}, &err), err);
    check_ok(nn_table_add(t, "b", NN_BIAS, &(nn_shape){1, {1}}, &err), err);
    return t;
}

/* Two steps with the same gradient; p starts as {1, 2, 3, 4}. */
static void two_steps(float p[4], const nn_optim_config *cfg)
{
    fl_err err = FL_ERR_INIT;
    nn_table *t = table_with_statistics();
    nn_optim *o;

    for (int i = 0; i < 4; i++) {
        p[i] = (float)(i + 1);
    }
    check_ok(nn_optim_new(&o, cfg, t, &err), err);
    for (int i = 0; i < 2; i++) {
        float grad[] = {0.5f, -0.5f, 100, 1};
        nn_optim_step(o, p, grad, i == 0 ? 1 : 0.5);
    }
    nn_optim_destroy(&o);
    nn_table_destroy(&t);
}

static void sgd_steps_downhill_and_leaves_statistics_alone(void **state)
{
    (void)state;
    float p[4];
    nn_optim_config cfg;
    nn_optim_defaults(&cfg);
    cfg.lr = 0.1;
    cfg.momentum = 0;
    two_steps(p, &cfg);
    check_near(p[0], 1 - 0.1 * 0.5 - 0.05 * 0.5, 1e-6);
    check_near(p[2], 3, 0);
    check_near(p[3], 4 - 0.1 - 0.05, 1e-6);
}

static void momentum_and_nesterov_are_pytorchs(void **state)
{
    (void)state;
    float p[4];
    nn_optim_config cfg = {.kind = NN_SGD, .lr = 0.1, .momentum = 0.9};
    two_steps(p, &cfg);  // v = 1, then 1.9
    check_near(p[3], 4 - 0.1 * 1 - 0.05 * 1.9, 1e-6);
    cfg.nesterov = true;
    two_steps(p, &cfg);
    check_near(p[3], 4 - 0.1 * 1.9 - 0.05 * (1 + 0.9 * 1.9), 1e-6);
}

static void adam_steps_by_the_learning_rate_whatever_the_gradient(void **state)
{
    (void)state;
    float p[4];
    nn_optim_config cfg;
    nn_optim_defaults(&cfg);
    cfg.kind = NN_ADAM;
    cfg.lr = 0.1;
    two_steps(p, &cfg);
    check_near(p[0], 1 - 0.1 - 0.05, 1e-6);
    check_near(p[1], 2 + 0.1 + 0.05, 1e-6);
    check_near(p[2], 3, 0);
}

static void adamw_decays_the_parameter_itself(void **state)
{
    (void)state;
    float p[4];
    nn_optim_config cfg;
    nn_optim_defaults(&cfg);
    cfg.kind = NN_ADAMW;
    cfg.lr = 0.1;
    cfg.weight_decay = 0.5;
    two_steps(p, &cfg);
    double x = 1 * (1 - 0.1 * 0.5) - 0.1;
    check_near(p[0], x * (1 - 0.05 * 0.5) - 0.05, 1e-6);
}

static void clipping_bounds_the_norm_of_the_trainable_gradient(void **state)
{
    (void)state;
    float p[4];
    nn_optim_config cfg = {.kind = NN_SGD, .lr = 1, .clip_norm = 0.1};
    two_steps(p, &cfg);  // |g| = sqrt(1.5), without the statistics' 100
    check_near(p[3], 4 - 1.5 * 0.1 / sqrt(1.5), 1e-5);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_table *t = table_with_statistics();
    nn_optim *o;
    nn_optim_config wrong[] = {{.kind = NN_SGD, .lr = 0},
                               {.kind = NN_SGD, .lr = NAN},
                               {.kind = NN_SGD, .lr = 1, .momentum = 1},
                               {.kind = NN_SGD, .lr = 1, .nesterov = true},
                               {.kind = NN_SGD, .lr = 1, .weight_decay = -1},
                               {.kind = NN_ADAM, .lr = 1, .beta1 = 0.9, .beta2 = 1, .eps = 1e-8}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_fails(nn_optim_new(&o, &wrong[i], t, &err), FL_ECONFIG);
        check(o == NULL);
    }
    nn_table_destroy(&t);
}

static void schedules_scale_the_learning_rate(void **state)
{
    (void)state;
    nn_schedule none = {0}, step = {.kind = NN_STEP, .length = 10, .factor = 0.1};
    nn_schedule cosine = {.kind = NN_COSINE, .length = 50};
    nn_schedule warm = {.kind = NN_COSINE, .length = 50, .warmup = 5};
    check_near(nn_schedule_scale(&none, 0), 1, 0);
    check_near(nn_schedule_scale(&none, 1e6), 1, 0);
    /* torch.optim.lr_scheduler.StepLR(step_size=10) at epochs 9, 10, 25 */
    check_near(nn_schedule_scale(&step, 9), 1, 0);
    check_near(nn_schedule_scale(&step, 10), 0.1, 1e-15);
    check_near(nn_schedule_scale(&step, 25), 0.01, 1e-15);
    /* MultiStepLR(milestones=[50, 75]) at epochs 49, 50, 74, 75, 99 */
    nn_schedule drops = {.kind = NN_STEP, .factor = 0.1};
    check(nn_schedule_set_drops(&drops, (double[]){50, 75}, 2));
    check_near(nn_schedule_scale(&drops, 49.99), 1, 0);
    check_near(nn_schedule_scale(&drops, 50), 0.1, 1e-15);
    check_near(nn_schedule_scale(&drops, 74.5), 0.1, 1e-15);
    check_near(nn_schedule_scale(&drops, 75), 0.01, 1e-15);
    check_near(nn_schedule_scale(&drops, 99), 0.01, 1e-15);
    check(!nn_schedule_set_drops(&drops, (double[]){75, 50}, 2));
    check(!nn_schedule_set_drops(&drops, (double[]){0, 50}, 2));
    check(!nn_schedule_set_drops(&drops, NULL, 0));
    /* CosineAnnealingLR(T_max=50) at epochs 0, 10, 25, 50 */
    check_near(nn_schedule_scale(&cosine, 0), 1, 0);
    check_near(nn_schedule_scale(&cosine, 10), 0.9045084971874737, 1e-15);
    check_near(nn_schedule_scale(&cosine, 25), 0.5, 1e-15);
    check_near(nn_schedule_scale(&cosine, 50), 0, 0);
    check_near(nn_schedule_scale(&warm, 0), 0, 0);
    check_near(nn_schedule_scale(&warm, 2), 0.4 * nn_schedule_scale(&cosine, 2), 1e-15);
    check_near(nn_schedule_scale(&warm, 5), nn_schedule_scale(&cosine, 5), 0);
}

static void an_average_follows_parameters_and_copies_statistics(void **state)
{
    (void)state;
    nn_table *t = table_with_statistics();
    float average[] = {1, 2, 3, 4}, params[] = {2, 0, 7, 4};
    nn_optim_average(average, params, t, 0.75);
    check_near(average[0], 1.25, 0);
    check_near(average[1], 1.5, 0);
    check_near(average[2], 7, 0);
    check_near(average[3], 4, 0);
    nn_table_destroy(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_steps_downhill_and_leaves_statistics_alone),
        cmocka_unit_test(momentum_and_nesterov_are_pytorchs),
        cmocka_unit_test(adam_steps_by_the_learning_rate_whatever_the_gradient),
        cmocka_unit_test(adamw_decays_the_parameter_itself),
        cmocka_unit_test(clipping_bounds_the_norm_of_the_trainable_gradient),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(schedules_scale_the_learning_rate),
        cmocka_unit_test(an_average_follows_parameters_and_copies_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
