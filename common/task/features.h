/*
 * features.h - what a model makes of inputs just before it answers
 *
 * The features are the input of the last layer of weights (Gemm, MatMul, Conv or
 * ConvTranspose) in front of the first output, found in the graph, so in any model of ours
 * and in networks from files.  Where that layer sees places (maps, or the tokens of a
 * transformer), each feature is its mean over them.
 *
 *     task_features_new(&f, model, params, 1, err);
 *     task_features_run(f, feature, score, set, index, n, NULL, 0, err);
 */
#ifndef TASK_FEATURES_H
#define TASK_FEATURES_H

#include "data/dataset.h"
#include "task/task.h"

/*
 * The value that the last layer of weights reads, and along which of its dimensions its features
 * lie.  FL_EUNSUPPORTED, in one sentence, where several branches meet behind the last such layer,
 * or there is none.
 */
fl_status task_features_find(nn_value *out, int *axis, const nn_graph *g, fl_err *err);

typedef struct task_features task_features;

/* m and params are borrowed until destroy. */
fl_status task_features_new(task_features **out, const task_model *m, const float *params,
                            int threads, fl_err *err);
void task_features_destroy(task_features **f);  // fine on NULL
size_t task_features_n(const task_features *f);           // D
const char *task_features_layer(const task_features *f);  // name of the value; borrowed

/*
 * feature (n, D), score (n, K) as in task_scores (NULL for task segment) and sure (n), as
 * task_ops.sure (NULL: not wanted), of n cases, whose inputs must have the model's shape;
 * labels are not looked at.  chain: what the images are seen through, with its seed; or NULL.
 */
fl_status task_features_run(task_features *f, double *feature, double *score, double *sure,
                            const data_set *set, const size_t *index, size_t n,
                            const data_shift *chain, uint64_t seed, fl_err *err);

#endif
