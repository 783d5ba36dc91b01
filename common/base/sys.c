/*
 * sys.c - see sys.h
 */
#define _GNU_SOURCE  // sched_getaffinity: the cores we may use, not all there are
#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

// ------------------------------------------------------------------- clocks

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    FL_REQUIRE(clock_gettime(clock, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t fl_now_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

double fl_now(void)
{
    return (double)clock_ns(CLOCK_MONOTONIC) * 1e-9;
}

int64_t fl_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

void fl_iso_time(char *out, size_t n, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    FL_REQUIRE(n >= 32 && gmtime_r(&seconds, &utc) != NULL);
    strftime(out, n, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

// -------------------------------------------------------------------- files

fl_status fl_file_read(char **out, size_t *n, const char *path, size_t max_bytes, fl_err *err)
{
    *out = NULL;
    *n = 0;
    // Not waiting for the writer of a pipe, which is refused below.
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    fl_status st = FL_OK;
    char *bytes = NULL;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        st = fl_fail(err, FL_EIO, "%s: not a regular file", path);
        goto done;
    }
    size_t size = (size_t)info.st_size;
    if (size > max_bytes) {
        st = fl_fail(err, FL_ELIMIT, "%s: %zu bytes, at most %zu are read", path, size, max_bytes);
        goto done;
    }
    bytes = fl_calloc(size + 1, 1, path, err);
    if (bytes == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, bytes + used, size - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            st = fl_fail_errno(err, errno, path);
            goto done;
        }
        if (got == 0) {
            break;  // it shrank meanwhile; what is there is the file
        }
        used += (size_t)got;
    }
    bytes[used] = '\0';
    *n = used;
    *out = bytes;
    bytes = NULL;  // now the caller's
done:
    free(bytes);
    close(fd);
    return st;
}

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return errno;
        }
        bytes += put;
        n -= (size_t)put;
    }
    return 0;
}

/* The folder's own entry must reach the disk too, or a rename may be lost. */
static fl_status fsync_parent(const char *path, fl_err *err)
{
    char *dir = fl_path_dir(path);
    fl_status st = fl_fsync_dir(dir, err);
    free(dir);
    return st;
}

fl_status fl_file_write(const char *path, const void *bytes, size_t n, unsigned mode, fl_err *err)
{
    static atomic_uint serial;  // threads of one process differ as well
    char *temporary =
        fl_xasprintf("%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
    fl_status st = FL_OK;
    unlink(temporary);  // of an earlier process with our number
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    int why = write_all(fd, bytes, n);
    if (why == 0 && fsync(fd) != 0) {
        why = errno;
    }
    if (close(fd) != 0 && why == 0) {
        why = errno;
    }
    if (why == 0 && rename(temporary, path) != 0) {
        why = errno;
    }
    if (why != 0) {
        unlink(temporary);
        st = fl_fail_errno(err, why, path);
        goto done;
    }
    st = fsync_parent(path, err);
done:
    free(temporary);
    return st;
}

static fl_status append(const char *path, const void *bytes, size_t n, bool flush, fl_err *err)
{
    bool is_new = !fl_file_exists(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    int why = write_all(fd, bytes, n);
    if (why == 0 && flush && fdatasync(fd) != 0) {
        why = errno;
    }
    if (close(fd) != 0 && why == 0) {
        why = errno;
    }
    if (why != 0) {
        return fl_fail_errno(err, why, path);
    }
    return is_new && flush ? fsync_parent(path, err) : FL_OK;
}

fl_status fl_file_append(const char *path, const void *bytes, size_t n, fl_err *err)
{
    return append(path, bytes, n, true, err);
}

fl_status fl_file_append_later(const char *path, const void *bytes, size_t n, fl_err *err)
{
    return append(path, bytes, n, false, err);
}

fl_status fl_file_flush(const char *path, fl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    int why = fdatasync(fd) == 0 ? 0 : errno;
    close(fd);
    return why == 0 ? FL_OK : fl_fail_errno(err, why, path);
}

bool fl_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

fl_status fl_file_visible(const char *path, fl_err *err)
{
    if (access(path, F_OK) == 0) {
        return FL_OK;
    }
    return fl_fail_errno(err, errno == ENOTDIR ? ENOENT : errno, path);
}

bool fl_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

fl_status fl_mkdirs(const char *path, unsigned mode, fl_err *err)
{
    char *partial = fl_xstrdup(path);
    fl_status st = FL_OK;
    for (char *c = partial + 1; *partial != '\0'; c++) {
        if (*c != '/' && *c != '\0') {
            continue;
        }
        char held = *c;
        *c = '\0';
        if (mkdir(partial, (mode_t)mode) != 0) {
            int why = errno;  // not stat's below
            if (!fl_is_dir(partial)) {
                st = why == EEXIST ? fl_fail(err, FL_EIO, "%s is there and is no folder", partial)
                                   : fl_fail_errno(err, why, partial);
                break;
            }
        }
        *c = held;
        if (held == '\0') {
            break;
        }
    }
    free(partial);
    return st;
}

fl_status fl_remove_tree(const char *path, fl_err *err)
{
    struct stat info;
    if (lstat(path, &info) != 0) {
        return errno == ENOENT ? FL_OK : fl_fail_errno(err, errno, path);
    }
    if (!S_ISDIR(info.st_mode)) {  // a link is removed, not followed
        return unlink(path) == 0 ? FL_OK : fl_fail_errno(err, errno, path);
    }
    char **names = NULL;
    size_t n = 0;
    fl_status st = fl_list_dir(&names, &n, path, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        char *child = fl_path_join(path, names[i]);
        st = fl_remove_tree(child, err);
        free(child);
    }
    fl_names_free(&names, n);
    if (st == FL_OK && rmdir(path) != 0) {
        st = fl_fail_errno(err, errno, path);
    }
    return st;
}

fl_status fl_fsync_dir(const char *path, fl_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    // Some file systems cannot flush a folder and say EINVAL; that is no loss.
    int why = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return why == 0 ? FL_OK : fl_fail_errno(err, why, path);
}

fl_status fl_file_lock(int *fd, const char *path, unsigned mode, int wait_ms, fl_err *err)
{
    enum { STEP_MS = 20 };
    int64_t until_ms = fl_now_ms() + wait_ms;
    int why = 0;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, (mode_t)mode);
    if (*fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    while (flock(*fd, LOCK_EX | (wait_ms == FL_LOCK_FOREVER ? 0 : LOCK_NB)) != 0) {
        why = errno;
        if (why == EWOULDBLOCK && fl_now_ms() < until_ms) {
            poll(NULL, 0, STEP_MS);
        } else if (why != EINTR) {
            close(*fd);
            *fd = -1;
            return why == EWOULDBLOCK
                       ? fl_fail(err, FL_ECONFLICT, "%s: in use by another process", path)
                       : fl_fail_errno(err, why, path);
        }
    }
    return FL_OK;
}

fl_status fl_need_files(size_t needed, const char *what, fl_err *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= needed) {
        return FL_OK;
    }
    files.rlim_cur = files.rlim_max < needed ? files.rlim_max : needed;
    if (files.rlim_cur < needed || setrlimit(RLIMIT_NOFILE, &files) != 0) {
        return fl_fail(err, FL_ELIMIT,
                       "%s need %zu open files, the system allows %llu: raise it with ulimit -n",
                       what, needed, (unsigned long long)files.rlim_max);
    }
    return FL_OK;
}

// -------------------------------------------------------------------- paths

char *fl_path_join(const char *a, const char *b)
{
    if (b[0] == '/' || a[0] == '\0') {
        return fl_xstrdup(b);
    }
    bool has_slash = a[strlen(a) - 1] == '/';
    return fl_xasprintf("%s%s%s", a, has_slash ? "" : "/", b);
}

char *fl_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return fl_xstrdup(".");
    }
    return slash == path ? fl_xstrdup("/") : fl_xstrndup(path, (size_t)(slash - path));
}

const char *fl_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

fl_status fl_list_dir(char ***names, size_t *n, const char *path, fl_err *err)
{
    *names = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return fl_fail_errno(err, errno, path);
    }
    char **found = NULL;
    size_t n_found = 0;
    size_t cap = 0;
    int why;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            why = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (n_found == cap) {
            cap = cap == 0 ? 16 : 2 * cap;
            found = fl_xrealloc(found, cap, sizeof *found);
        }
        found[n_found++] = fl_xstrdup(entry->d_name);
    }
    closedir(dir);
    if (why != 0) {
        fl_names_free(&found, n_found);
        return fl_fail_errno(err, why, path);
    }
    if (n_found > 0) {
        qsort(found, n_found, sizeof *found, by_name);
    }
    *names = found;
    *n = n_found;
    return FL_OK;
}

void fl_names_free(char ***names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((*names)[i]);
    }
    FL_FREE(*names);
}

fl_status fl_expand_env(char **out, const char *text, fl_err *err)
{
    fl_buf expanded = FL_BUF_INIT;
    *out = NULL;
    for (const char *start; (start = strstr(text, "${")) != NULL;) {
        const char *end = strchr(start, '}');
        if (end == NULL) {
            fl_buf_clear(&expanded);
            return fl_fail(err, FL_ECONFIG, "${ without } in '%s'", start);
        }
        char *name = fl_xstrndup(start + 2, (size_t)(end - start - 2));
        const char *value = getenv(name);
        if (value == NULL) {
            fl_fail(err, FL_ECONFIG, "the environment variable %s is not set", name);
            free(name);
            fl_buf_clear(&expanded);
            return FL_ECONFIG;
        }
        free(name);
        fl_buf_add(&expanded, text, (size_t)(start - text));
        fl_buf_puts(&expanded, value);
        text = end + 1;
    }
    fl_buf_puts(&expanded, text);
    *out = fl_buf_take(&expanded);
    return FL_OK;
}

// ------------------------------------------------------------------ threads

typedef struct {
    atomic_size_t next;  // first item nobody has taken
    size_t n_items;
    void (*fn)(void *ctx, size_t item);
    void *ctx;
} parallel_work;

static void *take_items(void *arg)
{
    parallel_work *work = arg;
    size_t item;
    while ((item = atomic_fetch_add(&work->next, 1)) < work->n_items) {
        work->fn(work->ctx, item);
    }
    return NULL;
}

void fl_parallel(int n_threads, size_t n_items, void (*fn)(void *ctx, size_t item), void *ctx)
{
    enum { MAX_THREADS = 256 };
    parallel_work work = {.n_items = n_items, .fn = fn, .ctx = ctx};
    atomic_init(&work.next, 0);
    size_t wanted = n_threads < 1 ? 1 : (size_t)n_threads;
    if (wanted > MAX_THREADS) {
        wanted = MAX_THREADS;
    }
    if (wanted > n_items) {
        wanted = n_items;
    }
    pthread_t helpers[MAX_THREADS];
    size_t n_helpers = 0;
    // A thread that cannot be had is no failure: the others do its share.
    while (n_helpers + 1 < wanted &&
           pthread_create(&helpers[n_helpers], NULL, take_items, &work) == 0) {
        n_helpers++;
    }
    take_items(&work);
    for (size_t i = 0; i < n_helpers; i++) {
        pthread_join(helpers[i], NULL);
    }
}

int fl_n_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

// ------------------------------------------------------------------ process

static atomic_int stop_requested;

static void on_stop_signal(int number)
{
    (void)number;
    atomic_store(&stop_requested, 1);
}

void fl_catch_signals(void)
{
    // The second signal kills, as people expect; no SA_RESTART, so that waits
    // end early and look at the flag.
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool fl_stop_requested(void)
{
    return atomic_load(&stop_requested) != 0;
}

void fl_request_stop(void)
{
    atomic_store(&stop_requested, 1);
}

/* A "VmRSS:  1234 kB" line of /proc/self/status; 0 where there is none. */
static size_t status_bytes(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) {
        return 0;
    }
    char line[256];
    unsigned long kib = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtoul(line + strlen(key), NULL, 10);
            break;
        }
    }
    fclose(file);
    return (size_t)kib * 1024;
}

size_t fl_rss_bytes(void)
{
    return status_bytes("VmRSS:");
}

size_t fl_peak_rss_bytes(void)
{
    return status_bytes("VmHWM:");
}

char *fl_program_dir(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0) {
        return fl_xstrdup(".");
    }
    path[n] = '\0';
    return fl_path_dir(path);
}
