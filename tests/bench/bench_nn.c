/*
 * bench_nn.c - how fast networks train, beside PyTorch and the machine's peak
 *
 * For every row, ours and the peer's variants train the same network on the same
 * batch with the same optimiser, each in a fresh process; their rounds are
 * interleaved, the figures are medians.  The peer is the fastest of its variants:
 * plain, channels_last with AVX-512 switched on in its own kernels, and jit; a row
 * in bf16 has a second line against the fastest of those under autocast;
 * without python3-torch its columns stay empty.  share_of_peak: multiplications
 * and additions of the plain algorithms per second, over those of oneDNN's direct
 * convolution on a layer of 256 channels with as many threads (Winograd does
 * fewer, so it may pass 1).
 *
 * Environment: BENCH_FILTER, only rows whose line contains it; BENCH_THREADS,
 * only so many threads; BENCH_ROUNDS (5) and BENCH_SECONDS (0.4) of each round;
 * BENCH_CLOCK=cpu counts CPU time instead of time, which tells more of one thread
 * on a machine that others use (of two it tells nothing: waiting threads spin);
 * BENCH_PYTHON (/usr/bin/python3).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "bench/machine.h"
#include "bench/racer.h"
#include "bench/trainer.h"

enum { MAX_VARIANTS = 5, MAX_THREADS = 2, N_STARTS = 7 };
/* A variant of the peer that much slower than its fastest is not raced on. */
static const double hopeless = 1.3;

#define PX28                    \
    {                           \
        4,                      \
        {                       \
            NN_BATCH, 1, 28, 28 \
        }                       \
    }
#define PX64                    \
    {                           \
        4,                      \
        {                       \
            NN_BATCH, 1, 64, 64 \
        }                       \
    }
#define PX128                     \
    {                             \
        4,                        \
        {                         \
            NN_BATCH, 1, 128, 128 \
        }                         \
    }
#define TABLE            \
    {                    \
        2,               \
        {                \
            NN_BATCH, 13 \
        }                \
    }
#define CE  NN_LOSS_SOFTMAX_CE
#define BCE NN_LOSS_SIGMOID_CE

static const trainer_row rows[] = {
    {"cnn, 28 px, batch 32", "cnn", "cnn", PX28, 2, 32, CE, NN_FP32, "images/s"},
    {"cnn, 28 px, batch 128", "cnn", "cnn", PX28, 2, 128, CE, NN_FP32, "images/s"},
    {"resnet18, 28 px, batch 128", "resnet18", "resnet18", PX28, 2, 128, CE, NN_FP32, "images/s"},
    {"resnet18, 28 px, batch 128", "resnet18", "resnet18", PX28, 2, 128, CE, NN_BF16, "images/s"},
    {"unet, 128 px, batch 8", "unet", "unet", PX128, 1, 8, BCE, NN_FP32, "images/s"},
    {"unet, 128 px, batch 8", "unet", "unet", PX128, 1, 8, BCE, NN_BF16, "images/s"},
    {"densenet121, 64 px, batch 16", "densenet121", "densenet121", PX64, 2, 16, CE, NN_FP32,
     "images/s"},
    {"logistic, 13 features, batch 4", "logistic", "logistic", TABLE, 1, 4, BCE, NN_FP32,
     "steps/s"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

typedef struct {
    const char *filter, *python, *self;
    int only_threads;  // 0 = 1 and 2
    size_t rounds;
    double seconds;
    bool cpu;
    bool has_peer, has_avx512;
    double peak[2][MAX_THREADS + 1];  // floating-point operations a second
    FILE *out;
} bench;

static const char *precision_name(nn_precision p)
{
    return p == NN_BF16 ? "bf16" : "fp32";
}

/* ------------------------------------------------------------------- starting */

/* Seconds from a program's start to its end, its output thrown away; 0 when it
 * fails. */
static double time_program(const char *const *argv)
{
    int status = 0;
    double start = fl_now();
    pid_t child = fork();

    if (child == 0) {
        FILE *nothing = freopen("/dev/null", "w", stdout);
        nothing = nothing != NULL ? freopen("/dev/null", "w", stderr) : NULL;
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    bool ended = child > 0 && waitpid(child, &status, 0) == child;
    return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? fl_now() - start : 0;
}

/* Most memory that any child so far has held. */
static double children_mb(void)
{
    struct rusage used;

    getrusage(RUSAGE_CHILDREN, &used);
    return (double)used.ru_maxrss * 1024 / 1e6;
}

static void print_peer(FILE *out, double peer, const char *name, double ratio, double ours_mb,
                       double peer_mb)
{
    if (name != NULL) {
        fprintf(out,
                "\"peer\": %.1f, \"peer_name\": \"%s\", \"ratio\": %.4f, \"ours_mb\": %.1f, "
                "\"peer_mb\": %.1f, ",
                peer, name, ratio, ours_mb, peer_mb);
    } else {
        fprintf(out,
                "\"peer\": null, \"peer_name\": null, \"ratio\": null, \"ours_mb\": %.1f, "
                "\"peer_mb\": null, ",
                ours_mb);
    }
}

/*
 * From starting the client to its having loaded everything it is linked with
 * and answered, against what Python needs before a first line can use torch.
 * Runs before there is any other child, so that the memory is these programs'.
 */
static void race_start(const bench *b)
{
    char client[4096];
    double seconds[2][N_STARTS];
    bool has_peer = true;

    if (b->filter != NULL && strstr("client start", b->filter) == NULL) {
        return;
    }
    char *dir = fl_program_dir();  // build/tests/bench
    snprintf(client, sizeof client, "%s/../../bin/client", dir);
    free(dir);
    double mb[2] = {0, 0};
    for (int i = 0; i < N_STARTS; i++) {
        seconds[0][i] = time_program((const char *[]){client, "--version", NULL});
        mb[0] = i == 0 ? children_mb() : mb[0];
        seconds[1][i] = has_peer
                            ? time_program((const char *[]){b->python, "-c", "import torch", NULL})
                            : 0;
        has_peer = has_peer && seconds[1][i] > 0;
        if (seconds[0][i] == 0) {
            fprintf(stderr, "bench_nn: %s does not start\n", client);
            exit(1);
        }
    }
    mb[1] = children_mb();
    double ours = 1e3 * median_of(seconds[0], N_STARTS);
    double peer = 1e3 * median_of(seconds[1], N_STARTS);
    printf("client start: %.0f ms, %.1f MB", ours, mb[0]);
    if (has_peer) {
        printf("; import torch: %.0f ms, %.1f MB; ratio %.3f in time, %.3f in memory", peer, mb[1],
               ours / peer, mb[0] / mb[1]);
    }
    printf("\n\n");
    if (b->out != NULL) {
        fprintf(b->out,
                "{\"name\": \"client start\", \"threads\": 1, \"precision\": \"fp32\", "
                "\"ours\": %.1f, \"unit\": \"ms\", ",
                ours);
        print_peer(b->out, peer, has_peer ? "import torch" : NULL, ours / peer, mb[0], mb[1]);
        fprintf(b->out, "\"share_of_peak\": null}\n");
    }
}

/* --------------------------------------------------------------------- a race */

/* The row's batch, the same for everybody: normal inputs, targets 0 and 1. */
static void write_batch(const trainer_row *row, const char *path)
{
    fl_err err = FL_ERR_INIT;
    size_t n = (size_t)nn_shape_count(&row->input, row->batch);
    size_t n_targets = (size_t)trainer_n_targets(row);
    float *numbers = fl_xcalloc(n + n_targets, sizeof *numbers);
    fl_rng rng;

    fl_rng_init(&rng, 1, "bench", row->name, 0);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = (float)fl_rng_normal(&rng);
    }
    for (size_t i = 0; i < n_targets; i++) {
        numbers[n + i] = (float)fl_rng_below(&rng, 2);
    }
    if (fl_file_write(path, numbers, (n + n_targets) * sizeof *numbers, 0600, &err) != FL_OK) {
        fprintf(stderr, "bench_nn: %s\n", err.text);
        exit(1);
    }
    free(numbers);
}

static bool start_ours(racer *r, const bench *b, const trainer_row *row, int threads,
                       const char *batch)
{
    char number[8], n_threads[8];
    const char *env[] = {"OMP_WAIT_POLICY=passive", "GOMP_SPINCOUNT=2000", "OPENBLAS_NUM_THREADS=1",
                         NULL};  // as the client has them

    snprintf(number, sizeof number, "%d", (int)(row - rows));
    snprintf(n_threads, sizeof n_threads, "%d", threads);
    return racer_start(r, (const char *[]){b->self, "--train", number, n_threads, batch, NULL},
                       env);
}

typedef struct {
    const char *mode, *text;
    nn_precision precision;  // NN_BF16: under autocast
    bool avx512;             // where there is: in PyTorch's own kernels, which use AVX2 unless
                             // told, and in its BLAS, which takes an unknown CPU for an old one
} variant;

static const variant variants[MAX_VARIANTS] = {
    {"plain", "plain", NN_FP32, false},
    {"channels_last", "channels_last, AVX-512", NN_FP32, true},
    {"jit", "jit, AVX-512", NN_FP32, true},
    {"plain", "autocast", NN_BF16, true},
    {"channels_last", "autocast, channels_last, AVX-512", NN_BF16, true},
};

static bool start_peer(racer *r, const bench *b, const trainer_row *row, const variant *v,
                       int threads, const char *batch)
{
    char dims[4][16], n_threads[8], outputs[16], omp[32], blas[40];

    snprintf(n_threads, sizeof n_threads, "%d", threads);
    snprintf(outputs, sizeof outputs, "%d", (int)row->n_outputs);
    snprintf(omp, sizeof omp, "OMP_NUM_THREADS=%d", threads);
    snprintf(blas, sizeof blas, "OPENBLAS_NUM_THREADS=%d", threads);
    for (int i = 0; i < 4; i++) {
        int64_t dim = i == 0 ? row->batch : i < row->input.rank ? row->input.dim[i] : 1;
        snprintf(dims[i], sizeof dims[i], "%d", (int)dim);
    }
    return racer_start(r,
                       (const char *[]){b->python, "tests/bench/peer_torch.py", row->peer,
                                        precision_name(v->precision), v->mode, n_threads, batch,
                                        dims[0], dims[1], dims[2], dims[3], outputs, NULL},
                       (const char *[]){omp, blas, v->avx512 ? "ATEN_CPU_CAPABILITY=avx512" : NULL,
                                        b->has_avx512 ? "OPENBLAS_CORETYPE=SkylakeX" : NULL, NULL});
}

/* Which of the peer's variants make sense for a row. */
static bool is_raced(const trainer_row *row, const variant *v)
{
    bool is_last = strcmp(v->mode, "channels_last") == 0;

    return v->precision <= row->precision && !(is_last && row->input.rank == 2);
}

static void report(const bench *b, const trainer_row *row, int threads, const racer *ours,
                   const racer *peer, const variant *v)
{
    double unit = strcmp(row->unit, "steps/s") == 0 ? 1 : (double)row->batch;
    double rate = unit / racer_median(ours), peer_rate = peer ? unit / racer_median(peer) : 0;
    double peak = b->peak[row->precision][threads];
    double share = peak > 0 ? trainer_step_flops(row) / racer_median(ours) / peak : 0;

    printf("%-30s %s %d  %9.0f %-8s", row->name, precision_name(row->precision), threads, rate,
           row->unit);
    if (peer != NULL) {
        printf(" %9.0f %6.2f", peer_rate, rate / peer_rate);
    } else {
        printf(" %9s %6s", "-", "-");
    }
    printf("  %7.1f", ours->peak_mb);
    if (peer != NULL) {
        printf(" %7.1f %6.2f", peer->peak_mb, ours->peak_mb / peer->peak_mb);
    } else {
        printf(" %7s %6s", "-", "-");
    }
    printf("  %4.0f %%  %s\n", 100 * share, v != NULL ? v->text : "");
    fflush(stdout);
    if (b->out == NULL) {
        return;
    }
    fprintf(b->out,
            "{\"name\": \"train %s\", \"threads\": %d, \"precision\": \"%s\", \"ours\": %.1f, "
            "\"unit\": \"%s\", ",
            row->name, threads, precision_name(row->precision), rate, row->unit);
    char name[RACER_TEXT + 64] = "";
    if (peer != NULL) {
        snprintf(name, sizeof name, "%s, %s", peer->who, v->text);
    }
    print_peer(b->out, peer_rate, peer != NULL ? name : NULL, rate / peer_rate, ours->peak_mb,
               peer != NULL ? peer->peak_mb : 0);
    fprintf(b->out, "\"share_of_peak\": %.3f}\n", share);
    fflush(b->out);
}

/* Starts the variants that the row has.  One that cannot is left out and says
 * why, once for all rows when there is no torch at all. */
static void start_peers(racer *peers, bench *b, const trainer_row *row, int threads,
                        const char *batch, const racer *ours)
{
    for (int i = 0; i < MAX_VARIANTS; i++) {
        if (!b->has_peer || !is_raced(row, &variants[i])) {
            continue;
        }
        if (!start_peer(&peers[i], b, row, &variants[i], threads, batch)) {
            printf("the peer is left out: %s\n", peers[i].why_not);
            b->has_peer = strstr(peers[i].why_not, "torch") == NULL;
            continue;
        }
        if (peers[i].n_params != ours->n_params) {
            fprintf(stderr, "bench_nn: %s: we train %lld parameters, the peer %lld\n", row->name,
                    (long long)ours->n_params, (long long)peers[i].n_params);
            exit(1);
        }
    }
}

/* The fastest variant of a precision, or -1. */
static int fastest(const racer *peers, nn_precision precision)
{
    int best = -1;

    for (int i = 0; i < MAX_VARIANTS; i++) {
        if (variants[i].precision == precision && peers[i].n_rounds > 0 &&
            (best < 0 || racer_median(&peers[i]) < racer_median(&peers[best]))) {
            best = i;
        }
    }
    return best;
}

static void drop_hopeless(racer *peers)
{
    for (int i = 0; i < MAX_VARIANTS; i++) {
        int best = fastest(peers, variants[i].precision);
        if (peers[i].pid != 0 && racer_median(&peers[i]) > hopeless * racer_median(&peers[best])) {
            racer_end(&peers[i]);
        }
    }
}

static void race(bench *b, const trainer_row *row, int threads, const char *batch)
{
    racer ours, peers[MAX_VARIANTS];

    memset(peers, 0, sizeof peers);
    write_batch(row, batch);
    if (!start_ours(&ours, b, row, threads, batch)) {
        printf("%-30s %s %d  skipped: %s\n", row->name, precision_name(row->precision), threads,
               ours.why_not);
        return;
    }
    start_peers(peers, b, row, threads, batch, &ours);
    for (size_t round = 0; round < b->rounds; round++) {
        racer_run(&ours, b->seconds, b->cpu);
        for (int i = 0; i < MAX_VARIANTS; i++) {
            if (peers[i].pid != 0) {
                racer_run(&peers[i], b->seconds, b->cpu);
            }
        }
        if (round == 1) {
            drop_hopeless(peers);
        }
    }
    racer_end(&ours);
    for (int i = 0; i < MAX_VARIANTS; i++) {
        racer_end(&peers[i]);
    }
    for (nn_precision p = NN_FP32; p <= row->precision; p++) {
        int best = fastest(peers, p);
        if (best >= 0 || p == NN_FP32) {
            report(b, row, threads, &ours, best < 0 ? NULL : &peers[best],
                   best < 0 ? NULL : &variants[best]);
        }
    }
}

/* ------------------------------------------------------------------- the bench */

static double setting(const char *name, double dflt)
{
    const char *text = getenv(name);

    return text != NULL && atof(text) > 0 ? atof(text) : dflt;
}

static bool is_wanted(const bench *b, const trainer_row *row, int threads)
{
    char line[160];

    snprintf(line, sizeof line, "%s %s %d", row->name, precision_name(row->precision), threads);
    return (b->only_threads == 0 || b->only_threads == threads) &&
           (b->filter == NULL || strstr(line, b->filter) != NULL);
}

static void print_machine(const bench *b)
{
    char cpu[160], backend[128];

    machine_text(cpu, sizeof cpu);
    nn_backend_text(backend, sizeof backend);
    printf("%s; %s\npeak on 1 and 2 threads: %.0f and %.0f GFLOP/s in fp32, %.0f and %.0f in bf16; "
           "%s\n",
           cpu, backend, b->peak[NN_FP32][1] / 1e9, b->peak[NN_FP32][2] / 1e9,
           b->peak[NN_BF16][1] / 1e9, b->peak[NN_BF16][2] / 1e9,
           b->cpu ? "CPU time" : "time that passes");
}

int main(int argc, char **argv)
{
    char batch[4096], backend[128];
    bench b = {.filter = getenv("BENCH_FILTER"),
               .python = getenv("BENCH_PYTHON"),
               .self = "/proc/self/exe",
               .only_threads = (int)setting("BENCH_THREADS", 0),
               .rounds = (size_t)setting("BENCH_ROUNDS", 5),
               .seconds = setting("BENCH_SECONDS", 0.4),
               .has_peer = true};

    if (argc == 5 && strcmp(argv[1], "--train") == 0) {
        return trainer_main(&rows[atoi(argv[2]) % N_ROWS], atoi(argv[3]), argv[4]);
    }
    b.python = b.python != NULL ? b.python : "/usr/bin/python3";
    b.rounds = b.rounds < RACER_MAX_ROUNDS ? b.rounds : RACER_MAX_ROUNDS;
    b.cpu = getenv("BENCH_CLOCK") != NULL && strcmp(getenv("BENCH_CLOCK"), "cpu") == 0;
    b.out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (argc > 1 && b.out == NULL) {
        perror(argv[1]);
        return 1;
    }
    race_start(&b);
    nn_backend_text(backend, sizeof backend);
    b.has_avx512 = strstr(backend, "AVX-512") != NULL;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        b.peak[NN_FP32][threads] = machine_peak(threads, NN_FP32, b.cpu);
        b.peak[NN_BF16][threads] = machine_peak(threads, NN_BF16, b.cpu);
    }
    print_machine(&b);
    printf("%-30s %-6s  %18s %9s %6s  %7s %7s %6s  %6s  %s\n", "", "", "ours", "PyTorch", "ratio",
           "ours MB", "its MB", "ratio", "peak", "PyTorch's fastest");
    snprintf(batch, sizeof batch, "%s.batch", argc > 1 ? argv[1] : "/tmp/bench_nn");
    for (size_t i = 0; i < N_ROWS; i++) {
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            if (is_wanted(&b, &rows[i], threads)) {
                race(&b, &rows[i], threads, batch);
            }
        }
    }
    remove(batch);
    return b.out != NULL && fclose(b.out) != 0;
}
