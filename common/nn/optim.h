/*
 * optim.h - from a gradient to the next parameters
 *
 * SGD with momentum, Nesterov and weight decay as torch.optim.SGD (Sutskever
 * et al. 2013 in PyTorch's form: v = m v + g; p -= lr v) and Adam / AdamW
 * (Kingma & Ba 2015; Loshchilov & Hutter 2019) with bias correction as in
 * PyTorch.  Acts on trainable kinds; statistics are left alone.
 */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/params.h"

typedef enum { NN_SGD, NN_ADAM, NN_ADAMW } nn_optim_kind;

typedef struct {
    nn_optim_kind kind;
    double lr;        // > 0
    double momentum;  // SGD, [0, 1)
    bool nesterov;
    double weight_decay;  // >= 0; SGD and Adam: L2 term in the gradient
    double beta1, beta2;  // Adam
    double eps;           // Adam
    double clip_norm;     // gradient's L2 norm at most this; 0 = off
} nn_optim_config;

void nn_optim_defaults(nn_optim_config *cfg);  // sgd, lr .01, m .9, betas .9/.999, eps 1e-8

typedef struct nn_optim nn_optim;
/* table is borrowed.  State starts at zero. */
fl_status nn_optim_new(nn_optim **out, const nn_optim_config *cfg, const nn_table *table,
                       fl_err *err);
void nn_optim_destroy(nn_optim **o);
/* lr_scale multiplies cfg.lr (schedules). grad may be changed (clipping). */
void nn_optim_step(nn_optim *o, float *params, float *grad, double lr_scale);

/* How the learning rate changes; lengths are in whatever unit the caller counts. */
typedef enum { NN_CONSTANT, NN_STEP, NN_COSINE } nn_schedule_kind;
enum { NN_MAX_DROPS = 16 };
typedef struct {
    nn_schedule_kind kind;
    double length;  // STEP: until the next drop; COSINE: until 0; > 0
    double factor;  // STEP: what is left after each drop
    double warmup;  // the rate first rises from 0 on a straight line; 0 = at once
    double drops[NN_MAX_DROPS];  // STEP: when it drops, increasing, instead of every length
    int n_drops;
} nn_schedule;
/* The factor of lr at time `at` >= 0 (Loshchilov & Hutter 2017 without restarts;
 * torch.optim.lr_scheduler's StepLR, MultiStepLR and CosineAnnealingLR).  Drops and the
 * cosine are counted from the beginning, warm-up included. */
double nn_schedule_scale(const nn_schedule *s, double at);
/* Makes it drop at those times: 1 to NN_MAX_DROPS, above 0 and increasing; else false. */
bool nn_schedule_set_drops(nn_schedule *s, const double *at, size_t n);

/* Exponential moving average (Polyak & Juditsky 1992) of the trainable
 * parameters: average = decay average + (1 - decay) params; statistics are copied. */
void nn_optim_average(float *average, const float *params, const nn_table *table, double decay);

#endif
