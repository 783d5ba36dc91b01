/*
 * round.h - THE state machine of the project (drawn at the top of round.c)
 *
 * Says what a run does next and what each site is to do now.  It holds no
 * file, no socket and no number of a model: run.c feeds it events and time,
 * stores each step that it proposes, applies it, and only then acts on it.
 *
 *     while (round_next(m, now, &step)) {
 *         record_step(...);          // one transaction
 *         round_apply(m, &step, now);
 *     }
 *
 * So a killed coordinator that restores the machine from the record proposes
 * the same step again.  Times are fl_now_ms(); none of them is stored: every
 * patience starts anew when the coordinator does.
 * Threads: one.
 */
#ifndef COORDINATOR_ROUND_H
#define COORDINATOR_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fed/fed.h"
#include "fed/msg.h"

typedef enum {
    ROUND_CHECKING,     // every expected site compares the job with its policy and data
    ROUND_SELECTED,     // round r's cohort is chosen
    ROUND_TRAINING,     // and trains on the model of round r - 1
    ROUND_AGGREGATING,  // its accepted updates become the model of round r
    ROUND_EVALUATING,   // which every site scores on its validation split
    ROUND_CHOOSING,     // counts of the selected model's validation scores: threshold, calibration
    ROUND_TESTING,      // the selected model on every test split, once
    ROUND_LENDING,      // every site's own model comes in, if all sites' policies let it leave
    ROUND_CROSSING,     // and one after the other is judged by every site
    ROUND_REPORTING,
    ROUND_HANDING,  // model and report to every site
    ROUND_FINISHED,
    ROUND_N_STATES
} round_state;
const char *round_state_name(round_state state);  // "checking" ...

typedef struct {
    int64_t quorum;
    int64_t patience_ms;
    uint32_t n_rounds;
    bool asks_validation;  // threshold or calibration need counts of validation scores
    bool lends;           // each site's own model is to be judged by every other
    bool waits_for_late;  // late: wait; nobody leaves a training round for being late
    int64_t abandon_ms;   // a round that is short of its quorum for so long is given up; 0: never
} round_config;

/* A site's answer to the job. */
typedef enum {
    ROUND_CHECK_ASKED,
    ROUND_CHECK_PENDING,  // waits for a person at the site
    ROUND_CHECK_JOINED,
    ROUND_CHECK_REFUSED,  // by its policy
    ROUND_CHECK_MISFIT    // its data do not fit the job
} round_check;

/* A site's answer to the current stage's order. */
typedef enum {
    ROUND_UNASKED,  // not in the cohort
    ROUND_ASKED,
    ROUND_IN,     // its contribution was accepted
    ROUND_ABSENT  // left, with a recorded reason
} round_answer;

typedef struct {
    fed_site_id name;
    bool member;  // enrolled or invited; false: removed
    round_check check;
    round_answer answer;
    char check_reason[FED_TEXT_BYTES];  // PENDING, REFUSED, MISFIT
    char reason[FED_TEXT_BYTES];        // ABSENT
    /* Not stored. */
    int64_t heard_ms, progress_ms;
    fed_phase phase;
    uint64_t steps_done, steps_total;
    bool waits_for_credit;  // its Offer is in, our pool is empty
    bool said_no;           // to the current order; asked again after its next Hello
} round_site;

typedef enum {
    ROUND_STEP_ENTER,   // to another state
    ROUND_STEP_CHECK,   // a site's answer to the job, other than joining; ASKED: anew
    ROUND_STEP_ACCEPT,  // a contribution
    ROUND_STEP_CARRY,   // an update of an earlier round, for the next one that closes
    ROUND_STEP_ABSENT,  // a site leaves the current stage
    ROUND_STEP_ASK,     // a site that joined late enters a round that cannot reach its quorum
    ROUND_STEP_LOST,    // an accepted payload is gone from the disk: asked for again
    ROUND_STEP_STOP     // data do not fit: the run cannot start
} round_step_kind;

typedef struct {
    round_step_kind kind;
    round_state state;            // ENTER
    uint32_t round;               // ENTER: the new state's round.  From EVALUATING on it is the
                                  // selected one, which run.c fills in before it stores the step
    uint32_t lent, n_lent;        // ENTER CROSSING: which model, from 1, of how many; run.c fills
                                  // in how many, or enters REPORTING instead
    size_t site;                  // all but ENTER and STOP
    round_check check;            // CHECK
    fed_order_kind contribution;  // ACCEPT: CHECK, or else the current stage's
    char reason[FED_TEXT_BYTES];  // CHECK, ABSENT; ENTER: why the round is abandoned, or ""
} round_step;

typedef struct round_machine round_machine;

round_machine *round_new(const round_config *cfg, int64_t now_ms);
void round_destroy(round_machine **m);

/* ---- restoring from the record; states and answers as they were stored ---- */
void round_restore(round_machine *m, round_state state, uint32_t round, uint32_t selected);
void round_restore_lent(round_machine *m, uint32_t lent, uint32_t n_lent);
/* The site's index, for ever.  Adds it (member, nothing asked) when it is new. */
size_t round_add_site(round_machine *m, const fed_site_id *name, int64_t now_ms);
void round_restore_check(round_machine *m, size_t site, round_check check, const char *reason);
void round_restore_answer(round_machine *m, size_t site, round_answer answer, const char *reason);

/* ---- what happened; nothing of this is stored ---- */
void round_set_member(round_machine *m, size_t site, bool member);
void round_hello(round_machine *m, size_t site, int64_t now_ms);
void round_heard(round_machine *m, size_t site, int64_t now_ms);
void round_beat(round_machine *m, size_t site, fed_phase phase, uint64_t done, uint64_t total,
                int64_t now_ms);
/* The coordinator itself heard nobody for so long (it wrote a report, or was stopped): no site's
 * fault. */
void round_was_deaf(round_machine *m, int64_t ms);
/* A piece moved, either way. */
void round_progress(round_machine *m, size_t site, int64_t now_ms);
void round_set_waits_for_credit(round_machine *m, size_t site, bool waits);

/* ---- what follows from it ---- */
/* A Reply becomes a step to store, or nothing (false): stale, or said before. */
bool round_reply(round_machine *m, size_t site, const fed_order_key *key, fed_answer answer,
                 bool mismatch, const char *text, round_step *out);
/*
 * The keys under which the site answered the job have ended, and those that it has now, or will
 * have, are of another home: what is to be stored for that, a step at a time, until false.  It leaves
 * the stage that it is asked in, and is asked about the job anew.
 */
bool round_ask_anew(const round_machine *m, size_t site, round_step *out);
/* Is a contribution of this kind and round wanted from the site now? */
bool round_expects(const round_machine *m, size_t site, fed_order_kind kind, uint32_t round);
/* The round in which an update that comes now and is late counts: the next one that closes.  0: none
 * is left. */
uint32_t round_next_close(const round_machine *m);
/* The next step that is due. */
bool round_next(const round_machine *m, int64_t now_ms, round_step *out);
/* After it was stored. */
void round_apply(round_machine *m, const round_step *step, int64_t now_ms);

/* ---- what it says ---- */
round_state round_now(const round_machine *m);
uint32_t
round_number(const round_machine *m);  // trained now or last; from CHOOSING on the selected one
uint32_t round_committed(const round_machine *m);  // last model that is current
uint32_t round_lent(const round_machine *m);       // CROSSING: which model is judged, from 1
size_t round_n_sites(const round_machine *m);
const round_site *round_at(const round_machine *m, size_t site);  // borrowed until a site is added
size_t round_count(const round_machine *m, round_answer answer);
/* Will be in the cohort of a stage that starts now. */
bool round_in_cohort(const round_machine *m, size_t site);
/* Contributions of the current stage; false in a state that has none. */
bool round_stage(const round_machine *m, fed_order_kind *kind, uint32_t *round);
/* Does entering this state ask a new cohort?  (TRAINING goes on with SELECTED's.) */
bool round_asks(round_state state);
/* What a contribution to the order of the state that step enters is called; false: it has none. */
bool round_stage_of(const round_step *step, fed_order_kind *kind, uint32_t *order_round);
/* A member's order; text (FED_TEXT_BYTES) says why it waits. */
void round_order(const round_machine *m, size_t site, fed_order_kind *kind, uint32_t *round,
                 char *text);
/* One line for people: where the run is and what it waits for. */
void round_describe(const round_machine *m, char *out, size_t n);
/* "10 m", "90 s", "1.5 s" */
void round_duration(char *out, size_t n, int64_t ms);

#endif
