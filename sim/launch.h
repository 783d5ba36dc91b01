/*
 * launch.h - the real programs as child processes
 *
 * The simulator starts what a hospital would start and links neither.  A child
 * dies with the simulator; its output goes to a log file or to the terminal.
 */
#ifndef SIM_LAUNCH_H
#define SIM_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* A command line being put together; strings are copied.  {0} is an empty one. */
typedef struct {
    char **argv;  // n strings and a NULL; owned
    size_t n;
} launch_args;

/* program: "coordinator" or "client", found beside the running simulator under
 * its build name, else under its installed name (consilium-...). */
void launch_args_init(launch_args *a, const char *program);
void launch_args_add(launch_args *a, const char *text);
void launch_args_add_int(launch_args *a, const char *option, long long value);
void launch_args_add_num(launch_args *a, const char *option, double value);
void launch_args_clear(launch_args *a);

typedef struct {
    pid_t pid;      // 0 = not running
    char name[64];  // for messages
    char *log;      // where its output goes; NULL = this terminal
} launch_child;

/* nice: added to the priority number, 0 to 19. */
fl_status launch_start(launch_child *out, const char *name, const launch_args *a, const char *log,
                       int nice, fl_err *err);
/* Waits until it ends.  FL_EIO with its name, how it ended and the last line of its log unless it
 * exited with 0. */
fl_status launch_wait(launch_child *c, fl_err *err);
/* Has it ended?  *exit_code: what launch_wait would judge. */
bool launch_ended(launch_child *c, int *exit_code);
/* The last line of its log; "" when there is none. */
void launch_last_words(char *out, size_t n, const launch_child *c);
/* SIGTERM, then SIGKILL after 5 s; waits. */
void launch_stop(launch_child *c);
/* Runs to the end with its standard output as *text (caller's); FL_EIO with its last words unless
 * it exits with 0. */
fl_status launch_read(char **text, const char *name, const launch_args *a, fl_err *err);
/* A TCP port on 127.0.0.1 that nobody listens on now. */
fl_status launch_free_port(int *port, fl_err *err);

#endif
