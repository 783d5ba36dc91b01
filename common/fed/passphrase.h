/*
 * passphrase.h - where the passphrase of a key comes from
 *
 * A file that CONSILIUM_PASSPHRASE_FILE names (its first line); systemd's
 * credential `passphrase` (LoadCredential=passphrase:FILE); or a person at the
 * terminal.  Held in sodium_malloc memory.
 * Threads: one asks at a time.
 */
#ifndef FED_PASSPHRASE_H
#define FED_PASSPHRASE_H

#include <stddef.h>

#include "base/err.h"

typedef struct fed_passphrase fed_passphrase;

/* For the key in path.  FL_EDENIED, with what to do, when there is nobody to ask. */
fl_status fed_passphrase_ask(fed_passphrase **out, const char *path, fl_err *err);
/* A new one: the file of CONSILIUM_NEW_PASSPHRASE_FILE, or twice the same at the terminal.  FL_EUSAGE
 * when it is shorter than FED_PASSPHRASE_LEAST. */
enum { FED_PASSPHRASE_LEAST = 10 };
fl_status fed_passphrase_choose(fed_passphrase **out, fl_err *err);
fed_passphrase *fed_passphrase_new(const char *text);
void fed_passphrase_destroy(fed_passphrase **p);  // wipes; fine on NULL
const char *fed_passphrase_text(const fed_passphrase *p, size_t *n);  // borrowed

#endif
