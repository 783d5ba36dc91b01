/*
 * bench_federation.c - federation rounds without training, beside an echo and Flower
 *
 * usage: bench_federation OUT.json
 *
 * For each number of sites and parameters: the real coordinator and one process
 * a site (play_sites.c: the real client, with a made-up update instead of
 * training); a bare echo over the same encrypted transport, pieces there and
 * back, nothing else; and Flower (peer_flower.py, gRPC with TLS, BENCH_PYTHON or
 * /usr/bin/python3) where it is installed.  The three follow one another, several times
 * over, so that what disturbs the machine disturbs all; figures are medians of all rounds.
 *
 * A round of ours is from commit to commit: the model goes out, is checked, comes
 * back as updates that are signed, written and flushed, hashed, spooled, verified,
 * folded and committed, and every site then scores the new model.
 *
 * BENCH_FILTER=10x1000000 chooses a row, BENCH_REPEATS=3 how often, BENCH_ROUNDS=30 how many
 * rounds each time, BENCH_PIECES=bf16 how models and updates travel.  From 64 sites on rows are run
 * only when chosen: eight processes play all sites, and nobody else does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bench/crew.h"
#include "bench/machine.h"
#include "fed/accum.h"
#include "fed/transport.h"
#include "fed/update.h"

enum { MAX_ROUNDS = 64, MAX_REPEATS = 9, MAX_TIMES = MAX_ROUNDS * MAX_REPEATS };

typedef struct {
    int sites, hidden;  // hidden units of an MLP on 1024 inputs: 1027 P + 2 parameters
    int rounds;         // each time
    int processes;      // that play the sites; 0: one each
    const char *name;   // for BENCH_FILTER
} row;

static const row rows[] = {
    {10, 97, 12, 0, "10x100000"},    {10, 974, 8, 0, "10x1000000"},
    {10, 9737, 4, 0, "10x10000000"}, {50, 97, 8, 0, "50x100000"},
    {50, 974, 4, 0, "50x1000000"},   {1000, 974, 2, 8, "1000x1000000"},
    {64, 974, 2, 8, "64x1000000"},   {200, 974, 2, 8, "200x1000000"},
    {1000, 97, 4, 8, "1000x100000"}, {10000, 10, 2, 8, "10000x10000"},
    {1000, 10, 4, 8, "1000x10000"},  {2500, 10, 2, 2, "2500x10000"},
};

static int n_processes(const row *r)
{
    return r->processes > 0 ? r->processes : r->sites;
}

static int64_t parameters_of(const row *r)
{
    return (int64_t)r->hidden * 1027 + 2;
}

/* What one contestant did. */
typedef struct {
    double round[MAX_TIMES];  // s, without first rounds
    size_t n;
    double first[MAX_REPEATS];  // s, from orders to model: it brings the first model, too
    size_t n_first;
    double peak_mb;                // of the server, the most
    double server_cpu, sites_cpu;  // s a round, the last time
} times;

static char *dir;  // everything lies under it
static double median(const double *x, size_t n)
{
    double sorted[MAX_TIMES];
    memcpy(sorted, x, n * sizeof *x);
    for (size_t i = 1; i < n; i++) {
        double v = sorted[i];
        size_t k = i;
        for (; k > 0 && sorted[k - 1] > v; k--) {
            sorted[k] = sorted[k - 1];
        }
        sorted[k] = v;
    }
    return n == 0 ? 0 : n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0) {
        crew_fail("127.0.0.1", "no free port");
    }
    close(fd);
    return ntohs(at.sin_port);
}

// ----------------------------------------------------------------------- ours

static char *program(const char *name)
{
    const char *build = getenv("BUILD");
    return fl_xasprintf("%s/%s", build != NULL ? build : "build", name);
}

static const char *pieces(void)
{
    const char *given = getenv("BENCH_PIECES");
    return given != NULL ? given : "fp32";
}

static void write_job(const row *r, const char *path)
{
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "name: bench\n"
                     "intended_use: benches\n"
                     "task: classify\n"
                     "data: {input: [1, 32, 32], classes: [a, b], positive: b}\n"
                     "model: {name: mlp, hidden: [%d]}\n"
                     "rounds: %d\n"
                     "seed: 1\n"
                     "strategy: {name: fedavg}\n"
                     "local: {steps: 1, batch: 1, lr: 0.1}\n"
                     "sites: {quorum: %d, patience: 10m}\n"
                     "evaluation:\n"
                     "  threshold: {rule: fixed, at: 0.5}\n"
                     "pieces: %s\n",
                     r->hidden, r->rounds + 1, r->sites, pieces());
    fl_err err = FL_ERR_INIT;
    if (fl_file_write(path, text, (size_t)n, 0644, &err) != FL_OK) {
        crew_fail("job.yaml", err.text);
    }
}

/* A federation with its invitations, new each time. */
static void found(const row *r, int port)
{
    char *coordinator = program("bin/coordinator"), *fed = fl_path_join(dir, "fed"),
         *job = fl_path_join(dir, "job.yaml"), *invitations = fl_path_join(dir, "invitations"),
         *homes = fl_path_join(dir, "homes"), *made = fl_path_join(fed, "invitations"),
         *address = fl_xasprintf("tcp://127.0.0.1:%d", port);
    fl_remove_tree(fed, NULL);
    fl_remove_tree(invitations, NULL);
    fl_remove_tree(homes, NULL);
    write_job(r, job);
    crew_do((const char *[]){coordinator, "init", fed, "--address", address, NULL});
    const char **argv = fl_xcalloc(2 * (size_t)r->sites + 4, sizeof *argv);
    char(*names)[16] = fl_xcalloc((size_t)r->sites, sizeof *names);
    size_t n = 0;
    argv[n++] = coordinator;
    argv[n++] = "invite";
    argv[n++] = fed;
    for (int i = 0; i < r->sites; i++) {
        snprintf(names[i], sizeof names[i], "site-%05d", i);
        argv[n++] = "--site";
        argv[n++] = names[i];
    }
    crew_do(argv);
    rename(made, invitations);
    free(argv);
    free(names);
    free(made);
    free(coordinator);
    free(fed);
    free(job);
    free(invitations);
    free(homes);
    free(address);
}

/* CPU seconds of the coordinator and of all sites so far. */
static void read_cpu(double *server, double *sites, pid_t coordinator, const pid_t *pids, int n)
{
    *server = crew_cpu(coordinator);
    *sites = 0;
    for (int i = 0; i < n; i++) {
        *sites += crew_cpu(pids[i]);
    }
}

/* Of this process, all its threads. */
static double own_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void follow(times *t, const row *r, crew_voice *said, pid_t coordinator, const pid_t *pids)
{
    char line[2048] = "";
    double before = 0, server = 0, sites = 0, server_end, sites_end;
    for (int round = 0; round < r->rounds + 1;) {
        crew_line(said, line, sizeof line);
        const char *seconds = strstr(line, " seconds=");
        if (strstr(line, "round.commit") == NULL || seconds == NULL) {
            continue;
        }
        double now = fl_now();
        if (++round == 1) {
            t->first[t->n_first++] = atof(seconds + 9);
            read_cpu(&server, &sites, coordinator, pids, n_processes(r));
        } else {
            t->round[t->n++] = now - before;
        }
        before = now;
    }
    read_cpu(&server_end, &sites_end, coordinator, pids, n_processes(r));
    t->server_cpu = (server_end - server) / r->rounds;
    t->sites_cpu = (sites_end - sites) / r->rounds;
    double peak = crew_peak_mb(coordinator);
    t->peak_mb = peak > t->peak_mb ? peak : t->peak_mb;
}

static void run_ours(times *t, const row *r)
{
    int port = free_port();
    char *coordinator = program("bin/coordinator"), *sites = program("tests/bench/play_sites"),
         *fed = fl_path_join(dir, "fed"), *job = fl_path_join(dir, "job.yaml"),
         *log = fl_path_join(dir, "sites.log"), *bind = fl_xasprintf("tcp://127.0.0.1:%d", port);
    found(r, port);
    crew_voice said;
    int n = n_processes(r);
    pid_t *pids = fl_xcalloc((size_t)n + 1, sizeof *pids);
    pids[n] = crew_start(
        (const char *[]){coordinator, "run", fed, "--job", job, "--bind", bind, NULL}, &said, NULL);
    for (int i = 0; i < n; i++) {
        char first[16], count[16];
        snprintf(first, sizeof first, "%d", r->sites / n * i);
        snprintf(count, sizeof count, "%d", r->sites / n);
        pids[i] = crew_start((const char *[]){sites, dir, first, count, NULL}, NULL, log);
    }
    follow(t, r, &said, pids[n], pids);
    crew_end();
    close(said.fd);
    free(pids);
    free(coordinator);
    free(sites);
    free(fed);
    free(job);
    free(log);
    free(bind);
}

// ----------------------------------------------------------------------- echo

static const char hello[] = "hello";

static void play_echo(const char *address, const fed_public_key *server)
{
    fl_err err = FL_ERR_INIT;
    fed_link *link = NULL;
    fed_packet packet;
    fed_identity *id = fed_identity_new();
    fed_waker *waker = fed_waker_new();
    if (fed_connect(&link, address, server, id, &err) != FL_OK) {
        crew_fail("echo", err.text);
    }
    fed_send(link, NULL, hello, sizeof hello, NULL, 0, NULL);
    for (;;) {
        while (fed_receive(link, &packet)) {
            while (fed_send(link, NULL, packet.header, packet.n_header, packet.payload,
                            packet.n_payload, NULL) == FL_ELIMIT) {
                poll(NULL, 0, 1);
            }
        }
        fed_wait(&link, 1, waker, -1);
    }
}

static bool anyone(void *ctx, const fed_public_key *key)
{
    (void)ctx;
    (void)key;
    return true;
}

typedef struct {
    fed_route route;
    uint32_t sent, back;
} echo_site;

static echo_site *echo_site_of(echo_site *sites, int n, const fed_packet *p)
{
    for (int i = 0; i < n; i++) {
        if (memcmp(&sites[i].route, &p->route, sizeof p->route) == 0) {
            return &sites[i];
        }
    }
    return NULL;
}

/* The vector there and back, to everybody, with the windows of the protocol. */
static double echo_round(fed_link *link, echo_site *sites, int n, const float *values, int64_t P)
{
    enum { WINDOW = 64, POOL = 256 };
    uint32_t n_pieces = fed_pieces_of(FED_ENC_F32, (uint64_t)P);
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    fed_packet packet;
    uint64_t left = (uint64_t)n * n_pieces, under_way = 0;
    fed_waker *waker = fed_waker_new();
    double since = fl_now(), heard = since;
    for (int i = 0; i < n; i++) {
        sites[i].sent = sites[i].back = 0;
    }
    while (left > 0) {
        for (bool moved = true; moved;) {
            moved = false;
            for (int i = 0; i < n; i++) {
                echo_site *s = &sites[i];
                if (s->sent < n_pieces && s->sent - s->back < WINDOW && under_way < POOL) {
                    size_t size = fed_piece_pack(piece, FED_ENC_F32, values, (uint64_t)P, s->sent);
                    if (fed_send(link, &s->route, "x", 1, piece, size, NULL) == FL_OK) {
                        s->sent++;
                        under_way++;
                        moved = true;
                    }
                }
            }
        }
        fed_wait(&link, 1, waker, 5);
        if (fl_now() - heard > 1e-3 * CREW_LOOK_MS) {
            crew_check();
            heard = fl_now();
        }
        while (fed_receive(link, &packet)) {
            heard = fl_now();
            echo_site *s = echo_site_of(sites, n, &packet);
            if (s != NULL && packet.n_payload > 0) {
                s->back++;
                under_way--;
                left--;
            }
        }
    }
    fed_waker_destroy(&waker);
    free(piece);
    return fl_now() - since;
}

static void run_echo(times *t, const row *r)
{
    fl_err err = FL_ERR_INIT;
    fed_link *link = NULL;
    fed_packet packet;
    fed_identity *id = fed_identity_new();
    fed_public_key key = fed_identity_public(id);
    int64_t P = parameters_of(r);
    float *values = fl_xcalloc((size_t)P, sizeof *values);
    pid_t *pids = fl_xcalloc((size_t)r->sites, sizeof *pids);
    echo_site *sites = fl_xcalloc((size_t)r->sites, sizeof *sites);
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", free_port());
    for (int64_t i = 0; i < P; i++) {
        values[i] = 1e-3f * (float)(i % 1000);
    }
    fflush(NULL);
    for (int i = 0; i < r->sites; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            play_echo(address, &key);
        }
        if (pids[i] < 0) {
            crew_fail("echo", "no process");
        }
        crew_add(pids[i], "the echo's other side", NULL);
    }
    if (fed_listen(&link, address, id, anyone, NULL, &err) != FL_OK) {
        crew_fail("echo", err.text);
    }
    for (int n = 0; n < r->sites;) {
        fed_wait(&link, 1, NULL, CREW_LOOK_MS);
        crew_check();
        while (n < r->sites && fed_receive(link, &packet)) {
            sites[n++].route = packet.route;
        }
    }
    echo_round(link, sites, r->sites, values, P);  // warms up
    double server = own_cpu(), others, others_end, unused;
    read_cpu(&unused, &others, getpid(), pids, r->sites);
    for (int i = 0; i < r->rounds; i++) {
        t->round[t->n++] = echo_round(link, sites, r->sites, values, P);
    }
    read_cpu(&unused, &others_end, getpid(), pids, r->sites);
    t->server_cpu = (own_cpu() - server) / r->rounds;
    t->sites_cpu = (others_end - others) / r->rounds;
    crew_end();
    fed_link_close(&link);
    fed_identity_destroy(&id);
    free(values);
    free(pids);
    free(sites);
}

// --------------------------------------------------------------------- Flower

static const char *python(void)
{
    const char *given = getenv("BENCH_PYTHON");
    return given != NULL ? given : "/usr/bin/python3";
}

static const char peer_script[] = "tests/bench/peer_flower.py";

static bool has_flower(void)
{
    char *log = fl_path_join(dir, "flower.log");
    pid_t pid = crew_start((const char *[]){python(), "-c", "import flwr, numpy", NULL}, NULL, log);
    free(log);
    return crew_wait(pid) == 0;
}

static void run_flower(times *t, const row *r, char *who)
{
    char port[16], n_sites[16], n_params[32], n_rounds[16], line[1024] = "";
    char *log = fl_path_join(dir, "flower.log");
    snprintf(port, sizeof port, "%d", free_port());
    snprintf(n_sites, sizeof n_sites, "%d", r->sites);
    snprintf(n_params, sizeof n_params, "%lld", (long long)parameters_of(r));
    snprintf(n_rounds, sizeof n_rounds, "%d", r->rounds + 1);
    crew_do((const char *[]){python(), peer_script, "certificates", dir, NULL});
    crew_voice said;
    pid_t *pids = fl_xcalloc((size_t)r->sites + 1, sizeof *pids);
    pids[r->sites] = crew_start((const char *[]){python(), peer_script, "server", dir, port,
                                                 n_sites, n_params, n_rounds, NULL},
                                &said, NULL);
    bool started = false;
    int round;
    double seconds, peak = 0, server = 0, sites = 0, server_end, sites_end;
    while (peak == 0) {
        crew_line(&said, line, sizeof line);
        if (!started && sscanf(line, "ready %31s", who) == 1) {
            started = true;
            for (int i = 0; i < r->sites; i++) {
                pids[i] = crew_start(
                    (const char *[]){python(), peer_script, "client", dir, port, NULL}, NULL, log);
            }
        }
        if (sscanf(line, "round %d %lf", &round, &seconds) == 2) {
            if (round == 1) {
                t->first[t->n_first++] = seconds;
                read_cpu(&server, &sites, pids[r->sites], pids, r->sites);
            } else {
                t->round[t->n++] = seconds;
                read_cpu(&server_end, &sites_end, pids[r->sites], pids, r->sites);
                t->server_cpu = (server_end - server) / (round - 1);
                t->sites_cpu = (sites_end - sites) / (round - 1);
            }
        }
        sscanf(line, "peak %lf", &peak);
    }
    t->peak_mb = peak / 1e6 > t->peak_mb ? peak / 1e6 : t->peak_mb;
    crew_end();
    close(said.fd);
    free(pids);
    free(log);
}

// ------------------------------------------------------------ where time goes

/* Seconds of CPU for one update of this size; measured here, one thread. */
typedef struct {
    double hash, sha256, read, fold, check;
} costs;

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double timed(void (*fn)(void *), void *ctx)
{
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double since = cpu_now();
        fn(ctx);
        double took = cpu_now() - since;
        best = took < best ? took : best;
    }
    return best;
}

typedef struct {
    float *d;
    int64_t *q, P;
    char *path;
} material;

static void do_hash(void *ctx)
{
    const material *m = ctx;
    fed_digest digest;
    uint64_t n_bytes;
    uint32_t n_pieces;
    fed_object_digest(&digest, FED_ENC_F32, m->d, (uint64_t)m->P, &n_bytes, &n_pieces);
}

static void do_sha256(void *ctx)
{
    const material *m = ctx;
    uint8_t out[FL_SHA256_BYTES];
    fl_sha256 h;
    fl_sha256_init(&h);
    fl_sha256_add(&h, m->d, (size_t)m->P * sizeof *m->d);
    fl_sha256_done(&h, out);
}

static void do_fold(void *ctx)
{
    const material *m = ctx;
    enum { BLOCK = FED_PIECE_VALUES };  // as aggregate.c does
    for (int64_t at = 0; at < m->P; at += BLOCK) {
        int64_t n = m->P - at < BLOCK ? m->P - at : BLOCK;
        fed_accum_add(m->q, m->d + at, n, 100, FED_SCALE_TRAINED, NULL);
    }
}

static void do_check(void *ctx)
{
    const material *m = ctx;
    fed_accum_check(m->d, m->P, FED_SCALE_TRAINED, NULL);
}

/* As a spool is read: a block at a time, from the page cache. */
static void do_read(void *ctx)
{
    const material *m = ctx;
    static float block[FED_PIECE_VALUES];
    int fd = open(m->path, O_RDONLY);
    while (read(fd, block, sizeof block) > 0) {
    }
    close(fd);
}

static costs measure_costs(int64_t P)
{
    material m = {.P = P, .path = fl_path_join(dir, "update.bin")};
    m.d = fl_xcalloc((size_t)P, sizeof *m.d);
    m.q = fl_xcalloc(FED_PIECE_VALUES, sizeof *m.q);
    for (int64_t i = 0; i < P; i++) {
        m.d[i] = 1e-3f * (float)(i % 1000);
    }
    FILE *f = fopen(m.path, "w");
    if (f == NULL || fwrite(m.d, sizeof *m.d, (size_t)P, f) != (size_t)P || fclose(f) != 0) {
        crew_fail(m.path, "cannot be written");
    }
    costs c = {.hash = timed(do_hash, &m),
               .sha256 = timed(do_sha256, &m),
               .read = timed(do_read, &m),
               .fold = timed(do_fold, &m),
               .check = timed(do_check, &m)};
    unlink(m.path);
    free(m.d);
    free(m.q);
    free(m.path);
    return c;
}

// ----------------------------------------------------------------- the table

static void print_row(FILE *out, const row *r, const times *ours, const times *echo,
                      const times *flower, const char *who)
{
    int64_t P = parameters_of(r);
    double us = median(ours->round, ours->n), them = median(flower->round, flower->n);
    double bare = median(echo->round, echo->n);
    double first = median(ours->first, ours->n_first) / us;
    double to_echo = bare > 0 ? us / bare : 0;  // 0: no echo was run
    double room_mb = 3 * 4e-6 * (double)P + 67 + r->sites;
    printf("%3d x %8lld  %8.4f  %8.4f  %5.2f  ", r->sites, (long long)P, us, bare, to_echo);
    if (flower->n > 0) {
        printf("%8.4f  %5.2f  ", them, them / us);
    } else {
        printf("%8s  %5s  ", "-", "-");
    }
    printf("%6.2f  %7.1f  %7.1f  %8.1f\n", first, ours->peak_mb, room_mb, flower->peak_mb);
    costs c = measure_costs(P);
    double cpu = ours->server_cpu + ours->sites_cpu, echo_cpu = echo->server_cpu + echo->sites_cpu;
    double flower_cpu = flower->server_cpu + flower->sites_cpu;
    printf("     CPU a round, server + sites: ours %.3f + %.3f s, echo %.3f + %.3f (x %.2f)",
           ours->server_cpu, ours->sites_cpu, echo->server_cpu, echo->sites_cpu,
           echo_cpu > 0 ? cpu / echo_cpu : 0);
    if (flower->n > 0) {
        printf(", Flower %.3f + %.3f (ratio %.2f)", flower->server_cpu, flower->sites_cpu,
               flower_cpu / cpu);
    }
    printf("\n     CPU of one update: hash %.4f s on each side, SHA-256 %.4f of each model, check "
           "%.4f, spool read %.4f, fold %.4f = %.2f x reading\n",
           c.hash, c.sha256, c.check, c.read, c.fold, c.fold / c.read);
    fflush(stdout);
    fprintf(out,
            "{\"name\": \"federation %d x %lld\", \"threads\": %d, \"precision\": \"%s\", "
            "\"ours\": %.5f, \"unit\": \"s per round\", ",
            r->sites, (long long)P, fl_n_cores(), pieces(), us);
    if (flower->n > 0) {
        fprintf(out, "\"peer\": %.5f, \"peer_name\": \"Flower %s\", \"ratio\": %.3f, ", them, who,
                them / us);
    } else {
        fprintf(out, "\"peer\": null, \"peer_name\": \"Flower\", \"ratio\": null, ");
    }
    fprintf(out, "\"ours_mb\": %.1f, ", ours->peak_mb);
    if (flower->n > 0) {
        fprintf(out, "\"peer_mb\": %.1f, \"peer_first\": %.4f, ", flower->peak_mb,
                median(flower->first, flower->n_first));
    } else {
        fprintf(out, "\"peer_mb\": null, ");
    }
    fprintf(out,
            "\"share_of_peak\": null, \"echo\": %.5f, \"to_echo\": %.3f, \"first_to_rest\": %.3f, "
            "\"rounds\": %zu, \"cpu_coordinator\": %.4f, \"cpu_sites\": %.4f, \"cpu_to_echo\": %.3f, "
            "\"cpu_peer\": %.4f, \"fold_to_read\": %.3f}\n",
            bare, to_echo, first, ours->n, ours->server_cpu, ours->sites_cpu,
            echo_cpu > 0 ? cpu / echo_cpu : 0,
            flower_cpu, c.fold / c.read);
    fflush(out);
}

/* What is to be measured, and what plays the sites. */
static void need_programs(void)
{
    static const char *const names[] = {"bin/coordinator", "tests/bench/play_sites"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = program(names[i]);
        if (access(path, X_OK) != 0) {
            fprintf(stderr,
                    "bench_federation: %s: %s; `make bench-federation` builds it and runs this\n",
                    path, strerror(errno));
            exit(1);
        }
        free(path);
    }
}

static bool is_chosen(const row *r)
{
    const char *filter = getenv("BENCH_FILTER");
    return filter == NULL ? r->processes == 0 : strcmp(filter, r->name) == 0;
}

static int rounds_of(const row *r)
{
    int given = getenv("BENCH_ROUNDS") != NULL ? atoi(getenv("BENCH_ROUNDS")) : r->rounds;
    return given < 1 ? 1 : given > MAX_ROUNDS ? MAX_ROUNDS : given;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: bench_federation OUT.json\n");
        return 2;
    }
    need_programs();
    char machine[256], who[32] = "";
    const char *base = getenv("TMPDIR");
    dir = fl_xasprintf("%s/consilium-bench-XXXXXX", base != NULL ? base : "/tmp");
    crew_init("bench_federation", argv[1], dir);
    if (mkdtemp(dir) == NULL) {
        crew_fail(dir, "cannot be made");
    }
    FILE *out = fopen(argv[1], "w");
    if (out == NULL) {
        crew_fail(argv[1], "cannot be written");
    }
    fed_init();
    int repeats = getenv("BENCH_REPEATS") != NULL ? atoi(getenv("BENCH_REPEATS")) : 2;
    repeats = repeats < 1 ? 1 : repeats > MAX_REPEATS ? MAX_REPEATS : repeats;
    bool with_flower = has_flower();
    machine_text(machine, sizeof machine);
    printf("federation rounds without training, on %s\n"
           "%s\n"
           "%14s  %8s  %8s  %5s  %8s  %5s  %6s  %7s  %7s  %8s\n",
           machine,
           with_flower ? "beside Flower" : "Flower is not installed (BENCH_PYTHON chooses a Python)",
           "sites x params", "ours s", "echo s", "/echo", "Flower s", "ratio", "first", "our MB",
           "room MB", "their MB");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!is_chosen(&rows[i])) {
            continue;
        }
        row r = rows[i];
        r.rounds = rounds_of(&rows[i]);
        times ours = {.n = 0}, echo = {.n = 0}, flower = {.n = 0};
        for (int k = 0; k < repeats; k++) {
            bool many = r.processes > 0;
            if (!many) {
                run_echo(&echo, &r);
            }
            run_ours(&ours, &r);
            if (with_flower && !many) {
                run_flower(&flower, &r, who);
            }
        }
        print_row(out, &r, &ours, &echo, &flower, who);
    }
    fclose(out);
    if (getenv("KEEP") == NULL) {
        fl_remove_tree(dir, NULL);
    }
    free(dir);
    return 0;
}
