/*
 * test_hospital_network.c - hospitals whose only way out is a proxy
 *
 * A real federation whose coordinator has a name that nobody here can look up,
 * at port 443: what gets there went through the proxies, HTTP CONNECT with a
 * password and SOCKS5, and these read nothing.  The doctor is asked at each turn.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "check.h"
#include "child.h"
#include "proxy.h"

enum { SETUP_MS = 60000, RUN_MS = 180000, SAY_MS = 30000 };

static const char address[] = "tcp://coordinator.invalid:443";
static const char *const sites[] = {"nord", "sud", "est"};

static struct {
    char *dir;
    proxy *http, *socks;
    const char *name;  // of this machine, that leads to 127.0.0.1; NULL: it has none
    char *http_url, *socks_url;
    child coordinator, client[3];
} play;

static char *in_dir(const char *name)
{
    return fl_path_join(play.dir, name);
}

// ------------------------------------------------------------ the federation

/* The `job:` part of tiny.yaml. */
static void write_job(void)
{
    fl_err err = FL_ERR_INIT;
    char *text = NULL, *path = in_dir("job.yaml");
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, "tests/e2e/tiny.yaml", 1 << 20, &err), err);
    fl_buf job = FL_BUF_INIT;
    bool inside = false;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "generate:", 9) == 0) {
            break;
        }
        if (inside) {
            fl_buf_printf(&job, "%s\n", line + 2);
        }
        inside = inside || strcmp(line, "job:") == 0;
    }
    check_ok(fl_file_write(path, job.data, job.n, 0600, &err), err);
    fl_buf_clear(&job);
    free(text);
    free(path);
}

static void join(const char *site)
{
    char *fed = in_dir("fed"), *log = in_dir("setup.log"), *home = in_dir(site),
         *name = fl_xasprintf("%s.invitation", site), *invitation = in_dir(name),
         *data = fl_xasprintf("%s/data/%s", play.dir, site);
    child_do(log, "coordinator", "invite", fed, "--site", site, "--out", invitation, NULL);
    child_do(log, "client", "join", invitation, "--home", home, "--data", data, "--approve", "all",
             NULL);
    free(fed);
    free(log);
    free(home);
    free(name);
    free(invitation);
    free(data);
}

/* As a person would edit it. */
static void set_proxy(const char *site, const char *url)
{
    fl_err err = FL_ERR_INIT;
    char *home = in_dir(site), *path = fl_path_join(home, "client.yaml"), *text = NULL, *at;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 1 << 20, &err), err);
    at = strstr(text, "\nproxy: ");
    check(at != NULL);
    char *rest = strchr(at + 1, '\n');
    char *edited = fl_xasprintf("%.*s\nproxy: %s%s", (int)(at - text), text, url, rest);
    check_ok(fl_file_write(path, edited, strlen(edited), 0600, &err), err);
    free(edited);
    free(text);
    free(path);
    free(home);
}

static void start_coordinator(const char *log_name, bool with_job)
{
    char *fed = in_dir("fed"), *job = in_dir("job.yaml"), *log = in_dir(log_name);
    child_start(&play.coordinator, "coordinator", log, "coordinator", "run", fed, "--bind",
                "tcp://127.0.0.1:0", with_job ? "--job" : NULL, job, NULL);
    check(child_says(&play.coordinator, "listening on tcp://", SETUP_MS));
    check(child_says(&play.coordinator, "\n", SETUP_MS));
    char *said = child_said(&play.coordinator);
    *strchr(strstr(said, "listening on"), '\n') = '\0';
    int port = atoi(strrchr(said, ':') + 1);
    check(port > 0);
    proxy_set_target(play.http, port);
    proxy_set_target(play.socks, port);
    free(said);
    free(fed);
    free(job);
    free(log);
}

/* A bare chroot knows not even localhost. */
static bool leads_here(const char *name)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(name, NULL, &hints, &found) != 0) {
        return false;
    }
    const struct sockaddr_in *at = (const void *)found->ai_addr;
    bool here = at->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    freeaddrinfo(found);
    return here;
}

static const char *name_of_this_machine(void)
{
    static char own[256];
    if (leads_here("localhost")) {
        return "localhost";
    }
    return gethostname(own, sizeof own - 1) == 0 && leads_here(own) ? own : NULL;
}

static int set_up(void **state)
{
    (void)state;
    play.dir = check_tmpdir();
    play.http = proxy_new();
    play.socks = proxy_new();
    proxy_set_manner(play.http, PROXY_HTTP, "nurse", "s3:cret");
    proxy_set_manner(play.socks, PROXY_SOCKS5, NULL, NULL);
    play.http_url = fl_xasprintf("http://nurse:s3:cret@127.0.0.1:%d", proxy_port(play.http));
    play.name = name_of_this_machine();
    play.socks_url = fl_xasprintf("socks5://%s:%d", play.name != NULL ? play.name : "127.0.0.1",
                                  proxy_port(play.socks));
    char *fed = in_dir("fed"), *log = in_dir("setup.log"), *data = in_dir("data");
    write_job();
    child_do(log, "coordinator", "init", fed, "--name", "proxied", "--address", address, NULL);
    child_do(log, "sim", "hospital", "--scenario", "tests/e2e/tiny.yaml", "--out", data, NULL);
    for (size_t i = 0; i < 3; i++) {
        join(sites[i]);
    }
    free(fed);
    free(log);
    free(data);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        child_clear(&play.client[i]);
    }
    child_clear(&play.coordinator);
    proxy_destroy(&play.http);
    proxy_destroy(&play.socks);
    check_rmdir(&play.dir);
    free(play.http_url);
    free(play.socks_url);
    return 0;
}

// ----------------------------------------------------------------- the doctor

/* What `client doctor` says of site's home; its exit code. */
static int ask_doctor(const char *site, const char *url, char **said)
{
    child doctor = {0};
    char *home = in_dir(site), *log = in_dir("doctor.log");
    unlink(log);
    child_start(&doctor, "doctor", log, "client", "doctor", "--home", home,
                url != NULL ? "--proxy" : NULL, url, NULL);
    check(child_wait(&doctor, SAY_MS));
    int code = doctor.exit_code;
    *said = child_said(&doctor);
    child_clear(&doctor);
    free(log);
    free(home);
    return code;
}

/* The doctor's line on what begins with this. */
static void check_line(const char *said, const char *what, const char *result, const char *text)
{
    char start[64];
    int n = snprintf(start, sizeof start, "%-11s %-5s  ", what, result);
    const char *line = said;
    while (line != NULL && strncmp(line, start, (size_t)n) != 0) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    if (line == NULL) {
        check_fail("no line \"%s\" in:\n%s", start, said);
    }
    char *one = fl_xasprintf("%.*s", (int)strcspn(line, "\n"), line);
    check_has(one, text);
    free(one);
}

static void check_doctor(const char *site, const char *url, const char *what, const char *text)
{
    char *said;
    check_int(ask_doctor(site, url, &said), 1);
    check_line(said, what, "FAILS", text);
    check(strstr(said, "s3:cret") == NULL);
    free(said);
}

// ------------------------------------------------------------------ the tests

static void a_federation_runs_through_proxies(void **state)
{
    (void)state;
    char asked[300];
    char *home[3], *log[3];
    set_proxy("sud", play.socks_url);
    set_proxy("est", play.http_url);
    start_coordinator("coordinator.log", true);
    for (size_t i = 0; i < 3; i++) {
        char *name = fl_xasprintf("%s.log", sites[i]);
        home[i] = in_dir(sites[i]);
        log[i] = in_dir(name);
        child_start(&play.client[i], sites[i], log[i], "client", "run", "--home", home[i],
                    "--once", i == 0 ? "--proxy" : NULL, play.http_url, NULL);
        free(name);
    }
    for (size_t i = 0; i < 3; i++) {
        check(child_wait(&play.client[i], RUN_MS));
        char *said = child_said(&play.client[i]);
        check_int(play.client[i].exit_code, 0);
        check_has(said, "coordinator.invalid:443 through");
        check(strstr(said, "s3:cret") == NULL);
        free(said);
        free(home[i]);
        free(log[i]);
    }
    check(child_wait(&play.coordinator, SAY_MS));
    check_int(play.coordinator.exit_code, 0);
    proxy_asked(play.http, asked);
    check_str(asked, "coordinator.invalid:443");
    proxy_asked(play.socks, asked);
    check_str(asked, "coordinator.invalid:443");
    check(proxy_n_asked(play.http) >= 4 && proxy_n_asked(play.socks) >= 2);  // enrolled, then again
}

static void the_doctor_finds_all_well(void **state)
{
    (void)state;
    char *said;
    child_clear(&play.coordinator);
    start_coordinator("coordinator-2.log", false);
    check_int(ask_doctor("sud", NULL, &said), 0);
    check_line(said, "route", "ok", "answers after");
    check_line(said, "proxy", "ok", "connects to coordinator.invalid port 443");
    check_line(said, "handshake", "ok", "CURVE, the coordinator has the expected key");
    check_line(said, "clock", "ok", "the coordinator's");
    check_line(said, "protocol", "ok", "knows this site as sud");
    check_line(said, "disk", "ok", "GB are free");
    check_line(said, "jit", "ok", "allowed");
    free(said);
}

static void it_looks_up_the_proxys_name(void **state)
{
    (void)state;
    char *said;
    if (play.name == NULL) {
        check_skip("no name leads to 127.0.0.1 here, neither localhost nor this machine's own");
    }
    check_int(ask_doctor("sud", NULL, &said), 0);
    char *line = fl_xasprintf("the proxy %s is ", play.name);
    check_line(said, "name", "ok", line);
    free(line);
    free(said);
}

static void it_leaves_a_running_client_alone(void **state)
{
    (void)state;
    char *said, *home = in_dir("est"), *log = in_dir("est-2.log");
    child_clear(&play.client[2]);
    child_start(&play.client[2], "est", log, "client", "run", "--home", home, NULL);
    check(child_says(&play.client[2], "connected", SAY_MS));
    check_int(ask_doctor("est", NULL, &said), 0);
    check_line(said, "handshake", "ok", "expected key");
    check_line(said, "clock", "-", "a client serves this home now");
    free(said);
    check(!child_ended(&play.client[2]));
    child_clear(&play.client[2]);
    free(home);
    free(log);
}

static void it_names_what_fails(void **state)
{
    (void)state;
    char url[64];
    check_doctor("nord", NULL, "name", "coordinator.invalid");
    snprintf(url, sizeof url, "http://127.0.0.1:%d", proxy_port(play.http));
    check_doctor("nord", url, "proxy", "407");
    snprintf(url, sizeof url, "http://nurse:wrong@127.0.0.1:%d", proxy_port(play.http));
    check_doctor("nord", url, "proxy", "is the password right?");
    check_doctor("nord", "http://127.0.0.1:1", "route", "refused");
    check_doctor("nord", "http://proxy.invalid:3128", "name", "proxy.invalid");
    proxy_forbid(play.http, true);
    proxy_forbid(play.socks, true);
    check_doctor("nord", play.http_url, "proxy", "403 Forbidden");
    check_doctor("nord", play.socks_url, "proxy", "not allowed by its rules");
    proxy_forbid(play.http, false);
    proxy_forbid(play.socks, false);
}

static void a_removed_site_is_told_so(void **state)
{
    (void)state;
    char *fed = in_dir("fed"), *log = in_dir("setup.log");
    child_do(log, "coordinator", "remove", fed, "nord", NULL);
    char *said = NULL;
    int64_t until = fl_now_ms() + SAY_MS;  // the running coordinator looks once a second
    while (ask_doctor("nord", play.socks_url, &said) == 0 && fl_now_ms() < until) {
        free(said);
    }
    check_line(said, "handshake", "FAILS", "key is not on the list");
    free(said);
    free(fed);
    free(log);
}

static void a_client_waits_while_its_proxy_refuses(void **state)
{
    (void)state;
    char *home = in_dir("sud"), *log = in_dir("sud-2.log");
    proxy_forbid(play.socks, true);
    int before = proxy_n_asked(play.socks);
    child_clear(&play.client[1]);
    child_start(&play.client[1], "sud", log, "client", "run", "--home", home, NULL);
    check(child_says(&play.client[1], "does not connect to coordinator.invalid port 443: not "
                                      "allowed by its rules",
                     SAY_MS));
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    check(proxy_n_asked(play.socks) - before <= 5);  // it is not hammered
    proxy_forbid(play.socks, false);
    check(child_says(&play.client[1], "connected", SAY_MS));
    free(home);
    free(log);
}

#ifndef PR_SET_MDWE  // Linux 6.3
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* As under a systemd unit with MemoryDenyWriteExecute.  For good: the tests behind this one start
 * nothing. */
static void without_code_at_run_time_only_the_client_suffers(void **state)
{
    (void)state;
    child_clear(&play.client[1]);
    child_clear(&play.coordinator);
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0) {
        check_skip("this kernel cannot forbid it (prctl PR_SET_MDWE)");
    }
    start_coordinator("coordinator-3.log", false);
    check_doctor("sud", NULL, "jit", "forbids code that is made at run time");
}

static void no_byte_is_readable(void **state)
{
    (void)state;
    child_clear(&play.client[1]);
    proxy_stop(play.http);
    proxy_stop(play.socks);
    size_t n_bytes = 0;
    for (size_t i = 0; i < proxy_n_streams(play.http); i++) {
        proxy_stream s = proxy_at(play.http, i);
        n_bytes += s.n;
        for (size_t at = 0; at + 5 < s.n; at++) {
            check(memcmp(s.bytes + at, "opacity", 5) != 0);  // the job's text
        }
        check(s.n < 20 || memcmp(s.bytes + 12, "CURVE", 5) == 0);  // the greeting, untouched
    }
    check(n_bytes > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_federation_runs_through_proxies),
        cmocka_unit_test(the_doctor_finds_all_well),
        cmocka_unit_test(it_looks_up_the_proxys_name),
        cmocka_unit_test(it_leaves_a_running_client_alone),
        cmocka_unit_test(it_names_what_fails),
        cmocka_unit_test(a_removed_site_is_told_so),
        cmocka_unit_test(a_client_waits_while_its_proxy_refuses),
        cmocka_unit_test(without_code_at_run_time_only_the_client_suffers),
        cmocka_unit_test(no_byte_is_readable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
