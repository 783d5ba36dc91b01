/*
 * test_strangers.c - who is not invited is refused and recorded, and learns nothing
 *
 * One real federation (play.h) plays while strangers try to get in (strangers.h), and the
 * wire is listened to (wire.h).  All of it happens once, before the tests; the
 * tests look at what came of it.
 */
#include "base/json.h"
#include "check.h"
#include "fed/fed.h"
#include "fed/transport.h"
#include "play.h"
#include "strangers.h"
#include "wire.h"

static int play_once(void **state)
{
    (void)state;
    fed_init();
    play_found();
    play_start_coordinator();
    for (int i = 0; i < 2; i++) {
        play_start_client(&play.client[i], play_sites[i]);
        check(child_says(&play.client[i], "session.enrolled", PLAY_SETUP_MS));
    }
    // The third hospital is late: until it is there, the run cannot be over.
    char used[64];
    snprintf(used, sizeof used, "%s.invitation", play_sites[0]);
    strangers_try_one_time_key(used);
    strangers_try_junk();
    strangers_try_plain_socket();
    fed_identity *other = fed_identity_new();
    fed_public_key astray = fed_identity_public(other);
    fed_identity_destroy(&other);
    strangers_try_keys(&play.coordinator_key, "not on the list", told.unlisted_state,
                       &told.unlisted_heard);
    strangers_try_keys(&astray, "failed", told.astray_state, &told.astray_heard);
    strangers_try_clients();
    check(!child_ended(&play.coordinator));
    strangers_keep_knocking();
    play_start_client(&play.client[2], play_sites[2]);
    play_wait();
    for (int i = 0; i < PLAY_SITES; i++) {
        child_wait(&play.client[i], PLAY_STRANGER_MS);
    }
    strangers_stop();
    proxy_stop(play.proxy);
    return 0;
}

static int clear_play(void **state)
{
    (void)state;
    strangers_clear();
    play_clear();
    return 0;
}

// ------------------------------------------------------------ what came of it

static void the_run_goes_on_with_its_three_hospitals(void **state)
{
    (void)state;
    char *said = child_said(&play.coordinator);
    if (!child_ended(&play.coordinator) || play.coordinator.exit_code != 0) {
        check_fail("the coordinator %s: %s",
                   child_ended(&play.coordinator) ? "failed" : "did not end", said);
    }
    free(said);
    for (int i = 0; i < PLAY_SITES; i++) {
        check(child_ended(&play.client[i]));
        check_int(play.client[i].exit_code, 0);
    }
    json_t *report = play_report(), *rounds = json_object_get(report, "rounds"), *round;
    size_t i;
    check_int(json_array_size(rounds), PLAY_ROUNDS);
    json_array_foreach(rounds, i, round)
    {
        check_int(json_array_size(json_object_get(round, "participants")), PLAY_SITES);
        check_int(json_array_size(json_object_get(round, "absent")), 0);
    }
    json_decref(report);
}

static void who_has_no_key_gets_no_word(void **state)
{
    (void)state;
    check(!told.plain_heard);
    check(!told.unlisted_heard);
    check(!told.astray_heard);
    // A raw connection sees the greeting that any ZMTP server sends, no more.
    check(told.junk_bytes <= 64);
    check_has(told.unlisted_state, "refused by the coordinator: key is not on the list");
    check_has(told.astray_state, "failed");
}

static void clients_that_are_not_invited_are_told_why(void **state)
{
    (void)state;
    check_int(told.thief_code, 1);
    check_has(told.thief_said, "this invitation was used already, with other keys");
    check_int(told.late_code, 1);
    check_has(told.late_said, "this invitation expired on 20");
    check_has(told.forger_said, "key is not on the list");
    check(!child_ended(&told.forger));  // it goes on trying: a person may confirm it yet
    check_int(told.bare_code, 1);
    check_has(told.bare_said, "curve.key");
    // Neither of them has anything of the run.
    static const char *const homes[] = {"thief/runs", "late/runs", "bare/runs"};
    for (int i = 0; i < 3; i++) {
        char *runs = play_path(homes[i]), **names = NULL;
        size_t n = 0;
        if (fl_is_dir(runs)) {
            fl_list_dir(&names, &n, runs, NULL);
        }
        check_int(n, 0);
        fl_names_free(&names, n);
        free(runs);
    }
}

static void a_one_time_key_may_only_enrol(void **state)
{
    (void)state;
    check_str(told.one_time_answer[0], "a one-time key may only enrol");
    for (int i = 1; i < 3; i++) {  // who goes on is not answered every time
        if (told.one_time_answer[i][0] != '\0') {
            check_str(told.one_time_answer[i], "a one-time key may only enrol");
        }
    }
}

/* How often the report says so; what and reason: how they begin. */
static int64_t refusals(const json_t *report, const char *what, const char *reason,
                        const char *address)
{
    const json_t *list = json_object_get(json_object_get(report, "security"), "refusals"), *r;
    int64_t n = 0;
    size_t i;
    json_array_foreach(list, i, r)
    {
        check(fl_json_get_string(r, "time", NULL) != NULL);
        if (strcmp(fl_json_get_string(r, "what", ""), what) == 0 &&
            strncmp(fl_json_get_string(r, "reason", ""), reason, strlen(reason)) == 0 &&
            strcmp(fl_json_get_string(r, "address", ""), address) == 0) {
            n += fl_json_get_int(r, "count", 0);
        }
    }
    return n;
}

static void every_refusal_is_in_the_report(void **state)
{
    (void)state;
    static const struct {
        const char *what, *reason, *address;
        int64_t least;
    } expected[] = {
        {"connection", "no CURVE handshake", "127.0.0.1", 3},  // junk, HTTP, plain ZMQ
        {"connection", "malformed handshake", "127.0.0.1", 1},
        {"connection", "handshake for another server's key", "127.0.0.1", 1},
        {"connection", "key is not on the list", "127.0.0.1", 2},
        {"enrol", "this invitation was used already, with other keys", "invitation of nordklinik",
         1},
        {"enrol", "this invitation expired on ", "invitation of lateklinik", 1},
        {"message", "a one-time key may only enrol", "invitation", 3},
    };
    json_t *report = play_report();
    char *text = fl_json_text(json_object_get(report, "security"));
    int64_t n_addresses = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int64_t n = refusals(report, expected[i].what, expected[i].reason, expected[i].address);
        if (strcmp(expected[i].what, "connection") == 0) {
            n_addresses += n;
            // Where the machine is busy a connection is over before its address can be asked for.
            n += refusals(report, expected[i].what, expected[i].reason, "");
        }
        if (n < expected[i].least) {
            check_fail("%s: %s: expected at least %lld, found %lld in %s", expected[i].what,
                       expected[i].reason, (long long)expected[i].least, (long long)n, text);
        }
    }
    check(n_addresses > 0);
    free(text);
    json_decref(report);
}

static void the_list_of_sites_is_as_it_was(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *fed = play_path("fed"), *log = play_path("sites.json");
    json_t *sites = NULL, *site;
    size_t i;
    child_do(log, "coordinator", "sites", fed, "--json", NULL);
    check_ok(fl_json_read(&sites, log, 1 << 20, &err), err);
    check_int(json_array_size(sites), PLAY_SITES);
    json_array_foreach(sites, i, site)
    {
        check_str(fl_json_get_string(site, "status", ""), "enrolled");
        bool known = false;
        for (int k = 0; k < PLAY_SITES; k++) {
            known = known || strcmp(fl_json_get_string(site, "name", ""), play_sites[k]) == 0;
        }
        check(known);
    }
    json_decref(sites);
    free(fed);
    free(log);
}

// ---------------------------------------------------------------- on the wire

static void everything_passed_the_proxy(void **state)
{
    (void)state;
    size_t up = 0, down = 0;
    for (size_t i = 0; i < proxy_n_streams(play.proxy); i++) {
        proxy_stream s = proxy_at(play.proxy, i);
        check(s.whole);
        *(s.to_server ? &up : &down) += s.n;
    }
    // At least a model each way for every site and round.
    json_t *report = play_report();
    size_t model = 4 * (size_t)fl_json_get_int(json_object_get(report, "model"), "parameters", 0);
    check(model > 10000);
    check(up > PLAY_SITES * PLAY_ROUNDS * model);
    check(down > PLAY_SITES * PLAY_ROUNDS * model);
    json_decref(report);
    // The search works: what CURVE says in the clear is found.
    check(wire_n_seen(play.proxy, "\x03\x01"
                 "CURVE\0\0\0",
                 10) >= 2 * PLAY_SITES);
    check(wire_n_seen(play.proxy, "\x05HELLO", 6) >= PLAY_SITES);
    check(wire_n_seen(play.proxy, "\x07WELCOME", 8) >= PLAY_SITES);
}

static void no_name_is_readable(void **state)
{
    (void)state;
    wire_check_text(play.proxy, play_federation);
    wire_check_text(play.proxy, play_job_name);
    for (int i = 0; i < PLAY_SITES; i++) {
        wire_check_text(play.proxy, play_sites[i]);
    }
    static const char *const words[] = {
        "opacity",     "normal",       "scanner", "consilium", "conv.weight", "this invitation",
        "sensitivity", "Content-Type", "DEALER",  "ROUTER",    "Identity",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        wire_check_text(play.proxy, words[i]);
    }
    char *job = fl_xstrdup(play.job);
    for (char *line = strtok(job, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strlen(line) >= 8) {
            wire_check_text(play.proxy, line);
        }
    }
    free(job);
}

static void no_model_is_readable(void **state)
{
    (void)state;
    for (int round = 0; round <= PLAY_ROUNDS; round++) {
        char *path = fl_xasprintf("%s/fed/runs/%s/model/round-%04d.safetensors", play.dir,
                                  play_job_name, round);
        wire_check_file(play.proxy, path);
        free(path);
    }
    char *path = fl_xasprintf("%s/fed/runs/%s/model/final.safetensors", play.dir, play_job_name);
    wire_check_file(play.proxy, path);
    free(path);
}

static void no_update_is_readable(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = play_report();
    size_t model = 4 * (size_t)fl_json_get_int(json_object_get(report, "model"), "parameters", 0);
    json_decref(report);
    char *kept = play_path("kept"), **names = NULL;
    size_t n = 0, n_updates = 0;
    check_ok(fl_list_dir(&names, &n, kept, &err), err);
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(kept, names[i]), *bytes = NULL;
        size_t size = 0;
        check_ok(fl_file_read(&bytes, &size, path, PLAY_MAX_FILE_BYTES, &err), err);
        if (size >= model) {
            n_updates++;
            wire_check_file(play.proxy, path);
        }
        free(bytes);
        free(path);
    }
    check(n_updates >= 1);
    fl_names_free(&names, n);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_run_goes_on_with_its_three_hospitals),
        cmocka_unit_test(who_has_no_key_gets_no_word),
        cmocka_unit_test(clients_that_are_not_invited_are_told_why),
        cmocka_unit_test(a_one_time_key_may_only_enrol),
        cmocka_unit_test(every_refusal_is_in_the_report),
        cmocka_unit_test(the_list_of_sites_is_as_it_was),
        cmocka_unit_test(everything_passed_the_proxy),
        cmocka_unit_test(no_name_is_readable),
        cmocka_unit_test(no_model_is_readable),
        cmocka_unit_test(no_update_is_readable),
    };
    return cmocka_run_group_tests(tests, play_once, clear_play);
}
