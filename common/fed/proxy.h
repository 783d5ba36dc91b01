/*
 * proxy.h - out of a hospital's network through its proxy
 *
 * HTTP CONNECT (RFC 9110, 9.3.6) with Basic credentials (RFC 7617), or SOCKS5
 * (RFC 1928) with user name and password (RFC 1929).  The proxy is told a host
 * and a port, resolves the name itself, and relays bytes that it cannot read:
 * CURVE runs end to end.  A password goes to the proxy in the clear, as these
 * protocols have it.
 * Threads: any.
 */
#ifndef FED_PROXY_H
#define FED_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { FED_HOST_BYTES = 256, FED_PORT_BYTES = 6, FED_PROXY_USER_BYTES = 128 };

typedef enum { FED_PROXY_HTTP, FED_PROXY_SOCKS5 } fed_proxy_kind;

/* Where a TCP connection goes. */
typedef struct {
    char host[FED_HOST_BYTES];  // name or address; no brackets
    char port[FED_PORT_BYTES];  // "7700"
} fed_endpoint;

typedef struct {
    fed_proxy_kind kind;
    fed_endpoint at;
    char user[FED_PROXY_USER_BYTES];  // "" = none
    char password[FED_PROXY_USER_BYTES];
} fed_proxy;

/* "tcp://HOST:PORT"; FL_ECONFIG for anything else. */
fl_status fed_endpoint_parse(fed_endpoint *out, const char *address, fl_err *err);
/* "http://[USER:PASSWORD@]HOST:PORT" or "socks5://..."; FL_ECONFIG says what was expected, without
 * the password. */
fl_status fed_proxy_parse(fed_proxy *out, const char *url, fl_err *err);
/* "http://HOST:PORT", without credentials. */
enum { FED_PROXY_NAME_BYTES = FED_HOST_BYTES + 32 };
void fed_proxy_name(char out[static FED_PROXY_NAME_BYTES], const fed_proxy *p);

/* What ends waiting early. */
typedef struct {
    int64_t until_ms;  // fl_now_ms
    int stop_fd;       // readable or closed by the other side: give up; -1 = none
} fed_patience;

/* The first address of a name.  FL_ENOTFOUND. */
enum { FED_ADDRESS_TEXT = 64 };
fl_status fed_resolve(char address[static FED_ADDRESS_TEXT], const fed_endpoint *where,
                      fl_err *err);
/* A connection to where, not blocking.  *fd is the caller's, -1 on failure.  address: optional,
 * room for FED_ADDRESS_TEXT, who was reached. */
fl_status fed_tcp_connect(int *fd, char *address, const fed_endpoint *where, fed_patience patience,
                          fl_err *err);
/* Asks the proxy at the other end of fd for a way to target.  On FL_OK what follows on fd is the
 * target's; FL_EDENIED: the proxy's refusal in words; FL_EFORMAT: it is no such proxy. */
fl_status fed_proxy_ask(int fd, const fed_proxy *p, const fed_endpoint *target,
                        fed_patience patience, fl_err *err);

#endif
