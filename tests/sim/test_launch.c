/*
 * test_launch.c - children are started, judged and stopped
 */
#define _DEFAULT_SOURCE  // usleep

#include "sim/launch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "check.h"

/* sh -c script. */
static launch_args shell(const char *script)
{
    launch_args a = {0};
    launch_args_add(&a, "/bin/sh");
    launch_args_add(&a, "-c");
    launch_args_add(&a, script);
    return a;
}

static fl_status run(const char *script, const char *log, fl_err *err)
{
    launch_child child;
    launch_args a = shell(script);
    fl_status st = launch_start(&child, "a hospital", &a, log, 0, err);
    launch_args_clear(&a);
    return st == FL_OK ? launch_wait(&child, err) : st;
}

static void a_child_that_ends_well_is_fine(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *log = fl_path_join(dir, "log"), *text = NULL;
    size_t n = 0;
    check_ok(run("echo out; echo err >&2", log, &err), err);
    check_ok(fl_file_read(&text, &n, log, 1000, &err), err);
    check_str(text, "out\nerr\n");  // both streams
    free(text);
    free(log);
    check_rmdir(&dir);
}

static void the_exit_code_and_the_last_words_are_reported(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *log = fl_path_join(dir, "log");
    check_fails(run("echo first; echo 'error: the port is in use'; echo; exit 3", log, &err),
                FL_EIO);
    check_str(err.text, "a hospital exited with 3: error: the port is in use");
    check_fails(run("exit 1", log, &err), FL_EIO);
    check_str(err.text, "a hospital exited with 1");
    check_fails(run("echo going; kill -9 $$", log, &err), FL_EIO);
    check_str(err.text, "a hospital was ended by signal 9: going");
    check_fails(run("exit 2", NULL, &err), FL_EIO);
    check_str(err.text, "a hospital exited with 2");
    // A long line is cut, not the message's end.
    check_fails(run("head -c 100000 /dev/zero | tr '\\0' x; exit 4", log, &err), FL_EIO);
    check_has(err.text, "exited with 4: xxx");
    free(log);
    check_rmdir(&dir);
}

static void a_program_that_is_not_there_says_so(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *log = fl_path_join(dir, "log");
    launch_child child;
    launch_args a;
    launch_args_init(&a, "no-such-program");
    check_has(a.argv[0], "/consilium-no-such-program");  // the installed name
    check_ok(launch_start(&child, "it", &a, log, 0, &err), err);
    check_fails(launch_wait(&child, &err), FL_EIO);
    check_has(err.text, "it exited with 127: ");
    check_has(err.text, "consilium-no-such-program");
    check_has(err.text, "cannot be started");
    char *nowhere = fl_path_join(dir, "absent/log");
    check_fails(launch_start(&child, "it", &a, nowhere, 0, &err), FL_ENOTFOUND);
    check_has(err.text, nowhere);
    launch_stop(&child);  // nothing runs: fine
    launch_args_clear(&a);
    free(nowhere);
    free(log);
    check_rmdir(&dir);
}

static void a_sibling_of_this_program_is_found_by_its_build_name(void **state)
{
    (void)state;
    launch_args a;
    char *folder = fl_program_dir(), *expected = fl_path_join(folder, "test_launch");
    launch_args_init(&a, "test_launch");
    check_str(a.argv[0], expected);
    launch_args_add_int(&a, "--n", -7);
    launch_args_add_num(&a, "--lr", 0.1);
    check_int(a.n, 5);
    check_str(a.argv[2], "-7");
    check_near(strtod(a.argv[4], NULL), 0.1, 0);  // to the last bit
    check(a.argv[5] == NULL);
    launch_args_clear(&a);
    // As many arguments as a process that hosts 10,000 hospitals needs.
    launch_args_init(&a, "client");
    for (int i = 0; i < 10000; i++) {
        launch_args_add_int(&a, "--home", i);
    }
    check_int(a.n, 20001);
    check_str(a.argv[20000], "9999");
    check(a.argv[20001] == NULL);
    launch_args_clear(&a);
    free(folder);
    free(expected);
}

static void output_is_read_to_its_end(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    launch_args a = shell("printf '{\"a\": 1}'; head -c 200000 /dev/zero | tr '\\0' y");
    check_ok(launch_read(&text, "it", &a, &err), err);
    check_int(strlen(text), 200008);
    check(strncmp(text, "{\"a\": 1}yyy", 11) == 0);
    free(text);
    launch_args_clear(&a);
    a = shell("echo partial; exit 5");
    check_fails(launch_read(&text, "it", &a, &err), FL_EIO);
    check_has(err.text, "it exited with 5");
    check(text == NULL);
    launch_args_clear(&a);
}

static void a_child_can_be_asked_whether_it_has_ended(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    launch_child child;
    launch_args a = shell("exec sleep 60");
    int code = -1;
    check_ok(launch_start(&child, "it", &a, NULL, 5, &err), err);
    launch_args_clear(&a);
    check(!launch_ended(&child, &code));
    kill(child.pid, SIGKILL);
    for (int64_t until = fl_now_ms() + 10000;
         !launch_ended(&child, &code) && fl_now_ms() < until;) {
        usleep(1000);
    }
    check_int(child.pid, 0);
    check_int(code, 128 + SIGKILL);
    char words[8] = "x";
    launch_last_words(words, sizeof words, &child);
    check_str(words, "");  // it has no log
    check(launch_ended(&child, &code));  // and stays so
    check_ok(launch_wait(&child, &err), err);
    launch_stop(&child);
}

static void stop_ends_a_child_at_once(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    launch_child child;
    launch_args a = shell("exec sleep 60");
    check_ok(launch_start(&child, "it", &a, NULL, 0, &err), err);
    launch_args_clear(&a);
    pid_t pid = child.pid;
    int64_t began = fl_now_ms();
    launch_stop(&child);
    check(fl_now_ms() - began < 4000);
    check_int(child.pid, 0);
    check_int(kill(pid, 0), -1);
    check_int(errno, ESRCH);
    launch_stop(&child);  // fine when called twice
}

/* The simulator is killed: what it started must not go on. */
static void a_child_dies_with_its_parent(void **state)
{
    (void)state;
    int pipe_fd[2];
    check_int(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // grandchildren become ours
    check_int(pipe(pipe_fd), 0);
    pid_t parent = fork();
    check(parent >= 0);
    if (parent == 0) {
        fl_err err = FL_ERR_INIT;
        launch_child child;
        launch_args a = shell("echo ready; exec sleep 60");
        // The grandchild's first word comes through the pipe: it is set up.
        dup2(pipe_fd[1], STDOUT_FILENO);
        if (launch_start(&child, "it", &a, NULL, 0, &err) != FL_OK) {
            _exit(1);
        }
        pause();
        _exit(0);
    }
    close(pipe_fd[1]);
    char word[16] = "";
    check(read(pipe_fd[0], word, sizeof word - 1) > 0);
    check_str(word, "ready\n");
    close(pipe_fd[0]);
    kill(parent, SIGKILL);
    int status = 0;
    check_int(waitpid(parent, &status, 0), parent);
    pid_t grandchild = 0;
    for (int64_t until = fl_now_ms() + 10000; grandchild == 0 && fl_now_ms() < until;) {
        grandchild = waitpid(-1, &status, WNOHANG);
        usleep(1000);
    }
    check(grandchild > 0);
    check(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGTERM);
}

static void a_free_port_can_be_listened_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    int port = 0;
    check_ok(launch_free_port(&port, &err), err);
    check(port > 1023 && port < 65536);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check_int(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_that_ends_well_is_fine),
        cmocka_unit_test(the_exit_code_and_the_last_words_are_reported),
        cmocka_unit_test(a_program_that_is_not_there_says_so),
        cmocka_unit_test(a_sibling_of_this_program_is_found_by_its_build_name),
        cmocka_unit_test(output_is_read_to_its_end),
        cmocka_unit_test(a_child_can_be_asked_whether_it_has_ended),
        cmocka_unit_test(stop_ends_a_child_at_once),
        cmocka_unit_test(a_child_dies_with_its_parent),
        cmocka_unit_test(a_free_port_can_be_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
