/*
 * test_sweep.c - what --sweep and --seeds say
 */
#include "sim/sweep.h"

#include "check.h"

static void an_axis_is_a_key_and_its_values(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    sweep_axis a;
    check_ok(sweep_axis_parse(&a, "strategy.name=fedavg,fedprox", &err), err);
    check_str(a.path, "strategy.name");
    check_int(a.n, 2);
    check_str(a.values[0], "fedavg");
    check_str(a.values[1], "fedprox");
    sweep_axis_clear(&a);
    sweep_axis_clear(&a);  // fine when called twice
}

static void values_in_brackets_keep_their_commas(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    sweep_axis a;
    check_ok(sweep_axis_parse(&a, "strategy={name: fedprox, mu: [1, 2]},{name: fedavg},3", &err),
             err);
    check_int(a.n, 3);
    check_str(a.values[0], "{name: fedprox, mu: [1, 2]}");
    check_str(a.values[1], "{name: fedavg}");
    check_str(a.values[2], "3");
    sweep_axis_clear(&a);
    check_ok(sweep_axis_parse(&a, "init=\"a,b\",'c,d'", &err), err);  // and so do quoted ones
    check_int(a.n, 2);
    check_str(a.values[0], "\"a,b\"");
    sweep_axis_clear(&a);
    check_ok(sweep_axis_parse(&a, "a.b=x=y", &err), err);  // the first = counts
    check_str(a.path, "a.b");
    check_str(a.values[0], "x=y");
    sweep_axis_clear(&a);
}

static void an_axis_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",     "=",    "a",      "a=",     "=1,2",  "a=1,,2",
                                        "a=1,", "a=,1", "a=[1,2", "a=1],2", "a='1,2"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fl_err err = FL_ERR_INIT;
        sweep_axis a;
        if (sweep_axis_parse(&a, wrong[i], &err) != FL_EUSAGE) {
            check_fail("%s was not refused", wrong[i]);
        }
        check_has(err.text, "--sweep: ");
        check(a.path == NULL && a.values == NULL);
    }
}

static void seeds_are_ranges_and_lists(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    int64_t *seeds = NULL;
    size_t n = 0;
    check_ok(sweep_seeds_parse(&seeds, &n, "1-10", &err), err);
    check_int(n, 10);
    check_int(seeds[0], 1);
    check_int(seeds[9], 10);
    free(seeds);
    check_ok(sweep_seeds_parse(&seeds, &n, "4,1,7-8,0", &err), err);
    const int64_t expected[] = {4, 1, 7, 8, 0};
    check_int(n, 5);
    for (size_t i = 0; i < n; i++) {
        check_int(seeds[i], expected[i]);
    }
    free(seeds);
    check_ok(sweep_seeds_parse(&seeds, &n, "3-3", &err), err);
    check_int(n, 1);
    free(seeds);
}

static void seeds_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ",",
        "1,",
        ",1",
        "1-",
        "-1",
        "3-1",
        "1--3",
        "1-2-3",
        "a",
        "1.5",
        "1 2",
        "1;2",
        "nan",
        "0x10",
        "1-1000000",
        "9223372036854775807",
        "99999999999999999999",
        "1-99999999999999999999",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fl_err err = FL_ERR_INIT;
        int64_t *seeds = NULL;
        size_t n = 0;
        if (sweep_seeds_parse(&seeds, &n, wrong[i], &err) != FL_EUSAGE) {
            check_fail("%s was not refused", wrong[i]);
        }
        check_has(err.text, "--seeds: ");
        check(seeds == NULL);
        check_int(n, 0);
    }
}

static void a_sweep_without_end_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    sweep_axis a;
    int64_t seeds[101] = {0};
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "rounds=1");
    for (int i = 0; i < 100; i++) {
        fl_buf_puts(&text, ",2");
    }
    check_ok(sweep_axis_parse(&a, text.data, &err), err);
    char *page = NULL;
    check_fails(sweep_run(&page, "s.yaml", dir, NULL, 0, &a, 1, seeds, 101, &err), FL_EUSAGE);
    check_has(err.text, "10000");
    sweep_axis_clear(&a);
    fl_buf_clear(&text);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_axis_is_a_key_and_its_values),
        cmocka_unit_test(values_in_brackets_keep_their_commas),
        cmocka_unit_test(an_axis_that_is_none_is_refused),
        cmocka_unit_test(seeds_are_ranges_and_lists),
        cmocka_unit_test(seeds_that_are_none_are_refused),
        cmocka_unit_test(a_sweep_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
