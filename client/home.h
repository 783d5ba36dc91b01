/*
 * home.h - the folder that is one hospital in one federation
 *
 *     client.yaml       where the coordinator is, where the data are
 *     policy.yaml       what this hospital allows            (policy.h)
 *     approved.jsonl    jobs that a person approved          (policy.h)
 *     pending/          jobs that wait for a person          (policy.h)
 *     keys/             own keys, 0600; invitation.yaml until enrolled; patients.key, the
 *                       secret by which patients get their pseudonyms; next/ and
 *                       former.jsonl, see fed/rotation.h; coordinator.*, see peer.h
 *     outbox/           contributions until committed        (outbox.h)
 *     receipts.jsonl    every message that left              (outbox.h)
 *     runs/R/           what the hospital keeps of a run     (keep.h, joined.h)
 *     lock              held by the one process that serves this home
 *
 * A home is made whole or not at all.  It moves to another disk or machine as
 * it is: nothing in it but the path of the data names a place.
 * Threads: an open home is read-only and may be shared.
 */
#ifndef CLIENT_HOME_H
#define CLIENT_HOME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fed/fed.h"
#include "fed/identity.h"
#include "fed/proxy.h"
#include "fed/rotation.h"
#include "report/words.h"

typedef struct {
    const char *invitation;  // file from the coordinator
    const char *dir;         // the home to make; must not be there
    const char *data;        // DATASET as given; not opened
    const char *policy;      // text of policy.yaml
    report_language language;  // of the pages
} home_plan;

/* Makes a home; needs no network.  FL_ECONFLICT when there is one already,
 * FL_EDENIED when the invitation has expired. */
fl_status home_join(const home_plan *plan, fl_err *err);

/* Lines of receipts.jsonl (receipts.h); any thread. */
typedef struct {
    atomic_uint n_added;    // of what left, by this process and not flushed at once
    atomic_uint n_flushed;  // of these
    atomic_bool may_be_torn;  // the last line: it did not fit on the disk
} home_receipts;

typedef struct {
    char *dir;  // as given to home_open
    fed_site_id site;
    char federation[FED_NAME_BYTES];
    char address[256];  // "tcp://host:7700"
    char dial[256];     // where the line connects to: address, or a door to the proxy (way.h)
    char via[FED_PROXY_NAME_BYTES];  // the proxy behind that door; "" = none
    fed_public_key coordinator_curve;  // as known now (peer.h)
    fed_verify_key coordinator_sign;
    json_t *coordinators;  // the rotations by which they came to be, the oldest first
    bool has_next;         // they are about to change:
    fed_rotation next;     // to these
    char *proxy;      // as client.yaml says; "" = none.  May hold a password
    char *data;       // DATASET, absolute; never leaves
    int max_threads;  // of one training; 0 = as the job says
    report_language language;  // of the pages; those in English are always there
    fed_public_key seen_curve;  // home_look: its own public keys
    fed_verify_key seen_sign;
    _Atomic(fed_identity *) id;  // a rotation puts another in its place (home_rotated)
    fed_identity **old_id;       // (n_old) those that a worker may still be reading
    size_t n_old;
    json_t *rotations;           // by which the keys came to be what they are, the oldest first
    home_receipts *receipts;
    int lock_fd;  // -1: not served by this process
} home;

/* FL_ENOTFOUND when dir is no home. */
fl_status home_open(home **out, const char *dir, fl_err *err);
/* The same without the secret keys (id is NULL): for who looks or decides, and is asked for no
 * passphrase. */
fl_status home_look(home **out, const char *dir, fl_err *err);
void home_close(home **h);  // wipes the keys, lets go of the lock; fine on NULL

/* Takes the home for this process; FL_ECONFLICT when another one serves it, and still does after
 * wait_ms: a program that is to go on for long waits for those that are done in a moment. */
fl_status home_lock(home *h, int wait_ms, fl_err *err);

/* Its own signing key, and the fingerprint of its keys. */
fed_verify_key home_verify_key(const home *h);
void home_fingerprint(char out[static FED_FINGERPRINT_BYTES], const home *h);
/* Is this signing key ours, or was it? */
bool home_had_key(const home *h, const fed_verify_key *key);
/* The rotation that the coordinator does not know yet; false: none is under way. */
bool home_rotation(const home *h, fed_rotation *out);
/* The coordinator knows the new keys: they are ours from here on.  Or it does not want them. */
fl_status home_rotated(home *h, fl_err *err);
fl_status home_not_rotated(home *h, fl_err *err);

/* The invitation while the site is not enrolled: true and *out filled in
 * (fed_invitation_clear it).  false once enrolled. */
bool home_invitation(const home *h, fed_invitation *out, fl_err *err);
/* The coordinator knows our keys: forgets the one-time key. */
fl_status home_enrolled(const home *h, fl_err *err);

/* The secret of keys/patients.key, which is made when it is not there. */
fl_status home_patient_secret(uint8_t out[static FED_KEY_BYTES], const home *h, fl_err *err);

/* DIR/NAME; caller's. */
char *home_path(const home *h, const char *name);
/* DIR/runs/RUN, caller's.  FL_EFORMAT unless run is [A-Za-z0-9._-]+ and does
 * not begin with a dot: it comes from outside. */
fl_status home_run_path(char **out, const home *h, const char *run, fl_err *err);

#endif
