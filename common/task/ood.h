/*
 * ood.h - inputs beside those that a model learnt from
 *
 * Fitted on the training cases of a reference set, on a model's features (features.h,
 * eval/ood.h).  Its held-out cases are the inside: those of one split set the limit from which
 * an input is called unlike the training images, those of another are compared with.
 *
 *     task_ood_new(&o, model, params, reference, DATA_TEST, 1, err);
 *     task_ood_judge(&json, o, &given, err);          or
 *     task_ood_flags(distance, flag, o, set, index, n, err);
 */
#ifndef TASK_OOD_H
#define TASK_OOD_H

#include "base/json.h"
#include "data/dataset.h"
#include "data/shift_curve.h"
#include "task/task.h"

typedef struct task_ood task_ood;

/*
 * reference: opened for the model, its codes are the model's; classify: a mean for each class,
 * else one of all.  split: the inside.  Model, params and reference are borrowed until destroy.
 * FL_EUNSUPPORTED as task_features_find and eval_ood_new; FL_ECONFIG without validation or
 * test cases to set a limit by.
 */
fl_status task_ood_new(task_ood **out, const task_model *m, const float *params,
                       const data_set *reference, data_split split, int threads, fl_err *err);
void task_ood_destroy(task_ood **o);  // fine on NULL

/* The distance above which at most 1 in 20 of the reference's validation cases (its test cases
 * where there are none) lies. */
double task_ood_limit(const task_ood *o, data_split *set_by);

/* distance (n) of n cases, whose inputs must have the model's shape. */
fl_status task_ood_distance(task_ood *o, double *distance, const data_set *set,
                            const size_t *index, size_t n, fl_err *err);

/* What is held against the reference. */
typedef struct {
    const data_set *set;
    data_split split;
    bool is_reference;   // the same files: a patient is the same in both
    bool own_classes;    // its labels are its own, not the model's
    const data_shift_curves *curves;  // each at first .. last too; NULL or empty: as it is alone
    int first, last;
    double threshold;    // of the model's calls; NaN = 0.5
    uint64_t seed;       // of the shifts
} task_ood_given;

/* `client evaluate --json`'s "outside" (proto/REPORT.md); new reference. */
fl_status task_ood_judge(json_t **out, task_ood *o, const task_ood_given *given, fl_err *err);

#endif
