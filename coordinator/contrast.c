/*
 * contrast.c - see contrast.h
 */
#include "coordinator/contrast.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "eval/disparity.h"
#include "eval/stats.h"
#include "report/read.h"

typedef struct {
    char *key, *label;
    size_t *run;  // indices of its reports, in their order
    size_t n;
} arm;

typedef struct {
    const json_t *const *reports;
    size_t n;
    const char *metric;
    const json_t *study;  // NULL: nothing but the reports
    arm *arms;
    size_t n_arms;
    json_t *sites;  // names of all hospitals, in the order of first sight
} contrast;

// --------------------------------------------------------------------- arms

static int64_t seed_of(const json_t *report)
{
    return fl_json_get_int(report, "seed", 0);
}

/* "fedprox mu 0.01": the strategy and its settings that are no default of all. */
static char *settings_label(const json_t *report)
{
    fl_buf text = FL_BUF_INIT;
    const char *key;
    json_t *value;
    fl_buf_puts(&text, fl_json_get_string(report, "strategy", "?"));
    report_each_member(json_object_get(report, "strategy_settings"), key, value) {
        if (json_is_number(value)) {
            fl_buf_printf(&text, " %s %.6g", key, json_number_value(value));
        }
    }
    return fl_buf_take(&text);
}

static char *key_of(const contrast *c, size_t run)
{
    const json_t *report = c->reports[run];
    const char *label = json_string_value(json_array_get(json_object_get(c->study, "arms"), run));
    if (label != NULL) {
        return fl_xstrdup(label);
    }
    char *settings = settings_label(report);
    char *key = fl_xasprintf("%s|%s|%s|%lld", fl_json_get_string(report, "job", ""), settings,
                             fl_json_get_string(json_object_get(report, "model"), "name", ""),
                             (long long)fl_json_get_int(report, "rounds_done", 0));
    free(settings);
    return key;
}

static arm *find_arm(contrast *c, const char *key)
{
    for (size_t a = 0; a < c->n_arms; a++) {
        if (strcmp(c->arms[a].key, key) == 0) {
            return &c->arms[a];
        }
    }
    return NULL;
}

static bool has_seed(const contrast *c, const arm *a, int64_t seed, size_t *run)
{
    for (size_t i = 0; i < a->n; i++) {
        if (seed_of(c->reports[a->run[i]]) == seed) {
            *run = a->run[i];
            return true;
        }
    }
    return false;
}

static void add_run(contrast *c, size_t run)
{
    size_t other;
    char *key = key_of(c, run);
    arm *a = find_arm(c, key);
    if (a != NULL && has_seed(c, a, seed_of(c->reports[run]), &other)) {
        // They must differ in something that a report does not tell.
        free(key);
        key = fl_xasprintf("run %s", fl_json_get_string(c->reports[run], "run", "?"));
        a = find_arm(c, key);
    }
    if (a == NULL) {
        const char *label = json_string_value(
            json_array_get(json_object_get(c->study, "arms"), run));
        c->arms = fl_xrealloc(c->arms, ++c->n_arms, sizeof *c->arms);
        a = &c->arms[c->n_arms - 1];
        *a = (arm){.key = fl_xstrdup(key),
                   .label = label != NULL                  ? fl_xstrdup(label)
                            : strncmp(key, "run ", 4) == 0 ? fl_xstrdup(key)
                                                           : settings_label(c->reports[run])};
    }
    a->run = fl_xrealloc(a->run, ++a->n, sizeof *a->run);
    a->run[a->n - 1] = run;
    free(key);
}

/* Arms of the same settings under other jobs are told apart by the job. */
static void name_arms(contrast *c)
{
    for (size_t a = 0; a < c->n_arms; a++) {
        for (size_t b = a + 1; b < c->n_arms; b++) {
            if (strcmp(c->arms[a].label, c->arms[b].label) == 0) {
                size_t both[] = {a, b};
                for (int i = 0; i < 2; i++) {
                    arm *one = &c->arms[both[i]];
                    const json_t *report = c->reports[one->run[0]];
                    char *longer = fl_xasprintf("%s (%s)", one->label,
                                                fl_json_get_string(report, "run", "?"));
                    free(one->label);
                    one->label = longer;
                }
            }
        }
    }
}

static void contrast_clear(contrast *c)
{
    for (size_t a = 0; a < c->n_arms; a++) {
        free(c->arms[a].key);
        free(c->arms[a].label);
        free(c->arms[a].run);
    }
    free(c->arms);
    json_decref(c->sites);
}

// ------------------------------------------------------------------- values

static double site_value(const contrast *c, size_t run, const char *site)
{
    return report_value(
        report_figure(c->reports[run], report_site(c->reports[run], site), "global", c->metric));
}

/* Of a hospital, or ("") the mean of those that have a value in both runs. */
static void values_of(double *a, double *b, const contrast *c, size_t run_a, size_t run_b,
                      const char *site)
{
    const char *name;
    json_t *none;
    size_t n = 0;
    if (site[0] != '\0') {
        *a = site_value(c, run_a, site);
        *b = site_value(c, run_b, site);
        return;
    }
    *a = *b = 0;
    json_object_foreach(c->sites, name, none) {
        double x = site_value(c, run_a, name), y = site_value(c, run_b, name);
        if (!isnan(x) && !isnan(y)) {
            *a += x;
            *b += y;
            n++;
        }
    }
    *a = n > 0 ? *a / (double)n : NAN;
    *b = n > 0 ? *b / (double)n : NAN;
}

static void mean_sd(double *mean, double *sd, const double *x, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    *mean = n > 0 ? sum / (double)n : NAN;
    for (size_t i = 0; i < n; i++) {
        squares += (x[i] - *mean) * (x[i] - *mean);
    }
    *sd = n > 1 ? sqrt(squares / (double)(n - 1)) : NAN;
}

static json_t *arms_json(const contrast *c)
{
    json_t *arms = json_array();
    for (size_t k = 0; k < c->n_arms; k++) {
        const arm *a = &c->arms[k];
        double *x = fl_xcalloc(a->n, sizeof *x), mean, sd, same;
        json_t *runs = json_array();
        size_t n = 0;
        for (size_t i = 0; i < a->n; i++) {
            json_array_append_new(runs, json_integer((json_int_t)a->run[i]));
            values_of(&x[n], &same, c, a->run[i], a->run[i], "");
            n += !isnan(x[n]);
        }
        mean_sd(&mean, &sd, x, n);
        json_array_append_new(arms, json_pack("{s:s, s:o, s:o, s:o, s:I}", "label", a->label,
                                              "runs", runs, "mean", fl_json_number(mean), "sd",
                                              fl_json_number(sd), "n", (json_int_t)n));
        free(x);
    }
    return arms;
}

// --------------------------------------------------------------- over seeds

/* The arm less the first, over the seeds of both: Student's t of paired
 * differences. */
static json_t *over_seeds(const contrast *c, size_t k, const char *site)
{
    const arm *a = &c->arms[k], *first = &c->arms[0];
    double *d = fl_xcalloc(a->n, sizeof *d), mean, sd, p = NAN;
    size_t n = 0, run;
    for (size_t i = 0; i < a->n; i++) {
        double x, y;
        if (has_seed(c, first, seed_of(c->reports[a->run[i]]), &run)) {
            values_of(&x, &y, c, run, a->run[i], site);
            d[n] = y - x;
            n += !isnan(d[n]);
        }
    }
    mean_sd(&mean, &sd, d, n);
    free(d);
    eval_figure f = {.value = mean,
                     .ci_low = NAN,
                     .ci_high = NAN,
                     .n = (int64_t)n,
                     .n_positive = -1,
                     .n_patients = -1};
    if (n == 0) {
        eval_figure_undefined(&f, "no seed that both have");
    } else if (n == 1) {
        eval_figure_no_interval(&f, "one seed does not tell what others would give");
    } else if (sd == 0) {
        eval_figure_no_interval(&f, "the difference is the same at every seed");
    } else {
        double se = sd / sqrt((double)n);
        f.se = se;
        f.ci_low = mean - eval_student_quantile((int)n - 1) * se;
        f.ci_high = mean + eval_student_quantile((int)n - 1) * se;
        snprintf(f.method, sizeof f.method, "paired t over seeds");
        p = eval_student_p(mean / se, (int)n - 1);
    }
    json_t *json = eval_figure_json(&f);
    json_object_set_new(json, "arm", json_integer((json_int_t)k));
    json_object_set_new(json, "site", json_string(site));
    json_object_set_new(json, "p", fl_json_number(p));
    return json;
}

// --------------------------------------------------------------- over cases

/* The simulator's paired difference of two runs at a hospital; NULL = none. */
static const json_t *known_difference(const contrast *c, size_t run, size_t against,
                                      const char *site)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(c->study, "differences"), i, item) {
        if (fl_json_get_int(item, "run", -1) == (int64_t)run &&
            fl_json_get_int(item, "against", -1) == (int64_t)against &&
            strcmp(fl_json_get_string(item, "site", ""), site) == 0) {
            return json_object_get(item, c->metric);
        }
    }
    return NULL;
}

/* From two figures of the same cases without their covariance. */
static json_t *unpaired(const contrast *c, size_t run, size_t against, const char *site)
{
    const json_t *to = report_figure(c->reports[run], report_site(c->reports[run], site), "global",
                                     c->metric);
    const json_t *from = report_figure(c->reports[against], report_site(c->reports[against], site),
                                       "global", c->metric);
    double se_to = fl_json_get_number(to, "se"), se_from = fl_json_get_number(from, "se");
    eval_figure f = {.value = report_value(to) - report_value(from),
                     .ci_low = NAN,
                     .ci_high = NAN,
                     .n = fl_json_get_int(to, "n", 0),
                     .n_positive = fl_json_get_int(to, "n_positive", -1),
                     .n_patients = fl_json_get_int(to, "n_patients", 0)};
    if (isnan(f.value)) {
        const json_t *undefined = isnan(report_value(to)) ? to : from;
        eval_figure_undefined(&f, fl_json_get_string(undefined, "why", "not in the report"));
    } else if (!(se_to > 0 && se_from > 0)) {
        eval_figure_no_interval(&f, "the case scores stay at the hospital");
    } else {
        f.se = hypot(se_to, se_from);
        f.ci_low = f.value - EVAL_Z95 * f.se;
        f.ci_high = f.value + EVAL_Z95 * f.se;
        snprintf(f.method, sizeof f.method, "standard errors, not paired");
    }
    return eval_figure_json(&f);
}

static json_t *over_cases(const contrast *c, size_t k, size_t run, size_t against, const char *site)
{
    const json_t *paired = known_difference(c, run, against, site);
    json_t *json = paired != NULL ? json_deep_copy(paired) : unpaired(c, run, against, site);
    double se = fl_json_get_number(json, "se"), value = report_value(json);
    json_object_set_new(json, "arm", json_integer((json_int_t)k));
    json_object_set_new(json, "site", json_string(site));
    json_object_set_new(json, "seed", json_integer(seed_of(c->reports[run])));
    json_object_set_new(json, "p", fl_json_number(se > 0 ? erfc(fabs(value / se) / sqrt(2)) : NAN));
    return json;
}

// ------------------------------------------------------------------ together

/* p_holm of every figure of the lists, over all of them. */
static void correct(json_t *const *lists, size_t n_lists)
{
    size_t n = 0, i, at = 0;
    json_t *figure;
    for (size_t l = 0; l < n_lists; l++) {
        n += json_array_size(lists[l]);
    }
    double *p = fl_xcalloc(n, sizeof *p);
    for (size_t l = 0; l < n_lists; l++) {
        json_array_foreach(lists[l], i, figure) {
            p[at++] = fl_json_get_number(figure, "p");
        }
    }
    eval_holm(p, n);
    at = 0;
    for (size_t l = 0; l < n_lists; l++) {
        json_array_foreach(lists[l], i, figure) {
            json_object_set_new(figure, "p_holm", fl_json_number(p[at++]));
        }
    }
    free(p);
}

static fl_status check_study(const json_t *study, size_t n, fl_err *err)
{
    const json_t *arms = json_object_get(study, "arms");
    if (study == NULL || (json_is_array(arms) && json_array_size(arms) == n)) {
        return FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "the study names %zu arms, expected one for each of %zu runs",
                   json_array_size(arms), n);
}

static void add_contrasts(const contrast *c, json_t *seeds, json_t *cases)
{
    const char *site;
    json_t *none;
    for (size_t k = 1; k < c->n_arms; k++) {
        json_array_append_new(seeds, over_seeds(c, k, ""));
        json_object_foreach(c->sites, site, none) {
            json_array_append_new(seeds, over_seeds(c, k, site));
        }
        for (size_t i = 0; i < c->arms[k].n; i++) {
            size_t run = c->arms[k].run[i], against;
            if (!has_seed(c, &c->arms[0], seed_of(c->reports[run]), &against)) {
                continue;
            }
            json_object_foreach(c->sites, site, none) {
                json_array_append_new(cases, over_cases(c, k, run, against, site));
            }
        }
    }
}

fl_status contrast_build(json_t **out, const json_t *const *reports, size_t n, const char *metric,
                         const json_t *study, fl_err *err)
{
    contrast c = {.reports = reports, .n = n, .metric = metric, .study = study};
    *out = NULL;
    fl_status st = check_study(study, n, err);
    if (st != FL_OK) {
        return st;
    }
    c.sites = json_object();
    for (size_t r = 0; r < n; r++) {
        size_t i;
        const json_t *site;
        json_array_foreach(json_object_get(reports[r], "sites"), i, site) {
            json_object_set_new(c.sites, report_site_name(site), json_null());
        }
        add_run(&c, r);
    }
    name_arms(&c);
    json_t *lists[] = {json_array(), json_array()};
    add_contrasts(&c, lists[0], lists[1]);
    correct(lists, 2);
    *out = json_pack("{s:s, s:o, s:o, s:o}", "metric", metric, "arms", arms_json(&c), "seeds",
                     lists[0], "cases", lists[1]);
    contrast_clear(&c);
    return FL_OK;
}
