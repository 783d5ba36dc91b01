/*
 * test_phantom.c - simulated patients repeat, differ, and show what they have
 */
#include "sim/phantom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"

enum { SIZE = 48, N_PIXELS = SIZE * SIZE, DEPTH = 5 };

static const phantom_population everybody = {
    .female = 0.5, .age_mean = 60, .age_sd = 15, .prevalence = 0.5};

/* Renders patient i of a phantom; the case's buffers are the caller's. */
static phantom_case render(const phantom_ops *p, int64_t depth, double difficulty, uint64_t i)
{
    size_t n = (size_t)(depth * N_PIXELS);
    phantom_case c = {.depth = depth,
                      .size = SIZE,
                      .image = fl_xcalloc((size_t)p->n_channels * n, sizeof(float)),
                      .mask = fl_xcalloc(n, sizeof(float))};
    fl_rng rng;
    fl_rng_init(&rng, 3, "phantom", "nord", i);
    p->render(&c, difficulty, &everybody, &rng);
    return c;
}

static void clear(phantom_case *c)
{
    free(c->image);
    free(c->mask);
}

static bool has_structure(const phantom_case *c)
{
    for (int64_t i = 0; i < c->depth * N_PIXELS; i++) {
        if (c->mask[i] > 0) {
            return true;
        }
    }
    return false;
}

static void same_stream_gives_the_same_patient_and_pixels(void **state)
{
    (void)state;
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        size_t n = (size_t)p->n_channels * N_PIXELS * sizeof(float);
        phantom_case a = render(p, 1, 0.4, 5), b = render(p, 1, 0.4, 5), c = render(p, 1, 0.4, 6);
        assert_memory_equal(a.image, b.image, n);
        assert_memory_equal(a.mask, b.mask, N_PIXELS * sizeof(float));
        assert_memory_equal(&a.patient, &b.patient, sizeof a.patient);
        assert_memory_not_equal(a.image, c.image, n);
        clear(&a);
        clear(&b);
        clear(&c);
    }
}

/* A hospital that does not ask for masks has the same images. */
static void a_mask_that_nobody_wants_changes_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        phantom_case with = render(p, 1, 0.4, 5);
        phantom_case without = {
            .depth = 1,
            .size = SIZE,
            .image = fl_xcalloc((size_t)p->n_channels * N_PIXELS, sizeof(float))};
        fl_rng rng;
        fl_rng_init(&rng, 3, "phantom", "nord", 5);
        p->render(&without, 0.4, &everybody, &rng);
        assert_memory_equal(with.image, without.image,
                            (size_t)p->n_channels * N_PIXELS * sizeof(float));
        clear(&with);
        clear(&without);
    }
}

static void check_case(const phantom_ops *p, const phantom_case *c)
{
    double sum = 0;
    int64_t n = c->depth * N_PIXELS;
    for (int64_t j = 0; j < p->n_channels * n; j++) {
        check(c->image[j] >= 0 && c->image[j] <= 1);
        sum += (double)c->image[j];
    }
    double mean = sum / (double)(p->n_channels * n);
    if (mean < 0.04 || mean > 0.9) {
        check_fail("%s/%s: mean brightness %g", p->name, p->task, mean);
    }
    for (int64_t j = 0; j < n; j++) {
        check(c->mask[j] == 0 || c->mask[j] == 1);
    }
    check(c->patient.age >= 18 && c->patient.age <= 95);
    check(c->patient.code >= 0 && (size_t)c->patient.code < phantom_n_classes(p));
    check(!p->multilabel || (c->patient.findings != 0) == (c->patient.code != 0));
    for (int k = 0; k < PHANTOM_MAX_CLASSES; k++) {
        check(c->patient.conspicuity[k] >= 0 && c->patient.conspicuity[k] <= 1);
    }
}

static void every_phantom_stays_between_black_and_white(void **state)
{
    (void)state;
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        for (uint64_t i = 0; i < 20; i++) {
            phantom_case c = render(phantom_at(k), 1, (double)(i % 5) / 4, i);
            check_case(phantom_at(k), &c);
            clear(&c);
        }
        for (uint64_t i = 0; i < 2 && phantom_at(k)->volume; i++) {
            phantom_case c = render(phantom_at(k), DEPTH, 0.5, i);
            check_case(phantom_at(k), &c);
            clear(&c);
        }
    }
}

/* What is outlined is the finding, in those who have it; nuclei everybody has. */
static void only_who_has_a_finding_has_its_outline(void **state)
{
    (void)state;
    enum { N = 60 };
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        int with = 0, positives = 0;
        for (uint64_t i = 0; i < N; i++) {
            phantom_case c = render(p, 1, 0.3, i);
            bool any = has_structure(&c);
            check(c.patient.code != 0 || !any || p->mask_everybody);
            positives += c.patient.code != 0;
            with += any && c.patient.code != 0;
            clear(&c);
        }
        check(positives > 10 && positives < N - 5);
        check(with >= positives - 3);  // a faint one may stay below the mask's threshold
    }
}

static void every_phantom_is_found_by_its_names(void **state)
{
    (void)state;
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        assert_ptr_equal(phantom_find(p->name, p->task), p);
        check(p->structure != NULL && p->help != NULL && p->source != NULL);
        check(phantom_n_classes(p) >= 2);
        for (size_t c = 0; c < phantom_n_classes(p); c++) {
            check(p->confused[c] >= -1 && p->confused[c] < (int)phantom_n_classes(p));
        }
    }
    assert_null(phantom_find("xray", "mood"));
}

/* docs/PHANTOMS.md has a row for each, at the difficulty that is its default. */
static void the_table_is_of_the_default_difficulties(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, "docs/PHANTOMS.md", 1 << 20, &err), err);
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        char *row = fl_xasprintf("\n| %s/%s | %g | ", p->name, p->task, p->difficulty);
        check_has(text, row);
        free(row);
    }
    free(text);
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
        cmocka_unit_test(a_mask_that_nobody_wants_changes_nothing),
        cmocka_unit_test(only_who_has_a_finding_has_its_outline),
        cmocka_unit_test(every_phantom_is_found_by_its_names),
        cmocka_unit_test(the_table_is_of_the_default_difficulties),
        cmocka_unit_test(the_population_is_the_one_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
