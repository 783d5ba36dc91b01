/*
 * err.h - what went wrong, in one sentence that travels with its code
 *
 * Three cases are told apart everywhere in Consilium:
 *   the world's fault   (file, network, peer, config): return fl_status and
 *                       explain in an fl_err that the caller owns;
 *   our own mistake     FL_REQUIRE stops the program with file and line, in
 *                       release builds too;
 *   absence             is not an error: NULL or false.
 * There is no hidden "last error".  A function without an fl_err cannot fail.
 * Threads: an fl_err belongs to one thread at a time.
 */
#ifndef FL_ERR_H
#define FL_ERR_H

#include <stddef.h>

/* name, text for people.  A dozen, because callers act on few. */
#define FL_STATUS_LIST(X)                                                     \
    X(FL_OK, "ok")                                                            \
    X(FL_EUSAGE, "wrong usage")          /* command line; exit code 2 */      \
    X(FL_ECONFIG, "wrong configuration") /* a file people write */            \
    X(FL_EFORMAT, "malformed data")      /* bytes from outside */             \
    X(FL_ELIMIT, "over a limit")                                              \
    X(FL_EIO, "input/output error")                                           \
    X(FL_EFULL, "no space left")         /* disk full: retry may help */      \
    X(FL_ENOTFOUND, "not found")                                              \
    X(FL_EDENIED, "refused")             /* policy, key, signature */         \
    X(FL_ECONFLICT, "already there, and different")                           \
    X(FL_ETIMEOUT, "timed out")                                               \
    X(FL_ESTOPPED, "stopped on request")                                      \
    X(FL_EUNSUPPORTED, "not supported")                                       \
    X(FL_EABSENCES, "done, but not by everybody") /* exit code 3 */

typedef enum {
#define FL_STATUS_ENUM(name, text) name,
    FL_STATUS_LIST(FL_STATUS_ENUM)
#undef FL_STATUS_ENUM
    FL_N_STATUS
} fl_status;

enum { FL_ERR_TEXT = 1024 }; // bytes of a message, terminator included

typedef struct {
    fl_status status;        // FL_OK until something failed
    char text[FL_ERR_TEXT];  // one sentence: what, where, what to do
} fl_err;

#define FL_ERR_INIT {FL_OK, {0}}

#define FL_MUST_CHECK __attribute__((warn_unused_result))
#define FL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* "ok", "malformed data" ...; never NULL. */
const char *fl_status_text(fl_status status);

/* Replaces what err holds.  err may be NULL.  Returns status, so that
 * `return fl_fail(err, FL_EIO, ...)` reads well.  status must not be FL_OK. */
fl_status fl_fail(fl_err *err, fl_status status, const char *fmt, ...)
    FL_PRINTF(3, 4);

/* Puts "fmt: " before the text in err; a layer adds what it knew.  Returns
 * status.  err may be NULL. */
fl_status fl_wrap(fl_err *err, fl_status status, const char *fmt, ...)
    FL_PRINTF(3, 4);

/* As fl_fail with the text of errno; ENOSPC and EDQUOT become FL_EFULL,
 * ENOENT FL_ENOTFOUND, everything else FL_EIO.  what: "PATH" or "opening X". */
fl_status fl_fail_errno(fl_err *err, int errnum, const char *what);

/* Process exit code for a status: 0 done, 1 failed, 2 usage or configuration,
 * 3 done without somebody. */
int fl_exit_code(fl_status status);

/* A broken promise between our own functions: prints and aborts, always. */
#define FL_REQUIRE(cond)                                                      \
    ((cond) ? (void)0 : fl_require_failed(#cond, __FILE__, __LINE__))
_Noreturn void fl_require_failed(const char *cond, const char *file, int line);

#endif
