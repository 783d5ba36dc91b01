/*
 * transport_zmq_server.c - the coordinator's ROUTER socket and its door
 *
 * See transport_zmq.h.  A server has a second thread of ours, the gatekeeper.
 * It answers libzmq's question "may this key come in?" (ZAP) by asking the
 * owner's allow callback, and reads the socket's event monitor for handshakes
 * that never got that far.  What it turns away it leaves in a bounded list of
 * refusals.  Everything else happens in the owner's thread and in libzmq's.
 *
 * A route is the id that libzmq invents for each connection.  A peer could
 * choose another; we do not listen to it then, and it cannot take over an id
 * that is in use (no ZMQ_ROUTER_HANDOVER).  Who speaks is told by the
 * authenticated key of every single message.
 */
#include "fed/transport_zmq.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/handshakes.h"

enum {
    // Messages.  What may be under way is bounded by the protocol's credits;
    // these bound what a peer that ignores them can pile up.
    SERVER_OUT = 96,  // a window of 64 pieces, and orders
    SERVER_IN = 32,
    INVENTED_ID = 5,  // bytes of a routing id made by libzmq
};

static const fed_zmq_setting server_settings[] = {
    {ZMQ_CURVE_SERVER, 1},
    {ZMQ_ROUTER_MANDATORY, 1},  // a route that is gone is an error
    {ZMQ_BACKLOG, 4096},
    {ZMQ_SNDHWM, SERVER_OUT},  // per peer
    {ZMQ_RCVHWM, SERVER_IN},   // likewise
    // Clients ping and are answered.  libzmq walks through all timers of a thread to end one, so the
    // server has none of its own for every connection; TCP tells it of peers that are gone.
    {ZMQ_TCP_MAXRT, 60000},  // ms
};

typedef struct {
    fed_zmq_link link;
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
    while (fed_zmq_next_event(s->monitor, &event, &value)) {
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
        return fed_zmq_fail(err, "starting the check of keys");
    }
    s->monitor = fed_zmq_monitor(&s->link, ZMQ_EVENT_ALL);
    if (s->monitor == NULL) {
        return fed_zmq_fail(err, "watching a socket");
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
    fed_zmq_link *l = (fed_zmq_link *)base;
    FL_REQUIRE(to != NULL && to->n > 0 && to->n <= FED_ROUTE_BYTES);
    base->quiet = false;
    if (zmq_send(l->socket, to->bytes, to->n, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        if (errno == EAGAIN) {
            return fl_fail(err, FL_ELIMIT, "the peer's queue is full");
        }
        if (errno == EHOSTUNREACH) {
            return fl_fail(err, FL_ENOTFOUND, "the connection is gone");
        }
        return fed_zmq_fail(err, "sending");
    }
    return fed_zmq_send(l, header, n_header, payload, n_payload, err);
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
    fed_zmq_link *l = &s->link;
    for (;;) {
        base->quiet = !fed_zmq_next_part(l, &l->parts[0]);
        if (base->quiet) {
            return false;
        }
        memset(out, 0, sizeof *out);
        if (!zmq_msg_more(&l->parts[0]) || !fed_zmq_next_part(l, &l->parts[1])) {
            continue;
        }
        fed_zmq_receive_body(l, &l->parts[1], &l->parts[2], out);
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

static void server_close(fed_link *base)
{
    zmq_server *s = (zmq_server *)base;
    fed_zmq_close_parts(&s->link);
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
    .has_message = fed_zmq_has_message,
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
    fed_zmq_raise_file_limit();
    zmq_server *s = fl_xcalloc(1, sizeof *s);
    fed_zmq_init(&s->link, &server_ops);
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
    if ((st = fed_zmq_open(&s->link, ZMQ_ROUTER, id, err)) != FL_OK) {
        goto done;
    }
    if (fed_zmq_set(s->link.socket, server_settings, FED_ZMQ_COUNT(server_settings)) != 0) {
        st = fed_zmq_fail(err, "setting up a socket");
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
