/*
 * world.h - a federation of real processes in a folder, to be treated badly
 *
 * Three hospitals of a small table each, a job of two rounds whose updates
 * have three pieces, the coordinator, and the line between them (relay.h).  A
 * lane plays one run after the other; each begins with the same folders.
 * Whoever dies is started again by who plays the run (play.h), not here.
 * Threads: a lane belongs to one process, and there to one thread.
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "relay.h"

enum { WORLD_SITES = 3, WORLD_LIAR = 3, WORLD_COORDINATOR = 4, WORLD_ACTORS = 5 };

/* What is played with. */
typedef struct {
    const char *coordinator, *client;  // programs
    const char *liar;                  // this program
    const char *preload;               // faults inside programs (preload.c)
    const char *dir;                   // everything lies under it
} world_programs;

typedef struct {
    const char *name;  // "coordinator", or the site
    pid_t pid;         // 0: not running
    int exit_code;     // of the last time; 128 + N after signal N
    int n_started;
    bool is_over;  // ended as it should, and is not needed any more
} actor;

typedef struct {
    const world_programs *programs;
    int number;
    char *dir;      // of the lane
    char *run_dir;  // of the run: fed/, home-SITE/, SITE.log
    char *record;   // runs/chaos of the federation in it
    relay *relay;
    bool has_liar;
    const char *patience;  // "120s"
    actor actors[WORLD_ACTORS];
    char *lie;  // of the liar; borrowed
} lane;

const char *world_site(int site);

/* Data sets and the job; once for all lanes. */
bool world_prepare(const world_programs *p, char *why, size_t n_why);
/* A lane of its own folder, with keys and invitations.  NULL: why says so. */
lane *lane_new(const world_programs *p, int number, char *why, size_t n_why);
void lane_destroy(lane **l);

/* A run from the beginning: nobody is started. */
bool lane_begin(lane *l, const char *patience, bool has_liar, char *why, size_t n_why);
/* Starts an actor; fault: CHAOS_FAULT of preload.c, NULL: none. */
void lane_start(lane *l, int who, const char *fault);
/* The coordinator's port is known from what it says: the relay leads there from now on. */
bool lane_listens(lane *l);
/* The last line that it said; caller's. */
char *lane_last_words(const lane *l, int who);
/* Looks whether it has ended; does not wait. */
bool lane_has_ended(lane *l, int who);
void lane_kill(lane *l, int who, int signal);
void lane_end(lane *l);  // kills all

/* FILE of the run; caller's. */
char *lane_path(const lane *l, const char *file);
/* How many lines a file has; 0 when it is not there. */
size_t lane_n_lines(const char *path);
/* Bytes of the file; caller's, "" when it is not there. */
char *lane_text(const char *path);

#endif
