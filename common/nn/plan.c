/*
 * plan.c - making a plan and running it; see plan.h
 *
 * build.c turns the graph into steps; here the loss is put between the forward
 * and the reverse half, and the caller's vectors are pointed at.
 */
#include "nn/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/build.h"
#include "nn/dnnl.h"
#include "nn/steps.h"

enum { MAX_CAPACITY = 65536 };

struct nn_plan {
    const nn_graph *g;
    nn_plan_config cfg;
    float *class_weight;  // cfg.loss's, ours
    nn_dnnl *d;
    nn_steps *steps;
    size_t n_forward;  // steps before the loss
    nn_slot *inputs, *outputs;
    int64_t *row;  // numbers of one row of each input
    nn_slot target, dlogits;
    int64_t K, HW;       // of the first output, when it is trained
    int64_t target_row;  // numbers of one row of the target
    size_t *ungraded;    // parameters that no step writes a gradient of
    size_t n_ungraded;
    bool sees_batch;  // a row's result depends on the other rows
    nn_plan *tail;    // for a smaller batch, when sees_batch
};

/* ----------------------------------------------------------------- making */

/* Inputs, outputs and targets stay where they are for the life of the plan.  In
 * one of a single row that only infers, they need not be batches. */
static bool is_batch(const nn_plan *p, nn_build *b, nn_value v)
{
    const nn_shape *shape = nn_graph_shape(p->g, v);
    bool yes = (shape->rank >= 1 && shape->dim[0] == NN_BATCH) ||
               (p->cfg.capacity == 1 && !p->cfg.train);

    if (!yes) {
        nn_build_fail(b, FL_EUNSUPPORTED, "%.80s must be a batch of rows",
                      nn_graph_value_name(p->g, v));
    }
    return yes;
}

static void add_inputs(nn_plan *p, nn_build *b)
{
    for (size_t i = 0; i < nn_graph_n_inputs(p->g); i++) {
        nn_value v = nn_graph_input_at(p->g, i);
        nn_shape dims;
        if (!is_batch(p, b, v)) {
            return;
        }
        nn_build_dims(b, v, &dims);
        p->inputs[i] = nn_build_slot(b, nn_layout_plain(p->d, dims.rank, dims.dim));
        p->row[i] = nn_shape_count(nn_graph_shape(p->g, v), 1);
        nn_steps_pin(p->steps, p->inputs[i]);
        nn_build_set_value(b, v, p->inputs[i]);
    }
}

static void add_outputs(nn_plan *p, nn_build *b)
{
    for (size_t i = 0; i < nn_graph_n_outputs(p->g); i++) {
        nn_value v = nn_graph_output_at(p->g, i);
        nn_shape dims;
        nn_build_dims(b, v, &dims);
        p->outputs[i] = is_batch(p, b, v) ? nn_build_in_plain(b, nn_build_value(b, v), &dims) : -1;
        if (p->outputs[i] < 0) {
            return;
        }
        nn_steps_pin(p->steps, p->outputs[i]);
    }
}

static void add_loss(nn_plan *p, nn_build *b)
{
    nn_value v = nn_graph_output_at(p->g, 0);
    nn_shape dims;

    nn_build_dims(b, v, &dims);
    if (dims.rank < 2 || (dims.rank == 2 && nn_loss_is_of_areas(p->cfg.loss.kind))) {
        nn_build_fail(b, FL_EUNSUPPORTED,
                      "to be trained with this loss, the first output must be (N, K, H, W), not of "
                      "%d dimensions",
                      dims.rank);
        return;
    }
    if (!nn_build_wants_grad(b, v)) {
        nn_build_fail(b, FL_ECONFIG,
                      "the first output depends on no parameter that can be trained");
        return;
    }
    p->K = dims.dim[1];
    p->HW = nn_shape_count(&dims, 1) / dims.dim[0] / p->K;
    p->target_row = nn_loss_takes_codes(p->cfg.loss.kind) ? p->HW : p->K * p->HW;
    p->target = nn_build_flat(b, dims.dim[0] * p->target_row);
    p->dlogits = nn_build_slot(b, nn_layout_plain(p->d, dims.rank, dims.dim));
    nn_steps_pin(p->steps, p->target);
    nn_steps_pin(p->steps, p->dlogits);
    nn_build_add_grad(b, v, p->dlogits);
}

static fl_status make_steps(nn_plan *p, fl_err *err)
{
    nn_build *b = nn_build_new(p->g, p->d, p->steps, p->cfg.capacity, p->cfg.train,
                               p->cfg.sample);

    add_inputs(p, b);
    nn_build_forward(b);
    add_outputs(p, b);
    p->n_forward = nn_steps_count(p->steps);
    if (p->cfg.train && nn_build_status(b, NULL) == FL_OK) {
        add_loss(p, b);
        nn_build_backward(b);
    }
    fl_status st = nn_build_status(b, err);
    for (size_t i = 0; st == FL_OK && i < nn_table_n(nn_graph_table(p->g)); i++) {
        if (!nn_build_has_param_grad(b, i)) {
            p->ungraded[p->n_ungraded++] = i;
        }
    }
    nn_build_destroy(&b);
    return st != FL_OK ? st : nn_steps_finish(p->steps, err);
}

static void copy_class_weight(nn_plan *p)
{
    const nn_shape *logits = nn_graph_shape(p->g, nn_graph_output_at(p->g, 0));
    size_t K = logits->rank >= 2 ? (size_t)logits->dim[1] : 0;

    if (p->cfg.loss.class_weight != NULL) {
        p->class_weight = fl_xcalloc(K, sizeof *p->class_weight);
        memcpy(p->class_weight, p->cfg.loss.class_weight, K * sizeof *p->class_weight);
        p->cfg.loss.class_weight = p->class_weight;
    }
}

fl_status nn_plan_new(nn_plan **out, const nn_graph *g, const nn_plan_config *cfg, fl_err *err)
{
    const char *why_not = nn_precision_why_not(cfg->precision);

    *out = NULL;
    if (why_not != NULL) {
        return fl_fail(err, FL_EUNSUPPORTED, "%s", why_not);
    }
    if (cfg->capacity < 1 || cfg->capacity > MAX_CAPACITY || cfg->threads < 1) {
        return fl_fail(err, FL_ECONFIG, "a batch has 1 to %d rows and a plan at least one thread",
                       MAX_CAPACITY);
    }
    nn_plan *p = fl_xcalloc(1, sizeof *p);
    p->g = g;
    p->cfg = *cfg;
    p->d = nn_dnnl_new(cfg->threads, cfg->precision == NN_BF16 ? NN_TYPE_BF16 : NN_TYPE_F32);
    p->steps = nn_steps_new(p->d);
    p->inputs = fl_xcalloc(nn_graph_n_inputs(g), sizeof *p->inputs);
    p->outputs = fl_xcalloc(nn_graph_n_outputs(g), sizeof *p->outputs);
    p->row = fl_xcalloc(nn_graph_n_inputs(g), sizeof *p->row);
    p->ungraded = fl_xcalloc(nn_table_n(nn_graph_table(g)), sizeof *p->ungraded);
    p->sees_batch = cfg->train && nn_graph_has(g, "BatchNormalization");
    copy_class_weight(p);
    fl_status st = make_steps(p, err);
    if (st != FL_OK) {
        nn_plan_destroy(&p);
        return st;
    }
    *out = p;
    return FL_OK;
}

void nn_plan_destroy(nn_plan **pp)
{
    nn_plan *p = *pp;

    if (p == NULL) {
        return;
    }
    nn_plan_destroy(&p->tail);
    nn_steps_destroy(&p->steps);
    nn_dnnl_destroy(&p->d);
    free(p->class_weight);
    free(p->inputs);
    free(p->outputs);
    free(p->row);
    free(p->ungraded);
    FL_FREE(*pp);
}

/* ---------------------------------------------------------------- running */

float *nn_plan_input(nn_plan *p, size_t i)
{
    FL_REQUIRE(i < nn_graph_n_inputs(p->g));
    return nn_steps_data(p->steps, p->inputs[i]);
}

float *nn_plan_target(nn_plan *p)
{
    FL_REQUIRE(p->cfg.train);
    return nn_steps_data(p->steps, p->target);
}

int64_t nn_plan_target_row(const nn_plan *p)
{
    FL_REQUIRE(p->cfg.train);
    return p->target_row;
}

void nn_plan_set_anneal(nn_plan *p, double weight)
{
    FL_REQUIRE(p->cfg.train);
    p->cfg.loss.anneal = weight;
    if (p->tail != NULL) {
        nn_plan_set_anneal(p->tail, weight);
    }
}

const float *nn_plan_output(const nn_plan *p, size_t i)
{
    FL_REQUIRE(i < nn_graph_n_outputs(p->g));
    return nn_steps_data(p->steps, p->outputs[i]);
}

/* What an earlier, larger batch left behind must not be infinite or NaN. */
static void clear_unused_rows(nn_plan *p, int64_t n_valid)
{
    for (size_t i = 0; n_valid < p->cfg.capacity && i < nn_graph_n_inputs(p->g); i++) {
        nn_vec_zero(nn_plan_input(p, i) + n_valid * p->row[i],
                    (p->cfg.capacity - n_valid) * p->row[i]);
    }
}

static void forward(nn_plan *p, const float *params, const nn_call *run)
{
    FL_REQUIRE(run->n_valid >= 1 && run->n_valid <= p->cfg.capacity);
    nn_dnnl_enter(p->d);
    clear_unused_rows(p, run->n_valid);
    nn_steps_point(p->steps, NN_HOME_PARAMS, (float *)params);  // written only when run->advance
    nn_steps_run(p->steps, 0, p->n_forward, run);
}

void nn_plan_forward(nn_plan *p, const float *params, int64_t n_valid)
{
    forward(p, params,
            &(nn_call){.n_valid = n_valid, .capacity = p->cfg.capacity, .threads = p->cfg.threads});
}

void nn_plan_sample(nn_plan *p, const float *params, int64_t n_valid, fl_rng *rng)
{
    FL_REQUIRE(p->cfg.sample && !p->cfg.train);
    forward(p, params,
            &(nn_call){.n_valid = n_valid,
                       .capacity = p->cfg.capacity,
                       .threads = p->cfg.threads,
                       .rng = rng});
}

static double step_in_tail(nn_plan *p, float *params, float *grad, int64_t n_valid, fl_rng *rng);

double nn_plan_step(nn_plan *p, float *params, float *grad, int64_t n_valid, fl_rng *rng)
{
    FL_REQUIRE(p->cfg.train);
    if (p->sees_batch && n_valid < p->cfg.capacity) {
        return step_in_tail(p, params, grad, n_valid, rng);
    }
    nn_call run = {.n_valid = n_valid,
                   .capacity = p->cfg.capacity,
                   .threads = p->cfg.threads,
                   .rng = rng,
                   .advance = true};
    forward(p, params, &run);
    double loss = nn_loss_run(&p->cfg.loss, nn_plan_output(p, 0), nn_plan_target(p), n_valid,
                              p->cfg.capacity, p->K, p->HW, nn_steps_data(p->steps, p->dlogits));
    nn_steps_point(p->steps, NN_HOME_GRAD, grad);
    nn_steps_run(p->steps, p->n_forward, nn_steps_count(p->steps), &run);
    for (size_t i = 0; i < p->n_ungraded; i++) {
        const nn_param *param = nn_table_at(nn_graph_table(p->g), p->ungraded[i]);
        nn_vec_zero(grad + param->offset, param->count);
    }
    return loss;
}

/*
 * With batch normalisation, zero rows would change the statistics: the smaller
 * batch gets a plan of its own size, made when it first comes and kept, since
 * every epoch ends with the same one.
 */
static double step_in_tail(nn_plan *p, float *params, float *grad, int64_t n_valid, fl_rng *rng)
{
    fl_err err = FL_ERR_INIT;

    if (p->tail == NULL || p->tail->cfg.capacity != n_valid) {
        nn_plan_config cfg = p->cfg;
        cfg.capacity = n_valid;
        nn_plan_destroy(&p->tail);
        fl_status st = nn_plan_new(&p->tail, p->g, &cfg, &err);
        FL_REQUIRE(st == FL_OK);  // the larger one could be made
    }
    for (size_t i = 0; i < nn_graph_n_inputs(p->g); i++) {
        nn_vec_copy(nn_plan_input(p->tail, i), nn_plan_input(p, i), n_valid * p->row[i]);
    }
    nn_vec_copy(nn_plan_target(p->tail), nn_plan_target(p), n_valid * p->target_row);
    double loss = nn_plan_step(p->tail, params, grad, n_valid, rng);
    for (size_t i = 0; i < nn_graph_n_outputs(p->g); i++) {
        const nn_shape *shape = nn_graph_shape(p->g, nn_graph_output_at(p->g, i));
        nn_vec_copy(nn_steps_data(p->steps, p->outputs[i]), nn_plan_output(p->tail, i),
                    nn_shape_count(shape, n_valid));
    }
    return loss;
}

size_t nn_plan_bytes(const nn_plan *p)
{
    return nn_steps_bytes(p->steps) + (p->tail != NULL ? nn_plan_bytes(p->tail) : 0);
}

const char *const nn_precision_names[] = {[NN_FP32] = "fp32", [NN_BF16] = "bf16", NULL};

/* With AVX-512 alone oneDNN emulates bfloat16: a step of cnn takes five times as
 * long as in fp32.  AMX is used where it is there; of the rest oneDNN's own, fixed
 * order decides. */
const char *nn_precision_why_not(nn_precision precision)
{
    return precision == NN_BF16 && !nn_dnnl_has_bf16()
               ? "bf16 needs a CPU with AVX-512 BF16 or AMX, which this one lacks; use "
                 "fp32"
               : NULL;
}

void nn_backend_text(char *out, size_t n)
{
    nn_dnnl_text(out, n);
}
