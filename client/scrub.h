/*
 * scrub.h - a sentence as it may leave the hospital
 *
 * Messages about files name them for the people who can open them; outside,
 * a folder or an image file called after a patient is a disclosure.  So folders
 * are cut off, and every name of a file that is no table, array or YAML becomes
 * "a file"; the line number stays.  So is the value that was found in a line of
 * data: it is left out.  Control characters become blanks.
 */
#ifndef CLIENT_SCRUB_H
#define CLIENT_SCRUB_H

#include <stddef.h>

/* At most n - 1 bytes of whole UTF-8 characters, and a NUL. */
void scrub_text(char *out, size_t n, const char *text);

#endif
