/*
 * predict.c - scores of a split, and the file that keeps them in the hospital
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

enum { PREDICT_BATCH = 64 };  // rows; more gains nothing on a CPU

void task_scores_clear(task_scores *s)
{
    free(s->score);
    free(s->label);
    free(s->target);
    free(s->patient);
    free(s->index);
    *s = (task_scores){.loss = NAN};
}

static fl_status scores_init(task_scores *s, const task_model *m, size_t n,
                             fl_err *err)
{
    size_t K = task_model_n_scores(m);
    bool has_target = task_model_spec(m)->task != DATA_CLASSIFY;
    *s = (task_scores){.n = n, .K = K, .loss = NAN};
    size_t n_scores;
    if (!fl_size_mul(&n_scores, n, K)) {
        return fl_fail(err, FL_ELIMIT, "%zu cases are too many", n);
    }
    s->score = fl_calloc(n_scores, sizeof *s->score, "scores", err);
    s->label = fl_calloc(n, sizeof *s->label, "scores", err);
    s->patient = fl_calloc(n, sizeof *s->patient, "scores", err);
    s->index = fl_calloc(n, sizeof *s->index, "scores", err);
    if (has_target) {
        s->target = fl_calloc(n_scores, sizeof *s->target, "scores", err);
    }
    if (s->score == NULL || s->label == NULL || s->patient == NULL ||
        s->index == NULL || (has_target && s->target == NULL)) {
        task_scores_clear(s);
        return FL_ELIMIT;
    }
    return FL_OK;
}

/* Sum of losses so far, and of the labelled targets behind it. */
typedef struct {
    double sum;
    int64_t n;
} running_loss;

/* Cases from .. from + n - 1 of the split, n <= PREDICT_BATCH. */
static void score_batch(task_scores *s, const task_model *m, nn_plan *plan,
                        const float *params, const data_set *set, size_t from,
                        size_t n, float *target, running_loss *loss)
{
    const task_ops *ops = task_model_ops(m);
    const data_spec *spec = task_model_spec(m);
    int64_t L = task_model_n_logits(m);
    int64_t width = ops->target_width(L);
    int64_t n_targets = 0;

    data_set_batch(set, s->index + from, n, nn_plan_input(plan, 0));
    nn_plan_forward(plan, params, (int64_t)n);
    const float *logits = nn_plan_output(plan, 0);
    for (size_t i = 0; i < n; i++) {
        size_t row = from + i;
        data_case c = data_set_case(set, s->index[row]);
        ops->score(s->score + row * s->K, spec, L, logits + (int64_t)i * L);
        n_targets += ops->target(target + (int64_t)i * width, spec, L, &c);
        s->patient[row] = c.patient_no;
        s->label[row] = s->target == NULL ? c.code : -1;
        for (size_t k = 0; k < s->K && s->target != NULL; k++) {
            s->target[row * s->K + k] = target[(int64_t)i * width + (int64_t)k];
        }
    }
    if (n_targets > 0) {
        nn_loss_config cfg = {.kind = ops->loss(L)};
        double mean = nn_loss_run(&cfg, logits, target, (int64_t)n, (int64_t)n,
                                  L, 1, NULL);
        loss->sum += mean * (double)n_targets;
        loss->n += n_targets;
    }
}

fl_status task_predict(task_scores *out, const task_model *m,
                       const float *params, const data_set *set,
                       data_split split, int threads, fl_err *err)
{
    fl_status st;
    nn_plan *plan = NULL;
    float *target = NULL;
    running_loss loss = {0};
    size_t n = data_set_n_split(set, split);

    *out = (task_scores){.loss = NAN};
    if (n == 0) {
        out->K = task_model_n_scores(m);
        return FL_OK;
    }
    if ((st = scores_init(out, m, n, err)) != FL_OK) {
        return st;
    }
    memcpy(out->index, data_set_split(set, split), n * sizeof *out->index);
    nn_plan_config cfg = {
        .capacity = n < PREDICT_BATCH ? (int64_t)n : PREDICT_BATCH,
        .precision = NN_FP32,
        .threads = threads,
    };
    if ((st = nn_plan_new(&plan, task_model_graph(m), &cfg, err)) != FL_OK) {
        goto done;
    }
    int64_t width = task_model_ops(m)->target_width(task_model_n_logits(m));
    target = fl_xcalloc(PREDICT_BATCH * (size_t)width, sizeof *target);
    for (size_t from = 0; from < n; from += PREDICT_BATCH) {
        size_t left = n - from;
        score_batch(out, m, plan, params, set, from,
                    left < PREDICT_BATCH ? left : PREDICT_BATCH, target, &loss);
    }
    out->loss = loss.n > 0 ? loss.sum / (double)loss.n : NAN;
    out->prevalence = data_set_prevalence(set);
done:
    free(target);
    nn_plan_destroy(&plan);
    if (st != FL_OK) {
        task_scores_clear(out);
    }
    return st;
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

enum { THRESHOLD_BINS = 1000 };

fl_status task_threshold(double *out, const char **why, const task_model *m,
                         const float *params, const data_set *set,
                         eval_rule rule, double at, int threads, fl_err *err)
{
    const data_spec *spec = task_model_spec(m);
    bool is_two_class = spec->task == DATA_CLASSIFY && spec->n_classes == 2 &&
                        spec->positive >= 0;
    *why = NULL;
    *out = rule == EVAL_RULE_FIXED ? at : 0.5;
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

void task_quick_of(task_quick *out, const task_scores *s,
                   const data_spec *spec)
{
    const task_ops *ops = task_ops_find(spec->task);
    FL_REQUIRE(ops != NULL);
    *out = (task_quick){.loss = s->loss, .accuracy = NAN, .auc = NAN};
    ops->quick(out, s, spec);
}

static const char *const quick_names[] = {"auc", "accuracy", "loss"};

bool task_quick_known(const char *metric)
{
    for (size_t i = 0; i < sizeof quick_names / sizeof *quick_names; i++) {
        if (strcmp(quick_names[i], metric) == 0) {
            return true;
        }
    }
    return false;
}

double task_quick_metric(const task_quick *q, const char *metric)
{
    if (strcmp(metric, "auc") == 0) {
        return q->auc;
    }
    if (strcmp(metric, "accuracy") == 0) {
        return q->accuracy;
    }
    return strcmp(metric, "loss") == 0 ? q->loss : NAN;
}

// ----------------------------------------------------------- predictions.csv

/* RFC 4180: quoted when a reader would trip over it. */
static void put_cell(fl_buf *b, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fl_buf_puts(b, text);
        return;
    }
    fl_buf_puts(b, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        fl_buf_add(b, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    }
    fl_buf_puts(b, "\"");
}

/* The shortest text that reads back as the same double. */
static void put_number(fl_buf *b, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    fl_buf_puts(b, text);
}

static void put_header(fl_buf *b, const task_scores *s, const data_spec *spec)
{
    fl_buf_puts(b, "case,patient");
    if (spec->task == DATA_MULTILABEL) {
        for (size_t k = 0; k < s->K; k++) {
            fl_buf_printf(b, ",label_%zu", k);
        }
    } else {
        fl_buf_puts(b, ",label");
    }
    for (size_t k = 0; k < s->K; k++) {
        fl_buf_printf(b, ",score_%zu", k);
    }
    for (size_t a = 0; a < spec->n_attributes; a++) {
        fl_buf_puts(b, ",");
        put_cell(b, spec->attributes[a].name);
    }
    fl_buf_puts(b, "\n");
}

static void put_row(fl_buf *b, const task_scores *s, size_t i,
                    const data_set *set, const data_spec *spec)
{
    data_case c = data_set_case(set, s->index[i]);
    put_cell(b, c.case_id);
    fl_buf_puts(b, ",");
    put_cell(b, c.patient);
    if (s->target == NULL) {
        fl_buf_printf(b, ",%d", s->label[i]);
    }
    for (size_t k = 0; k < s->K && s->target != NULL; k++) {
        double truth = s->target[i * s->K + k];
        fl_buf_puts(b, ",");
        if (!isnan(truth)) {
            put_number(b, truth);
        }
    }
    for (size_t k = 0; k < s->K; k++) {
        fl_buf_puts(b, ",");
        put_number(b, s->score[i * s->K + k]);
    }
    for (size_t a = 0; a < spec->n_attributes; a++) {
        fl_buf_puts(b, ",");
        put_cell(b, c.attributes[a]);
    }
    fl_buf_puts(b, "\n");
}

fl_status task_predictions_write(const task_scores *s, const data_set *set,
                                 const data_spec *spec, const char *path,
                                 fl_err *err)
{
    fl_buf text = FL_BUF_INIT;
    put_header(&text, s, spec);
    for (size_t i = 0; i < s->n; i++) {
        put_row(&text, s, i, set, spec);
    }
    fl_status st = fl_file_write(path, text.data, text.n, 0600, err);
    fl_buf_clear(&text);
    return st;
}
