/*
 * test_identity.c - keys, key files, fingerprints, signatures
 */
#include "fed/identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "check.h"
#include "fed/golden.h"
#include "fed/msg.h"

static void keys_are_made_once_and_read_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fed_identity *made = fed_identity_new();
    check_ok(fed_identity_write(made, dir, &err), err);

    fed_identity *read = NULL;
    check_ok(fed_identity_read(&read, dir, &err), err);
    fed_signature signature;
    fed_sign(&signature, read, "test 1", "hello", 5);
    fed_verify_key key = fed_identity_verify(made);
    check(fed_verify(&signature, &key, "test 1", "hello", 5));

    fed_identity_destroy(&made);
    fed_identity_destroy(&read);
    fed_identity_destroy(&read);  // twice is fine
    check_rmdir(&dir);
}

// ------------------------------------------------------------------ vectors

static char *write_file(const char *dir, const char *name, const char *text, unsigned mode)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_file_write(path, text, strlen(text), mode, &err), err);
    return path;
}

/* The identity of fed_vectors.py, through files written here. */
static fed_identity *known_identity(const json_t *golden)
{
    fl_err err = FL_ERR_INIT;
    const json_t *keys = json_object_get(golden, "identity");
    char *dir = check_tmpdir();
    static const char *const files[][3] = {
        {"curve.key", "consilium curve secret key 1", "curve_secret"},
        {"sign.key", "consilium signing secret key 1", "sign_seed"},
    };
    for (int i = 0; i < 2; i++) {
        char *text = fl_xasprintf("%s\n%s\n", files[i][1],
                                  json_string_value(json_object_get(keys, files[i][2])));
        free(write_file(dir, files[i][0], text, 0600));
        free(text);
    }
    fed_identity *id = NULL;
    check_ok(fed_identity_read(&id, dir, &err), err);
    check_rmdir(&dir);
    return id;
}

static void keys_and_fingerprint_are_those_of_the_standards(void **state)
{
    (void)state;
    json_t *golden = golden_read();
    const json_t *keys = json_object_get(golden, "identity");
    fed_identity *id = known_identity(golden);
    uint8_t expected[FED_KEY_BYTES];
    fed_public_key curve = fed_identity_public(id);
    golden_bytes(expected, sizeof expected, keys, "curve_public");
    check_bytes(curve.bytes, expected, sizeof expected);
    fed_verify_key sign = fed_identity_verify(id);
    golden_bytes(expected, sizeof expected, keys, "sign_public");
    check_bytes(sign.bytes, expected, sizeof expected);

    char fingerprint[FED_FINGERPRINT_BYTES];
    fed_fingerprint(fingerprint, &curve, &sign);
    check_str(fingerprint, json_string_value(json_object_get(keys, "fingerprint")));
    fed_identity_destroy(&id);
    json_decref(golden);
}

static void an_enrolment_is_signed_byte_for_byte_as_written_down(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *golden = golden_read();
    fed_identity *id = known_identity(golden);
    const json_t *expected = json_object_get(golden, "enrol");

    fed_enrol e = {.sign_key = fed_identity_verify(id), .curve_key = fed_identity_public(id)};
    for (uint8_t i = 0; i < FED_INVITATION_BYTES; i++) {
        e.invitation[i] = i;
    }
    check_ok(fed_site_id_parse(&e.site, "nord", &err), err);
    fl_buf bytes = FL_BUF_INIT;
    fed_enrol_bytes(&e, &bytes);
    size_t n;
    unsigned char *blob = golden_blob(&n, expected, "bytes");
    check_int(bytes.n, n);
    check_bytes(bytes.data, blob, n);
    free(blob);

    // Ed25519 is deterministic: not only valid, but the same.
    fed_sign(&e.signature, id, "consilium enrol 1", bytes.data, bytes.n);
    uint8_t signature[FED_SIGNATURE_BYTES];
    golden_bytes(signature, sizeof signature, expected, "signature");
    check_bytes(e.signature.bytes, signature, sizeof signature);

    fl_buf_clear(&bytes);
    fed_identity_destroy(&id);
    json_decref(golden);
}

// --------------------------------------------------------------- signatures

static void a_signature_holds_for_nothing_else(void **state)
{
    (void)state;
    fed_identity *id = fed_identity_new();
    fed_identity *other = fed_identity_new();
    fed_verify_key key = fed_identity_verify(id);
    fed_verify_key other_key = fed_identity_verify(other);
    uint8_t text[] = "an update of round 7";
    fed_signature s;
    fed_sign(&s, id, "contribution", text, sizeof text);

    check(fed_verify(&s, &key, "contribution", text, sizeof text));
    check(!fed_verify(&s, &other_key, "contribution", text, sizeof text));
    check(!fed_verify(&s, &key, "contributio", text, sizeof text));
    check(!fed_verify(&s, &key, "enrol", text, sizeof text));
    check(!fed_verify(&s, &key, "contribution", text, sizeof text - 1));
    for (size_t bit = 0; bit < 8 * sizeof text; bit++) {
        text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check(!fed_verify(&s, &key, "contribution", text, sizeof text));
        text[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof s.bytes; bit++) {
        s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check(!fed_verify(&s, &key, "contribution", text, sizeof text));
        s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    // The label cannot borrow bytes from the text.
    fed_sign(&s, id, "ab", "c", 1);
    check(!fed_verify(&s, &key, "a", "bc", 2));
    fed_identity_destroy(&id);
    fed_identity_destroy(&other);
}

static void fresh_identities_differ(void **state)
{
    (void)state;
    fed_identity *a = fed_identity_new();
    fed_identity *b = fed_identity_new();
    fed_public_key a_key = fed_identity_public(a);
    fed_public_key b_key = fed_identity_public(b);
    check(memcmp(a_key.bytes, b_key.bytes, FED_KEY_BYTES) != 0);
    fed_identity *same = fed_identity_one_time(fed_identity_curve_secret(a));
    fed_public_key same_key = fed_identity_public(same);
    check_bytes(same_key.bytes, a_key.bytes, FED_KEY_BYTES);
    fed_identity_destroy(&a);
    fed_identity_destroy(&b);
    fed_identity_destroy(&same);
}

// ---------------------------------------------------------------- key files

static unsigned mode_of(const char *dir, const char *name)
{
    char *path = fl_path_join(dir, name);
    struct stat info;
    check_int(stat(path, &info), 0);
    free(path);
    return (unsigned)(info.st_mode & 0777);
}

static void secrets_are_for_their_owner_only(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fed_identity *id = fed_identity_new();
    check_ok(fed_identity_write(id, dir, &err), err);
    check_int(mode_of(dir, "curve.key"), 0600);
    check_int(mode_of(dir, "sign.key"), 0600);
    check_int(mode_of(dir, "public.yaml"), 0644);

    fed_identity *read = NULL;
    static const char *const names[] = {"curve.key", "sign.key"};
    for (int i = 0; i < 2; i++) {
        char *path = fl_path_join(dir, names[i]);
        check_int(chmod(path, 0640), 0);
        check_fails(fed_identity_read(&read, dir, &err), FL_EDENIED);
        check(read == NULL);
        check_has(err.text, names[i]);
        check_has(err.text, "chmod 600");
        check_int(chmod(path, 0600), 0);
        free(path);
    }
    fed_identity_destroy(&id);
    check_rmdir(&dir);
}

static void keys_are_never_overwritten(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fed_identity *first = fed_identity_new();
    fed_identity *second = fed_identity_new();
    check_ok(fed_identity_write(first, dir, &err), err);
    check_fails(fed_identity_write(second, dir, &err), FL_ECONFLICT);
    fed_identity *read = NULL;
    check_ok(fed_identity_read(&read, dir, &err), err);
    fed_public_key kept = fed_identity_public(read);
    fed_public_key expected = fed_identity_public(first);
    check_bytes(kept.bytes, expected.bytes, FED_KEY_BYTES);
    fed_identity_destroy(&first);
    fed_identity_destroy(&second);
    fed_identity_destroy(&read);
    check_rmdir(&dir);
}

static void the_public_file_holds_no_secret(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fed_identity *id = fed_identity_new();
    check_ok(fed_identity_write(id, dir, &err), err);
    char *path = fl_path_join(dir, "public.yaml");
    char *text;
    size_t n;
    check_ok(fl_file_read(&text, &n, path, 4096, &err), err);
    char secret[2 * FED_KEY_BYTES + 1];
    fl_hex(secret, fed_identity_curve_secret(id), FED_KEY_BYTES);
    check(strstr(text, secret) == NULL);
    check_has(text, "fingerprint: \"");
    free(text);
    free(path);
    fed_identity_destroy(&id);
    check_rmdir(&dir);
}

static void who_needs_no_secret_reads_none(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "public.yaml"), *text;
    size_t n;
    fed_identity *id = fed_identity_new();
    fed_public_key curve, expected_curve = fed_identity_public(id);
    fed_verify_key sign, expected_sign = fed_identity_verify(id);
    check_ok(fed_identity_write(id, dir, &err), err);
    static const char *const secrets[] = {"curve.key", "sign.key"};
    for (size_t i = 0; i < 2; i++) {
        char *secret = fl_path_join(dir, secrets[i]);
        check_int(unlink(secret), 0);
        free(secret);
    }
    check_ok(fed_identity_look(&curve, &sign, dir, &err), err);
    check_bytes(curve.bytes, expected_curve.bytes, FED_KEY_BYTES);
    check_bytes(sign.bytes, expected_sign.bytes, FED_KEY_BYTES);

    check_ok(fl_file_read(&text, &n, path, 4096, &err), err);
    char *digit = strstr(text, "signing_key: \"") + strlen("signing_key: \"");
    *digit = *digit == '0' ? '1' : '0';
    check_ok(fl_file_write(path, text, n, 0644, &err), err);
    check_fails(fed_identity_look(&curve, &sign, dir, &err), FL_ECONFIG);
    check_has(err.text, "fingerprint: that of these keys is");
    *digit = 'x';
    check_ok(fl_file_write(path, text, n, 0644, &err), err);
    check_fails(fed_identity_look(&curve, &sign, dir, &err), FL_ECONFIG);
    check_has(err.text, "signing_key: expected 64 hexadecimal digits");
    check_int(unlink(path), 0);
    check_fails(fed_identity_look(&curve, &sign, dir, &err), FL_ENOTFOUND);
    fed_identity_destroy(&id);
    free(text);
    free(path);
    check_rmdir(&dir);
}

static void a_damaged_key_file_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fed_identity *id = fed_identity_new();
    check_ok(fed_identity_write(id, dir, &err), err);
    fed_identity_destroy(&id);
    char *path = fl_path_join(dir, "curve.key");
    char *good;
    size_t n;
    check_ok(fl_file_read(&good, &n, path, 4096, &err), err);

    for (size_t cut = 0; cut < n; cut++) {
        check_ok(fl_file_write(path, good, cut, 0600, &err), err);
        check_fails(fed_identity_read(&id, dir, &err), FL_EFORMAT);
        check_has(err.text, "curve.key");
        check(id == NULL);
    }
    char *longer = fl_xasprintf("%s\n", good);
    check_ok(fl_file_write(path, longer, n + 1, 0600, &err), err);
    check_fails(fed_identity_read(&id, dir, &err), FL_EFORMAT);
    good[n - 5] = 'g';  // not a hexadecimal digit
    check_ok(fl_file_write(path, good, n, 0600, &err), err);
    check_fails(fed_identity_read(&id, dir, &err), FL_EFORMAT);
    check(strstr(err.text, good + 40) == NULL);  // the key is not repeated

    check_int(unlink(path), 0);
    check_fails(fed_identity_read(&id, dir, &err), FL_ENOTFOUND);
    free(longer);
    free(good);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    fed_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_once_and_read_back),
        cmocka_unit_test(keys_and_fingerprint_are_those_of_the_standards),
        cmocka_unit_test(an_enrolment_is_signed_byte_for_byte_as_written_down),
        cmocka_unit_test(a_signature_holds_for_nothing_else),
        cmocka_unit_test(fresh_identities_differ),
        cmocka_unit_test(secrets_are_for_their_owner_only),
        cmocka_unit_test(keys_are_never_overwritten),
        cmocka_unit_test(the_public_file_holds_no_secret),
        cmocka_unit_test(who_needs_no_secret_reads_none),
        cmocka_unit_test(a_damaged_key_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
