/*
 * test_blas.c - dense algebra
 */
#include "check.h"

#include "nn/blas.h"

static void a_product_of_two_matrices(void **state)
{
    (void)state;
    float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 2, 0, 1, 3}, c[4];
    nn_blas_gemm(c, a, b, 2, 2, 3);  // (2, 3) by (3, 2)
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            double sum = 0;
            for (int j = 0; j < 3; j++) {
                sum += (double)a[3 * i + j] * b[2 * j + k];
            }
            check_near(c[2 * i + k], sum, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_of_two_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
