/*
 * long_gradients.c - the gradient of the large architectures
 */
#include "check.h"

#include "gradients.h"

/* fp32 with Winograd's convolutions, and normalisations over as few as 16 numbers,
 * which divide by a small deviation. */
static const double tolerance = 2e-3;

static const nn_shape image16 = {4, {NN_BATCH, 1, 16, 16}}, image63 = {4, {NN_BATCH, 1, 63, 64}};

static void alexnet(void **state)
{
    (void)state;
    gradients_check("{name: alexnet, fc: 8}", image63, tolerance);
}

static void vgg16_without_normalisation(void **state)
{
    (void)state;
    gradients_check("{name: vgg16, base: 8, fc: 8}", image63, tolerance);
}

static void deeper_residual_networks(void **state)
{
    (void)state;
    gradients_check("{name: resnet34, base: 4}", image16, tolerance);
    gradients_check("{name: resnet50, base: 4}", image16, tolerance);
}

/*
 * Of the whole network the gradient is no function that fp32 could follow.  Behind the last pool
 * four images of 16 pixels a side leave 16 numbers of a channel, and a ReLU that turns there
 * turns much: in double, inputs and parameters disturbed by 6e-8 of their size, one rounding,
 * move it by .97 % in two draws of three and by 1e-5 in the third; disturbed by 1e-6, by 1.1, 1.8
 * and 4.7 % (resnet34's: by 3e-5).  The plan's is 1.9 % away.  Up to the fourth of its nine
 * modules, which differ in widths alone, no unit is so near to turning, and the plan's is 4e-6
 * away.
 */
static void googlenet(void **state)
{
    (void)state;
    gradients_check_until("googlenet", "inception4b", image16, tolerance);
    gradients_check("googlenet", image16, 0.05);
}

static void densenet121(void **state)
{
    (void)state;
    gradients_check("{name: densenet121, base: 8}", image16, tolerance);
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
