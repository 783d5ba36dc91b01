/*
 * test_strangers.c - who is not invited is refused and recorded, and learns nothing
 *
 * One real federation of three hospitals plays while strangers try to get in.
 * The hospitals' traffic passes a proxy that keeps every byte.  All of it
 * happens once, before the tests; the tests look at what came of it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include <zmq.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"
#include "check.h"
#include "child.h"
#include "fed/msg.h"
#include "fed/transport.h"
#include "proxy.h"

enum {
    N_SITES = 3,
    N_ROUNDS = 3,         // as in tiny.yaml
    SETUP_MS = 60000,     // a program that only writes files, on a busy machine
    STRANGER_MS = 30000,  // for a stranger to be told
    SILENCE_MS = 500,     // how long a stranger listens for an answer
    RUN_MS = 180000,
    WINDOW = 32,  // bytes of a tensor that would count as readable
    MAX_FILE_BYTES = 64 << 20,
};

/* Long enough not to turn up in random bytes by chance. */
static const char federation_name[] = "lungs-of-the-east";
static const char job_name[] = "chest-on-the-wire";
static const char *const site_names[N_SITES] = {"nordklinik", "sudklinik", "estklinik"};
static const char *const data_names[N_SITES] = {"nord", "sud", "est"};  // in tiny.yaml

/* What happened, for the tests to look at. */
static struct {
    char *dir;  // everything lies under it
    char *job;  // text of job.yaml
    proxy *proxy;
    int port;  // the coordinator's own
    child coordinator, client[N_SITES], forger;
    fed_public_key coordinator_key;
    size_t junk_bytes;                               // most that a raw connection was told
    bool plain_heard, unlisted_heard, astray_heard;  // a message came to them
    char unlisted_state[160], astray_state[160];
    int thief_code, late_code, bare_code;
    char *thief_said, *late_said, *bare_said, *forger_said;
    char one_time_answer[3][256];  // to Hello, Fetch and Offer
    int slow;                      // a connection that greets and then says nothing
} play;

static char *in_dir(const char *name)
{
    return fl_path_join(play.dir, name);
}

static void write_text(const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = in_dir(name);
    check_ok(fl_file_write(path, text, strlen(text), 0600, &err), err);
    free(path);
}

// ------------------------------------------------------------ the federation

/* The `job:` part of tiny.yaml, under a name of its own. */
static void write_job(void)
{
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, "tests/e2e/tiny.yaml", 1 << 20, &err), err);
    fl_buf job = FL_BUF_INIT;
    bool inside = false;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "generate:", 9) == 0) {
            break;
        }
        if (inside && strcmp(line, "  name: tiny") == 0) {
            fl_buf_printf(&job, "name: %s\n", job_name);
        } else if (inside) {
            fl_buf_printf(&job, "%s\n", line + 2);
        }
        inside = inside || strcmp(line, "job:") == 0;
    }
    free(text);
    play.job = fl_buf_take(&job);
    check_has(play.job, job_name);
    write_text("job.yaml", play.job);
}

static void invite(const char *site, const char *days)
{
    char *fed = in_dir("fed"), *log = in_dir("setup.log"),
         *name = fl_xasprintf("%s.invitation", site), *out = in_dir(name);
    child_do(log, "coordinator", "invite", fed, "--site", site, "--out", out, "--days", days, NULL);
    free(fed);
    free(log);
    free(name);
    free(out);
}

static void join(const char *invitation, const char *home_name, const char *data_name)
{
    char *inv = in_dir(invitation), *home = in_dir(home_name), *log = in_dir("setup.log");
    char *data = fl_xasprintf("%s/data/%s", play.dir, data_name);
    child_do(log, "client", "join", inv, "--home", home, "--data", data, "--approve", "all", NULL);
    free(inv);
    free(home);
    free(log);
    free(data);
}

static void start_client(child *out, const char *home_name)
{
    char *home = in_dir(home_name), *log_name = fl_xasprintf("%s.log", home_name),
         *log = in_dir(log_name);
    child_start(out, home_name, log, "client", "run", "--home", home, "--once", NULL);
    free(home);
    free(log_name);
    free(log);
}

/* The holder of an invitation changes the date in it: the file is not what
 * counts. */
static void postpone(const char *invitation)
{
    static const char key[] = "expires: \"";
    fl_err err = FL_ERR_INIT;
    char *path = in_dir(invitation), *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, MAX_FILE_BYTES, &err), err);
    char *at = strstr(text, key);
    check(at != NULL);
    memcpy(at + strlen(key), "2099", 4);
    write_text(invitation, text);
    free(text);
    free(path);
}

static void found_federation(void)
{
    char *fed = in_dir("fed"), *log = in_dir("setup.log"), *data = in_dir("data");
    char *address = fl_xasprintf("tcp://127.0.0.1:%d", proxy_port(play.proxy));
    child_do(log, "coordinator", "init", fed, "--name", federation_name, "--address", address,
             NULL);
    invite("lateklinik", "0.000001");  // a tenth of a second
    for (int i = 0; i < N_SITES; i++) {
        invite(site_names[i], "1");
    }
    child_do(log, "sim", "hospital", "--scenario", "tests/e2e/tiny.yaml", "--out", data, NULL);
    for (int i = 0; i < N_SITES; i++) {
        char *invitation = fl_xasprintf("%s.invitation", site_names[i]);
        join(invitation, site_names[i], data_names[i]);
        free(invitation);
    }
    postpone("lateklinik.invitation");
    join("lateklinik.invitation", "late", "est");
    free(fed);
    free(log);
    free(data);
    free(address);
}

static void start_coordinator(void)
{
    char *fed = in_dir("fed"), *job = in_dir("job.yaml"), *log = in_dir("coordinator.log");
    child_start(&play.coordinator, "coordinator", log, "coordinator", "run", fed, "--job", job,
                "--bind", "tcp://127.0.0.1:0", NULL);
    check(child_says(&play.coordinator, "\nrun ", SETUP_MS));
    char *said = child_said(&play.coordinator), *colon;
    *strchr(said, '\n') = '\0';  // "listening on tcp://127.0.0.1:PORT"
    check_has(said, "listening on tcp://");
    colon = strrchr(said, ':');
    play.port = atoi(colon + 1);
    check(play.port > 0);
    proxy_set_target(play.proxy, play.port);
    free(said);
    free(fed);
    free(job);
    free(log);
}

// ------------------------------------------------- strangers with raw sockets

/* A connection to the coordinator whose reads end after SILENCE_MS. */
static int dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)play.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_usec = SILENCE_MS * 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* How many bytes come before the other side closes or falls silent. */
static size_t listen_to(int fd)
{
    char block[4096];
    size_t all = 0;
    ssize_t n;
    while ((n = recv(fd, block, sizeof block, 0)) > 0) {
        all += (size_t)n;
    }
    return all;
}

/* ZMTP 3.1's greeting (RFC 37) of a CURVE client. */
static void fill_greeting(uint8_t greeting[static 64])
{
    memset(greeting, 0, 64);
    greeting[0] = 0xff;
    greeting[8] = 1;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    memcpy(greeting + 12, "CURVE", 5);
}

static void send_junk(const void *bytes, size_t n)
{
    int fd = dial();
    check(fd >= 0);
    (void)send(fd, bytes, n, MSG_NOSIGNAL);
    size_t told = listen_to(fd);
    play.junk_bytes = told > play.junk_bytes ? told : play.junk_bytes;
    close(fd);
}

static void try_junk(void)
{
    static const char http[] = "GET /federation.db HTTP/1.1\r\nHost: coordinator\r\n\r\n";
    uint8_t bytes[4096];
    fl_rng rng;
    fl_rng_init(&rng, 1, "junk", "", 0);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)fl_rng_u64(&rng);
    }
    bytes[0] = 'x';
    send_junk(bytes, sizeof bytes);
    send_junk(http, strlen(http));
    uint8_t greeting[64 + 8];  // and a command that CURVE does not know
    fill_greeting(greeting);
    memcpy(greeting + 64, "\x04\x06\x05HOLLA", 8);
    send_junk(greeting, sizeof greeting);
    // This one greets and then holds the line; nobody waits for it.
    play.slow = dial();
    check(play.slow >= 0);
    check_int(send(play.slow, greeting, 64, MSG_NOSIGNAL), 64);
}

// --------------------------------------------------- strangers with ZMQ sockets

static void pack_hello(fl_buf *out)
{
    fed_msg m = {.type = FED_MSG_HELLO};
    snprintf(m.u.hello.software, sizeof m.u.hello.software, "stranger 1.0");
    fed_msg_pack(&m, out);
}

/* A ZMQ socket as anyone would open it: no keys, no CURVE. */
static void try_plain_socket(void)
{
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", play.port);
    void *context = zmq_ctx_new(), *socket_ = zmq_socket(context, ZMQ_DEALER);
    int none = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof none);
    check_int(zmq_connect(socket_, address), 0);
    fl_buf hello = FL_BUF_INIT;
    pack_hello(&hello);
    zmq_send(socket_, "let me in", 9, ZMQ_DONTWAIT);
    zmq_send(socket_, hello.data, hello.n, ZMQ_DONTWAIT);
    zmq_pollitem_t item = {socket_, 0, ZMQ_POLLIN, 0};
    play.plain_heard = zmq_poll(&item, 1, SILENCE_MS) > 0;
    zmq_close(socket_);
    zmq_ctx_term(context);
    fl_buf_clear(&hello);
}

/* With CURVE and keys of its own; says Hello until it is told off.  part: what
 * its link says of itself in the end. */
static void try_keys(const fed_public_key *server, const char *part, char state[static 160],
                     bool *heard)
{
    fl_err err = FL_ERR_INIT;
    char address[64];
    fed_link *link = NULL;
    fl_buf hello = FL_BUF_INIT;
    fed_packet packet;
    fed_identity *id = fed_identity_new();
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", play.port);
    pack_hello(&hello);
    check_ok(fed_connect(&link, address, server, id, &err), err);
    check_ok(fed_send(link, NULL, hello.data, hello.n, NULL, 0, &err), err);
    for (int64_t until = fl_now_ms() + STRANGER_MS; fl_now_ms() < until;) {
        fed_wait(&link, 1, NULL, 50);
        *heard = *heard || fed_receive(link, &packet);
        if (strstr(fed_link_state(link), part) != NULL) {
            break;
        }
    }
    snprintf(state, 160, "%s", fed_link_state(link));
    fed_link_close(&link);
    fed_identity_destroy(&id);
    fl_buf_clear(&hello);
}

/* Says one thing and keeps the answer: a Refused's text, else its kind; "" when
 * there is none. */
static void ask(fed_link *link, const fed_msg *m, int timeout_ms, char answer[static 256])
{
    fl_err err = FL_ERR_INIT;
    fl_buf bytes = FL_BUF_INIT;
    fed_packet packet;
    fed_msg got;
    fed_msg_pack(m, &bytes);
    check_ok(fed_send(link, NULL, bytes.data, bytes.n, NULL, 0, &err), err);
    fl_buf_clear(&bytes);
    answer[0] = '\0';
    for (int64_t until = fl_now_ms() + timeout_ms; fl_now_ms() < until;) {
        fed_wait(&link, 1, NULL, 50);
        if (fed_receive(link, &packet)) {
            check_ok(fed_msg_unpack(&got, packet.header, packet.n_header, &err), err);
            snprintf(answer, 256, "%.255s",
                     got.type == FED_MSG_REFUSED ? got.u.refused.text : fed_msg_name(got.type));
            return;
        }
    }
}

/* The one-time key of a used invitation still opens the door; behind it there
 * is only the enrolment desk. */
static void try_one_time_key(const char *invitation)
{
    fl_err err = FL_ERR_INIT;
    fed_invitation inv;
    fed_link *link = NULL;
    char *path = in_dir(invitation), address[64];
    check_ok(fed_invitation_read(&inv, path, &err), err);
    play.coordinator_key = inv.coordinator_curve;
    fed_identity *id = fed_identity_one_time(inv.curve_secret);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", play.port);
    check_ok(fed_connect(&link, address, &inv.coordinator_curve, id, &err), err);
    fed_msg m = {.type = FED_MSG_HELLO};
    ask(link, &m, STRANGER_MS, play.one_time_answer[0]);
    m = (fed_msg){.type = FED_MSG_FETCH};
    fed_job_digest(&m.u.fetch.object, play.job, strlen(play.job));
    m.u.fetch.count = 1;
    ask(link, &m, SILENCE_MS, play.one_time_answer[1]);
    m = (fed_msg){.type = FED_MSG_OFFER};
    m.u.offer.key.kind = FED_TRAIN;
    m.u.offer.key.round.n = 1;
    fed_job_digest(&m.u.offer.key.job, play.job, strlen(play.job));
    fed_job_digest(&m.u.offer.digest, "x", 1);
    fed_site_id_parse(&m.u.offer.site, site_names[0], NULL);
    ask(link, &m, SILENCE_MS, play.one_time_answer[2]);
    fed_link_close(&link);
    fed_identity_destroy(&id);
    fed_invitation_clear(&inv);
    free(path);
}

// -------------------------------------------------- strangers with real clients

static int run_client(const char *home, char **said)
{
    child c;
    start_client(&c, home);
    child_wait(&c, STRANGER_MS);
    *said = child_said(&c);
    child_clear(&c);
    return c.exit_code;
}

static void remove_file(const char *name)
{
    char *path = in_dir(name);
    check_int(unlink(path), 0);
    free(path);
}

static void try_clients(void)
{
    char used[64];
    snprintf(used, sizeof used, "%s.invitation", site_names[0]);
    join(used, "thief", "nord");  // own keys, another's invitation
    play.thief_code = run_client("thief", &play.thief_said);
    play.late_code = run_client("late", &play.late_said);
    // Pretends to be enrolled; tries for as long as the run takes.
    remove_file("thief/keys/invitation.yaml");
    start_client(&play.forger, "thief");
    child_says(&play.forger, "key is not on the list", STRANGER_MS);
    join(used, "bare", "nord");
    remove_file("bare/keys/curve.key");
    play.bare_code = run_client("bare", &play.bare_said);
}

// ---------------------------------------------------------- while the run runs

static atomic_bool calm;

/* Strangers that do not give up. */
static void *keep_knocking(void *arg)
{
    (void)arg;
    fl_err err = FL_ERR_INIT;
    fl_buf hello = FL_BUF_INIT;
    fed_link *link = NULL;
    fed_identity *id = fed_identity_new();
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", play.port);
    pack_hello(&hello);
    void *context = zmq_ctx_new(), *plain = zmq_socket(context, ZMQ_DEALER);
    int none = 0;
    zmq_setsockopt(plain, ZMQ_LINGER, &none, sizeof none);
    zmq_connect(plain, address);
    if (fed_connect(&link, address, &play.coordinator_key, id, &err) != FL_OK) {
        return NULL;
    }
    while (!atomic_load(&calm)) {
        int fd = dial();
        if (fd >= 0) {
            (void)send(fd, hello.data, hello.n, MSG_NOSIGNAL);
            close(fd);
        }
        zmq_send(plain, hello.data, hello.n, ZMQ_DONTWAIT);
        fed_send(link, NULL, hello.data, hello.n, NULL, 0, &err);
        fed_wait(&link, 1, NULL, 100);
        fed_packet packet;
        play.unlisted_heard = play.unlisted_heard || fed_receive(link, &packet);
    }
    zmq_close(plain);
    zmq_ctx_term(context);
    fed_link_close(&link);
    fed_identity_destroy(&id);
    fl_buf_clear(&hello);
    return NULL;
}

/* Gives every file of a site's outbox a second name, under which it stays. */
static void keep_outbox(const char *site)
{
    char *outbox = fl_xasprintf("%s/%s/outbox", play.dir, site), **names = NULL;
    size_t n = 0;
    if (fl_is_dir(outbox) && fl_list_dir(&names, &n, outbox, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            char *from = fl_path_join(outbox, names[i]),
                 *to = fl_xasprintf("%s/kept/%s-%s", play.dir, site, names[i]);
            if (link(from, to) != 0) {
                // kept already, or gone again
            }
            free(from);
            free(to);
        }
    }
    fl_names_free(&names, n);
    free(outbox);
}

static void wait_for_the_end(void)
{
    int64_t until = fl_now_ms() + RUN_MS;
    while (!child_ended(&play.coordinator) && fl_now_ms() < until) {
        for (int i = 0; i < N_SITES; i++) {
            keep_outbox(site_names[i]);
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

static int play_once(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    pthread_t knocking;
    fed_init();
    play.dir = check_tmpdir();
    char *kept = in_dir("kept");
    check_ok(fl_mkdirs(kept, 0700, &err), err);
    free(kept);
    play.proxy = proxy_new();
    write_job();
    found_federation();
    start_coordinator();
    for (int i = 0; i < 2; i++) {
        start_client(&play.client[i], site_names[i]);
        check(child_says(&play.client[i], "session.enrolled", SETUP_MS));
    }
    // The third hospital is late: until it is there, the run cannot be over.
    char used[64];
    snprintf(used, sizeof used, "%s.invitation", site_names[0]);
    try_one_time_key(used);
    try_junk();
    try_plain_socket();
    fed_identity *other = fed_identity_new();
    fed_public_key astray = fed_identity_public(other);
    fed_identity_destroy(&other);
    try_keys(&play.coordinator_key, "not on the list", play.unlisted_state, &play.unlisted_heard);
    try_keys(&astray, "failed", play.astray_state, &play.astray_heard);
    try_clients();
    check(!child_ended(&play.coordinator));
    check_int(pthread_create(&knocking, NULL, keep_knocking, NULL), 0);
    start_client(&play.client[2], site_names[2]);
    wait_for_the_end();
    for (int i = 0; i < N_SITES; i++) {
        child_wait(&play.client[i], STRANGER_MS);
    }
    atomic_store(&calm, true);
    pthread_join(knocking, NULL);
    play.forger_said = child_said(&play.forger);
    proxy_stop(play.proxy);
    return 0;
}

static int clear_play(void **state)
{
    (void)state;
    child_clear(&play.coordinator);
    child_clear(&play.forger);
    for (int i = 0; i < N_SITES; i++) {
        child_clear(&play.client[i]);
    }
    close(play.slow);
    proxy_destroy(&play.proxy);
    free(play.thief_said);
    free(play.late_said);
    free(play.bare_said);
    free(play.forger_said);
    free(play.job);
    if (getenv("KEEP") == NULL) {
        check_rmdir(&play.dir);
    }
    free(play.dir);
    return 0;
}

// ------------------------------------------------------------ what came of it

static json_t *read_report(void)
{
    fl_err err = FL_ERR_INIT;
    json_t *report = NULL;
    char *path = fl_xasprintf("%s/fed/runs/%s/report/report.json", play.dir, job_name);
    check_ok(fl_json_read(&report, path, MAX_FILE_BYTES, &err), err);
    free(path);
    return report;
}

static void the_run_goes_on_with_its_three_hospitals(void **state)
{
    (void)state;
    char *said = child_said(&play.coordinator);
    if (!child_ended(&play.coordinator) || play.coordinator.exit_code != 0) {
        check_fail("the coordinator %s: %s",
                   child_ended(&play.coordinator) ? "failed" : "did not end", said);
    }
    free(said);
    for (int i = 0; i < N_SITES; i++) {
        check(child_ended(&play.client[i]));
        check_int(play.client[i].exit_code, 0);
    }
    json_t *report = read_report(), *rounds = json_object_get(report, "rounds"), *round;
    size_t i;
    check_int(json_array_size(rounds), N_ROUNDS);
    json_array_foreach(rounds, i, round)
    {
        check_int(json_array_size(json_object_get(round, "participants")), N_SITES);
        check_int(json_array_size(json_object_get(round, "absent")), 0);
    }
    json_decref(report);
}

static void who_has_no_key_gets_no_word(void **state)
{
    (void)state;
    check(!play.plain_heard);
    check(!play.unlisted_heard);
    check(!play.astray_heard);
    // A raw connection sees the greeting that any ZMTP server sends, no more.
    check(play.junk_bytes <= 64);
    check_has(play.unlisted_state, "refused by the coordinator: key is not on the list");
    check_has(play.astray_state, "failed");
}

static void clients_that_are_not_invited_are_told_why(void **state)
{
    (void)state;
    check_int(play.thief_code, 1);
    check_has(play.thief_said, "this invitation was used already, with other keys");
    check_int(play.late_code, 1);
    check_has(play.late_said, "this invitation expired on 20");
    check_has(play.forger_said, "key is not on the list");
    check(!child_ended(&play.forger));  // it goes on trying: a person may confirm it yet
    check_int(play.bare_code, 1);
    check_has(play.bare_said, "curve.key");
    // Neither of them has anything of the run.
    static const char *const homes[] = {"thief/runs", "late/runs", "bare/runs"};
    for (int i = 0; i < 3; i++) {
        char *runs = in_dir(homes[i]), **names = NULL;
        size_t n = 0;
        if (fl_is_dir(runs)) {
            fl_list_dir(&names, &n, runs, NULL);
        }
        check_int(n, 0);
        fl_names_free(&names, n);
        free(runs);
    }
}

static void a_one_time_key_may_only_enrol(void **state)
{
    (void)state;
    check_str(play.one_time_answer[0], "a one-time key may only enrol");
    for (int i = 1; i < 3; i++) {  // who goes on is not answered every time
        if (play.one_time_answer[i][0] != '\0') {
            check_str(play.one_time_answer[i], "a one-time key may only enrol");
        }
    }
}

/* How often the report says so; what and reason: how they begin. */
static int64_t refusals(const json_t *report, const char *what, const char *reason,
                        const char *address)
{
    const json_t *list = json_object_get(json_object_get(report, "security"), "refusals"), *r;
    int64_t n = 0;
    size_t i;
    json_array_foreach(list, i, r)
    {
        check(fl_json_get_string(r, "time", NULL) != NULL);
        if (strcmp(fl_json_get_string(r, "what", ""), what) == 0 &&
            strncmp(fl_json_get_string(r, "reason", ""), reason, strlen(reason)) == 0 &&
            strcmp(fl_json_get_string(r, "address", ""), address) == 0) {
            n += fl_json_get_int(r, "count", 0);
        }
    }
    return n;
}

static void every_refusal_is_in_the_report(void **state)
{
    (void)state;
    static const struct {
        const char *what, *reason, *address;
        int64_t least;
    } expected[] = {
        {"connection", "no CURVE handshake", "127.0.0.1", 3},  // junk, HTTP, plain ZMQ
        {"connection", "malformed handshake", "127.0.0.1", 1},
        {"connection", "handshake for another server's key", "127.0.0.1", 1},
        {"connection", "key is not on the list", "127.0.0.1", 2},
        {"enrol", "this invitation was used already, with other keys", "invitation of nordklinik",
         1},
        {"enrol", "this invitation expired on ", "invitation of lateklinik", 1},
        {"message", "a one-time key may only enrol", "invitation", 3},
    };
    json_t *report = read_report();
    char *text = fl_json_text(json_object_get(report, "security"));
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int64_t n = refusals(report, expected[i].what, expected[i].reason, expected[i].address);
        if (n < expected[i].least) {
            check_fail("%s: %s: expected at least %lld, found %lld in %s", expected[i].what,
                       expected[i].reason, (long long)expected[i].least, (long long)n, text);
        }
    }
    free(text);
    json_decref(report);
}

static void the_list_of_sites_is_as_it_was(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *fed = in_dir("fed"), *log = in_dir("sites.json");
    json_t *sites = NULL, *site;
    size_t i;
    child_do(log, "coordinator", "sites", fed, "--json", NULL);
    check_ok(fl_json_read(&sites, log, 1 << 20, &err), err);
    check_int(json_array_size(sites), N_SITES);
    json_array_foreach(sites, i, site)
    {
        check_str(fl_json_get_string(site, "status", ""), "enrolled");
        bool known = false;
        for (int k = 0; k < N_SITES; k++) {
            known = known || strcmp(fl_json_get_string(site, "name", ""), site_names[k]) == 0;
        }
        check(known);
    }
    json_decref(sites);
    free(fed);
    free(log);
}

// ---------------------------------------------------------------- on the wire

/* How often the bytes were seen, in either direction. */
static size_t n_seen(const void *bytes, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < proxy_n_streams(play.proxy); i++) {
        proxy_stream s = proxy_at(play.proxy, i);
        const uint8_t *at = s.bytes, *end = s.bytes + s.n;
        while (s.n > 0 && (at = memchr(at, *(const uint8_t *)bytes, (size_t)(end - at))) != NULL) {
            found += (size_t)(end - at) >= n && memcmp(at, bytes, n) == 0;
            at++;
        }
    }
    return found;
}

static void check_not_seen(const char *text)
{
    if (n_seen(text, strlen(text)) > 0) {
        check_fail("\"%s\" is readable on the wire", text);
    }
}

static void everything_passed_the_proxy(void **state)
{
    (void)state;
    size_t up = 0, down = 0;
    for (size_t i = 0; i < proxy_n_streams(play.proxy); i++) {
        proxy_stream s = proxy_at(play.proxy, i);
        check(s.whole);
        *(s.to_server ? &up : &down) += s.n;
    }
    // At least a model each way for every site and round.
    json_t *report = read_report();
    size_t model = 4 * (size_t)fl_json_get_int(json_object_get(report, "model"), "parameters", 0);
    check(model > 10000);
    check(up > N_SITES * N_ROUNDS * model);
    check(down > N_SITES * N_ROUNDS * model);
    json_decref(report);
    // The search works: what CURVE says in the clear is found.
    check(n_seen("\x03\x01"
                 "CURVE\0\0\0",
                 10) >= 2 * N_SITES);
    check(n_seen("\x05HELLO", 6) >= N_SITES);
    check(n_seen("\x07WELCOME", 8) >= N_SITES);
}

static void no_name_is_readable(void **state)
{
    (void)state;
    check_not_seen(federation_name);
    check_not_seen(job_name);
    for (int i = 0; i < N_SITES; i++) {
        check_not_seen(site_names[i]);
    }
    static const char *const words[] = {
        "opacity",     "normal",       "scanner", "consilium", "conv.weight", "this invitation",
        "sensitivity", "Content-Type", "DEALER",  "ROUTER",    "Identity",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        check_not_seen(words[i]);
    }
    char *job = fl_xstrdup(play.job);
    for (char *line = strtok(job, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strlen(line) >= 8) {
            check_not_seen(line);
        }
    }
    free(job);
}

/* Windows of a file's bytes, found by their first eight. */
typedef struct {
    const uint8_t **slot;
    size_t n_slots;  // a power of two
} window_set;

static size_t slot_of(const window_set *w, const uint8_t *bytes)
{
    uint64_t head;
    memcpy(&head, bytes, sizeof head);
    return (size_t)((head * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (w->n_slots - 1);
}

/* Almost one byte all along says nothing: greetings are padded with zeros, and
 * so are updates of units that never fired. */
static bool is_telling(const uint8_t *bytes)
{
    bool seen[256] = {false};
    int n_different = 0;
    for (int i = 0; i < WINDOW; i++) {
        n_different += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return n_different >= 8;
}

static window_set window_set_new(const uint8_t *bytes, size_t n)
{
    window_set w = {.n_slots = 1};
    while (w.n_slots < n) {
        w.n_slots *= 2;
    }
    w.slot = fl_xcalloc(w.n_slots, sizeof *w.slot);
    for (size_t at = 0; at + WINDOW <= n; at += 4) {
        size_t slot = slot_of(&w, bytes + at);
        while (w.slot[slot] != NULL && memcmp(w.slot[slot], bytes + at, WINDOW) != 0) {
            slot = (slot + 1) & (w.n_slots - 1);
        }
        if (is_telling(bytes + at)) {
            w.slot[slot] = bytes + at;
        }
    }
    return w;
}

/* How many places of the bytes hold one of the windows. */
static size_t n_windows_in(const window_set *w, const uint8_t *bytes, size_t n)
{
    size_t found = 0;
    for (size_t at = 0; at + WINDOW <= n; at++) {
        size_t slot = slot_of(w, bytes + at);
        while (w->slot[slot] != NULL && memcmp(w->slot[slot], bytes + at, WINDOW) != 0) {
            slot = (slot + 1) & (w->n_slots - 1);
        }
        found += w->slot[slot] != NULL;
    }
    return found;
}

/* No piece of the file is on the wire; and the search would find one. */
static void check_file_not_seen(const char *path)
{
    fl_err err = FL_ERR_INIT;
    char *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&bytes, &n, path, MAX_FILE_BYTES, &err), err);
    window_set w = window_set_new((uint8_t *)bytes, n);
    for (size_t i = 0; i < proxy_n_streams(play.proxy); i++) {
        proxy_stream s = proxy_at(play.proxy, i);
        size_t found = n_windows_in(&w, s.bytes, s.n);
        if (found > 0) {
            check_fail("%zu places of a stream to the %s hold a part of %s", found,
                       s.to_server ? "server" : "site", path);
        }
    }
    // A window of it, at an odd place in the longest stream.
    size_t at = n / 8 * 4;
    while (at + WINDOW < n && !is_telling((uint8_t *)bytes + at)) {
        at += 4;
    }
    proxy_stream longest = {0};
    for (size_t i = 0; i < proxy_n_streams(play.proxy); i++) {
        proxy_stream s = proxy_at(play.proxy, i);
        longest = s.n > longest.n ? s : longest;
    }
    check(n > 4096 && longest.n > 4096);
    uint8_t *planted = fl_xcalloc(longest.n, 1);
    memcpy(planted, longest.bytes, longest.n);
    memcpy(planted + 1001, bytes + at, WINDOW);
    check_int(n_windows_in(&w, planted, longest.n), 1);
    free(planted);
    free(w.slot);
    free(bytes);
}

static void no_model_is_readable(void **state)
{
    (void)state;
    for (int round = 0; round <= N_ROUNDS; round++) {
        char *path = fl_xasprintf("%s/fed/runs/%s/model/round-%04d.safetensors", play.dir, job_name,
                                  round);
        check_file_not_seen(path);
        free(path);
    }
    char *path = fl_xasprintf("%s/fed/runs/%s/model/final.safetensors", play.dir, job_name);
    check_file_not_seen(path);
    free(path);
}

static void no_update_is_readable(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = read_report();
    size_t model = 4 * (size_t)fl_json_get_int(json_object_get(report, "model"), "parameters", 0);
    json_decref(report);
    char *kept = in_dir("kept"), **names = NULL;
    size_t n = 0, n_updates = 0;
    check_ok(fl_list_dir(&names, &n, kept, &err), err);
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(kept, names[i]), *bytes = NULL;
        size_t size = 0;
        check_ok(fl_file_read(&bytes, &size, path, MAX_FILE_BYTES, &err), err);
        if (size >= model) {
            n_updates++;
            check_file_not_seen(path);
        }
        free(bytes);
        free(path);
    }
    check(n_updates >= 1);
    fl_names_free(&names, n);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_run_goes_on_with_its_three_hospitals),
        cmocka_unit_test(who_has_no_key_gets_no_word),
        cmocka_unit_test(clients_that_are_not_invited_are_told_why),
        cmocka_unit_test(a_one_time_key_may_only_enrol),
        cmocka_unit_test(every_refusal_is_in_the_report),
        cmocka_unit_test(the_list_of_sites_is_as_it_was),
        cmocka_unit_test(everything_passed_the_proxy),
        cmocka_unit_test(no_name_is_readable),
        cmocka_unit_test(no_model_is_readable),
        cmocka_unit_test(no_update_is_readable),
    };
    return cmocka_run_group_tests(tests, play_once, clear_play);
}
