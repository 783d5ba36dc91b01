/*
 * secret.h - a site's secret that no other site and no message knows
 *
 * Unlike the keys of an identity it is never rotated: what is derived from
 * it, such as the pseudonyms of patients, is the same for as long as the file lives.
 */
#ifndef FED_SECRET_H
#define FED_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fed/fed.h"

/*
 * The secret in file path, 64 hexadecimal digits, mode 0600; made from the system's
 * generator when there is no such file.  FL_ECONFIG when it holds anything else.
 * Wipe out with fed_wipe.
 */
fl_status fed_secret_open(uint8_t out[static FED_KEY_BYTES], const char *path,
                          fl_err *err) FL_MUST_CHECK;

/* Zeros that the compiler may not leave out. */
void fed_wipe(void *bytes, size_t n);

#endif
