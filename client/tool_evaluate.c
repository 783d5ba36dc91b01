/*
 * tool_evaluate.c - `client evaluate`: how good models are on one's own cases
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/tools.h"
#include "task/annotators.h"

static struct {
    fl_texts models;
    const char *graph;
    const char *data;
    const char *split;
    double threshold;
    fl_texts by;
    int64_t min_cell, threads, seed;
    bool json, explained;
    const char *uncertainty;
    double refer, target_error, alpha;
    fl_texts shift;
    const char *reference;
    const char *label_map;
} options = {
    .split = "test", .threshold = NAN, .min_cell = 1, .threads = 1, .seed = 1,
    .refer = 0.2, .target_error = NAN, .alpha = 0.1,
};

static tool_doubt doubt;           // --uncertainty, once it is read
static data_label_map *label_map;  // --label-map, likewise

const fl_opt *client_evaluate_options(void)
{
    static const fl_opt table[] = {
        {.name = "model", .kind = FL_OPT_LIST, .arg = "MODEL.onnx",
         .help = "model to judge", .out = &options.models, .required = true},
        {.name = "graph", .kind = FL_OPT_TEXT, .arg = "MODEL.onnx",
         .help = "network and threshold of a --model that is a .safetensors, as a round's is",
         .out = &options.graph},
        {.name = "data", .kind = FL_OPT_TEXT, .arg = "DATASET",
         .help = "folder, dataset.yaml, .csv or .npz", .out = &options.data,
         .required = true},
        {.name = "split", .kind = FL_OPT_TEXT, .arg = "SPLIT",
         .help = "train, val or test; default test", .out = &options.split},
        {.name = "threshold", .kind = FL_OPT_NUM, .arg = "T",
         .help = "score from which a case is called positive; default: the "
                 "model's own (ensemble: the mean of the models'), else 0.5",
         .out = &options.threshold, .min = 0, .max = 1},
        {.name = "by", .kind = FL_OPT_LIST, .arg = "NAME[:EDGE,..]",
         .help = "subgroups by this attribute; default: all attributes",
         .out = &options.by},
        {.name = "min-cell", .kind = FL_OPT_INT, .arg = "N",
         .help = "suppress subgroups of fewer patients; default 1: none",
         .out = &options.min_cell, .min = 1, .max = 1e9},
        {.name = "threads", .kind = FL_OPT_INT, .arg = "N",
         .help = "default 1", .out = &options.threads, .min = 1, .max = 256},
        {.name = "seed", .kind = FL_OPT_INT, .arg = "N",
         .help = "of the bootstrap; default 1", .out = &options.seed,
         .min = 0, .max = 9e15},
        {.name = "shift", .kind = FL_OPT_LIST, .arg = "CHAIN[:1-5]",
         .help = "judge under a shift too, at these severities: blur, or "
                 "blur,noise in a row, a family such as scanner, or all; with "
                 "--uncertainty also that",
         .out = &options.shift},
        {.name = "json", .kind = FL_OPT_FLAG, .help = "print JSON",
         .out = &options.json},
        {.name = "uncertainty", .kind = FL_OPT_TEXT, .arg = "HOW",
         .help = "how sure the model is: mc:N passes with dropout, tta:N turned "
                 "inputs, ensemble of the models given, or one: of its scores",
         .out = &options.uncertainty},
        {.name = "explained", .kind = FL_OPT_FLAG,
         .help = "with --uncertainty, segment: how much of the tenth of pixels that is most "
                 "uncertain lies in the tenth that the outline is explained by (Seg-Grad-CAM)",
         .out = &options.explained},
        {.name = "refer", .kind = FL_OPT_NUM, .arg = "SHARE",
         .help = "of the cases, the most uncertain, that somebody else judges; "
                 "default 0.2",
         .out = &options.refer, .min = 0.001, .max = 0.999},
        {.name = "alpha", .kind = FL_OPT_NUM, .arg = "A",
         .help = "conformal sets, calibrated on 200 validation cases or more, miss the "
                 "label in this share of cases; default 0.1",
         .out = &options.alpha, .min = 0.005, .max = 0.5},
        {.name = "target-error", .kind = FL_OPT_NUM, .arg = "E",
         .help = "to reach by referring cases; default: half the error of all",
         .out = &options.target_error, .min = 0, .max = 1},
        {.name = "reference", .kind = FL_OPT_TEXT, .arg = "DATASET",
         .help = "what the model learnt from: says how far the cases are unlike it, their "
                 "--shift too, and what diseases that it does not hold are called; DATASET of "
                 "--data may then be of other classes",
         .out = &options.reference},
        {.name = "label-map", .kind = FL_OPT_TEXT, .arg = "FILE",
         .help = "YAML or CSV that says which of the model's classes each label of the data is: "
                 "labels: {no_finding: normal, empyema: effusion, fracture: ignore}; classify, "
                 "multilabel", .out = &options.label_map},
        {0},
    };
    return table;
}

/* The set's attributes of the cases that were scored; the caller's. */
static tool_column *columns_of(const task_scores *s, const data_set *set,
                               const data_spec *spec)
{
    tool_column *columns = fl_xcalloc(spec->n_attributes, sizeof *columns);
    for (size_t a = 0; a < spec->n_attributes; a++) {
        columns[a].name = spec->attributes[a].name;
        columns[a].value = fl_xcalloc(s->n, sizeof *columns[a].value);
        for (size_t i = 0; i < s->n; i++) {
            columns[a].value[i] = data_set_case(set, s->index[i]).attributes[a];
        }
    }
    return columns;
}

static fl_status subgroups_of(json_t **out, const task_scores *s,
                              const data_set *set, const data_spec *spec,
                              double threshold, fl_err *err)
{
    tool_column *columns = columns_of(s, set, spec);
    const task_grouped all = {.scores = s, .spec = spec, .threshold = threshold,
                              .min_cell = options.min_cell, .seed = (uint64_t)options.seed};
    fl_status st = tool_subgroups(out, columns, spec->n_attributes, &all, &options.by, err);
    for (size_t a = 0; a < spec->n_attributes; a++) {
        free(columns[a].value);
    }
    free(columns);
    return st;
}

static void print_text(const char *path, const task_scores *s,
                       const data_spec *spec, double threshold,
                       const eval_metrics *metrics, const json_t *subgroups)
{
    printf("%s: %zu cases of the %s split", path, s->n, options.split);
    if (spec->positive >= 0) {
        printf(", positive: %s at %g or more", spec->classes[spec->positive],
               threshold);
    }
    printf("\n\n");
    tool_print_metrics(metrics);
    tool_print_subgroups(subgroups);
    printf("\n");
}

/* Adds how sure the model is, and what is called by the mean of its predictions. */
static fl_status add_doubt(json_t *json, const task_member *model, const data_set *set,
                           const data_spec *spec, data_split split, double threshold, fl_err *err)
{
    json_t *both;
    eval_metrics metrics;
    fl_status st = tool_doubt_judge(&both, &metrics, &doubt, model, 1, set, spec, split, threshold,
                                    err);
    if (st != FL_OK) {
        return st;
    }
    json_t *uncertainty = json_object_get(both, "uncertainty");
    json_object_set(json, "uncertainty", uncertainty);
    json_object_set(uncertainty, "metrics", json_object_get(both, "metrics"));
    if (!options.json) {
        if (doubt.members.kind != TASK_ONE) {
            printf("mean of the predictions\n\n");
            tool_print_metrics(&metrics);
            printf("\n");
        }
        tool_print_doubt(uncertainty);
    }
    json_decref(both);
    return FL_OK;
}

/* Under the shifts asked for: *points and *summary, or NULL. */
static fl_status judge_shifted(json_t **points, json_t **summary, const task_model *model,
                               const float *params, const data_set *set, data_split split,
                               const task_scores *clean, double threshold, fl_err *err)
{
    data_shift_curves curves = {.n = 0};
    task_shift_config cfg = {.curves = &curves, .seed = (uint64_t)options.seed,
                             .threads = (int)options.threads};
    fl_status st;
    *points = *summary = NULL;
    if (options.shift.n == 0) {
        return FL_OK;
    }
    if ((st = tool_find_shifts(&curves, &cfg.first, &cfg.last, &options.shift,
                               task_model_spec(model), err)) != FL_OK) {
        return st;
    }
    return task_robustness(points, summary, model, params, set, split, clean, threshold, &cfg,
                           err);
}

/* Beside everybody who drew the masks; NULL where there are not several. */
static json_t *annotators_json(const task_annotators *drawn)
{
    const task_annotators_config cfg = {.margin = EVAL_AGREEMENT_MARGIN,
                                        .min_cell = options.min_cell,
                                        .seed = (uint64_t)options.seed};
    return drawn != NULL ? task_annotators_json(drawn, &cfg) : NULL;
}

/* Scores, and where several people drew the masks, how far the model agrees with each. */
static fl_status predict(task_scores *scores, json_t **annotators, const task_model *model,
                         const float *params, const data_set *set, data_split split, fl_err *err)
{
    task_annotators *drawn = task_annotators_new(model, set, split);
    task_maps sink = task_annotators_sink(drawn);
    fl_status st = task_predict_maps(scores, model, params, set, split, (int)options.threads,
                                     drawn != NULL ? &sink : NULL, err);
    *annotators = st == FL_OK ? annotators_json(drawn) : NULL;
    task_annotators_destroy(&drawn);
    return st;
}

/* A model and the cases that it is asked about. */
typedef struct {
    const char *path;
    task_model *model;
    float *params;
    data_set *set;
    json_t *labels;  // what --label-map made of the set's; NULL: they are the model's classes
    data_spec spec;
    bool own_classes;  // the set's labels are not the model's
    data_split split;
    double threshold;
} asked;

/* The figures of labelled cases. */
static fl_status judge_labelled(json_t *json, const asked *a, fl_err *err)
{
    fl_status st;
    task_scores scores = {0};
    eval_metrics metrics;
    json_t *subgroups = NULL, *points = NULL, *robustness = NULL, *annotators = NULL;
    if ((st = predict(&scores, &annotators, a->model, a->params, a->set, a->split, err)) != FL_OK) {
        return st;
    }
    task_evaluate(&metrics, &scores, &a->spec, a->threshold, (uint64_t)options.seed);
    if ((st = subgroups_of(&subgroups, &scores, a->set, &a->spec, a->threshold, err)) != FL_OK ||
        (st = judge_shifted(&points, &robustness, a->model, a->params, a->set, a->split, &scores,
                            a->threshold, err)) != FL_OK) {
        goto done;
    }
    if (!options.json) {
        print_text(a->path, &scores, &a->spec, a->threshold, &metrics, subgroups);
        tool_print_annotators(annotators);
        tool_print_shift(points, robustness);
    }
    json_object_set_new(json, "loss", fl_json_number(scores.loss));
    json_object_set_new(json, "metrics", eval_metrics_json(&metrics));
    json_object_set(json, "subgroups", subgroups);
    if (annotators != NULL) {
        json_object_set(json, "annotators", annotators);
    }
    if (robustness != NULL) {
        json_object_set(json, "shift", points);
        json_object_set(json, "robustness", robustness);
    }
    if (options.uncertainty != NULL && doubt.members.kind != TASK_ENSEMBLE) {
        const task_member one = {a->model, a->params};
        st = add_doubt(json, &one, a->set, &a->spec, a->split, a->threshold, err);
    }
done:
    json_decref(annotators);
    json_decref(robustness);
    json_decref(points);
    json_decref(subgroups);
    task_scores_clear(&scores);
    return st;
}

/* The cases, and what --shift makes of them, beside --reference. */
static fl_status add_outside(json_t *json, const asked *a, fl_err *err)
{
    data_shift_curves curves = {.n = 0};
    tool_reference reference;
    task_ood_given given = {.set = a->set, .split = a->split, .own_classes = a->own_classes,
                            .is_reference = tool_same_files(options.data, options.reference),
                            .curves = &curves, .threshold = a->threshold,
                            .seed = (uint64_t)options.seed};
    json_t *outside;
    fl_status st;
    if (options.shift.n > 0 &&
        (st = tool_find_shifts(&curves, &given.first, &given.last, &options.shift,
                               task_model_spec(a->model), err)) != FL_OK) {
        return st;
    }
    if ((st = tool_reference_open(&reference, a->model, a->params, options.reference, a->split,
                                  (int)options.threads, err)) != FL_OK) {
        return st;
    }
    if ((st = task_ood_judge(&outside, reference.ood, &given, err)) == FL_OK) {
        json_object_set_new(outside, "reference", json_string(options.reference));
        if (!options.json) {
            tool_print_outside(outside);
        }
        json_object_set_new(json, "outside", outside);
    }
    tool_reference_clear(&reference);
    return st;
}

/* A model whose file names no classes has learnt the reference's, whatever the cases are. */
static fl_status take_classes(task_model *model, fl_err *err)
{
    data_set *reference = NULL;
    data_spec spec;
    if (task_model_spec(model)->n_classes > 0) {
        return FL_OK;
    }
    fl_status st = tool_open_for_model(&reference, &spec, model, options.reference, err);
    data_set_destroy(&reference);
    return st == FL_OK ? st : fl_wrap(err, st, "--reference %.200s", options.reference);
}

static fl_status open_asked(asked *a, fl_err *err)
{
    fl_status st = tool_read_model(&a->model, &a->params, a->path, options.graph, err);
    if (st == FL_OK && options.reference != NULL) {
        st = take_classes(a->model, err);
    }
    if (st == FL_OK && label_map != NULL) {
        st = tool_open_mapped(&a->set, &a->spec, &a->labels, a->model, options.data, label_map,
                              a->split, err);
    } else if (st == FL_OK && options.reference == NULL) {
        st = tool_open_for_model(&a->set, &a->spec, a->model, options.data, err);
    } else if (st == FL_OK) {
        st = tool_open_given(&a->set, &a->spec, &a->own_classes, a->model, options.data, err);
    }
    if (st == FL_OK && data_set_n_split(a->set, a->split) == 0) {
        st = fl_fail(err, FL_ENOTFOUND, "%s: the %s split is empty", options.data, options.split);
    }
    if (st == FL_OK && a->own_classes && options.uncertainty != NULL) {
        st = fl_fail(err, FL_EUSAGE,
                     "--uncertainty: %s is of other classes than the model: its cases cannot be "
                     "judged", options.data);
    }
    return st;
}

/* Judges one model; *out: its figures as JSON. */
static fl_status judge(json_t **out, const char *path, data_split split, fl_err *err)
{
    asked a = {.path = path, .split = split};
    fl_status st = open_asked(&a, err);
    *out = NULL;
    if (st == FL_OK) {
        double own = task_model_threshold(a.model);
        a.threshold = !isnan(options.threshold) ? options.threshold : isnan(own) ? 0.5 : own;
        a.spec.positive = task_model_spec(a.model)->positive;
        json_int_t n = (json_int_t)data_set_n_split(a.set, split);
        *out = json_pack("{s:s, s:s, s:I}", "model", path, "split", options.split, "n", n);
        json_object_set_new(*out, "threshold", fl_json_number(a.threshold));
        if (a.labels != NULL) {
            json_object_set(*out, "labels", a.labels);
            json_object_set_new(*out, "flow", data_set_flow(a.set));
        }
        if (a.labels != NULL && !options.json) {
            tool_print_labels(a.labels, label_map, split);
        }
        if (!a.own_classes) {
            st = judge_labelled(*out, &a, err);
        } else if (!options.json) {
            printf("%s: %lld cases of the %s split, of other classes than the model's\n\n", path,
                   (long long)n, options.split);
        }
    }
    if (st == FL_OK && options.reference != NULL) {
        st = add_outside(*out, &a, err);
    }
    json_decref(a.labels);
    free(a.params);
    data_set_destroy(&a.set);
    task_model_destroy(&a.model);
    return st;
}

/* Judges the mean of all models. */
static fl_status judge_ensemble(json_t **out, data_split split, fl_err *err)
{
    const tool_ensemble all = {.path = options.models.items,
                               .n = options.models.n,
                               .graph = options.graph,
                               .data = options.data,
                               .split = split,
                               .threshold = options.threshold,
                               .map = label_map,
                               .doubt = &doubt,
                               .prints = !options.json};
    return tool_ensemble_judge(out, &all, err);
}

static fl_status read_doubt(fl_err *err)
{
    if (options.uncertainty == NULL) {
        return !options.explained ? FL_OK
                                  : fl_fail(err, FL_EUSAGE, "--explained goes with --uncertainty");
    }
    doubt = (tool_doubt){.refer = options.refer, .target_error = options.target_error,
                         .alpha = options.alpha, .shift = &options.shift,
                         .seed = (uint64_t)options.seed, .threads = (int)options.threads,
                         .explained = options.explained};
    fl_status st = tool_doubt_parse(&doubt, options.uncertainty, err);
    if (st == FL_OK && doubt.members.kind == TASK_ENSEMBLE && options.models.n < 2) {
        st = fl_fail(err, FL_EUSAGE, "--uncertainty ensemble needs two --model or more");
    } else if (st == FL_OK && doubt.members.kind == TASK_ENSEMBLE && options.explained) {
        st = fl_fail(err, FL_EUSAGE, "--explained: of one model, not of an ensemble");
    }
    return st;
}

/* One model: its object; several: a list under "models". */
static void print_all(json_t *list)
{
    if (json_array_size(list) == 1) {
        tool_print_json(json_incref(json_array_get(list, 0)));
        json_decref(list);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "models", list);
    tool_print_json(json);
}

fl_status client_evaluate(int argc, char **argv, fl_err *err)
{
    fl_texts none = {0};
    data_split split;
    fl_status st;
    if ((st = fl_cli_parse(argc, argv, client_evaluate_options(), 0, 0, &none,
                           err)) != FL_OK) {
        return st;
    }
    json_t *list = json_array();
    if ((st = read_doubt(err)) != FL_OK ||
        (st = tool_find_split(&split, options.split, err)) != FL_OK ||
        (options.label_map != NULL &&
         (st = data_label_map_read(&label_map, options.label_map, err)) != FL_OK)) {
        goto done;
    }
    for (size_t i = 0; i < options.models.n && st == FL_OK; i++) {
        json_t *one;
        st = judge(&one, options.models.items[i], split, err);
        json_array_append_new(list, one);
    }
    if (st == FL_OK && options.uncertainty != NULL && doubt.members.kind == TASK_ENSEMBLE) {
        json_t *all;
        st = judge_ensemble(&all, split, err);
        json_array_append_new(list, all);
    }
    if (st == FL_OK && options.json) {
        print_all(list);
        list = NULL;  // printed and released
    }
done:
    data_label_map_destroy(&label_map);
    json_decref(list);
    free(options.models.items);
    free(options.shift.items);
    free(options.by.items);
    free(none.items);
    return st;
}
