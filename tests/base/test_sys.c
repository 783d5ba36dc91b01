#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void a_file_is_written_whole_and_read_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "model.bin");
    char *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_write(path, "a\0b", 3, 0600, &err), err);
    check_ok(fl_file_read(&bytes, &n, path, 100, &err), err);
    check_int(n, 3);
    check_bytes(bytes, "a\0b\0", 4);
    free(bytes);
    struct stat info;
    check_int(stat(path, &info), 0);
    check_int(info.st_mode & 0777, 0600);
    // The same place again: replaced, not appended to.
    check_ok(fl_file_write(path, "xy", 2, 0600, &err), err);
    check_ok(fl_file_read(&bytes, &n, path, 2, &err), err);
    check_str(bytes, "xy");
    free(bytes);
    check_ok(fl_file_append(path, "z", 1, &err), err);
    check_ok(fl_file_append_later(path, "!", 1, &err), err);
    check_ok(fl_file_flush(path, &err), err);
    check_ok(fl_file_read(&bytes, &n, path, 4, &err), err);
    check_str(bytes, "xyz!");
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

static size_t n_files(const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    fl_names_free(&names, n);
    return n;
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x");
    // The rename cannot work: a folder with something in it is in the way.
    char *inside = fl_path_join(path, "inside");
    check_ok(fl_mkdirs(inside, 0755, &err), err);
    check_fails(fl_file_write(path, "new", 3, 0644, &err), FL_EIO);
    check_has(err.text, path);
    check_int(n_files(dir), 1);
    check_fails(fl_file_write("/nonexistent/x", "new", 3, 0644, &err), FL_ENOTFOUND);
    free(inside);
    free(path);
    check_rmdir(&dir);
}

/* A child may write 4096 bytes a file, as on a disk that fills up. */
static void a_write_that_runs_out_of_room_keeps_the_old_file(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x");
    check_ok(fl_file_write(path, "old", 3, 0644, &err), err);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        struct rlimit limit = {4096, 4096};
        static const char large[100000];
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(fl_file_write(path, large, sizeof large, 0644, &err) == FL_EIO ? 0 : 1);
    }
    int status = 0;
    check_int(waitpid(child, &status, 0), child);
    check_int(WEXITSTATUS(status), 0);
    check_int(n_files(dir), 1);
    char *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&bytes, &n, path, 100, &err), err);
    check_str(bytes, "old");
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

static void a_file_over_the_limit_is_not_read(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x");
    char *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_write(path, "0123456789", 10, 0644, &err), err);
    check_fails(fl_file_read(&bytes, &n, path, 9, &err), FL_ELIMIT);
    check(bytes == NULL);
    check_has(err.text, "10 bytes, at most 9");
    check_ok(fl_file_read(&bytes, &n, path, 10, &err), err);
    free(bytes);
    check_fails(fl_file_read(&bytes, &n, dir, 10, &err), FL_EIO);
    check_has(err.text, "not a regular file");
    free(path);
    check_rmdir(&dir);
}

static void a_named_pipe_is_refused_at_once(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "pipe");
    char *bytes = NULL;
    size_t n = 0;
    check_int(mkfifo(path, 0600), 0);
    check_fails(fl_file_read(&bytes, &n, path, 10, &err), FL_EIO);
    free(path);
    check_rmdir(&dir);
}

static void folders_are_made_and_removed_whole(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *deep = fl_path_join(dir, "a/b//c/");
    char *file = fl_path_join(dir, "a/file");
    char *outside = fl_path_join(dir, "outside");
    char *link = fl_path_join(dir, "a/link");
    char *a = fl_path_join(dir, "a");
    check_ok(fl_mkdirs(deep, 0755, &err), err);
    check_ok(fl_mkdirs(deep, 0755, &err), err);
    check(fl_is_dir(deep));
    check_ok(fl_file_write(file, "", 0, 0644, &err), err);
    check(!fl_is_dir(file) && fl_file_exists(file));
    check_fails(fl_mkdirs(file, 0755, &err), FL_EIO);
    char *below = fl_path_join(file, "x");
    check_fails(fl_mkdirs(below, 0755, &err), FL_EIO);
    // What a link points to is not ours to remove.
    check_ok(fl_file_write(outside, "x", 1, 0644, &err), err);
    check_int(symlink(outside, link), 0);
    check_ok(fl_remove_tree(a, &err), err);
    check(!fl_file_exists(a) && fl_file_exists(outside));
    check_ok(fl_remove_tree(a, &err), err);
    free(below);
    free(a);
    free(link);
    free(outside);
    free(file);
    free(deep);
    check_rmdir(&dir);
}

typedef struct {
    const char *path;
    int ready;  // pipe
} holder;

static int hold_for_a_moment(holder *h)
{
    int fd;
    bool has = fl_file_lock(&fd, h->path, 0600, 0, NULL) == FL_OK;
    if (write(h->ready, "x", 1) != 1 || !has) {
        return 1;
    }
    poll(NULL, 0, 200);
    return 0;  // the lock goes with the process
}

static void a_file_is_locked_by_one_process_at_a_time(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    int fd = -1, ready[2], status;
    char byte, *dir = check_tmpdir(), *path = fl_path_join(dir, "lock");
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(hold_for_a_moment(&(holder){path, ready[1]}));
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    check_fails(fl_file_lock(&fd, path, 0600, 0, &err), FL_ECONFLICT);
    check_int(fd, -1);
    check_ok(fl_file_lock(&fd, path, 0600, 600000, &err), err);
    check_int(waitpid(child, &status, 0), child);
    check_int(status, 0);
    close(fd);
    check_ok(fl_file_lock(&fd, path, 0600, FL_LOCK_FOREVER, &err), err);
    close(fd);
    char *nowhere = fl_path_join(path, "lock");
    check_fails(fl_file_lock(&fd, nowhere, 0600, 0, &err), FL_EIO);
    free(nowhere);
    close(ready[0]);
    close(ready[1]);
    free(path);
    check_rmdir(&dir);
}

static void names_in_a_folder_are_sorted(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    static const char *const made[] = {"b", "a", "c10", "c1", ".hidden"};
    for (size_t i = 0; i < 5; i++) {
        char *path = fl_path_join(dir, made[i]);
        check_ok(fl_file_write(path, "", 0, 0644, &err), err);
        free(path);
    }
    char **names = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    static const char *const sorted[] = {".hidden", "a", "b", "c1", "c10"};
    check_int(n, 5);
    for (size_t i = 0; i < 5; i++) {
        check_str(names[i], sorted[i]);
    }
    fl_names_free(&names, n);
    check(names == NULL);
    check_fails(fl_list_dir(&names, &n, "/nonexistent", &err), FL_ENOTFOUND);
    check_rmdir(&dir);
}

static void paths_join_and_split(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *joined;
    } joins[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"},
                 {"", "b", "b"},    {"/", "b", "/b"},   {".", "b", "./b"}};
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *path = fl_path_join(joins[i].a, joins[i].b);
        check_str(path, joins[i].joined);
        free(path);
    }
    static const struct {
        const char *path, *dir, *base;
    } splits[] = {{"a/b", "a", "b"}, {"a", ".", "a"}, {"/a", "/", "a"}, {"/a/b/c", "/a/b", "c"}};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        char *dir = fl_path_dir(splits[i].path);
        check_str(dir, splits[i].dir);
        check_str(fl_path_base(splits[i].path), splits[i].base);
        free(dir);
    }
}

static void variables_are_expanded_or_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    setenv("SYS_TEST_A", "one", 1);
    setenv("SYS_TEST_B", "${SYS_TEST_A}", 1);
    unsetenv("SYS_TEST_C");
    check_ok(fl_expand_env(&text, "x/${SYS_TEST_A}/${SYS_TEST_A}$y", &err), err);
    check_str(text, "x/one/one$y");
    free(text);
    check_ok(fl_expand_env(&text, "${SYS_TEST_B}", &err), err);
    check_str(text, "${SYS_TEST_A}");  // values are not expanded again
    free(text);
    check_fails(fl_expand_env(&text, "${SYS_TEST_C}", &err), FL_ECONFIG);
    check_str(err.text, "the environment variable SYS_TEST_C is not set");
    check(text == NULL);
    check_fails(fl_expand_env(&text, "a${", &err), FL_ECONFIG);
}

static void time_is_told_to_people_in_utc(void **state)
{
    (void)state;
    char text[32];
    fl_iso_time(text, sizeof text, 0);
    check_str(text, "1970-01-01T00:00:00Z");
    fl_iso_time(text, sizeof text, 1769860800999);
    check_str(text, "2026-01-31T12:00:00Z");
    int64_t before = fl_now_ms();
    double seconds = fl_now();
    check(fl_now_ms() >= before && fl_now() >= seconds);
    check(fl_wall_ms() > 1600000000000);
}

typedef struct {
    atomic_int calls[1000];
    atomic_size_t running;
} parallel_state;

static void count_call(void *ctx, size_t item)
{
    parallel_state *p = ctx;
    atomic_fetch_add(&p->calls[item], 1);
}

static void every_item_is_done_exactly_once(void **state)
{
    (void)state;
    static const int threads[] = {-1, 0, 1, 2, 7, 5000};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        parallel_state *p = fl_xcalloc(1, sizeof *p);
        fl_parallel(threads[t], 1000, count_call, p);
        for (size_t i = 0; i < 1000; i++) {
            check_int(p->calls[i], 1);
        }
        free(p);
    }
    fl_parallel(4, 0, count_call, NULL);
    check(fl_n_cores() >= 1);
}

static void a_signal_asks_to_stop_and_the_second_kills(void **state)
{
    (void)state;
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        fl_catch_signals();
        if (fl_stop_requested()) {
            _exit(1);
        }
        raise(SIGTERM);
        if (!fl_stop_requested()) {
            _exit(2);
        }
        raise(SIGTERM);
        _exit(3);
    }
    int status = 0;
    check_int(waitpid(child, &status, 0), child);
    check(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGTERM);
    check(!fl_stop_requested());
}

static void memory_of_the_process_is_known(void **state)
{
    (void)state;
    size_t n = 64 << 20;
    size_t before = fl_rss_bytes();
    volatile char *p = fl_xcalloc(n, 1);
    for (size_t i = 0; i < n; i += 1024) {
        p[i] = 1;
    }
    check(fl_rss_bytes() > before + n / 2);
    free((void *)p);
    check(fl_peak_rss_bytes() > before + n / 2);
    size_t now = fl_rss_bytes();
    check(fl_peak_rss_bytes() >= now);
}

static void the_programs_folder_holds_the_program(void **state)
{
    (void)state;
    char *dir = fl_program_dir();
    char *self = fl_path_join(dir, "test_sys");
    check_int(dir[0], '/');
    check(fl_file_exists(self));
    free(self);
    free(dir);
}

static void more_files_than_the_system_allows_are_refused_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_need_files(64, "2 sites", &err), err);
    struct rlimit files;
    check_int(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max != RLIM_INFINITY) {
        check_fails(fl_need_files((size_t)files.rlim_max + 1, "9 sites", &err), FL_ELIMIT);
        check_has(err.text, "9 sites need");
        check_has(err.text, "ulimit -n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_written_whole_and_read_back),
        cmocka_unit_test(a_failed_write_leaves_nothing_behind),
        cmocka_unit_test(a_write_that_runs_out_of_room_keeps_the_old_file),
        cmocka_unit_test(a_file_over_the_limit_is_not_read),
        cmocka_unit_test(a_named_pipe_is_refused_at_once),
        cmocka_unit_test(folders_are_made_and_removed_whole),
        cmocka_unit_test(a_file_is_locked_by_one_process_at_a_time),
        cmocka_unit_test(names_in_a_folder_are_sorted),
        cmocka_unit_test(paths_join_and_split),
        cmocka_unit_test(variables_are_expanded_or_named),
        cmocka_unit_test(time_is_told_to_people_in_utc),
        cmocka_unit_test(every_item_is_done_exactly_once),
        cmocka_unit_test(a_signal_asks_to_stop_and_the_second_kills),
        cmocka_unit_test(memory_of_the_process_is_known),
        cmocka_unit_test(more_files_than_the_system_allows_are_refused_in_words),
        cmocka_unit_test(the_programs_folder_holds_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
