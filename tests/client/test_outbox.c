/*
 * test_outbox.c - the only door out
 */
#define _GNU_SOURCE  // syscall
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/receipts.h"
#include "client/scrub.h"

/* Counts what is flushed to the disk; libc's own are not asked. */
static int n_flushes;

int fsync(int fd)
{
    n_flushes++;
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    n_flushes++;
    return (int)syscall(SYS_fdatasync, fd);
}

typedef struct {
    coordinator *c;
    hospital h;
    policy p;
    float *update;    // (P)
    fed_offer draft;  // of round 1
} desk;

static desk desk_new(void)
{
    desk d = {.c = coordinator_new(hospital_job)};
    d.h = hospital_new(d.c, "nord", NULL);
    policy_defaults(&d.p);
    d.update = fl_xcalloc((size_t)d.c->P, sizeof *d.update);
    for (int64_t i = 0; i < d.c->P; i++) {
        d.update[i] = 0.01f * (float)(i + 1);
    }
    d.draft.key = (fed_order_key){.kind = FED_TRAIN, .job = d.c->job, .round = {1}};
    fed_offer_set(&d.draft, "weight", 200);
    nn_table_hash(d.draft.table_hash, task_model_table(d.c->model));
    return d;
}

static void desk_destroy(desk *d)
{
    free(d->update);
    hospital_destroy(&d->h);
    coordinator_destroy(&d->c);
}

static fl_status put_update(desk *d, outbox_item *item, fl_err *err)
{
    return outbox_put_update(item, d->h.home, &d->p, "toy-1", &d->draft,
                             task_model_table(d->c->model), d->update, FED_ENC_F32, err);
}

static fed_offer draft_of(const desk *d, fed_order_kind kind)
{
    fed_offer o = {.key = {.kind = kind, .job = d->c->job, .round = {1}}};
    return o;
}

static size_t n_sent(const desk *d)
{
    fl_err err = FL_ERR_INIT;
    json_t *list = NULL;
    check_ok(receipts_sent(&list, d->h.home, NULL, &err), err);
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static void an_update_is_written_signed_recorded_and_read_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item, again;
    check_ok(put_update(&d, &item, &err), err);

    fl_buf bytes = FL_BUF_INIT;
    fed_verify_key key = fed_identity_verify(d.h.home->id);
    fed_offer_bytes(&item.offer, &bytes);
    check(fed_verify(&item.offer.signature, &key, "consilium contribution 1", bytes.data, bytes.n));
    fl_buf_clear(&bytes);
    check_str(item.offer.site.text, "nord");

    uint8_t piece[FED_PIECE_HEAD + 64];
    size_t n = 0;
    check_ok(outbox_piece(&item, 0, piece, &n, &err), err);
    check_int(n, FED_PIECE_HEAD + 4 * d.c->P);
    check_bytes(piece + FED_PIECE_HEAD, d.update, 4 * (size_t)d.c->P);

    check_ok(outbox_open(&again, d.h.home, "toy-1", &d.draft.key, &err), err);
    check_bytes(&again.offer, &item.offer, sizeof item.offer);
    check_int(n_sent(&d), 1);
    outbox_item_close(&again);
    outbox_item_close(&item);
    desk_destroy(&d);
}

static void what_is_recorded_names_fields_bytes_and_digest(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    check_ok(put_update(&d, &item, &err), err);
    json_t *list = NULL;
    check_ok(receipts_sent(&list, d.h.home, "toy-1", &err), err);
    json_t *line = json_array_get(list, 0);
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, item.offer.digest.bytes, sizeof item.offer.digest.bytes);
    check_str(fl_json_get_string(line, "kind", ""), "update");
    check_int(fl_json_get_int(line, "round", 0), 1);
    check_int(fl_json_get_int(line, "bytes", 0), FED_PIECE_HEAD + 4 * d.c->P);
    check_str(fl_json_get_string(line, "digest", ""), hex);
    json_t *fields = json_object_get(line, "fields");
    check_str(json_string_value(json_array_get(fields, 0)), "weight");
    check_str(json_string_value(json_array_get(fields, 1)), "difference of 3 parameters");
    json_decref(list);
    check_ok(receipts_sent(&list, d.h.home, "another", &err), err);
    check_int(json_array_size(list), 0);
    json_decref(list);
    outbox_item_close(&item);
    desk_destroy(&d);
}

/* What the policy forbids, or does not belong, stays inside: no file, no line. */
static void stays(desk *d, const fed_offer *draft, const char *payload, fl_status wanted,
                  const char *why)
{
    fl_err err = FL_ERR_INIT;
    outbox_item item;
    json_t *json = payload == NULL ? NULL : json_loads(payload, 0, NULL);
    check(payload == NULL || json != NULL);
    check_fails(outbox_put_json(&item, d->h.home, &d->p, "toy-1", draft, json, &err), wanted);
    check_has(err.text, why);
    check_int(item.fd, -1);
    check_fails(outbox_open(&item, d->h.home, "toy-1", &draft->key, &err), FL_ENOTFOUND);
    check_int(n_sent(d), 0);
    json_decref(json);
}

static void nothing_leaves_that_its_kind_does_not_hold(void **state)
{
    (void)state;
    desk d = desk_new();
    fed_offer check_offer = draft_of(&d, FED_CHECK);
    stays(&d, &check_offer, "{\"flow\": {}, \"patients\": [\"Smith\"]}", FL_EDENIED, "patients");
    fed_offer score = draft_of(&d, FED_SCORE);
    stays(&d, &score, "{\"bins\": 4, \"scores\": [0.1]}", FL_EDENIED, "scores");
    fed_offer_set(&score, "age", 50);
    stays(&d, &score, NULL, FL_EDENIED, "age");
    fed_offer done = draft_of(&d, FED_DONE);
    stays(&d, &done, "{\"x\": 1}", FL_EDENIED, "x");
    desk_destroy(&d);
}

static void figures_and_histograms_leave_as_the_policy_says(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_offer score = draft_of(&d, FED_SCORE);
    fed_offer_set(&score, "n", 40);
    fed_offer_set(&score, "auc", 0.9);
    stays(&d, &score, "{\"bins\": 21, \"negatives\": [], \"positives\": []}", FL_EDENIED,
          "at most 20 bins");
    d.p.figures = false;
    stays(&d, &score, NULL, FL_EDENIED, "does not let figures leave");
    fed_offer none = draft_of(&d, FED_SCORE);
    fed_offer_set(&none, "n", 0);
    check_ok(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &none, NULL, &err), err);
    outbox_item_close(&item);
    desk_destroy(&d);
}

static json_t *site_with_dice_of(int n_patients)
{
    json_t *dice = json_pack("{s:f, s:n, s:n, s:i, s:i, s:s, s:s}", "value", 0.8, "ci_low",
                             "ci_high", "n", 12, "n_patients", n_patients, "method", "none", "why",
                             "too few cases: 9; 10 are needed");
    return json_pack("{s:s, s:i, s:i, s:i, s:{s:i, s:[{s:s, s:s, s:i, s:o}], s:[], s:{s:s}, "
                     "s:{s:f, s:s}}}",
                     "name", "nord", "n_train", 60, "n_val", 20, "n_test", 20, "annotators",
                     "annotators", 2, "pairs", "a", "1", "b", "2", "n", 12, "dice", dice, "model",
                     "consensus", "why", "two have no majority", "comparison", "margin", 0.05,
                     "verdict", "cannot tell");
}

static void agreement_of_few_patients_stays(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_offer draft = draft_of(&d, FED_TEST);
    json_t *site = site_with_dice_of(9);
    check_fails(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &draft, site, &err), FL_EDENIED);
    check_str(err.text, "annotators: 9 patients are below the policy's min_cell");
    json_decref(site);
    site = site_with_dice_of(10);
    check_ok(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &draft, site, &err), err);
    outbox_item_close(&item);
    json_decref(site);
    desk_destroy(&d);
}

static json_t *accuracy_of(int n_patients)
{
    return json_pack("{s:{s:f, s:n, s:n, s:i, s:i, s:i, s:s, s:s}}", "accuracy", "value", 0.5,
                     "ci_low", "ci_high", "n", n_patients, "n_positive", 0, "n_patients",
                     n_patients, "method", "none", "why", "too few cases: 10 are needed");
}

/* models.global, and one of what else rests on the whole test split, of so many patients. */
static json_t *site_of(int n_patients, const char *also, json_t *figures)
{
    json_t *site = json_pack("{s:s, s:i, s:i, s:i, s:{s:o}}", "name", "nord", "n_train", 60,
                             "n_val", 20, "n_test", 20, "models", "global",
                             accuracy_of(n_patients));
    if (also != NULL) {
        json_object_set_new(site, also, figures);
    }
    return site;
}

static void a_test_split_of_few_patients_says_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_offer draft = draft_of(&d, FED_TEST);
    json_t *few[] = {site_of(9, NULL, NULL), site_of(10, "benefit", accuracy_of(9)),
                     site_of(10, "personal_gain", accuracy_of(9))};
    static const char *const of[] = {"global", "benefit", "personal_gain"};
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        char *why = fl_xasprintf("%s: a test split of 9 patients is below the policy's min_cell",
                                 of[i]);
        check_fails(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &draft, few[i], &err),
                    FL_EDENIED);
        check_str(err.text, why);
        json_decref(few[i]);
        free(why);
    }
    check_int(n_sent(&d), 0);
    json_t *site = site_of(10, NULL, NULL);
    check_ok(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &draft, site, &err), err);
    outbox_item_close(&item);
    json_decref(site);
    desk_destroy(&d);
}

static void an_update_that_is_too_large_or_no_number_stays(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    d.update[1] = NAN;
    check_fails(put_update(&d, &item, &err), FL_EFORMAT);
    d.update[1] = 128;
    check_fails(put_update(&d, &item, &err), FL_EFORMAT);
    d.update[1] = 0;
    d.p.max_parameters = 2;
    check_fails(put_update(&d, &item, &err), FL_EDENIED);
    check_int(n_sent(&d), 0);
    desk_destroy(&d);
}

/* A reply, which has its line flushed. */
static void say_something(const desk *d)
{
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    fed_order_key key = {.kind = FED_CHECK, .job = d->c->job};
    outbox_reply(m, d->h.home, "toy-1", &key, FED_REFUSE, true, "no");
    free(m);
}

/* Path of the one file in the outbox; caller's. */
static char *only_file(const desk *d)
{
    fl_err err = FL_ERR_INIT;
    char **names = NULL;
    size_t n = 0;
    char *dir = home_path(d->h.home, "outbox");
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    check_int(n, 1);
    char *path = fl_path_join(dir, names[0]);
    fl_names_free(&names, n);
    free(dir);
    return path;
}

static void a_file_cut_or_changed_anywhere_counts_as_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    char *bytes = NULL;
    size_t n = 0;
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    char *path = only_file(&d);
    check_ok(fl_file_read(&bytes, &n, path, 1 << 20, &err), err);
    fl_log_setup(NULL, FL_LOG_ERROR);
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x10;
        check_ok(fl_file_write(path, bytes, n, 0600, &err), err);
        check_fails(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), FL_ENOTFOUND);
        bytes[i] ^= 0x10;
        check_ok(fl_file_write(path, bytes, i, 0600, &err), err);
        check_fails(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), FL_ENOTFOUND);
        check(!fl_file_exists(path));
    }
    check_ok(fl_file_write(path, bytes, n, 0600, &err), err);
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    outbox_item_close(&item);
    free(bytes);
    free(path);
    desk_destroy(&d);
}

static void a_line_lost_with_the_power_is_written_before_anything_is_sent(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    hospital_file(d.h.home_dir, "receipts.jsonl", "{\"what\": \"sent\", \"ki");  // torn
    check_int(n_sent(&d), 0);
    outbox_sweep(d.h.home);
    check_int(n_sent(&d), 1);
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    check_int(n_sent(&d), 1);
    outbox_item_close(&item);
    desk_destroy(&d);
}

/* The disk is full in the middle of a line, and has room again. */
static void a_line_that_did_not_fit_spoils_no_other(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    struct rlimit old, limit;
    struct stat info;
    char *path = fl_path_join(d.h.home_dir, "receipts.jsonl");
    say_something(&d);
    check_int(stat(path, &info), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){(rlim_t)info.st_size + 10, old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    json_t *line = receipts_new("head", "train", "toy-1", &d.draft.key);
    check(receipts_add(d.h.home, line, &err) != FL_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    check_int(n_sent(&d), 1);
    check_ok(put_update(&d, &item, &err), err);
    check_int(n_sent(&d), 2);
    outbox_item_close(&item);
    free(path);
    desk_destroy(&d);
}

/* A power cut tore the line behind the signature. */
static void a_torn_line_tells_of_nothing_that_was_sent(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    char *bytes = NULL, *path = fl_path_join(d.h.home_dir, "receipts.jsonl");
    size_t n = 0;
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    check_ok(fl_file_read(&bytes, &n, path, 1 << 20, &err), err);
    char *end = strstr(bytes, ",\"time\"");
    check(end != NULL && strstr(bytes, "\"signature\"") < end);
    check_ok(fl_file_write(path, bytes, (size_t)(end - bytes), 0600, &err), err);
    check_int(n_sent(&d), 0);
    outbox_sweep(d.h.home);
    check_int(n_sent(&d), 1);
    free(bytes);
    free(path);
    desk_destroy(&d);
}

static void an_update_stays_until_it_is_answered_and_is_late_once_its_round_is_committed(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_order_key wait = {.kind = FED_WAIT, .job = d.c->job};
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    outbox_settle(d.h.home, &wait, (fed_round_no){0}, &d.draft.key);
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    outbox_item_close(&item);
    fed_order_key other = wait;
    other.job.bytes[0] ^= 1;  // another job's commits say nothing of this one
    outbox_settle(d.h.home, &other, (fed_round_no){9}, &d.draft.key);
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    outbox_item_close(&item);
    say_something(&d);
    check_fails(outbox_late(&item, d.h.home, "toy-1", &wait, (fed_round_no){0}, NULL, &err),
                FL_ENOTFOUND);
    check_fails(outbox_late(&item, d.h.home, "toy-1", &other, (fed_round_no){9}, NULL, &err),
                FL_ENOTFOUND);
    check_fails(outbox_late(&item, d.h.home, "toy-1", &d.draft.key, (fed_round_no){9}, NULL, &err),
                FL_ENOTFOUND);  // it answers the current order
    outbox_settle(d.h.home, &wait, (fed_round_no){1}, NULL);
    check_ok(outbox_late(&item, d.h.home, "toy-1", &wait, (fed_round_no){1}, NULL, &err), err);
    check_int(item.offer.key.round.n, 1);
    outbox_item_close(&item);
    check_fails(
        outbox_late(&item, d.h.home, "toy-1", &wait, (fed_round_no){1}, &d.draft.key, &err),
        FL_ENOTFOUND);
    outbox_settle(d.h.home, &wait, (fed_round_no){1}, &d.draft.key);
    check_fails(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), FL_ENOTFOUND);
    desk_destroy(&d);
}

static void no_file_goes_before_its_line_is_on_the_disk(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_order_key wait = {.kind = FED_WAIT, .job = d.c->job};
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    check(!receipts_are_flushed(d.h.home));
    outbox_settle(d.h.home, &wait, (fed_round_no){1}, &d.draft.key);
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    outbox_item_close(&item);
    say_something(&d);
    check(receipts_are_flushed(d.h.home));
    outbox_settle(d.h.home, &wait, (fed_round_no){1}, &d.draft.key);
    check_fails(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), FL_ENOTFOUND);
    desk_destroy(&d);
}

static void a_round_costs_three_flushes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_offer score = draft_of(&d, FED_SCORE);
    n_flushes = 0;
    check_ok(put_update(&d, &item, &err), err);
    check_int(n_flushes, 2);  // its file, the folder
    outbox_verdict(d.h.home, "toy-1", &item.offer, true, "");
    outbox_item_close(&item);
    fed_offer_set(&score, "n", 20);
    check_ok(outbox_put_json(&item, d.h.home, &d.p, "toy-1", &score, NULL, &err), err);
    outbox_verdict(d.h.home, "toy-1", &item.offer, true, "");
    check_int(n_flushes, 3);  // the line
    outbox_settle(d.h.home, &d.draft.key, (fed_round_no){1}, &d.draft.key);
    check_int(n_flushes, 3);
    outbox_item_close(&item);
    desk_destroy(&d);
}

/* The next update is written over the last one's file, whichever is longer. */
static void a_settled_file_is_used_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    struct stat first, second;
    fed_order_key wait = {.kind = FED_WAIT, .job = d.c->job}, done = wait;
    done.kind = FED_DONE;
    char *spare = home_path(d.h.home, "outbox/spare");
    check_ok(put_update(&d, &item, &err), err);
    check_int(fstat(item.fd, &first), 0);
    outbox_item_close(&item);
    say_something(&d);
    outbox_settle(d.h.home, &wait, (fed_round_no){1}, &d.draft.key);
    check(fl_file_exists(spare));
    check_int(truncate(spare, first.st_size + 1000), 0);
    d.draft.key.round.n = 2;
    fed_offer_set(&d.draft, "loss", 0.5);
    d.update[0] = 0.5f;
    check_ok(put_update(&d, &item, &err), err);
    check_int(fstat(item.fd, &second), 0);
    check_int(first.st_ino, second.st_ino);
    outbox_item_close(&item);
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    check_int(fed_offer_get(&item.offer, "loss", 0) == 0.5, true);
    outbox_item_close(&item);
    say_something(&d);
    outbox_settle(d.h.home, &wait, (fed_round_no){2}, &d.draft.key);
    check(fl_file_exists(spare));
    outbox_settle(d.h.home, &done, (fed_round_no){2}, &d.draft.key);
    check(!fl_file_exists(spare));
    free(spare);
    desk_destroy(&d);
}

static void what_the_old_keys_signed_is_kept_and_signed_again_with_the_new(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    fed_rotation r;
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    fed_offer before = item.offer;
    char *keys = home_path(d.h.home, "keys");
    check_ok(fed_rotation_begin(&r, keys, &d.h.home->site, &err), err);
    check(fed_offer_verify(&before, &r.old_sign));
    check_ok(home_rotated(d.h.home, &err), err);
    check(home_had_key(d.h.home, &r.old_sign));
    check(home_had_key(d.h.home, &r.sign));
    check(!home_had_key(d.h.home, &d.h.home->coordinator_sign));
    check_ok(outbox_open(&item, d.h.home, "toy-1", &d.draft.key, &err), err);
    outbox_sign_again(&item, d.h.home);
    check(fed_offer_verify(&item.offer, &r.sign));
    check(fed_digest_equal(&item.offer.digest, &before.digest));
    check_int(n_sent(&d), 1);
    outbox_item_close(&item);
    free(keys);
    desk_destroy(&d);
}

static void a_file_in_the_making_is_the_worker_s(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    outbox_item item;
    check_ok(put_update(&d, &item, &err), err);
    outbox_item_close(&item);
    char *path = only_file(&d);
    char *partial = fl_xasprintf("%s.tmp", path);
    check_int(rename(path, partial), 0);
    // The same order again, and others, while a worker writes.
    fed_order_key wait = {.kind = FED_WAIT, .job = d.c->job};
    outbox_settle(d.h.home, &d.draft.key, (fed_round_no){0}, &d.draft.key);
    outbox_settle(d.h.home, &wait, (fed_round_no){5}, &d.draft.key);
    check(fl_file_exists(partial));
    outbox_sweep(d.h.home);  // no worker is at work when a process begins
    check(!fl_file_exists(partial));
    free(partial);
    free(path);
    desk_destroy(&d);
}

static void sentences_leave_without_folders_and_file_names(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } pairs[] = {
        {"classes: the job has a, b; this data set has a, c",
         "classes: the job has a, b; this data set has a, c"},
        {"/data/St_Mary/manifest.csv:12: label: expected a, b",
         "manifest.csv:12: label: expected a, b"},
        {"/data/St_Mary/manifest.csv:12: sex: expected one of F, M, found Mary Smith, 3/4/1950",
         "manifest.csv:12: sex: expected one of F, M, found another value (`client check-data` "
         "shows it)"},
        {"a.npz: test_labels: row 7: expected 0, 1, found 9",
         "a.npz: test_labels: row 7: expected 0, 1, found another value (`client check-data` "
         "shows it)"},
        {"/x/heart.txt:3: chol: expected a finite number, found Smith",
         "a file:3: chol: expected a finite number, found another value (`client check-data` "
         "shows it)"},
        {"dataset.yaml:3: task: expected classify, found classfy",
         "dataset.yaml:3: task: expected classify, found classfy"},
        {"manifest.csv:7: scans/Smith_John/0001.dcm: not a DICOM file",
         "manifest.csv:7: a file: not a DICOM file"},
        {"Smith_John.png: truncated", "a file: truncated"},
        {"cannot read '/mnt/x/Smith'", "cannot read 'a file'"},
        {"two\nlines\tand\x1b[31m red", "two lines and [31m red"},
        {"", ""},
    };
    char out[FED_TEXT_BYTES];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        scrub_text(out, sizeof out, pairs[i].in);
        check_str(out, pairs[i].out);
    }
    scrub_text(out, 6, "abcd\xc3\xa9zz");  // a cut in the middle of a letter
    check_str(out, "abcd");
}

static void replies_are_recorded_too(void **state)
{
    (void)state;
    desk d = desk_new();
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    fed_order_key key = {.kind = FED_CHECK, .job = d.c->job};
    outbox_reply(m, d.h.home, "toy-1", &key, FED_REFUSE, true, "/data/x/t.csv:3: label: odd");
    check_str(m->u.reply.text, "t.csv:3: label: odd");
    check(m->u.reply.mismatch);
    check_int(n_sent(&d), 1);
    free(m);
    desk_destroy(&d);
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_is_written_signed_recorded_and_read_back),
        cmocka_unit_test(what_is_recorded_names_fields_bytes_and_digest),
        cmocka_unit_test(nothing_leaves_that_its_kind_does_not_hold),
        cmocka_unit_test(figures_and_histograms_leave_as_the_policy_says),
        cmocka_unit_test(agreement_of_few_patients_stays),
        cmocka_unit_test(a_test_split_of_few_patients_says_nothing),
        cmocka_unit_test(an_update_that_is_too_large_or_no_number_stays),
        cmocka_unit_test(a_file_cut_or_changed_anywhere_counts_as_nothing),
        cmocka_unit_test(a_line_lost_with_the_power_is_written_before_anything_is_sent),
        cmocka_unit_test(a_line_that_did_not_fit_spoils_no_other),
        cmocka_unit_test(a_torn_line_tells_of_nothing_that_was_sent),
        cmocka_unit_test(no_file_goes_before_its_line_is_on_the_disk),
        cmocka_unit_test(a_round_costs_three_flushes),
        cmocka_unit_test(a_settled_file_is_used_again),
        cmocka_unit_test(
            an_update_stays_until_it_is_answered_and_is_late_once_its_round_is_committed),
        cmocka_unit_test(what_the_old_keys_signed_is_kept_and_signed_again_with_the_new),
        cmocka_unit_test(a_file_in_the_making_is_the_worker_s),
        cmocka_unit_test(sentences_leave_without_folders_and_file_names),
        cmocka_unit_test(replies_are_recorded_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
