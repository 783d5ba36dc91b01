/*
 * transport_zmq.c - what a server's and a client's sockets have in common
 *
 * See transport_zmq.h: keys and settings of a socket, its event monitor, and
 * messages as one or two parts.
 */
#include "fed/transport_zmq.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/mem.h"

enum {
    // A piece in CURVE's wrapping (33 bytes); more ends the connection.
    MAX_FRAME_BYTES = FED_PIECE_BYTES + 64,
    LINGER_MS = 1000,
};

static const fed_zmq_setting common_settings[] = {
    {ZMQ_IPV6, 1},
    {ZMQ_LINGER, LINGER_MS},
    {ZMQ_HANDSHAKE_IVL, 20000},      // ms; a slow line and a crowd at start
    {ZMQ_TCP_KEEPALIVE, 1},
    {ZMQ_TCP_KEEPALIVE_IDLE, 60},   // s
    {ZMQ_TCP_KEEPALIVE_INTVL, 15},  // s
    {ZMQ_TCP_KEEPALIVE_CNT, 4},
};

// ------------------------------------------------------------------ sockets

int fed_zmq_set(void *socket, const fed_zmq_setting *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (zmq_setsockopt(socket, s[i].option, &s[i].value, sizeof s[i].value) != 0) {
            return -1;
        }
    }
    return 0;
}

int fed_zmq_fd(void *socket)
{
    int fd = -1;
    size_t n = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &n);
    return fd;
}

void fed_zmq_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);  // else the old limit holds
    }
}

fl_status fed_zmq_fail(fl_err *err, const char *what)
{
    return fl_fail(err, errno == EMFILE ? FL_ELIMIT : FL_EIO, "%s: %s", what, zmq_strerror(errno));
}

void fed_zmq_init(fed_zmq_link *l, const fed_link_ops *ops)
{
    fed_link_init(&l->base, ops);
    for (int i = 0; i < 3; i++) {
        zmq_msg_init(&l->parts[i]);
    }
}

fl_status fed_zmq_open(fed_zmq_link *l, int type, const fed_identity *id, fl_err *err)
{
    if (!zmq_has("curve")) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "this system's libzmq was built without CURVE "
                       "encryption");
    }
    l->socket = zmq_socket(l->context, type);
    if (l->socket == NULL) {
        return fed_zmq_fail(err, "opening a socket");
    }
    fed_public_key key = fed_identity_public(id);
    int64_t max_frame = MAX_FRAME_BYTES;
    if (fed_zmq_set(l->socket, common_settings, FED_ZMQ_COUNT(common_settings)) != 0 ||
        zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &max_frame, sizeof max_frame) != 0 ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_PUBLICKEY, key.bytes, sizeof key.bytes) != 0 ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_SECRETKEY, fed_identity_curve_secret(id),
                       FED_KEY_BYTES) != 0) {
        return fed_zmq_fail(err, "setting up a socket");
    }
    l->base.fds[0] = fed_zmq_fd(l->socket);
    return FL_OK;
}

void fed_zmq_close_parts(fed_zmq_link *l)
{
    for (int i = 0; i < 3; i++) {
        zmq_msg_close(&l->parts[i]);
    }
    free(l->aligned);
}

void *fed_zmq_monitor(fed_zmq_link *l, int events)
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

bool fed_zmq_next_event(void *monitor, unsigned *event, uint32_t *value)
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

fl_status fed_zmq_send(fed_zmq_link *l, const void *header, size_t n_header, const void *payload,
                       size_t n_payload, fl_err *err)
{
    l->base.quiet = false;  // sending may have picked up a message on the way
    bool more = n_payload > 0;
    if (zmq_send(l->socket, header, n_header, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 ||
        (more && zmq_send(l->socket, payload, n_payload, ZMQ_DONTWAIT) < 0)) {
        if (errno == EAGAIN) {
            return fl_fail(err, FL_ELIMIT, "too much is waiting to be sent");
        }
        return fed_zmq_fail(err, "sending");
    }
    return FL_OK;
}

bool fed_zmq_next_part(fed_zmq_link *l, zmq_msg_t *part)
{
    int n;
    do {
        n = zmq_msg_recv(part, l->socket, ZMQ_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n >= 0;
}

/* The parts after a message's end that is none: too many of them. */
static void drop_rest(fed_zmq_link *l)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    do {
        if (!fed_zmq_next_part(l, &part)) {
            break;
        }
    } while (zmq_msg_more(&part));
    zmq_msg_close(&part);
}

/* Kernels read values in place, so a payload begins at a multiple of 8. */
static const uint8_t *align_payload(fed_zmq_link *l, const uint8_t *bytes, size_t n)
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

void fed_zmq_receive_body(fed_zmq_link *l, zmq_msg_t *header, zmq_msg_t *payload, fed_packet *out)
{
    if (zmq_msg_more(header)) {
        fed_zmq_next_part(l, payload);  // a message comes whole
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

bool fed_zmq_has_message(fed_link *base)
{
    fed_zmq_link *l = (fed_zmq_link *)base;
    int events = 0;
    size_t n = sizeof events;
    zmq_getsockopt(l->socket, ZMQ_EVENTS, &events, &n);
    base->quiet = (events & ZMQ_POLLIN) == 0;
    return !base->quiet;
}
