/*
 * long_gradients.c - the gradient of the large architectures
 */
#include "check.h"

#include "gradients.h"

static const nn_shape image16 = {4, {NN_BATCH, 1, 16, 16}}, image63 = {4, {NN_BATCH, 1, 63, 64}};

static void alexnet(void **state)
{
    (void)state;
    gradients_check("{name: alexnet, fc: 8}", image63);
}

static void vgg16_without_normalisation(void **state)
{
    (void)state;
    gradients_check("{name: vgg16, base: 8, fc: 8}", image63);
}

static void deeper_residual_networks(void **state)
{
    (void)state;
    gradients_check("{name: resnet34, base: 4}", image16);
    gradients_check("{name: resnet50, base: 4}", image16);
}

static void googlenet(void **state)
{
    (void)state;
    gradients_check("googlenet", image16);
}

static void densenet121(void **state)
{
    (void)state;
    gradients_check("{name: densenet121, base: 8}", image16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alexnet),
        cmocka_unit_test(vgg16_without_normalisation),
        cmocka_unit_test(deeper_residual_networks),
        cmocka_unit_test(googlenet),
        cmocka_unit_test(densenet121),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
