/*
 * scorer.c - scores of inputs that are handed in, not read from a data set
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/ops.h"
#include "task/task.h"

enum { SCORER_BATCH = 64 };

struct task_scorer {
    const task_model *model;
    const float *params;
    nn_plan *plan;
    size_t n_input;  // numbers of an input
};

fl_status task_scorer_new(task_scorer **out, const task_model *m, const float *params,
                          int threads, fl_err *err)
{
    nn_plan_config cfg = {.capacity = task_model_ops(m)->of_pixels ? 1 : SCORER_BATCH,
                          .precision = NN_FP32, .threads = threads};

    *out = NULL;
    task_scorer *s = fl_xcalloc(1, sizeof *s);
    *s = (task_scorer){.model = m, .params = params};
    s->n_input = (size_t)nn_shape_count(&task_model_spec(m)->input, 1);
    fl_status st = nn_plan_new(&s->plan, task_model_graph(m), &cfg, err);
    if (st != FL_OK) {
        task_scorer_destroy(&s);
    }
    *out = s;
    return st;
}

void task_scorer_destroy(task_scorer **s)
{
    if (*s != NULL) {
        nn_plan_destroy(&(*s)->plan);
        FL_FREE(*s);
    }
}

bool task_scorer_is_of_pixels(const task_scorer *s)
{
    return task_model_ops(s->model)->of_pixels;
}

void task_scorer_mask(task_scorer *s, uint8_t *code, float *prob, const float *x)
{
    FL_REQUIRE(task_scorer_is_of_pixels(s));
    memcpy(nn_plan_input(s->plan, 0), x, s->n_input * sizeof *x);
    nn_plan_forward(s->plan, s->params, 1);
    task_segment_codes(code, prob, nn_plan_output(s->plan, 0), task_model_n_logits(s->model),
                       data_spec_n_pixels(task_model_spec(s->model)),
                       task_model_is_evidential(s->model));
}

void task_scorer_run(task_scorer *s, double *score, const float *x, size_t n)
{
    const task_ops *ops = task_model_ops(s->model);
    const data_spec *spec = task_model_spec(s->model);
    int64_t L = task_model_n_logits(s->model);
    size_t K = task_model_n_scores(s->model);

    FL_REQUIRE(!ops->of_pixels);
    for (size_t from = 0; from < n; from += SCORER_BATCH) {
        size_t rows = n - from < SCORER_BATCH ? n - from : SCORER_BATCH;
        memcpy(nn_plan_input(s->plan, 0), x + from * s->n_input, rows * s->n_input * sizeof *x);
        nn_plan_forward(s->plan, s->params, (int64_t)rows);
        const float *logits = nn_plan_output(s->plan, 0);
        for (size_t i = 0; i < rows; i++) {
            ops->score(score + (from + i) * K, spec, L, logits + (int64_t)i * L,
                       task_model_is_evidential(s->model));
        }
    }
}

int64_t task_model_logit_of(const task_model *m, size_t k, int *sign)
{
    const data_spec *spec = task_model_spec(m);
    bool of_pixels = task_model_ops(m)->of_pixels;
    bool single = (spec->task == DATA_CLASSIFY || of_pixels) && task_model_n_logits(m) == 1;
    int positive = spec->positive >= 0 && !of_pixels ? spec->positive : 1;
    *sign = single && (int)k != positive ? -1 : 1;
    return single ? 0 : (int64_t)k;
}
