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
#include "eval/groups.h"
#include "eval/stats.h"

static const double level = 0.04;  // of all tests of a list together: 5 % with room for their error
enum { FEW_TO_TEST = 25 };         // patients of a kind in a cell: fewer are not tested
#define Z975 2.241402727604947     // 98.75 % point: both parts of equalised odds

/* ----------------------------------------------------------------- p-values */

typedef struct {
    double p;
    size_t at;
} tested;

static int by_p(const void *a, const void *b)
{
    const tested *x = a, *y = b;
    if (x->p != y->p) {
        return x->p < y->p ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

void eval_holm(double *p, size_t n)
{
    tested *order = fl_xcalloc(n, sizeof *order);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i])) {
            order[m++] = (tested){p[i], i};
        }
    }
    qsort(order, m, sizeof *order, by_p);
    double highest = 0;
    for (size_t i = 0; i < m; i++) {
        highest = fmax(highest, fmin(1, order[i].p * (double)(m - i)));
        p[order[i].at] = highest;
    }
    free(order);
}

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
    size_t n_cases;
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
        s->n_cases += s->in[i];
    }
}

static void side_clear(side *s)
{
    free(s->in);
    free(s->positive);
    free(s->negative);
}

static eval_figure no_figure(void)
{
    return (eval_figure){.value = NAN, .ci_low = NAN, .ci_high = NAN, .n_positive = -1};
}

/* The difference of two figures; its counts are the sums of theirs. */
static eval_figure start_gap(const eval_figure *a, const eval_figure *b)
{
    eval_figure f = no_figure();
    f.n = a->n + b->n;
    f.n_patients = a->n_patients + b->n_patients;
    f.value = a->value - b->value;
    if (isnan(f.value)) {
        eval_figure_undefined(&f, isnan(a->value) ? a->why : b->why);
    } else if (isnan(a->ci_low) || isnan(b->ci_low)) {
        eval_figure_no_interval(&f, isnan(a->ci_low) ? a->why : b->why);
    }
    return f;
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
    eval_figure f = no_figure();
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

/* Welch's t of two means with these squared errors and degrees. */
static double welch(double gap, double square_a, double degrees_a, double square_b,
                    double degrees_b)
{
    double square = square_a + square_b;
    double degrees = square * square /
                     (square_a * square_a / degrees_a + square_b * square_b / degrees_b);
    return eval_student_p(gap / sqrt(square), (int)floor(degrees));
}

static eval_figure auc_gap(double *p, const side *a, const side *b)
{
    eval_figure of_a = auc_of(a), of_b = auc_of(b), f = start_gap(&of_a, &of_b);
    *p = NAN;
    if (f.method[0] != '\0') {
        return f;
    }
    mover(&f, &of_a, &of_b);
    snprintf(f.method, sizeof f.method, "MOVER of DeLong");
    if (of_a.se > 0 && of_b.se > 0 && fewest_of(a) >= FEW_TO_TEST && fewest_of(b) >= FEW_TO_TEST) {
        double scale_a = of_a.value * (1 - of_a.value), scale_b = of_b.value * (1 - of_b.value);
        double gap = log(of_a.value / (1 - of_a.value)) - log(of_b.value / (1 - of_b.value));
        *p = welch(gap, pow(of_a.se / scale_a, 2), fewest_of(a) - 1, pow(of_b.se / scale_b, 2),
                   fewest_of(b) - 1);
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
    share out = {.figure = no_figure()};
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
    eval_figure f = start_gap(&a->figure, &b->figure);
    *p = NAN;
    if (f.method[0] == '\0') {
        mover(&f, &a->figure, &b->figure);
        snprintf(f.method, sizeof f.method, "MOVER of Wilson");
        if (a->figure.n_patients >= FEW_TO_TEST && b->figure.n_patients >= FEW_TO_TEST) {
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
    eval_figure f = no_figure();
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

/* Mean of y - p, its squared standard error by patient, and patients. */
static eval_figure mean_residual(double *square, const side *s)
{
    const eval_cases *c = s->c;
    eval_figure f = no_figure();
    double sum = 0, G = (double)eval_patients_count(&c->patients, s->in), n = (double)s->n_cases;
    for (size_t i = 0; i < c->n; i++) {
        sum += s->in[i] ? c->right[i] - c->confidence[i] : 0;
    }
    f.n = (int64_t)s->n_cases;
    f.n_patients = (int64_t)G;
    f.value = sum / n;
    double *of_patient = fl_xcalloc(c->patients.n_patients, sizeof *of_patient);
    for (size_t i = 0; i < c->n; i++) {
        of_patient[c->patients.of[i]] += s->in[i] ? c->right[i] - c->confidence[i] - f.value : 0;
    }
    *square = 0;
    for (size_t g = 0; g < c->patients.n_patients; g++) {
        *square += of_patient[g] * of_patient[g] / (n * n);
    }
    free(of_patient);
    if (G < EVAL_FEW) {
        eval_figure_no_interval(&f, "too few patients in a group: 10 are needed");
    } else {
        *square *= G / (G - 1);
        f.ci_low = f.ci_high = f.value;  // there is one: see the difference
    }
    return f;
}

static eval_figure calibration_gap(double *p, const side *a, const side *b)
{
    double square_a, square_b;
    eval_figure of_a = mean_residual(&square_a, a), of_b = mean_residual(&square_b, b);
    eval_figure f = start_gap(&of_a, &of_b);
    *p = NAN;
    if (f.method[0] != '\0') {
        return f;
    }
    double degrees_a = (double)of_a.n_patients - 1, degrees_b = (double)of_b.n_patients - 1;
    double square = square_a + square_b;
    if (square <= 0) {
        eval_figure_no_interval(&f, "the cases do not vary");
        return f;
    }
    double degrees = square * square /
                     (square_a * square_a / degrees_a + square_b * square_b / degrees_b);
    f.se = sqrt(square);
    double half = eval_student_quantile((int)floor(degrees)) * f.se;
    f.ci_low = f.value - half;
    f.ci_high = f.value + half;
    snprintf(f.method, sizeof f.method, "Welch, by patient");
    if (of_a.n_patients >= FEW_TO_TEST && of_b.n_patients >= FEW_TO_TEST) {
        *p = welch(f.value, square_a, degrees_a, square_b, degrees_b);
    }
    return f;
}

/* ------------------------------------------------------------------ the list */

static void put(json_t *entry, const char *name, const eval_figure *f, double p)
{
    json_t *json = eval_figure_json(f);
    if (!isnan(p)) {
        json_object_set_new(json, "p", json_real(p));
    }
    json_object_set_new(entry, name, json);
}

static void compare(json_t *list, const char *attribute, const char *value, const char *other,
                    side *a, side *b)
{
    const eval_cases *c = a->c;
    double p;
    bool *called = fl_xcalloc(c->n, sizeof *called);
    for (size_t i = 0; i < c->n; i++) {
        called[i] = c->called[i] == c->positive;
    }
    json_t *entry = json_object();
    json_object_set_new(entry, "attribute", eval_text_json(attribute));
    json_object_set_new(entry, "value", eval_text_json(value));
    json_object_set_new(entry, "other", eval_text_json(other));
    json_object_set_new(entry, "n", json_integer((json_int_t)a->n_cases));
    json_object_set_new(entry, "n_other", json_integer((json_int_t)b->n_cases));
    eval_figure f = auc_gap(&p, a, b);
    put(entry, "auc_gap", &f, p);
    const share sensitivity[2] = {share_of(a, a->positive, called, "no positive cases"),
                                  share_of(b, b->positive, called, "no positive cases")};
    const share alarms[2] = {share_of(a, a->negative, called, "no negative cases"),
                             share_of(b, b->negative, called, "no negative cases")};
    const share calls[2] = {share_of(a, a->in, called, "no cases"),
                            share_of(b, b->in, called, "no cases")};
    f = share_gap(&p, &sensitivity[0], &sensitivity[1]);
    put(entry, "equal_opportunity", &f, p);
    f = share_gap(&p, &alarms[0], &alarms[1]);
    put(entry, "false_positive_gap", &f, p);
    f = equalised_odds(sensitivity, alarms);
    put(entry, "equalised_odds", &f, NAN);
    f = share_gap(&p, &calls[0], &calls[1]);
    put(entry, "demographic_parity", &f, NAN);
    f = calibration_gap(&p, a, b);
    put(entry, "calibration_gap", &f, p);
    json_array_append_new(list, entry);
    free(called);
}

static void add_attribute(json_t *list, const eval_attribute *attribute, const eval_predictions *p,
                          const eval_cases *c, int64_t min_cell)
{
    eval_cell *cells = NULL;
    size_t n_cells = eval_cells_find(&cells, attribute->value, p, min_cell), shown[2] = {0, 0};
    size_t n_shown = 0;
    for (size_t at = 0; at < n_cells && n_cells <= EVAL_MAX_CELLS; at++) {
        cells[at].suppressed = cells[at].suppressed || strcmp(cells[at].value, EVAL_UNKNOWN) == 0;
        if (!cells[at].suppressed) {
            shown[n_shown > 0] = at;
            n_shown++;
        }
    }
    for (size_t at = 0; at < n_cells && n_shown >= 2; at++) {
        if (cells[at].suppressed || (n_shown == 2 && at != shown[0])) {
            continue;
        }
        side a = side_new(c), b = side_new(c);
        size_t kept = 0;
        for (size_t i = 0; i < p->n; i++) {
            if (p->label[i] < 0) {
                continue;  // not among the cases
            }
            a.in[kept] = cells[at].in[i];
            for (size_t k = 0; k < n_cells; k++) {
                b.in[kept] = b.in[kept] || (k != at && !cells[k].suppressed && cells[k].in[i]);
            }
            kept++;
        }
        side_fill(&a);
        side_fill(&b);
        compare(list, attribute->name, cells[at].value,
                n_shown == 2 ? cells[shown[1]].value : "the others", &a, &b);
        side_clear(&a);
        side_clear(&b);
    }
    eval_cells_free(cells, n_cells);
}

/* Adds p_holm and flagged to every figure with a p, over all of them. */
static void correct(json_t *list)
{
    size_t n = 0, at, m = 0;
    json_t *entry, *figure;
    const char *key;
    double *p = NULL;
    json_array_foreach(list, at, entry) {
        n += json_object_size(entry);
    }
    p = fl_xcalloc(n, sizeof *p);
    json_array_foreach(list, at, entry) {
        json_object_foreach(entry, key, figure) {
            p[m++] = fl_json_get_number(figure, "p");
        }
    }
    eval_holm(p, n);
    m = 0;
    json_array_foreach(list, at, entry) {
        json_object_foreach(entry, key, figure) {
            if (json_is_object(figure) && !isnan(p[m])) {
                json_object_set_new(figure, "p_holm", json_real(p[m]));
                json_object_set_new(figure, "flagged", json_boolean(p[m] < level));
            }
            m++;
        }
    }
    free(p);
}

json_t *eval_disparities(const eval_attribute *attributes, size_t n_attributes,
                         const eval_predictions *p, int64_t min_cell)
{
    json_t *list = json_array();
    eval_cases c;
    eval_cases_init(&c, p);
    for (size_t a = 0; a < n_attributes && c.binary && !c.damaged; a++) {
        add_attribute(list, &attributes[a], p, &c, min_cell);
    }
    eval_cases_clear(&c);
    correct(list);
    return list;
}

/* ----------------------------------------------------------- two attributes */

static bool all_may_be_shown(const char *const *value, const eval_predictions *p, int64_t min_cell)
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
                     const eval_predictions *p, int64_t min_cell, uint64_t seed)
{
    if (!all_may_be_shown(a->value, p, min_cell) || !all_may_be_shown(b->value, p, min_cell)) {
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
    if (all_may_be_shown(values, p, min_cell)) {
        eval_subgroups(list, name, values, p, min_cell, seed);
    }
    for (size_t i = 0; i < p->n; i++) {
        free(value[i]);
    }
    free(value);
    free(name);
}

void eval_subgroup_pairs(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                         const eval_predictions *p, int64_t min_cell, uint64_t seed)
{
    for (size_t a = 0; a < n_attributes; a++) {
        for (size_t b = a + 1; b < n_attributes; b++) {
            add_pair(list, &attributes[a], &attributes[b], p, min_cell, seed);
        }
    }
}
