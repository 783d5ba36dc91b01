/*
 * fuzz_proxy.c - what a hospital's proxy answers
 *
 * The first bit chooses HTTP or SOCKS5, the second whether there is a password.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/sys.h"
#include "fed/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {"http://p:1", "socks5://p:1", "http://u:v@p:1",
                                       "socks5://u:v@p:1"};
    static const fed_endpoint target = {"c.example", "7700"};
    fed_proxy proxy;
    fl_err err = FL_ERR_INIT;
    int fds[2];
    if (size == 0 || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) {
        return 0;
    }
    FL_REQUIRE(fed_proxy_parse(&proxy, urls[data[0] % 4], &err) == FL_OK);
    FL_REQUIRE(write(fds[1], data + 1, size - 1) == (ssize_t)size - 1);
    shutdown(fds[1], SHUT_WR);
    fed_patience patience = {.until_ms = fl_now_ms() + 60000, .stop_fd = -1};
    fl_status st = fed_proxy_ask(fds[0], &proxy, &target, patience, &err);
    FL_REQUIRE((st == FL_OK) == (err.text[0] == '\0'));
    close(fds[0]);
    close(fds[1]);
    return 0;
}
