/*
 * test_serve.c - whole runs over in-process links, undisturbed and disturbed
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "coordinator/transfer.h"
#include "report/report.h"

static void three_sites_bring_a_job_to_its_end(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedadam}", 6, "10s", "");
    fake *f = fake_new(3, yaml);
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    for (size_t i = 0; i < 3; i++) {
        fake_site_step(&f->site[i]);  // hears the last Verdict
    }
    json_t *report = fake_report(f);
    check_ok(report_check(report, &err), err);
    check_int(json_array_size(json_object_get(report, "rounds")), 3);
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    check_int(json_array_size(json_object_get(report, "absent")), 0);
    check_int(fl_json_get_int(json_object_get(report, "select"), "round", 0), 3);
    check_near(fl_json_get_number(json_object_get(report, "threshold"), "value"), 0.15, 0.8);
    check_int(fl_json_get_int(report, "test_evaluations", 0), 1);
    json_t *pooled = json_object_get(json_object_get(report, "pooled"), "global");
    check_near(fl_json_get_number(json_object_get(pooled, "accuracy"), "value"), 32.0 / 40, 1e-9);
    check_int(fl_json_get_int(json_object_get(pooled, "accuracy"), "n", 0), 120);
    check_str(fl_json_get_string(json_object_get(report, "fairness"), "worst_site", ""), "site-a");
    for (size_t i = 0; i < 3; i++) {
        check(f->site[i].done);
    }
    const char *const files[] = {
        "model/final.onnx",  "model/final.safetensors",  "model/round-0003.safetensors",
        "report/index.html", "report/sites/site-b.html", "report/rounds.csv"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = fake_run_path(f, files[i]);
        check(fl_file_exists(path));
        free(path);
    }
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

static void the_same_job_gives_the_same_model_twice(void **state)
{
    (void)state;
    char *yaml = fake_job(3, 3, "{name: fedavgm}", 9, "10s", "");
    char *a = undisturbed(3, yaml), *b = undisturbed(3, yaml);
    check_str(a, b);
    free(a);
    free(b);
    free(yaml);
}

/* Did two of its ten steps. */
static void spoil_steps(fake_site *s, fake_kept *k)
{
    if (s->order.key.kind == FED_TRAIN) {
        fed_offer_set(&k->offer, "steps", 2);
    }
}

static void partial_work_counts_by_its_steps_and_is_in_the_report(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *whole_yaml = fake_job(2, 3, "{name: fedavg}", 9, "10s", ""),
         *yaml = fake_job(2, 3, "{name: fedavg}", 9, "10s, partial: true", "");
    char *whole = undisturbed(3, whole_yaml), *equal = undisturbed(3, yaml);
    check_str(equal, whole);  // of equal work the mean is the plain one
    fake *f = fake_new(3, yaml);
    f->site[1].spoil = spoil_steps;
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_ok(report_check(report, &err), err);
    json_t *steps = json_object_get(json_array_get(json_object_get(report, "rounds"), 1), "steps");
    check_int(fl_json_get_int(steps, "site-a", 0), 10);
    check_int(fl_json_get_int(steps, "site-b", 0), 2);
    check(strcmp(model_sha256(report), whole) != 0);
    json_decref(report);
    fake_free(&f);
    free(whole_yaml);
    free(yaml);
    free(whole);
    free(equal);
}

// -------------------------------------------------------------------- kills

static void run_under_kills(fake *f, fl_err *err)
{
    fl_status st;
    do {
        check_ok(fake_start(f, true, err), *err);
        st = fake_run(f, err);
        if (st == FL_ESTOPPED) {
            fake_kill(f);
        }
    } while (st == FL_ESTOPPED);
    check_ok(st, *err);
}

static void killed_at_every_transition_the_run_ends_with_the_same_bits(void **state)
{
    (void)state;
    const char *const strategies[] = {"{name: fedavg}", "{name: fedyogi}", "{name: median}",
                                      "{name: multi_krum, byzantine: 0, keep: 2}"};
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        fl_err err = FL_ERR_INIT;
        char *yaml = fake_job(2, 3, strategies[i], 5, "10s", "");
        char *expected = undisturbed(3, yaml);
        killer k = {.n = 0};
        fake *f = fake_new(3, yaml);
        f->probe = kill_once_everywhere;
        f->probe_ctx = &k;
        f->one_at_a_time = true;
        run_under_kills(f, &err);
        check(k.n >= 50);  // 13 states and each acceptance, before and after the commit
        json_t *report = fake_report(f);
        check_str(model_sha256(report), expected);
        check_int(json_array_size(json_object_get(report, "sites")), 3);
        json_t *round;
        size_t r;
        json_array_foreach(json_object_get(report, "rounds"), r, round)
        {
            check_int(json_array_size(json_object_get(round, "participants")), 3);
            check_int(json_array_size(json_object_get(round, "absent")), 0);
            check_int(json_array_size(json_object_get(round, "chosen")), i == 3 ? 2 : 0);
        }
        json_decref(report);
        fake_free(&f);
        free(expected);
        free(yaml);
    }
}

/* Models and updates rounded on the way: what rounding left is read back as it was written. */
static void killed_at_every_transition_of_rounded_rounds_the_bits_are_the_same(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedyogi}", 70000, "10s", "pieces: bf16\n");
    char *model[2];
    for (int i = 0; i < 2; i++) {
        killer k = {.n = 0};
        fake *f = fake_new(3, yaml);
        for (size_t s = 0; s < 3; s++) {
            f->site[s].enc = FED_ENC_BF16;
        }
        f->probe = i > 0 ? kill_once_everywhere : NULL;
        f->probe_ctx = &k;
        f->one_at_a_time = i > 0;
        run_under_kills(f, &err);
        check(i == 0 || k.n >= 50);
        json_t *report = fake_report(f);
        model[i] = fl_xstrdup(model_sha256(report));
        json_decref(report);
        fake_free(&f);
    }
    check_str(model[1], model[0]);
    free(model[0]);
    free(model[1]);
    free(yaml);
}

/* Sites killed too: they keep their keys and their outbox. */
static void sites_and_coordinator_killed_at_random_change_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedadam}", 70000, "20s", "");  // two pieces
    char *expected = undisturbed(3, yaml);
    fake *f = fake_new(3, yaml);
    fl_rng rng;
    fl_rng_init(&rng, 3, "kills", "", 0);
    bool done = false;
    int kills = 0;
    check_ok(fake_start(f, true, &err), err);
    int64_t until = fl_now_ms() + 60000;
    while (!done && fl_now_ms() < until) {
        check_ok(fake_step(f, &done, &err), err);
        // A busy machine takes fewer steps: the first ten come soon.
        if (!done && kills < 60 && fl_rng_below(&rng, kills < 10 ? 2 : 4) == 0) {
            kills++;
            size_t who = fl_rng_below(&rng, 4);
            if (who < 3) {
                fake_site_kill(&f->site[who]);
            } else {
                fake_kill(f);
                check_ok(fake_start(f, true, &err), err);
            }
        }
    }
    check(done);
    check(kills >= 10);
    json_t *report = fake_report(f);
    check_str(model_sha256(report), expected);
    json_decref(report);
    fake_free(&f);
    free(expected);
    free(yaml);
}

typedef struct {
    fl_rng rng;
    int lost;
} loser;

static bool lose_some(void *ctx, bool to_server)
{
    (void)to_server;
    loser *l = ctx;
    bool lost = fl_rng_below(&l->rng, 7) == 0;
    l->lost += lost;
    return lost;
}

static void one_message_in_seven_lost_changes_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 70000, "30s", "");
    char *expected = undisturbed(3, yaml);
    fake *f = fake_new(3, yaml);
    loser l = {.lost = 0};
    fl_rng_init(&l.rng, 9, "loss", "", 0);
    f->drop = lose_some;
    f->drop_ctx = &l;
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    check(l.lost > 20);
    json_t *report = fake_report(f);
    check_str(model_sha256(report), expected);
    json_decref(report);
    fake_free(&f);
    free(expected);
    free(yaml);
}

/* Eight sites want 41 pieces each, and the pool has 256. */
static void payloads_of_many_sites_stay_within_the_pool(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *small = fake_job(1, 8, "{name: fedavg}", 640, "60s", "");
    const char *at = strstr(small, "{name: logistic}");
    char *yaml = fl_xasprintf("%.*s{name: mlp, hidden: [4096]}%s", (int)(at - small), small,
                              at + 16);
    fake *f = fake_new(8, yaml);
    check_ok(fake_start(f, true, &err), err);
    bool done = false;
    uint64_t most = 0;
    while (!done) {
        check_ok(fake_step(f, &done, &err), err);
        uint64_t now = serve_under_way(f->serve);
        most = now > most ? now : most;
    }
    check(most > 0);
    check(most <= TRANSFER_POOL_BYTES);
    json_t *report = fake_report(f), *round = json_array_get(json_object_get(report, "rounds"), 0);
    check_int(json_array_size(json_object_get(round, "participants")), 8);
    check(fl_json_get_number(round, "bytes_up") >= 8 * 40.0 * FED_PIECE_BYTES);
    json_decref(report);
    fake_free(&f);
    free(small);
    free(yaml);
}

static void a_run_of_the_same_name_with_another_job_is_a_conflict(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 1, 1, "20s", "");
    fake_kill(f);
    char *yaml = fake_job(2, 1, "{name: fedavg}", 6, "20s", "");
    check_ok(fl_file_write(f->job_path, yaml, strlen(yaml), 0644, &err), err);
    check_fails(fake_start(f, true, &err), FL_ECONFLICT);
    check_has(err.text, "--name");
    char *copy = fake_run_path(f, "job.yaml"), *db = fake_run_path(f, "state.db");
    check(unlink(copy) == 0);  // nor may it take the place of a run that lost its job
    check_fails(fake_start(f, true, &err), FL_ECONFLICT);
    check_has(err.text, "has lost its job.yaml");
    check(!fl_file_exists(copy) && fl_file_exists(db));
    free(db);
    free(copy);
    free(yaml);
    fake_free(&f);
}

static void with_codes_every_site_gets_a_report_of_its_own(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 3, 1, "20s", "names: codes\n");
    check_ok(fake_run(f, &err), err);
    run *r = serve_active_run(f->serve);
    fed_order a, b;
    run_order(r, 0, &a);
    run_order(r, 1, &b);
    check_int(round_count(run_machine(r), ROUND_IN), 3);
    json_t *report = fake_report(f), *own = report_for_site(report, "site-a");
    check_str(fl_json_get_string(report, "names", ""), "codes");
    char *text = fl_json_text(own);
    check(strstr(text, "site-b") == NULL);
    free(text);
    json_decref(own);
    json_decref(report);
    fake_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_sites_bring_a_job_to_its_end),
        cmocka_unit_test(the_same_job_gives_the_same_model_twice),
        cmocka_unit_test(partial_work_counts_by_its_steps_and_is_in_the_report),
        cmocka_unit_test(killed_at_every_transition_the_run_ends_with_the_same_bits),
        cmocka_unit_test(killed_at_every_transition_of_rounded_rounds_the_bits_are_the_same),
        cmocka_unit_test(sites_and_coordinator_killed_at_random_change_nothing),
        cmocka_unit_test(one_message_in_seven_lost_changes_nothing),
        cmocka_unit_test(a_run_of_the_same_name_with_another_job_is_a_conflict),
        cmocka_unit_test(with_codes_every_site_gets_a_report_of_its_own),
        cmocka_unit_test(payloads_of_many_sites_stay_within_the_pool),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
