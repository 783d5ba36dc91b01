/*
 * forward.c - see forward.h
 *
 * One thread waits at the door and one carries each connection: there is one a
 * site, and a proxy that is slow to answer one must not hold up the others.
 */
#include "fed/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"

enum {
    MAX_CARRIED = 4096,   // connections at a time
    ASK_MS = 18000,       // to reach the proxy and be answered; libzmq gives up after 20 s
    HOLD_MIN_MS = 500,    // after a refusal; doubles
    HOLD_MAX_MS = 10000,
    BLOCK_BYTES = 65536
};

/* One connection. */
typedef struct carried {
    struct carried *next;
    fed_forward *forward;
    int near;  // libzmq's
    pthread_t thread;
    atomic_bool over;
} carried;

struct fed_forward {
    fed_proxy proxy;
    fed_endpoint target;
    char address[64], name[FED_PROXY_NAME_BYTES];
    int listener;
    int stop[2];  // a pipe; its reading end hangs up when the other is closed
    pthread_t doorman;
    carried *all;  // the doorman's
    size_t n;
    pthread_mutex_t mutex;  // guards what follows
    int64_t ask_at_ms, hold_ms;
    char said[FL_ERR_TEXT];  // logged last
};

// ------------------------------------------------------------- what is said

static void refused(fed_forward *f, const char *text)
{
    pthread_mutex_lock(&f->mutex);
    f->ask_at_ms = fl_now_ms() + f->hold_ms;
    f->hold_ms = f->hold_ms >= HOLD_MAX_MS / 2 ? HOLD_MAX_MS : 2 * f->hold_ms;
    bool is_news = strcmp(f->said, text) != 0;
    snprintf(f->said, sizeof f->said, "%s", text);
    pthread_mutex_unlock(&f->mutex);
    if (is_news) {
        fl_log(FL_LOG_WARN, "proxy", "%s", text);
    }
}

static void granted(fed_forward *f)
{
    pthread_mutex_lock(&f->mutex);
    f->ask_at_ms = 0;
    f->hold_ms = HOLD_MIN_MS;
    f->said[0] = '\0';
    pthread_mutex_unlock(&f->mutex);
    fl_log(FL_LOG_INFO, "proxy", "%s connects to %s port %s", f->name, f->target.host,
           f->target.port);
}

/* Until the proxy may be asked again; false when all is over before. */
static bool hold(fed_forward *f)
{
    for (;;) {
        pthread_mutex_lock(&f->mutex);
        int64_t left = f->ask_at_ms - fl_now_ms();
        pthread_mutex_unlock(&f->mutex);
        if (left <= 0) {
            return true;
        }
        struct pollfd stop = {f->stop[0], 0, 0};
        if (poll(&stop, 1, (int)left) > 0) {
            return false;
        }
    }
}

// ------------------------------------------------------------------ carrying

/* Bytes on their way from one socket to the other. */
typedef struct {
    int from, to;
    size_t at, n;  // block[at .. n) is still to be sent
    uint8_t block[BLOCK_BYTES];
} flow;

/* Moves what can be moved; false when the connection is over. */
static bool move(flow *w, short from_events, short to_events)
{
    if (w->at == w->n && from_events != 0) {
        ssize_t got = recv(w->from, w->block, sizeof w->block, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        w->at = 0;
        w->n = got > 0 ? (size_t)got : 0;
        to_events = POLLOUT;  // most often it can
    }
    if (w->at < w->n && to_events != 0) {
        ssize_t sent = send(w->to, w->block + w->at, w->n - w->at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        w->at += sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

/* Hung up, and nothing is left to read. */
static bool is_dead(const struct pollfd *p)
{
    return (p->revents & (POLLHUP | POLLERR | POLLNVAL)) != 0 && (p->revents & POLLIN) == 0;
}

static void relay(const fed_forward *f, int near, int far)
{
    flow *out = fl_xcalloc(1, sizeof *out), *in = fl_xcalloc(1, sizeof *in);
    out->from = in->to = near;
    out->to = in->from = far;
    bool on = true;
    while (on) {
        short near_wants = (short)((out->at == out->n ? POLLIN : 0) | (in->at < in->n ? POLLOUT : 0));
        short far_wants = (short)((in->at == in->n ? POLLIN : 0) | (out->at < out->n ? POLLOUT : 0));
        struct pollfd fds[] = {{near, near_wants, 0}, {far, far_wants, 0}, {f->stop[0], 0, 0}};
        if (poll(fds, 3, -1) < 0) {
            on = errno == EINTR;
            continue;
        }
        on = fds[2].revents == 0 && !is_dead(&fds[0]) && !is_dead(&fds[1]) &&
             move(out, fds[0].revents & POLLIN, fds[1].revents & POLLOUT) &&
             move(in, fds[1].revents & POLLIN, fds[0].revents & POLLOUT);
    }
    free(out);
    free(in);
}

static void *carry(void *arg)
{
    carried *c = arg;
    fed_forward *f = c->forward;
    int far = -1;
    fl_err err = FL_ERR_INIT;
    fed_patience patience = {.until_ms = fl_now_ms() + ASK_MS, .stop_fd = f->stop[0]};
    if (hold(f)) {
        fl_status st = fed_tcp_connect(&far, NULL, &f->proxy.at, patience, &err);
        if (st != FL_OK) {
            fl_wrap(&err, st, "the proxy %s", f->name);
        } else {
            st = fed_proxy_ask(far, &f->proxy, &f->target, patience, &err);
        }
        if (st == FL_OK) {
            granted(f);
            relay(f, c->near, far);
        } else if (st != FL_ESTOPPED) {
            refused(f, err.text);
        }
    }
    if (far >= 0) {
        close(far);
    }
    close(c->near);
    atomic_store(&c->over, true);
    return NULL;
}

// ------------------------------------------------------------------ the door

/* Forgets connections that are over, or waits for all of them. */
static void reap(fed_forward *f, bool all)
{
    for (carried **at = &f->all; *at != NULL;) {
        carried *c = *at;
        if (!all && !atomic_load(&c->over)) {
            at = &c->next;
            continue;
        }
        pthread_join(c->thread, NULL);
        *at = c->next;
        free(c);
        f->n--;
    }
}

static void take_up(fed_forward *f, int near)
{
    carried *c = fl_xcalloc(1, sizeof *c);
    c->forward = f;
    c->near = near;
    if (f->n >= MAX_CARRIED || pthread_create(&c->thread, NULL, carry, c) != 0) {
        close(near);
        free(c);
        return;
    }
    c->next = f->all;
    f->all = c;
    f->n++;
}

static void *keep_door(void *arg)
{
    fed_forward *f = arg;
    for (;;) {
        struct pollfd fds[] = {{f->listener, POLLIN, 0}, {f->stop[0], 0, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        if (fds[1].revents != 0) {
            break;
        }
        int near = accept(f->listener, NULL, NULL);
        reap(f, false);
        if (near >= 0) {
            fcntl(near, F_SETFL, O_NONBLOCK);
            take_up(f, near);
        } else if (errno == EMFILE || errno == ENFILE) {
            poll(NULL, 0, HOLD_MIN_MS);  // accept would fail at once, again and again
        }
    }
    reap(f, true);
    return NULL;
}

static fl_status open_door(fed_forward *f, fl_err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(f->listener, SOMAXCONN) != 0 ||
        getsockname(f->listener, (struct sockaddr *)&at, &n) != 0 || pipe(f->stop) != 0) {
        return fl_fail(err, FL_EIO, "no port on the loopback address for the way through the proxy: %s",
                       strerror(errno));
    }
    snprintf(f->address, sizeof f->address, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    if (pthread_create(&f->doorman, NULL, keep_door, f) != 0) {
        close(f->stop[0]);
        close(f->stop[1]);
        return fl_fail(err, FL_ELIMIT, "no thread for the way through the proxy");
    }
    return FL_OK;
}

fl_status fed_forward_new(fed_forward **out, const fed_proxy *proxy, const char *address,
                          fl_err *err)
{
    *out = NULL;
    fed_forward *f = fl_xcalloc(1, sizeof *f);
    f->proxy = *proxy;
    f->hold_ms = HOLD_MIN_MS;
    fed_proxy_name(f->name, proxy);
    fl_status st = fed_endpoint_parse(&f->target, address, err);
    f->listener = -1;
    pthread_mutex_init(&f->mutex, NULL);
    if (st == FL_OK && (st = open_door(f, err)) == FL_OK) {
        *out = f;
        return FL_OK;
    }
    if (f->listener >= 0) {
        close(f->listener);
    }
    pthread_mutex_destroy(&f->mutex);
    free(f);
    return st;
}

void fed_forward_destroy(fed_forward **f)
{
    if (*f == NULL) {
        return;
    }
    close((*f)->stop[1]);
    pthread_join((*f)->doorman, NULL);
    close((*f)->stop[0]);
    close((*f)->listener);
    pthread_mutex_destroy(&(*f)->mutex);
    sodium_memzero(&(*f)->proxy, sizeof (*f)->proxy);
    FL_FREE(*f);
}

const char *fed_forward_address(const fed_forward *f)
{
    return f->address;
}
