/*
 * disk.h - small disks that get full or read-only
 *
 * A tmpfs over a folder, in a mount namespace of our own: nothing outside sees
 * it, and it is gone with the process.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>

/* Once, before anything else; false where the system does not allow it. */
bool disk_allowed(void);
/* Puts the folder on a small disk of its own, with what is in it. */
bool disk_mount(const char *dir);
void disk_unmount(const char *dir);  // fine on a folder that is on none
void disk_fill(const char *dir);     // to the last byte
void disk_empty(const char *dir);    // there is room again
void disk_set_read_only(const char *dir, bool is_on);

#endif
