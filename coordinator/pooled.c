/*
 * pooled.c - see pooled.h
 */
#include "coordinator/pooled.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coordinator/across.h"
#include "eval/eval.h"
#include "eval/stats.h"
#include "task/task.h"

typedef struct {
    int64_t tp, fp, tn, fn, patients;
    bool any;
} counts;

static const json_t *at(const json_t *object, const char *a, const char *b)
{
    return json_object_get(json_object_get(object, a), b);
}

static const json_t *global_figure(const json_t *site, const char *metric)
{
    return json_object_get(at(site, "models", "global"), metric);
}

static counts sum_counts(const json_t *sites)
{
    counts c = {0};
    size_t i;
    json_t *site;
    json_array_foreach(sites, i, site) {
        const json_t *one = at(site, "confusion", "global");
        if (json_is_object(one)) {
            c.any = true;
            c.tp += fl_json_get_int(one, "tp", 0);
            c.fp += fl_json_get_int(one, "fp", 0);
            c.tn += fl_json_get_int(one, "tn", 0);
            c.fn += fl_json_get_int(one, "fn", 0);
            c.patients += fl_json_get_int(global_figure(site, "accuracy"), "n_patients", 0);
        }
    }
    return c;
}

/* k of n, with Wilson's interval. */
static json_t *proportion(int64_t k, int64_t n, int64_t n_positive, int64_t n_patients,
                          const char *why_empty)
{
    eval_figure f = {.value = NAN,
                     .ci_low = NAN,
                     .ci_high = NAN,
                     .n = n,
                     .n_positive = n_positive,
                     .n_patients = n_patients < n ? n_patients : n};
    if (n == 0) {
        snprintf(f.method, sizeof f.method, "none");
        snprintf(f.why, sizeof f.why, "%s", why_empty);
    } else {
        f.value = (double)k / (double)n;
        eval_wilson(&f.ci_low, &f.ci_high, f.value, (double)n);
        snprintf(f.method, sizeof f.method, "Wilson, summed counts");
    }
    return eval_figure_json(&f);
}

/* A value without an interval. */
static json_t *plain(double value, int64_t n, int64_t n_positive, const char *method,
                     const char *why)
{
    eval_figure f = {.value = value,
                     .ci_low = NAN,
                     .ci_high = NAN,
                     .n = n,
                     .n_positive = n_positive,
                     .n_patients = 0};
    snprintf(f.method, sizeof f.method, "%s", method);
    snprintf(f.why, sizeof f.why, "%s", why);
    return eval_figure_json(&f);
}

static void add_counts(json_t *figures, const counts *c)
{
    int64_t n = c->tp + c->fp + c->tn + c->fn, positives = c->tp + c->fn, negatives = c->tn + c->fp;
    json_object_set_new(figures, "accuracy",
                        proportion(c->tp + c->tn, n, positives, c->patients, "no test cases"));
    json_object_set_new(figures, "sensitivity",
                        proportion(c->tp, positives, positives, positives, "no positive cases"));
    json_object_set_new(figures, "specificity",
                        proportion(c->tn, negatives, 0, negatives, "no negative cases"));
    json_object_set_new(
        figures, "ppv",
        proportion(c->tp, c->tp + c->fp, c->tp, c->tp + c->fp, "nothing was called positive"));
    json_object_set_new(
        figures, "npv",
        proportion(c->tn, c->tn + c->fn, c->fn, c->tn + c->fn, "nothing was called negative"));
    if (positives > 0 && negatives > 0) {
        const char *why = "no interval from summed counts";
        double sensitivity = (double)c->tp / (double)positives,
               specificity = (double)c->tn / (double)negatives;
        json_object_set_new(
            figures, "balanced_accuracy",
            plain((sensitivity + specificity) / 2, n, positives, "summed counts", why));
        json_object_set_new(figures, "f1",
                            plain(2.0 * (double)c->tp / (double)(2 * c->tp + c->fp + c->fn), n,
                                  positives, "summed counts", why));
    }
}

/* More than two classes: correct ones of all. */
static void add_accuracy(json_t *figures, const json_t *sites)
{
    double correct = 0;
    int64_t n = 0, patients = 0;
    size_t i;
    json_t *site;
    json_array_foreach(sites, i, site) {
        const json_t *f = global_figure(site, "accuracy");
        double value = fl_json_get_number(f, "value");
        int64_t cases = fl_json_get_int(f, "n", 0);
        if (!isnan(value)) {
            correct += value * (double)cases;
            n += cases;
            patients += fl_json_get_int(f, "n_patients", 0);
        }
    }
    json_object_set_new(figures, "accuracy",
                        proportion((int64_t)llround(correct), n, 0, patients, "no test cases"));
}

/* Metrics that are means over cases, so that sites' values make the value of all.  root: the mean
 * is of squares. */
static const struct {
    const char *name;
    bool root;
} of_cases[] = {{"dice", false}, {"iou", false}, {"surface_dice", false}, {"mae", false},
                {"rmse", true}};

static void add_means(json_t *figures, const json_t *sites)
{
    for (size_t m = 0; m < sizeof of_cases / sizeof *of_cases; m++) {
        double sum = 0;
        int64_t n = 0, n_patients = 0;
        size_t i;
        json_t *site;
        json_array_foreach(sites, i, site)
        {
            const json_t *f = global_figure(site, of_cases[m].name);
            double value = fl_json_get_number(f, "value");
            int64_t cases = fl_json_get_int(f, "n", 0);
            if (!isnan(value)) {
                sum += (double)cases * (of_cases[m].root ? value * value : value);
                n += cases;
                n_patients += fl_json_get_int(f, "n_patients", 0);
            }
        }
        if (n > 0) {
            double mean = sum / (double)n;
            eval_figure f = {.value = of_cases[m].root ? sqrt(mean) : mean, .ci_low = NAN,
                             .ci_high = NAN, .n = n, .n_positive = -1, .n_patients = n_patients};
            snprintf(f.method, sizeof f.method, "mean over the sites' cases");
            snprintf(f.why, sizeof f.why, "no interval from the sites' means");
            json_object_set_new(figures, of_cases[m].name, eval_figure_json(&f));
        }
    }
}

/* Bins that all histograms share: the fewest, of which the others are multiples. */
static size_t common_bins(const json_t *sites)
{
    size_t common = 0, i;
    json_t *site;
    json_array_foreach(sites, i, site) {
        size_t bins = (size_t)fl_json_get_int(json_object_get(site, "histogram"), "bins", 0);
        common = bins > 0 && (common == 0 || bins < common) ? bins : common;
    }
    return common;
}

/* Everything that is known of the sites' scores, in bins that all share. */
typedef struct {
    size_t bins;
    int64_t *count[2];  // (bins) negatives, positives
    eval_span *span[2];
    size_t n_spans[2];
} scores;

/* A site's counts of one class and the bins that each reaches over: its own,
 * where the site does not say. */
static void add_class(scores *s, int class, const json_t *of_bin, const json_t *spans, size_t bins)
{
    size_t ratio = bins / s->bins, seen = 0;
    for (size_t k = 0; k < bins; k++) {
        int64_t n = json_integer_value(json_array_get(of_bin, k));
        const json_t *span = n > 0 ? json_array_get(spans, seen++) : NULL;
        size_t first = k, last = k;
        if (span != NULL) {
            first = (size_t)json_integer_value(json_array_get(span, 0));
            last = (size_t)json_integer_value(json_array_get(span, 1));
        }
        s->count[class][k / ratio] += n;
        if (n > 0) {
            size_t at = s->n_spans[class]++;
            s->span[class] = fl_xrealloc(s->span[class], at + 1, sizeof *s->span[class]);
            s->span[class][at] = (eval_span){first / ratio, last / ratio, n};
        }
    }
}

static size_t add_histogram(scores *s, const json_t *site)
{
    static const char *const classes[] = {"negatives", "positives"};
    const json_t *h = json_object_get(site, "histogram");
    size_t bins = (size_t)fl_json_get_int(h, "bins", 0);
    if (bins == 0 || bins % s->bins != 0) {
        return 0;
    }
    for (int c = 0; c < 2; c++) {
        add_class(s, c, json_object_get(h, classes[c]), at(h, "spans", classes[c]), bins);
    }
    return 1;
}

/* Sets the AUC and, in pooled, where the exact one lies. */
static void add_auc(json_t *figures, json_t *pooled, const json_t *sites)
{
    scores s = {.bins = common_bins(sites)};
    size_t used = 0, i;
    double low = NAN, high = NAN;
    json_object_set_new(pooled, "auc_half_width", json_null());
    if (s.bins == 0) {
        return;
    }
    s.count[0] = fl_xcalloc(s.bins, sizeof *s.count[0]);
    s.count[1] = fl_xcalloc(s.bins, sizeof *s.count[1]);
    json_t *site;
    json_array_foreach(sites, i, site) {
        used += add_histogram(&s, site);
    }
    eval_figure f;
    eval_histogram_figure(&f, s.count[0], s.count[1], s.bins);
    if (!isnan(f.value)) {
        eval_span_bounds(&low, &high, s.span[0], s.n_spans[0], s.span[1], s.n_spans[1], s.bins);
        json_object_set_new(pooled, "auc_half_width",
                            json_real(fmax(f.value - low, high - f.value)));
        json_object_set_new(pooled, "auc_bounds", json_pack("[f, f]", low, high));
        if (used < json_array_size(sites)) {
            snprintf(f.why, sizeof f.why, "from histograms of %zu of %zu sites", used,
                     json_array_size(sites));
        }
    }
    json_object_set_new(figures, "auc", eval_figure_json(&f));
    for (int c = 0; c < 2; c++) {
        free(s.count[c]);
        free(s.span[c]);
    }
}

/* Has it a figure of the shared model?  A test split of few patients has none (client/few.h). */
static bool says_something(const json_t *site)
{
    const json_t *figures = json_object_get(json_object_get(site, "models"), "global");
    const char *name;
    const json_t *figure;
    json_object_foreach((json_t *)figures, name, figure) {
        if (json_is_number(json_object_get(figure, "value"))) {
            return true;
        }
    }
    return false;
}

static void add_silent(json_t *names, const json_t *sites)
{
    size_t i;
    const json_t *site;
    json_array_foreach(sites, i, site) {
        if (!says_something(site)) {
            json_array_append(names, json_object_get(site, "name"));
        }
    }
}

json_t *pooled_build(const json_t *sites, const json_t *missing, data_task task)
{
    json_t *figures = json_object();
    counts c = sum_counts(sites);
    if (c.any) {
        add_counts(figures, &c);
    } else if (task == DATA_CLASSIFY) {
        add_accuracy(figures, sites);
    }
    add_means(figures, sites);
    json_t *names = json_copy((json_t *)missing);
    add_silent(names, sites);
    json_t *pooled = json_pack(
        "{s:o, s:s, s:o}", "global", figures, "method",
        task == DATA_CLASSIFY ? "sums of the sites' confusion counts and score histograms, each "
                                "at the frozen threshold"
                              : "means of the sites' figures, weighted by their cases",
        "missing", names);
    add_auc(figures, pooled, sites);
    if (json_is_null(json_object_get(pooled, "auc_half_width"))) {
        json_object_set_new(pooled, "why",
                            json_string("no score histograms to bound a pooled AUC by"));
    }
    across_add(pooled, sites);
    return pooled;
}

// ----------------------------------------------------------------- fairness

/* A group's figure; NAN where it has no interval: what few cases give is chance. */
static double known_value(const json_t *group, const char *metric)
{
    const json_t *figure = json_object_get(group, metric);
    bool known = !isnan(fl_json_get_number(figure, "ci_low"));
    return known ? fl_json_get_number(figure, "value") : NAN;
}

/* Largest difference of the metric between groups of an attribute within any one site; groups
 * of one of several findings do not count. */
static void add_subgroup_gaps(json_t *gaps, const json_t *site, const char *metric)
{
    size_t i, k;
    json_t *a, *b;
    json_t *groups = json_object_get(site, "subgroups");
    json_array_foreach(groups, i, a) {
        json_array_foreach(groups, k, b) {
            const char *attribute = fl_json_get_string(a, "attribute", "");
            double x = known_value(a, metric), y = known_value(b, metric);
            double before = fl_json_get_number(gaps, attribute);
            if (k <= i || strcmp(attribute, fl_json_get_string(b, "attribute", "")) != 0 ||
                json_object_get(a, "class") != NULL || json_object_get(b, "class") != NULL ||
                isnan(x) || isnan(y)) {
                continue;
            }
            if (isnan(before) || fabs(x - y) > before) {
                json_object_set_new(gaps, attribute, json_real(fabs(x - y)));
            }
        }
    }
}

static size_t read_values(double *value, const json_t *sites, const char *metric)
{
    size_t i, defined = 0;
    json_t *site;
    json_array_foreach(sites, i, site) {
        value[i] = fl_json_get_number(global_figure(site, metric), "value");
        defined += !isnan(value[i]);
    }
    return defined;
}

json_t *pooled_fairness(const json_t *sites, data_task task)
{
    size_t n = json_array_size(sites), i;
    double *value = fl_xcalloc(n, sizeof *value);
    const char *metric = task_quick_of_task(task, 0);
    if (read_values(value, sites, metric) == 0) {
        metric = task_quick_of_task(task, 1);
        read_values(value, sites, metric);
    }
    eval_fairness f;
    eval_fairness_of(&f, value, n, task_quick_higher_is_better(metric));
    json_t *gaps = json_object();
    json_t *site;
    json_array_foreach(sites, i, site) {
        add_subgroup_gaps(gaps, site, task_quick_of_task(task, 0));
    }
    const char *worst = f.worst_site < 0
                            ? NULL
                            : fl_json_get_string(json_array_get(sites, (size_t)f.worst_site),
                                                 "name", NULL);
    json_t *out = json_pack(
        "{s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "metric", metric, "worst_site",
        worst, "worst", fl_json_number(f.worst), "best", fl_json_number(f.best), "mean",
        fl_json_number(f.mean), "sd", fl_json_number(f.sd), "gap", fl_json_number(f.gap), "jain",
        fl_json_number(f.jain), "n_sites", (json_int_t)f.n_sites, "subgroup_gaps", gaps);
    if (f.n_sites < 2) {
        json_object_set_new(out, "why",
                            json_string(f.n_sites == 0 ? "no hospital has this figure"
                                                       : "one hospital alone has no spread"));
    }
    free(value);
    return out;
}
