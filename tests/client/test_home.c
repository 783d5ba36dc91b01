/*
 * test_home.c - a hospital's home folder
 */
#include "fixture.h"

#include <sys/stat.h>

static policy usual;

static home_plan plan_for(hospital *h, const char *invitation, const char *policy_yaml)
{
    return (home_plan){
        .invitation = invitation, .dir = h->home_dir, .data = h->data, .policy = policy_yaml};
}

static void a_home_has_keys_policy_and_the_invitation_until_enrolled(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);

    check_str(h.home->site.text, "nord");
    check_str(h.home->federation, "toys");
    check_str(h.home->data, h.data);
    check_bytes(&h.home->coordinator_curve, &c->invitation.coordinator_curve, FED_KEY_BYTES);
    check_bytes(&h.home->coordinator_sign, &c->invitation.coordinator_sign, FED_KEY_BYTES);

    fed_invitation inv;
    check(home_invitation(h.home, &inv, &err));
    check_bytes(inv.id, c->invitation.id, sizeof inv.id);
    fed_invitation_clear(&inv);
    check_ok(home_enrolled(h.home, &err), err);
    check(!home_invitation(h.home, &inv, &err));
    check_ok(home_enrolled(h.home, &err), err);  // said twice, no harm
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void secrets_are_readable_by_the_owner_only(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    static const char *const secret[] = {"keys/curve.key", "keys/sign.key", "keys/invitation.yaml",
                                         "receipts.jsonl", "."};
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
        struct stat info;
        char *path = home_path(h.home, secret[i]);
        check_int(stat(path, &info), 0);
        check_int(info.st_mode & 077, 0);
        free(path);
    }
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void joining_twice_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    fed_verify_key before = fed_identity_verify(h.home->id);
    char *invitation = coordinator_invite(c, h.dir, "nord");
    home_plan plan = plan_for(&h, invitation, "approve: all\n");
    check_fails(home_join(&plan, &err), FL_ECONFLICT);
    check_has(err.text, "is a hospital's home already");

    home *again = NULL;
    check_ok(home_open(&again, h.home_dir, &err), err);
    fed_verify_key after = fed_identity_verify(again->id);
    check_bytes(&after, &before, sizeof before);
    home_close(&again);
    free(invitation);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_failed_joining_leaves_nothing_behind(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    char *dir = check_tmpdir();
    char *invitation = coordinator_invite(c, dir, "nord");
    char *target = fl_path_join(dir, "home");
    home_plan plan = {.invitation = invitation, .dir = target, .data = "x.npz", .policy = ""};

    c->invitation.expires_ms = fl_wall_ms() - 1000;
    check_ok(fed_invitation_write(&c->invitation, invitation, &err), err);
    check_fails(home_join(&plan, &err), FL_EDENIED);
    check_has(err.text, "expired");
    check(!fl_file_exists(target));

    hospital_file(dir, "nord.invitation", "this is no invitation");
    check(home_join(&plan, &err) != FL_OK);
    check_ok(fl_mkdirs(target, 0700, &err), err);
    hospital_file(target, "letter.txt", "mine");
    free(coordinator_invite(c, dir, "nord"));
    check_fails(home_join(&plan, &err), FL_ECONFLICT);

    char **names = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    check_int(n, 2);  // the invitation and the folder with the letter
    fl_names_free(&names, n);
    free(target);
    free(invitation);
    check_rmdir(&dir);
    coordinator_destroy(&c);
}

static void a_home_is_served_by_one_process_at_a_time(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    home *other = NULL;
    check_ok(home_open(&other, h.home_dir, &err), err);
    check_ok(home_lock(h.home, 0, &err), err);
    check_fails(home_lock(other, 0, &err), FL_ECONFLICT);
    check_has(err.text, "is served by another process");
    home_close(&h.home);  // lets go of it
    check_ok(home_lock(other, 0, &err), err);
    home_close(&other);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_run_s_name_from_outside_cannot_leave_the_home(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    static const char *const bad[] = {"", "..", ".hidden", "a/b", "../x", "a b", "a\n"};
    char *path = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(home_run_path(&path, h.home, bad[i], &err), FL_EFORMAT);
    }
    check_ok(home_run_path(&path, h.home, "chest-1.2_b", &err), err);
    check_has(path, "/runs/chest-1.2_b");
    free(path);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_mistake_in_client_yaml_is_named_with_its_line(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    home *other = NULL;
    hospital_file(h.home_dir, "client.yaml",
                  "site: nord\nfederation: toys\ncoordinator:\n"
                  "  address: mem://1\n  curve_key: zz\n");
    check_fails(home_open(&other, h.home_dir, &err), FL_ECONFIG);
    check_has(err.text, "client.yaml:");
    check(other == NULL);
    check_fails(home_open(&other, h.dir, &err), FL_ENOTFOUND);
    check_has(err.text, "client join");
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void the_pages_language_is_the_home_s(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    check_int(h.home->language, REPORT_EN);

    char *dir = check_tmpdir(), *target = fl_path_join(dir, "home");
    char *invitation = coordinator_invite(c, dir, "nord");
    home_plan plan = plan_for(&h, invitation, "approve: all\n");
    plan.dir = target;
    plan.language = REPORT_FR;
    check_ok(home_join(&plan, &err), err);
    home *french = NULL;
    check_ok(home_open(&french, target, &err), err);
    check_int(french->language, REPORT_FR);
    home_close(&french);

    char *path = fl_path_join(target, "client.yaml");
    char *text = NULL, *said;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 1 << 16, &err), err);
    said = strstr(text, "language: fr");
    check(said != NULL);
    memcpy(said, "language: de", 12);
    check_ok(fl_file_write(path, text, n, 0600, &err), err);
    check_fails(home_open(&french, target, &err), FL_ECONFIG);
    check_has(err.text, "language: expected en or fr, found de");
    free(text);
    free(path);
    free(invitation);
    free(target);
    check_rmdir(&dir);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_path_with_quotes_and_blanks_reads_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    char *dir = check_tmpdir();
    char *invitation = coordinator_invite(c, dir, "nord");
    char *target = fl_path_join(dir, "home");
    char *data = fl_path_join(dir, "St \"Mary\": #1's 50% data\\x");
    fl_buf text = FL_BUF_INIT;
    policy_defaults(&usual);
    policy_text(&usual, &text);
    home_plan plan = {.invitation = invitation, .dir = target, .data = data, .policy = text.data};
    check_ok(home_join(&plan, &err), err);
    home *h = NULL;
    check_ok(home_open(&h, target, &err), err);
    check_str(h->data, data);
    home_close(&h);
    fl_buf_clear(&text);
    free(data);
    free(target);
    free(invitation);
    check_rmdir(&dir);
    coordinator_destroy(&c);
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_has_keys_policy_and_the_invitation_until_enrolled),
        cmocka_unit_test(secrets_are_readable_by_the_owner_only),
        cmocka_unit_test(joining_twice_is_refused_and_changes_nothing),
        cmocka_unit_test(a_failed_joining_leaves_nothing_behind),
        cmocka_unit_test(a_home_is_served_by_one_process_at_a_time),
        cmocka_unit_test(a_run_s_name_from_outside_cannot_leave_the_home),
        cmocka_unit_test(a_mistake_in_client_yaml_is_named_with_its_line),
        cmocka_unit_test(the_pages_language_is_the_home_s),
        cmocka_unit_test(a_path_with_quotes_and_blanks_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
