/*
 * trainer.h - our side of a race: the real engine, as the client runs it
 */
#ifndef TRAINER_H
#define TRAINER_H

#include <stdint.h>

#include "nn/loss.h"
#include "nn/plan.h"
#include "nn/tensor.h"

/* One network to train: forward, loss, gradients, and SGD with momentum. */
typedef struct {
    const char *name;   // of the row
    const char *model;  // as in job.yaml
    const char *peer;   // what peer_torch.py calls it
    nn_shape input;
    int64_t n_outputs, batch;
    nn_loss_kind loss;
    nn_precision precision;
    const char *unit;  // "images/s" or "steps/s"
} trainer_row;

/* Numbers of a batch's targets. */
int64_t trainer_n_targets(const trainer_row *row);
/* Multiplications and additions of a training step by the plain algorithms:
 * forward, by the weights, and by the inputs, which the first layer leaves out. */
double trainer_step_flops(const trainer_row *row);
/* Plays racer.h's part on standard input and output, with the batch that lies in
 * a file: float32, inputs then targets.  Returns the exit code. */
int trainer_main(const trainer_row *row, int threads, const char *batch_file);

#endif
