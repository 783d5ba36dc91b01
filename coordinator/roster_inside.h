/*
 * roster_inside.h - what roster.c and roster_heard.c share; for them alone
 *
 * roster.c holds the sites, their keys and invitations; roster_heard.c what sites said of
 * themselves, and who was turned away.
 */
#ifndef COORDINATOR_ROSTER_INSIDE_H
#define COORDINATOR_ROSTER_INSIDE_H

#include <pthread.h>

#include "coordinator/roster.h"
#include "coordinator/store.h"

enum { ROSTER_PENDING_REFUSALS = 256 };  // kinds counted between two flushes

typedef struct {
    fed_public_key key;
    int site;  // index; -1: the one-time key of an invitation
    bool former;
} known_key;

/* Different ones, each counted; of a flood the last are lumped together. */
typedef struct {
    roster_refusal item[ROSTER_PENDING_REFUSALS];
    size_t n;
} refusal_list;

struct roster {
    store *db;
    int64_t version;      // of the database the snapshot was taken from
    int64_t next_expiry;  // an open invitation runs out then
    roster_site *sites;   // sorted by name
    size_t n_sites;
    pthread_mutex_t mutex;  // guards keys: roster_allow runs on another thread
    known_key *keys;        // sorted by key
    size_t n_keys;
    refusal_list pending;  // not in the database yet
    refusal_list news;     // in it, and not in a run's record yet
    bool unsaved;  // of any site
};

#endif
