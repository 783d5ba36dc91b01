/*
 * gradcam.c - see gradcam.h
 *
 * The engine gives gradients by parameters.  So the graph is cut at the maps: the trunk
 * makes them, and in the head a parameter of zeros is added to them, whose gradient is
 * theirs.  The loss is a square whose slope at the scores is the one of the score asked for.
 * A network with an answer a pixel has ways around its deepest maps, so it is made again as
 * a whole, normalisation by running statistics as what it is in use: a scale and a shift.
 */
#include "explain/gradcam.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/copy.h"
#include "nn/plan.h"

static const char probe_name[] = "explain.probe";

// -------------------------------------------------------------------- the cut

static bool is_one_of(const char *op, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (strcmp(op, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool reads(const nn_node *node, nn_value v)
{
    for (size_t i = 0; i < node->n_in; i++) {
        if (node->in[i] == v) {
            return true;
        }
    }
    return false;
}

/* The only reader of v from node `from` on; NULL when there are several, or none. */
static const nn_node *sole_reader(const nn_graph *g, nn_value v, size_t from, size_t *at)
{
    const nn_node *found = NULL;
    for (size_t i = from; i < nn_graph_n_nodes(g); i++) {
        if (reads(nn_graph_node(g, i), v)) {
            if (found != NULL) {
                return NULL;
            }
            found = nn_graph_node(g, i);
            *at = i;
        }
    }
    return found;
}

/* Pixels of a map (N, C, ...). */
static int64_t n_places(const nn_shape *s)
{
    int64_t n = 1;
    for (int i = 2; i < s->rank; i++) {
        n *= s->dim[i];
    }
    return n;
}

static bool is_maps(const nn_graph *g, nn_value v)
{
    const nn_shape *s = nn_graph_shape(g, v);
    return (s->rank == 4 || s->rank == 5) && n_places(s) > 1;
}

/* From a convolution's maps on to what is made of each place by itself. *first: the first
 * node behind. */
static void go_on(nn_value *out, size_t *first, const nn_graph *g)
{
    static const char *const by_place[] = {
        "BatchNormalization", "InstanceNormalization", "GroupNormalization", "Relu", "LeakyRelu",
        "PRelu", "Elu", "Selu", "Gelu", "Sigmoid", "Tanh", "Softplus", "HardSwish", "Clip", "Add",
        "Concat", "Dropout", NULL};
    size_t at = 0;
    const nn_node *next;
    while ((next = sole_reader(g, *out, *first, &at)) != NULL && is_one_of(next->op, by_place) &&
           is_maps(g, next->out[0])) {
        *out = next->out[0];
        *first = at + 1;
    }
}

/* Where the graph is cut. */
typedef struct {
    const nn_graph *g;
    nn_value at;   // the maps
    size_t first;  // the first node behind them
} cut;

/* Does a convolution's value come after the best so far, -1: none? */
typedef bool is_better(const nn_graph *g, nn_value v, nn_value best);

static bool is_later(const nn_graph *g, nn_value v, nn_value best)
{
    (void)g, (void)v, (void)best;
    return true;
}

/* Fewest places, of these most channels, of these the last. */
static bool is_deeper(const nn_graph *g, nn_value v, nn_value best)
{
    if (best < 0) {
        return true;
    }
    const nn_shape *s = nn_graph_shape(g, v), *other = nn_graph_shape(g, best);
    return n_places(s) < n_places(other) ||
           (n_places(s) == n_places(other) && s->dim[1] >= other->dim[1]);
}

static fl_status find_maps(cut *out, const nn_graph *g, is_better *better, fl_err *err)
{
    *out = (cut){.g = g, .at = -1};
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        if (strcmp(node->op, "Conv") == 0 && is_maps(g, node->out[0]) &&
            better(g, node->out[0], out->at)) {
            out->at = node->out[0];
            out->first = i + 1;
        }
    }
    if (out->at < 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "gradcam: the model has no convolution of images or "
                                             "volumes with more than one place");
    }
    go_on(&out->at, &out->first, g);
    return FL_OK;
}

// --------------------------------------------------------------- what is asked

typedef struct {
    const float *params, *x;
    int64_t logit;
    int sign;           // -1: what speaks against it
    const bool *asked;  // pixels whose answers count; NULL: the model has one answer a case
} question;

/*
 * slope: of the answers asked for by the probe, times a number above 0: a step on the loss
 * (y - target)^2 whose target is the answer less the sign.  maps: NULL, or what the plan's
 * second output is.
 */
static void run_probe(float *slope, float *maps, nn_plan *plan, const nn_graph *copy, float *values,
                      const float *input, const question *q)
{
    const nn_table *table = nn_graph_table(copy);
    const nn_param *probe = nn_table_find(table, probe_name);
    size_t n_input = (size_t)nn_shape_count(nn_graph_shape(copy, nn_graph_input_at(copy, 0)), 1);
    size_t n_answers = (size_t)nn_plan_target_row(plan);
    size_t P = (size_t)n_places(nn_graph_shape(copy, nn_graph_output_at(copy, 0)));
    FL_REQUIRE((size_t)q->logit < n_answers / P && probe != NULL);
    float *grad = fl_xcalloc((size_t)nn_table_count(table), sizeof *grad);
    memcpy(nn_plan_input(plan, 0), input, n_input * sizeof *input);
    nn_plan_forward(plan, values, 1);
    float *target = nn_plan_target(plan);
    memcpy(target, nn_plan_output(plan, 0), n_answers * sizeof *target);
    if (maps != NULL) {
        memcpy(maps, nn_plan_output(plan, 1), (size_t)probe->count * sizeof *maps);
    }
    for (size_t i = 0; i < P; i++) {
        bool counts = q->asked == NULL || q->asked[i];
        target[(size_t)q->logit * P + i] -= counts ? (float)q->sign : 0;
    }
    memcpy(nn_plan_input(plan, 0), input, n_input * sizeof *input);
    (void)nn_plan_step(plan, values, grad, 1, NULL);
    memcpy(slope, grad + probe->offset, (size_t)probe->count * sizeof *slope);
    free(grad);
}

static const nn_plan_config probing = {.capacity = 1, .train = true, .precision = NN_FP32,
                                       .threads = 1, .loss = {.kind = NN_LOSS_MSE}};

// ---------------------------------------------------------------- trunk and head

/* maps: (C, rows, cols) that the trunk makes of x. */
static fl_status run_trunk(float *maps, const cut *k, const question *q, fl_err *err)
{
    fl_status st;
    const nn_graph *g = k->g;
    nn_plan *plan = NULL;
    float *values = NULL;
    nn_plan_config cfg = {.capacity = 1, .precision = NN_FP32, .threads = 1};
    nn_copying c = nn_copying_of(g, "trunk");
    nn_value input = nn_graph_input_at(g, 0);
    c.map[input] = nn_graph_input(c.to, "input", nn_graph_shape(g, input));
    for (size_t i = 0; i < k->first; i++) {
        nn_copying_node(&c, nn_graph_node(g, i), false);
    }
    nn_graph_output(c.to, "maps", c.map[k->at]);
    if ((st = nn_graph_finish(c.to, err)) == FL_OK &&
        (st = nn_plan_new(&plan, c.to, &cfg, err)) == FL_OK) {
        values = nn_copied_values(c.to, g, q->params);
        memcpy(nn_plan_input(plan, 0), q->x,
               (size_t)nn_shape_count(nn_graph_shape(g, input), 1) * sizeof *q->x);
        nn_plan_forward(plan, values, 1);
        memcpy(maps, nn_plan_output(plan, 0),
               (size_t)nn_shape_count(nn_graph_shape(g, k->at), 1) * sizeof *maps);
    }
    free(values);
    nn_plan_destroy(&plan);
    nn_copying_clear(&c);
    return st;
}

/* The nodes that the maps lead to: all else must be a parameter. */
static fl_status copy_head(nn_copying *c, const cut *k, fl_err *err)
{
    const nn_graph *g = c->g;
    for (size_t i = k->first; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        bool behind = false, beside = false;
        for (size_t j = 0; j < node->n_in; j++) {
            nn_value v = node->in[j];
            bool is_param = v >= 0 && nn_graph_param_index(g, v) >= 0;
            behind = behind || (v >= 0 && !is_param && c->map[v] >= 0);
            beside = beside || (v >= 0 && !is_param && c->map[v] < 0);
        }
        if (behind && beside) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "gradcam: the model has ways around its last convolution's maps (%.60s)",
                           nn_graph_value_name(g, k->at));
        }
        if (behind && strcmp(node->op, "BatchNormalization") == 0) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "gradcam: the model normalises batches behind its last convolution's "
                           "maps");
        }
        if (behind) {
            nn_copying_node(c, node, true);
        }
    }
    return FL_OK;
}

static fl_status make_head(nn_copying *c, const cut *k, fl_err *err)
{
    nn_shape one = *nn_graph_shape(c->g, k->at);
    nn_value output = nn_graph_output_at(c->g, 0);
    nn_value maps = nn_graph_input(c->to, "maps", &one);
    one.dim[0] = 1;
    nn_value probe = nn_graph_param(c->to, probe_name, NN_WEIGHT, &one, NN_INIT_ZERO, 0);
    c->map[k->at] = nn_add(c->to, maps, probe);
    fl_status st = copy_head(c, k, err);
    if (st != FL_OK) {
        return st;
    }
    if (c->map[output] < 0 || nn_graph_shape(c->g, output)->rank != 2) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "gradcam: for models with one answer a case, made of the last convolution");
    }
    nn_graph_output(c->to, "logits", c->map[output]);
    return nn_graph_finish(c->to, err);
}

/* maps and slope (C, places) of a logit: of the trunk, then of the head alone. */
static fl_status run_parts(float *maps, float *slope, const cut *k, const question *q, fl_err *err)
{
    nn_plan *plan = NULL;
    fl_status st = run_trunk(maps, k, q, err);
    if (st != FL_OK) {
        return st;
    }
    nn_copying c = nn_copying_of(k->g, "head");
    if ((st = make_head(&c, k, err)) == FL_OK &&
        (st = nn_plan_new(&plan, c.to, &probing, err)) == FL_OK) {
        float *values = nn_copied_values(c.to, k->g, q->params);
        run_probe(slope, NULL, plan, c.to, values, maps, q);
        free(values);
    }
    nn_plan_destroy(&plan);
    nn_copying_clear(&c);
    return st;
}

// -------------------------------------------------- the whole, with the maps inside

/* Normalisation as in use, which a plan that trains would not do: y = scale x + shift. */
static void copy_affine(nn_copying *c, const nn_node *node, size_t i)
{
    nn_shape s = *nn_graph_shape(c->g, node->in[0]);
    char scale[NN_NAME_BYTES], shift[NN_NAME_BYTES];
    snprintf(scale, sizeof scale, "explain.scale.%zu", i);
    snprintf(shift, sizeof shift, "explain.shift.%zu", i);
    for (int d = 0; d < s.rank; d++) {
        s.dim[d] = d == 1 ? s.dim[d] : 1;
    }
    nn_value by = nn_graph_param(c->to, scale, NN_FROZEN, &s, NN_INIT_ZERO, 0);
    nn_value plus = nn_graph_param(c->to, shift, NN_FROZEN, &s, NN_INIT_ZERO, 0);
    nn_value x = nn_graph_op(c->to, "Mul", NULL, (nn_value[]){c->map[node->in[0]], by}, 2, NULL, 0);
    c->map[node->out[0]] = nn_add(c->to, x, plus);
}

static const float *numbers(const nn_graph *g, const float *params, nn_value v)
{
    return params + nn_table_at(nn_graph_table(g), (size_t)nn_graph_param_index(g, v))->offset;
}

static void set_affine(float *values, const nn_graph *copy, const nn_graph *g, const float *params)
{
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        char name[NN_NAME_BYTES];
        if (strcmp(node->op, "BatchNormalization") != 0) {
            continue;
        }
        snprintf(name, sizeof name, "explain.scale.%zu", i);
        const nn_param *scale = nn_table_find(nn_graph_table(copy), name);
        snprintf(name, sizeof name, "explain.shift.%zu", i);
        const nn_param *shift = nn_table_find(nn_graph_table(copy), name);
        if (scale == NULL || shift == NULL) {
            continue;  // no answer depends on it
        }
        const float *weight = numbers(g, params, node->in[1]);
        const float *bias = numbers(g, params, node->in[2]);
        const float *mean = numbers(g, params, node->in[3]), *var = numbers(g, params, node->in[4]);
        const nn_attr *attr = nn_node_attr(node, "epsilon");
        double epsilon = attr != NULL ? attr->f : 1e-5;  // as ONNX has it
        for (int64_t k = 0; k < scale->count; k++) {
            double by = (double)weight[k] / sqrt((double)var[k] + epsilon);
            values[scale->offset + k] = (float)by;
            values[shift->offset + k] = (float)((double)bias[k] - by * (double)mean[k]);
        }
    }
}

/* Statistics that are no parameters cannot be folded. */
static fl_status check_norms(const nn_graph *g, fl_err *err)
{
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        for (size_t k = 1; strcmp(node->op, "BatchNormalization") == 0 && k < 5; k++) {
            if (node->n_in < 5 || nn_graph_param_index(g, node->in[k]) < 0) {
                return fl_fail(err, FL_EUNSUPPORTED,
                               "gradcam: the model computes what it normalises by");
            }
        }
    }
    return FL_OK;
}

/* g again with all its parameters frozen, and a probe added to the maps, which are an output
 * too. */
static fl_status make_whole(nn_copying *c, const cut *k, fl_err *err)
{
    const nn_graph *g = c->g;
    nn_value input = nn_graph_input_at(g, 0), output = nn_graph_output_at(g, 0), maps = -1;
    fl_status st = check_norms(g, err);
    if (st != FL_OK) {
        return st;
    }
    c->map[input] = nn_graph_input(c->to, "input", nn_graph_shape(g, input));
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        if (i == k->first) {
            nn_shape one = *nn_graph_shape(g, k->at);
            one.dim[0] = 1;
            maps = c->map[k->at];
            nn_value probe = nn_graph_param(c->to, probe_name, NN_WEIGHT, &one, NN_INIT_ZERO, 0);
            c->map[k->at] = nn_add(c->to, maps, probe);
        }
        if (strcmp(nn_graph_node(g, i)->op, "BatchNormalization") == 0) {
            copy_affine(c, nn_graph_node(g, i), i);
        } else {
            nn_copying_node(c, nn_graph_node(g, i), true);
        }
    }
    if (maps < 0 || nn_graph_shape(g, output)->rank != nn_graph_shape(g, input)->rank) {
        return fl_fail(err, FL_EUNSUPPORTED, "gradcam: the model has no answer a pixel");
    }
    nn_graph_output(c->to, "logits", c->map[output]);
    nn_graph_output(c->to, "maps", maps);
    return nn_graph_finish(c->to, err);
}

/* The same of a logit's sum over the pixels asked. */
static fl_status run_whole(float *maps, float *slope, const cut *k, const question *q, fl_err *err)
{
    fl_status st;
    nn_plan *plan = NULL;
    nn_copying c = nn_copying_of(k->g, "whole");
    if ((st = make_whole(&c, k, err)) == FL_OK &&
        (st = nn_plan_new(&plan, c.to, &probing, err)) == FL_OK) {
        float *values = nn_copied_values(c.to, k->g, q->params);
        set_affine(values, c.to, k->g, q->params);
        run_probe(slope, maps, plan, c.to, values, q->x, q);
        free(values);
    }
    nn_plan_destroy(&plan);
    nn_copying_clear(&c);
    return st;
}

// -------------------------------------------------------------------- the map

static void weigh_maps(explain_cam *out, const float *maps, const float *slope, int64_t C)
{
    int64_t n = out->frames * out->rows * out->cols;
    double *sum = fl_xcalloc((size_t)n, sizeof *sum), most = 0;
    for (int64_t k = 0; k < C; k++) {
        double alpha = 0;
        for (int64_t i = 0; i < n; i++) {
            alpha += (double)slope[k * n + i] / (double)n;
        }
        for (int64_t i = 0; i < n; i++) {
            sum[i] += alpha * (double)maps[k * n + i];
        }
    }
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, sum[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        out->map[i] = most > 0 && sum[i] > 0 ? (float)(sum[i] / most) : 0;
    }
    free(sum);
}

/* shape: of the maps, (N, C, rows, cols) or with frames before the rows. */
static void make_map(explain_cam *out, const float *maps, const float *slope, const nn_shape *shape)
{
    out->frames = shape->rank == 5 ? shape->dim[2] : 1;
    out->rows = shape->dim[shape->rank - 2];
    out->cols = shape->dim[shape->rank - 1];
    out->map = fl_xcalloc((size_t)n_places(shape), sizeof *out->map);
    weigh_maps(out, maps, slope, shape->dim[1]);
}

static fl_status explain(explain_cam *out, const cut *k, const question *q, fl_err *err)
{
    const nn_shape *shape = nn_graph_shape(k->g, k->at);
    size_t n = (size_t)nn_shape_count(shape, 1);
    float *maps = fl_calloc(n, sizeof *maps, "the maps", err);
    float *slope = fl_calloc(n, sizeof *slope, "the maps", err);
    fl_status st = FL_ELIMIT;
    if (maps != NULL && slope != NULL) {
        st = q->asked != NULL ? run_whole(maps, slope, k, q, err)
                              : run_parts(maps, slope, k, q, err);
    }
    if (st == FL_OK) {
        make_map(out, maps, slope, shape);
    }
    free(slope);
    free(maps);
    return st;
}

fl_status explain_gradcam(explain_cam *out, const nn_graph *g, const float *params, const float *x,
                          int64_t logit, int sign, fl_err *err)
{
    const question q = {.params = params, .x = x, .logit = logit, .sign = sign};
    cut k;
    *out = (explain_cam){.map = NULL};
    fl_status st = find_maps(&k, g, is_later, err);
    return st == FL_OK ? explain(out, &k, &q, err) : st;
}

fl_status explain_seg_gradcam(explain_cam *out, const nn_graph *g, const float *params,
                              const float *x, int64_t logit, int sign, const bool *asked,
                              fl_err *err)
{
    const question q = {.params = params, .x = x, .logit = logit, .sign = sign, .asked = asked};
    cut k;
    *out = (explain_cam){.map = NULL};
    fl_status st = find_maps(&k, g, is_deeper, err);
    return st == FL_OK ? explain(out, &k, &q, err) : st;
}

/* Where pixel i of n lies among places: between two of them, and how far from the first. */
typedef struct {
    int64_t low, high;
    double share;
} between;

static between place_of(int64_t i, int64_t n, int64_t places)
{
    double v = ((double)i + 0.5) * (double)places / (double)n - 0.5;
    v = v < 0 ? 0 : v > (double)(places - 1) ? (double)(places - 1) : v;
    int64_t low = (int64_t)v;
    return (between){low, low + (low + 1 < places), v - (double)low};
}

static double along_row(const float *row, const between *c)
{
    return (1 - c->share) * (double)row[c->low] + c->share * (double)row[c->high];
}

static double in_frame(const float *frame, int64_t cols, const between *r, const between *c)
{
    return (1 - r->share) * along_row(frame + r->low * cols, c) +
           r->share * along_row(frame + r->high * cols, c);
}

void explain_cam_resize(float *out, int64_t frames, int64_t rows, int64_t cols,
                        const explain_cam *cam)
{
    int64_t size = cam->rows * cam->cols;
    for (int64_t f = 0; f < frames; f++) {
        between z = place_of(f, frames, cam->frames);
        for (int64_t r = 0; r < rows; r++) {
            between y = place_of(r, rows, cam->rows);
            for (int64_t c = 0; c < cols; c++) {
                between x = place_of(c, cols, cam->cols);
                double low = in_frame(cam->map + z.low * size, cam->cols, &y, &x);
                double high = in_frame(cam->map + z.high * size, cam->cols, &y, &x);
                out[(f * rows + r) * cols + c] =
                    (float)((1 - z.share) * low + z.share * high);
            }
        }
    }
}
