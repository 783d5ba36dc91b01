/*
 * test_renewal.c - the coordinator's own keys change while sites come and go and a run goes on
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include <unistd.h>

#include "base/json.h"
#include "base/sys.h"
#include "coordinator/record.h"
#include "coordinator/renewal.h"
#include "fed/audit.h"

static bool wants_new_keys(fake *f)
{
    return serve_wants_new_keys(f->serve);
}

/* It looks every second whether they are due. */
static void check_waits(fake *f)
{
    fl_err err = FL_ERR_INIT;
    for (int64_t until = fl_now_ms() + 1200; fl_now_ms() < until;) {
        bool done = false;
        check_ok(fake_step(f, &done, &err), err);
        check(!wants_new_keys(f));
    }
}

static bool two_know(fake *f)
{
    return f->site[0].n_told > 0 && f->site[2].n_told > 0;
}

static bool all_are_welcome(fake *f)
{
    return f->site[0].welcome && f->site[1].welcome && f->site[2].welcome;
}

static char *unaware(fake *f)
{
    roster *r = fake_roster(f);
    fed_rotation rotation;
    check(renewal_pending(&rotation, &f->fed));
    char *text = renewal_unaware(r, &rotation);
    roster_close(&r);
    return text;
}

static void check_unaware(fake *f, const char *expected)
{
    char *text = unaware(f);
    check_str(text, expected);
    free(text);
}

/* As the program does between two listenings. */
static void take(fake *f)
{
    fl_err err = FL_ERR_INIT;
    fake_kill(f);
    check_ok(federation_lock(&f->fed, 0, &err), err);
    check_ok(renewal_take(&f->fed, &err), err);
    close(f->fed.lock);
    f->fed.lock = -1;
}

typedef struct {
    fed_verify_key key;  // as the record has it so far
    int n;
} reading;

static fl_status follow_line(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    reading *r = ctx;
    fed_verify_key key;
    if (strcmp(fl_json_get_string(e->json, "what", ""), "coordinator") != 0) {
        return FL_OK;
    }
    fl_status st = fl_unhex(&key, sizeof key, fl_json_get_string(e->json, "sign_key", ""), err);
    check(r->n == 0 ||
          fed_rotations_lead(json_object_get(e->json, "rotations"), &r->key, &key));
    r->key = key;
    r->n++;
    return st;
}

static void a_run_goes_on_with_the_new_keys_when_every_site_knows_them(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 70000, "20s", "");
    char *expected = undisturbed(3, yaml);

    fake *f = in_second_round(yaml, 0);
    fed_verify_key before = fed_identity_verify(f->fed.identity);
    fed_rotation rotation;
    f->site[1].asleep = true;
    check_ok(renewal_begin(&rotation, &f->fed, &err), err);
    check_fails(renewal_begin(&rotation, &f->fed, &err), FL_ECONFLICT);
    check(fake_until(f, two_know, &err));
    check_waits(f);
    check_unaware(f, "site-b");
    fake_kill(f);  // what the two said is remembered
    check_unaware(f, "site-b");
    f->site[1].asleep = false;
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, wants_new_keys, &err));
    check(f->site[1].n_told > 0);
    take(f);
    fed_verify_key after = fed_identity_verify(f->fed.identity);
    check(memcmp(&before, &after, sizeof after) != 0);
    check_bytes(&after, &rotation.sign, sizeof after);
    check(!renewal_pending(&rotation, &f->fed));
    check_ok(fake_start(f, true, &err), err);
    plays_to(f, expected);
    reading r = {.n = 0};
    fed_audit_head end;
    char *path = fake_run_path(f, "audit.jsonl");
    check_ok(fed_audit_walk(&end, path, follow_line, &r, &err), err);
    check_int(r.n, 2);
    check_bytes(&r.key, &after, sizeof after);
    free(path);
    free(expected);
    free(yaml);
    fake_free(&f);
}

static void invited_sites_are_waited_for_and_removed_ones_are_not(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(2, 2, "{name: fedavg}", 10, "20s", "");
    fake *f = fake_new(3, yaml);
    fed_rotation rotation;
    check_ok(fake_start(f, false, &err), err);
    check(fake_until(f, all_are_welcome, &err));
    fake_invite(f, "site-d", 1, false)->asleep = true;
    check_ok(renewal_begin(&rotation, &f->fed, &err), err);
    check(fake_until(f, two_know, &err));
    check_waits(f);
    check_unaware(f, "site-d (invited)");
    roster *r = fake_roster(f);
    check(!renewal_is_due(&f->fed, r, &rotation));
    check_ok(roster_remove(r, "site-d", &err), err);
    check(renewal_is_due(&f->fed, r, &rotation));
    roster_close(&r);
    check(fake_until(f, wants_new_keys, &err));
    fake_free(&f);
    free(yaml);
}

static void a_person_in_a_hurry_waits_for_nobody(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(2, 2, "{name: fedavg}", 10, "20s", "");
    fake *f = fake_new(3, yaml);
    fed_rotation rotation;
    check_ok(fake_start(f, false, &err), err);
    check(fake_until(f, all_are_welcome, &err));
    f->site[1].asleep = true;
    check_ok(renewal_begin(&rotation, &f->fed, &err), err);
    check_ok(renewal_hurry(&f->fed, &err), err);
    check(fake_until(f, wants_new_keys, &err));
    take(f);
    fed_verify_key after = fed_identity_verify(f->fed.identity);
    check_bytes(&after, &rotation.sign, sizeof after);
    fake_free(&f);
    free(yaml);
}

static bool b_is_warned(fake *f)
{
    return strstr(f->site[1].refused, "too old to learn the new ones: upgrade it") != NULL;
}

static bool b_knows(fake *f)
{
    return f->site[1].n_told > 0;
}

/* Protocol 2 has no Rotate: words, and the same rounds as ever, until somebody upgrades it. */
static void a_client_too_old_to_learn_them_is_told_so_in_words_and_waited_for(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 70000, "20s", "");
    char *expected = undisturbed(3, yaml);
    fake *f = in_second_round(yaml, 2);
    f->site[2].idle_beats = true;  // the round waits
    fed_rotation rotation;
    check_ok(renewal_begin(&rotation, &f->fed, &err), err);
    check(fake_until(f, two_know, &err));
    check(fake_until(f, b_is_warned, &err));
    check_waits(f);
    check_int(f->site[1].n_told, 0);  // a Rotate it could not read
    check(f->site[1].welcome);        // it goes on
    check_unaware(f, "site-b (its client is too old: upgrade it)");
    fake_kill(f);  // what it speaks is remembered
    check_unaware(f, "site-b (its client is too old: upgrade it)");
    f->site[1].refused[0] = '\0';
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, b_is_warned, &err));  // on each connection

    f->site[1].version = 0;  // upgraded
    fake_site_kill(&f->site[1]);
    check(fake_until(f, b_knows, &err));
    check(fake_until(f, wants_new_keys, &err));
    take(f);
    f->site[2].idle_beats = false;
    check_ok(fake_start(f, true, &err), err);
    plays_to(f, expected);
    free(expected);
    free(yaml);
    fake_free(&f);
}

/* A person did not wait: it learns from its own handshake what the log had said. */
static void a_client_too_old_for_them_gets_through_no_more_once_they_are_taken(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(2, 2, "{name: fedavg}", 10, "20s", "");
    fake *f = fake_new(3, yaml);
    f->site[1].version = 2;
    check_ok(fake_start(f, false, &err), err);
    check(fake_until(f, all_are_welcome, &err));
    fed_public_key before = fed_identity_public(f->fed.identity);
    fed_rotation rotation;
    check_ok(renewal_begin(&rotation, &f->fed, &err), err);
    check(fake_until(f, b_is_warned, &err));
    check_ok(renewal_hurry(&f->fed, &err), err);
    check(fake_until(f, wants_new_keys, &err));
    take(f);
    check_ok(fake_start(f, false, &err), err);
    fed_link *link = NULL;
    check_ok(fed_connect(&link, serve_address(f->serve), &before, f->site[1].id, &err), err);
    for (int i = 0; i < 50; i++) {
        bool done;
        check(!fed_link_up(link));
        check_ok(fake_step(f, &done, &err), err);
    }
    check_has(fed_link_state(link), "failed");
    fed_link_close(&link);
    fake_free(&f);
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_goes_on_with_the_new_keys_when_every_site_knows_them),
        cmocka_unit_test(invited_sites_are_waited_for_and_removed_ones_are_not),
        cmocka_unit_test(a_person_in_a_hurry_waits_for_nobody),
        cmocka_unit_test(a_client_too_old_to_learn_them_is_told_so_in_words_and_waited_for),
        cmocka_unit_test(a_client_too_old_for_them_gets_through_no_more_once_they_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
