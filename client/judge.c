/*
 * judge.c - see judge.h
 */
#include "client/judge.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "client/worst.h"
#include "eval/calibration.h"
#include "eval/disparity.h"
#include "eval/eval.h"

enum { MAX_LOOKS_BYTES = 1 << 20 };

/* One model on the test split. */
typedef struct {
    bool there;
    task_scores scores;
    double threshold;
    const char *threshold_why;  // the rule could not be followed; or NULL
    eval_metrics metrics;
} judged;

static bool is_two_class(const data_spec *spec)
{
    return spec->task == DATA_CLASSIFY && spec->positive >= 0;
}

// ---------------------------------------------------------------------- looks

/* Writes the look down and counts the different ones so far. */
static fl_status open_test(int64_t *n_looks, const char *run_dir, const fed_model_id *id,
                           double threshold, fl_err *err)
{
    char hex[2 * FL_SHA256_BYTES + 1];
    fl_hex(hex, id->bytes, sizeof id->bytes);
    char *line = fl_xasprintf("%s %.17g\n", hex, threshold);
    char *path = fl_path_join(run_dir, "test_opened");
    char *text = NULL;
    size_t n = 0;
    fl_status st = FL_OK;
    if (fl_file_exists(path) &&
        (st = fl_file_read(&text, &n, path, MAX_LOOKS_BYTES, err)) != FL_OK) {
        goto done;
    }
    bool is_new = text == NULL || strstr(text, line) == NULL;
    if (is_new && (st = fl_file_append(path, line, strlen(line), err)) != FL_OK) {
        goto done;
    }
    *n_looks = is_new;
    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        *n_looks += *c == '\n';
    }
done:
    free(text);
    free(path);
    free(line);
    return st;
}

// ----------------------------------------------------------------- thresholds

/* The job's rule on the site's own validation scores of its own model.  why:
 * NULL, or why the rule could not be followed. */
static fl_status own_threshold(const local *l, const float *params, double *out, const char **why,
                               fl_err *err)
{
    const job_evaluation *e = &l->job.evaluation;
    return task_threshold(out, why, l->model, params, l->now, e->rule, e->at, l->threads, err);
}

// -------------------------------------------------------------------- figures

static json_t *confusion_json(const judged *m, int positive)
{
    int64_t count[2][2] = {{0}};  // [is positive][called positive]
    const task_scores *s = &m->scores;
    for (size_t i = 0; i < s->n; i++) {
        if (s->label[i] >= 0) {
            bool called = s->score[i * s->K + (size_t)positive] >= m->threshold;
            count[s->label[i] == positive][called]++;
        }
    }
    json_t *json = json_object();
    json_object_set_new(json, "tp", json_integer(count[1][1]));
    json_object_set_new(json, "fp", json_integer(count[0][1]));
    json_object_set_new(json, "tn", json_integer(count[0][0]));
    json_object_set_new(json, "fn", json_integer(count[1][0]));
    return json;
}

static json_t *benefit_json(const local *l, const judged *global, const judged *own,
                            local_progress *progress)
{
    json_t *json = json_object();
    if (!own->there) {
        return json;
    }
    const task_scored a = {&own->scores, own->threshold};
    const task_scored b = {&global->scores, global->threshold};
    eval_metrics differences;
    task_differences(&differences, &a, &b, &l->job.data, l->job.seed);
    local_step(progress);
    for (size_t i = 0; i < differences.n; i++) {
        const eval_metric *m = &differences.item[i];
        if (eval_metric_compared(m->name)) {
            json_object_set_new(json, m->name, eval_figure_json(&m->figure));
        }
    }
    return json;
}

/* A value of a free-text attribute may be a name; a cell that is too small to
 * be shown does not show it either. */
static void hide_small_values(json_t *groups)
{
    for (size_t i = 0; i < json_array_size(groups); i++) {
        json_t *group = json_array_get(groups, i);
        if (json_is_null(json_object_get(group, "n"))) {
            json_object_set_new(group, "value", json_string("(suppressed)"));
        }
    }
}

enum { BAND_BYTES = 64 };

/* The test cases' values of one attribute that the job asks for. */
typedef struct {
    const data_attribute *attribute;
    const char **value;        // (n)
    char (*band)[BAND_BYTES];  // (n) what the values of a number point to
} grouped;

static grouped grouped_new(const local *l, const task_scores *s, const job_subgroup *group,
                           size_t attribute)
{
    grouped g = {.attribute = &l->job.data.attributes[attribute],
                 .value = fl_xcalloc(s->n, sizeof *g.value),
                 .band = fl_xcalloc(s->n, sizeof *g.band)};
    for (size_t i = 0; i < s->n; i++) {
        g.value[i] = data_set_case(l->now, s->index[i]).attributes[attribute];
        if (g.attribute->kind == DATA_ATTR_NUMBER) {
            double number = g.value[i][0] == '\0' ? NAN : strtod(g.value[i], NULL);
            eval_band(g.band[i], BAND_BYTES, number, group->edges, group->n_edges);
            g.value[i] = g.band[i];
        }
    }
    return g;
}

/* The job's subgroups, in its order; the caller's. */
static grouped *find_groups(size_t *n_out, const local *l, const task_scores *s)
{
    const data_spec *spec = &l->job.data;
    size_t n = 0;
    grouped *groups = fl_xcalloc(l->job.evaluation.n_subgroups, sizeof *groups);
    for (size_t g = 0; g < l->job.evaluation.n_subgroups; g++) {
        const job_subgroup *group = &l->job.evaluation.subgroups[g];
        for (size_t a = 0; a < spec->n_attributes; a++) {
            if (strcmp(spec->attributes[a].name, group->name) == 0) {
                groups[n++] = grouped_new(l, s, group, a);
                break;
            }
        }
    }
    *n_out = n;
    return groups;
}

/* Subgroups, pairs of them where every cell may be shown, and how they differ. */
static void put_subgroups(json_t *site, const local *l, const judged *global,
                          local_progress *progress)
{
    const job_evaluation *e = &l->job.evaluation;
    json_t *list = json_array();
    json_object_set_new(site, "subgroups", list);
    if (l->job.data.task != DATA_CLASSIFY) {
        return;
    }
    size_t n = 0;
    grouped *groups = find_groups(&n, l, &global->scores);
    eval_attribute *attributes = fl_xcalloc(n, sizeof *attributes);
    eval_predictions p = task_predictions(&global->scores, &l->job.data, global->threshold);
    for (size_t g = 0; g < n; g++) {
        const char *name = groups[g].attribute->name;
        json_t *cells = json_array();
        attributes[g] = (eval_attribute){name, groups[g].value};
        eval_subgroups(cells, name, groups[g].value, &p, e->min_cell, l->job.seed);
        if (groups[g].attribute->kind == DATA_ATTR_TEXT) {
            hide_small_values(cells);
        }
        json_array_extend(list, cells);
        json_decref(cells);
        local_step(progress);
    }
    eval_subgroup_pairs(list, attributes, n, &p, e->min_cell, l->job.seed);
    json_object_set_new(site, "disparities", eval_disparities(attributes, n, &p, e->min_cell));
    local_step(progress);
    for (size_t g = 0; g < n; g++) {
        free(groups[g].value);
        free(groups[g].band);
    }
    free(groups);
    free(attributes);
}

// ----------------------------------------------------------------- the element

static fl_status judge_model(judged *out, const local *l, const float *params, double threshold,
                             local_progress *progress, fl_err *err)
{
    fl_status st = task_predict(&out->scores, l->model, params, l->now, DATA_TEST, l->threads, err);
    if (st != FL_OK) {
        return st;
    }
    out->there = true;
    out->threshold = threshold;
    local_step(progress);
    task_evaluate(&out->metrics, &out->scores, &l->job.data, threshold, l->job.seed);
    local_step(progress);
    return FL_OK;
}

static json_t *count_of(const local *l, data_split split)
{
    return json_integer((json_int_t)data_set_n_split(l->now, split));
}

/* {"global": ..., "local": ...}, each left out when it is NULL. */
static json_t *pair(json_t *global, json_t *own)
{
    json_t *json = json_object();
    if (global != NULL) {
        json_object_set_new(json, "global", global);
    }
    if (own != NULL) {
        json_object_set_new(json, "local", own);
    }
    return json;
}

/* Each class against the rest, or each finding, small ones hidden. */
static json_t *by_class_json(const local *l, const judged *global)
{
    const data_spec *spec = &l->job.data;
    if (spec->task == DATA_MULTILABEL) {
        return task_findings_json(&global->scores, spec, global->threshold,
                                  l->job.evaluation.min_cell, l->job.seed);
    }
    const char *names[DATA_MAX_CLASSES];
    for (size_t k = 0; k < spec->n_classes; k++) {
        names[k] = spec->classes[k];
    }
    eval_predictions p = task_predictions(&global->scores, spec, global->threshold);
    json_t *list = json_array();
    eval_classify_each(list, names, &p, l->job.evaluation.min_cell, l->job.seed);
    return list;
}

/* How observed shares follow the scores, and what acting on them gains: from
 * counts, so under the same permission as the histogram. */
static void put_curves(json_t *site, const local *l, const judged *global, int64_t bins)
{
    enum { CALIBRATION_BINS = 10, DECISION_BINS = 20 };
    int64_t min_cell = l->job.evaluation.min_cell;
    eval_predictions p = task_predictions(&global->scores, &l->job.data, global->threshold);
    if (bins > 0) {
        json_object_set_new(site, "calibration", eval_reliability(&p, CALIBRATION_BINS, min_cell));
        json_object_set_new(site, "decision", eval_decision_curve(&p, DECISION_BINS, min_cell));
    }
}

static void put_figures(json_t *site, const local *l, const judged *global, const judged *own,
                        int64_t bins, local_progress *progress)
{
    const data_spec *spec = &l->job.data;
    json_object_set_new(site, "models",
                        pair(eval_metrics_json(&global->metrics),
                             own->there ? eval_metrics_json(&own->metrics) : NULL));
    if (is_two_class(spec)) {
        json_object_set_new(site, "thresholds",
                            pair(fl_json_number(global->threshold),
                                 own->there ? fl_json_number(own->threshold) : NULL));
        json_object_set_new(site, "confusion",
                            pair(confusion_json(global, spec->positive),
                                 own->there ? confusion_json(own, spec->positive) : NULL));
        json_t *histogram = local_histogram(&global->scores, spec, bins,
                                            l->job.evaluation.min_cell);
        if (histogram != NULL) {
            json_object_set_new(site, "histogram", histogram);
        }
        put_curves(site, l, global, bins);
    } else if (spec->task == DATA_CLASSIFY || spec->task == DATA_MULTILABEL) {
        json_object_set_new(site, "by_class", by_class_json(l, global));
    }
    put_subgroups(site, l, global, progress);
    json_object_set_new(site, "benefit", benefit_json(l, global, own, progress));
}

/* One point further, unless nobody wants it any more. */
static bool is_wanted(void *ctx)
{
    local_progress *progress = ctx;
    local_step(progress);
    return !atomic_load(&progress->cancel);
}

/* The same test cases as other scanners would show them, where the job asks for it. */
static fl_status put_shift(json_t *site, const local *l, const float *params,
                           const judged *global, local_progress *progress, fl_err *err)
{
    const task_shift_config cfg = {
        .curves = &l->job.evaluation.shift,
        .first = 1,
        .last = DATA_SHIFT_SEVERITIES,
        .seed = l->job.seed,
        .threads = l->threads,
        .ctx = progress,
        .step = is_wanted,
    };
    json_t *points, *summary;
    if (cfg.curves->n == 0) {
        return FL_OK;
    }
    fl_status st = task_robustness(&points, &summary, l->model, params, l->now, DATA_TEST,
                                   &global->scores, global->threshold, &cfg, err);
    if (st == FL_OK) {
        json_object_set_new(site, "shift", points);
        json_object_set_new(site, "robustness", summary);
    }
    return st;
}

static json_t *baseline_json(const judged *own, const local_baseline_result *result)
{
    json_t *json = json_object();
    json_object_set_new(json, "best_step", json_integer(result->best_step));
    json_object_set_new(json, "steps", json_integer(result->steps));
    if (own->threshold_why != NULL) {
        json_object_set_new(json, "threshold_why", json_string(own->threshold_why));
    }
    return json;
}

/* What the data are, whatever the models make of them. */
static json_t *data_json(const local *l, int64_t n_looks)
{
    json_t *site = json_object();
    json_object_set_new(site, "name", json_string(l->site));
    json_object_set_new(site, "n_train", count_of(l, DATA_TRAIN));
    json_object_set_new(site, "n_val", count_of(l, DATA_VAL));
    json_object_set_new(site, "n_test", count_of(l, DATA_TEST));
    json_object_set_new(site, "flow", data_set_flow(l->now));
    json_object_set_new(site, "table1", local_table1(l));
    json_object_set_new(site, "reference_standard",
                        json_string(data_set_reference_standard(l->now)));
    json_object_set_new(site, "prevalence", fl_json_number(data_set_prevalence(l->now)));
    json_object_set_new(site, "problems", data_set_problems(l->now));
    json_object_set_new(site, "test_opened", json_integer(n_looks));
    return site;
}

/*
 * What a local-only model starts from when the job has initial weights: the model of the
 * first round, which train_round kept.  *there false: this site was not in that round, and
 * another start would be no fair comparison.
 */
static fl_status read_first(float **out, bool *there, const local *l, const char *run_dir,
                            fl_err *err)
{
    *out = NULL;
    *there = true;
    if (!job_starts_from_file(&l->job)) {
        return FL_OK;
    }
    char *path = fl_path_join(run_dir, LOCAL_FIRST_MODEL);
    nn_table *table = NULL;
    fl_status st = FL_OK;
    if (!fl_file_exists(path)) {
        fl_log(FL_LOG_WARN, "baseline.skipped", "why=\"the first round's model is not here\"");
        *there = false;
    } else if ((st = ckpt_safetensors_read(&table, out, NULL, path, err)) == FL_OK &&
               !nn_table_equal(table, task_model_table(l->model))) {
        FL_FREE(*out);
        st = fl_fail(err, FL_EFORMAT, "%s: not of this job's model", path);
    }
    nn_table_destroy(&table);
    free(path);
    return st;
}

/* A local-only model that diverges is a finding, not a failure of the run. */
static fl_status make_own(local *l, float *params, bool *there, const char *run_dir,
                          local_progress *progress, local_baseline_result *result, fl_err *err)
{
    *there = false;
    if (!l->job.evaluation.local_baseline) {
        return FL_OK;
    }
    fl_err why = FL_ERR_INIT;
    float *first;
    bool can_start;
    fl_status st = read_first(&first, &can_start, l, run_dir, err);
    if (st != FL_OK || !can_start) {
        return st;
    }
    st = local_baseline(l, params, first, progress, result, &why);
    free(first);
    if (st == FL_EFORMAT) {
        return FL_OK;
    }
    if (st != FL_OK) {
        *err = why;
        return st;
    }
    *there = true;
    return FL_OK;
}

static fl_status keep_predictions(const local *l, const task_scores *s, const char *run_dir,
                                  fl_err *err)
{
    char *path = fl_path_join(run_dir, "predictions.csv");
    fl_status st = task_predictions_write(s, l->now, &l->job.data, path, err);
    free(path);
    return st;
}

fl_status judge_site(json_t **out, local *l, const float *global, const fed_model_id *id,
                     double threshold, const sure_pooled *pooled, int64_t bins,
                     const char *run_dir, local_progress *progress, fl_err *err)
{
    json_t *uncertainty = NULL;
    judged on_global = {0}, on_own = {0};
    local_baseline_result baseline = {0};
    bool has_own = false;
    double own_at = 0.5;
    int64_t n_looks = 0;
    fl_status st = FL_ELIMIT;

    *out = NULL;
    float *own = fl_calloc_aligned((size_t)local_n_parameters(l), sizeof *own,
                                   "the local-only model", err);
    // Everything is decided before the test split is looked at.
    if (own == NULL || (st = make_own(l, own, &has_own, run_dir, progress, &baseline, err)) != FL_OK ||
        (has_own && (st = own_threshold(l, own, &own_at, &on_own.threshold_why, err)) != FL_OK) ||
        (st = open_test(&n_looks, run_dir, id, threshold, err)) != FL_OK ||
        (st = judge_model(&on_global, l, global, threshold, progress, err)) != FL_OK ||
        (has_own && (st = judge_model(&on_own, l, own, own_at, progress, err)) != FL_OK) ||
        (st = sure_judge(&uncertainty, l, global, threshold, pooled, &on_global.scores, progress,
                         err)) != FL_OK ||
        (st = keep_predictions(l, &on_global.scores, run_dir, err)) != FL_OK ||
        (st = worst_write(l->model, global, l->now, &on_global.scores, threshold, run_dir, err)) !=
            FL_OK) {
        goto done;
    }
    json_t *site = data_json(l, n_looks);
    put_figures(site, l, &on_global, &on_own, bins, progress);
    if (uncertainty != NULL) {
        json_object_set(site, "uncertainty", uncertainty);
    }
    if (has_own) {
        json_object_set_new(site, "local", baseline_json(&on_own, &baseline));
    }
    if ((st = put_shift(site, l, global, &on_global, progress, err)) == FL_OK) {
        *out = site;
        site = NULL;  // now the caller's
    }
    json_decref(site);
done:
    json_decref(uncertainty);
    task_scores_clear(&on_global.scores);
    task_scores_clear(&on_own.scores);
    free(own);
    return st;
}
