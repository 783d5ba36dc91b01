/*
 * ops.h - what one kind of problem fills in
 *
 * Only task/ includes this.  L: logits (outputs) of the model, K: scores a
 * case.  They differ where two classes are one logit: L = 1, K = 2.
 */
#ifndef TASK_OPS_H
#define TASK_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/dataset.h"
#include "eval/eval.h"
#include "nn/loss.h"
#include "task/task.h"

typedef struct {
    data_task task;
    /* Outputs that a model for spec has; single: two classes as one logit. */
    int64_t (*n_logits)(const data_spec *spec, bool single);
    size_t (*n_scores)(int64_t L);
    nn_loss_kind (*loss)(int64_t L);
    int64_t (*target_width)(int64_t L);  // floats of a target row
    /* Fills a target row; returns how many targets in it are labelled. */
    int64_t (*target)(float *row, const data_spec *spec, int64_t L,
                      const data_case *c);
    /* weight (max(L, K)): nn_loss_config.class_weight that makes the classes
     * of the training split count the same. */
    void (*weigh)(float *weight, const data_spec *spec, int64_t L,
                  const data_set *set);
    void (*score)(double *row, const data_spec *spec, int64_t L,
                  const float *logits);
    void (*evaluate)(eval_metrics *out, const task_scores *s,
                     const data_spec *spec, double threshold, uint64_t seed);
    /* accuracy, auc, n, n_positive; the rest is filled in already. */
    void (*quick)(task_quick *out, const task_scores *s,
                  const data_spec *spec);
} task_ops;

extern const task_ops task_classify, task_multilabel, task_regress;

// For several tables (ops.c): n_scores, target_width and target of a task whose
// targets are a case's own numbers, one a logit.
size_t task_scores_as_logits(int64_t L);
int64_t task_targets_as_logits(int64_t L);
int64_t task_target_values(float *row, const data_spec *spec, int64_t L,
                           const data_case *c);
/* n_negative / n_positive; 1 when there are none of one kind. */
float task_positive_weight(double n_positive, double n);

const task_ops *task_ops_find(data_task task);  // NULL when not built
const task_ops *task_model_ops(const task_model *m);
int64_t task_model_n_logits(const task_model *m);

#endif
