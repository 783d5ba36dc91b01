/*
 * agreement.c - see agreement.h
 */
#include "eval/agreement.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/metrics_seg.h"
#include "eval/patients.h"
#include "eval/stats.h"

void eval_overlap_count(eval_overlap *out, const uint8_t *a, const uint8_t *b, size_t n_points,
                        size_t n_classes)
{
    int64_t of_a[256] = {0}, of_b[256] = {0}, both[256] = {0};
    bool drawn = a != NULL && b != NULL;
    for (size_t i = 0; drawn && i < n_points; i++) {
        if (a[i] != EVAL_SEG_IGNORE && b[i] != EVAL_SEG_IGNORE) {
            of_a[a[i]]++;
            of_b[b[i]]++;
            both[a[i]] += a[i] == b[i];
        }
    }
    for (size_t k = 0; k < n_classes; k++) {
        out[k] = drawn ? (eval_overlap){of_a[k + 1], of_b[k + 1], both[k + 1]}
                       : (eval_overlap){.n_both = -1};
    }
}

size_t eval_drawn_n_pairs(size_t n_readers)
{
    return n_readers * (n_readers - 1) / 2;
}

/* NaN where one was not drawn, empty where both drew nothing. */
static double dice_of(const eval_overlap *o, double empty)
{
    return o->n_both < 0            ? NAN
           : o->n_a + o->n_b == 0 ? empty
                                    : 2 * (double)o->n_both / (double)(o->n_a + o->n_b);
}

// ------------------------------------------------------------- means over cases

/* One value a case and class, of the cases that have any. */
typedef struct {
    size_t n, K;
    double *value;  // (n, K), NaN = left out
    eval_patients patients;
} measured;

static measured measured_of(const double *value, const eval_drawn *d)
{
    size_t K = d->n_classes;
    measured m = {.K = K, .value = fl_xcalloc(d->n * K, sizeof *m.value)};
    int64_t *patient = fl_xcalloc(d->n, sizeof *patient);
    for (size_t i = 0; i < d->n; i++) {
        bool any = false;
        for (size_t k = 0; k < K; k++) {
            any = any || !isnan(value[i * K + k]);
        }
        if (any) {
            memcpy(m.value + m.n * K, value + i * K, K * sizeof *value);
            patient[m.n++] = d->patient != NULL ? d->patient[i] : (int64_t)i;
        }
    }
    eval_patients_init(&m.patients, patient, m.n);
    free(patient);
    return m;
}

static void measured_clear(measured *m)
{
    eval_patients_clear(&m->patients);
    free(m->value);
}

/* weight: (n); NULL = 1 each. */
static double mean_of(const measured *m, const double *weight)
{
    double over_classes = 0;
    int n_classes = 0;
    for (size_t k = 0; k < m->K; k++) {
        double sum = 0, n = 0;
        for (size_t i = 0; i < m->n; i++) {
            double value = m->value[i * m->K + k], w = weight != NULL ? weight[i] : 1;
            sum += isnan(value) ? 0 : w * value;
            n += isnan(value) ? 0 : w;
        }
        over_classes += n > 0 ? sum / n : 0;
        n_classes += n > 0;
    }
    return n_classes > 0 ? over_classes / n_classes : NAN;
}

static void put_interval(eval_figure *f, const measured *m, uint64_t seed)
{
    char why[sizeof f->why];
    if (f->n_patients < EVAL_FEW) {
        snprintf(why, sizeof why, "too few %s: %lld; %d are needed",
                 m->patients.repeats ? "patients" : "cases", (long long)f->n_patients, EVAL_FEW);
        eval_figure_no_interval(f, why);
        return;
    }
    size_t n_replicates = eval_n_replicates(m->n * m->K);
    double *replicate = fl_xcalloc(n_replicates, sizeof *replicate);
    double *weight = fl_xcalloc(m->n, sizeof *weight);
    double *drawn = fl_xcalloc(m->patients.n_patients, sizeof *drawn);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bootstrap", "", 0);
    for (size_t r = 0; r < n_replicates; r++) {
        eval_patients_resample(weight, drawn, &m->patients, &rng);
        replicate[r] = mean_of(m, weight);
    }
    eval_percentile(f, replicate, n_replicates, m->patients.repeats);
    free(drawn);
    free(weight);
    free(replicate);
}

/* value: (n, K) of d's cases. */
static void put_figure(eval_figure *f, const double *value, const eval_drawn *d, const char *none,
                       uint64_t seed)
{
    measured m = measured_of(value, d);
    *f = (eval_figure){.value = mean_of(&m, NULL), .ci_low = NAN, .ci_high = NAN,
                       .n = (int64_t)m.n, .n_positive = -1,
                       .n_patients = (int64_t)m.patients.n_patients};
    if (m.n == 0) {
        eval_figure_undefined(f, none);
    } else {
        put_interval(f, &m, seed);
    }
    measured_clear(&m);
}

// ----------------------------------------------------------------- two and two

/* Dice of the masks that stand at (case, at, class) of a list with n_each of them a case. */
static void put_dice(eval_figure *f, const eval_drawn *d, const eval_overlap *list, size_t n_each,
                     size_t at, const char *not_drawn, uint64_t seed)
{
    size_t K = d->n_classes;
    double *value = fl_xcalloc(d->n * K, sizeof *value);
    bool drawn = false;
    for (size_t i = 0; i < d->n; i++) {
        for (size_t k = 0; k < K; k++) {
            const eval_overlap *o = &list[(i * n_each + at) * K + k];
            drawn = drawn || o->n_both >= 0;
            value[i * K + k] = dice_of(o, NAN);
        }
    }
    put_figure(f, value, d, drawn ? "both masks are empty in every case" : not_drawn, seed);
    free(value);
}

void eval_drawn_pair(eval_figure *out, const eval_drawn *d, size_t pair, uint64_t seed)
{
    size_t P = eval_drawn_n_pairs(d->n_readers);
    FL_REQUIRE(pair < P);
    put_dice(out, d, d->pair, P, pair, "no case was drawn by both", seed);
}

void eval_drawn_reader(eval_figure *out, const eval_drawn *d, size_t reader, uint64_t seed)
{
    FL_REQUIRE(reader < d->n_readers);
    put_dice(out, d, d->model, d->n_readers, reader, "no case was drawn by this annotator", seed);
}

void eval_drawn_consensus(eval_figure *out, const eval_drawn *d, uint64_t seed)
{
    put_dice(out, d, d->consensus, 1, 0, "no case was drawn by three, and two have no majority",
             seed);
}

// ---------------------------------------------------------------- the comparison

/* Mean over those that were drawn, two that are empty being 1; NaN: none was.  n_points:
 * what anybody drew is added. */
static double mean_dice(const eval_overlap *list, size_t n, size_t stride, int64_t *n_points)
{
    double sum = 0;
    int n_drawn = 0;
    for (size_t at = 0; at < n; at++) {
        const eval_overlap *o = &list[at * stride];
        if (o->n_both >= 0) {
            sum += dice_of(o, 1);
            n_drawn++;
            *n_points += o->n_a + o->n_b;
        }
    }
    return n_drawn > 0 ? sum / n_drawn : NAN;
}

void eval_agreement_of(eval_agreement *out, const eval_drawn *d, uint64_t seed)
{
    static const char none[] = "no case was drawn by two annotators, with anything in it";
    size_t K = d->n_classes, R = d->n_readers, P = eval_drawn_n_pairs(R);
    double *human = fl_xcalloc(d->n * K, sizeof *human);
    double *model = fl_xcalloc(d->n * K, sizeof *model);
    double *difference = fl_xcalloc(d->n * K, sizeof *difference);
    for (size_t i = 0; i < d->n; i++) {
        for (size_t k = 0; k < K; k++) {
            size_t at = i * K + k;
            int64_t n_points = 0;
            human[at] = mean_dice(d->pair + i * P * K + k, P, K, &n_points);
            model[at] = mean_dice(d->model + i * R * K + k, R, K, &n_points);
            if (n_points == 0 || isnan(human[at])) {
                human[at] = model[at] = NAN;
            }
            difference[at] = model[at] - human[at];
        }
    }
    put_figure(&out->human, human, d, none, seed);
    put_figure(&out->model, model, d, none, seed);
    put_figure(&out->difference, difference, d, none, seed);
    free(difference);
    free(model);
    free(human);
}

const char *eval_agreement_verdict(const eval_figure *difference, double margin)
{
    // A comparison with NaN is false.
    return difference->ci_low > -margin    ? "as well"
           : difference->ci_high < -margin ? "less well"
                                           : "cannot tell";
}

// ------------------------------------------------------------------------ json

/* entry with n and the figure, or hidden. */
static json_t *put_cell(json_t *entry, const eval_figure *f, bool hidden, int64_t min_cell)
{
    if (hidden) {
        json_object_set_new(entry, "n", json_null());
        eval_suppressed_why(entry, min_cell);
    } else {
        json_object_set_new(entry, "n", json_integer((json_int_t)f->n));
        json_object_set_new(entry, "dice", eval_figure_json(f));
    }
    return entry;
}

typedef void drawn_figure(eval_figure *out, const eval_drawn *d, size_t at, uint64_t seed);

/* A list of n figures; which are hidden is decided together. */
static void all_figures(eval_figure *f, bool *hidden, size_t n, drawn_figure *of,
                        const eval_drawn *d, int64_t min_cell, uint64_t seed)
{
    int64_t *patients = fl_xcalloc(n, sizeof *patients);
    for (size_t at = 0; at < n; at++) {
        of(&f[at], d, at, seed);
        patients[at] = f[at].n_patients;
    }
    eval_suppress(hidden, patients, n, min_cell);
    free(patients);
}

static json_t *pairs_json(const eval_drawn *d, const char *const *names, int64_t min_cell,
                          uint64_t seed)
{
    size_t P = eval_drawn_n_pairs(d->n_readers), at = 0;
    eval_figure *f = fl_xcalloc(P, sizeof *f);
    bool *hidden = fl_xcalloc(P, sizeof *hidden);
    json_t *list = json_array();
    all_figures(f, hidden, P, eval_drawn_pair, d, min_cell, seed);
    for (size_t a = 0; a < d->n_readers; a++) {
        for (size_t b = a + 1; b < d->n_readers; b++, at++) {
            json_t *entry = json_pack("{s:s, s:s}", "a", names[a], "b", names[b]);
            json_array_append_new(list, put_cell(entry, &f[at], hidden[at], min_cell));
        }
    }
    free(hidden);
    free(f);
    return list;
}

static json_t *readers_json(const eval_drawn *d, const char *const *names, int64_t min_cell,
                            uint64_t seed)
{
    eval_figure *f = fl_xcalloc(d->n_readers, sizeof *f);
    bool *hidden = fl_xcalloc(d->n_readers, sizeof *hidden);
    json_t *list = json_array();
    all_figures(f, hidden, d->n_readers, eval_drawn_reader, d, min_cell, seed);
    for (size_t a = 0; a < d->n_readers; a++) {
        json_t *entry = json_pack("{s:s}", "annotator", names[a]);
        json_array_append_new(list, put_cell(entry, &f[a], hidden[a], min_cell));
    }
    free(hidden);
    free(f);
    return list;
}

static bool too_small(const eval_figure *f, int64_t min_cell)
{
    return f->n_patients > 0 && f->n_patients < min_cell;
}

static json_t *comparison_json(const eval_drawn *d, double margin, int64_t min_cell, uint64_t seed)
{
    eval_agreement a;
    json_t *json = json_object();
    eval_agreement_of(&a, d, seed);
    json_object_set_new(json, "margin", json_real(margin));
    if (too_small(&a.difference, min_cell)) {
        json_object_set_new(json, "n", json_null());
        json_object_set_new(json, "verdict", json_string("cannot tell"));
        eval_suppressed_why(json, min_cell);
        return json;
    }
    json_object_set_new(json, "n", json_integer((json_int_t)a.difference.n));
    json_object_set_new(json, "human", eval_figure_json(&a.human));
    json_object_set_new(json, "model", eval_figure_json(&a.model));
    json_object_set_new(json, "difference", eval_figure_json(&a.difference));
    json_object_set_new(json, "verdict",
                        json_string(eval_agreement_verdict(&a.difference, margin)));
    return json;
}

json_t *eval_agreement_json(const eval_drawn *d, const char *const *names, double margin,
                            int64_t min_cell, uint64_t seed)
{
    eval_figure consensus;
    FL_REQUIRE(d->n_readers >= 2 && d->n_classes >= 1);
    eval_drawn_consensus(&consensus, d, seed);
    json_t *json = json_object();
    json_object_set_new(json, "annotators", json_integer((json_int_t)d->n_readers));
    json_object_set_new(json, "pairs", pairs_json(d, names, min_cell, seed));
    json_object_set_new(json, "model", readers_json(d, names, min_cell, seed));
    json_object_set_new(json, "consensus", put_cell(json_object(), &consensus,
                                                    too_small(&consensus, min_cell), min_cell));
    json_object_set_new(json, "comparison", comparison_json(d, margin, min_cell, seed));
    return json;
}
