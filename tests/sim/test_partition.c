/*
 * test_partition.c - sharing one data set out over hospitals
 */
#include "sim/partition.h"

#include <math.h>
#include <stdlib.h>

#include "tests/check.h"

static void dirichlet_shares_are_positive_and_sum_to_one(void **state)
{
    (void)state;
    fl_rng rng;
    fl_rng_init(&rng, 7, "test", "", 0);
    double share[6];
    for (int draw = 0; draw < 200; draw++) {
        partition_dirichlet(share, 6, draw % 2 ? 0.1 : 10.0, &rng);
        double sum = 0;
        for (int i = 0; i < 6; i++) {
            assert_true(share[i] >= 0);
            sum += share[i];
        }
        check_near(sum, 1.0, 1e-12);
    }
}

/* Var(share) of a symmetric Dirichlet is (1/n)(1 - 1/n) / (n alpha + 1). */
static void dirichlet_has_the_variance_of_the_textbook(void **state)
{
    (void)state;
    enum { N = 5, DRAWS = 20000 };
    const double alphas[] = {0.5, 2.0, 20.0};
    for (size_t a = 0; a < 3; a++) {
        fl_rng rng;
        fl_rng_init(&rng, 11, "test", "", a);
        double share[N], sum = 0, sum2 = 0;
        for (int d = 0; d < DRAWS; d++) {
            partition_dirichlet(share, N, alphas[a], &rng);
            sum += share[0];
            sum2 += share[0] * share[0];
        }
        double mean = sum / DRAWS, var = sum2 / DRAWS - mean * mean;
        double expected = (1.0 / N) * (1 - 1.0 / N) / (N * alphas[a] + 1);
        check_near(mean, 1.0 / N, 5 * sqrt(expected / DRAWS));
        check_near(var / expected, 1.0, 0.06);  // about 4 standard errors
    }
}

static void counts_sum_and_are_nearest(void **state)
{
    (void)state;
    const double share[] = {0.5, 0.3, 0.2};
    size_t counts[3];
    partition_counts(counts, share, 3, 7);  // 3.5 2.1 1.4
    assert_int_equal(counts[0], 4);
    assert_int_equal(counts[1], 2);
    assert_int_equal(counts[2], 1);
    partition_counts(counts, share, 3, 0);
    assert_int_equal(counts[0] + counts[1] + counts[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dirichlet_shares_are_positive_and_sum_to_one),
        cmocka_unit_test(dirichlet_has_the_variance_of_the_textbook),
        cmocka_unit_test(counts_sum_and_are_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
