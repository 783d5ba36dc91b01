/*
 * play.h - one run under faults, from the invitation to the report
 *
 * Faults come in two kinds.  One that strikes at a call of the program itself
 * (at a transition, between two files, in mid-write) travels with the program
 * when it is started, one at a start; the others strike from outside when the
 * record has come so far.  Who dies is started again.  The run must come to
 * its end, and what it came to is compared with the undisturbed run.
 */
#ifndef PLAY_H
#define PLAY_H

#include "story.h"
#include "world.h"

enum { PLAY_MAX_FAULTS = 24, PLAY_SPEC_BYTES = 192 };

/* Rows of the table. */
typedef enum {
    FAULT_KILL_TRANSITION,   // coordinator, before or after a transition's commit
    FAULT_KILL_ACCEPT,       // coordinator, before or after an acceptance's commit
    FAULT_KILL_FILE,         // coordinator, around a file's fsync or rename, or in mid-write
    FAULT_KILL_COORDINATOR,  // at any instant
    FAULT_KILL_CLIENT_FILE,  // client, likewise
    FAULT_KILL_CLIENT_SEND,  // client, around a message
    FAULT_KILL_CLIENT,       // at any instant
    FAULT_KILL_ALL,          // everybody at once
    FAULT_STOP_COORDINATOR,  // SIGSTOP for a while
    FAULT_STOP_CLIENT,
    FAULT_POWER_CUT,  // coordinator, and what it had not flushed is gone
    FAULT_DELAY,      // the line
    FAULT_CUT,
    FAULT_THROTTLE,
    FAULT_HOLE,
    FAULT_DISK_FULL,  // of coordinator or client
    FAULT_READ_ONLY,
    FAULT_FSYNC,
    FAULT_CLOCK,
    FAULT_GONE,     // a client, for longer than patience
    FAULT_REMOVED,  // a site, in mid-round
    FAULT_LIE,      // a client that lies
    FAULT_N
} fault_kind;
const char *fault_name(fault_kind kind);

typedef struct {
    fault_kind kind;
    int who;                     // actor; the line's: WORLD_ACTORS
    int rank;                    // of faults at calls: in the order in which they come
    char spec[PLAY_SPEC_BYTES];  // CHAOS_FAULT; "": from outside
    size_t at_line;              // from outside: when audit.jsonl has so many lines
    int after_ms;                // and so much later
    int for_ms;                  // how long it lasts
    int64_t size;                // bytes (cut), bytes a second (throttle), ms (delay)
    /* While it is played. */
    int64_t due_ms, until_ms;
    bool on, over, struck;
} fault;

typedef struct {
    fault faults[PLAY_MAX_FAULTS];
    size_t n;
    const char *patience;
    bool has_liar, may_lack;  // may_lack: absences are what is expected
    char lie[32];
} plan;

typedef struct {
    story_verdict verdict;
    char *story;  // owned
    double seconds;
    size_t struck[FAULT_N];
    size_t skipped[FAULT_N];  // the system does not allow it
} outcome;

/* Plays it.  undisturbed: the story to compare with, NULL: none.  patience_s: a run whose record
 * does not grow for so long hangs. */
void play(lane *l, plan *p, const char *undisturbed, int patience_s, outcome *out);

#endif
