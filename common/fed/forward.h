/*
 * forward.h - a door on the loopback address that leads through a proxy
 *
 * libzmq connects to it as to a coordinator; each connection is carried on
 * through the hospital's proxy, untouched: CURVE runs end to end.  The door
 * leads to that one address and nowhere else.  What the proxy says against it
 * is logged when it changes, and it is not asked more often than every 10 s
 * while it refuses.
 * Threads: any; the relay's own threads behind it.
 */
#ifndef FED_FORWARD_H
#define FED_FORWARD_H

#include "fed/proxy.h"

typedef struct fed_forward fed_forward;

/* address: "tcp://HOST:PORT" of the coordinator. */
fl_status fed_forward_new(fed_forward **out, const fed_proxy *proxy, const char *address,
                          fl_err *err);
void fed_forward_destroy(fed_forward **f);  // ends what it carries; fine on NULL
/* "tcp://127.0.0.1:40123" */
const char *fed_forward_address(const fed_forward *f);

#endif
