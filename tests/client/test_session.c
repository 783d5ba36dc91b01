/*
 * test_session.c - one site's conversation, against a scripted coordinator
 */
#define _GNU_SOURCE  // syscall
#include "fixture.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "ckpt/ckpt.h"
#include "client/fetch.h"
#include "client/receipts.h"
#include "report/report.h"

static bool disk_is_full, disk_is_read_only;

/* Every file that is written is flushed. */
int fsync(int fd)
{
    errno = disk_is_read_only ? EROFS : ENOSPC;
    return disk_is_full || disk_is_read_only ? -1 : (int)syscall(SYS_fsync, fd);
}

static bool has_file(const hospital *h, const char *name)
{
    char *path = fl_path_join(h->home_dir, name);
    bool there = fl_file_exists(path);
    free(path);
    return there;
}

static size_t n_files(const hospital *h, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char **names = NULL;
    size_t n = 0;
    char *path = fl_path_join(h->home_dir, name);
    check_ok(fl_list_dir(&names, &n, path, &err), err);
    fl_names_free(&names, n);
    free(path);
    return n;
}

/* Adds the update that came in, as a federation of one site would. */
static void commit_update(coordinator *c)
{
    const float *update = (const float *)(c->payload.data + FED_PIECE_HEAD);
    for (int64_t p = 0; p < c->P; p++) {
        c->global[p] += update[p];
    }
}

static void a_site_enrols_checks_a_job_and_trains_a_round(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    coordinator_order(c, FED_CHECK, 0, 0);
    hospital_starts(&h);

    play_until_offered(&h, c);
    check_int(c->n[FED_MSG_ENROL], 1);
    check_int(c->n[FED_MSG_HELLO], 1);
    check(!has_file(&h, "keys/invitation.yaml"));
    check_near(fed_offer_get(&c->offer, "n_train", -1), 200, 0);
    check_near(fed_offer_get(&c->offer, "n_test", -1), 100, 0);
    json_t *document = document_of(c);
    check(json_is_object(json_object_get(document, "table1")));
    json_decref(document);

    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    check_near(fed_offer_get(&c->offer, "weight", -1), 200, 0);
    check_near(fed_offer_get(&c->offer, "steps", -1), 10, 0);
    check_int(c->payload.n, 8 + 4 * c->P);

    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void an_order_whose_head_is_not_the_one_that_was_signed_is_not_carried_out(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    coordinator_order(c, FED_CHECK, 0, 0);
    hospital_starts(&h);
    play_until_offered(&h, c);
    c->forges_heads = true;  // under the signature that was good before
    coordinator_order(c, FED_TRAIN, 1, 0);
    play(&h, c, 5000);
    check_int(c->offer.key.kind, FED_CHECK);
    c->forges_heads = false;
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    check_int(c->offer.key.kind, FED_TRAIN);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static char *sample_report(void)
{
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, "tests/report/sample.json", 1 << 22, &err), err);
    return text;
}

static void a_whole_job_ends_with_model_and_report_in_the_home(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    for (uint32_t r = 1; r <= 3; r++) {
        coordinator_order(c, FED_TRAIN, r, r - 1);
        play_until_offered(&h, c);
        commit_update(c);
        coordinator_order(c, FED_SCORE, r, r);
        play_until_offered(&h, c);
        check_near(fed_offer_get(&c->offer, "n", -1), 100, 0);
        check(fed_offer_get(&c->offer, "auc", -1) > 0.8);
        check_int(c->offer.n_pieces, 0);
        check_int(n_files(&h, "outbox"), 2);  // the update is still there: its line was not flushed
    }
    c->order.histogram_bins = 20;
    coordinator_order(c, FED_SCORE, 0x80000003u, 3);
    play_until_offered(&h, c);
    json_t *histogram = document_of(c);
    check_int(fl_json_get_int(histogram, "bins", 0), 20);
    check_int(json_array_size(json_object_get(histogram, "positives")), 20);
    json_decref(histogram);

    c->order.threshold = 0.4;
    coordinator_order(c, FED_TEST, 3, 3);
    play_until_offered(&h, c);
    fl_err err = FL_ERR_INIT;
    json_t *site = document_of(c);
    check_ok(report_check_site(site, &err), err);
    check_str(fl_json_get_string(site, "name", ""), "nord");
    check_int(fl_json_get_int(site, "test_opened", 0), 1);
    check(json_object_get(json_object_get(site, "models"), "local") != NULL);
    check_int(fl_json_get_int(json_object_get(site, "local"), "steps", 0), 30);
    check_int(json_array_size(json_object_get(site, "subgroups")), 5);
    json_decref(site);
    check(has_file(&h, "runs/toy-1/predictions.csv"));

    char *report = sample_report();
    uint64_t n_bytes;
    uint32_t n_pieces;
    c->report = report;
    fed_object_digest(&c->report_object, FED_ENC_BYTES, report, strlen(report), &n_bytes,
                      &n_pieces);
    hospital_file(h.home_dir, "runs/toy-1/rest-0000000002", "of a job with rounded pieces");
    hospital_file(h.home_dir, "runs/toy-1/rest.tmp", "torn");
    check(has_file(&h, "runs/toy-1/joined"));
    coordinator_order(c, FED_DONE, 3, 3);
    play_until_offered(&h, c);
    check(!has_file(&h, "runs/toy-1/rest-0000000002") && !has_file(&h, "runs/toy-1/rest.tmp"));
    check(!has_file(&h, "runs/toy-1/joined"));
    check_int(session_first_job(h.session), SESSION_DONE);
    check(has_file(&h, "runs/toy-1/report.html"));
    check(has_file(&h, "runs/toy-1/report.json"));
    check(has_file(&h, "runs/toy-1/job.yaml"));
    check(has_file(&h, "runs/toy-1/model/final.onnx"));
    check(has_file(&h, "runs/toy-1/model/final.safetensors"));

    json_t *sent = NULL;
    check_ok(receipts_sent(&sent, h.home, "toy-1", &err), err);
    check_int(json_array_size(sent), 3 + 3 + 1 + 1 + 1);
    json_decref(sent);
    free(report);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_killed_site_offers_the_same_bytes_again(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    c->mute_verdicts = true;
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    fed_offer first = c->offer;
    check_int(n_files(&h, "outbox"), 1);

    hospital_dies(&h);
    memset(&c->offer, 0, sizeof c->offer);
    c->mute_verdicts = false;
    hospital_starts(&h);
    play_until_offered(&h, c);
    check_bytes(&c->offer, &first, sizeof first);  // signature, seconds and all
    check(!pool_run_one(h.pool));                  // nothing was trained again

    // Without the file it is trained again, to the same bits.
    outbox_drop(h.home, &first.key);
    hospital_dies(&h);
    memset(&c->offer, 0, sizeof c->offer);
    hospital_starts(&h);
    play_until_offered(&h, c);
    check(fed_digest_equal(&c->offer.digest, &first.digest));
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void another_order_cancels_the_one_at_work(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    coordinator_order(c, FED_TRAIN, 1, 0);
    for (int i = 0; i < 200; i++, h.now_ms += 50) {  // the pool does not run
        session_step(h.session, h.now_ms);
        coordinator_step(c);
    }
    check_int(c->beat.u.beat.phase, FED_QUEUED);
    check_int(c->beat.u.beat.key.round.n, 1);
    coordinator_order(c, FED_TRAIN, 2, 0);
    play_until_offered(&h, c);
    check_int(c->offer.key.round.n, 2);
    check_int(c->n[FED_MSG_OFFER], 1);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* The coordinator lends what was sent and not known to have arrived to nobody else. */
static void a_model_that_is_here_is_told_of_before_the_next_beat_is_due(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    c->beat_ms = 60000;
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    check_int(c->n[FED_MSG_BEAT], 0);
    coordinator_order(c, FED_TRAIN, 1, 0);
    for (int i = 0; i < 20; i++) {  // the pool does not run
        session_step(h.session, h.now_ms);
        coordinator_step(c);
    }
    check_int(c->n[FED_MSG_BEAT], 1);
    check_int(c->beat.u.beat.phase, FED_QUEUED);
    check_int(c->beat.u.beat.key.kind, FED_TRAIN);
    play_until_offered(&h, c);
    commit_update(c);
    coordinator_order(c, FED_SCORE, 1, 1);
    play_until_offered(&h, c);
    check_int(c->n[FED_MSG_BEAT], 2);
    coordinator_order(c, FED_TRAIN, 2, 1);  // from the model that is here
    play_until_offered(&h, c);
    check_int(c->n[FED_MSG_BEAT], 2);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* Nothing but what arrived makes room for more: no clock moves here. */
static void a_large_model_comes_as_fast_as_it_is_told_of(void **state)
{
    (void)state;
    const char *at = strstr(hospital_job, "{name: logistic}");
    char *large = fl_xasprintf("%.*s{name: mlp, hidden: [1400, 1400]}%s",
                               (int)(at - hospital_job), hospital_job, strchr(at, '\n'));
    coordinator *c = coordinator_new(large);
    c->beat_ms = 60000;
    c->share = 2 * FETCH_TELL;
    uint32_t n_pieces = fed_pieces_of(FED_ENC_F32, (uint64_t)c->P);
    check(n_pieces > 3 * FETCH_TELL && n_pieces < FETCH_WINDOW);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    coordinator_order(c, FED_TRAIN, 1, 0);
    for (int i = 0; i < 40; i++) {
        session_step(h.session, h.now_ms);
        coordinator_step(c);
    }
    check_int(c->beat.u.beat.phase, FED_QUEUED);  // it is here
    check(c->n[FED_MSG_BEAT] >= n_pieces / c->share);
    check(c->n[FED_MSG_BEAT] <= 1 + n_pieces / FETCH_TELL);
    hospital_destroy(&h);
    coordinator_destroy(&c);
    free(large);
}

static bool is_in_outbox(const hospital *h, const fed_order_key *key)
{
    fl_err err = FL_ERR_INIT;
    outbox_item item;
    bool there = outbox_open(&item, h->home, "toy-1", key, &err) == FL_OK;
    outbox_item_close(&item);
    return there;
}

/* Nobody knows whether the first was accepted: the coordinator says so, or carries it, or not. */
static void an_update_without_an_answer_is_offered_once_more_before_the_next_round(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    c->mute_verdicts = true;
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    fed_offer first = c->offer;
    hospital_dies(&h);
    memset(&c->offer, 0, sizeof c->offer);
    hospital_starts(&h);
    coordinator_order(c, FED_TRAIN, 2, 1);
    play(&h, c, 6000);
    check_bytes(&c->offer, &first, sizeof first);
    check_int(c->beat.u.beat.key.round.n, 2);
    check_int(c->beat.u.beat.phase, FED_SENDING);
    c->mute_verdicts = false;
    coordinator_verdict(c, false, "round 1 is closed");
    play_until_offered(&h, c);
    check_int(c->offer.key.round.n, 2);
    check(!is_in_outbox(&h, &first.key));
    check(is_in_outbox(&h, &c->offer.key));
    size_t offers = c->n[FED_MSG_OFFER];
    coordinator_order(c, FED_TRAIN, 3, 2);  // the second was accepted: it just goes
    play_until_offered(&h, c);
    check_int(c->n[FED_MSG_OFFER], offers + 1);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* Orders round 2 while a worker trains round 1; the round of the first Offer. */
static uint32_t first_offered_after_a_close(const char *late)
{
    static const char sites[] = "sites: {quorum: 3, patience: 10s", steps[] = "steps: 10,";
    const char *at = strstr(hospital_job, steps), *then = strstr(hospital_job, sites);
    char *text = fl_xasprintf("%.*ssteps: 300000,%.*s%s, late: %s%s", (int)(at - hospital_job),
                              hospital_job, (int)(then - at - (long)strlen(steps)),
                              at + strlen(steps), sites, late, then + strlen(sites));
    coordinator *c = coordinator_new(text);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    pool_destroy(&h.pool);
    session_destroy(&h.session);
    h.pool = pool_new(1, NULL);
    h.session = session_new(h.home, h.pool);
    c->mute_verdicts = true;
    c->beat_ms = 100;
    coordinator_order(c, FED_TRAIN, 1, 0);
    bool ordered = false;
    while (c->n[FED_MSG_OFFER] == 0) {
        session_step(h.session, fl_now_ms());
        coordinator_step(c);
        if (!ordered && c->beat.u.beat.phase == FED_WORKING && c->beat.u.beat.steps_done > 0) {
            check_int(c->beat.u.beat.key.round.n, 1);
            ordered = true;
            coordinator_order(c, FED_TRAIN, 2, 1);
        }
    }
    check(ordered);
    uint32_t round = c->offer.key.round.n;
    hospital_destroy(&h);
    coordinator_destroy(&c);
    free(text);
    return round;
}

static void a_round_that_was_closed_meanwhile_is_finished_only_when_it_can_be_carried(void **state)
{
    (void)state;
    check_int(first_offered_after_a_close("carry"), 1);
    check_int(first_offered_after_a_close("drop"), 2);
}

/* As when a site is too slow to score a round: no line is flushed, and its updates' files stay. */
static void answered_updates_whose_lines_are_not_flushed_do_not_keep_it_from_the_next(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    for (uint32_t r = 1; r <= 3; r++) {
        coordinator_order(c, FED_TRAIN, r, r - 1);
        play_until_offered(&h, c);
        commit_update(c);
    }
    coordinator_order(c, FED_SCORE, 3, 3);
    play_until_offered(&h, c);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

typedef struct {
    fl_rng rng;
    double rate;
} loss;

static bool lose(void *ctx, bool to_server)
{
    (void)to_server;
    loss *l = ctx;
    return fl_rng_uniform(&l->rng) < l->rate;
}

static void a_round_survives_the_loss_of_every_third_message(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        coordinator *c = coordinator_new(hospital_job);
        hospital h = hospital_new(c, "nord", hospital_approves_all);
        loss l = {.rate = 0.33};
        fl_rng_init(&l.rng, seed, "loss", "", 0);
        fed_link_set_drop(c->link, lose, &l);
        coordinator_order(c, FED_CHECK, 0, 0);
        hospital_starts(&h);
        play_until_offered(&h, c);
        coordinator_order(c, FED_TRAIN, 1, 0);
        play_until_offered(&h, c);
        hospital_destroy(&h);
        coordinator_destroy(&c);
    }
}

static void a_job_waits_for_a_person_and_goes_on_when_approved(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    coordinator_order(c, FED_CHECK, 0, 0);
    hospital_starts(&h);
    play(&h, c, 10000);
    check_int(c->n[FED_MSG_REPLY], 1);
    check_int(c->reply.u.reply.answer, FED_PENDING);
    check_int(c->n[FED_MSG_OFFER], 0);

    fed_digest *waiting = NULL;
    size_t n = 0;
    check_ok(policy_waiting(h.home, &waiting, &n, &err), err);
    check_int(n, 1);
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, waiting[0].bytes, sizeof waiting[0].bytes);
    free(waiting);
    hex[8] = '\0';
    fed_digest digest;
    check_ok(policy_approve(h.home, hex, &digest, &err), err);
    play_until_offered(&h, c);
    check_int(c->offer.key.kind, FED_CHECK);
    check_int(n_files(&h, "pending"), 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* The policy is the hospital's own word, in mid-run too: what it holds from now on, one can approve. */
static void a_policy_that_asks_from_now_on_holds_the_next_order(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    c->n[FED_MSG_OFFER] = 0;
    hospital_file(h.home_dir, "policy.yaml", "aprove: each\n");  // and not well written at first
    coordinator_order(c, FED_TRAIN, 2, 1);
    play(&h, c, 3000);
    check_int(c->reply.u.reply.answer, FED_PENDING);
    check_has(c->reply.u.reply.text, "aprove");
    hospital_file(h.home_dir, "policy.yaml", "approve: each\n");
    coordinator_order(c, FED_TRAIN, 3, 2);
    play(&h, c, 3000);
    check_int(c->reply.u.reply.answer, FED_PENDING);
    check_has(c->reply.u.reply.text, "waits for a person at the hospital");
    check_int(n_files(&h, "pending"), 1);
    check_int(c->n[FED_MSG_OFFER], 0);
    char hex[FL_HEX_DIGEST];
    fed_digest digest;
    fl_hex(hex, c->job.bytes, sizeof c->job.bytes);
    check_ok(policy_approve(h.home, hex, &digest, &err), err);
    play_until_offered(&h, c);
    check_int(c->offer.key.kind, FED_TRAIN);
    check_int(c->offer.key.round.n, 3);
    check_int(n_files(&h, "pending"), 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* It was made and not sent yet when the policy changed; and is the same when it may leave again. */
static void what_a_policy_forbids_meanwhile_stays_in_the_outbox(void **state)
{
    (void)state;
    for (int other_process = 0; other_process < 2; other_process++) {
        coordinator *c = coordinator_new(hospital_job);
        hospital h = hospital_new(c, "nord", hospital_approves_all);
        hospital_starts(&h);
        c->mute_verdicts = true;
        coordinator_order(c, FED_TRAIN, 1, 0);
        play_until_offered(&h, c);
        fed_digest made = c->offer.digest;
        c->n[FED_MSG_OFFER] = c->n[FED_MSG_REPLY] = 0;
        hospital_file(h.home_dir, "policy.yaml", "approve: all\ntasks: [segment]\n");
        if (other_process == 1) {
            hospital_dies(&h);
            hospital_starts(&h);
        }
        play(&h, c, 7000);  // an Offer on which nothing moves is said again after 5 s
        check_int(c->n[FED_MSG_OFFER], 0);
        check_int(c->reply.u.reply.answer, FED_REFUSE);
        check_has(c->reply.u.reply.text, "policy does not allow jobs of task classify");
        hospital_file(h.home_dir, "policy.yaml", "approve: all\nmin_other_sites: 0\n");
        coordinator_order(c, FED_TRAIN, 1, 0);
        play_until_offered(&h, c);
        check(fed_digest_equal(&c->offer.digest, &made));
        hospital_destroy(&h);
        coordinator_destroy(&c);
    }
}

static void allow_small_models(policy *p)
{
    p->approve_all = true;
    p->max_parameters = 2;
}

static void a_job_beyond_the_policy_is_refused_with_the_sentence(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", allow_small_models);
    coordinator_order(c, FED_CHECK, 0, 0);
    hospital_starts(&h);
    play(&h, c, 3000);
    check_int(c->reply.u.reply.answer, FED_REFUSE);
    check(!c->reply.u.reply.mismatch);
    check_str(c->reply.u.reply.text, "this hospital's policy allows a number of parameters of at "
                                     "most 2, the job has 3");
    check_int(session_first_job(h.session), SESSION_FAILED);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* The hospital's job with a model from a file, whose graph is these bytes; the caller's. */
static char *name_graph(coordinator *c, const char *graph)
{
    static const char model[] = "model: {name: logistic}\n";
    char hex[FL_HEX_DIGEST];
    fed_digest digest;
    const char *at = strstr(hospital_job, model);
    fed_job_digest(&digest, graph, strlen(graph));
    fl_hex(hex, digest.bytes, sizeof digest.bytes);
    char *text = fl_xasprintf("%.*smodel: {onnx: net.onnx, graph: %s}\n%s",
                              (int)(at - hospital_job), hospital_job, hex, at + strlen(model));
    c->job_text = text;
    c->report = graph;  // what is sent for any other object
    fed_job_digest(&c->job, text, strlen(text));
    return text;
}

static void a_graph_that_is_none_or_too_large_is_refused_with_the_sentence(void **state)
{
    (void)state;
    enum { LARGE = 17 << 20 };  // of 2 parameters and 16 MiB
    char *large = fl_xcalloc(LARGE + 1, 1);
    memset(large, 'x', LARGE);
    const struct {
        const char *graph, *sentence;
    } cases[] = {
        {"this is no network", "model: "},
        {large, "the job's graph is larger than this hospital allows"},
    };
    for (size_t i = 0; i < 2; i++) {
        coordinator *c = coordinator_new(hospital_job);
        hospital h = hospital_new(c, "nord", allow_small_models);
        char *text = name_graph(c, cases[i].graph);
        coordinator_order(c, FED_CHECK, 0, 0);
        hospital_starts(&h);
        play(&h, c, 3000);
        check_int(c->reply.u.reply.answer, FED_REFUSE);
        check_has(c->reply.u.reply.text, cases[i].sentence);
        check(strstr(c->reply.u.reply.text, h.dir) == NULL);
        check_int(session_first_job(h.session), SESSION_FAILED);
        check_int(n_files(&h, "pending"), 0);
        hospital_destroy(&h);
        coordinator_destroy(&c);
        free(text);
    }
    free(large);
}

static void data_that_do_not_fit_are_named_and_can_be_mended(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_file(h.data, "dataset.yaml",
                  "task: classify\nclasses: {a: 0, b: 1}\n"
                  "table: {file: t.csv}\n");
    coordinator_order(c, FED_CHECK, 0, 0);
    hospital_starts(&h);
    play(&h, c, 3000);
    check_int(c->reply.u.reply.answer, FED_REFUSE);
    check(c->reply.u.reply.mismatch);
    check_has(c->reply.u.reply.text, "dataset.yaml");
    check(strstr(c->reply.u.reply.text, h.data) == NULL);  // no folder leaves

    char *mended = hospital_data(h.dir, 400, true);
    free(mended);
    coordinator_order(c, FED_CHECK, 0, 0);  // asked again
    play_until_offered(&h, c);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* The data folder goes elsewhere, and comes back. */
static void unmount(const hospital *h, bool back)
{
    char *away = fl_path_join(h->dir, "away");
    check_int(back ? rename(away, h->data) : rename(h->data, away), 0);
    free(away);
}

static void data_that_are_not_there_are_waited_for(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    unmount(&h, false);
    coordinator_order(c, FED_CHECK, 0, 0);
    hospital_starts(&h);
    play(&h, c, 16000);  // looked for three times
    check_int(c->n[FED_MSG_REPLY], 1);
    check_int(c->reply.u.reply.answer, FED_PENDING);
    check(!c->reply.u.reply.mismatch);
    check_has(c->reply.u.reply.text,
              "the hospital's data cannot be read now: a file: No such file");
    check(strstr(c->reply.u.reply.text, h.dir) == NULL);  // no folder leaves
    check_int(session_first_job(h.session), SESSION_SERVES);

    fl_err err = FL_ERR_INIT;
    check_ok(fl_mkdirs(h.data, 0700, &err), err);  // where nothing is mounted
    play(&h, c, 6000);
    check_int(c->n[FED_MSG_REPLY], 2);
    check_has(c->reply.u.reply.text, "cannot be read now: a file: a data set's folder has");
    check_int(rmdir(h.data), 0);
    unmount(&h, true);
    play_until_offered(&h, c);
    check_near(fed_offer_get(&c->offer, "n_train", -1), 200, 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* In mid-run they are opened by a process that is new. */
static void data_that_are_gone_in_mid_run_cost_no_more_than_the_rounds_without_them(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    hospital_dies(&h);
    unmount(&h, false);
    hospital_starts(&h);
    for (uint32_t round = 2; round <= 3; round++) {
        coordinator_order(c, round == 2 ? FED_TRAIN : FED_SCORE, 2, round - 1);
        play(&h, c, 3000);
        check_int(c->n[FED_MSG_REPLY], round - 1);
        check_int(c->reply.u.reply.key.kind, c->order.key.kind);
        check_int(c->reply.u.reply.answer, FED_PENDING);
        check_has(c->reply.u.reply.text, "the hospital's data cannot be read now");
        check(!fed_order_key_equal(&c->offer.key, &c->order.key));
    }
    unmount(&h, true);
    play_until_offered(&h, c);  // the order stands
    check_int(c->offer.key.kind, FED_SCORE);
    coordinator_order(c, FED_TRAIN, 3, 2);
    play_until_offered(&h, c);
    check_near(fed_offer_get(&c->offer, "weight", -1), 200, 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* Codes that were swapped since it joined. */
static void data_that_changed_in_mid_run_are_not_trained_on(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    coordinator_order(c, FED_CHECK, 0, 0);
    play_until_offered(&h, c);
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    check(has_file(&h, "runs/toy-1/joined"));
    hospital_dies(&h);
    free(hospital_data(h.dir, 420, true));
    hospital_starts(&h);
    for (uint32_t i = 0; i < 2; i++) {
        coordinator_order(c, i == 0 ? FED_TRAIN : FED_TEST, 2, 1 + i);
        play(&h, c, 3000);
        check_int(c->reply.u.reply.key.kind, c->order.key.kind);
        check_int(c->reply.u.reply.answer, FED_REFUSE);
        check_has(c->reply.u.reply.text, "not those that this hospital joined the run with: another "
                                         "label for 0 cases, another split for 0, 20 new;");
        check(!fed_order_key_equal(&c->offer.key, &c->order.key));
    }
    free(hospital_data(h.dir, 380, true));  // fewer than before, and the same; no restart
    coordinator_order(c, FED_TRAIN, 3, 2);
    play_until_offered(&h, c);
    check_near(fed_offer_get(&c->offer, "weight", -1), 190, 0);
    coordinator_order(c, FED_TRAIN, 2, 1);
    snprintf(c->order.run, sizeof c->order.run, "toy-2");  // which began elsewhere
    hospital_dies(&h);
    free(hospital_data(h.dir, 420, true));
    hospital_starts(&h);
    play_until_offered(&h, c);
    check_near(fed_offer_get(&c->offer, "weight", -1), 210, 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_model_other_than_the_announced_one_is_refused(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    coordinator_order(c, FED_TRAIN, 1, 0);
    c->order.model_id.bytes[5] ^= 1;
    play(&h, c, 3000);
    check_int(c->reply.u.reply.answer, FED_REFUSE);
    check_has(c->reply.u.reply.text, "not the one that the order names");
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* An approved job of three rounds is no leave to ask for a fourth. */
static void a_round_beyond_the_job_is_refused(void **state)
{
    (void)state;
    const fed_order_kind kinds[] = {FED_TRAIN, FED_SCORE, FED_TEST};
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        coordinator_order(c, kinds[i], 4, 3);
        play(&h, c, 3000);
        check_int(c->reply.u.reply.key.kind, kinds[i]);
        check_int(c->reply.u.reply.answer, FED_REFUSE);
        check_has(c->reply.u.reply.text, "the order is of round 4, the job has 3");
    }
    check_int(n_files(&h, "outbox"), 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

static void a_refused_contribution_is_forgotten(void **state)
{
    (void)state;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", hospital_approves_all);
    hospital_starts(&h);
    c->mute_verdicts = true;
    coordinator_order(c, FED_TRAIN, 1, 0);
    play_until_offered(&h, c);
    c->mute_verdicts = false;
    coordinator_verdict(c, false, "round 1 is closed");
    play(&h, c, 200);
    check_int(n_files(&h, "outbox"), 0);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

/* Of a disk that cannot be written nothing is said of the data: the job is looked at again. */
static void a_disk_that_cannot_be_written_does_not_make_the_data_unfit(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        coordinator *c = coordinator_new(hospital_job);
        hospital h = hospital_new(c, "nord", hospital_approves_all);
        hospital_starts(&h);
        coordinator_order(c, FED_WAIT, 0, 0);
        play(&h, c, 2000);
        check_int(c->n[FED_MSG_HELLO], 1);
        disk_is_full = i == 0;
        disk_is_read_only = i == 1;
        coordinator_order(c, FED_CHECK, 0, 0);
        play(&h, c, 25000);  // looked at three times
        check_int(c->n[FED_MSG_REPLY], 0);
        check_int(c->n[FED_MSG_OFFER], 0);
        disk_is_full = disk_is_read_only = false;
        play_until_offered(&h, c);
        check_near(fed_offer_get(&c->offer, "n_train", -1), 200, 0);
        hospital_destroy(&h);
        coordinator_destroy(&c);
    }
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_WARN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_enrols_checks_a_job_and_trains_a_round),
        cmocka_unit_test(a_whole_job_ends_with_model_and_report_in_the_home),
        cmocka_unit_test(a_killed_site_offers_the_same_bytes_again),
        cmocka_unit_test(another_order_cancels_the_one_at_work),
        cmocka_unit_test(a_model_that_is_here_is_told_of_before_the_next_beat_is_due),
        cmocka_unit_test(a_large_model_comes_as_fast_as_it_is_told_of),
        cmocka_unit_test(
            an_update_without_an_answer_is_offered_once_more_before_the_next_round),
        cmocka_unit_test(
            a_round_that_was_closed_meanwhile_is_finished_only_when_it_can_be_carried),
        cmocka_unit_test(answered_updates_whose_lines_are_not_flushed_do_not_keep_it_from_the_next),
        cmocka_unit_test(a_round_survives_the_loss_of_every_third_message),
        cmocka_unit_test(a_job_waits_for_a_person_and_goes_on_when_approved),
        cmocka_unit_test(a_policy_that_asks_from_now_on_holds_the_next_order),
        cmocka_unit_test(what_a_policy_forbids_meanwhile_stays_in_the_outbox),
        cmocka_unit_test(
            an_order_whose_head_is_not_the_one_that_was_signed_is_not_carried_out),
        cmocka_unit_test(a_job_beyond_the_policy_is_refused_with_the_sentence),
        cmocka_unit_test(a_graph_that_is_none_or_too_large_is_refused_with_the_sentence),
        cmocka_unit_test(data_that_do_not_fit_are_named_and_can_be_mended),
        cmocka_unit_test(a_disk_that_cannot_be_written_does_not_make_the_data_unfit),
        cmocka_unit_test(data_that_are_not_there_are_waited_for),
        cmocka_unit_test(data_that_changed_in_mid_run_are_not_trained_on),
        cmocka_unit_test(data_that_are_gone_in_mid_run_cost_no_more_than_the_rounds_without_them),
        cmocka_unit_test(a_model_other_than_the_announced_one_is_refused),
        cmocka_unit_test(a_round_beyond_the_job_is_refused),
        cmocka_unit_test(a_refused_contribution_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
