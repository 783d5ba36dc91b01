/*
 * compare.c - what one classifier does better than another on the same cases
 *
 * The AUC by DeLong's paired variance, all else by a paired bootstrap in which
 * both models see the same draws of patients.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/bootstrap.h"
#include "eval/stats.h"

static int metric_index(const char *name)
{
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        if (strcmp(eval_class_metric_names[m], name) == 0) {
            return m;
        }
    }
    return -1;
}

/* Two models on the same cases, and what is worked out once for all metrics. */
typedef struct {
    eval_cases from, to;
    double value_from[EVAL_N_VALUES], value_to[EVAL_N_VALUES];
    double *table_from, *table_to;  // replicates from the same draws; NULL = not drawn yet
    size_t n_replicates;
    uint64_t seed;
} pair;

static void pair_init(pair *p, const eval_predictions *a, const eval_predictions *b, uint64_t seed)
{
    FL_REQUIRE(a->n == b->n && a->n_classes == b->n_classes && a->positive == b->positive);
    FL_REQUIRE(a->n == 0 || memcmp(a->label, b->label, a->n * sizeof *a->label) == 0);
    *p = (pair){.seed = seed};
    eval_cases_init(&p->from, a);
    eval_cases_init(&p->to, b);
    eval_cases_values_all(p->value_from, &p->from);
    eval_cases_values_all(p->value_to, &p->to);
}

static void pair_clear(pair *p)
{
    eval_cases_clear(&p->from);
    eval_cases_clear(&p->to);
    free(p->table_from);
    free(p->table_to);
}

static void paired_bootstrap(eval_figure *f, int metric, pair *p)
{
    if (eval_bootstrap_too_few(f, &p->from, metric)) {
        return;
    }
    if (p->table_from == NULL) {
        p->n_replicates = eval_n_replicates(p->from.n);
        p->table_from = eval_bootstrap(&p->from, p->n_replicates, p->seed);
        p->table_to = eval_bootstrap(&p->to, p->n_replicates, p->seed);
    }
    size_t n = p->n_replicates;
    const double *from = eval_replicates_of(p->table_from, metric, n, p->value_from);
    double *to = eval_replicates_of(p->table_to, metric, n, p->value_to);
    for (size_t r = 0; r < n; r++) {
        to[r] -= from[r];
    }
    eval_percentile(f, to, n, p->from.patients.repeats);
    if (f->why[0] == '\0') {
        snprintf(f->method, sizeof f->method, "paired bootstrap %zu%s", n,
                 p->from.patients.repeats ? ", by patient" : "");
    }
}

static void auc_difference(eval_figure *f, const eval_cases *a, const eval_cases *b)
{
    int k = a->positive;
    bool *positive = fl_xcalloc(a->n, sizeof *positive);
    double *score[2] = {fl_xcalloc(a->n, sizeof(double)), fl_xcalloc(a->n, sizeof(double))};
    for (size_t i = 0; i < a->n; i++) {
        positive[i] = a->label[i] == k;
        score[0][a->order[k][i]] = a->sorted[k][i];
        score[1][b->order[k][i]] = b->sorted[k][i];
    }
    eval_auc_difference(f, score[0], score[1], positive, &a->patients);
    free(positive);
    free(score[0]);
    free(score[1]);
}

static void difference(eval_figure *out, int m, pair *p)
{
    eval_cases_figure(out, &p->from);
    out->value = p->value_to[m] - p->value_from[m];
    if (!eval_metric_compared(eval_class_metric_names[m])) {
        eval_figure_undefined(out, "its best value lies in between: nothing to subtract");
    } else if (isnan(out->value)) {
        const eval_cases *undefined = isnan(p->value_from[m]) ? &p->from : &p->to;
        eval_figure_undefined(out, eval_cases_why(undefined, (eval_class_metric)m));
    } else if (m == EVAL_AUC && p->from.binary) {
        auc_difference(out, &p->from, &p->to);
    } else {
        paired_bootstrap(out, m, p);
    }
}

void eval_difference(eval_figure *out, const char *metric, const eval_predictions *a,
                     const eval_predictions *b, uint64_t seed)
{
    int m = metric_index(metric);
    FL_REQUIRE(m >= 0);
    pair p;
    pair_init(&p, a, b, seed);
    difference(out, m, &p);
    pair_clear(&p);
}

void eval_differences(eval_metrics *out, const eval_predictions *a, const eval_predictions *b,
                      uint64_t seed)
{
    pair p;
    pair_init(&p, a, b, seed);
    out->n = 0;
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        eval_metric *item = &out->item[out->n++];
        snprintf(item->name, sizeof item->name, "%s", eval_class_metric_names[m]);
        difference(&item->figure, m, &p);
    }
    pair_clear(&p);
}
