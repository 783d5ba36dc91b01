/*
 * proxy.c - see proxy.h
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "check.h"

typedef struct {
    int from, to;
    fl_buf seen;
    bool to_server, whole;
    pthread_t thread;
} stream;

/* Both directions of a connection. */
typedef struct {
    stream direction[2];
    int client, server;
} connection;

struct proxy {
    int listener, port;
    atomic_int target;
    pthread_t acceptor;
    connection *connections[PROXY_MAX_CONNECTIONS];  // the acceptor's until proxy_stop
    size_t n;
    bool stopped;
};

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static void *relay(void *arg)
{
    stream *s = arg;
    char block[65536];
    ssize_t n;
    while ((n = recv(s->from, block, sizeof block, 0)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0) {
            continue;
        }
        if (s->seen.n + (size_t)n <= PROXY_MAX_BYTES) {
            fl_buf_add(&s->seen, block, (size_t)n);
        } else {
            s->whole = false;
        }
        if (!send_all(s->to, block, (size_t)n)) {
            break;
        }
    }
    shutdown(s->to, SHUT_WR);
    shutdown(s->from, SHUT_RD);
    return NULL;
}

static int connect_to(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && (port == 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Relays between the two sockets, which are the connection's now. */
static connection *connection_new(int client, int server)
{
    connection *c = fl_xcalloc(1, sizeof *c);
    c->client = client;
    c->server = server;
    c->direction[0] = (stream){.from = client, .to = server, .to_server = true, .whole = true};
    c->direction[1] = (stream){.from = server, .to = client, .whole = true};
    for (int i = 0; i < 2; i++) {
        FL_REQUIRE(pthread_create(&c->direction[i].thread, NULL, relay, &c->direction[i]) == 0);
    }
    return c;
}

static void *accept_all(void *arg)
{
    proxy *p = arg;
    int client;
    while ((client = accept(p->listener, NULL, NULL)) >= 0) {
        int server = p->n < PROXY_MAX_CONNECTIONS ? connect_to(atomic_load(&p->target)) : -1;
        if (server < 0) {
            close(client);
            continue;
        }
        p->connections[p->n++] = connection_new(client, server);
    }
    return NULL;
}

proxy *proxy_new(void)
{
    proxy *p = fl_xcalloc(1, sizeof *p);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof any;
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    check(p->listener >= 0);
    check_int(bind(p->listener, (struct sockaddr *)&any, sizeof any), 0);
    check_int(listen(p->listener, 64), 0);
    check_int(getsockname(p->listener, (struct sockaddr *)&any, &n), 0);
    p->port = ntohs(any.sin_port);
    atomic_init(&p->target, 0);
    check_int(pthread_create(&p->acceptor, NULL, accept_all, p), 0);
    return p;
}

int proxy_port(const proxy *p)
{
    return p->port;
}

void proxy_set_target(proxy *p, int port)
{
    atomic_store(&p->target, port);
}

void proxy_stop(proxy *p)
{
    if (p->stopped) {
        return;
    }
    p->stopped = true;
    shutdown(p->listener, SHUT_RDWR);  // accept returns
    pthread_join(p->acceptor, NULL);
    close(p->listener);
    for (size_t i = 0; i < p->n; i++) {
        connection *c = p->connections[i];
        shutdown(c->client, SHUT_RDWR);
        shutdown(c->server, SHUT_RDWR);
        pthread_join(c->direction[0].thread, NULL);
        pthread_join(c->direction[1].thread, NULL);
        close(c->client);
        close(c->server);
    }
}

void proxy_destroy(proxy **p)
{
    if (*p == NULL) {
        return;
    }
    proxy_stop(*p);
    for (size_t i = 0; i < (*p)->n; i++) {
        fl_buf_clear(&(*p)->connections[i]->direction[0].seen);
        fl_buf_clear(&(*p)->connections[i]->direction[1].seen);
        free((*p)->connections[i]);
    }
    FL_FREE(*p);
}

size_t proxy_n_streams(const proxy *p)
{
    FL_REQUIRE(p->stopped);
    return 2 * p->n;
}

proxy_stream proxy_at(const proxy *p, size_t i)
{
    FL_REQUIRE(p->stopped && i < 2 * p->n);
    const stream *s = &p->connections[i / 2]->direction[i % 2];
    return (proxy_stream){.bytes = (const uint8_t *)s->seen.data,
                          .n = s->seen.n,
                          .to_server = s->to_server,
                          .whole = s->whole};
}
