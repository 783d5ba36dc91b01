/*
 * test_absence.c - sites that are silent, fail, come late, or lost what they sent
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "report/report.h"

static void a_silent_site_is_absent_by_name_and_reason_and_the_run_goes_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "400ms", "");
    check(fake_until(f, is_training, &err));
    f->site[1].asleep = true;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_ok(report_check(report, &err), err);
    check_str(absence(report, 1, "site-b"), "silent for 0.4 s");
    check_str(absence(report, 2, "site-b"), "silent for 0.4 s");
    check_has(absence_in(json_object_get(report, "absent"), "site-b"), "silent");
    check_str(json_string_value(
                  json_array_get(json_object_get(json_object_get(report, "pooled"), "missing"), 0)),
              "site-b");
    check_int(json_array_size(json_object_get(report, "sites")), 2);
    json_decref(report);
    fake_free(&f);
}

static void a_site_that_beats_without_progress_has_stalled(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 1, 1, "300ms", "");
    check(fake_until(f, is_training, &err));
    f->site[0].idle_beats = true;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_has(absence(report, 1, "site-a"), "stalled");
    json_decref(report);
    fake_free(&f);
}

static void a_site_that_refuses_the_job_is_named_and_the_others_train(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 1, "10s", "");
    f->site[2].refuse_check = true;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_str(absence(report, 1, "site-c"), "the policy allows no such task");
    check_str(absence_in(json_object_get(report, "absent"), "site-c"),
              "the policy allows no such task");
    json_decref(report);
    fake_free(&f);
}

static void training_that_fails_at_a_site_is_its_absence(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "10s", "");
    f->site[0].refuse_train = true;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_str(absence(report, 1, "site-a"), "training failed: the loss is not finite");
    check_int(json_array_size(json_object_get(report, "sites")),
              3);  // it scores and tests all the same
    json_decref(report);
    fake_free(&f);
}

static void data_that_do_not_fit_stop_the_run_and_can_be_mended(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 1, "10s", "");
    f->site[0].misfit = f->site[2].misfit = true;
    check_fails(fake_run(f, &err), FL_EFORMAT);
    check_has(err.text, "site-a: classes: the job has normal, opacity");
    check_has(err.text, "site-c: classes:");
    fake_kill(f);
    f->site[0].misfit = f->site[2].misfit = false;
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    json_decref(report);
    fake_free(&f);
}

static bool c_waits(fake *f)
{
    round_machine *m = run_machine(serve_active_run(f->serve));
    return round_number(m) == 2 || round_now(m) > ROUND_TRAINING;
}

static void a_site_that_is_approved_late_joins_the_next_round(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 3, "300ms", "");
    f->site[2].pending = true;
    check(fake_until(f, c_waits, &err));
    f->site[2].pending = false;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check(absence(report, 1, "site-c") != NULL);
    check(absence(report, 3, "site-c") == NULL);
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    json_decref(report);
    fake_free(&f);
}

static void an_update_that_a_power_cut_took_is_asked_for_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "20s", "");
    check(fake_until(f, is_training, &err));
    f->site[1].asleep = true;
    check(fake_until(f, a_is_in, &err));
    fake_kill(f);
    char *spools = fake_run_path(f, "spool");
    check_ok(fl_remove_tree(spools, &err), err);
    check_ok(fl_mkdirs(spools, 0755, &err), err);
    check_ok(fake_start(f, true, &err), err);
    check_int(round_count(run_machine(serve_active_run(f->serve)), ROUND_IN), 0);
    check(fake_until(f, a_is_in, &err));  // the outbox still has it
    f->site[1].asleep = false;
    check_ok(fake_run(f, &err), err);
    free(spools);
    fake_free(&f);
}

static bool b_is_done(fake *f)
{
    return f->site[1].done;
}

static void who_missed_the_end_is_handed_the_model_later(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 1, 1, "300ms", "");
    check(fake_until(f, is_training, &err));
    f->site[1].asleep = true;
    check_ok(fake_run(f, &err), err);
    fake_kill(f);
    f->site[1].asleep = false;
    check_ok(fake_start(f, false, &err), err);  // no job: enrols, hands out, waits
    check(serve_active_run(f->serve) == NULL);
    check(fake_until(f, b_is_done, &err));
    fake_kill(f);
    check_ok(fake_start(f, false, &err), err);
    bool done;
    for (int i = 0; i < 200 && !hears_wait(f); i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    check_str(f->site[1].wait_text, "no job is running");
    fake_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_site_is_absent_by_name_and_reason_and_the_run_goes_on),
        cmocka_unit_test(a_site_that_beats_without_progress_has_stalled),
        cmocka_unit_test(a_site_that_refuses_the_job_is_named_and_the_others_train),
        cmocka_unit_test(training_that_fails_at_a_site_is_its_absence),
        cmocka_unit_test(data_that_do_not_fit_stop_the_run_and_can_be_mended),
        cmocka_unit_test(a_site_that_is_approved_late_joins_the_next_round),
        cmocka_unit_test(an_update_that_a_power_cut_took_is_asked_for_again),
        cmocka_unit_test(who_missed_the_end_is_handed_the_model_later),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
