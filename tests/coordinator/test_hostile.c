/*
 * test_hostile.c - sites that lie
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "report/report.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lies_are_refused_three_times_and_then_the_site_is_absent),
        cmocka_unit_test(an_update_spoilt_on_the_way_is_asked_for_again),
        cmocka_unit_test(impossible_test_figures_are_refused_and_named),
        cmocka_unit_test(a_refused_text_cannot_spoil_the_report),
        cmocka_unit_test(a_sentence_cut_in_mid_letter_is_still_an_absence),
        cmocka_unit_test(a_second_different_update_of_a_round_is_refused_and_recorded),
        cmocka_unit_test(a_forged_signature_is_refused),
        cmocka_unit_test(garbage_is_counted_and_harms_nobody),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
