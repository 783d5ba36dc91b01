/*
 * patients.c - see patients.h
 */
#include "eval/patients.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"

typedef struct {
    int64_t patient;
    size_t at;  // index of the case
} numbered;

static int by_patient(const void *a, const void *b)
{
    const numbered *x = a, *y = b;
    if (x->patient != y->patient) {
        return x->patient < y->patient ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

void eval_patients_init(eval_patients *p, const int64_t *patient, size_t n)
{
    *p = (eval_patients){.n = n, .of = fl_xcalloc(n, sizeof *p->of)};
    if (patient == NULL) {
        p->n_patients = n;
        for (size_t i = 0; i < n; i++) {
            p->of[i] = i;
        }
        return;
    }
    numbered *sorted = fl_xcalloc(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = (numbered){patient[i], i};
    }
    qsort(sorted, n, sizeof *sorted, by_patient);
    for (size_t i = 0; i < n; i++) {
        bool new_one = i == 0 || sorted[i].patient != sorted[i - 1].patient;
        p->n_patients += new_one;
        p->repeats = p->repeats || !new_one;
        p->of[sorted[i].at] = p->n_patients - 1;
    }
    free(sorted);
}

void eval_patients_clear(eval_patients *p)
{
    free(p->of);
    *p = (eval_patients){0};
}

size_t eval_patients_count(const eval_patients *p, const bool *in)
{
    if (in == NULL) {
        return p->n_patients;
    }
    size_t count = 0;
    bool *seen = fl_xcalloc(p->n_patients, sizeof *seen);
    for (size_t i = 0; i < p->n; i++) {
        if (in[i] && !seen[p->of[i]]) {
            seen[p->of[i]] = true;
            count++;
        }
    }
    free(seen);
    return count;
}

void eval_patients_resample(double *weight, double *drawn, const eval_patients *p, fl_rng *rng)
{
    memset(drawn, 0, p->n_patients * sizeof *drawn);
    for (size_t i = 0; i < p->n_patients; i++) {
        drawn[fl_rng_below(rng, p->n_patients)] += 1;
    }
    for (size_t i = 0; i < p->n; i++) {
        weight[i] = drawn[p->of[i]];
    }
}

void eval_patients_mean(eval_figure *f, const double *value, const eval_patients *p,
                        const char *stream, uint64_t seed)
{
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        sum += value[i];
    }
    f->value = sum / (double)p->n;
    if (p->n_patients < EVAL_FEW) {
        eval_figure_no_interval(f, "too few cases: 10 are needed");
        return;
    }
    size_t n_replicates = eval_n_replicates(p->n);
    double *replicate = fl_xcalloc(n_replicates, sizeof *replicate);
    double *weight = fl_xcalloc(p->n, sizeof *weight);
    double *drawn = fl_xcalloc(p->n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", stream, 0);
    for (size_t r = 0; r < n_replicates; r++) {
        double total = 0;
        eval_patients_resample(weight, drawn, p, &rng);
        for (size_t i = 0; i < p->n; i++) {
            replicate[r] += weight[i] * value[i];
            total += weight[i];
        }
        replicate[r] /= total;
    }
    eval_percentile(f, replicate, n_replicates, p->repeats);
    free(replicate);
    free(weight);
    free(drawn);
}
