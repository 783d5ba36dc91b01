/*
 * proxy.c - see proxy.h
 *
 * Answers are read byte by byte, so that nothing of what the coordinator says
 * behind them is taken; they are short and come once a connection.
 */
#include "fed/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sys.h"

enum { MAX_ANSWER_BYTES = 8192 };  // of an HTTP answer's head

// ----------------------------------------------------------------- addresses

/* "HOST:PORT" or "[V6]:PORT". */
static bool take_endpoint(fed_endpoint *out, const char *text)
{
    const char *host = text, *end, *port;
    if (*text == '[') {
        host = text + 1;
        end = strchr(host, ']');
        port = end != NULL && end[1] == ':' ? end + 2 : NULL;
    } else {
        end = strrchr(text, ':');
        port = end != NULL && strchr(text, ':') == end ? end + 1 : NULL;
    }
    if (port == NULL || end == host || (size_t)(end - host) >= sizeof out->host) {
        return false;
    }
    size_t n_port = strlen(port);
    if (n_port == 0 || n_port >= sizeof out->port || strspn(port, "0123456789") != n_port ||
        atoi(port) < 1 || atoi(port) > 65535) {
        return false;
    }
    for (const char *c = host; c < end; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '/' || *c == '@') {
            return false;
        }
    }
    memcpy(out->host, host, (size_t)(end - host));
    out->host[end - host] = '\0';
    memcpy(out->port, port, n_port + 1);
    return true;
}

fl_status fed_endpoint_parse(fed_endpoint *out, const char *address, fl_err *err)
{
    memset(out, 0, sizeof *out);
    if (strncmp(address, "tcp://", 6) != 0 || !take_endpoint(out, address + 6)) {
        return fl_fail(err, FL_ECONFIG, "expected an address like tcp://HOST:7700, found %.300s",
                       address);
    }
    return FL_OK;
}

/* "USER:PASSWORD" */
static bool take_credentials(fed_proxy *out, const char *text, size_t n)
{
    const char *colon = memchr(text, ':', n);
    size_t n_user = colon != NULL ? (size_t)(colon - text) : 0;
    size_t n_password = colon != NULL ? n - n_user - 1 : 0;
    if (n_user == 0 || n_user >= sizeof out->user || n_password >= sizeof out->password) {
        return false;
    }
    memcpy(out->user, text, n_user);
    memcpy(out->password, colon + 1, n_password);
    return true;
}

fl_status fed_proxy_parse(fed_proxy *out, const char *url, fl_err *err)
{
    memset(out, 0, sizeof *out);
    const char *rest = NULL;
    if (strncmp(url, "http://", 7) == 0) {
        out->kind = FED_PROXY_HTTP;
        rest = url + 7;
    } else if (strncmp(url, "socks5://", 9) == 0) {
        out->kind = FED_PROXY_SOCKS5;
        rest = url + 9;
    }
    const char *at = rest != NULL ? strrchr(rest, '@') : NULL;
    bool good = rest != NULL &&
                (at == NULL || take_credentials(out, rest, (size_t)(at - rest)));
    char place[FED_HOST_BYTES + 16];
    snprintf(place, sizeof place, "%s", !good ? "" : at != NULL ? at + 1 : rest);
    size_t n = strlen(place);
    if (n > 0 && place[n - 1] == '/') {
        place[n - 1] = '\0';
    }
    if (!good || !take_endpoint(&out->at, place)) {
        sodium_memzero(out, sizeof *out);
        return fl_fail(err, FL_ECONFIG,
                       "expected http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ "
                       "before HOST where the proxy asks for them");
    }
    return FL_OK;
}

void fed_proxy_name(char out[static FED_PROXY_NAME_BYTES], const fed_proxy *p)
{
    bool v6 = strchr(p->at.host, ':') != NULL;
    snprintf(out, FED_PROXY_NAME_BYTES, "%s://%s%s%s:%s",
             p->kind == FED_PROXY_HTTP ? "http" : "socks5", v6 ? "[" : "", p->at.host,
             v6 ? "]" : "", p->at.port);
}

// ------------------------------------------------------------------- waiting

static fl_status wait_for(int fd, short events, fed_patience patience, fl_err *err)
{
    for (;;) {
        // Of a socket that we serve, its end is news; its bytes are not.
        struct pollfd fds[] = {{fd, events, 0}, {patience.stop_fd, POLLHUP | POLLERR, 0}};
        int64_t left = patience.until_ms - fl_now_ms();
        if (left <= 0) {
            return fl_fail(err, FL_EIO, "no answer");
        }
        int n = poll(fds, 2, left < INT32_MAX ? (int)left : INT32_MAX);
        if (n < 0 && errno != EINTR) {
            return fl_fail(err, FL_EIO, "waiting: %s", strerror(errno));
        }
        if (n > 0 && fds[1].revents != 0) {
            return fl_fail(err, FL_ESTOPPED, "given up");
        }
        if (n > 0 && fds[0].revents != 0) {
            return FL_OK;
        }
    }
}

static fl_status say(int fd, const void *bytes, size_t n, fed_patience patience, fl_err *err)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent >= 0) {
            at += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            fl_status st = wait_for(fd, POLLOUT, patience, err);
            if (st != FL_OK) {
                return st;
            }
        } else if (errno != EINTR) {
            return fl_fail(err, FL_EIO, "%s", strerror(errno));
        }
    }
    return FL_OK;
}

/* Exactly n bytes. */
static fl_status hear(int fd, void *bytes, size_t n, fed_patience patience, fl_err *err)
{
    uint8_t *at = bytes;
    while (n > 0) {
        ssize_t got = recv(fd, at, n, 0);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        } else if (got == 0) {
            return fl_fail(err, FL_EIO, "it ended the connection");
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            fl_status st = wait_for(fd, POLLIN, patience, err);
            if (st != FL_OK) {
                return st;
            }
        } else if (errno != EINTR) {
            return fl_fail(err, FL_EIO, "%s", strerror(errno));
        }
    }
    return FL_OK;
}

// ---------------------------------------------------------------- connecting

/* One of a name's addresses. */
static fl_status connect_one(int *out, const struct addrinfo *a, fed_patience patience, fl_err *err)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return fl_fail(err, FL_EIO, "%s", strerror(errno));
    }
    fl_status st = FL_OK;
    int why = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (why == EINPROGRESS && (st = wait_for(fd, POLLOUT, patience, err)) == FL_OK) {
        socklen_t n = sizeof why;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n);
    }
    if (st == FL_OK && why != 0) {
        st = fl_fail(err, FL_EIO, "%s", strerror(why));
    }
    if (st != FL_OK) {
        close(fd);
        return st;
    }
    *out = fd;
    return FL_OK;
}

fl_status fed_resolve(char address[static FED_ADDRESS_TEXT], const fed_endpoint *where, fl_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
    address[0] = '\0';
    int failed = getaddrinfo(where->host, where->port, &hints, &all);
    if (failed != 0) {
        return fl_fail(err, FL_ENOTFOUND, "the name %s is not known here: %s", where->host,
                       gai_strerror(failed));
    }
    getnameinfo(all->ai_addr, all->ai_addrlen, address, FED_ADDRESS_TEXT, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(all);
    return FL_OK;
}

fl_status fed_tcp_connect(int *fd, char *address, const fed_endpoint *where, fed_patience patience,
                          fl_err *err)
{
    *fd = -1;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
    int failed = getaddrinfo(where->host, where->port, &hints, &all);
    if (failed != 0) {
        return fl_fail(err, FL_ENOTFOUND, "the name %s is not known here: %s", where->host,
                       gai_strerror(failed));
    }
    fl_status st = FL_EIO;
    for (const struct addrinfo *a = all; a != NULL && *fd < 0; a = a->ai_next) {
        char text[FED_ADDRESS_TEXT] = "";
        getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        if ((st = connect_one(fd, a, patience, err)) != FL_OK) {
            st = fl_wrap(err, st, "connecting to %s port %s", text, where->port);
        } else if (address != NULL) {
            memcpy(address, text, sizeof text);
        }
        if (st == FL_ESTOPPED) {
            break;
        }
    }
    freeaddrinfo(all);
    return st;
}

// -------------------------------------------------------------- HTTP CONNECT

static void put_credentials(fl_buf *out, const fed_proxy *p)
{
    enum { BOTH = 2 * FED_PROXY_USER_BYTES };
    char both[BOTH], base64[sodium_base64_ENCODED_LEN(BOTH, sodium_base64_VARIANT_ORIGINAL)];
    int n = snprintf(both, sizeof both, "%s:%s", p->user, p->password);
    sodium_bin2base64(base64, sizeof base64, (const uint8_t *)both, (size_t)n,
                      sodium_base64_VARIANT_ORIGINAL);
    fl_buf_printf(out, "Proxy-Authorization: Basic %s\r\n", base64);
    sodium_memzero(both, sizeof both);
    sodium_memzero(base64, sizeof base64);
}

/* Head of an answer, without the empty line that ends it. */
static fl_status hear_head(char *head, size_t size, int fd, fed_patience patience, fl_err *err)
{
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n + 1 == size) {
            return fl_fail(err, FL_EFORMAT, "its answer does not end");
        }
        fl_status st = hear(fd, head + n, 1, patience, err);
        if (st != FL_OK) {
            return st;
        }
        n++;
        if (n == 5 && memcmp(head, "HTTP/", 5) != 0) {
            return fl_fail(err, FL_EFORMAT, "it does not speak HTTP");
        }
    }
    head[n - 4] = '\0';
    return FL_OK;
}

static fl_status ask_http(int fd, const fed_proxy *p, const fed_endpoint *target,
                          fed_patience patience, fl_err *err)
{
    bool v6 = strchr(target->host, ':') != NULL;
    char place[FED_HOST_BYTES + 16];
    snprintf(place, sizeof place, "%s%s%s:%s", v6 ? "[" : "", target->host, v6 ? "]" : "",
             target->port);
    fl_buf request = FL_BUF_INIT;
    fl_buf_printf(&request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", place, place);
    if (p->user[0] != '\0') {
        put_credentials(&request, p);
    }
    fl_buf_puts(&request, "\r\n");
    fl_status st = say(fd, request.data, request.n, patience, err);
    sodium_memzero(request.data, request.n);
    fl_buf_clear(&request);
    char head[MAX_ANSWER_BYTES];
    if (st != FL_OK || (st = hear_head(head, sizeof head, fd, patience, err)) != FL_OK) {
        return st;
    }
    head[strcspn(head, "\r\n")] = '\0';
    const char *code = strchr(head, ' ');
    if (code == NULL || strspn(code + 1, "0123456789") != 3) {
        return fl_fail(err, FL_EFORMAT, "it does not speak HTTP");
    }
    if (code[1] == '2') {
        return FL_OK;
    }
    for (char *c = head; *c != '\0'; c++) {
        *c = *c >= ' ' && *c < 0x7f ? *c : '?';  // it goes into a log
    }
    return fl_fail(err, FL_EDENIED, "it does not connect to %s: %.100s%s", place, code + 1,
                   strncmp(code + 1, "407", 3) != 0 ? ""
                   : p->user[0] != '\0'             ? "; is the password right?"
                                                    : "; say http://USER:PASSWORD@HOST:PORT");
}

// -------------------------------------------------------------------- SOCKS5

enum { SOCKS5 = 5, SOCKS_OPEN = 0, SOCKS_PASSWORD = 2, SOCKS_CONNECT = 1 };
enum { SOCKS_V4 = 1, SOCKS_NAME = 3, SOCKS_V6 = 4 };

static const char *socks_reason(uint8_t code)
{
    static const char *const reasons[] = {
        "granted", "general failure", "not allowed by its rules", "network unreachable",
        "host unreachable", "connection refused", "it took too long", "it does not know CONNECT",
        "it does not know this kind of address",
    };
    return code < sizeof reasons / sizeof *reasons ? reasons[code] : "no reason that has a name";
}

static void put_text(fl_buf *out, const char *text)
{
    uint8_t n = (uint8_t)strlen(text);
    fl_buf_add(out, &n, 1);
    fl_buf_add(out, text, n);
}

static fl_status greet_socks(int fd, const fed_proxy *p, fed_patience patience, fl_err *err)
{
    bool named = p->user[0] != '\0';
    const uint8_t hello[] = {SOCKS5, named ? 2 : 1, SOCKS_OPEN, SOCKS_PASSWORD};
    uint8_t answer[2];
    fl_status st;
    if ((st = say(fd, hello, named ? 4 : 3, patience, err)) != FL_OK ||
        (st = hear(fd, answer, sizeof answer, patience, err)) != FL_OK) {
        return st;
    }
    if (answer[0] != SOCKS5) {
        return fl_fail(err, FL_EFORMAT, "it does not speak SOCKS5");
    }
    if (answer[1] == SOCKS_OPEN) {
        return FL_OK;
    }
    if (answer[1] != SOCKS_PASSWORD || !named) {
        return fl_fail(err, FL_EDENIED, "it asks for %s",
                       named ? "another proof than a password"
                             : "a password; say socks5://USER:PASSWORD@HOST:PORT");
    }
    fl_buf proof = FL_BUF_INIT;
    fl_buf_add(&proof, "\1", 1);
    put_text(&proof, p->user);
    put_text(&proof, p->password);
    st = say(fd, proof.data, proof.n, patience, err);
    sodium_memzero(proof.data, proof.n);
    fl_buf_clear(&proof);
    if (st == FL_OK && (st = hear(fd, answer, sizeof answer, patience, err)) == FL_OK &&
        answer[1] != 0) {
        st = fl_fail(err, FL_EDENIED, "it does not know this user and password");
    }
    return st;
}

static fl_status ask_socks(int fd, const fed_proxy *p, const fed_endpoint *target,
                           fed_patience patience, fl_err *err)
{
    fl_status st = greet_socks(fd, p, patience, err);
    if (st != FL_OK) {
        return st;
    }
    fl_buf request = FL_BUF_INIT;
    struct in6_addr address;
    uint16_t port = htons((uint16_t)atoi(target->port));
    fl_buf_add(&request, (const uint8_t[]){SOCKS5, SOCKS_CONNECT, 0}, 3);
    if (inet_pton(AF_INET, target->host, &address) == 1) {
        fl_buf_add(&request, (const uint8_t[]){SOCKS_V4}, 1);
        fl_buf_add(&request, &address, 4);
    } else if (inet_pton(AF_INET6, target->host, &address) == 1) {
        fl_buf_add(&request, (const uint8_t[]){SOCKS_V6}, 1);
        fl_buf_add(&request, &address, 16);
    } else {
        fl_buf_add(&request, (const uint8_t[]){SOCKS_NAME}, 1);
        put_text(&request, target->host);
    }
    fl_buf_add(&request, &port, sizeof port);
    st = say(fd, request.data, request.n, patience, err);
    fl_buf_clear(&request);
    uint8_t head[4], n_name = 0, rest[UINT8_MAX + 2];
    if (st != FL_OK || (st = hear(fd, head, sizeof head, patience, err)) != FL_OK) {
        return st;
    }
    if (head[0] != SOCKS5) {
        return fl_fail(err, FL_EFORMAT, "it does not speak SOCKS5");
    }
    if (head[1] != 0) {
        return fl_fail(err, FL_EDENIED, "it does not connect to %s port %s: %s", target->host,
                       target->port, socks_reason(head[1]));
    }
    if (head[3] == SOCKS_NAME && (st = hear(fd, &n_name, 1, patience, err)) != FL_OK) {
        return st;
    }
    size_t n_address = head[3] == SOCKS_V4 ? 4 : head[3] == SOCKS_V6 ? 16 : n_name;
    if (n_address == 0) {
        return fl_fail(err, FL_EFORMAT, "it does not speak SOCKS5");
    }
    return hear(fd, rest, n_address + sizeof port, patience, err);
}

fl_status fed_proxy_ask(int fd, const fed_proxy *p, const fed_endpoint *target,
                        fed_patience patience, fl_err *err)
{
    char name[FED_PROXY_NAME_BYTES];
    fl_status st = p->kind == FED_PROXY_HTTP ? ask_http(fd, p, target, patience, err)
                                             : ask_socks(fd, p, target, patience, err);
    fed_proxy_name(name, p);
    return st == FL_OK ? st : fl_wrap(err, st, "the proxy %s", name);
}
