/*
 * test_krum.c - rules that choose among whole updates
 *
 * (That they agree with NumPy is in test_strategy.c, and that kills change no bit in test_serve.c.)
 */
#define _GNU_SOURCE  // sched_setaffinity

#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "check.h"
#include "fake.h"
#include "played.h"

#include "base/json.h"
#include "base/rng.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/aggregate.h"
#include "coordinator/audit.h"
#include "coordinator/carry.h"
#include "coordinator/distance.h"
#include "coordinator/tools.h"
#include "report/report.h"

/* ----------------------------------------------------------------- one step */

/* n updates of P parameters, the last n_stat of which are running statistics. */
typedef struct {
    size_t n;
    int64_t P;
    nn_table *table;
    float *global, *out;
    float **update;  // (n) in the order of the sites' names
    bool *counted;   // (n)
} updates;

static nn_table *table_of(int64_t P, int64_t n_stat)
{
    fl_err err = FL_ERR_INIT;
    nn_table *t = nn_table_new();
    nn_shape weight = {1, {P - n_stat}}, stat = {1, {n_stat}};
    check_ok(nn_table_add(t, "weight", NN_WEIGHT, &weight, &err), err);
    if (n_stat > 0) {
        check_ok(nn_table_add(t, "stat", NN_STAT, &stat, &err), err);
    }
    return t;
}

/* Drawn around a common step, as wide as spread. */
static updates updates_new(size_t n, int64_t P, int64_t n_stat, float spread)
{
    updates u = {.n = n,
                 .P = P,
                 .table = table_of(P, n_stat),
                 .global = fl_xcalloc((size_t)P, sizeof(float)),
                 .out = fl_xcalloc((size_t)P, sizeof(float)),
                 .update = fl_xcalloc(n, sizeof(float *)),
                 .counted = fl_xcalloc(n, sizeof(bool))};
    fl_rng rng;
    fl_rng_init(&rng, 17, "updates", "", 0);
    for (int64_t p = 0; p < P; p++) {
        u.global[p] = (float)fl_rng_normal(&rng);
    }
    for (size_t i = 0; i < n; i++) {
        u.update[i] = fl_xcalloc((size_t)P, sizeof(float));
        for (int64_t p = 0; p < P; p++) {
            u.update[i][p] = 0.1f + spread * (float)fl_rng_normal(&rng);
        }
    }
    return u;
}

static void updates_free(updates *u)
{
    for (size_t i = 0; i < u->n; i++) {
        free(u->update[i]);
    }
    free(u->update);
    free(u->counted);
    free(u->global);
    free(u->out);
    nn_table_destroy(&u->table);
}

static fl_status read_update(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                             fl_err *err)
{
    (void)err;
    const updates *u = ctx;
    memcpy(out, u->update[i] + offset, (size_t)count * sizeof *out);
    return FL_OK;
}

static strategy rule(const char *name, double byzantine, double keep)
{
    fl_err err = FL_ERR_INIT;
    job_strategy cfg = {.param = {{"byzantine", byzantine}, {"keep", keep}}, .n_params = 1};
    strategy s;
    snprintf(cfg.name, sizeof cfg.name, "%s", name);
    cfg.n_params += keep > 0;
    check_ok(strategy_init(&s, &cfg, &err), err);
    return s;
}

static fl_status try_step(updates *u, const strategy *s, fl_err *err)
{
    aggregate_input in = {.n = u->n, .ctx = u, .read = read_update};
    return aggregate_run(u->out, u->counted, NULL, s, u->table, u->global, &in, err);
}

static void step(updates *u, const strategy *s)
{
    fl_err err = FL_ERR_INIT;
    check_ok(try_step(u, s, &err), err);
}

static size_t n_counted(const updates *u)
{
    size_t n = 0;
    for (size_t i = 0; i < u->n; i++) {
        n += u->counted[i];
    }
    return n;
}

/* Four agree more or less, one does not: whoever lies in the middle of the four is taken. */
static void krum_takes_the_update_that_is_nearest_to_the_others(void **state)
{
    (void)state;
    updates u = updates_new(5, 1, 0, 0);
    const float value[] = {1.0f, 1.3f, -100, 1.2f, 0.7f};
    for (size_t i = 0; i < 5; i++) {
        u.update[i][0] = value[i];
    }
    strategy s = rule("krum", 1, 0);
    step(&u, &s);
    check_int(n_counted(&u), 1);
    check(u.counted[3]);  // two nearest: .04 + .01; of 1.0 .04 + .09, of 1.3 .01 + .09
    check_near(u.out[0], u.global[0] + 1.2f, 0);
    s = rule("multi_krum", 1, 0);
    step(&u, &s);
    check_int(n_counted(&u), 4);
    check(!u.counted[2]);
    check_near(u.out[0], u.global[0] + 1.05, 1e-6);
    updates_free(&u);
}

static void krum_returns_one_of_its_inputs_whatever_their_order(void **state)
{
    (void)state;
    enum { N = 7, P = 140000, STAT = 3000, TRIALS = 12 };  // more than two blocks
    updates u = updates_new(N, P, STAT, 0.5f);
    strategy s = rule("krum", 2, 0);
    float *update[N], *first = NULL, *expected = fl_xcalloc(P, sizeof *expected);
    fl_rng rng;
    fl_rng_init(&rng, 3, "order", "", 0);
    size_t order[N] = {0, 1, 2, 3, 4, 5, 6};
    memcpy(update, u.update, sizeof update);
    for (int trial = 0; trial < TRIALS; trial++) {
        step(&u, &s);
        check_int(n_counted(&u), 1);
        size_t which = 0;
        while (!u.counted[which]) {
            which++;
        }
        for (int64_t p = 0; p < P; p++) {
            expected[p] = u.global[p] + u.update[which][p];
        }
        check_bytes(u.out, expected, P * sizeof *expected);
        first = trial == 0 ? u.update[which] : first;
        check(u.update[which] == first);
        fl_rng_shuffle(&rng, order, N);
        for (size_t i = 0; i < N; i++) {
            u.update[i] = update[order[i]];
        }
    }
    free(expected);
    updates_free(&u);
}

/* With statistics that would give them away if they counted as a distance. */
static void colluding_outliers_are_never_chosen(void **state)
{
    (void)state;
    enum { P = 60, STAT = 10 };
    const float far[] = {1, 5, 100};  // a coordinate; the honest lie 0.1 from each other
    for (size_t byzantine = 1; byzantine <= 4; byzantine++) {
        for (size_t k = 0; k < 3; k++) {
            updates u = updates_new(2 * byzantine + 3, P, STAT, 0.1f);
            size_t honest = u.n - byzantine;
            for (size_t i = 0; i < u.n; i++) {
                for (int64_t p = 0; p < P; p++) {
                    if (i >= honest) {
                        u.update[i][p] = far[k];  // all at one place, so that they have near ones
                    } else if (p >= P - STAT) {
                        u.update[i][p] = (float)(1000 * i);
                    }
                }
            }
            strategy one = rule("krum", (double)byzantine, 0);
            strategy many = rule("multi_krum", (double)byzantine, 0);
            step(&u, &one);
            for (size_t i = honest; i < u.n; i++) {
                check(!u.counted[i]);
            }
            step(&u, &many);
            check_int(n_counted(&u), honest);
            for (size_t i = honest; i < u.n; i++) {
                check(!u.counted[i]);
            }
            check_near(u.out[P - 1], u.global[P - 1] + 500.0 * (double)(honest - 1), 1e-3);
            updates_free(&u);
        }
    }
}

static void of_equal_scores_the_first_name_is_taken(void **state)
{
    (void)state;
    updates u = updates_new(6, 4, 0, 0.1f);
    for (size_t i = 1; i < 6; i++) {
        memcpy(u.update[i], u.update[0], 4 * sizeof(float));
    }
    u.update[0][2] += 0.01f;
    strategy s = rule("krum", 1, 0);
    step(&u, &s);
    check(u.counted[1] && n_counted(&u) == 1);
    s = rule("multi_krum", 1, 3);
    step(&u, &s);
    check(u.counted[1] && u.counted[2] && u.counted[3] && n_counted(&u) == 3);
    updates_free(&u);
}

/* ---------------------------------------------------------------- distances */

static fl_status make_update(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                             fl_err *err)
{
    (void)ctx, (void)err;
    for (int64_t p = 0; p < count; p++) {
        size_t drawn = (i * 7919 + (size_t)(offset + p) * 104729) % 10007;
        out[p] = ((float)drawn - 5003) * 1e-4f;
    }
    return FL_OK;
}

static double *squares_of(const nn_table *t, size_t n)
{
    fl_err err = FL_ERR_INIT;
    double *d = fl_xcalloc(n * n, sizeof *d);
    aggregate_input in = {.n = n, .read = make_update};
    check_ok(distance_squares(d, t, &in, &err), err);
    return d;
}

/* Of more updates fewer values are read at a time, and one thread takes all that eight would. */
static void a_distance_depends_on_the_two_updates_alone(void **state)
{
    (void)state;
    enum { P = 70001, STAT = 1, FEW = 3, MANY = 265 };
    nn_table *t = table_of(P, STAT);
    double *few = squares_of(t, FEW), *many = squares_of(t, MANY);
    cpu_set_t before, one;
    CPU_ZERO(&one);
    check_int(sched_getaffinity(0, sizeof before, &before), 0);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
        }
    }
    check_int(sched_setaffinity(0, sizeof one, &one), 0);
    double *alone = squares_of(t, MANY);
    check_int(sched_setaffinity(0, sizeof before, &before), 0);
    check_bytes(alone, many, MANY * MANY * sizeof *many);
    float *a = fl_xcalloc(P, sizeof *a), *b = fl_xcalloc(P, sizeof *b);
    for (size_t i = 0; i < FEW; i++) {
        for (size_t j = 0; j < FEW; j++) {
            long double sum = 0;
            make_update(NULL, i, a, 0, P, NULL);
            make_update(NULL, j, b, 0, P, NULL);
            for (int64_t p = 0; p < P - STAT; p++) {
                sum += ((long double)a[p] - b[p]) * ((long double)a[p] - b[p]);
            }
            check_near(few[i * FEW + j], (double)sum, 1e-12 * (double)sum);
            check_bytes(&many[i * MANY + j], &few[i * FEW + j], sizeof *few);
        }
    }
    for (size_t i = 0; i < MANY; i++) {
        check(many[i * MANY + i] == 0);
        for (size_t j = 0; j < i; j++) {
            check(many[i * MANY + j] > 0 && many[i * MANY + j] == many[j * MANY + i]);
        }
    }
    free(a);
    free(b);
    free(few);
    free(many);
    free(alone);
    nn_table_destroy(&t);
}

static void what_no_distance_can_be_taken_of_is_refused_by_number(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, 128};
    for (size_t k = 0; k < 3; k++) {
        fl_err err = FL_ERR_INIT;
        updates u = updates_new(5, 3000, 5, 0.1f);
        strategy s = rule("krum", 1, 0);
        u.update[3][2000] = bad[k];
        check_fails(try_step(&u, &s, &err), FL_EFORMAT);
        check_has(err.text, "contribution 4");
        check_int(n_counted(&u), 0);
        updates_free(&u);
    }
}

/* ------------------------------------------------------------- what is refused */

static fl_status check_with_quorum(const strategy *s, int64_t quorum, fl_err *err)
{
    job j = {.sites = {.quorum = quorum}};
    return aggregate_check(&j, s, err);
}

static void a_quorum_that_promises_too_few_updates_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    strategy s = rule("krum", 2, 0);
    check_ok(check_with_quorum(&s, 7, &err), err);
    check_fails(check_with_quorum(&s, 6, &err), FL_ECONFIG);
    check_has(err.text, "sites.quorum: krum needs 7 updates in every round with these settings (2 "
                        "byzantine + 3); expected a quorum of at least 7, or a smaller byzantine; "
                        "found 6");
    s = rule("multi_krum", 2, 5);
    check_ok(check_with_quorum(&s, 7, &err), err);
    s = rule("multi_krum", 2, 6);
    check_fails(check_with_quorum(&s, 7, &err), FL_ECONFIG);
    check_has(err.text, "keep + byzantine");
    updates u = updates_new(6, 4, 0, 0.1f);
    s = rule("krum", 2, 0);
    check_fails(try_step(&u, &s, &err), FL_ECONFIG);
    check_has(err.text, "krum needs 7 updates");
    check_has(err.text, "here are 6");
    updates_free(&u);
}

static void a_trimmed_mean_that_leaves_nobody_out_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    job_strategy cfg = {.name = "trimmed_mean", .param = {{"trim", 0}}, .n_params = 1};
    const struct {
        double trim;
        int64_t least;
    } of[] = {{0.1, 10}, {0.2, 5}, {0.25, 4}, {0.3, 4}, {1 / 3.0, 3}, {0.49, 3}, {0.05, 20}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        strategy s;
        cfg.param[0].value = of[i].trim;
        check_ok(strategy_init(&s, &cfg, &err), err);
        check_int(strategy_least_of(&s).n, of[i].least);
        check_int((int64_t)(of[i].trim * (double)of[i].least), 1);
        check_ok(check_with_quorum(&s, of[i].least, &err), err);
        check_fails(check_with_quorum(&s, of[i].least - 1, &err), FL_ECONFIG);
        check_has(err.text, "that is a plain mean");
    }
    strategy s;
    cfg.param[0].value = 0;  // says itself that it leaves nobody out
    check_ok(strategy_init(&s, &cfg, &err), err);
    check_ok(check_with_quorum(&s, 1, &err), err);
    cfg.param[0].value = 1e-300;
    check_ok(strategy_init(&s, &cfg, &err), err);
    check_fails(check_with_quorum(&s, 100000, &err), FL_ECONFIG);
}

static void what_it_cannot_use_is_not_given_to_it(void **state)
{
    (void)state;
    const char *const names[] = {"krum", "multi_krum"};
    for (size_t i = 0; i < 2; i++) {
        fl_err err = FL_ERR_INIT;
        strategy s = rule(names[i], 1, 0);
        job j = {.sites = {.quorum = 5, .partial = true}};
        check_fails(aggregate_check(&j, &s, &err), FL_ECONFIG);
        j.sites.partial = false;
        check_ok(aggregate_check(&j, &s, &err), err);
        j.privacy.secure_aggregation = true;
        check_fails(aggregate_check(&j, &s, &err), FL_ECONFIG);
        j = (job){.sites = {.quorum = 5, .late = JOB_LATE_CARRY}};
        check_fails(carry_check(&j, &s, &err), FL_ECONFIG);
        check_has(err.text, "sites.late");
        job_strategy cfg = {.param = {{"byzantine", 1.5}}, .n_params = 1};
        snprintf(cfg.name, sizeof cfg.name, "%s", names[i]);
        check_fails(strategy_init(&s, &cfg, &err), FL_ECONFIG);
        check_has(err.text, "strategy.byzantine: expected a whole number, found 1.5");
        cfg.param[0].value = -1;
        check_fails(strategy_init(&s, &cfg, &err), FL_ECONFIG);
    }
}

/* ------------------------------------------------------------------ whole runs */

/* Says the opposite of what it learnt, and more of it. */
static void spoil_update(fake_site *s, fake_kept *k)
{
    if (s->order.key.kind == FED_TRAIN) {
        float *update = k->items;
        for (uint64_t i = 0; i < k->n; i++) {
            update[i] *= -20;
        }
    }
}

static json_t *play(const char *yaml, size_t last)
{
    fl_err err = FL_ERR_INIT;
    fake *f = fake_new(5, yaml);
    f->site[1].spoil = spoil_update;
    f->one_at_a_time = true;
    f->turn = last;  // whose update comes first
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_ok(report_check(report, &err), err);
    fake_free(&f);
    return report;
}

static void the_report_says_whose_updates_counted(void **state)
{
    (void)state;
    char *yaml = fake_job(3, 5, "{name: multi_krum}", 9, "10s", "");
    json_t *report = play(yaml, 0), *round, *site;
    size_t r, i;
    json_array_foreach(json_object_get(report, "rounds"), r, round) {
        const json_t *chosen = json_object_get(round, "chosen");
        check_int(json_array_size(json_object_get(round, "participants")), 5);
        check_int(json_array_size(chosen), 4);
        for (i = 0; i < 4; i++) {
            check(strcmp(json_string_value(json_array_get(chosen, i)), "site-b") != 0);
        }
    }
    check_int(r, 3);
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        bool lies = strcmp(fl_json_get_string(site, "name", ""), "site-b") == 0;
        check_int(fl_json_get_int(site, "rounds_joined", -1), 3);
        check_int(fl_json_get_int(site, "rounds_chosen", -1), lies ? 0 : 3);
    }
    check_str(fl_json_get_string(json_object_get(report, "strategy_settings"), "weights", ""),
              "uniform");
    for (size_t first = 1; first < 5; first++) {
        json_t *other = play(yaml, first);
        check_str(model_sha256(other), model_sha256(report));
        json_decref(other);
    }
    json_decref(report);
    free(yaml);
}

/* The line of the record for each update that counted, and for no other. */
static void the_record_says_whose_updates_counted(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(2, 5, "{name: krum}", 9, "10s", ""), *text = NULL;
    size_t n = 0;
    fake *f = fake_new(5, yaml);
    f->site[1].spoil = spoil_update;
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    char *path = fake_run_path(f, "audit.jsonl");
    check_ok(fl_file_read(&text, &n, path, 1 << 24, &err), err);
    int n_chosen = 0;
    for (const char *at = text; (at = strstr(at, "\"what\":\"chosen\"")) != NULL; at++) {
        n_chosen++;
    }
    check_int(n_chosen, 2);
    check(strstr(text, "\"site\":\"site-b\",\"time\":") != NULL);  // it was heard
    json_t *report = fake_report(f);
    for (size_t r = 0; r < 2; r++) {
        json_t *round = json_array_get(json_object_get(report, "rounds"), r);
        check_int(json_array_size(json_object_get(round, "chosen")), 1);
        check(strcmp(json_string_value(json_array_get(json_object_get(round, "chosen"), 0)),
                     "site-b") != 0);
    }
    json_decref(report);
    free(text);
    free(path);
    fake_free(&f);
    free(yaml);
}

static fl_status verify(const fake *f, fl_err *err)
{
    char *dir = fake_run_path(f, "");
    char name[] = "verify", *argv[] = {name, dir, NULL};
    fl_status st = coordinator_verify(2, argv, err);
    free(dir);
    return st;
}

/* As a coordinator that lies would write it: the chain and the signed head are right. */
static void add_line(fake *f, const fed_digest *of_job, const char *site,
                     const fed_digest *digest)
{
    fl_err err = FL_ERR_INIT;
    record *r = NULL;
    audit *a = NULL;
    fed_site_id id;
    char *dir = fake_run_path(f, ""), *db = fake_run_path(f, "state.db");
    check_ok(fed_site_id_parse(&id, site, &err), err);
    check_ok(record_open(&r, db, of_job, "fake", &err), err);
    audit_config cfg = {
        .dir = dir, .run = "fake", .job = *of_job, .record = r, .id = f->fed.identity};
    check_ok(audit_open(&a, &cfg, &err), err);
    check_ok(record_begin(r, &err), err);
    check_ok(record_choose(r, 1, &id, digest, &err), err);
    check_ok(record_commit(r, &err), err);
    check_ok(audit_publish(a, &err), err);
    audit_close(&a);
    record_close(&r);
    free(db);
    free(dir);
}

static void verify_holds_the_chosen_against_what_was_accepted(void **state)
{
    (void)state;
    for (int lie = 0; lie < 2; lie++) {
        fl_err err = FL_ERR_INIT;
        char *yaml = fake_job(1, 5, "{name: krum}", 9, "10s", "");
        fake *f = fake_new(5, yaml);
        f->site[1].spoil = spoil_update;
        check_ok(fake_start(f, true, &err), err);
        check_ok(fake_run(f, &err), err);
        fed_digest of_job = *run_digest(serve_active_run(f->serve));
        fed_digest digest = fake_update_of(&f->site[1], 1)->offer.digest;
        fake_kill(f);
        check_ok(verify(f, &err), err);
        if (lie > 0) {
            digest.bytes[3] ^= 1;
        }
        add_line(f, &of_job, "site-b", &digest);
        if (lie > 0) {
            check_fails(verify(f, &err), FL_EFORMAT);
            check_has(err.text, "chooses train 1 site-b, which was not accepted");
        } else {
            check_ok(verify(f, &err), err);  // it was accepted: nobody else can tell
        }
        fake_free(&f);
        free(yaml);
    }
}

static void a_job_for_it_with_too_small_a_quorum_does_not_start(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(2, 4, "{name: krum}", 9, "10s", "");
    fake *f = fake_new(5, yaml);
    check_fails(fake_start(f, true, &err), FL_ECONFIG);
    check_has(err.text, "expected a quorum of at least 5");
    fake_free(&f);
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(krum_takes_the_update_that_is_nearest_to_the_others),
        cmocka_unit_test(krum_returns_one_of_its_inputs_whatever_their_order),
        cmocka_unit_test(colluding_outliers_are_never_chosen),
        cmocka_unit_test(of_equal_scores_the_first_name_is_taken),
        cmocka_unit_test(a_distance_depends_on_the_two_updates_alone),
        cmocka_unit_test(what_no_distance_can_be_taken_of_is_refused_by_number),
        cmocka_unit_test(a_quorum_that_promises_too_few_updates_is_refused),
        cmocka_unit_test(a_trimmed_mean_that_leaves_nobody_out_is_refused),
        cmocka_unit_test(what_it_cannot_use_is_not_given_to_it),
        cmocka_unit_test(the_report_says_whose_updates_counted),
        cmocka_unit_test(the_record_says_whose_updates_counted),
        cmocka_unit_test(verify_holds_the_chosen_against_what_was_accepted),
        cmocka_unit_test(a_job_for_it_with_too_small_a_quorum_does_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
