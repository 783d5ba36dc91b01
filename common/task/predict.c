/*
 * predict.c - scores of a split, and what follows from them
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "task/ops.h"
#include "task/task.h"

enum {
    PREDICT_BATCH = 64,           // rows; more gains nothing on a CPU
    PREDICT_PIXELS = 1 << 18      // of a batch that has answers for pixels: memory
};

void task_scores_clear(task_scores *s)
{
    free(s->score);
    free(s->label);
    free(s->target);
    free(s->seg);
    free(s->patient);
    free(s->index);
    *s = (task_scores){.loss = NAN};
}

fl_status task_scores_init(task_scores *s, const task_model *m, size_t n, fl_err *err)
{
    size_t K = task_model_n_scores(m);
    data_task task = task_model_spec(m)->task;
    bool has_target = task == DATA_MULTILABEL || task == DATA_REGRESS;
    bool of_pixels = task_model_ops(m)->of_pixels;
    *s = (task_scores){.n = n, .K = K, .loss = NAN};
    size_t n_scores;
    if (!fl_size_mul(&n_scores, n, K)) {
        return fl_fail(err, FL_ELIMIT, "%zu cases are too many", n);
    }
    if (of_pixels) {
        s->seg = fl_calloc(n_scores, sizeof *s->seg, "scores", err);
    } else {
        s->score = fl_calloc(n_scores, sizeof *s->score, "scores", err);
    }
    s->label = fl_calloc(n, sizeof *s->label, "scores", err);
    s->patient = fl_calloc(n, sizeof *s->patient, "scores", err);
    s->index = fl_calloc(n, sizeof *s->index, "scores", err);
    if (has_target) {
        s->target = fl_calloc(n_scores, sizeof *s->target, "scores", err);
    }
    if ((s->score == NULL && s->seg == NULL) || s->label == NULL || s->patient == NULL ||
        s->index == NULL || (has_target && s->target == NULL)) {
        task_scores_clear(s);
        return FL_ELIMIT;
    }
    return FL_OK;
}

bool task_scores_judged(const task_scores *s, size_t i)
{
    bool any = s->label[i] >= 0;
    for (size_t k = 0; k < s->K && s->target != NULL; k++) {
        any = any || !isnan(s->target[i * s->K + k]);
    }
    return any;
}

double task_case_error(const task_scores *s, const data_spec *spec, size_t i, double threshold)
{
    return task_ops_find(spec->task)->case_error(s, spec, i, threshold);
}

/* Sum of losses so far, and of the labelled targets behind it. */
typedef struct {
    double sum;
    int64_t n;
} running_loss;

/* What scoring a split works with. */
typedef struct {
    task_scores *scores;
    const task_model *model;
    const data_set *set;
    nn_plan *plan;
    const float *params;
    size_t batch;     // rows
    float *target;    // (batch, target_width)
    uint8_t *code;    // (n_pixels) segment
    uint8_t *moved;   // (n_pixels) segment: the truth under a shift
    float *prob;      // (n_pixels) segment, where somebody takes maps
    const task_maps *maps;
    const data_shift *shift;  // what the images are seen through; or NULL
    uint64_t shift_seed;
    int threads;
    nn_loss_config loss;
    running_loss running;
} scoring;

/* What the case's scores are, from its logits. */
static fl_status score_case(scoring *w, size_t row, const data_case *c, const float *logits,
                            fl_err *err)
{
    task_scores *s = w->scores;
    const task_ops *ops = task_model_ops(w->model);
    const data_spec *spec = task_model_spec(w->model);
    int64_t L = task_model_n_logits(w->model);
    bool evidential = task_model_is_evidential(w->model);

    s->patient[row] = c->patient_no;
    s->label[row] = spec->task == DATA_CLASSIFY ? c->code : -1;
    if (!ops->of_pixels) {
        ops->score(s->score + row * s->K, spec, L, logits, evidential);
        return FL_OK;
    }
    task_segment_codes(w->code, w->prob, logits, L, data_spec_n_pixels(spec), evidential);
    if (c->mask != NULL) {
        s->label[row] = 0;
        task_segment_measure(s->seg + row * s->K, w->code, spec, c);
    }
    const task_map map = {.code = w->code, .prob = w->prob};
    return w->maps == NULL ? FL_OK
                           : w->maps->take(w->maps->ctx, w->set, s->index[row], &map, err);
}

/* The model's outputs behind the logits, of row i of the batch. */
static fl_status give_own_maps(const scoring *w, size_t row, size_t i, fl_err *err)
{
    const nn_graph *g = task_model_graph(w->model);
    fl_status st = FL_OK;
    for (size_t k = 1; k < nn_graph_n_outputs(g) && st == FL_OK; k++) {
        nn_value output = nn_graph_output_at(g, k);
        const nn_shape *shape = nn_graph_shape(g, output);
        const int64_t *last = shape->dim + shape->rank - 2;
        int64_t size[3] = {shape->rank == 5 ? shape->dim[2] : 1, last[0], last[1]};
        const float *map = nn_plan_output(w->plan, k) + (int64_t)i * size[0] * size[1] * size[2];
        st = w->maps->take_own(w->maps->ctx, w->set, w->scores->index[row],
                               nn_graph_value_name(g, output), map, size, err);
    }
    return st;
}

/* A batch being seen through a shift, a case at a time. */
typedef struct {
    const scoring *w;
    const size_t *index;
    float *x;
    fl_err *errors;  // [case]
} shifted_batch;

static void shift_case(void *context, size_t i)
{
    shifted_batch *b = context;
    size_t F = data_set_n_features(b->w->set);
    (void)data_set_batch_shifted(b->w->set, b->w->shift, b->w->shift_seed, b->index + i, 1,
                                 b->x + i * F, &b->errors[i]);
}

static fl_status load_batch(const scoring *w, const size_t *index, size_t n, fl_err *err)
{
    float *x = nn_plan_input(w->plan, 0);
    if (w->shift == NULL) {
        data_set_batch(w->set, index, n, x);
        return FL_OK;
    }
    shifted_batch b = {w, index, x, fl_xcalloc(n, sizeof *b.errors)};
    fl_parallel(w->threads, n, shift_case, &b);
    fl_status st = FL_OK;
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        if (b.errors[i].status != FL_OK) {
            st = fl_fail(err, b.errors[i].status, "%s", b.errors[i].text);
        }
    }
    free(b.errors);
    return st;
}

/* Cases from .. from + n - 1 of the split, n <= batch. */
static fl_status score_batch(scoring *w, size_t from, size_t n, fl_err *err)
{
    task_scores *s = w->scores;
    const task_ops *ops = task_model_ops(w->model);
    const data_spec *spec = task_model_spec(w->model);
    int64_t L = task_model_n_logits(w->model);
    int64_t HW = ops->of_pixels ? (int64_t)data_spec_n_pixels(spec) : 1;
    int64_t width = ops->target_width(spec, L);
    int64_t n_targets = 0;

    fl_status loaded = load_batch(w, s->index + from, n, err);
    if (loaded != FL_OK) {
        return loaded;
    }
    nn_plan_forward(w->plan, w->params, (int64_t)n);
    const float *logits = nn_plan_output(w->plan, 0);
    for (size_t i = 0; i < n; i++) {
        size_t row = from + i;
        data_case c = data_set_case(w->set, s->index[row]);
        float *target = w->target + (int64_t)i * width;
        fl_status st = w->shift == NULL ? FL_OK
                                        : data_set_case_shifted(&c, w->set, w->shift, w->shift_seed,
                                                                s->index[row], w->moved, err);
        if (st != FL_OK) {
            return st;
        }
        st = score_case(w, row, &c, logits + (int64_t)i * L * HW, err);
        if (st == FL_OK && w->maps != NULL && w->maps->take_own != NULL) {
            st = give_own_maps(w, row, i, err);
        }
        if (st != FL_OK) {
            return st;
        }
        n_targets += ops->target(target, spec, L, &c);
        for (size_t k = 0; k < s->K && s->target != NULL; k++) {
            s->target[row * s->K + k] = target[k];
        }
    }
    if (n_targets > 0) {
        double mean = nn_loss_run(&w->loss, logits, w->target, (int64_t)n, (int64_t)n, L, HW,
                                  NULL);
        w->running.sum += mean * (double)n_targets;
        w->running.n += n_targets;
    }
    return FL_OK;
}

size_t task_batch_rows(const task_model *m, size_t n)
{
    size_t most = PREDICT_BATCH;
    if (task_model_ops(m)->of_pixels) {
        most = PREDICT_PIXELS / data_spec_n_pixels(task_model_spec(m));
        most = most < 1 ? 1 : most > PREDICT_BATCH ? PREDICT_BATCH : most;
    }
    return n < most ? n : most;
}

/* The target rows of a batch, and a case's pixels. */
static fl_status make_room(scoring *w, fl_err *err)
{
    const data_spec *spec = task_model_spec(w->model);
    const task_ops *ops = task_model_ops(w->model);
    int64_t L = task_model_n_logits(w->model);
    size_t n_pixels = ops->of_pixels ? data_spec_n_pixels(spec) : 1;
    // The task's usual loss, whatever trained the model: figures of models that
    // were trained differently can be compared.  Evidence is no logit, though.
    const task_loss plain = {.kind = task_model_is_evidential(w->model) ? TASK_LOSS_EVIDENTIAL
                                                                        : TASK_LOSS_OF_TASK};
    fl_status st = task_loss_of(&w->loss, NULL, &plain, spec, L, err);
    if (st != FL_OK) {
        return st;
    }
    size_t width = (size_t)ops->target_width(spec, L);
    w->target = fl_calloc(w->batch * width, sizeof *w->target, "targets", err);
    w->code = fl_calloc(n_pixels, sizeof *w->code, "masks", err);
    w->moved = fl_calloc(n_pixels, sizeof *w->moved, "masks", err);
    w->prob = w->maps != NULL ? fl_calloc(n_pixels, sizeof *w->prob, "maps", err) : NULL;
    bool all = w->target != NULL && w->code != NULL && w->moved != NULL &&
               (w->maps == NULL || w->prob != NULL);
    return all ? FL_OK : FL_ELIMIT;
}

/* w: model, params, set, and what is to be done besides scoring. */
static fl_status score_split(scoring w, task_scores *out, data_split split, fl_err *err)
{
    fl_status st;
    const task_model *m = w.model;
    const data_set *set = w.set;
    size_t n = data_set_n_split(set, split);

    w.scores = out;
    *out = (task_scores){.loss = NAN};
    if (n == 0) {
        out->K = task_model_n_scores(m);
        return FL_OK;
    }
    if ((st = task_scores_init(out, m, n, err)) != FL_OK) {
        return st;
    }
    memcpy(out->index, data_set_split(set, split), n * sizeof *out->index);
    w.batch = task_batch_rows(m, n);
    nn_plan_config cfg = {
        .capacity = (int64_t)w.batch,
        .precision = NN_FP32,
        .threads = w.threads,
    };
    if ((st = make_room(&w, err)) != FL_OK ||
        (st = nn_plan_new(&w.plan, task_model_graph(m), &cfg, err)) != FL_OK) {
        goto done;
    }
    for (size_t from = 0; from < n && st == FL_OK; from += w.batch) {
        size_t left = n - from;
        st = score_batch(&w, from, left < w.batch ? left : w.batch, err);
    }
    out->loss = w.running.n > 0 ? w.running.sum / (double)w.running.n : NAN;
    out->prevalence = data_set_prevalence(set);
done:
    free(w.target);
    free(w.code);
    free(w.moved);
    free(w.prob);
    nn_plan_destroy(&w.plan);
    if (st != FL_OK) {
        task_scores_clear(out);
    }
    return st;
}

fl_status task_predict(task_scores *out, const task_model *m,
                       const float *params, const data_set *set,
                       data_split split, int threads, fl_err *err)
{
    return task_predict_maps(out, m, params, set, split, threads, NULL, err);
}

fl_status task_predict_maps(task_scores *out, const task_model *m, const float *params,
                            const data_set *set, data_split split, int threads,
                            const task_maps *maps, fl_err *err)
{
    scoring w = {.model = m, .set = set, .params = params, .maps = maps, .threads = threads};
    return score_split(w, out, split, err);
}

fl_status task_predict_shifted(task_scores *out, const task_model *m, const float *params,
                               const data_set *set, data_split split, const data_shift *chain,
                               uint64_t seed, int threads, fl_err *err)
{
    scoring w = {.model = m, .set = set, .params = params, .threads = threads,
                 .shift = chain, .shift_seed = seed};
    fl_status st = data_shift_check(chain, &task_model_spec(m)->input, err);
    *out = (task_scores){.loss = NAN};
    return st == FL_OK ? score_split(w, out, split, err) : st;
}

eval_predictions task_predictions(const task_scores *s, const data_spec *spec,
                                  double threshold)
{
    return (eval_predictions){
        .n = s->n,
        .n_classes = s->K,
        .score = s->score,
        .label = s->label,
        .patient = s->patient,
        .positive = spec->positive,
        .threshold = isnan(threshold) ? 0.5 : threshold,
        .prevalence = s->prevalence,
    };
}

void task_evaluate(eval_metrics *out, const task_scores *s,
                   const data_spec *spec, double threshold, uint64_t seed)
{
    const task_ops *ops = task_ops_find(spec->task);
    FL_REQUIRE(ops != NULL);
    ops->evaluate(out, s, spec, threshold, seed);
}

void task_differences(eval_metrics *out, const task_scored *a, const task_scored *b,
                      const data_spec *spec, uint64_t seed)
{
    const task_ops *ops = task_ops_find(spec->task);
    FL_REQUIRE(ops != NULL && a->scores->n == b->scores->n);
    ops->differences(out, a, b, spec, seed);
}

enum { THRESHOLD_BINS = 1000 };

fl_status task_threshold(double *out, const char **why, const task_model *m,
                         const float *params, const data_set *set,
                         eval_rule rule, double at, int threads, fl_err *err)
{
    const data_spec *spec = task_model_spec(m);
    bool is_two_class = spec->task == DATA_CLASSIFY && spec->n_classes == 2 &&
                        spec->positive >= 0;
    *why = NULL;
    *out = rule == EVAL_RULE_FIXED ? at : 0.5;  // multilabel: of every label
    if (!is_two_class || rule == EVAL_RULE_FIXED) {
        return FL_OK;
    }
    if (data_set_n_split(set, DATA_VAL) == 0) {
        *why = "no validation cases to set it by: 0.5";
        return FL_OK;
    }
    task_scores s;
    fl_status st = task_predict(&s, m, params, set, DATA_VAL, threads, err);
    if (st != FL_OK) {
        return st;
    }
    int64_t count[2][THRESHOLD_BINS] = {{0}};
    for (size_t i = 0; i < s.n; i++) {
        if (s.label[i] >= 0) {
            eval_histogram(count[s.label[i] == spec->positive], THRESHOLD_BINS,
                           &s.score[i * s.K + (size_t)spec->positive], 1);
        }
    }
    task_scores_clear(&s);
    double t = eval_threshold(rule, at, count[0], count[1], THRESHOLD_BINS);
    if (isnan(t)) {
        *why = "the validation cases do not define it: 0.5";
    } else {
        *out = t;
    }
    return FL_OK;
}
