/*
 * buf.h - growable bytes and text
 *
 * One struct for "I do not know yet how long this gets": messages, HTML,
 * emitted YAML.  Always NUL-terminated one byte after n, so text is data.
 */
#ifndef FL_BUF_H
#define FL_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    char *data;  // n bytes and a NUL; NULL while nothing was added
    size_t n;    // bytes used
    size_t cap;  // bytes allocated
} fl_buf;

#define FL_BUF_INIT {NULL, 0, 0}

void fl_buf_clear(fl_buf *b);                 // frees; b is as FL_BUF_INIT
void fl_buf_reset(fl_buf *b);                 // n = 0, memory kept
void fl_buf_reserve(fl_buf *b, size_t extra); // room for extra more bytes
void fl_buf_add(fl_buf *b, const void *bytes, size_t n);
void fl_buf_puts(fl_buf *b, const char *text);
void fl_buf_printf(fl_buf *b, const char *fmt, ...) FL_PRINTF(2, 3);
/* The text (never NULL), now the caller's to free; b is empty again. */
char *fl_buf_take(fl_buf *b);

#endif
