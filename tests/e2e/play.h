/*
 * play.h - one real federation of three hospitals, for a test to look at
 *
 * Coordinator and clients are the real programs; the hospitals' traffic passes a
 * proxy that keeps every byte.  There is one play in a process.
 * Threads: the test's own, but for port and coordinator_key, which are only read once
 * the coordinator runs.
 */
#ifndef PLAY_H
#define PLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "child.h"
#include "fed/fed.h"
#include "proxy.h"

enum {
    PLAY_SITES = 3,
    PLAY_ROUNDS = 3,           // as in tiny.yaml
    PLAY_SETUP_MS = 60000,     // a program that only writes files, on a busy machine
    PLAY_STRANGER_MS = 30000,  // for a stranger to be told
    PLAY_MAX_FILE_BYTES = 64 << 20,
};

/* Long enough not to turn up in random bytes by chance. */
extern const char play_federation[], play_job_name[];
extern const char *const play_sites[PLAY_SITES];

typedef struct {
    char *dir;  // everything lies under it
    char *job;  // text of job.yaml
    proxy *proxy;
    int port;  // the coordinator's own
    child coordinator, client[PLAY_SITES];
    fed_public_key coordinator_key;
} play_state;
extern play_state play;

char *play_path(const char *name);  // under dir; the caller's
/* The folder and the proxy; job.yaml, the hospitals' data, invitations and homes, and an
 * invitation that expired though its file says otherwise, with a home `late`. */
void play_found(void);
void play_start_coordinator(void);
/* A home of dir by one of dir's invitations, on data/DATA_NAME. */
void play_join(const char *invitation, const char *home_name, const char *data_name);
void play_start_client(child *out, const char *home_name);  // logs to HOME.log
/* Until the coordinator has ended; every contribution stays in kept/ meanwhile. */
void play_wait(void);
json_t *play_report(void);  // new reference
void play_clear(void);      // what KEEP in the environment does not keep

#endif
