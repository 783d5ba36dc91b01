/*
 * test_loss.c - losses and their gradients
 */
#include "check.h"

#include "base/rng.h"
#include "nn/loss.h"

static void cross_entropy_of_a_uniform_guess_is_log_k(void **state)
{
    (void)state;
    nn_loss_config cfg = {NN_LOSS_SOFTMAX_CE, NULL};
    float logits[] = {2, 2, 2, 2, 2, 2}, target[] = {0, 2}, dlogits[6];
    check_near(nn_loss_run(&cfg, logits, target, 2, 2, 3, dlogits), log(3), 1e-12);
    check_near(dlogits[0], (1.0 / 3 - 1) / 2, 1e-7);
    check_near(dlogits[1], 1.0 / 3 / 2, 1e-7);
}

enum { ROWS = 5, K = 4 };

/* The gradient against central differences; float logits limit it to 1e-3. */
static void check_gradient(const nn_loss_config *cfg, const float *target)
{
    float logits[ROWS * K], dlogits[(ROWS + 2) * K];
    fl_rng rng;

    fl_rng_init(&rng, 3, "test", "", 0);
    for (int i = 0; i < ROWS * K; i++) {
        logits[i] = (float)fl_rng_normal(&rng);
    }
    memset(dlogits, 0x7f, sizeof dlogits);
    nn_loss_run(cfg, logits, target, ROWS, ROWS + 2, K, dlogits);
    for (int i = 0; i < ROWS * K; i++) {
        float before = logits[i], above, below;
        logits[i] = above = before + 0x1p-10f;
        double up = nn_loss_run(cfg, logits, target, ROWS, ROWS, K, NULL);
        logits[i] = below = before - 0x1p-10f;
        double down = nn_loss_run(cfg, logits, target, ROWS, ROWS, K, NULL);
        logits[i] = before;
        check_near(dlogits[i], (up - down) / ((double)above - below), 1e-5);
    }
    for (int i = ROWS * K; i < (ROWS + 2) * K; i++) {
        check_near(dlogits[i], 0, 0);  // rows that are not valid
    }
}

static void gradients_are_right_with_weights_and_missing_labels(void **state)
{
    (void)state;
    static const float weight[] = {1, 3, 0.5f, 2};
    float codes[] = {0, 3, -1, 1, 1}, values[ROWS * K];
    for (int i = 0; i < ROWS * K; i++) {
        values[i] = i % 7 == 3 ? NAN : (float)(i % 3) / 2;
    }
    check_gradient(&(nn_loss_config){NN_LOSS_SOFTMAX_CE, NULL}, codes);
    check_gradient(&(nn_loss_config){NN_LOSS_SOFTMAX_CE, weight}, codes);
    check_gradient(&(nn_loss_config){NN_LOSS_SIGMOID_CE, NULL}, values);
    check_gradient(&(nn_loss_config){NN_LOSS_SIGMOID_CE, weight}, values);
    check_gradient(&(nn_loss_config){NN_LOSS_MSE, NULL}, values);
}

static void what_is_not_labelled_weighs_nothing(void **state)
{
    (void)state;
    nn_loss_config softmax = {NN_LOSS_SOFTMAX_CE, NULL}, sigmoid = {NN_LOSS_SIGMOID_CE, NULL};
    float logits[] = {1, -1, 9, 9}, codes[] = {0, -1}, values[] = {1, NAN, NAN, NAN}, dlogits[4];
    float none[] = {-1, -1};
    check_near(nn_loss_run(&softmax, logits, codes, 2, 2, 2, dlogits), log1p(exp(-2)), 1e-12);
    check_near(dlogits[2], 0, 0);
    check_near(nn_loss_run(&sigmoid, logits, values, 2, 2, 2, dlogits), log1p(exp(-1)), 1e-12);
    check_near(dlogits[1], 0, 0);
    check_near(nn_loss_run(&softmax, logits, none, 2, 2, 2, dlogits), 0, 0);
    check_near(dlogits[0], 0, 0);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    nn_loss_config softmax = {NN_LOSS_SOFTMAX_CE, NULL}, sigmoid = {NN_LOSS_SIGMOID_CE, NULL};
    float logits[] = {1000, -1000}, code[] = {1}, values[] = {0, 1}, dlogits[2], prob[2];
    check_near(nn_loss_run(&softmax, logits, code, 1, 1, 2, dlogits), 2000, 1e-9);
    check_near(dlogits[0], 1, 1e-6);
    check_near(nn_loss_run(&sigmoid, logits, values, 1, 1, 2, dlogits), 1000, 1e-9);
    nn_softmax(prob, logits, 1, 2);
    check_near(prob[0], 1, 0);
    nn_sigmoid(logits, logits, 2);
    check_near(logits[1], 0, 0);
}

static void a_loss_of_nan_is_nan(void **state)
{
    (void)state;
    float logits[] = {NAN, 0}, code[] = {0};
    check(isnan(
        nn_loss_run(&(nn_loss_config){NN_LOSS_SOFTMAX_CE, NULL}, logits, code, 1, 1, 2, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_of_a_uniform_guess_is_log_k),
        cmocka_unit_test(gradients_are_right_with_weights_and_missing_labels),
        cmocka_unit_test(what_is_not_labelled_weighs_nothing),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(a_loss_of_nan_is_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
