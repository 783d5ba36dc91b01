/*
 * partition.c - see partition.h
 */
#include "sim/partition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/formats.h"

enum { MAX_DRAWS = 1000 }; // of shares, until every hospital has enough

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
    while (given < total) { // to the largest remainder, the first among equals
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

typedef struct {
    const data_array *labels[SCENARIO_SPLITS];
    size_t n[SCENARIO_SPLITS];
    int n_classes;
} label_arrays;

static fl_status find_labels(label_arrays *out, const data_npz *z, const char *path, fl_err *err)
{
    static const char *const names[SCENARIO_SPLITS] = {"train_labels", "val_labels", "test_labels"};
    memset(out, 0, sizeof *out);
    for (int s = 0; s < SCENARIO_SPLITS; s++) {
        const data_array *a = data_npz_find(z, names[s]);
        if (a == NULL) {
            return fl_fail(err, FL_EFORMAT, "%s: has no array %s", path, names[s]);
        }
        out->labels[s] = a;
        out->n[s] = a->rank > 0 ? (size_t)a->dim[0] : 0;
        for (size_t i = 0; i < out->n[s]; i++) {
            double label = data_array_at(a, i);
            if (label < 0 || label >= DATA_MAX_CLASSES || label != floor(label)) {
                return fl_fail(err, FL_EFORMAT, "%s: %s[%zu] is %g, not a class code", path, names[s], i, label);
            }
            out->n_classes = label >= out->n_classes ? (int)label + 1 : out->n_classes;
        }
    }
    return FL_OK;
}

/* Deals the cases of one class and split to the hospitals. */
static void deal(partition_row *rows, const size_t *of_class, size_t n, const double *share, size_t n_hospitals)
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

/* One draw of shares for every class; rows are in split and index order. */
static void share_classes(partition_row *rows, const label_arrays *labels, const scenario *s, fl_rng *rng)
{
    size_t most = labels->n[0] + labels->n[1] + labels->n[2];
    double *share = fl_xcalloc(s->n_hospitals, sizeof *share);
    size_t *of_class = fl_xcalloc(most, sizeof *of_class);
    for (int c = 0; c < labels->n_classes; c++) {
        for (size_t h = 0; h < s->n_hospitals; h++) {
            share[h] = 1.0 / (double)s->n_hospitals;
        }
        if (s->source.dirichlet) {
            partition_dirichlet(share, s->n_hospitals, s->source.alpha, rng);
        }
        size_t first = 0;
        for (int split = 0; split < SCENARIO_SPLITS; split++) {
            size_t n = 0;
            for (size_t i = 0; i < labels->n[split]; i++) {
                if ((int)data_array_at(labels->labels[split], i) == c) {
                    of_class[n++] = first + i;
                }
            }
            fl_rng_shuffle(rng, of_class, n);
            deal(rows, of_class, n, share, s->n_hospitals);
            first += labels->n[split];
        }
    }
    free(share);
    free(of_class);
}

/* Has every hospital enough to train on, and something to be judged by? */
static bool is_enough(const partition_row *rows, size_t n, const scenario *s)
{
    int64_t (*have)[SCENARIO_SPLITS] = fl_xcalloc(s->n_hospitals, sizeof *have);
    for (size_t i = 0; i < n; i++) {
        have[rows[i].hospital][rows[i].split]++;
    }
    bool enough = true;
    for (size_t h = 0; h < s->n_hospitals; h++) {
        enough = enough && have[h][0] >= s->source.min_train && have[h][1] >= 1 && have[h][2] >= 1;
    }
    free(have);
    return enough;
}

fl_status partition_npz(partition_row **rows, size_t *n, const scenario *s, fl_err *err)
{
    data_npz z = {0};
    label_arrays labels;
    *rows = NULL;
    *n = 0;
    fl_status st = data_npz_read(&z, s->source.npz, err);
    if (st != FL_OK || (st = find_labels(&labels, &z, s->source.npz, err)) != FL_OK) {
        goto done;
    }
    *n = labels.n[0] + labels.n[1] + labels.n[2];
    *rows = fl_xcalloc(*n, sizeof **rows);
    for (size_t split = 0, k = 0; split < SCENARIO_SPLITS; split++) {
        for (size_t i = 0; i < labels.n[split]; i++, k++) {
            (*rows)[k] = (partition_row){.split = (int)split, .index = i};
        }
    }
    st = FL_ELIMIT;
    for (uint64_t draw = 0; draw < MAX_DRAWS && st != FL_OK; draw++) {
        fl_rng rng;
        fl_rng_init(&rng, s->job.seed, "partition", "", draw);
        share_classes(*rows, &labels, s, &rng);
        st = is_enough(*rows, *n, s) ? FL_OK : FL_ELIMIT;
    }
    if (st != FL_OK) {
        fl_fail(err, FL_ECONFIG, "source: %d draws with alpha %g left some hospital with fewer than %lld training cases; "
                "raise alpha, or lower min_train or the number of hospitals", MAX_DRAWS, s->source.alpha,
                (long long)s->source.min_train);
        st = FL_ECONFIG;
    }
done:
    data_npz_clear(&z);
    if (st != FL_OK) {
        FL_FREE(*rows);
        *n = 0;
    }
    return st;
}
