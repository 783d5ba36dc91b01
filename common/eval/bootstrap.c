/*
 * bootstrap.c - see bootstrap.h
 */
#include "eval/bootstrap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "eval/stats.h"

double *eval_bootstrap(const eval_cases *c, size_t n_replicates, uint64_t seed)
{
    double *table = fl_xcalloc(n_replicates, EVAL_N_VALUES * sizeof *table);
    double *weight = fl_xcalloc(c->n, sizeof *weight);
    double *drawn = fl_xcalloc(c->patients.n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < n_replicates; r++) {
        double value[EVAL_N_VALUES];
        eval_patients_resample(weight, drawn, &c->patients, &rng);
        eval_cases_values(value, c, weight);
        for (int m = 0; m < EVAL_N_VALUES; m++) {
            table[(size_t)m * n_replicates + r] = value[m];
        }
    }
    free(weight);
    free(drawn);
    return table;
}

double *eval_replicates_of(double *table, int metric, size_t n_replicates, const double *value)
{
    if (metric != EVAL_ECE) {
        return table + (size_t)metric * n_replicates;
    }
    double *replicate = table + (size_t)EVAL_ECE_SIGNED * n_replicates;
    for (size_t r = 0; r < n_replicates; r++) {
        replicate[r] += value[EVAL_ECE_SIGNED] - value[EVAL_ECE_RAW];
    }
    return replicate;
}

bool eval_bootstrap_too_few(eval_figure *f, const eval_cases *c, int metric)
{
    bool of_case = metric == EVAL_ACCURACY || metric == EVAL_BRIER || metric == EVAL_NLL ||
                   metric == EVAL_ECE;
    size_t fewest = of_case ? c->patients.n_patients : eval_cases_fewest(c);
    if (fewest >= EVAL_FEW) {
        return false;
    }
    char why[sizeof f->why];
    snprintf(why, sizeof why, "too few %s: %zu%s; %d are needed",
             c->patients.repeats ? "patients" : "cases", fewest, of_case ? "" : " of one class",
             EVAL_FEW);
    eval_figure_no_interval(f, why);
    return true;
}

void eval_bootstrap_interval(eval_figure *f, const eval_cases *c, int metric, double *table,
                             size_t n_replicates, const double *value)
{
    if (eval_bootstrap_too_few(f, c, metric)) {
        return;
    }
    eval_percentile(f, eval_replicates_of(table, metric, n_replicates, value), n_replicates,
                    c->patients.repeats);
    if (metric == EVAL_ECE && f->why[0] == '\0') {
        // At the edge of what can be: a raw ECE that a calibrated model could
        // have does not exclude 0.
        bool chance = value[EVAL_ECE_RAW] <= value[EVAL_ECE_CHANCE];
        f->ci_low = chance ? 0 : fmax(0, fmin(f->value, f->ci_low));
        f->ci_high = fmax(f->value, f->ci_high);
    }
}
