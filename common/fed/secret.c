/*
 * secret.c - see secret.h
 */
#include "fed/secret.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/hash.h"
#include "base/sys.h"

enum { MAX_FILE = 256 };  // bytes; digits and a line's end

void fed_wipe(void *bytes, size_t n)
{
    sodium_memzero(bytes, n);
}

static fl_status make(uint8_t out[static FED_KEY_BYTES], const char *path, fl_err *err)
{
    char text[2 * FED_KEY_BYTES + 2];

    FL_REQUIRE(sodium_init() >= 0);
    randombytes_buf(out, FED_KEY_BYTES);
    fl_hex(text, out, FED_KEY_BYTES);
    memcpy(text + 2 * FED_KEY_BYTES, "\n", 2);
    fl_status st = fl_file_write(path, text, 2 * FED_KEY_BYTES + 1, 0600, err);
    sodium_memzero(text, sizeof text);
    return st;
}

fl_status fed_secret_open(uint8_t out[static FED_KEY_BYTES], const char *path, fl_err *err)
{
    char *text = NULL;
    size_t n = 0;

    memset(out, 0, FED_KEY_BYTES);
    if (!fl_file_exists(path)) {
        return make(out, path, err);
    }
    fl_status st = fl_file_read(&text, &n, path, MAX_FILE, err);
    if (st != FL_OK) {
        return st;
    }
    size_t digits = strcspn(text, "\r\n");
    bool only = digits + strspn(text + digits, "\r\n") == n;
    text[digits] = '\0';
    if (!only || fl_unhex(out, FED_KEY_BYTES, text, NULL) != FL_OK) {
        sodium_memzero(out, FED_KEY_BYTES);
        st = fl_fail(
            err, FL_ECONFIG,
            "%s: expected a secret of %d hexadecimal digits; restore the file, or remove it "
            "for a new secret, with which patients get other pseudonyms",
            path, 2 * FED_KEY_BYTES);
    }
    sodium_memzero(text, n);
    free(text);
    return st;
}
