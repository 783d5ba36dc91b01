/*
 * metrics_reg.c - figures of a regression: mean absolute and root mean square
 * error, with bootstrap intervals by patient
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/eval.h"
#include "eval/patients.h"
#include "eval/stats.h"

enum { MAE, RMSE, N_METRICS };

static void values(double value[static N_METRICS], const double *error, const double *weight,
                   size_t n)
{
    double total = 0, absolute = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        total += weight[i];
        absolute += weight[i] * fabs(error[i]);
        squares += weight[i] * error[i] * error[i];
    }
    value[MAE] = absolute / total;
    value[RMSE] = sqrt(squares / total);
}

static void intervals(eval_metrics *out, const double *error, double *weight,
                      const eval_patients *p, uint64_t seed)
{
    size_t n_replicates = eval_n_replicates(p->n);
    double *table = fl_xcalloc(n_replicates, N_METRICS * sizeof *table);
    double *drawn = fl_xcalloc(p->n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < n_replicates; r++) {
        double value[N_METRICS];
        eval_patients_resample(weight, drawn, p, &rng);
        values(value, error, weight, p->n);
        for (size_t m = 0; m < N_METRICS; m++) {
            table[m * n_replicates + r] = value[m];
        }
    }
    for (size_t m = 0; m < N_METRICS; m++) {
        eval_percentile(&out->item[m].figure, table + m * n_replicates, n_replicates, p->repeats);
    }
    free(table);
    free(drawn);
}

static const char *const names[N_METRICS] = {"mae", "rmse"};

void eval_regress(eval_metrics *out, const double *pred, const double *target,
                  const int64_t *patient, size_t n, uint64_t seed)
{
    eval_patients patients;
    double value[N_METRICS] = {NAN, NAN};
    double *error = fl_xcalloc(n, sizeof *error);
    double *weight = fl_xcalloc(n, sizeof *weight);

    eval_patients_init(&patients, patient, n);
    for (size_t i = 0; i < n; i++) {
        error[i] = pred[i] - target[i];
        weight[i] = 1;
    }
    if (n > 0) {
        values(value, error, weight, n);
    }
    out->n = N_METRICS;
    for (size_t m = 0; m < N_METRICS; m++) {
        snprintf(out->item[m].name, sizeof out->item[m].name, "%s", names[m]);
        eval_figure *f = &out->item[m].figure;
        *f = (eval_figure){.value = value[m], .ci_low = NAN, .ci_high = NAN};
        f->n = (int64_t)n;
        f->n_positive = -1;
        f->n_patients = (int64_t)patients.n_patients;
        if (!isfinite(value[m])) {
            eval_figure_undefined(f, n == 0 ? "no cases" : "a value is not a finite number");
        } else if (patients.n_patients < EVAL_FEW) {
            eval_figure_no_interval(f, "too few cases: 10 are needed");
        }
    }
    if (isfinite(value[MAE]) && isfinite(value[RMSE]) && patients.n_patients >= EVAL_FEW) {
        intervals(out, error, weight, &patients, seed);
    }
    eval_patients_clear(&patients);
    free(error);
    free(weight);
}

void eval_regress_difference(eval_figure *out, const char *metric, const double *pred_a,
                             const double *pred_b, const double *target, const int64_t *patient,
                             size_t n, uint64_t seed)
{
    eval_patients patients;
    double value_a[N_METRICS] = {NAN, NAN}, value_b[N_METRICS] = {NAN, NAN};
    int m = strcmp(metric, names[RMSE]) == 0 ? RMSE : MAE;
    FL_REQUIRE(strcmp(metric, names[m]) == 0);
    double *error_a = fl_xcalloc(n, sizeof *error_a);
    double *error_b = fl_xcalloc(n, sizeof *error_b);
    double *weight = fl_xcalloc(n, sizeof *weight);

    eval_patients_init(&patients, patient, n);
    for (size_t i = 0; i < n; i++) {
        error_a[i] = pred_a[i] - target[i];
        error_b[i] = pred_b[i] - target[i];
        weight[i] = 1;
    }
    if (n > 0) {
        values(value_a, error_a, weight, n);
        values(value_b, error_b, weight, n);
    }
    *out = (eval_figure){.value = value_b[m] - value_a[m], .ci_low = NAN, .ci_high = NAN,
                         .n = (int64_t)n, .n_positive = -1,
                         .n_patients = (int64_t)patients.n_patients};
    if (!isfinite(out->value)) {
        eval_figure_undefined(out, n == 0 ? "no cases" : "a value is not a finite number");
    } else if (patients.n_patients < EVAL_FEW) {
        eval_figure_no_interval(out, "too few cases: 10 are needed");
    } else {
        size_t R = eval_n_replicates(n);
        double *replicate = fl_xcalloc(R, sizeof *replicate);
        double *drawn = fl_xcalloc(patients.n_patients, sizeof *drawn);
        fl_rng rng;
        fl_rng_init(&rng, seed, "bootstrap", "", 0);
        for (size_t r = 0; r < R; r++) {
            eval_patients_resample(weight, drawn, &patients, &rng);
            values(value_a, error_a, weight, n);
            values(value_b, error_b, weight, n);
            replicate[r] = value_b[m] - value_a[m];
        }
        eval_percentile(out, replicate, R, patients.repeats);
        free(drawn);
        free(replicate);
    }
    eval_patients_clear(&patients);
    free(weight);
    free(error_b);
    free(error_a);
}
