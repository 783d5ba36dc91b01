/*
 * bench_rules.c - what it costs to make a model from a round's updates, rule by rule
 *
 * Updates lie in spools, as they arrived, and are in the page cache.  Every rule is run in a process
 * of its own, so that its peak memory is its own; of three runs the fastest counts, in CPU time of
 * all threads.  `peer` is the plain sum, fedavg.
 *
 *     bench_rules OUT.json [SITESxPARAMETERS ...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "coordinator/aggregate.h"
#include "coordinator/spool.h"

enum { RUNS = 3, MAX_SITES = 1000 };

typedef struct {
    size_t n;
    int64_t P;
    char *path[MAX_SITES];
} spools;

typedef struct {
    double cpu, wall;  // seconds
    double peak_mb;
} cost;

static void must(fl_status st, const fl_err *err)
{
    if (st != FL_OK) {
        fprintf(stderr, "bench_rules: %s\n", err->text);
        exit(1);
    }
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void write_spools(spools *s, const char *dir)
{
    fl_err err = FL_ERR_INIT;
    float *values = fl_xcalloc((size_t)s->P, sizeof *values);
    uint8_t *piece = fl_xcalloc(1, FED_PIECE_BYTES);
    uint32_t n_pieces = fed_pieces_of(FED_ENC_F32, (uint64_t)s->P);
    for (size_t i = 0; i < s->n; i++) {
        fl_rng rng;
        spool *one = NULL;
        fl_rng_init(&rng, i + 1, "bench", "", 0);
        for (int64_t p = 0; p < s->P; p++) {
            values[p] = 1e-3f * (float)fl_rng_uniform(&rng);
        }
        s->path[i] = fl_xasprintf("%s/%zu", dir, i);
        must(spool_open(&one, s->path[i], FED_ENC_F32,
                        fed_piece_bytes_of(FED_ENC_F32, (uint64_t)s->P), n_pieces, &err),
             &err);
        for (uint32_t k = 0; k < n_pieces; k++) {
            size_t n = fed_piece_pack(piece, FED_ENC_F32, values, (uint64_t)s->P, k);
            must(spool_append(one, piece, n, &err), &err);
        }
        spool_close(&one);
    }
    free(piece);
    free(values);
}

static fl_status read_spool(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                            fl_err *err)
{
    const spools *s = ctx;
    return spool_read_values(s->path[i], FED_ENC_F32, out, offset, count, err);
}

static cost run_rule(const spools *s, const char *name)
{
    fl_err err = FL_ERR_INIT;
    job_strategy cfg = {0};
    strategy rule;
    cost best = {.cpu = 1e9, .wall = 1e9};
    snprintf(cfg.name, sizeof cfg.name, "%s", name);
    must(strategy_init(&rule, &cfg, &err), &err);
    nn_table *table = nn_table_new();
    nn_shape shape = {1, {s->P}};
    must(nn_table_add(table, "all", NN_WEIGHT, &shape, &err), &err);
    float *global = fl_xcalloc((size_t)s->P, sizeof *global);
    float *out = fl_xcalloc((size_t)s->P, sizeof *out);
    uint64_t *weight = fl_xcalloc(s->n, sizeof *weight);
    aggregate_input in = {
        .n = s->n, .weight = weight, .ctx = (void *)(uintptr_t)s, .read = read_spool};
    for (int run = 0; run < RUNS; run++) {
        double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
        must(aggregate_run(out, NULL, NULL, &rule, table, global, &in, &err), &err);
        cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        wall = seconds(CLOCK_MONOTONIC) - wall;
        best.cpu = cpu < best.cpu ? cpu : best.cpu;
        best.wall = wall < best.wall ? wall : best.wall;
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    best.peak_mb = (double)used.ru_maxrss / 1024;
    free(weight);
    free(out);
    free(global);
    nn_table_destroy(&table);
    return best;
}

/* In a process of its own. */
static cost measure(const spools *s, const char *name)
{
    cost c;
    int ends[2], status;
    FL_REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    FL_REQUIRE(child >= 0);
    if (child == 0) {
        c = run_rule(s, name);
        _exit(write(ends[1], &c, sizeof c) == sizeof c ? 0 : 1);
    }
    close(ends[1]);
    bool told = read(ends[0], &c, sizeof c) == sizeof c;
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || status != 0 || !told) {
        fprintf(stderr, "bench_rules: %s did not come to its end\n", name);
        exit(1);
    }
    return c;
}

static void measure_shape(FILE *out, const char *shape)
{
    static const char *const rules[] = {"fedavg", "median", "trimmed_mean", "krum", "multi_krum"};
    const char *tmp = getenv("TMPDIR");
    char *dir = fl_path_join(tmp != NULL ? tmp : "/tmp", "bench-rules-XXXXXX");
    spools s = {0};
    long long P = 0;
    if (sscanf(shape, "%zux%lld", &s.n, &P) != 2 || s.n < 10 || s.n > MAX_SITES || P < 1) {
        fprintf(stderr, "bench_rules: expected SITESxPARAMETERS with 10 to %d sites, found %s\n",
                MAX_SITES, shape);
        exit(2);
    }
    s.P = P;
    FL_REQUIRE(mkdtemp(dir) != NULL);
    write_spools(&s, dir);
    cost plain = {0};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        cost c = measure(&s, rules[i]);
        plain = i == 0 ? c : plain;
        printf("%-12s %4zu x %9lld: %7.3f CPU s (%.1f x fedavg), %7.3f s, %6.0f MB at most\n",
               rules[i], s.n, P, c.cpu, c.cpu / plain.cpu, c.wall, c.peak_mb);
        fprintf(out,
                "{\"name\": \"%s %zu x %lld\", \"threads\": %d, \"precision\": \"fp32\", \"ours\": "
                "%.4f, \"unit\": \"CPU s\", \"peer\": %.4f, \"peer_name\": \"fedavg\", \"ratio\": "
                "%.3f, \"ours_mb\": %.1f, \"peer_mb\": %.1f, \"share_of_peak\": null}\n",
                rules[i], s.n, P, fl_n_cores(), c.cpu, plain.cpu, c.cpu / plain.cpu, c.peak_mb,
                plain.peak_mb);
        fflush(NULL);
    }
    fl_remove_tree(dir, NULL);
    for (size_t i = 0; i < s.n; i++) {
        free(s.path[i]);
    }
    free(dir);
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"10x10000000", "100x1000000"};
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (out == NULL) {
        fprintf(stderr, "bench_rules: expected a file to write to, as in bench_rules OUT.json\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        measure_shape(out, argv[i]);
    }
    for (size_t i = 0; argc == 2 && i < sizeof usual / sizeof *usual; i++) {
        measure_shape(out, usual[i]);
    }
    fclose(out);
    return 0;
}
