/*
 * disparity.c - see disparity.h
 */
#include "eval/disparity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/cases.h"
#include "eval/gaps.h"
#include "eval/groups.h"
#include "eval/stats.h"

#define Z975 2.241402727604947  // 98.75 % point: both parts of equalised odds

/* ----------------------------------------------------------------- p-values */

static double log_choose(int64_t n, int64_t k)
{
    return lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);
}

double eval_fisher(int64_t k1, int64_t n1, int64_t k2, int64_t n2)
{
    FL_REQUIRE(0 <= k1 && k1 <= n1 && 0 <= k2 && k2 <= n2);
    int64_t hits = k1 + k2;
    int64_t least = hits > n2 ? hits - n2 : 0, most = hits < n1 ? hits : n1;
    double all = log_choose(n1 + n2, hits), sum = 0;
    double seen = log_choose(n1, k1) + log_choose(n2, k2) - all;
    for (int64_t k = least; k <= most; k++) {
        double one = log_choose(n1, k) + log_choose(n2, hits - k) - all;
        sum += one <= seen + 1e-7 ? exp(one) : 0;  // as likely, or less so
    }
    return fmin(1, sum);
}

/* -------------------------------------------------------------------- sides */

/* What is compared: the cases of a cell, or of the others together. */
typedef struct {
    const eval_cases *c;
    bool *in;                   // (n)
    bool *positive, *negative;  // (n) those of in
} side;

static side side_new(const eval_cases *c)
{
    return (side){.c = c,
                  .in = fl_xcalloc(c->n, sizeof(bool)),
                  .positive = fl_xcalloc(c->n, sizeof(bool)),
                  .negative = fl_xcalloc(c->n, sizeof(bool))};
}

static void side_fill(side *s)
{
    for (size_t i = 0; i < s->c->n; i++) {
        bool positive = s->c->label[i] == s->c->positive;
        s->positive[i] = s->in[i] && positive;
        s->negative[i] = s->in[i] && !positive;
    }
}

static void side_clear(side *s)
{
    free(s->in);
    free(s->positive);
    free(s->negative);
}

/* Newcombe's hybrid interval (1998, method 10) of a - b, whose intervals are
 * known. */
static void mover(eval_figure *f, const eval_figure *a, const eval_figure *b)
{
    f->ci_low = fmax(-1, f->value - hypot(a->value - a->ci_low, b->ci_high - b->value));
    f->ci_high = fmin(1, f->value + hypot(a->ci_high - a->value, b->value - b->ci_low));
}

/* --------------------------------------------------------------------- AUCs */

static eval_figure auc_of(const side *s)
{
    const eval_cases *c = s->c;
    double *all = fl_xcalloc(c->n, sizeof *all), *score = fl_xcalloc(c->n, sizeof *score);
    bool *positive = fl_xcalloc(c->n, sizeof *positive);
    int64_t *patient = fl_xcalloc(c->n, sizeof *patient);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        all[c->order[c->positive][i]] = c->sorted[c->positive][i];
    }
    for (size_t i = 0; i < c->n; i++) {
        if (s->in[i]) {
            score[n] = all[i];
            positive[n] = s->positive[i];
            patient[n++] = (int64_t)c->patients.of[i];
        }
    }
    eval_patients patients;
    eval_patients_init(&patients, patient, n);
    eval_figure f = eval_gap_none();
    eval_auc_figure(&f, score, positive, &patients);
    eval_patients_clear(&patients);
    free(all);
    free(score);
    free(positive);
    free(patient);
    return f;
}

/* Patients of the rarer class. */
static double fewest_of(const side *s)
{
    size_t positive = eval_patients_count(&s->c->patients, s->positive);
    size_t negative = eval_patients_count(&s->c->patients, s->negative);
    return (double)(positive < negative ? positive : negative);
}

static eval_figure auc_gap(double *p, const side *a, const side *b)
{
    eval_figure of_a = auc_of(a), of_b = auc_of(b), f = eval_gap_start(&of_a, &of_b);
    *p = NAN;
    if (f.method[0] != '\0') {
        return f;
    }
    mover(&f, &of_a, &of_b);
    snprintf(f.method, sizeof f.method, "MOVER of DeLong");
    if (of_a.se > 0 && of_b.se > 0 && fewest_of(a) >= EVAL_FEW_TO_TEST &&
        fewest_of(b) >= EVAL_FEW_TO_TEST) {
        double scale_a = of_a.value * (1 - of_a.value), scale_b = of_b.value * (1 - of_b.value);
        double gap = log(of_a.value / (1 - of_a.value)) - log(of_b.value / (1 - of_b.value));
        *p = eval_welch_p(gap, pow(of_a.se / scale_a, 2), fewest_of(a) - 1,
                          pow(of_b.se / scale_b, 2), fewest_of(b) - 1);
    }
    return f;
}

/* ------------------------------------------------------------------- shares */

typedef struct {
    eval_figure figure;
    double n;  // cases, as if each came from a patient of its own
} share;

static share share_of(const side *s, const bool *in, const bool *hit, const char *why_empty)
{
    const eval_patients *patients = &s->c->patients;
    share out = {.figure = eval_gap_none()};
    eval_proportion(&out.figure, in, hit, patients, why_empty);
    out.n = eval_effective_n(in, hit, patients);
    if (!isnan(out.figure.value) && out.figure.n_patients < EVAL_FEW) {
        eval_figure_no_interval(&out.figure, "too few cases in a group: 10 are needed");
    }
    return out;
}

/* Cases for the exact test.  Where patients repeat, their spread is estimated
 * from so many patients: fewer count, as Korn and Graubard (1998) have it. */
static int64_t whole_n(const share *s)
{
    if (s->n >= (double)s->figure.n) {
        return s->figure.n;
    }
    double ratio = EVAL_Z95 / eval_student_quantile((int)s->figure.n_patients - 1);
    return (int64_t)fmax(1, floor(s->n * ratio * ratio));
}

static eval_figure share_gap(double *p, const share *a, const share *b)
{
    eval_figure f = eval_gap_start(&a->figure, &b->figure);
    *p = NAN;
    if (f.method[0] == '\0') {
        mover(&f, &a->figure, &b->figure);
        snprintf(f.method, sizeof f.method, "MOVER of Wilson");
        if (a->figure.n_patients >= EVAL_FEW_TO_TEST &&
            b->figure.n_patients >= EVAL_FEW_TO_TEST) {
            int64_t n_a = whole_n(a), n_b = whole_n(b);
            *p = eval_fisher(llround(a->figure.value * (double)n_a), n_a,
                             llround(b->figure.value * (double)n_b), n_b);
        }
    }
    return f;
}

/* The ends of |a - b| at the level of z. */
static void size_of_gap(double *low, double *high, const share *a, const share *b)
{
    eval_figure x = a->figure, y = b->figure, f = {.value = x.value - y.value};
    eval_wilson_at(&x.ci_low, &x.ci_high, x.value, a->n, Z975);
    eval_wilson_at(&y.ci_low, &y.ci_high, y.value, b->n, Z975);
    mover(&f, &x, &y);
    *low = f.ci_low > 0 ? f.ci_low : f.ci_high < 0 ? -f.ci_high : 0;
    *high = fmax(fabs(f.ci_low), fabs(f.ci_high));
}

static eval_figure equalised_odds(const share sensitivity[2], const share alarms[2])
{
    double unused, low[2], high[2];
    eval_figure of_ill = share_gap(&unused, &sensitivity[0], &sensitivity[1]);
    eval_figure of_well = share_gap(&unused, &alarms[0], &alarms[1]);
    eval_figure f = eval_gap_none();
    f.n = of_ill.n + of_well.n;
    f.value = fmax(fabs(of_ill.value), fabs(of_well.value));
    f.n_patients = of_ill.n_patients + of_well.n_patients;
    if (isnan(of_ill.value) || isnan(of_well.value)) {
        eval_figure_undefined(&f, isnan(of_ill.value) ? of_ill.why : of_well.why);
    } else if (isnan(of_ill.ci_low) || isnan(of_well.ci_low)) {
        eval_figure_no_interval(&f, isnan(of_ill.ci_low) ? of_ill.why : of_well.why);
    } else {
        size_of_gap(&low[0], &high[0], &sensitivity[0], &sensitivity[1]);
        size_of_gap(&low[1], &high[1], &alarms[0], &alarms[1]);
        f.ci_low = fmax(low[0], low[1]);
        f.ci_high = fmax(high[0], high[1]);
        snprintf(f.method, sizeof f.method, "MOVER of Wilson, both parts");
    }
    return f;
}

/* -------------------------------------------------------------- calibration */

/* ------------------------------------------------------------------ the list */

static void compare_sides(json_t *entry, side *a, side *b)
{
    const eval_cases *c = a->c;
    double p;
    bool *called = fl_xcalloc(c->n, sizeof *called);
    double *residual = fl_xcalloc(c->n, sizeof *residual);
    for (size_t i = 0; i < c->n; i++) {
        called[i] = c->called[i] == c->positive;
        residual[i] = c->right[i] - c->confidence[i];
    }
    eval_figure f = auc_gap(&p, a, b);
    eval_gap_put(entry, "auc_gap", &f, p);
    const share sensitivity[2] = {share_of(a, a->positive, called, "no positive cases"),
                                  share_of(b, b->positive, called, "no positive cases")};
    const share alarms[2] = {share_of(a, a->negative, called, "no negative cases"),
                             share_of(b, b->negative, called, "no negative cases")};
    const share calls[2] = {share_of(a, a->in, called, "no cases"),
                            share_of(b, b->in, called, "no cases")};
    f = share_gap(&p, &sensitivity[0], &sensitivity[1]);
    eval_gap_put(entry, "equal_opportunity", &f, p);
    f = share_gap(&p, &alarms[0], &alarms[1]);
    eval_gap_put(entry, "false_positive_gap", &f, p);
    f = equalised_odds(sensitivity, alarms);
    eval_gap_put(entry, "equalised_odds", &f, NAN);
    f = share_gap(&p, &calls[0], &calls[1]);
    eval_gap_put(entry, "demographic_parity", &f, NAN);
    f = eval_gap_of_means(&p, residual, a->in, b->in, &c->patients, EVAL_FEW_TO_TEST);
    eval_gap_put(entry, "calibration_gap", &f, p);
    free(residual);
    free(called);
}

typedef struct {
    const eval_predictions *p;
    const eval_cases *c;  // its labelled cases
} two_classes;

static void compare(void *ctx, json_t *entry, const bool *in, const bool *others)
{
    const two_classes *t = ctx;
    side a = side_new(t->c), b = side_new(t->c);
    size_t kept = 0;
    for (size_t i = 0; i < t->p->n; i++) {
        if (t->p->label[i] >= 0) {
            a.in[kept] = in[i];
            b.in[kept] = others[i];
            kept++;
        }
    }
    side_fill(&a);
    side_fill(&b);
    compare_sides(entry, &a, &b);
    side_clear(&a);
    side_clear(&b);
}

void eval_gaps_two_classes(json_t *list, const eval_attribute *attribute,
                           const eval_predictions *p, int64_t min_cell)
{
    eval_cases c;
    eval_cases_init(&c, p);
    two_classes both = {p, &c};
    if (c.binary && !c.damaged) {
        eval_gaps_each(list, attribute, p, min_cell, compare, &both);
    }
    eval_cases_clear(&c);
}

json_t *eval_disparities(const eval_attribute *attributes, size_t n_attributes,
                         const eval_predictions *p, int64_t min_cell)
{
    json_t *list = json_array();
    for (size_t a = 0; a < n_attributes; a++) {
        eval_gaps_two_classes(list, &attributes[a], p, min_cell);
    }
    eval_gaps_correct(list);
    return list;
}

/* ----------------------------------------------------------- two attributes */

bool eval_cells_all_shown(const char *const *value, const eval_predictions *p, int64_t min_cell)
{
    eval_cell *cells = NULL;
    size_t n_cells = eval_cells_find(&cells, value, p, min_cell);
    bool shown = n_cells >= 2 && n_cells <= EVAL_PAIR_CELLS;
    for (size_t at = 0; at < n_cells; at++) {
        shown = shown && !cells[at].suppressed;
    }
    eval_cells_free(cells, n_cells);
    return shown;
}

static void add_pair(json_t *list, const eval_attribute *a, const eval_attribute *b,
                     const eval_predictions *p, int64_t min_cell, eval_group_figures *figures,
                     void *ctx)
{
    if (!eval_cells_all_shown(a->value, p, min_cell) || !eval_cells_all_shown(b->value, p, min_cell)) {
        return;
    }
    char **value = fl_xcalloc(p->n, sizeof *value);
    char *name = fl_xasprintf("%s and %s", a->name, b->name);
    for (size_t i = 0; i < p->n; i++) {
        const char *x = a->value[i], *y = b->value[i];
        value[i] = fl_xasprintf("%s, %s", x != NULL && *x != '\0' ? x : EVAL_UNKNOWN,
                                y != NULL && *y != '\0' ? y : EVAL_UNKNOWN);
    }
    const char *const *values = (const char *const *)value;
    if (eval_cells_all_shown(values, p, min_cell)) {
        eval_subgroups_by(list, name, values, p, min_cell, figures, ctx);
    }
    for (size_t i = 0; i < p->n; i++) {
        free(value[i]);
    }
    free(value);
    free(name);
}

void eval_subgroup_pairs_by(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                            const eval_predictions *cases, int64_t min_cell,
                            eval_group_figures *figures, void *ctx)
{
    for (size_t a = 0; a < n_attributes; a++) {
        for (size_t b = a + 1; b < n_attributes; b++) {
            add_pair(list, &attributes[a], &attributes[b], cases, min_cell, figures, ctx);
        }
    }
}

void eval_subgroup_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                         const eval_predictions *p, int64_t min_cell, uint64_t seed)
{
    eval_classified of = {p, seed};
    eval_subgroup_pairs_by(list, attributes, n_attributes, p, min_cell, eval_classified_figures,
                           &of);
}
