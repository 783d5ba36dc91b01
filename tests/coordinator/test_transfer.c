/*
 * test_transfer.c - one pool of credit for all sites and both directions
 */
#include "check.h"
#include "fake.h"

#include "base/log.h"
#include "base/rng.h"
#include "coordinator/transfer.h"

enum { N_SITES = 20 };

/* A run with a model of 81 pieces, and sites that only count what they are sent. */
typedef struct {
    fake *f;
    run *r;
    transfer_pool *pool;
    transfer t[N_SITES];
    uint32_t received[N_SITES];  // pieces
    uint32_t granted[N_SITES], from[N_SITES];
    bool full[N_SITES];  // takes nothing
    /* of the simulated network */
    uint32_t to_site[N_SITES], from_site[N_SITES];  // pieces on the way
    bool has_hung_up[N_SITES];
    bool is_slow;  // what is sent arrives some time
    float *values;  // zeros
    int64_t now_ms;
    fed_digest model;
    uint32_t n_pieces;
} setting;

static fl_status count_message(void *ctx, void *site, const fed_msg *m, const void *payload,
                               size_t n)
{
    setting *s = ctx;
    size_t i = (size_t)((transfer *)site - s->t);
    (void)payload;
    if (s->full[i]) {
        return FL_ELIMIT;
    }
    if (m->type == FED_MSG_GRANT) {
        s->from[i] = m->u.grant.next;
        s->granted[i] = m->u.grant.credits;
        s->from_site[i] += s->is_slow ? m->u.grant.credits : 0;  // may be sent at any time from now
    } else {
        check_int(m->type, FED_MSG_PIECE);
        check_int(m->u.piece.index, s->received[i] + s->to_site[i]);
        check(n <= FED_PIECE_BYTES);
        s->received[i] += !s->is_slow;
        s->to_site[i] += s->is_slow;
    }
    return FL_OK;
}

static void hang_up(void *ctx, void *site)
{
    setting *s = ctx;
    size_t i = (size_t)((transfer *)site - s->t);
    s->to_site[i] = s->from_site[i] = 0;  // what was on the way is gone with it
    s->has_hung_up[i] = true;
}

static setting *setting_new(void)
{
    fl_err err = FL_ERR_INIT;
    setting *s = fl_xcalloc(1, sizeof *s);
    char *small = fake_job(1, 1, "{name: fedavg}", 1280, "60s", "");
    const char *at = strstr(small, "{name: logistic}");
    char *yaml = fl_xasprintf("%.*s{name: mlp, hidden: [4096]}%s", (int)(at - small), small,
                              at + 16);
    s->f = fake_new(1, yaml);
    check_ok(fake_start(s->f, true, &err), err);
    s->r = serve_active_run(s->f->serve);
    record_model first;
    check_ok(record_get_model(run_record(s->r), 0, &first, &err), err);
    s->model = first.object;
    uint64_t n_bytes;
    check(objects_find(run_objects(s->r), &s->model, &s->n_pieces, &n_bytes));
    check_int(s->n_pieces, 81);
    s->values = fl_xcalloc((size_t)nn_table_count(run_check_job(s->r)->table), sizeof *s->values);
    s->pool = transfer_pool_new(count_message, hang_up, s);
    for (size_t i = 0; i < N_SITES; i++) {
        transfer_add(s->pool, &s->t[i], &s->t[i]);
        s->t[i].heard_ms = s->t[i].up_moved_ms = s->t[i].down_moved_ms = 1;
    }
    free(small);
    free(yaml);
    return s;
}

static void setting_free(setting **s)
{
    for (size_t i = 0; i < N_SITES; i++) {
        transfer_forget((*s)->pool, &(*s)->t[i]);
    }
    check_int(transfer_pool_used((*s)->pool), 0);
    transfer_pool_destroy(&(*s)->pool);
    fake_free(&(*s)->f);
    free((*s)->values);
    FL_FREE(*s);
}

static void pump(setting *s, int64_t now)
{
    for (int i = 0; i < 100; i++) {
        transfer_pump(s->pool, now);
        check(transfer_pool_used(s->pool) <= TRANSFER_POOL_BYTES);
    }
}

static uint32_t all_received(const setting *s)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < N_SITES; i++) {
        sum += s->received[i];
    }
    return sum;
}

/* What a site says of what came to it: of every eighth piece, and when it wants more. */
static void tell(setting *s, size_t i, uint32_t *told, uint32_t *asked)
{
    enum { TELL = 8 };
    while (s->received[i] >= *told + TELL || (s->received[i] == s->n_pieces && *told < s->n_pieces)) {
        *told = s->received[i];
        transfer_arrived(s->pool, &s->t[i], *told, 20);
    }
    if (*asked < s->n_pieces && *asked - s->received[i] <= TRANSFER_WINDOW / 2) {
        uint32_t count = s->n_pieces - *asked;
        transfer_fetch(s->pool, &s->t[i], s->r, &s->model, *asked, count, 20);
        *asked += count;
    }
}

static void what_goes_out_stops_at_the_pool_and_goes_on_as_it_arrives(void **state)
{
    (void)state;
    setting *s = setting_new();
    uint32_t told[N_SITES] = {0}, asked[N_SITES];
    for (size_t i = 0; i < N_SITES; i++) {
        asked[i] = TRANSFER_WINDOW;
        transfer_fetch(s->pool, &s->t[i], s->r, &s->model, 0, TRANSFER_WINDOW, 10);
    }
    pump(s, 10);
    check_int(all_received(s), 256);
    for (size_t i = 0; i < N_SITES; i++) {
        check_int(s->received[i], i < 16 ? 16 : 0);  // a share each, first come first served
    }
    for (int round = 0; round < 20; round++) {  // no clock moves
        for (size_t i = 0; i < N_SITES; i++) {
            tell(s, i, &told[i], &asked[i]);
        }
        pump(s, 20);
    }
    check_int(all_received(s), N_SITES * s->n_pieces);
    for (size_t i = 0; i < N_SITES; i++) {
        tell(s, i, &told[i], &asked[i]);
    }
    check_int(transfer_pool_used(s->pool), 0);
    setting_free(&s);
}

static void a_site_that_is_alone_has_a_whole_window(void **state)
{
    (void)state;
    setting *s = setting_new();
    transfer_fetch(s->pool, &s->t[3], s->r, &s->model, 0, TRANSFER_WINDOW, 10);
    pump(s, 10);
    check_int(s->received[3], TRANSFER_WINDOW);
    setting_free(&s);
}

static fed_offer offer_of(const setting *s, size_t i)
{
    fed_offer o = {.key = {.kind = FED_TRAIN, .job = *run_digest(s->r), .round = {1}}};
    snprintf(o.site.text, sizeof o.site.text, "site-%zu", i);
    o.n_pieces = s->n_pieces;
    o.n_bytes = fed_piece_bytes_of(FED_ENC_F32,
                                   (uint64_t)nn_table_count(run_check_job(s->r)->table));
    o.digest.bytes[0] = (uint8_t)(i + 1);
    return o;
}

static void send_piece(setting *s, size_t i, uint32_t index, bool *whole)
{
    fl_err err = FL_ERR_INIT;
    static uint64_t zeros[FED_PIECE_BYTES / 8];
    size_t n = fed_piece_pack((uint8_t *)zeros, FED_ENC_F32, s->values,
                              (uint64_t)nn_table_count(run_check_job(s->r)->table), index);
    bool moved;
    fed_digest digest = s->t[i].offer->digest;
    check_ok(transfer_piece(s->pool, &s->t[i], &digest, index, (uint8_t *)zeros, n, &moved, whole,
                            s->now_ms, &err),
             err);
}

static void what_comes_in_is_granted_first_come_first_served(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting *s = setting_new();
    for (size_t i = 0; i < N_SITES; i++) {
        fed_offer o = offer_of(s, i);
        check_ok(transfer_start(s->pool, &s->t[i], s->r, 0, &o, 10, &err), err);
    }
    check(round_at(run_machine(s->r), 0)->waits_for_credit);
    pump(s, 10);
    for (size_t i = 0; i < N_SITES; i++) {
        check_int(s->granted[i], i < 4 ? 64 : 0);
    }
    bool whole = false;
    for (uint32_t k = 0; k < 64; k++) {
        send_piece(s, 1, k, &whole);  // the second site is the fastest
    }
    check(!whole);
    pump(s, 20);
    check_int(s->granted[4], 64);  // whoever waited longest, not the second again
    check_int(s->from[1], 0);
    for (uint32_t k = 0; k < 64; k++) {
        send_piece(s, 4, k, &whole);
    }
    pump(s, 20);
    check_int(s->granted[5], 64);
    for (uint32_t k = 0; k < 15; k++) {
        send_piece(s, 0, k, &whole);
    }
    pump(s, 20);
    check_int(s->granted[6], 0);  // not piece by piece
    send_piece(s, 0, 15, &whole);
    pump(s, 20);
    check_int(s->granted[6], 16);
    for (size_t i = 0; i < N_SITES; i++) {
        transfer_stop(s->pool, &s->t[i], true);
    }
    check_int(transfer_pool_used(s->pool), 0);
    setting_free(&s);
}

/* Four sites offer, and the pool is lent to them. */
static void lend_all(setting *s)
{
    fl_err err = FL_ERR_INIT;
    for (size_t i = 0; i < 4; i++) {
        fed_offer o = offer_of(s, i);
        check_ok(transfer_start(s->pool, &s->t[i], s->r, 0, &o, 10, &err), err);
    }
    pump(s, 10);
}

static void a_site_that_is_gone_gives_its_credit_back(void **state)
{
    (void)state;
    setting *s = setting_new();
    lend_all(s);
    transfer_fetch(s->pool, &s->t[5], s->r, &s->model, 0, TRANSFER_WINDOW, 10);
    pump(s, 20);
    check_int(s->received[5], 0);
    for (size_t i = 0; i < N_SITES; i++) {
        s->t[i].heard_ms = i == 2 ? 1 : 9000;  // the third is not heard any more
    }
    for (size_t i = 0; i < N_SITES; i++) {
        s->t[i].up_moved_ms = 9000;
    }
    pump(s, 9000);
    check_int(s->received[5], 64);
    setting_free(&s);
}

static void a_full_queue_holds_up_one_site_and_no_other(void **state)
{
    (void)state;
    setting *s = setting_new();
    s->full[0] = true;
    transfer_fetch(s->pool, &s->t[0], s->r, &s->model, 0, TRANSFER_WINDOW, 10);
    transfer_fetch(s->pool, &s->t[1], s->r, &s->model, 0, TRANSFER_WINDOW, 10);
    check(transfer_pump(s->pool, 10));
    pump(s, 10);
    check_int(s->received[0], 0);
    check_int(s->received[1], 16);
    uint32_t told = 0, asked = TRANSFER_WINDOW;
    for (int i = 0; i < 8; i++) {
        tell(s, 1, &told, &asked);
        pump(s, 20);
    }
    check_int(s->received[0], 0);
    check_int(s->received[1], s->n_pieces);
    s->full[0] = false;
    pump(s, 20);
    check_int(s->received[0], 64);
    setting_free(&s);
}

static void a_second_offer_leaves_one_spool_behind_at_most(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting *s = setting_new();
    bool whole;
    char *dir = fl_path_join(run_dir(s->r), "spool");
    for (uint8_t k = 1; k < 20; k++) {  // would fill the disk
        fed_offer o = offer_of(s, 0);
        o.digest.bytes[1] = k;
        check_ok(transfer_start(s->pool, &s->t[0], s->r, 0, &o, 10, &err), err);
        pump(s, 10);
        send_piece(s, 0, 0, &whole);
    }
    char **names;
    size_t n;
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    check_int(n, 1);
    fl_names_free(&names, n);
    free(dir);
    setting_free(&s);
}

// ------------------------------------------- sites that sleep, drag and die

/* One site's half of both transfers; all it says is true. */
typedef struct {
    int64_t asleep_until_ms;
    uint32_t asked, sent;  // pieces
    bool offered, whole;
} sleeper;

static void say_hello(setting *s, size_t i, sleeper *x)
{
    fl_err err = FL_ERR_INIT;
    s->has_hung_up[i] = false;
    transfer_anew(s->pool, &s->t[i]);
    x->asked = s->received[i];
    fed_offer o = offer_of(s, i);
    if (!x->whole) {
        check_ok(transfer_start(s->pool, &s->t[i], s->r, 0, &o, s->now_ms, &err), err);
        x->sent = spool_next(s->t[i].spool);
    }
}

/* Up to n pieces each way, then what a client says of them. */
static void have_turn(setting *s, size_t i, sleeper *x, uint32_t n)
{
    transfer *t = &s->t[i];
    t->heard_ms = s->now_ms;
    if (s->has_hung_up[i] || !x->offered) {
        x->offered = true;
        say_hello(s, i, x);
    }
    uint32_t down = s->to_site[i] < n ? s->to_site[i] : n;
    s->received[i] += down;
    s->to_site[i] -= down;
    transfer_arrived(s->pool, t, s->received[i], s->now_ms);  // a Beat
    if (x->asked < s->n_pieces && x->asked - s->received[i] <= TRANSFER_WINDOW / 2) {
        uint32_t count = TRANSFER_WINDOW - (x->asked - s->received[i]);
        count = count < s->n_pieces - x->asked ? count : s->n_pieces - x->asked;
        transfer_fetch(s->pool, t, s->r, &s->model, x->asked, count, s->now_ms);
        x->asked += count;
    }
    for (; s->from_site[i] > 0 && n > 0 && !x->whole; n--) {
        s->from_site[i]--;
        send_piece(s, i, x->sent++, &x->whole);
    }
}

static uint32_t under_way(const setting *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < N_SITES; i++) {
        n += s->to_site[i] + s->from_site[i];
    }
    return n;
}

/* What is on the way is counted where it is, not by the pool's book. */
static void what_is_on_the_way_is_bounded_whoever_sleeps_or_dies(void **state)
{
    (void)state;
    enum { DEAD = 3, TURNS = 12000, TURN_MS = 250 };
    const uint32_t most = (TRANSFER_POOL_BYTES + TRANSFER_LATE_BYTES) / FED_PIECE_BYTES;
    setting *s = setting_new();
    sleeper sites[N_SITES] = {{0}};
    uint32_t peak = 0;
    const uint64_t seed = 7;
    fl_rng rng;
    fl_rng_init(&rng, seed, "transfer", "", 0);
    printf("seed %llu\n", (unsigned long long)seed);
    s->is_slow = true;
    for (int turn = 0; turn < TURNS; turn++) {
        s->now_ms = 1000 + (int64_t)turn * TURN_MS;
        for (size_t i = 0; i < N_SITES; i++) {
            if (fl_rng_below(&rng, 12) == 0) {
                sites[i].asleep_until_ms = s->now_ms + (int64_t)fl_rng_below(&rng, 90000);
            }
            bool is_dead = i < DEAD && turn > 12;
            if (!is_dead && s->now_ms >= sites[i].asleep_until_ms) {
                have_turn(s, i, &sites[i], (uint32_t)fl_rng_below(&rng, 5));
            }
        }
        transfer_pump(s->pool, s->now_ms);
        peak = under_way(s) > peak ? under_way(s) : peak;
        check(under_way(s) <= most);
        check(transfer_pool_used(s->pool) <= TRANSFER_POOL_BYTES);
        check(transfer_pool_late(s->pool) <= TRANSFER_LATE_BYTES);
    }
    printf("at most %u pieces on the way\n", peak);
    check(peak > TRANSFER_POOL_BYTES / FED_PIECE_BYTES);  // else nobody was asleep on credit
    for (size_t i = DEAD; i < N_SITES; i++) {
        check_int(s->received[i], s->n_pieces);
        check(sites[i].whole);
    }
    for (size_t i = 0; i < N_SITES; i++) {
        transfer_stop(s->pool, &s->t[i], true);
    }
    setting_free(&s);
}

static void a_contribution_that_is_refused_half_way_keeps_what_may_still_come_on_the_books(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting *s = setting_new();
    enum { ROOM = TRANSFER_LATE_BYTES / (TRANSFER_WINDOW * FED_PIECE_BYTES) };
    for (size_t i = 0; i <= ROOM; i++) {  // each is granted a window, sends nothing, and is refused
        fed_offer o = offer_of(s, i);
        check_ok(transfer_start(s->pool, &s->t[i], s->r, 0, &o, 10, &err), err);
        pump(s, 10);
        check_int(s->granted[i], TRANSFER_WINDOW);
        transfer_stop(s->pool, &s->t[i], true);
        check_int(transfer_pool_used(s->pool), 0);
        check_int(s->has_hung_up[i], i == ROOM);  // there is no room for this one
    }
    check_int(transfer_pool_late(s->pool), TRANSFER_LATE_BYTES);
    transfer_came(s->pool, &s->t[0]);  // it says that it sends nothing
    check_int(transfer_pool_late(s->pool), TRANSFER_LATE_BYTES - TRANSFER_WINDOW * FED_PIECE_BYTES);
    setting_free(&s);
}

static void time_in_which_nothing_was_read_is_nobodys_silence(void **state)
{
    (void)state;
    setting *s = setting_new();
    lend_all(s);
    transfer_fetch(s->pool, &s->t[5], s->r, &s->model, 0, TRANSFER_WINDOW, 20);
    transfer_was_deaf(s->pool, 100000);
    pump(s, 100000);
    check_int(s->received[5], 0);
    check_int(transfer_pool_late(s->pool), 0);
    setting_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_out_stops_at_the_pool_and_goes_on_as_it_arrives),
        cmocka_unit_test(a_site_that_is_alone_has_a_whole_window),
        cmocka_unit_test(what_comes_in_is_granted_first_come_first_served),
        cmocka_unit_test(a_site_that_is_gone_gives_its_credit_back),
        cmocka_unit_test(what_is_on_the_way_is_bounded_whoever_sleeps_or_dies),
        cmocka_unit_test(
            a_contribution_that_is_refused_half_way_keeps_what_may_still_come_on_the_books),
        cmocka_unit_test(time_in_which_nothing_was_read_is_nobodys_silence),
        cmocka_unit_test(a_full_queue_holds_up_one_site_and_no_other),
        cmocka_unit_test(a_second_offer_leaves_one_spool_behind_at_most),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
