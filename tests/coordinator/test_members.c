/*
 * test_members.c - sites that are invited, confirmed and removed while a run goes on
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "fed/audit.h"
#include "fed/rotation.h"

static bool a_greeted_again(fake *f)
{
    return f->site[0].n_connected > 1 && f->site[0].welcome;
}

/* Two programs serve copies of one home; the one that spoke last goes away. */
static void a_site_s_other_connection_speaks_for_it_when_one_is_gone(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "20s", "");
    fake_site *a = &f->site[0];
    check(fake_until(f, is_training, &err));
    check_int(a->n_connected, 1);
    fed_public_key server = fed_identity_public(f->fed.identity);
    fed_link *copy = NULL;
    check_ok(fed_connect(&copy, serve_address(f->serve), &server, a->id, &err), err);
    fed_msg m = {.type = FED_MSG_HELLO};
    snprintf(m.u.hello.software, sizeof m.u.hello.software, "copy");
    fl_buf header = FL_BUF_INIT;
    fed_msg_pack(&m, &header);
    fed_packet packet;
    bool done = false, welcome = false;
    while (!welcome) {
        fed_send(copy, NULL, header.data, header.n, NULL, 0, NULL);
        check_ok(serve_step(f->serve, 5, &done, &err), err);
        welcome = fed_receive(copy, &packet);
    }
    fed_link_close(&copy);
    check(fake_until(f, a_greeted_again, &err));
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check(absence(report, 1, "site-a") == NULL);
    json_decref(report);
    fl_buf_clear(&header);
    fake_free(&f);
}

static void a_site_removed_in_mid_round_is_cut_off_at_once(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "30s", "");
    f->site[1].idle_beats = false;
    check(fake_until(f, is_training, &err));
    f->site[1].idle_beats = true;  // holds the round up
    fake_remove(f, "site-b");  // as `coordinator remove` from another process
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_str(absence(report, 1, "site-b"), "removed from the federation");
    check_str(absence(report, 2, "site-b"), "removed from the federation");
    check_str(absence_in(json_object_get(report, "absent"), "site-b"),
              "removed from the federation");
    check_int(json_array_size(json_object_get(report, "sites")), 2);
    fake_site_step(&f->site[1]);
    check_has(f->site[1].refused, "key is not on the list any more");
    json_decref(report);
    fake_free(&f);
}

static bool two_have_joined(fake *f)
{
    round_machine *m = run_machine(serve_active_run(f->serve));
    size_t joined = 0;
    for (size_t i = 0; i < round_n_sites(m); i++) {
        joined += round_at(m, i)->check == ROUND_CHECK_JOINED;
    }
    return joined == 2;
}

static bool only_b_has_not_scored(fake *f)
{
    const round_machine *m = machine_of(f);
    return round_now(m) == ROUND_EVALUATING && round_count(m, ROUND_IN) == 2 &&
           f->site[1].order.key.kind == FED_SCORE;
}

static bool b_rests_before_its_score(void *ctx, const char *where)
{
    fake *f = ctx;
    f->site[1].idle_beats = f->site[1].idle_beats || strstr(where, "evaluating") != NULL;
    return true;
}

static bool b_is_in(fake *f)
{
    const round_machine *m = machine_of(f);
    return round_now(m) == ROUND_TRAINING && round_at(m, 1)->answer == ROUND_IN;
}

typedef struct {
    int n, n_after;  // contributions of site-b; those after the line that says it is removed
    bool is_removed;
} removal;

static fl_status follow_b(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    (void)err;
    removal *r = ctx;
    const char *what = fl_json_get_string(e->json, "what", "");
    if (strcmp(fl_json_get_string(e->json, "site", ""), "site-b") == 0) {
        r->n += strcmp(what, "contribution") == 0;
        r->n_after += strcmp(what, "contribution") == 0 && r->is_removed;
        r->is_removed = r->is_removed ||
                        strcmp(fl_json_get_string(e->json, "status", ""), "removed") == 0;
    }
    return FL_OK;
}

/* What came in before the coordinator heard of the removal stands before it in the record: verify
 * takes no contribution of a site that is not enrolled. */
static void a_contribution_and_its_sites_removal_in_one_turn_are_recorded_in_this_order(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "30s", "");
    fake_site *b = &f->site[1];
    fake_kill(f);
    f->probe = b_rests_before_its_score;
    f->probe_ctx = f;
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, only_b_has_not_scored, &err));
    fake_remove(f, "site-b");
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);  // it looks once a second
    b->idle_beats = false;
    b->offered_ms = 0;
    fake_site_step(b);
    bool done;
    check_ok(serve_step(f->serve, 1, &done, &err), err);
    check_ok(fake_run(f, &err), err);
    removal r = {.n = 0};
    fed_audit_head end;
    char *path = fake_run_path(f, "audit.jsonl");
    check_ok(fed_audit_walk(&end, path, follow_b, &r, &err), err);
    check(r.is_removed);
    check_int(r.n, 3);  // check, update, score
    check_int(r.n_after, 0);
    free(path);
    fake_free(&f);
}

typedef struct {
    char said[256];      // the statuses of site-b, in order
    fed_verify_key key;  // the one that signs for it so far
    bool has_key;
} membership;

/* A site that has keys gets others by a rotation, or is removed before: as verify wants it. */
static fl_status follow_keys_of_b(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    membership *b = ctx;
    const char *what = fl_json_get_string(e->json, "what", ""),
               *status = fl_json_get_string(e->json, "status", "");
    fed_verify_key key;
    fed_offer offer;
    if (strcmp(fl_json_get_string(e->json, "site", ""), "site-b") != 0) {
        return FL_OK;
    }
    if (strcmp(what, "contribution") == 0) {
        check(b->has_key);
        return fed_audit_offer(&offer, e->json, &b->key, err);
    }
    if (strcmp(what, "site") != 0) {
        return FL_OK;
    }
    bool named = fl_unhex(&key, sizeof key, fl_json_get_string(e->json, "sign_key", ""), NULL) ==
                 FL_OK;
    bool removed = strcmp(status, "removed") == 0;
    if (named && !removed) {
        check(!b->has_key ||
              fed_rotations_lead(json_object_get(e->json, "rotations"), &b->key, &key));
        b->key = key;
    }
    b->has_key = named && !removed;
    size_t n = strlen(b->said);
    snprintf(b->said + n, sizeof b->said - n, "%s%s", n > 0 ? " " : "", status);
    return FL_OK;
}

static bool new_b_was_welcomed(fake *f)
{
    return f->site[f->n_sites - 1].welcome;
}

/* While the coordinator looked elsewhere the site was removed and invited anew, and enrols before
 * anything of it was written down: the record still says that its old keys ended. */
static void keys_that_end_unseen_end_in_the_record_before_others_stand_there(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    for (int rotated = 0; rotated < 2; rotated++) {
        fake *f = started(3, 2, 2, "30s", "");
        check(fake_until(f, is_training, &err));
        f->site[0].idle_beats = true;  // holds the round up
        check(fake_until(f, b_is_in, &err));
        if (rotated == 1) {  // what led from key to key before leads to no other home's
            fake_rotate(&f->site[1]);
            check(fake_until(f, b_has_rotated, &err));
        }
        f->site[1].asleep = true;
        fake_kill(f);
        fake_remove(f, "site-b");
        fake_site *anew = fake_invite(f, "site-b", 1, false);
        check_ok(fake_start(f, true, &err), err);
        bool done;
        fake_site_step(anew);  // its Enrol lies there when the coordinator listens first
        check_ok(serve_step(f->serve, 1, &done, &err), err);
        fake_site_step(anew);
        check(anew->enrolled);
        check(fake_until(f, new_b_was_welcomed, &err));
        f->site[0].idle_beats = false;
        check_ok(fake_run(f, &err), err);
        membership b = {.said = ""};
        fed_audit_head end;
        char *path = fake_run_path(f, "audit.jsonl");
        check_ok(fed_audit_walk(&end, path, follow_keys_of_b, &b, &err), err);
        check_str(b.said, rotated == 1 ? "enrolled enrolled removed enrolled"
                                       : "enrolled removed enrolled");
        free(path);
        fake_free(&f);
    }
}

static void a_site_removed_before_it_answered_is_in_the_report(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "30s", "");
    f->site[1].asleep = true;
    check(fake_until(f, two_have_joined, &err));
    fake_remove(f, "site-b");
    fake_kill(f);
    check_ok(fake_start(f, true, &err), err);  // and a coordinator that never saw it knows of it
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    const char *why = "removed from the federation before it answered";
    check_str(absence(report, 1, "site-b"), why);
    check_str(absence_in(json_object_get(report, "absent"), "site-b"), why);
    json_decref(report);
    fake_free(&f);
}

static bool d_enrolled(fake *f)
{
    return f->site[2].welcome;
}

static void an_invitation_made_while_the_job_runs_is_honoured(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "30s", "");
    f->site[0].idle_beats = true;
    bool done;
    check_ok(fake_step(f, &done, &err), err);
    fake_invite(f, "late", 1, false);
    check(fake_until(f, d_enrolled, &err));
    f->site[0].idle_beats = false;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    json_decref(report);
    fake_free(&f);
}

/* Asks for the job itself. */
static fed_msg fetch_of_job(fake *f)
{
    fed_msg m = {.type = FED_MSG_FETCH};
    m.u.fetch.object = *run_digest(serve_active_run(f->serve));
    m.u.fetch.count = 1;
    return m;
}

static void until_it_is_confirmed_a_site_is_served_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(1, 2, "{name: fedavg}", 6, "30s", "");
    fake *f = fake_new(2, yaml);
    fake_site *s = fake_invite(f, "new", 1, true);
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, hears_wait, &err));
    check_int(round_now(run_machine(serve_active_run(f->serve))),
              ROUND_CHECKING);  // it is waited for
    s->order.key = (fed_order_key){.kind = FED_CHECK,
                                   .job = *run_digest(serve_active_run(f->serve))};
    fed_msg m = fetch_of_job(f);
    fake_say(s, &m, NULL, 0);
    fed_inbox_destroy(&s->inbox);
    s->inbox_object = m.u.fetch.object;
    check_ok(fed_inbox_new(&s->inbox, &s->inbox_object, 1 << 20, &err), err);
    bool done;
    for (int i = 0; i < 50; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    check(!fed_inbox_done(s->inbox));
    roster *r = fake_roster(f);
    check_ok(roster_confirm(r, "new", &err), err);
    roster_close(&r);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    json_decref(report);
    free(yaml);
    fake_free(&f);
}

static void a_quorum_of_more_sites_than_there_are_is_refused_at_the_start(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(1, 4, "{name: fedavg}", 6, "30s", "");
    fake *f = fake_new(3, yaml);
    check_fails(fake_start(f, true, &err), FL_ECONFIG);
    check_has(err.text, "sites.quorum: the job needs 4 sites, 3 are enrolled or invited");
    char *path = fake_run_path(f, "");
    check(!fl_file_exists(path));  // nothing half-written
    free(path);
    fake_free(&f);
    free(yaml);
}

static void a_one_time_key_can_only_enrol(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "20s", "");
    fed_identity *key = fed_identity_one_time(f->site[0].invitation.curve_secret);
    fed_public_key server = fed_identity_public(f->fed.identity);
    fed_link *link = NULL;
    check_ok(fed_connect(&link, serve_address(f->serve), &server, key, &err), err);
    fed_msg m = fetch_of_job(f);
    fl_buf header = FL_BUF_INIT;
    fed_msg_pack(&m, &header);
    fed_packet packet;
    bool done = false, answered = false;
    while (!done) {
        fed_send(link, NULL, header.data, header.n, NULL, 0, NULL);
        check_ok(fake_step(f, &done, &err), err);
        while (fed_receive(link, &packet)) {
            check_ok(fed_msg_unpack(&m, packet.header, packet.n_header, &err), err);
            check_int(m.type, FED_MSG_REFUSED);
            answered = true;
        }
    }
    check(answered);
    json_t *report = fake_report(f);
    check(was_refused(report, "message", "a one-time key may only enrol"));
    json_decref(report);
    fl_buf_clear(&header);
    fed_link_close(&link);
    fed_identity_destroy(&key);
    fake_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_s_other_connection_speaks_for_it_when_one_is_gone),
        cmocka_unit_test(a_site_removed_in_mid_round_is_cut_off_at_once),
        cmocka_unit_test(a_contribution_and_its_sites_removal_in_one_turn_are_recorded_in_this_order),
        cmocka_unit_test(keys_that_end_unseen_end_in_the_record_before_others_stand_there),
        cmocka_unit_test(a_site_removed_before_it_answered_is_in_the_report),
        cmocka_unit_test(an_invitation_made_while_the_job_runs_is_honoured),
        cmocka_unit_test(until_it_is_confirmed_a_site_is_served_nothing),
        cmocka_unit_test(a_quorum_of_more_sites_than_there_are_is_refused_at_the_start),
        cmocka_unit_test(a_one_time_key_can_only_enrol),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
