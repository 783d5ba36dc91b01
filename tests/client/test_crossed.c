/*
 * test_crossed.c - the own model leaves, and others' are judged, as policy and job say
 */
#include "fixture.h"

#include <unistd.h>

#include "base/json.h"
#include "client/crossed.h"
#include "client/judge.h"
#include "client/local.h"
#include "client/receipts.h"
#include "report/report.h"

/* hospital_job, asking for the matrix; the caller's. */
static char *crossing_job(void)
{
    return fl_xasprintf("%s  cross_site: true\n", hospital_job);
}

static void own_model_leaves(policy *p)
{
    p->approve_all = true;
    p->own_model_leaves = true;
}

// ------------------------------------------------------------------- the door

typedef struct {
    coordinator *c;
    hospital h;
    policy p;
    fed_offer draft;
    float model[3];
} desk;

static desk desk_new(void)
{
    desk d = {.c = coordinator_new(hospital_job), .model = {1, -2, 300}};
    d.h = hospital_new(d.c, "nord", NULL);
    policy_defaults(&d.p);
    d.p.own_model_leaves = true;
    d.draft.key = (fed_order_key){.kind = FED_LEND, .job = d.c->job, .round = {3}};
    fed_offer_set(&d.draft, "allowed", 1);
    fed_offer_set(&d.draft, "threshold", 0.4);
    nn_table_hash(d.draft.table_hash, task_model_table(d.c->model));
    return d;
}

static void desk_destroy(desk *d)
{
    hospital_destroy(&d->h);
    coordinator_destroy(&d->c);
}

static fl_status put_model(desk *d, outbox_item *item, fl_err *err)
{
    return outbox_put_model(item, d->h.home, &d->p, "toy-1", &d->draft,
                            task_model_table(d->c->model), d->model, err);
}

static void an_own_model_leaves_where_the_policy_says_so(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item, again;
    check_ok(put_model(&d, &item, &err), err);
    uint8_t piece[FED_PIECE_HEAD + 64];
    size_t n = 0;
    check_ok(outbox_piece(&item, 0, piece, &n, &err), err);
    check_bytes(piece + FED_PIECE_HEAD, d.model, sizeof d.model);  // to the bit, large values too
    check_ok(outbox_open(&again, d.h.home, "toy-1", &d.draft.key, &err), err);
    check_bytes(&again.offer, &item.offer, sizeof item.offer);
    outbox_item_close(&again);
    outbox_item_close(&item);

    json_t *list = NULL;
    check_ok(receipts_sent(&list, d.h.home, "toy-1", &err), err);
    json_t *line = json_array_get(list, 0);
    char *fields = fl_json_text(json_object_get(line, "fields"));
    check_str(fl_json_get_string(line, "kind", ""), "lend");
    check_has(fields, "own model of 3 parameters");
    free(fields);
    json_decref(list);
    desk_destroy(&d);
}

static void nothing_passes_the_door_that_the_policy_keeps(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    d.p.own_model_leaves = false;
    check_fails(put_model(&d, &item, &err), FL_EDENIED);
    check_has(err.text, "this hospital's policy keeps its own model (own_model)");
    d.p.own_model_leaves = true;
    d.p.max_parameters = 2;
    check_fails(put_model(&d, &item, &err), FL_EDENIED);
    d.p.max_parameters = 3;
    d.model[1] = NAN;
    check_fails(put_model(&d, &item, &err), FL_EFORMAT);
    d.model[1] = 0;
    fed_offer_set(&d.draft, "patients", 7);
    check_fails(put_model(&d, &item, &err), FL_EDENIED);
    check_fails(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), FL_ENOTFOUND);

    // Of a judgement: no figure of few patients, none at all where none may leave.
    fed_offer cross = {.key = {.kind = FED_CROSS, .job = d.c->job, .round = {1}}};
    fed_offer_set(&cross, "n", 40);
    json_t *few = json_loads("{\"n_test\": 40, \"metrics\": {\"auc\": {\"value\": 0.5, \"n\": 40, "
                             "\"n_patients\": 9, \"why\": \"\"}}}", 0, NULL);
    check_fails(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &cross, few, &err), FL_EDENIED);
    check_has(err.text, "auc: 9 patients are below the policy's min_cell");
    json_t *more = json_loads("{\"n_test\": 40, \"why\": \"none\", \"cases\": [1, 2]}", 0, NULL);
    check_fails(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &cross, more, &err), FL_EFORMAT);
    json_object_set_new(json_object_get(json_object_get(few, "metrics"), "auc"), "n_patients",
                        json_integer(10));
    d.p.figures = false;
    check_fails(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &cross, few, &err), FL_EDENIED);
    json_decref(few);
    json_decref(more);
    json_t *list = NULL;
    check_ok(receipts_sent(&list, d.h.home, NULL, &err), err);
    check_int(json_array_size(list), 0);
    json_decref(list);
    desk_destroy(&d);
}

// ----------------------------------------------------------------- the orders

/* What lies in the home under runs/toy-1/own/local.onnx. */
static void read_own(float out[3], double *threshold, const hospital *h)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(h->home_dir, "runs/toy-1/own/local.onnx");
    task_model *model = NULL;
    float *params = NULL;
    check_ok(task_model_read(&model, &params, NULL, path, &err), err);
    memcpy(out, params, 3 * sizeof *out);
    *threshold = task_model_threshold(model);
    task_model_destroy(&model);
    free(params);
    free(path);
}

static int n_looks(const hospital *h)
{
    char *path = fl_path_join(h->home_dir, "runs/toy-1/test_opened"), *text = NULL;
    size_t n_text = 0;
    int n = 0;
    if (fl_file_read(&text, &n_text, path, 1 << 16, NULL) == FL_OK) {
        for (const char *c = text; *c != '\0'; c++) {
            n += *c == '\n';
        }
    }
    free(text);
    free(path);
    return n;
}

/* A hospital that is asked for the matrix, with that policy, started. */
typedef struct {
    char *job;
    coordinator *c;
    hospital h;
} crossing;

static crossing crossing_new(void (*change)(policy *p))
{
    crossing x = {.job = crossing_job()};
    x.c = coordinator_new(x.job);
    x.h = hospital_new(x.c, "nord", change);
    hospital_starts(&x.h);
    return x;
}

static void crossing_destroy(crossing *x)
{
    hospital_destroy(&x->h);
    coordinator_destroy(&x->c);
    free(x->job);
}

static void test_is_done(coordinator *c, hospital *h)
{
    c->order.threshold = 0.4;
    coordinator_order(c, FED_TEST, 3, 3);
    play_until_offered(h, c);
    c->order.threshold = 0;
}

static void what_was_made_for_the_test_is_lent_to_the_bit(void **state)
{
    (void)state;
    crossing x = crossing_new(own_model_leaves);
    coordinator *c = x.c;
    hospital *h = &x.h;
    float own[3];
    double threshold;
    // Before its test, or with a model that another run of that name has left: it has none.
    coordinator_order(c, FED_LEND, 3, 3);
    play_until_offered(h, c);
    check_int(c->offer.n_pieces, 0);
    check_near(fed_offer_get(&c->offer, "allowed", -1), 1, 0);

    test_is_done(c, h);
    json_t *site = document_of(c);
    read_own(own, &threshold, h);
    coordinator_order(c, FED_LEND, 2, 3);  // another order: the first is answered already
    play_until_offered(h, c);
    check_int(c->offer.n_pieces, 1);
    check_bytes(c->payload.data + FED_PIECE_HEAD, own, sizeof own);
    check_near(fed_offer_get(&c->offer, "threshold", -1), threshold, 0);
    check_bytes(c->offer.table_hash, c->order.table_hash, 32);

    // At home it is what the hospital has said of it: more models than rounds there may be.
    memcpy(c->global, own, sizeof own);
    c->order.threshold = threshold;
    coordinator_order(c, FED_CROSS, 5, 3);
    play_until_offered(h, c);
    json_t *judged = document_of(c), *metrics = json_object_get(judged, "metrics"), *figure;
    const json_t *at_home = json_object_get(json_object_get(site, "models"), "local");
    const char *name;
    check(json_object_size(metrics) >= 8);
    check_int(fl_json_get_int(judged, "n_test", 0), 100);
    json_object_foreach(metrics, name, figure) {
        check(json_equal(figure, json_object_get(at_home, name)));
    }
    check_int(n_looks(h), 2);
    check_int(fl_json_get_int(judged, "test_opened", 0), 2);
    json_decref(judged);
    json_decref(site);
    crossing_destroy(&x);
}

static void a_model_of_another_run_of_that_name_is_not_lent(void **state)
{
    (void)state;
    crossing x = crossing_new(own_model_leaves);
    coordinator *c = x.c;
    hospital *h = &x.h;
    test_is_done(c, h);
    c->global[0] += 1;  // what another run has selected
    coordinator_order(c, FED_LEND, 3, 3);
    play_until_offered(h, c);
    check_int(c->offer.n_pieces, 0);
    crossing_destroy(&x);
}

static void a_killed_site_lends_the_same_bytes_again(void **state)
{
    (void)state;
    crossing x = crossing_new(own_model_leaves);
    coordinator *c = x.c;
    hospital *h = &x.h;
    test_is_done(c, h);
    c->mute_verdicts = true;
    coordinator_order(c, FED_LEND, 3, 3);
    play(h, c, 3000);
    check_int(c->offer.key.kind, FED_LEND);
    fed_offer before = c->offer;
    hospital_dies(h);
    char *path = fl_path_join(h->home_dir, "runs/toy-1/own/local.onnx");
    check_int(unlink(path), 0);  // the outbox has what it sends
    free(path);
    c->mute_verdicts = false;
    memset(&c->offer, 0, sizeof c->offer);
    hospital_starts(h);
    play_until_offered(h, c);
    check_bytes(&c->offer, &before, sizeof before);
    crossing_destroy(&x);
}

static void a_job_that_does_not_ask_gets_neither(void **state)
{
    (void)state;
    const fed_order_kind kinds[] = {FED_LEND, FED_CROSS};
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", own_model_leaves);
    hospital_starts(&h);
    test_is_done(c, &h);
    for (size_t i = 0; i < 2; i++) {
        coordinator_order(c, kinds[i], 1, 3);
        play(&h, c, 3000);
        check_int(c->reply.u.reply.key.kind, kinds[i]);
        check_int(c->reply.u.reply.answer, FED_REFUSE);
        check_str(c->reply.u.reply.text, "the job asks for no hospital's own model");
    }
    check_int(n_looks(&h), 1);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_policy_that_keeps_its_own_model_says_so_and_judges_no_other(void **state)
{
    (void)state;
    crossing x = crossing_new(hospital_approves_all);
    coordinator *c = x.c;
    hospital *h = &x.h;
    coordinator_order(c, FED_CHECK, 0, 0);
    play_until_offered(h, c);
    json_t *answer = document_of(c);
    check_str(fl_json_get_string(json_object_get(answer, "policy"), "own_model", ""), "stays");
    json_decref(answer);
    test_is_done(c, h);
    coordinator_order(c, FED_LEND, 3, 3);
    play_until_offered(h, c);
    check_int(c->offer.n_pieces, 0);
    check_near(fed_offer_get(&c->offer, "allowed", -1), 0, 0);
    coordinator_order(c, FED_CROSS, 1, 3);
    play(h, c, 3000);
    check_int(c->reply.u.reply.answer, FED_REFUSE);
    check_has(c->reply.u.reply.text, "keeps its own model, so it judges no other's");
    check_int(n_looks(h), 1);
    crossing_destroy(&x);
}

// ---------------------------------------------------------------- small numbers

static json_t *judged_with(local *l, const coordinator *c, bool figures, int64_t min_cell,
                           const char *dir)
{
    fl_err err = FL_ERR_INIT;
    json_t *out = NULL;
    local_progress progress = {0};
    const crossed_config cfg = {.params = c->global, .id = &c->order.model_id, .threshold = 0.5,
                                .figures = figures, .min_cell = min_cell};
    check_ok(crossed_judge(&out, l, &cfg, dir, &progress, &err), err);
    check_ok(report_check_crossed(out, &err), err);
    return out;
}

static const json_t *figure_of(const json_t *judged, const char *name)
{
    return json_object_get(json_object_get(judged, "metrics"), name);
}

/* 100 test patients, about 50 of either class. */
static void of_few_patients_nothing_is_said_and_of_small_classes_less(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    local *l = NULL;
    check_ok(local_new(&l, h.home, &c->job, hospital_job, strlen(hospital_job), NULL, &err), err);
    check_ok(local_load(l, h.home, &err), err);

    json_t *judged = judged_with(l, c, false, 10, h.dir);
    check_str(fl_json_get_string(judged, "why", ""), "its policy does not let figures leave");
    check(!judge_has_opened(h.dir, &c->order.model_id));  // and the split stayed closed
    check(json_object_get(judged, "test_opened") == NULL);
    json_decref(judged);
    judged = judged_with(l, c, true, 101, h.dir);
    check_str(fl_json_get_string(judged, "why", ""), "it has too few test patients to say it");
    check_int(fl_json_get_int(judged, "test_opened", 0), 1);  // it was looked at to know
    json_decref(judged);
    judged = judged_with(l, c, true, 70, h.dir);
    check_near(fl_json_get_number(figure_of(judged, "accuracy"), "n"), 100, 0);
    check_str(fl_json_get_string(figure_of(judged, "auc"), "why", ""),
              "fewer than 70 patients of a class");
    check(json_object_get(figure_of(judged, "sensitivity"), "n") == NULL);
    json_decref(judged);
    judged = judged_with(l, c, true, 10, h.dir);
    check(json_is_number(json_object_get(figure_of(judged, "auc"), "value")));
    check(figure_of(judged, "ppv") == NULL && figure_of(judged, "brier") != NULL);
    json_decref(judged);
    local_destroy(&l);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_own_model_leaves_where_the_policy_says_so),
        cmocka_unit_test(nothing_passes_the_door_that_the_policy_keeps),
        cmocka_unit_test(what_was_made_for_the_test_is_lent_to_the_bit),
        cmocka_unit_test(a_model_of_another_run_of_that_name_is_not_lent),
        cmocka_unit_test(a_killed_site_lends_the_same_bytes_again),
        cmocka_unit_test(a_job_that_does_not_ask_gets_neither),
        cmocka_unit_test(a_policy_that_keeps_its_own_model_says_so_and_judges_no_other),
        cmocka_unit_test(of_few_patients_nothing_is_said_and_of_small_classes_less),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
