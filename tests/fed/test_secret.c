/*
 * test_secret.c - a site's secret is made once and only its owner can read it
 */
#include <sys/stat.h>

#include "check.h"
#include "fed/secret.h"

static void it_is_made_once_and_stays(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    uint8_t first[FED_KEY_BYTES];
    uint8_t again[FED_KEY_BYTES];
    uint8_t other[FED_KEY_BYTES];
    struct stat info;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "patients.key");
    char *second = fl_path_join(dir, "other.key");

    check_ok(fed_secret_open(first, path, &err), err);
    check_ok(fed_secret_open(again, path, &err), err);
    check_ok(fed_secret_open(other, second, &err), err);
    check(memcmp(first, again, sizeof first) == 0);
    check(memcmp(first, other, sizeof first) != 0);
    check(stat(path, &info) == 0);
    check_int(info.st_mode & 0777, 0600);
    fed_wipe(first, sizeof first);
    for (size_t i = 0; i < sizeof first; i++) {
        check_int(first[i], 0);
    }
    free(second);
    free(path);
    check_rmdir(&dir);
}

static void anything_else_is_refused_and_not_shown(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n",
        "00",
        "zz",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef x",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"};
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "patients.key");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_err ok = FL_ERR_INIT;
        fl_err err = FL_ERR_INIT;
        uint8_t out[FED_KEY_BYTES];
        check_ok(fl_file_write(path, bad[i], strlen(bad[i]), 0600, &ok), ok);
        check_fails(fed_secret_open(out, path, &err), FL_ECONFIG);
        check_has(err.text, "expected a secret of 64 hexadecimal digits");
        check(strstr(err.text, "abcdef") == NULL);
    }
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_made_once_and_stays),
        cmocka_unit_test(anything_else_is_refused_and_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
