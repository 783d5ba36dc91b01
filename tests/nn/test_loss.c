/*
 * test_loss.c - losses and their gradients
 */
#include "check.h"

#include "base/json.h"
#include "base/rng.h"
#include "nn/loss.h"

static void cross_entropy_of_a_uniform_guess_is_log_k(void **state)
{
    (void)state;
    nn_loss_config cfg = {.kind = NN_LOSS_SOFTMAX_CE};
    float logits[] = {2, 2, 2, 2, 2, 2}, target[] = {0, 2}, dlogits[6];
    check_near(nn_loss_run(&cfg, logits, target, 2, 2, 3, 1, dlogits), log(3), 1e-12);
    check_near(dlogits[0], (1.0 / 3 - 1) / 2, 1e-7);
    check_near(dlogits[1], 1.0 / 3 / 2, 1e-7);
}

enum { ROWS = 5, K = 4, PIXELS = 300 };  // more than are looked at together

/* The gradient against central differences of step 2^-10, whose square is their
 * relative error; one in `every` is looked at. */
static void check_gradient_of(const nn_loss_config *cfg, const float *target, int64_t HW, int every)
{
    int64_t n = ROWS * K * HW, with_more = (ROWS + 2) * K * HW;
    float *logits = fl_xcalloc((size_t)n, sizeof *logits), largest = 0;
    float *dlogits = fl_xcalloc((size_t)with_more, sizeof *dlogits);
    fl_rng rng;

    fl_rng_init(&rng, 3, "test", "", 0);
    for (int64_t i = 0; i < n; i++) {
        logits[i] = (float)fl_rng_normal(&rng);
    }
    memset(dlogits, 0x7f, (size_t)with_more * sizeof *dlogits);
    nn_loss_run(cfg, logits, target, ROWS, ROWS + 2, K, HW, dlogits);
    for (int64_t i = 0; i < n; i++) {
        largest = fmaxf(largest, fabsf(dlogits[i]));
    }
    check(largest > 0);
    for (int64_t i = 0; i < n; i += every) {
        float before = logits[i], above, below;
        logits[i] = above = before + 0x1p-10f;
        double up = nn_loss_run(cfg, logits, target, ROWS, ROWS, K, HW, NULL);
        logits[i] = below = before - 0x1p-10f;
        double down = nn_loss_run(cfg, logits, target, ROWS, ROWS, K, HW, NULL);
        logits[i] = before;
        check_near(dlogits[i], (up - down) / ((double)above - below), 1e-5 * largest + 1e-9);
    }
    for (int64_t i = n; i < with_more; i++) {
        check_near(dlogits[i], 0, 0);  // rows that are not valid
    }
    free(logits);
    free(dlogits);
}

static void check_gradient(const nn_loss_config *cfg, const float *target)
{
    check_gradient_of(cfg, target, 1, 1);
}

static void gradients_are_right_with_weights_and_missing_labels(void **state)
{
    (void)state;
    static const float weight[] = {1, 3, 0.5f, 2};
    float codes[] = {0, 3, -1, 1, 1}, values[ROWS * K];
    for (int i = 0; i < ROWS * K; i++) {
        values[i] = i % 7 == 3 ? NAN : (float)(i % 3) / 2;
    }
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_SOFTMAX_CE}, codes);
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight}, codes);
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_SIGMOID_CE}, values);
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_SIGMOID_CE, .class_weight = weight}, values);
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_MSE}, values);
}

static void what_is_not_labelled_weighs_nothing(void **state)
{
    (void)state;
    nn_loss_config softmax = {.kind = NN_LOSS_SOFTMAX_CE}, sigmoid = {.kind = NN_LOSS_SIGMOID_CE};
    float logits[] = {1, -1, 9, 9}, codes[] = {0, -1}, values[] = {1, NAN, NAN, NAN}, dlogits[4];
    float none[] = {-1, -1};
    check_near(nn_loss_run(&softmax, logits, codes, 2, 2, 2, 1, dlogits), log1p(exp(-2)), 1e-12);
    check_near(dlogits[2], 0, 0);
    check_near(nn_loss_run(&sigmoid, logits, values, 2, 2, 2, 1, dlogits), log1p(exp(-1)), 1e-12);
    check_near(dlogits[1], 0, 0);
    check_near(nn_loss_run(&softmax, logits, none, 2, 2, 2, 1, dlogits), 0, 0);
    check_near(dlogits[0], 0, 0);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    nn_loss_config softmax = {.kind = NN_LOSS_SOFTMAX_CE}, sigmoid = {.kind = NN_LOSS_SIGMOID_CE};
    float logits[] = {1000, -1000}, code[] = {1}, values[] = {0, 1}, dlogits[2], prob[2];
    check_near(nn_loss_run(&softmax, logits, code, 1, 1, 2, 1, dlogits), 2000, 1e-9);
    check_near(dlogits[0], 1, 1e-6);
    check_near(nn_loss_run(&sigmoid, logits, values, 1, 1, 2, 1, dlogits), 1000, 1e-9);
    nn_softmax(prob, logits, 1, 2, 1);
    check_near(prob[0], 1, 0);
    float pixels[] = {0, 1000, 0, -1000};  // (1, 2, 2)
    nn_softmax(pixels, pixels, 1, 2, 2);
    check_near(pixels[0], 0.5, 1e-7);
    check_near(pixels[1], 1, 0);
    check_near(pixels[3], 0, 0);
    nn_sigmoid(logits, logits, 2);
    check_near(logits[1], 0, 0);
}

static void a_loss_of_nan_is_nan(void **state)
{
    (void)state;
    float logits[] = {NAN, 0}, code[] = {0};
    check(isnan(nn_loss_run(&(nn_loss_config){.kind = NN_LOSS_SOFTMAX_CE}, logits, code, 1, 1, 2, 1,
                            NULL)));
}

static void gradients_of_the_other_losses_are_right(void **state)
{
    (void)state;
    static const float weight[] = {1, 3, 0.5f, 2};
    float codes[] = {0, 3, -1, 1, 1}, values[ROWS * K];
    for (int i = 0; i < ROWS * K; i++) {
        values[i] = i % 7 == 3 || i / K == 2 ? NAN : (float)(i % 3) / 2;  // a row without any
    }
    for (int weighted = 0; weighted < 2; weighted++) {
        const float *w = weighted ? weight : NULL;
        check_gradient(
            &(nn_loss_config){.kind = NN_LOSS_SOFTMAX_CE, .class_weight = w, .smoothing = 0.1},
            codes);
        check_gradient(&(nn_loss_config){.kind = NN_LOSS_FOCAL, .class_weight = w, .gamma = 2},
                       codes);
        for (int k = 0; k < 3; k++) {
            nn_loss_config cfg = {.kind = NN_LOSS_EVIDENTIAL, .class_weight = w, .anneal = k / 2.0};
            check_gradient(&cfg, codes);
        }
    }
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_L1}, values);
    check_gradient(&(nn_loss_config){.kind = NN_LOSS_HUBER, .delta = 0.7}, values);
}

static void gradients_over_pixels_are_right(void **state)
{
    (void)state;
    static const float weight[] = {1, 3, 0.5f, 2};
    float *codes = fl_xcalloc(ROWS * PIXELS, sizeof *codes);
    float *values = fl_xcalloc(ROWS * K * PIXELS, sizeof *values);
    for (int i = 0; i < ROWS * PIXELS; i++) {
        codes[i] = i / PIXELS == 2 ? -1 : (float)(i * 7 % 11 % (K + 1) - 1);  // image 2 has none
    }
    for (int i = 0; i < ROWS * K * PIXELS; i++) {
        values[i] = i % 7 == 3 || i / PIXELS == 2 ? NAN : (float)(i % 3) / 2;
    }
    static const nn_loss_config of_codes[] = {
        {.kind = NN_LOSS_SOFTMAX_CE},
        {.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight},
        {.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight, .smoothing = 0.1},
        {.kind = NN_LOSS_FOCAL, .gamma = 2},
        {.kind = NN_LOSS_SOFTMAX_DICE},
        {.kind = NN_LOSS_SOFTMAX_DICE_CE, .class_weight = weight},
    };
    static const nn_loss_config of_values[] = {
        {.kind = NN_LOSS_SIGMOID_CE, .class_weight = weight},
        {.kind = NN_LOSS_MSE},
        {.kind = NN_LOSS_HUBER, .delta = 0.7},
        {.kind = NN_LOSS_DICE},
        {.kind = NN_LOSS_DICE_CE, .class_weight = weight},
    };
    for (size_t i = 0; i < sizeof of_codes / sizeof *of_codes; i++) {
        check_gradient_of(&of_codes[i], codes, PIXELS, 61);
    }
    for (size_t i = 0; i < sizeof of_values / sizeof *of_values; i++) {
        check_gradient_of(&of_values[i], values, PIXELS, 61);
    }
    free(codes);
    free(values);
}

/* Number i of a stream, in [-1, 1); nn_train.py's value(). */
static float value(uint64_t stream, uint64_t i)
{
    const uint64_t mask = UINT32_MAX;
    uint64_t x = (i * 2654435761u + stream * 40503u * 65537u + 12345u) & mask;

    x = (x * 1664525u + 1013904223u) & mask;
    x = ((x ^ (x >> 15)) * 2246822519u) & mask;
    return (float)((double)(x >> 8) / 8388608.0 - 1);
}

enum { N_IMAGES = 2, N_CLASSES = 3, AREA = 17 * 17, N_LOGITS = N_IMAGES * N_CLASSES * AREA };

static void losses_over_pixels_are_pytorchs(void **state)
{
    (void)state;
    static const float weight[] = {1, 2, 0.5f};
    static const struct {
        const char *name;
        nn_loss_config cfg;
    } cases[] = {
        {"softmax_ce", {.kind = NN_LOSS_SOFTMAX_CE}},
        {"softmax_ce_weighted", {.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight}},
        {"softmax_ce_smoothed",
         {.kind = NN_LOSS_SOFTMAX_CE, .class_weight = weight, .smoothing = 0.2}},
        {"sigmoid_ce", {.kind = NN_LOSS_SIGMOID_CE}},
        {"sigmoid_ce_weighted", {.kind = NN_LOSS_SIGMOID_CE, .class_weight = weight}},
        {"dice", {.kind = NN_LOSS_DICE}},
        {"dice_ce", {.kind = NN_LOSS_DICE_CE}},
        {"softmax_dice", {.kind = NN_LOSS_SOFTMAX_DICE}},
        {"softmax_dice_ce", {.kind = NN_LOSS_SOFTMAX_DICE_CE}},
    };
    static float logits[N_LOGITS], values[N_LOGITS], codes[N_IMAGES * AREA], dlogits[N_LOGITS];
    fl_err err = FL_ERR_INIT;
    json_t *vectors;

    check_ok(fl_json_read(&vectors, "tests/vectors/nn_loss.json", 1 << 20, &err), err);
    for (uint64_t i = 0; i < N_LOGITS; i++) {
        logits[i] = 4 * value(1, i);
        values[i] = value(4, i) < 0.6f ? floorf((value(3, i) + 1) * 2.5f) / 4 : NAN;
    }
    for (uint64_t i = 0; i < N_IMAGES * AREA; i++) {
        codes[i] = floorf((value(2, i) + 1) * 2) - 1;
    }
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const json_t *golden = json_object_get(vectors, cases[c].name);
        const json_t *gradient = json_object_get(golden, "gradient");
        bool takes_codes = nn_loss_takes_codes(cases[c].cfg.kind);
        double loss = nn_loss_run(&cases[c].cfg, logits, takes_codes ? codes : values, N_IMAGES,
                                  N_IMAGES, N_CLASSES, AREA, dlogits);
        /* Both sides sum in double; the gradient is rounded to float. */
        check_near(loss, json_number_value(json_object_get(golden, "loss")), 1e-9);
        check_int(json_array_size(gradient), (N_LOGITS + 52) / 53);
        for (size_t i = 0; i < json_array_size(gradient); i++) {
            check_near(dlogits[i * 53], json_number_value(json_array_get(gradient, i)), 1e-9);
        }
    }
    json_decref(vectors);
}

/* Of n rows of k scores, or with a loss of areas of one class at k pixels. */
static double loss_of(const nn_loss_config *cfg, const float *x, const float *t, int64_t n,
                      int64_t k)
{
    bool is_area = nn_loss_is_of_areas(cfg->kind);

    return nn_loss_run(cfg, x, t, n, n, is_area ? 1 : k, is_area ? k : 1, NULL);
}

static void losses_have_their_closed_forms(void **state)
{
    (void)state;
    float even[] = {1, 1, 1, 1}, x[] = {0.5f, -2, 3, 0}, zero[] = {0, 0, 0, 0}, code[] = {2};
    float half[] = {1, 1, 0, 0}, none[] = {NAN, NAN, NAN, NAN}, unknown[] = {-1};
    /* A uniform guess: every smoothing costs log 4, focal (3/4)^2 of it. */
    nn_loss_config smooth = {.kind = NN_LOSS_SOFTMAX_CE, .smoothing = 0.3};
    check_near(loss_of(&smooth, even, code, 1, 4), log(4), 1e-12);
    nn_loss_config focal = {.kind = NN_LOSS_FOCAL, .gamma = 2};
    check_near(loss_of(&focal, even, code, 1, 4), 0.5625 * log(4), 1e-12);
    /* gamma 0 is cross-entropy. */
    focal.gamma = 0;
    nn_loss_config ce = {.kind = NN_LOSS_SOFTMAX_CE};
    check_near(loss_of(&focal, x, code, 1, 4), loss_of(&ce, x, code, 1, 4), 1e-12);
    nn_loss_config l1 = {.kind = NN_LOSS_L1}, huber = {.kind = NN_LOSS_HUBER, .delta = 1};
    check_near(loss_of(&l1, x, zero, 1, 4), 5.5 / 4, 1e-12);
    check_near(loss_of(&huber, x, zero, 1, 4), (0.125 + 1.5 + 2.5) / 4, 1e-12);
    /* p = 1/2 everywhere, half of the pixels are 1. */
    nn_loss_config dice = {.kind = NN_LOSS_DICE}, dice_ce = {.kind = NN_LOSS_DICE_CE};
    check_near(loss_of(&dice, zero, half, 1, 4), 1 - 3.0 / 5, 1e-12);
    check_near(loss_of(&dice_ce, zero, half, 1, 4), 1 - 3.0 / 5 + log(2), 1e-12);
    /* No evidence at all (x far below 0): p = 1/4, S = 4, divergence 0. */
    float blank[] = {-90, -90, -90, -90}, sure[] = {-90, -90, 90, -90};
    nn_loss_config evidential = {.kind = NN_LOSS_EVIDENTIAL, .anneal = 1};
    check_near(loss_of(&evidential, blank, code, 1, 4), 0.75 + 0.75 / 5, 1e-12);
    /* Two classes, alpha 1 + 90 for the wrong one: KL of Beta(1, 91) is log 91 - 90/91. */
    float one[] = {0}, wrong[] = {90, -90};
    double p = 1.0 / 92, expected = 2 * (1 - p) * (1 - p) + 2 * p * (1 - p) / 93;
    check_near(loss_of(&evidential, wrong, (one[0] = 1, one), 1, 2), expected + log(91) - 90.0 / 91,
               1e-9);
    check(loss_of(&evidential, sure, code, 1, 4) < 0.01);
    check_near(loss_of(&evidential, x, unknown, 1, 4), 0, 0);
    check_near(loss_of(&focal, x, unknown, 1, 4), 0, 0);
    check_near(loss_of(&dice_ce, x, none, 1, 4), 0, 0);
    check_near(loss_of(&huber, x, none, 1, 4), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_of_a_uniform_guess_is_log_k),
        cmocka_unit_test(gradients_are_right_with_weights_and_missing_labels),
        cmocka_unit_test(gradients_of_the_other_losses_are_right),
        cmocka_unit_test(gradients_over_pixels_are_right),
        cmocka_unit_test(losses_over_pixels_are_pytorchs),
        cmocka_unit_test(losses_have_their_closed_forms),
        cmocka_unit_test(what_is_not_labelled_weighs_nothing),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(a_loss_of_nan_is_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
