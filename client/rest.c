/*
 * rest.c - see rest.h
 *
 * A remainder is at most half a unit of the value that it is of, so it is kept in bfloat16
 * itself: what that drops is 2^-17 of the update.  The old one is read, the update rounded and the
 * new one written in one pass.  A file that is not needed any more is written over: no
 * blocks are freed and found again.
 */
#include "client/rest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/bf16.h"

enum { BLOCK = 1 << 16 };  // values at a time, which a cache holds

static const char mark[8] = {'f', 'e', 'd', '-', 'r', 's', 't', '1'};
static const char partial_name[] = "rest.tmp";

/* One block on its way. */
typedef struct {
    float rest[BLOCK];
    uint8_t packed[2 * BLOCK];
} workspace;

static char *path_of(const char *dir, uint32_t round)
{
    return fl_xasprintf("%s/rest-%010" PRIu32, dir, round);
}

/* Of a remainder, or false. */
static bool parse_name(const char *name, uint32_t *round)
{
    int end = 0;
    return sscanf(name, "rest-%10" SCNu32 "%n", round, &end) == 1 && end == 15 && name[end] == '\0';
}

/* The last round up to committed that left a remainder; 0: none.  Older ones go, one to partial. */
static fl_status current(uint32_t *out, const char *dir, uint32_t committed, const char *partial,
                         fl_err *err)
{
    char **names = NULL;
    size_t n = 0;
    *out = 0;
    fl_status st = fl_list_dir(&names, &n, dir, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {  // in the order of the rounds
        uint32_t round = 0;
        if (!parse_name(names[i], &round) || round > committed) {
            continue;
        }
        if (*out != 0) {
            char *older = path_of(dir, *out);
            if (rename(older, partial) != 0) {
                unlink(older);
            }
            free(older);
        }
        *out = round;
    }
    fl_names_free(&names, n);
    return st;
}

/* Exactly n bytes, or an error. */
static fl_status get(int fd, void *bytes, size_t n, const char *path, fl_err *err)
{
    char *at = bytes;
    while (n > 0) {
        ssize_t got = read(fd, at, n);
        if (got < 0 && errno != EINTR) {
            return fl_fail_errno(err, errno, path);
        }
        if (got == 0) {
            return fl_fail(err, FL_EFORMAT, "%s: ends early", path);
        }
        at += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return FL_OK;
}

static fl_status put(int fd, const void *bytes, size_t n, const char *path, fl_err *err)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno != EINTR) {
            return fl_fail_errno(err, errno, path);
        }
        at += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return FL_OK;
}

/* Opens a remainder of P values behind its mark. */
static fl_status open_rest(int *fd, const char *path, int64_t P, fl_err *err)
{
    char found[sizeof mark];
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &info) != 0) {
        return fl_fail_errno(err, errno, path);
    }
    if (info.st_size != (off_t)sizeof mark + 2 * (off_t)P ||
        get(*fd, found, sizeof found, path, NULL) != FL_OK ||
        memcmp(found, mark, sizeof mark) != 0) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: damaged: remove it, and the next update lacks what it held", path);
    }
    return FL_OK;
}

/* from: of the last remainder, or -1. */
static fl_status round_blocks(float *update, int64_t P, int from, const char *from_path, int to,
                              const char *to_path, fl_err *err)
{
    workspace *w = fl_xcalloc(1, sizeof *w);
    fl_status st = put(to, mark, sizeof mark, to_path, err);
    for (int64_t at = 0; at < P && st == FL_OK; at += BLOCK) {
        int64_t n = P - at < BLOCK ? P - at : BLOCK;
        if (from >= 0 && (st = get(from, w->packed, 2 * (size_t)n, from_path, err)) == FL_OK) {
            fed_bf16_add(update + at, w->packed, n);
        }
        if (st == FL_OK) {
            fed_bf16_round(update + at, w->rest, n);
            fed_bf16_round(w->rest, NULL, n);
            fed_bf16_pack(w->packed, w->rest, n);
            st = put(to, w->packed, 2 * (size_t)n, to_path, err);
        }
    }
    free(w);
    return st;
}

/* To its place, and to the disk. */
static fl_status keep(int fd, const char *partial, const char *path, const char *dir, int64_t P,
                      fl_err *err)
{
    if (ftruncate(fd, (off_t)sizeof mark + 2 * (off_t)P) != 0 || fdatasync(fd) != 0 ||
        rename(partial, path) != 0) {
        return fl_fail_errno(err, errno, path);
    }
    return fl_fsync_dir(dir, err);
}

fl_status rest_round(float *update, const home *h, const fed_order *order, int64_t P, fl_err *err)
{
    char *dir = NULL, *path = NULL, *last_path = NULL, *partial = NULL;
    uint32_t last = 0;
    int from = -1, to = -1;
    fl_status st;
    if ((st = home_run_path(&dir, h, order->run, err)) != FL_OK ||
        (st = fl_mkdirs(dir, 0700, err)) != FL_OK) {
        goto done;
    }
    path = path_of(dir, order->key.round.n);
    partial = fl_path_join(dir, partial_name);
    if ((st = current(&last, dir, order->committed.n, partial, err)) != FL_OK) {
        goto done;
    }
    last_path = path_of(dir, last);
    if (last > 0 && (st = open_rest(&from, last_path, P, err)) != FL_OK) {
        goto done;
    }
    to = open(partial, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    st = to >= 0 ? round_blocks(update, P, from, last_path, to, path, err)
                 : fl_fail_errno(err, errno, path);
    if (st == FL_OK) {
        st = keep(to, partial, path, dir, P, err);
    }
    if (st != FL_OK) {
        unlink(partial);
    }
done:
    if (from >= 0) {
        close(from);
    }
    if (to >= 0) {
        close(to);
    }
    free(last_path);
    free(partial);
    free(path);
    free(dir);
    return st;
}

fl_status rest_drop(const home *h, const char *run, fl_err *err)
{
    char *dir = NULL;
    char **names = NULL;
    size_t n = 0;
    fl_status st = home_run_path(&dir, h, run, err);
    if (st == FL_OK && fl_is_dir(dir) && (st = fl_list_dir(&names, &n, dir, err)) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            uint32_t round;
            if (parse_name(names[i], &round) || strcmp(names[i], partial_name) == 0) {
                char *path = fl_path_join(dir, names[i]);
                unlink(path);
                free(path);
            }
        }
        fl_names_free(&names, n);
    }
    free(dir);
    return st;
}
