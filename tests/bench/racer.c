/*
 * racer.c - processes that train when they are told to; see racer.h
 */
#include "bench/racer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

static void fail(const racer *r, const char *what)
{
    fprintf(stderr, "bench_nn: %s: %s\n", r->who[0] != '\0' ? r->who : "a process", what);
    exit(1);
}

static void run_child(const int *in, const int *out, const char *const *argv,
                      const char *const *env)
{
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
    for (; env != NULL && *env != NULL; env++) {
        const char *value = strchr(*env, '=');
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(value - *env), *env);
        setenv(name, value + 1, 1);
    }
    execvp(argv[0], (char *const *)argv);
    printf("cannot start %s\n", argv[0]);
    fflush(stdout);
    _exit(1);
}

static bool read_line(racer *r, char *line, size_t n)
{
    if (fgets(line, (int)n, r->from) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return true;
}

bool racer_start(racer *r, const char *const *argv, const char *const *env)
{
    int in[2], out[2];
    char line[512];

    memset(r, 0, sizeof *r);
    if (pipe(in) != 0 || pipe(out) != 0 || (r->pid = fork()) < 0) {
        fail(r, "cannot start a process");
    }
    if (r->pid == 0) {
        run_child(in, out, argv, env);
    }
    close(in[0]);
    close(out[1]);
    r->to = fdopen(in[1], "w");
    r->from = fdopen(out[0], "r");
    FL_REQUIRE(r->to != NULL && r->from != NULL);
    long long n_params;
    int at = 0;
    if (!read_line(r, line, sizeof line)) {
        snprintf(r->why_not, sizeof r->why_not, "%s ended without a word", argv[0]);
    } else if (sscanf(line, "ready %lld %n", &n_params, &at) == 1 && at > 0) {
        r->n_params = n_params;
        snprintf(r->who, sizeof r->who, "%.*s", (int)sizeof r->who - 1, line + at);
        return true;
    } else {
        const char *reason = strncmp(line, "cannot ", 7) == 0 ? line + 7 : line;
        snprintf(r->why_not, sizeof r->why_not, "%.*s", (int)sizeof r->why_not - 1, reason);
    }
    racer_end(r);
    return false;
}

void racer_run(racer *r, double seconds, bool cpu)
{
    char line[512];
    long long steps;
    double wall, busy;

    FL_REQUIRE(r->n_rounds < RACER_MAX_ROUNDS);
    fprintf(r->to, "run %.3f\n", seconds);
    fflush(r->to);
    if (!read_line(r, line, sizeof line) ||
        sscanf(line, "did %lld %lf %lf", &steps, &wall, &busy) != 3 || steps < 1) {
        fail(r, "stopped in the middle of a round");
    }
    r->seconds[r->n_rounds++] = (cpu ? busy : wall) / (double)steps;
}

void racer_end(racer *r)
{
    char line[512];
    double bytes;

    if (r->pid == 0) {
        return;
    }
    if (r->why_not[0] == '\0') {
        fprintf(r->to, "end\n");
        fflush(r->to);
        if (!read_line(r, line, sizeof line) || sscanf(line, "peak %lf", &bytes) != 1) {
            fail(r, "did not say how much memory it took");
        }
        r->peak_mb = bytes / 1e6;
    }
    fclose(r->to);
    fclose(r->from);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double median_of(const double *x, size_t n)
{
    double sorted[RACER_MAX_ROUNDS];

    FL_REQUIRE(n > 0 && n <= RACER_MAX_ROUNDS);
    memcpy(sorted, x, n * sizeof *x);
    qsort(sorted, n, sizeof *sorted, by_value);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

double racer_median(const racer *r)
{
    return median_of(r->seconds, r->n_rounds);
}
