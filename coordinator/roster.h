/*
 * roster.h - who may talk to this coordinator
 *
 * The sites of a federation with their keys, the invitations that are out, and
 * everyone who was turned away: federation.db, with a snapshot in memory.  The
 * snapshot follows other processes (`coordinator invite`, `remove`, `sites
 * --confirm` while `run` is running) at the next roster_refresh, and nowhere
 * else: what sites bring about (enrol, rotate) changes their own entry, so that
 * indices hold, a change of another process is always news, and what came in
 * before it was heard of is committed before it (serve.c).
 *
 * A site's own key may say anything; the one-time key of an invitation may only
 * enrol, and answers the keys that it enrolled for ever (a lost answer locks
 * nobody out) and no others.
 * Threads: one, except roster_allow, which the transport calls from its own.
 */
#ifndef COORDINATOR_ROSTER_H
#define COORDINATOR_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "fed/identity.h"
#include "fed/msg.h"

typedef struct roster roster;

typedef enum {
    ROSTER_INVITED,      // an open invitation, no keys yet
    ROSTER_UNCONFIRMED,  // enrolled; a person must still compare fingerprints
    ROSTER_ENROLLED,
    ROSTER_REMOVED
} roster_status;
const char *roster_status_text(roster_status status);

typedef struct {
    fed_site_id name;
    roster_status status;
    fed_public_key curve;                     // zeros while invited
    fed_verify_key sign;                      // likewise
    char fingerprint[FED_FINGERPRINT_BYTES];  // "" while invited
    int64_t enrolled_ms, seen_ms;             // UTC since 1970; 0 = never
    int64_t expires_ms;                       // of the invitation, while invited
    char software[65], environment[257];      // as it said of itself
    uint32_t protocol;                        // that it spoke last; 0: not known
    fed_verify_key knows;                     // the coordinator's next key, as it said last; zeros
    bool unsaved;                             // the last five differ from the database
    bool knows_old_key;                       // its transport key before the last rotation is open
} roster_site;

fl_status roster_open(roster **out, const char *path, fl_err *err);
/* For who reads, mainly: also where the disk is full (store_look). */
fl_status roster_look(roster **out, const char *path, fl_err *err);
void roster_close(roster **r);
/* Follows other processes and the clock; *changed when the sites did. */
fl_status roster_refresh(roster *r, int64_t wall_ms, bool *changed, fl_err *err);

/* The snapshot, sorted by name; removed ones included. */
size_t roster_n(const roster *r);
const roster_site *roster_at(const roster *r, size_t i);  // borrowed until a change
/* Index, or -1. */
int roster_find(const roster *r, const char *name);

/* FORMER: a site's transport key before its rotation, until it has used the new one. */
typedef enum { ROSTER_STRANGER, ROSTER_ONE_TIME, ROSTER_SITE, ROSTER_FORMER } roster_peer;
/* Whose transport key this is; *site: index for ROSTER_SITE and ROSTER_FORMER. */
roster_peer roster_who(const roster *r, const fed_public_key *key, size_t *site);
/* fed_allow_fn; ctx: the roster.  Any thread. */
bool roster_allow(void *ctx, const fed_public_key *key);

/* Keeps inv's id and public key; replaces the site's open invitation.
 * FL_ECONFLICT when the site is enrolled. */
fl_status roster_invite(roster *r, const fed_invitation *inv, bool confirm, fl_err *err);
/* All of them or none, in one transaction. */
fl_status roster_invite_all(roster *r, const fed_invitation *inv, size_t n, bool confirm,
                            fl_err *err);
/*
 * An Enrol that came on transport key peer.  *confirmed: false when a person
 * must confirm.  FL_EDENIED with the reason, for the peer and the record.
 */
fl_status roster_enrol(roster *r, const fed_public_key *peer, const fed_enrol *e, int64_t wall_ms,
                       bool *confirmed, fl_err *err);
/*
 * A Rotate of site: its keys are the new ones from here on.  The old transport key may say the same
 * again, for the answer may be lost, until roster_used_new_key.  FL_EDENIED with the reason.
 */
fl_status roster_rotate(roster *r, size_t site, const fed_rotation *rotation, int64_t wall_ms,
                        fl_err *err);
/* The site has spoken with its new keys: the old one is nobody's any more. */
fl_status roster_used_new_key(roster *r, size_t site, fl_err *err);
/* Every rotation of the site, the oldest first.  New reference. */
fl_status roster_rotations(json_t **out, roster *r, const char *site, fl_err *err);
fl_status roster_confirm(roster *r, const char *site, fl_err *err);  // FL_ENOTFOUND
/* Revokes keys and invitations at once. */
fl_status roster_remove(roster *r, const char *site, fl_err *err);

/* Equal refusals, counted. */
typedef struct {
    char what[32], reason[160], address[64];
    int64_t count, first_ms, last_ms;
} roster_refusal;

/* What a site said in its Hello, and someone turned away: kept in memory until
 * roster_flush writes all of it in one transaction. */
void roster_seen(roster *r, size_t site, uint32_t protocol, const char *software,
                 const char *environment, int64_t wall_ms);
/* It has the coordinator's next signing key on its disk (renewal.h); likewise. */
void roster_knows(roster *r, size_t site, const fed_verify_key *next);
void roster_refuse(roster *r, const char *what, const char *reason, const char *address,
                   uint64_t count, int64_t wall_ms);
fl_status roster_flush(roster *r, fl_err *err);
/* Some that were flushed and not taken yet, for a run's record; false: none. */
bool roster_take_refusal(roster *r, roster_refusal *out);
/* [{"time", "address", "what", "reason", "count"}], refused last at or after since_ms.  New
 * reference. */
fl_status roster_refusals(json_t **out, roster *r, int64_t since_ms, fl_err *err);

#endif
