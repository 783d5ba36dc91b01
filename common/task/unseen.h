/*
 * unseen.h - a disease that a model never learnt: what does it call it?
 *
 * A class that the training cases never show is no rarity where every hospital sees other
 * patients.  A model cannot name what it was not taught; what matters is how many such cases
 * pass as normal.  For classify and multilabel.
 */
#ifndef TASK_UNSEEN_H
#define TASK_UNSEEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "data/dataset.h"
#include "task/task.h"

/* Whether a case is labelled as class (classify) or has finding k (multilabel). */
bool task_case_shows(const data_spec *spec, const data_case *c, size_t k);

/*
 * unseen (n_classes of spec): classes that no training case of learnt shows.  learnt: its labels are
 * spec's.  All false where the set has no labelled training cases, or the task no classes.
 */
void task_unseen_classes(bool *unseen, const data_spec *spec, const data_set *learnt);

/* Scores of cases, borrowed. */
typedef struct {
    const double *score;     // (n, K)
    const int64_t *patient;  // (n)
    size_t n, K;
    double threshold;        // two classes, findings; NaN = 0.5
} task_answers;

/*
 * What the model calls the cases with in[i] (NULL: all): {"called": [{"class", "share": FIGURE}],
 * "no_finding": FIGURE}, the latter for multilabel alone, whose shares can sum to more than 1.
 * Wilson, by patient.  spec: the model's.  New reference.
 */
json_t *task_called_json(const task_answers *a, const bool *in, const data_spec *spec);

/* One model's scores of a split, in the split's order. */
typedef struct {
    const char *name;  // "global"
    const task_scores *scores;
    double threshold;
} task_answering;

/*
 * report.json's "unseen" of a site (proto/REPORT.md): what each model calls the cases of every
 * class that the set's own training split never shows, where they are of min_cell patients or
 * more; NULL where there is none.  New reference.
 */
json_t *task_unseen_json(const data_set *set, const data_spec *spec, const task_answering *models,
                         size_t n_models, int64_t min_cell);

#endif
