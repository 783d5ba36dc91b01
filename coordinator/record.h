/*
 * record.h - what happened in one run: runs/R/state.db
 *
 * The only memory of a run that counts.  Each step of the round machine is
 * written here, in one transaction with what belongs to it, before anything is
 * done about it; record_load makes the machine again from it.
 * Writing functions belong between record_begin and record_commit.
 * Threads: one.
 */
#ifndef COORDINATOR_RECORD_H
#define COORDINATOR_RECORD_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "coordinator/round.h"
#include "fed/audit.h"
#include "fed/msg.h"

typedef struct record record;

/* A home that a site had before the one that it has now, which is asked about the job anew. */
typedef struct {
    fed_site_id site;
    uint32_t last_round;  // of which it gave an update
    fed_offer joined;     // its CHECK
} record_home;

/* A model that is current, or was: round 0 is the first one. */
typedef struct {
    fed_digest object;              // as it travels
    fed_model_id id;                // model.sha256
    uint64_t bytes_up, bytes_down;  // of the round
    double seconds;                 // from the round's orders to the commit
    double loss;                    // mean training loss over the cohort, weighted; NAN: none said
    int64_t committed_ms;           // UTC
} record_model;

/* A row of the answers: a site and an order. */
typedef struct {
    fed_site_id site;
    int state;  // round_check for CHECK, else round_answer
    char reason[FED_TEXT_BYTES];
    int64_t time_ms;  // UTC
    bool has_offer;
    fed_offer offer;      // what was accepted; also under LOST, whose digest still binds
    const void *payload;  // of all but updates; borrowed during the call
    size_t n_payload;
} record_answer;

/* Of a run that is new: created now. */
fl_status record_open(record **out, const char *path, const fed_digest *job, const char *name,
                      fl_err *err);
/* For who only reads: also where the disk is full (store_look).  job: NULL = any.  FL_ENOTFOUND when
 * it holds no run. */
fl_status record_look(record **out, const char *path, const fed_digest *job, fl_err *err);
void record_close(record **r);  // what is not committed is gone

fl_status record_begin(record *r, fl_err *err);
fl_status record_commit(record *r, fl_err *err);  // on the disk when it returns
/* Survives the process; a power cut, once a later record_commit has returned.  For a transition
 * that tells nobody anything. */
fl_status record_commit_later(record *r, fl_err *err);
void record_rollback(record *r);

/* ---- writing ---- */
/* A step before it is applied; m: the machine, whose cohort is written with ENTER.  Where a site
 * that has joined is asked anew, its answer is put away (record_homes). */
fl_status record_step(record *r, const round_machine *m, const round_step *step, fl_err *err);
/* What goes with ROUND_STEP_ACCEPT.  payload: NULL for an update, whose spool keeps it. */
fl_status record_accept(record *r, const fed_offer *offer, const void *payload, size_t n,
                        fl_err *err);
/* What goes with ROUND_STEP_CARRY: the site stays absent from the offer's round. */
fl_status record_carry(record *r, const fed_offer *offer, fl_err *err);
/* The updates that were carried are in the model of round. */
fl_status record_fold_carried(record *r, uint32_t round, fl_err *err);
/* What goes with AGGREGATING -> EVALUATING where the strategy chooses: this update is in the model
 * of its round. */
fl_status record_choose(record *r, uint32_t round, const fed_site_id *site,
                        const fed_digest *digest, fl_err *err);
/* What goes with TRAINING -> EVALUATING: the round is given up, its model is the one before. */
fl_status record_abandon(record *r, uint32_t round, const char *why, fl_err *err);
/* What goes with the end of the stages: members that never joined are absent from the job. */
fl_status record_close_checks(record *r, const round_machine *m, fl_err *err);
/* What goes with AGGREGATING -> EVALUATING, or with the start (round 0). */
fl_status record_put_model(record *r, uint32_t round, const record_model *model, fl_err *err);
fl_status record_put_threshold(record *r, double threshold, int64_t bins, const char *why,
                               fl_err *err);
/* Who a site is, with the key its signatures are checked with. */
fl_status record_put_site(record *r, const fed_site_id *site, const fed_verify_key *key,
                          const char *environment, fl_err *err);

/* A line of the audit record that no function above writes; fields is taken. */
fl_status record_note(record *r, json_t *fields, fl_err *err);
/* A site as the federation knows it now: noted when that is news.  status: "enrolled",
 * "removed" ...; keys: NULL while it has none; rotations: by which it came to them, the oldest
 * first, borrowed. */
fl_status record_follow_site(record *r, const fed_site_id *site, const char *status,
                             const fed_public_key *curve, const fed_verify_key *sign,
                             const json_t *rotations, fl_err *err);
/* The coordinator's own keys, likewise. */
fl_status record_follow_coordinator(record *r, const fed_public_key *curve,
                                    const fed_verify_key *sign, const json_t *rotations,
                                    fl_err *err);
/*
 * count more refusals of one kind.  Noted the first time and whenever their number has doubled
 * since, so that a flood does not fill the record; all: whatever is not noted yet.
 */
fl_status record_refuse(record *r, const char *what, const char *reason, const char *address,
                        int64_t count, fl_err *err);
fl_status record_note_refusals(record *r, fl_err *err);

/* ---- reading ---- */
/* How far the audit record goes, open transaction included. */
const fed_audit_head *record_head(const record *r);
/* Its lines from number `from` on, in order; each must not touch r. */
fl_status record_lines(record *r, uint64_t from,
                       fl_status (*each)(void *ctx, uint64_t number, const char *line,
                                         fl_err *err),
                       void *ctx, fl_err *err);
/* Restores states and answers into a new machine. Sites that did not join are asked again. */
fl_status record_load(record *r, round_machine *m, int64_t now_ms, fl_err *err);
/* Sites that left a stage of the run without a contribution or never joined it, and how often in
 * all. */
fl_status record_absences(record *r, int64_t *n_sites, int64_t *n, fl_err *err);
/* Was the round given up; why receives the reason. */
bool record_is_abandoned(record *r, uint32_t round, char why[static FED_TEXT_BYTES]);
int64_t record_n_abandoned(record *r);
round_state record_state(record *r, fl_err *err);  // quick look; ROUND_N_STATES: unreadable
bool record_has_model(record *r, uint32_t round);
fl_status record_get_model(record *r, uint32_t round, record_model *out,
                           fl_err *err);  // FL_ENOTFOUND
fl_status record_get_threshold(record *r, double *threshold, int64_t *bins,
                               char why[static FED_TEXT_BYTES], fl_err *err);  // NAN: none
int64_t record_created_ms(record *r);
int64_t record_entered_ms(record *r);
/* The answers to one order, by site name; each(ctx, row) may stop with a status. It must not touch
 * r. */
fl_status record_answers(record *r, fed_order_kind kind, uint32_t round,
                         fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                         void *ctx, fl_err *err);
/* The updates that were carried into the model of round (0: that wait), by site and round; as
 * record_answers. */
fl_status record_carried(record *r, uint32_t round,
                         fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                         void *ctx, fl_err *err);
/* The updates that the strategy chose for the model of round, where it chooses; as
 * record_answers. */
fl_status record_chosen(record *r, uint32_t round,
                        fl_status (*each)(void *ctx, const record_answer *a, fl_err *err),
                        void *ctx, fl_err *err);
/* Is it recorded that the site left this order, and no update of its was carried since? */
bool record_is_absent(record *r, fed_order_kind kind, uint32_t round, const char *site);
/* The digest accepted from a site for an order; false: none. */
bool record_find_digest(record *r, fed_order_kind kind, uint32_t round, const char *site,
                        fed_digest *out);
/* Was a contribution with the payload of o accepted for its order from another site? */
bool record_has_others(record *r, const fed_offer *o);
/* The accepted Offer itself, with its scalars; false: none. */
bool record_find_offer(record *r, fed_order_kind kind, uint32_t round, const char *site,
                       fed_offer *out);
/* The key of the home that joined last; false: none did. */
bool record_find_key(record *r, const char *site, fed_verify_key *out);
/* The homes that ended, by site, the oldest first; as record_answers. */
fl_status record_homes(record *r,
                       fl_status (*each)(void *ctx, const record_home *home, fl_err *err),
                       void *ctx, fl_err *err);
/* environment a site told; "" when none.  Caller's. */
char *record_environment(record *r, const char *site);

#endif
