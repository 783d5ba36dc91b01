/*
 * vectors.h - golden values of tests/vectors/eval_*.json as arrays
 */
#ifndef TESTS_EVAL_VECTORS_H
#define TESTS_EVAL_VECTORS_H

#include "base/json.h"
#include "eval/eval.h"

/* A file of tests/vectors; stops the test when it cannot be read. */
json_t *vectors_read(const char *name);

/* Arrays of an object's key, caller's; NULL when the key is null.  A null among numbers is
 * NaN. */
double *vectors_numbers(const json_t *object, const char *key, size_t *n);
int64_t *vectors_integers(const json_t *object, const char *key, size_t *n);
int *vectors_labels(const json_t *object, const char *key, size_t *n);

#endif
