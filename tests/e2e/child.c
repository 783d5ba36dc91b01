/*
 * child.c - see child.h
 */
#define _DEFAULT_SOURCE  // prctl's constants

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"

enum { MAX_ARGS = 64, MAX_LOG_BYTES = 16 << 20, POLL_NS = 5000000, DO_MS = 60000 };

static void start(child *out, const char *name, const char *log, const char *program, va_list args)
{
    const char *build = getenv("BUILD");
    char *path = fl_xasprintf("%s/bin/%s", build != NULL ? build : "build", program);
    char *argv[MAX_ARGS + 1] = {path};
    const char *arg;
    for (int n = 1; (arg = va_arg(args, const char *)) != NULL; n++) {
        FL_REQUIRE(n < MAX_ARGS);
        argv[n] = (char *)arg;
    }
    *out = (child){.log = fl_xstrdup(log)};
    snprintf(out->name, sizeof out->name, "%s", name);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && null >= 0);
    fflush(NULL);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, STDIN_FILENO);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(path, argv);
        _exit(127);
    }
    out->pid = pid;
    close(fd);
    close(null);
    free(path);
}

void child_start(child *out, const char *name, const char *log, const char *program, ...)
{
    va_list args;
    va_start(args, program);
    start(out, name, log, program, args);
    va_end(args);
}

bool child_ended(child *c)
{
    int status = 0;
    if (c->pid != 0 && waitpid(c->pid, &status, WNOHANG) == c->pid) {
        c->pid = 0;
        c->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return c->pid == 0;
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){0, POLL_NS}, NULL);
}

bool child_wait(child *c, int timeout_ms)
{
    int64_t until = fl_now_ms() + timeout_ms;
    while (!child_ended(c) && fl_now_ms() < until) {
        pause_a_little();
    }
    return c->pid == 0;
}

void child_do(const char *log, const char *program, ...)
{
    child c;
    va_list args;
    va_start(args, program);
    start(&c, program, log, program, args);
    va_end(args);
    bool in_time = child_wait(&c, DO_MS);
    if (!in_time || c.exit_code != 0) {
        check_fail("%s %s: %s", program, in_time ? "failed" : "did not end", child_said(&c));
    }
    child_clear(&c);
}

void child_clear(child *c)
{
    if (!child_ended(c)) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
        c->pid = 0;
        c->exit_code = 128 + SIGKILL;
    }
    FL_FREE(c->log);
}

char *child_said(const child *c)
{
    char *text = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_file_read(&text, &n, c->log, MAX_LOG_BYTES, &err), err);
    return text;
}

bool child_says(child *c, const char *text, int timeout_ms)
{
    int64_t until = fl_now_ms() + timeout_ms;
    for (;;) {
        bool over = child_ended(c) || fl_now_ms() >= until;  // then its last words count, too
        char *said = child_said(c);
        bool found = strstr(said, text) != NULL;
        free(said);
        if (found || over) {
            return found;
        }
        pause_a_little();
    }
}
