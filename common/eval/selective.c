/*
 * selective.c - see selective.h
 */
#include "eval/selective.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "eval/patients.h"
#include "eval/stats.h"

// ------------------------------------------------------------ cases in order

typedef struct {
    double key;
    size_t i;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = (x->key > y->key) - (x->key < y->key);
    return order != 0 ? order : (x->i > y->i) - (x->i < y->i);
}

/* (n) cases by rising value; the caller's. */
static keyed *sort_cases(const double *value, size_t n)
{
    keyed *order = fl_xcalloc(n, sizeof *order);
    for (size_t i = 0; i < n; i++) {
        FL_REQUIRE(!isnan(value[i]));
        order[i] = (keyed){value[i], i};
    }
    qsort(order, n, sizeof *order, by_key);
    return order;
}

/* Where the group of equal values ends that begins at first. */
static size_t group_end(const keyed *order, size_t first, size_t n)
{
    size_t end = first;
    while (end < n && order[end].key == order[first].key) {
        end++;
    }
    return end;
}

static double mean_of(const double *value, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += value[i];
    }
    return sum / (double)n;
}

// ------------------------------------------------------------ wrong calls

void eval_error_detection(eval_figure *out, const double *uncertainty, const bool *wrong,
                          const int64_t *patient, size_t n)
{
    eval_patients patients;
    eval_patients_init(&patients, patient, n);
    *out = (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN};
    eval_auc_figure(out, uncertainty, wrong, &patients);
    if (isnan(out->value) && n > 0) {
        eval_figure_undefined(out, out->n_positive == 0 ? "no case is called wrongly"
                                                        : "every case is called wrongly");
    }
    eval_patients_clear(&patients);
}

// ------------------------------------------------------------ risk and coverage

double eval_risk_coverage(double *risk, const double *uncertainty, const double *error, size_t n)
{
    keyed *order = sort_cases(uncertainty, n);
    double before = 0, area = 0;
    for (size_t first = 0, end = 0; first < n; first = end) {
        double in_group = 0;
        end = group_end(order, first, n);
        for (size_t i = first; i < end; i++) {
            in_group += error[order[i].i];
        }
        for (size_t i = first; i < end; i++) {
            double share = (double)(i + 1 - first) / (double)(end - first);
            risk[i] = (before + share * in_group) / (double)(i + 1);
            area += risk[i] / (double)n;
        }
        before += in_group;
    }
    free(order);
    return n > 0 ? area : NAN;
}

double eval_refer_share(const double *uncertainty, const double *error, size_t n, double target)
{
    keyed *order = sort_cases(uncertainty, n);
    double sum = 0;
    size_t most = 0;
    for (size_t first = 0, end = 0; first < n; first = end) {
        end = group_end(order, first, n);
        for (size_t i = first; i < end; i++) {
            sum += error[order[i].i];
        }
        if (sum <= target * (double)end * (1 + 1e-12)) {
            most = end;
        }
    }
    free(order);
    return n > 0 ? 1 - (double)most / (double)n : NAN;
}

/* weight (n): how often each case is there. */
static double kept_error(const keyed *order, const double *error, const double *weight, size_t n,
                         double share)
{
    double total = 0, kept = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        total += weight[i];
    }
    const double room = (1 - share) * total;
    for (size_t first = 0, end = 0; first < n && kept < room; first = end) {
        double in_group = 0, of_group = 0;
        end = group_end(order, first, n);
        for (size_t i = first; i < end; i++) {
            in_group += weight[order[i].i];
            of_group += weight[order[i].i] * error[order[i].i];
        }
        double part = in_group > 0 ? fmin(1, (room - kept) / in_group) : 0;
        kept += part * in_group;
        sum += part * of_group;
    }
    return sum / room;
}

static double *ones(size_t n)
{
    double *weight = fl_xcalloc(n, sizeof *weight);
    for (size_t i = 0; i < n; i++) {
        weight[i] = 1;
    }
    return weight;
}

double eval_kept_error(const double *uncertainty, const double *error, size_t n, double share)
{
    FL_REQUIRE(share >= 0 && share < 1);
    keyed *order = sort_cases(uncertainty, n);
    double *weight = ones(n);
    double kept = n > 0 ? kept_error(order, error, weight, n, share) : NAN;
    free(weight);
    free(order);
    return kept;
}

// ------------------------------------------------------------------ bootstrap

/* What is resampled: cases in the order of their uncertainty and of their error. */
typedef struct {
    size_t n;
    const double *uncertainty, *error;
    keyed *by_uncertainty, *by_error;
    double *rank[2];  // (n) room for ranks of both
    double share;     // that is referred
} paired;

enum { PEARSON, SPEARMAN, ERROR, KEPT, CUT, N_PAIRED };

static paired paired_new(const double *uncertainty, const double *error, size_t n, double share)
{
    return (paired){.n = n,
                    .uncertainty = uncertainty,
                    .error = error,
                    .by_uncertainty = sort_cases(uncertainty, n),
                    .by_error = sort_cases(error, n),
                    .rank = {fl_xcalloc(n, sizeof(double)), fl_xcalloc(n, sizeof(double))},
                    .share = share};
}

static void paired_clear(paired *p)
{
    free(p->by_uncertainty);
    free(p->by_error);
    free(p->rank[0]);
    free(p->rank[1]);
}

static double pearson_of(const double *x, const double *y, const double *weight, size_t n)
{
    double total = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        total += weight[i];
        mx += weight[i] * x[i];
        my += weight[i] * y[i];
    }
    mx /= total;
    my /= total;
    for (size_t i = 0; i < n; i++) {
        xx += weight[i] * (x[i] - mx) * (x[i] - mx);
        yy += weight[i] * (y[i] - my) * (y[i] - my);
        xy += weight[i] * (x[i] - mx) * (y[i] - my);
    }
    // What does not vary but for rounding has no correlation.
    bool varies = xx > 1e-24 * total * mx * mx && yy > 1e-24 * total * my * my && xx > 0 && yy > 0;
    return varies ? fmax(-1, fmin(1, xy / sqrt(xx * yy))) : NAN;
}

/* Midranks of the resample, from 0 on. */
static void rank_cases(double *rank, const keyed *order, const double *weight, size_t n)
{
    double before = 0;
    for (size_t first = 0, end = 0; first < n; first = end) {
        double in_group = 0;
        end = group_end(order, first, n);
        for (size_t i = first; i < end; i++) {
            in_group += weight[order[i].i];
        }
        for (size_t i = first; i < end; i++) {
            rank[order[i].i] = before + in_group / 2;
        }
        before += in_group;
    }
}

static void paired_values(double value[static N_PAIRED], const paired *p, const double *weight)
{
    double total = 0, sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        total += weight[i];
        sum += weight[i] * p->error[i];
    }
    rank_cases(p->rank[0], p->by_uncertainty, weight, p->n);
    rank_cases(p->rank[1], p->by_error, weight, p->n);
    value[PEARSON] = pearson_of(p->uncertainty, p->error, weight, p->n);
    value[SPEARMAN] = pearson_of(p->rank[0], p->rank[1], weight, p->n);
    value[ERROR] = sum / total;
    value[KEPT] = kept_error(p->by_uncertainty, p->error, weight, p->n, p->share);
    value[CUT] = sum > 0 ? 1 - value[KEPT] / value[ERROR] : NAN;
}

static const char *const paired_whys[N_PAIRED] = {
    [PEARSON] = "uncertainty or error is the same in all cases",
    [SPEARMAN] = "uncertainty or error is the same in all cases",
    [ERROR] = "no cases",
    [KEPT] = "no cases",
    [CUT] = "there is no error to cut",
};

/* All values of these cases with percentile intervals, patients drawn. */
static void paired_figures(eval_figure figure[static N_PAIRED], const double *uncertainty,
                           const double *error, const int64_t *patient, size_t n, double share,
                           uint64_t seed)
{
    eval_patients patients;
    eval_patients_init(&patients, patient, n);
    double value[N_PAIRED] = {NAN, NAN, NAN, NAN, NAN};
    size_t n_replicates = eval_n_replicates(n);
    double *table = fl_xcalloc(n_replicates, N_PAIRED * sizeof *table);
    bool enough = patients.n_patients >= EVAL_FEW;
    if (n > 0) {
        paired p = paired_new(uncertainty, error, n, share);
        double *weight = ones(n), *drawn = fl_xcalloc(patients.n_patients, sizeof *drawn);
        fl_rng rng;
        paired_values(value, &p, weight);
        fl_rng_init(&rng, seed, "bootstrap", "selective", 0);
        for (size_t r = 0; enough && r < n_replicates; r++) {
            double one[N_PAIRED];
            eval_patients_resample(weight, drawn, &patients, &rng);
            paired_values(one, &p, weight);
            for (size_t k = 0; k < N_PAIRED; k++) {
                table[k * n_replicates + r] = one[k];
            }
        }
        free(weight);
        free(drawn);
        paired_clear(&p);
    }
    for (size_t k = 0; k < N_PAIRED; k++) {
        eval_figure *f = &figure[k];
        *f = (eval_figure){.value = value[k],
                           .ci_low = NAN,
                           .ci_high = NAN,
                           .n = (int64_t)n,
                           .n_positive = -1,
                           .n_patients = (int64_t)patients.n_patients};
        if (isnan(value[k])) {
            eval_figure_undefined(f, n == 0 ? "no cases" : paired_whys[k]);
        } else if (!enough) {
            eval_figure_no_interval(f, "too few cases: 10 are needed");
        } else {
            eval_percentile(f, table + k * n_replicates, n_replicates, patients.repeats);
        }
    }
    free(table);
    eval_patients_clear(&patients);
}

void eval_correlations(eval_figure *pearson, eval_figure *spearman, const double *uncertainty,
                       const double *error, const int64_t *patient, size_t n, uint64_t seed)
{
    eval_figure figure[N_PAIRED];
    paired_figures(figure, uncertainty, error, patient, n, 0, seed);
    *pearson = figure[PEARSON];
    *spearman = figure[SPEARMAN];
}

// ----------------------------------------------------------------- the whole

static json_t *curve_json(const double *uncertainty, const double *error, size_t n,
                          size_t n_points)
{
    json_t *curve = json_array();
    for (size_t k = 1; k <= n_points && n > 0; k++) {
        double coverage = (double)k / (double)n_points;
        double risk = eval_kept_error(uncertainty, error, n, 1 - coverage);
        json_array_append_new(curve, json_pack("{s:f, s:f}", "coverage", coverage, "risk", risk));
    }
    return curve;
}

/* One measure: its mean, its AURC, and what says whether it is of use. */
static json_t *doubt_json(const eval_doubt *d, const double *error, const bool *wrong,
                          const int64_t *patient, size_t n, uint64_t seed)
{
    json_t *json = json_object();
    double *risk = fl_xcalloc(n, sizeof *risk);
    json_object_set_new(json, "mean", fl_json_number(mean_of(d->value, n)));
    json_object_set_new(json, "aurc",
                        fl_json_number(eval_risk_coverage(risk, d->value, error, n)));
    free(risk);
    if (wrong != NULL) {
        eval_figure auroc;
        eval_error_detection(&auroc, d->value, wrong, patient, n);
        json_object_set_new(json, "auroc", eval_figure_json(&auroc));
        return json;
    }
    eval_figure pearson, spearman;
    eval_correlations(&pearson, &spearman, d->value, error, patient, n, seed);
    json_object_set_new(json, "pearson", eval_figure_json(&pearson));
    json_object_set_new(json, "spearman", eval_figure_json(&spearman));
    return json;
}

void eval_selective_put(json_t *out, const eval_doubt *doubts, size_t n_doubts,
                        const double *error, const bool *wrong, const int64_t *patient, size_t n,
                        const eval_selective_config *cfg)
{
    FL_REQUIRE(n_doubts >= 1 && cfg->n_points <= EVAL_MAX_POINTS);
    const double *first = doubts[0].value;
    json_t *measures = json_object();
    for (size_t d = 0; d < n_doubts; d++) {
        json_object_set_new(measures, doubts[d].name,
                            doubt_json(&doubts[d], error, wrong, patient, n, cfg->seed));
    }
    eval_figure figure[N_PAIRED];
    paired_figures(figure, first, error, patient, n, cfg->share, cfg->seed);
    double target = isnan(cfg->target) ? figure[ERROR].value / 2 : cfg->target;
    json_object_set_new(out, "measure", json_string(doubts[0].name));
    json_object_set_new(out, "measures", measures);
    json_object_set_new(out, "error", eval_figure_json(&figure[ERROR]));
    json_object_set_new(out, "refer", json_pack("{s:f, s:o, s:o}", "share", cfg->share,
                                                "error_kept", eval_figure_json(&figure[KEPT]),
                                                "cut", eval_figure_json(&figure[CUT])));
    json_object_set_new(
        out, "target",
        json_pack("{s:o, s:o}", "error", fl_json_number(target), "share",
                  fl_json_number(n > 0 ? eval_refer_share(first, error, n, target) : NAN)));
    json_object_set_new(out, "risk_coverage", curve_json(first, error, n, cfg->n_points));
}
