/*
 * crew.h - the processes that a bench measures, and what they say
 *
 * A bench waits as long as they compute; it ends, with one sentence, when one of
 * them has ended that should have gone on.  All functions that fail end the bench,
 * and all its processes with it.
 * Threads: one.
 */
#ifndef CREW_H
#define CREW_H

#include <stddef.h>
#include <sys/types.h>

enum { CREW_LOOK_MS = 500 };  // silent for so long: are all there?

/* What a process says, line by line. */
typedef struct {
    int fd;
    pid_t pid;
    char text[8192];
    size_t n;
} crew_voice;

/* Before all else.  folder: everything of the bench lies under it; out: its figures.  Borrowed. */
void crew_init(const char *bench_name, const char *out, const char *folder);
/* Ends the bench: no process, no folder (KEEP=1 keeps it) and no half of a table is left. */
_Noreturn void crew_fail(const char *what, const char *why);

/* Starts argv; out: its output comes from there, or NULL: into log.  Dies with the bench. */
pid_t crew_start(const char *const *argv, crew_voice *out, const char *log);
/* One that the bench forked itself; log: where its words are, or NULL. */
void crew_add(pid_t pid, const char *what, const char *log);
/* Its status, once it has ended. */
int crew_wait(pid_t pid);
/* Starts argv and waits until it is done. */
void crew_do(const char *const *argv);
/* Ends the bench when one of them has ended. */
void crew_check(void);
/* The next line, however long it takes while all live; a long one comes in parts. */
void crew_line(crew_voice *from, char *line, size_t n);
/* Kills all and forgets them. */
void crew_end(void);

double crew_cpu(pid_t pid);      // s so far, user and system
double crew_peak_mb(pid_t pid);  // most memory it had

#endif
