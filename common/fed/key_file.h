/*
 * key_file.h - a secret key on disk, mode 0600, under a passphrase or not
 *
 * Lines: what it is, and 64 hexadecimal digits; or what it is and "under a
 * passphrase", then "argon2id T M SALT" (T passes over M bytes, RFC 9106) and
 * "NONCE BOX" (XSalsa20-Poly1305 of the key).  Secrets are read with read(2)
 * straight into sodium_malloc memory, because stdio would leave a copy in its
 * buffer.
 */
#ifndef FED_KEY_FILE_H
#define FED_KEY_FILE_H

#include "fed/fed.h"
#include "fed/passphrase.h"

/* title: what it is.  pass: NULL = none. */
fl_status fed_key_file_write(const char *path, const char *title,
                             const uint8_t secret[static FED_KEY_BYTES],
                             const fed_passphrase *pass, fl_err *err);
/*
 * FL_EDENIED when others may read the file, or for a wrong passphrase.
 * pass: asked for when the file needs it and *pass is NULL, and then the caller's.
 */
fl_status fed_key_file_read(uint8_t secret[static FED_KEY_BYTES], const char *path,
                            const char *title, fed_passphrase **pass, fl_err *err);

#endif
