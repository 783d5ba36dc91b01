/*
 * calibration.c - see calibration.h
 */
#include "eval/calibration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/stats.h"

static const double nearest = 1e-15;  // to 0 and 1; as in the log loss

static double logit_of(double p)
{
    p = fmin(1 - nearest, fmax(nearest, p));
    return log(p / (1 - p));
}

static double expit(double x)
{
    return 1 / (1 + exp(-x));
}

/* ------------------------------------------------------------ recalibration */

typedef struct {
    const double *x;  // (n) logit of the score
    const double *y;  // (n) 0 or 1
    size_t n;
    bool slope;  // b is fitted too; else it is 1
} fit;

typedef struct {
    double a, b;
    double information[2][2];
    bool converged;
} fitted;

static double log_likelihood(const fit *f, double a, double b)
{
    double sum = 0;
    for (size_t i = 0; i < f->n; i++) {
        double z = a + b * f->x[i];
        z = f->y[i] > 0 ? z : -z;
        sum -= z > 0 ? log1p(exp(-z)) : log1p(exp(z)) - z;
    }
    return sum;
}

static void derivatives(double gradient[2], double information[2][2], const fit *f, double a,
                        double b)
{
    gradient[0] = gradient[1] = 0;
    information[0][0] = information[0][1] = information[1][1] = 0;
    for (size_t i = 0; i < f->n; i++) {
        double p = expit(a + b * f->x[i]), w = p * (1 - p);
        gradient[0] += f->y[i] - p;
        gradient[1] += (f->y[i] - p) * f->x[i];
        information[0][0] += w;
        information[0][1] += w * f->x[i];
        information[1][1] += w * f->x[i] * f->x[i];
    }
    information[1][0] = information[0][1];
}

/* Newton's method with halved steps; the likelihood is concave.  It runs off
 * when the scores separate the classes: then nothing converges. */
static fitted maximise(const fit *f)
{
    enum { STEPS = 100, HALVINGS = 40 };
    const double done = 1e-12, too_far = 200, least_information = 1e-4;  // a standard error of 100
    fitted out = {.a = 0, .b = f->slope ? 0 : 1};  // from where the likelihood is not flat
    double best = log_likelihood(f, out.a, out.b);
    for (int step = 0; step < STEPS && fabs(out.a) < too_far && fabs(out.b) < too_far; step++) {
        double g[2], da, db = 0;
        derivatives(g, out.information, f, out.a, out.b);
        double(*I)[2] = out.information;
        double det = I[0][0] * I[1][1] - I[0][1] * I[1][0];
        if (f->slope && det > 1e-12 * I[0][0] * I[1][1]) {
            da = (I[1][1] * g[0] - I[0][1] * g[1]) / det;
            db = (I[0][0] * g[1] - I[1][0] * g[0]) / det;
        } else if (!f->slope && I[0][0] > 0) {
            da = g[0] / I[0][0];
        } else {
            return out;  // the scores do not vary, or are all sure
        }
        if (fabs(da) <= done * (1 + fabs(out.a)) && fabs(db) <= done * (1 + fabs(out.b))) {
            out.converged = (f->slope ? det / I[0][0] : I[0][0]) >= least_information;
            return out;
        }
        double size = 1, reached = log_likelihood(f, out.a + da, out.b + db);
        for (int h = 0; h < HALVINGS && !(reached >= best - 1e-12 * fabs(best)); h++) {
            size /= 2;
            reached = log_likelihood(f, out.a + size * da, out.b + size * db);
        }
        out.a += size * da;
        out.b += size * db;
        best = reached;
    }
    return out;
}

/* Standard errors of a and b from the information, or from how the patients'
 * scores spread about 0 where patients repeat. */
static void standard_errors(double se[2], const fitted *at, const fit *f, const eval_patients *p)
{
    const double(*I)[2] = at->information;
    double V[2][2] = {{0}};  // the inverse information
    if (f->slope) {
        double det = I[0][0] * I[1][1] - I[0][1] * I[1][0];
        V[0][0] = I[1][1] / det;
        V[1][1] = I[0][0] / det;
        V[0][1] = V[1][0] = -I[0][1] / det;
    } else {
        V[0][0] = 1 / I[0][0];
    }
    se[0] = sqrt(V[0][0]);
    se[1] = sqrt(V[1][1]);
    if (!p->repeats) {
        return;
    }
    double(*u)[2] = fl_xcalloc(p->n_patients, sizeof *u);
    for (size_t i = 0; i < f->n; i++) {
        double residual = f->y[i] - expit(at->a + at->b * f->x[i]);
        u[p->of[i]][0] += residual;
        u[p->of[i]][1] += residual * f->x[i];
    }
    double square[2] = {0, 0}, G = (double)p->n_patients;
    for (size_t g = 0; g < p->n_patients; g++) {
        for (int k = 0; k < 2; k++) {
            double influence = V[k][0] * u[g][0] + V[k][1] * u[g][1];
            square[k] += influence * influence;
        }
    }
    free(u);
    for (int k = 0; k < 2; k++) {
        se[k] = sqrt(G / (G - 1) * square[k]);
    }
}

static void set_figure(eval_figure *f, double value, double se, const eval_cases *c)
{
    f->value = value;
    f->why[0] = '\0';
    size_t fewest = eval_cases_fewest(c);
    if (fewest < EVAL_FEW) {
        char why[sizeof f->why];
        snprintf(why, sizeof why, "too few %s of one class: %zu; %d are needed",
                 c->patients.repeats ? "patients" : "cases", fewest, EVAL_FEW);
        eval_figure_no_interval(f, why);
        return;
    }
    f->se = se;
    f->ci_low = value - EVAL_Z95 * se;
    f->ci_high = value + EVAL_Z95 * se;
    snprintf(f->method, sizeof f->method, "Wald%s",
             c->patients.repeats ? ", sandwich by patient" : "");
}

void eval_recalibrate(eval_figure *intercept, eval_figure *slope, const eval_cases *c)
{
    FL_REQUIRE(c->binary && !c->damaged);
    size_t n_positive = c->n_class[c->positive];
    if (n_positive == 0 || n_positive == c->n) {
        const char *why = n_positive == 0 ? "no positive cases" : "no negative cases";
        eval_figure_undefined(intercept, why);
        eval_figure_undefined(slope, why);
        return;
    }
    double *x = fl_xcalloc(c->n, sizeof *x), se[2];
    for (size_t i = 0; i < c->n; i++) {
        x[i] = logit_of(c->confidence[i]);
    }
    fit of_intercept = {x, c->right, c->n, false}, of_slope = {x, c->right, c->n, true};
    fitted a = maximise(&of_intercept), b = maximise(&of_slope);
    if (a.converged) {
        standard_errors(se, &a, &of_intercept, &c->patients);
        set_figure(intercept, a.a, se[0], c);
    } else {
        eval_figure_undefined(intercept, "the scores are all but 0 and 1");
    }
    if (b.converged) {
        standard_errors(se, &b, &of_slope, &c->patients);
        set_figure(slope, b.b, se[1], c);
    } else {
        eval_figure_undefined(slope, "the scores do not vary, or separate the classes");
    }
    free(x);
}

/* -------------------------------------------------------------- joined bins */

typedef struct {
    double low, high;
    bool *in;  // (n) the cases
} joined;

typedef struct {
    eval_cases c;
    joined *bin;
    size_t n_bins;
} curve;

/* Patients there are enough of, of either class; or none of one class. */
static bool may_be_shown(const joined *bin, const eval_cases *c, int64_t min_cell)
{
    bool *in = fl_xcalloc(c->n, sizeof *in), shown = true;
    int64_t patients = 0;
    for (int y = 0; y < 2; y++) {
        for (size_t i = 0; i < c->n; i++) {
            in[i] = bin->in[i] && (c->right[i] > 0) == (y == 1);
        }
        int64_t of_class = (int64_t)eval_patients_count(&c->patients, in);
        shown = shown && (of_class == 0 || of_class >= min_cell);
        patients += of_class;
    }
    free(in);
    return shown && patients > 0;
}

static void join(joined *to, joined *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to->in[i] = to->in[i] || from->in[i];
    }
    to->high = from->high;
    free(from->in);
}

/* Bins from the left, each ended as soon as it may be shown; what is left over
 * at the right joins those before it until they may. */
static void curve_init(curve *out, const eval_predictions *p, size_t n_bins, int64_t min_cell)
{
    FL_REQUIRE(n_bins >= 1);
    *out = (curve){.n_bins = 0};
    eval_cases *c = &out->c;
    eval_cases_init(c, p);
    if (!c->binary || c->damaged || c->n == 0) {
        return;
    }
    out->bin = fl_xcalloc(n_bins, sizeof *out->bin);
    bool open = false;
    for (size_t b = 0; b < n_bins; b++) {
        joined one = {.low = (double)b / (double)n_bins,
                      .high = (double)(b + 1) / (double)n_bins,
                      .in = fl_xcalloc(c->n, sizeof *one.in)};
        for (size_t i = 0; i < c->n; i++) {
            double s = c->confidence[i];
            one.in[i] = (s >= one.low || b == 0) && (s < one.high || b + 1 == n_bins);
        }
        if (open) {
            join(&out->bin[out->n_bins - 1], &one, c->n);
        } else {
            out->bin[out->n_bins++] = one;
        }
        open = !may_be_shown(&out->bin[out->n_bins - 1], c, min_cell);
    }
    for (; open && out->n_bins > 1; out->n_bins--) {
        join(&out->bin[out->n_bins - 2], &out->bin[out->n_bins - 1], c->n);
        open = !may_be_shown(&out->bin[out->n_bins - 2], c, min_cell);
    }
    if (open) {
        free(out->bin[0].in);
        out->n_bins = 0;  // too few in all
    }
}

static void curve_clear(curve *k)
{
    for (size_t b = 0; b < k->n_bins; b++) {
        free(k->bin[b].in);
    }
    free(k->bin);
    eval_cases_clear(&k->c);
}

json_t *eval_reliability(const eval_predictions *p, size_t n_bins, int64_t min_cell)
{
    curve k;
    curve_init(&k, p, n_bins, min_cell);
    json_t *list = json_array();
    bool *hit = fl_xcalloc(k.c.n, sizeof *hit);
    for (size_t i = 0; i < k.c.n; i++) {
        hit[i] = k.c.right[i] > 0;
    }
    for (size_t b = 0; b < k.n_bins; b++) {
        eval_figure f = {.value = NAN};
        double sum = 0;
        eval_proportion(&f, k.bin[b].in, hit, &k.c.patients, "no cases");
        for (size_t i = 0; i < k.c.n; i++) {
            sum += k.bin[b].in[i] ? k.c.confidence[i] : 0;
        }
        json_array_append_new(
            list, json_pack("{s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "low", k.bin[b].low, "high",
                            k.bin[b].high, "n", (json_int_t)f.n, "predicted", sum / (double)f.n,
                            "observed", f.value, "ci_low", f.ci_low, "ci_high", f.ci_high));
    }
    free(hit);
    curve_clear(&k);
    return list;
}

/* Mean of the cases' terms and its standard error by patient. */
static void mean_of_terms(double *mean, double *se, const double *term, const eval_patients *p)
{
    double sum = 0, squares = 0, n = (double)p->n, G = (double)p->n_patients;
    for (size_t i = 0; i < p->n; i++) {
        sum += term[i];
    }
    *mean = sum / n;
    double *of_patient = fl_xcalloc(p->n_patients, sizeof *of_patient);
    for (size_t i = 0; i < p->n; i++) {
        of_patient[p->of[i]] += term[i] - *mean;
    }
    for (size_t g = 0; g < p->n_patients; g++) {
        squares += of_patient[g] * of_patient[g];
    }
    free(of_patient);
    *se = sqrt(G / (G - 1) * squares) / n;
}

json_t *eval_decision_curve(const eval_predictions *p, size_t n_bins, int64_t min_cell)
{
    curve k;
    curve_init(&k, p, n_bins, min_cell);
    const eval_cases *c = &k.c;
    json_t *list = json_array();
    double *term = fl_xcalloc(c->n, sizeof *term);
    bool few = k.n_bins == 0 || eval_cases_fewest(c) < EVAL_FEW;
    for (size_t b = 1; b < k.n_bins; b++) {
        double t = k.bin[b].low, odds = t / (1 - t), mean, se, share = 0;
        for (size_t i = 0; i < c->n; i++) {
            share += c->right[i] / (double)c->n;
            term[i] = c->confidence[i] >= t ? c->right[i] - (1 - c->right[i]) * odds : 0;
        }
        mean_of_terms(&mean, &se, term, &c->patients);
        json_array_append_new(
            list, json_pack("{s:f, s:f, s:o, s:o, s:f}", "threshold", t, "net_benefit", mean,
                            "ci_low", fl_json_number(few ? NAN : mean - EVAL_Z95 * se), "ci_high",
                            fl_json_number(few ? NAN : mean + EVAL_Z95 * se), "treat_all",
                            share - (1 - share) * odds));
    }
    free(term);
    curve_clear(&k);
    return list;
}
