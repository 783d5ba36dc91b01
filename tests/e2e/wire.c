/*
 * wire.c - see wire.h
 */
#include "wire.h"

#include "check.h"

enum {
    WINDOW = 32,  // bytes of a tensor that would count as readable
    MAX_FILE_BYTES = 64 << 20,
};

size_t wire_n_seen(const proxy *p, const void *bytes, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < proxy_n_streams(p); i++) {
        proxy_stream s = proxy_at(p, i);
        const uint8_t *at = s.bytes, *end = s.bytes + s.n;
        while (s.n > 0 && (at = memchr(at, *(const uint8_t *)bytes, (size_t)(end - at))) != NULL) {
            found += (size_t)(end - at) >= n && memcmp(at, bytes, n) == 0;
            at++;
        }
    }
    return found;
}

void wire_check_text(const proxy *p, const char *text)
{
    if (wire_n_seen(p, text, strlen(text)) > 0) {
        check_fail("\"%s\" is readable on the wire", text);
    }
}

/* Windows of a file's bytes, found by their first eight. */
typedef struct {
    const uint8_t **slot;
    size_t n_slots;  // a power of two
} window_set;

static size_t slot_of(const window_set *w, const uint8_t *bytes)
{
    uint64_t head;
    memcpy(&head, bytes, sizeof head);
    return (size_t)((head * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (w->n_slots - 1);
}

/* Almost one byte all along says nothing: greetings are padded with zeros, and
 * so are updates of units that never fired. */
static bool is_telling(const uint8_t *bytes)
{
    bool seen[256] = {false};
    int n_different = 0;
    for (int i = 0; i < WINDOW; i++) {
        n_different += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return n_different >= 8;
}

static window_set window_set_new(const uint8_t *bytes, size_t n)
{
    window_set w = {.n_slots = 1};
    while (w.n_slots < n) {
        w.n_slots *= 2;
    }
    w.slot = fl_xcalloc(w.n_slots, sizeof *w.slot);
    for (size_t at = 0; at + WINDOW <= n; at += 4) {
        size_t slot = slot_of(&w, bytes + at);
        while (w.slot[slot] != NULL && memcmp(w.slot[slot], bytes + at, WINDOW) != 0) {
            slot = (slot + 1) & (w.n_slots - 1);
        }
        if (is_telling(bytes + at)) {
            w.slot[slot] = bytes + at;
        }
    }
    return w;
}

/* How many places of the bytes hold one of the windows. */
static size_t n_windows_in(const window_set *w, const uint8_t *bytes, size_t n)
{
    size_t found = 0;
    for (size_t at = 0; at + WINDOW <= n; at++) {
        size_t slot = slot_of(w, bytes + at);
        while (w->slot[slot] != NULL && memcmp(w->slot[slot], bytes + at, WINDOW) != 0) {
            slot = (slot + 1) & (w->n_slots - 1);
        }
        found += w->slot[slot] != NULL;
    }
    return found;
}

void wire_check_file(const proxy *p, const char *path)
{
    fl_err err = FL_ERR_INIT;
    char *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&bytes, &n, path, MAX_FILE_BYTES, &err), err);
    window_set w = window_set_new((uint8_t *)bytes, n);
    for (size_t i = 0; i < proxy_n_streams(p); i++) {
        proxy_stream s = proxy_at(p, i);
        size_t found = n_windows_in(&w, s.bytes, s.n);
        if (found > 0) {
            check_fail("%zu places of a stream to the %s hold a part of %s", found,
                       s.to_server ? "server" : "site", path);
        }
    }
    // A window of it, at an odd place in the longest stream.
    size_t at = n / 8 * 4;
    while (at + WINDOW < n && !is_telling((uint8_t *)bytes + at)) {
        at += 4;
    }
    proxy_stream longest = {0};
    for (size_t i = 0; i < proxy_n_streams(p); i++) {
        proxy_stream s = proxy_at(p, i);
        longest = s.n > longest.n ? s : longest;
    }
    check(n > 4096 && longest.n > 4096);
    uint8_t *planted = fl_xcalloc(longest.n, 1);
    memcpy(planted, longest.bytes, longest.n);
    memcpy(planted + 1001, bytes + at, WINDOW);
    check_int(n_windows_in(&w, planted, longest.n), 1);
    free(planted);
    free(w.slot);
    free(bytes);
}
