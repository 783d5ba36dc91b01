/*
 * doubt.c - what the members' disagreement is good for, as figures (members.h)
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"
#include "task/members.h"
#include "task/ops.h"

size_t task_doubts(eval_doubt out[static TASK_MAX_DOUBTS], const task_doubt *d)
{
    // Members that are one agree with themselves.
    bool several = d->members.n > 1;
    const eval_doubt all[TASK_MAX_DOUBTS] = {
        {"expected_error", d->expected},
        {"vacuity", d->vacuity},
        {"entropy", d->entropy},
        {"information", several ? d->information : NULL},
        {"variance", several ? d->variance : NULL},
        {"spread", d->spread},
    };
    size_t n = 0;
    for (size_t i = 0; i < TASK_MAX_DOUBTS; i++) {
        if (all[i].value != NULL) {
            out[n++] = all[i];
        }
    }
    return n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double task_doubt_limit(const task_doubt *d, double share)
{
    eval_doubt doubts[TASK_MAX_DOUBTS];
    size_t n = d->scores.n;
    if (n == 0) {
        return NAN;
    }
    task_doubts(doubts, d);
    double *sorted = fl_xcalloc(n, sizeof *sorted);
    memcpy(sorted, doubts[0].value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double limit = eval_quantile(sorted, n, 1 - share);
    free(sorted);
    return limit;
}

// ------------------------------------------------------------- labelled cases

/* The cases that can be judged, one behind the other. */
typedef struct {
    size_t n;
    double *error;
    bool *wrong;  // NULL: errors are no calls
    int64_t *patient;
    double *value[TASK_MAX_DOUBTS];
} judged;

static judged judge_cases(const task_doubt *d, const eval_doubt *doubts, size_t n_doubts,
                          const data_spec *spec, double threshold)
{
    const task_scores *s = &d->scores;
    const task_ops *ops = task_ops_find(spec->task);
    bool are_calls = strcmp(ops->error_of, TASK_ERROR_CALLS) == 0;
    judged j = {.error = fl_xcalloc(s->n, sizeof *j.error),
                .wrong = are_calls ? fl_xcalloc(s->n, sizeof *j.wrong) : NULL,
                .patient = fl_xcalloc(s->n, sizeof *j.patient)};
    for (size_t k = 0; k < n_doubts; k++) {
        j.value[k] = fl_xcalloc(s->n, sizeof *j.value[k]);
    }
    for (size_t i = 0; i < s->n; i++) {
        double error = ops->case_error(s, spec, i, threshold);
        if (isnan(error)) {
            continue;
        }
        j.error[j.n] = error;
        if (j.wrong != NULL) {
            j.wrong[j.n] = error > 0;
        }
        for (size_t k = 0; k < n_doubts; k++) {
            j.value[k][j.n] = doubts[k].value[i];
        }
        j.patient[j.n++] = s->patient[i];
    }
    return j;
}

static void judged_clear(judged *j)
{
    for (size_t k = 0; k < TASK_MAX_DOUBTS; k++) {
        free(j->value[k]);
    }
    free(j->error);
    free(j->wrong);
    free(j->patient);
}

// -------------------------------------------------------------------- figures

/* How the cases from the limit on fare, and the others. */
static json_t *flag_json(const judged *j, double limit, const char *limit_why)
{
    if (isnan(limit)) {
        return json_pack("{s:n, s:s}", "limit", "why", limit_why);
    }
    double sum[2] = {0};
    int64_t n[2] = {0};
    for (size_t i = 0; i < j->n; i++) {
        bool flagged = j->value[0][i] >= limit;
        sum[flagged] += j->error[i];
        n[flagged]++;
    }
    return json_pack("{s:f, s:I, s:I, s:o, s:o}", "limit", limit, "n", (json_int_t)(n[0] + n[1]),
                     "n_flagged", (json_int_t)n[1], "error_flagged",
                     fl_json_number(n[1] > 0 ? sum[1] / (double)n[1] : NAN), "error_rest",
                     fl_json_number(n[0] > 0 ? sum[0] / (double)n[0] : NAN));
}

/* Does a predicted lesion's entropy tell the false ones? */
static json_t *lesions_json(const task_doubt *d)
{
    size_t n = d->n_lesions;
    double *entropy = fl_xcalloc(n, sizeof *entropy);
    bool *is_false = fl_xcalloc(n, sizeof *is_false);
    int64_t *patient = fl_xcalloc(n, sizeof *patient), n_false = 0;
    for (size_t k = 0; k < n; k++) {
        entropy[k] = d->lesions[k].entropy;
        is_false[k] = d->lesions[k].is_false;
        patient[k] = d->scores.patient[d->lesions[k].of];
        n_false += is_false[k];
    }
    eval_figure auroc;
    eval_error_detection(&auroc, entropy, is_false, patient, n);
    if (isnan(auroc.value)) {
        eval_figure_undefined(&auroc, n == 0         ? "no lesion was predicted"
                                      : n_false == 0 ? "no predicted lesion is false"
                                                     : "every predicted lesion is false");
    }
    free(entropy);
    free(is_false);
    free(patient);
    return json_pack("{s:I, s:I, s:o}", "n", (json_int_t)n, "n_false", (json_int_t)n_false,
                     "auroc", eval_figure_json(&auroc));
}

/* AUROC of a column's uncertainty for the calls that are wrong. */
static json_t *detection_json(const double *uncertainty, const bool *wrong, const int64_t *patient,
                              size_t n)
{
    eval_figure auroc;
    eval_error_detection(&auroc, uncertainty, wrong, patient, n);
    if (n == 0) {
        eval_figure_undefined(&auroc, "no cases");
    }
    return eval_figure_json(&auroc);
}

/* Does a finding's own uncertainty tell the cases where this finding is called wrongly? */
static json_t *finding_json(const task_doubt *d, const data_spec *spec, double threshold, size_t k)
{
    const task_scores *s = &d->scores;
    double *entropy = fl_xcalloc(s->n, sizeof *entropy);
    double *information = fl_xcalloc(s->n, sizeof *information);
    bool *wrong = fl_xcalloc(s->n, sizeof *wrong);
    int64_t *patient = fl_xcalloc(s->n, sizeof *patient), n_wrong = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t at = i * s->K + k;
        if (isnan(s->target[at])) {
            continue;
        }
        wrong[n] = (s->score[at] >= threshold) != (s->target[at] > 0.5);
        n_wrong += wrong[n];
        entropy[n] = d->entropy_of[at];
        information[n] = d->information_of[at];
        patient[n++] = s->patient[i];
    }
    json_t *json = json_pack("{s:s, s:I, s:I, s:o}", "class", spec->classes[k], "n", (json_int_t)n,
                             "n_wrong", (json_int_t)n_wrong, "entropy",
                             detection_json(entropy, wrong, patient, n));
    if (d->members.n > 1) {
        json_object_set_new(json, "information", detection_json(information, wrong, patient, n));
    }
    free(entropy);
    free(information);
    free(wrong);
    free(patient);
    return json;
}

static json_t *findings_json(const task_doubt *d, const data_spec *spec, double threshold)
{
    json_t *list = json_array();
    for (size_t k = 0; k < d->scores.K; k++) {
        json_array_append_new(list, finding_json(d, spec, threshold, k));
    }
    return list;
}

json_t *task_doubt_json(const task_doubt *d, const data_spec *spec, double threshold,
                        const eval_selective_config *cfg, double limit, const char *limit_why)
{
    eval_doubt doubts[TASK_MAX_DOUBTS];
    size_t n_doubts = task_doubts(doubts, d);
    threshold = isnan(threshold) ? 0.5 : threshold;
    judged j = judge_cases(d, doubts, n_doubts, spec, threshold);
    for (size_t k = 0; k < n_doubts; k++) {
        doubts[k].value = j.value[k];
    }
    char how[TASK_MEMBERS_BYTES];
    task_members_text(how, &d->members);
    json_t *json = json_pack("{s:s, s:I, s:s}", "how", how, "members", (json_int_t)d->members.n,
                             "error_of", task_ops_find(spec->task)->error_of);
    eval_selective_put(json, doubts, n_doubts, j.error, j.wrong, j.patient, j.n, cfg);
    json_object_set_new(json, "flag", flag_json(&j, limit, limit_why));
    if (d->scores.seg != NULL) {
        json_object_set_new(json, "lesions", lesions_json(d));
    }
    if (d->entropy_of != NULL) {
        json_object_set_new(json, "findings", findings_json(d, spec, threshold));
    }
    judged_clear(&j);
    return json;
}
