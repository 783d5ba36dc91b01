/*
 * features.c - see features.h
 */
#include "task/features.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/copy.h"
#include "task/ops.h"

struct task_features {
    const task_model *model;
    nn_graph *graph;  // the model's, with the features as a second output
    float *values;    // of its parameters
    nn_plan *plan;
    const char *layer;  // borrowed from the model's graph
    nn_shape shape;     // of the features' value
    int axis;
    size_t D, rows;
};

// ------------------------------------------------------------------ finding them

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(op, *list) == 0) {
            return true;
        }
    }
    return false;
}

/* Which values depend on the input; caller's. */
static bool *find_dependent(const nn_graph *g)
{
    bool *dependent = fl_xcalloc(nn_graph_n_values(g), sizeof *dependent);
    for (size_t i = 0; i < nn_graph_n_inputs(g); i++) {
        dependent[nn_graph_input_at(g, i)] = true;
    }
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        bool any = false;
        for (size_t k = 0; k < node->n_in; k++) {
            any = any || (node->in[k] >= 0 && dependent[node->in[k]]);
        }
        for (size_t k = 0; k < node->n_out; k++) {
            if (node->out[k] >= 0) {
                dependent[node->out[k]] = any;
            }
        }
    }
    return dependent;
}

/* NULL: v is an input or a parameter. */
static const nn_node *producer_of(const nn_graph *g, nn_value v)
{
    for (size_t i = nn_graph_n_nodes(g); i-- > 0;) {
        const nn_node *node = nn_graph_node(g, i);
        for (size_t k = 0; k < node->n_out; k++) {
            if (node->out[k] == v) {
                return node;
            }
        }
    }
    return NULL;
}

/* The one input of a node that depends on the network's input; -1: there are several. */
static nn_value sole_dependent(const nn_node *node, const bool *dependent)
{
    nn_value found = -1;
    for (size_t k = 0; k < node->n_in; k++) {
        nn_value v = node->in[k];
        if (v >= 0 && dependent[v]) {
            if (found >= 0 && found != v) {
                return -1;
            }
            found = v;
        }
    }
    return found;
}

fl_status task_features_find(nn_value *out, int *axis, const nn_graph *g, fl_err *err)
{
    static const char *const channels[] = {"Conv", "ConvTranspose", "Gemm", NULL};
    bool *dependent = find_dependent(g);
    fl_status st = FL_OK;
    nn_value v = nn_graph_output_at(g, 0);
    for (const nn_node *node; (node = producer_of(g, v)) != NULL && st == FL_OK;) {
        nn_value from = sole_dependent(node, dependent);
        bool product = strcmp(node->op, "MatMul") == 0;
        if (from < 0) {
            st = fl_fail(err, FL_EUNSUPPORTED,
                         "the model's answer has no last layer of its own: branches meet in %.60s "
                         "(%s)", node->name, node->op);
        } else if (product || is_one_of(node->op, channels)) {
            *out = from;
            *axis = product ? nn_graph_shape(g, from)->rank - 1 : 1;
            break;
        }
        v = from;
    }
    if (st == FL_OK && producer_of(g, v) == NULL) {
        st = fl_fail(err, FL_EUNSUPPORTED, "the model has no layer of weights");
    }
    free(dependent);
    return st;
}

// --------------------------------------------------------------------- the plan

static fl_status make_graph(task_features *f, const float *params, fl_err *err)
{
    const nn_graph *g = task_model_graph(f->model);
    nn_value inner;
    fl_status st = task_features_find(&inner, &f->axis, g, err);
    if (st != FL_OK) {
        return st;
    }
    f->layer = nn_graph_value_name(g, inner);
    f->shape = *nn_graph_shape(g, inner);
    f->D = (size_t)f->shape.dim[f->axis];
    nn_copying c = nn_copying_of(g, nn_graph_name(g));
    for (size_t i = 0; i < nn_graph_n_inputs(g); i++) {
        nn_value input = nn_graph_input_at(g, i);
        c.map[input] = nn_graph_input(c.to, nn_graph_value_name(g, input),
                                      nn_graph_shape(g, input));
    }
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        nn_copying_node(&c, nn_graph_node(g, i), false);
    }
    nn_graph_output(c.to, "answer", c.map[nn_graph_output_at(g, 0)]);
    nn_graph_output(c.to, "features", c.map[inner]);
    if ((st = nn_graph_finish(c.to, err)) == FL_OK) {
        f->graph = c.to;
        c.to = NULL;  // now f's
        f->values = nn_copied_values(f->graph, g, params);
    }
    nn_copying_clear(&c);
    return st;
}

fl_status task_features_new(task_features **out, const task_model *m, const float *params,
                            int threads, fl_err *err)
{
    enum { MOST_ROWS = 64 };
    task_features *f = fl_xcalloc(1, sizeof *f);
    f->model = m;
    f->rows = task_batch_rows(m, MOST_ROWS);
    nn_plan_config cfg = {.capacity = (int64_t)f->rows, .precision = NN_FP32, .threads = threads};
    fl_status st = make_graph(f, params, err);
    if (st == FL_OK) {
        st = nn_plan_new(&f->plan, f->graph, &cfg, err);
    }
    if (st != FL_OK) {
        task_features_destroy(&f);
    }
    *out = f;
    return st;
}

void task_features_destroy(task_features **f)
{
    if (*f != NULL) {
        nn_plan_destroy(&(*f)->plan);
        nn_graph_destroy(&(*f)->graph);
        free((*f)->values);
        FL_FREE(*f);
    }
}

size_t task_features_n(const task_features *f)
{
    return f->D;
}

const char *task_features_layer(const task_features *f)
{
    return f->layer;
}

// ---------------------------------------------------------------------- running

/* feature (D): means of value, a row of the layer's input, over all but the axis. */
static void mean_over_places(double *feature, const task_features *f, const float *value)
{
    size_t inner = 1, outer = 1;
    for (int d = 1; d < f->axis; d++) {
        outer *= (size_t)f->shape.dim[d];
    }
    for (int d = f->axis + 1; d < f->shape.rank; d++) {
        inner *= (size_t)f->shape.dim[d];
    }
    for (size_t k = 0; k < f->D; k++) {
        double sum = 0;
        for (size_t o = 0; o < outer; o++) {
            for (size_t i = 0; i < inner; i++) {
                sum += (double)value[(o * f->D + k) * inner + i];
            }
        }
        feature[k] = sum / (double)(outer * inner);
    }
}

static fl_status load(const task_features *f, const data_set *set, const size_t *index, size_t n,
                      const data_shift *chain, uint64_t seed, fl_err *err)
{
    float *x = nn_plan_input(f->plan, 0);
    if (chain != NULL) {
        return data_set_batch_shifted(set, chain, seed, index, n, x, err);
    }
    data_set_batch(set, index, n, x);
    return FL_OK;
}

fl_status task_features_run(task_features *f, double *feature, double *score, double *sure,
                            const data_set *set, const size_t *index, size_t n,
                            const data_shift *chain, uint64_t seed, fl_err *err)
{
    const task_ops *ops = task_model_ops(f->model);
    const data_spec *spec = task_model_spec(f->model);
    int64_t L = task_model_n_logits(f->model);
    size_t K = task_model_n_scores(f->model);
    int64_t HW = ops->of_pixels ? (int64_t)data_spec_n_pixels(spec) : 1;
    bool evidential = task_model_is_evidential(f->model);
    size_t width = (size_t)nn_shape_count(&f->shape, 1);
    FL_REQUIRE(nn_shape_equal(&data_set_spec(set)->input, &spec->input) &&
               (score == NULL) == ops->of_pixels);
    for (size_t from = 0; from < n; from += f->rows) {
        size_t rows = n - from < f->rows ? n - from : f->rows;
        fl_status st = load(f, set, index + from, rows, chain, seed, err);
        if (st != FL_OK) {
            return st;
        }
        nn_plan_forward(f->plan, f->values, (int64_t)rows);
        const float *logits = nn_plan_output(f->plan, 0), *value = nn_plan_output(f->plan, 1);
        for (size_t i = 0; i < rows; i++) {
            mean_over_places(feature + (from + i) * f->D, f, value + i * width);
            const float *row = logits + (int64_t)i * L * HW;
            if (score != NULL) {
                ops->score(score + (from + i) * K, spec, L, row, evidential);
            }
            if (sure != NULL) {
                sure[from + i] = ops->sure(spec, L, row, evidential);
            }
        }
    }
    return FL_OK;
}
