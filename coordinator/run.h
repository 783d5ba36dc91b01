/*
 * run.h - one job's run: its folder, its record, its machine
 *
 *   runs/R/job.yaml                       the bytes that name the job; written last: their presence
 *                                         means that the folder is complete
 *   runs/R/model/graph.onnx               of a job whose model is from a file: that file's graph, whose
 *                                         digest is in job.yaml
 *   runs/R/state.db                       the record (record.h)
 *   runs/R/model/round-NNNN.safetensors   the model that round NNNN committed; 0000 is the first
 *   runs/R/model/state-NNNN.safetensors   the strategy's vectors behind it
 *   runs/R/model/final.{safetensors,onnx} the selected model
 *   runs/R/spool/                         updates of the round that is open; own models that sites
 *                                         lent, until all have judged them
 *   runs/R/report/                        report.json and pages
 *
 * Joins the round machine (what is next) to the record (what is stored) and does
 * the work between two states: aggregating, choosing, reporting.  It knows no
 * socket: serve.c feeds it what sites say and asks it what to tell them.
 * Threads: one.
 */
#ifndef COORDINATOR_RUN_H
#define COORDINATOR_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "coordinator/check.h"
#include "coordinator/federation.h"
#include "coordinator/objects.h"
#include "coordinator/record.h"
#include "coordinator/roster.h"
#include "coordinator/round.h"
#include "coordinator/strategy.h"
#include "job/job.h"
#include "task/task.h"

/* Called at the places a crash may hit: before and after each commit ("before
 * training 3, 2 in": two updates are accepted) and between the files that a
 * transition writes.  false: stop as if killed.  For tests. */
typedef bool (*run_probe)(void *ctx, const char *where);

#define RUN_GRAPH "model/graph.onnx"

typedef struct run run;

/*
 * Makes runs/NAME from job_path, or finds it: with the same bytes, and the same graph in the
 * file of its model, it is the same run.  FL_ECONFLICT when other bytes have that name; FL_ECONFIG when the
 * quorum cannot be reached.  Nothing is left behind then.  name: NULL = the
 * job's.  *dir: the run's folder, caller's.
 */
fl_status run_create(char **dir, const federation *f, const roster *sites, const char *job_path,
                     const char *name, fl_err *err);
/* FL_ECONFIG when the quorum is more than the sites that are enrolled or invited. */
fl_status run_check_quorum(const job *j, const roster *sites, fl_err *err);
/* Opens a run's folder and takes up where the record ends. */
fl_status run_open(run **out, const char *dir, const federation *f, roster *sites, int64_t now_ms,
                   run_probe probe, void *probe_ctx, fl_err *err);
void run_close(run **r);

/* Borrowed views. */
const char *run_name(const run *r);
const char *run_dir(const run *r);
const job *run_job(const run *r);
const fed_digest *run_digest(const run *r);
round_machine *run_machine(run *r);
const objects *run_objects(const run *r);
const check_job *run_check_job(const run *r);
record *run_record(run *r);
bool run_is_finished(const run *r);

/* Sites that come and go; index of each by name is for ever. */
void run_follow_roster(run *r, const roster *sites, int64_t now_ms);
/* The same where one site alone has changed. */
void run_follow_site(run *r, const fed_site_id *site, int64_t now_ms);
size_t run_site(run *r, const fed_site_id *site, int64_t now_ms);

/* What to tell a site now. */
void run_order(run *r, size_t site, fed_order *out);
/* Is a contribution wanted: by the stage that is open, or to be carried? */
bool run_wants(const run *r, size_t site, const fed_order_key *key);
/* Is it an update that missed its round and counts in the next one (late: carry)? */
bool run_carries(const run *r, size_t site, const fed_order_key *key);
/* The model that it must be based on; has: false for CHECK, which is based on none. */
fl_status run_base_model(const run *r, const fed_order_key *key, fed_model_id *out, bool *has,
                         fl_err *err);
/* Folder entry for a payload that arrives; caller's. */
char *run_spool_path(const run *r, const fed_offer *o);

/* Is it another site's own model, accepted already? */
bool run_is_anothers(run *r, const fed_offer *o);
/* A Reply; stored at the next turn. */
void run_reply(run *r, size_t site, const fed_order_key *key, fed_answer answer, bool mismatch,
               const char *text);
/* A contribution that passed every check: recorded at the next turn.  payload is taken (NULL for
 * updates). */
void run_accept(run *r, size_t site, const fed_offer *o, char *payload, size_t n);
/* Too many refused contributions: the site leaves the stage. */
void run_give_up_on(run *r, size_t site, const char *reason);
bool run_has_news(const run *r);  // something waits for the next turn
/* Nothing would follow from that turn: a few moments later others may share its commit. */
bool run_news_can_wait(const run *r);
/*
 * Commits what is waiting and every step that is due.  On FL_OK all that was
 * accepted is on disk.  FL_ECONFIG: the data of a site do not fit (every sentence, by site).
 * FL_EFULL and others: nothing was lost, the run can be resumed.
 */
fl_status run_turn(run *r, int64_t now_ms, fl_err *err);
/* Sites whose order may have changed since this was last asked; asking forgets. */
bool run_take_changed(run *r, size_t site);

/* What the job's evaluation asks for besides, what that costs, and what only a simulation can do;
 * "" when it asks for nothing such. */
void run_describe_extent(const run *r, char *out, size_t n);
/* One line for people: where the run is, and how long it may take. */
void run_describe(const run *r, char *out, size_t n);
/* Bytes of payload that moved, for the report. */
void run_count_bytes(run *r, uint64_t up, uint64_t down);

#endif
