/*
 * way.h - the way out of the hospital: straight, or through its proxy
 *
 * A proxy is named in client.yaml, or for one start with --proxy.  Homes with
 * the same coordinator and proxy share one forwarder (fed/forward.h); home.dial
 * and home.via then say where the line connects to.
 */
#ifndef CLIENT_WAY_H
#define CLIENT_WAY_H

#include <stddef.h>

#include "base/err.h"
#include "client/home.h"
#include "fed/forward.h"

typedef struct {
    fed_forward **forward;  // of home i; NULL: straight, or an earlier home's
    size_t n;
} ways;

/* proxy: "http://H:P", "socks5://H:P", "none", or NULL: as each client.yaml says. */
fl_status ways_open(ways *w, home *const *homes, size_t n, const char *proxy, fl_err *err);
void ways_close(ways *w);  // after the lines; fine on {0}

/* The proxy that is meant; false: none. */
fl_status way_proxy(fed_proxy *out, bool *has_proxy, const home *h, const char *proxy,
                    fl_err *err);

#endif
