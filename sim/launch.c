/*
 * launch.c - see launch.h
 */
#include "sim/launch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"

enum {
    LAST_WORDS = 600,               // bytes of a log that go into a message
    MAX_OUTPUT = 64 * 1024 * 1024,  // bytes read from a child
    STOP_PATIENCE_MS = 5000
};

void launch_args_init(launch_args *a, const char *program)
{
    *a = (launch_args){0};
    char *folder = fl_program_dir();
    char *path = fl_path_join(folder, program);
    if (!fl_file_exists(path)) {
        free(path);
        path = fl_xasprintf("%s/consilium-%s", folder, program);
    }
    launch_args_add(a, path);
    free(path);
    free(folder);
}

void launch_args_add(launch_args *a, const char *text)
{
    a->argv = fl_xrealloc(a->argv, a->n + 2, sizeof *a->argv);
    a->argv[a->n++] = fl_xstrdup(text);
    a->argv[a->n] = NULL;
}

void launch_args_add_int(launch_args *a, const char *option, long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    launch_args_add(a, option);
    launch_args_add(a, text);
}

void launch_args_add_num(launch_args *a, const char *option, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    launch_args_add(a, option);
    launch_args_add(a, text);
}

void launch_args_clear(launch_args *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->argv[i]);
    }
    free(a->argv);
    *a = (launch_args){0};
}

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

/* In the child: output, priority, the program.  Only async-signal-safe calls. */
_Noreturn static void become(const launch_args *a, int out, int nice_by, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(127);  // the simulator died in between
    }
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
    }
    if (nice_by > 0) {
        setpriority(PRIO_PROCESS, 0, nice_by);
    }
    execv(a->argv[0], a->argv);
    say(a->argv[0]);
    say(errno == ENOENT ? ": cannot be started: it is not there\n" : ": cannot be started\n");
    _exit(127);
}

fl_status launch_start(launch_child *out, const char *name, const launch_args *a, const char *log,
                       int nice, fl_err *err)
{
    *out = (launch_child){0};
    int fd = -1;
    if (log != NULL && (fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) < 0) {
        return fl_fail_errno(err, errno, log);
    }
    fflush(NULL);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        if (fd >= 0) {
            dup2(fd, STDERR_FILENO);
        }
        become(a, fd, nice, self);
    }
    int failed = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (pid < 0) {
        return fl_fail_errno(err, failed, "starting a process");
    }
    snprintf(out->name, sizeof out->name, "%s", name);
    out->log = fl_xstrdup(log);
    out->pid = pid;
    return FL_OK;
}

void launch_last_words(char *out, size_t n, const launch_child *c)
{
    char *text = NULL;
    size_t size = 0;
    fl_err ignored = FL_ERR_INIT;
    out[0] = '\0';
    if (c->log == NULL || fl_file_read(&text, &size, c->log, MAX_OUTPUT, &ignored) != FL_OK) {
        return;
    }
    while (size > 0 && text[size - 1] == '\n') {
        text[--size] = '\0';
    }
    const char *line = strrchr(text, '\n');
    snprintf(out, n, "%.*s", LAST_WORDS, line != NULL ? line + 1 : text);
    free(text);
}

static fl_status judge(const launch_child *c, int status, fl_err *err)
{
    char words[LAST_WORDS + 1];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return FL_OK;
    }
    launch_last_words(words, sizeof words, c);
    if (WIFSIGNALED(status)) {
        return fl_fail(err, FL_EIO, "%s was ended by signal %d%s%s", c->name, WTERMSIG(status),
                       words[0] ? ": " : "", words);
    }
    return fl_fail(err, FL_EIO, "%s exited with %d%s%s", c->name, WEXITSTATUS(status),
                   words[0] ? ": " : "", words);
}

fl_status launch_wait(launch_child *c, fl_err *err)
{
    int status = 0;
    if (c->pid == 0) {
        return FL_OK;
    }
    while (waitpid(c->pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return fl_fail_errno(err, errno, c->name);
        }
        if (fl_stop_requested()) {
            launch_stop(c);
            return fl_fail(err, FL_ESTOPPED, "stopped");
        }
    }
    c->pid = 0;
    fl_status st = judge(c, status, err);
    FL_FREE(c->log);
    return st;
}

bool launch_ended(launch_child *c, int *exit_code)
{
    int status = 0;
    if (c->pid == 0 || waitpid(c->pid, &status, WNOHANG) != c->pid) {
        return c->pid == 0;
    }
    c->pid = 0;
    *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

void launch_stop(launch_child *c)
{
    int code = 0;
    if (c->pid != 0) {
        kill(c->pid, SIGTERM);
        for (int64_t until = fl_now_ms() + STOP_PATIENCE_MS;
             !launch_ended(c, &code) && fl_now_ms() < until;) {
            nanosleep(&(struct timespec){0, 20000000}, NULL);
        }
    }
    if (c->pid != 0) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
        c->pid = 0;
    }
    FL_FREE(c->log);
}

fl_status launch_read(char **text, const char *name, const launch_args *a, fl_err *err)
{
    int pipe_fd[2];
    *text = NULL;
    if (pipe(pipe_fd) != 0) {
        return fl_fail_errno(err, errno, "pipe");
    }
    fflush(NULL);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        close(pipe_fd[0]);
        become(a, pipe_fd[1], 0, self);
    }
    close(pipe_fd[1]);
    if (pid < 0) {
        close(pipe_fd[0]);
        return fl_fail_errno(err, errno, "starting a process");
    }
    fl_buf out = FL_BUF_INIT;
    char block[65536];
    ssize_t got;
    while ((got = read(pipe_fd[0], block, sizeof block)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0 && out.n < MAX_OUTPUT) {
            fl_buf_add(&out, block, (size_t)got);
        }
    }
    close(pipe_fd[0]);
    launch_child child = {.pid = pid};
    snprintf(child.name, sizeof child.name, "%s", name);
    fl_status st = launch_wait(&child, err);
    *text = fl_buf_take(&out);
    if (st != FL_OK) {
        FL_FREE(*text);
    }
    return st;
}

fl_status launch_free_port(int *port, fl_err *err)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) != 0 ||
        getsockname(fd, (struct sockaddr *)&any, &n) != 0) {
        fl_status st = fl_fail_errno(err, errno, "looking for a free port");
        if (fd >= 0) {
            close(fd);
        }
        return st;
    }
    close(fd);
    *port = ntohs(any.sin_port);
    return FL_OK;
}
