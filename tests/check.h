/*
 * check.h - assertions that print both values, on cmocka
 *
 * A test file includes this and nothing of cmocka.  Its first test is the
 * usage example a newcomer would copy; names are sentences.
 *
 *     static void a_sum_is_a_sum(void **state)
 *     {
 *         (void)state;
 *         check_int(1 + 1, 2);
 *     }
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {
 *             cmocka_unit_test(a_sum_is_a_sum),
 *         };
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 */
#ifndef CHECK_H
#define CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"

/* Says why and counts as skipped; nothing after it runs. */
#define check_skip(reason)                                                    \
    do {                                                                      \
        print_message("# skipped: %s\n", reason);                             \
        skip();                                                               \
    } while (0)

#define check_fail(...)                                                       \
    do {                                                                      \
        print_error(__VA_ARGS__);                                             \
        print_error("\n");                                                    \
        _fail(__FILE__, __LINE__);                                            \
    } while (0)

#define check(cond)                                                           \
    do {                                                                      \
        if (!(cond)) {                                                        \
            check_fail("expected: %s", #cond);                                \
        }                                                                     \
    } while (0)

/* status is FL_OK; else prints what err says. */
#define check_ok(status, err)                                                 \
    do {                                                                      \
        fl_status check_st_ = (status);                                       \
        if (check_st_ != FL_OK) {                                             \
            check_fail("%s: %s: %s", #status, fl_status_text(check_st_),      \
                       (err).text);                                           \
        }                                                                     \
    } while (0)

/* The call fails with this status. */
#define check_fails(status, wanted)                                           \
    do {                                                                      \
        fl_status check_st_ = (status);                                       \
        if (check_st_ != (wanted)) {                                          \
            check_fail("%s: got \"%s\", expected \"%s\"", #status,            \
                       fl_status_text(check_st_), fl_status_text(wanted));    \
        }                                                                     \
    } while (0)

#define check_int(actual, expected)                                           \
    do {                                                                      \
        long long check_a_ = (long long)(actual);                             \
        long long check_e_ = (long long)(expected);                           \
        if (check_a_ != check_e_) {                                           \
            check_fail("%s: got %lld, expected %lld", #actual, check_a_,      \
                       check_e_);                                             \
        }                                                                     \
    } while (0)

/* |actual - expected| <= tolerance; two NaNs are near. */
#define check_near(actual, expected, tolerance)                               \
    do {                                                                      \
        double check_a_ = (double)(actual);                                   \
        double check_e_ = (double)(expected);                                 \
        double check_t_ = (double)(tolerance);                                \
        if (!(fabs(check_a_ - check_e_) <= check_t_) &&                       \
            !(check_a_ == check_e_) &&                                        \
            !(isnan(check_a_) && isnan(check_e_))) {                          \
            check_fail("%s: got %.17g, expected %.17g, apart %.3g, allowed "  \
                       "%.3g",                                                \
                       #actual, check_a_, check_e_,                           \
                       fabs(check_a_ - check_e_), check_t_);                  \
        }                                                                     \
    } while (0)

#define check_str(actual, expected)                                           \
    do {                                                                      \
        const char *check_a_ = (actual);                                      \
        const char *check_e_ = (expected);                                    \
        if (check_a_ == NULL || check_e_ == NULL                              \
                ? check_a_ != check_e_                                        \
                : strcmp(check_a_, check_e_) != 0) {                          \
            check_fail("%s: got \"%s\", expected \"%s\"", #actual,            \
                       check_a_ != NULL ? check_a_ : "(null)",                \
                       check_e_ != NULL ? check_e_ : "(null)");               \
        }                                                                     \
    } while (0)

/* The text contains the part. */
#define check_has(text, part)                                                 \
    do {                                                                      \
        const char *check_a_ = (text);                                        \
        const char *check_e_ = (part);                                        \
        if (check_a_ == NULL || strstr(check_a_, check_e_) == NULL) {         \
            check_fail("%s: \"%s\" does not contain \"%s\"", #text,           \
                       check_a_ != NULL ? check_a_ : "(null)", check_e_);     \
        }                                                                     \
    } while (0)

/* n bytes are equal; else names the first that differs. */
#define check_bytes(actual, expected, n)                                      \
    do {                                                                      \
        const unsigned char *check_a_ = (const void *)(actual);               \
        const unsigned char *check_e_ = (const void *)(expected);             \
        for (size_t check_i_ = 0; check_i_ < (size_t)(n); check_i_++) {       \
            if (check_a_[check_i_] != check_e_[check_i_]) {                   \
                check_fail("%s: byte %zu: got %02x, expected %02x", #actual,  \
                           check_i_, check_a_[check_i_], check_e_[check_i_]); \
            }                                                                 \
        }                                                                     \
    } while (0)

/* A fresh folder under $TMPDIR, caller's; check_rmdir removes it. */
static inline char *check_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = fl_xasprintf("%s/consilium-test-XXXXXX", base != NULL ? base : "/tmp");
    check(mkdtemp(path) != NULL);
    return path;
}

static inline void check_rmdir(char **path)
{
    fl_err err = FL_ERR_INIT;
    check_ok(fl_remove_tree(*path, &err), err);
    FL_FREE(*path);
}

#endif
