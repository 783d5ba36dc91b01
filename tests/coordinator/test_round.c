/*
 * test_round.c - the round machine without sockets and files
 *
 * A small driver stands for run.c and the record: it keeps what the record
 * would keep, and can drop the machine and restore it at any step.
 */
#include "check.h"

#include "base/rng.h"
#include "coordinator/round.h"

enum { MAX_SITES = 6, PATIENCE_MS = 1000, MAX_LOG = 4000 };

/* The record, in memory. */
typedef struct {
    round_config cfg;
    round_machine *m;
    round_state state;
    uint32_t round, selected, lent, n_lent;
    uint32_t n_models;  // that sites lend, when they are asked
    struct {
        fed_site_id name;
        round_check check;
        round_answer answer;
        char reason[FED_TEXT_BYTES];
    } site[MAX_SITES];
    size_t n_sites;
    char log[MAX_LOG];  // every step, for comparison
    bool forget;        // drop the machine after every step
} driver;

static fed_site_id name_of(size_t i)
{
    fed_site_id id = {.text = "site-a"};
    id.text[5] = (char)('a' + i);
    return id;
}

static void restore(driver *d, int64_t now)
{
    round_destroy(&d->m);
    d->m = round_new(&d->cfg, now);
    for (size_t i = 0; i < d->n_sites; i++) {
        size_t site = round_add_site(d->m, &d->site[i].name, now);
        if (d->site[i].check == ROUND_CHECK_JOINED) {
            round_restore_check(d->m, site, ROUND_CHECK_JOINED, "");
        }
    }
    round_restore(d->m, d->state, d->round, d->selected);
    round_restore_lent(d->m, d->lent, d->n_lent);
    for (size_t i = 0; i < d->n_sites; i++) {
        round_restore_answer(d->m, i, d->site[i].answer, d->site[i].reason);
    }
}

static driver driver_of(size_t n_sites, int quorum, uint32_t rounds)
{
    driver d = {.cfg = {.quorum = quorum,
                        .patience_ms = PATIENCE_MS,
                        .n_rounds = rounds,
                        .asks_validation = true},
                .n_sites = n_sites};
    for (size_t i = 0; i < n_sites; i++) {
        d.site[i].name = name_of(i);
    }
    restore(&d, 0);
    return d;
}

static void note(driver *d, const char *what, const char *detail, long number)
{
    size_t used = strlen(d->log);
    snprintf(d->log + used, MAX_LOG - used, "%s %s %ld\n", what, detail, number);
}

/* What record.c and run.c do with a step. */
static void take(driver *d, round_step *step, int64_t now)
{
    if (step->kind == ROUND_STEP_ENTER) {
        if (step->state >= ROUND_CHOOSING && step->round == 0) {
            step->round = 1;  // the first round was best
        }
        if (step->state == ROUND_CROSSING && step->lent == 1) {
            step->n_lent = d->n_models;
            step->state = d->n_models > 0 ? ROUND_CROSSING : ROUND_REPORTING;
        }
        note(d, "enter", round_state_name(step->state),
             step->state == ROUND_CROSSING ? step->lent : step->round);
        for (size_t i = 0; i < d->n_sites; i++) {
            if (round_asks(step->state)) {
                d->site[i].answer = round_in_cohort(d->m, i) ? ROUND_ASKED : ROUND_UNASKED;
            } else if (step->state == ROUND_REPORTING) {
                d->site[i].answer = ROUND_UNASKED;
            }
        }
        d->state = step->state;
        d->round = step->state >= ROUND_CHOOSING ? d->cfg.n_rounds : step->round;
        d->selected = step->state >= ROUND_CHOOSING ? step->round : 0;
        d->lent = step->lent;
        d->n_lent = step->n_lent;
    } else if (step->kind == ROUND_STEP_ABSENT) {
        note(d, "absent", step->reason, (long)step->site);
        d->site[step->site].answer = ROUND_ABSENT;
        snprintf(d->site[step->site].reason, FED_TEXT_BYTES, "%s", step->reason);
    } else if (step->kind == ROUND_STEP_ACCEPT && step->contribution == FED_CHECK) {
        d->site[step->site].check = ROUND_CHECK_JOINED;
    } else if (step->kind == ROUND_STEP_ASK) {
        d->site[step->site].answer = ROUND_ASKED;
    } else if (step->kind == ROUND_STEP_ACCEPT) {
        d->site[step->site].answer = ROUND_IN;
    }
    round_apply(d->m, step, now);
    if (d->forget) {
        restore(d, now);
    }
}

/* Every step that is due; false: the machine says stop. */
static bool settle(driver *d, int64_t now)
{
    round_step step;
    while (round_next(d->m, now, &step)) {
        if (step.kind == ROUND_STEP_STOP) {
            return false;
        }
        take(d, &step, now);
    }
    return true;
}

static void contribute(driver *d, size_t site, int64_t now)
{
    fed_order_kind kind;
    uint32_t round;
    char text[FED_TEXT_BYTES];
    round_order(d->m, site, &kind, &round, text);
    check(kind != FED_WAIT);
    check(round_expects(d->m, site, kind, round));
    round_heard(d->m, site, now);
    take(d, &(round_step){.kind = ROUND_STEP_ACCEPT, .site = site, .contribution = kind}, now);
}

static fed_order_kind kind_of(driver *d, size_t site)
{
    fed_order_kind kind;
    uint32_t round;
    char text[FED_TEXT_BYTES];
    round_order(d->m, site, &kind, &round, text);
    return kind;
}

static void everyone_contributes(driver *d, int64_t now)
{
    for (size_t i = 0; i < d->n_sites; i++) {
        contribute(d, i, now);
    }
    check(settle(d, now));
}

static void reply(driver *d, size_t site, fed_answer answer, bool mismatch, const char *text,
                  int64_t now)
{
    fed_order_key key = {.kind = FED_WAIT};
    char ignored[FED_TEXT_BYTES];
    round_step step;
    round_order(d->m, site, &key.kind, &key.round.n, ignored);
    round_heard(d->m, site, now);
    if (round_reply(d->m, site, &key, answer, mismatch, text, &step)) {
        take(d, &step, now);
    }
}

// ---------------------------------------------------------------- the tests

static void two_sites_and_two_rounds_from_check_to_finished(void **state)
{
    (void)state;
    driver d = driver_of(2, 2, 2);
    check(settle(&d, 0));
    check_int(round_now(d.m), ROUND_CHECKING);
    everyone_contributes(&d, 1);
    for (uint32_t r = 1; r <= 2; r++) {
        check_int(round_now(d.m), ROUND_TRAINING);
        check_int(round_number(d.m), r);
        check_int(round_committed(d.m), r - 1);
        everyone_contributes(&d, 2);
        check_int(round_now(d.m), ROUND_EVALUATING);
        check_int(round_committed(d.m), r);
        everyone_contributes(&d, 3);
    }
    check_int(round_now(d.m), ROUND_CHOOSING);
    check_int(round_number(d.m), 1);
    check_int(round_committed(d.m), 2);
    everyone_contributes(&d, 4);
    check_int(round_now(d.m), ROUND_TESTING);
    everyone_contributes(&d, 5);
    check_int(round_now(d.m), ROUND_HANDING);
    everyone_contributes(&d, 6);
    check_int(round_now(d.m), ROUND_FINISHED);
    check_str(d.log, "enter selected 1\nenter training 1\nenter aggregating 1\nenter evaluating 1\n"
                     "enter selected 2\nenter training 2\nenter aggregating 2\nenter evaluating 2\n"
                     "enter choosing 1\nenter testing 1\nenter reporting 1\nenter handing out 1\n"
                     "enter finished 1\n");
    round_destroy(&d.m);
}

static void own_models_are_lent_and_judged_one_after_the_other(void **state)
{
    (void)state;
    for (uint32_t n_models = 0; n_models <= 2; n_models++) {
        driver d = driver_of(2, 2, 1);
        d.cfg.lends = d.forget = true;
        d.n_models = n_models;
        restore(&d, 0);
        for (int stage = 0; stage < 5; stage++) {
            everyone_contributes(&d, stage);
        }
        check_int(round_now(d.m), ROUND_LENDING);
        check_int(kind_of(&d, 0), FED_LEND);
        everyone_contributes(&d, 6);
        for (uint32_t k = 1; k <= n_models; k++) {
            fed_order_kind kind;
            uint32_t round;
            char text[FED_TEXT_BYTES];
            check_int(round_now(d.m), ROUND_CROSSING);
            check_int(round_lent(d.m), k);
            check_int(round_number(d.m), 1);     // of the selected model, still
            check_int(round_committed(d.m), 1);
            round_order(d.m, 1, &kind, &round, text);
            check_int(kind, FED_CROSS);
            check_int(round, k);
            check(!round_expects(d.m, 1, FED_CROSS, k + 1));
            contribute(&d, 0, 7);
            check(settle(&d, 7));
            check_int(round_lent(d.m), k);  // until everybody has judged it, or left
            contribute(&d, 1, 8);
            check(settle(&d, 8));
        }
        check_int(round_now(d.m), ROUND_HANDING);
        check_has(d.log, n_models == 2 ? "enter testing 1\nenter lending 1\nenter crossing 1\n"
                                         "enter crossing 2\nenter reporting 1\n"
                         : n_models == 1 ? "enter lending 1\nenter crossing 1\nenter reporting 1\n"
                                         : "enter lending 1\nenter reporting 1\n");
        round_destroy(&d.m);
    }
}

/* Random contributions, silences and returns; memory is dropped after every
 * step or never: the same steps are taken. */
static void play(driver *d, uint64_t seed)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "round", "", 0);
    int64_t now = 0;
    while (round_now(d->m) != ROUND_FINISHED && now < 200000) {
        now += 100;
        uint64_t asleep = fl_rng_u64(&rng), works = fl_rng_u64(&rng);
        for (size_t i = 0; i < d->n_sites; i++) {
            if ((asleep >> i & 7) == 0 && d->state != ROUND_CHECKING) {
                continue;
            }
            round_progress(d->m, i, now);
            fed_order_kind kind = kind_of(d, i);
            if ((works >> i & 1) != 0 && kind != FED_WAIT) {
                contribute(d, i, now);
            }
        }
        check(settle(d, now));
    }
}

static void a_machine_that_forgets_after_every_step_takes_the_same_steps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        driver a = driver_of(5, 3, 3), b = driver_of(5, 3, 3);
        a.cfg.lends = b.cfg.lends = seed % 2 == 0;
        a.n_models = b.n_models = 4;
        restore(&a, 0);
        restore(&b, 0);
        b.forget = true;
        play(&a, seed);
        play(&b, seed);
        check_int(round_now(a.m), ROUND_FINISHED);
        check_str(b.log, a.log);
        round_destroy(&a.m);
        round_destroy(&b.m);
    }
}

static void a_silent_site_is_absent_with_the_reason_and_may_come_back(void **state)
{
    (void)state;
    driver d = driver_of(3, 2, 1);
    everyone_contributes(&d, 0);
    contribute(&d, 0, 10);
    check(settle(&d, 900));
    check_int(round_count(d.m, ROUND_ABSENT), 0);
    round_progress(d.m, 1, 900);
    check(settle(&d, 1100));
    check_int(round_at(d.m, 2)->answer, ROUND_ABSENT);
    check_str(round_at(d.m, 2)->reason, "silent for 1 s");
    check_int(round_now(d.m), ROUND_TRAINING);  // site-b works
    check_int(kind_of(&d, 2), FED_TRAIN);       // the order stands
    contribute(&d, 2, 1200);
    check_int(round_at(d.m, 2)->answer, ROUND_IN);
    contribute(&d, 1, 1300);
    check(settle(&d, 1300));
    check_int(round_now(d.m), ROUND_EVALUATING);
    check(!round_expects(d.m, 2, FED_TRAIN, 1));  // too late now
    round_destroy(&d.m);
}

static void beats_without_progress_are_a_stall_and_waiting_for_credit_is_not(void **state)
{
    (void)state;
    driver d = driver_of(3, 1, 1);
    everyone_contributes(&d, 0);
    round_set_waits_for_credit(d.m, 2, true);
    for (int64_t now = 100; now <= 1500; now += 100) {
        round_beat(d.m, 0, FED_WORKING, (uint64_t)now, 5000, now);  // gets on
        round_beat(d.m, 1, FED_WORKING, 7, 5000, now);              // does not
        round_beat(d.m, 2, FED_SENDING, 0, 1, now);
        check(settle(&d, now));
    }
    check_int(round_at(d.m, 0)->answer, ROUND_ASKED);
    check_int(round_at(d.m, 1)->answer, ROUND_ABSENT);
    check_str(round_at(d.m, 1)->reason, "stalled: no progress for 1 s");
    check_int(round_at(d.m, 2)->answer, ROUND_ASKED);
    round_destroy(&d.m);
}

static void time_in_which_the_coordinator_was_deaf_counts_for_nobody(void **state)
{
    (void)state;
    driver d = driver_of(2, 1, 1);
    everyone_contributes(&d, 0);
    check(settle(&d, 900));
    round_was_deaf(d.m, 60000);  // stopped, or busy with a long write
    check(settle(&d, 60900));
    check_int(round_count(d.m, ROUND_ABSENT), 0);
    check(settle(&d, 61001));
    check_int(round_count(d.m, ROUND_ABSENT), 2);
    round_destroy(&d.m);
}

static void late_wait_lets_nobody_leave_for_being_late(void **state)
{
    (void)state;
    driver d = driver_of(2, 1, 1);
    d.cfg.waits_for_late = true;
    restore(&d, 0);
    everyone_contributes(&d, 0);
    contribute(&d, 0, 10);
    check(settle(&d, 1000000));
    check_int(round_now(d.m), ROUND_TRAINING);
    check_int(round_at(d.m, 1)->answer, ROUND_ASKED);
    contribute(&d, 1, 1000001);
    check(settle(&d, 1000001));
    check_int(round_now(d.m), ROUND_EVALUATING);
    check(settle(&d, 3000000));  // scores do not wait for ever
    check_int(round_now(d.m), ROUND_FINISHED);
    round_destroy(&d.m);
}

static void fewer_than_the_quorum_waits_and_says_so(void **state)
{
    (void)state;
    driver d = driver_of(2, 2, 1);
    everyone_contributes(&d, 0);
    contribute(&d, 0, 10);
    check(settle(&d, 5000));
    check_int(round_now(d.m), ROUND_TRAINING);
    char text[512];
    round_describe(d.m, text, sizeof text);
    check_has(text, "fewer than the quorum of 2");
    contribute(&d, 1, 6000);
    check(settle(&d, 6000));
    check_int(round_now(d.m), ROUND_EVALUATING);
    round_destroy(&d.m);
}

static void progress_is_shown_while_it_is_known_how_far_it_goes(void **state)
{
    (void)state;
    driver d = driver_of(2, 2, 1);
    everyone_contributes(&d, 0);
    char text[512];
    round_beat(d.m, 0, FED_WORKING, 7, 266, 10);
    round_beat(d.m, 1, FED_WORKING, 272, 266, 10);  // goes on after what was counted
    round_describe(d.m, text, sizeof text);
    check_has(text, "waiting for site-a (7/266), site-b");
    check(strstr(text, "272") == NULL);
    round_beat(d.m, 0, FED_WORKING, 266, 266, 20);
    round_beat(d.m, 1, FED_WORKING, 300, 0, 20);
    round_describe(d.m, text, sizeof text);
    check_has(text, "site-a (266/266), site-b");
    check(strstr(text, "300") == NULL);
    round_destroy(&d.m);
}

static void a_round_short_of_its_quorum_is_given_up_only_as_the_job_says(void **state)
{
    (void)state;
    round_step step;
    driver d = driver_of(3, 2, 2);
    d.cfg.abandon_ms = 5000;
    restore(&d, 0);
    everyone_contributes(&d, 0);
    contribute(&d, 0, 10);
    check(settle(&d, 1500));  // the others left at 1000
    check_int(round_count(d.m, ROUND_ABSENT), 2);
    check(!round_next(d.m, 6400, &step));
    char text[FED_TEXT_BYTES];
    round_describe(d.m, text, sizeof text);
    check_has(text, "fewer than the quorum of 2: waiting for absent sites, abandoned after 5 s");
    round_beat(d.m, 1, FED_WORKING, 7, 100, 4000);  // one of them is back and works
    check(!round_next(d.m, 8900, &step));
    restore(&d, 8900);  // patience is never stored
    check(!round_next(d.m, 13800, &step));
    check(round_next(d.m, 13900, &step));
    check_int(step.kind, ROUND_STEP_ENTER);
    check_int(step.state, ROUND_EVALUATING);
    check_str(step.reason, "1 of 3 updates, 1 of them too few, for 5 s");
    take(&d, &step, 13900);
    check_int(round_committed(d.m), 1);
    contribute(&d, 0, 13950);
    check(settle(&d, 15500));
    check_int(round_now(d.m), ROUND_TRAINING);  // round 2 asks everybody anew
    check_int(round_number(d.m), 2);
    round_destroy(&d.m);

    d = driver_of(3, 2, 2);  // abandon: never
    everyone_contributes(&d, 0);
    contribute(&d, 0, 10);
    check(settle(&d, 1500));
    check(!round_next(d.m, (int64_t)1 << 40, &step));
    round_destroy(&d.m);
}

static void whoever_joins_late_fills_a_round_that_cannot_reach_its_quorum(void **state)
{
    (void)state;
    driver d = driver_of(3, 2, 1);
    contribute(&d, 0, 1);
    contribute(&d, 1, 1);
    check(settle(&d, 1000));  // site-c has not answered the job
    contribute(&d, 0, 1001);
    round_set_member(d.m, 1, false);
    check(settle(&d, 1002));
    check_int(round_now(d.m), ROUND_TRAINING);
    contribute(&d, 2, 1003);  // joins
    check(settle(&d, 1003));
    check_int(kind_of(&d, 2), FED_TRAIN);
    contribute(&d, 2, 1004);
    check(settle(&d, 1004));
    check_int(round_now(d.m), ROUND_EVALUATING);
    round_destroy(&d.m);

    d = driver_of(3, 2, 1);  // who has waited for long without work has not stalled
    contribute(&d, 0, 1);
    contribute(&d, 1, 1);
    check(settle(&d, 1000));
    contribute(&d, 0, 1001);
    contribute(&d, 2, 1002);
    round_heard(d.m, 2, 9000);
    check(settle(&d, 9000));  // site-b is silent, so site-c is asked
    check_int(round_at(d.m, 1)->answer, ROUND_ABSENT);
    check_int(round_at(d.m, 2)->answer, ROUND_ASKED);
    round_destroy(&d.m);
}

static void a_site_that_fails_to_train_is_absent_and_asked_again_after_hello(void **state)
{
    (void)state;
    driver d = driver_of(2, 1, 1);
    everyone_contributes(&d, 0);
    reply(&d, 1, FED_REFUSE, false, "the loss is not finite", 5);
    check_str(round_at(d.m, 1)->reason, "training failed: the loss is not finite");
    check_int(kind_of(&d, 1), FED_WAIT);
    round_hello(d.m, 1, 6);
    check_int(kind_of(&d, 1), FED_TRAIN);
    round_destroy(&d.m);
}

/* As where the hospital's policy has become one that wants a person to look at the job. */
static void a_site_that_waits_for_a_person_in_mid_run_is_absent_and_still_asked(void **state)
{
    (void)state;
    driver d = driver_of(2, 1, 2);
    everyone_contributes(&d, 0);
    reply(&d, 1, FED_PENDING, false, "waits for a person", 1);
    check_int(round_at(d.m, 1)->answer, ROUND_ABSENT);
    check_str(round_at(d.m, 1)->reason, "waits for a person");
    check(settle(&d, 2));
    check_int(kind_of(&d, 1), FED_TRAIN);  // whenever that person has looked
    check(round_expects(d.m, 1, FED_TRAIN, 1));
    contribute(&d, 1, 3);
    contribute(&d, 0, 4);
    check(settle(&d, 4));
    check_int(round_now(d.m), ROUND_EVALUATING);
    check_int(round_count(d.m, ROUND_ASKED), 2);
    round_destroy(&d.m);
}

static void stale_replies_change_nothing(void **state)
{
    (void)state;
    driver d = driver_of(1, 1, 2);
    everyone_contributes(&d, 0);
    round_step step;
    fed_order_key old = {.kind = FED_TRAIN, .round = {2}};
    check(!round_reply(d.m, 0, &old, FED_REFUSE, false, "?", &step));
    old = (fed_order_key){.kind = FED_SCORE, .round = {1}};
    check(!round_reply(d.m, 0, &old, FED_REFUSE, false, "?", &step));
    old = (fed_order_key){.kind = FED_CHECK};
    check(!round_reply(d.m, 0, &old, FED_REFUSE, true, "?", &step));
    round_destroy(&d.m);
}

static void checking_waits_for_everyone_or_for_patience_and_a_quorum(void **state)
{
    (void)state;
    driver d = driver_of(3, 2, 1);
    contribute(&d, 0, 1);
    contribute(&d, 1, 1);
    check(settle(&d, 900));
    check_int(round_now(d.m), ROUND_CHECKING);  // site-c has not answered
    check(settle(&d, 1000));
    check_int(round_now(d.m), ROUND_TRAINING);
    check_int(round_at(d.m, 2)->answer, ROUND_UNASKED);
    check_int(kind_of(&d, 2), FED_CHECK);
    contribute(&d, 2, 1100);  // joins: from the next round on
    check_int(kind_of(&d, 2), FED_WAIT);
    round_destroy(&d.m);

    d = driver_of(2, 2, 1);
    contribute(&d, 0, 1);
    check(settle(&d, 100000));
    check_int(round_now(d.m), ROUND_CHECKING);  // never below the quorum
    round_destroy(&d.m);
}

static void a_refusal_is_an_answer_and_an_approval_that_is_pending_is_not(void **state)
{
    (void)state;
    driver d = driver_of(3, 1, 1);
    contribute(&d, 0, 1);
    reply(&d, 1, FED_REFUSE, false, "no such task", 2);
    reply(&d, 2, FED_PENDING, false, "a person must approve", 2);
    check(settle(&d, 500));
    check_int(round_now(d.m), ROUND_CHECKING);
    char text[512];
    round_describe(d.m, text, sizeof text);
    check_has(text, "site-c (pending)");
    contribute(&d, 2, 600);
    check(settle(&d, 600));
    check_int(round_now(d.m), ROUND_TRAINING);
    check_int(round_at(d.m, 1)->answer, ROUND_UNASKED);
    check_int(kind_of(&d, 1), FED_WAIT);
    round_destroy(&d.m);
}

static void data_that_do_not_fit_stop_the_job_before_round_one(void **state)
{
    (void)state;
    driver d = driver_of(3, 1, 1);
    contribute(&d, 0, 1);
    reply(&d, 1, FED_REFUSE, true, "classes differ", 2);
    check(settle(&d, 10));  // site-c may have something to say, too
    reply(&d, 2, FED_REFUSE, true, "channels differ", 20);
    check(!settle(&d, 30));
    check_int(round_now(d.m), ROUND_CHECKING);
    check_str(round_at(d.m, 1)->check_reason, "classes differ");
    restore(&d, 40);  // the next start asks those two again
    check(settle(&d, 50));
    check_int(kind_of(&d, 0), FED_WAIT);
    check_int(kind_of(&d, 1), FED_CHECK);
    round_destroy(&d.m);
}

static void a_removed_site_leaves_at_once_and_what_it_gave_stays(void **state)
{
    (void)state;
    driver d = driver_of(3, 1, 2);
    everyone_contributes(&d, 0);
    contribute(&d, 0, 1);
    round_set_member(d.m, 0, false);
    round_set_member(d.m, 1, false);
    check(settle(&d, 2));
    check_int(round_at(d.m, 0)->answer, ROUND_IN);
    check_int(round_at(d.m, 1)->answer, ROUND_ABSENT);
    check_str(round_at(d.m, 1)->reason, "removed from the federation");
    check(!round_expects(d.m, 1, FED_TRAIN, 1));
    contribute(&d, 2, 3);
    check(settle(&d, 3));
    check_int(round_now(d.m), ROUND_EVALUATING);
    check_int(round_at(d.m, 0)->answer, ROUND_UNASKED);  // not in a new cohort
    round_destroy(&d.m);
}

/* Every step of asking a site anew, as run.c takes them. */
static void ask_anew(driver *d, size_t site, int64_t now)
{
    round_step step;
    while (round_ask_anew(d->m, site, &step)) {
        if (step.kind == ROUND_STEP_CHECK) {
            d->site[site].check = step.check;
        }
        take(d, &step, now);
    }
}

static void a_site_whose_home_is_new_takes_no_part_before_it_has_joined_again(void **state)
{
    (void)state;
    for (int forget = 0; forget < 2; forget++) {
        driver d = driver_of(3, 2, 2);
        d.forget = forget == 1;
        everyone_contributes(&d, 0);
        check_int(round_now(d.m), ROUND_TRAINING);
        ask_anew(&d, 1, 1);  // while it trains
        check_int(round_at(d.m, 1)->answer, ROUND_ABSENT);
        check_str(round_at(d.m, 1)->reason, "removed from the federation");
        check_int(kind_of(&d, 1), FED_CHECK);
        check(!round_expects(d.m, 1, FED_TRAIN, 1));
        check(round_expects(d.m, 1, FED_CHECK, 0));
        contribute(&d, 1, 2);  // it joins while the round is open: its update is still welcome
        check_int(kind_of(&d, 1), FED_TRAIN);
        contribute(&d, 1, 3);
        ask_anew(&d, 1, 4);  // a third home: what the second one gave stays
        check_int(round_at(d.m, 1)->answer, ROUND_IN);
        check_int(kind_of(&d, 1), FED_CHECK);
        contribute(&d, 0, 5);
        contribute(&d, 2, 5);
        check(settle(&d, 5));
        check_int(round_now(d.m), ROUND_EVALUATING);
        check_int(round_at(d.m, 1)->answer, ROUND_UNASKED);
        check_int(kind_of(&d, 1), FED_CHECK);
        round_destroy(&d.m);
    }
}

static void nobody_is_asked_anew_once_the_report_is_made(void **state)
{
    (void)state;
    round_step step;
    driver d = driver_of(2, 1, 1);
    check(!round_ask_anew(d.m, 0, &step));  // it is asked already
    for (int i = 0; i < 5; i++) {
        everyone_contributes(&d, i);
    }
    check_int(round_now(d.m), ROUND_HANDING);
    check(!round_ask_anew(d.m, 0, &step));
    check_int(kind_of(&d, 0), FED_DONE);
    round_destroy(&d.m);
}

static void the_model_waits_a_minute_for_sites_that_are_gone_and_not_longer(void **state)
{
    (void)state;
    driver d = driver_of(2, 1, 1);
    d.cfg.patience_ms = 3600000;
    restore(&d, 0);
    everyone_contributes(&d, 0);
    for (int i = 0; i < 4; i++) {
        everyone_contributes(&d, 1);
    }
    check_int(round_now(d.m), ROUND_HANDING);
    contribute(&d, 0, 2);
    check(settle(&d, 60000));
    check_int(round_now(d.m), ROUND_HANDING);
    check(settle(&d, 60003));
    check_int(round_now(d.m), ROUND_FINISHED);
    check_int(kind_of(&d, 1), FED_DONE);  // whenever it comes
    round_destroy(&d.m);

    d = driver_of(2, 1, 1);  // who is there and gets nowhere has the job's patience, and it is said
    d.cfg.patience_ms = 3600000;
    restore(&d, 0);
    everyone_contributes(&d, 0);
    for (int i = 0; i < 4; i++) {
        everyone_contributes(&d, 1);
    }
    contribute(&d, 0, 2);
    round_heard(d.m, 1, 3700000);
    check(settle(&d, 3700000));
    check_str(round_at(d.m, 1)->reason, "stalled: no progress for 60 m");
    round_destroy(&d.m);
}

static void sites_keep_their_index_whatever_is_added(void **state)
{
    (void)state;
    round_machine *m = round_new(&(round_config){.quorum = 1, .patience_ms = 1, .n_rounds = 1}, 0);
    const char *names[] = {"m", "z", "a", "q", "b"};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < 5; i++) {
            fed_site_id id = {{0}};
            snprintf(id.text, sizeof id.text, "%s", names[i]);
            check_int(round_add_site(m, &id, 0), i);
        }
    }
    check_int(round_n_sites(m), 5);
    round_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_models_are_lent_and_judged_one_after_the_other),
        cmocka_unit_test(two_sites_and_two_rounds_from_check_to_finished),
        cmocka_unit_test(a_machine_that_forgets_after_every_step_takes_the_same_steps),
        cmocka_unit_test(a_silent_site_is_absent_with_the_reason_and_may_come_back),
        cmocka_unit_test(beats_without_progress_are_a_stall_and_waiting_for_credit_is_not),
        cmocka_unit_test(time_in_which_the_coordinator_was_deaf_counts_for_nobody),
        cmocka_unit_test(late_wait_lets_nobody_leave_for_being_late),
        cmocka_unit_test(fewer_than_the_quorum_waits_and_says_so),
        cmocka_unit_test(progress_is_shown_while_it_is_known_how_far_it_goes),
        cmocka_unit_test(a_round_short_of_its_quorum_is_given_up_only_as_the_job_says),
        cmocka_unit_test(whoever_joins_late_fills_a_round_that_cannot_reach_its_quorum),
        cmocka_unit_test(a_site_that_fails_to_train_is_absent_and_asked_again_after_hello),
        cmocka_unit_test(a_site_that_waits_for_a_person_in_mid_run_is_absent_and_still_asked),
        cmocka_unit_test(stale_replies_change_nothing),
        cmocka_unit_test(checking_waits_for_everyone_or_for_patience_and_a_quorum),
        cmocka_unit_test(a_refusal_is_an_answer_and_an_approval_that_is_pending_is_not),
        cmocka_unit_test(data_that_do_not_fit_stop_the_job_before_round_one),
        cmocka_unit_test(a_removed_site_leaves_at_once_and_what_it_gave_stays),
        cmocka_unit_test(a_site_whose_home_is_new_takes_no_part_before_it_has_joined_again),
        cmocka_unit_test(nobody_is_asked_anew_once_the_report_is_made),
        cmocka_unit_test(the_model_waits_a_minute_for_sites_that_are_gone_and_not_longer),
        cmocka_unit_test(sites_keep_their_index_whatever_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
