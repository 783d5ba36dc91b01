/*
 * preload.c - faults inside a program that knows nothing of them
 *
 * Loaded with LD_PRELOAD before the real coordinator or client, which are not
 * built for it.  It stands in front of a few library calls and, at the one
 * that CHAOS_FAULT names, kills the program, lets the call fail, or turns the
 * clock.  What happened is a line in the file CHAOS_FIRED, written first.
 * Programs other than CHAOS_PROGRAM, which it may start, are left alone.
 *
 *     CHAOS_FAULT=CALL|WHEN|ACTION|NTH|TEXT|TEXT...
 *
 * CALL    commit   of a database transaction that wrote a line (of the audit record)
 *                  with every TEXT in it
 *         fsync    of a file whose name has every TEXT in it (fdatasync too)
 *         rename   to such a file
 *         write    to such a file
 *         send     of a message to the other side
 *         clock    of a reading of the time of day
 * WHEN    before | after the call
 * ACTION  kill     SIGKILL to itself
 *         tear     half of it is written, then SIGKILL (write only)
 *         fail     the call is not made and fails with EIO; a write with ENOSPC
 *         +N -N    the time of day is N seconds further from here on (clock only)
 * NTH     which of the calls, from 1; with fail as NTH-LAST
 */
#define _GNU_SOURCE  // RTLD_NEXT

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TEXTS = 4, SPEC_BYTES = 512 };

static struct {
    char bytes[SPEC_BYTES];
    const char *call, *when, *action, *text[MAX_TEXTS];
    int n_texts;
    long first, last, seen;
    int fired;          // file
    bool line_matches;  // the open transaction wrote such a line
    long clock_offset;  // s
} fault = {.fired = -1};

__attribute__((constructor)) static void read_fault(void)
{
    const char *spec = getenv("CHAOS_FAULT"), *fired = getenv("CHAOS_FIRED"),
               *program = getenv("CHAOS_PROGRAM");
    char self[4096] = "";
    bool is_it = program != NULL && readlink("/proc/self/exe", self, sizeof self - 1) > 0 &&
                 strcmp(self, program) == 0;
    if (is_it && spec != NULL && fired != NULL && strlen(spec) < SPEC_BYTES) {
        memcpy(fault.bytes, spec, strlen(spec) + 1);
        char *rest = fault.bytes, *nth;
        fault.call = strsep(&rest, "|");
        fault.when = strsep(&rest, "|");
        fault.action = strsep(&rest, "|");
        nth = strsep(&rest, "|");
        if (nth != NULL) {
            char *dash = NULL;
            fault.first = strtol(nth, &dash, 10);
            fault.last = *dash == '-' ? strtol(dash + 1, NULL, 10) : fault.first;
            fault.fired = open(fired, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        }
        while (rest != NULL && fault.n_texts < MAX_TEXTS) {
            fault.text[fault.n_texts++] = strsep(&rest, "|");
        }
    }
}

static bool is_call(const char *name)
{
    return fault.fired >= 0 && strcmp(fault.call, name) == 0;
}

static bool has_texts(const char *where)
{
    for (int i = 0; i < fault.n_texts; i++) {
        if (strstr(where, fault.text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void note(void)
{
    char line[64];
    int n = snprintf(line, sizeof line, "%s %s %s\n", fault.call, fault.when, fault.action);
    if (write(fault.fired, line, (size_t)n) < 0) {
        // nobody to tell
    }
}

/* This call is the one, or one of those. */
static bool is_due(void)
{
    fault.seen++;
    return fault.seen >= fault.first && fault.seen <= fault.last;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

static void die_if(const char *when)
{
    if (strcmp(fault.action, "kill") == 0 && strcmp(fault.when, when) == 0) {
        note();
        die();
    }
}

static bool fails(int why)
{
    if (strcmp(fault.action, "fail") != 0) {
        return false;
    }
    if (fault.seen == fault.first) {
        note();
    }
    errno = why;
    return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// ------------------------------------------------------------------ databases

/* As in sqlite3.h, which this file does without. */
int sqlite3_exec(void *db, const char *sql, int (*row)(void *, int, char **, char **), void *ctx,
                 char **why);
int sqlite3_bind_text(void *statement, int index, const char *text, int n, void (*free_it)(void *));

int sqlite3_bind_text(void *statement, int index, const char *text, int n, void (*free_it)(void *))
{
    if (is_call("commit") && text != NULL && n < 0 && has_texts(text)) {
        fault.line_matches = true;
    }
    return REAL(sqlite3_bind_text)(statement, index, text, n, free_it);
}

int sqlite3_exec(void *db, const char *sql, int (*row)(void *, int, char **, char **), void *ctx,
                 char **why)
{
    bool due = is_call("commit") && fault.line_matches && strcmp(sql, "COMMIT") == 0 && is_due();
    if (due) {
        die_if("before");
    }
    int code = REAL(sqlite3_exec)(db, sql, row, ctx, why);
    if (due) {
        die_if("after");
    }
    if (strcmp(sql, "COMMIT") == 0 || strcmp(sql, "ROLLBACK") == 0) {
        fault.line_matches = false;
    }
    return code;
}

// ---------------------------------------------------------------------- files

static bool is_file(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return has_texts(path);
}

static int flush(int fd, int (*really)(int fd))
{
    bool due = is_call("fsync") && is_file(fd) && is_due();
    if (due) {
        die_if("before");
        if (fails(EIO)) {
            return -1;
        }
    }
    int code = really(fd);
    if (due) {
        die_if("after");
    }
    return code;
}

int fsync(int fd)
{
    return flush(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return flush(fd, REAL(fdatasync));
}

int rename(const char *from, const char *to)
{
    bool due = is_call("rename") && has_texts(to) && is_due();
    if (due) {
        die_if("before");
        if (fails(EIO)) {
            return -1;
        }
    }
    int code = REAL(rename)(from, to);
    if (due) {
        die_if("after");
    }
    return code;
}

/* how: write or pwrite, whose offset a write does without. */
static ssize_t put(int fd, const void *bytes, size_t n, off_t at,
                   ssize_t (*how)(int fd, const void *bytes, size_t n, off_t at))
{
    bool due = is_call("write") && is_file(fd) && is_due();
    if (due) {
        die_if("before");
        if (fails(ENOSPC)) {
            return -1;
        }
    }
    bool tears = due && strcmp(fault.action, "tear") == 0;
    ssize_t put = how(fd, bytes, tears ? n / 2 : n, at);
    if (tears) {
        note();
        die();
    }
    if (due) {
        die_if("after");
    }
    return put;
}

static ssize_t really_write(int fd, const void *bytes, size_t n, off_t at)
{
    (void)at;
    return REAL(write)(fd, bytes, n);
}

static ssize_t really_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return REAL(pwrite)(fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    return put(fd, bytes, n, 0, really_write);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return put(fd, bytes, n, at, really_pwrite);
}

// ------------------------------------------------------------------- messages

int zmq_send(void *socket, const void *bytes, size_t n, int flags);

int zmq_send(void *socket, const void *bytes, size_t n, int flags)
{
    bool due = is_call("send") && is_due();
    if (due) {
        die_if("before");
    }
    int code = REAL(zmq_send)(socket, bytes, n, flags);
    if (due) {
        die_if("after");
    }
    return code;
}

// ---------------------------------------------------------------------- clock

int clock_gettime(clockid_t clock, struct timespec *t)
{
    static __typeof__(&clock_gettime) really;
    if (really == NULL) {
        really = REAL(clock_gettime);
    }
    int code = really(clock, t);
    if (clock == CLOCK_REALTIME && is_call("clock")) {
        if (fault.clock_offset == 0 && is_due()) {
            fault.clock_offset = strtol(fault.action, NULL, 10);
            note();
        }
        t->tv_sec += fault.clock_offset;
    }
    return code;
}

time_t time(time_t *out)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL) {
        *out = t.tv_sec;
    }
    return t.tv_sec;
}
