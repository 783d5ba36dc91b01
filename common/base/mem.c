/*
 * mem.c - see mem.h
 */
#define _DEFAULT_SOURCE  // madvise
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    HUGE_PAGE = 2 << 20,  // bytes
    LARGE = 4 << 20       // from here on a block is worth huge pages
};

bool fl_size_mul(size_t *out, size_t a, size_t b)
{
    if (__builtin_mul_overflow(a, b, out)) {
        *out = 0;
        return false;
    }
    return true;
}

bool fl_size_add(size_t *out, size_t a, size_t b)
{
    if (__builtin_add_overflow(a, b, out)) {
        *out = 0;
        return false;
    }
    return true;
}

static _Noreturn void out_of_memory(size_t n, size_t size)
{
    fprintf(stderr, "out of memory: %zu x %zu bytes\n", n, size);
    fflush(stderr);
    abort();
}

void *fl_xcalloc(size_t n, size_t size)
{
    size_t bytes;
    if (!fl_size_mul(&bytes, n, size)) {
        out_of_memory(n, size);
    }
    void *p = calloc(1, bytes > 0 ? bytes : 1);
    if (p == NULL) {
        out_of_memory(n, size);
    }
    return p;
}

void *fl_xrealloc(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (!fl_size_mul(&bytes, n, size)) {
        out_of_memory(n, size);
    }
    void *grown = realloc(p, bytes > 0 ? bytes : 1);
    if (grown == NULL) {
        out_of_memory(n, size);
    }
    return grown;
}

char *fl_xstrdup(const char *s)
{
    return s == NULL ? NULL : fl_xstrndup(s, strlen(s));
}

char *fl_xstrndup(const char *s, size_t n)
{
    if (s == NULL) {
        return NULL;
    }
    size_t length = strnlen(s, n);
    char *copy = fl_xcalloc(length + 1, 1);
    memcpy(copy, s, length);
    return copy;
}

char *fl_xasprintf(const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    FL_REQUIRE(n >= 0);
    char *text = fl_xcalloc((size_t)n + 1, 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

/*
 * More than the machine has is given by a system that overcommits, and the process is killed
 * when it is touched: a graph from elsewhere, or a batch that is too large, would end a client
 * without a word.
 */
static bool machine_has(size_t bytes)
{
#ifdef _SC_PHYS_PAGES
    long pages = bytes >= LARGE ? sysconf(_SC_PHYS_PAGES) : 0, page = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page <= 0 || bytes / (size_t)page < (size_t)pages;
#else
    return true;
#endif
}

void *fl_calloc(size_t n, size_t size, const char *what, fl_err *err)
{
    size_t bytes;
    void *p = NULL;
    if (fl_size_mul(&bytes, n, size) && machine_has(bytes)) {
        p = calloc(1, bytes > 0 ? bytes : 1);
    }
    if (p == NULL) {
        fl_fail(err, FL_ELIMIT, "%s: %zu x %zu bytes do not fit in memory", what, n, size);
    }
    return p;
}

/*
 * Activations and weights are large and read through again and again; on pages of
 * 4 KiB a training step of a U-Net took a quarter longer than on huge ones.
 */
static void *alloc_pages(size_t padded)
{
    size_t align = padded >= LARGE ? HUGE_PAGE : FL_ALIGN;
    void *p = aligned_alloc(align, (padded + align - 1) / align * align);

#ifdef MADV_HUGEPAGE
    if (p != NULL && align == HUGE_PAGE) {
        (void)madvise(p, padded, MADV_HUGEPAGE);  // where it cannot be, small pages do
    }
#endif
    return p;
}

void *fl_alloc_aligned(size_t n, size_t size, const char *what, fl_err *err)
{
    size_t bytes;
    size_t padded;
    void *p = NULL;
    if (fl_size_mul(&bytes, n, size) &&
        fl_size_add(&padded, bytes > 0 ? bytes : 1, HUGE_PAGE - 1) && machine_has(bytes)) {
        padded = bytes > 0 ? (bytes + FL_ALIGN - 1) / FL_ALIGN * FL_ALIGN : FL_ALIGN;
        p = alloc_pages(padded);
    }
    if (p == NULL) {
        fl_fail(err, FL_ELIMIT, "%s: %zu x %zu bytes do not fit in memory", what, n, size);
        return NULL;
    }
    memset((char *)p + bytes, 0, padded - bytes);  // behind the last element
    return p;
}

void *fl_calloc_aligned(size_t n, size_t size, const char *what, fl_err *err)
{
    void *p = fl_alloc_aligned(n, size, what, err);
    if (p != NULL) {
        memset(p, 0, n * size);
    }
    return p;
}

void fl_mem_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

/* Chunks are kept in a list; reset goes back to the first and reuses them. */
typedef struct chunk {
    struct chunk *next;
    size_t size;          // bytes of data
    size_t used;          // bytes given out
    unsigned char *data;  // FL_ALIGN-aligned
} chunk;

struct fl_arena {
    chunk *first;
    chunk *current;
};

static chunk *chunk_new(size_t size)
{
    chunk *c = fl_xcalloc(1, sizeof *c);
    c->size = size;
    c->data = aligned_alloc(FL_ALIGN, size);
    if (c->data == NULL) {
        out_of_memory(1, size);
    }
    return c;
}

static size_t round_up(size_t bytes)
{
    size_t padded;
    if (!fl_size_add(&padded, bytes > 0 ? bytes : 1, FL_ALIGN - 1)) {
        out_of_memory(1, bytes);
    }
    return padded - padded % FL_ALIGN;
}

fl_arena *fl_arena_new(size_t first_bytes)
{
    fl_arena *a = fl_xcalloc(1, sizeof *a);
    a->first = chunk_new(round_up(first_bytes));
    a->current = a->first;
    return a;
}

void *fl_arena_alloc(fl_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!fl_size_mul(&bytes, n, size)) {
        out_of_memory(n, size);
    }
    bytes = round_up(bytes);
    while (a->current->size - a->current->used < bytes) {
        if (a->current->next == NULL) {
            size_t wanted = a->current->size;  // as large as the last one
            a->current->next = chunk_new(bytes > wanted ? bytes : wanted);
        }
        a->current = a->current->next;
        a->current->used = 0;
    }
    void *p = a->current->data + a->current->used;
    a->current->used += bytes;
    memset(p, 0, bytes);
    return p;
}

char *fl_arena_strdup(fl_arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(fl_arena_alloc(a, n, 1), s, n);
}

void fl_arena_reset(fl_arena *a)
{
    a->current = a->first;
    a->current->used = 0;
}

void fl_arena_destroy(fl_arena **a)
{
    if (*a == NULL) {
        return;
    }
    for (chunk *c = (*a)->first, *next; c != NULL; c = next) {
        next = c->next;
        free(c->data);
        free(c);
    }
    FL_FREE(*a);
}
