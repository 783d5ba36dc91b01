/*
 * long_launch.c - a child that will not listen is killed, after its five seconds
 */
#define _DEFAULT_SOURCE  // usleep

#include "sim/launch.h"

#include <errno.h>
#include <signal.h>

#include "check.h"

static void stop_kills_a_child_that_ignores_it(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *log = fl_path_join(dir, "log");
    launch_child child;
    launch_args a = {0};
    launch_args_add(&a, "/bin/sh");
    launch_args_add(&a, "-c");
    launch_args_add(&a, "trap '' TERM; echo deaf; while :; do sleep 1; done");
    check_ok(launch_start(&child, "it", &a, log, 0, &err), err);
    launch_args_clear(&a);
    char *text = NULL;
    for (int64_t until = fl_now_ms() + 10000; fl_now_ms() < until; usleep(1000)) {
        size_t n = 0;
        FL_FREE(text);
        check_ok(fl_file_read(&text, &n, log, 100, &err), err);
        if (n > 0) {
            break;
        }
    }
    check_str(text, "deaf\n");
    pid_t pid = child.pid;
    int64_t began = fl_now_ms();
    launch_stop(&child);
    check(fl_now_ms() - began >= 5000);
    check_int(kill(pid, 0), -1);
    check_int(errno, ESRCH);
    free(text);
    free(log);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_kills_a_child_that_ignores_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
