/*
 * test_carry.c - an update that missed its round counts in the next one, once
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include <math.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "ckpt/ckpt.h"
#include "coordinator/carry.h"
#include "fed/accum.h"
#include "report/report.h"

static const char patience[] = "20s, late: carry";

static void a_late_update_weighs_less_by_the_root_of_its_age(void **state)
{
    (void)state;
    uint32_t weight[] = {300, 300, 300, 100}, late[] = {0, 1, 3, 0};
    carry_weights(weight, late, 4);
    check_near(weight[1] / (double)weight[0], 1 / sqrt(2), 1e-6);
    check_near(weight[2] / (double)weight[0], 0.5, 1e-6);
    check_near(weight[3] / (double)weight[0], 1 / 3.0, 1e-6);
    check(weight[0] + weight[1] + weight[2] + weight[3] <= FED_MAX_WEIGHT_SUM);
    uint32_t plain[] = {7, 1}, fresh[] = {0, 0};
    carry_weights(plain, fresh, 2);
    check_int(plain[0], 7);  // as they are
    check_int(plain[1], 1);
    uint32_t odd[] = {FED_MAX_WEIGHT_SUM - 2, 1, 1}, old[] = {0, 100000, 1};
    carry_weights(odd, old, 3);
    check(odd[1] >= 1);
    check((uint64_t)odd[0] + odd[1] + odd[2] <= FED_MAX_WEIGHT_SUM);
}

// ------------------------------------------------------------------ whole runs

static fl_status count_row(void *ctx, const record_answer *a, fl_err *err)
{
    (void)a;
    (void)err;
    ++*(int *)ctx;
    return FL_OK;
}

static int n_carried(fake *f, uint32_t round)
{
    int n = 0;
    fl_err err = FL_ERR_INIT;
    check_ok(record_carried(run_record(serve_active_run(f->serve)), round, count_row, &n, &err),
             err);
    return n;
}

static bool one_waits(fake *f)
{
    return n_carried(f, 0) == 1;
}

/* site-c makes its update of round 1, misses the close, and offers it in round 2, which waits for
 * site-b until let_b_go. */
static fake *with_a_late_update(const char *yaml)
{
    fl_err err = FL_ERR_INIT;
    fake *f = fake_new(3, yaml);
    f->site[2].late_in = 1;
    f->site[2].keeps_late = true;
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_training_second, &err));
    check(fake_update_of(&f->site[2], 1) != NULL);
    f->site[2].keeps_late = false;
    f->site[1].idle_beats = true;
    return f;
}

static bool c_is_in(fake *f)
{
    return is_training_second(f) && round_at(machine_of(f), 2)->answer == ROUND_IN;
}

static void let_b_go(fake *f)
{
    fl_err err = FL_ERR_INIT;
    check(fake_until(f, c_is_in, &err));
    f->site[1].idle_beats = false;
}

static float *model_of_round(const fake *f, int round, int64_t *P)
{
    char part[64];
    nn_table *table = NULL;
    float *data = NULL;
    fl_err err = FL_ERR_INIT;
    snprintf(part, sizeof part, "model/round-%04d.safetensors", round);
    char *path = fake_run_path(f, part);
    check_ok(ckpt_safetensors_read(&table, &data, NULL, path, &err), err);
    *P = nn_table_count(table);
    nn_table_destroy(&table);
    free(path);
    return data;
}

/* FedAvg over the three of round 2 and, at 1 / sqrt(2) of its weight, site-c's of round 1. */
static void check_second_model(fake *f)
{
    int64_t P;
    float *first = model_of_round(f, 1, &P), *second = model_of_round(f, 2, &P);
    for (int64_t i = 0; i < P; i++) {
        double sum = 0, weights = 0;
        for (size_t k = 0; k < 4; k++) {
            const fake_kept *u = fake_update_of(&f->site[k % 3], k < 3 ? 2 : 1);
            if (k == 3) {
                u = fake_update_of(&f->site[2], 1);
            }
            double w = fed_offer_get(&u->offer, "weight", 0) / (k == 3 ? sqrt(2) : 1);
            sum += w * (double)((const float *)u->items)[i];
            weights += w;
        }
        check_near(second[i], first[i] + sum / weights, 1e-6);
    }
    free(first);
    free(second);
}

static const json_t *round_of(const json_t *report, int round)
{
    return json_array_get(json_object_get(report, "rounds"), (size_t)round - 1);
}

static void check_story(const json_t *report)
{
    fl_err err = FL_ERR_INIT;
    check_ok(report_check(report, &err), err);
    const json_t *carried = json_object_get(round_of(report, 2), "carried");
    check_int(json_array_size(carried), 1);
    check_str(fl_json_get_string(json_array_get(carried, 0), "site", ""), "site-c");
    check_int(fl_json_get_int(json_array_get(carried, 0), "from", 0), 1);
    check_int(json_array_size(json_object_get(round_of(report, 1), "participants")), 2);
    check_int(json_array_size(json_object_get(round_of(report, 2), "participants")), 3);
    check_int(json_array_size(json_object_get(round_of(report, 3), "carried")), 0);
    const json_t *absent = json_array_get(json_object_get(round_of(report, 1), "absent"), 0);
    check_str(fl_json_get_string(absent, "reason", ""), "training failed: the disk was away");
}

static void an_update_after_the_close_is_folded_into_the_next_round(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, patience, "");
    fake *f = with_a_late_update(yaml);
    check(fake_until(f, one_waits, &err));
    let_b_go(f);
    check_ok(fake_run(f, &err), err);
    check_second_model(f);
    json_t *report = fake_report(f);
    check_story(report);
    check_int(n_carried(f, 2), 1);
    check_int(n_carried(f, 0), 0);
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

/* The late update's own acceptance included. */
static void killed_anywhere_it_is_folded_once_and_the_bits_are_the_same(void **state)
{
    (void)state;
    const char *const strategies[] = {"{name: fedavg}", "{name: fedadam}"};
    for (size_t i = 0; i < 2; i++) {
        fl_err err = FL_ERR_INIT;
        char *yaml = fake_job(3, 2, strategies[i], 9, patience, "");
        fake *f = with_a_late_update(yaml);
        let_b_go(f);
        check_ok(fake_run(f, &err), err);
        json_t *report = fake_report(f);
        char *expected = fl_xstrdup(model_sha256(report));
        json_decref(report);
        fake_free(&f);

        killer k = {.n = 0};
        f = with_a_late_update(yaml);
        fake_kill(f);  // a serve that knows of no probe
        f->probe = kill_once_everywhere;
        f->probe_ctx = &k;
        f->one_at_a_time = true;
        bool done = false;
        check_ok(fake_start(f, true, &err), err);
        while (!done) {
            fl_status st = fake_step(f, &done, &err);
            f->site[1].idle_beats = f->site[1].idle_beats && !c_is_in(f);
            if (st == FL_ESTOPPED) {
                fake_kill(f);
                check_ok(fake_start(f, true, &err), err);
            } else {
                check_ok(st, err);
            }
        }
        check(k.n >= 20);
        report = fake_report(f);
        check_story(report);
        char *found = fl_xstrdup(model_sha256(report));
        check_str(found, expected);
        free(found);
        free(expected);
        json_decref(report);
        fake_free(&f);
        free(yaml);
    }
}

static bool c_is_answered(fake *f)
{
    return fake_update_of(&f->site[2], 1)->answered;
}

static bool c_is_told_of_another(fake *f)
{
    return strstr(f->site[2].last_verdict,
                  "a different train contribution of round 1 was accepted already") != NULL;
}

static void offered_again_it_is_accepted_again_and_another_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, patience, "");
    fake *f = with_a_late_update(yaml);
    fake_site *c = &f->site[2];
    check(fake_until(f, one_waits, &err));
    check(fake_until(f, c_is_answered, &err));
    int refused = c->n_refused;
    fake_update_of(c, 1)->answered = false;
    check(fake_until(f, c_is_answered, &err));
    check_int(c->n_refused, refused);
    check_int(n_carried(f, 0), 1);
    fed_msg m = {.type = FED_MSG_OFFER, .u.offer = fake_update_of(c, 1)->offer};
    m.u.offer.digest.bytes[3] ^= 1;
    fake_sign(c, &m.u.offer);
    fake_say(c, &m, NULL, 0);
    check(fake_until(f, c_is_told_of_another, &err));
    let_b_go(f);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_story(report);
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

static void without_carry_it_is_told_that_its_round_is_closed(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, "20s", "");
    fake *f = with_a_late_update(yaml);
    let_b_go(f);
    check_ok(fake_run(f, &err), err);
    check_int(f->site[2].n_refused, 1);
    json_t *report = fake_report(f);
    check(json_object_get(round_of(report, 2), "carried") == NULL);
    check_int(json_array_size(json_object_get(round_of(report, 2), "participants")), 3);
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

static void a_run_that_lost_a_carried_update_is_not_gone_on_with(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, patience, "");
    fake *f = with_a_late_update(yaml);
    check(fake_until(f, one_waits, &err));
    char *path = run_spool_path(serve_active_run(f->serve), &fake_update_of(&f->site[2], 1)->offer);
    fake_kill(f);
    check(truncate(path, 10) == 0);
    check_fails(fake_start(f, true, &err), FL_EFORMAT);
    check_has(err.text, "site-c counts on it");
    fake_free(&f);
    free(path);
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_update_weighs_less_by_the_root_of_its_age),
        cmocka_unit_test(an_update_after_the_close_is_folded_into_the_next_round),
        cmocka_unit_test(killed_anywhere_it_is_folded_once_and_the_bits_are_the_same),
        cmocka_unit_test(offered_again_it_is_accepted_again_and_another_is_refused),
        cmocka_unit_test(without_carry_it_is_told_that_its_round_is_closed),
        cmocka_unit_test(a_run_that_lost_a_carried_update_is_not_gone_on_with),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
