/*
 * sys.h - clocks, files that are whole or absent, folders, threads
 *
 * A file that other people or a later run rely on is written beside its
 * place, flushed, and renamed; so it is never half there.
 */
#ifndef FL_SYS_H
#define FL_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

int64_t fl_now_ms(void);   // monotonic; for waiting
double fl_now(void);       // monotonic seconds; for measuring
int64_t fl_wall_ms(void);  // since 1970, UTC; for people
/* "2026-01-31T12:00:00Z"; out has at least 32 bytes. */
void fl_iso_time(char *out, size_t n, int64_t wall_ms);

/* The whole file, NUL-terminated after *n bytes, caller's.  FL_ELIMIT above
 * max_bytes, before anything is allocated. */
fl_status fl_file_read(char **out, size_t *n, const char *path, size_t max_bytes, fl_err *err);

/* Writes path.tmp-PID-N, fsyncs, renames over path, fsyncs the folder.  On
 * failure path is as it was and no temporary file is left. mode: 0644, 0600 */
fl_status fl_file_write(const char *path, const void *bytes, size_t n, unsigned mode, fl_err *err);
/* Flushed to the disk, with all that was appended before. */
fl_status fl_file_append(const char *path, const void *bytes, size_t n, fl_err *err);
/* Not flushed: survives the process, and a power cut once the file is flushed. */
fl_status fl_file_append_later(const char *path, const void *bytes, size_t n, fl_err *err);
fl_status fl_file_flush(const char *path, fl_err *err);

bool fl_file_exists(const char *path);
/* FL_ENOTFOUND when nothing is there; another failure when this user may not look. */
fl_status fl_file_visible(const char *path, fl_err *err);
bool fl_is_dir(const char *path);
fl_status fl_mkdirs(const char *path, unsigned mode, fl_err *err);  // like mkdir -p
fl_status fl_remove_tree(const char *path, fl_err *err);            // like rm -rf; absent is fine
fl_status fl_fsync_dir(const char *path, fl_err *err);

enum { FL_LOCK_FOREVER = -1 };
/* Locks the file at path, made where it is absent, for this process alone; close(*fd) lets go, and
 * so does the process's end, however it comes.  Tries for wait_ms.  FL_ECONFLICT (path, no
 * sentence for people yet) when somebody else had it all the while; *fd is -1 on failure. */
fl_status fl_file_lock(int *fd, const char *path, unsigned mode, int wait_ms, fl_err *err);

/* Raises this process's limit of open files to needed, as far as it is below; what: "12 sites".
 * FL_ELIMIT when the system does not allow so many. */
fl_status fl_need_files(size_t needed, const char *what, fl_err *err);

/* "a/b"; b alone when it is absolute.  Caller's. */
char *fl_path_join(const char *a, const char *b);
char *fl_path_dir(const char *path);         // "." when there is none; caller's
const char *fl_path_base(const char *path);  // borrowed: a part of path
/* Names in a folder, sorted, without "." and ".."; caller's, free with
 * fl_names_free. */
fl_status fl_list_dir(char ***names, size_t *n, const char *path, fl_err *err);
void fl_names_free(char ***names, size_t n);
/* ${NAME} replaced from the environment; FL_ECONFIG names a variable that is
 * not set.  CONSILIUM_DATA has no default here. */
fl_status fl_expand_env(char **out, const char *text, fl_err *err);

/* Calls fn(ctx, item) for item in [0, n_items) on n_threads threads; the
 * result must not depend on which thread does which. */
void fl_parallel(int n_threads, size_t n_items, void (*fn)(void *ctx, size_t item), void *ctx);
int fl_n_cores(void);

/* Set by SIGINT or SIGTERM after fl_catch_signals(); long loops look at it. */
void fl_catch_signals(void);
bool fl_stop_requested(void);
void fl_request_stop(void);

/* Resident memory of this process: now, and the most there was. */
size_t fl_rss_bytes(void);
size_t fl_peak_rss_bytes(void);
/* Folder of the running program's binary, caller's: siblings are found there. */
char *fl_program_dir(void);

#endif
