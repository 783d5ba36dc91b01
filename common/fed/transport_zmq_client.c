/*
 * transport_zmq_client.c - a site's DEALER socket
 *
 * See transport_zmq.h.  Everything happens in the owner's thread and in
 * libzmq's; the event monitor tells how the connection stands.
 */
#include "fed/transport_zmq.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"

enum {
    CLIENT_IN = 256,     // messages; see SERVER_IN
    RETRY_MIN_MS = 500,  // after a refusal; doubles
    RETRY_MAX_MS = 10000,
};

static const fed_zmq_setting client_settings[] = {
    {ZMQ_SNDHWM, FED_QUEUE},
    {ZMQ_RCVHWM, CLIENT_IN},
    {ZMQ_CONNECT_TIMEOUT, 10000},  // ms
    {ZMQ_RECONNECT_IVL, 100},      // ms, doubling up to
    {ZMQ_RECONNECT_IVL_MAX, 5000},
    {ZMQ_HEARTBEAT_IVL, 15000},      // ms; keeps a firewall's entry alive too
    {ZMQ_HEARTBEAT_TIMEOUT, 45000},  // ms without an answer: connect anew
};

typedef struct {
    fed_zmq_link link;
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
        fed_zmq_raise_file_limit();
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
        fed_link_note(l, FED_LINK_UP);
        c->retry_ms = RETRY_MIN_MS;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        fed_link_note(l, FED_LINK_REFUSED);
        plan_retry(c);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        fed_link_note(l, FED_LINK_STRANGE);
        plan_retry(c);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        fed_link_note(l, FED_LINK_OTHER_KEY);
        break;
    case ZMQ_EVENT_CONNECT_RETRIED:
        c->retry_at = 0;
        break;
    case ZMQ_EVENT_CLOSED:
        fed_link_note(l, FED_LINK_NO_ANSWER);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        if (was_up) {
            fed_link_note(l, FED_LINK_LOST);
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
        while (fed_zmq_next_event(c->monitor, &event, &value)) {
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
    return fed_zmq_send((fed_zmq_link *)base, header, n_header, payload, n_payload, err);
}

static bool client_receive(fed_link *base, fed_packet *out)
{
    fed_zmq_link *l = (fed_zmq_link *)base;
    base->quiet = !fed_zmq_next_part(l, &l->parts[0]);
    if (base->quiet) {
        return false;
    }
    fed_zmq_receive_body(l, &l->parts[0], &l->parts[1], out);
    return true;
}

static void client_close(fed_link *base)
{
    zmq_client *c = (zmq_client *)base;
    if (c->monitor != NULL) {
        zmq_socket_monitor(c->link.socket, NULL, 0);
        zmq_close(c->monitor);
    }
    fed_zmq_close_parts(&c->link);
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
    .look = client_look,
    .has_message = fed_zmq_has_message,
};

fl_status fed_connect_zmq(fed_link **out, const char *address, const fed_public_key *server,
                          const fed_identity *id, fl_err *err)
{
    void *context = clients_enter();
    if (context == NULL) {
        return fed_zmq_fail(err, "starting ZeroMQ");
    }
    zmq_client *c = fl_xcalloc(1, sizeof *c);
    fed_zmq_init(&c->link, &client_ops);
    c->link.context = context;
    c->retry_ms = RETRY_MIN_MS;
    fed_link *link = &c->link.base;
    snprintf(link->address, sizeof link->address, "%s", address);
    fed_link_note(link, FED_LINK_CONNECTING);
    fl_status st = fed_zmq_open(&c->link, ZMQ_DEALER, id, err);
    if (st != FL_OK) {
        goto done;
    }
    if (fed_zmq_set(c->link.socket, client_settings, FED_ZMQ_COUNT(client_settings)) != 0 ||
        zmq_setsockopt(c->link.socket, ZMQ_CURVE_SERVERKEY, server->bytes, sizeof server->bytes) !=
            0) {
        st = fed_zmq_fail(err, "setting up a socket");
        goto done;
    }
    c->monitor = fed_zmq_monitor(&c->link, ZMQ_EVENT_ALL);
    if (c->monitor == NULL) {
        st = fed_zmq_fail(err, "watching a socket");
        goto done;
    }
    link->fds[1] = fed_zmq_fd(c->monitor);
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
