/*
 * transport.c - what all transports share: dispatch, waiting, waking
 *
 * See transport.h.  Waiting is poll(2) over each link's descriptors and works
 * for any transport.  Both of ZeroMQ's descriptors tell of changes only, so
 * before sleeping every link that may have something is asked (see `quiet`).
 */
#include "fed/transport_ops.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

void fed_link_close(fed_link **l)
{
    if (*l != NULL) {
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
    int fd;  // eventfd
};

fed_waker *fed_waker_new(void)
{
    fed_waker *w = fl_xcalloc(1, sizeof *w);
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    FL_REQUIRE(w->fd >= 0);
    return w;
}

void fed_waker_destroy(fed_waker **w)
{
    if (*w != NULL) {
        close((*w)->fd);
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

void fed_wait(fed_link *const *links, size_t n, fed_waker *w, int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : fl_now_ms() + timeout_ms;
    struct pollfd *fds = fl_xcalloc(2 * n + 1, sizeof *fds);
    for (size_t i = 0; i < 2 * n; i++) {
        fds[i] = (struct pollfd){links[i / 2]->fds[i % 2], POLLIN, 0};
    }
    fds[2 * n] = (struct pollfd){w == NULL ? -1 : w->fd, POLLIN, 0};

    for (;;) {
        int64_t wake_ms = deadline;
        bool ready = any_ready(links, n, &wake_ms);
        // One that has something does not keep us from hearing of the others.
        int n_readable = poll(fds, 2 * n + 1, ready ? 0 : poll_timeout(wake_ms));
        if (n_readable < 0) {
            break;  // a signal: the caller looks whether to stop
        }
        for (size_t i = 0; i < 2 * n; i++) {
            if (fds[i].revents != 0 && i % 2 == 0) {
                links[i / 2]->quiet = false;
            } else if (fds[i].revents != 0) {
                links[i / 2]->calm = false;
            }
        }
        if (fds[2 * n].revents != 0) {
            sleep_again(w);
            break;
        }
        if (ready || (n_readable == 0 && fl_now_ms() >= deadline)) {
            break;
        }
    }
    free(fds);
}
