/*
 * task.c - the registry of tasks, and models that know what they mean
 *
 * A graph by itself gives numbers.  A task_model adds which classes they
 * stand for, so that a model file made at one place is used rightly at
 * another: the meaning travels in the file's metadata (`consilium.*`).
 */
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "task/ops.h"

struct task_model {
    data_spec spec;
    nn_graph *graph;
    const task_ops *ops;
    int64_t n_logits;   // L
    double threshold;   // NaN: none
    bool evidential;    // outputs are a Dirichlet's parameters
    char name[32];      // of the architecture
    char note[600];     // "", or what an export has lost
};

enum { MAX_META_BYTES = 1 << 16 };  // of one value

static const char meta_task[] = "consilium.task";
static const char meta_classes[] = "consilium.classes";
static const char meta_positive[] = "consilium.positive";
static const char meta_input[] = "consilium.input";
static const char meta_threshold[] = "consilium.threshold";
static const char meta_model[] = "consilium.model";
static const char meta_outputs[] = "consilium.outputs";  // "evidential", or not there

static const task_ops *const registry[] = {
    &task_classify,
    &task_multilabel,
    &task_regress,
    &task_segment,
};

const task_ops *task_ops_find(data_task task)
{
    for (size_t i = 0; i < sizeof registry / sizeof *registry; i++) {
        if (registry[i]->task == task) {
            return registry[i];
        }
    }
    return NULL;
}

static fl_status find_ops(const task_ops **out, data_task task, fl_err *err)
{
    *out = task_ops_find(task);
    if (*out == NULL) {
        return fl_fail(err, FL_ECONFIG, "task: %s is not built yet",
                       data_task_name(task));
    }
    return FL_OK;
}

// ------------------------------------------------------------------- meaning

/* The input with its batch, as graphs write it. */
static nn_shape with_batch(const nn_shape *input)
{
    nn_shape out = {.rank = input->rank + 1, .dim = {NN_BATCH}};
    for (int i = 0; i < input->rank; i++) {
        out.dim[i + 1] = input->dim[i];
    }
    return out;
}

static nn_shape without_batch(const nn_shape *input)
{
    nn_shape out = {.rank = input->rank - 1};
    for (int i = 0; i < out.rank; i++) {
        out.dim[i] = input->dim[i + 1];
    }
    return out;
}

/* Outputs behind the logits are maps, one value for each place of a grid of the image:
 * (N, 1, H, W). */
static bool are_maps(const nn_graph *g)
{
    const nn_shape *image = nn_graph_shape(g, nn_graph_input_at(g, 0));
    for (size_t i = 1; i < nn_graph_n_outputs(g); i++) {
        const nn_shape *map = nn_graph_shape(g, nn_graph_output_at(g, i));
        if (map->rank != image->rank || map->rank < 4 || map->dim[0] != NN_BATCH ||
            map->dim[1] != 1) {
            return false;
        }
    }
    return true;
}

/* One input (N, ...), one output (N, L) or (N, L, H, W) that no softmax or sigmoid made: the
 * losses want logits.  Behind it may be maps. */
static fl_status check_graph(int64_t *n_logits, const nn_graph *g, fl_err *err)
{
    if (nn_graph_n_inputs(g) != 1 || nn_graph_n_outputs(g) < 1 || !are_maps(g)) {
        return fl_fail(err, FL_ECONFIG,
                       "the model has %zu inputs and %zu outputs; expected "
                       "one of each, or behind the logits only maps (N, 1, H, W)",
                       nn_graph_n_inputs(g), nn_graph_n_outputs(g));
    }
    nn_value output = nn_graph_output_at(g, 0);
    const nn_shape *in = nn_graph_shape(g, nn_graph_input_at(g, 0));
    const nn_shape *out = nn_graph_shape(g, output);
    bool of_pixels = out->rank >= 4 && out->rank == in->rank;
    for (int i = 2; i < out->rank && of_pixels; i++) {
        of_pixels = out->dim[i] == in->dim[i];
    }
    if (in->rank < 2 || in->rank > 5 || in->dim[0] != NN_BATCH ||
        (out->rank != 2 && !of_pixels) || out->dim[0] != NN_BATCH) {
        char a[128], b[128];
        nn_shape_text(a, sizeof a, in);
        nn_shape_text(b, sizeof b, out);
        return fl_fail(err, FL_ECONFIG,
                       "the model maps %s to %s; expected cases (N, ...) to "
                       "logits (N, K), or to (N, K, H, W) of as many pixels",
                       a, b);
    }
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        if (node->out[0] == output && (strcmp(node->op, "Softmax") == 0 ||
                                       strcmp(node->op, "Sigmoid") == 0)) {
            return fl_fail(err, FL_ECONFIG,
                           "the model ends in %s; expected logits, the task "
                           "adds it itself",
                           node->op);
        }
    }
    *n_logits = out->dim[1];
    return FL_OK;
}

static fl_status check_fits(const task_model *m, const data_spec *spec,
                            const task_ops *ops, fl_err *err)
{
    nn_shape input = with_batch(&spec->input);
    const nn_shape *has = nn_graph_shape(m->graph, nn_graph_input_at(m->graph, 0));
    if (!nn_shape_equal(&input, has)) {
        char a[128], b[128];
        nn_shape_text(a, sizeof a, has);
        nn_shape_text(b, sizeof b, &input);
        return fl_fail(err, FL_ECONFIG,
                       "the model takes inputs %s, the data are %s", a, b);
    }
    const nn_shape *logits = nn_graph_shape(m->graph, nn_graph_output_at(m->graph, 0));
    if (ops->of_pixels != (logits->rank > 2)) {
        return fl_fail(err, FL_ECONFIG,
                       ops->of_pixels ? "the model has one answer a case; task %s needs one for "
                                        "every pixel, as unet gives"
                                      : "the model answers for every pixel; task %s needs one "
                                        "answer a case",
                       data_task_name(spec->task));
    }
    if (m->n_logits != ops->n_logits(spec, false) &&
        m->n_logits != ops->n_logits(spec, true)) {
        return fl_fail(err, FL_ECONFIG,
                       "the model has %lld outputs; task %s with %zu classes "
                       "needs %lld",
                       (long long)m->n_logits, data_task_name(spec->task),
                       spec->n_classes,
                       (long long)ops->n_logits(spec, false));
    }
    return FL_OK;
}

static void take_spec(task_model *m, const data_spec *spec, const task_ops *ops)
{
    m->spec = *spec;
    m->ops = ops;
    bool two = spec->task == DATA_CLASSIFY && spec->n_classes == 2;
    if (!two) {
        m->spec.positive = -1;
    } else if (spec->positive < 0) {
        m->spec.positive = 1;
    }
}

fl_status task_model_set_spec(task_model *m, const data_spec *spec,
                              fl_err *err)
{
    fl_status st;
    const task_ops *ops;
    if ((st = find_ops(&ops, spec->task, err)) != FL_OK ||
        (st = check_fits(m, spec, ops, err)) != FL_OK) {
        return st;
    }
    take_spec(m, spec, ops);
    return FL_OK;
}

// -------------------------------------------------------------------- making

static task_model *model_alloc(void)
{
    task_model *m = fl_xcalloc(1, sizeof *m);
    m->threshold = NAN;
    m->spec.positive = -1;
    return m;
}

static fl_status build_graph(task_model *m, const data_spec *spec,
                             const model_config *cfg, const task_ops *ops,
                             fl_err *err)
{
    if (cfg->onnx[0] != '\0') {
        float *unused = NULL;
        ckpt_meta meta = {0};
        fl_status st = cfg->onnx_bytes != NULL
                           ? ckpt_onnx_unpack(&m->graph, &unused, &meta, cfg->onnx_bytes,
                                              cfg->n_onnx, err)
                           : ckpt_onnx_read(&m->graph, &unused, &meta, cfg->onnx, err);
        if (st == FL_OK) {
            ckpt_onnx_note(m->note, sizeof m->note, m->graph, &meta);
        }
        free(unused);
        ckpt_meta_clear(&meta);
        snprintf(m->name, sizeof m->name, "onnx");
        return st;
    }
    const model_ops *model = model_find(cfg->name);
    model_io io = {
        .input = with_batch(&spec->input),
        .n_outputs = ops->n_logits(spec, model != NULL && model->single_logit),
    };
    snprintf(m->name, sizeof m->name, "%s", cfg->name);
    model_config whole = *cfg;
    if (ops->of_pixels && cfg->padding == MODEL_PADDING_VALID) {
        whole.padding = MODEL_PADDING_MIRRORED;  // every pixel is judged
    }
    return model_build(&m->graph, &whole, &io, err);
}

fl_status task_model_new(task_model **out, const data_spec *spec,
                         const model_config *cfg, fl_err *err)
{
    fl_status st;
    const task_ops *ops;

    *out = NULL;
    if ((st = find_ops(&ops, spec->task, err)) != FL_OK) {
        return st;
    }
    if (spec->input.rank == 0) {
        return fl_fail(err, FL_ECONFIG,
                       "model: the shape of the input is not known");
    }
    task_model *m = model_alloc();
    const model_ops *known = model_find(cfg->name);
    int64_t n_outputs = ops->n_logits(spec, known != NULL && known->single_logit);
    if ((st = build_graph(m, spec, cfg, ops, err)) != FL_OK ||
        (st = task_transfer(m->graph, cfg, n_outputs, ops->of_pixels, err)) != FL_OK ||
        (st = check_graph(&m->n_logits, m->graph, err)) != FL_OK ||
        (st = check_fits(m, spec, ops, err)) != FL_OK) {
        fl_wrap(err, st, "model");
        goto done;
    }
    take_spec(m, spec, ops);
    *out = m;
    m = NULL;  // now the caller's
done:
    task_model_destroy(&m);
    return st;
}

const char *task_model_note(const task_model *m)
{
    return m->note[0] != '\0' ? m->note : NULL;
}

void task_model_destroy(task_model **m)
{
    if (*m != NULL) {
        nn_graph_destroy(&(*m)->graph);
        FL_FREE(*m);
    }
}

fl_status task_model_set_loss(task_model *m, const task_loss *loss, fl_err *err)
{
    nn_loss_config unused;
    float weight[DATA_MAX_CLASSES];
    fl_status st = task_loss_of(&unused, weight, loss, &m->spec, m->n_logits, err);
    if (st == FL_OK) {
        m->evidential = loss->kind == TASK_LOSS_EVIDENTIAL;
    }
    return st;
}

// ------------------------------------------------------------------ metadata

static json_t *classes_json(const data_spec *spec)
{
    json_t *list = json_array();
    for (size_t k = 0; k < spec->n_classes; k++) {
        json_array_append_new(list, json_string(spec->classes[k]));
    }
    return list;
}

static json_t *input_json(const data_spec *spec)
{
    json_t *list = json_array();
    for (int i = 0; i < spec->input.rank; i++) {
        json_array_append_new(list, json_integer(spec->input.dim[i]));
    }
    return list;
}

/* Adds and releases json. */
static void add_json(ckpt_meta *meta, const char *key, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    FL_REQUIRE(text != NULL);
    ckpt_meta_add(meta, key, text);
    free(text);
    json_decref(json);
}

fl_status task_model_write(const task_model *m, const float *data,
                           double threshold, const char *onnx_path,
                           fl_err *err)
{
    const data_spec *spec = &m->spec;
    ckpt_meta meta = {0};
    ckpt_meta_add(&meta, meta_task, data_task_name(spec->task));
    ckpt_meta_add(&meta, meta_model, m->name);
    add_json(&meta, meta_input, input_json(spec));
    if (spec->n_classes > 0) {
        add_json(&meta, meta_classes, classes_json(spec));
    }
    if (spec->positive >= 0) {
        ckpt_meta_add(&meta, meta_positive, spec->classes[spec->positive]);
    }
    if (m->evidential) {
        ckpt_meta_add(&meta, meta_outputs, "evidential");
    }
    if (isfinite(threshold)) {
        char text[32];
        snprintf(text, sizeof text, "%.17g", threshold);
        ckpt_meta_add(&meta, meta_threshold, text);
    }
    fl_status st = ckpt_onnx_write(onnx_path, m->graph, data, &meta, err);
    ckpt_meta_clear(&meta);
    return st;
}

static fl_status read_classes(data_spec *spec, const char *text, fl_err *err)
{
    json_t *list;
    fl_status st = fl_json_parse(&list, text, strlen(text), MAX_META_BYTES,
                                 meta_classes, err);
    if (st != FL_OK) {
        return st;
    }
    size_t n = json_array_size(list);
    if (n < 1 || n > DATA_MAX_CLASSES) {
        st = fl_fail(err, FL_EFORMAT, "%s: expected a list of 1 to %d names",
                     meta_classes, DATA_MAX_CLASSES);
    }
    for (size_t k = 0; k < n && st == FL_OK; k++) {
        const char *name = json_string_value(json_array_get(list, k));
        if (name == NULL || *name == '\0' || strlen(name) >= DATA_NAME_BYTES) {
            st = fl_fail(err, FL_EFORMAT,
                         "%s: class %zu is no name of 1 to %d bytes",
                         meta_classes, k, DATA_NAME_BYTES - 1);
        } else {
            memcpy(spec->classes[k], name, strlen(name) + 1);
        }
    }
    spec->n_classes = st == FL_OK ? n : 0;
    json_decref(list);
    return st;
}

static fl_status read_positive(data_spec *spec, const char *name, fl_err *err)
{
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], name) == 0) {
            spec->positive = (int)k;
            return FL_OK;
        }
    }
    return fl_fail(err, FL_EFORMAT, "%s: no class is called %s", meta_positive,
                   name);
}

static fl_status read_threshold(double *out, const char *text, fl_err *err)
{
    char *end;
    *out = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(*out >= 0 && *out <= 1)) {
        return fl_fail(err, FL_EFORMAT, "%s: expected 0 to 1, found %s",
                       meta_threshold, text);
    }
    return FL_OK;
}

/* What the file says of itself, and for the rest what follows from the graph. */
static fl_status read_meaning(task_model *m, const ckpt_meta *meta,
                              fl_err *err)
{
    const char *task = ckpt_meta_get(meta, meta_task);
    const char *classes = ckpt_meta_get(meta, meta_classes);
    const char *positive = ckpt_meta_get(meta, meta_positive);
    const char *threshold = ckpt_meta_get(meta, meta_threshold);
    const char *name = ckpt_meta_get(meta, meta_model);
    const char *outputs = ckpt_meta_get(meta, meta_outputs);
    m->evidential = outputs != NULL && strcmp(outputs, "evidential") == 0;
    data_spec spec = {.task = DATA_CLASSIFY, .positive = -1};
    spec.input = without_batch(
        nn_graph_shape(m->graph, nn_graph_input_at(m->graph, 0)));
    snprintf(m->name, sizeof m->name, "%s", name != NULL ? name : "onnx");
    if (task != NULL && !data_task_parse(&spec.task, task)) {
        return fl_fail(err, FL_EFORMAT, "%s: unknown task %s", meta_task, task);
    }
    if (task == NULL &&
        nn_graph_shape(m->graph, nn_graph_output_at(m->graph, 0))->rank > 2) {
        spec.task = DATA_SEGMENT;
    }
    fl_status st = FL_OK;
    if ((threshold != NULL &&
         (st = read_threshold(&m->threshold, threshold, err)) != FL_OK) ||
        (classes != NULL && (st = read_classes(&spec, classes, err)) != FL_OK) ||
        (positive != NULL &&
         (st = read_positive(&spec, positive, err)) != FL_OK)) {
        return st;
    }
    if (classes != NULL || spec.task == DATA_REGRESS) {
        return task_model_set_spec(m, &spec, err);
    }
    const task_ops *ops;
    st = find_ops(&ops, spec.task, err);
    if (st == FL_OK) {
        take_spec(m, &spec, ops);
    }
    return st;
}

fl_status task_model_read(task_model **out, float **data, data_spec *spec_out,
                          const char *onnx_path, fl_err *err)
{
    fl_status st;
    float *values = NULL;
    ckpt_meta meta = {0};

    *out = NULL;
    *data = NULL;
    task_model *m = model_alloc();
    if ((st = ckpt_onnx_read(&m->graph, &values, &meta, onnx_path, err)) !=
        FL_OK) {
        goto done;  // the reader names the file
    }
    if ((st = check_graph(&m->n_logits, m->graph, err)) != FL_OK ||
        (st = read_meaning(m, &meta, err)) != FL_OK) {
        fl_wrap(err, st, "%s", onnx_path);
        goto done;
    }
    if (spec_out != NULL) {
        *spec_out = m->spec;
    }
    *out = m;
    *data = values;
    m = NULL;  // now the caller's
    values = NULL;
done:
    ckpt_meta_clear(&meta);
    free(values);
    task_model_destroy(&m);
    return st;
}

// ------------------------------------------------------------------- getters

const nn_graph *task_model_graph(const task_model *m)
{
    return m->graph;
}

const nn_table *task_model_table(const task_model *m)
{
    return nn_graph_table(m->graph);
}

const data_spec *task_model_spec(const task_model *m)
{
    return &m->spec;
}

const char *task_model_name(const task_model *m)
{
    return m->name;
}

size_t task_model_n_scores(const task_model *m)
{
    return m->ops->n_scores(m->n_logits);
}

double task_model_threshold(const task_model *m)
{
    return m->threshold;
}

const task_ops *task_model_ops(const task_model *m)
{
    return m->ops;
}

int64_t task_model_n_logits(const task_model *m)
{
    return m->n_logits;
}

bool task_model_is_evidential(const task_model *m)
{
    return m->evidential;
}
