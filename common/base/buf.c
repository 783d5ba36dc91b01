/*
 * buf.c - see buf.h
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void fl_buf_clear(fl_buf *b)
{
    free(b->data);
    *b = (fl_buf)FL_BUF_INIT;
}

void fl_buf_reset(fl_buf *b)
{
    b->n = 0;
    if (b->data != NULL) {
        b->data[0] = '\0';
    }
}

void fl_buf_reserve(fl_buf *b, size_t extra)
{
    size_t wanted = 0;
    FL_REQUIRE(fl_size_add(&wanted, b->n, extra) && fl_size_add(&wanted, wanted, 1));  // the NUL
    if (wanted <= b->cap) {
        return;
    }
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < wanted) {
        cap = cap > SIZE_MAX / 2 ? wanted : 2 * cap;
    }
    b->data = fl_xrealloc(b->data, cap, 1);
    b->cap = cap;
    b->data[b->n] = '\0';
}

void fl_buf_add(fl_buf *b, const void *bytes, size_t n)
{
    fl_buf_reserve(b, n);
    if (n > 0) {
        memcpy(b->data + b->n, bytes, n);
    }
    b->n += n;
    b->data[b->n] = '\0';
}

void fl_buf_puts(fl_buf *b, const char *text)
{
    fl_buf_add(b, text, strlen(text));
}

void fl_buf_printf(fl_buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    FL_REQUIRE(n >= 0);
    fl_buf_reserve(b, (size_t)n);
    vsnprintf(b->data + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

char *fl_buf_take(fl_buf *b)
{
    fl_buf_reserve(b, 0);
    char *text = b->data;
    *b = (fl_buf)FL_BUF_INIT;  // text is now the caller's
    return text;
}
