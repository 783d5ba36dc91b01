/*
 * test_rotate.c - sites that change their keys while a run goes on
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include "base/json.h"
#include "base/log.h"
#include "coordinator/roster.h"
#include "fed/audit.h"
#include "report/report.h"

static bool is_evaluating(fake *f)
{
    return round_now(machine_of(f)) == ROUND_EVALUATING;
}

static bool b_is_refused(fake *f)
{
    return f->site[1].not_rotated[0] != '\0';
}

/* What the roster has of site-b. */
static roster_site b_of(fake *f)
{
    roster *r = fake_roster(f);
    roster_site b = *roster_at(r, (size_t)roster_find(r, "site-b"));
    roster_close(&r);
    return b;
}

typedef struct {
    fed_verify_key key;  // of site-b, as the record has it so far
    int n_keys, n_contributions;
} reading;

/* Every contribution bears the key of its time, and every key is under the one before. */
static fl_status check_line(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    reading *r = ctx;
    const char *what = fl_json_get_string(e->json, "what", "");
    fed_verify_key key;
    if (strcmp(fl_json_get_string(e->json, "site", ""), "site-b") != 0) {
        return FL_OK;
    }
    if (strcmp(what, "site") == 0 &&
        fl_unhex(&key, sizeof key, fl_json_get_string(e->json, "sign_key", ""), NULL) == FL_OK) {
        check(r->n_keys == 0 ||
              fed_rotations_lead(json_object_get(e->json, "rotations"), &r->key, &key));
        r->key = key;
        r->n_keys++;
    } else if (strcmp(what, "contribution") == 0) {
        fed_offer offer;
        r->n_contributions++;
        return fed_audit_offer(&offer, e->json, &r->key, err);
    }
    return FL_OK;
}

static void check_record(fake *f, int n_keys)
{
    fl_err err = FL_ERR_INIT;
    reading r = {.n_keys = 0};
    fed_audit_head end;
    char *path = fake_run_path(f, "audit.jsonl");
    check_ok(fed_audit_walk(&end, path, check_line, &r, &err), err);
    check_int(r.n_keys, n_keys);
    check(r.n_contributions >= 6);
    free(path);
}

static char *sha256_of(fake *f)
{
    json_t *report = fake_report(f);
    char *sha256 = fl_xstrdup(model_sha256(report));
    size_t i;
    const json_t *round;
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        check_int(json_array_size(json_object_get(round, "participants")), 3);
    }
    json_decref(report);
    return sha256;
}

static void keys_change_between_rounds_and_in_mid_round(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 70000, "20s", "");
    char *expected = undisturbed(3, yaml);
    bool (*const when[])(fake *) = {is_evaluating, is_training_second};
    for (size_t i = 0; i < 2; i++) {
        fake *f = fake_new(3, yaml);
        check_ok(fake_start(f, true, &err), err);
        check(fake_until(f, when[i], &err));
        fed_verify_key before = fed_identity_verify(f->site[1].id);
        fake_rotate(&f->site[1]);
        check(fake_until(f, b_has_rotated, &err));
        fed_verify_key after = fed_identity_verify(f->site[1].id);
        roster_site b = b_of(f);
        check(memcmp(&before, &after, sizeof after) != 0);
        check_bytes(&b.sign, &after, sizeof after);
        check(!b.knows_old_key);  // it has said Hello with the new one
        check_ok(fake_run(f, &err), err);
        char *found = sha256_of(f);
        check_str(found, expected);
        check_record(f, 2);
        fake_free(&f);
        free(found);
    }
    free(expected);
    free(yaml);
}

static bool b_is_known_anew(fake *f)
{
    return b_of(f).knows_old_key;
}

/* Its answer lost, and everybody killed: the old key is still good for asking again. */
static void a_lost_answer_locks_nobody_out(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 9, "20s", "");
    char *expected = undisturbed(3, yaml);
    fake *f = fake_new(3, yaml);
    fake_site *b = &f->site[1];
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_training_second, &err));
    fake_rotate(b);
    b->deaf_to_rotated = true;
    check(fake_until(f, b_is_known_anew, &err));
    fake_site_kill(b);
    fake_kill(f);
    check_ok(fake_start(f, true, &err), err);
    bool done;
    for (int i = 0; i < 50; i++) {  // with the old key, whose Hello counts for nothing
        check_ok(fake_step(f, &done, &err), err);
    }
    check(!b->welcome);
    check(b_is_known_anew(f));
    b->deaf_to_rotated = false;
    check(fake_until(f, b_has_rotated, &err));
    check(!b_is_known_anew(f));
    check_ok(fake_run(f, &err), err);
    char *found = sha256_of(f);
    check_str(found, expected);
    check_record(f, 2);
    fake_free(&f);
    free(found);
    free(expected);
    free(yaml);
}

static void an_old_rotation_and_one_of_others_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 9, "20s", "");
    fake *f = fake_new(3, yaml);
    fake_site *b = &f->site[1];
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_training_second, &err));
    f->site[0].idle_beats = true;  // the round waits
    fake_rotate(b);
    fed_rotation first = b->rotation;
    check(fake_until(f, b_has_rotated, &err));
    fake_rotate(b);
    b->n_rotated = 0;
    check(fake_until(f, b_has_rotated, &err));

    struct {
        fed_rotation rotation;
        const char *why;
    } bad[4];
    bad[0].rotation = first;
    bad[0].why = "not from the keys that site-b has now";
    fake_rotate(b);
    bad[1].rotation = b->rotation;
    bad[1].rotation.old_signature.bytes[5] ^= 1;
    bad[1].why = "does not bear the signatures of the old and the new key";
    bad[2].rotation = b->rotation;
    bad[2].rotation.curve.bytes[5] ^= 1;
    bad[2].why = bad[1].why;
    fed_site_id other = {.text = "site-a"};
    fed_identity *fresh = fed_identity_new();
    fed_rotation_make(&bad[3].rotation, &other, b->id, fresh);
    bad[3].why = "in the name of site-a";
    fed_identity_destroy(&fresh);
    fed_identity_destroy(&b->next);
    for (size_t i = 0; i < 4; i++) {
        b->next = fed_identity_new();
        b->rotation = bad[i].rotation;
        b->not_rotated[0] = '\0';
        check(fake_until(f, b_is_refused, &err));
        check_has(b->not_rotated, bad[i].why);
    }
    roster_site now = b_of(f);
    fed_verify_key own = fed_identity_verify(b->id);
    check_bytes(&now.sign, &own, sizeof own);
    f->site[0].idle_beats = false;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    size_t i, n = 0;
    const json_t *refusal;
    json_array_foreach(json_object_get(json_object_get(report, "security"), "refusals"), i,
                       refusal) {
        n += strcmp(fl_json_get_string(refusal, "what", ""), "rotation") == 0;
    }
    check_int(n, 3);  // different reasons
    json_decref(report);
    check_record(f, 3);
    fake_free(&f);
    free(yaml);
}

static void a_removed_site_cannot_change_its_keys(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    bool done;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, "20s", "");
    fake *f = fake_new(3, yaml);
    fake_site *b = &f->site[1];
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_training_second, &err));
    roster *r = fake_roster(f);
    check_ok(roster_remove(r, "site-b", &err), err);
    fake_rotate(b);
    size_t site = (size_t)roster_find(r, "site-b");
    check_fails(roster_rotate(r, site, &b->rotation, fl_wall_ms(), &err), FL_EDENIED);
    check_has(err.text, "site-b is removed: its keys cannot change");
    roster_close(&r);
    fed_verify_key before = b_of(f).sign;
    for (int i = 0; i < 300; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    check_int(b->n_rotated, 0);
    roster_site after = b_of(f);
    check_bytes(&after.sign, &before, sizeof before);
    check_int(after.status, ROSTER_REMOVED);
    fake_free(&f);
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_change_between_rounds_and_in_mid_round),
        cmocka_unit_test(a_lost_answer_locks_nobody_out),
        cmocka_unit_test(an_old_rotation_and_one_of_others_are_refused),
        cmocka_unit_test(a_removed_site_cannot_change_its_keys),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
