/*
 * choose.c - see choose.h
 */
#include "coordinator/choose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "eval/eval.h"

// -------------------------------------------------------------------- round

/* Means weighted by cases, over the sites where a figure is defined. */
typedef struct {
    task_quick sum, weight;
    int64_t n;
} score_sums;

/* The mean of root mean squares is taken of the squares. */
static bool is_root(const char *name)
{
    return strcmp(name, "rmse") == 0;
}

/* Overlap is a figure of the cases in which there is something to overlap. */
static bool is_of_positives(const char *name)
{
    return strcmp(name, "dice") == 0 || strcmp(name, "iou") == 0;
}

static void add(score_sums *s, const fed_offer *o, const char *name)
{
    double x = fed_offer_get(o, name, NAN);
    double n = fed_offer_get(o, is_of_positives(name) ? "n_positive" : "n", 0);
    if (!isnan(x) && n > 0) {
        *task_quick_at(&s->sum, name) += n * (is_root(name) ? x * x : x);
        *task_quick_at(&s->weight, name) += n;
    }
}

static task_quick means_of(score_sums *s)
{
    task_quick means = {.n = s->n};
    const char *name;
    for (size_t i = 0; (name = task_quick_name(i)) != NULL; i++) {
        double weight = *task_quick_at(&s->weight, name);
        double mean = weight > 0 ? *task_quick_at(&s->sum, name) / weight : NAN;
        *task_quick_at(&means, name) = is_root(name) ? sqrt(mean) : mean;
    }
    return means;
}

static fl_status add_score(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    score_sums *s = ctx;
    if (a->state == ROUND_IN && a->has_offer) {
        const char *name;
        s->n += (int64_t)fed_offer_get(&a->offer, "n", 0);
        for (size_t i = 0; (name = task_quick_name(i)) != NULL; i++) {
            add(s, &a->offer, name);
        }
    }
    return FL_OK;
}

fl_status choose_score_of(choose_score *out, record *r, uint32_t round, fl_err *err)
{
    score_sums s = {0};
    fl_status st = record_answers(r, FED_SCORE, round, add_score, &s, err);
    *out = (choose_score){.figures = means_of(&s), .n = s.n};
    return st;
}

fl_status choose_round(uint32_t *round, double *value, record *r, const job *j, fl_err *err)
{
    *round = (uint32_t)j->rounds;
    *value = NAN;
    bool lower = !task_quick_higher_is_better(j->select.metric);
    for (uint32_t i = j->select.best ? 1 : (uint32_t)j->rounds; i <= (uint32_t)j->rounds; i++) {
        choose_score score;
        fl_status st = choose_score_of(&score, r, i, err);
        if (st != FL_OK) {
            return st;
        }
        double x = task_quick_metric(&score.figures, j->select.metric);
        if (!isnan(x) && (isnan(*value) || (lower ? x < *value : x > *value))) {
            *value = x;
            *round = i;
        }
    }
    return FL_OK;
}

// ---------------------------------------------------------------- threshold

typedef struct {
    size_t bins;
    int64_t *negatives, *positives;
} histogram;

typedef struct {
    histogram *items;
    size_t n;
    size_t n_without;  // sites that scored and sent none
} histograms;

static void free_histograms(histograms *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->items[i].negatives);
        free(h->items[i].positives);
    }
    free(h->items);
}

static int64_t *read_bins(const json_t *list, size_t n)
{
    int64_t *bins = fl_xcalloc(n, sizeof *bins);
    for (size_t i = 0; i < n; i++) {
        bins[i] = json_integer_value(json_array_get(list, i));
    }
    return bins;
}

static fl_status add_histogram(void *ctx, const record_answer *a, fl_err *err)
{
    histograms *h = ctx;
    json_t *json = NULL;
    if (a->state != ROUND_IN || a->n_payload == 0) {
        h->n_without += a->state == ROUND_IN;
        return FL_OK;
    }
    fl_status st = fl_json_parse(&json, a->payload, a->n_payload, a->n_payload, a->site.text, err);
    if (st != FL_OK) {
        return st;
    }
    size_t bins = (size_t)fl_json_get_int(json, "bins", 0);
    if (bins == 0) {  // sums for the calibration alone
        h->n_without++;
        json_decref(json);
        return FL_OK;
    }
    h->items = fl_xrealloc(h->items, h->n + 1, sizeof *h->items);
    h->items[h->n++] = (histogram){
        .bins = bins,
        .negatives = read_bins(json_object_get(json, "negatives"), bins),
        .positives = read_bins(json_object_get(json, "positives"), bins)};
    json_decref(json);
    return FL_OK;
}

/* The fewest bins of a site, of which the others' are multiples; 0 without histograms.  A site that
 * sends next to nothing is left out rather than to cost the others theirs. */
static size_t common_bins(const histograms *h)
{
    size_t common = 0, finest = 0;
    for (size_t i = 0; i < h->n; i++) {
        size_t bins = h->items[i].bins;
        finest = bins > finest ? bins : finest;
        if (bins >= CHOOSE_FEWEST_BINS && (common == 0 || bins < common)) {
            common = bins;
        }
    }
    return common > 0 ? common : finest;
}

/* Adds every histogram whose bins are a multiple of bins; returns how many were left out. */
static size_t join(const histograms *h, size_t bins, int64_t *negatives, int64_t *positives)
{
    size_t left_out = 0;
    for (size_t i = 0; i < h->n; i++) {
        const histogram *one = &h->items[i];
        if (one->bins % bins != 0) {
            left_out++;
            continue;
        }
        size_t width = one->bins / bins;
        for (size_t k = 0; k < one->bins; k++) {
            negatives[k / width] += one->negatives[k];
            positives[k / width] += one->positives[k];
        }
    }
    return left_out;
}

fl_status choose_threshold(double *threshold, int64_t *bins, char why[static FED_TEXT_BYTES],
                           record *r, const job *j, uint32_t selected, fl_err *err)
{
    *threshold = NAN;
    *bins = 0;
    why[0] = '\0';
    if (j->data.task == DATA_MULTILABEL) {
        *threshold = j->evaluation.at;  // of every label
        return FL_OK;
    }
    if (j->data.positive < 0) {
        snprintf(why, FED_TEXT_BYTES, "not a task of two classes");
        return FL_OK;
    }
    if (!job_asks_histogram(j)) {
        *threshold = j->evaluation.at;
        return FL_OK;
    }
    histograms h = {0};
    fl_status st = record_answers(r, FED_SCORE, selected | FED_HISTOGRAM_BIT, add_histogram, &h,
                                  err);
    if (st != FL_OK) {
        free_histograms(&h);
        return st;
    }
    size_t common = common_bins(&h);
    if (common > 0) {
        int64_t *negatives = fl_xcalloc(common, sizeof *negatives);
        int64_t *positives = fl_xcalloc(common, sizeof *positives);
        size_t left_out = join(&h, common, negatives, positives);
        *bins = (int64_t)common;
        *threshold = eval_threshold(j->evaluation.rule, j->evaluation.at, negatives, positives,
                                    common);
        if (left_out > 0) {
            snprintf(why, FED_TEXT_BYTES,
                     "%zu of %zu sites sent histograms that do not divide into %zu bins: left out",
                     left_out, h.n, common);
        }
        free(negatives);
        free(positives);
    }
    if (common > 0 && h.n_without > 0 && why[0] == '\0') {
        snprintf(why, FED_TEXT_BYTES,
                 "%zu of %zu sites sent no histogram: too few patients, or their policy",
                 h.n_without, h.n + h.n_without);
    }
    if (common == 0) {
        *threshold = 0.5;
        snprintf(why, FED_TEXT_BYTES,
                 "the rule needs score histograms and no site sent one: 0.5 is used");
    } else if (isnan(*threshold)) {
        *threshold = 0.5;
        snprintf(why, FED_TEXT_BYTES,
                 "the rule needs positive validation cases and there are none: 0.5 is used");
    }
    free_histograms(&h);
    return FL_OK;
}
