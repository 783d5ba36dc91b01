/*
 * members.h - several predictions of every case, and how far they agree
 *
 * The members are passes with dropout (Gal and Ghahramani 2016), the input turned
 * and flipped (test-time augmentation, Wang et al. 2019), or independently
 * trained models (Lakshminarayanan et al. 2017); or there is only one, whose
 * scores say how sure it is.  What is called is the mean of the members; how sure
 * it is goes with every case, with every pixel where the task is segment, with
 * every predicted lesion, and with every finding of several.  A single number
 * (regress) says nothing of how sure it is; several have a spread.
 */
#ifndef TASK_MEMBERS_H
#define TASK_MEMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "eval/points.h"
#include "eval/selective.h"
#include "task/task.h"

typedef enum { TASK_ONE, TASK_DROPOUT, TASK_FLIPS, TASK_ENSEMBLE } task_members_kind;

enum {
    TASK_MAX_MEMBERS = 1000,  // passes
    TASK_MEMBERS_BYTES = 32   // "ensemble:5"
};

typedef struct {
    task_members_kind kind;
    int64_t n;  // members; ensemble: 0 until the models are known
} task_members;

/* "mc:30", "tta:8", "ensemble" or "one"; FL_EUSAGE names them. */
fl_status task_members_parse(task_members *out, const char *text, fl_err *err);
void task_members_text(char out[static TASK_MEMBERS_BYTES], const task_members *m);

/* FL_ECONFIG or FL_EUNSUPPORTED in one sentence when a model has no such members: it
 * holds no dropout, its input has fewer turnings, it says one number alone. */
fl_status task_members_check(const task_members *m, const task_model *model, fl_err *err);

/* A model and its parameters; both borrowed. */
typedef struct {
    const task_model *model;
    const float *params;
} task_member;

typedef struct {
    task_members members;
    task_scores scores;  // of the members' mean; its loss is not known
    double *entropy;      // (n) nats, of the mean; regress: NULL, as the next; segment: mean over
                          // the pixels, as the next two; multilabel: mean over the findings
    double *information;  // (n) nats, mutual information: what the members disagree about
    double *variance;     // (n) segment: of the probability of not being background; else NULL
    double *expected;     // (n) segment: eval_points_case.expected_error; else NULL
    double *vacuity;      // (n) evidential models: K / S, 1 where nothing is known; else NULL
    double *spread;       // (n) regress: standard deviation of the members; else NULL
    double *entropy_of, *information_of;  // (n, K) multilabel: of each finding; else NULL
    eval_lesion *lesions; // segment: of labelled cases; of = row
    size_t n_lesions;
} task_doubt;

/*
 * Predicts a split.  models: one, or an ensemble's, which must agree on input and
 * classes.  What is drawn comes from (seed, "members", pass, batch).  maps: as in
 * task_predict_maps, with entropy and variance.
 * Fails as task_members_check, and when an ensemble does not fit together.
 */
fl_status task_doubt_of(task_doubt *out, const task_members *members, const task_member *models,
                        size_t n_models, const data_set *set, data_split split, uint64_t seed,
                        int threads, const task_maps *maps, fl_err *err);
/* Whose predictions of which cases. */
typedef struct {
    const task_members *members;
    const task_member *models;
    size_t n_models;
    const data_set *set;
    data_split split;
} task_doubt_subject;

/* The same of the images as another scanner shows them: see data_set_batch_shifted. */
fl_status task_doubt_of_shifted(task_doubt *out, const task_doubt_subject *of,
                                const data_shift *chain, uint64_t seed, int threads, fl_err *err);
void task_doubt_clear(task_doubt *d);

enum { TASK_MAX_DOUBTS = 6 };
/*
 * The measures that there are; the first ranks the cases: classify, entropy, or an
 * evidential model's vacuity; multilabel, entropy; segment, the Dice error that is to
 * be expected; regress, spread.
 * Arrays are d's.
 */
size_t task_doubts(eval_doubt out[static TASK_MAX_DOUBTS], const task_doubt *d);

/* The first measure's value above which the most uncertain share of these cases lies; NaN
 * for no cases.  Of the validation split, it is what flags cases elsewhere. */
double task_doubt_limit(const task_doubt *d, double share);

/*
 * report.json's "uncertainty" of labelled cases (proto/REPORT.md).  threshold: of two
 * classes and of findings, as in task_evaluate.  limit: from it on a case is flagged; NaN = no flags,
 * and limit_why says why.
 */
json_t *task_doubt_json(const task_doubt *d, const data_spec *spec, double threshold,
                        const eval_selective_config *cfg, double limit, const char *limit_why);

// ------------------------------------------------------------- conformal sets

typedef struct {
    double alpha;        // sets miss the label in this share of cases
    double quantile;     // INFINITY: every class is in the set; NaN: there is none
    const char *source;  // whose validation cases set it: "own", "pooled"
    size_t n;            // own validation cases
} task_conformal;

/* Takes the quantile of a site's own validation scores from EVAL_CONFORMAL_CASES of them
 * on; with fewer, only their number. */
void task_conformal_own(task_conformal *c, const task_scores *val);
/* report.json's "conformal" of labelled cases.  New reference. */
json_t *task_conformal_json(const task_conformal *c, const task_scores *s, uint64_t seed);

// ---------------------------------------------------------------- under shift

typedef struct {
    const data_shift_curves *curves;
    int first, last;                  // severities, 1 <= first <= last <= 5
    double threshold, limit;          // as in task_doubt_json; set on images as they are
    eval_selective_config selective;  // its seed also draws the shifts
    const task_conformal *conformal;  // NULL: no sets
    bool sets_are_plain;  // of the model's plain scores, as the quantile; else of the mean
    int64_t min_cell;     // fewer cases on one side of the limit are not counted
    int threads;
    void *ctx;
    bool (*step)(void *ctx);  // optional; after each point, false stops (FL_ESTOPPED)
} task_doubt_shift_config;

/*
 * Selective prediction and conformal sets of a split under every curve at every
 * severity, with the limits and the quantile of images as they are: the list of
 * report.json's "uncertainty"."shift".  New reference.
 */
fl_status task_doubt_shifts(json_t **out, const task_doubt_subject *of,
                            const task_doubt_shift_config *cfg, fl_err *err);

#endif
