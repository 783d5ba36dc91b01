/*
 * partition.c - see partition.h
 */
#include "sim/partition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/dataset.h"
#include "data/formats.h"

enum { MAX_DRAWS = 1000 };  // of shares, until every hospital has enough

void partition_dirichlet(double *share, size_t n, double alpha, fl_rng *rng)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        share[i] = fl_rng_gamma(rng, alpha);
        sum += share[i];
    }
    for (size_t i = 0; i < n; i++) {
        share[i] = sum > 0 ? share[i] / sum : 1.0 / (double)n;
    }
}

void partition_counts(size_t *counts, const double *share, size_t n, size_t total)
{
    size_t given = 0;
    for (size_t i = 0; i < n; i++) {
        counts[i] = (size_t)floor(share[i] * (double)total);
        given += counts[i];
    }
    while (given < total) {  // to the largest remainder, the first among equals
        size_t best = 0;
        double most = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            double rest = share[i] * (double)total - (double)counts[i];
            if (rest > most) {
                most = rest;
                best = i;
            }
        }
        counts[best]++;
        given++;
    }
}

// -------------------------------------------------------------------- reading

/* Rows ordered by split and index, each its own patient. */
static fl_status read_npz(partition *out, const scenario *s, fl_err *err)
{
    static const char *const names[SCENARIO_SPLITS] = {"train_labels", "val_labels", "test_labels"};
    const char *path = s->source.npz;
    data_npz z = {0};
    fl_status st = data_npz_read(&z, path, err);
    for (int split = 0; split < SCENARIO_SPLITS && st == FL_OK; split++) {
        const data_array *a = data_npz_find(&z, names[split]);
        if (a == NULL) {
            st = fl_fail(err, FL_EFORMAT, "%s: has no array %s", path, names[split]);
            break;
        }
        size_t n = a->rank > 0 ? (size_t)a->dim[0] : 0;
        out->rows = fl_xrealloc(out->rows, out->n + n + 1, sizeof *out->rows);
        for (size_t i = 0; i < n && st == FL_OK; i++) {
            double label = data_array_at(a, i);
            if (label < 0 || label >= DATA_MAX_CLASSES || label != floor(label)) {
                st = fl_fail(err, FL_EFORMAT, "%s: %s[%zu] is %g, not a class code", path,
                             names[split], i, label);
                break;
            }
            out->rows[out->n] = (partition_row){
                .split = split, .index = i, .label = (int)label, .leader = out->n};
            out->n++;
        }
    }
    data_npz_clear(&z);
    return st;
}

/* Any data set; its patients stay together. */
static fl_status read_folder(partition *out, const scenario *s, fl_err *err)
{
    data_set *set = NULL;
    fl_status st = data_set_open(&set, s->source.folder, &s->job.data, err);
    if (st != FL_OK) {
        return st;
    }
    size_t n = data_set_n(set);
    size_t *first = fl_xcalloc(n, sizeof *first);  // row of each patient, + 1
    out->rows = fl_xcalloc(n, sizeof *out->rows);
    out->cases = fl_xcalloc(n, sizeof *out->cases);
    for (size_t i = 0; i < n; i++) {
        data_case c = data_set_case(set, i);
        if (first[c.patient_no] == 0) {
            first[c.patient_no] = i + 1;
        }
        int label = data_set_spec(set)->task == DATA_CLASSIFY ? c.code : -1;
        out->rows[i] = (partition_row){
            .split = (int)c.split, .label = label, .leader = first[c.patient_no] - 1};
        out->cases[i] = fl_xstrdup(c.case_id);
        out->n++;
    }
    free(first);
    data_set_destroy(&set);
    return FL_OK;
}

// -------------------------------------------------------------------- dealing

/* Deals the cases of one class and split to the hospitals. */
static void deal(partition_row *rows, const size_t *of_class, size_t n, const double *share,
                 size_t n_hospitals)
{
    size_t *counts = fl_xcalloc(n_hospitals, sizeof *counts);
    partition_counts(counts, share, n_hospitals, n);
    size_t next = 0;
    for (size_t h = 0; h < n_hospitals; h++) {
        for (size_t k = 0; k < counts[h]; k++) {
            rows[of_class[next++]].hospital = h;
        }
    }
    free(counts);
}

/* The hospitals' shares of one class. */
static void draw_shares(double *share, const double *size, const scenario *s, fl_rng *rng)
{
    size_t n = s->n_hospitals;
    double sum = 0;
    for (size_t h = 0; h < n; h++) {
        share[h] = 1.0 / (double)n;
    }
    if (s->source.dirichlet) {
        partition_dirichlet(share, n, s->source.alpha, rng);
    }
    for (size_t h = 0; h < n && size != NULL; h++) {
        share[h] *= size[h];
        sum += share[h];
    }
    for (size_t h = 0; h < n && size != NULL; h++) {
        share[h] = sum > 0 ? share[h] / sum : 1.0 / (double)n;
    }
}

/* One draw of shares for every class. */
static void share_classes(partition *p, const scenario *s, fl_rng *rng)
{
    double *share = fl_xcalloc(s->n_hospitals, sizeof *share),
           *alone = fl_xcalloc(s->n_hospitals, sizeof *alone);
    double *size = s->source.size_alpha > 0 ? fl_xcalloc(s->n_hospitals, sizeof *size) : NULL;
    size_t *of_class = fl_xcalloc(p->n, sizeof *of_class);
    int last = -1;
    if (size != NULL) {
        partition_dirichlet(size, s->n_hospitals, s->source.size_alpha, rng);
    }
    for (size_t i = 0; i < p->n; i++) {
        last = p->rows[i].label > last ? p->rows[i].label : last;
    }
    for (int c = -1; c <= last; c++) {
        bool any = c >= 0;
        for (size_t i = 0; i < p->n && !any; i++) {
            any = p->rows[i].label == c;
        }
        if (!any) {
            continue;  // nobody without a label
        }
        int only = c >= 0 ? s->source.only_at[c] : -1;
        draw_shares(share, size, s, rng);
        for (size_t h = 0; h < s->n_hospitals; h++) {
            alone[h] = (int)h == only;
        }
        for (int split = 0; split < SCENARIO_SPLITS; split++) {
            size_t n = 0;
            for (size_t i = 0; i < p->n; i++) {
                const partition_row *r = &p->rows[i];
                if (r->leader == i && r->split == split && r->label == c) {
                    of_class[n++] = i;
                }
            }
            fl_rng_shuffle(rng, of_class, n);
            deal(p->rows, of_class, n, only >= 0 && split < 2 ? alone : share, s->n_hospitals);
        }
    }
    for (size_t i = 0; i < p->n; i++) {
        p->rows[i].hospital = p->rows[p->rows[i].leader].hospital;
    }
    free(share);
    free(alone);
    free(size);
    free(of_class);
}

/* Has every hospital enough to train on, and something to be judged by? */
static bool is_enough(const partition *p, const scenario *s)
{
    int64_t(*have)[SCENARIO_SPLITS] = fl_xcalloc(s->n_hospitals, sizeof *have);
    for (size_t i = 0; i < p->n; i++) {
        have[p->rows[i].hospital][p->rows[i].split]++;
    }
    bool enough = true;
    for (size_t h = 0; h < s->n_hospitals; h++) {
        enough = enough && have[h][0] >= s->source.min_train && have[h][1] >= 1 && have[h][2] >= 1;
    }
    free(have);
    return enough;
}

fl_status partition_read(partition *out, const scenario *s, fl_err *err)
{
    *out = (partition){.n = 0};
    fl_status st = s->source.npz != NULL ? read_npz(out, s, err) : read_folder(out, s, err);
    if (st != FL_OK) {
        partition_clear(out);
        return st;
    }
    for (uint64_t draw = 0; draw < MAX_DRAWS; draw++) {
        fl_rng rng;
        fl_rng_init(&rng, s->job.seed, "partition", "", draw);
        share_classes(out, s, &rng);
        if (is_enough(out, s)) {
            return FL_OK;
        }
    }
    partition_clear(out);
    return fl_fail(
        err, FL_ECONFIG,
        "source: %d draws with alpha %g left some hospital with fewer than %lld training cases; "
        "raise alpha, or lower min_train or the number of hospitals",
        MAX_DRAWS, s->source.alpha, (long long)s->source.min_train);
}

void partition_clear(partition *p)
{
    for (size_t i = 0; i < p->n && p->cases != NULL; i++) {
        free(p->cases[i]);
    }
    free(p->cases);
    free(p->rows);
    *p = (partition){.n = 0};
}
