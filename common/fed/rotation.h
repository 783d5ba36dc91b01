/*
 * rotation.h - new keys under the signature of the old ones
 *
 * A rotation says whose keys change, from which to which; the old signing key signs it, so
 * that nobody else can, and the new one, so that nobody can claim a key that is not theirs.
 * It names the old keys, which are new at random each time, and so is valid once.
 *
 * On disk a key folder has `next/` while the other side does not know the new keys: they are
 * made whole or not at all, and the old ones stay in use.  When it does, `next/accepted` is
 * written, and from then on fed_identity_read finds the new ones, whether their files have been
 * moved into place or not.  former.jsonl keeps every rotation of the folder, one a line; it holds
 * no secret, and whoever knows one of the keys in it can follow it to the last.
 */
#ifndef FED_ROTATION_H
#define FED_ROTATION_H

#include "base/json.h"
#include "fed/identity.h"

typedef struct {
    fed_site_id site;
    fed_verify_key old_sign, sign;
    fed_public_key old_curve, curve;
    fed_signature old_signature, signature;  // by old_sign and by sign, over the same bytes
} fed_rotation;

extern const fed_site_id fed_coordinator;  // in whose name the coordinator's own rotations are

/* Signs; site, old and new keys. */
void fed_rotation_make(fed_rotation *out, const fed_site_id *site, const fed_identity *old,
                       const fed_identity *new);
bool fed_rotation_verify(const fed_rotation *r) FL_MUST_CHECK;
/* {"site", "old_sign_key" ... "signature"}, hexadecimal.  New reference. */
json_t *fed_rotation_json(const fed_rotation *r);
/* FL_EFORMAT for anything odd, a signature that does not hold included. */
fl_status fed_rotation_parse(fed_rotation *out, const json_t *json, fl_err *err);
/* Does the list of such objects lead from one signing key to the other? */
bool fed_rotations_lead(const json_t *list, const fed_verify_key *from, const fed_verify_key *to)
    FL_MUST_CHECK;

/* Makes dir/next: fresh keys, under the passphrase that the old ones are under, and their rotation.
 * FL_ECONFLICT when there is one already. */
fl_status fed_rotation_begin(fed_rotation *out, const char *dir, const fed_site_id *site,
                             fl_err *err);
/* The rotation that the other side does not know yet; false: none is under way. */
bool fed_rotation_pending(fed_rotation *out, const char *dir);
/* The other side knows: the new keys are in use from here on, and moved into place.  Does again what
 * a crash cut short; nothing when no rotation was accepted. */
fl_status fed_rotation_accept(const char *dir, fl_err *err);
fl_status fed_rotation_finish(const char *dir, fl_err *err);
/* The other side does not want them: the old keys stay. */
fl_status fed_rotation_drop(const char *dir, fl_err *err);
/* Every rotation of the folder, the oldest first.  New reference, empty when there are none. */
fl_status fed_rotation_former(json_t **out, const char *dir, fl_err *err);

/* A file of rotations, one a line; a torn line is none.  New reference, empty without a file. */
fl_status fed_rotations_read(json_t **out, const char *path, fl_err *err);
/* Adds one, flushed, unless it is the last there already. */
fl_status fed_rotations_add(const char *path, const fed_rotation *r, fl_err *err);

#endif
