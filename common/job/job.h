/*
 * job.h - what the consortium trains: job.yaml as a struct
 *
 * Composes the config structs of the folders below (data_spec, model_config,
 * task_train_config ...), so a key is read where it is used.  Coordinator and
 * client read the same bytes; their BLAKE2b digest names the job.
 */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cfg.h"
#include "base/err.h"
#include "data/spec.h"
#include "eval/eval.h"
#include "model/model.h"
#include "task/task.h"

enum { JOB_MAX_BYTES = 1 << 20, JOB_NAME_BYTES = 64, JOB_MAX_PARAMS = 16, JOB_MAX_SUBGROUPS = 8, JOB_MAX_EDGES = 8, JOB_MAX_MARGINS = 8 };

/* strategy: {name: fedprox, mu: 0.01, weights: samples} */
typedef struct {
    char name[32];
    bool uniform;                                  // weights: uniform | samples
    struct { char key[32]; double value; } param[JOB_MAX_PARAMS]; // everything else, checked by the coordinator's strategy table
    size_t n_params;
} job_strategy;
double job_strategy_param(const job_strategy *s, const char *key, double fallback);

typedef enum { JOB_LATE_DROP, JOB_LATE_CARRY, JOB_LATE_WAIT } job_late;

typedef struct {
    int64_t quorum;        // least contributions a round needs
    bool of_all;           // of: all
    int64_t patience_ms;   // the only timeout
    job_late late;
} job_sites;

typedef struct { char name[DATA_NAME_BYTES]; double edges[JOB_MAX_EDGES]; size_t n_edges; } job_subgroup;

typedef struct {
    char name[JOB_NAME_BYTES];       // [a-z0-9_-]
    char intended_use[512];
    data_spec data;                  // with task
    model_config model;
    char init[512];                  // weights to start from, absolute path at the coordinator; "" = none
    int64_t rounds;
    uint64_t seed;
    job_strategy strategy;
    task_train_config local;
    job_sites sites;
    struct { char metric[32]; data_split split; bool best; } select;
    struct {
        eval_rule rule; double at;                // threshold, from validation
        struct { char metric[32]; double value; } margin[JOB_MAX_MARGINS];
        size_t n_margins;
        job_subgroup subgroups[JOB_MAX_SUBGROUPS];
        size_t n_subgroups;
        int64_t min_cell;
        bool local_baseline;                      // each site trains its own model with the same steps
        int64_t histogram_bins;
    } evaluation;
    struct { bool secure_aggregation; char dp[32]; } privacy;
    bool codes;                      // names: codes
    /* The bytes it was read from, and nothing else, travel to the sites. */
    char *text;
    size_t n_text;
} job;

/* path's bytes; FL_ECONFIG with file:line for anything odd. What is not built yet is refused in one
 * sentence here (late: carry, secure_aggregation: true, dp other than none, task segment ...). */
fl_status job_read(job *out, const char *path, fl_err *err);
/* From memory, e.g. as fetched by a client; name and dir as in fl_cfg_parse. */
fl_status job_parse(job *out, const char *text, size_t n, const char *name, const char *dir, fl_err *err);
/* Reads from an open document (a scenario's job:). text stays NULL. */
void job_read_node(job *out, fl_node root);
void job_clear(job *j);
/* Prints every key with type, range, default and help (make docs). */
void job_describe(FILE *out);

#endif
