/*
 * transport_mem.c - the same links inside one process, for tests
 *
 * See transport.h.  Peers are told apart and refused as over TCP, queues have
 * the same bounds, and a test can have any message lost.  Messages are copied
 * once and handed over under one lock for all links, which may live in
 * different threads.
 */
#include "fed/transport_ops.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/refusals.h"

enum { RETRY_MS = 200 };  // between attempts of a client that is not connected

typedef struct message {
    struct message *next;
    fed_public_key peer;  // who sent it; zeros from a server
    uint32_t route;       // of the sending client
    size_t n_header, n_payload;
    uint64_t bytes[];  // payload first, for its alignment; then the header
} message;

typedef struct {
    message *first, **end;  // NULL: not initialised, or nobody receives
    size_t n;
    int fd;  // eventfd: readable while something may wait
} queue;

typedef struct mem_server mem_server;

typedef struct mem_client {
    fed_link base;
    struct mem_client *next;  // of the same server
    mem_server *server;       // NULL: not connected
    fed_public_key key, server_key;
    uint32_t route;    // this connection's number at the server
    int64_t retry_at;  // fl_now_ms
    queue in;
    message *held;  // what the last packet points into
} mem_client;

struct mem_server {
    fed_link base;
    mem_server *next;  // in the registry
    fed_public_key key;
    fed_allow_fn allow;
    void *allow_ctx;
    bool (*drop)(void *ctx, bool to_server);
    void *drop_ctx;
    fed_refusals refusals;
    mem_client *clients;
    uint32_t n_routes;
    queue in;
    message *held;
};

/* All servers of this process. */
static struct {
    pthread_mutex_t lock;  // over every field above as well
    mem_server *servers;
    unsigned n_made;
} registry = {PTHREAD_MUTEX_INITIALIZER, NULL, 0};

// ------------------------------------------------------------------- queues

static void queue_init(queue *q)
{
    q->end = &q->first;
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    FL_REQUIRE(q->fd >= 0);
}

static void queue_clear(queue *q)
{
    while (q->first != NULL) {
        message *m = q->first;
        q->first = m->next;
        free(m);
    }
    close(q->fd);
}

static void queue_push(queue *q, message *m)
{
    *q->end = m;
    q->end = &m->next;
    q->n++;
    uint64_t one = 1;
    FL_REQUIRE(write(q->fd, &one, sizeof one) == sizeof one);
}

static message *queue_pop(queue *q)
{
    message *m = q->first;
    if (m == NULL) {
        uint64_t count;
        (void)!read(q->fd, &count, sizeof count);  // nothing to wake for
        return NULL;
    }
    q->first = m->next;
    if (q->first == NULL) {
        q->end = &q->first;
    }
    q->n--;
    m->next = NULL;
    return m;
}

static message *message_new(const void *header, size_t n_header, const void *payload,
                            size_t n_payload)
{
    message *m = fl_xcalloc(1, sizeof *m + n_payload + n_header);
    m->n_header = n_header;
    m->n_payload = n_payload;
    if (n_payload > 0) {
        memcpy(m->bytes, payload, n_payload);
    }
    memcpy((uint8_t *)m->bytes + n_payload, header, n_header);
    return m;
}

/* The next message into out; what the last one pointed to is freed. */
static bool take(queue *q, message **held, fed_link *l, fed_packet *out)
{
    pthread_mutex_lock(&registry.lock);
    message *m = queue_pop(q);
    pthread_mutex_unlock(&registry.lock);
    l->quiet = m == NULL;
    if (m == NULL) {
        return false;
    }
    free(*held);
    *held = m;
    out->peer = m->peer;
    out->connection = m->route;
    out->route.n = sizeof m->route;
    memcpy(out->route.bytes, &m->route, sizeof m->route);
    out->header = (const uint8_t *)m->bytes + m->n_payload;
    out->n_header = m->n_header;
    out->payload = m->n_payload == 0 ? NULL : (const uint8_t *)m->bytes;
    out->n_payload = m->n_payload;
    return true;
}

static bool has_any(queue *q, fed_link *l)
{
    pthread_mutex_lock(&registry.lock);
    l->quiet = q->first == NULL;
    pthread_mutex_unlock(&registry.lock);
    return !l->quiet;
}

/* Frees m when it is lost on the way. */
static fl_status deliver(queue *q, message *m, const mem_server *s, bool to_server, size_t limit,
                         fl_err *err)
{
    if (q->n >= limit) {
        free(m);
        return fl_fail(err, FL_ELIMIT, "too much is waiting to be sent");
    }
    if (s->drop != NULL && s->drop(s->drop_ctx, to_server)) {
        free(m);
        return FL_OK;
    }
    queue_push(q, m);
    return FL_OK;
}

// ------------------------------------------------------------------ clients

static mem_server *find_server(const char *address)
{
    for (mem_server *s = registry.servers; s != NULL; s = s->next) {
        if (strcmp(s->base.address, address) == 0) {
            return s;
        }
    }
    return NULL;
}

/* One attempt; the lock is held. */
static void try_connect(mem_client *c)
{
    fed_link *l = &c->base;
    mem_server *s = find_server(l->address);
    c->retry_at = fl_now_ms() + RETRY_MS;
    if (s == NULL) {
        fed_link_note(l, FED_LINK_NO_ANSWER);
        return;
    }
    if (memcmp(&s->key, &c->server_key, sizeof s->key) != 0) {
        fed_refusals_add(&s->refusals, l->address, "handshake for another server's key", NULL);
        fed_link_note(l, FED_LINK_OTHER_KEY);
        return;
    }
    if (!s->allow(s->allow_ctx, &c->key)) {
        fed_refusals_add(&s->refusals, l->address, "key is not on the list", &c->key);
        fed_link_note(l, FED_LINK_REFUSED);
        return;
    }
    c->server = s;
    c->route = ++s->n_routes;
    c->next = s->clients;
    s->clients = c;
    fed_link_note(l, FED_LINK_UP);
}

static bool client_look(fed_link *l, int64_t *wake_ms)
{
    mem_client *c = (mem_client *)l;
    bool was_up = l->is_up;
    pthread_mutex_lock(&registry.lock);
    if (l->is_up && c->server == NULL) {
        fed_link_note(l, FED_LINK_LOST);
    } else if (!l->is_up && fl_now_ms() >= c->retry_at) {
        try_connect(c);
    }
    if (!l->is_up && c->retry_at < *wake_ms) {
        *wake_ms = c->retry_at;
    }
    pthread_mutex_unlock(&registry.lock);
    return l->is_up != was_up;
}

static fl_status client_send(fed_link *l, const fed_route *to, const void *header, size_t n_header,
                             const void *payload, size_t n_payload, fl_err *err)
{
    FL_REQUIRE(to == NULL);
    mem_client *c = (mem_client *)l;
    fl_status st;
    pthread_mutex_lock(&registry.lock);
    if (c->server == NULL) {
        st = fl_fail(err, FL_ELIMIT, "not connected");
    } else {
        message *m = message_new(header, n_header, payload, n_payload);
        m->peer = c->key;
        m->route = c->route;
        st = deliver(&c->server->in, m, c->server, true, SIZE_MAX, err);
    }
    pthread_mutex_unlock(&registry.lock);
    return st;
}

static bool client_receive(fed_link *l, fed_packet *out)
{
    mem_client *c = (mem_client *)l;
    if (!take(&c->in, &c->held, l, out)) {
        return false;
    }
    memset(&out->route, 0, sizeof out->route);
    return true;
}

static bool client_has_message(fed_link *l)
{
    return has_any(&((mem_client *)l)->in, l);
}

static void client_close(fed_link *l)
{
    mem_client *c = (mem_client *)l;
    pthread_mutex_lock(&registry.lock);
    if (c->server != NULL) {
        mem_client **at = &c->server->clients;
        while (*at != c) {
            at = &(*at)->next;
        }
        *at = c->next;
    }
    pthread_mutex_unlock(&registry.lock);
    queue_clear(&c->in);
    free(c->held);
    free(c);
}

static const fed_link_ops client_ops = {
    .close = client_close,
    .send = client_send,
    .receive = client_receive,
    .look = client_look,
    .has_message = client_has_message,
};

fl_status fed_connect_mem(fed_link **out, const char *address, const fed_public_key *server,
                          const fed_identity *id, fl_err *err)
{
    (void)err;
    mem_client *c = fl_xcalloc(1, sizeof *c);
    fed_link_init(&c->base, &client_ops);
    snprintf(c->base.address, sizeof c->base.address, "%s", address);
    c->key = fed_identity_public(id);
    c->server_key = *server;
    queue_init(&c->in);
    c->base.fds[0] = c->in.fd;
    pthread_mutex_lock(&registry.lock);
    try_connect(c);
    pthread_mutex_unlock(&registry.lock);
    *out = &c->base;
    return FL_OK;
}

// ------------------------------------------------------------------- server

static fl_status server_send(fed_link *l, const fed_route *to, const void *header, size_t n_header,
                             const void *payload, size_t n_payload, fl_err *err)
{
    mem_server *s = (mem_server *)l;
    uint32_t route = 0;
    FL_REQUIRE(to != NULL && to->n == sizeof route);
    memcpy(&route, to->bytes, sizeof route);
    fl_status st;
    pthread_mutex_lock(&registry.lock);
    mem_client *c = s->clients;
    while (c != NULL && c->route != route) {
        c = c->next;
    }
    if (c == NULL) {
        st = fl_fail(err, FL_ENOTFOUND, "the connection is gone");
    } else {
        st = deliver(&c->in, message_new(header, n_header, payload, n_payload), s, false,
                     2 * FED_QUEUE, err);
    }
    pthread_mutex_unlock(&registry.lock);
    return st;
}

static bool server_receive(fed_link *l, fed_packet *out)
{
    mem_server *s = (mem_server *)l;
    return take(&s->in, &s->held, l, out);
}

static bool server_has_message(fed_link *l)
{
    return has_any(&((mem_server *)l)->in, l);
}

static bool server_refusal(fed_link *l, fed_refusal *out)
{
    return fed_refusals_next(&((mem_server *)l)->refusals, out);
}

static void server_expel(fed_link *l, const fed_packet *packet)
{
    mem_server *s = (mem_server *)l;
    pthread_mutex_lock(&registry.lock);
    for (mem_client **at = &s->clients; *at != NULL; at = &(*at)->next) {
        if ((*at)->route == packet->connection) {
            (*at)->server = NULL;
            *at = (*at)->next;
            break;
        }
    }
    pthread_mutex_unlock(&registry.lock);
}

static void server_close(fed_link *l)
{
    mem_server *s = (mem_server *)l;
    pthread_mutex_lock(&registry.lock);
    mem_server **at = &registry.servers;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    for (mem_client *c = s->clients; c != NULL; c = c->next) {
        c->server = NULL;
        c->retry_at = 0;
    }
    pthread_mutex_unlock(&registry.lock);
    queue_clear(&s->in);
    fed_refusals_clear(&s->refusals);
    free(s->held);
    free(s);
}

static const fed_link_ops server_ops = {
    .close = server_close,
    .send = server_send,
    .receive = server_receive,
    .refusal = server_refusal,
    .expel = server_expel,
    .has_message = server_has_message,
};

fl_status fed_listen_mem(fed_link **out, const fed_identity *id, fed_allow_fn allow, void *ctx,
                         fl_err *err)
{
    (void)err;
    mem_server *s = fl_xcalloc(1, sizeof *s);
    fed_link_init(&s->base, &server_ops);
    s->key = fed_identity_public(id);
    s->allow = allow;
    s->allow_ctx = ctx;
    fed_refusals_init(&s->refusals);
    queue_init(&s->in);
    s->base.fds[0] = s->in.fd;
    pthread_mutex_lock(&registry.lock);
    snprintf(s->base.address, sizeof s->base.address, "mem://%u", ++registry.n_made);
    s->next = registry.servers;
    registry.servers = s;
    pthread_mutex_unlock(&registry.lock);
    *out = &s->base;
    return FL_OK;
}

void fed_link_set_drop(fed_link *server, bool (*drop)(void *ctx, bool to_server), void *ctx)
{
    FL_REQUIRE(server->ops == &server_ops);
    mem_server *s = (mem_server *)server;
    pthread_mutex_lock(&registry.lock);
    s->drop = drop;
    s->drop_ctx = ctx;
    pthread_mutex_unlock(&registry.lock);
}
