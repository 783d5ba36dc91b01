#include "check.h"

static void sizes_are_checked_before_memory_is_asked_for(void **state)
{
    (void)state;
    size_t bytes = 1;
    check(fl_size_mul(&bytes, 3, 4));
    check_int(bytes, 12);
    float *x = fl_calloc(bytes, sizeof *x, "weights", NULL);
    check(x != NULL && x[11] == 0);
    free(x);
}

static void products_and_sums_that_overflow_are_refused(void **state)
{
    (void)state;
    size_t out = 7;
    check(!fl_size_mul(&out, SIZE_MAX / 2 + 1, 2));
    check_int(out, 0);
    check(fl_size_mul(&out, SIZE_MAX, 1));
    check(out == SIZE_MAX);
    check(!fl_size_add(&out, SIZE_MAX, 1));
    check_int(out, 0);
    check(fl_size_add(&out, SIZE_MAX - 1, 1));
    check(out == SIZE_MAX);
}

static void what_does_not_fit_is_said_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    check(fl_calloc(SIZE_MAX / 2, 4, "image x.npz", &err) == NULL);
    check_int(err.status, FL_ELIMIT);
    check_has(err.text, "image x.npz: ");
    check(fl_calloc_aligned(SIZE_MAX / 2, 4, "image", &err) == NULL);
    check(fl_calloc_aligned(SIZE_MAX, 1, "image", &err) == NULL);
    // More than any address space: the allocator itself must say no.
    size_t huge = SIZE_MAX / 4;
    check(fl_calloc_aligned(huge, 1, "image", NULL) == NULL);
}

/* A system that overcommits would give it, and kill who touches it. */
static void more_than_the_machine_has_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t pages = (size_t)sysconf(_SC_PHYS_PAGES), page = (size_t)sysconf(_SC_PAGESIZE);
    check(fl_calloc(pages, page, "activations", &err) == NULL);
    check_int(err.status, FL_ELIMIT);
    check_has(err.text, "activations: ");
    check_has(err.text, "do not fit in memory");
    check(fl_calloc_aligned(pages, page, "activations", &err) == NULL);
}

static void aligned_memory_is_aligned_and_zero(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 13) {
        unsigned char *p = fl_calloc_aligned(n, 1, "x", NULL);
        check_int((uintptr_t)p % FL_ALIGN, 0);
        for (size_t i = 0; i < n; i++) {
            check_int(p[i], 0);
        }
        free(p);
    }
}

static void small_copies_are_the_callers(void **state)
{
    (void)state;
    char *a = fl_xstrdup("north");
    char *b = fl_xstrndup("northern", 5);
    char *c = fl_xasprintf("%s-%d", a, 7);
    check_str(a, "north");
    check_str(b, "north");
    check_str(c, "north-7");
    check(fl_xstrdup(NULL) == NULL);
    FL_FREE(a);
    check(a == NULL);
    free(b);
    free(c);
    free(fl_xcalloc(0, 8));
}

static void an_arena_gives_zeroed_aligned_blocks(void **state)
{
    (void)state;
    fl_arena *a = fl_arena_new(256);
    for (int round = 0; round < 3; round++) {
        unsigned char *blocks[20];
        for (size_t i = 0; i < 20; i++) {
            blocks[i] = fl_arena_alloc(a, 10 * i + 1, 3);
            check_int((uintptr_t)blocks[i] % FL_ALIGN, 0);
            for (size_t k = 0; k < (10 * i + 1) * 3; k++) {
                check_int(blocks[i][k], 0);
            }
            memset(blocks[i], (int)i + 1, (10 * i + 1) * 3);
        }
        for (size_t i = 0; i < 20; i++) {  // nobody wrote into a neighbour
            check_int(blocks[i][0], i + 1);
            check_int(blocks[i][(10 * i + 1) * 3 - 1], i + 1);
        }
        fl_arena_reset(a);
    }
    fl_arena_destroy(&a);
    check(a == NULL);
    fl_arena_destroy(&a);
}

static void a_reset_arena_uses_the_same_memory_again(void **state)
{
    (void)state;
    fl_arena *a = fl_arena_new(64);
    void *first = fl_arena_alloc(a, 1, 64);
    void *large = fl_arena_alloc(a, 1, 1 << 20);
    char *text = fl_arena_strdup(a, "kept");
    check_str(text, "kept");
    fl_arena_reset(a);
    check(fl_arena_alloc(a, 1, 64) == first);
    check(fl_arena_alloc(a, 1, 1 << 20) == large);
    fl_arena_destroy(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_checked_before_memory_is_asked_for),
        cmocka_unit_test(products_and_sums_that_overflow_are_refused),
        cmocka_unit_test(what_does_not_fit_is_said_in_words),
        cmocka_unit_test(more_than_the_machine_has_is_refused),
        cmocka_unit_test(aligned_memory_is_aligned_and_zero),
        cmocka_unit_test(small_copies_are_the_callers),
        cmocka_unit_test(an_arena_gives_zeroed_aligned_blocks),
        cmocka_unit_test(a_reset_arena_uses_the_same_memory_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
