/*
 * test_transport_zmq.c - encrypted links over real sockets on the loopback
 *
 * Talks to ours with libzmq and with plain TCP as well, to be as rude as a
 * stranger can be.
 */
#include "fed/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <zmq.h>

#include "base/buf.h"
#include "check.h"
#include "fed/pair.h"

static void a_site_asks_and_the_coordinator_answers(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *coordinator = fed_identity_new();
    fed_identity *nord = fed_identity_new();
    pair_list allowed = {.n = 0};
    pair_allow(&allowed, nord);

    fed_link *server = NULL, *client = NULL;
    check_ok(fed_listen(&server, "tcp://127.0.0.1:0", coordinator, pair_is_allowed, &allowed, &err),
             err);
    fed_public_key key = fed_identity_public(coordinator);
    check_ok(fed_connect(&client, fed_link_address(server), &key, nord, &err), err);

    pair_send(client, NULL, "hello");  // waits for the connection by itself
    fed_packet p;
    pair_receive(server, &p);
    pair_expect(&p, "hello");
    fed_public_key who = fed_identity_public(nord);
    check_bytes(p.peer.bytes, who.bytes, FED_KEY_BYTES);
    fed_route route = p.route;
    pair_send(server, &route, "welcome");
    pair_receive(client, &p);
    pair_expect(&p, "welcome");
    check_str(fed_link_state(client), "connected");
    check_int(fed_link_n_connected(client), 1);

    fed_link_close(&client);
    fed_link_close(&server);
    fed_identity_destroy(&coordinator);
    fed_identity_destroy(&nord);
}

// ------------------------------------------------------------------- fixture

typedef struct {
    fed_identity *coordinator, *nord, *stranger;
    fed_public_key key;
    pair_list allowed;
    fed_link *server;
    fed_link *client;  // nord's
} house;

static void listen_at(house *h, const char *bind)
{
    fl_err err = FL_ERR_INIT;
    check_ok(fed_listen(&h->server, bind, h->coordinator, pair_is_allowed, &h->allowed, &err), err);
}

static fed_link *connect_as(const house *h, const char *address, const fed_identity *id)
{
    fl_err err = FL_ERR_INIT;
    fed_link *client = NULL;
    check_ok(fed_connect(&client, address, &h->key, id, &err), err);
    return client;
}

static int open_house(void **state)
{
    house *h = fl_xcalloc(1, sizeof *h);
    h->coordinator = fed_identity_new();
    h->nord = fed_identity_new();
    h->stranger = fed_identity_new();
    h->key = fed_identity_public(h->coordinator);
    pair_allow(&h->allowed, h->nord);
    listen_at(h, "tcp://*:0");
    h->client = connect_as(h, fed_link_address(h->server), h->nord);
    pair_talk(h->client, h->server, h->nord);
    *state = h;
    return 0;
}

static int close_house(void **state)
{
    house *h = *state;
    fed_link_close(&h->client);
    fed_link_close(&h->server);
    fed_identity_destroy(&h->coordinator);
    fed_identity_destroy(&h->nord);
    fed_identity_destroy(&h->stranger);
    free(h);
    return 0;
}

static int port_of(const fed_link *l)
{
    return atoi(strrchr(fed_link_address(l), ':') + 1);
}

static int connect_tcp(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check_int(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void no_more_refusals(fed_link *server)
{
    fed_wait(&server, 1, NULL, 50);
    fed_refusal refusal;
    if (fed_link_refusal(server, &refusal)) {
        check_fail("recorded as well: %s", refusal.reason);
    }
}

// ---------------------------------------------------------------- who comes in

static void a_stranger_is_refused_and_recorded_until_the_list_has_it(void **state)
{
    house *h = *state;
    fed_link *client = connect_as(h, fed_link_address(h->server), h->stranger);
    fed_refusal refusal;
    pair_wait_refusal(h->server, &refusal, "key is not on the list");
    check_str(refusal.address, "127.0.0.1");
    fed_public_key key = fed_identity_public(h->stranger);
    check_bytes(refusal.key.bytes, key.bytes, FED_KEY_BYTES);
    check_int(refusal.n_attempts, 1);
    no_more_refusals(h->server);  // one attempt, one record
    check(!fed_link_up(client));
    check_has(fed_link_state(client), "refused by the coordinator: key is not on the list");

    pair_allow(&h->allowed, h->stranger);
    pair_wait_up(client);  // it asks again by itself
    pair_talk(client, h->server, h->stranger);
    pair_talk(h->client, h->server, h->nord);
    fed_link_close(&client);
}

/* libzmq may close the connection before its address can be asked for. */
static void check_address(const fed_refusal *refusal)
{
    if (refusal->address[0] != '\0') {
        check_str(refusal->address, "127.0.0.1");
    }
}

static void a_plain_zeromq_socket_is_refused_and_recorded(void **state)
{
    house *h = *state;
    void *context = zmq_ctx_new();
    void *plain = zmq_socket(context, ZMQ_DEALER);
    int none = 0;
    zmq_setsockopt(plain, ZMQ_LINGER, &none, sizeof none);
    check_int(zmq_connect(plain, fed_link_address(h->server)), 0);
    zmq_send(plain, "let me in", 9, 0);
    fed_refusal refusal;
    pair_wait_refusal(h->server, &refusal, "no CURVE handshake");
    check_address(&refusal);
    no_more_refusals(h->server);
    zmq_close(plain);
    zmq_ctx_term(context);
    pair_talk(h->client, h->server, h->nord);
}

static void bytes_that_are_no_zeromq_are_refused_and_recorded(void **state)
{
    house *h = *state;
    static const char http[] = "GET /index.html HTTP/1.1\r\nHost: coordinator.example."
                               "org\r\nAccept: text/html\r\n\r\n";
    fed_refusal refusal;
    int fd = connect_tcp(port_of(h->server));
    check_int(send(fd, http, sizeof http, 0), sizeof http);
    pair_wait_refusal(h->server, &refusal, "no CURVE handshake");
    check_address(&refusal);
    close(fd);
    no_more_refusals(h->server);

    // One who only knocks, as port scanners do.
    close(connect_tcp(port_of(h->server)));
    pair_wait_refusal(h->server, &refusal, "no CURVE handshake");
    no_more_refusals(h->server);

    // The right greeting, then noise.
    uint8_t greeting[64] = {[0] = 0xff, [9] = 0x7f, [10] = 3, [12] = 'C', 'U', 'R', 'V', 'E'};
    uint8_t noise[300] = {4, 200, 5, 'H', 'E', 'L', 'L', 'O', 1};
    fd = connect_tcp(port_of(h->server));
    check_int(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
    check_int(send(fd, noise, sizeof noise, 0), sizeof noise);
    pair_wait_refusal(h->server, &refusal, "handshake");
    close(fd);
    no_more_refusals(h->server);
    pair_talk(h->client, h->server, h->nord);
}

static void a_client_with_another_servers_key_is_refused_and_told(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    fed_public_key other = fed_identity_public(h->stranger);
    fed_link *client = NULL;
    check_ok(fed_connect(&client, fed_link_address(h->server), &other, h->nord, &err), err);
    fed_refusal refusal;
    pair_wait_refusal(h->server, &refusal, "another server's key");
    int64_t deadline = fl_now_ms() + 5000;
    while (strstr(fed_link_state(client), "its key is not the expected one") == NULL) {
        check(fl_now_ms() < deadline);
        fed_wait(&client, 1, NULL, 10);
    }
    check(!fed_link_up(client));
    fed_link_close(&client);
    pair_talk(h->client, h->server, h->nord);
}

static void an_ordinary_good_bye_is_no_refusal(void **state)
{
    house *h = *state;
    fed_link_close(&h->client);
    no_more_refusals(h->server);
}

// ------------------------------------------------------------- hostile peers

/* A raw CURVE socket of an enrolled site, which can send what ours cannot. */
static void *hostile_socket(const house *h, void *context)
{
    void *s = zmq_socket(context, ZMQ_DEALER);
    int none = 0;
    fed_public_key key = fed_identity_public(h->nord);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, h->key.bytes, FED_KEY_BYTES);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, key.bytes, FED_KEY_BYTES);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, fed_identity_curve_secret(h->nord), FED_KEY_BYTES);
    return s;
}

static void a_frame_over_the_limit_ends_the_connection(void **state)
{
    house *h = *state;
    void *context = zmq_ctx_new();
    void *hostile = hostile_socket(h, context);
    check_int(zmq_connect(hostile, fed_link_address(h->server)), 0);
    static uint8_t huge[4 * FED_PIECE_BYTES];
    zmq_send(hostile, "small", 5, 0);
    fed_packet p;
    pair_receive(h->server, &p);
    pair_expect(&p, "small");
    zmq_send(hostile, huge, sizeof huge, 0);
    fed_wait(&h->server, 1, NULL, 100);
    check(!fed_receive(h->server, &p));
    zmq_close(hostile);
    zmq_ctx_term(context);
    pair_talk(h->client, h->server, h->nord);
}

static void a_message_of_many_frames_is_no_message(void **state)
{
    house *h = *state;
    void *context = zmq_ctx_new();
    void *hostile = hostile_socket(h, context);
    check_int(zmq_connect(hostile, fed_link_address(h->server)), 0);
    for (int i = 0; i < 1000; i++) {
        zmq_send(hostile, "part", 4, ZMQ_SNDMORE);
    }
    zmq_send(hostile, "last", 4, 0);
    zmq_send(hostile, "", 0, 0);
    zmq_send(hostile, "next", 4, 0);
    fed_packet p;
    pair_receive(h->server, &p);
    check_int(p.n_header, 0);
    check_int(p.n_payload, 0);
    fed_public_key who = fed_identity_public(h->nord);
    check_bytes(p.peer.bytes, who.bytes, FED_KEY_BYTES);  // known by its key
    pair_receive(h->server, &p);
    check_int(p.n_header, 0);
    pair_receive(h->server, &p);
    pair_expect(&p, "next");
    zmq_close(hostile);
    zmq_ctx_term(context);
}

/* libzmq lets a peer choose its routing id, even one like those it invents. */
static void nobody_takes_over_a_route(void **state)
{
    house *h = *state;
    pair_send(h->client, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    fed_route victim = p.route;

    static const char *const own = "an id of its own";
    void *context = zmq_ctx_new();
    void *hostile[2];
    for (int i = 0; i < 2; i++) {
        hostile[i] = hostile_socket(h, context);
        const void *id = i == 0 ? (const void *)victim.bytes : own;
        size_t n = i == 0 ? victim.n : strlen(own);
        check_int(zmq_setsockopt(hostile[i], ZMQ_ROUTING_ID, id, n), 0);
        check_int(zmq_connect(hostile[i], fed_link_address(h->server)), 0);
        zmq_send(hostile[i], "boo", 3, 0);
    }
    for (int i = 0; i < 20; i++) {
        fed_wait(&h->server, 1, NULL, 10);
        check(!fed_receive(h->server, &p));
    }
    pair_send(h->server, &victim, "for nord only");
    pair_receive(h->client, &p);
    pair_expect(&p, "for nord only");
    zmq_close(hostile[0]);
    zmq_close(hostile[1]);
    zmq_ctx_term(context);
}

static void an_expelled_peer_is_asked_for_its_key_again(void **state)
{
    house *h = *state;
    pair_send(h->client, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    h->allowed.n = 0;  // revoked
    fed_link_expel(h->server, &p);
    fed_refusal refusal;
    pair_wait_refusal(h->server, &refusal, "key is not on the list");
    int64_t deadline = fl_now_ms() + 5000;
    while (strstr(fed_link_state(h->client), "refused by the coordinator") == NULL) {
        check(fl_now_ms() < deadline);
        fed_wait(&h->client, 1, NULL, 10);
    }
    pair_allow(&h->allowed, h->nord);
    pair_wait_up(h->client);
    check_int(fed_link_n_connected(h->client), 2);
    pair_talk(h->client, h->server, h->nord);
}

// ------------------------------------------------------------------ the wire

enum { PROXY_BYTES = 1 << 20 };

/* Passes bytes between one client and the server and keeps a copy. */
typedef struct {
    int listener;
    int port, to_port;
    uint8_t seen[PROXY_BYTES];
    size_t n_seen;
    atomic_bool stop;
    pthread_t thread;
} proxy;

static bool pass_on(proxy *x, int from, int to)
{
    uint8_t bytes[16384];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    if (n <= 0) {
        return false;
    }
    size_t room = sizeof x->seen - x->n_seen;
    size_t kept = (size_t)n < room ? (size_t)n : room;
    memcpy(x->seen + x->n_seen, bytes, kept);
    x->n_seen += kept;
    return send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *run_proxy(void *arg)
{
    proxy *x = arg;
    int client = accept(x->listener, NULL, NULL);
    int server = connect_tcp(x->to_port);
    struct pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    bool open = true;
    while (open && !x->stop) {
        poll(fds, 2, 20);
        if (fds[0].revents != 0) {
            open = pass_on(x, client, server);
        }
        if (open && fds[1].revents != 0) {
            open = pass_on(x, server, client);
        }
    }
    close(client);
    close(server);
    return NULL;
}

static void start_proxy(proxy *x, int to_port)
{
    x->listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    check_int(bind(x->listener, (struct sockaddr *)&at, sizeof at), 0);
    check_int(listen(x->listener, 4), 0);
    check_int(getsockname(x->listener, (struct sockaddr *)&at, &n), 0);
    x->port = ntohs(at.sin_port);
    x->to_port = to_port;
    check_int(pthread_create(&x->thread, NULL, run_proxy, x), 0);
}

static void stop_proxy(proxy *x)
{
    x->stop = true;
    pthread_join(x->thread, NULL);
    close(x->listener);
}

static bool wire_shows(const proxy *x, const void *what, size_t n)
{
    for (size_t i = 0; i + n <= x->n_seen; i++) {
        if (memcmp(x->seen + i, what, n) == 0) {
            return true;
        }
    }
    return false;
}

static void nothing_is_readable_on_the_wire(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    proxy *x = fl_xcalloc(1, sizeof *x);
    start_proxy(x, port_of(h->server));
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", x->port);
    fed_link *client = connect_as(h, address, h->nord);

    static const char marker[] = "hospital nord, patient 4711";
    uint8_t payload[4096];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)i;
    }
    check_ok(fed_send(client, NULL, marker, sizeof marker - 1, payload, sizeof payload, &err), err);
    fed_packet p;
    pair_receive(h->server, &p);
    pair_expect(&p, marker);
    fed_route route = p.route;
    pair_send(h->server, &route, marker);  // and back
    pair_receive(client, &p);
    pair_expect(&p, marker);
    fed_link_close(&client);
    stop_proxy(x);

    check(x->n_seen > sizeof payload);  // it did pass there
    check(wire_shows(x, "CURVE", 5));   // in the clear: the greeting
    check(!wire_shows(x, marker, 8));
    check(!wire_shows(x, marker + 10, 4));
    check(!wire_shows(x, payload, 8));
    fed_public_key key = fed_identity_public(h->nord);
    check(!wire_shows(x, key.bytes, 8));  // not even who the site is
    free(x);
}

// ---------------------------------------------------------- coming and going

static void a_client_finds_a_coordinator_that_was_restarted(void **state)
{
    house *h = *state;
    char bind[64];
    snprintf(bind, sizeof bind, "tcp://*:%d", port_of(h->server));
    check_int(fed_link_n_connected(h->client), 1);
    fed_link_close(&h->server);
    int64_t deadline = fl_now_ms() + 5000;
    while (fed_link_up(h->client)) {
        check(fl_now_ms() < deadline);
        fed_wait(&h->client, 1, NULL, 50);
    }
    check_has(fed_link_state(h->client), "connecting to");

    listen_at(h, bind);
    pair_wait_up(h->client);
    check_int(fed_link_n_connected(h->client), 2);
    pair_talk(h->client, h->server, h->nord);
}

static void a_client_may_come_before_the_coordinator(void **state)
{
    house *h = *state;
    char bind[64];
    snprintf(bind, sizeof bind, "tcp://*:%d", port_of(h->server));
    char *address = fl_xstrdup(fed_link_address(h->server));
    fed_link_close(&h->client);
    fed_link_close(&h->server);
    h->client = connect_as(h, address, h->nord);
    fed_wait(&h->client, 1, NULL, 50);
    check(!fed_link_up(h->client));
    check_has(fed_link_state(h->client), "connecting to tcp://127.0.0.1");
    listen_at(h, bind);
    pair_talk(h->client, h->server, h->nord);
    free(address);
}

static void a_port_in_use_is_named(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    char bind[64], port[16];
    snprintf(port, sizeof port, "port %d", port_of(h->server));
    snprintf(bind, sizeof bind, "tcp://*:%d", port_of(h->server));
    fed_link *second = NULL;
    check_fails(fed_listen(&second, bind, h->coordinator, pair_is_allowed, &h->allowed, &err),
                FL_ECONFLICT);
    check_has(err.text, port);
    check(second == NULL);
    check_fails(fed_listen(&second, "tcp:7700", h->coordinator, pair_is_allowed, &h->allowed, &err),
                FL_ECONFIG);
    check_fails(fed_connect(&second, "coordinator:7700", &h->key, h->nord, &err), FL_ECONFIG);
    check_has(err.text, "expected an address like");
    check(second == NULL);
}

static void a_route_that_is_gone_is_an_error(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    pair_send(h->client, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    fed_route route = p.route;
    fed_link_close(&h->client);
    int64_t deadline = fl_now_ms() + 5000;
    while (fed_send(h->server, &route, "x", 1, NULL, 0, &err) == FL_OK) {
        check(fl_now_ms() < deadline);
        fed_wait(&h->server, 1, NULL, 5);
    }
    check_int(err.status, FL_ENOTFOUND);
}

static void a_peer_that_does_not_read_fills_its_own_queue_only(void **state)
{
    house *h = *state;
    fl_err err = FL_ERR_INIT;
    fed_identity *slow_id = fed_identity_new();
    pair_allow(&h->allowed, slow_id);
    fed_link *slow = connect_as(h, fed_link_address(h->server), slow_id);
    pair_send(slow, NULL, "hello");
    fed_packet p;
    pair_receive(h->server, &p);
    fed_route route = p.route;
    static uint8_t payload[FED_PIECE_BYTES];
    int n = 0;
    fl_status st = FL_OK;
    while (st == FL_OK && n < 2000) {
        st = fed_send(h->server, &route, "x", 1, payload, sizeof payload, &err);
        n++;
    }
    check_fails(st, FL_ELIMIT);
    pair_talk(h->client, h->server, h->nord);
    fed_link_close(&slow);
    fed_identity_destroy(&slow_id);
}

/* As a process of many sites has it: it turns only to those on whose links something came. */
static void what_is_not_read_on_one_link_hides_no_other(void **state)
{
    house *h = *state;
    fed_identity *id = fed_identity_new();
    pair_allow(&h->allowed, id);
    fed_link *link[] = {h->client, connect_as(h, fed_link_address(h->server), id)};
    fed_route route[2];
    fed_packet p;
    for (int i = 0; i < 2; i++) {
        pair_send(link[i], NULL, "hello");
        pair_receive(h->server, &p);
        route[i] = p.route;
        check(fed_link_up(link[i]));
    }
    int64_t deadline = fl_now_ms() + 10000;
    while (fed_link_stirs(link[0]) || fed_link_stirs(link[1])) {  // its handshakes are news at first
        check(fl_now_ms() < deadline);
        fed_wait(link, 2, NULL, 20);
        for (int i = 0; i < 2; i++) {
            check(!fed_receive(link[i], &p));
            fed_link_look(link[i]);
        }
    }
    for (int i = 0; i < 2; i++) {  // the first one's stays where it is
        pair_send(h->server, &route[i], "an order");
        while (!fed_link_stirs(link[i])) {
            check(fl_now_ms() < deadline);
            fed_wait(link, 2, NULL, 20);
        }
    }
    for (int i = 0; i < 2; i++) {
        check(fed_receive(link[i], &p));
        pair_expect(&p, "an order");
    }
    fed_link_close(&link[1]);
    fed_identity_destroy(&id);
}

static void one_process_hosts_many_sites(void **state)
{
    house *h = *state;
    enum { MANY = 40 };
    fed_identity *id[MANY];
    fed_link *link[MANY];
    for (int i = 0; i < MANY; i++) {
        id[i] = fed_identity_new();
        pair_allow(&h->allowed, id[i]);
        link[i] = connect_as(h, fed_link_address(h->server), id[i]);
        pair_send(link[i], NULL, "hello");
    }
    for (int i = 0; i < MANY; i++) {
        fed_packet p;
        pair_receive(h->server, &p);
        fed_route route = p.route;
        pair_send(h->server, &route, "welcome");
    }
    int n_welcome = 0;
    int64_t deadline = fl_now_ms() + 10000;
    while (n_welcome < MANY && fl_now_ms() < deadline) {
        fed_wait(link, MANY, NULL, 100);
        for (int i = 0; i < MANY; i++) {
            fed_packet p;
            n_welcome += fed_receive(link[i], &p);
        }
    }
    check_int(n_welcome, MANY);
    for (int i = 0; i < MANY; i++) {
        fed_link_close(&link[i]);
        fed_identity_destroy(&id[i]);
    }
}

#define with_house(test) cmocka_unit_test_setup_teardown(test, open_house, close_house)

int main(void)
{
    fed_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_asks_and_the_coordinator_answers),
        with_house(a_stranger_is_refused_and_recorded_until_the_list_has_it),
        with_house(a_plain_zeromq_socket_is_refused_and_recorded),
        with_house(bytes_that_are_no_zeromq_are_refused_and_recorded),
        with_house(a_client_with_another_servers_key_is_refused_and_told),
        with_house(an_ordinary_good_bye_is_no_refusal),
        with_house(a_frame_over_the_limit_ends_the_connection),
        with_house(a_message_of_many_frames_is_no_message),
        with_house(nobody_takes_over_a_route),
        with_house(an_expelled_peer_is_asked_for_its_key_again),
        with_house(nothing_is_readable_on_the_wire),
        with_house(a_client_finds_a_coordinator_that_was_restarted),
        with_house(a_client_may_come_before_the_coordinator),
        with_house(a_port_in_use_is_named),
        with_house(a_route_that_is_gone_is_an_error),
        with_house(a_peer_that_does_not_read_fills_its_own_queue_only),
        with_house(what_is_not_read_on_one_link_hides_no_other),
        with_house(one_process_hosts_many_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
