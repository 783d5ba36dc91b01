/*
 * err.c - see err.h
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *fl_status_text(fl_status status)
{
    static const char *const texts[FL_N_STATUS] = {
#define STATUS_TEXT(name, text) [name] = text,
        FL_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    };
    if ((int)status < 0 || status >= FL_N_STATUS) {
        return "unknown status";
    }
    return texts[status];
}

/* Copies text, marking a cut with "..." so that nobody takes half a sentence
 * for a whole one. */
static void put_text(fl_err *err, const char *text)
{
    size_t n = strlen(text);
    if (n < sizeof err->text) {
        memcpy(err->text, text, n + 1);
        return;
    }
    memcpy(err->text, text, sizeof err->text - 4);
    memcpy(err->text + sizeof err->text - 4, "...", 4);
}

fl_status fl_fail(fl_err *err, fl_status status, const char *fmt, ...)
{
    FL_REQUIRE(status != FL_OK);
    if (err == NULL) {
        return status;
    }
    // Through a second buffer: an argument may be err->text itself.
    char text[2 * FL_ERR_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err->status = status;
    put_text(err, text);
    return status;
}

fl_status fl_wrap(fl_err *err, fl_status status, const char *fmt, ...)
{
    if (err == NULL) {
        return status;
    }
    char text[2 * FL_ERR_TEXT];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, FL_ERR_TEXT, fmt, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used > FL_ERR_TEXT - 1) {
        used = FL_ERR_TEXT - 1;
    }
    snprintf(text + used, sizeof text - used, ": %s", err->text);
    err->status = status;
    put_text(err, text);
    return status;
}

fl_status fl_fail_errno(fl_err *err, int errnum, const char *what)
{
    fl_status status = FL_EIO;
    if (errnum == ENOSPC || errnum == EDQUOT) {
        status = FL_EFULL;
    } else if (errnum == ENOENT) {
        status = FL_ENOTFOUND;
    }
    char reason[128] = "unknown error";
    // POSIX's strerror_r: strerror may share its buffer between threads.
    (void)!strerror_r(errnum, reason, sizeof reason);
    return fl_fail(err, status, "%s: %s", what, reason);
}

int fl_exit_code(fl_status status)
{
    switch (status) {
    case FL_OK:
        return 0;
    case FL_EUSAGE:
    case FL_ECONFIG:
        return 2;
    case FL_EABSENCES:
        return 3;
    default:
        return 1;
    }
}

_Noreturn void fl_require_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, cond);
    fflush(stderr);
    abort();
}
