/*
 * transport_ops.h - what every transport provides behind transport.h
 *
 * Included by transport*.c only.  A transport's own struct begins with a
 * fed_link and hangs one const table into it.
 */
#ifndef FED_TRANSPORT_OPS_H
#define FED_TRANSPORT_OPS_H

#include "fed/transport.h"

enum { FED_ADDRESS_BYTES = 256, FED_SHOWN_BYTES = 2 * FED_ADDRESS_BYTES + 64 };

typedef struct {
    void (*close)(fed_link *l);  // frees l
    /* As fed_send, fed_receive, fed_link_refusal. */
    fl_status (*send)(fed_link *l, const fed_route *to, const void *header,
                      size_t n_header, const void *payload, size_t n_payload,
                      fl_err *err);
    bool (*receive)(fed_link *l, fed_packet *out);
    bool (*refusal)(fed_link *l, fed_refusal *out);  // NULL: there are none
    /* As fed_link_expel; NULL on a client's link. */
    void (*expel)(fed_link *l, const fed_packet *packet);
    /* Takes note of what happened to the connection unless l->calm; true: it
     * came or went.  Lowers *wake_ms (fl_now_ms) to when it must be asked
     * again.  NULL on a server's link. */
    bool (*look)(fed_link *l, int64_t *wake_ms);
    /* Is there a message?  Sets l->quiet when there is none. */
    bool (*has_message)(fed_link *l);
} fed_link_ops;

struct fed_link {
    const fed_link_ops *ops;
    char address[FED_ADDRESS_BYTES];
    char shown[FED_SHOWN_BYTES];  // client: the other side as people know it; "": by its address
    int fds[2];  // readable: has_message, look are worth a call; -1 = none
    bool quiet;  // there is no message unless fds[0] is readable
    bool calm;   // nothing happened to the connection unless fds[1] is readable
    bool has_news;  // the connection came or went, and nobody has looked since
    fed_waker *waker;  // whose epoll has fds; NULL: none
    size_t place;      // among those that it has
    bool is_up;            // client: as fed_link_up
    uint32_t n_connected;  // client: as fed_link_n_connected
    char state[FED_SHOWN_BYTES + 256];  // client: as fed_link_state
};

void fed_link_init(fed_link *l, const fed_link_ops *ops);

/* What happens to a client's connection. */
typedef enum {
    FED_LINK_CONNECTING,
    FED_LINK_UP,         // handshake completed
    FED_LINK_LOST,       // after it was up
    FED_LINK_NO_ANSWER,
    FED_LINK_REFUSED,    // our key
    FED_LINK_OTHER_KEY,  // the server's, or no server of ours
    FED_LINK_STRANGE,    // no server of ours
} fed_link_event;

/* Keeps is_up and n_connected, and the sentence for people. */
void fed_link_note(fed_link *l, fed_link_event event);

/* Behind fed_connect (address: fits) and fed_listen. */
fl_status fed_listen_zmq(fed_link **out, const char *bind,
                         const fed_identity *id, fed_allow_fn allow, void *ctx,
                         fl_err *err);
fl_status fed_connect_zmq(fed_link **out, const char *address,
                          const fed_public_key *server, const fed_identity *id,
                          fl_err *err);
fl_status fed_connect_mem(fed_link **out, const char *address,
                          const fed_public_key *server, const fed_identity *id,
                          fl_err *err);

#endif
