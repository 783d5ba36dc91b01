/*
 * long_cache.c - 50,000 images under 512 MiB
 */
#include <sys/wait.h>
#include <unistd.h>

#include "many.h"

static const char yaml[] =
    "task: classify\nclasses: {no: 0, yes: 1}\nsplit: {val: 0.1, test: 0.1}\n";

/* Peak memory of a process that opens the data set and trains two epochs. */
static size_t peak_of(const char *dir, size_t n, bool plain)
{
    int ends[2];
    size_t peak = 0;
    int status = -1;
    check(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        size_t mine = many_train(dir, n, 2, plain);
        _exit(write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
    }
    close(ends[1]);
    check(read(ends[0], &peak, sizeof peak) == (ssize_t)sizeof peak);
    close(ends[0]);
    check(waitpid(child, &status, 0) == child && status == 0);
    return peak;
}

static void memory_does_not_grow_with_the_number_of_images(void **state)
{
    (void)state;
    const size_t few = 20000;
    const size_t all = 50000;
    char *dir = check_tmpdir();
    many_images(dir, few, 128, yaml);  // 312 MiB of samples
    size_t with_few = peak_of(dir, few, true);
    check_rmdir(&dir);
    dir = check_tmpdir();
    many_images(dir, all, 128, yaml);  // 781 MiB
    size_t with_all = peak_of(dir, all, true);
    check_rmdir(&dir);
    print_message("# %zu images: %zu MiB; %zu images: %zu MiB\n", few, with_few >> 20, all,
                  with_all >> 20);
    check(with_all < (size_t)512 << 20);
    /* what is kept of a case, names, label, place and its line in the cache's index, and what
     * passes through while they are read, is under 3 KiB; its samples are 16 KiB */
    check_near((double)with_all - (double)with_few, 0, 3072.0 * (double)(all - few));
}

static void an_archive_larger_than_memory_is_trained_on(void **state)
{
    (void)state;
    const size_t all = 50000;
    char *dir = check_tmpdir();
    many_archive(dir, all, 128,
                 "npz: m.npz\nclasses: {no: 0, yes: 1}\nsplit: {val: 0.1, test: 0.1}\n");
    size_t peak = peak_of(dir, all, true);
    check_rmdir(&dir);
    print_message("# an archive of %zu images: %zu MiB\n", all, peak >> 20);
    check(peak < (size_t)512 << 20);
}

/* Two members of 156 MiB, of which one fits in memory; shifted they are 1.25 GiB. */
static void a_shifted_union_larger_than_memory_is_trained_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const size_t each = 10000;
    static const char *const members[] = {"north", "south"};
    char *dir = check_tmpdir();
    for (int i = 0; i < 2; i++) {
        char *member = fl_path_join(dir, members[i]);
        check_ok(fl_mkdirs(member, 0755, &err), err);
        many_images(member, each, 128, yaml);
        free(member);
    }
    fixture_text(dir, "dataset.yaml", "union: [north, south]\nshift: [gain: 1]\n");
    size_t peak = peak_of(dir, 2 * each, false);
    check_rmdir(&dir);
    print_message("# a shifted union of %zu images: %zu MiB\n", 2 * each, peak >> 20);
    check(peak < (size_t)512 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_number_of_images),
        cmocka_unit_test(an_archive_larger_than_memory_is_trained_on),
        cmocka_unit_test(a_shifted_union_larger_than_memory_is_trained_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
