/*
 * child.h - the real programs as child processes of a test
 *
 * A child dies with the test and never outlives its time.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;      // 0 = not running
    char name[64];  // for messages
    char *log;      // where its output goes; owned
    int exit_code;  // once it has ended; 128 + N after signal N
} child;

/* The program under $BUILD/bin; arguments end with NULL.  log: a file. */
void child_start(child *out, const char *name, const char *log, const char *program, ...);
/* As child_start, and waits for it; fails the test with what it said unless it
 * exits with 0. */
void child_do(const char *log, const char *program, ...);
/* Has it ended?  Does not wait. */
bool child_ended(child *c);
/* Waits at most so long; false when it still runs. */
bool child_wait(child *c, int timeout_ms);
/* Kills it if it still runs, and forgets it; fine when called twice. */
void child_clear(child *c);
/* What it said so far; the caller's. */
char *child_said(const child *c);
/* Waits until it has said this; false when it ended or the time is over without. */
bool child_says(child *c, const char *text, int timeout_ms);

#endif
