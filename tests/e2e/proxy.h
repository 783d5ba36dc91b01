/*
 * proxy.h - a TCP relay on the loopback address that keeps every byte it saw
 *
 * Who sits on the line between a hospital and the coordinator sees what this
 * sees.  Each direction of each connection is a stream of its own, so nothing
 * that was sent in one piece is torn apart by what came in between.
 * It can also be a hospital's proxy, which is asked for a way out (HTTP CONNECT,
 * SOCKS5); whatever name it is asked for, it leads to its target.
 * Threads: a proxy belongs to one thread; its own relay behind it.
 */
#ifndef PROXY_H
#define PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROXY_MAX_CONNECTIONS = 256,
    PROXY_MAX_BYTES = 32 << 20  // kept of a stream; the rest is only relayed
};

typedef struct proxy proxy;

/* Listens on a port of its own; fails the test when it cannot. */
proxy *proxy_new(void);
int proxy_port(const proxy *p);
/* Where connections go from now on; before, they are closed at once. */
void proxy_set_target(proxy *p, int port);

typedef enum { PROXY_PLAIN, PROXY_HTTP, PROXY_SOCKS5 } proxy_manner;
/* Before anything connects.  user, password: what it asks for; NULL: nothing. */
void proxy_set_manner(proxy *p, proxy_manner manner, const char *user, const char *password);
/* From now on every request is refused, or none. */
void proxy_forbid(proxy *p, bool forbid);
/* Requests so far, and "HOST:PORT" of the last good one. */
int proxy_n_asked(const proxy *p);
void proxy_asked(proxy *p, char out[static 300]);

/* Ends all connections.  The recording is complete, and may be looked at. */
void proxy_stop(proxy *p);
void proxy_destroy(proxy **p);  // fine on NULL

typedef struct {
    const uint8_t *bytes;  // borrowed until destroy
    size_t n;
    bool to_server;
    bool whole;  // nothing was left out
} proxy_stream;

size_t proxy_n_streams(const proxy *p);
proxy_stream proxy_at(const proxy *p, size_t i);

#endif
