/*
 * test_invitation.c - the file that a hospital is handed
 */
#include <sys/stat.h>

#include "base/hash.h"
#include "check.h"
#include "fed/identity.h"

static fed_invitation example(void)
{
    fl_err err = FL_ERR_INIT;
    fed_identity *coordinator = fed_identity_new();
    fed_identity *one_time = fed_identity_new();
    fed_invitation inv = {
        .federation = "Lungs of \"Europe\" \\ 2026",
        .address = "tcp://coordinator.example.org:7700",
        .coordinator_curve = fed_identity_public(coordinator),
        .coordinator_sign = fed_identity_verify(coordinator),
        .id = {0xff, 1, 2, 3},
        .curve_public = fed_identity_public(one_time),
        .expires_ms = INT64_C(1772367605000),  // 2026-03-01T12:20:05Z
    };
    memcpy(inv.curve_secret, fed_identity_curve_secret(one_time), FED_KEY_BYTES);
    check_ok(fed_site_id_parse(&inv.site, "nord", &err), err);
    fed_identity_destroy(&coordinator);
    fed_identity_destroy(&one_time);
    return inv;
}

static void an_invitation_is_written_and_read_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "nord.invitation.yaml");
    fed_invitation inv = example();
    check_ok(fed_invitation_write(&inv, path, &err), err);

    fed_invitation read;
    check_ok(fed_invitation_read(&read, path, &err), err);
    check_str(read.federation, inv.federation);
    check_str(read.site.text, "nord");
    check_str(read.address, inv.address);
    check_bytes(read.coordinator_curve.bytes, inv.coordinator_curve.bytes, FED_KEY_BYTES);
    check_bytes(read.coordinator_sign.bytes, inv.coordinator_sign.bytes, FED_KEY_BYTES);
    check_bytes(read.id, inv.id, FED_INVITATION_BYTES);
    check_bytes(read.curve_secret, inv.curve_secret, FED_KEY_BYTES);
    check_bytes(read.curve_public.bytes, inv.curve_public.bytes, FED_KEY_BYTES);
    check_int(read.expires_ms, inv.expires_ms);

    struct stat info;
    check_int(stat(path, &info), 0);
    check_int(info.st_mode & 0777, 0600);

    fed_invitation_clear(&read);
    fed_invitation_clear(&inv);
    static const fed_invitation nothing;
    check_bytes(&read, &nothing, sizeof nothing);
    free(path);
    check_rmdir(&dir);
}

/* The text of an invitation with the first `from` replaced. */
static char *changed(const char *good, const char *from, const char *to)
{
    const char *at = strstr(good, from);
    check(at != NULL);
    return fl_xasprintf("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static char *good_text(fed_invitation *inv)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "i.yaml");
    *inv = example();
    check_ok(fed_invitation_write(inv, path, &err), err);
    char *text;
    size_t n;
    check_ok(fl_file_read(&text, &n, path, 1 << 16, &err), err);
    free(path);
    check_rmdir(&dir);
    return text;
}

static void anything_odd_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *complaint;
    } odd[] = {
        {"consilium-invitation-1", "consilium-invitation-2", "i.yaml:3: format"},
        {"site: \"nord\"", "site: \"Nord\"", "i.yaml:5: site"},
        {"site: \"nord\"", "site: \"\"", "i.yaml:5: site"},
        {"site: \"nord\"\n", "", "site"},
        {"tcp://coordinator", "http://coordinator", "i.yaml:6: address"},
        {":7700", "", "i.yaml:6: address"},
        {":7700", ":77000", "i.yaml:6: address"},
        {":7700", ":0", "i.yaml:6: address"},
        {"coordinator.example.org", "a b", "i.yaml:6: address"},
        {"transport_key: \"", "transport_key: \"0", "i.yaml:8: transport_key"},
        {"transport_key: \"", "transport_kye: \"", "transport_key"},
        {"id: \"ff01", "id: \"fg01", "i.yaml:11: id"},
        {"2026-03-01T", "2026-02-29T", "i.yaml:14: expires"},
        {"2026-03-01T", "2026-3-01T", "i.yaml:14: expires"},
        {"12:20:05Z", "24:20:05Z", "i.yaml:14: expires"},
        {"12:20:05Z", "12:20:05", "i.yaml:14: expires"},
        {"invitation:\n", "extra: 1\ninvitation:\n", "i.yaml:10: extra"},
        {"federation: \"Lungs", "federation: \"\\x01Lungs", "i.yaml:4: federation"},
    };
    fed_invitation inv;
    char *good = good_text(&inv);
    char secret[2 * FED_KEY_BYTES + 1];
    fl_hex(secret, inv.curve_secret, FED_KEY_BYTES);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        fl_err err = FL_ERR_INIT;
        fed_invitation read;
        char *bad = changed(good, odd[i].from, odd[i].to);
        check_fails(fed_invitation_parse(&read, bad, strlen(bad), "i.yaml", &err), FL_ECONFIG);
        check_has(err.text, odd[i].complaint);
        check(strstr(err.text, secret) == NULL);
        free(bad);
    }

    // A public key of another secret.
    fl_err err = FL_ERR_INIT;
    fed_invitation read;
    char *line = fl_xasprintf("secret: \"%.4s", secret);
    char *bad = changed(good, line, secret[0] == '1' ? "secret: \"2000" : "secret: \"1000");
    check_fails(fed_invitation_parse(&read, bad, strlen(bad), "i.yaml", &err), FL_ECONFIG);
    check_has(err.text, "does not belong");
    free(line);
    free(bad);
    free(good);
}

static void a_cut_invitation_is_refused(void **state)
{
    (void)state;
    fed_invitation inv;
    char *good = good_text(&inv);
    size_t n = strlen(good);
    for (size_t cut = 0; cut + 1 < n; cut++) {  // without its last newline it is whole
        fl_err err = FL_ERR_INIT;
        fed_invitation read;
        fl_status st = fed_invitation_parse(&read, good, cut, "i.yaml", &err);
        check(st != FL_OK);
        check(err.text[0] != '\0');
    }
    free(good);
}

int main(void)
{
    fed_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invitation_is_written_and_read_back),
        cmocka_unit_test(anything_odd_is_refused_with_its_line),
        cmocka_unit_test(a_cut_invitation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
