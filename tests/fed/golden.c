/*
 * golden.c - see golden.h
 */
#include "fed/golden.h"

#include "base/hash.h"
#include "check.h"

json_t *golden_read(void)
{
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    check_ok(fl_json_read(&json, "tests/vectors/fed_golden.json", 1 << 20, &err), err);
    return json;
}

void golden_bytes(void *out, size_t n, const json_t *object, const char *key)
{
    fl_err err = FL_ERR_INIT;
    const char *hex = json_string_value(json_object_get(object, key));
    check(hex != NULL);
    check_ok(fl_unhex(out, n, hex, &err), err);
}

unsigned char *golden_blob(size_t *n, const json_t *object, const char *key)
{
    const char *hex = json_string_value(json_object_get(object, key));
    check(hex != NULL);
    *n = strlen(hex) / 2;
    unsigned char *bytes = fl_xcalloc(*n, 1);
    golden_bytes(bytes, *n, object, key);
    return bytes;
}
