/*
 * ops.h - what one kind of problem fills in
 *
 * Only task/ includes this.  L: logits (outputs) of the model, of each pixel
 * where the task is segment; K: scores a case.  They differ where two classes
 * are one logit: L = 1, K = 2.
 */
#ifndef TASK_OPS_H
#define TASK_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/dataset.h"
#include "eval/eval.h"
#include "eval/metrics_multi.h"
#include "task/members.h"
#include "task/task.h"

/* What task_subgroups and its neighbours do. */
typedef struct {
    void (*each)(json_t *list, const task_grouped *g, const eval_attribute *a);
    void (*pairs)(json_t *list, const task_grouped *g, const eval_attribute *a, size_t n);
    json_t *(*gaps)(const task_grouped *g, const eval_attribute *a, size_t n);
} task_group_ops;

extern const task_group_ops task_groups_of_classes, task_groups_of_findings, task_groups_of_masks,
    task_groups_of_numbers;

typedef struct {
    data_task task;
    bool of_pixels;  // the model answers for every pixel of its input
    const char *const *metrics;  // of a round's curve, the one that chooses first; NULL ends
    /* Outputs that a model for spec has; single: two classes as one logit. */
    int64_t (*n_logits)(const data_spec *spec, bool single);
    size_t (*n_scores)(int64_t L);
    int64_t (*target_width)(const data_spec *spec, int64_t L);  // floats of a target row
    bool (*is_labelled)(const data_spec *spec, const data_case *c);
    /* Fills a target row; returns how many targets in it are labelled. */
    int64_t (*target)(float *row, const data_spec *spec, int64_t L, const data_case *c);
    /* weight (max(L, K)): nn_loss_config.class_weight that makes the classes
     * of the training split count the same. */
    void (*weigh)(float *weight, const data_spec *spec, int64_t L, const data_set *set);
    /* Scores of a case from its logits.  evidential: they are a Dirichlet's. */
    void (*score)(double *row, const data_spec *spec, int64_t L, const float *logits,
                  bool evidential);
    void (*evaluate)(eval_metrics *out, const task_scores *s, const data_spec *spec,
                     double threshold, uint64_t seed);
    /* evaluate's metrics of b minus those of a on the same cases, paired. */
    void (*differences)(eval_metrics *out, const task_scored *a, const task_scored *b,
                        const data_spec *spec, uint64_t seed);
    /* What robustness asks of a case: its value of case_metric, NaN where nobody judged it;
     * the metric is the mean over cases.  NULL: the calls are judged as classes. */
    const char *case_metric;
    double (*case_value)(const task_scores *s, size_t i, double threshold);
    /* What uncertainty is to tell: a case's error, >= 0, NaN where nobody judged it; 0 or 1
     * where error_of is TASK_ERROR_CALLS. */
    const char *error_of;
    double (*case_error)(const task_scores *s, const data_spec *spec, size_t i, double threshold);
    /* Several predictions member (M, n, K) of the cases from at on: their mean and how far they
     * differ, into d.  NULL: of pixels, point by point (members.c). */
    void (*join)(task_doubt *d, size_t at, const double *member, size_t M, size_t n);
    /* How sure an answer looks, 0 to 1, by which inputs are told from those that a model learnt
     * from (eval/ood.h), and its name in report.json; NULL: a number looks like nothing. */
    const char *sure_name;
    double (*sure)(const data_spec *spec, int64_t L, const float *logits, bool evidential);
    bool of_findings;  // K answers a case, each of which has a doubt
    bool of_numbers;   // an answer has no probability: one alone says nothing of itself
    const task_group_ops *groups;
    /* The metrics, n and n_positive; the rest is filled in already.  min_cell: as
     * task_quick_told, 1 for all; what rests on too few labelled patients is hidden later. */
    void (*quick)(task_quick *out, const task_scores *s, const data_spec *spec, int64_t min_cell);
} task_ops;

// What task_ops.error_of and report.json's "error_of" say.
#define TASK_ERROR_CALLS "calls"
#define TASK_ERROR_OUTLINES "outlines"
#define TASK_ERROR_FINDINGS "findings"
#define TASK_ERROR_NUMBERS "numbers"

extern const task_ops task_classify, task_multilabel, task_regress, task_segment;

// For several tables (ops.c): n_scores, target_width and target of a task whose
// targets are a case's own numbers, one a logit.
size_t task_scores_as_logits(int64_t L);
int64_t task_targets_as_logits(const data_spec *spec, int64_t L);
int64_t task_target_values(float *row, const data_spec *spec, int64_t L, const data_case *c);
bool task_has_target(const data_spec *spec, const data_case *c);
/* n_negative / n_positive; 1 when there are none of one kind. */
float task_positive_weight(double n_positive, double n);

/*
 * The class of every pixel: code (n_pixels) from logits (L, n_pixels), the
 * class that is likeliest; prob: optional, (n_pixels) of not being background.
 */
void task_segment_codes(uint8_t *code, float *prob, const float *logits, int64_t L,
                        size_t n_pixels, bool evidential);
/*
 * The probability of every class: prob (n_classes, n_pixels) from logits (L, n_pixels);
 * pixel i of the logits is pixel from[i] of prob, or i where from is NULL.
 */
void task_segment_probs(double *prob, const float *logits, int64_t L, size_t n_pixels,
                        bool evidential, const uint32_t *from);
/* Distances are in mm only where every axis has a spacing. */
eval_grid task_segment_grid(const data_spec *spec, const double spacing_mm[static 3]);
/* Measures a case's prediction against its mask: cases (K). */
void task_segment_measure(eval_seg_case *cases, const uint8_t *code, const data_spec *spec,
                          const data_case *c);

/* S, the sum of a Dirichlet's parameters 1 + softplus(x) (Sensoy et al. 2018), of L
 * logits that lie stride apart. */
double task_evidence(const float *logits, int64_t L, size_t stride);

double task_greatest(const double *row, size_t K);  // of a row of scores, K >= 1

/* Borrowed view; task multilabel.  threshold NaN: 0.5. */
eval_findings task_findings(const task_scores *s, double threshold);

/* Do the cases in (n) come from min_cell patients or more? */
bool task_are_enough(const task_scores *s, const bool *in, int64_t min_cell);

// Of predict.c, for members.c.
fl_status task_scores_init(task_scores *s, const task_model *m, size_t n, fl_err *err);
size_t task_batch_rows(const task_model *m, size_t n);  // cases at a time

// Of a trainer, for fit.c.
const data_spec *task_trainer_spec(const task_trainer *t);
int64_t task_trainer_n_parameters(const task_trainer *t);
size_t task_trainer_n_val(const task_trainer *t);  // validation cases
/* Scores of the validation split. */
fl_status task_trainer_try(task_scores *out, const task_trainer *t, const float *params,
                           fl_err *err);

const task_ops *task_ops_find(data_task task);  // NULL when not built
const task_ops *task_model_ops(const task_model *m);
int64_t task_model_n_logits(const task_model *m);
bool task_model_is_evidential(const task_model *m);

/*
 * A new end for cfg->truncate_after (n_outputs of them; for each pixel, or for the
 * image), then freezes what cfg says.  g is as it was on failure, or unusable.
 */
fl_status task_transfer(nn_graph *g, const model_config *cfg, int64_t n_outputs, bool per_pixel,
                        fl_err *err);

#endif
