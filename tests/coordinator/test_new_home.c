/*
 * test_new_home.c - a hospital's machine is lost in mid-run, and its site goes on with a new home
 *
 * The site is removed, invited anew and enrols with other keys.  What it joined the job with were
 * the old home's data and policy, so the new one is asked again before it takes part.
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include "base/json.h"
#include "base/log.h"
#include "coordinator/tools.h"
#include "fed/audit.h"

enum { OLD = 1, NEW = 3 };  // site-b's homes, among three sites

// ------------------------------------------------------------------ what happened

static bool b_alone_holds_up_the_second_round(fake *f)
{
    f->site[OLD].idle_beats = is_training_second(f);
    return is_training_second(f) && round_count(machine_of(f), ROUND_IN) == 2;
}

/* As two commands of a person, whether the coordinator runs or not. */
static fake_site *lose_home(fake *f)
{
    f->site[OLD].asleep = true;
    fake_remove(f, "site-b");
    return fake_invite(f, "site-b", 1, false);
}

static bool is_training_third(fake *f)
{
    return is_training(f) && round_number(machine_of(f)) == 3;
}

static bool new_home_waits(fake *f)
{
    f->site[0].idle_beats = is_training_third(f);  // holds that round up
    return round_at(machine_of(f), 1)->check == ROUND_CHECK_PENDING;
}

static bool new_home_has_joined(fake *f)
{
    return round_at(machine_of(f), 1)->check == ROUND_CHECK_JOINED;
}

static bool b_does_not_fit(fake *f)
{
    return round_at(machine_of(f), 1)->check == ROUND_CHECK_MISFIT;
}

static bool b_is_asked(fake *f)
{
    return round_at(machine_of(f), 1)->check == ROUND_CHECK_ASKED;
}

static bool b_alone_waits_for_the_model(fake *f)
{
    f->site[OLD].idle_beats = round_now(machine_of(f)) == ROUND_HANDING;
    return f->site[OLD].idle_beats && round_count(machine_of(f), ROUND_IN) == 2;
}

/* "what status-or-kind round reason; ..." of the lines about site-b. */
static fl_status tell_b(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    (void)err;
    fl_buf *said = ctx;
    const json_t *j = e->json;
    if (strcmp(fl_json_get_string(j, "site", ""), "site-b") == 0) {
        fl_buf_printf(said, "%s %s%s", fl_json_get_string(j, "what", ""),
                      fl_json_get_string(j, "status", ""), fl_json_get_string(j, "kind", ""));
        if (json_object_get(j, "round") != NULL) {
            fl_buf_printf(said, " %lld", (long long)fl_json_get_int(j, "round", 0));
        }
        fl_buf_printf(said, "%s%s\n", json_object_get(j, "reason") != NULL ? ": " : "",
                      fl_json_get_string(j, "reason", ""));
    }
    return FL_OK;
}

/* The record of the run as `coordinator verify` sees it, and its lines about site-b; caller's. */
static char *verified(fake *f)
{
    fl_err err = FL_ERR_INIT;
    fl_buf said = FL_BUF_INIT;
    fed_audit_head end;
    char *dir = fake_run_path(f, ""), *path = fake_run_path(f, "audit.jsonl");
    char *argv[] = {(char *)"verify", dir, NULL};
    check_ok(coordinator_verify(2, argv, &err), err);
    check_ok(fed_audit_walk(&end, path, tell_b, &said, &err), err);
    free(path);
    free(dir);
    return said.data;
}

static const json_t *entry_of(const json_t *report, const char *site)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(report, "sites"), i, item) {
        if (strcmp(fl_json_get_string(item, "name", ""), site) == 0) {
            return item;
        }
    }
    check_fail("%s is not in the report", site);
    return NULL;
}

// --------------------------------------------------------------------------- tests

static void a_new_home_is_asked_about_the_job_as_any_site_is(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 5, "30s", "");
    check(fake_until(f, b_alone_holds_up_the_second_round, &err));
    fake_site *anew = lose_home(f);
    anew->pending = true;  // a person there must look at the job
    check(fake_until(f, new_home_waits, &err));
    check(fake_until(f, is_training_third, &err));  // nobody waits for that
    check_int(anew->order.key.kind, FED_CHECK);
    anew->pending = false;
    check(fake_until(f, new_home_has_joined, &err));
    check_int(round_at(machine_of(f), 1)->answer, ROUND_UNASKED);
    f->site[0].idle_beats = false;
    check_ok(fake_run(f, &err), err);

    char *said = verified(f);
    check_str(said, "site enrolled\n"
                    "contribution check 0\n"
                    "contribution train 1\n"
                    "contribution score 1\n"
                    "site removed\n"
                    "site invited\n"
                    "absent train 2: removed from the federation\n"
                    "asked check 0: its home is new and has not joined yet\n"
                    "site enrolled\n"
                    "pending check 0: waits for approval\n"
                    "contribution check 0\n"
                    "contribution score 3\n"
                    "contribution train 4\n"
                    "contribution score 4\n"
                    "contribution train 5\n"
                    "contribution score 5\n"
                    "contribution score 2147483653\n"
                    "contribution test 5\n"
                    "contribution done 5\n");
    json_t *report = fake_report(f);
    check(absence(report, 1, "site-b") == NULL);
    check_str(absence(report, 2, "site-b"), "removed from the federation");
    check_str(absence(report, 3, "site-b"), "its new home had not joined yet");
    check(absence(report, 4, "site-b") == NULL);
    const json_t *b = entry_of(report, "site-b");
    check_int(fl_json_get_int(b, "rounds_joined", 0), 3);
    check_int(fl_json_get_int(b, "n_train", 0), 193);
    const json_t *homes = json_object_get(b, "earlier_homes");
    check_int(json_array_size(homes), 1);
    check_int(fl_json_get_int(json_array_get(homes, 0), "rounds_joined", 0), 1);
    check_int(fl_json_get_int(json_array_get(homes, 0), "last_round", 0), 1);
    check_int(fl_json_get_int(json_array_get(homes, 0), "n_train", 0), 131);
    check(json_object_get(entry_of(report, "site-a"), "earlier_homes") == NULL);
    json_decref(report);
    free(said);
    fake_free(&f);
}

/* Plays a job whose second round needs all three, and in which site-b's home is lost in that round,
 * while the coordinator runs or is down; k: kills everywhere.  The model's sha256, caller's. */
static char *played_with_a_loss(killer *k, bool is_down)
{
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 5, "30s", "");
    fake *f = fake_new(3, yaml);
    f->probe = k != NULL ? kill_once_everywhere : NULL;
    f->probe_ctx = k;
    f->one_at_a_time = k != NULL;
    bool done = false;
    int64_t until = fl_now_ms() + 60000;
    check_ok(fake_start(f, true, &err), err);
    while (!done) {
        if (f->n_sites == NEW && b_alone_holds_up_the_second_round(f)) {
            if (is_down) {
                fake_kill(f);
            }
            lose_home(f);
            if (is_down) {
                check_ok(fake_start(f, true, &err), err);
            } else if (k != NULL) {
                k->n = 0;  // and again at what is seen already: there the news is stored
            }
        }
        fl_status st = fake_step(f, &done, &err);
        if (st == FL_ESTOPPED) {
            fake_kill(f);
            check_ok(fake_start(f, true, &err), err);
        } else {
            check_ok(st, err);
        }
        check(fl_now_ms() < until);
    }
    char *said = verified(f);
    const char *asked = strstr(said, "asked check 0: its home is new and has not joined yet\n");
    check(asked != NULL && strstr(asked + 1, "asked") == NULL);
    check_has(asked, "contribution check 0\n"
                     "contribution train 2\n"
                     "contribution score 2\n"
                     "contribution train 3\n");
    json_t *report = fake_report(f);
    for (size_t round = 1; round <= 3; round++) {
        check(absence(report, round, "site-b") == NULL);
    }
    check_int(fl_json_get_int(entry_of(report, "site-b"), "rounds_joined", 0), 3);
    const json_t *homes = json_object_get(entry_of(report, "site-b"), "earlier_homes");
    check_int(json_array_size(homes), 1);
    check_int(fl_json_get_int(json_array_get(homes, 0), "rounds_joined", 0), 1);
    json_decref(report);
    char *sha256 = played_sha256(f);
    fake_free(&f);
    free(said);
    free(yaml);
    return sha256;
}

static void
killed_at_every_transition_the_new_home_is_asked_once_and_the_bits_are_the_same(void **state)
{
    (void)state;
    killer k = {.n = 0};
    char *expected = played_with_a_loss(NULL, false), *killed = played_with_a_loss(&k, false),
         *down = played_with_a_loss(NULL, true);
    check_str(killed, expected);
    check_str(down, expected);
    check(k.n >= 40);
    free(expected);
    free(killed);
    free(down);
}

/* An invitation that nobody uses is waited for in no round. */
static void a_home_that_never_comes_is_in_no_cohort(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 4, "30m", "");  // whose patience this test does not have
    check(fake_until(f, b_alone_holds_up_the_second_round, &err));
    lose_home(f)->asleep = true;
    check_ok(fake_run(f, &err), err);
    char *said = verified(f);
    check_has(said, "site invited\n"
                    "absent train 2: removed from the federation\n"
                    "asked check 0: its home is new and has not joined yet\n"
                    "absent check 0: did not join until the end\n");
    json_t *report = fake_report(f);
    check_str(absence(report, 3, "site-b"), "its home is new and has not joined yet");
    check_str(absence_in(json_object_get(report, "absent"), "site-b"),
              "its home is new and has not joined yet");
    json_decref(report);
    free(said);
    fake_free(&f);
}

/* Nor does what the lost home had refused, or did not fit, end the job for the new one. */
static void an_answer_that_is_no_joining_ends_with_its_home_too(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(2, 2, "{name: fedavg}", 6, "30s", "");
    fake *f = fake_new(3, yaml);
    f->site[0].asleep = true;  // the others wait for it
    f->site[OLD].misfit = true;
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, b_does_not_fit, &err));
    lose_home(f)->asleep = true;
    check(fake_until(f, b_is_asked, &err));
    f->site[0].asleep = f->site[NEW].asleep = false;
    check_ok(fake_run(f, &err), err);
    char *said = verified(f);
    check_has(said, "misfit check 0: classes: the job has normal, opacity; this data set has "
                    "normal, nodule\n"
                    "site removed\n"
                    "site invited\n"
                    "asked check 0: its home is new and has not joined yet\n"
                    "site enrolled\n"
                    "contribution check 0\n"
                    "contribution train 1\n");
    json_t *report = fake_report(f);
    check(json_object_get(entry_of(report, "site-b"), "earlier_homes") == NULL);  // none had joined
    json_decref(report);
    free(said);
    free(yaml);
    fake_free(&f);
}

static void keys_that_rotate_are_of_the_same_home(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 3, 2, "30s", "");
    check(fake_until(f, is_training_second, &err));
    fake_rotate(&f->site[OLD]);
    check(fake_until(f, b_has_rotated, &err));
    fake_kill(f);
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    char *said = verified(f);
    check(strstr(said, "asked") == NULL);
    check(strstr(said, "absent") == NULL);
    free(said);
    fake_free(&f);
}

/* What is over cannot be asked again: the new home is handed the model that the old one helped to
 * make. */
static void a_home_that_is_new_when_the_report_is_written_gets_the_model(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 1, "30s", "");
    check(fake_until(f, b_alone_waits_for_the_model, &err));
    lose_home(f);
    check_ok(fake_run(f, &err), err);
    char *said = verified(f);
    check(strstr(said, "asked") == NULL);
    check_has(said, "site enrolled\ncontribution done 1\n");
    free(said);
    fake_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_home_is_asked_about_the_job_as_any_site_is),
        cmocka_unit_test(
            killed_at_every_transition_the_new_home_is_asked_once_and_the_bits_are_the_same),
        cmocka_unit_test(a_home_that_never_comes_is_in_no_cohort),
        cmocka_unit_test(an_answer_that_is_no_joining_ends_with_its_home_too),
        cmocka_unit_test(keys_that_rotate_are_of_the_same_home),
        cmocka_unit_test(a_home_that_is_new_when_the_report_is_written_gets_the_model),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
