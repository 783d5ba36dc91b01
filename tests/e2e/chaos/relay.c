/*
 * relay.c - see relay.h
 */
#define _GNU_SOURCE  // accept4, pipe2

#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

enum { MAX_CONNECTIONS = 256, HELD_BYTES = 1 << 16, TICK_MS = 5 };

/* One direction of a connection: what came in and has not gone out. */
typedef struct {
    int from, to;
    uint8_t held[HELD_BYTES];
    size_t n;
    int64_t due_ms;   // of what is held
    double may_send;  // bytes, under a rate
    int64_t paid_ms;  // may_send is up to date
    bool ended;       // nothing more comes in
    bool over;        // and that was passed on
} stream;

typedef struct {
    stream way[2];
} connection;

struct relay {
    int listener, port, wake[2];
    pthread_t thread;
    atomic_int target, delay_ms, is_hole, is_over;
    atomic_int_least64_t rate, cut_in;  // cut_in: bytes until the cut; -1: none
    atomic_uint_least64_t n_cut;
    connection *connections[MAX_CONNECTIONS];
    size_t n;
};

static void set_address(struct sockaddr_in *at, int port)
{
    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* reset: the other side is told so, whatever it has not read. */
static void hang_up(connection *c, bool reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < 2; i++) {
        if (reset) {
            setsockopt(c->way[i].from, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(c->way[i].from);
    }
    free(c);
}

static void take(relay *r)
{
    int client = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    struct sockaddr_in at;
    int port = atomic_load(&r->target), server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_address(&at, port);
    if (port == 0 || r->n == MAX_CONNECTIONS || server < 0 ||
        connect(server, (struct sockaddr *)&at, sizeof at) != 0) {
        close(client);
        if (server >= 0) {
            close(server);
        }
        return;
    }
    fcntl(client, F_SETFL, O_NONBLOCK);
    fcntl(server, F_SETFL, O_NONBLOCK);
    connection *c = fl_xcalloc(1, sizeof *c);
    c->way[0].from = c->way[1].to = client;
    c->way[0].to = c->way[1].from = server;
    r->connections[r->n++] = c;
}

/* Reads what fits; false when the connection is broken. */
static bool fill(relay *r, stream *s, int64_t now_ms)
{
    if (s->ended || s->n == HELD_BYTES) {
        return true;
    }
    ssize_t n = recv(s->from, s->held + s->n, HELD_BYTES - s->n, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (s->n == 0) {
        s->due_ms = now_ms + atomic_load(&r->delay_ms);
    }
    s->ended = n == 0;
    s->n += (size_t)n;
    return true;
}

/* How many bytes may pass now. */
static size_t allowance(relay *r, stream *s, int64_t now_ms)
{
    int64_t rate = atomic_load(&r->rate), cut_in = atomic_load(&r->cut_in);
    size_t n = s->n;
    if (rate > 0) {
        double most = (double)rate / 10;  // a tenth of a second's worth at once
        s->may_send += (double)(now_ms - s->paid_ms) * (double)rate / 1000;
        s->may_send = s->may_send < most ? s->may_send : most;
        n = (double)n < s->may_send ? n : (size_t)s->may_send;
    }
    s->paid_ms = now_ms;
    return cut_in >= 0 && (int64_t)n > cut_in ? (size_t)cut_in : n;
}

static bool drain(relay *r, stream *s, int64_t now_ms)
{
    size_t n = now_ms >= s->due_ms ? allowance(r, s, now_ms) : 0;
    if (n > 0) {
        ssize_t sent = send(s->to, s->held, n, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        s->n -= (size_t)sent;
        memmove(s->held, s->held + sent, s->n);
        s->may_send = s->may_send > (double)sent ? s->may_send - (double)sent : 0;
        if (atomic_load(&r->cut_in) >= 0) {
            int64_t left = atomic_load(&r->cut_in) - sent;
            atomic_store(&r->cut_in, left > 0 ? left : 0);
        }
    }
    if (s->ended && s->n == 0 && !s->over) {
        s->over = true;
        shutdown(s->to, SHUT_WR);
    }
    return true;
}

static void drop(relay *r, size_t i, bool reset)
{
    hang_up(r->connections[i], reset);
    r->connections[i] = r->connections[--r->n];
}

static void move_bytes(relay *r, int64_t now_ms)
{
    bool is_hole = atomic_load(&r->is_hole);
    for (size_t i = r->n; i-- > 0 && !is_hole;) {
        connection *c = r->connections[i];
        bool whole = true;
        for (int k = 0; k < 2 && whole; k++) {
            whole = fill(r, &c->way[k], now_ms) && drain(r, &c->way[k], now_ms);
        }
        if (!whole || (c->way[0].over && c->way[1].over)) {
            drop(r, i, !whole);
        }
    }
    if (atomic_load(&r->cut_in) == 0) {
        atomic_fetch_add(&r->n_cut, r->n);
        while (r->n > 0) {
            drop(r, r->n - 1, true);
        }
        atomic_store(&r->cut_in, -1);
    }
}

/* What to wait for: data where there is room, and room where data wait and nothing else does. */
static size_t list_sockets(const relay *r, struct pollfd *list)
{
    size_t n = 0;
    list[n++] = (struct pollfd){.fd = r->listener, .events = POLLIN};
    list[n++] = (struct pollfd){.fd = r->wake[0], .events = POLLIN};
    if (atomic_load(&r->is_hole)) {
        return n;
    }
    bool is_slow = atomic_load(&r->rate) > 0 || atomic_load(&r->delay_ms) > 0;
    for (size_t i = 0; i < r->n; i++) {
        for (int k = 0; k < 2; k++) {
            const stream *s = &r->connections[i]->way[k];
            if (!s->ended && s->n < HELD_BYTES && !(is_slow && s->n > 0)) {
                list[n++] = (struct pollfd){.fd = s->from, .events = POLLIN};
            }
            if (s->n > 0 && !is_slow) {
                list[n++] = (struct pollfd){.fd = s->to, .events = POLLOUT};
            }
        }
    }
    return n;
}

static void *serve(void *arg)
{
    relay *r = arg;
    static _Thread_local struct pollfd list[2 + 4 * MAX_CONNECTIONS];
    while (!atomic_load(&r->is_over)) {
        size_t n = list_sockets(r, list);
        bool is_slow = atomic_load(&r->rate) > 0 || atomic_load(&r->delay_ms) > 0;
        poll(list, n, is_slow ? TICK_MS : 200);
        char ignored[64];
        if ((list[1].revents & POLLIN) != 0 && read(r->wake[0], ignored, sizeof ignored) < 0) {
            // woken is woken
        }
        if ((list[0].revents & POLLIN) != 0) {
            take(r);
        }
        move_bytes(r, fl_now_ms());
    }
    while (r->n > 0) {
        drop(r, r->n - 1, true);
    }
    return NULL;
}

static void wake(relay *r)
{
    if (write(r->wake[1], "", 1) < 0) {
        // full: it is awake
    }
}

relay *relay_new(void)
{
    relay *r = fl_xcalloc(1, sizeof *r);
    struct sockaddr_in at;
    socklen_t n = sizeof at;
    set_address(&at, 0);
    atomic_init(&r->target, 0);
    atomic_init(&r->delay_ms, 0);
    atomic_init(&r->is_hole, 0);
    atomic_init(&r->is_over, 0);
    atomic_init(&r->rate, 0);
    atomic_init(&r->cut_in, -1);
    atomic_init(&r->n_cut, 0);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(r->listener, 64) != 0 || getsockname(r->listener, (struct sockaddr *)&at, &n) != 0 ||
        pipe2(r->wake, O_NONBLOCK | O_CLOEXEC) != 0 ||
        pthread_create(&r->thread, NULL, serve, r) != 0) {
        free(r);
        return NULL;
    }
    r->port = ntohs(at.sin_port);
    return r;
}

void relay_destroy(relay **r)
{
    if (*r == NULL) {
        return;
    }
    atomic_store(&(*r)->is_over, 1);
    wake(*r);
    pthread_join((*r)->thread, NULL);
    close((*r)->listener);
    close((*r)->wake[0]);
    close((*r)->wake[1]);
    FL_FREE(*r);
}

int relay_port(const relay *r)
{
    return r->port;
}

void relay_set_target(relay *r, int port)
{
    atomic_store(&r->target, port);
}

void relay_set_delay(relay *r, int ms)
{
    atomic_store(&r->delay_ms, ms);
    wake(r);
}

void relay_set_rate(relay *r, int64_t bytes_a_second)
{
    atomic_store(&r->rate, bytes_a_second);
    wake(r);
}

void relay_set_hole(relay *r, int is_on)
{
    atomic_store(&r->is_hole, is_on);
    wake(r);
}

void relay_cut(relay *r, int64_t bytes)
{
    atomic_store(&r->cut_in, bytes);
    wake(r);
}

uint64_t relay_n_cut(const relay *r)
{
    return atomic_load(&r->n_cut);
}

void relay_calm(relay *r)
{
    atomic_store(&r->delay_ms, 0);
    atomic_store(&r->is_hole, 0);
    atomic_store(&r->rate, 0);
    atomic_store(&r->cut_in, -1);
    wake(r);
}
