/*
 * test_cross_site.c - own models that travel: every site's judged by every other
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include <math.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "coordinator/cross_site.h"
#include "report/report.h"

/* fake_job, with the matrix; keep: what else its evaluation says. */
static char *job_of(int features, const char *patience, const char *more)
{
    char *plain = fake_job(1, 2, "{name: fedavg}", features, patience, more);
    const char *at = strstr(plain, "histogram_bins: 20");
    check(at != NULL);
    char *yaml = fl_xasprintf("%.*scross_site: true, %s", (int)(at - plain), plain, at);
    free(plain);
    return yaml;
}

/* Three sites whose policies let their own models leave. */
static fake *three_of(const char *yaml)
{
    fake *f = fake_new(3, yaml);
    for (size_t i = 0; i < f->n_sites; i++) {
        f->site[i].own_model = "leaves";
    }
    return f;
}

static fake *three(const char *patience)
{
    char *yaml = job_of(5, patience, "");
    fake *f = three_of(yaml);
    free(yaml);
    return f;
}

static json_t *play(fake *f)
{
    fl_err err = FL_ERR_INIT;
    if (f->serve == NULL) {
        check_ok(fake_start(f, true, &err), err);
    }
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_ok(report_check(report, &err), err);
    return report;
}

static json_t *matrix_of(const json_t *report)
{
    return json_object_get(json_object_get(report, "baselines"), "cross_site");
}

static json_t *cell(const json_t *report, const char *row, const char *column)
{
    return json_object_get(json_object_get(json_object_get(matrix_of(report), "sites"), row),
                           column);
}

static double accuracy(const json_t *report, const char *row, const char *column)
{
    return fl_json_get_number(json_object_get(cell(report, row, column), "accuracy"), "value");
}

static const char *const names[] = {"site-a", "site-b", "site-c"};

/* Every model at every site, each with its own threshold. */
static void check_whole(const json_t *report)
{
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            double expected = fake_judged(fake_own_first(i), fake_own_threshold(i), j);
            check_near(accuracy(report, names[i], names[j]), expected, 1e-9);
        }
    }
    check_int(json_array_size(json_object_get(matrix_of(report), "missing")), 0);
    check_int(json_array_size(json_object_get(matrix_of(report), "absent")), 0);
    check(json_object_get(matrix_of(report), "kept") == NULL);
}

static size_t n_spools(const fake *f)
{
    fl_err err = FL_ERR_INIT;
    char *dir = fake_run_path(f, "spool"), **found = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&found, &n, dir, &err), err);
    fl_names_free(&found, n);
    free(dir);
    return n;
}

/* Contributions of that kind in the run's record. */
static size_t n_recorded(const fake *f, const char *kind)
{
    fl_err err = FL_ERR_INIT;
    char *path = fake_run_path(f, "audit.jsonl"), *text = NULL, wanted[64];
    size_t n_text = 0, n = 0;
    check_ok(fl_file_read(&text, &n_text, path, 64 << 20, &err), err);
    snprintf(wanted, sizeof wanted, "\"kind\":\"%s\"", kind);
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++) {
        const char *end = strchr(at, '\n');
        const char *what = strstr(at, "\"what\":\"contribution\"");
        n += what != NULL && what < end;
    }
    free(text);
    free(path);
    return n;
}

static bool privacy_tells(const json_t *report)
{
    json_t *left = json_object_get(json_object_get(report, "privacy"), "left"), *item;
    size_t i;
    json_array_foreach(left, i, item) {
        if (strncmp(json_string_value(item), "each hospital's own model", 25) == 0) {
            return true;
        }
    }
    return false;
}

/* What a site may say of another's model, one thing changed. */
static void say(fake_kept *k, const char *text)
{
    if (k->offer.key.kind == FED_CROSS) {
        free(k->items);
        k->items = fl_xstrdup(text);
        k->n = strlen(text);
    }
}

/* It says why it has no figures of the second model, which it did not look at. */
static void spoil_second_judgement(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.round.n == 2) {
        say(k, "{\"n_test\": 40, \"why\": \"its policy does not let figures leave\"}");
    }
}

static void every_own_model_is_judged_by_every_site(void **state)
{
    (void)state;
    fake *f = three("20s");
    json_t *report = play(f);
    check_whole(report);
    check(privacy_tells(report));
    check_int(n_recorded(f, "lend"), 3);
    check_int(n_recorded(f, "cross"), 9);
    check_int(fl_json_get_int(report, "test_evaluations", 0), 4);
    check_int(n_spools(f), 0);  // and the coordinator has none of them any more
    json_decref(report);
    fake_free(&f);
}

/* A look for the selected model, and one for each own model that was judged: also those that an
 * older client does not count, and not those of a model that it did not judge. */
static void every_look_at_a_test_split_is_counted(void **state)
{
    (void)state;
    fake *f = three("20s");
    f->site[0].has_no_own = true;  // two models to judge
    f->site[1].tells_no_looks = true;
    f->site[2].spoil = spoil_second_judgement;
    json_t *report = play(f), *sites = json_object_get(report, "sites");
    check_int(fl_json_get_int(report, "test_evaluations", 0), 3);
    for (size_t i = 0; i < 3; i++) {
        check_int(fl_json_get_int(json_array_get(sites, i), "test_opened", 0), i == 2 ? 2 : 3);
    }
    json_decref(report);
    fake_free(&f);
}

// ---------------------------------------------------------------- who allows it

static void where_one_policy_keeps_its_model_none_travels(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *why;
    } keeps[] = {{"stays", "its policy keeps its own model"},
                 {NULL, "its client is older than the cross-site matrix"}};
    for (size_t i = 0; i < 2; i++) {
        fake *f = three("20s");
        f->site[1].own_model = keeps[i].policy;
        json_t *report = play(f);
        check_int(json_object_size(json_object_get(matrix_of(report), "sites")), 0);
        json_t *kept = json_object_get(matrix_of(report), "kept");
        check_int(json_array_size(kept), 1);
        check_str(absence_in(kept, "site-b"), keeps[i].why);
        check_int(n_recorded(f, "lend"), 0);  // nobody was asked
        check(!privacy_tells(report));
        check_int(json_array_size(json_object_get(report, "sites")), 3);
        json_decref(report);
        fake_free(&f);
    }
}

static void a_policy_that_changes_in_mid_run_is_heard(void **state)
{
    (void)state;
    fake *f = three("20s");
    f->site[2].keeps_own = true;
    json_t *report = play(f);
    check_int(json_object_size(json_object_get(matrix_of(report), "sites")), 0);
    check_str(absence_in(json_object_get(matrix_of(report), "kept"), "site-c"),
              "its policy keeps its own model, since the run began");
    check_int(n_recorded(f, "cross"), 0);  // the others' were shown to nobody
    check_int(n_spools(f), 0);
    json_decref(report);
    fake_free(&f);
}

static void a_site_without_a_model_of_its_own_judges_the_others(void **state)
{
    (void)state;
    fake *f = three("20s");
    f->site[0].has_no_own = true;
    json_t *report = play(f);
    check_int(json_object_size(json_object_get(matrix_of(report), "sites")), 2);
    check_str(json_string_value(json_array_get(json_object_get(matrix_of(report), "missing"), 0)),
              "site-a");
    check_near(accuracy(report, "site-b", "site-a"),
               fake_judged(fake_own_first(1), fake_own_threshold(1), 0), 1e-9);
    json_decref(report);
    fake_free(&f);
    f = three("20s");
    for (size_t i = 0; i < 3; i++) {
        f->site[i].has_no_own = true;
    }
    report = play(f);  // nothing to judge
    check_int(json_object_size(json_object_get(matrix_of(report), "sites")), 0);
    check_int(json_array_size(json_object_get(matrix_of(report), "missing")), 3);
    json_decref(report);
    fake_free(&f);
}

/* A record in which n sites joined and were tested. */
static record *record_of(size_t n, const char *dir)
{
    fl_err err = FL_ERR_INIT;
    record *r = NULL;
    const fed_digest digest = {{1}};
    char *path = fl_path_join(dir, "state.db");
    check_ok(record_open(&r, path, &digest, "many", &err), err);
    round_machine *m = round_new(&(round_config){.quorum = 1, .n_rounds = 1}, 0);
    for (size_t i = 0; i < n; i++) {
        fed_site_id name;
        snprintf(name.text, sizeof name.text, "site-%zu", i);
        round_restore_check(m, round_add_site(m, &name, 0), ROUND_CHECK_JOINED, "");
    }
    const round_step step = {.kind = ROUND_STEP_ENTER, .state = ROUND_TESTING, .round = 1};
    check_ok(record_begin(r, &err), err);
    check_ok(record_step(r, m, &step, &err), err);
    check_ok(record_commit(r, &err), err);
    round_destroy(&m);
    free(path);
    return r;
}

static void more_sites_than_a_report_takes_are_told_so(void **state)
{
    (void)state;
    for (size_t n = CROSS_SITE_MOST; n <= CROSS_SITE_MOST + 1; n++) {
        fl_err err = FL_ERR_INIT;
        char *dir = check_tmpdir();
        record *r = record_of(n, dir);
        bool too_large;
        json_t *json, *looks = json_object();
        check_ok(cross_site_is_too_large(&too_large, r, 1, &err), err);
        check_int(too_large, n > CROSS_SITE_MOST);
        check_ok(cross_site_json(&json, looks, r, 1, &err), err);
        check_str(fl_json_get_string(json, "why", ""),
                  too_large ? "the matrix of more than 100 hospitals is more than a report takes"
                            : "");
        json_decref(json);
        json_decref(looks);
        record_close(&r);
        check_rmdir(&dir);
    }
}

static void with_codes_no_name_is_in_a_sites_matrix(void **state)
{
    (void)state;
    char *yaml = job_of(5, "20s", "names: codes\n");
    fake *f = three_of(yaml);
    f->site[1].has_no_own = true;
    json_t *report = play(f), *own = report_for_site(report, "site-a");
    char *text = fl_json_text(matrix_of(own));
    check_has(text, "site-a");
    check(strstr(text, "site-b") == NULL && strstr(text, "site-c") == NULL);
    free(text);
    json_decref(own);
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

// ------------------------------------------------------------------- silences

static bool is_in(fake *f, round_state state)
{
    return round_now(run_machine(serve_active_run(f->serve))) == state;
}

static bool is_lending(fake *f)
{
    return is_in(f, ROUND_LENDING);
}

static bool is_crossing(fake *f)
{
    return is_in(f, ROUND_CROSSING);
}

static bool is_testing(fake *f)
{
    return is_in(f, ROUND_TESTING);
}

static void a_site_that_is_silent_leaves_an_empty_row_or_column_with_the_reason(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = three("400ms");
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_testing, &err));
    while (is_testing(f)) {  // it answers the test, and then no more
        bool done;
        check_ok(fake_step(f, &done, &err), err);
        f->site[1].asleep = is_lending(f);
    }
    json_t *report = play(f);
    check(cell(report, "site-b", "site-a") == NULL);
    check(cell(report, "site-a", "site-b") == NULL);
    check_near(accuracy(report, "site-c", "site-a"),
               fake_judged(fake_own_first(2), fake_own_threshold(2), 0), 1e-9);
    check_str(absence_in(json_object_get(matrix_of(report), "absent"), "site-b"),
              "silent for 0.4 s");
    check_int(json_array_size(json_object_get(matrix_of(report), "absent")), 1);  // said once
    json_decref(report);
    fake_free(&f);

    f = three("400ms");
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_crossing, &err));
    f->site[2].asleep = true;
    report = play(f);
    check(cell(report, "site-c", "site-a") != NULL);  // its model was lent before
    check(cell(report, "site-b", "site-c") == NULL);
    check_has(absence_in(json_object_get(matrix_of(report), "absent"), "site-c"), "silent for");
    json_decref(report);
    fake_free(&f);
}

static bool c_hears_of_upgrading(fake *f)
{
    return strstr(f->site[2].wait_text, "this client speaks protocol 3") != NULL;
}

static void a_client_that_was_replaced_by_an_older_one_waits_and_is_told_why(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = three("1s");
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_testing, &err));
    fake_site_kill(&f->site[2]);
    f->site[2].version = 3;
    check(fake_until(f, c_hears_of_upgrading, &err));
    check_has(f->site[2].wait_text, "the run goes on in 4: upgrade it");
    json_t *report = play(f);
    check_has(absence_in(json_object_get(matrix_of(report), "absent"), "site-c"), "stalled");
    check(cell(report, "site-a", "site-b") != NULL);
    json_decref(report);
    fake_free(&f);
}

// ---------------------------------------------------------------------- kills

static bool was_killed_in(const killer *k, const char *state)
{
    for (size_t i = 0; i < k->n; i++) {
        if (strstr(k->seen[i], state) != NULL) {
            return true;
        }
    }
    return false;
}

static void killed_at_every_transition_the_matrix_is_the_same(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    killer k = {.n = 0};
    fake *f = three("20s");
    f->probe = kill_once_everywhere;
    f->probe_ctx = &k;
    f->one_at_a_time = true;
    fl_status st;
    do {
        check_ok(fake_start(f, true, &err), err);
        st = fake_run(f, &err);
        if (st == FL_ESTOPPED) {
            fake_kill(f);
        }
    } while (st == FL_ESTOPPED);
    check_ok(st, err);
    check(was_killed_in(&k, "before lending") && was_killed_in(&k, "after lending"));
    check(was_killed_in(&k, "before crossing") && was_killed_in(&k, "after crossing"));
    json_t *report = fake_report(f);
    check_whole(report);
    check_int(n_recorded(f, "lend"), 3);  // each taken once
    check_int(n_recorded(f, "cross"), 9);
    json_decref(report);
    fake_free(&f);
}

static void sites_and_coordinator_killed_at_random_change_no_cell(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = job_of(70000, "30s", "");  // two pieces
    fake *f = three_of(yaml);
    fl_rng rng;
    fl_rng_init(&rng, 5, "kills", "", 0);
    bool done = false;
    int kills = 0;
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_testing, &err));
    while (!done) {
        check_ok(fake_step(f, &done, &err), err);
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
    check(kills >= 10);
    json_t *report = fake_report(f);
    check_whole(report);
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

static bool lose_some(void *ctx, bool to_server)
{
    (void)to_server;
    return fl_rng_below(ctx, 7) == 0;
}

static void one_message_in_seven_lost_changes_no_cell(void **state)
{
    (void)state;
    char *yaml = job_of(70000, "30s", "");
    fake *f = three_of(yaml);
    fl_rng rng;
    fl_rng_init(&rng, 6, "loss", "", 0);
    f->drop = lose_some;
    f->drop_ctx = &rng;
    json_t *report = play(f);
    check_whole(report);
    json_decref(report);
    fake_free(&f);
    free(yaml);
}

static void a_lent_model_that_the_disk_lost_is_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = three("20s");
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_crossing, &err));
    f->site[0].idle_beats = true;  // so that the first model is judged for long
    fake_kill(f);
    char *dir = fake_run_path(f, "spool"), **found = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&found, &n, dir, &err), err);
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(dir, found[i]);
        unlink(path);
        free(path);
    }
    fl_names_free(&found, n);
    free(dir);
    check_fails(fake_start(f, true, &err), FL_EFORMAT);
    check_has(err.text, "spool/lend-00000001-site-");
    check_has(err.text, "damaged or gone");
    fake_free(&f);
}

// ----------------------------------------------------------------------- lies

static void spoil_nan(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_LEND) {
        ((float *)k->items)[3] = NAN;
    }
}

static void spoil_shape(fake_site *s, fake_kept *k)
{
    (void)s;
    k->n = k->offer.key.kind == FED_LEND ? k->n - 1 : k->n;
}

static void spoil_table(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_LEND) {
        k->offer.table_hash[0] ^= 1;
    }
}

static void spoil_name(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_LEND) {
        snprintf(k->offer.site.text, sizeof k->offer.site.text, "site-a");
    }
}

static void spoil_threshold(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_LEND) {
        fed_offer_set(&k->offer, "threshold", 7);
    }
}

static void spoil_word(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_LEND) {
        fed_offer_set(&k->offer, "allowed", 0);
    }
}

/* The model that site-a has lent; this site is slower. */
static void spoil_with_another(fake_site *s, fake_kept *k)
{
    const fake_site *a = &s->fake->site[0];
    for (size_t i = 0; i < a->n_kept && k->offer.key.kind == FED_LEND; i++) {
        if (a->kept[i].offer.key.kind == FED_LEND) {
            memcpy(k->items, a->kept[i].items, (size_t)k->n * sizeof(float));
        }
    }
}

typedef struct {
    void (*spoil)(fake_site *s, fake_kept *k);
    const char *why;
} lie;

/* Plays with three sites, the second of which lies: that is why it is absent.  *report: new. */
static fake *play_lie(json_t **report, const lie *told)
{
    fake *f = three("20s");
    f->site[1].spoil = told->spoil;
    *report = play(f);
    const char *why = absence_in(json_object_get(matrix_of(*report), "absent"), "site-b");
    check(why != NULL);
    check_has(why, "contribution refused: ");
    check_has(why, told->why);
    return f;
}

static void a_model_that_is_no_own_model_is_refused_and_named(void **state)
{
    (void)state;
    const lie lies[] = {
        {spoil_nan, "the site's own model: parameters 0 to"},
        {spoil_shape, "the site's own model has"},
        {spoil_table, "table of parameters"},
        {spoil_name, "in the name of site-a"},
        {spoil_threshold, "threshold"},
        {spoil_word, "allowed"},
        {spoil_with_another, "one that another site has lent"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        json_t *report;
        fake *f = play_lie(&report, &lies[i]);
        check(was_refused(report, "contribution", lies[i].why));
        check_int(json_object_size(json_object_get(matrix_of(report), "sites")), 2);
        check(cell(report, "site-a", "site-b") != NULL);  // it may judge, and the run went on
        check_int(n_spools(f), 0);
        json_decref(report);
        fake_free(&f);
    }
}

static void spoil_value(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "{\"n_test\": 40, \"metrics\": {\"auc\": {\"value\": 1.5, \"why\": \"\"}}}");
}

static void spoil_count(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "{\"n_test\": 40, \"metrics\": {\"auc\": {\"value\": 0.5, \"n\": 41, \"why\": \"\"}}}");
}

static void spoil_n(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "{\"n_test\": 4000, \"why\": \"none\"}");
}

static void spoil_scalar(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_CROSS) {
        fed_offer_set(&k->offer, "n", 41);  // it joined with 40
    }
}

static void spoil_looks(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "{\"n_test\": 40, \"why\": \"none\", \"test_opened\": -1}");
}

static void spoil_keys(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "{\"n_test\": 40, \"metrics\": {}, \"why\": \"both\"}");
}

static void spoil_nothing(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "");
}

static void spoil_metric(fake_site *s, fake_kept *k)
{
    (void)s;
    say(k, "{\"n_test\": 40, \"metrics\": {\"goodness\": {\"value\": 1, \"why\": \"\"}}}");
}

static void impossible_judgements_are_refused_and_named(void **state)
{
    (void)state;
    const lie lies[] = {
        {spoil_value, "metrics.auc.value"}, {spoil_count, "metrics.auc"},
        {spoil_n, "n_test"},                {spoil_scalar, "joined with 40 test cases"},
        {spoil_keys, "either metrics or why"}, {spoil_nothing, "needs its figures"},
        {spoil_metric, "goodness"},          {spoil_looks, "test_opened"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        json_t *report;
        fake *f = play_lie(&report, &lies[i]);
        check(cell(report, "site-b", "site-a") != NULL);
        check(cell(report, "site-a", "site-b") == NULL);
        json_decref(report);
        fake_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_own_model_is_judged_by_every_site),
        cmocka_unit_test(every_look_at_a_test_split_is_counted),
        cmocka_unit_test(where_one_policy_keeps_its_model_none_travels),
        cmocka_unit_test(a_policy_that_changes_in_mid_run_is_heard),
        cmocka_unit_test(a_site_without_a_model_of_its_own_judges_the_others),
        cmocka_unit_test(more_sites_than_a_report_takes_are_told_so),
        cmocka_unit_test(with_codes_no_name_is_in_a_sites_matrix),
        cmocka_unit_test(a_site_that_is_silent_leaves_an_empty_row_or_column_with_the_reason),
        cmocka_unit_test(a_client_that_was_replaced_by_an_older_one_waits_and_is_told_why),
        cmocka_unit_test(killed_at_every_transition_the_matrix_is_the_same),
        cmocka_unit_test(sites_and_coordinator_killed_at_random_change_no_cell),
        cmocka_unit_test(one_message_in_seven_lost_changes_no_cell),
        cmocka_unit_test(a_lent_model_that_the_disk_lost_is_named),
        cmocka_unit_test(a_model_that_is_no_own_model_is_refused_and_named),
        cmocka_unit_test(impossible_judgements_are_refused_and_named),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
