/*
 * groups.c - a model's figures for the cases that share an attribute, whatever the task
 */
#include <stdlib.h>

#include "eval/by_group.h"
#include "task/ops.h"

// ------------------------------------------------------------------- classes

static void classes_each(json_t *list, const task_grouped *g, const eval_attribute *a)
{
    eval_predictions p = task_predictions(g->scores, g->spec, g->threshold);
    eval_subgroups(list, a->name, a->value, &p, g->min_cell, g->seed);
}

static void classes_pairs(json_t *list, const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_predictions p = task_predictions(g->scores, g->spec, g->threshold);
    eval_subgroup_pairs(list, a, n, &p, g->min_cell, g->seed);
}

static json_t *classes_gaps(const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_predictions p = task_predictions(g->scores, g->spec, g->threshold);
    return eval_disparities(a, n, &p, g->min_cell);
}

const task_group_ops task_groups_of_classes = {classes_each, classes_pairs, classes_gaps};

// ------------------------------------------------------------------ findings

static void names_of(const char *names[static DATA_MAX_CLASSES], const data_spec *spec)
{
    for (size_t k = 0; k < spec->n_classes; k++) {
        names[k] = spec->classes[k];
    }
}

static void findings_each(json_t *list, const task_grouped *g, const eval_attribute *a)
{
    const char *names[DATA_MAX_CLASSES];
    eval_findings f = task_findings(g->scores, g->threshold);
    names_of(names, g->spec);
    eval_findings_subgroups(list, a, names, &f, g->min_cell, g->seed);
}

static void findings_pairs(json_t *list, const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_findings f = task_findings(g->scores, g->threshold);
    eval_findings_pairs(list, a, n, &f, g->min_cell, g->seed);
}

static json_t *findings_gaps(const task_grouped *g, const eval_attribute *a, size_t n)
{
    const char *names[DATA_MAX_CLASSES];
    eval_findings f = task_findings(g->scores, g->threshold);
    names_of(names, g->spec);
    return eval_findings_disparities(a, n, names, &f, g->min_cell);
}

const task_group_ops task_groups_of_findings = {findings_each, findings_pairs, findings_gaps};

// --------------------------------------------------------------------- masks

static eval_masks masks_of(const task_scores *s)
{
    return (eval_masks){.n = s->n, .K = s->K, .item = s->seg, .label = s->label,
                        .patient = s->patient};
}

static void masks_each(json_t *list, const task_grouped *g, const eval_attribute *a)
{
    eval_masks m = masks_of(g->scores);
    eval_masks_subgroups(list, a, &m, g->min_cell, g->seed);
}

static void masks_pairs(json_t *list, const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_masks m = masks_of(g->scores);
    eval_masks_pairs(list, a, n, &m, g->min_cell, g->seed);
}

static json_t *masks_gaps(const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_masks m = masks_of(g->scores);
    return eval_masks_disparities(a, n, &m, g->min_cell);
}

const task_group_ops task_groups_of_masks = {masks_each, masks_pairs, masks_gaps};

// ------------------------------------------------------------------- numbers

static eval_numbers numbers_of(const task_scores *s)
{
    return (eval_numbers){.n = s->n, .pred = s->score, .target = s->target,
                          .patient = s->patient};
}

static void numbers_each(json_t *list, const task_grouped *g, const eval_attribute *a)
{
    eval_numbers x = numbers_of(g->scores);
    eval_numbers_subgroups(list, a, &x, g->min_cell, g->seed);
}

static void numbers_pairs(json_t *list, const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_numbers x = numbers_of(g->scores);
    eval_numbers_pairs(list, a, n, &x, g->min_cell, g->seed);
}

static json_t *numbers_gaps(const task_grouped *g, const eval_attribute *a, size_t n)
{
    eval_numbers x = numbers_of(g->scores);
    return eval_numbers_disparities(a, n, &x, g->min_cell);
}

const task_group_ops task_groups_of_numbers = {numbers_each, numbers_pairs, numbers_gaps};

// ----------------------------------------------------------------------- any

void task_subgroups(json_t *list, const task_grouped *g, const eval_attribute *attribute)
{
    task_ops_find(g->spec->task)->groups->each(list, g, attribute);
}

void task_subgroup_pairs(json_t *list, const task_grouped *g, const eval_attribute *attributes,
                         size_t n)
{
    task_ops_find(g->spec->task)->groups->pairs(list, g, attributes, n);
}

json_t *task_disparities(const task_grouped *g, const eval_attribute *attributes, size_t n)
{
    return task_ops_find(g->spec->task)->groups->gaps(g, attributes, n);
}
