/*
 * test_phantom.c - simulated patients repeat, differ, and show what they have
 */
#include "sim/phantom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"

enum { SIZE = 48, N_PIXELS = SIZE * SIZE };

static const phantom_population everybody = {
    .female = 0.5, .age_mean = 60, .age_sd = 15, .prevalence = 0.5};

static void render(float *image, float *mask, phantom_patient *who, const phantom_population *pop,
                   uint64_t i)
{
    const phantom_ops *p = phantom_find("xray", "opacity");
    assert_non_null(p);
    fl_rng rng;
    fl_rng_init(&rng, 3, "phantom", "nord", i);
    p->render(image, mask, who, SIZE, 0.4, pop, &rng);
}

static void same_stream_gives_the_same_patient_and_pixels(void **state)
{
    (void)state;
    float a[N_PIXELS], b[N_PIXELS];
    phantom_patient pa, pb;
    render(a, NULL, &pa, &everybody, 5);
    render(b, NULL, &pb, &everybody, 5);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(pa.code, pb.code);
    render(b, NULL, &pb, &everybody, 6);
    assert_memory_not_equal(a, b, sizeof a);
}

static void every_phantom_stays_between_black_and_white(void **state)
{
    (void)state;
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        for (uint64_t i = 0; i < 40; i++) {
            float image[N_PIXELS], mask[N_PIXELS];
            phantom_patient who;
            fl_rng rng;
            fl_rng_init(&rng, 1, "phantom", "x", i);
            p->render(image, mask, &who, SIZE, (double)(i % 5) / 4, &everybody, &rng);
            double sum = 0;
            for (int j = 0; j < N_PIXELS; j++) {
                assert_true(image[j] >= 0 && image[j] <= 1);
                sum += image[j];
            }
            assert_true(sum > 0.1 * N_PIXELS && sum < 0.9 * N_PIXELS);
            assert_true(who.age >= 18 && who.age <= 95);
        }
    }
}

static void only_the_positive_class_has_a_finding(void **state)
{
    (void)state;
    int with = 0, positives = 0;
    for (uint64_t i = 0; i < 200; i++) {
        float image[N_PIXELS], mask[N_PIXELS];
        phantom_patient who;
        render(image, mask, &who, &everybody, i);
        bool any = false;
        for (int j = 0; j < N_PIXELS; j++) {
            any = any || mask[j] > 0;
        }
        assert_true(who.code == 1 || !any);
        positives += who.code;
        with += any;
    }
    assert_true(positives > 60 && positives < 140);
    assert_true(with >= positives - 3);  // a faint one may stay below the mask's threshold
}

static void the_population_is_the_one_asked_for(void **state)
{
    (void)state;
    enum { N = 20000 };
    const phantom_population pop = {.female = 0.3, .age_mean = 50, .age_sd = 10, .prevalence = 0.2};
    double women = 0, age = 0, positive = 0;
    fl_rng rng;
    fl_rng_init(&rng, 9, "phantom", "pop", 0);
    for (int i = 0; i < N; i++) {
        phantom_patient who;
        phantom_draw_patient(&who, &pop, &rng);
        women += who.sex == 'F';
        age += who.age;
        positive += who.code;
    }
    check_near(women / N, 0.3, 0.015);
    check_near(age / N, 49.5, 0.4);  // whole years, rounded down
    check_near(positive / N, 0.2, 0.015);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_stream_gives_the_same_patient_and_pixels),
        cmocka_unit_test(every_phantom_stays_between_black_and_white),
        cmocka_unit_test(only_the_positive_class_has_a_finding),
        cmocka_unit_test(the_population_is_the_one_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
