/*
 * task.h - joins model, data, loss and metrics for one kind of problem
 *
 * A task knows what the model's outputs mean (logits of which classes), which
 * loss trains them and which figures judge them.  It knows no federation: the
 * client, the simulator's baselines, `client train` and the tests use the same
 * code.  One const table a task (ops.h), one line in the registry (task.c).
 *
 *     task_model_new(&model, data_set_spec(set), &cfg, err);
 *     nn_graph_init(task_model_graph(model), params, seed);
 *     task_trainer_new(&trainer, model, set, &train, err);
 *     task_trainer_run(trainer, params, seed, "", 1, false, NULL, &done, err);
 *     task_predict(&scores, model, params, set, DATA_TEST, 1, err);
 *
 * Threads: a model is read-only once made and may be shared; a trainer belongs
 * to one thread at a time.
 */
#ifndef TASK_TASK_H
#define TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cfg.h"
#include "base/err.h"
#include "base/json.h"
#include "data/dataset.h"
#include "data/shift_curve.h"
#include "eval/disparity.h"
#include "eval/eval.h"
#include "eval/metrics_seg.h"
#include "model/model.h"
#include "nn/graph.h"
#include "nn/optim.h"
#include "nn/plan.h"
#include "task/loss.h"

// -------------------------------------------------------------------- models

/* A model that fits a task: the graph and what its outputs mean. */
typedef struct task_model task_model;

/*
 * Builds cfg's graph for spec (one logit or one a class, as the model says).
 * Two classes whose positive one is not said: the second is.
 * FL_ECONFIG when they do not fit.
 */
fl_status task_model_new(task_model **out, const data_spec *spec,
                         const model_config *cfg, fl_err *err);

/*
 * From a file made by task_model_write or by another tool.
 * data: the P numbers, the caller's.
 * spec_out: optional; what the file says of classes and input.  n_classes == 0
 * when it names none: see task_model_set_spec.
 */
fl_status task_model_read(task_model **out, float **data, data_spec *spec_out,
                          const char *onnx_path, fl_err *err);

/* Gives the outputs the meaning that spec has; FL_ECONFIG when input or number
 * of outputs differ from the graph's. */
fl_status task_model_set_spec(task_model *m, const data_spec *spec,
                              fl_err *err);

/*
 * Says which loss trains the model, which for evidential also is how its
 * outputs are read: as a Dirichlet's parameters (the file keeps that).
 * FL_ECONFIG when the loss does not suit the task or the model's outputs.
 */
fl_status task_model_set_loss(task_model *m, const task_loss *loss, fl_err *err);

/* ONNX with task, classes, positive class, input shape, threshold (NaN: none)
 * and the model's name in its metadata. */
fl_status task_model_write(const task_model *m, const float *data,
                           double threshold, const char *onnx_path,
                           fl_err *err);

void task_model_destroy(task_model **m);  // fine on NULL
const nn_graph *task_model_graph(const task_model *m);
const nn_table *task_model_table(const task_model *m);
const data_spec *task_model_spec(const task_model *m);
const char *task_model_name(const task_model *m);  // "cnn"
/* What the export that made an ONNX file has lost, in one sentence; or NULL. */
const char *task_model_note(const task_model *m);
size_t task_model_n_scores(const task_model *m);   // K: scores a case
double task_model_threshold(const task_model *m);  // the file's; NaN = none

// ------------------------------------------------------------------ training

typedef struct {
    int64_t epochs;         // > 0, or 0 when steps is given
    int64_t steps;          // batches; > 0, or 0 when epochs is given
    int64_t batch;          // cases, >= 1
    nn_optim_config optim;
    nn_schedule schedule;   // of the learning rate, in rounds
    nn_precision precision;
    int threads;            // OpenMP threads, >= 1
    bool class_weights;     // weigh classes by 1 / frequency in training
    task_loss loss;
    data_augment augment;
    double ema;  // decay of the average that a run hands out; 0 = the parameters themselves
} task_train_config;

/* 1 epoch, batch 32, sgd lr .01 momentum .9, fp32, 1 thread. */
void task_train_defaults(task_train_config *cfg);

/* Reads the keys of a job's `local:`; complaints go to the document.  spec:
 * what the job is about. */
void task_train_read(task_train_config *out, fl_node map, const data_spec *spec);

/* What a caller may put into a step.  All optional. */
typedef struct {
    void *ctx;
    /*
     * Before the step, on the batch as it will be trained: n cases of the set
     * (index), their inputs x (n, input...) and target rows.  What is random in
     * it is to come from (seed, its purpose, site, epoch, case).
     */
    void (*batch)(void *ctx, const data_set *set, const size_t *index, size_t n, uint64_t epoch,
                  float *x, float *target);
    /* After the gradient, before the optimiser: FedProx, control variates.
     * grad, params: P floats. */
    void (*adjust)(void *ctx, float *grad, const float *params, int64_t n);
    /* After each step, when the parameters are the step's; false stops
     * training (FL_ESTOPPED). */
    bool (*step_done)(void *ctx, int64_t done, int64_t total, double loss);
} task_hooks;

typedef struct task_trainer task_trainer;

/*
 * Plan, optimiser and buffers for repeated training on the labelled cases of
 * the training split; m and set are borrowed until destroy.
 * FL_ECONFIG when there is no such case, FL_EUNSUPPORTED when this CPU cannot
 * run the precision.
 */
fl_status task_trainer_new(task_trainer **out, const task_model *m,
                           const data_set *set, const task_train_config *cfg,
                           fl_err *err);
void task_trainer_destroy(task_trainer **t);  // fine on NULL

typedef struct {
    int64_t steps, samples;  // done
    double loss;             // mean over steps
} task_train_result;

/*
 * Trains params (P floats, in place) for cfg's epochs or steps.
 * round: from 1; everything random comes from (seed, purpose, site, round).
 * With steps, a round goes on in the shuffled epochs where the round before
 * it ended.  The optimiser starts fresh unless keep_state.
 * With cfg's ema, params receive the average of the run's parameters, which
 * a run with keep_state goes on from; the decay of step t is at most
 * (1 + t) / (10 + t), so that a short run does not hand out its beginning.
 * FL_EFORMAT when loss or parameters stop being finite; they are then unusable.
 */
fl_status task_trainer_run(task_trainer *t, float *params, uint64_t seed,
                           const char *site, uint64_t round, bool keep_state,
                           const task_hooks *hooks, task_train_result *result,
                           fl_err *err);
/* From here on the data are those of the round (data_set_in_round of what the trainer was made
 * with); the optimiser keeps its state. */
fl_status task_trainer_enter_round(task_trainer *t, int64_t round, fl_err *err);
int64_t task_trainer_steps(const task_trainer *t);        // of one run
int64_t task_trainer_epoch_steps(const task_trainer *t);  // of one epoch

/* Whether a case can teach the task, or judge it. */
bool task_is_labelled(const data_spec *spec, const data_case *c);

// ------------------------------------------------- prediction and evaluation

typedef struct {
    size_t n, K;       // cases, scores a case; segment: classes but the background
    double *score;     // (n, K) probabilities; regress: the value; segment: NULL
    int *label;        // (n) codes, -1 unlabelled; segment: 0 where there is a mask; else -1
    double *target;    // (n, K) multilabel and regress, NaN unlabelled; else NULL
    eval_seg_case *seg;  // (n, K) segment: the mask against the true one; else NULL
    int64_t *patient;  // (n)
    size_t *index;     // (n) case in the data set
    double loss;       // mean over labelled targets; NaN when there are none
    double prevalence; // of the positive class, as the data set declares; else 0 or NaN
} task_scores;

/* Segment: what is predicted of a case's pixels, (n_pixels) each, on the input's grid. */
typedef struct {
    const uint8_t *code;             // class
    const float *prob;               // of not being background
    const float *entropy, *variance; // of several predictions (members.h); else NULL
} task_map;

/* Takes a case's predicted mask, then the model's own maps; borrowed until it returns. */
typedef struct {
    void *ctx;
    fl_status (*take)(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err);
    /* A further output of the model, as an attention gate's weights: on a grid of size
     * (frames, rows, cols) that covers the image.  Not of several predictions.  NULL: not
     * wanted. */
    fl_status (*take_own)(void *ctx, const data_set *set, size_t i, const char *name,
                          const float *map, const int64_t size[static 3], fl_err *err);
} task_maps;

/* Scores of a split; release with task_scores_clear. */
fl_status task_predict(task_scores *out, const task_model *m,
                       const float *params, const data_set *set,
                       data_split split, int threads, fl_err *err);
/* The same, and every mask to maps (may be NULL) in the split's order. */
fl_status task_predict_maps(task_scores *out, const task_model *m, const float *params,
                            const data_set *set, data_split split, int threads,
                            const task_maps *maps, fl_err *err);
/* The same of the images as another scanner shows them: see data_set_batch_shifted. */
fl_status task_predict_shifted(task_scores *out, const task_model *m, const float *params,
                               const data_set *set, data_split split, const data_shift *chain,
                               uint64_t seed, int threads, fl_err *err);
void task_scores_clear(task_scores *s);

/* Has somebody said what is right of case i?  Of several findings, of one of them. */
bool task_scores_judged(const task_scores *s, size_t i);

/* What case i is called; task classify.  threshold: two classes; NaN = 0.5. */
int task_called(const task_scores *s, const data_spec *spec, size_t i, double threshold);

/* What is wrong about case i, >= 0: 1 or 0 of a call, 1 - Dice of a mask, the share of its findings
 * that are called wrongly, the absolute error of a number; NaN where nobody judged it. */
double task_case_error(const task_scores *s, const data_spec *spec, size_t i, double threshold);

/* Borrowed view for eval_*; task classify. */
eval_predictions task_predictions(const task_scores *s, const data_spec *spec,
                                  double threshold);

typedef struct {
    const task_scores *scores;
    double threshold;
} task_scored;

/* task_evaluate's metrics of b minus those of a on the same cases, paired by patient. */
void task_differences(eval_metrics *out, const task_scored *a, const task_scored *b,
                      const data_spec *spec, uint64_t seed);

/* Every figure of the task.  threshold: two classes; NaN = 0.5. */
void task_evaluate(eval_metrics *out, const task_scores *s,
                   const data_spec *spec, double threshold, uint64_t seed);

/* Multilabel: eval_multilabel_each of the spec's findings.  New reference. */
json_t *task_findings_json(const task_scores *s, const data_spec *spec, double threshold,
                           int64_t min_cell, uint64_t seed);

/* Test cases of whom subgroups are made. */
typedef struct {
    const task_scores *scores;
    const data_spec *spec;
    double threshold;  // of two classes and of findings; NaN: 0.5
    int64_t min_cell;  // patients
    uint64_t seed;
} task_grouped;

/* Figures by the values of an attribute, of two together, and what differs between groups,
 * as report.json's "subgroups" and "disparities" (proto/REPORT.md); the last is a new
 * reference, and empty with more than two classes. */
void task_subgroups(json_t *list, const task_grouped *g, const eval_attribute *attribute);
void task_subgroup_pairs(json_t *list, const task_grouped *g, const eval_attribute *attributes,
                         size_t n);
json_t *task_disparities(const task_grouped *g, const eval_attribute *attributes, size_t n);

/*
 * The decision threshold that rule sets on the validation split's scores, in
 * steps of 1/1000.  0.5 where the rule has nothing to go by, and *why then
 * says what is lacking (else NULL).  0.5 without a why unless two classes.
 */
fl_status task_threshold(double *out, const char **why, const task_model *m,
                         const float *params, const data_set *set,
                         eval_rule rule, double at, int threads, fl_err *err);

/*
 * The local predictions.csv: case, patient, label, score_0 .. score_K-1,
 * attributes (multilabel: label_0 .. label_K-1; segment: dice, iou ... of each
 * class instead of label and scores).  Scores read back as the same
 * doubles.  Atomic; mode 0600: it names patients and stays in the hospital.
 */
fl_status task_predictions_write(const task_scores *s, const data_set *set,
                                 const data_spec *spec, const char *path,
                                 fl_err *err);

/* The same with more columns, before the attributes. */
typedef struct {
    const char *name;
    const double *value;  // (n)
} task_column;
fl_status task_predictions_write_more(const task_scores *s, const data_set *set,
                                      const data_spec *spec, const task_column *more,
                                      size_t n_more, const char *path, fl_err *err);

/* Figures of a round's curve; NaN when undefined, or not of the task. */
typedef struct {
    double loss, accuracy, auc, dice, iou, mae, rmse;
    int64_t n, n_positive;  // labelled cases; two classes: positives
} task_quick;
void task_quick_of(task_quick *out, const task_scores *s,
                   const data_spec *spec);
/*
 * The same, of what may leave a site: a figure that rests on fewer than min_cell patients, or
 * an AUC with fewer of either class (of a finding: then of the others), is NaN, and n_positive
 * -1 where such a count is behind it.
 */
void task_quick_told(task_quick *out, const task_scores *s, const data_spec *spec,
                     int64_t min_cell);
/* By name; NaN when undefined. */
double task_quick_metric(const task_quick *q, const char *metric);
double *task_quick_at(task_quick *q, const char *metric);  // where it stands; a known name
const char *task_quick_name(size_t i);  // "loss" "accuracy" ...; NULL behind the last
/* Names that choose a task's model, the usual one first; NULL behind the last. */
const char *task_quick_of_task(data_task task, size_t i);
/* Whether the metric chooses the task's model. */
bool task_quick_suits(data_task task, const char *metric);
/* loss, mae and rmse: false. */
bool task_quick_higher_is_better(const char *metric);

// ------------------------------------------------------------ inputs of one's own

/* A model that is asked about inputs that are no data set's: changed ones. */
typedef struct task_scorer task_scorer;

/* m and params are borrowed until destroy. */
fl_status task_scorer_new(task_scorer **out, const task_model *m, const float *params,
                          int threads, fl_err *err);
void task_scorer_destroy(task_scorer **s);  // fine on NULL
bool task_scorer_is_of_pixels(const task_scorer *s);
/* score (n, K) of x (n, input...), as in task_scores; not of pixels. */
void task_scorer_run(task_scorer *s, double *score, const float *x, size_t n);
/* Of pixels: the class that each of x (input...) is called, code (n_pixels), and the probability
 * that it is no background, prob (n_pixels). */
void task_scorer_mask(task_scorer *s, uint8_t *code, float *prob, const float *x);
/* The output that speaks for score k (of pixels: of class k), and *sign -1 where it speaks against it. */
int64_t task_model_logit_of(const task_model *m, size_t k, int *sign);

// ----------------------------------------------------------------- robustness

typedef struct {
    const data_shift_curves *curves;
    int first, last;  // severities, 1 <= first <= last <= 5
    uint64_t seed;    // of shifts and bootstrap
    int threads;
    void *ctx;
    bool (*step)(void *ctx);  // optional; after each point, false stops (FL_ESTOPPED)
} task_shift_config;

/*
 * A split under every curve at every severity: the same cases and bits on any number of
 * threads.  clean: the scores without a shift, at the threshold.  *points and
 * *summary: report.json's "shift" and "robustness" of a site (proto/REPORT.md); new
 * references.  FL_EUNSUPPORTED where a curve does not suit the inputs.
 */
fl_status task_robustness(json_t **points, json_t **summary, const task_model *m,
                          const float *params, const data_set *set, data_split split,
                          const task_scores *clean, double threshold,
                          const task_shift_config *cfg, fl_err *err);

// ------------------------------------------------------------- a whole training

typedef struct {
    int64_t rounds;      // runs of the trainer's length; >= 1
    int64_t max_steps;   // all of them stop here; 0 = no such end
    int64_t try_every;   // steps between looks at the validation split; 0 = after each run
    const char *metric;  // of task_quick_of_task; loss instead where it is undefined at first
    bool keep_best;      // of the looks; false: the last parameters
    int64_t patience;    // looks without a better one before it stops; 0 = none
    bool in_rounds;      // run r has the data of round r (data_set_in_round), else the first
} task_fit_config;

typedef struct {
    int64_t steps, samples;
    int64_t best_step;    // of the parameters kept; 0 = the last
    bool stopped;         // patience ended it
    const char *metric;   // that chose
    double loss;          // mean over the steps since the last look
    task_quick now, best;  // of the last look, of the best
} task_fit_result;

typedef struct {
    task_hooks step;  // as in task_trainer_run; done and total count over all runs
    /* After each look: result so far; false stops (FL_ESTOPPED). */
    bool (*looked)(void *ctx, const task_fit_result *so_far, int64_t done, int64_t total);
} task_fit_hooks;

/*
 * The one training there is: runs of t, looks at the validation split between
 * them, and the best parameters there were (a run's are average where cfg has
 * an ema).  Without validation cases the last are kept.  params: (P) from which
 * it starts, and the result.
 */
fl_status task_fit(float *params, task_trainer *t, uint64_t seed, const char *site,
                   const task_fit_config *cfg, const task_fit_hooks *hooks,
                   task_fit_result *result, fl_err *err);

#endif
