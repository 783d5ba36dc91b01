/*
 * transport.c - what all transports share: dispatch, waiting, waking
 *
 * See transport.h.  Waiting is epoll(7) over each link's descriptors and works
 * for any transport; a waker keeps them from one time to the next, so that one of many links
 * that has something costs no look at all others in the kernel.  Both of ZeroMQ's descriptors
 * tell of changes only, so before sleeping every link that may have something is asked (see
 * `quiet`).
 */
#include "fed/transport_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

fl_status fed_listen(fed_link **out, const char *bind, const fed_identity *id, fed_allow_fn allow,
                     void *ctx, fl_err *err)
{
    *out = NULL;
    return fed_listen_zmq(out, bind, id, allow, ctx, err);
}

fl_status fed_connect(fed_link **out, const char *address, const fed_public_key *server,
                      const fed_identity *id, fl_err *err)
{
    *out = NULL;
    if (strlen(address) >= FED_ADDRESS_BYTES) {
        return fl_fail(err, FL_ECONFIG, "the coordinator's address is too long");
    }
    if (strncmp(address, "mem://", 6) == 0) {
        return fed_connect_mem(out, address, server, id, err);
    }
    return fed_connect_zmq(out, address, server, id, err);
}

void fed_link_through(fed_link *l, const char *address, const char *proxy)
{
    snprintf(l->shown, sizeof l->shown, "%.256s through %.256s", address, proxy);
    fed_link_note(l, FED_LINK_CONNECTING);
}

static void unwatch(fed_link *l);

void fed_link_close(fed_link **l)
{
    if (*l != NULL) {
        unwatch(*l);
        (*l)->ops->close(*l);
        *l = NULL;
    }
}

const char *fed_link_address(const fed_link *l)
{
    return l->address;
}

fl_status fed_send(fed_link *l, const fed_route *to, const void *header, size_t n_header,
                   const void *payload, size_t n_payload, fl_err *err)
{
    FL_REQUIRE(n_header > 0 && n_header <= FED_MAX_HEADER_BYTES);
    FL_REQUIRE(n_payload <= FED_PIECE_BYTES);
    return l->ops->send(l, to, header, n_header, payload, n_payload, err);
}

bool fed_receive(fed_link *l, fed_packet *out)
{
    memset(out, 0, sizeof *out);
    return l->ops->receive(l, out);
}

bool fed_link_refusal(fed_link *l, fed_refusal *out)
{
    memset(out, 0, sizeof *out);
    return l->ops->refusal != NULL && l->ops->refusal(l, out);
}

void fed_link_expel(fed_link *l, const fed_packet *packet)
{
    FL_REQUIRE(l->ops->expel != NULL);
    l->ops->expel(l, packet);
}

static bool take_note(fed_link *l, int64_t *wake_ms)
{
    bool changed = l->ops->look != NULL && l->ops->look(l, wake_ms);
    l->has_news |= changed;
    return changed;
}

fed_link_status fed_link_look(fed_link *l)
{
    int64_t unused = INT64_MAX;
    l->calm = false;  // its descriptor was not asked
    take_note(l, &unused);
    l->has_news = false;
    return (fed_link_status){l->is_up, l->n_connected, l->state};
}

const char *fed_link_state(fed_link *l)
{
    return fed_link_look(l).text;
}

bool fed_link_up(fed_link *l)
{
    return fed_link_look(l).is_up;
}

uint32_t fed_link_n_connected(fed_link *l)
{
    return fed_link_look(l).n_connected;
}

bool fed_link_stirs(const fed_link *l)
{
    return !l->quiet || !l->calm || l->has_news;
}

// ------------------------------------------------- what transports call

void fed_link_init(fed_link *l, const fed_link_ops *ops)
{
    l->ops = ops;
    l->fds[0] = -1;
    l->fds[1] = -1;
}

static void say(fed_link *l, const char *before, const char *after)
{
    const char *other = l->shown[0] != '\0' ? l->shown : l->address;
    snprintf(l->state, sizeof l->state, "%s %s%s", before, other, after);
}

void fed_link_note(fed_link *l, fed_link_event event)
{
    switch (event) {
    case FED_LINK_CONNECTING:
        say(l, "connecting to", "");
        break;
    case FED_LINK_UP:
        l->is_up = true;
        l->n_connected++;
        snprintf(l->state, sizeof l->state, "connected");
        break;
    case FED_LINK_LOST:
        l->is_up = false;
        say(l, "connection lost, connecting to", "");
        break;
    case FED_LINK_NO_ANSWER:
        say(l, "connecting to", ": no answer so far");
        break;
    case FED_LINK_REFUSED:
        snprintf(l->state, sizeof l->state, "refused by the coordinator: key is not on the list");
        break;
    case FED_LINK_OTHER_KEY:
        say(l, "handshake with",
            l->shown[0] != '\0'
                ? " failed: the proxy did not connect, its key is not the expected one, or it is "
                  "not a coordinator"
                : " failed: its key is not the expected one, or it is not a coordinator");
        break;
    case FED_LINK_STRANGE:
        say(l, "handshake with", " failed: it is not a coordinator");
        break;
    }
}

// ------------------------------------------------------------------ waiting

struct fed_waker {
    int fd;              // eventfd
    int epoll;           // on it, and on the descriptors of
    fed_link **watched;  // (n)
    size_t n;
};

/* flag: becomes false when fd is readable; NULL for the waker's own. */
static void add_fd(const fed_waker *w, int fd, bool *flag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = flag};
    FL_REQUIRE(fd < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void watch(fed_waker *w, fed_link *l)
{
    if (l->waker == w) {
        return;
    }
    unwatch(l);
    add_fd(w, l->fds[0], &l->quiet);
    add_fd(w, l->fds[1], &l->calm);
    l->waker = w;
    l->place = w->n;
    w->watched = fl_xrealloc(w->watched, w->n + 1, sizeof *w->watched);
    w->watched[w->n++] = l;
}

/* Before its descriptors are closed. */
static void unwatch(fed_link *l)
{
    fed_waker *w = l->waker;
    if (w == NULL) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (l->fds[i] >= 0) {
            epoll_ctl(w->epoll, EPOLL_CTL_DEL, l->fds[i], NULL);
        }
    }
    w->watched[l->place] = w->watched[--w->n];
    w->watched[l->place]->place = l->place;
    l->waker = NULL;
}

fed_waker *fed_waker_new(void)
{
    fed_waker *w = fl_xcalloc(1, sizeof *w);
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    FL_REQUIRE(w->fd >= 0 && w->epoll >= 0);
    add_fd(w, w->fd, NULL);
    return w;
}

void fed_waker_destroy(fed_waker **w)
{
    if (*w != NULL) {
        while ((*w)->n > 0) {
            unwatch((*w)->watched[0]);
        }
        close((*w)->epoll);
        close((*w)->fd);
        free((*w)->watched);
        FL_FREE(*w);
    }
}

void fed_waker_wake(fed_waker *w)
{
    uint64_t one = 1;
    ssize_t n;
    do {
        n = write(w->fd, &one, sizeof one);
    } while (n < 0 && errno == EINTR);
    // EAGAIN: it has been woken 2^64 - 2 times and is awake.
}

static void sleep_again(fed_waker *w)
{
    uint64_t count;
    ssize_t n;
    do {
        n = read(w->fd, &count, sizeof count);
    } while (n < 0 && errno == EINTR);
}

/* Is there anything to do on one of the links? */
static bool any_ready(fed_link *const *links, size_t n, int64_t *wake_ms)
{
    bool ready = false;
    for (size_t i = 0; i < n; i++) {
        ready |= take_note(links[i], wake_ms);
        ready |= !links[i]->quiet && links[i]->ops->has_message(links[i]);
    }
    return ready;
}

static int poll_timeout(int64_t wake_ms)
{
    if (wake_ms == INT64_MAX) {
        return -1;
    }
    int64_t left = wake_ms - fl_now_ms();
    return left <= 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

/* Waits for the descriptors; flags become false.  How many are readable, negative after a signal;
 * *woken: the waker's own is among them. */
static int look_at_fds(fed_waker *w, int timeout_ms, bool *woken)
{
    enum { AT_ONCE = 256 };  // more come the next time, and those in front
    struct epoll_event events[AT_ONCE];
    int n = epoll_wait(w->epoll, events, AT_ONCE, timeout_ms);
    for (int i = 0; i < n; i++) {
        bool *flag = events[i].data.ptr;
        if (flag != NULL) {
            *flag = false;
        } else {
            *woken = true;
        }
    }
    return n;
}

static void wait_with(fed_waker *w, fed_link *const *links, size_t n, int64_t deadline)
{
    for (size_t i = 0; i < n; i++) {
        watch(w, links[i]);
    }
    for (;;) {
        int64_t wake_ms = deadline;
        bool ready = any_ready(links, n, &wake_ms), woken = false;
        // One that has something does not keep us from hearing of the others.
        int n_readable = look_at_fds(w, ready ? 0 : poll_timeout(wake_ms), &woken);
        if (woken) {
            sleep_again(w);
        }
        // A signal: the caller looks whether to stop.
        if (n_readable < 0 || woken || ready || (n_readable == 0 && fl_now_ms() >= deadline)) {
            return;
        }
    }
}

void fed_wait(fed_link *const *links, size_t n, fed_waker *w, int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : fl_now_ms() + timeout_ms;
    fed_waker *own = w == NULL ? fed_waker_new() : NULL;
    wait_with(own != NULL ? own : w, links, n, deadline);
    fed_waker_destroy(&own);
}
