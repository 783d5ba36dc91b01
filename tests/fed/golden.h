/*
 * golden.h - values of tests/vectors/fed_golden.json
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stddef.h>

#include "base/json.h"

/* The whole file; caller's, json_decref. */
json_t *golden_read(void);
/* object[key] is hex of exactly n bytes: writes them to out. */
void golden_bytes(void *out, size_t n, const json_t *object, const char *key);
/* Hex of any length, caller's. */
unsigned char *golden_blob(size_t *n, const json_t *object, const char *key);

#endif
