/*
 * test_policy.c - what a hospital allows
 */
#include "fixture.h"

static job read_job(const char *change_from, const char *change_to)
{
    fl_err err = FL_ERR_INIT;
    job j;
    char *text = fl_xstrdup(hospital_job);
    if (change_from != NULL) {
        char *at = strstr(text, change_from);
        check(at != NULL);
        char *changed = fl_xasprintf("%.*s%s%s", (int)(at - text), text, change_to,
                                     at + strlen(change_from));
        free(text);
        text = changed;
    }
    check_ok(job_parse(&j, text, strlen(text), "job.yaml", ".", &err), err);
    free(text);
    return j;
}

static void the_default_policy_asks_a_person(void **state)
{
    (void)state;
    policy p;
    char why[FED_TEXT_BYTES];
    job j = read_job(NULL, NULL);
    policy_defaults(&p);
    check_int(policy_judge(&p, &j, 1000, false, why), POLICY_ASKS);
    check_has(why, "client approve");
    check_int(policy_judge(&p, &j, 1000, true, why), POLICY_ALLOWS);
    p.approve_all = true;
    check_int(policy_judge(&p, &j, 1000, false, why), POLICY_ALLOWS);
    job_clear(&j);
}

static void beyond_a_limit_no_approval_helps(void **state)
{
    (void)state;
    policy p;
    char why[FED_TEXT_BYTES];
    job j = read_job(NULL, NULL);
    policy_defaults(&p);

    p.max_parameters = 999;
    check_int(policy_judge(&p, &j, 1000, true, why), POLICY_REFUSES);
    check_has(why, "at most 999, the job has 1000");
    policy_defaults(&p);
    p.max_rounds = 2;
    check_int(policy_judge(&p, &j, 1000, true, why), POLICY_REFUSES);
    check_has(why, "rounds of at most 2, the job has 3");
    policy_defaults(&p);
    p.tasks = 1u << DATA_REGRESS;
    check_int(policy_judge(&p, &j, 1000, true, why), POLICY_REFUSES);
    check_has(why, "does not allow jobs of task classify");
    policy_defaults(&p);
    p.min_cell = 11;
    check_int(policy_judge(&p, &j, 1000, true, why), POLICY_REFUSES);
    check_has(why, "min_cell of at least 11, the job has 10");
    job_clear(&j);
}

static void few_other_hospitals_are_a_person_s_decision_in_any_case(void **state)
{
    (void)state;
    policy p;
    char why[FED_TEXT_BYTES];
    job j = read_job("quorum: 3", "quorum: 2");
    policy_defaults(&p);
    p.approve_all = true;
    check_int(policy_judge(&p, &j, 1000, false, why), POLICY_ASKS);
    check_has(why, "quorum of 2");
    check_int(policy_judge(&p, &j, 1000, true, why), POLICY_ALLOWS);
    job_clear(&j);
}

static void a_person_is_told_every_reason(void **state)
{
    (void)state;
    policy p;
    char why[FED_TEXT_BYTES];
    job many = read_job(NULL, NULL), few = read_job("quorum: 3", "quorum: 2");
    policy_defaults(&p);
    policy_why(&p, &many, why);
    check_str(why, "policy.yaml says approve: each");
    policy_why(&p, &few, why);
    check_has(why, "policy.yaml says approve: each; its quorum of 2 sites is less than the 3");
    p.approve_all = true;
    policy_why(&p, &few, why);
    check(strncmp(why, "its quorum of 2", strlen("its quorum of 2")) == 0);
    policy_why(&p, &many, why);
    check_has(why, "without an approval");
    p.max_rounds = 2;
    policy_why(&p, &few, why);
    check_has(why, "rounds of at most 2, the job has 3");
    job_clear(&many);
    job_clear(&few);
}

static void what_policy_text_writes_policy_read_reads(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    policy p, back;
    fl_buf text = FL_BUF_INIT;
    p = (policy){.approve_all = true,
                 .tasks = 1u << DATA_CLASSIFY | 1u << DATA_SEGMENT,
                 .max_parameters = 7,
                 .max_rounds = 8,
                 .min_cell = 9,
                 .figures = false,
                 .histogram_bins = 0,
                 .own_model_leaves = true,
                 .min_other_sites = 3};
    policy_text(&p, &text);
    hospital_file(h.home_dir, "policy.yaml", text.data);
    check_ok(policy_read(&back, h.home, &err), err);
    check_int(back.approve_all, p.approve_all);
    check_int(back.tasks, p.tasks);
    check_int(back.max_parameters, 7);
    check_int(back.max_rounds, 8);
    check_int(back.min_cell, 9);
    check_int(back.figures, false);
    check_int(back.histogram_bins, 0);
    check_int(back.own_model_leaves, true);
    check_int(back.min_other_sites, 3);

    p.own_model_leaves = false;
    fl_buf_reset(&text);
    policy_text(&p, &text);
    hospital_file(h.home_dir, "policy.yaml", text.data);
    check_ok(policy_read(&back, h.home, &err), err);
    check(!back.own_model_leaves);
    hospital_file(h.home_dir, "policy.yaml", "approve: each\n");  // of an older program
    check_ok(policy_read(&back, h.home, &err), err);
    check(!back.own_model_leaves);

    hospital_file(h.home_dir, "policy.yaml", "approve: each\nmax_runds: 3\n");
    check_fails(policy_read(&back, h.home, &err), FL_ECONFIG);
    check_has(err.text, "policy.yaml:2");
    check_has(err.text, "max_runds");
    fl_buf_clear(&text);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void fewer_bins_are_a_divisor_of_those_asked_for(void **state)
{
    (void)state;
    policy p;
    policy_defaults(&p);
    check_int(policy_bins(&p, 20), 20);
    check_int(policy_bins(&p, 10), 10);
    check_int(policy_bins(&p, 1000), 20);
    p.histogram_bins = 30;
    check_int(policy_bins(&p, 1000), 25);
    p.histogram_bins = 0;
    check_int(policy_bins(&p, 1000), 0);
}

static void a_waiting_job_is_approved_by_the_beginning_of_its_digest(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    fed_digest a = {{0xab, 1, 2, 3, 4}}, b = {{0xab, 1, 2, 3, 5}}, got;
    check_ok(policy_hold(h.home, &a, "job a", 5, &(job_graph){"graph a", 7}, &err), err);
    check_ok(policy_hold(h.home, &b, "job b", 5, NULL, &err), err);

    check_fails(policy_approve(h.home, "ab0102", &got, &err), FL_EUSAGE);    // too short
    check_fails(policy_approve(h.home, "ab010203", &got, &err), FL_EUSAGE);  // two of them
    check_fails(policy_approve(h.home, "ffffffff", &got, &err), FL_ENOTFOUND);
    check(!policy_approved(h.home, &a));
    check_ok(policy_approve(h.home, "ab01020304", &got, &err), err);
    check(fed_digest_equal(&got, &a));
    check(policy_approved(h.home, &a));
    check(!policy_approved(h.home, &b));

    char *text = NULL;
    size_t n = 0;
    check_ok(policy_held_text(h.home, &b, &text, &n, &err), err);
    check_str(text, "job b");
    free(text);
    char *graph = policy_held_graph(h.home, &a);
    check_ok(fl_file_read(&text, &n, graph, 100, &err), err);
    check_str(text, "graph a");
    free(text);
    free(graph);
    check(policy_held_graph(h.home, &b) == NULL);
    policy_drop(h.home, &a);
    check(policy_held_graph(h.home, &a) == NULL);
    fed_digest *waiting = NULL;
    check_ok(policy_waiting(h.home, &waiting, &n, &err), err);
    check_int(n, 1);
    free(waiting);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_policy_asks_a_person),
        cmocka_unit_test(beyond_a_limit_no_approval_helps),
        cmocka_unit_test(few_other_hospitals_are_a_person_s_decision_in_any_case),
        cmocka_unit_test(a_person_is_told_every_reason),
        cmocka_unit_test(what_policy_text_writes_policy_read_reads),
        cmocka_unit_test(fewer_bins_are_a_divisor_of_those_asked_for),
        cmocka_unit_test(a_waiting_job_is_approved_by_the_beginning_of_its_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
