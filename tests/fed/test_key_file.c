/*
 * test_key_file.c - keys on disk, under a passphrase or not
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#include "fed/identity.h"
#include "fed/key_file.h"

static const char title[] = "consilium test secret key 1";

static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = check_tmpdir();
    fed_init();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    check_rmdir(&dir);
    return 0;
}

static void write_text(const char *path, const void *text, size_t n)
{
    fl_err err = FL_ERR_INIT;
    check_ok(fl_file_write(path, text, n, 0600, &err), err);
}

static void a_key_comes_back_with_its_passphrase_only(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    uint8_t secret[FED_KEY_BYTES], back[FED_KEY_BYTES];
    char *path = fl_path_join(dir, "a.key"), *text;
    size_t n;
    struct stat info;
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = (uint8_t)(3 * i + 1);
    }
    fed_passphrase *pass = fed_passphrase_new("correct horse battery staple"),
                   *other = fed_passphrase_new("correct horse battery stapler");
    check_ok(fed_key_file_write(path, title, secret, pass, &err), err);
    check_ok(fed_key_file_read(back, path, title, &pass, &err), err);
    check_bytes(back, secret, sizeof back);
    check_fails(fed_key_file_read(back, path, title, &other, &err), FL_EDENIED);
    check_has(err.text, "the passphrase is not the key's");
    check_int(stat(path, &info), 0);
    check_int(info.st_mode & 0777, 0600);
    check_ok(fl_file_read(&text, &n, path, 4096, &err), err);
    char hex[2 * FED_KEY_BYTES + 1];
    fl_hex(hex, secret, sizeof secret);
    check(strstr(text, hex) == NULL);
    fed_passphrase *none = NULL;
    check_ok(fed_key_file_write(path, title, secret, NULL, &err), err);
    check_ok(fed_key_file_read(back, path, title, &none, &err), err);
    check(none == NULL);  // nobody was asked
    check_bytes(back, secret, sizeof back);
    free(text);
    fed_passphrase_destroy(&pass);
    fed_passphrase_destroy(&other);
    free(path);
}

/* Every prefix and, of the text, a changed character at every place: refused.  Costs of the
 * derivation are kept small by what the file may ask for. */
static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    static const char cheap[] =
        "consilium test secret key 1, under a passphrase\n"
        "argon2id 1 8192 000102030405060708090a0b0c0d0e0f\n"
        "000102030405060708090a0b0c0d0e0f1011121314151617 "
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "202122232425262728292a2b2c2d2e2f\n";
    char *path = fl_path_join(dir, "b.key");
    uint8_t back[FED_KEY_BYTES];
    fed_passphrase *pass = fed_passphrase_new("correct horse battery staple");
    size_t n = sizeof cheap - 1;
    fl_err err = FL_ERR_INIT;
    write_text(path, cheap, n);
    check_fails(fed_key_file_read(back, path, title, &pass, &err), FL_EDENIED);  // well-formed
    for (size_t cut = 0; cut < n; cut++) {
        write_text(path, cheap, cut);
        check_fails(fed_key_file_read(back, path, title, &pass, &err), FL_EFORMAT);
    }
    for (size_t at = 0; at < n; at++) {
        char text[sizeof cheap];
        memcpy(text, cheap, sizeof cheap);
        text[at] = text[at] == '~' ? '!' : '~';
        write_text(path, text, n);
        check_fails(fed_key_file_read(back, path, title, &pass, &err), FL_EFORMAT);
    }
    static const char *const greedy[] = {"argon2id 99 8192 ", "argon2id 1 9999999999 ",
                                         "argon2id 0 8192 ", "argon2i 1 8192 "};
    for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++) {
        char *text = fl_xasprintf("%s, under a passphrase\n%s%s", title, greedy[i],
                                  strstr(cheap, "0001"));
        write_text(path, text, strlen(text));
        check_fails(fed_key_file_read(back, path, title, &pass, &err), FL_EFORMAT);
        free(text);
    }
    fed_passphrase_destroy(&pass);
    free(path);
}

static void an_identity_is_protected_and_freed_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *keys = fl_path_join(dir, "keys"), *file = fl_path_join(dir, "pass"),
         *wrong = fl_path_join(dir, "wrong");
    static const char pass_line[] = "correct horse battery staple\r\nnot this line\n";
    write_text(file, pass_line, sizeof pass_line - 1);
    write_text(wrong, "something else\n", 15);
    fed_identity *id = fed_identity_new(), *back;
    check_ok(fed_identity_write(id, keys, &err), err);
    fed_passphrase *pass = fed_passphrase_new("correct horse battery staple");
    check_ok(fed_identity_protect(id, keys, pass, &err), err);
    setenv("CONSILIUM_PASSPHRASE_FILE", wrong, 1);
    check_fails(fed_identity_read(&back, keys, &err), FL_EDENIED);
    setenv("CONSILIUM_PASSPHRASE_FILE", file, 1);
    check_ok(fed_identity_read(&back, keys, &err), err);
    fed_public_key a = fed_identity_public(id), b = fed_identity_public(back);
    fed_verify_key c = fed_identity_verify(id), d = fed_identity_verify(back);
    check_bytes(&a, &b, sizeof a);
    check_bytes(&c, &d, sizeof c);
    fed_identity_destroy(&back);
    unsetenv("CONSILIUM_PASSPHRASE_FILE");
    setenv("CREDENTIALS_DIRECTORY", dir, 1);  // systemd's; the file is called passphrase
    char *credential = fl_path_join(dir, "passphrase");
    write_text(credential, pass_line, sizeof pass_line - 1);
    check_ok(fed_identity_read(&back, keys, &err), err);
    unsetenv("CREDENTIALS_DIRECTORY");
    check_ok(fed_identity_protect(back, keys, NULL, &err), err);
    fed_identity_destroy(&back);
    check_ok(fed_identity_read(&back, keys, &err), err);
    fed_identity_destroy(&back);
    fed_identity_destroy(&id);
    fed_passphrase_destroy(&pass);
    setenv("CONSILIUM_NEW_PASSPHRASE_FILE", file, 1);
    check_ok(fed_passphrase_choose(&pass, &err), err);
    fed_passphrase_destroy(&pass);
    write_text(wrong, "short\n", 6);
    setenv("CONSILIUM_NEW_PASSPHRASE_FILE", wrong, 1);
    check_fails(fed_passphrase_choose(&pass, &err), FL_EUSAGE);
    check_has(err.text, "10 characters");
    unsetenv("CONSILIUM_NEW_PASSPHRASE_FILE");
    free(credential);
    free(keys);
    free(file);
    free(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_comes_back_with_its_passphrase_only),
        cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(an_identity_is_protected_and_freed_again),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
