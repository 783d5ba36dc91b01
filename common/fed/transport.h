/*
 * transport.h - encrypted message passing with authenticated peers
 *
 * ROUTER/DEALER over TCP with CURVE (transport_zmq*, the only files that
 * include zmq.h); an in-process twin that loses messages on request
 * (transport_mem.c) for tests.  A message is a header and an optional payload.
 * Every received message carries the public key that CURVE authenticated.
 * Threads: a fed_link belongs to one thread; fed_waker_wake may be called from any.
 */
#ifndef FED_TRANSPORT_H
#define FED_TRANSPORT_H

#include "fed/fed.h"
#include "fed/identity.h"

typedef struct fed_link fed_link;

enum { FED_ROUTE_BYTES = 32 };
/* Where an answer goes: one connection of one peer. */
typedef struct { uint8_t n; uint8_t bytes[FED_ROUTE_BYTES]; } fed_route;

typedef struct {
    fed_public_key peer;    // who the transport authenticated; zeros on a client's link
    fed_route route;        // to answer; unused on a client's link
    const uint8_t *header;  // borrowed until the next receive on this link
    size_t n_header;
    const uint8_t *payload; // likewise, 8-byte aligned; NULL when there is none
    size_t n_payload;
    int64_t connection;     // transport's own: on which it came
} fed_packet;               // n_header 0: the peer sent something that is no message

/* A connection that was turned away, for the record. */
typedef struct {
    char address[64];       // peer's IP address; "" if it was gone too soon
    char reason[128];       // "key is not on the list", "no CURVE handshake", ...
    fed_public_key key;     // zeros when it had none
    uint64_t n_attempts;    // this and the alike that followed before it was read
} fed_refusal;

/* Asked for every handshake, from the transport's own thread: may this key
 * talk to us?  Must not block. */
typedef bool (*fed_allow_fn)(void *ctx, const fed_public_key *key);

// bind: "tcp://*:7700" (port 0: any; see fed_link_address).  FL_ECONFLICT with
// the port when it is in use.
fl_status fed_listen(fed_link **out, const char *bind, const fed_identity *id,
                     fed_allow_fn allow, void *ctx, fl_err *err);
/* Returns at once; connects and reconnects in the background. */
fl_status fed_connect(fed_link **out, const char *address, const fed_public_key *server,
                      const fed_identity *id, fl_err *err);
/* Client: its state speaks of address, reached through proxy, instead of where it connects to. */
void fed_link_through(fed_link *l, const char *address, const char *proxy);
void fed_link_close(fed_link **l); // drops what is not sent yet after 1 s; fine on NULL
/* Server: as bound, "tcp://127.0.0.1:40123"; the loopback address stands for
 * all addresses.  Client: where it connects. */
const char *fed_link_address(const fed_link *l);

/*
 * Queues one message; to: NULL on a client's link.  Never blocks: FL_ELIMIT
 * when the peer's queue is full, FL_ENOTFOUND when the route is gone.  header
 * and payload are copied.  On a client's link up to FED_QUEUE messages wait
 * for the connection; what waited when it was lost arrives before Hello on the
 * next one.
 */
enum { FED_QUEUE = 128 };
fl_status fed_send(fed_link *l, const fed_route *to, const void *header, size_t n_header,
                   const void *payload, size_t n_payload, fl_err *err);
/* The next message if there is one now: true and *out filled in. */
bool fed_receive(fed_link *l, fed_packet *out);
/*
 * Server: ends the connection that the packet came on; what it had queued may
 * still come in.  The peer may knock again, and allow is asked again.
 */
void fed_link_expel(fed_link *l, const fed_packet *packet);
/*
 * Server: the next refused connection, if any.  Equal ones are merged while
 * they wait, at most 64 different ones wait (the rest is counted under
 * "... and others"), and after a burst of 32 about ten a second come out; so a
 * flood of strangers costs neither memory nor an endless record.
 */
bool fed_link_refusal(fed_link *l, fed_refusal *out);

/* Waits until one of the links has a message, a client's connection came or
 * went, fed_waker_wake was called, a signal came, or timeout_ms passed (-1:
 * never).  w: optional; it keeps the links, all of which are given every time, until they are
 * closed or waited for with another: who waits again and again gives one. */
typedef struct fed_waker fed_waker; // an eventfd: any thread may wake
fed_waker *fed_waker_new(void);
void fed_waker_destroy(fed_waker **w);
void fed_waker_wake(fed_waker *w);
void fed_wait(fed_link *const *links, size_t n, fed_waker *w, int timeout_ms);

/* Client: how the connection stands. */
typedef struct {
    bool is_up;            // between a completed handshake and the loss of that connection
    uint32_t n_connected;  // handshakes completed so far: a change means a new connection, on
                           // which the coordinator has not heard Hello yet
    const char *text;      // for people: "connected", "refused by the coordinator: key is not on
                           // the list", "connecting to ..."; borrowed, of this moment
} fed_link_status;
fed_link_status fed_link_look(fed_link *l);
/* One of these. */
bool fed_link_up(fed_link *l);
uint32_t fed_link_n_connected(fed_link *l);
const char *fed_link_state(fed_link *l);
/* Client: false when fed_wait found that nothing came on the link, and nothing happened to the
 * connection, since the link was last received from and looked at. */
bool fed_link_stirs(const fed_link *l);

/* In-process server and clients for tests: connect by the address that listen gave ("mem://1").
 * drop: called per message with its direction; true loses it. */
fl_status fed_listen_mem(fed_link **out, const fed_identity *id, fed_allow_fn allow, void *ctx, fl_err *err);
void fed_link_set_drop(fed_link *server, bool (*drop)(void *ctx, bool to_server), void *ctx);

#endif
