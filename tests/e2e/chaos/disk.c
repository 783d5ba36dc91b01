/*
 * disk.c - see disk.h
 */
#define _GNU_SOURCE  // unshare

#include "disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

static const char size_option[] = "size=24m";

static void write_line(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) {
            // mounting says no, then
        }
        close(fd);
    }
}

bool disk_allowed(void)
{
    char map[64];
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (uid == 0 ? unshare(CLONE_NEWNS) != 0 : unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return false;
    }
    if (uid != 0) {
        write_line("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
        write_line("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
        write_line("/proc/self/gid_map", map);
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static char *ballast(const char *dir)
{
    return fl_path_join(dir, "ballast");
}

bool disk_mount(const char *dir)
{
    char *aside = fl_xasprintf("%s.aside", dir),
         *copy = fl_xasprintf("cp -a '%s/.' '%s' && rm -rf '%s'", aside, dir, aside);
    bool good = rename(dir, aside) == 0 && fl_mkdirs(dir, 0700, NULL) == FL_OK;
    bool mounted = good && mount("tmpfs", dir, "tmpfs", 0, size_option) == 0;
    good = good && system(copy) == 0 && mounted;
    free(copy);
    free(aside);
    return good;
}

void disk_unmount(const char *dir)
{
    umount2(dir, MNT_DETACH);
}

void disk_fill(const char *dir)
{
    static char block[1 << 16];
    char *path = ballast(dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    size_t n = sizeof block;
    while (fd >= 0 && n > 0) {
        n = write(fd, block, n) > 0 ? n : n / 2;
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
}

void disk_empty(const char *dir)
{
    char *path = ballast(dir);
    unlink(path);
    free(path);
}

void disk_set_read_only(const char *dir, bool is_on)
{
    mount(NULL, dir, NULL, MS_REMOUNT | (is_on ? MS_RDONLY : 0), size_option);
}
