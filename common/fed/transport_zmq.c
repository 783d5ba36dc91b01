/*
 * transport_zmq.c - ROUTER/DEALER over TCP with CURVE (libzmq >= 4.3)
 *
 * See transport.h; CURVE is described in ZeroMQ's RFC 26, ZAP in RFC 27.
 *
 * A server has a second thread of ours, the gatekeeper.  It answers libzmq's
 * question "may this key come in?" (ZAP) by asking the owner's allow callback,
 * and reads the socket's event monitor for handshakes that never got that far.
 * What it turns away it leaves in a bounded list of refusals.  Everything else
 * happens in the owner's thread and in libzmq's.
 *
 * A route is the id that libzmq invents for each connection.  A peer could
 * choose another; we do not listen to it then, and it cannot take over an id
 * that is in use (no ZMQ_ROUTER_HANDOVER).  Who speaks is told by the
 * authenticated key of every single message.
 */
#include "fed/transport_ops.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <zmq.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/handshakes.h"

enum {
    // A piece in CURVE's wrapping (33 bytes); more ends the connection.
    MAX_FRAME_BYTES = FED_PIECE_BYTES + 64,
    // Messages.  What may be under way is bounded by the protocol's credits;
    // these bound what a peer that ignores them can pile up.
    SERVER_OUT = 256,
    SERVER_IN = 32,
    CLIENT_IN = 256,
    LINGER_MS = 1000,
    RETRY_MIN_MS = 500,  // after a refusal; doubles
    RETRY_MAX_MS = 10000,
    INVENTED_ID = 5,  // bytes of a routing id made by libzmq
};

typedef struct {
    int option;
    int value;
} setting;

static const setting common_settings[] = {
    {ZMQ_IPV6, 1},
    {ZMQ_LINGER, LINGER_MS},
    {ZMQ_HANDSHAKE_IVL, 20000},      // ms; a slow line and a crowd at start
    {ZMQ_HEARTBEAT_IVL, 15000},      // ms; keeps a firewall's entry alive too
    {ZMQ_HEARTBEAT_TIMEOUT, 45000},  // ms without an answer: connect anew
    {ZMQ_HEARTBEAT_TTL, 60000},      // ms; the same for the other side
    {ZMQ_TCP_KEEPALIVE, 1},
    {ZMQ_TCP_KEEPALIVE_IDLE, 60},   // s
    {ZMQ_TCP_KEEPALIVE_INTVL, 15},  // s
    {ZMQ_TCP_KEEPALIVE_CNT, 4},
};
static const setting server_settings[] = {
    {ZMQ_CURVE_SERVER, 1},   {ZMQ_ROUTER_MANDATORY, 1},  // a route that is gone is an error
    {ZMQ_BACKLOG, 4096},     {ZMQ_SNDHWM, SERVER_OUT},   // per peer
    {ZMQ_RCVHWM, SERVER_IN},
};
static const setting client_settings[] = {
    {ZMQ_SNDHWM, FED_QUEUE},       {ZMQ_RCVHWM, CLIENT_IN}, {ZMQ_CONNECT_TIMEOUT, 10000},  // ms
    {ZMQ_RECONNECT_IVL, 100},  // ms, doubling up to
    {ZMQ_RECONNECT_IVL_MAX, 5000},
};

typedef struct {
    fed_link base;
    void *context;
    void *socket;        // ROUTER or DEALER
    zmq_msg_t parts[3];  // what the packet of the last receive points into
    uint64_t *aligned;   // FED_PIECE_BYTES for a payload that lies badly; or NULL
} zmq_link;

// ------------------------------------------------------------------ sockets

static int set_all(void *socket, const setting *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (zmq_setsockopt(socket, s[i].option, &s[i].value, sizeof s[i].value) != 0) {
            return -1;
        }
    }
    return 0;
}

static int socket_fd(void *socket)
{
    int fd = -1;
    size_t n = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &n);
    return fd;
}

/* One descriptor a peer and a few more: take what the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);  // else the old limit holds
    }
}

static fl_status fail_zmq(fl_err *err, const char *what)
{
    return fl_fail(err, errno == EMFILE ? FL_ELIMIT : FL_EIO, "%s: %s", what, zmq_strerror(errno));
}

static void init_link(zmq_link *l, const fed_link_ops *ops)
{
    l->base.ops = ops;
    l->base.fds[0] = -1;
    l->base.fds[1] = -1;
    for (int i = 0; i < 3; i++) {
        zmq_msg_init(&l->parts[i]);
    }
}

/* Makes the socket with our keys and the settings of both sides. */
static fl_status open_socket(zmq_link *l, int type, const fed_identity *id, fl_err *err)
{
    if (!zmq_has("curve")) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "this system's libzmq was built without CURVE "
                       "encryption");
    }
    l->socket = zmq_socket(l->context, type);
    if (l->socket == NULL) {
        return fail_zmq(err, "opening a socket");
    }
    fed_public_key key = fed_identity_public(id);
    int64_t max_frame = MAX_FRAME_BYTES;
    if (set_all(l->socket, common_settings, sizeof common_settings / sizeof common_settings[0]) !=
            0 ||
        zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &max_frame, sizeof max_frame) != 0 ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_PUBLICKEY, key.bytes, sizeof key.bytes) != 0 ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_SECRETKEY, fed_identity_curve_secret(id),
                       FED_KEY_BYTES) != 0) {
        return fail_zmq(err, "setting up a socket");
    }
    l->base.fds[0] = socket_fd(l->socket);
    return FL_OK;
}

static void close_parts(zmq_link *l)
{
    for (int i = 0; i < 3; i++) {
        zmq_msg_close(&l->parts[i]);
    }
    free(l->aligned);
}

/* A PAIR socket on which libzmq reports what happens to the socket. */
static void *open_monitor(zmq_link *l, int events)
{
    static atomic_uint serial;  // an endpoint's name stays taken for a while
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://monitor-%u", atomic_fetch_add(&serial, 1));
    if (zmq_socket_monitor(l->socket, endpoint, events) != 0) {
        return NULL;
    }
    void *monitor = zmq_socket(l->context, ZMQ_PAIR);
    if (monitor == NULL || zmq_connect(monitor, endpoint) != 0) {
        zmq_socket_monitor(l->socket, NULL, 0);
        if (monitor != NULL) {
            zmq_close(monitor);
        }
        return NULL;
    }
    return monitor;
}

/* The next event; false when there is none now. */
static bool next_event(void *monitor, unsigned *event, uint32_t *value)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    bool got = zmq_msg_recv(&part, monitor, ZMQ_DONTWAIT) >= 0;
    if (got) {
        const uint8_t *bytes = zmq_msg_data(&part);
        uint16_t number;
        FL_REQUIRE(zmq_msg_size(&part) == sizeof number + sizeof *value);
        memcpy(&number, bytes, sizeof number);
        memcpy(value, bytes + sizeof number, sizeof *value);
        *event = number;
        zmq_msg_recv(&part, monitor, 0);  // the endpoint, which we know
    }
    zmq_msg_close(&part);
    return got;
}

// ----------------------------------------------------------- sending, receiving

static fl_status send_parts(zmq_link *l, const void *header, size_t n_header, const void *payload,
                            size_t n_payload, fl_err *err)
{
    l->base.quiet = false;  // sending may have picked up a message on the way
    bool more = n_payload > 0;
    if (zmq_send(l->socket, header, n_header, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 ||
        (more && zmq_send(l->socket, payload, n_payload, ZMQ_DONTWAIT) < 0)) {
        if (errno == EAGAIN) {
            return fl_fail(err, FL_ELIMIT, "too much is waiting to be sent");
        }
        return fail_zmq(err, "sending");
    }
    return FL_OK;
}

/* Takes a part without waiting; false when there is none. */
static bool next_part(zmq_link *l, zmq_msg_t *part)
{
    int n;
    do {
        n = zmq_msg_recv(part, l->socket, ZMQ_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n >= 0;
}

/* The parts after a message's end that is none: too many of them. */
static void drop_rest(zmq_link *l)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    do {
        if (!next_part(l, &part)) {
            break;
        }
    } while (zmq_msg_more(&part));
    zmq_msg_close(&part);
}

/* Kernels read values in place, so a payload begins at a multiple of 8. */
static const uint8_t *align_payload(zmq_link *l, const uint8_t *bytes, size_t n)
{
    if ((uintptr_t)bytes % 8 == 0 || n > FED_PIECE_BYTES) {
        return bytes;
    }
    if (l->aligned == NULL) {
        l->aligned = fl_xcalloc(FED_PIECE_BYTES / 8 + 1, 8);
    }
    memcpy(l->aligned, bytes, n);
    return (const uint8_t *)l->aligned;
}

/* Header and payload, once parts[0] tells whether more follows. */
static void receive_body(zmq_link *l, zmq_msg_t *header, zmq_msg_t *payload, fed_packet *out)
{
    if (zmq_msg_more(header)) {
        next_part(l, payload);  // a message comes whole
        if (zmq_msg_more(payload)) {
            drop_rest(l);
            return;  // n_header stays 0
        }
        out->n_payload = zmq_msg_size(payload);
        out->payload = out->n_payload == 0
                           ? NULL
                           : align_payload(l, zmq_msg_data(payload), out->n_payload);
    }
    out->header = zmq_msg_data(header);
    out->n_header = zmq_msg_size(header);
}

static bool zmq_has_message(fed_link *base)
{
    zmq_link *l = (zmq_link *)base;
    int events = 0;
    size_t n = sizeof events;
    zmq_getsockopt(l->socket, ZMQ_EVENTS, &events, &n);
    base->quiet = (events & ZMQ_POLLIN) == 0;
    return !base->quiet;
}

// ------------------------------------------------------------------ clients

typedef struct {
    zmq_link link;
    void *monitor;
    int64_t retry_at;  // fl_now_ms; 0 = libzmq connects by itself
    int64_t retry_ms;  // the wait after the next refusal
} zmq_client;

/* All clients of a process share one context and so one i/o thread. */
static struct {
    pthread_mutex_t lock;
    void *context;
    size_t n_links;
} clients = {PTHREAD_MUTEX_INITIALIZER, NULL, 0};

static void *clients_enter(void)
{
    pthread_mutex_lock(&clients.lock);
    if (clients.n_links == 0) {
        raise_file_limit();
        clients.context = zmq_ctx_new();
        if (clients.context != NULL) {
            zmq_ctx_set(clients.context, ZMQ_MAX_SOCKETS,
                        zmq_ctx_get(clients.context, ZMQ_SOCKET_LIMIT));
        }
    }
    void *context = clients.context;
    clients.n_links += context != NULL;
    pthread_mutex_unlock(&clients.lock);
    return context;
}

static void clients_leave(void)
{
    pthread_mutex_lock(&clients.lock);
    clients.n_links--;
    if (clients.n_links == 0) {
        while (zmq_ctx_term(clients.context) != 0 && errno == EINTR) {
        }
        clients.context = NULL;
    }
    pthread_mutex_unlock(&clients.lock);
}

/* libzmq gives up on an address whose handshake was refused; we do not,
 * because a person may confirm this site at any time. */
static void plan_retry(zmq_client *c)
{
    c->retry_at = fl_now_ms() + c->retry_ms;
    c->retry_ms = c->retry_ms >= RETRY_MAX_MS / 2 ? RETRY_MAX_MS : 2 * c->retry_ms;
}

static void retry(zmq_client *c)
{
    c->retry_at = 0;
    zmq_disconnect(c->link.socket, c->link.base.address);  // what is left of it
    zmq_connect(c->link.socket, c->link.base.address);
}

/* Keeps the sentence for people.  True: the connection came or went. */
static bool note_event(zmq_client *c, unsigned event)
{
    fed_link *l = &c->link.base;
    bool was_up = l->is_up;
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        l->is_up = true;
        l->n_connected++;
        c->retry_ms = RETRY_MIN_MS;
        snprintf(l->state, sizeof l->state, "connected");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        snprintf(l->state, sizeof l->state, "refused by the coordinator: key is not on the list");
        plan_retry(c);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        snprintf(l->state, sizeof l->state, "handshake with %s failed: it is not a coordinator",
                 l->address);
        plan_retry(c);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        snprintf(l->state, sizeof l->state,
                 "handshake with %s failed: its key is not the expected one, "
                 "or it is not a coordinator",
                 l->address);
        break;
    case ZMQ_EVENT_CONNECT_RETRIED:
        c->retry_at = 0;
        break;
    case ZMQ_EVENT_CLOSED:
        snprintf(l->state, sizeof l->state, "connecting to %s: no answer so far", l->address);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        if (was_up) {
            l->is_up = false;
            snprintf(l->state, sizeof l->state, "connection lost, connecting to %s", l->address);
        }
        break;
    default:
        break;
    }
    return l->is_up != was_up;
}

static bool client_look(fed_link *base, int64_t *wake_ms)
{
    zmq_client *c = (zmq_client *)base;
    bool changed = false;
    if (!base->calm) {
        unsigned event;
        uint32_t value;
        while (next_event(c->monitor, &event, &value)) {
            changed |= note_event(c, event);
        }
        base->calm = true;
    }
    if (c->retry_at != 0 && fl_now_ms() >= c->retry_at) {
        retry(c);
    }
    if (c->retry_at != 0 && c->retry_at < *wake_ms) {
        *wake_ms = c->retry_at;
    }
    return changed;
}

static fl_status client_send(fed_link *base, const fed_route *to, const void *header,
                             size_t n_header, const void *payload, size_t n_payload, fl_err *err)
{
    FL_REQUIRE(to == NULL);
    return send_parts((zmq_link *)base, header, n_header, payload, n_payload, err);
}

static bool client_receive(fed_link *base, fed_packet *out)
{
    zmq_link *l = (zmq_link *)base;
    base->quiet = !next_part(l, &l->parts[0]);
    if (base->quiet) {
        return false;
    }
    receive_body(l, &l->parts[0], &l->parts[1], out);
    return true;
}

static bool client_refusal(fed_link *base, fed_refusal *out)
{
    (void)base;
    (void)out;
    return false;
}

static void client_close(fed_link *base)
{
    zmq_client *c = (zmq_client *)base;
    if (c->monitor != NULL) {
        zmq_socket_monitor(c->link.socket, NULL, 0);
        zmq_close(c->monitor);
    }
    close_parts(&c->link);
    if (c->link.socket != NULL) {
        zmq_close(c->link.socket);
    }
    clients_leave();
    free(c);
}

static const fed_link_ops client_ops = {
    .close = client_close,
    .send = client_send,
    .receive = client_receive,
    .refusal = client_refusal,
    .look = client_look,
    .has_message = zmq_has_message,
};

fl_status fed_connect_zmq(fed_link **out, const char *address, const fed_public_key *server,
                          const fed_identity *id, fl_err *err)
{
    if (strlen(address) >= FED_ADDRESS_BYTES) {
        return fl_fail(err, FL_ECONFIG, "the coordinator's address is too long");
    }
    void *context = clients_enter();
    if (context == NULL) {
        return fail_zmq(err, "starting ZeroMQ");
    }
    zmq_client *c = fl_xcalloc(1, sizeof *c);
    init_link(&c->link, &client_ops);
    c->link.context = context;
    c->retry_ms = RETRY_MIN_MS;
    snprintf(c->link.base.address, sizeof c->link.base.address, "%s", address);
    snprintf(c->link.base.state, sizeof c->link.base.state, "connecting to %s", address);
    fed_link *link = &c->link.base;
    fl_status st = open_socket(&c->link, ZMQ_DEALER, id, err);
    if (st != FL_OK) {
        goto done;
    }
    if (set_all(c->link.socket, client_settings,
                sizeof client_settings / sizeof client_settings[0]) != 0 ||
        zmq_setsockopt(c->link.socket, ZMQ_CURVE_SERVERKEY, server->bytes, sizeof server->bytes) !=
            0) {
        st = fail_zmq(err, "setting up a socket");
        goto done;
    }
    c->monitor = open_monitor(&c->link, ZMQ_EVENT_ALL);
    if (c->monitor == NULL) {
        st = fail_zmq(err, "watching a socket");
        goto done;
    }
    link->fds[1] = socket_fd(c->monitor);
    if (zmq_connect(c->link.socket, address) != 0) {
        st = fl_fail(err, FL_ECONFIG, "%s: expected an address like tcp://HOST:7700 (%s)", address,
                     zmq_strerror(errno));
        goto done;
    }
    *out = link;
    link = NULL;  // now the caller's
done:
    fed_link_close(&link);
    return st;
}

// ------------------------------------------------------------------- server

typedef struct {
    zmq_link link;
    fed_allow_fn allow;
    void *allow_ctx;
    fed_refusals refusals;

    // The gatekeeper's:
    pthread_t gatekeeper;
    bool is_guarded;  // the thread runs
    void *zap;        // REP
    void *monitor;    // PAIR
    fed_handshakes handshakes;
} zmq_server;

// --------------------------------------------------- gatekeeper: the door (ZAP)

enum { ZAP_REQUEST_ID = 1, ZAP_ADDRESS = 3, ZAP_MECHANISM = 5, ZAP_KEY = 6, ZAP_PARTS = 7 };

/* Answers one request if there is one; false when not. */
static bool answer_zap(zmq_server *s)
{
    zmq_msg_t part[ZAP_PARTS];
    size_t n = 0;
    bool more = true;
    while (n < ZAP_PARTS && more) {
        zmq_msg_init(&part[n]);
        if (zmq_msg_recv(&part[n], s->zap, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part[n]);
            break;
        }
        more = zmq_msg_more(&part[n]);
        n++;
    }
    if (n == 0) {
        return false;
    }
    bool allowed = false;
    char user[2 * FED_KEY_BYTES + 1] = "";
    char address[64] = "";
    if (n == ZAP_PARTS && zmq_msg_size(&part[ZAP_KEY]) == FED_KEY_BYTES &&
        zmq_msg_size(&part[ZAP_MECHANISM]) == 5 &&
        memcmp(zmq_msg_data(&part[ZAP_MECHANISM]), "CURVE", 5) == 0) {
        fed_public_key key;
        memcpy(key.bytes, zmq_msg_data(&part[ZAP_KEY]), sizeof key.bytes);
        fl_hex(user, key.bytes, sizeof key.bytes);
        snprintf(address, sizeof address, "%.*s", (int)zmq_msg_size(&part[ZAP_ADDRESS]),
                 (const char *)zmq_msg_data(&part[ZAP_ADDRESS]));
        allowed = s->allow(s->allow_ctx, &key);
        if (!allowed) {
            fed_refusals_add(&s->refusals, fed_plain_address(address), "key is not on the list",
                             &key);
        }
    }
    const char *code = allowed ? "200" : "400";
    const char *text = allowed ? "OK" : "key is not on the list";
    zmq_send(s->zap, "1.0", 3, ZMQ_SNDMORE);
    if (n > ZAP_REQUEST_ID) {
        zmq_msg_send(&part[ZAP_REQUEST_ID], s->zap, ZMQ_SNDMORE);
    }
    zmq_send(s->zap, code, 3, ZMQ_SNDMORE);
    zmq_send(s->zap, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(s->zap, user, allowed ? strlen(user) : 0, ZMQ_SNDMORE);
    zmq_send(s->zap, "", 0, 0);
    for (size_t i = 0; i < n; i++) {
        zmq_msg_close(&part[i]);
    }
    return true;
}

// ------------------------------------------------- gatekeeper: the others

static fed_shake_failure protocol_failure(uint32_t value)
{
    switch (value) {
    case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return FED_SHAKE_NO_CURVE;
    case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
        return FED_SHAKE_OTHER_KEY;
    default:
        return FED_SHAKE_MALFORMED;
    }
}

/* Reads what the monitor has to say. */
static void watch(zmq_server *s)
{
    fed_handshakes *h = &s->handshakes;
    unsigned event;
    uint32_t value;
    while (next_event(s->monitor, &event, &value)) {
        switch (event) {
        case ZMQ_EVENT_ACCEPTED:
            fed_handshakes_opened(h, (int)value);
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            fed_handshakes_failed(h, FED_SHAKE_RECORDED);  // by answer_zap
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            fed_handshakes_failed(h, protocol_failure(value));
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            fed_handshakes_failed(h, value == EPIPE || value == ECONNRESET ? FED_SHAKE_NO_CURVE
                                                                           : FED_SHAKE_GAVE_UP);
            break;
        case ZMQ_EVENT_DISCONNECTED:
            fed_handshakes_closed(h, (int)value);
            break;
        default:
            break;
        }
    }
}

static void *guard(void *arg)
{
    zmq_server *s = arg;
    zmq_pollitem_t items[] = {{s->zap, 0, ZMQ_POLLIN, 0}, {s->monitor, 0, ZMQ_POLLIN, 0}};
    for (;;) {
        if (zmq_poll(items, 2, -1) < 0 && errno == ETERM) {
            break;  // the owner closes
        }
        while (answer_zap(s)) {
        }
        watch(s);
    }
    zmq_close(s->zap);
    zmq_close(s->monitor);
    return NULL;
}

static fl_status start_gatekeeper(zmq_server *s, fl_err *err)
{
    static const char domain[] = "consilium";
    s->zap = zmq_socket(s->link.context, ZMQ_REP);
    if (s->zap == NULL || zmq_bind(s->zap, "inproc://zeromq.zap.01") != 0 ||
        zmq_setsockopt(s->link.socket, ZMQ_ZAP_DOMAIN, domain, sizeof domain - 1) != 0) {
        return fail_zmq(err, "starting the check of keys");
    }
    s->monitor = open_monitor(&s->link, ZMQ_EVENT_ALL);
    if (s->monitor == NULL) {
        return fail_zmq(err, "watching a socket");
    }
    if (pthread_create(&s->gatekeeper, NULL, guard, s) != 0) {
        return fl_fail(err, FL_ELIMIT, "no thread for the check of keys");
    }
    s->is_guarded = true;
    return FL_OK;
}

// ------------------------------------------------------- server: owner's thread

static fl_status server_send(fed_link *base, const fed_route *to, const void *header,
                             size_t n_header, const void *payload, size_t n_payload, fl_err *err)
{
    zmq_link *l = (zmq_link *)base;
    FL_REQUIRE(to != NULL && to->n > 0 && to->n <= FED_ROUTE_BYTES);
    base->quiet = false;
    if (zmq_send(l->socket, to->bytes, to->n, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        if (errno == EAGAIN) {
            return fl_fail(err, FL_ELIMIT, "the peer's queue is full");
        }
        if (errno == EHOSTUNREACH) {
            return fl_fail(err, FL_ENOTFOUND, "the connection is gone");
        }
        return fail_zmq(err, "sending");
    }
    return send_parts(l, header, n_header, payload, n_payload, err);
}

/* Who sent this part: the key that the gatekeeper let in. */
static bool take_peer(zmq_server *s, zmq_msg_t *part, fed_packet *out)
{
    const char *user = zmq_msg_gets(part, "User-Id");
    int fd = zmq_msg_get(part, ZMQ_SRCFD);
    fed_handshakes_spoke(&s->handshakes, fd);
    out->connection = fd;
    return user != NULL && fl_unhex(out->peer.bytes, sizeof out->peer.bytes, user, NULL) == FL_OK;
}

/* False for an id that the peer chose; libzmq's own are 0 and a number. */
static bool take_route(zmq_msg_t *part, fed_route *out)
{
    const uint8_t *id = zmq_msg_data(part);
    if (zmq_msg_size(part) != INVENTED_ID || id[0] != 0) {
        return false;
    }
    out->n = INVENTED_ID;
    memcpy(out->bytes, id, INVENTED_ID);
    return true;
}

static bool server_receive(fed_link *base, fed_packet *out)
{
    zmq_server *s = (zmq_server *)base;
    zmq_link *l = &s->link;
    for (;;) {
        base->quiet = !next_part(l, &l->parts[0]);
        if (base->quiet) {
            return false;
        }
        memset(out, 0, sizeof *out);
        if (!zmq_msg_more(&l->parts[0]) || !next_part(l, &l->parts[1])) {
            continue;
        }
        receive_body(l, &l->parts[1], &l->parts[2], out);
        if (take_peer(s, &l->parts[1], out) && take_route(&l->parts[0], &out->route)) {
            return true;
        }
    }
}

static bool server_refusal(fed_link *base, fed_refusal *out)
{
    return fed_refusals_next(&((zmq_server *)base)->refusals, out);
}

/* libzmq has no call for it, so its socket is shut down behind its back.  If
 * the peer left meanwhile and another got the descriptor, that one reconnects. */
static void server_expel(fed_link *base, const fed_packet *packet)
{
    (void)base;
    if (packet->connection >= 0) {
        shutdown((int)packet->connection, SHUT_RDWR);
    }
}

static bool server_look(fed_link *base, int64_t *wake_ms)
{
    (void)base;
    (void)wake_ms;
    return false;
}

static void server_close(fed_link *base)
{
    zmq_server *s = (zmq_server *)base;
    close_parts(&s->link);
    if (s->link.socket != NULL) {
        // While the gatekeeper still reads: libzmq may be waiting to report.
        zmq_socket_monitor(s->link.socket, NULL, 0);
        zmq_close(s->link.socket);
    }
    if (s->is_guarded) {
        zmq_ctx_shutdown(s->link.context);
        pthread_join(s->gatekeeper, NULL);
    } else {
        if (s->zap != NULL) {
            zmq_close(s->zap);
        }
        if (s->monitor != NULL) {
            zmq_close(s->monitor);
        }
    }
    while (zmq_ctx_term(s->link.context) != 0 && errno == EINTR) {
    }
    fed_handshakes_clear(&s->handshakes);
    fed_refusals_clear(&s->refusals);
    free(s);
}

static const fed_link_ops server_ops = {
    .close = server_close,
    .send = server_send,
    .receive = server_receive,
    .refusal = server_refusal,
    .expel = server_expel,
    .look = server_look,
    .has_message = zmq_has_message,
};

static fl_status fail_bind(fl_err *err, const char *bind)
{
    switch (errno) {
    case EADDRINUSE: {
        const char *port = strrchr(bind, ':');
        return fl_fail(err, FL_ECONFLICT,
                       "port %s is in use by another program: stop it or "
                       "choose another with --bind",
                       port == NULL ? "?" : port + 1);
    }
    case EACCES:
        return fl_fail(err, FL_EDENIED, "%s: this user may not open that port", bind);
    case EADDRNOTAVAIL:
    case ENODEV:
        return fl_fail(err, FL_ECONFIG, "%s: this machine has no such address", bind);
    default:
        return fl_fail(err, FL_ECONFIG, "%s: expected an address like tcp://*:7700 (%s)", bind,
                       zmq_strerror(errno));
    }
}

/* As bound, but with an address that this machine can connect to. */
static void keep_address(zmq_server *s)
{
    char *address = s->link.base.address;
    size_t n = FED_ADDRESS_BYTES;
    FL_REQUIRE(zmq_getsockopt(s->link.socket, ZMQ_LAST_ENDPOINT, address, &n) == 0);
    if (strncmp(address, "tcp://0.0.0.0:", 14) == 0 || strncmp(address, "tcp://[::]:", 11) == 0) {
        char port[16];
        snprintf(port, sizeof port, "%s", strrchr(address, ':') + 1);
        snprintf(address, FED_ADDRESS_BYTES, "tcp://127.0.0.1:%s", port);
    }
}

fl_status fed_listen_zmq(fed_link **out, const char *bind, const fed_identity *id,
                         fed_allow_fn allow, void *ctx, fl_err *err)
{
    raise_file_limit();
    zmq_server *s = fl_xcalloc(1, sizeof *s);
    init_link(&s->link, &server_ops);
    s->allow = allow;
    s->allow_ctx = ctx;
    fed_refusals_init(&s->refusals);
    fed_handshakes_init(&s->handshakes, &s->refusals);
    s->link.context = zmq_ctx_new();
    FL_REQUIRE(s->link.context != NULL);
    // Encryption is done in libzmq's threads.
    zmq_ctx_set(s->link.context, ZMQ_IO_THREADS, fl_n_cores() > 1 ? 2 : 1);

    fed_link *link = &s->link.base;
    fl_status st;
    if ((st = open_socket(&s->link, ZMQ_ROUTER, id, err)) != FL_OK) {
        goto done;
    }
    if (set_all(s->link.socket, server_settings,
                sizeof server_settings / sizeof server_settings[0]) != 0) {
        st = fail_zmq(err, "setting up a socket");
        goto done;
    }
    if ((st = start_gatekeeper(s, err)) != FL_OK) {
        goto done;
    }
    if (zmq_bind(s->link.socket, bind) != 0) {
        st = fail_bind(err, bind);
        goto done;
    }
    keep_address(s);
    *out = link;
    link = NULL;  // now the caller's
done:
    fed_link_close(&link);
    return st;
}
