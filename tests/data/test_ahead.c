/*
 * test_ahead.c - reading ahead changes nothing but the time, and memory stays bounded
 */
#include "many.h"

#define YAML "task: classify\nclasses: {no: 0, yes: 1}\nsplit: {val: 0.1, test: 0.1}\n"

static void a_data_set_in_memory_needs_no_thread(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    fixture_images(dir, 10, YAML);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_ahead *a = data_ahead_new(s);
    check(a == NULL);
    data_ahead_start(a, NULL, 0);
    data_ahead_at(a, 3);
    data_ahead_destroy(&a);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* The usage: a pass, started anew every epoch, told where it is. */
static void passes_over_a_cache_see_the_same_samples(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *memory;
    data_set *cached;
    float x[64];
    float y[64];
    char *dir = check_tmpdir();

    fixture_images(dir, 60, YAML "cache: none\n");
    check_ok(data_set_open(&memory, dir, NULL, &err), err);
    fixture_text(dir, "dataset.yaml", YAML "cache: c\n");
    check_ok(data_set_open(&cached, dir, NULL, &err), err);
    size_t n = data_set_n_split(cached, DATA_TRAIN);
    size_t *order = fl_xcalloc(n, sizeof *order);
    data_ahead *a = data_ahead_new(cached);
    check(a != NULL);
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        data_set_shuffle(cached, DATA_TRAIN, 1, "s", epoch, order);
        data_ahead_start(a, order, n);
        /* some passes end early, as a round of few steps does */
        for (size_t at = epoch % 3; at < n / (1 + epoch % 2); at++) {
            data_ahead_at(a, at);
            data_set_batch(cached, &order[at], 1, x);
            data_set_batch(memory, &order[at], 1, y);
            check(memcmp(x, y, sizeof x) == 0);
        }
    }
    data_ahead_destroy(&a);
    data_set_destroy(&cached);
    data_set_destroy(&memory);
    free(order);
    check_rmdir(&dir);
}

/* tests/data/long_cache.c does it with 50,000 images. */
static void memory_is_bounded_whatever_the_size(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    check_skip("a sanitizer keeps memory of its own");
#endif
    char *dir = check_tmpdir();
    many_images(dir, 400, 512, YAML "cache: c\n");  // 100 MiB of samples
    size_t before = fl_rss_bytes();
    size_t most = many_train(dir, 400, 1, true);
    print_message("# %zu MiB more\n", (most - before) >> 20);
    check(most - before < (size_t)96 << 20);  // 32 of them are a batch
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_data_set_in_memory_needs_no_thread),
        cmocka_unit_test(passes_over_a_cache_see_the_same_samples),
        cmocka_unit_test(memory_is_bounded_whatever_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
