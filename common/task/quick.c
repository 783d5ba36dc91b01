/*
 * quick.c - figures of a round's curve: what is cheap enough after every round
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/patients.h"
#include "task/ops.h"
#include "task/task.h"

static const struct {
    const char *name;
    size_t offset;  // in task_quick
    bool higher_is_better;
} figures[] = {
    {"loss", offsetof(task_quick, loss), false},
    {"accuracy", offsetof(task_quick, accuracy), true},
    {"auc", offsetof(task_quick, auc), true},
    {"dice", offsetof(task_quick, dice), true},
    {"iou", offsetof(task_quick, iou), true},
    {"mae", offsetof(task_quick, mae), false},
    {"rmse", offsetof(task_quick, rmse), false},
};
enum { N_FIGURES = sizeof figures / sizeof *figures };

bool task_are_enough(const task_scores *s, const bool *in, int64_t min_cell)
{
    eval_patients patients;
    if (min_cell <= 1) {
        return true;
    }
    eval_patients_init(&patients, s->patient, s->n);
    size_t n = eval_patients_count(&patients, in);
    eval_patients_clear(&patients);
    return n >= (size_t)min_cell;
}

void task_quick_of(task_quick *out, const task_scores *s, const data_spec *spec)
{
    task_quick_told(out, s, spec, 1);
}

/* Cases that anybody labelled. */
static bool *labelled(const task_scores *s)
{
    bool *in = fl_xcalloc(s->n, sizeof *in);
    for (size_t i = 0; i < s->n; i++) {
        in[i] = s->label[i] >= 0;
        for (size_t k = 0; s->target != NULL && k < s->K; k++) {
            in[i] = in[i] || !isnan(s->target[i * s->K + k]);
        }
    }
    return in;
}

void task_quick_told(task_quick *out, const task_scores *s, const data_spec *spec,
                     int64_t min_cell)
{
    const task_ops *ops = task_ops_find(spec->task);
    FL_REQUIRE(ops != NULL);
    *out = (task_quick){.loss = s->loss, .accuracy = NAN, .auc = NAN, .dice = NAN, .iou = NAN,
                        .mae = NAN, .rmse = NAN};
    ops->quick(out, s, spec, min_cell);
    bool *in = labelled(s);
    if (!task_are_enough(s, in, min_cell)) {
        const char *name;
        for (size_t i = 0; (name = task_quick_name(i)) != NULL; i++) {
            *task_quick_at(out, name) = NAN;
        }
        out->n_positive = -1;
    }
    free(in);
}

const char *task_quick_name(size_t i)
{
    return i < N_FIGURES ? figures[i].name : NULL;
}

const char *task_quick_of_task(data_task task, size_t i)
{
    const task_ops *ops = task_ops_find(task);
    FL_REQUIRE(ops != NULL);
    for (size_t k = 0; k <= i; k++) {
        if (ops->metrics[k] == NULL) {
            return NULL;
        }
    }
    return ops->metrics[i];
}

bool task_quick_suits(data_task task, const char *metric)
{
    const char *name;
    for (size_t i = 0; (name = task_quick_of_task(task, i)) != NULL; i++) {
        if (strcmp(name, metric) == 0) {
            return true;
        }
    }
    return false;
}

static int find(const char *metric)
{
    for (int i = 0; i < N_FIGURES; i++) {
        if (strcmp(figures[i].name, metric) == 0) {
            return i;
        }
    }
    return -1;
}

bool task_quick_higher_is_better(const char *metric)
{
    int i = find(metric);
    return i < 0 || figures[i].higher_is_better;
}

double *task_quick_at(task_quick *q, const char *metric)
{
    int i = find(metric);
    FL_REQUIRE(i >= 0);
    return (double *)((char *)q + figures[i].offset);
}

double task_quick_metric(const task_quick *q, const char *metric)
{
    int i = find(metric);
    return i < 0 ? NAN : *(const double *)((const char *)q + figures[i].offset);
}
