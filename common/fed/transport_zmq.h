/*
 * transport_zmq.h - ROUTER/DEALER over TCP with CURVE (libzmq >= 4.3)
 *
 * See transport.h; CURVE is described in ZeroMQ's RFC 26, ZAP in RFC 27.
 * Included by transport_zmq*.c only, which alone know libzmq: server and client
 * are files of their own over what their sockets have in common.
 */
#ifndef FED_TRANSPORT_ZMQ_H
#define FED_TRANSPORT_ZMQ_H

#include <zmq.h>

#include "fed/transport_ops.h"

typedef struct {
    fed_link base;
    void *context;
    void *socket;        // ROUTER or DEALER
    zmq_msg_t parts[3];  // what the packet of the last receive points into
    uint64_t *aligned;   // FED_PIECE_BYTES for a payload that lies badly; or NULL
} fed_zmq_link;

typedef struct {
    int option;  // ZMQ_...
    int value;
} fed_zmq_setting;

#define FED_ZMQ_COUNT(settings) (sizeof(settings) / sizeof((settings)[0]))

// Sockets.

/* -1 with errno when libzmq refuses one of them. */
int fed_zmq_set(void *socket, const fed_zmq_setting *s, size_t n);
int fed_zmq_fd(void *socket);
/* One descriptor a peer and a few more: takes what the system allows. */
void fed_zmq_raise_file_limit(void);
fl_status fed_zmq_fail(fl_err *err, const char *what);  // errno's reason
void fed_zmq_init(fed_zmq_link *l, const fed_link_ops *ops);
/* Makes the socket with our keys and the settings of both sides. */
fl_status fed_zmq_open(fed_zmq_link *l, int type, const fed_identity *id, fl_err *err);
void fed_zmq_close_parts(fed_zmq_link *l);
/* A PAIR socket on which libzmq reports what happens to the socket. */
void *fed_zmq_monitor(fed_zmq_link *l, int events);
/* The next event; false when there is none now. */
bool fed_zmq_next_event(void *monitor, unsigned *event, uint32_t *value);

// Messages.

fl_status fed_zmq_send(fed_zmq_link *l, const void *header, size_t n_header, const void *payload,
                       size_t n_payload, fl_err *err);
/* Takes a part without waiting; false when there is none. */
bool fed_zmq_next_part(fed_zmq_link *l, zmq_msg_t *part);
/* Header and payload, once the part before them is taken. */
void fed_zmq_receive_body(fed_zmq_link *l, zmq_msg_t *header, zmq_msg_t *payload, fed_packet *out);
bool fed_zmq_has_message(fed_link *base);

#endif
