/*
 * json.h - Jansson, and the few things the whole project does the same way
 *
 * The only place that includes jansson.h.  Numbers that are undefined are
 * null; text from outside is limited before it is parsed.
 */
#ifndef FL_JSON_H
#define FL_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A real; null for NaN and infinity. */
json_t *fl_json_number(double value);
/* number, or NAN when absent or null. */
double fl_json_get_number(const json_t *object, const char *key);
/* borrowed text, or fallback when absent or no string. */
const char *fl_json_get_string(const json_t *object, const char *key, const char *fallback);
int64_t fl_json_get_int(const json_t *object, const char *key, int64_t fallback);

/* Parses at most max_bytes, refuses duplicate keys and trailing text; name is
 * used in messages.  New reference in *out. */
fl_status fl_json_parse(json_t **out, const char *text, size_t n, size_t max_bytes,
                        const char *name, fl_err *err);
fl_status fl_json_read(json_t **out, const char *path, size_t max_bytes, fl_err *err);
/* Indented, sorted by insertion, real numbers with 10 digits, atomic. */
fl_status fl_json_write(const json_t *json, const char *path, fl_err *err);
/* As fl_json_write into a new string, caller's. */
char *fl_json_text(const json_t *json);

#endif
