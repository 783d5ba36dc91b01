/*
 * json.c - see json.h
 */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"

enum { REAL_DIGITS = 10 };  // 0.1 stays 0.1, and more than any figure deserves

json_t *fl_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

double fl_json_get_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *fl_json_get_string(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t fl_json_get_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

fl_status fl_json_parse(json_t **out, const char *text, size_t n, size_t max_bytes,
                        const char *name, fl_err *err)
{
    *out = NULL;
    if (n > max_bytes) {
        return fl_fail(err, FL_ELIMIT, "%s: %zu bytes, at most %zu are read", name, n, max_bytes);
    }
    json_error_t why;
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL) {
        return fl_fail(err, FL_EFORMAT, "%s:%d: %s", name, why.line, why.text);
    }
    *out = json;
    return FL_OK;
}

fl_status fl_json_read(json_t **out, const char *path, size_t max_bytes, fl_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    fl_status st = fl_file_read(&text, &n, path, max_bytes, err);
    if (st == FL_OK) {
        st = fl_json_parse(out, text, n, max_bytes, path, err);
    }
    free(text);
    return st;
}

fl_status fl_json_write(const json_t *json, const char *path, fl_err *err)
{
    char *text = fl_json_text(json);
    fl_status st = fl_file_write(path, text, strlen(text), 0644, err);
    free(text);
    return st;
}

static int add_piece(const char *bytes, size_t n, void *buf)
{
    fl_buf_add(buf, bytes, n);
    return 0;
}

char *fl_json_text(const json_t *json)
{
    fl_buf text = FL_BUF_INIT;
    size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(REAL_DIGITS);
    FL_REQUIRE(json_dump_callback(json, add_piece, &text, flags) == 0);
    fl_buf_puts(&text, "\n");
    return fl_buf_take(&text);
}
