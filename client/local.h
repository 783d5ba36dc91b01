/*
 * local.h - one job at one hospital: its data, its model, its training
 *
 * What a site does between receiving a model and having something to send:
 * compare its data with the job's, train a round, score the validation split.
 * Knows no network and no policy; what comes out of here has not left yet
 * (outbox.h).  The test split is not touched here (judge.h).
 * Threads: a local belongs to one worker at a time.  A local_progress is
 * written by that worker and read, or told to cancel, by any thread.
 */
#ifndef CLIENT_LOCAL_H
#define CLIENT_LOCAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "client/home.h"
#include "data/dataset.h"
#include "fed/fed.h"
#include "job/job.h"
#include "task/task.h"

typedef struct {
    atomic_bool started;          // a worker has taken it up
    atomic_bool cancel;           // stop after the step
    atomic_bool may_be_late;      // what comes out counts even when its round is over
    atomic_uint_least64_t done;   // optimiser steps, and stretches of evaluation
    atomic_uint_least64_t total;  // of done, at the end of the training that runs; 0 = not known
    atomic_uint_least64_t *all;   // steps of the whole process; may be NULL
} local_progress;

/* One step further. */
void local_step(local_progress *progress);

typedef struct {
    fed_digest digest;  // names the job
    job job;
    char site[FED_SITE_BYTES];
    report_language language;  // of the hospital's pages
    int threads;
    task_model *model;
    data_set *set;          // NULL until local_load
    char run[FED_NAME_BYTES];  // whose data set is known to be (joined.h); "": none's yet
    const data_set *now;    // of set, what stands in the round
    task_trainer *trainer;  // on now; NULL until the first training
} local;

/* Reads a job's text and builds its model, of a graph where the job brings one; the
 * data are not opened.  graph: as job_parse_model has it. */
fl_status local_new(local **out, const home *h, const fed_digest *digest, const char *text,
                    size_t n, const job_graph *graph, fl_err *err);
void local_destroy(local **l);  // fine on NULL

/* Opens the hospital's data set against the job, once.  FL_ECONFIG says what
 * does not fit. */
fl_status local_load(local *l, const home *h, fl_err *err);

/* From here on the data are those of the round (data_set_in_round). */
void local_enter_round(local *l, int64_t round);

/* What a report says of the data: data_set_table1 with every cell as its
 * number, null where it is hidden (proto/REPORT.md).  New reference. */
json_t *local_table1(const local *l);

int64_t local_n_parameters(const local *l);  // P
/* Labelled training cases: the site's weight. */
int64_t local_n_labelled(const local *l);

/*
 * One round.  base: (P) the round's model.  params: (P) receives the trained
 * one.  Everything random is named by (job's seed, site, round), so the same
 * round gives the same bits.  FL_ESTOPPED when cancelled.  Where partial work
 * counts (sites.partial) training ends after the job's patience; result->steps
 * says how far it came.
 */
fl_status local_train(local *l, float *params, const float *base, fed_round_no round,
                      local_progress *progress, task_train_result *result, fl_err *err);

/*
 * Training from the job's seed alone, as many steps as the federated model
 * had at this site: the model the hospital could have made by itself.  params:
 * (P) receives the parameters after the round-long stretch that was best on
 * the own validation split by the job's metric; without one, the last.
 * first: (P) what the federation started from, when the job gives initial weights
 * (kept in the run's folder as LOCAL_FIRST_MODEL); NULL: drawn from the seed, as its.
 */
#define LOCAL_FIRST_MODEL "first.safetensors"
typedef struct {
    int64_t steps, best_step;  // done, and of the parameters kept
} local_baseline_result;
fl_status local_baseline(local *l, float *params, const float *first, local_progress *progress,
                         local_baseline_result *result, fl_err *err);

/*
 * The hospital's version of a model: fine-tuned as evaluation.personal says on the own
 * training split, without the strategy's terms.  params: (P) receives the parameters
 * after the epoch that was best on the own validation split by the job's metric, which
 * are global's (best_step 0) where none was better; without validation cases, the last.
 */
fl_status local_personal(local *l, float *params, const float *global, local_progress *progress,
                         local_baseline_result *result, fl_err *err);

/*
 * Histogram of a two-class model's scores: {"bins", "negatives", "positives"},
 * or NULL when there is nothing that may be said.  With LOCAL_FINE_BINS or
 * fewer, neighbouring bins are joined until every count is of min_cell patients
 * or more, and counted where their mean score is; "spans" says from which bin
 * to which each count reaches: {"negatives": [[first, last] ...], "positives"},
 * in the order of the counts that are not 0.  A finer histogram was allowed by
 * name and is left as it is.  New reference.
 */
enum { LOCAL_FINE_BINS = 20 };
json_t *local_histogram(const task_scores *s, const data_spec *spec, int64_t bins,
                        int64_t min_cell);

#endif
