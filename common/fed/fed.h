/*
 * fed.h - small types that must not be mixed up
 *
 * fed/ is what coordinator and client must agree on: who is who, what a message
 * is, how a contribution is named, hashed, signed and added.  It moves named
 * vectors and knows no model and no task.  One-member structs: swapping two
 * arguments does not compile.
 */
#ifndef FED_FED_H
#define FED_FED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"

enum {
    FED_PROTOCOL_VERSION = 4,
    FED_PROTOCOL_OLDEST = 2,  // that is still spoken, with who speaks it
    FED_SITE_BYTES = 49,           // [a-z0-9_-]{1,48} and a NUL
    FED_NAME_BYTES = 65,           // federation, run
    FED_TEXT_BYTES = 513,          // a reason
    FED_KEY_BYTES = 32,
    FED_SECRET_SIGN_BYTES = 64,
    FED_SIGNATURE_BYTES = 64,
    FED_INVITATION_BYTES = 16,
    FED_PIECE_VALUES = 65536,      // parameters in a piece
    FED_PIECE_HEAD = 8,            // bytes in front of a piece's values
    FED_PIECE_BYTES = FED_PIECE_HEAD + 4 * FED_PIECE_VALUES, // largest piece
    FED_MAX_PIECES = 65536,        // 4.3e9 parameters
    FED_MAX_SCALARS = 64,
    FED_SCALAR_NAME_BYTES = 49,
    FED_MAX_HEADER_BYTES = 65536
};

typedef struct { char text[FED_SITE_BYTES]; } fed_site_id;
typedef struct { uint32_t n; } fed_round_no;                   // 0 = before the first
typedef struct { uint8_t bytes[FED_KEY_BYTES]; } fed_public_key;  // X25519: transport
typedef struct { uint8_t bytes[FED_KEY_BYTES]; } fed_verify_key;  // Ed25519: signatures
typedef struct { uint8_t bytes[FL_DIGEST_BYTES]; } fed_digest;    // of bytes: BLAKE2b-256
typedef struct { uint8_t bytes[FL_SHA256_BYTES]; } fed_model_id;  // model.sha256
typedef struct { uint8_t bytes[FED_SIGNATURE_BYTES]; } fed_signature;
typedef struct { uint8_t bytes[FL_SHA256_BYTES]; } fed_line_id;   // SHA-256 of a line of audit.jsonl
/* How far a run's audit record goes (audit.h); {0, zeros}: nothing is in it. */
typedef struct { uint64_t n_lines; fed_line_id last; } fed_audit_head;

/* FL_EFORMAT unless text is [a-z0-9_-]{1,48}. */
fl_status fed_site_id_parse(fed_site_id *out, const char *text, fl_err *err);
bool fed_digest_equal(const fed_digest *a, const fed_digest *b);
bool fed_digest_is_zero(const fed_digest *d);
/* Names a job and is the object to fetch it by: the tree digest (update.h) of
 * its n > 0 bytes. */
void fed_job_digest(fed_digest *out, const char *yaml, size_t n);

#endif
