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
    atomic_int manner;            // set after the two below, and read before them
    const char *user, *password;  // borrowed; NULL: nothing is asked for
    atomic_bool forbids;
    atomic_int n_asked;
    pthread_mutex_t mutex;  // guards asked
    char asked[300];
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

// ------------------------------------------------------ a hospital's proxy

static bool hear(int fd, void *bytes, size_t n)
{
    return n == 0 || recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n;
}

static bool say(int fd, const void *bytes, size_t n)
{
    return send_all(fd, bytes, n);
}

static void note_asked(proxy *p, const char *place)
{
    pthread_mutex_lock(&p->mutex);
    snprintf(p->asked, sizeof p->asked, "%s", place);
    pthread_mutex_unlock(&p->mutex);
}

static bool refuse_http(int fd, const char *line)
{
    char answer[256];
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 %s\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsorry", line);
    (void)say(fd, answer, (size_t)n - 1);
    return false;
}

/* Answers a CONNECT; true when the way is open. */
static bool open_http(proxy *p, int fd)
{
    static const char granted[] = "HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n";
    char head[4096], place[280], expected[300] = "";
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n + 1 == sizeof head || !hear(fd, head + n, 1)) {
            return false;
        }
        n++;
    }
    head[n] = '\0';
    if (sscanf(head, "CONNECT %279s HTTP/1.1\r\n", place) != 1) {
        return refuse_http(fd, "400 Bad Request");
    }
    if (p->user != NULL) {  // base64 of the only pair that this proxy knows
        check_str(p->user, "nurse");
        check_str(p->password, "s3:cret");
        snprintf(expected, sizeof expected, "\r\nProxy-Authorization: Basic %s\r\n",
                 "bnVyc2U6czM6Y3JldA==");
        if (strstr(head, expected) == NULL) {
            return refuse_http(fd, "407 Proxy Authentication Required");
        }
    }
    if (atomic_load(&p->forbids)) {
        return refuse_http(fd, "403 Forbidden");
    }
    note_asked(p, place);
    return say(fd, granted, strlen(granted));
}

static bool takes_socks_password(const proxy *p, int fd)
{
    uint8_t head[2], n_password;
    char user[256] = "", password[256] = "";
    if (!hear(fd, head, 2) || !hear(fd, user, head[1]) || !hear(fd, &n_password, 1) ||
        !hear(fd, password, n_password)) {
        return false;
    }
    bool right = strcmp(user, p->user) == 0 && strcmp(password, p->password) == 0;
    return say(fd, right ? "\1\0" : "\1\1", 2) && right;
}

static bool open_socks(proxy *p, int fd)
{
    uint8_t head[4], methods[256], n_name, port[2];
    char name[256] = "", place[300];
    if (!hear(fd, head, 2) || head[0] != 5 || !hear(fd, methods, head[1])) {
        return false;
    }
    uint8_t wanted = p->user != NULL ? 2 : 0;
    if (memchr(methods, wanted, head[1]) == NULL) {
        (void)say(fd, "\5\377", 2);
        return false;
    }
    if (!say(fd, wanted == 2 ? "\5\2" : "\5\0", 2) ||
        (wanted == 2 && !takes_socks_password(p, fd))) {
        return false;
    }
    if (!hear(fd, head, 4) || head[1] != 1 || head[3] != 3 || !hear(fd, &n_name, 1) ||
        !hear(fd, name, n_name) || !hear(fd, port, 2)) {
        return false;
    }
    if (atomic_load(&p->forbids)) {
        (void)say(fd, "\5\2\0\1\0\0\0\0\0\0", 10);
        return false;
    }
    snprintf(place, sizeof place, "%s:%d", name, port[0] << 8 | port[1]);
    note_asked(p, place);
    return say(fd, "\5\0\0\1\0\0\0\0\0\0", 10);
}

static bool open_way(proxy *p, int client)
{
    int manner = atomic_load(&p->manner);
    if (manner == PROXY_PLAIN) {
        return true;
    }
    atomic_fetch_add(&p->n_asked, 1);
    return manner == PROXY_HTTP ? open_http(p, client) : open_socks(p, client);
}

// ------------------------------------------------------------------ relaying

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
        bool room = p->n < PROXY_MAX_CONNECTIONS;
        int server = room && open_way(p, client) ? connect_to(atomic_load(&p->target)) : -1;
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
    atomic_init(&p->manner, PROXY_PLAIN);
    pthread_mutex_init(&p->mutex, NULL);
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

void proxy_set_manner(proxy *p, proxy_manner manner, const char *user, const char *password)
{
    p->user = user;
    p->password = password;
    atomic_store(&p->manner, manner);
}

void proxy_forbid(proxy *p, bool forbid)
{
    atomic_store(&p->forbids, forbid);
}

int proxy_n_asked(const proxy *p)
{
    return atomic_load(&p->n_asked);
}

void proxy_asked(proxy *p, char out[static 300])
{
    pthread_mutex_lock(&p->mutex);
    memcpy(out, p->asked, sizeof p->asked);
    pthread_mutex_unlock(&p->mutex);
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
    pthread_mutex_destroy(&(*p)->mutex);
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
