/*
 * crew.c - see crew.h
 */
#include "bench/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

/* A process that was started and is not waited for. */
typedef struct {
    pid_t pid;
    char *what, *log;  // log: where its words are, or NULL
} child;

static child *children;
static size_t n_children;

static const char *bench, *out_path, *dir;
static pid_t owner;  // of all these: the process that starts the others

void crew_init(const char *bench_name, const char *out, const char *folder)
{
    bench = bench_name;
    out_path = out;
    dir = folder;
    owner = getpid();
}

void crew_end(void)
{
    for (size_t i = 0; i < n_children; i++) {
        kill(children[i].pid, SIGKILL);
    }
    for (size_t i = 0; i < n_children; i++) {
        waitpid(children[i].pid, NULL, 0);
        free(children[i].what);
        free(children[i].log);
    }
    n_children = 0;
}

void crew_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", bench, what, why);
    if (getpid() == owner) {
        crew_end();
        unlink(out_path);
        if (getenv("KEEP") == NULL) {
            fl_remove_tree(dir, NULL);
        }
    }
    _exit(1);
}

void crew_add(pid_t pid, const char *what, const char *log)
{
    children = fl_xrealloc(children, n_children + 1, sizeof *children);
    children[n_children++] = (child){
        .pid = pid, .what = fl_xstrdup(what), .log = log != NULL ? fl_xstrdup(log) : NULL};
}

/* The last line of a file that is not blank, "" for none. */
static void last_line(char *out, size_t n, const char *path)
{
    char line[1024];
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    *out = '\0';
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (*line != '\0') {
            snprintf(out, n, "%s", line);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

/* One that should have gone on has ended; said: its last words, or NULL: they are in its log. */
static void fail_ended(const child *c, int status, const char *said)
{
    char why[2048], words[1024];
    if (said == NULL) {
        last_line(words, sizeof words, c->log);
        said = words;
    }
    snprintf(why, sizeof why, "ended %s %d while its rounds were waited for%s%.1000s",
             WIFSIGNALED(status) ? "by signal" : "with exit code",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
             *said != '\0' ? "; it said: " : " and said nothing", said);
    char *what = fl_xstrdup(c->what);  // crew_fail frees the child
    crew_fail(what, why);
}

void crew_check(void)
{
    for (size_t i = 0; i < n_children; i++) {
        int status;
        if (waitpid(children[i].pid, &status, WNOHANG) == children[i].pid) {
            fail_ended(&children[i], status, NULL);
        }
    }
}

int crew_wait(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    for (size_t i = 0; i < n_children; i++) {
        if (children[i].pid == pid) {
            free(children[i].what);
            free(children[i].log);
            children[i] = children[--n_children];
        }
    }
    return status;
}

pid_t crew_start(const char *const *argv, crew_voice *out, const char *log)
{
    int ends[2] = {-1, -1};
    if (out != NULL && pipe(ends) != 0) {
        crew_fail(argv[0], "no pipe");
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int to = out != NULL ? ends[1] : open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(to, STDOUT_FILENO);
        dup2(to, STDERR_FILENO);
        if (out != NULL) {
            close(ends[0]);
        }
        execvp(argv[0], (char *const *)argv);
        fprintf(stderr, "cannot be started: %s\n", strerror(errno));
        _exit(127);
    }
    if (pid < 0) {
        crew_fail(argv[0], "no process");
    }
    crew_add(pid, argv[0], log);
    if (out != NULL) {
        close(ends[1]);
        fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        *out = (crew_voice){.fd = ends[0], .pid = pid};
    }
    return pid;
}

void crew_do(const char *const *argv)
{
    char *log = fl_path_join(dir, "setup.log");
    if (crew_wait(crew_start(argv, NULL, log)) != 0) {
        char why[1200], words[1024];
        last_line(words, sizeof words, log);
        snprintf(why, sizeof why, "%s failed: %s", argv[1], words);
        crew_fail(argv[0], why);
    }
    free(log);
}

double crew_cpu(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    unsigned long user = 0, system = 0;
    if (f != NULL && fgets(text, sizeof text, f) != NULL && strrchr(text, ')') != NULL) {
        sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &system);
    }
    if (f != NULL) {
        fclose(f);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double crew_peak_mb(pid_t pid)
{
    char path[64], line[256];
    double kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        sscanf(line, "VmHWM: %lf", &kb);
    }
    if (f != NULL) {
        fclose(f);
    }
    return kb * 1024 / 1e6;
}

void crew_line(crew_voice *from, char *line, size_t n)
{
    for (;;) {
        char *end = memchr(from->text, '\n', from->n);
        if (end != NULL || from->n == sizeof from->text) {
            size_t used = end != NULL ? (size_t)(end - from->text) : from->n;
            snprintf(line, n, "%.*s", (int)used, from->text);
            used += end != NULL;
            from->n -= used;
            memmove(from->text, from->text + used, from->n);
            return;
        }
        struct pollfd p = {from->fd, POLLIN, 0};
        if (poll(&p, 1, CREW_LOOK_MS) <= 0) {
            crew_check();
            continue;
        }
        ssize_t got = read(from->fd, from->text + from->n, sizeof from->text - from->n);
        if (got <= 0) {
            for (size_t i = 0; i < n_children; i++) {
                int status = 0;
                if (children[i].pid == from->pid) {
                    waitpid(from->pid, &status, 0);
                    fail_ended(&children[i], status, line);
                }
            }
        }
        from->n += got > 0 ? (size_t)got : 0;
    }
}
