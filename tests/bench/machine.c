/*
 * machine.c - the machine that a bench runs on; see machine.h
 */
#include "bench/machine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "nn/dnnl.h"

/* The value of a line "key : value", if the line has this key. */
static bool take(char *out, size_t n, char *line, const char *key)
{
    char *value = strchr(line, ':');
    size_t length = strlen(key);

    if (value == NULL || strncmp(line, key, length) != 0 || line[length] != '\t') {
        return false;
    }
    value[strcspn(value, "\n")] = '\0';
    snprintf(out, n, "%s", value + 2);
    return true;
}

void machine_text(char *out, size_t n)
{
    char line[256], name[80] = "unknown CPU", family[16] = "?", model[16] = "?";
    FILE *info = fopen("/proc/cpuinfo", "r");

    while (info != NULL && fgets(line, sizeof line, info) != NULL && line[0] != '\n') {
        if (!take(name, sizeof name, line, "model name") &&
            !take(family, sizeof family, line, "cpu family")) {
            take(model, sizeof model, line, "model");
        }
    }
    if (info != NULL) {
        fclose(info);
    }
    snprintf(out, n, "%s (family %s, model %s), %d cores", name, family, model, fl_n_cores());
}

static double clock_now(bool cpu)
{
    struct timespec t;

    clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double machine_peak(int threads, nn_precision precision, bool cpu)
{
    const nn_conv_spec s = {.n_spatial = 2,
                            .src = {8, 256, 28, 28},
                            .weight = {256, 256, 3, 3},
                            .dst = {8, 256, 28, 28},
                            .group = 1,
                            .stride = {1, 1},
                            .dilation = {1, 1},
                            .pad_begin = {1, 1},
                            .pad_end = {1, 1}};
    static const nn_arg args[] = {NN_SRC, NN_WEIGHTS, NN_DST, NN_SCRATCHPAD};
    enum { N_ARGS = sizeof args / sizeof *args };
    double best = INFINITY, macs = 8.0 * 256 * 256 * 9 * 28 * 28;
    void *data[N_ARGS] = {NULL};

    if (nn_precision_why_not(precision) != NULL) {
        return 0;
    }
    nn_dnnl *d = nn_dnnl_new(threads, precision == NN_BF16 ? NN_TYPE_BF16 : NN_TYPE_F32);
    nn_prim *prim = nn_dnnl_conv(d, &s, NN_PASS_INFER, NULL, NULL);

    for (int i = 0; i < N_ARGS; i++) {
        const nn_layout *l = nn_prim_layout(prim, args[i]);
        if (l != NULL) {
            data[i] = fl_xcalloc(1, nn_layout_bytes(l));
            nn_prim_bind(prim, args[i], nn_mem_new(d, l, data[i]));
        }
    }
    for (int i = 0; i < 9; i++) {
        double start = clock_now(cpu);
        nn_prim_run(prim);
        best = fmin(best, (clock_now(cpu) - start) / (cpu ? threads : 1));
    }
    nn_dnnl_destroy(&d);
    for (int i = 0; i < N_ARGS; i++) {
        free(data[i]);
    }
    return 2 * macs / best;
}
