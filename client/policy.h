/*
 * policy.h - what this hospital allows, and which jobs a person approved
 *
 * policy.yaml is the hospital's own word and nothing from outside changes it.
 * It is read again before every order, and before what was made for one leaves, so an edit takes
 * effect at once, in the middle of a run too.  Two kinds of no are told apart: over a limit is a
 * refusal; within the limits but not yet looked at waits for a person
 * (`client approve`), because of `approve: each` or because the sum would hold
 * few other hospitals; in mid-run too, where the policy has become one that asks.
 */
#ifndef CLIENT_POLICY_H
#define CLIENT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "client/home.h"
#include "fed/fed.h"
#include "job/job.h"

typedef struct {
    bool approve_all;        // approve: all | each
    unsigned tasks;          // bit 1 << data_task for each allowed task
    int64_t max_parameters;  // largest model
    int64_t max_rounds;
    int64_t min_cell;         // fewest patients behind a number that leaves
    bool figures;             // metrics may leave
    int64_t histogram_bins;   // of scores; 0 = no histogram may leave
    bool own_model_leaves;    // own_model: leaves | stays; to be judged by every other hospital
    int64_t min_other_sites;  // others that an update is added to; fewer: a person decides
} policy;

void policy_defaults(policy *out);
/* policy.yaml with these values and comments for people. */
void policy_text(const policy *p, fl_buf *out);
/* Prints every key of policy.yaml with type, range, default and help (make docs). */
void policy_describe(FILE *out);
fl_status policy_read(policy *out, const home *h, fl_err *err);

typedef enum { POLICY_ALLOWS, POLICY_ASKS, POLICY_REFUSES } policy_verdict;

/* Judges a job.  n_parameters: of its model, or 0 when it is not built yet.
 * why: one sentence unless it is allowed; at least FED_TEXT_BYTES. */
policy_verdict policy_judge(const policy *p, const job *j, int64_t n_parameters, bool approved,
                            char *why);

/* Why such a job waits, for the person who is to look at it: every reason, or what has become of it
 * since.  why: at least FED_TEXT_BYTES. */
void policy_why(const policy *p, const job *j, char *why);

/* Bins of a score histogram that may leave when the job asks for wanted ones:
 * the largest divisor of wanted that is allowed, so that others can be added
 * to it; 0 = none. */
int64_t policy_bins(const policy *p, int64_t wanted);

/* What is said of the policy in a report: {"approve", "max_parameters", ...}. */
json_t *policy_json(const policy *p);

// --------------------------------------------- jobs that a person must look at

bool policy_approved(const home *h, const fed_digest *digest);
/* Keeps the job's text in pending/DIGEST.yaml, where `client approve` lists it, and the
 * graph that came with it, if one did, in pending/DIGEST.onnx, for any viewer. */
fl_status policy_hold(const home *h, const fed_digest *digest, const char *text, size_t n,
                      const job_graph *graph, fl_err *err);
/* Records the waiting job whose digest begins with hex (8 digits or more) as
 * approved.  FL_ENOTFOUND, or FL_EUSAGE when several begin so. */
fl_status policy_approve(const home *h, const char *hex, fed_digest *out, fl_err *err);
/* The waiting jobs' digests; free(*out). */
fl_status policy_waiting(const home *h, fed_digest **out, size_t *n, fl_err *err);
/* Text of a waiting job; caller's. */
fl_status policy_held_text(const home *h, const fed_digest *digest, char **text, size_t *n,
                           fl_err *err);
/* Where its graph lies, caller's; NULL when it has none. */
char *policy_held_graph(const home *h, const fed_digest *digest);
/* The job is under way or refused: nobody needs to look at it any more. */
void policy_drop(const home *h, const fed_digest *digest);

#endif
