/*
 * test_proxy.c - asking a proxy for a way, byte for byte
 *
 * The proxy is the other end of a socket pair on which its whole answer lies
 * already.  tests/e2e/test_hospital_network.c goes through living ones.
 */
#include <sys/socket.h>

#include "check.h"
#include "fed/proxy.h"

static const fed_endpoint target = {"coordinator.example", "443"};

/* Asks the proxy of url, whose answer is known beforehand; what was asked goes to asked (n of them),
 * what is left of the answer is counted. */
static fl_status ask(const char *url, const void *answer, size_t n_answer, char *asked,
                     size_t *n_asked, size_t *n_left, fl_err *err)
{
    int fds[2];
    fed_proxy p;
    char rest[64];
    check_ok(fed_proxy_parse(&p, url, err), *err);
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    check_int(write(fds[1], answer, n_answer), n_answer);
    shutdown(fds[1], SHUT_WR);
    fed_patience patience = {.until_ms = fl_now_ms() + 60000, .stop_fd = -1};
    fl_status st = fed_proxy_ask(fds[0], &p, &target, patience, err);
    ssize_t got = read(fds[1], asked, 512);
    *n_asked = got > 0 ? (size_t)got : 0;
    got = read(fds[0], rest, sizeof rest);
    *n_left = got > 0 ? (size_t)got : 0;
    close(fds[0]);
    close(fds[1]);
    return st;
}

static void a_way_through_an_http_proxy(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nX: y\r\n\r\nZMTP";
    static const char expected[] = "CONNECT coordinator.example:443 HTTP/1.1\r\n"
                                   "Host: coordinator.example:443\r\n"
                                   "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
                                   "\r\n";  // RFC 7617, section 2
    char asked[512];
    size_t n_asked, n_left;
    fl_err err = FL_ERR_INIT;
    check_ok(ask("http://Aladdin:open sesame@proxy:3128", answer, sizeof answer - 1, asked,
                 &n_asked, &n_left, &err),
             err);
    check_int(n_asked, sizeof expected - 1);
    check_bytes(asked, expected, n_asked);
    check_int(n_left, 4);
}

static void a_way_through_a_socks_proxy(void **state)
{
    (void)state;
    static const char answer[] = "\5\2\1\0\5\0\0\1\12\0\0\1\4\322ZMTP";
    static const char expected[] = "\5\2\0\2"
                                   "\1\5nurse\7s3:cret"
                                   "\5\1\0\3\23coordinator.example\1\273";
    char asked[512];
    size_t n_asked, n_left;
    fl_err err = FL_ERR_INIT;
    check_ok(ask("socks5://nurse:s3:cret@proxy:1080", answer, sizeof answer - 1, asked, &n_asked,
                 &n_left, &err),
             err);
    check_int(n_asked, sizeof expected - 1);
    check_bytes(asked, expected, n_asked);
    check_int(n_left, 4);
}

static void a_refusal_is_put_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *url, *answer;
        size_t n;
        fl_status st;
        const char *text;
    } cases[] = {
        {"http://proxy:1", "HTTP/1.1 403 Forbidden\r\n\r\n", 26, FL_EDENIED,
         "the proxy http://proxy:1: it does not connect to coordinator.example:443: 403 Forbidden"},
        {"http://proxy:1", "HTTP/1.0 407 \33[31mWho\r\n\r\n", 25, FL_EDENIED, "407 ?[31mWho; say"},
        {"http://proxy:1", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 23, FL_EFORMAT, "does not speak HTTP"},
        {"http://proxy:1", "HTTP/1.1\r\n\r\n", 12, FL_EFORMAT, "does not speak HTTP"},
        {"http://proxy:1", "", 0, FL_EIO, "it ended the connection"},
        {"socks5://proxy:1", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, FL_EFORMAT, "SOCKS5"},
        {"socks5://proxy:1", "\5\377", 2, FL_EDENIED, "asks for a password; say"},
        {"socks5://proxy:1", "\5\2", 2, FL_EDENIED, "asks for a password; say"},
        {"socks5://a:b@proxy:1", "\5\2\1\1", 4, FL_EDENIED, "does not know this user"},
        {"socks5://proxy:1", "\5\0\5\5\0\1\0\0\0\0\0\0", 12, FL_EDENIED, "connection refused"},
        {"socks5://proxy:1", "\5\0\5\143\0\1\0\0\0\0\0\0", 12, FL_EDENIED, "no reason"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char asked[512];
        size_t n_asked, n_left;
        fl_err err = FL_ERR_INIT;
        fl_status st = ask(cases[i].url, cases[i].answer, cases[i].n, asked, &n_asked, &n_left,
                           &err);
        check_int(st, cases[i].st);
        check_has(err.text, cases[i].text);
    }
}

/* Every prefix and every bit-flip of good answers: refused or taken, never a crash or a hang. */
static void a_damaged_answer_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *url, *answer;
        size_t n;
    } good[] = {
        {"http://proxy:1", "HTTP/1.1 200 OK\r\n\r\n", 19},
        {"socks5://a:b@proxy:1", "\5\2\1\0\5\0\0\3\3abc\4\322", 14},
    };
    char asked[512];
    size_t n_asked, n_left;
    for (size_t k = 0; k < 2; k++) {
        char bytes[32];
        for (size_t n = 0; n < good[k].n; n++) {
            fl_err err = FL_ERR_INIT;
            check_fails(ask(good[k].url, good[k].answer, n, asked, &n_asked, &n_left, &err),
                        FL_EIO);
        }
        for (size_t bit = 0; bit < 8 * good[k].n; bit++) {
            fl_err err = FL_ERR_INIT;
            memcpy(bytes, good[k].answer, good[k].n);
            bytes[bit / 8] ^= (char)(1 << bit % 8);
            fl_status st = ask(good[k].url, bytes, good[k].n, asked, &n_asked, &n_left, &err);
            check((st == FL_OK) == (err.text[0] == '\0'));
        }
    }
    char *endless = fl_xcalloc(20000, 1);
    memset(endless, 'x', 20000);
    memcpy(endless, "HTTP/1.1 200 OK\r\n", 17);
    fl_err err = FL_ERR_INIT;
    check_fails(ask("http://proxy:1", endless, 20000, asked, &n_asked, &n_left, &err), FL_EFORMAT);
    check_has(err.text, "does not end");
    free(endless);
}

static void a_proxy_is_named_by_a_url(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "proxy:3128",           "https://proxy:3128",  "http://",
        "http://:1",  "http://proxy",         "http://proxy:",       "http://proxy:0",
        "http://proxy:65536", "http://proxy:12x", "http://@proxy:1", "http://user@proxy:1",
        "http://a b:1", "http://proxy:1/path", "socks4://proxy:1", "socks5://::1:1080",
        "http://[::1:80",
    };
    fed_proxy p;
    char name[FED_PROXY_NAME_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_err err = FL_ERR_INIT;
        if (fed_proxy_parse(&p, bad[i], &err) != FL_ECONFIG) {
            check_fail("\"%s\" is taken", bad[i]);
        }
        check_has(err.text, "expected http://HOST:PORT");
    }
    fl_err err = FL_ERR_INIT;
    check_ok(fed_proxy_parse(&p, "socks5://u:p@x:@[fe80::1]:1080/", &err), err);
    check_str(p.user, "u");
    check_str(p.password, "p@x:");
    fed_proxy_name(name, &p);
    check_str(name, "socks5://[fe80::1]:1080");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_way_through_an_http_proxy),
        cmocka_unit_test(a_way_through_a_socks_proxy),
        cmocka_unit_test(a_refusal_is_put_in_words),
        cmocka_unit_test(a_damaged_answer_is_refused),
        cmocka_unit_test(a_proxy_is_named_by_a_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
