/*
 * annotators.h - a model beside several people who drew the same cases
 *
 * A sink for task_predict_maps: of every case's masks, the predicted one and the annotators',
 * only the overlaps are kept (eval/agreement.h).
 *
 *     task_annotators *drawn = task_annotators_new(model, set, split);  // NULL: one, or none
 *     task_maps sink = task_annotators_sink(drawn);
 *     task_predict_maps(&scores, model, params, set, split, 1, drawn ? &sink : NULL, err);
 *     json = task_annotators_json(drawn, &cfg);
 */
#ifndef TASK_ANNOTATORS_H
#define TASK_ANNOTATORS_H

#include "base/json.h"
#include "data/dataset.h"
#include "eval/agreement.h"
#include "task/task.h"

typedef struct task_annotators task_annotators;

/* NULL where the task has no masks, the set fewer than two annotators, or none of them drew
 * a case of the split.  m and set are borrowed until destroy. */
task_annotators *task_annotators_new(const task_model *m, const data_set *set, data_split split);
void task_annotators_destroy(task_annotators **a);  // fine on NULL

/* Takes the split's cases, each once, in its order. */
task_maps task_annotators_sink(task_annotators *a);

/* Of the cases taken, borrowed. */
eval_drawn task_annotators_drawn(const task_annotators *a);

typedef struct {
    double margin;     // of Dice: a difference below it does not matter
    int64_t min_cell;  // patients
    uint64_t seed;
    bool numbered;     // "1", "2" ... in the order of the manifest's columns, not the names there
} task_annotators_config;

/* report.json's "annotators" (proto/REPORT.md); new reference. */
json_t *task_annotators_json(const task_annotators *a, const task_annotators_config *cfg);

#endif
