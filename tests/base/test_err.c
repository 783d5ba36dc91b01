#include "check.h"

#include <errno.h>

static void an_error_says_what_and_where(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st = fl_fail(&err, FL_EFORMAT, "bad magic %d", 7);
    st = fl_wrap(&err, st, "reading %s", "x.npz");
    check_int(st, FL_EFORMAT);
    check_int(err.status, FL_EFORMAT);
    check_str(err.text, "reading x.npz: bad magic 7");
}

static void errors_without_a_reader_are_fine(void **state)
{
    (void)state;
    check_int(fl_fail(NULL, FL_EIO, "lost"), FL_EIO);
    check_int(fl_wrap(NULL, FL_EIO, "more"), FL_EIO);
    check_int(fl_fail_errno(NULL, ENOENT, "x"), FL_ENOTFOUND);
}

static void an_error_may_quote_itself(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_fail(&err, FL_EIO, "inner");
    fl_fail(&err, FL_EDENIED, "outer (%s)", err.text);
    check_str(err.text, "outer (inner)");
}

static void a_long_text_is_cut_and_says_so(void **state)
{
    (void)state;
    char *text = fl_xcalloc(5000, 1);
    memset(text, 'x', 4999);
    fl_err err = FL_ERR_INIT;
    fl_fail(&err, FL_EIO, "%s", text);
    check_int(strlen(err.text), FL_ERR_TEXT - 1);
    check_str(err.text + FL_ERR_TEXT - 4, "...");
    for (int i = 0; i < 100; i++) {
        fl_wrap(&err, FL_EIO, "%s", text);
        check_int(strlen(err.text), FL_ERR_TEXT - 1);
    }
    free(text);
}

static void errno_becomes_what_callers_act_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    check_int(fl_fail_errno(&err, ENOSPC, "disk"), FL_EFULL);
    check_int(fl_fail_errno(&err, EDQUOT, "disk"), FL_EFULL);
    check_int(fl_fail_errno(&err, EACCES, "disk"), FL_EIO);
    check_str(err.text, "disk: Permission denied");
}

static void every_status_has_a_text_and_an_exit_code(void **state)
{
    (void)state;
    for (int s = 0; s < FL_N_STATUS; s++) {
        check(strlen(fl_status_text((fl_status)s)) > 1);
        int wanted = s == FL_OK                          ? 0
                     : s == FL_EUSAGE || s == FL_ECONFIG ? 2
                     : s == FL_EABSENCES                 ? 3
                                                         : 1;
        check_int(fl_exit_code((fl_status)s), wanted);
    }
    check_str(fl_status_text((fl_status)-1), "unknown status");
    check_str(fl_status_text(FL_N_STATUS), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_says_what_and_where),
        cmocka_unit_test(errors_without_a_reader_are_fine),
        cmocka_unit_test(an_error_may_quote_itself),
        cmocka_unit_test(a_long_text_is_cut_and_says_so),
        cmocka_unit_test(errno_becomes_what_callers_act_on),
        cmocka_unit_test(every_status_has_a_text_and_an_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
