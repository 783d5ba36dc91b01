/*
 * scenario.h - what the simulator plays: scenario.yaml as a struct
 *
 * A scenario is a job, hospitals and baselines.  The job is kept as YAML text, for
 * the coordinator reads it as it would read a consortium's; the hospitals say
 * whom they see, with which scanner, or which real files they have.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cfg.h"
#include "base/err.h"
#include "data/shift.h"
#include "job/job.h"
#include "sim/annotate.h"
#include "sim/phantom.h"

enum {
    SCENARIO_MAX_HOSPITALS = 10000,
    SCENARIO_TEXT = 512,
    SCENARIO_SPLITS = 3,
    SCENARIO_MAX_CHANGES = 16
};

/* A scanner replaced while the federation runs. */
typedef struct {
    int64_t round;     // the first with it
    char scanner[64];  // "": as before
    data_shift shift;
    char *shift_yaml;  // as written, owned
} scenario_change;

typedef struct {
    char name[49];                  // [a-z0-9_-]; the site's name
    phantom_population population;  // generated hospitals
    int64_t n[SCENARIO_SPLITS];     // patients of train, val, test; generated hospitals
    unsigned unseen;                // classes that training and validation lack; bit k is class k
    double curated;                 // least conspicuity of a finding in training
    annotate_rules labels;
    char scanner[64];  // attribute `scanner`; "" = the shift chain's text
    data_shift shift;
    char *shift_yaml;                               // the chain as written ("[]" for none), owned
    scenario_change changes[SCENARIO_MAX_CHANGES];  // by rising round
    size_t n_changes;
    char *dataset_yaml;  // `dataset:`, its own real data; NULL = none; owned
    char *data;          // `data:`, a data set as it is; NULL = none; owned
} scenario_hospital;

/* What the shared model is compared with besides the own and the centralised one. */
typedef struct {
    bool leave_one_out;  // a federation more for every hospital
    bool cross_site;     // every hospital's own model at every other
    bool personal;       // asked of every hospital, though the job need not say so
    int64_t ensemble;    // independent federations, this one among them; 0: none
    int64_t snapshot;    // of the last rounds' models; 0: none
} scenario_compared;

typedef enum { SCENARIO_GENERATE, SCENARIO_SOURCE, SCENARIO_OWN } scenario_kind;

typedef struct {
    char name[64];   // the job's name
    char *job_yaml;  // as the coordinator reads it; owned
    job job;         // the same, read
    scenario_kind kind;
    struct {  // generate:
        const phantom_ops *phantom;
        double difficulty;
        int64_t size;   // pixels a side
        int64_t depth;  // slices; 1: images
    } generate;
    struct {                 // source: one real data set over all hospitals
        char *npz;           // path; owned; or NULL and
        char *folder;        // path of a data set of any kind; owned
        char *classes_yaml;  // of npz: as dataset.yaml writes them; owned
        bool dirichlet;      // label skew; else even shares
        double alpha;
        double size_alpha;              // size skew, Dirichlet; 0: none
        int only_at[DATA_MAX_CLASSES];  // hospital that alone trains on the class; -1: all
        int64_t min_train;              // fewest training cases a hospital gets
    } source;
    scenario_hospital *hospitals;  // owned
    size_t n_hospitals;
    int64_t n_processes;        // client processes that host the sites
    bool centralised;           // baselines
    scenario_compared compared;
    task_train_config central;  // how the centralised baseline is trained
    char *central_yaml;  // the same as a job of its own, without what only a federation has; owned
} scenario;

/* One `--set a.b=value`; the job's keys first, then hospitals.NAME.key. */
typedef struct {
    const char *path, *value;
} scenario_setting;

/* FL_ECONFIG with file:line.  seed >= 0 replaces the job's. */
fl_status scenario_read(scenario *out, const char *path, const scenario_setting *set, size_t n_set,
                        int64_t seed, fl_err *err);
void scenario_clear(scenario *s);
/* Is any scanner replaced while the federation runs? */
bool scenario_has_changes(const scenario *s);
/* Folder of a change, below the hospital's: "round-008".  Caller's. */
char *scenario_change_folder(const scenario_change *c);
/* The folder of the hospital's last data, below that of all: "nord/round-008".  Caller's. */
char *scenario_last_folder(const scenario_hospital *h);
/* Appends dataset.yaml's `later:`, nothing without changes. */
void scenario_add_later(fl_buf *yaml, const scenario_hospital *h);
/* Of what a scenario's `generate:` makes: (C, H, W) or (C, D, H, W). */
nn_shape scenario_generated_shape(const scenario *s);
/* Prints every key with type, range, default and help (make docs). */
void scenario_describe(FILE *out);

#endif
