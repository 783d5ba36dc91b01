/*
 * plan.h - a graph made ready to run: layouts, steps, one arena
 *
 * graph + capacity + train or infer + precision -> a list of oneDNN primitives
 * with layouts chosen by oneDNN, reorders at the borders only, and one arena
 * planned by how long each value lives.  Weights are read from the caller's flat
 * vector and gradients land in one like it.  Reverse-mode gradients are made from
 * the graph when the plan is built.  Nothing is allocated in a step.
 *
 * A plan has a capacity and a per-step n_valid: the last, smaller batch runs
 * with zero rows that weigh nothing; where batch normalisation would see them,
 * a step runs on a smaller plan instead, made when it first comes and kept.
 * Repeatable: same graph, parameters, batch, random stream and threads, same bits.
 * Threads: a plan belongs to one thread at a time; it uses cfg.threads OpenMP
 * threads inside (default 1).
 */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "nn/graph.h"
#include "nn/loss.h"

typedef enum { NN_FP32, NN_BF16 } nn_precision;

typedef struct {
    int64_t capacity;  // rows of a batch, >= 1
    bool train;        // with loss and gradients
    bool sample;       // no training, but nn_plan_sample may be called
    nn_precision precision;
    int threads;          // >= 1
    nn_loss_config loss;  // when train
} nn_plan_config;

typedef struct nn_plan nn_plan;

/* g is borrowed until the plan is destroyed. */
fl_status nn_plan_new(nn_plan **out, const nn_graph *g, const nn_plan_config *cfg, fl_err *err);
void nn_plan_destroy(nn_plan **p);

/* Where the caller writes input i: (capacity, ...), row-major, float32. */
float *nn_plan_input(nn_plan *p, size_t i);
/* Where the caller writes targets; shape as the loss says, capacity rows.  Only
 * the first output is trained: (N, K), or (N, K, H, W) for a score of each pixel. */
float *nn_plan_target(nn_plan *p);
int64_t nn_plan_target_row(const nn_plan *p);  // numbers of one row of it

/* From the next step on, nn_loss_config.anneal; train. */
void nn_plan_set_anneal(nn_plan *p, double weight);

/* Outputs of the first n_valid rows, as in use.  A plan made with train = true
 * drops nothing here either, but normalises by the batch's own statistics
 * (which do not advance); to evaluate, make a plan with train = false. */
void nn_plan_forward(nn_plan *p, const float *params, int64_t n_valid);
/*
 * nn_plan_forward with dropout drawn from rng, and all else as in use: batch
 * normalisation by the running statistics, which stay.  One draw of Monte Carlo
 * dropout (Gal and Ghahramani 2016); for plans made with sample.
 */
void nn_plan_sample(nn_plan *p, const float *params, int64_t n_valid, fl_rng *rng);
/* Output i, (capacity, ...), row-major; valid until the next run. */
const float *nn_plan_output(const nn_plan *p, size_t i);

/*
 * One training step without the update: forward with dropout from rng, mean
 * loss, gradient of every trainable parameter into grad (P floats,
 * overwritten; statistics get 0).  Running statistics in params are advanced.
 * Returns the mean loss (NaN when it is).
 */
double nn_plan_step(nn_plan *p, float *params, float *grad, int64_t n_valid, fl_rng *rng);

/* Bytes of the arena and of everything the plan holds. */
size_t nn_plan_bytes(const nn_plan *p);

extern const char *const nn_precision_names[];  // as jobs write them; ended by NULL
/* One sentence on why this CPU cannot run a precision, or NULL when it can. */
const char *nn_precision_why_not(nn_precision precision);
/* "oneDNN 2.6.3, AVX-512 ..." for reports. */
void nn_backend_text(char *out, size_t n);

#endif
