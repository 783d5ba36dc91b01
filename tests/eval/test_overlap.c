/*
 * test_overlap.c - high places of two maps on planted ones
 */
#include "eval/overlap.h"

#include <math.h>

#include "base/rng.h"
#include "check.h"

enum { SIDE = 20, N = SIDE * SIDE };

/* 1 in the square from (row, col), side wide; a slope so small that it orders the rest. */
static void plant(float *map, int row, int col, int side)
{
    for (int i = 0; i < N; i++) {
        bool in = i / SIDE >= row && i / SIDE < row + side && i % SIDE >= col &&
                  i % SIDE < col + side;
        map[i] = (in ? 1.0f : 0.0f) + 1e-6f * (float)((i * 7) % N);
    }
}

static void a_planted_square_is_found_again(void **state)
{
    (void)state;
    float a[N], b[N];
    plant(a, 2, 3, 6);  // 36 places
    plant(b, 2, 3, 6);
    check_near(eval_overlap(a, b, N, 36.0 / N), 1, 1e-12);
    plant(b, 2, 6, 6);  // half of it
    check_near(eval_overlap(a, b, N, 36.0 / N), 0.5, 1e-12);
    check_near(eval_overlap(b, a, N, 36.0 / N), 0.5, 1e-12);
    plant(b, 12, 12, 6);
    check_near(eval_overlap(a, b, N, 36.0 / N), 0, 1e-12);
}

static void maps_without_a_relation_overlap_by_chance(void **state)
{
    (void)state;
    fl_rng rng;
    double sum = 0;
    enum { DRAWS = 400 };
    fl_rng_init(&rng, 9, "overlap", "", 0);
    for (int d = 0; d < DRAWS; d++) {
        float a[N], b[N];
        for (int i = 0; i < N; i++) {
            a[i] = (float)fl_rng_uniform(&rng);
            b[i] = (float)fl_rng_uniform(&rng);
        }
        sum += eval_overlap(a, b, N, 0.1);
    }
    check_near(sum / DRAWS, 0.1, 0.01);  // 4 standard errors
}

static void equal_values_share_the_border(void **state)
{
    (void)state;
    // Three places above, the seven others equal: of 5 wanted each of these is 2/7 in.
    const float a[10] = {1, 1, 1}, b[10] = {0, 0, 0, 1, 1, 1, 1, 1};
    check_near(eval_overlap(a, b, 10, 0.5), 5 * 2 / 7.0 / 5, 1e-12);
    const float flat[10] = {0};
    check(isnan(eval_overlap(a, flat, 10, 0.5)));
    check(isnan(eval_overlap(flat, a, 10, 0.5)));
    check(isnan(eval_overlap(a, b, 0, 0.5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_planted_square_is_found_again),
        cmocka_unit_test(maps_without_a_relation_overlap_by_chance),
        cmocka_unit_test(equal_values_share_the_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
