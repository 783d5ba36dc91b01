/*
 * mem.h - sizes that cannot overflow, small allocations, arenas
 *
 * Sizes that come from outside are checked against a named limit before
 * anything is allocated.  Small fixed allocations use fl_xcalloc (a process
 * that cannot get 100 bytes stops); allocations sized by a file, message or
 * config use fl_calloc and can fail in words.
 */
#ifndef FL_MEM_H
#define FL_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { FL_ALIGN = 64 }; // bytes; one cache line, one AVX-512 register

/* *out = a * b or a + b; false (and *out = 0) on overflow. */
bool fl_size_mul(size_t *out, size_t a, size_t b) FL_MUST_CHECK;
bool fl_size_add(size_t *out, size_t a, size_t b) FL_MUST_CHECK;

/* Zeroed; never NULL (n * size == 0 gives a unique pointer); aborts when out
 * of memory or on overflow.  Free with free(). */
void *fl_xcalloc(size_t n, size_t size);
/* Growing keeps what was there, new bytes are not zeroed. */
void *fl_xrealloc(void *p, size_t n, size_t size);
char *fl_xstrdup(const char *s);           // NULL stays NULL
char *fl_xstrndup(const char *s, size_t n);
/* printf into a new string, caller's. */
char *fl_xasprintf(const char *fmt, ...) FL_PRINTF(1, 2);

/* Zeroed, for sizes from outside.  NULL with FL_ELIMIT in err ("what: ...
 * bytes do not fit in memory"), also where the system would give more than the machine
 * has.  Free with free(). */
void *fl_calloc(size_t n, size_t size, const char *what, fl_err *err);

/* As fl_calloc, aligned to FL_ALIGN, large blocks on huge pages where there are.  Free
 * with free(). */
void *fl_calloc_aligned(size_t n, size_t size, const char *what, fl_err *err);
/* The same without zeros: for what is filled in before it is read. */
void *fl_alloc_aligned(size_t n, size_t size, const char *what, fl_err *err);

/* What was freed and the C library keeps for later goes back to the system, where it can.  For
 * between two phases of which the second needs room of other sizes. */
void fl_mem_give_back(void);

/* Frees *p and sets it to NULL.  Use on any pointer lvalue. */
#define FL_FREE(p) (free(p), (p) = NULL)

/*
 * An arena: memory named by how long it lives (a round, a step, a document).
 * Blocks are zeroed, aligned to FL_ALIGN, valid until the next reset.
 */
typedef struct fl_arena fl_arena;
fl_arena *fl_arena_new(size_t first_bytes);
void *fl_arena_alloc(fl_arena *a, size_t n, size_t size); // aborts like fl_xcalloc
char *fl_arena_strdup(fl_arena *a, const char *s);
void fl_arena_reset(fl_arena *a);    // keeps the memory for reuse
void fl_arena_destroy(fl_arena **a); // fine on NULL

#endif
