/*
 * job.h - what the consortium trains: job.yaml as a struct
 *
 * Composes the config structs of the folders below (data_spec, model_config,
 * task_train_config ...), so a key is read where it is used.  Coordinator and
 * client read the same bytes; their BLAKE2b digest names the job.
 *
 * Whatever cannot work is refused here, with file and line, before any
 * hospital has trained.  What is not built yet is refused the same way.
 */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cfg.h"
#include "base/err.h"
#include "data/dataset.h"
#include "data/shift_curve.h"
#include "data/spec.h"
#include "eval/eval.h"
#include "model/model.h"
#include "task/members.h"
#include "task/task.h"

enum {
    JOB_MAX_BYTES = 1 << 20,
    JOB_NAME_BYTES = 64,
    JOB_MAX_PARAMS = 16,
    JOB_MAX_SUBGROUPS = 8,
    JOB_MAX_EDGES = 8,
    JOB_MAX_MARGINS = 8
};

/* strategy: {name: fedprox, mu: 0.01, weights: samples} */
typedef struct {
    char name[32];
    bool uniform;  // weights: uniform | samples
    struct {
        char key[32];
        double value;
    } param[JOB_MAX_PARAMS];  // every other key; the coordinator's strategy
    size_t n_params;          // table knows which it takes
} job_strategy;

double job_strategy_param(const job_strategy *s, const char *key,
                          double fallback);

typedef enum { JOB_LATE_DROP, JOB_LATE_CARRY, JOB_LATE_WAIT } job_late;

typedef struct {
    int64_t quorum;       // least contributions a round needs
    bool of_all;          // of: all
    int64_t patience_ms;  // the only timeout
    job_late late;
    int64_t abandon_ms;  // a round short of its quorum for so long is given up; 0: never
    bool partial;  // a site that is not done within patience sends what it has
} job_sites;

typedef struct {
    char name[DATA_NAME_BYTES];    // an attribute of the data
    double edges[JOB_MAX_EDGES];   // increasing; numbers are cut here
    size_t n_edges;                // 0 for codes and text
} job_subgroup;

typedef struct {
    char metric[32];   // "auc", see task_quick_metric
    data_split split;  // DATA_VAL
    bool best;         // keep: best | last
} job_select;

typedef struct {
    char metric[32];
    double value;  // smallest difference that matters
} job_margin;

/* How sure the selected model is of each site's cases. */
typedef struct {
    bool asked;
    task_members members;  // no ensemble
    double refer;          // share of the cases that somebody else could judge
    double alpha;          // conformal sets miss the label in this share of cases
} job_uncertainty;

/* Each site's version of the selected model, fine-tuned on its own training split. */
typedef struct {
    bool asked;
    int64_t epochs;  // at most, the best of them by the own validation split; or 0
    int64_t steps;   // instead
    double lr;
} job_personal;

typedef struct {
    eval_rule rule;  // how the threshold is set, from validation
    double at;       // the sensitivity, or the threshold itself
    job_margin margin[JOB_MAX_MARGINS];
    size_t n_margins;
    job_subgroup subgroups[JOB_MAX_SUBGROUPS];
    size_t n_subgroups;
    int64_t min_cell;        // patients
    bool local_baseline;     // each site trains its own model, same steps
    int64_t histogram_bins;  // of scores that may leave a site
    data_shift_curves shift;  // that the test split is judged under; none: n = 0
    job_uncertainty uncertainty;
    job_personal personal;
    bool cross_site;  // each site's own model is judged by every other, where all policies allow it
    bool full;  // personal and cross_site too, and what a simulator alone can compare
} job_evaluation;

typedef struct {
    bool secure_aggregation;
    char dp[32];  // "none"
} job_privacy;

typedef struct {
    char name[JOB_NAME_BYTES];  // [a-z0-9_-]
    char intended_use[512];
    data_spec data;             // with task
    model_config model;
    char init[512];             // weights to start from: a path at the
                                // coordinator; "" = none, or those of the model's file
    int64_t rounds;
    uint64_t seed;
    job_strategy strategy;
    task_train_config local;
    job_sites sites;
    job_select select;
    job_evaluation evaluation;
    job_privacy privacy;
    bool bf16_pieces;           // models and updates travel rounded to bfloat16
    bool codes;                 // names: codes
    /* The bytes it was read from, and nothing else, travel to the sites. */
    char *text;
    size_t n_text;
} job;

/* From a file, whose `init` must be there; FL_ECONFIG with file:line for
 * anything odd.  Release with job_clear. */
fl_status job_read(job *out, const char *path, fl_err *err);

/* From memory, as a client fetched it; name and dir as in fl_cfg_parse.  No file
 * that it names is looked at: of a model from one, only the name is known. */
fl_status job_parse(job *out, const char *text, size_t n, const char *name,
                    const char *dir, fl_err *err);

/* The bytes of the ONNX file that model.graph names. */
typedef struct {
    const void *bytes;
    size_t n;
} job_graph;

/*
 * The same with the job's model, the caller's, which has the job's loss.
 * graph: of a job whose model is from a file, what came with it, compared with its
 * digest; borrowed for the call.  NULL: nothing came; such a job is then refused.
 */
fl_status job_parse_model(job *out, task_model **model, const char *text, size_t n,
                          const char *name, const char *dir, const job_graph *graph, fl_err *err);

/* The digest of the graph that a job's text names; false when there is none, or
 * when the text is no job: its reader will say why. */
bool job_names_graph(char digest[static MODEL_DIGEST_BYTES], const char *text, size_t n);
/* Writes the digest into the job's text, which is then the one that travels. */
fl_status job_put_graph(job *j, const char *digest, fl_err *err);
/* Whether the first model is given, by init or by the model's own file, rather than drawn. */
bool job_starts_from_file(const job *j);

/* From an open document (a scenario's `job:`); complaints go there, text stays
 * NULL. */
void job_read_node(job *out, fl_node root);
void job_clear(job *j);  // fine when called twice

/*
 * What a site's data must have beside the job's spec: labelled cases to train
 * on and to be judged on.  One class alone may be all there is, and a site
 * without validation cases leaves the choosing to the others.  set was opened
 * with the job's spec.  FL_ECONFIG in one sentence, of no patient.
 */
fl_status job_check_data(const data_set *set, fl_err *err);

/* Does the threshold's rule need score histograms of the selected model? */
bool job_asks_histogram(const job *j);
/* Are scores brought to a temperature and sets calibrated, which needs sums of the
 * selected model's validation scores? */
bool job_asks_calibration(const job *j);

/* Prints every key with type, range, default and help (make docs). */
void job_describe(FILE *out);

#endif
