/*
 * loss.h - which loss trains a task: `local.loss` of a job
 *
 * A job names a loss by what it is (`ce`, `dice`); whether that is a softmax
 * or a sigmoid follows from the task and from the outputs that the model has.
 * What makes no sense together is refused before anything is trained.
 */
#ifndef TASK_LOSS_H
#define TASK_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cfg.h"
#include "data/spec.h"
#include "nn/loss.h"

typedef enum {
    TASK_LOSS_OF_TASK,  // classify, multilabel: ce; segment: dice_ce; regress: mse
    TASK_LOSS_CE,
    TASK_LOSS_FOCAL,
    TASK_LOSS_DICE,
    TASK_LOSS_DICE_CE,
    TASK_LOSS_MSE,
    TASK_LOSS_L1,
    TASK_LOSS_HUBER,
    TASK_LOSS_EVIDENTIAL
} task_loss_kind;

typedef struct {
    task_loss_kind kind;
    double smoothing;  // ce: share of the label given to all classes alike, [0, 1)
    double gamma;      // focal
    double delta;      // huber: where squares become straight
    double anneal;     // evidential: rounds in which the divergence's weight rises to 1
    /* ce, focal, evidential: of each class; multilabel: of each label's positives. */
    double weight[DATA_MAX_CLASSES];
    size_t n_weights;  // 0: all 1
} task_loss;

void task_loss_defaults(task_loss *out);

/* Reads `loss:`, a name or {name, ...}.  spec: what the job is about, whose
 * task and classes it must suit.  Complaints go to the document. */
void task_loss_read(task_loss *out, fl_node map, const data_spec *spec);

bool task_loss_weighs(const task_loss *loss, data_task task);  // whether it takes weights

/* A name or a flow mapping, as on a command line. */
fl_status task_loss_parse(task_loss *out, const char *text, const data_spec *spec, fl_err *err);

/*
 * The loss of a model with L logits for spec's task.  weight: (n_classes) room
 * for nn_loss_config.class_weight, which points there when there are weights.
 * FL_ECONFIG when they do not go together.
 */
fl_status task_loss_of(nn_loss_config *out, float *weight, const task_loss *loss,
                       const data_spec *spec, int64_t L, fl_err *err);

#endif
