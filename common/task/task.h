/*
 * task.h - joins model, data, loss and metrics for one kind of problem
 *
 * A task knows what the model's outputs mean (logits of which classes), which
 * loss trains them and which figures judge them.  It knows no federation: the
 * client, the simulator's baselines, `client train` and the tests use the same
 * code.  One const table a task, one line in the registry.
 */
#ifndef TASK_TASK_H
#define TASK_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "data/dataset.h"
#include "eval/eval.h"
#include "model/model.h"
#include "nn/graph.h"
#include "nn/optim.h"
#include "nn/plan.h"

/* A model that fits a task: the graph and what its outputs mean. */
typedef struct task_model task_model;

/* Builds cfg's graph for spec (single logit or one a class; see model_ops).
 * FL_ECONFIG when they do not fit. */
fl_status task_model_new(task_model **out, const data_spec *spec, const model_config *cfg, fl_err *err);
/* From a file made by task_model_write or another tool; *data (P floats) is the caller's.  spec_out is filled
 * from the file's metadata (classes, input) where it has them. */
fl_status task_model_read(task_model **out, float **data, data_spec *spec_out, const char *onnx_path, fl_err *err);
/* ONNX with classes, positive class, input shape, threshold (NaN: none) and model name in its metadata. */
fl_status task_model_write(const task_model *m, const float *data, double threshold, const char *onnx_path, fl_err *err);
/* Threshold that came with a file that was read; NaN = none. */
double task_model_threshold(const task_model *m);
void task_model_destroy(task_model **m);
const nn_graph *task_model_graph(const task_model *m);
const nn_table *task_model_table(const task_model *m);
const data_spec *task_model_spec(const task_model *m);
size_t task_model_n_scores(const task_model *m); // K: scores a case

/* ---- training ---- */
typedef struct {
    int64_t epochs;        // > 0, or 0 when steps is given
    int64_t steps;         // batches; > 0, or 0 when epochs is given
    int64_t batch;
    nn_optim_config optim;
    nn_precision precision;
    int threads;
    bool class_weights;    // weigh classes by 1 / frequency in the training split
} task_train_config;
void task_train_defaults(task_train_config *cfg); // 1 epoch, batch 32, sgd .01 m .9, fp32, 1 thread
/* Reads `local:`-like keys of a mapping; complaints go to the document. */
void task_train_read(task_train_config *out, fl_node map);

/* What a caller may put into a step.  All optional. */
typedef struct {
    void *ctx;
    /* After the gradient, before the optimiser: FedProx, control variates. P floats each. */
    void (*adjust)(void *ctx, float *grad, const float *params, int64_t n);
    /* After each step; false stops training early (FL_ESTOPPED). */
    bool (*step_done)(void *ctx, int64_t done, int64_t total, double loss);
} task_hooks;

typedef struct task_trainer task_trainer;
/* Plan, optimiser and buffers for repeated training; m and set are borrowed. */
fl_status task_trainer_new(task_trainer **out, const task_model *m, const data_set *set, const task_train_config *cfg, fl_err *err);
void task_trainer_destroy(task_trainer **t);

typedef struct {
    int64_t steps, samples; // done
    double loss;            // mean over steps
} task_train_result;

/*
 * Trains params (P floats, in place) for cfg's epochs or steps on the training
 * split.  Everything random comes from (seed, purpose, site, round); with steps, batches go on through
 * reshuffled epochs.  The optimiser starts fresh each call unless keep_state.
 * FL_EFORMAT when the loss stops being finite (params are then unusable).
 */
fl_status task_trainer_run(task_trainer *t, float *params, uint64_t seed, const char *site, uint64_t round,
                           bool keep_state, const task_hooks *hooks, task_train_result *result, fl_err *err);
/* Steps that one call will do. */
int64_t task_trainer_steps(const task_trainer *t);

/* ---- prediction and evaluation ---- */
typedef struct {
    size_t n, K;
    double *score;         // (n, K) probabilities
    int *label;            // (n) codes, -1 unlabelled
    int64_t *patient;      // (n)
    size_t *index;         // (n) case in the data set
    double loss;           // mean loss over labelled cases; NaN when there are none
} task_scores;
/* Scores of a split; release with task_scores_clear. stop may be NULL. */
fl_status task_predict(task_scores *out, const task_model *m, const float *params, const data_set *set,
                       data_split split, int threads, fl_err *err);
void task_scores_clear(task_scores *s);
/* Borrowed view for eval_*. */
eval_predictions task_predictions(const task_scores *s, const data_spec *spec, double threshold);
/* Case, patient, label, score_0.. , attributes: the local predictions.csv. Atomic; mode 0600. */
fl_status task_predictions_write(const task_scores *s, const data_set *set, const data_spec *spec, const char *path, fl_err *err);

/* Quick validation figures of a round: loss, accuracy, auc (NaN when undefined), n, n_positive. */
typedef struct { double loss, accuracy, auc; int64_t n, n_positive; } task_quick;
void task_quick_of(task_quick *out, const task_scores *s, const data_spec *spec);
/* The value of a job's select.metric in a quick ("auc", "accuracy", "loss"); NaN when undefined. */
double task_quick_metric(const task_quick *q, const char *metric);

#endif
