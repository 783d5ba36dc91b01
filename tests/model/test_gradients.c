/*
 * test_gradients.c - the gradient of small architectures, and of small forms of
 * large ones
 */
#include "check.h"

#include "gradients.h"

/* fp32 with Winograd's convolutions, and normalisations over as few as 16 numbers,
 * which divide by a small deviation. */
static const double tolerance = 2e-3;

static const nn_shape image12 = {4, {NN_BATCH, 1, 12, 12}}, image16 = {4, {NN_BATCH, 1, 16, 16}},
                      volume8 = {5, {NN_BATCH, 1, 8, 9, 8}};

static void convolutions_in_a_row(void **state)
{
    (void)state;
    gradients_check("{name: cnn, channels: [4, 8], fc: 8}", image12, tolerance);
    gradients_check("{name: vgg16, base: 4, fc: 4, norm: batch}",
                    (nn_shape){4, {NN_BATCH, 1, 32, 32}}, tolerance);
}

static void a_residual_network(void **state)
{
    (void)state;
    gradients_check("{name: resnet18, base: 4}", image16, tolerance);
    gradients_check("{name: resnet18, base: 4, stem: full, norm: group}", image16, tolerance);
}

static void unets(void **state)
{
    (void)state;
    gradients_check("{name: unet, base: 4, depth: 2}", image12, tolerance);
    gradients_check("{name: unet, base: 4, depth: 2}", (nn_shape){4, {NN_BATCH, 2, 13, 15}},
                    tolerance);
    gradients_check("{name: unet, base: 4, depth: 2, norm: instance}", image16, tolerance);
    gradients_check("{name: unet, base: 4, depth: 1, padding: valid}",
                    (nn_shape){4, {NN_BATCH, 1, 18, 20}}, tolerance);
    gradients_check("{name: unet, base: 2, depth: 2}", volume8, tolerance);
    gradients_check("{name: attention_unet, base: 4, depth: 3}", image16, tolerance);
    gradients_check("{name: attention_unet, base: 2, depth: 2}", volume8, tolerance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_in_a_row),
        cmocka_unit_test(a_residual_network),
        cmocka_unit_test(unets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
