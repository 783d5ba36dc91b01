/*
 * test_gradients.c - the gradient of small architectures, and of small forms of
 * large ones
 */
#include "check.h"

#include "gradients.h"

static const nn_shape image12 = {4, {NN_BATCH, 1, 12, 12}}, image16 = {4, {NN_BATCH, 1, 16, 16}},
                      volume8 = {5, {NN_BATCH, 1, 8, 9, 8}};

static void convolutions_in_a_row(void **state)
{
    (void)state;
    gradients_check("{name: cnn, channels: [4, 8], fc: 8}", image12);
    gradients_check("{name: vgg16, base: 4, fc: 4, norm: batch}",
                    (nn_shape){4, {NN_BATCH, 1, 32, 32}});
}

static void a_residual_network(void **state)
{
    (void)state;
    gradients_check("{name: resnet18, base: 4}", image16);
    gradients_check("{name: resnet18, base: 4, stem: full, norm: group}", image16);
}

static void unets(void **state)
{
    (void)state;
    gradients_check("{name: unet, base: 4, depth: 2}", image12);
    gradients_check("{name: unet, base: 4, depth: 2}", (nn_shape){4, {NN_BATCH, 2, 13, 15}});
    gradients_check("{name: unet, base: 4, depth: 2, norm: instance}", image16);
    gradients_check("{name: unet, base: 4, depth: 1, padding: valid}",
                    (nn_shape){4, {NN_BATCH, 1, 18, 20}});
    gradients_check("{name: unet, base: 2, depth: 2}", volume8);
    gradients_check("{name: attention_unet, base: 4, depth: 3}", image16);
    gradients_check("{name: attention_unet, base: 2, depth: 2}", volume8);
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
