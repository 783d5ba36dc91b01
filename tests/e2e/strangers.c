/*
 * strangers.c - see strangers.h
 */
#include "strangers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <zmq.h>

#include "base/buf.h"
#include "base/rng.h"
#include "check.h"
#include "fed/msg.h"
#include "fed/transport.h"
#include "play.h"

enum { SILENCE_MS = 500 };  // how long a stranger listens for an answer

strangers_told told;

// --------------------------------------------------- with raw sockets

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
    size_t heard = listen_to(fd);
    told.junk_bytes = heard > told.junk_bytes ? heard : told.junk_bytes;
    close(fd);
}

void strangers_try_junk(void)
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
    told.slow = dial();
    check(told.slow >= 0);
    check_int(send(told.slow, greeting, 64, MSG_NOSIGNAL), 64);
}

// --------------------------------------------------- with ZMQ sockets

static void pack_hello(fl_buf *out)
{
    fed_msg m = {.type = FED_MSG_HELLO};
    snprintf(m.u.hello.software, sizeof m.u.hello.software, "stranger 1.0");
    fed_msg_pack(&m, out);
}

/* A ZMQ socket as anyone would open it: no keys, no CURVE. */
void strangers_try_plain_socket(void)
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
    told.plain_heard = zmq_poll(&item, 1, SILENCE_MS) > 0;
    zmq_close(socket_);
    zmq_ctx_term(context);
    fl_buf_clear(&hello);
}

void strangers_try_keys(const fed_public_key *server, const char *part, char state[static 160],
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
    for (int64_t until = fl_now_ms() + PLAY_STRANGER_MS; fl_now_ms() < until;) {
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

void strangers_try_one_time_key(const char *invitation)
{
    fl_err err = FL_ERR_INIT;
    fed_invitation inv;
    fed_link *link = NULL;
    char *path = play_path(invitation), address[64];
    check_ok(fed_invitation_read(&inv, path, &err), err);
    play.coordinator_key = inv.coordinator_curve;
    fed_identity *id = fed_identity_one_time(inv.curve_secret);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", play.port);
    check_ok(fed_connect(&link, address, &inv.coordinator_curve, id, &err), err);
    fed_msg m = {.type = FED_MSG_HELLO};
    ask(link, &m, PLAY_STRANGER_MS, told.one_time_answer[0]);
    m = (fed_msg){.type = FED_MSG_FETCH};
    fed_job_digest(&m.u.fetch.object, play.job, strlen(play.job));
    m.u.fetch.count = 1;
    ask(link, &m, SILENCE_MS, told.one_time_answer[1]);
    m = (fed_msg){.type = FED_MSG_OFFER};
    m.u.offer.key.kind = FED_TRAIN;
    m.u.offer.key.round.n = 1;
    fed_job_digest(&m.u.offer.key.job, play.job, strlen(play.job));
    fed_job_digest(&m.u.offer.digest, "x", 1);
    fed_site_id_parse(&m.u.offer.site, play_sites[0], NULL);
    ask(link, &m, SILENCE_MS, told.one_time_answer[2]);
    fed_link_close(&link);
    fed_identity_destroy(&id);
    fed_invitation_clear(&inv);
    free(path);
}

// --------------------------------------------------- with real clients

static int run_client(const char *home, char **said)
{
    child c;
    play_start_client(&c, home);
    child_wait(&c, PLAY_STRANGER_MS);
    *said = child_said(&c);
    child_clear(&c);
    return c.exit_code;
}

static void remove_file(const char *name)
{
    char *path = play_path(name);
    check_int(unlink(path), 0);
    free(path);
}

void strangers_try_clients(void)
{
    char used[64];
    snprintf(used, sizeof used, "%s.invitation", play_sites[0]);
    play_join(used, "thief", "nord");  // own keys, another's invitation
    told.thief_code = run_client("thief", &told.thief_said);
    told.late_code = run_client("late", &told.late_said);
    // Pretends to be enrolled; tries for as long as the run takes.
    remove_file("thief/keys/invitation.yaml");
    play_start_client(&told.forger, "thief");
    child_says(&told.forger, "key is not on the list", PLAY_STRANGER_MS);
    play_join(used, "bare", "nord");
    remove_file("bare/keys/curve.key");
    told.bare_code = run_client("bare", &told.bare_said);
}

// ---------------------------------------------------------- while the run runs

static atomic_bool calm;
static pthread_t knocking;

/* Strangers that do not give up. */
static void *knock(void *arg)
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
        told.unlisted_heard = told.unlisted_heard || fed_receive(link, &packet);
    }
    zmq_close(plain);
    zmq_ctx_term(context);
    fed_link_close(&link);
    fed_identity_destroy(&id);
    fl_buf_clear(&hello);
    return NULL;
}

void strangers_keep_knocking(void)
{
    check_int(pthread_create(&knocking, NULL, knock, NULL), 0);
}

void strangers_stop(void)
{
    atomic_store(&calm, true);
    pthread_join(knocking, NULL);
    told.forger_said = child_said(&told.forger);
}

void strangers_clear(void)
{
    child_clear(&told.forger);
    close(told.slow);
    free(told.thief_said);
    free(told.late_said);
    free(told.bare_said);
    free(told.forger_said);
}
