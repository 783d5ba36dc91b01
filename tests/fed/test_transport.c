/*
 * test_transport.c - links inside one process, waiting, and the record of
 * refusals
 */
#include "fed/transport.h"

#include <pthread.h>

#include "check.h"
#include "fed/pair.h"
#include "fed/refusals.h"

static void a_site_asks_and_the_coordinator_answers(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *coordinator = fed_identity_new();
    fed_identity *nord = fed_identity_new();
    pair_list allowed = {.n = 0};
    pair_allow(&allowed, nord);

    fed_link *server = NULL, *client = NULL;
    check_ok(fed_listen_mem(&server, coordinator, pair_is_allowed, &allowed, &err), err);
    fed_public_key key = fed_identity_public(coordinator);
    check_ok(fed_connect(&client, fed_link_address(server), &key, nord, &err), err);

    pair_send(client, NULL, "hello");
    fed_packet p;
    pair_receive(server, &p);
    pair_expect(&p, "hello");
    fed_route route = p.route;
    pair_send(server, &route, "welcome");
    pair_receive(client, &p);
    pair_expect(&p, "welcome");
    check_str(fed_link_state(client), "connected");

    fed_link_close(&client);
    fed_link_close(&server);
    fed_link_close(&server);  // twice is fine
    fed_identity_destroy(&coordinator);
    fed_identity_destroy(&nord);
}

// ------------------------------------------------------------------ fixture

typedef struct {
    fed_identity *coordinator, *nord, *stranger;
    fed_public_key key;
    pair_list allowed;
    fed_link *server;
} house;

static int open_house(void **state)
{
    fl_err err = FL_ERR_INIT;
    house *h = fl_xcalloc(1, sizeof *h);
    h->coordinator = fed_identity_new();
    h->nord = fed_identity_new();
    h->stranger = fed_identity_new();
    h->key = fed_identity_public(h->coordinator);
    pair_allow(&h->allowed, h->nord);
    check_ok(fed_listen_mem(&h->server, h->coordinator, pair_is_allowed, &h->allowed, &err), err);
    *state = h;
    return 0;
}

static int close_house(void **state)
{
    house *h = *state;
    fed_link_close(&h->server);
    fed_identity_destroy(&h->coordinator);
    fed_identity_destroy(&h->nord);
    fed_identity_destroy(&h->stranger);
    free(h);
    return 0;
}

static fed_link *connect_as(house *h, const fed_identity *id)
{
    fl_err err = FL_ERR_INIT;
    fed_link *client = NULL;
    check_ok(fed_connect(&client, fed_link_address(h->server), &h->key, id, &err), err);
    return client;
}

// --------------------------------------------------------------------- peers

static void a_stranger_is_refused_until_the_list_has_it(void **state)
{
    house *h = *state;
    fed_link *client = connect_as(h, h->stranger);
    check(!fed_link_up(client));
    check_has(fed_link_state(client), "key is not on the list");
    fed_refusal refusal;
    check(fed_link_refusal(h->server, &refusal));
    check_has(refusal.reason, "key is not on the list");
    fed_public_key key = fed_identity_public(h->stranger);
    check_bytes(refusal.key.bytes, key.bytes, FED_KEY_BYTES);

    pair_allow(&h->allowed, h->stranger);
    pair_wait_up(client);
    check_int(fed_link_n_connected(client), 1);
    pair_talk(client, h->server, h->stranger);
    fed_link_close(&client);
}

static void another_coordinators_key_is_refused(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    fed_public_key other = fed_identity_public(h->stranger);
    fed_link *client = NULL;
    check_ok(fed_connect(&client, fed_link_address(h->server), &other, h->nord, &err), err);
    check(!fed_link_up(client));
    check_has(fed_link_state(client), "its key is not the expected one");
    fed_link_close(&client);
}

static void a_route_ends_with_its_connection(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    fed_link *client = connect_as(h, h->nord);
    pair_send(client, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    fed_route route = p.route;
    fed_link_close(&client);
    check_fails(fed_send(h->server, &route, "x", 1, NULL, 0, &err), FL_ENOTFOUND);
}

static void an_expelled_peer_is_asked_for_its_key_again(void **state)
{
    house *h = *state;
    fed_link *client = connect_as(h, h->nord);
    pair_send(client, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    h->allowed.n = 0;  // revoked
    fed_link_expel(h->server, &p);
    check(!fed_link_up(client));
    pair_allow(&h->allowed, h->nord);
    pair_wait_up(client);
    check_int(fed_link_n_connected(client), 2);
    fed_link_close(&client);
}

static void a_client_notices_when_the_coordinator_goes(void **state)
{
    house *h = *state;
    fed_link *client = connect_as(h, h->nord);
    check(fed_link_up(client));
    fed_link_close(&h->server);
    check(!fed_link_up(client));
    check_has(fed_link_state(client), "connecting to");
    fed_link_close(&client);
}

static void a_full_queue_says_so(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    fed_link *client = connect_as(h, h->nord);
    pair_send(client, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    fed_route route = p.route;
    fl_status st = FL_OK;
    int n = 0;
    while (st == FL_OK && n < 10000) {
        st = fed_send(h->server, &route, "x", 1, NULL, 0, &err);
        n++;
    }
    check_fails(st, FL_ELIMIT);
    while (fed_receive(client, &p)) {
    }
    check_ok(fed_send(h->server, &route, "x", 1, NULL, 0, &err), err);
    fed_link_close(&client);
}

static void payloads_come_whole_and_aligned(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    fed_link *client = connect_as(h, h->nord);
    static uint8_t payload[FED_PIECE_BYTES];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 31 >> 3);
    }
    for (size_t n = sizeof payload - 3; n <= sizeof payload; n++) {
        check_ok(fed_send(client, NULL, "piece", 5, payload, n, &err), err);
        fed_packet p;
        pair_receive(h->server, &p);
        check_int(p.n_payload, n);
        check_bytes(p.payload, payload, n);
        check_int((uintptr_t)p.payload % 8, 0);
    }
    fed_link_close(&client);
}

/* Loses every third message to the server. */
static bool lose_third(void *ctx, bool to_server)
{
    int *n = ctx;
    return to_server && ++*n % 3 == 0;
}

static void a_test_can_lose_messages(void **state)
{
    house *h = *state;
    fed_link *client = connect_as(h, h->nord);
    int n_seen = 0;
    fed_link_set_drop(h->server, lose_third, &n_seen);
    for (int i = 0; i < 9; i++) {
        pair_send(client, NULL, "x");
    }
    fed_packet p;
    int n = 0;
    while (fed_receive(h->server, &p)) {
        n++;
    }
    check_int(n, 6);
    fed_link_close(&client);
}

// ------------------------------------------------------------------- waiting

static void waiting_ends_in_time(void **state)
{
    house *h = *state;
    int64_t before = fl_now_ms();
    fed_wait(&h->server, 1, NULL, 30);
    check(fl_now_ms() - before >= 29);
    fed_wait(NULL, 0, NULL, 0);
}

static void *wake_later(void *waker)
{
    fed_waker_wake(waker);
    return NULL;
}

static void another_thread_can_wake_the_waiting_one(void **state)
{
    house *h = *state;
    fed_waker *waker = fed_waker_new();
    pthread_t thread;
    check_int(pthread_create(&thread, NULL, wake_later, waker), 0);
    fed_wait(&h->server, 1, waker, -1);  // for ever but for the waker
    pthread_join(thread, NULL);

    fed_waker_wake(waker);  // a call from before is not lost
    fed_waker_wake(waker);
    fed_wait(&h->server, 1, waker, -1);
    int64_t before = fl_now_ms();
    fed_wait(&h->server, 1, waker, 20);  // and counts once
    check(fl_now_ms() - before >= 19);
    fed_waker_destroy(&waker);
    fed_waker_destroy(&waker);
}

static void *send_later(void *link)
{
    pair_send(link, NULL, "late");
    return NULL;
}

static void a_message_ends_the_waiting(void **state)
{
    house *h = *state;
    fed_link *client = connect_as(h, h->nord);
    pthread_t thread;
    check_int(pthread_create(&thread, NULL, send_later, client), 0);
    fed_wait(&h->server, 1, NULL, -1);
    pthread_join(thread, NULL);
    fed_packet p;
    check(fed_receive(h->server, &p));
    pair_expect(&p, "late");
    check(!fed_receive(h->server, &p));
    fed_link_close(&client);
}

static void links_and_wakers_may_go_in_any_order(void **state)
{
    house *h = *state;
    fed_packet p;
    fed_waker *one = fed_waker_new(), *other = fed_waker_new();
    fed_link *client = connect_as(h, h->nord), *second = connect_as(h, h->nord);
    fed_link *links[] = {client, second, h->server};
    fed_wait(links, 3, one, 0);
    fed_wait(links, 1, other, 0);  // the first is the other's now
    fed_link_close(&client);
    pair_send(second, NULL, "after the first is gone");
    fed_wait(links + 1, 2, one, -1);
    check(fed_receive(h->server, &p));
    pair_expect(&p, "after the first is gone");
    fed_waker_destroy(&one);
    pair_send(second, NULL, "after the waker is gone");
    fed_wait(links + 1, 2, other, -1);
    check(fed_receive(h->server, &p));
    pair_expect(&p, "after the waker is gone");
    fed_link_close(&second);
    fed_waker_destroy(&other);
}

// ------------------------------------------------------------------ refusals

static void equal_refusals_are_counted_not_listed(void **state)
{
    (void)state;
    fed_refusals r;
    fed_refusals_init(&r);
    for (int i = 0; i < 100000; i++) {
        fed_refusals_add(&r, "10.0.0.1", "no CURVE handshake", NULL);
    }
    fed_refusals_add(&r, "10.0.0.2", "no CURVE handshake", NULL);
    fed_refusal out;
    check(fed_refusals_next(&r, &out));
    check_str(out.address, "10.0.0.1");
    check_int(out.n_attempts, 100000);
    check(fed_refusals_next(&r, &out));
    check_str(out.address, "10.0.0.2");
    check_int(out.n_attempts, 1);
    check(!fed_refusals_next(&r, &out));
    fed_refusals_clear(&r);
}

static void a_flood_is_bounded_and_slow_to_come_out(void **state)
{
    (void)state;
    fed_refusals r;
    fed_refusals_init(&r);
    for (int i = 0; i < 5000; i++) {
        fed_public_key key = {{(uint8_t)i, (uint8_t)(i >> 8)}};
        fed_refusals_add(&r, "10.0.0.1", "key is not on the list", &key);
    }
    fed_refusal out;
    int n = 0;
    while (fed_refusals_next(&r, &out)) {
        check_int(out.key.bytes[0], n);  // oldest first
        n++;
    }
    check(n >= FED_REFUSALS_BURST && n <= FED_REFUSALS_BURST + 2);

    // With time the rest comes, all of it accounted for.
    uint64_t n_attempts = (uint64_t)n;
    for (int i = 0; i < 1000 && n_attempts < 5000; i++) {
        r.filled_at -= 1;  // a second goes by
        while (fed_refusals_next(&r, &out)) {
            n_attempts += out.n_attempts;
        }
    }
    check_int(n_attempts, 5000);
    check_has(out.reason, "many others");
    fed_refusals_clear(&r);
}

#define with_house(test) cmocka_unit_test_setup_teardown(test, open_house, close_house)

int main(void)
{
    fed_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_asks_and_the_coordinator_answers),
        with_house(a_stranger_is_refused_until_the_list_has_it),
        with_house(another_coordinators_key_is_refused),
        with_house(a_route_ends_with_its_connection),
        with_house(an_expelled_peer_is_asked_for_its_key_again),
        with_house(a_client_notices_when_the_coordinator_goes),
        with_house(a_full_queue_says_so),
        with_house(payloads_come_whole_and_aligned),
        with_house(a_test_can_lose_messages),
        with_house(waiting_ends_in_time),
        with_house(another_thread_can_wake_the_waiting_one),
        with_house(a_message_ends_the_waiting),
        with_house(links_and_wakers_may_go_in_any_order),
        cmocka_unit_test(equal_refusals_are_counted_not_listed),
        cmocka_unit_test(a_flood_is_bounded_and_slow_to_come_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
