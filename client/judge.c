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
#include "client/few.h"
#include "client/own.h"
#include "client/worst.h"
#include "eval/calibration.h"
#include "eval/disparity.h"
#include "eval/eval.h"
#include "task/annotators.h"
#include "task/unseen.h"

enum { MAX_LOOKS_BYTES = 1 << 20 };

/* One model on the test split. */
typedef struct {
    bool there;
    task_scores scores;
    double threshold;
    eval_metrics metrics;
} judged;

/* The models that a hospital compares, as report.json names them. */
enum { GLOBAL, LOCAL, PERSONAL, N_MODELS };
static const char *const model_names[N_MODELS] = {"global", "local", "personal"};

static bool is_two_class(const data_spec *spec)
{
    return spec->task == DATA_CLASSIFY && spec->positive >= 0;
}

// ---------------------------------------------------------------------- looks

static const char looks[] = "test_opened";  // a line each, in the run's folder

fl_status judge_open_test(int64_t *n_looks, const char *run_dir, const fed_model_id *id,
                          double threshold, fl_err *err)
{
    char hex[2 * FL_SHA256_BYTES + 1];
    fl_hex(hex, id->bytes, sizeof id->bytes);
    char *line = fl_xasprintf("%s %.17g\n", hex, threshold);
    char *path = fl_path_join(run_dir, looks);
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

bool judge_has_opened(const char *run_dir, const fed_model_id *id)
{
    char hex[2 * FL_SHA256_BYTES + 1];
    char *path = fl_path_join(run_dir, looks), *text = NULL;
    size_t n = 0;
    fl_hex(hex, id->bytes, sizeof id->bytes);
    bool has = fl_file_read(&text, &n, path, MAX_LOOKS_BYTES, NULL) == FL_OK &&
               strstr(text, hex) != NULL;
    free(text);
    free(path);
    return has;
}

// -------------------------------------------------------------------- figures

static json_t *confusion_json(const judged *m, const data_spec *spec)
{
    const int positive = spec->positive;
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

/* Figures of b less those of a on the same cases; empty when one is not there. */
static json_t *differences_json(const local *l, const judged *a, const judged *b,
                                local_progress *progress)
{
    json_t *json = json_object();
    if (!a->there || !b->there) {
        return json;
    }
    const task_scored from = {&a->scores, a->threshold};
    const task_scored to = {&b->scores, b->threshold};
    eval_metrics differences;
    task_differences(&differences, &from, &to, &l->job.data, l->job.seed);
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
    size_t n = 0;
    grouped *groups = find_groups(&n, l, &global->scores);
    eval_attribute *attributes = fl_xcalloc(n, sizeof *attributes);
    const task_grouped all = {.scores = &global->scores, .spec = &l->job.data,
                              .threshold = global->threshold, .min_cell = e->min_cell,
                              .seed = l->job.seed};
    for (size_t g = 0; g < n; g++) {
        const char *name = groups[g].attribute->name;
        json_t *cells = json_array();
        attributes[g] = (eval_attribute){name, groups[g].value};
        task_subgroups(cells, &all, &attributes[g]);
        if (groups[g].attribute->kind == DATA_ATTR_TEXT) {
            hide_small_values(cells);
        }
        json_array_extend(list, cells);
        json_decref(cells);
        local_step(progress);
    }
    task_subgroup_pairs(list, &all, attributes, n);
    json_object_set_new(site, "disparities", task_disparities(&all, attributes, n));
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
                             const task_maps *maps, local_progress *progress, fl_err *err)
{
    fl_status st = task_predict_maps(&out->scores, l->model, params, l->now, DATA_TEST, l->threads,
                                     maps, err);
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

/* The difference of Dice that the job says matters. */
static double dice_margin(const job_evaluation *e)
{
    for (size_t i = 0; i < e->n_margins; i++) {
        if (strcmp(e->margin[i].metric, "dice") == 0 && e->margin[i].value > 0) {
            return e->margin[i].value;
        }
    }
    return EVAL_AGREEMENT_MARGIN;
}

/* The global model, and where several people drew the masks, how far it agrees with them:
 * *annotators, new reference or NULL. */
static fl_status judge_global(judged *out, json_t **annotators, const local *l,
                              const float *params, double threshold, local_progress *progress,
                              fl_err *err)
{
    const job_evaluation *e = &l->job.evaluation;
    const task_annotators_config cfg = {.margin = dice_margin(e), .min_cell = e->min_cell,
                                        .seed = l->job.seed, .numbered = true};
    task_annotators *drawn = task_annotators_new(l->model, l->now, DATA_TEST);
    task_maps sink = task_annotators_sink(drawn);
    fl_status st = judge_model(out, l, params, threshold, drawn != NULL ? &sink : NULL, progress,
                               err);
    *annotators = st == FL_OK && drawn != NULL ? task_annotators_json(drawn, &cfg) : NULL;
    task_annotators_destroy(&drawn);
    return st;
}

static json_t *count_of(const local *l, data_split split)
{
    return json_integer((json_int_t)data_set_n_split(l->now, split));
}

static json_t *metrics_json(const judged *m, const data_spec *spec)
{
    (void)spec;
    return eval_metrics_json(&m->metrics);
}

static json_t *threshold_json(const judged *m, const data_spec *spec)
{
    (void)spec;
    return fl_json_number(m->threshold);
}

/* {"global": ..., "local": ..., "personal": ...}, each left out when there is no such model. */
static json_t *by_model(const judged *on, const data_spec *spec,
                        json_t *(*of)(const judged *m, const data_spec *spec))
{
    json_t *json = json_object();
    for (size_t m = 0; m < N_MODELS; m++) {
        if (on[m].there) {
            json_object_set_new(json, model_names[m], of(&on[m], spec));
        }
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

/* on: [N_MODELS] */
static void put_figures(json_t *site, const local *l, const judged *on, int64_t bins,
                        local_progress *progress)
{
    const data_spec *spec = &l->job.data;
    const judged *global = &on[GLOBAL];
    json_object_set_new(site, "models", by_model(on, spec, metrics_json));
    if (is_two_class(spec)) {
        json_object_set_new(site, "thresholds", by_model(on, spec, threshold_json));
        json_object_set_new(site, "confusion", by_model(on, spec, confusion_json));
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
    json_object_set_new(site, "benefit", differences_json(l, &on[LOCAL], global, progress));
    if (on[PERSONAL].there) {
        json_object_set_new(site, "personal_gain",
                            differences_json(l, global, &on[PERSONAL], progress));
    }
}

/* What each model calls the diseases that the site's training cases never showed. */
static void put_unseen(json_t *site, const local *l, const judged *on)
{
    task_answering answering[N_MODELS];
    size_t n = 0;
    for (size_t m = 0; m < N_MODELS; m++) {
        if (on[m].there) {
            answering[n++] = (task_answering){model_names[m], &on[m].scores, on[m].threshold};
        }
    }
    json_t *unseen = task_unseen_json(l->now, &l->job.data, answering, n,
                                      l->job.evaluation.min_cell);
    if (unseen != NULL) {
        json_object_set_new(site, "unseen", unseen);
    }
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

static fl_status keep_predictions(const local *l, const task_scores *s, const char *run_dir,
                                  fl_err *err)
{
    char *path = fl_path_join(run_dir, "predictions.csv");
    fl_status st = task_predictions_write(s, l->now, &l->job.data, path, err);
    free(path);
    return st;
}

/* Every model on the test split, which is open.  own: the hospital's, by model. */
static fl_status judge_all(judged *on, json_t **annotators, const local *l, const float *global,
                           double threshold, const own_model *own, local_progress *progress,
                           fl_err *err)
{
    fl_status st = judge_global(&on[GLOBAL], annotators, l, global, threshold, progress, err);
    for (size_t m = LOCAL; m < N_MODELS && st == FL_OK; m++) {
        if (own[m].there) {
            st = judge_model(&on[m], l, own[m].params, own[m].threshold, NULL, progress, err);
        }
    }
    return st;
}

fl_status judge_site(json_t **out, local *l, const float *global, const fed_model_id *id,
                     double threshold, const sure_pooled *pooled, int64_t bins,
                     const char *run_dir, local_progress *progress, fl_err *err)
{
    json_t *uncertainty = NULL, *annotators = NULL;
    judged on[N_MODELS] = {{0}};
    own_model own[N_MODELS] = {{0}};
    int64_t n_looks = 0;
    fl_status st;

    *out = NULL;
    // Everything is decided before the test split is looked at.
    if ((st = own_make_local(&own[LOCAL], l, run_dir, progress, err)) != FL_OK ||
        (st = own_make_personal(&own[PERSONAL], l, global, run_dir, progress, err)) != FL_OK ||
        (st = judge_open_test(&n_looks, run_dir, id, threshold, err)) != FL_OK ||
        (st = judge_all(on, &annotators, l, global, threshold, own, progress, err)) != FL_OK ||
        (st = sure_judge(&uncertainty, l, global, threshold, pooled, &on[GLOBAL].scores, progress,
                         err)) != FL_OK ||
        (st = keep_predictions(l, &on[GLOBAL].scores, run_dir, err)) != FL_OK ||
        (st = worst_write(l->model, global, l->now, &on[GLOBAL].scores, threshold, l->language,
                          run_dir, err)) != FL_OK) {
        goto done;
    }
    json_t *site = data_json(l, n_looks);
    put_figures(site, l, on, bins, progress);
    put_unseen(site, l, on);
    if (uncertainty != NULL) {
        json_object_set(site, "uncertainty", uncertainty);
    }
    json_t *explained = worst_explained(l->model, global, l->now);
    if (explained != NULL) {
        json_object_set_new(site, "explanations", explained);
    }
    if (annotators != NULL) {
        json_object_set(site, "annotators", annotators);
    }
    for (size_t m = LOCAL; m < N_MODELS; m++) {
        if (own[m].there) {
            json_object_set_new(site, model_names[m], own_json(&own[m]));
        }
    }
    if ((st = put_shift(site, l, global, &on[GLOBAL], progress, err)) == FL_OK) {
        few_hide(site, l->job.evaluation.min_cell);
        *out = site;
        site = NULL;  // now the caller's
    }
    json_decref(site);
done:
    json_decref(annotators);
    json_decref(uncertainty);
    for (size_t m = 0; m < N_MODELS; m++) {
        task_scores_clear(&on[m].scores);
        own_clear(&own[m]);
    }
    return st;
}
