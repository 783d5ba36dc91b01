/*
 * identity.h - keys that are made at a site and never leave it
 *
 * Everyone has two key pairs: X25519 for the encrypted transport (CURVE) and
 * Ed25519 for signatures.  Secrets live in sodium_malloc memory, on disk in
 * files of mode 0600, are never logged and are wiped on every way out.
 */
#ifndef FED_IDENTITY_H
#define FED_IDENTITY_H

#include "fed/fed.h"
#include "fed/passphrase.h"

typedef struct fed_identity fed_identity; // secrets inside; opaque

/* Call once before anything else in fed/ (sodium_init). */
void fed_init(void);

fed_identity *fed_identity_new(void); // fresh keys from the system's generator
void fed_identity_destroy(fed_identity **id); // wipes
/* dir/curve.key and dir/sign.key (0600), dir/public.yaml (0644).  FL_ECONFLICT when keys are there. */
fl_status fed_identity_write(const fed_identity *id, const char *dir, fl_err *err);
/* FL_EDENIED when a key file can be read by others.  Keys under a passphrase: it is asked for
 * (passphrase.h).  After a rotation that the other side knows (rotation.h): the new keys. */
fl_status fed_identity_read(fed_identity **out, const char *dir, fl_err *err);
/* The same.  *pass: tried first, unless it is NULL; then what they are under, the caller's; NULL =
 * nothing.  Wiped and NULL when it fails. */
fl_status fed_identity_read_with(fed_identity **out, const char *dir, fed_passphrase **pass,
                                 fl_err *err);
/* Writes the same keys again, under a passphrase (Argon2id) or, with NULL, under none.  Each file is
 * replaced whole; a crash in between leaves one of each kind, which is read all the same. */
fl_status fed_identity_protect(const fed_identity *id, const char *dir, const fed_passphrase *pass,
                               fl_err *err);
/* The public halves, from dir/public.yaml: no secret is read, no passphrase asked for.  FL_ECONFIG
 * when its fingerprint is not theirs. */
fl_status fed_identity_look(fed_public_key *curve, fed_verify_key *sign, const char *dir, fl_err *err);
/* A one-time transport key from an invitation: no signing key. */
fed_identity *fed_identity_one_time(const uint8_t curve_secret[static FED_KEY_BYTES]);

fed_public_key fed_identity_public(const fed_identity *id);
fed_verify_key fed_identity_verify(const fed_identity *id);
/* Borrowed; for the transport only. */
const uint8_t *fed_identity_curve_secret(const fed_identity *id);

/* "7f3a-02bc-..." : 8 groups of 4 hex digits of BLAKE2b over both public keys, for people to compare. */
enum { FED_FINGERPRINT_BYTES = 40 };
void fed_fingerprint(char out[static FED_FINGERPRINT_BYTES], const fed_public_key *curve, const fed_verify_key *sign);

/* Ed25519 over BLAKE2b(label, bytes). */
void fed_sign(fed_signature *out, const fed_identity *id, const char *label, const void *bytes, size_t n);
bool fed_verify(const fed_signature *s, const fed_verify_key *key, const char *label, const void *bytes, size_t n) FL_MUST_CHECK;

/* ---- invitations: a YAML file that a hospital is handed ---- */
typedef struct {
    char federation[FED_NAME_BYTES];
    fed_site_id site;
    char address[256];                 // "tcp://host:7700"
    fed_public_key coordinator_curve;
    fed_verify_key coordinator_sign;
    uint8_t id[FED_INVITATION_BYTES];
    uint8_t curve_secret[FED_KEY_BYTES]; // one-time; wipe with fed_invitation_clear
    fed_public_key curve_public;
    int64_t expires_ms;                // UTC since 1970
} fed_invitation;

fl_status fed_invitation_write(const fed_invitation *inv, const char *path, fl_err *err); // 0600
/* FL_ECONFIG with file:line for anything odd; out is then wiped. */
fl_status fed_invitation_read(fed_invitation *out, const char *path, fl_err *err);
/* From text; name stands for the file in messages. */
fl_status fed_invitation_parse(fed_invitation *out, const char *text, size_t n, const char *name, fl_err *err);
void fed_invitation_clear(fed_invitation *inv);

#endif
