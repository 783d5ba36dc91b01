/*
 * test_hostile.c - sites that lie, leave, come late, or were removed
 */
#include "check.h"
#include "fake.h"

#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "report/report.h"

static fake *started(size_t n_sites, int quorum, int rounds, const char *patience, const char *more)
{
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(rounds, quorum, "{name: fedavg}", 6, patience, more);
    fake *f = fake_new(n_sites, yaml);
    check_ok(fake_start(f, true, &err), err);
    free(yaml);
    return f;
}

static const char *absence_in(const json_t *list, const char *site)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(fl_json_get_string(item, "site", ""), site) == 0) {
            return fl_json_get_string(item, "reason", "");
        }
    }
    return NULL;
}

/* Why site was absent from a round; NULL when it was not. */
static const char *absence(const json_t *report, size_t round, const char *site)
{
    return absence_in(
        json_object_get(json_array_get(json_object_get(report, "rounds"), round - 1), "absent"),
        site);
}

static bool was_refused(const json_t *report, const char *what, const char *reason)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(json_object_get(report, "security"), "refusals"), i, r)
    {
        if (strcmp(fl_json_get_string(r, "what", ""), what) == 0 &&
            strstr(fl_json_get_string(r, "reason", ""), reason) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_training(fake *f)
{
    return round_now(run_machine(serve_active_run(f->serve))) == ROUND_TRAINING;
}

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

// ------------------------------------------------------------------ absence

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

// -------------------------------------------------------------------- roster

static void remove_site(fake *f, const char *name)
{
    fl_err err = FL_ERR_INIT;
    roster *r = NULL;
    char *db = federation_path(&f->fed, "federation.db");
    check_ok(roster_open(&r, db, &err), err);
    check_ok(roster_remove(r, name, &err), err);
    roster_close(&r);
    free(db);
}

static void a_site_removed_in_mid_round_is_cut_off_at_once(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "30s", "");
    f->site[1].idle_beats = false;
    check(fake_until(f, is_training, &err));
    f->site[1].idle_beats = true;  // holds the round up
    remove_site(f, "site-b");      // as `coordinator remove` from another process
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

static void a_site_removed_before_it_answered_is_in_the_report(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 2, 2, "30s", "");
    f->site[1].asleep = true;
    check(fake_until(f, two_have_joined, &err));
    remove_site(f, "site-b");
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

static bool hears_wait(fake *f)
{
    return strstr(f->site[2].wait_text, "confirm") != NULL;
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
    fed_msg m = {.type = FED_MSG_FETCH};
    m.u.fetch.object = *run_digest(serve_active_run(f->serve));
    m.u.fetch.count = 1;
    fake_say(s, &m, NULL, 0);
    fed_inbox_destroy(&s->inbox);
    s->inbox_object = m.u.fetch.object;
    check_ok(fed_inbox_new(&s->inbox, &s->inbox_object, 1 << 20, &err), err);
    bool done;
    for (int i = 0; i < 50; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    check(!fed_inbox_done(s->inbox));
    roster *r = NULL;
    char *db = federation_path(&f->fed, "federation.db");
    check_ok(roster_open(&r, db, &err), err);
    check_ok(roster_confirm(r, "new", &err), err);
    roster_close(&r);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    json_decref(report);
    free(db);
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

// --------------------------------------------------------------------- lies

static int spoils;

static void spoil_nan(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TRAIN) {
        ((float *)k->items)[3] = NAN;
    }
}

static void spoil_huge(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TRAIN) {
        ((float *)k->items)[0] = 1e6f;
    }
}

static void spoil_shape(fake_site *s, fake_kept *k)
{
    (void)s;
    k->n = k->offer.key.kind == FED_TRAIN ? k->n - 1 : k->n;
}

static void spoil_weight(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TRAIN) {
        fed_offer_set(&k->offer, "weight", 1e9);
    }
}

/* More than it joined with: it would outweigh the others. */
static void spoil_count(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TRAIN) {
        fed_offer_set(&k->offer, "weight", 1 << 20);
    }
}

static void spoil_base(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TRAIN) {
        k->offer.base_model.bytes[0] ^= 1;
    }
}

static void spoil_name(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TRAIN) {
        snprintf(k->offer.site.text, sizeof k->offer.site.text, "site-b");
    }
}

static void spoil_figures(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TEST) {
        char *at = strstr(k->items, "\"tp\": 12");
        memcpy(at, "\"tp\": 99", 8);
    }
}

static void spoil_text(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TEST) {
        memcpy(k->items, "\x1b[2J<script>", 12);  // jansson quotes what it cannot read
        k->n = 12;
    }
}

static void spoil_once(fake_site *s, fake_kept *k)
{
    if (k->offer.key.kind == FED_TRAIN && spoils++ == 0) {
        spoil_nan(s, k);
    }
}

static void lies_are_refused_three_times_and_then_the_site_is_absent(void **state)
{
    (void)state;
    const struct {
        void (*spoil)(fake_site *s, fake_kept *k);
        const char *why;
    } lies[] = {
        {spoil_nan, "is nan"},
        {spoil_huge, "expected a number between"},
        {spoil_shape, "the update has"},
        {spoil_weight, "weight"},
        {spoil_base, "another model"},
        {spoil_name, "in the name of site-b"},
        {spoil_count, "joined with 100 training cases"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        fl_err err = FL_ERR_INIT;
        fake *f = started(3, 2, 1, "20s", "");
        f->site[0].spoil = lies[i].spoil;
        check_ok(fake_run(f, &err), err);
        json_t *report = fake_report(f);
        check_has(absence(report, 1, "site-a"), "contribution refused: ");
        check_has(absence(report, 1, "site-a"), lies[i].why);
        check(was_refused(report, "contribution", lies[i].why));
        check_int(json_array_size(json_object_get(
                      json_array_get(json_object_get(report, "rounds"), 0), "participants")),
                  2);
        json_decref(report);
        fake_free(&f);
    }
}

static void an_update_spoilt_on_the_way_is_asked_for_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "20s", "");
    spoils = 0;
    f->site[0].spoil = spoil_once;
    check_ok(fake_run(f, &err), err);
    check_int(f->site[0].n_refused, 1);
    json_t *report = fake_report(f);
    check(absence(report, 1, "site-a") == NULL);
    json_decref(report);
    fake_free(&f);
}

static void impossible_test_figures_are_refused_and_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 1, 1, "20s", "");
    f->site[1].spoil = spoil_figures;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_int(json_array_size(json_object_get(report, "sites")), 1);
    check_has(absence_in(json_object_get(report, "absent"), "site-b"),
              "contribution refused: figures: ");
    json_decref(report);
    fake_free(&f);
}

/* What a site sends is quoted in sentences, and those are in logs and in everybody's report. */
static void a_refused_text_cannot_spoil_the_report(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 1, 1, "20s", "");
    f->site[1].spoil = spoil_text;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_ok(report_check(report, &err), err);
    check_int(json_array_size(json_object_get(report, "sites")), 1);
    char *text = fl_json_text(report);
    check(strstr(text, "u001") == NULL);  // no control character, escaped or not
    free(text);
    json_decref(report);
    fake_free(&f);
}

static void spoil_long(fake_site *s, fake_kept *k)
{
    (void)s;
    if (k->offer.key.kind == FED_TEST) {
        fl_buf text = FL_BUF_INIT;
        fl_buf_puts(
            &text,
            "{\"name\": \"site-b\", \"n_train\": 1, \"n_val\": 1, \"n_test\": 1, \"models\": {\"b");
        for (int i = 0; i < 29; i++) {
            fl_buf_puts(&text, "a\u00e4");  // two bytes: one cut is within a letter
        }
        fl_buf_puts(&text, "x\u00e4\": {\"y\": 1}}}");
        free(k->items);
        k->n = text.n;
        k->items = fl_buf_take(&text);
    }
}

static void a_sentence_cut_in_mid_letter_is_still_an_absence(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 1, 1, "20s", "");
    f->site[1].spoil = spoil_long;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check_has(absence_in(json_object_get(report, "absent"), "site-b"), "contribution refused");
    check(was_refused(report, "contribution", "figures: site.models."));
    json_decref(report);
    fake_free(&f);
}

static bool a_is_in(fake *f)
{
    return round_count(run_machine(serve_active_run(f->serve)), ROUND_IN) == 1 && is_training(f);
}

/* The first accepted digest wins; the same one again is fine. */
static void a_second_different_update_of_a_round_is_refused_and_recorded(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "20s", "");
    fake_site *a = &f->site[0];
    check(fake_until(f, is_training, &err));
    f->site[1].asleep = true;
    check(fake_until(f, a_is_in, &err));
    bool done;
    for (int i = 0; i < 5; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    fake_kept *k = NULL;
    for (size_t i = 0; i < a->n_kept; i++) {
        k = a->kept[i].offer.key.kind == FED_TRAIN ? &a->kept[i] : k;
    }
    int accepted = a->n_accepted;
    fed_msg m = {.type = FED_MSG_OFFER, .u.offer = k->offer};
    fake_say(a, &m, NULL, 0);
    for (int i = 0; i < 5; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    check_int(a->n_accepted, accepted + 1);  // told again that it is in

    fake_kill(f);  // also after a restart
    check_ok(fake_start(f, true, &err), err);
    f->site[1].asleep = true;
    bool (*const is_back)(fake *) = a_is_in;
    check(fake_until(f, is_back, &err));
    for (int i = 0; i < 100 && !a->welcome; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    m.u.offer.digest.bytes[0] ^= 1;
    fake_sign(a, &m.u.offer);
    int refused = a->n_refused;
    fake_say(a, &m, NULL, 0);
    for (int i = 0; i < 20; i++) {
        check_ok(fake_step(f, &done, &err), err);
    }
    check_int(a->n_refused, refused + 1);
    check_has(a->last_verdict, "a different train contribution of round 1 was accepted already");
    f->site[1].asleep = false;
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check(was_refused(report, "contribution", "a different train contribution"));
    check(absence(report, 1, "site-a") == NULL);
    json_decref(report);
    fake_free(&f);
}

static void a_forged_signature_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(2, 2, 1, "20s", "");
    fake_site *a = &f->site[0];
    check(fake_until(f, is_training, &err));
    fed_msg m = {.type = FED_MSG_OFFER};
    m.u.offer = a->kept[0].offer;
    m.u.offer.key = (fed_order_key){
        .kind = FED_TRAIN, .job = *run_digest(serve_active_run(f->serve)), .round = {1}};
    fake_say(a, &m, NULL, 0);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f);
    check(was_refused(report, "contribution", "signature"));
    json_decref(report);
    fake_free(&f);
}

static void garbage_is_counted_and_harms_nobody(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fake *f = started(3, 3, 2, "20s", "");
    check(fake_until(f, is_training, &err));
    bool done = false;
    for (int step = 0; step < 100 && !done; step++) {
        for (uint8_t i = 0; i < 200; i++) {
            const uint8_t bytes[] = {i, 0x52, 0xff, 0xff, 0xff, 0x0f, i, 3};
            fed_send(f->site[1].link, NULL, bytes, sizeof bytes, NULL, 0, NULL);
        }
        check_ok(fake_step(f, &done, &err), err);
    }
    check_ok(fake_run(f, &err), err);  // it comes to its senses
    json_t *report = fake_report(f);
    check(was_refused(report, "message", ""));
    check_int(json_array_size(json_object_get(report, "sites")), 3);
    json_decref(report);
    fake_free(&f);
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
    fed_msg m = {.type = FED_MSG_FETCH};
    m.u.fetch.object = *run_digest(serve_active_run(f->serve));
    m.u.fetch.count = 1;
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

// ------------------------------------------------------ power cuts, late ones

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
        cmocka_unit_test(a_site_s_other_connection_speaks_for_it_when_one_is_gone),
        cmocka_unit_test(a_silent_site_is_absent_by_name_and_reason_and_the_run_goes_on),
        cmocka_unit_test(a_site_that_beats_without_progress_has_stalled),
        cmocka_unit_test(a_site_that_refuses_the_job_is_named_and_the_others_train),
        cmocka_unit_test(training_that_fails_at_a_site_is_its_absence),
        cmocka_unit_test(data_that_do_not_fit_stop_the_run_and_can_be_mended),
        cmocka_unit_test(a_site_that_is_approved_late_joins_the_next_round),
        cmocka_unit_test(a_site_removed_in_mid_round_is_cut_off_at_once),
        cmocka_unit_test(a_site_removed_before_it_answered_is_in_the_report),
        cmocka_unit_test(an_invitation_made_while_the_job_runs_is_honoured),
        cmocka_unit_test(until_it_is_confirmed_a_site_is_served_nothing),
        cmocka_unit_test(a_quorum_of_more_sites_than_there_are_is_refused_at_the_start),
        cmocka_unit_test(lies_are_refused_three_times_and_then_the_site_is_absent),
        cmocka_unit_test(an_update_spoilt_on_the_way_is_asked_for_again),
        cmocka_unit_test(impossible_test_figures_are_refused_and_named),
        cmocka_unit_test(a_refused_text_cannot_spoil_the_report),
        cmocka_unit_test(a_sentence_cut_in_mid_letter_is_still_an_absence),
        cmocka_unit_test(a_second_different_update_of_a_round_is_refused_and_recorded),
        cmocka_unit_test(a_forged_signature_is_refused),
        cmocka_unit_test(garbage_is_counted_and_harms_nobody),
        cmocka_unit_test(a_one_time_key_can_only_enrol),
        cmocka_unit_test(an_update_that_a_power_cut_took_is_asked_for_again),
        cmocka_unit_test(who_missed_the_end_is_handed_the_model_later),
        cmocka_unit_test(a_run_of_the_same_name_with_another_job_is_a_conflict),
        cmocka_unit_test(with_codes_every_site_gets_a_report_of_its_own),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
