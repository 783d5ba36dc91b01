/*
 * run_inside.h - what run.c, run_work.c and run_lent.c share; for them alone
 *
 * run.c holds a run's sites, orders and turns; run_work.c what a transition
 * leaves on the disk: models, threshold, report, spools; run_lent.c own models that sites lent.
 */
#ifndef COORDINATOR_RUN_INSIDE_H
#define COORDINATOR_RUN_INSIDE_H

#include "coordinator/audit.h"
#include "coordinator/calibrate.h"
#include "coordinator/run.h"

/* Waits for the next commit. */
typedef struct {
    round_step step;
    fed_offer *offer;  // of an ACCEPT; owned
    char *payload;     // owned, or NULL
    size_t n_payload;
} run_pending;

struct run {
    char *dir, *name;
    const federation *fed;  // borrowed
    roster *sites;          // borrowed
    job job;
    strategy strategy;
    task_model *model;
    int64_t P;
    check_job check;
    record *record;
    audit *audit;
    round_machine *machine;
    objects *objects;
    fed_digest job_object;
    record_model base;  // of the model that orders name now
    bool has_base;
    double lent_threshold;  // of the own model that is judged
    calibration calibrated;  // of the selected model, once it is on test
    bool is_calibrated;
    fed_digest *reports;  // of site i, once there is a report
    size_t n_reports;
    run_pending *pending;
    size_t n_pending;
    roster_site *noted;  // site i as the audit record has it
    size_t n_noted;
    bool has_site_news;   // the roster may differ from it
    size_t *news;         // or these sites alone
    size_t n_news;
    bool *changed;  // of site i: its order may have changed
    size_t n_changed;
    double round_started;  // fl_now(); anew when the coordinator starts
    double first_round;    // when the first round of this process started; 0: none yet
    uint32_t n_rounds;     // committed since
    uint64_t bytes_up, bytes_down;
    run_probe probe;
    void *probe_ctx;
};

/* FL_ESTOPPED when the test's probe says so. */
fl_status run_probe_at(run *r, const char *when, const char *what, uint32_t round, fl_err *err);
void run_mark_all_changed(run *r);

/* ---- run_work.c ---- */
/* After opening: takes up from the disk what the state needs. */
fl_status run_resume(run *r, int64_t now_ms, fl_err *err);
/* What a transition needs before it can be stored; belongs to the same transaction.  Fills in the
 * selected round. */
fl_status run_prepare(run *r, round_step *step, fl_err *err);
/* After a transition is on disk. */
fl_status run_act(run *r, const round_step *step, fl_err *err);
/* The model that orders name from now on, and no other. */
void run_serve_instead(run *r, const record_model *model);

/* ---- run_lent.c ---- */
/*
 * LENDING or CROSSING that is to be entered: own models are asked for, and shown to others, only
 * where every site allows it; else step leads to REPORTING, and the report says who did not.
 */
fl_status run_allow_crossing(run *r, round_step *step, fl_err *err);
/* Serves the own model that CROSSING is at. */
fl_status run_serve_lent(run *r, fl_err *err);
/* They are the coordinator's for as long as they are judged, and no longer; half ones too. */
void run_drop_lent(const run *r);

#endif
